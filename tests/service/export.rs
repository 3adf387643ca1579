//! `/traces/{trace_id}/export`: a trace as Markdown, JSON and OTLP/JSON, which can be ingested again.

use std::fs;

use serde_json::{Value, json};

use support::http::{Answer, get, post_json, send};
use support::{Options, Service, project};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn service() -> Service {
    Service::start_with(Options { ack: Some("stored"), ..Options::default() })
}

fn export(service: &Service, workspace: &str, trace: &str, format: &str) -> Answer {
    get(&service.http(&format!("/apis/intake/v2/workspaces/{workspace}/traces/{trace}/export?format={format}")))
}

/// Sends spans to a workspace, and expects all of them to be taken.
fn ingest(service: &Service, workspace: &str, content_type: &str, body: &[u8]) {
    let headers = [("content-type", content_type), ("x-millrace-workspace", workspace)];
    let answer = send("POST", &service.http("/v1/traces"), &headers, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    if content_type == "application/json" {
        assert_eq!(answer.json(), json!({}), "every span is taken");
    }
}

fn ingest_spans(service: &Service, workspace: &str, spans: &Value) {
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    ingest(service, workspace, "application/json", body.as_bytes());
}

fn traces(service: &Service, workspace: &str) -> Vec<String> {
    let found = service.sql().rows(
        "SELECT DISTINCT TraceId FROM otel_traces WHERE Workspace = {w:String} ORDER BY TraceId",
        &[("w", workspace)],
    );
    found.iter().map(|row| row["TraceId"].as_str().unwrap().to_owned()).collect()
}

/// Every column of the rows of a workspace, but for those that say where and when they came.
fn rows(service: &Service, workspace: &str) -> Vec<Value> {
    service.sql().rows(
        "SELECT * EXCEPT (SegmentId, Workspace, ResourceAttributes), \
         mapFilter((key, value) -> key != 'millrace.workspace', ResourceAttributes) AS Resource \
         FROM otel_traces WHERE Workspace = {w:String} ORDER BY TraceId, Timestamp, SpanId",
        &[("w", workspace)],
    )
}

/// A span with everything that OTLP has, and texts that are hard to write.
fn intricate() -> Value {
    let hard = "\"quoted\" \\ \u{0001} \n\t ü 🦀 </script> ``` {\"a\": [1]}";
    json!({
        "traceId": TRACE, "spanId": "00f067aa0ba902b7", "parentSpanId": "00f067aa0ba902b8", "traceState": "a=1,b=2", "flags": 257,
        "name": format!("name {hard}"), "kind": 4, "startTimeUnixNano": "1772442000000000001", "endTimeUnixNano": "1772442001000000003",
        "status": {"code": 2, "message": hard},
        "attributes": [
            {"key": "text", "value": {"stringValue": hard}}, {"key": "yes", "value": {"boolValue": true}},
            {"key": "int", "value": {"intValue": "-7"}}, {"key": "double", "value": {"doubleValue": 1e21}},
            {"key": "bytes", "value": {"bytesValue": "AAEC"}}, {"key": "empty", "value": {}},
            {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "x"}]}}},
            {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}}},
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.request.temperature", "value": {"doubleValue": 0.25}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
            {"key": "gen_ai.response.finish_reasons", "value": {"arrayValue": {"values": [{"stringValue": "stop"}]}}},
            {"key": "events.1.no_content", "value": {"stringValue": "the span's own"}},
        ],
        "events": [
            {"timeUnixNano": "1772442000500000000", "name": "gen_ai.user.message", "attributes": [{"key": "content", "value": {"stringValue": hard}}]},
            {"timeUnixNano": "1772442000600000000", "name": "exception", "attributes": [{"key": "exception.type", "value": {"stringValue": "E"}}]},
        ],
        "links": [{"traceId": "5bf92f3577b34da6a3ce929d0e0e4736", "spanId": "10f067aa0ba902b7", "traceState": "c=3", "attributes": [{"key": "l", "value": {"stringValue": "m"}}]}],
    })
}

#[test]
fn spans_of_every_convention_make_the_same_rows_when_they_are_exported_and_ingested_again() {
    let service = service();
    let folder = fs::read_dir(project().join("tests/fixtures/dialects")).unwrap();
    let files: Vec<_> = folder
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|is| is == "binpb"))
        .collect();
    for file in &files {
        ingest(&service, "from", "application/x-protobuf", &fs::read(file).unwrap());
    }
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}, {"key": "host.name", "value": {"stringValue": "h"}}]});
    let scope =
        json!({"name": "scope", "version": "1", "attributes": [{"key": "of", "value": {"stringValue": "scope"}}]});
    let scoped = json!({"scope": scope, "schemaUrl": "https://a.example/1", "spans": [intricate()]});
    let body =
        json!({"resourceSpans": [{"resource": resource, "schemaUrl": "https://b.example/2", "scopeSpans": [scoped]}]});
    ingest(&service, "from", "application/json", body.to_string().as_bytes());

    let ids = traces(&service, "from");
    assert!(ids.len() > files.len(), "a trace of each and more: {}", ids.len());
    for id in &ids {
        let exported = export(&service, "from", id, "otlp");
        assert_eq!(
            (exported.status, exported.header("content-type")),
            (200, "application/json"),
            "{}",
            exported.text()
        );
        ingest(&service, "to", "application/json", &exported.body);
    }
    let (from, to) = (rows(&service, "from"), rows(&service, "to"));
    assert_eq!(from.len(), to.len());
    for (from, to) in from.iter().zip(&to) {
        let columns = from.as_object().unwrap().iter().filter(|(name, value)| to[name.as_str()] != **value);
        let different: Vec<String> =
            columns.map(|(name, value)| format!("{name}: {value}\n   {}", to[name.as_str()])).collect();
        assert!(different.is_empty(), "{} {}\n{}", from["ServiceName"], from["SpanName"], different.join("\n"));
    }
}

/// Captured calls of one trace: priced, given a price, failed, in a session and not, with tools.
fn capture(service: &Service) {
    let usage = json!({"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42, "prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 4}});
    let asks = json!({"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"at\": \"Lima\"}"}}]});
    let calls = [
        json!({
            "request": {"model": "gpt-4o-mini", "temperature": 0.5, "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "how is it in Lima?\n````\n# not a heading"}],
                "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]},
            "response": {"id": "r1", "model": "gpt-4o-mini-2024-07-18", "usage": usage, "choices": [{"index": 0, "message": asks, "finish_reason": "tool_calls"}]},
            "session_id": "se", "user_id": "anna",
        }),
        json!({
            "request": {"model": "a-model-of-nobody", "messages": [{"role": "user", "content": "hi"}]}, "cost_usd": 0.25,
            "response": {"id": "r2", "model": "a-model-of-nobody", "usage": usage, "choices": [{"index": 0, "message": {"role": "assistant", "content": "yo"}, "finish_reason": "stop"}]},
        }),
        json!({
            "request": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "fails"}]},
            "response": {"error": {"type": "rate_limit_exceeded", "message": "slow down"}},
        }),
    ];
    for (second, mut call) in calls.into_iter().enumerate() {
        call["trace_id"] = TRACE.into();
        call["started_at"] = format!("2026-03-02T09:00:0{second}Z").into();
        call["ended_at"] = format!("2026-03-02T09:00:0{second}.5Z").into();
        let stored = post_json(&service.chat("from"), &call);
        assert_eq!(stored.status, 201, "{}", stored.text());
    }
}

#[test]
fn captured_calls_have_the_same_measures_and_messages_when_they_are_exported_and_ingested_again() {
    let service = service();
    capture(&service);
    let exported = export(&service, "from", TRACE, "otlp");
    assert_eq!(exported.status, 200, "{}", exported.text());
    ingest(&service, "to", "application/json", &exported.body);
    let of = |workspace: &str| {
        service.sql().rows(
            "SELECT TraceId, SpanId, ParentSpanId, Timestamp, Duration, TimingQuality, SessionId, UserId, Operation, Provider, RequestModel, ResponseModel, \
             ResponseId, FinishReasons, RequestParameters, InputTokens, OutputTokens, CacheReadTokens, ReasoningTokens, TotalTokens, CostTotal, CostSource, \
             PriceId, ErrorType, StatusCode, InputMessages, OutputMessages, ToolDefinitions, SystemPrompt, InputPreview, OutputPreview \
             FROM otel_traces WHERE Workspace = {w:String} ORDER BY Timestamp",
            &[("w", workspace)],
        )
    };
    let (from, to) = (of("from"), of("to"));
    assert_eq!(from.len(), 3);
    assert_eq!(from, to);
    let costs: Vec<&Value> = from.iter().map(|row| &row["CostTotal"]).collect();
    assert!(
        costs[0].is_number() && costs[1] == &json!(0.25) && costs[2].is_null(),
        "one is computed, one given: {costs:?}"
    );
    let source =
        get(&service.http("/apis/intake/v2/workspaces/to/spans?mode=summary")).json()["data"][0]["source"].clone();
    assert_eq!(source, "chat_completions");
}

#[test]
fn a_trace_is_a_file_in_three_formats_and_of_its_own_workspace() {
    let service = service();
    capture(&service);
    let root = json!({"traceId": TRACE, "spanId": "00f067aa0ba902b7", "name": "root <img src=x> `a` [x](y)\n# no heading", "kind": 1,
        "startTimeUnixNano": "1772442000000000000", "endTimeUnixNano": "1772442009000000000", "status": {"code": 2, "message": "```\n# no heading"}});
    ingest_spans(&service, "from", &json!([root]));
    // what is shown of the calls is counted first
    service.sql().becomes("SELECT Spans AS spans FROM genai_traces", &[], &[json!({"spans": 4})]);

    let markdown = export(&service, "from", TRACE, "md");
    let disposition = format!("attachment; filename=\"trace-{TRACE}.md\"");
    assert_eq!((markdown.status, markdown.header("content-type")), (200, "text/markdown; charset=utf-8"));
    assert_eq!(
        (markdown.header("content-disposition"), markdown.header("x-content-type-options")),
        (disposition.as_str(), "nosniff")
    );
    let text = markdown.text();
    assert!(text.contains("# root \\<img src\\=x\\> \\`a\\` \\[x\\]\\(y\\) \\# no heading\n"), "{text}");
    assert!(
        text.contains("be brief") && text.contains("Calls weather as `c1`") && text.contains("slow down"),
        "{text}"
    );
    // outside of fences there are our headings only
    let mut fence: Option<String> = None;
    let mut headings = Vec::new();
    for line in text.lines() {
        let ticks: String = line.chars().take_while(|letter| *letter == '`').collect();
        match &fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None if line.starts_with('#') => headings.push(line.to_owned()),
            None => {}
        }
    }
    assert_eq!(fence, None, "every fence ends");
    assert!(
        headings.iter().all(|heading| !heading.contains("# not a") && !heading.starts_with("# no")),
        "{headings:?}"
    );
    assert!(
        headings.contains(&"## Conversation".to_owned()) && headings.contains(&"## Failures".to_owned()),
        "{headings:?}"
    );
    let suffix = |path: &str| get(&service.http(&format!("/apis/intake/v2/workspaces/from/traces/{TRACE}{path}")));
    assert_eq!((suffix(".md").text(), suffix("/export").text()), (text.clone(), text));

    let document = export(&service, "from", TRACE, "json");
    assert_eq!(document.header("content-disposition"), format!("attachment; filename=\"trace-{TRACE}.json\""));
    let document = document.json();
    let read = |path: &str| get(&service.http(&format!("/apis/intake/v2/workspaces/from/{path}"))).json();
    assert_eq!(document["trace"], read(&format!("traces/{TRACE}")));
    assert_eq!(document["conversation"]["messages"], read(&format!("traces/{TRACE}/conversation"))["messages"]);
    let spans = document["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 4);
    for span in spans {
        assert_eq!(*span, read(&format!("spans/{}", span["span_id"].as_str().unwrap())));
    }
    assert_eq!(suffix(".json").json()["spans"], document["spans"]);
    assert!(
        suffix("/export?format=json&show=sql").json()["sql"].as_array().is_some_and(|statements| statements.len() > 2)
    );
    let otlp = export(&service, "from", TRACE, "otlp");
    assert_eq!(otlp.header("content-disposition"), format!("attachment; filename=\"trace-{TRACE}.otlp.json\""));

    for format in ["md", "json", "otlp"] {
        let elsewhere = export(&service, "to", TRACE, format);
        assert_eq!(
            (elsewhere.status, elsewhere.json()["detail"].clone()),
            (404, json!(format!("Trace to/{TRACE} not found")))
        );
    }
    assert_eq!(get(&service.http(&format!("/apis/intake/v2/workspaces/to/traces/{TRACE}.md"))).status, 404);
    assert_eq!(suffix("/export?format=pdf").status, 422);
    assert_eq!(suffix("/export?colour=red").status, 400);
}

#[test]
fn a_trace_that_is_larger_than_a_request_is_refused_and_one_of_many_spans_is_whole() {
    let service = service();
    let large = "x".repeat(14 << 20);
    let span = |number: u64, text: &str| {
        json!({"traceId": TRACE, "spanId": format!("{number:016x}"), "name": "n", "startTimeUnixNano": (1_772_442_000_000_000_000 + number).to_string(),
            "endTimeUnixNano": "1772442009000000000", "attributes": [{"key": "a", "value": {"stringValue": text}}]})
    };
    for number in 1..=5 {
        ingest_spans(&service, "large", &json!([span(number, &large)]));
    }
    let refused = export(&service, "large", TRACE, "otlp");
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert!(refused.json()["detail"].as_str().unwrap().contains("larger than 64 MiB"), "{}", refused.text());

    let spans: Vec<Value> = (1..=10_000).map(|number| span(number, "short")).collect();
    ingest_spans(&service, "many", &json!(spans));
    let exported = export(&service, "many", TRACE, "otlp").json();
    let exported = &exported["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let ids: Vec<&str> = exported.as_array().unwrap().iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    let want: Vec<String> = (1..=10_000).map(|number| format!("{number:016x}")).collect();
    assert_eq!(ids, want);
    assert_eq!(export(&service, "many", TRACE, "json").json()["spans"].as_array().unwrap().len(), 10_000);
    assert_eq!(export(&service, "many", TRACE, "md").text().matches("UNKNOWN n").count(), 10_000);
}

/// 1,100 spans by time, of which those about the edge of a chunk of 1,000 have a copy that is not merged yet.
#[test]
fn a_copy_of_a_span_that_is_not_merged_yet_is_exported_once_wherever_it_lies() {
    let service = service();
    service.sql().rows(
        "INSERT INTO otel_traces (Workspace, Timestamp, TraceId, SpanId, SpanName) \
         SELECT 'copies', toDateTime64('2020-03-02 09:00:00', 9) + number, {t:String}, leftPad(lower(hex(number)), 16, '0'), toString(copy) \
         FROM numbers(1100) ARRAY JOIN range(if(number BETWEEN 990 AND 1010, 2, 1)) AS copy",
        &[("t", TRACE)],
    );
    let want: Vec<String> = (0..1_100)
        .flat_map(|number| vec![format!("{number:016x}"); if (990..=1_010).contains(&number) { 2 } else { 1 }])
        .collect();
    let exported = export(&service, "copies", TRACE, "otlp").json();
    let spans = exported["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    let ids = |spans: &[Value], member: &str| -> Vec<String> {
        spans.iter().map(|span| span[member].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&spans, "spanId"), want);
    let mut names = ids(&spans, "name");
    names.sort();
    assert_eq!(names.iter().filter(|name| *name == "1").count(), 21, "each copy is there");
    let document = export(&service, "copies", TRACE, "json").json();
    let spans = document["spans"].as_array().unwrap();
    assert_eq!(ids(spans, "span_id"), want);
    assert_eq!(spans.iter().filter(|span| span["name"] == "1").count(), 21);
}
