//! The segments that rows are added to: one on disk, one in memory.
//!
//! ```text
//! PreparedFile  its header is durable, no rows yet --first commit--> ActiveSegment --seal--> Sealed
//!                                                                    MemorySegment ---^
//! ```

use super::config::Options;
use super::disk::{Appendable, Folder};
use super::error::{CommitError, Full, Gone};
use super::format::{FileName, FileState, Header, columns_hash};
use super::records::Record;
use super::sealed::{Held, MemoryRecords};
use super::segment_file::Place;
use crate::columns::native::encode::cut;
use crate::columns::native::frames::{Compressor, FrameBegun, Method};
use crate::columns::{Group, Table};
use crate::ids::{ReportKey, SegmentId};
use crate::numbers::to_u64;
use crate::time::UnixNanos;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Buffers larger than this are freed after the commit that needed them.
pub(super) const BUFFER_KEPT_BYTES: usize = 16 << 20;

/// A segment's file with its header, durable and without rows.
pub(super) struct PreparedFile {
    pub(super) id: SegmentId,
    pub(super) table: Table,
    pub(super) folder: Arc<dyn Folder>,
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn Appendable>,
    /// What is durable of it.
    pub(super) bytes: u64,
}

/// The segment on disk that rows are added to.
pub(super) struct ActiveSegment {
    pub(super) file: PreparedFile,
    pub(super) stats: SegmentStats,
    /// Of all its blocks, once it has any.
    pub(super) method: Option<Method>,
}

/// The segment in memory that rows are added to.
pub(super) struct MemorySegment {
    pub(super) id: SegmentId,
    pub(super) table: Table,
    pub(super) frames: Vec<u8>,
    pub(super) records: MemoryRecords,
    pub(super) held: Held,
    pub(super) stats: SegmentStats,
}

/// What a segment holds so far.
#[derive(Debug, Clone, Default)]
pub(super) struct SegmentStats {
    pub(super) rows: usize,
    /// Before compression.
    pub(super) content_bytes: usize,
    pub(super) days: BTreeSet<i64>,
    pub(super) oldest: UnixNanos,
}

/// The buffers that a commit is encoded in.
#[derive(Default)]
pub(super) struct Scratch {
    /// All frames of the commit.
    pub(super) frames: Vec<u8>,
    compressor: Compressor,
}

/// Which segments are compressed. Of one segment all blocks are, or none: ClickHouse refuses an insert whose frames have different
/// methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compressed {
    All,
    /// Those whose first rows have fewer bytes than [`LARGE_ROW_BYTES`] on average.
    SmallRows,
    None,
    /// As the blocks are that the segment has already.
    AsBefore(Method),
}

/// Rows of so many bytes have texts of people and models in them, which LZ4 makes half as long, and takes most of what such a row costs
/// for it. Others consist of what repeats: LZ4 makes a seventh of them in no time. Measured: docs/performance.md.
const LARGE_ROW_BYTES: usize = 2 << 10;

impl Compressed {
    fn method(self, content_bytes: usize, rows: usize) -> Method {
        let is_large = content_bytes >= rows.saturating_mul(LARGE_ROW_BYTES);
        match self {
            Self::All => Method::Lz4,
            Self::SmallRows if !is_large => Method::Lz4,
            Self::SmallRows | Self::None => Method::None,
            Self::AsBefore(method) => method,
        }
    }
}

/// What a commit was encoded to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoded {
    rows: usize,
    /// Of the blocks, before compression.
    content_bytes: usize,
    /// Of all blocks.
    method: Option<Method>,
}

/// The keys of the rows of a commit, and what their records say beside them.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeysOfCommit<'a> {
    /// One a row, or none at all.
    pub(super) keys: &'a [ReportKey],
    pub(super) accepted_at: UnixNanos,
    pub(super) secret_hash: u64,
}

impl KeysOfCommit<'_> {
    pub(super) fn record(self, out: &mut Vec<u8>) {
        Record::encode(self.keys, self.accepted_at, self.secret_hash, out);
    }
}

impl PreparedFile {
    /// Makes the file of a segment.
    pub(super) fn make(
        disk: &Arc<dyn Folder>,
        options: &Options,
        id: SegmentId,
        table: Table,
    ) -> Result<Self, CommitError> {
        let path = options.dir.join(FileName { id, state: FileState::Open }.file());
        // it gets its name once its header is durable: one that is shorter was not left by a crash
        let begun = options.dir.join(FileName { id, state: FileState::New }.file());
        let created_nanos = id.number().cast_signed();
        let name = format!("{}.{}", options.database, table.name());
        let header = Header { id, created_nanos, columns: columns_hash(table), table: name }.encode();
        let mut file = disk.create(&begun).map_err(|error| {
            // nothing acknowledged is in a file that was not made
            if is_full(&error) { Full::Disk.into() } else { CommitError::NoFile(error) }
        })?;
        let written = file.append(&header).and_then(|()| file.sync());
        let named = written.and_then(|()| disk.rename(&begun, &path)).and_then(|()| disk.sync_dir(&options.dir));
        named.map_err(|error| {
            let _left_for_the_next_start = disk.remove(&begun).or_else(|_| disk.remove(&path));
            match error {
                error if is_full(&error) => Full::Disk.into(),
                error if is_out_of_files(&error) => CommitError::NoFile(error),
                // its name was taken away before it had rows
                error if error.kind() == io::ErrorKind::NotFound => gone(disk).into(),
                error => CommitError::Failed(error),
            }
        })?;
        Ok(Self { id, table, folder: Arc::clone(disk), path, file, bytes: to_u64(header.len()) })
    }

    /// Whether its name does not lead to it.
    pub(super) fn is_left(&self) -> bool {
        let (folder, path, file) = (Arc::clone(&self.folder), self.path.clone(), Some(self.file.id()));
        Place { folder, path, file }.is_left()
    }

    /// Whether a start now would not find it.
    fn gone(&self) -> Option<Gone> {
        (!self.folder.is_in_place() || self.is_left()).then(|| gone(&self.folder))
    }
}

impl ActiveSegment {
    pub(super) fn new(file: PreparedFile) -> Self {
        Self { file, stats: SegmentStats::default(), method: None }
    }

    /// Appends a commit and makes it durable where a start finds it, or leaves the file as it was. Returns how long the fsync took.
    pub(super) fn write(
        &mut self,
        commit: &[u8],
        encoded: Encoded,
        groups: &[&impl Group],
        now: UnixNanos,
    ) -> Result<Duration, CommitError> {
        debug_assert!(!commit.is_empty(), "what is acknowledged is written");
        let synced_in = append_durably(&mut self.file, commit)?;
        self.stats.add(groups, encoded, now);
        self.method = encoded.method;
        Ok(synced_in)
    }
}

fn append_durably(file: &mut PreparedFile, commit: &[u8]) -> Result<Duration, CommitError> {
    let appended = file.file.append(commit);
    let began = Instant::now();
    let why = match appended {
        Ok(()) => match file.file.sync() {
            Ok(()) => match file.gone() {
                None => {
                    let synced_in = began.elapsed();
                    file.bytes += to_u64(commit.len());
                    return Ok(synced_in);
                }
                Some(gone) => return Err(take_back(file, gone)),
            },
            Err(error) => CommitError::Failed(error),
        },
        Err(error) if is_full(&error) => Full::Disk.into(),
        Err(error) => CommitError::Failed(error),
    };
    // what could not be made durable must not look as if it were to the next start, which reads it from memory
    match (file.file.cut_back(file.bytes), why) {
        (Err(error), CommitError::Full(_)) => Err(CommitError::Failed(error)),
        (_, why) => Err(why),
    }
}

/// It is durable, in a file that may be put back where it was: its sender is told to try again, and it must not come twice.
fn take_back(file: &mut PreparedFile, gone: Gone) -> CommitError {
    match file.file.cut_back(file.bytes).and_then(|()| file.file.sync()) {
        Ok(()) => gone.into(),
        Err(error) => CommitError::Failed(error),
    }
}

/// What is gone when the name of a file in the folder leads nowhere.
fn gone(folder: &Arc<dyn Folder>) -> Gone {
    if folder.is_in_place() { Gone::File } else { Gone::Folder }
}

/// The process, or the machine, has as many files open as it may: that passes.
fn is_out_of_files(error: &io::Error) -> bool {
    let known = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(rustix::io::Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| known.contains(&code))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl MemorySegment {
    pub(super) fn new(id: SegmentId, table: Table) -> Self {
        let (records, stats) = (MemoryRecords::default(), SegmentStats::default());
        Self { id, table, frames: Vec::new(), records, held: Held::new(), stats }
    }

    /// Adds a commit; returns the bytes that it takes.
    pub(super) fn add(
        &mut self,
        commit: &[u8],
        encoded: Encoded,
        groups: &[&impl Group],
        keys: KeysOfCommit<'_>,
    ) -> usize {
        let before = self.bytes();
        self.frames.extend_from_slice(commit);
        keys.record(&mut self.records.bytes);
        self.records.keys += keys.keys.len();
        self.stats.add(groups, encoded, keys.accepted_at);
        self.bytes() - before
    }

    /// What it holds in memory.
    pub(super) fn bytes(&self) -> usize {
        self.frames.len() + self.records.bytes.len()
    }
}

impl SegmentStats {
    fn add(&mut self, groups: &[&impl Group], encoded: Encoded, now: UnixNanos) {
        debug_assert_eq!(
            encoded.rows,
            groups.iter().map(|group| group.rows()).sum::<usize>(),
            "each row is in one block"
        );
        if self.rows == 0 {
            self.oldest = now;
        }
        self.rows += encoded.rows;
        self.content_bytes += encoded.content_bytes;
        self.days.extend(groups.iter().flat_map(|group| group.days().iter().copied()));
    }
}

impl Scratch {
    /// Encodes the rows into `frames`, block by block, each with its record if there are `keys`.
    pub(super) fn encode(
        &mut self,
        groups: &[&impl Group],
        id: SegmentId,
        compressed: Compressed,
        keys: Option<KeysOfCommit<'_>>,
    ) -> Encoded {
        self.frames.clear();
        let mut encoded = Encoded { rows: 0, content_bytes: 0, method: None };
        let mut keys_left = keys.map_or(&[][..], |keys| keys.keys);
        for rows in cut(groups) {
            let begun = FrameBegun::at_end_of(&mut self.frames);
            rows.append_to(id, &mut self.frames);
            let content_bytes = begun.content(&self.frames).bytes().len();
            encoded.content_bytes += content_bytes;
            encoded.rows += rows.rows();
            let of_first = || compressed.method(content_bytes, rows.rows());
            let method = *encoded.method.get_or_insert_with(of_first);
            self.compressor.finish(begun, method, &mut self.frames);
            if let Some(keys) = keys.filter(|keys| !keys.keys.is_empty()) {
                let (of_block, rest) = keys_left.split_at(rows.rows());
                KeysOfCommit { keys: of_block, ..keys }.record(&mut self.frames);
                keys_left = rest;
            }
        }
        debug_assert!(keys_left.is_empty(), "each key is of a row");
        encoded
    }

    /// Without buffers that only a large commit needed.
    pub(super) fn trimmed(mut self) -> Self {
        self.compressor.trim(BUFFER_KEPT_BYTES);
        if self.frames.capacity() > BUFFER_KEPT_BYTES {
            self.frames = Vec::new();
        }
        self
    }
}
