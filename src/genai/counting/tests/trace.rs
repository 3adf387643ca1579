//! Traces as text: a line a span, its parent the next line above that is indented less.
//!
//! ```text
//! a chat scope=langchain used        -> report of b
//!   b chat scope=openai used id=r1   -> call
//! c captured used id=r1              -> report of b
//! ```

use super::super::{Class, Kind, Place, Source, Span, TrustedId, Verdict, count};
use crate::ids::SpanId;

/// A trace, and what each of its spans is expected to become.
pub(super) struct Trace<'a> {
    pub(super) spans: Vec<Span<'a>>,
    names: Vec<&'a str>,
    expected: Vec<&'a str>,
}

pub(super) fn id(name: &str) -> SpanId {
    let mut bytes = [0; SpanId::BYTES];
    for (byte, letter) in bytes.iter_mut().zip(name.bytes()) {
        *byte = letter;
    }
    SpanId::new(bytes).expect("a name has letters")
}

impl<'a> Trace<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut trace = Self { spans: Vec::new(), names: Vec::new(), expected: Vec::new() };
        let mut open: Vec<(usize, &str)> = Vec::new();
        for (number, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
            let (said, expected) = line.split_once("->").expect("a line says what is expected");
            let indent = said.len() - said.trim_start().len();
            open.retain(|(other, _)| *other < indent);
            let name = said.split_whitespace().next().expect("a span has a name");
            trace.spans.push(span(said, i64::try_from(number).expect("few lines"), open.last().map(|(_, name)| *name)));
            trace.names.push(name);
            trace.expected.push(expected.trim());
            open.push((indent, name));
        }
        trace
    }

    /// What each span becomes when the rows come in this order, as the text would have it.
    pub(super) fn outcome(&self, order: &[usize]) -> Vec<String> {
        let rows: Vec<Span<'_>> = order.iter().map(|place| self.spans[*place]).collect();
        let name = |row: usize| self.names[order[row]];
        let mut outcome = vec![String::new(); rows.len()];
        for (row, verdict) in count(&rows).verdicts.into_iter().enumerate() {
            outcome[order[row]] = match verdict {
                Verdict::Call => "call".to_owned(),
                Verdict::ReportOf(call) => format!("report of {}", name(call)),
                Verdict::Repeats => "repeats".to_owned(),
                Verdict::Again(other) => format!("{} again", name(other)),
                Verdict::NotAReport => "-".to_owned(),
            };
        }
        outcome
    }

    /// The reports of each call in order of precedence, by name.
    pub(super) fn reports(&self) -> Vec<String> {
        let names = |call: &super::super::Call| call.reports.iter().map(|report| self.names[report.span]).collect();
        count(&self.spans).calls.iter().map(names).map(|names: Vec<&str>| names.join(" ")).collect()
    }

    /// For each span, by name, the nearest of these at or above it.
    pub(super) fn handed_down(&self, from: &[&str]) -> Vec<(&str, &str)> {
        let named = |span: usize| Some(self.names[span]).filter(|name| from.contains(name));
        let handed_down = count(&self.spans).lineage.handed_down(named);
        self.names.iter().copied().zip(handed_down.into_iter().map(|name| name.unwrap_or("-"))).collect()
    }

    pub(super) fn check(&self, what: &str) {
        let forward: Vec<usize> = (0..self.spans.len()).collect();
        let backward: Vec<usize> = forward.iter().rev().copied().collect();
        let turned: Vec<usize> = forward.iter().cycle().skip(forward.len() / 2).take(forward.len()).copied().collect();
        for order in [forward, backward, turned] {
            assert_eq!(self.outcome(&order), self.expected, "{what}, in the order {order:?}");
        }
    }
}

fn span<'a>(said: &'a str, number: i64, parent: Option<&str>) -> Span<'a> {
    let mut words = said.split_whitespace();
    let (name, what) = (words.next().expect("a name"), words.next().expect("an operation"));
    let is_captured = what == "captured";
    let mut span = Span {
        start: number * 100,
        id: id(name),
        kind: Kind::Internal,
        service: "app",
        end: number * 100 + 1_000,
        place: parent
            .map_or(if is_captured { Place::BelowTheRoot } else { Place::Root }, |name| Place::Below(id(name))),
        class: Class::of(match what {
            "captured" => "chat",
            "plain" => "",
            other => other,
        }),
        source: if is_captured { Source::CapturedCall } else { Source::Scope("") },
        response_id: None,
        has_usage: false,
        tokens: None,
        is_error: false,
    };
    for word in words {
        match word.split_once('=') {
            Some(("scope", scope)) => span.source = Source::Scope(scope),
            Some(("event", event)) => span.source = Source::Event(event),
            Some(("messages", which)) => span.source = Source::Messages { are_answers: which == "answers" },
            Some(("tokens", tokens)) => {
                span.tokens = tokens
                    .split_once('+')
                    .map(|(input, output)| (input.parse().expect("a count"), output.parse().expect("a count")));
                span.has_usage = true;
            }
            Some(("id", id)) => span.response_id = TrustedId::new(id),
            Some(("service", service)) => span.service = service,
            Some(("kind", kind)) => span.kind = Kind::of(kind),
            Some(("span", other)) => span.id = id(other),
            Some(("parent", other)) => span.place = Place::Below(id(other)),
            Some(("at", at)) => {
                (span.start, span.end) = (at.parse().expect("a time"), at.parse::<i64>().expect("a time") + 1_000)
            }
            None if word == "used" => span.has_usage = true,
            None if word == "failed" => span.is_error = true,
            _ => panic!("{word} in {said}"),
        }
    }
    span
}
