//! Answers to lines, on their way to a caller who may not read them.
//!
//! ```text
//! line answered -> piece of about 16 KiB, with its room -> queue -> response body -> caller
//! ```
//!
//! The queue of one request is bounded, and so are the bytes of all queues together. A caller who takes nothing for
//! [`CUT_AFTER`] gives up what is queued.

use crate::receivers::share;
use crate::receivers::share::Share;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Answers are handed over in pieces of about this size, or when nothing more has arrived.
const PIECE_BYTES: usize = 16 << 10;
/// Pieces of one request that wait for the caller to read them: 4 MiB, answers to some 30,000 lines.
const PIECES_MAX: usize = 256;
/// How long the next lines wait for the caller to read.
const UNREAD_MAX: Duration = Duration::from_secs(10);
/// How long answers wait for a caller who reads none of them.
const CUT_AFTER: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Why a line's answer cannot be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undelivered {
    Unread,
    CallerGone,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    _room: share::Taken,
}

/// What both ends of a queue see.
#[derive(Debug, Default)]
struct Shared {
    /// Gone when nobody reads any more.
    queue: Mutex<Option<mpsc::Receiver<Piece>>>,
    queued: AtomicUsize,
    taken: AtomicUsize,
    unwanted: CancellationToken,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Option<mpsc::Receiver<Piece>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.queued.load(Ordering::Acquire) == self.taken.load(Ordering::Acquire)
    }

    fn give_up(&self) {
        self.unwanted.cancel();
        let pieces = self.queue().take();
        drop(pieces);
    }
}

/// The end that answers are written to.
#[derive(Debug)]
pub(crate) struct Answers {
    piece: String,
    pieces: mpsc::Sender<Piece>,
    room: Share,
    shared: Arc<Shared>,
}

/// Sees whether the caller reads.
#[derive(Debug)]
pub(crate) struct Caller(Arc<Shared>);

/// The end that the response is made of.
struct Reader(Arc<Shared>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// A queue of answers and the body of the response that they become.
pub(crate) fn queue(room: Share) -> (Answers, Caller, Body) {
    let (pieces, queue) = mpsc::channel(PIECES_MAX);
    let shared = Arc::new(Shared { queue: Mutex::new(Some(queue)), ..Shared::default() });
    let reader = Reader(Arc::clone(&shared));
    let body = Body::from_stream(stream::poll_fn(move |cx| reader.poll(cx)));
    let caller = Caller(Arc::clone(&shared));
    (Answers { piece: String::new(), pieces, room, shared }, caller, body)
}

impl Reader {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut queue = self.0.queue();
        let Some(pieces) = queue.as_mut() else {
            return Poll::Ready(Some(Err(io::Error::other("the answers were not read"))));
        };
        pieces.poll_recv(cx).map(|piece| {
            let piece = piece?;
            self.0.taken.fetch_add(1, Ordering::AcqRel);
            Some(Ok(piece.bytes))
        })
    }
}

impl Answers {
    pub(crate) async fn add(&mut self, answer: &str) -> Result<(), Undelivered> {
        self.note(answer);
        if self.piece.len() >= PIECE_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Adds an answer without handing anything over.
    pub(crate) fn note(&mut self, answer: &str) {
        self.piece.push_str(answer);
        self.piece.push('\n');
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Undelivered> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let places = async { (self.pieces.reserve().await, self.room.take(self.piece.len()).await) };
        let (place, room) = timeout(UNREAD_MAX, places).await.map_err(|_| Undelivered::Unread)?;
        let place = place.map_err(|_| Undelivered::CallerGone)?;
        self.shared.queued.fetch_add(1, Ordering::AcqRel);
        place.send(Piece { bytes: std::mem::take(&mut self.piece).into(), _room: room });
        Ok(())
    }

    /// The last of it, as long as the caller reads now and then.
    pub(crate) async fn hand_over(mut self) {
        while self.flush().await == Err(Undelivered::Unread) {}
    }
}

impl Caller {
    /// Waits until the caller is gone, or reads nothing for so long that what is queued is given up.
    pub(crate) async fn gives_up(&self) {
        tokio::select! {
            () = self.0.unwanted.cancelled() => {}
            () = self.takes_nothing() => self.0.give_up(),
        }
    }

    /// The same, or until everything is taken.
    pub(crate) async fn has_all(&self) {
        let all_is_taken = async {
            while !self.0.is_empty() {
                sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = self.gives_up() => {}
            () = all_is_taken => {}
        }
    }

    async fn takes_nothing(&self) {
        let (mut taken, mut since) = (0, Instant::now());
        while since.elapsed() < CUT_AFTER {
            sleep(LOOK_EVERY).await;
            let now_taken = self.0.taken.load(Ordering::Acquire);
            if now_taken != taken || self.0.is_empty() {
                (taken, since) = (now_taken, Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, StreamExt as _};

    #[tokio::test]
    async fn unread_answers_take_room_and_give_it_back_when_they_are_read_or_nobody_reads_them() {
        let room = Share::new(64 << 10);
        let (mut answers, caller, body) = queue(room.clone());
        let long = "x".repeat(PIECE_BYTES - 1);
        for _ in 0..4 {
            answers.add(&long).await.unwrap();
        }
        assert_eq!(room.bytes_free(), 0);
        // a fifth waits for the caller, whichever request asks
        let (mut others, _caller, _body) = queue(room.clone());
        assert_eq!(others.add(&long).now_or_never(), None);
        let mut stream = body.into_data_stream();
        assert_eq!(stream.next().await.unwrap().unwrap().len(), PIECE_BYTES);
        assert_eq!(room.bytes_free(), 16 << 10);
        drop(stream);
        assert_eq!(room.bytes_free(), 64 << 10);
        assert_eq!(caller.gives_up().now_or_never(), Some(()));
        assert_eq!(answers.add(&long).await, Err(Undelivered::CallerGone));
    }

    #[tokio::test]
    async fn what_is_given_up_frees_its_room_and_breaks_the_answer_off() {
        let room = Share::new(64 << 10);
        let (mut answers, caller, body) = queue(room.clone());
        answers.add(&"x".repeat(PIECE_BYTES)).await.unwrap();
        caller.0.give_up();
        assert_eq!(room.bytes_free(), 64 << 10);
        assert!(body.into_data_stream().next().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn all_that_was_queued_is_the_body() {
        let (mut answers, caller, body) = queue(Share::new(1 << 20));
        answers.add("one").await.unwrap();
        answers.note("two");
        answers.hand_over().await;
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap(), "one\ntwo\n");
        assert_eq!(caller.has_all().now_or_never(), Some(()));
    }
}
