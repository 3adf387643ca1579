//! What is wrong with a request, or with one of its spans.

use super::signal::Signal;
use std::collections::BTreeMap;
use std::fmt;

/// Why a whole request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not the protobuf message they should be.
    #[error("the request is not valid OTLP: {part} {problem}")]
    Malformed {
        /// Where.
        part: Part,
        /// What.
        problem: WireError,
    },
    /// Lists and maps are nested too deep. Within an item it costs the item alone.
    #[error("an attribute is nested deeper than {max} levels")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// Its rows take more than can be stored at once.
    #[error("the {items} of the request take more than {max} bytes as rows; send smaller batches")]
    TooLarge {
        /// The rows of what.
        items: &'static str,
        /// The limit.
        max: usize,
    },
    /// The request holds too much.
    #[error("the request has more than {max} {what}; send smaller batches")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// The part of a request that is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of OTLP's messages")]
pub enum Part {
    Request(Signal),
    OfResource(Signal),
    Resource,
    OfScope(Signal),
    Scope,
    Span,
    Event,
    Link,
    Status,
    LogRecord,
    Metric,
    /// Gauge, Sum and the like.
    MetricData,
    DataPoint,
    Buckets,
    Quantile,
    Exemplar,
    Attribute,
    Value,
}

impl Part {
    /// Makes a wire error one of this part.
    pub(crate) fn is(self) -> impl Fn(WireError) -> DecodeError {
        move |problem| DecodeError::Malformed { part: self, problem }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request(Signal::Traces) => "the ExportTraceServiceRequest",
            Self::Request(Signal::Logs) => "the ExportLogsServiceRequest",
            Self::Request(Signal::Metrics) => "the ExportMetricsServiceRequest",
            Self::OfResource(Signal::Traces) => "a ResourceSpans message",
            Self::OfResource(Signal::Logs) => "a ResourceLogs message",
            Self::OfResource(Signal::Metrics) => "a ResourceMetrics message",
            Self::Resource => "a Resource message",
            Self::OfScope(Signal::Traces) => "a ScopeSpans message",
            Self::OfScope(Signal::Logs) => "a ScopeLogs message",
            Self::OfScope(Signal::Metrics) => "a ScopeMetrics message",
            Self::Scope => "an InstrumentationScope message",
            Self::Span => "a Span message",
            Self::Event => "a Span.Event message",
            Self::Link => "a Span.Link message",
            Self::Status => "a Status message",
            Self::LogRecord => "a LogRecord message",
            Self::Metric => "a Metric message",
            Self::MetricData => "the data of a Metric message",
            Self::DataPoint => "a data point message",
            Self::Buckets => "a Buckets message",
            Self::Quantile => "a ValueAtQuantile message",
            Self::Exemplar => "an Exemplar message",
            Self::Attribute => "a KeyValue message",
            Self::Value => "an AnyValue message",
        })
    }
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field goes on after the end of its message.
    #[error("is cut off")]
    Truncated,
    /// A number takes more than 64 bits.
    #[error("has a number longer than 64 bits")]
    LongVarint,
    /// A field has a number below 1 or above 2^29 - 1, or a wire type that does not exist.
    #[error("has a field tag that does not exist")]
    Tag,
    /// A field has another wire type than the standard gives it.
    #[error("has a field of the wrong wire type")]
    WireType,
    /// Groups are nested too deep, or end without having begun.
    #[error("has groups that do not match")]
    Group,
}

/// Items by their place in the request, counted from 0, and what is wrong with each.
pub(super) type TypeErrors = BTreeMap<usize, WrongType>;

/// A value of another type than its field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {wanted}")]
pub(super) struct WrongType {
    pub(super) field: &'static str,
    pub(super) wanted: &'static str,
}
