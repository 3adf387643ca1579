//! When to look at which item: soon after it is noted, then after pauses that grow, until only the walk finds it.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait before each look, and how many items may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    /// Before the first look.
    pub(super) before: Duration,
    /// Between the first look and the second.
    pub(super) first: Duration,
    /// Each later pause is so many times the one before.
    pub(super) growth: u32,
    /// The longest pause; after it there is no further look.
    pub(super) last: Duration,
    /// Items that wait at most; more are left to the walk.
    pub(super) items_max: usize,
}

/// An item whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due<K> {
    pub(super) item: K,
    /// How long to wait before the next look.
    pause: Duration,
}

/// Items by the time of their next look, each at most once.
#[derive(Debug)]
pub(super) struct Schedule<K> {
    pauses: Pauses,
    by_time: BTreeMap<(Instant, u64), Due<K>>,
    places: HashMap<K, (Instant, u64)>,
    counter: u64,
}

impl<K: Clone + Eq + Hash> Schedule<K> {
    pub(super) fn new(pauses: Pauses) -> Self {
        Self { pauses, by_time: BTreeMap::new(), places: HashMap::new(), counter: 0 }
    }

    /// Schedules the first look at an item, which replaces any later one.
    pub(super) fn note(&mut self, item: K, now: Instant) {
        if let Some(place) = self.places.remove(&item) {
            self.by_time.remove(&place);
        }
        self.put(Due { item, pause: self.pauses.first }, now + self.pauses.before);
    }

    /// Whether an item is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.by_time.first_key_value().is_some_and(|((at, _), _)| *at <= now)
    }

    /// Takes at most `items_max` due items, those that waited longest first.
    pub(super) fn take_due(&mut self, now: Instant, items_max: usize) -> Vec<Due<K>> {
        let mut taken = Vec::new();
        while taken.len() < items_max && self.is_due(now) {
            let Some((_, due)) = self.by_time.pop_first() else { break };
            self.places.remove(&due.item);
            taken.push(due);
        }
        taken
    }

    /// Schedules the next look, after one that found nothing.
    pub(super) fn again_later(&mut self, due: Due<K>, now: Instant) {
        if due.pause <= self.pauses.last {
            let at = now + due.pause;
            self.put(Due { pause: due.pause.saturating_mul(self.pauses.growth), ..due }, at);
        }
    }

    /// Schedules the same look again, after one that failed.
    pub(super) fn again(&mut self, due: Due<K>, now: Instant) {
        self.put(due, now);
    }

    fn put(&mut self, due: Due<K>, at: Instant) {
        if self.places.len() < self.pauses.items_max && !self.places.contains_key(&due.item) {
            self.counter += 1;
            self.places.insert(due.item.clone(), (at, self.counter));
            self.by_time.insert((at, self.counter), due);
        }
        debug_assert_eq!(self.places.len(), self.by_time.len(), "each item waits once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses = Pauses {
        before: Duration::from_millis(500),
        first: Duration::from_secs(2),
        growth: 4,
        last: Duration::from_secs(60 * 60),
        items_max: 1_000,
    };

    #[test]
    fn an_item_is_looked_at_after_growing_pauses_and_then_no_more() {
        let (mut schedule, start) = (Schedule::new(PAUSES), Instant::now());
        schedule.note(1, start);
        let (mut now, mut pauses) = (start, Vec::new());
        while let Some(((at, _), _)) = schedule.by_time.first_key_value() {
            pauses.push((*at - now).as_millis());
            now = *at;
            let due = schedule.take_due(now, 10);
            due.into_iter().for_each(|due| schedule.again_later(due, now));
        }
        assert_eq!(pauses, [500, 2_000, 8_000, 32_000, 128_000, 512_000, 2_048_000]);
        assert!(schedule.places.is_empty());
    }

    #[test]
    fn an_item_noted_again_is_looked_at_soon_and_once() {
        let (mut schedule, now) = (Schedule::new(PAUSES), Instant::now());
        schedule.note(1, now);
        assert!(schedule.take_due(now, 10).is_empty());
        let due = schedule.take_due(now + PAUSES.before, 10);
        due.into_iter().for_each(|due| schedule.again_later(due, now));
        assert!(!schedule.is_due(now + PAUSES.before));
        schedule.note(1, now);
        assert_eq!(schedule.take_due(now + PAUSES.first * 100, 10).len(), 1);
    }

    #[test]
    fn a_look_that_failed_is_repeated_at_once_and_does_not_lengthen_the_pause() {
        let (mut schedule, now) = (Schedule::new(PAUSES), Instant::now());
        schedule.note(1, now);
        let due = schedule.take_due(now + PAUSES.before, 10);
        due.clone().into_iter().for_each(|due| schedule.again(due, now));
        assert_eq!(schedule.take_due(now, 10), due);
    }

    #[test]
    fn the_longest_waiting_come_first_and_no_more_than_the_bound_wait() {
        let (mut schedule, now) = (Schedule::new(PAUSES), Instant::now());
        (0..5).for_each(|number| schedule.note(number, now));
        let taken: Vec<_> = schedule.take_due(now + PAUSES.before, 3).into_iter().map(|due| due.item).collect();
        assert_eq!(taken, [0, 1, 2]);
        (0..2_000).for_each(|number| schedule.note(number, now));
        assert_eq!((schedule.places.len(), schedule.by_time.len()), (PAUSES.items_max, PAUSES.items_max));
    }
}
