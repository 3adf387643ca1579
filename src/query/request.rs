//! What every request has: its workspace, and the state that answers it.

use super::answer::{Problem, Refusal};
use super::conditions::trace_id;
use super::expressions::trace_of_session;
use super::filter::Condition;
use super::q::{Level, Scope, Search};
use super::reads::Reads;
use super::times::shown;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use serde_json::{Map, Value};
use std::time::Duration;

/// How far back searches look that do not say from when on, and all lists under `strict_reference` when no time is given. Source: NeMo
/// Intake 0.2.0.
const LOOK_BACK: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How much longer than the root the spans of a trace may begin before or after it, for a list with a bound of time.
pub(super) const NEAR: Duration = Duration::from_secs(24 * 60 * 60);

/// What answers requests.
#[derive(Debug, Clone)]
pub struct Api {
    /// Where questions are asked.
    pub reads: Reads,
    /// Whether lists do as the reference does where that is worse: `chat_completions.strict_reference`.
    pub strict_reference: bool,
}

impl Api {
    /// All of these conditions; with the look-back of the reference where that is asked for and none of them bounds the time.
    pub(super) fn within_look_back(&self, parts: Vec<Condition>, search: Option<&Search>) -> Condition {
        let condition = Condition::All(parts);
        if self.strict_reference && bounds(&condition, search) == (None, None) {
            return since(condition, self.reads.clock.now().saturating_sub(LOOK_BACK));
        }
        condition
    }

    /// The condition of a list. A search that does not say from when on looks back a while: its terms may be about anything of a span, so
    /// that all spans would be read. Spans of one trace or session have an index.
    pub(super) fn bounded(&self, condition: Condition, search: Option<&Search>, level: Level) -> Condition {
        let condition = with_trace(condition, search, level);
        match bounds(&condition, search) {
            (None, until) if search.is_some() && !has_index(&condition, level) => {
                let until = until.unwrap_or_else(|| self.reads.clock.now());
                since(condition, until.saturating_sub(LOOK_BACK))
            }
            _ => condition,
        }
    }

    /// Where a search stands in a statement. Spans of what it finds began a day before or after the row at most.
    pub(super) fn scope<'a>(
        &self,
        level: Level,
        workspace: &'a Workspace,
        condition: &Condition,
        search: &Search,
    ) -> Scope<'a> {
        let (since, until) = bounds(condition, Some(search));
        let trace = condition.needed().into_iter().find_map(|needed| match (level, needed) {
            (Level::Trace, Condition::Is("id", id)) => Some(trace_id(id)),
            _ => None,
        });
        let name = |table: &str| self.reads.client().full_name(table);
        let (spans, traces, scores) = (name("otel_traces"), name("genai_traces"), name("genai_scores"));
        let (since, until) = (since.map(|at| at.saturating_sub(NEAR)), until.map(|at| at.saturating_add(NEAR)));
        Scope { level, workspace, spans, traces, scores, since, until, trace }
    }
}

/// The condition, and that of the only trace that a search is about, if it is: then the index of traces serves it.
fn with_trace(condition: Condition, search: Option<&Search>, level: Level) -> Condition {
    let field = match level {
        Level::Span => "trace_id",
        Level::Trace => "id",
        Level::Session => return condition,
    };
    match search.and_then(Search::trace) {
        Some(trace) => Condition::All(vec![condition, Condition::Is(field, trace.to_owned())]),
        None => condition,
    }
}

/// Whether an index leads to what meets the condition.
pub(super) fn has_index(condition: &Condition, level: Level) -> bool {
    condition.needed().into_iter().any(|needed| match (level, needed) {
        (Level::Span, Condition::Is("trace_id", _)) => true,
        // the session of a trace without one is looked for by two columns, which no index serves at once
        (Level::Span, Condition::Is("session_id", id)) => trace_of_session(id).is_none(),
        (Level::Trace, Condition::Is(field, _)) => *field == "id",
        _ => false,
    })
}

/// From when to when what meets a condition and a search has begun, as far as they say so.
pub(super) fn bounds(condition: &Condition, search: Option<&Search>) -> (Option<UnixNanos>, Option<UnixNanos>) {
    let (mut since, mut until) = search.map_or((None, None), Search::bounds);
    for needed in condition.needed() {
        match needed {
            Condition::Since("started_at", at) => since = since.max(Some(*at)),
            Condition::Until("started_at", at) => until = Some(until.map_or(*at, |until| until.min(*at))),
            _ => {}
        }
    }
    (since, until)
}

/// The condition, of what began then or later.
fn since(condition: Condition, at: UnixNanos) -> Condition {
    Condition::All(vec![condition, Condition::Since("started_at", at)])
}

/// The answer of a list. One with a search repeats it, and says since when it looked.
pub(super) fn with_search_since(
    mut answer: Map<String, Value>,
    condition: &Condition,
    search: Option<&Search>,
) -> Value {
    if let (Some(_), (Some(since), _)) = (search, bounds(condition, search)) {
        answer.insert("since".to_owned(), shown(since.nanos()).into());
    }
    with_search(answer, search)
}

/// An answer that repeats the search.
pub(super) fn with_search(mut answer: Map<String, Value>, search: Option<&Search>) -> Value {
    if let Some(search) = search {
        answer.insert(super::q::NAME.to_owned(), search.text().into());
    }
    Value::Object(answer)
}

/// The workspace that a path names.
///
/// # Errors
/// 422 if it is not the name of one.
pub fn workspace(name: &str) -> Result<Workspace, Refusal> {
    Workspace::new(name).map_err(|error| {
        let problem = Problem::new("value_error", &["path", "workspace"], &error.to_string(), name.into(), Value::Null);
        Refusal::invalid(vec![problem])
    })
}
