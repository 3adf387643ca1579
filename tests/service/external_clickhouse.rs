//! The same binary against a ClickHouse that somebody else runs; health and metrics.

use millrace::time::Clock;
use serde_json::{Value, json};

use crate::rows::assert_stored;
use crate::schema::{schema, succeeds};
use crate::sdk_python::send_trace;
use support::proxy::{Fault, Proxy};
use support::sql::Sql;
use support::wire::{Span, request_of, span};
use support::{Engine, Options, Server, Service, http, wait_until};

#[test]
fn with_an_external_clickhouse_no_engine_is_started_and_everything_arrives_there() {
    let engine = Engine::start();
    let service = Service::start_with(Options { clickhouse_url: Some(engine.url()), ..Options::default() });
    let ledger = send_trace(&service, "grpc", 21, "gzip");
    assert_stored(&service, &ledger);
    assert_eq!(engine.sql("otel").spans_of(&ledger.trace_id), ledger.rows.len());
    assert_eq!(service.engine_pid(), None, "no child process");
}

#[test]
fn the_url_in_the_configuration_does_the_same() {
    let engine = Engine::start();
    let yaml = format!("clickhouse: {{ url: '{}', database: elsewhere }}", engine.url());
    let service = Service::start_with(Options { yaml, ..Options::default() });
    let ledger = send_trace(&service, "grpc", 22, "gzip");
    let query = "SELECT count() AS n FROM otel_traces WHERE TraceId = {t:String}";
    wait_until("the trace is in the database that was named", || {
        let rows = engine.sql("elsewhere").try_rows(query, &[("t", &ledger.trace_id)]).ok()?;
        (rows.first()?.get("n")?.as_u64()? == 4).then_some(())
    });
    assert_eq!(service.engine_pid(), None, "no child process");
}

#[test]
fn a_clickhouse_that_is_down_at_start_delays_the_table_and_not_the_receivers() {
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Refuse);
    let service = Service::start_with(Options { clickhouse_url: Some(proxy.url()), ..Options::default() });
    let ledger = send_trace(&service, "http", 23, "gzip");
    wait_until("the exporter has tried", || (proxy.done(Fault::Refuse) > 0).then_some(()));
    proxy.set(Fault::Pass);
    assert_stored(&service, &ledger);
}

#[test]
fn health_and_metrics_stand_in_their_places() {
    let service = Service::start();
    let health = http::get(&service.health());
    assert_eq!(health.status, 200, "{health:?}");
    let page = service.metrics();
    for name in [
        "otelcol_receiver_accepted_spans_total",
        "otelcol_receiver_refused_spans_total",
        "otelcol_exporter_sent_spans_total",
        "otelcol_exporter_queue_size",
        "otelcol_exporter_queue_capacity",
    ] {
        assert!(page.lines().any(|line| line.starts_with(&format!("# TYPE {name}"))), "{name} is missing:\n{page}");
    }
}

#[test]
fn a_real_server_takes_everything_as_the_engine_does() {
    let server = Server::start();
    let service = Service::start_with(Options { clickhouse_url: Some(server.url()), ..Options::default() });
    let ledger = send_trace(&service, "grpc", 24, "gzip");
    assert_stored(&service, &ledger);
    assert_eq!(server.sql("otel").spans_of(&ledger.trace_id), ledger.rows.len());
    for view in ["genai_calls", "genai_traces", "genai_sessions", "genai_usage_1h", "otel_traces_with_content"] {
        server.sql("otel").rows(&format!("SELECT * FROM {view}"), &[]);
    }
}

/// A server that lets `writer` in with a password. Its own first statement is that of `default`.
const USERS: &str = "<users><default><no_password/><profile>default</profile></default>\
                     <writer><password>s3cret</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile></writer></users>\
                     <profiles><default/></profiles><quotas/>";

/// The bytes of a trace that has just begun; the same request is a repeat.
fn trace_of_now() -> Vec<u8> {
    let now = u64::try_from(Clock::System.now().nanos()).expect("it is after 1970");
    request_of(vec![Span { start_time_unix_nano: now, end_time_unix_nano: now + 1_000, ..span(7) }])
}

fn post_trace(service: &Service, trace: &[u8]) {
    let answer = http::send("POST", &service.http("/v1/traces"), &[("content-type", "application/x-protobuf")], trace);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// A captured call of that trace.
fn call(question: &str) -> Value {
    json!({"trace_id": "07".repeat(16), "request": {"model": "m", "messages": [{"role": "user", "content": question}]},
           "response": {"id": "r", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}]}})
}

fn post_call(service: &Service, question: &str) {
    let answer = http::post_json(&service.chat("default"), &call(question));
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[track_caller]
fn assert_rows(sql: &Sql, rows: u64, joined: u64) {
    let query = "SELECT count() AS rows, uniqExact(SpanId) AS spans, countIf(ParentSpanId = repeat('07', 8)) AS joined FROM otel_traces";
    let want = json!({"rows": rows, "spans": rows, "joined": joined});
    wait_until("each row is stored once, and calls are joined", || {
        (*sql.try_rows(query, &[]).ok()?.first()? == want).then_some(())
    });
}

#[test]
fn a_real_server_with_a_user_and_a_password_has_each_row_once_whoever_restarts() {
    let mut server = Server::start_with_users(USERS);
    let yaml =
        |password: &str| format!("clickhouse: {{ url: '{}', user: writer, password: {password} }}\n", server.url());
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str, password: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, yaml(password)).unwrap();
        path
    };
    let wrong = schema("apply", &config("wrong.yaml", "wrong"));
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let said = [wrong.stdout.as_slice(), &wrong.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("Authentication failed"), "{wrong:?}");
    let right = config("right.yaml", "s3cret");
    succeeds(&schema("apply", &right));
    succeeds(&schema("check", &right));

    let mut service = Service::start_with(Options { yaml: yaml("s3cret"), fixed_ports: true, ..Options::default() });
    let trace = trace_of_now();
    // before its root, and after it
    post_call(&service, "first");
    assert_rows(&server.sql("otel"), 1, 0);
    post_trace(&service, &trace);
    post_call(&service, "second");
    assert_rows(&server.sql("otel"), 3, 2);

    server.kill_and_start();
    post_trace(&service, &trace);
    post_call(&service, "first");
    post_call(&service, "third");
    assert_rows(&server.sql("otel"), 4, 3);
    service.kill();
    service.start_again();
    post_trace(&service, &trace);
    post_call(&service, "third");
    post_call(&service, "fourth");
    assert_rows(&server.sql("otel"), 5, 4);
}
