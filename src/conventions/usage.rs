//! Token counts: as attributes, as JSON in one attribute, or as Python writes a dictionary.

use super::keys::Slot;
use super::slots::{Beside, Slots, count};
use super::sources;
use crate::conventions::read_json;
use crate::genai::usage::{CacheWrites, Sides, Usage, first_told};
use crate::json::document::{Document, Value};

/// The counts of tokens, as sent.
pub(crate) fn of(slots: &Slots<'_>) -> Usage {
    let sides = |input, output| Sides { input: slots.first_count(input), output: slots.first_count(output) };
    let writes = CacheWrites {
        for_minutes: slots.first_count(sources::CACHE_WRITE_MINUTES),
        for_an_hour: slots.first_count(sources::CACHE_WRITE_HOUR),
    };
    let own = Usage {
        input: slots.first_count(sources::INPUT_TOKENS),
        output: slots.first_count(sources::OUTPUT_TOKENS),
        total: slots.first_count(sources::TOTAL_TOKENS),
        cache_read: slots.first_count(sources::CACHE_READ),
        cache_write: writes.whole(slots.first_count(sources::CACHE_WRITE)),
        cache_write_1h: writes.for_an_hour,
        cache_read_audio: slots.first_count(sources::AUDIO_CACHE),
        cache_read_image: slots.first_count(sources::IMAGE_CACHE),
        reasoning: slots.first_count(sources::REASONING),
        text: Sides::default(),
        image: sides(sources::IMAGE_INPUT, sources::IMAGE_OUTPUT),
        audio: sides(sources::AUDIO_INPUT, sources::AUDIO_OUTPUT),
        video: sides(sources::VIDEO_INPUT, sources::VIDEO_OUTPUT),
    };
    let said = provider_metadata(slots, "ache");
    let more = [langfuse, mlflow, litellm, langsmith, genkit, haystack].into_iter().filter_map(|more| more(slots));
    let usage = more.chain(said.as_ref().map(|said| ai_sdk(said.root()))).fold(own, Usage::or);
    let beside = slots.beside;
    let has_cache_beside = beside.cache || said.is_some_and(|said| leaves_cache_out(slots, said.root(), usage.input));
    include(usage, Beside { cache: has_cache_beside, ..beside })
}

/// Adds what the sender counts beside its totals.
fn include(usage: Usage, beside: Beside) -> Usage {
    let cached = [usage.cache_read, usage.cache_write].into_iter().flatten().filter(|_| beside.cache);
    let reasoning = usage.reasoning.filter(|_| beside.reasoning);
    let input = usage.input.map(|input| cached.fold(input.saturating_add(beside.input), u64::saturating_add));
    let output = usage.output.map(|output| output.saturating_add(reasoning.unwrap_or(0)));
    Usage { input, output, ..usage }
}

/// Langfuse: `{"input":5,"input_cached_tokens":7,"output":3}`. Each is a part of its own, and what has `input` in its name is of
/// the input. Some senders count a part in the whole as well, which their total gives away. Its wrapper of the OpenAI package
/// passes the provider's usage on.
///
/// Sources: langfuse.com/docs/observability/features/token-and-cost-tracking; langfuse/codex-observability-plugin#22.
fn langfuse(slots: &Slots<'_>) -> Option<Usage> {
    let document = slots.json(Slot::LangfuseUsage)?;
    let details = document.root();
    if ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"].iter().any(|name| details.has(name)) {
        return Some(Usage::read(details, ""));
    }
    let first = |names: &[&str]| first_told(names.iter().filter_map(|name| number(details.get(name)?)));
    let writes = CacheWrites {
        for_minutes: first(&["input_ephemeral_5m_input_tokens", "input_cache_creation_5m"]),
        for_an_hour: first(&["input_ephemeral_1h_input_tokens", "input_cache_creation_1h"]),
    };
    let (input, output) = langfuse_sides(details);
    Some(Usage {
        input,
        output,
        cache_read: first(&["input_cached_tokens", "input_cache_read", "cache_read_input_tokens"]),
        cache_write: writes.whole(first(&["input_cache_creation", "input_cache_write", "cache_creation_input_tokens"])),
        cache_write_1h: writes.for_an_hour,
        reasoning: first(&["output_reasoning_tokens", "output_reasoning"]),
        audio: Sides {
            input: first(&["input_audio_tokens", "input_audio"]),
            output: first(&["output_audio_tokens", "output_audio"]),
        },
        ..Usage::default()
    })
}

/// Input and output, parts included.
fn langfuse_sides(details: Value<'_>) -> (Option<u64>, Option<u64>) {
    let with_parts = |side: &str| {
        let parts = details.members().filter(|(key, _)| key.str().is_some_and(|key| key.contains(side)));
        parts.filter_map(|(_, value)| number(value)).reduce(u64::saturating_add)
    };
    let [input, output] = ["input", "output"].map(|side| {
        let sum = with_parts(side);
        [sum, details.get(side).and_then(number).or(sum)]
    });
    let total = details.get("total").and_then(number);
    let is_total = |(input, output): &(Option<u64>, Option<u64>)| {
        total == [*input, *output].into_iter().flatten().reduce(u64::saturating_add)
    };
    let possible = input.into_iter().flat_map(|input| output.map(|output| (input, output)));
    let [first, _] = input;
    let [other, _] = output;
    possible.into_iter().find(is_total).unwrap_or((first, other))
}

/// MLflow: `{"input_tokens":5,"output_tokens":3,"cache_read_input_tokens":2}`, or its members as attributes. Its autologging of
/// Anthropic passes on what that counts, which leaves the cache out of the input.
///
/// Source: mlflow/mlflow, `mlflow/anthropic/autolog.py`.
fn mlflow(slots: &Slots<'_>) -> Option<Usage> {
    let document = slots.json(Slot::MlflowUsage);
    let member = |name: &str| document.as_ref().and_then(|document| number(document.root().get(name)?));
    let attribute = |slot: Slot| slots.get(slot).and_then(count);
    let usage = Usage {
        input: member("input_tokens").or_else(|| attribute(Slot::MlflowUsageInput)),
        output: member("output_tokens").or_else(|| attribute(Slot::MlflowUsageOutput)),
        cache_read: member("cache_read_input_tokens").or_else(|| attribute(Slot::MlflowUsageCacheRead)),
        cache_write: member("cache_creation_input_tokens"),
        reasoning: member("reasoning_tokens"),
        ..Usage::default()
    };
    let is_anthropic = slots.first_text(&[Slot::MlflowFormat]).is_some_and(|format| format == "anthropic");
    Some(include(usage, Beside { cache: is_anthropic, ..Beside::default() }))
}

/// LiteLLM: the provider's usage as Python prints a dictionary.
fn litellm(slots: &Slots<'_>) -> Option<Usage> {
    Some(Usage::read(litellm_usage(slots)?.root(), ""))
}

/// The provider's usage, if LiteLLM says it.
pub(crate) fn litellm_usage<'a>(slots: &Slots<'a>) -> Option<Document<'a>> {
    let text = slots.get(Slot::LitellmUsage).filter(|text| text.starts_with('{'))?;
    read_json(text).or_else(|_| read_json(json_of_python(text))).ok()
}

/// Vercel AI SDK: what the provider said beyond what the SDK has a name for. Tokens written to a cache have one since version 6,
/// those read from it since version 5.
///
/// Source: vercel/ai, `providerMetadata` of `@ai-sdk/anthropic`, `@ai-sdk/amazon-bedrock` and `@ai-sdk/openai`; #8795.
fn ai_sdk(said: Value<'_>) -> Usage {
    let [anthropic, bedrock, openai] = ["anthropic", "bedrock", "openai"].map(|provider| said.get(provider));
    let count = |of: Option<Value<'_>>, name: &str| number(of?.get(name)?);
    let raw = anthropic.and_then(|of| of.get("usage")).map(|usage| Usage::read(usage, "")).unwrap_or_default();
    let of_bedrock = bedrock.and_then(|of| of.get("usage"));
    let cache_read = [
        count(anthropic, "cacheReadInputTokens"),
        raw.cache_read,
        count(of_bedrock, "cacheReadInputTokens"),
        count(openai, "cachedPromptTokens"),
    ];
    let cache_write =
        [count(anthropic, "cacheCreationInputTokens"), raw.cache_write, count(of_bedrock, "cacheWriteInputTokens")];
    Usage {
        cache_read: first_told(cache_read.into_iter().flatten()),
        cache_write: first_told(cache_write.into_iter().flatten()),
        cache_write_1h: raw.cache_write_1h,
        ..Usage::default()
    }
}

/// Whether the AI SDK leaves cached tokens out of the input of a call: before version 6 it passes on what Anthropic and Bedrock
/// count.
fn leaves_cache_out(slots: &Slots<'_>, said: Value<'_>, input: Option<u64>) -> bool {
    let is_call = slots
        .first(&[Slot::AiOperationId, Slot::AiOperationName])
        .is_some_and(|id| [".doGenerate", ".doStream"].iter().any(|end| id.contains(end)));
    let is_of_version_6 = [Slot::AiCacheRead, Slot::AiCacheWrite].iter().any(|slot| slots.has(*slot));
    let anthropic = said.get("anthropic");
    let uncached = anthropic.and_then(|of| of.get("usage")?.get("input_tokens")).and_then(number);
    let counts_apart = anthropic.is_some() || said.has("bedrock");
    is_call && counts_apart && !is_of_version_6 && uncached.is_none_or(|uncached| input == Some(uncached))
}

/// Genkit: the usage in the output of a model. Source: firebase/genkit, `GenerationUsageSchema`.
fn genkit(slots: &Slots<'_>) -> Option<Usage> {
    slots.get(Slot::GenkitOutput).filter(|text| text.contains("Tokens"))?;
    let output = slots.json(Slot::GenkitOutput)?;
    let usage = output.root().get("usage")?;
    let count = |name: &str| number(usage.get(name)?);
    // what a plugin leaves out may be in the provider's own response, as the cached tokens of Anthropic: genkit-ai/genkit#5412
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
    Some(raw.or(own))
}

/// LangSmith has the sums in attributes of their own, and their parts as LangChain counts them.
/// Source: langchain-ai/langchain, `UsageMetadata`.
fn langsmith(slots: &Slots<'_>) -> Option<Usage> {
    let document = slots.json(Slot::LangsmithUsage)?;
    let usage = document.root();
    let part = |details: &str, name: &str| number(usage.get(details)?.get(name)?);
    let writes = CacheWrites {
        for_minutes: part("input_token_details", "ephemeral_5m_input_tokens"),
        for_an_hour: part("input_token_details", "ephemeral_1h_input_tokens"),
    };
    Some(Usage {
        input: usage.get("input_tokens").and_then(number),
        output: usage.get("output_tokens").and_then(number),
        total: usage.get("total_tokens").and_then(number),
        cache_read: part("input_token_details", "cache_read"),
        cache_write: writes.whole(part("input_token_details", "cache_creation")),
        cache_write_1h: writes.for_an_hour,
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
