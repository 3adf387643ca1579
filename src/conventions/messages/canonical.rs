//! Whether messages already are what the conventions want, so that they can stay as they are, byte for byte.
//!
//! Source: genai, message schemas; tables 3.4 and 3.7 for what is stricter here.

use super::Side;
use crate::conventions::read_json;
use crate::genai::finish_reason;
use crate::json::document::Value;

/// Whether all of these are messages in their final form, for that side.
pub(crate) fn is_messages(messages: Value<'_>, side: Side, reason_is_known: bool) -> bool {
    messages.is_array()
        && !messages.is_empty()
        && messages.items().all(|message| is_message(message, side, reason_is_known))
}

fn is_message(message: Value<'_>, side: Side, reason_is_known: bool) -> bool {
    let (mut role, mut parts, mut reason) = (None, None, None);
    for (key, value) in message.members() {
        match &*key.text() {
            _ if value.is_null() => return false,
            "role" => role = value.str(),
            "parts" => parts = Some(value),
            "finish_reason" => reason = Some(value),
            "content" | "contents" | "tool_calls" | "tool_call_id" | "function_call" | "thinking_blocks"
            | "reasoning" | "reasoning_content" | "refusal" => return false,
            _ => {}
        }
    }
    let (Some(role), Some(parts)) = (role, parts.filter(|parts| parts.is_array())) else {
        return false;
    };
    let reason_is_fine = match reason {
        Some(reason) => reason.str().is_some_and(|word| finish_reason::normalise(Some(&word)) == word),
        None => side == Side::Input || !reason_is_known,
    };
    let is_response = |part: Value<'_>| part.get("type").is_some_and(|kind| kind.is_key("tool_call_response"));
    let role_is_fine = match &*role {
        "" | "human" | "ai" | "model" | "function" => false,
        "user" => parts.is_empty() || !parts.items().all(is_response),
        "tool" => parts.items().all(is_response),
        _ => true,
    };
    reason_is_fine && role_is_fine && parts.items().all(is_part)
}

fn is_part(part: Value<'_>) -> bool {
    let text = |name: &str| part.get(name).is_some_and(Value::is_string);
    if part.members().any(|(_, value)| value.is_null()) {
        return false;
    }
    match part.get("type").and_then(Value::str).as_deref() {
        Some("text") => text("content") && !part.has("text"),
        Some("reasoning" | "blob") if !text("content") => false,
        Some("reasoning") => true,
        Some("blob") => text("modality"),
        Some("tool_call") => text("name") && part.get("arguments").is_none_or(|arguments| !is_json_in_text(arguments)),
        Some("tool_call_response") => part.get("response").is_some(),
        Some("file") => text("modality") && text("file_id"),
        Some("uri") => {
            text("modality") && part.get("uri").and_then(Value::str).is_some_and(|uri| !uri.starts_with("data:"))
        }
        Some("server_tool_call") => text("name") && part.get("server_tool_call").is_some_and(Value::is_object),
        Some("server_tool_call_response") => part.get("server_tool_call_response").is_some_and(Value::is_object),
        Some("compaction" | "generic") => true,
        _ => false,
    }
}

/// Whether it is a text that holds the JSON it should be.
fn is_json_in_text(arguments: Value<'_>) -> bool {
    arguments
        .str()
        .is_some_and(|text| text.is_empty() || read_json(&*text).is_ok_and(|document| !document.root().is_null()))
}

/// Whether all of these are tool definitions in their final form.
pub(crate) fn is_tools(tools: Value<'_>) -> bool {
    let is_tool = |tool: Value<'_>| {
        let text = |name: &str| tool.get(name).is_some_and(|text| text.is_string() && !text.is_empty());
        let is_plain = !["function", "custom", "inputSchema", "input_schema", "parameters_json_schema"]
            .iter()
            .any(|name| tool.has(name));
        let schema_is_json = tool.get("parameters").is_none_or(|parameters| !parameters.is_string());
        text("type") && text("name") && is_plain && schema_is_json && tool.members().all(|(_, value)| !value.is_null())
    };
    tools.is_array() && !tools.is_empty() && tools.items().all(is_tool)
}
