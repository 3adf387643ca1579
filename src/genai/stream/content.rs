//! The content of a streamed message: a text, or a list of parts, or first one and then the other.

use super::joined::Joined;
use super::ordered::text_of;
use crate::json::document::Value;
use crate::json::writer::JsonWriter;

/// The content so far. It is a list when any piece of it was one.
#[derive(Debug, Default)]
pub(super) struct Content {
    parts: Vec<Part>,
    is_list: bool,
}

#[derive(Debug)]
enum Part {
    Text(Joined),
    Thinking(Joined),
    /// JSON.
    Other(String),
}

impl Content {
    /// Adds a text, or a list of parts.
    pub(super) fn add(&mut self, piece: Value<'_>) {
        if piece.is_string() {
            return self.text(piece);
        }
        self.is_list = true;
        for part in piece.items() {
            match (plain(part, "text"), plain(part, "thinking")) {
                (Some(text), _) if text.is_string() => self.text(text),
                (_, Some(thoughts)) if are_texts(thoughts) => self.thinking(thoughts),
                _ if part.is_string() => self.text(part),
                _ => self.parts.push(Part::Other(text_of(part))),
            }
        }
    }

    fn text(&mut self, text: Value<'_>) {
        if !matches!(self.parts.last(), Some(Part::Text(_))) {
            self.parts.push(Part::Text(Joined::default()));
        }
        if let Some(Part::Text(joined)) = self.parts.last_mut() {
            joined.push(text);
        }
    }

    fn thinking(&mut self, thoughts: Value<'_>) {
        if !matches!(self.parts.last(), Some(Part::Thinking(_))) {
            self.parts.push(Part::Thinking(Joined::default()));
        }
        if let Some(Part::Thinking(joined)) = self.parts.last_mut() {
            joined.push(thoughts);
            thoughts.items().filter_map(|thought| plain(thought, "text")).for_each(|text| joined.push(text));
        }
    }

    pub(super) fn write(&self, json: &mut JsonWriter) {
        if let ([Part::Text(text)], false) = (&*self.parts, self.is_list) {
            return json.str(text.as_str());
        }
        json.begin_array();
        for part in &self.parts {
            match part {
                Part::Text(text) => write_plain(json, "text", text),
                Part::Thinking(text) => write_plain(json, "thinking", text),
                Part::Other(part) => json.number(part),
            }
        }
        json.end_array();
    }
}

fn write_plain(json: &mut JsonWriter, kind: &str, text: &Joined) {
    json.begin_object();
    json.member_str("type", kind);
    json.member_str(kind, text.as_str());
    json.end_object();
}

/// The text, or the thoughts, of a part that has nothing else in it.
fn plain<'d>(part: Value<'d>, kind: &str) -> Option<Value<'d>> {
    let is_of_kind = part.get("type").is_some_and(|name| name.is_key(kind));
    // Mistral says of each piece whether more of the thought follows
    let is_all = part.members().all(|(key, value)| {
        key.is_key("type") || key.is_key(kind) || value.is_null() || (key.is_key("closed") && value.bool().is_some())
    });
    part.get(kind).filter(|_| is_of_kind && is_all)
}

fn are_texts(thoughts: Value<'_>) -> bool {
    let is_text = |thought: Value<'_>| plain(thought, "text").is_some_and(Value::is_string);
    thoughts.is_string() || (thoughts.is_array() && thoughts.items().all(is_text))
}
