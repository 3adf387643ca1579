//! The system prompt: the text of the instructions, and of the system's messages that come first.

use crate::json::document::Value;
use crate::json::limits::{self, Limits};

/// Adds a text after what there is.
pub(crate) fn join(system: &mut String, more: &str) {
    if !system.is_empty() && !more.is_empty() {
        system.push('\n');
    }
    system.push_str(more);
}

/// The text of the system's messages at the head of messages.
pub(crate) fn of_messages(messages: Value<'_>, limits: Limits) -> String {
    let is_systems =
        |message: &Value<'_>| message.get("role").is_some_and(|role| role.is_key("system") || role.is_key("developer"));
    let mut system = String::new();
    for message in messages.items().take_while(is_systems) {
        join(&mut system, &text_of(message, limits));
    }
    system
}

/// The texts of a message, of its parts, of a list of either.
pub(crate) fn text_of(value: Value<'_>, limits: Limits) -> String {
    if let Some(text) = value.str() {
        return match limits::cut(&text, limits.max_value_bytes) {
            Some((kept, missing)) => format!("{kept}{}", limits::marker(missing)),
            None => text.into_owned(),
        };
    }
    let mut system = String::new();
    if value.is_array() {
        for item in value.items() {
            join(&mut system, &text_of(item, limits));
        }
    } else if let Some(inner) = ["content", "text", "parts"].into_iter().find_map(|name| value.get(name)) {
        system = text_of(inner, limits);
    }
    system
}
