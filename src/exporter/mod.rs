//! From the journal into ClickHouse: takes sealed segments and repeats their inserts until ClickHouse has them.
//!
//! ```text
//! backlog -> load, check -> whole: INSERT with the segment's id as token -> stored
//!    ^            |               | not now: put back, others go first
//!    '------------|---------------|
//!                 |               | its rows are refused: it is in doubt from now on
//!                 '-> in doubt: in_doubt.rs sends what ClickHouse does not have, part by part, and finds rows at fault:
//!                     those are dead letters, the others go in
//! ```
//!
//! A segment's bytes go out as they lie on disk, a piece at a time, so a backlog of hours costs no memory; small blocks that follow each
//! other go out as one (pieces.rs).
//!
//! An unknown error may lie in the rows or in ClickHouse. It is tried again a few times; then the rows are looked for,
//! but given up only when ClickHouse takes other inserts, before and after it refuses them. An endpoint that refuses
//! everything is waited for, whatever its words.

mod in_doubt;
mod pieces;
mod rows;

use crate::clickhouse::schema::Schema;
use crate::clickhouse::{Availability, Class, Client, Failure, OVERTIME, Target, View};
use crate::columns::Table;
use crate::ids::SegmentId;
use crate::journal::{Backlog, DeadLetters, History, LoadError, Loaded, Order, RowsLost, Segment, Whole};
use crate::locks::locked;
use crate::numbers::{saturating_i64, to_u64};
use crate::reconciler::counting::Notes;
use crate::telemetry::Metrics;
use crate::telemetry::own_spans::{OwnSpan, Value, Work};
use crate::time::Clock;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long ClickHouse may take to confirm an insert at first; each time-out doubles it up to the last.
const CONFIRM_TIMEOUT_MIN: Duration = Duration::from_secs(30);
const CONFIRM_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// First pause after a failed insert; doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Pause after a failure that an operator must mend.
const HOLD_PAUSE: Duration = Duration::from_secs(10);
/// Refusals in a row that may lie in the rows before those are looked for: about ten seconds of them.
const REFUSALS_MAX: u32 = 8;
/// At a stop, segments on disk are left for the next start when ClickHouse did not take any for this long.
const AWAY_PATIENCE: Duration = Duration::from_secs(2);
const STOP_CHECK: Duration = Duration::from_millis(50);

/// How rows are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// ClickHouse has a row at this age, if it takes inserts, and as fast as the last one. Rows that come after a rest are sent
    /// within a sixteenth of it.
    #[serde(with = "crate::time::spelt")]
    pub flush_after: Duration,
    /// Inserts under way at once.
    pub concurrency: usize,
    /// Which segments go first when several wait: `fair`, `oldest_first`, `newest_first`.
    pub order: Order,
    /// How long a stop may wait for ClickHouse to take what was accepted.
    #[serde(with = "crate::time::spelt")]
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            flush_after: Duration::from_millis(800),
            concurrency: 2,
            order: Order::Fair,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// The exporter with all it needs.
#[derive(Debug)]
pub struct Exporter {
    /// Where segments come from.
    pub backlog: Backlog,
    /// Where they go.
    pub client: Client,
    /// Where rows go that ClickHouse refuses for good.
    pub dead_letters: DeadLetters,
    /// What the tables must be; a reload may change it.
    pub schema: watch::Receiver<Arc<Schema>>,
    /// How.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// What health shows.
    pub availability: Availability,
    /// Where traces wait to be counted until they are delivered.
    pub notes: Notes,
    /// What time it is.
    pub clock: Clock,
    /// What has happened so far.
    pub state: State,
}

/// What workers know of each other.
#[derive(Debug)]
pub struct State {
    /// Held while rows are decompressed that take much memory.
    large: tokio::sync::Mutex<()>,
    /// ClickHouse was away since the schema was looked at: it may have come back as another one.
    was_away: AtomicBool,
    /// Inserts that ClickHouse took.
    taken: AtomicU64,
    /// The one segment whose rows are looked for although ClickHouse takes nothing else: to see whether it takes some of them.
    probe: Mutex<Option<SegmentId>>,
    /// When this process could first have sent anything.
    began: Instant,
}

impl Default for State {
    fn default() -> Self {
        Self {
            large: tokio::sync::Mutex::default(),
            was_away: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            probe: Mutex::default(),
            began: Instant::now(),
        }
    }
}

/// Spans that are in no file that the next start finds, and that ClickHouse did not take before the service had to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{rows} spans acknowledged from memory, or in files of the journal that were removed, may be lost: ClickHouse did not \
     confirm them before the stop"
)]
pub struct Lost {
    /// How many.
    pub rows: usize,
}

impl Exporter {
    /// Runs until the backlog is closed and empty; from `draining` on, no longer than `drain_timeout` says, and shorter
    /// when all that is left is safe on disk and ClickHouse does not take it.
    pub async fn run(self, draining: CancellationToken) {
        let (backlog, drain_timeout) = (self.backlog.clone(), self.config.drain_timeout);
        let availability = self.availability.clone();
        let is_hopeless = move || {
            // before the committer is done, there may be rows that are not counted yet
            backlog.is_closed() && backlog.view().rows_in_memory == 0 && availability.view() != View::Storing
        };
        tokio::select! {
            () = self.export() => {}
            () = async {
                draining.cancelled().await;
                let began = tokio::time::Instant::now();
                while began.elapsed() < drain_timeout && !(is_hopeless() && began.elapsed() >= AWAY_PATIENCE) {
                    tokio::time::sleep(STOP_CHECK).await;
                }
            } => {}
        }
    }

    async fn export(self) {
        let concurrency = self.config.concurrency.max(1);
        let sender = Arc::new(self);
        sender.prepare_table().await;
        let _following = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&sender).follow_schema()));
        let mut workers = JoinSet::new();
        for _ in 0..concurrency {
            workers.spawn(Arc::clone(&sender).work());
        }
        // one that panicked took a segment along: the next start finds it again
        while let Some(Ok(())) = workers.join_next().await {}
    }

    /// Brings the tables to what a reload says they must be.
    async fn follow_schema(self: Arc<Self>) {
        let mut schema = self.schema.clone();
        while schema.changed().await.is_ok() {
            self.look_at_the_schema_again().await;
        }
    }

    fn schema_now(&self) -> Arc<Schema> {
        Arc::clone(&self.schema.borrow())
    }

    async fn work(self: Arc<Self>) {
        let mut failures_in_a_row = 0;
        while let Some(segment) = self.backlog.take(self.config.order).await {
            if self.deliver(segment).await {
                failures_in_a_row = 0;
                continue;
            }
            // the next one would fail as well: not at once
            tokio::time::sleep(pause(failures_in_a_row)).await;
            failures_in_a_row += 1;
        }
    }

    async fn prepare_table(&self) {
        let mut failures = 0;
        while let Err(failure) = self.schema_now().prepare(&self.client).await {
            self.availability.failed(&failure, failure.class != Class::Retry, &self.metrics);
            tokio::time::sleep(pause_after(&failure, failures)).await;
            failures += 1;
        }
        self.availability.succeeded(&self.metrics);
    }

    /// One attempt. False when ClickHouse did not take it, and it waits again.
    async fn deliver(&self, segment: Segment) -> bool {
        let mut history = segment.history();
        let (mut segment, loaded) = blocking(segment, Segment::load).await;
        let done = match loaded {
            Err(error) => return self.unread(segment, error, history).await,
            Ok(Loaded::InDoubt(rows)) => self.deliver_in_doubt(&segment, &rows, &mut history).await,
            Ok(Loaded::Whole(whole)) => {
                let done;
                (segment, done) = self.deliver_whole(segment, whole, &mut history).await;
                done
            }
        };
        let (id, done) = (
            segment.id(),
            match done {
                Ok(done) => done,
                Err(failure) => {
                    self.put_back(segment, &failure, history).await;
                    return false;
                }
            },
        );
        if segment.table() == Table::Traces {
            self.notes.delivered(id, segment.is_recovered());
        }
        match done.damage {
            None => settle(segment, move |segment| segment.stored(done.rows_dead)).await,
            Some(lost) => {
                settle(segment, move |segment| segment.set_aside(lost, done.rows_dead, "bytes on disk changed")).await;
            }
        }
        self.is_over(id);
        self.availability.succeeded(&self.metrics);
        if self.state.was_away.swap(false, Ordering::Relaxed) {
            self.look_at_the_schema_again().await;
        }
        true
    }

    /// What becomes of a segment that cannot be sent as it lies there. False when it waits again.
    async fn unread(&self, segment: Segment, error: LoadError, history: History) -> bool {
        let (id, rows) = (segment.id(), segment.rows());
        match error {
            LoadError::Io(error) if error.kind() != std::io::ErrorKind::NotFound => {
                // too many open files, say: the rows are there
                let failure = Failure::local(&format!("failed to read a segment of the journal: {error}"));
                self.put_back(segment, &failure, history).await;
                return false;
            }
            error if error.is_of_later() => settle(segment, move |segment| segment.leave(&error.to_string())).await,
            error => {
                let lost = RowsLost::exactly(rows);
                settle(segment, move |segment| segment.set_aside(lost, 0, &error.to_string())).await;
            }
        }
        self.is_over(id);
        true
    }

    /// Sends all rows as one insert. When ClickHouse refuses them for what may lie in some, they are in doubt from then on.
    async fn deliver_whole(
        &self,
        segment: Segment,
        whole: Whole,
        history: &mut History,
    ) -> (Segment, Result<Delivered, Failure>) {
        if !self.may_search(segment.id(), history) {
            match self.insert_whole(&whole, history).await {
                Ok(()) => return (segment, Ok(Delivered::default())),
                Err(failure) if failure.lacks_memory() && history.refusals > 0 && whole.has_parts() => {
                    tracing::info!(segment = %segment.id(), "ClickHouse has too little memory for it; sending it in parts");
                }
                Err(failure) if failure.class != Class::Permanent => return (segment, Err(failure)),
                Err(failure) => {
                    let why = failure.message;
                    tracing::warn!(segment = %segment.id(), why, "ClickHouse refuses rows; looking for them");
                }
            }
        }
        match blocking(segment, |segment| segment.mark_in_doubt(whole)).await {
            (segment, Ok(rows)) => {
                let done = self.deliver_in_doubt(&segment, &rows, history).await;
                (segment, done)
            }
            (segment, Err(error)) => {
                (segment, Err(Failure::local(&format!("failed to rename a segment of the journal: {error}"))))
            }
        }
    }

    async fn insert_whole(&self, whole: &Whole, history: &mut History) -> Result<(), Failure> {
        let within = confirm_within(history);
        let (frames, token) = (whole.frames().clone(), whole.token());
        let target = Target { table: whole.table(), columns: whole.columns() };
        let began = Instant::now();
        let inserted = self.client.insert_pieces(Arc::new(frames), target, &token, within).await;
        self.count(target.table, began.elapsed(), inserted.as_ref().copied());
        if inserted.is_ok() {
            self.backlog.note_insert_took(began.elapsed());
        }
        inserted.map(|_sent| ()).inspect_err(|failure| note_under_way(history, &self.client, failure, within))
    }

    /// Counts an insert that took so long, of which so many bytes were sent.
    fn count(&self, table: Table, took: Duration, sent: Result<usize, &Failure>) {
        self.note_span(table, took, sent);
        match sent {
            Ok(bytes) => {
                self.state.taken.fetch_add(1, Ordering::Relaxed);
                self.metrics.inserted(bytes, took);
            }
            Err(_) => self.metrics.insert_failures.inc(),
        }
    }

    /// A span of an insert, where they are kept. Source: OpenTelemetry's conventions for database spans.
    fn note_span(&self, table: Table, took: Duration, sent: Result<usize, &Failure>) {
        let spans = &self.metrics.own_spans;
        if !spans.is_on() {
            return;
        }
        let now = Clock::System.now();
        let name = format!("INSERT {}", table.name());
        let span = OwnSpan::new(Work::Insert, name, None, (now.saturating_sub(took), now));
        let mut attributes = vec![
            ("db.system.name", "clickhouse".into()),
            ("db.operation.name", "INSERT".into()),
            ("db.collection.name", table.name().into()),
        ];
        attributes.push(match sent {
            Ok(bytes) => ("millrace.insert.bytes", Value::Number(saturating_i64(to_u64(bytes).into()))),
            Err(failure) => ("error.type", Value::Text(format!("{:?}", failure.class))),
        });
        spans.keep(OwnSpan { attributes, has_failed: sent.is_err(), ..span });
    }

    /// Inserts that ClickHouse took so far.
    fn taken(&self) -> u64 {
        self.state.taken.load(Ordering::Relaxed)
    }

    /// Whether it is time to look for rows at fault: ClickHouse refused these often enough, and takes others, or
    /// there is no other segment that is looked at to find that out.
    fn may_search(&self, segment: SegmentId, history: &History) -> bool {
        if history.refusals < REFUSALS_MAX {
            return false;
        }
        if self.taken() > history.taken_before {
            return true;
        }
        let mut probe = locked(&self.state.probe);
        *probe.get_or_insert(segment) == segment
    }

    fn is_over(&self, segment: SegmentId) {
        self.availability.resolved(segment);
        locked(&self.state.probe).take_if(|probe| *probe == segment);
    }

    /// Rows are taken; views and what else the schema has may be missing all the same. What fails is tried again after the next insert.
    async fn look_at_the_schema_again(&self) {
        if let Err(failure) = self.schema_now().prepare(&self.client).await {
            tracing::warn!(why = failure.message, "cannot check the schema; it is tried again after the next insert");
            let may_pass = matches!(failure.class, Class::Retry | Class::Unknown);
            self.state.was_away.store(may_pass, Ordering::Relaxed);
        }
    }

    async fn put_back(&self, segment: Segment, failure: &Failure, mut history: History) {
        let taken = self.taken();
        // what ClickHouse took meanwhile shows that it is there, and that this one has a trouble of its own
        let is_alone = failure.is_own || history.failures > 0 && taken > history.taken_before;
        history.failures = history.failures.saturating_add(1);
        history.timeouts = history.timeouts.saturating_add(u32::from(failure.timed_out));
        history.refusals = if failure.may_be_of_rows() { history.refusals.saturating_add(1) } else { 0 };
        history.taken_before = taken;
        let is_refused_for_long = history.refusals >= REFUSALS_MAX;
        if is_alone || is_refused_for_long {
            self.availability.in_trouble(segment.id(), segment.rows(), history.failures, failure);
        }
        if !is_alone {
            let needs_operator = matches!(failure.class, Class::Hold | Class::Permanent) || is_refused_for_long;
            self.availability.failed(failure, needs_operator, &self.metrics);
            self.state.was_away.store(true, Ordering::Relaxed);
        }
        let is_missing = schema_is_missing(failure);
        let pause = match () {
            // what is made at once is there then; what an operator has to make is not
            () if is_missing && history.failures <= 1 => Duration::ZERO,
            () if is_missing => pause(history.failures),
            // the next attempt, which looks at the rows, is not kept waiting; those after it are
            () if history.refusals > REFUSALS_MAX => HOLD_PAUSE,
            () => pause_after(failure, history.failures - 1),
        };
        segment.put_back(pause, history);
        if is_missing {
            self.prepare_table().await;
        }
    }
}

/// A segment that came to its end.
#[derive(Debug, Default)]
struct Delivered {
    /// Rows that ClickHouse refuses for good.
    rows_dead: usize,
    /// What damage took of it.
    damage: Option<RowsLost>,
}

/// How long ClickHouse may take for the next attempt.
fn confirm_within(history: &History) -> Duration {
    CONFIRM_TIMEOUT_MIN.saturating_mul(1 << history.timeouts.min(10)).min(CONFIRM_TIMEOUT_MAX)
}

/// An insert that was not answered may go on until its time is over; on a cluster one shard's may, although another shard's failed.
fn note_under_way(history: &mut History, client: &Client, failure: &Failure, within: Duration) {
    if !failure.is_answer() || client.is_of_cluster() {
        let until = Instant::now() + within + OVERTIME;
        history.under_way_until = history.under_way_until.max(Some(until));
    }
}

/// What ends a segment touches its file: on a thread for that.
async fn settle(segment: Segment, end: impl FnOnce(Segment) + Send + 'static) {
    blocking(Some(segment), |segment| {
        if let Some(segment) = segment.take() {
            end(segment);
        }
    })
    .await;
}

fn pause_after(failure: &Failure, failures: u32) -> Duration {
    match failure.class {
        Class::Retry | Class::Unknown => pause(failures),
        Class::Hold | Class::Permanent => HOLD_PAUSE,
    }
}

/// Runs blocking work on a thread for it, and returns what it worked on.
async fn blocking<T: Send + 'static, R: Send + 'static>(
    mut on: T,
    work: impl FnOnce(&mut T) -> R + Send + 'static,
) -> (T, R) {
    let worked = tokio::task::spawn_blocking(move || {
        let result = work(&mut on);
        (on, result)
    });
    match worked.await {
        Ok(both) => both,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_TABLE, UNKNOWN_DATABASE: it was dropped, or its disk is new.
fn schema_is_missing(failure: &Failure) -> bool {
    matches!(failure.code, Some(16 | 60 | 81))
}

fn pause(failures: u32) -> Duration {
    RETRY_PAUSE_MIN.saturating_mul(1 << failures.min(10)).min(RETRY_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let pauses: Vec<_> = (0..8).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
    }
}
