//! The schema on every topology.

use std::thread;

use serde_json::{Value, json};

use super::load::{assert_stored_once, millrace, send, spans};
use super::nodes::{Cluster, is_possible};
use super::{said, succeeds};
use support::http::post_json;
use support::{Service, wait_until};

const TOPOLOGIES: [(usize, usize); 3] = [(1, 2), (2, 1), (2, 2)];
const SPANS: u64 = 1_000;
const RECORDS: u64 = 200;
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

/// Log records of many traces, data points of many series, each request twice: the second time they are repeats.
fn send_records(service: &Service) {
    let time = "1790000000000000000";
    let record = |number: u64| json!({"timeUnixNano": time, "traceId": format!("{number:032x}"), "body": {"stringValue": "line"}});
    let records: Vec<Value> = (1..=RECORDS).map(record).collect();
    let point = |number: u64| {
        let attribute = json!({"key": "n", "value": {"intValue": number.to_string()}});
        json!({"timeUnixNano": time, "asInt": "1", "attributes": [attribute]})
    };
    let points: Vec<Value> = (1..=RECORDS).map(point).collect();
    let histogram = json!({"timeUnixNano": time, "count": "1", "sum": 1, "bucketCounts": ["1"], "explicitBounds": []});
    let metrics = json!([
        {"name": "gauge", "gauge": {"dataPoints": points}},
        {"name": "sum", "sum": {"dataPoints": points, "aggregationTemporality": 2}},
        {"name": "histogram", "histogram": {"dataPoints": [histogram], "aggregationTemporality": 2}},
    ]);
    for _twice in 0..2 {
        for (path, request) in [
            ("/v1/logs", json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})),
            ("/v1/metrics", json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]})),
        ] {
            let answer = post_json(&service.http(path), &request);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
    }
}

/// Whichever node is asked, and each replica of a shard has its part.
fn assert_records_stored_once(cluster: &Cluster) {
    for (table, rows) in [
        ("otel_logs", RECORDS),
        ("otel_metrics_gauge", RECORDS),
        ("otel_metrics_sum", RECORDS),
        ("otel_metrics_histogram", 1),
    ] {
        let all = format!("SELECT count() AS n FROM {table}");
        let want = vec![vec![json!({"n": rows})]; cluster.all().len()];
        wait_until("all nodes give all rows", || (cluster.each(&all) == want).then_some(()));
        let parts = format!("SELECT count() AS n FROM {table}_local");
        let replicas = cluster.replicas();
        let of_shards = |parts: &[Vec<Value>]| {
            let of_shard = |replicas: &[Vec<Value>]| {
                let are_level = replicas.iter().all(|part| *part == replicas[0]);
                replicas[0][0]["n"].as_u64().filter(|_| are_level)
            };
            parts.chunks(replicas).map(of_shard).sum::<Option<u64>>()
        };
        wait_until("replicas are level", || (of_shards(&cluster.each(&parts)) == Some(rows)).then_some(()));
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
        send_records(&service);
        assert_records_stored_once(&cluster);
    }
}
