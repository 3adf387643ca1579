//! Traces that wait for their visit: each once, and soon after it was noted first, however often it is noted meanwhile. So a trace
//! that gets spans all the time is visited about once a second.

use super::notes::Note;
use crate::traces::TraceKey;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// From the first note to the visit.
const BEFORE: Duration = Duration::from_millis(600);
/// A large trace is read again no sooner than so long for each of its spans.
const REST_PER_SPAN: Duration = Duration::from_micros(100);
/// Traces of fewer spans rest as long as any.
const SPANS_LARGE: usize = 5_000;
/// A visit that came too early or failed: the first pause, which doubles.
const AGAIN: Duration = Duration::from_millis(500);
/// And so often at most.
const TRIES_MAX: u32 = 6;
/// Traces that wait at most, what comes in ten seconds of 5,000 traces a second; more are left to the walk. They take 13 MB.
const WAITING_MAX: usize = 50_000;
/// Large traces that rest, at most.
const RESTING_MAX: usize = 1_000;

/// A trace that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) note: Note,
    /// Visits that came too early or failed.
    tries: u32,
}

impl Wanted {
    /// One that was not tried yet.
    pub(super) fn first(note: Note) -> Self {
        Self { note, tries: 0 }
    }

    /// Whether a visit that came too early is the last one: what it sees is all there will be.
    pub(super) fn is_last_try(&self) -> bool {
        self.tries >= TRIES_MAX
    }
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_time: BTreeMap<(Instant, u64), TraceKey>,
    traces: HashMap<TraceKey, ((Instant, u64), Wanted)>,
    /// Large traces, and when they may be visited again.
    resting: HashMap<TraceKey, Instant>,
    counter: u64,
}

impl Waiting {
    /// A trace is to be visited soon.
    pub(super) fn note(&mut self, key: TraceKey, note: Note, now: Instant) {
        if let Some((_, wanted)) = self.traces.get_mut(&key) {
            wanted.note.add(note);
            return;
        }
        let soon = now + BEFORE;
        let at = self.resting.get(&key).map_or(soon, |until| soon.max(*until));
        self.put(key, Wanted::first(note), at);
    }

    /// Whether a visit is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.by_time.first_key_value().is_some_and(|((at, _), _)| *at <= now)
    }

    /// At most so many traces whose time has come.
    pub(super) fn take_due(&mut self, now: Instant, traces_max: usize) -> Vec<(TraceKey, Wanted)> {
        let mut taken = Vec::new();
        while taken.len() < traces_max && self.is_due(now) {
            let Some((_, key)) = self.by_time.pop_first() else { break };
            if let Some((_, wanted)) = self.traces.remove(&key) {
                taken.push((key, wanted));
            }
        }
        taken
    }

    /// The visit came too early, or failed: once more after a pause that grows. What was tried too often is left to the walk.
    pub(super) fn again(&mut self, key: TraceKey, wanted: Wanted, now: Instant) {
        if wanted.is_last_try() {
            return;
        }
        let pause = AGAIN.saturating_mul(1 << wanted.tries);
        let wanted = Wanted { tries: wanted.tries + 1, ..wanted };
        if let Some((_, there)) = self.traces.get_mut(&key) {
            there.note.add(wanted.note);
            return;
        }
        self.put(key, wanted, now + pause);
    }

    /// A trace of so many spans was visited.
    pub(super) fn visited(&mut self, key: &TraceKey, spans: usize, now: Instant) {
        if spans < SPANS_LARGE {
            return;
        }
        if self.resting.len() >= RESTING_MAX {
            self.resting.retain(|_, until| *until > now);
        }
        let spans = u32::try_from(spans).unwrap_or(u32::MAX);
        self.resting.insert(key.clone(), now + REST_PER_SPAN.saturating_mul(spans));
    }

    /// Whether it waits.
    pub(super) fn has(&self, key: &TraceKey) -> bool {
        self.traces.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.traces.len()
    }

    /// When the first of what is not counted yet was delivered.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.traces.values().map(|(_, wanted)| wanted.note.delivered).min()
    }

    fn put(&mut self, key: TraceKey, wanted: Wanted, at: Instant) {
        if self.traces.len() < WAITING_MAX {
            self.counter += 1;
            self.by_time.insert((at, self.counter), key.clone());
            self.traces.insert(key, ((at, self.counter), wanted));
        }
        debug_assert_eq!(self.traces.len(), self.by_time.len(), "each trace waits once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TraceId;
    use crate::workspace::Workspace;

    fn key(number: u8) -> TraceKey {
        (Workspace::default(), TraceId::new([number; 16]).unwrap())
    }

    fn note(at: i64, delivered: Instant) -> Note {
        Note { began: at..=at, is_whole: false, segment: None, delivered }
    }

    #[test]
    fn a_trace_that_is_noted_all_the_time_is_visited_all_the_same_and_once_for_all_notes() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        for tick in 0..5 {
            waiting.note(key(1), note(tick, start), start + Duration::from_millis(100) * u32::try_from(tick).unwrap());
        }
        assert!(!waiting.is_due(start + BEFORE / 2));
        let due = waiting.take_due(start + BEFORE, 10);
        assert_eq!((due.len(), due[0].1.note.began.clone(), waiting.len()), (1, 0..=4, 0));
    }

    #[test]
    fn a_visit_that_came_too_early_is_repeated_after_growing_pauses_and_then_left_to_the_walk() {
        let (mut waiting, mut now) = (Waiting::default(), Instant::now());
        waiting.note(key(1), note(1, now), now);
        let mut pauses = Vec::new();
        while let Some(((at, _), _)) = waiting.by_time.first_key_value() {
            pauses.push((*at - now).as_millis());
            now = *at;
            for (key, wanted) in waiting.take_due(now, 1) {
                waiting.again(key, wanted, now);
            }
        }
        assert_eq!(pauses, [600, 500, 1_000, 2_000, 4_000, 8_000, 16_000]);
    }

    #[test]
    fn a_large_trace_rests_the_longer_the_larger_it_is() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.visited(&key(1), 100_000, now);
        waiting.visited(&key(2), 100, now);
        waiting.note(key(1), note(1, now), now);
        waiting.note(key(2), note(1, now), now);
        assert_eq!(waiting.take_due(now + BEFORE, 10).len(), 1);
        assert_eq!(waiting.take_due(now + REST_PER_SPAN * 100_000, 10).len(), 1);
    }
}
