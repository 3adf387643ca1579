//! What the machine tells: what a process has used, and how fast the disk syncs.

use anyhow::Context as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Source: time(7), "The software clock": what /proc counts CPU time in, on every architecture that we run on.
const TICKS_PER_SECOND: u32 = 100;
const MIB_KIB: f64 = 1024.0;

/// What a process has used since it started.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// In user and system mode.
    pub cpu: Duration,
    /// Bytes that it caused to be sent to the disk.
    pub disk_bytes: u64,
}

impl Usage {
    /// Of the process and all its threads. Source: proc_pid_stat(5), fields 14 and 15; proc_pid_io(5).
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        Self::at(&format!("/proc/{pid}"))
    }

    /// Of the calling thread alone.
    pub fn of_this_thread() -> anyhow::Result<Self> {
        Self::at("/proc/thread-self")
    }

    fn at(folder: &str) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("{folder}/stat")).context("the process has ended")?;
        let (_, behind_name) = stat.rsplit_once(") ").context("/proc/PID/stat has a name")?;
        let ticks = |field: usize| -> anyhow::Result<u32> {
            let text = behind_name.split(' ').nth(field - 3).context("/proc/PID/stat has all fields")?;
            Ok(text.parse()?)
        };
        let cpu = Duration::from_secs(1) * (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND;
        let disk_bytes = u64_after(&format!("{folder}/io"), "write_bytes:")?;
        Ok(Self { cpu, disk_bytes })
    }
}

/// Resident memory in MiB: now, and the most there ever was. Source: proc_pid_status(5).
pub fn memory_mib(pid: u32) -> anyhow::Result<(f64, f64)> {
    let status = format!("/proc/{pid}/status");
    let mib = |key| -> anyhow::Result<f64> { Ok(float(u64_after(&status, key)?) / MIB_KIB) };
    Ok((mib("VmRSS:")?, mib("VmHWM:")?))
}

fn u64_after(path: &str, key: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    let rest = text.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key} in {path}"))?;
    Ok(rest.trim().trim_end_matches(" kB").parse()?)
}

/// For rates: counts here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a count as a number to divide")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// How long the disk takes to make 4 KiB at the end of a file durable, in ms: median and 99th percentile.
pub fn sync_ms(folder: &Path) -> anyhow::Result<(f64, f64)> {
    const ROUNDS: usize = 200;
    const TIME_MAX: Duration = Duration::from_secs(5);
    let path = folder.join("sync-latency");
    let mut file = File::create(&path)?;
    let (began, mut taken) = (Instant::now(), Vec::new());
    while taken.len() < ROUNDS && began.elapsed() < TIME_MAX {
        let began = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        taken.push(began.elapsed());
    }
    fs::remove_file(&path)?;
    taken.sort_unstable();
    Ok((percentile(&taken, 0.5), percentile(&taken, 0.99)))
}

/// The value below which `share` of the sorted times lie, in ms; 0 when there are none.
pub fn percentile(sorted: &[Duration], share: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index below the length"
    )]
    let index = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
