//! When spans may begin. Each day is a partition of the table, and each insert makes a part of about thirty files in it, so many different
//! days are expensive: a sender with a wrong clock, or a malicious one, could cause them.
//!
//! ```text
//! past ............ now - 7 days ...... now ... now + 1 day ............ future
//!  |   days far away, so many new ones an hour  |  days at hand, free  |  far away again  |
//!  '-- before and after: rejected by name
//! ```
//!
//! A new day far away is not rejected but put off ("try again"): an import of a year finds all its days free, and a larger one succeeds by
//! retrying. The same holds while inserts spread over many days make more parts than ClickHouse merges.

use crate::locks::locked;
use crate::numbers::{nanos_of, to_i64};
use crate::time::UnixNanos;
use crate::time::spelt::Spelt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Days before and after today that are always free: late spans, and spans of a clock that is a little ahead.
const DAYS_AT_HAND: std::ops::RangeInclusive<i64> = -7..=1;
/// New days far away that are free after a pause, so that a year can be imported at once: as many as one request may have.
pub const DAYS_AT_ONCE: u64 = 400;
/// Partitions of a segment that cost nothing: days at hand, and one or two days of an import in order.
pub const PARTITIONS_FREE: usize = 4;
/// Further parts that are free after a pause.
const PARTS_AT_ONCE: u64 = 400;
/// One further part in this time: ClickHouse takes about 10 ms for each, and must merge it.
const PART_EVERY: Duration = Duration::from_millis(25);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// When spans may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// A span that began longer ago is rejected.
    #[serde(with = "crate::time::spelt")]
    pub past: Duration,
    /// A span that begins later than this after now is rejected.
    #[serde(with = "crate::time::spelt")]
    pub future: Duration,
    /// Days far from today that become partitions, in an hour, after the first 400.
    pub days_per_hour: u32,
}

impl Default for Config {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self { past: 3_650 * DAY, future: 366 * DAY, days_per_hour: 100 }
    }
}

/// The times at which a span may begin, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    now: UnixNanos,
    past: Duration,
    future: Duration,
}

impl Config {
    /// The times at which a span may begin at this time.
    #[must_use]
    pub fn window(&self, now: UnixNanos) -> Window {
        Window { now, past: self.past, future: self.future }
    }
}

/// A span begins outside of the window. The words follow the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// Longer ago than this.
    Before(Duration),
    /// Further ahead than this.
    After(Duration),
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bound, side, key) = match self {
            Self::Before(past) => (past, "ago", "past"),
            Self::After(future) => (future, "ahead", "future"),
        };
        write!(f, "is more than {} {side} (receivers.timestamps.{key})", Spelt(*bound))
    }
}

impl Window {
    /// Whether a span may begin then. OTLP says 0 for a time that is not known; all such spans lie on one day.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(self, start: UnixNanos) -> Result<(), Outside> {
        if start == UnixNanos::default() {
            return Ok(());
        }
        if u128::from(self.now.nanos_since(start)) > self.past.as_nanos() {
            return Err(Outside::Before(self.past));
        }
        if u128::from(start.nanos_since(self.now)) > self.future.as_nanos() {
            return Err(Outside::After(self.future));
        }
        Ok(())
    }
}

/// Rows begin on more days far away than there is room for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "spans of too many days far from today have come lately, and each day is a partition (receivers.timestamps.days_per_hour)"
)]
pub struct TooManyDays {
    /// Nobody was told so since there was room.
    pub is_news: bool,
}

/// What the days of all spans may cost.
#[derive(Debug)]
pub struct Budget(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Days far away that have been paid for.
    known: BTreeSet<i64>,
    days: Bucket,
    parts: Bucket,
    is_refusing: bool,
}

impl Budget {
    /// A full one.
    #[must_use]
    pub fn new(config: &Config, now: Instant) -> Self {
        let days = Bucket::new(DAYS_AT_ONCE, HOUR / config.days_per_hour.max(1), now);
        let parts = Bucket::new(PARTS_AT_ONCE, PART_EVERY, now);
        Self(Mutex::new(State { known: BTreeSet::new(), days, parts, is_refusing: false }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.0)
    }

    /// Admits rows that begin on these days, and pays for those that are new.
    ///
    /// # Errors
    /// When there is no room for them now. Nothing is paid then.
    pub fn admit(&self, days: &[i64], today: i64, now: Instant) -> Result<(), TooManyDays> {
        let far = || days.iter().copied().filter(|day| !DAYS_AT_HAND.contains(&day.saturating_sub(today)));
        if far().next().is_none() {
            return Ok(());
        }
        let mut state = self.state();
        let new: Vec<i64> = far().filter(|day| !state.known.contains(day)).collect();
        let cost = to_i64(new.len());
        if state.parts.left(now) <= 0 || state.days.left(now) < cost {
            let is_news = !std::mem::replace(&mut state.is_refusing, true);
            return Err(TooManyDays { is_news });
        }
        state.days.pay(cost);
        state.known.extend(new);
        state.is_refusing = false;
        Ok(())
    }

    /// An open segment came to rows in `after` partitions from `before`: pays for the parts that this makes.
    pub fn spread(&self, before: usize, after: usize, now: Instant) {
        let cost = after.max(PARTITIONS_FREE) - before.max(PARTITIONS_FREE).min(after.max(PARTITIONS_FREE));
        if cost > 0 {
            let mut state = self.state();
            state.parts.left(now);
            state.parts.pay(to_i64(cost));
        }
    }
}

/// A token bucket: `most` are free at once, and one more each time that `every` passes. It may go into debt.
#[derive(Debug)]
struct Bucket {
    left: i64,
    most: i64,
    every: Duration,
    filled: Instant,
}

impl Bucket {
    fn new(most: u64, every: Duration, now: Instant) -> Self {
        let most = most.cast_signed();
        Self { left: most, most, every, filled: now }
    }

    fn left(&mut self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.filled);
        let more = (nanos_of(passed) / nanos_of(self.every).max(1)).min(i64::MAX.unsigned_abs()).cast_signed();
        if self.left.saturating_add(more) >= self.most {
            (self.left, self.filled) = (self.most, now);
        } else if let Ok(times) = u32::try_from(more) {
            self.left += more;
            self.filled += self.every * times;
        }
        self.left
    }

    fn pay(&mut self, cost: i64) {
        self.left = self.left.saturating_sub(cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: i64 = 20_000;

    fn budget(days_per_hour: u32) -> (Budget, Instant) {
        let now = Instant::now();
        (Budget::new(&Config { days_per_hour, ..Config::default() }, now), now)
    }

    #[test]
    fn days_at_hand_and_days_that_are_known_are_free() {
        let (budget, now) = budget(1);
        for _round in 0..1_000 {
            assert!(budget.admit(&[TODAY - 7, TODAY, TODAY + 1], TODAY, now).is_ok());
            assert!(budget.admit(&[TODAY - 100], TODAY, now).is_ok());
        }
        assert_eq!(budget.state().days.left, DAYS_AT_ONCE.cast_signed() - 1);
    }

    #[test]
    fn a_year_is_admitted_at_once_and_what_is_more_only_takes_longer() {
        let (budget, mut now) = budget(100);
        let year: Vec<i64> = (0..365).map(|day| TODAY - 400 + day).collect();
        year.chunks(10).for_each(|days| assert!(budget.admit(days, TODAY, now).is_ok()));
        assert!(budget.admit(&year, TODAY, now).is_ok(), "again");
        let (mut admitted, mut refusals, mut news) = (0, 0, 0);
        for day in 0..4_000 {
            while let Err(why) = budget.admit(&[TODAY - 5_000 + day], TODAY, now) {
                refusals += 1;
                news += usize::from(why.is_news);
                now += HOUR / 100;
            }
            admitted += 1;
        }
        assert_eq!((admitted, refusals, news), (4_000, 4_000 - 35, 4_000 - 35));
        assert!(budget.admit(&[TODAY], TODAY, now).is_ok());
    }

    #[test]
    fn parts_that_were_made_are_paid_for_before_more_of_far_days_are_admitted() {
        let (budget, now) = budget(100);
        for _segment in 0..1_000 {
            // an import in order, with what comes now
            budget.spread(0, PARTITIONS_FREE, now);
        }
        let old = [TODAY - 100];
        assert!(budget.admit(&old, TODAY, now).is_ok());
        budget.spread(2, PARTITIONS_FREE + 500, now);
        assert!(budget.admit(&old, TODAY, now).is_err());
        assert!(budget.admit(&[TODAY, TODAY - 1], TODAY, now).is_ok(), "the days at hand are never put off");
        assert!(budget.admit(&old, TODAY, now + 100 * PART_EVERY).is_err());
        assert!(budget.admit(&old, TODAY, now + 101 * PART_EVERY).is_ok());
    }

    #[test]
    fn what_begins_outside_of_the_window_is_named_with_its_key() {
        let now = UnixNanos::new(1_790_000_000_000_000_000).unwrap();
        let config = Config { past: HOUR, future: HOUR, ..Config::default() };
        let window = config.window(now);
        let (before, after) = (now.saturating_sub(HOUR), now.saturating_add(HOUR));
        let unknown = UnixNanos::default();
        for start in [before, now, after, unknown] {
            assert_eq!(window.check(start), Ok(()));
        }
        let words = |start| window.check(start).unwrap_err().to_string();
        let nano = Duration::from_nanos(1);
        assert_eq!(words(before.saturating_sub(nano)), "is more than 1h ago (receivers.timestamps.past)");
        assert_eq!(words(after.saturating_add(nano)), "is more than 1h ahead (receivers.timestamps.future)");
        let forever = Config { past: Duration::MAX, future: Duration::MAX, ..Config::default() }.window(now);
        assert_eq!(forever.check(UnixNanos::new(1).unwrap()), Ok(()));
    }
}
