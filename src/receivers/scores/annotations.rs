//! `/annotations`

use super::list::{self, List, Listed};
use super::marks::Mark;
use super::receiver::{ScoresReceiver, Sent, workspace};
use super::refused::Refused;
use super::{answer_deleted, of_micros, time_text};
use crate::clickhouse::Statement;
use crate::columns::Table;
use crate::query::answer::{Refusal, json_answer};
use crate::query::conditions::Place;
use crate::query::filter::{Field, Fields, Kind};
use crate::scores::annotation::{self, KINDS};
use crate::scores::check::TextOrNumber;
use crate::scores::rows::{Stamp, of_annotation, to_microseconds};
use crate::scores::{Annotation, Said, ids};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

const SELECT: &str = "AnnotationId AS id, SessionId AS session_id, SpanId AS span_id, toString(CreatedBy) AS created_by, \
     toUnixTimestamp64Micro(CreatedAt) AS created_at, toInt64(Version) AS version, toString(Kind) AS kind, toString(Name) AS name, \
     ValueText AS value_text, ValueNumeric AS value_numeric, Text AS text, Metadata AS metadata";
const PAGE_SIZE: u64 = 10;

const LIST: List = List {
    name: "annotations",
    fields: Fields {
        subject: "annotation",
        fields: &[
            Field::new("span_id", Kind::Text),
            Field::new("session_id", Kind::Text),
            Field::new("kind", Kind::Choice(&KINDS)),
            Field::new("name", Kind::Text),
            Field::new("value_text", Kind::Text),
            Field::new("value_numeric", Kind::Number),
            Field::new("created_by", Kind::Text),
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
    column: |_| "CreatedAt",
    sorts: &["-created_at", "created_at"],
    tie: "AnnotationId",
};

fn places(field: &str) -> Option<Place> {
    Some(match field {
        "span_id" => Place::Text("SpanId"),
        "session_id" => Place::Text("SessionId"),
        "kind" => Place::Text("Kind"),
        "name" => Place::Text("Name"),
        "value_text" => Place::Text("ValueText"),
        "value_numeric" => Place::Number("ValueNumeric"),
        "created_by" => Place::Text("CreatedBy"),
        "created_at" => Place::Time("CreatedAt"),
        _ => return None,
    })
}

/// An annotation as the table has it.
#[derive(Debug, Row, Deserialize)]
struct Found {
    id: String,
    session_id: String,
    span_id: String,
    created_by: String,
    created_at: i64,
    version: i64,
    kind: String,
    name: String,
    value_text: String,
    value_numeric: Option<f64>,
    text: String,
    metadata: String,
}

impl Listed for Found {
    fn mark(&self, _sort: &str) -> (Mark, String) {
        (Mark::Time(self.created_at), self.id.clone())
    }
}

impl Found {
    fn said(&self) -> Said {
        match self.kind.as_str() {
            "feedback" if self.value_text == "positive" => Said::Feedback("positive"),
            "feedback" => Said::Feedback("negative"),
            "note" => Said::Note(self.text.clone()),
            "metadata" => Said::Metadata(serde_json::from_str(&self.metadata).unwrap_or_default()),
            _ => Said::Label {
                name: Some(self.name.clone()).filter(|name| !name.is_empty()),
                value: self
                    .value_numeric
                    .map_or_else(|| TextOrNumber::Text(self.value_text.clone()), TextOrNumber::Number),
            },
        }
    }

    fn annotation(&self) -> Annotation {
        let span_id = Some(self.span_id.clone()).filter(|span| !span.is_empty());
        Annotation { session_id: self.session_id.clone(), span_id, said: self.said() }
    }

    fn written_at(&self) -> UnixNanos {
        of_micros(self.version)
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            id: self.id.clone(),
            created_by: self.created_by.clone(),
            created_at: of_micros(self.created_at),
            written_at: self.written_at(),
            is_deleted: false,
        }
    }
}

/// An annotation as it is answered.
fn shown(workspace: &str, annotation: &Annotation, stamp: &Stamp) -> Value {
    let mut answer = Map::new();
    let mut put = |name: &str, value: Value| {
        answer.insert(name.to_owned(), value);
    };
    put("annotation_id", stamp.id.as_str().into());
    put("workspace", workspace.into());
    if let Some(span) = &annotation.span_id {
        put("span_id", span.as_str().into());
    }
    put("session_id", annotation.session_id.as_str().into());
    if !stamp.created_by.is_empty() {
        put("created_by", stamp.created_by.as_str().into());
    }
    put("created_at", time_text(stamp.created_at.nanos() / 1_000).into());
    put("ingested_at", time_text(stamp.written_at.nanos() / 1_000).into());
    put("kind", annotation.said.kind().into());
    match &annotation.said {
        Said::Feedback(value) => put("value", (*value).into()),
        Said::Note(text) => put("text", text.as_str().into()),
        Said::Metadata(metadata) => put("metadata", Value::Object(metadata.clone())),
        Said::Label { name, value } => {
            let (value_type, value) = match value {
                TextOrNumber::Text(text) => ("text", text.as_str().into()),
                TextOrNumber::Number(number) => ("numeric", (*number).into()),
            };
            put("value_type", value_type.into());
            put("value", value);
            if let Some(name) = name {
                put("name", name.as_str().into());
            }
        }
    }
    Value::Object(answer)
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
    let said = annotation::read(&body)?;
    drop(body);
    let stamp = Stamp::new(ids::random("ann-"), created_by, scores.ingest.clock.now());
    scores.store(&workspace, of_annotation(&workspace, &said, &stamp)?, reservation).await?;
    Ok(json_answer(StatusCode::CREATED, &shown(workspace.as_str(), &said, &stamp)))
}

pub(super) async fn list(
    State(scores): State<Arc<ScoresReceiver>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Refused> {
    let workspace = workspace(&name)?;
    let asked = list::asked(&uri, LIST.sorts, PAGE_SIZE, scores.strict_reference)?;
    let from = from(&scores);
    let shown = |found: &Found| shown(workspace.as_str(), &found.annotation(), &found.stamp());
    Ok(LIST.answer(&scores.reads, (SELECT, &from), (workspace.as_str(), &asked), shown).await?)
}

fn from(scores: &ScoresReceiver) -> String {
    format!("{} FINAL", scores.reads.client().full_name(Table::Annotations.name()))
}

async fn find(scores: &ScoresReceiver, workspace: &Workspace, id: &str) -> Result<Found, Refusal> {
    let mut statement = Statement::new(&format!("SELECT {SELECT} FROM {} WHERE Workspace = ", from(scores)));
    statement.bind(workspace.as_str()).push(" AND IsDeleted = 0 AND AnnotationId = ").bind(id).push(" LIMIT 1");
    let found = scores.reads.ask_one(&statement).await?;
    found.ok_or_else(|| Refusal::not_found(&format!("Annotation {}/{id} not found", workspace.as_str())))
}

pub(super) async fn get(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let workspace = workspace(&name)?;
    let found = find(&scores, &workspace, &id).await?;
    Ok(json_answer(StatusCode::OK, &shown(workspace.as_str(), &found.annotation(), &found.stamp())))
}

pub(super) async fn delete(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refused> {
    deleted(&scores, &name, &id).await.inspect_err(|refused| scores.count(refused))
}

async fn deleted(scores: &ScoresReceiver, name: &str, id: &str) -> Result<Response, Refused> {
    let workspace = workspace(name)?;
    let found = find(scores, &workspace, id).await?;
    // later than the row that it takes away, whatever the clock says
    let later = found.written_at().saturating_add(Duration::from_micros(1));
    let written_at = to_microseconds(scores.ingest.clock.now()).max(later);
    let stamp = Stamp { written_at, is_deleted: true, ..found.stamp() };
    let row = of_annotation(&workspace, &found.annotation(), &stamp)?;
    let reservation = scores.ingest.pipeline.reserve(0)?;
    scores.store(&workspace, row, reservation).await?;
    Ok(answer_deleted())
}
