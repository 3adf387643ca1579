//! When to look at which trace: at once when it is noted, then after pauses that grow, until the walk alone remembers it.

use crate::clickhouse::joins::TraceKey;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// Traces at most; those beyond are left to the walk.
const TRACES_MAX: usize = 100_000;
/// Each pause is so many times the one before.
const GROWTH: u32 = 4;
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// A trace to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) key: TraceKey,
    /// How long to wait before the next look.
    pause: Duration,
}

pub(crate) struct Schedule {
    by_time: BTreeMap<(Instant, u64), Due>,
    places: HashMap<TraceKey, (Instant, u64)>,
    counter: u64,
    first_pause: Duration,
}

impl Schedule {
    pub(crate) fn new(first_pause: Duration) -> Self {
        Self { by_time: BTreeMap::new(), places: HashMap::new(), counter: 0, first_pause }
    }

    /// A trace to look at now.
    pub(crate) fn note(&mut self, key: TraceKey, now: Instant) {
        if let Some(place) = self.places.remove(&key) {
            self.by_time.remove(&place);
        }
        self.put(Due { key, pause: self.first_pause }, now);
    }

    /// Whether there is a trace to look at.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.by_time.first_key_value().is_some_and(|((at, _), _)| *at <= now)
    }

    /// Takes the traces to look at, those that wait longest first.
    pub(crate) fn take_due(&mut self, now: Instant, traces_max: usize) -> Vec<Due> {
        let mut taken = Vec::new();
        while taken.len() < traces_max && self.is_due(now) {
            let Some((_, due)) = self.by_time.pop_first() else { break };
            self.places.remove(&due.key);
            taken.push(due);
        }
        taken
    }

    /// Nothing came of the look: the next one is later.
    pub(crate) fn again_later(&mut self, due: Due, now: Instant) {
        if due.pause <= PAUSE_MAX {
            let at = now + due.pause;
            self.put(Due { pause: due.pause.saturating_mul(GROWTH), ..due }, at);
        }
    }

    /// There was no look.
    pub(crate) fn again(&mut self, due: Due, now: Instant) {
        self.put(due, now);
    }

    fn put(&mut self, due: Due, at: Instant) {
        if self.places.len() < TRACES_MAX && !self.places.contains_key(&due.key) {
            self.counter += 1;
            self.places.insert(due.key.clone(), (at, self.counter));
            self.by_time.insert((at, self.counter), due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TraceId;
    use crate::workspace::Workspace;

    const PAUSE: Duration = Duration::from_secs(2);

    fn key(number: u32) -> TraceKey {
        let mut id = [1; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        (Workspace::default(), TraceId::new(id).unwrap())
    }

    #[test]
    fn a_trace_is_looked_at_after_growing_pauses_and_then_no_more() {
        let (mut schedule, start) = (Schedule::new(PAUSE), Instant::now());
        schedule.note(key(1), start);
        let (mut now, mut pauses) = (start, Vec::new());
        while let Some(((at, _), _)) = schedule.by_time.first_key_value() {
            pauses.push((*at - now).as_secs());
            now = *at;
            let due = schedule.take_due(now, 10);
            due.into_iter().for_each(|due| schedule.again_later(due, now));
        }
        assert_eq!(pauses, [0, 2, 8, 32, 128, 512, 2_048]);
        assert!(schedule.places.is_empty());
    }

    #[test]
    fn a_trace_noted_again_is_due_at_once_and_once() {
        let (mut schedule, now) = (Schedule::new(PAUSE), Instant::now());
        schedule.note(key(1), now);
        let due = schedule.take_due(now, 10);
        due.into_iter().for_each(|due| schedule.again_later(due, now));
        assert!(!schedule.is_due(now));
        schedule.note(key(1), now);
        assert_eq!(schedule.take_due(now + PAUSE * 100, 10).len(), 1);
    }

    #[test]
    fn the_longest_waiting_come_first_and_no_more_than_may_be() {
        let (mut schedule, now) = (Schedule::new(PAUSE), Instant::now());
        (0..5).for_each(|number| schedule.note(key(number), now));
        let taken: Vec<_> = schedule.take_due(now, 3).into_iter().map(|due| due.key).collect();
        assert_eq!(taken, [key(0), key(1), key(2)]);
        (0..200_000).for_each(|number| schedule.note(key(number), now));
        assert_eq!((schedule.places.len(), schedule.by_time.len()), (TRACES_MAX, TRACES_MAX));
    }
}
