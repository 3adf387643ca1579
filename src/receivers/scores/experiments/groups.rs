//! `/experiment-groups`

use super::super::list::{parameters, push};
use super::super::receiver::{ScoresReceiver, Sent, workspace};
use super::super::refused::Refused;
use super::super::{answer_deleted, time_text};
use super::listing::{self, Deleted};
use crate::clickhouse::Statement;
use crate::clickhouse::experiments::GroupRow;
use crate::query::answer::{Refusal, json_answer};
use crate::query::filter::{Field, Fields, Filter, Kind};
use crate::query::page::{Checks, Nulls, answer};
use crate::scores::{experiment, ids};
use crate::workspace::Workspace;
use ::clickhouse::Row;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const PAGE_SIZE: u64 = 100;
const SORTS: [&str; 6] = ["-created_at", "created_at", "-updated_at", "updated_at", "-name", "name"];

const FIELDS: Fields = Fields {
    subject: "experiment group",
    fields: &[
        Field::new("name", Kind::Text),
        Field::new("is_deleted", Kind::Flag),
        Field::new("created_at", Kind::Time),
        Field::new("updated_at", Kind::Time),
        Field::new("entity_type", Kind::Known),
        Field::new("id", Kind::Known),
        Field::new("project", Kind::Known),
        Field::new("workspace", Kind::Known),
    ],
    is_extended: true,
};

#[derive(Debug, Row, Deserialize)]
struct Count {
    rows: u64,
}

fn column(field: &str) -> &'static str {
    match field {
        "name" => "e.Name",
        "updated_at" => "e.UpdatedAt",
        _ => "e.CreatedAt",
    }
}

fn shown(group: &GroupRow, experiments: u64) -> Value {
    json!({
        "id": group.group_id,
        "name": group.name,
        "workspace": group.workspace,
        "description": group.description,
        "created_at": time_text(group.created_at),
        "updated_at": time_text(group.updated_at),
        "experiment_count": experiments,
    })
}

fn absent(workspace: &Workspace, name: &str) -> Refusal {
    Refusal::not_found(&format!("Experiment group '{}/{name}' not found.", workspace.as_str()))
}

pub(crate) async fn create(
    State(scores): State<Arc<ScoresReceiver>>,
    Path(of): Path<String>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let Sent { body, created_by, .. } = scores.read(&workspace, request).await?;
    let body = experiment::read_group(&body)?;
    let mut writing = scores.experiments.writing().await;
    if scores.experiments.find_group(&workspace, &body.name).await?.is_some() {
        let (of, name) = (workspace.as_str(), body.name);
        return Err(Refused::conflict(&format!("Experiment group '{of}/{name}' already exists.")));
    }
    let group = GroupRow {
        workspace: of,
        name: body.name,
        group_id: ids::random("experimentgroup-"),
        description: body.description,
        created_by,
        created_at: writing.now,
        updated_at: writing.now,
        deleted_at: None,
        version: 0,
        is_deleted: 0,
    };
    writing.groups(vec![group.clone()]).await?;
    Ok(json_answer(StatusCode::CREATED, &shown(&group, 0)))
}

pub(crate) async fn list(
    State(scores): State<Arc<ScoresReceiver>>,
    Path(of): Path<String>,
    uri: Uri,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let parameters = parameters(&uri)?;
    let mut checks = Checks::new(&parameters);
    let page = checks.page(PAGE_SIZE);
    let sort = checks.word("sort", "literal_error", &SORTS).unwrap_or("-created_at");
    checks.finish()?;
    let asked = listing::read(Filter::of(&parameters)?, &FIELDS)?;
    let with_condition = |columns: &str| {
        let mut statement = scores.experiments.groups(columns, &workspace);
        statement.push(match asked.deleted {
            Deleted::Only => " AND e.DeletedAt IS NOT NULL",
            Deleted::Not => " AND e.DeletedAt IS NULL",
        });
        if let Some(condition) = &asked.condition {
            statement.push(" AND ");
            push(&mut statement, condition, column);
        }
        statement
    };
    let reads = &scores.reads;
    let counted: Option<Count> = reads.ask_one(&with_condition("count() AS rows")).await?;
    let mut rows: Statement = with_condition(GroupRow::COLUMNS);
    let (key, direction) = sort.strip_prefix('-').map_or((sort, "ASC"), |key| (key, "DESC"));
    rows.push(&format!(" ORDER BY {} {direction}, e.Name LIMIT ", column(key)));
    rows.bind(page.size).push(" OFFSET ").bind(page.offset());
    let groups: Vec<GroupRow> = reads.ask(&rows).await?;
    let counts = scores.experiments.counts(&workspace).await?;
    let data = groups.iter().map(|group| shown(group, counts.of(group))).collect();
    let total = counted.map_or(0, |count| count.rows);
    let answered = answer(data, page, total, Some(sort), Some(&asked.echo), Nulls::Written);
    Ok(json_answer(StatusCode::OK, &Value::Object(answered)))
}

pub(crate) async fn get(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let group = scores.experiments.find_group(&workspace, &name).await?.ok_or_else(|| absent(&workspace, &name))?;
    Ok(json_answer(StatusCode::OK, &shown(&group, count(&scores, &workspace, &group).await?)))
}

async fn count(scores: &ScoresReceiver, workspace: &Workspace, group: &GroupRow) -> Result<u64, Refusal> {
    Ok(scores.experiments.counts(workspace).await?.of(group))
}

pub(crate) async fn put(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let Sent { body, .. } = scores.read(&workspace, request).await?;
    let body = experiment::read_group(&body)?;
    let mut writing = scores.experiments.writing().await;
    let group = scores.experiments.find_group(&workspace, &name).await?.ok_or_else(|| absent(&workspace, &name))?;
    if body.name != name {
        return Err(Refused::conflict("Cannot rename an experiment group; the name is its identity."));
    }
    let group = GroupRow { description: body.description, updated_at: writing.now, ..group };
    writing.groups(vec![group.clone()]).await?;
    Ok(json_answer(StatusCode::OK, &shown(&group, count(&scores, &workspace, &group).await?)))
}

/// Its experiments go with it, first: if something fails in between, it is there still and can be deleted again.
pub(crate) async fn delete(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let mut writing = scores.experiments.writing().await;
    let group = scores.experiments.find_group(&workspace, &name).await?.ok_or_else(|| absent(&workspace, &name))?;
    loop {
        let of_group = |statement: &mut Statement| {
            statement.push(" AND e.DeletedAt IS NULL AND e.GroupId = ").bind(group.group_id.as_str());
        };
        let experiments = scores.experiments.all(&workspace, of_group).await?;
        if experiments.is_empty() {
            break;
        }
        let rows = experiments.into_iter().flat_map(|experiment| writing.deleted(experiment)).collect();
        writing.experiments(rows).await?;
    }
    let rows = writing.deleted_group(group);
    writing.groups(rows.into()).await?;
    Ok(answer_deleted())
}
