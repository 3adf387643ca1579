//! Late joining: captured calls in the table get their parent and session when the root of their trace is stored after them,
//! or by another Millrace.
//!
//! A round looks at no more than `batch` traces and sends at most one UPDATE. What the calls of a trace get depends only on
//! what the table has of the trace.

mod plan;
mod walk;

use super::schedule::{Pauses, Schedule};
use crate::clickhouse::joins::{self, Joining};
use crate::clickhouse::{Availability, Client, Failure};
use crate::telemetry::Metrics;
use crate::time::{Clock, UnixNanos};
use crate::traces::{TraceKey, Traces};
use plan::Plan;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use walk::Walk;

/// Shortest pause between rounds, however much there is to do.
const REST_MIN: Duration = Duration::from_millis(50);
/// Traces that are scheduled at most; more are left to the walk.
const TRACES_MAX: usize = 100_000;
/// Each pause between two looks at a trace is so many times the one before.
const PAUSE_GROWTH: u32 = 4;
/// Longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);
/// Pause after a failure that an operator must fix.
const HOLD_PAUSE: Duration = Duration::from_secs(30);

/// How captured calls are joined to roots that are stored later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Time between two rounds.
    #[serde(with = "crate::time::spelt")]
    pub interval: Duration,
    /// Traces that one round looks at, at most.
    pub batch: usize,
    /// How long ago the call and the root may have begun; 0s switches late joining off.
    #[serde(with = "crate::time::spelt")]
    pub window: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), batch: 1_000, window: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

/// Runs the rounds of late joining.
#[derive(Debug)]
pub struct Joiner {
    /// Where the table is.
    pub client: Client,
    /// Where receivers note traces.
    pub traces: Traces,
    /// Interval, batch and window.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether ClickHouse is reachable.
    pub availability: Availability,
    /// What health shows.
    pub joining: Joining,
    /// What time it is.
    pub clock: Clock,
}

/// What is kept from round to round.
struct Work {
    schedule: Schedule<TraceKey>,
    walk: Walk,
    rounds: u64,
}

/// How many traces of a round may be due ones. A walk under way always gets a share, however many traces are due: a
/// quarter, and with a batch of one every other round.
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
        let schedule = Schedule::new(Pauses {
            before: Duration::ZERO,
            first: self.config.interval,
            growth: PAUSE_GROWTH,
            last: PAUSE_MAX,
            items_max: TRACES_MAX,
        });
        let mut work = Work { schedule, walk: Walk::new(self.config.interval, Instant::now()), rounds: 0 };
        loop {
            self.availability.until_reachable().await;
            let began = Instant::now();
            let result = self.round(&mut work, began).await;
            self.metrics.join.rounds.inc();
            tracing::debug!(took = ?began.elapsed(), joined = self.metrics.join.joined.get(), "a round of late joining has ended");
            let rest = match result {
                Ok(()) if work.schedule.is_due(Instant::now()) => began.elapsed().max(REST_MIN),
                Ok(()) => self.config.interval,
                Err(failure) if joins::remedy(&failure).is_some() => HOLD_PAUSE,
                Err(_) => self.config.interval.max(Duration::from_secs(1)),
            };
            tokio::time::sleep(rest).await;
        }
    }

    /// One round. A failure is logged, and its work is repeated.
    async fn round(&self, work: &mut Work, now: Instant) -> Result<(), Failure> {
        for key in self.traces.drain_changed() {
            work.schedule.note(key, now);
        }
        let done = self.work(work, now).await;
        self.log(done.as_ref().err());
        done
    }

    async fn work(&self, work: &mut Work, now: Instant) -> Result<(), Failure> {
        let since = self.since();
        if work.walk.wants_hours(now) {
            let hours = joins::hours(&self.client, since).await?;
            self.report(&hours);
            work.walk.begin(hours, self.clock.now(), now, now.elapsed());
        }
        work.rounds = work.rounds.wrapping_add(1);
        let for_due = for_due(self.config.batch, work.walk.is_under_way(), work.rounds);
        let due = work.schedule.take_due(now, for_due);
        let result = self.look(work, &due.iter().map(|due| due.item.clone()).collect::<Vec<_>>(), since).await;
        match result {
            Ok(settled) => {
                let unsettled = due.into_iter().filter(|due| !settled.contains(&due.item));
                unsettled.for_each(|due| work.schedule.again_later(due, now));
                Ok(())
            }
            Err(failure) => {
                due.into_iter().for_each(|due| work.schedule.again(due, now));
                Err(failure)
            }
        }
    }

    /// Looks at due traces, and at as many from the walk as the batch allows, and joins what can be joined. Returns the traces
    /// whose calls need nothing more.
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
        for join in joins.iter().skip(done) {
            settled.remove(&join.key);
            work.schedule.note(join.key.clone(), Instant::now());
        }
        self.metrics.join.joined.inc_by(pairs.iter().take(done).sum());
        // from now on a root that is received for them is noticed, also after a restart
        with_pairs.iter().for_each(|(workspace, trace)| self.traces.watch(workspace, *trace));
        if let Some((rows, traces_max)) = page {
            work.walk.seen(&rows, traces_max);
        }
        Ok(settled)
    }

    /// Calls and roots that began earlier are left as they are.
    fn since(&self) -> UnixNanos {
        self.clock.now().saturating_sub(self.config.window)
    }

    fn report(&self, hours: &[joins::Hour]) {
        let waiting: u64 = hours.iter().map(|hour| hour.waiting).sum();
        let oldest = hours.iter().filter(|hour| hour.waiting > 0).map(|hour| hour.oldest_waiting).min();
        let now = self.clock.now();
        let oldest_seconds = oldest.map_or(0, |oldest| now.nanos().saturating_sub(oldest).max(0) / 1_000_000_000);
        self.metrics.join.pending.set(waiting.min(i64::MAX.unsigned_abs()).cast_signed());
        self.metrics.join.oldest_seconds.set(oldest_seconds);
    }

    /// Logs a change from success to failure or back.
    fn log(&self, failure: Option<&Failure>) {
        let Some(failure) = failure else {
            if self.joining.note(None) {
                tracing::info!("late joining recovered");
            }
            return;
        };
        self.metrics.join.failures.inc();
        let remedy = joins::remedy(failure);
        let why = remedy.map_or_else(|| failure.message.clone(), |remedy| format!("needs an operator: {remedy}"));
        if self.joining.note(Some(why.clone())) {
            if remedy.is_some() {
                tracing::error!(why, "late joining failed and needs an operator; everything is stored all the same");
            } else {
                tracing::warn!(why, "late joining failed; trying again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_due_traces_nor_the_walk_starve_at_any_batch_size() {
        for batch in 1..=20 {
            assert_eq!(for_due(batch, false, 0), batch);
            let due: usize = (0..4).map(|round| for_due(batch, true, round)).sum();
            assert!((1..4 * batch).contains(&due), "{due} of 4 rounds of {batch}");
        }
    }
}
