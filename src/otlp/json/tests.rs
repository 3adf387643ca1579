//! OTLP/JSON in all its spellings, through the transcoder and the decoder.

mod differential;

use super::*;
use crate::columns::testing::rows;
use crate::otlp::{Decoded, Encoding, Limits, decode_traces};
use crate::workspace::Workspace;
use serde_json::{Map, Value, json};

fn decode(body: &str) -> Result<Decoded, String> {
    let transcoded = transcode_traces(body.as_bytes(), 32).map_err(|error| error.to_string())?;
    transcoded.decode(&Workspace::default(), &Limits::default()).map_err(|error| error.to_string())
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
fn unknown_keys_and_nulls_are_passed_over() {
    let row =
        one(json!({"name": null, "kind": null, "events": null, "status": null, "TraceState": "x", "new": {"a": [1]}}));
    assert_eq!((row["SpanName"].as_str(), row["TraceState"].as_str()), (Some(""), Some("")));
    assert_eq!(decode("{}").unwrap().rows.rows(), 0);
    assert_eq!(decode("null").unwrap().rows.rows(), 0);
    assert_eq!(decode(r#"{"resourceSpans": null}"#).unwrap().rows.rows(), 0);
}

/// Source: protobuf documentation, "ProtoJSON Format": parsers accept the lowerCamelCase name and the original field name.
#[test]
fn original_names_of_fields_are_taken() {
    let span = json!({
        "trace_id": "01".repeat(16),
        "span_id": "02".repeat(8),
        "trace_state": "a=b",
        "start_time_unix_nano": "1790000000000000001",
        "end_time_unix_nano": "1790000000000000002",
        "attributes": [{"key": "k", "value": {"kvlist_value": {"values": [{"key": "a", "value": {"int_value": "1"}}]}}}],
    });
    let body = json!({"resource_spans": [{"scope_spans": [{"spans": [span], "schema_url": "u"}]}]}).to_string();
    let row = rows(&decode(&body).unwrap().rows).remove(0);
    assert_eq!((row["TraceState"].as_str(), row["Duration"].as_u64()), (Some("a=b"), Some(1)));
    assert_eq!((&row["ScopeSchemaUrl"], &row["SpanAttributes"]), (&json!("u"), &json!([["k", r#"{"a":1}"#]])));
}

/// The text of an attribute whose AnyValue has this member; `None` when it costs its span.
fn value_of(member: &str, raw: &str) -> Option<String> {
    let span = format!(r#"{{{IDS}, "attributes": [{{"key": "k", "value": {{"{member}": {raw}}}}}]}}"#);
    let decoded = decode(&format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#)).unwrap();
    rows(&decoded.rows).pop().map(|row| row["SpanAttributes"][0][1].as_str().unwrap().to_owned())
}

/// Source: protobuf documentation, "ProtoJSON Format": numbers and strings are accepted, exponents too, if the value is whole.
#[test]
fn integers_are_read_exactly_however_they_are_written() {
    for (raw, expect) in [
        ("1e18", "1000000000000000000"),
        ("9.223372036854775807e18", "9223372036854775807"),
        (r#""-9.223372036854775808E+18""#, "-9223372036854775808"),
        ("1.50e1", "15"),
        ("0.0012e5", "120"),
        ("100e-2", "1"),
        ("1.0", "1"),
        ("-0.0", "0"),
        ("0e99", "0"),
    ] {
        assert_eq!(value_of("intValue", raw).as_deref(), Some(expect), "{raw}");
    }
    let huge_exponent = "1e99999999999999999999";
    for raw in ["1.5", "1e-1", "1e19", "9.223372036854775808e18", huge_exponent, r#""""#, r#"" 1""#, "true", "{}", "[]"]
    {
        assert_eq!(value_of("intValue", raw), None, "{raw}");
    }
}

/// Source: protobuf documentation, "ProtoJSON Format", and its conformance tests: a double out of range is an error.
#[test]
fn doubles_are_numbers_or_strings_in_range() {
    for (raw, expect) in [
        ("0.5", "0.5"),
        (r#""0.5""#, "0.5"),
        ("1e3", "1000"),
        (r#""NaN""#, "NaN"),
        (r#""Infinity""#, "Infinity"),
        (r#""-Infinity""#, "-Infinity"),
        // without quotes, as Python writes them
        ("NaN", "NaN"),
        (" -Infinity", "-Infinity"),
    ] {
        assert_eq!(value_of("doubleValue", raw).as_deref(), Some(expect), "{raw}");
    }
    for raw in ["1e400", "-1e400", r#""inf""#, r#""nan""#, r#""""#, "true", "{}", "[]"] {
        assert_eq!(value_of("doubleValue", raw), None, "{raw}");
    }
}

#[test]
fn a_number_that_is_not_finite_changes_no_text_around_it() {
    let list = r#"{"values":[{"stringValue":"a \\\" NaN, -Infinity"},{"doubleValue":NaN},{"doubleValue":-1.5},{"stringValue":"Infinity"}]}"#;
    let want = r#"["a \\\" NaN, -Infinity",NaN,-1.5,"Infinity"]"#;
    let got = value_of("arrayValue", list).unwrap();
    assert_eq!(got.replace("\"NaN\"", "NaN"), want);
}

/// Requests of which one span is wrong, and why it is rejected.
const WRONG: [(&str, &str); 25] = [
    (r#""name": 5"#, "name must be a string"),
    (r#""kind": "CLIENT""#, "kind must be an integer"),
    (r#""startTimeUnixNano": -1"#, "startTimeUnixNano must be an unsigned 64-bit integer"),
    (r#""startTimeUnixNano": 1.5"#, "startTimeUnixNano must be an integer"),
    (r#""startTimeUnixNano": 1e308"#, "startTimeUnixNano must be an integer"),
    (r#""startTimeUnixNano": {}"#, "startTimeUnixNano must be an unsigned 64-bit integer"),
    (r#""attributes": {}"#, "attributes must be a list of objects"),
    (r#""attributes": 5"#, "attributes must be a list of objects"),
    (r#""attributes": "a""#, "attributes must be a list of objects"),
    (r#""attributes": [5]"#, "attributes must be a list of objects"),
    (r#""attributes": [[{}]]"#, "attributes must be a list of objects"),
    (r#""attributes": [{"key": "k", "value": 5}]"#, "value must be an object"),
    (r#""attributes": [{"key": "k", "value": -1.5e3}]"#, "value must be an object"),
    (r#""attributes": [{"key": "k", "value": "x"}]"#, "value must be an object"),
    (r#""attributes": [{"key": "k", "value": [1, {"a": 2}]}]"#, "value must be an object"),
    (r#""attributes": [{"key": "k", "value": {"boolValue": "yes"}}]"#, "boolValue must be true or false"),
    (r#""attributes": [{"key": "k", "value": {"bytesValue": "!"}}]"#, "bytesValue must be base64"),
    (r#""attributes": [{"key": "k", "value": {"arrayValue": {"values": [1]}}}]"#, "values must be a list of objects"),
    (r#""status": 2"#, "status must be an object"),
    (r#""status": true"#, "status must be an object"),
    (r#""events": [{"timeUnixNano": []}]"#, "timeUnixNano must be an unsigned 64-bit integer"),
    (r#""links": [7]"#, "links must be a list of objects"),
    (r#""attributes": [{"key": 5, "value": {"stringValue": "x"}}]"#, "key must be a string"),
    (r#""flags": "x""#, "flags must be an integer from 0 to 4294967295"),
    (r#""droppedEventsCount": -1"#, "droppedEventsCount must be an integer from 0 to 4294967295"),
];

const IDS: &str = r#""traceId": "01010101010101010101010101010101", "spanId": "0202020202020202""#;

fn named(name: &str) -> String {
    format!(r#"{{{IDS}, "name": "{name}"}}"#)
}

#[test]
fn a_value_of_the_wrong_type_costs_its_span_by_name_and_no_other() {
    for (wrong, why) in WRONG {
        let spans = format!(r#"{}, {{{IDS}, "name": "bad", {wrong}}}, {}"#, named("a"), named("b"));
        let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
        let decoded = decode(&body).unwrap();
        assert_eq!((decoded.rows.rows(), decoded.rejected), (2, 1), "{wrong}");
        let reason = &decoded.reasons[0];
        assert!(reason.starts_with("span 2 (") && reason.ends_with(why), "{wrong}: {reason}");
    }
}

#[test]
fn a_list_of_texts_holds_texts() {
    for (keys, rejected) in
        [(r#"["a","b"]"#, 0), ("[]", 0), ("null", 0), (r#"["a",5]"#, 1), ("[null]", 1), (r#""a""#, 1), ("{}", 1)]
    {
        let spans = format!(r#""scopeSpans":[{{"spans":[{}]}}]"#, named("a"));
        let resource = format!(r#""resource":{{"entityRefs":[{{"type":"service","idKeys":{keys}}}]}}"#);
        let decoded = decode(&format!(r#"{{"resourceSpans":[{{{resource},{spans}}}]}}"#)).unwrap();
        assert_eq!(decoded.rejected, rejected, "{keys}: {:?}", decoded.reasons);
    }
}

#[test]
fn what_is_wrong_around_spans_costs_those_spans() {
    let (a, b) = (named("a"), named("b"));
    let kept = |resource_spans: &str| {
        let decoded = decode(&format!(r#"{{"resourceSpans":[{resource_spans}]}}"#)).unwrap();
        let names: Vec<_> = rows(&decoded.rows).into_iter().map(|row| row["SpanName"].clone()).collect();
        (json!(names), decoded.rejected, decoded.reasons.join("; "))
    };
    let one = |spans: &str| format!(r#"{{"scopeSpans":[{{"spans":[{spans}]}}]}}"#);
    for (resource_spans, names, rejected, reason) in [
        (
            format!(r#"{{"scopeSpans":[{{"spans":[{a},{b}]}}],"resource":5}},{}"#, one(&b)),
            json!(["b"]),
            2,
            "resource must be",
        ),
        (
            format!(r#"{{"resource":{{"attributes":1}},"scopeSpans":[{{"spans":[{a}]}}]}},{}"#, one(&b)),
            json!(["b"]),
            1,
            "attributes",
        ),
        (
            format!(r#"{{"scopeSpans":[{{"scope":7,"spans":[{a}]}},{{"spans":[{b}]}}]}}"#),
            json!(["b"]),
            1,
            "scope must be",
        ),
        (
            format!(r#"{{"scopeSpans":[{{"spans":[{a}],"schemaUrl":{{}}}},{{"spans":[{b}]}}]}}"#),
            json!(["b"]),
            1,
            "schemaUrl must be",
        ),
        (
            format!(r#"{{"scopeSpans":[{{"spans":[{a},5,{b},[]]}}]}}"#),
            json!(["a", "b"]),
            2,
            "span 2 (without a name): spans must be",
        ),
        (
            format!(r#"{{"scopeSpans":[{{"spans":{a}}},{{"spans":[{b}]}}]}}"#),
            json!(["b"]),
            1,
            "spans must be a list of objects",
        ),
    ] {
        let (found, count, reasons) = kept(&resource_spans);
        assert_eq!((found, count), (names, rejected), "{resource_spans}: {reasons}");
        assert!(reasons.contains(reason), "{resource_spans}: {reasons}");
    }
    for body in [
        "",
        "[",
        "{",
        r#"{"resourceSpans":[]}}"#,
        "not json",
        "[]",
        "5",
        "true",
        r#""x""#,
        r#"{"resourceSpans":5}"#,
        r#"{"resourceSpans":[5]}"#,
        r#"{"resourceSpans":{}}"#,
        r#"{"resourceSpans":[{"scopeSpans":"x"}]}"#,
        r#"{"resourceSpans":[{"scopeSpans":[true]}]}"#,
    ] {
        assert!(decode(body).is_err(), "{body}");
    }
    let error = decode(r#"{"resourceSpans":[{"scopeSpans":[true]}]}"#).unwrap_err();
    assert!(error.contains("scopeSpans must be a list of objects"), "{error}");
}

#[test]
fn nesting_costs_the_span() {
    let nested = |levels: usize| {
        let inner = (1..levels).fold(json!({"arrayValue": {}}), |inner, _| json!({"arrayValue": {"values": [inner]}}));
        json!([{"traceId": "01".repeat(16), "spanId": "02".repeat(8), "attributes": [{"key": "k", "value": inner}]}])
    };
    assert_eq!(decode(&with_spans(&nested(32))).unwrap().rows.rows(), 1);
    assert_eq!(decode(&with_spans(&nested(33))).unwrap().rejected, 1);
    assert_eq!(decode(&with_spans(&nested(60))).unwrap().rejected, 1);
    let absurd = decode(&with_spans(&nested(100))).unwrap();
    assert_eq!((absurd.rejected, absurd.reasons[0].contains("nested less deep")), (1, true), "{:?}", absurd.reasons);
    let ignored = format!(r#"{{"unknown":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(decode(&ignored).unwrap().rows.rows(), 0);
    let bomb = "{\"resourceSpans\":".repeat(100_000);
    assert!(decode(&bomb).is_err());
}

#[test]
fn spellings_beyond_the_standard_are_accepted() {
    let row = one(json!({"kind": "SPAN_KIND_CLIENT", "status": {"code": "STATUS_CODE_ERROR"}}));
    assert_eq!((row["SpanKind"].as_str(), row["StatusCode"].as_str()), (Some("Client"), Some("Error")));
    for bytes in ["+/8=", "+/8", "-_8", "-_8="] {
        let row = one(json!({"attributes": [{"key": "k", "value": {"bytesValue": bytes}}]}));
        assert_eq!(row["SpanAttributes"][0][1], "+/8=", "{bytes}");
    }
    let with_mark = format!("\u{feff}{}", with_spans(&json!([{"traceId": "01".repeat(16), "spanId": "02".repeat(8)}])));
    assert_eq!(decode(&with_mark).unwrap().rows.rows(), 1);
}

#[test]
fn text_that_is_not_utf_8_costs_no_span() {
    let span = format!(
        r#"{{{IDS}, "name": "a\ud83d", "\udead": 1, "attributes": [{{"key": "\ude00k", "value": {{"stringValue": "x\ud83dy\u0000\ud83d\ude00"}}}}]}}"#
    );
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}, {}]}}]}}]}}"#, named("XX"));
    let mut bytes = body.into_bytes();
    let at = bytes.windows(2).position(|window| window == b"XX").unwrap();
    bytes[at] = 0xe6;
    let decoded = transcode_traces(&bytes, 32).unwrap().decode(&Workspace::default(), &Limits::default()).unwrap();
    assert_eq!((decoded.rows.rows(), decoded.rejected), (2, 0), "{:?}", decoded.reasons);
    let rows = rows(&decoded.rows);
    assert_eq!((rows[0]["SpanName"].as_str(), rows[1]["SpanName"].as_str()), (Some("a\u{fffd}"), Some("\u{fffd}X")));
    assert_eq!(rows[0]["SpanAttributes"], json!([["\u{fffd}k", "x\u{fffd}y\0😀"]]));
}

#[test]
fn the_protobuf_is_never_longer_than_the_json() {
    let empty = |name: &str| {
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"{name}":[{}{{}}]}}]}}]}}]}}"#, "{},".repeat(1_000))
    };
    for body in [
        empty("attributes"),
        empty("events"),
        empty("links"),
        format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(1_000)),
    ] {
        let transcoded = transcode_traces(body.as_bytes(), 32).unwrap();
        assert!(transcoded.protobuf().len() <= body.len(), "{} of {}", transcoded.protobuf().len(), body.len());
    }
}

#[test]
fn a_json_request_has_the_fingerprints_of_its_transcoding() {
    let body = sample("01_otlp_json_peculiarities.json")["otlp"].to_string();
    let protobuf = transcode_traces(body.as_bytes(), 32).unwrap();
    let as_protobuf =
        decode_traces(protobuf.protobuf(), Encoding::Protobuf, &Workspace::default(), &Limits::default()).unwrap();
    let as_json = decode(&body).unwrap();
    assert!(as_json.rows.rows() > 0);
    assert_eq!(as_json.rows.fingerprints(), as_protobuf.rows.fingerprints());
}
