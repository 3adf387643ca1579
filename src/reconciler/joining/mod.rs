//! The reconciler: gives chat-completions that are in the table their parent and session when the root of their trace
//! comes after them, or was stored by another Millrace.
//!
//! ```text
//! noted by receivers --schedule--> due now, and again after growing pauses --.
//!                                                                            |--> look at their traces --> one UPDATE
//! hours with pairs ----walk------> page by page, old hours seldom -----------'
//! ```
//!
//! A round looks at no more than `batch` traces and sends at most one UPDATE. The table is the state: what is kept here only
//! says where to look first, and the walk comes to everything else within the window. What a trace's pairs get depends on
//! what the table has of the trace and on nothing else, so rounds may be repeated, and several Millraces may do them.

mod plan;
mod schedule;
mod walk;

use crate::clickhouse::joins::{self, Joining, TraceKey};
use crate::clickhouse::{Availability, Client, Failure};
use crate::telemetry::Metrics;
use crate::time::{Clock, UnixNanos};
use crate::traces::Traces;
use plan::Plan;
use schedule::Schedule;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use walk::Walk;

/// Rounds rest at least so long, however much there is to do.
const REST_MIN: Duration = Duration::from_millis(50);
/// After a failure that an operator must mend.
const HOLD_PAUSE: Duration = Duration::from_secs(30);

/// How pairs are joined to roots that come later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Time between two rounds.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Traces that one round looks at, at most.
    pub batch: usize,
    /// A pair is joined while its call, and the root, began no longer ago than this; 0s switches joining later off.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), batch: 1_000, window: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

/// The reconciler with all it needs.
#[derive(Debug)]
pub struct Joiner {
    /// Where the table is.
    pub client: Client,
    /// Where receivers note traces.
    pub traces: Traces,
    /// How.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether ClickHouse is there.
    pub availability: Availability,
    /// What health shows.
    pub joining: Joining,
    /// What time it is.
    pub clock: Clock,
}

/// What a round works on.
struct Work {
    schedule: Schedule,
    walk: Walk,
    rounds: u64,
}

/// Traces of a round that may be due ones. The walk, while it is under way, is never without a part of it, however much is due: a
/// quarter, and of a batch of one every other round.
fn for_due(batch: usize, walk_is_under_way: bool, round: u64) -> usize {
    match (walk_is_under_way, batch) {
        (false, _) => batch,
        (true, 1) => usize::from(round.is_multiple_of(2)),
        (true, _) => batch.saturating_sub(batch.div_ceil(4)),
    }
}

impl Joiner {
    /// Runs until `stopping` is requested. Safe to cancel: what is under way is done again some time.
    pub async fn run(self, stopping: CancellationToken) {
        if self.config.window.is_zero() {
            return;
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.rounds() => {}
        }
    }

    async fn rounds(&self) {
        let schedule = Schedule::new(self.config.interval);
        let mut work = Work { schedule, walk: Walk::new(self.config.interval, Instant::now()), rounds: 0 };
        loop {
            self.availability.until_reachable().await;
            let began = Instant::now();
            let result = self.round(&mut work, began).await;
            self.metrics.join.rounds.inc();
            tracing::debug!(took = ?began.elapsed(), joined = self.metrics.join.joined.get(), "a round of joining is over");
            let rest = match result {
                Ok(()) if work.schedule.is_due(Instant::now()) => began.elapsed().max(REST_MIN),
                Ok(()) => self.config.interval,
                Err(failure) if joins::remedy(&failure).is_some() => HOLD_PAUSE,
                Err(_) => self.config.interval.max(Duration::from_secs(1)),
            };
            tokio::time::sleep(rest).await;
        }
    }

    /// One round. What fails is told, and stays to be done.
    async fn round(&self, work: &mut Work, now: Instant) -> Result<(), Failure> {
        for key in self.traces.drain_changed() {
            work.schedule.note(key, now);
        }
        let done = self.work(work, now).await;
        self.tell(done.as_ref().err());
        done
    }

    async fn work(&self, work: &mut Work, now: Instant) -> Result<(), Failure> {
        let since = self.since();
        if work.walk.wants_hours(now) {
            let hours = joins::hours(&self.client, since).await?;
            self.show(&hours);
            work.walk.begin(hours, self.clock.now(), now, now.elapsed());
        }
        work.rounds = work.rounds.wrapping_add(1);
        let for_due = for_due(self.config.batch, work.walk.is_under_way(), work.rounds);
        let due = work.schedule.take_due(now, for_due);
        let result = self.look(work, &due.iter().map(|due| due.key.clone()).collect::<Vec<_>>(), since).await;
        match result {
            Ok(settled) => {
                let unsettled = due.into_iter().filter(|due| !settled.contains(&due.key));
                unsettled.for_each(|due| work.schedule.again_later(due, now));
                Ok(())
            }
            Err(failure) => {
                due.into_iter().for_each(|due| work.schedule.again(due, now));
                Err(failure)
            }
        }
    }

    /// Looks at traces that are due, and at as many from the walk as there is room for; joins what is to be joined. Gives
    /// the traces whose pairs have all they can get.
    async fn look(&self, work: &mut Work, due: &[TraceKey], since: UnixNanos) -> Result<HashSet<TraceKey>, Failure> {
        let page = match work.walk.next(self.config.batch.saturating_sub(due.len())) {
            Some((hour, after, traces_max)) => {
                Some((joins::page(&self.client, hour, &after, traces_max).await?, traces_max))
            }
            None => None,
        };
        let walked = page.iter().flat_map(|(rows, _)| rows).filter_map(|(trace, ws)| joins::key_of(trace, ws));
        let traces: Vec<TraceKey> = due.iter().cloned().chain(walked).collect();
        let Plan { joins, pairs, with_pairs, mut settled } =
            plan::plan(joins::look(&self.client, &traces, since).await?);
        let done = joins::join(&self.client, &joins, since).await?;
        for join in joins.get(done..).unwrap_or_default() {
            settled.remove(&join.key);
            work.schedule.note(join.key.clone(), Instant::now());
        }
        let joined = pairs.get(..done).unwrap_or_default().iter().sum();
        self.metrics.join.joined.inc_by(joined);
        // from now on a root that comes is noticed, also after a start
        with_pairs.iter().for_each(|(workspace, trace)| self.traces.watch(workspace, *trace));
        if let Some((rows, traces_max)) = page {
            work.walk.seen(&rows, traces_max);
        }
        Ok(settled)
    }

    /// Pairs and roots that began earlier are left as they are.
    fn since(&self) -> UnixNanos {
        self.clock.now().saturating_sub(self.config.window)
    }

    fn show(&self, hours: &[joins::Hour]) {
        let waiting: u64 = hours.iter().map(|hour| hour.waiting).sum();
        let oldest = hours.iter().filter(|hour| hour.waiting > 0).map(|hour| hour.oldest_waiting).min();
        let now = self.clock.now();
        let oldest_seconds = oldest.map_or(0, |oldest| now.nanos().saturating_sub(oldest).max(0) / 1_000_000_000);
        self.metrics.join.pending.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.metrics.join.oldest_seconds.set(oldest_seconds);
    }

    /// Says what is the case when it changed.
    fn tell(&self, failure: Option<&Failure>) {
        let Some(failure) = failure else {
            if self.joining.note(None) {
                tracing::info!("chat-completions are joined to roots that come later again");
            }
            return;
        };
        self.metrics.join.failures.inc();
        let remedy = joins::remedy(failure);
        let why = remedy.map_or_else(|| failure.message.clone(), |remedy| format!("needs an operator: {remedy}"));
        if self.joining.note(Some(why.clone())) {
            if remedy.is_some() {
                tracing::error!(
                    why,
                    "cannot join chat-completions to roots that come later; everything is stored all the same"
                );
            } else {
                tracing::warn!(why, "cannot join chat-completions to roots that come later; trying again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_what_is_due_nor_the_walk_starves_whatever_the_batch() {
        for batch in 1..=20 {
            assert_eq!(for_due(batch, false, 0), batch);
            let due: usize = (0..4).map(|round| for_due(batch, true, round)).sum();
            assert!((1..4 * batch).contains(&due), "{due} of 4 rounds of {batch}");
        }
    }
}
