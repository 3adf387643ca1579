//! The table of the specification: every source of every column, and that the ones before it win.

use super::{Row, column, decoded, event, row, row_of, span};
use serde_json::{Map, Value as Json, json};

/// Sends all sources from each one on: that one must win. A source that is there and empty does not.
fn in_order(name: &str, sources: &[&str], value: impl Fn(usize) -> Json, want: impl Fn(usize) -> Json) {
    for first in 0..sources.len() {
        let mut attributes = Map::new();
        for (at, key) in sources.iter().enumerate() {
            attributes.insert((*key).to_owned(), if at < first { json!("") } else { value(at) });
        }
        let row = row(Json::Object(attributes));
        assert_eq!(column(&row, name), want(first), "{name} from {}", sources[first]);
    }
}

fn texts_in_order(name: &str, sources: &[&str]) {
    in_order(name, sources, |at| json!(format!("text {at}")), |at| json!(format!("text {at}")));
}

/// Counts as an integer, a double, or a decimal text.
fn counts_in_order(name: &str, sources: &[&str]) {
    let value = |at: usize| match at % 3 {
        0 => json!(100 + at),
        1 => json!(f64::from(u32::try_from(100 + at).unwrap())),
        _ => json!((100 + at).to_string()),
    };
    in_order(name, sources, value, |at| json!(100 + at));
}

fn costs_in_order(name: &str, sources: &[&str]) {
    let value = |at: usize| if at.is_multiple_of(2) { json!(0.25 + at as f64) } else { json!(format!("{at}.25")) };
    in_order(name, sources, value, |at| json!(format!("{at}.25")));
}

#[test]
fn a_session_is_named_by_the_first_of_its_sources() {
    texts_in_order(
        "SessionId",
        &[
            "session.id",
            "langfuse.session.id",
            "gen_ai.conversation.id",
            "gen_ai.thread.id",
            "gcp.vertex.agent.session_id",
            "ai.telemetry.metadata.sessionId",
            "ai.telemetry.metadata.session_id",
            "ai.telemetry.metadata.conversationId",
            "ai.telemetry.metadata.conversation_id",
            "ai.telemetry.metadata.threadId",
            "ai.telemetry.metadata.thread_id",
            "ai.telemetry.metadata.chatId",
            "ai.telemetry.metadata.chat_id",
            "traceloop.association.properties.session_id",
            "traceloop.association.properties.conversation_id",
            "traceloop.association.properties.thread_id",
            "mlflow.trace.session",
            "langsmith.metadata.session_id",
            "langsmith.metadata.conversation_id",
            "langsmith.metadata.thread_id",
            "mastra.metadata.sessionId",
            "mastra.metadata.threadId",
            "opik.thread_id",
            "thread_id",
            "gen_ai.session.id",
            "lmnr.association.properties.session_id",
            "genkit:sessionId",
            "spring.ai.chat.client.conversation.id",
        ],
    );
}

#[test]
fn each_text_column_is_filled_from_its_sources_in_order() {
    texts_in_order(
        "UserId",
        &[
            "user.id",
            "langfuse.user.id",
            "enduser.id",
            "llm.user",
            "gen_ai.user",
            "gen_ai.request.user",
            "ai.telemetry.metadata.userId",
            "mlflow.trace.user",
            "traceloop.association.properties.user_id",
            "gen_ai.user.id",
            "lmnr.association.properties.user_id",
            "user.email",
            "user.account_id",
            "user.name",
            "enduser.pseudo.id",
        ],
    );
    texts_in_order(
        "Provider",
        &[
            "gen_ai.provider.name",
            "gen_ai.system",
            "llm.provider",
            "llm.system",
            "ai.model.provider",
            "mlflow.llm.provider",
        ],
    );
    texts_in_order(
        "RequestModel",
        &[
            "gen_ai.request.model",
            "llm.request.model_name",
            "llm.model_name",
            "embedding.model_name",
            "ai.model.id",
            "langfuse.observation.model.name",
            "mlflow.llm.model",
        ],
    );
    texts_in_order("ResponseModel", &["gen_ai.response.model", "llm.response.model_name", "ai.response.model"]);
    texts_in_order("ResponseId", &["gen_ai.response.id", "ai.response.id"]);
    texts_in_order("ToolName", &["gen_ai.tool.name", "tool.name", "ai.toolCall.name"]);
    texts_in_order("ToolCallId", &["gen_ai.tool.call.id", "tool.id", "tool_call.id", "ai.toolCall.id"]);
    texts_in_order("AgentName", &["gen_ai.agent.name", "agent.name"]);
    texts_in_order("WorkflowName", &["gen_ai.workflow.name", "traceloop.workflow.name"]);
    texts_in_order("ConversationId", &["gen_ai.conversation.id"]);
    texts_in_order("ErrorType", &["error.type", "exception.type"]);
}

#[test]
fn each_count_column_is_filled_from_its_sources_in_order() {
    counts_in_order(
        "InputTokens",
        &[
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "llm.usage.prompt_tokens",
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
            "ai.usage.tokens",
        ],
    );
    counts_in_order(
        "OutputTokens",
        &[
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "llm.usage.completion_tokens",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
        ],
    );
    counts_in_order(
        "CacheReadTokens",
        &[
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.input_tokens.cached",
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.prompt_tokens_details.cached_tokens",
            "gen_ai.usage.cached_tokens",
            "gen_ai.usage.input_cache_tokens",
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
        ],
    );
    counts_in_order(
        "CacheWriteTokens",
        &[
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.input_tokens.cache_write",
            "gen_ai.usage.details.cache_write_tokens",
            "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
            "llm.token_count.prompt_details.cache_write",
            "ai.usage.inputTokenDetails.cacheWriteTokens",
        ],
    );
}

#[test]
fn each_output_count_is_filled_from_its_sources_in_order() {
    counts_in_order(
        "ReasoningTokens",
        &[
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.output_tokens.reasoning",
            "gen_ai.usage.completion_tokens_details.reasoning_tokens",
            "gen_ai.usage.details.reasoning_tokens",
            "llm.usage.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
        ],
    );
    counts_in_order("InputAudioTokens", &["gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"]);
    counts_in_order(
        "OutputAudioTokens",
        &["gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio"],
    );
}

#[test]
fn counts_within_json_are_read() {
    let langfuse = row(json!({"langfuse.observation.usage_details":
        r#"{"input":10,"input_cached_tokens":5,"output":3,"output_reasoning_tokens":"2","total":20,"input_cache_creation":1}"#}));
    let mlflow = row(json!({"mlflow.chat.tokenUsage":
        {"input_tokens": 16, "output_tokens": 5, "cache_read_input_tokens": 5}}));
    let litellm = row(json!({"metadata.usage_object":
        "{'completion_tokens': 5, 'prompt_tokens': 16, 'prompt_tokens_details': {'cached_tokens': 5, 'audio_tokens': None}}"}));
    let all = |row: &Row| ["InputTokens", "OutputTokens", "CacheReadTokens"].map(|name| column(row, name));
    for row in [&langfuse, &mlflow, &litellm] {
        assert_eq!(all(row), [json!(16), json!(5), json!(5)]);
    }
    assert_eq!([column(&langfuse, "CacheWriteTokens"), column(&langfuse, "ReasoningTokens")], [json!(1), json!(2)]);
}

#[test]
fn input_counts_that_leave_cached_tokens_out_are_completed() {
    let sent = |input: u64, read: u64, write: u64| {
        let row = row(json!({"gen_ai.usage.input_tokens": input, "gen_ai.usage.cache_read.input_tokens": read,
            "gen_ai.usage.cache_creation.input_tokens": write}));
        column(&row, "InputTokens")
    };
    assert_eq!((sent(3, 100, 20), sent(120, 100, 20), sent(119, 100, 20)), (json!(123), json!(120), json!(239)));
    let unknown = row(json!({"gen_ai.usage.cache_read.input_tokens": 4}));
    assert_eq!((column(&unknown, "InputTokens"), column(&unknown, "CacheReadTokens")), (json!(null), json!(4)));
    let zero = row(json!({"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": -1}));
    assert_eq!((column(&zero, "InputTokens"), column(&zero, "OutputTokens")), (json!(0), json!(null)));
}

#[test]
fn each_cost_column_is_filled_from_its_sources_in_order() {
    costs_in_order(
        "CostTotal",
        &[
            "gen_ai.usage.cost",
            "gen_ai.usage.cost.amount",
            "llm.cost.total",
            "operation.cost",
            "gen_ai.cost.total_cost",
            "litellm.cost.total",
            "mlflow.llm.cost.total_cost",
            "gen_ai.usage.total_cost",
            "gen_ai.usage.cost_usd",
            "llm.usage.total_cost",
            "gen_ai.cost.total_tokens",
            "ai.total_cost",
        ],
    );
    costs_in_order(
        "CostInput",
        &[
            "llm.cost.prompt",
            "gen_ai.cost.input_cost",
            "mlflow.llm.cost.input_cost",
            "gen_ai.cost.input_tokens",
            "litellm.cost.input",
        ],
    );
    costs_in_order(
        "CostOutput",
        &[
            "llm.cost.completion",
            "gen_ai.cost.output_cost",
            "mlflow.llm.cost.output_cost",
            "gen_ai.cost.output_tokens",
            "litellm.cost.output",
        ],
    );
}

#[test]
fn costs_are_exact_and_say_where_they_come_from() {
    let costs = |attributes: Json| {
        let row = row(attributes);
        ["CostTotal", "CostInput", "CostOutput", "CostSource"].map(|name| column(&row, name))
    };
    assert_eq!(
        costs(json!({"langfuse.observation.cost_details": r#"{"input":1e-6,"output":"0.0000021","total":0.0000031}"#})),
        [json!("0.0000031"), json!("0.000001"), json!("0.0000021"), json!("attributes")]
    );
    assert_eq!(
        costs(json!({"mlflow.llm.cost": r#"{"input_cost":0.1,"output_cost":0.2}"#})),
        [json!("0.3"), json!("0.1"), json!("0.2"), json!("attributes")]
    );
    assert_eq!(costs(json!({"gen_ai.cost.total_cost": 9.599999999999999e-05}))[0], "0.000096");
    let other_money = json!({"gen_ai.usage.cost.amount": 5, "gen_ai.usage.cost.currency": "EUR", "operation.cost": 2});
    assert_eq!(costs(other_money)[0], "2");
    // an object where a number belongs is none
    let object = json!({"gen_ai.usage.cost": {"total": 1}, "llm.cost.total": 3});
    assert_eq!(costs(object)[0], "3");
    let unreadable = [json!(null), json!(null), json!(null), json!("unreadable")];
    for attributes in [
        json!({"gen_ai.usage.cost": "None"}),
        json!({"gen_ai.usage.cost": -1}),
        json!({"gen_ai.usage.cost": {"total": 1}}),
        json!({"gen_ai.usage.cost.amount": 5, "gen_ai.usage.cost.currency": "EUR"}),
        json!({"llm.cost.prompt": "a little"}),
        json!({"litellm.cost.total": true}),
        json!({"langfuse.observation.cost_details": "?"}),
        json!({"langfuse.observation.cost_details": r#"{"total":"?"}"#}),
        json!({"langfuse.observation.cost_details": r#"{"images":0.1}"#}),
        json!({"mlflow.llm.cost": "[]1"}),
        json!({"millrace.cost.source": "unreadable", "session.id": "s"}),
    ] {
        assert_eq!(costs(attributes.clone()), unreadable, "{attributes}");
    }
    let half = json!({"llm.cost.prompt": 1, "llm.cost.completion": "?"});
    assert_eq!(costs(half), [json!(null), json!("1"), json!(null), json!("unreadable")]);
    for attributes in [json!({"gen_ai.usage.cost": "", "a": 1}), json!({"langfuse.observation.cost_details": "{}"})] {
        assert_eq!(costs(attributes.clone()), [(); 4].map(|()| json!(null)), "{attributes}");
    }
    let pair = json!({"gen_ai.usage.cost": 1, "millrace.cost.source": "caller"});
    assert_eq!(costs(pair)[3], "caller");
    assert_eq!(
        costs(json!({"session.id": "s", "millrace.cost.source": "caller"})),
        [json!(null), json!(null), json!(null), json!(null)]
    );
}

#[test]
fn operations_are_named_in_every_convention() {
    let table = [
        (json!({"gen_ai.operation.name": "chat", "openinference.span.kind": "TOOL"}), "chat"),
        (json!({"gen_ai.operation.name": "completion"}), "text_completion"),
        (json!({"gen_ai.operation.name": "acompletion"}), "chat"),
        (json!({"gen_ai.operation.name": "agent_step"}), "agent_step"),
        (json!({"gen_ai.operation.name": "", "llm.request.type": "chat"}), "chat"),
        (json!({"openinference.span.kind": "LLM"}), "chat"),
        (json!({"openinference.span.kind": "EMBEDDING"}), "embeddings"),
        (json!({"openinference.span.kind": "RETRIEVER"}), "retrieval"),
        (json!({"openinference.span.kind": "TOOL"}), "execute_tool"),
        (json!({"openinference.span.kind": "AGENT"}), "invoke_agent"),
        (json!({"openinference.span.kind": "CHAIN"}), "invoke_workflow"),
        (json!({"openinference.span.kind": "RERANKER"}), "rerank"),
        (json!({"openinference.span.kind": "GUARDRAIL"}), "guardrail"),
        (json!({"openinference.span.kind": "EVALUATOR"}), "evaluator"),
        (json!({"openinference.span.kind": "PROMPT"}), "prompt"),
        (json!({"langfuse.observation.type": "generation"}), "chat"),
        (json!({"langfuse.observation.type": "embedding"}), "embeddings"),
        (json!({"langfuse.observation.type": "tool"}), "execute_tool"),
        (json!({"langfuse.observation.type": "agent"}), "invoke_agent"),
        (json!({"langfuse.observation.type": "retriever"}), "retrieval"),
        (json!({"langfuse.observation.type": "chain"}), "invoke_workflow"),
        (json!({"langfuse.observation.type": "evaluator"}), "evaluator"),
        (json!({"langfuse.observation.type": "guardrail"}), "guardrail"),
        (json!({"ai.operationId": "ai.generateText.doGenerate"}), "chat"),
        (json!({"ai.operationId": "ai.streamText.doStream"}), "chat"),
        (json!({"ai.operationId": "ai.generateObject.doGenerate"}), "chat"),
        (json!({"operation.name": "ai.streamObject.doStream my-fn"}), "chat"),
        (json!({"ai.operationId": "ai.embed"}), "embeddings"),
        (json!({"ai.operationId": "ai.embed.doEmbed"}), "embeddings"),
        (json!({"ai.operationId": "ai.embedMany.doEmbed"}), "embeddings"),
        (json!({"ai.operationId": "ai.toolCall"}), "execute_tool"),
        (json!({"ai.operationId": "ai.generateText"}), "invoke_agent"),
        (json!({"operation.name": "ai.streamObject my-fn"}), "invoke_agent"),
        (json!({"traceloop.span.kind": "workflow"}), "invoke_workflow"),
        (json!({"traceloop.span.kind": "agent"}), "invoke_agent"),
        (json!({"traceloop.span.kind": "tool"}), "execute_tool"),
        (json!({"traceloop.span.kind": "task"}), "invoke_workflow"),
        (json!({"llm.request.type": "chat"}), "chat"),
        (json!({"llm.request.type": "completion"}), "text_completion"),
        (json!({"llm.request.type": "embedding"}), "embeddings"),
        (json!({"llm.request.type": "rerank"}), "rerank"),
        (json!({"mlflow.spanType": "\"LLM\""}), "chat"),
        (json!({"mlflow.spanType": "\"CHAT_MODEL\""}), "chat"),
        (json!({"mlflow.spanType": "EMBEDDING"}), "embeddings"),
        (json!({"mlflow.spanType": "\"RETRIEVER\""}), "retrieval"),
        (json!({"mlflow.spanType": "\"TOOL\""}), "execute_tool"),
        (json!({"mlflow.spanType": "\"AGENT\""}), "invoke_agent"),
        (json!({"mlflow.spanType": "\"CHAIN\""}), "invoke_workflow"),
        (json!({"mcp.method.name": "tools/call"}), "execute_tool"),
        (json!({"gen_ai.tool.name": "t", "gen_ai.agent.name": "a"}), "execute_tool"),
        (json!({"gen_ai.tool.call.id": "c"}), "execute_tool"),
        (json!({"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 1}), "chat"),
    ];
    for (attributes, want) in table {
        assert_eq!(column(&row(attributes.clone()), "Operation"), want, "{attributes}");
    }
    let litellm = row_of("litellm", &json!({"gen_ai.operation.name": "completion"}), &json!({}));
    assert_eq!(column(&litellm, "Operation"), "chat");
    for attributes in [
        json!({"gen_ai.request.model": "m"}),
        json!({"mcp.method.name": "tools/list", "mcp.session.id": "x"}),
        json!({"gen_ai.tool.0.name": "t"}),
        json!({"llm.openai.messages": "[]", "llm.openai.model": "m"}),
        json!({"langfuse.observation.type": "span"}),
        json!({"operation.name": "GET /"}),
    ] {
        assert!(matches!(column(&row(attributes.clone()), "Operation"), Json::Null), "{attributes}");
    }
}

#[test]
fn an_mcp_session_is_not_the_users_session() {
    let row = row(json!({"mcp.method.name": "tools/call", "mcp.session.id": "x", "gen_ai.tool.name": "t"}));
    assert_eq!((column(&row, "SessionId"), column(&row, "ToolName")), (Json::Null, json!("t")));
}

#[test]
fn providers_get_the_conventions_names() {
    for (given, want) in [
        ("OpenAI", "openai"),
        ("openai.chat", "openai"),
        ("xai", "x_ai"),
        ("az.ai.openai", "azure.ai.openai"),
        ("Own", "Own"),
    ] {
        assert_eq!(column(&row(json!({"gen_ai.system": given})), "Provider"), want);
    }
    assert_eq!(column(&row(json!({"mlflow.llm.provider": "\"vertex_ai\""})), "Provider"), "gcp.vertex_ai");
}

#[test]
fn the_model_among_the_parameters_was_asked_for() {
    let row = row(json!({"llm.invocation_parameters": r#"{"model":"m"}"#, "llm.model_name": "m-2026"}));
    assert_eq!((column(&row, "RequestModel"), column(&row, "ResponseModel")), (json!("m"), json!("m-2026")));
}

#[test]
fn an_openllmetry_entity_is_the_tool_agent_or_workflow_that_its_kind_says() {
    for (kind, name) in [("tool", "ToolName"), ("agent", "AgentName"), ("workflow", "WorkflowName")] {
        let row = row(json!({"traceloop.span.kind": kind, "traceloop.entity.name": "e"}));
        assert_eq!(column(&row, name), "e");
    }
}

#[test]
fn finish_reasons_come_in_every_shape() {
    let reasons = |attributes: Json| {
        let row = row(attributes);
        (column(&row, "FinishReasons"), column(&row, "FinishReasonsNormalized"))
    };
    for (attributes, raw, normalised) in [
        (
            json!({"gen_ai.response.finish_reasons": ["tool_calls", "stop"]}),
            json!(["tool_calls", "stop"]),
            json!(["tool_call", "stop"]),
        ),
        (json!({"gen_ai.response.finish_reasons": "[\"tool_calls\"]"}), json!(["tool_calls"]), json!(["tool_call"])),
        (json!({"gen_ai.response.finish_reasons": "['length', 'x']"}), json!(["length", "x"]), json!(["length", "x"])),
        (
            json!({"gen_ai.response.finish_reasons": "end_turn,MAX_TOKENS"}),
            json!(["end_turn", "MAX_TOKENS"]),
            json!(["stop", "length"]),
        ),
        (json!({"gen_ai.response.finish_reasons": [null]}), json!(["error"]), json!(["error"])),
        (
            json!({"gen_ai.response.finish_reasons": [], "gen_ai.response.finish_reason": "a"}),
            json!(["a"]),
            json!(["a"]),
        ),
        (json!({"llm.response.finish_reason": "a", "llm.response.stop_reason": "b"}), json!(["a"]), json!(["a"])),
        (json!({"llm.response.stop_reason": "b", "llm.finish_reason": "c"}), json!(["b"]), json!(["b"])),
        (json!({"llm.finish_reason": "c", "gen_ai.completion.0.finish_reason": "d"}), json!(["c"]), json!(["c"])),
        (
            json!({"gen_ai.completion.10.finish_reason": "e", "gen_ai.completion.2.finish_reason": "d"}),
            json!(["d", "e"]),
            json!(["d", "e"]),
        ),
        (json!({"ai.response.finishReason": "tool-calls"}), json!(["tool-calls"]), json!(["tool_call"])),
        (
            json!({"gen_ai.output.messages": r#"[{"role":"assistant","parts":[{"type":"text","content":"a"}],"finish_reason":"tool_calls"}]"#}),
            json!(["tool_calls"]),
            json!(["tool_call"]),
        ),
    ] {
        assert_eq!(reasons(attributes.clone()), (raw, normalised), "{attributes}");
    }
}

#[test]
fn streams_are_recognised() {
    for (attributes, want) in [
        (json!({"gen_ai.request.stream": true, "llm.is_streaming": false}), json!(true)),
        (json!({"gen_ai.is_streaming": "False", "llm.is_streaming": true}), json!(false)),
        (json!({"llm.is_streaming": "True"}), json!(true)),
        (json!({"litellm.request.streaming": true}), json!(true)),
        (json!({"llm.invocation_parameters": r#"{"stream":true}"#}), json!(true)),
        (json!({"ai.operationId": "ai.streamText.doStream"}), json!(true)),
        (json!({"gen_ai.response.time_to_first_chunk": 0.5}), json!(true)),
        (json!({"gen_ai.operation.name": "chat"}), Json::Null),
    ] {
        assert_eq!(column(&row(attributes.clone()), "Streaming"), want, "{attributes}");
    }
}

#[test]
fn the_first_token_is_exact_to_the_nanosecond() {
    for (attributes, want) in [
        (json!({"gen_ai.response.time_to_first_chunk": "0.123456789", "ai.response.msToFirstChunk": 1}), 123_456_789),
        (json!({"gen_ai.client.operation.time_to_first_chunk": 0.25}), 250_000_000),
        (json!({"ai.response.msToFirstChunk": 210.5}), 210_500_000),
        (json!({"langfuse.observation.completion_start_time": "\"2026-09-21T14:13:21.5Z\""}), 1_500_000_000),
        (json!({"gen_ai.server.time_to_first_token": 3}), 3_000_000_000_u64),
    ] {
        let took_four_seconds = json!({"endTimeUnixNano": "1790000004000000000"});
        let row = row_of("", &attributes, &took_four_seconds);
        assert_eq!(column(&row, "TimeToFirstToken"), want, "{attributes}");
    }
    let by_event = json!({"events": [event("First Token Stream Event", json!({}))]});
    assert_eq!(column(&row_of("", &json!({}), &by_event), "TimeToFirstToken"), 500_000_000);
    let before = json!({"langfuse.observation.completion_start_time": "2020-01-01T00:00:00Z", "session.id": "s"});
    assert_eq!(column(&row(before), "TimeToFirstToken"), Json::Null);
}

/// The span takes one second.
#[test]
fn values_that_cannot_be_are_corrected_or_null_and_counted_by_rule() {
    for (attributes, name, want, rule) in [
        (
            json!({"gen_ai.server.time_to_first_token": 812}),
            "TimeToFirstToken",
            json!(812_000_000),
            "first_token_in_milliseconds",
        ),
        (json!({"ai.response.msToFirstChunk": 1_000.5}), "TimeToFirstToken", Json::Null, "first_token_after_end"),
        (
            json!({"gen_ai.usage.output_tokens": 3, "gen_ai.usage.reasoning_tokens": 66}),
            "OutputTokens",
            json!(69),
            "reasoning_beside_output",
        ),
        (
            json!({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "gen_ai.usage.cached_tokens": 4,
                   "gen_ai.usage.total_tokens": 16}),
            "InputTokens",
            json!(14),
            "cache_beside_input",
        ),
        (json!({"gen_ai.usage.input_tokens": u64::MAX.to_string()}), "InputTokens", Json::Null, "count_too_large"),
        (json!({"gen_ai.usage.cost": "NaN"}), "CostTotal", Json::Null, "cost_unreadable"),
        (
            json!({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.audio.input_tokens": 11}),
            "InputAudioTokens",
            Json::Null,
            "part_larger_than_whole",
        ),
    ] {
        let decoded = decoded("", &[span(&attributes, &json!({}))]);
        let fell: Vec<_> = decoded.rows.implausible().iter().map(|(rule, calls)| (rule.name(), calls)).collect();
        assert_eq!(fell, [(rule, 1)], "{attributes}");
        assert_eq!(column(&row(attributes.clone()), name), want, "{attributes}");
    }
}

#[test]
fn failures_have_a_class_and_a_message() {
    let failed = json!({"status": {"code": 2, "message": "boom"}});
    let exception = event("exception", json!({"exception.type": "E", "exception.message": "m"}));
    let both = |attributes: Json, more: Json| {
        let row = row_of("", &attributes, &more);
        (column(&row, "ErrorType"), column(&row, "ErrorMessage"))
    };
    assert_eq!(both(json!({"error.type": "timeout"}), failed.clone()), (json!("timeout"), json!("boom")));
    assert_eq!(both(json!({}), json!({"status": {"code": 2}, "events": [exception]})), (json!("E"), json!("m")));
    assert_eq!(both(json!({"http.response.status_code": 503}), failed.clone()), (json!("503"), json!("boom")));
    assert_eq!(both(json!({"rpc.grpc.status_code": 14}), failed.clone()), (json!("14"), json!("boom")));
    assert_eq!(both(json!({"http.response.status_code": 404}), json!({})), (Json::Null, Json::Null));
    let langfuse = json!({"langfuse.observation.level": "ERROR", "langfuse.observation.status_message": "l"});
    assert_eq!(both(langfuse, json!({})), (json!("_OTHER"), json!("l")));
    assert_eq!(
        both(json!({"session.id": "s"}), json!({"status": {"code": 1, "message": "fine"}})),
        (Json::Null, Json::Null)
    );
}

#[test]
fn parameters_have_the_conventions_names() {
    let table = [
        (
            json!({"gen_ai.request.temperature": 1.0, "gen_ai.request.top_p": "0.5", "gen_ai.request.n": 2,
                "gen_ai.request.model": "m", "gen_ai.request.stream": true, "gen_ai.request.stop_sequences": ["a"],
                "gen_ai.request.reasoning_effort": []}),
            json!([["choice.count", "2"], ["stop_sequences", "[\"a\"]"], ["temperature", "1"], ["top_p", "0.5"]]),
        ),
        (
            json!({"llm.invocation_parameters": r#"{"model":"m","temperature":0.1,"max_completion_tokens":50,"max_tokens":7,"n":1,"stop":"x","seed":3,"reasoning":{"effort":"low"},"response_format":{"type":"json_schema"},"service_tier":"auto","tools":[]}"#}),
            json!([
                ["max_tokens", "50"],
                ["output_type", "json"],
                ["reasoning.level", "low"],
                ["seed", "3"],
                ["stop_sequences", "[\"x\"]"],
                ["temperature", "0.1"]
            ]),
        ),
        (
            json!({"ai.settings.maxOutputTokens": 9, "ai.settings.topP": 0.5, "ai.settings.maxRetries": 2, "gen_ai.request.max_tokens": 8}),
            json!([["max_tokens", "8"], ["top_p", "0.5"]]),
        ),
        (
            json!({"llm.top_k": 4, "llm.frequency_penalty": 1, "llm.presence_penalty": 2, "llm.chat.stop_sequences": ["s"]}),
            json!([
                ["frequency_penalty", "1"],
                ["presence_penalty", "2"],
                ["stop_sequences", "[\"s\"]"],
                ["top_k", "4"]
            ]),
        ),
        (
            json!({"langfuse.observation.model.parameters": r#"{"temperature":"0.7","x":1}"#}),
            json!([["temperature", "0.7"]]),
        ),
        (
            json!({"gen_ai.openai.request.seed": 7, "gen_ai.openai.request.response_format": "json_object", "gen_ai.openai.request.service_tier": "flex"}),
            json!([["output_type", "json"], ["seed", "7"], ["service_tier", "flex"]]),
        ),
        (
            json!({"openai.request.service_tier": "auto", "gen_ai.output.type": "text"}),
            json!([["output_type", "text"]]),
        ),
    ];
    for (attributes, want) in table {
        assert_eq!(column(&row(attributes.clone()), "RequestParameters"), want, "{attributes}");
    }
}

#[test]
fn the_tier_that_answered_comes_before_the_one_asked_for() {
    for (attributes, want) in [
        (json!({"openai.request.service_tier": "flex", "openai.response.service_tier": "default"}), "default"),
        (json!({"gen_ai.openai.response.service_tier": "priority"}), "priority"),
        (json!({"openai.request.service_tier": "flex"}), "flex"),
        (json!({"gen_ai.request.service_tier": "batch"}), "batch"),
        (json!({"llm.invocation_parameters": r#"{"service_tier":"flex"}"#}), "flex"),
        (json!({"openai.request.service_tier": "auto"}), ""),
        (json!({"gen_ai.request.service_tier": "auto"}), ""),
        (json!({"ai.response.providerMetadata": r#"{"openai":{"responseId":"r","serviceTier":"flex"}}"#}), "flex"),
        (json!({"ai.response.providerMetadata": r#"{"anthropic":{"usage":{"service_tier":"batch"}}}"#}), "batch"),
        (
            json!({"metadata.usage_object": "{'prompt_tokens': 5, 'service_tier': 'batch', 'inference_geo': None}"}),
            "batch",
        ),
        (json!({"gen_ai.request.model": "m"}), ""),
    ] {
        let want = if want.is_empty() { json!(null) } else { json!(want) };
        assert_eq!(column(&row(attributes.clone()), "ServiceTier"), want, "{attributes}");
    }
}

#[test]
fn tokens_cached_for_an_hour_are_a_part_of_those_written() {
    let written = |write: u64, hour: serde_json::Value| {
        let row = row(json!({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_creation.input_tokens": write,
            "gen_ai.usage.details.ephemeral_1h_input_tokens": hour}));
        [column(&row, "CacheWriteTokens"), column(&row, "CacheWrite1hTokens")]
    };
    assert_eq!(written(30, json!(10)), [json!(30), json!(10)]);
    assert_eq!(written(30, json!(0)), [json!(30), json!(0)]);
    assert_eq!(written(30, json!(31)), [json!(30), json!(null)], "more than all of them cannot be");
    let hour = |attributes| column(&row(attributes), "CacheWrite1hTokens");
    let anthropic =
        r#"{"anthropic":{"usage":{"cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":7}}}}"#;
    assert_eq!(
        hour(json!({"ai.response.providerMetadata": anthropic, "ai.usage.inputTokenDetails.cacheWriteTokens": 12})),
        json!(7)
    );
    let litellm = "{'prompt_tokens': 20, 'prompt_tokens_details': {'cache_creation_tokens': 12, \
        'cache_creation_token_details': {'ephemeral_5m_input_tokens': 5, 'ephemeral_1h_input_tokens': 7}}}";
    assert_eq!(hour(json!({"metadata.usage_object": litellm})), json!(7));
    let langfuse = r#"{"input":10,"input_cache_creation":9,"input_ephemeral_1h_input_tokens":4,"output":3}"#;
    assert_eq!(hour(json!({"langfuse.observation.usage_details": langfuse})), json!(4));
}

#[test]
fn the_session_of_a_root_is_its_column() {
    for (attributes, want) in [
        (json!({"session.id": "a", "gen_ai.conversation.id": "b"}), Some("a")),
        (json!({"gen_ai.conversation.id": "b"}), Some("b")),
        (json!({"langfuse.session.id": "c"}), Some("c")),
        (json!({"mlflow.trace.session": "\"d\""}), Some("d")),
        (json!({"session.id": 7}), Some("7")),
        (json!({"x": "y"}), None),
    ] {
        let decoded = decoded("", &[span(&json!({"session.id": "other"}), &json!({})), span(&attributes, &json!({}))]);
        assert_eq!(decoded.roots[1].session.as_deref(), want, "{attributes}");
    }
}
