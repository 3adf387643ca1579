//! `/experiments/{name}/sessions`: what was logged for an experiment, a session a row, the earliest first.

use super::super::list::parameters;
use super::super::receiver::{ScoresReceiver, workspace};
use super::super::refused::Refused;
use super::super::{of_micros, time_text};
use super::handlers::find;
use super::rollups::{LATENCY, logged, scores_of_sessions, since};
use crate::clickhouse::Statement;
use crate::clickhouse::experiments::ExperimentRow;
use crate::columns::Table;
use crate::query::answer::{Refusal, json_answer};
use crate::query::expressions::{SESSION, STATUS, TEST_CASE};
use crate::query::filter::{Condition, Field, Fields, Filter, Kind};
use crate::query::page::{Checks, Nulls, Page, answer};
use crate::query::reads::Reads;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

const PAGE_SIZE: u64 = 100;
const STATUSES: [&str; 4] = ["success", "error", "cancelled", "unknown"];

const FIELDS: Fields = Fields {
    subject: "experiment session",
    fields: &[
        Field::new("test_case_id", Kind::Text),
        Field::new("status", Kind::Text),
        Field::new("created_at", Kind::Known),
        Field::new("entity_type", Kind::Known),
        Field::new("id", Kind::Known),
        Field::new("name", Kind::Known),
        Field::new("project", Kind::Known),
        Field::new("updated_at", Kind::Known),
        Field::new("workspace", Kind::Known),
    ],
    is_extended: false,
};

/// A session, by the first span of it that names the experiment.
#[derive(Debug, Row, Deserialize)]
struct Session {
    session: String,
    trace: String,
    span: String,
    started_at: i64,
    ended_at: Option<i64>,
    latency: Option<f64>,
    status: String,
    test_case: String,
}

#[derive(Debug, Row, Deserialize)]
struct Count {
    rows: u64,
}

#[derive(Debug, Default, Row, Deserialize)]
struct Used {
    session: String,
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
    cost: Option<f64>,
}

#[derive(Debug, Row, Deserialize)]
struct Scored {
    session: String,
    name: String,
    value: f64,
}

#[derive(Debug, Row, Deserialize)]
struct Input {
    span: String,
    input: String,
}

/// What the answer shows beside the sessions themselves.
#[derive(Default)]
struct More {
    used: HashMap<String, Used>,
    scores: HashMap<String, Map<String, Value>>,
    inputs: HashMap<String, String>,
}

pub(crate) async fn list(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let parameters = parameters(&uri)?;
    let mut checks = Checks::new(&parameters);
    let page = checks.page(PAGE_SIZE);
    checks.finish()?;
    let filter = Filter::of(&parameters)?;
    let conditions = conditions(filter.as_ref())?;
    let experiment = find(&scores, &workspace, &name).await?;
    let reads = &scores.reads;
    let counted: Option<Count> =
        reads.ask_one(&sessions(reads, "count() AS rows", (&workspace, &experiment), &conditions)).await?;
    let rows = page_of(reads, (&workspace, &experiment), &conditions, page).await?;
    let more = more(reads, &workspace, &experiment, &rows).await?;
    let data = rows.iter().map(|session| shown(&experiment, session, &more)).collect();
    let total = counted.map_or(0, |count| count.rows);
    let answered = answer(data, page, total, None, filter.as_ref(), Nulls::Written);
    Ok(json_answer(StatusCode::OK, &Value::Object(answered)))
}

/// Columns and the texts that they must have.
fn conditions(filter: Option<&Filter>) -> Result<Vec<(&'static str, String)>, Refusal> {
    let Some(filter) = filter else { return Ok(Vec::new()) };
    FIELDS.check_names(filter)?;
    let condition = FIELDS.check(filter)?;
    let mut found = Vec::new();
    for part in condition.needed() {
        let Condition::Is(field, text) = part else { continue };
        if *field == "status" && !STATUSES.contains(&text.as_str()) {
            let all = STATUSES.map(|status| format!("'{status}'")).join(", ");
            return Err(Refusal::bad_request(&format!("Invalid status '{text}'. Valid values: [{all}]")));
        }
        found.push((if *field == "status" { "status" } else { "test_case" }, text.clone()));
    }
    Ok(found)
}

fn sessions(
    reads: &Reads,
    select: &str,
    (workspace, experiment): (&Workspace, &ExperimentRow),
    conditions: &[(&'static str, String)],
) -> Statement {
    let mut statement = Statement::default();
    let workspace = statement.place(workspace.as_str());
    let since = statement.place(since(experiment.created_at));
    let names = statement.place(vec![experiment.name.clone()]);
    let logged = logged(reads.client(), [&workspace, &since, &names]);
    let ended = "if(TimingQuality IN ('ingest', 'unknown'), NULL, \
                 toNullable(intDiv(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration), 1000)))";
    statement.push(&format!(
        "SELECT {select} FROM (SELECT session, tupleElement(root, 1) AS trace, tupleElement(root, 2) AS span, \
         tupleElement(root, 3) AS started_at, tupleElement(root, 4) AS ended_at, tupleElement(root, 5) AS latency, \
         tupleElement(root, 6) AS status, tupleElement(root, 7) AS test_case FROM (SELECT {SESSION} AS session, \
         argMin(tuple(TraceId, SpanId, toUnixTimestamp64Micro(Timestamp), {ended}, {LATENCY}, {STATUS}, {TEST_CASE}), \
         tuple(Timestamp, SpanId)) AS root FROM {logged} GROUP BY session)) WHERE 1",
    ));
    for (column, text) in conditions {
        statement.push(&format!(" AND {column} = ")).bind(text.as_str());
    }
    statement
}

async fn page_of(
    reads: &Reads,
    of: (&Workspace, &ExperimentRow),
    conditions: &[(&'static str, String)],
    page: Page,
) -> Result<Vec<Session>, Refusal> {
    let columns = "session, trace, span, started_at, ended_at, latency, status, test_case";
    let mut statement = sessions(reads, columns, of, conditions);
    statement.push(" ORDER BY started_at, span LIMIT ").bind(page.size).push(" OFFSET ").bind(page.offset());
    reads.ask(&statement).await
}

/// Tokens, costs, scores and texts of the sessions of a page.
async fn more(
    reads: &Reads,
    workspace: &Workspace,
    experiment: &ExperimentRow,
    rows: &[Session],
) -> Result<More, Refusal> {
    let mut more = More::default();
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(more) };
    let client = reads.client();
    let names: Vec<String> = rows.iter().map(|row| row.session.clone()).collect();
    let traces: Vec<String> = rows.iter().map(|row| row.trace.clone()).collect();
    let mut calls = Statement::new(&format!(
        "SELECT {SESSION} AS session, sumOrNull(InputTokens) AS input, sumOrNull(OutputTokens) AS output, \
         sumOrNull(CacheReadTokens) AS cached, toFloat64(sumOrNull(CostTotal)) AS cost FROM {} WHERE Workspace = ",
        client.full_name("genai_calls")
    ));
    calls.bind(workspace.as_str()).push(" AND Timestamp >= ").bind(since(experiment.created_at));
    calls
        .push(" AND (SessionId IN ")
        .bind(names.clone())
        .push(" OR SessionId = '' AND TraceId IN ")
        .bind(traces.clone());
    calls.push(") GROUP BY session");
    let used: Vec<Used> = reads.ask(&calls).await?;
    more.used = used.into_iter().map(|used| (used.session.clone(), used)).collect();

    let mut scores = Statement::default();
    let (of, names) = (scores.place(workspace.as_str()), scores.place(names));
    scores.push(&scores_of_sessions(client, &of, &names)).push(" ORDER BY name");
    for Scored { session, name, value } in reads.ask::<Scored>(&scores).await? {
        more.scores.entry(session).or_default().insert(name, value.into());
    }

    let mut inputs = Statement::new(&format!(
        "SELECT t.SpanId AS span, any(if(t.InputMessages != '', t.InputMessages, t.ContentAttributes['input.value'])) AS input \
         FROM {} AS t WHERE t.Workspace = ",
        client.full_name(Table::Traces.name())
    ));
    inputs.bind(workspace.as_str()).push(" AND t.Timestamp >= ").bind(of_micros(first.started_at));
    inputs.push(" AND t.Timestamp <= ").bind(of_micros(last.started_at.saturating_add(1)));
    inputs.push(" AND t.TraceId IN ").bind(traces);
    inputs.push(" AND t.SpanId IN ").bind(rows.iter().map(|row| row.span.clone()).collect::<Vec<_>>());
    let found: Vec<Input> = reads.ask(inputs.push(" GROUP BY span")).await?;
    more.inputs = found.into_iter().map(|found| (found.span, found.input)).collect();
    Ok(more)
}

fn shown(experiment: &ExperimentRow, session: &Session, more: &More) -> Value {
    let none = Used::default();
    let used = more.used.get(&session.session).unwrap_or(&none);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "workspace": experiment.workspace,
        "experiment_name": experiment.name,
        "session_id": session.session,
        "test_case_id": some(&session.test_case),
        "trace_id": session.trace,
        "root_span_id": session.span,
        "started_at": time_text(session.started_at),
        "ended_at": session.ended_at.map(time_text),
        "latency_ms": session.latency,
        "status": session.status,
        "input": more.inputs.get(&session.span).and_then(|input| some(input)),
        "input_tokens": used.input,
        "output_tokens": used.output,
        "cached_tokens": used.cached,
        "cost_total_usd": used.cost,
        "evaluator_scores": more.scores.get(&session.session).cloned().unwrap_or_default(),
    })
}
