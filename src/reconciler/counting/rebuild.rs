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
use std::collections::{BTreeMap, HashMap};

const HOUR_SECS: i64 = 3_600;
const HOUR_NANOS: i64 = HOUR_SECS * 1_000_000_000;
/// GenAI spans of a slice, about.
const SLICE_SPANS: u64 = 100_000;
/// Hours of which it is asked at once how many spans they have.
const LISTED: usize = 24;
/// Hours that are counted together at most, if they have so few spans: a month.
const HOURS_AT_ONCE_MAX: usize = 31 * 24;

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

/// Counts all traces with GenAI spans that began in that time, the latest first, and tells `progress` how far it is. Hours with few
/// spans are counted together.
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
    let mut together = Together::default();
    for listed in hours.chunks(LISTED) {
        for (hour, spans) in with_spans(tables, listed).await? {
            if !together.has_room_for(spans) {
                count(tables, retention, now, std::mem::take(&mut together), &mut done).await?;
                progress(done);
            }
            together.add(hour, spans);
        }
    }
    count(tables, retention, now, together, &mut done).await?;
    progress(done);
    Ok(done)
}

/// Hours in a row, numbered from 1970, that are counted together.
#[derive(Debug, Default)]
struct Together {
    /// The latest first.
    hours: Vec<i64>,
    /// GenAI spans in them.
    spans: u64,
}

impl Together {
    fn has_room_for(&self, spans: u64) -> bool {
        self.hours.is_empty()
            || (self.hours.len() < HOURS_AT_ONCE_MAX && self.spans.saturating_add(spans) <= SLICE_SPANS)
    }

    fn add(&mut self, hour: i64, spans: u64) {
        self.hours.push(hour);
        self.spans = self.spans.saturating_add(spans);
    }
}

/// These hours, of which the latest is the first, with the GenAI spans in each.
async fn with_spans<T: Tables>(tables: &T, hours: &[i64]) -> Result<Vec<(i64, u64)>, Failure> {
    let (Some(last), Some(first)) = (hours.first(), hours.last()) else { return Ok(Vec::new()) };
    let (time, _) = secs(*first, *last).times();
    let listed = tables.hours(&time).await?;
    let spans: HashMap<i64, u64> = listed.iter().map(|hour| (hour.start_secs, hour.genai)).collect();
    let of = |hour: &i64| (*hour, spans.get(&hour.saturating_mul(HOUR_SECS)).copied().unwrap_or(0));
    Ok(hours.iter().map(of).collect())
}

/// From the beginning of an hour to the end of another.
fn secs(first: i64, last: i64) -> Hours {
    Hours::new(first.saturating_mul(HOUR_SECS), last.saturating_add(1).saturating_mul(HOUR_SECS))
}

async fn count<T: Tables>(
    tables: &T,
    retention: &Retention,
    now: UnixNanos,
    together: Together,
    done: &mut Rebuilt,
) -> Result<(), Failure> {
    let (Some(last), Some(first)) = (together.hours.first(), together.hours.last()) else { return Ok(()) };
    let (time, of_rows) = secs(*first, *last).times();
    let of = together.spans.div_ceil(SLICE_SPANS).max(1);
    for place in 0..of {
        let looks = looks_of(tables, &time, &of_rows, Slice { place, of }).await?;
        for some in looks.chunks(TRACES_MAX) {
            let visited = visit(tables, retention, now, some.to_vec()).await?;
            done.traces += visited.counted.len();
            done.rows += visited.rows_written;
        }
    }
    done.hours += together.hours.len();
    Ok(())
}

/// The traces of some hours: those with a GenAI span in them, and those that were counted and began in them.
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
