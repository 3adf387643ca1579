//! Removes rows of the table that another report of the same span has superseded: of a span that was sent at its start and
//! again at its end the second stays, in whatever order they came.
//!
//! ```text
//! noted when another report is accepted --schedule--> due soon, and again after growing pauses --.
//!                                                                                                |--> look --> one DELETE
//! the last hours ------------------------- walk ---> spans that have several rows ---------------'
//! ```
//!
//! The table is the state, and the same row stays whoever looks and however often (`clickhouse/superseded.rs`), so several
//! Millraces may do this. What nobody noted here (another Millrace accepted the other report, or an earlier run) is found by
//! the walk, which takes one part in a hundred of the time at most.

mod schedule;
mod walk;

use crate::clickhouse::superseded::{self, Began, Ids, SPANS_MAX};
use crate::clickhouse::{Availability, Client, Failure};
use crate::dedup::Noted;
use crate::telemetry::Metrics;
use crate::time::Clock;
use schedule::{Due, Schedule};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use walk::Walk;

/// How often it is looked whether something was noted.
const INTERVAL: Duration = Duration::from_millis(250);
/// After a failure.
const FAILED_PAUSE: Duration = Duration::from_secs(5);
/// Reports of one span may say that it began at other times, and a captured call may begin when it arrives: not further from
/// each other than repeats are known.
const APART_NANOS: i64 = 25 * 3_600 * 1_000_000_000;

/// The remover with all it needs.
#[derive(Debug)]
pub struct Superseder {
    /// Where the table is.
    pub client: Client,
    /// Where the committer notes spans.
    pub noted: Noted,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether ClickHouse is there.
    pub availability: Availability,
    /// What time it is.
    pub clock: Clock,
    /// Whether repeats are recognised at all; if not, every row stays.
    pub is_on: bool,
}

impl Superseder {
    /// Runs until `stopping` is requested. Safe to cancel: what is under way is done again some time.
    pub async fn run(self, stopping: CancellationToken) {
        if !self.is_on {
            return;
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.rounds() => {}
        }
    }

    async fn rounds(&self) {
        let (mut schedule, mut walk) = (Schedule::default(), Walk::new(Instant::now()));
        let mut is_failing = false;
        loop {
            self.availability.until_reachable().await;
            let done = self.round(&mut schedule, &mut walk).await;
            if let (Err(failure), false) = (&done, is_failing) {
                let why = &failure.message;
                tracing::warn!(why, "cannot remove the rows of superseded reports; trying again");
            }
            is_failing = done.is_err();
            tokio::time::sleep(if is_failing { FAILED_PAUSE } else { INTERVAL }).await;
        }
    }

    async fn round(&self, schedule: &mut Schedule, walk: &mut Walk) -> Result<(), Failure> {
        let now = Instant::now();
        for span in self.noted.take() {
            schedule.note(span, now);
        }
        let due = schedule.take_due(now, SPANS_MAX);
        match self.remove(due.iter().map(|due| ((due.span.trace, due.span.span), due.span.began))).await {
            Ok(removed) => {
                let left = due
                    .into_iter()
                    .filter(|due| !removed.contains(&(due.span.trace.to_string(), due.span.span.to_string())));
                left.for_each(|due: Due| schedule.again(due, now));
            }
            Err(failure) => {
                due.into_iter().for_each(|due| schedule.again(due, now));
                return Err(failure);
            }
        }
        self.walk(walk).await
    }

    /// Removes what is superseded of these spans; gives those of which something was.
    async fn remove(&self, spans: impl Iterator<Item = (Ids, i64)>) -> Result<HashSet<(String, String)>, Failure> {
        let spans: Vec<(Ids, i64)> = spans.collect();
        let began = spans.iter().map(|(_, began)| *began);
        let (Some(first), Some(last)) = (began.clone().min(), began.max()) else { return Ok(HashSet::new()) };
        let ids: Vec<Ids> = spans.into_iter().map(|(ids, _)| ids).collect();
        let began: Began = first.saturating_sub(APART_NANOS)..=last.saturating_add(APART_NANOS);
        let rows = superseded::superseded(&self.client, &ids, &began).await?;
        superseded::remove(&self.client, &rows).await?;
        self.metrics.superseded.inc_by(u64::try_from(rows.len()).unwrap_or(u64::MAX));
        Ok(rows.into_iter().map(|row| (row.trace, row.span)).collect())
    }

    /// A step of the walk, if it is time for one.
    async fn walk(&self, walk: &mut Walk) -> Result<(), Failure> {
        let Some((began, slice)) = walk.next(Instant::now(), self.clock.now()) else { return Ok(()) };
        let start = Instant::now();
        let found = superseded::doubled(&self.client, &began, slice).await;
        walk.took(Instant::now(), start.elapsed(), found.is_ok());
        let found = found?;
        self.remove(found.into_iter()).await?;
        Ok(())
    }
}
