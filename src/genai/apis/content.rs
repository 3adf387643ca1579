//! Contents of requests as messages: items of the Responses API, blocks, texts.

use crate::json::build::{ListBuilder, ObjectBuilder};
use crate::json::document::Value;

/// The text of a completion's choice, which has no message.
pub(super) fn bare_text(choice: Value<'_>) -> Option<Value<'_>> {
    choice.get("text").filter(|text| text.is_string() && !choice.has("message") && !choice.has("delta"))
}

/// Adds the member `messages` that an input makes: a text, or a list of messages, of items of the Responses API, of texts. Gives
/// whether it is one of these; of what is not, nothing is added.
pub(crate) fn put_messages(
    request: &mut ObjectBuilder<'_>,
    system: Option<Value<'_>>,
    input: Option<Value<'_>>,
) -> bool {
    let mut are_messages = true;
    request.list("messages", |list| {
        if let Some(system) = system {
            message(list, "system", "content", system);
        }
        match input {
            Some(text) if text.is_string() => message(list, "user", "content", text),
            Some(items) if items.is_array() && are_items(items) => put_items(list, items),
            // Gemini's may be a single one
            Some(one) if one.is_object() && is_message(one) => list.value(one),
            None => {}
            Some(_) => are_messages = false,
        }
    });
    are_messages
}

/// Adds a message of a role and of a content under the name that it has there.
pub(super) fn message(list: &mut ListBuilder<'_>, role: &str, name: &str, content: Value<'_>) {
    list.object(|message| {
        message.word("role", role);
        message.member(name, content);
    });
}

/// Whether each of a list is a message, an item, or a text.
fn are_items(items: Value<'_>) -> bool {
    items.items().all(|item| item.is_string() || is_message(item) || is_item(item))
}

fn is_message(item: Value<'_>) -> bool {
    item.get("role").is_some_and(Value::is_string) || (item.is_object() && item.get("parts").is_some())
}

/// An item of the Responses API that is not a message.
fn is_item(item: Value<'_>) -> bool {
    item.get("type").is_some_and(Value::is_string)
}

/// Adds messages as they are; of items that are not messages, neighbours of one role are one message.
fn put_items(list: &mut ListBuilder<'_>, items: Value<'_>) {
    let mut run: Vec<Value<'_>> = Vec::new();
    let role_of_run = |run: &[Value<'_>]| run.first().map_or("", |first| role(*first));
    for item in items.items() {
        let is_whole = is_message(item);
        if is_whole || role_of_run(&run) != role(item) {
            put_run(list, role_of_run(&run), &run);
            run.clear();
        }
        if is_whole {
            list.value(item);
        } else {
            run.push(item);
        }
    }
    put_run(list, role_of_run(&run), &run);
}

fn put_run(list: &mut ListBuilder<'_>, role: &str, run: &[Value<'_>]) {
    if run.is_empty() {
        return;
    }
    list.object(|message| {
        message.word("role", role);
        message.list("content", |content| run.iter().for_each(|item| content.value(*item)));
    });
}

/// Whose item it is: what a tool answered is the tool's, a text the user's, and all else the model's.
fn role(item: Value<'_>) -> &'static str {
    if item.is_string() {
        return "user";
    }
    let kind = item.get("type").and_then(Value::str).unwrap_or_default();
    match &*kind {
        "text" | "input_text" | "input_image" | "input_file" | "image_url" => "user",
        kind if kind.ends_with("_output") => "tool",
        _ => "assistant",
    }
}
