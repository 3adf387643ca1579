//! Spans of Phoenix as rows: of a data frame that was saved as Parquet, and of its own JSON lines.
//!
//! ```text
//! attributes.llm.model_name = "m"         a column an attribute (`get_spans_dataframe`)
//! attributes.llm = {"model_name": "m"}    a column for the first part (`TraceDataset.save`)
//! attributes = {"llm": {...}}             all of them (JSON lines)
//! ```
//!
//! They become what OpenInference sends: a list of objects is counted (`llm.input_messages.0.message.role`), and what it sends as
//! JSON in a text is that again.
//!
//! Sources: phoenix, `trace/trace_dataset.py`, `trace/attributes.py`, `trace/span_json_encoder.py`; files that its release 20.26 wrote.

use super::otlp::spans_request;
use super::span::{nanos_of, span_id, str_of, trace_id};
use super::{Reader, Sink, Source};
use serde_json::{Map, Value, json};

const PREFIX: &str = "attributes.";
const KIND: &str = "openinference.span.kind";
/// Attributes, by their ends, that are JSON in a text.
const JSON_TEXTS: [&str; 4] = ["metadata", "document.metadata", "llm.prompt_template.variables", "tool.parameters"];

/// Reads spans, one or a page of them.
#[derive(Debug)]
pub(super) struct Spans {
    import_id: String,
}

impl Spans {
    pub(super) fn new(source: &Source) -> Self {
        Self { import_id: source.import_id.clone() }
    }
}

impl Reader for Spans {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        let page: Value = match serde_json::from_slice(piece) {
            Ok(page) => page,
            Err(error) => return sink.reject(format!("it is not JSON: {error}")),
        };
        let spans = match page {
            Value::Object(row) if is_row(&row) => match span(&row) {
                Ok(span) => Value::Array(vec![span]),
                Err(why) => return sink.reject(why),
            },
            Value::Object(mut page) if page.contains_key("data") => page.remove("data").unwrap_or_default(),
            one => Value::Array(vec![one]),
        };
        spans_request(&spans, &self.import_id, sink);
    }
}

/// Whether this is a span as a row has it.
pub(super) fn is_row(row: &Map<String, Value>) -> bool {
    let has_ids =
        row.contains_key("context.span_id") || row.get("context").is_some_and(|of| of.get("span_id").is_some());
    has_ids && row.contains_key("start_time")
}

fn member<'r>(row: &'r Map<String, Value>, flat: &str, name: &str) -> Option<&'r str> {
    let nested = || row.get("context")?.get(name);
    row.get(flat).or_else(nested).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The span in OTLP/JSON.
fn span(row: &Map<String, Value>) -> Result<Value, &'static str> {
    let trace = member(row, "context.trace_id", "trace_id").ok_or("context.trace_id must be a text")?;
    let own = member(row, "context.span_id", "span_id").ok_or("context.span_id must be a text")?;
    let start = row.get("start_time").and_then(nanos_of).ok_or("start_time must be a time")?;
    let end = row.get("end_time").and_then(nanos_of).unwrap_or(start);
    let text = |name: &str| row.get(name).and_then(Value::as_str).map_or("", |text| text);
    let code = match text("status_code") {
        "OK" => 1,
        "ERROR" => 2,
        _ => 0,
    };
    let parent = Some(text("parent_id")).filter(|parent| !parent.is_empty());
    Ok(json!({
        "traceId": hex(&trace_id(trace)), "spanId": hex(&span_id(own)), "parentSpanId": parent.map(|parent| hex(&span_id(parent))),
        "name": text("name"), "kind": 1, "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.max(start).to_string(),
        "attributes": attributes(row), "events": events(row.get("events"), start),
        "status": {"code": code, "message": text("status_message")},
    }))
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(row: &Map<String, Value>) -> Vec<Value> {
    let mut found = Vec::new();
    if let Some(all) = row.get("attributes") {
        flatten(String::new(), all, &mut found);
    }
    for (column, value) in row {
        if let Some(key) = column.strip_prefix(PREFIX) {
            flatten(key.to_owned(), value, &mut found);
        }
    }
    let has_kind = found.iter().any(|attribute| str_of(attribute, "key") == KIND);
    if let Some(kind) = row.get("span_kind").filter(|kind| kind.is_string() && !has_kind) {
        found.extend(value_of(kind).map(|kind| json!({"key": KIND, "value": kind})));
    }
    found
}

/// Adds what is below a key.
fn flatten(key: String, value: &Value, into: &mut Vec<Value>) {
    let below = |part: &str| if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") };
    match value {
        Value::Object(_) if JSON_TEXTS.iter().any(|name| key == *name || key.ends_with(&format!(".{name}"))) => {
            if let Some(rest) = without_nulls(value) {
                into.push(json!({"key": key, "value": {"stringValue": rest.to_string()}}));
            }
        }
        Value::Object(members) => members.iter().for_each(|(name, value)| flatten(below(name), value, into)),
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (place, value) in list.iter().enumerate() {
                flatten(below(&place.to_string()), value, into);
            }
        }
        other => into.extend(value_of(other).map(|value| json!({"key": key, "value": value}))),
    }
}

/// A column of objects has every member that any of its rows has: those that a row does not have are null.
fn without_nulls(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(members) => {
            let rest = members.iter().filter_map(|(name, value)| Some((name.clone(), without_nulls(value)?)));
            let rest: Map<String, Value> = rest.collect();
            (!rest.is_empty()).then_some(Value::Object(rest))
        }
        other => Some(other.clone()),
    }
}

/// A value of OTLP/JSON; nothing for what is empty.
fn value_of(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => json!({"boolValue": truth}),
        Value::String(text) => json!({"stringValue": text}),
        Value::Number(number) if number.is_i64() => json!({"intValue": number.to_string()}),
        Value::Number(number) => json!({"doubleValue": number}),
        Value::Array(list) if list.is_empty() => return None,
        Value::Array(list) => json!({"arrayValue": {"values": list.iter().filter_map(value_of).collect::<Vec<_>>()}}),
        Value::Object(_) => json!({"stringValue": value.to_string()}),
    })
}

/// A list, or JSON of one.
fn events(events: Option<&Value>, start: i64) -> Vec<Value> {
    let read = events.and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let list = read.as_ref().or(events).and_then(Value::as_array);
    let one = |event: &Value| {
        let at = event.get("timestamp").and_then(nanos_of).unwrap_or(start);
        let mut attributes = Vec::new();
        if let Some(members) = event.get("attributes") {
            flatten(String::new(), members, &mut attributes);
        }
        json!({"name": str_of(event, "name"), "timeUnixNano": at.to_string(), "attributes": attributes})
    };
    list.into_iter().flatten().map(one).collect()
}
