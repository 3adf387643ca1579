//! An export on its way to its reader, who has a limited time to take it: slow readers must not keep exports from others.
//!
//! ```text
//! pieces --task, a block at a time--> channel of one block --> body of the answer --> reader
//!            | all blocks are sent, or the time is up: the turn and the memory are released
//!                                                                 | blocks are missing: the body fails, and the connection is closed
//! ```
//!
//! The answer says its length, so an answer that was cut off cannot be taken for a whole one.

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use std::io;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::timeout;

/// Bytes that are copied out of a piece at once: all that a connection keeps of an export after its time is up.
const BLOCK_BYTES: usize = 64 << 10;
/// The time for an export of any size.
const TIME_MIN: Duration = Duration::from_secs(10);
/// An export has a second more for each of so many bytes.
const BYTES_A_SECOND: usize = 1 << 20;

/// The body of an answer of `length` bytes, which are those of the pieces. The turn ends when the last block is sent, or the time is up.
pub(super) fn body(pieces: Vec<String>, length: usize, turn: OwnedSemaphorePermit) -> Body {
    Body::from_stream(blocks(pieces, length, time_to_take(length), turn))
}

/// How long a reader may take for so many bytes.
fn time_to_take(bytes: usize) -> Duration {
    let seconds = u64::try_from(bytes / BYTES_A_SECOND).unwrap_or(u64::MAX);
    TIME_MIN.saturating_add(Duration::from_secs(seconds))
}

fn blocks(
    pieces: Vec<String>,
    length: usize,
    time: Duration,
    turn: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(1);
    // a task of its own: nobody asks for the rest of a body while its connection cannot be written to
    tokio::spawn(async move {
        let _until_it_ends = turn;
        // the body sees what is missing
        let _sent_or_late = timeout(time, send(pieces, &sender)).await;
    });
    stream::unfold(Some((receiver, length)), |state| async move {
        let (mut receiver, missing) = state?;
        match receiver.recv().await {
            Some(block) => {
                let missing = missing.saturating_sub(block.len());
                Some((Ok(block), Some((receiver, missing))))
            }
            None if missing == 0 => None,
            None => Some((Err(io::Error::new(io::ErrorKind::TimedOut, "the export was not read in time")), None)),
        }
    })
}

/// Sends all blocks; stops when the reader has gone.
async fn send(pieces: Vec<String>, sender: &Sender<Bytes>) {
    for piece in pieces {
        for block in piece.as_bytes().chunks(BLOCK_BYTES) {
            if sender.send(Bytes::copy_from_slice(block)).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn pieces() -> Vec<String> {
        vec!["a".to_owned(), "b".repeat(2 * BLOCK_BYTES), String::new(), "c".to_owned()]
    }

    fn length() -> usize {
        pieces().iter().map(String::len).sum()
    }

    async fn turn(turns: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        Arc::clone(turns).acquire_owned().await.unwrap()
    }

    #[tokio::test]
    async fn an_export_that_is_read_is_whole_and_its_turn_ends() {
        let turns = Arc::new(Semaphore::new(1));
        let blocks: Vec<_> = blocks(pieces(), length(), HOUR, turn(&turns).await).collect().await;
        let read: Vec<u8> = blocks.into_iter().flat_map(|block| block.unwrap().to_vec()).collect();
        assert_eq!(read, pieces().concat().into_bytes());
        let _is_free = turn(&turns).await;
    }

    #[tokio::test]
    async fn an_export_that_nobody_reads_ends_its_turn_and_what_is_read_later_ends_in_an_error() {
        let turns = Arc::new(Semaphore::new(1));
        let body = blocks(pieces(), length(), Duration::ZERO, turn(&turns).await);
        let _is_free_though_nothing_was_read = turn(&turns).await;
        let read: Vec<_> = body.collect().await;
        let errors: Vec<bool> = read.iter().map(Result::is_err).collect();
        assert_eq!(errors, [false, true], "the block that was on its way, and that the others are missing");
    }

    #[tokio::test]
    async fn an_export_whose_reader_has_gone_ends_its_turn() {
        let turns = Arc::new(Semaphore::new(1));
        drop(blocks(pieces(), length(), HOUR, turn(&turns).await));
        let _is_free = turn(&turns).await;
    }

    #[test]
    fn a_large_export_has_more_time() {
        assert_eq!(time_to_take(100), TIME_MIN);
        assert_eq!(time_to_take(64 << 20), TIME_MIN + Duration::from_secs(64));
    }
}
