//! What ClickHouse has committed of a segment for good, also while nodes of a cluster are down: asked before rows are sent with
//! another token than before.
//!
//! The answer is what all nodes that answer have together. If every node answers, that is all there is. A replica that does not
//! answer may have a part that no other replica fetched yet. So one that does answer, in the same shard, must show in this order:
//!
//! ```text
//! 1  in Keeper, no replica that does not answer is active any more    they commit nothing more
//! 2  it has read Keeper's log to its end, asked for after 1           all that they committed is in its queue, or done
//! 3  its queue has no part to fetch that comes from them, after 2     it has all that they committed
//! ```
//!
//! A session's end is a transaction of Keeper, and each replica sees transactions in their order: whoever sees 1 sees in 2 every
//! commit of that session. As long as no replica of the shard shows this, nobody knows what is committed, and the segment waits.

use super::client::{Client, STATEMENT_TIMEOUT, within};
use super::cluster::{ClusterName, system_table};
use super::endpoints::InUse;
use super::errors::Failure;
use super::inserts::NoneUnderWay;
use super::nodes::{self, ClusterNode, NODE, SKIP_ABSENT};
use super::row_keys::{self, RowKey};
use crate::columns::Table;
use crate::ids::SegmentId;
use crate::workspace;
use ::clickhouse::Row;
use ::clickhouse::query::Query;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How often the replicas of a shard are looked at, and the pause between.
const LOOKS_MAX: usize = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Rows of a segment that are committed, and how many there are of each.
pub type Committed = HashMap<RowKey, u64>;

/// Rows as a node has them. One that no row is like says that the node answered.
#[derive(Debug, Row, Deserialize)]
struct Found<'a> {
    node: u32,
    trace: &'a str,
    span: &'a str,
    began: i64,
    duration: u64,
    kind: &'a str,
    service: &'a str,
    workspace: &'a str,
    rows: u64,
}

/// The same of records of another table.
#[derive(Debug, Row, Deserialize)]
struct FoundRecord {
    node: u32,
    hash: u64,
    rows: u64,
}

impl Found<'_> {
    fn key(&self) -> RowKey {
        let texts = [self.trace, self.span, self.kind, self.service, self.workspace];
        RowKey::of(texts.map(str::as_bytes), self.began, self.duration)
    }
}

/// What a replica says of itself and of Keeper.
#[derive(Debug, Row, Deserialize)]
struct Replica {
    node: u32,
    name: String,
    /// Replicas with a session.
    active: Vec<String>,
    log_end: u64,
    log_pointer: u64,
}

/// A part that a node has to fetch, by the replica that committed it; without one in the row that every node answers with.
#[derive(Debug, Row, Deserialize)]
struct Fetch {
    node: u32,
    is_fetch: u8,
    source: String,
}

/// How far a replica has come with showing that it has all that absent ones committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    /// Step 1.
    NobodyElseIsActive,
    /// Keeper's log ended here after step 1.
    LogEndsAt(u64),
    /// Step 2.
    LogIsRead,
}

/// Makes sure that no insert of a segment is under way, and asks which of its rows are committed. `began` bounds when they began, in
/// nanoseconds since 1970, and so what is read. `over_by` is when the last insert of it has run out of its time.
///
/// # Errors
/// If ClickHouse rejects a statement, is unreachable, does not answer in time, or cannot know it now.
pub async fn ask(
    client: &Client,
    (table, segment): (Table, SegmentId),
    began: Option<RangeInclusive<i64>>,
    over_by: Instant,
) -> Result<(NoneUnderWay, Committed), Failure> {
    let Some(cluster) = client.cluster() else {
        let (none_under_way, _it) = client.end_inserts(segment, over_by).await?;
        let committed = match began {
            None => Committed::new(),
            Some(began) => rows_of(client, (table, segment), began).await?.0,
        };
        return Ok((none_under_way, committed));
    };
    // one node's list of all, and its numbers for them
    let client = &client.pinned();
    let nodes = nodes::listed(client, cluster).await?;
    let (none_under_way, answering) = client.end_inserts(segment, over_by).await?;
    // all must, where ClickHouse does not say
    let answering = answering.unwrap_or_else(|| nodes.iter().map(|node| node.number).collect());
    let is_absent = |node: &&ClusterNode| !answering.contains(&node.number);
    let shards: BTreeSet<u32> = nodes.iter().filter(is_absent).map(|node| node.shard).collect();
    for shard in shards {
        let members = nodes.iter().filter(|node| node.shard == shard && answering.contains(&node.number));
        until_nothing_is_missing(client, (cluster, table), shard, &members.map(|node| node.number).collect()).await?;
    }
    let Some(began) = began else { return Ok((none_under_way, Committed::new())) };
    let (committed, answered) = rows_of(client, (table, segment), began).await?;
    if answering.is_subset(&answered) {
        Ok((none_under_way, committed))
    } else {
        Err(Failure::local("a node of the cluster went away while it was asked which rows of a segment it has"))
    }
}

/// The rows that nodes have, and which nodes answered.
async fn rows_of(
    client: &Client,
    (table, segment): (Table, SegmentId),
    began: RangeInclusive<i64>,
) -> Result<(Committed, HashSet<u32>), Failure> {
    let (question, endpoint) = client.question(&rows_statement(client, (table, segment), &began));
    if table != Table::Traces {
        return records_of(question, &endpoint).await;
    }
    let mut rows = question.fetch::<Found<'_>>().map_err(|error| Failure::of(&error))?;
    let (mut committed, mut answered) = (Committed::new(), HashSet::new());
    while let Some(row) = endpoint.heard(within(STATEMENT_TIMEOUT, rows.next()).await)? {
        answered.insert(row.node);
        if row.rows > 0 {
            // replicas have the same rows
            let most = committed.entry(row.key()).or_default();
            *most = row.rows.max(*most);
        }
    }
    Ok((committed, answered))
}

/// The same of records.
async fn records_of(question: Query, endpoint: &InUse<'_>) -> Result<(Committed, HashSet<u32>), Failure> {
    let mut rows = question.fetch::<FoundRecord>().map_err(|error| Failure::of(&error))?;
    let (mut committed, mut answered) = (Committed::new(), HashSet::new());
    while let Some(row) = endpoint.heard(within(STATEMENT_TIMEOUT, rows.next()).await)? {
        answered.insert(row.node);
        if row.rows > 0 {
            let most = committed.entry(row_keys::of_hash(row.hash)).or_default();
            *most = row.rows.max(*most);
        }
    }
    Ok((committed, answered))
}

/// What is asked of a table: the values that tell rows apart and their number, what they are called, and a row without meaning.
fn question(table: Table) -> (String, &'static str, &'static str) {
    if table != Table::Traces {
        let hash = row_keys::expression(table);
        return (format!("{hash} AS hash"), "hash", "SELECT toUInt64(0), toUInt64(0)");
    }
    let values = format!(
        "TraceId AS trace, SpanId AS span, toUnixTimestamp64Nano(Timestamp) AS began, toUInt64(Duration) AS duration, \
         toString(SpanKind) AS kind, toString(ServiceName) AS service, ResourceAttributes['{}'] AS workspace",
        workspace::ATTRIBUTE
    );
    let nothing = "SELECT '', '', toInt64(0), toUInt64(0), '', '', '', toUInt64(0)";
    (values, "trace, span, began, duration, kind, service, workspace", nothing)
}

/// Rows that were deleted meanwhile were stored all the same.
fn rows_statement(client: &Client, (table, segment): (Table, SegmentId), began: &RangeInclusive<i64>) -> String {
    let (values, names, nothing) = question(table);
    let rows = |of: &str| {
        format!(
            "SELECT {values}, count() AS rows FROM {of} WHERE SegmentId = '{segment}' AND \
             {} BETWEEN fromUnixTimestamp64Nano({}) AND fromUnixTimestamp64Nano({}) GROUP BY {names}",
            table.time_column(),
            began.start(),
            began.end(),
        )
    };
    let (columns, full) = (format!("{names}, rows"), format!("{}.{}", client.database(), table.name()));
    match client.cluster() {
        None => {
            format!("SELECT toUInt32(0) AS node, {columns} FROM ({}) SETTINGS apply_deleted_mask = 0", rows(&full))
        }
        Some(cluster) => {
            let each = format!("{} UNION ALL {nothing}", rows(&format!("{full}_local")));
            format!(
                "SELECT {} AS node, {columns} FROM {} {SKIP_ABSENT}, apply_deleted_mask = 0",
                NODE,
                of_each(cluster, &each)
            )
        }
    }
}

/// A question that each node is asked by itself, so that a row without meaning says which of them answered.
fn of_each(cluster: &ClusterName, select: &str) -> String {
    format!("clusterAllReplicas({cluster}, view({select}))")
}

/// Waits until a replica of a shard surely has everything that those who do not answer have committed. `members` answer.
async fn until_nothing_is_missing(
    client: &Client,
    (cluster, table): (&ClusterName, Table),
    shard: u32,
    members: &HashSet<u32>,
) -> Result<(), Failure> {
    let mut shown: BTreeMap<u32, Shown> = BTreeMap::new();
    let looks = if members.is_empty() { 0 } else { LOOKS_MAX };
    for _ in 0..looks {
        let mut replicas = replicas(client, (cluster, table)).await?;
        replicas.retain(|replica| members.contains(&replica.node));
        let names: HashSet<&str> = replicas.iter().map(|replica| replica.name.as_str()).collect();
        for replica in &replicas {
            let shown = shown.entry(replica.node).or_insert(Shown::Nothing);
            *shown = shown.after(replica, &names);
        }
        if shown.values().any(|shown| *shown == Shown::LogIsRead) {
            let fetches = fetches(client, (cluster, table)).await?;
            let has_read = shown.iter().filter(|(_, shown)| **shown == Shown::LogIsRead);
            if has_read.into_iter().any(|(node, _)| has_nothing_to_fetch(*node, &fetches, &names)) {
                return Ok(());
            }
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Err(Failure::local(&format!(
        "a replica of shard {shard} does not answer, and no other is known to have all that it committed"
    )))
}

impl Shown {
    /// `answering` are the names of the replicas of its shard that answer.
    fn after(self, replica: &Replica, answering: &HashSet<&str>) -> Self {
        let is_alone = replica.active.iter().all(|name| answering.contains(name.as_str()));
        let end = match self {
            _ if !is_alone => return Self::Nothing,
            Self::Nothing => return Self::NobodyElseIsActive,
            Self::LogIsRead => return self,
            Self::NobodyElseIsActive => replica.log_end,
            Self::LogEndsAt(end) => end,
        };
        // the pointer is at what is read next
        if replica.log_pointer > end { Self::LogIsRead } else { Self::LogEndsAt(end) }
    }
}

fn has_nothing_to_fetch(node: u32, fetches: &[Fetch], answering: &HashSet<&str>) -> bool {
    let mut of_it = fetches.iter().filter(|fetch| fetch.node == node).peekable();
    of_it.peek().is_some() && of_it.all(|fetch| fetch.is_fetch == 0 || answering.contains(fetch.source.as_str()))
}

/// The replicas that answer and have a session of their own.
async fn replicas(client: &Client, (cluster, table): (&ClusterName, Table)) -> Result<Vec<Replica>, Failure> {
    let sql = format!(
        "SELECT {NODE} AS node, replica_name AS name, mapKeys(mapFilter((name, is_active) -> is_active = 1, replica_is_active)) AS active, \
         toUInt64(log_max_index) AS log_end, toUInt64(log_pointer) AS log_pointer FROM {} \
         WHERE database = '{}' AND table = '{}_local' AND NOT is_session_expired {SKIP_ABSENT}",
        system_table(Some(cluster), "replicas"),
        client.database(),
        table.name(),
    );
    client.rows(&sql).await
}

/// What nodes have to fetch.
async fn fetches(client: &Client, (cluster, table): (&ClusterName, Table)) -> Result<Vec<Fetch>, Failure> {
    let each = format!(
        "SELECT 1 AS is_fetch, source_replica AS source FROM system.replication_queue WHERE database = '{}' AND \
         table = '{}_local' AND type IN ('GET_PART', 'ATTACH_PART') UNION ALL SELECT 0, ''",
        client.database(),
        table.name(),
    );
    client
        .rows(&format!(
            "SELECT {NODE} AS node, toUInt8(is_fetch) AS is_fetch, source FROM {} {SKIP_ABSENT}",
            of_each(cluster, &each)
        ))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(active: &[&str], log_end: u64, log_pointer: u64) -> Replica {
        let active = active.iter().map(|name| (*name).to_owned()).collect();
        Replica { node: 1, name: "a".to_owned(), active, log_end, log_pointer }
    }

    fn shown_after(looks: &[Replica]) -> Shown {
        looks.iter().fold(Shown::Nothing, |shown, look| shown.after(look, &HashSet::from(["a"])))
    }

    #[test]
    fn a_log_that_was_read_before_the_session_of_the_absent_ended_shows_nothing() {
        assert_eq!(shown_after(&[replica(&["a", "b"], 7, 8), replica(&["a"], 7, 8)]), Shown::NobodyElseIsActive);
        assert_eq!(shown_after(&[replica(&["a"], 7, 8), replica(&["a"], 9, 8)]), Shown::LogEndsAt(9));
    }

    #[test]
    fn a_log_that_was_read_to_its_end_after_that_is_enough_even_if_it_goes_on() {
        let looks = [replica(&["a"], 7, 7), replica(&["a"], 9, 8), replica(&["a"], 12, 10)];
        assert_eq!(shown_after(&looks), Shown::LogIsRead);
    }

    #[test]
    fn an_absent_replica_with_a_session_makes_it_begin_anew() {
        let looks = [replica(&["a"], 7, 8), replica(&["a"], 7, 8), replica(&["a", "b"], 7, 8)];
        assert_eq!((shown_after(&looks[..2]), shown_after(&looks)), (Shown::LogIsRead, Shown::Nothing));
    }

    #[test]
    fn a_part_of_an_absent_replica_that_waits_to_be_fetched_is_missing() {
        let fetch = |node, is_fetch, source: &str| Fetch { node, is_fetch, source: source.to_owned() };
        let answering = HashSet::from(["a", "c"]);
        let of = |fetches: &[Fetch]| has_nothing_to_fetch(1, fetches, &answering);
        assert!(of(&[fetch(1, 0, ""), fetch(2, 1, "b")]));
        assert!(of(&[fetch(1, 0, ""), fetch(1, 1, "c")]), "those that answer are asked themselves");
        assert!(!of(&[fetch(1, 0, ""), fetch(1, 1, "b")]));
        assert!(!of(&[fetch(2, 0, "")]), "it did not answer");
    }
}
