//! THE column lists of `genai_annotations` and `genai_evaluator_results`: what people and evaluators say of spans and sessions.
//!
//! A row is written again when it changes: of several with the same key the one of the latest `Version` counts, and a row with
//! `IsDeleted = 1` says that there is none any more.

use super::column::{At, Column, at};
use super::table::SEGMENT_ID;

/// A list: what both have, then its own.
macro_rules! scores {
    ($(#[$doc:meta])* $list:ident: $id:literal; $($name:literal, $table_type:literal as $wire_type:literal;)*) => {
        $(#[$doc])*
        pub const $list: &[Column] = &[
            // microseconds are kept of it
            column("CreatedAt", "DateTime64(9)", "DateTime64(9)", "Delta(8), ZSTD(1)"),
            column($id, "String", "String", "ZSTD(1)"),
            column("SessionId", "String", "String", "ZSTD(1)"),
            // empty: it is about the session
            column("SpanId", "String", "String", "ZSTD(1)"),
            // empty where the sender does not say
            column("TraceId", "String", "String", "ZSTD(1)"),
            column("CreatedBy", "LowCardinality(String)", "String", "ZSTD(1)"),
            $(column($name, $table_type, $wire_type, "ZSTD(1)"),)*
            column(SEGMENT_ID, "UUID", "UUID", "ZSTD(1)"),
            column("Workspace", "LowCardinality(String)", "String", "ZSTD(1)"),
            // microseconds since 1970, when the row was written
            column("Version", "UInt64", "UInt64", "Delta(8), ZSTD(1)"),
            column("IsDeleted", "UInt8", "UInt8", "ZSTD(1)"),
        ];
    };
}

const fn column(name: &'static str, table_type: &'static str, wire_type: &'static str, codec: &'static str) -> Column {
    Column { name, table_type, codec, default: "", wire_type }
}

scores! {
    /// `genai_annotations`
    ANNOTATIONS: "AnnotationId";
    // feedback, note, metadata, label
    "Kind", "LowCardinality(String)" as "String";
    // of a label
    "Name", "LowCardinality(String)" as "String";
    // of a label: text, numeric
    "ValueType", "LowCardinality(String)" as "String";
    // of feedback: positive, negative; of a label its text
    "ValueText", "String" as "String";
    "ValueNumeric", "Nullable(Float64)" as "Nullable(Float64)";
    // of a note
    "Text", "String" as "String";
    // an object as JSON
    "Metadata", "String" as "String";
}

scores! {
    /// `genai_evaluator_results`
    EVALUATOR_RESULTS: "EvaluatorResultId";
    "Name", "LowCardinality(String)" as "String";
    // NUMERIC, CATEGORICAL, BOOLEAN, TEXT
    "DataType", "LowCardinality(String)" as "String";
    "Value", "Nullable(Float64)" as "Nullable(Float64)";
    "StringValue", "String" as "String";
    "Comment", "String" as "String";
}

/// When it was made; the same place in both, and so the next six.
pub const CREATED_AT: At = at(ANNOTATIONS, "CreatedAt");
/// Its own id.
pub const ID: At = at(ANNOTATIONS, "AnnotationId");
/// The session that it is about.
pub const SESSION_ID: At = at(ANNOTATIONS, "SessionId");
/// The span that it is about.
pub const SPAN_ID: At = at(ANNOTATIONS, "SpanId");
/// That span's trace.
pub const TRACE_ID: At = at(ANNOTATIONS, "TraceId");
/// Who made it.
pub const CREATED_BY: At = at(ANNOTATIONS, "CreatedBy");

/// The places of the columns that only annotations have, and of their version.
pub mod annotation {
    use super::{ANNOTATIONS, At, at};

    /// What kind of annotation.
    pub const KIND: At = at(ANNOTATIONS, "Kind");
    /// The name of a label.
    pub const NAME: At = at(ANNOTATIONS, "Name");
    /// What the value of a label is.
    pub const VALUE_TYPE: At = at(ANNOTATIONS, "ValueType");
    /// A text that is a value.
    pub const VALUE_TEXT: At = at(ANNOTATIONS, "ValueText");
    /// What a note says.
    pub const TEXT: At = at(ANNOTATIONS, "Text");
    /// A number.
    pub const VALUE_NUMERIC: At = at(ANNOTATIONS, "ValueNumeric");
    /// An object.
    pub const METADATA: At = at(ANNOTATIONS, "Metadata");
    /// When the row was written.
    pub const VERSION: At = at(ANNOTATIONS, "Version");
    /// Whether it says that there is none any more.
    pub const IS_DELETED: At = at(ANNOTATIONS, "IsDeleted");
}

/// The places of the columns that only evaluator results have, and of their version.
pub mod result {
    use super::{At, EVALUATOR_RESULTS, at};

    /// What was measured.
    pub const NAME: At = at(EVALUATOR_RESULTS, "Name");
    /// What its value is.
    pub const DATA_TYPE: At = at(EVALUATOR_RESULTS, "DataType");
    /// A number.
    pub const VALUE: At = at(EVALUATOR_RESULTS, "Value");
    /// A text.
    pub const STRING_VALUE: At = at(EVALUATOR_RESULTS, "StringValue");
    /// Why.
    pub const COMMENT: At = at(EVALUATOR_RESULTS, "Comment");
    /// When the row was written.
    pub const VERSION: At = at(EVALUATOR_RESULTS, "Version");
    /// Whether it says that there is none any more.
    pub const IS_DELETED: At = at(EVALUATOR_RESULTS, "IsDeleted");
}
