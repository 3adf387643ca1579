//! The same binary against a ClickHouse that somebody else runs; health and metrics.

use crate::rows::assert_stored;
use crate::sdk_python::send_trace;
use support::proxy::{Fault, Proxy};
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
