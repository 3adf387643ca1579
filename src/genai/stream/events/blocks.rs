//! Blocks of content, as Anthropic's and Bedrock's streams have them.

use super::super::joined::Joined;
use super::super::ordered::{Ordered, text_of, write_members};
use crate::json::document::{Document, Value};
use crate::json::writer::JsonWriter;
use std::collections::BTreeMap;

/// The message so far.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Members of the response but its content, as JSON.
    members: Ordered<String>,
    usage: Ordered<String>,
    blocks: BTreeMap<i64, Block>,
    error: Option<String>,
    is_ended: bool,
}

#[derive(Debug, Default)]
struct Block {
    /// What the block began with, as JSON.
    members: Ordered<String>,
    text: Joined,
    thinking: Joined,
    signature: Joined,
    /// The input of a tool, as JSON in pieces.
    input: Joined,
    citations: Vec<String>,
}

impl Blocks {
    /// Adds an event of Anthropic's.
    pub(super) fn anthropic(&mut self, event: Value<'_>) {
        let index = event.get("index").and_then(Value::int).unwrap_or_default();
        match event.get("type").and_then(Value::str).as_deref() {
            Some("message_start") => {
                event.get("message").into_iter().for_each(|message| self.message(message));
            }
            Some("content_block_start") => {
                let block = self.blocks.entry(index).or_default();
                event.get("content_block").into_iter().for_each(|start| block.begin(start));
            }
            Some("content_block_delta") => {
                let block = self.blocks.entry(index).or_default();
                event.get("delta").into_iter().for_each(|delta| block.delta(delta));
            }
            Some("message_delta") => {
                event.get("delta").into_iter().for_each(|delta| set_all(&mut self.members, delta));
                event.get("usage").into_iter().for_each(|usage| set_counts(&mut self.usage, usage));
            }
            Some("message_stop") => {
                self.is_ended = true;
                // Bedrock has counts here
                event.get("usage").into_iter().for_each(|usage| set_counts(&mut self.usage, usage));
            }
            Some("error") => self.error = event.get("error").map(text_of).or(self.error.take()),
            _ => {}
        }
    }

    fn message(&mut self, message: Value<'_>) {
        for (key, value) in message.members().filter(|(_, value)| !value.is_null()) {
            match &*key.text() {
                "content" => {}
                "usage" => set_counts(&mut self.usage, value),
                name => *self.members.entry(name, String::new) = text_of(value),
            }
        }
    }

    /// Adds an event of Bedrock's: an object with one member.
    pub(super) fn bedrock(&mut self, event: Value<'_>) {
        for (key, value) in event.members().filter(|(_, value)| value.is_object()) {
            let index = value.get("contentBlockIndex").and_then(Value::int).unwrap_or_default();
            match &*key.text() {
                "contentBlockStart" => {
                    let start = value.get("start").and_then(|start| start.get("toolUse"));
                    let block = self.blocks.entry(index).or_default();
                    start.into_iter().for_each(|start| block.begin(start));
                }
                "contentBlockDelta" => {
                    let block = self.blocks.entry(index).or_default();
                    value.get("delta").into_iter().for_each(|delta| block.bedrock_delta(delta));
                }
                "messageStop" => {
                    self.is_ended = true;
                    set_all(&mut self.members, value);
                }
                "metadata" => {
                    value.get("usage").into_iter().for_each(|usage| set_counts(&mut self.usage, usage));
                    let metrics = value.members().filter(|(key, _)| !key.is_key("usage"));
                    metrics.for_each(|(key, value)| *self.members.entry(&key.text(), String::new) = text_of(value));
                }
                "messageStart" | "contentBlockStop" => {}
                // what ended the stream: `throttlingException`, ...
                _ => drop(self.error.get_or_insert_with(|| text_of(value))),
            }
        }
    }

    /// Writes a response of Anthropic's; gives whether the stream had an end.
    pub(super) fn write_anthropic(&self, json: &mut JsonWriter) -> bool {
        json.begin_object();
        write_members(json, &self.members);
        self.write_error(json);
        if !self.members.is_empty() || !self.blocks.is_empty() {
            json.key("content");
            json.begin_array();
            self.blocks.values().for_each(|block| block.write_anthropic(json));
            json.end_array();
        }
        self.write_usage(json);
        json.end_object();
        self.is_ended || self.members.get("stop_reason").is_some()
    }

    /// Writes a response of Bedrock's; gives whether the stream had an end.
    pub(super) fn write_bedrock(&self, json: &mut JsonWriter) -> bool {
        json.begin_object();
        write_members(json, &self.members);
        self.write_error(json);
        json.key("output");
        json.begin_object();
        json.key("message");
        json.begin_object();
        json.member_str("role", "assistant");
        json.key("content");
        json.begin_array();
        self.blocks.values().for_each(|block| block.write_bedrock(json));
        json.end_array();
        json.end_object();
        json.end_object();
        self.write_usage(json);
        json.end_object();
        self.is_ended
    }

    fn write_error(&self, json: &mut JsonWriter) {
        if let Some(error) = &self.error {
            json.key("error");
            json.number(error);
        }
    }

    fn write_usage(&self, json: &mut JsonWriter) {
        if !self.usage.is_empty() {
            json.key("usage");
            json.begin_object();
            write_members(json, &self.usage);
            json.end_object();
        }
    }
}

impl Block {
    fn begin(&mut self, start: Value<'_>) {
        for (key, value) in start.members().filter(|(_, value)| !value.is_null()) {
            match &*key.text() {
                "text" => self.text.push(value),
                "thinking" => self.thinking.push(value),
                "signature" => self.signature.push(value),
                // empty until its pieces come
                "input" if value.is_empty() => {}
                name => *self.members.entry(name, String::new) = text_of(value),
            }
        }
    }

    fn delta(&mut self, delta: Value<'_>) {
        for (key, value) in delta.members() {
            match &*key.text() {
                "text" => self.text.push(value),
                "partial_json" => self.input.push(value),
                "thinking" => self.thinking.push(value),
                "signature" => self.signature.push(value),
                "citation" => self.citations.push(text_of(value)),
                _ => {}
            }
        }
    }

    fn bedrock_delta(&mut self, delta: Value<'_>) {
        let inner = |name: &str, member: &str| delta.get(name).and_then(|inner| inner.get(member));
        for (text, piece) in [
            (&mut self.text, delta.get("text")),
            (&mut self.input, inner("toolUse", "input")),
            (&mut self.thinking, inner("reasoningContent", "text")),
            (&mut self.signature, inner("reasoningContent", "signature")),
        ] {
            piece.into_iter().for_each(|piece| text.push(piece));
        }
    }

    fn write_anthropic(&self, json: &mut JsonWriter) {
        json.begin_object();
        write_members(json, &self.members);
        if self.members.get("type").is_none() {
            json.member_str("type", if self.thinking.is_empty() { "text" } else { "thinking" });
        }
        let is = |kind: &str| self.members.get("type").is_none_or(|own| own.trim_matches('"') == kind);
        if !self.text.is_empty() || is("text") {
            json.member_str("text", self.text.as_str());
        }
        for (name, text) in [("thinking", &self.thinking), ("signature", &self.signature)] {
            if !text.is_empty() {
                json.member_str(name, text.as_str());
            }
        }
        self.write_input(json);
        if !self.citations.is_empty() {
            json.key("citations");
            json.begin_array();
            self.citations.iter().for_each(|citation| json.number(citation));
            json.end_array();
        }
        json.end_object();
    }

    fn write_bedrock(&self, json: &mut JsonWriter) {
        json.begin_object();
        if !self.members.is_empty() {
            json.key("toolUse");
            json.begin_object();
            write_members(json, &self.members);
            self.write_input(json);
            json.end_object();
        } else if !self.thinking.is_empty() {
            json.key("reasoningContent");
            json.begin_object();
            json.key("reasoningText");
            json.begin_object();
            json.member_str("text", self.thinking.as_str());
            if !self.signature.is_empty() {
                json.member_str("signature", self.signature.as_str());
            }
            json.end_object();
            json.end_object();
        } else {
            json.member_str("text", self.text.as_str());
        }
        json.end_object();
    }

    /// What was cut off is no JSON, and stays a text.
    fn write_input(&self, json: &mut JsonWriter) {
        if self.input.is_empty() {
            return;
        }
        match Document::parse(self.input.as_str()) {
            Ok(document) => json.member("input", document.root()),
            Err(_) => json.member_str("input", self.input.as_str()),
        }
    }
}

/// Counts of the whole message so far: they never fall, so the zeros that some gateways write at the end of a stream, or at its
/// start, say nothing.
fn set_counts(counts: &mut Ordered<String>, usage: Value<'_>) {
    for (key, value) in usage.members().filter(|(_, value)| !value.is_null()) {
        let last = counts.entry(&key.text(), String::new);
        if last.is_empty() || value.int() != Some(0) {
            *last = text_of(value);
        }
    }
}

/// Of each member the last value counts, and null is none.
fn set_all(members: &mut Ordered<String>, object: Value<'_>) {
    for (key, value) in object.members().filter(|(_, value)| !value.is_null()) {
        *members.entry(&key.text(), String::new) = text_of(value);
    }
}
