//! The nodes of a cluster, as one of them knows them: which there are, and which answer now.
//!
//! Questions to all nodes go through `clusterAllReplicas`, which takes each replica for a shard of its own and counts them from one
//! in the order of `system.clusters`: a row's `_shard_num` says which node it is from.

use super::availability::{Availability, ClusterTrouble};
use super::client::Client;
use super::cluster::{ClusterName, TABLE, system_table};
use super::errors::Failure;
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// How often the nodes are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// A node that the cluster is configured to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its `_shard_num` among all nodes.
    pub number: u32,
    /// The shard that it is a replica of.
    pub shard: u32,
    /// `host:port` of its native interface.
    pub address: String,
}

#[derive(Debug, Row, Deserialize)]
struct Listed {
    shard: u32,
    address: String,
}

/// Which node a row is from, when all nodes were asked.
pub(super) const NODE: &str = "toUInt32(_shard_num)";

/// What makes a question to all nodes leave out those that do not answer. For rows of spans only where it is known
/// that none is missing.
pub(super) const SKIP_ABSENT: &str = "SETTINGS skip_unavailable_shards = 1";

/// All nodes, in the order of their numbers.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn listed(client: &Client, cluster: &ClusterName) -> Result<Vec<ClusterNode>, Failure> {
    let sql = format!(
        "SELECT shard_num AS shard, concat(host_name, ':', toString(port)) AS address FROM system.clusters \
         WHERE cluster = {} ORDER BY shard_num, replica_num",
        cluster.expression()
    );
    let listed: Vec<Listed> = client.rows(&sql).await?;
    if listed.is_empty() {
        return Err(Failure::hold(&format!("ClickHouse has no cluster {cluster} in its remote_servers")));
    }
    // a node that is in several shards is asked once
    let mut known = HashSet::new();
    let once = listed.into_iter().filter(|node| known.insert(node.address.clone()));
    Ok((1..).zip(once).map(|(number, Listed { shard, address })| ClusterNode { number, shard, address }).collect())
}

/// Numbers of the nodes that answer.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn answering(client: &Client, cluster: &ClusterName) -> Result<HashSet<u32>, Failure> {
    let one = system_table(Some(cluster), "one");
    Ok(client.rows(&format!("SELECT DISTINCT _shard_num FROM {one} {SKIP_ABSENT}")).await?.into_iter().collect())
}

/// Looks at the nodes until it is cancelled, and notes what is wrong; what cannot be asked stays as it was. Safe to cancel.
pub async fn watch(client: Client, availability: Availability) {
    let Some(cluster) = client.cluster().cloned() else { return };
    loop {
        if let Ok(trouble) = look(&client, &cluster).await {
            availability.note_cluster(trouble);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

async fn look(client: &Client, cluster: &ClusterName) -> Result<ClusterTrouble, Failure> {
    let listed = listed(client, cluster).await?;
    let answering = answering(client, cluster).await?;
    // neither column is asked of Keeper
    let read_only = format!(
        "SELECT DISTINCT _shard_num FROM {} WHERE database = '{}' AND table = '{TABLE}_local' \
         AND (is_readonly OR is_session_expired) {SKIP_ABSENT}",
        system_table(Some(cluster), "replicas"),
        client.database(),
    );
    let read_only: HashSet<u32> = client.rows(&read_only).await?.into_iter().collect();
    Ok(trouble(&listed, &answering, &read_only))
}

fn trouble(listed: &[ClusterNode], answering: &HashSet<u32>, read_only: &HashSet<u32>) -> ClusterTrouble {
    let addresses = |is_such: &dyn Fn(&u32) -> bool| {
        listed.iter().filter(|node| is_such(&node.number)).map(|node| node.address.clone()).collect()
    };
    let mut writes: BTreeMap<u32, bool> = BTreeMap::new();
    for node in listed {
        let can_write = answering.contains(&node.number) && !read_only.contains(&node.number);
        *writes.entry(node.shard).or_default() |= can_write;
    }
    ClusterTrouble {
        absent: addresses(&|node| !answering.contains(node)),
        read_only: addresses(&|node| read_only.contains(node)),
        shard: writes.into_iter().find(|(_, any)| !any).map(|(shard, _)| shard),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_stores_while_one_of_its_nodes_can_write() {
        let node = |number, shard| ClusterNode { number, shard, address: format!("h:{number}") };
        let listed = [node(1, 1), node(2, 1), node(3, 2), node(4, 2)];
        let trouble = |answering: &[u32], read_only: &[u32]| {
            super::trouble(&listed, &answering.iter().copied().collect(), &read_only.iter().copied().collect())
        };
        assert_eq!(trouble(&[1, 2, 3, 4], &[]), ClusterTrouble::default());
        let one_away = trouble(&[1, 3, 4], &[3]);
        assert_eq!(
            (one_away.absent, one_away.read_only, one_away.shard),
            (vec!["h:2".into()], vec!["h:3".into()], None)
        );
        assert_eq!(trouble(&[1, 2, 3], &[3]).shard, Some(2));
    }
}
