//! The lines of a body without a length limit: decompressed as it arrives, in memory that does not grow with it.
//!
//! ```text
//! frames -- decoder (none, gzip, zstd, deflate, br) -- 64 KiB -- one line, within its limit, its time and its reservation
//! ```
//!
//! The number of lines is not bounded. What costs a sender nothing is: blank lines without others, and how much larger the lines
//! may be than what arrived.

use super::body::{BodyError, BodyReader, PASS_OVER_BYTES_MAX};
use super::encoding::{Coding, Decoder, explained};
use crate::numbers::to_u64;
use crate::pipeline::{IngestError, Pipeline, Reservation};
use crate::receivers::capacity_wait::{WAIT_MAX, WaitBudget};
use crate::receivers::decoding::YieldBudget;
use crate::receivers::quota::{MemoryQuota, QuotaPermit};
use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::time::Instant;
use tokio_util::io::StreamReader;

/// How long a sender may be silent between two lines.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// Decompressed bytes held beside the line under way.
const BUFFER_BYTES: usize = 64 << 10;
/// A line's buffer that is larger than this is not kept for the next line.
const LINE_BYTES_KEPT: usize = 1 << 20;

/// Blank lines of a body that has fewer others.
const BLANK_LINES_MAX: usize = 10_000;
/// How many times larger than what arrived the lines may be, once they are larger than one body may be. Deflate makes at most
/// 1,032 of one.
const EXPANSION_MAX: u64 = 1_100;
/// The part of the pipeline's memory that a decoder reserves at most: more decoders have to wait.
const DECODER_SHARE: usize = 8;

type Raw = StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>;

/// The lines of a body, one at a time.
pub(crate) struct Lines {
    source: Source,
    line: Vec<u8>,
    bytes_max: usize,
    line_timeout: Duration,
    /// Bytes of the body that have arrived.
    arrived: Arc<AtomicU64>,
    /// Bytes of lines.
    expanded: u64,
    lines: usize,
    blank_lines: usize,
    yield_budget: YieldBudget,
    _decoder_memory: Option<DecoderMemory>,
}

/// What a decoder may hold: of the quota for decoders, and of the pipeline's memory.
type DecoderMemory = (QuotaPermit, Reservation);

enum Source {
    Plain(Raw),
    Coded(BufReader<Decoder<Raw>>),
}

/// What came next.
pub(crate) enum Next {
    /// A line, which is in the buffer until the next one, and the reservation that covers it.
    Line(Reservation),
    /// A blank line.
    Blank,
    /// A line that was passed over, and why.
    Refused(BodyError),
    /// No whole line has arrived yet; a caller that holds something back should hand it over before it waits.
    NotYet,
    /// There are no more lines.
    End,
}

/// The rest of a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinesError {
    #[error("the rest of the body cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("nothing arrived for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("the line did not arrive within {0:?}")]
    TooSlow(Duration),
    #[error("the lines are {EXPANSION_MAX} times larger than the compressed body; send them with less compression")]
    ExpandsTooFar,
    #[error("more than {BLANK_LINES_MAX} blank lines, and fewer others")]
    Blank,
}

impl From<io::Error> for LinesError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(explained(error))
    }
}

/// What has arrived of the line under way.
#[derive(Default)]
pub(crate) struct LineProgress {
    reservation: Option<Reservation>,
    refused: Option<BodyError>,
    began: Option<Instant>,
}

impl Lines {
    /// Reserves memory for the decoder, and waits for it for at most [`WAIT_MAX`].
    ///
    /// # Errors
    /// If there is no memory, or the coding is not known. The body is returned, too.
    pub(crate) async fn open(
        body: Body,
        headers: &HeaderMap,
        bodies: &BodyReader,
        decoders: &MemoryQuota,
    ) -> Result<Self, (Body, BodyError)> {
        let coding = match Coding::of(headers) {
            Ok(coding) => coding,
            Err(error) => return Err((body, error.into())),
        };
        let decoder_memory = match decoder_memory(coding, &bodies.pipeline, decoders).await {
            Ok(memory) => memory,
            Err(why) => return Err((body, why.into())),
        };
        let arrived = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&arrived);
        let frames = body.into_data_stream().map_err(io::Error::other).inspect_ok(move |frame| {
            counted.fetch_add(to_u64(frame.len()), Ordering::Relaxed);
        });
        let raw = StreamReader::new(frames.boxed());
        let source = if coding.is_identity() {
            Source::Plain(raw)
        } else {
            Source::Coded(BufReader::with_capacity(BUFFER_BYTES, coding.decoder(raw)))
        };
        Ok(Self {
            source,
            line: Vec::new(),
            bytes_max: bodies.bytes_max,
            line_timeout: bodies.timeout,
            arrived,
            expanded: 0,
            lines: 0,
            blank_lines: 0,
            yield_budget: YieldBudget::default(),
            _decoder_memory: decoder_memory,
        })
    }

    /// The line that came last.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    /// The same, to keep.
    pub(crate) fn take_line(&mut self) -> Bytes {
        std::mem::take(&mut self.line).into()
    }

    /// Reads on until a line is whole, or nothing more has arrived; other tasks run in between. `progress` belongs to the
    /// line under way; pass the same one until there is a line.
    ///
    /// # Errors
    /// If the body breaks off, is not valid in its encoding, or exceeds a bound.
    pub(crate) async fn next(
        &mut self,
        progress: &mut LineProgress,
        pipeline: &Pipeline,
        wait_budget: &WaitBudget,
    ) -> Result<Next, LinesError> {
        if progress.began.is_none() {
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
            if arrived.is_empty() && progress.began.is_none() {
                return Ok(Next::End);
            }
            let (part, ends_with_newline) =
                match memchr::memchr(b'\n', arrived).and_then(|at| arrived.split_at_checked(at)) {
                    Some((part, _newline_and_rest)) => (part, true),
                    None => (arrived, false),
                };
            progress.began.get_or_insert_with(Instant::now);
            if progress.refused.is_none() {
                let appended =
                    append(&mut self.line, part, &mut progress.reservation, self.bytes_max, pipeline, wait_budget);
                progress.refused = appended.await.err();
            }
            let (is_whole, consumed) = (ends_with_newline || arrived.is_empty(), part.len());
            self.consume(consumed + usize::from(ends_with_newline)).await?;
            if is_whole {
                return self.finish(std::mem::take(progress), pipeline);
            }
        }
    }

    async fn consume(&mut self, bytes: usize) -> Result<(), LinesError> {
        self.source.reader().consume(bytes);
        self.expanded = self.expanded.saturating_add(to_u64(bytes));
        let arrived = self.arrived.load(Ordering::Relaxed);
        let is_large = self.expanded > to_u64(self.bytes_max);
        if is_large && self.expanded / EXPANSION_MAX > arrived {
            return Err(LinesError::ExpandsTooFar);
        }
        self.yield_budget.spend(bytes).await;
        Ok(())
    }

    fn finish(&mut self, progress: LineProgress, pipeline: &Pipeline) -> Result<Next, LinesError> {
        debug_assert!(self.line.len() <= self.bytes_max, "a longer line is refused while it arrives");
        if progress.refused.is_none() && self.line.trim_ascii().is_empty() {
            self.blank_lines += 1;
            let is_too_many = self.blank_lines > self.lines.max(BLANK_LINES_MAX);
            return if is_too_many { Err(LinesError::Blank) } else { Ok(Next::Blank) };
        }
        self.lines += 1;
        if let Some(reason) = progress.refused {
            return Ok(Next::Refused(reason));
        }
        let reserved = progress.reservation.map_or_else(|| pipeline.reserve(0), Ok);
        Ok(match reserved {
            Ok(reservation) => Next::Line(reservation),
            Err(reason) => Next::Refused(reason.into()),
        })
    }

    /// Waits until something arrives.
    ///
    /// # Errors
    /// If nothing does, or the line under way takes too long.
    pub(crate) async fn readable(&mut self, progress: &LineProgress) -> Result<(), LinesError> {
        let late = Instant::now() + SILENCE_MAX;
        let (until, why) = match progress.began {
            Some(began) => (late.min(began + self.line_timeout), LinesError::TooSlow(self.line_timeout)),
            None => (late, LinesError::Silent),
        };
        let arrival = tokio::time::timeout_at(until, self.source.reader().fill_buf());
        arrival.await.map_err(|_| why)??;
        Ok(())
    }

    /// Reads the rest and discards it, within a bound: a sender that is still writing does not see the answer.
    pub(crate) async fn pass_over(self, within: Duration) {
        let (mut raw, mut left) = (self.source.into_raw(), PASS_OVER_BYTES_MAX);
        let passing = async {
            while let Ok(arrived) = raw.fill_buf().await {
                let bytes = arrived.len();
                left = left.saturating_sub(bytes);
                if bytes == 0 || left == 0 {
                    return;
                }
                raw.consume(bytes);
            }
        };
        let _out_of_time = tokio::time::timeout(within, passing).await;
    }
}

/// Memory for a decoder; `None` if there is nothing to decode.
async fn decoder_memory(
    coding: Coding,
    pipeline: &Pipeline,
    decoders: &MemoryQuota,
) -> Result<Option<DecoderMemory>, IngestError> {
    if coding.is_identity() {
        return Ok(None);
    }
    let bytes = coding.decoder_bytes_max().min(pipeline.bytes_max() / DECODER_SHARE);
    let permit = tokio::time::timeout(WAIT_MAX, decoders.acquire(bytes)).await.map_err(|_| IngestError::Full)?;
    let reservation = WaitBudget::new(WAIT_MAX).retry_while_full(|| pipeline.reserve(bytes)).await?;
    Ok(Some((permit, reservation)))
}

/// Adds a part to the line, after memory for it was reserved. If that fails, the line is discarded.
async fn append(
    line: &mut Vec<u8>,
    part: &[u8],
    reservation: &mut Option<Reservation>,
    bytes_max: usize,
    pipeline: &Pipeline,
    wait_budget: &WaitBudget,
) -> Result<(), BodyError> {
    let reserved = if line.len().saturating_add(part.len()) > bytes_max {
        Err(BodyError::TooLarge { max: bytes_max })
    } else {
        let grown = wait_budget.retry_while_full(|| grow(reservation, pipeline, part.len())).await;
        grown.map_err(BodyError::from)
    };
    match reserved {
        Ok(()) => line.extend_from_slice(part),
        Err(_) => (*line, *reservation) = (Vec::new(), None),
    }
    reserved
}

fn grow(reservation: &mut Option<Reservation>, pipeline: &Pipeline, bytes: usize) -> Result<(), IngestError> {
    match reservation {
        Some(reservation) => reservation.grow(bytes),
        None => pipeline.reserve(bytes).map(|reserved| *reservation = Some(reserved)),
    }
}

impl Source {
    fn reader(&mut self) -> &mut (dyn AsyncBufRead + Send + Unpin) {
        match self {
            Self::Plain(reader) => reader,
            Self::Coded(reader) => reader,
        }
    }

    fn into_raw(self) -> Raw {
        match self {
            Self::Plain(raw) => raw,
            Self::Coded(reader) => reader.into_inner().into_source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::tests::{WINDOW_TOO_LARGE, reader, zstd_frame};
    use super::*;
    use crate::pipeline;
    use crate::telemetry::Metrics;
    use axum::http::{HeaderValue, header};
    use tokio::io::AsyncReadExt as _;

    async fn lines_of(encoding: &'static str, frames: Vec<Vec<u8>>, max: usize) -> Vec<String> {
        let (pipeline, _queue) = pipeline::channel(1 << 27, &Metrics::new().unwrap());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        let frames = futures_util::stream::iter(frames.into_iter().map(Ok::<_, io::Error>));
        let (wait_budget, mut progress, mut seen) =
            (WaitBudget::new(Duration::ZERO), LineProgress::default(), Vec::new());
        let bodies = reader(pipeline.clone(), max);
        let opened = Lines::open(Body::from_stream(frames), &headers, &bodies, &MemoryQuota::new(1 << 24)).await;
        let mut lines = opened.map_err(|(_, error)| error).unwrap();
        loop {
            match lines.next(&mut progress, &pipeline, &wait_budget).await {
                Ok(Next::Line(_reservation)) => seen.push(String::from_utf8(lines.line().to_vec()).unwrap()),
                Ok(Next::Blank) => seen.push(String::new()),
                Ok(Next::Refused(reason)) => seen.push(format!("refused: {reason}")),
                Ok(Next::NotYet) => {
                    let _next_returns_it_too = lines.readable(&progress).await;
                }
                Ok(Next::End) => return seen,
                Err(error) => {
                    seen.push(format!("broken: {error}"));
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
    async fn a_zstd_window_above_8_mib_is_refused_with_advice() {
        assert_eq!(lines_of("zstd", vec![zstd_frame(23)], 100).await, ["hi"]);
        let said = format!("broken: the rest of the body cannot be read: {WINDOW_TOO_LARGE}");
        assert_eq!(lines_of("zstd", vec![zstd_frame(24)], 100).await, [said]);
    }

    #[tokio::test]
    async fn blank_lines_have_a_bound_unless_as_many_others_came() {
        let blank = "\n".repeat(BLANK_LINES_MAX);
        let fine = lines_of("identity", vec!["x\n\n".repeat(2 * BLANK_LINES_MAX).into_bytes()], 100).await;
        assert_eq!(fine.len(), 4 * BLANK_LINES_MAX);
        let ended = lines_of("identity", vec![format!("x\n{blank} \t\nx").into_bytes()], 100).await;
        assert_eq!(ended.last().unwrap(), "broken: more than 10000 blank lines, and fewer others");
    }

    #[tokio::test]
    async fn lines_that_are_far_larger_than_what_arrived_end_the_body() {
        let text = format!("{}\n", "x".repeat(999)).repeat(10_000);
        let mut packed = Vec::new();
        async_compression::tokio::bufread::BrotliEncoder::new(text.as_bytes()).read_to_end(&mut packed).await.unwrap();
        assert!(u64::try_from(text.len()).unwrap() / EXPANSION_MAX > u64::try_from(packed.len()).unwrap());
        let (allowed, bounded) = (text.len(), 1 << 20);
        assert_eq!(lines_of("br", vec![packed.clone()], allowed).await.len(), 10_000);
        let ended = lines_of("br", vec![packed], bounded).await;
        assert!(ended.last().unwrap().starts_with("broken: the lines are 1100 times larger"), "{:?}", ended.last());
        assert!(ended.len() < 1_100, "{}", ended.len());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_reported_after_its_whole_lines() {
        let seen = lines_of("gzip", vec![b"no gzip at all".to_vec()], 100).await;
        assert!(seen.len() == 1 && seen[0].starts_with("broken: "), "{seen:?}");
    }
}
