//! The nodes of a cluster, as one of them knows them: which there are, and which answer now.
//!
//! Questions to all nodes go through `clusterAllReplicas`, which takes each replica for a shard of its own and counts them from one
//! in the order of `system.clusters`: a row's `_shard_num` says which node it is from.

use super::schema::ClusterName;
use super::{Client, Failure};
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::HashSet;

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

/// What makes a question to all nodes leave out those that do not answer. Never for rows of spans: some would be missing.
pub(super) const SKIP_ABSENT: &str = "SETTINGS skip_unavailable_shards = 1";

/// All nodes, in the order of their numbers.
///
/// # Errors
/// When ClickHouse says no or cannot be reached.
pub async fn listed(client: &Client, cluster: &ClusterName) -> Result<Vec<ClusterNode>, Failure> {
    let sql = format!(
        "SELECT shard_num AS shard, concat(host_name, ':', toString(port)) AS address FROM system.clusters \
         WHERE cluster = {} ORDER BY shard_num, replica_num",
        cluster.expression()
    );
    let listed: Vec<Listed> = client.rows(&sql).await?;
    if listed.is_empty() {
        return Err(Failure::for_an_operator(&format!("ClickHouse has no cluster {cluster} in its remote_servers")));
    }
    // a node that is in several shards is asked once
    let mut known = HashSet::new();
    let once = listed.into_iter().filter(|node| known.insert(node.address.clone()));
    Ok((1..).zip(once).map(|(number, Listed { shard, address })| ClusterNode { number, shard, address }).collect())
}

/// Numbers of the nodes that answer.
///
/// # Errors
/// When ClickHouse says no or cannot be reached.
pub async fn answering(client: &Client, cluster: &ClusterName) -> Result<HashSet<u32>, Failure> {
    let one = super::schema::system_table(Some(cluster), "one");
    Ok(client.rows(&format!("SELECT DISTINCT _shard_num FROM {one} {SKIP_ABSENT}")).await?.into_iter().collect())
}
