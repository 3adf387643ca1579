//! Helicone's custom log (its manual logger sends it) becomes a captured call.
//!
//! ```text
//! {"providerRequest":  {"url","json":{..},"meta":{..}},          json      -> request
//!  "providerResponse": {"json":{..},"textBody","status","headers"},  json or textBody -> response; status >= 400 -> error
//!  "timing": {"startTime":{"seconds","milliseconds"},"endTime":{..},"timeToFirstToken": ms}, "provider"}
//! headers Helicone-User-Id, -Session-Id, -Request-Id, -Property-*, of the request or in `meta`
//! all else -> millrace.helicone.extra
//! providerRequest.json; providerResponse.json or textBody, as they are -> RawRequest; RawResponse
//! ```
//!
//! `json._type` tells operations that are no model call: `tool`, `vector_db`, `data`.
//!
//! Source: docs.helicone.ai "Manual Logger - cURL", "Custom Logs with cURL", "Header Directory"; `@helicone/helpers` 1.8.3.

use std::borrow::Cow;

use super::record::{self, Answer, Identifying, VendorRecord};
use crate::chat::capture::{
    Apis, Body, Caller, CallerCost, Capture, KeptRaws, Leftover, ParseOptions, Part, Source, Sources,
};
use crate::chat::identity::{RecordIdentity, Said};
use crate::chat::raw;
use crate::chat::timing::GivenTimes;
use crate::chat::validate::{Found, ValidationErrors};
use crate::genai::apis::{self, Api};
use crate::genai::decimal::scaled;
use crate::genai::operation::{CHAT, EXECUTE_TOOL, RETRIEVAL};
use crate::genai::response_error;
use crate::genai::semconv;
use crate::genai::stream::sse;
use crate::genai::stream::sse::Merged;
use crate::json::build::{self, ObjectBuilder};
use crate::json::document::Value;
use crate::time::UnixNanos;

/// Names this tool in keys.
const TOOL: &str = "helicone";

/// What starts the names of Helicone's headers, in lower case.
pub const HEADER_PREFIX: &str = "helicone-";

/// Headers that carry credentials: they are not the call's, and are never stored.
const SECRETS: [&str; 3] = ["authorization", "helicone-auth", "helicone-stripe-auth"];

/// Names of `meta` and of headers, in lower case, that become members of ours. The docs' examples write both kinds.
const SESSION: [&str; 3] = ["helicone-session-id", "session_id", "sessionid"];
const USER: [&str; 3] = ["helicone-user-id", "user_id", "userid"];
const REQUEST_ID: [&str; 1] = ["helicone-request-id"];

/// Reads one log. `headers` are those of the HTTP request, names in lower case.
///
/// # Errors
/// If it is not an object, or lacks request or response.
pub fn read<'d>(
    body: &'d Body<'_>,
    headers: &'d [(&'d str, &'d str)],
    options: &ParseOptions,
) -> Result<Capture<'d>, ValidationErrors> {
    let mut record = VendorRecord::read(body, &["providerRequest", "providerResponse"])?;
    let log = Log::read(record.root(), headers)?;
    let (response, merged, is_text_told) = log.response();
    let (times, are_all_times) = log.times();
    let of_response = merged.as_ref().map(|merged| merged.api).or_else(|| Api::of_response(response.value()));
    let (request, of_request) = log.request(of_response);
    let operation = log.operation(of_response, of_request);
    let (trace, trace_id) = log.trace_id().and_then(record::trace).unzip();
    let caller = Caller { trace_id, ..log.caller(record.take_as("provider", record::text)) };
    ["providerRequest", "providerResponse"].into_iter().for_each(|name| record.take(name));
    if are_all_times {
        record.take("timing");
    }
    Ok(Capture {
        api_type: of_response.unwrap_or(of_request).openai_type().filter(|_| operation == CHAT),
        operation,
        apis: Apis { request: of_request, response: of_response.unwrap_or(Api::ChatCompletions) },
        request,
        response,
        merged,
        said: Said::Record(log.identity()),
        trace,
        parent: None,
        times,
        cost: CallerCost::default(),
        caller,
        raw: KeptRaws { request: raw::kept(Some(log.request), options), response: raw::kept(log.answered(), options) },
        rest: Some(record.rest(semconv::MILLRACE_HELICONE_EXTRA, log.leftovers(is_text_told))),
        sources: log.sources(times),
        options: ParseOptions { strict_reference: false, ..*options },
    })
}

/// The parts of a log.
struct Log<'r> {
    record: Value<'r>,
    sent: Value<'r>,
    request: Value<'r>,
    meta: Option<Value<'r>>,
    answer: Value<'r>,
    /// The response's JSON, when there is anything in it.
    response: Option<Value<'r>>,
    headers: &'r [(&'r str, &'r str)],
}

impl<'r> Log<'r> {
    fn read(record: Value<'r>, headers: &'r [(&'r str, &'r str)]) -> Result<Self, ValidationErrors> {
        let mut found = Found::default();
        let part = |found: &mut Found, name: &'static str| {
            record.get(name).and_then(|part| found.object(&[name.into()], part))
        };
        let (sent, answer) = (part(&mut found, "providerRequest"), part(&mut found, "providerResponse"));
        let path = ["providerRequest".into(), "json".into()];
        let request = sent.and_then(|sent| sent.get("json"));
        match request {
            Some(request) => drop(found.object(&path, request)),
            None => found.missing(&path),
        }
        found.into_result()?;
        let (Some(sent), Some(answer), Some(request)) = (sent, answer, request) else {
            return Err(ValidationErrors::one(&path, "missing", "Field required", None));
        };
        let response = answer.get("json").filter(|json| json.is_object() && !json.is_empty());
        let meta = sent.get("meta").filter(|meta| meta.is_object());
        Ok(Self { record, sent, request, meta, answer, response, headers })
    }

    /// What was answered: JSON, or else text.
    fn answered(&self) -> Option<Value<'r>> {
        let text = self.answer.get("textBody").filter(|text| !text.is_empty());
        self.response.or(text).or(self.answer.get("json"))
    }

    /// A text of `meta` or of the HTTP headers, whichever name it goes by.
    fn said(&self, names: &[&str]) -> Option<String> {
        let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let in_meta = |name: &str| {
            let mut members = self.meta?.members();
            let (_, value) = members.find(|(key, _)| key.str().is_some_and(|key| key.eq_ignore_ascii_case(name)))?;
            filled(&value.str()?)
        };
        let in_headers =
            |name: &str| self.headers.iter().find(|(key, _)| *key == name).and_then(|(_, text)| filled(text));
        names.iter().find_map(|name| in_meta(name)).or_else(|| names.iter().find_map(|name| in_headers(name)))
    }

    /// A request id names the call; else it is its request, its response and when it was.
    fn identity(&self) -> RecordIdentity {
        let request_id = self.said(&REQUEST_ID);
        let is_named = request_id.is_some();
        let mut identifying = Identifying::begin(TOOL, &[request_id.as_deref()]);
        identifying.member("request", Some(self.request), !is_named);
        for name in ["json", "textBody", "status"] {
            identifying.member(name, self.answer.get(name), !is_named);
        }
        identifying.member("timing", self.record.get("timing"), !is_named);
        [self.sent, self.answer, self.record].into_iter().for_each(|object| identifying.rest(object));
        for (name, text) in self.headers.iter().filter(|(name, _)| !SECRETS.contains(name)) {
            identifying.beside(name, text);
        }
        identifying.finish(is_named)
    }

    /// Source: "Custom Logs with cURL" of the docs; genai `gen_ai.operation.name`.
    fn operation(&self, of_response: Option<Api>, of_request: Api) -> Cow<'r, str> {
        let Some(kind) = self.request.get("_type").and_then(Value::filled_str) else {
            return of_response.unwrap_or(of_request).operation().into();
        };
        match &*kind {
            "tool" => EXECUTE_TOOL.into(),
            "vector_db" => RETRIEVAL.into(),
            _ => kind,
        }
    }

    /// The request as it was sent, where it has a model and messages; else what it lacks is added, and what would not fit is
    /// renamed.
    fn request(&self, of_response: Option<Api>) -> (Part<'r>, Api) {
        let is_call = !self.request.has("_type");
        let api = Api::of_request(self.request, of_response).filter(|_| is_call).unwrap_or(Api::ChatCompletions);
        // its messages have our form, or none
        let is_plain = api == Api::ChatCompletions;
        let part = if is_plain { self.own_request() } else { Part::Built(apis::request(api, self.request)) };
        (part, api)
    }

    fn own_request(&self) -> Part<'r> {
        let named = |name: &str| self.request.get(name).filter(|value| value.is_string() && !value.is_empty());
        let (model, messages) = (self.request.get("model"), self.request.get("messages"));
        let is_single = |name: &str| self.request.members().filter(|(key, _)| key.is_key(name)).count() == 1;
        let will_do = named("model").is_some() && messages.is_some_and(record::are_messages);
        if will_do && is_single("model") && is_single("messages") {
            return Part::Sent(self.request);
        }
        let is_model = model.is_some_and(Value::is_string);
        Part::Built(build::object(|request| {
            match named("model").or_else(|| named("toolName")).or_else(|| named("name")) {
                Some(name) => request.member("model", name),
                None => request.word("model", ""),
            }
            let are_ours = record::put_messages(request, messages);
            if let Some(messages) = messages.filter(|_| !are_ours) {
                request.member("provider_messages", messages);
            }
            for (key, value) in self.request.members().filter(|(key, _)| !key.is_key("messages")) {
                match (key.is_key("model"), is_model) {
                    (true, true) => {}
                    (true, false) => request.member("provider_model", value),
                    (false, _) => request.copy(key, value),
                }
            }
        }))
    }

    /// The response, merged where it is a stream, and whether `textBody` is in it.
    fn response(&self) -> (Part<'r>, Option<Merged>, bool) {
        let text = self.answer.get("textBody").filter(|text| text.is_string() && !text.is_empty());
        let failure = self.answer.get("status").and_then(Value::int).filter(|status| *status >= 400);
        // a captured stream, or JSON as a text
        let stream = text.filter(|_| self.response.is_none() && failure.is_none());
        if let Some((text, merged)) = stream.and_then(|text| Some((text, sse::merge(text)?))) {
            return (Part::Sent(text), Some(merged), true);
        }
        let converted = record::converted(self.response);
        let response = converted.as_ref().map(|converted| converted.document.root()).or(self.response);
        let choices = response.and_then(|response| response.get("choices"));
        let (choices, odd) = match choices {
            Some(list) if list.is_array() => (choices, None),
            odd => (None, odd),
        };
        let says_so = self.response.is_some_and(|response| response_error::find(response).is_some());
        let untold = failure.filter(|_| !says_so);
        let error = untold.map(|status| {
            move |response: &mut ObjectBuilder<'_>| {
                response.object("error", |error| {
                    error.number("code", status);
                    if let Some(text) = text {
                        error.member("message", text);
                    }
                });
            }
        });
        let more = odd.map(|odd| move |response: &mut ObjectBuilder<'_>| response.member("provider_choices", odd));
        let has_failed = failure.is_some() || says_so;
        let error = error.as_ref().map(|add| add as record::Add<'_>);
        let more = more.as_ref().map(|add| add as record::Add<'_>);
        let is_text_told = untold.is_some() && text.is_some();
        if let Some((sent, converted)) = self.response.zip(converted.as_ref()) {
            let document = Answer { response, choices, has_failed, error, more }.into_built();
            let Merged { is_stream, is_complete, api, .. } = *converted;
            return (Part::Sent(sent), Some(Merged { document, is_stream, is_complete, api }), is_text_told);
        }
        let choices = self.response.and_then(|response| response.get("choices")).filter(|list| list.is_array());
        let (response, merged) = Answer { response: self.response, choices, has_failed, error, more }.into_response();
        (response, merged, is_text_told)
    }

    /// The times, and whether they are all there and make sense.
    fn times(&self) -> (GivenTimes, bool) {
        let Some(timing) = self.record.get("timing") else { return (GivenTimes::default(), true) };
        let Some(started) = timing.get("startTime").and_then(time) else { return (GivenTimes::default(), false) };
        let ended = timing.get("endTime").and_then(time).filter(|ended| *ended >= started);
        let given = timing.get("timeToFirstToken");
        let first_token = given.and_then(Value::number).and_then(|millis| {
            UnixNanos::of_start(u64::try_from(started.nanos()).ok()?.checked_add(scaled(millis, 6).ok()?)?)
        });
        let is_all = timing
            .members()
            .all(|(key, _)| ["startTime", "endTime", "timeToFirstToken"].iter().any(|name| key.is_key(name)));
        let are_all = ended.is_some() && given.is_some() == first_token.is_some() && is_all;
        (GivenTimes { started: Some(started), ended, first_token }, are_all)
    }

    fn trace_id(&self) -> Option<Value<'r>> {
        self.meta.and_then(|meta| meta.get("trace_id"))
    }

    fn caller(&self, provider: Option<Cow<'r, str>>) -> Caller<'r> {
        Caller {
            session: self.said(&SESSION).map(Cow::Owned),
            user_id: self.said(&USER).map(Cow::Owned),
            provider,
            ..Caller::default()
        }
    }

    fn sources(&self, times: GivenTimes) -> Sources<'r> {
        let start: Source<'r> =
            (&["timing", "startTime"], self.record.get("timing").and_then(|timing| timing.get("startTime")));
        Sources {
            trace: (&["providerRequest", "meta", "trace_id"], self.trace_id()),
            time: times.started.map(|_| start),
            created: if self.response.is_some() {
                &["providerResponse", "json", "created"]
            } else {
                &["providerResponse", "textBody"]
            },
        }
    }

    /// What of the log no attribute holds, in the order of its parts, without credentials.
    fn leftovers(&self, is_text_told: bool) -> Vec<(&'static str, Leftover<'r>)> {
        let text = self.answer.get("textBody").filter(|text| !text.is_empty() && !is_text_told);
        let headers: Vec<_> = self.headers.iter().filter(|(name, _)| !SECRETS.contains(name)).copied().collect();
        let has_headers = !headers.is_empty();
        let leftovers = [
            ("url", self.sent.get("url").map(Leftover::Value)),
            ("meta", Leftover::without(&SECRETS, self.meta)),
            ("status", self.answer.get("status").map(Leftover::Value)),
            ("headers", Leftover::without(&SECRETS, self.answer.get("headers"))),
            ("textBody", text.map(Leftover::Value)),
            ("json", self.answer.get("json").filter(|other| !other.is_object()).map(Leftover::Value)),
            ("request_headers", Some(Leftover::Texts(headers)).filter(|_| has_headers)),
        ];
        leftovers.into_iter().filter_map(|(name, leftover)| Some((name, leftover?))).collect()
    }
}

/// `{"seconds":s,"milliseconds":ms}` since the epoch.
fn time(value: Value<'_>) -> Option<UnixNanos> {
    let part = |name: &str, scale: i64| scaled(value.get(name)?.number()?, scale).ok();
    let (seconds, millis) = (part("seconds", 9)?, part("milliseconds", 6));
    let nanos = millis.map_or(Some(seconds), |millis| seconds.checked_add(millis))?;
    UnixNanos::of_start(nanos).filter(|_| nanos > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value as Json, json};

    use super::super::tests::span_of;
    use super::*;

    fn log() -> Json {
        json!({
            "providerRequest": {
                "url": "custom-model-nopath",
                "json": {"model": "mill-7b", "messages": [{"role": "user", "content": "Capital of Peru?"}], "temperature": 0.2},
                "meta": {"Helicone-Auth": "Bearer sk-secret", "Helicone-User-Id": "ana", "session_id": "s-1", "color": "blue"},
            },
            "providerResponse": {
                "json": {
                    "id": "r-1", "model": "mill-7b-v2",
                    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Lima."}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
                },
                "status": 200, "headers": {"content-type": "application/json", "Authorization": "Bearer sk-secret"},
            },
            "timing": {
                "startTime": {"seconds": 1795445761, "milliseconds": 556}, "endTime": {"seconds": 1795445763, "milliseconds": 6},
                "timeToFirstToken": 250,
            },
            "provider": "OPENAI",
        })
    }

    fn with(path: &str, value: Json) -> Json {
        let mut log = log();
        *log.pointer_mut(path).unwrap() = value;
        log
    }

    fn seen(log: &Json, headers: &[(&str, &str)]) -> (Json, Map<String, Json>) {
        let log = log.to_string();
        let body = Body::of_record(log.as_bytes()).unwrap();
        span_of(&read(&body, headers, &ParseOptions::default()).unwrap())
    }

    #[test]
    fn a_log_is_the_span_of_its_call_with_its_real_times() {
        let headers = [("helicone-property-app", "shop"), ("helicone-auth", "Bearer sk-secret")];
        let (span, attributes) = seen(&log(), &headers);
        assert_eq!(
            (span["start"].as_i64(), span["end"].as_i64()),
            (Some(1_795_445_761_556_000_000), Some(1_795_445_763_006_000_000))
        );
        assert_eq!(span["name"], "chat mill-7b");
        for (key, want) in [
            ("gen_ai.operation.name", json!("chat")),
            ("gen_ai.provider.name", json!("openai")),
            ("gen_ai.request.temperature", json!(0.2)),
            ("gen_ai.response.id", json!("r-1")),
            ("gen_ai.response.time_to_first_chunk", json!(0.25)),
            ("gen_ai.usage.output_tokens", json!(3)),
            ("gen_ai.conversation.id", json!("s-1")),
            ("user.id", json!("ana")),
            ("millrace.timing", json!("given")),
        ] {
            assert_eq!(attributes[key], want, "{key}");
        }
        let want = json!({
            "url": "custom-model-nopath", "meta": {"Helicone-User-Id": "ana", "session_id": "s-1", "color": "blue"},
            "status": 200, "headers": {"content-type": "application/json"}, "request_headers": {"helicone-property-app": "shop"},
        });
        assert_eq!(attributes["millrace.helicone.extra"], want, "all of it but the credentials");
        assert!(!format!("{attributes:?}").contains("sk-secret"));
    }

    #[test]
    fn a_stream_as_text_is_read_and_other_text_is_kept() {
        let chunk = |delta: Json, reason: Json| json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
        let (first, last) =
            (chunk(json!({"role": "assistant", "content": "Lima."}), Json::Null), chunk(json!({}), json!("stop")));
        for text in [format!("data: {first}\n\ndata: {last}\n\ndata: [DONE]\n\n"), format!("{first}\n{last}\n")] {
            let (_, attributes) =
                seen(&with("/providerResponse", json!({"json": {}, "status": 200, "textBody": text})), &[]);
            assert_eq!(attributes["gen_ai.output.messages"][0]["parts"][0]["content"], "Lima.", "{text}");
            assert_eq!(attributes["gen_ai.request.stream"], true);
            assert!(attributes["millrace.helicone.extra"].get("textBody").is_none());
            assert!(!attributes.contains_key("millrace.record.content"));
        }
        let (span, attributes) = seen(&with("/providerResponse", json!({"status": 200, "textBody": "just Lima"})), &[]);
        assert_eq!(
            (&span["failed"], &attributes["millrace.record.content"]["textBody"]),
            (&json!(false), &json!("just Lima"))
        );
    }

    #[test]
    fn a_status_of_failure_is_an_error_span() {
        let (span, attributes) =
            seen(&with("/providerResponse", json!({"status": 503, "textBody": "overloaded"})), &[]);
        assert_eq!((&span["failed"], &span["message"]), (&json!(true), &json!("overloaded")));
        assert_eq!(attributes["error.type"], "503");
        let denied = json!({"status": 503, "json": {"error": ""}});
        assert_eq!(
            seen(&with("/providerResponse", denied), &[]).1["error.type"],
            "503",
            "an error that says nothing is none"
        );
        let own = json!({"status": 429, "json": {"error": {"message": "slow down", "type": "rate_limit"}}});
        let (span, attributes) = seen(&with("/providerResponse", own), &[]);
        assert_eq!((&span["message"], &attributes["error.type"]), (&json!("slow down"), &json!("rate_limit")));
    }

    #[test]
    fn tools_and_queries_have_their_own_operation_and_lose_nothing() {
        let request = json!({"_type": "tool", "toolName": "weather", "input": {"city": "Lima"}});
        let mut tool = with("/providerRequest/json", request);
        tool["providerResponse"]["json"] = json!({"_type": "tool", "toolName": "weather", "celsius": 18.5});
        let (span, attributes) = seen(&tool, &[]);
        assert_eq!(
            (&span["name"], &attributes["gen_ai.operation.name"]),
            (&json!("execute_tool weather"), &json!("execute_tool"))
        );
        assert_eq!(attributes["millrace.request.content"]["input"]["city"], "Lima");
        assert_eq!(attributes["millrace.response.extra"]["celsius"], 18.5);
        let mut embeddings = with("/providerRequest/json", json!({"model": "e", "input": "a mill"}));
        embeddings["providerResponse"]["json"] = json!({"data": [{"embedding": [0.5]}]});
        assert_eq!(seen(&embeddings, &[]).1["gen_ai.operation.name"], "embeddings");
        let odd = seen(&with("/providerRequest/json/messages", json!([{"role": "critic"}])), &[]).1;
        assert_eq!(odd["gen_ai.input.messages"][0]["role"], "critic");
        let none = seen(&with("/providerRequest/json/messages", json!([5])), &[]).1;
        assert_eq!(none["millrace.request.content"]["provider_messages"][0], 5);
    }

    #[test]
    fn a_repeat_is_the_same_span_and_an_equal_call_at_another_time_is_not() {
        let identity = |log: &Json, headers: &[(&str, &str)]| {
            let span = seen(log, headers).0;
            (span["span"].clone(), span["fingerprint"].clone())
        };
        let first = identity(&log(), &[]);
        assert_eq!(identity(&log(), &[]), first);
        let later = with("/timing/startTime/milliseconds", json!(557));
        for other in [
            later.clone(),
            with("/timing/endTime/milliseconds", json!(7)),
            with("/timing/endTime/seconds", json!(5)),
            with("/timing/timeToFirstToken", json!(251)),
            with("/providerRequest/json/temperature", json!(0.3)),
            with("/providerRequest/meta/session_id", json!("s-2")),
            with("/providerResponse/json/id", json!("r-2")),
        ] {
            let (span, fingerprint) = identity(&other, &[]);
            assert!(span != first.0 && fingerprint != first.1, "{other}");
        }
        for (said, headers) in [
            (with("/providerRequest/meta/color", json!("red")), &[][..]),
            (with("/provider", json!("AZURE")), &[]),
            (log(), &[("helicone-property-app", "shop")]),
        ] {
            let (span, fingerprint) = identity(&said, headers);
            assert!(span == first.0 && fingerprint != first.1, "{said} {headers:?}");
        }
        let named = [("helicone-request-id", "5e0c9f2e-1111-2222-3333-444455556666")];
        assert_eq!(identity(&log(), &named).0, identity(&later, &named).0);
        assert_ne!(identity(&log(), &named).1, identity(&later, &named).1);
    }

    #[test]
    fn times_that_make_no_sense_are_kept_and_not_believed() {
        let odd = with("/timing/endTime/seconds", json!(5));
        let (_, attributes) = seen(&odd, &[]);
        assert_ne!(attributes["millrace.timing"], "given");
        assert_eq!(attributes["millrace.helicone.extra"]["timing"], odd["timing"]);
        let mut none = log();
        none.as_object_mut().unwrap().remove("timing");
        assert!(seen(&none, &[]).1["millrace.helicone.extra"].get("timing").is_none());
    }

    #[test]
    fn what_is_no_log_is_refused() {
        for (log, place) in [
            ("{}", json!(["body", "providerRequest"])),
            (r#"{"providerRequest":{},"providerResponse":{}}"#, json!(["body", "providerRequest", "json"])),
            (r#"{"providerRequest":{"json":{}},"providerResponse":7}"#, json!(["body", "providerResponse"])),
        ] {
            let body = Body::of_record(log.as_bytes()).unwrap();
            let refusal = read(&body, &[], &ParseOptions::default()).unwrap_err().to_json();
            assert_eq!(serde_json::from_str::<Json>(&refusal).unwrap()["detail"][0]["loc"], place, "{log}");
        }
    }
}
