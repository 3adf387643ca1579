//! Agents, workflows and operations that no convention knows, with the sum of what they used: which of them count, because
//! nothing below them reports it.

use super::coverage::{Coverage, Membership, Outcome};
use super::node::{Node, PerNode};
use super::same_id::Merged;
use super::span::{ModelCall, Place};
use super::tree::Tree;
use crate::steps;

/// What became of the sums, and of the calls below those that count.
#[derive(Debug)]
pub(super) struct Sums {
    /// For each span that says such a sum, whether it counts.
    pub(super) counts: PerNode<Option<bool>>,
    /// For each call that belongs to such a sum: which. The sum is the call then.
    pub(super) into: PerNode<Option<Node>>,
}

/// What is known of the calls so far.
pub(super) struct Known<'k, 'a> {
    pub(super) tree: &'k Tree<'a>,
    pub(super) coverage: &'k Coverage,
    pub(super) merged: &'k Merged,
}

impl Known<'_, '_> {
    /// The call that a report belongs to.
    pub(super) fn call(&self, node: Node) -> Option<Node> {
        Some(self.merged.call(self.coverage.memberships[node].call(node)?))
    }

    pub(super) fn sums(&self) -> Sums {
        let used = self.used();
        let counts = self.counting(&used);
        let into = self.below_sums(&counts, &used);
        Sums { counts, into }
    }

    /// For each call whether a report of it says what was used.
    fn used(&self) -> PerNode<bool> {
        let mut used = self.tree.spans.of_same(false);
        for (node, _) in self.tree.spans.iter().filter(|(_, span)| span.has_usage) {
            steps::take(1);
            if let Some(call) = self.call(node) {
                used[call] = true;
            }
        }
        used
    }

    /// A sum counts when nothing below it says what was used. A captured call that named only its trace may be one of any
    /// agent there, so then none of them counts.
    fn counting(&self, used: &PerNode<bool>) -> PerNode<Option<bool>> {
        let spans = &self.tree.spans;
        let is_lost = self.has_lost_call(used);
        let mut is_used_below = spans.of_same(false);
        let mut counts = spans.of_same(None);
        for node in self.tree.top_down.iter().rev() {
            steps::take(1);
            let is_sum = spans[*node].may_be_sum() && !self.coverage.is_report[*node];
            if is_sum {
                counts[*node] = Some(!is_used_below[*node] && !is_lost);
            }
            let is_used = is_sum || self.call(*node).is_some_and(|call| used[call]);
            if let Some(parent) = self.tree.parents[*node] {
                is_used_below[parent] |= is_used || is_used_below[*node];
            }
        }
        counts
    }

    /// Whether there is a call of which nothing says where in the trace it belongs.
    fn has_lost_call(&self, used: &PerNode<bool>) -> bool {
        let spans = &self.tree.spans;
        let mut is_placed = spans.of_same(false);
        for (node, span) in spans.iter() {
            if let (Some(call), true) = (self.call(node), span.place != Place::BelowTheRoot) {
                is_placed[call] = true;
            }
        }
        spans.nodes().any(|node| self.call(node).is_some_and(|call| used[call] && !is_placed[call]))
    }

    /// The generations below a sum that counts, which do not say what they used: the first that was answered is the sum's
    /// own, or each if all failed.
    fn below_sums(&self, counts: &PerNode<Option<bool>>, used: &PerNode<bool>) -> PerNode<Option<Node>> {
        let spans = &self.tree.spans;
        let mut next_sum: PerNode<Option<Node>> = spans.of_same(None);
        for node in &self.tree.top_down {
            let above = |parent: Node| if counts[parent] == Some(true) { Some(parent) } else { next_sum[parent] };
            next_sum[*node] = self.tree.parents[*node].and_then(above);
        }
        let mut first_answered: PerNode<Option<Node>> = spans.of_same(None);
        let calls: Vec<(Node, Node)> = self
            .tree
            .spans
            .nodes()
            .filter_map(|node| {
                let is_call = self.coverage.memberships[node] == Membership::Call && self.merged.call(node) == node;
                let is_generation = spans[node].model_call() == Some(ModelCall::Generation);
                Some((node, next_sum[node].filter(|_| is_call && is_generation && !used[node])?))
            })
            .collect();
        for (call, sum) in &calls {
            if Outcome::of(&spans[*call]) == Outcome::Answered && first_answered[*sum].is_none() {
                first_answered[*sum] = Some(*call);
            }
        }
        let mut into = spans.of_same(None);
        for (call, sum) in calls {
            if first_answered[sum].is_none_or(|first| first == call) {
                into[call] = Some(sum);
            }
        }
        into
    }
}
