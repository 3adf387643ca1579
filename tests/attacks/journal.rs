//! The journal's folder: whatever is done to it, what was acknowledged is stored or named as lost, and nothing is stored twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::fs::{CWD, RenameFlags};
use serde_json::{Value, json};

use crate::support::http::{self, post_json};
use crate::support::{Service, wait_until};
use crate::{Attack, hold_off};

const ATTACKS: &[Attack] = &[
    Attack { name: "the folder is removed under load", run: the_folder_is_removed_under_load },
    Attack { name: "the folder is replaced by another journal", run: the_folder_is_replaced_by_another_journal },
];

#[test]
fn attacks_of_this_area_hold() {
    hold_off("journal", ATTACKS);
}

/// Spans of a request.
const SPANS: u64 = 3;
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// A request of OTLP/JSON whose spans have these numbers as ids.
fn request(numbers: std::ops::Range<u64>) -> Value {
    let span = |number: u64| {
        json!({
            "traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"), "name": "attacked",
            "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000001000",
        })
    };
    let spans: Vec<Value> = numbers.map(span).collect();
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
}

/// What senders know.
#[derive(Debug, Default)]
struct Ledger {
    acknowledged: BTreeSet<u64>,
    refusals: u64,
    unexpected: Vec<String>,
}

/// Senders that repeat what is refused.
struct Load {
    stop: Arc<AtomicBool>,
    ledger: Arc<Mutex<Ledger>>,
    senders: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(service: &Service) -> Self {
        let (stop, ledger) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Ledger::default())));
        let sender = |_| {
            let (stop, ledger, url) = (Arc::clone(&stop), Arc::clone(&ledger), service.http("/v1/traces"));
            std::thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    deliver(&url, &ledger);
                }
            })
        };
        let senders = (0..4).map(sender).collect();
        Self { stop, ledger, senders }
    }

    fn acknowledged(&self) -> usize {
        self.ledger.lock().unwrap().acknowledged.len()
    }

    fn wait_for_acknowledged(&self, more: usize) {
        let goal = self.acknowledged() + more;
        wait_until("more spans are acknowledged", || (self.acknowledged() >= goal).then_some(()));
    }

    fn wait_for_refusals(&self, more: u64) {
        let refusals = || self.ledger.lock().unwrap().refusals;
        let goal = refusals() + more;
        wait_until("senders are told to try again", || (refusals() >= goal).then_some(()));
    }

    fn stop(mut self) -> Ledger {
        self.stop.store(true, Ordering::SeqCst);
        self.senders.drain(..).for_each(|sender| sender.join().expect("no sender panics"));
        std::mem::take(&mut *self.ledger.lock().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Sends a request until it is acknowledged.
fn deliver(url: &str, ledger: &Mutex<Ledger>) {
    let first = NEXT_NUMBER.fetch_add(SPANS, Ordering::SeqCst);
    let body = request(first..first + SPANS);
    loop {
        let answer = post_json(url, &body);
        let mut ledger = ledger.lock().unwrap();
        match answer.status {
            200 => return ledger.acknowledged.extend(first..first + SPANS),
            503 if !answer.header("retry-after").is_empty() => ledger.refusals += 1,
            _ => return ledger.unexpected.push(answer.text()),
        }
        drop(ledger);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn journal_of(service: &Service) -> PathBuf {
    service.data_dir().join("journal")
}

fn why(service: &Service) -> Option<String> {
    Some(http::get(&service.health()).json()["why"].as_str()?.to_owned())
}

/// How often each span is stored, once everything has come to its end.
fn stored(service: &Service) -> BTreeMap<u64, u64> {
    wait_until("nothing waits any more", || (service.metric("millrace_spans_pending")? == 0.0).then_some(()));
    let query =
        "SELECT reinterpretAsUInt64(reverse(unhex(SpanId))) AS number, count() AS n FROM otel_traces GROUP BY number";
    let rows = service.sql().rows(query, &[]);
    rows.iter().map(|row| (row["number"].as_u64().unwrap(), row["n"].as_u64().unwrap())).collect()
}

/// Everything acknowledged is stored, once.
fn assert_all_stored(service: &Service, ledger: &Ledger) {
    assert_eq!(ledger.unexpected, [""; 0], "answers that no sender expects");
    let stored = stored(service);
    let lost: Vec<_> = ledger.acknowledged.iter().filter(|number| !stored.contains_key(number)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged spans are lost", lost.len(), ledger.acknowledged.len());
    let doubled: Vec<_> = stored.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "stored more than once: {doubled:?}");
}

fn the_folder_is_removed_under_load() {
    let service = Service::start();
    let load = Load::start(&service);
    for _ in 0..3 {
        load.wait_for_acknowledged(60);
        // it may have made a file meanwhile
        wait_until("the folder is removed", || fs::remove_dir_all(journal_of(&service)).ok());
    }
    load.wait_for_acknowledged(60);
    let ledger = load.stop();
    assert_all_stored(&service, &ledger);
    assert!(service.log().contains("the journal's folder was removed"), "it is said");
}

fn the_folder_is_replaced_by_another_journal() {
    let service = Service::start();
    let (dir, other) = (journal_of(&service), service.data_dir().join("other"));
    fs::create_dir(&other).unwrap();
    let foreign = "0000000000000008-0000000000000007-6.segment";
    fs::write(other.join(foreign), b"of another").unwrap();
    let exchange = || rustix::fs::renameat_with(CWD, &dir, CWD, &other, RenameFlags::EXCHANGE).unwrap();
    let load = Load::start(&service);
    load.wait_for_acknowledged(60);
    exchange();
    load.wait_for_refusals(8);
    let why = wait_until("health says why", || why(&service));
    assert!(why.contains("removed, renamed or replaced"), "{why}");
    let known = load.acknowledged();
    load.wait_for_refusals(8);
    assert_eq!(load.acknowledged(), known, "nothing is acknowledged meanwhile");
    assert_eq!(fs::read(dir.join(foreign)).unwrap(), b"of another");
    exchange();
    load.wait_for_acknowledged(60);
    let ledger = load.stop();
    assert_all_stored(&service, &ledger);
}
