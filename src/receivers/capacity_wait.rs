//! Waiting for room: a sender of many pairs is slowed down before anything of it is refused.

use crate::pipeline::IngestError;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long one line, or one body of many records, waits for room. Senders give up after 6 to 10 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// When to stop waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitBudget {
    until: Instant,
}

impl WaitBudget {
    pub(crate) fn new(lasts: Duration) -> Self {
        Self { until: Instant::now() + lasts }
    }

    /// Whether to try again. Waits a little when there is time left.
    pub(crate) async fn lasts(&self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        sleep(LOOK_EVERY).await;
        true
    }

    /// Tries until there is room, there never will be, or wait_budget ends.
    pub(crate) async fn until_there_is_room<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, IngestError>,
    ) -> Result<T, IngestError> {
        loop {
            match attempt() {
                Err(IngestError::Full) if self.lasts().await => {}
                other => return other,
            }
        }
    }
}
