//! A quota of memory for one purpose, so that whatever is held for it leaves the rest of the memory to others.

use crate::numbers::{saturating_u32, to_usize};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in units of this size.
const UNIT_BYTES: usize = 1 << 10;

/// Bytes that can be acquired, and are given back.
#[derive(Debug, Clone)]
pub struct MemoryQuota {
    units: Arc<Semaphore>,
    /// At least 1.
    units_max: u32,
}

/// Acquired bytes; given back when dropped.
pub(super) type QuotaPermit = OwnedSemaphorePermit;

impl MemoryQuota {
    /// A quota of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let units_max = saturating_u32(bytes / UNIT_BYTES).max(1);
        Self { units: Arc::new(Semaphore::new(to_usize(units_max))), units_max }
    }

    /// Waits until so many bytes are free. A request for more than the quota acquires all of it.
    pub(super) async fn acquire(&self, bytes: usize) -> QuotaPermit {
        let units = saturating_u32(bytes.div_ceil(UNIT_BYTES)).min(self.units_max);
        Arc::clone(&self.units).acquire_many_owned(units).await.expect("the semaphore is never closed")
    }

    #[cfg(test)]
    pub(super) fn bytes_free(&self) -> usize {
        self.units.available_permits() * UNIT_BYTES
    }
}

// a semaphore holds at least as many permits as a quota has units
const _: () = assert!(Semaphore::MAX_PERMITS >= to_usize(u32::MAX));
