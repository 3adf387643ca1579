//! What the roll-up tables should have of one trace, from its rows. Pure: the same rows give the same, in whatever order they are.
//!
//! ```text
//! rows -> joined (joined.rs) -> counted (genai::counting) -> a row a report (call.rs) -> a row for the trace
//! ```

use super::call;
use super::joined::join;
use super::names::{self, HandedDown};
use super::row::root_rank;
use crate::clickhouse::rollups::rows::{ReportRow, SpanRow, TraceRow};
use crate::columns::typed::JoinState;
use crate::conventions::{self, Side};
use crate::genai::counting::{self, Class, Kind, Place, Source, Span, TrustedId, Verdict, has_usage};
use crate::ids::SpanId;
use crate::traces::TraceKey;
use std::collections::{BTreeSet, HashSet};

/// What the tables should have of a trace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RolledUp {
    /// One for each report.
    pub(super) reports: Vec<ReportRow>,
    /// `None` for a trace without GenAI spans.
    pub(super) trace: Option<TraceRow>,
}

/// Counts a trace. `rows` are those of its spans that stay; `checksum` is of all that were read.
pub(super) fn roll_up(key: &TraceKey, mut rows: Vec<SpanRow>, checksum: u64) -> RolledUp {
    if rows.iter().all(|row| row.operation.is_empty()) {
        return RolledUp::default();
    }
    // so that sums of texts and ties do not depend on the order in which rows were read
    rows.sort_by(|a, b| (a.began, &a.span, &a.kind, &a.service).cmp(&(b.began, &b.span, &b.kind, &b.service)));
    join(key.1, &mut rows);
    let reports = reports(&rows);
    let trace = of_trace(&rows, &reports, checksum);
    RolledUp { reports, trace: Some(trace) }
}

/// A row for each report.
fn reports(rows: &[SpanRow]) -> Vec<ReportRow> {
    // ids of another form are not ours, and nothing can be said about such spans
    let known: Vec<(&SpanRow, Span<'_>)> = rows.iter().filter_map(|row| Some((row, span_of(row)?))).collect();
    let spans: Vec<Span<'_>> = known.iter().map(|(_, span)| *span).collect();
    let counted = counting::count(&spans);
    let row_at = |at: usize| known.get(at).map(|(row, _)| *row);
    let handed_down = HandedDown::new(&counted.lineage, rows, row_at);
    let calls = counted.calls.iter().filter_map(|call| {
        let reports: Vec<_> = call.reports.iter().filter_map(|report| Some((row_at(report.span)?, *report))).collect();
        call::merged(&reports, &handed_down)
    });
    let others = counted.verdicts.iter().enumerate().filter_map(|(at, verdict)| {
        let call = match verdict {
            Verdict::ReportOf(call) => row_at(*call)?.span.clone(),
            Verdict::Repeats => String::new(),
            Verdict::Call | Verdict::Again(_) | Verdict::NotAReport => return None,
        };
        Some(ReportRow { counted_in: call, ..call::alone(row_at(at)?, verdict.counted_as()) })
    });
    calls.chain(others).collect()
}

fn span_of(row: &SpanRow) -> Option<Span<'_>> {
    let parent = SpanId::from_hex(row.parent.as_bytes()).ok();
    Some(Span {
        start: row.began,
        end: end_of(row),
        id: SpanId::from_hex(row.span.as_bytes()).ok()?,
        kind: Kind::of(&row.kind),
        service: &row.service,
        place: Place::of(parent, &row.join_state),
        class: Class::of(&row.operation),
        source: source_of(row),
        response_id: TrustedId::new(&row.response_id),
        has_usage: has_usage(row.input_tokens, row.output_tokens, row.cost_total.is_some_and(|cost| cost > 0)),
        // some count reasoning beside the output
        tokens: row
            .input_tokens
            .zip(row.output_tokens)
            .map(|(input, output)| (input, output.saturating_sub(row.reasoning_tokens.unwrap_or(0)))),
        is_error: row.is_error,
    })
}

fn source_of(row: &SpanRow) -> Source<'_> {
    match row.join_state.as_str() {
        "" => Source::Scope(&row.scope),
        state if state == JoinState::Event.literal() => source_of_event(&row.name),
        _ => Source::CapturedCall,
    }
}

fn source_of_event(name: &str) -> Source<'_> {
    match conventions::side_of_message(name) {
        Some(side) => Source::Messages { are_answers: side == Side::Output },
        None => Source::Event(name),
    }
}

pub(super) fn end_of(row: &SpanRow) -> i64 {
    row.began.saturating_add_unsigned(row.duration)
}

fn of_trace(rows: &[SpanRow], reports: &[ReportRow], checksum: u64) -> TraceRow {
    let calls: Vec<&ReportRow> = reports.iter().filter(|report| report.counted_as == "call").collect();
    let root = rows.iter().min_by(|one, other| root_rank(one).cmp(&root_rank(other)));
    let distinct = |ids: &mut dyn Iterator<Item = &str>| ids.collect::<HashSet<_>>().len() as u64;
    let began = rows.iter().map(|row| row.began).min().unwrap_or_default();
    let ended = rows.iter().map(end_of).max().unwrap_or_default();
    let (input, output) = (sum(&calls, |call| call.input_tokens), sum(&calls, |call| call.output_tokens));
    let name = |kind: names::Kind| names::shown(kind.of_trace(rows));
    let input_preview = rows.iter().find(|row| !row.input_preview.is_empty());
    let output_preview = rows.iter().filter(|row| !row.output_preview.is_empty()).max_by_key(|row| end_of(row));
    TraceRow {
        workspace: root.map_or_else(String::new, |root| root.workspace.clone()),
        timestamp: began,
        trace_id: root.map_or_else(String::new, |root| root.trace.clone()),
        duration: ended.saturating_sub(began).max(0).unsigned_abs(),
        root_span_id: root.map_or_else(String::new, |root| root.span.clone()),
        root_name: root.map_or_else(String::new, |root| root.name.clone()),
        root_service: root.map_or_else(String::new, |root| root.service.clone()),
        is_orphan: u8::from(root.is_none_or(|root| root_rank(root).0 != 0)),
        spans: distinct(&mut rows.iter().map(|row| &*row.span)),
        errors: distinct(&mut rows.iter().filter(|row| row.is_error).map(|row| &*row.span)),
        calls: calls.len() as u64,
        input_tokens: input,
        output_tokens: output,
        total_tokens: input.map_or(output, |input| Some(input.saturating_add(output.unwrap_or(0)))),
        cache_read_tokens: sum(&calls, |call| call.cache_read_tokens),
        cache_write_tokens: sum(&calls, |call| call.cache_write_tokens),
        cache_write_1h_tokens: sum(&calls, |call| call.cache_write_1h_tokens),
        reasoning_tokens: sum(&calls, |call| call.reasoning_tokens),
        cost_total: calls.iter().filter_map(|call| call.cost_total).map(i128::from).reduce(|a, b| a + b),
        models: sorted(calls.iter().map(|call| &*call.model)),
        providers: sorted(calls.iter().map(|call| &*call.provider)),
        agents: sorted(rows.iter().map(|row| &*row.agent)),
        workflows: sorted(rows.iter().map(|row| &*row.workflow)),
        session_id: name(names::Kind::Session),
        user_id: name(names::Kind::User),
        input_preview: input_preview.map_or_else(String::new, |row| row.input_preview.clone()),
        output_preview: output_preview.map_or_else(String::new, |row| row.output_preview.clone()),
        checksum,
        ..TraceRow::default()
    }
}

/// `None` if no call knows it.
fn sum(calls: &[&ReportRow], of: impl Fn(&ReportRow) -> Option<u64>) -> Option<u64> {
    calls.iter().filter_map(|call| of(call)).reduce(u64::saturating_add)
}

fn sorted<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    texts.filter(|text| !text.is_empty()).collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}
