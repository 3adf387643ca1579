//! Spans of Millrace's own work, until they are exported. Off unless `telemetry.endpoint` is set: then a request costs one look at a flag.

use crate::locks::locked;
use crate::random;
use crate::time::UnixNanos;
use prometheus::IntCounter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Spans that may wait; one more is dropped, and counted.
const WAITING_MAX: usize = 2_048;

/// What a span is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A request that was answered.
    Request,
    /// A statement at ClickHouse.
    Insert,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Of which trace a span is a part, and below which span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: [u8; 16],
    /// The span above it.
    pub span: [u8; 8],
}

/// A piece of work that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSpan {
    /// What it is of.
    pub work: Work,
    /// Its name, of which there are few.
    pub name: String,
    /// Where it came from, if somebody says.
    pub parent: Option<Parent>,
    /// Its own id.
    pub id: [u8; 8],
    /// Its trace: that of its parent, or one of its own.
    pub trace: [u8; 16],
    /// When it began.
    pub began: UnixNanos,
    /// When it ended.
    pub ended: UnixNanos,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether it failed.
    pub has_failed: bool,
}

impl OwnSpan {
    /// Work that began and ended.
    #[must_use]
    pub fn new(work: Work, name: String, parent: Option<Parent>, (began, ended): (UnixNanos, UnixNanos)) -> Self {
        let trace = parent.map_or_else(random::bytes, |parent| parent.trace);
        Self { work, name, parent, id: random::bytes(), trace, began, ended, attributes: Vec::new(), has_failed: false }
    }
}

/// The spans that wait; all clones have the same.
#[derive(Debug, Clone)]
pub struct OwnSpans(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    is_on: AtomicBool,
    waiting: Mutex<Vec<OwnSpan>>,
    dropped: IntCounter,
    /// Whether what was exported came back.
    is_loop: AtomicBool,
    /// What tells this process from others.
    instance: String,
}

impl OwnSpans {
    pub(super) fn new(dropped: IntCounter) -> Self {
        let (is_on, is_loop) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(Inner { is_on, waiting: Mutex::default(), dropped, is_loop, instance: random::uuid() }))
    }

    /// Keeps spans from now on.
    pub fn turn_on(&self) {
        self.0.is_on.store(true, Ordering::Relaxed);
    }

    /// Whether spans are kept.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// What tells this process from others.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.0.instance
    }

    /// Keeps a span until it is exported, if they are kept and there is room.
    pub fn keep(&self, span: OwnSpan) {
        if !self.is_on() {
            return;
        }
        let mut waiting = locked(&self.0.waiting);
        if waiting.len() < WAITING_MAX {
            waiting.push(span);
        } else {
            self.0.dropped.inc();
        }
    }

    /// Takes all that wait.
    #[must_use]
    pub fn take(&self) -> Vec<OwnSpan> {
        std::mem::take(&mut *locked(&self.0.waiting))
    }

    /// Counts spans that could not be exported.
    pub fn dropped(&self, spans: u64) {
        self.0.dropped.inc_by(spans);
    }

    /// Notes that what was exported came back: nothing more is kept.
    pub fn came_back(&self) {
        self.0.is_loop.store(true, Ordering::Relaxed);
        self.0.is_on.store(false, Ordering::Relaxed);
    }

    /// Whether what was exported came back.
    #[must_use]
    pub fn is_loop(&self) -> bool {
        self.0.is_loop.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans() -> OwnSpans {
        OwnSpans::new(IntCounter::new("dropped", "Dropped.").unwrap())
    }

    fn span() -> OwnSpan {
        OwnSpan::new(Work::Insert, "INSERT".to_owned(), None, (UnixNanos::default(), UnixNanos::default()))
    }

    #[test]
    fn spans_are_kept_while_that_is_on_and_there_is_room() {
        let spans = spans();
        spans.keep(span());
        assert!(spans.take().is_empty(), "it is off");
        spans.turn_on();
        (0..WAITING_MAX + 3).for_each(|_| spans.keep(span()));
        assert_eq!((spans.take().len(), spans.0.dropped.get()), (WAITING_MAX, 3));
        spans.came_back();
        spans.keep(span());
        assert!(spans.take().is_empty() && spans.is_loop());
    }

    #[test]
    fn a_span_below_another_is_of_its_trace() {
        let parent = Parent { trace: [7; 16], span: [8; 8] };
        let below = OwnSpan::new(Work::Request, String::new(), Some(parent), Default::default());
        assert_eq!((below.trace, below.parent), ([7; 16], Some(parent)));
        assert_ne!(span().trace, span().trace);
    }
}
