//! Which traces are to be counted anew: those of which GenAI spans, or spans beside them, were delivered to ClickHouse.
//!
//! ```text
//! committer --accepted--> by segment --exporter: delivered--> by trace --take--> visits
//!                                   '-- dropped when there are too many: the walk finds those traces
//! ```
//!
//! A span counts only if its trace has a GenAI span that was accepted lately, so a trace without any costs one lookup a span, and
//! nothing at all while no GenAI span comes. Nothing here is durable: what is forgotten, such as what an earlier run accepted, is
//! found by the walk.

use crate::columns::{Place, RowGroup};
use crate::ids::{SegmentId, TraceId};
use crate::locks::locked;
use crate::traces::{Generations, TraceKey};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::time::Instant;

/// Traces that are noted at most; more are left to the walk. They take 10 MB.
const NOTED_MAX: usize = 50_000;
/// GenAI traces that are known at most, so that spans beside the calls are noted too: about 10 MB.
const KNOWN_MAX: usize = 100_000;
/// Spans of a trace are expected to begin within the time of its root, give or take what clocks differ by.
const CLOCKS_DIFFER_NANOS: i64 = 120 * 1_000_000_000;

/// A trace that is to be counted anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When its spans began, as far as they are known here; in nanoseconds since 1970.
    pub began: RangeInclusive<i64>,
    /// No other span is expected outside that time: the trace's root is among the spans.
    pub is_whole: bool,
    /// What was delivered last: until rows of it are seen, the look came too early.
    pub segment: Option<SegmentId>,
    /// When the first of what was delivered was delivered.
    pub delivered: Instant,
}

/// Where traces are noted; clones share it.
#[derive(Debug, Clone)]
pub struct Notes(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    known: Generations<TraceKey, Known>,
    /// Accepted, and not delivered yet.
    accepted: HashMap<SegmentId, HashMap<TraceKey, Known>>,
    accepted_traces: usize,
    delivered: HashMap<TraceKey, Note>,
    is_left_to_the_walk: bool,
}

/// What is known of a GenAI trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    first: i64,
    last: i64,
    is_whole: bool,
}

impl Known {
    fn and(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            is_whole: self.is_whole || other.is_whole,
        }
    }
}

impl Default for Notes {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            known: Generations::new(KNOWN_MAX),
            accepted: HashMap::new(),
            accepted_traces: 0,
            delivered: HashMap::new(),
            is_left_to_the_walk: false,
        })))
    }
}

impl Notes {
    /// Notes the GenAI traces that these rows are of. They are in `segment`, which is still to be delivered.
    pub fn accepted(&self, segment: SegmentId, groups: &[&RowGroup]) {
        let mut state = self.lock();
        for group in groups {
            let found = state.traces_of(group);
            if found.is_empty() {
                continue;
            }
            if state.accepted_traces + state.delivered.len() + found.len() > NOTED_MAX {
                state.is_left_to_the_walk = true;
                continue;
            }
            let of_segment = state.accepted.entry(segment).or_default();
            let before = of_segment.len();
            for (key, known) in found {
                of_segment.entry(key).and_modify(|there| *there = there.and(known)).or_insert(known);
            }
            let new = of_segment.len() - before;
            state.accepted_traces += new;
        }
    }

    /// A segment is in ClickHouse. `is_recovered` says that an earlier run accepted it, so that nothing of it is noted here.
    pub fn delivered(&self, segment: SegmentId, is_recovered: bool) {
        let mut state = self.lock();
        state.is_left_to_the_walk |= is_recovered;
        let Some(traces) = state.accepted.remove(&segment) else { return };
        state.accepted_traces -= traces.len();
        let now = Instant::now();
        for (key, known) in traces {
            let note = Note {
                began: known.first..=known.last,
                is_whole: known.is_whole,
                segment: Some(segment),
                delivered: now,
            };
            match state.delivered.get_mut(&key) {
                Some(there) => there.add(note),
                None => {
                    state.delivered.insert(key, note);
                }
            }
        }
    }

    /// Takes what was delivered since the last call.
    #[must_use]
    pub fn take(&self) -> HashMap<TraceKey, Note> {
        std::mem::take(&mut self.lock().delivered)
    }

    /// Whether traces were left to the walk since the last call.
    #[must_use]
    pub fn take_left_to_the_walk(&self) -> bool {
        std::mem::take(&mut self.lock().is_left_to_the_walk)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // the maps are whole between any two statements, so a panic elsewhere leaves them usable
        locked(&self.0)
    }
}

impl Note {
    /// The trace is noted once more: the earlier delivery stays the one by which its age is told.
    pub(super) fn add(&mut self, later: Self) {
        let (first, last) = (*self.began.start().min(later.began.start()), *self.began.end().max(later.began.end()));
        *self = Self {
            began: first..=last,
            is_whole: self.is_whole || later.is_whole,
            segment: later.segment.or(self.segment),
            delivered: self.delivered.min(later.delivered),
        };
    }
}

/// Spans of one trace that follow each other in a group: most traces are looked up once, not once a span.
#[derive(Clone, Copy)]
struct Run<'a> {
    trace: &'a [u8],
    known: Known,
    is_genai: bool,
}

fn runs(group: &RowGroup) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for Place { trace, began, duration, is_root, is_genai } in group.places() {
        let known = Known::of(began, duration, is_root);
        match runs.last_mut().filter(|run| run.trace == trace) {
            Some(run) => *run = Run { trace, known: run.known.and(known), is_genai: run.is_genai || is_genai },
            None => runs.push(Run { trace, known, is_genai }),
        }
    }
    runs
}

impl State {
    /// The GenAI traces of a group, each with what is known of it by now.
    fn traces_of(&mut self, group: &RowGroup) -> HashMap<TraceKey, Known> {
        let mut found: HashMap<TraceKey, Known> = HashMap::new();
        let has_genai = group.has_genai();
        if !has_genai && self.known.len() == 0 {
            return found;
        }
        let runs = runs(group);
        let key = |run: &Run<'_>| Some((group.workspace().clone(), TraceId::from_hex(run.trace).ok()?));
        if has_genai {
            // a call may come after spans beside it
            for (key, known) in runs.iter().filter(|run| run.is_genai).filter_map(|run| Some((key(run)?, run.known))) {
                self.known.insert_if_absent(key, known);
            }
        }
        for run in &runs {
            let Some(key) = key(run) else { continue };
            if let Some(known) = self.known.get(&key) {
                let known = known.and(run.known);
                self.known.insert(key.clone(), known);
                found.insert(key, known);
            }
        }
        found
    }
}

impl Known {
    fn of(began: i64, duration: u64, is_root: bool) -> Self {
        if !is_root {
            return Self { first: began, last: began, is_whole: false };
        }
        let ended = began.saturating_add_unsigned(duration);
        Self {
            first: began.saturating_sub(CLOCKS_DIFFER_NANOS),
            last: ended.saturating_add(CLOCKS_DIFFER_NANOS),
            is_whole: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{MapRow, SpanScalars};
    use crate::genai::call::Call;
    use crate::ids::SpanId;
    use crate::time::UnixNanos;
    use crate::workspace::Workspace;

    const BEGAN: u64 = 1_790_000_000_000_000_000;

    fn trace(number: u8) -> TraceId {
        TraceId::new([number; 16]).unwrap()
    }

    fn key(number: u8) -> TraceKey {
        (Workspace::default(), trace(number))
    }

    /// Spans, each of a trace; with a parent or without, of GenAI or not.
    fn group(spans: &[(u8, bool, bool)]) -> RowGroup {
        let mut rows = RowGroup::default();
        for (place, (of_trace, has_parent, is_genai)) in (1_u8..).zip(spans) {
            let (id, mark) = (SpanId::new([place; 8]).unwrap(), rows.begin());
            let start = UnixNanos::new(BEGAN + u64::from(place)).unwrap();
            let parent = has_parent.then_some(SpanId::new([99; 8]).unwrap());
            let span = SpanScalars { parent, duration_nanos: 10, ..SpanScalars::new(start, trace(*of_trace), id) };
            let operation = if *is_genai { "chat" } else { "" };
            let call = Call { operation: operation.into(), ..Call::default() };
            let filled = rows.sink(mark, &span, &MapRow::default()).fill(&call).unwrap();
            rows.finish(mark, &span, &MapRow::default(), Some(filled)).unwrap();
        }
        rows
    }

    fn segment(number: u64) -> SegmentId {
        SegmentId::new(1, number)
    }

    fn taken(notes: &Notes) -> Vec<TraceKey> {
        let mut traces: Vec<TraceKey> = notes.take().into_keys().collect();
        traces.sort_by_key(|(_, trace)| *trace);
        traces
    }

    #[test]
    fn a_trace_is_noted_when_its_segment_is_delivered_and_only_if_it_has_genai_spans() {
        let notes = Notes::default();
        notes.accepted(segment(1), &[&group(&[(1, true, true), (2, true, false), (3, false, false)])]);
        assert_eq!(taken(&notes), [], "not delivered");
        notes.delivered(segment(1), false);
        notes.delivered(segment(2), false);
        assert_eq!(taken(&notes), [key(1)]);
        assert_eq!(taken(&notes), [], "once");
    }

    #[test]
    fn a_span_beside_the_calls_of_a_trace_is_noted_too_whether_it_is_in_a_group_before_or_after_them() {
        let notes = Notes::default();
        let (call, beside) = (group(&[(1, true, true)]), group(&[(1, true, false), (2, true, false)]));
        notes.accepted(segment(1), &[&beside, &call]);
        notes.delivered(segment(1), false);
        assert_eq!(taken(&notes), [key(1)]);
        notes.accepted(segment(2), &[&beside]);
        notes.delivered(segment(2), false);
        assert_eq!(taken(&notes), [key(1)]);
    }

    #[test]
    fn a_trace_is_whole_once_its_root_was_seen_and_its_time_grows_with_what_comes() {
        let notes = Notes::default();
        let note = |rows: &RowGroup, number: u64| {
            notes.accepted(segment(number), &[rows]);
            notes.delivered(segment(number), false);
            notes.take().remove(&key(1)).unwrap()
        };
        let first = note(&group(&[(1, true, true), (1, true, false)]), 1);
        let nanos = i64::try_from(BEGAN).unwrap();
        assert_eq!((first.began, first.is_whole, first.segment), (nanos + 1..=nanos + 2, false, Some(segment(1))));
        let second = note(&group(&[(1, false, false)]), 2);
        let around = nanos + 1 - CLOCKS_DIFFER_NANOS..=nanos + 11 + CLOCKS_DIFFER_NANOS;
        assert_eq!((second.began.clone(), second.is_whole), (around, true));
        assert_eq!(note(&group(&[(1, true, false)]), 3).began, second.began, "what was known stays known");
    }

    #[test]
    fn more_than_may_be_noted_and_what_an_earlier_run_accepted_are_left_to_the_walk() {
        let notes = Notes::default();
        notes.delivered(segment(1), false);
        assert!(!notes.take_left_to_the_walk());
        notes.delivered(segment(1), true);
        assert!(notes.take_left_to_the_walk() && !notes.take_left_to_the_walk());
        notes.lock().accepted_traces = NOTED_MAX;
        notes.accepted(segment(2), &[&group(&[(1, true, true)])]);
        assert!(notes.take_left_to_the_walk());
    }
}
