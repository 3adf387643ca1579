//! Counts a range of time anew, whatever was counted before: for `millrace rollup rebuild`.

use super::tables::Tables;
use super::visit::{Look, TRACES_MAX, visit};
use super::walk::Hours;
use crate::clickhouse::Failure;
use crate::clickhouse::joins::key_of;
use crate::clickhouse::rollups::{Began, Slice};
use crate::retention::Retention;
use crate::time::UnixNanos;
use crate::traces::TraceKey;
use std::collections::BTreeMap;

const HOUR_NANOS: i64 = 3_600 * 1_000_000_000;
/// GenAI spans of a slice, about.
const SLICE_SPANS: u64 = 100_000;

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Hours that are done.
    pub hours: usize,
    /// Of so many.
    pub hours_all: usize,
    /// Traces that were counted.
    pub traces: usize,
    /// Rows that had to be written.
    pub rows: usize,
}

/// Counts all traces with GenAI spans that began in that time, the latest hour first, and tells `progress` after each hour.
///
/// # Errors
/// If ClickHouse rejects a statement or is unreachable. What was done until then is right; it can be begun again.
pub async fn rebuild<T: Tables>(
    tables: &T,
    retention: &Retention,
    now: UnixNanos,
    began: &Began,
    mut progress: impl FnMut(Rebuilt),
) -> Result<Rebuilt, Failure> {
    let ends = tables.ends().await?;
    let (from, to) = (*began.start().max(ends.start()), *began.end().min(&ends.end().saturating_add(HOUR_NANOS)));
    let mut done = Rebuilt::default();
    if from > to {
        return Ok(done);
    }
    let hours: Vec<i64> = (from.div_euclid(HOUR_NANOS)..=to.div_euclid(HOUR_NANOS)).rev().collect();
    done.hours_all = hours.len();
    for hour in hours {
        let (time, of_rows) = Hours::one(hour.saturating_mul(HOUR_NANOS / 1_000_000_000)).times();
        let spans: u64 = tables.hours(&time).await?.iter().map(|hour| hour.genai).sum();
        let of = spans.div_ceil(SLICE_SPANS).max(1);
        for place in 0..of {
            let looks = looks_of(tables, &time, &of_rows, Slice { place, of }).await?;
            for some in looks.chunks(TRACES_MAX) {
                let visited = visit(tables, retention, now, some.to_vec()).await?;
                done.traces += visited.counted.len();
                done.rows += visited.rows_written;
            }
        }
        done.hours += 1;
        progress(done);
    }
    Ok(done)
}

/// The traces of an hour: those with a GenAI span in it, and those that were counted and began in it.
async fn looks_of<T: Tables>(tables: &T, hour: &Began, of_rows: &Began, slice: Slice) -> Result<Vec<Look>, Failure> {
    let mut found: BTreeMap<(String, String), (TraceKey, Began)> = BTreeMap::new();
    let counted = tables.counted(of_rows, slice).await?;
    let counted = counted.into_iter().filter(|sum| hour.contains(&sum.first));
    for sum in tables.sums(hour, slice, of_rows).await?.into_iter().chain(counted) {
        let Some(key) = key_of(&sum.trace, &sum.workspace) else { continue };
        let (_, began) = found.entry((sum.workspace, sum.trace)).or_insert_with(|| (key, sum.first..=sum.last));
        *began = *began.start().min(&sum.first)..=*began.end().max(&sum.last);
    }
    let look = |(key, began)| Look { key, began, is_whole: false, segment: None };
    Ok(found.into_values().map(look).collect())
}
