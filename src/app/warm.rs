//! Learns after a start which spans the table already has, when the journal does not know: it is new and the table is not.

use crate::clickhouse::recent;
use crate::clickhouse::{Availability, Client};
use crate::journal::IsNew;
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches of learned spans that may wait for the committer.
pub(super) const LEARNED_BATCHES_MAX: usize = 4;

/// Attempts to learn, and the pause between them.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_secs(2);

/// The task that teaches the committer's index of accepted spans.
pub(super) struct WarmUp {
    pub(super) client: Client,
    pub(super) availability: Availability,
    /// Where learned spans go.
    pub(super) learn: mpsc::Sender<Vec<recent::Stored>>,
    pub(super) is_new: IsNew,
    /// How far back, and how many spans at most.
    pub(super) window: Duration,
    pub(super) spans_max: usize,
}

impl WarmUp {
    /// Ends after ClickHouse is reachable and, if there is something to learn, after it is learned or given up.
    pub(super) async fn run(self) {
        if self.window.is_zero() || self.spans_max == 0 {
            return;
        }
        for _ in 0..ATTEMPTS {
            self.availability.until_reachable().await;
            let IsNew(is_new) = self.is_new;
            if !is_new {
                // the journal's folder knows what was accepted
                return;
            }
            match recent::spans(&self.client, self.window, self.spans_max, &self.learn).await {
                Ok(spans) => {
                    tracing::debug!(spans, "learned which spans were stored lately");
                    return;
                }
                Err(failure) => {
                    let why = failure.message;
                    tracing::warn!(
                        why,
                        "failed to learn which spans were stored before this start; repeats may be stored again"
                    );
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
