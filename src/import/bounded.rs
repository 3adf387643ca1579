//! How much a packed file may unpack to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

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

/// What is unpacked of a file, up to a bound.
pub(super) struct Bounded<R> {
    from: R,
    /// The size of the file.
    bytes: u64,
    left: u64,
}

impl<R> Bounded<R> {
    /// What a file of so many bytes unpacks to.
    pub(super) fn new(from: R, bytes: u64) -> Self {
        Self { from, bytes, left: unpacked_max(bytes) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.from).poll_read(cx, into))?;
        let read = crate::numbers::to_u64(into.filled().len() - before);
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => {
                into.set_filled(before);
                let why = format!("it unpacks to more than {}; unpack or split it, and import that", bound(self.bytes));
                return Poll::Ready(Err(io::Error::other(why)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn what_unpacks_to_more_than_it_may_is_given_up_there() {
        let mut read = Vec::new();
        let mut whole = Bounded { from: &[7_u8; 100][..], bytes: 1, left: 100 };
        assert_eq!(whole.read_to_end(&mut read).await.unwrap(), 100);
        let mut larger = Bounded { from: tokio::io::repeat(7), bytes: 1 << 20, left: 1_000_000 };
        let why = larger.read_to_end(&mut read).await.unwrap_err().to_string();
        assert!(why.contains("more than 506 MiB (250 times its own size and 256 MiB"), "{why}");
        assert!(read.len() <= 100 + 1_000_000);
    }
}
