//! What a span says of its call in the words of each convention: its operation, provider, parameters, finish, stream and failure.

use super::{column, decoded, event, row, row_of, span};
use serde_json::{Value as Json, json};

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
        (
            json!({"ai.response.providerMetadata": r#"{"anthropic":{"usage":{"speed":"fast","service_tier":"standard"}}}"#}),
            "fast",
        ),
        (json!({"ai.response.providerMetadata": r#"{"anthropic":{"usage":{"speed": "fast"}}}"#}), "fast"),
        (
            json!({"ai.response.providerMetadata": r#"{"anthropic":{"usage":{"speed":"standard","service_tier":"batch"}}}"#}),
            "batch",
        ),
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
