//! The tables that hold what was counted: a row a report of a model call, and a row a trace with GenAI spans.
//!
//! ```text
//! otel_traces ──reconciler──▶ genai_report_rows ──▶ views genai_calls, genai_reports, genai_usage_1h
//!                        └──▶ genai_trace_rows  ──▶ views genai_traces, genai_sessions
//! ```
//!
//! A row is written again when its trace changes: the row of the latest `Version` counts, and a row that is no longer right is
//! written with `IsDeleted = 1`. People ask the views, which do that; so no query needs `FINAL`. There is no text of a message
//! in these tables but the previews.

use super::ddl::{self, Create, Setting};
use super::layout::Layout;

/// The rows of reports: what the views `genai_calls` and `genai_reports` show.
pub const REPORT_ROWS: &str = "genai_report_rows";
/// The rows of traces: what the view `genai_traces` shows.
pub const TRACE_ROWS: &str = "genai_trace_rows";
/// The previews of a trace, which are content: they go when content goes.
pub(super) const PREVIEWS: &[&str] = &["InputPreview", "OutputPreview"];

/// A roll-up table.
#[derive(Debug)]
pub struct Rollup {
    /// Its name; on a cluster that of the Distributed table.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: &'static [RollupColumn],
    /// What tells its rows apart, beside their time: of several with the same values the latest version counts.
    pub key: &'static str,
    /// Columns that views show instead of others.
    computed: &'static [Computed],
}

/// A column of a roll-up table.
#[derive(Debug)]
pub struct RollupColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub table_type: &'static str,
    /// Its compression codec.
    pub codec: &'static str,
}

/// A column of a roll-up table that ClickHouse fills from the others when a row is inserted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Computed {
    pub(super) name: &'static str,
    pub(super) table_type: &'static str,
    expression: &'static str,
    /// The column that views show it as.
    pub(super) shown_as: &'static str,
}

impl Computed {
    /// As `CREATE TABLE` and `ADD COLUMN` take it.
    pub(super) fn definition(&self) -> String {
        let Self { name, table_type, expression, .. } = self;
        format!("`{name}` {table_type} DEFAULT {expression} CODEC(LZ4)")
    }
}

/// What a trace costs, in eight bytes: lists that order by sixteen take twice as long. Nothing if it does not fit: a million dollars.
pub(super) const COST: Computed = Computed {
    name: "Cost64",
    table_type: "Nullable(Decimal(18, 12))",
    expression: "accurateCastOrNull(CostTotal, 'Decimal(18, 12)')",
    shown_as: "CostTotal",
};

/// Small granules, since a list shows few rows of many; and when nothing was written to a day for an hour, it becomes one
/// part, which is read without merging. Measured: docs/schema.md.
const SETTINGS: [(&str, usize); 3] = [
    ("index_granularity", 1_024),
    ("min_age_to_force_merge_seconds", 3_600),
    ("min_age_to_force_merge_on_partition_only", 1),
];

/// A trace and a session are found without reading the days that they may be in.
const INDEXES: [&str; 2] = [
    "idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 4",
    "idx_session_id SessionId TYPE bloom_filter(0.001) GRANULARITY 4",
];

/// Both tables.
pub const ROLLUPS: [&Rollup; 2] = [&REPORTS, &TRACES];

macro_rules! columns {
    ($($name:literal $table_type:literal $codec:literal;)*) => {
        &[$(RollupColumn { name: $name, table_type: $table_type, codec: $codec }),*]
    };
}

// Columns that are summed or grouped are read by the million: LZ4 is read twice as fast as ZSTD, and T64 makes up for its size.

/// A row a report: a span whose operation is a call of a model, or an agent or workflow span with usage. Columns have the
/// names of `otel_traces`; those of a row that counts are merged from all its reports.
pub const REPORTS: Rollup = Rollup {
    name: REPORT_ROWS,
    key: "TraceId, SpanId, Workspace, SpanKind, ServiceName",
    computed: &[],
    columns: columns! {
        "Workspace" "LowCardinality(String)" "LZ4";
        "Timestamp" "DateTime64(9)" "Delta(8), LZ4";
        // read of every row that a list orders
        "TraceId" "String" "LZ4";
        "SpanId" "String" "LZ4";
        "SpanKind" "LowCardinality(String)" "ZSTD(1)";
        "ServiceName" "LowCardinality(String)" "LZ4";
        // after joining
        "ParentSpanId" "String" "ZSTD(1)";
        "SpanName" "LowCardinality(String)" "ZSTD(1)";
        // nanoseconds; NULL when only the time of arrival is known
        "Duration" "Nullable(UInt64)" "T64, LZ4";
        "Operation" "LowCardinality(String)" "LZ4";
        // 'call', 'report' or 'repeats'
        "CountedAs" "LowCardinality(String)" "LZ4";
        // of a report: the SpanId of its call
        "CountedIn" "String" "ZSTD(1)";
        "Provider" "LowCardinality(String)" "LZ4";
        "RequestModel" "LowCardinality(String)" "ZSTD(1)";
        "ResponseModel" "LowCardinality(String)" "ZSTD(1)";
        // that of the response, or else of the request
        "Model" "LowCardinality(String)" "LZ4";
        "ResponseId" "String" "ZSTD(1)";
        "SessionId" "String" "LZ4";
        "ConversationId" "String" "ZSTD(1)";
        "UserId" "String" "LZ4";
        "AgentName" "LowCardinality(String)" "LZ4";
        "WorkflowName" "LowCardinality(String)" "ZSTD(1)";
        "InputTokens" "Nullable(UInt64)" "T64, LZ4";
        "OutputTokens" "Nullable(UInt64)" "T64, LZ4";
        // as otel_traces.TotalTokens: an embedding and a ranking have no output
        "TotalTokens" "Nullable(UInt64)" "T64, LZ4";
        "CacheReadTokens" "Nullable(UInt64)" "T64, LZ4";
        "CacheWriteTokens" "Nullable(UInt64)" "T64, LZ4";
        "CacheWrite1hTokens" "Nullable(UInt64)" "T64, LZ4";
        "ReasoningTokens" "Nullable(UInt64)" "T64, LZ4";
        "InputAudioTokens" "Nullable(UInt64)" "T64, LZ4";
        "OutputAudioTokens" "Nullable(UInt64)" "T64, LZ4";
        "CostTotal" "Nullable(Decimal(18, 12))" "LZ4";
        "CostInput" "Nullable(Decimal(18, 12))" "LZ4";
        "CostOutput" "Nullable(Decimal(18, 12))" "LZ4";
        "CostSource" "LowCardinality(String)" "ZSTD(1)";
        "PriceId" "LowCardinality(String)" "ZSTD(1)";
        "PriceBook" "LowCardinality(String)" "ZSTD(1)";
        "ServiceTier" "LowCardinality(String)" "ZSTD(1)";
        // nanoseconds
        "TimeToFirstToken" "Nullable(UInt64)" "T64, LZ4";
        "Streaming" "Nullable(Bool)" "ZSTD(1)";
        "TimingQuality" "LowCardinality(String)" "ZSTD(1)";
        "FinishReasons" "Array(LowCardinality(String))" "ZSTD(1)";
        "FinishReasonsNormalized" "Array(LowCardinality(String))" "ZSTD(1)";
        // whether any report of the call failed
        "IsError" "UInt8" "LZ4";
        "ErrorType" "LowCardinality(String)" "ZSTD(1)";
        // or else the status' description
        "ErrorMessage" "String" "ZSTD(1)";
        // sorted and distinct: 'pair' (a captured call), 'span'
        "ReportedBy" "Array(LowCardinality(String))" "ZSTD(1)";
        // how many spans report this call
        "Reports" "UInt64" "T64, LZ4";
        // of the row's other values: a row that has not changed is not written again
        "Digest" "UInt64" "ZSTD(1)";
        // microseconds since 1970 of the server, when the rows that this follows from were read
        "Version" "UInt64" "Delta(8), ZSTD(1)";
        "IsDeleted" "UInt8" "LZ4";
    },
};

/// A row a trace that has a GenAI span.
pub const TRACES: Rollup = Rollup {
    name: TRACE_ROWS,
    key: "TraceId, Workspace",
    computed: &[COST],
    columns: columns! {
        "Workspace" "LowCardinality(String)" "LZ4";
        // of its first span
        "Timestamp" "DateTime64(9)" "Delta(8), LZ4";
        // read of every row that a list orders
        "TraceId" "String" "LZ4";
        // nanoseconds, to the end of the span that ended last
        "Duration" "UInt64" "T64, LZ4";
        "RootSpanId" "String" "ZSTD(1)";
        "RootName" "LowCardinality(String)" "ZSTD(1)";
        "RootService" "LowCardinality(String)" "ZSTD(1)";
        "IsOrphan" "UInt8" "ZSTD(1)";
        "Spans" "UInt64" "T64, LZ4";
        "Errors" "UInt64" "T64, LZ4";
        "Calls" "UInt64" "T64, LZ4";
        "InputTokens" "Nullable(UInt64)" "T64, LZ4";
        "OutputTokens" "Nullable(UInt64)" "T64, LZ4";
        "TotalTokens" "Nullable(UInt64)" "T64, LZ4";
        "CacheReadTokens" "Nullable(UInt64)" "T64, LZ4";
        "CacheWriteTokens" "Nullable(UInt64)" "T64, LZ4";
        "CacheWrite1hTokens" "Nullable(UInt64)" "T64, LZ4";
        "ReasoningTokens" "Nullable(UInt64)" "T64, LZ4";
        "CostTotal" "Nullable(Decimal(38, 12))" "LZ4";
        // sorted and distinct, and so the next three
        "Models" "Array(LowCardinality(String))" "ZSTD(1)";
        "Providers" "Array(LowCardinality(String))" "ZSTD(1)";
        "Agents" "Array(LowCardinality(String))" "ZSTD(1)";
        "Workflows" "Array(LowCardinality(String))" "ZSTD(1)";
        "SessionId" "String" "LZ4";
        "UserId" "String" "LZ4";
        "InputPreview" "String" "ZSTD(1)";
        "OutputPreview" "String" "ZSTD(1)";
        // of all rows of the trace: whoever finds another one looks at the trace again
        "Checksum" "UInt64" "ZSTD(1)";
        // of the row's other values: a row that has not changed is not written again
        "Digest" "UInt64" "ZSTD(1)";
        // microseconds since 1970 of the server, when the rows that this follows from were read
        "Version" "UInt64" "Delta(8), ZSTD(1)";
        "IsDeleted" "UInt8" "LZ4";
    },
};

/// A column as `CREATE TABLE` and `ADD COLUMN` take it.
pub(super) fn column(RollupColumn { name, table_type, codec }: &RollupColumn) -> String {
    format!("`{name}` {table_type} CODEC({codec})")
}

/// The table that holds rows. `FINAL` reads the key of every row, also of days that are one part: eight bytes instead of texts.
pub(super) fn create(layout: &Layout, rollup: &Rollup) -> Create {
    let row_key = format!("`RowKey` UInt64 DEFAULT cityHash64({}) CODEC(LZ4)", rollup.key);
    let computed = rollup.computed.iter().map(|of| (of.name, of.definition())).chain([("RowKey", row_key)]);
    let mut settings: Vec<_> = SETTINGS.iter().map(|(name, value)| Setting::new(name, value)).collect();
    settings.extend(ddl::durability(layout));
    Create {
        name: layout.local(rollup.name),
        columns: ddl::named(rollup.columns.iter().map(|of| (of.name, column(of))).chain(computed)),
        indexes: &INDEXES,
        engine: layout.engine_with("ReplacingMergeTree", "Version"),
        partition_by: Some("toDate(Timestamp)"),
        order_by: "(Timestamp, RowKey)",
        settings,
    }
}

impl Rollup {
    /// What views show a column as: the column itself, or the one that ClickHouse fills for it.
    pub(super) fn source_of(&self, column: &'static str) -> &'static str {
        self.computed.iter().find(|computed| computed.shown_as == column).map_or(column, |computed| computed.name)
    }
}

/// On a cluster, the table that spreads them: a trace and its reports are on the shard of its spans.
pub(super) fn distribute(layout: &Layout, rollup: &Rollup) -> Option<String> {
    layout.create_distributed(rollup.name, ddl::SHARDED_BY)
}
