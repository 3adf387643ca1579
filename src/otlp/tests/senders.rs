//! What each sender of docs/senders.md calls its operations, tools, sessions and tokens, in attributes of its own.

use super::{Row, column, row, row_of};
use serde_json::{Value as Json, json};

/// The columns of a row, by name.
fn columns(row: &Row, names: &[&str]) -> Json {
    names.iter().map(|name| ((*name).to_owned(), column(row, name))).collect::<serde_json::Map<_, _>>().into()
}

/// Whether the row of a span of that name has these columns.
fn check(name: &str, scope: &str, attributes: Json, want: Json) {
    let row = row_of(scope, &attributes, &json!({"name": name}));
    let names: Vec<&str> = want.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(columns(&row, &names), want, "{name} {attributes}");
}

#[test]
fn words_of_other_senders_are_the_conventions_operations() {
    for (attributes, want) in [
        // Semantic Kernel before 1.37
        (json!({"gen_ai.operation.name": "chat.completions"}), "chat"),
        (json!({"gen_ai.operation.name": "chat.streaming_completions"}), "chat"),
        (json!({"gen_ai.operation.name": "text.completions"}), "text_completion"),
        // LangChain: LangSmith's exporter
        (json!({"langsmith.span.kind": "llm"}), "chat"),
        (json!({"langsmith.span.kind": "chain"}), "invoke_workflow"),
        (json!({"langsmith.span.kind": "tool"}), "execute_tool"),
        (json!({"langsmith.span.kind": "retriever"}), "retrieval"),
        // Dify and Alibaba's agents
        (json!({"gen_ai.span.kind": "LLM"}), "chat"),
        (json!({"gen_ai.span.kind": "TASK"}), "invoke_workflow"),
        (json!({"gen_ai.span.kind": "RERANKER"}), "rerank"),
        // Haystack
        (json!({"haystack.component.type": "OpenAIChatGenerator"}), "chat"),
        (json!({"haystack.component.type": "OpenAIGenerator"}), "text_completion"),
        (json!({"haystack.component.type": "OpenAITextEmbedder"}), "embeddings"),
        (json!({"haystack.component.type": "InMemoryBM25Retriever"}), "retrieval"),
        (json!({"haystack.component.type": "PromptBuilder"}), ""),
        // Google ADK before it named operations
        (json!({"gcp.vertex.agent.llm_request": "{\"model\":\"m\"}"}), ""),
        // Spring AI
        (json!({"gen_ai.operation.name": "framework", "spring.ai.kind": "chat_client"}), "invoke_agent"),
        (json!({"gen_ai.operation.name": "framework", "spring.ai.kind": "advisor"}), "framework"),
        (
            json!({"gen_ai.operation.name": "framework", "spring.ai.kind": "tool_call", "spring.ai.tool.definition.name": "t"}),
            "execute_tool",
        ),
        // LiveKit
        (json!({"lk.function_tool.name": "lookup"}), "execute_tool"),
        // Sentry
        (json!({"gen_ai.operation.type": "ai_client"}), "chat"),
        (json!({"gen_ai.operation.type": "agent"}), "invoke_agent"),
        (json!({"gen_ai.operation.name": "responses"}), "chat"),
        // OpenAI Agents SDK
        (json!({"gen_ai.operation.name": "guardrail_check"}), "guardrail"),
        // Mastra
        (json!({"mastra.span.type": "model_generation"}), "chat"),
        (json!({"mastra.span.type": "agent_run"}), "invoke_agent"),
        (json!({"mastra.span.type": "mcp_tool_call"}), "execute_tool"),
        (json!({"mastra.span.type": "workflow_run"}), "invoke_workflow"),
        (json!({"mastra.span.type": "model_chunk"}), ""),
        // Genkit
        (json!({"genkit:type": "action", "genkit:metadata:subtype": "model"}), "chat"),
        (json!({"genkit:type": "action", "genkit:metadata:subtype": "tool.v2"}), "execute_tool"),
        (json!({"genkit:type": "action", "genkit:metadata:subtype": "flow"}), "invoke_workflow"),
        // Laminar, and so browser-use
        (json!({"lmnr.span.type": "LLM"}), "chat"),
        (json!({"lmnr.span.type": "TOOL"}), "execute_tool"),
        (json!({"lmnr.span.type": "DEFAULT"}), ""),
        // Gemini CLI
        (json!({"gen_ai.operation.name": "llm_call"}), "chat"),
        (json!({"gen_ai.operation.name": "tool_call"}), "execute_tool"),
        (json!({"gen_ai.operation.name": "agent_call"}), "invoke_agent"),
        (json!({"gen_ai.operation.name": "user_prompt"}), "invoke_agent"),
    ] {
        let got = column(&row(attributes.clone()), "Operation");
        assert_eq!(got.as_str().unwrap_or_default(), want, "{attributes}");
    }
    let adk = row_of("gcp.vertex.agent", &json!({"gcp.vertex.agent.llm_request": "{\"model\":\"m\"}"}), &json!({}));
    assert_eq!(column(&adk, "Operation"), json!("chat"));
}

#[test]
fn langsmith_says_by_its_kind_what_its_operation_hides() {
    for (kind, operation, want) in [
        ("retriever", "embeddings", "retrieval"),
        ("prompt", "chat", "prompt"),
        ("chain", "chain", "invoke_workflow"),
        ("llm", "chat", "chat"),
        ("parser", "parser", "parser"),
    ] {
        let row = row(json!({"langsmith.span.kind": kind, "gen_ai.operation.name": operation}));
        assert_eq!(column(&row, "Operation"), want, "{kind}");
    }
}

#[test]
fn langsmith_has_the_parts_of_the_usage_and_the_settings_in_its_metadata() {
    check(
        "ChatOpenAI",
        "langsmith",
        json!({"langsmith.span.kind": "llm", "gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 42,
            "langsmith.metadata.usage_metadata": r#"{"input_tokens":120,"output_tokens":42,"total_tokens":162,
                "input_token_details":{"cache_read":64,"cache_creation":10},"output_token_details":{"reasoning":24}}"#,
            "langsmith.metadata.user_id": "ana", "langsmith.metadata.ls_temperature": 0.2, "langsmith.metadata.ls_max_tokens": 256}),
        json!({"InputTokens": 120, "CacheReadTokens": 64, "CacheWriteTokens": 10, "ReasoningTokens": 24, "UserId": "ana",
            "RequestParameters": [["max_tokens", "256"], ["temperature", "0.2"]]}),
    );
}

#[test]
fn the_response_of_langchain_and_of_the_responses_api_says_its_id_and_model() {
    let result = r#"{"generations":[[{"text":"Hi","generation_info":{"finish_reason":"stop"}}]],
        "llm_output":{"id":"chatcmpl-1","model_name":"gpt-4.1-2026"}}"#;
    for key in ["gen_ai.completion", "output.value"] {
        check(
            "ChatOpenAI",
            "",
            json!({"openinference.span.kind": "LLM", key: result}),
            json!({"ResponseId": "chatcmpl-1", "ResponseModel": "gpt-4.1-2026", "FinishReasons": ["stop"]}),
        );
    }
    check(
        "response",
        "",
        json!({"openinference.span.kind": "LLM", "output.value": r#"{"object":"response","id":"resp_1","model":"m-2026","output":[]}"#}),
        json!({"ResponseId": "resp_1", "ResponseModel": "m-2026"}),
    );
}

#[test]
fn a_tool_message_of_langchain_is_what_the_tool_answered() {
    let prompt = r#"{"messages":[[{"lc":1,"type":"constructor","id":["langchain","ToolMessage"],
        "kwargs":{"content":"18 °C","type":"tool","tool_call_id":"c1","response_metadata":{"id":"x"}}}]]}"#;
    let want = r#"[{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"18 °C"}]}]"#;
    check(
        "ChatOpenAI",
        "",
        json!({"langsmith.span.kind": "llm", "gen_ai.prompt": prompt}),
        json!({"InputMessages": want}),
    );
}

#[test]
fn haystacks_agent_has_model_usage_and_finish_reason_beside_the_reply() {
    let input = r#"{"messages":[{"role":"user","meta":{},"name":null,"content":[{"text":"Lima?"}]},
        {"role":"tool","meta":{},"content":[{"tool_call_result":{"result":"18 °C","origin":{"id":"c0","tool_name":"w"},"error":false}}]}],
        "tools":[{"type":"haystack.tools.tool.Tool","data":{"name":"w","description":"d","parameters":{"type":"object"}}}]}"#;
    let output = r#"{"replies":[{"role":"assistant","meta":{"model":"m-2026","finish_reason":"tool_calls","usage":{"prompt_tokens":120,
        "completion_tokens":42,"prompt_tokens_details":{"cached_tokens":64}}},
        "content":[{"tool_call":{"tool_name":"w","arguments":{"city":"Lima"},"id":"c1","extra":null}}]}]}"#;
    check(
        "haystack.agent.step.llm",
        "haystack",
        json!({"haystack.agent.step.llm.input": input, "haystack.agent.step.llm.output": output}),
        json!({"Operation": "chat", "ResponseModel": "m-2026", "InputTokens": 120, "OutputTokens": 42, "CacheReadTokens": 64,
            "FinishReasons": ["tool_calls"],
            "InputMessages": r#"[{"role":"user","parts":[{"type":"text","content":"Lima?"}]},{"role":"tool","parts":[{"type":"tool_call_response","id":"c0","response":"18 °C"}]}]"#,
            "OutputMessages": r#"[{"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"w","arguments":{"city":"Lima"}}],"finish_reason":"tool_call"}]"#,
            "ToolDefinitions": r#"[{"type":"function","name":"w","description":"d","parameters":{"type":"object"}}]"#}),
    );
    check(
        "haystack.agent.run",
        "haystack",
        json!({"haystack.agent.max_steps": 100}),
        json!({"Operation": "invoke_agent"}),
    );
}

#[test]
fn langfuses_openai_wrapper_passes_the_providers_usage_and_request_on() {
    let usage = r#"{"prompt_tokens":120,"completion_tokens":42,"total_tokens":162,
        "prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":24}}"#;
    let input =
        r#"{"tools":[{"type":"function","function":{"name":"w"}}],"messages":[{"role":"user","content":"Lima?"}]}"#;
    check(
        "OpenAI-generation",
        "langfuse-sdk",
        json!({"langfuse.observation.type": "generation", "langfuse.observation.usage_details": usage,
            "langfuse.observation.input": input, "langfuse.observation.metadata.finish_reason": "\"stop\""}),
        json!({"InputTokens": 120, "OutputTokens": 42, "CacheReadTokens": 64, "ReasoningTokens": 24, "FinishReasons": ["stop"],
            "ToolDefinitions": r#"[{"type":"function","name":"w"}]"#}),
    );
}

#[test]
fn a_request_that_is_put_together_is_no_call() {
    let attributes = json!({"openinference.span.kind": "LLM"});
    let scope = "openinference.instrumentation.llama_index";
    check("OpenAILike._prepare_chat_with_tools", scope, attributes.clone(), json!({"Operation": "prompt"}));
    check("OpenAILike.achat", scope, attributes.clone(), json!({"Operation": "chat"}));
    check("OpenAILike._prepare_chat_with_tools", "", attributes, json!({"Operation": "chat"}));
}

#[test]
fn livekit_has_cached_and_audio_tokens_under_names_of_langfuse_too() {
    check(
        "llm_request",
        "livekit-agents",
        json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 40,
            "gen_ai.usage.input_cached_tokens": 64, "gen_ai.usage.input_audio_tokens": 30, "gen_ai.usage.output_audio_tokens": 20,
            "lk.response.ttft": 0.25, "lk.pii.chat_ctx": "what was said"}),
        json!({"InputTokens": 100, "CacheReadTokens": 64, "InputAudioTokens": 30, "OutputAudioTokens": 20,
            "SpanAttributes": [["gen_ai.operation.name", "chat"], ["gen_ai.request.model", "m"],
                ["gen_ai.usage.input_tokens", "100"], ["gen_ai.usage.output_tokens", "40"], ["gen_ai.usage.input_cached_tokens", "64"],
                ["gen_ai.usage.input_audio_tokens", "30"], ["gen_ai.usage.output_audio_tokens", "20"], ["lk.response.ttft", "0.25"]]}),
    );
}

#[test]
fn laminar_has_the_choices_of_a_response_as_its_messages() {
    let choices =
        r#"[{"finish_reason":"stop","index":0,"logprobs":null,"message":{"role":"assistant","content":"Hi"}}]"#;
    check(
        "openai.chat",
        "lmnr.tracer",
        json!({"lmnr.span.type": "LLM", "gen_ai.output.messages": choices}),
        json!({"FinishReasons": ["stop"],
            "OutputMessages": r#"[{"role":"assistant","parts":[{"type":"text","content":"Hi"}],"finish_reason":"stop"}]"#}),
    );
}

#[test]
fn the_name_of_a_framework_is_no_provider() {
    for (attributes, want) in [
        (json!({"gen_ai.system": "strands-agents"}), json!(null)),
        (json!({"gen_ai.provider.name": "langgraph"}), json!(null)),
        (json!({"gen_ai.operation.name": "framework", "gen_ai.system": "spring_ai"}), json!(null)),
        (json!({"gen_ai.provider.name": "langchain", "gen_ai.system": "openai"}), json!("openai")),
    ] {
        let row = row(attributes.clone());
        assert_eq!(column(&row, "Provider"), want, "{attributes}");
    }
}

#[test]
fn genkit_has_model_and_tokens_in_name_and_output() {
    let output = r#"{"message":{"role":"model","content":[{"text":"Lima."}]},"finishReason":"stop",
        "usage":{"inputTokens":42,"outputTokens":17,"totalTokens":62,"thoughtsTokens":3}}"#;
    check(
        "googleai/gemini-2.5-flash",
        "genkit-tracer",
        json!({"genkit:type": "action", "genkit:metadata:subtype": "model", "genkit:name": "googleai/gemini-2.5-flash",
            "genkit:sessionId": "s1", "genkit:output": output}),
        json!({"Operation": "chat", "RequestModel": "gemini-2.5-flash", "SessionId": "s1", "InputTokens": 42,
            "OutputTokens": 20, "ReasoningTokens": 3}),
    );
}

#[test]
fn genkits_parts_and_the_providers_response_in_its_own_are_read() {
    let input = r#"{"messages":[{"role":"tool","content":[{"toolResponse":{"name":"w","ref":"c0","output":"18 °C"}}]}],
        "config":{"temperature":0.2,"maxOutputTokens":256},"tools":[{"name":"w","description":"d","inputSchema":{"type":"object"}}]}"#;
    let output = r#"{"finishReason":"stop","message":{"role":"model","content":[{"toolRequest":{"name":"w","ref":"c1","input":{"city":"Lima"}}}]},
        "usage":{"inputTokens":120,"outputTokens":42},"raw":{"id":"chatcmpl-1","model":"m-2026","choices":[{"index":0}],
        "usage":{"prompt_tokens":120,"completion_tokens":42,"prompt_tokens_details":{"cached_tokens":64}}}}"#;
    check(
        "openai/m",
        "genkit-tracer",
        json!({"genkit:metadata:subtype": "model", "genkit:name": "openai/m", "genkit:input": input, "genkit:output": output}),
        json!({"ResponseId": "chatcmpl-1", "ResponseModel": "m-2026", "InputTokens": 120, "CacheReadTokens": 64, "FinishReasons": ["stop"],
            "RequestParameters": [["max_tokens", "256"], ["temperature", "0.2"]]}),
    );
    check(
        "w",
        "genkit-tracer",
        json!({"genkit:metadata:subtype": "tool.v2", "genkit:name": "w"}),
        json!({"Operation": "execute_tool", "ToolName": "w"}),
    );
    let row = row_of(
        "genkit-tracer",
        &json!({"genkit:metadata:subtype": "model", "genkit:input": input, "genkit:output": output}),
        &json!({}),
    );
    for (name, part) in [
        ("InputMessages", r#""type":"tool_call_response","id":"c0","response":"18 °C""#),
        ("OutputMessages", r#""type":"tool_call","id":"c1","name":"w","arguments":{"city":"Lima"}"#),
        ("ToolDefinitions", r#""name":"w""#),
    ] {
        assert!(column(&row, name).as_str().unwrap().contains(part), "{name}: {}", column(&row, name));
    }
}

#[test]
fn claude_codes_spans_have_calls_tools_and_turns() {
    let scope = "com.anthropic.claude_code.tracing";
    check(
        "claude_code.llm_request",
        scope,
        json!({"span.type": "llm_request", "session.id": "s1", "user.id": "installation", "user.email": "a@b.c",
            "gen_ai.system": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5", "model": "claude-sonnet-4-5",
            "input_tokens": 20_000, "output_tokens": 120, "cache_read_tokens": 15_000, "cache_creation_tokens": 300,
            "ttft_ms": 812, "success": true, "stop_reason": "tool_use", "request_id": "req_1"}),
        json!({"Operation": "chat", "SessionId": "s1", "UserId": "a@b.c", "Provider": "anthropic", "AgentName": "claude-code",
            "InputTokens": 35_300, "OutputTokens": 120, "CacheReadTokens": 15_000, "CacheWriteTokens": 300,
            "TimeToFirstToken": 812_000_000, "FinishReasons": ["tool_use"], "ResponseId": "req_1", "ErrorType": null}),
    );
    check(
        "claude_code.llm_request",
        scope,
        json!({"span.type": "llm_request", "model": "m", "success": false, "status_code": 529, "error": "Overloaded"}),
        json!({"Operation": "chat", "RequestModel": "m", "ErrorType": "529", "ErrorMessage": "Overloaded"}),
    );
    check(
        "claude_code.tool",
        scope,
        json!({"span.type": "tool", "tool_name": "Bash", "tool_use_id": "toolu_1", "full_command": "cat secret"}),
        json!({"Operation": "execute_tool", "ToolName": "Bash", "ToolCallId": "toolu_1",
            "SpanAttributes": [["span.type", "tool"], ["tool_name", "Bash"], ["tool_use_id", "toolu_1"]]}),
    );
    check(
        "claude_code.interaction",
        scope,
        json!({"span.type": "interaction", "session.id": "s1", "user_prompt": "<REDACTED>"}),
        json!({"Operation": "invoke_agent", "AgentName": "claude-code", "InputMessages": null}),
    );
    let said = row_of(
        scope,
        &json!({"span.type": "interaction", "user_prompt": "hello"}),
        &json!({"name": "claude_code.interaction"}),
    );
    assert!(column(&said, "InputMessages").as_str().unwrap().contains("hello"));
}

#[test]
fn flat_keys_of_other_spans_mean_nothing() {
    let row = row_of("", &json!({"span.type": "web", "model": "T", "input_tokens": 7, "output_tokens": 8}), &json!({}));
    assert_eq!(
        columns(&row, &["Operation", "RequestModel", "InputTokens"]),
        json!({"Operation": null, "RequestModel": null, "InputTokens": null})
    );
}

#[test]
fn codex_has_tokens_without_a_model_and_the_sum_of_a_turn() {
    check(
        "completed",
        "codex_cli_rs",
        json!({"from": "completed", "gen_ai.usage.input_tokens": 32_562, "gen_ai.usage.cache_read.input_tokens": 1_920,
            "gen_ai.usage.output_tokens": 35, "codex.usage.reasoning_output_tokens": 24, "codex.usage.total_tokens": 32_597}),
        json!({"Operation": "chat", "InputTokens": 32_562, "OutputTokens": 35, "ReasoningTokens": 24, "CacheReadTokens": 1_920}),
    );
    check(
        "session_task.turn",
        "codex_cli_rs",
        json!({"thread.id": "th-1", "turn.id": "1", "model": "gpt-5.5", "codex.turn.token_usage.input_tokens": 100,
            "codex.turn.token_usage.output_tokens": 35, "codex.turn.token_usage.total_tokens": 135}),
        json!({"Operation": "invoke_agent", "SessionId": "th-1", "ConversationId": "th-1", "RequestModel": "gpt-5.5",
            "AgentName": "codex", "InputTokens": 100}),
    );
    let agent = row(json!({"gen_ai.agent.name": "a", "gen_ai.usage.input_tokens": 1, "gen_ai.usage.output_tokens": 1}));
    assert_eq!(column(&agent, "Operation"), Json::Null, "an agent's sum is no call");
}

#[test]
fn gemini_cli_names_the_call_of_a_tool_in_a_key_of_its_own() {
    check(
        "tool_call",
        "gemini-cli",
        json!({"gen_ai.operation.name": "tool_call", "gen_ai.tool.name": "glob", "gen_ai.tool.call_id": "c1",
            "gen_ai.conversation.id": "s1", "gen_ai.agent.name": "gemini-cli"}),
        json!({"Operation": "execute_tool", "ToolName": "glob", "ToolCallId": "c1", "SessionId": "s1"}),
    );
}

#[test]
fn copilots_time_to_the_first_token_is_in_milliseconds() {
    check(
        "chat gpt-4o",
        "copilot-chat",
        json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "copilot_chat.time_to_first_token": 450}),
        json!({"TimeToFirstToken": 450_000_000}),
    );
}

#[test]
fn content_of_frameworks_is_kept_apart() {
    for key in [
        "mastra.agent_run.input",
        "mastra.tool_call.output",
        "haystack.component.output",
        "haystack.pipeline.input_data",
        "spring.ai.tool.call.arguments",
        "lk.pii.chat_ctx",
        "lk.response.text",
        "genkit:input",
        "lmnr.span.output",
        "copilot_chat.user_request",
        "copilot_chat.hook_output",
        "tool_parameters",
        "response.model_output",
        "llm.invocation_parameters",
        "gen_ai.task.input",
        "crew_tasks",
        "smolagents.task",
    ] {
        let row = row(json!({key: "a secret", "session.id": "s"}));
        assert_eq!(column(&row, "SpanAttributes"), json!([["session.id", "s"]]), "{key}");
        assert_eq!(column(&row, "ContentAttributes"), json!([[key, "a secret"]]), "{key}");
    }
}
