//! Which reports lie above others of the same call, and which attempts belong to the call above them.
//!
//! ```text
//! chat          120 tokens   report of the call: something below it says as much
//!   chat                     report of the call
//!     chat      120 tokens   the call
//! ```
//!
//! A report that used something is surer of its call than one that was answered, and that one than a report that failed. It
//! is covered when a report below it is as sure, and nothing that works by itself (an agent, a workflow, a tool) lies between.
//! What is not covered is a call, or an attempt at the call above it.
//!
//! Log records that are messages report nothing by themselves: they belong to the span in which they were written.

use super::node::{Node, PerNode};
use super::response_id::TrustedId;
use super::span::{Class, ModelCall, Place, Source, Span};
use super::tree::Tree;
use crate::steps;
use std::collections::HashSet;

/// How sure a report is that there was a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// It failed, and nothing was used.
    Failed,
    /// It was answered.
    Answered,
    /// It says what was used.
    Used,
}

impl Outcome {
    pub(super) fn of(span: &Span<'_>) -> Self {
        match (span.has_usage, span.is_error) {
            (true, _) => Self::Used,
            (false, false) => Self::Answered,
            (false, true) => Self::Failed,
        }
    }
}

/// What a span is to the calls, as far as its place in the tree says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    /// It is not a report.
    None,
    /// It is a call.
    Call,
    /// It lies above this call.
    Above(Node),
    /// It lies below this call and is about it: an attempt, or a stream that was not counted.
    Inside(Node),
    /// It lies above several calls.
    Repeats,
}

impl Membership {
    /// The call that it belongs to.
    pub(super) fn call(self, node: Node) -> Option<Node> {
        match self {
            Self::None | Self::Repeats => None,
            Self::Call => Some(node),
            Self::Above(call) | Self::Inside(call) => Some(call),
        }
    }
}

/// What is known of a trace from the places of its spans alone.
pub(super) struct Coverage {
    /// Whether a span is a report: a model operation, or a span with usage inside one, whose operation is not known.
    pub(super) is_report: PerNode<bool>,
    /// What each span is to the calls.
    pub(super) memberships: PerNode<Membership>,
}

impl Coverage {
    pub(super) fn of(tree: &Tree<'_>) -> Self {
        let (is_report, above) = reports(tree);
        let reports = Reports { tree, is_report: &is_report, above: &above };
        let is_covered = reports.covered();
        let surer = reports.surer(&is_covered);
        let mut memberships = reports.uncovered(&is_covered, &surer);
        reports.settle_covered(&is_covered, &surer, &mut memberships);
        reports.place_messages(&mut memberships);
        Self { is_report, memberships }
    }
}

/// Which spans are reports, and for each of them the next one above it that may be about the same call.
fn reports(tree: &Tree<'_>) -> (PerNode<bool>, PerNode<Option<Node>>) {
    let spans = &tree.spans;
    let mut is_report = spans.of_same(false);
    // the nearest report above, if nothing that works by itself lies between
    let mut nearest: PerNode<Option<Node>> = spans.of_same(None);
    let mut above = spans.of_same(None);
    let ids_of_spans: HashSet<TrustedId<'_>> = spans.iter().filter_map(|(_, span)| id_of_span(span)).collect();
    for node in &tree.top_down {
        steps::take(1);
        nearest[*node] = tree.parents[*node].and_then(|parent| match is_report[parent] {
            true => Some(parent),
            false => nearest[parent].filter(|_| !spans[parent].class.separates()),
        });
        let span = &spans[*node];
        if span.are_messages() {
            continue;
        }
        is_report[*node] = span.is_report() || (nearest[*node].is_some() && span.model_call().is_some());
        if is_report[*node] {
            let is_placed_by_id =
                span.place == Place::BelowTheRoot && span.response_id.is_some_and(|id| ids_of_spans.contains(&id));
            above[*node] = nearest[*node].filter(|above| !is_placed_by_id && may_be_one_call(span, &spans[*above]));
        }
    }
    (is_report, above)
}

/// The response id of an instrumented report: a captured call that has it is about the same call, wherever that is.
fn id_of_span<'a>(span: &Span<'a>) -> Option<TrustedId<'a>> {
    let is_instrumented = span.source != Source::CapturedCall && span.model_call().is_some();
    span.response_id.filter(|_| is_instrumented)
}

/// Whether a report and the next one above it may be about the same call. An embedding or a ranking below a generation looks
/// something up for it. The place of a captured call that named only its trace says nothing against ids that differ.
fn may_be_one_call(below: &Span<'_>, above: &Span<'_>) -> bool {
    let [asked_below, asked_above] = [below, above].map(Span::model_call);
    let is_work = asked_below == Some(ModelCall::Generation) || asked_below == asked_above;
    let ids_differ =
        below.response_id.is_some() && above.response_id.is_some() && below.response_id != above.response_id;
    is_work && !(below.place == Place::BelowTheRoot && ids_differ)
}

struct Reports<'t, 'a> {
    tree: &'t Tree<'a>,
    is_report: &'t PerNode<bool>,
    /// For each report the next one above it that may be about the same call.
    above: &'t PerNode<Option<Node>>,
}

impl Reports<'_, '_> {
    fn top_down(&self) -> impl DoubleEndedIterator<Item = (Node, Outcome)> + use<'_> {
        let spans = &self.tree.spans;
        let reports = self.tree.top_down.iter().filter(|node| self.is_report[**node]);
        reports.map(|node| {
            steps::take(1);
            (*node, Outcome::of(&spans[*node]))
        })
    }

    /// Whether something below a report is as sure of its call.
    fn covered(&self) -> PerNode<bool> {
        let mut surest_below: PerNode<Option<Outcome>> = self.above.of_same(None);
        let mut is_covered = self.above.of_same(false);
        for (node, outcome) in self.top_down().rev() {
            is_covered[node] = surest_below[node] >= Some(outcome);
            if let Some(above) = self.above[node] {
                surest_below[above] = surest_below[above].max(surest_below[node]).max(Some(outcome));
            }
        }
        is_covered
    }

    /// For each report the next one above it that is not covered. It is surer than all that lie below it.
    fn surer(&self, is_covered: &PerNode<bool>) -> PerNode<Option<Node>> {
        let mut surer: PerNode<Option<Node>> = self.above.of_same(None);
        for (node, _) in self.top_down() {
            surer[node] = self.above[node].and_then(|above| if is_covered[above] { surer[above] } else { Some(above) });
        }
        surer
    }

    /// What is not covered is a call, or an attempt at the surer one above it. One of the attempts at that is its own: the
    /// first that was answered, or each if all failed. The others were calls beside it.
    fn uncovered(&self, is_covered: &PerNode<bool>, surer: &PerNode<Option<Node>>) -> PerNode<Membership> {
        let mut first_answered: PerNode<Option<Node>> = self.above.of_same(None);
        for (node, outcome) in self.top_down().filter(|(node, _)| !is_covered[*node]) {
            if let (Outcome::Answered, Some(surer)) = (outcome, surer[node]) {
                first_answered[surer] = Some(first_answered[surer].map_or(node, |first| first.min(node)));
            }
        }
        let mut memberships = self.above.of_same(Membership::None);
        for (node, _) in self.top_down().filter(|(node, _)| !is_covered[*node]) {
            let is_own = |surer: &Node| first_answered[*surer].is_none_or(|first| first == node);
            let call = surer[node].filter(is_own).and_then(|surer| memberships[surer].call(surer));
            memberships[node] = call.map_or(Membership::Call, Membership::Inside);
        }
        memberships
    }

    /// Messages belong to the call of the span in which they were written. Where that is not there, or is about no model, they
    /// are a call of their own if they were answered.
    fn place_messages(&self, memberships: &mut PerNode<Membership>) {
        let spans = &self.tree.spans;
        let mut alone: Vec<(Place, &str, bool, Node)> = Vec::new();
        for (node, span) in spans.iter() {
            steps::take(1);
            let Source::Messages { are_answers } = span.source else { continue };
            match self.tree.parents[node] {
                Some(parent) if self.is_report[parent] => {
                    memberships[node] = memberships[parent].call(parent).map_or(Membership::None, Membership::Inside);
                }
                Some(parent) if spans[parent].class != Class::Other => {}
                _ => alone.push((span.place, span.service, !are_answers, node)),
            }
        }
        alone.sort_unstable();
        for of_one_span in alone.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
            let Some((_, _, false, call)) = of_one_span.first() else { continue };
            for (.., node) in of_one_span {
                memberships[*node] = if node == call { Membership::Call } else { Membership::Inside(*call) };
            }
        }
    }

    /// What is covered reports the one call below it that is as sure, or repeats several.
    fn settle_covered(
        &self,
        is_covered: &PerNode<bool>,
        surer: &PerNode<Option<Node>>,
        memberships: &mut PerNode<Membership>,
    ) {
        let mut below: PerNode<Below> = self.above.of_same(Below::default());
        for (node, outcome) in self.top_down().rev() {
            if is_covered[node] {
                let call_above = surer[node].and_then(|surer| memberships[surer].call(surer));
                memberships[node] = match below[node].as_sure_as(outcome) {
                    Calls::One(call) if Some(call) == call_above => Membership::Inside(call),
                    Calls::One(call) => Membership::Above(call),
                    Calls::None | Calls::Several => Membership::Repeats,
                };
            } else if let Some(call) = memberships[node].call(node) {
                below[node].add(outcome, call);
            }
            if let Some(above) = self.above[node] {
                below[above] = below[above].and(below[node]);
            }
        }
    }
}

/// How many calls there are somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Calls {
    #[default]
    None,
    One(Node),
    Several,
}

impl Calls {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, calls) | (calls, Self::None) => calls,
            (Self::One(one), Self::One(other)) if one == other => self,
            _ => Self::Several,
        }
    }
}

/// The calls that are reported at or below a report, by how sure those reports are.
#[derive(Debug, Clone, Copy, Default)]
struct Below {
    failed: Calls,
    answered: Calls,
    used: Calls,
}

impl Below {
    fn add(&mut self, outcome: Outcome, call: Node) {
        let calls = match outcome {
            Outcome::Failed => &mut self.failed,
            Outcome::Answered => &mut self.answered,
            Outcome::Used => &mut self.used,
        };
        *calls = calls.and(Calls::One(call));
    }

    fn and(self, other: Self) -> Self {
        Self {
            failed: self.failed.and(other.failed),
            answered: self.answered.and(other.answered),
            used: self.used.and(other.used),
        }
    }

    fn as_sure_as(self, outcome: Outcome) -> Calls {
        match outcome {
            Outcome::Used => self.used,
            Outcome::Answered => self.used.and(self.answered),
            Outcome::Failed => self.used.and(self.answered).and(self.failed),
        }
    }
}
