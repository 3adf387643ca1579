//! Coding agents: their own names of spans and events, and their flat keys, as the conventions' slots.
//!
//! ```text
//! claude_code.llm_request   input_tokens, cache_read_tokens, ttft_ms, request_id, ...      spans (beta) and events of Claude Code
//! codex.sse_event           input_token_count, cached_token_count, conversation.id, ...    events of Codex
//! session_task.turn         thread.id, codex.turn.token_usage.input_tokens, ...            spans of Codex
//! gemini_cli.api_response   input_token_count, thoughts_token_count, prompt_id, ...        events of Gemini CLI
//! ```
//!
//! A flat key like `model` may be anything in another span, so these keys count only in spans and events whose name says
//! whose they are. What the conventions' own keys say comes first.
//!
//! Sources: code.claude.com/docs/en/monitoring-usage; openai/codex, `codex-rs/otel/src/events/session_telemetry.rs` and
//! `codex-rs/core/src/tasks/mod.rs`; google-gemini/gemini-cli, `packages/core/src/telemetry/types.ts`.

use super::keys::Slot;
use super::slots::{Slots, count, truth};
use crate::columns::typed::{SpanView, text_of};
use crate::genai::operation::{CHAT, EXECUTE_TOOL, GENERATE_CONTENT, INVOKE_AGENT};

/// What stands for a prompt that is not to be told.
const REDACTED: [&str; 2] = ["<REDACTED>", "[REDACTED]"];

/// The class of a failure that nobody names. Source: core, `error.type`.
const OTHER: &str = "_OTHER";

/// A coding agent with names and keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agent {
    ClaudeCode,
    Codex,
    GeminiCli,
}

/// Flat keys, and the slots that they are.
type Keys = &'static [(&'static str, Slot)];

const CLAUDE_CODE: Keys = &[
    ("model", Slot::RequestModel),
    ("input_tokens", Slot::InputTokens),
    ("output_tokens", Slot::OutputTokens),
    ("cache_read_tokens", Slot::CacheRead),
    ("cache_creation_tokens", Slot::CacheWrite),
    ("ttft_ms", Slot::AiMsToFirstChunk),
    ("stop_reason", Slot::FinishReason),
    ("request_id", Slot::ResponseId),
    ("cost_usd", Slot::UsageCostUsd),
    ("tool_name", Slot::ToolName),
    ("tool_use_id", Slot::ToolCallId),
    ("error", Slot::ExceptionMessage),
    ("error_type", Slot::ErrorType),
    ("user_prompt", Slot::Prompt),
    ("prompt", Slot::Prompt),
    ("new_context", Slot::Prompt),
    ("response.model_output", Slot::Completion),
    ("user_system_prompt", Slot::SystemInstructions),
];

const CODEX: Keys = &[
    ("model", Slot::RequestModel),
    ("input_token_count", Slot::InputTokens),
    ("output_token_count", Slot::OutputTokens),
    ("cached_token_count", Slot::CacheRead),
    ("cache_write_token_count", Slot::CacheWrite),
    ("reasoning_token_count", Slot::Reasoning),
    ("conversation.id", Slot::ConversationId),
    ("tool_name", Slot::ToolName),
    ("call_id", Slot::ToolCallId),
    ("prompt", Slot::Prompt),
];

const CODEX_TURN: Keys = &[
    ("thread.id", Slot::ConversationId),
    ("model", Slot::RequestModel),
    ("codex.turn.token_usage.input_tokens", Slot::InputTokens),
    ("codex.turn.token_usage.cached_input_tokens", Slot::CacheRead),
    ("codex.turn.token_usage.output_tokens", Slot::OutputTokens),
    ("codex.turn.token_usage.reasoning_output_tokens", Slot::Reasoning),
    ("codex.turn.token_usage.total_tokens", Slot::TotalTokens),
];

const GEMINI_CLI: Keys = &[
    ("model", Slot::RequestModel),
    ("input_token_count", Slot::InputTokens),
    ("output_token_count", Slot::OutputTokens),
    ("cached_content_token_count", Slot::CacheRead),
    ("thoughts_token_count", Slot::Reasoning),
    ("total_token_count", Slot::TotalTokens),
    ("finish_reasons", Slot::FinishReasons),
    ("function_name", Slot::ToolName),
    ("error", Slot::ExceptionMessage),
    ("error_type", Slot::ErrorType),
    ("prompt", Slot::Prompt),
    ("response_text", Slot::Completion),
];

impl Agent {
    fn of(name: &str) -> Option<Self> {
        let agents = [("claude_code.", Self::ClaudeCode), ("codex.", Self::Codex), ("gemini_cli.", Self::GeminiCli)];
        agents.into_iter().find_map(|(prefix, agent)| name.starts_with(prefix).then_some(agent))
    }

    fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::GeminiCli => "gemini-cli",
        }
    }

    fn keys(self) -> Keys {
        match self {
            Self::ClaudeCode => CLAUDE_CODE,
            Self::Codex => CODEX,
            Self::GeminiCli => GEMINI_CLI,
        }
    }

    /// Whose models it asks, unless it says so.
    fn provider(self, slots: &Flat<'_>) -> &'static str {
        match (self, slots.auth_type) {
            (Self::ClaudeCode, _) => "anthropic",
            (Self::Codex, _) => "openai",
            (Self::GeminiCli, Some("vertex-ai" | "compute-default-credentials" | "oauth-personal")) => "gcp.vertex_ai",
            (Self::GeminiCli, _) => "gcp.gemini",
        }
    }
}

/// What an agent's span or event did, by its name; empty for what is neither call, tool nor turn.
pub(crate) fn operation(name: &str) -> &'static str {
    match name {
        "claude_code.llm_request" | "claude_code.api_request" | "claude_code.api_error" => CHAT,
        "claude_code.api_response_body" | "codex.sse_event" | "codex.api_request" => CHAT,
        "gemini_cli.api_response" | "gemini_cli.api_error" => GENERATE_CONTENT,
        "claude_code.tool" | "claude_code.tool_result" | "codex.tool_result" | "gemini_cli.tool_call" => EXECUTE_TOOL,
        "claude_code.interaction" | "claude_code.user_prompt" | "codex.user_prompt" | "gemini_cli.user_prompt" => {
            INVOKE_AGENT
        }
        _ => "",
    }
}

/// Whether a span or an event of that name is a coding agent's.
pub(crate) fn is_agents(name: &str) -> bool {
    Agent::of(name).is_some()
}

/// What has no slot.
#[derive(Default)]
struct Flat<'a> {
    has_failed: bool,
    status_code: Option<&'a str>,
    auth_type: Option<&'a str>,
    tool_tokens: Option<&'a str>,
    email: Option<&'a str>,
}

/// Fills slots from the keys of a coding agent, if it is one's span or event.
pub(crate) fn complete<'a>(slots: &mut Slots<'a>, span: &SpanView<'a>) {
    if slots.has(Slot::CodexTurnInput) {
        complete_turn(slots, span);
        return;
    }
    let name = text_of(span.name);
    let Some(agent) = Agent::of(name) else { return };
    let counts_itself = slots.has(Slot::InputTokens);
    let mut flat = Flat::default();
    for (key, value) in span.all() {
        let (key, value) = (text_of(key), text_of(value));
        match key {
            "success" => flat.has_failed |= truth(value) == Some(false),
            "status_code" | "http.response.status_code" => {
                flat.status_code = Some(value).filter(|it| *it != "undefined")
            }
            "auth_type" => flat.auth_type = Some(value),
            "tool_token_count" => flat.tool_tokens = Some(value),
            "user.email" => flat.email = Some(value).filter(|email| !email.is_empty()),
            _ => {}
        }
        let known = agent.keys().iter().find(|(known, _)| *known == key);
        if let Some((_, slot)) = known.filter(|(_, slot)| !slots.has(*slot))
            && !value.is_empty()
            && !REDACTED.contains(&value)
        {
            slots.set(*slot, value);
        }
    }
    complete_what_is_no_key(slots, agent, &flat, name);
    if !counts_itself {
        slots.beside.cache = agent == Agent::ClaudeCode;
        slots.beside.reasoning = agent == Agent::GeminiCli;
        slots.beside.input = flat.tool_tokens.filter(|_| agent == Agent::GeminiCli).and_then(count).unwrap_or(0);
    }
}

fn complete_what_is_no_key<'a>(slots: &mut Slots<'a>, agent: Agent, flat: &Flat<'a>, name: &str) {
    let operation = operation(name);
    let is_call = matches!(operation, CHAT | GENERATE_CONTENT);
    let mut complete = |slot: Slot, value: &'a str| {
        if !value.is_empty() && !slots.has(slot) {
            slots.set(slot, value);
        }
    };
    complete(Slot::OperationName, operation);
    complete(Slot::AgentName, agent.name());
    if is_call {
        complete(Slot::ProviderName, agent.provider(flat));
    }
    if flat.has_failed || name.ends_with(".api_error") {
        complete(Slot::ErrorType, flat.status_code.unwrap_or(OTHER));
    }
    // the id that Claude Code has for a user is that of an installation
    if let Some(email) = flat.email {
        slots.set(Slot::UserId, email);
    }
}

/// A turn of Codex: its tokens are the sum of its calls.
fn complete_turn<'a>(slots: &mut Slots<'a>, span: &SpanView<'a>) {
    for (key, value) in span.all() {
        let known = CODEX_TURN.iter().find(|(known, _)| known.as_bytes() == key);
        if let Some((_, slot)) = known.filter(|(_, slot)| !slots.has(*slot)) {
            slots.set(*slot, text_of(value));
        }
    }
    for (slot, value) in [(Slot::OperationName, INVOKE_AGENT), (Slot::AgentName, Agent::Codex.name())] {
        if !slots.has(slot) {
            slots.set(slot, value);
        }
    }
}
