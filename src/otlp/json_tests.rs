//! OTLP/JSON in all its spellings, through the transcoder and the decoder.

use super::*;
use crate::columns::testing::rows;
use crate::otlp::{Decoded, Encoding, Limits, decode_traces};
use crate::workspace::Workspace;
use serde_json::{Map, Value, json};

fn decode(body: &str) -> Result<Decoded, String> {
    let protobuf = transcode_traces(body.as_bytes(), 32).map_err(|error| error.to_string())?;
    decode_traces(&protobuf, Encoding::Json, &Workspace::default(), &Limits::default())
        .map_err(|error| error.to_string())
}

fn with_spans(spans: &Value) -> String {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string()
}

fn one(span: Value) -> Map<String, Value> {
    let mut with_ids = json!({"traceId": "01".repeat(16), "spanId": "02".repeat(8)});
    with_ids.as_object_mut().unwrap().extend(span.as_object().unwrap().clone());
    rows(&decode(&with_spans(&json!([with_ids]))).unwrap().rows).remove(0)
}

fn sample(name: &str) -> Value {
    let path = format!("{}/tests/corpus/otlp/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_sample_of_peculiarities_becomes_its_row() {
    let sample = sample("01_otlp_json_peculiarities.json");
    let decoded = decode(&sample["otlp"].to_string()).unwrap();
    assert_eq!(decoded.rejected, 0, "{:?}", decoded.reasons);
    let row = rows(&decoded.rows).remove(0);
    let expect = &sample["expect"];
    assert_eq!(row["TraceId"], expect["trace_id"]);
    assert_eq!(row["SpanId"], expect["span_id"]);
    assert_eq!(row["ParentSpanId"], expect["parent_span_id"]);
    assert_eq!(row["Timestamp"].to_string(), expect["start_ns"].to_string());
    assert_eq!(row["Duration"], json!(999_999_999));
    assert_eq!((row["SpanKind"].as_str(), row["StatusCode"].as_str()), (Some("Client"), Some("Error")));
    assert_eq!(row["StatusMessage"], "boom");
    let attribute = |key: &str| {
        let entries = row["SpanAttributes"].as_array().unwrap();
        entries.iter().find(|entry| entry[0] == key).map(|entry| entry[1].as_str().unwrap().to_owned())
    };
    assert_eq!(attribute("gen_ai.usage.input_tokens").as_deref(), Some("9007199254740993"));
    assert_eq!(attribute("gen_ai.usage.output_tokens").as_deref(), Some("12"));
    assert_eq!(attribute("gen_ai.request.temperature").as_deref(), Some("1"));
    assert_eq!(attribute("x.nan").as_deref(), Some("NaN"));
    assert_eq!(attribute("x.empty").as_deref(), Some(""));
    assert_eq!(attribute("x.null").as_deref(), Some(""));
    assert_eq!(attribute("x.bytes").as_deref(), Some("AAEC"));
    assert_eq!(attribute("gen_ai.response.finish_reasons").as_deref(), Some(r#"["error"]"#));
    let messages: Value = serde_json::from_str(row["InputMessages"].as_str().unwrap()).unwrap();
    assert_eq!(messages, expect["input_messages"]);
}

#[test]
fn the_sample_of_invalid_ids_loses_only_the_invalid() {
    let sample = sample("02_invalid_ids.json");
    let decoded = decode(&with_spans(&sample["otlp_spans"])).unwrap();
    assert_eq!(json!(decoded.rejected), sample["expect"]["rejected"]);
    let names: Vec<_> = rows(&decoded.rows).into_iter().map(|row| row["SpanName"].clone()).collect();
    assert_eq!(Value::Array(names), sample["expect"]["accepted"]);
    assert_eq!(decoded.reasons[0], "span 1 (\"zero trace\"): trace_id must be 32 hex digits, not all zero");
}

#[test]
fn numbers_may_be_strings_and_do_not_pass_through_floats() {
    let row =
        one(json!({"startTimeUnixNano": "1790000000000000001", "endTimeUnixNano": 1_790_000_000_000_000_003_u64}));
    assert_eq!((row["Timestamp"].as_u64(), row["Duration"].as_u64()), (Some(1_790_000_000_000_000_001), Some(2)));
    let value = |any_value: Value| {
        one(json!({"attributes": [{"key": "k", "value": any_value}]}))["SpanAttributes"][0][1].clone()
    };
    assert_eq!(value(json!({"intValue": "-9223372036854775808"})), "-9223372036854775808");
    assert_eq!(value(json!({"intValue": 9_223_372_036_854_775_807_i64})), "9223372036854775807");
    assert_eq!(value(json!({"doubleValue": "-Infinity"})), "-Infinity");
    assert_eq!(value(json!({"doubleValue": "0.25"})), "0.25");
    assert_eq!(value(json!({"boolValue": true})), "true");
    assert_eq!(value(json!({"arrayValue": {}})), "[]");
    assert_eq!(value(json!({"arrayValue": {"values": []}})), "[]");
    assert_eq!(
        value(json!({"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "é\n"}}]}})),
        r#"{"a":"é\n"}"#
    );
    assert_eq!(value(json!({"stringValue": ""})), "");
    assert_eq!(value(json!({"bytesValue": "_-8="})), "/+8=");
}

#[test]
fn unknown_keys_nulls_and_snake_case_are_passed_over() {
    let row =
        one(json!({"name": null, "kind": null, "events": null, "status": null, "trace_state": "x", "new": {"a": [1]}}));
    assert_eq!((row["SpanName"].as_str(), row["TraceState"].as_str()), (Some(""), Some("")));
    assert_eq!(decode("{}").unwrap().rows.rows(), 0);
    assert_eq!(decode("null").unwrap().rows.rows(), 0);
    assert_eq!(decode(r#"{"resourceSpans": null}"#).unwrap().rows.rows(), 0);
}

#[test]
fn what_is_not_otlp_is_refused_with_the_field() {
    for (span, field) in [
        (json!({"name": 5}), "name must be a string"),
        (json!({"kind": "SPAN_KIND_CLIENT"}), "kind must be an integer"),
        (json!({"startTimeUnixNano": -1}), "startTimeUnixNano must be an unsigned 64-bit integer"),
        (json!({"startTimeUnixNano": 1.5}), "startTimeUnixNano must be an integer"),
        (json!({"attributes": [{"key": "k", "value": {"boolValue": "yes"}}]}), "boolValue must be true or false"),
        (json!({"attributes": {}}), "a list of objects"),
        (json!({"status": 3}), "an object"),
    ] {
        let error = decode(&with_spans(&json!([span]))).unwrap_err();
        assert!(error.contains(field), "{span}: {error}");
    }
    for body in ["", "[", "{", r#"{"resourceSpans":[]}}"#, "not json", "[]"] {
        assert!(decode(body).is_err(), "{body}");
    }
}

#[test]
fn nesting_costs_the_span_first_and_the_request_when_it_is_absurd() {
    let nested = |levels: usize| {
        let inner = (1..levels).fold(json!({"arrayValue": {}}), |inner, _| json!({"arrayValue": {"values": [inner]}}));
        json!([{"traceId": "01".repeat(16), "spanId": "02".repeat(8), "attributes": [{"key": "k", "value": inner}]}])
    };
    assert_eq!(decode(&with_spans(&nested(32))).unwrap().rows.rows(), 1);
    assert_eq!(decode(&with_spans(&nested(33))).unwrap().rejected, 1);
    assert_eq!(decode(&with_spans(&nested(60))).unwrap().rejected, 1);
    assert!(decode(&with_spans(&nested(100))).unwrap_err().contains("nested too deep"));
    let ignored = format!(r#"{{"unknown":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(decode(&ignored).unwrap().rows.rows(), 0);
    let bomb = "{\"resourceSpans\":".repeat(100_000);
    assert!(decode(&bomb).is_err());
}

#[test]
fn a_json_request_has_the_fingerprints_of_its_transcoding() {
    let body = sample("01_otlp_json_peculiarities.json")["otlp"].to_string();
    let protobuf = transcode_traces(body.as_bytes(), 32).unwrap();
    let as_protobuf = decode_traces(&protobuf, Encoding::Protobuf, &Workspace::default(), &Limits::default()).unwrap();
    let as_json = decode(&body).unwrap();
    assert!(as_json.rows.rows() > 0);
    assert_eq!(as_json.rows.fingerprints(), as_protobuf.rows.fingerprints());
}
