//! A trajectory and its steps as types, or everything that is wrong with them.

use super::parts::{self, Metrics, Observed, ToolCall};
use crate::chat::ValidationErrors;
use crate::documents::check::{Check, Path};
use crate::json::document::Value;
use crate::numbers::to_u64;
use crate::time::UnixNanos;
use std::borrow::Cow;
use std::collections::HashSet;

/// Trajectories within trajectories: each takes two levels of the nesting that a JSON document may have, and its steps take some more.
const SUBAGENT_DEPTH_MAX: usize = 12;
const _: () = assert!(SUBAGENT_DEPTH_MAX * 2 + 8 <= crate::bounds::DEPTH_MAX);
/// The last version whose members are known: those of later ones may have more.
const KNOWN_MINOR: u32 = 8;

const TRAJECTORY: [&str; 10] = [
    "schema_version",
    "session_id",
    "trajectory_id",
    "agent",
    "steps",
    "notes",
    "final_metrics",
    "continued_trajectory_ref",
    "extra",
    "subagent_trajectories",
];
const AGENT: [&str; 5] = ["name", "version", "model_name", "tool_definitions", "extra"];
const STEP: [&str; 13] = [
    "step_id",
    "timestamp",
    "source",
    "message",
    "is_copied_context",
    "llm_call_count",
    "extra",
    "model_name",
    "reasoning_effort",
    "reasoning_content",
    "tool_calls",
    "observation",
    "metrics",
];
/// Members that only steps of the agent have.
const OF_AGENT_STEPS: [&str; 5] = ["model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics"];

/// A trajectory.
#[derive(Debug)]
pub(crate) struct Trajectory<'d> {
    pub(super) root: Value<'d>,
    pub(super) schema_version: Cow<'d, str>,
    pub(super) session_id: Option<Cow<'d, str>>,
    pub(super) trajectory_id: Option<Cow<'d, str>>,
    pub(super) agent: Agent<'d>,
    pub(super) steps: Vec<Step<'d>>,
    pub(super) notes: Option<Cow<'d, str>>,
    pub(super) totals: Option<Metrics>,
    pub(super) continued: Option<Cow<'d, str>>,
    pub(super) extra: Option<Value<'d>>,
    pub(super) subagents: Vec<Trajectory<'d>>,
    /// Members of a later version, by name.
    pub(super) unknown: Vec<String>,
}

/// Whose trajectory it is.
#[derive(Debug)]
pub(super) struct Agent<'d> {
    pub(super) name: Cow<'d, str>,
    pub(super) version: Cow<'d, str>,
    pub(super) model_name: Option<Cow<'d, str>>,
    pub(super) tool_definitions: Option<Value<'d>>,
    pub(super) extra: Option<Value<'d>>,
}

/// Whose step it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    System,
    User,
    Agent,
}

/// A step.
#[derive(Debug)]
pub(super) struct Step<'d> {
    pub(super) number: u64,
    pub(super) at: Option<UnixNanos>,
    /// When its call began and ended, if the agent kept that.
    pub(super) invocation: (Option<UnixNanos>, Option<UnixNanos>),
    pub(super) source: Source,
    pub(super) message: Value<'d>,
    pub(super) is_copied: bool,
    pub(super) llm_call_count: Option<u64>,
    pub(super) model_name: Option<Cow<'d, str>>,
    pub(super) reasoning_effort: Option<Cow<'d, str>>,
    pub(super) reasoning: Option<Cow<'d, str>>,
    pub(super) tool_calls: Vec<ToolCall<'d>>,
    pub(super) results: Vec<Observed<'d>>,
    pub(super) metrics: Option<Metrics>,
    pub(super) extra: Option<Value<'d>>,
}

impl Step<'_> {
    /// Whether a model was asked in it.
    pub(super) fn is_call(&self) -> bool {
        self.source == Source::Agent && !self.is_copied && self.llm_call_count != Some(0)
    }
}

impl<'d> Trajectory<'d> {
    /// Reads a whole document.
    pub(crate) fn read(root: Value<'d>) -> Result<Self, ValidationErrors> {
        let mut check = Check::default();
        let read = read(&mut check, Path::ROOT, root, 0);
        let unknown = check.finish()?;
        Ok(Self { unknown, ..read.expect("what cannot be read is wrong") })
    }
}

fn read<'d>(check: &mut Check, path: Path<'_>, root: Value<'d>, depth: usize) -> Option<Trajectory<'d>> {
    if depth == 0 && root.is_object() {
        check.is_lenient = root.get("schema_version").and_then(Value::str).is_some_and(|version| is_later(&version));
    }
    let root = check.object(path, root, &TRAJECTORY)?;
    let schema_version = version(check, path, root);
    let agent = agent(check, path, root);
    let steps = steps(check, path, root);
    let totals = root.get("final_metrics").and_then(|totals| parts::totals(check, path.name("final_metrics"), totals));
    Some(Trajectory {
        root,
        schema_version: schema_version.unwrap_or_default(),
        session_id: check.text(path, root, "session_id").filter(|id| !id.trim().is_empty()),
        trajectory_id: check.text(path, root, "trajectory_id").filter(|id| !id.is_empty()),
        notes: check.text(path, root, "notes"),
        continued: check.text(path, root, "continued_trajectory_ref"),
        extra: check.dict(path, root, "extra"),
        subagents: subagents(check, path, root, depth),
        totals,
        agent: agent?,
        steps: steps?,
        unknown: Vec::new(),
    })
}

/// The minor version of `ATIF-v1.8`.
fn minor(version: &str) -> Option<u32> {
    let digits = version.strip_prefix("ATIF-v1.")?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn is_later(version: &str) -> bool {
    minor(version).is_some_and(|minor| minor > KNOWN_MINOR)
}

fn version<'d>(check: &mut Check, path: Path<'_>, root: Value<'d>) -> Option<Cow<'d, str>> {
    let value = check.required(path, root, "schema_version")?;
    let version = value.str().filter(|version| minor(version).is_some());
    if version.is_none() {
        let known: Vec<String> = (0..KNOWN_MINOR).map(|minor| format!("'ATIF-v1.{minor}'")).collect();
        let msg = format!("Input should be {} or 'ATIF-v1.{KNOWN_MINOR}'", known.join(", "));
        check.wrong(path.name("schema_version"), "literal_error", msg, Some(value));
    }
    version
}

fn agent<'d>(check: &mut Check, path: Path<'_>, root: Value<'d>) -> Option<Agent<'d>> {
    let value = check.required(path, root, "agent")?;
    let path = path.name("agent");
    let agent = check.object(path, value, &AGENT)?;
    let (name, version) = (check.required_text(path, agent, "name"), check.required(path, agent, "version"));
    let version = version.and_then(|version| check.as_text(path.name("version"), version));
    Some(Agent {
        model_name: check.text(path, agent, "model_name"),
        tool_definitions: check.list(path, agent, "tool_definitions"),
        extra: check.dict(path, agent, "extra"),
        name: name?,
        version: version?,
    })
}

fn steps<'d>(check: &mut Check, path: Path<'_>, root: Value<'d>) -> Option<Vec<Step<'d>>> {
    let value = check.required(path, root, "steps")?;
    let path = path.name("steps");
    let list = check.as_list(path, value)?;
    if list.is_empty() {
        check.wrong(path, "too_short", "List should have at least 1 item after validation, not 0", Some(list));
    }
    Some(list.items().enumerate().filter_map(|(index, value)| step(check, path.index(index), value, index)).collect())
}

fn step<'d>(check: &mut Check, path: Path<'_>, value: Value<'d>, index: usize) -> Option<Step<'d>> {
    let object = check.object(path, value, &STEP)?;
    let number = number(check, path, object, index);
    let source = source(check, path, object);
    let message = check.required(path, object, "message");
    if let Some(message) = message {
        parts::check_content(check, path.name("message"), message);
    }
    let tool_calls = parts::tool_calls(check, path, object);
    let results = parts::observation(check, path, object, (&tool_calls, number));
    let metrics = object.get("metrics").and_then(|metrics| parts::metrics(check, path.name("metrics"), metrics));
    let extra = check.dict(path, object, "extra");
    let step = Step {
        number,
        at: check.time(path, object, "timestamp", false),
        invocation: parts::invocation(extra),
        source: source?,
        message: message?,
        is_copied: check.flag(path, object, "is_copied_context") == Some(true),
        llm_call_count: check.count(path, object, "llm_call_count"),
        model_name: check.text(path, object, "model_name"),
        reasoning_effort: effort(check, path, object),
        reasoning: check.text(path, object, "reasoning_content"),
        tool_calls,
        results,
        metrics,
        extra,
    };
    check_source(check, path, object, &step);
    Some(step)
}

/// Steps are numbered from 1 without a gap.
fn number(check: &mut Check, path: Path<'_>, object: Value<'_>, index: usize) -> u64 {
    let expected = to_u64(index) + 1;
    if let Some(value) = check.required(path, object, "step_id")
        && value.int().and_then(|number| u64::try_from(number).ok()) != Some(expected)
    {
        let msg = format!("steps are numbered from 1 without a gap: expected {expected}, got {}", value.raw());
        check.refuse(path.name("step_id"), &msg, Some(value));
    }
    expected
}

fn source(check: &mut Check, path: Path<'_>, object: Value<'_>) -> Option<Source> {
    let value = check.required(path, object, "source")?;
    match value.str().as_deref() {
        Some("system") => Some(Source::System),
        Some("user") => Some(Source::User),
        Some("agent") => Some(Source::Agent),
        _ => {
            let msg = "Input should be 'system', 'user' or 'agent'";
            check.wrong(path.name("source"), "literal_error", msg, Some(value));
            None
        }
    }
}

/// A word, or a number.
fn effort<'d>(check: &mut Check, path: Path<'_>, object: Value<'d>) -> Option<Cow<'d, str>> {
    let value = object.get("reasoning_effort")?;
    match value.number() {
        Some(number) => Some(number.into()),
        None => check.as_text(path.name("reasoning_effort"), value),
    }
}

/// What a step may have depends on whose it is.
fn check_source(check: &mut Check, path: Path<'_>, object: Value<'_>, step: &Step<'_>) {
    if step.source != Source::Agent {
        for name in OF_AGENT_STEPS.into_iter().filter(|name| object.get(name).is_some()) {
            let msg = format!("only a step whose source is 'agent' has {name}");
            check.refuse(path.name(name), &msg, None);
        }
        return;
    }
    if step.llm_call_count == Some(0) {
        for name in ["metrics", "reasoning_content"].into_iter().filter(|name| object.get(name).is_some()) {
            let msg = format!("a step in which no model was asked (llm_call_count is 0) has no {name}");
            check.refuse(path.name(name), &msg, None);
        }
    }
}

fn subagents<'d>(check: &mut Check, path: Path<'_>, root: Value<'d>, depth: usize) -> Vec<Trajectory<'d>> {
    const NAME: &str = "subagent_trajectories";
    let Some(list) = check.list(path, root, NAME).filter(|list| !list.is_empty()) else { return Vec::new() };
    let path = path.name(NAME);
    if depth >= SUBAGENT_DEPTH_MAX {
        let msg = format!("trajectories lie at most {SUBAGENT_DEPTH_MAX} deep within each other");
        check.refuse(path, &msg, None);
        return Vec::new();
    }
    let mut ids = HashSet::new();
    let mut found = Vec::new();
    for (index, value) in list.items().enumerate() {
        let path = path.index(index);
        if let Some(id) = value.is_object().then(|| check.required_text(path, value, "trajectory_id")).flatten()
            && !ids.insert(id)
        {
            let msg = "each trajectory_id within a trajectory is another one";
            check.refuse(path.name("trajectory_id"), msg, value.get("trajectory_id"));
        }
        found.extend(read(check, path, value, depth + 1));
    }
    found
}
