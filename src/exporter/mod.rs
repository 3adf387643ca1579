//! From the bounded channel into ClickHouse: collects rows to batches, makes each a block once, and repeats its insert
//! until ClickHouse has it.
//!
//! ```text
//! outlet -> batch (rows, bytes or age) -> Native block -> LZ4 frames -> INSERT, with the batch's own token
//!                                                                         ^ retry: same bytes, same token
//! ```
//!
//! A batch keeps the room of its rows until it is stored, so the channel's bound covers it too.

use crate::clickhouse::schema::{self, Home};
use crate::clickhouse::{Availability, Class, Client, Failure};
use crate::columns::frames::compress_frame;
use crate::columns::native::encode_block;
use crate::pipeline::{Entry, Outlet, Room};
use crate::shutdown::Shutdown;
use crate::sizes::ByteSize;
use crate::telemetry::Metrics;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Content of one compressed frame. Source: ClickHouse's own default, `max_compress_block_size`.
const FRAME_CONTENT_BYTES: usize = 1 << 20;
/// A batch whose rows lie on this many days, each a partition of the table, is sent without waiting for more.
const DAYS_PER_BATCH_ENOUGH: usize = 32;
/// How long ClickHouse may take to confirm an insert at first; each time-out doubles it up to the last.
const CONFIRM_TIMEOUT_MIN: Duration = Duration::from_secs(30);
const CONFIRM_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// First pause after a failed insert; doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Pause after a failure that an operator must mend.
const HOLD_PAUSE: Duration = Duration::from_secs(10);

/// How rows are batched and sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// A batch is sent when it has this many rows.
    pub batch_rows: usize,
    /// A batch is sent when it has this many bytes before compression.
    pub batch_bytes: ByteSize,
    /// A batch is sent when its oldest row is this old.
    #[serde(with = "humantime_serde")]
    pub flush_after: Duration,
    /// Inserts under way at once.
    pub concurrency: usize,
    /// How long a stop may wait for ClickHouse to take what was accepted.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_rows: 100_000,
            batch_bytes: ByteSize::mib(32),
            flush_after: Duration::from_millis(200),
            concurrency: 2,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// The exporter with all it needs.
#[derive(Debug)]
pub struct Exporter {
    /// Where rows come from.
    pub outlet: Outlet,
    /// Where they go.
    pub client: Client,
    /// Who owns the table.
    pub home: Home,
    /// How.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// What health shows.
    pub availability: Availability,
    /// Makes this process's tokens unlike any other's.
    pub token_prefix: String,
}

/// Rows that were accepted and that ClickHouse did not take before the service had to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rows} accepted spans may be lost: ClickHouse did not confirm them before the service had to stop")]
pub struct Lost {
    /// How many.
    pub rows: usize,
}

impl Exporter {
    /// Runs until every receiver is gone and everything is stored; from `draining` on, at most as long as
    /// `drain_timeout` says, and no longer than something is left to store.
    ///
    /// # Errors
    /// When rows were left over.
    pub async fn run(self, mut draining: Shutdown) -> Result<(), Lost> {
        let (metrics, drain_timeout) = (self.metrics.clone(), self.config.drain_timeout);
        let pending = || usize::try_from(metrics.spans_pending.get()).unwrap_or(0);
        tokio::select! {
            () = self.export(draining.clone()) => {}
            () = async {
                draining.requested().await;
                if pending() > 0 {
                    tokio::time::sleep(drain_timeout).await;
                }
            } => {}
        }
        match pending() {
            0 => Ok(()),
            rows => Err(Lost { rows }),
        }
    }

    async fn export(mut self, mut draining: Shutdown) {
        let sender = Arc::new(Sender {
            client: self.client.clone(),
            home: self.home,
            metrics: self.metrics.clone(),
            availability: self.availability.clone(),
        });
        sender.prepare_table().await;
        let slots = Arc::new(Semaphore::new(self.config.concurrency.max(1)));
        let mut inserts = JoinSet::new();
        let mut batch_number = 0_u64;
        while let Some(batch) = self.collect(&mut draining).await {
            batch_number += 1;
            let token = format!("{}-{batch_number}", self.token_prefix);
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
            while inserts.try_join_next().is_some() {}
            inserts.spawn(store(Arc::clone(&sender), batch, token, slot));
        }
        while inserts.join_next().await.is_some() {}
    }

    /// The next batch: as much as comes until it is full or its first row is old enough.
    async fn collect(&mut self, draining: &mut Shutdown) -> Option<Batch> {
        let mut batch = Batch::default();
        let first = tokio::select! {
            first = self.outlet.recv() => first,
            () = draining.requested() => {
                self.outlet.close();
                self.outlet.recv().await
            }
        };
        batch.add(first?);
        let flush_at = Instant::now() + self.config.flush_after;
        while batch.rows < self.config.batch_rows
            && batch.bytes < self.config.batch_bytes.0
            && batch.days.len() < DAYS_PER_BATCH_ENOUGH
        {
            match tokio::time::timeout_at(flush_at, self.outlet.recv()).await {
                Ok(Some(entry)) => batch.add(entry),
                Ok(None) | Err(_) => break,
            }
        }
        Some(batch)
    }
}

#[derive(Debug, Default)]
struct Batch {
    entries: Vec<Entry>,
    days: BTreeSet<i64>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, entry: Entry) {
        self.rows += entry.rows.rows();
        self.bytes += entry.rows.bytes_len();
        self.days.extend(entry.rows.days());
        self.entries.push(entry);
    }
}

/// A batch as ClickHouse gets it, however often.
struct Block {
    frames: Bytes,
    rows: usize,
    bytes: usize,
    /// Given back when the block is stored.
    _rooms: Vec<Room>,
}

async fn store(sender: Arc<Sender>, batch: Batch, token: String, _slot: OwnedSemaphorePermit) {
    // encoding takes milliseconds of CPU: not on the threads that answer senders
    match tokio::task::spawn_blocking(move || encode(batch)).await {
        Ok(block) => sender.insert_until_stored(&block, &token).await,
        Err(panic) => tracing::error!(%panic, "a batch could not be encoded; its spans are lost"),
    }
}

fn encode(batch: Batch) -> Block {
    let mut native = Vec::with_capacity(batch.bytes + batch.bytes / 64 + 4096);
    let groups: Vec<_> = batch.entries.iter().map(|entry| &entry.rows).collect();
    encode_block(&groups, crate::ids::SegmentId::new(0, 0), &mut native);
    let rooms = batch.entries.into_iter().map(|entry| entry.room).collect();
    let mut frames = Vec::with_capacity(native.len() / 3);
    for content in native.chunks(FRAME_CONTENT_BYTES) {
        compress_frame(content, &mut frames);
    }
    Block { frames: frames.into(), rows: batch.rows, bytes: native.len(), _rooms: rooms }
}

struct Sender {
    client: Client,
    home: Home,
    metrics: Metrics,
    availability: Availability,
}

impl Sender {
    async fn prepare_table(&self) {
        let mut trouble = Trouble::new(self);
        while let Err(failure) = schema::apply(&self.client, self.home).await {
            trouble.note(&failure);
            tokio::time::sleep(trouble.pause(&failure)).await;
        }
        self.availability.reached(&self.metrics);
    }

    async fn insert_until_stored(&self, block: &Block, token: &str) {
        let mut trouble = Trouble::new(self);
        let mut confirm_within = CONFIRM_TIMEOUT_MIN;
        while let Err(failure) = self.client.insert_frames(block.frames.clone(), token, confirm_within).await {
            self.metrics.insert_failures.inc();
            trouble.note(&failure);
            if failure.timed_out {
                // it may still be at work: give it longer rather than more of the same
                confirm_within = (confirm_within * 2).min(CONFIRM_TIMEOUT_MAX);
            }
            tokio::time::sleep(trouble.pause(&failure)).await;
            if table_is_missing(&failure) {
                self.prepare_table().await;
            }
        }
        self.metrics.store(block.rows, block.bytes);
        drop(trouble);
        self.availability.reached(&self.metrics);
    }
}

/// What one statement that does not succeed goes through. While any is in trouble, ClickHouse counts as away.
struct Trouble<'s> {
    sender: &'s Sender,
    noted: bool,
    next_pause: Duration,
}

impl<'s> Trouble<'s> {
    fn new(sender: &'s Sender) -> Self {
        Self { sender, noted: false, next_pause: RETRY_PAUSE_MIN }
    }

    fn note(&mut self, failure: &Failure) {
        let is_first = !std::mem::replace(&mut self.noted, true);
        self.sender.availability.away(failure, is_first, &self.sender.metrics);
    }

    fn pause(&mut self, failure: &Failure) -> Duration {
        next_pause(failure, &mut self.next_pause)
    }
}

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        if self.noted {
            self.sender.availability.over(&self.sender.metrics);
        }
    }
}

/// UNKNOWN_TABLE, UNKNOWN_DATABASE: somebody dropped it, or the disk behind it is new.
fn table_is_missing(failure: &Failure) -> bool {
    matches!(failure.code, Some(60 | 81))
}

fn next_pause(failure: &Failure, pause: &mut Duration) -> Duration {
    if failure.class != Class::Retry && !table_is_missing(failure) {
        return HOLD_PAUSE;
    }
    let now = *pause;
    *pause = (now * 2).min(RETRY_PAUSE_MAX);
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: u32, class: Class) -> Failure {
        Failure { code: Some(code), class, message: String::new(), timed_out: false }
    }

    #[test]
    fn pauses_double_up_to_their_limit_and_an_operators_matter_waits_longer() {
        let mut pause = RETRY_PAUSE_MIN;
        let pauses: Vec<_> = (0..8).map(|_| next_pause(&failure(202, Class::Retry), &mut pause).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
        assert_eq!(next_pause(&failure(516, Class::Hold), &mut pause), HOLD_PAUSE);
    }
}
