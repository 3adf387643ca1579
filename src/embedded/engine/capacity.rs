//! What requests under way may take: bytes of memory, and permits for queries.
//!
//! ```text
//! body arrives ──bytes──> statement complete ──permit──> query runs ──> answer held back ──bytes──> sent
//! ```
//!
//! Bytes are taken before they are kept, and given back with what they are kept for. A permit is taken when the
//! statement is there; who waits for one makes those give way that stall in theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::embedded::wire::errors::QueryError;
use crate::sql::code;

/// Statements, forms, and answers that are held back, of all requests together.
const BYTES_MAX: usize = 128 << 20;
/// The same of Millrace itself: nobody else's bodies keep rows from being stored.
const OWN_BYTES_MAX: usize = 64 << 20;
const KIB: usize = 1 << 10;
/// How long a query waits for a permit: longer than those who stall may keep theirs from it.
const PERMIT_WAIT: Duration = Duration::from_secs(3);

/// Bytes and permits: for all clients, and for Millrace itself.
pub(crate) struct Capacity {
    others: Share,
    own: Share,
    queries_max: usize,
    waiting: Arc<AtomicUsize>,
}

struct Share {
    /// A permit is a KiB.
    bytes: Arc<Semaphore>,
    permits: Arc<Semaphore>,
}

impl Share {
    fn new(bytes_max: usize, permits: usize) -> Self {
        Self { bytes: Arc::new(Semaphore::new(bytes_max / KIB)), permits: Arc::new(Semaphore::new(permits)) }
    }
}

impl Capacity {
    /// With this many permits; Millrace's own come on top.
    pub(crate) fn new(queries_max: usize, own_queries_max: usize) -> Self {
        let (others, own) = (Share::new(BYTES_MAX, queries_max), Share::new(OWN_BYTES_MAX, own_queries_max));
        Self { others, own, queries_max, waiting: Arc::default() }
    }

    /// Nothing yet.
    pub(crate) fn reservation(&self, own: bool) -> Reservation {
        let share = if own { &self.own } else { &self.others };
        Reservation { share: share.bytes.clone(), held: None }
    }

    /// A permit for a query.
    pub(crate) async fn permit(&self, own: bool) -> Result<OwnedSemaphorePermit, QueryError> {
        if own && let Ok(permit) = self.own.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let permits = &self.others.permits;
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _waits = Waiting::new(self.waiting.clone());
        let permit = tokio::time::timeout(PERMIT_WAIT, permits.clone().acquire_owned()).await;
        permit.ok().and_then(Result::ok).ok_or_else(|| {
            let message = format!("Too many simultaneous queries. Maximum: {}", self.queries_max);
            QueryError::new(code::TOO_MANY_SIMULTANEOUS_QUERIES, &message)
        })
    }

    /// Whether somebody waits for a permit.
    pub(crate) fn demand(&self) -> Demand {
        Demand(self.waiting.clone())
    }
}

/// Says whether somebody waits for a permit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Demand(Arc<AtomicUsize>);

impl Demand {
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// Counts itself among those who wait.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(waiting: Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::AcqRel);
        Self(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Share that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    share: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// Holds room for this many bytes in all; false when there is not enough, and then it holds what it held.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = bytes.div_ceil(KIB).checked_sub(held).filter(|more| *more > 0) else { return true };
        let more = u32::try_from(more).ok().and_then(|more| self.share.clone().try_acquire_many_owned(more).ok());
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
        Err(QueryError::new(code::MEMORY_LIMIT_EXCEEDED, &message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_together_hold_no_more_than_there_is() {
        let capacity = Capacity::new(1, 1);
        let mut bodies: Vec<Reservation> = (0..60).map(|_body| capacity.reservation(false)).collect();
        let mib = |bytes: usize| bytes << 20;
        let held =
            (0..15).map(|step| bodies.iter_mut().filter_map(|body| body.grow_for_body(mib(step + 1)).ok()).count());
        assert_eq!(held.sum::<usize>(), BYTES_MAX >> 20);
        assert_eq!(bodies[0].grow_for_body(BYTES_MAX).unwrap_err().code, 241);
        // others' bodies are not in the way of rows that are to be stored
        assert!(capacity.reservation(true).grow_to(OWN_BYTES_MAX));
        drop(bodies);
        assert!(capacity.reservation(false).grow_to(BYTES_MAX));
    }

    #[tokio::test]
    async fn a_place_is_waited_for_and_the_wait_is_seen() {
        let capacity = Arc::new(Capacity::new(1, 1));
        let permit = capacity.permit(false).await.unwrap();
        assert!(!capacity.demand().is_any());
        let own = capacity.permit(true).await.unwrap();
        let waiting = tokio::spawn({
            let capacity = capacity.clone();
            async move { capacity.permit(true).await.map(drop) }
        });
        while !capacity.demand().is_any() {
            tokio::task::yield_now().await;
        }
        drop(permit);
        waiting.await.unwrap().unwrap();
        assert!(!capacity.demand().is_any());
        drop(own);
    }
}
