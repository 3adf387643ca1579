//! How much a packed file may unpack to.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// A file may unpack to so many times its bytes, and to so many bytes whatever its size. Logs of lines that are much alike
/// come to about a hundred times.
const RATIO_MAX: u64 = 250;
const UNPACKED_FREE: u64 = 256 << 20;

/// What a file of so many bytes may unpack to.
pub(super) fn unpacked_max(bytes: u64) -> u64 {
    bytes.saturating_mul(RATIO_MAX).saturating_add(UNPACKED_FREE)
}

/// The bound in words.
pub(super) fn bound(bytes: u64) -> String {
    format!(
        "{} MiB ({RATIO_MAX} times its own size and {} MiB; no setting raises that)",
        unpacked_max(bytes) >> 20,
        UNPACKED_FREE >> 20
    )
}

/// How many bytes a packed file has.
pub(super) enum Packed {
    /// As its folder or archive says.
    Bytes(u64),
    /// Nobody knows yet: so many were read so far.
    SoFar(Arc<AtomicU64>),
}

impl Packed {
    fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => *bytes,
            Self::SoFar(read) => read.load(Ordering::Relaxed),
        }
    }
}

/// What is unpacked of a file, up to a bound.
pub(super) struct Bounded<R> {
    from: R,
    packed: Packed,
    unpacked: u64,
}

impl<R> Bounded<R> {
    /// What a file unpacks to.
    pub(super) fn new(from: R, packed: Packed) -> Self {
        Self { from, packed, unpacked: 0 }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.from).poll_read(cx, into))?;
        let read = crate::numbers::to_u64(into.filled().len() - before);
        let (unpacked, bytes) = (self.unpacked.saturating_add(read), self.packed.bytes());
        if unpacked > unpacked_max(bytes) {
            into.set_filled(before);
            let why = format!("it unpacks to more than {}; unpack or split it, and import that", bound(bytes));
            return Poll::Ready(Err(io::Error::other(why)));
        }
        self.unpacked = unpacked;
        Poll::Ready(Ok(()))
    }
}

/// Counts what is read.
pub(super) struct Counted<R> {
    from: R,
    read: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, read: Arc::default() }
    }

    /// How many bytes were read, for as long as they are.
    pub(super) fn read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.from).poll_read(cx, into))?;
        let read = crate::numbers::to_u64(into.filled().len() - before);
        self.read.fetch_add(read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncBufRead + Unpin> AsyncBufRead for Counted<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().from).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.read.fetch_add(crate::numbers::to_u64(amount), Ordering::Relaxed);
        Pin::new(&mut self.from).consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, BufReader};

    #[tokio::test]
    async fn what_unpacks_to_more_than_it_may_is_given_up_there() {
        let mut read = vec![0; 1 << 20];
        let mut whole = Bounded::new(&[7_u8; 100][..], Packed::Bytes(1));
        assert_eq!(whole.read_to_end(&mut Vec::new()).await.unwrap(), 100);
        let mut larger = Bounded::new(tokio::io::repeat(7), Packed::Bytes(1 << 20));
        let mut unpacked = 0;
        let why = loop {
            match larger.read(&mut read).await {
                Ok(bytes) => unpacked += bytes,
                Err(why) => break why.to_string(),
            }
        };
        assert!(why.contains("more than 506 MiB (250 times its own size and 256 MiB"), "{why}");
        assert_eq!(unpacked, 506 << 20);
    }

    #[tokio::test]
    async fn of_what_has_no_known_size_as_much_may_be_unpacked_as_was_read_for_it() {
        let mut source = Counted::new(BufReader::new(tokio::io::repeat(7)));
        let mut unpacked = Bounded::new(&[7_u8; 100][..], Packed::SoFar(source.read()));
        unpacked.unpacked = UNPACKED_FREE;
        assert!(unpacked.read_u8().await.is_err());
        source.read_u8().await.unwrap();
        let mut unpacked = Bounded::new(tokio::io::repeat(7).take(1_000), Packed::SoFar(source.read()));
        unpacked.unpacked = UNPACKED_FREE;
        assert_eq!(unpacked.read_exact(&mut [0; 250]).await.unwrap(), 250);
        assert!(unpacked.read_u8().await.is_err());
    }
}
