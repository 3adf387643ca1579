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

use crate::columns::RowGroup;
use crate::ids::{SegmentId, TraceId};
use crate::traces::{Generations, TraceKey};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Traces that are noted at most; more are left to the walk.
const NOTED_MAX: usize = 100_000;
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

impl State {
    /// The GenAI traces of a group, each with what is known of it by now.
    fn traces_of(&mut self, group: &RowGroup) -> HashMap<TraceKey, Known> {
        let mut found = HashMap::new();
        let mut last = (&[][..], None);
        if group.has_genai() {
            // a call may come after spans beside it
            for place in group.places().filter(|place| place.is_genai) {
                if place.trace != last.0 {
                    last = (place.trace, TraceId::from_hex(place.trace).ok());
                    if let Some(trace) = last.1 {
                        let nothing = Known { first: place.began, last: place.began, is_whole: false };
                        self.known.insert_if_absent((group.workspace().clone(), trace), nothing);
                    }
                }
            }
        }
        if self.known.len() == 0 {
            return found;
        }
        last = (&[][..], None);
        for place in group.places() {
            if place.trace != last.0 {
                last = (place.trace, TraceId::from_hex(place.trace).ok());
            }
            let Some(trace) = last.1 else { continue };
            let key = (group.workspace().clone(), trace);
            let known = match found.get(&key) {
                Some(known) => *known,
                None => match self.known.get(&key) {
                    Some(known) => known,
                    None => continue,
                },
            };
            found.insert(key, known.and(Known::of(place.began, place.duration, place.is_root)));
        }
        for (key, known) in &found {
            self.known.insert(key.clone(), *known);
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
