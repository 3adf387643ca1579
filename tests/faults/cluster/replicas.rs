//! Replicas and shards that are added later, and replicas that do not meet.

use millrace::columns::Table;
use serde_json::json;

use super::load::{assert_stored_once, millrace, send, spans};
use super::nodes::{Cluster, is_possible};
use super::{apply, said, succeeds};
use support::sql::Sql;
use support::wait_until;

const RETENTION: &str = "retention: { spans: 30d, content: 7d, workspaces: { audit: { spans: forever } } }";
const REPLICAS: &str = "SELECT table, total_replicas FROM system.replicas WHERE database = 'otel' ORDER BY table";
/// Tables that have replicas: those of the three signals and of scores, trace times, the schema's versions, two of roll-ups, experiments
/// and their groups.
const REPLICATED: usize = Table::ALL.len() + 6;
const TTLS: &str = "SELECT name, create_table_query LIKE '%TTL%' AS has FROM system.tables \
                    WHERE database = 'otel' AND name = 'otel_traces_local'";

fn assert_all_meet(cluster: &Cluster, replicas: u64) {
    for (node, found) in cluster.each(REPLICAS).iter().enumerate() {
        assert_eq!(found.len(), REPLICATED, "{found:?}");
        assert!(found.iter().all(|table| table["total_replicas"] == replicas), "node {node}: {found:?}");
    }
}

/// The default path in Keeper and one of the operator's, each with and without retention.
const WAYS: [&str; 3] = ["", "REPLICA_PATH", RETENTION];

#[test]
fn a_replica_and_a_shard_added_later_get_the_tables_through_any_node_and_meet_the_others() {
    if !is_possible() {
        return;
    }
    for (number, way) in WAYS.into_iter().chain([&*format!("{RETENTION}\nREPLICA_PATH")]).enumerate() {
        let mut cluster = Cluster::start(1, 1);
        succeeds(&cluster.schema("apply", 0, way));
        let mut service = millrace(&cluster, 0, way);
        send(&service, spans(0, 100));
        assert_stored_once(&cluster, 100);

        // it would change the schema by itself some time
        service.terminate();
        cluster.add_node(1, 2);
        let output = cluster.schema("check", 0, way);
        assert!(
            said(&output).contains("-- missing: otel.otel_traces_local\n"),
            "an old node says so: {}",
            said(&output)
        );
        // the way of a path must not matter for who is asked: neither the old nor the new node
        apply(&cluster, number % 2, way);
        assert_all_meet(&cluster, 2);
        assert_stored_once(&cluster, 100);
        for node in cluster.all() {
            succeeds(&cluster.schema("check", node, way));
        }
        let has_ttl = u8::from(way.contains("retention"));
        for ttls in cluster.each(TTLS) {
            assert_eq!(ttls, [json!({"name": "otel_traces_local", "has": has_ttl})], "{way}");
        }
        println!("replica added, {way:?}: 2 of 2 replicas meet, 100 of 100 rows on both");
        if number > 0 {
            continue;
        }
        cluster.add_node(2, 1);
        apply(&cluster, 0, way);
        service.start_again();
        send(&service, spans(100, 1_000));
        assert_stored_once(&cluster, 1_100);
        let on_it = cluster.sql(2).number("SELECT count() FROM otel_traces_local", &[]);
        assert!((1..1_000).contains(&on_it), "the new shard has a part of what came since: {on_it}");
        println!("shard added: {on_it} of 1000 rows on it");
    }
}

#[test]
fn replicas_that_do_not_meet_are_named_with_statements_that_bring_their_rows_together() {
    if !is_possible() {
        return;
    }
    let mut cluster = Cluster::start(1, 1);
    succeeds(&cluster.schema("apply", 0, ""));
    cluster.add_node(1, 2);
    // as an operator would do it who runs each node's DDL by hand: the new tables get UUIDs, and so places in Keeper, of their own
    let made_by_hand = said(&cluster.schema("print", 1, ""));
    for statement in made_by_hand.split(";\n\n").map(str::trim).filter(|statement| statement.starts_with("CREATE")) {
        let uuid = format!("UUID '{:08x}-0000-4000-8000-000000000000'", crc(statement));
        let here = statement.replace(" ON CLUSTER '{cluster}'", "");
        let with_uuid = here.replacen("_local\n(", &format!("_local {uuid}\n("), 1);
        Sql { database: "default", ..cluster.sql(1) }.rows(&with_uuid, &[]);
    }
    let service = millrace(&cluster, 0, "");
    send(&service, spans(0, 100));
    let there =
        cluster.sql(1).rows("INSERT INTO otel_traces_local (TraceId, SpanId, Timestamp) VALUES ('a', 'b', now())", &[]);
    assert!(there.is_empty());
    wait_until("the rows are stored", || {
        (cluster.sql(0).number("SELECT count() FROM otel_traces_local", &[]) >= 100).then_some(())
    });

    for action in ["check", "apply"] {
        let output = cluster.schema(action, 0, "");
        assert_eq!(output.status.code(), Some(1), "{action}: {}", said(&output));
        assert!(said(&output).contains("meets no other replica of its shard"), "{action}: {}", said(&output));
        assert!(said(&output).contains(&format!("-- on {}:", cluster.address(1))), "{action}: {}", said(&output));
    }
    mend(&cluster, 1);
    assert_all_meet(&cluster, 2);
    assert_stored_once(&cluster, 101);
    succeeds(&cluster.schema("check", 1, ""));
}

/// Does what `check` says is to be done on a node.
fn mend(cluster: &Cluster, node: usize) {
    let output = String::from_utf8(cluster.schema("check", 0, "").stdout).unwrap();
    let (_, wrong) = output.split_once("-- wrong: ").expect("something is wrong");
    for statement in wrong.split_once('\n').unwrap().1.split(";\n\n").map(str::trim).filter(|text| !text.is_empty()) {
        if statement.contains("`millrace schema apply`") {
            apply(cluster, 0, "");
        }
        let sql: Vec<&str> = statement.lines().filter(|line| !line.starts_with("--")).collect();
        cluster.sql(node).rows(&sql.join("\n"), &[]);
    }
}

/// Unlike for each statement.
fn crc(text: &str) -> u32 {
    text.bytes().fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(byte))
}
