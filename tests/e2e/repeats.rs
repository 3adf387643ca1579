//! The same pair sent again: acknowledged again with the same ids, stored once.

use serde_json::{Value, json};

use crate::rows::text;
use crate::support::http::{post_json, send};
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
fn an_idempotency_key_names_the_pair_whatever_its_body_says() {
    let service = Service::start();
    let with_key = |key: &str, question: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let answer = send("POST", &service.chat("default"), &headers, pair(question).to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    };
    let first = with_key("key-1", "one?");
    assert_eq!(with_key("key-1", "two?"), first);
    let other = with_key("key-2", "one?");
    assert_ne!(text(&other, "span_id"), text(&first, "span_id"));
    everything_is_stored(&service, "the last");
    assert_eq!((rows(&service, &first), rows(&service, &other)), (1, 1));
}
