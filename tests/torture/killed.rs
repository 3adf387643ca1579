//! T1: `kill -9` of the service and its engine, again and again, while senders go on.

use std::thread::sleep;
use std::time::Duration;

use crate::load::{Load, Pace};
use crate::support::{Options, Service};
use crate::watch::Watch;
use crate::{Dice, journal_bytes, rounds, wait_until_drained};

/// A life lasts at most about this long after its first acknowledgement.
const LIFE: Duration = Duration::from_millis(900);
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
    let mut replays = 0;
    for round in 1..=rounds {
        load.wait_for_acknowledged(1);
        sleep(dice.below(LIFE));
        service.kill_group();
        replays += usize::from(journal_bytes(&service) > 0);
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
    let (counts, seen) = (ledger.counts(), watch.end());
    eprintln!("{rounds} rounds, {replays} with a journal to replay: {counts:?} {seen:?}");
    assert!(replays > rounds / 2, "{replays} of {rounds} kills left something to replay");
    assert!(counts.broken > 0 && counts.retries > 0, "no sender noticed: {counts:?}");
    assert!(counts.repeats > 0 && seen.duplicates > 0.0, "nothing was sent twice: {counts:?} {seen:?}");
}
