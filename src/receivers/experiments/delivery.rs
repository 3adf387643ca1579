//! Writes what waits on disk to ClickHouse, the oldest first, until ClickHouse has confirmed all of it.

use super::CLICKHOUSE_WITHIN;
use super::outbox::{Outbox, Waiting};
use super::rows::{Kind, Row};
use crate::clickhouse::experiments::{write, write_groups};
use crate::clickhouse::{Failure, Statement};
use crate::query::reads::Reads;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What became of rows that are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// ClickHouse has them.
    Stored,
    /// ClickHouse gets them when it is back.
    OnDisk,
}

/// What ClickHouse has under a name.
#[derive(Debug, ::clickhouse::Row, Deserialize)]
struct Stored {
    name: String,
    id: String,
}

#[derive(Debug)]
pub(super) struct Delivery {
    reads: Reads,
    outbox: Arc<Outbox>,
    /// Whether ClickHouse did not take what waits when it was last tried.
    is_behind: AtomicBool,
}

impl Delivery {
    pub(super) fn new(reads: Reads, outbox: Arc<Outbox>) -> Self {
        let is_behind = AtomicBool::new(outbox.len() > 0);
        Self { reads, outbox, is_behind }
    }

    /// Whether ClickHouse did not take what waits when it was last tried.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Relaxed)
    }

    /// Writes what waits. Nobody else does so meanwhile, nor adds anything.
    pub(super) async fn deliver(&self) -> Kept {
        while let Some((number, batch)) = self.outbox.first() {
            let written = match self.with_free_names(&batch).await {
                Ok(rows) => {
                    log_second_names(&batch, &rows);
                    self.insert(rows).await
                }
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

    /// Rows of one workspace as they are written. What was taken without a check goes on under another name if its own is not free.
    pub(super) async fn with_free_names(&self, waiting: &[Waiting]) -> Result<Vec<Row>, String> {
        let mut taken = HashMap::new();
        for kind in [Kind::Experiment, Kind::Group] {
            let unchecked = waiting.iter().filter(|waiting| !waiting.is_checked).map(|waiting| &waiting.row);
            let rows: Vec<&Row> = unchecked.filter(|row| row.kind() == kind).collect();
            let Some(first) = rows.first() else { continue };
            let names = rows.iter().map(|row| row.name().to_owned()).collect();
            let stored = self.stored_ids(kind, first.workspace(), names).await?;
            taken.extend(stored.into_iter().map(|stored| ((kind, stored.name), stored.id)));
        }
        let with_free_name = |Waiting { is_checked, row }: &Waiting| {
            let of_stored = taken.get(&(row.kind(), row.name().to_owned()));
            let mut row = row.clone();
            if !is_checked && of_stored.is_some_and(|other| other != row.id()) {
                row.set_name(second_name(row.name(), row.id()));
            }
            row
        };
        Ok(waiting.iter().map(with_free_name).collect())
    }

    /// The ids of what ClickHouse has under these names.
    async fn stored_ids(&self, kind: Kind, workspace: &str, names: Vec<String>) -> Result<Vec<Stored>, String> {
        let (table, id) = (self.reads.client().full_name(kind.table()), kind.id());
        let mut statement = Statement::new(&format!(
            "SELECT e.Name AS name, {id} AS id FROM {table} AS e FINAL WHERE e.IsDeleted = 0 AND e.DeletedAt IS NULL AND e.Workspace = "
        ));
        statement.bind(workspace).push(" AND e.Name IN ").bind(names);
        match tokio::time::timeout(CLICKHOUSE_WITHIN, self.reads.ask::<Stored>(&statement)).await {
            Ok(asked) => asked.map_err(|refusal| refusal.detail().to_string()),
            Err(_too_late) => Err("ClickHouse does not answer".to_owned()),
        }
    }

    async fn insert(&self, rows: Vec<Row>) -> Result<(), String> {
        let (mut experiments, mut groups) = (Vec::new(), Vec::new());
        for row in rows {
            match row {
                Row::Experiment(row) => experiments.push(row),
                Row::Group(row) => groups.push(row),
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
}

fn log_second_names(batch: &[Waiting], rows: &[Row]) {
    for (_, row) in batch.iter().zip(rows).filter(|(waiting, row)| waiting.row.name() != row.name()) {
        tracing::warn!(
            workspace = row.workspace(),
            id = row.id(),
            "what was made while ClickHouse was away has a name that was in use, and is kept as NAME@ID"
        );
    }
}

/// The name of what was made while ClickHouse was away, if ClickHouse has something else of its name.
fn second_name(name: &str, id: &str) -> String {
    const HEAD_LETTERS_MAX: usize = 96;
    let head: String = name.chars().take(HEAD_LETTERS_MAX).collect();
    let digits: String = id.chars().rev().take(8).collect();
    format!("{head}@{digits}")
}
