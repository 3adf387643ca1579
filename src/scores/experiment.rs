//! Experiments and their groups, as they are sent.

use super::check::{Invalid, Members};
use crate::random;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Names can be written in a path as they are.
const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9@.+_:-]{0,127}$";
const NAME_BYTES_MAX: usize = 128;
/// Most groups that an experiment may be in.
const GROUPS_MAX: usize = 100;
/// How the experiments of a group are shown when nobody says.
pub const DEFAULT_SORT: &str = "-created_at";

/// Which release's experiments: 0.2.0 calls them experiments, 0.3.0 evaluations, and says more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Of 0.2.0.
    Experiments,
    /// Of 0.3.0.
    Evaluations,
}

impl Naming {
    /// What one is called.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Experiments => "Experiment",
            Self::Evaluations => "Evaluation",
        }
    }

    /// The same within a sentence.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Experiments => "experiment",
            Self::Evaluations => "evaluation",
        }
    }
}

/// What a body says of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// Nothing: it stays as it is.
    Keep,
    /// It becomes this.
    To(T),
}

impl<T> Change<T> {
    /// Makes the change.
    pub fn apply(self, to: &mut T) {
        if let Self::To(value) = self {
            *to = value;
        }
    }

    fn given(is_given: bool, value: T) -> Self {
        if is_given { Self::To(value) } else { Self::Keep }
    }
}

/// The groups that a body puts an experiment into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// These and no others: their ids, each once.
    Exactly(Vec<String>),
    /// This one, named by a client of 0.2.0, which knows of one group.
    One(String),
}

impl Groups {
    /// The groups of an experiment that was in these before. A client that knows of one group does not take the experiment out of
    /// others: a group that the experiment is in changes nothing, and another one replaces the first, which is the one that
    /// `experiment_group_id` shows.
    #[must_use]
    pub fn after(self, before: &[String]) -> Vec<String> {
        match self {
            Self::Exactly(ids) => ids,
            Self::One(id) if before.contains(&id) => before.to_vec(),
            Self::One(id) => [id].into_iter().chain(before.iter().skip(1).cloned()).collect(),
        }
    }
}

/// The measures of the axes on which a group's experiments are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pareto {
    /// Of the first axis.
    pub x: String,
    /// Of the second.
    pub y: String,
}

impl Default for Pareto {
    fn default() -> Self {
        Self { x: "cost_usd".to_owned(), y: "latency_ms".to_owned() }
    }
}

/// The body of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupBody {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What led to it.
    pub insight_id: Change<Option<String>>,
    /// What came out.
    pub summary: Change<Option<String>>,
    /// Whatever else its producer says.
    pub metadata: Change<Option<Map<String, Value>>>,
    /// The order in which its experiments are shown.
    pub default_sort: Change<String>,
    /// The axes on which they are compared.
    pub pareto: Change<Pareto>,
}

/// The body of an experiment that is made or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentBody {
    /// Its name.
    pub name: String,
    /// What it was run on.
    pub dataset_name: String,
    /// Which version of that.
    pub dataset_version: Option<String>,
    /// What may be changed.
    pub changes: Changes,
}

/// What a body says of what may be changed of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Its groups.
    pub groups: Change<Groups>,
    /// Where it comes from.
    pub source_link: Change<Option<String>>,
    /// Whatever else its producer says.
    pub metadata: Change<Map<String, Value>>,
    /// What it is.
    pub description: Change<Option<String>>,
    /// What came out.
    pub summary: Change<Option<String>>,
    /// The id of the experiment that it is derived from.
    pub parent_id: Change<Option<String>>,
    /// The state that it is in.
    pub status: Change<Option<String>>,
    /// Why it came out as it did.
    pub root_cause: Change<Option<String>>,
}

/// Reads the body of a group; `strictly` as release 0.2.0 has it.
///
/// # Errors
/// If it is none: everything that is wrong with it.
pub fn read_group(body: &Value, strictly: bool) -> Result<GroupBody, Invalid> {
    let mut members = Members::of(body, &["body"])?;
    let name = members.text_like("name", NAME_PATTERN, is_name);
    let description = members.optional_text("description");
    let mut group = GroupBody {
        name,
        description,
        insight_id: Change::Keep,
        summary: Change::Keep,
        metadata: Change::Keep,
        default_sort: Change::Keep,
        pareto: Change::Keep,
    };
    if !strictly {
        group.insight_id = Change::To(members.optional_text("insight_id"));
        group.summary = Change::To(members.optional_text("summary"));
        let is_there = members.has("metadata");
        let metadata = members.optional_texts_by_name("metadata");
        group.metadata = Change::To(is_there.then_some(metadata));
        group.default_sort = Change::To(members.text_or("default_sort", DEFAULT_SORT));
        group.pareto =
            members.optional_pair("pareto", ["x_metric", "y_metric"], &measure).map_or(Change::Keep, |pair| {
                let (usual, [x, y]) = (Pareto::default(), pair);
                Change::To(Pareto { x: x.unwrap_or(usual.x), y: y.unwrap_or(usual.y) })
            });
    }
    members.finish()?;
    Ok(group)
}

/// What is wrong with the measure of an axis.
fn measure(name: &str) -> Option<String> {
    let is_known = matches!(name, "cost_usd" | "latency_ms")
        || name.strip_prefix("evaluators.").is_some_and(|evaluator| !evaluator.is_empty());
    let why =
        || format!("Unsupported Pareto metric '{name}'; expected 'cost_usd', 'latency_ms', or 'evaluators.<name>'.");
    (!is_known).then(why)
}

/// Reads the body of an experiment as this release has it; `strictly` without what later ones added.
///
/// # Errors
/// If it is none: everything that is wrong with it.
pub fn read(body: &Value, naming: Naming, strictly: bool) -> Result<ExperimentBody, Invalid> {
    let mut members = Members::of(body, &["body"])?;
    let name = members.text_like("name", NAME_PATTERN, is_name);
    let is_later = naming == Naming::Evaluations;
    let several = if is_later || !strictly { groups(&mut members) } else { Vec::new() };
    let one = match naming {
        Naming::Experiments if several.is_empty() => Some(members.text("experiment_group_id")),
        _ => members.optional_text("experiment_group_id"),
    };
    let dataset_name = members.text("dataset_name");
    let dataset_version = members.optional_text("dataset_version");
    let source_link = members.optional_url("source_link");
    let metadata =
        if is_later { members.optional_texts_by_name("metadata") } else { members.optional_object("metadata") };
    let description = members.optional_text("description");
    let summary = if is_later { Change::Keep } else { Change::To(members.optional_text("summary")) };
    let [parent_id, status, root_cause] = later_members(&mut members, naming, strictly);
    let groups = match one {
        Some(id) if several.is_empty() && !is_later => Groups::One(id),
        Some(id) if several.is_empty() => Groups::Exactly(vec![id]),
        _ => Groups::Exactly(several),
    };
    if is_later && matches!(&groups, Groups::Exactly(ids) if ids.iter().all(String::is_empty)) {
        members
            .refuse("An evaluation must belong to at least one group: provide experiment_ids or experiment_group_id.");
    }
    members.finish()?;
    let changes = Changes {
        groups: Change::To(groups),
        source_link: Change::To(source_link),
        metadata: Change::To(metadata),
        description: Change::To(description),
        summary,
        parent_id,
        status,
        root_cause,
    };
    Ok(ExperimentBody { name, dataset_name, dataset_version, changes })
}

/// The members that 0.3.0 added. A client of 0.2.0 cannot say them, so there what is left out stays.
fn later_members(members: &mut Members<'_>, naming: Naming, strictly: bool) -> [Change<Option<String>>; 3] {
    if naming == Naming::Experiments && strictly {
        return [Change::Keep, Change::Keep, Change::Keep];
    }
    let is_later = naming == Naming::Evaluations;
    let names = ["parent_evaluation_id", "parent_experiment_id", "status", "root_cause"];
    let [evaluation, experiment, status, root_cause] =
        names.map(|name| Change::given(is_later || members.has(name), members.optional_text(name)));
    let parent = match (evaluation, experiment) {
        (Change::Keep | Change::To(None), Change::To(other)) => Change::To(other),
        (one, _) => one,
    };
    [parent, status, root_cause]
}

/// Reads the body of a partial change, which 0.3.0 has.
///
/// # Errors
/// If it is none: everything that is wrong with it.
pub fn read_changes(body: &Value) -> Result<Changes, Invalid> {
    let mut members = Members::of(body, &["body"])?;
    let has = |name: &str| body.get(name).is_some();
    let changes = Changes {
        groups: Change::given(has("experiment_ids"), Groups::Exactly(groups(&mut members))),
        source_link: Change::given(has("source_link"), members.optional_url("source_link")),
        metadata: Change::given(has("metadata"), members.optional_texts_by_name("metadata")),
        description: Change::given(has("description"), members.optional_text("description")),
        summary: Change::Keep,
        parent_id: Change::given(has("parent_evaluation_id"), members.optional_text("parent_evaluation_id")),
        status: Change::given(has("status"), members.optional_text("status")),
        root_cause: Change::given(has("root_cause"), members.optional_text("root_cause")),
    };
    members.finish()?;
    Ok(changes)
}

/// The ids of groups that a body lists, each once.
fn groups(members: &mut Members<'_>) -> Vec<String> {
    let mut ids = members.optional_texts("experiment_ids", GROUPS_MAX);
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    ids
}

fn is_name(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    let is_allowed = |letter: u8| letter.is_ascii_alphanumeric() || b"@.+_:-".contains(&letter);
    starts && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_allowed)
}

/// What something is called once it is deleted: its name is free then.
#[must_use]
pub fn deleted_name(name: &str) -> String {
    const HEAD_LETTERS_MAX: usize = 96;
    let head: String = name.chars().take(HEAD_LETTERS_MAX).collect();
    format!("{head}-deleted-{}", random::letters())
}
