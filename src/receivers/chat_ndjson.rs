//! Many pairs in one request, one a line, answered by one line each while the next ones arrive.
//!
//! ```text
//! {"request":..,"response":..}   ->  {"line":1,"session_id":..,"span_id":..,"trace_id":..}
//! {"request":..                  ->  {"line":2,"status":422,"detail":[..]}
//! (a blank line)                     counted, not answered
//! {"request":..,"response":..}   ->  {"line":4,"status":503,"detail":".."}    full for longer than our patience
//! ```
//!
//! Memory does not grow with the body: a line within its limit, a buffer, and answers up to a bound. While answers are
//! not read, reading waits; a sender that reads only once it has sent all is told so at the line where that ended.

use super::Receivers;
use super::body_stream::{Broken, Lines, Next, Progress};
use super::chat::{IngestError, Taken};
use super::chat_shapes::Source;
use super::patience::{PATIENCE, Patience};
use crate::telemetry::Receiver;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Answers are handed over in pieces of about this size, or when nothing more has arrived.
const PIECE_BYTES: usize = 16 << 10;
/// Pieces that wait for the caller to read them: 4 MiB, answers to some 30,000 lines.
const PIECES_MAX: usize = 256;
/// Lines that may be on their way to the disk at once, so that one fsync serves many of them.
const UNDER_WAY_MAX: usize = 512;
/// How long it waits for the caller to read.
const UNREAD_MAX: Duration = Duration::from_secs(10);

/// Whether a request says that its body is one record a line.
pub(super) fn is_announced(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        essence.as_str(),
        "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonl"
            | "application/json-lines"
    )
}

/// Answers at once; the lines are read and stored while the answer is under way.
pub(super) fn answer(receivers: Arc<Receivers>, source: Source, body: Body) -> Response {
    let lines = match Lines::open(body, &source.headers, receivers.request_bytes_max) {
        Ok(lines) => lines,
        Err(error) => {
            let error = IngestError::from(error);
            receivers.count_failure(&error);
            return error.answer();
        }
    };
    let (pieces, unread) = mpsc::channel(PIECES_MAX);
    // a task of its own: a caller that does not read its answers must not stop us from reading its lines. It ends with
    // the body or the connection, whichever goes first.
    let answers = Answers { piece: String::new(), pieces };
    tokio::spawn(Drive { receivers, source, answers, under_way: VecDeque::new() }.run(lines));
    let pieces = futures_util::stream::unfold(unread, |mut unread| async move {
        let piece = unread.recv().await?;
        Some((Ok::<_, Infallible>(piece), unread))
    });
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response()
}

struct Drive {
    receivers: Arc<Receivers>,
    source: Source,
    answers: Answers,
    /// Lines that are dealt with but not answered, in order.
    under_way: VecDeque<(usize, Result<Taken, IngestError>)>,
}

/// Why it ends before the body does.
enum Stop {
    Broken(Broken),
    Unread,
    CallerGone,
}

impl Drive {
    async fn run(mut self, mut lines: Lines) {
        let mut line = 0;
        let (status, detail) = match self.take_lines(&mut lines, &mut line).await {
            Ok(()) => return self.answers.hand_over().await,
            Err(Stop::CallerGone) => return,
            Err(Stop::Broken(broken)) => {
                let status = match broken {
                    Broken::Unreadable(_) => StatusCode::BAD_REQUEST,
                    Broken::Silent => StatusCode::REQUEST_TIMEOUT,
                };
                (status, broken.to_string())
            }
            Err(Stop::Unread) => {
                const DETAIL: &str = "the answers were not read while the lines arrived; lines from here on were not \
                                      taken: read answers while sending, or send fewer lines";
                (StatusCode::SERVICE_UNAVAILABLE, DETAIL.to_owned())
            }
        };
        // what came before is taken, and says so
        while let Some((line, taken)) = self.under_way.pop_front() {
            self.answers.piece.push_str(&self.result(line, taken).await);
            self.answers.piece.push('\n');
        }
        lines.pass_over().await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            self.receivers.metrics.refuse(Receiver::Chat, 1);
        } else {
            self.receivers.metrics.reject(Receiver::Chat, 1);
        }
        let last = json!({"line": line + 1, "status": status.as_u16(), "detail": detail});
        self.answers.piece.push_str(&format!("{last}\n"));
        self.answers.hand_over().await;
    }

    /// Reads to the end; `line` counts what was dealt with.
    async fn take_lines(&mut self, lines: &mut Lines, line: &mut usize) -> Result<(), Stop> {
        let mut progress = Progress::default();
        let mut patience = Patience::new(PATIENCE);
        loop {
            let next = lines.next(&mut progress, &self.receivers.pipeline, &patience).await.map_err(Stop::Broken)?;
            let taken = match next {
                Next::End => return self.settle(0).await,
                Next::NotYet => {
                    self.settle(0).await?;
                    self.answers.flush().await?;
                    lines.arrival().await.map_err(Stop::Broken)?;
                    patience = Patience::new(PATIENCE);
                    continue;
                }
                Next::Line(record, _) if record.trim_ascii().is_empty() => None,
                Next::Line(record, room) => {
                    let place = *line + 1;
                    Some(self.source.take_patiently(&self.receivers, record, place, Some(room), &patience).await)
                }
                Next::Refused(error) => Some(Err(IngestError::from(error))),
            };
            *line += 1;
            if let Some(taken) = taken {
                patience = Patience::new(PATIENCE);
                self.under_way.push_back((*line, taken));
                self.settle(UNDER_WAY_MAX).await?;
            }
        }
    }

    /// Answers lines in order until at most `leave` are under way.
    async fn settle(&mut self, leave: usize) -> Result<(), Stop> {
        while self.under_way.len() > leave
            && let Some((line, taken)) = self.under_way.pop_front()
        {
            let result = self.result(line, taken).await;
            self.answers.add(&result).await?;
        }
        Ok(())
    }

    async fn result(&self, line: usize, taken: Result<Taken, IngestError>) -> String {
        self.receivers.result("line", line, Taken::kept(taken).await)
    }
}

/// Answers on their way to the caller.
struct Answers {
    piece: String,
    pieces: mpsc::Sender<Bytes>,
}

impl Answers {
    async fn add(&mut self, answer: &str) -> Result<(), Stop> {
        self.piece.push_str(answer);
        self.piece.push('\n');
        if self.piece.len() >= PIECE_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let place = tokio::time::timeout(UNREAD_MAX, self.pieces.reserve()).await.map_err(|_| Stop::Unread)?;
        place.map_err(|_| Stop::CallerGone)?.send(std::mem::take(&mut self.piece).into());
        Ok(())
    }

    /// The last of it, however long the caller takes to read.
    async fn hand_over(self) {
        let _caller_gone = self.pieces.send(self.piece.into()).await;
    }
}
