//! The spans of a step of the agent: the call of a model, or of none, and the tools that it calls.

use super::attributes::{put_beside, put_common, put_metrics};
use super::messages::{self, History};
use super::parts::{Observed, Reference, ToolCall};
use super::trajectory::{Source, Step, Trajectory};
use super::writer::Writer;
use crate::columns::{SpanKind, StatusCode};
use crate::documents::TooMuch;
use crate::documents::span::DocumentSpan;
use crate::genai::operation::{CHAT, EXECUTE_TOOL, INVOKE_AGENT, INVOKE_WORKFLOW};
use crate::genai::semconv;
use crate::ids::SpanId;
use crate::json::document::Value;
use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;
use crate::time::UnixNanos;
use std::collections::HashMap;

/// What a tool's text says that failed. Source: NeMo Intake 0.2.0.
const ERROR_MARK: &str = "[error]";
/// Longest status message made of what a tool gave, in characters.
const MESSAGE_CHARACTERS_MAX: usize = 300;
/// How many earlier messages of a conversation the input of a call leaves out.
const LEFT_OUT: &str = "millrace.history.left_out";

/// Where a step is, and when.
pub(super) struct StepPlace<'a> {
    /// The span of its agent.
    pub(super) root: SpanId,
    pub(super) path: &'a [&'a str],
    pub(super) at: UnixNanos,
    /// Whether the document says when it was.
    pub(super) is_given: bool,
    /// When the next step was, if the document says so.
    pub(super) next: Option<UnixNanos>,
    /// Whether the document has any time.
    pub(super) is_timed: bool,
}

/// Adds what a step comes to, and notes what was said in it. Returns its span, if it has one.
pub(super) fn put(
    writer: &mut Writer<'_, '_>,
    of: &Trajectory<'_>,
    step: &Step<'_>,
    place: &StepPlace<'_>,
    history: &mut History,
) -> Result<Option<SpanId>, TooMuch> {
    let limits = writer.limits;
    let said = messages::of_step(step, limits);
    let own = (step.source == Source::Agent && !step.is_copied).then(|| step_id(writer, step, place.path));
    if let Some(id) = own {
        let span = span_of(writer, (of, step, id), place, (history, &said));
        writer.rows.put(&span)?;
        let observed = by_call(step);
        for call in &step.tool_calls {
            let results = observed.get(&*call.id).map(Vec::as_slice).unwrap_or_default();
            let span = tool(writer, (of, step, id), (call, results), place);
            writer.rows.put(&span)?;
        }
    }
    history.push(said);
    step.results
        .iter()
        .filter_map(|observed| messages::of_observed(observed, limits))
        .for_each(|said| history.push(said));
    Ok(own)
}

fn step_id(writer: &Writer<'_, '_>, step: &Step<'_>, path: &[&str]) -> SpanId {
    writer.span_id(path, "step", &[&step.number.to_string()])
}

/// The span of a tool call of a step.
pub(super) fn tool_id(writer: &Writer<'_, '_>, step: &Step<'_>, path: &[&str], call: &str) -> SpanId {
    writer.span_id(path, "tool", &[&step.number.to_string(), call])
}

fn by_call<'s, 'd>(step: &'s Step<'d>) -> HashMap<&'s str, Vec<&'s Observed<'d>>> {
    let mut found: HashMap<&str, Vec<&Observed<'_>>> = HashMap::new();
    for observed in &step.results {
        if let Some(id) = observed.call_id.as_deref() {
            found.entry(id).or_default().push(observed);
        }
    }
    found
}

fn span_of<'d>(
    writer: &mut Writer<'_, '_>,
    (of, step, id): (&Trajectory<'d>, &Step<'d>, SpanId),
    place: &StepPlace<'_>,
    (history, said): (&mut History, &str),
) -> DocumentSpan<'d> {
    let name = format!("agent-{}", step.number);
    let mut span = DocumentSpan::new((writer.trace_id, id), name, place.at);
    (span.parent, span.is_timed) = (Some(place.root), place.is_timed);
    span.end = step.invocation.1.filter(|end| *end >= span.start);
    span.put(semconv::OPERATION_NAME, if step.is_call() { CHAT } else { INVOKE_WORKFLOW });
    if let Some(model) = &step.model_name {
        span.put(semconv::REQUEST_MODEL, model.clone());
    }
    put_common(&mut span, of, writer.session);
    span.put("atif.step_id", step.number.to_string());
    span.put_count("atif.llm_call_count", step.llm_call_count);
    let timing = match (place.is_timed, place.is_given, span.end) {
        (false, ..) => "ingest",
        (true, false, _) => "inferred",
        (true, true, Some(_)) => "given",
        (true, true, None) => "unknown",
    };
    span.put(semconv::MILLRACE_TIMING, timing);
    put_beside(&mut span, writer.limits, &[("extra", step.extra)]);
    if !step.is_call() {
        span.put("output.value", messages::text_of(step.message));
        return span;
    }
    span.kind = SpanKind::Client;
    if let Some(effort) = &step.reasoning_effort {
        span.put(semconv::REQUEST_REASONING_LEVEL, effort.clone());
    }
    if let Some(metrics) = &step.metrics {
        put_metrics(&mut span, metrics);
    }
    let (input, left_out) = history.input(&mut writer.room);
    span.put(semconv::INPUT_MESSAGES, input);
    span.put_count(LEFT_OUT, u64::try_from(left_out).ok().filter(|count| *count > 0));
    span.put(semconv::OUTPUT_MESSAGES, format!("[{said}]"));
    if let Some(tools) = of.agent.tool_definitions.filter(|tools| writer.room.take(tools.whole_text().len())) {
        span.put(semconv::TOOL_DEFINITIONS, as_json(tools, writer.limits));
    }
    span
}

fn tool<'d>(
    writer: &Writer<'_, '_>,
    (of, step, parent): (&Trajectory<'d>, &Step<'d>, SpanId),
    (call, results): (&ToolCall<'d>, &[&Observed<'d>]),
    place: &StepPlace<'_>,
) -> DocumentSpan<'d> {
    let id = tool_id(writer, step, place.path, &call.id);
    let mut span = DocumentSpan::new((writer.trace_id, id), call.name.clone(), place.at);
    (span.parent, span.is_timed) = (Some(parent), place.is_timed);
    span.end = place.next.filter(|next| *next > span.start);
    span.put(semconv::OPERATION_NAME, EXECUTE_TOOL);
    span.put("gen_ai.tool.name", call.name.clone());
    span.put("gen_ai.tool.call.id", call.id.clone());
    put_common(&mut span, of, writer.session);
    span.put("atif.step_id", step.number.to_string());
    let timing = match (place.is_timed, span.end) {
        (false, _) => "ingest",
        (true, Some(_)) => "inferred",
        (true, None) => "unknown",
    };
    span.put(semconv::MILLRACE_TIMING, timing);
    span.put("gen_ai.tool.call.arguments", as_json(call.arguments, writer.limits));
    let texts: Vec<String> = results
        .iter()
        .filter_map(|observed| observed.content)
        .map(|content| content.str().map_or_else(|| as_json(content, writer.limits), std::borrow::Cow::into_owned))
        .collect();
    let text = texts.join("\n");
    if has_failed(call, results) {
        span.status = StatusCode::Error;
        span.status_message = text.chars().take(MESSAGE_CHARACTERS_MAX).collect::<String>().into();
    }
    span.put("gen_ai.tool.call.result", text);
    let of_results = results.iter().find_map(|observed| observed.extra);
    put_beside(&mut span, writer.limits, &[("extra", call.extra), ("result_extra", of_results)]);
    span
}

/// Whether a tool of a step failed.
pub(super) fn has_failed_tool(step: &Step<'_>) -> bool {
    let observed = by_call(step);
    let results = |call: &ToolCall<'_>| observed.get(&*call.id).map(Vec::as_slice).unwrap_or_default();
    !step.is_copied && step.tool_calls.iter().any(|call| has_failed(call, results(call)))
}

fn has_failed(call: &ToolCall<'_>, results: &[&Observed<'_>]) -> bool {
    let says_so = |extra: Option<Value<'_>>| extra.and_then(|extra| extra.get("is_error")?.bool()) == Some(true);
    let is_marked =
        |observed: &Observed<'_>| observed.content.and_then(Value::str).is_some_and(|text| text.contains(ERROR_MARK));
    says_so(call.extra) || results.iter().any(|observed| says_so(observed.extra) || is_marked(observed))
}

/// A subagent whose trajectory lies elsewhere.
pub(super) fn put_elsewhere(
    writer: &mut Writer<'_, '_>,
    of: &Trajectory<'_>,
    (parent, reference): (SpanId, &Reference<'_>),
    place: &StepPlace<'_>,
) -> Result<(), TooMuch> {
    let names = [&reference.trajectory_id, &reference.session_id, &reference.path];
    let name = names.into_iter().flatten().next().map_or("", |name| &**name);
    let parent_text = parent.to_string();
    let id = writer.span_id(place.path, "elsewhere", &[&parent_text, name]);
    let mut span = DocumentSpan::new((writer.trace_id, id), format!("subagent-{name}"), place.at);
    (span.parent, span.is_timed) = (Some(parent), place.is_timed);
    span.put(semconv::OPERATION_NAME, INVOKE_AGENT);
    put_common(&mut span, of, writer.session);
    span.put(semconv::MILLRACE_TIMING, "unknown");
    if let Some(path) = &reference.path {
        span.put("atif.trajectory_path", path.clone().into_owned());
    }
    writer.rows.put(&span)
}

fn as_json(value: Value<'_>, limits: Limits) -> String {
    let mut json = JsonWriter::new(limits);
    json.value(value);
    json.finish().0
}
