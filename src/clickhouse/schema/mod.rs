//! The schema: what Millrace makes in ClickHouse, version by version, and checks before it inserts.
//!
//! ```text
//! layout.rs       what tables are called and made of, on one server and on a cluster
//! ddl.rs          the DDL of tables and views, made from the column list
//! migrations.rs   the versions, and the parts of each
//! found.rs        what is there, on each node
//! records.rs      the tables of log records, of data points and of scores
//! experiments.rs  the tables of experiments and their groups
//! rollups.rs      the tables of what was counted
//! sums.rs         the sums of days whose calls do not change any more
//! replicas.rs     where replicas meet in Keeper
//! retention.rs    TTLs
//! trace_times.rs  when each trace began and ended: rows that were there before
//! views.rs        what calls, traces, sessions and usage are; the SQL is in views/
//! lock.rs         one Millrace at a time
//! ```
//!
//! What is there is compared with what should be: a part that is missing is made, whatever the reason - a new version of
//! Millrace, a table of the OpenTelemetry exporter, a table that somebody dropped, a server that is not the same any more.

mod ddl;
mod experiments;
mod found;
mod layout;
mod lock;
mod migrations;
mod records;
mod replicas;
mod retention;
mod rollups;
pub mod sums;
mod trace_times;
mod views;

pub use super::cluster::{Cluster, ClusterName, ReplicaPath, TABLE};
pub use experiments::{EXPERIMENTS, GROUPS, columns_of};
pub use layout::{Home, Layout};
pub use replicas::Wrong;
pub use rollups::{REPORT_ROWS, REPORTS, ROLLUPS, Rollup, RollupColumn, TRACE_ROWS, TRACES};

use super::client::Client;
use super::errors::{Class, Failure};
use crate::audit;
use crate::locks::locked;
use ddl::{Create, Extras, VERSIONS};
use found::Found;
use lock::Lock;
use migrations::{MIGRATIONS, Part};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HOW_TO_MAKE_IT: &str = "`millrace schema check` prints the statements that make what is missing";
/// So many missing things are named wherever it is said why nothing is inserted; the log names all, once.
const NAMED_MAX: usize = 5;

/// How often it is looked whether all nodes have done what they were told, and the pause between.
const LOOKS_MAX: usize = 40;
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// How many seconds `ON CLUSTER` waits for what decides who changes the schema, when a node is known to be away.
const BRIEF_WAIT_SECS: u32 = 1;

/// Who changes the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Make and change tables; false: only check, and say what is missing.
    pub manage: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { manage: true }
    }
}

/// The schema of one ClickHouse.
#[derive(Debug)]
pub struct Schema {
    layout: Layout,
    manage: bool,
    /// What was said last, so that it is not said again.
    said: Mutex<Vec<String>>,
    /// Statements were sent without waiting for nodes, and not all was made: the next time their answers are waited for.
    is_careful: AtomicBool,
}

/// What a ClickHouse lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Each thing, for people.
    pub what: Vec<String>,
    /// The statements that an operator must run, in order.
    pub statements: Vec<String>,
    /// Whether rows can be inserted all the same.
    pub can_insert: bool,
    /// What is there in another way, which no statement of ours mends.
    pub differing: Vec<String>,
    /// What an operator has to mend node by node.
    pub wrong: Vec<Wrong>,
    /// Nodes that did not answer, and so were not looked at.
    pub absent: Vec<String>,
    /// The version that the ClickHouse has, when it is newer than this program.
    pub newer: Option<u32>,
}

impl Lacking {
    /// Whether nothing is lacking.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.what.is_empty()
    }
}

/// The version of the schema that this program knows.
#[must_use]
pub fn version() -> u32 {
    migrations::latest()
}

/// Everything, as the statements that make it where there is nothing, in order. Each can be run again.
#[must_use]
pub fn statements(layout: &Layout) -> Vec<String> {
    let mut statements = migrations::statements(layout, &migrations::lacking(layout, &Found::default()));
    statements.push(record(layout));
    for_any_client(layout, statements)
}

/// A client that does not say how it inserts into Distributed tables would go on before the shards have the rows.
fn for_any_client(layout: &Layout, mut statements: Vec<String>) -> Vec<String> {
    if layout.cluster.is_some() {
        let inserts = statements.iter_mut().filter(|statement| statement.starts_with("INSERT INTO"));
        inserts.for_each(|insert| insert.push_str("\nSETTINGS insert_distributed_sync = 1"));
    }
    statements
}

/// Makes everything that is missing.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable, or another Millrace is at it.
pub async fn apply(client: &Client, home: Home) -> Result<(), Failure> {
    Schema::new(Layout::plain(client.database().clone(), home), &Config::default()).prepare(client).await
}

impl Schema {
    /// The schema as configured.
    #[must_use]
    pub fn new(layout: Layout, config: &Config) -> Self {
        Self { layout, manage: config.manage, said: Mutex::default(), is_careful: AtomicBool::new(false) }
    }

    /// Makes what is missing, or says it, if it must not be made.
    ///
    /// # Errors
    /// When rows cannot be inserted now: ClickHouse rejects a statement or is unreachable, another Millrace is at it, or something is
    /// missing that an operator has to make.
    pub async fn prepare(&self, client: &Client) -> Result<(), Failure> {
        // each step builds on what those before it did
        let client = &client.pinned();
        let found = Found::look(client, &self.layout).await?;
        if let Some(misfit) = self.misfit(&found) {
            return Err(Failure::hold(&misfit));
        }
        let lacking = self.compare(&found);
        self.tell_of_nodes(&lacking);
        if let Some(newer) = lacking.newer.filter(|_| lacking.can_insert) {
            self.say_once(&[format!("version {newer}")], |_| {
                tracing::info!(
                    version = newer,
                    known = version(),
                    "the schema is newer than this Millrace: it is used as it is, and not changed"
                );
            });
            return Ok(());
        }
        if lacking.is_nothing() {
            return Ok(());
        }
        if !self.manage {
            return self.leave_to_the_operator(&lacking);
        }
        self.change(client, &found).await
    }

    /// What the ClickHouse lacks.
    ///
    /// # Errors
    /// If it rejects the statement or is unreachable.
    pub async fn check(&self, client: &Client) -> Result<Lacking, Failure> {
        Ok(self.compare(&Found::look(client, &self.layout).await?))
    }

    fn misfit(&self, found: &Found) -> Option<String> {
        self.layout.misfit(TABLE, &found.table(TABLE)?.engine)
    }

    fn compare(&self, found: &Found) -> Lacking {
        let layout = &self.layout;
        let parts = migrations::lacking(layout, found);
        let mut statements = migrations::statements(layout, &parts);
        let mut what: Vec<_> = parts.iter().map(|part| part.what(layout)).collect();
        for (name, statement) in retention::changes(layout, found) {
            what.push(name);
            statements.push(statement);
        }
        if MIGRATIONS.iter().any(|migration| !found.versions.contains(&migration.version)) {
            what.push(format!("the note of version {} in {}", version(), layout.full(VERSIONS)));
            statements.push(record(layout));
        }
        Lacking {
            what,
            statements: for_any_client(layout, statements),
            can_insert: !parts.iter().any(Part::is_needed_to_insert),
            wrong: replicas::wrong(layout, found),
            absent: found.absent.clone(),
            differing: self.misfit(found).into_iter().chain(migrations::differing(layout, found)).collect(),
            newer: found.versions.last().copied().filter(|newest| *newest > version()),
        }
    }

    /// What no change of the schema mends.
    fn tell_of_nodes(&self, lacking: &Lacking) {
        let wrong = lacking.wrong.iter().map(|wrong| wrong.what.clone());
        let absent =
            lacking.absent.iter().map(|node| format!("node {node} does not answer; it gets what it lacks later"));
        let lines: Vec<String> = wrong.chain(absent).collect();
        if !lines.is_empty() {
            self.say_once(&lines, |what| {
                tracing::warn!("the cluster is not whole; `millrace schema check` says more: {what}")
            });
        }
    }

    fn leave_to_the_operator(&self, lacking: &Lacking) -> Result<(), Failure> {
        self.say_once(&[lacking.what.join(", ")], |what| {
            tracing::warn!("schema.manage is false; {HOW_TO_MAKE_IT}: {what}");
        });
        if lacking.can_insert {
            return Ok(());
        }
        let first = lacking.what.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match lacking.what.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Err(Failure::hold(&format!("schema.manage is false; {HOW_TO_MAKE_IT}: {first}{more}")))
    }

    /// Calls `say` with each line, unless the same were said last.
    fn say_once(&self, lines: &[String], say: impl Fn(&str)) {
        let mut said = locked(&self.said);
        if *said != lines {
            lines.iter().for_each(|line| say(line));
            lines.clone_into(&mut said);
        }
    }

    async fn change(&self, client: &Client, found: &Found) -> Result<(), Failure> {
        let layout = &self.layout;
        // Keeper may take a node that is away for alive, and then every statement waits for it
        let has_absent = !found.absent.is_empty();
        let brief = if has_absent { &client.clone().with_ddl_wait(BRIEF_WAIT_SECS) } else { client };
        if !found.has_database() {
            self.make_database(brief).await?;
        }
        let mut lock = Lock::take(brief, layout).await?;
        let is_hurried = has_absent && !self.is_careful.load(Ordering::Relaxed);
        let client = if is_hurried { &client.clone().with_ddl_wait(0) } else { client };
        let changed = self.change_locked(client, &mut lock, is_hurried).await;
        self.is_careful.store(is_hurried && changed.is_err(), Ordering::Relaxed);
        lock.release().await;
        changed
    }

    /// A node whose queue of distributed DDL has just begun is not waited for by `ON CLUSTER`.
    async fn make_database(&self, client: &Client) -> Result<(), Failure> {
        client.execute(&ddl::create_database(&self.layout)).await?;
        for _ in 0..LOOKS_MAX {
            if Found::look(client, &self.layout).await?.has_database() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Err(Failure::local("nodes of the cluster have not made the database yet"))
    }

    async fn change_locked(&self, client: &Client, lock: &mut Lock<'_>, is_hurried: bool) -> Result<(), Failure> {
        let layout = &self.layout;
        // somebody else may have done it before we had the lock
        let found = Found::look(client, layout).await?;
        let parts = migrations::lacking(layout, &found);
        self.tell_before(&found, &parts);
        self.make_all(client, lock, &parts, is_hurried).await?;
        let now = Found::look(client, layout).await?;
        // of a table that somebody else made meanwhile, or that is not taken as a whole
        let is_late = |part: &Part| matches!(part, Part::Column { .. } | Part::Setting { .. }) && !parts.contains(part);
        let late: Vec<_> = migrations::lacking(layout, &now).into_iter().filter(is_late).collect();
        self.make_all(client, lock, &late, is_hurried).await?;
        let now = if late.is_empty() { now } else { Found::look(client, layout).await? };
        let now = self.until_made(client, now).await?;
        self.keep_as_configured(client, &now).await?;
        if MIGRATIONS.iter().any(|migration| !found.versions.contains(&migration.version)) {
            client.execute(&record(layout)).await?;
            tracing::info!(version = version(), before = found.versions.last(), "the schema is up to date");
        }
        Ok(())
    }

    async fn make_all(
        &self,
        client: &Client,
        lock: &mut Lock<'_>,
        parts: &[Part],
        is_hurried: bool,
    ) -> Result<(), Failure> {
        for part in parts.chunk_by(|a, b| matches!((a, b), (Part::Column { .. }, Part::Column { .. }))) {
            match part {
                [Part::TraceTimes { target }] => trace_times::fill(client, &self.layout, target, lock).await?,
                parts => self.make(client, parts).await?,
            }
            if let ([Part::Rows { create: Create { name, .. }, .. } | Part::Table { name, .. }], true) =
                (part, is_hurried)
            {
                self.until_there(client, name).await?;
            }
            lock.renew().await?;
        }
        Ok(())
    }

    /// Waits until the node that is asked has a table: the next statement may be made of it.
    async fn until_there(&self, client: &Client, name: &str) -> Result<(), Failure> {
        let exists = format!("EXISTS TABLE {}", self.layout.full(name));
        for _ in 0..LOOKS_MAX {
            if client.rows::<u8>(&exists).await?.first() == Some(&1) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_PAUSE / 5).await;
        }
        Err(Failure::local("nodes of the cluster do not do what is asked ON CLUSTER"))
    }

    /// Waits until the nodes that answer have what is needed to insert: nobody waited for those that Keeper does not know, and for
    /// none while one is away.
    async fn until_made(&self, client: &Client, mut now: Found) -> Result<Found, Failure> {
        for _ in 0..LOOKS_MAX {
            let mut parts = migrations::parts(&self.layout, &now).into_iter();
            if parts.all(|part| !part.is_needed_to_insert() || part.is_in(&now)) {
                return Ok(now);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
            now = Found::look(client, &self.layout).await?;
        }
        Err(Failure::local("nodes of the cluster are not done yet with what was asked ON CLUSTER"))
    }

    /// What is about to happen, for who wonders at it: a large table may take its time.
    fn tell_before(&self, found: &Found, parts: &[Part]) {
        let table = self.layout.full(TABLE);
        if found.table(TABLE).is_some() && found.versions.is_empty() {
            tracing::info!(table, "the table is there already: it keeps its key and its rows, and gets what it lacks");
        }
        if !parts.is_empty() {
            tracing::info!(target: audit::TARGET, table, parts = parts.len(), version = version(), "schema changed");
            tracing::info!(parts = parts.len(), "making what the schema lacks");
        }
    }

    async fn make(&self, client: &Client, parts: &[Part]) -> Result<(), Failure> {
        for statement in migrations::statements(&self.layout, parts) {
            let done = client.execute(&statement).await;
            match (done, parts) {
                // an engine of another kind may not know it, or an operator not allow it
                (Err(failure), [Part::Setting { .. } | Part::View { .. }, ..]) if failure.class != Class::Retry => {
                    let why = failure.message;
                    tracing::warn!(
                        why,
                        statement,
                        "cannot do this; rows are stored all the same, but see the README for what is missing"
                    );
                }
                // the same of a part of it: what can be had of the rest comes later
                (Err(failure), [Part::Rows { create, .. }]) if failure.class != Class::Retry => {
                    client.execute(&create.sql(&self.layout, &Extras::default())).await?;
                }
                (done, _) => done?,
            }
        }
        Ok(())
    }

    /// Brings the TTLs to what is configured.
    async fn keep_as_configured(&self, client: &Client, found: &Found) -> Result<(), Failure> {
        if let Some(theirs) = retention::replaced(&self.layout, found) {
            tracing::warn!(ttl = theirs, "retention.spans takes the place of the TTL that the table has");
        }
        for (what, statement) in retention::changes(&self.layout, found) {
            client.execute(&statement).await?;
            tracing::info!(what, "changed what is kept; ClickHouse deletes what is too old in the background");
        }
        Ok(())
    }
}

/// Notes the versions that are not noted yet.
fn record(layout: &Layout) -> String {
    let versions = MIGRATIONS.iter().map(|migration| format!("({}, '{}')", migration.version, migration.what));
    format!(
        "INSERT INTO {table} (version, applied_at, program, what)\n\
         SELECT version, now(), 'millrace {release}', what FROM values('version UInt32, what String',\n    {versions})\n\
         WHERE version NOT IN (SELECT version FROM {table})",
        table = layout.full(VERSIONS),
        release = env!("CARGO_PKG_VERSION"),
        versions = versions.collect::<Vec<_>>().join(",\n    "),
    )
}

#[cfg(test)]
mod tests {
    use super::super::config::Database;
    use super::*;
    use crate::columns::{ALIASES, COLUMNS};

    #[test]
    fn the_embedded_table_is_synced_and_a_servers_is_as_its_operator_wants() {
        let ddl = |home| {
            let mut all = statements(&Layout::plain(Database::default(), home));
            all.retain(|statement| statement.lines().next().is_some_and(|line| line.ends_with(".otel_traces")));
            all.concat()
        };
        assert!(ddl(Home::Embedded).contains("fsync_after_insert = 1"));
        let of_a_server = ddl(Home::Server);
        assert!(!of_a_server.contains("fsync"));
        for definition in COLUMNS.iter().map(ddl::column).chain(ALIASES.iter().map(ddl::alias)) {
            assert_eq!(of_a_server.matches(&definition).count(), 1, "{definition}");
        }
    }
}
