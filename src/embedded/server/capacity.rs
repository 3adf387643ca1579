//! What requests under way may take: bytes of memory, and places for queries.
//!
//! ```text
//! body arrives ──bytes──> statement complete ──place──> query runs ──> answer held back ──bytes──> sent
//! ```
//!
//! Bytes are taken before they are kept, and given back with what they are kept for. A place is taken when the
//! statement is there; who waits for one makes those give way that stall in theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::embedded::wire::errors::{QueryError, code};

/// Statements, forms, and answers that are held back, of all requests together.
const BYTES_MAX: usize = 128 << 20;
/// The same of Millrace itself: nobody else's bodies keep rows from being stored.
const OWN_BYTES_MAX: usize = 64 << 20;
const KIB: usize = 1 << 10;
/// How long a query waits for a place: longer than those who stall may keep theirs from it.
const PLACE_WAIT: Duration = Duration::from_secs(3);

/// Bytes and places, of everybody and of Millrace itself.
pub(crate) struct Rooms {
    others: Room,
    own: Room,
    queries_max: usize,
    waiting: Arc<AtomicUsize>,
}

struct Room {
    /// A permit is a KiB.
    bytes: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Room {
    fn new(bytes_max: usize, places: usize) -> Self {
        Self { bytes: Arc::new(Semaphore::new(bytes_max / KIB)), places: Arc::new(Semaphore::new(places)) }
    }
}

impl Rooms {
    /// With this many places; Millrace's own come on top.
    pub(crate) fn new(queries_max: usize, own_queries_max: usize) -> Self {
        let (others, own) = (Room::new(BYTES_MAX, queries_max), Room::new(OWN_BYTES_MAX, own_queries_max));
        Self { others, own, queries_max, waiting: Arc::default() }
    }

    /// Nothing yet.
    pub(crate) fn bytes(&self, own: bool) -> Held {
        let room = if own { &self.own } else { &self.others };
        Held { room: room.bytes.clone(), held: None }
    }

    /// A place for a query.
    pub(crate) async fn place(&self, own: bool) -> Result<OwnedSemaphorePermit, QueryError> {
        if own && let Ok(place) = self.own.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let places = &self.others.places;
        if let Ok(place) = places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waits = Waits::new(self.waiting.clone());
        let place = tokio::time::timeout(PLACE_WAIT, places.clone().acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(|| {
            let message = format!("Too many simultaneous queries. Maximum: {}", self.queries_max);
            QueryError::new(code::TOO_MANY_SIMULTANEOUS_QUERIES, "TOO_MANY_SIMULTANEOUS_QUERIES", &message)
        })
    }

    /// Whether somebody waits for a place.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted(self.waiting.clone())
    }
}

/// Says whether somebody waits for a place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted(Arc<AtomicUsize>);

impl Wanted {
    pub(crate) fn now(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// Counts itself among those who wait.
struct Waits(Arc<AtomicUsize>);

impl Waits {
    fn new(waiting: Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::AcqRel);
        Self(waiting)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Room that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    room: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Holds room for this many bytes in all; false when there is not enough, and then it holds what it held.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = bytes.div_ceil(KIB).checked_sub(held).filter(|more| *more > 0) else { return true };
        let more = u32::try_from(more).ok().and_then(|more| self.room.clone().try_acquire_many_owned(more).ok());
        match (more, &mut self.held) {
            (None, _) => false,
            (Some(more), Some(held)) => {
                held.merge(more);
                true
            }
            (Some(more), none) => {
                *none = Some(more);
                true
            }
        }
    }

    /// The same for what is read of a body.
    pub(crate) fn grow_for_body(&mut self, bytes: usize) -> Result<(), QueryError> {
        if self.grow_to(bytes) {
            return Ok(());
        }
        let message = format!(
            "The bodies of requests under way hold all of the {} MiB there are for them: send this again later, or an \
             INSERT's statement in the URL, so that its rows are not held",
            BYTES_MAX >> 20
        );
        Err(QueryError::new(code::MEMORY_LIMIT_EXCEEDED, "MEMORY_LIMIT_EXCEEDED", &message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_together_hold_no_more_than_there_is() {
        let rooms = Rooms::new(1, 1);
        let mut bodies: Vec<Held> = (0..60).map(|_body| rooms.bytes(false)).collect();
        let mib = |bytes: usize| bytes << 20;
        let held =
            (0..15).map(|step| bodies.iter_mut().filter_map(|body| body.grow_for_body(mib(step + 1)).ok()).count());
        assert_eq!(held.sum::<usize>(), BYTES_MAX >> 20);
        assert_eq!(bodies[0].grow_for_body(BYTES_MAX).unwrap_err().code, 241);
        // others' bodies are not in the way of rows that are to be stored
        assert!(rooms.bytes(true).grow_to(OWN_BYTES_MAX));
        drop(bodies);
        assert!(rooms.bytes(false).grow_to(BYTES_MAX));
    }

    #[tokio::test]
    async fn a_place_is_waited_for_and_the_wait_is_seen() {
        let rooms = Arc::new(Rooms::new(1, 1));
        let place = rooms.place(false).await.unwrap();
        assert!(!rooms.wanted().now());
        let own = rooms.place(true).await.unwrap();
        let waiting = tokio::spawn({
            let rooms = rooms.clone();
            async move { rooms.place(true).await.map(drop) }
        });
        while !rooms.wanted().now() {
            tokio::task::yield_now().await;
        }
        drop(place);
        waiting.await.unwrap().unwrap();
        assert!(!rooms.wanted().now());
        drop(own);
    }
}
