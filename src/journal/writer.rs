//! Commit and seal: rows become blocks of the active segment, which is handed to the exporter when it is full or old enough.

use super::active::{ActiveSegment, Compressed, KeysOfCommit, MemorySegment, PreparedFile, Scratch};
use super::backlog::Backlog;
use super::config::{Compression, Config, Options};
use super::disk::Folder;
use super::error::{CommitError, Full};
use super::format::{FileName, FileState};
use super::ledger::Acknowledged;
use super::open_segments::OpenSegments;
use super::records::hash_of_secret;
use super::sealed::{Body, Sealed};
use super::segment_file::{Descriptors, SegmentFile};
use super::view::{ActiveTotals, ActiveView};
use crate::columns::{Group, Table};
use crate::ids::{ReportKey, SegmentId};
use crate::numbers::{saturating_i64, to_u64};
use crate::sizes::ByteSize;
use crate::telemetry::{Metrics, latency};
use crate::time::UnixNanos;
use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};

/// A file system with less room than this counts as full: what is under way must still fit.
pub(super) const FREE_BYTES_MIN: u64 = 32 << 20;
/// Without `journal.max_bytes`: this, or the share below of what is free, whichever is less.
const MAX_BYTES_DEFAULT: u64 = 10 << 30;
const FREE_SHARE_PERCENT: u64 = 80;

/// While no more than so many full segments are open, waiting or being sent, ClickHouse keeps up.
const SEGMENTS_UNDER_WAY: usize = 3;

/// Where rows are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// On disk, synced.
    Disk,
    /// In memory alone.
    Memory,
}

/// An open journal. One thread owns it: every call blocks.
pub struct Journal {
    pub(super) options: Options,
    pub(super) disk: Arc<dyn Folder>,
    /// The folder's path leads elsewhere; why no other can be used instead.
    pub(super) displaced: Option<String>,
    pub(super) descriptors: Descriptors,
    pub(super) backlog: Backlog,
    pub(super) metrics: Metrics,
    pub(super) max_bytes: u64,
    pub(super) last_number: u64,
    /// When rows were last committed.
    pub(super) latest: UnixNanos,
    /// The segments that rows are added to: a segment is for one table.
    pub(super) open: BTreeMap<Table, OpenSegments>,
    pub(super) scratch: Scratch,
}

/// What a commit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The segment that the rows are in.
    pub segment: SegmentId,
    /// Bytes that they take there.
    pub frame_bytes: usize,
}

impl Journal {
    /// The sealed segments.
    #[must_use]
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    pub(super) fn default_max_bytes(&self) -> u64 {
        if let Some(ByteSize(bytes)) = self.options.config.max_bytes {
            return to_u64(bytes);
        }
        match self.disk.free_bytes(&self.options.dir) {
            Ok(free) => {
                let all = free.saturating_add(self.backlog.disk_bytes());
                MAX_BYTES_DEFAULT.min(all / 100 * FREE_SHARE_PERCENT)
            }
            Err(_unknown) => MAX_BYTES_DEFAULT,
        }
    }

    /// Whether there is room for more on disk. If not, removes what is only retained for repeats.
    ///
    /// # Errors
    /// If there is none.
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

    /// Shows how much room there is.
    pub(super) fn show_room(&self) {
        let metrics = &self.metrics.journal;
        metrics.capacity_bytes.set(saturating_i64(self.max_bytes.into()));
        if let Ok(free) = self.disk.free_bytes(&self.options.dir) {
            metrics.disk_free_bytes.set(saturating_i64(free.into()));
        }
    }

    /// Adds rows of one table, as one block or as many as their size asks for, and makes them durable on disk, with the keys that the dedup
    /// index knows them by: one a row, or none at all. All of them are one write and one fsync.
    ///
    /// # Errors
    /// If nothing was kept.
    pub fn commit(
        &mut self,
        lane: Lane,
        groups: &[&impl Group],
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
        self.latest = self.latest.max(now);
        let keys = KeysOfCommit { keys, accepted_at: now, secret_hash: hash_of_secret(self.options.secret) };
        let mut scratch = std::mem::take(&mut self.scratch);
        let committed = match lane {
            Lane::Disk => self.commit_to_disk(&mut scratch, groups, keys),
            Lane::Memory => Ok(self.commit_to_memory(&mut scratch, groups, keys)),
        };
        self.scratch = scratch.trimmed();
        self.show_active();
        committed
    }

    fn commit_to_disk(
        &mut self,
        scratch: &mut Scratch,
        groups: &[&impl Group],
        keys: KeysOfCommit<'_>,
    ) -> Result<Committed, CommitError> {
        let table = table_of(groups);
        let compressed = self.compressed();
        let active = self.begin_on_disk(table)?;
        let compressed = active.method.map_or(compressed, Compressed::AsBefore);
        let encoded = scratch.encode(groups, active.file.id, compressed, Some(keys));
        let synced_in = match active.write(&scratch.frames, encoded, groups, keys.accepted_at) {
            Ok(synced_in) => synced_in,
            Err(error) => {
                if matches!(error, CommitError::Gone(_)) {
                    // what was acknowledged before is sent as long as it is open; nothing more is added
                    self.seal(Lane::Disk, table);
                    self.open.entry(table).or_default().on_disk = None;
                    let _again_with_the_next_commit = self.put_in_place();
                }
                return Err(error);
            }
        };
        let committed = Committed { segment: active.file.id, frame_bytes: scratch.frames.len() };
        let acknowledged = Acknowledged { rows: active.stats.rows, bytes: active.file.bytes };
        self.backlog.ledger().note(committed.segment, acknowledged);
        self.metrics.journal.commits.inc();
        self.metrics.journal.fsyncs.inc();
        latency::observe(&self.metrics.latency.fsync, synced_in);
        self.metrics.journal.written_bytes.inc_by(to_u64(committed.frame_bytes));
        Ok(committed)
    }

    /// Whether a segment that begins now is compressed.
    fn compressed(&self) -> Compressed {
        let Config { compression, segment_bytes: ByteSize(segment_bytes), .. } = self.options.config;
        let keeps_up = || self.backlog.view().bytes <= to_u64(segment_bytes.saturating_mul(SEGMENTS_UNDER_WAY));
        match compression {
            Compression::Auto if self.options.clickhouse_is_here && keeps_up() => Compressed::SmallRows,
            Compression::Auto | Compression::Lz4 => Compressed::All,
            Compression::None => Compressed::None,
        }
    }

    fn commit_to_memory(&mut self, scratch: &mut Scratch, groups: &[&impl Group], keys: KeysOfCommit<'_>) -> Committed {
        let active = self.begin_in_memory(table_of(groups));
        let encoded = scratch.encode(groups, active.id, Compressed::All, None);
        let frame_bytes = active.add(&scratch.frames, encoded, groups, keys);
        Committed { segment: active.id, frame_bytes }
    }

    /// Keeps something until the memory segment that rows were just added to is stored.
    pub fn hold(&mut self, table: Table, held: Box<dyn Any + Send + Sync>) {
        let open = self.open.get_mut(&table).and_then(|open| open.in_memory.as_mut());
        open.expect("rows were just committed to memory").held.push(held);
    }

    /// The id of the active segment, if it has rows.
    #[must_use]
    pub fn active_id(&self, lane: Lane, table: Table) -> Option<SegmentId> {
        let open = self.open.get(&table)?;
        match lane {
            Lane::Disk => open.on_disk.as_ref().filter(|active| active.stats.rows > 0).map(|active| active.file.id),
            Lane::Memory => open.in_memory.as_ref().filter(|active| active.stats.rows > 0).map(|active| active.id),
        }
    }

    /// The active segment on disk, made when there is none.
    fn begin_on_disk(&mut self, table: Table) -> Result<&mut ActiveSegment, CommitError> {
        let active = match self.open.entry(table).or_default().on_disk.take() {
            Some(active) => active,
            None => {
                let file = self.take_prepared(table)?;
                // its header, and its name in the folder
                self.metrics.journal.fsyncs.inc_by(2);
                ActiveSegment::new(file)
            }
        };
        Ok(self.open.entry(table).or_default().on_disk.insert(active))
    }

    /// The one in memory.
    fn begin_in_memory(&mut self, table: Table) -> &mut MemorySegment {
        let active = match self.open.entry(table).or_default().in_memory.take() {
            Some(active) => active,
            None => MemorySegment::new(self.next_id(), table),
        };
        self.open.entry(table).or_default().in_memory.insert(active)
    }

    /// Numbers rise, and none is before the time, so that it tells about when.
    fn next_id(&mut self) -> SegmentId {
        // what is found at a start is at most a day ahead of the clock, which ends in the year 2262
        let next = self.last_number.checked_add(1).expect("numbers begin with the time and count segments");
        self.last_number = self.latest.nanos().cast_unsigned().max(next);
        SegmentId::new(self.options.origin, self.last_number)
    }

    /// The file that was prepared, or one made now.
    fn take_prepared(&mut self, table: Table) -> Result<PreparedFile, CommitError> {
        let prepared = self.open.entry(table).or_default().next.take().and_then(|next| next.recv().ok());
        match prepared {
            Some(Ok(file)) if !file.is_left() => Ok(file),
            // after a failed fsync no later one proves anything
            Some(Err(failed @ CommitError::Failed(_))) => Err(failed),
            // there was no room, or no file to be had: long ago, for a reason that may be gone
            Some(Ok(_) | Err(CommitError::Full(_) | CommitError::NoFile(_) | CommitError::Gone(_))) | None => {
                let id = self.next_id();
                PreparedFile::make(&self.disk, &self.options, id, table)
            }
        }
    }

    pub(super) fn prepare_next(&mut self, table: Table) {
        if !self.options.prepare_ahead || self.open.get(&table).is_some_and(|open| open.next.is_some()) {
            return;
        }
        let (send, receive) = mpsc::sync_channel(1);
        let (disk, options, id) = (Arc::clone(&self.disk), self.options.clone(), self.next_id());
        let spawned = std::thread::Builder::new().name("journal-next".to_owned()).spawn(move || {
            let made = PreparedFile::make(&disk, &options, id, table);
            if let Err(error @ CommitError::Failed(_)) = &made {
                tracing::error!(%error, "failed to prepare the next segment of the journal; nothing more can be added to it");
            }
            let _journal_gone = send.send(made);
        });
        // without a thread it is made when it is needed
        self.open.entry(table).or_default().next = spawned.ok().map(|_thread| receive);
    }

    /// The active segment, if it has rows.
    #[must_use]
    pub fn active(&self, lane: Lane, table: Table) -> Option<ActiveView> {
        let open = self.open.get(&table)?;
        let stats = match lane {
            Lane::Disk => open.on_disk.as_ref().map(|active| &active.stats),
            Lane::Memory => open.in_memory.as_ref().map(|active| &active.stats),
        };
        stats.filter(|stats| stats.rows > 0).map(|stats| ActiveView {
            rows: stats.rows,
            content_bytes: stats.content_bytes,
            days: stats.days.len(),
        })
    }

    /// Hands the active segment over to the exporter.
    pub fn seal(&mut self, lane: Lane, table: Table) {
        let Some(open) = self.open.get_mut(&table) else { return };
        let sealed = match lane {
            Lane::Disk => {
                let active = open.on_disk.take_if(|active| active.stats.rows > 0);
                active.map(|active| self.sealed_on_disk(active))
            }
            Lane::Memory => open.in_memory.take_if(|active| active.stats.rows > 0).map(sealed_in_memory),
        };
        let Some(sealed) = sealed else { return };
        self.show_active();
        self.backlog.push(sealed);
        if lane == Lane::Disk {
            self.prepare_next(table);
        }
    }

    fn sealed_on_disk(&self, active: ActiveSegment) -> Sealed {
        let is_displaced = active.file.is_left() || !active.file.folder.is_in_place();
        let ActiveSegment { file: PreparedFile { id, table, folder, path, file, bytes }, stats, .. } = active;
        let name = FileName { id, state: FileState::Waiting { rows: stats.rows } };
        let path = if is_displaced { path } else { self.renamed(path, name) };
        let body = Body::File(SegmentFile::new(folder, path, Some(file), &self.descriptors));
        Sealed { is_displaced, ..Sealed::of_this_run((id, table), body, stats.rows, bytes, stats.oldest) }
    }

    /// The file under its new name. When that fails it keeps the old one, which means the same to the next start.
    pub(super) fn renamed(&self, path: PathBuf, name: FileName) -> PathBuf {
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

    fn show_active(&self) {
        let mut totals = ActiveTotals::default();
        for open in self.open.values() {
            if let Some(active) = open.on_disk.as_ref().filter(|active| active.stats.rows > 0) {
                totals.rows += active.stats.rows;
                totals.bytes += active.file.bytes;
                totals.oldest = totals.oldest.into_iter().chain([active.stats.oldest]).min();
            }
            if let Some(active) = open.in_memory.as_ref().filter(|active| active.stats.rows > 0) {
                totals.rows += active.stats.rows;
                totals.rows_in_memory += active.stats.rows;
                totals.bytes_in_memory += to_u64(active.bytes());
                totals.bytes += to_u64(active.bytes());
                totals.oldest = totals.oldest.into_iter().chain([active.stats.oldest]).min();
            }
        }
        self.backlog.set_active(totals);
    }
}

/// The one table of the rows of a commit.
fn table_of(groups: &[&impl Group]) -> Table {
    let table = groups.first().map_or_else(Table::default, |group| group.table());
    debug_assert!(groups.iter().all(|group| group.table() == table), "a segment is for one table");
    table
}

fn sealed_in_memory(active: MemorySegment) -> Sealed {
    let bytes = to_u64(active.bytes());
    let MemorySegment { id, table, frames, records, held, stats } = active;
    let body = Body::Memory { frames: frames.into(), records, _held: held };
    Sealed::of_this_run((id, table), body, stats.rows, bytes, stats.oldest)
}
