//! The same conversation through frameworks that run the agent themselves: each model call counts once, with what its sender says.
//!
//! ```text
//! tests/fixtures/dialects/NAME.binpb              what NAME exported once      replayed in every run
//! tests/clients/dialects_frameworks.py NAME       NAME itself, unmodified      driven live by make test-frameworks
//! ```
//!
//! What a sender does not say, or says in its own way, is in [`exceptions`]; an exception that is no longer needed fails the test.

use std::fs;

use serde_json::{Value, json};

use crate::rows::text;
#[cfg(feature = "frameworks")]
use support::clients::{client, run};
use support::{Service, http, project, wait_until};

/// A framework, what its spans did besides the model calls, and the tool that ran.
struct Framework {
    name: &'static str,
    others: &'static [(&'static str, usize)],
    tools: &'static [&'static str],
}

const TOOL: &[&str] = &["get_weather"];

#[rustfmt::skip]
const FRAMEWORKS: &[Framework] = &[
    Framework { name: "agno", others: &[("execute_tool", 1), ("invoke_agent", 2)], tools: TOOL },
    Framework { name: "autogen", others: &[("create_agent", 1), ("execute_tool", 1), ("invoke_agent", 2)], tools: TOOL },
    Framework { name: "crewai", others: &[("execute_tool", 1), ("invoke_agent", 2), ("invoke_workflow", 2)], tools: TOOL },
    Framework { name: "dspy", others: &[("invoke_workflow", 3)], tools: &[] },
    // what its generate() does around a model is told without a kind
    Framework { name: "genkit", others: &[("", 3), ("execute_tool", 1)], tools: TOOL },
    Framework { name: "google-adk", others: &[("execute_tool", 1), ("invoke_agent", 2), ("invoke_workflow", 2)], tools: TOOL },
    // its steps say nothing of themselves
    Framework { name: "haystack", others: &[("", 3), ("execute_tool", 1), ("invoke_agent", 2)], tools: TOOL },
    Framework { name: "haystack-openinference", others: &[("invoke_workflow", 4)], tools: &[] },
    Framework { name: "langchain-openinference", others: &[("execute_tool", 1), ("invoke_workflow", 6)], tools: TOOL },
    Framework { name: "langchain-openllmetry", others: &[("create_agent", 1), ("execute_tool", 1), ("invoke_agent", 4), ("invoke_workflow", 4)], tools: TOOL },
    Framework { name: "laminar", others: &[("", 1)], tools: &[] },
    Framework { name: "langfuse", others: &[], tools: &[] },
    Framework { name: "langsmith", others: &[("execute_tool", 1), ("invoke_workflow", 6)], tools: TOOL },
    // what puts a request together is no call; its own wrapper of each call counts with it
    Framework { name: "llama-index", others: &[("execute_tool", 1), ("invoke_workflow", 15), ("prompt", 3)], tools: TOOL },
    Framework { name: "openai-agents-openinference", others: &[("execute_tool", 1), ("invoke_agent", 4), ("invoke_workflow", 5)], tools: TOOL },
    Framework { name: "openai-agents-openllmetry", others: &[("execute_tool", 1), ("invoke_agent", 2), ("invoke_workflow", 2)], tools: TOOL },
    Framework { name: "semantic-kernel", others: &[("", 2), ("execute_tool", 1), ("invoke_agent", 2)], tools: &["weather-get_weather"] },
    // its agent answers by a tool
    Framework { name: "smolagents", others: &[("execute_tool", 3), ("invoke_agent", 2), ("invoke_workflow", 3)], tools: &["final_answer", "final_answer", "get_weather"] },
    Framework { name: "strands", others: &[("execute_event_loop_cycle", 3), ("execute_tool", 1), ("invoke_agent", 2)], tools: TOOL },
    Framework { name: "strands-latest", others: &[("execute_event_loop_cycle", 3), ("execute_tool", 1), ("invoke_agent", 2)], tools: TOOL },
];

#[test]
fn each_model_call_of_a_framework_counts_once_with_what_its_sender_says() {
    let service = Service::start();
    for Framework { name, .. } in FRAMEWORKS {
        let bytes = fs::read(project().join(format!("tests/fixtures/dialects/{name}.binpb"))).expect("recorded");
        let answer =
            http::send("POST", &service.http("/v1/traces"), &[("content-type", "application/x-protobuf")], &bytes);
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{name}: all of it is accepted");
    }
    assert_counted(&service, FRAMEWORKS.iter());
}

/// One after another: some take a gigabyte.
#[test]
#[cfg(feature = "frameworks")]
fn the_frameworks_of_today_are_counted_like_their_recordings() {
    let service = Service::start();
    // Genkit's packages exclude those of the other clients in Node: tests/clients/dialects_genkit.mjs says how it is recorded
    let driven = || FRAMEWORKS.iter().filter(|framework| framework.name != "genkit");
    for Framework { name, .. } in driven() {
        let venv = run(&mut client("venv", "dialects_frameworks.py", &["venv", name]));
        let venv = format!("venv-{}", String::from_utf8_lossy(&venv.stdout).trim());
        run(&mut client(&venv, "dialects_frameworks.py", &["drive", name, &service.http("/v1/traces")]));
    }
    assert_counted(&service, driven());
}

/// Every difference is shown, not the first alone.
fn assert_counted<'f>(service: &Service, frameworks: impl Iterator<Item = &'f Framework>) {
    let differences: Vec<String> = frameworks.flat_map(|framework| differences(service, framework)).collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

fn differences(service: &Service, framework: &Framework) -> Vec<String> {
    let name = framework.name;
    let question = &[("framework", name)];
    let wanted = common(name);
    let stored = wanted.len() + framework.others.iter().map(|(_, count)| count).sum::<usize>();
    wait_until("all spans are stored and counted", || {
        let spans =
            service.sql().try_rows("SELECT 1 FROM otel_traces WHERE ServiceName = {framework:String}", question);
        let calls = service.sql().try_rows(CALLS, question);
        (spans.is_ok_and(|rows| rows.len() >= stored) && calls.is_ok_and(|rows| rows.len() >= wanted.len()))
            .then_some(())
    });
    let sql = service.sql();
    let mut found = Vec::new();
    let calls = sql.rows(CALLS, question);
    if calls.len() != wanted.len() {
        found.push(format!("{name}: {} calls, not {}", calls.len(), wanted.len()));
    }
    for (number, (row, common)) in calls.iter().zip(&wanted).enumerate() {
        for (column, common) in common.as_object().expect("an object") {
            let mut fitting = exceptions().into_iter().filter(|it| it.of.contains(&name) && it.column == column);
            let exception = fitting.next();
            assert!(fitting.next().is_none(), "{name}: two exceptions for {column}");
            let want = exception.as_ref().map_or(common, |it| it.values.get(number).expect("a value for each call"));
            let got = row.get(column).unwrap_or(&Value::Null);
            if got != want {
                found.push(format!("{name}, call {}, {column}: got {got}, want {want}", number + 1));
            }
        }
    }
    for Exception { column, values, .. } in exceptions().into_iter().filter(|it| it.of.contains(&name)) {
        if wanted.iter().zip(values).all(|(common, value)| common.get(column) == Some(&value)) {
            found.push(format!("{name}: the exception for {column} is not needed"));
        }
    }
    let others: Vec<Value> =
        framework.others.iter().map(|(name, count)| json!({"Operation": name, "spans": count})).collect();
    let operations = sql.rows(OTHERS, question);
    if operations != others {
        found.push(format!("{name}: besides the calls there is {operations:?}"));
    }
    let ran = sql.rows(TOOLS, question);
    if ran.iter().map(|row| text(row, "ToolName")).ne(framework.tools.iter().copied()) {
        found.push(format!("{name}: the tools' spans have {ran:?}"));
    }
    let read = sql.rows(CONTENT_AMONG_ATTRIBUTES, question);
    if !read.is_empty() {
        found.push(format!("{name}: what was said is read by every filter on attributes, in {read:?}"));
    }
    found
}

/// What was said is known by a word of it: the forms are those of tests/service/dialects.rs.
const CALLS: &str = "SELECT Operation, Provider, RequestModel, ResponseModel, ResponseId, FinishReasonsNormalized, \
     InputTokens, OutputTokens, CacheReadTokens, ReasoningTokens, toString(CostTotal) AS CostTotal, SessionId, UserId, \
     position(SystemPrompt, 'in one sentence') > 0 AS System, \
     multiIf(position(InputMessages, 'Cusco') > 0, 'Cusco', position(InputMessages, 'overcast') > 0, 'overcast', \
         position(InputMessages, 'Lima') > 0, 'Lima', '') AS Asked, \
     multiIf(position(OutputMessages, 'Cusco') > 0, 'Cusco', position(OutputMessages, 'overcast') > 0, 'overcast', \
         position(OutputMessages, 'tool_call') > 0, 'tool_call', '') AS Answered, \
     position(ToolDefinitions, '\"name\":\"get_weather\"') > 0 OR position(ToolDefinitions, '\"name\": \"get_weather\"') > 0 AS Tool, \
     RequestParameters['temperature'] AS Temperature, RequestParameters['max_tokens'] AS MaxTokens \
     FROM genai_calls_with_content WHERE ServiceName = {framework:String} ORDER BY Timestamp";

const OTHERS: &str = "SELECT Operation, toUInt32(count()) AS spans FROM otel_traces WHERE ServiceName = {framework:String} \
     AND Operation NOT IN ('chat', 'generate_content') GROUP BY Operation ORDER BY Operation";

const TOOLS: &str = "SELECT ToolName FROM otel_traces WHERE ServiceName = {framework:String} \
     AND Operation = 'execute_tool' ORDER BY ToolName";

/// Each of these words is in a prompt, an answer, or what a tool got and gave, and nowhere else.
const CONTENT_AMONG_ATTRIBUTES: &str = "SELECT DISTINCT arrayJoin(mapKeys(mapFilter((k, v) -> \
     multiSearchAny(v, ['Lima', 'Cusco', 'overcast', 'one sentence']), SpanAttributes))) AS Key \
     FROM otel_traces WHERE ServiceName = {framework:String} ORDER BY Key";

/// What the columns of the calls hold, if the sender says all of it.
fn common(framework: &str) -> Vec<Value> {
    let call = |id: &str,
                reason: &str,
                [input, output, cached, reasoning]: [u64; 4],
                cost: &str,
                [asked, answered]: [&str; 2]| {
        json!({
            "Operation": "chat", "Provider": "openai", "RequestModel": "gpt-4.1-mini", "ResponseModel": "gpt-4.1-mini-2025-04-14",
            "ResponseId": format!("chatcmpl-weather-{id}"), "FinishReasonsNormalized": [reason],
            "InputTokens": input, "OutputTokens": output, "CacheReadTokens": cached, "ReasoningTokens": reasoning, "CostTotal": cost,
            "SessionId": "session-7", "UserId": "ana", "System": 1, "Asked": asked, "Answered": answered, "Tool": 1,
            "Temperature": "0.2", "MaxTokens": "256",
        })
    };
    let calls = [
        call("call", "tool_call", [120, 42, 64, 24], "0.000096", ["Lima", "tool_call"]),
        call("answer", "stop", [180, 15, 128, 0], "0.0000576", ["overcast", "overcast"]),
        call("stream", "stop", [210, 16, 192, 8], "0.000052", ["Cusco", "Cusco"]),
    ];
    // DSPy asks once, without a tool
    calls.into_iter().filter(|call| framework != "dspy" || call["Asked"] == "overcast").collect()
}

/// Where frameworks differ.
struct Exception {
    of: &'static [&'static str],
    column: &'static str,
    /// What the column holds for each call.
    values: Vec<Value>,
}

/// They name one model, the one that answered.
const ANSWERED: &[&str] = &["haystack-openinference", "langfuse", "openai-agents-openinference"];

#[rustfmt::skip]
fn exceptions() -> Vec<Exception> {
    let each = |of, column, values: [Value; 3]| Exception { of, column, values: values.to_vec() };
    let all = |of, column, value: Value| Exception { of, column, values: vec![value; 3] };
    let nothing = || json!("");
    vec![
        // Their spans hold totals alone, so all of the input costs the same.
        all(&["haystack-openinference", "semantic-kernel", "smolagents", "dspy"], "CacheReadTokens", Value::Null),
        all(&["haystack-openinference", "semantic-kernel", "smolagents", "dspy", "agno", "langchain-openllmetry", "strands", "strands-latest"], "ReasoningTokens", Value::Null),
        each(&["haystack-openinference", "semantic-kernel", "smolagents"], "CostTotal", [json!("0.0001152"), json!("0.000096"), json!("0.0001096")]),
        // It sends no tokens, and its own prompt.
        all(&["dspy"], "InputTokens", Value::Null),
        all(&["dspy"], "OutputTokens", Value::Null),
        all(&["dspy"], "CostTotal", Value::Null),
        all(&["dspy"], "System", json!(0)),
        // Another model, by another API, whose answers do not say that they ask for a tool.
        all(&["google-adk"], "Operation", json!("generate_content")),
        all(&["google-adk"], "Provider", json!("gcp.gemini")),
        all(&["google-adk"], "RequestModel", json!("gemini-2.5-flash")),
        each(&["google-adk"], "CostTotal", [json!("0.00012372"), json!("0.00005694"), json!("0.00005116")]),
        all(&["genkit", "google-adk", "openai-agents-openinference"], "FinishReasonsNormalized", json!(["stop"])),
        // It names itself as the provider, or nobody.
        all(&["genkit", "haystack", "langfuse", "strands", "strands-latest"], "Provider", nothing()),
        all(ANSWERED, "RequestModel", json!("gpt-4.1-mini-2025-04-14")),
        all(&["haystack", "openai-agents-openllmetry"], "RequestModel", nothing()),
        all(&["agno", "dspy", "google-adk", "haystack-openinference", "langfuse", "llama-index", "semantic-kernel", "smolagents", "strands", "strands-latest"], "ResponseModel", nothing()),
        all(&["agno", "dspy", "google-adk", "haystack", "haystack-openinference", "langfuse", "llama-index", "smolagents", "strands", "strands-latest"], "ResponseId", nothing()),
        all(&["agno", "dspy", "haystack-openinference", "smolagents"], "FinishReasonsNormalized", json!([])),
        each(&["langfuse"], "FinishReasonsNormalized", [json!([]), json!([]), json!(["stop"])]),
        // No span of theirs names one.
        all(&["genkit"], "SessionId", nothing()),
        all(&["genkit", "google-adk"], "UserId", nothing()),
        // Its messages are log records.
        all(&["semantic-kernel"], "System", json!(0)),
        all(&["semantic-kernel"], "Asked", nothing()),
        all(&["semantic-kernel"], "Answered", nothing()),
        all(&["dspy", "haystack-openinference", "semantic-kernel", "strands", "strands-latest"], "Tool", json!(0)),
        // It leaves out what the tool answered; DSPy is asked the first question alone.
        each(&["haystack-openinference"], "Asked", [json!("Lima"), json!("Lima"), json!("Cusco")]),
        all(&["dspy"], "Asked", json!("Lima")),
        // It offers no tool where it wants the answer to reflect on the result.
        each(&["autogen"], "Tool", [json!(1), json!(0), json!(1)]),
        all(&["google-adk", "haystack", "haystack-openinference", "llama-index", "strands", "strands-latest"], "Temperature", nothing()),
        all(&["haystack", "haystack-openinference", "llama-index", "strands", "strands-latest"], "MaxTokens", nothing()),
    ]
}
