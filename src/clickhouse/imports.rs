//! Rows of imports, by the resource attribute that names it.

use super::client::{Client, Setting};
use super::errors::Failure;
use crate::columns::Table;
use crate::formats::ATTRIBUTE;
use crate::sql::quoted;
use crate::telemetry::RowKind;
use ::clickhouse::Row;
use serde::Deserialize;
use std::time::Duration;

/// A mutation rewrites whole parts.
const MUTATION_TIMEOUT: Duration = Duration::from_secs(3_600);
const MUTATION_SETTINGS: [Setting; 2] = [("mutations_sync", "2"), ("max_execution_time", "3600")];
/// Imports that one statement is about, at most.
const IMPORTS_MAX: usize = 500;

#[derive(Debug, Row, Deserialize)]
struct Id {
    id: String,
}

#[derive(Debug, Row, Deserialize)]
struct Extent {
    rows: u64,
    first: i64,
    last: i64,
}

/// How many rows of an import a table has, and of which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Where.
    pub table: Table,
    /// How many.
    pub rows: u64,
    /// Times of the first and the last, in nanoseconds.
    pub between: (i64, i64),
}

/// What an evaluator result is about.
#[derive(Debug, Row, Deserialize)]
struct Evaluated {
    workspace: String,
    trace_id: String,
    span_id: String,
    name: String,
    created_by: String,
    version: u64,
}

fn attribute() -> String {
    format!("ResourceAttributes['{ATTRIBUTE}']")
}

/// Those of these imports that have rows of spans.
///
/// # Errors
/// If ClickHouse rejects a statement or is unreachable.
pub async fn stored(client: &Client, imports: &[String]) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for some in imports.chunks(IMPORTS_MAX) {
        let list = some.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(",");
        let sql = format!(
            "SELECT DISTINCT {0} AS id FROM {1}.{2} WHERE {0} IN ({list})",
            attribute(),
            client.database(),
            Table::Traces.name()
        );
        let ids: Vec<Id> = client.rows(&sql).await?;
        found.extend(ids.into_iter().map(|row| row.id));
    }
    Ok(found)
}

/// What is stored of an import, by table.
///
/// # Errors
/// As above.
pub async fn extent(client: &Client, import: &str) -> Result<Vec<Stored>, Failure> {
    let mut all = Vec::new();
    for table in Table::ALL.into_iter().filter(|table| table.row_kind() != RowKind::Scores) {
        let (time, name) = (table.time_column(), table.name());
        let nanos = |bound: &str| format!("toInt64(toUnixTimestamp64Nano(toDateTime64({bound}({time}), 9)))");
        let sql = format!(
            "SELECT count() AS rows, {} AS first, {} AS last FROM {}.{name} WHERE {} = {}",
            nanos("min"),
            nanos("max"),
            client.database(),
            attribute(),
            quoted(import)
        );
        let found: Vec<Extent> = client.rows(&sql).await?;
        let rows = found.into_iter().filter(|extent| extent.rows > 0);
        all.extend(rows.map(|of| Stored { table, rows: of.rows, between: (of.first, of.last) }));
    }
    Ok(all)
}

/// Removes what is stored of an import.
///
/// # Errors
/// As above; some of it may have been done.
pub async fn remove(client: &Client, import: &str, stored: &[Stored]) -> Result<(), Failure> {
    for of in stored {
        let (time, (first, last)) = (of.table.time_column(), of.between);
        if of.table == Table::Logs {
            remove_results(client, import).await?;
        }
        let sql = format!(
            "ALTER TABLE {} DELETE WHERE {} = {} AND {time} >= fromUnixTimestamp64Nano({first}) AND {time} <= fromUnixTimestamp64Nano({last})",
            client.holding(of.table.name()),
            attribute(),
            quoted(import),
        );
        client.execute_with(&sql, &MUTATION_SETTINGS, MUTATION_TIMEOUT).await?;
    }
    Ok(())
}

/// Removes the evaluator results that log records of an import made. They name no import themselves, but the record: who wrote it, and
/// when, is theirs (`otlp/protobuf/evaluations.rs`), so one of the same name that came by another way stays.
async fn remove_results(client: &Client, import: &str) -> Result<(), Failure> {
    let sql = format!(
        "SELECT DISTINCT Workspace AS workspace, TraceId AS trace_id, SpanId AS span_id, LogAttributes['gen_ai.evaluation.name'] AS name, \
         ServiceName AS created_by, toUInt64(intDiv(toUnixTimestamp64Nano(Timestamp), 1000)) AS version \
         FROM {}.{} WHERE {} = {} AND EventName = 'gen_ai.evaluation.result'",
        client.database(),
        Table::Logs.name(),
        attribute(),
        quoted(import)
    );
    let found: Vec<Evaluated> = client.rows(&sql).await?;
    for some in found.chunks(IMPORTS_MAX) {
        let keys = some.iter().map(|of| {
            let parts = [&of.workspace, &of.trace_id, &of.span_id, &of.name, &of.created_by].map(|part| quoted(part));
            format!("({},{})", parts.join(","), of.version)
        });
        let sql = format!(
            "ALTER TABLE {} DELETE WHERE (Workspace, TraceId, SpanId, Name, CreatedBy, Version) IN ({})",
            client.holding(Table::EvaluatorResults.name()),
            keys.collect::<Vec<_>>().join(",")
        );
        client.execute_with(&sql, &MUTATION_SETTINGS, MUTATION_TIMEOUT).await?;
    }
    Ok(())
}
