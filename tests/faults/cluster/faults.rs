//! Nodes and Keeper that are away for a while.

use std::time::Instant;

use serde_json::{Value, json};

use super::load::{assert_stored_once, captured_call, hex, millrace, post, send, spans};
use super::nodes::{Cluster, is_possible};
use super::succeeds;
use support::{Service, http, wait_until};

fn clickhouse_health(service: &Service) -> Value {
    http::get(&service.health()).json()["clickhouse"].clone()
}

#[test]
fn a_node_or_keeper_that_is_away_is_named_by_health_and_nothing_is_lost_or_doubled() {
    if !is_possible() {
        return;
    }
    let mut cluster = Cluster::start(1, 2);
    succeeds(&cluster.schema("apply", 0, ""));
    let service = millrace(&cluster, 0, "");
    send(&service, spans(0, 100));
    assert_stored_once(&cluster, 100);

    cluster.kill(1);
    send(&service, spans(100, 100));
    assert_stored_once(&cluster, 200);
    let want = json!({"state": "storing", "nodes_absent": [cluster.address(1)]});
    wait_until("health names the node that is away", || (clickhouse_health(&service) == want).then_some(()));
    cluster.start_node(1);
    assert_stored_once(&cluster, 200);
    let storing = json!({"state": "storing"});
    wait_until("all is well again", || (clickhouse_health(&service) == storing).then_some(()));

    cluster.keeper().kill();
    wait_until("health says that nothing can be stored", || {
        let health = clickhouse_health(&service);
        let why = health["why"].as_str().unwrap_or_default().to_owned();
        (health["state"] == "away" && why == "no node of shard 1 can write now").then_some(())
    });
    send(&service, spans(200, 100));
    cluster.keeper().start_again();
    assert_stored_once(&cluster, 300);
    wait_until("all is well again", || (clickhouse_health(&service) == storing).then_some(()));
    let log = service.log();
    assert!(log.contains("nodes of the cluster do not answer, or cannot write"), "{log}");
}

#[test]
fn a_replica_that_was_never_there_is_not_waited_for_and_gets_everything_when_it_comes() {
    if !is_possible() {
        return;
    }
    let mut cluster = Cluster::start_without(1, 2, &[1]);
    let began = Instant::now();
    let service = millrace(&cluster, 0, "");
    let mut root = spans(0, 1);
    send(&service, spans(1, 100));
    let count = "SELECT count() AS n FROM otel_traces";
    wait_until("there is a table with rows", || {
        (cluster.sql(0).try_rows(count, &[]).ok()?.first()?["n"].as_u64()? > 0).then_some(())
    });
    assert_stored_once(&cluster, 100);
    let started = began.elapsed();

    post(&service, &captured_call(&hex(&root[0].trace_id), 0));
    assert_stored_once(&cluster, 101);
    send(&service, std::mem::take(&mut root));
    let began = Instant::now();
    let joined = "SELECT count() FROM otel_traces WHERE JoinState = 'joined'";
    wait_until("the pair is joined", || (cluster.sql(0).number(joined, &[]) == 1).then_some(()));
    println!("one of two replicas away: first rows after {started:?}, joined after {:?}", began.elapsed());

    cluster.start_node(1);
    wait_until("it has the tables and every row", || {
        let rows = "SELECT count() AS n FROM otel_traces_local WHERE JoinState = 'joined' OR SpanName LIKE 'span%'";
        let rows = cluster.sql(1).try_rows(rows, &[]).ok()?;
        (rows.first()?["n"] == 102).then_some(())
    });
    wait_until("it has done all that was asked", || cluster.schema("check", 1, "").status.success().then_some(()));
    assert_stored_once(&cluster, 102);
}
