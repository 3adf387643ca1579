//! Files as other systems wrote them, and as people pack them: Parquet, MLflow's protobuf, gzip and zip archives.

use crate::import::{Import, goes_on_when_killed};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::{Cursor, Write as _};
use support::http::send;
use support::{Service, project, wait_until};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fn recorded(name: &str) -> Vec<u8> {
    fs::read(project().join("tests/fixtures/import").join(name)).unwrap()
}

fn line(number: u64) -> String {
    let span = json!({"traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"), "name": format!("span {number}"),
        "startTimeUnixNano": "1780272000000000000"});
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string() + "\n"
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut packed = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        packed.start_file(*name, SimpleFileOptions::default()).unwrap();
        packed.write_all(bytes).unwrap();
    }
    packed.finish().unwrap().into_inner()
}

/// What both of Phoenix's files hold.
fn holds_phoenix(import: &Import<'_>) {
    let spans = "SELECT SpanName AS name, Operation AS operation, StatusCode AS status, StatusMessage AS why, hex(unhex(ParentSpanId)) != '' AS has_parent, \
        toString(toDateTime(Timestamp, 'UTC')) AS at, Duration AS nanos, SpanAttributes['openinference.span.kind'] AS kind, \
        SpanAttributes['metadata'] AS metadata FROM otel_traces ORDER BY SpanId";
    let span = |name: &str, kind: &str, operation: &str, second: u64, metadata: &str| {
        let failed = if kind == "TOOL" { ("Error", "no sieve") } else { ("Ok", "") };
        json!({"name": name, "operation": operation, "status": failed.0, "why": failed.1, "has_parent": u8::from(kind != "CHAIN"),
            "at": format!("2026-06-01 09:00:{second:02}"), "nanos": 2_000_250_000_u64, "kind": kind, "metadata": metadata})
    };
    let rows = import.rows(spans);
    let compact = |row: &Value| {
        let mut row = row.clone();
        let metadata = row["metadata"].as_str().unwrap().replace(": ", ":");
        row["metadata"] = metadata.into();
        row
    };
    let want = [
        span("agent", "CHAIN", "invoke_workflow", 5, "{\"mill\":\"north\"}"),
        span("call a model", "LLM", "chat", 12, ""),
        span("broken tool", "TOOL", "execute_tool", 11, ""),
        span("find", "RETRIEVER", "retrieval", 4, ""),
    ];
    assert_eq!(rows.iter().map(compact).collect::<Vec<_>>(), want);
    let call = "SELECT RequestModel AS model, InputTokens AS input, OutputTokens AS output, \
        JSONExtractString(InputMessages, 1, 'parts', 1, 'content') AS asked, \
        JSONExtractString(OutputMessages, 1, 'parts', 1, 'content') AS said FROM otel_traces WHERE SpanName = 'call a model'";
    import
        .becomes(call, &json!([{"model": "gpt-4o-mini", "input": 7, "output": 3, "asked": "Grind?", "said": "Yes."}]));
    let of_root = "SELECT SessionId AS session, UserId AS user FROM otel_traces WHERE SpanName = 'agent'";
    import.becomes(of_root, &json!([{"session": "s-px", "user": "ana"}]));
}

#[test]
fn parquet_of_phoenix_is_read_by_the_engine() {
    let service = Service::start();
    let import = Import::new(&service);
    let path = import.text("phoenix/trace_dataset.parquet", &recorded("phoenix-dataset.parquet"));
    import.takes(&path, 4, 0);
    import.becomes("SELECT count() AS rows FROM otel_traces", &json!([{"rows": 4}]));
    holds_phoenix(&import);
    let events = "SELECT Events.Name[1] AS name, Events.Attributes[1]['exception.type'] AS type FROM otel_traces WHERE SpanName = 'broken tool'";
    import.becomes(events, &json!([{"name": "exception", "type": "KeyError"}]));
    assert_eq!(import.summary(&path)["unchanged"], 1, "the same file again has nothing new");
    let (code, said) = import.run(&["undo", path.to_str().unwrap()]);
    assert!(code == Some(0) && said.contains("1 import, 4 rows removed"), "{said}");
    // the other form, in an archive
    let archive = zip(&[("spans.parquet", &recorded("phoenix-dataframe.parquet"))]);
    let path = import.text("phoenix.zip", &archive);
    assert_eq!(import.summary(&path)["accepted"], 4, "{:?}", import.rejects());
    import.becomes("SELECT count() AS rows FROM otel_traces", &json!([{"rows": 4}]));
    holds_phoenix(&import);
}

#[test]
fn parquet_of_langfuse_is_read_and_a_broken_file_costs_itself() {
    let service = Service::start();
    let import = Import::new(&service);
    let export = "SELECT 'o-1' AS id, 'lf' AS trace_id, 'GENERATION' AS type, '' AS parent_observation_id, 'gen' AS name, 'DEFAULT' AS level, \
        toDateTime64('2026-06-01 01:00:00.5', 6, 'UTC') AS start_time, toDateTime64('2026-06-01 01:00:02', 6, 'UTC') AS end_time, \
        'gpt-4o-mini' AS provided_model_name, map('input', toUInt64(10), 'output', toUInt64(5)) AS usage_details, ['a'] AS tags \
        FORMAT Parquet";
    let whole = send("POST", &service.sql().url, &[], export.as_bytes()).body;
    assert!(whole.starts_with(b"PAR1"), "{}", String::from_utf8_lossy(&whole));
    import.text("a/observations.parquet", &whole);
    import.text("a/cut.parquet", &whole[..whole.len() / 2]);
    import.text("a/empty.parquet", b"PAR1");
    let (code, said) = import.of(&import.files(), &[]);
    assert!(code == Some(0) && said.contains("cut.parquet: it cannot be read as Parquet"), "{code:?} {said}");
    let call = "SELECT RequestModel AS model, InputTokens AS input, OutputTokens AS output, Duration AS nanos FROM otel_traces";
    import.becomes(call, &json!([{"model": "gpt-4o-mini", "input": 10, "output": 5, "nanos": 1_500_000_000_u64}]));
}

#[test]
fn columns_of_parquet_that_the_engine_cannot_read_are_named_or_explained() {
    let service = Service::start();
    let import = Import::new(&service);
    let export = "SELECT 'o-1' AS id, 'lf' AS trace_id, 'SPAN' AS type, toDateTime64('2026-06-01 01:00:00', 6, 'UTC') AS start_time, \
        toDecimal256(1, 0) AS large FORMAT Parquet";
    let mut file = send("POST", &service.sql().url, &[], export.as_bytes()).body;
    let path = import.text("whole.parquet", &file);
    let (code, said) = import.of(&path, &[]);
    assert!(code == Some(0) && !said.contains("left out"), "{said}");
    // decimals of 76 digits, by the list of columns at the end, become some of 100, which no engine has
    let list =
        file.len() - 8 - usize::try_from(u32::from_le_bytes(file[file.len() - 8..][..4].try_into().unwrap())).unwrap();
    let digits: Vec<usize> = (list..file.len()).filter(|at| file[*at..].starts_with(&[0x98, 0x01])).collect();
    assert!(!digits.is_empty());
    digits.into_iter().for_each(|at| file[at] = 0xc8);
    let path = import.text("other.parquet", &file);
    let (code, said) = import.of(&path, &["--again"]);
    assert!(code == Some(0) && said.contains("1 row accepted"), "{said}");
    assert!(said.contains("other.parquet: columns are left out") && said.contains("large"), "{said}");
}

#[test]
fn an_import_of_a_packed_file_that_is_killed_goes_on_where_it_was() {
    let lines = 40_000;
    let spans: String = (1..=lines).map(line).collect();
    let export = format!(
        "SELECT 'span' AS name, 'LLM' AS span_kind, toDateTime64('2026-06-01 01:00:00', 6, 'UTC') AS start_time, start_time AS end_time, 'OK' AS status_code, \
         leftPad(hex(number + 1), 32, '0') AS `context.trace_id`, leftPad(hex(number + 1), 16, '0') AS `context.span_id`, \
         'gpt-4o-mini' AS `attributes.llm.model_name` FROM numbers({lines}) FORMAT Parquet"
    );
    for name in ["spans.jsonl.gz", "spans.zip", "spans.parquet"] {
        let service = Service::start();
        let import = Import::new(&service);
        let bytes = match name {
            "spans.jsonl.gz" => gzip(spans.as_bytes()),
            "spans.zip" => zip(&[("spans.jsonl", spans.as_bytes())]),
            _ => send("POST", &service.sql().url, &[], export.as_bytes()).body,
        };
        let path = import.text(name, &bytes);
        goes_on_when_killed(&import, &path, lines, lines);
        let left = || fs::read_dir(import.scratch()).unwrap().count();
        wait_until("nothing of the reader of Parquet is left", || (left() == 0).then_some(()));
    }
}

#[test]
fn rows_of_parquet_have_the_bound_of_what_is_unpacked() {
    let service = Service::start();
    let import = Import::new(&service);
    let export = "SELECT repeat('a', 262144) AS text FROM numbers(1200) SETTINGS max_block_size = 8, max_threads = 1, \
        output_format_parquet_row_group_size = 8, output_format_parquet_compression_method = 'zstd' FORMAT Parquet";
    let bomb = send("POST", &service.sql().url, &[], export.as_bytes()).body;
    assert!(bomb.starts_with(b"PAR1") && bomb.len() < 1 << 20, "{}", bomb.len());
    let bomb = import.text("bomb.parquet", &bomb);
    let (code, said) = import.of(&bomb, &["--format", "otlp-json"]);
    assert_eq!(code, Some(3), "{said}");
    let why = import.rejects().pop().unwrap();
    let why = why["reason"].as_str().unwrap();
    assert!(why.contains("250 times its own size") && why.contains("no setting"), "{why}");
}

#[test]
fn traces_that_mlflow_archived_are_calls_with_their_tokens() {
    let service = Service::start();
    let import = Import::new(&service);
    let path = import.text("artifacts/traces.pb", &recorded("mlflow-traces.pb"));
    import.takes(&path, 2, 0);
    let spans = "SELECT SpanName AS name, Operation AS operation, RequestModel AS model, InputTokens AS input, OutputTokens AS output, \
        JSONExtractString(InputMessages, 1, 'parts', 1, 'content') AS asked, \
        JSONExtractString(OutputMessages, 1, 'parts', 1, 'content') AS said FROM otel_traces ORDER BY Timestamp";
    let agent = json!({"name": "agent", "operation": "invoke_agent", "model": "", "input": null, "output": null, "asked": "{\"q\":\"Grind?\"}", "said": "Yes."});
    let call = json!({"name": "ChatCompletion", "operation": "chat", "model": "gpt-4o-mini", "input": 7, "output": 3, "asked": "Grind?", "said": "Yes."});
    import.becomes(spans, &json!([agent, call]));
}

#[test]
fn files_in_an_archive_are_read_as_files_and_their_names_are_no_paths() {
    let service = Service::start();
    let import = Import::new(&service);
    let outside = import.text("outside.jsonl", line(9).as_bytes());
    let archive = zip(&[
        ("export/one.jsonl", line(1).as_bytes()),
        ("../../outside.jsonl", line(2).as_bytes()),
        ("/etc/two.jsonl.gz", &gzip(line(3).as_bytes())),
        ("__MACOSX/._one.jsonl", b"\x00\x05\x16\x07"),
        ("picture.png", b"\x89PNG"),
        (&format!("{}deep.jsonl", "d/".repeat(12)), line(5).as_bytes()),
        ("empty.jsonl", b""),
        ("other.json", b"{\"nothing\": 1}\n"),
        ("inner.zip", &zip(&[("x.jsonl", line(4).as_bytes())])),
    ]);
    let path = import.text("export.zip", &archive);
    let (code, said) = import.of(&path, &["--progress", "json"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("export.zip/other.json: line 1: its format is not known"), "{said}");
    assert!(said.contains("export.zip/inner.zip: it is a zip archive within another"), "{said}");
    for left_out in ["picture.png", "__MACOSX/._one.jsonl", "d/d/deep.jsonl", "empty.jsonl"] {
        let is_named = |line: &str| line.contains("left out (") && line.contains(left_out);
        assert!(said.lines().any(is_named), "{left_out} is not named: {said}");
    }
    let summary: Value = serde_json::from_str(said.lines().find(|line| line.contains("\"summary\"")).unwrap()).unwrap();
    let left_out = summary["left_out"].as_object().unwrap();
    assert_eq!(left_out.values().map(|count| count.as_u64().unwrap()).collect::<Vec<_>>(), [1; 4], "{summary}");
    let names = "SELECT SpanName AS name FROM otel_traces ORDER BY name";
    import.becomes(names, &json!([{"name": "span 1"}, {"name": "span 2"}, {"name": "span 3"}]));
    assert_eq!(fs::read_to_string(&outside).unwrap(), line(9), "nothing is unpacked anywhere");
    assert_eq!(import.summary(&path)["unchanged"], 3, "the same archive again has nothing new");
    let (code, said) = import.run(&["undo", path.to_str().unwrap()]);
    assert!(code == Some(0) && said.contains("3 imports, 3 rows removed"), "{said}");
}

#[test]
fn conversations_that_people_download_are_read_out_of_their_archives_and_count_once() {
    let service = Service::start();
    let import = Import::new(&service);
    let message = |id: &str, role: &str, second: u64, said: &str| {
        json!({"id": id, "author": {"role": role}, "create_time": 1_780_272_000 + second, "recipient": "all",
            "content": {"content_type": "text", "parts": [said]}, "metadata": {"model_slug": "gpt-5"}})
    };
    let node = |id: &str, parent: Value, children: &[&str], message: Value| json!({"id": id, "parent": parent, "children": children, "message": message});
    let conversation = json!({"conversation_id": "c-gpt", "title": "Mill", "create_time": 1_780_272_000, "current_node": "a", "mapping": {
        "root": node("root", Value::Null, &["q"], Value::Null),
        "q": node("q", json!("root"), &["a"], message("q", "user", 1, "Grind?")),
        "a": node("a", json!("q"), &[], message("a", "assistant", 4, "Yes.")),
    }});
    let of_gpt = json!([conversation]).to_string();
    let files: [(&str, &[u8]); 3] =
        [("conversations.json", of_gpt.as_bytes()), ("user.json", b"{\"id\": \"u\"}"), ("chat.html", b"<html>")];
    let path = import.text("chatgpt.zip", &zip(&files));
    let (code, said) = import.of(&path, &[]);
    assert!(code == Some(0) && said.contains("user.json: line 1: its format is not known"), "{said}");
    assert!(said.contains("left out (") && said.contains("chat.html"), "{said}");
    let of_claude = json!([{"uuid": "c-cl", "name": "Mill", "created_at": "2026-06-01T01:00:00Z", "chat_messages": [
        {"uuid": "m1", "sender": "human", "text": "Turn?", "created_at": "2026-06-01T01:00:01Z", "content": []},
        {"uuid": "m2", "sender": "assistant", "text": "No.", "created_at": "2026-06-01T01:00:03Z", "content": [{"type": "text", "text": "No."}]}]}]);
    let path = import.text("claude.zip", &zip(&[("conversations.json", of_claude.to_string().as_bytes())]));
    import.takes(&path, 2, 0);
    let calls = "SELECT SessionId AS session, Model AS model, Provider AS provider, InputTokens AS input, Duration AS nanos, \
        JSONExtractString(InputMessages, 1, 'parts', 1, 'content') AS asked, \
        JSONExtractString(OutputMessages, 1, 'parts', 1, 'content') AS said FROM genai_calls_with_content ORDER BY session";
    let call = |session: &str, model: &str, provider: &str, seconds: u64, asked: &str, said: &str| json!({"session": session, "model": model, "provider": provider, "input": null, "nanos": seconds * 1_000_000_000, "asked": asked, "said": said});
    import.becomes(
        calls,
        &json!([
            call("c-cl", "", "anthropic", 2, "Turn?", "No."),
            call("c-gpt", "gpt-5", "openai", 3, "Grind?", "Yes.")
        ]),
    );
    // the next download has the conversation too
    let mut other = conversation.clone();
    other["conversation_id"] = json!("c-new");
    let path = import.text("next.json", json!([&other, &conversation]).to_string().as_bytes());
    let summary = import.takes(&path, 2, 0);
    assert_eq!(summary["copied"], 2, "{summary}");
    // one that begins like the last is another download, and no longer than it
    let mut third = conversation.clone();
    third["conversation_id"] = json!("c-3");
    let path = import.text("third.json", json!([other, third]).to_string().as_bytes());
    let summary = import.takes(&path, 2, 0);
    assert_eq!(summary["copied"], 2, "{summary}");
    let kinds = "SELECT SpanName AS name, count() AS rows FROM otel_traces GROUP BY name ORDER BY name";
    let kind = |name: &str, rows: u64| json!({"name": name, "rows": rows});
    import.becomes(
        kinds,
        &json!([kind("chat", 1), kind("chat gpt-5", 3), kind("chatgpt.turn", 3), kind("claude-ai.turn", 1)]),
    );
}

#[test]
fn a_question_that_was_downloaded_before_its_answer_has_it_after_the_next_download() {
    let service = Service::start();
    let import = Import::new(&service);
    let download = |said: &[(&str, u64, &str)]| {
        let message = |(uuid, second, text): &(&str, u64, &str)| {
            let sender = if uuid.starts_with('q') { "human" } else { "assistant" };
            json!({"uuid": uuid, "sender": sender, "text": text, "created_at": format!("2026-06-01T01:00:{second:02}Z"), "content": []})
        };
        let messages: Vec<Value> = said.iter().map(message).collect();
        json!([{"uuid": "c", "created_at": "2026-06-01T01:00:00Z", "chat_messages": messages}]).to_string()
    };
    let [first, asked, answered] = [("q1", 1, "Grind?"), ("q2", 10, "Sift?"), ("a2", 13, "Sifted.")];
    let said = ("a1", 3, "Ground.");
    let path = import.text("one.json", download(&[first, said, asked]).as_bytes());
    import.takes(&path, 3, 0);
    let path = import.text("other.json", download(&[first, said, asked, answered]).as_bytes());
    let summary = import.takes(&path, 2, 0);
    assert_eq!(summary["copied"], 2, "the first turn and its call: {summary}");
    let turns = "SELECT Duration AS nanos, JSONExtractString(InputMessages, 1, 'parts', 1, 'content') AS asked, \
        JSONExtractString(OutputMessages, 1, 'parts', 1, 'content') AS said FROM otel_traces WHERE SpanName = 'claude-ai.turn' ORDER BY Timestamp";
    let turn =
        |seconds: u64, asked: &str, said: &str| json!({"nanos": seconds * 1_000_000_000, "asked": asked, "said": said});
    import.becomes(turns, &json!([turn(2, "Grind?", "Ground."), turn(3, "Sift?", "Sifted.")]));
    // an earlier one has nothing that is not known
    let path = import.text("earlier.json", download(&[first, said, ("q2", 10, "Sift?")]).as_bytes());
    let summary = import.summary(&path);
    assert_eq!((&summary["accepted"], &summary["unchanged"]), (&json!(0), &json!(1)), "{summary}");
}

#[test]
fn what_is_packed_on_standard_input_is_bounded_by_what_has_arrived() {
    let service = Service::start();
    let import = Import::new(&service);
    let (code, said) = import.of_input(&gzip(line(1).as_bytes()));
    assert!(code == Some(0) && said.contains("1 row accepted"), "{code:?} {said}");
    let spaces = [vec![b' '; (1 << 20) - 1], b"\n".to_vec()].concat().repeat(420);
    let (code, said) = import.of_input(&gzip(&[line(2).as_bytes(), &spaces].concat()));
    assert!(code == Some(3) && said.contains("250 times"), "{code:?} {said}");
}

#[test]
fn a_file_that_comes_by_standard_input_once_more_stays_the_file() {
    let service = Service::start();
    let import = Import::new(&service);
    let lines = format!("{}{{\"broken\n", line(1));
    let path = import.text("spans.jsonl", lines.as_bytes());
    let (code, said) = import.of(&path, &[]);
    assert!(code == Some(3) && said.contains("spans.jsonl: line 2: it is not JSON"), "{code:?} {said}");
    assert!(said.contains(".rejects.jsonl.") && !said.contains('*'), "it names the file of rejects: {said}");
    import.of_input(lines.as_bytes());
    let (_, listed) = import.run(&["list"]);
    assert!(listed.contains(path.to_str().unwrap()), "{listed}");
    let (code, said) = import.run(&["undo", path.to_str().unwrap()]);
    assert!(code == Some(0) && said.contains("1 import, 1 row removed"), "{code:?} {said}");
}

#[test]
fn an_archive_that_would_fill_the_world_is_refused_before_it_is_read() {
    let service = Service::start();
    let import = Import::new(&service);
    let spaces = [vec![b' '; (1 << 20) - 1], b"\n".to_vec()].concat().repeat(420);
    let bomb = import.text("bomb.zip", &zip(&[("spaces.json", &spaces)]));
    let (code, said) = import.of(&bomb, &[]);
    assert!(code == Some(1) && said.contains("250 times"), "{code:?} {said}");
    // the same in gzip, whose size nobody says beforehand
    let bomb = import.text("spaces.json.gz", &gzip(&[line(1).as_bytes(), &spaces].concat()));
    let (code, said) = import.of(&bomb, &[]);
    assert!(code == Some(3) && said.contains("250 times"), "{code:?} {said}");
    let other = import.text("broken.zip", b"PK\x03\x04 and nothing more");
    let (code, said) = import.of(&other, &[]);
    assert!(code == Some(1) && said.contains("cannot be read as a zip archive"), "{code:?} {said}");
}
