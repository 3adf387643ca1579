//! Table 3.3 (response).

use crate::corpus::coverage::{Exercise, Row};

const U: &str = "/response/usage";

fn count(it: &Exercise, pointer: &str) -> Option<i64> {
    it.at(&format!("{U}{pointer}")).as_i64()
}

fn used(it: &Exercise, key: &str) -> Option<i64> {
    it.attribute(&format!("gen_ai.usage.{key}")).as_i64()
}

/// Whether the usage has a count at `pointer` and the attribute is it.
fn held(it: &Exercise, pointer: &str, key: &str) -> bool {
    count(it, pointer).is_some_and(|count| used(it, key) == Some(count))
}

fn sum(it: &Exercise, pointers: &[&str]) -> i64 {
    pointers.iter().filter_map(|pointer| count(it, pointer)).sum()
}

fn rest_has(it: &Exercise, pointer: &str) -> bool {
    it.attribute("millrace.response.extra").pointer(pointer).is_some()
}

/// Whether a member is somewhere in the response, in its raw text, and in no attribute of it.
fn raw_only(it: &Exercise, name: &str) -> bool {
    let member = format!("\"{name}\":");
    let is_filled = |text: &str| ["[", "{"].iter().any(|open| text.contains(&format!("{member}{open}")));
    let mut of_response = it.attributes.iter().filter(|(key, _)| !key.contains("request"));
    is_filled(&it.at("/response").to_string())
        && it.raw_as_sent[1]
        && of_response.all(|(_, value)| !value.to_string().contains(&member))
}

pub(super) const ROWS: &[Row] = &[
    ("3.3 id", "r.id -> gen_ai.response.id", |it| it.carries("/response/id", "gen_ai.response.id")),
    ("3.3 model", "r.model -> gen_ai.response.model", |it| it.carries("/response/model", "gen_ai.response.model")),
    ("3.3 empty", "an empty id or model is none", |it| {
        it.chunks().iter().any(|chunk| chunk["id"] == "") && it.attribute("gen_ai.response.id") != ""
    }),
    ("3.3 finish_reasons", "raw, sorted by index", |it| {
        let choices = it.at("/response/choices").as_array().map(Vec::as_slice).unwrap_or_default();
        let mut by_index: Vec<(i64, &str)> = choices
            .iter()
            .filter_map(|choice| Some((choice["index"].as_i64()?, choice["finish_reason"].as_str()?)))
            .collect();
        let is_sorted = by_index.is_sorted_by_key(|(index, _)| *index);
        by_index.sort_unstable();
        !is_sorted && by_index.iter().map(|(_, reason)| *reason).eq(it.finish_reasons())
    }),
    ("3.3 finish_reason null", "-> error", |it| {
        let choices = it.at("/response/choices").as_array();
        choices.into_iter().flatten().any(|choice| choice["finish_reason"].is_null())
            && it.finish_reasons().contains(&"error")
    }),
    ("3.3 no choices", "no choices -> no finish_reasons, no output messages", |it| {
        it.attribute("gen_ai.response.finish_reasons").is_null() && it.attribute("gen_ai.output.messages").is_null()
    }),
    ("3.3 service_tier", "-> openai.response.service_tier", |it| {
        it.carries("/response/service_tier", "openai.response.service_tier")
    }),
    ("3.3 fingerprint", "-> openai.response.system_fingerprint", |it| {
        it.carries("/response/system_fingerprint", "openai.response.system_fingerprint")
    }),
    ("3.3 prompt_tokens", "-> input_tokens", |it| held(it, "/prompt_tokens", "input_tokens")),
    ("3.3 input_tokens", "else u.input_tokens", |it| {
        count(it, "/prompt_tokens").is_none() && held(it, "/input_tokens", "input_tokens")
    }),
    ("3.3 anthropic", "raw Anthropic usage: + cache_read + cache_creation", |it| {
        let all = ["/input_tokens", "/cache_read_input_tokens", "/cache_creation_input_tokens"];
        all.iter().all(|pointer| count(it, pointer).is_some()) && used(it, "input_tokens") == Some(sum(it, &all))
    }),
    ("3.3 cached > input", "cache_read > input: add it (xAI)", |it| {
        let all = ["/prompt_tokens", "/prompt_tokens_details/cached_tokens"];
        count(it, all[1]) > count(it, all[0]) && used(it, "input_tokens") == Some(sum(it, &all))
    }),
    ("3.3 completion_tokens", "-> output_tokens", |it| held(it, "/completion_tokens", "output_tokens")),
    ("3.3 output_tokens", "else u.output_tokens", |it| {
        count(it, "/completion_tokens").is_none() && held(it, "/output_tokens", "output_tokens")
    }),
    ("3.3 reasoning by total", "total = in + out + reasoning: + reasoning", |it| {
        let all = ["/prompt_tokens", "/completion_tokens", "/completion_tokens_details/reasoning_tokens"];
        count(it, all[2]) > Some(0)
            && count(it, "/total_tokens") == Some(sum(it, &all))
            && used(it, "output_tokens") == Some(sum(it, &all[1..]))
    }),
    ("3.3 reasoning > out", "no total and reasoning > out: + reasoning", |it| {
        let all = ["/completion_tokens", "/reasoning_tokens"];
        count(it, "/total_tokens").is_none()
            && count(it, all[1]) > count(it, all[0])
            && used(it, "output_tokens") == Some(sum(it, &all))
    }),
    ("3.3 cached_tokens", "prompt_tokens_details -> cache_read, 0 kept", |it| {
        count(it, "/prompt_tokens_details/cached_tokens") == Some(0)
            && held(it, "/prompt_tokens_details/cached_tokens", "cache_read.input_tokens")
    }),
    ("3.3 cache hits", "u.prompt_cache_hit_tokens", |it| {
        !it.has("/response/usage/prompt_tokens_details")
            && held(it, "/prompt_cache_hit_tokens", "cache_read.input_tokens")
    }),
    ("3.3 cache_read_input", "u.cache_read_input_tokens", |it| {
        held(it, "/cache_read_input_tokens", "cache_read.input_tokens")
    }),
    ("3.3 cached at top", "u.cached_tokens", |it| held(it, "/cached_tokens", "cache_read.input_tokens")),
    ("3.3 cache_write_tokens", "details -> cache_write", |it| {
        held(it, "/prompt_tokens_details/cache_write_tokens", "cache_write.input_tokens")
    }),
    ("3.3 cache_creation", "details.cache_creation_tokens", |it| {
        held(it, "/prompt_tokens_details/cache_creation_tokens", "cache_write.input_tokens")
    }),
    ("3.3 cache_creation_inp", "u.cache_creation_input_tokens", |it| {
        !it.has("/response/usage/prompt_tokens_details")
            && held(it, "/cache_creation_input_tokens", "cache_write.input_tokens")
    }),
    ("3.3 reasoning_tokens", "completion_tokens_details -> reasoning", |it| {
        held(it, "/completion_tokens_details/reasoning_tokens", "reasoning.output_tokens")
    }),
    ("3.3 reasoning output_", "output_tokens_details", |it| {
        held(it, "/output_tokens_details/reasoning_tokens", "reasoning.output_tokens")
    }),
    ("3.3 reasoning at top", "u.reasoning_tokens", |it| held(it, "/reasoning_tokens", "reasoning.output_tokens")),
    ("3.3 text in", "modality of the input", |it| held(it, "/prompt_tokens_details/text_tokens", "text.input_tokens")),
    ("3.3 image in", "modality of the input", |it| {
        held(it, "/prompt_tokens_details/image_tokens", "image.input_tokens")
    }),
    ("3.3 audio in", "modality of the input", |it| {
        held(it, "/prompt_tokens_details/audio_tokens", "audio.input_tokens")
    }),
    ("3.3 text out", "modality of the output", |it| {
        held(it, "/completion_tokens_details/text_tokens", "text.output_tokens")
    }),
    ("3.3 image out", "modality of the output", |it| {
        held(it, "/completion_tokens_details/image_tokens", "image.output_tokens")
    }),
    ("3.3 audio out", "modality of the output", |it| {
        held(it, "/completion_tokens_details/audio_tokens", "audio.output_tokens")
    }),
    ("3.3 total", "u.total_tokens -> total_tokens", |it| held(it, "/total_tokens", "total_tokens")),
    ("3.3 total computed", "else in + out", |it| {
        let both = used(it, "input_tokens").zip(used(it, "output_tokens")).map(|(input, output)| input + output);
        it.has(U) && count(it, "/total_tokens").is_none() && both.is_some() && used(it, "total_tokens") == both
    }),
    ("3.3 integral float", "10.0 is a count", |it| {
        it.at("/response/usage/prompt_tokens").is_f64() && used(it, "input_tokens").is_some()
    }),
    ("3.3 no count", "texts, booleans, negative numbers are none; kept", |it| {
        it.at("/response/usage/total_tokens").is_string() && rest_has(it, "/usage/total_tokens")
    }),
    ("3.3 choices", "r.choices -> gen_ai.output.messages, one a choice", |it| {
        let many = it.at("/response/choices").as_array().map_or(0, Vec::len);
        many > 1 && it.attribute("gen_ai.output.messages").as_array().map(Vec::len) == Some(many)
    }),
    ("3.3 rest moderation", "-> millrace.response.extra", |it| rest_has(it, "/moderation")),
    ("3.3 rest citations", "-> millrace.response.extra", |it| rest_has(it, "/citations")),
    ("3.3 rest filters", "prompt_filter_results -> millrace.response.extra", |it| {
        rest_has(it, "/prompt_filter_results")
    }),
    ("3.3 rest x_groq", "-> millrace.response.extra", |it| rest_has(it, "/x_groq")),
    ("3.3 rest metrics", "-> millrace.response.extra", |it| rest_has(it, "/metrics")),
    ("3.3 rest provider", "-> millrace.response.extra", |it| rest_has(it, "/provider")),
    ("3.3 rest usage", "unknown usage keys -> millrace.response.extra", |it| {
        it.has("/response/usage/num_sources_used") && rest_has(it, "/usage/num_sources_used")
    }),
    ("3.3 rest prediction", "prediction tokens -> millrace.response.extra", |it| {
        rest_has(it, "/usage/accepted_prediction_tokens") && rest_has(it, "/usage/rejected_prediction_tokens")
    }),
    ("3.3 raw logprobs", "in the raw column only", |it| raw_only(it, "logprobs")),
    ("3.3 raw token_ids", "in the raw column only", |it| raw_only(it, "token_ids")),
    ("3.3 raw prompt_logprobs", "in the raw column only", |it| raw_only(it, "prompt_logprobs")),
];
