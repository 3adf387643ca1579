//! The walk over all pairs of the window, hour by hour and page by page: it comes to what nobody noted here, because it was
//! stored by another Millrace, before the last start, or when there was too much to note.
//!
//! An hour is walked again after a part of its age, so what waits for ever costs less and less, and behind the window
//! nothing. One list of hours is walked to its end, oldest first, before the next is asked for: none is starved.

use crate::clickhouse::joins::Hour;
use crate::time::UnixNanos;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Asking for the hours takes no more than one part of this many of the time.
const HOURS_SHARE: u32 = 50;
/// Hours are asked for once in so many rounds at most.
const HOURS_ROUNDS: u32 = 8;
/// An hour is walked again after one part of this many of its age.
const AGE_SHARE: u64 = 4;

/// Where the next page begins: behind this trace and workspace.
type After = (String, String);

pub(super) struct Walk {
    hours: VecDeque<Hour>,
    after: After,
    walked: HashMap<i64, Instant>,
    next: Instant,
    pause_min: Duration,
}

impl Walk {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        let pause_min = interval.saturating_mul(HOURS_ROUNDS);
        Self { hours: VecDeque::new(), after: After::default(), walked: HashMap::new(), next: now, pause_min }
    }

    /// Whether the hours are to be asked for.
    pub(super) fn wants_hours(&self, now: Instant) -> bool {
        self.hours.is_empty() && self.next <= now
    }

    /// Begins anew with the hours that have pairs, which took so long to find.
    pub(super) fn begin(&mut self, hours: Vec<Hour>, time: UnixNanos, now: Instant, took: Duration) {
        self.next = now + self.pause_min.max(took.saturating_mul(HOURS_SHARE));
        let listed: HashMap<i64, Instant> =
            hours.iter().filter_map(|hour| Some((hour.start_secs, *self.walked.get(&hour.start_secs)?))).collect();
        self.walked = listed;
        let is_ripe = |hour: &Hour| {
            let rest = Duration::from_secs(age_secs(hour, time) / AGE_SHARE);
            self.walked.get(&hour.start_secs).is_none_or(|walked| now.duration_since(*walked) >= rest)
        };
        self.hours = hours.into_iter().filter(is_ripe).collect();
        self.after = After::default();
    }

    /// Whether there is something left to walk.
    pub(super) fn is_under_way(&self) -> bool {
        !self.hours.is_empty()
    }

    /// The next page: its hour, where it begins, and how many traces there is room for.
    pub(super) fn next(&self, traces_max: usize) -> Option<(Hour, After, usize)> {
        let hour = self.hours.front().filter(|_| traces_max > 0)?;
        Some((*hour, self.after.clone(), traces_max))
    }

    /// The page was seen; the last row of a full one tells where to go on.
    pub(super) fn seen(&mut self, page: &[After], traces_max: usize, now: Instant) {
        match page.last() {
            Some(last) if page.len() >= traces_max => self.after = last.clone(),
            _ => {
                let walked = self.hours.pop_front();
                self.walked.extend(walked.map(|hour| (hour.start_secs, now)));
                self.after = After::default();
            }
        }
    }
}

fn age_secs(hour: &Hour, now: UnixNanos) -> u64 {
    let end = hour.start_secs.saturating_add(3_600);
    u64::try_from((now.nanos() / 1_000_000_000).saturating_sub(end)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(2);
    const DAY: i64 = 24 * 3_600;

    fn hour(start_secs: i64) -> Hour {
        Hour { start_secs, waiting: 1, oldest_waiting: 0 }
    }

    fn at(secs: i64) -> UnixNanos {
        UnixNanos::new(u64::try_from(secs).unwrap() * 1_000_000_000).unwrap()
    }

    fn names(numbers: std::ops::Range<u32>) -> Vec<After> {
        numbers.map(|number| (format!("{number:032x}"), "default".to_owned())).collect()
    }

    #[test]
    fn hours_are_walked_oldest_first_and_page_by_page() {
        let now = Instant::now();
        let mut walk = Walk::new(INTERVAL, now);
        assert!(walk.wants_hours(now) && !walk.is_under_way());
        walk.begin(vec![hour(0), hour(3_600)], at(DAY), now, Duration::ZERO);
        assert_eq!(walk.next(3), Some((hour(0), After::default(), 3)));
        walk.seen(&names(1..4), 3, now);
        assert_eq!(walk.next(3), Some((hour(0), names(3..4).remove(0), 3)));
        assert_eq!(walk.next(0), None, "no room in this round");
        walk.seen(&[], 3, now);
        assert_eq!(walk.next(3), Some((hour(3_600), After::default(), 3)));
        assert!(!walk.wants_hours(now + INTERVAL * 100), "not before the end");
        walk.seen(&names(1..2), 3, now);
        assert!(!walk.is_under_way() && !walk.wants_hours(now) && walk.wants_hours(now + INTERVAL * HOURS_ROUNDS));
    }

    #[test]
    fn an_old_hour_is_walked_seldom_and_the_present_one_each_time() {
        let start = Instant::now();
        let mut walk = Walk::new(INTERVAL, start);
        let mut walked = [0; 2];
        for tick in 0..1_000_u32 {
            let now = start + Duration::from_secs(60) * tick;
            walk.begin(vec![hour(0), hour(10 * DAY)], at(10 * DAY + i64::from(tick)), now, Duration::ZERO);
            while let Some((hour, ..)) = walk.next(1) {
                walked[usize::from(hour.start_secs > 0)] += 1;
                walk.seen(&[], 1, now);
            }
        }
        assert_eq!(walked, [1, 1_000]);
        walk.begin(vec![], at(DAY), start, Duration::ZERO);
        assert!(walk.walked.is_empty(), "hours behind the window are forgotten");
    }

    #[test]
    fn asking_for_the_hours_takes_a_small_part_of_the_time() {
        let now = Instant::now();
        let mut walk = Walk::new(INTERVAL, now);
        walk.begin(vec![], at(0), now, Duration::from_secs(3));
        assert!(!walk.wants_hours(now + Duration::from_secs(149)) && walk.wants_hours(now + Duration::from_secs(150)));
    }
}
