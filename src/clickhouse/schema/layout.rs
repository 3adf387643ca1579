//! What the tables are called and made of on one server, and on a cluster of them.
//!
//! ```text
//! one server    otel_traces                       MergeTree
//! a cluster     otel_traces        on each node   Distributed: what is asked and inserted into
//!               otel_traces_local  on each node   ReplicatedMergeTree: what holds rows, what is altered and updated
//! ```
//!
//! Rows are sharded by trace, so that a trace, its root and its sums are on one shard.

use crate::clickhouse::cluster::{Cluster, system_table};
use crate::clickhouse::config::Database;
use crate::retention::Retention;

/// Where a table lives decides how it guards against power cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In the embedded engine, which calls no fsync unless a table asks for it.
    Embedded,
    /// On a server, whose operator decides.
    Server,
}

/// Everything that the DDL depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The database of all tables.
    pub database: Database,
    /// Whose ClickHouse it is.
    pub home: Home,
    /// The cluster, if it is one.
    pub cluster: Option<Cluster>,
    /// How long rows and texts are kept.
    pub retention: Retention,
}

impl Layout {
    /// One server, everything kept.
    #[must_use]
    pub fn plain(database: Database, home: Home) -> Self {
        Self { database, home, cluster: None, retention: Retention::default() }
    }

    /// The name of the table that holds the rows of `table`, without its database.
    pub(super) fn local(&self, table: &str) -> String {
        if self.cluster.is_some() { format!("{table}_local") } else { table.to_owned() }
    }

    /// With its database.
    pub(super) fn full(&self, table: &str) -> String {
        format!("{}.{table}", self.database)
    }

    /// ` ON CLUSTER 'name'`, or nothing.
    pub(super) fn on_cluster(&self) -> String {
        self.cluster.as_ref().map_or(String::new(), |cluster| format!(" ON CLUSTER {}", cluster.name))
    }

    /// The engine of a table that holds rows; `family` is `MergeTree` or one with a prefix.
    pub(super) fn engine(&self, family: &str) -> String {
        self.engine_with(family, "")
    }

    /// The same with arguments of the family, such as the column of a version.
    pub(super) fn engine_with(&self, family: &str, arguments: &str) -> String {
        let (replicated, place) = match &self.cluster {
            None => ("", String::new()),
            Some(Cluster { replica_path: None, .. }) => ("Replicated", String::new()),
            Some(Cluster { replica_path: Some(path), .. }) => ("Replicated", format!("'{path}', '{{replica}}'")),
        };
        let all: Vec<&str> = [place.as_str(), arguments].into_iter().filter(|one| !one.is_empty()).collect();
        let all = if all.is_empty() { String::new() } else { format!("({})", all.join(", ")) };
        format!("{replicated}{family}{all}")
    }

    /// What makes the table that spreads `table` over the shards, on a cluster.
    pub(super) fn create_distributed(&self, table: &str, sharded_by: &str) -> Option<String> {
        let cluster = self.cluster.as_ref()?;
        let (database, local, on_cluster) = (&self.database, self.local(table), self.on_cluster());
        Some(format!(
            "CREATE TABLE IF NOT EXISTS {database}.{table}{on_cluster} AS {database}.{local}\n\
             ENGINE = Distributed({}, '{database}', '{local}', {sharded_by})",
            cluster.name
        ))
    }

    /// What the configuration does not fit, when the table of spans is of this engine.
    pub(super) fn misfit(&self, table: &str, engine: &str) -> Option<String> {
        let table = self.full(table);
        match (engine == "Distributed", self.cluster.is_some()) {
            (true, false) => {
                Some(format!("{table} is a Distributed table: set clickhouse.cluster to the name of its cluster"))
            }
            (false, true) => Some(format!(
                "{table} is a {engine} table: with clickhouse.cluster its rows belong into {table}_local, and {table} is \
                 Distributed; rename it"
            )),
            _ => None,
        }
    }

    /// A table of the `system` database as all nodes see it.
    pub(super) fn system(&self, table: &str) -> String {
        system_table(self.cluster.as_ref().map(|cluster| &cluster.name), table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::cluster::{ClusterName, ReplicaPath};

    fn named(name: &str) -> Layout {
        let cluster = Cluster { name: ClusterName::try_from(name.to_owned()).unwrap(), replica_path: None };
        Layout { cluster: Some(cluster), ..Layout::plain(Database::default(), Home::Server) }
    }

    #[test]
    fn a_cluster_is_named_in_everything_that_all_nodes_must_do() {
        let layout = named("{cluster}");
        assert_eq!(layout.on_cluster(), " ON CLUSTER '{cluster}'");
        assert_eq!((layout.local("t"), layout.engine("MergeTree")), ("t_local".into(), "ReplicatedMergeTree".into()));
        assert_eq!(named("a{b}c").cluster.unwrap().name.expression(), "concat('a', getMacro('b'), 'c', '')");
        assert_eq!(layout.system("parts"), "clusterAllReplicas('{cluster}', system.parts)");
    }

    #[test]
    fn a_replica_path_is_used_as_configured() {
        let path = |path: &str| ReplicaPath::try_from(path.to_owned());
        let replica_path = path("/clickhouse/{shard}/{database}/{table}").ok();
        let mut layout = named("c");
        layout.cluster = layout.cluster.map(|cluster| Cluster { replica_path, ..cluster });
        assert_eq!(
            layout.engine("AggregatingMergeTree"),
            "ReplicatedAggregatingMergeTree('/clickhouse/{shard}/{database}/{table}', '{replica}')"
        );
        assert!(path("/one/for/all").is_err() && path("/{table}'").is_err());
        assert!(ClusterName::try_from("a'b".to_owned()).is_err());
    }
}
