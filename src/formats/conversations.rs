//! What people download of their own conversations: `conversations.json` of ChatGPT and of claude.ai.
//!
//! ```text
//! ChatGPT     mapping: a tree of messages     an answer that was asked for again, and a question that was edited, are branches of it
//! claude.ai   chat_messages, in order         what tools got and gave is among the parts of an answer
//!
//! a question, and what follows up to the next one     a trace: a span of the agent, its calls and tools
//! answers after each other                            a call, with what the model was told since the one before
//! ```
//!
//! Neither has tokens, and claude.ai names no model, so that calls have no cost. Messages are known by their ids: of two downloads
//! with the same conversation, what the second one repeats is not sent again.
//!
//! Sources: files of that shape in public parsers (polylogue, chatgpt-export-parser, claude-conversation-exporter).

use super::span::{Service, Span, id, identity, nanos_of, str_of};
use super::{MESSAGE_BEYOND, Reader, Sink, Source};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Messages that are kept for the next call at most.
const MESSAGES_MAX: usize = 100;
/// Bytes of questions in a conversation that are repeated for further answers to them.
const REPEATED_BYTES_MAX: usize = 64 << 20;

/// Whose conversations they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    ChatGpt,
    ClaudeAi,
}

/// Reads conversations.
pub(super) struct Conversations {
    whose: Whose,
    service: Service,
}

impl Whose {
    fn name(self) -> &'static str {
        match self {
            Self::ChatGpt => "chatgpt",
            Self::ClaudeAi => "claude-ai",
        }
    }

    fn provider(self) -> &'static str {
        match self {
            Self::ChatGpt => "openai",
            Self::ClaudeAi => "anthropic",
        }
    }
}

impl Conversations {
    pub(super) fn new(source: &Source, whose: Whose) -> Self {
        let scope = match whose {
            Whose::ChatGpt => "millrace.import.chatgpt",
            Whose::ClaudeAi => "millrace.import.claude-ai",
        };
        Self { whose, service: Service::new(source, whose.name(), scope) }
    }
}

impl Reader for Conversations {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        let conversation: Value = match serde_json::from_slice(piece) {
            Ok(conversation) => conversation,
            Err(error) => return sink.reject(format!("it is not JSON: {error}")),
        };
        let named = ["conversation_id", "id", "uuid"].map(|name| str_of(&conversation, name));
        let Some(name) = named.into_iter().find(|name| !name.is_empty()) else {
            return sink.reject("the conversation has no id");
        };
        let began = ["create_time", "created_at"].iter().find_map(|name| conversation.get(name).and_then(nanos_of));
        let Some(began) = began else { return sink.reject("create_time must be a time") };
        let mut read = Read::new(name, began);
        let why = match self.whose {
            Whose::ChatGpt => read.tree(&conversation, sink),
            Whose::ClaudeAi => read.list(&conversation, sink),
        };
        match why {
            Ok(()) => read.report(self.whose, &self.service, sink),
            Err(why) => sink.reject(why),
        }
    }
}

/// A conversation as it is read.
struct Read<'c> {
    name: &'c str,
    began: i64,
    turns: Vec<Turn>,
    calls: Vec<Call>,
    tools: Vec<Tool>,
    /// Of [`REPEATED_BYTES_MAX`].
    repeated_left: usize,
}

/// A question, and what follows up to the next one.
struct Turn {
    key: String,
    begin: i64,
    end: i64,
    asked: Value,
    answered: Value,
}

struct Call {
    turn: usize,
    key: String,
    begin: i64,
    end: i64,
    model: String,
    told: Vec<Value>,
    said: Vec<Value>,
}

struct Tool {
    turn: usize,
    key: String,
    name: String,
    begin: i64,
    end: i64,
    input: Value,
    result: Value,
    has_failed: bool,
}

/// Where in a conversation the next message is.
#[derive(Debug, Clone, Default)]
struct Place {
    turn: Option<usize>,
    /// The call that an answer goes on with.
    call: Option<usize>,
    /// What the model was told since its last answer, and when.
    told: Vec<Value>,
    at: i64,
    /// The name and the input of the tool that was called last, and when.
    tool: Option<(String, Value, i64)>,
}

impl Place {
    /// What another answer repeats of it.
    fn bytes(&self) -> usize {
        let told = self.told.iter().map(|message| message.to_string().len()).sum::<usize>();
        told + self.tool.as_ref().map_or(0, |(_, input, _)| input.to_string().len())
    }

    fn tell(&mut self, message: Value, at: i64, sink: &mut Sink) {
        (self.call, self.at) = (None, at);
        if self.told.len() < MESSAGES_MAX {
            self.told.push(message);
        } else {
            sink.other(MESSAGE_BEYOND);
        }
    }
}

impl<'c> Read<'c> {
    fn new(name: &'c str, began: i64) -> Self {
        let repeated_left = REPEATED_BYTES_MAX;
        Self { name, began, turns: Vec::new(), calls: Vec::new(), tools: Vec::new(), repeated_left }
    }

    /// A question.
    fn ask(&mut self, key: &str, asked: Value, at: i64, place: &mut Place, sink: &mut Sink) {
        let message = json!({"role": "user", "content": asked});
        place.turn = Some(self.turns.len());
        self.turns.push(Turn { key: key.to_owned(), begin: at, end: at, asked, answered: Value::Null });
        place.tell(message, at, sink);
    }

    /// The turn that a message is in. A conversation may begin with an answer.
    fn turn(&mut self, key: &str, place: &mut Place) -> usize {
        *place.turn.get_or_insert_with(|| {
            let (begin, end) = (place.at, place.at);
            self.turns.push(Turn { key: key.to_owned(), begin, end, asked: Value::Null, answered: Value::Null });
            self.turns.len() - 1
        })
    }

    /// An answer, or the next part of one.
    fn answer(&mut self, (key, model): (&str, &str), said: Vec<Value>, at: i64, place: &mut Place) {
        let turn = self.turn(key, place);
        let text = said.iter().rev().find(|part| str_of(part, "type") == "text").and_then(|part| part.get("text"));
        if let Some(turn) = self.turns.get_mut(turn) {
            turn.end = turn.end.max(at);
            if let Some(text) = text {
                turn.answered = text.clone();
            }
        }
        match place.call.and_then(|call| self.calls.get_mut(call)) {
            Some(call) => {
                call.said.extend(said);
                call.end = call.end.max(at);
            }
            None => {
                place.call = Some(self.calls.len());
                let (key, model, told) = (key.to_owned(), model.to_owned(), std::mem::take(&mut place.told));
                let begin = place.at.min(at);
                self.calls.push(Call { turn, key, begin, end: at, model, told, said });
            }
        }
        place.at = place.at.max(at);
    }

    fn tool(
        &mut self,
        key: &str,
        of: (String, Value, i64),
        (result, has_failed): (Value, bool),
        at: i64,
        place: &mut Place,
    ) {
        let turn = self.turn(key, place);
        if let Some(turn) = self.turns.get_mut(turn) {
            turn.end = turn.end.max(at);
        }
        let (name, input, begin) = of;
        self.tools.push(Tool { turn, key: key.to_owned(), name, begin, end: at, input, result, has_failed });
    }

    /// ChatGPT's messages, each after the one that it answers.
    fn tree(&mut self, conversation: &Value, sink: &mut Sink) -> Result<(), &'static str> {
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

    /// Where another answer to the same is: it is a call of its own.
    fn branch(&mut self, place: &Place, bytes: usize, sink: &mut Sink) -> Place {
        let (told, tool) = match self.repeated_left.checked_sub(bytes) {
            Some(left) => {
                self.repeated_left = left;
                (place.told.clone(), place.tool.clone())
            }
            None => {
                sink.other("(answer without its question, which has too many)");
                (Vec::new(), None)
            }
        };
        Place { turn: place.turn, call: None, told, at: place.at, tool }
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

    /// Claude's messages, in their order.
    fn list(&mut self, conversation: &Value, sink: &mut Sink) -> Result<(), &'static str> {
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

    fn report(self, whose: Whose, service: &Service, sink: &mut Sink) {
        let (kind, name) = (whose.name(), self.name);
        let trace = |turn: &Turn| id::<16>(&[kind, "trace", name, &turn.key]);
        let own = |of: &str, key: &str| id::<8>(&[kind, of, name, key]);
        let known_by = |of: &str, key: &str| Some(identity(&[kind, of, name, key]));
        let span = |turn: Option<&Turn>, of: &str, key: &str, title: &str, times: (i64, i64)| {
            let turn = turn?;
            let parent = (of != "turn").then(|| own("turn", &turn.key));
            let mut span = Span::new(trace(turn), own(of, key), parent, title).between(times.0, times.1);
            span.inferred();
            span.text("gen_ai.conversation.id", name);
            Some(span)
        };
        for turn in &self.turns {
            let title = format!("{kind}.turn");
            let Some(mut made) = span(Some(turn), "turn", &turn.key, &title, (turn.begin, turn.end)) else { continue };
            made.text("gen_ai.operation.name", "invoke_agent");
            made.text("gen_ai.agent.name", kind);
            let asked = json!([{"role": "user", "content": turn.asked}]);
            made.content("gen_ai.input.messages", Some(&asked).filter(|_| !turn.asked.is_null()));
            let answered = json!([{"role": "assistant", "content": turn.answered}]);
            made.content("gen_ai.output.messages", Some(&answered).filter(|_| !turn.answered.is_null()));
            sink.records.push(service.record(made, known_by("turn", &turn.key)));
        }
        for call in &self.calls {
            let title = format!("chat {}", call.model);
            let made = span(self.turns.get(call.turn), "call", &call.key, title.trim_end(), (call.begin, call.end));
            let Some(mut made) = made.map(Span::call) else { continue };
            made.text("gen_ai.operation.name", "chat");
            made.text("gen_ai.provider.name", whose.provider());
            made.text("gen_ai.request.model", &call.model);
            made.content("gen_ai.input.messages", Some(&Value::Array(call.told.clone())));
            let said = json!([{"role": "assistant", "content": call.said}]);
            made.content("gen_ai.output.messages", Some(&said));
            sink.records.push(service.record(made, known_by("call", &call.key)));
        }
        for tool in &self.tools {
            let title = format!("execute_tool {}", tool.name);
            let made = span(self.turns.get(tool.turn), "tool", &tool.key, &title, (tool.begin, tool.end));
            let Some(mut made) = made else { continue };
            made.text("gen_ai.operation.name", "execute_tool");
            made.text("gen_ai.tool.name", &tool.name);
            made.content("gen_ai.tool.call.arguments", Some(&tool.input));
            made.content("gen_ai.tool.call.result", Some(&tool.result));
            if tool.has_failed {
                made.text("error.type", "tool_error");
                made.fail("");
            }
            sink.records.push(service.record(made, known_by("tool", &tool.key)));
        }
    }
}

/// Parts as the content of a message: a text alone is itself.
fn one(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [only] if str_of(only, "type") == "text" => only.get_mut("text").map_or(Value::Null, Value::take),
        _ => Value::Array(parts),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Format, Record};
    use crate::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
    use crate::otlp::proto::common::v1::any_value;
    use crate::otlp::proto::trace::v1::Span as Made;
    use crate::workspace::Workspace;
    use prost::Message as _;

    fn read(format: Format, conversation: &Value) -> (Vec<Made>, Sink) {
        let source = Source {
            workspace: Workspace::default(),
            import_id: "i".to_owned(),
            file_name: "conversations.json".to_owned(),
            drops_content: false,
        };
        let mut sink = Sink::default();
        format.reader(&source).piece(conversation.to_string().as_bytes(), &mut sink);
        let requests = sink.records.iter().filter_map(|record| match record {
            Record::Otlp { request, .. } => Some(ExportTraceServiceRequest::decode(&request[..]).unwrap()),
            Record::Body { .. } => None,
        });
        let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
        (scopes.flat_map(|scope| scope.spans).collect(), sink)
    }

    fn text(span: &Made, key: &str) -> String {
        let found = span.attributes.iter().find(|attribute| attribute.key == key);
        match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
            Some(any_value::Value::StringValue(text)) => text.clone(),
            _ => String::new(),
        }
    }

    fn node(id: &str, parent: Option<&str>, children: &[&str], message: Value) -> (String, Value) {
        (id.to_owned(), json!({"id": id, "parent": parent, "children": children, "message": message}))
    }

    fn message(id: &str, role: &str, second: u64, said: &str, more: &Value) -> Value {
        let mut message = json!({"id": id, "author": {"role": role, "name": null, "metadata": {}}, "create_time": 1_780_272_000 + second,
            "content": {"content_type": "text", "parts": [said]}, "recipient": "all", "metadata": {}});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    }

    #[test]
    fn a_conversation_of_chatgpt_is_turns_with_calls_and_tools_and_another_answer_is_a_call_of_its_own() {
        let slug = |slug: &str| json!({"metadata": {"model_slug": slug}});
        let nodes = [
            node("root", None, &["s"], Value::Null),
            node("s", Some("root"), &["q1"], message("s", "system", 0, "", &json!({}))),
            node("q1", Some("s"), &["t1", "b1"], message("q1", "user", 1, "Grind?", &json!({}))),
            node(
                "t1",
                Some("q1"),
                &["r1"],
                message(
                    "t1",
                    "assistant",
                    2,
                    "sieve()",
                    &json!({"recipient": "python", "metadata": {"model_slug": "gpt-5"}}),
                ),
            ),
            node(
                "r1",
                Some("t1"),
                &["a1"],
                message("r1", "tool", 4, "fine", &json!({"author": {"role": "tool", "name": "python"}})),
            ),
            node("a1", Some("r1"), &["q2"], message("a1", "assistant", 6, "Yes.", &slug("gpt-5"))),
            node("b1", Some("q1"), &[], message("b1", "assistant", 9, "No.", &slug("gpt-4o"))),
            node("q2", Some("a1"), &["a2"], message("q2", "user", 20, "More?", &json!({}))),
            node("a2", Some("q2"), &[], message("a2", "assistant", 21, "Done.", &json!({}))),
        ];
        let conversation = json!({"conversation_id": "c-1", "title": "Mill", "create_time": 1_780_272_000.5, "current_node": "a2",
            "default_model_slug": "auto", "mapping": nodes.into_iter().collect::<Map<_, _>>()});
        let (spans, sink) = read(Format::ChatGpt, &conversation);
        assert_eq!(sink.rejects, Vec::<String>::new());
        assert_eq!(sink.others.get("message without content"), Some(&1));
        let calls: Vec<_> = spans.iter().filter(|span| span.name.starts_with("chat ")).collect();
        let said = |span: &Made| {
            (span.name.clone(), text(span, "gen_ai.input.messages"), text(span, "gen_ai.output.messages"))
        };
        let told = [
            r#"[{"role":"user","content":"Grind?"}]"#,
            r#"[{"role":"tool","name":"python","content":"fine"}]"#,
            r#"[{"role":"user","content":"Grind?"}]"#,
            r#"[{"role":"user","content":"More?"}]"#,
        ];
        let all: Vec<_> = calls.iter().map(|span| said(span)).collect();
        let find = |name: &str, told: &str, answer: &str| {
            all.iter().any(|(of, input, output)| of == name && input == told && output.contains(answer))
        };
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(find("chat gpt-5", told[0], "sieve()") && find("chat gpt-5", told[1], "Yes."), "{all:?}");
        assert!(find("chat gpt-4o", told[2], "No.") && find("chat auto", told[3], "Done."), "{all:?}");
        let tool = spans.iter().find(|span| span.name == "execute_tool python").unwrap();
        assert_eq!(
            (text(tool, "gen_ai.tool.call.arguments"), text(tool, "gen_ai.tool.call.result")),
            ("sieve()".to_owned(), "fine".to_owned())
        );
        assert_eq!(tool.end_time_unix_nano - tool.start_time_unix_nano, 2_000_000_000);
        let turns: Vec<_> = spans.iter().filter(|span| span.name == "chatgpt.turn").collect();
        assert_eq!(turns.len(), 2);
        for span in &spans {
            let turn = turns.iter().find(|turn| turn.trace_id == span.trace_id).unwrap();
            assert!(span.name == "chatgpt.turn" || span.parent_span_id == turn.span_id);
            assert_eq!(text(span, "gen_ai.conversation.id"), "c-1");
        }
        let ids: HashSet<_> = spans.iter().map(|span| &span.span_id).collect();
        assert_eq!(ids.len(), spans.len());
    }

    #[test]
    fn a_conversation_of_claude_has_the_tools_that_are_among_the_parts_of_an_answer() {
        let block = |kind: &str, more: Value| {
            let mut block = json!({"type": kind, "start_timestamp": "2026-06-01T00:00:02Z", "stop_timestamp": "2026-06-01T00:00:04Z"});
            block.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            block
        };
        let conversation = json!({"uuid": "c-2", "name": "Mill", "created_at": "2026-06-01T00:00:00.5Z", "account": {"uuid": "u"}, "chat_messages": [
            {"uuid": "m1", "sender": "human", "text": "Grind?", "created_at": "2026-06-01T00:00:01Z", "content": [block("text", json!({"text": "Grind?"}))],
                "attachments": [{"file_name": "a.txt", "extracted_content": "wheat"}], "files": []},
            {"uuid": "m2", "sender": "assistant", "text": "", "created_at": "2026-06-01T00:00:02Z", "content": [
                block("thinking", json!({"thinking": "hm"})),
                block("tool_use", json!({"id": "toolu_1", "name": "sieve", "input": {"n": 1}})),
                block("tool_result", json!({"tool_use_id": "toolu_1", "name": "sieve", "content": [{"type": "text", "text": "torn"}], "is_error": true})),
                block("text", json!({"text": "No."}))]},
            {"uuid": "m3", "sender": "human", "text": "Old form", "created_at": "2026-06-01T00:01:00Z"},
            {"uuid": "m4", "sender": "assistant", "text": "Yes.", "created_at": "2026-06-01T00:01:02Z"},
            {"uuid": "m5", "sender": "assistant", "text": "", "content": []},
        ]});
        let (spans, sink) = read(Format::ClaudeAi, &conversation);
        assert_eq!((sink.rejects.len(), sink.others.get("message without content or id")), (0, Some(&1)));
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["claude-ai.turn", "claude-ai.turn", "chat", "chat", "chat", "execute_tool sieve"]);
        let asked =
            r#"[{"role":"user","content":[{"type":"text","text":"Grind?"},{"type":"text","text":"[a.txt]\nwheat"}]}]"#;
        assert_eq!(text(&spans[2], "gen_ai.input.messages"), asked);
        assert!(text(&spans[2], "gen_ai.output.messages").contains("toolu_1"));
        assert!(
            text(&spans[3], "gen_ai.input.messages").contains("torn")
                && text(&spans[3], "gen_ai.output.messages").contains("No.")
        );
        assert!(text(&spans[4], "gen_ai.output.messages").contains("Yes."));
        assert_eq!(spans[4].end_time_unix_nano - spans[4].start_time_unix_nano, 2_000_000_000);
        assert_eq!(spans[5].status.as_ref().map(|status| status.code), Some(2));
    }

    #[test]
    fn a_tree_with_a_circle_ends_and_what_is_not_reached_is_counted() {
        let nodes = [
            node("a", None, &["b", "b"], message("a", "user", 1, "Q", &json!({}))),
            node("b", Some("a"), &["a"], message("b", "assistant", 2, "A", &json!({}))),
            node("c", Some("d"), &["d"], message("c", "user", 3, "Q", &json!({}))),
            node("d", Some("c"), &["c"], message("d", "assistant", 4, "A", &json!({}))),
        ];
        let conversation =
            json!({"id": "c", "create_time": 1_780_272_000, "mapping": nodes.into_iter().collect::<Map<_, _>>()});
        let (spans, sink) = read(Format::ChatGpt, &conversation);
        assert_eq!((spans.len(), sink.others.get("message that is in no branch")), (2, Some(&2)));
    }
}
