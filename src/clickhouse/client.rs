//! A client of one ClickHouse: statements, their settings, how long they may take, and at which of its endpoints.

use super::cluster::{ClusterName, TABLE};
use super::config::{Config, Database, Urls};
use super::endpoints::{Endpoints, InUse, Repeat};
use super::errors::Failure;
use crate::telemetry::Latency;
use crate::telemetry::latency::Timer;
use ::clickhouse::query::Query;
use ::clickhouse::{RowOwned, RowRead};
use std::fmt;
use std::time::Duration;

/// How long a statement may take.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A setting of one statement: name and value.
pub(super) type Setting = (&'static str, &'static str);

/// For a statement that groups by the trace, which says where a row is kept: each shard groups, orders and limits its own rows, and
/// answers with the few that are left. Without it, the node that was asked gets every group of every shard. A trace that lies
/// on two shards, as when one was added meanwhile, is two groups. Source: clickhouse.com/docs, "Settings".
pub(super) const EACH_SHARD_GROUPS: [Setting; 2] =
    [("optimize_skip_unused_shards", "1"), ("optimize_distributed_group_by_sharding_key", "1")];

/// A connection pool to each endpoint of one ClickHouse.
#[derive(Clone)]
pub struct Client {
    endpoints: Endpoints,
    /// The endpoint that is used while it is up.
    preferred: Option<usize>,
    database: Database,
    cluster: Option<ClusterName>,
    /// Where the times of statements are counted, if they are.
    latency: Option<Latency>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client; connects when first used.
    #[must_use]
    pub fn new(urls: impl Into<Urls>, config: &Config) -> Self {
        let urls = urls.into();
        let endpoints = Endpoints::new(urls.iter().map(|url| (url.to_owned(), http(url, config))));
        let (database, cluster) = (config.database.clone(), config.cluster.clone());
        Self { endpoints, preferred: None, database, cluster, latency: None }
    }

    /// The same; counts how long statements take.
    #[must_use]
    pub fn with_latency(self, latency: Latency) -> Self {
        Self { latency: Some(latency), ..self }
    }

    /// The same, with a header on every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.endpoints = self.endpoints.map(|http| http.with_header(name, value));
        self
    }

    /// The same, at one endpoint while that is up: for statements that build on what those before them saw. Replicas lag behind each
    /// other.
    #[must_use]
    pub fn pinned(&self) -> Self {
        let preferred = self.preferred.or_else(|| Some(self.endpoints.choose(None, &[]).number()));
        Self { preferred, ..self.clone() }
    }

    /// The same, but `ON CLUSTER` waits so many seconds for nodes; 0: for none, and so not for what they say to it either.
    pub(super) fn with_ddl_wait(mut self, seconds: u32) -> Self {
        self.endpoints = self.endpoints.map(|http| http.with_setting(DDL_WAIT, seconds.to_string()));
        self
    }

    /// Where it sends.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
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
        self.holding(TABLE)
    }

    /// A table that holds rows, to be changed: on a cluster on every node.
    pub(super) fn holding(&self, table: &str) -> String {
        match &self.cluster {
            None => format!("{}.{table}", self.database),
            Some(cluster) => format!("{}.{table}_local ON CLUSTER {cluster}", self.database),
        }
    }

    /// A table that holds rows, of every replica: on a cluster a row comes once for each replica that has it.
    pub(super) fn all_replicas_of(&self, table: &str) -> String {
        match &self.cluster {
            None => format!("{}.{table}", self.database),
            Some(cluster) => format!("clusterAllReplicas({cluster}, {}.{table}_local)", self.database),
        }
    }

    /// Whether it is a cluster, where rows go on to other nodes.
    #[must_use]
    pub fn is_of_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// What stands before an `IN` whose right side is to be asked once on a cluster, instead of once for each shard.
    #[must_use]
    pub fn global(&self) -> &'static str {
        if self.is_of_cluster() { "GLOBAL " } else { "" }
    }

    /// The cluster, if it is one.
    pub(super) fn cluster(&self) -> Option<&ClusterName> {
        self.cluster.as_ref()
    }

    /// Does something at an endpoint; if that fails, and it may be repeated, at each of the others once.
    pub(super) async fn at_any<'c, T, D>(
        &'c self,
        repeat: Repeat,
        run: impl Fn(&'c ::clickhouse::Client) -> D,
    ) -> Result<T, Failure>
    where
        D: Future<Output = Result<T, Failure>>,
    {
        let mut tried = Vec::new();
        loop {
            let endpoint = self.endpoints.choose(self.preferred, &tried);
            tried.push(endpoint.number());
            let done = tokio::select! {
                biased;
                done = run(endpoint.http()) => endpoint.heard(done),
                () = endpoint.is_lost() => Err(Failure::of_silence()),
            };
            match done {
                Err(failure) if repeat.allows(&failure) && tried.len() < self.endpoints.count() => {}
                done => return done,
            }
        }
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
        let timer = self.latency.as_ref().map(|latency| Timer::start(&latency.query_change));
        self.at_any(Repeat::Unsent, |http| within(timeout, query(http, sql, settings).execute())).await?;
        timer.into_iter().for_each(Timer::done);
        Ok(())
    }

    /// Changes rows of spans. A node of a cluster that is down is not waited for as long as when tables are made: it does what it
    /// missed when it comes back, and others wait for the next change.
    pub(super) async fn change(&self, sql: &str, settings: &[Setting]) -> Result<(), Failure> {
        let brief = self.cluster.is_some().then_some(BRIEF_WAIT);
        let settings: Vec<Setting> = settings.iter().copied().chain(brief).collect();
        self.execute_with(sql, &settings, STATEMENT_TIMEOUT).await
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
        let timer = self.latency.as_ref().map(|latency| Timer::start(&latency.query_read));
        let ask = |http| within(STATEMENT_TIMEOUT, query(http, sql, settings).fetch_all());
        let rows = self.at_any(Repeat::Always, ask).await?;
        timer.into_iter().for_each(Timer::done);
        Ok(rows)
    }

    /// A question, still to be asked, whose answer is read in parts; and where it is asked, which is to be told what is heard.
    pub(super) fn question(&self, sql: &str) -> (Query, InUse<'_>) {
        let endpoint = self.endpoints.choose(self.preferred, &[]);
        (query(endpoint.http(), sql, &[]), endpoint)
    }
}

/// The crate's client of one endpoint.
fn http(url: &str, config: &Config) -> ::clickhouse::Client {
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
    http
}

fn query(http: &::clickhouse::Client, sql: &str, settings: &[Setting]) -> Query {
    // `?` is a placeholder to the crate
    let query = http.query(&sql.replace('?', "??"));
    settings.iter().fold(query, |query, (name, value)| query.with_setting(*name, *value))
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

/// How long `ON CLUSTER` waits for a node that Keeper takes for alive, in seconds.
const DDL_WAIT: &str = "distributed_ddl_task_timeout";
/// When rows are changed.
const BRIEF_WAIT: Setting = (DDL_WAIT, "2");

/// Settings of everything that is sent to a cluster.
const CLUSTER_SETTINGS: &[(&str, &str)] = &[
    // an insert is confirmed when the shards have it, by which its token works: `distributed_foreground_insert`, by the
    // name that older servers know too
    ("insert_distributed_sync", "1"),
    // a node that is down does what it missed when it comes back; nobody waits for it once Keeper knows that it is gone
    ("distributed_ddl_output_mode", "null_status_on_timeout_only_active"),
    // and before that so long, in seconds
    (DDL_WAIT, "10"),
    // an answer without the rows of a shard would make them missing
    ("skip_unavailable_shards", "0"),
    // what stands in IN or JOIN is asked once, of all shards: the rows of one trace, session or score may be on several
    ("distributed_product_mode", "global"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_build_on_each_other_stay_at_one_endpoint() {
        let client = Client::new("http://a,http://b,http://c", &Config::default());
        let of = |client: &Client| client.endpoints.choose(client.preferred, &[]).number();
        let (one, other) = (client.pinned(), client.pinned());
        let all: Vec<_> = [&one, &one, &other, &one.pinned(), &one, &other].map(of).into();
        assert_eq!(all, [0, 0, 1, 0, 0, 1], "and others are elsewhere");
    }

    #[test]
    fn on_a_cluster_the_tables_that_hold_rows_are_changed() {
        let mut client = Client::new("http://localhost", &Config::default());
        assert_eq!(client.changed_table(), "otel.otel_traces");
        client.cluster = ClusterName::try_from("{cluster}".to_owned()).ok();
        assert_eq!(client.changed_table(), "otel.otel_traces_local ON CLUSTER '{cluster}'");
    }
}
