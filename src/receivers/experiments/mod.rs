//! Experiments and their groups: their rows, and which there are, for captured calls that name one. A change is checked against the rows that
//! are stored, kept on disk, and written to ClickHouse, under one lock, so that of two requests for a name one gets it.
//!
//! ```text
//! request -> check: is the name free? -> outbox.rs: fsync -> ClickHouse -> answer
//!                                              '--- ClickHouse is away: answer; written as soon as it is back
//! ```
//!
//! While ClickHouse is away a new experiment or group is taken unless its name is known to be in use. If ClickHouse has that name after all,
//! what it has stays, and the new one gets another name (`second_name`). Changes of what only ClickHouse knows are refused meanwhile.
//!
//! Another Millrace on the same tables has a lock of its own: there the later row counts.

mod outbox;

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
use axum::http::StatusCode;
use outbox::{Kind, Outbox, Row as Change, Waiting};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::MutexGuard;
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
    pub(crate) reads: Reads,
    /// The version of the last row.
    latest: tokio::sync::Mutex<u64>,
    /// When something of a name was last seen there.
    known: Mutex<HashMap<(Kind, Workspace, String), Instant>>,
    outbox: Arc<Outbox>,
    /// Whether ClickHouse did not take what waits when it was last tried.
    is_behind: AtomicBool,
}

/// What became of rows that are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// ClickHouse has them.
    Stored,
    /// ClickHouse gets them when it is back.
    OnDisk,
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
    /// Those of this ClickHouse; what it has not confirmed is kept in a folder.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn open(reads: Reads, folder: &Path) -> io::Result<Self> {
        let outbox = Arc::new(Outbox::open(folder)?);
        let is_behind = AtomicBool::new(outbox.len() > 0);
        Ok(Self { reads, latest: tokio::sync::Mutex::default(), known: Mutex::default(), outbox, is_behind })
    }

    /// Writes what waits to ClickHouse whenever there is something, until it is cancelled.
    pub async fn run(self: Arc<Self>, stopping: CancellationToken) {
        loop {
            if self.outbox.len() > 0 {
                let _nobody_else_writes = self.latest.lock().await;
                let _kept = self.write_waiting().await;
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
            }
        }
    }

    /// Writes what waits, the oldest first. Nobody else does so meanwhile.
    async fn write_waiting(&self) -> Kept {
        while let Some((number, batch)) = self.outbox.first() {
            let written = match self.with_free_names(&batch).await {
                Ok(rows) => self.insert(rows).await,
                Err(unknown) => Err(unknown),
            };
            if let Err(why) = written {
                if !self.is_behind.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error = why, "experiments wait on disk: ClickHouse did not confirm them");
                }
                return Kept::OnDisk;
            }
            let outbox = Arc::clone(&self.outbox);
            let removed = tokio::task::spawn_blocking(move || outbox.remove(number)).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(%error, "a batch of experiments that ClickHouse has stays on disk");
            }
        }
        if self.is_behind.swap(false, Ordering::Relaxed) {
            tracing::info!("the experiments that waited on disk are in ClickHouse");
        }
        Kept::Stored
    }

    /// The rows of a batch. What was taken without a check goes on under another name if its own is not free.
    async fn with_free_names(&self, batch: &[Waiting]) -> Result<Vec<Change>, String> {
        let mut rows = Vec::with_capacity(batch.len());
        for Waiting { is_checked, row } in batch {
            let mut row = row.clone();
            if !is_checked
                && let Some(other) = self.stored_id(&row).await?
                && other != row.id()
            {
                let name = second_name(row.name(), row.id());
                tracing::warn!(
                    workspace = row.workspace(),
                    id = row.id(),
                    "what was made while ClickHouse was away has a name that was in use, and is kept as NAME@ID"
                );
                row.set_name(name);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// The id of what ClickHouse has under the name of a row.
    async fn stored_id(&self, row: &Change) -> Result<Option<String>, String> {
        let (table, id) = match row.kind() {
            Kind::Experiment => (EXPERIMENTS, "e.ExperimentId"),
            Kind::Group => (GROUPS, "e.GroupId"),
        };
        let table = self.reads.client().full_name(table);
        let mut statement = Statement::new(&format!(
            "SELECT {id} FROM {table} AS e FINAL WHERE e.IsDeleted = 0 AND e.DeletedAt IS NULL AND e.Workspace = "
        ));
        statement.bind(row.workspace()).push(" AND e.Name = ").bind(row.name());
        match tokio::time::timeout(CLICKHOUSE_WITHIN, self.reads.ask_one::<String>(&statement)).await {
            Ok(asked) => asked.map_err(|refusal| refusal.detail().to_string()),
            Err(_too_late) => Err("ClickHouse does not answer".to_owned()),
        }
    }

    async fn insert(&self, rows: Vec<Change>) -> Result<(), String> {
        let (mut experiments, mut groups) = (Vec::new(), Vec::new());
        for row in rows {
            match row {
                Change::Experiment(row) => experiments.push(row),
                Change::Group(row) => groups.push(row),
            }
        }
        let client = self.reads.client();
        let written = async {
            write(client, &experiments).await?;
            write_groups(client, &groups).await
        };
        match tokio::time::timeout(CLICKHOUSE_WITHIN, written).await {
            Ok(written) => written.map_err(|failure: Failure| failure.message),
            Err(_too_late) => Err("ClickHouse does not answer".to_owned()),
        }
    }

    /// Whether a new experiment or group may have a name. `None`: nobody can say, since ClickHouse is away.
    async fn is_free(&self, kind: Kind, workspace: &Workspace, name: &str) -> Result<Option<bool>, Refusal> {
        let found = async {
            Ok::<bool, Refusal>(match kind {
                Kind::Experiment => self.find(workspace, name).await?.is_some(),
                Kind::Group => self.find_group(workspace, name).await?.is_some(),
            })
        };
        match unless_away(found).await? {
            Some(is_found) => Ok(Some(!is_found)),
            None if self.known().contains_key(&(kind, workspace.clone(), name.to_owned())) => Ok(Some(false)),
            None => Ok(None),
        }
    }

    /// The row of a name that waits, if one does.
    fn waiting(&self, kind: Kind, workspace: &Workspace, name: &str) -> Option<Change> {
        let is_of = |row: &Change| row.kind() == kind && row.workspace() == workspace.as_str() && row.name() == name;
        self.outbox.last(is_of).map(|waiting| waiting.row)
    }

    /// The row of an id that waits, if one does.
    fn waiting_of_id(&self, kind: Kind, workspace: &Workspace, id: &str) -> Option<Change> {
        let is_of = |row: &Change| row.kind() == kind && row.workspace() == workspace.as_str() && row.id() == id;
        self.outbox.last(is_of).map(|waiting| waiting.row)
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
        if let Some(waiting) = self.waiting(Kind::Experiment, workspace, name) {
            let Change::Experiment(row) = waiting.clone() else { return Ok(None) };
            return Ok(waiting.is_live().then_some(row));
        }
        let mut statement = self.experiments(workspace);
        let found = self.reads.ask_one(statement.push(" AND e.DeletedAt IS NULL AND e.Name = ").bind(name)).await?;
        self.note(Kind::Experiment, workspace, name, found.is_some());
        Ok(found)
    }

    /// The experiment of that id, also if it was deleted.
    pub(crate) async fn of_id(&self, workspace: &Workspace, id: &str) -> Result<Option<ExperimentRow>, Refusal> {
        if let Some(Change::Experiment(row)) = self.waiting_of_id(Kind::Experiment, workspace, id) {
            return Ok(Some(row));
        }
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
        if let Some(waiting) = self.waiting(Kind::Group, workspace, name) {
            let Change::Group(row) = waiting.clone() else { return Ok(None) };
            return Ok(waiting.is_live().then_some(row));
        }
        let mut statement = self.groups(GroupRow::COLUMNS, workspace);
        let found = self.reads.ask_one(statement.push(" AND e.DeletedAt IS NULL AND e.Name = ").bind(name)).await?;
        self.note(Kind::Group, workspace, name, found.is_some());
        Ok(found)
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
        let waiting = ids.iter().filter_map(|id| match self.waiting_of_id(Kind::Group, workspace, id)? {
            Change::Group(row) => Some(row),
            Change::Experiment(_) => None,
        });
        let mut groups: Vec<GroupRow> = waiting.collect();
        let stored: Vec<String> =
            ids.iter().filter(|id| groups.iter().all(|group| group.group_id != **id)).cloned().collect();
        if !stored.is_empty() {
            let mut statement = self.groups(GroupRow::COLUMNS, workspace);
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
        let key = (Kind::Experiment, workspace.clone(), name.to_owned());
        if self.known().get(&key).is_some_and(|asked| asked.elapsed() < KNOWN_FOR) {
            return Some(true);
        }
        Some(self.find(workspace, name).await.ok()?.is_some())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<(Kind, Workspace, String), Instant>> {
        locked(&self.known)
    }
}

impl Writing<'_> {
    fn version(&mut self) -> u64 {
        *self.latest = self.latest.saturating_add(1);
        *self.latest
    }

    /// Keeps a new experiment or group, if its name is not in use. `false`: it is.
    pub(crate) async fn create(&mut self, row: impl Into<Change>) -> Result<bool, Refusal> {
        let row: Change = row.into();
        let workspace = Workspace::new(row.workspace()).expect("it was read from the path");
        let is_free = self.of.is_free(row.kind(), &workspace, row.name()).await?;
        if is_free == Some(false) {
            return Ok(false);
        }
        let _kept = self.keep(vec![row], is_free.is_some()).await?;
        Ok(true)
    }

    /// Keeps rows of experiments and groups, all or none.
    pub(crate) async fn write<R: Into<Change>>(&mut self, rows: impl IntoIterator<Item = R>) -> Result<Kept, Refusal> {
        self.keep(rows.into_iter().map(Into::into).collect(), true).await
    }

    async fn keep(&mut self, mut rows: Vec<Change>, is_checked: bool) -> Result<Kept, Refusal> {
        let version = self.version();
        let kept = rows.iter_mut().map(|row| {
            row.set_version(version);
            // a change of what was not checked is no more certain
            let last = self.of.outbox.last(|other| (other.kind(), other.id()) == (row.kind(), row.id()));
            Waiting { is_checked: is_checked && last.is_none_or(|last| last.is_checked), row: row.clone() }
        });
        let (kept, outbox): (Vec<Waiting>, _) = (kept.collect(), Arc::clone(&self.of.outbox));
        match tokio::task::spawn_blocking(move || outbox.add(kept)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(not_kept(&error)),
            Err(panicked) => return Err(not_kept(&io::Error::other(panicked))),
        }
        for row in &rows {
            if let Ok(workspace) = Workspace::new(row.workspace()) {
                self.of.note(row.kind(), &workspace, row.name(), row.is_live());
            }
        }
        if self.of.is_behind.load(Ordering::Relaxed) {
            return Ok(Kept::OnDisk);
        }
        Ok(self.of.write_waiting().await)
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

impl From<ExperimentRow> for Change {
    fn from(row: ExperimentRow) -> Self {
        Self::Experiment(row)
    }
}

impl From<GroupRow> for Change {
    fn from(row: GroupRow) -> Self {
        Self::Group(row)
    }
}

/// The name of what was made while ClickHouse was away, if ClickHouse has something else of its name.
fn second_name(name: &str, id: &str) -> String {
    const HEAD_LETTERS_MAX: usize = 96;
    let head: String = name.chars().take(HEAD_LETTERS_MAX).collect();
    let digits: String = id.chars().rev().take(8).collect();
    format!("{head}@{digits}")
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

fn not_kept(error: &io::Error) -> Refusal {
    tracing::error!(%error, "an experiment could not be kept on disk");
    Refusal::unavailable("it could not be kept on disk, so it should be sent again")
}
