//! Steps as messages of the conventions, and the conversation before a step.

use super::HISTORY_BYTES_MAX;
use super::parts::Observed;
use super::trajectory::{Source, Step};
use crate::json::document::Value;
use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;

/// What was said before a step: messages, each as JSON.
#[derive(Debug, Default)]
pub(super) struct History {
    messages: Vec<String>,
    /// What they take together.
    bytes: usize,
    /// Those before this one were there when a model was asked last.
    known: usize,
}

/// How much conversation rows may still repeat.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(HISTORY_BYTES_MAX)
    }
}

impl Room {
    /// Whether so many bytes may be repeated; they are used up then.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or_default();
        left.is_some()
    }
}

impl History {
    /// A message was said.
    pub(super) fn push(&mut self, message: String) {
        self.bytes += message.len() + 1;
        self.messages.push(message);
    }

    /// The input of a model that is asked now, and how many earlier messages are left out of it.
    pub(super) fn input(&mut self, room: &mut Room) -> (String, usize) {
        let from = if room.take(self.bytes) { 0 } else { self.known };
        self.known = self.messages.len();
        let said = self.messages.get(from..).unwrap_or_default();
        (if said.is_empty() { String::new() } else { format!("[{}]", said.join(",")) }, from)
    }
}

/// The message of a step.
pub(super) fn of_step(step: &Step<'_>, limits: Limits) -> String {
    let role = match step.source {
        Source::System => "system",
        Source::User => "user",
        Source::Agent => "assistant",
    };
    written(limits, role, |json| {
        if let Some(reasoning) = &step.reasoning {
            part(json, "reasoning", |json| json.member_str("content", reasoning));
        }
        put_content(json, step.message);
        for call in &step.tool_calls {
            part(json, "tool_call", |json| {
                json.member_str("id", &call.id);
                json.member_str("name", &call.name);
                json.member("arguments", call.arguments);
            });
        }
    })
}

/// What was observed, as a message.
pub(super) fn of_observed(observed: &Observed<'_>, limits: Limits) -> Option<String> {
    let content = observed.content?;
    Some(written(limits, "tool", |json| {
        part(json, "tool_call_response", |json| {
            if let Some(id) = &observed.call_id {
                json.member_str("id", id);
            }
            match content.str() {
                Some(text) => json.member_str("response", &text),
                None => json.member("response", content),
            }
        });
    }))
}

/// The text of a content: its own, or that of its parts.
pub(super) fn text_of(content: Value<'_>) -> String {
    if let Some(text) = content.str() {
        return text.into_owned();
    }
    let texts: Vec<_> = content.items().filter_map(|part| part.get("text").and_then(Value::str)).collect();
    texts.join("\n")
}

fn written(limits: Limits, role: &str, parts: impl FnOnce(&mut JsonWriter)) -> String {
    let mut json = JsonWriter::new(limits);
    json.begin_object();
    json.member_own("role", role);
    json.key("parts");
    json.begin_array();
    parts(&mut json);
    json.end_array();
    json.end_object();
    json.finish().0
}

fn part(json: &mut JsonWriter, kind: &str, members: impl FnOnce(&mut JsonWriter)) {
    json.begin_object();
    json.member_own("type", kind);
    members(json);
    json.end_object();
}

fn put_content(json: &mut JsonWriter, content: Value<'_>) {
    if let Some(text) = content.str() {
        if !text.is_empty() {
            part(json, "text", |json| json.member_str("content", &text));
        }
        return;
    }
    for value in content.items() {
        if let Some(text) = value.get("text").and_then(Value::str) {
            part(json, "text", |json| json.member_str("content", &text));
        } else if let Some(source) = value.get("source") {
            put_medium(json, value, source);
        }
    }
}

/// An image or audio, which lies elsewhere.
fn put_medium(json: &mut JsonWriter, value: Value<'_>, source: Value<'_>) {
    let text = |object: Value<'_>, name: &str| {
        object.get(name).and_then(Value::str).map_or_else(String::new, |text| text.into_owned())
    };
    part(json, "uri", |json| {
        json.member_str("modality", &text(value, "type"));
        json.member_str("mime_type", &text(source, "media_type"));
        json.member_str("uri", &text(source, "path"));
    });
}
