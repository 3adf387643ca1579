//! Asks ClickHouse on behalf of a request: so many statements at once, and what a failure is to the caller.

use super::answer::Refusal;
use super::config::Config;
use super::kept;
use crate::clickhouse::{Client, Failure, ReadLimits, Statement};
use crate::sql::code;
use crate::time::Clock;
use ::clickhouse::{RowOwned, RowRead};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Exports of traces at the same time: each is in memory until it was sent.
const EXPORTS_AT_ONCE: usize = 2;

/// How long a statement waits for others to end.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// Where questions are asked. Clones share the bound on statements at once.
#[derive(Debug, Clone)]
pub struct Reads {
    client: Client,
    /// For statements that somebody typed.
    visitor: Client,
    limits: ReadLimits,
    turns: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    /// What time it is.
    pub clock: Clock,
}

/// Why a statement that somebody typed has no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Something is wrong with the statement.
    Wrong {
        /// All that ClickHouse says. It may quote what is stored, which whoever typed the statement may read.
        said: String,
    },
    /// It was not asked, or not to its end.
    Refused(Refusal),
}

impl Reads {
    /// Asks this ClickHouse, within the limits of the configuration.
    #[must_use]
    pub fn new(client: Client, config: &Config) -> Self {
        let limits = ReadLimits { execution_time: config.max_execution_time, memory_bytes: config.max_memory.0 };
        let visitor = client.clone();
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let (turns, exports) = (semaphore(config.concurrency), semaphore(EXPORTS_AT_ONCE));
        Self { client, visitor, limits, turns, exports, clock: Clock::System }
    }

    /// The same; statements that somebody typed are asked with this client.
    #[must_use]
    pub fn with_visitor(self, visitor: Client) -> Self {
        Self { visitor, ..self }
    }

    /// Asks what somebody typed, which can change nothing; at most `rows_max` rows come back, as ClickHouse's format `JSONCompact`.
    ///
    /// # Errors
    /// What ClickHouse says of the statement; or 503 if it does not answer or a limit is exceeded, 400 if the answer is no JSON.
    pub async fn ask_typed(&self, sql: &str, rows_max: u64) -> Result<Value, Unanswered> {
        let _turn = self.turn().await.map_err(Unanswered::Refused)?;
        let bytes = self.visitor.read_typed(sql, rows_max, &self.limits).await.map_err(|failure| {
            if failure.code.is_some() && !failure.timed_out {
                return Unanswered::Wrong { said: failure.detail };
            }
            Unanswered::Refused(self.refusal(&failure))
        })?;
        serde_json::from_slice(&bytes).map_err(|_other| {
            Unanswered::Refused(Refusal::bad_request("leave FORMAT out: the answer is shown as a table"))
        })
    }

    /// The client, for names of tables.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// All rows of an answer. When it is dropped, the statement is cancelled.
    ///
    /// # Errors
    /// 503 if ClickHouse does not answer, or a limit is exceeded; 413 if there is too much to answer.
    pub async fn ask<R: RowOwned + RowRead>(&self, statement: &Statement) -> Result<Vec<R>, Refusal> {
        self.asked(statement).await?.map_err(|failure| self.refusal(&failure))
    }

    /// The row of an answer that has one at most.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn ask_one<R: RowOwned + RowRead>(&self, statement: &Statement) -> Result<Option<R>, Refusal> {
        Ok(self.ask(statement).await?.into_iter().next())
    }

    /// As [`ask`](Self::ask), of a table or view that may not be there yet: then there are no rows.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn ask_if_there<R: RowOwned + RowRead>(&self, statement: &Statement) -> Result<Vec<R>, Refusal> {
        match self.asked(statement).await? {
            Err(failure) if failure.code == Some(code::UNKNOWN_TABLE.number) => Ok(Vec::new()),
            asked => asked.map_err(|failure| self.refusal(&failure)),
        }
    }

    /// All rows of an answer, as objects with the names of its columns.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn ask_json(&self, statement: &Statement) -> Result<Vec<Value>, Refusal> {
        let _turn = self.turn().await?;
        let began = Instant::now();
        let asked = self.client.read_json(statement, "JSONEachRow", &self.limits).await;
        kept::note(statement, began.elapsed());
        let bytes = asked.map_err(|failure| self.refusal(&failure))?;
        let rows = serde_json::Deserializer::from_slice(&bytes).into_iter().collect::<Result<Vec<Value>, _>>();
        rows.map_err(|_unread| Refusal::unavailable("ClickHouse's answer cannot be read"))
    }

    /// A turn to make an export, kept until it was sent.
    ///
    /// # Errors
    /// 503 if others take too long.
    pub async fn export_turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        match tokio::time::timeout(TURN_WAIT, Arc::clone(&self.exports).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Refusal::unavailable("other traces are being exported; try again")),
        }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        match tokio::time::timeout(TURN_WAIT, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Refusal::unavailable("too many questions at the same time; try again")),
        }
    }

    /// What ClickHouse says, after a wait for others to end.
    async fn asked<R: RowOwned + RowRead>(&self, statement: &Statement) -> Result<Result<Vec<R>, Failure>, Refusal> {
        let _turn = self.turn().await?;
        let began = Instant::now();
        let answer = self.client.read(statement, &self.limits).await;
        kept::note(statement, began.elapsed());
        Ok(answer)
    }

    fn refusal(&self, failure: &Failure) -> Refusal {
        let is = |code: code::Code| failure.code == Some(code.number);
        if failure.timed_out {
            let seconds = self.limits.execution_time.as_secs_f64();
            let why = format!("the question takes more than {seconds} s; narrow it, for example by started_at");
            return Refusal::unavailable(&why);
        }
        if is(code::TOO_MANY_ROWS_OR_BYTES) {
            return Refusal::too_large("the answer is too large; ask for fewer results at once, or with mode=summary");
        }
        if is(code::MEMORY_LIMIT_EXCEEDED) {
            return Refusal::unavailable("the question takes too much memory; narrow it, for example by started_at");
        }
        tracing::warn!(error = failure.message, "a question of the read API failed");
        Refusal::unavailable(&format!("ClickHouse did not answer: {}", failure.message))
    }
}
