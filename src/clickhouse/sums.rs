//! Sums of days whose calls do not change any more: which days have none, and how they are made. `schema/sums.rs` says what they are.
//!
//! ```text
//! 1 unsettled   days whose parts are not those that were summed      system.parts
//! 2 settle      sums of a day, as a run of its own                   INSERT SELECT, twice
//!               are its parts still the same? then they are noted    INSERT: from now on the views read the sums
//! 3 forget      runs that nothing needs any more                     DROP PARTITION
//! ```
//!
//! It can be cut off anywhere and done by anybody at any time: what was not noted is never read.

use super::client::{Client, Setting};
use super::errors::Failure;
use super::schema::REPORT_ROWS;
use super::schema::sums::{DAYS, HOUR_ROWS, KEY_ROWS, PARTS, SETTLED, insert_hours, insert_keys, parts_of};
use crate::random;
use crate::time::UnixNanos;
use ::clickhouse::Row;
use serde::Deserialize;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sums are made beside everything else, and go on by way of the disk when a day has many users and sessions.
const SETTINGS: [Setting; 5] = [
    ("max_threads", "1"),
    ("max_memory_usage", "536870912"),
    ("max_bytes_before_external_group_by", "134217728"),
    ("insert_deduplicate", "0"),
    ("wait_end_of_query", "1"),
];
/// How long the sums of a day may take.
const TIMEOUT: Duration = Duration::from_secs(600);
/// A run that is not noted may still be under way for so long, or be read by a query that began before.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);
/// A run is numbered by the time in milliseconds, and a number below this.
const RUNS_AT_ONCE: u64 = 1 << 20;
/// That number of the next run: it begins at random in each process, so that runs of two processes differ as well.
static NEXT_RUN: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(u64::from(u32::from_le_bytes(random::bytes()))));

/// A day, which is a partition of the calls, without sums that hold.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Unsettled {
    /// The id of the partition.
    pub partition: String,
    /// Of the parts that it has.
    pub parts: u64,
    /// For how long those have been the same.
    pub quiet_secs: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Facts {
    first: i64,
    last: i64,
    hour_rows: u64,
    key_rows: u64,
}

/// The days without sums, the latest first.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn unsettled(client: &Client) -> Result<Vec<Unsettled>, Failure> {
    let database = client.database().to_string();
    let sql = format!(
        "SELECT partition_id AS partition, {PARTS} AS parts, \
         toUInt64(greatest(0, dateDiff('second', max(modification_time), now()))) AS quiet_secs \
         FROM {} AND partition_id NOT IN (SELECT PartitionId FROM {database}.{SETTLED}) \
         GROUP BY partition ORDER BY partition DESC",
        parts_of(&database, REPORT_ROWS),
    );
    client.rows(&sql).await
}

/// Sums a day; says whether the sums hold, which they do unless the day changed meanwhile.
///
/// # Errors
/// If ClickHouse rejects a statement, is unreachable, or needs more than this may take.
pub async fn settle(client: &Client, day: &Unsettled, now: UnixNanos) -> Result<bool, Failure> {
    let database = client.database().to_string();
    let Unsettled { partition, parts, .. } = day;
    let run = new_run(now);
    for insert in [insert_hours(&database, partition, run), insert_keys(&database, partition, run)] {
        client.execute_with(&insert, &SETTINGS, TIMEOUT).await?;
    }
    let rows = |table: &str| format!("assumeNotNull((SELECT count() FROM {database}.{table} WHERE Run = {run}))");
    let facts = format!(
        "SELECT toUnixTimestamp64Nano(min(Timestamp)) AS first, toUnixTimestamp64Nano(max(Timestamp)) AS last, \
         {} AS hour_rows, {} AS key_rows FROM {database}.{REPORT_ROWS} WHERE _partition_id = '{partition}'",
        rows(HOUR_ROWS),
        rows(KEY_ROWS),
    );
    let Some(Facts { first, last, hour_rows, key_rows }) = client.rows::<Facts>(&facts).await?.pop() else {
        return Ok(false);
    };
    // all of that was read between two looks at the same parts, and parts that went do not come again
    let now_has = format!("SELECT {PARTS} FROM {} AND partition_id = '{partition}'", parts_of(&database, REPORT_ROWS));
    if client.rows::<u64>(&now_has).await? != [*parts] {
        return Ok(false);
    }
    let note = format!(
        "INSERT INTO {database}.{DAYS} (PartitionId, Parts, Run, First, Last, HourRows, KeyRows) \
         SELECT '{partition}', {parts}, {run}, fromUnixTimestamp64Nano({first}), fromUnixTimestamp64Nano({last}), \
         {hour_rows}, {key_rows}"
    );
    client.execute_with(&note, &SETTINGS, TIMEOUT).await?;
    Ok(true)
}

/// Drops the runs that no day needs; says how many.
///
/// # Errors
/// If ClickHouse rejects a statement or is unreachable.
pub async fn forget(client: &Client, now: UnixNanos) -> Result<usize, Failure> {
    let database = client.database().to_string();
    let before = first_run_of(now.saturating_sub(FORGOTTEN_AFTER));
    let mut dropped = 0;
    for table in [HOUR_ROWS, KEY_ROWS] {
        let sql = format!(
            "SELECT DISTINCT toUInt64(partition_id) FROM {} AND toUInt64(partition_id) < {before} AND toUInt64(partition_id) \
             NOT IN (SELECT Run FROM {database}.{DAYS} FINAL WHERE PartitionId IN (SELECT partition_id FROM {}))",
            parts_of(&database, table),
            parts_of(&database, REPORT_ROWS),
        );
        for run in client.rows::<u64>(&sql).await? {
            client.execute(&format!("ALTER TABLE {database}.{table} DROP PARTITION ID '{run}'")).await?;
            dropped += 1;
        }
    }
    Ok(dropped)
}

/// A number that no other run has: rows of two days under one number would be counted with both.
fn new_run(now: UnixNanos) -> u64 {
    first_run_of(now).saturating_add(NEXT_RUN.fetch_add(1, Ordering::Relaxed) % RUNS_AT_ONCE)
}

fn first_run_of(time: UnixNanos) -> u64 {
    (time.nanos().unsigned_abs() / 1_000_000).saturating_mul(RUNS_AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_by_time_and_those_of_the_same_moment_all_differ() {
        let now = UnixNanos::new(1_795_132_800_000_000_000).unwrap();
        let later = now.saturating_add(Duration::from_millis(1));
        let runs: std::collections::BTreeSet<u64> = (0..10_000).map(|_| new_run(now)).collect();
        assert_eq!(runs.len(), 10_000, "days that are summed at the same moment share no run");
        assert!(runs.iter().all(|run| (first_run_of(now)..first_run_of(later)).contains(run)), "{runs:?}");
        let end = UnixNanos::from_i64(i64::MAX).unwrap();
        assert!(new_run(end) > first_run_of(now), "the last time that there is");
        let in_microseconds = now.nanos().unsigned_abs() / 1_000 * 1_024 + 1_023;
        assert!(new_run(now) > in_microseconds, "a run supersedes those that were numbered in microseconds");
    }
}
