//! Gemini's streams: each chunk is a response with the next parts of its candidates.

use super::super::joined::Joined;
use super::super::ordered::{Ordered, text_of, write_members};
use crate::json::document::Value;
use crate::json::writer::JsonWriter;
use std::collections::BTreeMap;

/// The response so far.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Members of the response but its candidates, as JSON.
    members: Ordered<String>,
    candidates: BTreeMap<i64, Candidate>,
}

#[derive(Debug, Default)]
struct Candidate {
    members: Ordered<String>,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    /// Text alone, or a thought.
    Text { text: Joined, is_thought: bool },
    /// JSON.
    Other(String),
}

impl Candidates {
    pub(super) fn chunk(&mut self, chunk: Value<'_>) {
        for (key, value) in chunk.members().filter(|(_, value)| !value.is_null()) {
            if !key.is_key("candidates") {
                *self.members.entry(&key.text(), String::new) = text_of(value);
                continue;
            }
            for candidate in value.items() {
                let index = candidate.get("index").and_then(Value::int).unwrap_or_default();
                self.candidates.entry(index).or_default().add(candidate);
            }
        }
    }

    /// Writes the response; gives whether every candidate has a reason why it ended.
    pub(super) fn write(&self, json: &mut JsonWriter) -> bool {
        json.begin_object();
        write_members(json, &self.members);
        json.key("candidates");
        json.begin_array();
        self.candidates.values().for_each(|candidate| candidate.write(json));
        json.end_array();
        json.end_object();
        let has_ended = |candidate: &Candidate| {
            ["finishReason", "finish_reason"].iter().any(|name| candidate.members.get(name).is_some())
        };
        self.candidates.values().all(has_ended)
    }
}

impl Candidate {
    fn add(&mut self, candidate: Value<'_>) {
        for (key, value) in candidate.members().filter(|(_, value)| !value.is_null()) {
            match &*key.text() {
                "content" => value.get("parts").into_iter().flat_map(Value::items).for_each(|part| self.part(part)),
                name => *self.members.entry(name, String::new) = text_of(value),
            }
        }
    }

    fn part(&mut self, part: Value<'_>) {
        let thought = part.get("thought").and_then(Value::bool) == Some(true);
        let is_plain = part.members().all(|(key, _)| key.is_key("text") || key.is_key("thought"));
        let Some(piece) = part.get("text").filter(|text| text.is_string() && is_plain) else {
            return self.parts.push(Part::Other(text_of(part)));
        };
        if let Some(Part::Text { text, is_thought }) = self.parts.last_mut()
            && *is_thought == thought
        {
            return text.push(piece);
        }
        let mut text = Joined::default();
        text.push(piece);
        self.parts.push(Part::Text { text, is_thought: thought });
    }

    fn write(&self, json: &mut JsonWriter) {
        json.begin_object();
        json.key("content");
        json.begin_object();
        json.key("parts");
        json.begin_array();
        for part in &self.parts {
            match part {
                Part::Other(part) => json.number(part),
                Part::Text { text, is_thought } => {
                    json.begin_object();
                    json.member_str("text", text.as_str());
                    if *is_thought {
                        json.key("thought");
                        json.number("true");
                    }
                    json.end_object();
                }
            }
        }
        json.end_array();
        json.end_object();
        write_members(json, &self.members);
        json.end_object();
    }
}
