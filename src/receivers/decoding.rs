//! Where requests are decompressed and decoded: small ones where they are, large ones on threads of their own, as many at once
//! as there are cores. The threads that answer everybody else never work on one request for long.

use std::num::NonZero;
use std::sync::{Arc, Weak};
use std::thread::available_parallelism;
use tokio::sync::Semaphore;

/// Bytes of JSON that are worked on where they are: less than a millisecond of work.
pub(super) const SMALL_BYTES_MAX: usize = 32 << 10;
/// The same of protobuf and of decompression: about what exporters send as one batch. On threads of their own such requests
/// cost a tenth more CPU and half as much memory again.
pub(super) const BATCH_BYTES_MAX: usize = 512 << 10;

/// The places for large requests.
#[derive(Debug, Clone)]
pub struct Decoding(Arc<Semaphore>);

/// Whether anybody still waits for what is worked on.
#[derive(Debug, Default)]
pub(super) struct Wanted(Option<Weak<()>>);

impl Wanted {
    pub(super) fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|waiting| waiting.strong_count() == 0)
    }
}

impl Default for Decoding {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get))))
    }
}

impl Decoding {
    /// Works on something small here, on something large elsewhere. When the future is dropped, work that has not begun does
    /// not begin.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        is_small: bool,
        work: impl FnOnce(&Wanted) -> T + Send + 'static,
    ) -> T {
        if is_small {
            return work(&Wanted::default());
        }
        self.run_aside(work).await
    }

    /// Works on something large.
    pub(super) async fn run_aside<T: Send + 'static>(&self, work: impl FnOnce(&Wanted) -> T + Send + 'static) -> T {
        // never closed
        let place = Arc::clone(&self.0).acquire_owned().await.ok();
        let waiting = Arc::new(());
        let wanted = Wanted(Some(Arc::downgrade(&waiting)));
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&wanted);
            drop(place);
            done
        });
        let done = working.await;
        drop(waiting);
        match done {
            Ok(done) => done,
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            // the runtime ends, and all that waits with it
            Err(_) => std::future::pending().await,
        }
    }
}

/// Makes room for others in the middle of many small pieces of work.
#[derive(Debug, Default)]
pub(super) struct Pace {
    bytes: usize,
}

/// What a piece of work costs beside its bytes.
const PIECE_BYTES: usize = 64;

impl Pace {
    /// A piece of work on so many bytes is done.
    pub(super) async fn after(&mut self, bytes: usize) {
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
        let decoding = Decoding::default();
        assert_eq!(decoding.run(true, |_| thread::current().id()).await, here);
        assert_ne!(decoding.run(false, |_| thread::current().id()).await, here);
    }

    #[tokio::test]
    async fn no_more_is_worked_on_at_once_than_there_are_places_and_nothing_that_nobody_waits_for() {
        let decoding = Decoding(Arc::new(Semaphore::new(1)));
        let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let first = tokio::spawn({
            let decoding = decoding.clone();
            async move { decoding.run_aside(move |_| wait.recv().is_ok()).await }
        });
        while decoding.0.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let given_up = Box::pin(decoding.run_aside(|_| panic!("nobody waits for it")));
        assert_eq!(given_up.now_or_never(), None::<()>);
        go.send(()).unwrap();
        assert!(first.await.unwrap());
        assert!(!decoding.run_aside(|wanted| wanted.is_over()).await);
    }

    #[tokio::test]
    async fn work_can_see_that_nobody_waits_any_more() {
        let decoding = Decoding::default();
        let (seen, sees) = tokio::sync::oneshot::channel();
        let mut work = Box::pin(decoding.run_aside(move |wanted| {
            while !wanted.is_over() {
                thread::yield_now();
            }
            seen.send(()).unwrap();
        }));
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        sees.await.unwrap();
    }
}
