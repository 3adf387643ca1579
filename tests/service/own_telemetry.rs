//! Millrace's own traces and metrics, sent to a second Millrace, and never to itself.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::http::{post_json, send};
use support::{Options, Service, service, wait_until};

/// A Millrace that tells another one of itself.
fn telling(to: &str) -> Service {
    let yaml = format!("telemetry: {{ endpoint: '{to}', interval: 1s }}");
    Service::start_with(Options { yaml, ..Options::default() })
}

fn span(id: &str) -> Value {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0000000000000000000000000000000a", "spanId": id,
        "name": "work", "startTimeUnixNano": "1780272000000000000", "endTimeUnixNano": "1780272000000000001"}]}]}]})
}

#[test]
fn another_millrace_gets_the_spans_and_metrics_under_the_names_of_the_page() {
    let receiver = Service::start();
    let service = telling(&receiver.http(""));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = span("000000000000000b").to_string();
    let headers = [("content-type", "application/json"), ("traceparent", parent)];
    assert_eq!(send("POST", &service.http("/v1/traces"), &headers, body.as_bytes()).status, 200);
    // as a Millrace would: no span of that is kept, as the one sent after it is
    let exported = [("content-type", "application/json"), ("x-millrace-telemetry-of", "another")];
    let body = span("000000000000000c").to_string();
    assert_eq!(send("POST", &service.http("/v1/traces"), &exported, body.as_bytes()).status, 200);
    let wrong = send("POST", &service.http("/v1/nothing"), &[("content-type", "application/json")], b"{}");
    assert_eq!(wrong.status, 404);
    let stored = |query: &str| receiver.sql().rows(query, &[]);
    let requests = "SELECT SpanName AS name, SpanAttributes['http.response.status_code'] AS status, TraceId AS trace, \
                    ParentSpanId AS parent, toString(SpanKind) AS kind FROM otel_traces \
                    WHERE ServiceName = 'millrace' AND startsWith(SpanName, 'POST') ORDER BY name, status";
    let want = json!([
        {"name": "POST", "status": "404", "parent": "", "kind": "Server"},
        {"name": "POST /v1/traces", "status": "200", "parent": "b7ad6b7169203331", "kind": "Server"},
    ]);
    wait_until("the requests are spans", || {
        let mut rows = stored(requests);
        let trace = rows.get(1)?.get("trace")?.clone();
        rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("trace")));
        (trace == "0af7651916cd43dd8448eb211c80319c" && Value::from(rows) == want).then_some(())
    });
    wait_until("the inserts are spans", || {
        let inserts = stored(
            "SELECT DISTINCT SpanName AS name, SpanAttributes['db.system.name'] AS db, toString(SpanKind) AS kind \
             FROM otel_traces WHERE startsWith(SpanName, 'INSERT') ORDER BY name",
        );
        (inserts == [json!({"name": "INSERT otel_traces", "db": "clickhouse", "kind": "Client"})]).then_some(())
    });
    let received = "SELECT max(Value) AS value FROM otel_metrics_sum WHERE ServiceName = 'millrace' AND IsMonotonic \
                    AND MetricName = 'millrace_spans_received_total'";
    wait_until("the counter is there with its value", || (stored(received)[0]["value"] == json!(2)).then_some(()));
    let times =
        "SELECT max(Count) AS count FROM otel_metrics_histogram WHERE MetricName = 'millrace_journal_fsync_seconds'";
    wait_until("histograms are too", || (stored(times)[0]["count"].as_u64() > Some(0)).then_some(()));
    assert_eq!(service.metric("millrace_telemetry_export_failures_total"), Some(0.0));
    let own = service.sql().number("SELECT count() AS rows FROM otel_traces WHERE ServiceName = 'millrace'", &[]);
    assert_eq!(own, 0, "nothing of itself is in itself");
}

#[test]
fn nobody_at_the_endpoint_is_said_once_and_changes_nothing_else() {
    let port = service::free_port();
    let mut service = telling(&format!("http://127.0.0.1:{port}"));
    assert_eq!(post_json(&service.http("/v1/traces"), &span("000000000000000b")).status, 200);
    wait_until("exports fail and spans are dropped", || {
        let dropped = service.metric("millrace_telemetry_spans_dropped_total") >= Some(1.0);
        (dropped && service.metric("millrace_telemetry_export_failures_total") >= Some(3.0)).then_some(())
    });
    assert_eq!(service.log().matches("does not take the own traces").count(), 1, "{}", service.log());
    assert!(service.terminate().success());
}

/// Passes on every connection to an address.
fn relay(listener: &TcpListener, to: &str) {
    for stream in listener.incoming() {
        let (Ok(mut client), Ok(mut server)) = (stream, TcpStream::connect(to)) else { return };
        let (mut from_client, mut from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || io::copy(&mut from_client, &mut server));
        thread::spawn(move || io::copy(&mut from_server, &mut client));
    }
}

#[test]
fn an_export_that_comes_back_by_another_way_is_the_last_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = telling(&format!("http://{}", listener.local_addr().unwrap()));
    let to = service.http("").trim_start_matches("http://").to_owned();
    thread::spawn(move || relay(&listener, &to));
    wait_until("it notices", || service.log().contains("leads back to this Millrace").then_some(()));
    assert_eq!(post_json(&service.http("/v1/traces"), &span("000000000000000b")).status, 200);
    let points = || service.metric("millrace_metric_points_received_total").unwrap();
    let before = points();
    // longer than an interval of its own
    thread::sleep(Duration::from_secs(3));
    assert_eq!(points(), before, "nothing more of itself arrives");
    let spans = service.sql().number("SELECT count() AS rows FROM otel_traces WHERE ServiceName = 'millrace'", &[]);
    assert_eq!(spans, 0, "and no request is traced");
}

#[test]
fn an_endpoint_that_is_this_millrace_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("millrace.yaml");
    let validate = |yaml: &str| {
        fs::write(&file, yaml).unwrap();
        let output = service::binary().args(["validate", "--config"]).arg(&file).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    for own in ["http://localhost:4318", "http://127.0.0.1:4317", "http://[::1]:4319", "http://0.0.0.0:8123"] {
        let (is_valid, said) = validate(&format!("log: {{}}\ntelemetry:\n  endpoint: '{own}'\n"));
        assert!(!is_valid && said.contains("telemetry.endpoint") && said.contains("(line 3)"), "{own}: {said}");
    }
    let (is_valid, said) =
        validate("telemetry: { endpoint: 'https://collector:4318', tls: { ca_file: nothing.crt } }\n");
    assert!(!is_valid && said.contains("telemetry.tls: nothing.crt"), "{said}");
    assert!(validate("telemetry: { endpoint: 'http://collector:4318' }\n").0);
}
