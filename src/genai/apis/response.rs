//! Responses of other APIs in the form of chat-completions.

use super::Api;
use super::content::bare_text;
use crate::json::build::{self, ListBuilder, ObjectBuilder};
use crate::json::document::{Document, Value};

/// A response in the form of chat-completions. Vectors are left out: they are in the raw response.
pub(crate) fn response(api: Api, response: Value<'_>) -> Document<'static> {
    build::object(|out| match api {
        Api::ChatCompletions => copy(out, response, &[]),
        Api::Responses => of_responses(out, response),
        Api::Messages => of_messages(out, response),
        Api::Completions => of_completions(out, response),
        Api::Embeddings => copy(out, response, &["data", "embeddings", "object"]),
        Api::Rerank => of_rerank(out, response),
        Api::GenerateContent => of_generate_content(out, response),
        Api::Converse => of_converse(out, response),
    })
}

fn copy(out: &mut ObjectBuilder<'_>, members: Value<'_>, taken: &[&str]) {
    let is_taken = |key: Value<'_>| taken.iter().any(|name| key.is_key(name));
    members.members().filter(|(key, _)| !is_taken(*key)).for_each(|(key, value)| out.copy(key, value));
}

/// Adds the only choice: a message of the model with that content.
fn choice(
    out: &mut ObjectBuilder<'_>,
    put_content: impl FnOnce(&mut ObjectBuilder<'_>),
    put_rest: impl FnOnce(&mut ObjectBuilder<'_>),
) {
    out.list("choices", |choices| put_choice(choices, 0, put_content, put_rest));
}

fn put_choice(
    choices: &mut ListBuilder<'_>,
    index: i64,
    put_content: impl FnOnce(&mut ObjectBuilder<'_>),
    put_rest: impl FnOnce(&mut ObjectBuilder<'_>),
) {
    choices.object(|choice| {
        choice.number("index", index);
        choice.object("message", |message| {
            message.word("role", "assistant");
            put_content(message);
        });
        put_rest(choice);
    });
}

/// The items of the output are parts of one message; those of messages stand among them.
fn of_responses(out: &mut ObjectBuilder<'_>, response: Value<'_>) {
    let items = || response.get("output").into_iter().flat_map(Value::items);
    let is_of = |item: Value<'_>, kind: &str| item.get("type").is_some_and(|name| name.is_key(kind));
    let reason = response.get("incomplete_details").and_then(|details| details.get("reason"));
    let status = response.get("status").and_then(Value::str).unwrap_or_default();
    let calls = items().any(|item| is_of(item, "function_call") || is_of(item, "custom_tool_call"));
    let put_content = |message: &mut ObjectBuilder<'_>| {
        message.list("content", |content| {
            for item in items() {
                match item.get("content").filter(|content| is_of(item, "message") && content.is_array()) {
                    Some(parts) => parts.items().for_each(|part| content.value(part)),
                    None => content.value(item),
                }
            }
        });
    };
    if !(status == "failed" && items().next().is_none()) {
        choice(out, put_content, |choice| match (reason, &*status) {
            (Some(reason), _) => choice.member("finish_reason", reason),
            (None, "failed" | "cancelled" | "in_progress" | "queued" | "incomplete") => {}
            (None, _) => choice.word("finish_reason", if calls { "tool_calls" } else { "stop" }),
        });
    }
    if let Some(created) = response.get("created_at") {
        out.member("created", created);
    }
    // what repeats the request is there
    copy(
        out,
        response,
        &[
            "object",
            "output",
            "output_text",
            "created_at",
            "instructions",
            "tools",
            "input",
            "prompt",
            "incomplete_details",
        ],
    );
}

fn of_messages(out: &mut ObjectBuilder<'_>, response: Value<'_>) {
    let put_content = |message: &mut ObjectBuilder<'_>| {
        response.get("content").into_iter().for_each(|content| message.member("content", content));
    };
    choice(out, put_content, |choice| {
        response.get("stop_reason").into_iter().for_each(|reason| choice.member("finish_reason", reason));
        response.get("stop_sequence").into_iter().for_each(|sequence| choice.member("stop_sequence", sequence));
    });
    copy(out, response, &["type", "role", "content", "stop_reason", "stop_sequence"]);
}

fn of_completions(out: &mut ObjectBuilder<'_>, response: Value<'_>) {
    put_choices(out, response.get("choices"));
    copy(out, response, &["choices", "object"]);
}

/// Adds the choices of a response; a completion's bare text becomes a message.
pub(super) fn put_choices(response: &mut ObjectBuilder<'_>, choices: Option<Value<'_>>) {
    response.list("choices", |list| {
        for choice in choices.into_iter().flat_map(Value::items) {
            let Some(text) = bare_text(choice) else {
                list.value(choice);
                continue;
            };
            list.object(|object| {
                object.object("message", |message| {
                    message.word("role", "assistant");
                    message.member("content", text);
                });
                let others = choice.members().filter(|(key, _)| !key.is_key("text"));
                others.for_each(|(key, value)| object.copy(key, value));
            });
        }
    });
}

/// Scores stay; documents are content, and in the request.
fn of_rerank(out: &mut ObjectBuilder<'_>, response: Value<'_>) {
    out.list("results", |list| {
        for result in response.get("results").into_iter().flat_map(Value::items) {
            list.object(|object| copy(object, result, &["document", "text"]));
        }
    });
    copy(out, response, &["results", "object"]);
}

fn of_generate_content(out: &mut ObjectBuilder<'_>, response: Value<'_>) {
    let either = |names: [&str; 2]| names.into_iter().find_map(|name| response.get(name));
    for (name, value) in
        [("id", either(["responseId", "response_id"])), ("model", either(["modelVersion", "model_version"]))]
    {
        value.into_iter().for_each(|value| out.member(name, value));
    }
    out.list("choices", |choices| {
        let candidates = response.get("candidates").into_iter().flat_map(Value::items);
        for (index, candidate) in (0_i64..).zip(candidates) {
            let parts = candidate.get("content").and_then(|content| content.get("parts"));
            let put_content = |message: &mut ObjectBuilder<'_>| {
                parts.into_iter().for_each(|parts| message.member("content", parts));
            };
            put_choice(choices, index, put_content, |choice| {
                let reason = candidate.get("finishReason").or_else(|| candidate.get("finish_reason"));
                reason.into_iter().for_each(|reason| choice.member("finish_reason", reason));
                copy(choice, candidate, &["content", "finishReason", "finish_reason", "index"]);
            });
        }
    });
    if let Some(usage) = either(["usageMetadata", "usage_metadata"]) {
        out.object("usage", |out| put_gemini_usage(out, usage));
    }
    const TAKEN: [&str; 7] =
        ["candidates", "usageMetadata", "usage_metadata", "responseId", "response_id", "modelVersion", "model_version"];
    copy(out, response, &TAKEN);
}

/// Gemini counts thoughts beside the candidates, and what its tools read beside the prompt. Lists say how many tokens are of which
/// kind: audio, images and video have prices of their own.
///
/// Source: the reference of `generateContent`, `UsageMetadata`.
fn put_gemini_usage(out: &mut ObjectBuilder<'_>, usage: Value<'_>) {
    let either = |camel: &str, snake: &str| usage.get(camel).or_else(|| usage.get(snake));
    let count = |camel: &str, snake: &str| either(camel, snake).and_then(Value::int);
    let sum = |counts: [Option<i64>; 2]| counts.into_iter().flatten().reduce(i64::saturating_add);
    let thoughts = count("thoughtsTokenCount", "thoughts_token_count");
    let cached = count("cachedContentTokenCount", "cached_content_token_count");
    let by_tools = count("toolUsePromptTokenCount", "tool_use_prompt_token_count");
    for (name, value) in [
        ("prompt_tokens", sum([count("promptTokenCount", "prompt_token_count"), by_tools])),
        ("completion_tokens", sum([count("candidatesTokenCount", "candidates_token_count"), thoughts])),
        ("total_tokens", count("totalTokenCount", "total_token_count")),
    ] {
        value.into_iter().for_each(|count| out.number(name, count));
    }
    let prompt = Kinds::of([
        either("promptTokensDetails", "prompt_tokens_details"),
        either("toolUsePromptTokensDetails", "tool_use_prompt_tokens_details"),
    ]);
    let candidates = Kinds::of([either("candidatesTokensDetails", "candidates_tokens_details"), None]);
    let in_cache = Kinds::of([either("cacheTokensDetails", "cache_tokens_details"), None]);
    if cached.is_some() || !prompt.is_empty() {
        out.object("prompt_tokens_details", |details| {
            cached.into_iter().for_each(|count| details.number("cached_tokens", count));
            prompt.put(details);
            if !in_cache.is_empty() {
                details.object("cached_tokens_details", |details| in_cache.put(details));
            }
        });
    }
    if thoughts.is_some() || !candidates.is_empty() {
        out.object("completion_tokens_details", |details| {
            thoughts.into_iter().for_each(|count| details.number("reasoning_tokens", count));
            candidates.put(details);
        });
    }
    const TAKEN: [&str; 20] = [
        "promptTokenCount",
        "prompt_token_count",
        "candidatesTokenCount",
        "candidates_token_count",
        "totalTokenCount",
        "total_token_count",
        "thoughtsTokenCount",
        "thoughts_token_count",
        "cachedContentTokenCount",
        "cached_content_token_count",
        "toolUsePromptTokenCount",
        "tool_use_prompt_token_count",
        "promptTokensDetails",
        "prompt_tokens_details",
        "toolUsePromptTokensDetails",
        "tool_use_prompt_tokens_details",
        "candidatesTokensDetails",
        "candidates_tokens_details",
        "cacheTokensDetails",
        "cache_tokens_details",
    ];
    copy(out, usage, &TAKEN);
}

/// How many tokens are of which kind.
#[derive(Default)]
struct Kinds {
    audio: Option<i64>,
    image: Option<i64>,
    video: Option<i64>,
}

impl Kinds {
    /// Adds up lists of `{"modality":"AUDIO","tokenCount":100}`. Text and documents have the price of the whole.
    fn of(lists: [Option<Value<'_>>; 2]) -> Self {
        let mut kinds = Self::default();
        for detail in lists.into_iter().flatten().flat_map(Value::items) {
            let count = detail.get("tokenCount").or_else(|| detail.get("token_count")).and_then(Value::int);
            let kind = match detail.get("modality").and_then(Value::str).as_deref() {
                Some("AUDIO") => &mut kinds.audio,
                Some("IMAGE") => &mut kinds.image,
                Some("VIDEO") => &mut kinds.video,
                _ => continue,
            };
            *kind = [*kind, count].into_iter().flatten().reduce(i64::saturating_add);
        }
        kinds
    }

    fn is_empty(&self) -> bool {
        self.audio.or(self.image).or(self.video).is_none()
    }

    fn put(&self, details: &mut ObjectBuilder<'_>) {
        for (name, count) in [("audio_tokens", self.audio), ("image_tokens", self.image), ("video_tokens", self.video)]
        {
            count.into_iter().for_each(|count| details.number(name, count));
        }
    }
}

fn of_converse(out: &mut ObjectBuilder<'_>, response: Value<'_>) {
    let content = response.get("output").and_then(|output| output.get("message")?.get("content"));
    let put_content = |message: &mut ObjectBuilder<'_>| {
        content.into_iter().for_each(|content| message.member("content", content));
    };
    choice(out, put_content, |choice| {
        response.get("stopReason").into_iter().for_each(|reason| choice.member("finish_reason", reason));
    });
    if let Some(usage) = response.get("usage") {
        out.object("usage", |out| {
            // Bedrock counts cached tokens beside the input, as Anthropic does
            for (theirs, ours) in [
                ("inputTokens", "input_tokens"),
                ("outputTokens", "output_tokens"),
                ("totalTokens", "total_tokens"),
                ("cacheReadInputTokens", "cache_read_input_tokens"),
                ("cacheWriteInputTokens", "cache_creation_input_tokens"),
            ] {
                usage.get(theirs).into_iter().for_each(|count| out.member(ours, count));
            }
            if let Some(writes) = usage.get("cacheDetails") {
                out.object("cache_creation", |out| put_cache_writes(out, writes));
            }
            const TAKEN: [&str; 8] = [
                "inputTokens",
                "outputTokens",
                "totalTokens",
                "cacheReadInputTokens",
                "cacheWriteInputTokens",
                "cacheReadInputTokenCount",
                "cacheWriteInputTokenCount",
                "cacheDetails",
            ];
            copy(out, usage, &TAKEN);
        });
    }
    if let Some(latency) = response.get("metrics").and_then(|metrics| metrics.get("latencyMs")) {
        out.member("_response_ms", latency);
    }
    if let Some(id) = response.get("ResponseMetadata").and_then(|metadata| metadata.get("RequestId")) {
        out.member("id", id);
    }
    copy(out, response, &["output", "stopReason", "usage", "metrics", "ResponseMetadata"]);
}

/// Tokens written to a cache by how long it keeps them: a list of `{"ttl":"1h","inputTokens":100}`.
///
/// Source: the reference of Bedrock's runtime, `CacheDetail`.
fn put_cache_writes(out: &mut ObjectBuilder<'_>, writes: Value<'_>) {
    for (ttl, name) in [("5m", "ephemeral_5m_input_tokens"), ("1h", "ephemeral_1h_input_tokens")] {
        let of_ttl = writes.items().filter(|write| write.get("ttl").is_some_and(|own| own.is_key(ttl)));
        let counts = of_ttl.filter_map(|write| write.get("inputTokens").and_then(Value::int));
        counts.reduce(i64::saturating_add).into_iter().for_each(|count| out.number(name, count));
    }
}
