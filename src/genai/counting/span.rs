//! What counting has to know of a span: a few light fields, borrowed from whoever read them.

use super::response_id::TrustedId;
use crate::genai::operation::{
    CHAT, EMBEDDINGS, EXECUTE_TOOL, INVOKE_AGENT, INVOKE_WORKFLOW, RERANK, RETRIEVAL, TEXT_COMPLETION,
};
use crate::ids::SpanId;

/// A span of a trace. Spans are in the order in which they began. All spans of the trace are needed, not only those of GenAI: what lies between two reports says whether
/// they are about one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span<'a> {
    /// When it began, in nanoseconds since 1970.
    pub start: i64,
    /// Its id.
    pub id: SpanId,
    /// Together with the id and the service: which span it is.
    pub kind: Kind,
    /// Together with the id and the kind: which span it is.
    pub service: &'a str,
    /// When it ended, in nanoseconds since 1970.
    pub end: i64,
    /// What it hangs below.
    pub place: Place,
    /// What it did.
    pub class: Class,
    /// Who reported it.
    pub source: Source<'a>,
    /// The id that the provider gave its answer, if it says which call it was.
    pub response_id: Option<TrustedId<'a>>,
    /// Whether it says what was used: see [`has_usage`].
    pub has_usage: bool,
    /// Tokens of input and of output without reasoning, if it says both.
    pub tokens: Option<(u64, u64)>,
    /// Whether its status is an error.
    pub is_error: bool,
}

impl Span<'_> {
    /// Whether it reports a call of a model.
    #[must_use]
    pub fn is_report(&self) -> bool {
        matches!(self.class, Class::Model(_))
    }

    /// Whether it is messages of a call, and nothing else.
    pub(super) fn are_messages(&self) -> bool {
        matches!(self.source, Source::Messages { .. })
    }

    /// What was asked of the model, if it is a report. What an unknown operation asked is text.
    pub(super) fn model_call(&self) -> Option<ModelCall> {
        match self.class {
            Class::Model(call) => Some(call),
            Class::Unknown if self.has_usage => Some(ModelCall::Generation),
            _ => None,
        }
    }

    /// Whether it may say what others used, and counts only when those others do not report it.
    pub(super) fn may_be_sum(&self) -> bool {
        self.has_usage && matches!(self.class, Class::Agent | Class::Workflow | Class::Unknown)
    }
}

/// Whether tokens or a cost say that something was used. Senders that have no usage write zeros too, so zeros say nothing.
#[must_use]
pub fn has_usage(input_tokens: Option<u64>, output_tokens: Option<u64>, has_cost: bool) -> bool {
    has_cost || input_tokens.is_some_and(|count| count > 0) || output_tokens.is_some_and(|count| count > 0)
}

/// What a span hangs below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It names no parent: a root of its trace.
    Root,
    /// The parent that its sender named.
    Below(SpanId),
    /// A captured call whose sender named a trace and nothing in it. It hangs below the root of the trace, whether that was
    /// written into its row yet or not.
    BelowTheRoot,
}

impl Place {
    /// The place of a row of `otel_traces`. `join_state` is what the column `JoinState` says.
    #[must_use]
    pub fn of(parent: Option<SpanId>, join_state: &str) -> Self {
        match (join_state, parent) {
            ("waiting" | "joined", _) => Self::BelowTheRoot,
            (_, Some(parent)) => Self::Below(parent),
            (_, None) => Self::Root,
        }
    }
}

/// The kind of a span, as far as it says who of two that share an id called the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// None of the others.
    Unspecified,
    /// Something inside a service.
    Internal,
    /// The side that calls.
    Client,
    /// The side that sends a message.
    Producer,
    /// The side that is called.
    Server,
    /// The side that receives a message.
    Consumer,
}

impl Kind {
    /// The kind that the column `SpanKind` names.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text {
            "Internal" => Self::Internal,
            "Client" => Self::Client,
            "Producer" => Self::Producer,
            "Server" => Self::Server,
            "Consumer" => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// Whether it is the side that is called.
    pub(super) fn is_called(self) -> bool {
        matches!(self, Self::Server | Self::Consumer)
    }
}

/// Who reported a span. Two reports of one source are about two calls, unless one lies inside the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source<'a> {
    /// The instrumentation scope of the span: the column `ScopeName`, also when it is empty.
    Scope(&'a str),
    /// A request and response that were sent as JSON.
    CapturedCall,
    /// A log record of this event: an agent that also sends spans reports each call by both.
    Event(&'a str),
    /// Log records that are messages of the call of the span in which they were written.
    Messages {
        /// They are what the model answered, not what it was asked.
        are_answers: bool,
    },
}

/// What a span did, as far as counting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Called a model.
    Model(ModelCall),
    /// Ran an agent, or a step of one.
    Agent,
    /// Ran a workflow.
    Workflow,
    /// Ran a tool.
    Tool,
    /// An operation that no convention knows.
    Unknown,
    /// Anything else.
    Other,
}

/// What was asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelCall {
    /// Text, whether the sender calls it chat, completion or content.
    Generation,
    /// Vectors.
    Embedding,
    /// An order of documents.
    Ranking,
}

/// Operations that no model answers, though some of them come with token counts. What counts tokens answers no prompt; the
/// model that an evaluator or a guardrail asks has a span of its own.
///
/// Sources: the operations of open-telemetry/semantic-conventions-genai (`gen_ai.operation.name`), OpenInference's span
/// kinds, and open-telemetry/semantic-conventions-genai#510 for `count_tokens`.
const NO_CALL: [&str; 10] = [
    "",
    RETRIEVAL,
    "count_tokens",
    "create_agent",
    "create_memory",
    "search_memory",
    "update_memory",
    "guardrail",
    "evaluator",
    "prompt",
];

impl Class {
    /// The class of an operation as the column `Operation` has it.
    ///
    /// Sources: open-telemetry/semantic-conventions-genai; `agent_step` is @ai-sdk/otel 7, `process_thread_run` and
    /// `submit_tool_outputs` are the Azure AI Agents SDK.
    #[must_use]
    pub fn of(operation: &str) -> Self {
        match operation {
            CHAT | TEXT_COMPLETION | "generate_content" => Self::Model(ModelCall::Generation),
            EMBEDDINGS => Self::Model(ModelCall::Embedding),
            RERANK => Self::Model(ModelCall::Ranking),
            INVOKE_AGENT | "agent_step" | "process_thread_run" | "submit_tool_outputs" => Self::Agent,
            INVOKE_WORKFLOW => Self::Workflow,
            EXECUTE_TOOL => Self::Tool,
            other if NO_CALL.contains(&other) => Self::Other,
            _ => Self::Unknown,
        }
    }

    /// Whether what lies below it is somebody else's work, even if what lies above it looks alike.
    pub(super) fn separates(self) -> bool {
        matches!(self, Self::Agent | Self::Workflow | Self::Tool)
    }
}
