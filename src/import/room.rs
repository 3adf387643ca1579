//! Room on disk for what imports keep there for a while: files that a browser sent, and copies of Parquet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many bytes, which all who hold the same room share.
#[derive(Debug)]
pub(super) struct Room {
    bytes_max: u64,
    bytes: AtomicU64,
    /// The setting that gives it its size, where there is one.
    setting: Option<&'static str>,
}

/// Bytes that are taken, and given back when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    pub(super) fn new(bytes_max: u64, setting: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self { bytes_max, bytes: AtomicU64::new(0), setting })
    }

    /// Nothing of it yet.
    pub(super) fn hold(self: &Arc<Self>) -> Taken {
        Taken { room: Arc::clone(self), bytes: 0 }
    }

    fn take(&self, bytes: u64) -> Result<(), String> {
        let more = |now: u64| now.checked_add(bytes).filter(|all| *all <= self.bytes_max);
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(|_before| ()).map_err(|_full| self.bound())
    }

    /// The bound in words.
    fn bound(&self) -> String {
        let setting = self.setting.map_or_else(String::new, |name| format!(" ({name})"));
        format!("{} MiB{setting}", self.bytes_max >> 20)
    }
}

impl Taken {
    /// Takes more.
    ///
    /// # Errors
    /// The bound in words, if there is no room for it.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), String> {
        self.room.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_makes_room_and_what_is_refused_takes_none() {
        let room = Room::new(3 << 20, Some("some.setting"));
        let (mut one, mut other) = (room.hold(), room.hold());
        one.grow(2 << 20).unwrap();
        assert_eq!(other.grow(2 << 20).unwrap_err(), "3 MiB (some.setting)");
        other.grow(1 << 20).unwrap();
        drop(one);
        other.grow(2 << 20).unwrap();
        assert_eq!(other.bytes(), 3 << 20);
    }
}
