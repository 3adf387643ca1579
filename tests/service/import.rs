//! `millrace import`: files of every format become rows once, whatever happens meanwhile, and go again.

use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use support::service::binary;
use support::{Service, wait_until};
use tempfile::TempDir;

/// The beginning of all times here, in nanoseconds: 2026-06-01T00:00:00Z.
const START: u64 = 1_780_272_000_000_000_000;

/// A folder with files, and the command that imports into a service.
pub(crate) struct Import<'s> {
    service: &'s Service,
    folder: TempDir,
}

impl<'s> Import<'s> {
    pub(crate) fn new(service: &'s Service) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let metrics = service.metrics_url();
        let address = metrics.trim_start_matches("http://").split('/').next().unwrap();
        let yaml = format!(
            "data_dir: {}\nclickhouse: {{ url: '{}' }}\nadmin: {{ metrics: {{ listen: '{address}' }} }}\n",
            folder.path().join("data").display(),
            service.sql().url,
        );
        fs::write(folder.path().join("import.yaml"), yaml).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Self { service, folder }
    }

    pub(crate) fn file(&self, name: &str, lines: &[Value]) -> PathBuf {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.text(name, text.as_bytes())
    }

    pub(crate) fn text(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.folder.path().join("files").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Where the command has its temporary files.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.arg("import").args(arguments).arg("--config").arg(self.folder.path().join("import.yaml"));
        command.env("TMPDIR", self.scratch());
        if !["list", "undo"].contains(&arguments[0]) {
            command.arg("--url").arg(self.service.http(""));
        }
        command
    }

    /// Runs it; its exit code, and what it says.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        said(&self.command(arguments).output().unwrap())
    }

    pub(crate) fn of(&self, path: &Path, arguments: &[&str]) -> (Option<i32>, String) {
        self.run(&[&[path.to_str().unwrap()], arguments].concat())
    }

    /// Imports what comes on standard input.
    pub(crate) fn of_input(&self, bytes: &[u8]) -> (Option<i32>, String) {
        let mut command = self.command(&["-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // one that was refused is not read to its end
        let _not_read = child.stdin.take().unwrap().write_all(bytes);
        said(&child.wait_with_output().unwrap())
    }

    /// The last line of `--progress json`.
    pub(crate) fn summary(&self, path: &Path) -> Value {
        let (_, said) = self.of(path, &["--progress", "json"]);
        let line =
            said.lines().find(|line| line.contains("\"summary\"")).unwrap_or_else(|| panic!("no summary: {said}"));
        serde_json::from_str(line).unwrap()
    }

    /// Imports it; so many rows are accepted, and so many lines rejected.
    pub(crate) fn takes(&self, path: &Path, accepted: u64, rejected: u64) -> Value {
        let summary = self.summary(path);
        let counts = (summary["accepted"].as_u64(), summary["rejected"].as_u64());
        assert_eq!(counts, (Some(accepted), Some(rejected)), "{summary} {:?}", self.rejects());
        summary
    }

    pub(crate) fn rejects(&self) -> Vec<Value> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.folder.path().join("data/imports")).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().ends_with(".rejects.jsonl") {
                let text = fs::read_to_string(path).unwrap();
                found.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            }
        }
        found
    }

    fn spans(&self) -> u64 {
        self.service.sql().number("SELECT count() AS rows FROM otel_traces", &[])
    }

    pub(crate) fn rows(&self, query: &str) -> Vec<Value> {
        self.service.sql().rows(query, &[])
    }

    pub(crate) fn becomes(&self, query: &str, want: &Value) {
        self.service.sql().becomes(query, &[], want.as_array().unwrap());
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said)
}

/// A line of OTLP/JSON with so many spans.
fn otlp(number: u64, spans: u64) -> Value {
    let span = |place: u64| {
        let start = START + number * 1_000_000_000;
        json!({"traceId": format!("{:032x}", number + 1), "spanId": format!("{:016x}", number * 1_000 + place + 1), "name": "work",
            "kind": 1, "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 5_000_000).to_string(),
            "attributes": [{"key": "step", "value": {"intValue": place.to_string()}}]})
    };
    let spans: Vec<Value> = (0..spans).map(span).collect();
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "batch"}}]});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]}]})
}

fn time(second: u64) -> String {
    format!("2026-06-01T00:{:02}:{:02}.000Z", second / 60, second % 60)
}

/// A line of a session of Claude Code.
fn claude(kind: &str, second: u64, message: &Value, more: &Value) -> Value {
    let mut line = json!({"type": kind, "uuid": format!("u-{kind}-{second}"), "sessionId": "claude-1", "timestamp": time(second),
        "cwd": "/home/ana/mill", "gitBranch": "main", "version": "2.1.0", "isSidechain": false, "message": message});
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

fn answer(id: &str, blocks: &Value, output: u64) -> Value {
    json!({"id": id, "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929", "content": blocks,
        "stop_reason": if output > 20 { json!("tool_use") } else { Value::Null },
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 20, "output_tokens": output,
            "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5}}})
}

/// A session with two answers, the first of three lines that repeat its usage, and a tool that failed.
fn claude_session() -> Vec<Value> {
    let request = |id: &str| json!({"requestId": id});
    vec![
        json!({"type": "file-history-snapshot", "messageId": "m", "sessionId": "claude-1"}),
        claude("user", 0, &json!({"role": "user", "content": "Mend the wheel"}), &json!({})),
        claude(
            "assistant",
            3,
            &answer("msg_1", &json!([{"type": "thinking", "thinking": "hm", "signature": "s"}]), 8),
            &request("req_1"),
        ),
        claude("assistant", 4, &answer("msg_1", &json!([{"type": "text", "text": "I look."}]), 8), &request("req_1")),
        claude(
            "assistant",
            5,
            &answer(
                "msg_1",
                &json!([{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}]),
                30,
            ),
            &request("req_1"),
        ),
        claude(
            "user",
            7,
            &json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "no such wheel", "is_error": true}]}),
            &json!({"toolUseResult": "Error"}),
        ),
        claude("assistant", 9, &answer("msg_2", &json!([{"type": "text", "text": "Done."}]), 12), &request("req_2")),
        claude(
            "assistant",
            10,
            &json!({"id": "x", "role": "assistant", "model": "<synthetic>", "content": []}),
            &json!({}),
        ),
        json!({"type": "a-type-of-tomorrow", "sessionId": "claude-1", "timestamp": time(11)}),
    ]
}

const CALLS: &str = "SELECT SessionId AS session, Model AS model, InputTokens AS input, OutputTokens AS output, CacheReadTokens AS cached, \
     CacheWriteTokens AS written, Duration / 1000000000 AS seconds FROM genai_calls ORDER BY Timestamp";

fn claude_calls() -> Value {
    let call = |output: u64, seconds: u64| {
        json!({"session": "claude-1", "model": "claude-sonnet-4-5-20250929", "input": 100, "output": output, "cached": 70, "written": 20,
            "seconds": seconds})
    };
    json!([call(30, 5), call(12, 2)])
}

#[test]
fn spans_in_files_are_stored_once_however_often_they_are_imported_and_go_again() {
    let service = Service::start();
    let import = Import::new(&service);
    let lines: Vec<Value> = (0..300).map(|number| otlp(number, 2)).collect();
    let path = import.file("traces.jsonl", &lines);

    let (code, said) = import.of(&path, &["--dry-run"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("600 rows would be sent"), "{said}");
    assert!(!import.folder.path().join("data").exists(), "a dry run leaves nothing behind");

    import.takes(&path, 600, 0);
    import.becomes("SELECT count() AS rows FROM otel_traces", &json!([{"rows": 600}]));
    let times = "SELECT toInt64(toUnixTimestamp64Nano(min(Timestamp))) AS first FROM otel_traces";
    import.becomes(times, &json!([{"first": START}]));

    // the same file, by its checkpoint; and without one, by what is stored
    assert_eq!(import.summary(&path)["unchanged"], 1);
    fs::rename(import.folder.path().join("data/imports"), import.folder.path().join("away")).unwrap();
    let (code, said) = import.of(&path, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("millrace import undo"), "{said}");
    // sent all the same, it is a repeat
    assert_eq!(import.of(&path, &["--again"]).0, Some(0));
    // a file that grew is read on
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    writeln!(file, "{}", otlp(300, 1)).unwrap();
    let summary = import.summary(&path);
    assert_eq!((&summary["accepted"], &summary["pieces"]), (&json!(1), &json!(1)), "{summary}");
    import.becomes(
        "SELECT count() AS rows, uniqExact(SpanId) AS spans FROM otel_traces",
        &json!([{"rows": 601, "spans": 601}]),
    );

    let (code, said) = import.run(&["list"]);
    assert!(code == Some(0) && said.contains("traces.jsonl") && said.contains("601 accepted"), "{said}");
    // options may come before what is to be done
    let config = import.folder.path().join("import.yaml");
    let before = |rest: &[&str]| {
        super::import::said(&binary().args(["import", "--config"]).arg(&config).args(rest).output().unwrap())
    };
    let (code, text) = before(&["list"]);
    assert!(code == Some(0) && text.contains("601 accepted"), "{text}");
    let (code, text) = before(&["--dry-run", "undo", path.to_str().unwrap()]);
    assert!(code == Some(0) && text.contains("601 rows to be removed"), "{text}");
    let (code, said) = import.run(&["undo", "--dry-run", path.to_str().unwrap()]);
    assert!(code == Some(0) && said.contains("601 rows to be removed"), "{said}");
    let (code, said) = import.run(&["undo", path.to_str().unwrap()]);
    assert!(code == Some(0) && said.contains("1 import, 601 rows removed"), "{said}");
    assert_eq!(import.spans(), 0);
    assert!(import.run(&["list"]).1.contains("Nothing was imported"), "it is forgotten");
}

#[test]
fn what_is_wrong_is_named_by_line_and_costs_itself_alone() {
    let service = Service::start();
    let import = Import::new(&service);
    let mut wrong = otlp(5, 1);
    wrong["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = json!("00");
    let old = otlp(7, 1).to_string().replace(&(START + 7_000_000_000).to_string(), "1000000000");
    let lines = [
        otlp(0, 1).to_string(),
        "{\"resourceSpans\": [".to_owned(),
        wrong.to_string(),
        otlp(6, 1).to_string(),
        old,
        otlp(8, 1).to_string().replace("\"work\"", "5"),
    ];
    let path = import.text("some.jsonl", lines.join("\n").as_bytes());
    let (code, said) = import.of(&path, &["--keep"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("2 rows accepted") && said.contains("some.jsonl: line 2: "), "{said}");
    let mut rejects = import.rejects();
    rejects.sort_by_key(|reject| reject["line"].as_u64());
    let lines: Vec<(&Value, &str)> = rejects.iter().map(|it| (&it["line"], it["reason"].as_str().unwrap())).collect();
    assert_eq!(lines.iter().map(|(line, _)| line.as_u64().unwrap()).collect::<Vec<_>>(), [2, 3, 5, 6], "{lines:?}");
    for (place, word) in [(0, "JSON"), (1, "trace"), (2, "receivers.timestamps.past"), (3, "name must be")] {
        assert!(lines[place].1.contains(word), "{lines:?}");
    }
    assert!(rejects[0]["piece"].as_str().unwrap().contains("resourceSpans"));
    import.becomes("SELECT count() AS rows FROM otel_traces", &json!([{"rows": 2}]));

    let broken: Vec<String> = (0..50).map(|number| format!("{{\"resourceSpans\": {number}")).collect();
    let path = import.text("broken.jsonl", [vec![otlp(9, 1).to_string()], broken].concat().join("\n").as_bytes());
    let (code, said) = import.of(&path, &["--max-rejects", "10"]);
    assert!(code == Some(1) && said.contains("--max-rejects"), "{said}");
    let path = import.text("letter.txt", b"Dear miller,\nthe wheel is broken.\n");
    let (code, said) = import.of(&path, &[]);
    assert!(code == Some(1) && said.contains("letter.txt: line 1") && said.contains("--format"), "{said}");
    let (code, said) = import.of(&import.files().join("nowhere"), &[]);
    assert!(code == Some(1) && said.contains("is the path right?"), "{said}");
}

#[test]
fn nobody_there_and_nobody_let_in_are_said_with_what_to_do() {
    let service = Service::start();
    let import = Import::new(&service);
    let path = import.file("traces.jsonl", &[otlp(0, 1)]);
    let mut command = binary();
    command.args(["import", "--again", "--url", "http://127.0.0.1:1", "--config"]);
    let output = command.arg(import.folder.path().join("import.yaml")).arg(&path).output().unwrap();
    let (code, told) = said(&output);
    assert!(code == Some(1) && told.contains("start one with `millrace serve`"), "{told}");
}

/// Imports a file of so many lines, and is killed when some of it is known to be stored, or at its end if it is that fast; then it goes on.
pub(crate) fn goes_on_when_killed(import: &Import<'_>, path: &Path, lines: u64, spans: u64) {
    let kept = import.folder.path().join("data/imports");
    let mut child =
        import.command(&[path.to_str().unwrap()]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let checkpoint = || {
        let checkpoints = fs::read_dir(&kept).ok()?.flatten().filter_map(|entry| {
            let text = fs::read(entry.path()).ok()?;
            let checkpoint: Value = serde_json::from_slice(&text).ok()?;
            checkpoint["path"].as_str()?.starts_with(path.to_str()?).then_some(checkpoint)
        });
        checkpoints.last()
    };
    wait_until("a checkpoint is written", || {
        let is_over = child.try_wait().unwrap().is_some();
        let offset = checkpoint().and_then(|checkpoint| checkpoint["offset"].as_u64());
        (is_over || offset.is_some_and(|offset| offset > 0)).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let is_done = checkpoint().unwrap()["is_done"] == true;
    let summary = import.summary(path);
    let read = summary["pieces"].as_u64().unwrap();
    assert!(if is_done { read == 0 } else { (1..lines).contains(&read) }, "it begins where it was: {summary}");
    import.becomes(
        "SELECT count() AS rows, uniqExact(SpanId) AS spans FROM otel_traces",
        &json!([{"rows": spans, "spans": spans}]),
    );
    assert_eq!(checkpoint().unwrap()["accepted"].as_u64().map(|accepted| accepted >= spans), Some(true));
}

#[test]
fn an_import_that_is_killed_goes_on_and_doubles_nothing() {
    let service = Service::start();
    let import = Import::new(&service);
    let lines: Vec<Value> = (0..40_000).map(|number| otlp(number, 3)).collect();
    let path = import.file("many.jsonl", &lines);
    goes_on_when_killed(&import, &path, 40_000, 120_000);
}

#[test]
fn each_answer_in_a_session_of_claude_code_counts_once_wherever_its_lines_are_copied() {
    let service = Service::start();
    let import = Import::new(&service);
    let path = import.file("projects/mill/claude-1.jsonl", &claude_session());
    let summary = import.takes(&path, 4, 0);
    assert_eq!(summary["others"]["a-type-of-tomorrow"], 1, "{summary}");
    import.becomes(CALLS, &claude_calls());
    let spans = "SELECT SpanName AS name, ToolName AS tool, StatusCode AS status, TimingQuality AS timing FROM otel_traces ORDER BY Timestamp, name";
    import.becomes(
        spans,
        &json!([
            {"name": "claude_code.interaction", "tool": "", "status": "Unset", "timing": "derived"},
            {"name": "claude_code.llm_request", "tool": "", "status": "Unset", "timing": "derived"},
            {"name": "claude_code.tool", "tool": "Bash", "status": "Error", "timing": "derived"},
            {"name": "claude_code.llm_request", "tool": "", "status": "Unset", "timing": "derived"},
        ]),
    );
    let priced = service.sql().rows("SELECT toFloat64(sum(CostTotal)) > 0 AS is_priced FROM genai_calls", &[]);
    assert_eq!(priced, [json!({"is_priced": 1})]);

    // a resumed session copies the lines into its own file and goes on
    let mut resumed: Vec<Value> = claude_session();
    for line in &mut resumed {
        line["sessionId"] = json!("claude-2");
    }
    resumed.push(claude(
        "user",
        20,
        &json!({"role": "user", "content": "And the stone"}),
        &json!({"sessionId": "claude-2"}),
    ));
    let more = json!({"requestId": "req_3", "sessionId": "claude-2"});
    resumed.push(claude("assistant", 25, &answer("msg_3", &json!([{"type": "text", "text": "Mended."}]), 7), &more));
    let path = import.file("projects/mill/claude-2.jsonl", &resumed);
    let summary = import.summary(&path);
    assert_eq!((&summary["accepted"], &summary["copied"]), (&json!(2), &json!(4)), "{summary}");
    import.becomes(
        "SELECT count() AS calls, sum(OutputTokens) AS output FROM genai_calls",
        &json!([{"calls": 3, "output": 49}]),
    );
    let messages = "SELECT JSONExtractString(JSONExtractArrayRaw(InputMessages)[-1], 'parts', 1, 'content') AS asked FROM genai_calls_with_content \
                    WHERE SessionId = 'claude-2'";
    import.becomes(messages, &json!([{"asked": "And the stone"}]));
}

/// A line of a session of Codex.
fn codex(kind: &str, second: u64, payload: &Value) -> Value {
    json!({"timestamp": time(second), "type": kind, "payload": payload})
}

fn usage(total: u64, last: u64) -> Value {
    let counts = |input: u64| json!({"input_tokens": input, "cached_input_tokens": 40, "output_tokens": 20, "reasoning_output_tokens": 5, "total_tokens": input + 20});
    json!({"type": "token_count", "info": {"total_token_usage": counts(total), "last_token_usage": counts(last)}})
}

#[test]
fn a_session_of_codex_is_a_trace_with_turns_calls_and_tools() {
    let service = Service::start();
    let import = Import::new(&service);
    let message = |role: &str, kind: &str, text: &str| json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
    let lines = [
        codex(
            "session_meta",
            0,
            &json!({"id": "codex-1", "cwd": "/home/ben", "originator": "codex_cli_rs", "cli_version": "0.65.0"}),
        ),
        codex("turn_context", 1, &json!({"model": "gpt-5-codex"})),
        codex("response_item", 1, &message("user", "input_text", "Count the sacks")),
        codex("event_msg", 1, &json!({"type": "user_message", "message": "Count the sacks"})),
        codex("event_msg", 2, &json!({"type": "token_count", "info": null})),
        codex(
            "response_item",
            4,
            &json!({"type": "function_call", "name": "shell", "arguments": "{\"command\":[\"ls\"]}", "call_id": "call_1"}),
        ),
        codex("event_msg", 4, &usage(100, 100)),
        codex(
            "response_item",
            6,
            &json!({"type": "function_call_output", "call_id": "call_1", "output": "{\"output\":\"none\",\"metadata\":{\"exit_code\":2}}"}),
        ),
        codex("event_msg", 6, &usage(100, 100)),
        codex("response_item", 8, &message("assistant", "output_text", "There are none.")),
        codex("event_msg", 9, &usage(250, 150)),
        codex("a_type_of_tomorrow", 9, &json!({})),
    ];
    let path = import.file("sessions/rollout-1.jsonl", &lines);
    import.takes(&path, 5, 0);
    let calls = "SELECT SessionId AS session, Model AS model, AgentName AS agent, InputTokens AS input, OutputTokens AS output, CacheReadTokens AS cached, \
                 ReasoningTokens AS reasoning, Duration / 1000000000 AS seconds FROM genai_calls ORDER BY Timestamp";
    let call = |input: u64| json!({"session": "codex-1", "model": "gpt-5-codex", "agent": "codex", "input": input, "output": 20, "cached": 40, "reasoning": 5, "seconds": 3});
    import.becomes(calls, &json!([call(100), call(150)]));
    let spans = "SELECT SpanName AS name, ServiceName AS service, StatusCode AS status FROM otel_traces ORDER BY Timestamp, name";
    let span = |name: &str, status: &str| json!({"name": name, "service": "codex_cli_rs", "status": status});
    import.becomes(
        spans,
        &json!([
            span("codex.session", "Unset"),
            span("chat gpt-5-codex", "Unset"),
            span("codex.turn", "Unset"),
            span("execute_tool shell", "Error"),
            span("chat gpt-5-codex", "Unset"),
        ]),
    );
    let answers = "SELECT JSONExtractString(JSONExtractArrayRaw(OutputMessages)[-1], 'parts', 1, 'content') AS said FROM genai_calls_with_content \
                   ORDER BY Timestamp DESC LIMIT 1";
    import.becomes(answers, &json!([{"said": "There are none."}]));
}

/// A follower that ends with the test.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        let _over = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn a_call_that_is_seen_live_and_by_import_counts_once() {
    let service = Service::start();
    let import = Import::new(&service);
    // as Claude Code's telemetry reports the first answer of the session, of the prompt that its lines name
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let number = |key: &str, value: u64| json!({"key": key, "value": {"intValue": value.to_string()}});
    let attributes = [
        text("event.name", "api_request"),
        text("session.id", "claude-1"),
        text("prompt.id", "p-1"),
        text("request_id", "req_1"),
        text("model", "claude-sonnet-4-5-20250929"),
        number("input_tokens", 10),
        number("output_tokens", 30),
        number("cache_read_tokens", 70),
        number("cache_creation_tokens", 20),
        number("duration_ms", 1_500),
    ];
    let record = json!({"timeUnixNano": (START + 5_000_000_000).to_string(), "attributes": attributes});
    let resource = json!({"attributes": [text("service.name", "claude-code")]});
    let scope = json!({"name": "com.anthropic.claude_code.events"});
    let body =
        json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": [record]}]}]});
    let live = support::http::post_json(&service.http("/v1/logs"), &body);
    assert_eq!(live.status, 200, "{}", live.text());
    let calls = "SELECT count() AS calls, sum(OutputTokens) AS output FROM genai_calls";
    import.becomes(calls, &json!([{"calls": 1, "output": 30}]));
    let mut lines = claude_session();
    for line in &mut lines {
        line["promptId"] = json!("p-1");
    }
    let path = import.file("projects/mill/claude-1.jsonl", &lines);
    assert_eq!(import.summary(&path)["rejected"], 0);
    // the second answer is new; the first one is reported twice
    import.becomes(calls, &json!([{"calls": 2, "output": 42}]));
    import.becomes("SELECT count() AS reports FROM otel_traces WHERE Operation = 'chat'", &json!([{"reports": 3}]));
}

#[test]
fn a_followed_file_that_is_renamed_replaced_or_cut_loses_and_doubles_nothing() {
    let service = Service::start();
    let import = Import::new(&service);
    let lines = |numbers: std::ops::Range<u64>| numbers.map(|number| otlp(number, 2)).collect::<Vec<Value>>();
    let path = import.file("spans.jsonl", &lines(0..3));
    let mut command = import.command(&["--follow", import.files().to_str().unwrap()]);
    let _follower = Follower(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let becomes = |spans: u64| {
        let query = "SELECT uniqExact(SpanId) AS spans, count() AS rows FROM otel_traces";
        import.becomes(query, &json!([{"spans": spans, "rows": spans}]));
    };
    becomes(6);
    // a writer that rotates: the last lines go to the renamed file, the next ones to a new one
    let renamed = path.with_file_name("spans.1.jsonl");
    fs::rename(&path, &renamed).unwrap();
    let mut file = OpenOptions::new().append(true).open(&renamed).unwrap();
    writeln!(file, "{}", otlp(3, 2)).unwrap();
    import.file("spans.jsonl", &lines(4..6));
    becomes(12);
    // another file of the same size takes the place of this one
    let other = import.file("spans.new", &lines(6..8));
    fs::rename(other, &path).unwrap();
    becomes(16);
    // it is cut, and has grown beyond its size before anybody looked
    fs::write(&path, lines(10..15).iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    becomes(26);
}

#[test]
fn a_session_that_is_followed_is_seen_as_it_grows_and_after_a_restart() {
    let service = Service::start();
    let import = Import::new(&service);
    let lines = claude_session();
    let path = import.file("projects/claude-1.jsonl", &lines[..4]);
    let follow = || {
        let mut command = import.command(&["--follow", import.files().to_str().unwrap()]);
        Follower(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let follower = follow();
    let calls = |output: &[u64]| -> Value { output.iter().map(|output| json!({"output": output})).collect() };
    let query = "SELECT OutputTokens AS output FROM genai_calls ORDER BY Timestamp";
    import.becomes(query, &calls(&[8]));
    // half a line waits for its other half
    let append = |text: &str| OpenOptions::new().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let rest: String = lines[4..].iter().map(|line| format!("{line}\n")).collect();
    append(&rest[..100]);
    append(&rest[100..]);
    import.becomes(query, &calls(&[30, 12]));
    drop(follower);
    let more = claude(
        "assistant",
        12,
        &answer("msg_4", &json!([{"type": "text", "text": "More."}]), 4),
        &json!({"requestId": "req_4"}),
    );
    append(&format!("{more}\n"));
    let _follower = follow();
    import.becomes(query, &calls(&[30, 12, 4]));
    // a file that comes later
    import.file(
        "projects/codex.jsonl",
        &[
            codex("session_meta", 60, &json!({"id": "codex-2"})),
            codex("event_msg", 60, &json!({"type": "user_message", "message": "?"})),
            codex("event_msg", 61, &usage(100, 100)),
        ],
    );
    import.becomes(query, &calls(&[30, 12, 4, 20]));
    let doubled = "SELECT count() - uniqExact(SpanId) AS doubled FROM otel_traces";
    import.becomes(doubled, &json!([{"doubled": 0}]));
}
