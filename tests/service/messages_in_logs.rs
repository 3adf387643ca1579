//! Messages that are log records of their own: they are those of the span in which they were written, in whatever order and in how
//! many requests they arrive, and a call of their own where there is no such span.

use millrace::time::Clock;
use serde_json::{Value, json};

use support::Service;
use support::http::post_json;

const SPAN: &str = "00f067aa0ba902b7";

fn text_attribute(key: &str, text: &str) -> Value {
    json!({"key": key, "value": {"stringValue": text}})
}

fn now() -> String {
    Clock::System.now().nanos().to_string()
}

fn resource() -> Value {
    json!({"attributes": [text_attribute("service.name", "app")]})
}

fn send_span(service: &Service, trace: &str) {
    let usage = |key: &str, count: u32| json!({"key": key, "value": {"intValue": count.to_string()}});
    let attributes = [
        text_attribute("gen_ai.operation.name", "chat"),
        text_attribute("gen_ai.system", "openai"),
        text_attribute("gen_ai.request.model", "gpt-4o"),
        usage("gen_ai.usage.input_tokens", 12),
        usage("gen_ai.usage.output_tokens", 3),
    ];
    let span = json!({"traceId": trace, "spanId": SPAN, "name": "chat gpt-4o", "kind": 3, "startTimeUnixNano": now(),
        "endTimeUnixNano": now(), "attributes": attributes});
    let body = json!({"resourceSpans": [{"resource": resource(), "scopeSpans": [{"scope": {"name": "openai"}, "spans": [span]}]}]});
    assert_eq!(post_json(&service.http("/v1/traces"), &body).status, 200);
}

fn send_messages(service: &Service, trace: &str, messages: &[(&str, Value)]) {
    let record = |(name, body): &(&str, Value)| {
        json!({"timeUnixNano": now(), "eventName": name, "traceId": trace, "spanId": SPAN, "body": any_value(body),
            "attributes": [text_attribute("gen_ai.system", "openai")]})
    };
    let records: Vec<Value> = messages.iter().map(record).collect();
    let scope = json!({"name": "opentelemetry.instrumentation.openai_v2"});
    let body =
        json!({"resourceLogs": [{"resource": resource(), "scopeLogs": [{"scope": scope, "logRecords": records}]}]});
    assert_eq!(post_json(&service.http("/v1/logs"), &body).status, 200);
}

fn any_value(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let values: Vec<Value> =
                members.iter().map(|(key, value)| json!({"key": key, "value": any_value(value)})).collect();
            json!({"kvlistValue": {"values": values}})
        }
        Value::Number(number) => json!({"intValue": number.to_string()}),
        other => json!({"stringValue": other}),
    }
}

#[test]
fn messages_are_those_of_the_span_they_were_written_in_in_whatever_order_they_come() {
    let service = Service::start();
    let asked = ("gen_ai.user.message", json!({"content": "Capital of Peru?"}));
    let message = json!({"role": "assistant", "content": "Lima."});
    let answered = ("gen_ai.choice", json!({"index": 0, "finish_reason": "stop", "message": message}));
    let traces = ["a1", "a2", "a3", "a4"].map(|name| name.repeat(16));
    // the span first, between them and last; and messages alone
    send_span(&service, &traces[0]);
    send_messages(&service, &traces[0], &[asked.clone(), answered.clone()]);
    send_messages(&service, &traces[1], std::slice::from_ref(&asked));
    send_span(&service, &traces[1]);
    send_messages(&service, &traces[1], std::slice::from_ref(&answered));
    send_messages(&service, &traces[2], &[answered.clone(), asked.clone()]);
    send_messages(&service, &traces[2], &[answered.clone(), asked.clone()]);
    send_span(&service, &traces[2]);
    send_messages(&service, &traces[3], &[asked, answered]);

    let query = "SELECT TraceId, SpanName, InputTokens, InputMessages, OutputMessages, FinishReasons, ReportedBy, Reports \
                 FROM genai_calls_with_content ORDER BY TraceId";
    let call = |trace: &String, name: &str, input: Value, by: Value, reports: u32| {
        let parts = |text: &str| json!([{"type": "text", "content": text}]);
        json!({"TraceId": trace, "SpanName": name, "InputTokens": input, "ReportedBy": by, "Reports": reports,
            "InputMessages": json!([{"role": "user", "parts": parts("Capital of Peru?")}]).to_string(),
            "OutputMessages": json!([{"role": "assistant", "parts": parts("Lima."), "finish_reason": "stop"}]).to_string(),
            "FinishReasons": ["stop"]})
    };
    let of_span = |trace| call(trace, "chat gpt-4o", json!(12), json!(["event", "span"]), 3);
    let want = vec![
        of_span(&traces[0]),
        of_span(&traces[1]),
        of_span(&traces[2]),
        call(&traces[3], "gen_ai.choice", Value::Null, json!(["event"]), 2),
    ];
    let sql = service.sql();
    sql.becomes(query, &[], &want);
    let of_one = json!({"Calls": 1, "InputPreview": "Capital of Peru?", "OutputPreview": "Lima."});
    sql.becomes("SELECT Calls, InputPreview, OutputPreview FROM genai_traces", &[], &vec![of_one; want.len()]);
    // each message is a log record too
    sql.becomes("SELECT count() AS n FROM otel_logs", &[], &[json!({"n": 10})]);
}
