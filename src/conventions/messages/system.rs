//! The system prompt, where attributes have it as text.

use crate::conventions::read_json;
use crate::conventions::slots::unquoted;
use crate::genai::messages::system::{self, text_of};
use crate::json::limits::Limits;
use std::borrow::Cow;

/// The text of `gen_ai.system_instructions`: parts as JSON, or a text.
pub(crate) fn of_instructions(text: &str) -> String {
    match read_json(text) {
        Ok(document) if !document.root().is_string() => match text_of(document.root(), Limits::NONE) {
            found if found.is_empty() => text.to_owned(),
            found => found,
        },
        _ => unquoted(text).map_or_else(String::new, Cow::into_owned),
    }
}

/// The text of the system's messages at the head of messages that are canonical.
pub(crate) fn of_messages(messages: &str) -> String {
    let is_led = [r#"[{"role":"system""#, r#"[{"role":"developer""#].iter().any(|head| messages.starts_with(head));
    if is_led && let Ok(document) = read_json(messages) {
        return system::of_messages(document.root(), Limits::NONE);
    }
    String::new()
}
