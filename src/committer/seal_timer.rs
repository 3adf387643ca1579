//! When the active segment of a lane and table is old enough to be handed to the exporter.
//!
//! ```text
//! at rest        row -> a sixteenth of it -> insert
//! steady load    insert -> as long as a row may wait -> insert -> ...
//! awaited        row -> AWAITED_AGE -> insert, whatever came before
//! ```
//!
//! An insert and the merges that follow it have a fixed price, so rows are gathered as long as they may wait. A row that comes
//! after a rest has nothing to gain from that. Measured: docs/performance.md.

use crate::columns::Table;
use crate::journal::Lane;
use std::time::Duration;
use tokio::time::Instant;

/// After a rest, the first rows wait this part of the time for others that were sent at about the same time: 50 of 800 ms.
const ALONE_SHARE: u32 = 16;
/// A segment is handed over at this age when somebody waits for ClickHouse to have it.
const AWAITED_AGE: Duration = Duration::from_millis(20);
/// An insert shortens the time that rows are gathered by at most this part of it: a ClickHouse that is slow because it has much
/// to do would get more inserts otherwise.
const INSERT_SHARE_MAX: u32 = 4;

/// How long rows are gathered, so that ClickHouse has them at the age of `stored_by` if it is as fast as the last time.
pub(super) fn age(stored_by: Duration, insert_took: Duration) -> Duration {
    stored_by.saturating_sub(insert_took.min(stored_by / INSERT_SHARE_MAX))
}

/// The timer of one lane and table.
pub(super) struct SealTimer {
    pub(super) lane: Lane,
    pub(super) table: Table,
    /// When the active segment got its first row.
    began: Option<Instant>,
    /// A sender waits until ClickHouse has it.
    is_awaited: bool,
    /// When the segment before it was sealed.
    sealed: Option<Instant>,
}

impl SealTimer {
    pub(super) fn new(lane: Lane, table: Table) -> Self {
        Self { lane, table, began: None, is_awaited: false, sealed: None }
    }

    /// The active segment has rows.
    pub(super) fn has_rows(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    /// A sender waits until ClickHouse has what is in the active segment.
    pub(super) fn is_awaited(&mut self) {
        self.is_awaited = true;
    }

    /// The segment was handed over, and the next one is empty.
    pub(super) fn is_sealed(&mut self, now: Instant) {
        *self = Self { sealed: Some(now), ..Self::new(self.lane, self.table) };
    }

    /// When the active segment is old enough, if rows are gathered for so long.
    pub(super) fn due(&self, age: Duration) -> Option<Instant> {
        let began = self.began?;
        if self.is_awaited {
            return Some(began + age.min(AWAITED_AGE));
        }
        let alone = began + age / ALONE_SHARE;
        Some(self.sealed.map_or(alone, |sealed| alone.max(sealed + age)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_millis(800);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn rows_that_come_after_a_rest_are_sent_soon_and_those_of_a_steady_load_once_in_the_time_they_may_wait() {
        let (start, mut timer, mut sealed) = (Instant::now(), SealTimer::new(Lane::Disk, Table::Traces), Vec::new());
        // a row every 10 ms for 3 s, and one more after a rest
        let rows = (0..300).map(|row| start + millis(row * 10)).chain([start + millis(10_000)]);
        for now in rows {
            timer.has_rows(now);
            if timer.due(AGE).is_some_and(|due| due <= now) {
                sealed.push((now - start).as_millis());
                timer.is_sealed(now);
            }
        }
        assert_eq!(sealed, [50, 850, 1_650, 2_450, 10_000], "the last row waits no longer: others came before it");
        timer.has_rows(start + millis(20_000));
        assert_eq!(timer.due(AGE), Some(start + millis(20_050)));
    }

    #[test]
    fn no_row_waits_longer_than_it_may_whenever_the_segment_before_was_sealed() {
        let start = Instant::now();
        for after in [0, 1, 49, 50, 500, 799, 800, 801, 5_000] {
            let mut timer = SealTimer::new(Lane::Memory, Table::Traces);
            timer.is_sealed(start);
            assert_eq!(timer.due(AGE), None, "there is nothing to send");
            let came = start + millis(after);
            timer.has_rows(came);
            timer.has_rows(came + millis(10));
            let due = timer.due(AGE).unwrap();
            assert!(due <= came + AGE && due >= came + millis(50), "{after}: {:?}", due - came);
            assert!(timer.due(millis(10)).unwrap() <= came + millis(10), "a shorter time is kept to as well");
        }
    }

    #[test]
    fn a_segment_that_somebody_waits_for_is_sent_at_once_and_the_next_is_gathered_again() {
        let (start, mut timer) = (Instant::now(), SealTimer::new(Lane::Disk, Table::Traces));
        timer.is_sealed(start);
        timer.has_rows(start + millis(1));
        timer.is_awaited();
        assert_eq!(timer.due(AGE), Some(start + millis(21)));
        timer.is_sealed(start + millis(21));
        timer.has_rows(start + millis(22));
        assert_eq!(timer.due(AGE), Some(start + millis(821)));
    }

    #[test]
    fn what_an_insert_takes_is_taken_from_the_time_that_rows_wait() {
        assert_eq!(age(AGE, Duration::ZERO), AGE);
        assert_eq!(age(AGE, millis(120)), millis(680));
        assert_eq!(age(AGE, millis(30_000)), millis(600), "slow inserts are not made many");
        assert_eq!(age(Duration::ZERO, millis(120)), Duration::ZERO);
    }
}
