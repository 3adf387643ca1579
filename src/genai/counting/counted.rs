//! What became of each span.

use super::lineage::Lineage;

/// What became of the spans of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// One for each span, in the order in which they were given.
    pub verdicts: Vec<Verdict>,
    /// The calls, in the order in which they began.
    pub calls: Vec<Call>,
    /// What each span hangs below.
    pub lineage: Lineage,
}

/// What became of a span. Numbers are places in the list of spans that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is a call, and has an entry in [`Counted::calls`].
    Call,
    /// It reports the call that this span is.
    ReportOf(usize),
    /// It repeats what spans below it report.
    Repeats,
    /// It is this span again: the same id, kind and service.
    Again(usize),
    /// It reports no call.
    NotAReport,
}

impl Verdict {
    /// The word for it in the column `CountedAs`; empty for what reports no call.
    #[must_use]
    pub fn counted_as(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::ReportOf(_) => "report",
            Self::Repeats => "repeats",
            Self::Again(_) | Self::NotAReport => "",
        }
    }
}

/// A call, and who reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its reports in order of precedence. The first one is the call; what it does not know comes from the others.
    pub reports: Vec<Report>,
}

/// A report of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Its place in the list of spans.
    pub span: usize,
    /// How it belongs to the call.
    pub role: Role,
}

/// How a report belongs to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It is the call.
    Counted,
    /// It lies above: a framework's span over the provider's, a client's over the server's.
    Above,
    /// It lies below, and is less sure of the call: an attempt that failed, or a stream whose usage was not counted.
    Inside,
    /// Another source reports the call too: with the same response id, or as a captured call.
    Beside,
}

impl Report {
    /// Whether the call failed if this report did. An attempt that failed below a call that did not says nothing of it.
    #[must_use]
    pub fn decides_failure(&self) -> bool {
        self.role != Role::Inside
    }
}
