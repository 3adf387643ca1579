//! T2: ClickHouse alone is killed under load, again and again. Senders notice nothing.

use std::thread::sleep;
use std::time::Duration;

use super::load::{Load, Pace};
use super::watch::Watch;
use super::{Dice, rounds, wait_until_drained};
use support::process::signal;
use support::{Options, Service, wait_until};

const LIFE: Duration = Duration::from_millis(400);

#[test]
fn an_engine_killed_under_load_costs_no_request() {
    let kills = rounds(4, 100);
    let service = Service::start_with(Options { fixed_ports: true, ..Options::default() });
    let watch = Watch::start(&service);
    let load = Load::start(&service, &Pace::default());
    let mut dice = Dice::new();
    for _ in 0..kills {
        load.wait_for_acknowledged(20);
        sleep(dice.below(LIFE));
        let engine = wait_until("an engine runs", || service.engine_pid());
        signal(engine, "KILL");
        load.wait_for_acknowledged(20);
    }
    let ledger = load.stop();
    wait_until_drained(&service, &service.sql());
    ledger.assert_kept(&service.sql());
    let (counts, seen) = (ledger.counts(), watch.end());
    eprintln!("{kills} kills: {counts:?} {seen:?}");
    assert_eq!((counts.refusals, counts.broken), (0, 0), "a sender noticed: {counts:?}");
    assert!(counts.repeats > 0 && seen.duplicates > 0.0, "nothing was sent twice: {counts:?} {seen:?}");
    let failures = service.metric("millrace_clickhouse_insert_failures_total");
    assert!(failures.is_some_and(|n| n > 0.0), "no insert failed: the kills hit nothing");
}
