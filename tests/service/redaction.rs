//! What is secret is stored nowhere, whatever it was sent in: every signal, encoding and route, texts, members of JSON and numbers.

use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use support::http::{self, post_json};
use support::service::binary;
use support::{Options, Service, wait_until};

/// What must be nowhere: an address, a key, a card's number, and what a member hides.
const SECRETS: [&str; 4] =
    ["jane.doe@example.com", "sk-proj-abcdef0123456789abcdef", "4111111111111111", "hunter2hunter2"];
const RULES: &str = "
redaction:
  detectors: [api_key, email, credit_card]
  keys: [{ key: password }, { key: user.id, action: hash }]
  hash_key: 0123456789abcdef0123
  workspaces: { open: { detectors: [] } }
";

fn any(text: &str) -> Value {
    json!({"stringValue": text})
}

/// Attributes with secrets in every form that a value can have.
fn attributes() -> Value {
    let [mail, key, card, hidden] = SECRETS;
    let arguments = json!({"to": mail, "card": card.parse::<u64>().unwrap(), "password": hidden}).to_string();
    json!([
        {"key": "plain", "value": any(&format!("mail to {mail}, key {key}"))},
        {"key": "user.id", "value": any(mail)},
        {"key": "password", "value": {"kvlistValue": {"values": [{"key": "is", "value": any(hidden)}]}}},
        {"key": "card", "value": {"intValue": card}},
        {"key": "list", "value": {"arrayValue": {"values": [any(mail), {"kvlistValue": {"values": [{"key": mail, "value": any(key)}]}}]}}},
        {"key": "gen_ai.operation.name", "value": any("chat")},
        {"key": "gen_ai.request.model", "value": any("gpt-4o-mini")},
        {"key": "gen_ai.tool.call.arguments", "value": any(&arguments)},
        {"key": "gen_ai.input.messages", "value": any(&json!([{"role": "user", "parts": [{"type": "text", "content": format!("I am\n{mail}")}]}]).to_string())},
    ])
}

fn traces(trace: &str) -> Value {
    let [mail, key, ..] = SECRETS;
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "owner", "value": any(mail)}]},
        "schemaUrl": format!("https://x/{mail}"),
        "scopeSpans": [{"scope": {"name": mail, "version": key, "attributes": attributes()}, "spans": [{
            "traceId": trace, "spanId": "00000000000000a1", "name": format!("for {mail}"), "traceState": format!("u={mail}"),
            "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000001000",
            "attributes": attributes(),
            "events": [{"timeUnixNano": "1790000000000000500", "name": "e", "attributes": attributes()}],
            "links": [{"traceId": trace, "spanId": "00000000000000a2", "traceState": format!("u={mail}"), "attributes": attributes()}],
            "status": {"code": 2, "message": format!("no access with {key}")},
        }]}],
    }]})
}

fn logs() -> Value {
    let [mail, key, ..] = SECRETS;
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"timeUnixNano": "1790000000000000000", "severityText": mail, "eventName": format!("{mail} came"), "body": any(&format!("{mail} used {key}")), "attributes": attributes()},
        {"timeUnixNano": "1790000000000000001", "body": {"kvlistValue": {"values": attributes()}}},
    ]}]}]})
}

fn metrics() -> Value {
    let point = json!({"timeUnixNano": "1790000000000000000", "asInt": "1", "attributes": attributes()});
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "description": format!("asked by {}", SECRETS[0]), "unit": SECRETS[1], "gauge": {"dataPoints": [point]}}]}]}]})
}

fn call() -> Value {
    let [mail, key, card, hidden] = SECRETS;
    let arguments = json!({"to": mail, "card": card.parse::<u64>().unwrap(), "password": hidden}).to_string();
    json!({
        "request": {"model": "m", "user": mail, "messages": [
            {"role": "user", "content": [{"type": "text", "text": format!("caf\u{e9} \"{mail}\"\n{key}")}]},
        ], "metadata": {"password": hidden, "n": card.parse::<u64>().unwrap()}},
        "response": {"model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": null,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "send", "arguments": arguments}}],
        }}]},
    })
}

/// A stream whose chunks have the key in two pieces.
fn streamed_call() -> Value {
    let (front, back) = SECRETS[1].split_at(12);
    let chunk = |text: &str| json!({"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]});
    json!({
        "request": {"model": "m", "stream": true, "messages": [{"role": "user", "content": "key?"}]},
        "response": [chunk("it is "), chunk(front), chunk(back), chunk(".")],
    })
}

const INTAKE: &str = "/apis/intake/v2/workspaces";
const TABLES: [&str; 8] = [
    "otel_traces",
    "otel_logs",
    "otel_metrics_gauge",
    "genai_calls",
    "genai_annotations",
    "genai_evaluator_results",
    "genai_experiments",
    "genai_experiment_groups",
];

/// What is said of sessions, and experiments.
fn scores() -> [(&'static str, Value); 5] {
    let [mail, key, _, hidden] = SECRETS;
    [
        ("annotations", json!({"session_id": mail, "kind": "note", "text": format!("{mail} gave {key}")})),
        ("annotations", json!({"session_id": "s", "kind": "metadata", "metadata": {"password": hidden, "of": [mail]}})),
        (
            "evaluator-results",
            json!({"session_id": "s", "span_id": "a1", "name": "n", "data_type": "TEXT", "string_value": mail, "comment": key}),
        ),
        ("experiment-groups", json!({"name": "g", "description": format!("of {mail}")})),
        (
            "experiments",
            json!({"name": "e", "dataset_name": mail, "description": key, "metadata": {"password": hidden}}),
        ),
    ]
}

fn send_everything(service: &Service, workspace: &str) {
    let to = |path: &str, body: &Value| {
        let headers = [("content-type", "application/json"), ("x-millrace-workspace", workspace)];
        let answer = http::send("POST", &service.http(path), &headers, body.to_string().as_bytes());
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text());
    };
    to("/v1/traces", &traces("5b8efff798038103d269b633813fc60c"));
    to("/v1/logs", &logs());
    to("/v1/metrics", &metrics());
    for body in [call(), streamed_call()] {
        to(&format!("{INTAKE}/{workspace}/ingest/chat-completions"), &body);
    }
    let litellm = json!({"id": "l", "model": "m", "call_type": "acompletion", "messages": call()["request"]["messages"],
        "response": call()["response"], "startTime": 1_790_000_000.0, "endTime": 1_790_000_001.0, "end_user": SECRETS[0]});
    to(&format!("{INTAKE}/{workspace}/ingest/litellm"), &json!([litellm]));
}

fn send_scores(service: &Service, workspace: &str) {
    let mut group = Value::Null;
    for (path, mut body) in scores() {
        if path == "experiments" {
            body["experiment_group_id"] = group["id"].clone();
        }
        let headers = [("content-type", "application/json"), ("x-millrace-user", SECRETS[0])];
        let path = service.http(&format!("{INTAKE}/{workspace}/{path}"));
        let answer = http::send("POST", &path, &headers, body.to_string().as_bytes());
        assert_eq!(answer.status, 201, "{path}: {}", answer.text());
        group = answer.json();
        let is_open = workspace == "open";
        assert_eq!(SECRETS.iter().any(|secret| answer.text().contains(secret)), is_open, "{}", answer.text());
    }
}

/// All that is stored of a workspace, as text.
fn stored(service: &Service, workspace: &str) -> String {
    let of = |table: &str| {
        let query = format!("SELECT * FROM otel.{table} WHERE Workspace = '{workspace}'");
        service.sql().rows(&query, &[]).iter().map(Value::to_string).collect::<Vec<String>>().join("\n")
    };
    TABLES.map(of).join("\n")
}

fn wait_until_stored(service: &Service, workspace: &str) {
    let count = |table: &str| {
        let query = format!("SELECT count() AS n FROM otel.{table} WHERE Workspace = '{workspace}'");
        service.sql().try_rows(&query, &[]).ok()?.pop()?["n"].as_u64()
    };
    wait_until("everything is stored and counted", || {
        let all = [
            ("otel_traces", 4),
            ("otel_logs", 2),
            ("otel_metrics_gauge", 1),
            ("genai_calls", 4),
            ("genai_annotations", 2),
            ("genai_evaluator_results", 1),
            ("genai_experiments", 1),
        ];
        all.into_iter().all(|(table, rows)| count(table) == Some(rows)).then_some(())
    });
}

/// Whether a file below the folder has the text.
fn is_in_files(folder: &Path, text: &str) -> bool {
    let entries = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
    entries.into_iter().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return is_in_files(&path, text);
        }
        std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    })
}

#[test]
fn what_is_secret_is_stored_nowhere_whatever_it_was_sent_in() {
    let service = Service::start_with(Options { yaml: RULES.to_owned(), ..Options::default() });
    send_everything(&service, "default");
    send_scores(&service, "default");
    wait_until_stored(&service, "default");
    let all = stored(&service, "default");
    for secret in SECRETS {
        assert!(
            !all.contains(secret),
            "{secret} in {:?}",
            all.lines().filter(|line| line.contains(secret)).collect::<Vec<_>>()
        );
        assert!(!service.log().contains(secret), "{secret} is in the log");
        assert!(!is_in_files(&service.data_dir(), secret), "{secret} is in a file");
    }
    // the two pieces of the stream's key are in no text of its chunks either
    assert!(!all.contains(SECRETS[1].split_at(12).1), "a piece of the key is left");
    for there in ["[REDACTED:email]", "[REDACTED:api_key]", "[REDACTED:credit_card]", "[REDACTED:key]", "[key:"] {
        assert!(all.contains(there), "{there} stands where something was");
    }
    let row = |query: &str| service.sql().rows(query, &[]).pop().unwrap();
    let span = row(
        "SELECT SpanAttributes['millrace.redacted.email'] AS mails, UserId, SpanAttributes['user.id'] AS user, \
         isValidJSON(InputMessages) AS valid, StatusMessage, SpanName FROM otel.otel_traces WHERE SpanId = '00000000000000a1'",
    );
    assert_eq!(
        (&span["valid"], &span["StatusMessage"]),
        (&json!(1), &json!("no access with [REDACTED:api_key]")),
        "{span}"
    );
    assert_eq!(span["SpanName"], "for [REDACTED:email]");
    assert!(span["mails"].as_str().unwrap().parse::<u64>().unwrap() > 5, "{span}");
    assert!(span["user"].as_str().unwrap().starts_with("[key:") && span["UserId"] == span["user"], "{span}");
    let shown = service.metric("millrace_redacted_total{rule=\"email\"}").unwrap();
    assert!(shown > 10.0, "{shown}");
}

#[test]
fn a_workspace_without_rules_keeps_what_it_is_sent_and_a_repeat_is_still_one() {
    let service = Service::start_with(Options { yaml: RULES.to_owned(), ..Options::default() });
    send_everything(&service, "open");
    send_scores(&service, "open");
    send_everything(&service, "default");
    send_everything(&service, "default");
    send_scores(&service, "default");
    wait_until_stored(&service, "open");
    wait_until_stored(&service, "default");
    let all = stored(&service, "open");
    assert!(SECRETS.iter().all(|secret| all.contains(secret)) && !all.contains("[REDACTED"), "{all}");
}

#[test]
fn the_command_shows_what_would_be_stored() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("millrace.yaml");
    std::fs::write(&config, RULES).unwrap();
    let shown = |request: &Value, workspace: &str| {
        let mut command = binary();
        command.arg("redact").arg("--config").arg(&config).args(["--workspace", workspace]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), request.to_string().as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        (String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    for request in [call(), traces("5b8efff798038103d269b633813fc60c"), logs(), metrics()] {
        let (rows, report) = shown(&request, "default");
        assert!(SECRETS.iter().all(|secret| !rows.contains(secret)) && rows.contains("[REDACTED:email]"), "{rows}");
        assert!(rows.lines().all(|row| serde_json::from_str::<Value>(row).is_ok()), "{rows}");
        assert!(report.contains("email: ") && report.contains("credit_card: "), "{report}");
        let (rows, report) = shown(&request, "open");
        assert!(rows.contains(SECRETS[0]) && report.contains("redaction is off for the workspace open"), "{report}");
    }
}

#[test]
fn a_request_that_is_refused_is_refused_as_without_rules() {
    let service = Service::start_with(Options { yaml: RULES.to_owned(), ..Options::default() });
    let bad = json!({"request": {"model": SECRETS[0]}, "response": {}});
    let answer = post_json(&service.http(&format!("{INTAKE}/default/ingest/chat-completions")), &bad);
    assert_eq!(answer.status, 422, "{}", answer.text());
    let answer =
        http::send("POST", &service.http("/v1/traces"), &[("content-type", "application/x-protobuf")], b"\x0a\xff\x01");
    assert_eq!(answer.status, 400, "{}", answer.text());
}
