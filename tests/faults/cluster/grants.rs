//! A user of Millrace who may do what `docs/cluster.md` grants, and nothing else.

use std::fs;

use super::load::{captured_call, hex, post, send, spans};
use super::nodes::{Cluster, is_possible};
use super::succeeds;
use support::service::binary;
use support::wire::Span;
use support::{Options, Service, http, project, wait_until};

const TO: &str = " TO millrace;";

/// Who is let in: nodes ask each other as `default`.
fn users() -> String {
    let document = fs::read_to_string(project().join("docs/cluster.md")).expect("the document can be read");
    let grants = document.lines().filter(|line| line.starts_with("GRANT "));
    let grants = grants.map(|line| {
        let (grant, _comment) = line.split_once(TO).expect("it is for this user");
        format!("<query>{grant}</query>")
    });
    let grants: String = grants.collect();
    assert!(grants.contains("CLUSTER"), "{grants}");
    format!(
        "<users><default><no_password/><profile>default</profile></default>\
         <millrace><password>s3cret</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile>\
         <grants>{grants}</grants></millrace></users><profiles><default/></profiles><quotas/>"
    )
}

fn number(cluster: &Cluster, query: &str) -> Option<u64> {
    let rows = cluster.sql(0).try_rows(&format!("SELECT {query} AS n FROM otel_traces"), &[]).ok()?;
    rows.first()?["n"].as_u64()
}

fn assert_nothing_is_denied(service: &Service) {
    let log = service.log();
    assert!(!log.contains("Code: 497") && !log.contains("ACCESS_DENIED"), "{log}");
}

fn wait_for(cluster: &Cluster, service: &Service, what: &str, query: &str, wanted: u64) {
    wait_until(what, || {
        assert_nothing_is_denied(service);
        (number(cluster, query)? == wanted).then_some(())
    });
}

#[test]
fn a_user_with_the_grants_of_the_document_makes_tables_stores_joins_removes_and_looks_for_refused_rows() {
    if !is_possible() {
        return;
    }
    let cluster = Cluster::start_with_users(2, 1, users());
    let urls: Vec<String> = cluster.all().map(|node| cluster.url(node)).collect();
    let yaml = format!(
        "clickhouse: {{ url: {urls:?}, cluster: '{{cluster}}', user: millrace, password: s3cret }}\n\
         retention: {{ spans: 30d, content: 7d }}\n"
    );
    let service = Service::start_with(Options { yaml, fixed_ports: true, ..Options::default() });
    let headers = [("x-clickhouse-user", "millrace"), ("x-clickhouse-key", "s3cret")];
    let refused = http::send("POST", &cluster.url(0), &headers, b"SELECT * FROM file('/etc/passwd', 'LineAsString')");
    assert!(refused.text().contains("ACCESS_DENIED"), "the user is limited: {}", refused.text());

    let begun = spans(1, 50);
    send(&service, begun.clone());
    wait_for(&cluster, &service, "spans are stored", "count()", 50);
    let ended: Vec<Span> = begun
        .into_iter()
        .map(|span| Span { end_time_unix_nano: span.end_time_unix_nano + 1_000_000, ..span })
        .collect();
    send(&service, ended);
    wait_for(&cluster, &service, "superseded rows are removed", "countIf(Duration > 1000000) * 1000 + count()", 50_050);

    let root = spans(0, 1);
    post(&service, &captured_call(&hex(&root[0].trace_id), 0));
    wait_for(&cluster, &service, "the call is stored", "count()", 51);
    send(&service, root);
    wait_for(&cluster, &service, "it is joined", "countIf(JoinState = 'joined')", 1);

    let constraint = "ALTER TABLE otel_traces_local ON CLUSTER one ADD CONSTRAINT c CHECK SpanName != 'refused'";
    cluster.sql(0).rows(constraint, &[]);
    let mut some = spans(100, 20);
    some[7].name = "refused".to_owned();
    send(&service, some);
    wait_for(&cluster, &service, "the others are stored", "count()", 52 + 19);
    let dead = || service.metric("millrace_spans_dead_lettered_total");
    wait_until("one is a dead letter", || (dead()? >= 1.0).then_some(()));

    succeeds(&binary().args(["schema", "check", "--config"]).arg(service.config()).output().expect("the binary runs"));
    assert_nothing_is_denied(&service);
}
