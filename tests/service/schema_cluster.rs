//! The DDL as text, and what of a cluster one engine can show: a cluster of one node, which is the engine itself.
//!
//! It has no Keeper, so `ON CLUSTER` and `Replicated` are read by its parser and then left out; Distributed tables, the views
//! on them, inserts through them and the questions to all replicas are the real thing.

use std::fs;

use crate::schema::{post, said, schema, statements, succeeds};
use support::proxy::{Fault, Proxy};
use support::{Engine, Options, Service, project, wait_until};

/// A node of a cluster is local when its address and port are the server's own.
const CLUSTER_OF_ONE: &str = "<tcp_port>9000</tcp_port>
<remote_servers><one><shard><internal_replication>true</internal_replication>
<replica><host>127.0.0.1</host><port>9000</port></replica></shard></one></remote_servers>";

fn fixture(name: &str) -> String {
    fs::read_to_string(project().join("tests/fixtures/schema").join(name)).expect("the fixture can be read")
}

#[test]
fn the_ddl_is_what_the_fixtures_say() {
    for kind in ["server", "cluster"] {
        let config = project().join(format!("tests/fixtures/schema/{kind}.yaml"));
        let output = schema("print", &config);
        succeeds(&output);
        assert!(
            without_release(&String::from_utf8_lossy(&output.stdout))
                == without_release(&fixture(&format!("{kind}.sql"))),
            "the DDL is another. A column, table or view that is new needs a version of its own (schema/migrations.rs). Then:\n\
             cargo run -- schema print --config tests/fixtures/schema/{kind}.yaml > tests/fixtures/schema/{kind}.sql\n\
             and look at the difference"
        );
    }
}

/// Releases change, the schema need not.
fn without_release(sql: &str) -> String {
    let mut parts = sql.split("'millrace ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('\'').map_or("", |(_release, behind)| behind))
}

#[test]
fn the_engine_reads_every_statement_of_a_cluster() {
    let engine = Engine::start();
    let all = statements(&fixture("cluster.sql"));
    assert!(all.iter().filter(|statement| statement.contains(" ON CLUSTER 'one'")).count() > 10);
    for statement in all {
        let quoted = statement.replace('\\', "\\\\").replace('\'', "\\'");
        let read = format!("SELECT countSubstrings(formatQuery('{quoted}'), 'ON CLUSTER one')");
        let on_cluster = engine.sql("default").number(&read, &[]);
        assert_eq!(on_cluster == 1, !statement.starts_with("INSERT"), "every node has it: {statement}");
    }
}

/// What is left of the DDL without Keeper: the tables are what they are, but not replicated.
fn without_keeper(statement: &str) -> String {
    statement
        .replace(" ON CLUSTER 'one'", "")
        .replace("ENGINE = Replicated", "ENGINE = ")
        .replace(", replicated_deduplication_window_seconds = 2592000", "")
        .replace("replicated_deduplication_window", "non_replicated_deduplication_window")
}

/// An engine that is a cluster of one, with the tables.
pub(crate) fn cluster_of_one() -> Engine {
    let engine = Engine::start_with_settings(CLUSTER_OF_ONE);
    for statement in statements(&fixture("cluster.sql")) {
        engine.sql("default").rows(&without_keeper(&statement), &[]);
    }
    engine
}

#[test]
fn rows_go_through_the_distributed_table_once_and_are_found_again_after_a_restart() {
    let engine = cluster_of_one();
    let sql = engine.sql("otel");
    let proxy = Proxy::before(engine.port, Fault::Pass);
    let options = Options {
        clickhouse_url: Some(proxy.url()),
        yaml: "clickhouse: { cluster: one }\nschema: { manage: false }".to_owned(),
        ..Options::default()
    };
    let mut service = Service::start_with(options);
    // the answer to the insert is lost, so it is sent again, with its token
    proxy.inject(Fault::CutAnswer, 1);
    let span = post(&service, "first");
    let rows_of = |table: &str, span: &str| {
        sql.number(&format!("SELECT count() FROM {table} WHERE SpanId = {{s:String}}"), &[("s", span)])
    };
    wait_until("the insert was repeated", || {
        (proxy.done(Fault::CutAnswer) == 1 && rows_of("otel_traces", &span) > 0).then_some(())
    });
    wait_until("it was confirmed", || (service.metric("millrace_clickhouse_up")? >= 1.0).then_some(()));
    assert_eq!((rows_of("otel_traces", &span), rows_of("otel_traces_local", &span)), (1, 1));
    let times = "SELECT count() FROM otel_traces_trace_id_ts AS i JOIN otel_traces AS t ON i.TraceId = t.TraceId \
                 WHERE i.Start = t.Timestamp AND i.End = t.Timestamp";
    assert_eq!(sql.number(times, &[]), 1, "the times of its trace, once");
    // the sender names no session
    for (view, rows) in [
        ("genai_calls", 1),
        ("genai_calls_with_content", 1),
        ("genai_traces", 1),
        ("genai_sessions", 0),
        ("genai_usage_1h", 1),
    ] {
        let between = format!("{view}_between(since = '2001-01-01 00:00:00', until = '2100-01-01 00:00:00')");
        let count = |view: &str| sql.number(&format!("SELECT count() FROM {view}"), &[]);
        wait_until("the call is counted", || (count(view) == rows).then_some(()));
        assert_eq!(count(&between), rows, "{view} asks the whole cluster");
    }
    assert_eq!(sql.number("SELECT count() FROM otel_traces_with_content", &[]), 1);

    service.terminate();
    fs::remove_dir_all(service.data_dir()).expect("its journal can be removed");
    service.start_again();
    let known = |service: &Service| service.metric("millrace_dedup_spans").unwrap_or_default() >= 1.0;
    wait_until("it has asked all replicas what was stored", || known(&service).then_some(()));
    assert_eq!(post(&service, "first"), span);
    let other = post(&service, "second");
    wait_until("the other is stored", || (rows_of("otel_traces", &other) == 1).then_some(()));
    // the table does not tell what was reported, so a repeat may be another report: it is stored, and counted once. One of the equal
    // rows is removed where there is a Keeper, which this cluster lacks
    wait_until("it is looked for", || service.log().contains("failed to remove superseded rows").then_some(()));
    assert_eq!((rows_of("otel_traces", &span), rows_of("genai_calls", &span)), (2, 1));
}

#[test]
fn a_cluster_lacks_what_one_of_its_tables_lacks() {
    let engine = cluster_of_one();
    let sql = engine.sql("otel");
    sql.rows("ALTER TABLE otel_traces_local DROP COLUMN UserId", &[]);
    sql.rows("DROP VIEW otel_traces_trace_id_ts", &[]);
    let config = engine.config_of_a_writer("clickhouse: { url: 'URL', cluster: one }\n");
    let output = schema("check", &config);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    for line in [
        "-- missing: column UserId String of otel.otel_traces_local\n",
        "-- missing: view otel.otel_traces_trace_id_ts\n",
        "ALTER TABLE otel.otel_traces_local ON CLUSTER 'one'\n    ADD COLUMN IF NOT EXISTS `UserId` String CODEC(ZSTD(1));\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn a_cluster_that_is_not_configured_and_one_that_is_none_are_told_apart() {
    let engine = cluster_of_one();
    let output = schema("apply", &engine.config_of_a_writer("clickhouse: { url: 'URL' }\n"));
    assert_eq!(output.status.code(), Some(1));
    let want = "otel.otel_traces is a Distributed table: set clickhouse.cluster to the name of its cluster";
    assert!(said(&output).contains(want), "{}", said(&output));

    let engine = Engine::start_with_settings(CLUSTER_OF_ONE);
    succeeds(&schema("apply", &engine.config_of_a_writer("clickhouse: { url: 'URL' }\n")));
    let output = schema("apply", &engine.config_of_a_writer("clickhouse: { url: 'URL', cluster: one }\n"));
    assert_eq!(output.status.code(), Some(1));
    let want =
        "otel.otel_traces is a MergeTree table: with clickhouse.cluster its rows belong into otel.otel_traces_local";
    assert!(said(&output).contains(want), "{}", said(&output));
    let output = schema("apply", &engine.config_of_a_writer("clickhouse: { url: 'URL', cluster: two }\n"));
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("ClickHouse has no cluster 'two' in its remote_servers"), "{}", said(&output));
}
