//! Writes what waits on disk to ClickHouse, the oldest first, until ClickHouse has confirmed all of it.

use super::CLICKHOUSE_WITHIN;
use super::outbox::{Outbox, Waiting};
use super::rows::Row;
use crate::clickhouse::experiments::{write, write_groups};
use crate::clickhouse::{Failure, Statement};
use crate::query::reads::Reads;
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
    async fn with_free_names(&self, batch: &[Waiting]) -> Result<Vec<Row>, String> {
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
    async fn stored_id(&self, row: &Row) -> Result<Option<String>, String> {
        let (table, id) = (self.reads.client().full_name(row.kind().table()), row.kind().id());
        let mut statement = Statement::new(&format!(
            "SELECT {id} FROM {table} AS e FINAL WHERE e.IsDeleted = 0 AND e.DeletedAt IS NULL AND e.Workspace = "
        ));
        statement.bind(row.workspace()).push(" AND e.Name = ").bind(row.name());
        match tokio::time::timeout(CLICKHOUSE_WITHIN, self.reads.ask_one::<String>(&statement)).await {
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

/// The name of what was made while ClickHouse was away, if ClickHouse has something else of its name.
fn second_name(name: &str, id: &str) -> String {
    const HEAD_LETTERS_MAX: usize = 96;
    let head: String = name.chars().take(HEAD_LETTERS_MAX).collect();
    let digits: String = id.chars().rev().take(8).collect();
    format!("{head}@{digits}")
}
