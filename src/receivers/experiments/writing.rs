//! Changes of experiments and groups: one request writes at a time.

use super::delivery::Kept;
use super::outbox::Waiting;
use super::rows::{Named, Row};
use super::{Experiments, not_delivered, unless_away};
use crate::numbers::saturating_i64;
use crate::query::answer::Refusal;
use crate::workspace::Workspace;
use std::io;
use std::sync::Arc;
use tokio::sync::MutexGuard;

/// The right to write.
pub(crate) struct Writing<'e> {
    of: &'e Experiments,
    latest: MutexGuard<'e, u64>,
    /// Microseconds since 1970, later than all before.
    pub(crate) now: i64,
}

impl<'e> Writing<'e> {
    /// Waits until nobody else writes.
    pub(super) async fn begin(of: &'e Experiments) -> Self {
        let mut latest = of.latest.lock().await;
        let now = of.reads.clock.now().nanos() / 1_000;
        *latest = now.max(0).unsigned_abs().max(latest.saturating_add(1));
        let now = saturating_i64(u128::from(*latest));
        Self { of, latest, now }
    }

    /// Waits until ClickHouse has what was written in a workspace before.
    ///
    /// # Errors
    /// 503 if it does not take that.
    pub(crate) async fn settle(&self, workspace: &Workspace) -> Result<(), Refusal> {
        if self.of.outbox.has(workspace) && self.of.delivery.deliver().await == Kept::OnDisk {
            return Err(not_delivered());
        }
        Ok(())
    }

    /// Keeps a new experiment or group, if its name is not in use. `false`: it is.
    pub(crate) async fn create<R: Named>(&mut self, row: R) -> Result<bool, Refusal> {
        let row: Row = row.into();
        let workspace = Workspace::new(row.workspace()).expect("it was read from the path");
        let is_free = self.is_free::<R>(&workspace, row.name()).await?;
        if is_free == Some(false) {
            return Ok(false);
        }
        let _kept = self.keep(vec![row], is_free.is_some()).await?;
        Ok(true)
    }

    /// Whether a new experiment or group may have a name. `None`: nobody can say, since ClickHouse is away.
    async fn is_free<R: Named>(&self, workspace: &Workspace, name: &str) -> Result<Option<bool>, Refusal> {
        Ok(match unless_away(self.of.find::<R>(workspace, name)).await? {
            Some(found) => Some(found.is_none()),
            None => self.of.was_seen(R::TABLE, workspace, name).then_some(false),
        })
    }

    /// Keeps rows of experiments and groups, all or none.
    pub(crate) async fn write<R: Into<Row>>(&mut self, rows: impl IntoIterator<Item = R>) -> Result<Kept, Refusal> {
        self.keep(rows.into_iter().map(Into::into).collect(), true).await
    }

    async fn keep(&mut self, mut rows: Vec<Row>, is_checked: bool) -> Result<Kept, Refusal> {
        *self.latest = self.latest.saturating_add(1);
        for row in &mut rows {
            row.set_version(*self.latest);
        }
        let waiting = rows.iter().map(|row| {
            // a change of what was not checked is no more certain
            let is_checked = is_checked && self.of.outbox.is_checked(row.kind(), row.id());
            Waiting { is_checked, row: row.clone() }
        });
        let (waiting, outbox): (Vec<Waiting>, _) = (waiting.collect(), Arc::clone(&self.of.outbox));
        match tokio::task::spawn_blocking(move || outbox.add(waiting)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(not_kept(&error)),
            Err(panicked) => return Err(not_kept(&io::Error::other(panicked))),
        }
        for row in &rows {
            if let Ok(workspace) = Workspace::new(row.workspace()) {
                self.of.note(row.kind(), &workspace, row.name(), row.is_live());
            }
        }
        if self.of.delivery.is_behind() {
            return Ok(Kept::OnDisk);
        }
        Ok(self.of.delivery.deliver().await)
    }

    /// The rows that delete an experiment or a group.
    pub(crate) fn deleted(&self, row: impl Named) -> [Row; 2] {
        let row: Row = row.into();
        row.deleted(self.now)
    }
}

fn not_kept(error: &io::Error) -> Refusal {
    tracing::error!(%error, "an experiment could not be kept on disk");
    Refusal::unavailable("it could not be kept on disk, so it should be sent again")
}
