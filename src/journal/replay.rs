//! What a start tells the dedup index of rows that earlier runs accepted.

use crate::columns::native::parse::Block;
use crate::ids::ReportKey;
use crate::time::UnixNanos;

/// Rows that are in the journal, or were.
#[derive(Debug)]
pub struct Replay<'a> {
    /// When they were accepted.
    pub accepted_at: UnixNanos,
    /// Which they are.
    pub rows: ReplayedRows<'a>,
}

/// See [`Replay`].
#[derive(Debug)]
pub enum ReplayedRows<'a> {
    /// Their keys.
    Keys(Vec<ReportKey>),
    /// The rows themselves: an earlier release wrote them, or their keys are of another secret.
    Block(&'a Block<'a>),
}

impl ReplayedRows<'_> {
    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Keys(keys) => keys.len(),
            Self::Block(block) => block.rows(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
