//! The spans accepted lately, so that one that is sent again is acknowledged again and not stored again.
//!
//! Each is remembered as 8 bytes: a keyed hash of workspace, trace and span. Two generations of a window each, so an
//! entry lives for one to two windows; when the younger is full before its time, the older goes early.
//!
//! ```text
//! once(key, store): known? -> Repeated        unknown? -> store() under the shard's lock, remembered only when it worked
//! ```
//!
//! The lock is held while storing, so that of two senders of the same span one stores it and the other waits for the
//! outcome: nobody is told "stored" before it is so. `store` therefore never blocks and never awaits.

use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Spans remembered at most, by default.
pub const SPANS_MAX_DEFAULT: usize = 4_000_000;

const SHARDS: usize = 64;

/// What became of a span that was offered.
#[derive(Debug, PartialEq, Eq)]
pub enum Offered<T> {
    /// It was new, and this is what storing it gave.
    Stored(T),
    /// It was accepted before.
    Repeated,
}

/// The index; clones share it.
#[derive(Debug, Clone)]
pub struct Duplicates(Arc<Index>);

#[derive(Debug)]
struct Index {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    window_nanos: u64,
    generation_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    young: HashSet<u64>,
    old: HashSet<u64>,
    young_since: Option<UnixNanos>,
}

impl Duplicates {
    /// An empty index that remembers for `window`, at most `spans_max` spans. A window of 0 remembers nothing.
    #[must_use]
    pub fn new(window: Duration, spans_max: usize) -> Self {
        Self(Arc::new(Index {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            window_nanos: u64::try_from(window.as_nanos()).unwrap_or(u64::MAX),
            generation_max: (spans_max / SHARDS / 2).max(1),
        }))
    }

    /// Stores a span unless it was accepted before. It is remembered when `store` succeeds.
    ///
    /// # Errors
    /// Those of `store`.
    pub fn once<T, E>(
        &self,
        (workspace, trace, span): (&Workspace, TraceId, SpanId),
        now: UnixNanos,
        store: impl FnOnce() -> Result<T, E>,
    ) -> Result<Offered<T>, E> {
        let key = self.key(workspace, trace, span);
        let Some(shard) = self.shard(key) else { return store().map(Offered::Stored) };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.holds(key) {
            return Ok(Offered::Repeated);
        }
        let stored = store()?;
        shard.insert(key, now, &self.0);
        Ok(Offered::Stored(stored))
    }

    /// Remembers a span that is stored already.
    pub fn remember(&self, workspace: &Workspace, trace: TraceId, span: SpanId, now: UnixNanos) {
        let key = self.key(workspace, trace, span);
        if let Some(shard) = self.shard(key) {
            shard.lock().unwrap_or_else(PoisonError::into_inner).insert(key, now, &self.0);
        }
    }

    fn key(&self, workspace: &Workspace, trace: TraceId, span: SpanId) -> u64 {
        self.0.hasher.hash_one((workspace, trace, span))
    }

    /// `None` when nothing is to be remembered.
    fn shard(&self, key: u64) -> Option<&Mutex<Shard>> {
        let index = usize::try_from(key >> 32).unwrap_or(0) % SHARDS;
        self.0.shards.get(index).filter(|_| self.0.window_nanos > 0)
    }
}

impl Shard {
    fn holds(&self, key: u64) -> bool {
        self.young.contains(&key) || self.old.contains(&key)
    }

    fn insert(&mut self, key: u64, now: UnixNanos, index: &Index) {
        let since = *self.young_since.get_or_insert(now);
        if now.nanos_since(since) >= index.window_nanos || self.young.len() >= index.generation_max {
            self.old = std::mem::take(&mut self.young);
            self.young_since = Some(now);
        }
        self.young.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const HOUR_NANOS: u64 = 3_600_000_000_000;

    fn offer(duplicates: &Duplicates, number: u64, hour: u64) -> Offered<()> {
        let mut trace = [1; 16];
        trace[..8].copy_from_slice(&number.to_be_bytes());
        let key = (&Workspace::default(), TraceId::new(trace).unwrap(), SpanId::new([1; 8]).unwrap());
        duplicates.once(key, UnixNanos::new(hour * HOUR_NANOS).unwrap(), || Ok::<_, Infallible>(())).unwrap()
    }

    fn for_hours(hours: u64, spans_max: usize) -> Duplicates {
        Duplicates::new(Duration::from_secs(hours * 3_600), spans_max)
    }

    #[test]
    fn a_repeat_within_the_window_is_known_and_one_long_after_it_is_new() {
        let duplicates = for_hours(24, 1_000_000);
        assert_eq!(offer(&duplicates, 1, 0), Offered::Stored(()));
        assert_eq!(offer(&duplicates, 1, 1), Offered::Repeated);
        for hour in [24, 48] {
            // other spans keep the generations turning
            for number in 1_000..4_000 {
                assert_eq!(offer(&duplicates, number + hour * 10_000, hour), Offered::Stored(()));
            }
            let expect = if hour < 48 { Offered::Repeated } else { Offered::Stored(()) };
            assert_eq!(offer(&duplicates, 1, hour), expect, "after {hour} hours");
        }
    }

    #[test]
    fn what_was_not_stored_is_not_remembered() {
        let duplicates = for_hours(24, 1_000);
        let workspace = Workspace::default();
        let key = (&workspace, TraceId::new([1; 16]).unwrap(), SpanId::new([1; 8]).unwrap());
        let now = UnixNanos::new(1).unwrap();
        assert_eq!(duplicates.once(key, now, || Err::<(), _>("full")), Err("full"));
        assert_eq!(duplicates.once(key, now, || Ok::<_, &str>(7)), Ok(Offered::Stored(7)));
        assert_eq!(duplicates.once(key, now, || Ok::<_, &str>(8)), Ok(Offered::Repeated));
    }

    #[test]
    fn workspaces_are_apart_and_a_window_of_zero_remembers_nothing() {
        let duplicates = for_hours(24, 1_000);
        let ids = (TraceId::new([1; 16]).unwrap(), SpanId::new([1; 8]).unwrap());
        let now = UnixNanos::new(1).unwrap();
        duplicates.remember(&Workspace::default(), ids.0, ids.1, now);
        let other = Workspace::new("other").unwrap();
        assert_eq!(duplicates.once((&other, ids.0, ids.1), now, || Ok::<_, ()>(())), Ok(Offered::Stored(())));
        let off = for_hours(0, 1_000);
        assert_eq!([offer(&off, 1, 0), offer(&off, 1, 0)], [Offered::Stored(()), Offered::Stored(())]);
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        let duplicates = for_hours(24, 6_400);
        for number in 0..100_000 {
            let _new_or_forgotten = offer(&duplicates, number, 0);
        }
        let held = |shard: &Mutex<Shard>| shard.lock().map(|shard| shard.young.len() + shard.old.len()).unwrap();
        assert!(duplicates.0.shards.iter().map(held).sum::<usize>() <= 6_400);
    }
}
