//! The group commit: everything that waits in the channel becomes one block of the journal, one write and one fsync for
//! all of it, and then each sender is acknowledged.
//!
//! ```text
//! queue -> what waits now -> repeats out -> one block -> append, fsync -> answers
//!              ^                                              |
//!              '---- what arrived meanwhile is the next ------'
//! ```
//!
//! A request that is alone waits for its own fsync and no timer; under load each fsync carries all that came during the last one, and
//! while many senders are answered at once, their next requests are waited for a moment (`lanes.rs`: where rows go). A segment is handed
//! to the exporter when it is full, or old enough (`seal_timer.rs`) and the exporter has nothing better to do, so that a backlog is made
//! of few large inserts.

mod lanes;
pub mod quotas;
mod seal_timer;

use crate::access::Quotas;
use crate::bounds::GROUP_BYTES;
use crate::clickhouse::recent;
use crate::columns::{Rows, Table};
use crate::dedup::{Checked, DedupIndex};
use crate::ids::{ReportKey, SegmentId};
use crate::journal::{Backlog, CommitError, Full, Gone, Journal, Lane, Outcome, SettleObserver, Waiter};
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
/// From so many senders in one commit on, the next commit waits for more of them.
const MANY_SENDERS: usize = 8;
/// It begins no sooner than this after the last one ended: the first of many requests would be a commit of their own otherwise, each with
/// a block, an fsync and a round of wake-ups.
const GATHERED_FOR: Duration = Duration::from_micros(500);
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
    /// How much each workspace may have in the journal.
    pub quotas: Quotas,
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
    /// While more bytes than this are in memory alone, rows acknowledged from memory are written to disk instead.
    pub memory_bytes: u64,
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
    /// One for each lane and table that rows came for.
    timers: Vec<SealTimer>,
    /// What the rows of a commit are known by; kept from commit to commit.
    keys: Vec<ReportKey>,
    room_checked: Instant,
    /// How many senders the last commit answered, and when it ended.
    answered: (usize, Instant),
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
            timers: Vec::new(),
            keys: Vec::new(),
            room_checked: Instant::now(),
            answered: (0, Instant::now()),
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
            self.parts.journal.seal(timer.lane, timer.table);
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
            let Some(size) = self.parts.journal.active(timer.lane, timer.table) else { continue };
            let is_full =
                size.rows >= limits.rows || size.content_bytes >= limits.bytes || size.days >= DAYS_PER_SEGMENT;
            let now = Instant::now();
            timer.has_rows(now);
            let is_old = timer.due(age).is_some_and(|due| due <= now);
            if is_full || is_old && self.backlog.wants_more() {
                self.parts.journal.seal(timer.lane, timer.table);
                timer.is_sealed(now);
            }
        }
    }

    /// Commits `first` and what waits after it.
    ///
    /// What is acknowledged from memory goes first: its senders have their "ok", so it must be kept whatever the disk says, and a
    /// durable repeat of it can wait for it. The other way round a refused commit would take along what a memory entry repeats.
    fn take(&mut self, first: Entry) -> io::Result<()> {
        self.gather();
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
        let senders = group.len();
        let (memory, durable) = group.into_iter().partition(|entry: &Entry| entry.origin.ack == Ack::Memory);
        for (lane, entries) in [(Lane::Memory, memory), (Lane::Disk, durable)] {
            for (table, entries) in by_table(entries) {
                let parts = self.without_repeats(entries);
                let (parts, segment) = match lane {
                    Lane::Memory => self.commit_acknowledged(table, parts)?,
                    Lane::Disk => self.commit(lane, table, parts)?,
                };
                let rows: Vec<_> = parts.into_iter().map(|part| self.settle(part, segment)).collect();
                self.parts.queue.reuse(rows.into_iter());
            }
        }
        self.answered = (senders, Instant::now());
        Ok(())
    }

    /// Waits a moment for the senders that the last commit answered, if those were many. Blocks this thread, whose only task it is.
    fn gather(&self) {
        let (senders, ended) = self.answered;
        if senders >= MANY_SENDERS && self.parts.queue.waiting() < senders {
            std::thread::sleep(GATHERED_FOR.saturating_sub(ended.elapsed()));
        }
    }

    /// The entries without the rows that were accepted before; the others count as accepted from now on.
    fn without_repeats(&mut self, entries: Vec<Entry>) -> Vec<Part> {
        let now = self.parts.clock.now();
        self.keys.clear();
        let mut parts = Vec::with_capacity(entries.len());
        for mut entry in entries {
            let (dedup, keys) = (&mut self.parts.dedup, &mut self.keys);
            let Origin { workspace, dedup_window, is_keyed, .. } = &entry.origin;
            let seed = dedup.seed_of(workspace);
            let checked = match &entry.rows {
                Rows::Spans(spans) if *is_keyed => dedup.insert_keyed(seed, spans, now, *dedup_window, keys),
                Rows::Spans(spans) => Some(dedup.insert_all(seed, spans, now, *dedup_window, keys)),
                Rows::Records(records) => Some(dedup.insert_records(seed, records, now, *dedup_window, keys)),
            };
            let Some(Checked { repeated, .. }) = checked else {
                self.refuse_key(entry);
                continue;
            };
            if !repeated.is_empty() {
                entry.rows.leave_out(&repeated);
            }
            parts.push(Part { entry, repeated: repeated.len() });
        }
        parts
    }

    /// A new call with the key of another one is not taken.
    fn refuse_key(&mut self, mut entry: Entry) {
        let rows = entry.rows.rows();
        let metrics = self.parts.metrics.of(entry.rows.table().row_kind());
        metrics.untake(rows);
        if entry.is_answered() {
            // its sender has its OK, so it is counted here
            metrics.reject(entry.origin.receiver, rows);
            tracing::warn!(why = %IngestError::KeyReused, "a call acknowledged from memory is not stored");
        }
        entry.answer(Err(IngestError::KeyReused));
    }

    /// Notes whose bytes wait in a segment, until it is settled.
    fn hold(&self, entry: &Entry, segment: SegmentId) {
        let bytes = entry.rows.counted_bytes();
        quotas::hold(&self.parts.quotas, &self.backlog, segment, (&entry.origin.workspace, bytes));
    }

    /// What was committed: counts it, and answers now or once ClickHouse has it. Returns the rows, which nobody needs any more.
    fn settle(&mut self, part: Part, segment: Option<SegmentId>) -> Rows {
        let Part { mut entry, repeated } = part;
        let new = entry.rows.rows();
        self.parts.metrics.of(entry.rows.table().row_kind()).accept(entry.origin.receiver, new, repeated);
        if let Some(segment) = segment.filter(|_| new > 0) {
            self.hold(&entry, segment);
        }
        // what a repeat repeats may be in memory only, or on its way to ClickHouse
        let weaker = repeated > 0 && self.backlog.view().rows_in_memory > 0;
        if entry.origin.ack == Ack::Stored || entry.origin.ack == Ack::Durable && weaker {
            if repeated == 0 {
                // what is to be stored went to the disk's lane
                entry.committed();
            }
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
                let journal = &self.parts.journal;
                let open = self.timers.iter().filter_map(|timer| journal.active_id(timer.lane, timer.table));
                open.for_each(|id| self.backlog.attach(id, &waiter));
            }
            self.timers.iter_mut().for_each(SealTimer::is_awaited);
            waiter.done();
        } else {
            entry.answer(Ok(()));
        }
        entry.rows
    }

    /// The journal is dead: takes nothing more, and says so to those who wait. Returns the number of spans among them that were
    /// acknowledged already.
    fn give_up(&mut self) -> usize {
        self.parts.gate.set(Some(IngestError::JournalFailed));
        self.parts.queue.close();
        let mut lost = 0;
        while let Some(mut entry) = self.parts.queue.try_recv() {
            let rows = entry.rows.rows();
            if entry.is_answered() {
                lost += rows;
            } else {
                self.parts.metrics.of(entry.rows.table().row_kind()).untake(rows);
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

/// The entries of each table, in order. Nearly always there is one table.
fn by_table(entries: Vec<Entry>) -> Vec<(Table, Vec<Entry>)> {
    let mut tables: Vec<(Table, Vec<Entry>)> = Vec::new();
    for entry in entries {
        let table = entry.rows.table();
        match tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, of_table)) => of_table.push(entry),
            None => tables.push((table, vec![entry])),
        }
    }
    tables
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
