//! Which of several reports of a span stays: the statements that decide it, against a rule that is written down here once more.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use millrace::clickhouse::schema::{self, Home};
use millrace::clickhouse::superseded::{Ids, SPANS_MAX, remove, superseded};
use millrace::clickhouse::{Client, Config};
use millrace::ids::{SpanId, TraceId};
use millrace::time::Clock;
use serde::Deserialize;

use support::Engine;
use support::http;

const SPAN: &str = "00f067aa0ba902b7";
const SECOND: i64 = 1_000_000_000;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Report {
    /// Seconds after the first that may be.
    began: i64,
    seconds: i64,
    said: String,
    journal: u8,
    segment: u8,
}

/// The reports of one span.
#[derive(Debug, Clone)]
struct Reports {
    /// Whether they are reports of a captured call, whose end is that of its arrival.
    is_call: bool,
    reports: Vec<Report>,
}

impl Reports {
    /// Those that are first in the order, which ends with what is said: any of those may stay.
    fn first(&self) -> Vec<&Report> {
        let rank = |report: &Report| {
            let end = if self.is_call { 0 } else { report.began + report.seconds };
            (end, report.said.len(), report.segment, report.journal, report.began, report.seconds)
        };
        let best = self.reports.iter().map(rank).max();
        self.reports.iter().filter(|report| Some(rank(report)) == best).collect()
    }

    /// One stays, with those that are like it in all.
    #[track_caller]
    fn assert_left(&self, left: &[Report]) {
        let first = self.first();
        let stays = left.first().unwrap_or_else(|| panic!("nothing is left of {self:?}"));
        assert!(first.contains(&stays), "{stays:?} of {self:?}");
        let alike: Vec<&Report> = first.into_iter().filter(|report| *report == stays).collect();
        assert_eq!(left.iter().collect::<Vec<_>>(), alike, "of {self:?}");
    }
}

/// Every four of these, one accepted after the other, in every order.
fn every_order(reports: &[Report]) -> Vec<Vec<Report>> {
    let mut all = vec![Vec::new()];
    for segment in 1..=4 {
        let longer = |shorter: &Vec<Report>| {
            let accepted = reports.iter().map(|report| Report { segment, ..report.clone() });
            accepted.map(|last| [&shorter[..], &[last]].concat()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Choices of up to five reports that have much in common.
fn with_ties(seed: u64, count: usize) -> Vec<Vec<Report>> {
    let mut state = seed;
    let mut below = |bound: u8| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from((state >> 33) % u64::from(bound)).expect("below a byte")
    };
    let mut report = || Report {
        began: below(2).into(),
        seconds: below(3).into(),
        said: match below(3) {
            0 => "a".to_owned(),
            1 => "b".to_owned(),
            _ => "cc".to_owned(),
        },
        journal: below(2),
        segment: below(2),
    };
    (0..count).map(|place| (0..2 + place % 4).map(|_| report()).collect()).collect()
}

fn all_reports() -> BTreeMap<u64, Reports> {
    let says = |seconds| {
        ["a", "b", "cc"].map(|said| Report { began: 0, seconds, said: said.to_owned(), journal: 1, segment: 0 })
    };
    let spans = every_order(&[says(1), says(2)].concat()).into_iter().chain(with_ties(7, 1_200));
    let calls = with_ties(11, 400).into_iter().map(|reports| Reports { is_call: true, reports });
    (1..).zip(spans.map(|reports| Reports { is_call: false, reports }).chain(calls)).collect()
}

/// As lines of TSV.
fn rows(all: &BTreeMap<u64, Reports>, base: i64) -> String {
    let mut rows = String::new();
    for (trace, of_span) in all {
        let state = if of_span.is_call { "none" } else { "" };
        for Report { began, seconds, said, journal, segment } in &of_span.reports {
            let (began, duration) = (base + began * SECOND, seconds * SECOND);
            let segment = format!("{journal:08x}-0000-0000-0000-{segment:012x}");
            writeln!(rows, "{trace:032x}\t{began}\t{duration}\t{said}\t{segment}\t{state}")
                .expect("a String takes everything");
        }
    }
    rows
}

fn insert(engine: &Engine, rows: &str) {
    let statements = [
        "CREATE TABLE otel.reports (trace String, began Int64, duration UInt64, said String, segment UUID, state String) ENGINE = Memory",
        &format!("INSERT INTO otel.reports FORMAT TSV\n{rows}"),
        &format!(
            "INSERT INTO otel.otel_traces (TraceId, SpanId, SpanKind, ServiceName, Timestamp, Duration, SpanAttributes, SegmentId, JoinState) \
             SELECT trace, '{SPAN}', 'Server', 'shop', fromUnixTimestamp64Nano(began), duration, map('said', said), segment, state \
             FROM otel.reports"
        ),
    ];
    for statement in statements {
        let answer = http::send("POST", &engine.url(), &[], statement.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// A row that is left.
#[derive(Debug, Deserialize)]
struct Left {
    trace: u64,
    #[serde(flatten)]
    report: Report,
}

/// What is left of each trace.
fn left(engine: &Engine, base: i64) -> HashMap<u64, Vec<Report>> {
    let query = format!(
        "SELECT reinterpretAsUInt64(reverse(unhex(substring(TraceId, 17)))) AS trace, SpanAttributes['said'] AS said, \
         intDiv(toUnixTimestamp64Nano(Timestamp) - {base}, {SECOND}) AS began, intDiv(Duration, {SECOND}) AS seconds, \
         toUInt8(substring(toString(SegmentId), 7, 2)) AS journal, toUInt8(substring(toString(SegmentId), 35, 2)) AS segment \
         FROM otel_traces"
    );
    let mut left: HashMap<u64, Vec<Report>> = HashMap::new();
    for row in engine.sql("otel").rows(&query, &[]) {
        let Left { trace, report } = serde_json::from_value(row).expect("the columns of a report");
        left.entry(trace).or_default().push(report);
    }
    left
}

#[test]
fn whatever_reports_come_in_whatever_order_the_statements_leave_the_one_that_the_rule_says() {
    let engine = Engine::start();
    let client = Client::new(&engine.url(), &Config::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(schema::apply(&client, Home::Embedded)).expect("the table is made");
    let (all, base) = (all_reports(), Clock::System.now().nanos() - 60 * SECOND);
    insert(&engine, &rows(&all, base));
    let ids = |trace: &u64| -> Ids {
        let trace = TraceId::from_hex(format!("{trace:032x}").as_bytes()).expect("an id");
        (trace, SpanId::from_hex(SPAN.as_bytes()).expect("an id"))
    };
    let ids: Vec<Ids> = all.keys().map(ids).collect();
    let began = base..=base + 60 * SECOND;
    for spans in ids.chunks(SPANS_MAX) {
        runtime.block_on(async {
            let rows = superseded(&client, spans, &began).await.expect("ClickHouse answers");
            assert!(!rows.is_empty(), "of each there are several");
            remove(&client, &rows).await.expect("ClickHouse removes them");
        });
    }
    let left = left(&engine, base);
    assert_eq!(left.len(), all.len(), "no span is lost");
    for (trace, reports) in &all {
        reports.assert_left(left.get(trace).map_or(&[], Vec::as_slice));
    }
    // and another round finds nothing more
    for spans in ids.chunks(SPANS_MAX) {
        assert_eq!(runtime.block_on(superseded(&client, spans, &began)).expect("ClickHouse answers"), []);
    }
}
