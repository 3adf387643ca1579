//! `GET /fields`, `/values`: what a search may ask about, and which values there are; for completion.

use super::answer::{Refusal, json_answer};
use super::expressions::{KIND_UNKNOWN, KINDS};
use super::page::Checks;
use super::parameters::Parameters;
use super::q::{self, FIELDS, Field, Kind};
use super::request::{Api, workspace};
use crate::clickhouse::Statement;
use ::clickhouse::Row;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How far back values are looked for.
const LOOK_BACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const VALUES: u64 = 20;
const VALUES_MAX: u64 = 200;
/// Names of attributes begin with it.
const ATTRIBUTE: &str = "attr.";
const RESOURCE: &str = "resource.";
const STATUSES: [&str; 3] = ["ok", "error", "cancelled"];

#[derive(Debug, Row, Deserialize)]
struct Counted {
    value: String,
    spans: u64,
}

/// `GET /fields`
pub(super) async fn fields(Path(name): Path<String>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    workspace(&name)?;
    Parameters::parse(query.as_deref())?.refuse_others(&[])?;
    let one = |field: &Field| json!({"name": field.name, "kind": field.kind.name(), "about": field.about, "aliases": field.aliases});
    let with_key = [
        ("attr.KEY", "an attribute of the span"),
        ("resource.KEY", "an attribute of its resource"),
        ("score.NAME", "a score of the span"),
        ("has:FIELD", "the field, attribute or score is there"),
    ];
    let with_key = with_key.map(|(name, about)| json!({"name": name, "about": about}));
    let answer = json!({"fields": FIELDS.iter().map(one).collect::<Value>(), "with_key": with_key});
    Ok(json_answer(StatusCode::OK, &answer))
}

/// `GET /values?field=model&prefix=gpt`
pub(super) async fn values(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = Parameters::parse(query.as_deref())?;
    let mut checks = Checks::new(&parameters);
    let limit = checks.integer("limit", 1, VALUES_MAX).unwrap_or(VALUES);
    if parameters.get("field").is_none() {
        checks.add(super::answer::Problem::missing("field"));
    }
    checks.finish()?;
    parameters.refuse_others(&["field", "limit", "prefix"])?;
    let field = parameters.get("field").unwrap_or_default();
    let prefix = parameters.get("prefix").unwrap_or_default();
    let mut statement = Statement::new("SELECT toString(");
    let map = [(ATTRIBUTE, "SpanAttributes"), (RESOURCE, "ResourceAttributes")];
    let of_map =
        map.iter().find_map(|(start, map)| Some((*map, field.strip_prefix(start).filter(|key| !key.is_empty())?)));
    if let Some((map, key)) = of_map {
        statement.push(map).push("[").bind(key).push("]");
    } else {
        let field = counted_field(field)?;
        if let Some(words) = words(field.kind) {
            let found = words.into_iter().filter(|word| word.starts_with(prefix));
            let data: Value = found.map(|word| json!({"value": word})).collect();
            return Ok(json_answer(StatusCode::OK, &json!({"field": field.name, "data": data})));
        }
        statement.push(q::column(field));
    }
    let since = api.reads.clock.now().saturating_sub(LOOK_BACK);
    let table = api.reads.client().full_name("otel_traces");
    statement.push(&format!(") AS value, count() AS spans FROM {table} WHERE Workspace = ")).bind(workspace.as_str());
    statement.push(" AND Timestamp >= ").bind(since).push(" AND value != '' AND startsWith(value, ").bind(prefix);
    statement.push(") GROUP BY value ORDER BY spans DESC, value LIMIT ").bind(limit);
    let counted: Vec<Counted> = api.reads.ask(&statement).await?;
    let data: Value = counted.iter().map(|row| json!({"value": row.value, "spans": row.spans})).collect();
    Ok(json_answer(StatusCode::OK, &json!({"field": field, "data": data})))
}

/// A field whose values can be counted.
pub(super) fn counted_field(name: &str) -> Result<&'static Field, Refusal> {
    let is_counted = |field: &&Field| matches!(field.kind, Kind::Text | Kind::Status | Kind::OfSpan);
    q::find(name).filter(is_counted).ok_or_else(|| {
        let names: Vec<&str> = FIELDS.iter().filter(is_counted).map(|field| field.name).collect();
        Refusal::bad_request(&format!("Unknown field '{name}'. Fields whose values are counted: {}", names.join(", ")))
    })
}

/// The words of a kind that has a list of them.
fn words(kind: Kind) -> Option<Vec<&'static str>> {
    match kind {
        Kind::Status => Some(STATUSES.to_vec()),
        Kind::OfSpan => Some(KINDS.iter().map(|(kind, _)| *kind).chain([KIND_UNKNOWN]).collect()),
        _ => None,
    }
}
