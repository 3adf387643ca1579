//! The official OpenTelemetry SDK for Python, unmodified.

use crate::rows::{COLUMNS, assert_stored, text};
use support::clients::{Ledger, python, run_json};
use support::{Service, wait_until};

/// Sends the known trace. gRPC wants the address, HTTP the whole URL.
pub(crate) fn send_trace(service: &Service, protocol: &str, seed: u32, compression: &str) -> Ledger {
    let endpoint = match protocol {
        "grpc" => format!("http://{}", service.grpc()),
        _ => service.http("/v1/traces"),
    };
    let seed = seed.to_string();
    let arguments = ["--protocol", protocol, "--endpoint", &endpoint, "--seed", &seed, "--compression", compression];
    run_json(&mut python("otlp_python.py", &arguments))
}

#[test]
fn every_field_of_a_trace_sent_by_the_python_sdk_is_in_the_table() {
    let service = Service::start();
    let mut sent = Vec::new();
    for (seed, (protocol, compression)) in
        (1..).zip([("grpc", "gzip"), ("http", "gzip"), ("grpc", "none"), ("http", "none")])
    {
        let ledger = send_trace(&service, protocol, seed, compression);
        assert_stored(&service, &ledger);
        sent.push(ledger);
    }
    let spans: usize = sent.iter().map(|ledger| ledger.rows.len()).sum();
    let counted = service.metric("otelcol_receiver_accepted_spans_total");
    assert_eq!(counted.map(|n| n.to_string()), Some(spans.to_string()), "accepted spans are counted");
    wait_until("the sent spans are counted", || {
        let sent = service.metric("otelcol_exporter_sent_spans_total")?;
        (sent.to_string() == spans.to_string()).then_some(())
    });
}

#[test]
fn the_table_has_the_columns_of_the_clickhouse_exporter_in_its_types() {
    let service = Service::start();
    let ledger = send_trace(&service, "grpc", 1, "gzip");
    assert_stored(&service, &ledger);
    let described = service.sql().rows("DESCRIBE TABLE otel_traces", &[]);
    let columns: Vec<(&str, &str)> = described.iter().map(|row| (text(row, "name"), text(row, "type"))).collect();
    let of = |name: &str| {
        let found = columns.iter().find(|(column, _)| *column == name);
        found.map(|(_, kind)| kind.replace("LowCardinality(String)", "String")).unwrap_or_default()
    };
    for name in COLUMNS {
        let want = match name {
            "Timestamp" => "DateTime64(9)",
            "Duration" => "UInt64",
            "ResourceAttributes" | "SpanAttributes" => "Map(String, String)",
            "Events.Timestamp" => "Array(DateTime64(9))",
            "Events.Attributes" | "Links.Attributes" => "Array(Map(String, String))",
            "Events.Name" | "Links.TraceId" | "Links.SpanId" | "Links.TraceState" => "Array(String)",
            _ => "String",
        };
        assert_eq!(of(name), want, "type of {name} (LowCardinality aside)");
    }
}
