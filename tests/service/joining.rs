//! A chat pair that names a trace becomes part of it.

use serde_json::{Value, json};

use crate::rows::text;
use crate::sdk_python::send_trace;
use support::http::post_json;
use support::{Service, wait_until};

const WHOLE_TRACE: &str = "SELECT SpanId, ParentSpanId, SpanName, Timestamp FROM otel_traces \
                           WHERE TraceId = {t:String} ORDER BY Timestamp, SpanId";

#[test]
fn a_pair_joins_the_trace_that_the_python_sdk_sent_as_a_child_of_its_root() {
    let service = Service::start();
    let ledger = send_trace(&service, "grpc", 7, "gzip");
    let answer = post_json(&service.chat("default"), &pair(&ledger.trace_id));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let said = answer.json();
    assert_eq!(text(&said, "trace_id"), ledger.trace_id);

    let sql = service.sql();
    let spans = ledger.rows.len() + 1;
    wait_until("trace and pair are stored", || (sql.spans_of(&ledger.trace_id) >= spans).then_some(()));
    let rows = sql.rows(WHOLE_TRACE, &[("t", &ledger.trace_id)]);
    assert_eq!(rows.len(), spans, "each span is stored once: {rows:?}");

    let pair = rows.iter().find(|row| text(row, "SpanId") == text(&said, "span_id")).expect("the pair is in its trace");
    assert_eq!(text(pair, "ParentSpanId"), ledger.root_span_id, "the pair is a child of the root");
    let others = rows.iter().filter(|row| text(row, "SpanId") != text(&said, "span_id"));
    let names: Vec<&str> = others.map(|row| text(row, "SpanName")).collect();
    assert_eq!(names, ["GET /größe", "invoke_agent planner", "chat gpt-4.1-mini", "execute_tool search"], "in order");
}

#[test]
fn a_pair_joins_whatever_the_letters_of_its_trace_id_look_like() {
    let service = Service::start();
    let ledger = send_trace(&service, "http", 8, "gzip");
    let upper = ledger.trace_id.to_uppercase();
    let id = &ledger.trace_id;
    let mut uuid = id.clone();
    [20, 16, 12, 8].into_iter().for_each(|dash| uuid.insert(dash, '-'));
    for (n, form) in [&upper, &uuid].into_iter().enumerate() {
        let mut pair = pair(form);
        // Another question: the same pair again would be the same span.
        pair["request"]["messages"][0]["content"] = Value::from(format!("question {n}"));
        let answer = post_json(&service.chat("default"), &pair);
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(text(&answer.json(), "trace_id"), ledger.trace_id);
    }
    let spans = ledger.rows.len() + 2;
    wait_until("trace and pairs are stored", || (service.sql().spans_of(id) == spans).then_some(()));
    let query = "SELECT count() FROM otel_traces WHERE TraceId = {t:String} AND ParentSpanId = {p:String}";
    // The agent span is a child of the root too.
    assert_eq!(service.sql().number(query, &[("t", id), ("p", &ledger.root_span_id)]), 3);
}

#[test]
fn two_workspaces_never_join() {
    let service = Service::start();
    let ledger = send_trace(&service, "grpc", 9, "gzip");
    let answer = post_json(&service.chat("another"), &pair(&ledger.trace_id));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let said = answer.json();
    let row = wait_until("the pair is stored", || {
        service
            .sql()
            .rows(WHOLE_TRACE, &[("t", &ledger.trace_id)])
            .into_iter()
            .find(|row| text(row, "SpanId") == text(&said, "span_id"))
    });
    assert_ne!(text(&row, "ParentSpanId"), ledger.root_span_id, "the root belongs to another workspace");
}

fn pair(trace_id: &str) -> Value {
    json!({
        "trace_id": trace_id,
        "provider": "openai",
        "request": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "How deep is the race?"}]},
        "response": {
            "id": "chatcmpl-join-1", "object": "chat.completion", "model": "gpt-4.1-mini-2025-04-14",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Two feet."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}
        }
    })
}
