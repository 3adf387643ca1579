//! The lines of a body that has no end in sight: decompressed as it arrives, in memory that does not grow with it.
//!
//! ```text
//! frames -- decoder (none, gzip, zstd, deflate, br) -- 64 KiB -- one line, within its limit and its room
//! ```

use super::body::{self, BodyError};
use super::patience::Patience;
use crate::pipeline::{NotTaken, Pipeline, Room};
use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio_util::io::StreamReader;

/// How long a sender may be silent in the middle of its body.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// Decompressed bytes held beside the line under way.
const BUFFER_BYTES: usize = 64 << 10;
/// A line's buffer that is larger than this is not kept for the next line.
const LINE_BYTES_KEPT: usize = 1 << 20;

type Raw = StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>;

/// The lines of a body, one at a time.
pub(super) struct Lines {
    source: Source,
    line: Vec<u8>,
    bytes_max: usize,
}

enum Source {
    Plain(Raw),
    Gzip(BufReader<GzipDecoder<Raw>>),
    Zstd(BufReader<ZstdDecoder<Raw>>),
    Deflate(BufReader<ZlibDecoder<Raw>>),
    Brotli(BufReader<BrotliDecoder<Raw>>),
}

/// What came next.
pub(super) enum Next<'l> {
    /// A line, without its end, and the room it takes.
    Line(&'l [u8], Room),
    /// A line that was passed over, and why.
    Refused(BodyError),
    /// No line is here yet; whoever holds something back should hand it over before waiting.
    NotYet,
    /// There are no more.
    End,
}

/// Why the rest of a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the rest of the body cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("nothing arrived for {} s", SILENCE_MAX.as_secs())]
    Silent,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(body::explained(error))
    }
}

/// How far the line under way has come.
#[derive(Default)]
pub(super) struct Progress {
    room: Option<Room>,
    refused: Option<BodyError>,
    has_begun: bool,
}

impl Lines {
    pub(super) fn open(body: Body, headers: &HeaderMap, line_bytes_max: usize) -> Result<Self, BodyError> {
        let encoding = headers.get(header::CONTENT_ENCODING).map_or(Ok("identity"), |value| {
            value.to_str().map_err(|_| BodyError::Encoding(String::from_utf8_lossy(value.as_bytes()).into_owned()))
        })?;
        let raw = StreamReader::new(body.into_data_stream().map_err(io::Error::other).boxed());
        let source = match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Source::Plain(raw),
            "gzip" | "x-gzip" => Source::Gzip(BufReader::with_capacity(BUFFER_BYTES, body::gzip(raw))),
            "zstd" => Source::Zstd(BufReader::with_capacity(BUFFER_BYTES, body::zstd(raw))),
            "deflate" => Source::Deflate(BufReader::with_capacity(BUFFER_BYTES, ZlibDecoder::new(raw))),
            "br" => Source::Brotli(BufReader::with_capacity(BUFFER_BYTES, BrotliDecoder::new(raw))),
            other => return Err(BodyError::Encoding(other.to_owned())),
        };
        Ok(Self { source, line: Vec::new(), bytes_max: line_bytes_max })
    }

    /// Reads on until a line is whole, or nothing more is here. `progress` belongs to the line under way; give the
    /// same one until there is a line.
    ///
    /// # Errors
    /// When the body breaks off, or is not what its encoding says.
    pub(super) async fn next(
        &mut self,
        progress: &mut Progress,
        pipeline: &Pipeline,
        patience: &Patience,
    ) -> Result<Next<'_>, Broken> {
        if !progress.has_begun {
            self.line.clear();
            if self.line.capacity() > LINE_BYTES_KEPT {
                self.line = Vec::new();
            }
        }
        loop {
            let Some(arrived) = self.source.reader().fill_buf().now_or_never() else {
                return Ok(Next::NotYet);
            };
            let arrived = arrived?;
            if arrived.is_empty() && !progress.has_begun {
                return Ok(Next::End);
            }
            let newline = memchr::memchr(b'\n', arrived);
            let part = newline.map_or(arrived, |at| arrived.get(..at).unwrap_or_default());
            progress.has_begun = true;
            if progress.refused.is_none() {
                let taken = take(&mut self.line, part, &mut progress.room, self.bytes_max, pipeline, patience);
                progress.refused = taken.await.err();
            }
            let (is_whole, consumed) = (newline.is_some() || arrived.is_empty(), part.len());
            self.source.reader().consume(consumed + usize::from(newline.is_some()));
            if is_whole {
                return self.finish(std::mem::take(progress), pipeline);
            }
        }
    }

    fn finish(&self, progress: Progress, pipeline: &Pipeline) -> Result<Next<'_>, Broken> {
        let room = progress.room.map_or_else(|| pipeline.reserve(0), Ok);
        Ok(match (progress.refused, room) {
            (Some(reason), _) => Next::Refused(reason),
            (None, Ok(room)) => Next::Line(&self.line, room),
            (None, Err(reason)) => Next::Refused(reason.into()),
        })
    }

    /// Waits until something arrives.
    ///
    /// # Errors
    /// When nothing does.
    pub(super) async fn arrival(&mut self) -> Result<(), Broken> {
        let arrival = tokio::time::timeout(SILENCE_MAX, self.source.reader().fill_buf());
        arrival.await.map_err(|_| Broken::Silent)??;
        Ok(())
    }

    /// Reads what is left and keeps nothing of it: a sender that is still writing does not hear the answer.
    pub(super) async fn pass_over(self) {
        let mut raw = self.source.into_raw();
        loop {
            let arrived = match tokio::time::timeout(SILENCE_MAX, raw.fill_buf()).await {
                Ok(Ok(arrived)) => arrived.len(),
                _ => 0,
            };
            if arrived == 0 {
                return;
            }
            raw.consume(arrived);
        }
    }
}

/// Adds a part to the line, room first.
async fn take(
    line: &mut Vec<u8>,
    part: &[u8],
    room: &mut Option<Room>,
    bytes_max: usize,
    pipeline: &Pipeline,
    patience: &Patience,
) -> Result<(), BodyError> {
    if line.len().saturating_add(part.len()) > bytes_max {
        (*line, *room) = (Vec::new(), None);
        return Err(BodyError::TooLarge { max: bytes_max });
    }
    let taken = patience.until_there_is_room(|| grow(room, pipeline, part.len())).await;
    if taken.is_err() {
        (*line, *room) = (Vec::new(), None);
    }
    taken?;
    line.extend_from_slice(part);
    Ok(())
}

fn grow(room: &mut Option<Room>, pipeline: &Pipeline, bytes: usize) -> Result<(), NotTaken> {
    match room {
        Some(room) => room.grow(bytes),
        None => pipeline.reserve(bytes).map(|reserved| *room = Some(reserved)),
    }
}

impl Source {
    fn reader(&mut self) -> &mut (dyn AsyncBufRead + Send + Unpin) {
        match self {
            Self::Plain(reader) => reader,
            Self::Gzip(reader) => reader,
            Self::Zstd(reader) => reader,
            Self::Deflate(reader) => reader,
            Self::Brotli(reader) => reader,
        }
    }

    fn into_raw(self) -> Raw {
        match self {
            Self::Plain(raw) => raw,
            Self::Gzip(reader) => reader.into_inner().into_inner(),
            Self::Zstd(reader) => reader.into_inner().into_inner(),
            Self::Deflate(reader) => reader.into_inner().into_inner(),
            Self::Brotli(reader) => reader.into_inner().into_inner(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::tests::{WINDOW_TOO_LARGE, zstd_frame};
    use super::*;
    use crate::pipeline;
    use crate::telemetry::Metrics;
    use axum::http::HeaderValue;
    use tokio::io::AsyncReadExt as _;

    async fn lines_of(encoding: &'static str, frames: Vec<Vec<u8>>, max: usize) -> Vec<String> {
        let (pipeline, _outlet) = pipeline::channel(1 << 27, &Metrics::new().unwrap());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        let frames = futures_util::stream::iter(frames.into_iter().map(Ok::<_, io::Error>));
        let mut lines = Lines::open(Body::from_stream(frames), &headers, max).unwrap();
        let (patience, mut progress, mut seen) = (Patience::new(Duration::ZERO), Progress::default(), Vec::new());
        loop {
            match lines.next(&mut progress, &pipeline, &patience).await {
                Ok(Next::Line(line, _room)) => seen.push(String::from_utf8(line.to_vec()).unwrap()),
                Ok(Next::Refused(reason)) => seen.push(format!("refused: {reason}")),
                Ok(Next::NotYet) => {
                    let _next_says_it_too = lines.arrival().await;
                }
                Ok(Next::End) => return seen,
                Err(broken) => {
                    seen.push(format!("broken: {broken}"));
                    return seen;
                }
            }
        }
    }

    #[tokio::test]
    async fn lines_come_out_whole_however_they_are_framed() {
        let text = b"one\n\ntwo\r\nthree";
        let want = ["one", "", "two\r", "three"];
        assert_eq!(lines_of("identity", text.iter().map(|byte| vec![*byte]).collect(), 100).await, want);
        assert_eq!(lines_of("identity", vec![text.to_vec()], 100).await, want);
        assert_eq!(lines_of("identity", vec![b"a\n".to_vec()], 100).await, ["a"]);
        assert_eq!(lines_of("identity", vec![], 100).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_costs_only_itself() {
        let seen = lines_of("identity", vec![b"short\n".to_vec(), vec![b'x'; 300_000], b"\nlast\n".to_vec()], 10).await;
        assert_eq!((seen.len(), seen[0].as_str(), seen[2].as_str()), (3, "short", "last"));
        assert!(seen[1].starts_with("refused: the request body is larger than 10 bytes"), "{seen:?}");
    }

    #[tokio::test]
    async fn every_encoding_is_read_as_a_stream() {
        use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
        let text: Vec<u8> = (0..20_000).flat_map(|n: u32| format!("line {n}\n").into_bytes()).collect();
        let mut packed = [const { Vec::new() }; 4];
        let [gzip, zstd, deflate, br] = &mut packed;
        GzipEncoder::new(&text[..]).read_to_end(gzip).await.unwrap();
        ZstdEncoder::new(&text[..]).read_to_end(zstd).await.unwrap();
        ZlibEncoder::new(&text[..]).read_to_end(deflate).await.unwrap();
        BrotliEncoder::new(&text[..]).read_to_end(br).await.unwrap();
        for (encoding, packed) in ["gzip", "zstd", "deflate", "br"].into_iter().zip(packed) {
            let seen = lines_of(encoding, packed.chunks(777).map(<[u8]>::to_vec).collect(), 100).await;
            assert_eq!((seen.len(), seen[19_999].as_str()), (20_000, "line 19999"), "{encoding}");
        }
    }

    #[tokio::test]
    async fn a_zstd_window_above_8_mib_is_refused_and_said() {
        assert_eq!(lines_of("zstd", vec![zstd_frame(23)], 100).await, ["hi"]);
        let said = format!("broken: the rest of the body cannot be read: {WINDOW_TOO_LARGE}");
        assert_eq!(lines_of("zstd", vec![zstd_frame(24)], 100).await, [said]);
    }

    #[tokio::test]
    async fn what_breaks_off_is_said_after_what_was_whole() {
        let seen = lines_of("gzip", vec![b"no gzip at all".to_vec()], 100).await;
        assert!(seen.len() == 1 && seen[0].starts_with("broken: "), "{seen:?}");
    }
}
