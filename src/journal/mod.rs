//! The journal: what "acknowledged" rests on. **The log is the insert**: a segment is a file of ClickHouse's own compressed
//! frames, each one Native block; a commit writes one or a few of them and syncs once; ClickHouse gets it as it lies on disk.
//!
//! ```text
//! disk.rs       what is asked of a file system
//! folder.rs     the machine's: a folder that is locked, and known to be the one that was opened
//! kept_open.rs  the file of a segment that waits, which is read even if somebody removed it
//! segment.rs    a segment's file: its header, its frames, what its name says
//! mod.rs        commit and seal
//! recover.rs    the start after whatever happened before
//! ledger.rs     what was acknowledged, to compare with what is found
//! aside.rs      what is found and is not what it should be
//! backlog.rs    sealed segments on their way to the exporter
//! place.rs      what happens when the folder is removed under a running journal
//! known.rs      beside the rows, what the index of repeats knows them by
//! archive.rs    the same of segments that are gone
//! loaded.rs     what a segment holds once it is read, and how it may be inserted
//! waiter.rs     senders that wait until ClickHouse has theirs
//! dead.rs       rows that ClickHouse refuses for good
//! ```
//!
//! Source: ClickHouse documentation, "Native"; DESIGN sections 1 to 3.

mod archive;
mod aside;
mod backlog;
mod dead;
mod disk;
mod folder;
mod kept_open;
mod known;
mod ledger;
mod loaded;
mod place;
mod recover;
mod segment;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod waiter;

pub use aside::{Aside, Asides, Reason};
pub use backlog::{Backlog, Held, History, Order, Outcome, Segment, View};
pub use dead::{DeadLetter, DeadLetterReason, DeadLetters};
pub use disk::{Appendable, Disk, Entry, FileId, Folder, MachineDisk, Overwritable, Readable};
pub use folder::MachineFolder;
pub use known::IsNew;
pub use loaded::{InDoubt, LoadError, Loaded, Part, RowsLost, Whole};
pub use segment::Unreadable;
pub use waiter::{SettleObserver, Waiter};

use crate::columns::RowGroup;
use crate::columns::native::encode::cut;
use crate::columns::native::frames::{checksum_of, compress_frame};
use crate::columns::native::parse::Block;
use crate::ids::{ReportKey, SegmentId};
use crate::sizes::ByteSize;
use crate::telemetry::Metrics;
use crate::time::UnixNanos;
use backlog::{Body, Growing, Known, Sealed};
use kept_open::{Descriptors, OnDisk, Place};
use known::Record;
use ledger::Acknowledged;
use segment::{COLUMNS_HASH, Header, Name, State};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

/// Buffers larger than this are given back after the commit that needed them.
const BUFFER_KEPT_BYTES: usize = 16 << 20;
/// A file system with less room than this counts as full: what is under way must still fit.
const FREE_BYTES_MIN: u64 = 32 << 20;
/// Without `journal.max_bytes`: this, or the share below of what is free, whichever is less.
const MAX_BYTES_DEFAULT: u64 = 10 << 30;
const FREE_SHARE_PERCENT: u64 = 80;
const LOCK_FILE: &str = "lock";
const BOOT_FILE: &str = "boot";

/// How the journal is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Bytes on disk; absent = 10 GiB or 80 % of what is free at the start, whichever is less.
    pub max_bytes: Option<ByteSize>,
    /// A segment is sealed when it has this many rows.
    pub segment_rows: usize,
    /// A segment is sealed when it has this many bytes before compression.
    pub segment_bytes: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_bytes: None, segment_rows: 100_000, segment_bytes: ByteSize::mib(32) }
    }
}

/// Where rows are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// On disk, synced.
    Disk,
    /// In memory alone.
    Memory,
}

/// There is no room on disk now; what was not taken can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The file system is full.
    #[error("the disk is full")]
    Disk,
    /// The journal is as large as it may be.
    #[error("the journal has reached journal.max_bytes")]
    Journal,
}

/// What was committed now would not be found by the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// Its path leads nowhere, or to another folder.
    #[error("the journal's folder was removed, renamed or replaced")]
    Folder,
    /// The name of the file that rows are added to leads nowhere, or to another file.
    #[error("a file of the journal was removed or renamed while rows were added to it")]
    File,
}

/// Why rows were not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was kept, and the journal goes on.
    #[error(transparent)]
    Full(#[from] Full),
    /// No file could be made for another segment. Nothing was kept, and the journal goes on.
    #[error("cannot make a file for the journal: {0}")]
    NoFile(#[source] io::Error),
    /// The folder, or the file, is not where it was opened. Nothing was kept, and the journal goes on.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The disk failed. Nothing may be believed of the open segment, and nothing more is taken: the process must end.
    #[error("the journal failed: {0}")]
    Failed(#[source] io::Error),
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error("another Millrace uses the journal in {0}; stop it, or give this one another data_dir")]
    InUse(PathBuf),
    /// Its folder was on another file system.
    #[error("another file system is in the place of the journal in {0}")]
    Elsewhere(PathBuf),
    /// What is there was not written by this process.
    #[error("another journal is in the place of the one in {0}; move it away, or restart Millrace to use it")]
    Occupied(PathBuf),
    /// The disk says no.
    #[error("failed to open the journal in {dir}: {source}")]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// What was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Segments that wait for ClickHouse.
    pub segments: usize,
    /// Their rows.
    pub rows: usize,
    /// Bytes of commits that were cut off, so never acknowledged.
    pub torn_bytes: u64,
    /// The machine was started again since: what waits may be in ClickHouse although its token is forgotten.
    pub in_doubt: bool,
}

/// How to open a journal.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder.
    pub dir: PathBuf,
    /// Its bounds.
    pub config: Config,
    /// The table that its rows are for.
    pub table: String,
    /// Unlike that of any other opening.
    pub origin: u64,
    /// What the keys of reports are made with.
    pub secret: u64,
    /// Keys of reports that are kept after their segments are gone, about.
    pub keys_max: usize,
    /// When it is opened.
    pub now: UnixNanos,
    /// Which start of the machine this is; unknown = every start is another.
    pub boot: Option<String>,
    /// Make the next segment's file in a thread while the present one is written.
    pub prepare_ahead: bool,
}

/// Rows that are in the journal, as the index of repeats is told of them.
#[derive(Debug)]
pub struct Heard<'a> {
    /// When they were accepted.
    pub accepted_at: UnixNanos,
    /// Which they are.
    pub rows: HeardRows<'a>,
}

/// See [`Heard`].
#[derive(Debug)]
pub enum HeardRows<'a> {
    /// Their keys.
    Keys(Vec<ReportKey>),
    /// What is known of them is the rows themselves: an earlier release wrote them, or their keys are of another secret.
    Block(&'a Block<'a>),
}

impl HeardRows<'_> {
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

/// An open journal. One thread owns it: every call blocks.
pub struct Journal {
    options: Options,
    disk: Arc<dyn Folder>,
    /// The folder's path leads elsewhere; why no other can be used instead.
    displaced: Option<String>,
    descriptors: Descriptors,
    backlog: Backlog,
    metrics: Metrics,
    max_bytes: u64,
    last_number: u64,
    /// When rows were last committed, in nanoseconds since 1970.
    latest: u64,
    on_disk: Option<Open>,
    in_memory: Option<OpenInMemory>,
    next: Option<mpsc::Receiver<Result<Fresh, CommitError>>>,
    scratch: Scratch,
}

/// What a commit is encoded in.
#[derive(Default)]
struct Scratch {
    /// One block.
    block: Vec<u8>,
    /// All frames of the commit.
    frames: Vec<u8>,
}

/// A file with its header, durable and empty.
struct Fresh {
    id: SegmentId,
    folder: Arc<dyn Folder>,
    path: PathBuf,
    file: Box<dyn Appendable>,
    bytes: u64,
}

struct Open {
    fresh: Fresh,
    about: About,
}

struct OpenInMemory {
    id: SegmentId,
    frames: Vec<u8>,
    known: Known,
    hold: Held,
    about: About,
}

/// What a segment holds so far.
#[derive(Debug, Clone, Default)]
struct About {
    rows: usize,
    /// Before compression.
    content_bytes: usize,
    days: BTreeSet<i64>,
    oldest: UnixNanos,
}

/// What a commit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The segment that the rows are in.
    pub segment: SegmentId,
    /// Bytes that they take there.
    pub frame_bytes: usize,
}

/// A segment's size so far, for the decision to seal it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenView {
    /// Rows.
    pub rows: usize,
    /// Bytes before compression.
    pub content_bytes: usize,
    /// Days that its spans began on, each a partition of the table.
    pub days: usize,
}

impl Journal {
    /// Opens the journal in a folder, after whatever ended the last run: torn ends are cut, everything whole waits for
    /// ClickHouse again. `seen` hears the spans in it, newest segment first, until it has heard enough and says false.
    ///
    /// # Errors
    /// When somebody else uses it, or the disk says no.
    pub fn open(
        options: Options,
        disk: Arc<dyn Folder>,
        metrics: Metrics,
        seen: &mut dyn FnMut(&Heard<'_>) -> bool,
    ) -> Result<(Self, Recovered), OpenError> {
        let failed = |dir: &Path| {
            let dir = dir.to_owned();
            move |source| OpenError::Io { dir, source }
        };
        disk.create_dir(&options.dir).map_err(failed(&options.dir))?;
        let backlog = Backlog::new(Arc::clone(&disk), &options.dir, metrics.clone());
        let mut journal = Self {
            disk,
            displaced: None,
            descriptors: Descriptors::default(),
            backlog,
            metrics,
            max_bytes: u64::MAX,
            last_number: 0,
            latest: u64::try_from(options.now.nanos()).unwrap_or(0),
            on_disk: None,
            in_memory: None,
            next: None,
            scratch: Scratch::default(),
            options,
        };
        let recovered = journal.recover(seen).map_err(failed(&journal.options.dir))?;
        journal.max_bytes = journal.default_max_bytes();
        journal.prepare_next();
        Ok((journal, recovered))
    }

    /// What the keys of reports are made with in this folder: made once from `random`, and kept.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn secret(folder: &dyn Folder, dir: &Path, random: u64) -> Result<(u64, IsNew), OpenError> {
        known::secret(folder, dir, random).map_err(|source| OpenError::Io { dir: dir.to_owned(), source })
    }

    /// The sealed segments.
    #[must_use]
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn default_max_bytes(&self) -> u64 {
        if let Some(ByteSize(bytes)) = self.options.config.max_bytes {
            return u64::try_from(bytes).unwrap_or(u64::MAX);
        }
        let free = self.disk.free_bytes(&self.options.dir).unwrap_or(u64::MAX);
        let all = free.saturating_add(self.backlog.disk_bytes());
        MAX_BYTES_DEFAULT.min(all / 100 * FREE_SHARE_PERCENT)
    }

    /// Whether there is room for more on disk. Removes what is only kept for repeats when there is not.
    ///
    /// # Errors
    /// When there is none.
    pub fn room(&self) -> Result<(), Full> {
        match self.room_now() {
            Ok(()) => Ok(()),
            Err(_) => {
                self.backlog.prune(true);
                self.room_now()
            }
        }
    }

    fn room_now(&self) -> Result<(), Full> {
        if self.backlog.disk_bytes() >= self.max_bytes {
            return Err(Full::Journal);
        }
        match self.disk.free_bytes(&self.options.dir) {
            Ok(free) if free < FREE_BYTES_MIN => Err(Full::Disk),
            _ => Ok(()),
        }
    }

    /// Adds rows, as one block or as many as their size asks for, and makes them durable on disk, with the keys that the index
    /// of repeats knows them by: one a row, or none at all. All of them are one write and one fsync.
    ///
    /// # Errors
    /// When nothing was kept.
    pub fn commit(
        &mut self,
        lane: Lane,
        groups: &[&RowGroup],
        keys: &[ReportKey],
        now: UnixNanos,
    ) -> Result<Committed, CommitError> {
        let rows: usize = groups.iter().map(|group| group.rows()).sum();
        debug_assert!(rows > 0, "a commit without rows would write nothing");
        debug_assert!(keys.is_empty() || keys.len() == rows, "{} keys of {rows} rows", keys.len());
        if lane == Lane::Disk {
            if self.displaced.is_some() {
                self.put_in_place()?;
            }
            self.room()?;
        }
        self.latest = u64::try_from(now.nanos()).unwrap_or(0).max(self.latest);
        let mut scratch = std::mem::take(&mut self.scratch);
        let committed = match lane {
            Lane::Disk => self.commit_to_disk(&mut scratch, groups, keys, now),
            Lane::Memory => Ok(self.commit_to_memory(&mut scratch, groups, keys, now)),
        };
        self.scratch = scratch.trimmed();
        self.show_growing();
        committed
    }

    fn commit_to_disk(
        &mut self,
        scratch: &mut Scratch,
        groups: &[&RowGroup],
        keys: &[ReportKey],
        now: UnixNanos,
    ) -> Result<Committed, CommitError> {
        let secret = secret_hash(&self.options);
        let open = self.begin_on_disk()?;
        let content_bytes = scratch.encode(groups, open.fresh.id, Some((keys, now, secret)));
        if let Err(error) = write(&mut open.fresh, &scratch.frames) {
            if matches!(error, CommitError::Gone(_)) {
                // what was acknowledged before is sent as long as it is open; nothing more is added
                self.seal(Lane::Disk);
                self.on_disk = None;
                let _again_with_the_next_commit = self.put_in_place();
            }
            return Err(error);
        }
        open.about.add(groups, content_bytes, now);
        let committed = Committed { segment: open.fresh.id, frame_bytes: scratch.frames.len() };
        let acknowledged = Acknowledged { rows: open.about.rows, bytes: open.fresh.bytes };
        self.backlog.ledger().note(committed.segment, acknowledged);
        self.metrics.journal.commits.inc();
        self.metrics.journal.fsyncs.inc();
        self.metrics.journal.written_bytes.inc_by(u64::try_from(committed.frame_bytes).unwrap_or(u64::MAX));
        Ok(committed)
    }

    fn commit_to_memory(
        &mut self,
        scratch: &mut Scratch,
        groups: &[&RowGroup],
        keys: &[ReportKey],
        now: UnixNanos,
    ) -> Committed {
        let secret = secret_hash(&self.options);
        let open = self.begin_in_memory();
        let content_bytes = scratch.encode(groups, open.id, None);
        let before = open.bytes();
        open.frames.extend_from_slice(&scratch.frames);
        Record::encode(keys, now, secret, &mut open.known.records);
        open.known.keys += keys.len();
        open.about.add(groups, content_bytes, now);
        Committed { segment: open.id, frame_bytes: open.bytes() - before }
    }

    /// Keeps something until the memory segment that is added to is stored.
    pub fn hold(&mut self, held: Box<dyn Any + Send + Sync>) {
        if let Some(open) = &mut self.in_memory {
            open.hold.push(held);
        }
    }

    /// The segment that is added to, if it has rows.
    #[must_use]
    pub fn growing_id(&self, lane: Lane) -> Option<SegmentId> {
        self.growing(lane)?;
        match lane {
            Lane::Disk => self.on_disk.as_ref().map(|open| open.fresh.id),
            Lane::Memory => self.in_memory.as_ref().map(|open| open.id),
        }
    }

    /// The segment that is added to on disk, made when there is none.
    fn begin_on_disk(&mut self) -> Result<&mut Open, CommitError> {
        let open = match self.on_disk.take() {
            Some(open) => open,
            None => {
                let fresh = self.fresh()?;
                // its header, and its name in the folder
                self.metrics.journal.fsyncs.inc_by(2);
                Open { fresh, about: About::default() }
            }
        };
        Ok(self.on_disk.insert(open))
    }

    /// The one in memory.
    fn begin_in_memory(&mut self) -> &mut OpenInMemory {
        let open = match self.in_memory.take() {
            Some(open) => open,
            None => {
                let (id, about) = (self.next_id(), About::default());
                OpenInMemory { id, frames: Vec::new(), known: Known::default(), hold: Held::new(), about }
            }
        };
        self.in_memory.insert(open)
    }

    /// Counts up and is not before the time, so that it tells about when.
    fn next_id(&mut self) -> SegmentId {
        // what is found at a start is at most a day ahead of the clock, which ends in the year 2554
        let next = self.last_number.checked_add(1).expect("numbers begin with the time and count segments");
        self.last_number = self.latest.max(next);
        SegmentId::new(self.options.origin, self.last_number)
    }

    /// The file that was prepared, or one made now.
    fn fresh(&mut self) -> Result<Fresh, CommitError> {
        let prepared = self.next.take().and_then(|next| next.recv().ok());
        match prepared {
            Some(Ok(fresh)) if !fresh.is_left() => Ok(fresh),
            // after a failed fsync no later one proves anything
            Some(Err(failed @ CommitError::Failed(_))) => Err(failed),
            // there was no room, or no file to be had: long ago, for a reason that may be gone
            Some(Ok(_) | Err(CommitError::Full(_) | CommitError::NoFile(_) | CommitError::Gone(_))) | None => {
                let id = self.next_id();
                make(&self.disk, &self.options, id)
            }
        }
    }

    fn prepare_next(&mut self) {
        if !self.options.prepare_ahead || self.next.is_some() {
            return;
        }
        let (send, receive) = mpsc::sync_channel(1);
        let (disk, options, id) = (Arc::clone(&self.disk), self.options.clone(), self.next_id());
        let spawned = std::thread::Builder::new().name("journal-next".to_owned()).spawn(move || {
            let made = make(&disk, &options, id);
            if let Err(error @ CommitError::Failed(_)) = &made {
                tracing::error!(%error, "failed to prepare the next segment of the journal; nothing more can be added to it");
            }
            let _journal_gone = send.send(made);
        });
        // without a thread it is made when it is needed
        self.next = spawned.ok().map(|_thread| receive);
    }

    /// The segment that is added to.
    #[must_use]
    pub fn growing(&self, lane: Lane) -> Option<OpenView> {
        let about = match lane {
            Lane::Disk => self.on_disk.as_ref().map(|open| &open.about),
            Lane::Memory => self.in_memory.as_ref().map(|open| &open.about),
        };
        about.filter(|about| about.rows > 0).map(|about| OpenView {
            rows: about.rows,
            content_bytes: about.content_bytes,
            days: about.days.len(),
        })
    }

    /// Hands the segment that is added to over to the exporter.
    pub fn seal(&mut self, lane: Lane) {
        let sealed = match lane {
            Lane::Disk => self.on_disk.take_if(|open| open.about.rows > 0).map(|open| self.sealed_file(open)),
            Lane::Memory => self.in_memory.take_if(|open| open.about.rows > 0).map(|open| Sealed {
                id: open.id,
                rows: open.about.rows,
                bytes: u64::try_from(open.bytes()).unwrap_or(0),
                oldest: open.about.oldest,
                body: Body::Memory { frames: open.frames.into(), known: open.known, _hold: open.hold },
                is_recovered: false,
                in_doubt: false,
                is_displaced: false,
                is_counted: true,
                is_foreign: false,
            }),
        };
        let Some(sealed) = sealed else { return };
        self.show_growing();
        self.backlog.push(sealed);
        if lane == Lane::Disk {
            self.prepare_next();
        }
    }

    fn sealed_file(&self, open: Open) -> Sealed {
        let is_displaced = open.fresh.is_left() || !open.fresh.folder.is_in_place();
        let Open { fresh: Fresh { id, folder, path, file, bytes }, about } = open;
        let name = Name { id, state: State::Waiting { rows: about.rows } };
        let path = if is_displaced { path } else { self.renamed(path, name) };
        let body = Body::File(OnDisk::new(folder, path, Some(file), &self.descriptors));
        let (rows, oldest) = (about.rows, about.oldest);
        Sealed {
            id,
            body,
            rows,
            bytes,
            oldest,
            is_recovered: false,
            in_doubt: false,
            is_displaced,
            is_counted: true,
            is_foreign: false,
        }
    }

    /// The file under its new name. When that fails it keeps the old one, which means the same to the next start.
    fn renamed(&self, path: PathBuf, name: Name) -> PathBuf {
        let new = self.options.dir.join(name.file());
        if new == path {
            return new;
        }
        match self.disk.rename(&path, &new) {
            Ok(()) => new,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "failed to rename a finished segment; it keeps its name");
                path
            }
        }
    }

    fn show_growing(&self) {
        let mut growing = Growing::default();
        if let Some(open) = self.on_disk.as_ref().filter(|open| open.about.rows > 0) {
            growing.rows += open.about.rows;
            growing.bytes += open.fresh.bytes;
            growing.oldest = Some(open.about.oldest);
        }
        if let Some(open) = self.in_memory.as_ref().filter(|open| open.about.rows > 0) {
            growing.rows += open.about.rows;
            growing.rows_in_memory += open.about.rows;
            growing.bytes_in_memory = u64::try_from(open.bytes()).unwrap_or(0);
            growing.bytes += growing.bytes_in_memory;
            growing.oldest = growing.oldest.into_iter().chain([open.about.oldest]).min();
        }
        self.backlog.grows(growing);
    }
}

/// What tells the secret from another one, without telling it.
fn secret_hash(options: &Options) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = checksum_of(&options.secret.to_le_bytes());
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn make(disk: &Arc<dyn Folder>, options: &Options, id: SegmentId) -> Result<Fresh, CommitError> {
    let path = options.dir.join(Name { id, state: State::Open }.file());
    // it gets its name once its header is durable: one that is shorter was not left by a crash
    let begun = options.dir.join(Name { id, state: State::New }.file());
    let header =
        Header { id, created_nanos: id.number().cast_signed(), columns: *COLUMNS_HASH, table: options.table.clone() }
            .encode();
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
            error => CommitError::Failed(error),
        }
    })?;
    Ok(Fresh { id, folder: Arc::clone(disk), path, file, bytes: u64::try_from(header.len()).unwrap_or(0) })
}

impl Fresh {
    /// Whether its name does not lead to it.
    fn is_left(&self) -> bool {
        let (folder, path, file) = (Arc::clone(&self.folder), self.path.clone(), Some(self.file.id()));
        Place { folder, path, file }.is_left()
    }

    /// Whether a start now would not find it.
    fn gone(&self) -> Option<Gone> {
        if !self.folder.is_in_place() {
            return Some(Gone::Folder);
        }
        self.is_left().then_some(Gone::File)
    }
}

/// The process, or the machine, has as many files open as it may: that passes.
fn is_out_of_files(error: &io::Error) -> bool {
    let known = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(rustix::io::Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| known.contains(&code))
}

/// Appends a commit and makes it durable where a start finds it, or leaves the file as it was.
fn write(fresh: &mut Fresh, commit: &[u8]) -> Result<(), CommitError> {
    let why = match fresh.file.append(commit) {
        Ok(()) => match fresh.file.sync() {
            Ok(()) => match fresh.gone() {
                None => {
                    fresh.bytes += u64::try_from(commit.len()).unwrap_or(0);
                    return Ok(());
                }
                Some(gone) => return Err(take_back(fresh, gone)),
            },
            Err(error) => CommitError::Failed(error),
        },
        Err(error) if is_full(&error) => Full::Disk.into(),
        Err(error) => CommitError::Failed(error),
    };
    // what could not be made durable must not look as if it were to the next start, which reads it from memory
    match (fresh.file.cut_back(fresh.bytes), why) {
        (Err(error), CommitError::Full(_)) => Err(CommitError::Failed(error)),
        (_, why) => Err(why),
    }
}

/// It is durable, in a file that may be put back where it was: its sender is told to try again, and it must not come twice.
fn take_back(fresh: &mut Fresh, gone: Gone) -> CommitError {
    match fresh.file.cut_back(fresh.bytes).and_then(|()| fresh.file.sync()) {
        Ok(()) => gone.into(),
        Err(error) => CommitError::Failed(error),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Scratch {
    /// Encodes the rows into `frames`, block by block, each with its record; gives the bytes of the blocks.
    fn encode(&mut self, groups: &[&RowGroup], id: SegmentId, known: Option<(&[ReportKey], UnixNanos, u64)>) -> usize {
        self.frames.clear();
        let (mut content_bytes, mut row) = (0, 0);
        for rows in cut(groups) {
            let block = rows.encode(id, &mut self.block);
            content_bytes += block.content().bytes().len();
            compress_frame(block.content(), &mut self.frames);
            if let Some((keys, now, secret)) = known {
                let keys = keys.get(row..row + block.rows()).unwrap_or_default();
                Record::encode(keys, now, secret, &mut self.frames);
            }
            row += block.rows();
        }
        content_bytes
    }

    /// Without buffers that only a large commit needed.
    fn trimmed(mut self) -> Self {
        for buffer in [&mut self.block, &mut self.frames] {
            if buffer.capacity() > BUFFER_KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        self
    }
}

impl OpenInMemory {
    /// What it holds in memory.
    fn bytes(&self) -> usize {
        self.frames.len() + self.known.records.len()
    }
}

impl About {
    fn add(&mut self, groups: &[&RowGroup], content_bytes: usize, now: UnixNanos) {
        if self.rows == 0 {
            self.oldest = now;
        }
        self.rows += groups.iter().map(|group| group.rows()).sum::<usize>();
        self.content_bytes += content_bytes;
        self.days.extend(groups.iter().flat_map(|group| group.days().iter().copied()));
    }
}

impl Recovered {
    fn count(&mut self, rows: usize) {
        self.segments += 1;
        self.rows += rows;
    }
}
