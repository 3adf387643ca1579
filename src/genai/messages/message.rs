//! Messages and choices as the conventions' `ChatMessage` and `OutputMessage`. Source: genai, message schemas; 3.4.
//!
//! ```text
//! {"role":"assistant","content":"4","reasoning":"2 and 2","x":1}
//!   -> {"role":"assistant","parts":[{"type":"reasoning",...},{"type":"text",...}],"x":1,"finish_reason":"stop"}
//! ```

use std::collections::HashSet;

use super::parts::{PartReader, PartWriter, joined_text};
use super::reader::is_response;
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
    /// Its role is a tool's, though no member says so.
    is_of_tool: bool,
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
        let media = [self.images, self.audio];
        self.has_parts_of_model() || media.into_iter().flatten().any(|value| !value.is_empty())
    }

    /// Whether there are parts that only a model makes.
    fn has_parts_of_model(&self) -> bool {
        let parts = [
            self.refusal,
            self.thinking_blocks,
            self.reasoning_content,
            self.reasoning,
            self.reasoning_details,
            self.tool_calls,
            self.function_call,
        ];
        parts.into_iter().flatten().any(|value| !value.is_empty())
    }

    /// Takes the reasoning beside the parts for no part: they have one already, and this is what was left over.
    fn leave_reasoning(&mut self, message: Value<'d>) {
        let names = ["reasoning_content", "reasoning", "reasoning_details"];
        let is_left =
            |(key, value): &(Value<'d>, Value<'d>)| !value.is_null() && names.iter().any(|name| key.is_key(name));
        (self.reasoning_content, self.reasoning, self.reasoning_details) = (None, None, None);
        self.rest.splice(0..0, message.members().filter(is_left));
    }

    fn is_tools(&self) -> bool {
        let role = self.role.and_then(Value::str);
        self.is_of_tool || matches!(role.as_deref(), Some("tool" | "function"))
    }
}

/// Where a message stands.
#[derive(Clone, Copy)]
enum Side {
    Input,
    Output(Answered),
}

impl Side {
    fn is_input(self) -> bool {
        matches!(self, Self::Input)
    }
}

/// How a model answered.
#[derive(Clone, Copy, Default)]
pub(crate) struct Answered {
    /// The messages were put together from a stream: parts in the order of their first appearance.
    pub(crate) is_streamed: bool,
    /// The MIME type of sound that was asked for: sound itself does not have it.
    pub(crate) audio_mime: Option<&'static str>,
    /// Who is asked first about parts, when they are those of another API.
    pub(crate) reader: Option<PartReader>,
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
pub(crate) fn write_output(json: &mut JsonWriter, choices: &[Value<'_>], answered: Answered) {
    json.begin_array();
    for choice in choices {
        let message = choice.get("message").map_or_else(Message::default, Message::read);
        json.begin_object();
        write_message(json, &message, Side::Output(answered));
        write_choice(json, *choice, &message);
        json.end_object();
    }
    json.end_array();
}

/// Writes `gen_ai.input.messages` of an API that is not chat-completions.
pub(crate) fn write_input_of(json: &mut JsonWriter, messages: Value<'_>, reader: PartReader) {
    let loose = Loose { is_output: false, role: "user", finish_reason: None, calls: &[], reader };
    json.begin_array();
    messages.items().for_each(|message| write_loose(json, message, &loose));
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
const WRAPPING: [&str; 10] = [
    "parts",
    "contents",
    "finish_reason",
    "event.name",
    "gen_ai.message.index",
    "gen_ai.system",
    "kind",
    // LangChain's and Haystack's model, usage and finish reason
    "response_metadata",
    "usage_metadata",
    "meta",
];

/// Writes a message of any API: parts or content, with what stands beside them.
pub(crate) fn write_loose<'d>(json: &mut JsonWriter, message: Value<'d>, loose: &Loose<'_, 'd>) {
    let mut read = if message.is_object() { Message::read(message) } else { Message::default() };
    if !message.is_object() {
        read.content = Some(message);
    }
    let listed = ["parts", "contents"].into_iter().filter_map(|name| message.get(name)).find(|list| !list.is_empty());
    let listed = listed.filter(|list| list.is_array() || list.is_object());
    read.content = listed.or(read.content);
    let own_reason = message.get("finish_reason").and_then(Value::filled_str);
    let role = loose_role(&mut read, loose.role, message);
    read.is_of_tool = role == "tool";
    if read.content.filter(|_| listed.is_some()).is_some_and(|parts| parts.items().any(is_reasoning)) {
        read.leave_reasoning(message);
    }
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
    let mut parts = PartWriter { json, annotations, reader: Some(loose.reader), audio_mime: None };
    let side = if loose.is_output { Side::Output(Answered::default()) } else { Side::Input };
    let is_id_used = is_tools && !stands_as_it_is(&read, listed.is_some());
    if is_id_used && read.content.is_none() {
        parts.tool_response_of(read.tool_call_id, |parts| {
            [Piece::Images, Piece::Audio].into_iter().for_each(|piece| write_piece(parts, &read, piece, side));
        });
    } else {
        for piece in PIECES {
            match (piece, read.content) {
                (Piece::Content, Some(content)) if is_id_used => write_loose_response(&mut parts, &read, content),
                (Piece::Content, Some(content)) if is_tools => parts.content(content),
                _ => write_piece(&mut parts, &read, piece, side),
            }
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
    write_rest(json, &read, is_id_used);
    if let Some(reason) = own_reason.as_deref().or(loose.finish_reason) {
        json.member_str("finish_reason", finish_reason::normalise(Some(reason)));
    }
    json.end_object();
}

/// The role in the conventions' words. A message of nothing but a tool's responses is the tool's.
fn loose_role<'d>(read: &mut Message<'d>, default: &str, message: Value<'d>) -> String {
    let kind = message.get("type").and_then(Value::str).filter(|kind| is_role(kind));
    let given = read.role.and_then(Value::filled_str).or_else(|| kind.clone());
    if kind.is_some() || message.get("type").is_some_and(|kind| kind.is_key("message")) {
        read.rest.retain(|(key, _)| !key.is_key("type"));
    }
    let is_answer = |part: Value<'_>| {
        part.get("type").is_some_and(|kind| kind.is_key("tool_call_response")) || part.get("toolResult").is_some()
    };
    let only_responses = read
        .content
        .filter(|content| content.is_array())
        .is_some_and(|content| !content.is_empty() && content.items().all(is_answer));
    let role = match given.as_deref() {
        Some("user") if only_responses => "tool",
        Some("human" | "HumanMessageChunk") => "user",
        Some("ai" | "model" | "AIMessageChunk") => "assistant",
        Some("function") => "tool",
        Some(role) => role,
        None => default,
    };
    role.to_owned()
}

/// Whether a message's type is its role, as LangChain has it.
pub(crate) fn is_role(kind: &str) -> bool {
    matches!(kind, "human" | "ai" | "tool" | "system" | "HumanMessageChunk" | "AIMessageChunk")
}

/// Whether nothing of a tool's message becomes its response: a model's parts, or nothing at all.
fn stands_as_it_is(message: &Message<'_>, is_listed: bool) -> bool {
    let is_filled = |value: Option<Value<'_>>| value.is_some_and(|value| !value.is_empty());
    match message.content {
        Some(content) => is_listed && !content.items().any(is_response) && content.items().any(is_of_model),
        None => !is_filled(message.images) && !is_filled(message.audio) || message.has_parts_of_model(),
    }
}

/// Whether a part, in the conventions' words, is one that no tool returns.
fn is_of_model(part: Value<'_>) -> bool {
    let kind = part.get("type").and_then(Value::str);
    matches!(kind.as_deref(), Some("tool_call" | "reasoning" | "generic"))
}

fn is_reasoning(part: Value<'_>) -> bool {
    part.get("type").is_some_and(|kind| kind.is_key("reasoning"))
}

/// Content of a tool: its responses as they are, a text alone, or a list of parts.
fn write_loose_response<'d>(parts: &mut PartWriter<'_, 'd>, message: &Message<'d>, content: Value<'d>) {
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
    let Answered { audio_mime, reader, .. } =
        if let Side::Output(answered) = side { answered } else { Answered::default() };
    let mut parts = PartWriter { json, annotations, reader, audio_mime };
    match side {
        Side::Output(Answered { is_streamed: true, .. }) => {
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
    write_rest(json, message, message.is_tools() && message.content.is_some() && side.is_input());
}

/// `is_id_used`: a part has the message's `tool_call_id`.
fn write_rest(json: &mut JsonWriter, message: &Message<'_>, is_id_used: bool) {
    if let Some(id) = message.tool_call_id.filter(|_| !is_id_used) {
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
    let of_blocks = blocks.map(text_of_blocks).filter(|text| !text.is_empty());
    let are_details_left = of_blocks.is_some();
    let used = match of_blocks {
        Some(text) => Some(text.into()),
        None => texts.next().map(|(_, _, text)| text),
    };
    for (name, value, _) in texts.filter(|(_, _, text)| used.as_ref() != Some(text)) {
        json.member(name, value);
    }
    if let Some(details) = message.reasoning_details.filter(|details| are_details_left && !details.is_empty()) {
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
    if message.is_tools() && side.is_input() {
        return parts.tool_response(message.tool_call_id, content);
    }
    let is_blank = content.is_string() && content.is_empty();
    if !is_blank || (side.is_input() && !message.has_other_parts()) {
        parts.content(content);
    }
}

/// One part, or one of each thinking block; blocks without a text have it beside them.
fn write_reasoning<'d>(parts: &mut PartWriter<'_, 'd>, message: &Message<'d>) {
    if let Some(blocks) = message.thinking_blocks.filter(|blocks| !blocks.is_empty()) {
        blocks.items().for_each(|block| parts.thinking_block(block));
        if !text_of_blocks(blocks).is_empty() {
            return;
        }
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
mod tests;
