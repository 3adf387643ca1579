//! What a ClickHouse has of the schema already.

use super::super::{Client, Failure};
use super::cluster::Layout;
use super::ddl::{Setting, TABLE, VERSIONS};
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::HashMap;

/// What there is; empty: nothing at all.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) has_database: bool,
    tables: HashMap<String, Table>,
    /// Type of each column, by table and name.
    columns: HashMap<(String, String), String>,
    /// The versions of the schema that were applied.
    pub(super) versions: Vec<u32>,
}

#[derive(Debug, Clone, Row, Deserialize)]
pub(super) struct Table {
    name: String,
    pub(super) engine: String,
    engine_full: String,
    create_table_query: String,
    pub(super) comment: String,
    /// The materialized views that what is inserted goes through too.
    pub(super) dependencies_table: Vec<String>,
}

#[derive(Debug, Row, Deserialize)]
struct ColumnOfTable {
    table: String,
    name: String,
    r#type: String,
}

impl Found {
    /// Asks the server; on a cluster, the node that answers.
    pub(super) async fn look(client: &Client, layout: &Layout) -> Result<Self, Failure> {
        let database = &layout.database;
        let databases: Vec<u64> =
            client.rows(&format!("SELECT count() FROM system.databases WHERE name = '{database}'")).await?;
        let tables = format!(
            "SELECT name, engine, engine_full, create_table_query, comment, dependencies_table FROM system.tables \
             WHERE database = '{database}'"
        );
        let columns = format!(
            "SELECT table, name, type FROM system.columns \
             WHERE database = '{database}' AND table IN ('{TABLE}', '{TABLE}_local')"
        );
        let tables: Vec<Table> = client.rows(&tables).await?;
        let columns: Vec<ColumnOfTable> = client.rows(&columns).await?;
        let mut found = Self {
            has_database: databases.iter().sum::<u64>() > 0,
            tables: tables.into_iter().map(|table| (table.name.clone(), table)).collect(),
            columns: columns.into_iter().map(|column| ((column.table, column.name), column.r#type)).collect(),
            versions: Vec::new(),
        };
        if found.has(VERSIONS) {
            let versions = format!("SELECT DISTINCT version FROM {} ORDER BY version", layout.full(VERSIONS));
            found.versions = client.rows(&versions).await?;
        }
        Ok(found)
    }

    pub(super) fn has(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    pub(super) fn column_type(&self, table: &str, name: &str) -> Option<&str> {
        self.columns.get(&(table.to_owned(), name.to_owned())).map(String::as_str)
    }

    pub(super) fn has_setting(&self, table: &str, setting: &Setting) -> bool {
        let Some(table) = self.table(table) else { return false };
        let settings = table.engine_full.rsplit_once(" SETTINGS ").map_or("", |(_, settings)| settings);
        settings.split(", ").any(|there| there == setting.sql())
    }

    /// The TTL of a table's rows.
    pub(super) fn row_ttl(&self, table: &str) -> Option<&str> {
        let (_, behind) = self.table(table)?.engine_full.split_once(" TTL ")?;
        Some(behind.rsplit_once(" SETTINGS ").map_or(behind, |(ttl, _)| ttl))
    }

    /// The TTL of a column.
    pub(super) fn column_ttl(&self, table: &str, column: &str) -> Option<&str> {
        let table = self.table(table)?;
        let (_, behind) = table.create_table_query.split_once(&format!("`{column}` "))?;
        // the next column, index or constraint begins with a word of its own
        let ends = [", `", ", INDEX ", ", PROJECTION ", ", CONSTRAINT ", ") ENGINE"];
        let end = ends.iter().filter_map(|end| behind.find(end)).min()?;
        behind.get(..end)?.split_once(" TTL ").map(|(_, ttl)| ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_and_settings_are_read_off_what_clickhouse_prints() {
        let table = Table {
            name: "t".to_owned(),
            engine: "MergeTree".to_owned(),
            engine_full: "MergeTree PARTITION BY d ORDER BY w TTL toDateTime(T) + toIntervalDay(5) \
                          SETTINGS ttl_only_drop_parts = 1, index_granularity = 8192"
                .to_owned(),
            create_table_query: "CREATE TABLE o.t (`T` DateTime64(9), `C` String CODEC(ZSTD(1)) TTL toDateTime(T) + \
                                 toIntervalSecond(multiIf(W = 'a', 1, 2)), `M` Map(String, String) TTL x, INDEX i T TYPE \
                                 minmax GRANULARITY 1) ENGINE = MergeTree ORDER BY w"
                .to_owned(),
            comment: String::new(),
            dependencies_table: Vec::new(),
        };
        let found = Found { tables: [("t".to_owned(), table)].into(), ..Found::default() };
        assert_eq!(found.row_ttl("t"), Some("toDateTime(T) + toIntervalDay(5)"));
        assert_eq!(found.column_ttl("t", "T"), None);
        assert_eq!(found.column_ttl("t", "C"), Some("toDateTime(T) + toIntervalSecond(multiIf(W = 'a', 1, 2))"));
        assert_eq!(found.column_ttl("t", "M"), Some("x"));
        assert_eq!(found.row_ttl("other"), None);
        assert!(found.has_setting("t", &Setting::new("ttl_only_drop_parts", 1)));
        assert!(!found.has_setting("t", &Setting::new("ttl_only_drop_parts", 0)));
    }
}
