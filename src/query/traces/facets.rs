//! `GET /traces/facets`: which values the fields of the traces that a filter and a search leave have, and in how many traces each is.

use super::histogram::LOOK_BACK;
use super::range::{Bounds, Ranged, kind};
use super::{List, statements};
use crate::clickhouse::Statement;
use crate::query::answer::{Refusal, json_answer};
use crate::query::counted;
use crate::query::q;
use crate::query::request::{Api, NEAR, with_search};
use crate::query::times::shown;
use crate::query::values;
use ::clickhouse::Row;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What is counted when nothing is said.
const FIELDS: &str = "status,model,provider,agent,tool,service,user";
const FIELDS_MAX: usize = 12;
const VALUES: u64 = 10;
const VALUES_MAX: u64 = 100;

#[derive(Debug, Row, Deserialize)]
struct Counted {
    field: String,
    value: String,
    traces: u64,
}

/// `GET /traces/facets`
pub(in crate::query) async fn facets(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let kind = kind(&api, &["fields", "limit"]);
    let (asked_for, limit) = counted::Counted::read(&api, (&name, query.as_deref()), kind, |checks, _| {
        checks.integer("limit", 1, VALUES_MAX).unwrap_or(VALUES)
    })?;
    let fields = asked(asked_for.parameters.get("fields").unwrap_or(FIELDS))?;
    let ranged = Ranged::new(asked_for, LOOK_BACK);
    let range = ranged.bounds;
    let counted: Vec<Counted> = api.reads.ask(&statement(&ranged.list(&api), &fields, range, limit)).await?;
    let of = |field: &q::Field| {
        let own = counted.iter().filter(|row| row.field == field.name);
        own.map(|row| json!({"value": row.value, "traces": row.traces})).collect::<Value>()
    };
    let facets: Map<String, Value> = fields.iter().map(|field| (field.name.to_owned(), of(field))).collect();
    let mut answer = Map::new();
    answer.insert("since".to_owned(), shown(range.0.nanos()).into());
    answer.insert("until".to_owned(), shown(range.1.nanos()).into());
    answer.insert("facets".to_owned(), facets.into());
    Ok(json_answer(StatusCode::OK, &with_search(answer, ranged.of.search.as_ref())))
}

/// The fields that are asked for.
fn asked(names: &str) -> Result<Vec<&'static q::Field>, Refusal> {
    let mut fields: Vec<&'static q::Field> = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let field = values::counted_field(name)?;
        if field.kind == q::Kind::OfSpan {
            return Err(Refusal::bad_request("Values of 'kind' are not counted; ask for 'operation'"));
        }
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    if fields.is_empty() || fields.len() > FIELDS_MAX {
        return Err(Refusal::bad_request(&format!("fields must name 1 to {FIELDS_MAX} fields, such as {FIELDS}")));
    }
    Ok(fields)
}

fn statement(list: &List<'_>, fields: &[&q::Field], (since, until): Bounds, limit: u64) -> Statement {
    // what a trace says is what its root says
    let of_root = |field: &q::Field| matches!(field.name, "name" | "status");
    let pair = |field: &&q::Field| {
        let column = q::column(field);
        let value = if of_root(field) { format!("if(ParentSpanId = '', {column}, '')") } else { column.to_owned() };
        format!("('{}', toString({value}))", field.name)
    };
    let pairs: Vec<String> = fields.iter().map(pair).collect();
    let mut statement = Statement::new(&format!(
        "SELECT pair.1 AS field, pair.2 AS value, uniqExact(TraceId) AS traces FROM (SELECT TraceId, arrayJoin([{}]) AS pair FROM {} \
         WHERE Workspace = ",
        pairs.join(", "),
        statements::spans(list.api)
    ));
    statement.bind(list.workspace.as_str());
    statement.push(" AND Timestamp >= ").bind(since.saturating_sub(NEAR));
    statement.push(" AND Timestamp <= ").bind(until.saturating_add(NEAR));
    statement.push(" AND TraceId IN (SELECT TraceId");
    statements::push_from(&mut statement, list, &[]);
    statement.push(")) WHERE pair.2 != '' GROUP BY field, value ORDER BY field, traces DESC, value LIMIT ");
    statement.bind(limit).push(" BY field");
    statement
}
