//! Reports from different sources that have one response id are about one call. So are an event's and a span's that agree in their
//! tokens: coding agents report each call by both, and not all of them name the response.
//!
//! Some servers give every response the same id, so two reports of one source are never one call (unless one covers the
//! other). Where an id was reported several times by several sources, the calls of a source are matched to those of the source
//! that has most, in order, each to the one that began nearest.
//!
//! ```text
//! instrumentation   |--1--|      |--2--|   |--3--|
//! captured calls                  |--2--|
//! ```

use super::coverage::Membership;
use super::node::{Node, PerNode};
use super::response_id::TrustedId;
use super::span::{ModelCall, Source, Span};
use super::tree::Tree;
use crate::steps;
use std::cmp::Reverse;
use std::collections::HashSet;

/// Sources that report one call, at most. No call is reported by so many; without a bound it would take long to find out
/// whether two calls have one in common.
const SOURCES_MAX: usize = 16;

/// Calls that are one.
#[derive(Debug)]
pub(super) struct Merged {
    /// For each call that is another one: that one, or one on the way to it.
    into: PerNode<Option<Node>>,
}

impl Merged {
    /// The call that a call is.
    pub(super) fn call(&self, call: Node) -> Node {
        let mut here = call;
        while let Some(into) = self.into[here] {
            steps::take(1);
            here = into;
        }
        here
    }
}

/// Finds the calls that are one.
pub(super) fn merge(tree: &Tree<'_>, memberships: &PerNode<Membership>) -> Merged {
    let mut merging = Merging {
        merged: Merged { into: tree.spans.of_same(None) },
        sources: sources(tree, memberships),
        size: tree.spans.of_same(1),
        tree,
    };
    let reported = reported(tree, memberships);
    for of_one_id in reported.chunk_by(|one, other| one.id == other.id) {
        let mut by_source: Vec<Vec<Node>> =
            of_one_id.chunk_by(|one, other| one.source == other.source).map(|run| calls(run)).collect();
        // the first of those that have most
        by_source.sort_by_key(|calls| Reverse(calls.len()));
        if let Some((most, others)) = by_source.split_first() {
            for calls in others.iter().take(SOURCES_MAX) {
                merging.match_in_order(most, calls);
            }
        }
    }
    merging.merged
}

/// What says that two reports are about one call, and what was asked for: an embedding and a generation are two calls whatever
/// their ids. Ids come first, so that those which an id tells apart are settled before tokens are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Id<'a> {
    /// The id of the response.
    Response(ModelCall, TrustedId<'a>),
    /// Tokens of input and output.
    Tokens(ModelCall, (u64, u64)),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Reported<'a> {
    id: Id<'a>,
    source: Source<'a>,
    call: Node,
}

/// Which calls were reported with which id, by whom: in that order, and in the order in which the calls began.
fn reported<'a>(tree: &Tree<'a>, memberships: &PerNode<Membership>) -> Vec<Reported<'a>> {
    let reports = tree.spans.iter().filter_map(|(node, span)| {
        let (call, id) = (memberships[node].call(node)?, Id::Response(span.model_call()?, span.response_id?));
        Some(Reported { id, source: span.source, call })
    });
    let has_events = tree.spans.iter().any(|(_, span)| matches!(span.source, Source::Event(_)));
    let by_tokens = tree.spans.iter().filter(|_| has_events).filter_map(|(node, span)| {
        // who reported it does not matter here, only whether it was a span or an event
        let source = match span.source {
            Source::Scope(_) => Source::Scope(""),
            Source::Event(_) => Source::Event(""),
            Source::CapturedCall | Source::Messages { .. } => return None,
        };
        let tokens = span.tokens.filter(|tokens| *tokens != (0, 0))?;
        let (call, id) = (memberships[node].call(node)?, Id::Tokens(span.model_call()?, tokens));
        Some(Reported { id, source, call })
    });
    let mut reported: Vec<_> = reports.chain(by_tokens).collect();
    reported.sort_unstable();
    reported.dedup();
    reported
}

fn calls(run: &[Reported<'_>]) -> Vec<Node> {
    run.iter().map(|reported| reported.call).collect()
}

/// For each call who reported it, as far as they are not too many.
fn sources<'a>(tree: &Tree<'a>, memberships: &PerNode<Membership>) -> PerNode<Vec<Source<'a>>> {
    let mut sources: PerNode<Vec<Source<'a>>> = tree.spans.of_same(Vec::new());
    for (node, Span { source, .. }) in tree.spans.iter().filter(|(_, span)| !span.are_messages()) {
        if let Some(call) = memberships[node].call(node) {
            let known = &mut sources[call];
            steps::take(known.len());
            if known.len() <= SOURCES_MAX && !known.contains(source) {
                known.push(*source);
            }
        }
    }
    sources
}

struct Merging<'t, 'a> {
    tree: &'t Tree<'a>,
    merged: Merged,
    /// Of each call that is not another one: who reported it.
    sources: PerNode<Vec<Source<'a>>>,
    /// Of each call that is not another one: how many it is.
    size: PerNode<usize>,
}

impl Merging<'_, '_> {
    /// Matches the calls of one source to those of another that has as many or more. Both are in the order in which they began.
    fn match_in_order(&mut self, most: &[Node], fewer: &[Node]) {
        let root = |call: &Node| self.merged.call(*call);
        let (of_most, of_fewer): (HashSet<_>, HashSet<_>) =
            (most.iter().map(root).collect(), fewer.iter().map(root).collect());
        // what is one already is no longer free
        let most: Vec<Node> = most.iter().filter(|call| !of_fewer.contains(&root(call))).copied().collect();
        let fewer: Vec<Node> = fewer.iter().filter(|call| !of_most.contains(&root(call))).copied().collect();
        let mut free = most.as_slice();
        for (place, call) in fewer.iter().enumerate() {
            // those that come after it want one each
            let wanted_later = fewer.len() - place - 1;
            let Some(last) = free.len().checked_sub(wanted_later + 1) else { break };
            let nearest = self.nearest(free, *call).min(last);
            let Some((other, rest)) = free.get(nearest..).and_then(<[Node]>::split_first) else { break };
            self.merge(*other, *call);
            free = rest;
        }
    }

    /// The place of the call that began nearest to another one.
    fn nearest(&self, calls: &[Node], to: Node) -> usize {
        let start = |call: Node| self.tree.spans[call].start;
        let after = calls.partition_point(|call| {
            steps::take(1);
            start(*call) <= start(to)
        });
        let distance = |place: usize| calls.get(place).map(|call| start(*call).abs_diff(start(to)));
        match (after.checked_sub(1), distance(after)) {
            (Some(before), Some(to_after)) if distance(before).is_some_and(|to_before| to_before <= to_after) => before,
            (Some(before), None) => before,
            _ => after,
        }
    }

    /// Makes two calls one, unless somebody reported both.
    fn merge(&mut self, one: Node, other: Node) {
        let (mut one, mut other) = (self.merged.call(one), self.merged.call(other));
        if self.size[one] < self.size[other] {
            (one, other) = (other, one);
        }
        let known = &self.sources[one];
        let are_few = known.len() + self.sources[other].len() <= SOURCES_MAX;
        steps::take(SOURCES_MAX);
        if one == other || !are_few || self.sources[other].iter().any(|source| known.contains(source)) {
            return;
        }
        let added = std::mem::take(&mut self.sources[other]);
        self.sources[one].extend(added);
        self.size[one] += self.size[other];
        self.merged.into[other] = Some(one);
    }
}
