//! The fields by which spans can be filtered, and where each is.

use crate::query::answer::Refusal;
use crate::query::conditions::Place;
use crate::query::expressions::{EVALUATION, MODEL, PROJECT, SOURCE, STATUS, TEST_CASE};
use crate::query::filter::{Condition, Field, Fields, Filter, Kind};
use crate::query::q::Search;
use crate::query::request::Api;

const KINDS: [&str; 10] =
    ["LLM", "CHAIN", "TOOL", "RETRIEVER", "EMBEDDING", "AGENT", "RERANKER", "EVALUATOR", "GUARDRAIL", "UNKNOWN"];
/// How a span or a trace ended.
pub(crate) const STATUSES: [&str; 4] = ["success", "error", "cancelled", "unknown"];

const FIELDS: [Field; 34] = [
    Field::new("agent_id", Kind::Text),
    Field::new("agent_name", Kind::Text),
    Field::extension("cached_tokens", Kind::Number),
    Field::extension("cost_total_usd", Kind::Number),
    Field::new("created_at", Kind::Known),
    Field::new("dataset_id", Kind::Known),
    Field::new("dataset_name", Kind::Known),
    Field::new("dataset_version", Kind::Known),
    Field::extension("duration_ms", Kind::Number),
    Field::new("entity_type", Kind::Known),
    Field::new("evaluation_id", Kind::Text),
    Field::new("evaluation_run_id", Kind::Text),
    Field::new("evaluation_sha", Kind::Text),
    Field::new("id", Kind::Known),
    Field::extension("input_tokens", Kind::Number),
    Field::new("kind", Kind::Choice(&KINDS)),
    Field::new("model", Kind::Text),
    Field::new("name", Kind::Known),
    Field::extension("output_tokens", Kind::Number),
    Field::new("parent_span_id", Kind::Text),
    Field::new("project", Kind::Text),
    Field::new("prompt_name", Kind::Known),
    Field::new("prompt_version", Kind::Known),
    Field::new("provider", Kind::Text),
    Field::new("session_id", Kind::Text),
    Field::new("source", Kind::Text),
    Field::new("started_at", Kind::Time),
    Field::new("status", Kind::Choice(&STATUSES)),
    Field::new("test_case_id", Kind::Text),
    Field::new("tool_name", Kind::Text),
    Field::extension("total_tokens", Kind::Number),
    Field::new("trace_id", Kind::Text),
    Field::new("updated_at", Kind::Known),
    Field::new("workspace", Kind::Known),
];

pub(super) fn of(api: &Api) -> Fields {
    Fields { is_extended: !api.strict_reference, ..ALL }
}

/// With what the reference's list does not take.
pub(super) const ALL: Fields = Fields { subject: "span", fields: &FIELDS, is_extended: true };

/// What the spans of a list are like, with the look-back of the reference where that is asked for.
pub(super) fn condition(api: &Api, filter: Option<&Filter>, search: Option<&Search>) -> Result<Condition, Refusal> {
    let given = filter.map(|filter| of(api).check(filter)).transpose()?;
    let parts: Vec<Condition> = given.into_iter().collect();
    Ok(api.within_look_back(parts, search))
}

pub(super) fn place(field: &str) -> Option<Place> {
    Some(match field {
        "agent_id" => Place::Text("SpanAttributes['gen_ai.agent.id']"),
        "agent_name" => Place::Text("AgentName"),
        "cached_tokens" => Place::Number("CacheReadTokens"),
        "cost_total_usd" => Place::Number("toFloat64(CostTotal)"),
        "duration_ms" => Place::Number("if(TimingQuality IN ('ingest', 'unknown'), NULL, Duration / 1e6)"),
        "evaluation_id" => Place::Text(EVALUATION),
        "evaluation_run_id" => Place::Text("SpanAttributes['nemo.evaluation.run_id']"),
        "evaluation_sha" => Place::Text("SpanAttributes['nemo.evaluation.sha']"),
        "input_tokens" => Place::Number("InputTokens"),
        "kind" => Place::Kind,
        "model" => Place::Text(MODEL),
        "output_tokens" => Place::Number("OutputTokens"),
        "parent_span_id" => Place::Text("ParentSpanId"),
        "project" => Place::Text(PROJECT),
        "provider" => Place::Text("Provider"),
        "session_id" => Place::Session,
        "source" => Place::Text(SOURCE),
        "started_at" => Place::Time("Timestamp"),
        "status" => Place::Text(STATUS),
        "test_case_id" => Place::Text(TEST_CASE),
        "tool_name" => Place::Text("ToolName"),
        "total_tokens" => Place::Number("TotalTokens"),
        "trace_id" => Place::Trace("TraceId"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_takes_a_value_has_a_place() {
        for field in &FIELDS {
            assert_eq!(place(field.name).is_some(), !matches!(field.kind, Kind::Known), "{}", field.name);
        }
    }
}
