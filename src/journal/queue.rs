//! Which segments wait for ClickHouse, which are under way to it, and which is next. Pure: no locks, no files.
//!
//! ```text
//! push -> waiting -> take_next -> taken -> finish
//!            ^                      |
//!            '------ put_back ------'  not before its pause is over
//! ```

use super::disk::FileId;
use super::sealed::{Body, Sealed, SegmentSize};
use super::segment_file::Place;
use super::view::{ActiveTotals, BacklogView};
use crate::ids::SegmentId;
use std::collections::BTreeMap;
use std::time::Instant;

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
    /// Until when an insert of it may still be under way.
    pub under_way_until: Option<Instant>,
}

/// A segment that waits.
pub(super) struct Waiting {
    pub(super) sealed: Sealed,
    not_before: Option<Instant>,
    pub(super) history: History,
}

/// The next segment, or when there may be one.
pub(super) enum Next {
    Segment(Waiting),
    NotBefore(Instant),
    Nothing,
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    waiting: BTreeMap<SegmentId, Waiting>,
    taken: BTreeMap<SegmentId, SegmentSize>,
    totals: Totals,
    active: ActiveTotals,
    /// The segment that this run sealed last.
    last_sealed: Option<SegmentId>,
    /// Exporters that wait for a segment.
    idle_takers: usize,
    newest_next: bool,
    is_closed: bool,
}

/// Of what waits and what is taken.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    rows: usize,
    rows_in_memory: usize,
    bytes: u64,
    bytes_in_memory: u64,
}

impl Totals {
    fn add(&mut self, size: SegmentSize) {
        self.rows += size.rows;
        self.bytes += size.bytes;
        if size.in_memory {
            self.rows_in_memory += size.rows;
            self.bytes_in_memory += size.bytes;
        }
    }

    fn subtract(&mut self, size: SegmentSize) {
        debug_assert!(self.rows >= size.rows && self.bytes >= size.bytes, "it was added before");
        self.rows -= size.rows;
        self.bytes -= size.bytes;
        if size.in_memory {
            self.rows_in_memory -= size.rows;
            self.bytes_in_memory -= size.bytes;
        }
    }
}

impl Queue {
    pub(super) fn push(&mut self, sealed: Sealed) {
        self.totals.add(sealed.size());
        if !sealed.is_recovered {
            self.last_sealed = Some(sealed.id);
        }
        let id = sealed.id;
        let before = self.waiting.insert(id, Waiting { sealed, not_before: None, history: History::default() });
        assert!(before.is_none() && !self.taken.contains_key(&id), "{id} is sealed once");
    }

    /// Takes the next segment in this order.
    pub(super) fn take_next(&mut self, order: Order) -> Next {
        let now = Instant::now();
        let ready =
            |(id, waiting): (&SegmentId, &Waiting)| waiting.not_before.is_none_or(|at| at <= now).then_some(*id);
        let newest_first = match order {
            Order::OldestFirst => false,
            Order::NewestFirst => true,
            Order::Fair => self.newest_next,
        };
        let next =
            if newest_first { self.waiting.iter().rev().find_map(ready) } else { self.waiting.iter().find_map(ready) };
        let Some(waiting) = next.and_then(|id| self.waiting.remove(&id)) else {
            let soonest = self.waiting.values().filter_map(|waiting| waiting.not_before).min();
            return soonest.map_or(Next::Nothing, Next::NotBefore);
        };
        self.newest_next = !self.newest_next;
        self.taken.insert(waiting.sealed.id, waiting.sealed.size());
        Next::Segment(waiting)
    }

    /// A segment that was taken waits again. The totals stay.
    pub(super) fn put_back(&mut self, mut sealed: Sealed, not_before: Option<Instant>, history: History) {
        let size = self.taken.remove(&sealed.id).expect("a segment is put back once, after it was taken");
        if matches!(sealed.body, Body::File(_)) {
            // its folder may have been removed meanwhile
            sealed.is_displaced = size.in_memory;
        }
        self.waiting.insert(sealed.id, Waiting { sealed, not_before, history });
    }

    /// A segment that was taken came to its end. Returns the oldest that did not.
    pub(super) fn finish(&mut self, id: SegmentId) -> Option<SegmentId> {
        let size = self.taken.remove(&id).expect("a segment is finished once, after it was taken");
        self.totals.subtract(size);
        self.waiting.keys().next().into_iter().chain(self.taken.keys().next()).min().copied()
    }

    /// The files of a folder will not be found by the next start, or will be again.
    pub(super) fn displace(&mut self, folder: FileId, is_displaced: bool) {
        for waiting in self.waiting.values_mut().filter(|waiting| waiting.sealed.is_in(folder)) {
            waiting.sealed.is_displaced = is_displaced;
        }
        for taken in self.taken.values_mut().filter(|taken| taken.folder == Some(folder)) {
            taken.in_memory = is_displaced;
        }
        self.count_again();
    }

    /// Where the files of segments that wait should be, as far as it is known which files those are.
    pub(super) fn places(&self) -> Vec<(SegmentId, Place)> {
        let in_place = self.waiting.values().filter(|waiting| !waiting.sealed.is_displaced);
        let places = in_place.filter_map(|waiting| Some((waiting.sealed.id, waiting.sealed.file()?.place())));
        places.filter(|(_, place)| place.file.is_some()).collect()
    }

    /// The file of a segment that waits is not at its place, unless we renamed it since.
    pub(super) fn displace_one(&mut self, id: SegmentId, place: &Place) {
        let Some(waiting) = self.waiting.get_mut(&id) else { return };
        if waiting.sealed.file().is_some_and(|file| file.path() == place.path()) {
            waiting.sealed.is_displaced = true;
            tracing::error!(
                segment = %id, rows = waiting.sealed.rows, path = %place.path().display(),
                "a segment that waits for ClickHouse was removed or renamed; it is sent as long as Millrace has it open"
            );
            self.count_again();
        }
    }

    /// After what a crash would lose has changed.
    fn count_again(&mut self) {
        let before = self.totals;
        self.totals = Totals::default();
        for size in self.waiting.values().map(|waiting| waiting.sealed.size()).chain(self.taken.values().copied()) {
            self.totals.add(size);
        }
        debug_assert_eq!(
            (before.rows, before.bytes),
            (self.totals.rows, self.totals.bytes),
            "all that is held is counted"
        );
    }

    pub(super) fn set_active(&mut self, active: ActiveTotals) {
        self.active = active;
    }

    /// Ids of the segments that are in memory alone.
    pub(super) fn in_memory(&self) -> Vec<SegmentId> {
        let waiting = self.waiting.values().map(|waiting| (waiting.sealed.id, waiting.sealed.size()));
        let taken = self.taken.iter().map(|(id, size)| (*id, *size));
        waiting.chain(taken).filter(|(_, size)| size.in_memory).map(|(id, _)| id).collect()
    }

    /// The newest segment.
    pub(super) fn newest(&self) -> Option<SegmentId> {
        self.waiting.keys().next_back().into_iter().chain(self.taken.keys().next_back()).max().copied()
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether no more segments come.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether no more segments come, and none may be put back.
    pub(super) fn is_over(&self) -> bool {
        self.is_closed && self.waiting.is_empty() && self.taken.is_empty()
    }

    pub(super) fn begin_idle(&mut self) {
        self.idle_takers += 1;
    }

    pub(super) fn end_idle(&mut self) {
        self.idle_takers -= 1;
    }

    /// Whether another segment is wanted: an exporter has none, or was quick to take the last one in spite of a backlog.
    pub(super) fn wants_more(&self) -> bool {
        self.idle_takers > 0 || self.last_sealed.is_some_and(|last| !self.waiting.contains_key(&last))
    }

    pub(super) fn view(&self) -> BacklogView {
        // later ids are of later rows, so the first that waits is the oldest of them
        let waiting = self.waiting.values().next().map(|waiting| waiting.sealed.oldest);
        let taken = self.taken.values().map(|size| size.oldest);
        BacklogView {
            segments: usize::from(self.active.rows > 0) + self.waiting.len() + self.taken.len(),
            rows: self.active.rows + self.totals.rows,
            bytes: self.active.bytes + self.totals.bytes,
            rows_in_memory: self.active.rows_in_memory + self.totals.rows_in_memory,
            oldest: taken.chain(waiting).chain(self.active.oldest).min(),
        }
    }

    /// Bytes that are in no file.
    pub(super) fn bytes_in_memory(&self) -> u64 {
        self.active.bytes_in_memory + self.totals.bytes_in_memory
    }

    /// Bytes of files.
    pub(super) fn disk_bytes(&self) -> u64 {
        let on_disk = |all: u64, in_memory: u64| {
            debug_assert!(in_memory <= all, "what is in memory is a part of all");
            all - in_memory
        };
        on_disk(self.active.bytes, self.active.bytes_in_memory)
            + on_disk(self.totals.bytes, self.totals.bytes_in_memory)
    }
}
