//! `/experiments`

use super::super::list::{parameters, push};
use super::super::receiver::{ScoresReceiver, Sent, workspace};
use super::super::refused::Refused;
use super::super::{answer_deleted, time_text};
use super::listing::{self, Deleted, Key};
use super::rollups::{self, Rollup, Stats};
use crate::clickhouse::Statement;
use crate::clickhouse::experiments::ExperimentRow;
use crate::numbers::{saturating_usize, to_u64};
use crate::query::answer::{Refusal, json_answer};
use crate::query::filter::{Field, Fields, Filter, Kind};
use crate::query::page::{Checks, Nulls, answer};
use crate::receivers::experiments::LISTED_MAX;
use crate::scores::{ExperimentBody, experiment, ids};
use crate::workspace::Workspace;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

const PAGE_SIZE: u64 = 100;
const SORT: &str = "-created_at";

const FIELDS: Fields = Fields {
    subject: "experiment",
    fields: &[
        Field::new("name", Kind::Text),
        Field::new("experiment_group_id", Kind::Text),
        Field::new("dataset_name", Kind::Text),
        Field::new("dataset_version", Kind::Text),
        Field::new("created_by", Kind::Text),
        Field::new("created_at", Kind::Time),
        Field::new("updated_at", Kind::Time),
        Field::new("is_deleted", Kind::Flag),
        Field::new("is_pinned", Kind::Flag),
        Field::new("entity_type", Kind::Known),
        Field::new("id", Kind::Known),
        Field::new("project", Kind::Known),
        Field::new("workspace", Kind::Known),
    ],
    is_extended: true,
};

fn column(field: &str) -> &'static str {
    match field {
        "name" => "e.Name",
        "experiment_group_id" => "e.GroupId",
        "dataset_name" => "e.DatasetName",
        "dataset_version" => "e.DatasetVersion",
        "created_by" => "e.CreatedBy",
        "updated_at" => "e.UpdatedAt",
        _ => "e.CreatedAt",
    }
}

fn shown(experiment: &ExperimentRow, rollup: &Rollup) -> Value {
    let metadata: Value = serde_json::from_str(&experiment.metadata).unwrap_or_else(|_| json!({}));
    let evaluators: Vec<&String> = rollup.scores.keys().collect();
    json!({
        "id": experiment.experiment_id,
        "name": experiment.name,
        "workspace": experiment.workspace,
        "experiment_group_id": experiment.group_id,
        "dataset_name": experiment.dataset_name,
        "dataset_version": experiment.dataset_version,
        "source_link": experiment.source_link,
        "metadata": metadata,
        "description": experiment.description,
        "summary": experiment.summary,
        "created_at": time_text(experiment.created_at),
        "updated_at": time_text(experiment.updated_at),
        "pinned_at": experiment.pinned_at.map(time_text),
        "evaluator_names": evaluators,
        "model_names": rollup.models,
        "agent_names": rollup.agents,
        "agent_versions": rollup.agent_versions,
        "aggregate_scores": rollup.scores_shown(),
        "run_count": rollup.runs,
        "cost_usd": rollup.cost.as_ref().map(Stats::shown),
        "latency_ms": rollup.latency.as_ref().map(Stats::shown),
    })
}

/// The experiment of a path.
pub(super) async fn find(scores: &ScoresReceiver, workspace: &Workspace, name: &str) -> Result<ExperimentRow, Refusal> {
    let found = scores.experiments.find(workspace, name).await?;
    found.ok_or_else(|| Refusal::not_found(&format!("Experiment '{}/{name}' not found.", workspace.as_str())))
}

async fn answered(
    scores: &ScoresReceiver,
    workspace: &Workspace,
    status: StatusCode,
    experiment: &ExperimentRow,
) -> Result<Response, Refused> {
    let rollups = rollups::ask(&scores.reads, workspace, &[experiment]).await?;
    let shown: Vec<Value> = rollups.iter().map(|rollup| shown(experiment, rollup)).collect();
    Ok(json_answer(status, shown.first().expect("one is asked for")))
}

pub(crate) async fn create(
    State(scores): State<Arc<ScoresReceiver>>,
    Path(of): Path<String>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let Sent { body, created_by, .. } = scores.read(&workspace, request).await?;
    let body = experiment::read(&body)?;
    let mut writing = scores.experiments.writing().await;
    scores.experiments.check_group(&workspace, &body.group_id).await?;
    if scores.experiments.find(&workspace, &body.name).await?.is_some() {
        let (of, name) = (workspace.as_str(), body.name);
        return Err(Refused::conflict(&format!("Experiment '{of}/{name}' already exists.")));
    }
    let made = ExperimentRow {
        workspace: of,
        name: body.name.clone(),
        experiment_id: ids::random("experiment-"),
        group_id: String::new(),
        dataset_name: body.dataset_name.clone(),
        dataset_version: body.dataset_version.clone(),
        source_link: None,
        metadata: String::new(),
        description: None,
        summary: None,
        created_by,
        created_at: writing.now,
        updated_at: writing.now,
        pinned_at: None,
        deleted_at: None,
        version: 0,
        is_deleted: 0,
    };
    let made = with(made, body);
    writing.experiments(vec![made.clone()]).await?;
    Ok(json_answer(StatusCode::CREATED, &shown(&made, &Rollup::default())))
}

/// What a body may change.
fn with(experiment: ExperimentRow, body: ExperimentBody) -> ExperimentRow {
    ExperimentRow {
        group_id: body.group_id,
        source_link: body.source_link,
        metadata: Value::Object(body.metadata).to_string(),
        description: body.description,
        summary: body.summary,
        ..experiment
    }
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
    checks.finish()?;
    let sort = parameters.get("sort").unwrap_or(SORT);
    let (field, descends) = sort.strip_prefix('-').map_or((sort, false), |field| (field, true));
    let key = Key::parse(field)?;
    let asked = listing::read(Filter::of(&parameters)?, &FIELDS)?;
    let rows = scores.experiments.all(&workspace, |statement| condition(statement, &asked)).await?;
    if rows.len() > LISTED_MAX {
        let why = format!(
            "This query selects more than {LISTED_MAX} experiments, which cannot be sorted in one request. Narrow the result \
             with a filter (e.g. experiment_group_id)."
        );
        return Err(Refusal::too_large(&why).into());
    }
    let total = rows.len();
    let mut rows: Vec<_> = rows.into_iter().map(|row| (row, Rollup::default())).collect();
    if key.is_of_row() {
        key.sort(&mut rows, descends);
        rows = of_page(rows, page.offset(), page.size);
        measure(&scores, &workspace, &mut rows).await?;
    } else {
        measure(&scores, &workspace, &mut rows).await?;
        key.sort(&mut rows, descends);
        rows = of_page(rows, page.offset(), page.size);
    }
    let data = rows.iter().map(|(row, rollup)| shown(row, rollup)).collect();
    let total = to_u64(total);
    let answered = answer(data, page, total, Some(sort), Some(&asked.echo), Nulls::Written);
    Ok(json_answer(StatusCode::OK, &Value::Object(answered)))
}

fn condition(statement: &mut Statement, asked: &listing::Asked) {
    statement.push(match asked.deleted {
        Deleted::Only => " AND e.DeletedAt IS NOT NULL",
        Deleted::Not => " AND e.DeletedAt IS NULL",
    });
    statement.push(match asked.pinned {
        Some(true) => " AND e.PinnedAt IS NOT NULL",
        Some(false) => " AND e.PinnedAt IS NULL",
        None => "",
    });
    if let Some(condition) = &asked.condition {
        statement.push(" AND ");
        push(statement, condition, column);
    }
}

fn of_page<T>(rows: Vec<T>, offset: u64, size: u64) -> Vec<T> {
    rows.into_iter().skip(saturating_usize(offset)).take(saturating_usize(size)).collect()
}

async fn measure(
    scores: &ScoresReceiver,
    workspace: &Workspace,
    rows: &mut [(ExperimentRow, Rollup)],
) -> Result<(), Refusal> {
    let of: Vec<&ExperimentRow> = rows.iter().map(|(row, _)| row).collect();
    let rollups = rollups::ask(&scores.reads, workspace, &of).await?;
    rows.iter_mut().zip(rollups).for_each(|((_, rollup), asked)| *rollup = asked);
    Ok(())
}

pub(crate) async fn get(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let experiment = find(&scores, &workspace, &name).await?;
    answered(&scores, &workspace, StatusCode::OK, &experiment).await
}

pub(crate) async fn put(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let Sent { body, .. } = scores.read(&workspace, request).await?;
    let body = experiment::read(&body)?;
    let mut writing = scores.experiments.writing().await;
    let experiment = find(&scores, &workspace, &name).await?;
    if body.group_id != experiment.group_id {
        scores.experiments.check_group(&workspace, &body.group_id).await?;
    }
    let fixed = [
        ("name", body.name == experiment.name),
        ("dataset_name", body.dataset_name == experiment.dataset_name),
        ("dataset_version", body.dataset_version == experiment.dataset_version),
    ];
    let changed: Vec<String> =
        fixed.iter().filter(|(_, is_same)| !is_same).map(|(field, _)| format!("'{field}'")).collect();
    if !changed.is_empty() {
        return Err(Refused::conflict(&format!(
            "Cannot change immutable field(s) [{}] on an existing experiment; create a new experiment instead.",
            changed.join(", ")
        )));
    }
    let experiment = ExperimentRow { updated_at: writing.now, ..with(experiment, body) };
    writing.experiments(vec![experiment.clone()]).await?;
    drop(writing);
    answered(&scores, &workspace, StatusCode::OK, &experiment).await
}

pub(crate) async fn delete(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let mut writing = scores.experiments.writing().await;
    let rows = writing.deleted(find(&scores, &workspace, &name).await?);
    writing.experiments(rows.into()).await?;
    Ok(answer_deleted())
}

pub(crate) async fn pin(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
) -> Result<Response, Refused> {
    pinned(&scores, (&of, &name), true).await
}

pub(crate) async fn unpin(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
) -> Result<Response, Refused> {
    pinned(&scores, (&of, &name), false).await
}

async fn pinned(scores: &ScoresReceiver, (of, name): (&str, &str), is_pinned: bool) -> Result<Response, Refused> {
    let workspace = workspace(of)?;
    let mut writing = scores.experiments.writing().await;
    let experiment = find(scores, &workspace, name).await?;
    let (now, pinned_at) = (writing.now, is_pinned.then_some(writing.now));
    let experiment = ExperimentRow { pinned_at, updated_at: now, ..experiment };
    writing.experiments(vec![experiment.clone()]).await?;
    drop(writing);
    answered(scores, &workspace, StatusCode::OK, &experiment).await
}
