//! A bounded set of connections, which several listeners may share, and the choice of connections that are closed for new ones.

use super::activity::{Activity, Id, Phase};
use super::body::Requests;
use crate::locks::locked;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// How often a connection without a place looks for one: nothing notifies it when a busy connection becomes idle.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The part of the connections that is evicted at once when all have had a request, so that looking through them is rare.
const IDLE_SHARE: usize = 256;

/// Places for at most `max` connections.
#[derive(Debug)]
pub struct Pool {
    name: &'static str,
    max: usize,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    /// At most `max` of the pool.
    connections: HashMap<Id, Arc<Activity>>,
    /// Those of `connections` that were never found to have had a request, nor evicted.
    silent: BTreeSet<Id>,
    next: u64,
    has_warned: bool,
}

/// A place in the pool; it is free again when this is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
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
        locked(&self.open)
    }

    /// A place for a new connection, which another one loses if need be. Waits while all others are being answered.
    pub async fn acquire(self: &Arc<Self>) -> ConnectionPermit {
        loop {
            if let Some(permit) = self.try_acquire() {
                return permit;
            }
            self.evict_some();
            let _looks_again = timeout(LOOK_EVERY, self.freed.notified()).await;
        }
    }

    fn try_acquire(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let mut open = self.open();
        if open.connections.len() >= self.max {
            return None;
        }
        let id = Id(open.next);
        open.next += 1;
        let activity = Arc::new(Activity::new(id));
        open.connections.insert(id, Arc::clone(&activity));
        open.silent.insert(id);
        debug_assert!(open.silent.len() <= open.connections.len(), "a silent connection is an open one");
        drop(open);
        Some(ConnectionPermit { activity, pool: Arc::clone(self) })
    }

    /// Evicts the oldest connection without a request; else those that have been idle, or receiving a body, for longest.
    fn evict_some(&self) {
        let mut open = self.open();
        if !std::mem::replace(&mut open.has_warned, true) {
            let (name, max) = (self.name, self.max);
            tracing::warn!(name, max, "as many connections as there may be; idle ones are closed for new ones");
        }
        while let Some(id) = open.silent.pop_first() {
            let silent = open.connections.get(&id).filter(|activity| activity.phase().0 == Phase::New);
            if let Some(activity) = silent {
                return activity.evict();
            }
        }
        let now = Instant::now();
        let mut evictable: Vec<((Phase, Instant), &Arc<Activity>)> = open
            .connections
            .values()
            .filter(|activity| activity.may_be_evicted(now))
            .map(|activity| (activity.phase(), activity))
            .collect();
        evictable.sort_unstable_by_key(|(phase, _)| *phase);
        for (_, activity) in evictable.into_iter().take((self.max / IDLE_SHARE).max(1)) {
            activity.evict();
        }
    }
}

impl ConnectionPermit {
    /// Waits until the place is needed for another connection, and no request of this one is being answered.
    pub async fn evicted(&self) {
        loop {
            self.activity.evicted().await;
            if self.activity.confirm_eviction() {
                return;
            }
        }
    }

    /// Counts the requests of this connection.
    #[must_use]
    pub fn requests(&self) -> Requests {
        Requests::new(Arc::clone(&self.activity))
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.pool.open();
        let closed = open.connections.remove(&self.activity.id());
        debug_assert!(closed.is_some(), "a connection is in the pool until its permit is dropped");
        open.silent.remove(&self.activity.id());
        if open.connections.len() < self.pool.max / 2 {
            open.has_warned = false;
        }
        drop(open);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn is_asked(permit: &ConnectionPermit) -> bool {
        permit.activity.evicted().now_or_never().is_some()
    }

    fn asked(permits: &[ConnectionPermit]) -> Vec<usize> {
        permits.iter().enumerate().filter(|(_, permit)| is_asked(permit)).map(|(place, _)| place).collect()
    }

    #[test]
    fn silent_connections_are_evicted_first_and_the_oldest_of_them() {
        let pool = Pool::new("test", 4);
        let mut permits: Vec<ConnectionPermit> = (0..4).map(|_| pool.try_acquire().unwrap()).collect();
        assert!(pool.try_acquire().is_none());
        let busy = permits[0].activity.begin_request();
        drop(permits[1].activity.begin_request());
        pool.evict_some();
        assert_eq!(asked(&permits), [2]);
        pool.evict_some();
        assert_eq!(asked(&permits), [3]);
        // then one that is idle; the busy one stays
        pool.evict_some();
        assert_eq!(asked(&permits), [1]);
        pool.evict_some();
        assert_eq!(asked(&permits), Vec::<usize>::new());
        drop(busy);
        pool.evict_some();
        assert_eq!(asked(&permits), [0]);
        drop(permits.remove(0));
        assert!(pool.try_acquire().is_some());
    }

    #[tokio::test]
    async fn a_new_connection_waits_while_all_others_are_being_answered() {
        let pool = Pool::new("test", 1);
        let permit = pool.acquire().await;
        let busy = permit.activity.begin_request();
        let mut waiting = Box::pin(pool.acquire());
        assert!((&mut waiting).now_or_never().is_none() && !is_asked(&permit));
        drop((busy, permit));
        let _permit = waiting.await;
    }
}
