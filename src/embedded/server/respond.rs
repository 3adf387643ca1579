//! Answers: headers, and rows on their way out in whatever compression was asked for.
//!
//! ```text
//! buffer back (256 KiB, or all with wait_end_of_query)   so that an early error still gets its status
//!   -> rows -> [frames | gzip zstd deflate br lz4] -> chunked body
//!                on an error in the middle: __exception__ block, then a broken body, never a clean end
//! ```

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, Lz4Encoder, ZlibEncoder, ZstdEncoder};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt, once, unfold};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::columns::native::frames::compress_pieces;

use crate::embedded::engine::capacity::Reservation;
use crate::embedded::engine::libchdb::Outcome;
use crate::embedded::engine::run::RunningQuery;
use crate::embedded::server::flush::{Peer, PendingAnswer};
use crate::embedded::server::headers;
use crate::embedded::server::info::ServerInfo;
use crate::embedded::wire::errors::QueryError;
use crate::sql::code;

/// What is buffer back before the status is said. Source: ClickHouse `http_response_buffer_size` is 1 MiB there.
const BUFFER_BYTES_MAX: usize = 256 << 10;
/// With `wait_end_of_query`, more than this waits on disk.
const BUFFER_IN_MEMORY_MAX: usize = 4 << 20;
const PIECE_BYTES: usize = 64 << 10;
/// As the server's own limit on idle connections.
const KEEP_ALIVE: &str = "timeout=30";

/// The body of every answer.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// How the rows go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseEncoding {
    Plain,
    Frames,
    Http(&'static str),
}

impl ResponseEncoding {
    /// What the client takes, in ClickHouse's order. Source: ClickHouse `chooseHTTPCompressionMethod`.
    pub(crate) fn choose(headers: &HeaderMap, frames: bool, http: bool) -> Self {
        if frames {
            return Self::Frames;
        }
        let accepted = headers::text_or_empty(headers, header::ACCEPT_ENCODING);
        let accepts = |wanted: &str| {
            accepted.split(',').any(|item| {
                let mut parts = item.split(';').map(str::trim);
                parts.next() == Some(wanted) && !matches!(parts.next(), Some("q=0" | "q=0.0"))
            })
        };
        let choice = ["zstd", "br", "lz4", "gzip", "deflate"].into_iter().find(|name| http && accepts(name));
        choice.map_or(Self::Plain, Self::Http)
    }
}

/// What an answer says about its query.
#[derive(Debug)]
pub(crate) struct ResponseMeta {
    pub(crate) query_id: String,
    pub(crate) format: String,
    pub(crate) encoding: ResponseEncoding,
    /// Unguessable, so that rows cannot contain an exception block.
    pub(crate) exception_tag: String,
    /// Whom the answer goes to.
    pub(crate) peer: Peer,
    /// Set once the request is read to its end.
    pub(crate) answering: Option<PendingAnswer>,
}

/// Rows to the client: all at once when they are few or were waited for, streamed otherwise.
pub(crate) async fn rows(
    info: &ServerInfo,
    meta: &ResponseMeta,
    reservation: Reservation,
    mut running: RunningQuery,
    wait: bool,
) -> Response<AnswerBody> {
    let mut buffer = ResponseBuffer::new(wait, reservation);
    let complete = loop {
        let Some(piece) = running.piece().await else { break true };
        match buffer.push(piece, info).await {
            Ok(true) => {}
            Ok(false) => break false,
            Err(error) => return failed(info, meta, &spill_failed(&error)),
        }
    };
    if !complete {
        let mut response = head(info, meta, &Outcome::default());
        *response.body_mut() = encode(meta.encoding, stream_rows(info, meta, buffer, running));
        return response;
    }
    match running.end().await {
        Err(error) => failed(info, meta, &error),
        Ok(outcome) => {
            let mut response = head(info, meta, &outcome);
            match buffer.into_body(meta.encoding).await {
                Ok(body) => *response.body_mut() = body,
                Err(error) => return failed(info, meta, &spill_failed(&error)),
            }
            response
        }
    }
}

/// An answer that keeps something until it is sent or lost.
pub(crate) fn keeping(answer: Response<AnswerBody>, kept: impl Send + 'static) -> Response<AnswerBody> {
    answer.map(|body| kept_with(body, kept))
}

fn kept_with(body: AnswerBody, kept: impl Send + 'static) -> AnswerBody {
    BodyKeeping { body, _kept: Box::new(kept) }.boxed_unsync()
}

/// A body and what lives as long.
struct BodyKeeping {
    body: AnswerBody,
    _kept: Box<dyn Send>,
}

impl Body for BodyKeeping {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The answer to a statement that is done.
pub(crate) fn done(info: &ServerInfo, meta: &ResponseMeta, outcome: Outcome) -> Response<AnswerBody> {
    let mut response = head(info, meta, &outcome);
    if !outcome.bytes.is_empty() {
        let pieces = once(async move { Ok(Bytes::from(outcome.bytes)) }).boxed();
        *response.body_mut() = encode(meta.encoding, Pieces { pieces, broken: None });
        return response;
    }
    // a statement without a result has no format
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_ENCODING);
    headers.remove("x-clickhouse-format");
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}

/// The answer to a statement that failed before it answered anything.
pub(crate) fn failed(info: &ServerInfo, meta: &ResponseMeta, error: &QueryError) -> Response<AnswerBody> {
    let mut response = text(error.status(), error.body(&info.version));
    let headers = response.headers_mut();
    set(headers, HeaderName::from_static("x-clickhouse-exception-code"), &error.code.to_string());
    set(headers, HeaderName::from_static("x-clickhouse-query-id"), &meta.query_id);
    set(headers, HeaderName::from_static("x-clickhouse-server-display-name"), &info.display_name);
    set(headers, HeaderName::from_static("x-clickhouse-timezone"), &info.timezone);
    set(headers, HeaderName::from_static("x-clickhouse-exception-tag"), &meta.exception_tag);
    set(headers, HeaderName::from_static("x-clickhouse-summary"), &summary(&Outcome::default()));
    response
}

/// What a server answers when it is asked whether it is there, with the type that ClickHouse gives it.
pub(crate) fn ok() -> Response<AnswerBody> {
    let mut response = text(StatusCode::OK, "Ok.\n");
    let html = HeaderValue::from_static("text/html; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

/// A short plain answer.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(full(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn full(bytes: Bytes) -> AnswerBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn head(info: &ServerInfo, meta: &ResponseMeta, outcome: &Outcome) -> Response<AnswerBody> {
    let mut response = Response::new(full(Bytes::new()));
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: &str| set(headers, HeaderName::from_static(name), value);
    put("content-type", crate::embedded::wire::formats::content_type(&meta.format));
    put("x-clickhouse-query-id", &meta.query_id);
    put("x-clickhouse-format", &meta.format);
    put("x-clickhouse-server-display-name", &info.display_name);
    put("x-clickhouse-timezone", &info.timezone);
    put("x-clickhouse-exception-tag", &meta.exception_tag);
    put("x-clickhouse-summary", &summary(outcome));
    put("keep-alive", KEEP_ALIVE);
    if let ResponseEncoding::Http(name) = meta.encoding {
        put("content-encoding", name);
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // a query id may hold anything; what no header can carry is left out
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Numbers as strings. Source: ClickHouse docs, "HTTP interface", `X-ClickHouse-Summary`.
fn summary(outcome: &Outcome) -> String {
    let elapsed_ns =
        std::time::Duration::try_from_secs_f64(outcome.elapsed_seconds).map_or(0, |elapsed| elapsed.as_nanos());
    format!(
        "{{\"read_rows\":\"{}\",\"read_bytes\":\"{}\",\"written_rows\":\"{}\",\"written_bytes\":\"{}\",\
         \"total_rows_to_read\":\"{}\",\"result_rows\":\"{}\",\"result_bytes\":\"{}\",\"elapsed_ns\":\"{elapsed_ns}\"}}",
        outcome.read_rows,
        outcome.read_bytes,
        outcome.written_rows,
        outcome.written_bytes,
        outcome.read_rows,
        outcome.result_rows,
        outcome.result_bytes,
    )
}

fn spill_failed(error: &io::Error) -> QueryError {
    QueryError::new(code::ABORTED, &format!("Cannot keep the result until the query ends: {error}"))
}

/// Rows that wait for the status to be known.
struct ResponseBuffer {
    wait: bool,
    memory: VecDeque<Bytes>,
    bytes: usize,
    /// For what is in memory.
    reservation: Reservation,
    /// Unlinked already: it is gone when it is closed.
    spilled: Option<tokio::fs::File>,
}

impl ResponseBuffer {
    fn new(wait: bool, reservation: Reservation) -> Self {
        Self { wait, memory: VecDeque::new(), bytes: 0, reservation, spilled: None }
    }

    /// Takes a piece; false when no more should be buffer.
    async fn push(&mut self, piece: Bytes, info: &ServerInfo) -> io::Result<bool> {
        self.bytes += piece.len();
        // a small answer is always buffer: it is not more than the connection itself takes
        let fits = self.bytes <= PIECE_BYTES || self.spilled.is_some() || self.reservation.grow_to(self.bytes);
        if self.wait && (self.bytes > BUFFER_IN_MEMORY_MAX || !fits) && self.spilled.is_none() {
            self.spilled = Some(spill(info).await?);
        }
        self.memory.push_back(piece);
        if let Some(file) = &mut self.spilled {
            while let Some(piece) = self.memory.pop_front() {
                file.write_all(&piece).await?;
            }
        }
        Ok(self.wait || fits && self.bytes <= BUFFER_BYTES_MAX)
    }

    async fn into_body(mut self, encoding: ResponseEncoding) -> io::Result<AnswerBody> {
        if let Some(mut file) = self.spilled.take() {
            file.flush().await?;
            file.rewind().await?;
            let pieces = ReaderStream::with_capacity(file, PIECE_BYTES).boxed();
            return Ok(encode(encoding, Pieces { pieces, broken: None }));
        }
        if encoding == ResponseEncoding::Plain {
            let mut all = BytesMut::with_capacity(self.bytes);
            self.memory.iter().for_each(|piece| all.extend_from_slice(piece));
            return Ok(kept_with(full(all.freeze()), self.reservation));
        }
        let pieces = futures_util::stream::iter(self.memory.into_iter().map(Ok)).boxed();
        Ok(kept_with(encode(encoding, Pieces { pieces, broken: None }), self.reservation))
    }
}

async fn spill(info: &ServerInfo) -> io::Result<tokio::fs::File> {
    let path = info.tmp_dir.join(format!("result-{}", crate::random::letters()));
    let file = tokio::fs::File::options().read(true).write(true).create_new(true).open(&path).await?;
    tokio::fs::remove_file(&path).await?;
    Ok(file)
}

/// Bytes on their way out; when `broken` is set at their end, the body must not end cleanly.
struct Pieces {
    pieces: BoxStream<'static, io::Result<Bytes>>,
    broken: Option<(Arc<AtomicBool>, watch::Receiver<()>)>,
}

fn stream_rows(info: &ServerInfo, meta: &ResponseMeta, buffer: ResponseBuffer, running: RunningQuery) -> Pieces {
    struct State {
        buffer: Option<ResponseBuffer>,
        running: Option<RunningQuery>,
        broken: Arc<AtomicBool>,
        version: String,
        tag: String,
    }
    let broken = Arc::new(AtomicBool::new(false));
    let (version, tag) = (info.version.clone(), meta.exception_tag.clone());
    let state = State { buffer: Some(buffer), running: Some(running), broken: broken.clone(), version, tag };
    let pieces = unfold(state, |mut state| async move {
        if let Some(piece) = state.buffer.as_mut().and_then(|buffer| buffer.memory.pop_front()) {
            return Some((Ok(piece), state));
        }
        state.buffer = None;
        let mut running = state.running.take()?;
        if let Some(piece) = running.piece().await {
            state.running = Some(running);
            return Some((Ok(piece), state));
        }
        let error = running.end().await.err()?;
        state.broken.store(true, Ordering::Release);
        Some((Ok(exception_block(&error.body(&state.version), &state.tag)), state))
    });
    Pieces { pieces: pieces.boxed(), broken: Some((broken, meta.peer.flushes.clone())) }
}

/// Source: ClickHouse 25.11 `WriteBufferFromHTTPServerResponse.cpp`; the length counts the message's line end.
fn exception_block(message: &str, tag: &str) -> Bytes {
    format!("\r\n__exception__\r\n{tag}\r\n{message}{} {tag}\r\n__exception__\r\n", message.len()).into()
}

fn encode(encoding: ResponseEncoding, rows: Pieces) -> AnswerBody {
    let Pieces { pieces, broken } = rows;
    let encoded: BoxStream<'static, io::Result<Bytes>> = match encoding {
        ResponseEncoding::Plain => pieces,
        ResponseEncoding::Frames => pieces
            .map(|piece| {
                let mut frame = Vec::new();
                compress_pieces(&piece?, &mut frame);
                Ok(Bytes::from(frame))
            })
            .boxed(),
        ResponseEncoding::Http(name) => ReaderStream::with_capacity(compressor(name, pieces), PIECE_BYTES).boxed(),
    };
    let end = unfold(broken, |broken| async move {
        let (broken, mut flushes) = broken?;
        if !broken.load(Ordering::Acquire) {
            return None;
        }
        // what was said so far must be out before the connection breaks
        flushes.mark_unchanged();
        let _connection_gone = flushes.changed().await;
        Some((Err(io::Error::other("the query failed after its answer had begun")), None))
    });
    StreamBody::new(encoded.chain(end).map(|piece| piece.map(Frame::data))).boxed_unsync()
}

fn compressor(name: &str, pieces: BoxStream<'static, io::Result<Bytes>>) -> Pin<Box<dyn AsyncRead + Send>> {
    let raw = StreamReader::new(pieces);
    match name {
        "zstd" => Box::pin(ZstdEncoder::with_quality(raw, Level::Precise(1))),
        "lz4" => Box::pin(Lz4Encoder::with_quality(raw, Level::Fastest)),
        "gzip" => Box::pin(GzipEncoder::with_quality(raw, Level::Precise(3))),
        "deflate" => Box::pin(ZlibEncoder::with_quality(raw, Level::Precise(3))),
        "br" => Box::pin(BrotliEncoder::with_quality(raw, Level::Precise(1))),
        _ => Box::pin(raw.take(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exception_block_is_the_one_clients_look_for() {
        let block = exception_block("Code: 159. DB::Exception: x\n", "abcdefghijklmnop");
        assert_eq!(
            &block[..],
            b"\r\n__exception__\r\nabcdefghijklmnop\r\nCode: 159. DB::Exception: x\n28 abcdefghijklmnop\r\n__exception__\r\n"
        );
    }

    #[test]
    fn an_encoding_is_one_that_the_client_takes_unless_there_is_to_be_none() {
        let mut headers = HeaderMap::new();
        headers.insert("accept-encoding", HeaderValue::from_static("gzip;q=0, deflate, br"));
        assert_eq!(ResponseEncoding::choose(&headers, false, false), ResponseEncoding::Plain);
        assert_eq!(ResponseEncoding::choose(&headers, false, true), ResponseEncoding::Http("br"));
        assert_eq!(ResponseEncoding::choose(&headers, true, true), ResponseEncoding::Frames);
    }
}
