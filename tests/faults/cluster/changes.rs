//! Rows that change or go after they were stored, on shards and replicas: superseded and joined ones, those that an operator
//! deletes, and those that are too old. And the questions of docs/queries.md, through every node.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::load::{assert_replicas_are_equal, assert_stored_once, captured_call, hex, millrace, post, send, spans};
use super::nodes::{Cluster, is_possible};
use super::{apply, succeeds};
use support::questions::{DOCUMENT, result_of, send_sample, shown};
use support::wire::{Span, string_attribute};
use support::{project, wait_until};

const SECOND: u64 = 1_000_000_000;
const SPANS: u64 = 100;
const CALLS: u64 = 40;
const HOUR: u64 = 3_600 * SECOND;

fn row_count(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("{name} is a number: {row}"))
}

/// Spans as they are reported when they have begun, and when they have ended.
fn begun_and_ended(first: u64, ago: u64) -> [Vec<Span>; 2] {
    let begun: Vec<Span> = spans(first, SPANS)
        .into_iter()
        .map(|span| {
            let start = span.start_time_unix_nano - ago;
            Span { start_time_unix_nano: start, end_time_unix_nano: start, ..span }
        })
        .collect();
    let ended =
        begun.iter().cloned().map(|span| Span { end_time_unix_nano: span.start_time_unix_nano + SECOND, ..span });
    [begun.clone(), ended.collect()]
}

/// How long ago the spans of the hour began that the walk of a Millrace that starts now comes to first, or second when this hour
/// is nearly over.
fn where_the_walk_begins(now: u64) -> u64 {
    if now % HOUR < 50 * 60 * SECOND { 24 * HOUR } else { 23 * HOUR }
}

#[test]
fn of_several_reports_of_a_span_one_stays_on_every_shard_whichever_millrace_took_them() {
    if !is_possible() {
        return;
    }
    let cluster = Cluster::start(2, 2);
    succeeds(&cluster.schema("apply", 0, ""));
    let (mut one, other) = (millrace(&cluster, 0, ""), millrace(&cluster, 3, ""));
    let [begun, ended] = begun_and_ended(0, 0);
    let [begun_long_ago, ended_long_ago] = begun_and_ended(SPANS, where_the_walk_begins(begun[0].start_time_unix_nano));
    send(&one, begun);
    send(&one, begun_long_ago);
    let call = |number: u64| captured_call(&format!("{:032x}", number + 1), number);
    (0..CALLS).for_each(|number| post(&one, &call(number)));
    assert_stored_once(&cluster, 2 * SPANS + CALLS);

    let counts = "SELECT count() AS rows, uniqExact(TraceId) AS traces, countIf(JoinState = '' AND Duration = 1000000000) AS ended, \
                  countIf(CostTotal = 0.5) AS priced FROM otel_traces";
    let all = 2 * SPANS + CALLS;
    let are_left = |ended: u64| {
        let want = json!({"rows": all, "traces": all, "ended": ended, "priced": CALLS});
        wait_until("one report of each is left, the fuller one", || {
            cluster.each(counts).iter().all(|rows| rows[0] == want).then_some(())
        });
    };
    // the same Millrace notes that it saw them before
    send(&one, ended);
    for number in 0..CALLS {
        let mut priced = call(number);
        priced["cost_usd"] = json!(0.5);
        post(&one, &priced);
    }
    are_left(SPANS);
    // to the other one they are new, and a walk finds them
    send(&other, ended_long_ago);
    wait_until("the other Millrace has stored its rows", || {
        (other.metric("millrace_spans_stored_total")? >= 100.0).then_some(())
    });
    one.terminate();
    one.start_again();
    are_left(2 * SPANS);
    // patches and the parts that they are about become one
    cluster.sql(0).rows("OPTIMIZE TABLE otel_traces_local ON CLUSTER one FINAL", &[]);
    are_left(2 * SPANS);
    assert_replicas_are_equal(&cluster);
    println!("2x2: of {} reports of {all} spans one each is left, on all nodes, the fuller one", 2 * all);
}

/// The parent that each joined call has, and its session.
fn joined(cluster: &Cluster, node: usize) -> BTreeMap<String, (String, String)> {
    let query = "SELECT TraceId, ParentSpanId, SessionId FROM otel_traces WHERE JoinState = 'joined'";
    let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
    let rows = cluster.sql(node).rows(query, &[]);
    rows.iter().map(|row| (text(row, "TraceId"), (text(row, "ParentSpanId"), text(row, "SessionId")))).collect()
}

#[test]
fn calls_join_roots_that_another_millrace_stores_later_on_every_shard_and_replica() {
    if !is_possible() {
        return;
    }
    let mut cluster = Cluster::start(2, 2);
    succeeds(&cluster.schema("apply", 0, ""));
    let (one, other) = (millrace(&cluster, 0, ""), millrace(&cluster, 2, ""));
    let mut roots = spans(0, CALLS);
    for (number, root) in roots.iter_mut().enumerate() {
        root.attributes.push(string_attribute("session.id", format!("session {number}")));
    }
    let want: BTreeMap<_, _> = roots
        .iter()
        .enumerate()
        .map(|(number, root)| (hex(&root.trace_id), (hex(&root.span_id), format!("session {number}"))))
        .collect();
    for (number, root) in (0..).zip(&roots) {
        post(&one, &captured_call(&hex(&root.trace_id), number));
    }
    assert_stored_once(&cluster, CALLS);
    cluster.kill(1);
    send(&other, roots);
    assert_stored_once(&cluster, 2 * CALLS);
    for node in [0, 2, 3] {
        wait_until("each call is joined", || (joined(&cluster, node) == want).then_some(()));
    }
    cluster.start_node(1);
    wait_until("the node that was away has it too", || (joined(&cluster, 1) == want).then_some(()));
    cluster.sql(0).rows("OPTIMIZE TABLE otel_traces_local ON CLUSTER one FINAL", &[]);
    assert_stored_once(&cluster, 2 * CALLS);
    for node in cluster.all() {
        assert_eq!(joined(&cluster, node), want, "node {node}");
    }
    assert_replicas_are_equal(&cluster);
    println!(
        "2x2, one replica away meanwhile: {CALLS} of {CALLS} calls joined to their roots on all nodes, 0 to others"
    );
}

/// Rows of three ages in two workspaces, on both shards.
fn store_old_rows(cluster: &Cluster) {
    let rows = "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ResourceAttributes, Workspace, InputMessages) \
                SELECT now64(9) - toIntervalDay(d), lower(hex(sipHash128(n, d, w))), lower(hex(sipHash64(n, d, w))), \
                map('millrace.workspace', w), w, 'text' \
                FROM (SELECT arrayJoin([1, 10, 100]) AS d, arrayJoin(['default', 'audit']) AS w, arrayJoin(range(20)) AS n) \
                SETTINGS insert_distributed_sync = 1";
    cluster.sql(3).rows(rows, &[]);
}

#[test]
fn what_is_kept_and_how_long_is_the_same_on_every_node_when_it_is_set_changed_and_taken_away() {
    if !is_possible() {
        return;
    }
    let cluster = Cluster::start(2, 2);
    apply(&cluster, 0, "");
    store_old_rows(&cluster);
    let kept = "SELECT Workspace AS w, dateDiff('day', Timestamp, now64(9)) AS d, count() AS n, countIf(InputMessages != '') AS texts \
                FROM otel_traces GROUP BY w, d ORDER BY w, d";
    let row = |w: &str, d: u64, texts: u64| json!({"w": w, "d": d, "n": 20, "texts": texts});
    let spans_of_audit =
        "retention: { spans: 30d, content: 7d, workspaces: { audit: { spans: forever, content: 30d } } }";
    let set = vec![
        row("audit", 1, 20),
        row("audit", 10, 20),
        row("audit", 100, 0),
        row("default", 1, 20),
        row("default", 10, 0),
    ];
    let changed = vec![row("audit", 1, 20), row("default", 1, 20)];
    for (node, yaml, want) in [(1, spans_of_audit, &set), (2, "retention: { spans: 5d }", &changed)] {
        apply(&cluster, node, yaml);
        wait_until(&format!("what is too old is gone, and nothing else, by {yaml}"), || {
            cluster.each(kept).iter().all(|rows| rows == want).then_some(())
        });
        assert_replicas_are_equal(&cluster);
        println!("2x2, {yaml}: {} groups of 20 rows are left on each node", want.len());
    }
    apply(&cluster, 3, "");
    let ttls = "SELECT countIf(create_table_query LIKE '%TTL%') AS n FROM system.tables WHERE database = 'otel' AND name LIKE '%local'";
    assert_eq!(cluster.each(ttls), vec![vec![json!({"n": 0})]; 4], "no table has a TTL any more");
    cluster.sql(0).rows("TRUNCATE TABLE otel_traces_local ON CLUSTER one SYNC", &[]);
    store_old_rows(&cluster);
    cluster.sql(0).rows("OPTIMIZE TABLE otel_traces_local ON CLUSTER one FINAL", &[]);
    for (node, rows) in cluster.each(kept).iter().enumerate() {
        assert_eq!(rows.iter().map(|row| row_count(row, "texts")).sum::<u64>(), 120, "node {node}: {rows:?}");
    }
    println!("2x2, no retention: all 120 rows of up to 100 days stay");
}

#[test]
fn what_an_operator_deletes_is_gone_from_every_node_and_a_repeat_does_not_bring_it_back() {
    if !is_possible() {
        return;
    }
    let mut cluster = Cluster::start(2, 2);
    succeeds(&cluster.schema("apply", 0, ""));
    let service = millrace(&cluster, 0, "");
    let sent = spans(0, 3 * SPANS);
    send(&service, sent.clone());
    assert_stored_once(&cluster, 3 * SPANS);
    cluster.kill(3);
    // as docs/cluster.md says: a mutation for a third of them, a lightweight DELETE for another
    let third = |number: u64| format!("toUInt64(substring(SpanName, 6)) % 3 = {number}");
    let changes = [
        format!("ALTER TABLE otel_traces_local ON CLUSTER one DELETE WHERE {}", third(0)),
        format!("DELETE FROM otel_traces_local ON CLUSTER one WHERE {}", third(1)),
    ];
    let settings =
        "SETTINGS distributed_ddl_output_mode = 'null_status_on_timeout_only_active', lightweight_deletes_sync = 1";
    changes.iter().for_each(|change| drop(cluster.sql(0).rows(&format!("{change} {settings}"), &[])));
    let left = format!("SELECT count() AS rows, countIf({}) AS right FROM otel_traces", third(2));
    let want = vec![json!({"rows": SPANS, "right": SPANS})];
    let are_gone = || cluster.each(&left).iter().all(|rows| *rows == want).then_some(());
    wait_until("the rows are gone from the nodes that run", are_gone);
    send(&service, sent);
    wait_until("the repeat is counted as one", || {
        (service.metric("millrace_spans_duplicate_total")? >= 300.0).then_some(())
    });
    cluster.start_node(3);
    let are_gone = || cluster.each(&left).iter().all(|rows| *rows == want).then_some(());
    wait_until("they are gone from the one that was away", are_gone);
    assert_replicas_are_equal(&cluster);
    println!("2x2: 200 of 300 rows deleted on all nodes, one of them away meanwhile; 300 repeats stored none");
}

#[test]
fn every_question_of_the_document_has_its_answer_through_every_node() {
    if !is_possible() {
        return;
    }
    let cluster = Cluster::start(2, 2);
    succeeds(&cluster.schema("apply", 0, ""));
    let service = millrace(&cluster, 0, "");
    let rows = send_sample(&service);
    assert_stored_once(&cluster, rows);
    let document = fs::read_to_string(project().join(DOCUMENT)).expect("the document is there");
    let questions = shown(&document);
    assert!(questions.len() > 15, "fifteen questions and more: {}", questions.len());
    for question in &questions {
        for node in cluster.all() {
            // calls are counted soon after they are stored
            let (sql, mut result) = (cluster.sql(node), String::new());
            let patience = Instant::now() + Duration::from_secs(60);
            while result != question.result && Instant::now() < patience {
                result = result_of(&sql, &question.statement);
            }
            assert_eq!(result, question.result, "node {node}: {}", question.statement);
        }
    }
    let on_nodes: Vec<u64> = cluster
        .each("SELECT count() AS n FROM otel_traces_local")
        .iter()
        .map(|rows| row_count(&rows[0], "n"))
        .collect();
    assert!(on_nodes.iter().all(|on_node| (1..rows).contains(on_node)), "both shards have a part: {on_nodes:?}");
    println!(
        "2x2: {} questions have their answer through all of 4 nodes; {on_nodes:?} of {rows} rows",
        questions.len()
    );
}
