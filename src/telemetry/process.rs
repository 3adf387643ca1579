//! What this process takes of the machine, under the names that every client of Prometheus uses. The embedded engine is a process of its
//! own and is not part of it.

use super::families::{Families, registered_counter, registered_gauge, registered_gauges, registered_seconds};
use crate::numbers::{saturating_i64, to_u64};
use prometheus::{Counter, IntCounter, IntGauge};
use rustix::process::{Resource, getrlimit};
use std::sync::atomic::{AtomicU64, Ordering};

/// Clock ticks a second in files below /proc. Source: proc_pid_stat(5); Linux has no other on any machine that Millrace runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Panics of this process. A hook of the whole process counts them.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts a panic.
pub fn note_panic() {
    PANICS.fetch_add(1, Ordering::Relaxed);
}

/// The process; clones count together.
#[derive(Debug, Clone)]
pub struct ProcessMetrics {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    open_files: IntGauge,
    max_files: IntGauge,
    start_seconds: IntGauge,
    panics: IntCounter,
}

impl ProcessMetrics {
    pub(super) fn registered(registry: &Families) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| registered_gauge(registry, name, help);
        let build = registered_gauges(registry, "millrace_build_info", "1, with the version that runs.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            cpu_seconds: registered_seconds(registry, "process_cpu_seconds", "CPU time of this process.")?,
            resident_bytes: gauge("process_resident_memory_bytes", "Memory of this process that is resident.")?,
            open_files: gauge("process_open_fds", "Descriptors that are open.")?,
            max_files: gauge("process_max_fds", "Descriptors that may be open.")?,
            panics: registered_counter(
                registry,
                "millrace_panics",
                "Panics, each of which is in the log. One in a part of the service stops it; one in a request costs that request.",
            )?,
            start_seconds: gauge("process_start_time_seconds", "When this process started, as a Unix time.")?,
        })
    }

    /// Notes when the process started, in seconds since 1970.
    pub fn started(&self, unix_seconds: i64) {
        self.start_seconds.set(unix_seconds);
    }

    /// Looks at what it takes now. What cannot be read stays as it was.
    pub fn look(&self) {
        self.panics.inc_by(PANICS.load(Ordering::Relaxed).saturating_sub(self.panics.get()));
        if let Some(ticks) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_ticks) {
            let seconds = ticks / TICKS_PER_SECOND;
            self.cpu_seconds.inc_by((seconds - self.cpu_seconds.get()).max(0.0));
        }
        if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_bytes) {
            self.resident_bytes.set(saturating_i64(bytes.into()));
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.open_files.set(saturating_i64(to_u64(files.count()).into()));
        }
        if let Some(max) = getrlimit(Resource::Nofile).current {
            self.max_files.set(saturating_i64(max.into()));
        }
    }
}

/// User and system time: the 14th and 15th field. The second is a name in brackets that may hold anything.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_shows_is_read_whatever_the_process_is_called() {
        let stat = "1 (a) (b c) S 0 1 1 0 -1 4194560 9 0 0 0 120 30 0 0 20 0 1 0 5 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(150.0));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   2048 kB\nVmData: 1 kB\n"), Some(2 << 20));
        let metrics = ProcessMetrics::registered(&Families::default()).unwrap();
        metrics.look();
        assert!(metrics.resident_bytes.get() > 0 && metrics.open_files.get() > 0 && metrics.max_files.get() > 0);
    }
}
