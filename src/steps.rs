//! How much work foreign bytes cost, counted where they are walked over: a value looked at, a name compared, a byte copied.
//!
//! Tests hold the count to the size of what was read, so that no request is small to send and long to read. Builds without
//! debug assertions count nothing.

#[cfg(debug_assertions)]
use std::cell::Cell;

#[cfg(debug_assertions)]
thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// Counts so many steps.
#[inline(always)]
pub fn take(steps: usize) {
    #[cfg(debug_assertions)]
    TAKEN.with(|taken| taken.set(taken.get().saturating_add(steps as u64)));
    #[cfg(not(debug_assertions))]
    let _is_not_counted = steps;
}

/// What some work gives, and the steps it took on this thread; none where they are not counted.
pub fn of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = taken();
    let result = work();
    (result, taken() - before)
}

#[cfg(debug_assertions)]
fn taken() -> u64 {
    TAKEN.with(Cell::get)
}

#[cfg(not(debug_assertions))]
fn taken() -> u64 {
    0
}
