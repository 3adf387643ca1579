//! Senders that are notified when segments are settled: those that asked for `stored`.

use crate::ids::SegmentId;
use crate::locks::{Arc, AtomicBool, AtomicUsize, Mutex, Ordering, locked};
use std::collections::BTreeMap;
use std::fmt;

/// How often, in attachments, senders that have hung up are let go.
const PRUNED_EVERY: usize = 64;

/// How a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// ClickHouse has all of it.
    Stored,
    /// Rows of it are in the dead letters.
    DeadLettered,
}

/// Is notified when segments are settled. A trait, since the journal does not know the channel whose senders wait for that.
pub trait SettleObserver: Send {
    /// Whether the sender has hung up.
    fn is_gone(&self) -> bool;
    /// All segments are settled.
    fn on_settled(self: Box<Self>, outcome: Outcome);
}

/// Waits for the end of one or more segments.
pub struct Waiter(Arc<Shared>);

struct Shared {
    unsettled: AtomicUsize,
    dead: AtomicBool,
    observer: Mutex<Option<Box<dyn SettleObserver>>>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("unsettled", &self.0.unsettled).finish_non_exhaustive()
    }
}

impl Waiter {
    /// Notifies `observer` once all segments that this is attached to are settled, and [`done`](Self::done) was called.
    pub fn new(observer: impl SettleObserver + 'static) -> Self {
        Self(Arc::new(Shared {
            unsettled: AtomicUsize::new(1),
            dead: AtomicBool::new(false),
            observer: Mutex::new(Some(Box::new(observer))),
        }))
    }

    /// Nothing more is attached to it.
    pub fn done(self) {
        self.settle(Outcome::Stored);
    }

    fn attach(&self) -> Self {
        self.0.unsettled.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }

    fn is_gone(&self) -> bool {
        let observer = locked(&self.0.observer);
        observer.as_ref().is_none_or(|observer| observer.is_gone())
    }

    fn settle(self, outcome: Outcome) {
        if outcome == Outcome::DeadLettered {
            self.0.dead.store(true, Ordering::Relaxed);
        }
        if self.0.unsettled.fetch_sub(1, Ordering::AcqRel) == 1 {
            let observer = locked(&self.0.observer).take();
            let dead = self.0.dead.load(Ordering::Relaxed);
            if let Some(observer) = observer {
                observer.on_settled(if dead { Outcome::DeadLettered } else { Outcome::Stored });
            }
        }
    }
}

/// Who waits for which segments. Bounded by the senders that wait, not by the backlog.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    of_one: BTreeMap<SegmentId, Vec<Waiter>>,
    /// For every segment up to that one.
    up_to: Vec<(SegmentId, Waiter)>,
}

impl Waiters {
    pub(super) fn attach(&mut self, id: SegmentId, waiter: &Waiter) {
        let waiters = self.of_one.entry(id).or_default();
        waiters.push(waiter.attach());
        if waiters.len().is_multiple_of(PRUNED_EVERY) {
            waiters.retain(|waiter| !waiter.is_gone());
        }
    }

    pub(super) fn attach_up_to(&mut self, last: SegmentId, waiter: &Waiter) {
        self.up_to.push((last, waiter.attach()));
        if self.up_to.len().is_multiple_of(PRUNED_EVERY) {
            self.up_to.retain(|(_, waiter)| !waiter.is_gone());
        }
    }

    /// Removes those that wait for a segment that is settled; `oldest` is the oldest that is not.
    pub(super) fn settled(&mut self, id: SegmentId, oldest: Option<SegmentId>) -> Settled {
        let of_one = self.of_one.remove(&id).into_iter().flatten().collect();
        let is_over = |(last, _): &mut (SegmentId, Waiter)| oldest.is_none_or(|oldest| *last < oldest);
        let up_to = self.up_to.extract_if(.., is_over).map(|(_, waiter)| waiter).collect();
        Settled { of_one, up_to }
    }
}

/// Those to notify, outside any lock.
pub(super) struct Settled {
    of_one: Vec<Waiter>,
    up_to: Vec<Waiter>,
}

impl Settled {
    pub(super) fn notify(self, outcome: Outcome) {
        self.of_one.into_iter().for_each(|waiter| waiter.settle(outcome));
        self.up_to.into_iter().for_each(|waiter| waiter.settle(Outcome::Stored));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Sender {
        outcomes: mpsc::SyncSender<Outcome>,
        is_gone: Arc<AtomicBool>,
    }

    impl SettleObserver for Sender {
        fn is_gone(&self) -> bool {
            self.is_gone.load(Ordering::Relaxed)
        }

        fn on_settled(self: Box<Self>, outcome: Outcome) {
            self.outcomes.send(outcome).unwrap();
        }
    }

    fn waiter() -> (Waiter, mpsc::Receiver<Outcome>, Arc<AtomicBool>) {
        let (send, outcomes) = mpsc::sync_channel(1);
        let is_gone = Arc::new(AtomicBool::new(false));
        (Waiter::new(Sender { outcomes: send, is_gone: Arc::clone(&is_gone) }), outcomes, is_gone)
    }

    fn id(number: u64) -> SegmentId {
        SegmentId::new(1, number)
    }

    #[test]
    fn it_is_notified_once_everything_it_waits_for_is_settled() {
        let mut waiters = Waiters::default();
        let (waiter, outcomes, _) = waiter();
        waiters.attach(id(9), &waiter);
        waiters.attach_up_to(id(5), &waiter);
        waiter.done();
        waiters.settled(id(5), Some(id(3))).notify(Outcome::Stored);
        waiters.settled(id(9), Some(id(3))).notify(Outcome::DeadLettered);
        assert!(outcomes.try_recv().is_err(), "3 is not settled");
        waiters.settled(id(3), Some(id(6))).notify(Outcome::Stored);
        assert_eq!(outcomes.try_recv(), Ok(Outcome::DeadLettered));
    }

    #[test]
    fn those_who_hung_up_are_let_go() {
        let mut waiters = Waiters::default();
        for _ in 0..10 * PRUNED_EVERY {
            let (waiter, _outcomes, is_gone) = waiter();
            is_gone.store(true, Ordering::Relaxed);
            waiters.attach(id(1), &waiter);
            waiters.attach_up_to(id(1), &waiter);
        }
        assert!(waiters.of_one[&id(1)].len() < PRUNED_EVERY && waiters.up_to.len() < PRUNED_EVERY);
    }
}
