//! A captured call as it was read: typed members, and the JSON of request and response where the sender put it.
//!
//! ```text
//! our body           --parse-------------------> Capture --convert--> ChatSpan
//! a tool's record    --vendor::litellm, helicone-^
//! ```

use std::borrow::Cow;

use super::content_members;
use super::identity::Said;
use super::timing::GivenTimes;
use super::validate::{Loc, ValidationErrors};
use crate::genai::apis::Api;
use crate::genai::cost::{Given, Usd};
use crate::genai::messages::parts::PartReader;
use crate::genai::messages::reader::READER;
use crate::genai::stream::sse::Merged;
use crate::ids::{SpanId, TraceId};
use crate::json::document::{Document, Value};
use crate::json::limits::Limits;
use crate::json::writer::{JsonWriter, Losses};

/// How to read bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOptions {
    /// Take only what the reference takes: our own members of the body and our headers are off.
    pub strict_reference: bool,
    /// Bounds of the values in the span.
    pub limits: Limits,
    /// Keep the text of request and response beside what is made of them.
    pub keep_raw: bool,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self { strict_reference: false, limits: Limits::default(), keep_raw: true }
    }
}

/// The JSON text of a captured call, parsed. What is read from it borrows from it.
#[derive(Debug, Clone)]
pub struct Body<'b>(Document<'b>);

impl<'b> Body<'b> {
    /// Parses the body of a captured call.
    ///
    /// # Errors
    /// If it is not JSON in UTF-8.
    pub fn of_call(body: &'b [u8]) -> Result<Self, ValidationErrors> {
        Self::read(body, "body")
    }

    /// Parses a record of another tool.
    ///
    /// # Errors
    /// If it is not JSON in UTF-8.
    pub fn of_record(record: &'b [u8]) -> Result<Self, ValidationErrors> {
        Self::read(record, "record")
    }

    fn read(bytes: &'b [u8], what: &str) -> Result<Self, ValidationErrors> {
        let bytes = without_mark(bytes);
        let text = simdutf8::basic::from_utf8(bytes).map_err(|_| {
            let message = format!("JSON decode error: the {what} is not UTF-8");
            ValidationErrors::one(&[0.into()], "json_invalid", message, None)
        })?;
        Document::parse(text).map(Self).map_err(ValidationErrors::not_json)
    }

    pub(super) fn root(&self) -> Value<'_> {
        self.0.root()
    }
}

/// Without the byte order mark that some editors write first. Source: RFC 8259, section 8.1: a parser may ignore it.
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// A valid captured call: everything that a span is made from.
#[derive(Debug, Clone)]
pub struct Capture<'d> {
    /// `gen_ai.operation.name`.
    pub(super) operation: Cow<'d, str>,
    /// `openai.api.type`.
    pub(super) api_type: Option<&'static str>,
    /// The APIs of request and response; both are in the form of chat-completions here.
    pub(super) apis: Apis,
    pub(super) request: Part<'d>,
    /// The response as it was sent.
    pub(super) response: Part<'d>,
    /// The response as one object, when it was sent in another form.
    pub(super) merged: Option<Merged>,
    pub(super) said: Said<'d>,
    pub(super) trace: Option<TraceId>,
    pub(super) parent: Option<SpanId>,
    pub(super) times: GivenTimes,
    pub(super) cost: CallerCost,
    pub(super) caller: Caller<'d>,
    pub(super) raw: KeptRaws<'d>,
    /// What of a record has no attribute of its own.
    pub(super) rest: Option<Rest<'d>>,
    pub(super) sources: Sources<'d>,
    pub(super) options: ParseOptions,
}

/// The APIs of a request and a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Apis {
    pub(super) request: Api,
    pub(super) response: Api,
}

impl Apis {
    /// Both are chat-completions.
    pub(super) const CHAT: Self = Self { request: Api::ChatCompletions, response: Api::ChatCompletions };

    /// Whose API it is, where hardly anybody else has it.
    pub(super) fn provider(self) -> Option<&'static str> {
        self.response.provider().or(self.request.provider())
    }
}

/// Reads the parts of an API's messages, when it is not chat-completions.
pub(super) fn part_reader(api: Api) -> Option<PartReader> {
    Some(READER).filter(|_| api != Api::ChatCompletions)
}

/// What the caller says about itself and about what the call is for.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller<'d> {
    pub(super) session: Option<Cow<'d, str>>,
    pub(super) provider: Option<Cow<'d, str>>,
    pub(super) user_id: Option<Cow<'d, str>>,
    pub(super) service_name: Option<Cow<'d, str>>,
    /// The trace in the caller's own spelling.
    pub(super) trace_id: Option<Cow<'d, str>>,
    pub(super) tags: Vec<Cow<'d, str>>,
    pub(super) experiment_context: Option<Value<'d>>,
    pub(super) evaluation_context: Option<Value<'d>>,
}

/// Costs the caller stated.
#[derive(Debug, Clone, Default)]
pub(super) struct CallerCost {
    pub(super) total: Given,
    pub(super) input: Given,
    pub(super) output: Given,
    pub(super) details: Vec<(String, Usd)>,
}

/// A request or a response.
#[derive(Debug, Clone)]
pub(super) enum Part<'d> {
    /// As it was sent.
    Sent(Value<'d>),
    /// Put together from several members of a record.
    Built(Document<'static>),
}

impl Part<'_> {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Sent(value) => *value,
            Self::Built(document) => document.root(),
        }
    }

    fn built_bytes(&self) -> usize {
        match self {
            Self::Sent(_) => 0,
            Self::Built(document) => document.root().whole_text().len(),
        }
    }
}

/// Texts of request and response for the columns `RawRequest` and `RawResponse`, with what the limits took; empty when they are
/// not kept.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptRaws<'d> {
    pub(super) request: KeptRaw<'d>,
    pub(super) response: KeptRaw<'d>,
}

pub(super) type KeptRaw<'d> = (Cow<'d, str>, Losses);

/// A place in what was sent: its path there, and the value.
pub(super) type Source<'d> = (&'static [&'static str], Option<Value<'d>>);

/// Where the sender says what a later check may refuse.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'d> {
    pub(super) trace: Source<'d>,
    /// The first of start and end that is given.
    pub(super) time: Option<Source<'d>>,
    /// `created` of the response.
    pub(super) created: &'static [&'static str],
}

/// An error about a value, at the sender's own path.
pub(super) fn refusal((path, value): Source<'_>, message: String) -> ValidationErrors {
    let path: Vec<Loc> = path.iter().map(|name| (*name).into()).collect();
    ValidationErrors::one(&path, "value_error", message, value)
}

/// The members of a record that no attribute of their own holds, for one attribute together.
#[derive(Debug, Clone)]
pub(super) struct Rest<'d> {
    /// The attribute.
    pub(super) key: &'static str,
    pub(super) record: Value<'d>,
    /// Members that are held elsewhere.
    pub(super) taken: Vec<&'static str>,
    /// What else is left over.
    pub(super) more: Vec<(&'static str, Leftover<'d>)>,
}

/// Something that is left over of a record, or came beside it.
#[derive(Debug, Clone)]
pub(super) enum Leftover<'d> {
    Value(Value<'d>),
    /// The members of an object whose names are not among these, in lower case.
    Without(&'static [&'static str], Value<'d>),
    /// Texts with their names.
    Texts(Vec<(&'d str, &'d str)>),
}

impl Capture<'_> {
    pub(super) fn request(&self) -> Value<'_> {
        self.request.value()
    }

    /// The response as an object, chunks merged.
    pub(super) fn response(&self) -> Value<'_> {
        self.merged.as_ref().map_or_else(|| self.response.value(), |merged| merged.document.root())
    }

    pub(super) fn merged(&self) -> Option<&Merged> {
        self.merged.as_ref()
    }

    pub(super) fn options(&self) -> ParseOptions {
        self.options
    }

    /// Bytes it holds beside the text that it was read from.
    #[must_use]
    pub fn own_bytes_len(&self) -> usize {
        let owned = |text: &Cow<'_, str>| if matches!(text, Cow::Owned(_)) { text.len() } else { 0 };
        self.request.built_bytes()
            + self.response.built_bytes()
            + owned(&self.raw.request.0)
            + owned(&self.raw.response.0)
    }
}

impl<'d> Rest<'d> {
    /// Whether there is nothing to write, of what may be content or of what is not.
    pub(super) fn is_empty(&self, is_content: bool) -> bool {
        self.more(is_content).next().is_none() && self.members(is_content).next().is_none()
    }

    /// Writes it as an object.
    pub(super) fn write(&self, json: &mut JsonWriter, is_content: bool) {
        json.begin_object();
        self.members(is_content).for_each(|(name, value)| json.copy_member(name, value));
        for (name, leftover) in self.more(is_content) {
            leftover.write(name, json);
        }
        json.end_object();
    }

    fn more(&self, is_content: bool) -> impl Iterator<Item = &(&'static str, Leftover<'d>)> {
        self.more.iter().filter(move |(name, more)| (content_members::is_name(name) || more.has_text()) == is_content)
    }

    fn members(&self, is_content: bool) -> impl Iterator<Item = (Value<'d>, Value<'d>)> {
        let is_taken = |name: Value<'_>| self.taken.iter().any(|taken| name.is_key(taken));
        let members = self.record.members().filter(move |(name, value)| says_something(*value) && !is_taken(*name));
        members.filter(move |(name, value)| content_members::may_hold(*name, *value) == is_content)
    }
}

/// Whether a value is neither empty nor an object of which all members are empty.
fn says_something(value: Value<'_>) -> bool {
    !value.is_empty() && (!value.is_object() || value.members().any(|(_, member)| !member.is_empty()))
}

impl Leftover<'_> {
    /// Whether there may be a prompt or an answer within it.
    fn has_text(&self) -> bool {
        match self {
            Self::Value(value) => content_members::has_text(*value),
            Self::Without(names, object) => {
                let mut kept = object.members().filter(|(key, _)| is_kept(*key, names));
                kept.any(|(key, value)| content_members::may_hold(key, value))
            }
            Self::Texts(_) => false,
        }
    }

    fn write(&self, name: &str, json: &mut JsonWriter) {
        match self {
            Self::Value(value) => json.member(name, *value),
            Self::Without(names, object) => {
                json.key(name);
                json.begin_object();
                let kept = object.members().filter(|(key, _)| is_kept(*key, names));
                kept.for_each(|(key, value)| json.copy_member(key, value));
                json.end_object();
            }
            Self::Texts(texts) => {
                json.key(name);
                json.begin_object();
                texts.iter().for_each(|(name, text)| json.member_str(name, text));
                json.end_object();
            }
        }
    }

    /// The members of an object but for some, unless that leaves none.
    pub(super) fn without<'d>(names: &'static [&'static str], object: Option<Value<'d>>) -> Option<Leftover<'d>> {
        let object = object?;
        let is_left = object.members().any(|(key, _)| is_kept(key, names));
        is_left.then_some(Leftover::Without(names, object))
    }
}

fn is_kept(key: Value<'_>, without: &[&str]) -> bool {
    !key.str().is_some_and(|key| without.contains(&&*key.to_ascii_lowercase()))
}
