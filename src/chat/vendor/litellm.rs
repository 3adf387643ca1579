//! LiteLLM's `generic_api` callback: a `StandardLoggingPayload` becomes a captured call.
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

use super::record::{self, Answer, Identifying, VendorRecord};
use crate::chat::capture::{Apis, Body, Caller, CallerCost, Capture, KeptRaws, ParseOptions, Part, Source, Sources};
use crate::chat::identity::{RecordIdentity, Said};
use crate::chat::parse::CHAT_COMPLETIONS;
use crate::chat::raw;
use crate::chat::timing::{self, GivenTimes};
use crate::chat::validate::ValidationErrors;
use crate::genai::apis::Api;
use crate::genai::cost::{Given, Usd};
use crate::genai::operation::{CHAT, EMBEDDINGS, EXECUTE_TOOL, RERANK, RETRIEVAL, TEXT_COMPLETION};
use crate::genai::semconv;
use crate::genai::stream::sse::Merged;
use crate::json::build::{self, ObjectBuilder};
use crate::json::document::{Document, Value};

/// `service.name` of these spans: LiteLLM made the calls. Source: the default of LiteLLM's own OpenTelemetry exporter.
const SERVICE_NAME: &str = "litellm";

/// When a call began, ended, and gave its first token.
const TIMES: [&str; 3] = ["startTime", "endTime", "completionStartTime"];

/// Members that are the request, for `RawRequest`.
const REQUEST: [&str; 4] = ["model", "messages", "model_parameters", "stream"];

/// Reads one payload.
///
/// # Errors
/// If it is not an object, or has no `call_type`, which every payload has.
pub fn read<'d>(body: &'d Body<'_>, options: &ParseOptions) -> Result<Capture<'d>, ValidationErrors> {
    let mut record = VendorRecord::read(body, &["call_type"])?;
    let root = record.root();
    let (response, merged) = response(&mut record);
    let of_response = merged.as_ref().map(|merged| merged.api).or_else(|| Api::of_response(response.value()));
    let (request, of_request) = request(&mut record, of_response);
    let (operation, api_type) = operation(root.get("call_type").and_then(Value::filled_str), of_response);
    let times = times(&mut record);
    let cost = cost(&mut record);
    let (trace, trace_id) = record.take_as("trace_id", record::trace).unzip();
    Ok(Capture {
        operation,
        api_type,
        apis: Apis { request: of_request, response: of_response.unwrap_or(Api::ChatCompletions) },
        request: Part::Built(request),
        response,
        merged,
        said: Said::Record(identity(root)),
        trace,
        parent: None,
        times,
        cost,
        caller: Caller { trace_id, ..caller(&mut record) },
        raw: KeptRaws {
            request: raw::kept_members(root, &REQUEST, options),
            response: raw::kept(root.get("response"), options),
        },
        rest: Some(record.rest(semconv::MILLRACE_LITELLM_EXTRA, Vec::new())),
        sources: sources(root, times),
        options: ParseOptions { strict_reference: false, ..*options },
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
    let names = ["litellm_call_id", "id", "status"].map(|name| record.get(name).and_then(Value::filled_str));
    let [call, id, _] = &names;
    let is_named = call.is_some() || id.is_some();
    let mut identifying = Identifying::begin(SERVICE_NAME, &names.each_ref().map(Option::as_deref));
    CALL.iter().for_each(|name| identifying.member(name, record.get(name), !is_named));
    TIMES.iter().for_each(|name| identifying.time(name, record.get(name)));
    identifying.rest(record);
    identifying.finish(false)
}

/// The operation of a call type, and the kind of `OpenAI` API. Asynchronous calls begin with an `a`. What passed through unseen is told
/// by its response.
/// Source: `CallTypes` of `litellm/types/utils.py`.
fn operation(call_type: Option<Cow<'_, str>>, of_response: Option<Api>) -> (Cow<'_, str>, Option<&'static str>) {
    let known = |name: &str| {
        Some(match name {
            "completion" | "anthropic_messages" => (CHAT, Some(CHAT_COMPLETIONS)),
            "responses" => (CHAT, Some("responses")),
            "text_completion" => (TEXT_COMPLETION, None),
            "embedding" => (EMBEDDINGS, None),
            "generate_content" | "generate_content_stream" => ("generate_content", None),
            "search" | "vector_store_search" => (RETRIEVAL, None),
            "call_mcp_tool" => (EXECUTE_TOOL, None),
            "image_generation" => ("image_generation", None),
            "image_edit" => ("image_edit", None),
            "moderation" => ("moderation", None),
            "transcription" => ("transcription", None),
            "speech" => ("speech", None),
            "rerank" => (RERANK, None),
            _ => return None,
        })
    };
    let Some(call_type) = call_type else { return (CHAT.into(), Some(CHAT_COMPLETIONS)) };
    match known(&call_type).or_else(|| known(call_type.strip_prefix('a')?)) {
        Some((operation, api_type)) => match of_response.filter(|api| *api != Api::ChatCompletions) {
            Some(api) => (operation.into(), api.openai_type()),
            None => (operation.into(), api_type),
        },
        None if call_type.replace('_', "").contains("passthrough") && of_response.is_some() => {
            let api = of_response.unwrap_or(Api::ChatCompletions);
            (api.operation().into(), api.openai_type())
        }
        None => {
            let api_type = Some(CHAT_COMPLETIONS).filter(|_| call_type == CHAT);
            (call_type, api_type)
        }
    }
}

/// The request is put together from members beside each other; and the API whose messages it has.
fn request(record: &mut VendorRecord<'_>, of_response: Option<Api>) -> (Document<'static>, Api) {
    let filled = |name: &str| record.get(name).filter(|value| value.is_string() && !value.is_empty());
    let (own_model, group) = (filled("model"), filled("model_group"));
    let messages = record.get("messages");
    let parameters = record
        .get("model_parameters")
        .filter(|parameters| parameters.is_object() && !["model", "messages"].iter().any(|name| parameters.has(name)));
    let stream = record.get("stream").filter(|stream| stream.bool().is_some());
    let mut are_messages_ours = false;
    let request = build::object(|request| {
        match own_model.or(group) {
            Some(model) => request.member("model", model),
            None => request.word("model", ""),
        }
        are_messages_ours = record::put_messages(request, messages);
        let members = parameters.into_iter().flat_map(Value::members);
        members.for_each(|(key, value)| request.copy(key, value));
        if let Some(stream) = stream.filter(|_| !parameters.is_some_and(|parameters| parameters.has("stream"))) {
            request.member("stream", stream);
        }
    });
    for (name, is_held) in [
        ("model", own_model.is_some()),
        ("messages", are_messages_ours),
        ("model_parameters", parameters.is_some()),
        ("stream", stream.is_some()),
    ] {
        if is_held {
            record.take(name);
        }
    }
    let api = match messages {
        Some(messages) if !record::are_messages(messages) => Api::Responses,
        _ => Api::of_request(request.root(), of_response).unwrap_or(Api::ChatCompletions),
    };
    (request, api)
}

fn response<'d>(record: &mut VendorRecord<'d>) -> (Part<'d>, Option<Merged>) {
    let sent = record.get("response");
    let converted = record::converted(sent);
    let object = sent.filter(|response| response.is_object());
    let response = converted.as_ref().map(|converted| converted.document.root()).or(object);
    let member = |name: &str| response.and_then(|response| response.get(name));
    let choices = member("choices").filter(|choices| choices.is_array());
    let has_failed = record.get("status").and_then(Value::str).is_some_and(|status| status == "failure");
    record.take("status");
    let is_told = |error: Value<'_>| error.bool() != Some(false) && !(error.is_string() && error.is_empty());
    let error = (has_failed && !member("error").is_some_and(is_told)).then(|| ToldError::take(record));
    let error = error.map(|error| move |response: &mut ObjectBuilder<'_>| error.put(response));
    let usage = take_usage(record, member("usage").filter(|usage| usage.is_object()));
    let usage = usage.map(|usage| {
        move |response: &mut ObjectBuilder<'_>| {
            response.object("usage", |object| usage.iter().for_each(|(name, count)| object.member(name, *count)));
        }
    });
    if response.is_some() && (choices.is_some() || member("choices").is_none()) {
        record.take("response");
    }
    if record.get("id").and_then(Value::str).is_some_and(|id| member("id").and_then(Value::str) == Some(id)) {
        record.take("id");
    }
    let error = error.as_ref().map(|add| add as record::Add<'_>);
    let more = usage.as_ref().map(|add| add as record::Add<'_>);
    if let Some(sent) = sent.filter(|_| converted.is_some()) {
        let document = Answer { response, choices, has_failed, error, more }.into_built();
        let merged = converted.as_ref().map(|converted| Merged {
            document,
            is_stream: converted.is_stream,
            is_complete: converted.is_complete,
            api: converted.api,
        });
        return (Part::Sent(sent), merged);
    }
    let choices = object.and_then(|object| object.get("choices")).filter(|choices| choices.is_array());
    Answer { response: object, choices, has_failed, error, more }.into_response()
}

/// LiteLLM's own counts, where the response has no usage. Counts that its usage has too are no news, and taken.
fn take_usage<'d>(record: &mut VendorRecord<'d>, usage: Option<Value<'_>>) -> Option<Vec<(&'static str, Value<'d>)>> {
    let counts = ["prompt_tokens", "completion_tokens", "total_tokens"];
    let counts = counts.map(|name| Some((name, record.get(name)?)).filter(|(_, value)| value.int().is_some()));
    let counts = counts.into_iter().flatten();
    let told: Vec<_> = match usage {
        Some(usage) => counts.filter(|(name, count)| usage.get(name).and_then(Value::int) == count.int()).collect(),
        None => counts.collect(),
    };
    told.iter().for_each(|(name, _)| record.take(name));
    let is_news = usage.is_none() && told.iter().any(|(_, count)| count.int().is_some_and(|count| count > 0));
    is_news.then_some(told)
}

/// The failure as LiteLLM tells it.
struct ToldError<'d> {
    information: Option<Value<'d>>,
    text: Option<Value<'d>>,
}

impl<'d> ToldError<'d> {
    /// Members of `error_information`, and what they are called in an error.
    const NAMES: [(&'static str, &'static str); 3] =
        [("error_message", "message"), ("error_class", "type"), ("error_code", "code")];

    fn take(record: &mut VendorRecord<'d>) -> Self {
        let information = record.get("error_information").filter(|error| error.is_object());
        let text = record.get("error_str").filter(|text| text.is_string());
        let told = Self { information, text };
        if information.is_some() {
            record.take("error_information");
        }
        let is_told = |text: Value<'_>| told.member("error_message").is_none_or(|it| it.str() == text.str());
        if text.is_some_and(is_told) {
            record.take("error_str");
        }
        told
    }

    fn member(&self, name: &str) -> Option<Value<'d>> {
        self.information.and_then(|error| error.get(name)).filter(|value| !value.is_empty())
    }

    fn put(&self, response: &mut ObjectBuilder<'_>) {
        response.object("error", |object| {
            for (name, ours) in Self::NAMES {
                if let Some(value) = self.member(name).or(self.text.filter(|_| ours == "message")) {
                    object.member(ours, value);
                }
            }
            let is_other =
                |key: Value<'_>| !Self::NAMES.iter().any(|(name, ours)| key.is_key(name) || key.is_key(ours));
            let members = self.information.into_iter().flat_map(Value::members);
            for (key, value) in members.filter(|(key, value)| !value.is_empty() && is_other(*key)) {
                object.copy(key, value);
            }
        });
    }
}

fn times(record: &mut VendorRecord<'_>) -> GivenTimes {
    let (first, end) = (record.get("completionStartTime"), record.get("endTime"));
    let started = record.take_as("startTime", timing::from_json);
    let later = |value: Value<'_>| timing::from_json(value).filter(|at| started.is_none_or(|start| *at >= start));
    let ended = record.take_as("endTime", later);
    let is_streamed = record.get("stream").and_then(Value::bool) == Some(true);
    let mut first_token = None;
    if is_streamed && started.is_some() {
        first_token = record.take_as("completionStartTime", later);
    } else if first.map(Value::raw) == end.map(Value::raw) {
        // LiteLLM repeats the end where it has no time of the first token
        record.take("completionStartTime");
    }
    GivenTimes { started, ended, first_token }
}

fn sources(record: Value<'_>, times: GivenTimes) -> Sources<'_> {
    let given = |path: &'static [&'static str], is_given: bool| -> Option<Source<'_>> {
        is_given.then(|| (path, path.first().and_then(|name| record.get(name))))
    };
    Sources {
        trace: (&["trace_id"], record.get("trace_id")),
        time: given(&["startTime"], times.started.is_some()).or_else(|| given(&["endTime"], times.ended.is_some())),
        created: &["response", "created"],
    }
}

/// The breakdown's `input_cost` leaves cached tokens out, so it is not the cost of the input and stays in the rest. So does a cost
/// that cannot be read, such as the text None.
fn cost(record: &mut VendorRecord<'_>) -> CallerCost {
    let breakdown = record.get("cost_breakdown");
    let part = |name: &str| breakdown.and_then(|breakdown| breakdown.get(name));
    let is_charged = |usd: &Usd| usd.pico() > 0;
    let details =
        [("cache_read", "cache_read_cost"), ("cache_write", "cache_creation_cost"), ("reasoning", "reasoning_cost")];
    let detail =
        |(ours, theirs): (&str, &str)| Some((ours.to_owned(), Given::of_json(part(theirs)).usd().filter(is_charged)?));
    let total = Given::of_json(record.get("response_cost"));
    if total.usd().is_some() {
        record.take("response_cost");
    }
    CallerCost {
        output: Given::of_json(part("output_cost")),
        details: details.into_iter().filter_map(detail).collect(),
        total,
        input: Given::Absent,
    }
}

fn caller<'d>(record: &mut VendorRecord<'d>) -> Caller<'d> {
    // what the caller of LiteLLM's proxy put into its metadata
    let metadata = record.get("metadata");
    let session = || metadata?.get("requester_metadata")?.get("session_id").and_then(record::text);
    let user = || metadata?.get("user_api_key_end_user_id").and_then(record::text);
    Caller {
        service_name: Some(SERVICE_NAME.into()),
        provider: record.take_as("custom_llm_provider", record::text),
        tags: record.take_as("request_tags", record::tags).into_iter().flatten().collect(),
        session: record.take_as("session_id", record::text).or_else(session),
        user_id: record.take_as("end_user", record::text).or_else(user),
        ..Caller::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value as Json, json};

    use super::super::tests::span_of;
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
        let record = record.to_string();
        let body = Body::of_record(record.as_bytes()).unwrap();
        span_of(&read(&body, &ParseOptions::default()).unwrap())
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
        let denied = json!({"status": "failure", "response": {"error": false}, "error_str": "boom"});
        assert_eq!(seen(&with(denied)).0["message"], "boom", "an error that says nothing is none");
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
        assert!(!attributes.contains_key("millrace.response.extra"), "vectors are in the raw response: {attributes:?}");
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
            "messages": [5], "response": ["a"], "response_cost": -1, "trace_id": "0".repeat(32),
            "startTime": "yesterday", "endTime": 5.5, "request_tags": [1], "model_parameters": {"model": "x"}, "model": 7,
        });
        let (span, attributes) = seen(&with(odd.clone()));
        let content = &attributes["millrace.record.content"];
        assert_eq!((&content["messages"], &content["response"]), (&odd["messages"], &odd["response"]));
        let extra = &attributes["millrace.litellm.extra"];
        for key in ["response_cost", "trace_id", "startTime", "request_tags", "model_parameters", "model"] {
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
            let body = Body::of_record(record.as_bytes()).unwrap();
            let refusal = read(&body, &ParseOptions::default()).unwrap_err().to_json();
            let refusal: Json = serde_json::from_str(&refusal).unwrap();
            assert_eq!(refusal["detail"][0]["loc"], place, "{record}");
        }
    }
}
