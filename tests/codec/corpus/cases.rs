//! Facts too small for a sample of their own: the names of providers, the signs that give them away, the units of time.

use serde_json::{Value, json};

fn pair(name: String, provider: Option<&str>, model: &str, response: Value, expect: Value) -> (String, Value) {
    let mut ingest = json!({"request": {"model": model, "messages": []}, "response": response});
    if let Some(provider) = provider {
        ingest["provider"] = provider.into();
    }
    (name, json!({"ingest": ingest, "expect": expect}))
}

/// What callers write, and the name it has in the conventions.
const ALIASES: [(&str, &str); 31] = [
    ("azure", "azure.ai.openai"),
    ("azure_openai", "azure.ai.openai"),
    ("az.ai.openai", "azure.ai.openai"),
    ("azure_ai", "azure.ai.inference"),
    ("az.ai.inference", "azure.ai.inference"),
    ("bedrock", "aws.bedrock"),
    ("aws", "aws.bedrock"),
    ("amazon-bedrock", "aws.bedrock"),
    ("amazon-bedrock.chat", "aws.bedrock"),
    ("vertex_ai", "gcp.vertex_ai"),
    ("vertexai", "gcp.vertex_ai"),
    ("google-vertex", "gcp.vertex_ai"),
    ("gemini", "gcp.gemini"),
    ("google", "gcp.gemini"),
    ("google.generative-ai", "gcp.gemini"),
    ("xai", "x_ai"),
    ("grok", "x_ai"),
    ("mistral", "mistral_ai"),
    ("mistralai", "mistral_ai"),
    ("moonshot", "moonshot_ai"),
    ("moonshotai", "moonshot_ai"),
    ("watsonx", "ibm.watsonx.ai"),
    ("ibm.watson.ai", "ibm.watsonx.ai"),
    ("openai.chat", "openai"),
    ("anthropic.messages", "anthropic"),
    ("hosted_vllm", "vllm"),
    ("nim", "nvidia_nim"),
    ("nvidia", "nvidia_nim"),
    (" OpenAI ", "openai"),
    ("perplexity", "perplexity"),
    ("my-gateway", "my-gateway"),
];

fn choice(member: &str, value: Value) -> Value {
    let mut choice = json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}});
    if !member.is_empty() {
        choice[member] = value;
    }
    choice
}

/// Responses and models that give a provider away.
fn signs() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let plain = || json!([choice("", Value::Null)]);
    let by_member = |name: &str, value: Value| json!({"choices": plain(), name: value});
    let by_usage = |name: &str| json!({"choices": plain(), "usage": {name: 1}});
    let by_choice = |name: &str, value: Value| json!({"choices": [choice(name, value)]});
    let mut signs = vec![
        ("x_groq", "m", by_member("x_groq", json!({"id": "r"})), "groq"),
        ("prompt_filter_results", "m", by_member("prompt_filter_results", json!([1])), "azure.ai.openai"),
        ("content_filter_results", "m", by_choice("content_filter_results", json!({"hate": {}})), "azure.ai.openai"),
        ("innererror", "m", json!({"error": {"message": "m", "innererror": {"code": "x"}}}), "azure.ai.openai"),
        ("fp_ollama", "m", by_member("system_fingerprint", json!("fp_ollama")), "ollama"),
        ("cost_in_usd_ticks", "m", by_usage("cost_in_usd_ticks"), "x_ai"),
        ("num_sources_used", "m", by_usage("num_sources_used"), "x_ai"),
        ("prompt_cache_hit_tokens", "m", by_usage("prompt_cache_hit_tokens"), "deepseek"),
        ("provider and vendor/model", "a/b", by_member("provider", json!("P")), "openrouter"),
        ("provider alone", "b", by_member("provider", json!("P")), "unknown"),
        ("stop_reason", "m", by_choice("stop_reason", Value::Null), "vllm"),
        ("token_ids", "m", by_choice("token_ids", Value::Null), "vllm"),
        ("prompt_logprobs", "m", by_member("prompt_logprobs", Value::Null), "vllm"),
        ("kv_transfer_params", "m", by_member("kv_transfer_params", Value::Null), "vllm"),
        ("fp of ten digits", "m", by_member("system_fingerprint", json!("fp_0123456789")), "openai"),
        ("fp of nine digits", "m", by_member("system_fingerprint", json!("fp_012345678")), "unknown"),
    ];
    let models = [
        ("gpt-4o", "openai"),
        ("o3-mini", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("gpt-oss:20b", "unknown"),
        ("claude-sonnet-5", "anthropic"),
        ("gemini-3-pro", "gcp.gemini"),
        ("grok-4", "x_ai"),
        ("deepseek-chat", "deepseek"),
        ("mistral-large-latest", "mistral_ai"),
        ("kimi-k2", "moonshot_ai"),
        ("llama", "unknown"),
    ];
    signs.extend(models.into_iter().map(|(model, want)| (model, model, json!({"choices": plain()}), want)));
    signs
}

/// Every small case, in the form of the samples; `expect.attributes` names what the case is about and no
/// more; null stands for "not there".
pub(crate) fn cases() -> Vec<(String, Value)> {
    let provider = |want: &str| json!({"attributes": {"gen_ai.provider.name": want}});
    let mut cases: Vec<_> = ALIASES
        .iter()
        .map(|(given, want)| {
            pair(format!("provider {given}"), Some(given), "m", json!({"choices": []}), provider(want))
        })
        .collect();
    cases.extend(
        signs()
            .into_iter()
            .map(|(name, model, response, want)| pair(format!("sign {name}"), None, model, response, provider(want))),
    );
    let times = [
        (json!(1_790_000_000), "1790000000000000000"),
        (json!(1_790_000_000_123_u64), "1790000000123000000"),
        (json!(1_790_000_000_123_456_u64), "1790000000123456000"),
        (json!(1_790_000_000_123_456_789_u64), "1790000000123456789"),
        (json!(0), "1800000000000000000"),
        (json!(-5), "1800000000000000000"),
        (json!("1790000000"), "1800000000000000000"),
    ];
    cases.extend(times.into_iter().map(|(created, want)| {
        let response = json!({"created": created, "choices": []});
        let expect = json!({"attributes": {}, "startTimeUnixNano": want});
        pair(format!("created {created}"), Some("openai"), "m", response, expect)
    }));
    cases.extend(["logprobs", "token_ids", "prompt_logprobs", "prompt_token_ids"].into_iter().flat_map(|name| {
        let in_choice = json!({"choices": [choice(name, json!([1]))]});
        let on_top = json!({"choices": [choice("", Value::Null)], name: [1]});
        let expect = json!({"attributes": {"millrace.response.extra": null}});
        [(name.to_owned(), in_choice), (format!("{name} on top"), on_top)]
            .map(|(name, response)| pair(format!("raw {name}"), Some("vllm"), "m", response, expect.clone()))
    }));
    cases
}
