//! What came back, as attributes: table 3.3. What no attribute holds goes to `millrace.response.extra`.

use std::borrow::Cow;

use super::content_members::may_hold;
use super::span::{AttrValue, Attributes};
use crate::genai::messages::message::{self, Answered};
use crate::genai::messages::parts::PartReader;
use crate::genai::provider::{self, Signs};
use crate::genai::response_error::Failure;
use crate::genai::usage::{Usage, tier};
use crate::genai::{finish_reason, semconv};
use crate::json::document::Value;
use crate::json::writer::JsonWriter;

/// A response: one object, chunks merged.
#[derive(Debug, Clone)]
pub(super) struct Response<'d> {
    object: Value<'d>,
    /// In the order of their index.
    choices: Vec<Value<'d>>,
    usage: Option<Value<'d>>,
}

/// Members of a response, or of its choices, that only vLLM writes.
const VLLM_MEMBERS: [&str; 4] = ["stop_reason", "token_ids", "prompt_logprobs", "kv_transfer_params"];

impl<'d> Response<'d> {
    pub(super) fn read(object: Value<'d>) -> Self {
        let choices = object.get("choices").into_iter().flat_map(Value::items).filter(|choice| choice.is_object());
        let index = |choice: Value<'_>| choice.get("index").and_then(Value::int);
        let mut choices: Vec<_> = choices.collect();
        if choices.iter().all(|choice| index(*choice).is_some()) {
            // a choice is read once, however often it is compared
            choices.sort_by_cached_key(|choice| index(*choice));
        }
        let usage = object.get("usage").filter(|usage| usage.is_object());
        Self { object, choices, usage }
    }

    pub(super) fn usage(&self) -> Option<Value<'d>> {
        self.usage
    }

    /// The provider this response and the model asked for point to.
    pub(super) fn infer_provider(&self, request_model: &str, failure: Option<&Failure<'_>>) -> Option<&'static str> {
        let has_any = |names: &[&str]| {
            let has = |object: Value<'_>| object.members().any(|(key, _)| names.iter().any(|name| key.is_key(name)));
            has(self.object) || self.choices.iter().any(|choice| has(*choice))
        };
        let is_filtered_by_azure = || {
            let by_choice = |choice: &Value<'_>| choice.get("content_filter_results").is_some();
            self.object.get("prompt_filter_results").is_some() || self.choices.iter().any(by_choice)
        };
        let usage_has = |name: &str| self.usage.is_some_and(|usage| usage.has(name));
        let text = |name: &str| self.object.get(name).and_then(Value::str).unwrap_or_default();
        let is_blocked_by_azure =
            || failure.and_then(|failure| failure.error).is_some_and(|error| error.has("innererror"));
        let fingerprint = text("system_fingerprint");
        let signs = Signs {
            groq: self.object.get("x_groq").is_some(),
            azure: is_filtered_by_azure() || is_blocked_by_azure(),
            x_ai: usage_has("cost_in_usd_ticks") || usage_has("num_sources_used"),
            deepseek: usage_has("prompt_cache_hit_tokens"),
            provider_member: !text("provider").is_empty(),
            vllm: has_any(&VLLM_MEMBERS),
            fingerprint: &fingerprint,
            model: request_model,
        };
        let answered = text("model");
        provider::infer(&signs).or_else(|| provider::infer(&Signs { model: &answered, ..Signs::default() }))
    }

    /// Writes everything but usage, cost and error. `usage` and the member its cost came from say what of the usage
    /// is held already.
    pub(super) fn put(&self, attributes: &mut Attributes<'d>, usage: &Usage, cost_member: Option<&str>, shape: Shape) {
        let text = |name: &str| self.object.get(name).and_then(Value::filled_str);
        attributes.call.response_id = attributes.stated(semconv::RESPONSE_ID, text("id"));
        attributes.call.response_model = attributes.stated(semconv::RESPONSE_MODEL, text("model"));
        let answered = attributes.stated(semconv::OPENAI_RESPONSE_SERVICE_TIER, text("service_tier"));
        let answered = if answered.is_empty() { self.usage.and_then(tier).unwrap_or_default() } else { answered };
        if !answered.is_empty() {
            attributes.call.service_tier = answered;
        }
        attributes.optional_text(semconv::OPENAI_RESPONSE_SYSTEM_FINGERPRINT, text("system_fingerprint"));
        if !self.choices.is_empty() {
            let reason = |choice: &Value<'d>| {
                choice.get("finish_reason").or_else(|| choice.get("finishReason")).and_then(Value::filled_str)
            };
            let reasons =
                self.choices.iter().map(|choice| reason(choice).unwrap_or(Cow::Borrowed(finish_reason::ERROR)));
            let reasons = attributes.within_limits(semconv::RESPONSE_FINISH_REASONS, reasons.collect());
            attributes.call.finish_reasons = reasons.iter().take(finish_reason::COUNT_MAX).cloned().collect();
            attributes.put(semconv::RESPONSE_FINISH_REASONS, AttrValue::StrList(reasons));
            let Shape { is_stream: is_streamed, audio_mime, reader, .. } = shape;
            let answered = Answered { is_streamed, audio_mime, reader };
            let write = |json: &mut JsonWriter| message::write_output(json, &self.choices, answered);
            attributes.call.output_messages = attributes.content(semconv::OUTPUT_MESSAGES, write);
        }
        if !shape.is_error_itself {
            self.put_rest(attributes, usage, cost_member);
        }
    }

    fn put_rest(&self, attributes: &mut Attributes<'d>, usage: &Usage, cost_member: Option<&str>) {
        let all = || self.object.members().filter(|(key, value)| !is_held(*key, *value));
        let content = || all().filter(|(key, value)| may_hold(*key, *value));
        let rest = || all().filter(|(key, value)| !may_hold(*key, *value));
        if content().next().is_some() {
            attributes.json(semconv::MILLRACE_RESPONSE_CONTENT, |json| {
                json.begin_object();
                content().for_each(|(key, value)| json.copy_member(key, value));
                json.end_object();
            });
        }
        let has_usage_rest = self.usage.is_some_and(|object| usage.has_rest(object, cost_member));
        if rest().next().is_none() && !has_usage_rest {
            return;
        }
        attributes.json(semconv::MILLRACE_RESPONSE_EXTRA, |json| {
            json.begin_object();
            rest().for_each(|(key, value)| json.copy_member(key, value));
            if let Some(object) = self.usage {
                usage.write_rest(json, object, cost_member);
            }
            json.end_object();
        });
    }
}

/// What kind of response it is.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// It was put together from a stream.
    pub(super) is_stream: bool,
    /// The whole response is the error.
    pub(super) is_error_itself: bool,
    /// The MIME type of sound that was asked for.
    pub(super) audio_mime: Option<&'static str>,
    /// Reads parts of messages that are not those of chat-completions.
    pub(super) reader: Option<PartReader>,
}

/// Whether an attribute, or the raw response alone, holds all of a member.
fn is_held(key: Value<'_>, value: Value<'_>) -> bool {
    match &*key.text() {
        _ if value.is_null() => true,
        "id" | "model" | "service_tier" | "system_fingerprint" | "object" => value.is_string(),
        "created" => value.number().is_some(),
        "choices" => value.is_array(),
        "usage" => value.is_object(),
        // an error that says nothing is not an error and not a loss
        "error" => true,
        name => message::RAW_ONLY.contains(&name),
    }
}
