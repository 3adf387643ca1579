//! What the table says was stored lately: warms the index of duplicates after a start.

use super::client::{Client, STATEMENT_TIMEOUT, within};
use super::cluster::{TABLE, system_table};
use super::errors::Failure;
use super::nodes::SKIP_ABSENT;
use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;
use crate::workspace::{self, Workspace};
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// Parts may be merged while they are read: the list is made again until nothing in it is new, at most so often.
const LISTINGS_MAX: usize = 3;

/// Spans are handed over in batches of this many.
const BATCH_SPANS: usize = 4_096;

/// A span as the table holds it: ids as text, lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its workspace; `None` for the default one.
    pub workspace: Option<Workspace>,
    /// Its trace.
    pub trace: [u8; TraceId::HEX],
    /// Its own id.
    pub span: [u8; SpanId::HEX],
    /// Its kind, as the column holds it.
    pub kind: String,
    /// When its part was written or last merged: not before the span was accepted.
    pub accepted_by: UnixNanos,
}

/// A part of the table.
#[derive(Debug, Row, Deserialize)]
struct Part {
    name: String,
    modified_secs: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Ids<'a> {
    workspace: &'a str,
    trace: &'a str,
    span: &'a str,
    kind: &'a str,
}

/// Hands over the spans in parts of the table that changed within `window`: those of the newest parts first, at most
/// `spans_max`. One that is in parts merged meanwhile may come twice. Returns how many there were.
///
/// It goes by the parts' time, because rows carry the time of their call, which may be long ago; and part by part, latest hour first,
/// which is the key read backwards: ClickHouse has nothing to sort and streams the columns.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable; what was handed over until then is right.
pub async fn spans(
    client: &Client,
    window: Duration,
    spans_max: usize,
    to: &mpsc::Sender<Vec<Stored>>,
) -> Result<usize, Failure> {
    let (mut found, mut done) = (0, HashSet::new());
    for _ in 0..LISTINGS_MAX {
        let parts = parts_since(client, window).await?;
        let new: Vec<Part> = parts.into_iter().filter(|part| !done.contains(&part.name)).collect();
        if new.is_empty() {
            break;
        }
        for part in new {
            if found >= spans_max {
                return Ok(found);
            }
            found += spans_of(client, &part, spans_max - found, to).await?;
            done.insert(part.name);
        }
    }
    Ok(found)
}

/// The parts that changed within `window`, newest first; not those that only patch rows of others.
async fn parts_since(client: &Client, window: Duration) -> Result<Vec<Part>, Failure> {
    // replicas have the same parts, and shards parts of the same names
    let sql = format!(
        "SELECT name, toUInt64(toUnixTimestamp(max(modification_time))) AS modified_secs FROM {} \
         WHERE active AND database = '{}' AND table IN ('{TABLE}', '{TABLE}_local') AND NOT startsWith(name, 'patch-') \
         GROUP BY name HAVING toInt64(toUnixTimestamp(now())) - toInt64(modified_secs) < {} \
         ORDER BY modified_secs DESC, max(max_block_number) DESC {SKIP_ABSENT}",
        system_table(client.cluster(), "parts"),
        client.database(),
        window.as_secs(),
    );
    client.rows(&sql).await
}

/// Hands over at most `spans_max` spans of a part; says how many there were. A part that is gone has none.
async fn spans_of(
    client: &Client,
    part: &Part,
    spans_max: usize,
    to: &mpsc::Sender<Vec<Stored>>,
) -> Result<usize, Failure> {
    let attribute = workspace::ATTRIBUTE;
    let sql = format!(
        "SELECT ResourceAttributes['{attribute}'] AS workspace, TraceId AS trace, SpanId AS span, toString(SpanKind) AS kind FROM {}.{TABLE} \
         WHERE _part = {{part:String}} ORDER BY toStartOfHour(Timestamp) DESC LIMIT {spans_max}",
        client.database(),
    );
    let accepted_by = UnixNanos::new(part.modified_secs.saturating_mul(1_000_000_000)).unwrap_or_default();
    let failed = |error| Failure::of(&error);
    let (question, endpoint) = client.question(&sql);
    let mut rows = question.param("part", &part.name).fetch::<Ids<'_>>().map_err(failed)?;
    let (mut found, mut batch) = (0, Vec::new());
    while let Some(ids) = endpoint.heard(within(STATEMENT_TIMEOUT, rows.next()).await)? {
        found += 1;
        batch.extend(ids.stored(accepted_by));
        if batch.len() >= BATCH_SPANS {
            // an error means that nobody wants to know any more
            let _unwanted = to.send(std::mem::take(&mut batch)).await;
        }
    }
    let _unwanted = to.send(batch).await;
    Ok(found)
}

impl Ids<'_> {
    /// `None` for a row that somebody else wrote with other ids.
    fn stored(&self, accepted_by: UnixNanos) -> Option<Stored> {
        let workspace = if self.workspace.is_empty() { None } else { Some(Workspace::new(self.workspace).ok()?) };
        let trace = self.trace.as_bytes().try_into().ok()?;
        Some(Stored {
            workspace,
            trace,
            span: self.span.as_bytes().try_into().ok()?,
            kind: self.kind.to_owned(),
            accepted_by,
        })
    }
}
