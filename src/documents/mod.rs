//! Traces that are written down as JSON documents: trajectories of agents (ATIF), and spans in a plain form.
//!
//! ```text
//! text --atif::read---> Trajectory  --put--> DocumentSpan, one after the other --DocumentRows--> columns
//! text --plain::read--> PlainSpans  --put--^
//!
//! check.rs   the members of a document, and what is wrong with them, by path
//! span.rs    a span as both make it: attributes of the conventions, which fill the typed columns as those of any other span do
//! rows.rs    rows, evaluator results and roots of a document, within the bounds of a request
//! ids.rs     ids that follow from what a document calls its parts
//! ```
//!
//! A document is taken whole or not at all: it is read and checked to its end before its first span is made. Its ids follow from what it
//! says, so that the same document sent again is a repeat.

pub mod atif;
mod check;
mod ids;
pub mod plain;
mod rows;
mod span;

pub use rows::{DocumentBounds, DocumentRoot, DocumentRows, TooMuch};

use crate::chat::ValidationErrors;
use crate::retention::Cutoff;
use crate::time::UnixNanos;
use crate::timestamps::Window;
use crate::workspace::Workspace;

/// What spans of a document carry that says where they come from.
const SOURCE: &str = "millrace.source";

/// What a document does not say.
#[derive(Debug, Clone, Copy)]
pub struct DocumentContext<'a> {
    /// Where its spans go.
    pub workspace: &'a Workspace,
    /// When it came: the time of what has none.
    pub received_at: UnixNanos,
    /// A span that began before it is refused.
    pub cutoff: Option<Cutoff>,
    /// So is one that began outside of it.
    pub window: Window,
}

impl DocumentContext<'_> {
    /// Why a span may not begin at this time.
    fn objection(&self, at: UnixNanos) -> Option<String> {
        let passed = self.cutoff.filter(|cutoff| cutoff.excludes(at)).map(|cutoff| cutoff.describe(at, self.workspace));
        passed.or_else(|| self.window.check(at).err().map(|outside| outside.to_string()))
    }
}

/// Why a document is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is wrong.
    #[error("{0}")]
    Invalid(#[from] ValidationErrors),
    /// It would be too much.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
}

#[cfg(test)]
mod tests;
