//! The walk over the hours in which spans began lately: it comes to what nobody noted here.
//!
//! An hour is walked in slices of its traces. There are more of them when one takes long or more memory than it may, fewer
//! when it is quick, and each is followed by a rest of a hundred times as long as it took. The first time the walk goes a day
//! back, later two hours.

use crate::clickhouse::superseded::{Began, Slice};
use crate::time::UnixNanos;
use std::time::Duration;
use tokio::time::Instant;

const HOUR_NANOS: i64 = 3_600 * 1_000_000_000;
/// Hours of the first pass, and of the later ones.
const HOURS_FIRST: i64 = 24;
const HOURS: i64 = 2;
/// The rest after a step is so many times as long as the step.
const REST_SHARE: u32 = 100;
const REST_MIN: Duration = Duration::from_secs(2);
/// Between two passes.
const PASS_REST: Duration = Duration::from_secs(30);
/// A slice that takes longer than this is made smaller, one that takes a tenth of it larger.
const SLICE_TAKES: Duration = Duration::from_millis(500);
const SLICES_MAX: u32 = 4_096;

#[derive(Debug)]
pub(crate) struct Walk {
    /// How many hours back the present one is, from the last to the first; 0 is the present.
    hours_back: i64,
    slice: Slice,
    next: Instant,
}

impl Walk {
    pub(crate) fn new(now: Instant) -> Self {
        Self { hours_back: HOURS_FIRST, slice: Slice { place: 0, of: 1 }, next: now + REST_MIN }
    }

    /// The next step, if it is time for one.
    pub(crate) fn next(&self, now: Instant, time: UnixNanos) -> Option<(Began, Slice)> {
        if now < self.next {
            return None;
        }
        let hour = time.nanos().div_euclid(HOUR_NANOS).saturating_sub(self.hours_back).saturating_mul(HOUR_NANOS);
        Some((hour..=hour.saturating_add(HOUR_NANOS - 1), self.slice))
    }

    /// The step is over.
    pub(crate) fn took(&mut self, now: Instant, took: Duration, is_done: bool) {
        let rest = took.saturating_mul(REST_SHARE).max(REST_MIN);
        self.next = now + rest;
        let Slice { place, of } = self.slice;
        if !is_done || took > SLICE_TAKES {
            // the same traces again, in two halves, or the next ones as halves: place p of n is places p and p + n of 2n
            let of = of.saturating_mul(2).min(SLICES_MAX);
            self.slice = Slice { place: if is_done { place + 1 } else { place }, of };
        } else {
            self.slice.place += 1;
        }
        if self.slice.place >= self.slice.of {
            let of = if took < SLICE_TAKES / 10 { (self.slice.of / 2).max(1) } else { self.slice.of };
            self.slice = Slice { place: 0, of };
            self.hours_back -= 1;
            if self.hours_back < 0 {
                self.hours_back = HOURS - 1;
                self.next = now + rest.max(PASS_REST);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> UnixNanos {
        UnixNanos::new(1_790_000_000_000_000_000).unwrap()
    }

    #[test]
    fn it_goes_a_day_back_once_and_then_over_the_last_two_hours() {
        let (mut now, mut walk) = (Instant::now(), Walk::new(Instant::now()));
        let this_hour = time().nanos().div_euclid(HOUR_NANOS);
        let mut hours = Vec::new();
        while hours.len() < 31 {
            now += Duration::from_secs(1);
            if let Some((began, slice)) = walk.next(now, time()) {
                assert_eq!((slice, began.end() - began.start()), (Slice { place: 0, of: 1 }, HOUR_NANOS - 1));
                hours.push(this_hour - began.start().div_euclid(HOUR_NANOS));
                walk.took(now, Duration::from_millis(1), true);
            }
        }
        let want: Vec<i64> = (0..=24).rev().chain([1, 0, 1, 0, 1, 0]).collect();
        assert_eq!(hours, want);
    }

    #[test]
    fn it_takes_one_part_in_a_hundred_of_the_time() {
        let start = Instant::now();
        let (mut now, mut walk, mut worked) = (start, Walk::new(start), Duration::ZERO);
        for step in 0..500_u32 {
            while walk.next(now, time()).is_none() {
                now += Duration::from_secs(1);
            }
            let took = Duration::from_millis(u64::from(step % 7) * 700);
            worked += took;
            now += took;
            walk.took(now, took, step % 5 != 0);
        }
        assert!(worked * 100 <= now - start, "{worked:?} of {:?}", now - start);
    }

    #[test]
    fn what_takes_too_much_is_cut_smaller_until_it_fits_and_all_of_an_hour_is_seen() {
        let mut walk = Walk::new(Instant::now());
        let mut now = Instant::now();
        let (mut seen, hour) = (vec![false; 64], walk.hours_back);
        for steps in 0.. {
            assert!(steps < 1_000, "it comes to an end");
            if walk.hours_back != hour {
                break;
            }
            let Slice { place, of } = walk.slice;
            // ClickHouse manages eight slices of the hour's 64 traces
            let is_done = of >= 8;
            if is_done {
                (0..64)
                    .filter(|trace| trace % of == place)
                    .for_each(|trace| seen[usize::try_from(trace).unwrap()] = true);
            }
            now += Duration::from_secs(1);
            walk.took(now, Duration::from_millis(100), is_done);
        }
        assert!(seen.iter().all(|seen| *seen));
    }
}
