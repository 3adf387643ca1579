//! A conversation as it is read, whoever it was with, and the spans that are made of it.

use super::Whose;
use crate::formats::span::{Service, Span, id, identity, str_of};
use crate::formats::{MESSAGE_BEYOND, Sink};
use serde_json::{Value, json};

/// Messages that are kept for the next call at most.
const MESSAGES_MAX: usize = 100;
/// Bytes of questions in a conversation that are repeated for further answers to them.
const REPEATED_BYTES_MAX: usize = 64 << 20;

/// A conversation as it is read.
pub(super) struct Read<'c> {
    name: &'c str,
    pub(super) began: i64,
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
pub(super) struct Place {
    pub(super) turn: Option<usize>,
    /// The call that an answer goes on with.
    pub(super) call: Option<usize>,
    /// What the model was told since its last answer, and when.
    pub(super) told: Vec<Value>,
    pub(super) at: i64,
    /// The name and the input of the tool that was called last, and when.
    pub(super) tool: Option<(String, Value, i64)>,
}

impl Place {
    /// What another answer repeats of it.
    pub(super) fn bytes(&self) -> usize {
        let told = self.told.iter().map(|message| message.to_string().len()).sum::<usize>();
        told + self.tool.as_ref().map_or(0, |(_, input, _)| input.to_string().len())
    }

    pub(super) fn tell(&mut self, message: Value, at: i64, sink: &mut Sink) {
        (self.call, self.at) = (None, at);
        if self.told.len() < MESSAGES_MAX {
            self.told.push(message);
        } else {
            sink.other(MESSAGE_BEYOND);
        }
    }
}

impl<'c> Read<'c> {
    pub(super) fn new(name: &'c str, began: i64) -> Self {
        let repeated_left = REPEATED_BYTES_MAX;
        Self { name, began, turns: Vec::new(), calls: Vec::new(), tools: Vec::new(), repeated_left }
    }

    /// A question.
    pub(super) fn ask(&mut self, key: &str, asked: Value, at: i64, place: &mut Place, sink: &mut Sink) {
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
    pub(super) fn answer(&mut self, (key, model): (&str, &str), said: Vec<Value>, at: i64, place: &mut Place) {
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

    pub(super) fn tool(
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

    /// Where another answer to the same is: it is a call of its own.
    pub(super) fn branch(&mut self, place: &Place, bytes: usize, sink: &mut Sink) -> Place {
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

    pub(super) fn report(self, whose: Whose, service: &Service, sink: &mut Sink) {
        let (kind, name) = (whose.name(), self.name);
        let trace = |turn: &Turn| id::<16>(&[kind, "trace", name, &turn.key]);
        let own = |of: &str, key: &str| id::<8>(&[kind, of, name, key]);
        let known_by = |of: &str, key: &str| identity(&[kind, of, name, key]);
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
            sink.records.push(service.part(made, known_by("turn", &turn.key)));
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
            sink.records.push(service.part(made, known_by("call", &call.key)));
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
            sink.records.push(service.record(made, Some(known_by("tool", &tool.key))));
        }
    }
}
