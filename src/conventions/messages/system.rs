//! The system prompt: the text of the instructions, and of the system's messages that come first.

use crate::conventions::read_json;
use crate::conventions::slots::unquoted;
use crate::json::document::Value;
use std::borrow::Cow;

/// Adds a text behind what there is.
pub(crate) fn join(system: &mut String, more: &str) {
    if !system.is_empty() && !more.is_empty() {
        system.push('\n');
    }
    system.push_str(more);
}

/// The text of `gen_ai.system_instructions`: parts as JSON, or a text.
pub(crate) fn of_instructions(text: &str) -> String {
    match read_json(text) {
        Ok(document) if !document.root().is_string() => match text_of(document.root()) {
            found if found.is_empty() => text.to_owned(),
            found => found,
        },
        _ => unquoted(text).map(Cow::into_owned).unwrap_or_default(),
    }
}

/// The text of the system's messages at the head of messages that are canonical.
pub(crate) fn of_messages(messages: &str) -> String {
    let is_led = [r#"[{"role":"system""#, r#"[{"role":"developer""#].iter().any(|head| messages.starts_with(head));
    let document = Some(messages).filter(|_| is_led).and_then(|text| read_json(text).ok());
    document.map(|document| of_head(document.root())).unwrap_or_default()
}

/// The same, of messages that have been read.
pub(crate) fn of_head(messages: Value<'_>) -> String {
    let is_systems =
        |message: &Value<'_>| message.get("role").is_some_and(|role| role.is_key("system") || role.is_key("developer"));
    let mut system = String::new();
    for message in messages.items().take_while(is_systems) {
        join(&mut system, &text_of(message));
    }
    system
}

/// The texts of a message, of its parts, of a list of either.
pub(crate) fn text_of(value: Value<'_>) -> String {
    if let Some(text) = value.str() {
        return text.into_owned();
    }
    let mut system = String::new();
    if value.is_array() {
        for item in value.items() {
            join(&mut system, &text_of(item));
        }
        return system;
    }
    let inner = ["content", "text", "parts"].into_iter().find_map(|name| value.get(name));
    inner.map(text_of).unwrap_or_default()
}
