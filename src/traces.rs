//! The recent traces whose root span is known, so that a chat-completion finds its parent and session at once.
//!
//! Bounded in entries: two generations, where the older one is forgotten when the younger is full. An entry that is used
//! moves to the younger one, so what is asked for stays.

use crate::ids::{SpanId, TraceId};
use crate::workspace::Workspace;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Traces remembered by default: about 30 MB with sessions of usual length.
pub const TRACES_MAX_DEFAULT: usize = 200_000;

/// Longest session that is remembered, in bytes.
const SESSION_BYTES_MAX: usize = 1_024;

/// What is known of a trace's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRoot {
    /// The root span.
    pub span_id: SpanId,
    /// The session it belongs to, when it says so.
    pub session: Option<Arc<str>>,
}

/// The index; clones share it.
#[derive(Debug, Clone)]
pub struct Traces(Arc<Mutex<Generations>>);

type Key = (Workspace, TraceId);

#[derive(Debug)]
struct Generations {
    young: HashMap<Key, KnownRoot>,
    old: HashMap<Key, KnownRoot>,
    generation_max: usize,
}

impl Traces {
    /// An empty index for at most `traces_max` traces.
    #[must_use]
    pub fn new(traces_max: usize) -> Self {
        let generation_max = (traces_max / 2).max(1);
        Self(Arc::new(Mutex::new(Generations { young: HashMap::new(), old: HashMap::new(), generation_max })))
    }

    /// Remembers the root of a trace. Of several the first stays: a trace has one root, and repeats are the same.
    pub fn remember(&self, workspace: &Workspace, trace_id: TraceId, span_id: SpanId, session: Option<&str>) {
        let session = session.filter(|session| session.len() <= SESSION_BYTES_MAX).map(Into::into);
        self.lock().insert_if_absent((workspace.clone(), trace_id), KnownRoot { span_id, session });
    }

    /// The root of a trace in a workspace.
    #[must_use]
    pub fn root(&self, workspace: &Workspace, trace_id: TraceId) -> Option<KnownRoot> {
        self.lock().get(&(workspace.clone(), trace_id))
    }

    /// Number of traces known.
    #[must_use]
    pub fn len(&self) -> usize {
        let generations = self.lock();
        generations.young.len() + generations.old.len()
    }

    /// Whether no trace is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        // the maps are whole between any two statements, so a panic elsewhere leaves them usable
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn get(&mut self, key: &Key) -> Option<KnownRoot> {
        if let Some(root) = self.young.get(key) {
            return Some(root.clone());
        }
        let root = self.old.remove(key)?;
        self.insert(key.clone(), root.clone());
        Some(root)
    }

    fn insert_if_absent(&mut self, key: Key, root: KnownRoot) {
        if self.get(&key).is_none() {
            self.insert(key, root);
        }
    }

    fn insert(&mut self, key: Key, root: KnownRoot) {
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, root);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(number: u8) -> TraceId {
        TraceId::new([number; 16]).unwrap()
    }

    fn span(number: u8) -> SpanId {
        SpanId::new([number; 8]).unwrap()
    }

    #[test]
    fn two_workspaces_never_share_a_trace() {
        let traces = Traces::new(10);
        let (a, b) = (Workspace::new("a").unwrap(), Workspace::new("b").unwrap());
        traces.remember(&a, trace(1), span(1), Some("s"));
        assert_eq!(traces.root(&a, trace(1)), Some(KnownRoot { span_id: span(1), session: Some("s".into()) }));
        assert_eq!(traces.root(&b, trace(1)), None);
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_keeps_what_is_used() {
        let (traces, ws) = (Traces::new(10), Workspace::default());
        traces.remember(&ws, trace(1), span(1), None);
        for number in 2..=200 {
            traces.remember(&ws, trace(number), span(number), None);
            assert!(traces.root(&ws, trace(1)).is_some(), "in use after {number}");
            assert!(traces.len() <= 10);
        }
        assert!(traces.root(&ws, trace(2)).is_none());
    }
}
