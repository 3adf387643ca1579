//! T13: single faults between exporter and ClickHouse, mixed under load: each row once, in the table and in a roll-up.

use super::away::assert_repeats_are_alike;
use super::load::{Load, Pace};
use super::watch::Watch;
use super::{DRAINED_WITHIN, is_long, rounds, wait_until_drained};
use support::proxy::{Fault, Proxy};
use support::{Engine, Options, Service, wait_at_most, wait_until};

const FAULTS: [Fault; 14] = [
    Fault::ResetBeforeBody,
    Fault::ResetMidBody,
    Fault::ResetAfterBody,
    Fault::CutAnswer,
    Fault::Code(241),
    Fault::Code(252),
    Fault::Code(319),
    Fault::Code(999),
    Fault::Code(9999),
    Fault::Status(429),
    Fault::Status(502),
    Fault::OkWithHeader(241),
    Fault::OkWithBody(241),
    Fault::Slow(1),
];
/// The exporter waits out its patience for each of these: half a minute.
const SILENT: [Fault; 2] = [Fault::Stall, Fault::HalfOpen];

/// What an operator may have beside the table: a sum over what was inserted.
const ROLL_UP: &str = "CREATE MATERIALIZED VIEW spans_per_service ENGINE = SummingMergeTree ORDER BY ServiceName \
    SETTINGS non_replicated_deduplication_window = 10000 \
    AS SELECT ServiceName, count() AS spans FROM otel_traces GROUP BY ServiceName";

#[test]
fn whatever_happens_to_an_insert_each_row_is_stored_once_and_counted_once_in_a_roll_up() {
    let rounds = rounds(1, 500);
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Pass);
    let yaml = "exporter: { flush_after: 40ms }".to_owned();
    let options = Options { yaml, clickhouse_url: Some(proxy.url()), fixed_ports: true, ..Options::default() };
    let service = Service::start_with(options);
    let sql = engine.sql("otel");
    wait_until("there is a table", || sql.try_rows("SELECT 1 FROM otel_traces LIMIT 1", &[]).ok());
    sql.rows(ROLL_UP, &[]);
    let watch = Watch::start(&service);
    let load = Load::start(&service, &Pace::default());
    for round in 0..rounds {
        for fault in FAULTS {
            meet(&proxy, fault);
        }
        if is_long() && round % 100 == 0 {
            SILENT.into_iter().for_each(|fault| meet(&proxy, fault));
        }
    }
    let ledger = load.stop();
    wait_until_drained(&service, &sql);
    ledger.assert_kept(&sql);
    let rows = sql.number("SELECT count() AS n FROM otel_traces", &[]);
    let summed = sql.number("SELECT toUInt64(sum(spans)) AS n FROM spans_per_service", &[]);
    assert_eq!(summed, rows, "the roll-up counted a repeat");
    let (counts, seen) = (ledger.counts(), watch.end());
    eprintln!("{rounds} rounds of {} faults: {rows} rows, {counts:?} {seen:?}", FAULTS.len());
    let committed_and_cut = proxy.done(Fault::CutAnswer);
    assert!(committed_and_cut >= u64::try_from(rounds).expect("few"), "{committed_and_cut} answers were cut");
    assert_repeats_are_alike(&proxy.inserts());
    assert_eq!((counts.refusals, counts.broken), (0, 0), "a sender noticed: {counts:?}");
    assert!(counts.repeats > 0 && seen.duplicates > 0.0, "nothing was sent twice: {counts:?} {seen:?}");
}

/// One insert meets the fault.
fn meet(proxy: &Proxy, fault: Fault) {
    let before = proxy.done(fault);
    proxy.inject(fault, 1);
    wait_at_most(DRAINED_WITHIN, "an insert has met the fault", || (proxy.done(fault) > before).then_some(()));
}
