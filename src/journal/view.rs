//! What the journal holds, in numbers: for health, metrics and the decision to seal.

use crate::time::UnixNanos;

/// The backlog as health shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BacklogView {
    /// Segments that are not stored.
    pub segments: usize,
    /// Their rows, with those of the active segments.
    pub rows: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Rows of those that are only in memory.
    pub rows_in_memory: usize,
    /// When the oldest of their rows was accepted.
    pub oldest: Option<UnixNanos>,
}

/// An active segment's size so far, for the decision to seal it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveView {
    /// Rows.
    pub rows: usize,
    /// Bytes before compression.
    pub content_bytes: usize,
    /// Days that its spans began on, each a partition of the table.
    pub days: usize,
}

/// The active segments of both lanes, as part of the backlog's totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ActiveTotals {
    pub(super) rows: usize,
    pub(super) rows_in_memory: usize,
    pub(super) bytes: u64,
    pub(super) bytes_in_memory: u64,
    pub(super) oldest: Option<UnixNanos>,
}
