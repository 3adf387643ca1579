//! Spans of which another report was accepted, for the reconciler, which removes the rows that it supersedes.

use crate::columns::RowGroup;
use crate::ids::{SpanId, TraceId};
use crate::locks::locked;
use std::sync::{Arc, Mutex};

/// Spans that are noted at most; the reconciler's walk finds the rows of others.
const NOTED_MAX: usize = 65_536;

/// A span of which there are several reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReportedAgain {
    /// Its trace.
    pub trace: TraceId,
    /// Its own id.
    pub span: SpanId,
    /// Start time in the latest report, in nanoseconds since 1970.
    pub began: i64,
}

/// Where they are noted; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Noted(Arc<Mutex<Vec<ReportedAgain>>>);

impl Noted {
    /// Notes the spans at these positions.
    pub(super) fn note(&self, rows: &RowGroup, positions: &[usize]) {
        if positions.is_empty() {
            return;
        }
        let mut noted = locked(&self.0);
        let free = NOTED_MAX.saturating_sub(noted.len());
        let mut wanted = positions.iter().peekable();
        let spans = rows.ids().zip(rows.begins()).enumerate().filter_map(|(row, ((trace, span), began))| {
            wanted.next_if(|position| **position == row)?;
            Some(ReportedAgain { trace: TraceId::from_hex(trace).ok()?, span: SpanId::from_hex(span).ok()?, began })
        });
        noted.extend(spans.take(free));
    }

    /// Takes all spans noted since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<ReportedAgain> {
        std::mem::take(&mut *locked(&self.0))
    }
}
