//! A request's body as it was before it was compressed, piece by piece: Content-Encoding first, frames second.
//!
//! A body comes at some pace, or its request ends: nothing for [`IDLE_MAX`], or less than [`RATE_LEAST`] on the whole
//! once [`IDLE_MAX`] is used up. Only what is spent waiting for the client counts.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http_body_util::BodyDataStream;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use crate::codings::Coding;
use crate::columns::native::frames::{FrameError, FrameReader};

use crate::embedded::engine::capacity::Demand;
use crate::embedded::wire::errors::QueryError;
use crate::numbers::to_u64;
use crate::sql::code;

/// One piece of a body, decompressed.
const PIECE_BYTES: usize = 64 << 10;
/// What is still read of a body after its query failed, so that the client gets to read the answer.
const DRAIN_BYTES_MAX: usize = 256 << 20;

/// The largest zstd window, as a power of two: 128 MiB. Source: `ZSTD_WINDOWLOG_LIMIT_DEFAULT` of the zstd library.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Source: ClickHouse `http_receive_timeout`.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// A second, as sent.
const RATE_LEAST: u64 = 4 << 10;
/// One that has a place that others wait for.
const IDLE_ON_DEMAND_MAX: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody waits.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How slow a body may be.
#[derive(Debug, Clone, Copy)]
struct Pace {
    idle_max: Duration,
    rate_least: u64,
}

impl Pace {
    const USUAL: Self = Self { idle_max: IDLE_MAX, rate_least: RATE_LEAST };

    /// Whether it is too slow after so much waiting; `idle` is the last of it.
    fn is_missed(self, received: u64, waited: Duration, idle: Duration) -> bool {
        let allowed = self.idle_max.saturating_add(Duration::from_secs(received / self.rate_least));
        idle >= self.idle_max || waited.saturating_add(idle) > allowed
    }
}

/// A body being read.
pub(crate) struct RequestBody {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    /// Bytes as they were sent.
    received: Arc<AtomicU64>,
    pace: Pace,
    /// For its bytes, until now.
    waited: Duration,
    /// Set when it has a place.
    demand: Option<Demand>,
    frames: Option<FrameReader>,
    ended: bool,
}

impl RequestBody {
    /// `encoding` is the request's Content-Encoding; `frames` whether `decompress=1` was said.
    pub(crate) fn new(incoming: Incoming, encoding: &str, frames: bool) -> Result<Self, QueryError> {
        Self::from_stream(BodyDataStream::new(incoming).map(|piece| piece.map_err(io::Error::other)), encoding, frames)
    }

    fn from_stream(
        stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        encoding: &str,
        frames: bool,
    ) -> Result<Self, QueryError> {
        let received = Arc::new(AtomicU64::new(0));
        let counter = received.clone();
        let raw = StreamReader::new(
            stream
                .inspect(move |piece| {
                    let length = piece.as_ref().map_or(0, Bytes::len);
                    counter.fetch_add(to_u64(length), Ordering::Relaxed);
                })
                .boxed(),
        );
        let Some(coding) = Coding::named(encoding) else {
            let message = format!("Unknown compression method: {encoding}");
            return Err(QueryError::new(code::NOT_IMPLEMENTED, &message));
        };
        let reader: Pin<Box<dyn AsyncRead + Send>> = Box::pin(coding.decoder(raw, ZSTD_WINDOW_LOG_MAX));
        let frames = frames.then(FrameReader::default);
        let (pace, waited, demand) = (Pace::USUAL, Duration::ZERO, None);
        Ok(Self { reader, received, pace, waited, demand, frames, ended: false })
    }

    /// From here on its request has a place: whoever waits for one gets it when the body stalls.
    pub(crate) fn holds_permit(&mut self, wanted: Demand) {
        self.demand = Some(wanted);
    }

    /// 0 at the end.
    async fn read(&mut self, into: &mut BytesMut) -> Result<usize, QueryError> {
        let began = Instant::now();
        let length = loop {
            match tokio::time::timeout(LOOK_EVERY, self.reader.read_buf(into)).await {
                Ok(read) => break read.map_err(|error| unreadable(&error))?,
                Err(_no_byte_yet) => self.check_pace(began.elapsed())?,
            }
        };
        self.waited = self.waited.saturating_add(began.elapsed());
        Ok(length)
    }

    fn check_pace(&self, idle: Duration) -> Result<(), QueryError> {
        let timeout = |message: &str| Err(QueryError::new(code::SOCKET_TIMEOUT, message));
        let wanted = self.demand.as_ref().is_some_and(Demand::is_any);
        if wanted && idle >= IDLE_ON_DEMAND_MAX {
            return timeout(
                "The data of this INSERT stalled while other queries waited for its place: send it again, faster",
            );
        }
        if self.pace.is_missed(self.received.load(Ordering::Relaxed), self.waited, idle) {
            let (idle, rate) = (self.pace.idle_max.as_secs(), self.pace.rate_least);
            return timeout(&format!(
                "Timeout exceeded while reading the request: its body has to come at {rate} bytes a second or more, \
                 and without a pause of {idle} s"
            ));
        }
        Ok(())
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, QueryError> {
        while !self.ended {
            let mut read = BytesMut::with_capacity(PIECE_BYTES);
            if self.read(&mut read).await? == 0 {
                self.ended = true;
                if let Some(frames) = self.frames.take() {
                    frames.finish().map_err(bad_frame)?;
                }
                break;
            }
            let Some(frames) = &mut self.frames else { return Ok(Some(read.freeze())) };
            let mut content = Vec::new();
            frames.push(&read, &mut content).map_err(bad_frame)?;
            if !content.is_empty() {
                return Ok(Some(content.into()));
            }
        }
        Ok(None)
    }

    /// Reads on without looking: a client that is still sending does not read its answer.
    pub(crate) async fn drain(mut self) {
        self.demand = None;
        let mut rest = DRAIN_BYTES_MAX;
        let mut read = BytesMut::with_capacity(PIECE_BYTES);
        while let Ok(length @ 1..) = self.read(&mut read).await {
            read.clear();
            match rest.checked_sub(length) {
                Some(less) => rest = less,
                None => break,
            }
        }
    }
}

fn unreadable(error: &io::Error) -> QueryError {
    if error.get_ref().is_some_and(|inner| inner.is::<hyper::Error>()) {
        return QueryError::new(code::NETWORK_ERROR, &format!("Cannot read the request: {error}"));
    }
    QueryError::new(code::CANNOT_DECOMPRESS, &format!("Cannot decompress the request: {error}"))
}

fn bad_frame(error: FrameError) -> QueryError {
    let code = match error {
        FrameError::Checksum => code::CHECKSUM_DOESNT_MATCH,
        FrameError::Method(_) => code::UNKNOWN_COMPRESSION_METHOD,
        FrameError::Size(_) | FrameError::Data | FrameError::Truncated => code::CANNOT_DECOMPRESS,
    };
    QueryError::new(code, &format!("Cannot decompress the request: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: &'static [&'static [u8]], pace: Pace) -> RequestBody {
        let sent = futures_util::stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece))));
        let mut body = RequestBody::from_stream(sent.chain(futures_util::stream::pending()), "", false).unwrap();
        body.pace = pace;
        body
    }

    #[test]
    fn a_body_may_pause_and_may_be_slow_but_not_for_long() {
        let (pace, seconds) = (Pace::USUAL, Duration::from_secs);
        assert!(!pace.is_missed(0, Duration::ZERO, seconds(29)));
        assert!(pace.is_missed(0, Duration::ZERO, seconds(30)));
        assert!(pace.is_missed(u64::MAX, Duration::ZERO, seconds(30)), "however much came before");
        assert!(!pace.is_missed(RATE_LEAST * 100, seconds(129), seconds(1)));
        assert!(pace.is_missed(RATE_LEAST * 100, seconds(129), seconds(2)), "a byte now and then is not enough");
    }

    #[tokio::test]
    async fn a_body_that_stalls_ends_with_its_reason() {
        let mut body = body(&[b"INSERT"], Pace { idle_max: Duration::from_millis(20), rate_least: 1 });
        assert_eq!(body.piece().await.unwrap().as_deref(), Some(&b"INSERT"[..]));
        let error = body.piece().await.unwrap_err();
        assert_eq!(error.code, 209);
        body.drain().await;
    }
}
