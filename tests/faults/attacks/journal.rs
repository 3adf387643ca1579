//! The journal's folder: whatever is done to it, what was acknowledged is stored or named as lost, and nothing is stored twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use serde_json::{Value, json};

use super::{Attack, hold_off};
use support::http::{self, post_json};
use support::service::{Options, binary, free_port};
use support::sql::Sql;
use support::{Engine, Service, wait_until};

const ATTACKS: &[Attack] = &[
    Attack { name: "the folder is removed under load", run: the_folder_is_removed_under_load },
    Attack { name: "the folder is replaced by another journal", run: the_folder_is_replaced_by_another_journal },
    Attack { name: "bits are flipped in what waits", run: bits_are_flipped },
    Attack { name: "files are emptied, cut and removed", run: files_are_emptied_cut_and_removed },
    Attack { name: "segments are copied, renamed, and others put beside them", run: others_are_put_into_the_folder },
    Attack { name: "a second process is started on the folder", run: a_second_process_is_started },
];

/// The ClickHouse of the attacks between a stop and a start.
static ENGINE: Mutex<Option<Engine>> = Mutex::new(None);

struct EndsEngine;

impl Drop for EndsEngine {
    fn drop(&mut self) {
        ENGINE.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[test]
fn attacks_of_this_area_hold() {
    let _ends = EndsEngine;
    *ENGINE.lock().unwrap() = Some(Engine::start());
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
fn stored(service: &Service, sql: &Sql) -> BTreeMap<u64, u64> {
    wait_until("nothing waits any more", || (service.metric("millrace_spans_pending")? == 0.0).then_some(()));
    let query =
        "SELECT reinterpretAsUInt64(reverse(unhex(SpanId))) AS number, count() AS n FROM otel_traces GROUP BY number";
    let rows = sql.rows(query, &[]);
    rows.iter().map(|row| (row["number"].as_u64().unwrap(), row["n"].as_u64().unwrap())).collect()
}

/// Everything acknowledged is stored, once.
fn assert_all_stored(service: &Service, ledger: &Ledger) {
    assert_eq!(ledger.unexpected, [""; 0], "answers that no sender expects");
    let stored = stored(service, &service.sql());
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

/// A service whose spans wait, a segment for each request, with what it acknowledged.
fn with_waiting_spans(database: &'static str, requests: u64) -> (Service, Vec<u64>) {
    let away = format!("http://127.0.0.1:{}", free_port());
    let service = Service::start_with(Options {
        yaml: format!("clickhouse: {{ database: {database} }}\njournal: {{ segment_rows: {SPANS} }}"),
        environment: vec![("MILLRACE_CLICKHOUSE_URL".to_owned(), away)],
        ..Options::default()
    });
    let acknowledged = acknowledged_by(&service, requests);
    (service, acknowledged)
}

/// Sends so many requests, one after the other.
fn acknowledged_by(service: &Service, requests: u64) -> Vec<u64> {
    let ledger = Mutex::new(Ledger::default());
    (0..requests).for_each(|_| deliver(&service.http("/v1/traces"), &ledger));
    ledger.into_inner().unwrap().acknowledged.into_iter().collect()
}

/// Starts it again, with a ClickHouse this time.
fn start_with_clickhouse(service: &mut Service, database: &'static str) -> Sql {
    let sql = ENGINE.lock().unwrap().as_ref().unwrap().sql(database);
    service.set_environment(vec![("MILLRACE_CLICKHOUSE_URL".to_owned(), sql.url.clone())]);
    service.start_again();
    sql
}

/// The journal's files with this ending, oldest first.
fn files(service: &Service, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(journal_of(service)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == ending)).collect();
    files.sort();
    files
}

/// Reasons and losses, as health names them.
fn set_aside(service: &Service) -> Vec<(String, Value)> {
    let health = http::get(&service.health()).json();
    let files = health["journal"]["set_aside"].as_array().cloned().unwrap_or_default();
    files.iter().map(|file| (file["reason"].as_str().unwrap().to_owned(), file["spans_lost"].clone())).collect()
}

/// Nothing is stored twice, and what is not stored is said to be lost: as many as that.
fn assert_all_accounted_for(service: &Service, sql: &Sql, acknowledged: &[u64], lost: usize) {
    let stored = stored(service, sql);
    assert!(stored.values().all(|count| *count == 1), "stored more than once: {stored:?}");
    assert_eq!(acknowledged.iter().filter(|number| !stored.contains_key(number)).count(), lost);
    assert_eq!(service.metric("millrace_journal_spans_lost_total"), Some(lost as f64));
    assert_eq!(service.metric("millrace_journal_losses_uncounted_total"), Some(0.0));
}

fn bits_are_flipped() {
    let (mut service, acknowledged) = with_waiting_spans("otel_flipped", 6);
    service.kill();
    let waiting = [files(&service, "segment"), files(&service, "open"), files(&service, "doubt")].concat();
    let damaged: Vec<&PathBuf> =
        waiting.iter().filter(|path| fs::metadata(path).unwrap().len() > 400).take(3).collect();
    assert_eq!(damaged.len(), 3, "{waiting:?}");
    for path in &damaged {
        let mut bytes = fs::read(path).unwrap();
        bytes[200] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let sql = start_with_clickhouse(&mut service, "otel_flipped");
    assert_all_accounted_for(&service, &sql, &acknowledged, 9);
    assert_eq!(set_aside(&service).len(), 3, "{:?}", set_aside(&service));
    assert_eq!(fs::read_dir(journal_of(&service).join("damaged")).unwrap().count(), 3);
    assert!(service.log().contains("rows_lost=3"), "the log says how many");
}

fn files_are_emptied_cut_and_removed() {
    let (mut service, acknowledged) = with_waiting_spans("otel_emptied", 8);
    service.kill();
    let waiting = [files(&service, "segment"), files(&service, "open"), files(&service, "doubt")].concat();
    let waiting: Vec<PathBuf> = waiting.into_iter().filter(|path| fs::metadata(path).unwrap().len() > 400).collect();
    let [emptied, cut, removed, ..] = &waiting[..] else { panic!("{waiting:?}") };
    fs::write(emptied, b"").unwrap();
    let half = fs::read(cut).unwrap();
    fs::write(cut, &half[..half.len() / 2]).unwrap();
    fs::remove_file(removed).unwrap();
    let sql = start_with_clickhouse(&mut service, "otel_emptied");
    assert_all_accounted_for(&service, &sql, &acknowledged, 9);
    let mut reasons: Vec<String> = set_aside(&service).into_iter().map(|(reason, _)| reason).collect();
    reasons.sort();
    assert_eq!(reasons, ["missing", "unreadable", "unreadable"]);
}

fn others_are_put_into_the_folder() {
    let (mut service, mut acknowledged) = with_waiting_spans("otel_beside", 6);
    service.kill();
    let dir = journal_of(&service);
    let waiting = [files(&service, "segment"), files(&service, "doubt")].concat();
    let [copied, renamed, ..] = &waiting[..] else { panic!("{waiting:?}") };
    let name = |number: &str, ending: &str| dir.join(format!("{number}-0000000000000007{ending}"));
    fs::copy(copied, name("0000000000000123", "-3.segment")).unwrap();
    fs::copy(copied, name("ffffffffffffffff", "-3.segment")).unwrap();
    fs::rename(renamed, name("0000000000000124", "-30.segment")).unwrap();
    fs::write(name("fffffffffffffffe", "-1.segment"), b"garbage").unwrap();
    fs::write(dir.join("notes.txt"), b"of an operator").unwrap();
    symlink("/etc/passwd", name("0000000000000125", "-3.segment")).unwrap();
    fs::create_dir(name("0000000000000126", ".open")).unwrap();
    let pipe = name("0000000000000127", "-3.segment");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let sql = start_with_clickhouse(&mut service, "otel_beside");
    acknowledged.extend(acknowledged_by(&service, 10));
    let stored = stored(&service, &sql);
    assert!(acknowledged.iter().all(|number| stored.get(number) == Some(&1)), "{stored:?}");
    assert_eq!(stored.len(), acknowledged.len());
    let mut reasons: Vec<String> = set_aside(&service).into_iter().map(|(reason, _)| reason).collect();
    reasons.sort();
    assert_eq!(reasons, ["copy", "copy", "not_a_file", "not_a_file", "not_a_file", "unreadable"]);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(dir.join("notes.txt").exists() && service.log().contains("notes.txt"));
}

fn a_second_process_is_started() {
    let (service, _) = with_waiting_spans("otel_second", 1);
    let lock = journal_of(&service).join("lock");
    for is_removed in [false, true] {
        if is_removed {
            fs::remove_file(&lock).unwrap();
        }
        let mut second = binary();
        second.arg("serve").env("MILLRACE_CLICKHOUSE_URL", "http://127.0.0.1:9");
        let config = service.data_dir().with_file_name("second.yaml");
        let listen = "{ listen: 127.0.0.1:0 }";
        let yaml = format!(
            "data_dir: {}\nreceivers: {{ otlp_grpc: {listen}, http: {listen} }}\nadmin: {{ health: {listen}, metrics: {listen} }}\npage: {listen}\n",
            service.data_dir().display()
        );
        fs::write(&config, yaml).unwrap();
        let ended = second.arg("--config").arg(&config).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains("another Millrace uses the journal"), "{said}");
    }
}
