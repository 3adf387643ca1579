//! Why a model stopped, in the words of the conventions' `FinishReason`.

/// The word for a choice that never finished.
pub const ERROR: &str = "error";

/// Most reasons of one call: there is one a choice, and no provider gives more than 128 of those.
pub(crate) const COUNT_MAX: usize = 1_024;

/// The conventions' word for a provider's finish reason; `None` is a choice that names none. Unknown words stay. A name of an
/// enumeration (`FinishReason.STOP`, as Python prints it, or `STOP`) is the same as the word.
#[must_use]
pub fn normalise(raw: Option<&str>) -> &str {
    let Some(raw) = raw else { return ERROR };
    let word = raw.rsplit_once("FinishReason.").map_or(raw, |(_, name)| name);
    let known = WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    known.map_or(raw, |(_, meaning)| meaning)
}

/// Words of providers in the conventions' words. Their own are here for the sake of names in capitals.
const WORDS: [(&str, &str); 23] = [
    ("stop", "stop"),
    ("end_turn", "stop"),
    ("stop_sequence", "stop"),
    ("eos", "stop"),
    ("eos_token", "stop"),
    ("tool_call", "tool_call"),
    ("tool_calls", "tool_call"),
    ("tool-calls", "tool_call"),
    ("tool_use", "tool_call"),
    ("function_call", "tool_call"),
    ("length", "length"),
    ("max_tokens", "length"),
    ("model_length", "length"),
    ("max_output_tokens", "length"),
    ("content_filter", "content_filter"),
    ("content-filter", "content_filter"),
    ("content_filtered", "content_filter"),
    ("guardrail_intervened", "content_filter"),
    ("safety", "content_filter"),
    ("error", ERROR),
    ("abort", ERROR),
    ("insufficient_system_resource", ERROR),
    ("", ERROR),
];

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn every_provider_says_it_in_the_conventions_words() {
        let table = [
            ("tool_call", &["tool_calls", "function_call", "tool-calls", "tool_use", "tool_call"][..]),
            (
                "length",
                &["max_tokens", "model_length", "max_output_tokens", "MAX_TOKENS", "length", "FinishReason.LENGTH"],
            ),
            (
                "content_filter",
                &["content-filter", "SAFETY", "content_filter", "content_filtered", "guardrail_intervened"],
            ),
            ("stop", &["end_turn", "stop_sequence", "eos", "eos_token", "STOP", "stop", "FinishReason.STOP"]),
            ("error", &["insufficient_system_resource", "abort", "error"]),
            ("compaction", &["compaction"]),
            ("RECITATION", &["RECITATION"]),
        ];
        for (want, raws) in table {
            assert!(raws.iter().all(|raw| normalise(Some(raw)) == want), "{want}");
        }
        assert_eq!(normalise(None), "error");
    }
}
