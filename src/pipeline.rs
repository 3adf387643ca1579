//! The bounded channel between all receivers and the exporter.
//!
//! ```text
//! receiver: reserve(bytes) -> Room -> decode -> send(rows, room) -> Receipt -> "ok"
//!                                                     |
//! exporter:                               recv() -> Entry { rows, room } -> insert -> drop the room
//! ```
//!
//! The bound is in bytes and covers everything from a request's first byte to its rows being in ClickHouse: the room
//! travels with the data, so a caller that hangs up frees nothing early.

use crate::columns::RowGroup;
use crate::sizes::ByteSize;
use crate::telemetry::Metrics;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Requests that may wait, whatever their size: bounds what the queue itself takes.
const ENTRIES_MAX: usize = 65_536;

/// What every entry costs beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 2_048;

/// Health is red when less than this part of the room is free: ordinary requests are refused by then.
const FREE_SHARE: usize = 16;

/// Size of the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Bytes of requests and rows held between the socket and ClickHouse; above it receivers answer "try again".
    pub max_bytes: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_bytes: ByteSize::mib(128) }
    }
}

/// There is no room now: the sender should try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Others hold the room; it will be free again.
    #[error("Millrace is full while it waits for ClickHouse; try again")]
    Full,
    /// Even an empty channel has not enough room.
    #[error(
        "the request takes {bytes} bytes, more than the {max} that pipeline.max_bytes allows; send smaller batches"
    )]
    NeverFits {
        /// What the request takes.
        bytes: usize,
        /// All there is.
        max: usize,
    },
    /// The service is stopping.
    #[error("Millrace is stopping; try again")]
    Stopping,
}

/// The receivers' end.
#[derive(Debug, Clone)]
pub struct Pipeline {
    entries: mpsc::Sender<Entry>,
    budget: Arc<Budget>,
}

/// Tells whether there is room, without holding the channel open.
#[derive(Debug, Clone)]
pub struct Gauge {
    entries: mpsc::WeakSender<Entry>,
    budget: Arc<Budget>,
}

/// The exporter's end.
#[derive(Debug)]
pub struct Outlet {
    entries: mpsc::Receiver<Entry>,
}

/// Rows on their way, with the room they take.
#[derive(Debug)]
pub struct Entry {
    /// The rows.
    pub rows: RowGroup,
    /// Their room; dropping it gives it back.
    pub room: Room,
}

/// Proof that rows were taken. Only with it may a receiver say "ok".
#[derive(Debug)]
#[must_use = "a receipt is what allows the answer"]
pub struct Receipt(());

/// Reserved bytes; given back when dropped.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    bytes: usize,
}

#[derive(Debug)]
struct Budget {
    used: AtomicUsize,
    max: usize,
    metrics: Metrics,
}

/// Makes a connected pair.
#[must_use]
pub fn channel(config: &Config, metrics: &Metrics) -> (Pipeline, Outlet) {
    let (sender, receiver) = mpsc::channel(ENTRIES_MAX);
    metrics.queue_bytes_capacity.set(i64::try_from(config.max_bytes.0).unwrap_or(i64::MAX));
    let budget = Budget { used: AtomicUsize::new(0), max: config.max_bytes.0, metrics: metrics.clone() };
    (Pipeline { entries: sender, budget: Arc::new(budget) }, Outlet { entries: receiver })
}

impl Pipeline {
    /// Reserves room before a request is read.
    ///
    /// # Errors
    /// When there is not enough now, or never.
    pub fn reserve(&self, bytes: usize) -> Result<Room, NoRoom> {
        let mut room = Room { budget: Arc::clone(&self.budget), bytes: 0 };
        room.resize(bytes.saturating_add(ENTRY_OVERHEAD_BYTES))?;
        Ok(room)
    }

    /// Hands rows over, after their room was fitted to their size.
    ///
    /// # Errors
    /// When they do not fit, or the exporter is gone. Nothing is kept then.
    pub fn send(&self, rows: RowGroup, mut room: Room) -> Result<Receipt, NoRoom> {
        room.resize(rows.bytes_len().saturating_add(ENTRY_OVERHEAD_BYTES))?;
        self.entries.try_send(Entry { rows, room }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NoRoom::Full,
            mpsc::error::TrySendError::Closed(_) => NoRoom::Stopping,
        })?;
        Ok(Receipt(()))
    }

    /// A receipt for a request that holds no rows: there is nothing to lose.
    pub fn nothing_to_send(&self) -> Receipt {
        Receipt(())
    }

    /// A look at the channel that does not keep it open.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        Gauge { entries: self.entries.downgrade(), budget: Arc::clone(&self.budget) }
    }
}

impl Gauge {
    /// Whether requests of ordinary size would be taken now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let Some(entries) = self.entries.upgrade() else { return false };
        let free = self.budget.max.saturating_sub(self.budget.used.load(Ordering::Relaxed));
        !entries.is_closed() && entries.capacity() > 0 && free >= self.budget.max / FREE_SHARE
    }
}

impl Room {
    /// Changes the reservation to `bytes`. Shrinking always works.
    ///
    /// # Errors
    /// When there is not enough room to grow; the reservation stays as it was.
    pub fn resize(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if bytes > self.budget.max {
            return Err(NoRoom::NeverFits { bytes, max: self.budget.max });
        }
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes)?;
        } else {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Adds `bytes` to the reservation.
    ///
    /// # Errors
    /// As [`resize`](Self::resize).
    pub fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.resize(self.bytes.saturating_add(bytes))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

impl Budget {
    fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let grown = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.max);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown) {
            Ok(_) => {
                self.metrics.queue_bytes.add(i64::try_from(bytes).unwrap_or(i64::MAX));
                Ok(())
            }
            Err(_) => Err(NoRoom::Full),
        }
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.metrics.queue_bytes.sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

impl Outlet {
    /// Takes nothing more; what is in the channel still comes out. Receivers hear that the service is stopping.
    pub fn close(&mut self) {
        self.entries.close();
    }

    /// The next rows; `None` when every receiver is gone and all is handed over. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Entry> {
        self.entries.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> (Pipeline, Outlet) {
        channel(&Config { max_bytes: ByteSize(10_000) }, &Metrics::new().unwrap())
    }

    #[test]
    fn room_is_given_back_only_when_the_entry_is_dropped() {
        let (pipeline, mut outlet) = small();
        assert!(pipeline.gauge().has_room());
        let room = pipeline.reserve(6_000).unwrap();
        assert_eq!(pipeline.reserve(6_000).unwrap_err(), NoRoom::Full);
        let _receipt = pipeline.send(RowGroup::default(), room).unwrap();
        // the entry shrank to what its rows take, and still holds that
        assert_eq!(pipeline.reserve(10_000 - 2 * ENTRY_OVERHEAD_BYTES + 1).unwrap_err(), NoRoom::Full);
        drop(outlet.entries.try_recv().unwrap());
        assert!(pipeline.reserve(10_000 - ENTRY_OVERHEAD_BYTES).is_ok());
    }

    #[test]
    fn what_can_never_fit_is_told_apart_from_what_must_wait() {
        let (pipeline, _outlet) = small();
        assert!(matches!(pipeline.reserve(20_000), Err(NoRoom::NeverFits { max: 10_000, .. })));
        let mut room = pipeline.reserve(1).unwrap();
        assert!(room.grow(20_000).is_err());
        drop(room);
        assert_eq!(pipeline.budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn without_an_exporter_nothing_is_taken() {
        let (pipeline, outlet) = small();
        let room = pipeline.reserve(1).unwrap();
        drop(outlet);
        assert_eq!(pipeline.send(RowGroup::default(), room).unwrap_err(), NoRoom::Stopping);
        assert!(!pipeline.gauge().has_room());
    }
}
