//! What a ClickHouse has of the schema already, node by node; a server that is alone is one node.

use super::super::client::Client;
use super::super::errors::Failure;
use super::super::nodes::{self, ClusterNode, SKIP_ABSENT};
use super::ddl::{Setting, VERSIONS};
use super::experiments::{EXPERIMENTS, GROUPS};
use super::layout::Layout;
use super::rollups::ROLLUPS;
use super::sums::KEY_ROWS;
use crate::columns;
use crate::sql::code;
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::HashMap;

/// What there is; empty: nothing at all.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// Those that answered, in the order of the cluster's configuration.
    pub(super) nodes: Vec<NodeFound>,
    /// `host:port` of those that did not.
    pub(super) absent: Vec<String>,
    /// The versions of the schema that were applied.
    pub(super) versions: Vec<u32>,
}

/// What one node has.
#[derive(Debug, Clone)]
pub(super) struct NodeFound {
    pub(super) node: ClusterNode,
    has_database: bool,
    tables: HashMap<String, Table>,
    /// Type of each column, by table and name.
    columns: HashMap<(String, String), String>,
    /// Its replicas of replicated tables, by table.
    pub(super) replicas: HashMap<String, Replica>,
}

#[derive(Debug, Clone, Row, Deserialize)]
pub(super) struct Table {
    node: u32,
    name: String,
    pub(super) engine: String,
    engine_full: String,
    pub(super) create_table_query: String,
    pub(super) uuid: String,
    pub(super) comment: String,
    /// The materialized views that what is inserted goes through too.
    pub(super) dependencies_table: Vec<String>,
}

/// A replica of a table, as its node knows it.
#[derive(Debug, Clone, Row, Deserialize)]
pub(super) struct Replica {
    node: u32,
    table: String,
    /// Where in Keeper it meets the others.
    pub(super) path: String,
    pub(super) name: String,
    /// Names of all that Keeper knows there.
    pub(super) all: Vec<String>,
}

#[derive(Debug, Row, Deserialize)]
struct ColumnOfTable {
    node: u32,
    table: String,
    name: String,
    r#type: String,
}

impl Found {
    /// Asks the server; on a cluster, all its nodes that answer.
    pub(super) async fn look(client: &Client, layout: &Layout) -> Result<Self, Failure> {
        let (listed, answering) = match &layout.cluster {
            None => (vec![ClusterNode { number: 0, shard: 0, address: String::new() }], [0].into()),
            Some(cluster) => {
                (nodes::listed(client, &cluster.name).await?, nodes::answering(client, &cluster.name).await?)
            }
        };
        let (present, absent): (Vec<_>, Vec<_>) = listed.into_iter().partition(|node| answering.contains(&node.number));
        let mut found = Self {
            nodes: present.into_iter().map(NodeFound::new).collect(),
            absent: absent.into_iter().map(|node| node.address).collect(),
            versions: Vec::new(),
        };
        found.fill(client, layout).await?;
        if found.is_anywhere(VERSIONS) {
            // shards that are new have no such table yet
            let versions =
                format!("SELECT DISTINCT version FROM {} ORDER BY version {SKIP_ABSENT}", layout.full(VERSIONS));
            // and nodes that are new not even the one that spreads it
            found.versions = match client.rows(&versions).await {
                Err(failure) if is_missing(&failure) && !found.has(VERSIONS) => Vec::new(),
                versions => versions?,
            };
        }
        Ok(found)
    }

    async fn fill(&mut self, client: &Client, layout: &Layout) -> Result<(), Failure> {
        let database = &layout.database;
        let (node, skip) = if layout.cluster.is_some() { ("_shard_num", SKIP_ABSENT) } else { ("toUInt32(0)", "") };
        let from = |table: &str| layout.system(table);
        let databases = format!("SELECT {node} FROM {} WHERE name = '{database}' {skip}", from("databases"));
        for number in client.rows::<u32>(&databases).await? {
            self.on(number, |node| node.has_database = true);
        }
        let tables = format!(
            "SELECT {node} AS node, name, engine, engine_full, create_table_query, toString(uuid) AS uuid, comment, \
             dependencies_table FROM {} WHERE database = '{database}' {skip}",
            from("tables")
        );
        for table in client.rows::<Table>(&tables).await? {
            self.on(table.node, |node| drop(node.tables.insert(table.name.clone(), table)));
        }
        let inserted = columns::Table::ALL.map(columns::Table::name);
        let written = [GROUPS, EXPERIMENTS, KEY_ROWS].into_iter().chain(ROLLUPS.iter().map(|rollup| rollup.name));
        let with_columns = inserted.into_iter().chain(written);
        let with_columns = with_columns.map(|table| format!("'{table}', '{table}_local'")).collect::<Vec<_>>();
        let columns = format!(
            "SELECT {node} AS node, table, name, type FROM {} \
             WHERE database = '{database}' AND table IN ({}) {skip}",
            from("columns"),
            with_columns.join(", "),
        );
        for column in client.rows::<ColumnOfTable>(&columns).await? {
            self.on(column.node, |node| drop(node.columns.insert((column.table, column.name), column.r#type)));
        }
        if layout.cluster.is_none() {
            return Ok(());
        }
        let replicas = format!(
            "SELECT {node} AS node, table, zookeeper_path AS path, replica_name AS name, \
             arraySort(mapKeys(replica_is_active)) AS all FROM {} WHERE database = '{database}' {skip}",
            from("replicas")
        );
        for replica in client.rows::<Replica>(&replicas).await? {
            self.on(replica.node, |node| drop(node.replicas.insert(replica.table.clone(), replica)));
        }
        Ok(())
    }

    fn on(&mut self, number: u32, note: impl FnOnce(&mut NodeFound)) {
        // one that came back in between is left for the next time
        if let Some(node) = self.nodes.iter_mut().find(|found| found.node.number == number) {
            note(node);
        }
    }

    pub(super) fn has_database(&self) -> bool {
        self.is_everywhere(|node| node.has_database)
    }

    /// Whether every node has it.
    pub(super) fn has(&self, table: &str) -> bool {
        self.is_everywhere(|node| node.tables.contains_key(table))
    }

    /// Whether any node has it.
    pub(super) fn is_anywhere(&self, table: &str) -> bool {
        self.table(table).is_some()
    }

    fn is_everywhere(&self, condition: impl Fn(&NodeFound) -> bool) -> bool {
        !self.nodes.is_empty() && self.nodes.iter().all(condition)
    }

    /// As the first node has it that does.
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables(name).next()
    }

    /// As each node has it that does.
    pub(super) fn tables(&self, name: &str) -> impl Iterator<Item = &Table> {
        self.nodes.iter().filter_map(move |node| node.tables.get(name))
    }

    /// Nothing if one of the nodes that have the table lacks the column.
    pub(super) fn column_type(&self, table: &str, name: &str) -> Option<&str> {
        let key = (table.to_owned(), name.to_owned());
        let having = self.nodes.iter().filter(|node| node.tables.contains_key(table));
        let types: Option<Vec<&String>> = having.map(|node| node.columns.get(&key)).collect();
        types?.first().map(|name| name.as_str())
    }

    /// Whether all nodes that have the table have it so.
    pub(super) fn has_setting(&self, table: &str, setting: &Setting) -> bool {
        let has = |table: &Table| {
            let settings = table.engine_full.rsplit_once(" SETTINGS ").map_or("", |(_, settings)| settings);
            settings.split(", ").any(|there| there == setting.sql())
        };
        self.is_anywhere(table) && self.tables(table).all(has)
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

fn is_missing(failure: &Failure) -> bool {
    failure.is(code::UNKNOWN_TABLE) || failure.is(code::UNKNOWN_DATABASE)
}

impl NodeFound {
    fn new(node: ClusterNode) -> Self {
        let (tables, columns, replicas) = Default::default();
        Self { node, has_database: false, tables, columns, replicas }
    }

    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_and_settings_are_read_off_what_clickhouse_prints() {
        let table = Table {
            node: 0,
            name: "t".to_owned(),
            engine: "MergeTree".to_owned(),
            engine_full: "MergeTree PARTITION BY d ORDER BY w TTL toDateTime(T) + toIntervalDay(5) \
                          SETTINGS ttl_only_drop_parts = 1, index_granularity = 8192"
                .to_owned(),
            create_table_query: "CREATE TABLE o.t (`T` DateTime64(9), `C` String CODEC(ZSTD(1)) TTL toDateTime(T) + \
                                 toIntervalSecond(multiIf(W = 'a', 1, 2)), `M` Map(String, String) TTL x, INDEX i T TYPE \
                                 minmax GRANULARITY 1) ENGINE = MergeTree ORDER BY w"
                .to_owned(),
            uuid: String::new(),
            comment: String::new(),
            dependencies_table: Vec::new(),
        };
        let mut node = NodeFound::new(ClusterNode { number: 0, shard: 0, address: String::new() });
        node.tables.insert("t".to_owned(), table);
        let found = Found { nodes: vec![node], ..Found::default() };
        assert_eq!(found.row_ttl("t"), Some("toDateTime(T) + toIntervalDay(5)"));
        assert_eq!(found.column_ttl("t", "T"), None);
        assert_eq!(found.column_ttl("t", "C"), Some("toDateTime(T) + toIntervalSecond(multiIf(W = 'a', 1, 2))"));
        assert_eq!(found.column_ttl("t", "M"), Some("x"));
        assert_eq!(found.row_ttl("other"), None);
        assert!(found.has_setting("t", &Setting::new("ttl_only_drop_parts", 1)));
        assert!(!found.has_setting("t", &Setting::new("ttl_only_drop_parts", 0)));
    }
}
