//! Conversations with ChatGPT: a tree of messages.

use super::one;
use super::turns::{Place, Read};
use crate::formats::Sink;
use crate::formats::span::{nanos_of, str_of};
use serde_json::{Value, json};
use std::collections::HashSet;

impl Read<'_> {
    /// ChatGPT's messages, each after the one that it answers.
    pub(super) fn tree(&mut self, conversation: &Value, sink: &mut Sink) -> Result<(), &'static str> {
        let nodes = conversation.get("mapping").and_then(Value::as_object).ok_or("mapping must be an object")?;
        let is_root =
            |node: &Value| node.get("parent").and_then(Value::as_str).is_none_or(|id| !nodes.contains_key(id));
        let model = str_of(conversation, "default_model_slug");
        let first = Place { at: self.began, ..Place::default() };
        let roots = nodes.iter().rev().filter(|(_, node)| is_root(node));
        let mut ahead: Vec<(&str, Place)> = roots.map(|(name, _)| (name.as_str(), first.clone())).collect();
        let (mut seen, mut listed) = (HashSet::new(), HashSet::new());
        while let Some((name, mut place)) = ahead.pop() {
            let Some(node) = nodes.get(name).filter(|_| seen.insert(name)) else { continue };
            if let Some(message) = node.get("message").filter(|message| message.is_object()) {
                self.message(message, name, model, &mut place, sink);
            }
            let children = node.get("children").and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
            // each once, whatever the list says, and only those that are there
            let there = children.iter().filter_map(Value::as_str).filter(|child| nodes.contains_key(*child));
            let mut children: Vec<&str> = there.collect();
            children.retain(|child| listed.insert(*child));
            let Some((next, others)) = children.split_first() else { continue };
            let bytes = if others.is_empty() { 0 } else { place.bytes() };
            let others: Vec<_> = others.iter().map(|child| (*child, self.branch(&place, bytes, sink))).collect();
            ahead.extend(others.into_iter().rev());
            ahead.push((*next, place));
        }
        (0..nodes.len() - seen.len()).for_each(|_| sink.other("message that is in no branch"));
        Ok(())
    }

    fn message(&mut self, message: &Value, name: &str, model: &str, place: &mut Place, sink: &mut Sink) {
        let key = Some(str_of(message, "id")).filter(|id| !id.is_empty()).map_or(name, |id| id);
        let at = message.get("create_time").and_then(nanos_of).unwrap_or(place.at);
        let (content, about) = (message.get("content"), message.get("metadata"));
        let about = about.map_or(&Value::Null, |about| about);
        let parts = content.map_or_else(Vec::new, parts);
        if parts.is_empty() {
            return sink.other("message without content");
        }
        let author = message.get("author").map_or(&Value::Null, |author| author);
        let is_hidden = about.get("is_visually_hidden_from_conversation") == Some(&Value::Bool(true));
        match str_of(author, "role") {
            "user" if !is_hidden => self.ask(key, one(parts), at, place, sink),
            // instructions
            "user" | "system" => place.tell(json!({"role": "system", "content": one(parts)}), at, sink),
            "assistant" => {
                let named =
                    Some(str_of(about, "model_slug")).filter(|slug| !slug.is_empty()).map_or(model, |slug| slug);
                let to = str_of(message, "recipient");
                let said = if matches!(to, "" | "all") {
                    parts
                } else {
                    let input = one(parts);
                    place.tool = Some((to.to_owned(), input.clone(), at));
                    vec![json!({"type": "tool_use", "id": key, "name": to, "input": input})]
                };
                self.answer((key, named), said, at, place);
            }
            "tool" => {
                let own = str_of(author, "name");
                let called = place.tool.take().unwrap_or_else(|| (own.to_owned(), Value::Null, place.at));
                let name = if own.is_empty() { called.0.clone() } else { own.to_owned() };
                let result = one(parts);
                place.tell(json!({"role": "tool", "name": name, "content": result}), at, sink);
                self.tool(key, (name, called.1, called.2), (result, false), at, place);
            }
            other => sink.other(&format!("message of {other:?}")),
        }
    }
}

/// ChatGPT's content as parts: texts, thoughts, and references to files as they are.
fn parts(content: &Value) -> Vec<Value> {
    let text = |text: &str| json!({"type": "text", "text": text});
    let of_thought = |thought: &Value| {
        let said = str_of(thought, "content");
        (!said.is_empty()).then(|| json!({"type": "thinking", "thinking": said}))
    };
    let lists = ["parts", "thoughts"].map(|name| content.get(name).and_then(Value::as_array));
    match lists {
        [Some(parts), _] => parts
            .iter()
            .filter(|part| !part.is_null() && part.as_str() != Some(""))
            .map(|part| part.as_str().map_or_else(|| part.clone(), text))
            .collect(),
        [None, Some(thoughts)] => thoughts.iter().filter_map(of_thought).collect(),
        [None, None] => {
            let texts = ["text", "result", "content", "user_instructions"].map(|name| str_of(content, name));
            texts.into_iter().filter(|text| !text.is_empty()).map(text).collect()
        }
    }
}
