//! The deltas of one choice, merged into its message: texts are joined, lists appended, tool calls put together.
//!
//! Content may change its form within a stream (Mistral: a list of thoughts, then a text). It becomes a list then, in which
//! neighbouring texts, and neighbouring thoughts, are one.

use std::collections::HashMap;

use super::content::Content;
use super::joined::Joined;
use super::ordered::{Ordered, text_of, write_list};
use crate::genai::messages::media;
use crate::json::document::{Document, Value};
use crate::json::writer::JsonWriter;
use crate::text::decode_base64;

/// A message so far. A member appears when it first has something in it.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    members: Ordered<Member>,
}

#[derive(Debug)]
enum Member {
    Text(Joined),
    Content(Content),
    /// Elements as JSON.
    List(Vec<String>),
    Calls(Calls),
    Function(Function),
    Audio(Audio),
    /// JSON of which the last counts.
    Last(String),
}

impl Delta {
    pub(crate) fn add(&mut self, delta: Value<'_>) {
        for (key, value) in delta.members().filter(|(_, value)| !value.is_empty()) {
            let name = key.text();
            let member = self.members.entry(&name, || Member::new(&name, value));
            match (member, value.is_string()) {
                // the first role counts
                (Member::Text(role), true) if name == "role" && !role.is_empty() => {}
                (Member::Text(text), true) => text.push(value),
                (Member::Content(content), _) if value.is_string() || value.is_array() => content.add(value),
                (Member::List(list), _) if value.is_array() => list.extend(value.items().map(text_of)),
                (Member::Calls(calls), _) if value.is_array() => value.items().for_each(|call| calls.add(call)),
                (Member::Function(function), _) if value.is_object() => function.add(value),
                (Member::Audio(audio), _) if value.is_object() => audio.add(value),
                (other, _) => *other = Member::Last(text_of(value)),
            }
        }
    }

    /// Adds the next text of a completion, which has no delta.
    pub(crate) fn text(&mut self, text: Value<'_>) {
        if let Member::Content(content) = self.members.entry("content", || Member::Content(Content::default())) {
            content.add(text);
        }
    }

    pub(crate) fn write(&self, json: &mut JsonWriter) {
        json.begin_object();
        for (name, member) in self.members.iter() {
            json.key(name);
            match member {
                Member::Text(text) => json.str(text.as_str()),
                Member::Content(content) => content.write(json),
                Member::List(items) => write_list(json, items),
                Member::Calls(calls) => calls.write(json),
                Member::Function(function) => function.write(json),
                Member::Audio(audio) => audio.write(json),
                Member::Last(text) => json.number(text),
            }
        }
        json.end_object();
    }
}

impl Member {
    fn new(name: &str, value: Value<'_>) -> Self {
        match name {
            "tool_calls" if value.is_array() => Self::Calls(Calls::default()),
            "function_call" if value.is_object() => Self::Function(Function::default()),
            "audio" if value.is_object() => Self::Audio(Audio::default()),
            "content" if value.is_string() || value.is_array() => Self::Content(Content::default()),
            _ if value.is_string() => Self::Text(Joined::default()),
            _ if value.is_array() => Self::List(Vec::new()),
            _ => Self::Last(String::new()),
        }
    }
}

/// Tool calls, told apart by index, by id, or by being the last. An index that comes back with another id and a name is another
/// call: gateways to Gemini give all of them the index 0.
#[derive(Debug, Default)]
struct Calls {
    calls: Vec<Call>,
    by_index: HashMap<i64, usize>,
    by_id: HashMap<String, usize>,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<i64>,
    id: String,
    kind: String,
    function: Option<Box<Function>>,
    custom: Option<Box<Function>>,
    rest: Option<Box<Ordered<String>>>,
}

/// A call takes little more than its sender's `{"index":1}`: a stream may have a million of them.
const _: () = assert!(size_of::<Call>() <= 96);

impl Calls {
    fn add(&mut self, call: Value<'_>) {
        if !call.is_object() {
            return;
        }
        let index = call.get("index").and_then(Value::int);
        let id = call.get("id").and_then(Value::filled_str);
        let known = match (index, &id) {
            (Some(index), id) => {
                let place = self.by_index.get(&index).copied();
                place.filter(|place| !self.is_another(*place, id.as_deref(), call)).or_else(|| {
                    // such a call may go on later
                    place.and_then(|_| self.by_id.get(id.as_deref()?)).copied()
                })
            }
            (None, Some(id)) => self.by_id.get(&**id).copied(),
            (None, None) => self.calls.len().checked_sub(1),
        };
        let place = known.unwrap_or_else(|| {
            self.calls.push(Call { index, ..Call::default() });
            self.calls.len() - 1
        });
        if let Some(index) = index {
            self.by_index.insert(index, place);
        }
        if let Some(id) = id {
            self.by_id.insert(id.into_owned(), place);
        }
        if let Some(merged) = self.calls.get_mut(place) {
            merged.add(call);
        }
    }

    /// Whether a fragment begins another call than the one that has its index.
    fn is_another(&self, place: usize, id: Option<&str>, fragment: Value<'_>) -> bool {
        let is_named = || {
            let body = fragment.get("function").or_else(|| fragment.get("custom"));
            body.and_then(|body| body.get("name")?.filled_str()).is_some()
        };
        let known = self.calls.get(place).map_or("", |call| &*call.id);
        id.is_some_and(|id| !known.is_empty() && known != id) && is_named()
    }

    fn write(&self, json: &mut JsonWriter) {
        let mut calls: Vec<&Call> = self.calls.iter().collect();
        if calls.iter().all(|call| call.index.is_some()) {
            calls.sort_by_key(|call| call.index);
        }
        json.begin_array();
        calls.into_iter().for_each(|call| call.write(json));
        json.end_array();
    }
}

impl Call {
    fn add(&mut self, call: Value<'_>) {
        for (key, value) in call.members().filter(|(_, value)| !value.is_null()) {
            match &*key.text() {
                "index" => {}
                "id" => set_first(&mut self.id, value),
                "type" => set_first(&mut self.kind, value),
                "function" if value.is_object() => self.function.get_or_insert_default().add(value),
                "custom" if value.is_object() => self.custom.get_or_insert_default().add(value),
                name => *self.rest.get_or_insert_default().entry(name, String::new) = text_of(value),
            }
        }
    }

    fn write(&self, json: &mut JsonWriter) {
        json.begin_object();
        for (name, text) in [("id", &self.id), ("type", &self.kind)].into_iter().filter(|(_, text)| !text.is_empty()) {
            json.member_str(name, text);
        }
        for (name, function) in [("function", &self.function), ("custom", &self.custom)] {
            if let Some(function) = function {
                json.key(name);
                function.write(json);
            }
        }
        for (name, text) in self.rest.iter().flat_map(|rest| rest.iter()) {
            json.key(name);
            json.number(text);
        }
        json.end_object();
    }
}

/// A function or custom tool with what it is called with.
#[derive(Debug, Default)]
struct Function {
    name: String,
    /// `arguments` or `input`, and its text.
    arguments: Ordered<Joined>,
    rest: Ordered<String>,
}

impl Function {
    fn add(&mut self, function: Value<'_>) {
        for (key, value) in function.members().filter(|(_, value)| !value.is_null()) {
            let name = key.text();
            match (&*name, value.str()) {
                // some producers repeat the name in each fragment
                ("name", Some(name)) if self.name != name => self.name.push_str(&name),
                ("name", _) => {}
                ("arguments" | "input", text) => {
                    let arguments = self.arguments.entry(&name, Joined::default);
                    match text {
                        // a call that is whole in each chunk is one call: a piece never repeats all before it
                        Some(text) if *text == *arguments.as_str() && is_object(&text) => {}
                        Some(_) => arguments.push(value),
                        None => arguments.push_str(&text_of(value)),
                    }
                }
                _ => *self.rest.entry(&name, String::new) = text_of(value),
            }
        }
    }

    fn write(&self, json: &mut JsonWriter) {
        json.begin_object();
        json.member_str("name", &self.name);
        for (name, text) in self.arguments.iter() {
            json.member_str(name, text.as_str());
        }
        for (name, text) in self.rest.iter() {
            json.key(name);
            json.number(text);
        }
        json.end_object();
    }
}

fn is_object(text: &str) -> bool {
    text.starts_with('{') && Document::parse(text).is_ok()
}

/// Audio: base64 pieces joined as bytes, because each piece is padded for itself.
#[derive(Debug, Default)]
struct Audio {
    id: String,
    bytes: Vec<u8>,
    /// A piece that was not base64, and all after it, as text.
    undecodable: String,
    transcript: Joined,
    rest: Ordered<String>,
}

impl Audio {
    fn add(&mut self, audio: Value<'_>) {
        for (key, value) in audio.members().filter(|(_, value)| !value.is_null()) {
            match (&*key.text(), value.str()) {
                ("id", Some(_)) => set_first(&mut self.id, value),
                ("transcript", Some(_)) => self.transcript.push(value),
                ("data", Some(piece)) => match decode_base64(&piece).filter(|_| self.undecodable.is_empty()) {
                    Some(bytes) => self.bytes.extend(bytes),
                    None => self.undecodable.push_str(&piece),
                },
                (name, _) => *self.rest.entry(name, String::new) = text_of(value),
            }
        }
    }

    fn write(&self, json: &mut JsonWriter) {
        json.begin_object();
        if !self.id.is_empty() {
            json.member_str("id", &self.id);
        }
        if !self.bytes.is_empty() || !self.undecodable.is_empty() {
            json.member_str("data", &format!("{}{}", media::encode(&self.bytes), self.undecodable));
        }
        if !self.transcript.is_empty() {
            json.member_str("transcript", self.transcript.as_str());
        }
        for (name, text) in self.rest.iter() {
            json.key(name);
            json.number(text);
        }
        json.end_object();
    }
}

fn set_first(text: &mut String, value: Value<'_>) {
    if text.is_empty() {
        text.extend(value.str());
    }
}
