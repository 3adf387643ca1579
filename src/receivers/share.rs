//! A share of memory that some may take of, so that what they hold keeps nobody else from anything.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// It is counted in these.
const UNIT_BYTES: usize = 1 << 10;

/// Bytes to be taken and given back.
#[derive(Debug, Clone)]
pub struct Share {
    units: Arc<Semaphore>,
    units_max: usize,
}

/// Bytes that were taken; given back when dropped.
pub(super) type Taken = OwnedSemaphorePermit;

impl Share {
    /// A share of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let units_max = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units_max)), units_max }
    }

    /// Waits until so many bytes are free. What is larger than the share takes all of it.
    pub(super) async fn take(&self, bytes: usize) -> Taken {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES).min(self.units_max)).unwrap_or(u32::MAX);
        Arc::clone(&self.units).acquire_many_owned(units).await.expect("the semaphore is never closed")
    }

    #[cfg(test)]
    pub(super) fn bytes_free(&self) -> usize {
        self.units.available_permits() * UNIT_BYTES
    }
}
