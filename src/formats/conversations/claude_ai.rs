//! Conversations on claude.ai: a list of messages, and what tools got and gave among the parts of an answer.

use super::one;
use super::turns::{Place, Read};
use crate::formats::Sink;
use crate::formats::span::{nanos_of, str_of};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

impl Read<'_> {
    /// Claude's messages, in their order.
    pub(super) fn list(&mut self, conversation: &Value, sink: &mut Sink) -> Result<(), &'static str> {
        let messages = conversation.get("chat_messages").and_then(Value::as_array);
        let mut place = Place { at: self.began, ..Place::default() };
        for message in messages.ok_or("chat_messages must be a list")? {
            let key = str_of(message, "uuid");
            let at = message.get("created_at").and_then(nanos_of).unwrap_or(place.at);
            let blocks = blocks(message);
            if key.is_empty() || blocks.is_empty() {
                sink.other("message without content or id");
                continue;
            }
            match str_of(message, "sender") {
                "human" => self.ask(key, one(blocks), at, &mut place, sink),
                "assistant" => self.claude(key, &blocks, at, &mut place, sink),
                other => sink.other(&format!("message of {other:?}")),
            }
        }
        Ok(())
    }

    /// An answer of Claude: what a tool gave parts it into calls.
    fn claude(&mut self, key: &str, blocks: &[Value], at: i64, place: &mut Place, sink: &mut Sink) {
        place.call = None;
        let mut called: HashMap<&str, (String, Value, i64)> = HashMap::new();
        let mut last = "";
        for (number, block) in blocks.iter().enumerate() {
            let key = if number == 0 { key.to_owned() } else { format!("{key}-{number}") };
            let time = |name: &str| block.get(name).and_then(nanos_of).unwrap_or(at);
            let (begin, end) = (time("start_timestamp"), time("stop_timestamp"));
            let said = |names: &[&str]| {
                let members = names.iter().filter_map(|name| Some(((*name).to_owned(), block.get(*name)?.clone())));
                Value::Object(members.collect::<Map<_, _>>())
            };
            match str_of(block, "type") {
                "text" => self.answer((&key, ""), vec![said(&["type", "text"])], end, place),
                "thinking" => self.answer((&key, ""), vec![said(&["type", "thinking"])], end, place),
                "tool_use" => {
                    let input = block.get("input").cloned().map_or(Value::Null, |input| input);
                    last = str_of(block, "id");
                    called.insert(last, (str_of(block, "name").to_owned(), input, begin));
                    self.answer((&key, ""), vec![said(&["type", "id", "name", "input"])], end, place);
                }
                "tool_result" => {
                    let of = Some(str_of(block, "tool_use_id")).filter(|id| !id.is_empty()).map_or(last, |id| id);
                    let unknown = || (str_of(block, "name").to_owned(), Value::Null, begin);
                    let tool = called.remove(of).unwrap_or_else(unknown);
                    let result = block.get("content").cloned().map_or(Value::Null, |content| content);
                    let has_failed = block.get("is_error") == Some(&Value::Bool(true));
                    let told = json!({"type": "tool_result", "tool_use_id": of, "content": result});
                    place.tell(json!({"role": "user", "content": [told]}), end, sink);
                    self.tool(&key, tool, (result, has_failed), end, place);
                }
                other => sink.other(&format!("part {other:?}")),
            }
        }
    }
}

/// Claude's parts of a message, with what was attached to it.
fn blocks(message: &Value) -> Vec<Value> {
    let listed = |name: &str| message.get(name).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    let text = |text: &str| json!({"type": "text", "text": text});
    let is_empty = |block: &&Value| str_of(block, "type") == "text" && str_of(block, "text").is_empty();
    let mut blocks: Vec<Value> = listed("content").iter().filter(|block| !is_empty(block)).cloned().collect();
    if str_of(message, "sender") == "human" {
        let of_text =
            |block: &Value| if str_of(block, "type") == "text" { text(str_of(block, "text")) } else { block.clone() };
        blocks = blocks.iter().map(of_text).collect();
    }
    if blocks.is_empty() && !str_of(message, "text").is_empty() {
        blocks.push(text(str_of(message, "text")));
    }
    for attached in listed("attachments").iter().chain(listed("files")) {
        let (name, inside) = (str_of(attached, "file_name"), str_of(attached, "extracted_content"));
        if !name.is_empty() || !inside.is_empty() {
            blocks.push(text(format!("[{name}]\n{inside}").trim_end()));
        }
    }
    blocks
}
