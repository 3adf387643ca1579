//! What a pair becomes, as a reader of the columns sees it.

use millrace::chat::{self, AttrValue, ChatSpan, Context, ParseOptions};
use millrace::time::UnixNanos;
use millrace::workspace::Workspace;
use serde_json::Value;

/// When pairs arrive: 2027-01-15, long after anything in them was created.
const RECEIVED_AT_NANOS: u64 = 1_800_000_000_000_000_000;

/// Does something with the span of a body.
pub(crate) fn with_span<T>(body: &str, options: ParseOptions, look: impl FnOnce(&ChatSpan<'_>) -> T) -> T {
    let capture = chat::parse(body.as_bytes(), &options).unwrap_or_else(|errors| panic!("{errors}"));
    let workspace = Workspace::default();
    let received_at = UnixNanos::new(RECEIVED_AT_NANOS).unwrap();
    let context =
        Context { workspace: &workspace, received_at, traceparent: None, idempotency_key: None, record: None };
    look(&chat::convert(&capture, &context).unwrap())
}

/// The attributes of a span, JSON where they are JSON.
pub(crate) fn attributes_of(span: &ChatSpan<'_>) -> Value {
    let column = |value: &AttrValue<'_>| {
        let mut text = String::new();
        value.as_column_text(&mut text);
        if let AttrValue::Str(_) = value { Value::String(text) } else { serde_json::from_str(&text).unwrap() }
    };
    span.attributes.iter().map(|(key, value)| (key.to_string(), column(value))).collect()
}

/// The attributes of a pair, JSON where they are JSON.
pub(crate) fn attributes(body: &Value, options: ParseOptions) -> Value {
    with_span(&body.to_string(), options, attributes_of)
}
