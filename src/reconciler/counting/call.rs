//! A call from its reports: the first one is the call, and what it does not know comes from the others, in their order. Whose
//! tokens and cost it has is in `genai::counting::merge`, whose session and user in `names.rs`.

use super::names::{HandedDown, Kind, shown};
use super::row::reported_by;
use crate::clickhouse::rollups::rows::{ReportRow, SpanRow};
use crate::genai::cost::{COMPUTED, UNREADABLE};
use crate::genai::counting::Report;
use crate::genai::counting::merge::{self, CostIs, Tokens};
use crate::genai::operation::{EMBEDDINGS, RERANK};
use std::collections::{BTreeSet, HashSet};

/// Timings of which only the arrival is known, or not even that: they say nothing of how long a call took.
const UNTIMED: [&str; 2] = ["ingest", "unknown"];

/// The row of a call; `None` without a report.
pub(super) fn merged<'r>(reports: &[(&'r SpanRow, Report)], handed_down: &HandedDown<'r>) -> Option<ReportRow> {
    let (counted, _) = reports.first()?;
    let rows = || reports.iter().map(|(row, _)| *row);
    // an attempt that failed below a call that did not says nothing of the call
    let deciding = || reports.iter().filter(|(_, report)| report.decides_failure()).map(|(row, _)| *row);
    let text = |of: fn(&SpanRow) -> &String| rows().map(of).find(|text| !text.is_empty()).cloned().unwrap_or_default();
    let error =
        |of: fn(&SpanRow) -> &String| deciding().map(of).find(|text| !text.is_empty()).cloned().unwrap_or_default();
    let name = |kind: Kind| shown(handed_down.of_call(kind, reports));
    let derived = || rows().map(|row| &row.session).find(|session| !session.is_empty());
    let list =
        |of: fn(&SpanRow) -> &Vec<String>| rows().map(of).find(|list| !list.is_empty()).cloned().unwrap_or_default();
    let tokens = merge::tokens(&rows().map(tokens_of).collect::<Vec<_>>());
    let knows = |(row, _): &(&SpanRow, Report)| {
        let tier = usize::from(!row.service_tier.is_empty());
        tokens_of(row).known_of(&tokens) + tier
    };
    let cost = merge::cost(reports, |(row, _)| cost_is(row), knows).map_or(*counted, |(row, _)| *row);
    let session = handed_down.of_call(Kind::Session, reports).or_else(derived);
    let values = ReportRow {
        duration: rows().find_map(known_duration),
        provider: text(|row| &row.provider),
        request_model: text(|row| &row.request_model),
        response_model: text(|row| &row.response_model),
        model: rows().map(model_of).find(|model| !model.is_empty()).cloned().unwrap_or_default(),
        response_id: text(|row| &row.response_id),
        session_id: shown(session),
        conversation_id: name(Kind::Conversation),
        user_id: name(Kind::User),
        agent_name: name(Kind::Agent),
        workflow_name: name(Kind::Workflow),
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        cache_read_tokens: tokens.cache_read,
        cache_write_tokens: tokens.cache_write,
        cache_write_1h_tokens: tokens.cache_write_1h,
        reasoning_tokens: tokens.reasoning,
        input_audio_tokens: tokens.input_audio,
        output_audio_tokens: tokens.output_audio,
        cost_total: cost.cost_total,
        cost_input: cost.cost_input,
        cost_output: cost.cost_output,
        cost_source: cost.cost_source.clone(),
        price_id: cost.price_id.clone(),
        price_book: cost.price_book.clone(),
        service_tier: text(|row| &row.service_tier),
        time_to_first_token: rows().find_map(|row| row.time_to_first_token),
        streaming: rows().find_map(|row| row.streaming),
        finish_reasons: list(|row| &row.finish_reasons),
        finish_reasons_normalized: list(|row| &row.finish_reasons_normalized),
        is_error: u8::from(deciding().any(|row| row.is_error)),
        error_type: error(|row| &row.error_type),
        error_message: error(|row| &row.error_message),
        reported_by: rows().map(reported_by).collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect(),
        reports: rows().map(|row| &row.span).collect::<HashSet<_>>().len() as u64,
        ..alone(counted, "call")
    };
    Some(with_total(values))
}

fn tokens_of(row: &SpanRow) -> Tokens {
    Tokens {
        input: row.input_tokens,
        output: row.output_tokens,
        cache_read: row.cache_read_tokens,
        cache_write: row.cache_write_tokens,
        cache_write_1h: row.cache_write_1h_tokens,
        reasoning: row.reasoning_tokens,
        input_audio: row.input_audio_tokens,
        output_audio: row.output_audio_tokens,
    }
}

fn cost_is(row: &SpanRow) -> CostIs {
    match row.cost_total {
        None if row.cost_source == UNREADABLE => CostIs::Unreadable,
        None => CostIs::Unknown,
        Some(_) if row.cost_source == COMPUTED => CostIs::Computed,
        Some(_) => CostIs::Given,
    }
}

/// The row of a report with what it says itself.
pub(super) fn alone(row: &SpanRow, counted_as: &str) -> ReportRow {
    with_total(ReportRow {
        workspace: row.workspace.clone(),
        timestamp: row.began,
        trace_id: row.trace.clone(),
        span_id: row.span.clone(),
        span_kind: row.kind.clone(),
        service_name: row.service.clone(),
        parent_span_id: row.parent.clone(),
        span_name: row.name.clone(),
        duration: known_duration(row),
        operation: row.operation.clone(),
        counted_as: counted_as.to_owned(),
        provider: row.provider.clone(),
        request_model: row.request_model.clone(),
        response_model: row.response_model.clone(),
        model: model_of(row).clone(),
        response_id: row.response_id.clone(),
        session_id: row.session.clone(),
        conversation_id: row.conversation.clone(),
        user_id: row.user.clone(),
        agent_name: row.agent.clone(),
        workflow_name: row.workflow.clone(),
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        cache_read_tokens: row.cache_read_tokens,
        cache_write_tokens: row.cache_write_tokens,
        cache_write_1h_tokens: row.cache_write_1h_tokens,
        reasoning_tokens: row.reasoning_tokens,
        input_audio_tokens: row.input_audio_tokens,
        output_audio_tokens: row.output_audio_tokens,
        cost_total: row.cost_total,
        cost_input: row.cost_input,
        cost_output: row.cost_output,
        cost_source: row.cost_source.clone(),
        price_id: row.price_id.clone(),
        price_book: row.price_book.clone(),
        service_tier: row.service_tier.clone(),
        time_to_first_token: row.time_to_first_token,
        streaming: row.streaming,
        timing_quality: row.timing_quality.clone(),
        finish_reasons: row.finish_reasons.clone(),
        finish_reasons_normalized: row.finish_reasons_normalized.clone(),
        is_error: u8::from(row.is_error),
        error_type: row.error_type.clone(),
        error_message: row.error_message.clone(),
        reported_by: vec![reported_by(row).to_owned()],
        reports: 1,
        ..ReportRow::default()
    })
}

/// As `TotalTokens` of `otel_traces`: an embedding and a ranking have no output.
fn with_total(mut row: ReportRow) -> ReportRow {
    let has_no_output = [EMBEDDINGS, RERANK].contains(&&*row.operation);
    let output = if has_no_output { row.output_tokens.or(Some(0)) } else { row.output_tokens };
    row.total_tokens = row.input_tokens.zip(output).map(|(input, output)| input.saturating_add(output));
    row
}

fn known_duration(row: &SpanRow) -> Option<u64> {
    (!UNTIMED.contains(&&*row.timing_quality)).then_some(row.duration)
}

fn model_of(row: &SpanRow) -> &String {
    if row.response_model.is_empty() { &row.request_model } else { &row.response_model }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genai::counting::Role;

    fn row(span: &str, more: impl FnOnce(&mut SpanRow)) -> SpanRow {
        let mut row = SpanRow { span: span.to_owned(), operation: "chat".to_owned(), ..SpanRow::default() };
        more(&mut row);
        row
    }

    fn merge_all(rows: &[(SpanRow, Role)]) -> ReportRow {
        let reports = rows.iter().enumerate().map(|(at, (row, role))| (row, Report { span: at, role: *role }));
        merged(&reports.collect::<Vec<_>>(), &HandedDown::default()).unwrap()
    }

    #[test]
    fn a_call_has_the_usage_of_one_report_and_what_others_that_agree_know_of_it() {
        let server = row("server", |row| (row.input_tokens, row.output_tokens) = (Some(100), Some(20)));
        let client = row("client", |row| {
            (row.input_tokens, row.output_tokens, row.reasoning_tokens) = (Some(100), Some(21), Some(7));
            row.user = "ana".into();
        });
        let captured = row("captured", |row| {
            (row.input_tokens, row.output_tokens, row.cache_read_tokens) = (Some(100), Some(20), Some(64));
            row.join_state = "joined".to_owned();
        });
        let call = merge_all(&[(server, Role::Counted), (client, Role::Above), (captured, Role::Beside)]);
        assert_eq!((call.span_id.as_str(), &*call.user_id), ("server", "ana"));
        assert_eq!((call.input_tokens, call.output_tokens, call.total_tokens), (Some(100), Some(20), Some(120)));
        assert_eq!((call.cache_read_tokens, call.reasoning_tokens), (Some(64), None));
        assert_eq!((call.reports, call.reported_by), (3, vec!["pair".to_owned(), "span".to_owned()]));
    }

    #[test]
    fn a_cost_that_was_sent_wins_over_one_from_a_price_book() {
        let priced = row("priced", |row| {
            (row.cost_total, row.cost_input) = (Some(30), Some(10));
            (row.cost_source, row.price_book) = (COMPUTED.to_owned(), "2026-11".to_owned());
        });
        let sent = row("sent", |row| row.cost_total = Some(25));
        let call = merge_all(&[(priced.clone(), Role::Counted), (sent, Role::Above)]);
        assert_eq!((call.cost_total, call.cost_input, call.price_book.as_str()), (Some(25), None, ""));
        let call = merge_all(&[(row("unknown", |_| ()), Role::Counted), (priced, Role::Above)]);
        assert_eq!((call.cost_total, call.cost_input, call.price_book.as_str()), (Some(30), Some(10), "2026-11"));
    }

    #[test]
    fn a_cost_from_a_price_book_is_that_of_the_report_that_knows_the_cached_tokens_and_the_tier() {
        let report = |span: &str, read: Option<u64>, tier: &str, cost: i64| {
            row(span, |row| {
                (row.input_tokens, row.output_tokens, row.cache_read_tokens) = (Some(100), Some(20), read);
                (row.cost_total, row.cost_source) = (Some(cost), COMPUTED.to_owned());
                row.service_tier = tier.to_owned();
            })
        };
        let plain = || (report("span", None, "", 300), Role::Counted);
        for (other, want) in [
            (report("captured", Some(64), "", 200), 200),
            (report("captured", None, "batch", 150), 150),
            (report("captured", None, "", 299), 300),
        ] {
            assert_eq!(merge_all(&[plain(), (other, Role::Beside)]).cost_total, Some(want));
        }
    }

    #[test]
    fn an_attempt_inside_a_call_that_was_answered_is_no_failure_of_it() {
        let failed = || row("failed", |row| (row.is_error, row.error_type) = (true, "429".to_owned()));
        for (role, is_error, error) in [(Role::Inside, 0, ""), (Role::Above, 1, "429")] {
            let call = merge_all(&[(row("call", |_| ()), Role::Counted), (failed(), role)]);
            assert_eq!((call.is_error, call.error_type.as_str()), (is_error, error), "{role:?}");
        }
    }
}
