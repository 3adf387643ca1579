//! Sections 3.7 (errors and finish reasons), 3.8 (cost) and 3.9 (providers).

use serde_json::{Value, json};

use crate::corpus::coverage::{Exercise, Row};

fn error(it: &Exercise) -> &Value {
    it.at("/response/error")
}

fn class(it: &Exercise, want: &Value) -> bool {
    it.failed && it.attribute("error.type") == want
}

/// A choice ended with one of these words, and its message says `want`.
fn normalised(it: &Exercise, raw: &[&str], want: &str) -> bool {
    let messages = it.attribute("gen_ai.output.messages").as_array().map(Vec::as_slice).unwrap_or_default();
    let said: Vec<&str> = messages.iter().filter_map(|message| message["finish_reason"].as_str()).collect();
    let reasons = it.finish_reasons();
    raw.iter().all(|raw| reasons.iter().zip(&said).any(|(reason, said)| reason == raw && *said == want))
}

fn costs(it: &Exercise, source: &str, total: f64) -> bool {
    let is = |key: &str| it.attribute(key).as_f64() == Some(total);
    is("gen_ai.usage.cost") && is("llm.cost.total") && it.attribute("millrace.cost.source") == source
}

fn cost_at(it: &Exercise, pointer: &str) -> bool {
    it.at(pointer).as_f64().is_some_and(|total| costs(it, "response", total))
}

fn by_caller(it: &Exercise) -> bool {
    it.attribute("millrace.cost.source") == "caller"
}

fn provider(it: &Exercise, given: &str, want: &str) -> bool {
    it.at("/provider").as_str().is_some_and(|name| name == given) && it.attribute("gen_ai.provider.name") == want
}

fn inferred(it: &Exercise, want: &str) -> bool {
    !it.has("/provider") && it.attribute("gen_ai.provider.name") == want
}

fn model_starts(it: &Exercise, prefix: &str) -> bool {
    it.at("/request/model").as_str().is_some_and(|model| model.starts_with(prefix))
}

fn choice_has(it: &Exercise, member: &str) -> bool {
    it.at("/response/choices/0").get(member).is_some()
}

pub(super) const ROWS: &[Row] = &[
    ("3.7 error object", "error is an object", |it| error(it).is_object() && it.failed),
    ("3.7 error string", "error is a string", |it| error(it).is_string() && it.failed),
    ("3.7 error array", "error is an array", |it| error(it).is_array() && it.failed),
    ("3.7 error empty", "{} counts", |it| error(it) == &json!({}) && it.failed),
    ("3.7 object error", "object == error", |it| it.at("/response/object") == "error" && it.failed),
    ("3.7 detail", "no choices and detail", |it| it.has("/response/detail") && it.failed),
    ("3.7 message and code", "no choices and message with statusCode", |it| {
        it.has("/response/statusCode") && it.failed
    }),
    ("3.7 error chunk", "an error among chunks", |it| {
        it.chunks().iter().any(|chunk| chunk["error"].is_object()) && it.failed
    }),
    ("3.7 choice error", "choices[].error", |it| it.at("/response/choices/0/error").get("code").is_some() && it.failed),
    ("3.7 finish error", "finish_reason error alone", |it| {
        it.finish_reasons().contains(&"error") && it.attribute("millrace.response.error").is_null() && it.failed
    }),
    ("3.7 beside choices", "error with choices: both", |it| {
        error(it).is_object() && it.has("/response/choices/0") && it.failed
    }),
    ("3.7 type code", "non-numeric code first", |it| {
        error(it)["code"].is_string() && error(it)["type"].is_string() && class(it, &error(it)["code"])
    }),
    ("3.7 type type", "then type", |it| error(it)["code"].is_number() && class(it, &error(it)["type"])),
    ("3.7 type status", "then status as a word", |it| class(it, &json!("INVALID_ARGUMENT"))),
    ("3.7 type number", "then the numeric code in decimal", |it| class(it, &json!("502"))),
    ("3.7 type statusCode", "then statusCode", |it| it.has("/response/statusCode") && class(it, &json!("401"))),
    ("3.7 type other", "else _OTHER", |it| class(it, &json!("_OTHER"))),
    ("3.7 message", "error.message -> status message", |it| {
        error(it)["message"].as_str().is_some_and(|message| message == it.message)
    }),
    ("3.7 message detail", "or detail", |it| {
        it.at("/response/detail").as_str().is_some_and(|detail| detail == it.message)
    }),
    ("3.7 message cut", "at 1024 characters", |it| it.message.chars().count() == 1024),
    ("3.7 whole error", "-> millrace.response.error", |it| {
        it.failed && error(it).is_object() && error(it) == it.attribute("millrace.response.error")
    }),
    ("3.7 no choices", "no finish_reasons, no output messages", |it| {
        it.failed && it.finish_reasons().is_empty() && it.attribute("gen_ai.output.messages").is_null()
    }),
    ("3.7 -> tool_call", "tool_calls, function_call, tool-calls, tool_use", |it| {
        normalised(it, &["function_call", "tool-calls", "tool_use"], "tool_call")
    }),
    ("3.7 tool_calls", "tool_calls -> tool_call", |it| normalised(it, &["tool_calls"], "tool_call")),
    ("3.7 -> length", "max_tokens, model_length, MAX_TOKENS", |it| {
        normalised(it, &["max_tokens", "model_length", "MAX_TOKENS"], "length")
    }),
    ("3.7 -> content_filter", "content-filter, SAFETY", |it| {
        normalised(it, &["content-filter", "SAFETY"], "content_filter")
    }),
    ("3.7 -> stop", "end_turn, stop_sequence, eos, eos_token, STOP", |it| {
        normalised(it, &["end_turn", "stop_sequence", "eos", "eos_token", "STOP"], "stop")
    }),
    ("3.7 -> error", "insufficient_system_resource, abort", |it| {
        normalised(it, &["insufficient_system_resource", "abort"], "error")
    }),
    ("3.7 null -> error", "null, status stays Unset", |it| !it.failed && normalised(it, &["error"], "error")),
    ("3.7 others", "verbatim", |it| normalised(it, &["weird"], "weird")),
    ("3.8 cost_usd", "b.cost_usd -> gen_ai.usage.cost, llm.cost.total", |it| {
        it.at("/cost_usd").as_f64().is_some_and(|total| costs(it, "caller", total))
    }),
    ("3.8 both sides", "else b.cost_input_usd + b.cost_output_usd, exact", |it| {
        !it.has("/cost_usd")
            && it.has("/response/usage/cost")
            && by_caller(it)
            && costs(it, "caller", 3.000_000_000_001)
    }),
    ("3.8 prompt", "b.cost_input_usd -> llm.cost.prompt", |it| it.carries("/cost_input_usd", "llm.cost.prompt")),
    ("3.8 completion", "b.cost_output_usd -> llm.cost.completion", |it| {
        it.carries("/cost_output_usd", "llm.cost.completion")
    }),
    ("3.8 usage.cost", "numeric u.cost", |it| cost_at(it, "/response/usage/cost")),
    ("3.8 byok", "+ upstream_inference_cost if is_byok", |it| {
        it.at("/response/usage/is_byok") == true && costs(it, "response", 0.21)
    }),
    ("3.8 total_cost", "u.cost.total_cost", |it| cost_at(it, "/response/usage/cost/total_cost")),
    ("3.8 ticks", "u.cost_in_usd_ticks / 1e10", |it| {
        it.at("/response/usage/cost_in_usd_ticks") == 37_756_000 && costs(it, "response", 0.003_775_6)
    }),
    ("3.8 estimated_cost", "u.estimated_cost", |it| cost_at(it, "/response/usage/estimated_cost")),
    ("3.8 response_cost", "_hidden_params.response_cost", |it| cost_at(it, "/response/_hidden_params/response_cost")),
    ("3.8 cache_read", "-> llm.cost.prompt_details.cache_read", |it| {
        it.carries("/cost_details/cache_read", "llm.cost.prompt_details.cache_read")
    }),
    ("3.8 cache_write", "-> llm.cost.prompt_details.cache_write", |it| {
        it.carries("/cost_details/cache_write", "llm.cost.prompt_details.cache_write")
    }),
    ("3.8 reasoning", "-> llm.cost.completion_details.reasoning", |it| {
        it.carries("/cost_details/reasoning", "llm.cost.completion_details.reasoning")
    }),
    ("3.8 other details", "-> llm.cost.<k>", |it| it.carries("/cost_details/web_search", "llm.cost.web_search")),
    ("3.9 azure", "azure", |it| provider(it, "azure", "azure.ai.openai")),
    ("3.9 azure_openai", "azure_openai", |it| provider(it, "azure_openai", "azure.ai.openai")),
    ("3.9 az.ai.openai", "az.ai.openai", |it| provider(it, "az.ai.openai", "azure.ai.openai")),
    ("3.9 azure_ai", "azure_ai", |it| provider(it, "azure_ai", "azure.ai.inference")),
    ("3.9 az.ai.inference", "az.ai.inference", |it| provider(it, "az.ai.inference", "azure.ai.inference")),
    ("3.9 bedrock", "bedrock", |it| provider(it, "bedrock", "aws.bedrock")),
    ("3.9 aws", "aws", |it| provider(it, "aws", "aws.bedrock")),
    ("3.9 amazon-bedrock", "amazon-bedrock", |it| provider(it, "amazon-bedrock", "aws.bedrock")),
    ("3.9 amazon-bedrock.chat", "amazon-bedrock.chat", |it| provider(it, "amazon-bedrock.chat", "aws.bedrock")),
    ("3.9 vertex_ai", "vertex_ai", |it| provider(it, "vertex_ai", "gcp.vertex_ai")),
    ("3.9 vertexai", "vertexai", |it| provider(it, "vertexai", "gcp.vertex_ai")),
    ("3.9 google-vertex", "google-vertex", |it| provider(it, "google-vertex", "gcp.vertex_ai")),
    ("3.9 gemini", "gemini", |it| provider(it, "gemini", "gcp.gemini")),
    ("3.9 google", "google", |it| provider(it, "google", "gcp.gemini")),
    ("3.9 google.generative-ai", "google.generative-ai", |it| provider(it, "google.generative-ai", "gcp.gemini")),
    ("3.9 xai", "xai", |it| provider(it, "xai", "x_ai")),
    ("3.9 grok", "grok", |it| provider(it, "grok", "x_ai")),
    ("3.9 mistral", "mistral", |it| provider(it, "mistral", "mistral_ai")),
    ("3.9 mistralai", "mistralai", |it| provider(it, "mistralai", "mistral_ai")),
    ("3.9 moonshot", "moonshot", |it| provider(it, "moonshot", "moonshot_ai")),
    ("3.9 moonshotai", "moonshotai", |it| provider(it, "moonshotai", "moonshot_ai")),
    ("3.9 watsonx", "watsonx", |it| provider(it, "watsonx", "ibm.watsonx.ai")),
    ("3.9 ibm.watson.ai", "ibm.watson.ai", |it| provider(it, "ibm.watson.ai", "ibm.watsonx.ai")),
    ("3.9 openai.chat", "head before the dot", |it| provider(it, "openai.chat", "openai")),
    ("3.9 anthropic.messages", "head before the dot", |it| provider(it, "anthropic.messages", "anthropic")),
    ("3.9 hosted_vllm", "hosted_vllm", |it| provider(it, "hosted_vllm", "vllm")),
    ("3.9 nim", "nim", |it| provider(it, "nim", "nvidia_nim")),
    ("3.9 nvidia", "nvidia", |it| provider(it, "nvidia", "nvidia_nim")),
    ("3.9 other", "else the given string", |it| provider(it, "my-gateway", "my-gateway")),
    ("3.9 by x_groq", "groq", |it| it.has("/response/x_groq") && inferred(it, "groq")),
    ("3.9 by prompt filters", "azure.ai.openai", |it| {
        it.has("/response/prompt_filter_results") && inferred(it, "azure.ai.openai")
    }),
    ("3.9 by choice filters", "azure.ai.openai", |it| {
        choice_has(it, "content_filter_results") && inferred(it, "azure.ai.openai")
    }),
    ("3.9 by innererror", "azure.ai.openai", |it| {
        it.has("/response/error/innererror") && inferred(it, "azure.ai.openai")
    }),
    ("3.9 by fp_ollama", "ollama", |it| it.at("/response/system_fingerprint") == "fp_ollama" && inferred(it, "ollama")),
    ("3.9 by ticks", "x_ai", |it| it.has("/response/usage/cost_in_usd_ticks") && inferred(it, "x_ai")),
    ("3.9 by sources", "x_ai", |it| it.has("/response/usage/num_sources_used") && inferred(it, "x_ai")),
    ("3.9 by cache hits", "deepseek", |it| {
        it.has("/response/usage/prompt_cache_hit_tokens") && inferred(it, "deepseek")
    }),
    ("3.9 by provider", "provider and vendor/model -> openrouter", |it| {
        it.has("/response/provider") && inferred(it, "openrouter")
    }),
    ("3.9 by stop_reason", "vllm", |it| choice_has(it, "stop_reason") && inferred(it, "vllm")),
    ("3.9 by token_ids", "vllm", |it| choice_has(it, "token_ids") && inferred(it, "vllm")),
    ("3.9 by prompt_logprobs", "vllm", |it| {
        it.at("/response").get("prompt_logprobs").is_some() && inferred(it, "vllm")
    }),
    ("3.9 by kv_transfer", "vllm", |it| it.at("/response").get("kv_transfer_params").is_some() && inferred(it, "vllm")),
    ("3.9 by fingerprint", "fp_ and ten hex digits -> openai", |it| {
        it.at("/response/system_fingerprint").as_str().is_some_and(|text| text.len() == 13) && inferred(it, "openai")
    }),
    ("3.9 by gpt-N", "openai", |it| model_starts(it, "gpt-4") && inferred(it, "openai")),
    ("3.9 by oN", "openai", |it| model_starts(it, "o3") && inferred(it, "openai")),
    ("3.9 by chatgpt-", "openai", |it| model_starts(it, "chatgpt-") && inferred(it, "openai")),
    ("3.9 by claude", "anthropic", |it| model_starts(it, "claude") && inferred(it, "anthropic")),
    ("3.9 by gemini", "gcp.gemini", |it| model_starts(it, "gemini") && inferred(it, "gcp.gemini")),
    ("3.9 by grok", "x_ai", |it| model_starts(it, "grok") && inferred(it, "x_ai")),
    ("3.9 by deepseek-", "deepseek", |it| model_starts(it, "deepseek-") && inferred(it, "deepseek")),
    ("3.9 by mistral-", "mistral_ai", |it| model_starts(it, "mistral-") && inferred(it, "mistral_ai")),
    ("3.9 by kimi", "moonshot_ai", |it| model_starts(it, "kimi") && inferred(it, "moonshot_ai")),
    ("3.9 unknown", "else unknown", |it| inferred(it, "unknown")),
];
