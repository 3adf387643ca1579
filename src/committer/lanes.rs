//! Where the rows of a commit go: their lane, their segment, and what becomes of them when the disk does not take them.
//!
//! ```text
//! durable, stored   disk  -- no room: their senders are told to try again
//! memory            memory, or disk while much is in memory -- no room: memory
//! ```

use super::seal_timer::SealTimer;
use super::{Part, Running, not_taken};
use crate::bounds;
use crate::columns::{Group, Rows, Table};
use crate::ids::SegmentId;
use crate::journal::{CommitError, Committed, Lane};
use crate::pipeline::{Ack, IngestError};
use std::io;
use tokio::time::Instant;

impl Running {
    /// Commits what has its OK already: to memory, or to disk while much is in memory. What the disk does not take stays in memory.
    pub(super) fn commit_acknowledged(
        &mut self,
        table: Table,
        parts: Vec<Part>,
    ) -> io::Result<(Vec<Part>, Option<SegmentId>)> {
        if self.backlog.bytes_in_memory() <= self.parts.limits.memory_bytes {
            return self.commit(Lane::Memory, table, parts);
        }
        match self.write(Lane::Disk, table, &parts) {
            Ok(committed) => Ok((parts, committed.map(|committed| committed.segment))),
            Err(CommitError::Failed(error)) => {
                let (parts, segment) = self.commit(Lane::Memory, table, parts)?;
                parts.into_iter().for_each(|part| drop(self.settle(part, segment)));
                Err(error)
            }
            Err(_no_room) => self.commit(Lane::Memory, table, parts),
        }
    }

    /// Adds the rows to a segment of the lane; nothing if there are none.
    fn write(&mut self, lane: Lane, table: Table, parts: &[Part]) -> Result<Option<Committed>, CommitError> {
        let rows = || parts.iter().map(|part| &part.entry.rows).filter(|rows| rows.rows() > 0);
        debug_assert!(rows().all(|rows| rows.table() == table), "a segment is for one table");
        if table != Table::Traces {
            return self.write_groups(lane, table, &rows().filter_map(Rows::records).collect::<Vec<_>>());
        }
        let groups: Vec<_> = rows().filter_map(Rows::spans).collect();
        let committed = self.write_groups(lane, table, &groups)?;
        if let Some(Committed { segment, .. }) = committed {
            // it is delivered only after it is sealed, which happens on this thread
            self.parts.notes.accepted(segment, &groups);
        }
        Ok(committed)
    }

    fn write_groups<G: Group>(
        &mut self,
        lane: Lane,
        table: Table,
        groups: &[&G],
    ) -> Result<Option<Committed>, CommitError> {
        if groups.is_empty() {
            return Ok(None);
        }
        let now = self.parts.clock.now();
        let bytes = groups.iter().map(|rows| rows.counted_bytes()).sum();
        self.timer(lane, table);
        self.seal_before(lane, table, bounds::commit_bytes(bytes));
        let before = self.partitions(lane, table);
        let committed = self.parts.journal.commit(lane, groups, &self.keys, now).map(Some);
        self.parts.days.spread(before, self.partitions(lane, table), Instant::now().into_std());
        committed
    }

    /// Returns those whose rows were kept, and where the new ones are.
    pub(super) fn commit(
        &mut self,
        lane: Lane,
        table: Table,
        mut parts: Vec<Part>,
    ) -> io::Result<(Vec<Part>, Option<SegmentId>)> {
        if parts.is_empty() {
            return Ok((parts, None));
        }
        match self.write(lane, table, &parts) {
            Ok(committed) => {
                if lane == Lane::Disk && committed.is_some() && std::mem::take(&mut self.is_refusing) {
                    tracing::info!("rows can be added to the journal again; accepting");
                }
                if let (Lane::Memory, Some(Committed { frame_bytes, .. })) = (lane, committed) {
                    self.keep_reservations(table, &mut parts, frame_bytes);
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
    fn partitions(&self, lane: Lane, table: Table) -> usize {
        self.parts.journal.active(lane, table).map_or(0, |size| size.days)
    }

    /// A commit that would make the open segment larger than a segment may be goes into the next, and so does what follows.
    fn seal_before(&mut self, lane: Lane, table: Table, bytes: usize) {
        let limit = self.parts.limits.bytes;
        let open = self.parts.journal.active(lane, table);
        if open.is_some_and(|size| size.content_bytes.saturating_add(bytes) > limit) {
            self.parts.journal.seal(lane, table);
            self.timer(lane, table).is_sealed(Instant::now());
        }
    }

    /// The timer of the open segment of a lane and table.
    fn timer(&mut self, lane: Lane, table: Table) -> &mut SealTimer {
        let known = self.timers.iter().position(|timer| timer.lane == lane && timer.table == table);
        let place = known.unwrap_or_else(|| {
            self.timers.push(SealTimer::new(lane, table));
            self.timers.len() - 1
        });
        self.timers.get_mut(place).expect("it is there, or was just pushed")
    }

    /// Rows that stay in memory keep their reservation, as much of it as their frame takes, until they are stored.
    fn keep_reservations(&mut self, table: Table, parts: &mut [Part], frame_bytes: usize) {
        let mut reservations = parts.iter_mut().map(|part| part.entry.reservation.take());
        let Some(mut all) = reservations.next() else { return };
        reservations.for_each(|other| all.join(other));
        // a frame is smaller than its rows, so this shrinks; if not, the reservation stays as large as it was
        let _as_it_was = all.resize(frame_bytes);
        self.parts.journal.hold(table, Box::new(all));
    }

    /// What was not committed: forgets it, and says why.
    pub(super) fn give_back(&mut self, parts: Vec<Part>, why: IngestError) {
        for Part { mut entry, repeated } in parts {
            let seed = self.parts.dedup.seed_of(&entry.origin.workspace);
            let dedup = &mut self.parts.dedup;
            match &entry.rows {
                Rows::Spans(spans) if entry.origin.is_keyed => dedup.forget_keyed(seed, spans),
                Rows::Spans(spans) => dedup.forget_all(seed, spans),
                Rows::Records(records) => dedup.forget_records(seed, records),
            }
            self.parts.metrics.of(entry.rows.table().row_kind()).untake(entry.rows.rows() + repeated);
            debug_assert_ne!(entry.origin.ack, Ack::Memory, "a commit to memory cannot fail");
            entry.answer(Err(why));
        }
    }
}
