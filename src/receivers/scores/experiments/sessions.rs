//! `/experiments/{name}/sessions`: what was logged for an experiment, a session a row, the earliest first.

use super::super::list::parameters;
use super::super::receiver::{ScoresReceiver, workspace};
use super::super::refused::Refused;
use super::super::{of_micros, time_text};
use super::handlers::find;
use super::rollups::{LATENCY, TOKENS, logged, scores_of_sessions, since};
use crate::clickhouse::experiments::ExperimentRow;
use crate::clickhouse::{Client, Statement};
use crate::columns::Table;
use crate::query::answer::{Refusal, json_answer};
use crate::query::conditions::{self, Place};
use crate::query::expressions::{INPUT, OUTPUT, SESSION, STATUS, TEST_CASE};
use crate::query::filter::{Condition, Field, Fields, Filter, Kind};
use crate::query::mode::Mode;
use crate::query::page::{Checks, Nulls, Page, answer};
use crate::query::reads::Reads;
use crate::scores::Naming;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

const PAGE_SIZE: u64 = 100;
const STATUSES: [&str; 4] = ["success", "error", "cancelled", "unknown"];

const FIELDS: [Field; 9] = [
    Field::new("test_case_id", Kind::Text),
    Field::new("status", Kind::Text),
    Field::new("created_at", Kind::Known),
    Field::new("entity_type", Kind::Known),
    Field::new("id", Kind::Known),
    Field::new("name", Kind::Known),
    Field::new("project", Kind::Known),
    Field::new("updated_at", Kind::Known),
    Field::new("workspace", Kind::Known),
];

fn place(field: &str) -> Option<Place> {
    match field {
        "test_case_id" => Some(Place::Text("test_case")),
        "status" => Some(Place::Text("status")),
        _ => None,
    }
}

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
struct Content {
    span: String,
    input: String,
    output: String,
}

/// What the answer shows beside the sessions themselves.
#[derive(Default)]
struct More {
    used: HashMap<String, Used>,
    scores: HashMap<String, Map<String, Value>>,
    content: HashMap<String, Content>,
}

/// What a list is asked for.
struct Asked {
    mode: Mode,
    condition: Option<Condition>,
    /// Expressions and directions, in SQL.
    order: String,
    /// Whether it is by what calls come to.
    is_by_calls: bool,
}

pub(crate) async fn list(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    naming: Naming,
    uri: Uri,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let is_later = naming == Naming::Evaluations || !scores.strict_reference;
    let parameters = parameters(&uri, if is_later { &["mode"] } else { &[] })?;
    let mut checks = Checks::new(&parameters);
    let page = checks.page(PAGE_SIZE);
    let mode = Mode::read(&mut checks).unwrap_or(Mode::Detailed);
    checks.finish()?;
    let filter = Filter::of(&parameters)?;
    let condition = condition(filter.as_ref(), is_later)?;
    let (order, is_by_calls) = order(parameters.get("sort").filter(|_| is_later))?;
    let asked = Asked { mode, condition, order, is_by_calls };
    let experiment = find(&scores, &workspace, &name, naming).await?;
    let reads = &scores.reads;
    let counted: Option<Count> =
        reads.ask_one(&sessions(reads, "count() AS rows", (&workspace, &experiment), &asked)).await?;
    let rows = page_of(reads, (&workspace, &experiment), &asked, page).await?;
    let more = more(reads, (&workspace, &experiment), &asked, &rows).await?;
    let data = rows.iter().map(|session| shown(&experiment, session, &more, (naming, is_later))).collect();
    let total = counted.map_or(0, |count| count.rows);
    let answered = answer(data, page, total, None, filter.as_ref(), Nulls::Written);
    Ok(json_answer(StatusCode::OK, &Value::Object(answered)))
}

fn condition(filter: Option<&Filter>, is_extended: bool) -> Result<Option<Condition>, Refusal> {
    let fields = Fields { subject: "experiment session", fields: &FIELDS, is_extended };
    let Some(filter) = filter else { return Ok(None) };
    fields.check_names(filter)?;
    let condition = fields.check(filter)?;
    for comparison in filter.comparisons().into_iter().filter(|comparison| comparison.field == "status") {
        let said = comparison.value.as_array().map_or_else(|| vec![&comparison.value], |list| list.iter().collect());
        if let Some(text) = said.into_iter().filter_map(Value::as_str).find(|text| !STATUSES.contains(text)) {
            let all = STATUSES.map(|status| format!("'{status}'")).join(", ");
            return Err(Refusal::bad_request(&format!("Invalid status '{text}'. Valid values: [{all}]")));
        }
    }
    Ok(Some(condition))
}

/// The order, and whether it is by what calls come to. What has no value comes last.
fn order(sort: Option<&str>) -> Result<(String, bool), Refusal> {
    let (mut order, mut is_by_calls) = (Vec::new(), false);
    for token in sort.unwrap_or("started_at").split(',').map(str::trim).filter(|token| !token.is_empty()) {
        let (field, way) = token.strip_prefix('-').map_or((token, "ASC"), |field| (field, "DESC"));
        let expression = match field {
            "started_at" | "ended_at" | "status" => field,
            "latency_ms" => "latency",
            "test_case_id" => "nullIf(test_case, '')",
            "cost_total_usd" => "c.cost",
            "tokens" => "c.tokens",
            _ => return Err(Refusal::bad_request(&format!("Unsupported sort field: {field}"))),
        };
        is_by_calls |= expression.starts_with("c.");
        order.push(format!("{expression} {way}"));
    }
    if order.is_empty() {
        return Err(Refusal::bad_request("The 'sort' parameter must contain at least one field."));
    }
    order.push("span".to_owned());
    Ok((order.join(", "), is_by_calls))
}

fn sessions(
    reads: &Reads,
    select: &str,
    (workspace, experiment): (&Workspace, &ExperimentRow),
    asked: &Asked,
) -> Statement {
    let mut statement = Statement::default();
    let workspace = statement.place(workspace.as_str());
    let since = statement.place(since(experiment.created_at));
    let calls = asked.is_by_calls.then(|| {
        let calls = reads.client().full_name("genai_calls");
        format!(
            " AS s LEFT JOIN (SELECT {SESSION} AS session, sumOrNull(CostTotal) AS cost, sumOrNull({TOKENS}) AS tokens \
             FROM {calls} WHERE Workspace = {workspace} AND Timestamp >= {since} GROUP BY session) AS c ON s.session = c.session"
        )
    });
    let names = statement.place(vec![experiment.name.clone()]);
    let logged = logged(reads.client(), [&workspace, &since, &names]);
    let ended = "if(TimingQuality IN ('ingest', 'unknown'), NULL, \
                 toNullable(intDiv(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration), 1000)))";
    statement.push(&format!(
        "SELECT {select} FROM (SELECT session, tupleElement(root, 1) AS trace, tupleElement(root, 2) AS span, \
         tupleElement(root, 3) AS started_at, tupleElement(root, 4) AS ended_at, tupleElement(root, 5) AS latency, \
         tupleElement(root, 6) AS status, tupleElement(root, 7) AS test_case FROM (SELECT {SESSION} AS session, \
         argMin(tuple(TraceId, SpanId, toUnixTimestamp64Micro(Timestamp), {ended}, {LATENCY}, {STATUS}, {TEST_CASE}), \
         tuple(Timestamp, SpanId)) AS root FROM {logged} GROUP BY session)){calls} WHERE ",
        calls = calls.unwrap_or_default(),
    ));
    match &asked.condition {
        Some(condition) => conditions::push(&mut statement, condition, place),
        None => drop(statement.push("1")),
    }
    statement
}

async fn page_of(
    reads: &Reads,
    of: (&Workspace, &ExperimentRow),
    asked: &Asked,
    page: Page,
) -> Result<Vec<Session>, Refusal> {
    let session = if asked.is_by_calls { "s.session" } else { "session" };
    let columns = format!("{session} AS session, trace, span, started_at, ended_at, latency, status, test_case");
    let mut statement = sessions(reads, &columns, of, asked);
    statement.push(&format!(" ORDER BY {} LIMIT ", asked.order)).bind(page.size).push(" OFFSET ").bind(page.offset());
    reads.ask(&statement).await
}

/// Tokens, costs, scores and texts of the sessions of a page.
async fn more(
    reads: &Reads,
    (workspace, experiment): (&Workspace, &ExperimentRow),
    asked: &Asked,
    rows: &[Session],
) -> Result<More, Refusal> {
    let mut more = More::default();
    if rows.is_empty() {
        return Ok(more);
    }
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

    if asked.mode != Mode::Summary {
        let found: Vec<Content> = reads.ask(&content(client, workspace, asked, rows)).await?;
        more.content = found.into_iter().map(|found| (found.span.clone(), found)).collect();
    }
    Ok(more)
}

/// Asks for the texts of the spans by which sessions are known.
fn content(client: &Client, workspace: &Workspace, asked: &Asked, rows: &[Session]) -> Statement {
    let of = |member: fn(&Session) -> &String| rows.iter().map(|row| member(row).clone()).collect::<Vec<_>>();
    let (first, last) =
        rows.iter().fold((i64::MAX, 0), |(first, last), row| (row.started_at.min(first), row.started_at.max(last)));
    // of a captured call its messages, as lists of spans show them
    let mut statement = Statement::new(&format!(
        "SELECT SpanId AS span, any({input}) AS input, any({output}) AS output FROM {} WHERE Workspace = ",
        client.full_name(Table::Traces.name()),
        input = asked.mode.content(INPUT),
        output = asked.mode.content(OUTPUT),
    ));
    statement.bind(workspace.as_str()).push(" AND Timestamp >= ").bind(of_micros(first));
    statement.push(" AND Timestamp <= ").bind(of_micros(last.saturating_add(1)));
    statement.push(" AND TraceId IN ").bind(of(|row| &row.trace));
    statement.push(" AND SpanId IN ").bind(of(|row| &row.span)).push(" GROUP BY span");
    statement
}

fn shown(experiment: &ExperimentRow, session: &Session, more: &More, (naming, is_later): (Naming, bool)) -> Value {
    let none = Used::default();
    let used = more.used.get(&session.session).unwrap_or(&none);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let content = more.content.get(&session.span);
    let mut answer = Map::new();
    let mut put = |name: &str, value: Value| drop(answer.insert(name.to_owned(), value));
    put("workspace", experiment.workspace.as_str().into());
    if naming == Naming::Evaluations {
        put("evaluation_name", experiment.name.as_str().into());
    }
    put("experiment_name", experiment.name.as_str().into());
    put("session_id", session.session.as_str().into());
    put("test_case_id", some(&session.test_case).into());
    put("trace_id", session.trace.as_str().into());
    put("root_span_id", session.span.as_str().into());
    put("started_at", time_text(session.started_at).into());
    put("ended_at", session.ended_at.map(time_text).into());
    put("latency_ms", session.latency.into());
    put("status", session.status.as_str().into());
    put("input", content.and_then(|content| some(&content.input)).into());
    if is_later {
        put("output", content.and_then(|content| some(&content.output)).into());
    }
    put("input_tokens", used.input.into());
    put("output_tokens", used.output.into());
    put("cached_tokens", used.cached.into());
    put("cost_total_usd", used.cost.into());
    put("evaluator_scores", more.scores.get(&session.session).cloned().unwrap_or_default().into());
    Value::Object(answer)
}
