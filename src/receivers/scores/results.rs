//! `/evaluator-results`, and those of a span.

use super::list::{self, List, Listed};
use super::marks::Mark;
use super::receiver::{ScoresReceiver, Sent, workspace};
use super::refused::Refused;
use super::time_text;
use crate::clickhouse::Statement;
use crate::columns::Table;
use crate::query::answer::{Refusal, json_answer};
use crate::query::conditions::Place;
use crate::query::filter::{Field, Fields, Kind};
use crate::scores::result::{self, DataType};
use crate::scores::rows::{Stamp, of_result};
use ::clickhouse::Row;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

const SELECT: &str = "EvaluatorResultId AS id, SpanId AS span_id, SessionId AS session_id, toString(Name) AS name, Value AS value, \
     StringValue AS string_value, toString(DataType) AS data_type, Comment AS comment, toString(CreatedBy) AS created_by, \
     toUnixTimestamp64Micro(CreatedAt) AS created_at, toInt64(Version) AS ingested_at";
const PAGE_SIZE: u64 = 10;

const LIST: List = List {
    name: "evaluator_results",
    fields: Fields {
        subject: "evaluator_result",
        fields: &[
            Field::new("span_id", Kind::Text),
            Field::new("session_id", Kind::Text),
            Field::new("name", Kind::Text),
            Field::new("data_type", Kind::Choice(&DataType::WORDS)),
            Field::new("created_by", Kind::Text),
            Field::new("value", Kind::Number),
            Field::new("created_at", Kind::Time),
            Field::new("entity_type", Kind::Known),
            Field::new("id", Kind::Known),
            Field::new("project", Kind::Known),
            Field::new("updated_at", Kind::Known),
            Field::new("workspace", Kind::Known),
        ],
        is_extended: true,
    },
    places,
    column: |sort| if sort == "value" { "Value" } else { "CreatedAt" },
    sorts: &["-created_at", "created_at", "value", "-value"],
    tie: "EvaluatorResultId",
};

fn places(field: &str) -> Option<Place> {
    Some(match field {
        "span_id" => Place::Text("SpanId"),
        "session_id" => Place::Text("SessionId"),
        "name" => Place::Text("Name"),
        "data_type" => Place::Text("DataType"),
        "created_by" => Place::Text("CreatedBy"),
        "value" => Place::Number("Value"),
        "created_at" => Place::Time("CreatedAt"),
        _ => return None,
    })
}

/// A result as the table has it.
#[derive(Debug, Row, Deserialize)]
struct Found {
    id: String,
    span_id: String,
    session_id: String,
    name: String,
    value: Option<f64>,
    string_value: String,
    data_type: String,
    comment: String,
    created_by: String,
    created_at: i64,
    ingested_at: i64,
}

impl Listed for Found {
    fn mark(&self, sort: &str) -> (Mark, String) {
        let mark = if sort == "value" { self.value.into() } else { Mark::Time(self.created_at) };
        (mark, self.id.clone())
    }
}

impl Found {
    /// As it is answered. An empty text counts as none, but where the text is the value.
    fn shown(&self, workspace: &str) -> Value {
        let is_text = matches!(self.data_type.as_str(), "CATEGORICAL" | "TEXT");
        let some = |text: &str| (!text.is_empty()).then(|| Value::from(text));
        let members = [
            ("evaluator_result_id", Some(self.id.as_str().into())),
            ("span_id", Some(self.span_id.as_str().into())),
            ("session_id", Some(self.session_id.as_str().into())),
            ("workspace", Some(workspace.into())),
            ("name", Some(self.name.as_str().into())),
            ("value", self.value.map(Value::from)),
            ("string_value", some(&self.string_value).or_else(|| is_text.then(|| "".into()))),
            ("data_type", Some(self.data_type.as_str().into())),
            ("comment", some(&self.comment)),
            ("created_by", some(&self.created_by)),
            ("created_at", Some(time_text(self.created_at).into())),
            ("ingested_at", Some(time_text(self.ingested_at).into())),
        ];
        let told = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(told.collect::<Map<_, _>>())
    }
}

pub(super) async fn create(
    State(scores): State<Arc<ScoresReceiver>>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    created(&scores, &name, request).await.inspect_err(|refused| scores.count(refused))
}

async fn created(scores: &ScoresReceiver, name: &str, request: Request<Body>) -> Result<Response, Refused> {
    let workspace = workspace(name)?;
    let Sent { body, created_by, reservation } = scores.read(&workspace, request).await?;
    let result = result::read(&body)?;
    drop(body);
    let stamp = Stamp::new(result.id(workspace.as_str()), created_by, scores.ingest.clock.now());
    scores.store(&workspace, of_result(&workspace, &result, &stamp)?, reservation).await?;
    let created_at = stamp.created_at.nanos() / 1_000;
    let found = Found {
        id: stamp.id,
        span_id: result.span_id,
        session_id: result.session_id,
        name: result.name,
        value: result.value,
        string_value: result.string_value,
        data_type: result.data_type.word().to_owned(),
        comment: result.comment,
        created_by: stamp.created_by,
        created_at,
        ingested_at: created_at,
    };
    Ok(json_answer(StatusCode::CREATED, &found.shown(workspace.as_str())))
}

pub(super) async fn list(
    State(scores): State<Arc<ScoresReceiver>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Refused> {
    let workspace = workspace(&name)?;
    let asked = list::asked(&uri, LIST.sorts, PAGE_SIZE, scores.strict_reference)?;
    let from = from(&scores);
    let shown = |found: &Found| found.shown(workspace.as_str());
    Ok(LIST.answer(&scores.reads, (SELECT, &from), (workspace.as_str(), &asked), shown).await?)
}

pub(super) fn from(scores: &ScoresReceiver) -> String {
    format!("{} FINAL", scores.reads.client().full_name(Table::EvaluatorResults.name()))
}

pub(super) async fn get(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let workspace = workspace(&name)?;
    let mut statement = Statement::new(&format!("SELECT {SELECT} FROM {} WHERE Workspace = ", from(&scores)));
    statement.bind(workspace.as_str()).push(" AND IsDeleted = 0 AND EvaluatorResultId = ").bind(id.as_str());
    let found: Option<Found> = scores.reads.ask_one(statement.push(" LIMIT 1")).await?;
    let absent = || Refusal::not_found(&format!("Evaluator result {}/{id} not found", workspace.as_str()));
    let found = found.ok_or_else(absent)?;
    Ok(json_answer(StatusCode::OK, &found.shown(workspace.as_str())))
}

/// All of a span, the oldest first: a bare list.
pub(super) async fn of_span(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((name, span)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let workspace = workspace(&name)?;
    let mut statement = Statement::new(&format!("SELECT {SELECT} FROM {} WHERE Workspace = ", from(&scores)));
    statement.bind(workspace.as_str()).push(" AND IsDeleted = 0 AND SpanId = ").bind(span.as_str());
    let found: Vec<Found> = scores.reads.ask(statement.push(" ORDER BY CreatedAt, EvaluatorResultId")).await?;
    let shown: Vec<Value> = found.iter().map(|found| found.shown(workspace.as_str())).collect();
    Ok(json_answer(StatusCode::OK, &shown.into()))
}
