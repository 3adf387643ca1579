//! Answers to lines, on their way to a caller who may not read them.
//!
//! ```text
//! line answered -> chunk of about 16 KiB, with its quota -> queue -> response body -> caller
//! ```
//!
//! The queue of one request is bounded, and so are the bytes of all queues together. If a caller reads nothing for
//! [`STALLED_AFTER`], the queued answers are discarded.

use crate::locks::locked;
use crate::receivers::quota::{MemoryQuota, QuotaPermit};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Answers are queued in chunks of about this size, or earlier if nothing more has arrived.
const CHUNK_BYTES: usize = 16 << 10;
/// Chunks of one request that wait for the caller to read them: 4 MiB, answers to some 30,000 lines.
const CHUNKS_MAX: usize = 256;
/// How long the next lines wait for the caller to read.
const UNREAD_MAX: Duration = Duration::from_secs(10);
/// How long answers wait for a caller who reads none of them.
const STALLED_AFTER: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Why a line's answer cannot be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undelivered {
    Unread,
    CallerGone,
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    _permit: QuotaPermit,
}

/// What both ends of a queue see.
#[derive(Debug, Default)]
struct Shared {
    /// `None` once nobody reads any more.
    queue: Mutex<Option<mpsc::Receiver<Chunk>>>,
    queued: AtomicUsize,
    /// At most `queued`.
    read: AtomicUsize,
    abandoned: CancellationToken,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Option<mpsc::Receiver<Chunk>>> {
        locked(&self.queue)
    }

    fn is_empty(&self) -> bool {
        // `read` first: it never exceeds what was queued before it was read
        let read = self.read.load(Ordering::Acquire);
        let queued = self.queued.load(Ordering::Acquire);
        debug_assert!(read <= queued, "only a queued chunk is read");
        queued == read
    }

    /// Discards what is queued. Chunks are dropped after the lock is released.
    fn give_up(&self) {
        self.abandoned.cancel();
        let chunks = self.queue().take();
        drop(chunks);
    }
}

/// The end that answers are written to.
#[derive(Debug)]
pub(crate) struct AnswerSender {
    chunk: String,
    chunks: mpsc::Sender<Chunk>,
    quota: MemoryQuota,
    shared: Arc<Shared>,
}

/// Observes whether the caller reads.
#[derive(Debug)]
pub(crate) struct AnswerWatch(Arc<Shared>);

/// The end that the response is made of.
struct AnswerReader(Arc<Shared>);

impl Drop for AnswerReader {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// A queue of answers and the body of the response that they become.
pub(crate) fn queue(quota: MemoryQuota) -> (AnswerSender, AnswerWatch, Body) {
    let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
    let shared = Arc::new(Shared { queue: Mutex::new(Some(queue)), ..Shared::default() });
    let reader = AnswerReader(Arc::clone(&shared));
    let body = Body::from_stream(stream::poll_fn(move |cx| reader.poll(cx)));
    let watch = AnswerWatch(Arc::clone(&shared));
    (AnswerSender { chunk: String::new(), chunks, quota, shared }, watch, body)
}

impl AnswerReader {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut queue = self.0.queue();
        let Some(chunks) = queue.as_mut() else {
            return Poll::Ready(Some(Err(io::Error::other("the answers were not read"))));
        };
        chunks.poll_recv(cx).map(|chunk| {
            let chunk = chunk?;
            self.0.read.fetch_add(1, Ordering::AcqRel);
            Some(Ok(chunk.bytes))
        })
    }
}

impl AnswerSender {
    /// Adds an answer, and queues the chunk if it is full.
    pub(crate) async fn send(&mut self, answer: &str) -> Result<(), Undelivered> {
        self.push(answer);
        if self.chunk.len() >= CHUNK_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Adds an answer without queueing anything.
    pub(crate) fn push(&mut self, answer: &str) {
        self.chunk.push_str(answer);
        self.chunk.push('\n');
    }

    /// Queues the chunk.
    pub(crate) async fn flush(&mut self) -> Result<(), Undelivered> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let permits = async { (self.chunks.reserve().await, self.quota.acquire(self.chunk.len()).await) };
        let (place, permit) = timeout(UNREAD_MAX, permits).await.map_err(|_| Undelivered::Unread)?;
        let place = place.map_err(|_| Undelivered::CallerGone)?;
        self.shared.queued.fetch_add(1, Ordering::AcqRel);
        place.send(Chunk { bytes: std::mem::take(&mut self.chunk).into(), _permit: permit });
        Ok(())
    }

    /// Queues the rest, for as long as the caller reads now and then.
    pub(crate) async fn finish(mut self) {
        while self.flush().await == Err(Undelivered::Unread) {}
    }
}

impl AnswerWatch {
    /// Waits until the caller is gone, or has read nothing for so long that the queued answers are discarded.
    pub(crate) async fn abandoned(&self) {
        tokio::select! {
            () = self.0.abandoned.cancelled() => {}
            () = self.stalled() => self.0.give_up(),
        }
    }

    /// Waits until everything is read, or [`abandoned`](Self::abandoned).
    pub(crate) async fn delivered(&self) {
        let all_is_read = async {
            while !self.0.is_empty() {
                sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = self.abandoned() => {}
            () = all_is_read => {}
        }
    }

    async fn stalled(&self) {
        let (mut read, mut since) = (0, Instant::now());
        while since.elapsed() < STALLED_AFTER {
            sleep(LOOK_EVERY).await;
            let now_read = self.0.read.load(Ordering::Acquire);
            if now_read != read || self.0.is_empty() {
                (read, since) = (now_read, Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, StreamExt as _};

    #[tokio::test]
    async fn unread_answers_hold_their_quota_until_they_are_read_or_the_caller_is_gone() {
        let quota = MemoryQuota::new(64 << 10);
        let (mut answers, watch, body) = queue(quota.clone());
        let long = "x".repeat(CHUNK_BYTES - 1);
        for _ in 0..4 {
            answers.send(&long).await.unwrap();
        }
        assert_eq!(quota.bytes_free(), 0);
        // a fifth waits for the caller, of whichever request it is
        let (mut others, _watch, _body) = queue(quota.clone());
        assert_eq!(others.send(&long).now_or_never(), None);
        let mut stream = body.into_data_stream();
        assert_eq!(stream.next().await.unwrap().unwrap().len(), CHUNK_BYTES);
        assert_eq!(quota.bytes_free(), 16 << 10);
        drop(stream);
        assert_eq!(quota.bytes_free(), 64 << 10);
        assert_eq!(watch.abandoned().now_or_never(), Some(()));
        assert_eq!(answers.send(&long).await, Err(Undelivered::CallerGone));
    }

    #[tokio::test]
    async fn abandoned_answers_release_their_quota_and_end_the_body_with_an_error() {
        let quota = MemoryQuota::new(64 << 10);
        let (mut answers, watch, body) = queue(quota.clone());
        answers.send(&"x".repeat(CHUNK_BYTES)).await.unwrap();
        watch.0.give_up();
        assert_eq!(quota.bytes_free(), 64 << 10);
        assert!(body.into_data_stream().next().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn the_body_is_all_that_was_queued() {
        let (mut answers, watch, body) = queue(MemoryQuota::new(1 << 20));
        answers.send("one").await.unwrap();
        answers.push("two");
        answers.finish().await;
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap(), "one\ntwo\n");
        assert_eq!(watch.delivered().now_or_never(), Some(()));
    }
}
