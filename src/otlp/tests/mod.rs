//! From OTLP bytes to typed columns, in both encodings: the table of the specification, row by row; every form of
//! messages; the corpus; what real instrumentations sent.

mod corpus;
mod events;
mod forms;
mod hostile;
mod meanings;
mod senders;
mod table;
mod usage;

use crate::columns::native::encode::encode_block;
use crate::columns::native::parse::Block;
use crate::columns::testing::read_block;
use crate::columns::{Records, RowGroup};
use crate::ids::SegmentId;
use crate::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use crate::otlp::proto::common::v1::{AnyValue, KeyValue, any_value::Value as V};
use crate::otlp::proto::trace::v1::{ResourceSpans, ScopeSpans, Span};
use crate::otlp::{Decoded, Encoding, Limits, decode_traces, transcode_traces};
use crate::workspace::Workspace;
use prost::Message as _;
use serde_json::{Map, Value as Json, json};

pub(super) type Row = Map<String, Json>;

/// The rows as the block has them: a column that lags is there for all rows or for none.
pub(super) fn rows(group: &RowGroup) -> Vec<Row> {
    let mut block = Vec::new();
    encode_block(&[group], SegmentId::new(1, 2), &mut block);
    read_block(&block)
}

/// The rows of another table.
pub(super) fn rows_of_records(group: &Records) -> Vec<Row> {
    let mut block = Vec::new();
    encode_block(&[group], SegmentId::new(1, 2), &mut block);
    let (block, _rest) = Block::parse(&block).unwrap();
    (0..block.rows()).map(|row| block.row_json(row).unwrap().as_object().unwrap().clone()).collect()
}

/// An attribute's value as OTLP/JSON has it.
fn any_value(value: &Json) -> Json {
    match value {
        Json::Null => json!({}),
        Json::String(text) => json!({"stringValue": text}),
        Json::Bool(bit) => json!({"boolValue": bit}),
        Json::Number(number) if number.is_i64() => json!({"intValue": number.to_string()}),
        Json::Number(number) => json!({"doubleValue": number}),
        Json::Array(items) => json!({"arrayValue": {"values": items.iter().map(any_value).collect::<Vec<_>>()}}),
        Json::Object(members) => json!({"kvlistValue": {"values": key_values(members)}}),
    }
}

fn key_values(members: &Map<String, Json>) -> Json {
    members.iter().map(|(key, value)| json!({"key": key, "value": any_value(value)})).collect()
}

/// A span of OTLP/JSON with these attributes; members of `more` are its own.
pub(super) fn span(attributes: &Json, more: &Json) -> Json {
    let mut span = json!({
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "s",
        "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000001000000000",
        "attributes": key_values(attributes.as_object().unwrap()),
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        span[key] = value.clone();
    }
    span
}

pub(super) fn event(name: &str, attributes: Json) -> Json {
    json!({"name": name, "timeUnixNano": "1790000000500000000", "attributes": key_values(attributes.as_object().unwrap())})
}

/// A request of spans of one scope, decoded; both encodings give the same.
pub(super) fn decoded(scope: &str, spans: &[Json]) -> Decoded {
    let request = json!({"resourceSpans": [{"scopeSpans": [{"scope": {"name": scope}, "spans": spans}]}]});
    let from_json = transcode_traces(request.to_string().as_bytes(), 32).unwrap();
    let protobuf = ExportTraceServiceRequest::decode(from_json.protobuf()).unwrap().encode_to_vec();
    let (workspace, limits) = (Workspace::default(), Limits::default());
    let one = from_json.decode(&workspace, &limits).unwrap();
    let other = decode_traces(&protobuf, Encoding::Protobuf, &workspace, &limits).unwrap();
    assert_eq!(rows(&one.rows), rows(&other.rows));
    one
}

/// The row of one span, columns without a value left out.
pub(super) fn row_of(scope: &str, attributes: &Json, more: &Json) -> Row {
    rows(&decoded(scope, &[span(attributes, more)]).rows).remove(0)
}

/// The row of a span that has attributes alone.
pub(super) fn row(attributes: Json) -> Row {
    row_of("", &attributes, &json!({}))
}

/// The same of attributes that are texts, from protobuf alone: texts of many megabytes take long as JSON.
pub(super) fn row_of_texts(texts: &[(&str, &str)]) -> Row {
    let attribute = |(key, text): &(&str, &str)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { value: Some(V::StringValue((*text).to_owned())) }),
        ..KeyValue::default()
    };
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        start_time_unix_nano: 1_790_000_000_000_000_000,
        attributes: texts.iter().map(attribute).collect(),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let protobuf = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let decoded = decode_traces(&protobuf, Encoding::Protobuf, &Workspace::default(), &Limits::default());
    rows(&decoded.unwrap().rows).remove(0)
}

/// A column; null when no row of the block has anything in it.
pub(super) fn column(row: &Row, name: &str) -> Json {
    row.get(name).cloned().unwrap_or(Json::Null)
}

/// A column that holds JSON.
pub(super) fn json_column(row: &Row, name: &str) -> Json {
    match column(row, name).as_str() {
        None | Some("") => Json::Null,
        Some(text) => serde_json::from_str(text).unwrap(),
    }
}
