//! Session files of Codex.
//!
//! ```text
//! session_meta                         the conversation: a trace
//! turn_context                         the model of what follows
//! event_msg user_message               begins a turn: an agent's span
//! response_item                        what the model was told and answered; a tool's call and its output are a tool's span
//! event_msg token_count                ends a call: `last_token_usage` is its usage. One that says the same totals again is none
//! anything else                        counted by its type
//! ```
//!
//! The trace is the one that the events of its telemetry are in (`conventions/events.rs`).
//!
//! Sources: openai/codex, `codex-rs/protocol/src/protocol.rs`, as the documentation of skiagram-core, txcript and agent-history has it.

use super::span::{Service, Span, count_of, id, identity, nanos_of, str_of};
use super::{MESSAGE_BEYOND, Reader, Sink, Source, TOOL_BEYOND};
use crate::conventions::events::trace_of_session;
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Whose calls these are, as those of its telemetry are (`conventions/agents.rs`).
const AGENT: &str = "codex";
/// Tools whose output is awaited at most.
const AWAITED_MAX: usize = 4_096;
/// Messages that are kept for the next call at most.
const MESSAGES_MAX: usize = 1_000;

/// Reads a session.
pub(super) struct Session {
    service: Service,
    workspace: Workspace,
    conversation: String,
    provider: String,
    model: String,
    about: Vec<(&'static str, String)>,
    turns: u64,
    turn: Option<Turn>,
    calls: u64,
    told: Vec<Value>,
    answered: Vec<Value>,
    /// When the model was told the last thing.
    told_at: i64,
    answered_at: i64,
    begin: i64,
    end: i64,
    totals: Value,
    tools: HashMap<String, Tool>,
    is_new: bool,
}

struct Turn {
    span: [u8; 8],
    begin: i64,
    end: i64,
    asked: Value,
    answered: Value,
    has_calls: bool,
    is_new: bool,
}

struct Tool {
    name: String,
    input: Value,
    begin: i64,
    parent: Option<[u8; 8]>,
}

impl Session {
    pub(super) fn new(source: &Source) -> Self {
        Self {
            service: Service::new(source, AGENT, "millrace.import.codex"),
            workspace: source.workspace.clone(),
            // a file without its first line has the id in its name
            conversation: source.file_name.trim_end_matches(".jsonl").to_owned(),
            provider: "openai".to_owned(),
            model: String::new(),
            about: Vec::new(),
            turns: 0,
            turn: None,
            calls: 0,
            told: Vec::new(),
            answered: Vec::new(),
            told_at: 0,
            answered_at: 0,
            begin: 0,
            end: 0,
            totals: Value::Null,
            tools: HashMap::new(),
            is_new: false,
        }
    }

    fn trace(&self) -> [u8; 16] {
        trace_of_session(&self.workspace, self.service.name.as_bytes(), &self.conversation, "")
    }

    fn root(&self) -> [u8; 8] {
        id(&["codex", "session", &self.conversation])
    }

    fn meta(&mut self, payload: &Value) {
        for name in ["id", "session_id"] {
            if !str_of(payload, name).is_empty() {
                str_of(payload, name).clone_into(&mut self.conversation);
                break;
            }
        }
        let originator = str_of(payload, "originator");
        if originator.starts_with("codex") {
            originator.clone_into(&mut self.service.name);
        }
        str_of(payload, "cli_version").clone_into(&mut self.service.version);
        if !str_of(payload, "model_provider").is_empty() {
            str_of(payload, "model_provider").clone_into(&mut self.provider);
        }
        let branch = payload.get("git").map_or("", |git| str_of(git, "branch"));
        self.about = vec![
            ("process.working_directory", str_of(payload, "cwd").to_owned()),
            ("vcs.ref.head.name", branch.to_owned()),
        ];
    }

    fn item(&mut self, payload: &Value, at: i64, sink: &mut Sink) {
        match str_of(payload, "type") {
            "message" if str_of(payload, "role") == "assistant" => self.answer(payload, at, sink),
            "message" => self.tell(payload.clone(), at, sink),
            "reasoning" => self.answer(payload, at, sink),
            "function_call" | "custom_tool_call" | "local_shell_call" => {
                self.answer(payload, at, sink);
                if self.tools.len() < AWAITED_MAX {
                    let name = if str_of(payload, "name").is_empty() { "shell" } else { str_of(payload, "name") };
                    let input = ["arguments", "input", "action"].iter().find_map(|name| payload.get(name)).cloned();
                    let (name, input) = (name.to_owned(), input.map_or(Value::Null, |input| input));
                    let tool = Tool { name, input, begin: at, parent: self.turn.as_ref().map(|turn| turn.span) };
                    self.tools.insert(str_of(payload, "call_id").to_owned(), tool);
                } else {
                    sink.other(TOOL_BEYOND);
                }
            }
            "function_call_output" | "custom_tool_call_output" => {
                if let Some(tool) = self.tools.remove(str_of(payload, "call_id")) {
                    self.report_tool(tool, payload, at, sink);
                }
                self.tell(payload.clone(), at, sink);
            }
            "web_search_call" => self.answer(payload, at, sink),
            other => sink.other(&format!("response_item {other}")),
        }
    }

    fn tell(&mut self, item: Value, at: i64, sink: &mut Sink) {
        // an answer without a count of its tokens ends here
        if !self.answered.is_empty() {
            self.report_call(&Value::Null, self.answered_at, sink);
        }
        self.told_at = at;
        if self.told.len() < MESSAGES_MAX {
            self.told.push(item);
        } else {
            sink.other(MESSAGE_BEYOND);
        }
    }

    fn answer(&mut self, item: &Value, at: i64, sink: &mut Sink) {
        self.answered_at = at;
        if self.answered.len() < MESSAGES_MAX {
            self.answered.push(item.clone());
        } else {
            sink.other(MESSAGE_BEYOND);
        }
        let said = item.get("content").and_then(Value::as_array);
        let said = said.and_then(|parts| parts.iter().rev().find_map(|part| part.get("text")));
        if let (Some(turn), Some(said)) = (&mut self.turn, said.filter(|_| str_of(item, "type") == "message")) {
            turn.answered = said.clone();
        }
    }

    fn event(&mut self, payload: &Value, at: i64, sink: &mut Sink) {
        match str_of(payload, "type") {
            "user_message" => self.begin_turn(payload, at, sink),
            "token_count" => {
                let info = payload.get("info").filter(|info| info.is_object());
                let Some(info) = info else { return sink.other("token_count without usage") };
                let totals = info.get("total_token_usage").cloned().map_or(Value::Null, |totals| totals);
                if totals == self.totals && !totals.is_null() {
                    return sink.other("token_count again");
                }
                self.totals = totals;
                let usage = info.get("last_token_usage").cloned().map_or(Value::Null, |usage| usage);
                self.report_call(&usage, at, sink);
            }
            other => sink.other(&format!("event_msg {other}")),
        }
    }

    fn begin_turn(&mut self, payload: &Value, at: i64, sink: &mut Sink) {
        if !self.answered.is_empty() {
            self.report_call(&Value::Null, self.answered_at, sink);
        }
        self.report_turn(sink);
        self.turns += 1;
        let asked = payload.get("message").cloned().map_or(Value::Null, |asked| asked);
        let span = id(&["codex", "turn", &self.conversation, &self.turns.to_string()]);
        let (answered, has_calls, is_new) = (Value::Null, false, true);
        self.turn = Some(Turn { span, begin: at, end: at, asked, answered, has_calls, is_new });
        self.told_at = at;
    }

    fn report_call(&mut self, usage: &Value, at: i64, sink: &mut Sink) {
        self.calls += 1;
        let (told, answered) = (std::mem::take(&mut self.told), std::mem::take(&mut self.answered));
        if let Some(turn) = &mut self.turn {
            (turn.has_calls, turn.is_new) = (true, true);
        }
        let number = self.calls.to_string();
        let span_id = id(&["codex", "call", &self.conversation, &number]);
        let parent = self.turn.as_ref().map_or_else(|| self.root(), |turn| turn.span);
        let begin = if self.told_at == 0 { at } else { self.told_at };
        let name = format!("chat {}", self.model);
        let mut span = Span::new(self.trace(), span_id, Some(parent), name.trim_end()).call().between(begin, at);
        span.inferred();
        span.text("gen_ai.operation.name", "chat");
        span.text("gen_ai.provider.name", &self.provider);
        span.text("gen_ai.request.model", &self.model);
        span.text("gen_ai.agent.name", AGENT);
        span.text("gen_ai.conversation.id", &self.conversation);
        span.count("gen_ai.usage.input_tokens", count_of(usage, "input_tokens"));
        span.count("gen_ai.usage.output_tokens", count_of(usage, "output_tokens"));
        span.count("gen_ai.usage.cache_read.input_tokens", count_of(usage, "cached_input_tokens"));
        span.count("gen_ai.usage.reasoning.output_tokens", count_of(usage, "reasoning_output_tokens"));
        span.content("gen_ai.input.messages", Some(&json!({"input": told})).filter(|_| !told.is_empty()));
        span.content("gen_ai.output.messages", Some(&json!({"output": answered})).filter(|_| !answered.is_empty()));
        let known_by = identity(&["codex", "call", &self.conversation, &number]);
        sink.records.push(self.service.record(span, Some(known_by)));
        self.told_at = at;
    }

    fn report_tool(&self, tool: Tool, output: &Value, at: i64, sink: &mut Sink) {
        let call = str_of(output, "call_id");
        let span_id = id(&["codex", "tool", &self.conversation, call]);
        let parent = tool.parent.unwrap_or_else(|| self.root());
        let name = format!("execute_tool {}", tool.name);
        let mut span = Span::new(self.trace(), span_id, Some(parent), name).between(tool.begin, at);
        span.inferred();
        span.text("gen_ai.operation.name", "execute_tool");
        span.text("gen_ai.agent.name", AGENT);
        span.text("gen_ai.conversation.id", &self.conversation);
        span.text("gen_ai.tool.name", &tool.name);
        span.text("gen_ai.tool.call.id", call);
        span.content("gen_ai.tool.call.arguments", Some(&tool.input));
        span.content("gen_ai.tool.call.result", output.get("output"));
        if has_failed(output.get("output")) {
            span.text("error.type", "tool_error");
            span.fail("");
        }
        let known_by = identity(&["codex", "tool", &self.conversation, call]);
        sink.records.push(self.service.record(span, Some(known_by)));
    }

    fn report_turn(&mut self, sink: &mut Sink) {
        let (trace, root) = (self.trace(), self.root());
        let Some(turn) = &mut self.turn else { return };
        if !turn.has_calls || !std::mem::take(&mut turn.is_new) {
            return;
        }
        let mut span = Span::new(trace, turn.span, Some(root), "codex.turn").between(turn.begin, turn.end);
        span.inferred();
        span.text("gen_ai.operation.name", "invoke_agent");
        span.text("gen_ai.agent.name", AGENT);
        span.text("gen_ai.conversation.id", &self.conversation);
        span.content("gen_ai.input.messages", Some(&json!([{"role": "user", "content": turn.asked}])));
        if turn.answered.is_string() {
            span.content("gen_ai.output.messages", Some(&json!([{"role": "assistant", "content": turn.answered}])));
        }
        let known_by = identity(&["codex", "turn", &self.conversation, &turn.begin.to_string()]);
        sink.records.push(self.service.part(span, known_by));
    }
}

impl Reader for Session {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        let line: Value = match serde_json::from_slice(piece) {
            Ok(line) => line,
            Err(error) => return sink.reject(format!("it is not JSON: {error}")),
        };
        let (kind, Some(payload)) = (str_of(&line, "type"), line.get("payload")) else {
            return sink.other("(no payload)");
        };
        let Some(at) = line.get("timestamp").and_then(nanos_of) else {
            return sink.reject("timestamp must be a time");
        };
        self.begin = if self.begin == 0 { at } else { self.begin.min(at) };
        self.end = self.end.max(at);
        self.is_new = true;
        match kind {
            "session_meta" => self.meta(payload),
            "turn_context" => str_of(payload, "model").clone_into(&mut self.model),
            "response_item" => self.item(payload, at, sink),
            "event_msg" => self.event(payload, at, sink),
            other => sink.other(if other.is_empty() { "(no type)" } else { other }),
        }
        if let Some(turn) = &mut self.turn {
            (turn.end, turn.is_new) = (turn.end.max(at), true);
        }
    }

    fn end(&mut self, sink: &mut Sink) {
        self.report_turn(sink);
        if self.calls == 0 || !std::mem::take(&mut self.is_new) {
            return;
        }
        let mut span = Span::new(self.trace(), self.root(), None, "codex.session").between(self.begin, self.end);
        span.inferred();
        span.text("gen_ai.operation.name", "invoke_workflow");
        span.text("gen_ai.conversation.id", &self.conversation);
        for (key, value) in &self.about {
            span.text(key, value);
        }
        let known_by = identity(&["codex", "session", &self.conversation]);
        sink.records.push(self.service.part(span, known_by));
    }
}

/// Whether a tool's output says that it failed: `{"metadata": {"exit_code": 1}}`, as JSON in a text, or `{"success": false}`.
fn has_failed(output: Option<&Value>) -> bool {
    let read = output.and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let output = read.as_ref().or(output);
    let exit = output.and_then(|output| output.get("metadata")?.get("exit_code")?.as_i64());
    exit.is_some_and(|code| code != 0) || output.and_then(|output| output.get("success")) == Some(&Value::Bool(false))
}
