//! What every request has: its workspace, and the state that answers it.

use super::answer::{Problem, Refusal};
use super::filter::Condition;
use super::q::{Level, Scope, Search};
use super::reads::Reads;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use serde_json::{Map, Value};
use std::time::Duration;

/// How far back lists look under `strict_reference` when no time is given. Source: NeMo Intake 0.2.0.
const STRICT_LOOK_BACK: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
    /// When what a list shows has begun at the earliest, if no time is given.
    fn look_back(&self) -> Option<UnixNanos> {
        self.strict_reference.then(|| self.reads.clock.now().saturating_sub(STRICT_LOOK_BACK))
    }

    /// All of these conditions; with the look-back of the reference where that is asked for and none of them bounds the time.
    pub(super) fn within_look_back(&self, mut parts: Vec<Condition>, search: Option<&Search>) -> Condition {
        let is_time = |part: &Condition| matches!(part, Condition::Since(..) | Condition::Until(..));
        let is_bounded = parts.iter().flat_map(Condition::needed).any(is_time)
            || search.is_some_and(|search| search.bounds() != (None, None));
        if let Some(since) = self.look_back().filter(|_| !is_bounded) {
            parts.push(Condition::Since("started_at", since));
        }
        Condition::All(parts)
    }

    /// Where a search stands in a statement. Spans of what it finds began a day before or after the row at most.
    pub(super) fn scope<'a>(
        &self,
        level: Level,
        workspace: &'a Workspace,
        condition: &Condition,
        search: &Search,
    ) -> Scope<'a> {
        let (mut since, mut until) = search.bounds();
        for needed in condition.needed() {
            match needed {
                Condition::Since("started_at", at) => since = since.max(Some(*at)),
                Condition::Until("started_at", at) => until = Some(until.map_or(*at, |until| until.min(*at))),
                _ => {}
            }
        }
        let name = |table: &str| self.reads.client().full_name(table);
        let (spans, traces, scores) = (name("otel_traces"), name("genai_traces"), name("genai_scores"));
        let (since, until) = (since.map(|at| at.saturating_sub(NEAR)), until.map(|at| at.saturating_add(NEAR)));
        Scope { level, workspace, spans, traces, scores, since, until }
    }
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
