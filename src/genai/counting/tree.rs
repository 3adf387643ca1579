//! The spans of a trace as a tree: each once, in an order that does not depend on how they arrived, parents before children.
//!
//! ```text
//! rows ── each span once ── parents found ── circles cut ── parents before children
//! ```

use super::node::{Node, PerNode};
use super::span::{Place, Span};
use crate::ids::SpanId;
use crate::steps;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A trace whose spans lie in order.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// Each span once, in the order in which they began.
    pub(super) spans: PerNode<Span<'a>>,
    /// Where each of them is in the list that was given.
    pub(super) given: PerNode<usize>,
    /// What each hangs below; nothing for a root, and for a span whose parent is not there.
    pub(super) parents: PerNode<Option<Node>>,
    /// All spans, each after its parent.
    pub(super) top_down: Vec<Node>,
    /// Rows that are a span of the tree again, and the row that is in it.
    pub(super) again: Vec<(usize, usize)>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(rows: &[Span<'a>]) -> Self {
        let (kept, again) = each_once(rows);
        let (spans, given): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
        let spans = PerNode::new(spans);
        let mut parents = parents(&spans);
        cut_circles(&mut parents);
        let top_down = top_down(&parents);
        Self { given: PerNode::new(given), spans, parents, top_down, again }
    }
}

type Row<'a> = (Span<'a>, usize);

/// Of the rows of one span (its id, kind and service) the one that ends last, then the one that says what was used.
fn each_once<'a>(rows: &[Span<'a>]) -> (Vec<Row<'a>>, Vec<(usize, usize)>) {
    let mut kept: HashMap<_, Row<'a>> = HashMap::with_capacity(rows.len());
    let mut lost = Vec::new();
    for (given, span) in rows.iter().enumerate() {
        steps::take(1);
        let identity = (span.id, span.kind, span.service);
        match kept.entry(identity) {
            Entry::Vacant(place) => _ = place.insert((*span, given)),
            Entry::Occupied(mut place) => {
                let says = |span: &Span<'a>| (span.end, span.has_usage, *span);
                let other = if says(span) > says(&place.get().0) { place.insert((*span, given)).1 } else { given };
                lost.push((identity, other));
            }
        }
    }
    let row_of = |identity| kept.get(&identity).map(|(_, given)| *given);
    let again = lost.into_iter().filter_map(|(identity, given)| Some((given, row_of(identity)?))).collect();
    let mut kept: Vec<Row<'a>> = kept.into_values().collect();
    kept.sort_unstable();
    (kept, again)
}

/// Who of the spans that share an id is meant by it.
#[derive(Debug, Default)]
struct Named<'a> {
    /// Of all services: the side that is called, if there is one, because what it did hangs below it.
    anywhere: HashMap<SpanId, Node>,
    /// Of one service.
    in_service: HashMap<(SpanId, &'a str), Node>,
    /// The side that calls.
    caller: HashMap<SpanId, Node>,
}

impl<'a> Named<'a> {
    fn new(spans: &PerNode<Span<'a>>) -> Self {
        let mut named = Self::default();
        for (node, span) in spans.iter() {
            steps::take(1);
            if span.kind.is_called() {
                replace_caller(named.anywhere.entry(span.id), node, spans);
                replace_caller(named.in_service.entry((span.id, span.service)), node, spans);
            } else {
                named.anywhere.entry(span.id).or_insert(node);
                named.in_service.entry((span.id, span.service)).or_insert(node);
                named.caller.entry(span.id).or_insert(node);
            }
        }
        named
    }
}

/// The first side that is called stays; any other span gives way to it.
fn replace_caller<K>(entry: Entry<'_, K, Node>, node: Node, spans: &PerNode<Span<'_>>) {
    let found = entry.or_insert(node);
    if !spans[*found].kind.is_called() {
        *found = node;
    }
}

fn parents(spans: &PerNode<Span<'_>>) -> PerNode<Option<Node>> {
    let named = Named::new(spans);
    let root = spans.iter().find(|(_, span)| span.place == Place::Root).map(|(node, _)| node);
    let mut parents = spans.of_same(None);
    for (node, span) in spans.iter() {
        steps::take(1);
        let caller = if span.kind.is_called() { named.caller.get(&span.id).copied() } else { None };
        parents[node] = caller.or_else(|| match span.place {
            Place::Root => None,
            Place::BelowTheRoot => root,
            Place::Below(parent) => {
                named.in_service.get(&(parent, span.service)).or_else(|| named.anywhere.get(&parent)).copied()
            }
        });
    }
    parents
}

/// Where a circle of parents is cut: above the span of it that began first.
fn cut_circles(parents: &mut PerNode<Option<Node>>) {
    let mut seen_on: PerNode<Option<Node>> = parents.of_same(None);
    for start in parents.nodes() {
        let mut here = Some(start);
        while let Some(node) = here.filter(|node| seen_on[*node].is_none()) {
            steps::take(1);
            seen_on[node] = Some(start);
            here = parents[node];
        }
        // the way came back to itself, and not to one that was gone before
        if let Some(node) = here.filter(|node| seen_on[*node] == Some(start)) {
            let first = first_of_circle(parents, node);
            parents[first] = None;
        }
    }
}

fn first_of_circle(parents: &PerNode<Option<Node>>, node: Node) -> Node {
    let (mut first, mut here) = (node, parents[node]);
    while let Some(other) = here.filter(|other| *other != node) {
        steps::take(1);
        first = first.min(other);
        here = parents[other];
    }
    first
}

/// Each way up is walked once, as far as it is new, and then written down from its upper end.
fn top_down(parents: &PerNode<Option<Node>>) -> Vec<Node> {
    let mut is_placed = parents.of_same(false);
    let (mut placed, mut way) = (Vec::new(), Vec::new());
    for start in parents.nodes() {
        let mut here = Some(start);
        while let Some(node) = here.filter(|node| !is_placed[*node]) {
            steps::take(1);
            is_placed[node] = true;
            way.push(node);
            here = parents[node];
        }
        placed.extend(way.drain(..).rev());
    }
    placed
}
