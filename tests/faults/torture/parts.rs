//! T18: many small tenants, each with a row now and then. Merges keep up with the parts, and ClickHouse never says "too many parts".

use std::time::Duration;

use support::proxy::Fault;
use support::sql::Sql;
use support::wait_at_most;

use super::codes::scene;
use super::ledger::Ledger;
use super::load::{Door, Load, Pace};
use super::{DRAINED_WITHIN, is_long, rounds, wait_until_drained};

const TENANTS: usize = 50;
/// Active parts of a table at any time.
const PARTS_MAX: u64 = 300;
/// Without merges the parts of these are too many.
const INSERTS_MIN: usize = 320;

/// One row a second of each in the long form; in the short one rows come as fast as each can be inserted alone.
fn tenant(number: usize) -> Pace {
    Pace {
        doors: vec![if number.is_multiple_of(2) { Door::OtlpHttp } else { Door::OtlpGrpc }],
        spans: 1,
        pause: Duration::from_millis(if is_long() { 1_000 } else { 200 }),
        header: Some(("x-millrace-workspace", format!("tenant-{number}").leak())),
        ..Pace::default()
    }
}

/// Active parts of the table that has most of them.
fn parts(sql: &Sql) -> u64 {
    let of_each =
        "SELECT count() AS parts FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table";
    sql.number(&format!("SELECT max(parts) AS most FROM ({of_each})"), &[])
}

#[test]
fn rows_of_many_small_tenants_make_few_parts() {
    let scene = scene(if is_long() { "" } else { "exporter: { flush_after: 10ms }" });
    let sql = scene.engine.sql("otel");
    let loads: Vec<Load> = (0..TENANTS).map(|number| Load::start(&scene.service, &tenant(number))).collect();
    // an hour of each tenant's rows
    let (rows, mut most) = (rounds(1, 3_600), 0);
    wait_at_most(2 * DRAINED_WITHIN, "all tenants have sent, and enough was inserted", || {
        most = most.max(parts(&sql));
        let have_sent = loads.iter().all(|load| load.counts().acknowledged >= u64::try_from(rows).expect("few"));
        (have_sent && scene.proxy.inserts().len() >= INSERTS_MIN).then_some(())
    });
    let ledgers: Vec<Ledger> = loads.into_iter().map(Load::stop).collect();
    wait_until_drained(&scene.service, &sql);
    most = most.max(parts(&sql));

    Ledger::merged(&ledgers).assert_kept(&sql);
    let inserts = scene.proxy.inserts();
    eprintln!("{} inserts, at most {most} active parts of a table", inserts.len());
    assert!(most < PARTS_MAX, "{most} active parts after {} inserts", inserts.len());
    let refused = inserts.iter().find(|insert| (insert.fault, insert.status) != (Fault::Pass, Some(200)));
    assert!(refused.is_none(), "an insert was refused: {refused:?}");
    assert_eq!(sql.number("SELECT uniqExact(Workspace) AS tenants FROM otel_traces", &[]), 50, "rows of all tenants");
}
