//! The section `clickhouse` of the configuration.

use super::cluster::{Cluster, ClusterName, ReplicaPath};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where ClickHouse is, and the credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Address of the HTTP interface, such as `http://clickhouse:8123`; absent = the embedded one.
    pub url: Option<String>,
    /// User name.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Database of the table; made when it is not there.
    pub database: Database,
    /// A cluster of ClickHouse's configuration: tables are replicated, and spread over its shards by trace.
    pub cluster: Option<ClusterName>,
    /// Where in Keeper the replicas of a table meet; absent: as the servers' `default_replica_path` says.
    pub replica_path: Option<ReplicaPath>,
}

impl Config {
    /// The cluster, if it is one.
    #[must_use]
    pub fn cluster(&self) -> Option<Cluster> {
        let replica_path = self.replica_path.clone();
        self.cluster.clone().map(|name| Cluster { name, replica_path })
    }
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[REDACTED]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Secret {
    /// The text, to be sent and not to be shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Name of the database: letters, digits and `_`, so that it needs no quotes anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Database(String);

impl Default for Database {
    fn default() -> Self {
        Self("otel".to_owned())
    }
}

impl TryFrom<String> for Database {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let fits = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') && (1..=64).contains(&name.len());
        if fits && !name.starts_with(|c: char| c.is_ascii_digit()) {
            Ok(Self(name))
        } else {
            Err("a database name is 1 to 64 letters, digits or _, not beginning with a digit")
        }
    }
}

impl From<Database> for String {
    fn from(database: Database) -> Self {
        database.0
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
