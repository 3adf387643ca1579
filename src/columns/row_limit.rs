//! How large a row may be, and what a text takes of that.

use crate::bounds::ROW_BYTES_MAX;

/// A row that no block takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it takes {bytes} bytes as a row, more than the {ROW_BYTES_MAX} that a row may have")]
pub struct RowTooLarge {
    /// What it takes.
    pub bytes: usize,
}

/// What the length of a text may take beyond its first byte.
pub(super) const LENGTH_BYTES_MORE: usize = 9;
/// The longest text whose length is one byte.
const SHORT_TEXT_BYTES_MAX: usize = 127;

/// The bytes of a row, if a block takes it.
pub(super) fn fitting(row_bytes: usize) -> Result<usize, RowTooLarge> {
    if row_bytes <= ROW_BYTES_MAX { Ok(row_bytes) } else { Err(RowTooLarge { bytes: row_bytes }) }
}

/// What a text takes beyond an empty one.
pub(super) fn text_bytes(text: &[u8]) -> usize {
    text.len() + if text.len() > SHORT_TEXT_BYTES_MAX { LENGTH_BYTES_MORE } else { 0 }
}
