//! A span of a document, before it is a row.

use crate::columns::{SpanKind, StatusCode};
use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;
use std::borrow::Cow;

/// A text that belongs to the document, or was made of it.
pub(super) type Text<'d> = Cow<'d, str>;

/// A span of a document.
#[derive(Debug, Clone)]
pub(super) struct DocumentSpan<'d> {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: Text<'d>,
    pub(super) kind: SpanKind,
    pub(super) service_name: Text<'d>,
    pub(super) start: UnixNanos,
    /// When it ended; `None` if nobody says.
    pub(super) end: Option<UnixNanos>,
    /// Whether the document says when it was. A time that was made here tells no report from another.
    pub(super) is_timed: bool,
    pub(super) status: StatusCode,
    pub(super) status_message: Text<'d>,
    /// Attributes; those that the conventions know as content are kept apart.
    pub(super) attributes: Vec<(Text<'d>, Text<'d>)>,
}

impl<'d> DocumentSpan<'d> {
    pub(super) fn new((trace_id, span_id): (TraceId, SpanId), name: impl Into<Text<'d>>, start: UnixNanos) -> Self {
        Self {
            trace_id,
            span_id,
            parent: None,
            name: name.into(),
            kind: SpanKind::Internal,
            service_name: Text::default(),
            start,
            end: None,
            is_timed: true,
            status: StatusCode::default(),
            status_message: Text::default(),
            attributes: Vec::with_capacity(16),
        }
    }

    /// Adds an attribute, if it says anything.
    pub(super) fn put(&mut self, key: impl Into<Text<'d>>, value: impl Into<Text<'d>>) {
        let value = value.into();
        if !value.is_empty() {
            self.attributes.push((key.into(), value));
        }
    }

    /// Adds a number, if it is known.
    pub(super) fn put_count(&mut self, key: &'static str, count: Option<u64>) {
        if let Some(count) = count {
            self.put(key, count.to_string());
        }
    }
}
