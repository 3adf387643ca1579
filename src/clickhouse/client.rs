//! A client of one ClickHouse: statements, their settings, and how long they may take.

use super::cluster::{ClusterName, TABLE};
use super::config::{Config, Database};
use super::errors::Failure;
use ::clickhouse::query::Query;
use ::clickhouse::{RowOwned, RowRead};
use std::fmt;
use std::time::Duration;

/// How long a statement may take.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A setting of one statement: name and value.
pub(super) type Setting = (&'static str, &'static str);

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

    /// The table of spans with its database: what is queried.
    pub(super) fn table(&self) -> String {
        format!("{}.{TABLE}", self.database)
    }

    /// What UPDATE and DELETE of spans name: on a cluster the table that holds rows, on every node, because a Distributed table
    /// cannot be changed.
    pub(super) fn changed_table(&self) -> String {
        match &self.cluster {
            None => self.table(),
            Some(cluster) => format!("{}.{TABLE}_local ON CLUSTER {cluster}", self.database),
        }
    }

    /// The table with the rows of every replica: on a cluster a row comes once for each replica that has it.
    pub(super) fn table_of_all_replicas(&self) -> String {
        match &self.cluster {
            None => self.table(),
            Some(cluster) => format!("clusterAllReplicas({cluster}, {}.{TABLE}_local)", self.database),
        }
    }

    /// The cluster, if it is one.
    pub(super) fn cluster(&self) -> Option<&ClusterName> {
        self.cluster.as_ref()
    }

    /// The crate's client, for inserts.
    pub(super) fn http(&self) -> &::clickhouse::Client {
        &self.http
    }

    /// Runs a statement that returns no rows.
    ///
    /// # Errors
    /// If ClickHouse rejects the statement or is unreachable.
    pub async fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.execute_with(sql, &[], STATEMENT_TIMEOUT).await
    }

    /// The same with settings of its own, and as long as `timeout`.
    pub(super) async fn execute_with(&self, sql: &str, settings: &[Setting], timeout: Duration) -> Result<(), Failure> {
        within(timeout, self.query(sql, settings).execute()).await
    }

    /// All rows of a result that is known to be small.
    pub(super) async fn rows<R: RowOwned + RowRead>(&self, sql: &str) -> Result<Vec<R>, Failure> {
        self.rows_with(sql, &[]).await
    }

    /// The same with settings of its own.
    pub(super) async fn rows_with<R: RowOwned + RowRead>(
        &self,
        sql: &str,
        settings: &[Setting],
    ) -> Result<Vec<R>, Failure> {
        within(STATEMENT_TIMEOUT, self.query(sql, settings).fetch_all()).await
    }

    /// A statement, still to be run.
    pub(super) fn query(&self, sql: &str, settings: &[Setting]) -> Query {
        // `?` is a placeholder to the crate
        let query = self.http.query(&sql.replace('?', "??"));
        settings.iter().fold(query, |query, (name, value)| query.with_setting(*name, *value))
    }
}

/// An answer, or a part of it, that comes in time.
pub(super) async fn within<T>(
    timeout: Duration,
    answer: impl Future<Output = Result<T, ::clickhouse::error::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer.map_err(|error| Failure::of(&error)),
        Err(_) => Err(Failure::of_timeout()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_cluster_the_tables_that_hold_rows_are_changed() {
        let mut client = Client::new("http://localhost", &Config::default());
        assert_eq!(client.changed_table(), "otel.otel_traces");
        client.cluster = ClusterName::try_from("{cluster}".to_owned()).ok();
        assert_eq!(client.changed_table(), "otel.otel_traces_local ON CLUSTER '{cluster}'");
    }
}
