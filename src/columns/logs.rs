//! THE column list of `otel_logs`: the columns of the OpenTelemetry ClickHouse exporter with its names, types and codecs, then ours.
//!
//! Source: opentelemetry-collector-contrib, exporter/clickhouseexporter, the logs table since 0.151. What it materializes is computed when
//! it is read ([`ALIASES`]).

use super::column::{At, Column, at};
use super::table::{Alias, SEGMENT_ID};

macro_rules! columns {
    ($($name:expr, $table_type:literal as $wire_type:literal $(default $default:expr)?, $codec:literal;)*) => {
        /// Every column that Millrace sends, in the order of the table and of the blocks.
        pub const COLUMNS: &[Column] = &[$(Column {
            name: $name,
            table_type: $table_type,
            wire_type: $wire_type,
            codec: $codec,
            default: concat!($($default)?),
        }),*];
    };
}

columns! {
    "Timestamp", "DateTime64(9)" as "DateTime64(9)", "Delta(8), ZSTD(1)";
    "TraceId", "String" as "String", "ZSTD(1)";
    "SpanId", "String" as "String", "ZSTD(1)";
    "TraceFlags", "UInt8" as "UInt8", "ZSTD(1)";
    "SeverityText", "LowCardinality(String)" as "String", "ZSTD(1)";
    "SeverityNumber", "UInt8" as "UInt8", "ZSTD(1)";
    "ServiceName", "LowCardinality(String)" as "String", "ZSTD(1)";
    "Body", "String" as "String", "ZSTD(1)";
    "ResourceSchemaUrl", "LowCardinality(String)" as "String", "ZSTD(1)";
    "ResourceAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)";
    "ScopeSchemaUrl", "LowCardinality(String)" as "String", "ZSTD(1)";
    "ScopeName", "String" as "String", "ZSTD(1)";
    "ScopeVersion", "LowCardinality(String)" as "String", "ZSTD(1)";
    "ScopeAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)";
    "LogAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(1)";
    "EventName", "String" as "String", "ZSTD(1)";
    SEGMENT_ID, "UUID" as "UUID", "ZSTD(1)";
    "Workspace", "LowCardinality(String)" as "String"
        default "if(ResourceAttributes['millrace.workspace'] = '', 'default', ResourceAttributes['millrace.workspace'])",
        "ZSTD(1)";
    // attributes that are messages of a model call: no other map has any
    "ContentAttributes", "Map(LowCardinality(String), String)" as "Map(String, String)", "ZSTD(3)";
}

macro_rules! of_resource {
    ($($key:literal)*) => {
        [$(Alias {
            name: concat!("__otel_materialized_", $key),
            table_type: "LowCardinality(String)",
            expression: concat!("ResourceAttributes['", $key, "']"),
        }),*]
    };
}

/// The columns that are computed: `TimestampTime`, which the exporter had until 0.150 and Grafana asks for, and those that it materializes
/// since.
pub const ALIASES: [&[Alias]; 2] = [
    &[Alias { name: "TimestampTime", table_type: "DateTime", expression: "toDateTime(Timestamp)" }],
    &of_resource! {
        "k8s.cluster.name"
        "k8s.container.name"
        "k8s.deployment.name"
        "k8s.namespace.name"
        "k8s.node.name"
        "k8s.pod.name"
        "k8s.pod.uid"
        "deployment.environment.name"
    },
];

/// Columns of the exporter, which come first.
pub const STANDARD_COLUMNS: usize = 16;

/// When it happened, or else was observed.
pub const TIMESTAMP: At = at(COLUMNS, "Timestamp");
/// Its trace.
pub const TRACE_ID: At = at(COLUMNS, "TraceId");
/// Its span.
pub const SPAN_ID: At = at(COLUMNS, "SpanId");
/// The flags of its trace.
pub const TRACE_FLAGS: At = at(COLUMNS, "TraceFlags");
/// Its severity as the source spells it.
pub const SEVERITY_TEXT: At = at(COLUMNS, "SeverityText");
/// Its severity.
pub const SEVERITY_NUMBER: At = at(COLUMNS, "SeverityNumber");
/// `service.name` of its resource.
pub const SERVICE_NAME: At = at(COLUMNS, "ServiceName");
/// Its body: a string as it is, anything else as JSON.
pub const BODY: At = at(COLUMNS, "Body");
/// The schema URL of its resource.
pub const RESOURCE_SCHEMA_URL: At = at(COLUMNS, "ResourceSchemaUrl");
/// The attributes of its resource.
pub const RESOURCE_ATTRIBUTES: At = at(COLUMNS, "ResourceAttributes");
/// The schema URL of its scope.
pub const SCOPE_SCHEMA_URL: At = at(COLUMNS, "ScopeSchemaUrl");
/// The name of its scope.
pub const SCOPE_NAME: At = at(COLUMNS, "ScopeName");
/// The version of its scope.
pub const SCOPE_VERSION: At = at(COLUMNS, "ScopeVersion");
/// The attributes of its scope.
pub const SCOPE_ATTRIBUTES: At = at(COLUMNS, "ScopeAttributes");
/// Its attributes.
pub const LOG_ATTRIBUTES: At = at(COLUMNS, "LogAttributes");
/// Its attributes that are content.
pub const CONTENT_ATTRIBUTES: At = at(COLUMNS, "ContentAttributes");
/// What kind of event it is.
pub const EVENT_NAME: At = at(COLUMNS, "EventName");
