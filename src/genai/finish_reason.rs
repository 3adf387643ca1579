//! Why a model stopped, in the words of the conventions' `FinishReason`.

/// The word for a choice that never finished.
pub const ERROR: &str = "error";

/// Most reasons of one call: there is one a choice, and no provider gives more than 128 of those.
pub(crate) const COUNT_MAX: usize = 1_024;

/// The conventions' word for a provider's finish reason; `None` is a choice that names none. Unknown words stay.
#[must_use]
pub fn normalise(raw: Option<&str>) -> &str {
    match raw {
        None | Some("insufficient_system_resource" | "abort" | "") => ERROR,
        Some("tool_calls" | "function_call" | "tool-calls" | "tool_use") => "tool_call",
        Some("max_tokens" | "model_length" | "MAX_TOKENS") => "length",
        Some("content-filter" | "SAFETY") => "content_filter",
        Some("end_turn" | "stop_sequence" | "eos" | "eos_token" | "STOP") => "stop",
        Some(other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn every_provider_says_it_in_the_conventions_words() {
        let table = [
            ("tool_call", &["tool_calls", "function_call", "tool-calls", "tool_use", "tool_call"][..]),
            ("length", &["max_tokens", "model_length", "MAX_TOKENS", "length"]),
            ("content_filter", &["content-filter", "SAFETY", "content_filter"]),
            ("stop", &["end_turn", "stop_sequence", "eos", "eos_token", "STOP", "stop"]),
            ("error", &["insufficient_system_resource", "abort", "error"]),
            ("compaction", &["compaction"]),
        ];
        for (want, raws) in table {
            assert!(raws.iter().all(|raw| normalise(Some(raw)) == want), "{want}");
        }
        assert_eq!(normalise(None), "error");
    }
}
