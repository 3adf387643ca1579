//! T1, T11: `kill -9` of the service and its engine, again and again, while senders go on.

use std::thread::sleep;
use std::time::Duration;

use super::load::{Load, Pace};
use super::watch::Watch;
use super::{Dice, replays, rounds, wait_until_drained};
use support::proxy::{Fault, Proxy};
use support::{Engine, Options, Service};

/// A life lasts at most about this long after its first acknowledgement.
const LIFE: Duration = Duration::from_millis(600);
/// One start in so many is killed before it is finished.
const KILL_EARLY_ONE_IN: usize = 4;

#[test]
fn whenever_it_is_killed_each_acknowledged_span_is_stored_once() {
    let rounds = rounds(10, 200);
    let yaml = "exporter: { flush_after: 300ms }".to_owned();
    let mut service = Service::start_with(Options { yaml, own_group: true, fixed_ports: true, ..Options::default() });
    let watch = Watch::start(&service);
    let load = Load::start(&service, &Pace::default());
    let mut dice = Dice::new();
    for round in 1..=rounds {
        load.wait_for_acknowledged(1);
        sleep(dice.below(LIFE));
        service.kill_group();
        if round % KILL_EARLY_ONE_IN == 0 {
            service.start_again_without_waiting();
            sleep(dice.below(LIFE));
            service.kill_group();
        }
        service.start_again();
    }
    load.wait_for_acknowledged(1);
    let ledger = load.stop();
    wait_until_drained(&service, &service.sql());
    ledger.assert_kept(&service.sql());
    let (counts, seen, replays) = (ledger.counts(), watch.end(), replays(&service));
    eprintln!("{rounds} rounds, {replays} replays: {counts:?} {seen:?}");
    assert!(replays > 0, "no kill left something to replay");
    assert!(counts.broken > 0 && counts.retries > 0, "no sender noticed: {counts:?}");
    assert!(counts.repeats > 0 && seen.duplicates > 0.0, "nothing was sent twice: {counts:?} {seen:?}");
}

/// T11. What waits is the journal of many lives; repeats are recognised by it alone.
#[test]
fn killed_again_and_again_while_clickhouse_is_away_it_loses_nothing_and_stores_nothing_twice() {
    let rounds = rounds(3, 50);
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Pass);
    let url = Some(proxy.url());
    let options = Options { clickhouse_url: url, own_group: true, fixed_ports: true, ..Options::default() };
    let mut service = Service::start_with(options);
    let watch = Watch::start(&service);
    let load = Load::start(&service, &Pace::default());
    load.wait_for_acknowledged(20);
    proxy.set(Fault::Code(210));
    let mut dice = Dice::new();
    for _ in 0..rounds {
        load.wait_for_acknowledged(20);
        sleep(dice.below(LIFE));
        service.kill_group();
        service.start_again();
    }
    load.wait_for_acknowledged(20);
    let backlog = service.metric("millrace_spans_pending").expect("the gauge is there");
    proxy.set(Fault::Pass);
    let ledger = load.stop();
    wait_until_drained(&service, &engine.sql("otel"));
    ledger.assert_kept(&engine.sql("otel"));
    let (counts, seen, replays) = (ledger.counts(), watch.end(), replays(&service));
    eprintln!("{rounds} rounds, {replays} replays, backlog {backlog}: {counts:?} {seen:?}");
    assert_eq!(replays, rounds, "each start found a backlog");
    assert!(counts.repeats > 0 && seen.duplicates > 0.0, "nothing was sent twice: {counts:?} {seen:?}");
}

#[test]
fn what_is_acknowledged_as_stored_is_in_clickhouse_already() {
    let engine = Engine::start();
    let (yaml, url) = ("exporter: { flush_after: 10ms }".to_owned(), Some(engine.url()));
    let options = Options { yaml, clickhouse_url: url, own_group: true, fixed_ports: true, ..Options::default() };
    let mut service = Service::start_with(options);
    let load = Load::start(&service, &Pace { header: Some(("x-millrace-ack", "stored")), ..Pace::default() });
    load.wait_for_acknowledged(50);
    let ledger = load.stop();
    service.kill_group();
    ledger.assert_kept(&engine.sql("otel"));
}
