//! Locks of threads.

use std::sync::{MutexGuard, PoisonError};

// what is run in every schedule (`schedules/`) has these from here, where loom's stand in their place
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, Mutex};

/// The value under a lock, also after a thread panicked while it held it: every change under a lock of Millrace is whole before the
/// lock is given back, and a panic that puts data at risk ends the process elsewhere (`app`).
pub fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_while_it_is_held_does_not_shut_it() {
        let mutex = Mutex::new(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            *locked(&mutex) = 2;
            let _held = locked(&mutex);
            panic!("while it is held");
        }));
        assert!(panicked.is_err() && mutex.is_poisoned());
        assert_eq!(*locked(&mutex), 2);
    }
}
