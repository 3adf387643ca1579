//! Many captured calls in one request, one a line, each answered by one line while the next ones arrive.
//!
//! ```text
//! {"request":..,"response":..}   ->  {"line":1,"session_id":..,"span_id":..,"trace_id":..}
//! {"request":..                  ->  {"line":2,"status":422,"detail":[..]}
//! (a blank line)                     counted, not answered
//! {"request":..,"response":..}   ->  {"line":4,"status":503,"detail":".."}    no memory within WAIT_MAX
//! ```
//!
//! Memory does not grow with the body: a line within its limit, a buffer, and answers up to a bound. While answers are
//! not read, reading waits; a sender that reads only after it has sent all gets an error at the line where reading ended.

use super::answers::{self, AnswerSender, Undelivered};
use crate::pipeline::{IngestError, Reservation};
use crate::receivers::capacity_wait::{WAIT_MAX, WaitBudget};
use crate::receivers::chat::receiver::{ChatReceiver, QueuedCall};
use crate::receivers::chat::response::CallError;
use crate::receivers::chat::vendor::{Record, Source};
use crate::receivers::decoding::SMALL_BYTES_MAX;
use crate::receivers::http::body;
use crate::receivers::http::headers::media_type;
use crate::receivers::http::lines::{LineProgress, Lines, LinesError, Next};
use crate::telemetry::{Receiver, Signal};
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a sender that has not read its answers may go on sending lines that are not stored.
const SENDING_MAX: Duration = Duration::from_secs(300);
/// Lines that may wait for the disk at once, so that one fsync serves many of them.
const UNANSWERED_MAX: usize = 512;

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
    let (answers, watch, body) = answers::queue(receiver.answers.clone());
    // a task of its own: a caller that does not read its answers must not keep us from reading its lines. It ends with
    // the body, with the connection, or when answers are not read
    tokio::spawn(async move {
        let lines_ingest = LineIngest { receiver, source, answers, unanswered: VecDeque::new() };
        tokio::select! {
            () = watch.abandoned() => {}
            () = lines_ingest.run(lines) => watch.delivered().await,
        }
    });
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// Reads and stores the lines of one body.
struct LineIngest {
    receiver: Arc<ChatReceiver>,
    source: Arc<Source>,
    answers: AnswerSender,
    /// Lines that are queued or refused but not answered, in order.
    unanswered: VecDeque<(usize, Result<QueuedCall, CallError>)>,
}

/// Why reading ends before the body does.
enum Stop {
    Lines(LinesError),
    Undelivered(Undelivered),
    Stopping,
}

impl From<Undelivered> for Stop {
    fn from(undelivered: Undelivered) -> Self {
        Self::Undelivered(undelivered)
    }
}

impl LineIngest {
    async fn run(mut self, mut lines: Lines) {
        let mut line = 0;
        let stopping = self.receiver.stopping.clone();
        let mut pass_over = body::PASS_OVER_TIMEOUT;
        let (status, detail) = match self.read_lines(&mut lines, &mut line, &stopping).await {
            Ok(()) => return self.answers.finish().await,
            Err(Stop::Undelivered(Undelivered::CallerGone)) => return,
            Err(Stop::Lines(error)) => (status(&error), error.to_string()),
            Err(Stop::Stopping) => (StatusCode::SERVICE_UNAVAILABLE, IngestError::Stopping.to_string()),
            Err(Stop::Undelivered(Undelivered::Unread)) => {
                const DETAIL: &str = "the answers were not read while the lines arrived; lines from here on were not \
                                      taken: read answers while sending, or send fewer lines";
                // this sender reads after it has sent all
                pass_over = SENDING_MAX;
                (StatusCode::SERVICE_UNAVAILABLE, DETAIL.to_owned())
            }
        };
        // the lines before are stored, and their answers report it
        while let Some((line, queued)) = self.unanswered.pop_front() {
            let result = self.result(line, queued).await;
            self.answers.push(&result);
        }
        tokio::select! {
            () = lines.pass_over(pass_over) => {}
            () = stopping.cancelled() => {}
        }
        self.receiver.ingest.count_failed(
            (Signal::Traces, Receiver::Chat),
            1,
            status == StatusCode::SERVICE_UNAVAILABLE,
        );
        self.answers.push(&json!({"line": line + 1, "status": status.as_u16(), "detail": detail}).to_string());
        self.answers.finish().await;
    }

    /// Reads to the end of the body; `line` is the number of the last line that was handled.
    async fn read_lines(
        &mut self,
        lines: &mut Lines,
        line: &mut usize,
        stopping: &CancellationToken,
    ) -> Result<(), Stop> {
        let mut progress = LineProgress::default();
        let mut wait_budget = WaitBudget::new(WAIT_MAX);
        loop {
            if stopping.is_cancelled() {
                return Err(Stop::Stopping);
            }
            let next =
                lines.next(&mut progress, &self.receiver.ingest.pipeline, &wait_budget).await.map_err(Stop::Lines)?;
            let queued = match next {
                Next::End => return self.settle(0).await,
                Next::NotYet => {
                    self.settle(0).await?;
                    self.answers.flush().await?;
                    tokio::select! {
                        arrived = lines.readable(&progress) => arrived.map_err(Stop::Lines)?,
                        () = stopping.cancelled() => {}
                    }
                    wait_budget = WaitBudget::new(WAIT_MAX);
                    continue;
                }
                Next::Blank => {
                    *line += 1;
                    continue;
                }
                Next::Line(reservation) => self.queue(lines, *line + 1, reservation, &wait_budget).await,
                Next::Refused(error) => Err(CallError::from(error)),
            };
            *line += 1;
            wait_budget = WaitBudget::new(WAIT_MAX);
            self.unanswered.push_back((*line, queued));
            self.settle(UNANSWERED_MAX).await?;
        }
    }

    async fn queue(
        &self,
        lines: &mut Lines,
        place: usize,
        reservation: Reservation,
        wait_budget: &WaitBudget,
    ) -> Result<QueuedCall, CallError> {
        let record = if lines.line().len() > SMALL_BYTES_MAX {
            Record::Owned(lines.take_line())
        } else {
            Record::Borrowed(lines.line())
        };
        self.source.queue_patiently(&self.receiver, record, place, Some(reservation), wait_budget).await
    }

    /// Answers lines in order until at most `leave` are unanswered.
    async fn settle(&mut self, leave: usize) -> Result<(), Stop> {
        while self.unanswered.len() > leave
            && let Some((line, queued)) = self.unanswered.pop_front()
        {
            let result = self.result(line, queued).await;
            self.answers.send(&result).await?;
        }
        Ok(())
    }

    async fn result(&self, line: usize, queued: Result<QueuedCall, CallError>) -> String {
        self.receiver.result("line", line, QueuedCall::acked(queued).await)
    }
}

fn status(error: &LinesError) -> StatusCode {
    match error {
        LinesError::Unreadable(_) | LinesError::Blank => StatusCode::BAD_REQUEST,
        LinesError::ExpandsTooFar => StatusCode::PAYLOAD_TOO_LARGE,
        LinesError::Silent | LinesError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
    }
}
