//! Producers that deviate from the API they imitate, each with the attributes its deviation is about.

use millrace::chat::ParseOptions;
use serde_json::{Value, json};

/// The attributes of a pair, JSON where they are JSON.
fn attributes(model: &str, response: &Value) -> Value {
    let body = json!({"request": {"model": model, "messages": []}, "response": response});
    crate::spans::attributes(&body, ParseOptions::default())
}

/// Checks attributes; null stands for "not there".
fn check(model: &str, response: &Value, want: &Value) {
    let seen = attributes(model, response);
    for (key, want) in want.as_object().unwrap() {
        assert_eq!(seen.get(key).unwrap_or(&Value::Null), want, "{model}: {key} of {seen}");
    }
}

#[test]
fn groq_streams_its_usage_in_a_member_of_its_own() {
    let usage =
        json!({"queue_time": 0.25, "prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "total_time": 0.5});
    let response = json!([
        {"id": "c", "created": 1_790_000_000, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}], "x_groq": {"id": "r"}},
        {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "r", "usage": usage}},
    ]);
    let want = json!({
        "gen_ai.provider.name": "groq", "millrace.provider.inferred": true, "gen_ai.request.stream": true,
        "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 3, "millrace.timing": "derived",
        "millrace.stream.complete": null,
    });
    check("llama-3.3-70b-versatile", &response, &want);
}

#[test]
fn openrouter_names_its_upstream_and_its_price() {
    let message = json!({"role": "assistant", "content": "x", "reasoning": "r", "reasoning_details": [{"type": "reasoning.text", "text": "r"}]});
    let response = json!({
        "id": "gen-1", "provider": "Anthropic", "model": "anthropic/claude-sonnet-5",
        "choices": [{"index": 0, "finish_reason": "stop", "native_finish_reason": "end_turn", "message": message}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12, "cost": 0.01, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.2}},
    });
    let want = json!({
        "gen_ai.provider.name": "openrouter", "millrace.cost.source": "response",
        "gen_ai.output.messages": [{"role": "assistant", "parts": [
            {"type": "reasoning", "content": "r", "reasoning_details": [{"type": "reasoning.text", "text": "r"}]},
            {"type": "text", "content": "x"},
        ], "finish_reason": "stop", "native_finish_reason": "end_turn"}],
        "millrace.response.extra": {"provider": "Anthropic", "usage": {"cost": 0.01, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.2}}},
    });
    check("anthropic/claude-sonnet-5", &response, &want);
    assert_eq!(attributes("a/b", &response)["gen_ai.usage.cost"].to_string(), "0.21");
}

#[test]
fn xai_bills_in_ticks_and_counts_reasoning_apart() {
    let response = json!({
        "id": "x", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}], "citations": ["https://x"],
        "usage": {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, "completion_tokens_details": {"reasoning_tokens": 94}, "num_sources_used": 0, "cost_in_usd_ticks": 37_756_000},
    });
    let want = json!({
        "gen_ai.provider.name": "x_ai", "gen_ai.usage.output_tokens": 103, "gen_ai.usage.total_tokens": 135,
        "millrace.response.extra": {"citations": ["https://x"], "usage": {"num_sources_used": 0}},
    });
    check("house-model", &response, &want);
    assert_eq!(attributes("m", &response)["gen_ai.usage.cost"].to_string(), "0.0037756");
}

#[test]
fn mistral_answers_in_parts_and_calls_with_objects() {
    let response = json!({"id": "m", "choices": [{"index": 0, "finish_reason": "model_length", "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "ok"}, {"type": "reference", "reference_ids": [1]}],
        "tool_calls": [{"id": "null", "function": {"name": "f", "arguments": {"a": 1}}, "index": 0}],
    }}]});
    let want = json!({
        "gen_ai.provider.name": "mistral_ai", "gen_ai.response.finish_reasons": ["model_length"],
        "gen_ai.output.messages": [{"role": "assistant", "parts": [
            {"type": "reasoning", "content": "hm"},
            {"type": "text", "content": "ok"},
            {"type": "generic", "generic_type": "reference", "reference_ids": [1]},
            {"type": "tool_call", "name": "f", "arguments": {"a": 1}},
        ], "finish_reason": "length"}],
    });
    check("mistral-large-latest", &response, &want);
}

#[test]
fn gemini_lists_its_error_and_fastapi_details_it() {
    let error = json!({"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"});
    let want = json!({
        "gen_ai.provider.name": "gcp.gemini", "error.type": "INVALID_ARGUMENT", "millrace.response.error": error,
        "gen_ai.request.stream": null, "millrace.stream.complete": null, "gen_ai.response.finish_reasons": null,
    });
    check("gemini-3-pro", &json!([{"error": error}]), &want);
    let detail = json!({"detail": [{"loc": ["body"], "msg": "Field required", "type": "missing"}]});
    check(
        "m",
        &detail,
        &json!({"gen_ai.provider.name": "unknown", "error.type": "_OTHER", "millrace.response.error": detail, "millrace.response.extra": null}),
    );
}

#[test]
fn azure_filters_and_perplexity_prices_in_objects() {
    let filters = json!({"hate": {"filtered": false, "severity": "safe"}});
    let azure = json!([
        {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": filters}]},
        {"id": "c", "created": 1_790_000_000, "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop", "content_filter_results": filters}]},
    ]);
    let want = json!({
        "gen_ai.provider.name": "azure.ai.openai", "gen_ai.response.id": "c", "gen_ai.response.model": "gpt-4o",
        "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "x"}], "finish_reason": "stop", "content_filter_results": filters}],
        "millrace.response.extra": {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": filters}]},
    });
    check("my-deployment", &azure, &want);
    let cost =
        json!({"input_tokens_cost": 0.001, "output_tokens_cost": 0.002, "request_cost": 0.003, "total_cost": 0.006});
    let perplexity = json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "citation_tokens": 4, "cost": cost}});
    check(
        "sonar",
        &perplexity,
        &json!({"millrace.response.extra": {"usage": {"citation_tokens": 4, "cost": cost}}, "gen_ai.output.messages": null}),
    );
    assert_eq!(attributes("sonar", &perplexity)["llm.cost.total"].to_string(), "0.006");
}

#[test]
fn litellm_repeats_anthropics_counts_inside_its_own() {
    let response = json!({
        "id": "l", "_response_ms": 812.5, "_hidden_params": {"response_cost": 0.0125, "model_id": "a"}, "created": 1_790_000_000,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x", "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}], "reasoning_content": "t"}}],
        "usage": {"prompt_tokens": 120, "completion_tokens": 5, "total_tokens": 125, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 10, "prompt_tokens_details": {"cached_tokens": 100, "cache_creation_tokens": 10}},
    });
    let want = json!({
        "gen_ai.provider.name": "anthropic", "gen_ai.usage.input_tokens": 120, "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.cache_write.input_tokens": 10, "millrace.timing": "derived",
        "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "reasoning", "content": "t", "signature": "s"}, {"type": "text", "content": "x"}], "finish_reason": "stop"}],
        "millrace.response.extra": {"_response_ms": 812.5, "_hidden_params": {"response_cost": 0.0125, "model_id": "a"}},
    });
    check("claude-sonnet-5", &response, &want);
}
