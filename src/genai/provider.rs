//! Names of providers: what callers write becomes the conventions' name; what they leave out is inferred.
//!
//! Source: genai `gen_ai.provider.name`, and section 3.9 of the mapping specification for aliases and signs.

use std::borrow::Cow;

/// The name when nothing gives the provider away.
pub const UNKNOWN: &str = "unknown";
/// xAI, whose token counts differ from everybody's.
pub const X_AI: &str = "x_ai";

/// The conventions' name for a provider as a caller names it: aliases resolved, unknown names as given, trimmed.
/// `None` when the name is empty.
#[must_use]
pub fn normalise(given: &str) -> Option<Cow<'_, str>> {
    let given = given.trim();
    if given.is_empty() {
        return None;
    }
    let lower = given.to_ascii_lowercase();
    let head = || lower.split_once('.').filter(|(_, tail)| !tail.contains('.')).and_then(|(head, _)| known(head));
    Some(known(&lower).or_else(head).map_or(Cow::Borrowed(given), Cow::Borrowed))
}

fn known(lower: &str) -> Option<&'static str> {
    Some(match lower {
        "openai" => "openai",
        "gcp.gen_ai" => "gcp.gen_ai",
        "gcp.vertex_ai" | "vertex_ai" | "vertexai" | "google-vertex" => "gcp.vertex_ai",
        "gcp.gemini" | "gemini" | "google" | "google.generative-ai" => "gcp.gemini",
        "anthropic" => "anthropic",
        "cohere" => "cohere",
        "azure.ai.inference" | "azure_ai" | "az.ai.inference" => "azure.ai.inference",
        "azure.ai.openai" | "azure" | "azure_openai" | "az.ai.openai" => "azure.ai.openai",
        "ibm.watsonx.ai" | "watsonx" | "ibm.watson.ai" => "ibm.watsonx.ai",
        "aws.bedrock" | "bedrock" | "aws" | "amazon-bedrock" | "amazon-bedrock.chat" => "aws.bedrock",
        "perplexity" => "perplexity",
        "x_ai" | "xai" | "grok" => X_AI,
        "deepseek" => "deepseek",
        "groq" => "groq",
        "mistral_ai" | "mistral" | "mistralai" => "mistral_ai",
        "moonshot_ai" | "moonshot" | "moonshotai" => "moonshot_ai",
        "vllm" | "hosted_vllm" => "vllm",
        "nvidia_nim" | "nim" | "nvidia" => "nvidia_nim",
        "ollama" => "ollama",
        "openrouter" => "openrouter",
        "sglang" => "sglang",
        _ => return None,
    })
}

/// The signs by which a captured call gives its provider away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs<'a> {
    /// The response has `x_groq`.
    pub groq: bool,
    /// The response or a choice has content filter results, or its error an `innererror`.
    pub azure: bool,
    /// The usage has `cost_in_usd_ticks` or `num_sources_used`.
    pub x_ai: bool,
    /// The usage has `prompt_cache_hit_tokens`.
    pub deepseek: bool,
    /// The response has a string `provider`.
    pub provider_member: bool,
    /// The response or a choice has one of vLLM's own members.
    pub vllm: bool,
    /// The response's `system_fingerprint`.
    pub fingerprint: &'a str,
    /// The model asked for, or else the one that answered.
    pub model: &'a str,
}

/// The provider the signs point to, strongest sign first.
#[must_use]
pub fn infer(signs: &Signs<'_>) -> Option<&'static str> {
    let rules = [
        (signs.groq, "groq"),
        (signs.azure, "azure.ai.openai"),
        (signs.fingerprint == "fp_ollama", "ollama"),
        (signs.x_ai, X_AI),
        (signs.deepseek, "deepseek"),
        (signs.provider_member && signs.model.contains('/'), "openrouter"),
        (signs.vllm, "vllm"),
        (is_openai_fingerprint(signs.fingerprint) || is_openai_model(signs.model), "openai"),
    ];
    let by_sign = rules.into_iter().find(|(holds, _)| *holds).map(|(_, name)| name);
    by_sign.or_else(|| {
        let prefixes = [
            ("claude", "anthropic"),
            ("gemini", "gcp.gemini"),
            ("grok", X_AI),
            ("deepseek-", "deepseek"),
            ("mistral-", "mistral_ai"),
            ("kimi", "moonshot_ai"),
        ];
        prefixes.into_iter().find(|(prefix, _)| signs.model.starts_with(prefix)).map(|(_, name)| name)
    })
}

fn is_openai_fingerprint(text: &str) -> bool {
    let is_hex = |digits: &str| digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    text.strip_prefix("fp_").is_some_and(|digits| digits.len() == 10 && is_hex(digits))
}

fn is_openai_model(model: &str) -> bool {
    let starts_with_digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let is_o_series = |rest: &str| {
        let tail = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        starts_with_digit(rest) && (tail.is_empty() || tail.starts_with('-'))
    };
    model.strip_prefix("gpt-").is_some_and(starts_with_digit)
        || model.strip_prefix('o').is_some_and(is_o_series)
        || model.starts_with("chatgpt-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_become_the_conventions_names() {
        let table = [
            ("azure.ai.openai", &["azure", "Azure_OpenAI", "az.ai.openai", "azure.chat"][..]),
            ("azure.ai.inference", &["azure_ai", "az.ai.inference"]),
            ("aws.bedrock", &["bedrock", "aws", "amazon-bedrock", "amazon-bedrock.chat"]),
            ("gcp.vertex_ai", &["vertex_ai", "vertexai", "google-vertex"]),
            ("gcp.gemini", &["gemini", " Google ", "google.generative-ai"]),
            ("x_ai", &["xai", "grok", "x_ai"]),
            ("mistral_ai", &["mistral", "mistralai"]),
            ("moonshot_ai", &["moonshot", "moonshotai"]),
            ("ibm.watsonx.ai", &["watsonx", "ibm.watson.ai"]),
            ("openai", &["openai.chat", "OpenAI"]),
            ("anthropic", &["anthropic.messages"]),
            ("vllm", &["hosted_vllm"]),
            ("nvidia_nim", &["nim", "nvidia"]),
            ("My.Own", &["My.Own"]),
        ];
        for (want, given) in table {
            for name in given {
                assert_eq!(normalise(name).as_deref(), Some(want), "{name}");
            }
        }
        assert_eq!(normalise("  "), None);
    }

    #[test]
    fn signs_point_to_their_provider() {
        let model = |model| Signs { model, ..Signs::default() };
        assert_eq!(infer(&Signs { groq: true, vllm: true, ..Signs::default() }), Some("groq"));
        assert_eq!(infer(&Signs { azure: true, ..model("gpt-4o") }), Some("azure.ai.openai"));
        assert_eq!(infer(&Signs { fingerprint: "fp_ollama", ..model("gpt-oss:20b") }), Some("ollama"));
        assert_eq!(infer(&Signs { x_ai: true, ..Signs::default() }), Some("x_ai"));
        assert_eq!(infer(&Signs { deepseek: true, ..Signs::default() }), Some("deepseek"));
        assert_eq!(infer(&Signs { provider_member: true, ..model("a/b") }), Some("openrouter"));
        assert_eq!(infer(&Signs { provider_member: true, ..model("b") }), None);
        assert_eq!(infer(&Signs { vllm: true, ..Signs::default() }), Some("vllm"));
        assert_eq!(infer(&Signs { fingerprint: "fp_44709d6fcb", ..Signs::default() }), Some("openai"));
        assert_eq!(infer(&Signs { fingerprint: "fp_44709d6fc", ..Signs::default() }), None);
        for name in ["gpt-4o", "o3-mini", "o1", "chatgpt-4o-latest"] {
            assert_eq!(infer(&model(name)), Some("openai"), "{name}");
        }
        let prefixes = [
            ("claude-sonnet-5", "anthropic"),
            ("gemini-3", "gcp.gemini"),
            ("grok-4", "x_ai"),
            ("deepseek-chat", "deepseek"),
            ("mistral-large", "mistral_ai"),
            ("kimi-k2", "moonshot_ai"),
        ];
        for (name, want) in prefixes {
            assert_eq!(infer(&model(name)), Some(want));
        }
        assert_eq!(infer(&model("gpt-oss:20b")), None);
        assert_eq!(infer(&model("olmo")), None);
    }
}
