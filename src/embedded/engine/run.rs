//! A statement under way: its blocking side on a thread of the blocking pool, its rows or its data through a pipe.
//!
//! ```text
//! rows    engine --INTO OUTFILE '/proc/self/fd/N'--> pipe (64 KiB) --> RunningQuery::piece --> HTTP body
//! insert  HTTP body --> channel (4 pieces) --> insert stream --> engine
//! ```
//!
//! The pipe is what makes any format one document in bounded memory: chdb's own streaming call gives each block a
//! header and footer of its own, and its plain call holds the whole result. The client's pace is the engine's pace, and
//! a client that goes away takes the reading end with it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};

use super::job::{Job, Setup};
use super::libchdb::Outcome;
use super::sessions::Sessions;
use crate::embedded::engine::instance::Engine;
use crate::embedded::wire::errors::QueryError;
use crate::embedded::wire::native_revision::Rewriter;
use crate::embedded::wire::statement::{Insert, Rows};
use crate::sql::code;
use crate::sql::is_plain_name;

/// One read of the pipe.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces of an INSERT between the socket and the engine.
const INSERT_PIECES_MAX: usize = 4;
/// How long a query that ignores being killed is asked again.
const KILL_TRIES: usize = 200;
const KILL_PAUSE: Duration = Duration::from_millis(25);

#[cfg(target_os = "linux")]
const FD_DIR: &str = "/proc/self/fd";
#[cfg(not(target_os = "linux"))]
const FD_DIR: &str = "/dev/fd";

/// Where statements run.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) sessions: Arc<Sessions>,
}

/// A statement whose rows are being read. Dropped before its end, it is killed.
pub(crate) struct RunningQuery {
    rows: pipe::Receiver,
    end: JoinHandle<Result<Outcome, QueryError>>,
    rewriter: Option<Rewriter>,
    unservable: Option<QueryError>,
    _kill: KillOnDrop,
}

impl RunningQuery {
    /// The same, in the flavour of Native that this revision of the protocol has.
    pub(crate) fn with_native_revision(mut self, revision: u64) -> Self {
        self.rewriter = Rewriter::new(revision);
        self
    }

    /// The next bytes; `None` when the engine has closed its end, or its rows cannot be given as they were asked for:
    /// then [`end`](Self::end) says how it went.
    pub(crate) async fn piece(&mut self) -> Option<Bytes> {
        loop {
            let mut read = BytesMut::with_capacity(PIECE_BYTES);
            // a pipe does not fail to be read; if it did, the end of the query would say more
            let length = self.rows.read_buf(&mut read).await.unwrap_or(0);
            let Some(rewriter) = &mut self.rewriter else { return (length > 0).then(|| read.freeze()) };
            let rewritten = if length > 0 { rewriter.push(&read) } else { rewriter.finish() };
            match rewritten {
                Ok(blocks) if blocks.is_empty() && length > 0 => {}
                Ok(blocks) => return Some(blocks).filter(|blocks| !blocks.is_empty()),
                Err(why) => {
                    self.unservable = Some(QueryError::new(code::NOT_IMPLEMENTED, &why));
                    return None;
                }
            }
        }
    }

    /// How it ended; once.
    pub(crate) async fn end(&mut self) -> Result<Outcome, QueryError> {
        if let Some(error) = self.unservable.take() {
            return Err(error);
        }
        let outcome = joined((&mut self.end).await)?;
        if self.rewriter.as_ref().is_some_and(|rewriter| !rewriter.is_done()) {
            return Err(QueryError::new(code::ABORTED, "The rows end in the middle of a block"));
        }
        Ok(outcome)
    }
}

impl Runner {
    /// Starts a statement that prints rows in `format`.
    pub(crate) fn rows(
        &self,
        setup: Setup,
        permit: OwnedSemaphorePermit,
        text: &str,
        rows: &Rows,
        format: &str,
    ) -> Result<RunningQuery, QueryError> {
        let failed = |error: std::io::Error| QueryError::new(code::ABORTED, &format!("Cannot pipe: {error}"));
        let (reading, writing) = std::io::pipe().map_err(failed)?;
        let reading = pipe::Receiver::from_owned_fd(OwnedFd::from(reading)).map_err(failed)?;
        let format_clause = if rows.format.is_some() { String::new() } else { format!(" FORMAT {format}") };
        let ours = format!("INTO OUTFILE '{FD_DIR}/{}' APPEND{format_clause}", writing.as_raw_fd());
        let sql = rows.with_output(text, &ours, setup.readonly_in_statement());
        let (kills, format) = (rows.kills, format.to_owned());
        let finished = Arc::new(AtomicBool::new(false));
        let kill = KillOnDrop { engine: self.engine.clone(), marker: setup.marker.clone(), finished: finished.clone() };
        let runner = self.clone();
        let end = spawn_blocking(move || {
            let sql = if kills { runner.engine.with_engine_ids(&sql) } else { sql };
            let result = Job::begin(runner.engine, runner.sessions, setup, finished, permit)
                .and_then(|job| job.query(&sql, &format))
                .map_err(|error| error.without(&ours));
            drop(writing);
            result
        });
        Ok(RunningQuery { rows: reading, end, rewriter: None, unservable: None, _kill: kill })
    }

    /// Runs a statement that prints nothing to speak of. Goes on to its end even if the caller does not wait.
    pub(crate) async fn command(
        &self,
        setup: Setup,
        permit: OwnedSemaphorePermit,
        text: &str,
        format: &str,
    ) -> Result<Outcome, QueryError> {
        let (sql, format) = (text.to_owned(), format.to_owned());
        let runner = self.clone();
        let finished = Arc::new(AtomicBool::new(false));
        let run = spawn_blocking(move || {
            let job = Job::begin(runner.engine, runner.sessions, setup, finished, permit)?;
            job.query(&sql, &format)
        });
        joined(run.await)
    }

    /// Starts an INSERT; its data goes into the [`RunningInsert`].
    pub(crate) fn insert(
        &self,
        setup: Setup,
        permit: OwnedSemaphorePermit,
        text: &str,
        insert: &Insert,
    ) -> RunningInsert {
        // the line end is the end of a comment too
        let head = text.get(..insert.head_end).expect("the head of an INSERT ends within its text");
        let (sql, format) = (format!("{head}\n"), insert.format.clone());
        let (data, mut pieces) = mpsc::channel(INSERT_PIECES_MAX);
        let runner = self.clone();
        let finished = Arc::new(AtomicBool::new(false));
        let kill = KillOnDrop { engine: self.engine.clone(), marker: setup.marker.clone(), finished: finished.clone() };
        let end = spawn_blocking(move || {
            if !is_plain_name(&format) {
                let message = format!("Unknown format {format}");
                return Err(QueryError::new(code::UNKNOWN_FORMAT, &message));
            }
            let mut job = Job::begin(runner.engine, runner.sessions, setup, finished, permit)?;
            let next = || match pieces.blocking_recv() {
                Some(Piece::Data(bytes)) => Ok(Some(bytes)),
                Some(Piece::End) => Ok(None),
                None => Err(QueryError::new(code::ABORTED, "The client went away in the middle of the data")),
            };
            job.insert(&sql, &format, next)
        });
        RunningInsert { data, end, _kill: kill }
    }
}

/// An INSERT that waits for its data, then for its end. Dropped before its end, it is killed: whoever sent it sends it
/// again, and the two would run side by side.
pub(crate) struct RunningInsert {
    data: mpsc::Sender<Piece>,
    end: JoinHandle<Result<Outcome, QueryError>>,
    _kill: KillOnDrop,
}

enum Piece {
    Data(Bytes),
    End,
}

impl RunningInsert {
    /// Hands over the next bytes; false when no more are wanted.
    pub(crate) async fn piece(&self, bytes: Bytes) -> bool {
        bytes.is_empty() || self.data.send(Piece::Data(bytes)).await.is_ok()
    }

    /// Says that the data is complete and waits until it is stored.
    pub(crate) async fn end(self) -> Result<Outcome, QueryError> {
        // nobody listens any more when it has failed already, which is what `end` will say
        let _failed_before = self.data.send(Piece::End).await;
        joined(self.end.await)
    }
}

fn joined(end: Result<Result<Outcome, QueryError>, tokio::task::JoinError>) -> Result<Outcome, QueryError> {
    end.unwrap_or_else(|_panicked| Err(QueryError::new(code::ABORTED, "The query was aborted")))
}

/// Stops the engine's work on a query that nobody waits for.
struct KillOnDrop {
    engine: Arc<Engine>,
    marker: String,
    finished: Arc<AtomicBool>,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let finished = self.finished.clone();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if finished.load(Ordering::Acquire) {
            return;
        }
        let (engine, marker) = (self.engine.clone(), std::mem::take(&mut self.marker));
        // it may not have got as far as the list of running queries, or not notice at once
        let _detached = runtime.spawn_blocking(move || {
            for _try in 0..KILL_TRIES {
                if finished.load(Ordering::Acquire) {
                    return;
                }
                engine.kill(&marker);
                std::thread::sleep(KILL_PAUSE);
            }
        });
    }
}
