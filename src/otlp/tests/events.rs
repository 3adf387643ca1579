//! Log records that report calls, tools and turns: the spans they become. The records are made after the senders' sources, as
//! docs/coding-agents.md names them.

use super::{Row, any_value, column, rows};
use crate::columns::Group as _;
use crate::otlp::{DecodedRecords, Limits, Signal, transcode};
use crate::retention::Retention;
use crate::telemetry;
use crate::time::UnixNanos;
use crate::timestamps;
use crate::workspace::Workspace;
use serde_json::{Value as Json, json};
use std::time::Duration;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn key_values(attributes: &Json) -> Json {
    let members = attributes.as_object().unwrap().iter();
    members.map(|(key, value)| json!({"key": key, "value": any_value(value)})).collect()
}

/// A record of these attributes; members of `more` are its own.
fn record(attributes: &Json, more: &Json) -> Json {
    let mut record = json!({"timeUnixNano": "1790000005000000000", "attributes": key_values(attributes)});
    for (key, value) in more.as_object().unwrap() {
        record[key] = value.clone();
    }
    record
}

fn decoded(service: &str, scope: &str, records: &[Json]) -> DecodedRecords {
    decoded_within(&Limits::default(), (service, scope), records)
}

fn decoded_within(limits: &Limits, (service, scope): (&str, &str), records: &[Json]) -> DecodedRecords {
    let resource =
        json!({"attributes": key_values(&json!({"service.name": service, "session.id": "of the resource"}))});
    let request = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {"name": scope}, "logRecords": records}]}]});
    let transcoded = transcode(request.to_string().as_bytes(), Signal::Logs, 32).unwrap();
    let decoded = transcoded.decode_logs(&Workspace::default(), limits).unwrap();
    assert_eq!((decoded.rejected, decoded.groups[0].rows()), (0, records.len()), "each is a log record too");
    decoded
}

fn spans(service: &str, scope: &str, records: &[Json]) -> Vec<Row> {
    decoded(service, scope, records).spans.map_or_else(Vec::new, |group| rows(&group))
}

fn check(row: &Row, want: &Json) {
    for (name, want) in want.as_object().unwrap() {
        assert_eq!(column(row, name), *want, "{name} of {row:?}");
    }
}

const CLAUDE_CODE: (&str, &str) = ("claude-code", "com.anthropic.claude_code.events");
const CODEX: (&str, &str) = ("codex_cli_rs", "codex_otel.log_only");
const GEMINI: (&str, &str) = ("gemini-cli", "gemini-cli");

fn claude(event: &str, more: &Json) -> Json {
    let mut attributes = json!({"event.name": event, "session.id": "s-1", "prompt.id": "p-1", "user.id": "installation",
        "user.email": "ana@example.com", "event.sequence": 7});
    attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    attributes
}

#[test]
fn claude_codes_request_is_a_call_with_tokens_cost_and_user() {
    let attributes = claude(
        "api_request",
        &json!({"model": "claude-sonnet-4-5", "input_tokens": "10", "output_tokens": "577", "cache_read_tokens": "23276",
            "cache_creation_tokens": "2261", "cost_usd": "0.00804885", "duration_ms": "2000", "request_id": "req_1"}),
    );
    let rows = spans(
        CLAUDE_CODE.0,
        CLAUDE_CODE.1,
        &[record(&attributes, &json!({"body": {"stringValue": "claude_code.api_request"}}))],
    );
    check(
        &rows[0],
        &json!({"SpanName": "claude_code.api_request", "Operation": "chat", "Provider": "anthropic", "JoinState": "event",
            "RequestModel": "claude-sonnet-4-5", "InputTokens": 25_547, "OutputTokens": 577, "CacheReadTokens": 23_276,
            "CacheWriteTokens": 2_261, "CostTotal": "0.00804885", "SessionId": "s-1", "UserId": "ana@example.com",
            "ResponseId": "req_1", "AgentName": "claude-code", "SpanKind": "Client", "StatusCode": "Unset",
            "Duration": 2_000_000_000_u64, "ParentSpanId": "", "ServiceName": "claude-code"}),
    );
}

#[test]
fn a_turn_without_traces_is_a_trace_of_its_session_and_prompt() {
    let of_prompt = |prompt: &str, event: &str| {
        record(&claude(event, &json!({"prompt.id": prompt, "tool_name": "Read"})), &json!({}))
    };
    let records = [of_prompt("p-1", "user_prompt"), of_prompt("p-1", "tool_result"), of_prompt("p-2", "user_prompt")];
    let rows = spans(CLAUDE_CODE.0, CLAUDE_CODE.1, &records);
    let traces: Vec<_> = rows.iter().map(|row| column(row, "TraceId")).collect();
    assert_eq!(traces[0], traces[1]);
    assert_ne!(traces[0], traces[2]);
    assert_eq!([column(&rows[0], "Operation"), column(&rows[1], "Operation")], ["invoke_agent", "execute_tool"]);
}

#[test]
fn a_repeat_is_the_same_span_and_another_event_is_not() {
    let first = record(&claude("api_request", &json!({"input_tokens": 1, "output_tokens": 1})), &json!({}));
    let later = record(
        &claude("api_request", &json!({"input_tokens": 1, "output_tokens": 1, "event.sequence": 8})),
        &json!({}),
    );
    let rows = spans(CLAUDE_CODE.0, CLAUDE_CODE.1, &[first.clone(), first, later]);
    let id = |at: usize| column(&rows[at], "SpanId");
    assert_eq!(id(0), id(1));
    assert_ne!(id(0), id(2));
}

#[test]
fn an_event_written_in_a_span_hangs_below_it() {
    let place = json!({"traceId": TRACE, "spanId": SPAN});
    let failed = claude(
        "tool_result",
        &json!({"tool_name": "Bash", "tool_use_id": "toolu_1", "success": "false", "error_type": "ShellError", "duration_ms": 42}),
    );
    let rows = spans(CLAUDE_CODE.0, CLAUDE_CODE.1, &[record(&failed, &place)]);
    check(
        &rows[0],
        &json!({"TraceId": TRACE, "ParentSpanId": SPAN, "Operation": "execute_tool", "ToolName": "Bash", "ToolCallId": "toolu_1",
            "StatusCode": "Error", "ErrorType": "ShellError", "SpanKind": "Internal", "Duration": 42_000_000}),
    );
    let overloaded = claude(
        "api_error",
        &json!({"model": "m", "error": "Overloaded", "status_code": 529, "duration_ms": 10, "attempt": 11}),
    );
    let rows = spans(CLAUDE_CODE.0, CLAUDE_CODE.1, &[record(&overloaded, &place)]);
    check(
        &rows[0],
        &json!({"Operation": "chat", "StatusCode": "Error", "StatusMessage": "Overloaded", "ErrorType": "529"}),
    );
}

fn codex(event: &str, more: &Json) -> Json {
    let mut attributes = json!({"event.name": event, "event.timestamp": "2026-09-21T14:13:25.000Z", "conversation.id": "c-1",
        "user.email": "bo@example.com", "user.account_id": "acc", "model": "gpt-5.5", "slug": "gpt-5.5"});
    attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    attributes
}

#[test]
fn codexs_completed_response_is_a_call_and_other_events_of_the_stream_are_not() {
    // the appender gives only the time of observation
    let observed = json!({"timeUnixNano": "0", "observedTimeUnixNano": "1790000005000000000"});
    let completed = codex(
        "codex.sse_event",
        &json!({"event.kind": "response.completed", "input_token_count": "30", "output_token_count": "9",
            "cached_token_count": 20, "reasoning_token_count": 4, "tool_token_count": "39"}),
    );
    let delta = codex("codex.sse_event", &json!({"event.kind": "response.output_text.delta", "duration_ms": "3"}));
    let answered = codex("codex.api_request", &json!({"http.response.status_code": 200, "duration_ms": "300"}));
    let refused = codex(
        "codex.api_request",
        &json!({"http.response.status_code": 429, "duration_ms": "300", "error.message": "slow down"}),
    );
    let records = [completed, delta, answered, refused].map(|attributes| record(&attributes, &observed));
    let rows = spans(CODEX.0, CODEX.1, &records);
    assert_eq!(rows.len(), 2);
    check(
        &rows[0],
        &json!({"Operation": "chat", "Provider": "openai", "RequestModel": "gpt-5.5", "SessionId": "c-1", "UserId": "bo@example.com",
            "InputTokens": 30, "OutputTokens": 9, "CacheReadTokens": 20, "ReasoningTokens": 4, "TimingQuality": "unknown"}),
    );
    check(&rows[1], &json!({"StatusCode": "Error", "StatusMessage": "slow down", "ErrorType": "429"}));
    assert_eq!(column(&rows[0], "TraceId"), column(&rows[1], "TraceId"), "one conversation");
}

fn gemini(event: &str, more: &Json) -> Json {
    let mut attributes = json!({"event.name": event, "event.timestamp": "2026-09-21T14:13:25.123Z", "session.id": "g-1",
        "installation.id": "i", "user.email": "cy@example.com"});
    attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    attributes
}

#[test]
fn gemini_clis_response_counts_once_though_it_is_reported_twice() {
    let place = json!({"traceId": TRACE, "spanId": SPAN});
    let own = gemini(
        "gemini_cli.api_response",
        &json!({"model": "gemini-2.5-pro", "duration_ms": 1500, "input_token_count": 16, "output_token_count": 28,
            "cached_content_token_count": 4, "thoughts_token_count": 10, "tool_token_count": 3, "total_token_count": 57,
            "prompt_id": "g-1########1", "auth_type": "gemini-api-key", "status_code": 200, "finish_reasons": ["stop"],
            "response_text": "a secret"}),
    );
    let details = gemini(
        "gen_ai.client.inference.operation.details",
        &json!({"gen_ai.operation.name": "generate_content", "gen_ai.response.id": "r-1", "gen_ai.usage.input_tokens": 16,
            "gen_ai.usage.output_tokens": 28, "gen_ai.input.messages": "[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"hi\"}]}]"}),
    );
    let asked = gemini("gen_ai.client.inference.operation.details", &json!({"gen_ai.request.model": "gemini-2.5-pro"}));
    let rows = spans(GEMINI.0, GEMINI.1, &[asked, own, details].map(|attributes| record(&attributes, &place)));
    assert_eq!(rows.len(), 2, "a request alone is no call");
    check(
        &rows[0],
        &json!({"Operation": "generate_content", "Provider": "gcp.gemini", "InputTokens": 19, "OutputTokens": 38,
            "CacheReadTokens": 4, "ReasoningTokens": 10, "FinishReasons": ["stop"], "ParentSpanId": SPAN, "StatusCode": "Unset"}),
    );
    check(&rows[1], &json!({"ParentSpanId": column(&rows[0], "SpanId"), "ResponseId": "r-1", "InputTokens": null}));
    assert!(column(&rows[1], "InputMessages").as_str().unwrap().contains("hi"));
}

#[test]
fn a_session_may_be_named_by_the_resource_alone() {
    let details = json!({"event.name": "gen_ai.client.inference.operation.details", "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o", "gen_ai.response.id": "r", "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 6});
    let rows = spans("copilot-chat", "copilot-chat", &[record(&details, &json!({}))]);
    check(&rows[0], &json!({"SessionId": "of the resource", "InputTokens": 5, "Operation": "chat"}));
}

#[test]
fn what_an_event_says_of_content_is_in_content_columns_alone() {
    const MARKER: &str = "write my secret diary";
    let records = [
        (CLAUDE_CODE, claude("user_prompt", &json!({"prompt": MARKER}))),
        (
            CLAUDE_CODE,
            claude("tool_result", &json!({"tool_name": "Bash", "tool_input": MARKER, "tool_parameters": MARKER})),
        ),
        (CLAUDE_CODE, claude("api_response_body", &json!({"body": MARKER, "request_id": "req_1"}))),
        (CODEX, codex("codex.user_prompt", &json!({"prompt": MARKER}))),
        (CODEX, codex("codex.tool_result", &json!({"tool_name": "shell", "arguments": MARKER, "output": MARKER}))),
        (GEMINI, gemini("gemini_cli.user_prompt", &json!({"prompt": MARKER, "prompt_id": "p"}))),
        (
            GEMINI,
            gemini(
                "gemini_cli.tool_call",
                &json!({"function_name": "glob", "function_args": MARKER, "metadata": MARKER}),
            ),
        ),
        (GEMINI, gemini("gemini_cli.api_request", &json!({"request_text": MARKER}))),
        (GEMINI, gemini("gemini_cli.api_response", &json!({"response_text": MARKER}))),
    ];
    let content =
        ["ContentAttributes", "InputMessages", "OutputMessages", "SystemPrompt", "InputPreview", "OutputPreview"];
    for ((service, scope), attributes) in records {
        let decoded = decoded(service, scope, &[record(&attributes, &json!({}))]);
        let logs = super::rows_of_records(&decoded.groups[0]);
        let spans = decoded.spans.map_or_else(Vec::new, |group| rows(&group));
        for row in logs.iter().chain(&spans) {
            for (name, value) in row.iter().filter(|(name, _)| !content.contains(&name.as_str())) {
                assert!(!value.to_string().contains(MARKER), "{name} of {attributes}");
            }
            assert!(column(row, "ContentAttributes").to_string().contains(MARKER), "it is kept: {attributes}");
        }
    }
}

#[test]
fn the_body_of_a_message_is_content() {
    let message = record(
        &json!({"event.name": "gen_ai.user.message", "gen_ai.system": "openai"}),
        &json!({"body": {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "a secret"}}]}}}),
    );
    let decoded = decoded("app", "opentelemetry.instrumentation.openai_v2", &[message]);
    let log = super::rows_of_records(&decoded.groups[0]).remove(0);
    assert_eq!(column(&log, "Body"), json!(""));
    assert!(column(&log, "ContentAttributes").to_string().contains("a secret"));
}

#[test]
fn an_evaluation_is_no_call_and_its_values_are_attributes_of_its_log_record() {
    let result = record(
        &json!({"gen_ai.evaluation.name": "Relevance", "gen_ai.evaluation.score.value": 0.5, "gen_ai.evaluation.score.label": "pass",
            "gen_ai.evaluation.explanation": "to the point", "gen_ai.response.id": "r-1"}),
        &json!({"eventName": "gen_ai.evaluation.result", "traceId": TRACE, "spanId": SPAN}),
    );
    let decoded = decoded("app", "evaluator", &[result]);
    assert!(decoded.spans.is_none(), "an evaluation alone is no call");
    let log = super::rows_of_records(&decoded.groups[0]).remove(0);
    check(
        &log,
        &json!({"EventName": "gen_ai.evaluation.result", "TraceId": TRACE, "SpanId": SPAN,
            "LogAttributes": {"gen_ai.evaluation.name": "Relevance", "gen_ai.evaluation.score.value": "0.5",
                "gen_ai.evaluation.score.label": "pass", "gen_ai.evaluation.explanation": "to the point",
                "gen_ai.response.id": "r-1"}}),
    );
}

/// A duration moves the beginning of the span that is made: where no span may begin, none is made, and the record stays.
#[test]
fn a_span_is_made_only_where_a_span_may_begin() {
    let now = UnixNanos::new(1_790_000_006_000_000_000).unwrap();
    let day = Duration::from_secs(24 * 3_600);
    let window = timestamps::Config { past: day * 365, ..timestamps::Config::default() }.window(now);
    let retention: Retention = serde_json::from_value(json!({"spans": "7d"})).unwrap();
    let cutoff_of_spans = retention.cutoff_of(telemetry::Signal::Traces, &Workspace::default(), now);
    let made = |limits: &Limits, duration_ms: u64| {
        let attributes = claude("api_request", &json!({"model": "m", "duration_ms": duration_ms.to_string()}));
        let decoded = decoded_within(limits, CLAUDE_CODE, &[record(&attributes, &json!({}))]);
        decoded.spans.is_some_and(|spans| spans.rows() == 1)
    };
    let days = |days: u64| days * 24 * 3_600 * 1_000;
    for (limits, near, far) in [
        (Limits { window: Some(window), ..Limits::default() }, days(300), days(400)),
        (Limits { cutoff_of_spans, ..Limits::default() }, days(6), days(8)),
    ] {
        assert!(made(&limits, near) && !made(&limits, far), "{near} {far}");
    }
}

/// A record of an event of `opentelemetry-instrumentation-openai-v2` and its like, within a span.
fn said(name: &str, at: u64, body: &Json) -> Json {
    let place = json!({"traceId": TRACE, "spanId": SPAN, "body": any_value(body), "eventName": name, "timeUnixNano": at.to_string()});
    record(&json!({"gen_ai.system": "openai"}), &place)
}

const OPENAI: (&str, &str) = ("app", "opentelemetry.instrumentation.openai_v2");

#[test]
fn messages_written_in_one_span_are_a_span_of_those_sent_and_one_of_those_received() {
    let at = 1_790_000_005_000_000_000;
    let calls = json!([{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"q\":1}"}}]);
    let records = [
        said("gen_ai.system.message", at, &json!({"content": "Be brief."})),
        said("gen_ai.user.message", at + 1, &json!({"content": "Capital of Peru?"})),
        said("gen_ai.assistant.message", at + 2, &json!({"tool_calls": calls})),
        said("gen_ai.tool.message", at + 3, &json!({"id": "c1", "content": "Lima"})),
        said(
            "gen_ai.choice",
            at + 9,
            &json!({"index": 1, "finish_reason": "length", "message": {"role": "assistant", "content": "Li"}}),
        ),
        said(
            "gen_ai.choice",
            at + 8,
            &json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Lima."}}),
        ),
    ];
    let rows = spans(OPENAI.0, OPENAI.1, &records);
    assert_eq!(rows.len(), 2);
    let common = json!({"TraceId": TRACE, "ParentSpanId": SPAN, "Operation": "chat", "Provider": "openai", "JoinState": "event",
        "TimingQuality": "unknown", "InputTokens": null, "SessionId": "of the resource"});
    rows.iter().for_each(|row| check(row, &common));
    check(
        &rows[0],
        &json!({"SpanName": "gen_ai.system.message", "OutputMessages": "", "SystemPrompt": "Be brief.", "InputMessages": json!([
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Capital of Peru?"}]},
            {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": {"q": 1}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "Lima"}]},
        ]).to_string()}),
    );
    check(
        &rows[1],
        &json!({"SpanName": "gen_ai.choice", "InputMessages": "", "FinishReasons": ["stop", "length"], "OutputMessages": json!([
            {"role": "assistant", "parts": [{"type": "text", "content": "Lima."}], "finish_reason": "stop"},
            {"role": "assistant", "parts": [{"type": "text", "content": "Li"}], "finish_reason": "length"},
        ]).to_string()}),
    );
    assert_eq!(spans(OPENAI.0, OPENAI.1, &records), rows, "a repeat is the same");
}

#[test]
fn messages_that_say_nothing_or_belong_to_no_span_are_log_records_alone() {
    let at = 1_790_000_005_000_000_000;
    let asked = said("gen_ai.user.message", at, &json!({}));
    let mut lost = said("gen_ai.user.message", at, &json!({"content": "hi"}));
    lost["spanId"] = json!("");
    assert_eq!(spans(OPENAI.0, OPENAI.1, &[asked.clone(), lost]), [] as [Row; 0]);
    let answered =
        said("gen_ai.choice", at, &json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}));
    let rows = spans(OPENAI.0, OPENAI.1, &[asked, answered]);
    assert_eq!(rows.len(), 1, "that a call was answered is news");
    check(&rows[0], &json!({"FinishReasons": ["stop"]}));
}

#[test]
fn a_message_may_be_in_attributes_or_a_text_and_stays_out_of_attributes() {
    const MARKER: &str = "write my secret diary";
    let place = json!({"traceId": TRACE, "spanId": SPAN});
    let azure = record(
        &json!({"event.name": "gen_ai.user.message", "gen_ai.system": "az.ai.inference",
            "gen_ai.event.content": json!({"role": "user", "content": MARKER}).to_string()}),
        &place,
    );
    let mut plain = record(&json!({"event.name": "gen_ai.user.message"}), &place);
    plain["body"] = any_value(&json!(MARKER));
    for (case, message) in [("an attribute", azure), ("a text", plain)] {
        let rows = spans("app", "scope", &[message]);
        let want = json!([{"role": "user", "parts": [{"type": "text", "content": MARKER}]}]).to_string();
        check(&rows[0], &json!({"InputMessages": want}));
        assert!(!column(&rows[0], "SpanAttributes").to_string().contains(MARKER), "{case}");
    }
}
