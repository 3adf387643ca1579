//! The group commit: everything that waits in the channel becomes one block of the journal, one write and one fsync for
//! all of it, and then each sender is acknowledged.
//!
//! ```text
//! queue -> what waits now -> repeats out -> one block -> append, fsync -> answers
//!              ^                                              |
//!              '---- what arrived meanwhile is the next ------'
//! ```
//!
//! There is no timer in this way: alone, a request waits for its own fsync; under load each fsync carries all that came
//! during the last one. A segment is handed to the exporter when it is full, or old enough (`seal_timer.rs`) and the exporter
//! has nothing better to do, so that a backlog is made of few large inserts.

mod seal_timer;

use crate::bounds::{self, GROUP_BYTES};
use crate::clickhouse::recent;
use crate::columns::RowGroup;
use crate::dedup::{Checked, DedupIndex};
use crate::ids::{ReportKey, SegmentId};
use crate::journal::{Backlog, CommitError, Committed, Full, Gone, Journal, Lane, Outcome, SettleObserver, Waiter};
use crate::numbers::{saturating_i64, to_u64};
use crate::pipeline::{Ack, AckSender, AdmissionGate, Entry, IngestError, Origin, QueueReceiver};
use crate::reconciler::counting::Notes;
use crate::telemetry::Metrics;
use crate::time::Clock;
use crate::timestamps::Budget;
use crate::workspace::Workspace;
use seal_timer::SealTimer;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A segment whose rows lie on this many days, each a partition of the table, is sent without waiting for more.
const DAYS_PER_SEGMENT: usize = 32;
/// After a write that failed because the disk was full, the next is tried no sooner.
const WRITE_FAILED_PAUSE: Duration = Duration::from_secs(1);
/// How often the disk is checked for free space.
const ROOM_CHECK: Duration = Duration::from_millis(250);

/// The committer with all it needs.
pub struct Committer {
    /// Where rows come from.
    pub queue: QueueReceiver,
    /// Where they go.
    pub journal: Journal,
    /// What was accepted lately.
    pub dedup: DedupIndex,
    /// Further spans accepted before this start.
    pub learned: mpsc::Receiver<Vec<recent::Stored>>,
    /// Shuts the receivers while nothing can be kept.
    pub gate: AdmissionGate,
    /// What is counted.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
    /// When a segment is full.
    pub limits: Limits,
    /// What partitions cost.
    pub days: Arc<Budget>,
    /// Where GenAI traces are noted, to be counted once they are delivered.
    pub notes: Notes,
    /// Whether senders are refused while the disk is full; not when all are acknowledged from memory.
    pub watches_disk: bool,
}

/// When a segment is handed to the exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At this many rows.
    pub rows: usize,
    /// At this many bytes before compression.
    pub bytes: usize,
    /// So early that ClickHouse has it at this age, if the exporter waits for one.
    pub age: Duration,
}

/// The journal cannot be written any more.
#[derive(Debug, thiserror::Error)]
#[error(
    "the journal failed: {source}; {rows} acknowledged spans are safe in it and are sent after the next start; \
     {rows_in_memory} in memory, or in removed files, are lost"
)]
pub struct JournalFailed {
    /// What the disk said.
    pub source: io::Error,
    /// Spans that wait in it.
    pub rows: usize,
    /// Spans that were in memory only.
    pub rows_in_memory: usize,
}

impl Committer {
    /// Runs on this thread until every receiver is gone and all is committed; from `draining` on, takes nothing new.
    ///
    /// # Errors
    /// If the disk fails. Those who wait are answered, and nothing more is taken.
    pub fn run(self, draining: CancellationToken) -> Result<(), JournalFailed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let backlog = self.journal.backlog().clone();
        let mut running = Running::new(self);
        match runtime.and_then(|runtime| runtime.block_on(running.run(draining))) {
            Ok(()) => {
                // not after a failure: the exporter would end before this thread, and seem to be the cause
                backlog.close();
                Ok(())
            }
            Err(source) => {
                let never_committed = running.give_up();
                let left = backlog.view();
                let rows_in_memory = left.rows_in_memory + never_committed;
                Err(JournalFailed { source, rows: left.rows - left.rows_in_memory, rows_in_memory })
            }
        }
    }
}

struct Running {
    parts: Committer,
    backlog: Backlog,
    timers: [SealTimer; 2],
    /// What the rows of a commit are known by; kept from commit to commit.
    keys: Vec<ReportKey>,
    room_checked: Instant,
    /// When a write last failed because the disk was full, whatever the file system reports.
    write_failed: Option<Instant>,
    /// That nothing is taken was said, and not yet that it is again.
    is_refusing: bool,
}

impl Running {
    fn new(parts: Committer) -> Self {
        let backlog = parts.journal.backlog().clone();
        Self {
            parts,
            backlog,
            timers: [Lane::Disk, Lane::Memory].map(SealTimer::new),
            keys: Vec::new(),
            room_checked: Instant::now(),
            write_failed: None,
            is_refusing: false,
        }
    }

    async fn run(&mut self, draining: CancellationToken) -> io::Result<()> {
        let mut is_draining = false;
        loop {
            let due = self.due();
            let room_check = self.room_checked + ROOM_CHECK;
            // free space is checked however long the active segment may wait: a closed gate admits nothing that would wake this loop
            let wake = due.filter(|due| *due > Instant::now()).map_or(room_check, |due| due.min(room_check));
            let is_due = due.is_some_and(|due| due <= Instant::now());
            tokio::select! {
                biased;
                () = draining.cancelled(), if !is_draining => {
                    self.parts.queue.close();
                    is_draining = true;
                }
                // before what comes now, which may be a repeat of it
                Some(learned) = self.parts.learned.recv() => self.learn(&learned),
                entry = self.parts.queue.recv() => match entry {
                    Some(entry) => self.take(entry)?,
                    None => break,
                },
                () = self.backlog.until_wanted(), if is_due => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            self.seal_what_is_due();
            if self.room_checked.elapsed() >= ROOM_CHECK {
                self.watch_room();
            }
        }
        for timer in &self.timers {
            self.parts.journal.seal(timer.lane);
        }
        Ok(())
    }

    /// When the first of the open segments is old enough.
    fn due(&self) -> Option<Instant> {
        let age = self.age();
        self.timers.iter().filter_map(|timer| timer.due(age)).min()
    }

    /// The age at which a segment is handed over.
    fn age(&self) -> Duration {
        seal_timer::age(self.parts.limits.age, self.backlog.insert_took())
    }

    fn seal_what_is_due(&mut self) {
        let (limits, age) = (self.parts.limits, self.age());
        for timer in &mut self.timers {
            let Some(size) = self.parts.journal.active(timer.lane) else { continue };
            let is_full =
                size.rows >= limits.rows || size.content_bytes >= limits.bytes || size.days >= DAYS_PER_SEGMENT;
            let now = Instant::now();
            timer.has_rows(now);
            let is_old = timer.due(age).is_some_and(|due| due <= now);
            if is_full || is_old && self.backlog.wants_more() {
                self.parts.journal.seal(timer.lane);
                timer.is_sealed(now);
            }
        }
    }

    /// Commits `first` and what waits after it.
    ///
    /// What is acknowledged from memory goes first: its senders have their "ok", so it must be kept whatever the disk says, and a
    /// durable repeat of it can wait for it. The other way round a refused commit would take along what a memory entry repeats.
    fn take(&mut self, first: Entry) -> io::Result<()> {
        let mut bytes = first.rows.counted_bytes();
        let mut days: BTreeSet<i64> = first.rows.days().iter().copied().collect();
        let mut group = vec![first];
        while bytes < GROUP_BYTES
            && days.len() < DAYS_PER_SEGMENT
            && let Some(entry) = self.parts.queue.try_recv()
        {
            bytes += entry.rows.counted_bytes();
            days.extend(entry.rows.days());
            group.push(entry);
        }
        let (memory, durable) = group.into_iter().partition(|entry: &Entry| entry.origin.ack == Ack::Memory);
        for (lane, entries) in [(Lane::Memory, memory), (Lane::Disk, durable)] {
            let parts = self.without_repeats(entries);
            let (parts, segment) = self.commit(lane, parts)?;
            parts.into_iter().for_each(|part| self.settle(part, segment));
        }
        Ok(())
    }

    /// The entries without the rows that were accepted before; the others count as accepted from now on.
    fn without_repeats(&mut self, entries: Vec<Entry>) -> Vec<Part> {
        let now = self.parts.clock.now();
        self.keys.clear();
        let mut parts = Vec::with_capacity(entries.len());
        for mut entry in entries {
            let (dedup, keys) = (&mut self.parts.dedup, &mut self.keys);
            let Origin { workspace, dedup_window, is_keyed, .. } = &entry.origin;
            let (seed, rows) = (dedup.seed_of(workspace), &entry.rows);
            let checked = if *is_keyed {
                dedup.insert_keyed(seed, rows, now, *dedup_window, keys)
            } else {
                Some(dedup.insert_all(seed, rows, now, *dedup_window, keys))
            };
            let Some(Checked { repeated, .. }) = checked else {
                self.refuse_key(entry);
                continue;
            };
            if !repeated.is_empty() {
                entry.rows = entry.rows.without(&repeated);
            }
            parts.push(Part { entry, repeated: repeated.len() });
        }
        parts
    }

    /// A new call with the key of another one is not taken.
    fn refuse_key(&mut self, mut entry: Entry) {
        let spans = entry.rows.rows();
        self.parts.metrics.untake(spans);
        if entry.origin.ack == Ack::Memory {
            // its sender has its answer, so it is counted here
            self.parts.metrics.reject(entry.origin.receiver, spans);
            tracing::warn!(why = %IngestError::KeyReused, "a call acknowledged from memory is not stored");
        }
        entry.answer(Err(IngestError::KeyReused));
    }

    /// Returns those whose rows were kept, and where the new ones are.
    fn commit(&mut self, lane: Lane, mut parts: Vec<Part>) -> io::Result<(Vec<Part>, Option<SegmentId>)> {
        if parts.is_empty() {
            return Ok((parts, None));
        }
        let groups: Vec<&RowGroup> = parts.iter().map(|part| &part.entry.rows).filter(|rows| rows.rows() > 0).collect();
        let now = self.parts.clock.now();
        let committed = if groups.is_empty() {
            Ok(None)
        } else {
            let bytes = groups.iter().map(|rows| rows.counted_bytes()).sum();
            self.seal_before(lane, bounds::commit_bytes(bytes));
            let before = self.partitions(lane);
            let committed = self.parts.journal.commit(lane, &groups, &self.keys, now).map(Some);
            if let Ok(Some(Committed { segment, .. })) = committed {
                // it is delivered only after it is sealed, which happens on this thread
                self.parts.notes.accepted(segment, &groups);
            }
            self.parts.days.spread(before, self.partitions(lane), Instant::now().into_std());
            committed
        };
        drop(groups);
        match committed {
            Ok(committed) => {
                if lane == Lane::Disk && committed.is_some() && std::mem::take(&mut self.is_refusing) {
                    tracing::info!("rows can be added to the journal again; accepting");
                }
                if let (Lane::Memory, Some(Committed { frame_bytes, .. })) = (lane, committed) {
                    self.keep_reservations(&mut parts, frame_bytes);
                }
                Ok((parts, committed.map(|committed| committed.segment)))
            }
            Err(CommitError::Failed(error)) => {
                self.parts.gate.set(Some(IngestError::JournalFailed));
                self.give_back(parts, IngestError::JournalFailed);
                Err(error)
            }
            Err(error) => {
                let why = not_taken(&error);
                if !self.is_refusing {
                    tracing::error!(%error, "nothing can be added to the journal");
                }
                self.write_failed = Some(Instant::now());
                if self.parts.watches_disk {
                    self.refuse(why);
                }
                self.give_back(parts, why);
                Ok((Vec::new(), None))
            }
        }
    }

    /// Partitions that the open segment has rows of.
    fn partitions(&self, lane: Lane) -> usize {
        self.parts.journal.active(lane).map_or(0, |size| size.days)
    }

    /// A commit that would make the open segment larger than a segment may be goes into the next, and so does what follows.
    fn seal_before(&mut self, lane: Lane, bytes: usize) {
        let limit = self.parts.limits.bytes;
        let open = self.parts.journal.active(lane);
        if open.is_some_and(|size| size.content_bytes.saturating_add(bytes) > limit) {
            self.parts.journal.seal(lane);
            let now = Instant::now();
            self.timers.iter_mut().filter(|timer| timer.lane == lane).for_each(|timer| timer.is_sealed(now));
        }
    }

    /// Rows that stay in memory keep their reservation, as much of it as their frame takes, until they are stored.
    fn keep_reservations(&mut self, parts: &mut [Part], frame_bytes: usize) {
        let mut reservations = parts.iter_mut().map(|part| part.entry.reservation.take());
        let Some(mut all) = reservations.next() else { return };
        reservations.for_each(|other| all.join(other));
        // a frame is smaller than its rows, so this shrinks; if not, the reservation stays as large as it was
        let _as_it_was = all.resize(frame_bytes);
        self.parts.journal.hold(Box::new(all));
    }

    /// What was committed: counts it, and answers now or once ClickHouse has it.
    fn settle(&mut self, part: Part, segment: Option<SegmentId>) {
        let Part { mut entry, repeated } = part;
        let new = entry.rows.rows();
        self.parts.metrics.accept(entry.origin.receiver, new, repeated);
        // what a repeat repeats may be in memory only, or on its way to ClickHouse
        let weaker = repeated > 0 && self.backlog.view().rows_in_memory > 0;
        if entry.origin.ack == Ack::Stored || entry.origin.ack == Ack::Durable && weaker {
            let waiter = Waiter::new(WhenStored(entry.take_answer()));
            if let Some(segment) = segment.filter(|_| new > 0) {
                self.backlog.attach(segment, &waiter);
            }
            if repeated > 0 {
                if entry.origin.ack == Ack::Stored {
                    self.backlog.attach_to_all(&waiter);
                } else {
                    self.backlog.attach_to_memory(&waiter);
                }
                let open = self.timers.iter().filter_map(|timer| self.parts.journal.active_id(timer.lane));
                open.for_each(|id| self.backlog.attach(id, &waiter));
            }
            self.timers.iter_mut().for_each(SealTimer::is_awaited);
            waiter.done();
        } else {
            entry.answer(Ok(()));
        }
    }

    /// What was not committed: forgets it, and says why.
    fn give_back(&mut self, parts: Vec<Part>, why: IngestError) {
        for Part { mut entry, repeated } in parts {
            let seed = self.parts.dedup.seed_of(&entry.origin.workspace);
            if entry.origin.is_keyed {
                self.parts.dedup.forget_keyed(seed, &entry.rows);
            } else {
                self.parts.dedup.forget_all(seed, &entry.rows);
            }
            self.parts.metrics.untake(entry.rows.rows() + repeated);
            debug_assert_ne!(entry.origin.ack, Ack::Memory, "a commit to memory cannot fail");
            entry.answer(Err(why));
        }
    }

    /// The journal is dead: takes nothing more, and says so to those who wait. Returns the number of spans among them that were
    /// acknowledged already.
    fn give_up(&mut self) -> usize {
        self.parts.gate.set(Some(IngestError::JournalFailed));
        self.parts.queue.close();
        let mut lost = 0;
        while let Some(mut entry) = self.parts.queue.try_recv() {
            let spans = entry.rows.rows();
            if entry.origin.ack == Ack::Memory {
                lost += spans;
            } else {
                self.parts.metrics.untake(spans);
                entry.answer(Err(IngestError::JournalFailed));
            }
        }
        lost
    }

    fn learn(&mut self, learned: &[recent::Stored]) {
        let now = self.parts.clock.now();
        let default = Workspace::default();
        for span in learned {
            let seed = self.parts.dedup.seed_of(span.workspace.as_ref().unwrap_or(&default));
            let key = DedupIndex::key(seed, (&span.trace, &span.span, span.kind.as_bytes()), None);
            self.parts.dedup.remember(key, span.accepted_by, now);
        }
    }

    fn watch_room(&mut self) {
        self.room_checked = Instant::now();
        let held = self.parts.dedup.held();
        self.parts.metrics.dedup_spans.set(saturating_i64(u128::from(to_u64(held))));
        if !self.parts.watches_disk {
            return;
        }
        match self.parts.journal.watch() {
            Err(error) => self.refuse(not_taken(&error)),
            Ok(()) if self.write_failed.is_some_and(|failed| failed.elapsed() < WRITE_FAILED_PAUSE) => {}
            // what comes next shows whether it is true
            Ok(()) => {
                self.parts.gate.set(None);
            }
        }
    }

    fn refuse(&mut self, why: IngestError) {
        self.parts.gate.set(Some(why));
        if !std::mem::replace(&mut self.is_refusing, true) {
            tracing::error!(%why, "refusing what is sent until that is over");
        }
    }
}

/// An entry of which `repeated` rows are gone already.
struct Part {
    entry: Entry,
    repeated: usize,
}

/// A sender that is acknowledged when its spans are in ClickHouse.
struct WhenStored(AckSender);

impl SettleObserver for WhenStored {
    fn is_gone(&self) -> bool {
        self.0.is_gone()
    }

    fn on_settled(self: Box<Self>, outcome: Outcome) {
        self.0.send(match outcome {
            Outcome::Stored => Ok(()),
            Outcome::DeadLettered => Err(IngestError::DeadLettered),
        });
    }
}

fn not_taken(error: &CommitError) -> IngestError {
    match error {
        CommitError::Full(Full::Disk) => IngestError::DiskFull,
        CommitError::Full(Full::Journal) => IngestError::JournalFull,
        CommitError::Gone(Gone::Folder) => IngestError::JournalGone,
        CommitError::Gone(Gone::File) | CommitError::NoFile(_) => IngestError::NoFile,
        CommitError::Failed(_) => IngestError::JournalFailed,
    }
}

#[cfg(test)]
mod tests;
