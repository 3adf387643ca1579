//! The places for connections of several listeners, and who gives up a place when there is none.

use super::activity::{Activity, Owed};
use super::body::Leaving;
use hyper::Response;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// How often a connection without a place looks for one: those that are busy become idle without a word.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The part of the connections that give way at once when all have had a request, so that looking through them is rare.
const IDLE_SHARE: usize = 256;

/// Places.
#[derive(Debug)]
pub struct Pool {
    name: &'static str,
    max: usize,
    open: Mutex<Open>,
    freed: Notify,
}

/// A connection's number: later ones have larger numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(pub(super) u64);

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<Id, Arc<Activity>>,
    /// Those that have not had a request, and were not asked to give way.
    silent: BTreeSet<Id>,
    next: u64,
    is_said_to_be_full: bool,
}

/// A place; it is free again when dropped.
#[derive(Debug)]
pub struct Slot {
    activity: Arc<Activity>,
    pool: Arc<Pool>,
}

impl Pool {
    /// A pool of `max` places.
    #[must_use]
    pub fn new(name: &'static str, max: usize) -> Arc<Self> {
        Arc::new(Self { name, max, open: Mutex::default(), freed: Notify::new() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection, which another gives up if need be. Waits while all others wait for our answers.
    pub async fn take(self: &Arc<Self>) -> Slot {
        loop {
            if let Some(slot) = self.try_take() {
                return slot;
            }
            self.make_room();
            let _looks_again = timeout(LOOK_EVERY, self.freed.notified()).await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let mut open = self.open();
        if open.connections.len() >= self.max {
            return None;
        }
        let id = Id(open.next);
        open.next += 1;
        let activity = Arc::new(Activity::new(id, Arc::downgrade(self)));
        open.connections.insert(id, Arc::clone(&activity));
        open.silent.insert(id);
        drop(open);
        Some(Slot { activity, pool: Arc::clone(self) })
    }

    /// Asks the silent connection that is oldest to give way; else those that have been idle, or sending a body, for longest.
    fn make_room(&self) {
        let mut open = self.open();
        if !std::mem::replace(&mut open.is_said_to_be_full, true) {
            let (name, max) = (self.name, self.max);
            tracing::warn!(name, max, "as many connections as there may be; idle ones are closed for new ones");
        }
        while let Some(id) = open.silent.pop_first() {
            if let Some(activity) = open.connections.get(&id) {
                return activity.evict();
            }
        }
        let now = Instant::now();
        let mut standing: Vec<((Owed, Instant), &Arc<Activity>)> = open
            .connections
            .values()
            .filter(|activity| activity.may_be_evicted(now))
            .map(|activity| (activity.standing(), activity))
            .collect();
        standing.sort_unstable_by_key(|(standing, _)| *standing);
        for (_, activity) in standing.into_iter().take((self.max / IDLE_SHARE).max(1)) {
            activity.evict();
        }
    }

    /// The connection has had its first request.
    pub(super) fn has_spoken(&self, id: Id) {
        self.open().silent.remove(&id);
    }
}

impl Slot {
    /// Waits until the place is needed for another connection, while nobody waits for our answer on this one.
    pub async fn is_needed(&self) {
        loop {
            self.activity.evicted().await;
            if self.activity.gives_way() {
                return;
            }
        }
    }

    /// What counts the requests of this connection.
    #[must_use]
    pub fn requests(&self) -> Requests {
        Requests(Arc::clone(&self.activity))
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

/// Counts the requests of one connection: it keeps its place while one of them is under way.
#[derive(Debug, Clone)]
pub struct Requests(Arc<Activity>);

impl Requests {
    /// Answers a request, which is under way until the body of its answer is gone.
    pub async fn answer<B>(&self, answer: impl Future<Output = Response<B>>) -> Response<Leaving<B>> {
        let under_way = self.0.begin();
        answer.await.map(|body| Leaving::new(body, under_way))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.pool.open();
        open.connections.remove(&self.activity.id());
        open.silent.remove(&self.activity.id());
        if open.connections.len() < self.pool.max / 2 {
            open.is_said_to_be_full = false;
        }
        drop(open);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn is_asked(slot: &Slot) -> bool {
        slot.activity.evicted().now_or_never().is_some()
    }

    fn asked(slots: &[Slot]) -> Vec<usize> {
        slots.iter().enumerate().filter(|(_, slot)| is_asked(slot)).map(|(place, _)| place).collect()
    }

    #[test]
    fn silent_ones_give_way_first_and_the_oldest_of_them() {
        let pool = Pool::new("test", 4);
        let mut slots: Vec<Slot> = (0..4).map(|_| pool.try_take().unwrap()).collect();
        assert!(pool.try_take().is_none());
        let busy = slots[0].activity.begin();
        drop(slots[1].activity.begin());
        pool.make_room();
        assert_eq!(asked(&slots), [2]);
        pool.make_room();
        assert_eq!(asked(&slots), [3]);
        // then one that is idle; the busy one stays
        pool.make_room();
        assert_eq!(asked(&slots), [1]);
        pool.make_room();
        assert_eq!(asked(&slots), Vec::<usize>::new());
        drop(busy);
        pool.make_room();
        assert_eq!(asked(&slots), [0]);
        drop(slots.remove(0));
        assert!(pool.try_take().is_some());
    }

    #[tokio::test]
    async fn a_new_connection_waits_while_all_others_wait_for_our_answers() {
        let pool = Pool::new("test", 1);
        let slot = pool.take().await;
        let busy = slot.activity.begin();
        let mut waiting = Box::pin(pool.take());
        assert!((&mut waiting).now_or_never().is_none() && !is_asked(&slot));
        drop((busy, slot));
        let _place = waiting.await;
    }
}
