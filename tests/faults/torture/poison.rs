//! T15: one bad row among ten thousand, over more days than ClickHouse likes in one insert.

use super::codes::{Scene, dead_letter, run_dead_letter, scene};
use super::ledger::Ledger;
use super::load::{Door, Load, Pace};
use super::wait_until_drained;

const GOOD_REQUESTS: u64 = 50;
const SPANS: usize = 100;
const DAYS: u64 = 400;
/// Each is a part of its own in ClickHouse, which takes its time over them.
const DAYS_PER_REQUEST: u64 = if cfg!(feature = "torture") { 40 } else { 4 };
const REFUSE: &str = "ALTER TABLE otel_traces ADD CONSTRAINT no_poison CHECK SpanName != 'poison'";
const TAKE: &str = "ALTER TABLE otel_traces DROP CONSTRAINT no_poison";

fn poison(scene: &Scene) -> Ledger {
    let pace = Pace { doors: vec![Door::OtlpGrpc], spans: 1, requests_max: 1, span_name: "poison", ..Pace::default() };
    Load::start(&scene.service, &pace).finish()
}

fn dead_lettered(scene: &Scene) -> f64 {
    scene.service.metric("millrace_spans_dead_lettered_total").expect("the counter is there")
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn one_bad_row_among_ten_thousand_is_left_out_alone_and_can_be_sent_again_or_dropped() {
    let scene = scene("exporter: { flush_after: 2s }");
    let sql = scene.engine.sql("otel");
    sql.rows(REFUSE, &[]);
    let half = Pace {
        doors: vec![Door::OtlpHttp, Door::OtlpGrpc],
        spans: SPANS,
        requests_max: GOOD_REQUESTS / 2,
        days: DAYS,
        days_per_request: DAYS_PER_REQUEST,
        ..Pace::default()
    };
    let before = Load::start(&scene.service, &half).finish();
    let bad = poison(&scene);
    let after = Load::start(&scene.service, &half).finish();
    wait_until_drained(&scene.service, &sql);

    let good = Ledger::merged(&[before, after]);
    good.assert_kept(&sql);
    assert_eq!(good.counts().spans_acknowledged, 2 * GOOD_REQUESTS * u64::try_from(SPANS).expect("few"));
    assert_eq!(dead_lettered(&scene), 1.0, "the bad row, and it alone");
    let list = said(&dead_letter(&scene, &["list"]));
    let letter = list.split_whitespace().find(|word| is_id(word)).unwrap_or_else(|| panic!("no id in: {list}"));
    let shown = said(&dead_letter(&scene, &["show", letter]));
    assert!(shown.contains("469") && shown.contains("no_poison"), "the reason is told: {shown}");

    // still refused: it stays where it is
    let refused = run_dead_letter(&scene, &["retry", "--all"]);
    assert!(!refused.status.success() && said(&refused).contains("469"), "{refused:?}");
    good.assert_kept(&sql);
    assert!(said(&dead_letter(&scene, &["list"])).contains(letter), "a refused letter is kept");
    // mended: it arrives
    sql.rows(TAKE, &[]);
    dead_letter(&scene, &["retry", "--all"]);
    Ledger::merged(&[good.clone(), bad.clone()]).assert_kept(&sql);
    assert!(!said(&dead_letter(&scene, &["list"])).contains(letter), "a stored letter is gone");

    // another, to be dropped
    sql.rows(REFUSE, &[]);
    let dropped = poison(&scene);
    wait_until_drained(&scene.service, &sql);
    let list = said(&dead_letter(&scene, &["list"]));
    let letter = list.split_whitespace().find(|word| is_id(word)).unwrap_or_else(|| panic!("no id in: {list}"));
    dead_letter(&scene, &["drop", letter]);
    assert!(!said(&dead_letter(&scene, &["list"])).contains(letter), "a dropped letter is gone");
    assert_eq!(dropped.counts().acknowledged, 1);
    Ledger::merged(&[good, bad]).assert_kept(&sql);
}

/// What a letter is called: the segment, a UUID, and its first row.
fn is_id(word: &str) -> bool {
    word.len() > 36 && word.bytes().filter(|byte| *byte == b'-').count() == 5
}
