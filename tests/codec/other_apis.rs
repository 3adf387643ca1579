//! Captured calls of other APIs than chat-completions: told by their members or by `api`, mapped as completely, refused by path.

use millrace::chat::{self, Body, ParseOptions};
use serde_json::{Value, json};

fn attributes(body: &Value) -> Value {
    crate::spans::attributes(body, ParseOptions::default())
}

/// Checks attributes; null stands for "not there".
fn check(body: &Value, want: &Value) {
    let seen = attributes(body);
    for (key, want) in want.as_object().unwrap() {
        assert_eq!(seen.get(key).unwrap_or(&Value::Null), want, "{key} of {seen:#}");
    }
}

fn refusal(body: &Value) -> Value {
    let text = body.to_string();
    let body = Body::of_call(text.as_bytes()).unwrap();
    let errors = chat::parse(&body, &ParseOptions::default()).expect_err("it is refused");
    serde_json::from_str::<Value>(&errors.to_json()).unwrap()["detail"].clone()
}

/// Server-sent events, as a text.
fn events(events: &[Value]) -> Value {
    let lines =
        events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x")));
    lines.collect::<String>().into()
}

fn responses() -> Value {
    json!({
        "request": {
            "model": "gpt-5", "instructions": "Be brief.", "temperature": 0.5, "max_output_tokens": 100, "reasoning": {"effort": "low"},
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{\"city\":\"Lima\"}"},
                {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            ],
            "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
        },
        "response": {
            "id": "resp_1", "object": "response", "created_at": 1_790_000_000, "status": "completed", "model": "gpt-5-2026",
            "instructions": "Be brief.", "service_tier": "default",
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "The tool says so."}]},
                {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                    "content": [{"type": "output_text", "text": "Sunny.", "annotations": []}]},
            ],
            "usage": {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18, "input_tokens_details": {"cached_tokens": 3},
                "output_tokens_details": {"reasoning_tokens": 4}},
        },
    })
}

#[test]
fn a_call_of_the_responses_api_has_all_that_a_chat_has() {
    let want = json!({
        "gen_ai.operation.name": "chat", "openai.api.type": "responses", "gen_ai.request.model": "gpt-5",
        "gen_ai.request.max_tokens": 100, "gen_ai.request.temperature": 0.5, "gen_ai.request.reasoning.level": "low",
        "gen_ai.response.id": "resp_1", "gen_ai.response.model": "gpt-5-2026", "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 11, "gen_ai.usage.output_tokens": 7, "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 4, "openai.response.service_tier": "default",
        "gen_ai.tool.definitions": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
        "gen_ai.input.messages": [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
            {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Lima"}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "sunny"}]},
        ],
        "gen_ai.output.messages": [{"role": "assistant", "parts": [
            {"type": "reasoning", "content": "The tool says so.", "original_id": "rs_1"},
            {"type": "text", "content": "Sunny.", "annotations": []},
        ], "finish_reason": "stop"}],
        "millrace.request.extra": null, "millrace.response.extra": {"status": "completed"},
    });
    check(&responses(), &want);
    let named = json!({"api": "responses", "request": responses()["request"], "response": responses()["response"]});
    check(&named, &want);
}

#[test]
fn a_stream_of_the_responses_api_is_its_last_event_or_what_came_until_it_was_cut() {
    let created = json!({"type": "response.created", "response": {"id": "resp_1", "object": "response", "status": "in_progress",
        "model": "gpt-5", "output": []}});
    let delta = |text: &str| json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text});
    let completed = json!({"type": "response.completed", "response": responses()["response"]});
    let with = |response: Value| json!({"request": responses()["request"], "response": response});
    let whole = with(events(&[created.clone(), delta("Sun"), delta("ny."), completed]));
    let seen = attributes(&whole);
    let message = attributes(&responses())["gen_ai.output.messages"].clone();
    assert_eq!((&seen["gen_ai.output.messages"], &seen["gen_ai.request.stream"]), (&message, &json!(true)));
    assert_eq!((&seen["gen_ai.usage.input_tokens"], seen.get("millrace.stream.complete")), (&json!(11), None));
    let cut = attributes(&with(json!([created, delta("Sun"), delta("ny.")])));
    let message =
        json!([{"role": "assistant", "parts": [{"type": "text", "content": "Sunny."}], "finish_reason": "error"}]);
    assert_eq!((&cut["gen_ai.output.messages"], &cut["millrace.stream.complete"]), (&message, &json!(false)));
    assert_eq!(cut["gen_ai.response.id"], "resp_1");
}

fn messages() -> Value {
    json!({
        "request": {
            "model": "claude-sonnet-4-5", "max_tokens": 100, "system": "Be brief.", "stop_sequences": ["x"],
            "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t0", "name": "clock", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t0", "content": "noon"}]},
            ],
            "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
        },
        "response": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
            "content": [
                {"type": "thinking", "thinking": "look", "signature": "s"}, {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Lima"}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0, "output_tokens": 5},
        },
    })
}

const LOOK: &str = r#"[{"role":"assistant","parts":[
    {"type":"reasoning","content":"look","signature":"s"},{"type":"text","content":"Let me look."},
    {"type":"tool_call","id":"t1","name":"weather","arguments":{"city":"Lima"}}],"finish_reason":"tool_call"}]"#;

#[test]
fn a_call_of_anthropics_messages_keeps_its_blocks_in_their_order() {
    let output: Value = serde_json::from_str(LOOK).unwrap();
    check(
        &messages(),
        &json!({
            "gen_ai.operation.name": "chat", "openai.api.type": null, "gen_ai.provider.name": "anthropic",
            "gen_ai.request.max_tokens": 100, "gen_ai.request.stop_sequences": ["x"], "gen_ai.response.finish_reasons": ["tool_use"],
            "gen_ai.usage.input_tokens": 110, "gen_ai.usage.cache_read.input_tokens": 100, "gen_ai.usage.output_tokens": 5,
            "gen_ai.tool.definitions": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
            "gen_ai.input.messages": [
                {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
                {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
                {"role": "assistant", "parts": [{"type": "tool_call", "id": "t0", "name": "clock", "arguments": {}}]},
                {"role": "user", "parts": [{"type": "tool_call_response", "id": "t0", "response": "noon"}]},
            ],
            "gen_ai.output.messages": output, "millrace.request.extra": null, "millrace.response.extra": null,
        }),
    );
}

/// Gateways write zeros into one end of a stream, and Bedrock has counts in its last event.
///
/// Sources: BerriAI/litellm#31069 and #36878, mcp-use/mcp-use#2127.
#[test]
fn counts_of_a_stream_never_fall() {
    let start = |usage: Value| {
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "content": [], "usage": usage}})
    };
    let text = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}});
    let end = |usage: Value| json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage});
    let stop = |usage: Value| json!({"type": "message_stop", "usage": usage});
    let (none, counts) = (
        json!({"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}),
        json!({"input_tokens": 100, "cache_read_input_tokens": 50, "output_tokens": 15}),
    );
    for stream in [
        [start(none.clone()), text.clone(), end(counts.clone()), stop(json!({}))],
        [start(counts.clone()), text.clone(), end(none), stop(json!({}))],
        [start(json!({"input_tokens": 100})), text, end(json!({"output_tokens": 15})), stop(counts)],
    ] {
        let want = json!({"gen_ai.usage.input_tokens": 150, "gen_ai.usage.cache_read.input_tokens": 50,
            "gen_ai.usage.output_tokens": 15});
        check(&json!({"request": messages()["request"], "response": events(&stream)}), &want);
    }
}

#[test]
fn a_stream_of_anthropics_messages_is_put_together_block_by_block() {
    let start = json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": "claude-sonnet-4-5-20250929", "content": [], "stop_reason": null, "usage": {"input_tokens": 10,
        "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0, "output_tokens": 1}}});
    let block =
        |index: usize, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: usize, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let mut stream = vec![
        start,
        json!({"type": "ping"}),
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "look"})),
        delta(0, json!({"type": "signature_delta", "signature": "s"})),
        block(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "Let me "})),
        delta(1, json!({"type": "text_delta", "text": "look."})),
        block(2, json!({"type": "tool_use", "id": "t1", "name": "weather", "input": {}})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "{\"city\":"})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "\"Lima\"}"})),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}}),
        json!({"type": "message_stop"}),
    ];
    let seen = |stream: &[Value]| attributes(&json!({"request": messages()["request"], "response": events(stream)}));
    let whole = seen(&stream);
    let want: Value = serde_json::from_str(LOOK).unwrap();
    assert_eq!(whole["gen_ai.output.messages"], want);
    assert_eq!((&whole["gen_ai.usage.input_tokens"], &whole["gen_ai.usage.output_tokens"]), (&json!(110), &json!(5)));
    assert_eq!((&whole["gen_ai.request.stream"], whole.get("millrace.stream.complete")), (&json!(true), None));
    stream.truncate(7);
    let cut = seen(&stream);
    assert_eq!(cut["gen_ai.output.messages"][0]["parts"][1], json!({"type": "text", "content": "Let me "}));
    assert_eq!(
        (&cut["millrace.stream.complete"], &cut["gen_ai.response.finish_reasons"]),
        (&json!(false), &json!(["error"]))
    );
    stream.push(json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}));
    assert_eq!(seen(&stream)["error.type"], "overloaded_error");
}

#[test]
fn a_call_of_gemini_is_generate_content() {
    let request = json!({
        "contents": [{"role": "user", "parts": [{"text": "Weather?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Lima"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"sky": "blue"}}}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]}, "generationConfig": {"topK": 3, "maxOutputTokens": 9},
    });
    let part = |part: Value, more: Value| {
        let mut chunk = json!({"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}], "modelVersion": "gemini-3-pro",
            "responseId": "r1"});
        chunk["candidates"][0].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        chunk
    };
    let mut last = part(json!({"text": "ny."}), json!({"finishReason": "STOP"}));
    last["usageMetadata"] =
        json!({"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 6, "totalTokenCount": 19});
    let chunks =
        json!([part(json!({"text": "hm", "thought": true}), json!({})), part(json!({"text": "Sun"}), json!({})), last]);
    check(
        &json!({"request": request, "response": chunks}),
        &json!({
            "gen_ai.operation.name": "generate_content", "gen_ai.provider.name": "gcp.gemini", "gen_ai.response.model": "gemini-3-pro",
            "gen_ai.request.top_k": 3, "gen_ai.request.max_tokens": 9, "gen_ai.response.finish_reasons": ["STOP"],
            "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 9, "gen_ai.usage.reasoning.output_tokens": 6,
            "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"},
                {"type": "text", "content": "Sunny."}], "finish_reason": "stop"}],
            "gen_ai.input.messages": [
                {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
                {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
                {"role": "assistant", "parts": [{"type": "tool_call", "name": "weather", "arguments": {"city": "Lima"}}]},
                {"role": "user", "parts": [{"type": "tool_call_response", "response": {"sky": "blue"}, "name": "weather"}]},
            ],
        }),
    );
}

#[test]
fn a_call_of_bedrocks_converse_is_bedrocks_whatever_the_model() {
    let request = json!({
        "modelId": "anthropic.claude-sonnet-4-5", "system": [{"text": "Be brief."}], "inferenceConfig": {"maxTokens": 9},
        "messages": [{"role": "user", "content": [{"text": "Weather?"}, {"image": {"format": "png", "source": {"bytes": "AAEC"}}}]}],
    });
    let content = json!([{"reasoningContent": {"reasoningText": {"text": "look", "signature": "s"}}}, {"text": "Let me look."},
        {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Lima"}}}]);
    let response = json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use",
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 115, "cacheReadInputTokens": 100}, "metrics": {"latencyMs": 250}});
    let output: Value = serde_json::from_str(LOOK).unwrap();
    let want = json!({
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "aws.bedrock", "gen_ai.request.model": "anthropic.claude-sonnet-4-5",
        "gen_ai.request.max_tokens": 9, "gen_ai.usage.input_tokens": 110, "gen_ai.usage.output_tokens": 5, "gen_ai.output.messages": output,
        "gen_ai.input.messages": [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Weather?"},
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAEC"}]},
        ],
    });
    check(&json!({"request": request, "response": response}), &want);
    let delta = |index: usize, delta: Value| json!({"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}});
    let stream = json!([
        {"messageStart": {"role": "assistant"}},
        delta(0, json!({"reasoningContent": {"text": "look"}})),
        delta(0, json!({"reasoningContent": {"signature": "s"}})),
        delta(1, json!({"text": "Let me "})),
        delta(1, json!({"text": "look."})),
        {"contentBlockStart": {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}},
        delta(2, json!({"toolUse": {"input": "{\"city\":"}})),
        delta(2, json!({"toolUse": {"input": "\"Lima\"}"}})),
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": response["usage"], "metrics": {"latencyMs": 250}}},
    ]);
    check(&json!({"request": request, "response": stream}), &want);
}

#[test]
fn completions_embeddings_and_rankings_have_operations_of_their_own() {
    let text = json!({"request": {"model": "m", "prompt": "The mill", "max_tokens": 5},
        "response": {"choices": [{"text": " turns.", "index": 0, "finish_reason": "length"}]}});
    check(
        &text,
        &json!({
            "gen_ai.operation.name": "text_completion", "gen_ai.request.max_tokens": 5, "openai.api.type": null,
            "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "The mill"}]}],
            "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": " turns."}], "finish_reason": "length"}],
        }),
    );
    let chunk = |text: &str, reason: Value| json!({"object": "text_completion", "choices": [{"text": text, "index": 0, "finish_reason": reason}]});
    let stream =
        json!({"request": text["request"], "response": [chunk(" tur", Value::Null), chunk("ns.", json!("length"))]});
    let seen = attributes(&stream);
    assert_eq!(seen["gen_ai.output.messages"], attributes(&text)["gen_ai.output.messages"]);
    assert_eq!(seen["gen_ai.operation.name"], "text_completion");

    let vectors = json!({"object": "list", "model": "e", "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
        "usage": {"prompt_tokens": 5, "total_tokens": 5}});
    check(
        &json!({"request": {"model": "e", "input": ["a mill", "a stream"]}, "response": vectors}),
        &json!({
            "gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 5, "gen_ai.output.messages": null,
            "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "a mill"}, {"type": "text", "content": "a stream"}]}],
            "millrace.response.extra": null, "millrace.request.extra": null,
        }),
    );
    let ranked =
        json!({"id": "r", "results": [{"index": 1, "relevance_score": 0.5, "document": {"text": "a stream"}}]});
    check(
        &json!({"request": {"model": "rerank-v3", "query": "mill?", "documents": ["a", "a stream"]}, "response": ranked}),
        &json!({
            "gen_ai.operation.name": "rerank", "millrace.response.extra": {"results": [{"index": 1, "relevance_score": 0.5}]},
            "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "mill?"}, {"type": "text", "content": "a"},
                {"type": "text", "content": "a stream"}]}],
        }),
    );
}

#[test]
fn a_failed_call_is_told_by_its_request() {
    let failed = json!({"error": {"message": "no such model", "type": "not_found_error"}});
    let with = |request: Value| attributes(&json!({"request": request, "response": failed}));
    let seen = with(responses()["request"].clone());
    assert_eq!((&seen["openai.api.type"], &seen["error.type"]), (&json!("responses"), &json!("not_found_error")));
    assert_eq!(seen["gen_ai.input.messages"][0]["role"], "system");
    assert_eq!(with(messages()["request"].clone())["gen_ai.provider.name"], "anthropic");
}

#[test]
fn what_is_none_of_the_apis_is_refused_where_it_is_wrong() {
    let responses = responses();
    let (request, response) = (&responses["request"], &responses["response"]);
    for (body, loc, kind) in [
        (json!({"request": {"model": "m"}, "response": response}), json!(["body", "request", "input"]), "missing"),
        (json!({"request": {"input": "x"}, "response": response}), json!(["body", "request", "model"]), "missing"),
        (json!({"request": request, "response": {"answer": 1}}), json!(["body", "response"]), "value_error"),
        (
            json!({"request": {"model": "m", "question": "x"}, "response": {"choices": []}}),
            json!(["body", "request", "messages"]),
            "missing",
        ),
        (json!({"api": "soap", "request": request, "response": response}), json!(["body", "api"]), "enum"),
        (json!({"api": 7, "request": request, "response": response}), json!(["body", "api"]), "string_type"),
        (
            json!({"api": "messages", "request": request, "response": response}),
            json!(["body", "request", "messages"]),
            "missing",
        ),
        (
            json!({"api": "chat_completions", "request": request, "response": response}),
            json!(["body", "request", "messages"]),
            "missing",
        ),
    ] {
        let detail = refusal(&body);
        assert_eq!((&detail[0]["loc"], &detail[0]["type"]), (&loc, &json!(kind)), "{body}: {detail}");
    }
}
