//! Inserts that may still be under way although nobody waits for them: after a time-out or a reset ClickHouse may be at work
//! on what it was sent, and commit it later.
//!
//! ```text
//! same token, same rows      harmless: the later of the two is a repeat
//! another token, same rows   stored twice, unless the earlier one is over first: only a `NoneUnderWay` allows it
//! ```
//!
//! An insert is known by its token, which begins with the id of its segment. Those that are found are stopped. Where ClickHouse does
//! not let its queries be seen, they are waited out: each was given a `max_execution_time`.

use super::client::Client;
use super::cluster::system_table;
use super::config::Database;
use super::endpoints::Repeat;
use super::errors::{Class, Failure};
use super::nodes::{NODE, SKIP_ABSENT};
use crate::columns::Table;
use crate::ids::SegmentId;
use ::clickhouse::Row;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one piece of an insert may wait for the socket.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// An insert goes to the socket in pieces of this size, each within [`SEND_TIMEOUT`].
const PIECE_BYTES: usize = 256 << 10;
/// How long ClickHouse may take to report that an insert ran out of its time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A smaller insert leaves the skipping indexes to the first merge: they are two files each, and would skip nothing in a part
/// of a few granules. Measured: docs/performance.md.
const INDEXED_BYTES_MIN: usize = 4 << 20;
/// How often it is asked whether an insert that was stopped is over, and the pause between.
const ASKED_MAX: usize = 50;
const ASK_PAUSE: Duration = Duration::from_millis(100);
/// How much later than told to ClickHouse may end an insert that takes too long.
pub const OVERTIME: Duration = Duration::from_secs(30);

/// Where blocks go.
#[derive(Debug, Clone, Copy)]
pub struct Target<'c> {
    /// The table.
    pub table: Table,
    /// Its columns that the blocks have; `None`: those of this program.
    pub columns: Option<&'c [String]>,
}

/// Compressed frames that are read while they are sent, so that they need not be in memory all at once.
pub trait Pieces: Send + Sync + 'static {
    /// What they have as LZ4, about.
    fn lz4_bytes(&self) -> usize;
    /// Whether reading blocks the thread.
    fn blocks(&self) -> bool;
    /// The next bytes to send from a place on, and the place after them; `None` after the last. The first place is 0, and each call
    /// for the same place returns the same.
    ///
    /// # Errors
    /// If they cannot be read.
    fn next(&self, place: usize) -> io::Result<Option<(Bytes, usize)>>;
}

impl Pieces for Bytes {
    fn lz4_bytes(&self) -> usize {
        self.len()
    }

    fn blocks(&self) -> bool {
        false
    }

    fn next(&self, place: usize) -> io::Result<Option<(Bytes, usize)>> {
        Ok((place < self.len()).then(|| (self.slice(place..), self.len())))
    }
}

/// Proof that no insert of a segment is under way. It is spent by the next one.
#[derive(Debug)]
#[must_use = "it allows one insert"]
pub struct NoneUnderWay(());

/// An insert that ClickHouse did not confirm.
#[derive(Debug)]
pub struct Unconfirmed {
    /// Why.
    pub failure: Failure,
    /// It is over all the same: ClickHouse itself refused it.
    pub over: Option<NoneUnderWay>,
}

/// Inserts under way on a node.
#[derive(Debug, Row, Deserialize)]
struct UnderWay {
    node: u32,
    inserts: u64,
}

impl Client {
    /// Inserts Native blocks of a table in compressed frames as one insert, which ClickHouse must confirm within `confirm_within`, and gives up
    /// by itself about then.  The token makes a repeat of the same bytes
    /// harmless.
    ///
    /// # Errors
    /// When ClickHouse did not confirm it: it may be in the table or not, so repeat it with the same token.
    pub async fn insert_frames(
        &self,
        frames: Bytes,
        into: Target<'_>,
        token: &str,
        confirm_within: Duration,
    ) -> Result<(), Failure> {
        self.insert_pieces(Arc::new(frames), into, token, confirm_within).await.map(|_sent| ())
    }

    /// The same of frames that are read while they are sent. Returns how many bytes were sent.
    ///
    /// # Errors
    /// As [`Self::insert_frames`], and when they cannot be read.
    pub async fn insert_pieces(
        &self,
        frames: Arc<dyn Pieces>,
        into: Target<'_>,
        token: &str,
        confirm_within: Duration,
    ) -> Result<usize, Failure> {
        // the token makes it one insert, at whatever endpoints it was tried
        let insert = |http| self.insert_at(http, Arc::clone(&frames), into, token, confirm_within);
        self.at_any(Repeat::Always, insert).await
    }

    async fn insert_at(
        &self,
        http: &::clickhouse::Client,
        frames: Arc<dyn Pieces>,
        into: Target<'_>,
        token: &str,
        confirm_within: Duration,
    ) -> Result<usize, Failure> {
        let mut insert = http
            .insert_formatted_with(insert_statement(self.database(), into))
            .with_timeouts(Some(SEND_TIMEOUT), Some(confirm_within + ANSWER_TIMEOUT))
            .with_setting("max_execution_time", confirm_within.as_secs().max(1).to_string())
            .with_setting("decompress", "1")
            .with_setting("insert_deduplication_token", token);
        for (name, value) in INSERT_SETTINGS {
            insert = insert.with_setting(*name, *value);
        }
        if frames.lz4_bytes() < INDEXED_BYTES_MIN {
            insert = insert.with_setting("materialize_skip_indexes_on_insert", "0");
        }
        let (mut place, mut sent) = (0, 0);
        while let Some((mut read, behind)) = next_of(&frames, place).await? {
            place = behind;
            sent += read.len();
            while !read.is_empty() {
                let piece = read.split_to(read.len().min(PIECE_BYTES));
                insert.send(piece).await.map_err(|error| Failure::of(&error))?;
            }
        }
        insert.end().await.map_err(|error| Failure::of(&error))?;
        Ok(sent)
    }

    /// Inserts some of a segment's rows, in frames, with a token of their own. While it is not confirmed, whether those rows are in
    /// the table must be asked again.
    ///
    /// # Errors
    /// When ClickHouse did not confirm it.
    pub async fn insert_part(
        &self,
        frames: Bytes,
        into: Target<'_>,
        token: &str,
        confirm_within: Duration,
        none_under_way: NoneUnderWay,
    ) -> Result<NoneUnderWay, Unconfirmed> {
        match self.insert_frames(frames, into, token, confirm_within).await {
            Ok(()) => Ok(none_under_way),
            Err(failure) => {
                let over = failure.is_answer().then_some(none_under_way);
                Err(Unconfirmed { failure, over })
            }
        }
    }

    /// Makes sure that no insert of a segment is under way on the nodes that answer: stops those that are. `over_by` is when the last
    /// one has run out of its time. Returns the numbers of the nodes of a cluster that answered; `None` when ClickHouse does not say.
    ///
    /// # Errors
    /// When one is under way all the same, or ClickHouse cannot be asked and there is time left.
    pub(super) async fn end_inserts(
        &self,
        segment: SegmentId,
        over_by: Instant,
    ) -> Result<(NoneUnderWay, Option<HashSet<u32>>), Failure> {
        match self.stop_inserts(segment).await {
            Ok((none, answered)) => Ok((none, Some(answered))),
            // it does not let us see or stop what it is at
            Err(failure) if failure.is_answer() && failure.class != Class::Retry && over_by <= Instant::now() => {
                Ok((NoneUnderWay(()), None))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn stop_inserts(&self, segment: SegmentId) -> Result<(NoneUnderWay, HashSet<u32>), Failure> {
        let is_of_segment = format!("startsWith(Settings['insert_deduplication_token'], '{segment}')");
        for asked in 0..ASKED_MAX {
            let under_way = self.under_way(&is_of_segment).await?;
            if under_way.iter().all(|node| node.inserts == 0) {
                return Ok((NoneUnderWay(()), under_way.iter().map(|node| node.node).collect()));
            }
            if asked == 0 {
                tracing::info!(%segment, "stopping an insert that nobody waits for any more");
                let cluster = self.cluster().map_or(String::new(), |cluster| format!(" ON CLUSTER {cluster}"));
                self.execute(&format!("KILL QUERY{cluster} WHERE {is_of_segment} ASYNC")).await?;
            }
            tokio::time::sleep(ASK_PAUSE).await;
        }
        Err(Failure::local("an earlier insert of these rows is still under way in ClickHouse, although it was stopped"))
    }

    /// How many inserts are under way on each node that answers; the question itself is under way on each.
    async fn under_way(&self, is_of_segment: &str) -> Result<Vec<UnderWay>, Failure> {
        let processes = system_table(self.cluster(), "processes");
        let (node, skip) = if self.cluster().is_some() { (NODE, SKIP_ABSENT) } else { ("toUInt32(0)", "") };
        self.rows(&format!(
            "SELECT {node} AS node, countIf({is_of_segment}) AS inserts FROM {processes} GROUP BY node {skip}"
        ))
        .await
    }
}

/// The next bytes to send.
async fn next_of(frames: &Arc<dyn Pieces>, place: usize) -> Result<Option<(Bytes, usize)>, Failure> {
    let read = if frames.blocks() {
        let frames = Arc::clone(frames);
        tokio::task::spawn_blocking(move || frames.next(place)).await.unwrap_or_else(|ended| {
            // the runtime is shutting down, or reading panicked
            Err(io::Error::other(ended))
        })
    } else {
        frames.next(place)
    };
    read.map_err(|error| Failure::local(&format!("failed to read the frames of an insert: {error}")))
}

/// The insert of Native blocks: names every column of theirs, so that a table with more fills those by default. Without
/// `columns` they are those of this program.
fn insert_statement(database: &Database, Target { table, columns }: Target<'_>) -> String {
    let quoted = |name: &str| format!("`{}`", name.replace(['`', '\\'], ""));
    let names: Vec<_> = match columns {
        Some(names) => names.iter().map(|name| quoted(name)).collect(),
        None => table.columns().iter().map(|column| quoted(column.name)).collect(),
    };
    format!("INSERT INTO {database}.{} ({}) FORMAT Native", table.name(), names.join(", "))
}

/// Settings that every insert states, because their defaults moved between versions of ClickHouse.
const INSERT_SETTINGS: &[(&str, &str)] = &[
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // one part per partition: the server squashes all blocks of an insert
    ("max_insert_block_size", "10000000"),
    ("min_insert_block_size_rows", "10000000"),
    ("min_insert_block_size_bytes", "1073741824"),
    // a block leaves out columns of which no row has anything, and that means empty. Otherwise the defaults of the table are
    // computed anew for each block, which takes several times as long as all the rest of the insert: docs/performance.md
    ("input_format_defaults_for_omitted_fields", "0"),
    // spans may be of any day: the exporter bounds how many partitions an insert touches
    ("max_partitions_per_insert_block", "0"),
    // so that the status line is the last word
    ("wait_end_of_query", "1"),
];
