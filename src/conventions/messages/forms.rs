//! JSON, or a text, that holds messages: as a list, as one message, as a request's or a response's body.

use super::canonical;
use super::{NormalizedMessages, Side};
use crate::conventions::read_json;
use crate::genai::apis::{self, Api};
use crate::genai::call::Text;
use crate::genai::messages::message;
use crate::genai::messages::message::{Answered, Loose};
use crate::genai::messages::parts::PartReader;
use crate::genai::messages::reader::READER;
use crate::genai::messages::system;
use crate::genai::stream::sse;
use crate::json::document::{Document, Value};
use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;
use crate::text;

/// How a source of messages is read.
#[derive(Clone, Copy)]
pub(crate) struct MessageSource<'f> {
    pub(crate) side: Side,
    /// Finish reasons as attributes have them, for messages that say none.
    pub(crate) reasons: &'f [Text<'f>],
    /// Calls of functions that stand beside the messages.
    pub(crate) calls: Option<&'f Document<'static>>,
    /// What does not look like messages is one message of that text.
    pub(crate) may_be_text: bool,
}

impl MessageSource<'_> {
    /// Reads a text; `None` when nothing comes of it.
    pub(crate) fn read<'a>(&self, text: &'a str) -> Option<NormalizedMessages<'a>> {
        let trimmed = text.trim();
        let document = match trimmed.as_bytes().first()? {
            b'[' | b'{' | b'"' => read_json(trimmed).ok(),
            _ => None,
        };
        let Some(document) = document else {
            return self.text(trimmed);
        };
        if let Some(made) = self.as_it_is(text, &document) {
            return Some(made);
        }
        self.read_value(document.root()).map(NormalizedMessages::into_owned)
    }

    /// Reads a text only if nothing of it has to be written anew.
    pub(crate) fn canonical<'a>(&self, text: &'a str) -> Option<NormalizedMessages<'a>> {
        self.as_it_is(text, &read_json(text).ok()?)
    }

    fn as_it_is<'a>(&self, text: &'a str, document: &Document<'_>) -> Option<NormalizedMessages<'a>> {
        let is_canonical = self.calls.is_none()
            && document.is_whole()
            && canonical::is_messages(document.root(), self.side, !self.reasons.is_empty());
        is_canonical.then(|| NormalizedMessages {
            text: text.into(),
            system: Some(system::of_messages(document.root(), Limits::NONE)),
            reasons: reasons_of(document.root()),
        })
    }

    /// Reads JSON; within a string there may be more of it.
    pub(crate) fn read_value(&self, root: Value<'_>) -> Option<NormalizedMessages<'static>> {
        if let Some(inner) = root.str() {
            let inner = inner.trim();
            if inner.starts_with(['[', '{'])
                && let Ok(document) = read_json(inner)
                && let Some(made) = self.body(document.root())
            {
                return Some(made);
            }
            return self.text(inner).map(NormalizedMessages::into_owned);
        }
        self.body(root).or_else(|| self.text(root.raw()).map(NormalizedMessages::into_owned))
    }

    fn text<'a>(&self, text: &str) -> Option<NormalizedMessages<'a>> {
        if !self.may_be_text || text.is_empty() {
            return None;
        }
        let mut quoted = String::with_capacity(text.len() + 2);
        text::write_string(&mut quoted, text);
        let document = read_json(quoted).ok()?;
        self.list([document.root()].into_iter()).map(NormalizedMessages::into_owned)
    }

    /// What looks like messages.
    fn body(&self, root: Value<'_>) -> Option<NormalizedMessages<'static>> {
        if root.is_array() {
            return self.array(root);
        }
        let list = |name: &str| root.get(name).filter(|list| list.is_array() && !list.is_empty());
        if let Some(choices) = list("choices") {
            if Api::of_response(root) == Some(Api::Completions) {
                return self.other_api(root);
            }
            return self.choices(root, choices);
        }
        if let Some(messages) = list("messages").or_else(|| list("contents")).or_else(|| list("history")) {
            return self.request(root, messages);
        }
        if let Some(prompt) = root.get("prompt").filter(|prompt| prompt.is_string()) {
            return self.request(root, prompt);
        }
        if let Some(made) = self.other_api(root) {
            return Some(made);
        }
        // what only wraps a message is read below
        let is_wrapper = root.get("message").is_some_and(is_message)
            && !["role", "parts", "content"].iter().any(|name| root.has(name));
        if !is_wrapper && is_message(root) {
            return self.list([root].into_iter());
        }
        if let Some(generations) = list("generations") {
            return self.generations(generations);
        }
        // Haystack's generators
        if let Some(replies) = list("replies") {
            return self.list(replies.items());
        }
        // Gemini's and Ollama's answers have one message
        let wrapped =
            ["message", "content"].into_iter().filter_map(|name| root.get(name)).find(|it| is_message(*it))?;
        let reason = root.get("finish_reason").or_else(|| root.get("done_reason")).and_then(Value::filled_str);
        let mut made = match reason.as_ref().filter(|_| self.reasons.is_empty()) {
            Some(reason) => MessageSource { reasons: &[Text::Borrowed(reason)], ..*self }.list([wrapped].into_iter()),
            None => self.list([wrapped].into_iter()),
        }?;
        if made.reasons.is_empty() {
            made.reasons = reason.map(|reason| reason.into_owned()).into_iter().collect();
        }
        Some(made)
    }

    /// The body of a request or a response of another API.
    fn other_api(&self, root: Value<'_>) -> Option<NormalizedMessages<'static>> {
        let of_response = Api::of_response(root).filter(|api| *api != Api::ChatCompletions);
        if let Some(api) = of_response.filter(|_| self.side == Side::Output) {
            let document = apis::response(api, root);
            let choices = document.root().get("choices").filter(|choices| !choices.is_empty())?;
            return self.choices_of(document.root(), choices, Some(READER));
        }
        // without a model it may be anybody's object
        let api = Api::of_request(root, None).filter(|_| root.get("model").is_some())?;
        let document = apis::request(api, root);
        let messages = document.root().get("messages").filter(|messages| !messages.is_empty())?;
        self.list(flattened(messages)).filter(|_| self.side == Side::Input)
    }

    /// LangChain's `LLMResult`: for each prompt a list of answers, each a message, or a text alone.
    fn generations(&self, generations: Value<'_>) -> Option<NormalizedMessages<'static>> {
        let answers = generations.items().flat_map(|answers| {
            let of_list = if answers.is_array() { Some(answers) } else { None };
            let alone = of_list.is_none().then_some(answers);
            of_list.into_iter().flat_map(Value::items).chain(alone)
        });
        self.list(answers.filter_map(|answer| answer.get("message").or_else(|| answer.get("text"))))
    }

    /// A list of messages, of a message's parts, or of a stream's chunks.
    fn array(&self, root: Value<'_>) -> Option<NormalizedMessages<'static>> {
        let first = root.items().next()?;
        if sse::is_stream(first) {
            let merged = sse::merge(root)?;
            let root = merged.document.root();
            let reader = Some(READER).filter(|_| merged.api != Api::ChatCompletions);
            return self.choices_of(root, root.get("choices")?, reader);
        }
        // the choices of a response, without the response around them
        let is_choice =
            |item: Value<'_>| item.get("message").is_some_and(Value::is_object) && item.has("finish_reason");
        if self.side == Side::Output && self.calls.is_none() && root.items().all(is_choice) {
            return self.choices_of(root, root, None);
        }
        if root.items().all(|item| item.is_string() || is_message(item)) {
            let is_wrapped =
                |item: Value<'_>| item.get("message").is_some_and(is_message) && item.get("role").is_none();
            let unwrapped = |item| match Value::get(item, "message") {
                Some(message) if is_wrapped(item) => message,
                _ => item,
            };
            return self.list(root.items().map(unwrapped));
        }
        // parts without a message around them
        let are_parts = root.items().all(|item| item.is_object() && item.get("type").is_some_and(Value::is_string));
        are_parts.then(|| self.list([root].into_iter())).flatten()
    }

    /// The body of a request: instructions beside the messages are its first message.
    fn request(&self, root: Value<'_>, messages: Value<'_>) -> Option<NormalizedMessages<'static>> {
        let config = root.get("config").and_then(|config| config.get("system_instruction"));
        let instructions = root.get("system").or_else(|| root.get("system_instruction")).or(config);
        let instructions = instructions.map(|it| system::text_of(it, Limits::NONE)).filter(|text| !text.is_empty());
        let head = instructions.and_then(|text| {
            let mut json = String::from(r#"{"role":"system","content":"#);
            text::write_string(&mut json, &text);
            json.push('}');
            read_json(json).ok()
        });
        let head = head.as_ref().map(Document::root);
        if messages.is_string() {
            return self.list(head.into_iter().chain([messages]));
        }
        self.list(head.into_iter().chain(flattened(messages)))
    }

    /// The body of a response, by the specification's table 3.4.
    fn choices(&self, root: Value<'_>, choices: Value<'_>) -> Option<NormalizedMessages<'static>> {
        self.choices_of(root, choices, None)
    }

    fn choices_of(
        &self,
        root: Value<'_>,
        choices: Value<'_>,
        reader: Option<PartReader>,
    ) -> Option<NormalizedMessages<'static>> {
        if self.side == Side::Input {
            return self.text(root.raw()).map(NormalizedMessages::into_owned);
        }
        let index = |choice: &Value<'_>| choice.get("index").and_then(Value::int);
        let mut choices: Vec<_> = choices.items().filter(|choice| choice.is_object()).collect();
        if choices.iter().all(|choice| index(choice).is_some()) {
            choices.sort_by_cached_key(index);
        }
        let mut json = JsonWriter::new(Limits::default());
        message::write_output(&mut json, &choices, Answered { reader, ..Answered::default() });
        let reasons = choices.iter().filter_map(|choice| choice.get("finish_reason")?.filled_str());
        let reasons = reasons.map(|reason| reason.into_owned()).collect();
        NormalizedMessages::written(json.finish().0, reasons)
    }

    /// Writes messages of any API.
    pub(crate) fn list<'d>(&self, items: impl Iterator<Item = Value<'d>>) -> Option<NormalizedMessages<'static>> {
        let mut json = JsonWriter::new(Limits::default());
        let mut reasons = Vec::new();
        let calls = self.calls.into_iter().flat_map(|document| document.root().items());
        let calls: Vec<_> = calls.filter_map(|call| call.get("function_call")).collect();
        json.begin_array();
        let messages = items.filter(|item| item.is_object() || item.is_string() || item.is_array());
        for (at, message) in messages.enumerate() {
            let is_output = self.side == Side::Output;
            let (message, of_class) = langchain(message).unwrap_or((message, ""));
            let reason = self.reasons.get(at).map(|reason| &**reason).filter(|_| is_output);
            reasons.extend(message.get("finish_reason").and_then(Value::filled_str).map(|reason| reason.into_owned()));
            message::write_loose(
                &mut json,
                message,
                &Loose {
                    is_output,
                    role: match of_class {
                        "" if is_output => "assistant",
                        "" => "user",
                        role => role,
                    },
                    finish_reason: reason,
                    calls: if at == 0 { &calls } else { &[] },
                    reader: READER,
                },
            );
        }
        json.end_array();
        NormalizedMessages::written(json.finish().0, reasons)
    }
}

fn reasons_of(messages: Value<'_>) -> Vec<String> {
    let reasons = messages.items().filter_map(|message| message.get("finish_reason")?.filled_str());
    reasons.map(|reason| reason.into_owned()).collect()
}

/// A message as LangChain serialises it: its members, and the role that the name of its class says.
///
/// Source: `langchain_core/load/serializable.py`; `{"lc": 1, "type": "constructor", "id": [.., "HumanMessage"], "kwargs": {..}}`.
fn langchain(value: Value<'_>) -> Option<(Value<'_>, &'static str)> {
    let members = value.get("kwargs").filter(|members| members.is_object() && value.has("lc"))?;
    let class = value.get("id")?.items().last()?.str()?;
    let role = match class.strip_suffix("Chunk").unwrap_or(&class) {
        "HumanMessage" => "user",
        "AIMessage" => "assistant",
        "SystemMessage" => "system",
        "ToolMessage" | "FunctionMessage" => "tool",
        "ChatMessage" => "",
        _ => return None,
    };
    Some((members, role))
}

/// Messages of several lists, one for each prompt, or of one.
fn flattened<'d>(messages: Value<'d>) -> impl Iterator<Item = Value<'d>> {
    let is_nested = messages.items().next().is_some()
        && messages.items().all(|list| list.is_array() && !list.is_empty() && list.items().all(is_message));
    messages.items().flat_map(move |item| {
        let (inner, own) = if is_nested { (Some(item), None) } else { (None, Some(item)) };
        inner.into_iter().flat_map(Value::items).chain(own)
    })
}

/// Whether an object is a message: it has a role and content.
fn is_message(value: Value<'_>) -> bool {
    let has = |names: &[&str]| names.iter().any(|name| value.get(name).is_some());
    let speaks = value.get("role").is_some_and(Value::is_string)
        || value.get("type").and_then(Value::str).is_some_and(|kind| kind == "message" || message::is_role(&kind));
    let says =
        has(&["content", "parts", "contents", "tool_calls", "function_call", "tool_call_id", "reasoning_content"]);
    langchain(value).is_some()
        || (speaks && (says || value.has("content")))
        || value.get("parts").is_some_and(Value::is_array)
        || value.get("message").is_some_and(|message| message.get("role").is_some() && value.get("role").is_none())
}
