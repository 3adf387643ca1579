//! The times of the traces that were stored before anything noted them: filled in piece by piece.

use super::super::client::Client;
use super::super::cluster::TABLE;
use super::super::errors::Failure;
use super::super::nodes::SKIP_ABSENT;
use super::ddl::TIMES_OF_TRACES;
use super::layout::Layout;
use super::lock::Lock;
use ::clickhouse::Row;
use serde::Deserialize;
use std::time::Duration;

/// A partition with more rows is read hour by hour.
const ROWS_AT_ONCE_MAX: u64 = 10_000_000;
/// Bounds what a piece takes: memory in bytes, then it goes on by way of the disk; and threads.
const LIMITS: &str = "SETTINGS max_bytes_before_external_group_by = 200000000, max_threads = 2";
/// How long a piece may take.
const PIECE_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Debug, Row, Deserialize)]
struct Partition {
    id: String,
    rows: u64,
}

/// Reads every row that is there now. Rows that come meanwhile may be counted twice, which changes no minimum.
pub(super) async fn fill(client: &Client, layout: &Layout, target: &str, lock: &mut Lock<'_>) -> Result<(), Failure> {
    let sql = format!(
        "SELECT partition_id AS id, sum(rows) AS rows FROM {} WHERE active AND database = '{}' AND table = '{}' \
         GROUP BY id ORDER BY id DESC {SKIP_ABSENT}",
        layout.system("parts"),
        layout.database,
        layout.local(TABLE),
    );
    let partitions: Vec<Partition> = client.rows(&sql).await?;
    for Partition { id, rows } in &partitions {
        let hours = if *rows > ROWS_AT_ONCE_MAX { 24 } else { 1 };
        for hour in 0..hours {
            let of_hour = if hours > 1 { format!(" AND toHour(Timestamp) = {hour}") } else { String::new() };
            let piece = fill_where(layout, target, &format!(" AND _partition_id = '{id}'{of_hour}"));
            client.execute_with(&format!("{piece} {LIMITS}"), &[], PIECE_TIMEOUT).await?;
            lock.renew().await?;
        }
    }
    if !partitions.is_empty() {
        tracing::info!(partitions = partitions.len(), "noted when the traces stored before began and ended");
    }
    Ok(())
}

/// All at once, as an operator would do it.
pub(super) fn fill_all(layout: &Layout, target: &str) -> String {
    fill_where(layout, target, "")
}

fn fill_where(layout: &Layout, target: &str, condition: &str) -> String {
    format!(
        "INSERT INTO {} (TraceId, Start, End) {TIMES_OF_TRACES} FROM {} WHERE TraceId != ''{condition} GROUP BY TraceId",
        layout.full(target),
        layout.full(TABLE),
    )
}
