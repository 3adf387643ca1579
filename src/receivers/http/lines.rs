//! The lines of a body that has no end in sight: decompressed as it arrives, in memory that does not grow with it.
//!
//! ```text
//! frames -- decoder (none, gzip, zstd, deflate, br) -- 64 KiB -- one line, within its limit, its time and its room
//! ```
//!
//! The number of lines has no bound; what a sender gets for nothing has: blank lines without others, and how much larger the lines may
//! be than what arrived.

use super::body::{BodyError, BodyReader, PASS_OVER_BYTES_MAX};
use crate::pipeline::{IngestError, Pipeline, Reservation};
use crate::receivers::capacity_wait::{PATIENCE, WaitBudget};
use crate::receivers::decoding::Pace;
use crate::receivers::http::encoding::{Coding, Decoder, explained};
use crate::receivers::share;
use crate::receivers::share::Share;
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
/// The part of all room that a decoder takes at most: more of them have to wait.
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
    pace: Pace,
    /// What its decoder takes.
    _room: Option<(share::Taken, Reservation)>,
}

enum Source {
    Plain(Raw),
    Coded(BufReader<Decoder<Raw>>),
}

/// What came next.
pub(crate) enum Next {
    /// A line, which is there until the next one, and the room it takes.
    Line(Reservation),
    /// A line without anything in it.
    Blank,
    /// A line that was passed over, and why.
    Refused(BodyError),
    /// No line is here yet; whoever holds something back should hand it over before waiting.
    NotYet,
    /// There are no more.
    End,
}

/// Why the rest of a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
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

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(explained(error))
    }
}

/// How far the line under way has come.
#[derive(Default)]
pub(crate) struct Progress {
    room: Option<Reservation>,
    refused: Option<BodyError>,
    began: Option<Instant>,
}

impl Lines {
    /// Takes room for the decoder, of a share and of all there is, and waits for it as long as there is wait_budget.
    ///
    /// # Errors
    /// When there is none, or the coding is not known.
    pub(crate) async fn open(
        body: Body,
        headers: &HeaderMap,
        bodies: &BodyReader,
        decoders: &Share,
    ) -> Result<Self, (Body, BodyError)> {
        let coding = match Coding::of(headers) {
            Ok(coding) => coding,
            Err(error) => return Err((body, error.into())),
        };
        let room = match decoder_room(coding, &bodies.pipeline, decoders).await {
            Ok(room) => room,
            Err(why) => return Err((body, why.into())),
        };
        let arrived = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&arrived);
        let frames = body.into_data_stream().map_err(io::Error::other).inspect_ok(move |frame| {
            counted.fetch_add(u64::try_from(frame.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        });
        let raw = StreamReader::new(frames.boxed());
        let source = if coding.is_identity() {
            Source::Plain(raw)
        } else {
            Source::Coded(BufReader::with_capacity(BUFFER_BYTES, coding.decoder(raw)))
        };
        let (bytes_max, line_timeout) = (bodies.bytes_max, bodies.timeout);
        let (line, pace) = (Vec::new(), Pace::default());
        Ok(Self {
            source,
            line,
            bytes_max,
            line_timeout,
            arrived,
            expanded: 0,
            lines: 0,
            blank_lines: 0,
            pace,
            _room: room,
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

    /// Reads on until a line is whole, or nothing more is here; others get their turn in between. `progress` belongs to the
    /// line under way; give the same one until there is a line.
    ///
    /// # Errors
    /// When the body breaks off, or is not what its encoding says, or asks for more than it may.
    pub(crate) async fn next(
        &mut self,
        progress: &mut Progress,
        pipeline: &Pipeline,
        wait_budget: &WaitBudget,
    ) -> Result<Next, Broken> {
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
            let newline = memchr::memchr(b'\n', arrived);
            let part = newline.map_or(arrived, |at| arrived.get(..at).unwrap_or_default());
            progress.began.get_or_insert_with(Instant::now);
            if progress.refused.is_none() {
                let taken = take(&mut self.line, part, &mut progress.room, self.bytes_max, pipeline, wait_budget);
                progress.refused = taken.await.err();
            }
            let (is_whole, consumed) = (newline.is_some() || arrived.is_empty(), part.len());
            self.consume(consumed + usize::from(newline.is_some())).await?;
            if is_whole {
                return self.finish(std::mem::take(progress), pipeline);
            }
        }
    }

    async fn consume(&mut self, bytes: usize) -> Result<(), Broken> {
        self.source.reader().consume(bytes);
        self.expanded = self.expanded.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let arrived = self.arrived.load(Ordering::Relaxed);
        let is_large = self.expanded > u64::try_from(self.bytes_max).unwrap_or(u64::MAX);
        if is_large && self.expanded / EXPANSION_MAX > arrived {
            return Err(Broken::ExpandsTooFar);
        }
        self.pace.after(bytes).await;
        Ok(())
    }

    fn finish(&mut self, progress: Progress, pipeline: &Pipeline) -> Result<Next, Broken> {
        if progress.refused.is_none() && self.line.trim_ascii().is_empty() {
            self.blank_lines += 1;
            let is_too_many = self.blank_lines > self.lines.max(BLANK_LINES_MAX);
            return if is_too_many { Err(Broken::Blank) } else { Ok(Next::Blank) };
        }
        self.lines += 1;
        if let Some(reason) = progress.refused {
            return Ok(Next::Refused(reason));
        }
        let room = progress.room.map_or_else(|| pipeline.reserve(0), Ok);
        Ok(match room {
            Ok(room) => Next::Line(room),
            Err(reason) => Next::Refused(reason.into()),
        })
    }

    /// Waits until something arrives.
    ///
    /// # Errors
    /// When nothing does, or the line under way takes too long.
    pub(crate) async fn arrival(&mut self, progress: &Progress) -> Result<(), Broken> {
        let late = Instant::now() + SILENCE_MAX;
        let (until, why) = match progress.began {
            Some(began) => (late.min(began + self.line_timeout), Broken::TooSlow(self.line_timeout)),
            None => (late, Broken::Silent),
        };
        let arrival = tokio::time::timeout_at(until, self.source.reader().fill_buf());
        arrival.await.map_err(|_| why)??;
        Ok(())
    }

    /// Reads what is left and keeps nothing of it, within a bound: a sender that is still writing does not see the answer.
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

/// What the decoder takes; nothing without one.
async fn decoder_room(
    coding: Coding,
    pipeline: &Pipeline,
    decoders: &Share,
) -> Result<Option<(share::Taken, Reservation)>, IngestError> {
    if coding.is_identity() {
        return Ok(None);
    }
    let bytes = coding.decoder_bytes_max().min(pipeline.bytes_max() / DECODER_SHARE);
    let share = tokio::time::timeout(PATIENCE, decoders.take(bytes)).await.map_err(|_| IngestError::Full)?;
    let room = WaitBudget::new(PATIENCE).until_there_is_room(|| pipeline.reserve(bytes)).await?;
    Ok(Some((share, room)))
}

/// Adds a part to the line, room first.
async fn take(
    line: &mut Vec<u8>,
    part: &[u8],
    room: &mut Option<Reservation>,
    bytes_max: usize,
    pipeline: &Pipeline,
    wait_budget: &WaitBudget,
) -> Result<(), BodyError> {
    if line.len().saturating_add(part.len()) > bytes_max {
        (*line, *room) = (Vec::new(), None);
        return Err(BodyError::TooLarge { max: bytes_max });
    }
    let taken = wait_budget.until_there_is_room(|| grow(room, pipeline, part.len())).await;
    if taken.is_err() {
        (*line, *room) = (Vec::new(), None);
    }
    taken?;
    line.extend_from_slice(part);
    Ok(())
}

fn grow(room: &mut Option<Reservation>, pipeline: &Pipeline, bytes: usize) -> Result<(), IngestError> {
    match room {
        Some(room) => room.grow(bytes),
        None => pipeline.reserve(bytes).map(|reserved| *room = Some(reserved)),
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
        let (pipeline, _outlet) = pipeline::channel(1 << 27, &Metrics::new().unwrap());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        let frames = futures_util::stream::iter(frames.into_iter().map(Ok::<_, io::Error>));
        let (wait_budget, mut progress, mut seen) = (WaitBudget::new(Duration::ZERO), Progress::default(), Vec::new());
        let bodies = reader(pipeline.clone(), max);
        let opened = Lines::open(Body::from_stream(frames), &headers, &bodies, &Share::new(1 << 24)).await;
        let mut lines = opened.map_err(|(_, error)| error).unwrap();
        loop {
            match lines.next(&mut progress, &pipeline, &wait_budget).await {
                Ok(Next::Line(_room)) => seen.push(String::from_utf8(lines.line().to_vec()).unwrap()),
                Ok(Next::Blank) => seen.push(String::new()),
                Ok(Next::Refused(reason)) => seen.push(format!("refused: {reason}")),
                Ok(Next::NotYet) => {
                    let _next_says_it_too = lines.arrival(&progress).await;
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
    async fn what_breaks_off_is_said_after_what_was_whole() {
        let seen = lines_of("gzip", vec![b"no gzip at all".to_vec()], 100).await;
        assert!(seen.len() == 1 && seen[0].starts_with("broken: "), "{seen:?}");
    }
}
