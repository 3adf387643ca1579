//! What the table says was stored lately: warms the index of duplicates after a start.

use super::{Client, Failure, schema::TABLE};
use crate::chat::SCOPE_NAME;
use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;
use crate::workspace::{self, Workspace};
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::HashSet;
use std::time::Duration;

/// Parts may be merged while they are read: the list is made again until nothing in it is new, at most so often.
const LISTINGS_MAX: usize = 3;

/// A span as the table holds it: ids as text, lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Its workspace.
    pub workspace: &'a str,
    /// Its trace.
    pub trace: &'a str,
    /// Its own id.
    pub span: &'a str,
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
}

/// Calls `each` with the spans in parts of the table that changed within `window`: those of the newest parts first, at
/// most `spans_max`. Rows that name no workspace are none of ours and are left out. One that is in parts merged meanwhile
/// may come twice.
///
/// It goes by the parts' time, because rows carry the time of their call, which may be long ago; and part by part, so
/// that ClickHouse has nothing to sort and streams three columns.
///
/// # Errors
/// When ClickHouse says no or cannot be reached; what `each` was called with until then is right.
pub async fn spans(
    client: &Client,
    window: Duration,
    spans_max: usize,
    mut each: impl FnMut(&Stored<'_>),
) -> Result<(), Failure> {
    let (mut left, mut done) = (spans_max, HashSet::new());
    for _ in 0..LISTINGS_MAX {
        let parts = parts_since(client, window).await?;
        let new: Vec<Part> = parts.into_iter().filter(|part| !done.contains(&part.name)).collect();
        if new.is_empty() {
            break;
        }
        for part in new {
            if left == 0 {
                return Ok(());
            }
            left -= spans_of(client, &part, left, &mut each).await?;
            done.insert(part.name);
        }
    }
    Ok(())
}

/// The parts that changed within `window`, newest first; not those that only patch rows of others.
async fn parts_since(client: &Client, window: Duration) -> Result<Vec<Part>, Failure> {
    let sql = format!(
        "SELECT name, toUInt64(toUnixTimestamp(modification_time)) AS modified_secs FROM system.parts \
         WHERE active AND database = '{}' AND table = '{TABLE}' AND NOT startsWith(name, 'patch-') \
         AND toInt64(toUnixTimestamp(now())) - toInt64(modified_secs) < {} \
         ORDER BY modification_time DESC, max_block_number DESC",
        client.database(),
        window.as_secs(),
    );
    client.http.query(&sql).fetch_all().await.map_err(|error| Failure::of(&error))
}

/// Calls `each` with at most `spans_max` spans of a part; says how many there were. A part that is gone has none.
async fn spans_of(
    client: &Client,
    part: &Part,
    spans_max: usize,
    each: &mut impl FnMut(&Stored<'_>),
) -> Result<usize, Failure> {
    let attribute = workspace::ATTRIBUTE;
    let sql = format!(
        "SELECT ResourceAttributes['{attribute}'] AS workspace, TraceId AS trace, SpanId AS span FROM {}.{TABLE} \
         WHERE _part = {{part:String}} AND workspace != '' LIMIT {spans_max}",
        client.database(),
    );
    let accepted_by = UnixNanos::new(part.modified_secs.saturating_mul(1_000_000_000)).unwrap_or_default();
    let failed = |error| Failure::of(&error);
    let mut rows = client.http.query(&sql).param("part", &part.name).fetch::<Ids<'_>>().map_err(failed)?;
    let mut found = 0;
    while let Some(Ids { workspace, trace, span }) = rows.next().await.map_err(failed)? {
        each(&Stored { workspace, trace, span, accepted_by });
        found += 1;
    }
    Ok(found)
}

/// Calls `each` with the chat spans in parts of the table that changed within `window`, newest parts or not: rows carry
/// the time of their call, which may be long ago, so it is the part's time that tells when they came.
///
/// # Errors
/// When ClickHouse says no or cannot be reached.
pub async fn chat_spans(
    client: &Client,
    window: Duration,
    spans_max: usize,
    mut each: impl FnMut(&Workspace, TraceId, SpanId),
) -> Result<(), Failure> {
    let database = client.database();
    let sql = format!(
        "SELECT ResourceAttributes['{}'], TraceId, SpanId FROM {database}.{TABLE} \
         WHERE ScopeName = '{SCOPE_NAME}' AND _part IN (SELECT name FROM system.parts WHERE active \
         AND database = '{database}' AND table = '{TABLE}' AND modification_time > now() - {}) LIMIT {spans_max}",
        workspace::ATTRIBUTE,
        window.as_secs(),
    );
    let failed = |error| Failure::of(&error);
    let mut rows = client.http.query(&sql).fetch::<(String, String, String)>().map_err(failed)?;
    while let Some((workspace, trace, span)) = rows.next().await.map_err(failed)? {
        let ids = (TraceId::from_hex(trace.as_bytes()), SpanId::from_hex(span.as_bytes()));
        if let (Ok(workspace), (Ok(trace), Ok(span))) = (Workspace::new(&workspace), ids) {
            each(&workspace, trace, span);
        }
    }
    Ok(())
}
