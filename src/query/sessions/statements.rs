//! The statements of sessions.

use super::List;
use super::fields::place;
use super::row::Times;
use crate::clickhouse::Statement;
use crate::query::conditions;
use crate::query::cursor::PageStart;
use crate::query::expressions::{SESSION_OF_TRACE, STATUS};
use crate::query::filter::Condition;
use crate::query::q::{self, Level};
use crate::query::request::Api;
use crate::query::sums;
use crate::workspace::Workspace;

/// A page of sessions, each with what was counted of its traces.
pub(super) fn page(list: &List<'_>, asked: &PageStart) -> Statement {
    let mut statement = Statement::new(
        "SELECT session_id, toUnixTimestamp64Nano(FirstTime) AS started, toUnixTimestamp64Nano(LastTime) AS ended, traces, calls, \
         errors, input_tokens, output_tokens, cached_tokens, total_tokens, cost_total, users, models, input, output FROM (SELECT ",
    );
    push_traces(&mut statement, list, ALL);
    let is_light = is_light(list);
    if is_light {
        let global = list.api.reads.client().global();
        statement.push(&format!(" AND t.SessionId {global}IN (SELECT session_id FROM (SELECT "));
        push_traces(&mut statement, list, LIGHT);
        push_page(&mut statement, list, asked, false);
        statement.push(")");
    }
    push_page(&mut statement, list, asked, is_light);
    statement
}

/// How many there are.
pub(super) fn count(list: &List<'_>) -> Statement {
    let mut statement = Statement::new("SELECT count() AS total FROM (SELECT ");
    push_traces(&mut statement, list, if is_light(list) { LIGHT } else { ALL });
    push_sessions(&mut statement, list);
    statement
}

/// Of a session what it is sorted by: two columns of its traces.
const LIGHT: &str = "SessionId AS session_id, min(Timestamp) AS FirstTime";
/// All of it.
const ALL: &str = "SessionId AS session_id, min(Timestamp) AS FirstTime, \
     max(Timestamp + toIntervalNanosecond(Duration)) AS LastTime, count() AS traces, sum(Calls) AS calls, \
     sum(Errors) AS errors, sum(InputTokens) AS input_tokens, sum(OutputTokens) AS output_tokens, \
     sum(CacheReadTokens) AS cached_tokens, sum(TotalTokens) AS total_tokens, toFloat64(sum(CostTotal)) AS cost_total, \
     arraySort(groupUniqArrayIf(UserId, UserId != '')) AS users, \
     CAST(arraySort(groupUniqArrayArray(Models)), 'Array(String)') AS models, \
     argMinIf(InputPreview, Timestamp, InputPreview != '') AS input, \
     argMaxIf(OutputPreview, Timestamp, OutputPreview != '') AS output";

/// Whether a page is found by what a session is sorted by: the rest is then read of the sessions of the page only.
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

/// Those as sessions, if what is asked for holds.
fn push_sessions(statement: &mut Statement, list: &List<'_>) {
    statement.push(" GROUP BY t.SessionId) WHERE ");
    conditions::push(statement, list.condition, place);
    if let Some(search) = &list.listing.search {
        statement.push(" AND ");
        q::push(statement, search.root(), &list.api.scope(Level::Session, list.workspace, list.condition, search));
    }
}

/// The sessions of a page. `is_found`: there are no others.
fn push_page(statement: &mut Statement, list: &List<'_>, asked: &PageStart, is_found: bool) {
    push_sessions(statement, list);
    let (page, is_descending) = (list.listing.page, list.listing.is_descending());
    if let PageStart::After(after) = asked {
        let id = after.keys.first().map(String::as_str).unwrap_or_default();
        conditions::push_after(statement, "FirstTime", is_descending, after.at, &[("session_id", id)]);
    }
    let way = if is_descending { " DESC" } else { "" };
    statement.push(&format!(" ORDER BY FirstTime{way}, session_id LIMIT ")).bind(page.size);
    if *asked == PageStart::No && !is_found {
        statement.push(" OFFSET ").bind(page.offset());
    }
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
    if let Some(trace) = id.strip_prefix(SESSION_OF_TRACE) {
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
