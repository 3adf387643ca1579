//! `/mcp`, asked by the official client of the Model Context Protocol.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::access::create;
use support::clients::{client, run_json};
use support::http::send;
use support::{Options, Service, wait_until};

#[derive(Deserialize)]
struct Said {
    tools: Vec<String>,
    server: String,
    answers: HashMap<String, Answered>,
}

#[derive(Debug, Deserialize)]
struct Answered {
    is_error: bool,
    text: String,
}

impl Said {
    fn json(&self, tool: &str) -> Value {
        let answer = &self.answers[tool];
        assert!(!answer.is_error, "{tool}: {}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    fn refusal(&self, label: &str) -> &str {
        let answer = &self.answers[label];
        assert!(answer.is_error, "{label}: {}", answer.text);
        &answer.text
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn ask(service: &Service, more: &[&str]) -> Said {
    let url = service.page("/mcp");
    let arguments: Vec<&str> = ["--url", &url, "--trace", TRACE].into_iter().chain(more.iter().copied()).collect();
    run_json(&mut client("mcp", "mcp_check.py", &arguments))
}

/// A trace with a call that has a cost and a tool that fails.
fn fill(service: &Service, workspace: &str, authorization: &[(&str, &str)]) {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let count = |key: &str, value: u32| json!({"key": key, "value": {"intValue": value.to_string()}});
    let span = |id: &str, parent: &str, attributes: Value, code: u32| {
        json!({
            "traceId": TRACE, "spanId": id, "parentSpanId": parent, "name": id, "kind": 1, "attributes": attributes,
            "startTimeUnixNano": "1772442000000000000", "endTimeUnixNano": "1772442001000000000", "status": {"code": code},
        })
    };
    let messages = r#"[{"role":"user","parts":[{"type":"text","content":"why so slow?"}]}]"#;
    let call = json!([
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "acme"),
        text("gen_ai.response.model", "m-1"),
        count("gen_ai.usage.input_tokens", 1000),
        count("gen_ai.usage.output_tokens", 20),
        text("gen_ai.input.messages", messages),
        json!({"key": "gen_ai.usage.cost", "value": {"doubleValue": 0.25}}),
    ]);
    let tool = json!([text("gen_ai.operation.name", "execute_tool"), text("gen_ai.tool.name", "bash")]);
    let root = json!([text("gen_ai.operation.name", "invoke_agent")]);
    let spans = [
        span("00f067aa0ba902b1", "", root, 0),
        span("00f067aa0ba902b2", "00f067aa0ba902b1", call, 0),
        span("00f067aa0ba902b3", "00f067aa0ba902b1", tool, 2),
    ];
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    let mut headers = vec![("content-type", "application/json"), ("x-millrace-workspace", workspace)];
    headers.extend(authorization);
    let sent = send("POST", &service.http("/v1/traces"), &headers, body.as_bytes());
    assert_eq!((sent.status, sent.text().as_str()), (200, "{}"));
}

#[test]
fn an_agent_finds_out_what_failed_and_what_it_cost() {
    let service = Service::start_with(Options { ack: Some("stored"), ..Options::default() });
    fill(&service, "default", &[]);
    wait_until("the call is counted", || {
        let counted = service.sql().rows("SELECT count() AS calls FROM genai_calls", &[]);
        (counted[0]["calls"].to_string().trim_matches('"') == "1").then_some(())
    });
    let said = ask(&service, &[]);
    assert_eq!(said.server, "millrace");
    assert_eq!(said.tools, ["search_traces", "get_trace", "get_conversation", "usage", "explain_cost", "query_sql"]);
    assert_eq!(said.json("search_traces")["data"][0]["id"], TRACE);
    let spans = said.json("get_trace");
    let failed: Vec<&Value> =
        spans["data"].as_array().unwrap().iter().filter(|span| span["status"] == "error").collect();
    assert_eq!(
        (spans["data"].as_array().unwrap().len(), failed.len(), &failed[0]["tool_name"]),
        (3, 1, &json!("bash"))
    );
    assert!(said.json("get_conversation").to_string().contains("why so slow?"));
    let usage = said.json("usage");
    assert_eq!((&usage["data"][0]["group"], &usage["data"][0]["calls"]), (&json!("m-1"), &json!(1)), "{usage}");
    let cost = said.json("explain_cost");
    assert_eq!((&cost["sums"]["cost_usd"], &cost["calls"][0]["input_tokens"]), (&json!(0.25), &json!(1000)), "{cost}");
    let why = cost["calls"][0]["explanation"].as_str().unwrap();
    assert!(why.starts_with("given by the sender"), "{why}");
    assert!(said.json("query_sql").to_string().contains('3'));

    let search = said.refusal("a wrong search");
    assert_eq!(search, "400: q, at character 1: unknown field 'modle': did you mean 'model'?");
    assert_eq!(said.refusal("a wrong argument"), "unknown argument query: search_traces takes q, limit, cursor");
    assert!(said.refusal("a write").starts_with("400: "));
    assert!(said.refusal("a network").starts_with("400: "));
    assert!(said.refusal("an unknown trace").starts_with("404: "));
    let spans = service.sql().rows("SELECT count() AS spans FROM otel_traces", &[]);
    assert_eq!(spans[0]["spans"].to_string().trim_matches('"'), "3", "nothing was dropped");
}

#[test]
fn an_agent_sees_its_own_workspace_alone_and_sql_is_for_who_sees_all() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tokens.yaml");
    let own = create(&file, "own", "team-a", "read");
    let other = create(&file, "other", "team-b", "read");
    let all = create(&file, "all", "*", "read,ingest");
    let yaml = format!("auth: {{ tokens_file: {} }}", file.display());
    let service = Service::start_with(Options { yaml, ack: Some("stored"), ..Options::default() });
    let as_all = format!("Bearer {all}");
    fill(&service, "team-a", &[("authorization", as_all.as_str())]);
    wait_until("the call is counted", || {
        let counted = ask(&service, &["--token", &all, "--workspace", "team-a"]);
        (!counted.answers["explain_cost"].is_error).then_some(())
    });
    let said = ask(&service, &["--token", &own]);
    assert_eq!(said.json("search_traces")["data"].as_array().unwrap().len(), 1);
    assert!(said.refusal("query_sql").starts_with("403: "), "{}", said.refusal("query_sql"));
    let foreign = ask(&service, &["--token", &other]);
    assert_eq!(foreign.json("search_traces")["data"], json!([]));
    for tool in ["get_conversation", "explain_cost"] {
        assert!(foreign.refusal(tool).starts_with("404: "), "{}", foreign.refusal(tool));
    }
    assert_eq!(foreign.json("get_trace")["data"], json!([]));
    assert!(!ask(&service, &["--token", &all]).answers["query_sql"].is_error);

    let bearer = format!("Bearer {other}");
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("authorization", bearer.as_str()),
        ("x-millrace-workspace", "team-a"),
    ];
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search_traces", "arguments": {}}}).to_string();
    assert_eq!(send("POST", &service.page("/mcp"), &headers, body.as_bytes()).status, 403);
}
