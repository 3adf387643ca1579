//! Streams of other APIs than chat-completions, put together into the response that was streamed.
//!
//! ```text
//! Responses        response.output_text.delta, .. , response.completed      the last event has all of it; else what came until then
//! Messages         message_start, content_block_start, content_block_delta, .. , message_delta, message_stop
//! Converse         {"messageStart"}, {"contentBlockStart"}, {"contentBlockDelta"}, .. , {"messageStop"}, {"metadata"}
//! GenerateContent  responses whose candidates have the next parts
//! ```
//!
//! Texts grow at their end and everything else is replaced, so this is linear in the stream.

mod blocks;
mod candidates;
mod items;

use self::blocks::Blocks;
use self::candidates::Candidates;
use self::items::Items;
use crate::genai::apis::{self, Api};
use crate::json::document::{Document, Value};
use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;

/// A stream so far.
#[derive(Debug)]
pub(crate) enum Streamed {
    Responses(Items),
    Messages(Blocks),
    Converse(Blocks),
    GenerateContent(Candidates),
}

/// The events of Anthropic's streams.
const OF_MESSAGES: [&str; 7] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
];
/// The events of Bedrock's streams.
const OF_CONVERSE: [&str; 5] =
    ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop"];

impl Streamed {
    /// The stream that an event is the first of; `None` if it is one of chat-completions, or of none.
    pub(crate) fn of(event: Value<'_>) -> Option<Self> {
        if event.has("choices") {
            return None;
        }
        let kind = event.get("type").and_then(Value::str).unwrap_or_default();
        Some(if kind.starts_with("response.") {
            Self::Responses(Items::default())
        } else if OF_MESSAGES.contains(&&*kind) {
            Self::Messages(Blocks::default())
        } else if OF_CONVERSE.iter().any(|name| event.get(name).is_some_and(Value::is_object)) {
            Self::Converse(Blocks::default())
        } else if event.get("candidates").is_some_and(Value::is_array) || event.has("usageMetadata") {
            Self::GenerateContent(Candidates::default())
        } else {
            return None;
        })
    }

    /// Adds an event.
    pub(crate) fn event(&mut self, event: Value<'_>) {
        match self {
            Self::Responses(items) => items.event(event),
            Self::Messages(blocks) => blocks.anthropic(event),
            Self::Converse(blocks) => blocks.bedrock(event),
            Self::GenerateContent(candidates) => candidates.chunk(event),
        }
    }

    /// The API, its response in the form of chat-completions, and whether the stream had an end.
    pub(crate) fn finish(self) -> Option<(Api, Document<'static>, bool)> {
        let mut json = JsonWriter::new(Limits::NONE);
        let (api, is_complete) = match &self {
            Self::Responses(items) => (Api::Responses, items.write(&mut json)),
            Self::Messages(blocks) => (Api::Messages, blocks.write_anthropic(&mut json)),
            Self::Converse(blocks) => (Api::Converse, blocks.write_bedrock(&mut json)),
            Self::GenerateContent(candidates) => (Api::GenerateContent, candidates.write(&mut json)),
        };
        let streamed = Document::parse(json.finish().0).ok()?;
        Some((api, apis::response(api, streamed.root()), is_complete))
    }
}
