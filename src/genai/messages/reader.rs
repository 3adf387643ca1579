//! Parts of messages as other APIs and SDKs have them: the conventions' own, those of the Responses API, Anthropic's, the AI SDK's,
//! Gemini's, Bedrock's, OpenInference's.

use super::media::{Medium, mime_of_name};
use super::parts::{PartReader, PartWriter, extras, joined_text};
use crate::json::document::Value;
use std::borrow::Cow;

/// Reads them all.
pub(crate) const READER: PartReader = PartReader { part, call };

/// Names of the same thing.
const IDS: [&str; 8] = ["id", "toolCallId", "toolUseId", "tool_use_id", "tool_call_id", "call_id", "tool_id", "ref"];
const NAMES: [&str; 3] = ["name", "toolName", "tool_name"];
const ARGUMENTS: [&str; 4] = ["arguments", "args", "input", "parameters"];
const RESPONSES: [&str; 5] = ["response", "result", "output", "content", "value"];
const MIMES: [&str; 4] = ["mime_type", "mediaType", "mimeType", "media_type"];

fn first<'d>(part: Value<'d>, names: &[&str]) -> Option<Value<'d>> {
    names.iter().find_map(|name| part.get(name))
}

fn first_text<'d>(part: Value<'d>, names: &[&str]) -> Option<Cow<'d, str>> {
    names.iter().find_map(|name| part.get(name)?.filled_str())
}

fn part<'d>(parts: &mut PartWriter<'_, 'd>, part: Value<'d>) -> bool {
    if !part.is_object() {
        return false;
    }
    let Some(kind) = part.get("type").and_then(Value::str) else {
        return untyped(parts, part);
    };
    match &*kind {
        "text" | "input_text" | "output_text" => text(parts, part),
        "tool_call" | "tool-call" | "tool_use" | "function_call" | "toolCall" | "custom_tool_call" => call(parts, part),
        "tool_call_response"
        | "tool-result"
        | "tool_result"
        | "function_call_output"
        | "custom_tool_call_output"
        | "tool_response" => response(parts, part),
        "image" | "audio" | "video" | "document" => medium(parts, part, &kind),
        "file" => file(parts, part),
        "blob" | "uri" => own_medium(parts, part, &kind),
        // the conventions' own: what it says beside its text stays under its name
        "reasoning" if part.get("content").is_some_and(Value::is_string) && !part.has("text") => verbatim(parts, part),
        "generic" | "compaction" | "server_tool_call" | "server_tool_call_response" => verbatim(parts, part),
        _ => false,
    }
}

/// A part as it is, without nulls.
fn verbatim<'d>(parts: &mut PartWriter<'_, 'd>, part: Value<'d>) -> bool {
    parts.json.begin_object();
    for (key, value) in part.members().filter(|(_, value)| !value.is_null()) {
        parts.json.copy_member(key, value);
    }
    parts.json.end_object();
    true
}

/// A text under the conventions' name; under the API's name it is left to the API's own reader.
fn text<'d>(parts: &mut PartWriter<'_, 'd>, part: Value<'d>) -> bool {
    let Some(content) = part.get("content").filter(|content| content.is_string() && part.get("text").is_none()) else {
        return false;
    };
    parts.json.begin_object();
    parts.json.member_str("type", "text");
    parts.json.member("content", content);
    extras(parts.json, Some(part), &["type", "content"]);
    parts.json.end_object();
    true
}

/// Whether a part is what a tool answered.
pub(crate) fn is_response(part: Value<'_>) -> bool {
    part.get("type").and_then(Value::str).is_some_and(|kind| {
        matches!(
            &*kind,
            "tool_call_response" | "tool-result" | "tool_result" | "function_call_output" | "custom_tool_call_output"
        )
    }) || ["function_response", "functionResponse", "toolResult", "toolResponse", "tool_call_result"]
        .iter()
        .any(|name| part.get(name).is_some())
}

/// The parts of Gemini, Bedrock, Genkit and Haystack have no type.
fn untyped<'d>(parts: &mut PartWriter<'_, 'd>, part: Value<'d>) -> bool {
    let either = |snake: &str, camel: &str| part.get(snake).or_else(|| part.get(camel)).filter(|it| it.is_object());
    if let Some(of_call) = either("function_call", "functionCall") {
        return call(parts, of_call);
    }
    if let Some(of_response) = either("function_response", "functionResponse") {
        return response(parts, of_response);
    }
    if let Some(data) = either("inline_data", "inlineData") {
        return medium(parts, data, "document");
    }
    if let Some(data) = either("file_data", "fileData") {
        return medium(parts, data, "document");
    }
    if let Some(of_call) = either("toolUse", "toolUse") {
        return call(parts, of_call);
    }
    if let Some(result) = either("toolResult", "toolResult") {
        return tool_result(parts, result);
    }
    if let Some(of_call) = either("tool_call", "toolRequest") {
        return call(parts, of_call);
    }
    if let Some(of_response) = either("toolResponse", "toolResponse") {
        return response(parts, of_response);
    }
    if let Some(result) = either("tool_call_result", "tool_call_result") {
        return haystack_result(parts, result);
    }
    if let Some(reasoning) = either("reasoningContent", "reasoningContent") {
        return reasoning_content(parts, reasoning);
    }
    if let Some((kind, of_medium)) =
        ["image", "document", "video", "audio"].into_iter().find_map(|kind| Some((kind, either(kind, kind)?)))
    {
        return bedrock_medium(parts, of_medium, kind);
    }
    // a thought of Gemini's is a text that says so
    if part.get("thought").and_then(Value::bool) == Some(true)
        && let Some(thought) = part.get("text").filter(|text| text.is_string())
    {
        parts.json.begin_object();
        parts.json.member_str("type", "reasoning");
        parts.json.member("content", thought);
        extras(parts.json, Some(part), &["text", "thought"]);
        parts.json.end_object();
        return true;
    }
    text(parts, part)
}

/// What a tool answered, in Bedrock's blocks.
fn tool_result<'d>(parts: &mut PartWriter<'_, 'd>, result: Value<'d>) -> bool {
    let Some(content) = result.get("content") else { return response(parts, result) };
    parts.json.begin_object();
    parts.json.member_str("type", "tool_call_response");
    if let Some(id) = first_text(result, &IDS) {
        parts.json.member_str("id", &id);
    }
    parts.response(content);
    let used: Vec<&str> = IDS.into_iter().chain(["content", "type"]).collect();
    extras(parts.json, Some(result), &used);
    parts.json.end_object();
    true
}

/// Haystack's `{"result": "...", "origin": {"id", "tool_name", "arguments"}, "error": false}`.
fn haystack_result<'d>(parts: &mut PartWriter<'_, 'd>, part: Value<'d>) -> bool {
    let Some(result) = part.get("result") else { return false };
    let id = part.get("origin").and_then(|origin| origin.get("id")).filter(|id| id.is_string());
    parts.tool_response(id, result);
    true
}

/// Bedrock's `{"reasoningText": {"text", "signature"}}`; what it redacted stays as it is.
fn reasoning_content<'d>(parts: &mut PartWriter<'_, 'd>, reasoning: Value<'d>) -> bool {
    let inner = reasoning.get("reasoningText").unwrap_or(reasoning);
    let Some(text) = inner.get("text").and_then(joined_text) else { return false };
    parts.json.begin_object();
    parts.json.member_str("type", "reasoning");
    parts.json.member_str("content", &text);
    extras(parts.json, Some(inner), &["text"]);
    parts.json.end_object();
    true
}

/// Bedrock's `{"format": "png", "source": {"bytes": "..."}}`: the format is the end of a MIME type, or of a file's name.
fn bedrock_medium<'d>(parts: &mut PartWriter<'_, 'd>, of_medium: Value<'d>, kind: &str) -> bool {
    let source = of_medium.get("source");
    let bytes = source.and_then(|source| source.get("bytes")).and_then(Value::filled_str);
    let place = source.and_then(|source| source.get("s3Location")?.get("uri")).and_then(Value::filled_str);
    let Some(data) = bytes.or(place) else { return medium(parts, of_medium, kind) };
    let format = of_medium.get("format").and_then(Value::filled_str).unwrap_or_default();
    let by_name = mime_of_name(&format!("a.{format}"));
    let own = format!("{kind}/{format}");
    let mime = by_name.unwrap_or(&own);
    let medium = Medium { modality: kind, mime: Some(mime).filter(|_| !format.is_empty()) };
    medium.write(parts.json, &data, true, |json| extras(json, Some(of_medium), &["format", "source"]));
    true
}

/// A call of a tool; those of the chat-completions API, with a `function`, are left to its own reader.
fn call<'d>(parts: &mut PartWriter<'_, 'd>, call: Value<'d>) -> bool {
    if ["function", "custom"].iter().any(|name| call.get(name).is_some_and(Value::is_object)) {
        if call.get("type").is_some_and(|kind| kind.is_key("tool_call")) {
            parts.function_call(call.get("function").unwrap_or(call));
            return true;
        }
        return false;
    }
    let Some(name) = first(call, &NAMES).filter(|name| name.is_string()) else {
        return false;
    };
    parts.begin_tool_call(first(call, &["call_id"]).or_else(|| first(call, &IDS)), Some(name));
    if let Some(arguments) = first(call, &ARGUMENTS) {
        parts.arguments(arguments);
    }
    let kind = call.get("type").filter(|kind| kind.is_string());
    let used: Vec<&str> =
        IDS.into_iter().chain(NAMES).chain(ARGUMENTS).chain(["type", "index", "function", "dynamic"]).collect();
    extras(parts.json, Some(call), &used);
    if kind.is_some_and(|kind| kind.is_key("custom_tool_call")) {
        parts.json.member_str("tool_type", "custom");
    }
    parts.json.end_object();
    true
}

/// What a tool answered. The AI SDK wraps it: `{"type":"text","value":"..."}`.
fn response<'d>(parts: &mut PartWriter<'_, 'd>, part: Value<'d>) -> bool {
    let Some(answer) = RESPONSES.iter().find_map(|name| part.last_member(name)).filter(|_| part.is_object()) else {
        return false;
    };
    let is_wrapped = |answer: &Value<'_>| {
        let kind = answer.get("type").and_then(Value::str);
        kind.is_some_and(|kind| matches!(&*kind, "text" | "json" | "error-text" | "error-json" | "content"))
    };
    let unwrapped = match answer.get("value") {
        Some(value) if is_wrapped(&answer) => value,
        _ => answer,
    };
    // blocks of nothing but one text say that text
    let mut blocks = unwrapped.items();
    let alone = blocks
        .next()
        .filter(|_| blocks.next().is_none())
        .filter(|block| block.get("type").is_some_and(|kind| kind.is_key("text")));
    let said = alone.and_then(|block| block.get("text")).filter(|text| text.is_string()).unwrap_or(unwrapped);
    parts.json.begin_object();
    parts.json.member_str("type", "tool_call_response");
    if let Some(id) = first_text(part, &IDS) {
        parts.json.member_str("id", &id);
    }
    parts.json.member("response", said);
    if let Some(name) = part.get("name").filter(|name| name.is_string()) {
        parts.json.member("name", name);
    }
    let used: Vec<&str> = IDS.into_iter().chain(NAMES).chain(RESPONSES.into_iter().take(4)).chain(["type"]).collect();
    extras(parts.json, Some(part), &used);
    parts.json.end_object();
    true
}

/// The place of a medium: an address, or data with its type.
fn medium<'d>(parts: &mut PartWriter<'_, 'd>, part: Value<'d>, modality: &str) -> bool {
    // image: {image: {url}} of OpenInference, {source: {data, media_type}} of Anthropic, {image: "..."} of the AI SDK
    let own = part.get(modality);
    let inner = own.and_then(|own| own.get(modality)).or(own).or_else(|| part.get("source")).unwrap_or(part);
    let names = ["url", "data", "file_uri", "fileUri", "uri", "base64", "content"];
    let Some(source) = inner.filled_str().or_else(|| first_text(inner, &names)) else {
        return false;
    };
    let mime = first_text(inner, &MIMES).or_else(|| first_text(part, &MIMES));
    let media = Medium { modality, mime: mime.as_deref() };
    media.write(parts.json, &source, true, |json| {
        if let Some(name) = first(part, &["filename", "title"]) {
            json.member("filename", name);
        }
        if let Some(detail) = first(part, &["detail"]) {
            json.member("detail", detail);
        }
    });
    true
}

/// A file: the provider's, by its id; or the AI SDK's, with its data.
fn file<'d>(parts: &mut PartWriter<'_, 'd>, part: Value<'d>) -> bool {
    if part.get("file").is_some() {
        return false;
    }
    if part.get("file_id").is_some_and(Value::is_string) {
        return own_medium(parts, part, "file");
    }
    medium(parts, part, "document")
}

/// The conventions' own, unless it says a data URL where an address belongs, or lacks what it must have.
fn own_medium<'d>(parts: &mut PartWriter<'_, 'd>, part: Value<'d>, kind: &str) -> bool {
    let modality = part.get("modality").and_then(Value::filled_str);
    let address = first_text(part, &["uri", "url"]);
    let is_plain = match kind {
        "blob" => part.get("content").is_some_and(Value::is_string),
        "uri" => part.get("uri").is_some() && address.as_deref().is_some_and(|uri| !uri.starts_with("data:")),
        _ => true,
    };
    if modality.is_some() && is_plain {
        return verbatim(parts, part);
    }
    let modality = modality.as_deref().unwrap_or("document");
    if let Some(id) = part.get("file_id").and_then(Value::filled_str) {
        let medium = Medium { modality, mime: None };
        medium.write_file(parts.json, &id, |json| extras(json, Some(part), &["type", "file_id", "modality"]));
        return true;
    }
    medium(parts, part, modality)
}
