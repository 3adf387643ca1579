//! Recent traces whose root span is known, so that a captured call finds its parent and session at once; and traces with
//! captured calls, so that a root that arrives later is noticed.
//!
//! ```text
//! root arrives --remember--> roots           an earlier root than was known, in a trace with calls --.
//! call arrives --lookup_or_watch--> its root, if known                                               |--> changed --drain_changed--> reconciler
//!                                   not known --------------------------------------------------------'
//! ```
//!
//! Bounded in entries: two generations each, where the older one is dropped when the younger is full. An entry that is
//! used moves to the younger one. The reconciler finds in the table what is forgotten here.

use crate::columns::typed::HANDED_ON_BYTES_MAX;
use crate::ids::{SpanId, TraceId};
use crate::locks::locked;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

/// Traces remembered by default: about 30 MB with sessions of usual length.
pub const TRACES_MAX_DEFAULT: usize = 200_000;

/// Changed traces kept at most between two rounds of the reconciler; more are left to its walk over the table.
const CHANGED_MAX: usize = 50_000;

/// A trace of a workspace: two workspaces never join.
pub type TraceKey = (Workspace, TraceId);

/// What is known of a trace's root.
///
/// A trace may have several spans without a parent. Its root is the one that began first; of those that began at once the
/// one with the smallest id. So it is the same one in whatever order they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRoot {
    /// The root span.
    pub span_id: SpanId,
    /// Its start time.
    pub start: UnixNanos,
    /// Its session, if it has one.
    pub session: Option<Arc<str>>,
}

impl KnownRoot {
    /// Makes a root; a session longer than [`HANDED_ON_BYTES_MAX`] is ignored.
    #[must_use]
    pub fn new(span_id: SpanId, start: UnixNanos, session: Option<&str>) -> Self {
        let session = session.filter(|session| (1..=HANDED_ON_BYTES_MAX).contains(&session.len())).map(Into::into);
        Self { span_id, start, session }
    }

    fn is_before(&self, other: &Self) -> bool {
        (self.start, self.span_id) < (other.start, other.span_id)
    }
}

/// The index; clones share it.
#[derive(Debug, Clone)]
pub struct Traces(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    roots: Generations<TraceKey, KnownRoot>,
    /// Traces with captured calls.
    with_calls: Generations<TraceKey, ()>,
    changed: Vec<TraceKey>,
}

impl Traces {
    /// Makes an empty index of at most `traces_max` roots, and as many traces with captured calls.
    #[must_use]
    pub fn new(traces_max: usize) -> Self {
        let (roots, with_calls) = (Generations::new(traces_max), Generations::new(traces_max));
        Self(Arc::new(Mutex::new(State { roots, with_calls, changed: Vec::new() })))
    }

    /// Remembers a root of a trace; of several, the earliest. A repeated span changes nothing.
    pub fn remember(&self, workspace: &Workspace, trace_id: TraceId, root: KnownRoot) {
        let mut state = self.lock();
        let key = (workspace.clone(), trace_id);
        let is_news = state.roots.get(&key).is_none_or(|known| known.span_id != root.span_id && root.is_before(&known));
        if is_news {
            state.roots.insert(key.clone(), root);
            if state.with_calls.get(&key).is_some() {
                state.note(key);
            }
        }
    }

    /// Adds a captured call to a trace and returns the trace's root. If the root is not known, the trace counts as changed, because its
    /// root may be in the table.
    #[must_use]
    pub fn lookup_or_watch(&self, workspace: &Workspace, trace_id: TraceId) -> Option<KnownRoot> {
        let mut state = self.lock();
        let key = (workspace.clone(), trace_id);
        state.with_calls.insert_if_absent(key.clone(), ());
        let root = state.roots.get(&key);
        if root.is_none() {
            state.note(key);
        }
        root
    }

    /// Watches a trace that has captured calls in the table.
    pub fn watch(&self, workspace: &Workspace, trace_id: TraceId) {
        self.lock().with_calls.insert_if_absent((workspace.clone(), trace_id), ());
    }

    /// Takes the traces that changed since the last call; one may be among them several times.
    #[must_use]
    pub fn drain_changed(&self) -> Vec<TraceKey> {
        std::mem::take(&mut self.lock().changed)
    }

    /// Number of roots known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().roots.len()
    }

    /// Whether no root is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // the maps are whole between any two statements, so a panic elsewhere leaves them usable
        locked(&self.0)
    }
}

impl State {
    fn note(&mut self, key: TraceKey) {
        if self.changed.len() < CHANGED_MAX {
            self.changed.push(key);
        }
    }
}

/// A map that forgets, roughly, what was least recently used.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation_max: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> Generations<K, V> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max: (entries_max / 2).max(1) }
    }

    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.insert(key.clone(), value.clone());
        Some(value)
    }

    pub(crate) fn insert_if_absent(&mut self, key: K, value: V) {
        if self.get(&key).is_none() {
            self.insert(key, value);
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation_max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(number: u8) -> TraceId {
        TraceId::new([number; 16]).unwrap()
    }

    fn root(number: u8, start: u64, session: Option<&str>) -> KnownRoot {
        KnownRoot::new(SpanId::new([number; 8]).unwrap(), UnixNanos::new(start).unwrap(), session)
    }

    #[test]
    fn two_workspaces_never_share_a_trace() {
        let traces = Traces::new(10);
        let (a, b) = (Workspace::new("a").unwrap(), Workspace::new("b").unwrap());
        traces.remember(&a, trace(1), root(1, 1, Some("s")));
        assert_eq!(traces.lookup_or_watch(&a, trace(1)), Some(root(1, 1, Some("s"))));
        assert_eq!(traces.lookup_or_watch(&b, trace(1)), None);
        assert_eq!(traces.drain_changed(), [(b, trace(1))]);
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_keeps_what_is_used() {
        let (traces, ws) = (Traces::new(10), Workspace::default());
        traces.remember(&ws, trace(1), root(1, 1, None));
        for number in 2..=200 {
            traces.remember(&ws, trace(number), root(number, 1, None));
            assert!(traces.lookup_or_watch(&ws, trace(1)).is_some(), "in use after {number}");
            assert!(traces.len() <= 10);
        }
        assert!(traces.lookup_or_watch(&ws, trace(2)).is_none());
    }

    #[test]
    fn of_several_roots_the_first_is_known_in_whatever_order_they_come() {
        let ws = Workspace::default();
        let roots = [root(3, 7, Some("later")), root(2, 5, Some("first")), root(4, 5, None)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let traces = Traces::new(10);
            order.iter().for_each(|at| traces.remember(&ws, trace(1), roots[*at].clone()));
            assert_eq!(traces.lookup_or_watch(&ws, trace(1)), Some(roots[1].clone()), "{order:?}");
        }
    }

    #[test]
    fn a_root_is_noted_when_it_changes_something_for_pairs() {
        let (traces, ws) = (Traces::new(10), Workspace::default());
        let noted = |traces: &Traces| traces.drain_changed().len();
        traces.remember(&ws, trace(1), root(1, 5, None));
        assert_eq!(noted(&traces), 0, "no pair is there yet");
        assert!(traces.lookup_or_watch(&ws, trace(1)).is_some());
        assert_eq!(noted(&traces), 0, "the pair has what there is");
        traces.remember(&ws, trace(1), root(1, 5, None));
        traces.remember(&ws, trace(1), root(2, 6, None));
        assert_eq!(noted(&traces), 0, "a repeat, and one that began later");
        traces.remember(&ws, trace(1), root(3, 4, None));
        assert_eq!(noted(&traces), 1, "one that began earlier");
        traces.watch(&ws, trace(2));
        traces.remember(&ws, trace(2), root(4, 4, None));
        assert_eq!(noted(&traces), 1, "the table has pairs there");
    }

    #[test]
    fn a_session_longer_than_may_be_handed_on_is_none() {
        let long = "s".repeat(HANDED_ON_BYTES_MAX);
        assert_eq!(root(1, 1, Some(&long)).session.as_deref(), Some(&*long));
        assert_eq!(root(1, 1, Some(&format!("{long}s"))).session, None);
    }
}
