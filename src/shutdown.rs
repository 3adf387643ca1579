//! Waiting for a task to end while the service stops, within a bounded time.

use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};

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
