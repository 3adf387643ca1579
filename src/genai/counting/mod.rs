//! Which spans of a trace are calls of a model, each once, however many spans report it.
//!
//! ```text
//! span           what is known of a span: a few light fields
//! response_id    which response ids are trusted
//! counted        what became of each span
//! ```
//!
//! The result depends on the spans alone: not on their order, nor on which of them were seen before.

mod counted;
mod response_id;
mod span;

pub use counted::{Call, Counted, Report, Role, Verdict};
pub use response_id::TrustedId;
pub use span::{Class, Kind, ModelCall, Place, Source, Span, has_usage};

/// Counts the calls of a trace. `spans` are all its spans, in any order.
#[must_use]
pub fn count(spans: &[Span<'_>]) -> Counted {
    let mut reports: Vec<usize> =
        spans.iter().enumerate().filter(|(_, span)| span.is_report()).map(|(at, _)| at).collect();
    reports.sort_by_key(|at| spans.get(*at));
    let mut verdicts = vec![Verdict::NotAReport; spans.len()];
    for at in &reports {
        if let Some(verdict) = verdicts.get_mut(*at) {
            *verdict = Verdict::Call;
        }
    }
    let call = |span: &usize| Call { reports: vec![Report { span: *span, role: Role::Counted }] };
    Counted { verdicts, calls: reports.iter().map(call).collect() }
}
