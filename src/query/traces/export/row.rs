//! A span with everything that OTLP says of it, and what of it the typed columns hold alone.

use ::clickhouse::Row;
use serde::Deserialize;

/// Attributes in the order in which they are stored.
pub(super) type Attributes = Vec<(String, String)>;

/// Which row of a span it is, and about how many bytes it has.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub(super) struct Key {
    pub(super) span_id: String,
    /// Nanoseconds since 1970.
    pub(super) started: i64,
    /// Of all columns.
    pub(super) bytes: u64,
    /// Of those that no other span repeats.
    pub(super) content_bytes: u64,
}

impl Key {
    /// Whether both are rows of one span with the same start: a copy that is not merged yet.
    pub(super) fn is_copy_of(&self, other: &Self) -> bool {
        (self.started, &self.span_id) == (other.started, &other.span_id)
    }
}

macro_rules! columns {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $expression:literal,)*) => {
        /// A span.
        #[derive(Debug, Row, Deserialize)]
        pub(super) struct SpanRow {
            $($(#[$doc])* pub(super) $field: $type,)*
        }

        /// What each field is in `otel_traces`.
        pub(super) const COLUMNS: &[(&str, &str)] = &[$((stringify!($field), $expression)),*];
    };
}

columns! {
    trace_id: String = "TraceId",
    span_id: String = "SpanId",
    parent_span_id: String = "ParentSpanId",
    trace_state: String = "TraceState",
    /// Nanoseconds since 1970.
    started: i64 = "toUnixTimestamp64Nano(Timestamp)",
    duration: u64 = "Duration",
    name: String = "SpanName",
    kind: String = "SpanKind",
    status_code: String = "StatusCode",
    status_message: String = "StatusMessage",
    flags: u32 = "SpanFlags",
    resource: Attributes = "CAST(ResourceAttributes, 'Map(String, String)')",
    resource_schema_url: String = "ResourceSchemaUrl",
    scope_name: String = "ScopeName",
    scope_version: String = "ScopeVersion",
    scope_attributes: Attributes = "CAST(ScopeAttributes, 'Map(String, String)')",
    scope_schema_url: String = "ScopeSchemaUrl",
    attributes: Attributes = "CAST(SpanAttributes, 'Map(String, String)')",
    content: Attributes = "CAST(ContentAttributes, 'Map(String, String)')",
    /// Nanoseconds since 1970, as all times.
    event_times: Vec<i64> = "arrayMap(at -> toUnixTimestamp64Nano(at), `Events.Timestamp`)",
    event_names: Vec<String> = "CAST(`Events.Name`, 'Array(String)')",
    event_attributes: Vec<Attributes> = "CAST(`Events.Attributes`, 'Array(Map(String, String))')",
    link_traces: Vec<String> = "`Links.TraceId`",
    link_spans: Vec<String> = "`Links.SpanId`",
    link_states: Vec<String> = "`Links.TraceState`",
    link_attributes: Vec<Attributes> = "CAST(`Links.Attributes`, 'Array(Map(String, String))')",
    join_state: String = "JoinState",
    session_id: String = "SessionId",
    conversation_id: String = "ConversationId",
    user_id: String = "UserId",
    operation: String = "Operation",
    provider: String = "Provider",
    request_model: String = "RequestModel",
    response_model: String = "ResponseModel",
    response_id: String = "ResponseId",
    service_tier: String = "ServiceTier",
    tool_name: String = "ToolName",
    tool_call_id: String = "ToolCallId",
    agent_name: String = "AgentName",
    workflow_name: String = "WorkflowName",
    error_type: String = "ErrorType",
    input_tokens: Option<u64> = "InputTokens",
    output_tokens: Option<u64> = "OutputTokens",
    cache_read_tokens: Option<u64> = "CacheReadTokens",
    cache_write_tokens: Option<u64> = "CacheWriteTokens",
    reasoning_tokens: Option<u64> = "ReasoningTokens",
    /// US dollars; empty if it is not known or was computed.
    cost_given: String = "if(PriceId = '' AND CostTotal IS NOT NULL, toString(assumeNotNull(CostTotal)), '')",
    input_messages: String = "InputMessages",
    output_messages: String = "OutputMessages",
    tool_definitions: String = "ToolDefinitions",
    system_prompt: String = "SystemPrompt",
}

impl SpanRow {
    /// Whether it is a call that was captured, which no OTLP told of.
    pub(super) fn is_captured(&self) -> bool {
        !matches!(self.join_state.as_str(), "" | "event")
    }
}
