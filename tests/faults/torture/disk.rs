//! T8: the journal's disk fails under load, in the real binary.

use super::load::{Load, Pace};
use super::shim::{Call, Counter, Failure, FaultyDisk};
use super::watch::Watch;
use super::{rounds, wait_until_drained};
use support::service::free_port;
use support::{Options, Service, http, samples, wait_until};

fn service_on(disk: &FaultyDisk) -> Service {
    // small segments: files are made, renamed and removed all the time
    let yaml = "journal: { segment_rows: 2000 }\nexporter: { flush_after: 100ms }".to_owned();
    let environment = disk.environment();
    Service::start_with(Options { yaml, fixed_ports: true, environment, ..Options::default() })
}

/// The disk breaks for good, again and again: the service says so and ends, and what it acknowledged is there after a
/// start on a good disk.
fn breaks_for_good(call: Call, failure: Failure, counter: Counter) {
    let rounds = rounds(4, 100);
    let disk = FaultyDisk::new();
    let mut service = service_on(&disk);
    let load = Load::start(&service, &Pace::default());
    for _ in 0..rounds {
        load.wait_for_acknowledged(20);
        assert!(disk.count(Counter::GoodFsyncs) > 0, "the journal is not on this disk");
        let failures = disk.count(counter);
        disk.set(call, failure);
        let status = wait_until("the service has ended by itself", || service.ended());
        assert!(disk.count(counter) > failures, "it ended for another reason: {status}");
        assert!(!status.success(), "it ended as if all were well: {status}");
        let log = service.log();
        let last = log.lines().rfind(|line| line.contains("the journal failed"));
        assert!(last.is_some_and(|line| line.contains("Input/output error")), "it does not say why it ended: {log}");
        disk.set(call, Failure::None);
        service.start_again();
    }
    load.wait_for_acknowledged(20);
    let ledger = load.stop();
    wait_until_drained(&service, &service.sql());
    ledger.assert_kept(&service.sql());
    assert!(ledger.counts().retries > 0, "no sender noticed: {:?}", ledger.counts());
}

#[test]
fn after_a_failed_fsync_nothing_is_acknowledged_and_the_service_ends() {
    breaks_for_good(Call::Fsync, Failure::Eio, Counter::FailedFsyncs);
}

#[test]
fn after_a_failed_write_nothing_is_acknowledged_and_the_service_ends() {
    breaks_for_good(Call::Write, Failure::Eio, Counter::FailedWrites);
}

#[test]
fn a_full_disk_refuses_retryably_and_recovers_by_itself() {
    let disk = FaultyDisk::new();
    let mut service = service_on(&disk);
    let watch = Watch::start(&service);
    let load = Load::start(&service, &Pace::default());
    for _ in 0..3 {
        load.wait_for_acknowledged(20);
        let refusals = load.counts().refusals;
        let failures = disk.count(Counter::FailedWrites);
        disk.set(Call::Write, Failure::Enospc);
        wait_until("senders are told to try again", || {
            let is_full = disk.count(Counter::FailedWrites) > failures;
            (is_full && load.counts().refusals > refusals + 3).then_some(())
        });
        // the file system itself says that there is room, so it tries again and again
        wait_until("health says that it refuses", || (http::get(&service.health()).status == 503).then_some(()));
        disk.set(Call::Write, Failure::None);
    }
    load.wait_for_acknowledged(20);
    wait_until("it is well again", || (http::get(&service.health()).status == 200).then_some(()));
    let ledger = load.stop();
    assert_eq!(service.ended(), None, "a full disk is no reason to end");
    wait_until_drained(&service, &service.sql());
    ledger.assert_kept(&service.sql());
    assert_eq!(ledger.counts().broken, 0, "each request was answered: {:?}", ledger.counts());
    watch.end();
}

#[test]
fn a_short_write_is_continued() {
    let disk = FaultyDisk::new();
    let service = service_on(&disk);
    let watch = Watch::start(&service);
    let load = Load::start(&service, &Pace::default());
    disk.set(Call::Write, Failure::Short);
    load.wait_for_acknowledged(100);
    disk.set(Call::Write, Failure::None);
    load.wait_for_acknowledged(20);
    let ledger = load.stop();
    assert!(disk.count(Counter::ShortWrites) > 0, "no write was short");
    wait_until_drained(&service, &service.sql());
    ledger.assert_kept(&service.sql());
    let counts = ledger.counts();
    assert_eq!((counts.refusals, counts.broken), (0, 0), "a sender noticed: {counts:?}");
    watch.end();
}

/// Names fail: the service may go on or end, but what it acknowledged is there when names work again.
fn names_fail(call: Call, counter: Counter) {
    let disk = FaultyDisk::new();
    let mut service = service_on(&disk);
    let load = Load::start(&service, &Pace::default());
    load.wait_for_acknowledged(20);
    disk.set(call, Failure::Eio);
    wait_until("it has met the fault", || (disk.count(counter) > 0 || service.ended().is_some()).then_some(()));
    assert!(disk.count(counter) > 0, "it ended for another reason");
    disk.set(call, Failure::None);
    let went_on = wait_until("it goes on or has ended", || {
        let before = load.counts().acknowledged;
        std::thread::sleep(std::time::Duration::from_millis(500));
        match service.ended() {
            Some(status) => {
                assert!(!status.success(), "it ended as if all were well: {status}");
                Some(false)
            }
            None => (load.counts().acknowledged > before).then_some(true),
        }
    });
    eprintln!("{call:?}: {}", if went_on { "it went on" } else { "it ended" });
    if !went_on {
        service.start_again();
    }
    load.wait_for_acknowledged(20);
    let ledger = load.stop();
    wait_until_drained(&service, &service.sql());
    ledger.assert_kept(&service.sql());
}

#[test]
fn a_file_that_cannot_be_renamed_costs_nothing_that_was_acknowledged() {
    names_fail(Call::Rename, Counter::FailedRenames);
}

#[test]
fn a_file_that_cannot_be_made_costs_nothing_that_was_acknowledged() {
    names_fail(Call::Open, Counter::FailedOpens);
}

/// What waits may be more than a start reads in a moment: senders and health are answered meanwhile, and nothing is taken that may be
/// a repeat.
#[test]
fn while_the_journal_is_read_senders_are_told_to_try_again() {
    let disk = FaultyDisk::new();
    let away = Some(format!("http://127.0.0.1:{}", free_port()));
    let options =
        Options { fixed_ports: true, clickhouse_url: away, environment: disk.environment(), ..Options::default() };
    let mut service = Service::start_with(options);
    let request = samples::request(3, samples::ordinary);
    let send = |service: &Service| {
        let headers = [("content-type", "application/x-protobuf")];
        http::try_send("POST", &service.http("/v1/traces"), &headers, &request).ok()
    };
    assert_eq!(send(&service).map(|answer| answer.status), Some(200));
    service.kill();
    disk.set(Call::Read, Failure::Hang);
    service.start_again_without_waiting();
    let refused = wait_until("a sender is answered", || send(&service));
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.text());
    let health = http::get(&service.health());
    assert_eq!((health.status, health.text().contains("Millrace is starting")), (503, true), "{}", health.text());
    disk.set(Call::Read, Failure::None);
    wait_until("it accepts", || (http::get(&service.health()).status == 200).then_some(()));
    assert_eq!(send(&service).map(|answer| answer.status), Some(200));
    assert_eq!(service.metric("millrace_spans_duplicate_total"), Some(3.0), "the repeat is known");
    assert_eq!(service.metric("millrace_spans_pending"), Some(3.0));
}
