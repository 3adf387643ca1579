//! The same pair sent again: acknowledged again with the same ids, stored once.

use serde_json::{Value, json};

use crate::rows::text;
use crate::support::http::{Answer, post_json, send};
use crate::support::{Service, wait_until};

const ROWS: &str = "SELECT count() FROM otel_traces WHERE SpanId = {s:String}";

fn pair(question: &str) -> Value {
    json!({
        "request": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": question}]},
        "response": {"id": "chatcmpl-7", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}]}
    })
}

fn accepted(service: &Service, pair: &Value) -> Value {
    let answer = post_json(&service.chat("default"), pair);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn rows(service: &Service, said: &Value) -> u64 {
    service.sql().number(ROWS, &[("s", text(said, "span_id"))])
}

/// Waits until a pair sent after the others is stored: what was sent before it is stored too, if it ever will be.
fn everything_is_stored(service: &Service, last: &str) {
    let said = accepted(service, &pair(last));
    wait_until("the last pair is stored", || (rows(service, &said) == 1).then_some(()));
}

#[test]
fn a_pair_sent_again_is_answered_alike_and_stored_once_even_over_a_restart() {
    let mut service = Service::start();
    let first = accepted(&service, &pair("again?"));
    assert_eq!(accepted(&service, &pair("again?")), first);
    everything_is_stored(&service, "the last of the first life");
    assert_eq!(rows(&service, &first), 1);
    assert_eq!(service.metric("millrace_receiver_duplicate_spans"), Some(1.0), "the repeat was seen");

    assert_eq!(service.terminate().code(), Some(0));
    service.start_again();
    assert_eq!(accepted(&service, &pair("again?")), first);
    everything_is_stored(&service, "the last of the second life");
    assert_eq!(rows(&service, &first), 1);
    assert_eq!(service.metric("millrace_receiver_duplicate_spans"), Some(1.0), "the repeat was seen");
}

#[test]
fn an_idempotency_key_stands_for_one_body_even_over_a_crash() {
    let mut service = Service::start();
    let mut attempts = 0;
    let mut send_with = |service: &Service, key: &str, pair: &Value| {
        attempts += 1;
        let trace = pair["trace_id"].as_str().unwrap_or("4bf92f3577b34da6a3ce929d0e0e4736");
        // an instrumented client makes each attempt a span
        let traceparent = format!("00-{trace}-{attempts:016x}-01");
        let headers =
            [("content-type", "application/json"), ("idempotency-key", key), ("traceparent", traceparent.as_str())];
        send("POST", &service.chat("default"), &headers, pair.to_string().as_bytes())
    };
    let stored = |answer: Answer| {
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    };
    let first = stored(send_with(&service, "key-1", &pair("one?")));
    let other = stored(send_with(&service, "key-2", &pair("one?")));
    assert_ne!(text(&other, "span_id"), text(&first, "span_id"));
    let mut in_another_trace = pair("one?");
    in_another_trace["trace_id"] = json!("0af7651916cd43dd8448eb211c80319c");
    for life in 1..=2 {
        for another in [&pair("two?"), &in_another_trace] {
            let answer = send_with(&service, "key-1", another);
            assert_eq!(answer.status, 422, "life {life}: {}", answer.text());
            assert_eq!(answer.json()["detail"][0]["loc"], json!(["header", "Idempotency-Key"]));
        }
        assert_eq!(stored(send_with(&service, "key-1", &pair("one?"))), first, "life {life}");
        assert_eq!(service.metric("millrace_spans_rejected"), Some(2.0));
        if life == 1 {
            service.kill();
            service.start_again();
        }
    }
    everything_is_stored(&service, "the last");
    assert_eq!((rows(&service, &first), rows(&service, &other)), (1, 1));
}
