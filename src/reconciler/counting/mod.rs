//! Counting: writes what `genai_calls`, `genai_traces` and the views over them show, soon after a trace changed.
//!
//! ```text
//! committer, exporter --notes--> waiting --due--.
//!                                               |--> visit: read, count, write what changed
//! everything stored   ------------------walk----'
//! ```
//!
//! `otel_traces` is the state, and a visit can be repeated by anybody at any time. Notes say where to look first, so that counts are
//! fresh within seconds; the walk finds everything else: rows of another Millrace, of a run that was killed, of an earlier
//! version. Joining and superseded rows are not waited for: a visit counts the rows as they will be after those.

mod call;
mod joined;
mod names;
mod notes;
pub mod rebuild;
mod row;
mod tables;
mod trace;
mod visit;
mod waiting;
mod walk;

pub use notes::{Note, Notes};
pub use tables::Tables;

use crate::clickhouse::joins::key_of;
use crate::clickhouse::rollups::NO_DAY;
use crate::clickhouse::{Availability, Failure};
use crate::locks::locked;
use crate::numbers::{saturating_i64, to_u64};
use crate::reloadable::Reloadable;
use crate::retention::Retention;
use crate::telemetry::Metrics;
use crate::time::Clock;
use crate::traces::TraceKey;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use visit::{Look, TRACES_MAX, Visited, visit};
use waiting::{Waiting, Wanted};
use walk::{Difference, Step, Walk, differences};

/// How often it is looked whether a visit is due.
const INTERVAL: Duration = Duration::from_millis(200);
/// The rest after visits is so many times as long as they took, so that under load one statement reads what came in two seconds:
/// most of what a visit costs is the price of its statements, and of the parts that it makes.
const REST_SHARE: u32 = 12;
const REST_MAX: Duration = Duration::from_millis(1_500);
/// Pause after a failure: the first one, and the longest, up to which it doubles.
const FAILED_PAUSE_MIN: Duration = Duration::from_millis(500);
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(10);
/// Traces that the walk visits at once.
const WALK_TRACES_MAX: usize = 500;
/// How often the log tells of the progress of the first walk.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);

/// Counts calls and traces.
#[derive(Debug)]
pub struct Counter<T> {
    /// Where the tables are.
    pub tables: T,
    /// Where committer and exporter note traces.
    pub notes: Notes,
    /// What is kept how long: a trace of which spans may be gone is not counted anew.
    pub retention: Reloadable<Retention>,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether ClickHouse is reachable.
    pub availability: Availability,
    /// What health shows.
    pub counting: Counting,
    /// What time it is.
    pub clock: Clock,
}

/// How counting does, as health shows it; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Counting(Arc<Mutex<State>>);

/// How counting does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Traces that changed and are not counted yet.
    pub traces_waiting: usize,
    /// For how long the first of them waits.
    pub lag: Duration,
    /// Hours whose rows are still to be compared with what was counted.
    pub hours_left: usize,
    /// Why it fails, if it does.
    pub trouble: Option<String>,
}

impl Counting {
    /// The state now.
    #[must_use]
    pub fn state(&self) -> State {
        locked(&self.0).clone()
    }

    fn note(&self, state: State) {
        *locked(&self.0) = state;
    }
}

/// What is kept from round to round.
struct Work {
    waiting: Waiting,
    walk: Walk,
    /// Traces that are visited at once: fewer after a failure.
    traces_max: usize,
    /// Visits rest until then.
    next: Instant,
    failures: u32,
    trouble: Option<String>,
    progress: Progress,
}

impl Work {
    fn new(now: Instant) -> Self {
        Self {
            waiting: Waiting::default(),
            walk: Walk::new(now),
            traces_max: TRACES_MAX,
            next: now,
            failures: 0,
            trouble: None,
            progress: Progress { counted: 0, told: now, is_over: false },
        }
    }
}

/// Of the first walk over everything.
struct Progress {
    counted: u64,
    told: Instant,
    is_over: bool,
}

impl<T: Tables> Counter<T> {
    /// Runs until `stopping` is requested. Safe to cancel: what is under way is done again some time.
    pub async fn run(self, stopping: CancellationToken) {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.rounds() => {}
        }
    }

    async fn rounds(&self) {
        let mut work = Work::new(Instant::now());
        loop {
            self.availability.until_reachable().await;
            let done = self.round(&mut work).await;
            self.report(&mut work, done.as_ref().err());
            let rest = match done {
                Ok(()) if work.next <= Instant::now() && work.waiting.is_due(work.next) => Duration::ZERO,
                Ok(()) => INTERVAL,
                Err(_) => FAILED_PAUSE_MIN.saturating_mul(1 << work.failures.min(10)).min(FAILED_PAUSE_MAX),
            };
            tokio::time::sleep(rest).await;
        }
    }

    async fn round(&self, work: &mut Work) -> Result<(), Failure> {
        let now = Instant::now();
        for (key, note) in self.notes.take() {
            work.waiting.note(key, note, now);
        }
        if self.notes.take_left_to_the_walk() {
            work.walk.hurry(now);
        }
        self.visit_due(work, Instant::now()).await?;
        self.walk(work).await
    }

    /// Visits the traces whose time has come.
    async fn visit_due(&self, work: &mut Work, now: Instant) -> Result<(), Failure> {
        if now < work.next {
            return Ok(());
        }
        let due = work.waiting.take_due(now, work.traces_max);
        if due.is_empty() {
            return Ok(());
        }
        let is_all = due.len() < work.traces_max;
        let began = Instant::now();
        let looks = due.iter().map(|(key, wanted)| Look {
            key: key.clone(),
            began: wanted.note.began.clone(),
            is_whole: wanted.note.is_whole,
            segment: wanted.note.segment.filter(|_| !wanted.is_last_try()),
        });
        let visited = self.visit(looks.collect()).await;
        let now = Instant::now();
        let took = now.duration_since(began);
        // a backlog does not rest
        work.next = if is_all { now + took.saturating_mul(REST_SHARE).min(REST_MAX) } else { now };
        match visited {
            Ok(visited) => {
                visited.counted.iter().for_each(|(key, spans)| work.waiting.visited(key, *spans, now));
                let early: HashSet<TraceKey> = visited.early.into_iter().collect();
                let too_early = due.into_iter().filter(|(key, _)| early.contains(key));
                too_early.for_each(|(key, wanted)| work.waiting.again(key, wanted, now));
                work.traces_max = work.traces_max.saturating_mul(2).min(TRACES_MAX);
                Ok(())
            }
            Err(failure) => {
                let is_one_at_fault = due.len() == 1 && failure.is_answer();
                for (key, wanted) in due {
                    let wanted = if is_one_at_fault { wanted } else { Wanted::first(wanted.note) };
                    work.waiting.again(key, wanted, now);
                }
                if failure.is_answer() {
                    work.traces_max = (work.traces_max / 4).max(1);
                }
                Err(failure)
            }
        }
    }

    async fn visit(&self, looks: Vec<Look>) -> Result<Visited, Failure> {
        let traces = to_u64(looks.len());
        let visited = visit(&self.tables, &self.retention.kept(), self.clock.now(), looks).await?;
        self.metrics.rollup.visits.inc_by(traces);
        self.metrics.rollup.rows.inc_by(to_u64(visited.rows_written));
        Ok(visited)
    }

    /// A step of the walk, if it is time for one.
    async fn walk(&self, work: &mut Work) -> Result<(), Failure> {
        let began = Instant::now();
        let Some(step) = work.walk.next(began, self.clock.now()) else { return Ok(()) };
        let done = self.step(work, step).await;
        let now = Instant::now();
        match done {
            Ok(has_found) => {
                work.walk.took(now, now.duration_since(began), has_found);
                Ok(())
            }
            Err(failure) => {
                work.walk.failed(now);
                Err(failure)
            }
        }
    }

    async fn step(&self, work: &mut Work, step: Step) -> Result<bool, Failure> {
        match step {
            Step::Days => {
                let days = self.tables.days().await?;
                let is_in_days = days.iter().all(|day| day.start_secs != NO_DAY);
                let ends = if is_in_days { 0..=0 } else { self.tables.ends().await? };
                work.walk.listed_days(days, &ends, Instant::now());
                Ok(false)
            }
            Step::Hours(day) => {
                let hours = self.tables.hours(&Walk::time_of_day(day)).await?;
                work.walk.listed_hours(day, &hours);
                Ok(false)
            }
            Step::Slice(hours, slice) => {
                let (time, of_rows) = hours.times();
                let sums = self.tables.sums(&time, slice, &of_rows).await?;
                let counted = self.tables.counted(&of_rows, slice).await?;
                let differing = differences(sums, counted, &time);
                let found = self.visit_differing(work, differing).await?;
                work.walk.compared(hours);
                Ok(found > 0)
            }
        }
    }

    /// Visits traces whose rows are not those that were counted; says how many.
    async fn visit_differing(&self, work: &mut Work, differing: Vec<Difference>) -> Result<usize, Failure> {
        let keyed = differing.into_iter().filter_map(|found| Some((key_of(&found.trace, &found.workspace)?, found)));
        let (waiting, walk) = (&work.waiting, &work.walk);
        let is_new = |key: &TraceKey, found: &Difference| {
            !waiting.has(key) && walk.is_worth_a_visit(key, found.is, found.counted)
        };
        let found: Vec<(TraceKey, Difference)> = keyed.filter(|(key, found)| is_new(key, found)).collect();
        for some in found.chunks(WALK_TRACES_MAX.min(work.traces_max)) {
            let look = |(key, found): &(TraceKey, Difference)| Look {
                key: key.clone(),
                began: found.began.clone(),
                is_whole: false,
                segment: None,
            };
            self.visit(some.iter().map(look).collect()).await?;
            work.progress.counted += to_u64(some.len());
            some.iter().for_each(|(key, found)| work.walk.visited(key.clone(), found.is, found.counted));
            // what comes meanwhile does not wait for the walk
            for (key, note) in self.notes.take() {
                work.waiting.note(key, note, Instant::now());
            }
            self.visit_due(work, Instant::now()).await?;
        }
        Ok(found.len())
    }

    /// Shows how it goes, and logs a change from success to failure or back.
    fn report(&self, work: &mut Work, failure: Option<&Failure>) {
        let now = Instant::now();
        let lag = work.waiting.oldest().map_or(Duration::ZERO, |oldest| now.duration_since(oldest));
        let hours_left = work.walk.hours_left();
        let metrics = &self.metrics.rollup;
        metrics.backlog.set(saturating_i64(u128::from(to_u64(work.waiting.len()))));
        metrics.lag_seconds.set(saturating_i64(u128::from(lag.as_secs())));
        metrics.hours_left.set(saturating_i64(u128::from(to_u64(hours_left))));
        match failure {
            None => {
                work.failures = 0;
                if work.trouble.take().is_some() {
                    tracing::info!("calls and traces are counted again");
                }
            }
            Some(failure) => {
                metrics.failures.inc();
                work.failures = work.failures.saturating_add(1);
                if work.trouble.as_ref() != Some(&failure.message) {
                    tracing::warn!(why = failure.message, "failed to count calls and traces; trying again");
                }
                work.trouble = Some(failure.message.clone());
            }
        }
        self.counting.note(State {
            traces_waiting: work.waiting.len(),
            lag,
            hours_left,
            trouble: work.trouble.clone(),
        });
        work.progress.report(hours_left, now);
    }
}

impl Progress {
    fn report(&mut self, hours_left: usize, now: Instant) {
        if self.is_over {
            return;
        }
        if hours_left == 0 && self.counted > 0 {
            tracing::info!(traces = self.counted, "what was stored before is counted");
            self.is_over = true;
        } else if now.duration_since(self.told) >= PROGRESS_INTERVAL {
            self.told = now;
            if self.counted > 0 {
                tracing::info!(traces = self.counted, hours_left, "counting what was stored before");
            }
        }
    }
}

#[cfg(test)]
mod tests;
