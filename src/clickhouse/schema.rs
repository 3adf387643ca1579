//! The table: its DDL, made from the column list. A table that is there already, made by an earlier Millrace or by the
//! OpenTelemetry exporter, gets the columns it lacks.
//!
//! Clustered by trace within the hour (spans of one trace are neighbours: they compress each other, and a trace is read
//! in one go), partitioned by day so that old days go at once.

use super::{Class, Client, Database, Failure};
use crate::columns::{ALIASES, Alias, COLUMNS, Column};
use std::fmt::Write as _;

/// The table of spans.
pub const TABLE: &str = "otel_traces";

/// Where the table lives decides how it guards against power cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In the embedded engine, which calls no fsync unless a table asks for it.
    Embedded,
    /// On a server, whose operator decides.
    Server,
}

/// Recent inserts whose tokens the table remembers: far more than can be in doubt at once.
const DEDUPLICATION_WINDOW: usize = 10_000;

/// Makes database, table and columns when they are not there.
///
/// # Errors
/// When ClickHouse says no or cannot be reached.
pub async fn apply(client: &Client, home: Home) -> Result<(), Failure> {
    let [database, table, columns, settings] = statements(client.database(), home);
    for statement in [database, table, columns] {
        client.execute(&statement).await?;
    }
    match client.execute(&settings).await {
        // an engine of another kind may not know the setting
        Err(failure) if failure.class != Class::Retry || !failure.is_known => {
            let why = failure.message;
            tracing::warn!(
                why,
                "cannot set the table's deduplication window: a repeated insert may store its rows twice"
            );
            Ok(())
        }
        done => done,
    }
}

/// The statements, in order.
#[must_use]
pub fn statements(database: &Database, home: Home) -> [String; 4] {
    [
        format!("CREATE DATABASE IF NOT EXISTS {database}"),
        create_table(database, home),
        add_missing_columns(database),
        format!("ALTER TABLE {database}.{TABLE} MODIFY SETTING {}", settings(home)),
    ]
}

/// What a table of somebody else's making has otherwise: repeats would not be recognised, and, embedded, nothing synced.
fn settings(home: Home) -> String {
    let window = format!("non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}");
    match home {
        Home::Server => window,
        Home::Embedded => format!("{window}, {FSYNC_SETTINGS}"),
    }
}

/// Without them the engine may lose what it confirmed, and refuse to start, after a power cut.
const FSYNC_SETTINGS: &str = "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, \
                              min_compressed_bytes_to_fsync_after_merge = 1";

/// One statement for all columns: a table made just now has them, so it changes nothing there.
fn add_missing_columns(database: &Database) -> String {
    let add = |definition: String| format!("    ADD COLUMN IF NOT EXISTS {definition}");
    let columns: Vec<_> = definitions().map(add).collect();
    format!("ALTER TABLE {database}.{TABLE}\n{}", columns.join(",\n"))
}

/// Every column as the DDL has it.
fn definitions() -> impl Iterator<Item = String> {
    let stored = |column: &Column| {
        let Column { name, table_type, codec, default, .. } = column;
        let default = if default.is_empty() { String::new() } else { format!(" DEFAULT {default}") };
        format!("`{name}` {table_type}{default} CODEC({codec})")
    };
    let computed = |Alias { name, table_type, expression }: &Alias| format!("`{name}` {table_type} ALIAS {expression}");
    COLUMNS.iter().map(stored).chain(ALIASES.iter().map(computed))
}

fn create_table(database: &Database, home: Home) -> String {
    let mut sql = format!("CREATE TABLE IF NOT EXISTS {database}.{TABLE}\n(\n");
    for definition in definitions() {
        let _cannot_fail = writeln!(sql, "    {definition},");
    }
    sql.push_str(
        "    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,\n    \
             INDEX idx_service_name ServiceName TYPE set(100) GRANULARITY 1,\n    \
             INDEX idx_span_name SpanName TYPE bloom_filter(0.01) GRANULARITY 1,\n    \
             INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,\n    \
             INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,\n    \
             INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,\n    \
             INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,\n    \
             INDEX idx_duration Duration TYPE minmax GRANULARITY 1\n)\n\
         ENGINE = MergeTree\n\
         PARTITION BY toDate(Timestamp)\n\
         ORDER BY (toStartOfHour(Timestamp), TraceId, Timestamp)\n",
    );
    let _cannot_fail = write!(sql, "SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, {}", settings(home));
    sql
}

/// The insert of Native blocks: names every column of theirs, so that a table with more fills those by default. Without
/// `columns` they are those of this program.
#[must_use]
pub fn insert_statement(database: &Database, columns: Option<&[String]>) -> String {
    let quoted = |name: &str| format!("`{}`", name.replace(['`', '\\'], ""));
    let names: Vec<_> = match columns {
        Some(names) => names.iter().map(|name| quoted(name)).collect(),
        None => COLUMNS.iter().map(|column| quoted(column.name)).collect(),
    };
    format!("INSERT INTO {database}.{TABLE} ({}) FORMAT Native", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_table_is_synced_and_a_servers_is_as_its_operator_wants() {
        let ddl = |home| statements(&Database::default(), home).concat();
        assert!(ddl(Home::Embedded).contains("fsync_after_insert = 1"));
        assert!(!ddl(Home::Server).contains("fsync"));
        for definition in definitions() {
            assert_eq!(ddl(Home::Server).matches(&definition).count(), 2, "made and added: {definition}");
        }
    }
}
