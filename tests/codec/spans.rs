//! The span of a captured call, and its attributes as a reader of the columns sees them.

use millrace::chat::{self, AttrValue, Body, ChatSpan, Context, ParseOptions, Traceparent};
use millrace::time::UnixNanos;
use millrace::workspace::Workspace;
use serde_json::Value;

/// When calls arrive that do not say when: 2027-01-15, long after anything in them was created.
const RECEIVED_AT_NANOS: u64 = 1_800_000_000_000_000_000;

/// Hands the span of a body to `look`.
pub(crate) fn with_span<T>(body: &str, options: ParseOptions, look: impl FnOnce(&ChatSpan<'_>) -> T) -> T {
    with_span_received(body, options, None, RECEIVED_AT_NANOS, look)
}

/// Hands the span of a sample of the corpus to `look`.
pub(crate) fn with_span_of_sample<T>(sample: &Value, look: impl FnOnce(&ChatSpan<'_>) -> T) -> T {
    let received_at = sample["receivedAtUnixNano"].as_str().map_or(RECEIVED_AT_NANOS, |nanos| nanos.parse().unwrap());
    let traceparent = sample["headers"]["traceparent"].as_str().map(|header| Traceparent::parse(header).unwrap());
    with_span_received(&sample["ingest"].to_string(), ParseOptions::default(), traceparent, received_at, look)
}

fn with_span_received<T>(
    body: &str,
    options: ParseOptions,
    traceparent: Option<Traceparent>,
    received_at: u64,
    look: impl FnOnce(&ChatSpan<'_>) -> T,
) -> T {
    let body = Body::of_call(body.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    let capture = chat::parse(&body, &options).unwrap_or_else(|errors| panic!("{errors}"));
    let workspace = Workspace::default();
    let received_at = UnixNanos::new(received_at).unwrap();
    let context = Context { workspace: &workspace, received_at, traceparent, idempotency_key: None };
    look(&chat::convert(&capture, &context).unwrap_or_else(|errors| panic!("{errors}")))
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

/// The attributes of a captured call, JSON where they are JSON.
pub(crate) fn attributes(body: &Value, options: ParseOptions) -> Value {
    with_span(&body.to_string(), options, |span| {
        span.all_attributes().map(|(key, value)| (key.to_string(), as_read(&value))).collect()
    })
}
