//! Chunks of a stream, merged one after the other. What each member does is table 3.6; the result is written as the
//! JSON of the response that was streamed.
//!
//! Texts and lists grow at their end and everything else is replaced, so merging is linear in the stream.

use std::collections::BTreeMap;

use crate::genai::stream::delta::Delta;
use crate::genai::stream::ordered::{Ordered, text_of, write_list, write_members};
use crate::json::document::Value;
use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;

/// A stream so far.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    /// Members of the response but `choices`, `usage` and `error`, as JSON.
    top: Ordered<String>,
    x_groq: Ordered<String>,
    usage: Option<String>,
    usage_of_choice: Option<String>,
    error: Option<String>,
    choices: BTreeMap<i64, Choice>,
    /// A choice has a text and no delta: it is a completion's.
    is_of_texts: bool,
}

#[derive(Debug, Default)]
struct Choice {
    delta: Delta,
    /// A whole message, which counts instead of the deltas before it.
    message: Option<String>,
    /// `finish_reason`, and all other members of which the last value counts.
    members: Ordered<String>,
    content_filter_results: Ordered<String>,
    logprobs: Ordered<Vec<String>>,
}

impl Merge {
    pub(crate) fn chunk(&mut self, chunk: Value<'_>) {
        for (key, value) in chunk.members().filter(|(_, value)| !value.is_null()) {
            let name = key.text();
            match &*name {
                "choices" => value.items().for_each(|choice| self.choice(choice)),
                "obfuscation" => {}
                "object" if !value.is_key("error") => {}
                "error" => drop(self.error.get_or_insert_with(|| text_of(value))),
                "usage" if self.usage.is_some() && counts_nothing(value) => {}
                "usage" => self.usage = Some(text_of(value)),
                "x_groq" if value.is_object() => {
                    for (key, value) in value.members().filter(|(_, value)| !value.is_null()) {
                        *self.x_groq.entry(&key.text(), String::new) = text_of(value);
                    }
                }
                "id" | "model" => {
                    if !value.is_empty() {
                        self.top.entry(&name, || text_of(value));
                    }
                }
                "created" => {
                    if value.double().is_some_and(|created| created > 0.0) {
                        self.top.entry(&name, || text_of(value));
                    }
                }
                _ => set_last(&mut self.top, &name, value),
            }
        }
    }

    fn choice(&mut self, choice: Value<'_>) {
        if !choice.is_object() {
            return;
        }
        let index = choice.get("index").and_then(Value::int).unwrap_or(0);
        let merged = self.choices.entry(index).or_default();
        for (key, value) in choice.members().filter(|(_, value)| !value.is_null()) {
            let name = key.text();
            match &*name {
                "index" => {}
                "delta" => merged.delta.add(value),
                "text" if value.is_string() && !choice.has("delta") => {
                    self.is_of_texts = true;
                    merged.delta.text(value);
                }
                "message" => merged.message = Some(text_of(value)),
                "usage" => self.usage_of_choice = Some(text_of(value)),
                "logprobs" => {
                    for (key, list) in value.members().filter(|(_, list)| list.is_array()) {
                        let merged = merged.logprobs.entry(&key.text(), Vec::new);
                        merged.extend(list.items().map(text_of));
                    }
                }
                "content_filter_results" if value.is_object() => {
                    for (key, result) in value.members() {
                        *merged.content_filter_results.entry(&key.text(), String::new) = text_of(result);
                    }
                }
                // Gemini's compatible API had it so, with a null beside it
                "finishReason" => set_last(&mut merged.members, "finish_reason", value),
                _ => set_last(&mut merged.members, &name, value),
            }
        }
    }

    pub(crate) fn is_of_texts(&self) -> bool {
        self.is_of_texts
    }

    pub(crate) fn has_choices(&self) -> bool {
        !self.choices.is_empty()
    }

    /// Whether every choice has a finish reason.
    pub(crate) fn is_finished(&self) -> bool {
        let reason = |choice: &Choice| choice.members.get("finish_reason").is_some_and(|reason| reason != EMPTY);
        self.choices.values().all(reason)
    }

    /// The response.
    pub(crate) fn into_json(self) -> String {
        // the parts are JSON texts already: `number` writes them as they are
        let mut json = JsonWriter::new(Limits::NONE);
        json.begin_object();
        write_members(&mut json, &self.top);
        let usage = self.usage.as_ref().or_else(|| self.x_groq.get("usage")).or(self.usage_of_choice.as_ref());
        if let Some(usage) = usage {
            json.key("usage");
            json.number(usage);
        }
        write_object(&mut json, "x_groq", &self.x_groq);
        if let Some(error) = &self.error {
            json.key("error");
            json.number(error);
        }
        if !self.choices.is_empty() {
            json.key("choices");
            json.begin_array();
            self.choices.iter().for_each(|(index, choice)| choice.write(&mut json, *index));
            json.end_array();
        }
        json.end_object();
        json.finish().0
    }
}

/// Whether a usage has zeros only, as some servers write in the chunks that they do not count.
fn counts_nothing(usage: Value<'_>) -> bool {
    usage.members().all(|(_, count)| count.is_null() || count.is_object() || count.int() == Some(0))
}

/// The JSON of an empty text.
const EMPTY: &str = "\"\"";

/// The last value counts. An empty text, and the text null, say nothing and replace nothing: some servers send them in each chunk.
fn set_last(members: &mut Ordered<String>, name: &str, value: Value<'_>) {
    let says_nothing = value.is_string() && (value.is_empty() || value.is_key("null"));
    let last = members.entry(name, String::new);
    if last.is_empty() || last == EMPTY || !says_nothing {
        *last = text_of(value);
    }
}

impl Choice {
    fn write(&self, json: &mut JsonWriter, index: i64) {
        json.begin_object();
        json.key("index");
        json.number(itoa::Buffer::new().format(index));
        json.key("message");
        match &self.message {
            Some(message) => json.number(message),
            None => self.delta.write(json),
        }
        write_members(json, &self.members);
        write_object(json, "content_filter_results", &self.content_filter_results);
        if !self.logprobs.is_empty() {
            json.key("logprobs");
            json.begin_object();
            for (name, items) in self.logprobs.iter() {
                json.key(name);
                write_list(json, items);
            }
            json.end_object();
        }
        json.end_object();
    }
}

fn write_object(json: &mut JsonWriter, name: &str, members: &Ordered<String>) {
    if !members.is_empty() {
        json.key(name);
        json.begin_object();
        write_members(json, members);
        json.end_object();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document::Document;

    #[test]
    fn a_usage_of_zeros_does_not_replace_what_was_counted() {
        let usage = |usages: &[&str]| {
            let mut merge = Merge::default();
            for usage in usages {
                let chunk = format!(r#"{{"choices":[],"usage":{usage}}}"#);
                merge.chunk(Document::parse(chunk).unwrap().root());
            }
            merge.into_json()
        };
        const COUNTED: &str = r#"{"prompt_tokens":10,"completion_tokens":2}"#;
        const ZEROS: &str = r#"{"prompt_tokens":0,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":0}}"#;
        let want = format!(r#"{{"usage":{COUNTED}}}"#);
        assert_eq!(usage(&[r#"{"prompt_tokens":10,"completion_tokens":1}"#, COUNTED, ZEROS, "{}"]), want);
        assert_eq!(usage(&[ZEROS, COUNTED]), want);
        assert_eq!(usage(&[ZEROS]), format!(r#"{{"usage":{ZEROS}}}"#));
    }
}
