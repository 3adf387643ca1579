//! What holds for the records of every tool.

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::{helicone, litellm};
use crate::chat::{
    AttrValue, Body, Capture, Context, DEPTH_MAX, Limits, ParseOptions, TraceRef, Traceparent, check_age, convert,
};
use crate::time::UnixNanos;
use crate::timestamps;
use crate::workspace::Workspace;

/// What a record becomes: its ids, times and texts, and its attributes, JSON ones read.
pub(super) fn span_of(capture: &Capture<'_>) -> (Json, Map<String, Json>) {
    let workspace = Workspace::default();
    let received_at = UnixNanos::new(1_800_000_000_000_000_000).unwrap();
    let context = Context { workspace: &workspace, received_at, traceparent: None, idempotency_key: None };
    let span = convert(capture, &context).unwrap();
    let seen = json!({
        "name": span.name, "start": span.start.nanos(), "end": span.end.nanos(), "span": span.span_id.to_string(), "fingerprint": span.fingerprint,
        "trace": match span.trace { TraceRef::Joins(id) => Json::from(id.to_string()), TraceRef::Own(_) => Json::Null },
        "failed": span.status == crate::chat::Status::Error, "message": span.status_message,
        "service": span.service_name,
    });
    let mut attributes = Map::new();
    for (key, value) in span.all_attributes() {
        let mut text = String::new();
        value.as_column_text(&mut text);
        let value = match value {
            AttrValue::Str(_) | AttrValue::Decimal(_) => Json::from(text),
            _ => serde_json::from_str(&text).unwrap(),
        };
        assert!(attributes.insert(key.to_string(), value).is_none(), "{key} twice");
    }
    (seen, attributes)
}

fn of_litellm(record: &Json, options: &ParseOptions) -> Map<String, Json> {
    let record = record.to_string();
    let body = Body::of_record(record.as_bytes()).unwrap();
    span_of(&litellm::read(&body, options).unwrap()).1
}

fn of_helicone(record: &Json, options: &ParseOptions) -> Map<String, Json> {
    let record = record.to_string();
    let body = Body::of_record(record.as_bytes()).unwrap();
    span_of(&helicone::read(&body, &[], options).unwrap()).1
}

#[test]
fn what_the_limits_take_from_the_rest_is_noted_beside_what_they_took_from_the_call() {
    let long = "x".repeat(60);
    let limits = Limits { max_value_bytes: 50, ..Limits::default() };
    let options = ParseOptions { limits, ..ParseOptions::default() };
    let record = json!({"call_type": "completion", "model": "m", "note": long});
    let attributes = of_litellm(&record, &options);
    assert_eq!(attributes["millrace.truncated"], json!({"millrace.litellm.extra": 10}));
    let record = json!({"call_type": "completion", "model": long, "messages": "m", "note": long});
    let truncated = of_litellm(&record, &options)["millrace.truncated"].to_string();
    let want = r#"{"gen_ai.request.model":10,"millrace.litellm.extra":10,"RawRequest":10}"#;
    assert_eq!(truncated, want);
}

/// A value of any kind, a few of which some member wants.
fn any_value() -> impl Strategy<Value = Json> {
    let leaf = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(""),
        json!("x"),
        json!("user"),
        json!("failure"),
        json!("tool"),
        json!(-1),
        json!(0),
        json!(5.5),
        json!(1795445761.5),
        json!(1e300),
        json!("0".repeat(32)),
        json!("x".repeat(300)),
        json!([]),
        json!({}),
        json!("chat.completion.chunk"),
        json!("error"),
        json!("data: {}"),
        json!(500),
    ]);
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::vec((prop::sample::select(KEYS), inner), 0..5)
                .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

const KEYS: &[&str] = &[
    "id",
    "call_type",
    "model",
    "messages",
    "role",
    "content",
    "response",
    "choices",
    "text",
    "message",
    "delta",
    "object",
    "error",
    "code",
    "usage",
    "prompt_tokens",
    "status",
    "stream",
    "startTime",
    "endTime",
    "trace_id",
    "completionStartTime",
    "response_cost",
    "cost_breakdown",
    "output_cost",
    "request_tags",
    "model_parameters",
    "error_str",
    "error_information",
    "error_message",
    "json",
    "textBody",
    "meta",
    "timing",
    "seconds",
    "detail",
    "milliseconds",
    "timeToFirstToken",
    "_type",
    "input",
    "session_id",
    "end_user",
    "provider",
    "finish_reason",
];

proptest! {
    #[test]
    fn whatever_is_read_as_a_record_converts(members in prop::collection::vec((prop::sample::select(KEYS), any_value()), 0..8), answer in any_value()) {
        let record: Map<String, Json> = members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut payload = record.clone();
        payload.insert("call_type".to_owned(), json!("acompletion"));
        of_litellm(&Json::from(payload), &ParseOptions::default());
        let log = json!({"providerRequest": {"json": record, "meta": record}, "providerResponse": record, "timing": answer});
        of_helicone(&log, &ParseOptions::default());
    }
}

#[test]
fn a_record_cut_off_anywhere_is_refused_and_never_a_panic() {
    let record = br#"{"call_type":"completion","model":"m","messages":"hi","response":{"choices":[]},"providerRequest":{"json":{}},"providerResponse":{}}"#;
    let is_read = |record: &[u8]| {
        let Ok(body) = Body::of_record(record) else { return [false; 2] };
        let options = ParseOptions::default();
        [litellm::read(&body, &options).is_ok(), helicone::read(&body, &[], &options).is_ok()]
    };
    for end in 0..record.len() {
        assert_eq!(is_read(&record[..end]), [false; 2]);
    }
    assert_eq!(is_read(record), [true; 2]);
}

#[test]
fn what_a_record_is_refused_for_has_the_path_of_its_sender() {
    let options = ParseOptions::default();
    let workspace = Workspace::default();
    let received_at = UnixNanos::new(1_800_000_000_000_000_000).unwrap();
    let traceparent = Traceparent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let context = Context { workspace: &workspace, received_at, traceparent, idempotency_key: None };
    let window = timestamps::Config::default().window(received_at);
    let refusals = |capture: &Capture<'_>| {
        let began = UnixNanos::new(1).unwrap();
        let errors = [convert(capture, &context).err(), check_age(capture, began, None, window, &workspace).err()];
        errors.map(|error| serde_json::from_str::<Json>(&error.unwrap().to_json()).unwrap()["detail"][0]["loc"].clone())
    };
    let litellm = |times: Json| {
        let mut record =
            json!({"call_type": "completion", "trace_id": "other", "response": {"created": 1, "choices": []}});
        record.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        let record = record.to_string();
        refusals(&litellm::read(&Body::of_record(record.as_bytes()).unwrap(), &options).unwrap())
    };
    let trace = json!(["body", "trace_id"]);
    assert_eq!(litellm(json!({"startTime": 1, "endTime": 2})), [trace.clone(), json!(["body", "startTime"])]);
    assert_eq!(litellm(json!({"endTime": 2})), [trace.clone(), json!(["body", "endTime"])]);
    assert_eq!(litellm(json!({})), [trace, json!(["body", "response", "created"])]);

    let helicone = |timing: Json, response: Json| {
        let log = json!({"providerRequest": {"json": {}, "meta": {"trace_id": "other"}}, "providerResponse": response, "timing": timing});
        let log = log.to_string();
        refusals(&helicone::read(&Body::of_record(log.as_bytes()).unwrap(), &[], &options).unwrap())
    };
    let trace = json!(["body", "providerRequest", "meta", "trace_id"]);
    let answer = json!({"json": {"created": 1, "choices": []}});
    let start = json!({"startTime": {"seconds": 1, "milliseconds": 0}});
    assert_eq!(helicone(start, answer.clone()), [trace.clone(), json!(["body", "timing", "startTime"])]);
    assert_eq!(helicone(json!({}), answer), [trace.clone(), json!(["body", "providerResponse", "json", "created"])]);
    let stream = json!({"textBody": r#"data: {"created":1,"choices":[{"delta":{"content":"x"}}]}"#});
    assert_eq!(helicone(json!({}), stream), [trace, json!(["body", "providerResponse", "textBody"])]);
}

#[test]
fn a_record_may_be_nested_as_deep_as_is_read() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let record = format!(r#"{{"call_type":"completion","deep":{}}}"#, deep(DEPTH_MAX - 1));
    let messages = format!(r#"[{{"role":"user","content":{}}}]"#, deep(DEPTH_MAX - 3));
    let of_messages = format!(r#"{{"call_type":"completion","messages":{messages}}}"#);
    for record in [record, of_messages] {
        let body = Body::of_record(record.as_bytes()).unwrap();
        assert_eq!(span_of(&litellm::read(&body, &ParseOptions::default()).unwrap()).0["name"], "chat");
    }
}
