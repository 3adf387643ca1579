//! The segments that rows of one table are added to, and the file that the next one gets.

use super::active::{ActiveSegment, MemorySegment, PreparedFile};
use super::error::CommitError;
use std::sync::mpsc;

/// Those of one table.
#[derive(Default)]
pub(super) struct OpenSegments {
    pub(super) on_disk: Option<ActiveSegment>,
    pub(super) in_memory: Option<MemorySegment>,
    pub(super) next: Option<mpsc::Receiver<Result<PreparedFile, CommitError>>>,
}
