//! `GET .../calls/series`, `/calls/breakdown`, `/calls/errors`, `/tools`: calls over time, by a key, what failed.
//!
//! Calls are those of `genai_calls`, each counted once whoever reported it.

use super::answer;
use super::range::Calls;
use crate::clickhouse::Statement;
use crate::query::answer::{Problem, Refusal};
use crate::query::expressions::STATUS;
use crate::query::measures::{MEASURES, column, groupings};
use crate::query::parameters::Parameters;
use crate::query::request::{Api, workspace};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// Points of a series.
const BUCKETS_DEFAULT: u64 = 60;
const BUCKETS_MAX: u64 = 300;
/// Values of a key that have a series of their own; the others have one together.
const SERIES_MAX: u64 = 8;
/// Rows of a breakdown.
const ROWS_MAX: u64 = 200;
/// What the reports of one run of a tool have in common, beside their trace.
const RUN: &str = "if(ToolCallId = '', SpanId, ToolCallId)";
/// How long a run took; null where its times are not known.
const LASTED: &str = "if(TimingQuality IN ('ingest', 'unknown'), NULL, Duration)";

/// `GET .../calls/series?since&until&buckets&by`: a row for each bucket in which there are calls, and for each value of `by`.
pub(super) async fn series(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = parameters(query.as_deref(), &["buckets", "by"])?;
    let calls = Calls::read(&workspace, &parameters, api.reads.clock.now())?;
    let buckets = number(&parameters, "buckets", BUCKETS_DEFAULT, BUCKETS_MAX)?;
    let by = parameters.get("by").map(key).transpose()?;
    let table = api.reads.client().full_name("genai_calls");
    let step = calls.until.nanos_since(calls.since).div_ceil(buckets).max(1);
    let mut statement = Statement::new("SELECT intDiv(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano(");
    statement.bind(calls.since).push("), ").bind(step).push(") AS bucket, ");
    if let Some(column) = by {
        statement.push(&format!("if({column} IN (SELECT {column} FROM {table}"));
        calls.push(&mut statement);
        statement.push(&format!(" GROUP BY {column} ORDER BY sum(CostTotal) DESC NULLS LAST, count() DESC LIMIT "));
        statement.bind(SERIES_MAX).push(&format!("), toString({column}), 'other') AS key, "));
    }
    statement.push(MEASURES).push(&format!(" FROM {table}"));
    calls.push(&mut statement);
    statement.push(if by.is_some() {
        " GROUP BY bucket, key ORDER BY bucket, key"
    } else {
        " GROUP BY bucket ORDER BY bucket"
    });
    answer(&api, &statement).await
}

/// `GET .../calls/breakdown?by&since&until`: a row for each value of a key, the dearest first; without `by` one row of all.
pub(super) async fn breakdown(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = parameters(query.as_deref(), &["by", "limit"])?;
    let calls = Calls::read(&workspace, &parameters, api.reads.clock.now())?;
    let limit = number(&parameters, "limit", ROWS_MAX, ROWS_MAX)?;
    let key =
        parameters.get("by").map(key).transpose()?.map_or("''".to_owned(), |column| format!("toString({column})"));
    let table = api.reads.client().full_name("genai_calls");
    let mut statement = Statement::new(&format!("SELECT {key} AS key, {MEASURES} FROM {table}"));
    calls.push(&mut statement);
    statement.push(" GROUP BY key ORDER BY cost DESC NULLS LAST, calls DESC, key LIMIT ").bind(limit);
    answer(&api, &statement).await
}

/// `GET .../calls/errors?since&until`: what calls failed with, and how they ended.
pub(super) async fn errors(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = parameters(query.as_deref(), &[])?;
    let calls = Calls::read(&workspace, &parameters, api.reads.clock.now())?;
    let table = api.reads.client().full_name("genai_calls");
    let mut statement = Statement::new(&format!(
        "SELECT if(IsError, if(ErrorType = '', 'error', toString(ErrorType)), '') AS error, \
         if(IsError, '', arrayStringConcat(FinishReasonsNormalized, ', ')) AS finish, Model AS model, count() AS calls, \
         toUnixTimestamp64Milli(max(Timestamp)) AS last, argMax(leftUTF8(ErrorMessage, 300), Timestamp) AS message, \
         argMax(TraceId, Timestamp) AS trace_id, argMax(SpanId, Timestamp) AS span_id FROM {table}"
    ));
    calls.push(&mut statement);
    statement.push(" GROUP BY error, finish, model ORDER BY error = '', calls DESC LIMIT ").bind(ROWS_MAX);
    answer(&api, &statement).await
}

/// `GET .../tools?since&until`: how often each tool ran, failed, and how long it took. A run that a span and an event report is one.
pub(super) async fn tools(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = Parameters::parse(query.as_deref())?;
    parameters.refuse_others(&["since", "until"])?;
    let calls = Calls::read(&workspace, &parameters, api.reads.clock.now())?;
    let table = api.reads.client().full_name("otel_traces");
    let mut statement = Statement::new(&format!(
        "SELECT key, count() AS calls, countIf(is_error) AS errors, quantileOrNull(0.5)(lasted) AS p50, \
         quantileOrNull(0.95)(lasted) AS p95, max(lasted) AS longest, argMax(trace, ifNull(lasted, 0)) AS trace_id, \
         argMax(span, ifNull(lasted, 0)) AS span_id FROM (\
         SELECT TraceId AS trace, argMax(SpanId, Duration) AS span, if(max(ToolName) = '', any(SpanName), max(ToolName)) AS key, \
         max({STATUS} = 'error') AS is_error, max({LASTED}) AS lasted FROM {table}"
    ));
    calls.push(&mut statement);
    statement.push(&format!(
        " AND Operation = 'execute_tool' GROUP BY TraceId, {RUN}) GROUP BY key ORDER BY calls DESC, key LIMIT "
    ));
    statement.bind(ROWS_MAX);
    answer(&api, &statement).await
}

pub(super) fn parameters(query: Option<&str>, own: &[&str]) -> Result<Parameters, Refusal> {
    let parameters = Parameters::parse(query)?;
    let known: Vec<&str> = ["since", "until"].into_iter().chain(groupings()).chain(own.iter().copied()).collect();
    parameters.refuse_others(&known)?;
    Ok(parameters)
}

/// The column of `by`.
fn key(name: &str) -> Result<&'static str, Refusal> {
    column(name).ok_or_else(|| Refusal::bad_request(&format!("by must be one of: {}", groupings().join(", "))))
}

fn number(parameters: &Parameters, name: &str, default: u64, max: u64) -> Result<u64, Refusal> {
    let Some(text) = parameters.get(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| {
        let message = format!("Input should be a number from 1 to {max}");
        Refusal::invalid(vec![Problem::new("int_parsing", &["query", name], &message, json!(text), Value::Null)])
    })
}
