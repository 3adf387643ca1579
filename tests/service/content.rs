//! Content (messages, prompts) is kept apart from attributes: filters do not read it, and who wants everything finds it.

use millrace::time::Clock;
use serde_json::{Value, json};

use support::http::{self, post_json};
use support::{Options, Service, wait_until};

const SPANS: usize = 40;
/// Letters that do not repeat, so that what is read is what is stored.
const MESSAGE_BYTES: usize = 20_000;

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn message(number: usize) -> String {
    let mut state = number as u64 + 1;
    let letter = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((*state >> 40) % 26).expect("a letter"))
    };
    let text: String = (0..MESSAGE_BYTES).map(|_| letter(&mut state)).collect();
    json!([{"role": "user", "parts": [{"type": "text", "content": text}]}]).to_string()
}

fn span(number: usize) -> Value {
    let is_call = number.is_multiple_of(2);
    let mut attributes = vec![attribute("number", &number.to_string())];
    if is_call {
        attributes.push(attribute("gen_ai.operation.name", "chat"));
        attributes.push(attribute("gen_ai.input.messages", &message(number)));
        attributes.push(attribute("gen_ai.tool.call.arguments", &message(number)));
    }
    json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": format!("{:016x}", number + 1), "name": "s",
        "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000000005", "attributes": attributes,
    })
}

/// Bytes that a query read, as ClickHouse says itself.
fn bytes_read(service: &Service, query: &str) -> usize {
    let answer = http::send("POST", &format!("{}/?wait_end_of_query=1", service.sql().url), &[], query.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let summary: Value = serde_json::from_str(answer.header("x-clickhouse-summary")).expect("a summary");
    summary.get("read_bytes").and_then(Value::as_str).and_then(|bytes| bytes.parse().ok()).expect("a number")
}

#[test]
fn a_filter_on_attributes_does_not_read_messages_and_all_attributes_has_them() {
    let service = Service::start();
    let spans: Vec<Value> = (0..SPANS).map(span).collect();
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
    assert_eq!(post_json(&service.http("/v1/traces"), &request).status, 200);
    let stored = || service.sql().try_rows("SELECT count() AS n FROM otel.otel_traces", &[]).ok()?.pop();
    wait_until("all is stored", || (stored()? == json!({"n": SPANS})).then_some(()));

    let content = SPANS / 2 * MESSAGE_BYTES;
    let filter = "SELECT count() FROM otel.otel_traces WHERE SpanAttributes['number'] = '7'";
    let read = bytes_read(&service, filter);
    assert!(read < content / 10, "{read} bytes read, and there are {content} of content");
    let everything = "SELECT count() FROM otel.otel_traces WHERE AllAttributes['gen_ai.input.messages'] LIKE '%qqq%'";
    assert!(bytes_read(&service, everything) > content, "that does read it");

    let query = "SELECT AllAttributes, mapKeys(SpanAttributes) AS kept, Operation, InputMessages != '' AS has_messages, TotalTokens \
                 FROM otel.otel_traces ORDER BY toUInt64(SpanAttributes['number'])";
    for (number, row) in service.sql().rows(query, &[]).iter().enumerate() {
        let mut want = json!({"number": number.to_string()});
        let mut kept = vec!["number"];
        let is_call = number.is_multiple_of(2);
        if is_call {
            want["gen_ai.operation.name"] = "chat".into();
            want["gen_ai.input.messages"] = message(number).into();
            want["gen_ai.tool.call.arguments"] = message(number).into();
            kept.push("gen_ai.operation.name");
        }
        assert_eq!((&row["AllAttributes"], &row["kept"]), (&want, &json!(kept)), "span {number}");
        let operation = if is_call { "chat" } else { "" };
        assert_eq!((&row["Operation"], &row["has_messages"]), (&json!(operation), &json!(u8::from(is_call))));
        assert_eq!(row["TotalTokens"], Value::Null, "unknown is not 0");
    }
}

#[test]
fn a_block_that_leaves_out_a_column_says_that_it_is_empty_and_the_tables_default_is_not_computed_for_it() {
    let service = Service::start();
    let sql = service.sql();
    sql.rows("ALTER TABLE otel_traces MODIFY COLUMN InputPreview DEFAULT concat('computed of ', SpanName)", &[]);
    let spans = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span(1)]}]}]});
    assert_eq!(post_json(&service.http("/v1/traces"), &spans).status, 200);
    let stored = || sql.try_rows("SELECT InputPreview, Workspace FROM otel_traces", &[]).ok()?.pop();
    let row = wait_until("the span is stored", stored);
    assert_eq!(row, json!({"InputPreview": "", "Workspace": "default"}));
    // as a segment of an earlier version, whose insert does not name the column
    sql.rows("INSERT INTO otel_traces (Timestamp, SpanName) VALUES (now(), 'earlier')", &[]);
    let earlier = sql.rows("SELECT InputPreview FROM otel_traces WHERE SpanName = 'earlier'", &[]);
    assert_eq!(earlier, [json!({"InputPreview": "computed of earlier"})]);
}

/// A text of prompts and answers that no column may have when content is dropped, and only content columns otherwise.
const MARKER: &str = "a secret of the diary";

/// Sends the marker through every way that content may take: attributes and events of spans, log records, captured calls.
fn send_marked(service: &Service) {
    let messages = json!([{"role": "user", "parts": [{"type": "text", "content": MARKER}]}]).to_string();
    let keys = [
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.definitions",
        "input.value",
        "llm.input_messages.0.message.content",
        "gen_ai.prompt.0.content",
        "gen_ai.tool.call.arguments",
        "mastra.agent_run.input",
        "user_prompt",
    ];
    let mut attributes: Vec<Value> = keys.iter().map(|key| attribute(key, &messages)).collect();
    attributes.push(attribute("gen_ai.system_instructions", MARKER));
    attributes.push(attribute("gen_ai.operation.name", "chat"));
    let start = u64::try_from(Clock::System.now().nanos()).expect("it is after 1970");
    let span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "00000000000000a1", "name": "s",
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 5).to_string(), "attributes": attributes,
    });
    let event = |name: &str, key: &str| json!({"timeUnixNano": start.to_string(), "name": name, "attributes": [attribute(key, MARKER)]});
    let events =
        [event("gen_ai.user.message", "content"), event("gen_ai.choice", "message"), event("tool.output", "output")];
    let with_events = json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "00000000000000a2", "name": "s", "events": events,
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 5).to_string(), "attributes": [attribute("gen_ai.operation.name", "chat")],
    });
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span, with_events]}]}]});
    assert_eq!(post_json(&service.http("/v1/traces"), &request).status, 200);
    let record = |name: &str, key: &str| {
        let body = json!({"stringValue": if name.starts_with("gen_ai.") { MARKER } else { "" }});
        json!({"timeUnixNano": start.to_string(), "body": body, "attributes": [attribute("event.name", name), attribute(key, MARKER)]})
    };
    let records = [
        record("claude_code.user_prompt", "prompt"),
        record("codex.tool_result", "output"),
        record("gemini_cli.api_response", "response_text"),
        record("gen_ai.user.message", "gen_ai.input.messages"),
    ];
    let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]});
    assert_eq!(post_json(&service.http("/v1/logs"), &request).status, 200);
    let call = json!({"request": {"model": "m", "messages": [{"role": "user", "content": MARKER}], "documents": [{"text": MARKER}], "unknown": {"text": MARKER}},
        "response": {"choices": [{"index": 0, "message": {"role": "assistant", "content": MARKER}, "finish_reason": "stop"}]}});
    let path = "/apis/intake/v2/workspaces/default/ingest/chat-completions";
    assert_eq!(post_json(&service.http(path), &call).status, 201);
}

/// The columns of both tables that have the marker in some row, once all that was sent is stored.
fn marked_columns(service: &Service) -> Vec<String> {
    let sql = service.sql();
    wait_until("all is stored", || {
        let spans = sql.try_rows("SELECT count() AS n FROM otel_traces", &[]).ok()?;
        let logs = sql.try_rows("SELECT count() AS n FROM otel_logs", &[]).ok()?;
        (spans == [json!({"n": 6})] && logs == [json!({"n": 4})]).then_some(())
    });
    let names = "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND table IN ('otel_traces', 'otel_logs') \
                 AND default_kind NOT IN ('ALIAS', 'EPHEMERAL')";
    let has = |table: &str, name: &str| {
        let query = format!("SELECT count() AS n FROM {table} WHERE position(toString(`{name}`), '{MARKER}') > 0");
        sql.rows(&query, &[]) != [json!({"n": 0})]
    };
    let columns = sql.rows(names, &[]);
    let text = |row: &Value, key: &str| row[key].as_str().expect("a text").to_owned();
    columns.iter().filter(|row| has(&text(row, "table"), &text(row, "name"))).map(|row| text(row, "name")).collect()
}

#[test]
fn content_is_in_content_columns_alone() {
    let service = Service::start();
    send_marked(&service);
    let allowed = [
        "InputMessages",
        "OutputMessages",
        "ToolDefinitions",
        "SystemPrompt",
        "ContentAttributes",
        "InputPreview",
        "OutputPreview",
        "RawRequest",
        "RawResponse",
    ];
    let marked = marked_columns(&service);
    assert!(marked.contains(&"InputMessages".to_owned()), "it is kept: {marked:?}");
    assert!(marked.iter().all(|name| allowed.contains(&name.as_str())), "{marked:?}");
}

#[test]
fn keys_that_are_configured_as_content_are_kept_apart() {
    let service =
        Service::start_with(Options { yaml: "genai: { content_keys: [\"app.*\"] }".to_owned(), ..Options::default() });
    let start = u64::try_from(Clock::System.now().nanos()).expect("it is after 1970").to_string();
    let attributes =
        [attribute("app.prompt", MARKER), attribute("apt", "kept"), attribute("gen_ai.tool.call.result", "known")];
    let span = json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "00000000000000a1", "name": "s",
        "startTimeUnixNano": start, "endTimeUnixNano": start, "attributes": attributes});
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    assert_eq!(post_json(&service.http("/v1/traces"), &request).status, 200);
    let record = json!({"timeUnixNano": start, "attributes": attributes});
    let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]});
    assert_eq!(post_json(&service.http("/v1/logs"), &request).status, 200);
    let content = json!({"gen_ai.tool.call.result": "known", "app.prompt": MARKER});
    let want = json!({"attributes": {"apt": "kept"}, "content": content});
    for (table, map) in [("otel_traces", "SpanAttributes"), ("otel_logs", "LogAttributes")] {
        let query = format!("SELECT {map} AS attributes, ContentAttributes AS content FROM {table}");
        let rows =
            wait_until("it is stored", || service.sql().try_rows(&query, &[]).ok().filter(|rows| !rows.is_empty()));
        assert_eq!(rows, std::slice::from_ref(&want), "{table}");
    }
}

#[test]
fn content_that_is_dropped_is_written_nowhere() {
    let service = Service::start_with(Options { yaml: "genai: { content: drop }".to_owned(), ..Options::default() });
    send_marked(&service);
    assert_eq!(marked_columns(&service), Vec::<String>::new());
}
