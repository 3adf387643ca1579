//! Waiting for a task to end while the service stops, within a bounded time.

use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};

/// A part did not end by itself.
#[derive(Debug, thiserror::Error)]
pub enum NotEnded {
    /// It still runs.
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
        /// Its panic.
        #[source]
        cause: JoinError,
    },
}

/// Waits for a part to end, for at most `within`; then the part is aborted, which ends it where it next awaits something.
///
/// # Errors
/// If it did not end by then, or panicked.
pub async fn ended<T>(what: &'static str, mut part: JoinHandle<T>, within: Duration) -> Result<T, NotEnded> {
    match tokio::time::timeout(within, &mut part).await {
        Ok(ended) => ended.map_err(|cause| NotEnded::Panicked { what, cause }),
        Err(_) => {
            part.abort();
            Err(NotEnded::InTime { what, within })
        }
    }
}
