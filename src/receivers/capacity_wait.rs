//! Waiting for memory: a sender of many calls is slowed down before any of them is refused.

use crate::pipeline::IngestError;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long one line, or one body of many records, waits for memory. Senders give up after 6 to 10 s.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(5);
/// The pause between two attempts.
const RETRY_EVERY: Duration = Duration::from_millis(25);

/// Until when a refused attempt is repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitBudget {
    until: Instant,
}

impl WaitBudget {
    pub(crate) fn new(lasts: Duration) -> Self {
        Self { until: Instant::now() + lasts }
    }

    /// Pauses before another attempt; `false`, without a pause, if there is no time left for one.
    pub(crate) async fn pause(&self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        sleep(RETRY_EVERY).await;
        true
    }

    /// Repeats an attempt for as long as the pipeline is full and there is time left.
    pub(crate) async fn retry_while_full<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, IngestError>,
    ) -> Result<T, IngestError> {
        loop {
            match attempt() {
                Err(IngestError::Full) if self.pause().await => {}
                other => return other,
            }
        }
    }
}
