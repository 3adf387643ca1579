//! What a captured call becomes: a span that borrows its texts from the capture, and the values its attributes can have.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::trace_ref::{SessionRef, TraceRef, derived_session};
use crate::genai::call::{Call, Text, is_blank};
use crate::genai::cost::Usd;
use crate::genai::semconv;
use crate::ids::SpanId;
use crate::json::limits;
use crate::json::limits::Limits;
use crate::json::writer::{JsonWriter, Losses};
use crate::text::put_double;
use crate::text::write_string;
use crate::time::UnixNanos;

/// The span of one model call. Its kind is always CLIENT.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatSpan<'c> {
    /// The trace it is in.
    pub trace: TraceRef,
    /// Its own id, the same for every repeat of the call.
    pub span_id: SpanId,
    /// The same for reports that say the same, in whatever order of members and spelling of times; another one when anything
    /// in it differs, such as a cost that was added.
    pub fingerprint: u64,
    /// Its id follows from the header `Idempotency-Key`, which stands for one report.
    pub is_keyed: bool,
    /// The parent the sender named; else the root of the trace it joins is to be found.
    pub parent: Option<SpanId>,
    /// The session the sender named, or that it is to be derived.
    pub session: SessionRef<'c>,
    /// `chat {model}`.
    pub name: String,
    /// When the call began, as well as it is known.
    pub start: UnixNanos,
    /// When the call ended, as well as it is known; never before `start`.
    pub end: UnixNanos,
    /// Whether the call failed.
    pub status: Status,
    /// What the provider said about the failure; empty when it said nothing.
    pub status_message: Cow<'c, str>,
    /// The service the sender named.
    pub service_name: Option<Cow<'c, str>>,
    /// Request and response as they were sent, within the limits.
    pub raw: Raw<'c>,
    /// What the typed columns hold.
    pub call: Call<'c>,
    /// The attributes, each key once, but for content that `call` has. `session.id` is among them when the sender named the
    /// session.
    pub attributes: Vec<Attribute<'c>>,
}

/// JSON texts, byte for byte as they came but for what the limits took; empty when there is none to keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raw<'c> {
    /// The request.
    pub request: Cow<'c, str>,
    /// The response; of a stream its chunks.
    pub response: Cow<'c, str>,
}

/// Outcome of a call. Success is `Unset`, never `Ok`: the conventions leave `Ok` to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It did not fail.
    Unset,
    /// It failed.
    Error,
}

/// The key and the value of an attribute.
pub type Attribute<'c> = (Cow<'static, str>, AttrValue<'c>);

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum AttrValue<'c> {
    /// A text.
    Str(Cow<'c, str>),
    /// A whole number.
    Int(i64),
    /// A number of things.
    Count(u64),
    /// A finite number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// A list of texts.
    StrList(Vec<Cow<'c, str>>),
    /// Compact JSON, already written.
    Json(Cow<'c, str>),
    /// US dollars.
    Decimal(Usd),
}

impl ChatSpan<'_> {
    /// The first attribute of that key, of [all](Self::all_attributes).
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<AttrValue<'_>> {
        self.all_attributes().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// All attributes: those that the call has instead, too.
    pub fn all_attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        let of_call = [
            (semconv::INPUT_MESSAGES, &self.call.input_messages),
            (semconv::OUTPUT_MESSAGES, &self.call.output_messages),
            (semconv::TOOL_DEFINITIONS, &self.call.tool_definitions),
        ];
        let of_call = of_call.into_iter().filter(|(_, json)| !json.is_empty());
        let of_call = of_call.map(|(key, json)| (key.into(), AttrValue::Json(Cow::Borrowed(&**json))));
        self.attributes.iter().cloned().chain(of_call)
    }

    /// The session it is in: the given one, else `joined` (the session of the trace this span joins), else one derived
    /// from the trace id.
    #[must_use]
    pub fn session_in(&self, joined: Option<&str>) -> String {
        match (&self.session, joined) {
            (SessionRef::Given(given), _) => given.clone().into_owned(),
            (SessionRef::ToDerive, Some(joined)) => joined.to_owned(),
            (SessionRef::ToDerive, None) => derived_session(self.trace.id()),
        }
    }
}

impl<'c> AttrValue<'c> {
    /// The text that [`as_column_text`](Self::as_column_text) appends.
    fn column_text(&self) -> Text<'c> {
        if let Self::Str(text) = self {
            return text.clone();
        }
        let mut text = String::new();
        self.as_column_text(&mut text);
        text.into()
    }

    /// The text that it is, if it is one: what [`as_column_text`](Self::as_column_text) would append.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Str(text) | Self::Json(text) => Some(text),
            _ => None,
        }
    }

    /// Appends the text that goes into a `Map(String, String)` column: texts as they are, numbers as the OpenTelemetry
    /// exporter prints them (1.0 as `1`), lists and JSON as compact JSON.
    pub fn as_column_text(&self, out: &mut String) {
        match self {
            Self::Str(text) | Self::Json(text) => out.push_str(text),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => out.push_str(itoa::Buffer::new().format(*value)),
            Self::Count(count) => out.push_str(itoa::Buffer::new().format(*count)),
            Self::Double(value) => put_double(out, *value),
            Self::Decimal(value) => display(out, value),
            Self::StrList(texts) => {
                out.push('[');
                for (index, text) in texts.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(out, text);
                }
                out.push(']');
            }
        }
    }
}

fn display(out: &mut String, value: &dyn std::fmt::Display) {
    let _a_string_takes_any_text = write!(out, "{value}");
}

/// A call and the attributes of its span as they come together, each value once, with what the limits took from them.
pub(super) struct Attributes<'c> {
    pub(super) call: Call<'c>,
    list: Vec<Attribute<'c>>,
    limits: Limits,
    bytes_cut: Vec<(Cow<'static, str>, u64)>,
    media_replaced: Vec<(Cow<'static, str>, u64)>,
}

impl<'c> Attributes<'c> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            call: Call::default(),
            list: Vec::with_capacity(48),
            limits,
            bytes_cut: Vec::new(),
            media_replaced: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, key: impl Into<Cow<'static, str>>, value: AttrValue<'c>) {
        self.list.push((key.into(), value));
    }

    pub(super) fn text(&mut self, key: &'static str, text: impl Into<Cow<'c, str>>) {
        let text = self.within_limit(key, text.into());
        self.put(key, AttrValue::Str(text));
    }

    pub(super) fn texts(&mut self, key: &'static str, texts: Vec<Cow<'c, str>>) {
        let texts = self.within_limits(key, texts);
        self.put(key, AttrValue::StrList(texts));
    }

    pub(super) fn within_limits(&mut self, key: &'static str, texts: Vec<Cow<'c, str>>) -> Vec<Cow<'c, str>> {
        texts.into_iter().map(|text| self.within_limit(key, text)).collect()
    }

    /// A text that a column of the call holds too: returns it for there, empty when it says nothing.
    pub(super) fn stated(&mut self, key: &'static str, text: Option<Cow<'c, str>>) -> Text<'c> {
        let Some(text) = text.map(|text| self.within_limit(key, text)) else { return Text::default() };
        self.put(key, AttrValue::Str(text.clone()));
        Some(text).filter(|text| !is_blank(text)).unwrap_or_default()
    }

    /// A parameter of the request, by its key and its name among the parameters.
    pub(super) fn parameter(&mut self, key: &'static str, name: &'static str, value: Option<AttrValue<'c>>) {
        let Some(value) = value else { return };
        let text = value.column_text();
        if !is_blank(&text) {
            self.call.request_parameters.push((name.into(), text));
        }
        self.put(key, value);
    }

    /// Content that the call has instead of an attribute: returns its JSON for there, empty when it is an empty list.
    pub(super) fn content(&mut self, key: &'static str, write: impl FnOnce(&mut JsonWriter)) -> Text<'c> {
        let json = self.written(key, write);
        if !is_blank(&json) {
            return json.into();
        }
        self.put(key, AttrValue::Json(json.into()));
        Text::default()
    }

    pub(super) fn within_limit(&mut self, key: &'static str, text: Cow<'c, str>) -> Cow<'c, str> {
        let Some((kept, missing)) = limits::cut(&text, self.limits.max_value_bytes) else {
            return text;
        };
        let marked = format!("{kept}{}", limits::marker(missing));
        match self.bytes_cut.iter_mut().find(|(cut, _)| cut == key) {
            Some((_, bytes)) => *bytes = bytes.saturating_add(missing),
            None => self.bytes_cut.push((key.into(), missing)),
        }
        marked.into()
    }

    pub(super) fn optional_text(&mut self, key: &'static str, text: Option<Cow<'c, str>>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    pub(super) fn optional_count(&mut self, key: &'static str, count: Option<u64>) {
        if let Some(count) = count {
            self.put(key, AttrValue::Count(count));
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.list.iter().any(|(name, _)| name == key)
    }

    /// Writes a JSON attribute.
    pub(super) fn json(&mut self, key: &'static str, write: impl FnOnce(&mut JsonWriter)) {
        let json = self.written(key, write);
        self.put(key, AttrValue::Json(json.into()));
    }

    fn written(&mut self, key: &'static str, write: impl FnOnce(&mut JsonWriter)) -> String {
        let mut writer = JsonWriter::new(self.limits);
        write(&mut writer);
        let (json, losses) = writer.finish();
        self.note(key, losses);
        json
    }

    /// Keeps in mind what the limits took from an attribute, or from a column.
    pub(super) fn note(&mut self, key: &'static str, Losses { bytes_cut, media_replaced }: Losses) {
        if bytes_cut > 0 {
            self.bytes_cut.push((key.into(), bytes_cut));
        }
        if media_replaced > 0 {
            self.media_replaced.push((key.into(), media_replaced));
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// The call and the list, completed by what the limits took.
    pub(super) fn finish(mut self) -> (Call<'c>, Vec<Attribute<'c>>) {
        let losses = [
            (semconv::MILLRACE_TRUNCATED, std::mem::take(&mut self.bytes_cut)),
            (semconv::MILLRACE_MEDIA_REPLACED, std::mem::take(&mut self.media_replaced)),
        ];
        for (key, counts) in losses.into_iter().filter(|(_, counts)| !counts.is_empty()) {
            self.json(key, |json| {
                json.begin_object();
                for (attribute, count) in &counts {
                    json.key(attribute);
                    json.number(&count.to_string());
                }
                json.end_object();
            });
        }
        self.call.request_parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
        (self.call, self.list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &AttrValue<'_>) -> String {
        let mut out = String::new();
        value.as_column_text(&mut out);
        out
    }

    #[test]
    fn values_become_the_texts_the_exporter_writes() {
        let doubles =
            [(1.0, "1"), (0.0, "0"), (0.7, "0.7"), (-2.5, "-2.5"), (1e-7, "1e-7"), (1e-6, "0.000001"), (1e21, "1e+21")];
        for (value, want) in doubles {
            assert_eq!(text(&AttrValue::Double(value)), want);
        }
        assert_eq!(text(&AttrValue::Int(-7)), "-7");
        assert_eq!(text(&AttrValue::Bool(true)), "true");
        assert_eq!(text(&AttrValue::Str("a\"b".into())), "a\"b");
        assert_eq!(text(&AttrValue::StrList(vec!["a\"".into(), "\n".into()])), r#"["a\"","\n"]"#);
        assert_eq!(text(&AttrValue::Decimal(Usd::parse("4.83e-05").unwrap())), "0.0000483");
    }
}
