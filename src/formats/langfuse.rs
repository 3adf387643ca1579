//! Langfuse's export: an observation becomes a span with the attributes that Langfuse's own SDK sends, a score of one an evaluator result.
//!
//! Sources: langfuse-docs, `blob-storage-export-fields.mdx` (`observations_v2/`, `observations/`, `scores/`), and the observations of its public API,
//! which have the same fields in camel case.

use super::evaluation::Evaluation;
use super::span::{Service, Span, as_text, nanos_of, span_id, trace_id};
use super::{Reader, Sink, Source};
use serde_json::Value;

/// A field in both spellings, and the attribute that it becomes.
const FIELDS: [(&[&str], &str); 12] = [
    (&["type"], "langfuse.observation.type"),
    (&["level"], "langfuse.observation.level"),
    (&["status_message", "statusMessage"], "langfuse.observation.status_message"),
    (&["provided_model_name", "model", "providedModelName"], "langfuse.observation.model.name"),
    (&["usage_details", "usageDetails"], "langfuse.observation.usage_details"),
    (&["completion_start_time", "completionStartTime"], "langfuse.observation.completion_start_time"),
    (&["user_id", "userId"], "user.id"),
    (&["session_id", "sessionId"], "session.id"),
    (&["release"], "langfuse.release"),
    (&["version"], "langfuse.version"),
    (&["tags"], "langfuse.trace.tags"),
    (&["trace_name", "traceName"], "langfuse.trace.name"),
];

/// Reads observations.
pub(super) struct Observations {
    service: Service,
}

impl Observations {
    pub(super) fn new(source: &Source) -> Self {
        Self { service: Service::new(source, "langfuse", "millrace.import.langfuse") }
    }
}

impl Reader for Observations {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        let row: Value = match serde_json::from_slice(piece) {
            Ok(row) => row,
            Err(error) => return sink.reject(format!("it is not JSON: {error}")),
        };
        if is_score(&row) {
            return self.score(&row, sink);
        }
        match span(&row) {
            Ok(span) => sink.records.push(self.service.record(span, None)),
            Err(why) => sink.reject(why),
        }
    }
}

/// A score has a value of a type; an observation has times.
fn is_score(row: &Value) -> bool {
    member(row, &["start_time", "startTime"]).is_none() && member(row, &["data_type", "dataType"]).is_some()
}

impl Observations {
    fn score(&self, row: &Value, sink: &mut Sink) {
        let is_of_run = member(row, &["dataset_run_id", "datasetRunId"]).is_some();
        if is_of_run && text(row, &["trace_id", "traceId"]).or(text(row, &["session_id", "sessionId"])).is_none() {
            return sink.other("score of a dataset run");
        }
        match evaluation(row).and_then(|evaluation| evaluation.record(&self.service)) {
            Ok(record) => sink.records.push(record),
            Err(why) => sink.reject(why),
        }
    }
}

/// A score of an observation, of a whole trace, or of a whole session. Which span is the root of a trace, an export of scores does not tell.
fn evaluation(row: &Value) -> Result<Evaluation<'_>, &'static str> {
    let trace = text(row, &["trace_id", "traceId"]);
    let observation = text(row, &["observation_id", "observationId"]);
    let session = member(row, &["session_id", "sessionId"]);
    if observation.is_some() && trace.is_none() {
        return Err("trace_id must be a text");
    }
    if trace.is_none() && session.is_none() {
        return Err("it names neither a trace nor a session");
    }
    let at = member(row, &["timestamp", "created_at", "createdAt"]).and_then(nanos_of);
    // a category has a number as well, which means nothing
    let is_category =
        text(row, &["data_type", "dataType"]).is_some_and(|kind| kind.eq_ignore_ascii_case("categorical"));
    Ok(Evaluation {
        trace: trace.map(trace_id),
        span: observation.map(span_id),
        at: at.ok_or("timestamp must be a time")?,
        name: text(row, &["name"]).ok_or("name must be a text")?,
        value: member(row, &["value"]).filter(|_| !is_category),
        label: member(row, &["string_value", "stringValue"])
            .or_else(|| member(row, &["value"]).filter(|_| is_category)),
        explanation: member(row, &["comment"]),
        session,
    })
}

fn member<'r>(row: &'r Value, names: &[&str]) -> Option<&'r Value> {
    let is_there = |value: &&Value| !value.is_null() && value.as_str() != Some("");
    names.iter().find_map(|name| row.get(name).filter(is_there))
}

fn text<'r>(row: &'r Value, names: &[&str]) -> Option<&'r str> {
    member(row, names)?.as_str()
}

fn span(row: &Value) -> Result<Span, &'static str> {
    let trace = text(row, &["trace_id", "traceId"]).ok_or("trace_id must be a text")?;
    let own = text(row, &["id"]).ok_or("id must be a text")?;
    let start = member(row, &["start_time", "startTime"]).and_then(nanos_of).ok_or("start_time must be a time")?;
    let end = member(row, &["end_time", "endTime"]).and_then(nanos_of);
    let parent = text(row, &["parent_observation_id", "parentObservationId"]).map(span_id);
    let name = text(row, &["name"]).map_or("observation", |name| name);
    let mut span = Span::new(trace_id(trace), span_id(own), parent, name).between(start, end.map_or(start, |end| end));
    if text(row, &["type"]).is_some_and(|kind| matches!(kind, "GENERATION" | "EMBEDDING")) {
        span = span.call();
    }
    for (names, key) in FIELDS {
        let value = member(row, names);
        // its SDK writes types in small letters
        let small = value.and_then(Value::as_str).filter(|_| key.ends_with(".type")).map(str::to_ascii_lowercase);
        match small {
            Some(small) => span.text(key, &small),
            None => span.value(key, value),
        }
    }
    cost(row, &mut span);
    span.text("langfuse.observation.id", own);
    span.text("langfuse.trace.id", trace);
    span.value("langfuse.observation.model.parameters", member(row, &["model_parameters", "modelParameters"]));
    span.content("langfuse.observation.input", member(row, &["input"]));
    span.content("langfuse.observation.output", member(row, &["output"]));
    let metadata = member(row, &["metadata"]);
    span.content("langfuse.observation.metadata", metadata);
    if text(row, &["level"]) == Some("ERROR") {
        span.fail(text(row, &["status_message", "statusMessage"]).map_or("", |message| message));
    }
    Ok(span)
}

/// `cost_details`, else the total.
fn cost(row: &Value, span: &mut Span) {
    let details = member(row, &["cost_details", "costDetails"]).filter(|details| as_text(details).is_some());
    match (details, member(row, &["total_cost", "totalCost", "calculatedTotalCost"])) {
        (Some(details), _) if details.as_str() != Some("{}") => {
            span.value("langfuse.observation.cost_details", Some(details))
        }
        (_, Some(total)) => span.value("gen_ai.usage.cost", Some(total)),
        _ => {}
    }
}
