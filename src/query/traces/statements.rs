//! The statements of traces.

use super::fields::{place, place_of_sum};
use super::row::{Range, SPANS_MAX};
use super::{Found, List};
use crate::clickhouse::{Parameter, Statement};
use crate::query::conditions::{self, trace_id};
use crate::query::cursor::PageStart;
use crate::query::expressions::{EXPERIMENT, HEAD, INPUT, NAME, OUTPUT, SESSION, STATUS, TEST_CASE};
use crate::query::filter::Condition;
use crate::query::listing::Listing;
use crate::query::mode::Mode;
use crate::query::q::{self, Level};
use crate::query::request::{self, Api, NEAR};
use crate::query::sums;
use crate::query::total;
use crate::time::UnixNanos;
use crate::workspace::Workspace;

pub(super) fn spans(api: &Api) -> String {
    api.reads.client().full_name("otel_traces")
}

/// The ids of a page, each with how many there are, if that is to be counted.
pub(super) fn page(list: &List<'_>, listing: &Listing, asked: &PageStart, is_counted: bool) -> Statement {
    let total = total::column(is_counted);
    let mut statement = Statement::new(&format!(
        "SELECT TraceId AS trace_id, toUnixTimestamp64Nano(Started) AS started, {total} AS total"
    ));
    push_from(&mut statement, list, &[]);
    listing.push_page(&mut statement, asked, "Started", &["TraceId"]);
    statement
}

/// How many there are.
pub(super) fn count(list: &List<'_>) -> Statement {
    if list.is_of_all() {
        // by a hash of eight bytes, of which two in a million million are the same among a few million traces: a third of the time
        let mut statement = Statement::new("SELECT uniqExact(cityHash64(TraceId)) AS total FROM ");
        statement.push(&spans(list.api)).push(" WHERE Workspace = ").bind(list.workspace.as_str());
        statement.push(" AND TraceId != ''");
        return statement;
    }
    let mut statement = Statement::new("SELECT count() AS total");
    push_from(&mut statement, list, &[]);
    statement
}

/// One row for each trace: when it started, and of its head what the filter asks for, and these fields.
pub(super) fn push_from(statement: &mut Statement, list: &List<'_>, also: &[&str]) {
    statement.push(
        " FROM (SELECT TraceId, if(countIf(ParentSpanId = '') > 0, minIf(Timestamp, ParentSpanId = ''), min(Timestamp)) AS Started",
    );
    let is_used = |field: &str| {
        also.contains(&field)
            || mentions(list.condition, field)
            || list.search.is_some_and(|search| search.mentions(field))
    };
    for (fields, name, expression) in HEAD_COLUMNS {
        if fields.iter().any(|field| is_used(field)) {
            // argMin passes over NULL, but not over a tuple that has one
            statement.push(&format!(", tupleElement(argMin(tuple({expression}), {HEAD}), 1) AS {name}"));
        }
    }
    if mentions(list.condition, "span_count") {
        statement.push(", count() AS all_spans");
    }
    if mentions(list.condition, "error_count") {
        statement.push(&format!(", countIf({STATUS} = 'error') AS all_errors"));
    }
    let table = spans(list.api);
    statement.push(&format!(" FROM {table} WHERE Workspace = ")).bind(list.workspace.as_str());
    statement.push(" AND TraceId != ''");
    for needed in list.condition.needed() {
        push_bound(statement, list, &table, needed);
    }
    if let Some(Found { ids, range }) = list.within {
        push_range(statement, range.as_ref());
        statement.push(" AND TraceId IN ").bind(ids.clone());
    }
    push_times(statement, "Timestamp", request::bounds(list.condition, list.search));
    statement.push(" GROUP BY TraceId) AS heads");
    push_sums(statement, list);
    statement.push(" WHERE ");
    conditions::push(statement, list.condition, place);
    if let Some(search) = list.search {
        statement.push(" AND ");
        q::push(statement, search.root(), &list.api.scope(Level::Trace, list.workspace, list.condition, search));
    }
}

/// What the head of a trace has, by the fields that ask for it.
const HEAD_COLUMNS: [(&[&str], &str, &str); 6] = [
    (&["name"], "head_name", NAME),
    (
        &["duration", "duration_ms"],
        "head_duration",
        "if(TimingQuality IN ('ingest', 'unknown'), NULL, nullIf(Duration, 0))",
    ),
    (&["session_id"], "head_session", SESSION),
    (&["status"], "head_status", STATUS),
    (&["experiment_id", "evaluation_id"], "head_experiment", EXPERIMENT),
    (&["test_case_id"], "head_test_case", TEST_CASE),
];

/// The sums of the calls of traces, beside the traces, if the condition is about any.
fn push_sums(statement: &mut Statement, list: &List<'_>) {
    if !sums::OF_TRACE.iter().any(|sum| sum.filter.is_some_and(|field| mentions(list.condition, field))) {
        return;
    }
    let columns = sums::OF_TRACE.iter().map(|sum| format!("{} AS {}", sum.expression, sum.joined));
    let columns: Vec<String> = columns.collect();
    statement.push(&format!(" LEFT JOIN (SELECT t.TraceId AS sum_of, {}", columns.join(", ")));
    push_from_sums(statement, list);
    for needed in list.condition.needed() {
        push_needed_sum(statement, needed);
    }
    statement.push(") AS sums ON heads.TraceId = sums.sum_of");
}

/// The rows `t` of `genai_traces` of traces that the list may have.
fn push_from_sums(statement: &mut Statement, list: &List<'_>) {
    statement.push(&format!(" FROM {} AS t WHERE t.Workspace = ", list.api.reads.client().full_name("genai_traces")));
    statement.bind(list.workspace.as_str());
    push_times(statement, "t.Timestamp", request::bounds(list.condition, list.search));
}

/// What must hold of a row `t` of `genai_traces`, if the condition is about a sum.
fn push_needed_sum(statement: &mut Statement, needed: &Condition) {
    if let Condition::Number(field, ..) = needed
        && place_of_sum(field).is_some()
    {
        conditions::push(statement.push(" AND "), needed, place_of_sum);
    }
}

/// The times of spans of traces that began from when to when.
fn push_times(statement: &mut Statement, column: &str, (since, until): (Option<UnixNanos>, Option<UnixNanos>)) {
    if let Some(at) = since {
        statement.push(&format!(" AND {column} >= ")).bind(at.saturating_sub(NEAR));
    }
    if let Some(at) = until {
        statement.push(&format!(" AND {column} <= ")).bind(at.saturating_add(NEAR));
    }
}

fn mentions(condition: &Condition, name: &str) -> bool {
    condition.fields().contains(&name)
}

/// Rows that a trace which meets the condition may have: fewer are read.
fn push_bound(statement: &mut Statement, list: &List<'_>, table: &str, needed: &Condition) {
    let mut with_row = |push: &dyn Fn(&mut Statement)| {
        statement.push(&format!(" AND TraceId IN (SELECT TraceId FROM {table} WHERE Workspace = "));
        push(statement.bind(list.workspace.as_str()).push(" AND "));
        statement.push(")");
    };
    let is = |expression: &'static str, value: &str| {
        let value = value.to_owned();
        move |statement: &mut Statement| {
            statement.push(expression).push(" = ").bind(value.as_str());
        }
    };
    match needed {
        Condition::Is("id", id) => drop(statement.push(" AND TraceId = ").bind(trace_id(id))),
        Condition::Is("session_id", session) if list.within.is_none() => {
            with_row(&|statement| conditions::push_session(statement, session))
        }
        Condition::Is("test_case_id", case) => with_row(&is(TEST_CASE, case)),
        Condition::Is("experiment_id" | "evaluation_id", experiment) => with_row(&is(EXPERIMENT, experiment)),
        Condition::Number(field, ..) if place_of_sum(field).is_some() => {
            push_from_sums(statement.push(" AND TraceId IN (SELECT t.TraceId"), list);
            push_needed_sum(statement, needed);
            statement.push(")");
        }
        _ => {}
    }
}

/// The traces with spans of a session, at most so many.
pub(super) fn of_session(list: &List<'_>, session: &str, most: u64) -> Statement {
    let mut statement = Statement::new("SELECT DISTINCT TraceId AS trace_id FROM ");
    statement.push(&spans(list.api)).push(" WHERE Workspace = ").bind(list.workspace.as_str());
    conditions::push_session(statement.push(" AND "), session);
    statement.push(" AND TraceId != '' LIMIT ").bind(most);
    statement
}

/// When these traces began and ended.
pub(super) fn range(api: &Api, ids: &[String]) -> Statement {
    let table = api.reads.client().full_name("otel_traces_trace_id_ts");
    let mut statement = Statement::new(&format!(
        "SELECT toUnixTimestamp64Nano(min(Start)) AS first, toUnixTimestamp64Nano(max(End)) AS last, uniqExact(TraceId) AS traces \
         FROM {table} WHERE TraceId IN "
    ));
    statement.bind(ids.to_vec());
    statement
}

/// The rest of a statement about rows of these traces, within their times.
pub(in crate::query) fn push_where(
    statement: &mut Statement,
    workspace: &Workspace,
    ids: &[String],
    range: Option<&Range>,
) {
    statement.push(" WHERE Workspace = ").bind(workspace.as_str());
    push_range(statement, range);
    statement.push(" AND TraceId IN ").bind(ids.to_vec());
}

fn push_range(statement: &mut Statement, range: Option<&Range>) {
    if let Some(range) = range {
        statement.push(" AND Timestamp >= ").bind(Parameter::Time(range.first));
        statement.push(" AND Timestamp <= ").bind(Parameter::Time(range.last));
    }
}

/// The spans of a trace, as far as they are drawn, by time.
pub(super) fn nodes(api: &Api, workspace: &Workspace, ids: &[String], range: Option<&Range>) -> Statement {
    let mut statement = Statement::new(&format!(
        "SELECT SpanId AS span_id, ParentSpanId AS parent_span_id, toUnixTimestamp64Nano(Timestamp) AS started, \
         Duration AS duration, TimingQuality AS timing, {NAME} AS name, ServiceName AS service, Operation AS operation, \
         {STATUS} AS status, TotalTokens AS tokens, toFloat64(CostTotal) AS cost FROM {}",
        spans(api)
    ));
    push_where(&mut statement, workspace, ids, range);
    statement.push(" ORDER BY Timestamp, SpanId LIMIT ").bind(SPANS_MAX);
    statement
}

/// What the heads of these traces say.
pub(super) fn heads(api: &Api, workspace: &Workspace, ids: &[String], range: Option<&Range>, mode: Mode) -> Statement {
    let of_head = [
        ("SpanId", "head_id"),
        ("toUnixTimestamp64Nano(Timestamp)", "started"),
        ("Duration", "duration"),
        ("TimingQuality", "timing"),
        (NAME, "name"),
        (SESSION, "session_id"),
        (STATUS, "status"),
        (EXPERIMENT, "experiment_id"),
        (TEST_CASE, "test_case_id"),
    ];
    let content = [(mode.content(INPUT), "input"), (mode.content(OUTPUT), "output")];
    let heads = of_head.iter().map(|(expression, name)| ((*expression).to_owned(), *name)).chain(content);
    let heads: Vec<String> =
        heads.map(|(expression, name)| format!("argMin({expression}, {HEAD}) AS {name}")).collect();
    let mut statement = Statement::new(&format!(
        "SELECT TraceId AS trace_id, {}, countIf(ParentSpanId = '') AS roots, count() AS spans, \
         countIf({STATUS} = 'error') AS errors FROM {}",
        heads.join(", "),
        spans(api)
    ));
    push_where(&mut statement, workspace, ids, range);
    statement.push(" GROUP BY TraceId");
    statement
}

/// The sums of their calls, each counted once.
pub(super) fn sums(api: &Api, workspace: &Workspace, ids: &[String], range: Option<&Range>) -> Statement {
    let calls = api.reads.client().full_name("genai_calls");
    let mut statement = Statement::new(&format!("SELECT TraceId AS trace_id, {} FROM {calls}", sums::COLUMNS));
    push_where(&mut statement, workspace, ids, range);
    statement.push(" GROUP BY TraceId");
    statement
}
