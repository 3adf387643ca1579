//! Experiments and their groups: their rows, and which there are, for captured calls that name one. A change is checked against the rows that
//! are stored, kept on disk, and written to ClickHouse, under one lock, so that of two requests for a name one gets it.
//!
//! ```text
//! request -> writing.rs: is the name free? -> outbox.rs: fsync -> delivery.rs: ClickHouse -> answer
//!                                                  '--- ClickHouse is away: answer; delivered as soon as it is back
//! rows.rs    the rows of both tables
//! ```
//!
//! While ClickHouse is away a new experiment or group is taken unless its name is known to be in use. If ClickHouse has that name after all,
//! what it has stays, and the new one gets another name (`second_name`). Changes of what only ClickHouse knows are refused meanwhile.
//!
//! What waits on disk is there: it is found by its name and its id, and lists wait until it is delivered (`settle`). Where ClickHouse
//! answers questions and takes no rows, it is sent along with the question (`unstored.rs`).
//!
//! Another Millrace on the same tables has a lock of its own: there the later row counts.

mod delivery;
mod outbox;
mod rows;
mod unstored;
mod writing;

pub(crate) use delivery::Kept;
pub(crate) use unstored::Unstored;
pub(crate) use writing::Writing;

use crate::clickhouse::Statement;
use crate::clickhouse::experiments::{ExperimentRow, GROUPS_OF_ROW, GroupRow};
use crate::journal::MachineDisk;
use crate::locks::locked;
use crate::query::answer::Refusal;
use crate::query::reads::Reads;
use crate::scores::experiment::Naming;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use axum::http::StatusCode;
use delivery::Delivery;
use outbox::{By, Outbox};
use prometheus::IntGauge;
use rows::{Kind, Named};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long an experiment that was there is not asked for again. What this process deletes is forgotten at once.
const KNOWN_FOR: Duration = Duration::from_secs(10);
const KNOWN_MAX: usize = 10_000;
/// How long ClickHouse has to say whether a name is free, and to confirm what is on disk.
const CLICKHOUSE_WITHIN: Duration = Duration::from_secs(2);
/// How often it is tried to write what waits.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Experiments that are listed at once.
pub(crate) const LISTED_MAX: usize = 1_000;

/// Where experiments are.
#[derive(Debug)]
pub struct Experiments {
    reads: Reads,
    /// The version of the last row.
    latest: tokio::sync::Mutex<u64>,
    /// When something of a name was last seen there.
    known: Mutex<HashMap<(Kind, Workspace, String), Instant>>,
    outbox: Arc<Outbox>,
    delivery: Delivery,
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
    /// Those of this ClickHouse; what it has not confirmed is kept in a folder, and its changes are counted.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn open(reads: Reads, folder: &Path, waiting: IntGauge) -> io::Result<Self> {
        let outbox = Arc::new(Outbox::open(Arc::new(MachineDisk), folder, waiting)?);
        let delivery = Delivery::new(reads.clone(), Arc::clone(&outbox));
        Ok(Self { reads, latest: tokio::sync::Mutex::default(), known: Mutex::default(), outbox, delivery })
    }

    /// Writes what waits to ClickHouse whenever there is something, until it is cancelled.
    pub async fn run(self: Arc<Self>, stopping: CancellationToken) {
        loop {
            if self.outbox.len() > 0 {
                let _nobody_else_writes = self.latest.lock().await;
                let _kept = self.delivery.deliver().await;
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
            }
        }
    }

    /// Waits until ClickHouse has what was written in a workspace, so that a list leaves out nothing that was acknowledged. What it does
    /// not take the list must read besides.
    ///
    /// # Errors
    /// 503 if ClickHouse does not answer either, or that is too much.
    pub(crate) async fn settle(&self, workspace: &Workspace) -> Result<Unstored, Refusal> {
        if !self.outbox.has(workspace) {
            return Ok(Unstored::default());
        }
        let delivered = async {
            let _nobody_else_writes = self.latest.lock().await;
            self.delivery.deliver().await
        };
        if let Ok(Kept::Stored) = tokio::time::timeout(CLICKHOUSE_WITHIN, delivered).await {
            return Ok(Unstored::default());
        }
        let rows =
            self.delivery.with_free_names(&self.outbox.of(workspace)).await.map_err(|_unknown| not_delivered())?;
        Unstored::of(&rows).ok_or_else(not_delivered)
    }

    /// Waits until nobody else writes.
    pub(crate) async fn writing(&self) -> Writing<'_> {
        Writing::begin(self).await
    }

    fn note(&self, kind: Kind, workspace: &Workspace, name: &str, is_live: bool) {
        let key = (kind, workspace.clone(), name.to_owned());
        let mut known = self.known();
        if !is_live {
            known.remove(&key);
            return;
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(key, Instant::now());
    }

    /// Whether something of this name was seen since the start, and not deleted since.
    fn was_seen(&self, kind: Kind, workspace: &Workspace, name: &str) -> bool {
        self.known().contains_key(&(kind, workspace.clone(), name.to_owned()))
    }

    /// The statement of a list of columns, of the rows of a workspace.
    pub(crate) fn rows<R: Named>(&self, columns: &str, workspace: &Workspace, unstored: &Unstored) -> Statement {
        let mut statement = Statement::new(&format!("SELECT {columns} FROM "));
        unstored.push_from::<R>(&mut statement, &self.reads.client().full_name(R::TABLE.table()), workspace);
        statement.push(" WHERE e.IsDeleted = 0 AND e.Workspace = ").bind(workspace.as_str());
        statement
    }

    /// The same of those that are stored.
    fn stored<R: Named>(&self, workspace: &Workspace) -> Statement {
        self.rows::<R>(R::COLUMNS, workspace, &Unstored::default())
    }

    /// The experiment or group of that name, unless it was deleted.
    pub(crate) async fn find<R: Named>(&self, workspace: &Workspace, name: &str) -> Result<Option<R>, Refusal> {
        if let Some(row) = self.outbox.last_of::<R>(workspace, By::Name(name)) {
            return Ok(if row.is_live() { R::of(row) } else { None });
        }
        let mut statement = self.stored::<R>(workspace);
        let found = self.reads.ask_one(statement.push(" AND e.DeletedAt IS NULL AND e.Name = ").bind(name)).await?;
        self.note(R::TABLE, workspace, name, found.is_some());
        Ok(found)
    }

    /// The experiment or group of that id, also if it was deleted.
    pub(crate) async fn of_id<R: Named>(&self, workspace: &Workspace, id: &str) -> Result<Option<R>, Refusal> {
        if let Some(row) = self.outbox.last_of::<R>(workspace, By::Id(id)) {
            return Ok(R::of(row));
        }
        let mut statement = self.stored::<R>(workspace);
        statement.push(&format!(" AND {} = ", R::TABLE.id())).bind(id).push(" LIMIT 1");
        self.reads.ask_one(&statement).await
    }

    /// All experiments that a condition holds for; one more than may be listed says that there are more.
    pub(crate) async fn all(
        &self,
        workspace: &Workspace,
        unstored: &Unstored,
        condition: impl FnOnce(&mut Statement),
    ) -> Result<Vec<ExperimentRow>, Refusal> {
        let mut statement = self.rows::<ExperimentRow>(ExperimentRow::COLUMNS, workspace, unstored);
        condition(&mut statement);
        statement.push(&format!(" ORDER BY e.Name LIMIT {}", LISTED_MAX + 1));
        self.reads.ask(&statement).await
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
        let waiting = ids.iter().filter_map(|id| self.outbox.last_of::<GroupRow>(workspace, By::Id(id)));
        let mut groups: Vec<GroupRow> = waiting.filter_map(GroupRow::of).collect();
        let stored: Vec<String> =
            ids.iter().filter(|id| groups.iter().all(|group| group.group_id != **id)).cloned().collect();
        if !stored.is_empty() {
            let mut statement = self.stored::<GroupRow>(workspace);
            groups.extend(self.reads.ask::<GroupRow>(statement.push(" AND e.GroupId IN ").bind(stored)).await?);
        }
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
        let found = self.of_id::<ExperimentRow>(workspace, id).await?;
        let why = || format!("parent_evaluation_id '{id}' does not reference an existing evaluation.");
        found.map(drop).ok_or_else(|| Refusal::bad_request(&why()))
    }

    /// How many experiments each group has that were not deleted.
    pub(crate) async fn counts(&self, workspace: &Workspace, unstored: &Unstored) -> Result<Counts, Refusal> {
        let select = format!("arrayJoin({GROUPS_OF_ROW}) AS group, count() AS experiments");
        let mut statement = self.rows::<ExperimentRow>(&select, workspace, unstored);
        let counted: Vec<Counted> = self.reads.ask(statement.push(" AND e.DeletedAt IS NULL GROUP BY group")).await?;
        Ok(Counts(counted.into_iter().map(|of| (of.group, of.experiments)).collect()))
    }

    /// Whether a call may name an experiment: it is there, or the workspace never had one, nor a group, so that nobody looks for what is
    /// named there. `strictly`: it must be there. `None`: ClickHouse does not say.
    pub(crate) async fn may_be_named(&self, workspace: &Workspace, name: &str, strictly: bool) -> Option<bool> {
        if self.is_live(workspace, name).await? {
            return Some(true);
        }
        if strictly || self.outbox.has(workspace) {
            return Some(false);
        }
        for kind in [Kind::Experiment, Kind::Group] {
            let table = self.reads.client().full_name(kind.table());
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
        let key = (Kind::Experiment, workspace.clone(), name.to_owned());
        if self.known().get(&key).is_some_and(|asked| asked.elapsed() < KNOWN_FOR) {
            return Some(true);
        }
        Some(self.find::<ExperimentRow>(workspace, name).await.ok()?.is_some())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<(Kind, Workspace, String), Instant>> {
        locked(&self.known)
    }
}

/// What is found, or none if ClickHouse is away.
///
/// # Errors
/// Whatever else is wrong.
pub(crate) async fn unless_away<T>(found: impl Future<Output = Result<T, Refusal>>) -> Result<Option<T>, Refusal> {
    match tokio::time::timeout(CLICKHOUSE_WITHIN, found).await {
        Ok(Ok(found)) => Ok(Some(found)),
        Ok(Err(refusal)) if refusal.status() != StatusCode::SERVICE_UNAVAILABLE => Err(refusal),
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}

fn not_delivered() -> Refusal {
    Refusal::unavailable("experiments wait on disk, and ClickHouse does not take them")
}
