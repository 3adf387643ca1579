//! Which spans of a trace are calls of a model, each once, however many spans report it.
//!
//! ```text
//! span           what is known of a span: a few light fields
//! response_id    which response ids are trusted
//! tree           the spans as a tree, each once, parents before children      (node: places in it)
//! coverage       a wrapper above the provider's span: one call
//! same_id        a captured call and a span, a gateway and a client: one call
//! sums           agents count if nothing below them does
//! assemble       the reports of each call in order of precedence
//! counted        what became of each span
//! lineage        what lies above each span
//! merge          whose tokens and cost a call has
//! ```
//!
//! The result depends on the spans alone: not on their order, nor on which of them came first. It takes time in proportion to
//! their number (and to its logarithm where they are sorted). docs/counting.md says it to users.

mod assemble;
mod counted;
mod coverage;
mod lineage;
pub mod merge;
mod node;
mod response_id;
mod same_id;
mod span;
mod sums;
mod tree;

pub use counted::{Call, Counted, Report, Role, Verdict};
pub use lineage::Lineage;
pub use response_id::TrustedId;
pub use span::{Class, Kind, ModelCall, Place, Source, Span, has_usage};

/// Counts the calls of a trace. `spans` are all its spans, in any order; rows of one span (the same id, kind and service) may
/// be there several times.
#[must_use]
pub fn count(spans: &[Span<'_>]) -> Counted {
    let tree = tree::Tree::new(spans);
    let coverage = coverage::Coverage::of(&tree);
    let merged = same_id::merge(&tree, &coverage.memberships);
    let known = sums::Known { tree: &tree, coverage: &coverage, merged: &merged };
    assemble::assemble(&known, &known.sums(), spans.len())
}

#[cfg(test)]
mod tests;
