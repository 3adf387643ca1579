//! What coding agents send becomes calls, tools, sessions, users and costs, each call once, whatever comes first; and the three queries
//! of `docs/coding-agents.md` answer.

use std::fs;

use millrace::time::Clock;
use serde_json::{Value, json};

use support::http::post_json;
use support::{Service, project, wait_until};

const CLAUDE_CODE: &str = "com.anthropic.claude_code.events";

fn attributes(members: &Value) -> Value {
    let value = |value: &Value| match value {
        Value::Number(number) => json!({"intValue": number.to_string()}),
        other => json!({"stringValue": other}),
    };
    members.as_object().expect("members").iter().map(|(key, it)| json!({"key": key, "value": value(it)})).collect()
}

fn now() -> u64 {
    u64::try_from(Clock::System.now().nanos()).expect("it is after 1970")
}

/// A log record of Claude Code, of the user and session that this name stands for.
fn record(name: &str, event: &str, more: &Value, place: &Value) -> Value {
    let mut said = json!({"event.name": event, "session.id": format!("s-{name}"), "prompt.id": format!("p-{name}"),
        "user.email": format!("{name}@example.com"), "user.id": "installation"});
    said.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
    let mut record = json!({"timeUnixNano": now().to_string(), "attributes": attributes(&said)});
    record.as_object_mut().expect("members").extend(place.as_object().expect("members").clone());
    record
}

fn request_of(name: &str, request_id: &str, place: &Value) -> Value {
    let more = json!({"model": "claude-sonnet-4-5", "input_tokens": 10, "output_tokens": 20, "cache_read_tokens": 70,
        "cache_creation_tokens": 20, "cost_usd": "0.25", "duration_ms": 1500, "request_id": request_id});
    record(name, "api_request", &more, place)
}

fn failed_tool(name: &str, place: &Value) -> Value {
    let more = json!({"tool_name": "Bash", "tool_use_id": format!("toolu-{name}"), "success": "false", "error_type": "ShellError"});
    record(name, "tool_result", &more, place)
}

fn send_logs(service: &Service, records: &[Value]) {
    let resource = json!({"attributes": attributes(&json!({"service.name": "claude-code"}))});
    let body = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {"name": CLAUDE_CODE}, "logRecords": records}]}]});
    assert_eq!(post_json(&service.http("/v1/logs"), &body).status, 200);
}

fn trace_of(name: &str) -> String {
    format!("{:0>32}", name.bytes().map(|letter| format!("{letter:02x}")).collect::<String>())
}

/// The turn of a user as spans: an interaction, its request to the model, its tool.
fn send_spans(service: &Service, name: &str, request_id: &str) {
    let span = |id: &str, parent: &str, span_name: &str, said: &Value| {
        let started = now() - 2_000_000_000;
        json!({"traceId": trace_of(name), "spanId": id, "parentSpanId": parent, "name": span_name, "kind": 1,
            "startTimeUnixNano": started.to_string(), "endTimeUnixNano": (started + 1_500_000_000).to_string(), "attributes": attributes(said)})
    };
    let session = format!("s-{name}");
    let spans = [
        span(
            "00000000000000a1",
            "",
            "claude_code.interaction",
            &json!({"span.type": "interaction", "session.id": session}),
        ),
        span(
            "00000000000000a2",
            "00000000000000a1",
            "claude_code.llm_request",
            &json!({"span.type": "llm_request", "session.id": session, "model": "claude-sonnet-4-5", "input_tokens": 10,
                "output_tokens": 20, "cache_read_tokens": 70, "cache_creation_tokens": 20, "request_id": request_id, "ttft_ms": 300}),
        ),
        span(
            "00000000000000a3",
            "00000000000000a1",
            "claude_code.tool",
            &json!({"span.type": "tool", "session.id": session, "tool_name": "Bash", "tool_use_id": format!("toolu-{name}")}),
        ),
    ];
    let resource = json!({"attributes": attributes(&json!({"service.name": "claude-code"}))});
    let scope = json!({"name": "com.anthropic.claude_code.tracing"});
    let body = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]});
    assert_eq!(post_json(&service.http("/v1/traces"), &body).status, 200);
}

#[test]
fn each_call_of_a_coding_agent_counts_once_whatever_reports_it_and_comes_first() {
    let service = Service::start();
    let in_span = |name: &str| json!({"traceId": trace_of(name), "spanId": "00000000000000a1"});
    // an event alone, and sent again
    let alone = [request_of("ana", "req-1", &json!({})), failed_tool("ana", &json!({}))];
    send_logs(&service, &alone);
    send_logs(&service, &alone);
    // the event before its span, and after
    send_logs(&service, &[request_of("bo", "req-2", &in_span("bo"))]);
    send_spans(&service, "bo", "req-2");
    send_spans(&service, "cy", "req-3");
    send_logs(&service, &[request_of("cy", "req-3", &in_span("cy")), failed_tool("cy", &in_span("cy"))]);

    let sql = service.sql();
    let call = |who: &str, reported_by: Value, first_token: Value| {
        json!({"who": format!("{who}@example.com"), "session": format!("s-{who}"), "calls": 1, "input": 100, "output": 20,
            "cached": 70, "usd": 0.25, "by": reported_by, "first_token": first_token})
    };
    let want = vec![
        call("ana", json!(["event"]), Value::Null),
        call("bo", json!(["event", "span"]), json!(300_000_000)),
        call("cy", json!(["event", "span"]), json!(300_000_000)),
    ];
    let query = "SELECT UserId AS who, any(SessionId) AS session, count() AS calls, sum(InputTokens) AS input, sum(OutputTokens) AS output, \
                 sum(CacheReadTokens) AS cached, toFloat64(sum(CostTotal)) AS usd, any(ReportedBy) AS by, any(TimeToFirstToken) AS first_token \
                 FROM genai_calls GROUP BY who ORDER BY who";
    wait_until("each call counts once", || (sql.try_rows(query, &[]).ok()? == want).then_some(()));
    let sessions = "SELECT SessionId AS session, Calls AS calls FROM genai_sessions ORDER BY session";
    let of = |who: &str| json!({"session": format!("s-{who}"), "calls": 1});
    assert_eq!(sql.rows(sessions, &[]), [of("ana"), of("bo"), of("cy")]);
    let logs = sql.rows("SELECT count() AS n FROM otel_logs", &[]);
    assert_eq!(logs, [json!({"n": 5})], "each record is stored once as what it is, too");

    let page = fs::read_to_string(project().join("docs/coding-agents.md")).expect("the page is there");
    let statements = page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let answers: Vec<Vec<Value>> = statements.map(|statement| sql.rows(statement, &[])).collect();
    let [costs, tokens, failures] = answers.as_slice() else { panic!("three queries: {answers:?}") };
    assert_eq!(costs.iter().map(|row| &row["developer"]).collect::<Vec<_>>().len(), 3, "{costs:?}");
    assert_eq!(tokens[0]["Model"], "claude-sonnet-4-5");
    assert_eq!(
        [&tokens[0]["input"], &tokens[0]["output"], &tokens[0]["cache_share"]],
        [&json!(300), &json!(60), &json!(0.7)]
    );
    assert_eq!(*failures, [json!({"ToolName": "Bash", "failed": 2, "error": "ShellError"})]);
}
