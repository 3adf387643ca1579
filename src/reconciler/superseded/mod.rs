//! Removes rows of the table that a fuller report of the same span supersedes: of a span that was sent at its start and
//! again at its end the second stays, in whatever order they came.
//!
//! Which row stays depends on the rows only (`clickhouse/superseded.rs`). A round looks at noted spans and sends one DELETE. The
//! walk finds spans that were not noted here, and takes at most a hundredth of the time.

mod walk;

use super::schedule::{Pauses, Schedule};
use crate::clickhouse::superseded::{self, Began, Ids, SPANS_MAX};
use crate::clickhouse::{Availability, Client, Failure};
use crate::dedup::{Noted, ReportedAgain};
use crate::numbers::to_u64;
use crate::telemetry::Metrics;
use crate::time::Clock;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use walk::Walk;

/// How often noted spans are looked at.
const INTERVAL: Duration = Duration::from_millis(250);
/// Pause after a failure.
const FAILED_PAUSE: Duration = Duration::from_secs(5);
/// An accepted row is in the table within a second (`exporter.flush_after`), and the first look comes after that: one that finds a part of the
/// reports is the last. The last look is about half an hour after the first.
const PAUSES: Pauses = Pauses {
    before: Duration::from_millis(1_250),
    first: Duration::from_millis(500),
    growth: 2,
    last: Duration::from_secs(1_024),
    items_max: 131_072,
};
/// Reports of one span may have different start times, and a captured call may begin when it arrives: at most so far apart, which is
/// longer than repeats are known.
const APART_NANOS: i64 = 25 * 3_600 * 1_000_000_000;

/// Runs the rounds that remove superseded rows.
#[derive(Debug)]
pub struct Superseder {
    /// Where the table is.
    pub client: Client,
    /// Where the committer notes spans.
    pub noted: Noted,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether ClickHouse is reachable.
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
        let (mut schedule, mut walk) = (Schedule::new(PAUSES), Walk::new(Instant::now()));
        let mut is_failing = false;
        loop {
            self.availability.until_reachable().await;
            let done = self.round(&mut schedule, &mut walk).await;
            if let (Err(failure), false) = (&done, is_failing) {
                let why = &failure.message;
                tracing::warn!(why, "failed to remove superseded rows; trying again");
            }
            is_failing = done.is_err();
            tokio::time::sleep(if is_failing { FAILED_PAUSE } else { INTERVAL }).await;
        }
    }

    async fn round(&self, schedule: &mut Schedule<ReportedAgain>, walk: &mut Walk) -> Result<(), Failure> {
        let now = Instant::now();
        for span in self.noted.take() {
            schedule.note(span, now);
        }
        let due = schedule.take_due(now, SPANS_MAX);
        match self.remove(due.iter().map(|due| ((due.item.trace, due.item.span), due.item.began))).await {
            Ok(removed) => {
                let is_left =
                    |span: &ReportedAgain| !removed.contains(&(span.trace.to_string(), span.span.to_string()));
                // perhaps one of the reports is not in the table yet
                due.into_iter().filter(|due| is_left(&due.item)).for_each(|due| schedule.again_later(due, now));
            }
            Err(failure) => {
                due.into_iter().for_each(|due| schedule.again(due, now));
                return Err(failure);
            }
        }
        self.walk(walk).await
    }

    /// Removes the superseded rows of these spans; returns the spans that had some.
    async fn remove(&self, spans: impl Iterator<Item = (Ids, i64)>) -> Result<HashSet<(String, String)>, Failure> {
        let spans: Vec<(Ids, i64)> = spans.collect();
        let began = spans.iter().map(|(_, began)| *began);
        let (Some(first), Some(last)) = (began.clone().min(), began.max()) else { return Ok(HashSet::new()) };
        let ids: Vec<Ids> = spans.into_iter().map(|(ids, _)| ids).collect();
        let began: Began = first.saturating_sub(APART_NANOS)..=last.saturating_add(APART_NANOS);
        let rows = superseded::superseded(&self.client, &ids, &began).await?;
        superseded::remove(&self.client, &rows).await?;
        self.metrics.superseded.inc_by(to_u64(rows.len()));
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
