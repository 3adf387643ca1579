//! Several nodes in `clickhouse.url`: those that are killed, and one that is not there at the start.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::load::{assert_stored_once, send, spans};
use super::nodes::{Cluster, is_possible};
use super::{said, succeeds};
use support::service::binary;
use support::sql::Sql;
use support::{Options, Service, http, wait_until};

const SPANS_A_REQUEST: u64 = 20;
/// Between two requests: the nodes and Millrace have the processors to share.
const PAUSE: Duration = Duration::from_millis(20);
/// Stored before the first node is killed.
const SPANS_BEFORE: u64 = 200;

/// A Millrace that writes through several nodes.
pub(crate) fn millrace(cluster: &Cluster, nodes: &[usize]) -> Service {
    let urls: Vec<String> = nodes.iter().map(|node| cluster.url(*node)).collect();
    let yaml = format!("clickhouse: {{ url: {urls:?}, cluster: '{{cluster}}' }}\n");
    Service::start_with(Options { yaml, fixed_ports: true, ..Options::default() })
}

fn health(service: &Service) -> Value {
    http::get(&service.health()).json()["clickhouse"].clone()
}

fn wait_for_state(service: &Service, url: &str, state: &str) {
    wait_until(&format!("health says that {url} is {state}"), || {
        let health = health(service);
        let endpoints = health["endpoints"].as_array()?;
        endpoints.iter().any(|endpoint| endpoint["url"] == url && endpoint["state"] == state).then_some(())
    });
}

/// Load that ends with the closure; what `during` is given says how many spans were acknowledged so far.
fn under_load(service: &Service, during: impl FnOnce(&AtomicU64)) -> u64 {
    let (acknowledged, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let first = acknowledged.load(Ordering::Relaxed);
                send(service, spans(first, SPANS_A_REQUEST));
                acknowledged.store(first + SPANS_A_REQUEST, Ordering::Relaxed);
                thread::sleep(PAUSE);
            }
        });
        // the load ends with a panic too
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| during(&acknowledged)));
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    acknowledged.into_inner()
}

fn stored(cluster: &Cluster, node: usize) -> u64 {
    let rows = cluster.sql(node).try_rows("SELECT count() AS n FROM otel_traces", &[]);
    rows.ok().and_then(|rows| rows.first()?["n"].as_u64()).unwrap_or_default()
}

/// Waits until what is acknowledged now is stored as a node sees it.
fn wait_until_stored(cluster: &Cluster, node: usize, acknowledged: &AtomicU64) {
    let so_far = acknowledged.load(Ordering::Relaxed);
    wait_until("what is acknowledged is stored", || (stored(cluster, node) >= so_far).then_some(()));
}

#[test]
fn each_node_in_the_url_may_die_under_load_while_another_is_there() {
    if !is_possible() {
        return;
    }
    for (shards, replicas, nodes) in [(1, 2, [0, 1]), (2, 2, [0, 2])] {
        let mut cluster = Cluster::start(shards, replicas);
        succeeds(&cluster.schema("apply", 0, ""));
        let service = millrace(&cluster, &nodes);
        let mut pauses = Vec::new();
        let acknowledged = under_load(&service, |acknowledged| {
            wait_until("the load has begun", || (stored(&cluster, nodes[0]) >= SPANS_BEFORE).then_some(()));
            for (killed, other) in [(nodes[0], nodes[1]), (nodes[1], nodes[0])] {
                wait_until_stored(&cluster, other, acknowledged);
                cluster.kill(killed);
                let began = Instant::now();
                wait_for_state(&service, &cluster.url(killed), "down");
                let left_out = began.elapsed();
                // the killed node has some of the rows alone until it is back
                let before = stored(&cluster, other);
                wait_until("rows go on", || (stored(&cluster, other) > before).then_some(()));
                pauses.push((left_out, began.elapsed()));
                cluster.start_node(killed);
                wait_for_state(&service, &cluster.url(killed), "up");
                wait_until_stored(&cluster, killed, acknowledged);
            }
        });
        assert_stored_once(&cluster, acknowledged);
        println!(
            "{shards}x{replicas}: {acknowledged} spans acknowledged and stored once; a killed node was left out, and rows were seen \
             through the other, after {pauses:?}; with {:?} inserts failed at all endpoints",
            service.metric("millrace_clickhouse_insert_failures_total")
        );
    }
}

#[test]
fn a_node_that_is_not_there_at_the_first_start_is_named_before_the_tables_are_made_without_it() {
    if !is_possible() {
        return;
    }
    let mut cluster = Cluster::start_without(1, 2, &[1]);
    let began = Instant::now();
    // the absent one comes first
    let service = millrace(&cluster, &[1, 0]);
    send(&service, spans(0, 100));
    wait_until("rows are stored", || (stored(&cluster, 0) == 100).then_some(()));
    let first_rows = began.elapsed();
    wait_for_state(&service, &cluster.url(1), "down");
    wait_until("health names the node", || (health(&service)["nodes_absent"][0] == cluster.address(1)).then_some(()));
    let log = service.log();
    let place = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text:?} is not in the log:\n{log}"));
    let is_ready = place("ClickHouse is ready");
    assert!(place(&format!("node {} does not answer", cluster.address(1))) < is_ready, "{log}");
    assert!(place("an endpoint of ClickHouse does not answer") < is_ready, "{log}");
    println!("first start with one of two nodes absent: rows after {first_rows:?}");
    for action in ["apply", "check"] {
        let output =
            binary().args(["schema", action, "--config"]).arg(service.config()).output().expect("the binary runs");
        succeeds(&output);
        assert!(said(&output).contains(&format!("{} does not answer", cluster.address(1))), "{}", said(&output));
    }

    cluster.start_node(1);
    wait_for_state(&service, &cluster.url(1), "up");
    wait_until("it has the tables and the rows", || (stored(&cluster, 1) == 100).then_some(()));
    send(&service, spans(100, 100));
    assert_stored_once(&cluster, 200);
}

#[test]
fn a_node_that_died_just_before_the_first_start_is_named_while_it_is_waited_for() {
    if !is_possible() {
        return;
    }
    let mut cluster = Cluster::start(1, 2);
    // so that Keeper knows both as nodes that do what is asked ON CLUSTER
    Sql { database: "default", ..cluster.sql(0) }.rows("CREATE DATABASE another ON CLUSTER one", &[]);
    cluster.kill(1);
    let began = Instant::now();
    let service = millrace(&cluster, &[0, 1]);
    send(&service, spans(0, 100));
    wait_until("health names the node", || (health(&service)["nodes_absent"][0] == cluster.address(1)).then_some(()));
    let named = began.elapsed();
    wait_until("rows are stored", || (stored(&cluster, 0) == 100).then_some(()));
    println!("first start with a node that died just now: named after {named:?}, rows after {:?}", began.elapsed());
    cluster.start_node(1);
    wait_until("it has the tables and the rows", || (stored(&cluster, 1) == 100).then_some(()));
    assert_stored_once(&cluster, 100);
}
