//! What coding agents send becomes calls, tools, sessions, users and costs, each call once, whatever comes first; and the three queries
//! of `docs/coding-agents.md` answer.

use std::fs;

use millrace::time::Clock;
use serde_json::{Value, json};

use support::http::post_json;
use support::{Service, project};

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
    sql.becomes(query, &[], &want);
    let sessions = "SELECT SessionId AS session, Calls AS calls FROM genai_sessions ORDER BY session";
    let of = |who: &str| json!({"session": format!("s-{who}"), "calls": 1});
    sql.becomes(sessions, &[], &[of("ana"), of("bo"), of("cy")]);
    // each record is stored once as what it is, too
    sql.becomes("SELECT count() AS n FROM otel_logs", &[], &[json!({"n": 5})]);

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

/// Sends records of one sender as they are, or spans.
fn send(service: &Service, signal: &str, (name, scope): (&str, &str), of_resource: &Value, items: &[Value]) {
    let mut said = json!({"service.name": name});
    said.as_object_mut().expect("members").extend(of_resource.as_object().expect("members").clone());
    let (resources, scopes, list) = match signal {
        "logs" => ("resourceLogs", "scopeLogs", "logRecords"),
        _ => ("resourceSpans", "scopeSpans", "spans"),
    };
    let body = json!({resources: [{"resource": {"attributes": attributes(&said)}, scopes: [{"scope": {"name": scope}, list: items}]}]});
    assert_eq!(post_json(&service.http(&format!("/v1/{signal}")), &body).status, 200);
}

/// An event in a span.
fn event(trace: &str, span: &str, said: &Value) -> Value {
    json!({"timeUnixNano": now().to_string(), "traceId": trace_of(trace), "spanId": span, "attributes": attributes(said)})
}

fn span(trace: &str, [id, parent]: [&str; 2], name: &str, said: &Value) -> Value {
    let started = now() - 2_000_000_000;
    json!({"traceId": trace_of(trace), "spanId": id, "parentSpanId": parent, "name": name, "kind": 1,
        "startTimeUnixNano": started.to_string(), "endTimeUnixNano": (started + 1_500_000_000).to_string(), "attributes": attributes(said)})
}

const ROOT: &str = "00000000000000b1";
const CALL: &str = "00000000000000b2";
const TOOL: &str = "00000000000000b3";

fn send_codex(service: &Service) {
    let sender = ("codex_cli_rs", "codex_otel.log_only");
    let of_all = |event: &str, more: Value| {
        let mut said = json!({"event.name": event, "conversation.id": "s-codex", "user.email": "codex@example.com", "user.account_id": "acc",
            "model": "gpt-5.5", "slug": "gpt-5.5"});
        said.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        said
    };
    let events = [
        of_all("codex.user_prompt", json!({"prompt_length": "5", "prompt": "[REDACTED]"})),
        of_all("codex.api_request", json!({"duration_ms": "900", "http.response.status_code": "200", "attempt": "1"})),
        of_all("codex.sse_event", json!({"event.kind": "response.output_item.done", "duration_ms": "3"})),
        of_all(
            "codex.sse_event",
            json!({"event.kind": "response.completed", "input_token_count": "100", "output_token_count": "20",
                "cached_token_count": "70", "reasoning_token_count": "8", "tool_token_count": "120"}),
        ),
        of_all(
            "codex.tool_result",
            json!({"tool_name": "shell", "call_id": "call_1", "duration_ms": "40", "success": "false"}),
        ),
    ];
    send(service, "logs", sender, &json!({}), &events.map(|said| event("codex", ROOT, &said)));
    let spans = [
        span(
            "codex",
            [ROOT, ""],
            "session_task.turn",
            &json!({"thread.id": "s-codex", "turn.id": "1", "model": "gpt-5.5", "codex.turn.token_usage.input_tokens": 100,
                "codex.turn.token_usage.output_tokens": 20, "codex.turn.token_usage.total_tokens": 120}),
        ),
        span(
            "codex",
            [CALL, ROOT],
            "completed",
            &json!({"from": "completed", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20,
                "gen_ai.usage.cache_read.input_tokens": 70, "codex.usage.reasoning_output_tokens": 8, "codex.usage.total_tokens": 120}),
        ),
    ];
    send(service, "traces", ("codex_cli_rs", "codex_cli_rs"), &json!({}), &spans);
}

fn send_gemini_cli(service: &Service) {
    let sender = ("gemini-cli", "gemini-cli");
    let of_all = |event: &str, more: Value| {
        // a response is reported twice, at one moment
        let mut said = json!({"event.name": event, "event.timestamp": "2026-09-21T14:13:25.123Z", "session.id": "s-gemini", "user.email": "gemini@example.com", "prompt_id": "s-gemini########1"});
        said.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        said
    };
    let own = json!({"model": "gemini-2.5-pro", "duration_ms": 1500, "input_token_count": 100, "output_token_count": 12,
        "cached_content_token_count": 70, "thoughts_token_count": 8, "tool_token_count": 0, "total_token_count": 120, "status_code": 200});
    let details = json!({"gen_ai.operation.name": "generate_content", "gen_ai.response.id": "r-1", "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 12});
    let events = [
        of_all("gemini_cli.user_prompt", json!({"prompt_length": 5})),
        of_all("gemini_cli.api_response", own),
        of_all("gen_ai.client.inference.operation.details", details),
        of_all(
            "gemini_cli.tool_call",
            json!({"function_name": "glob", "duration_ms": 40, "success": "false", "error_type": "unhandled"}),
        ),
    ];
    send(service, "logs", sender, &json!({}), &events.map(|said| event("gemini", ROOT, &said)));
}

fn send_copilot(service: &Service) {
    let sender = ("copilot-chat", "copilot-chat");
    let resource = json!({"session.id": "window"});
    let common = |more: Value| {
        let mut said = json!({"gen_ai.conversation.id": "s-copilot", "gen_ai.provider.name": "github", "user.name": "copilot@example.com"});
        said.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        said
    };
    let used = json!({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20, "gen_ai.usage.cache_read.input_tokens": 70});
    let call = |more: Value| {
        let mut said = common(
            json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.response.id": "chatcmpl-copilot-1"}),
        );
        let members = said.as_object_mut().expect("members");
        members.extend(used.as_object().expect("members").clone());
        members.extend(more.as_object().expect("members").clone());
        said
    };
    let agent = common(
        json!({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "copilot", "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20}),
    );
    let tool = common(
        json!({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "readFile", "gen_ai.tool.call.id": "call_1"}),
    );
    let spans = [
        span("copilot", [ROOT, ""], "invoke_agent copilot", &agent),
        span("copilot", [CALL, ROOT], "chat gpt-4o", &call(json!({"copilot_chat.time_to_first_token": 450}))),
        span("copilot", [TOOL, ROOT], "execute_tool readFile", &tool),
    ];
    send(service, "traces", sender, &resource, &spans);
    let details = call(json!({"event.name": "gen_ai.client.inference.operation.details"}));
    send(service, "logs", sender, &resource, &[event("copilot", CALL, &details)]);
}

#[test]
fn what_codex_gemini_cli_and_copilot_send_is_one_call_of_one_user_in_one_session() {
    let service = Service::start();
    send_codex(&service);
    send_gemini_cli(&service);
    send_copilot(&service);

    let sql = service.sql();
    let call = |who: &str, operation: &str, model: &str, reasoning: Value, by: Value| {
        json!({"who": format!("{who}@example.com"), "session": format!("s-{who}"), "operation": operation, "model": model, "calls": 1,
            "input": 100, "output": 20, "cached": 70, "reasoning": reasoning, "by": by})
    };
    let want = vec![
        call("codex", "chat", "gpt-5.5", json!(8), json!(["event", "span"])),
        call("copilot", "chat", "gpt-4o", Value::Null, json!(["event", "span"])),
        call("gemini", "generate_content", "gemini-2.5-pro", json!(8), json!(["event"])),
    ];
    let query = "SELECT UserId AS who, SessionId AS session, Operation AS operation, RequestModel AS model, count() AS calls, \
                 sum(InputTokens) AS input, sum(OutputTokens) AS output, sum(CacheReadTokens) AS cached, sum(ReasoningTokens) AS reasoning, \
                 any(ReportedBy) AS by FROM genai_calls GROUP BY ALL ORDER BY who";
    sql.becomes(query, &[], &want);
    let tools =
        "SELECT ToolName AS tool, StatusCode AS status FROM otel_traces WHERE Operation = 'execute_tool' ORDER BY tool";
    let ran = |tool: &str, status: &str| json!({"tool": tool, "status": status});
    assert_eq!(sql.rows(tools, &[]), [ran("glob", "Error"), ran("readFile", "Unset"), ran("shell", "Error")]);
    let of = |who: &str| json!({"session": format!("s-{who}"), "calls": 1});
    let want = [of("codex"), of("copilot"), of("gemini")];
    let query = "SELECT SessionId AS session, Calls AS calls FROM genai_sessions ORDER BY session";
    sql.becomes(query, &[], &want);
}
