//! What the table says was stored lately: warms the index of duplicates after a start.

use super::{Client, Failure, schema::TABLE};
use crate::chat::SCOPE_NAME;
use crate::ids::{SegmentId, SpanId, TraceId};
use crate::workspace::{self, Workspace};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

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

/// The rows of a segment that the table has, by trace and span id. `began` bounds when its spans began, in nanoseconds since
/// 1970, and so what is read.
///
/// # Errors
/// When ClickHouse says no or cannot be reached.
pub async fn rows_of(
    client: &Client,
    segment: SegmentId,
    began: RangeInclusive<i64>,
) -> Result<HashSet<(String, String)>, Failure> {
    let sql = format!(
        "SELECT TraceId, SpanId FROM {}.{TABLE} WHERE SegmentId = '{segment}' AND \
         Timestamp BETWEEN fromUnixTimestamp64Nano({}) AND fromUnixTimestamp64Nano({})",
        client.database(),
        began.start(),
        began.end(),
    );
    let failed = |error| Failure::of(&error);
    let mut rows = client.http.query(&sql).fetch::<(String, String)>().map_err(failed)?;
    let mut found = HashSet::new();
    while let Some(row) = rows.next().await.map_err(failed)? {
        found.insert(row);
    }
    Ok(found)
}
