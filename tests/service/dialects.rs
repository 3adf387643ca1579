//! One conversation, as each instrumentation tells of it, gives the same typed columns.
//!
//! ```text
//! tests/fixtures/dialects/NAME.binpb   what NAME exported once        replayed in every run
//! tests/clients/dialects.py NAME       NAME itself, unmodified        driven live, but for LiteLLM (make test-litellm)
//! ```
//!
//! The service's name of every span is the dialect's. What a dialect does not send, or says in its own way, is in
//! [`exceptions`] with the reason; an exception that is no longer needed fails the test.

use std::fs;
use std::thread;

use serde_json::{Value, json};

use crate::chat_stored::assert_previews_are_what_sql_makes_of_the_messages;
use crate::rows::text as text_of;
use support::clients::{client, run};
use support::{Service, http, project, wait_until};

const IN_PYTHON: &[&str] = &[
    "openai-v2",
    "openai-v2-default",
    "genai-openai",
    "openinference",
    "openllmetry",
    "openllmetry-old",
    "pydantic-ai",
];
const IN_NODE: &[&str] = &["ai-sdk-5", "ai-sdk-6", "ai-sdk-7"];
const OF_LITELLM: &[&str] = &["litellm", "litellm-latest", "litellm-v2"];

/// What the spans did that a dialect makes besides those of the three model calls.
fn other_operations(dialect: &str) -> &'static [&'static str] {
    match dialect {
        // the helper that names the conversation
        "genai-openai" => &["invoke_workflow"],
        // these run the tool themselves, in two runs of an agent
        "pydantic-ai" | "ai-sdk-5" | "ai-sdk-6" => &["execute_tool", "invoke_agent", "invoke_agent"],
        // the same, and a step around each call
        "ai-sdk-7" => &["agent_step", "agent_step", "agent_step", "execute_tool", "invoke_agent", "invoke_agent"],
        // the request as the provider got it: it must not count as a second call
        "litellm" => &["", "", ""],
        _ => &[],
    }
}

const SYSTEM: &str = "You answer questions about the weather in one sentence.";

#[test]
fn what_each_instrumentation_exported_gives_the_same_typed_columns() {
    let service = Service::start();
    for dialect in [IN_PYTHON, IN_NODE, OF_LITELLM].concat() {
        let bytes = fs::read(project().join(format!("tests/fixtures/dialects/{dialect}.binpb"))).expect("recorded");
        let headers = [("content-type", "application/x-protobuf")];
        let answer = http::send("POST", &service.http("/v1/traces"), &headers, &bytes);
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{dialect}: all of it is accepted");
    }
    assert_typed(&service, &[IN_PYTHON, IN_NODE, OF_LITELLM].concat());
}

#[test]
fn the_python_instrumentations_of_today_give_the_same_typed_columns() {
    assert_driven("venv", IN_PYTHON);
}

/// Its spans say nothing of the messages: each is a log record of its own.
#[test]
fn the_messages_that_openai_v2_writes_as_log_records_are_those_of_its_calls() {
    let service = Service::start();
    let (dialect, sql) = ("openai-v2-events", service.sql());
    run(&mut client("venv", "dialects.py", &["drive", dialect, &service.http("/v1/traces")]));
    let query = "SELECT InputMessages, OutputMessages, SystemPrompt, InputTokens, ReportedBy FROM genai_calls_with_content ORDER BY Timestamp";
    let rows = wait_until("all that is said of the calls is there", || {
        let rows = sql.try_rows(query, &[]).ok()?;
        let are_whole = rows.iter().all(|row| row["InputMessages"] != "" && row["OutputMessages"] != "");
        (rows.len() == 3 && are_whole).then_some(rows)
    });
    for (row, want) in rows.iter().zip(conversation()) {
        let [input, output] = ["InputMessages", "OutputMessages"]
            .map(|column| -> Value { serde_json::from_str(text_of(row, column)).expect("it is JSON") });
        assert_eq!((&input, &output), (&want["InputMessages"], &want["OutputMessages"]));
        assert_eq!([&row["SystemPrompt"], &row["InputTokens"]], [&want["SystemPrompt"], &want["InputTokens"]]);
        assert_eq!(row["ReportedBy"], json!(["event", "span"]));
    }
    // each message is a log record too
    sql.becomes("SELECT uniqExact(EventName) AS names FROM otel_logs", &[], &[json!({"names": 5})]);
}

#[test]
fn the_ai_sdk_of_today_gives_the_same_typed_columns() {
    assert_driven("venv", IN_NODE);
}

#[test]
#[cfg(feature = "litellm")]
fn litellm_of_today_gives_the_same_typed_columns() {
    assert_driven("venv-litellm", OF_LITELLM);
}

fn assert_driven(venv: &str, dialects: &[&str]) {
    let service = Service::start();
    thread::scope(|scope| {
        for dialect in dialects {
            scope.spawn(|| run(&mut client(venv, "dialects.py", &["drive", dialect, &service.http("/v1/traces")])));
        }
    });
    assert_typed(&service, dialects);
}

/// Every difference is shown, not the first alone: a change of the rules shows in many dialects.
fn assert_typed(service: &Service, dialects: &[&str]) {
    let [call, ..] = conversation();
    for exception in exceptions() {
        assert!(call.get(exception.column).is_some(), "{} is no column of the conversation", exception.column);
    }
    let differences: Vec<String> = dialects.iter().flat_map(|dialect| differences(service, dialect)).collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    assert_previews_are_what_sql_makes_of_the_messages(&service.sql(), 2 * dialects.len());
}

fn differences(service: &Service, dialect: &str) -> Vec<String> {
    let others = other_operations(dialect);
    wait_until("all spans are stored", || {
        let rows =
            service.sql().try_rows("SELECT SpanId FROM otel_traces WHERE ServiceName = {d:String}", &[("d", dialect)]);
        rows.is_ok_and(|rows| rows.len() >= 3 + others.len()).then_some(())
    });
    let mut found = differences_of_calls(service, dialect);
    let sql = service.sql();
    let operations = texts(&sql.rows(OTHER_OPERATIONS, &[("dialect", dialect)]), "Operation");
    if operations != others {
        found.push(format!("{dialect}: besides the calls there is {operations:?}, not {others:?}"));
    }
    let tool =
        json!({"ToolName": "get_weather", "ToolCallId": "call_weather_1", "SessionId": "session-7", "UserId": "ana"});
    let ran = sql.rows(TOOL_SPANS, &[("dialect", dialect)]);
    if ran.iter().any(|row| *row != tool) {
        found.push(format!("{dialect}: the tool's span has {ran:?}"));
    }
    let read = texts(&sql.rows(CONTENT_AMONG_ATTRIBUTES, &[("dialect", dialect)]), "Key");
    if !read.is_empty() {
        found.push(format!("{dialect}: what was said is read by every filter on attributes, in {read:?}"));
    }
    found
}

fn texts(rows: &[Value], column: &str) -> Vec<String> {
    rows.iter().map(|row| text_of(row, column).to_owned()).collect()
}

fn differences_of_calls(service: &Service, dialect: &str) -> Vec<String> {
    let rows = calls_of(service, dialect);
    let exceptions: Vec<Exception> = exceptions().into_iter().filter(|it| it.dialects.contains(&dialect)).collect();
    let mut found = Vec::new();
    if rows.len() != 3 {
        found.push(format!("{dialect}: {} model calls, not 3", rows.len()));
    }
    for (number, (row, common)) in rows.iter().zip(conversation()).enumerate() {
        for (column, common) in common.as_object().expect("an object") {
            let mut fitting = exceptions.iter().filter(|it| it.column == column && it.calls.contains(&(number + 1)));
            let exception = fitting.next();
            assert!(fitting.next().is_none(), "{dialect}: two exceptions for {column}");
            let want = exception.map_or(common.clone(), |it| (it.instead)(common.clone()));
            let got = row.get(column).unwrap_or(&Value::Null);
            let at = format!("{dialect}, call {}, {column}", number + 1);
            if exception.is_some() && *got == *common {
                found.push(format!("{at}: the exception is not needed"));
            } else if *got != want {
                found.push(format!("{at}:\n  got  {got}\n  want {want}"));
            }
        }
    }
    found
}

const OTHER_OPERATIONS: &str = "SELECT Operation FROM otel_traces WHERE ServiceName = {dialect:String} \
     AND Operation != 'chat' ORDER BY Operation";

/// Each of these words is in a prompt, an answer, or what a tool got and gave, and nowhere else.
const CONTENT_AMONG_ATTRIBUTES: &str = "SELECT DISTINCT arrayJoin(mapKeys(mapFilter((k, v) -> \
     multiSearchAny(v, ['Lima', 'Cusco', 'overcast', 'one sentence']), SpanAttributes))) AS Key \
     FROM otel_traces WHERE ServiceName = {dialect:String} ORDER BY Key";

const TOOL_SPANS: &str = "SELECT ToolName, ToolCallId, SessionId, UserId FROM otel_traces \
     WHERE Operation = 'execute_tool' AND ServiceName = {dialect:String}";

/// The model calls, as whoever sums tokens finds them.
const MODEL_CALLS: &str = "SELECT Operation, Provider, RequestModel, ResponseModel, ResponseId, FinishReasonsNormalized, \
     InputTokens, OutputTokens, CacheReadTokens, CacheWriteTokens, ReasoningTokens, toString(CostTotal) AS CostTotal, \
     ifNull(Streaming, false) AS Streaming, isNotNull(TimeToFirstToken) AS FirstTokenKnown, \
     SessionId, UserId, SystemPrompt, InputMessages, OutputMessages, ToolDefinitions, \
     RequestParameters['temperature'] AS Temperature, RequestParameters['max_tokens'] AS MaxTokens \
     FROM otel_traces WHERE ServiceName = {dialect:String} \
     AND Operation IN ('chat', 'generate_content', 'text_completion', 'embeddings', 'rerank') ORDER BY Timestamp";

fn calls_of(service: &Service, dialect: &str) -> Vec<Value> {
    let mut rows = service.sql().rows(MODEL_CALLS, &[("dialect", dialect)]);
    for row in &mut rows {
        for column in ["InputMessages", "OutputMessages", "ToolDefinitions"] {
            let text = text_of(row, column);
            let parsed = if text.is_empty() { Value::Null } else { serde_json::from_str(text).expect("it is JSON") };
            row.as_object_mut().expect("a row").insert(column.to_owned(), parsed);
        }
    }
    rows
}

/// What the columns of the three calls hold.
fn conversation() -> [Value; 3] {
    let call = |id: &str,
                reason: &str,
                [input, output, cached, reasoning]: [u64; 4],
                cost: &str,
                said: usize,
                answer: Value| {
        json!({
            "Operation": "chat",
            "Provider": "openai",
            "RequestModel": "gpt-4.1-mini",
            "ResponseModel": "gpt-4.1-mini-2025-04-14",
            "ResponseId": id,
            "FinishReasonsNormalized": [reason],
            "InputTokens": input,
            "OutputTokens": output,
            "CacheReadTokens": cached,
            "CacheWriteTokens": null,
            "ReasoningTokens": reasoning,
            // given by those that price calls, computed for the others: the same
            "CostTotal": cost,
            "Streaming": id == "chatcmpl-weather-stream",
            "FirstTokenKnown": u8::from(id == "chatcmpl-weather-stream"),
            "SessionId": "session-7",
            "UserId": "ana",
            "SystemPrompt": SYSTEM,
            "InputMessages": messages().get(..said).expect("six messages"),
            "OutputMessages": [{"role": "assistant", "parts": [answer], "finish_reason": reason}],
            "ToolDefinitions": [{
                "type": "function",
                "name": "get_weather",
                "description": "The weather in a city now",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
                    "required": ["city", "unit"],
                    "additionalProperties": false,
                },
            }],
            "Temperature": "0.2",
            "MaxTokens": "256",
        })
    };
    [
        call("chatcmpl-weather-call", "tool_call", [120, 42, 64, 24], "0.000096", 2, tool_call()),
        call(
            "chatcmpl-weather-answer",
            "stop",
            [180, 15, 128, 0],
            "0.0000576",
            4,
            text("It is 18 °C and overcast in Lima."),
        ),
        call(
            "chatcmpl-weather-stream",
            "stop",
            [210, 16, 192, 8],
            "0.000052",
            6,
            text("It is 11 °C and clear in Cusco."),
        ),
    ]
}

fn messages() -> Vec<Value> {
    let response = json!({"type": "tool_call_response", "id": "call_weather_1", "response": "18 °C, overcast"});
    let said = [
        ("system", text(SYSTEM)),
        ("user", text("What is the weather in Lima?")),
        ("assistant", tool_call()),
        ("tool", response),
        ("assistant", text("It is 18 °C and overcast in Lima.")),
        ("user", text("And in Cusco?")),
    ];
    said.map(|(role, part)| json!({"role": role, "parts": [part]})).to_vec()
}

fn text(content: &str) -> Value {
    json!({"type": "text", "content": content})
}

fn tool_call() -> Value {
    let arguments = json!({"city": "Lima", "unit": "celsius"});
    json!({"type": "tool_call", "id": "call_weather_1", "name": "get_weather", "arguments": arguments})
}

/// Where dialects differ.
struct Exception {
    dialects: &'static [&'static str],
    calls: &'static [usize],
    column: &'static str,
    /// What the column holds, of what it holds for the others.
    instead: fn(Value) -> Value,
}

const OPENAI_V2: &[&str] = &["openai-v2", "openai-v2-default"];
const EVERY: &[usize] = &[1, 2, 3];
const STREAMED: &[usize] = &[3];

#[rustfmt::skip]
fn exceptions() -> Vec<Exception> {
    let except = |dialects, calls, column, instead| Exception { dialects, calls, column, instead };
    let nothing = |_| Value::Null;
    let no_text = |_| json!("");
    let no = |_| json!(0);
    vec![
        // It sends totals alone, and no tool definitions before its successor.
        except(OPENAI_V2, EVERY, "CacheReadTokens", nothing),
        except(OPENAI_V2, EVERY, "ReasoningTokens", nothing),
        // So nothing is known to come from a cache, and all of the input costs the same.
        except(OPENAI_V2, &[1], "CostTotal", |_| json!("0.0001152")),
        except(OPENAI_V2, &[2], "CostTotal", |_| json!("0.000096")),
        except(OPENAI_V2, STREAMED, "CostTotal", |_| json!("0.0001096")),
        except(OPENAI_V2, EVERY, "ToolDefinitions", nothing),
        // It does not say that a call is streamed, nor when the first token came.
        except(OPENAI_V2, STREAMED, "Streaming", |_| json!(false)),
        except(OPENAI_V2, STREAMED, "FirstTokenKnown", no),
        // Content would be in log records, and with it why a stream ended.
        except(&["openai-v2-default"], STREAMED, "FinishReasonsNormalized", |_| json!([])),
        except(&["openai-v2-default"], EVERY, "InputMessages", nothing),
        except(&["openai-v2-default"], EVERY, "OutputMessages", nothing),
        except(&["openai-v2-default"], EVERY, "SystemPrompt", no_text),
        // It leaves out counts that are 0.
        except(&["genai-openai"], &[2], "ReasoningTokens", nothing),
        // It reads the details of a stream's usage in part, and tells of chunks in events without a meaning of their own.
        except(&["openllmetry", "openllmetry-old"], STREAMED, "ReasoningTokens", nothing),
        except(&["openllmetry", "openllmetry-old"], STREAMED, "FirstTokenKnown", no),
        // It has the tool's name beside its result, and the finish reason in the history.
        except(&["pydantic-ai"], &[2, 3], "InputMessages", as_pydantic_ai_tells),
        // generateText of version 5 sends totals alone.
        except(&["ai-sdk-5"], &[1, 2], "CacheReadTokens", nothing),
        except(&["ai-sdk-5"], &[1, 2], "ReasoningTokens", nothing),
        except(&["ai-sdk-5"], &[1], "CostTotal", |_| json!("0.0001152")),
        except(&["ai-sdk-5"], &[2], "CostTotal", |_| json!("0.000096")),
        // Its conventions have no word for reasoning yet; the system prompt is apart, as the conventions want it.
        except(&["ai-sdk-7"], EVERY, "ReasoningTokens", nothing),
        except(&["ai-sdk-7"], EVERY, "InputMessages", without_system),
        // It puts the model asked for into the response of a stream.
        except(OF_LITELLM, STREAMED, "ResponseModel", |_| json!("gpt-4.1-mini")),
        // The session stays in its own metadata; a tool call of the answer has no id.
        except(&["litellm", "litellm-latest"], EVERY, "SessionId", no_text),
        except(&["litellm", "litellm-latest"], &[1], "OutputMessages", without_call_id),
        except(&["litellm", "litellm-latest"], STREAMED, "FirstTokenKnown", no),
        // Of the request it takes no user, of the usage no reasoning.
        except(&["litellm-v2"], EVERY, "UserId", no_text),
        except(&["litellm-v2"], EVERY, "ReasoningTokens", nothing),
    ]
}

fn without_system(mut messages: Value) -> Value {
    messages.as_array_mut().expect("messages").remove(0);
    messages
}

fn without_call_id(mut messages: Value) -> Value {
    let part = messages.pointer_mut("/0/parts/0").and_then(Value::as_object_mut).expect("the tool call");
    part.remove("id").expect("its id");
    messages
}

fn as_pydantic_ai_tells(mut messages: Value) -> Value {
    let mut set = |at: &str, key: &str, value: &str| {
        if let Some(object) = messages.pointer_mut(at).and_then(Value::as_object_mut) {
            object.insert(key.to_owned(), json!(value));
        }
    };
    set("/2", "finish_reason", "tool_call");
    set("/3/parts/0", "name", "get_weather");
    set("/4", "finish_reason", "stop");
    messages
}
