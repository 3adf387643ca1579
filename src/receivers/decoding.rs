//! Where requests are decompressed and decoded: small ones on the runtime's workers, large ones on threads of their own, as many
//! at once as there are cores. A worker, which serves many requests, is never busy with one of them for long.

use std::num::NonZero;
use std::sync::{Arc, Weak};
use std::thread::available_parallelism;
use tokio::sync::Semaphore;

/// Bytes of JSON that are processed on a worker: less than a millisecond of work.
pub(super) const SMALL_BYTES_MAX: usize = 32 << 10;
/// The same of protobuf and of decompression: about what exporters send as one batch. On threads of their own such requests
/// cost a tenth more CPU and half as much memory again.
pub(super) const BATCH_BYTES_MAX: usize = 512 << 10;

/// Runs the decoding of large requests.
#[derive(Debug, Clone)]
pub struct DecodePool(Arc<Semaphore>);

/// Whether the caller of some work is gone, so that nobody needs the result.
#[derive(Debug, Default)]
pub(super) struct Cancelled(Option<Weak<()>>);

impl Cancelled {
    pub(super) fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|caller| caller.strong_count() == 0)
    }
}

impl Default for DecodePool {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get))))
    }
}

impl DecodePool {
    /// Does small work here and large work on a thread. If the future is dropped, work that has not begun does not begin.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        is_small: bool,
        work: impl FnOnce(&Cancelled) -> T + Send + 'static,
    ) -> T {
        if is_small {
            return work(&Cancelled::default());
        }
        self.run_on_thread(work).await
    }

    /// Does large work.
    pub(super) async fn run_on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cancelled) -> T + Send + 'static,
    ) -> T {
        let permit = Arc::clone(&self.0).acquire_owned().await.expect("the semaphore is never closed");
        let caller = Arc::new(());
        let cancelled = Cancelled(Some(Arc::downgrade(&caller)));
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&cancelled);
            drop(permit);
            done
        });
        let done = working.await;
        drop(caller);
        match done {
            Ok(done) => done,
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            // the runtime is shutting down, and this task with it
            Err(_) => std::future::pending().await,
        }
    }
}

/// Lets other tasks run in the middle of many small pieces of work.
#[derive(Debug, Default)]
pub(super) struct YieldBudget {
    bytes: usize,
}

/// What a piece of work costs beside its bytes.
const PIECE_BYTES: usize = 64;

impl YieldBudget {
    /// A piece of work on so many bytes is done. Yields after as much work as a small request takes.
    pub(super) async fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(PIECE_BYTES);
        if self.bytes > SMALL_BYTES_MAX {
            self.bytes = 0;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::thread;

    #[tokio::test]
    async fn small_work_stays_and_large_work_goes_to_another_thread() {
        let here = thread::current().id();
        let pool = DecodePool::default();
        assert_eq!(pool.run(true, |_| thread::current().id()).await, here);
        assert_ne!(pool.run(false, |_| thread::current().id()).await, here);
    }

    #[tokio::test]
    async fn no_more_runs_at_once_than_there_are_permits_and_nothing_whose_caller_is_gone() {
        let pool = DecodePool(Arc::new(Semaphore::new(1)));
        let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let first = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run_on_thread(move |_| wait.recv().is_ok()).await }
        });
        while pool.0.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let given_up = Box::pin(pool.run_on_thread(|_| panic!("nobody waits for it")));
        assert_eq!(given_up.now_or_never(), None::<()>);
        go.send(()).unwrap();
        assert!(first.await.unwrap());
        assert!(!pool.run_on_thread(|cancelled| cancelled.is_cancelled()).await);
    }

    #[tokio::test]
    async fn work_can_see_that_its_caller_is_gone() {
        let pool = DecodePool::default();
        let (seen, sees) = tokio::sync::oneshot::channel();
        let mut work = Box::pin(pool.run_on_thread(move |cancelled| {
            while !cancelled.is_cancelled() {
                thread::yield_now();
            }
            seen.send(()).unwrap();
        }));
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        sees.await.unwrap();
    }
}
