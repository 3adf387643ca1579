//! LiteLLM's `generic_api` callback: a `StandardLoggingPayload` becomes the body of our own ingest.
//!
//! ```text
//! model, messages, model_parameters, stream        -> request
//! response (a chat-completion, whatever the model) -> response; without usage: prompt_, completion_, total_tokens
//! status "failure", error_information, error_str   -> response.error
//! startTime, endTime, completionStartTime          -> started_at, ended_at, first_token_at (streams only)
//! response_cost, cost_breakdown                    -> cost_usd, cost_output_usd, cost_details
//! custom_llm_provider, trace_id, session_id, end_user, request_tags -> provider, trace_id, session_id, user_id, tags
//! call_type                                        -> gen_ai.operation.name
//! all else                                         -> millrace.litellm.extra
//! model, messages, model_parameters, stream; response, as they are -> RawRequest; RawResponse
//! ```
//!
//! Source: BerriAI/litellm 1.106, `litellm/types/utils.py` (`StandardLoggingPayload`) and
//! `litellm/integrations/generic_api/generic_api_callback.py`.

use std::borrow::Cow;

use super::foreign::{
    self, Foreign, Identifying, Taken, put_choices, put_messages, put_response_members, put_tags, put_text, put_time,
    put_trace, put_usd,
};
use crate::chat::identity::RecordIdentity;
use crate::chat::parse::ParseOptions;
use crate::chat::validate::ValidationErrors;
use crate::genai::semconv;
use crate::json::document::Value;
use crate::json::writer::JsonWriter;

/// `service.name` of these spans: LiteLLM made the calls. Source: the default of LiteLLM's own OpenTelemetry exporter.
const SERVICE_NAME: &str = "litellm";

/// When a call began, ended, and gave its first token.
const TIMES: [&str; 3] = ["startTime", "endTime", "completionStartTime"];

/// Rewrites one payload.
///
/// # Errors
/// When it is not JSON, no object, or has no `call_type`, which every payload has.
pub fn rewrite(record: &[u8], options: &ParseOptions) -> Result<Foreign, ValidationErrors> {
    let document = foreign::read(record, &["call_type"])?;
    let record = document.root();
    let call_type = record.get("call_type").and_then(Value::str).unwrap_or_default();
    let mut payload = Payload { record, taken: Taken::default(), json: JsonWriter::new(foreign::WHOLE) };
    payload.json.begin_object();
    payload.request();
    payload.response();
    payload.times();
    payload.cost();
    payload.caller();
    payload.json.end_object();
    let Payload { taken, json, .. } = payload;
    let (operation, api_type) = operation(&call_type);
    Ok(Foreign {
        body: json.finish().0,
        identity: identity(record),
        operation,
        api_type,
        raw: [
            foreign::raw_members(record, &["model", "messages", "model_parameters", "stream"], options),
            foreign::raw(record.get("response"), options),
        ],
        rest: taken.rest(record, semconv::MILLRACE_LITELLM_EXTRA, options.limits, |_| {}),
    })
}

/// Members that say which call it is, when nothing names it.
const CALL: [&str; 9] = [
    "call_type",
    "model",
    "model_group",
    "messages",
    "model_parameters",
    "stream",
    "response",
    "error_str",
    "error_information",
];

/// One call of several attempts has one `litellm_call_id`, and some servers repeat response ids: an attempt is known
/// by both, by when it was and by how it ended.
fn identity(record: Value<'_>) -> RecordIdentity {
    let text = |name: &str| record.get(name).and_then(Value::str).unwrap_or_default();
    let (call, id, status) = (text("litellm_call_id"), text("id"), text("status"));
    let is_named = !(call.is_empty() && id.is_empty());
    let mut identifying = Identifying::begin(SERVICE_NAME, &[&call, &id, &status]);
    CALL.iter().for_each(|name| identifying.member(name, record.get(name), !is_named));
    TIMES.iter().for_each(|name| identifying.time(name, record.get(name)));
    identifying.rest(record);
    identifying.finish(false)
}

/// The operation of a call type, and the kind of `OpenAI` API. Asynchronous calls begin with an `a`.
/// Source: `CallTypes` of `litellm/types/utils.py`.
fn operation(call_type: &str) -> (Cow<'static, str>, Option<&'static str>) {
    let known = |name: &str| {
        Some(match name {
            "completion" | "anthropic_messages" => ("chat", None),
            "responses" => ("chat", Some("responses")),
            "text_completion" => ("text_completion", None),
            "embedding" => ("embeddings", None),
            "generate_content" | "generate_content_stream" => ("generate_content", None),
            "search" | "vector_store_search" => ("retrieval", None),
            "call_mcp_tool" => ("execute_tool", None),
            "image_generation" => ("image_generation", None),
            "image_edit" => ("image_edit", None),
            "moderation" => ("moderation", None),
            "transcription" => ("transcription", None),
            "speech" => ("speech", None),
            "rerank" => ("rerank", None),
            _ => return None,
        })
    };
    let found = known(call_type).or_else(|| known(call_type.strip_prefix('a')?));
    match found {
        Some((operation, api_type)) => (operation.into(), api_type),
        None if call_type.is_empty() => ("chat".into(), None),
        None => (call_type.to_owned().into(), None),
    }
}

struct Payload<'r> {
    record: Value<'r>,
    taken: Taken<'r>,
    json: JsonWriter,
}

impl<'r> Payload<'r> {
    fn get(&self, name: &str) -> Option<Value<'r>> {
        self.record.get(name)
    }

    /// Writes a member by `put` and takes it, if it was fit to be written.
    fn move_to(
        &mut self,
        name: &'r str,
        to: &str,
        put: impl FnOnce(&mut JsonWriter, &str, Option<Value<'_>>) -> bool,
    ) -> bool {
        let value = self.get(name);
        let fits = put(&mut self.json, to, value);
        if fits {
            self.taken.take(name);
        }
        fits
    }

    fn request(&mut self) {
        self.json.key("request");
        self.json.begin_object();
        let filled = |name: &str| self.get(name).and_then(Value::filled_str);
        let model = filled("model").or_else(|| filled("model_group")).unwrap_or_default();
        if filled("model").is_some() {
            self.taken.take("model");
        }
        let messages = self.get("messages");
        if put_messages(&mut self.json, &model, messages) {
            self.taken.take("messages");
        }
        let parameters = self.get("model_parameters").filter(|parameters| {
            parameters.is_object() && !["model", "messages"].iter().any(|name| parameters.has(name))
        });
        for (key, value) in parameters.into_iter().flat_map(Value::members) {
            self.json.copy_member(key, value);
        }
        if parameters.is_some() {
            self.taken.take("model_parameters");
        }
        if let Some(stream) = self.get("stream").filter(|stream| stream.bool().is_some()) {
            self.taken.take("stream");
            if !parameters.is_some_and(|parameters| parameters.has("stream")) {
                self.json.member("stream", stream);
            }
        }
        self.json.end_object();
    }

    fn response(&mut self) {
        let response = self.get("response").filter(|response| response.is_object());
        let member = |name: &str| response.and_then(|response| response.get(name));
        self.json.key("response");
        self.json.begin_object();
        let has_failed = self.get("status").and_then(Value::str).is_some_and(|status| status == "failure");
        if has_failed && member("error").is_none() {
            self.error();
        }
        self.taken.take("status");
        let choices = member("choices").filter(|choices| choices.is_array());
        if choices.is_some() || !has_failed {
            put_choices(&mut self.json, choices);
        }
        if let Some(response) = response {
            put_response_members(&mut self.json, response);
        }
        self.usage(member("usage").filter(|usage| usage.is_object()));
        self.json.end_object();
        if response.is_some() && (choices.is_some() || member("choices").is_none()) {
            self.taken.take("response");
        }
        if self.get("id").and_then(Value::str).is_some_and(|id| member("id").and_then(Value::str) == Some(id)) {
            self.taken.take("id");
        }
    }

    /// Counts that the response's usage says too are no news; without a usage they are it.
    fn usage(&mut self, usage: Option<Value<'r>>) {
        let counts = ["prompt_tokens", "completion_tokens", "total_tokens"];
        let count = |name: &str| self.get(name).and_then(Value::int);
        let is_news = usage.is_none() && counts.iter().any(|name| count(name).is_some_and(|count| count > 0));
        let told: Vec<_> = counts
            .into_iter()
            .filter(|name| match usage {
                Some(usage) => count(name).is_some() && usage.get(name).and_then(Value::int) == count(name),
                None => count(name).is_some(),
            })
            .collect();
        if is_news {
            self.json.key("usage");
            self.json.begin_object();
        }
        for name in told {
            if let Some(value) = self.get(name).filter(|_| is_news) {
                self.json.member(name, value);
            }
            self.taken.take(name);
        }
        if is_news {
            self.json.end_object();
        }
    }

    fn error(&mut self) {
        const NAMES: [(&str, &str); 3] =
            [("error_message", "message"), ("error_class", "type"), ("error_code", "code")];
        let told = self.get("error_information").filter(|error| error.is_object());
        let member = |name: &str| told.and_then(|error| error.get(name)).filter(|value| !value.is_empty());
        let text = self.get("error_str").filter(|text| text.is_string());
        self.json.key("error");
        self.json.begin_object();
        for (name, ours) in NAMES {
            if let Some(value) = member(name).or(text.filter(|_| ours == "message")) {
                self.json.member(ours, value);
            }
        }
        let others = told.into_iter().flat_map(Value::members).filter(|(key, value)| {
            !value.is_empty() && !NAMES.iter().any(|(name, ours)| key.is_key(name) || key.is_key(ours))
        });
        others.for_each(|(key, value)| self.json.copy_member(key, value));
        self.json.end_object();
        if told.is_some() {
            self.taken.take("error_information");
        }
        let is_told =
            member("error_message").is_none_or(|message| text.is_some_and(|text| text.str() == message.str()));
        if text.is_some() && is_told {
            self.taken.take("error_str");
        }
    }

    fn times(&mut self) {
        let (start, end) = (self.get("startTime"), self.get("endTime"));
        let first = self.get("completionStartTime");
        let has_start = self.move_to("startTime", "started_at", |json, to, value| put_time(json, to, value, None));
        self.move_to("endTime", "ended_at", |json, to, value| put_time(json, to, value, start));
        let is_streamed = self.get("stream").and_then(Value::bool) == Some(true);
        if is_streamed && has_start {
            self.move_to("completionStartTime", "first_token_at", |json, to, value| put_time(json, to, value, start));
        } else if first.map(Value::raw) == end.map(Value::raw) {
            // LiteLLM repeats the end where it has no time of the first token
            self.taken.take("completionStartTime");
        }
    }

    /// The breakdown's `input_cost` leaves cached tokens out, so it is no cost of the input and stays in the rest.
    fn cost(&mut self) {
        self.move_to("response_cost", "cost_usd", put_usd);
        let part = |name: &str| self.record.get("cost_breakdown").and_then(|breakdown| breakdown.get(name));
        let is_charged = |value: Option<Value<'r>>| value.filter(|value| value.double().is_some_and(|usd| usd > 0.0));
        put_usd(&mut self.json, "cost_output_usd", part("output_cost"));
        self.json.key("cost_details");
        self.json.begin_object();
        let details = [
            ("cache_read", "cache_read_cost"),
            ("cache_write", "cache_creation_cost"),
            ("reasoning", "reasoning_cost"),
        ];
        for (ours, theirs) in details {
            put_usd(&mut self.json, ours, is_charged(part(theirs)));
        }
        self.json.end_object();
    }

    fn caller(&mut self) {
        self.json.member_str("service_name", SERVICE_NAME);
        self.move_to("custom_llm_provider", "provider", put_text);
        self.move_to("trace_id", "trace_id", |json, _, value| put_trace(json, value));
        self.move_to("request_tags", "tags", |json, _, value| put_tags(json, value));
        if !self.move_to("session_id", "session_id", put_text) {
            // what the caller of LiteLLM's proxy put into its metadata
            let theirs =
                self.get("metadata").and_then(|metadata| metadata.get("requester_metadata")?.get("session_id"));
            put_text(&mut self.json, "session_id", theirs);
        }
        if !self.move_to("end_user", "user_id", put_text) {
            let theirs = self.get("metadata").and_then(|metadata| metadata.get("user_api_key_end_user_id"));
            put_text(&mut self.json, "user_id", theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value as Json, json};

    use super::super::foreign::testing::span_of;
    use super::*;

    fn success() -> Json {
        json!({
            "id": "chatcmpl-1", "litellm_call_id": "43e33552-b5af-4e34-a7dd-265d6476e5c4",
            "trace_id": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "session_id": "", "call_type": "acompletion",
            "cache_hit": null, "stream": true, "status": "success",
            "status_fields": {"llm_api_status": "success", "guardrail_status": "not_run"},
            "custom_llm_provider": "azure", "startTime": 1795445761.556209, "endTime": 1795445762.116832,
            "completionStartTime": 1795445762.049394, "response_time": 0.4931, "model": "gpt-4o-mini",
            "model_group": "fast", "metadata": {"user_api_key_alias": "shop", "requester_metadata": {"session_id": "s-1"}},
            "response_cost": 3.6e-06, "saved_cache_cost": 0.0,
            "cost_breakdown": {"input_cost": 1.8e-06, "output_cost": 1.8e-06, "cache_read_cost": 2e-07, "total_cost": 3.6e-06},
            "total_tokens": 15, "prompt_tokens": 12, "completion_tokens": 3, "request_tags": ["shop", "beta"],
            "end_user": "ana", "api_base": "https://x.openai.azure.com", "messages": [{"role": "user", "content": "Capital of Peru?"}],
            "response": {
                "id": "chatcmpl-1", "created": 1795445762, "model": "gpt-4o-mini-2024-07-18", "object": "chat.completion",
                "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "Lima.", "role": "assistant", "tool_calls": null}}],
                "usage": {"completion_tokens": 3, "prompt_tokens": 12, "total_tokens": 15, "prompt_tokens_details": null}
            },
            "model_parameters": {"temperature": 0.2, "stream": true}, "error_str": null,
            "error_information": {"error_code": "", "error_class": "", "error_message": ""},
            "hidden_params": {"litellm_overhead_time_ms": 22.608}, "guardrail_information": null,
        })
    }

    fn with(members: Json) -> Json {
        let mut record = success();
        record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        record
    }

    fn seen(record: &Json) -> (Json, Map<String, Json>) {
        span_of(rewrite(record.to_string().as_bytes(), &ParseOptions::default()).unwrap())
    }

    #[test]
    fn a_payload_is_the_span_of_its_call_with_its_real_times() {
        let (span, attributes) = seen(&success());
        assert_eq!(
            (span["start"].as_i64(), span["end"].as_i64()),
            (Some(1_795_445_761_556_209_000), Some(1_795_445_762_116_832_000))
        );
        assert_eq!(span["trace"], "3fa85f6457174562b3fc2c963f66afa6");
        assert_eq!((span["name"].as_str(), span["service"].as_str()), (Some("chat gpt-4o-mini"), Some("litellm")));
        for (key, want) in [
            ("gen_ai.operation.name", json!("chat")),
            ("gen_ai.provider.name", json!("azure.ai.openai")),
            ("gen_ai.request.temperature", json!(0.2)),
            ("gen_ai.request.stream", json!(true)),
            ("gen_ai.response.model", json!("gpt-4o-mini-2024-07-18")),
            ("gen_ai.response.time_to_first_chunk", json!(0.493185)),
            ("gen_ai.usage.input_tokens", json!(12)),
            ("gen_ai.usage.cost", json!("0.0000036")),
            ("llm.cost.completion", json!("0.0000018")),
            ("llm.cost.prompt_details.cache_read", json!("0.0000002")),
            ("millrace.timing", json!("given")),
            ("millrace.cost.source", json!("caller")),
            ("millrace.tags", json!(["shop", "beta"])),
            ("millrace.trace_id", json!("3fa85f64-5717-4562-b3fc-2c963f66afa6")),
            ("gen_ai.conversation.id", json!("s-1")),
            ("user.id", json!("ana")),
        ] {
            assert_eq!(attributes[key], want, "{key}");
        }
        assert!(!attributes.contains_key("millrace.request.extra"), "{attributes:?}");
        let extra = &attributes["millrace.litellm.extra"];
        assert_eq!(
            extra.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(),
            [
                "litellm_call_id",
                "call_type",
                "status_fields",
                "response_time",
                "model_group",
                "metadata",
                "saved_cache_cost",
                "cost_breakdown",
                "api_base",
                "hidden_params"
            ]
        );
        assert_eq!(extra["cost_breakdown"], success()["cost_breakdown"]);
    }

    #[test]
    fn a_failure_is_an_error_span() {
        let failure = json!({
            "id": "b2a1", "litellm_call_id": "b2a1", "status": "failure", "response": {}, "stream": null, "response_cost": 0.0,
            "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0,
            "error_str": "litellm.NotFoundError: no such deployment",
            "error_information": {"error_code": "404", "error_class": "NotFoundError", "llm_provider": "openai",
                "error_message": "litellm.NotFoundError: no such deployment", "traceback": "File x", "normalized_error": null},
        });
        let (span, attributes) = seen(&with(failure));
        assert_eq!(
            (&span["failed"], &span["message"]),
            (&json!(true), &json!("litellm.NotFoundError: no such deployment"))
        );
        assert_eq!(attributes["error.type"], "NotFoundError");
        assert_eq!(attributes["millrace.response.error"]["traceback"], "File x");
        assert!(!attributes.contains_key("gen_ai.usage.input_tokens"), "nothing was used: {attributes:?}");
        assert!(!attributes.contains_key("gen_ai.response.time_to_first_chunk"), "nothing came");
        let bare = json!({"status": "failure", "response": null, "error_str": "boom", "error_information": null});
        let (span, attributes) = seen(&with(bare));
        assert_eq!((&span["message"], &attributes["error.type"]), (&json!("boom"), &json!("_OTHER")));
    }

    #[test]
    fn calls_that_are_no_chat_have_their_own_operation() {
        let data = json!({"object": "list", "model": "e", "data": [{"index": 0, "embedding": [0.25]}]});
        let (span, attributes) =
            seen(&with(json!({"call_type": "aembedding", "model": "e", "response": data, "prompt_tokens": 4})));
        assert_eq!(
            (span["name"].as_str(), attributes["gen_ai.operation.name"].as_str()),
            (Some("embeddings e"), Some("embeddings"))
        );
        assert_eq!(attributes["gen_ai.usage.input_tokens"], 4, "counted by LiteLLM where the response does not say");
        assert_eq!(attributes["millrace.response.extra"]["data"][0]["embedding"][0], 0.25);
        assert!(!attributes.contains_key("openai.api.type"));

        let text =
            json!({"object": "text_completion", "choices": [{"text": "Lima.", "index": 0, "finish_reason": "stop"}]});
        let (_, attributes) =
            seen(&with(json!({"call_type": "atext_completion", "messages": "Capital?", "response": text})));
        assert_eq!(attributes["gen_ai.operation.name"], "text_completion");
        assert_eq!(attributes["gen_ai.input.messages"][0]["parts"][0]["content"], "Capital?");
        assert_eq!(attributes["gen_ai.output.messages"][0]["parts"][0]["content"], "Lima.");

        for (call_type, operation, api) in [
            ("aresponses", "chat", Some("responses")),
            ("anthropic_messages", "chat", Some("chat_completions")),
            ("arerank", "rerank", None),
            ("_arealtime", "_arealtime", None),
            ("call_mcp_tool", "execute_tool", None),
        ] {
            let (_, attributes) = seen(&with(json!({"call_type": call_type})));
            assert_eq!(attributes["gen_ai.operation.name"], operation, "{call_type}");
            assert_eq!(attributes.get("openai.api.type").and_then(Json::as_str), api, "{call_type}");
        }
    }

    #[test]
    fn what_fits_nowhere_is_kept_and_refuses_nothing() {
        let odd = json!({
            "messages": [{"role": "critic", "content": "x"}], "response": ["a"], "response_cost": -1, "trace_id": "0".repeat(32),
            "startTime": "yesterday", "endTime": 5.5, "request_tags": [1], "model_parameters": {"model": "x"}, "model": 7,
        });
        let (span, attributes) = seen(&with(odd.clone()));
        let extra = &attributes["millrace.litellm.extra"];
        for key in [
            "messages",
            "response",
            "response_cost",
            "trace_id",
            "startTime",
            "request_tags",
            "model_parameters",
            "model",
        ] {
            assert_eq!(extra[key], odd[key], "{key}");
        }
        assert_eq!((&span["failed"], &span["name"]), (&json!(false), &json!("chat fast")));
        let early = with(json!({"endTime": 1.5}));
        assert_eq!(seen(&early).1["millrace.litellm.extra"]["endTime"], 1.5, "an end before the start is no end");
    }

    /// Span and fingerprint of a record.
    fn identity(record: &Json) -> (Json, Json) {
        let span = seen(record).0;
        (span["span"].clone(), span["fingerprint"].clone())
    }

    #[test]
    fn a_repeat_is_the_same_span_and_another_attempt_is_not() {
        let first = identity(&success());
        assert_eq!(identity(&success()), first);
        for other in [
            json!({"startTime": 1795445761.6}),
            json!({"endTime": 1795445763.5}),
            json!({"completionStartTime": 1795445761.9}),
            json!({"startTime": "yesterday"}),
            json!({"id": "chatcmpl-2"}),
            json!({"litellm_call_id": "other"}),
            json!({"status": "failure"}),
            json!({"session_id": "other"}),
            json!({"trace_id": "other"}),
            json!({"id": null, "litellm_call_id": null}),
        ] {
            let (span, fingerprint) = identity(&with(other.clone()));
            assert!(span != first.0 && fingerprint != first.1, "{other}");
        }
    }

    #[test]
    fn a_record_without_ids_is_known_by_its_call() {
        let without_ids = |members: Json| {
            let mut record = with(json!({"id": null, "litellm_call_id": null}));
            record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            record
        };
        let first = identity(&without_ids(json!({})));
        for other in [
            json!({"messages": [{"role": "critic"}]}),
            json!({"response": "Lima."}),
            json!({"call_type": "responses"}),
            json!({"startTime": 1795445761.6}),
        ] {
            assert_ne!(identity(&without_ids(other.clone())).0, first.0, "{other}");
        }
        let (span, fingerprint) = identity(&without_ids(json!({"response_cost": 1.5})));
        assert!(span == first.0 && fingerprint != first.1);
    }

    #[test]
    fn a_report_that_adds_something_is_another_report_of_the_same_span() {
        let first = identity(&success());
        for added in
            [json!({"response_cost": 1.5}), json!({"end_user": "bea"}), json!({"custom_llm_provider": "openai"})]
        {
            let (span, fingerprint) = identity(&with(added.clone()));
            assert!(span == first.0 && fingerprint != first.1, "{added}");
        }
        let spelt = json!({"startTime": "2026-11-23T14:56:01.556209Z", "endTime": "1795445762.1168320"});
        assert_eq!(seen(&with(spelt.clone())).0["start"], seen(&success()).0["start"], "{spelt}");
        assert_eq!(identity(&with(spelt)), first, "however its times are spelt");
    }

    #[test]
    fn what_is_no_payload_is_refused() {
        for (record, place) in
            [("[]", json!(["body"])), ("{}", json!(["body", "call_type"])), ("null", json!(["body"]))]
        {
            let refusal: Json =
                serde_json::from_str(&rewrite(record.as_bytes(), &ParseOptions::default()).unwrap_err().to_json())
                    .unwrap();
            assert_eq!(refusal["detail"][0]["loc"], place, "{record}");
        }
    }
}
