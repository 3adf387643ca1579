//! THE column list of `otel_traces`. The lists of the other tables are in `logs.rs` and `metrics.rs`; `tables.rs` names all of them.
//!
//! First the 22 columns of the OpenTelemetry ClickHouse exporter, with its names, types and literals, because Grafana
//! and ClickStack find traces by them; then our own. The DDL, the insert and the tests all read [`COLUMNS`]. A new column
//! goes to the end: tables made before get it by `ALTER TABLE`. Columns that ClickHouse fills or computes are
//! in [`FILLED`] and [`ALIASES`]. How a row fills its columns is in `row_group.rs`.
//!
//! Source: opentelemetry-collector-contrib, exporter/clickhouseexporter, the traces table.

use super::column::Column;
use super::typed::{Costs, Counts, Texts};

/// What fills a column: one of those of a `RowGroup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Timestamp,
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    SpanName,
    SpanKind,
    ServiceName,
    ResourceAttributes,
    ScopeName,
    ScopeVersion,
    SpanAttributes,
    Duration,
    StatusCode,
    StatusMessage,
    EventsTimestamp,
    EventsName,
    EventsAttributes,
    LinksTraceId,
    LinksSpanId,
    LinksTraceState,
    LinksAttributes,
    RawRequest,
    RawResponse,
    SegmentId,
    Workspace,
    FinishReasons,
    FinishReasonsNormalized,
    Streaming,
    RequestParameters,
    ContentAttributes,
    JoinState,
    SpanFlags,
    ScopeAttributes,
    ResourceSchemaUrl,
    ScopeSchemaUrl,
    InputPreview,
    OutputPreview,
    Text(Texts),
    Count(Counts),
    Cost(Costs),
}

macro_rules! columns {
    ($(
        $name:expr, $table_type:literal as $wire_type:literal $(default $default:expr)?, $codec:literal,
        $source:ident $(($of:path))?;
    )*) => {
        /// Every column, in the order of the table and of the blocks.
        pub const COLUMNS: &[Column] = &[$(Column {
            name: $name,
            table_type: $table_type,
            wire_type: $wire_type,
            codec: $codec,
            default: concat!($($default)?),
        }),*];
        /// What fills each of them, in the same order.
        pub(super) const SOURCES: &[Source] = &[$(Source::$source $(($of))?),*];
    };
}

/// The rule of `genai/messages/preview.rs`, for rows that were stored before there were previews.
macro_rules! preview {
    ($messages:literal, $message:literal) => {
        concat!(
            "if(",
            $messages,
            " = '', '', leftUTF8(replaceRegexpAll(arrayStringConcat(arrayMap(part -> \
             if(JSONExtractString(part, 'type') = 'text', JSONExtractString(part, 'content'), \
             concat('[', trimRight(concat(JSONExtractString(part, 'type'), ' ', JSONExtractString(part, 'name'))), ']')), \
             arrayFilter(part -> JSONExtractString(part, 'type') != 'reasoning', JSONExtractArrayRaw(",
            $message,
            ", 'parts'))), ' '), '\\\\s+', ' '), 200))"
        )
    };
}

columns! {
    "Timestamp", "DateTime64(9)" as "DateTime64(9)", "Delta(8), ZSTD(1)", Timestamp;
    "TraceId", "String" as "String", "ZSTD(1)", TraceId;
    "SpanId", "String" as "String", "ZSTD(1)", SpanId;
    "ParentSpanId", "String" as "String", "ZSTD(1)", ParentSpanId;
    "TraceState", "String" as "String", "ZSTD(1)", TraceState;
    "SpanName", "LowCardinality(String)" as "String", "ZSTD(1)", SpanName;
    "SpanKind", "LowCardinality(String)" as "String", "ZSTD(1)", SpanKind;
    "ServiceName", "LowCardinality(String)" as "String", "ZSTD(1)", ServiceName;
    "ResourceAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)", ResourceAttributes;
    "ScopeName", "String" as "String", "ZSTD(1)", ScopeName;
    "ScopeVersion", "String" as "String", "ZSTD(1)", ScopeVersion;
    "SpanAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)", SpanAttributes;
    "Duration", "UInt64" as "UInt64", "T64, ZSTD(1)", Duration;
    "StatusCode", "LowCardinality(String)" as "String", "ZSTD(1)", StatusCode;
    "StatusMessage", "String" as "String", "ZSTD(1)", StatusMessage;
    "Events.Timestamp", "Array(DateTime64(9))" as "Array(DateTime64(9))", "ZSTD(1)", EventsTimestamp;
    "Events.Name", "Array(LowCardinality(String))" as "Array(String)", "ZSTD(1)", EventsName;
    "Events.Attributes", "Array(Map(LowCardinality(String), String))" as "Array(Map(String, String))", "ZSTD(1)",
        EventsAttributes;
    "Links.TraceId", "Array(String)" as "Array(String)", "ZSTD(1)", LinksTraceId;
    "Links.SpanId", "Array(String)" as "Array(String)", "ZSTD(1)", LinksSpanId;
    "Links.TraceState", "Array(String)" as "Array(String)", "ZSTD(1)", LinksTraceState;
    "Links.Attributes", "Array(Map(LowCardinality(String), String))" as "Array(Map(String, String))", "ZSTD(1)",
        LinksAttributes;
    RAW_REQUEST, "String" as "String", "ZSTD(3)", RawRequest;
    RAW_RESPONSE, "String" as "String", "ZSTD(3)", RawResponse;
    // the insert that a row came with, so that rows that are in doubt after a power cut can be looked up
    SEGMENT_ID, "UUID" as "UUID", "ZSTD(1)", SegmentId;
    "Workspace", "LowCardinality(String)" as "String"
        default "if(ResourceAttributes['millrace.workspace'] = '', 'default', ResourceAttributes['millrace.workspace'])",
        "ZSTD(1)", Workspace;
    "SessionId", "String" as "String", "ZSTD(1)", Text(Texts::SessionId);
    "ConversationId", "String" as "String", "ZSTD(1)", Text(Texts::ConversationId);
    "UserId", "String" as "String", "ZSTD(1)", Text(Texts::UserId);
    "Operation", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::Operation);
    "Provider", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::Provider);
    "RequestModel", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::RequestModel);
    "ResponseModel", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::ResponseModel);
    "ResponseId", "String" as "String", "ZSTD(1)", Text(Texts::ResponseId);
    "FinishReasons", "Array(LowCardinality(String))" as "Array(String)", "ZSTD(1)", FinishReasons;
    "FinishReasonsNormalized", "Array(LowCardinality(String))" as "Array(String)", "ZSTD(1)", FinishReasonsNormalized;
    "InputTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)", Count(Counts::InputTokens);
    "OutputTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)", Count(Counts::OutputTokens);
    "CacheReadTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)", Count(Counts::CacheReadTokens);
    "CacheWriteTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)", Count(Counts::CacheWriteTokens);
    "ReasoningTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)", Count(Counts::ReasoningTokens);
    "InputAudioTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)", Count(Counts::InputAudioTokens);
    "OutputAudioTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)", Count(Counts::OutputAudioTokens);
    "CostTotal", "Nullable(Decimal(18, 12))" as "Nullable(Decimal(18, 12))", "ZSTD(1)", Cost(Costs::Total);
    "CostInput", "Nullable(Decimal(18, 12))" as "Nullable(Decimal(18, 12))", "ZSTD(1)", Cost(Costs::Input);
    "CostOutput", "Nullable(Decimal(18, 12))" as "Nullable(Decimal(18, 12))", "ZSTD(1)", Cost(Costs::Output);
    "CostSource", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::CostSource);
    "TimeToFirstToken", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)", Count(Counts::TimeToFirstToken);
    "Streaming", "Nullable(Bool)" as "Nullable(Bool)", "ZSTD(1)", Streaming;
    "ToolName", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::ToolName);
    "ToolCallId", "String" as "String", "ZSTD(1)", Text(Texts::ToolCallId);
    "AgentName", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::AgentName);
    "WorkflowName", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::WorkflowName);
    "ErrorType", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::ErrorType);
    "ErrorMessage", "String" as "String", "ZSTD(1)", Text(Texts::ErrorMessage);
    "RequestParameters", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)", RequestParameters;
    "InputMessages", "String" as "String", "ZSTD(3)", Text(Texts::InputMessages);
    "OutputMessages", "String" as "String", "ZSTD(3)", Text(Texts::OutputMessages);
    "ToolDefinitions", "String" as "String", "ZSTD(3)", Text(Texts::ToolDefinitions);
    "SystemPrompt", "String" as "String", "ZSTD(3)", Text(Texts::SystemPrompt);
    "ContentAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(3)", ContentAttributes;
    "TimingQuality", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::TimingQuality);
    "JoinState", "LowCardinality(String)" as "String", "ZSTD(1)", JoinState;
    "SpanFlags", "UInt32" as "UInt32", "ZSTD(1)", SpanFlags;
    "ScopeAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)", ScopeAttributes;
    "ResourceSchemaUrl", "LowCardinality(String)" as "String", "ZSTD(1)", ResourceSchemaUrl;
    "ScopeSchemaUrl", "LowCardinality(String)" as "String", "ZSTD(1)", ScopeSchemaUrl;
    "PriceId", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::PriceId);
    "PriceBook", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::PriceBook);
    "CacheWrite1hTokens", "Nullable(UInt64)" as "Nullable(UInt64)", "ZSTD(1)", Count(Counts::CacheWrite1hTokens);
    "ServiceTier", "LowCardinality(String)" as "String", "ZSTD(1)", Text(Texts::ServiceTier);
    "InputPreview", "String" as "String"
        default preview!("InputMessages", "arrayFirst(message -> message != '', [\
            arrayLast(message -> JSONExtractString(message, 'role') = 'user', JSONExtractArrayRaw(InputMessages)), \
            arrayElement(JSONExtractArrayRaw(InputMessages), -1)])"),
        "ZSTD(1)", InputPreview;
    "OutputPreview", "String" as "String"
        default preview!("OutputMessages", "arrayElement(JSONExtractArrayRaw(OutputMessages), 1)"),
        "ZSTD(1)", OutputPreview;
}

/// A column that ClickHouse fills when a row is inserted.
#[derive(Debug, Clone, Copy)]
pub struct Filled {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub table_type: &'static str,
    /// What it is filled with.
    pub expression: &'static str,
    /// Its compression codec.
    pub codec: &'static str,
}

/// The columns that ClickHouse fills.
pub const FILLED: &[Filled] = &[
    // part of the key, so that a conversation whose calls are traces of their own lies together. A key cannot change when a
    // captured call joins later and its session changes, so a call without a session has what is derived from its trace, whether
    // its root came before or after it: this is not for finding sessions. MATERIALIZED would not allow that change.
    Filled {
        name: "SessionHash",
        table_type: "UInt64",
        expression: "multiIf(SessionId = '', 0, JoinState IN ('waiting', 'joined', 'given') AND ConversationId = '', \
                     cityHash64(concat('session_', substring(TraceId, 1, 16))), cityHash64(SessionId))",
        codec: "ZSTD(1)",
    },
    // how a span ended, as the read API says it: to compute it, all attributes of a span are read. Sources: OTLP's status; the
    // attributes that NeMo Intake reads.
    Filled {
        name: "Status",
        table_type: "LowCardinality(String)",
        expression: "multiIf(ErrorType = 'cancelled' OR 'cancelled' IN (lower(SpanAttributes['otel.status_code']), \
                     lower(SpanAttributes['status'])), 'cancelled', StatusCode = 'Error' OR 'error' IN \
                     (lower(SpanAttributes['otel.status_code']), lower(SpanAttributes['status'])), 'error', 'success')",
        codec: "ZSTD(1)",
    },
];

/// A column that ClickHouse computes when it is read.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub table_type: &'static str,
    /// What it is.
    pub expression: &'static str,
}

/// The columns that are computed.
pub const ALIASES: &[Alias] = &[
    Alias {
        name: "AllAttributes",
        table_type: "Map(LowCardinality(String), String)",
        // what is canonical already is held by its typed column alone
        expression: "mapUpdate(mapFilter((k, v) -> v != '', CAST(map('gen_ai.input.messages', InputMessages, \
                     'gen_ai.output.messages', OutputMessages, 'gen_ai.tool.definitions', ToolDefinitions), \
                     'Map(LowCardinality(String), String)')), mapConcat(SpanAttributes, ContentAttributes))",
    },
    Alias {
        name: "TotalTokens",
        table_type: "Nullable(UInt64)",
        // an embedding and a ranking have no output
        expression: "InputTokens + if(Operation IN ('embeddings', 'rerank'), ifNull(OutputTokens, 0), OutputTokens)",
    },
];

/// The request of a captured chat-completion, as it was sent; empty for all other spans.
pub const RAW_REQUEST: &str = "RawRequest";
/// Its response; of a stream its chunks.
pub const RAW_RESPONSE: &str = "RawResponse";
/// The segment of the journal, and so the insert, that a row came with.
pub const SEGMENT_ID: &str = "SegmentId";
/// The columns that are not ours, which come first.
pub const STANDARD_COLUMNS: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_the_exporter_come_first_then_ours_each_once() {
        let mut names: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!((names[0], names[STANDARD_COLUMNS - 1]), ("Timestamp", "Links.Attributes"));
        assert_eq!(
            names[STANDARD_COLUMNS..STANDARD_COLUMNS + 4],
            ["RawRequest", "RawResponse", "SegmentId", "Workspace"]
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COLUMNS.len());
    }
}
