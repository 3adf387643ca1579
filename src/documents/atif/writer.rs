//! What the spans of one document share while they are written.

use super::messages::Room;
use crate::documents::{DocumentRows, ids};
use crate::ids::{SpanId, TraceId};
use crate::json::limits::Limits;
use crate::time::UnixNanos;

/// Writes the spans of one document.
pub(super) struct Writer<'w, 'p> {
    pub(super) rows: &'w mut DocumentRows<'p>,
    pub(super) limits: Limits,
    /// When the document came.
    pub(super) now: UnixNanos,
    pub(super) trace_id: TraceId,
    pub(super) session: Option<&'w str>,
    pub(super) room: Room,
}

impl Writer<'_, '_> {
    /// The id of a span of a trajectory.
    pub(super) fn span_id(&self, path: &[&str], kind: &str, rest: &[&str]) -> SpanId {
        let (trace, depth) = (self.trace_id.to_string(), path.len().to_string());
        let names = ["atif", &trace, &depth].into_iter().chain(path.iter().copied());
        ids::span(names.chain([kind]).chain(rest.iter().copied()))
    }
}
