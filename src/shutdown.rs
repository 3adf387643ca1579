//! One signal that everything listens to: "stop taking new work, finish what you have".

use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

/// The side that says stop. Dropping it says stop too, so that nothing outlives its owner.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// The side that hears it; clone one for each listener.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Makes a connected pair.
#[must_use]
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

/// Why a part has not come to an end of its own.
#[derive(Debug, thiserror::Error)]
pub enum NotEnded {
    /// It is still at it.
    #[error("the {what} did not end within {within:?}")]
    InTime {
        /// The part.
        what: &'static str,
        /// How long it had.
        within: Duration,
    },
    /// It panicked.
    #[error("the {what} failed")]
    Panicked {
        /// The part.
        what: &'static str,
        /// How.
        #[source]
        cause: JoinError,
    },
}

/// Waits for a part to end, and no longer than `within`; then it is left to itself, or ended where it waits.
///
/// # Errors
/// When it did not end by then, or panicked.
pub async fn ended<T>(what: &'static str, mut part: JoinHandle<T>, within: Duration) -> Result<T, NotEnded> {
    match tokio::time::timeout(within, &mut part).await {
        Ok(ended) => ended.map_err(|cause| NotEnded::Panicked { what, cause }),
        Err(_) => {
            part.abort();
            Err(NotEnded::InTime { what, within })
        }
    }
}

impl Trigger {
    /// Says stop. Saying it twice is the same.
    pub fn fire(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits until stop is said. Safe to cancel.
    pub async fn requested(&mut self) {
        // an error means that the trigger is gone, which says stop as well
        let _stopped = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether stop was said already.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
