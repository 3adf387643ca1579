//! The walk over all captured calls of the window, hour by hour and page by page. It finds those that were not noted here: stored by
//! another Millrace, before the last start, or when too many were noted.
//!
//! An hour is walked again after pauses that double up to a part of its age, and sooner when its number of calls changed.
//! So calls that never find a root cost less and less, and nothing once they are outside the window. One list of hours is walked to
//! its end, oldest first, before the next is queried, so that none starves.

use crate::clickhouse::joins::Hour;
use crate::time::UnixNanos;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Listing the hours takes no more than this fraction (1/n) of the time.
const HOURS_SHARE: u32 = 50;
/// Hours are listed once in so many rounds at most.
const HOURS_ROUNDS: u32 = 8;
/// The pause between two walks of an hour is at most this fraction (1/n) of its age.
const AGE_SHARE: u64 = 4;

/// Where the next page begins: after this trace and workspace.
type After = (String, String);

pub(crate) struct Walk {
    hours: VecDeque<Hour>,
    after: After,
    walked: HashMap<i64, Walked>,
    next: Instant,
    pause_min: Duration,
}

/// The last walk of an hour.
#[derive(Clone, Copy)]
struct Walked {
    at: Instant,
    /// Calls it had.
    pairs: u64,
    /// Pause until the next walk.
    rest: Duration,
}

impl Walk {
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        let pause_min = interval.saturating_mul(HOURS_ROUNDS);
        Self { hours: VecDeque::new(), after: After::default(), walked: HashMap::new(), next: now, pause_min }
    }

    /// Whether the hours should be listed.
    pub(crate) fn wants_hours(&self, now: Instant) -> bool {
        self.hours.is_empty() && self.next <= now
    }

    /// Begins again with the hours that have captured calls; `took` is how long it took to list them.
    pub(crate) fn begin(&mut self, hours: Vec<Hour>, time: UnixNanos, now: Instant, took: Duration) {
        self.next = now + self.pause_min.max(took.saturating_mul(HOURS_SHARE));
        let mut known = std::mem::take(&mut self.walked);
        for hour in hours {
            match known.remove(&hour.start_secs) {
                Some(walked) if walked.pairs == hour.pairs && now.duration_since(walked.at) < walked.rest => {
                    self.walked.insert(hour.start_secs, walked);
                    continue;
                }
                Some(walked) if walked.pairs == hour.pairs => {
                    let rest_max = Duration::from_secs(age_secs(&hour, time) / AGE_SHARE);
                    let rest = walked.rest.saturating_mul(2).min(rest_max).max(self.pause_min);
                    self.walked.insert(hour.start_secs, Walked { rest, at: now, ..walked });
                }
                _ => {
                    let walked = Walked { at: now, pairs: hour.pairs, rest: self.pause_min };
                    self.walked.insert(hour.start_secs, walked);
                }
            }
            self.hours.push_back(hour);
        }
        self.after = After::default();
    }

    /// Whether hours are left to walk.
    pub(crate) fn is_under_way(&self) -> bool {
        !self.hours.is_empty()
    }

    /// Returns the next page: its hour, where it begins, and how many traces it may have.
    pub(crate) fn next(&self, traces_max: usize) -> Option<(Hour, After, usize)> {
        let hour = self.hours.front().filter(|_| traces_max > 0)?;
        Some((*hour, self.after.clone(), traces_max))
    }

    /// Moves on after a page; the next one begins after its last row, or in the next hour if it was not full.
    pub(crate) fn seen(&mut self, page: &[After], traces_max: usize) {
        match page.last() {
            Some(last) if page.len() >= traces_max => self.after = last.clone(),
            _ => {
                self.hours.pop_front();
                self.after = After::default();
            }
        }
    }
}

fn age_secs(hour: &Hour, now: UnixNanos) -> u64 {
    let end = hour.start_secs.saturating_add(3_600);
    (now.nanos() / 1_000_000_000).saturating_sub(end).max(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(2);
    const DAY: i64 = 24 * 3_600;

    fn hour(start_secs: i64) -> Hour {
        Hour { start_secs, pairs: 1, waiting: 1, oldest_waiting: 0 }
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
        walk.seen(&names(1..4), 3);
        assert_eq!(walk.next(3), Some((hour(0), names(3..4).remove(0), 3)));
        assert_eq!(walk.next(0), None, "no room in this round");
        walk.seen(&[], 3);
        assert_eq!(walk.next(3), Some((hour(3_600), After::default(), 3)));
        assert!(!walk.wants_hours(now + INTERVAL * 100), "not before the end");
        walk.seen(&names(1..2), 3);
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
                walk.seen(&[], 1);
            }
        }
        // the pauses, in ticks of a minute: 1 1 2 3 5 9 18 35 69 137 274, and the next would be 547
        assert_eq!(walked, [12, 1_000]);
        walk.begin(
            vec![Hour { pairs: 2, ..hour(0) }],
            at(11 * DAY),
            start + Duration::from_secs(60_001),
            Duration::ZERO,
        );
        assert!(walk.is_under_way(), "there is one pair more than there was");
        walk.seen(&[], 1);
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
