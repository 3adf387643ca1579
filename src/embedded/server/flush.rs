//! A connection's socket: it tells when hyper has written out everything it holds, fails when its reader stalls, and
//! keeps the end of what the client says from hyper while the client may still wait for its answer.
//!
//! hyper drops what it still buffers when a body fails. An answer that has to break off waits for the flush first, so
//! that the client sees why. And hyper drops a request whose client has closed its side, though one that says nothing
//! more may well read on: it gets [`HALF_CLOSED_MAX`] from then, or from the last bytes that it took.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use crate::embedded::engine::capacity::Demand;

/// How long an answer is waited for after its client has closed its side: it may be gone.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(5);
/// How long the end is kept from hyper while the body is being read: hyper may have all of the body already, and the request would be
/// dropped if its end came before the body's reader has seen that. A body that was cut off fails after this time.
const BODY_END_MAX: Duration = Duration::from_secs(1);
/// How long a reader may stall while others wait for its query's place.
const STALLED_ON_DEMAND_MAX: Duration = Duration::from_secs(1);

/// The client, as the requests on its connection see it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Told of every flush of the connection.
    pub(crate) flushes: watch::Receiver<()>,
    answering: Arc<AtomicUsize>,
    reading: Arc<AtomicBool>,
}

impl Peer {
    /// It has said all that it will, and waits for an answer until this is dropped.
    pub(crate) fn expect_answer(&self) -> PendingAnswer {
        self.answering.fetch_add(1, Ordering::AcqRel);
        PendingAnswer(self.answering.clone())
    }

    /// Whether its body is being read: then the client's end may be the end of a request that is not whole.
    pub(crate) fn is_read(&self, reading: bool) {
        self.reading.store(reading, Ordering::Release);
    }
}

/// An answer is due.
#[derive(Debug)]
pub(crate) struct PendingAnswer(Arc<AtomicUsize>);

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// hyper flushes the socket only after its own buffer is empty.
pub(crate) struct FlushNotify {
    stream: TcpStream,
    told: watch::Sender<()>,
    stalled_after: Duration,
    demand: Demand,
    /// Since when a write waits, and when it is looked at again.
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
    /// It has sent something since it was last sent anything.
    asked: bool,
    answering: Arc<AtomicUsize>,
    reading: Arc<AtomicBool>,
    /// When its client closed its side or, later, took something.
    half_closed: Option<Instant>,
    half_closed_check: Pin<Box<Sleep>>,
}

impl FlushNotify {
    /// A write that gets rid of nothing for `stalled_after`, or for less while places are wanted, fails with `TimedOut`.
    pub(crate) fn new(stream: TcpStream, stalled_after: Duration, demand: Demand) -> (Self, Peer) {
        let (told, flushes) = watch::channel(());
        let (answering, reading) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let peer = Peer { flushes, answering: answering.clone(), reading: reading.clone() };
        let half_closed_check = Box::pin(tokio::time::sleep(Duration::ZERO));
        let (stalled, half_closed) = (None, None);
        let socket = Self {
            stream,
            told,
            stalled_after,
            demand,
            stalled,
            asked: false,
            answering,
            reading,
            half_closed,
            half_closed_check,
        };
        (socket, peer)
    }

    fn or_stalled(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.stalled = None;
            self.asked = false;
            self.half_closed = self.half_closed.map(|_before| Instant::now());
            return wrote;
        }
        let look_after = STALLED_ON_DEMAND_MAX.min(self.stalled_after);
        loop {
            let (since, look) =
                self.stalled.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(look_after))));
            ready!(look.as_mut().poll(cx));
            if since.elapsed() >= self.stalled_after || self.demand.is_any() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            look.as_mut().reset(Instant::now() + look_after);
        }
    }

    /// Ready when the client is taken to be gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let closed = *self.half_closed.get_or_insert_with(Instant::now);
            let waits = self.asked || self.answering.load(Ordering::Acquire) > 0;
            let kept_for = match self.reading.load(Ordering::Acquire) {
                true => BODY_END_MAX,
                false if waits => HALF_CLOSED_MAX,
                false => Duration::ZERO,
            };
            if closed.elapsed() >= kept_for {
                return Poll::Ready(());
            }
            self.half_closed_check.as_mut().reset(closed + kept_for);
            ready!(self.half_closed_check.as_mut().poll(cx));
        }
    }
}

impl AsyncRead for FlushNotify {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.half_closed.is_none() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            if buf.filled().len() > before || buf.remaining() == 0 {
                self.asked = true;
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_gone(cx).map(Ok)
    }
}

impl AsyncWrite for FlushNotify {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.or_stalled(cx, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.told.send_replace(());
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.or_stalled(cx, wrote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn pair(stalled_after: Duration) -> (TcpStream, FlushNotify, Peer) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (socket, peer) = FlushNotify::new(accepted.unwrap().0, stalled_after, Demand::default());
        (client.unwrap(), socket, peer)
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_ends_the_write() {
        let (reader, mut socket, _peer) = pair(Duration::from_millis(20)).await;
        let error = loop {
            if let Err(error) = socket.write_all(&[0; 1 << 20]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(reader);
    }

    #[tokio::test]
    async fn who_waits_for_an_answer_is_there_until_it_is_sent() {
        let (mut client, mut socket, peer) = pair(Duration::from_secs(60)).await;
        let answer_due = peer.expect_answer();
        client.shutdown().await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), socket.read(&mut [0])).await;
        assert!(early.is_err(), "it is known to be closed, and that is kept back");
        drop(answer_due);
        socket.write_all(b"x").await.unwrap();
        assert_eq!(socket.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn an_end_that_comes_while_the_body_is_read_waits_for_the_bodys_reader() {
        let (mut client, mut socket, peer) = pair(Duration::from_secs(60)).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(socket.read(&mut [0]).await.unwrap(), 1);
        peer.is_read(true);
        client.shutdown().await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), socket.read(&mut [0])).await;
        assert!(early.is_err(), "the body's reader may not have seen its end yet");
        peer.is_read(false);
        let early = tokio::time::timeout(BODY_END_MAX, socket.read(&mut [0])).await;
        assert!(early.is_err(), "the body was whole, so its sender waits for an answer");
        peer.is_read(true);
        assert_eq!(socket.read(&mut [0]).await.unwrap(), 0, "the body was cut off");
    }
}
