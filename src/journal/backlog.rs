//! The segments that wait for ClickHouse, from the committer to the exporter, as all who share them see them. A backlog of hours is a
//! list of file names: its bytes are on disk.
//!
//! ```text
//! push -> queue -> take -> Segment: load, insert -> stored: retained a little, then removed
//!           ^                          |----------> put_back, with a pause of its own
//!           '--------------------------'            set_aside: its file is damaged
//! ```

use super::aside::{Aside, Asides};
use super::disk::{FileId, Folder};
use super::ledger::Ledger;
use super::queue::Queue;
use super::retained::Retained;
use super::sealed::Sealed;
use super::view::{ActiveTotals, BacklogView};
use super::waiters::{Outcome, Waiter, Waiters};
use crate::ids::SegmentId;
use crate::locks::locked;
use crate::numbers::{saturating_i64, to_u64};
use crate::telemetry::Metrics;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// The list; clones share it.
#[derive(Clone)]
pub struct Backlog(pub(super) Arc<Shared>);

pub(super) struct Shared {
    state: Mutex<State>,
    /// The folder is locked against other processes while anything here has it.
    folder: Mutex<Arc<dyn Folder>>,
    ledger: Mutex<Ledger>,
    asides: Mutex<Asides>,
    retained: Retained,
    /// The queue changed.
    pub(super) changed: Notify,
    /// Another segment is wanted.
    pub(super) wanted: Notify,
    pub(super) dir: PathBuf,
    pub(super) metrics: Metrics,
}

/// What one lock guards.
#[derive(Default)]
pub(super) struct State {
    pub(super) queue: Queue,
    waiters: Waiters,
    insert_took: Duration,
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backlog").field("view", &self.view()).finish_non_exhaustive()
    }
}

impl Backlog {
    pub(super) fn new(folder: Arc<dyn Folder>, dir: &Path, metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            folder: Mutex::new(folder),
            ledger: Mutex::default(),
            asides: Mutex::default(),
            retained: Retained::new(dir.to_owned()),
            changed: Notify::new(),
            wanted: Notify::new(),
            dir: dir.to_owned(),
            metrics,
        }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.0.state)
    }

    /// What waits.
    #[must_use]
    pub fn view(&self) -> BacklogView {
        self.state().queue.view()
    }

    pub(super) fn push(&self, sealed: Sealed) {
        let mut state = self.state();
        state.queue.push(sealed);
        self.show(&state);
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// What was acknowledged, for the next start.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        locked(&self.0.ledger)
    }

    pub(super) fn retained(&self) -> &Retained {
        &self.0.retained
    }

    pub(super) fn note_aside(&self, aside: Aside) {
        self.0.metrics.journal.set_aside(aside.reason.label(), aside.lost.rows, aside.lost.is_exact);
        locked(&self.0.asides).add(aside);
    }

    /// The files that are not what they should be.
    #[must_use]
    pub fn asides(&self) -> Asides {
        locked(&self.0.asides).clone()
    }

    /// Segments are written to another folder from now on.
    pub(super) fn occupy(&self, folder: Arc<dyn Folder>) {
        *locked(&self.0.folder) = folder;
    }

    /// The folder that segments are written to.
    pub(super) fn folder(&self) -> Arc<dyn Folder> {
        Arc::clone(&locked(&self.0.folder))
    }

    /// The files of a folder will not be found by the next start, or will be again.
    pub(super) fn displace(&self, folder: FileId, is_displaced: bool) {
        self.state().queue.displace(folder, is_displaced);
    }

    /// Looks for files that are no longer where they were written. Blocks the thread.
    pub fn look_for_files(&self) {
        let folder = self.folder();
        if !folder.is_in_place() {
            return self.displace(folder.id(), true);
        }
        // of files that are not open nothing can be saved
        let places = self.state().queue.places();
        let gone: Vec<_> = places.into_iter().filter(|(_, place)| place.is_left()).collect();
        if gone.is_empty() {
            return;
        }
        let mut state = self.state();
        gone.iter().for_each(|(id, place)| state.queue.displace_one(*id, place));
        self.show(&state);
    }

    /// Bytes of segments that are in memory alone.
    #[must_use]
    pub fn bytes_in_memory(&self) -> u64 {
        self.state().queue.bytes_in_memory()
    }

    pub(super) fn set_active(&self, active: ActiveTotals) {
        let mut state = self.state();
        state.queue.set_active(active);
        self.show(&state);
    }

    /// Whether another segment is wanted: an exporter has none, or was quick to take the last one in spite of a backlog.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.state().queue.wants_more()
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

    /// How long the last insert took that ClickHouse confirmed; zero before the first.
    #[must_use]
    pub fn insert_took(&self) -> Duration {
        self.state().insert_took
    }

    /// ClickHouse confirmed an insert.
    pub fn note_insert_took(&self, took: Duration) {
        self.state().insert_took = took;
    }

    /// Notifies `waiter` of the end of that segment.
    pub fn attach(&self, id: SegmentId, waiter: &Waiter) {
        self.state().waiters.attach(id, waiter);
    }

    /// Notifies `waiter` once everything that waits now is settled.
    pub fn attach_to_all(&self, waiter: &Waiter) {
        let mut state = self.state();
        if let Some(last) = state.queue.newest() {
            state.waiters.attach_up_to(last, waiter);
        }
    }

    /// Notifies `waiter` once everything that waits now in memory is settled.
    pub fn attach_to_memory(&self, waiter: &Waiter) {
        let mut state = self.state();
        let in_memory = state.queue.in_memory();
        in_memory.into_iter().for_each(|id| state.waiters.attach(id, waiter));
    }

    /// Whether no more segments come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().queue.is_closed()
    }

    /// No more segments come: [`take`](Self::take) ends once none is left.
    pub fn close(&self) {
        self.state().queue.close();
        self.0.changed.notify_waiters();
    }

    fn show(&self, state: &State) {
        let view = state.queue.view();
        let metrics = &self.0.metrics;
        metrics.journal.segments.set(saturating_i64(u128::from(to_u64(view.segments))));
        metrics.journal.bytes.set(saturating_i64(u128::from(view.bytes)));
    }

    /// Forgets a segment that came to its end, and notifies those who wait for it.
    pub(super) fn settle(&self, id: SegmentId, outcome: Outcome) {
        let mut state = self.state();
        let oldest = state.queue.finish(id);
        let waiters = state.waiters.settled(id, oldest);
        self.show(&state);
        drop(state);
        self.0.changed.notify_waiters();
        waiters.notify(outcome);
    }

    /// Removes segments that were retained long enough; all of them when room is short.
    pub(super) fn prune(&self, all: bool) {
        self.0.retained.prune(&self.folder(), all);
    }

    /// Bytes on disk, of whatever kind.
    pub(super) fn disk_bytes(&self) -> u64 {
        // one that moves from one to the other meanwhile is counted twice rather than not at all
        self.state().queue.disk_bytes() + self.0.retained.bytes()
    }
}
