//! `/experiments`, and `/evaluations`

use super::super::answer_deleted;
use super::super::list::{after, marks_of, parameters};
use super::super::receiver::{ScoresReceiver, Sent, workspace};
use super::super::refused::Refused;
use super::listing::{self, Deleted, ExperimentFilter, Order};
use super::rollups::{self, Rollup};
use super::shown::{Style, shown};
use crate::clickhouse::Statement;
use crate::clickhouse::experiments::{ExperimentRow, GROUPS_OF_ROW};
use crate::numbers::{saturating_usize, to_u64};
use crate::query::answer::{Refusal, json_answer};
use crate::query::conditions::{self, Place};
use crate::query::cursor::{self, Cursors, PageStart};
use crate::query::filter::{Field, Fields, Filter, Kind};
use crate::query::page::{Checks, Nulls, Page, answer};
use crate::receivers::experiments::{LISTED_MAX, Writing, unless_away};
use crate::scores::experiment::{Change, Groups};
use crate::scores::{Changes, Naming, experiment, ids};
use crate::workspace::Workspace;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Map, Value};
use std::sync::Arc;

const PAGE_SIZE: u64 = 100;
/// The order of a list when nobody asks for one; of evaluations the pinned ones come first then.
const SORT: &str = "-created_at";

const FIELDS: [Field; 20] = [
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
    Field::extension("status", Kind::Text),
    // these are read by listing.rs
    Field::extension("cost_usd", Kind::Known),
    Field::extension("evaluators", Kind::Known),
    Field::extension("latency_ms", Kind::Known),
    Field::extension("metadata", Kind::Known),
    Field::extension("run_count", Kind::Known),
    Field::extension("tokens", Kind::Known),
];

fn place(field: &str) -> Option<Place> {
    Some(match field {
        "name" => Place::Text("e.Name"),
        "experiment_group_id" => Place::Member(GROUPS_OF_ROW),
        "dataset_name" => Place::Text("e.DatasetName"),
        "dataset_version" => Place::Text("e.DatasetVersion"),
        "created_by" => Place::Text("e.CreatedBy"),
        "created_at" => Place::Time("e.CreatedAt"),
        "updated_at" => Place::Time("e.UpdatedAt"),
        "status" => Place::Text("e.Status"),
        _ => return None,
    })
}

/// The experiment of a path.
pub(super) async fn find(
    scores: &ScoresReceiver,
    workspace: &Workspace,
    name: &str,
    naming: Naming,
) -> Result<ExperimentRow, Refusal> {
    let found = scores.experiments.find::<ExperimentRow>(workspace, name).await?;
    let absent = || Refusal::not_found(&format!("{} '{}/{name}' not found.", naming.title(), workspace.as_str()));
    found.ok_or_else(absent)
}

fn style(scores: &ScoresReceiver, naming: Naming) -> Style {
    Style { naming, is_strict: scores.strict_reference }
}

async fn answered(
    scores: &ScoresReceiver,
    workspace: &Workspace,
    naming: Naming,
    experiment: &ExperimentRow,
) -> Result<Response, Refused> {
    let rollups = rollups::ask(&scores.reads, workspace, &[experiment], naming).await?;
    let shown: Vec<Value> = rollups.iter().map(|rollup| shown(experiment, rollup, style(scores, naming))).collect();
    Ok(json_answer(StatusCode::OK, shown.first().expect("one is asked for")))
}

pub(crate) async fn create(
    State(scores): State<Arc<ScoresReceiver>>,
    Path(of): Path<String>,
    naming: Naming,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let Sent { body, created_by, .. } = scores.read(&workspace, request).await?;
    let body = experiment::read(&body, naming, scores.strict_reference)?;
    let mut writing = scores.experiments.writing().await;
    let mut made = ExperimentRow {
        workspace: of,
        name: body.name,
        experiment_id: ids::random("experiment-"),
        group_id: String::new(),
        group_ids: Vec::new(),
        dataset_name: body.dataset_name,
        dataset_version: body.dataset_version,
        source_link: None,
        metadata: Value::Object(Map::new()).to_string(),
        description: None,
        summary: None,
        parent_id: None,
        status: None,
        root_cause: None,
        created_by,
        created_at: writing.now,
        updated_at: writing.now,
        pinned_at: None,
        deleted_at: None,
        version: 0,
        is_deleted: 0,
    };
    check(&scores, &workspace, naming, &made, &body.changes, Away::Taken).await?;
    change(&mut made, body.changes);
    if !writing.create(made.clone()).await? {
        let (title, of, name) = (naming.title(), workspace.as_str(), made.name);
        return Err(Refused::conflict(&format!("{title} '{of}/{name}' already exists.")));
    }
    Ok(json_answer(StatusCode::CREATED, &shown(&made, &Rollup::default(), style(&scores, naming))))
}

/// What becomes of a change that cannot be checked, since ClickHouse is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    Taken,
    Refused,
}

/// The groups of an experiment, and those that it has after changes.
fn groups_after(experiment: &ExperimentRow, groups: &Groups) -> (Vec<String>, Vec<String>) {
    let had = if experiment.group_id.is_empty() { Vec::new() } else { experiment.groups().to_vec() };
    let after = groups.clone().after(&had);
    (had, after)
}

/// Refuses changes that name what is not there.
async fn check(
    scores: &ScoresReceiver,
    workspace: &Workspace,
    naming: Naming,
    experiment: &ExperimentRow,
    changes: &Changes,
    away: Away,
) -> Result<(), Refusal> {
    let checked = async {
        if let Change::To(groups) = &changes.groups {
            let (had, ids) = groups_after(experiment, groups);
            let new: Vec<String> = ids.into_iter().filter(|id| !had.contains(id)).collect();
            scores.experiments.check_groups(workspace, &new, naming).await?;
        }
        if let Change::To(parent) = &changes.parent_id {
            scores.experiments.check_parent(workspace, parent.as_deref()).await?;
        }
        Ok(())
    };
    match away {
        Away::Taken => unless_away(checked).await.map(|_is_there_or_away| ()),
        Away::Refused => checked.await,
    }
}

/// Makes the changes.
fn change(experiment: &mut ExperimentRow, changes: Changes) {
    if let Change::To(groups) = changes.groups {
        let (_, ids) = groups_after(experiment, &groups);
        experiment.group_id = ids.first().cloned().unwrap_or_default();
        experiment.group_ids = ids;
    }
    if let Change::To(metadata) = changes.metadata {
        experiment.metadata = Value::Object(metadata).to_string();
    }
    changes.source_link.apply(&mut experiment.source_link);
    changes.description.apply(&mut experiment.description);
    changes.summary.apply(&mut experiment.summary);
    changes.parent_id.apply(&mut experiment.parent_id);
    changes.status.apply(&mut experiment.status);
    changes.root_cause.apply(&mut experiment.root_cause);
}

/// A list as it is asked for.
struct ExperimentsQuery {
    page: Page,
    order: Order,
    /// The order in the words of the request, or of the default.
    sort: String,
    /// Whether an answer by page numbers says the order: 0.3.0 says none that was not asked for.
    says_sort: bool,
    listing: ExperimentFilter,
    cursors: Cursors,
    begins: PageStart,
}

fn asked(uri: &Uri, style: Style) -> Result<ExperimentsQuery, Refusal> {
    let parameters = parameters(uri, &["cursor"])?;
    let mut checks = Checks::new(&parameters);
    let page = checks.page(PAGE_SIZE);
    checks.finish()?;
    let (sort, order) = match (parameters.get("sort"), style.naming) {
        (None, Naming::Evaluations) => (SORT, Order::pinned_first()),
        (None, Naming::Experiments) => (SORT, Order::of(SORT)?),
        (Some(sort), Naming::Experiments) if style.is_strict => (sort, Order::of(sort)?),
        (Some(sort), _) => (sort, Order::parse(sort, "sort")?),
    };
    let (sort, says_sort) = (sort.to_owned(), parameters.get("sort").is_some() || style.naming == Naming::Experiments);
    let is_extended = style.naming == Naming::Evaluations || !style.is_strict;
    let fields = Fields { subject: style.naming.word(), fields: &FIELDS, is_extended };
    let listing = listing::read(Filter::of(&parameters)?, &fields)?;
    let cursors = Cursors::of(style.naming.word(), &sort, Some(&listing.echo), None);
    let begins = cursors.read(&parameters, order.kept())?;
    Ok(ExperimentsQuery { page, order, sort, says_sort, listing, cursors, begins })
}

pub(crate) async fn list(
    State(scores): State<Arc<ScoresReceiver>>,
    Path(of): Path<String>,
    naming: Naming,
    uri: Uri,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let style = style(&scores, naming);
    let asked = asked(&uri, style)?;
    let unstored = scores.experiments.settle(&workspace).await?;
    let rows = scores.experiments.all(&workspace, &unstored, |statement| condition(statement, &asked.listing)).await?;
    if rows.len() > LISTED_MAX {
        let why = format!(
            "This query selects more than {LISTED_MAX} {}s, which cannot be sorted in one request. Narrow the result \
             with a filter (e.g. experiment_group_id).",
            naming.word()
        );
        return Err(Refusal::too_large(&why).into());
    }
    let mut rows: Vec<_> = rows.into_iter().map(|row| (row, Rollup::default())).collect();
    let is_of_rows = asked.order.is_of_rows() && asked.listing.measures.is_empty();
    if !is_of_rows {
        measure(&scores, &workspace, naming, &mut rows).await?;
        rows.retain(|(_, rollup)| asked.listing.measures.iter().all(|measure| measure.holds(rollup)));
    }
    asked.order.sort(&mut rows);
    let total = rows.len();
    let mut rows = of_page(rows, &asked)?;
    if is_of_rows {
        measure(&scores, &workspace, naming, &mut rows).await?;
    }
    Ok(json_answer(StatusCode::OK, &framed(&rows, total, &asked, style)))
}

fn framed(rows: &[(ExperimentRow, Rollup)], total: usize, asked: &ExperimentsQuery, style: Style) -> Value {
    let data = rows.iter().map(|(row, rollup)| shown(row, rollup, style)).collect();
    let echo = Some(&asked.listing.echo);
    if asked.begins == PageStart::No {
        let sort = asked.says_sort.then_some(asked.sort.as_str());
        return Value::Object(answer(data, asked.page, to_u64(total), sort, echo, Nulls::Written));
    }
    let last = rows.last().filter(|_| asked.page.is_full(rows.len()));
    let next = last.map(|last| asked.cursors.next(&after(&asked.order.marks(last), last.0.name.clone())));
    Value::Object(cursor::answer(data, asked.page.size, next, &asked.sort, echo))
}

fn condition(statement: &mut Statement, asked: &ExperimentFilter) {
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
        conditions::push(statement, condition, place);
    }
    asked.push_metadata(statement);
}

/// The rows of the page that is asked for, of all rows in their order.
fn of_page(
    rows: Vec<(ExperimentRow, Rollup)>,
    asked: &ExperimentsQuery,
) -> Result<Vec<(ExperimentRow, Rollup)>, Refusal> {
    let size = saturating_usize(asked.page.size);
    Ok(match &asked.begins {
        PageStart::No => rows.into_iter().skip(saturating_usize(asked.page.offset())).take(size).collect(),
        PageStart::First => rows.into_iter().take(size).collect(),
        PageStart::After(after) => {
            let (marks, name) = marks_of(after)?;
            let is_before = |row: &(_, _)| asked.order.compare(row, &marks, name).is_le();
            rows.into_iter().skip_while(is_before).take(size).collect()
        }
    })
}

async fn measure(
    scores: &ScoresReceiver,
    workspace: &Workspace,
    naming: Naming,
    rows: &mut [(ExperimentRow, Rollup)],
) -> Result<(), Refusal> {
    let of: Vec<&ExperimentRow> = rows.iter().map(|(row, _)| row).collect();
    let rollups = rollups::ask(&scores.reads, workspace, &of, naming).await?;
    rows.iter_mut().zip(rollups).for_each(|((_, rollup), asked)| *rollup = asked);
    Ok(())
}

pub(crate) async fn get(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    naming: Naming,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let experiment = find(&scores, &workspace, &name, naming).await?;
    answered(&scores, &workspace, naming, &experiment).await
}

/// A change of an experiment, which nobody else writes meanwhile.
struct Changing<'s> {
    scores: &'s ScoresReceiver,
    workspace: Workspace,
    naming: Naming,
    writing: Writing<'s>,
    experiment: ExperimentRow,
}

impl<'s> Changing<'s> {
    async fn begin(
        scores: &'s ScoresReceiver,
        workspace: Workspace,
        name: &str,
        naming: Naming,
    ) -> Result<Self, Refusal> {
        let writing = scores.experiments.writing().await;
        let experiment = find(scores, &workspace, name, naming).await?;
        Ok(Self { scores, workspace, naming, writing, experiment })
    }

    /// Makes the changes of a body, if what they name is there.
    async fn change(&mut self, changes: Changes) -> Result<(), Refusal> {
        check(self.scores, &self.workspace, self.naming, &self.experiment, &changes, Away::Refused).await?;
        change(&mut self.experiment, changes);
        Ok(())
    }

    /// Writes the experiment, and answers with it.
    async fn end(self) -> Result<Response, Refused> {
        let Self { scores, workspace, naming, mut writing, mut experiment } = self;
        experiment.updated_at = writing.now;
        // first, so that what is refused while ClickHouse is away was not done
        let answer = answered(scores, &workspace, naming, &experiment).await?;
        writing.write([experiment]).await?;
        Ok(answer)
    }
}

pub(crate) async fn put(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    naming: Naming,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let Sent { body, .. } = scores.read(&workspace, request).await?;
    let body = experiment::read(&body, naming, scores.strict_reference)?;
    let mut changing = Changing::begin(&scores, workspace, &name, naming).await?;
    let experiment = &changing.experiment;
    let fixed = [
        ("name", body.name == experiment.name),
        ("dataset_name", body.dataset_name == experiment.dataset_name),
        ("dataset_version", body.dataset_version == experiment.dataset_version),
    ];
    changing.change(body.changes).await?;
    let changed: Vec<String> =
        fixed.iter().filter(|(_, is_same)| !is_same).map(|(field, _)| format!("'{field}'")).collect();
    if !changed.is_empty() {
        let (changed, word) = (changed.join(", "), naming.word());
        return Err(Refused::conflict(&format!(
            "Cannot change immutable field(s) [{changed}] on an existing {word}; create a new {word} instead."
        )));
    }
    changing.end().await
}

pub(crate) async fn patch(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    naming: Naming,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let Sent { body, .. } = scores.read(&workspace, request).await?;
    let changes = experiment::read_changes(&body)?;
    let mut changing = Changing::begin(&scores, workspace, &name, naming).await?;
    if changes.groups == Change::To(Groups::Exactly(Vec::new())) {
        let why = "experiment_ids must be non-empty: an evaluation must belong to at least one group.";
        return Err(Refusal::bad_request(why).into());
    }
    changing.change(changes).await?;
    changing.end().await
}

pub(crate) async fn delete(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    naming: Naming,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let mut writing = scores.experiments.writing().await;
    let rows = writing.deleted(find(&scores, &workspace, &name, naming).await?);
    writing.write(rows).await?;
    Ok(answer_deleted())
}

pub(crate) async fn pin(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    naming: Naming,
) -> Result<Response, Refused> {
    pinned(&scores, (&of, &name), naming, true).await
}

pub(crate) async fn unpin(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    naming: Naming,
) -> Result<Response, Refused> {
    pinned(&scores, (&of, &name), naming, false).await
}

async fn pinned(
    scores: &ScoresReceiver,
    (of, name): (&str, &str),
    naming: Naming,
    is_pinned: bool,
) -> Result<Response, Refused> {
    let mut changing = Changing::begin(scores, workspace(of)?, name, naming).await?;
    changing.experiment.pinned_at = is_pinned.then_some(changing.writing.now);
    changing.end().await
}
