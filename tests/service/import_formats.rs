//! Each format that `millrace import` reads becomes calls with their tokens, costs, sessions and times.

use crate::import::Import;
use serde_json::{Value, json};
use std::fs;
use support::http::post_json;
use support::{Service, project};

const CALLS: &str = "SELECT ServiceName AS service, Model AS model, InputTokens AS input, OutputTokens AS output, \
     toFloat64(CostTotal) AS usd, SessionId AS session, UserId AS user, toString(toDateTime(Timestamp, 'UTC')) AS at \
     FROM genai_calls ORDER BY Timestamp, service, model";

fn call(of: [&str; 5], tokens: [u64; 2], usd: f64) -> Value {
    let [service, model, session, user, at] = of;
    json!({"service": service, "model": model, "input": tokens[0], "output": tokens[1], "usd": usd, "session": session, "user": user,
        "at": format!("2026-06-01 {at}")})
}

#[test]
fn spans_that_real_senders_sent_are_taken_from_files_in_protobuf() {
    let service = Service::start();
    let import = Import::new(&service);
    let recorded = project().join("tests/fixtures/dialects");
    for name in ["langfuse.binpb", "openinference.binpb", "litellm.binpb"] {
        import.text(name, &fs::read(recorded.join(name)).unwrap());
    }
    // the collector's file exporter writes the length before each message
    let message = fs::read(recorded.join("openllmetry.binpb")).unwrap();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    import.text("with_lengths.binpb", &[&length[..], &message, &length, &message].concat());
    let summary = import.summary(&import.files());
    assert_eq!((&summary["rejected"], &summary["files"]), (&json!(0), &json!(4)), "{summary}");
    let rows = "SELECT count() = uniqExact(TraceId, SpanId) AS is_once, count() > 10 AS are_many FROM otel_traces";
    import.becomes(rows, &json!([{"is_once": 1, "are_many": 1}]));
    let files = "SELECT uniqExact(ResourceAttributes['millrace.import.id']) AS files FROM otel_traces";
    import.becomes(files, &json!([{"files": 4}]));
}

#[test]
fn a_file_that_was_cut_off_or_compressed_is_read_as_far_as_it_goes() {
    let service = Service::start();
    let import = Import::new(&service);
    let message = fs::read(project().join("tests/fixtures/dialects/langfuse.binpb")).unwrap();
    let path = import.text("cut.pb", &message[..message.len() - 5]);
    let (code, said) = import.of(&path, &["--format", "otlp-protobuf"]);
    assert!(code == Some(3) && said.contains("cut.pb: line") && said.contains("cut off"), "{said}");
    let span = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "00000000000000000000000000000001",
        "spanId": "0000000000000001", "name": "zipped", "startTimeUnixNano": "1780272000000000000"}]}]}]});
    let packed = zstd::encode_all(format!("{span}\n").as_bytes(), 1).unwrap();
    let path = import.text("traces.jsonl.zst", &packed);
    assert_eq!(import.of(&path, &[]).0, Some(0));
    import.becomes("SELECT count() AS rows FROM otel_traces WHERE SpanName = 'zipped'", &json!([{"rows": 1}]));
}

#[test]
fn spend_logs_of_litellm_are_read_from_json_and_csv() {
    let service = Service::start();
    let import = Import::new(&service);
    let row = |id: &str, second: u64| {
        json!({"request_id": id, "call_type": "acompletion", "spend": 0.25, "total_tokens": 30, "prompt_tokens": 10,
            "completion_tokens": 20, "startTime": format!("2026-06-01T08:00:{second:02}.000Z"),
            "endTime": format!("2026-06-01T08:00:{:02}.000Z", second + 2), "completionStartTime": null, "model": "gpt-4o-mini",
            "custom_llm_provider": "openai", "end_user": "ana", "session_id": "s-1", "api_key": "sk-secret", "messages": {}, "response": {},
            "metadata": "{\"user_api_key_alias\": \"mill\"}", "status": "success", "request_tags": ["a"]})
    };
    import.text("spend.json", json!([row("r-1", 1), row("r-2", 2)]).to_string().as_bytes());
    let names = "request_id,call_type,spend,total_tokens,prompt_tokens,completion_tokens,startTime,endTime,model,custom_llm_provider,end_user,messages,response";
    let csv = format!(
        "{names}\nr-3,acompletion,0.5,7,3,4,2026-06-01 08:00:10.000,2026-06-01 08:00:11.500,gpt-4o-mini,openai,ben,\"[{{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"Hi\"\"}}]\",{{}}\n"
    );
    import.text("spend.csv", csv.as_bytes());
    import.takes(&import.files(), 3, 0);
    let calls = "SELECT Model AS model, InputTokens AS input, OutputTokens AS output, toFloat64(CostTotal) AS usd, CostSource AS source, \
                 UserId AS user, toString(toDateTime(Timestamp, 'UTC')) AS at, Duration / 1000000 AS ms FROM genai_calls ORDER BY at";
    let want = |user: &str, tokens: [u64; 2], usd: f64, at: &str, millis: u64| {
        json!({"model": "gpt-4o-mini", "input": tokens[0], "output": tokens[1], "usd": usd, "source": "caller", "user": user,
            "at": format!("2026-06-01 08:00:{at}"), "ms": millis})
    };
    import.becomes(
        calls,
        &json!([
            want("ana", [10, 20], 0.25, "01", 2000),
            want("ana", [10, 20], 0.25, "02", 2000),
            want("ben", [3, 4], 0.5, "10", 1500),
        ]),
    );
    let secrets = "SELECT count() AS rows FROM otel_traces WHERE toString(SpanAttributes) LIKE '%sk-secret%'";
    import.becomes(secrets, &json!([{"rows": 0}]));
}

#[test]
fn captured_calls_and_both_files_of_a_batch_are_joined_by_custom_id() {
    let service = Service::start();
    let import = Import::new(&service);
    let response = |id: &str| {
        json!({"id": id, "object": "chat.completion", "created": 1_780_272_000, "model": "gpt-4o-mini",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}})
    };
    let request = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Is it so?"}]});
    let captured = json!({"request": request, "response": response("c-1"), "session_id": "s-1", "started_at": "2026-06-01T00:00:05Z"});
    let path = import.file("calls.ndjson", &[captured, json!({"request": request, "response": 5})]);
    let (code, said) = import.of(&path, &[]);
    assert!(code == Some(3) && said.contains("calls.ndjson: line 2: response"), "{said}");
    let input = |id: &str| json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": request});
    // what came of it is the earlier file here
    import.file("batch/a_output.jsonl", &[
        json!({"id": "b-2", "custom_id": "two", "response": {"status_code": 200, "request_id": "q", "body": response("c-2")}, "error": null}),
        json!({"id": "b-3", "custom_id": "three", "response": {"status_code": 200, "body": response("c-3")}, "error": null}),
    ]);
    import.file("batch/b_input.jsonl", &[input("one"), input("two")]);
    import.file("batch/c_errors.jsonl", &[
        json!({"id": "b-1", "custom_id": "one", "response": null, "error": {"code": "batch_expired", "message": "too late"}}),
    ]);
    import.takes(&import.files().join("batch"), 2, 1);
    let why = import.rejects();
    assert!(why.iter().any(|it| it["reason"].as_str().unwrap().contains("\"three\" has no request")), "{why:?}");
    let calls = "SELECT ResponseId AS id, IsError AS failed, ServiceTier AS tier, OutputTokens AS output FROM otel_traces ORDER BY id";
    let calls = calls.replace("IsError AS failed", "StatusCode = 'Error' AS failed");
    import.becomes(
        &calls,
        &json!([
            {"id": "", "failed": 1, "tier": "", "output": null},
            {"id": "c-1", "failed": 0, "tier": "", "output": 2},
            {"id": "c-2", "failed": 0, "tier": "batch", "output": 2},
        ]),
    );
    let (code, said) = import.run(&["undo", path.to_str().unwrap()]);
    assert!(code == Some(0) && said.contains("1 import, 1 row removed"), "{said}");
}

#[test]
fn exports_of_langfuse_langsmith_helicone_and_phoenix_are_read() {
    let service = Service::start();
    let import = Import::new(&service);
    let observation = |id: &str, parent: &str, kind: &str, more: &Value| {
        let mut row = json!({"id": id, "trace_id": "langfuse-trace", "parent_observation_id": parent, "type": kind, "name": id, "level": "DEFAULT",
            "start_time": "2026-06-01 01:00:00.500000", "end_time": "2026-06-01 01:00:02.000000", "session_id": "s-lf", "user_id": "ana"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let generation = json!({"provided_model_name": "gpt-4o-mini", "usage_details": {"input": 10, "output": 5, "total": 15},
        "cost_details": {"total": 0.125}, "input": "[{\"role\":\"user\",\"content\":\"Hi\"}]", "output": "{\"role\":\"assistant\",\"content\":\"Ho\"}"});
    import.file(
        "langfuse.jsonl",
        &[
            observation("root", "", "SPAN", &json!({"level": "ERROR", "status_message": "late"})),
            observation("gen", "root", "GENERATION", &generation),
        ],
    );
    let runs = json!([
        {"id": "0198c0de-0000-7000-8000-000000000001", "name": "agent", "run_type": "chain", "trace_id": "0198c0de-0000-7000-8000-000000000001",
            "start_time": "2026-06-01T02:00:00.000000", "end_time": "2026-06-01T02:00:03", "inputs": {"q": 1}, "outputs": {}},
        {"id": "0198c0de-0000-7000-8000-000000000002", "name": "ChatOpenAI", "run_type": "llm", "trace_id": "0198c0de-0000-7000-8000-000000000001",
            "parent_run_id": "0198c0de-0000-7000-8000-000000000001", "start_time": "2026-06-01T02:00:01", "end_time": "2026-06-01T02:00:02",
            "extra": {"metadata": {"ls_model_name": "gpt-4o-mini", "ls_provider": "openai", "session_id": "s-ls", "user_id": "ben"}},
            "inputs": {"messages": [{"role": "user", "content": "Hi"}]}, "outputs": {}, "prompt_tokens": 7, "completion_tokens": 3, "total_cost": 0.5}
    ]);
    import.text("langsmith.json", runs.to_string().as_bytes());
    let helicone = json!({"providerRequest": {"url": "https://example.com", "meta": {"Helicone-User-Id": "cy", "Helicone-Session-Id": "s-h"},
            "json": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}},
        "providerResponse": {"status": 200, "headers": {}, "json": {"id": "h-1", "object": "chat.completion", "created": 1_780_282_800, "model": "gpt-4o-mini",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Ho"}}],
            "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}}},
        "timing": {"startTime": {"seconds": 1_780_282_800, "milliseconds": 0}, "endTime": {"seconds": 1_780_282_801, "milliseconds": 0}}});
    import.file("helicone.jsonl", &[helicone]);
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = json!({"trace_id": "0000000000000000000000000000000a", "span_id": "000000000000000b", "name": "llm",
        "start_time_unix_nano": "1780286400000000000", "end_time_unix_nano": "1780286401000000000",
        "attributes": [text("openinference.span.kind", "LLM"), text("llm.model_name", "gpt-4o-mini"), text("session.id", "s-p"),
            text("user.id", "dan"), {"key": "llm.token_count.prompt", "value": {"intValue": 8}},
            {"key": "llm.token_count.completion", "value": {"intValue": 1}}, {"key": "llm.cost.total", "value": {"doubleValue": 0.75}}]});
    import.text("phoenix.json", json!({"data": [span], "next_cursor": null}).to_string().as_bytes());
    import.takes(&import.files(), 6, 0);
    let rows = service.sql();
    let want = json!([
        call(["langfuse", "gpt-4o-mini", "s-lf", "ana", "01:00:00"], [10, 5], 0.125),
        call(["langsmith", "gpt-4o-mini", "s-ls", "ben", "02:00:01"], [7, 3], 0.5),
        call(["phoenix", "gpt-4o-mini", "s-p", "dan", "04:00:00"], [8, 1], 0.75),
    ]);
    rows.becomes(
        &CALLS.replace("ORDER BY", "WHERE ServiceName != 'unknown_service' ORDER BY"),
        &[],
        want.as_array().unwrap(),
    );
    let helicone = "SELECT UserId AS user, InputTokens AS input, OutputTokens AS output FROM genai_calls WHERE ServiceName = 'unknown_service'";
    import.becomes(helicone, &json!([{"user": "cy", "input": 4, "output": 2}]));
    let said = "SELECT JSONExtractString(JSONExtractArrayRaw(OutputMessages)[1], 'parts', 1, 'content') AS said FROM genai_calls_with_content \
                WHERE ServiceName = 'langfuse'";
    import.becomes(said, &json!([{"said": "Ho"}]));
    let failed = "SELECT SpanName AS name, StatusMessage AS why FROM otel_traces WHERE StatusCode = 'Error'";
    import.becomes(failed, &json!([{"name": "root", "why": "late"}]));
}

#[test]
fn scores_of_langfuse_and_feedback_of_langsmith_become_evaluator_results_and_go_again() {
    let service = Service::start();
    let import = Import::new(&service);
    let score = |name: &str, more: &Value| {
        let mut row = json!({"id": format!("s-{name}"), "timestamp": "2026-06-01 01:00:03", "trace_id": "langfuse-trace", "observation_id": "gen",
            "name": name, "value": 0.5, "data_type": "NUMERIC", "source": "API", "comment": "so so"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let kind = json!({"data_type": "CATEGORICAL", "value": 1, "string_value": "polite", "comment": null});
    import.file(
        "scores.jsonl",
        &[
            score("helpful", &json!({})),
            score("tone", &kind),
            score("whole", &json!({"observation_id": null})),
            score("session", &json!({"observation_id": null, "trace_id": null, "session_id": "s-9", "value": 0.25})),
            score("run", &json!({"observation_id": null, "trace_id": null, "dataset_run_id": "r"})),
            score("empty", &json!({"value": null})),
        ],
    );
    let run = "0198c0de-0000-7000-8000-000000000002";
    let trace = "0198c0de-0000-7000-8000-000000000001";
    import.file(
        "langsmith.jsonl",
        &[json!({"id": run, "name": "ChatOpenAI", "run_type": "llm", "trace_id": trace, "start_time": "2026-06-01T02:00:01",
            "end_time": "2026-06-01T02:00:02", "inputs": {}, "outputs": {}, "feedback_stats": {"correct": {"n": 2, "avg": 0.75}}})],
    );
    import.file(
        "feedback.jsonl",
        &[
            json!({"id": "f", "run_id": run, "trace_id": trace, "key": "grade", "score": true, "value": null, "comment": "yes",
                "created_at": "2026-06-01T03:00:00"}),
            json!({"id": "g", "run_id": run, "key": "lost", "score": 1, "created_at": "2026-06-01T03:00:00"}),
        ],
    );
    let summary = import.takes(&import.files(), 7, 2);
    assert_eq!(summary["others"]["score of a dataset run"], 1, "{summary}");
    let results = "SELECT Name AS name, DataType AS type, Value AS value, StringValue AS label, Comment AS why, CreatedBy AS by FROM genai_evaluator_results ORDER BY Name";
    let result = |[name, of_type]: [&str; 2], value: Value, label: &str, why: &str, by: &str| json!({"name": name, "type": of_type, "value": value, "label": label, "why": why, "by": by});
    import.becomes(
        results,
        &json!([
            result(["correct", "NUMERIC"], json!(0.75), "", "", "langsmith"),
            result(["grade", "BOOLEAN"], json!(1), "", "yes", "langsmith"),
            result(["helpful", "NUMERIC"], json!(0.5), "", "so so", "langfuse"),
            result(["session", "NUMERIC"], json!(0.25), "", "so so", "langfuse"),
            result(["tone", "CATEGORICAL"], Value::Null, "polite", "", "langfuse"),
            result(["whole", "NUMERIC"], json!(0.5), "", "so so", "langfuse"),
        ]),
    );
    whole_ones_are_of_no_span(&import);
    // they are of the spans that runs and observations become
    let joined = "SELECT count() AS rows FROM genai_evaluator_results AS r INNER JOIN otel_traces AS t ON r.TraceId = t.TraceId AND r.SpanId = t.SpanId";
    import.becomes(joined, &json!([{"rows": 2}]));
    // one of the same name about the same span that came later by another way takes its place, and stays
    let grade = "SELECT TraceId, SpanId FROM genai_evaluator_results WHERE Name = 'grade'";
    let span = service.sql().rows(grade, &[]).remove(0);
    assert_eq!(post_json(&service.http("/v1/logs"), &graded(&span)).status, 200);
    import.becomes(
        "SELECT argMax(Value, Version) AS value FROM genai_evaluator_results WHERE Name = 'grade'",
        &json!([{"value": 0.25}]),
    );
    let (code, said) = import.run(&["undo", import.files().to_str().unwrap()]);
    assert!(code == Some(0) && said.contains("3 imports"), "{said}");
    import.becomes(
        "SELECT Name AS name, Value AS value FROM genai_evaluator_results",
        &json!([{"name": "grade", "value": 0.25}]),
    );
}

/// Scores of a whole session or trace are results of no span.
fn whole_ones_are_of_no_span(import: &Import<'_>) {
    let session = "SELECT Name AS name, TraceId AS trace, SessionId AS session FROM genai_evaluator_results WHERE SpanId = '' ORDER BY Name";
    let trace = import.rows("SELECT DISTINCT TraceId FROM genai_evaluator_results WHERE Name = 'helpful'").remove(0);
    let trace = trace["TraceId"].as_str().unwrap();
    let whole = json!({"name": "whole", "trace": trace, "session": format!("session-{trace}")});
    import.becomes(session, &json!([{"name": "session", "trace": "", "session": "s-9"}, whole]));
}

/// A log record that gives a span the score `grade` of 0.25.
fn graded(span: &Value) -> Value {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let value = json!({"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.25}});
    let record = json!({"timeUnixNano": "1780290000000000000", "eventName": "gen_ai.evaluation.result", "traceId": span["TraceId"], "spanId": span["SpanId"],
        "attributes": [text("gen_ai.evaluation.name", "grade"), value]});
    json!({"resourceLogs": [{"resource": {"attributes": [text("service.name", "live")]}, "scopeLogs": [{"logRecords": [record]}]}]})
}

/// An attribute of OTLP/JSON.
fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// A request with a span that reports three evaluations in an event with a time, an event without one, and an attribute.
fn judged(import: Option<&str>) -> Value {
    let event = |at: &str, name: &str| {
        let said = [text("gen_ai.evaluation.name", name), text("gen_ai.evaluation.score.value", "0.5")];
        json!({"timeUnixNano": at, "name": "gen_ai.evaluation.result", "attributes": said})
    };
    let attributes = [text("evaluations.0.evaluation.name", "tone"), text("evaluations.0.evaluation.label", "kind")];
    let span = json!({"traceId": "0a".repeat(16), "spanId": "0b".repeat(8), "name": "n", "kind": 1,
        "startTimeUnixNano": "1780290000000000000", "endTimeUnixNano": "1780290002000000000", "attributes": attributes,
        "events": [event("1780290001000000000", "right"), event("0", "safe")]});
    let resource: Vec<Value> =
        [text("service.name", "judge")].into_iter().chain(import.map(|id| text("millrace.import.id", id))).collect();
    json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": [span]}]}]})
}

/// A request with a log record that reports an evaluation as older SDKs do: the event's name is an attribute.
fn judged_by_log(import: Option<&str>) -> Value {
    let said = [
        text("event.name", "gen_ai.evaluation.result"),
        text("gen_ai.evaluation.name", "old"),
        text("gen_ai.evaluation.score.value", "1"),
    ];
    let record = json!({"timeUnixNano": "1780290000000000000", "traceId": "0a".repeat(16), "spanId": "0b".repeat(8), "attributes": said});
    let resource: Vec<Value> =
        [text("service.name", "judge")].into_iter().chain(import.map(|id| text("millrace.import.id", id))).collect();
    json!({"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [{"logRecords": [record]}]}]})
}

#[test]
fn undo_removes_what_rows_of_an_import_reported_and_nothing_of_another_workspace() {
    let service = Service::start();
    let import = Import::new(&service);
    import.file("spans.jsonl", &[judged(None)]);
    import.file("logs.jsonl", &[judged_by_log(None)]);
    let summary = import.summary(&import.files());
    assert_eq!((&summary["accepted"], &summary["rejected"]), (&json!(2), &json!(0)), "{summary}");
    let ids = "SELECT ResourceAttributes['millrace.import.id'] AS id FROM (SELECT ResourceAttributes FROM otel_traces UNION ALL \
               SELECT ResourceAttributes FROM otel_logs)";
    let ids =
        support::wait_until("both are stored", || Some(service.sql().rows(ids, &[])).filter(|rows| rows.len() == 2));
    // somebody else says that rows of another workspace are of these imports
    let headers =
        [("content-type", "application/json"), ("x-millrace-workspace", "other"), ("x-millrace-ack", "stored")];
    for id in ids.iter().map(|row| row["id"].as_str().unwrap()) {
        for (path, body) in [("/v1/traces", judged(Some(id))), ("/v1/logs", judged_by_log(Some(id)))] {
            let answer = support::http::send("POST", &service.http(path), &headers, body.to_string().as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    let results = "SELECT Workspace AS workspace, arraySort(groupUniqArray(Name)) AS names FROM genai_evaluator_results GROUP BY Workspace ORDER BY Workspace";
    let of = |workspace: &str| json!({"workspace": workspace, "names": ["old", "right", "safe", "tone"]});
    import.becomes(results, &json!([of("default"), of("other")]));
    let (code, said) = import.run(&["undo", import.files().to_str().unwrap()]);
    assert!(code == Some(0) && said.contains("2 imports, 2 rows removed"), "{said}");
    import.becomes(results, &json!([of("other")]));
    let rows = "SELECT DISTINCT Workspace AS workspace FROM (SELECT Workspace FROM otel_traces UNION ALL SELECT Workspace FROM otel_logs)";
    import.becomes(rows, &json!([{"workspace": "other"}]));

    // without a checkpoint, a person says where the rows are
    let id = ids[0]["id"].as_str().unwrap();
    let (code, said) = import.run(&["undo", "--dry-run", id]);
    assert!(code == Some(0) && said.contains("1 import, 0 rows to be removed"), "{said}");
    let (code, said) = import.run(&["undo", "--dry-run", "--workspace", "other", id]);
    assert!(code == Some(0) && !said.contains(" 0 rows"), "{said}");
    // and rows of another workspace do not keep a file from being imported
    let summary = import.summary(&import.files());
    assert_eq!(summary["accepted"], 2, "{summary}");
}

#[test]
fn undo_removes_more_results_than_are_read_at_once() {
    let service = Service::start();
    let import = Import::new(&service);
    let results = 5_500;
    let record = |number: u64| {
        let value = json!({"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 1}});
        json!({"timeUnixNano": "1780290000000000000", "eventName": "gen_ai.evaluation.result", "traceId": format!("{:032x}", number + 1),
            "spanId": "0b".repeat(8), "attributes": [text("gen_ai.evaluation.name", "grade"), value]})
    };
    let records: Vec<Value> = (0..results).map(record).collect();
    let lines = records.chunks(500).map(|some| json!({"resourceLogs": [{"scopeLogs": [{"logRecords": some}]}]}));
    let path = import.file("logs.jsonl", &lines.collect::<Vec<_>>());
    import.takes(&path, results, 0);
    let count = "SELECT count() AS rows FROM genai_evaluator_results";
    import.becomes(count, &json!([{"rows": results}]));
    let (code, said) = import.run(&["undo", path.to_str().unwrap()]);
    assert!(code == Some(0) && said.contains(&format!("1 import, {results} rows removed")), "{said}");
    import.becomes(count, &json!([{"rows": 0}]));
}

#[test]
fn content_is_left_out_where_that_is_asked_for() {
    let service = Service::start();
    let import = Import::new(&service);
    let row = json!({"id": "gen", "trace_id": "t", "type": "GENERATION", "name": "gen", "start_time": "2026-06-01 01:00:00", "input": "secret words",
        "output": "more secret words", "metadata": {"note": "secret words"}, "usage_details": {"input": 1, "output": 2}});
    let path = import.file("langfuse.jsonl", &[row]);
    assert_eq!(import.of(&path, &["--drop-content"]).0, Some(0));
    let kept = "SELECT count() AS rows, countIf(concat(toString(SpanAttributes), toString(ContentAttributes), InputMessages, OutputMessages) \
                LIKE '%secret%') AS secret, sum(OutputTokens) AS output FROM otel_traces";
    import.becomes(kept, &json!([{"rows": 1, "secret": 0, "output": 2}]));
    // what cannot be left out is not sent
    let path = import.file("calls.ndjson", &[json!({"request": {}, "response": {}})]);
    let (code, said) = import.of(&path, &["--drop-content"]);
    assert!(code == Some(1) && said.contains("genai.content"), "{said}");
}

#[test]
fn trajectories_are_imported_by_the_document_and_go_again() {
    let service = Service::start();
    let import = Import::new(&service);
    let trajectory = json!({"schema_version": "ATIF-v1.4", "session_id": "atif-1", "agent": {"name": "miller", "version": "1", "model_name": "gpt-4o-mini"},
    "steps": [
        {"step_id": 1, "timestamp": "2026-06-01T00:00:00Z", "source": "user", "message": "Grind"},
        {"step_id": 2, "timestamp": "2026-06-01T00:00:02Z", "source": "agent", "message": "Ground.",
            "metrics": {"prompt_tokens": 10, "completion_tokens": 3, "cached_tokens": 4}},
    ], "extra": {"verifier_result": {"rewards": {"reward": 1, "is_clean": true}}}});
    // a document over several lines, and one that is none
    let path = import.text("job/trajectory.json", serde_json::to_string_pretty(&trajectory).unwrap().as_bytes());
    import.file("job/broken.jsonl", &[json!({"schema_version": "ATIF-v1.4", "agent": {"name": "x"}, "steps": 5})]);
    import.takes(&import.files(), 1, 1);
    assert!(import.rejects()[0]["reason"].as_str().unwrap().contains("steps"), "{:?}", import.rejects());
    let calls = "SELECT Model AS model, InputTokens AS input, OutputTokens AS output, CacheReadTokens AS cached FROM genai_calls";
    import.becomes(calls, &json!([{"model": "gpt-4o-mini", "input": 10, "output": 3, "cached": 4}]));
    let results = "SELECT arraySort(groupArray(Name)) AS names FROM genai_evaluator_results";
    import.becomes(results, &json!([{"names": ["is_clean", "reward"]}]));
    let (code, said) = import.run(&["undo", path.to_str().unwrap()]);
    assert!(code == Some(0) && said.contains("1 import") && !said.contains(" 0 rows"), "{said}");
    import.becomes("SELECT count() AS rows FROM otel_traces", &json!([{"rows": 0}]));
    import.becomes(results, &json!([{"names": []}]));
}
