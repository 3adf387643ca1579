//! A cluster of ClickHouse, and what the tables are called on it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The table of spans: where queries and inserts go.
pub const TABLE: &str = "otel_traces";

/// Name of a cluster in ClickHouse's configuration (`remote_servers`), or a macro such as `{cluster}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

impl TryFrom<String> for ClusterName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.' | b'{' | b'}');
        if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
            Ok(Self(name))
        } else {
            Err("a cluster's name is 1 to 64 letters, digits or _ - . or a macro such as {cluster}")
        }
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

impl ClusterName {
    /// As an expression of SQL, for where ClickHouse does not fill in macros by itself.
    pub(super) fn expression(&self) -> String {
        let pieces = self.0.split_inclusive('}').map(|piece| match piece.split_once('{') {
            None => format!("'{piece}'"),
            Some((before, name)) => format!("'{before}', getMacro('{}')", name.trim_end_matches('}')),
        });
        format!("concat({}, '')", pieces.collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for ClusterName {
    /// As a literal of SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0)
    }
}

/// Where in Keeper the replicas of a table meet, such as `/clickhouse/tables/{shard}/{database}/{table}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReplicaPath(String);

impl TryFrom<String> for ReplicaPath {
    type Error = &'static str;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"_-./{}".contains(&c);
        if path.starts_with('/') && path.contains("{table}") && path.bytes().all(fits) {
            Ok(Self(path))
        } else {
            Err("a replica path begins with / and has {table} in it, and letters, digits or _ - . / { } only")
        }
    }
}

impl From<ReplicaPath> for String {
    fn from(path: ReplicaPath) -> Self {
        path.0
    }
}

impl fmt::Display for ReplicaPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cluster to spread the tables over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Which.
    pub name: ClusterName,
    /// Where replicas meet; absent: where the servers' `default_replica_path` says, by default
    /// `/clickhouse/tables/{uuid}/{shard}`.
    pub replica_path: Option<ReplicaPath>,
}

/// A table of the `system` database as all nodes of the cluster see it, or the one server.
pub(super) fn system_table(cluster: Option<&ClusterName>, table: &str) -> String {
    match cluster {
        None => format!("system.{table}"),
        Some(cluster) => format!("clusterAllReplicas({cluster}, system.{table})"),
    }
}
