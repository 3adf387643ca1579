//! Tools offered to the model, in every form, as the conventions' definitions.

use super::{canonical, flat};
use crate::conventions::keys::{Family, Slot};
use crate::conventions::read_json;
use crate::conventions::slots::Slots;
use crate::genai::call::Text;
use crate::genai::messages::tools::write_tool_loose;
use crate::json::document::Value;
use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;

/// The definitions: the attribute's own text when it already is what it should be.
pub(crate) fn of<'a>(slots: &Slots<'a>) -> Option<Text<'a>> {
    if let Some(text) = slots.get(Slot::ToolDefinitions) {
        let document = read_json(text).ok();
        if document.as_ref().is_some_and(|document| document.is_whole() && canonical::is_tools(document.root())) {
            return Some(text.into());
        }
        if let Some(written) = document.and_then(|document| write(document.root())) {
            return Some(written);
        }
    }
    let flat = |family: Family| write(read_json(flat::json(slots.members(family))?).ok()?.root());
    let json = |slot: Slot| write(slots.json(slot)?.root());
    flat(Family::Tools)
        .or_else(|| flat(Family::Functions))
        .or_else(|| json(Slot::AiPromptTools))
        .or_else(|| json(Slot::AvailableTools))
        .or_else(|| json(Slot::MlflowTools))
}

/// The definitions in the body of a request, for senders that have them nowhere else.
pub(crate) fn of_request(slots: &Slots<'_>) -> Option<Text<'static>> {
    let sources =
        [Slot::LangfuseInput, Slot::InputValue, Slot::GenkitInput, Slot::HaystackLlmInput, Slot::HaystackInput];
    let is_body = |text: &str| text.starts_with('{') && text.contains("\"tools\"");
    let slot = sources.into_iter().find(|slot| slots.get(*slot).is_some_and(is_body))?;
    let document = slots.json(slot)?;
    write(document.root().get("tools").filter(|tools| tools.is_array())?)
}

fn write(tools: Value<'_>) -> Option<Text<'static>> {
    if let Some(inner) = tools.str() {
        let document = read_json(&*inner).ok().filter(|document| document.root().is_array())?;
        return write(document.root());
    }
    let mut json = JsonWriter::new(Limits::default());
    json.begin_array();
    for tool in tools.items() {
        if let Some(text) = tool.str() {
            if let Ok(document) = read_json(&*text) {
                write_one(&mut json, document.root());
            }
        } else {
            write_one(&mut json, tool);
        }
    }
    json.end_array();
    let text = json.finish().0;
    (text != "[]").then(|| text.into())
}

fn write_one(json: &mut JsonWriter, tool: Value<'_>) {
    // OpenInference has the whole definition in one member
    // and Haystack beside the name of its class
    let inner = ["json_schema", "data"].into_iter().find_map(|name| tool.get(name).filter(|inner| inner.is_object()));
    let tool = inner.unwrap_or(tool);
    if tool.is_object() {
        write_tool_loose(json, tool);
    }
}
