//! `/experiments/{name}/sessions`: what was logged for an experiment, a session a row, the earliest first.

use super::super::list::{marks_of, parameters};
use super::super::receiver::{ScoresReceiver, workspace};
use super::super::refused::Refused;
use super::super::{of_micros, time_text};
use super::handlers::find;
use super::rollups::{LATENCY, TOKENS, logged, scores_of_sessions, session_of_call, since};
use crate::clickhouse::experiments::ExperimentRow;
use crate::clickhouse::{Client, Statement};
use crate::columns::Table;
use crate::query::answer::{Refusal, json_answer};
use crate::query::conditions::{self, Place};
use crate::query::cursor::{self, After, Cursors, PageStart};
use crate::query::expressions::{INPUT, OUTPUT, SESSION, STATUS, TEST_CASE, trace_of_session};
use crate::query::filter::{Comparison, Condition, Field, Fields, Filter, Kind, Operator};
use crate::query::mode::Mode;
use crate::query::page::{Checks, Nulls, Page, answer};
use crate::query::reads::Reads;
use crate::query::total;
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
/// The order when nobody asks for one.
const SORT: &str = "started_at";
const STATUSES: [&str; 4] = ["success", "error", "cancelled", "unknown"];

const FIELDS: [Field; 9] = [
    Field::new("test_case_id", Kind::Text),
    Field::new("status", Kind::Choice(&STATUSES)),
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
    /// Its value of each key of the order, as a cursor keeps it.
    marks: Vec<String>,
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
struct SessionsQuery {
    mode: Mode,
    condition: Option<Condition>,
    order: Order,
    start: PageStart,
}

/// Keys, the first of which decides; then the id of the span.
struct Order(Vec<SortKey>);

/// An expression in SQL, and its direction. What has no value comes last.
struct SortKey {
    expression: &'static str,
    is_text: bool,
    descends: bool,
}

pub(crate) async fn list(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    naming: Naming,
    uri: Uri,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let is_later = naming == Naming::Evaluations || !scores.strict_reference;
    let parameters = parameters(&uri, if is_later { &["mode", "cursor"] } else { &[] })?;
    let mut checks = Checks::new(&parameters);
    let page = checks.page(PAGE_SIZE);
    let mode = Mode::read(&mut checks).unwrap_or(Mode::Detailed);
    checks.finish()?;
    let filter = Filter::of(&parameters)?;
    let condition = condition(filter.as_ref(), is_later)?;
    let sort = parameters.get("sort").filter(|_| is_later).unwrap_or(SORT);
    let order = Order::parse(sort)?;
    let cursors = Cursors::of(&format!("sessions of {name}"), sort, filter.as_ref(), None);
    let start = cursors.read(&parameters, order.0.len() + 1)?;
    let asked = SessionsQuery { mode, condition, order, start };
    let experiment = find(&scores, &workspace, &name, naming).await?;
    let reads = &scores.reads;
    let of = (&workspace, &experiment);
    let rows: Vec<Session> = reads.ask(&page_of(reads.client(), of, &asked, page)?).await?;
    let more = more(reads, of, &asked, &rows).await?;
    let data = rows.iter().map(|session| shown(&experiment, session, &more, (naming, is_later))).collect();
    if asked.start != PageStart::No {
        let last = rows.last().filter(|_| page.is_full(rows.len()));
        let next = last.map(|last| cursors.next(&last.place()));
        return Ok(json_answer(StatusCode::OK, &cursor::answer(data, page.size, next, sort, filter.as_ref()).into()));
    }
    let total = match total::known(page, rows.len()) {
        Some(total) => total,
        None => total::ask(reads, &count(reads.client(), of, &asked)).await?,
    };
    let answered = answer(data, page, total, None, filter.as_ref(), Nulls::Written);
    Ok(json_answer(StatusCode::OK, &Value::Object(answered)))
}

impl Session {
    /// Where the page after it begins.
    fn place(&self) -> After {
        After { at: 0, keys: self.marks.iter().cloned().chain([self.span.clone()]).collect() }
    }
}

fn condition(filter: Option<&Filter>, is_extended: bool) -> Result<Option<Condition>, Refusal> {
    let fields = Fields { subject: "experiment session", fields: &FIELDS, is_extended };
    let Some(filter) = filter else { return Ok(None) };
    fields.check_names(filter)?;
    filter.comparisons().into_iter().try_for_each(check_status)?;
    fields.check(filter).map(Some)
}

/// Refuses a status that there is not in the reference's words. An operator that a status does not take is refused for every field alike.
fn check_status(comparison: &Comparison) -> Result<(), Refusal> {
    let Comparison { field, operator, value, .. } = comparison;
    if field != "status" || !matches!(operator, Operator::Eq | Operator::In | Operator::Nin) {
        return Ok(());
    }
    let said = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    match said.iter().filter_map(Value::as_str).find(|text| !STATUSES.contains(text)) {
        None => Ok(()),
        Some(text) => {
            let all = STATUSES.map(|status| format!("'{status}'")).join(", ");
            Err(Refusal::bad_request(&format!("Invalid status '{text}'. Valid values: [{all}]")))
        }
    }
}

impl Order {
    fn parse(sort: &str) -> Result<Self, Refusal> {
        let mut keys = Vec::new();
        for token in sort.split(',').map(str::trim).filter(|token| !token.is_empty()) {
            let (field, descends) = token.strip_prefix('-').map_or((token, false), |field| (field, true));
            let (expression, is_text) = match field {
                "started_at" => ("toFloat64(started_at)", false),
                "ended_at" => ("toFloat64(ended_at)", false),
                "status" => ("status", true),
                "latency_ms" => ("toFloat64(latency)", false),
                "test_case_id" => ("nullIf(test_case, '')", true),
                "cost_total_usd" => ("toFloat64(c.cost)", false),
                "tokens" => ("toFloat64(c.tokens)", false),
                _ => return Err(Refusal::bad_request(&format!("Unsupported sort field: {field}"))),
            };
            keys.push(SortKey { expression, is_text, descends });
        }
        if keys.is_empty() {
            return Err(Refusal::bad_request("The 'sort' parameter must contain at least one field."));
        }
        Ok(Self(keys))
    }

    /// Whether it is by what calls come to.
    fn is_by_calls(&self) -> bool {
        self.0.iter().any(|key| key.expression.contains("c."))
    }

    /// The values of a row as [`Mark`](crate::receivers::scores::marks::Mark) writes them.
    fn marks(&self) -> String {
        let mark = |key: &SortKey| {
            let sign = if key.is_text { 's' } else { 'n' };
            format!("ifNull(concat('{sign}', toString({})), '')", key.expression)
        };
        self.0.iter().map(mark).collect::<Vec<_>>().join(", ")
    }

    fn sql(&self) -> String {
        let way = |key: &SortKey| format!("{} {}", key.expression, if key.descends { "DESC" } else { "ASC" });
        self.0.iter().map(way).chain(["span".to_owned()]).collect::<Vec<_>>().join(", ")
    }

    /// Adds that a row comes after the one with these values.
    fn push_after(&self, statement: &mut Statement, after: &After) -> Result<(), Refusal> {
        let (marks, span) = marks_of(after)?;
        let (mut equal, mut places) = (String::new(), Vec::new());
        for (SortKey { expression, descends, .. }, mark) in self.0.iter().zip(&marks) {
            let (is_equal, is_after) = match mark.parameter() {
                None => (format!("isNull({expression})"), "false".to_owned()),
                Some(value) => {
                    let (value, compared) = (statement.place(value), if *descends { "<" } else { ">" });
                    let is_after = format!("(isNull({expression}) OR {expression} {compared} {value})");
                    (format!("ifNull({expression} = {value}, false)"), is_after)
                }
            };
            places.push(format!("{equal}{is_after}"));
            equal.push_str(&format!("{is_equal} AND "));
        }
        let span = statement.place(span);
        places.push(format!("{equal}span > {span}"));
        statement.push(&format!(" AND ({})", places.join(" OR ")));
        Ok(())
    }
}

/// How many sessions there are. What their calls come to changes only their order, so calls are not read for it.
fn count(client: &Client, of: (&Workspace, &ExperimentRow), asked: &SessionsQuery) -> Statement {
    sessions(client, "count() AS total", of, asked.condition.as_ref(), false)
}

/// The sessions, as `s` beside what their calls come to as `c` where that is needed.
fn sessions(
    client: &Client,
    select: &str,
    (workspace, experiment): (&Workspace, &ExperimentRow),
    condition: Option<&Condition>,
    with_calls: bool,
) -> Statement {
    let mut statement = Statement::default();
    let workspace = statement.place(workspace.as_str());
    let since = statement.place(since(experiment.created_at));
    let names = statement.place(vec![experiment.name.clone()]);
    let logged = logged(client, [&workspace, &since, &names]);
    let calls = with_calls.then(|| {
        let calls = client.full_name("genai_calls");
        let session = session_of_call(client, &format!("(SELECT {SESSION} FROM {logged})"));
        format!(
            " AS s LEFT JOIN (SELECT {session} AS session, sumOrNull(CostTotal) AS cost, sumOrNull({TOKENS}) AS tokens \
             FROM {calls} WHERE Workspace = {workspace} AND Timestamp >= {since} GROUP BY session) AS c ON s.session = c.session"
        )
    });
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
    match condition {
        Some(condition) => conditions::push(&mut statement, condition, place),
        None => drop(statement.push("1")),
    }
    statement
}

fn page_of(
    client: &Client,
    of: (&Workspace, &ExperimentRow),
    asked: &SessionsQuery,
    page: Page,
) -> Result<Statement, Refusal> {
    let is_by_calls = asked.order.is_by_calls();
    let session = if is_by_calls { "s.session" } else { "session" };
    let marks = asked.order.marks();
    let columns = format!(
        "{session} AS session, trace, span, started_at, ended_at, latency, status, test_case, [{marks}] AS marks"
    );
    let mut statement = sessions(client, &columns, of, asked.condition.as_ref(), is_by_calls);
    if let PageStart::After(after) = &asked.start {
        asked.order.push_after(&mut statement, after)?;
    }
    statement.push(&format!(" ORDER BY {} LIMIT ", asked.order.sql())).bind(page.size);
    if asked.start == PageStart::No {
        statement.push(" OFFSET ").bind(page.offset());
    }
    Ok(statement)
}

/// Tokens, costs, scores and texts of the sessions of a page.
async fn more(
    reads: &Reads,
    (workspace, experiment): (&Workspace, &ExperimentRow),
    asked: &SessionsQuery,
    rows: &[Session],
) -> Result<More, Refusal> {
    let mut more = More::default();
    if rows.is_empty() {
        return Ok(more);
    }
    let client = reads.client();
    let names: Vec<String> = rows.iter().map(|row| row.session.clone()).collect();
    // of those that are made of it
    let traces: Vec<String> = names.iter().filter_map(|name| trace_of_session(name)).map(str::to_owned).collect();
    let mut calls = Statement::default();
    let of = calls.place(names.clone());
    calls.push(&format!(
        "SELECT {} AS session, sumOrNull(InputTokens) AS input, sumOrNull(OutputTokens) AS output, \
         sumOrNull(CacheReadTokens) AS cached, toFloat64(sumOrNull(CostTotal)) AS cost FROM {} WHERE Workspace = ",
        session_of_call(client, &of),
        client.full_name("genai_calls")
    ));
    calls.bind(workspace.as_str()).push(" AND Timestamp >= ").bind(since(experiment.created_at));
    calls.push(&format!(" AND (SessionId IN {of} OR TraceId IN ")).bind(traces).push(") GROUP BY session");
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
fn content(client: &Client, workspace: &Workspace, asked: &SessionsQuery, rows: &[Session]) -> Statement {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parameters::Parameters;

    fn checked(query: &str) -> Result<Option<Condition>, String> {
        let parameters = Parameters::parse(Some(query)).unwrap();
        let filter = Filter::of(&parameters).unwrap();
        condition(filter.as_ref(), true).map_err(|refusal| refusal.detail().as_str().unwrap().to_owned())
    }

    #[test]
    fn a_status_is_one_of_those_that_there_are_and_not_a_pattern() {
        let is = Condition::Is("status", "error".to_owned());
        assert_eq!(checked("filter[status]=error"), Ok(Some(is)));
        let several = Condition::In("status", vec!["error".to_owned(), "success".to_owned()]);
        assert_eq!(checked("filter[status][$in]=error,success"), Ok(Some(several)));
        let invalid = "Invalid status 'err%'. Valid values: ['success', 'error', 'cancelled', 'unknown']";
        for query in ["filter[status]=err%25", "filter[status][$in]=error,err%25", "filter[status][$nin]=err%25,error"]
        {
            assert_eq!(checked(query), Err(invalid.to_owned()), "{query}");
        }
        let operator = "Filter field 'status' takes $eq, $in and $nin, not $like.";
        for query in [r#"filter=status~"err%25""#, "filter[status][$like]=err%25", r#"filter=status~"error""#] {
            assert_eq!(checked(query), Err(operator.to_owned()), "{query}");
        }
    }
}
