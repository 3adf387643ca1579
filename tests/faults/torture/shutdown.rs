//! T41: SIGTERM under load, again and again: each request is answered or refused, and nothing is lost.

use std::thread::sleep;
use std::time::Duration;

use super::ledger::Ledger;
use super::load::{Load, Pace};
use super::watch::Watch;
use super::{Dice, rounds, wait_until_drained};
use support::{Options, Service};

const LIFE: Duration = Duration::from_millis(150);

#[test]
fn whenever_it_is_stopped_each_acknowledged_span_is_stored_once() {
    let (service, ledger) = stop_again_and_again("durable", rounds(10, 100));
    ledger.assert_kept(&service.sql());
}

/// A repeat that arrives before the new start has asked ClickHouse what is stored may be stored again: there is no
/// journal to tell.
#[test]
fn whenever_it_is_stopped_what_it_acknowledged_from_memory_is_stored_too() {
    let (service, ledger) = stop_again_and_again("memory", rounds(2, 100));
    let doubled = ledger.assert_not_lost(&service.sql()).len();
    eprintln!("stored twice: {doubled}");
}

fn stop_again_and_again(ack: &'static str, rounds: usize) -> (Service, Ledger) {
    let options = Options { ack: Some(ack), fixed_ports: true, ..Options::default() };
    let mut service = Service::start_with(options);
    let watch = Watch::start(&service);
    let load = Load::start(&service, &Pace::default());
    let mut dice = Dice::new();
    for _ in 0..rounds {
        load.wait_for_acknowledged(5);
        sleep(dice.below(LIFE));
        let status = service.terminate();
        assert_eq!(status.code(), Some(0), "{status}");
        service.start_again();
    }
    load.wait_for_acknowledged(5);
    let ledger = load.stop();
    wait_until_drained(&service, &service.sql());
    let (counts, seen) = (ledger.counts(), watch.end());
    eprintln!("{ack}, {rounds} stops: {counts:?} {seen:?}");
    assert!(counts.retries > 0, "no sender noticed: {counts:?}");
    assert!(counts.repeats > 0 && seen.duplicates > 0.0, "nothing was sent twice: {counts:?} {seen:?}");
    (service, ledger)
}
