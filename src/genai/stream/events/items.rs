//! Streams of the Responses API: the last event has the whole response. Of one that was cut off, what came is put together.

use super::super::joined::Joined;
use super::super::ordered::{Ordered, text_of, write_members};
use crate::json::document::Value;
use crate::json::writer::JsonWriter;
use std::collections::BTreeMap;

/// The response so far.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// Members of the response but its output, as JSON.
    members: Ordered<String>,
    /// Its output, when an event has all of it.
    output: Option<String>,
    items: BTreeMap<i64, Item>,
    error: Option<String>,
    is_ended: bool,
}

#[derive(Debug, Default)]
struct Item {
    /// The whole item, as JSON.
    whole: Option<String>,
    /// What it began with.
    members: Ordered<String>,
    texts: BTreeMap<i64, Joined>,
    refusal: Joined,
    reasoning: Joined,
    /// Arguments of a function, or the input of a custom tool.
    arguments: Joined,
    is_input: bool,
}

impl Items {
    pub(super) fn event(&mut self, event: Value<'_>) {
        let kind = event.get("type").and_then(Value::str).unwrap_or_default();
        if let Some(response) = event.get("response").filter(|response| response.is_object()) {
            self.is_ended |= matches!(&*kind, "response.completed" | "response.incomplete" | "response.failed");
            return self.response(response);
        }
        if kind == "error" {
            self.error.get_or_insert_with(|| text_of(event));
            return;
        }
        let Some(index) = event.get("output_index").and_then(Value::int) else { return };
        let item = self.items.entry(index).or_default();
        let piece = event.get("delta").filter(|piece| piece.is_string());
        match (&*kind, piece) {
            ("response.output_item.added", _) => event.get("item").into_iter().for_each(|it| item.begin(it)),
            ("response.output_item.done", _) => item.whole = event.get("item").map(text_of),
            ("response.output_text.delta", Some(piece)) => {
                let part = event.get("content_index").and_then(Value::int).unwrap_or_default();
                item.texts.entry(part).or_default().push(piece);
            }
            ("response.refusal.delta", Some(piece)) => item.refusal.push(piece),
            ("response.reasoning_summary_text.delta" | "response.reasoning_text.delta", Some(piece)) => {
                item.reasoning.push(piece);
            }
            ("response.function_call_arguments.delta", Some(piece)) => item.arguments.push(piece),
            ("response.custom_tool_call_input.delta", Some(piece)) => {
                item.is_input = true;
                item.arguments.push(piece);
            }
            _ => {}
        }
    }

    fn response(&mut self, response: Value<'_>) {
        for (key, value) in response.members().filter(|(_, value)| !value.is_null()) {
            match &*key.text() {
                "output" => self.output = Some(value).filter(|output| !output.is_empty()).map(text_of),
                name => *self.members.entry(name, String::new) = text_of(value),
            }
        }
    }

    /// Writes the response; gives whether the stream had an end.
    pub(super) fn write(&self, json: &mut JsonWriter) -> bool {
        json.begin_object();
        write_members(json, &self.members);
        if let Some(error) = &self.error {
            json.key("error");
            json.number(error);
        }
        json.key("output");
        match &self.output {
            Some(output) => json.number(output),
            None => {
                json.begin_array();
                self.items.values().for_each(|item| item.write(json));
                json.end_array();
            }
        }
        json.end_object();
        self.is_ended
    }
}

impl Item {
    fn begin(&mut self, item: Value<'_>) {
        for (key, value) in item.members().filter(|(_, value)| !value.is_empty()) {
            *self.members.entry(&key.text(), String::new) = text_of(value);
        }
    }

    fn write(&self, json: &mut JsonWriter) {
        if let Some(whole) = &self.whole {
            return json.number(whole);
        }
        json.begin_object();
        write_members(json, &self.members);
        if self.members.get("type").is_none() {
            json.member_str("type", if self.reasoning.is_empty() { "message" } else { "reasoning" });
        }
        if !self.reasoning.is_empty() {
            json.member_str("text", self.reasoning.as_str());
        }
        if !self.arguments.is_empty() {
            json.member_str(if self.is_input { "input" } else { "arguments" }, self.arguments.as_str());
        }
        if !self.texts.is_empty() || !self.refusal.is_empty() {
            json.key("content");
            json.begin_array();
            self.texts.values().for_each(|text| write_part(json, "output_text", "text", text));
            if !self.refusal.is_empty() {
                write_part(json, "refusal", "refusal", &self.refusal);
            }
            json.end_array();
        }
        json.end_object();
    }
}

fn write_part(json: &mut JsonWriter, kind: &str, name: &str, text: &Joined) {
    json.begin_object();
    json.member_str("type", kind);
    json.member_str(name, text.as_str());
    json.end_object();
}
