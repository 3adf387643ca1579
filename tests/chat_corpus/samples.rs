//! The samples of the corpus, and the spans they become.
//!
//! A sample is `{notes, ingest, expect}`; where a header or the time of arrival matters it says so itself, in
//! `headers.traceparent` and `receivedAtUnixNano`.

use std::path::{Path, PathBuf};

use millrace::chat::{self, AttrValue, ChatSpan, Context, ParseOptions, Traceparent};
use millrace::time::UnixNanos;
use millrace::workspace::Workspace;
use serde_json::Value;

/// Attributes that `expect` leaves out: they depend on the time of arrival, or say how an id was spelt.
pub(crate) const NOT_IN_EXPECT: [&str; 2] = ["millrace.timing", "millrace.trace_id"];

/// When samples arrive that do not say when: 2027-01-15, long after anything in them was created.
const RECEIVED_AT_NANOS: i64 = 1_800_000_000_000_000_000;

/// Every sample with the name of its file.
pub(crate) fn samples() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/chat");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    };
    paths.iter().map(read).collect()
}

/// Does something with the span of a sample.
pub(crate) fn with_span<T>(sample: &Value, check: impl FnOnce(&ChatSpan<'_>) -> T) -> T {
    let body = serde_json::to_vec(&sample["ingest"]).unwrap();
    let capture = chat::parse(&body, &ParseOptions::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let workspace = Workspace::default();
    let received_at = sample["receivedAtUnixNano"].as_str().map_or(RECEIVED_AT_NANOS, |nanos| nanos.parse().unwrap());
    let received_at = UnixNanos::new(received_at.try_into().unwrap()).unwrap();
    let traceparent = sample["headers"]["traceparent"].as_str().map(|header| Traceparent::parse(header).unwrap());
    let context = Context { workspace: &workspace, received_at, traceparent, idempotency_key: None, record: None };
    check(&chat::convert(&capture, &context).unwrap_or_else(|errors| panic!("{errors}")))
}

/// A value as a reader of the column has it: JSON where it is JSON.
pub(crate) fn as_read(value: &AttrValue<'_>) -> Value {
    let mut text = String::new();
    value.as_column_text(&mut text);
    match value {
        AttrValue::Str(_) => Value::String(text),
        _ => serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}")),
    }
}

/// Equal as JSON, numbers by value: 1 is 1.0.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let has = |(key, value): (&String, &Value)| right.get(key).is_some_and(|other| same(value, other));
            left.len() == right.len() && left.iter().all(has)
        }
        _ => left == right,
    }
}
