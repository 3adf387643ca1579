//! Helicone's custom log (its manual logger sends it) becomes the body of our own ingest.
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

use super::foreign::{
    self, Foreign, Identifying, Taken, put_choices, put_messages, put_response_members, put_text, put_trace,
};
use crate::chat::identity::RecordIdentity;
use crate::chat::parse::ParseOptions;
use crate::chat::validate::{Found, ValidationErrors};
use crate::genai::decimal::scaled;
use crate::genai::response_error;
use crate::genai::semconv;
use crate::genai::stream::sse;
use crate::json::document::Value;
use crate::json::writer::JsonWriter;
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

/// Rewrites one log. `headers` are those of the HTTP request, names in lower case.
///
/// # Errors
/// When it is not JSON, no object, or lacks request or response.
pub fn rewrite(record: &[u8], headers: &[(&str, &str)], options: &ParseOptions) -> Result<Foreign, ValidationErrors> {
    let document = foreign::read(record, &["providerRequest", "providerResponse"])?;
    let log = Log::read(document.root(), headers)?;
    let mut taken = Taken::default();
    let mut json = JsonWriter::new(foreign::WHOLE);
    json.begin_object();
    log.put_request(&mut json);
    let text_is_taken = log.put_response(&mut json);
    let times_are_taken = log.put_times(&mut json);
    put_text(&mut json, "provider", log.record.get("provider")).then(|| taken.take("provider"));
    for (ours, theirs) in [("session_id", &SESSION[..]), ("user_id", &USER[..])] {
        if let Some(text) = log.said(theirs) {
            json.member_str(ours, &text);
        }
    }
    put_trace(&mut json, log.meta.and_then(|meta| meta.get("trace_id")));
    json.end_object();
    ["providerRequest", "providerResponse"].into_iter().for_each(|name| taken.take(name));
    if times_are_taken {
        taken.take("timing");
    }
    let rest = taken
        .rest(log.record, semconv::MILLRACE_HELICONE_EXTRA, options.limits, |json| log.put_rest(json, text_is_taken));
    let operation = log.operation();
    let raw = [foreign::raw(Some(log.request), options), foreign::raw(log.answered(), options)];
    Ok(Foreign { body: json.finish().0, identity: log.identity(), operation, api_type: None, raw, rest })
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
        let part = |found: &mut Found, name: &str| record.get(name).and_then(|part| found.object(&[name.into()], part));
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
        let mut identifying = Identifying::begin(TOOL, &[request_id.as_deref().unwrap_or_default()]);
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
    fn operation(&self) -> Cow<'static, str> {
        match self.request.get("_type").and_then(Value::filled_str).as_deref() {
            Some("tool") => "execute_tool".into(),
            Some("vector_db") => "retrieval".into(),
            Some(other) => other.to_owned().into(),
            None if self.request.has("input") && self.response.is_some_and(|json| json.has("data")) => {
                "embeddings".into()
            }
            None => "chat".into(),
        }
    }

    /// The request as it was sent; what our ingest needs and it has not is added, what would not fit is renamed.
    fn put_request(&self, json: &mut JsonWriter) {
        let text = |name: &str| self.request.get(name).and_then(Value::filled_str);
        let name = text("model").or_else(|| text("toolName")).or_else(|| text("name")).unwrap_or_default();
        json.key("request");
        json.begin_object();
        let messages = self.request.get("messages");
        let fits = put_messages(json, &name, messages);
        if let Some(messages) = messages.filter(|_| !fits) {
            json.member("provider_messages", messages);
        }
        let is_model = self.request.get("model").is_some_and(Value::is_string);
        for (key, value) in self.request.members() {
            match () {
                () if key.is_key("messages") || (key.is_key("model") && is_model) => {}
                () if key.is_key("model") => json.member("provider_model", value),
                () => json.copy_member(key, value),
            }
        }
        json.end_object();
    }

    /// Gives whether `textBody` is in it.
    fn put_response(&self, json: &mut JsonWriter) -> bool {
        let text = self.answer.get("textBody").filter(|text| text.is_string() && !text.is_empty());
        let status = self.answer.get("status").and_then(Value::int).unwrap_or_default();
        let has_failed = status >= 400;
        json.key("response");
        // a captured stream, or JSON as a text: our ingest reads both
        if let Some(text) = text.filter(|text| self.response.is_none() && !has_failed && sse::merge(*text).is_some()) {
            json.value(text);
            return true;
        }
        json.begin_object();
        let says_so = self.response.is_some_and(|response| response_error::find(response).is_some());
        if has_failed && !says_so {
            json.key("error");
            json.begin_object();
            json.key("code");
            json.number(&status.to_string());
            if let Some(text) = text {
                json.member("message", text);
            }
            json.end_object();
        }
        let choices = self.response.and_then(|response| response.get("choices")).filter(|choices| choices.is_array());
        if choices.is_some() || !(has_failed || says_so) {
            put_choices(json, choices);
        }
        if let Some(response) = self.response {
            put_response_members(json, response);
            if let Some(odd) = response.get("choices").filter(|_| choices.is_none()) {
                json.member("provider_choices", odd);
            }
        }
        json.end_object();
        has_failed && !says_so && text.is_some()
    }

    /// Gives whether they are all there and make sense.
    fn put_times(&self, json: &mut JsonWriter) -> bool {
        let Some(timing) = self.record.get("timing") else {
            return true;
        };
        let (start, end) = (timing.get("startTime").and_then(nanos), timing.get("endTime").and_then(nanos));
        let Some(start) = start else {
            return false;
        };
        put_nanos(json, "started_at", start);
        let end = end.filter(|end| *end >= start);
        if let Some(end) = end {
            put_nanos(json, "ended_at", end);
        }
        let given = timing.get("timeToFirstToken");
        let first = given
            .and_then(Value::number)
            .and_then(|millis| start.checked_add(scaled(millis, 6).ok()?))
            .filter(|nanos| is_time(*nanos));
        if let Some(first) = first {
            put_nanos(json, "first_token_at", first);
        }
        let is_all = timing
            .members()
            .all(|(key, _)| ["startTime", "endTime", "timeToFirstToken"].iter().any(|name| key.is_key(name)));
        end.is_some() && given.is_some() == first.is_some() && is_all
    }

    fn put_rest(&self, json: &mut JsonWriter, text_is_taken: bool) {
        if let Some(url) = self.sent.get("url") {
            json.member("url", url);
        }
        put_open(json, "meta", self.meta);
        if let Some(status) = self.answer.get("status") {
            json.member("status", status);
        }
        put_open(json, "headers", self.answer.get("headers"));
        if let Some(text) = self.answer.get("textBody").filter(|text| !text.is_empty() && !text_is_taken) {
            json.member("textBody", text);
        }
        if let Some(other) = self.answer.get("json").filter(|other| !other.is_object()) {
            json.member("json", other);
        }
        let known = self.headers.iter().filter(|(name, _)| !SECRETS.contains(name)).collect::<Vec<_>>();
        if !known.is_empty() {
            json.key("request_headers");
            json.begin_object();
            known.iter().for_each(|(name, text)| json.member_str(name, text));
            json.end_object();
        }
    }
}

/// Writes an object without its secrets, if anything is left.
fn put_open(json: &mut JsonWriter, name: &str, object: Option<Value<'_>>) {
    let is_open = |key: &Value<'_>| !key.str().is_some_and(|key| SECRETS.contains(&&*key.to_ascii_lowercase()));
    let open: Vec<_> = object.into_iter().flat_map(Value::members).filter(|(key, _)| is_open(key)).collect();
    if open.is_empty() {
        return;
    }
    json.key(name);
    json.begin_object();
    open.into_iter().for_each(|(key, value)| json.copy_member(key, value));
    json.end_object();
}

/// `{"seconds":s,"milliseconds":ms}` since the epoch.
fn nanos(time: Value<'_>) -> Option<u64> {
    let part = |name: &str, scale: i64| scaled(time.get(name)?.number()?, scale).ok();
    part("seconds", 9)?.checked_add(part("milliseconds", 6).unwrap_or(0)).filter(|nanos| *nanos > 0 && is_time(*nanos))
}

fn is_time(nanos: u64) -> bool {
    UnixNanos::new(nanos).is_some()
}

/// Writes a time as seconds.
fn put_nanos(json: &mut JsonWriter, name: &str, nanos: u64) {
    json.key(name);
    json.number(&format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000));
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value as Json, json};

    use super::super::foreign::testing::span_of;
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
        span_of(rewrite(log.to_string().as_bytes(), headers, &ParseOptions::default()).unwrap())
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
        }
        let (span, attributes) = seen(&with("/providerResponse", json!({"status": 200, "textBody": "just Lima"})), &[]);
        assert_eq!(
            (&span["failed"], &attributes["millrace.helicone.extra"]["textBody"]),
            (&json!(false), &json!("just Lima"))
        );
    }

    #[test]
    fn a_status_of_failure_is_an_error_span() {
        let (span, attributes) =
            seen(&with("/providerResponse", json!({"status": 503, "textBody": "overloaded"})), &[]);
        assert_eq!((&span["failed"], &span["message"]), (&json!(true), &json!("overloaded")));
        assert_eq!(attributes["error.type"], "503");
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
        assert_eq!(attributes["millrace.request.extra"]["input"]["city"], "Lima");
        assert_eq!(attributes["millrace.response.extra"]["celsius"], 18.5);
        let mut embeddings = with("/providerRequest/json", json!({"model": "e", "input": "a mill"}));
        embeddings["providerResponse"]["json"] = json!({"data": [{"embedding": [0.5]}]});
        assert_eq!(seen(&embeddings, &[]).1["gen_ai.operation.name"], "embeddings");
        let odd = seen(&with("/providerRequest/json/messages", json!([{"role": "critic"}])), &[]).1;
        assert_eq!(odd["millrace.request.extra"]["provider_messages"][0]["role"], "critic");
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
            let refusal = rewrite(log.as_bytes(), &[], &ParseOptions::default()).unwrap_err().to_json();
            assert_eq!(serde_json::from_str::<Json>(&refusal).unwrap()["detail"][0]["loc"], place, "{log}");
        }
    }
}
