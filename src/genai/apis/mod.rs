//! APIs of models: requests and responses of each are put into the form of chat-completions, in which everything else reads them.
//!
//! ```text
//! request   Responses  Messages  GenerateContent  Converse  Completions  Embeddings  Rerank  --request-->  {"model","messages",..}
//! response  ...                                                              --response--> {"id","choices":[{"message",..}],"usage",..}
//! stream    events of each                                             --stream::events-->  the response that was streamed
//! ```
//!
//! An API is told by the members that only it has. Parts of messages stay as the API has them, in their order, and are read by
//! [`reader`](crate::genai::messages::reader). Members that no rule names are copied.
//!
//! Source: the reference of each API: OpenAI (Responses, Completions, Embeddings), Anthropic (Messages), Google
//! (`generateContent`), AWS (Bedrock `Converse`), Cohere and Jina (rerank).

mod content;
mod request;
mod response;
#[cfg(test)]
mod tests;

use super::operation::{CHAT, EMBEDDINGS, GENERATE_CONTENT, RERANK, TEXT_COMPLETION};
use crate::json::document::Value;

pub(crate) use content::put_messages;
pub(crate) use request::request;
pub(crate) use response::response;

/// An API that models are called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// `OpenAI`'s `/v1/chat/completions`.
    ChatCompletions,
    /// `OpenAI`'s `/v1/responses`.
    Responses,
    /// Anthropic's `/v1/messages`.
    Messages,
    /// `OpenAI`'s `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
    /// `/v1/rerank`.
    Rerank,
    /// Google's `generateContent` and `streamGenerateContent`.
    GenerateContent,
    /// AWS Bedrock's `Converse` and `ConverseStream`.
    Converse,
}

/// Each API with its name in the member `api` of a captured call.
pub(crate) const NAMES: [(&str, Api); 8] = [
    ("chat_completions", Api::ChatCompletions),
    ("responses", Api::Responses),
    ("messages", Api::Messages),
    ("completions", Api::Completions),
    ("embeddings", Api::Embeddings),
    ("rerank", Api::Rerank),
    ("generate_content", Api::GenerateContent),
    ("converse", Api::Converse),
];

impl Api {
    /// The API of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find_map(|(known, api)| (*known == name).then_some(*api))
    }

    /// `gen_ai.operation.name`
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::ChatCompletions | Self::Responses | Self::Messages | Self::Converse => CHAT,
            Self::Completions => TEXT_COMPLETION,
            Self::Embeddings => EMBEDDINGS,
            Self::Rerank => RERANK,
            Self::GenerateContent => GENERATE_CONTENT,
        }
    }

    /// `openai.api.type`, of the APIs that it has a word for.
    pub(crate) fn openai_type(self) -> Option<&'static str> {
        match self {
            Self::ChatCompletions => Some("chat_completions"),
            Self::Responses => Some("responses"),
            _ => None,
        }
    }

    /// Whose API it is, where hardly anybody else has it.
    pub(crate) fn provider(self) -> Option<&'static str> {
        match self {
            Self::Messages => Some("anthropic"),
            Self::GenerateContent => Some("gcp.gemini"),
            Self::Converse => Some("aws.bedrock"),
            _ => None,
        }
    }

    /// The member of a request that has what the model is given.
    pub(crate) fn input(self) -> &'static str {
        match self {
            Self::ChatCompletions | Self::Messages | Self::Converse => "messages",
            Self::Responses | Self::Embeddings => "input",
            Self::Completions => "prompt",
            Self::Rerank => "query",
            Self::GenerateContent => "contents",
        }
    }

    /// The API of a response that is one object, if it is one of any.
    pub(crate) fn of_response(response: Value<'_>) -> Option<Self> {
        let list = |name: &str| response.get(name).filter(|list| list.is_array());
        let any = |name: &str, members: &[&str]| {
            list(name).is_some_and(|list| list.items().any(|item| members.iter().any(|name| item.has(name))))
        };
        let is = |name: &str, word: &str| response.get(name).is_some_and(|value| value.is_key(word));
        if let Some(choices) = list("choices") {
            let is_text = choices.items().any(|choice| content::bare_text(choice).is_some());
            return Some(if is_text { Self::Completions } else { Self::ChatCompletions });
        }
        let found = if list("output").is_some() && (is("object", "response") || any("output", &["type"])) {
            Self::Responses
        } else if list("content").is_some() && (is("type", "message") || response.has("stop_reason")) {
            Self::Messages
        } else if list("candidates").is_some() || response.has("usageMetadata") || response.has("promptFeedback") {
            Self::GenerateContent
        } else if response.get("output").and_then(|output| output.get("message")).is_some_and(Value::is_object) {
            Self::Converse
        } else if any("data", &["embedding"]) || any("embeddings", &["values"]) {
            Self::Embeddings
        } else if any("results", &["relevance_score", "relevanceScore"]) {
            Self::Rerank
        } else {
            return None;
        };
        Some(found)
    }

    /// The API of a request. What several APIs have alike is that of the response, or else chat-completions.
    pub(crate) fn of_request(request: Value<'_>, of_response: Option<Self>) -> Option<Self> {
        let has = |names: &[&str]| names.iter().any(|name| request.get(name).is_some());
        if has(&["contents"]) {
            return Some(Self::GenerateContent);
        }
        if let Some(messages) = request.get("messages").filter(|messages| messages.is_array()) {
            let sure = of_response.filter(|api| matches!(api, Self::Messages | Self::Converse));
            return Some(sure.unwrap_or_else(|| of_messages(request, messages)));
        }
        if has(&["query"]) && has(&["documents"]) {
            return Some(Self::Rerank);
        }
        if has(&["prompt"]) && !has(&["messages"]) && request.get("prompt").is_some_and(|prompt| !prompt.is_object()) {
            return Some(Self::Completions);
        }
        if has(&["input"]) && !has(&["messages"]) {
            let is_embeddings = match of_response {
                Some(api) => api == Self::Embeddings,
                None => {
                    let model = request.get("model").and_then(Value::str).unwrap_or_default();
                    has(&["encoding_format", "dimensions", "input_type"]) || model.contains("embed")
                }
            };
            return Some(if is_embeddings { Self::Embeddings } else { Self::Responses });
        }
        None
    }
}

/// Of requests with a list of messages: Bedrock's and Anthropic's have members beside it that chat-completions has not, and
/// blocks.
fn of_messages(request: Value<'_>, messages: Value<'_>) -> Api {
    let has = |names: &[&str]| names.iter().any(|name| request.get(name).is_some());
    let blocks = || messages.items().filter_map(|message| message.get("content")).flat_map(Value::items);
    let any_block = |names: &[&str]| blocks().any(|block| names.iter().any(|name| block.get(name).is_some()));
    let is_of = |kinds: &[&str]| {
        blocks().any(|block| block.get("type").is_some_and(|kind| kinds.iter().any(|name| kind.is_key(name))))
    };
    if has(&["modelId", "inferenceConfig", "toolConfig"]) || any_block(&["toolUse", "toolResult", "reasoningContent"]) {
        return Api::Converse;
    }
    let has_schema = || request.get("tools").into_iter().flat_map(Value::items).any(|tool| tool.has("input_schema"));
    if has(&["system", "anthropic_version", "stop_sequences"]) || is_of(&["tool_use", "tool_result"]) || has_schema() {
        return Api::Messages;
    }
    Api::ChatCompletions
}
