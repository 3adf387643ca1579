//! The calls with their reports in order of precedence.

use super::counted::{Call, Counted, Report, Role, Verdict};
use super::coverage::{Membership, Outcome};
use super::lineage::Lineage;
use super::node::{Node, PerNode};
use super::span::Source;
use super::sums::{Known, Sums};
use crate::steps;
use std::cmp::Reverse;

/// A report, before it is known which one of its call's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// The call that it belongs to.
    call: Node,
    precedence: Precedence,
    node: Node,
}

/// What counts first is least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Precedence {
    /// Tokens and cost are the call's.
    is_without_usage: bool,
    source: Rank,
    /// Something surer lies above it.
    is_inside: bool,
    /// The part of the call that its place in the tree shows; those that began first, first.
    part: Node,
    /// What lies above it has gone through more hands.
    is_above: bool,
    surest: Reverse<Outcome>,
    nearest: Reverse<usize>,
}

/// Whose times are the call's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Span,
    /// An event has the time of its end.
    Event,
    /// A captured call has no times of its own, or those of a gateway.
    CapturedCall,
}

impl Rank {
    fn of(source: Source<'_>) -> Self {
        match source {
            Source::Scope(_) => Self::Span,
            Source::Event(_) | Source::Messages { .. } => Self::Event,
            Source::CapturedCall => Self::CapturedCall,
        }
    }
}

/// Says what became of each span of the list that was given, which has so many.
pub(super) fn assemble(known: &Known<'_, '_>, sums: &Sums, given: usize) -> Counted {
    let tree = known.tree;
    let mut verdicts = vec![Verdict::NotAReport; given];
    let mut decide = |node: Node, verdict| {
        if let Some(place) = verdicts.get_mut(tree.given[node]) {
            *place = verdict;
        }
    };
    for node in tree.spans.nodes() {
        let is_sum_of_others = sums.counts[node] == Some(false);
        if is_sum_of_others || known.coverage.memberships[node] == Membership::Repeats {
            decide(node, Verdict::Repeats);
        }
    }
    let mut candidates = candidates(known, sums);
    candidates.sort_unstable();
    let mut calls: Vec<(Node, Call)> = Vec::new();
    for of_one_call in candidates.chunk_by(|one, other| one.call == other.call) {
        let Some(first) = of_one_call.first() else { continue };
        decide(first.node, Verdict::Call);
        for report in of_one_call.iter().skip(1) {
            decide(report.node, Verdict::ReportOf(tree.given[first.node]));
        }
        let report = |of: &Candidate| Report { span: tree.given[of.node], role: role(of, first) };
        calls.push((first.node, Call { reports: of_one_call.iter().map(report).collect() }));
    }
    calls.sort_unstable_by_key(|(node, _)| *node);
    for (row, other) in &tree.again {
        if let Some(place) = verdicts.get_mut(*row) {
            *place = Verdict::Again(*other);
        }
    }
    let calls = calls.into_iter().map(|(_, call)| call).collect();
    Counted { verdicts, calls, lineage: Lineage::of(tree, given) }
}

fn candidates(known: &Known<'_, '_>, sums: &Sums) -> Vec<Candidate> {
    let depths = depths(known);
    let mut candidates = Vec::new();
    for (node, span) in known.tree.spans.iter() {
        steps::take(1);
        let call = known.call(node);
        let sum_above = call.and_then(|call| sums.into[call]);
        let sum = if sums.counts[node] == Some(true) { Some(node) } else { sum_above };
        let Some(call) = sum.or(call) else { continue };
        let membership = known.coverage.memberships[node];
        let precedence = Precedence {
            is_without_usage: !span.has_usage,
            source: Rank::of(span.source),
            is_inside: matches!(membership, Membership::Inside(_)) || sum_above.is_some(),
            part: membership.call(node).unwrap_or(node),
            is_above: matches!(membership, Membership::Above(_)),
            surest: Reverse(Outcome::of(span)),
            nearest: Reverse(depths[node]),
        };
        candidates.push(Candidate { call, precedence, node });
    }
    candidates
}

/// How many spans lie above each.
fn depths(known: &Known<'_, '_>) -> PerNode<usize> {
    let mut depths = known.tree.spans.of_same(0);
    for node in &known.tree.top_down {
        if let Some(parent) = known.tree.parents[*node] {
            depths[*node] = depths[parent] + 1;
        }
    }
    depths
}

fn role(of: &Candidate, first: &Candidate) -> Role {
    match of.precedence {
        _ if of.node == first.node => Role::Counted,
        Precedence { is_inside: true, .. } => Role::Inside,
        Precedence { is_above: true, .. } => Role::Above,
        _ => Role::Beside,
    }
}
