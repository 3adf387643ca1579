//! Counting takes time in proportion to the spans, whatever their shape, and none of them is too deep.

use super::super::{Class, Kind, Place, Source, Span, TrustedId, Verdict, count};
use crate::ids::SpanId;
use crate::steps;

const FEW: usize = 2_000;
const MANY: usize = 20_000;
/// The most that one request may have, and none of them may be too deep.
const DEEP: usize = 100_000;

/// Steps a span, at most. Those that a sorted list costs grow with the logarithm.
const STEPS_MAX: u64 = 120;

fn id(number: usize) -> SpanId {
    SpanId::new((number as u64 + 1).to_be_bytes()).unwrap()
}

fn span(number: usize, operation: &str) -> Span<'static> {
    Span {
        start: number as i64,
        id: id(number),
        kind: Kind::Internal,
        service: "app",
        end: number as i64 + 1,
        place: number.checked_sub(1).map_or(Place::Root, |parent| Place::Below(id(parent))),
        class: Class::of(operation),
        source: Source::Scope(""),
        response_id: None,
        has_usage: !operation.is_empty(),
        tokens: None,
        is_error: false,
    }
}

/// A span by its number, and as many names as there are spans.
type Shape = fn(usize, &'static [String]) -> Span<'static>;

/// How many calls so many spans are.
type Calls = fn(usize) -> usize;

const SHAPES: [(&str, Shape, Calls); 11] = [
    ("a chain of chats", |n, _| span(n, "chat"), |_| 1),
    ("a chain of agents", |n, _| span(n, "invoke_agent"), |_| 1),
    ("a chain with a call at each end", |n, _| if n == 0 { span(n, "chat") } else { span(n, "") }, |_| 1),
    (
        "a chain of answers, each below one that failed or used less",
        |n, _| Span { has_usage: false, is_error: n % 2 == 0, ..span(n, "chat") },
        |_| 1,
    ),
    ("a chain that began at its end", |n, _| Span { start: -(n as i64), ..span(n, "chat") }, |_| 1),
    (
        "a circle",
        |n, names| {
            let parent = n.checked_sub(1).unwrap_or(names.len() - 1);
            Span { place: Place::Below(id(parent)), ..span(n, "chat") }
        },
        |_| 1,
    ),
    (
        "a chat with all others below it",
        |n, _| {
            if n == 0 { span(n, "chat") } else { Span { place: Place::Below(id(0)), ..span(n, "chat") } }
        },
        |n| n - 1,
    ),
    ("one id in all services", |n, names| Span { id: id(0), service: &names[n], ..span(n, "chat") }, |n| n),
    (
        "one response id from two sources",
        |n, _| Span {
            place: Place::Below(id(usize::MAX - 1)),
            source: if n % 2 == 0 { Source::Scope("") } else { Source::CapturedCall },
            response_id: TrustedId::new("koboldcpp"),
            ..span(n, "chat")
        },
        |n| n / 2,
    ),
    (
        "one response id from very many sources",
        |n, names| Span {
            place: Place::Below(id(usize::MAX - 1)),
            source: Source::Scope(if n % 2 == 0 { "" } else { &names[n] }),
            response_id: TrustedId::new("koboldcpp"),
            ..span(n, "chat")
        },
        |n| n - 16,
    ),
    (
        "calls that have many sources and many ids in common",
        |n, names| Span {
            place: if n < 2 { Place::Root } else { Place::Below(id(n - 2)) },
            source: Source::Scope(&names[n / 2]),
            response_id: TrustedId::new(&names[n / 2]),
            ..span(n, "chat")
        },
        |_| 2,
    ),
];

#[test]
fn many_spans_cost_as_many_steps_each_as_a_few() {
    let (few, many) = (names(FEW), names(MANY));
    for (what, shape, calls) in SHAPES {
        for names in [few, many] {
            check(what, shape, calls, names);
        }
    }
}

#[test]
fn no_trace_is_too_deep() {
    let names = names(DEEP);
    for (what, shape, calls) in SHAPES.into_iter().filter(|(what, ..)| ["a chain of chats", "a circle"].contains(what))
    {
        check(what, shape, calls, names);
    }
}

fn names(count: usize) -> &'static [String] {
    Vec::leak((0..count).map(|number| format!("name {number}")).collect::<Vec<_>>())
}

fn check(what: &str, shape: Shape, calls: Calls, names: &'static [String]) {
    let spans: Vec<Span<'static>> = (0..names.len()).map(|number| shape(number, names)).collect();
    let (counted, steps) = steps::of(|| count(&spans));
    let (from_root, more) = steps::of(|| counted.lineage.handed_down(|at| (at == 0).then_some(())));
    assert!(from_root.len() == names.len() && more <= names.len() as u64, "{what}: {more} for {}", names.len());
    assert_eq!(counted.calls.len(), calls(names.len()), "{what}: {}", names.len());
    let judged = counted.verdicts.iter().filter(|verdict| **verdict == Verdict::Call).count();
    assert_eq!(judged, counted.calls.len(), "{what}");
    assert!(steps > 0 && steps <= STEPS_MAX * names.len() as u64, "{what}: {steps} for {}", names.len());
}
