//! Events that are a message each: as span events, as log records, or as Logfire's list of them in one attribute.
//!
//! Source: core 1.28 to 1.36, `gen_ai.user.message` and its like; Logfire, the attribute `events`.

use super::NormalizedMessages;
use super::Side;
use super::forms::MessageSource;
use crate::columns::typed::{Entries, SpanView, text_of};
use crate::conventions::keys::Slot;
use crate::conventions::read_json;
use crate::conventions::slots::Slots;
use crate::genai::call::Text;
use crate::json::document::Value;
use crate::text::write_string;

/// A message that a model answered with.
pub(crate) const CHOICE: &str = "gen_ai.choice";

/// The side of a call on which the event of that whole name is a message.
#[must_use]
pub fn side_of_message(name: &str) -> Option<Side> {
    match name {
        CHOICE => Some(Side::Output),
        name => role_of_message(name).map(|_| Side::Input),
    }
}

/// The role that the name of an event says which is a message.
fn role_of_message(name: &str) -> Option<&str> {
    let role = name.strip_prefix("gen_ai.")?.strip_suffix(".message")?;
    matches!(role, "system" | "user" | "assistant" | "tool").then_some(role)
}

/// An attribute of the first event of that name.
pub(crate) fn content<'a>(span: &SpanView<'a>, event: &[u8], key: &[u8]) -> Option<&'a str> {
    let mut events = span.events.iter().filter(|it| it.name == event);
    events.find_map(|event| event.attributes.first_filled(key))
}

/// Messages sent.
pub(crate) fn input(slots: &Slots<'_>, span: &SpanView<'_>) -> Option<NormalizedMessages<'static>> {
    let form = form_of(Side::Input);
    let mut json = String::from("[");
    for event in &span.events {
        if let Some(role) = role_of_message(text_of(event.name)) {
            separate(&mut json);
            message(&mut json, Some(role), event.attributes);
        }
    }
    json.push(']');
    of_list(&json, form).or_else(|| logfire(slots, form))
}

/// Messages received.
pub(crate) fn output(
    slots: &Slots<'_>,
    span: &SpanView<'_>,
    form: MessageSource<'_>,
) -> Option<NormalizedMessages<'static>> {
    let mut json = String::from("[");
    for event in span.events.iter().filter(|event| event.name == CHOICE.as_bytes()) {
        separate(&mut json);
        message(&mut json, None, event.attributes);
    }
    json.push(']');
    of_list(&json, form).or_else(|| logfire(slots, form))
}

/// Log records that are messages of one side of a call, one after the other.
#[derive(Debug)]
pub struct EventMessages {
    side: Side,
    json: String,
}

impl EventMessages {
    /// None yet.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self { side, json: String::from("[") }
    }

    /// Adds the message of an event of that name, from what of it is content.
    pub fn push(&mut self, name: &str, content: Entries<'_>) {
        separate(&mut self.json);
        message(&mut self.json, role_of_message(name), content);
    }

    /// Bytes so far, as JSON.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.json.len()
    }

    /// All of them in the form of the conventions, and the key of the attribute that they are; `None` when nothing was said.
    #[must_use]
    pub fn finish(mut self) -> Option<(&'static str, String)> {
        self.json.push(']');
        let text = of_list(&self.json, form_of(self.side))?.text.into_owned();
        match self.side {
            // that something was asked is no news without what it was
            Side::Input => text.contains(r#""type":"#).then_some((Slot::InputMessages.key(), text)),
            Side::Output => Some((Slot::OutputMessages.key(), text)),
        }
    }
}

fn form_of(side: Side) -> MessageSource<'static> {
    MessageSource { side, reasons: &[], calls: None, may_be_text: true }
}

fn separate(json: &mut String) {
    if !json.ends_with('[') {
        json.push(',');
    }
}

fn of_list(json: &str, form: MessageSource<'_>) -> Option<NormalizedMessages<'static>> {
    if json == "[]" {
        return None;
    }
    let document = read_json(json).ok()?;
    choices(document.root().items(), form)
}

/// Writes messages; those within a choice are taken out of it.
fn choices<'d>(items: impl Iterator<Item = Value<'d>>, form: MessageSource<'_>) -> Option<NormalizedMessages<'static>> {
    let mut items: Vec<Value<'d>> = items.collect();
    let index = |item: &Value<'_>| item.get("index").and_then(Value::int);
    if form.side == Side::Output && items.iter().all(|item| index(item).is_some()) {
        items.sort_by_cached_key(index);
    }
    let reasons: Vec<String> = items
        .iter()
        .filter_map(|item| {
            item.get("finish_reason").or_else(|| item.get("message")?.get("finish_reason"))?.filled_str()
        })
        .map(|reason| reason.into_owned())
        .collect();
    let own: Vec<_> = reasons.iter().map(|reason| Text::Borrowed(reason.as_str())).collect();
    let with_reasons = if own.len() == items.len() { MessageSource { reasons: &own, ..form } } else { form };
    // the message may be nothing but its content: a text, or a list of parts
    let message = |item: Value<'d>| match item.get("message") {
        Some(message) if item.get("content").is_none() || message.is_object() => message,
        _ => item,
    };
    let made = with_reasons.list(items.into_iter().map(message))?;
    Some(NormalizedMessages { reasons, ..made })
}

/// Logfire's and pydantic-ai's list of events in one attribute.
fn logfire(slots: &Slots<'_>, form: MessageSource<'_>) -> Option<NormalizedMessages<'static>> {
    if let Some(made) = slots.get(Slot::LogfireEvents).and_then(|text| {
        let document = read_json(text).ok()?;
        let is_wanted = |item: &Value<'_>| match item.get("event.name").and_then(Value::str).as_deref() {
            Some(CHOICE) => form.side == Side::Output,
            Some(name) => form.side == Side::Input && role_of_message(name).is_some(),
            None => false,
        };
        choices(document.root().items().filter(is_wanted), form)
    }) {
        return Some(made);
    }
    if form.side == Side::Output {
        return None;
    }
    let text = slots.get(Slot::PydanticAllMessages).or_else(|| slots.get(Slot::PydanticMessages))?;
    form.read(text).map(NormalizedMessages::into_owned)
}

/// Writes a message from an event's attributes, or from the JSON that Azure has for them in one.
fn message(json: &mut String, role: Option<&str>, attributes: Entries<'_>) {
    let whole = attributes.iter().find(|(key, _)| *key == b"gen_ai.event.content" || *key == b"body");
    if let Some(text) = whole.map(|(_, value)| text_of(value))
        && let Ok(document) = read_json(text)
        && document.root().is_object()
    {
        json.push('{');
        if let Some(role) = role.filter(|_| document.root().get("role").is_none()) {
            member(json, "role", role);
        }
        let inner = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        if let Some(inner) = inner.filter(|inner| !inner.trim().is_empty()) {
            comma(json);
            json.push_str(inner);
        }
        return json.push('}');
    }
    json.push('{');
    let has_role = attributes.iter().any(|(key, value)| key == b"role" && !value.is_empty());
    if let Some(role) = role.filter(|_| !has_role) {
        member(json, "role", role);
    }
    for (key, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
        let (key, value) = (text_of(key), text_of(value));
        let name = key.strip_prefix("message.").or_else(|| key.strip_prefix("gen_ai.event.")).unwrap_or(key);
        let is_structured = match name {
            "tool_calls" | "message" | "content" => value.starts_with(['[', '{']) && read_json(value).is_ok(),
            "index" => value.parse::<u32>().is_ok(),
            _ => false,
        };
        match name {
            _ if name.starts_with("gen_ai.") => {}
            "body" => member(json, "content", value),
            _ if is_structured => {
                comma(json);
                write_string(json, name);
                json.push(':');
                json.push_str(value);
            }
            _ => member(json, name, value),
        }
    }
    json.push('}');
}

fn comma(json: &mut String) {
    if !json.ends_with('{') {
        json.push(',');
    }
}

fn member(json: &mut String, name: &str, value: &str) {
    comma(json);
    write_string(json, name);
    json.push(':');
    write_string(json, value);
}
