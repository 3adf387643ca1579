//! Messages and choices as the conventions' `ChatMessage` and `OutputMessage`. Source: genai, message schemas; 3.4.
//!
//! ```text
//! {"role":"assistant","content":"4","reasoning":"2 and 2","x":1}
//!   -> {"role":"assistant","parts":[{"type":"reasoning",...},{"type":"text",...}],"x":1,"finish_reason":"stop"}
//! ```

use std::collections::HashSet;

use super::parts::{PartReader, PartWriter, joined_text};
use crate::genai::finish_reason;
use crate::json::document::Value;
use crate::json::writer::JsonWriter;

/// What of a message becomes parts, in the order the parts have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Reasoning,
    Content,
    Refusal,
    Images,
    Audio,
    Calls,
}

const PIECES: [Piece; 6] =
    [Piece::Reasoning, Piece::Content, Piece::Refusal, Piece::Images, Piece::Audio, Piece::Calls];

/// The members of a message that have a meaning, and the rest in order.
#[derive(Default)]
struct Message<'d> {
    role: Option<Value<'d>>,
    name: Option<Value<'d>>,
    content: Option<Value<'d>>,
    refusal: Option<Value<'d>>,
    thinking_blocks: Option<Value<'d>>,
    reasoning_content: Option<Value<'d>>,
    reasoning: Option<Value<'d>>,
    reasoning_details: Option<Value<'d>>,
    images: Option<Value<'d>>,
    audio: Option<Value<'d>>,
    tool_calls: Option<Value<'d>>,
    function_call: Option<Value<'d>>,
    tool_call_id: Option<Value<'d>>,
    annotations: Option<Value<'d>>,
    rest: Vec<(Value<'d>, Value<'d>)>,
    /// Pieces in the order of their members.
    seen: Vec<Piece>,
}

impl<'d> Message<'d> {
    fn read(message: Value<'d>) -> Self {
        let mut read = Self::default();
        for (key, value) in message.members().filter(|(_, value)| !value.is_null()) {
            let name = key.text();
            let (is_text, is_list, is_object) = (value.is_string(), value.is_array(), value.is_object());
            let (slot, piece) = match &*name {
                "role" if is_text => (&mut read.role, None),
                "name" if is_text => (&mut read.name, None),
                "content" => (&mut read.content, Some(Piece::Content)),
                "refusal" if is_text => (&mut read.refusal, Some(Piece::Refusal)),
                "thinking_blocks" if is_list => (&mut read.thinking_blocks, Some(Piece::Reasoning)),
                "reasoning_content" if is_text => (&mut read.reasoning_content, Some(Piece::Reasoning)),
                "reasoning" if is_text => (&mut read.reasoning, Some(Piece::Reasoning)),
                "reasoning_details" if is_list => (&mut read.reasoning_details, Some(Piece::Reasoning)),
                "images" if is_list => (&mut read.images, Some(Piece::Images)),
                "audio" if is_object => (&mut read.audio, Some(Piece::Audio)),
                "tool_calls" if is_list => (&mut read.tool_calls, Some(Piece::Calls)),
                "function_call" if is_object => (&mut read.function_call, Some(Piece::Calls)),
                "tool_call_id" if is_text => (&mut read.tool_call_id, None),
                "annotations" if is_list || is_object => (&mut read.annotations, None),
                _ => {
                    read.rest.push((key, value));
                    continue;
                }
            };
            *slot = Some(value);
            if let Some(piece) = piece.filter(|piece| !read.seen.contains(piece)) {
                read.seen.push(piece);
            }
        }
        read
    }

    /// Whether there are parts besides the content.
    fn has_other_parts(&self) -> bool {
        let others = [
            self.refusal,
            self.thinking_blocks,
            self.reasoning_content,
            self.reasoning,
            self.reasoning_details,
            self.images,
            self.audio,
            self.tool_calls,
            self.function_call,
        ];
        others.into_iter().flatten().any(|value| !value.is_empty())
    }

    fn is_tools(&self) -> bool {
        let role = self.role.and_then(Value::str);
        matches!(role.as_deref(), Some("tool" | "function"))
    }
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Input,
    Output {
        /// It was put together from a stream: parts in the order of their first appearance.
        streamed: bool,
    },
}

/// Writes `gen_ai.input.messages`.
pub(crate) fn write_input(json: &mut JsonWriter, messages: Value<'_>) {
    json.begin_array();
    for message in messages.items() {
        let message = Message::read(message);
        json.begin_object();
        write_message(json, &message, Side::Input);
        json.end_object();
    }
    json.end_array();
}

/// Writes `gen_ai.output.messages`, one of each choice.
pub(crate) fn write_output(json: &mut JsonWriter, choices: &[Value<'_>], streamed: bool) {
    json.begin_array();
    for choice in choices {
        let message = choice.get("message").map_or_else(Message::default, Message::read);
        json.begin_object();
        write_message(json, &message, Side::Output { streamed });
        write_choice(json, *choice, &message);
        json.end_object();
    }
    json.end_array();
}

/// A message that may be of another API, and where it stands.
pub(crate) struct Loose<'m, 'd> {
    /// It is one of the model's.
    pub(crate) is_output: bool,
    /// Its role when it names none.
    pub(crate) role: &'m str,
    /// Why the model stopped, when the message does not say.
    pub(crate) finish_reason: Option<&'m str>,
    /// Calls of functions that stand elsewhere, for a message without parts.
    pub(crate) calls: &'m [Value<'d>],
    /// Who is asked first about its parts.
    pub(crate) reader: PartReader,
}

/// Members that only say how a message came here.
const WRAPPING: [&str; 7] =
    ["parts", "contents", "finish_reason", "event.name", "gen_ai.message.index", "gen_ai.system", "kind"];

/// Writes a message of any API: parts or content, with what stands beside them.
pub(crate) fn write_loose<'d>(json: &mut JsonWriter, message: Value<'d>, loose: &Loose<'_, 'd>) {
    let mut read = if message.is_object() { Message::read(message) } else { Message::default() };
    if !message.is_object() {
        read.content = Some(message);
    }
    let listed = ["parts", "contents"].into_iter().filter_map(|name| message.get(name)).find(|list| !list.is_empty());
    read.content = listed.filter(|list| list.is_array() || list.is_object()).or(read.content);
    let own_reason = message.get("finish_reason").and_then(Value::filled_str);
    let role = loose_role(&mut read, loose.role, message);
    let is_tools = read.is_tools();
    if is_tools && read.tool_call_id.is_none() {
        let id = |(key, _): &(Value<'d>, Value<'d>)| key.is_key("id") || key.is_key("toolCallId");
        read.tool_call_id = read.rest.iter().find(|member| id(member)).map(|(_, id)| *id);
        read.rest.retain(|member| !id(member));
    }
    read.rest.retain(|(key, value)| !says_nothing(*value) && !WRAPPING.iter().any(|name| key.is_key(name)));

    json.begin_object();
    json.member_str("role", &role);
    json.key("parts");
    json.begin_array();
    let annotations = read.annotations.filter(|annotations| !annotations.is_empty());
    let mut parts = PartWriter { json, annotations, reader: Some(loose.reader) };
    let side = if loose.is_output { Side::Output { streamed: false } } else { Side::Input };
    for piece in PIECES {
        match (piece, read.content) {
            (Piece::Content, Some(content)) if is_tools => write_loose_response(&mut parts, &read, content),
            _ => write_piece(&mut parts, &read, piece, side),
        }
    }
    if read.content.is_none_or(Value::is_empty) && !read.has_other_parts() {
        loose.calls.iter().for_each(|call| parts.function_call(*call));
    }
    let left_annotations = parts.annotations;
    json.end_array();
    if let Some(name) = read.name {
        json.member("name", name);
    }
    if let Some(annotations) = left_annotations {
        json.member("annotations", annotations);
    }
    write_rest(json, &read);
    if let Some(reason) = own_reason.as_deref().or(loose.finish_reason) {
        json.member_str("finish_reason", finish_reason::normalise(Some(reason)));
    }
    json.end_object();
}

/// The role in the conventions' words. A message of nothing but a tool's responses is the tool's.
fn loose_role<'d>(read: &mut Message<'d>, default: &str, message: Value<'d>) -> String {
    let kind = message.get("type").and_then(Value::str).filter(|kind| matches!(&**kind, "human" | "ai" | "tool"));
    let given = read.role.and_then(Value::filled_str).or_else(|| kind.clone());
    if kind.is_some() || message.get("type").is_some_and(|kind| kind.is_key("message")) {
        read.rest.retain(|(key, _)| !key.is_key("type"));
    }
    let only_responses = read.content.filter(|content| content.is_array()).is_some_and(|content| {
        !content.is_empty()
            && content.items().all(|part| part.get("type").is_some_and(|kind| kind.is_key("tool_call_response")))
    });
    let role = match given.as_deref() {
        Some("user") if only_responses => "tool",
        Some("human") => "user",
        Some("ai" | "model") => "assistant",
        Some("function") => "tool",
        Some(role) => role,
        None => default,
    };
    role.to_owned()
}

/// Content of a tool: its responses as they are, a text alone, or a list of parts.
fn write_loose_response<'d>(parts: &mut PartWriter<'_, 'd>, message: &Message<'d>, content: Value<'d>) {
    let is_response = |part: Value<'_>| {
        part.get("type").and_then(Value::str).is_some_and(|kind| {
            matches!(&*kind, "tool_call_response" | "tool-result" | "tool_result" | "function_call_output")
        }) || part.get("function_response").is_some()
    };
    if content.items().any(is_response) {
        return parts.content(content);
    }
    let mut items = content.items();
    let alone = items.next().filter(|_| items.next().is_none()).and_then(|part| {
        let text = part.get("text").or_else(|| part.get("content"))?;
        text.is_string().then_some(text)
    });
    parts.tool_response(message.tool_call_id, alone.unwrap_or(content));
}

/// Null, nothing in it, or nothing but such.
fn says_nothing(value: Value<'_>) -> bool {
    value.is_empty() || (value.is_object() && value.members().all(|(_, value)| says_nothing(value)))
}

fn write_message(json: &mut JsonWriter, message: &Message<'_>, side: Side) {
    let role = message.role.and_then(Value::str);
    let is_function = role.as_deref() == Some("function");
    let role = match role.as_deref() {
        Some("function") => "tool",
        Some(role) => role,
        None => "assistant",
    };
    json.member_str("role", role);
    json.key("parts");
    json.begin_array();
    let annotations = message.annotations.filter(|annotations| !annotations.is_empty());
    let mut parts = PartWriter { json, annotations, reader: None };
    match side {
        Side::Output { streamed: true } => {
            message.seen.iter().for_each(|piece| write_piece(&mut parts, message, *piece, side));
        }
        _ => PIECES.iter().for_each(|piece| write_piece(&mut parts, message, *piece, side)),
    }
    let left_annotations = parts.annotations;
    json.end_array();
    if let Some(name) = message.name {
        json.member("name", name);
    }
    if is_function {
        json.member_str("original_role", "function");
    }
    if let Some(annotations) = left_annotations {
        json.member("annotations", annotations);
    }
    write_rest(json, message);
}

fn write_rest(json: &mut JsonWriter, message: &Message<'_>) {
    let id_unused = !message.is_tools() || message.content.is_none();
    if let Some(id) = message.tool_call_id.filter(|_| id_unused) {
        json.member("tool_call_id", id);
    }
    write_unused_reasoning(json, message);
    for (key, value) in &message.rest {
        match ["role", "parts", "finish_reason", "name"].iter().find(|name| key.is_key(name)) {
            Some(name) => json.member(&format!("original_{name}"), *value),
            None => json.copy_member(*key, *value),
        }
    }
}

/// Of several reasonings the part has the first; what says something else is kept beside the parts.
fn write_unused_reasoning(json: &mut JsonWriter, message: &Message<'_>) {
    let blocks = message.thinking_blocks.filter(|blocks| !blocks.is_empty());
    let texts = [("reasoning_content", message.reasoning_content), ("reasoning", message.reasoning)];
    let mut texts = texts.into_iter().filter_map(|(name, value)| Some((name, value?, value?.filled_str()?)));
    let used = match blocks {
        Some(blocks) => Some(text_of_blocks(blocks).into()),
        None => texts.next().map(|(_, _, text)| text),
    };
    for (name, value, _) in texts.filter(|(_, _, text)| used.as_ref() != Some(text)) {
        json.member(name, value);
    }
    if let Some(details) = message.reasoning_details.filter(|details| blocks.is_some() && !details.is_empty()) {
        json.member("reasoning_details", details);
    }
}

fn text_of_blocks(blocks: Value<'_>) -> String {
    blocks.items().filter_map(|block| joined_text_owned(block.get("thinking")?)).collect()
}

fn write_piece<'d>(parts: &mut PartWriter<'_, 'd>, message: &Message<'d>, piece: Piece, side: Side) {
    let items = |list: Option<Value<'d>>| list.into_iter().flat_map(Value::items);
    match piece {
        Piece::Reasoning => write_reasoning(parts, message),
        Piece::Content => write_content(parts, message, side),
        Piece::Refusal => {
            if let Some(refusal) = message.refusal.filter(|refusal| !refusal.is_empty()) {
                parts.refusal(refusal, None);
            }
        }
        Piece::Images => items(message.images).for_each(|image| parts.image(image)),
        Piece::Audio => {
            if let Some(audio) = message.audio.filter(|audio| !audio.is_empty()) {
                parts.audio(audio);
            }
        }
        Piece::Calls => {
            items(message.tool_calls).for_each(|call| parts.tool_call(call));
            if let Some(call) = message.function_call.filter(|call| !call.is_empty()) {
                parts.function_call(call);
            }
        }
    }
}

fn write_content<'d>(parts: &mut PartWriter<'_, 'd>, message: &Message<'d>, side: Side) {
    let Some(content) = message.content else {
        return;
    };
    if message.is_tools() && side == Side::Input {
        return parts.tool_response(message.tool_call_id, content);
    }
    let is_blank = content.is_string() && content.is_empty();
    if !is_blank || (side == Side::Input && !message.has_other_parts()) {
        parts.content(content);
    }
}

/// One part, or one of each thinking block.
fn write_reasoning<'d>(parts: &mut PartWriter<'_, 'd>, message: &Message<'d>) {
    if let Some(blocks) = message.thinking_blocks.filter(|blocks| !blocks.is_empty()) {
        return blocks.items().for_each(|block| parts.thinking_block(block));
    }
    let filled = |value: Option<Value<'d>>| value.and_then(Value::filled_str);
    let details = message.reasoning_details.filter(|details| !details.is_empty());
    let text = filled(message.reasoning_content)
        .or_else(|| filled(message.reasoning))
        .or_else(|| details.map(|details| text_of_details(details).into()));
    if let Some(text) = text {
        parts.reasoning(&text, details);
    }
}

/// The readable part of OpenRouter's `reasoning_details`.
fn text_of_details(details: Value<'_>) -> String {
    let text = |detail: Value<'_>| detail.get("text").or_else(|| detail.get("summary")).and_then(joined_text_owned);
    details.items().filter_map(text).collect()
}

fn joined_text_owned(value: Value<'_>) -> Option<String> {
    joined_text(value).map(std::borrow::Cow::into_owned)
}

/// Members of a response or a choice that a query does not need: they stay in the raw response.
pub(crate) const RAW_ONLY: [&str; 5] = ["logprobs", "token_ids", "prompt_logprobs", "prompt_token_ids", "prompt_text"];

/// What a choice adds to its message: why it ended, and its own members that are not empty.
fn write_choice(json: &mut JsonWriter, choice: Value<'_>, message: &Message<'_>) {
    let reason = choice.get("finish_reason").and_then(Value::filled_str);
    json.member_str("finish_reason", finish_reason::normalise(reason.as_deref()));
    let taken: HashSet<_> = message.rest.iter().filter_map(|(key, _)| key.str()).collect();
    for (key, value) in choice.members().filter(|(_, value)| !value.is_empty()) {
        let name = key.text();
        let is_known = matches!(&*name, "index" | "message" | "delta" | "finish_reason" | "role" | "parts" | "name");
        if !is_known && !taken.contains(&name) && !RAW_ONLY.contains(&&*name) {
            json.copy_member(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::json::document::Document;
    use crate::json::limits::Limits;

    fn input(message: Json) -> Json {
        let text = json!([message]).to_string();
        let document = Document::parse(text).unwrap();
        let mut json = JsonWriter::new(Limits::default());
        write_input(&mut json, document.root());
        serde_json::from_str::<Json>(&json.finish().0).unwrap()[0].clone()
    }

    fn output(choice: Json, streamed: bool) -> Json {
        let document = Document::parse(choice.to_string()).unwrap();
        let mut json = JsonWriter::new(Limits::default());
        write_output(&mut json, &[document.root()], streamed);
        serde_json::from_str::<Json>(&json.finish().0).unwrap()[0].clone()
    }

    fn parts(message: Json) -> Json {
        input(message)["parts"].clone()
    }

    #[test]
    fn empty_content_stays_only_where_nothing_else_is() {
        assert_eq!(parts(json!({"role":"user","content":""})), json!([{"type":"text","content":""}]));
        assert_eq!(parts(json!({"role":"user","content":null})), json!([]));
        let with_call = json!({"role":"assistant","content":"","function_call":{"name":"f","arguments":""}});
        assert_eq!(parts(with_call), json!([{"type":"tool_call","name":"f","arguments":{}}]));
        assert_eq!(output(json!({"message":{"content":""}}), false)["parts"], json!([]));
    }

    #[test]
    fn every_content_part_has_its_form() {
        let table = [
            (json!("bare"), json!({"type":"text","content":"bare"})),
            (
                json!({"type":"input_text","text":"t","cache_control":{"type":"e"}}),
                json!({"type":"text","content":"t","cache_control":{"type":"e"}}),
            ),
            (json!({"text":"untyped"}), json!({"type":"text","content":"untyped"})),
            (json!({"type":"text","text":7}), json!({"type":"generic","generic_type":"text","text":7})),
            (
                json!({"type":"image_url","image_url":"https://x/a.png"}),
                json!({"type":"uri","modality":"image","uri":"https://x/a.png"}),
            ),
            (
                json!({"type":"audio_url","audio_url":{"url":"https://x/a"}}),
                json!({"type":"uri","modality":"audio","uri":"https://x/a"}),
            ),
            (
                json!({"type":"image_url","image_url":{}}),
                json!({"type":"generic","generic_type":"image_url","image_url":{}}),
            ),
            (
                json!({"type":"input_audio","input_audio":{"data":"https://x/a","format":"mp3"}}),
                json!({"type":"uri","modality":"audio","mime_type":"audio/mpeg","uri":"https://x/a"}),
            ),
            (
                json!({"type":"input_audio","input_audio":{"data":"AA","format":"ogg"}}),
                json!({"type":"blob","modality":"audio","content":"AA","format":"ogg"}),
            ),
            (
                json!({"type":"file","file":{"file_data":"https://x/a.pdf","filename":"a.pdf"}}),
                json!({"type":"uri","modality":"document","mime_type":"application/pdf","uri":"https://x/a.pdf","filename":"a.pdf"}),
            ),
            (
                json!({"type":"file","file":{"file_data":"AA","filename":"a.png"}}),
                json!({"type":"blob","modality":"image","mime_type":"image/png","content":"AA","filename":"a.png"}),
            ),
            (
                json!({"type":"refusal","refusal":"no"}),
                json!({"type":"generic","generic_type":"refusal","content":"no"}),
            ),
            (
                json!({"type":"thinking","thinking":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"signature":"s"}),
                json!({"type":"reasoning","content":"ab","signature":"s"}),
            ),
            (
                json!({"type":"reasoning","summary":[{"type":"summary_text","text":"a"}]}),
                json!({"type":"reasoning","content":"a"}),
            ),
            (
                json!({"type":"reference","reference_ids":[1],"x":null}),
                json!({"type":"generic","generic_type":"reference","reference_ids":[1]}),
            ),
            (json!(7), json!({"type":"generic","content":7})),
        ];
        for (part, want) in table {
            assert_eq!(parts(json!({"role":"user","content":[part]})), json!([want]), "{part}");
        }
    }

    #[test]
    fn tool_calls_of_all_producers_are_calls() {
        let calls = json!([
            {"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1.50}"},"extra_content":{"google":1}},
            {"id":"null","function":{"name":"g","arguments":{"b":[2]}},"index":0},
            {"id":"","type":"function","function":{"name":"h","arguments":"{\"a\":"}},
            {"id":"4","type":"custom","custom":{"name":"c","input":"{}"}},
            {"id":"5","type":"function","function":{"name":"i","arguments":"null"}},
            {"id":"6","type":"web","what":1},
        ]);
        let want = json!([
            {"type":"tool_call","id":"1","name":"f","arguments":"number text is compared below","extra_content":{"google":1}},
            {"type":"tool_call","name":"g","arguments":{"b":[2]}},
            {"type":"tool_call","name":"h","arguments":"{\"a\":"},
            {"type":"tool_call","id":"4","name":"c","arguments":"{}","tool_type":"custom"},
            {"type":"tool_call","id":"5","name":"i","arguments":"null"},
            {"type":"tool_call","id":"6","name":"","original_type":"web","what":1},
        ]);
        let got = parts(json!({"role":"assistant","content":null,"tool_calls":calls}));
        assert_eq!(got[0]["arguments"].to_string(), r#"{"a":1.50}"#);
        assert_eq!(got.as_array().unwrap()[1..], want.as_array().unwrap()[1..]);
    }

    #[test]
    fn tools_answer_with_text_or_parts_and_functions_are_tools() {
        let function = input(json!({"role":"function","name":"f","content":"14"}));
        let want = json!({"role":"tool","parts":[{"type":"tool_call_response","response":"14"}],"name":"f","original_role":"function"});
        assert_eq!(function, want);
        let image = json!([{"type":"image_url","image_url":"https://x"}, "t"]);
        let want = json!([{"type":"tool_call_response","id":"c","response":[{"type":"uri","modality":"image","uri":"https://x"},{"type":"text","content":"t"}]}]);
        assert_eq!(parts(json!({"role":"tool","tool_call_id":"c","content":image})), want);
        let silent = input(json!({"role":"tool","tool_call_id":"c"}));
        assert_eq!(silent, json!({"role":"tool","parts":[],"tool_call_id":"c"}));
    }

    #[test]
    fn reasoning_comes_first_from_the_best_source() {
        let reasoning = |message: Json| output(json!({"message":message}), false)["parts"].clone();
        let part = |text: &str| json!({"type":"reasoning","content":text});
        assert_eq!(reasoning(json!({"content":"x","reasoning_content":"a","reasoning":"a"}))[0], part("a"));
        assert_eq!(reasoning(json!({"reasoning":"b","reasoning_content":""}))[0], part("b"));
        let details = json!([{"type":"reasoning.text","text":"c"},{"type":"reasoning.summary","summary":"d"},{"type":"reasoning.encrypted","data":"e"}]);
        let want = json!([{"type":"reasoning","content":"cd","reasoning_details":details}]);
        assert_eq!(reasoning(json!({"reasoning_details":details})), want);
        let blocks =
            json!([{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"r"}]);
        let want = json!([{"type":"reasoning","content":"t","signature":"s"},{"type":"generic","generic_type":"redacted_thinking","data":"r"}]);
        assert_eq!(reasoning(json!({"thinking_blocks":blocks,"reasoning_content":"t"})), want);
    }

    #[test]
    fn output_keeps_refusal_images_audio_and_annotations() {
        let message = json!({
            "content":"see","refusal":"no","images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}],
            "audio":{"id":"a1","data":"AA==","transcript":"hi","expires_at":5},"annotations":[{"type":"url_citation"}],
            "executed_tools":[1],"provider_specific_fields":null
        });
        let choice = json!({"index":0,"message":message,"finish_reason":"stop","logprobs":{},"stop_reason":7,
            "content_filter_results":{"hate":{"filtered":false}},"native_finish_reason":"end"});
        let want = json!({"role":"assistant","parts":[
            {"type":"text","content":"see","annotations":[{"type":"url_citation"}]},
            {"type":"generic","generic_type":"refusal","content":"no"},
            {"type":"blob","modality":"image","mime_type":"image/png","content":"AA=="},
            {"type":"blob","modality":"audio","content":"AA==","id":"a1","transcript":"hi","expires_at":5},
        ],"executed_tools":[1],"finish_reason":"stop","stop_reason":7,"content_filter_results":{"hate":{"filtered":false}},"native_finish_reason":"end"});
        assert_eq!(output(choice, false), want);
        let history = parts(json!({"role":"assistant","audio":{"id":"a1"}}));
        assert_eq!(history, json!([{"type":"file","modality":"audio","file_id":"a1"}]));
    }

    #[test]
    fn a_streams_parts_stand_in_the_order_of_appearance() {
        let choice =
            json!({"message":{"tool_calls":[{"id":"1","function":{"name":"f"}}],"content":"x","reasoning":"y"}});
        let kinds = |streamed| -> Vec<String> {
            let parts = output(choice.clone(), streamed)["parts"].clone();
            parts.as_array().unwrap().iter().map(|part| part["type"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(kinds(true), ["tool_call", "text", "reasoning"]);
        assert_eq!(kinds(false), ["reasoning", "text", "tool_call"]);
    }
}
