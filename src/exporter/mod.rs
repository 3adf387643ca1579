//! From the journal into ClickHouse: takes sealed segments and repeats their inserts until ClickHouse has them.
//!
//! ```text
//! backlog -> load, check -> INSERT with the segment's id as token -> stored
//!    ^                          | not now: put back, others go first
//!    '--------------------------|
//!                               | never: isolate.rs finds the rows at fault, they are dead letters, the others go in
//! ```
//!
//! A segment's bytes go out as they lie on disk, so a backlog of hours costs no memory and no encoding.

mod isolate;

use crate::clickhouse::schema::Schema;
use crate::clickhouse::{Availability, Class, Client, Failure, View};
use crate::journal::{Backlog, DeadLetters, LoadError, Loaded, Order, Segment, Unreadable};
use crate::shutdown::Shutdown;
use crate::telemetry::Metrics;
use crate::time::Clock;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long ClickHouse may take to confirm an insert at first; each time-out doubles it up to the last.
const CONFIRM_TIMEOUT_MIN: Duration = Duration::from_secs(30);
const CONFIRM_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// First pause after a failed insert; doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Pause after a failure that an operator must mend.
const HOLD_PAUSE: Duration = Duration::from_secs(10);
/// Failures of a kind that nobody knows before they count as an operator's matter.
const UNKNOWN_FAILURES_MAX: u32 = 20;
/// At a stop, segments on disk are left for the next start when ClickHouse did not take any for this long.
const AWAY_PATIENCE: Duration = Duration::from_secs(2);
const STOP_CHECK: Duration = Duration::from_millis(50);

/// How rows are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// A row waits no longer than this for others before it is sent, if ClickHouse takes inserts.
    #[serde(with = "humantime_serde")]
    pub flush_after: Duration,
    /// Inserts under way at once.
    pub concurrency: usize,
    /// Which segments go first when several wait: `fair`, `oldest_first`, `newest_first`.
    pub order: Order,
    /// How long a stop may wait for ClickHouse to take what was accepted.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            flush_after: Duration::from_millis(200),
            concurrency: 2,
            order: Order::Fair,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// The exporter with all it needs.
#[derive(Debug)]
pub struct Exporter {
    /// Where segments come from.
    pub backlog: Backlog,
    /// Where they go.
    pub client: Client,
    /// Where rows go that ClickHouse refuses for good.
    pub dead_letters: DeadLetters,
    /// What the tables must be.
    pub schema: Schema,
    /// How.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// What health shows.
    pub availability: Availability,
    /// What time it is.
    pub clock: Clock,
    /// Held while rows at fault are looked for.
    pub isolating: tokio::sync::Mutex<()>,
    /// ClickHouse was away since the schema was looked at: it may have come back as another one.
    pub was_away: AtomicBool,
}

/// Spans that were acknowledged from memory and that ClickHouse did not take before the service had to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rows} spans acknowledged from memory may be lost: ClickHouse did not confirm them before the stop")]
pub struct Lost {
    /// How many.
    pub rows: usize,
}

impl Exporter {
    /// Runs until the backlog is closed and empty; from `draining` on, no longer than `drain_timeout` says, and shorter
    /// when all that is left is safe on disk and ClickHouse does not take it.
    pub async fn run(self, mut draining: Shutdown) {
        let (backlog, drain_timeout) = (self.backlog.clone(), self.config.drain_timeout);
        let availability = self.availability.clone();
        let is_hopeless = move || {
            // before the committer is done, there may be rows that nobody has counted yet
            backlog.is_closed() && backlog.view().rows_in_memory == 0 && availability.view() != View::Storing
        };
        tokio::select! {
            () = self.export() => {}
            () = async {
                draining.requested().await;
                let began = tokio::time::Instant::now();
                while began.elapsed() < drain_timeout && !(is_hopeless() && began.elapsed() >= AWAY_PATIENCE) {
                    tokio::time::sleep(STOP_CHECK).await;
                }
            } => {}
        }
    }

    async fn export(self) {
        let concurrency = self.config.concurrency.max(1);
        let sender = Arc::new(self);
        sender.prepare_table().await;
        let mut workers = JoinSet::new();
        for _ in 0..concurrency {
            workers.spawn(Arc::clone(&sender).work());
        }
        // one that panicked took a segment along: the next start finds it again
        while let Some(Ok(())) = workers.join_next().await {}
    }

    async fn work(self: Arc<Self>) {
        let mut failures_in_a_row = 0;
        while let Some(segment) = self.backlog.take(self.config.order).await {
            if self.deliver(segment).await {
                failures_in_a_row = 0;
                continue;
            }
            // whoever is next would fail as well: not at once
            tokio::time::sleep(pause(failures_in_a_row)).await;
            failures_in_a_row += 1;
        }
    }

    async fn prepare_table(&self) {
        let mut failures = 0;
        while let Err(failure) = self.schema.prepare(&self.client).await {
            self.availability.away(&failure, failures == 0, &self.metrics);
            tokio::time::sleep(self.pause_after(&failure, failures)).await;
            failures += 1;
        }
        self.trouble_is_over(failures > 0);
        self.availability.reached(&self.metrics);
    }

    /// One attempt. False when ClickHouse did not take it, and it waits again.
    async fn deliver(&self, segment: Segment) -> bool {
        let had_trouble = segment.history().failures > 0;
        let (mut segment, loaded) = match blocking(segment, |segment| segment.load()).await {
            (segment, Ok(loaded)) => (segment, loaded),
            (segment, Err(LoadError::Io(error))) if error.kind() != std::io::ErrorKind::NotFound => {
                // too many open files, say: the rows are there
                let failure = Failure::of_our_own(&format!("failed to read a segment of the journal: {error}"));
                self.put_back(segment, &failure).await;
                return false;
            }
            (segment, Err(LoadError::Unreadable(why @ Unreadable::Version(_)))) => {
                segment.leave(&why.to_string());
                self.trouble_is_over(had_trouble);
                return true;
            }
            (segment, Err(error)) => {
                let rows = segment.rows();
                segment.set_aside(rows, &error.to_string());
                self.trouble_is_over(had_trouble);
                return true;
            }
        };
        let done = if segment.is_in_doubt() || loaded.is_damaged {
            self.insert_what_is_missing(&segment, &loaded).await.map(|()| 0)
        } else {
            self.insert(&loaded, &segment.id().to_string(), &segment).await.map(|()| 0)
        };
        let done = match done {
            Err(failure) if failure.class == Class::Permanent => {
                tracing::warn!(segment = %segment.id(), why = failure.message, "ClickHouse refuses rows; looking for them");
                let (doubted, done) = blocking(segment, Segment::doubt).await;
                segment = doubted;
                match done {
                    Ok(()) => self.isolate(&segment, &loaded).await,
                    Err(error) => Err(Failure::of_our_own(&format!("failed to rename a segment: {error}"))),
                }
            }
            done => done,
        };
        match done {
            Ok(dead) if loaded.is_damaged => segment.set_aside(loaded.rows_damaged + dead, "bytes on disk changed"),
            Ok(rows_dead) => segment.stored(rows_dead),
            Err(failure) => {
                self.put_back(segment, &failure).await;
                return false;
            }
        }
        self.trouble_is_over(had_trouble);
        self.availability.reached(&self.metrics);
        if self.was_away.swap(false, Ordering::Relaxed) {
            self.look_at_the_schema_again().await;
        }
        true
    }

    /// Rows are taken again; views and what else the schema has may be missing all the same.
    async fn look_at_the_schema_again(&self) {
        if let Err(failure) = self.schema.prepare(&self.client).await {
            tracing::warn!(why = failure.message, "cannot check the schema after ClickHouse came back");
            self.was_away.store(failure.class == Class::Retry, Ordering::Relaxed);
        }
    }

    /// What failed before has come to its end, whatever that is.
    fn trouble_is_over(&self, had_trouble: bool) {
        if had_trouble {
            self.availability.over(&self.metrics);
        }
    }

    async fn put_back(&self, segment: Segment, failure: &Failure) {
        let failures = segment.history().failures;
        self.availability.away(failure, failures == 0, &self.metrics);
        let is_missing = schema_is_missing(failure);
        self.was_away.store(true, Ordering::Relaxed);
        let pause = if is_missing { Duration::ZERO } else { self.pause_after(failure, failures) };
        segment.put_back(pause, failure.timed_out);
        if is_missing {
            self.prepare_table().await;
        }
    }

    /// One insert of checked frames.
    async fn insert(&self, loaded: &Loaded, token: &str, segment: &Segment) -> Result<(), Failure> {
        let confirm_within = CONFIRM_TIMEOUT_MIN.saturating_mul(1 << segment.history().timeouts.min(10));
        let columns = loaded.columns.as_deref();
        let bytes = loaded.frames.len();
        self.client
            .insert_frames(loaded.frames.clone(), columns, token, confirm_within.min(CONFIRM_TIMEOUT_MAX))
            .await
            .inspect(|()| self.metrics.inserted(bytes))
            .inspect_err(|_| self.metrics.insert_failures.inc())
    }

    fn pause_after(&self, failure: &Failure, failures: u32) -> Duration {
        let is_unknown = !failure.is_known && failures >= UNKNOWN_FAILURES_MAX;
        if failure.class == Class::Retry && !is_unknown { pause(failures) } else { HOLD_PAUSE }
    }
}

/// Runs what blocks on a thread for it, and gives back what it worked on.
async fn blocking<T: Send + 'static, R: Send + 'static>(
    mut on: T,
    work: impl FnOnce(&mut T) -> R + Send + 'static,
) -> (T, R) {
    let worked = tokio::task::spawn_blocking(move || {
        let result = work(&mut on);
        (on, result)
    });
    match worked.await {
        Ok(both) => both,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_TABLE, UNKNOWN_DATABASE: somebody dropped it, or the disk behind it is new.
fn schema_is_missing(failure: &Failure) -> bool {
    matches!(failure.code, Some(16 | 60 | 81))
}

fn pause(failures: u32) -> Duration {
    RETRY_PAUSE_MIN.saturating_mul(1 << failures.min(10)).min(RETRY_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let pauses: Vec<_> = (0..8).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
    }
}
