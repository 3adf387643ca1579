//! The statements of sessions.

use super::List;
use super::fields::place;
use super::row::Times;
use crate::clickhouse::Statement;
use crate::query::conditions;
use crate::query::cursor::PageStart;
use crate::query::expressions::{STATUS, trace_of_session};
use crate::query::filter::Condition;
use crate::query::found::Found;
use crate::query::q::{self, Level};
use crate::query::request::{Api, bounds};
use crate::query::{sums, total};
use crate::workspace::Workspace;
use std::time::Duration;

/// How far sessions are looked for before all are: those that began within a day are found by the traces of that day.
pub(super) const LENGTHS: &[Duration] = &[Duration::from_secs(60 * 60), CANDIDATES_MAX];
const CANDIDATES_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The sessions of a page, and how many there are, if it is a page by its number.
pub(super) fn page(list: &List<'_>, asked: &PageStart) -> Statement {
    let total = total::column(*asked == PageStart::No);
    let mut statement = Statement::new(&format!(
        "SELECT session_id AS id, toUnixTimestamp64Nano(FirstTime) AS first, toUnixTimestamp64Nano(LastStart) AS last, \
         {total} AS total FROM (SELECT "
    ));
    push_sessions(&mut statement, list);
    list.listing.push_page(&mut statement, asked, "FirstTime", &["session_id"]);
    statement
}

/// How many there are.
pub(super) fn count(list: &List<'_>) -> Statement {
    let mut statement = Statement::new("SELECT count() AS total FROM (SELECT ");
    push_sessions(&mut statement, list);
    statement
}

/// These sessions, each with what was counted of its traces.
pub(super) fn rows(list: &List<'_>, found: &Found) -> Statement {
    let mut statement = Statement::new(
        "SELECT session_id, toUnixTimestamp64Nano(FirstTime) AS started, toUnixTimestamp64Nano(LastTime) AS ended, traces, calls, \
         errors, input_tokens, output_tokens, cached_tokens, total_tokens, cost_total, users, models, input, output FROM (SELECT ",
    );
    push_traces(&mut statement, list, ALL);
    found.push_within(statement.push(" AND "), "t.Timestamp", "t.SessionId");
    statement.push(" GROUP BY t.SessionId)");
    statement
}

/// Of a session what it is sorted by: two columns of its traces.
const LIGHT: &str = "SessionId AS session_id, min(Timestamp) AS FirstTime, max(Timestamp) AS LastStart";
/// All of it.
const ALL: &str = "SessionId AS session_id, min(Timestamp) AS FirstTime, max(Timestamp) AS LastStart, \
     max(Timestamp + toIntervalNanosecond(Duration)) AS LastTime, count() AS traces, sum(Calls) AS calls, \
     sum(Errors) AS errors, sum(InputTokens) AS input_tokens, sum(OutputTokens) AS output_tokens, \
     sum(CacheReadTokens) AS cached_tokens, sum(TotalTokens) AS total_tokens, toFloat64(sum(CostTotal)) AS cost_total, \
     arraySort(groupUniqArrayIf(UserId, UserId != '')) AS users, \
     CAST(arraySort(groupUniqArrayArray(Models)), 'Array(String)') AS models, \
     argMinIf(InputPreview, Timestamp, InputPreview != '') AS input, \
     argMaxIf(OutputPreview, Timestamp, OutputPreview != '') AS output";

/// Whether a session is chosen by nothing but what it is sorted by.
fn is_light(list: &List<'_>) -> bool {
    list.listing.search.is_none() && list.condition.fields().iter().all(|field| ["id", "started_at"].contains(field))
}

/// Traces of sessions, up to a further condition.
fn push_traces(statement: &mut Statement, list: &List<'_>, columns: &str) {
    let traces = list.api.reads.client().full_name("genai_traces");
    statement.push(&format!("{columns} FROM {traces} AS t WHERE t.Workspace = "));
    statement.bind(list.workspace.as_str()).push(" AND t.SessionId != ''");
    for needed in list.condition.needed() {
        if let Condition::Is("id", id) = needed {
            statement.push(" AND t.SessionId = ").bind(id.as_str());
        }
    }
}

/// The sessions for which what is asked for holds.
fn push_sessions(statement: &mut Statement, list: &List<'_>) {
    push_traces(statement, list, if is_light(list) { LIGHT } else { ALL });
    push_candidates(statement, list);
    statement.push(" GROUP BY t.SessionId) WHERE ");
    conditions::push(statement, list.condition, place);
    if let Some(search) = &list.listing.search {
        statement.push(" AND ");
        q::push(statement, search.root(), &list.api.scope(Level::Session, list.workspace, list.condition, search));
    }
}

/// Adds that the session has a trace that began when it is to have begun itself. The index of sessions is then asked for each of them,
/// so that it helps only if they are few: for a short time.
fn push_candidates(statement: &mut Statement, list: &List<'_>) {
    let reads = &list.api.reads;
    let (since, until) = bounds(list.condition, list.listing.search.as_ref());
    let Some(since) = since else { return };
    let end = until.unwrap_or_else(|| reads.clock.now());
    if Duration::from_nanos(end.nanos_since(since)) > CANDIDATES_MAX {
        return;
    }
    let (traces, global) = (reads.client().full_name("genai_traces"), reads.client().global());
    statement.push(&format!(" AND t.SessionId {global}IN (SELECT c.SessionId FROM {traces} AS c WHERE c.Workspace = "));
    statement.bind(list.workspace.as_str()).push(" AND c.SessionId != '' AND c.Timestamp >= ").bind(since);
    if let Some(until) = until {
        statement.push(" AND c.Timestamp <= ").bind(until);
    }
    statement.push(")");
}

/// When the spans of a session began: always a row. Each part has a skipping index of its own, of the session and of the trace; no
/// index serves both alternatives at once.
pub(super) fn times(api: &Api, workspace: &Workspace, id: &str) -> Statement {
    let table = api.reads.client().full_name("otel_traces");
    let mut statement = Statement::new(
        "SELECT toUnixTimestamp64Nano(min(Timestamp)) AS first, toUnixTimestamp64Nano(max(Timestamp)) AS last, count() AS spans FROM (",
    );
    let of_workspace = format!("SELECT Timestamp FROM {table} WHERE Workspace = ");
    statement.push(&of_workspace).bind(workspace.as_str()).push(" AND SessionId = ").bind(id);
    if let Some(trace) = trace_of_session(id) {
        statement.push(" UNION ALL ").push(&of_workspace).bind(workspace.as_str());
        statement.push(" AND SessionId = '' AND TraceId = ").bind(trace);
    }
    statement.push(")");
    statement
}

/// What the spans of a session say: always a row.
pub(super) fn spans(api: &Api, workspace: &Workspace, id: &str, times: &Times) -> Statement {
    let table = api.reads.client().full_name("otel_traces");
    let mut statement = Statement::new(&format!(
        "SELECT count() AS spans, uniqExact(TraceId) AS traces, toUnixTimestamp64Nano(min(Timestamp)) AS started, \
         max(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration)) AS ended, \
         countIf(Duration = 0 OR TimingQuality IN ('ingest', 'unknown')) AS endless, \
         countIf({STATUS} = 'error') AS errors, countIf({STATUS} = 'cancelled') AS cancelled FROM {table} WHERE Workspace = "
    ));
    statement.bind(workspace.as_str());
    times.push(&mut statement);
    conditions::push_session(statement.push(" AND "), id);
    statement
}

/// The sums of its calls, each counted once.
pub(super) fn sums(api: &Api, workspace: &Workspace, id: &str, times: &Times) -> Statement {
    let calls = api.reads.client().full_name("genai_calls");
    let mut statement =
        Statement::new(&format!("SELECT '' AS trace_id, {} FROM {calls} WHERE Workspace = ", sums::COLUMNS));
    statement.bind(workspace.as_str());
    times.near().push(&mut statement);
    conditions::push_session(statement.push(" AND "), id);
    statement
}
