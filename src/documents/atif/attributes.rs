//! What all spans of a trajectory have, and what measures become.

use super::parts::Metrics;
use super::trajectory::Trajectory;
use crate::documents::SOURCE;
use crate::documents::span::DocumentSpan;
use crate::genai::semconv;
use crate::json::document::Value;
use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;

/// The value of `millrace.source`.
const ATIF: &str = "atif";
/// What a document says beside its conversation; content.
const CONTENT: &str = "millrace.document.content";

/// Puts what all spans of a trajectory have.
pub(super) fn put_common<'d>(span: &mut DocumentSpan<'d>, trajectory: &Trajectory<'d>, session: Option<&str>) {
    span.service_name = trajectory.agent.name.clone();
    span.put(SOURCE, ATIF);
    if let Some(session) = session {
        span.put(semconv::SESSION_ID, session.to_owned());
        span.put(semconv::CONVERSATION_ID, session.to_owned());
    }
    span.put("gen_ai.agent.name", trajectory.agent.name.clone());
    if let Some(model) = &trajectory.agent.model_name
        && !span.attributes.iter().any(|(key, _)| key == semconv::REQUEST_MODEL)
    {
        span.put(semconv::REQUEST_MODEL, model.clone());
    }
    if let Some(id) = &trajectory.trajectory_id {
        span.put("atif.trajectory_id", id.clone());
    }
}

/// Puts tokens and cost.
pub(super) fn put_metrics(span: &mut DocumentSpan<'_>, metrics: &Metrics) {
    span.put_count(semconv::USAGE_INPUT_TOKENS, metrics.input);
    span.put_count(semconv::USAGE_OUTPUT_TOKENS, metrics.output);
    span.put_count(semconv::USAGE_CACHE_READ, metrics.cached);
    if let Some(cost) = metrics.cost {
        span.put(semconv::USAGE_COST, cost.to_string());
    }
}

/// Puts what is said beside the conversation, which may hold anything.
pub(super) fn put_beside(span: &mut DocumentSpan<'_>, limits: Limits, members: &[(&str, Option<Value<'_>>)]) {
    if members.iter().all(|(_, value)| value.is_none()) {
        return;
    }
    let mut json = JsonWriter::new(limits);
    json.begin_object();
    for (name, value) in members {
        if let Some(value) = value {
            json.member(name, *value);
        }
    }
    json.end_object();
    span.put(CONTENT, json.finish().0);
}
