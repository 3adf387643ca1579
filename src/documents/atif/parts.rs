//! The parts of a step: content, calls of tools, what these gave, measures.

use crate::documents::check::{Check, Path};
use crate::genai::cost::Usd;
use crate::genai::decimal::scaled;
use crate::json::document::Value;
use crate::time::UnixNanos;
use std::borrow::Cow;
use std::collections::HashSet;

const CONTENT_PART: [&str; 3] = ["type", "text", "source"];
const MEDIUM: [&str; 3] = ["media_type", "path", "duration_sec"];
const TOOL_CALL: [&str; 4] = ["tool_call_id", "function_name", "arguments", "extra"];
const OBSERVATION: [&str; 1] = ["results"];
const RESULT: [&str; 4] = ["source_call_id", "content", "subagent_trajectory_ref", "extra"];
const REFERENCE: [&str; 4] = ["trajectory_id", "trajectory_path", "session_id", "extra"];
const METRICS: [&str; 8] = [
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cost_usd",
    "prompt_token_ids",
    "completion_token_ids",
    "logprobs",
    "extra",
];
const TOTALS: [&str; 6] =
    ["total_prompt_tokens", "total_completion_tokens", "total_cached_tokens", "total_cost_usd", "total_steps", "extra"];

/// A call of a tool.
#[derive(Debug)]
pub(super) struct ToolCall<'d> {
    pub(super) id: Cow<'d, str>,
    pub(super) name: Cow<'d, str>,
    pub(super) arguments: Value<'d>,
    pub(super) extra: Option<Value<'d>>,
}

/// What a tool, or something else, gave.
#[derive(Debug)]
pub(super) struct Observed<'d> {
    pub(super) call_id: Option<Cow<'d, str>>,
    pub(super) content: Option<Value<'d>>,
    pub(super) subagents: Vec<Reference<'d>>,
    pub(super) extra: Option<Value<'d>>,
}

/// Where the trajectory of a subagent is.
#[derive(Debug)]
pub(super) struct Reference<'d> {
    pub(super) trajectory_id: Option<Cow<'d, str>>,
    pub(super) session_id: Option<Cow<'d, str>>,
    pub(super) path: Option<Cow<'d, str>>,
}

/// Tokens and cost. The input includes what came from a cache.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) cached: Option<u64>,
    pub(super) cost: Option<Usd>,
}

/// A text, or parts of text, images and audio.
pub(super) fn check_content(check: &mut Check, path: Path<'_>, value: Value<'_>) {
    if value.is_string() {
        return;
    }
    if !value.is_array() {
        check.wrong(path, "string_type", "Input should be a valid string, or a list of content parts", Some(value));
        return;
    }
    for (index, part) in value.items().enumerate() {
        let path = path.index(index);
        let Some(part) = check.object(path, part, &CONTENT_PART) else { continue };
        let kind = check.required(path, part, "type").and_then(Value::str);
        match kind.as_deref() {
            Some("text") => {
                drop(check.required(path, part, "text").and_then(|text| check.as_text(path.name("text"), text)))
            }
            Some("image" | "audio") => check_medium(check, path, part),
            _ => {
                let msg = "Input should be 'text', 'image' or 'audio'";
                check.wrong(path.name("type"), "literal_error", msg, part.get("type"));
            }
        }
    }
}

fn check_medium(check: &mut Check, path: Path<'_>, part: Value<'_>) {
    let Some(source) = check.required(path, part, "source") else { return };
    let path = path.name("source");
    if let Some(source) = check.object(path, source, &MEDIUM) {
        check.required_text(path, source, "media_type");
        check.required_text(path, source, "path");
    }
}

/// The tool calls of a step, each with an id of its own.
pub(super) fn tool_calls<'d>(check: &mut Check, path: Path<'_>, step: Value<'d>) -> Vec<ToolCall<'d>> {
    let Some(list) = check.list(path, step, "tool_calls") else { return Vec::new() };
    let path = path.name("tool_calls");
    let mut ids = HashSet::new();
    let mut found = Vec::new();
    for (index, value) in list.items().enumerate() {
        let path = path.index(index);
        let Some(object) = check.object(path, value, &TOOL_CALL) else { continue };
        let (id, name) =
            (check.required_text(path, object, "tool_call_id"), check.required_text(path, object, "function_name"));
        let arguments = check.required(path, object, "arguments");
        if let Some(arguments) = arguments.filter(|arguments| !arguments.is_object()) {
            check.wrong(path.name("arguments"), "dict_type", "Input should be a valid dictionary", Some(arguments));
        }
        let extra = check.dict(path, object, "extra");
        let (Some(id), Some(name), Some(arguments)) = (id, name, arguments) else { continue };
        if !ids.insert(id.clone()) {
            check.refuse(path.name("tool_call_id"), "each call of a step has another id", object.get("tool_call_id"));
        }
        found.push(ToolCall { id, name, arguments, extra });
    }
    found
}

/// What is observed in a step: of its tools each names its call.
pub(super) fn observation<'d>(
    check: &mut Check,
    path: Path<'_>,
    step: Value<'d>,
    (calls, number): (&[ToolCall<'d>], u64),
) -> Vec<Observed<'d>> {
    let Some(observation) = step.get("observation") else { return Vec::new() };
    let path = path.name("observation");
    let Some(object) = check.object(path, observation, &OBSERVATION) else { return Vec::new() };
    let Some(list) = check.required(path, object, "results") else { return Vec::new() };
    let path = path.name("results");
    let Some(list) = check.as_list(path, list) else { return Vec::new() };
    let ids: HashSet<&str> = calls.iter().map(|call| &*call.id).collect();
    let mut found = Vec::new();
    for (index, value) in list.items().enumerate() {
        let path = path.index(index);
        let Some(object) = check.object(path, value, &RESULT) else { continue };
        let call_id = check.text(path, object, "source_call_id");
        if let Some(id) = call_id.as_ref().filter(|id| !ids.contains(&***id)) {
            let msg = format!(
                "Observation result references source_call_id '{}' which is not found in step {number}'s tool_calls",
                id.chars().take(100).collect::<String>()
            );
            check.refuse(path.name("source_call_id"), &msg, object.get("source_call_id"));
        }
        let content = object.get("content");
        if let Some(content) = content {
            check_content(check, path.name("content"), content);
        }
        let subagents = references(check, path, object);
        let extra = check.dict(path, object, "extra");
        found.push(Observed { call_id, content, subagents, extra });
    }
    found
}

fn references<'d>(check: &mut Check, path: Path<'_>, result: Value<'d>) -> Vec<Reference<'d>> {
    let Some(list) = check.list(path, result, "subagent_trajectory_ref") else { return Vec::new() };
    let path = path.name("subagent_trajectory_ref");
    let mut found = Vec::new();
    for (index, value) in list.items().enumerate() {
        let path = path.index(index);
        let Some(object) = check.object(path, value, &REFERENCE) else { continue };
        let reference = Reference {
            trajectory_id: check.text(path, object, "trajectory_id"),
            session_id: check.text(path, object, "session_id"),
            path: check.text(path, object, "trajectory_path"),
        };
        check.dict(path, object, "extra");
        // until version 1.6 a session named it
        if reference.trajectory_id.is_none() && reference.path.is_none() && reference.session_id.is_none() {
            check.refuse(path, "it names neither trajectory_id nor trajectory_path", None);
        }
        found.push(reference);
    }
    found
}

/// The measures of a step.
pub(super) fn metrics(check: &mut Check, path: Path<'_>, value: Value<'_>) -> Option<Metrics> {
    let object = check.object(path, value, &METRICS)?;
    for name in ["prompt_token_ids", "completion_token_ids", "logprobs"] {
        check.list(path, object, name);
    }
    check.dict(path, object, "extra");
    Some(measured(check, path, object, ["prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd"]))
}

/// Those of a whole trajectory.
pub(super) fn totals(check: &mut Check, path: Path<'_>, value: Value<'_>) -> Option<Metrics> {
    let object = check.object(path, value, &TOTALS)?;
    check.count(path, object, "total_steps");
    check.dict(path, object, "extra");
    let [input, output, cached, cost, ..] = TOTALS;
    Some(measured(check, path, object, [input, output, cached, cost]))
}

fn measured(check: &mut Check, path: Path<'_>, object: Value<'_>, names: [&str; 4]) -> Metrics {
    let [input, output, cached, cost] = names;
    let metrics = Metrics {
        input: check.count(path, object, input),
        output: check.count(path, object, output),
        cached: check.count(path, object, cached),
        cost: check.usd(path, object, cost),
    };
    if let (Some(whole), Some(part)) = (metrics.input, metrics.cached)
        && part > whole
    {
        let msg = format!("{input} includes {cached}, so it cannot be less");
        check.refuse(path.name(cached), &msg, object.get(cached));
    }
    metrics
}

/// When a step's call began and ended, in seconds since 1970, if the agent kept that.
/// Source: PyPI `nvidia-nat-atif` 1.9.0, `AtifStepExtra.invocation`.
pub(super) fn invocation(extra: Option<Value<'_>>) -> (Option<UnixNanos>, Option<UnixNanos>) {
    const SECONDS: i64 = 9;
    let invocation = extra.and_then(|extra| extra.get("invocation"));
    let time = |name: &str| {
        let text = invocation?.get(name)?.number()?;
        UnixNanos::of_start(scaled(text, SECONDS).ok()?)
    };
    (time("start_timestamp"), time("end_timestamp"))
}
