//! The spans of a trajectory: its agent's, those of its steps, and those of its subagents.

use super::SCOPE_NAME;
use super::attributes::{put_beside, put_common, put_metrics};
use super::messages::{self, History, Room};
use super::parts::Metrics;
use super::rewards;
use super::step::{self, StepPlace};
use super::trajectory::{Source, Step, Trajectory};
use super::writer::Writer;
use crate::chat::{ValidationErrors, trace_of_text};
use crate::columns::StatusCode;
use crate::documents::check::{Check, Path};
use crate::documents::span::DocumentSpan;
use crate::documents::{DocumentContext, DocumentRows, TooMuch, ids};
use crate::genai::operation::INVOKE_AGENT;
use crate::genai::semconv;
use crate::ids::SpanId;
use crate::json::canonical;
use crate::json::limits::Limits;
use crate::scores::EvaluatorResult;
use crate::time::UnixNanos;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// What stands for the time between steps without a time.
const TICK: Duration = Duration::from_millis(1);

/// Refuses steps of a time whose spans are not kept.
pub(super) fn check_times(trajectory: &Trajectory<'_>, context: &DocumentContext<'_>) -> Result<(), ValidationErrors> {
    let mut check = Check::default();
    walk_times(&mut check, Path::ROOT, trajectory, context);
    check.finish().map(drop)
}

fn walk_times(check: &mut Check, path: Path<'_>, trajectory: &Trajectory<'_>, context: &DocumentContext<'_>) {
    let steps = path.name("steps");
    for (index, step) in trajectory.steps.iter().enumerate() {
        if let Some(why) = given(step).and_then(|at| context.objection(at)) {
            check.refuse(steps.index(index).name("timestamp"), &format!("the step {why}"), None);
        }
    }
    let subagents = path.name("subagent_trajectories");
    for (index, subagent) in trajectory.subagents.iter().enumerate() {
        walk_times(check, subagents.index(index), subagent, context);
    }
}

/// When a step was, if the document says.
fn given(step: &Step<'_>) -> Option<UnixNanos> {
    step.invocation.0.or(step.at)
}

/// Adds the rows of a trajectory.
pub(super) fn put(
    trajectory: &Trajectory<'_>,
    context: &DocumentContext<'_>,
    limits: Limits,
    rows: &mut DocumentRows<'_>,
) -> Result<(), TooMuch> {
    let session = trajectory.session_id.as_deref().map(str::trim);
    let trace_id = session.and_then(trace_of_text).unwrap_or_else(|| {
        let mut text = String::new();
        canonical::write(&mut text, trajectory.root);
        ids::trace(["atif", &text])
    });
    rows.begin(SCOPE_NAME);
    let mut writer = Writer { rows, limits, now: context.received_at, trace_id, session, room: Room::default() };
    let place = Place { parent: None, path: &[], began: context.received_at };
    writer.trajectory(trajectory, &place)
}

/// Where a trajectory is.
struct Place<'a> {
    parent: Option<SpanId>,
    /// The ids of the trajectories that it lies in.
    path: &'a [&'a str],
    /// When it began if it does not say.
    began: UnixNanos,
}

/// When the steps of a trajectory were.
pub(super) struct Timeline {
    /// Of each step, and whether the document says so.
    steps: Vec<(UnixNanos, bool)>,
    /// The earliest and the latest time that the document says.
    given: Option<(UnixNanos, UnixNanos)>,
}

impl Timeline {
    /// A step without a time is just after the one before it.
    fn of(trajectory: &Trajectory<'_>, began: UnixNanos) -> Self {
        let steps = &trajectory.steps;
        let mut last = steps.iter().find_map(given).unwrap_or(began);
        let times = steps.iter().enumerate().map(|(index, step)| {
            let at = given(step);
            last = at.unwrap_or_else(|| if index == 0 { last } else { last.saturating_add(TICK) });
            (last, at.is_some())
        });
        let times = times.collect();
        let said = || steps.iter().flat_map(|step| [step.invocation.0, step.at, step.invocation.1]).flatten();
        Self { steps: times, given: said().min().zip(said().max()) }
    }

    fn is_given(&self) -> bool {
        self.given.is_some()
    }
}

impl Writer<'_, '_> {
    fn trajectory(&mut self, of: &Trajectory<'_>, place: &Place<'_>) -> Result<(), TooMuch> {
        let own = of.trajectory_id.as_deref().unwrap_or_default();
        let path: Vec<&str> = place.path.iter().copied().chain([own]).collect();
        let times = Timeline::of(of, place.began);
        let root = self.span_id(&path, "agent", &[]);
        let span = self.agent_span(of, (root, place.parent), &times);
        let ended = span.end.unwrap_or(span.start);
        self.rows.put(&span)?;
        self.steps(of, (root, &path), &times)?;
        self.verifier(of, (root, &path), (ended, times.is_given()))
    }

    fn agent_span<'d>(
        &self,
        of: &Trajectory<'d>,
        (id, parent): (SpanId, Option<SpanId>),
        times: &Timeline,
    ) -> DocumentSpan<'d> {
        let first = times.steps.first().map_or(self.now, |(at, _)| *at);
        let (start, end) = times.given.map_or((first, None), |(start, end)| (start, Some(end)));
        let mut span = DocumentSpan::new((self.trace_id, id), of.agent.name.clone(), start);
        (span.parent, span.end, span.is_timed) = (parent, end, times.is_given());
        span.put(semconv::OPERATION_NAME, INVOKE_AGENT);
        put_common(&mut span, of, self.session);
        span.put("gen_ai.agent.version", of.agent.version.clone());
        span.put("atif.schema_version", of.schema_version.clone());
        for (key, text) in [("atif.session_id", &of.session_id), ("atif.continued_trajectory_ref", &of.continued)] {
            text.iter().for_each(|text| span.put(key, text.clone()));
        }
        if !of.unknown.is_empty() {
            span.put("atif.unknown_members", of.unknown.join(","));
        }
        span.put(semconv::MILLRACE_TIMING, if times.is_given() { "given" } else { "ingest" });
        let failed = of.steps.iter().any(step::has_failed_tool);
        let error = of.extra.and_then(|extra| extra.get("error"));
        if failed || error.is_some() {
            span.status = StatusCode::Error;
            let message = error.map(|error| error.str().unwrap_or_else(|| error.raw().into()));
            span.status_message = message.unwrap_or_else(|| "a tool failed".into());
        }
        put_metrics(&mut span, &totals(of));
        let said = |source: Source| of.steps.iter().filter(move |step| step.source == source && !step.is_copied);
        let text = |step: Option<&Step<'_>>| step.map_or_else(String::new, |step| messages::text_of(step.message));
        span.put("input.value", text(said(Source::User).next()));
        span.put("output.value", text(said(Source::Agent).next_back()));
        let beside = [
            ("agent", of.agent.extra),
            ("tool_definitions", of.agent.tool_definitions),
            ("notes", of.root.get("notes").filter(|_| of.notes.is_some())),
            ("extra", of.extra),
        ];
        put_beside(&mut span, self.limits, &beside);
        span
    }

    fn steps(&mut self, of: &Trajectory<'_>, (root, path): (SpanId, &[&str]), times: &Timeline) -> Result<(), TooMuch> {
        let embedded: HashMap<&str, &Trajectory<'_>> =
            of.subagents.iter().filter_map(|of| Some((of.trajectory_id.as_deref()?, of))).collect();
        let mut placed = HashSet::new();
        let mut history = History::default();
        for (index, step) in of.steps.iter().enumerate() {
            let Some((at, is_given)) = times.steps.get(index).copied() else { continue };
            let next = times.steps.get(index + 1).filter(|(_, is_given)| *is_given).map(|(at, _)| *at);
            let place = StepPlace { root, path, at, is_given, next, is_timed: times.is_given() };
            let parent = step::put(self, of, step, &place, &mut history)?;
            for observed in &step.results {
                let call = observed.call_id.as_deref();
                let parent = call.map(|call| step::tool_id(self, step, path, call)).or(parent).unwrap_or(root);
                for reference in &observed.subagents {
                    let id = reference.trajectory_id.as_deref().or(reference.session_id.as_deref());
                    match id.and_then(|id| embedded.get_key_value(id)) {
                        Some((id, subagent)) if placed.insert(*id) => {
                            self.trajectory(subagent, &Place { parent: Some(parent), path, began: at })?;
                        }
                        Some(_) => {}
                        None => step::put_elsewhere(self, of, (parent, reference), &place)?,
                    }
                }
            }
        }
        for (id, subagent) in of.subagents.iter().filter_map(|of| Some((of.trajectory_id.as_deref()?, of))) {
            if placed.insert(id) {
                let began = times.steps.first().map_or(self.now, |(at, _)| *at);
                self.trajectory(subagent, &Place { parent: Some(root), path, began })?;
            }
        }
        Ok(())
    }

    /// What a verifier found: a span, and results about it.
    fn verifier(
        &mut self,
        of: &Trajectory<'_>,
        (root, path): (SpanId, &[&str]),
        (at, is_timed): (UnixNanos, bool),
    ) -> Result<(), TooMuch> {
        let Some(found) = of.extra.and_then(|extra| extra.get("verifier_result")) else { return Ok(()) };
        let id = self.span_id(path, "verifier", &[]);
        let session = self.session.map_or_else(|| format!("session-{}", self.trace_id), str::to_owned);
        let mut span = DocumentSpan::new((self.trace_id, id), rewards::VERIFIER, at);
        (span.parent, span.is_timed) = (Some(root), is_timed);
        span.put("openinference.span.kind", "EVALUATOR");
        put_common(&mut span, of, self.session);
        span.put(semconv::MILLRACE_TIMING, "inferred");
        let input = serde_json::json!({"session_id": session, "evaluated_span_id": root.to_string()});
        span.put("input.value", input.to_string());
        let score = rewards::score(found).map_or_else(String::new, |score| format!("\"score\":{score},"));
        let mut text = String::new();
        canonical::write(&mut text, found);
        span.put("output.value", format!("{{{score}\"verifier_result\":{text}}}"));
        self.rows.put(&span)?;
        for reward in rewards::of(found) {
            let result = EvaluatorResult {
                span_id: id.to_string(),
                session_id: session.clone(),
                trace_id: self.trace_id.to_string(),
                name: reward.name.into_owned(),
                data_type: reward.data_type,
                value: reward.value,
                string_value: reward.text,
                comment: String::new(),
            };
            self.rows.put_result(&result, rewards::CREATED_BY, self.now)?;
        }
        Ok(())
    }
}

/// What the whole says of what no step says.
fn totals(of: &Trajectory<'_>) -> Metrics {
    let Some(totals) = &of.totals else { return Metrics::default() };
    let measured = || of.steps.iter().filter(|step| !step.is_copied).filter_map(|step| step.metrics.as_ref());
    Metrics {
        input: totals.input.filter(|_| !measured().any(|step| step.input.is_some())),
        output: totals.output.filter(|_| !measured().any(|step| step.output.is_some())),
        cached: totals.cached.filter(|_| !measured().any(|step| step.cached.is_some())),
        cost: totals.cost.filter(|_| !measured().any(|step| step.cost.is_some())),
    }
}
