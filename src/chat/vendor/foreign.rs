//! Records of other tools, rewritten into the body of our own ingest, so that everything behind the door is one path.
//!
//! ```text
//! record --litellm::rewrite | helicone::rewrite--> Foreign { body, identity, the rest }
//!                                                     |                                 |
//!                                     parse, convert -+-> ChatSpan --Foreign::complete--+-> ChatSpan
//! ```
//!
//! What a record says and our body has no member for (the operation, what belongs nowhere) is added to the span once
//! it is converted. Nothing of a record is lost: its rest goes into one attribute, as it was written.

use std::borrow::Cow;

use crate::chat::identity::{CallDigest, Fingerprint, RecordIdentity};
use crate::chat::parse::{ParseOptions, ROLES, TAGS_MAX};
use crate::chat::raw;
use crate::chat::span::{AttrValue, ChatSpan, Raw};
use crate::chat::timing;
use crate::chat::trace_ref;
use crate::chat::validate::{Found, ValidationErrors};
use crate::columns;
use crate::genai::cost::Usd;
use crate::genai::operation;
use crate::genai::semconv;
use crate::genai::stream::sse;
use crate::json::canonical::CanonicalHash;
use crate::json::document::{Document, Value};
use crate::json::limits::Limits;
use crate::json::writer::{JsonWriter, Losses};

/// Nothing of the body is cut before it is converted: limits are applied there, once.
pub(crate) const WHOLE: Limits = Limits { max_value_bytes: usize::MAX, max_inline_media_bytes: usize::MAX };

/// The operation of a chat-completion, which is what `convert` writes. Source: genai `gen_ai.operation.name`.
const CHAT: &str = "chat";

/// A record of another tool, in our own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The body of our own ingest.
    pub body: String,
    /// Which call it is about.
    pub identity: RecordIdentity,
    pub(crate) operation: Cow<'static, str>,
    /// `openai.api.type`, when it is another one than that of chat-completions.
    pub(crate) api_type: Option<&'static str>,
    /// What of the record is its request, and its response.
    pub(crate) raw: [KeptRaw; 2],
    pub(crate) rest: Option<Rest>,
}

/// A text for a column, and what the limits took from it.
pub(crate) type KeptRaw = (String, Losses);

/// What of a record has no place of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rest {
    key: &'static str,
    json: String,
    losses: Losses,
}

impl Foreign {
    /// How [`Self::body`] is to be read: it is in our own words, and what it was made from is kept already.
    #[must_use]
    pub fn options(options: ParseOptions) -> ParseOptions {
        ParseOptions { strict_reference: false, keep_raw: false, ..options }
    }

    /// Bytes it holds beside the record it was made from.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.body.len() + self.raw.iter().map(|(text, _)| text.len()).sum::<usize>()
    }

    /// Adds to the span of [`Self::body`] what the body could not say.
    pub fn complete(self, span: &mut ChatSpan<'_>) {
        if self.operation != CHAT {
            if let Some(model) = span.name.strip_prefix(CHAT) {
                span.name = format!("{}{model}", self.operation);
            }
            span.call.operation = operation::normalise(&self.operation).to_owned().into();
            replace(span, semconv::OPERATION_NAME, Some(AttrValue::Str(self.operation)));
            replace(span, semconv::OPENAI_API_TYPE, self.api_type.map(|kind| AttrValue::Str(kind.into())));
        } else if let Some(kind) = self.api_type {
            replace(span, semconv::OPENAI_API_TYPE, Some(AttrValue::Str(kind.into())));
        }
        if let Some(rest) = self.rest {
            note(span, rest.key, rest.losses);
            span.attributes.push((rest.key.into(), AttrValue::Json(rest.json.into())));
        }
        let [(request, of_request), (response, of_response)] = self.raw;
        note(span, columns::RAW_REQUEST, of_request);
        note(span, columns::RAW_RESPONSE, of_response);
        span.raw = Raw { request: request.into(), response: response.into() };
    }
}

fn replace<'c>(span: &mut ChatSpan<'c>, key: &'static str, value: Option<AttrValue<'static>>) {
    span.attributes.retain(|(name, _)| name != key);
    if let Some(value) = value {
        span.attributes.push((key.into(), value));
    }
}

/// Adds what the limits took from an attribute or a column to `millrace.truncated` and `millrace.media.replaced`.
fn note(span: &mut ChatSpan<'_>, key: &str, losses: Losses) {
    let Losses { bytes_cut, media_replaced } = losses;
    for (attribute, count) in
        [(semconv::MILLRACE_TRUNCATED, bytes_cut), (semconv::MILLRACE_MEDIA_REPLACED, media_replaced)]
    {
        let noted = span.attributes.iter_mut().find(|(name, _)| name == attribute);
        match noted {
            _ if count == 0 => {}
            Some((_, AttrValue::Json(json))) => {
                let json = json.to_mut();
                json.pop();
                json.push_str(&format!(r#","{key}":{count}}}"#));
            }
            _ => span.attributes.push((attribute.into(), AttrValue::Json(format!(r#"{{"{key}":{count}}}"#).into()))),
        }
    }
}

/// Reads a record, which must be an object that has the members `needed` says.
pub(crate) fn read<'r>(record: &'r [u8], needed: &[&str]) -> Result<Document<'r>, ValidationErrors> {
    let text = simdutf8::basic::from_utf8(record).map_err(|_| {
        ValidationErrors::one(&[0.into()], "json_invalid", "JSON decode error: the record is not UTF-8", None)
    })?;
    let document = Document::parse(text).map_err(ValidationErrors::not_json)?;
    let mut found = Found::default();
    if let Some(root) = found.object(&[], document.root()) {
        for name in needed.iter().filter(|name| root.get(name).is_none()) {
            found.missing(&[(*name).into()]);
        }
    }
    found.into_result()?;
    Ok(document)
}

/// The members of a record that have found a place; the others are its rest.
#[derive(Debug, Default)]
pub(crate) struct Taken<'r>(Vec<&'r str>);

impl<'r> Taken<'r> {
    pub(crate) fn take(&mut self, name: &'r str) {
        self.0.push(name);
    }

    /// Writes what was not taken and says something. `more` adds members of its own and says whether it did.
    pub(crate) fn rest(
        &self,
        record: Value<'_>,
        key: &'static str,
        limits: Limits,
        more: impl FnOnce(&mut JsonWriter),
    ) -> Option<Rest> {
        let mut json = JsonWriter::new(limits);
        json.begin_object();
        for (name, value) in record.members().filter(|(_, value)| says_something(*value)) {
            if !self.0.iter().any(|taken| name.is_key(taken)) {
                json.copy_member(name, value);
            }
        }
        more(&mut json);
        json.end_object();
        let (json, losses) = json.finish();
        (json != "{}").then_some(Rest { key, json, losses })
    }
}

/// A value as it was sent, within the limits, if that is to be kept.
pub(crate) fn raw(sent: Option<Value<'_>>, options: &ParseOptions) -> KeptRaw {
    let kept = sent.filter(|_| options.keep_raw).map(|sent| raw::text(sent, options.limits));
    kept.map(|(text, losses)| (text.into_owned(), losses)).unwrap_or_default()
}

/// Some members of a record as they were sent, as an object.
pub(crate) fn raw_members(record: Value<'_>, names: &[&str], options: &ParseOptions) -> KeptRaw {
    let (mut object, mut losses) = (String::new(), Losses::default());
    let members = record.members().filter(|(key, _)| names.iter().any(|name| key.is_key(name)));
    for (key, value) in members.filter(|_| options.keep_raw) {
        let (text, lost) = raw::text(value, options.limits);
        object.push(if object.is_empty() { '{' } else { ',' });
        object.extend(["\"", key.raw(), "\":", &*text]);
        losses.bytes_cut += lost.bytes_cut;
        losses.media_replaced += lost.media_replaced;
    }
    if !object.is_empty() {
        object.push('}');
    }
    (object, losses)
}

/// Not empty, and no object of which all members are empty.
fn says_something(value: Value<'_>) -> bool {
    !value.is_empty() && (!value.is_object() || value.members().any(|(_, member)| !member.is_empty()))
}

/// Writes `name` as a text, if it is one that is not blank. Gives whether it did.
pub(crate) fn put_text(json: &mut JsonWriter, name: &str, value: Option<Value<'_>>) -> bool {
    let text = value.and_then(Value::str).filter(|text| !text.trim().is_empty());
    if let Some(text) = &text {
        json.member_str(name, text);
    }
    text.is_some()
}

/// Writes a trace id that our ingest takes.
pub(crate) fn put_trace(json: &mut JsonWriter, value: Option<Value<'_>>) -> bool {
    let usable =
        value.filter(|value| value.str().is_some_and(|id| matches!(trace_ref::parse_trace_id(&id), Ok(Some(_)))));
    put_text(json, "trace_id", usable)
}

/// Writes an amount in US dollars, digits as they were.
pub(crate) fn put_usd(json: &mut JsonWriter, name: &str, value: Option<Value<'_>>) -> bool {
    let text = value.and_then(Value::number).filter(|text| Usd::parse(text).is_ok());
    if let Some(text) = text {
        json.key(name);
        json.number(text);
    }
    text.is_some()
}

/// Writes a time, digits as they were, when it is one and not before `start`.
pub(crate) fn put_time(json: &mut JsonWriter, name: &str, value: Option<Value<'_>>, start: Option<Value<'_>>) -> bool {
    let Some((value, time)) = value.and_then(|value| Some((value, timing::from_json(value)?))) else {
        return false;
    };
    if start.and_then(timing::from_json).is_some_and(|start| time < start) {
        return false;
    }
    json.member(name, value);
    true
}

/// Writes a list of texts as tags.
pub(crate) fn put_tags(json: &mut JsonWriter, value: Option<Value<'_>>) -> bool {
    let fits = |list: &Value<'_>| {
        list.is_array() && list.items().count() <= TAGS_MAX && list.items().all(Value::is_string) && !list.is_empty()
    };
    let tags = value.filter(fits);
    if let Some(tags) = tags {
        json.member("tags", tags);
    }
    tags.is_some()
}

/// Writes the members `model` and `messages` of a request. Messages that ours do not allow are left to the rest;
/// gives whether there are none such.
pub(crate) fn put_messages(json: &mut JsonWriter, model: &str, messages: Option<Value<'_>>) -> bool {
    json.member_str("model", model);
    json.key("messages");
    json.begin_array();
    let fits = match messages {
        Some(text) if text.is_string() => {
            json.begin_object();
            json.member_str("role", "user");
            json.member("content", text);
            json.end_object();
            true
        }
        Some(list) if list.is_array() && list.items().all(is_message) => {
            list.items().for_each(|message| json.value(message));
            true
        }
        other => other.is_none(),
    };
    json.end_array();
    fits
}

fn is_message(value: Value<'_>) -> bool {
    value.last_member("role").and_then(Value::str).is_some_and(|role| ROLES.contains(&&*role))
}

/// Writes the choices of a response; a completion's bare `text` becomes a message.
pub(crate) fn put_choices(json: &mut JsonWriter, choices: Option<Value<'_>>) {
    json.key("choices");
    json.begin_array();
    for choice in choices.into_iter().flat_map(Value::items) {
        let text = choice.get("text").filter(|text| text.is_string() && !choice.has("message") && !choice.has("delta"));
        let Some(text) = text else {
            json.value(choice);
            continue;
        };
        json.begin_object();
        json.key("message");
        json.begin_object();
        json.member_str("role", "assistant");
        json.member("content", text);
        json.end_object();
        for (key, value) in choice.members().filter(|(key, _)| !key.is_key("text")) {
            json.copy_member(key, value);
        }
        json.end_object();
    }
    json.end_array();
}

/// Writes the members of a response but its choices. What calls itself a chunk and is none must not be taken for a stream.
pub(crate) fn put_response_members(json: &mut JsonWriter, response: Value<'_>) {
    let is_false_chunk = sse::is_chunk(response) && sse::merge(response).is_none();
    for (key, value) in response.members().filter(|(key, _)| !key.is_key("choices")) {
        if is_false_chunk && key.is_key("object") {
            json.member("provider_object", value);
        } else {
            json.copy_member(key, value);
        }
    }
}

/// Works out which call a record is about, while all of it is hashed for its fingerprint; no value is written twice.
pub(crate) struct Identifying<'r> {
    said: CanonicalHash,
    call: CallDigest,
    hashed: Vec<Value<'r>>,
}

impl<'r> Identifying<'r> {
    /// Starts with the tool and with what names the call; empty when nothing does.
    pub(crate) fn begin(tool: &str, names: &[&str]) -> Self {
        let mut call = CallDigest::default();
        [&[tool], names].concat().iter().for_each(|name| call.part(name.as_bytes()));
        Self { said: CanonicalHash::default(), call, hashed: Vec::new() }
    }

    /// Adds a member; `counts` when the call is another one with another value.
    pub(crate) fn member(&mut self, name: &str, value: Option<Value<'r>>, counts: bool) {
        let Some(value) = value else { return };
        let text = self.said.member(name, value);
        if counts {
            self.call.given(name, Some(text.as_bytes()));
        }
        self.hashed.push(value);
    }

    /// Adds a time, in whatever spelling. It says which call it is.
    pub(crate) fn time(&mut self, name: &str, value: Option<Value<'r>>) {
        let Some((value, at)) = value.map(|value| (value, timing::from_json(value))) else { return };
        let Some(at) = at else { return self.member(name, Some(value), true) };
        let nanos = at.nanos().to_string();
        self.said.text(name, &nanos);
        self.call.given(name, Some(nanos.as_bytes()));
        self.hashed.push(value);
    }

    /// Adds a text that came beside the record.
    pub(crate) fn beside(&mut self, name: &str, text: &str) {
        self.said.text(name, text);
    }

    /// Adds what is left of an object to the fingerprint.
    pub(crate) fn rest(&mut self, object: Value<'r>) {
        self.said.members(object, |_, value| !self.hashed.iter().any(|hashed| hashed.is_same(value)));
        self.hashed.push(object);
    }

    /// `replaces_all` when what names the call tells it from every other one.
    pub(crate) fn finish(self, replaces_all: bool) -> RecordIdentity {
        RecordIdentity { key: self.call.hex(), replaces_all, fingerprint: Fingerprint::of(&self.said) }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use serde_json::{Map, Value as Json, json};

    use super::*;
    use crate::chat::{Context, TraceRef, convert, parse};
    use crate::time::UnixNanos;
    use crate::workspace::Workspace;

    /// What a record becomes: its ids, times and texts, and its attributes, JSON ones read.
    pub(in super::super) fn span_of(foreign: Foreign) -> (Json, Map<String, Json>) {
        let workspace = Workspace::default();
        let body = foreign.body.clone();
        let capture = parse(body.as_bytes(), &Foreign::options(ParseOptions::default()))
            .unwrap_or_else(|errors| panic!("{errors}: {body}"));
        let received_at = UnixNanos::new(1_800_000_000_000_000_000).unwrap();
        let record = foreign.identity.clone();
        let context = Context {
            workspace: &workspace,
            received_at,
            traceparent: None,
            idempotency_key: None,
            record: Some(&record),
        };
        let mut span = convert(&capture, &context).unwrap();
        foreign.complete(&mut span);
        let seen = json!({
            "name": span.name, "start": span.start.nanos(), "end": span.end.nanos(), "span": span.span_id.to_string(), "fingerprint": span.fingerprint,
            "trace": match span.trace { TraceRef::Joins(id) => Json::from(id.to_string()), TraceRef::Own(_) => Json::Null },
            "failed": span.status == crate::chat::Status::Error, "message": span.status_message,
            "service": span.service_name,
        });
        let mut attributes = Map::new();
        for (key, value) in span.all_attributes() {
            let mut text = String::new();
            value.as_column_text(&mut text);
            let value = match value {
                AttrValue::Str(_) | AttrValue::Decimal(_) => Json::from(text),
                _ => serde_json::from_str(&text).unwrap(),
            };
            assert!(attributes.insert(key.to_string(), value).is_none(), "{key} twice");
        }
        (seen, attributes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json, json};

    use super::super::{helicone, litellm};
    use super::*;

    #[test]
    fn what_the_limits_take_from_the_rest_is_noted_beside_what_they_took_from_the_call() {
        let long = "x".repeat(60);
        let limits = Limits { max_value_bytes: 50, ..Limits::default() };
        let options = ParseOptions { limits, ..ParseOptions::default() };
        let record = json!({"call_type": "completion", "model": "m", "note": long}).to_string();
        let (_, attributes) = testing::span_of(litellm::rewrite(record.as_bytes(), &options).unwrap());
        assert_eq!(attributes["millrace.truncated"], json!({"millrace.litellm.extra": 10}));
        let mut both = ChatSpanStub::with(r#"{"a":1}"#);
        note(&mut both.0, "b", Losses { bytes_cut: 2, media_replaced: 0 });
        assert_eq!(both.0.attributes[0].1, AttrValue::Json(r#"{"a":1,"b":2}"#.into()));
    }

    struct ChatSpanStub(ChatSpan<'static>);

    impl ChatSpanStub {
        fn with(truncated: &str) -> Self {
            use crate::chat::{SessionRef, Status, TraceRef};
            let trace = TraceRef::Own(crate::ids::TraceId::new([1; 16]).unwrap());
            Self(ChatSpan {
                trace,
                span_id: crate::ids::SpanId::new([1; 8]).unwrap(),
                fingerprint: 0,
                is_keyed: false,
                parent: None,
                session: SessionRef::ToDerive,
                name: String::new(),
                start: crate::time::UnixNanos::default(),
                end: crate::time::UnixNanos::default(),
                status: Status::Unset,
                status_message: "".into(),
                service_name: None,
                raw: Raw::default(),
                call: crate::genai::call::Call::default(),
                attributes: vec![(semconv::MILLRACE_TRUNCATED.into(), AttrValue::Json(truncated.to_owned().into()))],
            })
        }
    }

    /// A value of any kind, a few of which some member wants.
    fn any_value() -> impl Strategy<Value = Json> {
        let leaf = prop::sample::select(vec![
            json!(null),
            json!(true),
            json!(""),
            json!("x"),
            json!("user"),
            json!("failure"),
            json!("tool"),
            json!(-1),
            json!(0),
            json!(5.5),
            json!(1795445761.5),
            json!(1e300),
            json!("0".repeat(32)),
            json!("x".repeat(300)),
            json!([]),
            json!({}),
            json!("chat.completion.chunk"),
            json!("error"),
            json!("data: {}"),
            json!(500),
        ]);
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                prop::collection::vec((prop::sample::select(KEYS), inner), 0..5)
                    .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            ]
        })
    }

    const KEYS: &[&str] = &[
        "id",
        "call_type",
        "model",
        "messages",
        "role",
        "content",
        "response",
        "choices",
        "text",
        "message",
        "delta",
        "object",
        "error",
        "code",
        "usage",
        "prompt_tokens",
        "status",
        "stream",
        "startTime",
        "endTime",
        "trace_id",
        "completionStartTime",
        "response_cost",
        "cost_breakdown",
        "output_cost",
        "request_tags",
        "model_parameters",
        "error_str",
        "error_information",
        "error_message",
        "json",
        "textBody",
        "meta",
        "timing",
        "seconds",
        "detail",
        "milliseconds",
        "timeToFirstToken",
        "_type",
        "input",
        "session_id",
        "end_user",
        "provider",
        "finish_reason",
    ];

    proptest! {
        #[test]
        fn whatever_is_read_as_a_record_converts(members in prop::collection::vec((prop::sample::select(KEYS), any_value()), 0..8), answer in any_value()) {
            let record: Map<String, Json> = members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            let mut payload = record.clone();
            payload.insert("call_type".to_owned(), json!("acompletion"));
            let payload = Json::from(payload).to_string();
            testing::span_of(litellm::rewrite(payload.as_bytes(), &ParseOptions::default()).unwrap());
            let log = json!({"providerRequest": {"json": record, "meta": record}, "providerResponse": record, "timing": answer});
            testing::span_of(helicone::rewrite(log.to_string().as_bytes(), &[], &ParseOptions::default()).unwrap());
        }
    }

    #[test]
    fn a_record_cut_off_anywhere_is_refused_and_never_a_panic() {
        let record = br#"{"call_type":"completion","model":"m","messages":"hi","response":{"choices":[]},"providerRequest":{"json":{}},"providerResponse":{}}"#;
        for end in 0..record.len() {
            assert!(litellm::rewrite(&record[..end], &ParseOptions::default()).is_err());
            assert!(helicone::rewrite(&record[..end], &[], &ParseOptions::default()).is_err());
        }
        assert!(litellm::rewrite(record, &ParseOptions::default()).is_ok());
        assert!(helicone::rewrite(record, &[], &ParseOptions::default()).is_ok());
    }
}
