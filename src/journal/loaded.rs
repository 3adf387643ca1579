//! What a segment's file holds once it is read and checked, and how it may be inserted.
//!
//! ```text
//! Whole     all rows as one insert with one token, as often as it takes
//!   | Segment::mark_in_doubt: the file's name says so first
//! InDoubt   part by part, each with a token of its own, and only rows that ClickHouse does not have; never as a whole again
//! ```
//!
//! A token stands for the same rows whatever happened: that of a part is made from its frames, so it stays the same over
//! restarts and for what is left of a damaged file.

use super::format::{Scan, Unreadable};
use super::frames::Frames;
use crate::bounds::BLOCK_BYTES;
use crate::columns::Table;
use crate::columns::native::frames::{checksum_of, decompress_checked_frame, shape_of};
use crate::columns::native::parse::{Block, Malformed};
use crate::ids::SegmentId;
use bytes::Bytes;
use std::io;

/// A segment's frames, every one of them checked.
#[derive(Debug)]
pub enum Loaded {
    /// ClickHouse has nothing of it but by its token.
    Whole(Whole),
    /// ClickHouse may have rows of it otherwise.
    InDoubt(InDoubt),
}

/// All rows of a segment, to be inserted together.
#[derive(Debug)]
pub struct Whole {
    pub(super) id: SegmentId,
    pub(super) table: Table,
    pub(super) frames: Frames,
    pub(super) columns: Option<Vec<String>>,
}

/// The rows of a segment, of which ClickHouse may have some.
#[derive(Debug)]
pub struct InDoubt {
    pub(super) id: SegmentId,
    pub(super) table: Table,
    pub(super) frames: Bytes,
    pub(super) damage: Option<RowsLost>,
}

/// A file is not what was written: rows that this took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsLost {
    /// How many, at least.
    pub rows: usize,
    /// Not more than that.
    pub is_exact: bool,
}

impl RowsLost {
    /// So many, and not more.
    #[must_use]
    pub fn exactly(rows: usize) -> Self {
        Self { rows, is_exact: true }
    }
}

/// A run of blocks that become one insert: within [`BLOCK_BYTES`], or a single block.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its frames.
    pub frames: Bytes,
    /// Unlike that of any other part of any segment.
    pub token: String,
    /// Bytes of its blocks.
    pub content_bytes: usize,
}

/// Why a segment cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// I/O error.
    #[error("failed to read a segment: {0}")]
    Io(io::Error),
    /// The file is not what was written.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It has columns that this program does not know, as a later Millrace writes them.
    #[error("a later Millrace wrote it: {0}")]
    Later(Malformed),
    /// Nothing in it checks, or what checks cannot be understood.
    #[error("nothing in a segment can be read")]
    Nothing,
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl LoadError {
    /// Whether the file is whole, and for a later Millrace.
    #[must_use]
    pub fn is_of_later(&self) -> bool {
        matches!(self, Self::Later(_) | Self::Unreadable(Unreadable::Version(_)))
    }
}

impl Whole {
    /// The table that its rows are for.
    #[must_use]
    pub fn table(&self) -> Table {
        self.table
    }

    /// What ClickHouse gets.
    #[must_use]
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// The columns of its blocks, when they are not those of this program.
    #[must_use]
    pub fn columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    /// The token of its insert.
    #[must_use]
    pub fn token(&self) -> String {
        self.id.to_string()
    }

    /// Whether it would be more than one insert if it were in doubt.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        self.frames.have_parts()
    }
}

impl InDoubt {
    /// The table that its rows are for.
    #[must_use]
    pub fn table(&self) -> Table {
        self.table
    }

    /// What damage took, if there is any.
    #[must_use]
    pub fn damage(&self) -> Option<RowsLost> {
        self.damage
    }

    /// Its rows in parts, in order.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let (mut parts, mut rest) = (Vec::new(), self.frames.clone());
        while !rest.is_empty() {
            let (mut bytes, mut content_bytes) = (0, 0);
            while let Some(shape) = rest.get(bytes..).and_then(shape_of) {
                let is_too_much = content_bytes + shape.content_bytes > BLOCK_BYTES;
                if content_bytes > 0 && is_too_much {
                    break;
                }
                bytes += shape.frame_bytes;
                content_bytes += shape.content_bytes;
            }
            assert!(bytes > 0, "the frames were checked when they were read");
            let frames = rest.split_to(bytes);
            let token = format!("{}-{}", self.id, digest(&frames));
            parts.push(Part { frames, token, content_bytes });
        }
        parts
    }
}

fn digest(frames: &[u8]) -> String {
    checksum_of(frames).iter().take(size_of::<u64>()).map(|byte| format!("{byte:02x}")).collect()
}

/// The names of the columns in a segment of another version.
pub(super) fn columns_of(bytes: &[u8], found: &Scan) -> Result<Vec<String>, LoadError> {
    let (mut names, mut content) = (Vec::new(), Vec::new());
    for frame in found.frames_of(bytes) {
        content.clear();
        decompress_checked_frame(frame, &mut content).map_err(|_| LoadError::Nothing)?;
        let (block, _rest) = Block::parse(&content).map_err(|why| match why {
            // its columns are others, and its checksum is right: that is not damage
            Malformed::UnknownType(_) => LoadError::Later(why),
            _ => LoadError::Nothing,
        })?;
        block.add_column_names(&mut names);
    }
    if names.is_empty() { Err(LoadError::Nothing) } else { Ok(names) }
}
