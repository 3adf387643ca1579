//! Chat-completions by plain HTTP, as producers without OpenTelemetry send them.

use serde_json::{Value, json};

use crate::rows::{attribute, text};
use support::http::{self, post_json};
use support::{Service, wait_until};

const ROW: &str = "SELECT TraceId, SpanId, ParentSpanId, SpanName, SpanKind, StatusCode, StatusMessage, Duration, \
                   toString(toUnixTimestamp64Nano(Timestamp)) AS at, AllAttributes AS SpanAttributes \
                   FROM otel_traces WHERE SpanId = {s:String}";

fn pair() -> Value {
    json!({
        "provider": "openai",
        "session_id": "session-ü-1",
        "cost_usd": 0.0042,
        "request": {
            "model": "gpt-4.1-mini",
            "temperature": 0.25,
            "max_tokens": 128,
            "messages": [
                {"role": "system", "content": "You are a miller."},
                {"role": "user", "content": "Wie groß ist das Rad? 🌍"}
            ]
        },
        "response": {
            "id": "chatcmpl-e2e-1", "object": "chat.completion", "created": 1_741_569_952,
            "model": "gpt-4.1-mini-2025-04-14",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Drei Meter."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 21, "completion_tokens": 5, "total_tokens": 26}
        }
    })
}

/// The pair's row, once it is there.
fn row_of(service: &Service, said: &Value) -> Value {
    let span = text(said, "span_id");
    assert_eq!((span.len(), text(said, "trace_id").len()), (16, 32), "ids are hex of full length: {said}");
    let rows = wait_until("the pair is stored", || {
        service.sql().try_rows(ROW, &[("s", span)]).ok().filter(|rows| !rows.is_empty())
    });
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.into_iter().next().expect("one row")
}

#[test]
fn a_path_that_is_no_text_is_refused_as_json() {
    let service = Service::start();
    for path in ["chat-completions", "litellm", "helicone", "helicone/custom/v1/log"] {
        let url = service.http(&format!("/apis/intake/v2/workspaces/%ff/ingest/{path}"));
        let answer = post_json(&url, &pair());
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/json"), "{path}");
        assert_eq!(answer.json(), json!({"detail": "the path is not UTF-8"}), "{path}");
    }
}

#[test]
fn a_pair_is_answered_with_its_ids_and_stored_with_its_meaning() {
    let service = Service::start();
    let answer = post_json(&service.chat("default"), &pair());
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(answer.header("content-type").starts_with("application/json"), "{answer:?}");
    let said = answer.json();
    assert_eq!(text(&said, "session_id"), "session-ü-1");

    let row = row_of(&service, &said);
    assert_eq!(text(&row, "TraceId"), text(&said, "trace_id"));
    assert_eq!(text(&row, "ParentSpanId"), "", "a pair without a trace has one of its own");
    assert_eq!(text(&row, "SpanName"), "chat gpt-4.1-mini");
    assert_eq!(text(&row, "SpanKind"), "Client");
    assert_eq!(text(&row, "StatusCode"), "Unset");
    assert!(text(&row, "at").starts_with("1741569952"), "the response says when it was made: {row}");
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "gpt-4.1-mini"),
        ("gen_ai.request.temperature", "0.25"),
        ("gen_ai.request.max_tokens", "128"),
        ("gen_ai.response.model", "gpt-4.1-mini-2025-04-14"),
        ("gen_ai.response.id", "chatcmpl-e2e-1"),
        ("gen_ai.response.finish_reasons", "[\"stop\"]"),
        ("gen_ai.usage.input_tokens", "21"),
        ("gen_ai.usage.output_tokens", "5"),
        ("gen_ai.conversation.id", "session-ü-1"),
    ] {
        assert_eq!(attribute(&row, name), value, "{name}");
    }
    for (name, words) in
        [("gen_ai.input.messages", "Wie groß ist das Rad? 🌍"), ("gen_ai.output.messages", "Drei Meter.")]
    {
        let messages: Value = serde_json::from_str(attribute(&row, name)).expect("messages are JSON");
        assert!(messages.as_array().is_some_and(|list| !list.is_empty()), "{name}: {messages}");
        assert!(messages.to_string().contains(words), "{name}: {messages}");
    }
}

#[test]
fn a_pair_whose_response_is_an_error_is_stored_as_one() {
    let service = Service::start();
    let mut body = pair();
    body["response"] =
        json!({"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}});
    let answer = post_json(&service.chat("default"), &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let row = row_of(&service, &answer.json());
    assert_eq!(text(&row, "StatusCode"), "Error");
    assert!(text(&row, "StatusMessage").contains("Rate limit reached"), "{row}");
    assert!(!attribute(&row, "error.type").is_empty());
}

#[test]
fn the_same_pair_again_has_the_same_ids() {
    let service = Service::start();
    let mut body = pair();
    body["trace_id"] = "4bf92f3577b34da6a3ce929d0e0e4736".into();
    let [first, second] = [(); 2].map(|()| post_json(&service.chat("default"), &body));
    assert_eq!((first.status, second.status), (201, 201), "{} {}", first.text(), second.text());
    assert_eq!(text(&first.json(), "span_id"), text(&second.json(), "span_id"));
    let elsewhere = post_json(&service.chat("another"), &body);
    assert_ne!(text(&first.json(), "span_id"), text(&elsewhere.json(), "span_id"), "the workspace is part of identity");
}

#[test]
fn a_body_that_does_not_fit_is_refused_with_the_place_of_the_fault() {
    let service = Service::start();
    let url = service.chat("default");
    let with = |change: fn(&mut Value)| {
        let mut body = pair();
        change(&mut body);
        body
    };
    let cases: [(Value, Value); 7] = [
        (json!({}), json!(["body", "request"])),
        (with(|b| drop(b.as_object_mut().expect("an object").shift_remove("response"))), json!(["body", "response"])),
        (with(|b| b["request"]["model"] = 7.into()), json!(["body", "request", "model"])),
        (with(|b| b["request"]["messages"] = "hello".into()), json!(["body", "request", "messages"])),
        (
            with(|b| b["request"]["messages"][1] = json!({"content": "x"})),
            json!(["body", "request", "messages", 1, "role"]),
        ),
        (
            with(|b| b["request"]["messages"][0]["role"] = "wizard".into()),
            json!(["body", "request", "messages", 0, "role"]),
        ),
        (with(|b| b["session_id"] = json!({"a": 1})), json!(["body", "session_id"])),
    ];
    for (body, place) in &cases {
        let answer = post_json(&url, body);
        assert_eq!(answer.status, 422, "{place}: {}", answer.text());
        let said = answer.json();
        let details = said.get("detail").and_then(Value::as_array).unwrap_or_else(|| panic!("no detail list: {said}"));
        let found = details.iter().find(|detail| detail.get("loc") == Some(place));
        let detail = found.unwrap_or_else(|| panic!("nothing at {place}: {said}"));
        assert!(!text(detail, "msg").is_empty() && !text(detail, "type").is_empty(), "{said}");
    }
    // What was refused cost nobody else anything, and left nothing behind.
    let good = post_json(&url, &pair());
    assert_eq!(good.status, 201, "{}", good.text());
    row_of(&service, &good.json());
    assert_eq!(service.sql().number("SELECT count() FROM otel_traces", &[]), 1);
}

#[test]
fn a_body_that_is_no_json_is_refused_in_the_documented_form() {
    let service = Service::start();
    let headers = [("content-type", "application/json")];
    for body in ["", "{", "[]", "\"text\"", "{\"request\": nope}"] {
        let answer = http::send("POST", &service.chat("default"), &headers, body.as_bytes());
        assert_eq!(answer.status, 422, "{body:?}: {}", answer.text());
        let said = answer.json();
        assert!(said.get("detail").and_then(Value::as_array).is_some_and(|list| !list.is_empty()), "{body:?}: {said}");
    }
}
