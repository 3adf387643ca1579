//! Session files of Claude Code.
//!
//! ```text
//! user       a prompt                begins a turn: a trace with an agent's span
//! assistant  a part of an answer     lines of one message id are one call; each repeats the usage, and the last has most
//! user       tool_result             ends a tool's span
//! anything else                      counted by its type
//! ```
//!
//! The file says when a line was written, so a call lasts from the line before its answer to the answer's last line. Lines of
//! a sub-agent are a lane of their own, in the same file or in one beside it. The trace of a turn is the one that its
//! telemetry would be in (`conventions/events.rs`), so that a session that was also sent live counts once.
//!
//! Sources: files of Claude Code 1.0 to 2.1 as the documentation of skiagram-core, txcript and ccusage describes them; the format is
//! internal to Claude Code.

use super::span::{Service, Span, count_of, id, identity, nanos_of, str_of};
use super::{MESSAGE_BEYOND, Reader, Sink, Source, TOOL_BEYOND};
use crate::conventions::events::trace_of_session;
use serde_json::{Value, json};
use std::collections::HashMap;

const SERVICE: &str = "claude-code";
/// The model of what Claude Code says itself.
const SYNTHETIC: &str = "<synthetic>";
/// Tools whose results are awaited at most, and lanes.
const AWAITED_MAX: usize = 4_096;
/// Messages that are kept for the next call at most.
const MESSAGES_MAX: usize = 1_000;

/// Reads a session.
pub(super) struct Session {
    service: Service,
    workspace: crate::workspace::Workspace,
    lanes: HashMap<String, Lane>,
    tools: HashMap<String, Tool>,
    session: String,
}

/// The main conversation, or that of a sub-agent.
#[derive(Default)]
struct Lane {
    turn: Option<Turn>,
    answer: Option<Answer>,
    /// What the model was told since its last answer.
    told: Vec<Value>,
    /// When the last line was written.
    at: i64,
}

/// From a prompt to the next one.
struct Turn {
    prompt: String,
    trace: [u8; 16],
    span: [u8; 8],
    parent: Option<[u8; 8]>,
    begin: i64,
    end: i64,
    asked: Value,
    answered: Value,
    about: Vec<(&'static str, String)>,
    has_calls: bool,
    is_new: bool,
}

/// What the model answered so far.
struct Answer {
    message: String,
    begin: i64,
    end: i64,
    said: Value,
    blocks: Vec<Value>,
    told: Vec<Value>,
    request: String,
    is_new: bool,
}

/// A tool that was called.
struct Tool {
    name: String,
    input: Value,
    begin: i64,
    trace: [u8; 16],
    parent: [u8; 8],
}

impl Session {
    pub(super) fn new(source: &Source) -> Self {
        let service = Service::new(source, SERVICE, "millrace.import.claude_code");
        let workspace = source.workspace.clone();
        Self { service, workspace, lanes: HashMap::new(), tools: HashMap::new(), session: String::new() }
    }
}

impl Reader for Session {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        let line: Value = match serde_json::from_slice(piece) {
            Ok(line) => line,
            Err(error) => return sink.reject(format!("it is not JSON: {error}")),
        };
        let kind = str_of(&line, "type");
        let message = line.get("message").filter(|message| message.is_object());
        let (Some(message), "user" | "assistant") = (message, kind) else {
            return sink.other(if kind.is_empty() { "(no type)" } else { kind });
        };
        let Some(at) = line.get("timestamp").and_then(nanos_of) else {
            return sink.reject("timestamp must be a time");
        };
        if !str_of(&line, "sessionId").is_empty() {
            str_of(&line, "sessionId").clone_into(&mut self.session);
        }
        if !str_of(&line, "version").is_empty() {
            str_of(&line, "version").clone_into(&mut self.service.version);
        }
        let is_side = line.get("isSidechain") == Some(&Value::Bool(true));
        let agent = str_of(&line, "agentId");
        let name = if is_side { if agent.is_empty() { "sidechain" } else { agent } } else { "" };
        if !self.lanes.contains_key(name) && self.lanes.len() >= AWAITED_MAX {
            return sink.reject(format!("the session has more than {AWAITED_MAX} sub-agents"));
        }
        let above = if name.is_empty() { None } else { self.lanes.get("").and_then(|lane| lane.turn.as_ref()) };
        let above = above.map(|turn| (turn.trace, turn.span));
        let lane = self.lanes.entry(name.to_owned()).or_default();
        let place =
            Place { service: &self.service, workspace: &self.workspace, session: &self.session, agent: name, above };
        if kind == "user" {
            lane.told(&line, message, at, &place, &mut self.tools, sink);
        } else {
            lane.answered(&line, message, at, &place, &mut self.tools, sink);
        }
        lane.at = at;
    }

    fn end(&mut self, sink: &mut Sink) {
        let mut lanes: Vec<(&String, &mut Lane)> = self.lanes.iter_mut().collect();
        lanes.sort_by_key(|(name, _)| *name);
        for (name, lane) in lanes {
            let (service, workspace, session) = (&self.service, &self.workspace, &self.session);
            let place = Place { service, workspace, session, agent: name, above: None };
            lane.report_answer(&place, sink);
            lane.report_turn(&place, sink);
        }
    }
}

/// Where a line is.
struct Place<'p> {
    service: &'p Service,
    workspace: &'p crate::workspace::Workspace,
    session: &'p str,
    agent: &'p str,
    /// The turn that a sub-agent works for.
    above: Option<([u8; 16], [u8; 8])>,
}

impl Lane {
    /// A line of the user: a prompt, or what tools gave.
    fn told(
        &mut self,
        line: &Value,
        message: &Value,
        at: i64,
        place: &Place<'_>,
        tools: &mut HashMap<String, Tool>,
        sink: &mut Sink,
    ) {
        self.report_answer(place, sink);
        self.answer = None;
        let content = message.get("content").cloned().map_or(Value::Null, |content| content);
        let blocks = content.as_array().map_or(&[] as &[Value], Vec::as_slice);
        let results: Vec<&Value> = blocks.iter().filter(|block| str_of(block, "type") == "tool_result").collect();
        for result in &results {
            if let Some(tool) = tools.remove(str_of(result, "tool_use_id")) {
                tool.report(result, at, place, sink);
            }
        }
        let is_meta = ["isMeta", "isCompactSummary"].iter().any(|name| line.get(name) == Some(&Value::Bool(true)));
        if results.is_empty() && !is_meta {
            self.begin_turn(line, &content, at, place, sink);
        }
        if self.told.len() < MESSAGES_MAX {
            self.told.push(json!({"role": "user", "content": content}));
        } else {
            sink.other(MESSAGE_BEYOND);
        }
        if let Some(turn) = &mut self.turn {
            turn.end = turn.end.max(at);
        }
    }

    fn begin_turn(&mut self, line: &Value, asked: &Value, at: i64, place: &Place<'_>, sink: &mut Sink) {
        let named = [str_of(line, "promptId"), place.agent, str_of(line, "uuid")];
        let prompt = named.into_iter().find(|name| !name.is_empty()).map_or_else(|| at.to_string(), str::to_owned);
        if self.turn.as_ref().is_some_and(|turn| turn.prompt == prompt) {
            return;
        }
        self.report_turn(place, sink);
        let own = trace_of_session(place.workspace, SERVICE.as_bytes(), place.session, &prompt);
        let trace = place.above.map_or(own, |(trace, _)| trace);
        let about = [
            ("process.working_directory", str_of(line, "cwd").to_owned()),
            ("vcs.ref.head.name", str_of(line, "gitBranch").to_owned()),
            ("claude_code.agent_id", place.agent.to_owned()),
        ];
        self.turn = Some(Turn {
            span: id(&["claude-code", "turn", place.session, &prompt]),
            parent: place.above.map(|(_, span)| span),
            prompt,
            trace,
            begin: at,
            end: at,
            asked: asked.clone(),
            answered: Value::Null,
            about: about.into(),
            has_calls: false,
            is_new: true,
        });
    }

    /// A part of an answer.
    fn answered(
        &mut self,
        line: &Value,
        message: &Value,
        at: i64,
        place: &Place<'_>,
        tools: &mut HashMap<String, Tool>,
        sink: &mut Sink,
    ) {
        if str_of(message, "model") == SYNTHETIC {
            return sink.other("synthetic answer");
        }
        if self.turn.is_none() {
            let before = if self.at == 0 { at } else { self.at };
            self.begin_turn(line, &Value::Null, before, place, sink);
        }
        let Some(turn) = &mut self.turn else { return };
        turn.end = turn.end.max(at);
        (turn.has_calls, turn.is_new) = (true, true);
        let named = [str_of(message, "id"), str_of(line, "requestId"), str_of(line, "uuid")];
        let name = named.into_iter().find(|name| !name.is_empty()).map_or("", |name| name);
        let blocks = message.get("content").and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
        for block in blocks.iter().filter(|block| str_of(block, "type") == "tool_use") {
            if tools.len() < AWAITED_MAX {
                let (tool, input) = (str_of(block, "name").to_owned(), block.get("input").cloned());
                let input = input.map_or(Value::Null, |input| input);
                let tool = Tool { name: tool, input, begin: at, trace: turn.trace, parent: turn.span };
                tools.insert(str_of(block, "id").to_owned(), tool);
            } else {
                sink.other(TOOL_BEYOND);
            }
        }
        if let Some(text) = blocks.iter().rev().find(|block| str_of(block, "type") == "text") {
            turn.answered = text.get("text").cloned().map_or(Value::Null, |text| text);
        }
        if self.answer.as_ref().is_none_or(|answer| answer.message != name) {
            self.report_answer(place, sink);
            let begin = if self.at == 0 { at } else { self.at };
            let request = str_of(line, "requestId");
            let request = if request.is_empty() { name } else { request }.to_owned();
            let told = std::mem::take(&mut self.told);
            let (message, said) = (name.to_owned(), Value::Null);
            self.answer =
                Some(Answer { message, begin, end: at, said, blocks: Vec::new(), told, request, is_new: true });
        }
        if let Some(answer) = &mut self.answer {
            // a line that is there again says nothing new
            let more = blocks.iter().filter(|block| !answer.blocks.contains(block)).cloned().collect::<Vec<_>>();
            answer.blocks.extend(more);
            answer.take(message);
            answer.end = answer.end.max(at);
            answer.is_new = true;
        }
    }

    fn report_answer(&mut self, place: &Place<'_>, sink: &mut Sink) {
        let (Some(answer), Some(turn)) = (&mut self.answer, &self.turn) else { return };
        if std::mem::take(&mut answer.is_new) {
            let known_by = identity(&["claude-code", "answer", &answer.message, &answer.request]);
            sink.records.push(place.service.record(answer.span(turn, place.session), Some(known_by)));
        }
    }

    fn report_turn(&mut self, place: &Place<'_>, sink: &mut Sink) {
        let Some(turn) = &mut self.turn else { return };
        if turn.has_calls && std::mem::take(&mut turn.is_new) {
            let (begin, asked) = (turn.begin.to_string(), turn.asked.to_string());
            let known_by = identity(&["claude-code", "turn", place.agent, &begin, &asked]);
            sink.records.push(place.service.part(turn.span(place.session), known_by));
        }
    }
}

impl Answer {
    /// Takes what a line says of the whole answer; of counts that differ the larger one.
    fn take(&mut self, message: &Value) {
        let output = |said: &Value| said.get("usage").and_then(|usage| count_of(usage, "output_tokens"));
        if self.said.is_null() || output(message) >= output(&self.said) {
            let stop = message.get("stop_reason").filter(|reason| !reason.is_null());
            let stop = stop.or_else(|| self.said.get("stop_reason")).cloned();
            self.said = json!({"model": message.get("model"), "usage": message.get("usage"), "stop_reason": stop});
        }
    }

    fn span(&self, turn: &Turn, session: &str) -> Span {
        let span_id = id(&["claude-code", "answer", session, &self.message]);
        let mut span = Span::new(turn.trace, span_id, Some(turn.span), "claude_code.llm_request")
            .call()
            .between(self.begin, self.end);
        span.inferred();
        span.text("session.id", session);
        span.text("prompt.id", &turn.prompt);
        span.text("model", str_of(&self.said, "model"));
        span.text("gen_ai.response.model", str_of(&self.said, "model"));
        span.text("request_id", &self.request);
        span.text("claude_code.message_id", &self.message);
        span.text("stop_reason", str_of(&self.said, "stop_reason"));
        if let Some(usage) = self.said.get("usage") {
            span.count("input_tokens", count_of(usage, "input_tokens"));
            span.count("output_tokens", count_of(usage, "output_tokens"));
            span.count("cache_read_tokens", count_of(usage, "cache_read_input_tokens"));
            span.count("cache_creation_tokens", count_of(usage, "cache_creation_input_tokens"));
            let hour = usage.get("cache_creation").and_then(|parts| count_of(parts, "ephemeral_1h_input_tokens"));
            span.count("gen_ai.usage.details.ephemeral_1h_input_tokens", hour);
            span.text("gen_ai.response.service_tier", str_of(usage, "service_tier"));
        }
        let reason = str_of(&self.said, "stop_reason");
        let answer = json!([{"role": "assistant", "content": self.blocks, "finish_reason": reason}]);
        span.content("gen_ai.input.messages", Some(&Value::Array(self.told.clone())));
        span.content("gen_ai.output.messages", Some(&answer));
        span
    }
}

impl Turn {
    fn span(&self, session: &str) -> Span {
        let mut span =
            Span::new(self.trace, self.span, self.parent, "claude_code.interaction").between(self.begin, self.end);
        span.inferred();
        span.text("session.id", session);
        span.text("prompt.id", &self.prompt);
        for (key, value) in &self.about {
            span.text(key, value);
        }
        span.content("gen_ai.input.messages", Some(&json!([{"role": "user", "content": self.asked}])));
        if self.answered.is_string() {
            span.content("gen_ai.output.messages", Some(&json!([{"role": "assistant", "content": self.answered}])));
        }
        span
    }
}

impl Tool {
    fn report(self, result: &Value, at: i64, place: &Place<'_>, sink: &mut Sink) {
        let call = str_of(result, "tool_use_id");
        let span_id = id(&["claude-code", "tool", place.session, call]);
        let mut span = Span::new(self.trace, span_id, Some(self.parent), "claude_code.tool").between(self.begin, at);
        span.inferred();
        span.text("session.id", place.session);
        span.text("tool_name", &self.name);
        span.text("tool_use_id", call);
        span.content("gen_ai.tool.call.arguments", Some(&self.input));
        span.content("gen_ai.tool.call.result", result.get("content"));
        if result.get("is_error") == Some(&Value::Bool(true)) {
            span.text("error.type", "tool_error");
            span.fail("");
        }
        let known_by = identity(&["claude-code", "tool", call]);
        sink.records.push(place.service.record(span, Some(known_by)));
    }
}
