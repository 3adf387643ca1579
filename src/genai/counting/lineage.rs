//! What lies above each span, for what holds for everything below the span that says it: a session, a user, an agent.

use super::tree::Tree;
use crate::steps;

/// What each span hangs below. Spans are places in the list that was given; there is no circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Each span of the tree with its parent, which comes before it.
    top_down: Vec<(usize, Option<usize>)>,
    /// How many spans were given.
    given: usize,
}

impl Lineage {
    pub(super) fn of(tree: &Tree<'_>, given: usize) -> Self {
        let with_parent = |node: &_| (tree.given[*node], tree.parents[*node].map(|parent| tree.given[parent]));
        Self { top_down: tree.top_down.iter().map(with_parent).collect(), given }
    }

    /// For each span what it says itself, or else what the nearest above it says that says anything.
    #[must_use]
    pub fn handed_down<T: Copy>(&self, says: impl Fn(usize) -> Option<T>) -> Vec<Option<T>> {
        let mut handed_down: Vec<Option<T>> = vec![None; self.given];
        for (span, parent) in &self.top_down {
            steps::take(1);
            let from_above = || handed_down.get((*parent)?).copied().flatten();
            let said = says(*span).or_else(from_above);
            if let Some(place) = handed_down.get_mut(*span) {
                *place = said;
            }
        }
        handed_down
    }
}
