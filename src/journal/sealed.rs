//! A sealed segment: nothing more is added to it, and it waits for ClickHouse.

use super::disk::FileId;
use super::segment_file::SegmentFile;
use crate::columns::Table;
use crate::ids::SegmentId;
use crate::numbers::to_u64;
use crate::time::UnixNanos;
use bytes::Bytes;
use std::any::Any;

/// What reserves memory for rows that are not on disk; dropped once they are stored. It is opaque: reservations belong to the
/// channel in front of the committer, and the journal does not know the channel.
pub type Held = Vec<Box<dyn Any + Send + Sync>>;

/// Where a segment's frames are.
pub(super) enum Body {
    File(SegmentFile),
    Memory { frames: Bytes, records: MemoryRecords, _held: Held },
}

/// Records of rows in memory, and how many keys they have.
#[derive(Debug, Default)]
pub(super) struct MemoryRecords {
    pub(super) bytes: Vec<u8>,
    pub(super) keys: usize,
}

/// A sealed segment.
pub(super) struct Sealed {
    pub(super) id: SegmentId,
    /// The table that its rows are for.
    pub(super) table: Table,
    /// The one that they were counted for when they came, or were found: of a file without a header the table shows when it is read.
    pub(super) counted_as: Table,
    pub(super) body: Body,
    pub(super) rows: usize,
    pub(super) bytes: u64,
    pub(super) oldest: UnixNanos,
    /// An earlier run wrote it, and anything may have happened to its file since.
    pub(super) is_recovered: bool,
    /// It may be in ClickHouse although its token is forgotten: the machine went down since.
    pub(super) in_doubt: bool,
    /// No start will find its file: it is not where it was written, and lives as long as this process has it open.
    pub(super) is_displaced: bool,
    /// How many rows it had is known, even if its file was damaged.
    pub(super) is_counted: bool,
    /// This journal acknowledged nothing of it: somebody put it there.
    pub(super) is_foreign: bool,
}

/// What a sealed segment adds to the totals of the backlog.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentSize {
    pub(super) rows: usize,
    pub(super) bytes: u64,
    pub(super) oldest: UnixNanos,
    /// A crash would lose it.
    pub(super) in_memory: bool,
    /// The folder that its file is in.
    pub(super) folder: Option<FileId>,
}

impl Sealed {
    /// A segment of this run, which ClickHouse has not seen.
    pub(super) fn of_this_run(
        (id, table): (SegmentId, Table),
        body: Body,
        rows: usize,
        bytes: u64,
        oldest: UnixNanos,
    ) -> Self {
        debug_assert!(rows > 0, "an empty segment is not sealed");
        if let Body::Memory { frames, records, .. } = &body {
            debug_assert_eq!(to_u64(frames.len() + records.bytes.len()), bytes, "its size is what it holds");
        }
        Self {
            id,
            table,
            counted_as: table,
            body,
            rows,
            bytes,
            oldest,
            is_recovered: false,
            in_doubt: false,
            is_displaced: false,
            is_counted: true,
            is_foreign: false,
        }
    }

    pub(super) fn size(&self) -> SegmentSize {
        let (in_memory, folder) = match &self.body {
            Body::Memory { .. } => (true, None),
            Body::File(file) => (self.is_displaced, Some(file.folder().id())),
        };
        SegmentSize { rows: self.rows, bytes: self.bytes, oldest: self.oldest, in_memory, folder }
    }

    pub(super) fn file(&self) -> Option<&SegmentFile> {
        match &self.body {
            Body::File(file) => Some(file),
            Body::Memory { .. } => None,
        }
    }

    pub(super) fn is_in(&self, folder: FileId) -> bool {
        self.file().is_some_and(|file| file.folder().id() == folder)
    }
}
