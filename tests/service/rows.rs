//! Rows of `otel_traces` against a client's ledger, all 22 standard columns.

use std::collections::BTreeSet;

use serde_json::Value;

use support::clients::Ledger;
use support::{Service, wait_until};

/// The columns of the OpenTelemetry ClickHouse exporter: the table has to have them by these names.
pub(crate) const COLUMNS: [&str; 22] = [
    "Timestamp",
    "TraceId",
    "SpanId",
    "ParentSpanId",
    "TraceState",
    "SpanName",
    "SpanKind",
    "ServiceName",
    "ResourceAttributes",
    "ScopeName",
    "ScopeVersion",
    "SpanAttributes",
    "Duration",
    "StatusCode",
    "StatusMessage",
    "Events.Timestamp",
    "Events.Name",
    "Events.Attributes",
    "Links.TraceId",
    "Links.SpanId",
    "Links.TraceState",
    "Links.Attributes",
];

/// Every column of a trace's rows; 64-bit numbers as text, since JSON readers may round them.
fn whole_rows_query() -> String {
    let columns = COLUMNS.map(|name| match name {
        "Timestamp" => "toString(toUnixTimestamp64Nano(t.Timestamp)) AS Timestamp".to_owned(),
        "Duration" => "toString(t.Duration) AS Duration".to_owned(),
        "Events.Timestamp" => {
            "arrayMap(at -> toString(toUnixTimestamp64Nano(at)), t.`Events.Timestamp`) AS `Events.Timestamp`".to_owned()
        }
        // content is kept apart, where filters do not read it
        "SpanAttributes" => "t.AllAttributes AS SpanAttributes".to_owned(),
        _ => format!("t.`{name}` AS `{name}`"),
    });
    format!("SELECT {} FROM otel_traces AS t WHERE t.TraceId = {{t:String}}", columns.join(", "))
}

/// Waits until the trace is stored, then compares every column of every span with what the client says it sent.
pub(crate) fn assert_stored(service: &Service, ledger: &Ledger) {
    assert!(ledger.rows.len() > 1, "the ledger is too short to prove anything");
    let sql = service.sql();
    wait_until("the whole trace is stored", || (sql.spans_of(&ledger.trace_id) >= ledger.rows.len()).then_some(()));
    let stored = sql.rows(&whole_rows_query(), &[("t", &ledger.trace_id)]);
    assert_eq!(stored.len(), ledger.rows.len(), "each span is stored once");
    for sent in &ledger.rows {
        let row = stored.iter().find(|row| row.get("SpanId") == sent.get("SpanId"));
        let row = row.unwrap_or_else(|| panic!("{} is not stored", text(sent, "SpanName")));
        assert_same(sent, row);
    }
}

fn assert_same(sent: &Value, stored: &Value) {
    let name = text(sent, "SpanName");
    let keys: BTreeSet<&str> = sent.as_object().expect("a row is an object").keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(COLUMNS), "the ledger covers all columns");
    for column in COLUMNS {
        let (want, got) = (sent.get(column), stored.get(column));
        assert_eq!(want, got, "column {column} of span {name:?}\n sent:   {want:?}\n stored: {got:?}\n");
    }
}

/// A text column.
pub(crate) fn text<'a>(row: &'a Value, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_else(|| panic!("no text {column} in {row}"))
}

/// A span attribute, which must be there.
pub(crate) fn attribute<'a>(row: &'a Value, name: &str) -> &'a str {
    let value = row.get("SpanAttributes").and_then(|attributes| attributes.get(name));
    value.and_then(Value::as_str).unwrap_or_else(|| panic!("no span attribute {name} in {row}"))
}
