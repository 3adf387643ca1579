//! What holds for all traces, also for those that nobody would send.

use super::super::{Class, Counted, Kind, Place, Role, Source, Span, TrustedId, Verdict, count};
use crate::ids::SpanId;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::{BTreeMap, BTreeSet};

const OPERATIONS: [&str; 9] =
    ["chat", "chat", "generate_content", "embeddings", "rerank", "invoke_agent", "execute_tool", "my_operation", ""];

fn id(number: u64) -> SpanId {
    SpanId::new((number + 1).to_be_bytes()).unwrap()
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        2 => Just(Place::Root),
        10 => (0..14_u64).prop_map(|number| Place::Below(id(number))),
        2 => Just(Place::BelowTheRoot),
    ]
}

/// Ids, parents and times at random: circles, spans of one id, parents that are not there.
fn span() -> impl Strategy<Value = Span<'static>> {
    let identity = (0..12_u64, select(&[Kind::Internal, Kind::Client, Kind::Server][..]), select(&["app", "vllm"][..]));
    let source = select(&[Source::Scope("langchain"), Source::Scope("openai"), Source::CapturedCall][..]);
    let response_id = select(&[None, None, Some("r-1"), Some("r-2")][..]);
    let times = (0..20_i64, 0..10_i64);
    (identity, times, place(), select(&OPERATIONS[..]), source, response_id, any::<bool>(), any::<bool>()).prop_map(
        |((number, kind, service), (start, lasts), place, operation, source, response_id, has_usage, is_error)| Span {
            start,
            id: id(number),
            kind,
            service,
            end: start + lasts,
            place,
            class: Class::of(operation),
            source,
            response_id: response_id.and_then(TrustedId::new),
            has_usage,
            tokens: None,
            is_error,
        },
    )
}

fn spans() -> impl Strategy<Value = Vec<Span<'static>>> {
    prop::collection::vec(span(), 0..24)
}

/// Spans that form trees: each once, below one that is there.
fn forest() -> impl Strategy<Value = Vec<Span<'static>>> {
    prop::collection::vec((span(), any::<Option<Index>>()), 1..24).prop_map(|spans| {
        let with_parent = |(number, (span, parent)): (usize, (Span<'static>, Option<Index>))| Span {
            id: id(number as u64),
            kind: Kind::Internal,
            place: match parent {
                Some(parent) if number > 0 => Place::Below(id(parent.index(number) as u64)),
                _ => Place::Root,
            },
            service: "app",
            ..span
        };
        spans.into_iter().enumerate().map(with_parent).collect()
    })
}

/// What became of the rows, said without their places in the list.
fn said<'a>(rows: &[Span<'a>], counted: &Counted) -> BTreeMap<Span<'a>, Vec<String>> {
    let mut said: BTreeMap<Span<'a>, Vec<String>> = BTreeMap::new();
    for (row, verdict) in rows.iter().zip(&counted.verdicts) {
        let verdict = match verdict {
            Verdict::ReportOf(call) => format!("report of {:?}", rows[*call]),
            Verdict::Again(other) => format!("{:?} again", rows[*other]),
            other => format!("{other:?}"),
        };
        said.entry(*row).or_default().push(verdict);
    }
    said.values_mut().for_each(|verdicts| verdicts.sort());
    said
}

fn calls<'a>(rows: &[Span<'a>], counted: &Counted) -> Vec<Vec<(Span<'a>, Role)>> {
    let reports = |call: &super::super::Call| call.reports.iter().map(|of| (rows[of.span], of.role)).collect();
    counted.calls.iter().map(reports).collect()
}

/// Whether a span lies below another one, in a forest.
fn is_below(spans: &[Span<'_>], mut below: usize, above: usize) -> bool {
    while let Place::Below(parent) = spans[below].place {
        below = spans.iter().position(|span| span.id == parent).unwrap();
        if below == above {
            return true;
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_the_rows_does_not_matter(rows in spans(), seed in prop::collection::vec(any::<u32>(), 24)) {
        let mut shuffled: Vec<_> = rows.iter().copied().zip(seed).collect();
        shuffled.sort_by_key(|(_, place)| *place);
        let shuffled: Vec<_> = shuffled.into_iter().map(|(row, _)| row).collect();
        let (one, other) = (count(&rows), count(&shuffled));
        prop_assert_eq!(said(&rows, &one), said(&shuffled, &other));
        prop_assert_eq!(calls(&rows, &one), calls(&shuffled, &other));
    }

    #[test]
    fn rows_that_come_again_change_nothing(rows in spans(), again in prop::collection::vec(any::<Index>(), 0..8)) {
        let mut repeated = rows.clone();
        repeated.extend(again.iter().filter(|_| !rows.is_empty()).map(|index| *index.get(&rows)));
        let (one, other) = (count(&rows), count(&repeated));
        prop_assert_eq!(calls(&rows, &one), calls(&repeated, &other));
        for (row, verdicts) in said(&repeated, &other) {
            let mut before = said(&rows, &one).remove(&row).unwrap();
            let mut now = verdicts;
            before.retain(|verdict| !verdict.ends_with("again"));
            now.retain(|verdict| !verdict.ends_with("again"));
            prop_assert_eq!(before, now);
        }
    }

    #[test]
    fn every_report_has_one_verdict_and_every_call_is_one_of_its_reports(rows in spans()) {
        let counted = count(&rows);
        prop_assert_eq!(counted.verdicts.len(), rows.len());
        let mut reported = BTreeSet::new();
        for call in &counted.calls {
            let first = call.reports[0];
            prop_assert_eq!((counted.verdicts[first.span], first.role), (Verdict::Call, Role::Counted));
            prop_assert!(reported.insert(first.span));
            for other in &call.reports[1..] {
                prop_assert_eq!(counted.verdicts[other.span], Verdict::ReportOf(first.span));
                prop_assert!(other.role != Role::Counted && reported.insert(other.span));
            }
            // tokens and cost are the call's
            prop_assert!(rows[first.span].has_usage || call.reports.iter().all(|of| !rows[of.span].has_usage));
        }
        for (row, verdict) in counted.verdicts.iter().enumerate() {
            let of_a_call = matches!(verdict, Verdict::Call | Verdict::ReportOf(_));
            prop_assert_eq!(of_a_call, reported.contains(&row));
            if let Verdict::Again(other) = verdict {
                let identity = |row: usize| (rows[row].id, rows[row].kind, rows[row].service);
                prop_assert_eq!(identity(row), identity(*other));
                prop_assert!(!matches!(counted.verdicts[*other], Verdict::Again(_)));
            } else if rows[row].is_report() {
                prop_assert!(*verdict != Verdict::NotAReport);
            } else {
                prop_assert!(*verdict == Verdict::NotAReport || rows[row].has_usage);
            }
        }
    }

    #[test]
    fn what_was_used_is_counted_by_a_call_at_or_below_it(spans in forest()) {
        let counted = count(&spans);
        let has_lost_call = spans.iter().any(|span| span.place == Place::BelowTheRoot);
        for (at, span) in spans.iter().enumerate().filter(|(_, span)| span.has_usage) {
            let is_counted = |call: &usize| counted.verdicts[*call] == Verdict::Call && spans[*call].has_usage;
            match counted.verdicts[at] {
                Verdict::Repeats => {
                    let is_counted_below = (0..spans.len()).any(|below| {
                        let call = if let Verdict::ReportOf(call) = counted.verdicts[below] { call } else { below };
                        is_below(&spans, below, at) && is_counted(&call)
                    });
                    prop_assert!(has_lost_call || is_counted_below);
                }
                Verdict::ReportOf(call) => prop_assert!(is_counted(&call)),
                Verdict::NotAReport => prop_assert!(!span.is_report()),
                Verdict::Call => {}
                Verdict::Again(_) => prop_assert!(false, "each span is there once"),
            }
        }
    }

    #[test]
    fn reports_of_one_source_are_one_call_only_if_one_lies_inside_the_other(spans in forest()) {
        for call in count(&spans).calls {
            let sure = || call.reports.iter().filter(|report| report.role != Role::Inside);
            for (one, other) in sure().flat_map(|one| sure().map(move |other| (one.span, other.span))) {
                let is_one_source = spans[one].source == spans[other].source && one != other;
                prop_assert!(!is_one_source || is_below(&spans, one, other) || is_below(&spans, other, one));
            }
        }
    }

    #[test]
    fn among_spans_without_response_ids_a_call_is_what_has_nothing_as_sure_below_it(spans in forest()) {
        let spans: Vec<_> = spans.into_iter().map(|span| Span { response_id: None, source: Source::Scope(""), ..span }).collect();
        let counted = count(&spans);
        for (at, span) in spans.iter().enumerate().filter(|(_, span)| span.is_report()) {
            let is_called = counted.verdicts[at] == Verdict::Call;
            if span.has_usage {
                prop_assert_eq!(is_called, !has_used_report_below(&spans, at), "{:?}", span);
            }
        }
    }
}

/// The rule as it is written down, for reports with usage: whether one lies below, and nothing that works by itself between.
fn has_used_report_below(spans: &[Span<'_>], above: usize) -> bool {
    (0..spans.len()).any(|below| {
        let (mut here, mut asked) = (below, spans[below].model_call());
        if !spans[below].has_usage || asked.is_none() {
            return false;
        }
        while let Place::Below(parent) = spans[here].place {
            here = spans.iter().position(|span| span.id == parent).unwrap();
            let span = &spans[here];
            if here == above || span.is_report() {
                let may_be_one =
                    asked == spans[here].model_call() || asked == Some(super::super::ModelCall::Generation);
                if here == above || !may_be_one {
                    return here == above && may_be_one;
                }
                asked = span.model_call();
            } else if span.class.separates() {
                return false;
            }
        }
        false
    })
}
