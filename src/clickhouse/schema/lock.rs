//! One Millrace at a time changes the schema: `CREATE TABLE` of a name succeeds once, on a cluster too, where the queue of
//! distributed DDL has one order for all nodes.
//!
//! Whoever died holding it is known by the age of the lock's metadata, on the server's clock. Every step of a migration can
//! be repeated and interleaved, so that even two holders would do no harm.

use super::super::client::Client;
use super::super::errors::Failure;
use super::super::nodes::{self, SKIP_ABSENT};
use super::layout::{Home, Layout};
use super::{LOOK_PAUSE, LOOKS_MAX};
use crate::random;
use crate::sql::code;
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::HashSet;
use std::time::{Duration, Instant};

const LOCK: &str = "millrace_schema_lock";
/// A lock that was not renewed for so long has lost its holder.
const LEASE_SECS: i64 = 20;

/// How often its holder renews it.
const RENEW_AFTER: Duration = Duration::from_secs(5);

/// The lock, held.
pub(super) struct Lock<'c> {
    client: &'c Client,
    layout: &'c Layout,
    holder: String,
    renewed: Instant,
}

#[derive(Debug, Row, Deserialize)]
struct Holder {
    holder: String,
    age_secs: i64,
}

impl<'c> Lock<'c> {
    /// Takes the lock, or says who holds it.
    ///
    /// # Errors
    /// When another holds it, which passes, or ClickHouse rejects the statement.
    pub(super) async fn take(client: &'c Client, layout: &'c Layout) -> Result<Self, Failure> {
        let holder = holder();
        let create = format!(
            "CREATE TABLE {}{} (`nothing` UInt8) ENGINE = Null COMMENT '{holder}'",
            layout.full(LOCK),
            layout.on_cluster()
        );
        let mut taken = client.execute(&create).await;
        if matches!(&taken, Err(failure) if failure.is(code::TABLE_ALREADY_EXISTS)) {
            if let Some(held) = held(client, layout).await? {
                held.ended(client, layout).await?;
            }
            taken = client.execute(&create).await;
        }
        match taken {
            Ok(()) => {
                let lock = Self { client, layout, holder, renewed: Instant::now() };
                match lock.until_all_have_it().await {
                    Ok(()) => Ok(lock),
                    Err(failure) => {
                        lock.release().await;
                        Err(failure)
                    }
                }
            }
            Err(failure) if failure.is(code::TABLE_ALREADY_EXISTS) => Err(busy("unknown")),
            Err(failure) => Err(failure),
        }
    }

    /// `ON CLUSTER` does not wait for a node whose queue of distributed DDL has just begun, as after its start. What all nodes have
    /// shows that all queues run.
    async fn until_all_have_it(&self) -> Result<(), Failure> {
        let Some(cluster) = &self.layout.cluster else { return Ok(()) };
        let having = format!(
            "SELECT _shard_num FROM {} WHERE database = '{}' AND name = '{LOCK}' {SKIP_ABSENT}",
            self.layout.system("tables"),
            self.layout.database
        );
        for _ in 0..LOOKS_MAX {
            let having: HashSet<u32> = self.client.rows(&having).await?.into_iter().collect();
            if nodes::answering(self.client, &cluster.name).await?.is_subset(&having) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Err(Failure::local("nodes of the cluster do not do what is asked ON CLUSTER"))
    }

    /// Says that its holder is alive; to be called between steps.
    pub(super) async fn renew(&mut self) -> Result<(), Failure> {
        if self.renewed.elapsed() < RENEW_AFTER {
            return Ok(());
        }
        self.renewed = Instant::now();
        let (table, on_cluster) = (self.layout.full(LOCK), self.layout.on_cluster());
        self.client.execute(&format!("ALTER TABLE {table}{on_cluster} MODIFY COMMENT '{}'", self.holder)).await
    }

    /// Lets go. If that fails, the lease ends by itself.
    pub(super) async fn release(self) {
        match held(self.client, self.layout).await {
            Ok(Some(held)) if held.holder == self.holder => {
                if let Err(failure) = drop_lock(self.client, self.layout).await {
                    tracing::warn!(why = failure.message, "cannot remove the lock of the schema; it ends by itself");
                }
            }
            _ => tracing::warn!("the lock of the schema was lost meanwhile, which does no harm"),
        }
    }
}

impl Holder {
    /// Removes the lock if its holder is gone, else says who holds it.
    async fn ended(self, client: &Client, layout: &Layout) -> Result<(), Failure> {
        // the embedded engine serves one Millrace: what it finds there, it left itself when it was killed
        let is_left_over = layout.home == Home::Embedded;
        if !is_left_over && self.age_secs <= LEASE_SECS {
            return Err(busy(&self.holder));
        }
        tracing::warn!(holder = self.holder, "the holder of the schema lock is gone; taking over the lock");
        drop_lock(client, layout).await
    }
}

fn busy(holder: &str) -> Failure {
    Failure::local(&format!("another Millrace is changing the schema: {holder}"))
}

async fn held(client: &Client, layout: &Layout) -> Result<Option<Holder>, Failure> {
    let sql = format!(
        "SELECT comment AS holder, toInt64(dateDiff('second', metadata_modification_time, now())) AS age_secs \
         FROM system.tables WHERE database = '{}' AND name = '{LOCK}'",
        layout.database
    );
    Ok(client.rows(&sql).await?.pop())
}

async fn drop_lock(client: &Client, layout: &Layout) -> Result<(), Failure> {
    client.execute(&format!("DROP TABLE IF EXISTS {}{} SYNC", layout.full(LOCK), layout.on_cluster())).await
}

/// Unlike that of any other process.
fn holder() -> String {
    let random = u64::from_le_bytes(random::bytes());
    format!("millrace {}, process {}, {random:016x}", env!("CARGO_PKG_VERSION"), std::process::id())
}
