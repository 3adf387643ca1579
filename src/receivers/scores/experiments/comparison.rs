//! `/experiments/{name}/comparison`: an experiment beside a baseline, as a whole and by test case. Figures of the whole are over test
//! cases, whichever name the path has, so a test case that ran more often does not weigh more; those of a test case are over its sessions.

use super::super::list::only;
use super::super::receiver::{ScoresReceiver, workspace};
use super::super::refused::Refused;
use super::handlers::find;
use super::rollups::{self, Case, Cases, PageOfCases, Rollup, Stats};
use crate::clickhouse::experiments::ExperimentRow;
use crate::numbers::to_u64;
use crate::query::answer::{Refusal, json_answer};
use crate::query::cursor::{After, Cursors, PageStart};
use crate::query::page::Checks;
use crate::scores::Naming;
use crate::workspace::Workspace;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const BASELINE: &str = "baseline";
/// Test cases of a page when nobody asks for fewer: the most that a page may have.
const PAGE_SIZE: u64 = 1_000;
/// Their order.
const SORT: &str = "test_case_id";

pub(crate) async fn compare(
    State(scores): State<Arc<ScoresReceiver>>,
    Path((of, name)): Path<(String, String)>,
    naming: Naming,
    uri: Uri,
) -> Result<Response, Refused> {
    let workspace = workspace(&of)?;
    let parameters = only(&uri, &[BASELINE, "cursor", "page_size"])?;
    let mut checks = Checks::new(&parameters);
    let size = checks.page(PAGE_SIZE).size;
    checks.finish()?;
    let experiment = find(&scores, &workspace, &name, naming).await?;
    let baseline = match parameters.get(BASELINE) {
        Some(name) => find(&scores, &workspace, name, naming).await?,
        None => parent(&scores, &workspace, naming, &experiment).await?,
    };
    if baseline.name == experiment.name {
        let why = format!("'{BASELINE}' must be another {} than the one that is compared with it.", naming.word());
        return Err(Refusal::bad_request(&why).into());
    }
    let rows = [&experiment, &baseline];
    let rollups = rollups::ask(&scores.reads, &workspace, &rows, Naming::Evaluations).await?;
    let rollups: [Rollup; 2] = rollups.try_into().expect("each has one");
    let cursors = Cursors::of(&format!("comparison of {} with {}", experiment.name, baseline.name), SORT, None, None);
    let begins = cursors.read(&parameters, 1)?;
    let after = match &begins {
        PageStart::After(after) => after.keys.first().map(String::as_str).unwrap_or_default(),
        PageStart::No | PageStart::First => "",
    };
    let [ours, theirs] = rollups::cases(&scores.reads, &workspace, rows, PageOfCases { after, size }).await?;
    let mut answer = compared(rows, &rollups, [&ours, &theirs]);
    let cases = beside(ours, theirs);
    let last = cases.last_key_value().filter(|_| to_u64(cases.len()) >= size);
    let next = last.map(|(name, _)| cursors.next(&After { at: 0, keys: vec![name.clone()] }));
    answer.insert("test_cases".to_owned(), cases.iter().map(|(name, both)| of_case(name, both)).collect());
    answer.insert("next_cursor".to_owned(), next.into());
    Ok(json_answer(StatusCode::OK, &answer.into()))
}

/// The experiment that one is derived from, which is its baseline when none is named.
async fn parent(
    scores: &ScoresReceiver,
    workspace: &Workspace,
    naming: Naming,
    of: &ExperimentRow,
) -> Result<ExperimentRow, Refusal> {
    let parent = match &of.parent_id {
        Some(id) => scores.experiments.of_id::<ExperimentRow>(workspace, id).await?,
        None => None,
    };
    let word = naming.word();
    let why =
        || format!("'{BASELINE}' is missing, and this {word} is derived from none that it could be compared with.");
    parent.filter(|parent| parent.deleted_at.is_none()).ok_or_else(|| Refusal::bad_request(&why()))
}

/// What is said of the whole.
fn compared(rows: [&ExperimentRow; 2], [one, other]: &[Rollup; 2], [ours, theirs]: [&Cases; 2]) -> Map<String, Value> {
    let told = |row: &ExperimentRow, rollup: &Rollup| json!({"id": row.experiment_id, "name": row.name, "run_count": rollup.runs, "test_case_count": rollup.cases});
    let is_complete = (to_u64(ours.len()), to_u64(theirs.len())) == (one.cases, other.cases);
    let [experiment, baseline] = rows;
    let members = [
        ("experiment", told(experiment, one)),
        ("baseline", told(baseline, other)),
        ("cost_usd", figures(one.cost.as_ref(), other.cost.as_ref())),
        ("latency_ms", figures(one.latency.as_ref(), other.latency.as_ref())),
        ("tokens", figures(one.tokens.as_ref(), other.tokens.as_ref())),
        ("scores", scores(&one.scores, &other.scores)),
        ("is_complete", is_complete.into()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The test cases that either has, by name, each of both.
fn beside(ours: Cases, theirs: Cases) -> BTreeMap<String, [Case; 2]> {
    let mut both: BTreeMap<String, [Case; 2]> =
        ours.into_iter().map(|(name, case)| (name, [case, Case::default()])).collect();
    for (name, case) in theirs {
        let [_, baseline] = both.entry(name).or_default();
        *baseline = case;
    }
    both
}

fn of_case(name: &str, [one, other]: &[Case; 2]) -> Value {
    json!({
        "test_case_id": name,
        "run_count": {"value": one.runs, "baseline": other.runs},
        "cost_usd": figures(one.cost.as_ref(), other.cost.as_ref()),
        "latency_ms": figures(one.latency.as_ref(), other.latency.as_ref()),
        "tokens": figures(one.tokens.as_ref(), other.tokens.as_ref()),
        "scores": scores(&one.scores, &other.scores),
    })
}

/// Scores that either has, by name.
fn scores(one: &BTreeMap<String, Stats>, other: &BTreeMap<String, Stats>) -> Value {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let told = names.into_iter().map(|name| (name.clone(), figures(one.get(name), other.get(name))));
    Value::Object(told.collect::<Map<_, _>>())
}

/// Figures beside others; null if neither is known.
fn figures(one: Option<&Stats>, other: Option<&Stats>) -> Value {
    if one.is_none() && other.is_none() {
        return Value::Null;
    }
    let of = |figure: fn(&Stats) -> f64| {
        let (value, baseline) = (one.map(figure), other.map(figure));
        let difference = value.zip(baseline).map(|(value, baseline)| value - baseline);
        json!({"value": value, "baseline": baseline, "difference": difference})
    };
    let count = |stats: Option<&Stats>| stats.map_or(0, |stats| stats.count);
    json!({
        "mean": of(|stats| stats.mean),
        "median": of(|stats| stats.median),
        "p90": of(|stats| stats.p90),
        "count": {"value": count(one), "baseline": count(other)},
    })
}
