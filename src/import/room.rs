//! Room on disk for what imports keep there for a while: files that a browser sent, and copies of Parquet.

use crate::locks::{Arc, AtomicU64, Ordering};

/// So many bytes, which all who hold the same room share.
#[derive(Debug)]
pub(super) struct Room {
    bytes_max: u64,
    bytes: AtomicU64,
    /// What gives it its size, where a person should know.
    from: Option<&'static str>,
    /// The room that it is a part of.
    whole: Option<Arc<Room>>,
}

/// Bytes that are taken, and given back when this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// How much there is, in words.
    pub(super) bound: String,
    /// Whether it is the room that others have parts of.
    pub(super) is_whole: bool,
}

impl Room {
    pub(super) fn new(bytes_max: u64, from: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self { bytes_max, bytes: AtomicU64::new(0), from, whole: None })
    }

    /// A part of it that has a bound of its own.
    pub(super) fn part(self: &Arc<Self>, bytes_max: u64, from: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self { bytes_max, bytes: AtomicU64::new(0), from, whole: Some(Arc::clone(self)) })
    }

    /// Nothing of it yet.
    pub(super) fn hold(self: &Arc<Self>) -> Taken {
        Taken { room: Arc::clone(self), bytes: 0 }
    }

    fn take(&self, bytes: u64) -> Result<(), Full> {
        let more = |now: u64| now.checked_add(bytes).filter(|all| *all <= self.bytes_max);
        if self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return Err(Full { bound: self.bound(), is_whole: self.whole.is_none() });
        }
        let taken = self.whole.as_ref().map_or(Ok(()), |whole| whole.take(bytes));
        if taken.is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
    }

    /// The bound in words.
    fn bound(&self) -> String {
        let from = self.from.map_or_else(String::new, |name| format!(" ({name})"));
        format!("{} MiB{from}", self.bytes_max >> 20)
    }
}

impl Taken {
    /// Takes more.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), Full> {
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
        self.room.give_back(self.bytes);
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
        let full = Full { bound: "3 MiB (some.setting)".to_owned(), is_whole: true };
        assert_eq!(other.grow(2 << 20).unwrap_err(), full);
        other.grow(1 << 20).unwrap();
        drop(one);
        other.grow(2 << 20).unwrap();
        assert_eq!(other.bytes(), 3 << 20);
    }
    #[test]
    fn a_part_is_full_before_the_whole_and_what_the_whole_refuses_takes_nothing_of_the_part() {
        let whole = Room::new(3 << 20, None);
        let (one, other) = (whole.part(2 << 20, None), whole.part(2 << 20, None));
        let (mut of_one, mut of_other) = (one.hold(), other.hold());
        of_one.grow(2 << 20).unwrap();
        assert_eq!(of_one.grow(1).unwrap_err(), Full { bound: "2 MiB".to_owned(), is_whole: false });
        assert_eq!(of_other.grow(2 << 20).unwrap_err(), Full { bound: "3 MiB".to_owned(), is_whole: true });
        of_other.grow(1 << 20).unwrap();
        drop(of_one);
        of_other.grow(1 << 20).unwrap();
    }
}
