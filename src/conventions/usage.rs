//! Token counts: as attributes, as JSON in one attribute, or as Python writes a dictionary.

use super::keys::Slot;
use super::slots::{Slots, count};
use super::sources;
use crate::chat::usage::Usage;
use crate::columns::typed::{Counts, Typed};
use crate::conventions::read_json;
use crate::json::document::Value;

/// A count from here on is a mistake, an unsigned -1 for one: a few of them would overflow a sum.
const TOKENS_END: u64 = 1 << 54;

/// Fills the counts of tokens.
pub(crate) fn put(typed: &mut Typed<'_>, slots: &Slots<'_>) {
    let mut counts = [
        (Counts::InputTokens, slots.first_count(sources::INPUT_TOKENS)),
        (Counts::OutputTokens, slots.first_count(sources::OUTPUT_TOKENS)),
        (Counts::CacheReadTokens, slots.first_count(sources::CACHE_READ)),
        (Counts::CacheWriteTokens, slots.first_count(sources::CACHE_WRITE)),
        (Counts::ReasoningTokens, slots.first_count(sources::REASONING)),
        (Counts::InputAudioTokens, slots.first_count(sources::AUDIO_INPUT)),
        (Counts::OutputAudioTokens, slots.first_count(sources::AUDIO_OUTPUT)),
    ];
    for more in [langfuse, mlflow, litellm] {
        let more = more(slots);
        for (column, value) in &mut counts {
            *value = value.or_else(|| more.iter().find(|(of, _)| of == column)?.1);
        }
    }
    for (column, value) in counts {
        typed.set_count(column, value.filter(|count| *count < TOKENS_END));
    }
    include_cached(typed);
}

/// Anthropic's own counts leave cached tokens out of the input.
fn include_cached(typed: &mut Typed<'_>) {
    let cached = [Counts::CacheReadTokens, Counts::CacheWriteTokens].map(|column| typed.count(column).unwrap_or(0));
    let cached = cached.into_iter().fold(0, u64::saturating_add);
    if let Some(input) = typed.count(Counts::InputTokens).filter(|input| *input < cached) {
        typed.set_count(Counts::InputTokens, Some(input.saturating_add(cached)));
    }
}

type Found = Vec<(Counts, Option<u64>)>;

/// Langfuse: `{"input":5,"input_cached_tokens":7,"output":3}`, of which each input is a part of its own.
fn langfuse(slots: &Slots<'_>) -> Found {
    let Some(document) = slots.text(Slot::LangfuseUsage).and_then(|text| read_json(text).ok()) else {
        return Found::new();
    };
    let details = document.root();
    let sum = |prefix: &str| {
        let parts = details.members().filter(|(key, _)| key.str().is_some_and(|key| key.starts_with(prefix)));
        parts.filter_map(|(_, value)| number(value)).reduce(u64::saturating_add)
    };
    let first = |names: &[&str]| names.iter().find_map(|name| number(details.get(name)?));
    vec![
        (Counts::InputTokens, sum("input")),
        (Counts::OutputTokens, sum("output")),
        (Counts::CacheReadTokens, first(&["input_cached_tokens", "input_cache_read"])),
        (Counts::CacheWriteTokens, first(&["input_cache_creation", "input_cache_write"])),
        (Counts::ReasoningTokens, first(&["output_reasoning_tokens", "output_reasoning"])),
        (Counts::InputAudioTokens, first(&["input_audio_tokens", "input_audio"])),
        (Counts::OutputAudioTokens, first(&["output_audio_tokens", "output_audio"])),
    ]
}

/// MLflow: `{"input_tokens":5,"output_tokens":3,"cache_read_input_tokens":2}`, or its members as attributes.
fn mlflow(slots: &Slots<'_>) -> Found {
    let document = slots.text(Slot::MlflowUsage).and_then(|text| read_json(text).ok());
    let member = |name: &str, slot: Option<Slot>| {
        let within = document.as_ref().and_then(|document| number(document.root().get(name)?));
        within.or_else(|| count(slots.text(slot?)?))
    };
    vec![
        (Counts::InputTokens, member("input_tokens", Some(Slot::MlflowUsageInput))),
        (Counts::OutputTokens, member("output_tokens", Some(Slot::MlflowUsageOutput))),
        (Counts::CacheReadTokens, member("cache_read_input_tokens", Some(Slot::MlflowUsageCacheRead))),
        (Counts::CacheWriteTokens, member("cache_creation_input_tokens", None)),
        (Counts::ReasoningTokens, member("reasoning_tokens", None)),
    ]
}

/// LiteLLM: the provider's usage as Python prints a dictionary.
fn litellm(slots: &Slots<'_>) -> Found {
    let Some(text) = slots.text(Slot::LitellmUsage).filter(|text| text.starts_with('{')) else {
        return Found::new();
    };
    let document = read_json(text).or_else(|_| read_json(json_of_python(text)));
    let Ok(document) = document else {
        return Found::new();
    };
    let usage = Usage::read(document.root(), "");
    let count = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
    vec![
        (Counts::InputTokens, count(usage.input)),
        (Counts::OutputTokens, count(usage.output)),
        (Counts::CacheReadTokens, count(usage.cache_read)),
        (Counts::CacheWriteTokens, count(usage.cache_write)),
        (Counts::ReasoningTokens, count(usage.reasoning)),
    ]
}

/// A dictionary of names and numbers, as Python prints it, as JSON.
fn json_of_python(text: &str) -> String {
    text.replace('\'', "\"").replace("None", "null").replace("True", "true").replace("False", "false")
}

fn number(value: Value<'_>) -> Option<u64> {
    count(value.number().map(Into::into).or_else(|| value.str())?.as_ref())
}
