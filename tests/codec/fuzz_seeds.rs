//! What the fuzz targets start from that are not model calls: documents, tools, statements, headers, configurations, files.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use millrace::ids::ReportKey;
use millrace::journal::{self, Journal, Lane, MachineFolder, Options};
use millrace::otlp::{self, Encoding, Limits, Signal};
use millrace::telemetry::Metrics;
use millrace::time::UnixNanos;
use millrace::workspace::Workspace;
use millrace_fuzz_targets::PLANTED;
use serde_json::{Value, json};

/// The seeds of a target of these, given requests of OTLP in JSON; nothing for another one.
pub(super) fn seeds(target: &str, requests: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let texts = |all: &[&str]| all.iter().map(|text| text.as_bytes().to_vec()).collect();
    let values = |all: &[Value]| all.iter().map(|value| value.to_string().into_bytes()).collect();
    Some(match target {
        "otlp_logs" => logs(),
        "otlp_parts" => parts(),
        "document" => values(&documents()),
        "score" => values(&scores()),
        "tool_call" => values(&tool_calls()),
        "redaction" => redacted(requests),
        "statement" => texts(&STATEMENTS),
        "header" => texts(&[
            "Bearer mr_known",
            "Basic YTptcl9rbm93bg==",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0af7651916cd43dd8448eb211c80319c",
            "team-a",
        ]),
        "config" => configurations(),
        "coded_body" => coded(),
        "journal_file" => requests.iter().filter_map(|json| segment(json)).take(6).collect(),
        _ => return None,
    })
}

/// A request with log records of each kind, in both encodings.
fn logs() -> Vec<Vec<u8>> {
    let record = |event: &str, attributes: Value| {
        json!({"timeUnixNano": "1790000000000000000", "severityNumber": 9, "eventName": event, "body": {"stringValue": "x"},
            "traceId": "01".repeat(16), "spanId": "02".repeat(8), "attributes": attributes})
    };
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let records = json!([
        record("", json!([])),
        record("gen_ai.user.message", json!([text("content", "hi")])),
        record("gen_ai.choice", json!([text("message", "{\"content\":\"a\"}"), text("finish_reason", "stop")])),
        record(
            "claude_code.api_request",
            json!([text("model", "c"), text("input_tokens", "3"), text("session.id", "s")])
        ),
        record(
            "gen_ai.evaluation.result",
            json!([text("gen_ai.evaluation.name", "n"), text("gen_ai.evaluation.score.label", "good")])
        ),
        record("gen_ai.client.inference.operation.details", json!([text("gen_ai.operation.name", "chat")])),
        record(
            "codex.tool_result",
            json!([text("tool_name", "shell"), text("success", "true"), text("duration_ms", "12")])
        ),
    ]);
    let request = json!({"resourceLogs": [{"resource": {"attributes": [text("service.name", "a")]}, "scopeLogs": [{"logRecords": records}]}]});
    both(&request, Signal::Logs)
}

/// Resources of several teams, in protobuf.
fn parts() -> Vec<Vec<u8>> {
    let team = |team: Value| {
        json!({"resource": {"attributes": [{"key": "team", "value": team}]}, "scopeSpans": [{"spans": [
        {"traceId": "01".repeat(16), "spanId": "02".repeat(8), "name": "s", "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000000001"}]}]})
    };
    let teams = json!({"resourceSpans": [team(json!({"stringValue": "a"})), team(json!({"stringValue": "b"})), team(json!({"stringValue": "a"})), team(json!({"intValue": 1})), {}]});
    vec![both(&teams, Signal::Traces).remove(1)]
}

fn both(request: &Value, signal: Signal) -> Vec<Vec<u8>> {
    let text = request.to_string().into_bytes();
    let protobuf = otlp::transcode(&text, signal, 32).unwrap().protobuf().to_vec();
    vec![text, protobuf]
}

fn documents() -> Vec<Value> {
    let call = json!({"tool_call_id": "t", "function_name": "f", "arguments": {"a": 1}});
    vec![
        json!({"schema_version": "ATIF-v1.4", "session_id": "s", "agent": {"name": "a", "version": "1", "model_name": "m"}, "steps": [
            {"step_id": 1, "source": "user", "message": "hi", "timestamp": "2026-11-01T00:00:00Z"},
            {"step_id": 2, "source": "agent", "message": "m", "reasoning_content": "r", "tool_calls": [call], "timestamp": "2026-11-01T00:00:01Z",
             "observation": {"results": [{"source_call_id": "t", "content": "x"}]}, "metrics": {"prompt_tokens": 3, "completion_tokens": 2, "cost_usd": 0.1}},
        ], "final_metrics": {"total_prompt_tokens": 3}}),
        json!({"source": "x", "spans": [
            {"span_id": "a", "trace_id": "t", "name": "n", "kind": "LLM", "started_at": "2026-11-01T00:00:00Z", "ended_at": "2026-11-01T00:00:01Z",
             "input": {"q": 1}, "output": "y", "attributes": {"k": [1]}, "status": "success"},
            {"span_id": "b", "parent_span_id": "a", "trace_id": "t", "name": "n", "kind": "TOOL", "started_at": "2026-11-01T00:00:00Z"},
        ]}),
    ]
}

fn scores() -> Vec<Value> {
    vec![
        json!({"session_id": "s", "span_id": "a", "kind": "feedback", "value": "positive"}),
        json!({"session_id": "s", "kind": "note", "text": "x"}),
        json!({"session_id": "s", "kind": "metadata", "metadata": {"a": {"b": [1]}}}),
        json!({"session_id": "s", "kind": "label", "name": "n", "value": 0.5}),
        json!({"span_id": "a", "session_id": "s", "name": "n", "value": 1, "data_type": "BOOLEAN", "comment": "c"}),
        json!({"span_id": "a", "session_id": "s", "name": "n", "string_value": "x", "data_type": "CATEGORICAL"}),
        json!({"name": "e", "description": "d", "metadata": {"a": "b"}, "experiment_group_id": "g", "experiment_group_ids": ["g"]}),
    ]
}

fn tool_calls() -> Vec<Value> {
    let call = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
    vec![
        call("search_traces", json!({"q": "model:x cost:>0.1", "limit": 5, "cursor": "abc"})),
        call("get_trace", json!({"trace_id": "../x?y#z", "q": "has:error"})),
        call("get_conversation", json!({"trace_id": "01"})),
        call("usage", json!({"since": "2026-11-01", "until": "2026-11-02", "by": "model", "bucket": "hour"})),
        call("explain_cost", json!({"trace_id": "%2e%2e/"})),
        call("query_sql", json!({"sql": "SELECT 1"})),
    ]
}

/// Texts with what is to be found, and requests that have them in attributes.
fn redacted(requests: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let secrets = [
        "key sk-proj-abcDEF0123456789_abcDEF0123456789 and AKIAIOSFODNN7EXAMPLE, ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "Authorization: Bearer abc.def-ghi_jkl~mno",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END RSA PRIVATE KEY-----",
        "call +49 (30) 1234-5678 or 4111 1111 1111 1111, GB82 WEST 1234 5698 7654 32, 192.0.2.1, 2001:db8::1, pin: 1234, ORD-12345678",
    ];
    let mut all: Vec<Vec<u8>> = secrets.iter().map(|text| text.as_bytes().to_vec()).collect();
    let nested = json!({"password": "x", "user.email": PLANTED, "n": 4_111_111_111_111_111_u64, "arguments": json!({"to": PLANTED}).to_string()});
    all.push(nested.to_string().into_bytes());
    all.push(format!("data: {nested}\n\ndata: [DONE]\n\n").into_bytes());
    let attributes = json!([{"key": "a", "value": {"stringValue": nested.to_string()}}, {"key": "password", "value": {"stringValue": "x"}}]);
    let span = json!({"traceId": "01".repeat(16), "spanId": "02".repeat(8), "name": PLANTED, "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000000001", "attributes": attributes});
    all.extend(both(&json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}), Signal::Traces));
    all.push(with_a_malformed_attribute());
    all.extend(requests.iter().take(3).map(|json| otlp::transcode_traces(json, 32).unwrap().protobuf().to_vec()));
    all
}

/// A span whose attribute `password` is not protobuf behind its key: it is rejected, with rules or without.
fn with_a_malformed_attribute() -> Vec<u8> {
    let message =
        |number: u8, content: &[u8]| [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat();
    let attribute = message(9, &[message(1, b"password"), vec![1, 0]].concat());
    let time = 1_790_000_000_000_000_000_u64.to_le_bytes();
    let times = [&[0x39][..], &time, &[0x41], &time].concat();
    let span = [message(1, &[1; 16]), message(2, &[2; 8]), message(5, b"s"), times, attribute].concat();
    message(1, &message(2, &message(2, &span)))
}

const STATEMENTS: [&str; 9] = [
    "SELECT 1 FORMAT JSON",
    "WITH 1 AS x SELECT x, 'a;b', `c d`, \"e\" FROM t SETTINGS max_threads = 1 FORMAT TSV;",
    "(SELECT 1) UNION ALL (SELECT 2) -- x\n",
    "INSERT INTO t (a, `b`) FORMAT JSONEachRow {\"a\":1}",
    "INSERT INTO t VALUES (1, 'a')",
    "EXPLAIN AST SELECT 1 /* a /* b */ */",
    "SET readonly = 1",
    "SELECT $t$;$t$, \u{2018}x\u{2019}, x'00', 1e5, 0x1p-3 INTO OUTFILE 'x'",
    "CREATE TABLE a (x UInt8) ENGINE = Memory PARALLEL WITH DROP TABLE b",
];

fn configurations() -> Vec<Vec<u8>> {
    let example = fs::read(super::fuzz_smoke::folder("deploy/config.example.yaml")).unwrap();
    let small = "auth: none\nclickhouse: { url: http://x:8123, password: ${env:TOKEN} }\nquotas: { rows_per_second: 5, workspaces: { a: { journal_bytes: 1GiB } } }\n\
        redaction: { detectors: [email], patterns: [{ name: a, regex: 'x+' }] }\nretention: { default: 30d }\njournal: { max_bytes: ${env:NONE:-1GiB} }\n";
    vec![example, small.as_bytes().to_vec()]
}

/// A text in the codings that the machine's own programs make.
fn coded() -> Vec<Vec<u8>> {
    let packed = |program: &str| {
        let mut child = Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        child.stdin.take().unwrap().write_all(&b"{\"resourceSpans\": []} ".repeat(20)).unwrap();
        Some(child.wait_with_output().unwrap().stdout)
    };
    ["gzip", "zstd", "brotli", "lz4"]
        .into_iter()
        .filter_map(packed)
        .chain([b"x\x9c\x03\x00\x00\x00\x00\x01".to_vec()])
        .collect()
}

/// The file of a segment with a request's spans, if it has any.
fn segment(request: &[u8]) -> Option<Vec<u8>> {
    let protobuf = otlp::transcode_traces(request, 32).unwrap();
    let decoded =
        otlp::decode_traces(protobuf.protobuf(), Encoding::Protobuf, &Workspace::default(), &Limits::default());
    let rows = decoded.unwrap().rows;
    if rows.rows() == 0 {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let now = UnixNanos::new(1_800_000_000_000_000_000).unwrap();
    let options = Options {
        dir: folder.path().to_owned(),
        config: journal::Config::default(),
        database: "otel".to_owned(),
        origin: 1,
        secret: 7,
        keys_max: 100,
        now,
        boot: Some("boot".to_owned()),
        prepare_ahead: false,
        clickhouse_is_here: false,
    };
    let locked = Arc::new(MachineFolder::open(folder.path()).unwrap());
    let (mut journal, _) = Journal::open(options, locked, Metrics::new().unwrap(), &mut |_| true).unwrap();
    let keys: Vec<ReportKey> = (1..).map(|place| ReportKey { place, mark: 1 << 12 }).take(rows.rows()).collect();
    journal.commit(Lane::Disk, &[&*rows], &keys, now).unwrap();
    drop(journal);
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let is_segment = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "open" || end == "segment");
    Some(fs::read(files.into_iter().find(is_segment).expect("a segment was written")).unwrap())
}
