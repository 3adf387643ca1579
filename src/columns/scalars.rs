//! What a span has once: the values of its scalar columns, and the table's literals for kind and status.

use super::build::map::MapRow;
use super::typed::JoinState;
use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;

/// What a span has once, as text and numbers ready for their columns.
#[derive(Debug, Clone, Copy)]
pub struct SpanScalars<'a> {
    /// When it began.
    pub start: UnixNanos,
    /// How long it took, in nanoseconds.
    pub duration_nanos: u64,
    /// Its trace.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// Its parent; `None` for a root.
    pub parent: Option<SpanId>,
    /// W3C trace state as sent.
    pub trace_state: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// Its kind.
    pub kind: SpanKind,
    /// `service.name` of its resource.
    pub service_name: &'a [u8],
    /// Name of the instrumentation scope.
    pub scope_name: &'a [u8],
    /// Version of the instrumentation scope.
    pub scope_version: &'a [u8],
    /// Its status.
    pub status: StatusCode,
    /// The status description.
    pub status_message: &'a [u8],
    /// The request of a captured chat-completion, as it was sent.
    pub raw_request: &'a [u8],
    /// Its response.
    pub raw_response: &'a [u8],
    /// Whether a chat-completion found its place in its trace.
    pub join_state: JoinState,
    /// OTLP's flags.
    pub flags: u32,
    /// The attributes of its scope.
    pub scope_attributes: Option<&'a MapRow>,
    /// The schema URL of its resource.
    pub resource_schema_url: &'a [u8],
    /// The schema URL of its scope.
    pub scope_schema_url: &'a [u8],
    /// Distinguishes this report of the span from others; not a column.
    pub fingerprint: u64,
}

impl SpanScalars<'_> {
    /// A span that has only what every span must have; the rest is added with `..`.
    #[must_use]
    pub fn new(start: UnixNanos, trace_id: TraceId, span_id: SpanId) -> Self {
        Self {
            start,
            duration_nanos: 0,
            trace_id,
            span_id,
            parent: None,
            trace_state: b"",
            name: b"",
            kind: SpanKind::default(),
            service_name: b"",
            scope_name: b"",
            scope_version: b"",
            status: StatusCode::default(),
            status_message: b"",
            raw_request: b"",
            raw_response: b"",
            join_state: JoinState::Ordinary,
            flags: 0,
            scope_attributes: None,
            resource_schema_url: b"",
            scope_schema_url: b"",
            fingerprint: 0,
        }
    }
}

/// Kind of a span, with the table's literals. Source: OTLP trace.proto, `Span.SpanKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpanKind {
    /// 0, and every number not defined.
    #[default]
    Unspecified,
    /// 1
    Internal,
    /// 2
    Server,
    /// 3
    Client,
    /// 4
    Producer,
    /// 5
    Consumer,
}

impl SpanKind {
    /// From OTLP's number.
    #[must_use]
    pub fn from_otlp(number: u64) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// The table's literal.
    #[must_use]
    pub fn literal(self) -> &'static str {
        match self {
            Self::Unspecified => "Unspecified",
            Self::Internal => "Internal",
            Self::Server => "Server",
            Self::Client => "Client",
            Self::Producer => "Producer",
            Self::Consumer => "Consumer",
        }
    }
}

/// Status of a span, with the table's literals. Source: OTLP trace.proto, `Status.StatusCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatusCode {
    /// 0, and every number not defined.
    #[default]
    Unset,
    /// 1
    Ok,
    /// 2
    Error,
}

impl StatusCode {
    /// From OTLP's number.
    #[must_use]
    pub fn from_otlp(number: u64) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }

    /// The table's literal.
    #[must_use]
    pub fn literal(self) -> &'static str {
        match self {
            Self::Unset => "Unset",
            Self::Ok => "Ok",
            Self::Error => "Error",
        }
    }
}
