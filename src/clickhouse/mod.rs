//! ClickHouse as Millrace uses it, over its HTTP interface: inserts of ready blocks, statements, and the classes of its
//! errors. The embedded default and a production server are reached by the same lines of code.

mod availability;
mod errors;
mod inserts;
pub mod joins;
pub mod nodes;
pub mod recent;
pub mod schema;
pub mod superseded;

pub use availability::{Availability, SegmentView, View};
pub use errors::{Class, Failure};
pub use inserts::{NoneUnderWay, OVERTIME, Unconfirmed};

use schema::{Cluster, ClusterName, ReplicaPath};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How long one piece of an insert may wait for the socket.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// An insert goes to the socket in pieces of this size, each within [`SEND_TIMEOUT`].
const PIECE_BYTES: usize = 256 << 10;
/// How long ClickHouse may take to say that an insert ran out of its time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Which ClickHouse, and as whom.
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

/// A connection pool to one ClickHouse.
#[derive(Clone)]
pub struct Client {
    http: ::clickhouse::Client,
    database: Database,
    cluster: Option<ClusterName>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client; connects when first used.
    #[must_use]
    pub fn new(url: &str, config: &Config) -> Self {
        let mut http = ::clickhouse::Client::default()
            .with_url(url)
            .with_product_info("millrace", env!("CARGO_PKG_VERSION"))
            // inserts arrive here compressed already, see `insert_frames`
            .with_compression(::clickhouse::Compression::None);
        if let Some(user) = &config.user {
            http = http.with_user(user);
        }
        if let Some(password) = &config.password {
            http = http.with_password(password.reveal());
        }
        if config.cluster.is_some() {
            for (name, value) in CLUSTER_SETTINGS {
                http = http.with_setting(*name, *value);
            }
        }
        Self { http, database: config.database.clone(), cluster: config.cluster.clone() }
    }

    /// The same, with a header on every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.http = self.http.with_header(name, value);
        self
    }

    /// The database of the table.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// What a lightweight `UPDATE` of spans names: `database.otel_traces`, or on a cluster the tables that hold its rows,
    /// because a Distributed table cannot be updated.
    #[must_use]
    pub fn update_target(&self) -> String {
        schema::update_target(&self.database, self.cluster.as_ref(), schema::TABLE)
    }

    /// Runs a statement that returns no rows.
    ///
    /// # Errors
    /// When ClickHouse says no or cannot be reached.
    pub async fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.execute_within(sql, STATEMENT_TIMEOUT).await
    }

    /// The same for a statement that may take longer than others.
    async fn execute_within(&self, sql: &str, timeout: Duration) -> Result<(), Failure> {
        // `?` is a placeholder to the crate
        let query = self.http.query(&sql.replace('?', "??"));
        match tokio::time::timeout(timeout, query.execute()).await {
            Ok(result) => result.map_err(|error| Failure::of(&error)),
            Err(_) => Err(Failure::of_timeout()),
        }
    }

    /// All rows of a result that is known to be small.
    async fn rows<R: ::clickhouse::RowOwned + ::clickhouse::RowRead>(&self, sql: &str) -> Result<Vec<R>, Failure> {
        let query = self.http.query(&sql.replace('?', "??"));
        match tokio::time::timeout(STATEMENT_TIMEOUT, query.fetch_all()).await {
            Ok(result) => result.map_err(|error| Failure::of(&error)),
            Err(_) => Err(Failure::of_timeout()),
        }
    }

    /// Inserts Native blocks in compressed frames as one insert, which ClickHouse must confirm within `confirm_within`, and gives up
    /// by itself about then. The blocks have `columns`, or those of this program. The token makes a repeat of the same bytes
    /// harmless.
    ///
    /// # Errors
    /// When ClickHouse did not confirm it: it may be in the table or not, so repeat it with the same token.
    pub async fn insert_frames(
        &self,
        frames: Bytes,
        columns: Option<&[String]>,
        token: &str,
        confirm_within: Duration,
    ) -> Result<(), Failure> {
        let mut insert = self
            .http
            .insert_formatted_with(schema::insert_statement(&self.database, columns))
            .with_timeouts(Some(SEND_TIMEOUT), Some(confirm_within + ANSWER_TIMEOUT))
            .with_setting("max_execution_time", confirm_within.as_secs().max(1).to_string())
            .with_setting("decompress", "1")
            .with_setting("insert_deduplication_token", token);
        for (name, value) in INSERT_SETTINGS {
            insert = insert.with_setting(*name, *value);
        }
        let mut rest = frames;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            insert.send(piece).await.map_err(|error| Failure::of(&error))?;
        }
        insert.end().await.map_err(|error| Failure::of(&error))
    }
}

/// Settings of everything that is sent to a cluster.
const CLUSTER_SETTINGS: &[(&str, &str)] = &[
    // an insert is confirmed when the shards have it, by which its token works: `distributed_foreground_insert`, by the
    // name that older servers know too
    ("insert_distributed_sync", "1"),
    // a node that is down does what it missed when it comes back; nobody waits for it once Keeper knows that it is gone
    ("distributed_ddl_output_mode", "null_status_on_timeout_only_active"),
    // and before that so long, in seconds
    ("distributed_ddl_task_timeout", "10"),
];

/// Settings that every insert states, because their defaults moved between versions of ClickHouse.
const INSERT_SETTINGS: &[(&str, &str)] = &[
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // one part per partition: the server squashes all blocks of an insert
    ("max_insert_block_size", "10000000"),
    ("min_insert_block_size_rows", "10000000"),
    ("min_insert_block_size_bytes", "1073741824"),
    // spans may be of any day: the exporter bounds how many partitions an insert touches
    ("max_partitions_per_insert_block", "0"),
    // so that the status line is the last word
    ("wait_end_of_query", "1"),
];
