//! A visit: reads some traces, counts them, and writes what changed.
//!
//! ```text
//! 1 times      of traces whose time is not known whole
//! 2 spans      and of spans with several rows the one that stays
//! 3 stored     what the roll-up tables have of them
//! 4 write      reports that changed or are gone
//! 5 write      traces that changed or are gone
//! ```
//!
//! It can be cut off anywhere and done again by anybody. The trace's row comes last and holds the checksum of what was read: while
//! it is missing or old, the walk finds the trace. The row read later has the higher version, so of two visits at once the one that
//! read later wins, whichever wrote first.

use super::tables::Tables;
use super::trace::{RolledUp, roll_up};
use crate::clickhouse::Failure;
use crate::clickhouse::joins::key_of;
use crate::clickhouse::rollups::Began;
use crate::clickhouse::rollups::rows::{Key, ReportRow, SpanRow, Stored, TraceRow, digest_of};
use crate::ids::SegmentId;
use crate::retention::Retention;
use crate::time::UnixNanos;
use crate::traces::TraceKey;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const MINUTE_NANOS: i64 = 60 * 1_000_000_000;
/// Traces that last at most this are read together with others that began about when they did.
const SHORT_NANOS: i64 = 15 * MINUTE_NANOS;
const MIDDLING_NANOS: i64 = 120 * MINUTE_NANOS;
/// So many short traces, or as many as are no further apart than that, are read together all the same.
const FEW: usize = 100;
const FAR_NANOS: i64 = 6 * 60 * MINUTE_NANOS;
/// Traces that one statement names at most.
pub(super) const TRACES_MAX: usize = 4_000;

/// A trace to visit.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) key: TraceKey,
    /// When its spans began, as far as that is known.
    pub(super) began: Began,
    /// That is all of the trace.
    pub(super) is_whole: bool,
    /// Nothing is counted until rows of this segment are seen.
    pub(super) segment: Option<SegmentId>,
}

/// What a visit came to.
#[derive(Debug, Default)]
pub(super) struct Visited {
    /// Traces of which the last delivery is not there yet.
    pub(super) early: Vec<TraceKey>,
    /// Traces that were counted, and how many spans they have.
    pub(super) counted: Vec<(TraceKey, usize)>,
    /// Rows that were written.
    pub(super) rows_written: usize,
}

/// Visits traces: those that are near in time together.
///
/// # Errors
/// If ClickHouse rejects a statement or is unreachable; some of the traces may have been counted.
pub(super) async fn visit<T: Tables>(
    tables: &T,
    retention: &Retention,
    now: UnixNanos,
    looks: Vec<Look>,
) -> Result<Visited, Failure> {
    let mut visited = Visited::default();
    for looks in near_each_other(with_times(tables, looks).await?) {
        let (Some(first), Some(last)) =
            (looks.iter().map(|look| *look.began.start()).min(), looks.iter().map(|look| *look.began.end()).max())
        else {
            continue;
        };
        visit_near(tables, retention, now, &looks, &(first..=last), &mut visited).await?;
    }
    Ok(visited)
}

/// Widens what is known to what the table knows, where that may be more.
async fn with_times<T: Tables>(tables: &T, mut looks: Vec<Look>) -> Result<Vec<Look>, Failure> {
    let unsure: Vec<TraceKey> = looks.iter().filter(|look| !look.is_whole).map(|look| look.key.clone()).collect();
    let mut known = HashMap::new();
    for some in unsure.chunks(TRACES_MAX) {
        known.extend(tables.times(some).await?.into_iter().map(|times| (times.trace, (times.first, times.last))));
    }
    for look in looks.iter_mut().filter(|look| !look.is_whole) {
        if let Some((first, last)) = known.get(&look.key.1.to_string()) {
            look.began = *look.began.start().min(first)..=*look.began.end().max(last);
        }
    }
    Ok(looks)
}

/// Traces that are read with one statement each: short ones of a quarter of an hour, longer ones of an hour, and very long ones by
/// themselves, so that none makes others read what only it needs.
fn near_each_other(looks: Vec<Look>) -> Vec<Vec<Look>> {
    let mut together: BTreeMap<(i64, i64, usize), Vec<Look>> = BTreeMap::new();
    for (place, look) in looks.into_iter().enumerate() {
        let (first, length) = (*look.began.start(), look.began.end().saturating_sub(*look.began.start()));
        let key = if length <= SHORT_NANOS {
            (SHORT_NANOS, first.div_euclid(SHORT_NANOS), 0)
        } else if length <= MIDDLING_NANOS {
            (MIDDLING_NANOS, first.div_euclid(MIDDLING_NANOS / 2), 0)
        } else {
            (i64::MAX, first, place)
        };
        together.entry(key).or_default().push(look);
    }
    let mut batches: Vec<(i64, Vec<Look>)> = Vec::new();
    for ((class, _, _), looks) in together {
        let first = looks.iter().map(|look| *look.began.start()).min();
        match batches.last_mut() {
            // few traces that are far from each other: one statement costs less than many
            Some((of_class, few))
                if class == SHORT_NANOS
                    && *of_class == SHORT_NANOS
                    && few.len() < FEW
                    && few
                        .first()
                        .map(|look| *look.began.start())
                        .zip(first)
                        .is_some_and(|(a, b)| b.saturating_sub(a) < FAR_NANOS) =>
            {
                few.extend(looks);
            }
            _ => batches.push((class, looks)),
        }
    }
    let chunks = |(_, looks): &(i64, Vec<Look>)| looks.chunks(TRACES_MAX).map(<[Look]>::to_vec).collect::<Vec<_>>();
    batches.iter().flat_map(chunks).collect()
}

/// What is known of the traces of a batch.
struct Batch {
    rows: HashMap<TraceKey, Vec<SpanRow>>,
    stored: HashMap<TraceKey, HashMap<Key, Stored>>,
    read_at: u64,
}

async fn visit_near<T: Tables>(
    tables: &T,
    retention: &Retention,
    now: UnixNanos,
    looks: &[Look],
    began: &Began,
    visited: &mut Visited,
) -> Result<(), Failure> {
    let keys: Vec<TraceKey> = looks.iter().map(|look| look.key.clone()).collect();
    let mut batch = read(tables, &keys, began).await?;
    let (mut reports, mut traces) = (Vec::new(), Vec::new());
    for look in looks {
        let rows = batch.rows.remove(&look.key).unwrap_or_default();
        let is_there = |segment: SegmentId| {
            let segment = segment.to_string();
            rows.iter().any(|row| row.segment == segment)
        };
        if look.segment.is_some_and(|segment| !is_there(segment)) {
            visited.early.push(look.key.clone());
            continue;
        }
        visited.counted.push((look.key.clone(), rows.len()));
        let stored = batch.stored.remove(&look.key).unwrap_or_default();
        let first = rows.iter().map(|row| row.began).chain(stored.keys().map(|key| key.began)).min();
        let cutoff = retention.cutoff(&look.key.0, now);
        let is_expiring = first.and_then(UnixNanos::from_i64).zip(cutoff).is_some_and(|(first, of)| of.excludes(first));
        if is_expiring && stored.values().any(|row| row.is_deleted == 0) {
            // some of its spans may be gone already, and it was counted when all were there
            continue;
        }
        let rows = Change { stored, read_at: batch.read_at }.of(&look.key, counted(&look.key, rows));
        reports.extend(rows.0);
        traces.extend(rows.1);
    }
    tables.write_reports(&reports).await?;
    tables.write_traces(&traces).await?;
    visited.rows_written += reports.len() + traces.len();
    Ok(())
}

async fn read<T: Tables>(tables: &T, keys: &[TraceKey], began: &Began) -> Result<Batch, Failure> {
    let wanted: BTreeSet<(String, String)> =
        keys.iter().map(|(workspace, trace)| (workspace.as_str().to_owned(), trace.to_string())).collect();
    let mut batch = Batch { rows: HashMap::new(), stored: HashMap::new(), read_at: 0 };
    for row in tables.spans(keys, began).await? {
        batch.read_at = batch.read_at.max(row.read_at);
        if wanted.contains(&(row.workspace.clone(), row.trace.clone()))
            && let Some(key) = key_of(&row.trace, &row.workspace)
        {
            batch.rows.entry(key).or_default().push(row);
        }
    }
    leave_what_stays(tables, &mut batch, began).await?;
    for row in tables.stored(keys, began).await? {
        let Some(key) = key_of(&row.trace, &row.workspace) else { continue };
        let of_trace = batch.stored.entry(key).or_default();
        match of_trace.get(&row.key()) {
            Some(there) if there.version >= row.version => {}
            _ => {
                of_trace.insert(row.key(), row);
            }
        }
    }
    Ok(batch)
}

/// Which span a row is of.
fn span_of(row: &SpanRow) -> (String, String, String) {
    (row.span.clone(), row.kind.clone(), row.service.clone())
}

/// Of spans with several rows the one that stays is kept, whether the others were removed from the table already or not. Their
/// checksums stay in the sum: what is read is what the walk reads.
async fn leave_what_stays<T: Tables>(tables: &T, batch: &mut Batch, began: &Began) -> Result<(), Failure> {
    let (mut keys, mut doubled) = (Vec::new(), BTreeSet::new());
    for (key, rows) in &batch.rows {
        let mut seen = HashMap::new();
        let again: Vec<String> =
            rows.iter().filter(|row| seen.insert(span_of(row), ()).is_some()).map(|row| row.span.clone()).collect();
        if !again.is_empty() {
            keys.push(key.clone());
            doubled.extend(again);
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let mut standing: HashMap<(TraceKey, (String, String, String)), SpanRow> = HashMap::new();
    for row in tables.standing(&keys, &doubled, began).await? {
        if let Some(key) = key_of(&row.trace, &row.workspace) {
            standing.insert((key, span_of(&row)), row);
        }
    }
    for key in keys {
        let Some(rows) = batch.rows.remove(&key) else { continue };
        let mut left: HashMap<(String, String, String), SpanRow> = HashMap::with_capacity(rows.len());
        for row in rows {
            let span = span_of(&row);
            match left.get_mut(&span) {
                // one that was removed meanwhile has no standing row, and any of the others will do until the next visit
                Some(there) => {
                    let checksum = there.checksum.wrapping_add(row.checksum);
                    let stays = standing.get(&(key.clone(), span)).cloned().unwrap_or(row);
                    *there = SpanRow { checksum, ..stays };
                }
                None => {
                    left.insert(span, row);
                }
            }
        }
        batch.rows.insert(key, left.into_values().collect());
    }
    Ok(())
}

fn counted(key: &TraceKey, rows: Vec<SpanRow>) -> RolledUp {
    let checksum = rows.iter().fold(0_u64, |sum, row| sum.wrapping_add(row.checksum));
    roll_up(key, rows, checksum)
}

/// What has to be written of a trace, beside what the tables have of it.
struct Change {
    stored: HashMap<Key, Stored>,
    read_at: u64,
}

impl Change {
    fn of(self, key: &TraceKey, rolled: RolledUp) -> (Vec<ReportRow>, Vec<TraceRow>) {
        // a clock may go back; a look that comes later counts all the same
        let version = self.stored.values().map(|row| row.version.saturating_add(1)).fold(self.read_at, u64::max);
        let is_new = |of: &Key, digest: u64| {
            self.stored.get(of).is_none_or(|there| there.is_deleted != 0 || there.digest != digest)
        };
        let (mut reports, mut traces) = (Vec::new(), Vec::new());
        let mut left = self.stored.clone();
        for row in rolled.reports {
            let (of, digest) = (row.key(), digest_of(&row));
            left.remove(&of);
            if is_new(&of, digest) {
                reports.push(ReportRow { digest, version, ..row });
            }
        }
        if let Some(row) = rolled.trace {
            let (of, digest) = (row.key(), digest_of(&row));
            left.remove(&of);
            if is_new(&of, digest) {
                traces.push(TraceRow { digest, version, ..row });
            }
        }
        let (workspace, trace_id) = (key.0.as_str().to_owned(), key.1.to_string());
        for (gone, there) in left {
            let Key { began: timestamp, span, kind, service } = gone;
            if there.is_deleted != 0 {
                continue;
            }
            let (workspace, trace_id) = (workspace.clone(), trace_id.clone());
            if span.is_empty() {
                traces.push(TraceRow { workspace, timestamp, trace_id, version, is_deleted: 1, ..TraceRow::default() });
            } else {
                reports.push(ReportRow {
                    workspace,
                    timestamp,
                    trace_id,
                    span_id: span,
                    span_kind: kind,
                    service_name: service,
                    version,
                    is_deleted: 1,
                    ..ReportRow::default()
                });
            }
        }
        (reports, traces)
    }
}
