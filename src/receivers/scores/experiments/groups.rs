//! `/experiment-groups`

use super::super::list::{ListQuery, Listed, Sorted, parameters};
use super::super::marks::Mark;
use super::super::receiver::{ScoresReceiver, Sent, workspace};
use super::super::refused::Refused;
use super::super::{answer_deleted, time_text};
use super::listing::{self, Deleted, Order};
use super::shown::texts;
use crate::clickhouse::Statement;
use crate::clickhouse::experiments::{GROUPS_OF_ROW, GroupRow};
use crate::query::answer::{Refusal, json_answer};
use crate::query::conditions::{self, Place};
use crate::query::filter::{Field, Fields, Filter, Kind};
use crate::query::page::{Checks, Nulls};
use crate::receivers::experiments::{Kept, Unstored};
use crate::scores::experiment::{Change, DEFAULT_SORT, Pareto};
use crate::scores::{GroupBody, experiment, ids};
use crate::workspace::Workspace;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

const PAGE_SIZE: u64 = 100;
const SORTS: [&str; 6] = ["-created_at", "created_at", "-updated_at", "updated_at", "-name", "name"];

const FIELDS: [Field; 10] = [
    Field::new("name", Kind::Text),
    Field::new("is_deleted", Kind::Flag),
    Field::new("created_at", Kind::Time),
    Field::new("updated_at", Kind::Time),
    Field::new("entity_type", Kind::Known),
    Field::new("id", Kind::Known),
    Field::new("project", Kind::Known),
    Field::new("workspace", Kind::Known),
    Field::extension("insight_id", Kind::Text),
    // listing.rs reads it
    Field::extension("metadata", Kind::Known),
];

fn place(field: &str) -> Option<Place> {
    Some(match field {
        "name" => Place::Text("e.Name"),
        "insight_id" => Place::Text("e.InsightId"),
        "created_at" => Place::Time("e.CreatedAt"),
        "updated_at" => Place::Time("e.UpdatedAt"),
        _ => return None,
    })
}

/// The column of a sort.
fn column(field: &str) -> &'static str {
    match field {
        "name" => "e.Name",
        "updated_at" => "e.UpdatedAt",
        _ => "e.CreatedAt",
    }
}

impl Listed for GroupRow {
    fn mark(&self, sort: &str) -> (Mark, String) {
        let mark = match sort {
            "name" => Mark::Text(self.name.clone()),
            "updated_at" => Mark::Time(self.updated_at),
            _ => Mark::Time(self.created_at),
        };
        (mark, self.name.clone())
    }
}

/// A group; `is_strict`: without what release 0.2.0 does not know.
fn shown(group: &GroupRow, experiments: u64, is_strict: bool) -> Value {
    let mut answer = json!({
        "id": group.group_id,
        "name": group.name,
        "workspace": group.workspace,
        "description": group.description,
        "created_at": time_text(group.created_at),
        "updated_at": time_text(group.updated_at),
        "experiment_count": experiments,
    });
    if let (false, Some(members)) = (is_strict, answer.as_object_mut()) {
        let usual = Pareto::default();
        let axes = (group.pareto_x.as_ref().or(Some(&usual.x)), group.pareto_y.as_ref().or(Some(&usual.y)));
        let metadata = group.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok());
        members.insert("insight_id".to_owned(), json!(group.insight_id));
        members.insert("summary".to_owned(), json!(group.summary));
        members.insert("metadata".to_owned(), metadata.map_or(Value::Null, |members| Value::Object(texts(members))));
        members.insert("default_sort".to_owned(), group.default_sort.as_deref().unwrap_or(DEFAULT_SORT).into());
        members.insert("pareto".to_owned(), json!({"x_metric": axes.0, "y_metric": axes.1}));
        members.insert("evaluation_count".to_owned(), experiments.into());
    }
    answer
}

/// Makes the changes that a body says.
fn change(group: &mut GroupRow, body: GroupBody) -> Result<(), Refusal> {
    if let Change::To(sort) = &body.default_sort {
        Order::parse(sort, "default_sort")?;
    }
    group.description = body.description;
    body.insight_id.apply(&mut group.insight_id);
    body.summary.apply(&mut group.summary);
    if let Change::To(metadata) = body.metadata {
        group.metadata = metadata.map(|members| Value::Object(members).to_string());
    }
    if let Change::To(sort) = body.default_sort {
        group.default_sort = Some(sort);
    }
    if let Change::To(pareto) = body.pareto {
        (group.pareto_x, group.pareto_y) = (Some(pareto.x), Some(pareto.y));
    }
    Ok(())
}

fn absent(workspace: &Workspace, name: &str) -> Refusal {
    Refusal::not_found(&format!("Experiment group '{}/{name}' not found.", workspace.as_str()))
}

/// The group of a path.
async fn find(scores: &ScoresReceiver, workspace: &Workspace, name: &str) -> Result<GroupRow, Refusal> {
    scores.experiments.find::<GroupRow>(workspace, name).await?.ok_or_else(|| absent(workspace, name))
}

pub(crate) async fn create(
    State(scores): State<Arc<ScoresReceiver>>,
    Path(of): Path<String>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let Sent { body, created_by, .. } = scores.read(&workspace, request).await?;
    let body = experiment::read_group(&body, scores.strict_reference)?;
    let mut writing = scores.experiments.writing().await;
    let mut group = GroupRow {
        workspace: of,
        name: body.name.clone(),
        group_id: ids::random("experimentgroup-"),
        description: None,
        insight_id: None,
        summary: None,
        metadata: None,
        default_sort: None,
        pareto_x: None,
        pareto_y: None,
        created_by,
        created_at: writing.now,
        updated_at: writing.now,
        deleted_at: None,
        version: 0,
        is_deleted: 0,
    };
    change(&mut group, body)?;
    if !writing.create(group.clone()).await? {
        let (of, name) = (workspace.as_str(), group.name);
        return Err(Refused::conflict(&format!("Experiment group '{of}/{name}' already exists.")));
    }
    Ok(json_answer(StatusCode::CREATED, &shown(&group, 0, scores.strict_reference)))
}

pub(crate) async fn list(
    State(scores): State<Arc<ScoresReceiver>>,
    Path(of): Path<String>,
    uri: Uri,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let parameters = parameters(&uri, &["cursor"])?;
    let mut checks = Checks::new(&parameters);
    let page = checks.page(PAGE_SIZE);
    let sort = checks.word("sort", "literal_error", &SORTS).unwrap_or("-created_at");
    checks.finish()?;
    let fields = Fields { subject: "experiment group", fields: &FIELDS, is_extended: !scores.strict_reference };
    let filtered = listing::read(Filter::of(&parameters)?, &fields)?;
    let unstored = scores.experiments.settle(&workspace).await?;
    let of = |columns: &str| {
        let mut statement = scores.experiments.rows::<GroupRow>(columns, &workspace, &unstored);
        statement.push(match filtered.deleted {
            Deleted::Only => " AND e.DeletedAt IS NOT NULL",
            Deleted::Not => " AND e.DeletedAt IS NULL",
        });
        if let Some(condition) = &filtered.condition {
            statement.push(" AND ");
            conditions::push(&mut statement, condition, place);
        }
        filtered.push_metadata(&mut statement);
        statement
    };
    let asked = ListQuery::new(page, sort, Some(filtered.echo.clone()), parameters);
    let sorted = Sorted { list: "experiment_groups", sort, column, tie: "e.Name" };
    let counts = scores.experiments.counts(&workspace, &unstored).await?;
    let shown = |group: &GroupRow| shown(group, counts.of(group), scores.strict_reference);
    let answered = sorted.page(&scores.reads, &asked, (GroupRow::COLUMNS, of), Nulls::Written, shown).await?;
    Ok(json_answer(StatusCode::OK, &Value::Object(answered)))
}

pub(crate) async fn get(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let unstored = scores.experiments.settle(&workspace).await?;
    let group = find(&scores, &workspace, &name).await?;
    let count = scores.experiments.counts(&workspace, &unstored).await?.of(&group);
    Ok(json_answer(StatusCode::OK, &shown(&group, count, scores.strict_reference)))
}

pub(crate) async fn put(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let Sent { body, .. } = scores.read(&workspace, request).await?;
    let body = experiment::read_group(&body, scores.strict_reference)?;
    let mut writing = scores.experiments.writing().await;
    writing.settle(&workspace).await?;
    let mut group = find(&scores, &workspace, &name).await?;
    if body.name != name {
        return Err(Refused::conflict("Cannot rename an experiment group; the name is its identity."));
    }
    change(&mut group, body)?;
    group.updated_at = writing.now;
    // first, so that what is refused while ClickHouse is away was not done
    let count = scores.experiments.counts(&workspace, &Unstored::default()).await?.of(&group);
    writing.write([group.clone()]).await?;
    Ok(json_answer(StatusCode::OK, &shown(&group, count, scores.strict_reference)))
}

/// Deletes a group and those of its experiments that have no other group. The group goes last: if something fails before that, it is still
/// there and can be deleted again.
pub(crate) async fn delete(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let mut writing = scores.experiments.writing().await;
    writing.settle(&workspace).await?;
    let group = find(&scores, &workspace, &name).await?;
    loop {
        let of_group = |statement: &mut Statement| {
            let id = statement.place(group.group_id.as_str());
            statement.push(&format!(" AND e.DeletedAt IS NULL AND has({GROUPS_OF_ROW}, {id})"));
        };
        let experiments = scores.experiments.all(&workspace, &Unstored::default(), of_group).await?;
        if experiments.is_empty() {
            break;
        }
        let mut rows = Vec::with_capacity(experiments.len());
        for mut experiment in experiments {
            let others: Vec<String> = experiment.groups().iter().filter(|id| **id != group.group_id).cloned().collect();
            let Some(first) = others.first() else {
                rows.extend(writing.deleted(experiment));
                continue;
            };
            experiment.group_id.clone_from(first);
            (experiment.group_ids, experiment.updated_at) = (others, writing.now);
            rows.push(experiment.into());
        }
        if writing.write(rows).await? == Kept::OnDisk {
            let why = "ClickHouse did not confirm that the group's experiments are gone, so it should be sent again";
            return Err(Refusal::unavailable(why).into());
        }
    }
    let rows = writing.deleted(group);
    writing.write(rows).await?;
    Ok(answer_deleted())
}
