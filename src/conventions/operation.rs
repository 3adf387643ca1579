//! What a span did, in the conventions' words: each convention says it in its own, and some only by what else they send.

use super::keys::Slot;
use super::slots::{Slots, unquoted};
use crate::genai::call::Text;
use crate::genai::operation::{
    self, CHAT, EMBEDDINGS, EXECUTE_TOOL, INVOKE_AGENT, INVOKE_WORKFLOW, RERANK, RETRIEVAL, TEXT_COMPLETION,
};
use std::borrow::Cow;

/// What is known beside the attributes.
pub(crate) struct Known<'s> {
    /// The name of the span's scope.
    pub(crate) scope_name: &'s [u8],
    /// The name of the span.
    pub(crate) name: &'s [u8],
    /// A model and its token counts are known.
    pub(crate) has_model_and_usage: bool,
    /// An agent or a workflow is named.
    pub(crate) is_agent: bool,
}

/// A prompt is put together, and no model is called.
const PROMPT: &str = "prompt";
/// Spring AI's operation of what is no model's.
const FRAMEWORK: &str = "framework";

/// A convention's word for an operation, in the conventions' words.
type Rule = fn(&str) -> Option<&'static str>;

/// The operation; empty when nothing says that the span is one of GenAI.
pub(crate) fn of<'a>(slots: &Slots<'a>, known: &Known<'_>) -> Text<'a> {
    // LangSmith calls a retriever `embeddings` and a prompt `chat`, and says beside it what they are
    if let Some(name) = slots.get(Slot::LangsmithSpanKind).and_then(by_openinference) {
        return own(name);
    }
    // Spring AI calls all that is no model's operation so, and says what it is beside it
    if let Some(name) = slots.get(Slot::OperationName).filter(|name| *name != FRAMEWORK) {
        let is_litellm_chat = name == "completion" && known.scope_name.starts_with(b"litellm");
        return Cow::Borrowed(if is_litellm_chat { CHAT } else { operation::normalise(name) });
    }
    if is_preparation(known) {
        return own(PROMPT);
    }
    let rules: [(Slot, Rule); 13] = [
        (Slot::OpeninferenceSpanKind, by_openinference),
        (Slot::LangfuseObservationType, by_langfuse),
        (Slot::AiOperationId, by_ai_sdk),
        (Slot::AiOperationName, by_ai_sdk),
        (Slot::TraceloopSpanKind, by_traceloop),
        (Slot::LlmRequestType, by_request_type),
        (Slot::MlflowSpanType, by_mlflow),
        (Slot::GenAiSpanKind, by_openinference),
        (Slot::LmnrSpanType, by_openinference),
        (Slot::MastraSpanType, by_mastra),
        (Slot::GenkitSubtype, by_genkit),
        (Slot::HaystackComponentType, by_haystack),
        (Slot::SentryOperationType, by_sentry),
    ];
    if let Some(name) = rules.into_iter().find_map(|(slot, rule)| rule(slots.get(slot)?.trim())) {
        return own(name);
    }
    let is_tool_call = slots.get(Slot::McpMethodName) == Some("tools/call");
    let tool = [Slot::ToolName, Slot::ToolCallId, Slot::LivekitToolName, Slot::SpringToolName, Slot::HaystackToolName];
    if is_tool_call || slots.first(&tool).is_some() {
        return own(EXECUTE_TOOL);
    }
    match slots.get(Slot::SpringAiKind) {
        Some("chat_client") => return own(INVOKE_AGENT),
        Some(_) if slots.has(Slot::OperationName) => return own(FRAMEWORK),
        _ => {}
    }
    // Haystack's agent says by its keys alone what a step is
    if slots.first(&[Slot::HaystackLlmInput, Slot::HaystackLlmOutput]).is_some() {
        return own(CHAT);
    }
    if slots.has(Slot::HaystackMaxSteps) {
        return own(INVOKE_AGENT);
    }
    // Google ADK before it named operations
    if slots.has(Slot::VertexRequest) && known.scope_name == b"gcp.vertex.agent" {
        return own(CHAT);
    }
    // Codex names no model beside the tokens of a response
    let has_both_sides = slots.has(Slot::InputTokens) && slots.has(Slot::OutputTokens);
    let is_call = known.has_model_and_usage || (has_both_sides && !known.is_agent);
    if is_call { own(CHAT) } else { Cow::default() }
}

/// OpenInference takes a method of LlamaIndex that only puts a request together for a call of the model.
fn is_preparation(known: &Known<'_>) -> bool {
    let method = known.name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    known.scope_name == b"openinference.instrumentation.llama_index" && method.starts_with(b"_prepare_")
}

fn own<'a>(name: &'static str) -> Text<'a> {
    Cow::Borrowed(name)
}

fn by_openinference(kind: &str) -> Option<&'static str> {
    let is = |word: &str| kind.eq_ignore_ascii_case(word);
    [
        ("LLM", CHAT),
        ("EMBEDDING", EMBEDDINGS),
        ("RETRIEVER", RETRIEVAL),
        ("TOOL", EXECUTE_TOOL),
        ("AGENT", INVOKE_AGENT),
        ("CHAIN", INVOKE_WORKFLOW),
        ("RERANKER", RERANK),
        // Alibaba's conventions
        ("TASK", INVOKE_WORKFLOW),
        ("GUARDRAIL", "guardrail"),
        ("EVALUATOR", "evaluator"),
        ("PROMPT", "prompt"),
    ]
    .into_iter()
    .find_map(|(word, operation)| is(word).then_some(operation))
}

fn by_langfuse(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "generation" | "GENERATION" => CHAT,
        "embedding" => EMBEDDINGS,
        "tool" => EXECUTE_TOOL,
        "agent" => INVOKE_AGENT,
        "retriever" => RETRIEVAL,
        "chain" => INVOKE_WORKFLOW,
        "evaluator" => "evaluator",
        "guardrail" => "guardrail",
        _ => return None,
    })
}

/// `ai.generateText.doGenerate`; in `operation.name` the function's id may follow.
fn by_ai_sdk(id: &str) -> Option<&'static str> {
    let id = id.split_whitespace().next()?.strip_prefix("ai.")?;
    Some(match id {
        "generateText.doGenerate" | "streamText.doStream" | "generateObject.doGenerate" | "streamObject.doStream" => {
            CHAT
        }
        "generateText" | "streamText" | "generateObject" | "streamObject" => INVOKE_AGENT,
        "toolCall" => EXECUTE_TOOL,
        "rerank" | "rerank.doRerank" => RERANK,
        _ if id == "embed" || id.starts_with("embed.") || id.starts_with("embedMany") => EMBEDDINGS,
        _ => return None,
    })
}

fn by_traceloop(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "workflow" | "task" => INVOKE_WORKFLOW,
        "agent" => INVOKE_AGENT,
        "tool" => EXECUTE_TOOL,
        _ => return None,
    })
}

fn by_request_type(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "chat" => CHAT,
        "completion" => TEXT_COMPLETION,
        "embedding" => EMBEDDINGS,
        "rerank" => RERANK,
        _ => return None,
    })
}

fn by_mlflow(kind: &str) -> Option<&'static str> {
    Some(match &*unquoted(kind)? {
        "LLM" | "CHAT_MODEL" => CHAT,
        "EMBEDDING" => EMBEDDINGS,
        "RETRIEVER" => RETRIEVAL,
        "TOOL" => EXECUTE_TOOL,
        "AGENT" => INVOKE_AGENT,
        "CHAIN" => INVOKE_WORKFLOW,
        "RERANKER" => RERANK,
        _ => return None,
    })
}

/// Source: mastra-ai/mastra, `SpanType` of `@mastra/core`.
fn by_mastra(kind: &str) -> Option<&'static str> {
    let name = operation::normalise(kind);
    [CHAT, EXECUTE_TOOL, INVOKE_AGENT, INVOKE_WORKFLOW].into_iter().find(|known| *known == name)
}

/// Genkit; of later kinds the version follows: `tool.v2`. Source: firebase/genkit, `ActionType`.
fn by_genkit(kind: &str) -> Option<&'static str> {
    Some(match kind.split('.').next()? {
        "model" | "background-model" => CHAT,
        "tool" => EXECUTE_TOOL,
        "embedder" => EMBEDDINGS,
        "retriever" => RETRIEVAL,
        "reranker" => RERANK,
        "agent" => INVOKE_AGENT,
        "flow" => INVOKE_WORKFLOW,
        "evaluator" => "evaluator",
        "prompt" | "executable-prompt" => "prompt",
        _ => return None,
    })
}

/// Haystack says only the class of a component. Source: deepset-ai/haystack, `haystack/core/pipeline/base.py`.
fn by_haystack(class: &str) -> Option<&'static str> {
    let endings = [
        ("ChatGenerator", CHAT),
        ("Generator", TEXT_COMPLETION),
        ("Embedder", EMBEDDINGS),
        ("Retriever", RETRIEVAL),
        ("Ranker", RERANK),
        ("ToolInvoker", EXECUTE_TOOL),
        ("Agent", INVOKE_AGENT),
    ];
    endings.into_iter().find_map(|(ending, operation)| class.ends_with(ending).then_some(operation))
}

/// Sentry's kinds of operations. Source: getsentry/sentry-conventions, `gen_ai.operation.type`.
fn by_sentry(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "ai_client" => CHAT,
        "tool" => EXECUTE_TOOL,
        "agent" => INVOKE_AGENT,
        _ => return None,
    })
}

/// Whether the AI SDK says that it streamed.
pub(crate) fn streams(slots: &Slots<'_>) -> bool {
    let id = slots.first(&[Slot::AiOperationId, Slot::AiOperationName]);
    id.and_then(|id| id.split_whitespace().next()).is_some_and(|id| id.starts_with("ai.stream"))
}
