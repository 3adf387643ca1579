//! Whether ClickHouse takes inserts, since when not, and why: said once per change in the log, always in health.

use super::{Class, Failure};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long after the start ClickHouse may be out of reach before that is said.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// The state; clones share it.
#[derive(Debug, Clone)]
pub struct Availability(Arc<watch::Sender<State>>);

#[derive(Debug)]
enum State {
    /// ClickHouse was not reached yet; for a while that is no news, an engine takes its time to start.
    Starting {
        since: Instant,
        in_trouble: usize,
    },
    Storing,
    Away {
        since: Instant,
        why: String,
        needs_operator: bool,
        /// Statements that failed and were not yet taken.
        in_trouble: usize,
    },
}

/// The state as health shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// ClickHouse was not reached yet.
    Starting,
    /// ClickHouse took the last insert.
    Storing,
    /// ClickHouse did not take the last insert.
    Away {
        /// For how long.
        since: Duration,
        /// Its words.
        why: String,
    },
}

impl Default for Availability {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::Starting { since: Instant::now(), in_trouble: 0 })))
    }
}

impl Availability {
    /// What is the case now.
    #[must_use]
    pub fn view(&self) -> View {
        match &*self.0.borrow() {
            State::Starting { .. } => View::Starting,
            State::Storing => View::Storing,
            State::Away { since, why, .. } => View::Away { since: since.elapsed(), why: why.clone() },
        }
    }

    /// Waits until ClickHouse has the table and takes inserts. Safe to cancel.
    pub async fn until_storing(&self) {
        // an error would mean that the sender is gone, and `self` holds it
        let mut states = self.0.subscribe();
        let _storing = states.wait_for(|state| matches!(state, State::Storing)).await;
    }

    /// Notes that ClickHouse took what it was sent. While something else is in trouble, it still counts as away.
    pub fn reached(&self, metrics: &Metrics) {
        self.0.send_modify(|state| match state {
            State::Storing => {}
            State::Starting { .. } => {
                tracing::info!("ClickHouse is ready");
                *state = State::Storing;
            }
            State::Away { in_trouble, .. } if *in_trouble > 0 => {}
            State::Away { since, .. } => {
                tracing::info!(away_seconds = since.elapsed().as_secs(), "ClickHouse takes what Millrace sends again");
                *state = State::Storing;
            }
        });
        metrics.clickhouse_up.set(i64::from(matches!(*self.0.borrow(), State::Storing)));
    }

    /// Notes that a statement in trouble came to its end.
    pub fn over(&self, metrics: &Metrics) {
        self.0.send_modify(|state| match state {
            State::Starting { in_trouble, .. } | State::Away { in_trouble, .. } => {
                *in_trouble = in_trouble.saturating_sub(1)
            }
            State::Storing => {}
        });
        metrics.clickhouse_up.set(i64::from(matches!(*self.0.borrow(), State::Storing)));
    }

    /// Notes that ClickHouse did not take what it was sent; `is_first` the first time that this statement fails.
    pub fn away(&self, failure: &Failure, is_first: bool, metrics: &Metrics) {
        metrics.clickhouse_up.set(0);
        let needs_operator = failure.class != Class::Retry;
        let mut is_news = true;
        self.0.send_modify(|state| {
            let (mut began, mut in_trouble) = (Instant::now(), 0);
            match state {
                State::Starting { since, in_trouble } if !needs_operator && since.elapsed() < START_PATIENCE => {
                    *in_trouble += usize::from(is_first);
                    is_news = false;
                    return;
                }
                State::Starting { since, in_trouble: before } => (began, in_trouble) = (*since, *before),
                State::Storing => {}
                State::Away { since, needs_operator: before, in_trouble: others, .. } => {
                    (began, in_trouble) = (*since, *others);
                    is_news = *before != needs_operator;
                }
            }
            in_trouble += usize::from(is_first);
            *state = State::Away { since: began, why: failure.message.clone(), needs_operator, in_trouble };
        });
        if !is_news {
            return;
        }
        if needs_operator {
            tracing::error!(
                why = failure.message,
                "ClickHouse refuses what Millrace sends; accepted spans wait in the journal"
            );
        } else {
            tracing::warn!(why = failure.message, "ClickHouse is away; accepted spans wait in the journal");
        }
    }
}
