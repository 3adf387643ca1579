//! The segments that wait for ClickHouse, from the committer to the exporter. A backlog of hours is a list of file names:
//! its bytes are on disk.
//!
//! ```text
//! push -> waiting -> take -> (load, insert) -> stored: kept a little, then removed
//!            ^                     |---------> put_back, with a pause of its own
//!            '---------------------'            set_aside: its file is damaged
//! ```

use super::archive::{self, Archive};
use super::aside::{Aside, Asides, Reason, move_aside};
use super::disk::{FileId, Folder};
use super::kept_open::{OnDisk, Place};
use super::ledger::Ledger;
use super::loaded::{InDoubt, LoadError, Loaded, RowsLost, Whole};
use super::segment::{self, COLUMNS_HASH, Damage, Name, Scan, State as FileState};
use super::waiter::{Waiter, Waiters};
use crate::columns::native::frames::decompress_checked_frame;
use crate::columns::native::parse::{Block, Malformed};
use crate::ids::SegmentId;
use crate::telemetry::Metrics;
use crate::time::UnixNanos;
use bytes::Bytes;
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What ClickHouse has stays on disk this long: a sender whose answer was lost in a crash repeats within it, and the next
/// start reads its span ids from there.
const KEPT_FOR: Duration = Duration::from_secs(120);
/// No more than this of it.
const KEPT_BYTES_MAX: u64 = 64 << 20;

/// Which segment is sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The newest and the oldest in turn: a backlog drains, and what comes now is soon visible.
    #[default]
    Fair,
    /// As they came.
    OldestFirst,
    /// What comes now, then the backlog.
    NewestFirst,
}

/// How a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// ClickHouse has all of it.
    Stored,
    /// Rows of it are in the dead letters.
    DeadLettered,
}

/// What holds memory for rows that are not on disk; dropped once they are stored.
pub type Held = Vec<Box<dyn Any + Send + Sync>>;

/// Where a segment's frames are.
pub(super) enum Body {
    File(OnDisk),
    Memory { frames: Bytes, known: Known, _hold: Held },
}

const NOT_REMEMBERED: &str =
    "failed to keep which spans were accepted; repeats of them after a restart may be stored again";

/// Records of rows in memory, and how many keys they have.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) records: Vec<u8>,
    pub(super) keys: usize,
}

/// A sealed segment.
pub(super) struct Sealed {
    pub(super) id: SegmentId,
    pub(super) body: Body,
    pub(super) rows: usize,
    pub(super) bytes: u64,
    pub(super) oldest: UnixNanos,
    /// An earlier run wrote it: who knows what its file went through since.
    pub(super) is_recovered: bool,
    /// It may be in ClickHouse although its token is forgotten: the machine went down since.
    pub(super) in_doubt: bool,
    /// No start will find its file: it is not where it was written, and lives as long as this process has it open.
    pub(super) is_displaced: bool,
    /// How many rows it had is known, whatever became of them.
    pub(super) is_counted: bool,
    /// This journal acknowledged nothing of it: somebody put it there.
    pub(super) is_foreign: bool,
}

struct Waiting {
    sealed: Sealed,
    not_before: Option<Instant>,
    history: History,
}

/// What a segment went through, in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// Attempts that failed.
    pub failures: u32,
    /// Attempts that were not answered in time.
    pub timeouts: u32,
    /// Attempts in a row that ClickHouse refused for what may lie in its rows.
    pub refusals: u32,
    /// Of those the ones between which ClickHouse took something else.
    pub refused_alone: u32,
    /// How many inserts ClickHouse had taken when the last attempt failed.
    pub taken_before: u64,
    /// When an insert of it may still have been under way at last.
    pub under_way_until: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    bytes: u64,
    oldest: UnixNanos,
    /// A crash would lose it.
    in_memory: bool,
    /// The folder that its file is in.
    folder: Option<FileId>,
}

struct Kept {
    folder: Arc<dyn Folder>,
    path: PathBuf,
    bytes: u64,
    since: Instant,
}

/// What is being added to, so that the totals are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Growing {
    pub(super) rows: usize,
    pub(super) rows_in_memory: usize,
    pub(super) bytes: u64,
    pub(super) bytes_in_memory: u64,
    pub(super) oldest: Option<UnixNanos>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<SegmentId, Waiting>,
    taken: BTreeMap<SegmentId, Size>,
    /// Of what waits and what is taken.
    rows: usize,
    rows_in_memory: usize,
    bytes: u64,
    bytes_in_memory: u64,
    waiters: Waiters,
    /// The segment that this run sealed last.
    last_fresh: Option<SegmentId>,
    kept: VecDeque<Kept>,
    kept_bytes: u64,
    growing: Growing,
    hungry: usize,
    newest_next: bool,
    closed: bool,
}

/// The list; clones share it.
#[derive(Clone)]
pub struct Backlog(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Nobody else is let in while anybody has this.
    folder: Mutex<Arc<dyn Folder>>,
    ledger: Mutex<Ledger>,
    archive: Mutex<Archive>,
    asides: Mutex<Asides>,
    changed: Notify,
    wanted: Notify,
    dir: PathBuf,
    metrics: Metrics,
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backlog").field("view", &self.view()).finish_non_exhaustive()
    }
}

/// The backlog as health shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// Segments that are not stored.
    pub segments: usize,
    /// Their rows, with those of the segment under way.
    pub rows: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Rows of those that are only in memory.
    pub rows_in_memory: usize,
    /// When the oldest of their rows was accepted.
    pub oldest: Option<UnixNanos>,
}

impl Backlog {
    pub(super) fn new(folder: Arc<dyn Folder>, dir: &Path, metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            folder: Mutex::new(folder),
            ledger: Mutex::default(),
            archive: Mutex::default(),
            asides: Mutex::default(),
            changed: Notify::new(),
            wanted: Notify::new(),
            dir: dir.to_owned(),
            metrics,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits.
    #[must_use]
    pub fn view(&self) -> View {
        self.state().view()
    }

    pub(super) fn push(&self, sealed: Sealed) {
        let mut state = self.state();
        state.add(sealed.size());
        if !sealed.is_recovered {
            state.last_fresh = Some(sealed.id);
        }
        state.waiting.insert(sealed.id, Waiting { sealed, not_before: None, history: History::default() });
        self.show(&state);
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Takes over what is stored, for repeats from senders.
    pub(super) fn keep(&self, folder: Arc<dyn Folder>, path: PathBuf, bytes: u64) {
        let mut state = self.state();
        state.kept_bytes += bytes;
        state.kept.push_back(Kept { folder, path, bytes, since: Instant::now() });
    }

    /// What was acknowledged, for the next start.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_aside(&self, aside: Aside) {
        self.0.metrics.journal.set_aside(aside.reason.label(), aside.lost.rows, aside.lost.is_exact);
        self.0.asides.lock().unwrap_or_else(PoisonError::into_inner).add(aside);
    }

    /// The files that are not what they should be.
    #[must_use]
    pub fn asides(&self) -> Asides {
        self.0.asides.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Segments are written to another folder from now on.
    pub(super) fn occupy(&self, folder: Arc<dyn Folder>) {
        *self.0.folder.lock().unwrap_or_else(PoisonError::into_inner) = folder;
    }

    /// The files of a folder will not be found by the next start, or will be again.
    pub(super) fn displace(&self, folder: FileId, is_displaced: bool) {
        let mut guard = self.state();
        let state = &mut *guard;
        for waiting in state.waiting.values_mut().filter(|waiting| waiting.sealed.is_in(folder)) {
            waiting.sealed.is_displaced = is_displaced;
        }
        for taken in state.taken.values_mut().filter(|taken| taken.folder == Some(folder)) {
            taken.in_memory = is_displaced;
        }
        state.count_again();
    }

    /// Looks for files that are no longer where they were written. Blocks the thread.
    pub fn look_for_files(&self) {
        let folder = Arc::clone(&self.0.folder.lock().unwrap_or_else(PoisonError::into_inner));
        if !folder.is_in_place() {
            return self.displace(folder.id(), true);
        }
        let watched: Vec<(SegmentId, Place)> = {
            let state = self.state();
            let in_place = state.waiting.values().filter(|waiting| !waiting.sealed.is_displaced);
            let places = in_place.filter_map(|waiting| Some((waiting.sealed.id, waiting.sealed.file()?.place())));
            // of the others nothing can be saved
            places.filter(|(_, place)| place.file.is_some()).collect()
        };
        let gone: Vec<(SegmentId, Place)> = watched.into_iter().filter(|(_, place)| place.is_left()).collect();
        if gone.is_empty() {
            return;
        }
        let mut state = self.state();
        for (id, place) in gone {
            let Some(waiting) = state.waiting.get_mut(&id) else { continue };
            // it may have been renamed by us while it was taken
            if waiting.sealed.file().is_some_and(|file| file.path() == place.path()) {
                waiting.sealed.is_displaced = true;
                tracing::error!(
                    segment = %id, rows = waiting.sealed.rows, path = %place.path().display(),
                    "a segment that waits for ClickHouse was removed or renamed; it is sent as long as Millrace has it open"
                );
            }
        }
        state.count_again();
        self.show(&state);
    }

    pub(super) fn grows(&self, growing: Growing) {
        let mut state = self.state();
        state.growing = growing;
        self.show(&state);
    }

    /// Whether another segment is wanted: the exporter has none, or was quick to take the last one in spite of a backlog.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        let state = self.state();
        state.hungry > 0 || state.last_fresh.is_some_and(|last| !state.waiting.contains_key(&last))
    }

    /// Waits until another segment is wanted. Safe to cancel.
    pub async fn until_wanted(&self) {
        loop {
            let wanted = self.0.wanted.notified();
            if self.wants_more() {
                return;
            }
            wanted.await;
        }
    }

    /// `waiter` hears of the end of that segment.
    pub fn attach(&self, id: SegmentId, waiter: &Waiter) {
        self.state().waiters.attach(id, waiter);
    }

    /// `waiter` hears once everything that waits now is settled.
    pub fn attach_to_all(&self, waiter: &Waiter) {
        let mut state = self.state();
        let last = state.waiting.keys().chain(state.taken.keys()).max().copied();
        if let Some(last) = last {
            state.waiters.attach_up_to(last, waiter);
        }
    }

    /// `waiter` hears once everything that waits now in memory is settled.
    pub fn attach_to_memory(&self, waiter: &Waiter) {
        let mut state = self.state();
        let waiting = state.waiting.values().map(|waiting| (waiting.sealed.id, waiting.sealed.size()));
        let taken = state.taken.iter().map(|(id, size)| (*id, *size));
        let in_memory: Vec<_> = waiting.chain(taken).filter(|(_, size)| size.in_memory).map(|(id, _)| id).collect();
        in_memory.into_iter().for_each(|id| state.waiters.attach(id, waiter));
    }

    /// Whether no more segments come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// No more segments come: [`take`](Self::take) ends once none is left.
    pub fn close(&self) {
        self.state().closed = true;
        self.0.changed.notify_waiters();
    }

    /// The next segment to send; `None` once the backlog is closed and empty. Safe to cancel.
    pub async fn take(&self, order: Order) -> Option<Segment> {
        let mut is_hungry = Hungry { backlog: self, counted: false };
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let wake_at = {
                let mut state = self.state();
                match state.pick(order) {
                    Pick::Segment(id) => {
                        is_hungry.over(&mut state);
                        let taken = state.take(id).map(|waiting| self.segment(waiting));
                        if taken.is_some() {
                            self.0.wanted.notify_waiters();
                            return taken;
                        }
                        continue;
                    }
                    Pick::Nothing if state.closed && state.taken.is_empty() => return None,
                    Pick::Nothing => {
                        is_hungry.begin(&mut state);
                        None
                    }
                    Pick::Later(at) => {
                        is_hungry.begin(&mut state);
                        Some(at)
                    }
                }
            };
            self.0.wanted.notify_waiters();
            match wake_at {
                Some(at) => {
                    let _woken_early = tokio::time::timeout_at(at.into(), changed).await;
                }
                None => changed.await,
            }
        }
    }

    fn segment(&self, waiting: Waiting) -> Segment {
        Segment { sealed: waiting.sealed, history: waiting.history, backlog: self.clone() }
    }

    fn show(&self, state: &State) {
        let view = state.view();
        let metrics = &self.0.metrics;
        metrics.journal.segments.set(i64::try_from(view.segments).unwrap_or(i64::MAX));
        metrics.journal.bytes.set(i64::try_from(view.bytes).unwrap_or(i64::MAX));
    }

    /// Forgets a settled segment and tells who waits for it.
    fn settle(&self, id: SegmentId, outcome: Outcome) {
        let mut state = self.state();
        if let Some(size) = state.taken.remove(&id) {
            state.subtract(size);
        }
        let oldest = state.waiting.keys().next().into_iter().chain(state.taken.keys().next()).min().copied();
        let waiters = state.waiters.settled(id, oldest);
        self.show(&state);
        drop(state);
        self.0.changed.notify_waiters();
        waiters.tell(outcome);
    }

    fn folder(&self) -> Arc<dyn Folder> {
        Arc::clone(&self.0.folder.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn archive(&self) -> MutexGuard<'_, Archive> {
        self.0.archive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the records of stored segments durable, so that their files can go; gives those that can.
    fn remember(&self, old: Vec<Kept>, all: bool) -> Vec<Kept> {
        if old.is_empty() {
            return old;
        }
        let folder = self.folder();
        let mut archive = self.archive();
        let mut remembered = || {
            for kept in &old {
                // what cannot be read cannot be remembered either
                let Ok(bytes) = kept.folder.read(&kept.path) else { continue };
                let Ok(found) = segment::scan(&bytes, |_| false) else { continue };
                let (records, keys) = archive::records_of(&bytes, &found);
                archive.append(&folder, &self.0.dir, &records, keys)?;
            }
            archive.sync()
        };
        match remembered() {
            Ok(()) => old,
            Err(error) => {
                tracing::warn!(%error, "{NOT_REMEMBERED}");
                if all {
                    return old;
                }
                let mut state = self.state();
                for kept in old.into_iter().rev() {
                    state.kept_bytes += kept.bytes;
                    state.kept.push_front(kept);
                }
                Vec::new()
            }
        }
    }

    /// Removes what was kept long enough; `all` of it when room is short.
    pub(super) fn prune(&self, all: bool) {
        let mut old = Vec::new();
        {
            let mut state = self.state();
            while let Some(kept) = state.kept.front()
                && (all || kept.since.elapsed() > KEPT_FOR || state.kept_bytes > KEPT_BYTES_MAX)
            {
                state.kept_bytes = state.kept_bytes.saturating_sub(kept.bytes);
                old.extend(state.kept.pop_front());
            }
        }
        let old = self.remember(old, all);
        for kept in old {
            let removed = kept.folder.remove(&kept.path);
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, path = %kept.path.display(), "failed to remove a segment that is stored");
            }
        }
    }

    /// Bytes on disk, whatever they are for.
    pub(super) fn disk_bytes(&self) -> u64 {
        let state = self.state();
        let in_memory = state.growing.bytes_in_memory + state.bytes_in_memory;
        state.view().bytes.saturating_sub(in_memory) + state.kept_bytes
    }
}

/// Counts a taker as hungry for as long as it waits, however that ends.
struct Hungry<'b> {
    backlog: &'b Backlog,
    counted: bool,
}

impl Hungry<'_> {
    fn begin(&mut self, state: &mut State) {
        state.hungry += usize::from(!std::mem::replace(&mut self.counted, true));
    }

    fn over(&mut self, state: &mut State) {
        state.hungry -= usize::from(std::mem::take(&mut self.counted));
    }
}

impl Drop for Hungry<'_> {
    fn drop(&mut self) {
        if self.counted {
            let backlog = self.backlog;
            self.over(&mut backlog.state());
        }
    }
}

enum Pick {
    Segment(SegmentId),
    Later(Instant),
    Nothing,
}

impl State {
    fn pick(&mut self, order: Order) -> Pick {
        let now = Instant::now();
        let ready =
            |(id, waiting): (&SegmentId, &Waiting)| waiting.not_before.is_none_or(|at| at <= now).then_some(*id);
        let newest_first = match order {
            Order::OldestFirst => false,
            Order::NewestFirst => true,
            Order::Fair => self.newest_next,
        };
        let picked =
            if newest_first { self.waiting.iter().rev().find_map(ready) } else { self.waiting.iter().find_map(ready) };
        if let Some(id) = picked {
            self.newest_next = !self.newest_next;
            return Pick::Segment(id);
        }
        let soonest = self.waiting.values().filter_map(|waiting| waiting.not_before).min();
        soonest.map_or(Pick::Nothing, Pick::Later)
    }

    fn take(&mut self, id: SegmentId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.taken.insert(id, waiting.sealed.size());
        Some(waiting)
    }

    /// After what a crash would lose has changed.
    fn count_again(&mut self) {
        let waiting = self.waiting.values().map(|waiting| waiting.sealed.size());
        let in_memory = waiting.chain(self.taken.values().copied()).filter(|size| size.in_memory);
        (self.rows_in_memory, self.bytes_in_memory) =
            in_memory.fold((0, 0), |(rows, bytes), size| (rows + size.rows, bytes + size.bytes));
    }

    fn add(&mut self, size: Size) {
        self.rows += size.rows;
        self.bytes += size.bytes;
        if size.in_memory {
            self.rows_in_memory += size.rows;
            self.bytes_in_memory += size.bytes;
        }
    }

    fn subtract(&mut self, size: Size) {
        self.rows -= size.rows;
        self.bytes -= size.bytes;
        if size.in_memory {
            self.rows_in_memory -= size.rows;
            self.bytes_in_memory -= size.bytes;
        }
    }

    fn view(&self) -> View {
        // later ids are of later rows, so the first that waits is the oldest of them
        let waiting = self.waiting.values().next().map(|waiting| waiting.sealed.oldest);
        let taken = self.taken.values().map(|size| size.oldest);
        View {
            segments: usize::from(self.growing.rows > 0) + self.waiting.len() + self.taken.len(),
            rows: self.growing.rows + self.rows,
            bytes: self.growing.bytes + self.bytes,
            rows_in_memory: self.growing.rows_in_memory + self.rows_in_memory,
            oldest: taken.chain(waiting).chain(self.growing.oldest).min(),
        }
    }
}

impl Sealed {
    fn size(&self) -> Size {
        let (in_memory, folder) = match &self.body {
            Body::Memory { .. } => (true, None),
            Body::File(file) => (self.is_displaced, Some(file.folder().id())),
        };
        Size { rows: self.rows, bytes: self.bytes, oldest: self.oldest, in_memory, folder }
    }

    fn file(&self) -> Option<&OnDisk> {
        match &self.body {
            Body::File(file) => Some(file),
            Body::Memory { .. } => None,
        }
    }

    fn is_in(&self, folder: FileId) -> bool {
        self.file().is_some_and(|file| file.folder().id() == folder)
    }
}

/// A segment on its way to ClickHouse. What is neither [stored](Self::stored) nor [put back](Self::put_back) nor
/// [set aside](Self::set_aside) counts as under way until the process ends.
pub struct Segment {
    sealed: Sealed,
    history: History,
    backlog: Backlog,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("id", &self.sealed.id).field("rows", &self.sealed.rows).finish_non_exhaustive()
    }
}

impl Segment {
    /// Its id, which is also the token of its insert.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        self.sealed.id
    }

    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.sealed.rows
    }

    /// Whether it may be in ClickHouse although its token is forgotten.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.sealed.in_doubt
    }

    /// Whether an earlier run wrote it, and may have sent it.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.sealed.is_recovered
    }

    /// What it went through.
    #[must_use]
    pub fn history(&self) -> History {
        self.history
    }

    /// Reads and checks its frames; good frames around damage are taken, and it is in doubt then. Blocks the thread.
    ///
    /// # Errors
    /// When nothing of it can be sent.
    pub fn load(&mut self) -> Result<Loaded, LoadError> {
        let id = self.sealed.id;
        let file = match &self.sealed.body {
            Body::Memory { frames, .. } => return Ok(self.loaded(frames.clone(), None, None)),
            Body::File(file) => file,
        };
        let bytes = file.read()?;
        let mut found = segment::scan(&bytes, segment::is_of(id))?;
        if self.sealed.is_recovered {
            found = found.of(id, &bytes);
        }
        let is_ours = found.header.as_ref().is_some_and(|header| header.columns == *COLUMNS_HASH);
        let columns = if is_ours { None } else { Some(columns_of(&bytes, &found)?) };
        let as_written = !self.sealed.is_recovered && u64::try_from(bytes.len()) == Ok(self.sealed.bytes);
        // a file that was cut between two frames looks whole: its rows must be counted
        let rows_good =
            if as_written && found.damage == Damage::None { self.sealed.rows } else { rows_in(&bytes, &found) };
        if rows_good == 0 {
            return Err(LoadError::Nothing);
        }
        let rows_lost = self.sealed.rows.saturating_sub(rows_good);
        let is_damaged = rows_lost > 0 || found.damage == Damage::Inside;
        let frames = found.into_frames(bytes);
        if is_damaged {
            // what is sent now is not all that its token stands for
            self.set_in_doubt()?;
        }
        let is_exact = self.sealed.is_counted;
        Ok(self.loaded(frames, columns, is_damaged.then_some(RowsLost { rows: rows_lost, is_exact })))
    }

    fn loaded(&self, frames: Bytes, columns: Option<Vec<String>>, damage: Option<RowsLost>) -> Loaded {
        let id = self.sealed.id;
        if self.sealed.in_doubt {
            Loaded::InDoubt(InDoubt { id, frames, damage })
        } else {
            Loaded::Whole(Whole { id, frames, columns })
        }
    }

    /// ClickHouse has it, but for `rows_dead` rows that are elsewhere.
    pub fn stored(self, rows_dead: usize) {
        let outcome = if rows_dead == 0 { Outcome::Stored } else { Outcome::DeadLettered };
        self.backlog.0.metrics.settle(self.sealed.rows.saturating_sub(rows_dead), rows_dead);
        let Self { sealed, backlog, .. } = self;
        if let Body::File(file) = &sealed.body
            && !file.place().is_left()
        {
            let (folder, path) = (file.folder(), file.path());
            let name = Name { id: sealed.id, state: FileState::Stored { rows: sealed.rows } };
            let kept = backlog.0.dir.join(name.file());
            // should this be lost, it is sent once more after a restart, with the same token
            match folder.rename(path, &kept) {
                // one that is still expected is not removed by this run
                Ok(()) => {
                    if backlog.ledger().clear(sealed.id) {
                        backlog.keep(Arc::clone(folder), kept, sealed.bytes);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "failed to mark a segment as stored; it is removed");
                    if let Err(error) = folder.remove(path) {
                        tracing::warn!(%error, path = %path.display(), "failed to remove a segment that is stored");
                    }
                }
            }
        }
        if let Body::Memory { known: Known { records, keys }, .. } = &sealed.body {
            // only now: a repeat of what a crash takes is none
            let folder = backlog.folder();
            if let Err(error) = backlog.archive().append(&folder, &backlog.0.dir, records, *keys) {
                tracing::warn!(%error, "{NOT_REMEMBERED}");
            }
        }
        let _is_known = backlog.ledger().clear(sealed.id);
        backlog.settle(sealed.id, outcome);
        backlog.prune(false);
    }

    /// A later Millrace wrote it, so it is for one: its file stays where it is.
    pub fn leave(self, why: &str) {
        let Self { sealed, backlog, .. } = self;
        backlog.0.metrics.settle(0, sealed.rows);
        tracing::error!(segment = %sealed.id, why, "a segment of the journal is left where it is");
        let _is_known = backlog.ledger().clear(sealed.id);
        backlog.settle(sealed.id, Outcome::DeadLettered);
    }

    /// Its file is damaged and its good rows are stored: sets the file aside for a person to look at. `rows_dead` of them are among
    /// the dead letters.
    pub fn set_aside(self, lost: RowsLost, rows_dead: usize, why: &str) {
        let Self { sealed, backlog, .. } = self;
        let gone = lost.rows + rows_dead;
        backlog.0.metrics.settle(sealed.rows.saturating_sub(gone), gone);
        if let Body::File(file) = &sealed.body {
            let path = file.path();
            let reason = if lost.rows < sealed.rows { Reason::Damaged } else { Reason::Unreadable };
            let moved = move_aside(&**file.folder(), &backlog.0.dir, path);
            let name = moved.as_deref().unwrap_or(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
            tracing::error!(
                segment = %sealed.id, rows = sealed.rows, rows_lost = lost.rows, is_exact = lost.is_exact, file = name, why,
                "a segment of the journal is damaged; its good rows are stored, the file is set aside"
            );
            if let Err(error) = moved {
                tracing::error!(%error, path = %path.display(), "failed to set a damaged segment aside");
            }
            let lost = if sealed.is_foreign { RowsLost::exactly(0) } else { lost };
            backlog.note_aside(Aside { file: name, reason, lost });
        }
        let _is_known = backlog.ledger().clear(sealed.id);
        backlog.settle(sealed.id, if gone == 0 { Outcome::Stored } else { Outcome::DeadLettered });
    }

    /// Parts of it are about to be sent by themselves: from now on, over restarts too, it is in doubt and never sent as a
    /// whole. Blocks the thread.
    ///
    /// # Errors
    /// When the disk says no; nothing may be sent in parts then.
    pub fn mark_in_doubt(&mut self, whole: Whole) -> io::Result<InDoubt> {
        self.set_in_doubt()?;
        let Whole { id, frames, .. } = whole;
        Ok(InDoubt { id, frames, damage: None })
    }

    fn set_in_doubt(&mut self) -> io::Result<()> {
        if self.sealed.in_doubt {
            return Ok(());
        }
        let Sealed { id, rows, .. } = self.sealed;
        if let Body::File(file) = &mut self.sealed.body
            && !file.place().is_left()
        {
            let dir = &self.backlog.0.dir;
            file.rename(dir.join(Name { id, state: FileState::Doubt { rows } }.file()))?;
            file.folder().sync_dir(dir)?;
        }
        self.sealed.in_doubt = true;
        Ok(())
    }

    /// Not now: others may go first until `pause` is over. `history` is what it went through by now.
    pub fn put_back(self, pause: Duration, history: History) {
        let Self { mut sealed, backlog, .. } = self;
        let mut state = backlog.state();
        // the totals stay: it goes back, as what became of its file meanwhile makes it
        if let (Some(size), Body::File(_)) = (state.taken.remove(&sealed.id), &sealed.body) {
            sealed.is_displaced = size.in_memory;
        }
        let not_before = Instant::now().checked_add(pause);
        state.waiting.insert(sealed.id, Waiting { sealed, not_before, history });
        drop(state);
        backlog.0.changed.notify_waiters();
    }
}

/// The names of the columns in a segment of another version.
fn columns_of(bytes: &[u8], found: &Scan) -> Result<Vec<String>, LoadError> {
    let (mut names, mut content) = (Vec::new(), Vec::new());
    for frame in &found.frames {
        content.clear();
        let frame = bytes.get(frame.clone()).ok_or(LoadError::Nothing)?;
        decompress_checked_frame(frame, &mut content).map_err(|_| LoadError::Nothing)?;
        let (block, _rest) = Block::parse(&content).map_err(|why| match why {
            // its columns are others, and its checksum is right: that is no damage
            Malformed::UnknownType(_) => LoadError::Later(why),
            _ => LoadError::Nothing,
        })?;
        block.add_column_names(&mut names);
    }
    if names.is_empty() { Err(LoadError::Nothing) } else { Ok(names) }
}

/// Rows in the frames that check.
pub(super) fn rows_in(bytes: &[u8], found: &Scan) -> usize {
    let mut content = Vec::new();
    let mut rows = 0;
    for frame in &found.frames {
        content.clear();
        if decompress_checked_frame(bytes.get(frame.clone()).unwrap_or_default(), &mut content).is_ok() {
            rows += crate::columns::native::parse::shape(&content).map_or(0, |(_columns, rows)| rows);
        }
    }
    rows
}
