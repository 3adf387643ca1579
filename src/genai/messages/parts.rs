//! Content of messages as parts of the conventions' message schema. Source: genai, message schemas; table 3.4.

use std::borrow::Cow;

use super::media::{self, Medium};
use crate::json::document::{Document, Value};
use crate::json::writer::JsonWriter;

/// Names that parts give members of their own. A provider's member of that name gets `original_` before it.
const RESERVED: [&str; 15] = [
    "type",
    "content",
    "generic_type",
    "modality",
    "mime_type",
    "uri",
    "file_id",
    "size",
    "sha256",
    "id",
    "name",
    "arguments",
    "tool_type",
    "response",
    "reasoning_details",
];

/// Writes the parts of one message.
pub(crate) struct PartWriter<'w, 'd> {
    pub(crate) json: &'w mut JsonWriter,
    /// Annotations of the message, until a text part takes them.
    pub(crate) annotations: Option<Value<'d>>,
    /// Who is asked first, when the message may not be of this API.
    pub(crate) reader: Option<PartReader>,
    /// The MIME type of sound that was asked for.
    pub(crate) audio_mime: Option<&'static str>,
}

/// Reads what is not of the chat-completions API. Each writes what it knows the form of, and says whether it did.
#[derive(Clone, Copy)]
pub(crate) struct PartReader {
    /// A part of a message.
    pub(crate) part: for<'d> fn(&mut PartWriter<'_, 'd>, Value<'d>) -> bool,
    /// One of `tool_calls`.
    pub(crate) call: for<'d> fn(&mut PartWriter<'_, 'd>, Value<'d>) -> bool,
}

impl<'d> PartWriter<'_, 'd> {
    /// A message's `content`, which is not null.
    pub(crate) fn content(&mut self, content: Value<'d>) {
        if content.is_array() {
            content.items().for_each(|part| self.part(part));
        } else {
            self.part(content);
        }
    }

    /// One element of a list of parts.
    fn part(&mut self, part: Value<'d>) {
        if self.reader.is_some_and(|reader| (reader.part)(self, part)) {
            return;
        }
        if part.is_string() {
            return self.text(part, None);
        }
        if !part.is_object() {
            return self.other(part);
        }
        let kind = part.get("type").and_then(Value::str);
        let kind = kind.as_deref().unwrap_or("");
        match kind {
            "text" | "input_text" | "output_text" | "" => match part.get("text").filter(|text| text.is_string()) {
                Some(text) => self.text(text, Some(part)),
                None => self.generic(part, kind),
            },
            "image_url" | "video_url" | "audio_url" => self.url(part, kind),
            "input_audio" => self.input_audio(part),
            "file" => self.file(part),
            "refusal" => match part.get("refusal").filter(|refusal| refusal.is_string()) {
                Some(refusal) => self.refusal(refusal, Some(part)),
                None => self.generic(part, kind),
            },
            "thinking" | "reasoning" => self.thinking(part, kind),
            _ => self.generic(part, kind),
        }
    }

    /// Neither text nor object: kept, as no schema has a place for it.
    fn other(&mut self, value: Value<'d>) {
        if value.is_null() {
            return;
        }
        self.json.begin_object();
        self.json.member_str("type", "generic");
        self.json.member("content", value);
        self.json.end_object();
    }

    pub(crate) fn text(&mut self, text: Value<'d>, part: Option<Value<'d>>) {
        self.json.begin_object();
        self.json.member_str("type", "text");
        self.json.member("content", text);
        let own_annotations = part.is_some_and(|part| part.get("annotations").is_some());
        if let Some(annotations) = self.annotations.take_if(|_| !own_annotations) {
            self.json.member("annotations", annotations);
        }
        extras(self.json, part, &["type", "text"]);
        self.json.end_object();
    }

    pub(crate) fn refusal(&mut self, refusal: Value<'d>, part: Option<Value<'d>>) {
        self.json.begin_object();
        self.json.member_str("type", "generic");
        self.json.member_str("generic_type", "refusal");
        self.json.member("content", refusal);
        extras(self.json, part, &["type", "refusal"]);
        self.json.end_object();
    }

    fn generic(&mut self, part: Value<'d>, kind: &str) {
        self.json.begin_object();
        self.json.member_str("type", "generic");
        if !kind.is_empty() {
            self.json.member_str("generic_type", kind);
        }
        for (key, value) in part.members().filter(|(key, _)| !key.is_key("type")) {
            match key.is_key("generic_type") {
                _ if value.is_null() => {}
                true => self.json.member("original_generic_type", value),
                false => self.json.copy_member(key, value),
            }
        }
        self.json.end_object();
    }

    /// `image_url`, `video_url`, `audio_url`: an object with a URL, or the URL.
    fn url(&mut self, part: Value<'d>, kind: &str) {
        let modality = kind.trim_end_matches("_url");
        let target = part.get(kind);
        let url = target.and_then(|target| target.str().or_else(|| target.get("url")?.str()));
        let Some(url) = url else {
            return self.generic(part, kind);
        };
        Medium { modality, mime: None }.write(self.json, &url, false, |json| {
            extras(json, target, &["url"]);
            extras(json, Some(part), &["type", kind]);
        });
    }

    fn input_audio(&mut self, part: Value<'d>) {
        let audio = part.get("input_audio");
        let Some((audio, data)) = audio.and_then(|audio| Some((audio, audio.get("data")?.str()?))) else {
            return self.generic(part, "input_audio");
        };
        let format = audio.get("format").and_then(Value::str);
        let mime = format.as_deref().and_then(media::mime_of_audio);
        let used: &[&str] = if mime.is_some() { &["data", "format"] } else { &["data"] };
        Medium { modality: "audio", mime }.write(self.json, &data, true, |json| {
            extras(json, Some(audio), used);
            extras(json, Some(part), &["type", "input_audio"]);
        });
    }

    fn file(&mut self, part: Value<'d>) {
        let file = part.get("file");
        let text = |name: &str| file.and_then(|file| file.get(name)?.filled_str());
        let name = text("filename");
        let medium = Medium { modality: "document", mime: name.as_deref().and_then(media::mime_of_name) };
        let rest = |used: &'static str| {
            move |json: &mut JsonWriter| {
                extras(json, file, &[used]);
                extras(json, Some(part), &["type", "file"]);
            }
        };
        match (text("file_data"), text("file_id")) {
            (Some(data), _) => medium.write(self.json, &data, true, rest("file_data")),
            (None, Some(id)) => medium.write_file(self.json, &id, rest("file_id")),
            (None, None) => self.generic(part, "file"),
        }
    }

    /// Part `thinking` or `reasoning`: a text or a list of texts under one of several names.
    fn thinking(&mut self, part: Value<'d>, kind: &str) {
        let names = ["thinking", "reasoning", "text", "summary", "content"];
        let found = names.into_iter().find_map(|name| Some((name, joined_text(part.get(name)?)?)));
        let Some((name, text)) = found else {
            return self.generic(part, kind);
        };
        self.json.begin_object();
        self.json.member_str("type", "reasoning");
        self.json.member_str("content", &text);
        extras(self.json, Some(part), &["type", name]);
        self.json.end_object();
    }

    /// One of a message's `thinking_blocks`.
    pub(crate) fn thinking_block(&mut self, block: Value<'d>) {
        match block.get("type").and_then(Value::str).as_deref() {
            Some("thinking") => self.thinking(block, "thinking"),
            Some(kind) => self.generic(block, kind),
            None => self.generic(block, ""),
        }
    }

    /// The reasoning of a message that has it beside its content.
    pub(crate) fn reasoning(&mut self, text: &str, details: Option<Value<'d>>) {
        self.json.begin_object();
        self.json.member_str("type", "reasoning");
        self.json.member_str("content", text);
        if let Some(details) = details {
            self.json.member("reasoning_details", details);
        }
        self.json.end_object();
    }

    /// One of a message's `images`: as a part `image_url`.
    pub(crate) fn image(&mut self, image: Value<'d>) {
        if image.is_object() && image.get("image_url").is_some() {
            self.url(image, "image_url");
        } else if let Some(url) = image.str() {
            Medium { modality: "image", mime: None }.write(self.json, &url, false, |_| {});
        } else {
            self.part(image);
        }
    }

    /// A message's `audio`: its data, or the id of an earlier one.
    pub(crate) fn audio(&mut self, audio: Value<'d>) {
        let medium = Medium { modality: "audio", mime: self.audio_mime };
        let text = |name: &str| audio.get(name).and_then(Value::filled_str);
        if let Some(data) = text("data") {
            medium.write(self.json, &data, true, |json| {
                for (key, value) in audio.members().filter(|(key, value)| !key.is_key("data") && !value.is_null()) {
                    json.copy_member(key, value);
                }
            });
        } else if let Some(id) = text("id") {
            medium.write_file(self.json, &id, |json| extras(json, Some(audio), &["id", "data"]));
        } else {
            self.generic(audio, "audio");
        }
    }

    /// One of a message's `tool_calls`.
    pub(crate) fn tool_call(&mut self, call: Value<'d>) {
        if self.reader.is_some_and(|reader| (reader.call)(self, call)) {
            return;
        }
        let kind = call.get("type").and_then(Value::str);
        if kind.as_deref() == Some("custom") || (call.get("custom").is_some() && call.get("function").is_none()) {
            return self.custom_tool_call(call);
        }
        let function = call.get("function").filter(|function| function.is_object());
        self.begin_tool_call(call.get("id"), function.and_then(|function| function.get("name")));
        if let Some(arguments) = function.and_then(|function| function.get("arguments")) {
            self.arguments(arguments);
        }
        extras(self.json, function, &["name", "arguments"]);
        let plain: &[&str] = &["id", "type", "function", "index"];
        let unusual: &[&str] = &["id", "function", "index"];
        let is_plain = function.is_some() && kind.is_none_or(|kind| kind == "function" || kind.is_empty());
        extras(self.json, Some(call), if is_plain { plain } else { unusual });
        self.json.end_object();
    }

    fn custom_tool_call(&mut self, call: Value<'d>) {
        let custom = call.get("custom");
        self.begin_tool_call(call.get("id"), custom.and_then(|custom| custom.get("name")));
        if let Some(input) = custom.and_then(|custom| custom.get("input")) {
            self.json.member("arguments", input);
        }
        self.json.member_str("tool_type", "custom");
        extras(self.json, custom, &["name", "input"]);
        extras(self.json, Some(call), &["id", "type", "custom", "index"]);
        self.json.end_object();
    }

    /// The call of a legacy function.
    pub(crate) fn function_call(&mut self, call: Value<'d>) {
        self.begin_tool_call(None, call.get("name"));
        if let Some(arguments) = call.get("arguments") {
            self.arguments(arguments);
        }
        extras(self.json, Some(call), &["name", "arguments"]);
        self.json.end_object();
    }

    pub(crate) fn begin_tool_call(&mut self, id: Option<Value<'d>>, name: Option<Value<'d>>) {
        self.json.begin_object();
        self.json.member_str("type", "tool_call");
        // Mistral writes the word null for no id
        if let Some(id) = id.and_then(Value::filled_str).filter(|id| id != "null") {
            self.json.member_str("id", &id);
        }
        match name.and_then(Value::str) {
            Some(name) => self.json.member_str("name", &name),
            None => self.json.member_str("name", ""),
        }
    }

    /// Arguments as JSON where they are JSON: a text that does not read stays a text.
    pub(crate) fn arguments(&mut self, arguments: Value<'d>) {
        self.json.key("arguments");
        let Some(text) = arguments.str() else {
            return self.json.value(arguments);
        };
        if text.is_empty() {
            self.json.begin_object();
            return self.json.end_object();
        }
        match Document::parse(&*text) {
            Ok(document) if !document.root().is_null() => self.json.value(document.root()),
            _ => self.json.value(arguments),
        }
    }

    /// The content of a tool's message.
    pub(crate) fn tool_response(&mut self, id: Option<Value<'d>>, content: Value<'d>) {
        self.json.begin_object();
        self.json.member_str("type", "tool_call_response");
        if let Some(id) = id.and_then(Value::filled_str) {
            self.json.member_str("id", &id);
        }
        self.response(content);
        self.json.end_object();
    }

    /// A tool's response of the parts that `write` writes.
    pub(crate) fn tool_response_of(&mut self, id: Option<Value<'d>>, write: impl FnOnce(&mut Self)) {
        self.json.begin_object();
        self.json.member_str("type", "tool_call_response");
        if let Some(id) = id.and_then(Value::filled_str) {
            self.json.member_str("id", &id);
        }
        self.json.key("response");
        self.json.begin_array();
        write(self);
        self.json.end_array();
        self.json.end_object();
    }

    /// The member of a tool's response that has its content.
    pub(crate) fn response(&mut self, content: Value<'d>) {
        self.json.key("response");
        if content.is_array() {
            self.json.begin_array();
            content.items().for_each(|part| self.part(part));
            self.json.end_array();
        } else {
            self.json.value(content);
        }
    }
}

/// Copies the members of an object that are not null and not named in `used`.
pub(crate) fn extras(json: &mut JsonWriter, object: Option<Value<'_>>, used: &[&str]) {
    let members = object.into_iter().flat_map(Value::members);
    for (key, value) in members.filter(|(key, value)| !value.is_null() && !used.iter().any(|name| key.is_key(name))) {
        match RESERVED.iter().find(|name| key.is_key(name)) {
            Some(name) => json.member(&format!("original_{name}"), value),
            None => json.copy_member(key, value),
        }
    }
}

/// A text, or the texts of a list joined.
pub(crate) fn joined_text(value: Value<'_>) -> Option<Cow<'_, str>> {
    if !value.is_array() {
        return value.str();
    }
    let texts: Vec<_> = value.items().filter_map(|item| item.str().or_else(|| item.get("text")?.str())).collect();
    (!texts.is_empty()).then(|| texts.concat().into())
}
