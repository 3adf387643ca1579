//! The transcoder against `prost-reflect`, which implements the protobuf JSON mapping, with the descriptors of
//! `opentelemetry-proto`: any request, in any spelling, with at most one value of the wrong type.
//!
//! The oracle deviates in four points. It does not know OTLP/JSON, where ids are hex, so ids are translated to base64. It rejects
//! a null in a list, rejects a quoted integer for an enum, and accepts Rust's spellings of doubles (`inf`); requests have none of these.

use super::super::transcode_traces;
use crate::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

static REQUEST: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(opentelemetry_proto::DESCRIPTORS).unwrap();
    pool.get_message_by_name("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest").unwrap()
});

/// The message as the mapping has it; `None` when a value is of the wrong type.
fn expected(request: &Value) -> Option<ExportTraceServiceRequest> {
    let message = DynamicMessage::deserialize(REQUEST.clone(), with_base64_ids(request)).ok()?;
    Some(ExportTraceServiceRequest::decode(message.encode_to_vec().as_slice()).unwrap())
}

fn transcoded(request: &Value) -> Option<ExportTraceServiceRequest> {
    let transcoded = transcode_traces(request.to_string().as_bytes(), 32).ok()?;
    let message = ExportTraceServiceRequest::decode(transcoded.protobuf()).unwrap();
    transcoded.wrong.is_empty().then_some(message)
}

/// OTLP's ids are hex; what is not hex is an id of one byte to us, which costs its span later.
fn with_base64_ids(value: &Value) -> Value {
    let id = |text: &str| {
        let digits = text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        let is_even = text.len().is_multiple_of(2);
        STANDARD.encode(digits.collect::<Option<Vec<u8>>>().filter(|_| is_even).unwrap_or_else(|| vec![0xff]))
    };
    let is_id =
        |key: &str| ["traceid", "spanid", "parentspanid"].contains(&key.replace('_', "").to_lowercase().as_str());
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) if is_id(key) => (key.clone(), id(text).into()),
                other => (key.clone(), with_base64_ids(other)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(with_base64_ids).collect(),
        scalar => scalar.clone(),
    }
}

/// An object of the members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![Just(json!("")), "\\PC{0,6}".prop_map(Value::from), Just(json!("a\n\"\\\u{1}😀"))]
}

fn hex(bytes: usize) -> impl Strategy<Value = Value> {
    vec(any::<u8>(), bytes).prop_map(|id| id.iter().map(|byte| format!("{byte:02X}")).collect::<String>().into())
}

/// A number as a number and as a string.
fn spelled<T: serde::Serialize + std::fmt::Display>(number: T, is_text: bool) -> Value {
    if is_text { number.to_string().into() } else { json!(number) }
}

fn any_u64() -> impl Strategy<Value = Value> {
    (prop_oneof![Just(0), Just(u64::MAX), any::<u64>()], any::<bool>()).prop_map(|(number, text)| spelled(number, text))
}

fn any_u32() -> impl Strategy<Value = Value> {
    (prop_oneof![Just(0), Just(u32::MAX), any::<u32>()], any::<bool>()).prop_map(|(number, text)| spelled(number, text))
}

fn any_i64() -> impl Strategy<Value = Value> {
    let number = prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()];
    (number, any::<bool>()).prop_map(|(number, text)| spelled(number, text))
}

fn any_double() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-1e300_f64..1e300, any::<bool>()).prop_map(|(number, text)| spelled(number, text)),
        (-9_i32..9).prop_map(Value::from),
        prop::sample::select(&["NaN", "Infinity", "-Infinity"][..]).prop_map(Value::from),
    ]
}

fn any_bytes() -> impl Strategy<Value = Value> {
    (vec(any::<u8>(), 0..6), 0..4).prop_map(|(bytes, engine)| match engine {
        0 => STANDARD.encode(bytes).into(),
        1 => STANDARD_NO_PAD.encode(bytes).into(),
        2 => URL_SAFE.encode(bytes).into(),
        _ => URL_SAFE_NO_PAD.encode(bytes).into(),
    })
}

fn key_value(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (option::of(text()), option::of(value)).prop_map(|(key, value)| object([("key", key), ("value", value)]))
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!({"stringValue": null})),
        text().prop_map(|text| json!({"stringValue": text})),
        any::<bool>().prop_map(|bit| json!({"boolValue": bit})),
        any_i64().prop_map(|number| json!({"intValue": number})),
        any_double().prop_map(|number| json!({"doubleValue": number})),
        any_bytes().prop_map(|bytes| json!({"bytesValue": bytes})),
        Just(json!({"arrayValue": {}})),
        Just(json!({"kvlistValue": {"values": null}})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|items| json!({"arrayValue": {"values": items}})),
            vec(key_value(inner), 0..3).prop_map(|entries| json!({"kvlistValue": {"values": entries}})),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Option<Value>> {
    option::of(prop_oneof![Just(Value::Null), vec(key_value(any_value()), 0..3).prop_map(Value::from)])
}

fn any_event() -> impl Strategy<Value = Value> {
    (option::of(any_u64()), option::of(text()), attributes(), option::of(any_u32())).prop_map(
        |(at, name, attributes, dropped)| {
            object([
                ("timeUnixNano", at),
                ("name", name),
                ("attributes", attributes),
                ("droppedAttributesCount", dropped),
            ])
        },
    )
}

fn any_link() -> impl Strategy<Value = Value> {
    (option::of(hex(16)), option::of(hex(8)), option::of(text()), attributes(), option::of(any_u32())).prop_map(
        |(trace, span, state, attributes, flags)| {
            object([
                ("traceId", trace),
                ("spanId", span),
                ("traceState", state),
                ("attributes", attributes),
                ("flags", flags),
            ])
        },
    )
}

fn any_status() -> impl Strategy<Value = Value> {
    let code = prop_oneof![(-3..9_i32).prop_map(Value::from), Just(json!("STATUS_CODE_ERROR")), Just(Value::Null)];
    (option::of(text()), option::of(code)).prop_map(|(message, code)| object([("message", message), ("code", code)]))
}

fn any_span() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![(-3..9_i32).prop_map(Value::from), Just(json!("SPAN_KIND_SERVER")), Just(Value::Null)];
    let ids = (option::of(hex(16)), option::of(hex(8)), option::of(hex(8)));
    let scalars = (option::of(text()), option::of(text()), option::of(kind), option::of(any_u32()));
    let times = (option::of(any_u64()), option::of(any_u64()));
    let lists = (attributes(), option::of(vec(any_event(), 0..3)), option::of(vec(any_link(), 0..3)));
    (ids, scalars, times, lists, option::of(any_status())).prop_map(
        |((trace, span, parent), (state, name, kind, flags), (start, end), (attributes, events, links), status)| {
            object([
                ("traceId", trace),
                ("spanId", span),
                ("parentSpanId", parent),
                ("traceState", state),
                ("name", name),
                ("kind", kind),
                ("flags", flags),
                ("startTimeUnixNano", start),
                ("endTimeUnixNano", end),
                ("attributes", attributes),
                ("events", events.map(Value::from)),
                ("links", links.map(Value::from)),
                ("status", status),
            ])
        },
    )
}

fn any_resource() -> impl Strategy<Value = Value> {
    let entity = (option::of(text()), option::of(vec(text(), 0..3)))
        .prop_map(|(kind, keys)| object([("type", kind), ("idKeys", keys.map(Value::from))]));
    (attributes(), option::of(vec(entity, 0..2)))
        .prop_map(|(attributes, refs)| object([("attributes", attributes), ("entityRefs", refs.map(Value::from))]))
}

/// What is wrong around spans costs those spans, so there is always one.
fn any_request() -> impl Strategy<Value = Value> {
    let scope = (option::of(text()), option::of(text()), attributes()).prop_map(|(name, version, attributes)| {
        object([("name", name), ("version", version), ("attributes", attributes)])
    });
    let scope_spans = (option::of(scope), vec(any_span(), 1..3), option::of(text()))
        .prop_map(|(scope, spans, url)| object([("scope", scope), ("spans", Some(spans.into())), ("schemaUrl", url)]));
    let resource_spans =
        (option::of(any_resource()), vec(scope_spans, 1..3), option::of(text())).prop_map(|(resource, scopes, url)| {
            object([("resource", resource), ("scopeSpans", Some(scopes.into())), ("schemaUrl", url)])
        });
    vec(resource_spans, 0..3).prop_map(|all| json!({"resourceSpans": all}))
}

/// The same with the names that the .proto files have.
fn with_original_names(value: &Value) -> Value {
    let original = |key: &str| {
        key.chars().fold(String::new(), |mut name, letter| {
            if letter.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
            name
        })
    };
    match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (original(key), with_original_names(value))).collect()
        }
        Value::Array(items) => items.iter().map(with_original_names).collect(),
        scalar => scalar.clone(),
    }
}

/// Puts `value` where the place with this number is, counted from the request's members on.
fn replace(place: &mut usize, value: &Value, within: &mut Value) {
    let is_list = within.is_array();
    let inner: Vec<&mut Value> = match within {
        Value::Object(members) => members.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => return,
    };
    for item in inner {
        match place.checked_sub(1) {
            // a list without null is all that the mapping has
            None if is_list && value.is_null() => {}
            None => *item = value.clone(),
            Some(left) => {
                *place = left;
                replace(place, value, item);
                continue;
            }
        }
        *place = usize::MAX;
    }
}

fn places(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(|value| 1 + places(value)).sum(),
        Value::Array(items) => items.iter().map(|value| 1 + places(value)).sum(),
        _ => 0,
    }
}

fn any_wrong() -> impl Strategy<Value = Value> {
    let values =
        [json!(5), json!(-1), json!(1.5), json!("x"), json!("ÿ"), json!(true), json!(null), json!([]), json!({})];
    let more = [json!([1]), json!([[]]), json!([{}]), json!(u64::MAX), json!(i64::MIN), json!("STATUS_CODE_OK")];
    prop::sample::select(values.into_iter().chain(more).collect::<Vec<_>>())
}

/// Messages compared by what is in them, `NaN` too.
fn shown(message: Option<ExportTraceServiceRequest>) -> Option<String> {
    message.map(|message| format!("{message:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn every_spelling_is_read_as_by_the_oracle(request in any_request(), are_original in any::<bool>()) {
        let request = if are_original { with_original_names(&request) } else { request };
        let expected = expected(&request);
        prop_assert!(expected.is_some(), "the oracle takes it: {request}");
        prop_assert_eq!(shown(transcoded(&request)), shown(expected), "{}", request);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_wrong_to_both(
        request in any_request(),
        wrong in any_wrong(),
        place in any::<prop::sample::Index>(),
    ) {
        let mut request = request;
        let mut place = place.index(places(&request));
        replace(&mut place, &wrong, &mut request);
        prop_assert_eq!(shown(transcoded(&request)), shown(expected(&request)), "{}", request);
    }
}
