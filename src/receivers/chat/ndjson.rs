//! Many pairs in one request, one a line, answered by one line each while the next ones arrive.
//!
//! ```text
//! {"request":..,"response":..}   ->  {"line":1,"session_id":..,"span_id":..,"trace_id":..}
//! {"request":..                  ->  {"line":2,"status":422,"detail":[..]}
//! (a blank line)                     counted, not answered
//! {"request":..,"response":..}   ->  {"line":4,"status":503,"detail":".."}    full for longer than our wait_budget
//! ```
//!
//! Memory does not grow with the body: a line within its limit, a buffer, and answers up to a bound. While answers are
//! not read, reading waits; a sender that reads only once it has sent all is told so at the line where that ended.

use super::answers::{self, Answers, Undelivered};
use crate::pipeline::{IngestError, Reservation};
use crate::receivers::capacity_wait::{PATIENCE, WaitBudget};
use crate::receivers::chat::receiver::{ChatReceiver, QueuedCall};
use crate::receivers::chat::response::CallError;
use crate::receivers::chat::vendor::{Record, Source};
use crate::receivers::decoding::SMALL_BYTES_MAX;
use crate::receivers::http::body;
use crate::receivers::http::headers::media_type;
use crate::receivers::http::lines::{Broken, Lines, Next, Progress};
use crate::telemetry::Receiver;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a sender that has not read its answers may go on sending what is not taken.
const SENDING_MAX: Duration = Duration::from_secs(300);
/// Lines that may be on their way to the disk at once, so that one fsync serves many of them.
const UNDER_WAY_MAX: usize = 512;

/// Media types of bodies with one record a line.
const LINES_MEDIA_TYPES: [&str; 5] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/json-lines",
];

/// Whether a request says that its body is one record a line.
pub(crate) fn is_announced(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media_type| LINES_MEDIA_TYPES.contains(&media_type.as_str()))
}

/// Answers at once; the lines are read and stored while the answer is under way.
pub(crate) async fn answer(receiver: Arc<ChatReceiver>, source: Arc<Source>, body: Body) -> Response {
    let opened = Lines::open(body, &source.headers, &receiver.bodies, &receiver.decoders).await;
    let lines = match opened {
        Ok(lines) => lines,
        Err((body, error)) => {
            body::pass_over(body, &source.headers).await;
            let error = CallError::from(error);
            receiver.count_failure(&error);
            return error.answer();
        }
    };
    let (answers, caller, body) = answers::queue(receiver.answers.clone());
    // a task of its own: a caller that does not read its answers must not stop us from reading its lines. It ends with
    // the body, with the caller, or when answers are not read
    tokio::spawn(async move {
        let drive = Drive { receiver, source, answers, under_way: VecDeque::new() };
        tokio::select! {
            () = caller.gives_up() => {}
            () = drive.run(lines) => caller.has_all().await,
        }
    });
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

struct Drive {
    receiver: Arc<ChatReceiver>,
    source: Arc<Source>,
    answers: Answers,
    /// Lines that are dealt with but not answered, in order.
    under_way: VecDeque<(usize, Result<QueuedCall, CallError>)>,
}

/// Why it ends before the body does.
enum Stop {
    Broken(Broken),
    Undelivered(Undelivered),
    Stopping,
}

impl From<Undelivered> for Stop {
    fn from(undelivered: Undelivered) -> Self {
        Self::Undelivered(undelivered)
    }
}

impl Drive {
    async fn run(mut self, mut lines: Lines) {
        let mut line = 0;
        let mut stopping = self.receiver.stopping.clone();
        let mut pass_over = body::PASS_OVER_TIMEOUT;
        let (status, detail) = match self.take_lines(&mut lines, &mut line, &mut stopping).await {
            Ok(()) => return self.answers.hand_over().await,
            Err(Stop::Undelivered(Undelivered::CallerGone)) => return,
            Err(Stop::Broken(broken)) => (status(&broken), broken.to_string()),
            Err(Stop::Stopping) => (StatusCode::SERVICE_UNAVAILABLE, IngestError::Stopping.to_string()),
            Err(Stop::Undelivered(Undelivered::Unread)) => {
                const DETAIL: &str = "the answers were not read while the lines arrived; lines from here on were not \
                                      taken: read answers while sending, or send fewer lines";
                // this sender reads once it has sent all
                pass_over = SENDING_MAX;
                (StatusCode::SERVICE_UNAVAILABLE, DETAIL.to_owned())
            }
        };
        // what came before is taken, and says so
        while let Some((line, taken)) = self.under_way.pop_front() {
            let result = self.result(line, taken).await;
            self.answers.note(&result);
        }
        tokio::select! {
            () = lines.pass_over(pass_over) => {}
            () = stopping.cancelled() => {}
        }
        self.receiver.ingest.count_failed(Receiver::Chat, 1, status == StatusCode::SERVICE_UNAVAILABLE);
        self.answers.note(&json!({"line": line + 1, "status": status.as_u16(), "detail": detail}).to_string());
        self.answers.hand_over().await;
    }

    /// Reads to the end; `line` counts what was dealt with.
    async fn take_lines(
        &mut self,
        lines: &mut Lines,
        line: &mut usize,
        stopping: &mut CancellationToken,
    ) -> Result<(), Stop> {
        let mut progress = Progress::default();
        let mut wait_budget = WaitBudget::new(PATIENCE);
        loop {
            if stopping.is_cancelled() {
                return Err(Stop::Stopping);
            }
            let next =
                lines.next(&mut progress, &self.receiver.ingest.pipeline, &wait_budget).await.map_err(Stop::Broken)?;
            let taken = match next {
                Next::End => return self.settle(0).await,
                Next::NotYet => {
                    self.settle(0).await?;
                    self.answers.flush().await?;
                    tokio::select! {
                        arrived = lines.arrival(&progress) => arrived.map_err(Stop::Broken)?,
                        () = stopping.cancelled() => {}
                    }
                    wait_budget = WaitBudget::new(PATIENCE);
                    continue;
                }
                Next::Blank => {
                    *line += 1;
                    continue;
                }
                Next::Line(room) => self.take(lines, *line + 1, room, &wait_budget).await,
                Next::Refused(error) => Err(CallError::from(error)),
            };
            *line += 1;
            wait_budget = WaitBudget::new(PATIENCE);
            self.under_way.push_back((*line, taken));
            self.settle(UNDER_WAY_MAX).await?;
        }
    }

    async fn take(
        &self,
        lines: &mut Lines,
        place: usize,
        room: Reservation,
        wait_budget: &WaitBudget,
    ) -> Result<QueuedCall, CallError> {
        let record = if lines.line().len() > SMALL_BYTES_MAX {
            Record::Owned(lines.take_line())
        } else {
            Record::Borrowed(lines.line())
        };
        self.source.take_patiently(&self.receiver, record, place, Some(room), wait_budget).await
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

    async fn result(&self, line: usize, taken: Result<QueuedCall, CallError>) -> String {
        self.receiver.result("line", line, QueuedCall::acked(taken).await)
    }
}

fn status(broken: &Broken) -> StatusCode {
    match broken {
        Broken::Unreadable(_) | Broken::Blank => StatusCode::BAD_REQUEST,
        Broken::ExpandsTooFar => StatusCode::PAYLOAD_TOO_LARGE,
        Broken::Silent | Broken::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
    }
}
