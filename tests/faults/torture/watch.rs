//! Looks at a running service all the time: the law of the counters in every scrape, and its memory.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use support::service::sample;
use support::{Service, http};

const LOOK_EVERY: Duration = Duration::from_millis(40);
/// What becomes of a span that was received.
const FATES: [&str; 6] = [
    "millrace_spans_rejected_total",
    "millrace_spans_refused_total",
    "millrace_spans_duplicate_total",
    "millrace_spans_stored_total",
    "millrace_spans_dead_lettered_total",
    "millrace_spans_pending",
];

/// A look that goes on until it is ended.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Pages of metrics that came.
    pub(crate) scrapes: u64,
    /// Most spans that waited for ClickHouse.
    pub(crate) pending_max: f64,
    /// Spans that were acknowledged again and not stored again, of all lives of the service.
    pub(crate) duplicates: f64,
    /// Most resident memory of the service, in bytes; of its first life only.
    pub(crate) resident_max: u64,
    /// Pages that break the law.
    broken: Vec<String>,
    duplicates_of_this_life: f64,
}

impl Watch {
    /// Starts to look at a service whose addresses stay; it may be ended and started again meanwhile.
    pub(crate) fn start(service: &Service) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, url, pid) = (Arc::clone(&stop), service.metrics_url(), service.pid());
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            while !stopped.load(Ordering::SeqCst) {
                if let Ok(answer) = http::try_send("GET", &url, &[], &[]) {
                    seen.look_at(&answer.text());
                }
                seen.resident_max = seen.resident_max.max(resident_bytes(pid));
                sleep(LOOK_EVERY);
            }
            seen
        });
        Self { stop, thread }
    }

    /// Ends the look.
    ///
    /// # Panics
    /// When some page broke the law, or there was none.
    pub(crate) fn end(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        let mut seen = self.thread.join().expect("the pages can be read");
        seen.duplicates += seen.duplicates_of_this_life;
        assert!(seen.scrapes > 0, "no page of metrics was seen");
        let (broken, scrapes) = (seen.broken.len(), seen.scrapes);
        assert!(seen.broken.is_empty(), "{broken} of {scrapes} pages break the law; first: {:?}", seen.broken.first());
        seen
    }
}

impl Seen {
    fn look_at(&mut self, page: &str) {
        let value = |name: &str| sample(page, name).unwrap_or_else(|| panic!("{name} is missing:\n{page}"));
        self.scrapes += 1;
        let received = value("millrace_spans_received_total");
        let fates = FATES.map(|name| (name, value(name)));
        let sum: f64 = fates.iter().map(|(_, spans)| spans).sum();
        // whole numbers, far below the 2^53 up to which f64 is exact
        #[expect(clippy::float_cmp, reason = "counters are whole numbers")]
        if received != sum {
            self.broken.push(format!("received {received}, but {sum}: {fates:?}"));
        }
        self.pending_max = self.pending_max.max(value("millrace_spans_pending"));
        let duplicates = value("millrace_spans_duplicate_total");
        if duplicates < self.duplicates_of_this_life {
            self.duplicates += self.duplicates_of_this_life;
        }
        self.duplicates_of_this_life = duplicates;
    }
}

/// Resident memory now; 0 when the process is gone. Source: proc_pid_status(5).
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
