//! Several reports of one span in the table: which of them stays, and the statements that find and remove the others.
//!
//! ```text
//! doubled      of a time, spans that have several rows               SELECT .. GROUP BY .. HAVING count() > 1
//! superseded   of some spans, the rows that do not stay              SELECT .. rank() OVER (..)
//! remove       takes those rows away                                 DELETE .. WHERE (span, segment, ..) IN (..)
//! ```
//!
//! A span is a workspace, a trace, an id, a kind and a service. Of its reports the one stays that ends last; of those the one
//! that says most; of those the one that was accepted last. What a captured call says of its times is part of its id, or they
//! are those of its arrival: of its reports the one stays that says most. The rest of the order makes it the same row whoever looks: it
//! depends on nothing but what the rows hold, and on nothing that changes after they were stored. Rows that are alike in
//! all of it are left alone: no statement could tell them apart.
//!
//! The DELETE is a lightweight one: it writes a small patch part, and readers see it at once.
//!
//! Source: clickhouse.com/docs, "The Lightweight DELETE Statement".

use super::client::{Client, EACH_SHARD_GROUPS, Setting};
use super::errors::Failure;
use crate::columns::COLUMNS;
use crate::ids::{SpanId, TraceId};
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// Spans that one statement is about, at most.
pub const SPANS_MAX: usize = 500;
/// Rows that one DELETE takes away, at most.
const ROWS_MAX: usize = 5_000;

/// A list of spans is long, and a statement that nobody waits for any more must end.
const SETTINGS: [Setting; 2] = [("max_query_size", "16777216"), ("max_execution_time", "60")];
/// The walk may not take what others need.
const WALK_SETTINGS: [Setting; 5] = [
    ("max_execution_time", "20"),
    ("max_memory_usage", "268435456"),
    ("max_threads", "1"),
    EACH_SHARD_GROUPS[0],
    EACH_SHARD_GROUPS[1],
];
/// As a patch part, where ClickHouse has those.
const DELETE_SETTINGS: [Setting; 2] =
    [("lightweight_delete_mode", "lightweight_update"), ("allow_experimental_lightweight_update", "1")];

/// Columns that change after a row was stored, or say how it was stored, or are looked at by themselves.
const NOT_SAID: [&str; 12] = [
    "ParentSpanId",
    "SessionId",
    "JoinState",
    "SegmentId",
    "Timestamp",
    "Duration",
    "CostTotal",
    "CostInput",
    "CostOutput",
    "CostSource",
    "PriceId",
    "PriceBook",
];
/// A cost that was computed is not said by the report, and changes with the prices.
const COST_SAID: &str =
    "if(CostSource = 'computed', (NULL, NULL, NULL, ''), (CostTotal, CostInput, CostOutput, toString(CostSource)))";

/// All that a report says, as one text.
static SAID: LazyLock<String> = LazyLock::new(|| {
    let said = COLUMNS.iter().map(|column| column.name).filter(|name| !NOT_SAID.contains(name));
    let said: Vec<String> = said.map(|name| format!("`{name}`")).collect();
    // whoever joins a pair changes its parent and session
    let said = said.join(", ");
    format!("toString(tuple({said}, {COST_SAID}, if(JoinState = '', (ParentSpanId, SessionId), ('', ''))))")
});

/// When spans began, in nanoseconds since 1970.
pub type Began = RangeInclusive<i64>;

/// A span by its ids.
pub type Ids = (TraceId, SpanId);

/// A part of the rows of a time: those whose trace has this place of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Which.
    pub place: u32,
    /// Of how many.
    pub of: u32,
}

/// A row that does not stay.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
pub struct Superseded {
    /// Its trace, lower-case hex.
    pub trace: String,
    /// Its span, lower-case hex.
    pub span: String,
    /// The segment that it came with.
    pub segment: String,
    /// When it began.
    pub began: i64,
    /// How long it took.
    pub duration: u64,
    /// A hash of what it says.
    pub said: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Doubled {
    trace: String,
    span: String,
    began: i64,
}

/// Spans that have several rows on one shard, and when they began: at most [`SPANS_MAX`].
///
/// # Errors
/// If ClickHouse rejects the statement, is unreachable, or needs more than the walk may take.
pub async fn doubled(client: &Client, began: &Began, slice: Slice) -> Result<Vec<(Ids, i64)>, Failure> {
    let sql = format!(
        "SELECT TraceId AS trace, SpanId AS span, toUnixTimestamp64Nano(max(Timestamp)) AS began FROM {} WHERE {} \
         AND cityHash64(TraceId) % {} = {} GROUP BY TraceId, SpanId, SpanKind, ServiceName, Workspace \
         HAVING count() > 1 LIMIT {SPANS_MAX}",
        client.table(),
        within(began),
        slice.of,
        slice.place,
    );
    let found: Vec<Doubled> = client.rows_with(&sql, &WALK_SETTINGS).await?;
    // ids that are none of ours are somebody else's rows
    let ids = |doubled: &Doubled| {
        Some((TraceId::from_hex(doubled.trace.as_bytes()).ok()?, SpanId::from_hex(doubled.span.as_bytes()).ok()?))
    };
    Ok(found.iter().filter_map(|doubled| Some((ids(doubled)?, doubled.began))).collect())
}

/// The rows of these spans that do not stay.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn superseded(client: &Client, spans: &[Ids], began: &Began) -> Result<Vec<Superseded>, Failure> {
    if spans.is_empty() {
        return Ok(Vec::new());
    }
    client.rows_with(&superseded_statement(&client.table(), spans, began), &SETTINGS).await
}

fn superseded_statement(table: &str, spans: &[Ids], began: &Began) -> String {
    let scope =
        format!("{} AND {}", within(began), is_one_of(spans.iter().map(|(t, s)| (t.to_string(), s.to_string()))));
    // what is read first is light: only spans of several rows are read whole. On a cluster each shard answers with what the order
    // depends on and not with texts, and the reports of a span may lie on several since one was added (GLOBAL)
    let columns = ORDER.map(|(name, value)| format!("{} AS {name}", value.replace("SAID", &SAID)));
    format!(
        "SELECT TraceId AS trace, SpanId AS span, segment, began, duration, said FROM (\
         SELECT TraceId, SpanId, segment, began, duration, said, {place} AS place FROM (\
         SELECT TraceId, SpanId, SpanKind, ServiceName, Workspace, {columns} \
         FROM {table} WHERE {scope} AND (TraceId, SpanId, SpanKind, ServiceName, Workspace) GLOBAL IN (\
         SELECT TraceId, SpanId, SpanKind, ServiceName, Workspace FROM {table} WHERE {scope} \
         GROUP BY TraceId, SpanId, SpanKind, ServiceName, Workspace HAVING count() > 1))) \
         WHERE place > 1 LIMIT {ROWS_MAX}",
        place = rank(ORDER.map(|(name, _value)| name.to_owned())),
        columns = columns.join(", "),
    )
}

/// What the order of a span's rows depends on, the first first: names, and their values in the table. `SAID` is all that a report
/// says.
const ORDER: [(&str, &str); 7] = [
    ("ended", "if(JoinState = '', toUInt64(greatest(toUnixTimestamp64Nano(Timestamp), 0)) + toUInt64(Duration), 0)"),
    ("says", "length(SAID)"),
    ("sealed", "substring(toString(SegmentId), 20)"),
    ("segment", "toString(SegmentId)"),
    ("began", "toUnixTimestamp64Nano(Timestamp)"),
    ("duration", "toUInt64(Duration)"),
    ("said", "sipHash64(SAID)"),
];

fn rank(by: [String; 7]) -> String {
    let by = by.map(|value| format!("{value} DESC"));
    format!("rank() OVER (PARTITION BY TraceId, SpanId, SpanKind, ServiceName, Workspace ORDER BY {})", by.join(", "))
}

/// The place of a row among those of its span: the first stays.
pub(super) fn place() -> String {
    rank(ORDER.map(|(_name, value)| value.replace("SAID", &SAID)))
}

/// Takes rows away. Doing it twice is the same.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable; it may have been done.
pub async fn remove(client: &Client, rows: &[Superseded]) -> Result<(), Failure> {
    let Some(statement) = delete_statement(&client.changed_table(), rows) else { return Ok(()) };
    let settings = [&SETTINGS[..], &DELETE_SETTINGS[..]].concat();
    client.change(&statement, &settings).await
}

fn delete_statement(target: &str, rows: &[Superseded]) -> Option<String> {
    let began = rows.iter().map(|row| row.began).min()?..=rows.iter().map(|row| row.began).max()?;
    let those: Vec<String> = rows
        .iter()
        .map(|Superseded { span, segment, began, duration, said, .. }| {
            format!("('{span}','{segment}',{began},{duration},{said})")
        })
        .collect();
    Some(format!(
        "DELETE FROM {target} WHERE {} AND {} AND \
         (SpanId, toString(SegmentId), toUnixTimestamp64Nano(Timestamp), toUInt64(Duration), sipHash64({})) IN ({})",
        within(&began),
        is_one_of(rows.iter().map(|row| (row.trace.clone(), row.span.clone()))),
        *SAID,
        those.join(","),
    ))
}

fn within(began: &Began) -> String {
    let [from, to] = [began.start(), began.end()].map(|nanos| format!("fromUnixTimestamp64Nano({nanos})"));
    format!("Timestamp BETWEEN {from} AND {to}")
}

/// Ids are hex digits.
fn is_one_of(spans: impl Iterator<Item = (String, String)>) -> String {
    let (traces, spans): (BTreeSet<String>, BTreeSet<String>) = spans.unzip();
    let list = |ids: BTreeSet<String>| ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
    format!("TraceId IN ({}) AND SpanId IN ({})", list(traces), list(spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_is_told_from_what_stays_by_all_that_the_order_depends_on() {
        let row = |duration: u64| Superseded {
            trace: "0af7651916cd43dd8448eb211c80319c".into(),
            span: "00f067aa0ba902b7".into(),
            segment: "00112233-4455-6677-8899-aabbccddeeff".into(),
            began: 5 - duration.cast_signed(),
            duration,
            said: 9,
        };
        let statement = delete_statement("otel.otel_traces", &[row(1), row(3)]).unwrap();
        for part in [
            "DELETE FROM otel.otel_traces WHERE Timestamp BETWEEN fromUnixTimestamp64Nano(2) AND fromUnixTimestamp64Nano(4)",
            "TraceId IN ('0af7651916cd43dd8448eb211c80319c') AND SpanId IN ('00f067aa0ba902b7')",
            "IN (('00f067aa0ba902b7','00112233-4455-6677-8899-aabbccddeeff',4,1,9),\
             ('00f067aa0ba902b7','00112233-4455-6677-8899-aabbccddeeff',2,3,9))",
        ] {
            assert!(statement.contains(part), "{statement}");
        }
        assert_eq!(delete_statement("t", &[]), None);
    }

    /// Joining gives a pair its parent and session: the order must not depend on when.
    #[test]
    fn what_changes_after_a_row_was_stored_does_not_count() {
        for column in ["JoinState", "SegmentId"] {
            assert!(!SAID.contains(&format!("`{column}`")), "{column}");
        }
        assert!(
            SAID.contains("if(JoinState = '', (ParentSpanId, SessionId), ('', ''))")
                && SAID.contains("`SpanAttributes`")
        );
    }
}
