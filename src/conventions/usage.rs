//! Token counts: as attributes, as JSON in one attribute, or as Python writes a dictionary.

use super::keys::Slot;
use super::slots::{Beside, Slots, count};
use super::sources;
use crate::conventions::read_json;
use crate::genai::usage::{Sides, Usage};
use crate::json::document::{Document, Value};

/// The counts of tokens, as sent.
pub(crate) fn of(slots: &Slots<'_>) -> Usage {
    let own = Usage {
        input: slots.first_count(sources::INPUT_TOKENS),
        output: slots.first_count(sources::OUTPUT_TOKENS),
        total: slots.first_count(sources::TOTAL_TOKENS),
        cache_read: slots.first_count(sources::CACHE_READ),
        cache_write: slots.first_count(sources::CACHE_WRITE),
        cache_write_1h: slots.first_count(sources::CACHE_WRITE_HOUR),
        reasoning: slots.first_count(sources::REASONING),
        audio: Sides {
            input: slots.first_count(sources::AUDIO_INPUT),
            output: slots.first_count(sources::AUDIO_OUTPUT),
        },
        ..Usage::default()
    };
    let more =
        [langfuse, mlflow, litellm, langsmith, ai_sdk, genkit, haystack].into_iter().filter_map(|more| more(slots));
    include(more.fold(own, Usage::or), slots.beside)
}

/// Adds what the sender counts beside its totals.
fn include(usage: Usage, beside: Beside) -> Usage {
    let cached = [usage.cache_read, usage.cache_write].into_iter().flatten().filter(|_| beside.cache);
    let reasoning = usage.reasoning.filter(|_| beside.reasoning);
    let input = usage.input.map(|input| cached.fold(input.saturating_add(beside.input), u64::saturating_add));
    let output = usage.output.map(|output| output.saturating_add(reasoning.unwrap_or(0)));
    Usage { input, output, ..usage }
}

/// Langfuse: `{"input":5,"input_cached_tokens":7,"output":3}`, of which each input is a part of its own. Its wrapper of the
/// OpenAI package passes the provider's usage on.
fn langfuse(slots: &Slots<'_>) -> Option<Usage> {
    let document = slots.json(Slot::LangfuseUsage)?;
    let details = document.root();
    if ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"].iter().any(|name| details.has(name)) {
        return Some(Usage::read(details, ""));
    }
    let sum = |prefix: &str| {
        let parts = details.members().filter(|(key, _)| key.str().is_some_and(|key| key.starts_with(prefix)));
        parts.filter_map(|(_, value)| number(value)).reduce(u64::saturating_add)
    };
    let first = |names: [&str; 2]| names.iter().find_map(|name| number(details.get(name)?));
    Some(Usage {
        input: sum("input"),
        output: sum("output"),
        cache_read: first(["input_cached_tokens", "input_cache_read"]),
        cache_write: first(["input_cache_creation", "input_cache_write"]),
        cache_write_1h: first(["input_ephemeral_1h_input_tokens", "input_cache_creation_1h"]),
        reasoning: first(["output_reasoning_tokens", "output_reasoning"]),
        audio: Sides {
            input: first(["input_audio_tokens", "input_audio"]),
            output: first(["output_audio_tokens", "output_audio"]),
        },
        ..Usage::default()
    })
}

/// MLflow: `{"input_tokens":5,"output_tokens":3,"cache_read_input_tokens":2}`, or its members as attributes.
fn mlflow(slots: &Slots<'_>) -> Option<Usage> {
    let document = slots.json(Slot::MlflowUsage);
    let member = |name: &str| document.as_ref().and_then(|document| number(document.root().get(name)?));
    let attribute = |slot: Slot| slots.get(slot).and_then(count);
    Some(Usage {
        input: member("input_tokens").or_else(|| attribute(Slot::MlflowUsageInput)),
        output: member("output_tokens").or_else(|| attribute(Slot::MlflowUsageOutput)),
        cache_read: member("cache_read_input_tokens").or_else(|| attribute(Slot::MlflowUsageCacheRead)),
        cache_write: member("cache_creation_input_tokens"),
        reasoning: member("reasoning_tokens"),
        ..Usage::default()
    })
}

/// LiteLLM: the provider's usage as Python prints a dictionary.
fn litellm(slots: &Slots<'_>) -> Option<Usage> {
    let document = litellm_usage(slots)?;
    // audio counts of this source fill no column
    Some(Usage { audio: Sides::default(), ..Usage::read(document.root(), "") })
}

/// The provider's usage, if LiteLLM says it.
pub(crate) fn litellm_usage<'a>(slots: &Slots<'a>) -> Option<Document<'a>> {
    let text = slots.get(Slot::LitellmUsage).filter(|text| text.starts_with('{'))?;
    read_json(text).or_else(|_| read_json(json_of_python(text))).ok()
}

/// Vercel AI SDK: what the provider said beyond what the SDK has a name for.
fn ai_sdk(slots: &Slots<'_>) -> Option<Usage> {
    let said = provider_metadata(slots, "ephemeral_1h_input_tokens")?;
    let writes = said.root().get("anthropic")?.get("usage")?.get("cache_creation")?;
    Some(Usage { cache_write_1h: number(writes.get("ephemeral_1h_input_tokens")?), ..Usage::default() })
}

/// Genkit: the usage in the output of a model. Source: firebase/genkit, `GenerationUsageSchema`.
fn genkit(slots: &Slots<'_>) -> Option<Usage> {
    slots.get(Slot::GenkitOutput).filter(|text| text.contains("Tokens"))?;
    let output = slots.json(Slot::GenkitOutput)?;
    let usage = output.root().get("usage")?;
    let count = |name: &str| number(usage.get(name)?);
    // what a plugin leaves out may be in the provider's own response
    let raw = output.root().get("raw").and_then(|raw| raw.get("usage"));
    let raw = raw.map(|usage| Usage::read(usage, "")).unwrap_or_default();
    let own = Usage {
        input: count("inputTokens"),
        output: count("outputTokens"),
        total: count("totalTokens"),
        cache_read: count("cachedContentTokens"),
        reasoning: count("thoughtsTokens"),
        ..Usage::default()
    };
    Some(own.or(raw))
}

/// LangSmith has the sums in attributes of their own, and their parts as LangChain counts them.
/// Source: langchain-ai/langchain, `UsageMetadata`.
fn langsmith(slots: &Slots<'_>) -> Option<Usage> {
    let document = slots.json(Slot::LangsmithUsage)?;
    let usage = document.root();
    let part = |details: &str, name: &str| number(usage.get(details)?.get(name)?);
    Some(Usage {
        input: usage.get("input_tokens").and_then(number),
        output: usage.get("output_tokens").and_then(number),
        total: usage.get("total_tokens").and_then(number),
        cache_read: part("input_token_details", "cache_read"),
        cache_write: part("input_token_details", "cache_creation"),
        cache_write_1h: part("input_token_details", "ephemeral_1h_input_tokens"),
        reasoning: part("output_token_details", "reasoning"),
        audio: Sides { input: part("input_token_details", "audio"), output: part("output_token_details", "audio") },
        ..Usage::default()
    })
}

/// Haystack: the provider's usage beside the first reply. Source: deepset-ai/haystack, `ChatMessage.meta`.
fn haystack(slots: &Slots<'_>) -> Option<Usage> {
    let output = haystack_output(slots)?;
    Some(Usage::read(haystack_meta(output.root())?.get("usage")?, ""))
}

/// What a generator of Haystack answered.
pub(crate) fn haystack_output<'a>(slots: &Slots<'a>) -> Option<Document<'a>> {
    let slot = [Slot::HaystackLlmOutput, Slot::HaystackOutput].into_iter().find(|slot| slots.has(*slot))?;
    slots.get(slot).filter(|text| text.contains("\"replies\""))?;
    slots.json(slot)
}

/// What Haystack says of the first reply: model, finish reason and usage. Generators of texts have it in a list beside them.
pub(crate) fn haystack_meta(output: Value<'_>) -> Option<Value<'_>> {
    let of_reply = output.get("replies").and_then(|replies| replies.items().next()?.get("meta"));
    of_reply.or_else(|| output.get("meta")?.items().next())
}

/// What the AI SDK passes on from the provider, if the word is in it.
pub(crate) fn provider_metadata<'a>(slots: &Slots<'a>, word: &str) -> Option<Document<'a>> {
    slots.get(Slot::AiProviderMetadata).filter(|text| text.contains(word))?;
    slots.json(Slot::AiProviderMetadata)
}

/// A dictionary of names and numbers, as Python prints it, as JSON.
fn json_of_python(text: &str) -> String {
    text.replace('\'', "\"").replace("None", "null").replace("True", "true").replace("False", "false")
}

fn number(value: Value<'_>) -> Option<u64> {
    count(value.number().map(Into::into).or_else(|| value.str())?.as_ref())
}
