//! What OTLP 1.11 asks of a server, case by case. Source: OTLP specification, "OTLP/HTTP" and "OTLP/gRPC".

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use serde_json::{Value, json};

use crate::rows::{attribute, text};
use support::clients::grpc_answers;
use support::http::{Answer, send};
use support::wire::{ExportTraceServiceResponse, Span, Status, request_of, span, string_attribute};
use support::{Service, process, project, wait_until};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const MIB: usize = 1024 * 1024;
/// The default limit of a request, before and after decompression. Source: OTLP 1.11, recommended.
const REQUEST_BYTES_MAX: usize = 64 * MIB;

fn post(service: &Service, content_type: &str, body: &[u8]) -> Answer {
    send("POST", &service.http("/v1/traces"), &[("content-type", content_type)], body)
}

fn post_gzip(service: &Service, content_type: &str, body: &[u8]) -> Answer {
    let headers = [("content-type", content_type), ("content-encoding", "gzip")];
    send("POST", &service.http("/v1/traces"), &headers, &gzip(body))
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

/// The body is a google.rpc.Status with a message, in the request's content type.
fn assert_status_body(answer: &Answer, content_type: &str) {
    assert!(answer.header("content-type").starts_with(content_type), "{answer:?}");
    let message = match content_type {
        JSON => answer.json().get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => Status::decode(answer.body.as_slice()).unwrap_or_else(|error| panic!("{error}: {answer:?}")).message,
    };
    assert!(!message.is_empty(), "the answer says nothing: {answer:?}");
}

fn wait_for_spans(service: &Service, spans: u64) {
    let all = "SELECT count() AS n FROM otel_traces";
    wait_until("the spans are stored", || {
        let rows = service.sql().try_rows(all, &[]).ok()?;
        (rows.first()?.get("n")?.as_u64()? >= spans).then_some(())
    });
    assert_eq!(service.sql().number(all, &[]), spans);
}

#[test]
fn a_good_request_is_answered_with_an_empty_response_in_its_own_content_type() {
    let service = Service::start();
    let answer = post(&service, PROTOBUF, &request_of(vec![span(1)]));
    assert_eq!((answer.status, answer.body.len()), (200, 0), "partial_success is unset: {answer:?}");
    assert!(answer.header("content-type").starts_with(PROTOBUF), "{answer:?}");

    let answer = post_gzip(&service, PROTOBUF, &request_of(vec![span(2)]));
    assert_eq!(answer.status, 200, "{answer:?}");

    let body = json_request(&[json_span("33", "3333333333333333")]);
    for content_type in [JSON, "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
        let body = body.replace("3333333333333333", &format!("{:016x}", content_type.len()));
        let answer = post(&service, content_type, body.as_bytes());
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{content_type}: {answer:?}");
        assert!(answer.header("content-type").starts_with(JSON), "{answer:?}");
    }
    wait_for_spans(&service, 5);
}

#[test]
fn an_empty_request_succeeds() {
    let service = Service::start();
    let protobuf = post(&service, PROTOBUF, b"");
    assert_eq!((protobuf.status, protobuf.body.len()), (200, 0), "{protobuf:?}");
    let json = post(&service, JSON, b"{}");
    assert_eq!((json.status, json.text().as_str()), (200, "{}"), "{json:?}");
    let grpc = grpc_answers(&service.grpc(), &["--spans", "0"]);
    assert_eq!(grpc.last.get("code"), Some(&json!("OK")), "{grpc:?}");
    assert_eq!(grpc.last.get("partial_success"), Some(&json!(false)), "{grpc:?}");
}

#[test]
fn garbage_is_a_client_error_with_a_status_in_the_content_type_of_the_request() {
    let service = Service::start();
    let truncated = request_of(vec![span(1)]);
    let truncated = truncated.get(..truncated.len() - 3).expect("longer than that");
    for body in [b"\xff\xff\xff garbage".as_slice(), truncated] {
        let answer = post(&service, PROTOBUF, body);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_status_body(&answer, PROTOBUF);
        // what is wrong is said as a BadRequest too
        let status = tonic_types::pb::Status::decode(answer.body.as_slice()).expect("a google.rpc.Status");
        let [detail] = status.details.as_slice() else { panic!("one detail: {status:?}") };
        assert_eq!(detail.type_url, "type.googleapis.com/google.rpc.BadRequest");
        let bad_request = tonic_types::pb::BadRequest::decode(detail.value.as_slice()).expect("a BadRequest");
        assert_eq!(bad_request.field_violations[0].description, status.message);
    }
    for body in ["", "{", "[]", "{\"resourceSpans\": 7}"] {
        let answer = post(&service, JSON, body.as_bytes());
        assert_eq!(answer.status, 400, "{body:?}: {answer:?}");
        assert_status_body(&answer, JSON);
        let (said, detail) = (answer.json(), answer.json()["details"][0].clone());
        assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.BadRequest");
        assert_eq!(detail["fieldViolations"][0]["description"], said["message"], "{said}");
    }
    let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    let answer = send("POST", &service.http("/v1/traces"), &headers, b"this is no gzip");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_status_body(&answer, PROTOBUF);
}

#[test]
fn other_paths_methods_and_types_are_refused_for_good() {
    let service = Service::start();
    let good = request_of(vec![span(1)]);
    let headers = [("content-type", PROTOBUF)];
    let unknown = send("POST", &service.http("/v1/nothing"), &headers, &good);
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert_status_body(&unknown, PROTOBUF);
    let get = send("GET", &service.http("/v1/traces"), &[], b"");
    assert_eq!(get.status, 405, "{get:?}");
    for path in ["//v1/traces", "/v1/traces/", "/v1//traces//"] {
        let sent = send("POST", &service.http(path), &headers, &good);
        assert_eq!(sent.status, 200, "a slash too many: {path} {sent:?}");
        let get = send("GET", &service.http(path), &[], b"");
        assert_eq!(get.status, 405, "{path} {get:?}");
    }
    let chat = service.http("//apis/intake/v2/workspaces/default/ingest/chat-completions/?x=1");
    let refused = send("POST", &chat, &[("content-type", "application/json")], b"{}");
    assert_eq!(refused.status, 422, "{refused:?}");
    let plain = post(&service, "text/plain", b"hello");
    assert_eq!(plain.status, 415, "{plain:?}");
    let encoding = [("content-type", PROTOBUF), ("content-encoding", "snappy")];
    let snappy = send("POST", &service.http("/v1/traces"), &encoding, &good);
    assert_eq!(snappy.status, 415, "{snappy:?}");
    assert_status_body(&snappy, PROTOBUF);
}

#[test]
fn a_request_that_is_too_large_is_refused_before_and_after_decompression() {
    let service = Service::start();
    let mut large = span(1);
    large.attributes.push(string_attribute("filler", "a".repeat(REQUEST_BYTES_MAX + MIB)));
    let large = request_of(vec![large]);
    let before = process::peak_memory_bytes(service.pid());
    let answer = post_gzip(&service, PROTOBUF, &large);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_status_body(&answer, PROTOBUF);
    let grown = process::peak_memory_bytes(service.pid()) - before;
    assert!(grown < 4 * mib(REQUEST_BYTES_MAX) * 1024 * 1024, "a bomb of {} B took {grown} B", gzip(&large).len());

    // Over-size is not retryable: RESOURCE_EXHAUSTED without RetryInfo, and never OUT_OF_RANGE.
    for compression in ["none", "gzip"] {
        let bytes = (REQUEST_BYTES_MAX + MIB).to_string();
        let grpc = grpc_answers(&service.grpc(), &["--span-bytes", &bytes, "--compression", compression]);
        assert_eq!(grpc.last.get("code"), Some(&json!("RESOURCE_EXHAUSTED")), "{compression}: {:?}", grpc.last);
        assert_eq!(grpc.last.get("details_retry_seconds"), None, "{:?}", grpc.last);
        assert_eq!(grpc.last.get("trailer_retry_seconds"), None, "{:?}", grpc.last);
    }
    // And it goes on.
    assert_eq!(post(&service, PROTOBUF, &request_of(vec![span(2)])).status, 200);
    wait_for_spans(&service, 1);
}

fn mib(bytes: usize) -> u64 {
    u64::try_from(bytes / MIB).expect("a few MiB")
}

#[test]
fn a_small_request_of_very_many_empty_spans_takes_no_memory() {
    let service = Service::start();
    // 4 MiB of spans without a single field: two bytes each, some 4 KB of gzip.
    let bomb = request_of(vec![Span::default(); 2 * MIB]);
    let before = process::peak_memory_bytes(service.pid());
    let answer = post_gzip(&service, PROTOBUF, &bomb);
    assert!([400, 413].contains(&answer.status), "{answer:?}");
    assert_status_body(&answer, PROTOBUF);
    let grown = process::peak_memory_bytes(service.pid()).saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "4 MiB of empty spans took {grown} B");
}

#[test]
fn spans_with_bad_ids_are_rejected_alone_and_counted_in_the_answer() {
    let service = Service::start();
    let short = Span { span_id: vec![9; 7], ..span(2) };
    let zero = Span { trace_id: vec![0; 16], ..span(3) };
    let answer = post(&service, PROTOBUF, &request_of(vec![span(1), short, zero, span(4)]));
    assert_eq!(answer.status, 200, "{answer:?}");
    let response = ExportTraceServiceResponse::decode(answer.body.as_slice()).expect("a response");
    let partial = response.partial_success.expect("partial_success is set");
    assert_eq!(partial.rejected_spans, 2, "{partial:?}");
    assert!(!partial.error_message.is_empty(), "it says why");

    let body = json_request(&[json_span("55", "5555555555555555"), json_span("66", "zz")]);
    let answer = post(&service, JSON, body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json();
    let rejected = said.pointer("/partialSuccess/rejectedSpans");
    assert!(rejected == Some(&json!("1")) || rejected == Some(&json!(1)), "{said}");

    wait_for_spans(&service, 3);
}

#[test]
fn unknown_fields_and_either_form_of_64_bit_numbers_are_taken() {
    let service = Service::start();
    let mut span = json_span("77", "7777777777777777");
    span["startTimeUnixNano"] = json!(1_741_569_952_000_000_001_u64);
    span["aFieldOfTheFuture"] = json!({"deep": [1, {"x": null}]});
    span["attributes"] = json!([
        {"key": "text", "value": {"intValue": "-7"}},
        {"key": "number", "value": {"intValue": 7}},
        {"key": "empty", "value": {}},
    ]);
    let answer = post(&service, JSON, json_request(&[span]).as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{answer:?}");
    wait_for_spans(&service, 1);
    let rows = service.sql().rows("SELECT SpanAttributes, Duration FROM otel_traces", &[]);
    let want = json!({"SpanAttributes": {"text": "-7", "number": "7", "empty": ""}, "Duration": 2});
    assert_eq!(rows, [want]);
}

/// A file of tests/corpus/otlp: a request, and what must come of it.
fn corpus(name: &str) -> Value {
    let file = project().join("tests/corpus/otlp").join(name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).expect("the corpus is JSON")
}

#[test]
fn the_peculiarities_of_otlp_json_are_read_as_meant() {
    let service = Service::start();
    let case = corpus("01_otlp_json_peculiarities.json");
    let answer = post(&service, JSON, case["otlp"].to_string().as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{answer:?}");
    wait_for_spans(&service, 1);
    let query = "SELECT TraceId, SpanId, ParentSpanId, SpanKind, StatusCode, StatusMessage, AllAttributes AS SpanAttributes, \
                 toUnixTimestamp64Nano(Timestamp) AS at, Duration FROM otel_traces";
    let rows = service.sql().rows(query, &[]);
    let row = rows.first().expect("one row");
    let want = &case["expect"];
    for (column, expected) in [("TraceId", "trace_id"), ("SpanId", "span_id"), ("ParentSpanId", "parent_span_id")] {
        assert_eq!(row.get(column), want.get(expected), "{column}");
    }
    assert_eq!(
        (text(row, "SpanKind"), text(row, "StatusCode"), text(row, "StatusMessage")),
        ("Client", "Error", "boom")
    );
    assert_eq!((&row["at"], &row["Duration"]), (&want["start_ns"], &json!(999_999_999)));
    for (name, value) in
        [("gen_ai.usage.input_tokens", "input_tokens"), ("gen_ai.usage.output_tokens", "output_tokens")]
    {
        assert_eq!(attribute(row, name), want[value].to_string(), "{name}");
    }
    assert_eq!((attribute(row, "x.empty"), attribute(row, "x.null"), attribute(row, "x.bytes")), ("", "", "AAEC"));
    let messages: Value = serde_json::from_str(attribute(row, "gen_ai.input.messages")).expect("messages are JSON");
    assert_eq!(messages, want["input_messages"]);
}

#[test]
fn each_of_the_invalid_ids_is_rejected_and_the_good_span_beside_them_kept() {
    let service = Service::start();
    let case = corpus("02_invalid_ids.json");
    let spans = case["otlp_spans"].as_array().expect("spans");
    let answer = post(&service, JSON, json_request(spans).as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    let rejected = answer.json().pointer("/partialSuccess/rejectedSpans").map(|n| n.to_string().replace('"', ""));
    assert_eq!(rejected, Some(case["expect"]["rejected"].to_string()), "{answer:?}");
    wait_for_spans(&service, 1);
    let rows = service.sql().rows("SELECT SpanName FROM otel_traces", &[]);
    assert_eq!(rows, [json!({"SpanName": case["expect"]["accepted"][0]})]);
}

#[test]
fn a_span_that_ends_before_it_starts_has_no_negative_duration() {
    let service = Service::start();
    let backwards = Span { end_time_unix_nano: 1, ..span(1) };
    let answer = post(&service, PROTOBUF, &request_of(vec![backwards]));
    assert_eq!(answer.status, 200, "{answer:?}");
    wait_for_spans(&service, 1);
    assert_eq!(service.sql().number("SELECT Duration FROM otel_traces", &[]), 0);
}

/// `trace_id_pair` is repeated to a whole trace id.
fn json_span(trace_id_pair: &str, span_id: &str) -> Value {
    json!({
        "traceId": trace_id_pair.repeat(16), "spanId": span_id, "name": "by hand", "kind": 2,
        "startTimeUnixNano": "1741569952000000001", "endTimeUnixNano": "1741569952000000003",
    })
}

fn json_request(spans: &[Value]) -> String {
    json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "s"}, "spans": spans}]}]}).to_string()
}

#[test]
fn texts_that_are_not_utf_8_are_replaced_kept_and_counted() {
    let service = Service::start();
    let span = |id: u8, name: &str| {
        format!(
            r#"{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b17{id}","name":"{name}","startTimeUnixNano":"1790000000000000000"}}"#
        )
    };
    let request =
        |span: String| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#).into_bytes();
    let cut = request(span(1, "half a \u{1f600}"));
    let at = cut.windows(4).position(|window| window == "\u{1f600}".as_bytes()).unwrap();
    let cut = [&cut[..at + 2], &cut[at + 4..]].concat();
    for body in [cut, request(span(2, r"half \ud83d of it"))] {
        let answer = post(&service, JSON, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let names = "SELECT SpanName AS name FROM otel.otel_traces ORDER BY SpanId";
    let rows = wait_until("both are stored", || service.sql().try_rows(names, &[]).ok().filter(|rows| rows.len() == 2));
    assert_eq!(rows, [json!({"name": "half a \u{fffd}"}), json!({"name": "half \u{fffd} of it"})]);
    assert_eq!(service.metric("millrace_texts_mended_total"), Some(2.0));
}
