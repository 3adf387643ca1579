//! The arenas of the C library's allocator: how much freed memory the process keeps.
//!
//! A thread allocates from an arena and gives back to it, and what one arena has left no other one can use. glibc makes up to eight
//! for each core, for programs whose threads do nothing but allocate; rows pass from thread to thread here, so that each arena
//! comes to keep the buffers of the largest requests. What it saves is in docs/performance.md.

#![expect(unsafe_code, reason = "one call of the C library, of which there is no safe form")]

use std::thread::available_parallelism;

/// At least so many, so that two threads that allocate at once need not wait for each other.
const ARENAS_MIN: usize = 2;

/// Lets the process have one arena a core. Other C libraries than glibc have no arenas.
pub(crate) fn one_a_core() {
    let cores = available_parallelism().map_or(ARENAS_MIN, |cores| cores.get().max(ARENAS_MIN));
    #[cfg(target_env = "gnu")]
    if let Ok(arenas) = libc::c_int::try_from(cores) {
        // SAFETY: it takes two numbers by value and sets one of the allocator's own, under the allocator's lock
        let is_set = unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
        debug_assert_eq!(is_set, 1, "glibc knows M_ARENA_MAX since 2.10");
    }
}
