//! The fuzz targets over the samples and a bounded number of mutations, the same ones every time.
//!
//! No search for new paths, as `make fuzz` does it: a smoke, for every run of the tests.

use std::fs;
use std::path::{Path, PathBuf};

use millrace::columns::native::encode::encode_block;
use millrace::otlp::{Limits, Signal, transcode, transcode_traces};
use millrace::workspace::Workspace;
use millrace_fuzz_targets as targets;

use super::fuzz_seeds;
use serde_json::{Value, json};

/// Mutations of each seed.
const MUTATIONS: u64 = 60;

pub(super) fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn samples(kind: &str) -> Vec<Value> {
    let folder = folder("tests/corpus").join(kind);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
}

/// A request with each kind of metric, in both encodings.
fn metrics() -> Vec<Vec<u8>> {
    let exemplars = json!([{"asInt": "-3", "traceId": "01".repeat(16), "filteredAttributes": [{"key": "k"}]}]);
    let number =
        json!([{"asDouble": "NaN", "timeUnixNano": "1790000000000000000", "exemplars": exemplars}, {"asInt": 7}]);
    let histogram =
        json!([{"count": 3, "sum": 1.5, "bucketCounts": ["1", 2], "explicitBounds": [0.5], "exemplars": exemplars}]);
    let exponential =
        json!([{"scale": -2, "positive": {"offset": 5, "bucketCounts": [1, "300"]}, "negative": {}, "max": 2}]);
    let summary = json!([{"count": 1, "quantileValues": [{"quantile": 0.5, "value": 5}], "flags": 1}]);
    let request = json!({"resourceMetrics": [{"resource": {"attributes": [{"key": "a"}]}, "scopeMetrics": [{"metrics": [
        {"name": "g", "unit": "s", "gauge": {"dataPoints": number}},
        {"name": "s", "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": number}},
        {"name": "h", "metadata": [{"key": "m"}], "histogram": {"dataPoints": histogram}},
        {"name": "e", "exponentialHistogram": {"dataPoints": exponential}},
        {"name": "q", "summary": {"dataPoints": summary}},
    ]}]}]});
    let text = request.to_string().into_bytes();
    let protobuf = transcode(&text, Signal::Metrics, 32).unwrap().protobuf().to_vec();
    vec![text, protobuf]
}

/// Files of the formats that are imported.
fn files() -> Vec<Vec<u8>> {
    let usage = json!({"input_tokens": 1, "output_tokens": 2, "cache_creation": {"ephemeral_1h_input_tokens": 3}});
    let claude = |kind: &str, content: &Value| {
        json!({"type": kind, "uuid": "u", "sessionId": "s", "timestamp": "2026-06-01T00:00:00Z", "requestId": "r", "isSidechain": false,
            "message": {"id": "m", "model": "c", "content": content, "usage": usage, "stop_reason": "end_turn"}})
    };
    let codex =
        |kind: &str, payload: Value| json!({"timestamp": "2026-06-01T00:00:00Z", "type": kind, "payload": payload});
    let files = [
        vec![
            claude("user", &json!("Go")),
            claude("assistant", &json!([{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}])),
            claude("user", &json!([{"type": "tool_result", "tool_use_id": "t", "content": "x", "is_error": true}])),
        ],
        vec![
            codex("session_meta", json!({"id": "c", "originator": "codex_exec", "git": {"branch": "b"}})),
            codex("response_item", json!({"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"})),
            codex("event_msg", json!({"type": "token_count", "info": {"last_token_usage": usage}})),
            codex(
                "response_item",
                json!({"type": "function_call_output", "call_id": "1", "output": "{\"metadata\":{\"exit_code\":1}}"}),
            ),
        ],
        vec![
            json!({"request_id": "r", "call_type": "c", "spend": "1", "startTime": "2026-06-01 00:00:00", "metadata": "{\"a\":1}"}),
        ],
        vec![
            json!({"custom_id": "c", "url": "/v1/embeddings", "body": {"model": "m"}}),
            json!({"custom_id": "c", "response": {"body": {"usage": {}}}, "error": null}),
        ],
        vec![
            json!({"id": "o", "trace_id": "t", "type": "GENERATION", "start_time": 1_780_272_000, "total_cost": 1, "tags": ["a"]}),
        ],
        vec![
            json!({"id": "o", "run_type": "llm", "start_time": "2026-06-01", "outputs": {"usage_metadata": usage}, "error": "e"}),
        ],
        vec![
            json!({"id": "s", "trace_id": "t", "observation_id": "o", "timestamp": 1_780_272_000, "name": "n", "data_type": "NUMERIC", "value": "0.5"}),
        ],
        vec![
            json!({"run_id": "o", "trace_id": "t", "key": "k", "score": true, "value": "v", "created_at": "2026-06-01T00:00:00"}),
        ],
        vec![
            json!({"context.trace_id": "1", "context.span_id": "2", "start_time": "2026-06-01T00:00:00Z", "span_kind": "LLM", "events": "[{\"name\":\"e\"}]",
                "attributes.llm": {"input_messages": [{"message": {"role": "user"}}]}, "attributes.metadata": {"a": {"b": null}}}),
        ],
        vec![
            json!({"data": [{"traceId": "1", "spanId": "2"}]}),
            json!({"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}),
        ],
    ];
    let text = |lines: Vec<Value>| lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
    files.into_iter().map(text).chain([b"a,\"b\n\",c\r\n".to_vec()]).collect()
}

/// What a target starts from.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let bodies = || samples("chat").into_iter().map(|sample| sample["ingest"].clone());
    let requests =
        || samples("otlp").into_iter().filter_map(|sample| request(&sample)).map(|json| json.to_string().into_bytes());
    if let Some(seeds) = fuzz_seeds::seeds(target, &requests().collect::<Vec<_>>()) {
        return seeds;
    }
    match target {
        "import_file" => files(),
        "chat_body" => bodies().map(|body| body.to_string().into_bytes()).collect(),
        "chunk_merge" => bodies().map(|body| lines(&body["response"]).into_bytes()).collect(),
        "foreign_record" => bodies().flat_map(|body| foreign(&body)).collect(),
        "otlp_json" => requests().collect(),
        "otlp_protobuf" => requests().map(|json| transcode_traces(&json, 32).unwrap().protobuf().to_vec()).collect(),
        "otlp_metrics" => metrics(),
        "convention" => conventions(),
        "search" => [
            r#"model:gpt-5* -status:ok cost:>0.1 duration:>2s user:anna attr.http.route:"/x" "free text" has:error score.helpful:<0.5"#,
            "(kind:llm OR NOT tool:(a OR b)) started:>-1h tokens:>=10k has:attr.x",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        "read_query" => [
            r#"filter[kind]=LLM&filter[started_at][$gte]=2026-11-28&page=2&page_size=3&sort=started_at&mode=preview"#,
            r#"filter={"$or":[{"model":{"$like":"gpt%"}},{"$and":[{"status":"error"},{"session_id":"x"}]}]}&cursor="#,
            r#"filter=session_id:"x"+AND+started_at>="2026-11-28"&q=cost:>0.1&cursor=WyIxIiwiMDAiLDEsWyJhIiwiYiJdXQ"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        "native_block" => requests().map(|json| block(&json)).collect(),
        _ => [
            "https://x/a.png",
            "data:image/png;base64,AAEC",
            "data:image/svg+xml,%3Csvg%2F%3E",
            "AAEC",
            "data:",
            "DATA:a/b;c=d;BASE64,+/8=",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
    }
}

/// The attributes of samples as lines, and lines of what no sample has.
fn conventions() -> Vec<Vec<u8>> {
    let line = |(key, value): (&String, &Value)| match value.as_str() {
        Some(text) => format!("{key}={text}"),
        None => format!("{key}={value}"),
    };
    let lines = |sample: &Value| {
        sample["attributes"].as_object().map(|all| all.iter().map(line).collect::<Vec<_>>().join("\n").into_bytes())
    };
    let more = [
        "gen_ai.output.messages=[{\"role\":\"assistant\",\"parts\":[]}]\ngen_ai.completion.0.function_call.name=f\nllm.finish_reason=x",
        "@gen_ai.user.message\ncontent=hi\n@gen_ai.choice\nmessage={\"content\":\"a\"}\nindex=0\nfinish_reason=stop",
        "gen_ai.operation.name=chat\ninput.value={\"contents\":[{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{}}}]}]}",
        "gen_ai.input.messages=[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"data\":\"AAEC\"}},{\"type\":\"tool_result\",\"content\":null},{\"type\":\"uri\"}]}]",
    ];
    samples("otlp").iter().filter_map(lines).chain(more.map(|text| text.as_bytes().to_vec())).collect()
}

/// The Native block of a request's spans.
fn block(request: &[u8]) -> Vec<u8> {
    let transcoded = transcode_traces(request, 32).unwrap();
    let decoded = transcoded.decode(&Workspace::default(), &Limits::default()).unwrap();
    let mut block = Vec::new();
    encode_block(&[&*decoded.rows], millrace::ids::SegmentId::new(1, 2), &mut block);
    block
}

/// The pair as LiteLLM's callback and Helicone's log have it.
fn foreign(body: &Value) -> [Vec<u8>; 2] {
    let (request, response) = (&body["request"], &body["response"]);
    let payload = serde_json::json!({
        "id": response["id"], "litellm_call_id": "c", "call_type": "acompletion", "status": "success", "stream": true,
        "model": request["model"], "messages": request["messages"], "response": response, "response_cost": 1e-6,
        "model_parameters": {"temperature": 0.5}, "startTime": 1795445761.5, "endTime": 1795445762.5,
        "completionStartTime": 1795445761.75, "trace_id": body["trace_id"], "request_tags": ["a"],
        "error_information": {"error_class": "E", "error_code": "400"}, "prompt_tokens": 3,
    });
    let text = response.as_str();
    let log = serde_json::json!({
        "providerRequest": {"url": "custom-model-nopath", "json": request, "meta": {"session_id": "s"}},
        "providerResponse": {"json": if text.is_some() { &Value::Null } else { response }, "textBody": text, "status": 200},
        "timing": {"startTime": {"seconds": 1795445761, "milliseconds": 5}, "endTime": {"seconds": 1795445762, "milliseconds": 0}, "timeToFirstToken": 7.5},
    });
    [log.clone(), serde_json::json!([payload, log])].map(|record| record.to_string().into_bytes())
}

/// A response as lines: a chunk a line, or the text as it is.
fn lines(response: &Value) -> String {
    let line = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    let list = response.as_array().map(|items| items.iter().map(line).collect::<Vec<_>>().join("\n"));
    list.unwrap_or_else(|| line(response))
}

/// The request of an OTLP sample: whole, or as spans alone.
fn request(sample: &Value) -> Option<Value> {
    let spans = ["otlp_spans", "spans"].iter().find_map(|name| sample.get(*name));
    let wrapped = spans.map(|spans| serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}));
    sample.get("otlp").cloned().or(wrapped).filter(|it| transcode_traces(it.to_string().as_bytes(), 32).is_ok())
}

/// Numbers that look random and are the same in every run. Source: Marsaglia, xorshift64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// Pieces that parsers trip over.
const TOKENS: [&[u8]; 16] = [
    b"null",
    b"{}",
    b"[]",
    b"\"\"",
    b"-1",
    b"1e999",
    b"\\ud83d",
    b"\xff",
    b"data:",
    b";base64,",
    b"[DONE]",
    b"\r\n\r\n",
    b"\"index\":",
    b"\x80\x80",
    b"9223372036854775808",
    b"\"error\":",
];

fn mutated(seeds: &[Vec<u8>], seed: usize, numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seeds[seed].clone();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len() + 1);
        let to = (at + numbers.below(32)).min(bytes.len());
        match numbers.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 => drop(bytes.drain(at..to)),
            2 => drop(bytes.splice(at..at, TOKENS[numbers.below(TOKENS.len())].iter().copied())),
            3 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = &seeds[numbers.below(seeds.len())];
                let tail = other[numbers.below(other.len() + 1)..].to_vec();
                bytes.truncate(at);
                bytes.extend(tail);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn smoke(target: &str) {
    let (_, run) = targets::TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "nothing to start from");
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for seed in 0..seeds.len() {
        targets::run(*run, &seeds[seed]);
        for _ in 0..MUTATIONS {
            let bytes = mutated(&seeds, seed, &mut numbers);
            if std::panic::catch_unwind(|| targets::run(*run, &bytes)).is_err() {
                panic!("{target} does not hold for {:?}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}

#[test]
fn chat_body_holds() {
    smoke("chat_body");
}

#[test]
fn chunk_merge_holds() {
    smoke("chunk_merge");
}

#[test]
fn foreign_record_holds() {
    smoke("foreign_record");
}

#[test]
fn data_url_holds() {
    smoke("data_url");
}

#[test]
fn otlp_protobuf_holds() {
    smoke("otlp_protobuf");
}

#[test]
fn otlp_metrics_holds() {
    smoke("otlp_metrics");
}

#[test]
fn otlp_json_holds() {
    smoke("otlp_json");
}

#[test]
fn convention_holds() {
    smoke("convention");
}

#[test]
fn native_block_holds() {
    smoke("native_block");
}

#[test]
fn import_file_holds() {
    smoke("import_file");
}

#[test]
fn search_holds() {
    smoke("search");
}

#[test]
fn read_query_holds() {
    smoke("read_query");
}

#[test]
fn otlp_logs_holds() {
    smoke("otlp_logs");
}

#[test]
fn otlp_parts_holds() {
    smoke("otlp_parts");
}

#[test]
fn document_holds() {
    smoke("document");
}

#[test]
fn score_holds() {
    smoke("score");
}

#[test]
fn tool_call_holds() {
    smoke("tool_call");
}

#[test]
fn redaction_holds() {
    smoke("redaction");
}

#[test]
fn statement_holds() {
    smoke("statement");
}

#[test]
fn header_holds() {
    smoke("header");
}

#[test]
fn config_holds() {
    smoke("config");
}

#[test]
fn coded_body_holds() {
    smoke("coded_body");
}

#[test]
fn journal_file_holds() {
    smoke("journal_file");
}

#[test]
fn every_target_has_a_binary_and_is_one_of_make_fuzz() {
    let makefile = fs::read_to_string(folder("Makefile")).unwrap();
    let listed = makefile.lines().find_map(|line| line.strip_prefix("FUZZ_TARGETS ?= ")).unwrap();
    let mut listed: Vec<&str> = listed.split(' ').collect();
    listed.sort_unstable();
    let mut names = targets::TARGETS.map(|(name, _)| name);
    names.sort_unstable();
    assert_eq!(listed, names);
    let manifest = fs::read_to_string(folder("fuzz/Cargo.toml")).unwrap();
    for name in names {
        assert!(folder("fuzz/fuzz_targets").join(name).with_extension("rs").exists(), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

#[test]
fn make_fuzz_begins_with_what_the_samples_hold() {
    for (name, _) in targets::TARGETS {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-seeds").join(name);
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds(name).iter().enumerate() {
            fs::write(folder.join(format!("{number:03}")), seed).unwrap();
        }
    }
}
