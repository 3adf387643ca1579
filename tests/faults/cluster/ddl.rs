//! The schema on every topology.

use std::thread;

use serde_json::json;

use super::load::{assert_stored_once, millrace, send, spans};
use super::nodes::{Cluster, is_possible};
use super::{said, succeeds};
use support::wait_until;

const TOPOLOGIES: [(usize, usize); 3] = [(1, 2), (2, 1), (2, 2)];
const SPANS: u64 = 1_000;
const DEFINITIONS: &str = "SELECT name, create_table_query FROM system.tables WHERE database = 'otel' ORDER BY name";
const VERSIONS: &str = "SELECT groupArray(version) AS v FROM (SELECT version FROM millrace_schema ORDER BY version)";
const LOCAL_ROWS: &str = "SELECT count() AS n FROM otel_traces_local";

/// `schema apply` through two nodes at the same time: each does all of it, or says that another is at it.
fn apply_from_two_nodes(cluster: &Cluster) {
    let last = cluster.all().end - 1;
    thread::scope(|scope| {
        for node in [0, last] {
            scope.spawn(move || {
                let output = cluster.schema("apply", node, "");
                let is_busy = said(&output).contains("another Millrace is changing the schema");
                assert!(output.status.success() || is_busy, "node {node}: {}", said(&output));
            });
        }
    });
}

fn assert_same_everywhere(cluster: &Cluster) {
    let definitions = cluster.each(DEFINITIONS);
    assert!(definitions[0].len() > 10, "{definitions:?}");
    for (node, other) in definitions.iter().enumerate() {
        assert_eq!(other, &definitions[0], "node {node} has the tables of node 0");
    }
    let versions = cluster.each(VERSIONS);
    let noted = versions[0][0]["v"].as_array().expect("a list").len();
    assert!(noted > 10, "{versions:?}");
    let each_once = json!({"v": (1..=noted).collect::<Vec<_>>()});
    for (node, versions) in versions.iter().enumerate() {
        assert_eq!(versions, std::slice::from_ref(&each_once), "node {node}: each version is noted once");
    }
}

#[test]
fn the_schema_is_made_once_on_every_topology_and_rows_are_the_same_through_every_node() {
    if !is_possible() {
        return;
    }
    for (shards, replicas) in TOPOLOGIES {
        let cluster = Cluster::start(shards, replicas);
        for _twice in 0..2 {
            apply_from_two_nodes(&cluster);
        }
        for node in cluster.all() {
            wait_until("nobody changes the schema", || {
                cluster.schema("apply", node, "").status.success().then_some(())
            });
            succeeds(&cluster.schema("check", node, ""));
        }
        assert_same_everywhere(&cluster);

        let service = millrace(&cluster, 0, "");
        send(&service, spans(0, SPANS));
        assert_stored_once(&cluster, SPANS);
        let local: Vec<u64> = cluster.each(LOCAL_ROWS).iter().map(|rows| rows[0]["n"].as_u64().unwrap()).collect();
        for (shard, replicas) in local.chunks(replicas).enumerate() {
            assert!(replicas.iter().all(|rows| *rows == replicas[0]), "the replicas of shard {shard}: {local:?}");
            assert!((1..=SPANS).contains(&replicas[0]), "shard {shard} has its part: {local:?}");
        }
        println!("{shards}x{replicas}: {SPANS} spans stored once, {local:?} on the nodes");
    }
}
