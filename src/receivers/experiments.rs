//! Experiments and their groups: their rows, and which there are, for captured calls that name one. A change is checked against the rows that
//! are stored and written to ClickHouse under one lock, so that of two requests for a name one gets it. They do not go through the journal, as
//! scores do: while ClickHouse is away they cannot be checked, and what cannot be checked is refused instead of acknowledged.
//!
//! Another Millrace on the same tables has a lock of its own: there the later row counts.

use crate::clickhouse::experiments::{ExperimentRow, GROUPS_OF_ROW, GroupRow, write, write_groups};
use crate::clickhouse::schema::{EXPERIMENTS, GROUPS};
use crate::clickhouse::{Failure, Statement};
use crate::locks::locked;
use crate::numbers::saturating_i64;
use crate::query::answer::Refusal;
use crate::query::reads::Reads;
use crate::scores::experiment::{Naming, deleted_name};
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::MutexGuard;

/// How long an experiment that was there is not asked for again. What this process deletes is forgotten at once.
const KNOWN_FOR: Duration = Duration::from_secs(10);
const KNOWN_MAX: usize = 10_000;
/// Experiments that are listed at once.
pub(crate) const LISTED_MAX: usize = 1_000;

/// Where experiments are.
#[derive(Debug)]
pub struct Experiments {
    pub(crate) reads: Reads,
    /// The version of the last row.
    latest: tokio::sync::Mutex<u64>,
    known: Mutex<HashMap<(Workspace, String), Instant>>,
}

/// The right to write.
pub(crate) struct Writing<'e> {
    of: &'e Experiments,
    latest: MutexGuard<'e, u64>,
    /// Microseconds since 1970, later than all before.
    pub(crate) now: i64,
}

#[derive(Debug, Row, Deserialize)]
struct Counted {
    group: String,
    experiments: u64,
}

/// How many experiments groups have.
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Counts {
    pub(crate) fn of(&self, group: &GroupRow) -> u64 {
        self.0.get(&group.group_id).copied().unwrap_or_default()
    }
}

impl Experiments {
    /// Those of this ClickHouse.
    #[must_use]
    pub fn new(reads: Reads) -> Self {
        Self { reads, latest: tokio::sync::Mutex::default(), known: Mutex::default() }
    }

    fn micros(&self) -> i64 {
        self.reads.clock.now().nanos() / 1_000
    }

    /// Waits until nobody else writes.
    pub(crate) async fn writing(&self) -> Writing<'_> {
        let mut latest = self.latest.lock().await;
        *latest = self.micros().max(0).unsigned_abs().max(latest.saturating_add(1));
        let now = saturating_i64(u128::from(*latest));
        Writing { of: self, latest, now }
    }

    fn experiments(&self, workspace: &Workspace) -> Statement {
        self.rows(ExperimentRow::COLUMNS, EXPERIMENTS, workspace)
    }

    pub(crate) fn groups(&self, columns: &str, workspace: &Workspace) -> Statement {
        self.rows(columns, GROUPS, workspace)
    }

    fn rows(&self, columns: &str, table: &str, workspace: &Workspace) -> Statement {
        let table = self.reads.client().full_name(table);
        let mut statement = Statement::new(&format!(
            "SELECT {columns} FROM {table} AS e FINAL WHERE e.IsDeleted = 0 AND e.Workspace = "
        ));
        statement.bind(workspace.as_str());
        statement
    }

    /// The experiment of that name, unless it was deleted.
    pub(crate) async fn find(&self, workspace: &Workspace, name: &str) -> Result<Option<ExperimentRow>, Refusal> {
        let mut statement = self.experiments(workspace);
        self.reads.ask_one(statement.push(" AND e.DeletedAt IS NULL AND e.Name = ").bind(name)).await
    }

    /// The experiment of that id, also if it was deleted.
    pub(crate) async fn of_id(&self, workspace: &Workspace, id: &str) -> Result<Option<ExperimentRow>, Refusal> {
        let mut statement = self.experiments(workspace);
        self.reads.ask_one(statement.push(" AND e.ExperimentId = ").bind(id).push(" LIMIT 1")).await
    }

    /// All that a condition holds for; one more than may be listed says that there are more.
    pub(crate) async fn all(
        &self,
        workspace: &Workspace,
        condition: impl FnOnce(&mut Statement),
    ) -> Result<Vec<ExperimentRow>, Refusal> {
        let mut statement = self.experiments(workspace);
        condition(&mut statement);
        statement.push(&format!(" ORDER BY e.Name LIMIT {}", LISTED_MAX + 1));
        self.reads.ask(&statement).await
    }

    /// The group of that name, unless it was deleted.
    pub(crate) async fn find_group(&self, workspace: &Workspace, name: &str) -> Result<Option<GroupRow>, Refusal> {
        let mut statement = self.groups(GroupRow::COLUMNS, workspace);
        self.reads.ask_one(statement.push(" AND e.DeletedAt IS NULL AND e.Name = ").bind(name)).await
    }

    /// Refuses an experiment of which a group is not there.
    pub(crate) async fn check_groups(
        &self,
        workspace: &Workspace,
        ids: &[String],
        naming: Naming,
    ) -> Result<(), Refusal> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut statement = self.groups(GroupRow::COLUMNS, workspace);
        let groups: Vec<GroupRow> = self.reads.ask(statement.push(" AND e.GroupId IN ").bind(ids.to_vec())).await?;
        let title = naming.title();
        for id in ids {
            let why = match groups.iter().find(|group| group.group_id == *id) {
                None => format!("ExperimentGroup '{id}' must be created before an {title} can reference it."),
                Some(group) if group.deleted_at.is_some() => {
                    format!("ExperimentGroup '{id}' has been deleted and can no longer accept new {title}s.")
                }
                Some(_) => continue,
            };
            return Err(Refusal::bad_request(&why));
        }
        Ok(())
    }

    /// Refuses an experiment that is derived from one that never was.
    pub(crate) async fn check_parent(&self, workspace: &Workspace, id: Option<&str>) -> Result<(), Refusal> {
        let Some(id) = id else { return Ok(()) };
        let found = self.of_id(workspace, id).await?;
        let why = || format!("parent_evaluation_id '{id}' does not reference an existing evaluation.");
        found.map(drop).ok_or_else(|| Refusal::bad_request(&why()))
    }

    /// How many experiments each group has that were not deleted.
    pub(crate) async fn counts(&self, workspace: &Workspace) -> Result<Counts, Refusal> {
        let select = format!("arrayJoin({GROUPS_OF_ROW}) AS group, count() AS experiments");
        let mut statement = self.rows(&select, EXPERIMENTS, workspace);
        let counted: Vec<Counted> = self.reads.ask(statement.push(" AND e.DeletedAt IS NULL GROUP BY group")).await?;
        Ok(Counts(counted.into_iter().map(|of| (of.group, of.experiments)).collect()))
    }

    /// Whether a call may name an experiment: it is there, or the workspace never had one, nor a group, so that nobody looks for what is
    /// named there. `strictly`: it must be there. `None`: ClickHouse does not say.
    pub(crate) async fn may_be_named(&self, workspace: &Workspace, name: &str, strictly: bool) -> Option<bool> {
        if self.is_live(workspace, name).await? {
            return Some(true);
        }
        if strictly {
            return Some(false);
        }
        for table in [EXPERIMENTS, GROUPS] {
            let table = self.reads.client().full_name(table);
            let mut statement = Statement::new(&format!("SELECT count() AS rows FROM {table} WHERE Workspace = "));
            statement.bind(workspace.as_str());
            if self.reads.ask_one::<u64>(&statement).await.ok()?? > 0 {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Whether there is an experiment of that name, which was not deleted. `None`: ClickHouse does not say.
    async fn is_live(&self, workspace: &Workspace, name: &str) -> Option<bool> {
        let key = (workspace.clone(), name.to_owned());
        if self.known().get(&key).is_some_and(|asked| asked.elapsed() < KNOWN_FOR) {
            return Some(true);
        }
        let is_live = self.find(workspace, name).await.ok()?.is_some();
        if is_live {
            let mut known = self.known();
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(key, Instant::now());
        }
        Some(is_live)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<(Workspace, String), Instant>> {
        locked(&self.known)
    }
}

impl Writing<'_> {
    fn version(&mut self) -> u64 {
        *self.latest = self.latest.saturating_add(1);
        *self.latest
    }

    /// Writes experiments.
    pub(crate) async fn experiments(&mut self, mut rows: Vec<ExperimentRow>) -> Result<(), Refusal> {
        let version = self.version();
        rows.iter_mut().for_each(|row| row.version = version);
        let written = write(self.of.reads.client(), &rows).await;
        self.of.known().clear();
        written.map_err(|failure| not_written(&failure))
    }

    /// Writes groups.
    pub(crate) async fn groups(&mut self, mut rows: Vec<GroupRow>) -> Result<(), Refusal> {
        let version = self.version();
        rows.iter_mut().for_each(|row| row.version = version);
        write_groups(self.of.reads.client(), &rows).await.map_err(|failure| not_written(&failure))
    }

    /// The rows that delete an experiment: nothing has its name any more, and it goes on under another one.
    pub(crate) fn deleted(&self, experiment: ExperimentRow) -> [ExperimentRow; 2] {
        let (name, deleted_at) = (deleted_name(&experiment.name), Some(self.now));
        let tombstone = ExperimentRow { is_deleted: 1, ..experiment.clone() };
        [tombstone, ExperimentRow { name, deleted_at, updated_at: self.now, ..experiment }]
    }

    /// The same of a group.
    pub(crate) fn deleted_group(&self, group: GroupRow) -> [GroupRow; 2] {
        let (name, deleted_at) = (deleted_name(&group.name), Some(self.now));
        let tombstone = GroupRow { is_deleted: 1, ..group.clone() };
        [tombstone, GroupRow { name, deleted_at, updated_at: self.now, ..group }]
    }
}

fn not_written(failure: &Failure) -> Refusal {
    tracing::warn!(error = failure.message, "an experiment could not be written");
    Refusal::unavailable(&format!("ClickHouse did not confirm it, so it should be sent again: {}", failure.message))
}
