//! Log records that report a call of a model, a tool or a turn, or a message of a call: which they are, what of them is content,
//! and where in which trace the span goes that is made of one.
//!
//! ```text
//! log record --name--> not one of them: a log record and nothing else
//!                  \-> a span:  trace    the record's, or derived of session and prompt, so that a session becomes traces
//!                               parent   the span the record was written in
//!                               id       derived of what the record says, so that a repeat is the same span
//!                               time     ends with the record, begins `duration_ms` before
//!                  \-> messages of one span: a span with those sent, and one with those received
//! ```
//!
//! Sources: the GenAI conventions, events; those of `agents.rs`.

use super::agents;
use super::meaning::kind;
use super::messages::{CHOICE, Side, side_of_message};
use crate::columns::typed::{Entries, Kind};
use crate::columns::{SpanKind, StatusCode};
use crate::genai::operation::{CHAT, GENERATE_CONTENT};
use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::time::Duration;

/// The event that carries all of a call.
const DETAILS: &str = "gen_ai.client.inference.operation.details";

/// The scope of Claude Code's events, whose attribute `event.name` lacks the agent's name.
const CLAUDE_CODE_SCOPE: &str = "com.anthropic.claude_code";
const CLAUDE_CODE: &str = "claude_code.";

/// Gemini CLI reports a response twice at one moment: as its own event, and as the conventions'.
const GEMINI_CLI: &[u8] = b"gemini-cli";
const GEMINI_RESPONSE: &str = "gemini_cli.api_response";

/// Keys that are content in a coding agent's event, beside those that are content anywhere.
const CONTENT: [&str; 12] = [
    "prompt",
    "response",
    "body",
    "arguments",
    "output",
    "request_text",
    "response_text",
    "function_args",
    "metadata",
    "text",
    "message",
    "content",
];

/// The whole name of an event: with the agent's name, where its sender leaves it out.
#[must_use]
pub fn name<'a>(event_name: &'a [u8], scope_name: &[u8]) -> Cow<'a, str> {
    let name = String::from_utf8_lossy(event_name);
    let is_short = scope_name.starts_with(CLAUDE_CODE_SCOPE.as_bytes()) && !name.contains('.') && !name.is_empty();
    if is_short { Cow::Owned(format!("{CLAUDE_CODE}{name}")) } else { name }
}

/// Whether an event of that whole name may report a call, a tool or a turn.
#[must_use]
pub fn is_report(name: &str) -> bool {
    name == DETAILS || !agents::operation(name).is_empty()
}

/// Whether an attribute of an event is content. What an event that is a message does not say about it is the message.
#[must_use]
pub fn is_content(name: &str, key: &[u8]) -> bool {
    let is_of_message = side_of_message(name).is_some() && key != b"event.name" && !is_about_it(key);
    kind(key) == Kind::Content || is_of_message || (is_agents(name) && is_agents_content(key))
}

/// Whether an event of that whole name is a coding agent's.
#[must_use]
pub fn is_agents(name: &str) -> bool {
    agents::is_agents(name)
}

/// Whether an attribute is content in an event of a coding agent, though it may be anything elsewhere.
#[must_use]
pub fn is_agents_content(key: &[u8]) -> bool {
    CONTENT.iter().any(|known| known.as_bytes() == key)
}

/// Whether an attribute of a span's event is content: a message is, and what a tool got and gave.
#[must_use]
pub fn is_content_of_span_event(event_name: &[u8], key: &[u8]) -> bool {
    let is_message = event_name == CHOICE.as_bytes()
        || event_name == b"tool.output"
        || (event_name.starts_with(b"gen_ai.") && event_name.ends_with(b".message"));
    kind(key) == Kind::Content || (is_message && !is_about_it(key))
}

/// The same where content is not to be kept: what no convention knows of an event of a model's call may be content.
#[must_use]
pub fn may_be_content_of_span_event(event_name: &[u8], key: &[u8]) -> bool {
    let may_be_message = event_name.starts_with(b"gen_ai.") || event_name == b"tool.output";
    kind(key) == Kind::Content || (may_be_message && !is_about_it(key))
}

/// Whether a key of a message's event says something about the message.
fn is_about_it(key: &[u8]) -> bool {
    key.starts_with(b"gen_ai.") && !key.starts_with(b"gen_ai.event.")
}

/// Whether the body of an event is content: a message of the conversation.
#[must_use]
pub fn body_is_content(name: &str) -> bool {
    name.starts_with("gen_ai.")
}

/// A log record that may report something.
#[derive(Debug, Clone, Copy)]
pub struct EventView<'a> {
    /// Its whole name.
    pub name: &'a str,
    /// When it was, as its sender says; `None` if only a collector says when it saw it.
    pub said_at: Option<UnixNanos>,
    /// When it was, as well as it is known.
    pub at: UnixNanos,
    /// The trace it was written in.
    pub trace: Option<TraceId>,
    /// The span it was written in.
    pub span: Option<SpanId>,
    /// Attributes that are not content.
    pub attributes: Entries<'a>,
    /// Attributes that are.
    pub content: Entries<'a>,
    /// `session.id` of the resource.
    pub session_of_resource: &'a str,
    /// `service.name` of the resource.
    pub service_name: &'a [u8],
    /// Where it is stored.
    pub workspace: &'a Workspace,
}

/// Where the span of an event goes, and what it has beside attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSpan<'a> {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// The span it was written in, or the event that it completes.
    pub parent: Option<SpanId>,
    /// When it began.
    pub start: UnixNanos,
    /// How long it took, if that is known.
    pub duration_nanos: Option<u64>,
    /// Client for calls.
    pub kind: SpanKind,
    /// Whether it failed.
    pub status: StatusCode,
    /// What was said about the failure.
    pub status_message: &'a str,
    /// Its token counts are told better by the event that it completes.
    pub has_parts_of_usage: bool,
}

impl<'a> EventView<'a> {
    /// The span that some messages of the span make in which their records were written, all of one side of a call. `messages` is
    /// what is said, and identifies them.
    #[must_use]
    pub fn span_of_messages(&self, side: Side, messages: &str) -> Option<EventSpan<'static>> {
        let (trace_id, parent) = (self.trace?, self.span?);
        let side = match side {
            Side::Input => "input",
            Side::Output => "output",
        };
        let digest = hash(&[
            b"messages",
            self.workspace.as_str().as_bytes(),
            self.service_name,
            trace_id.to_string().as_bytes(),
            parent.to_string().as_bytes(),
            side.as_bytes(),
            messages.as_bytes(),
        ]);
        Some(EventSpan {
            trace_id,
            span_id: SpanId::new(first_bytes(digest)).ok()?,
            parent: Some(parent),
            start: self.at,
            duration_nanos: None,
            kind: SpanKind::Client,
            status: StatusCode::Unset,
            status_message: "",
            has_parts_of_usage: false,
        })
    }

    /// The span that the event makes; `None` if it reports nothing that is complete.
    #[must_use]
    pub fn span(&self) -> Option<EventSpan<'a>> {
        if !self.reports() {
            return None;
        }
        let session = self.first(&["session.id", "gen_ai.conversation.id", "conversation.id"]);
        let session = if session.is_empty() { self.session_of_resource } else { session };
        let prompt = self.first(&["prompt.id", "prompt_id"]);
        let digest = self.digest(self.name);
        let derived = || match (session, prompt) {
            ("", "") => first_bytes(digest),
            _ => trace_of_session(self.workspace, self.service_name, session, prompt),
        };
        let trace_id = self.trace.or_else(|| TraceId::new(derived()).ok())?;
        let completes_another = self.name == DETAILS && self.service_name == GEMINI_CLI;
        let parent = match completes_another {
            true => SpanId::new(first_bytes(self.digest(GEMINI_RESPONSE))).ok(),
            false => self.span.filter(|_| self.trace.is_some()),
        };
        let millis = self.first(&["duration_ms"]).parse::<f64>().ok().filter(|millis| (0.0..1e12).contains(millis));
        let duration = millis.map(|millis| Duration::from_secs_f64(millis / 1e3));
        let has_failed = self.has_failed();
        Some(EventSpan {
            trace_id,
            span_id: SpanId::new(first_bytes(digest)).ok()?,
            parent,
            start: self.at.saturating_sub(duration.unwrap_or_default()),
            duration_nanos: duration.map(|duration| self.at.nanos_since(self.at.saturating_sub(duration))),
            kind: if self.is_call() { SpanKind::Client } else { SpanKind::Internal },
            status: if has_failed { StatusCode::Error } else { StatusCode::Unset },
            status_message: if has_failed { self.first(&["error.message", "error"]) } else { "" },
            has_parts_of_usage: completes_another,
        })
    }

    fn is_call(&self) -> bool {
        self.name == DETAILS || matches!(agents::operation(self.name), CHAT | GENERATE_CONTENT)
    }

    /// The first of these attributes that has something.
    fn first(&self, keys: &[&str]) -> &'a str {
        let find = |key: &&str| {
            self.attributes.first_filled(key.as_bytes()).or_else(|| self.content.first_filled(key.as_bytes()))
        };
        keys.iter().find_map(find).unwrap_or_default()
    }

    /// Whether something was answered, failed or asked: a request alone is no call yet, and an event of a stream is a part of one.
    fn reports(&self) -> bool {
        let says = |key: &str| !self.first(&[key]).is_empty();
        match self.name {
            DETAILS => {
                let mut keys = self.attributes.iter().chain(self.content.iter()).map(|(key, _)| key);
                let told: [&[u8]; 4] =
                    [b"gen_ai.response.", b"gen_ai.usage.", b"gen_ai.output.messages", b"error.type"];
                keys.any(|key| told.iter().any(|prefix| key.starts_with(prefix)))
            }
            "codex.sse_event" => self.first(&["event.kind"]) == "response.completed" || says("error.message"),
            "codex.api_request" => self.has_failed(),
            name => is_report(name),
        }
    }

    fn has_failed(&self) -> bool {
        let said = !self.first(&["error.message", "error.type", "error"]).is_empty();
        let status = self.first(&["http.response.status_code"]).parse::<u16>().unwrap_or_default();
        said || status >= 400 || self.name.ends_with(".api_error") || self.first(&["success"]) == "false"
    }

    /// What identifies the event, under that name: all that it says. Of what Gemini CLI says twice at one moment, that moment.
    fn digest(&self, name: &str) -> [u8; 32] {
        let workspace = self.workspace.as_str().as_bytes();
        let trace = self.trace.map(|trace| trace.to_string()).unwrap_or_default();
        let span = self.span.map(|span| span.to_string()).unwrap_or_default();
        let moment = self.first(&["event.timestamp"]);
        let is_said_twice = self.service_name == GEMINI_CLI && matches!(name, DETAILS | GEMINI_RESPONSE);
        if is_said_twice && !moment.is_empty() {
            let (place, model) = (trace + &span, self.first(&["session.id"]));
            return hash(&[
                b"moment",
                workspace,
                name.as_bytes(),
                place.as_bytes(),
                moment.as_bytes(),
                model.as_bytes(),
            ]);
        }
        let at = self.said_at.map_or(0, UnixNanos::nanos).to_le_bytes();
        let mut hasher = hasher(&[b"event", workspace, self.service_name, name.as_bytes()]);
        for part in [trace.as_bytes(), span.as_bytes(), &at] {
            put(&mut hasher, part);
        }
        for (key, value) in self.attributes.iter().chain(self.content.iter()) {
            put(&mut hasher, key);
            put(&mut hasher, value);
        }
        hasher.finalize().into()
    }
}

/// The trace of a turn, or of a conversation whose prompts have no id, if nothing else says which it is in.
#[must_use]
pub fn trace_of_session(workspace: &Workspace, service_name: &[u8], session: &str, prompt: &str) -> [u8; 16] {
    part_of_hash(&[b"trace", workspace.as_str().as_bytes(), service_name, session.as_bytes(), prompt.as_bytes()])
}

/// The first bytes of the hash of these parts.
#[must_use]
pub fn part_of_hash<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    first_bytes(hash(parts))
}

fn put(hasher: &mut Sha256, part: &[u8]) {
    hasher.update(part.len().to_le_bytes());
    hasher.update(part);
}

fn hasher(parts: &[&[u8]]) -> Sha256 {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| put(&mut hasher, part));
    hasher
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    hasher(parts).finalize().into()
}

fn first_bytes<const N: usize>(digest: [u8; 32]) -> [u8; N] {
    const { assert!(N <= 32) };
    digest.first_chunk().copied().expect("a digest is longer than an id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_claude_code_has_the_agents_name_before_its_own() {
        let scope = b"com.anthropic.claude_code.events";
        assert_eq!(name(b"api_request", scope), "claude_code.api_request");
        assert_eq!(name(b"claude_code.api_request", scope), "claude_code.api_request");
        assert_eq!(name(b"api_request", b"another"), "api_request");
    }

    #[test]
    fn what_is_content_depends_on_whose_event_it_is() {
        assert!(is_content("claude_code.user_prompt", b"prompt"));
        assert!(is_content("codex.tool_result", b"output"));
        assert!(!is_content("another.event", b"prompt"));
        assert!(is_content("another.event", b"gen_ai.input.messages"));
        assert!(!is_content("codex.tool_result", b"tool_name"));
        assert!(is_content("gen_ai.user.message", b"content"));
        assert!(!is_content("gen_ai.user.message", b"gen_ai.system"));
        assert!(!is_content("gen_ai.user.message", b"event.name"));
    }

    #[test]
    fn only_reports_of_calls_tools_and_turns_are_looked_at() {
        for name in [DETAILS, "claude_code.api_request", "codex.sse_event", "gemini_cli.tool_call", "codex.user_prompt"]
        {
            assert!(is_report(name), "{name}");
        }
        for name in [
            "",
            "gen_ai.evaluation.result",
            "gen_ai.user.message",
            "claude_code.tool_decision",
            "gemini_cli.config",
            "exception",
        ] {
            assert!(!is_report(name), "{name}");
        }
    }
}
