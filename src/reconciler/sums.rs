//! Sums days whose calls do not change any more, so that usage of weeks is found without reading its calls.
//!
//! ```text
//! look: which days have no sums that hold? --the latest that is quiet--> sum it --rest--> look
//! ```
//!
//! `otel.genai_report_rows` and its parts are the state. Sums that do not hold are not read, so a day may change at any time, a
//! round may be cut off anywhere, and several Millraces may sum the same day: docs/schema.md, "Sums of settled days".

use crate::clickhouse::sums::{self, Unsettled};
use crate::clickhouse::{Availability, Client, Failure};
use crate::telemetry::Metrics;
use crate::time::{Clock, UnixNanos};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// For how long the parts of a day have not changed when it is summed.
pub const QUIET: Duration = Duration::from_secs(60);
/// Between two looks, when there is nothing to do.
const INTERVAL: Duration = Duration::from_secs(60);
/// The rest after a day is so many times as long as it took.
const REST_SHARE: u32 = 20;
const REST_MIN: Duration = Duration::from_millis(200);
/// Pause after a failure to look.
const FAILED_PAUSE: Duration = Duration::from_secs(60);
/// A day that could not be summed is left for so long, unless it changes.
const GIVEN_UP: Duration = Duration::from_secs(3_600);
/// How often runs that nothing needs are dropped.
const FORGET_INTERVAL: Duration = Duration::from_secs(600);

/// Sums days.
#[derive(Debug)]
pub struct Summer {
    /// Where the tables are.
    pub client: Client,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether ClickHouse is reachable.
    pub availability: Availability,
    /// What time it is.
    pub clock: Clock,
    /// A day is summed when its parts have not changed for so long.
    pub quiet: Duration,
}

/// Days that could not be summed: the parts that they had, and when that was.
type GivenUp = HashMap<String, (u64, Instant)>;

impl Summer {
    /// Runs until `stopping` is requested. Safe to cancel.
    pub async fn run(self, stopping: CancellationToken) {
        // the parts of another shard are not known here
        if self.client.is_of_cluster() {
            return;
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.rounds() => {}
        }
    }

    async fn rounds(&self) {
        let (mut given_up, mut forget_at) = (GivenUp::new(), Instant::now() + FORGET_INTERVAL);
        loop {
            self.availability.until_reachable().await;
            let mut rest = match self.round(&mut given_up).await {
                Ok(rest) => rest,
                Err(failure) => {
                    tracing::debug!(why = failure.message, "failed to look for days to sum; trying again");
                    FAILED_PAUSE
                }
            };
            if Instant::now() >= forget_at {
                forget_at = Instant::now() + FORGET_INTERVAL;
                if let Err(failure) = sums::forget(&self.client, self.clock.now()).await {
                    tracing::debug!(why = failure.message, "failed to drop old sums; trying again");
                    rest = rest.max(FAILED_PAUSE);
                }
            }
            tokio::time::sleep(rest).await;
        }
    }

    /// Sums the latest quiet day without sums; says how long to rest.
    async fn round(&self, given_up: &mut GivenUp) -> Result<Duration, Failure> {
        let days = sums::unsettled(&self.client).await?;
        given_up.retain(|_, (_, at)| at.elapsed() < GIVEN_UP);
        let Some(day) = days.iter().find(|day| is_due(day, self.quiet, given_up)) else { return Ok(INTERVAL) };
        let began = Instant::now();
        match sums::settle(&self.client, day, self.clock.now()).await {
            Ok(true) => self.metrics.rollup.days_summed.inc(),
            // it changed meanwhile, and will be quiet again
            Ok(false) => {}
            Err(failure) => {
                tracing::warn!(
                    day = day.partition,
                    why = failure.message,
                    "failed to sum the calls of a day; usage of it is computed from its calls"
                );
                given_up.insert(day.partition.clone(), (day.parts, Instant::now()));
            }
        }
        Ok(began.elapsed().saturating_mul(REST_SHARE).max(REST_MIN))
    }
}

fn is_due(day: &Unsettled, quiet: Duration, given_up: &GivenUp) -> bool {
    let is_quiet = day.quiet_secs >= quiet.as_secs();
    is_quiet && given_up.get(&day.partition).is_none_or(|(parts, _)| *parts != day.parts)
}

/// Sums every day that has no sums now, whether it is quiet or not; says how many.
///
/// # Errors
/// If ClickHouse rejects a statement or is unreachable.
pub async fn sum_all(client: &Client, now: UnixNanos) -> Result<usize, Failure> {
    let mut settled = 0;
    if client.is_of_cluster() {
        return Ok(settled);
    }
    for day in sums::unsettled(client).await? {
        settled += usize::from(sums::settle(client, &day, now).await?);
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_due_when_it_is_quiet_and_again_after_a_failure_when_it_changed() {
        let day = |parts, quiet_secs| Unsettled { partition: "20260301".to_owned(), parts, quiet_secs };
        let mut given_up = GivenUp::new();
        assert!(!is_due(&day(1, 59), QUIET, &given_up));
        assert!(is_due(&day(1, 60), QUIET, &given_up));
        given_up.insert("20260301".to_owned(), (1, Instant::now()));
        assert!(!is_due(&day(1, 600), QUIET, &given_up));
        assert!(is_due(&day(2, 600), QUIET, &given_up));
    }
}
