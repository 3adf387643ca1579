//! What the sender of rows waits for.

use super::{Ack, IngestError};
use crate::telemetry::latency::Timer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What the sender of rows waits for.
#[derive(Debug)]
#[must_use = "only an acknowledgement allows an OK"]
pub struct PendingAck {
    pub(super) answer: Option<oneshot::Receiver<Result<(), IngestError>>>,
    /// Whether rows that are to be stored are on disk.
    pub(super) committed: Option<Arc<AtomicBool>>,
    pub(super) ack: Ack,
    /// The same for all acknowledgements of one request, so that their waits do not add up.
    pub(super) until: Instant,
    /// `None` without rows.
    pub(super) timer: Option<Timer>,
}

/// Proof that rows are stored as far as was asked. Only with it may a receiver answer OK.
#[derive(Debug)]
#[must_use = "a receipt is what allows an OK"]
pub struct Receipt(());

impl PendingAck {
    /// The acknowledgement of no rows: there is nothing to lose.
    pub fn of_nothing() -> Self {
        Self { answer: None, committed: None, ack: Ack::Memory, until: Instant::now(), timer: None }
    }

    /// Waits until rows that were to be stored are, but not much longer than `patience` once they are on disk. Safe to cancel.
    ///
    /// # Errors
    /// As [`acked`](Self::acked).
    pub async fn stored_or_durable(mut self, patience: Duration) -> Result<Receipt, IngestError> {
        let Some(answer) = self.answer.as_mut() else { return Ok(Receipt(())) };
        let is_on_disk = || self.committed.as_ref().is_some_and(|committed| committed.load(Ordering::Acquire));
        let mut look = self.until.min(Instant::now() + patience);
        loop {
            match tokio::time::timeout_at(look, &mut *answer).await {
                Ok(Ok(kept)) => {
                    kept?;
                    break;
                }
                Ok(Err(_)) => return Err(IngestError::JournalFailed),
                Err(_) if is_on_disk() => return Ok(Receipt(())),
                Err(_) if look >= self.until => return Err(IngestError::NotDurableYet),
                Err(_) => look = self.until.min(Instant::now() + Duration::from_millis(50)),
            }
        }
        self.timer.into_iter().for_each(Timer::done);
        Ok(Receipt(()))
    }

    /// Waits until the rows are stored as far as was asked. Safe to cancel: the rows are stored all the same.
    ///
    /// # Errors
    /// If that failed, or did not happen in time.
    pub async fn acked(self) -> Result<Receipt, IngestError> {
        let Self { answer, ack, until, timer, .. } = self;
        if let Some(answer) = answer {
            match tokio::time::timeout_at(until, answer).await {
                Ok(Ok(kept)) => kept?,
                // the committer has ended without an answer
                Ok(Err(_)) => return Err(IngestError::JournalFailed),
                Err(_) => match ack {
                    // no more was asked for than that they are in memory
                    Ack::Memory => {}
                    Ack::Durable => return Err(IngestError::NotDurableYet),
                    Ack::Stored => return Err(IngestError::NotStoredYet),
                },
            }
        }
        timer.into_iter().for_each(Timer::done);
        Ok(Receipt(()))
    }
}
