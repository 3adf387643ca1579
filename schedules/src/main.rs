//! Runs what Millrace does with atomics by hand in every order that threads and their memory allow, with loom.
//!
//! The sources are those of Millrace, compiled with loom's atomics and locks in the place of those of the standard library (`locks`).
//! Each check prints how many schedules it ran; `make schedules` runs all.

mod locks {
    use loom::sync::MutexGuard;

    pub(crate) use loom::sync::Mutex;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    // has methods of ours by `self: &Arc<Self>`, which only the one of the standard library may have
    pub(crate) use std::sync::Arc;

    pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().expect("no thread panics under it")
    }
}

#[path = "../../src/ids.rs"]
#[allow(dead_code, reason = "only segments have their ids here")]
mod ids;
#[path = "../../src/numbers.rs"]
#[allow(dead_code, reason = "the ids need one of them")]
mod numbers;
#[path = "../../src/import/room.rs"]
#[allow(dead_code, reason = "what shows it is not checked here")]
mod room;
#[path = "../../src/journal/waiters.rs"]
#[allow(dead_code, reason = "what attaches many is not checked here")]
mod waiters;

use ids::SegmentId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use waiters::{Outcome, SettleObserver, Waiter, Waiters};

fn main() {
    check("a sender is notified once, after all its segments, and learns of dead letters", a_sender_is_notified_once);
    check("a room never has more than its bytes, and all of them again at the end", a_room_keeps_its_bound);
}

/// Runs a check in every schedule.
fn check(what: &str, body: fn()) {
    let schedules = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&schedules);
    loom::model(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        body();
    });
    println!("{:>9} schedules: {what}", schedules.load(Ordering::Relaxed));
}

struct Sender(Arc<Mutex<Vec<Outcome>>>);

impl SettleObserver for Sender {
    fn is_gone(&self) -> bool {
        false
    }

    fn on_settled(self: Box<Self>, outcome: Outcome) {
        self.0.lock().expect("no thread panics under it").push(outcome);
    }
}

/// Rows of one sender lie in two segments, which end on threads of their own while it is still being attached.
fn a_sender_is_notified_once() {
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let waiter = Waiter::new(Sender(Arc::clone(&outcomes)));
    let mut waiters = Waiters::default();
    let ends = [(1, Outcome::Stored), (2, Outcome::DeadLettered)];
    let ids = ends.map(|(number, outcome)| (SegmentId::new(1, number), outcome));
    ids.iter().for_each(|(id, _)| waiters.attach(*id, &waiter));
    let threads = ids.map(|(id, outcome)| {
        let settled = waiters.settled(id, None);
        loom::thread::spawn(move || settled.notify(outcome))
    });
    waiter.done();
    for thread in threads {
        thread.join().expect("it does not panic");
    }
    assert_eq!(*outcomes.lock().expect("no thread panics under it"), [Outcome::DeadLettered]);
}

/// Two take two of three bytes each, from a room and from a part of it.
fn a_room_keeps_its_bound() {
    let whole = room::Room::new(3, None);
    let part = whole.part(2, None);
    let threads = [Arc::clone(&whole), part].map(|room| {
        loom::thread::spawn(move || {
            let mut taken = room.hold();
            taken.grow(2).is_ok()
        })
    });
    let taken = threads.map(|thread| thread.join().expect("it does not panic"));
    assert!(taken.contains(&true), "the first to come is given what it asks for");
    whole.hold().grow(3).expect("all was given back");
}
