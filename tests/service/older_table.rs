//! A table that is there already, as the OpenTelemetry exporter makes it: it gets the columns it lacks and keeps its rows.
//!
//! Source of the DDL: opentelemetry-collector-contrib, exporter/clickhouseexporter, `traces_table.sql`.

use serde_json::{Value, json};

use crate::rows::{COLUMNS, assert_stored};
use crate::sdk_python::send_trace;
use support::http::post_json;
use support::{Engine, Service, wait_until};

const STOCK_TABLE: &str = "CREATE TABLE otel.otel_traces (
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    Links Nested (TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
) ENGINE = MergeTree() PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1";

const OLD_ROWS: &str = "INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanAttributes) \
                        SELECT now64(9) - number, 'aa', toString(number), 'old', map('n', toString(number)) FROM numbers(1000)";

/// Columns of the table in their order.
fn columns(service: &Service) -> Vec<String> {
    let query = "SELECT name FROM system.columns WHERE database = 'otel' AND table = 'otel_traces' ORDER BY position";
    service.sql().rows(query, &[]).iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn an_older_table_gets_the_columns_it_lacks_and_keeps_its_rows() {
    let engine = Engine::start();
    for statement in ["CREATE DATABASE otel", STOCK_TABLE, OLD_ROWS] {
        engine.sql("default").rows(statement, &[]);
    }
    let mut service = engine.into_service();
    let ledger = send_trace(&service, "grpc", 31, "gzip");
    assert_stored(&service, &ledger);
    let pair = json!({"request": {"model": "m", "messages": []}, "response": {"choices": []}});
    let said = post_json(&service.chat("default"), &pair).json();
    let span = said["span_id"].as_str().expect("an id");
    let query = "SELECT RawRequest, RawResponse FROM otel_traces WHERE SpanId = {s:String}";
    let row = wait_until("the pair is stored", || service.sql().try_rows(query, &[("s", span)]).ok()?.pop());
    let sent = json!({"RawRequest": pair["request"].to_string(), "RawResponse": pair["response"].to_string()});
    assert_eq!(row, sent);

    assert!(service.log().contains("the table is there already: it keeps its key and its rows"), "it is said");

    let before = columns(&service);
    let (standard, ours) = before.split_at(COLUMNS.len());
    assert_eq!(standard, COLUMNS);
    assert!(["RawRequest", "RawResponse"].iter().all(|name| ours.contains(&(*name).to_owned())), "{ours:?}");
    service.terminate();
    service.start_again();
    wait_until("the table is reached again", || service.sql().try_rows("SELECT 1 FROM otel_traces LIMIT 1", &[]).ok());
    assert_eq!(columns(&service), before, "a second start changes nothing");
    let old = "SELECT count() AS n, sum(toUInt64(SpanAttributes['n'])) AS sum, countIf(RawRequest = '' AND RawResponse = '') AS empty \
               FROM otel_traces WHERE SpanName = 'old'";
    let want: Value = json!({"n": 1000, "sum": 499_500, "empty": 1000});
    assert_eq!(service.sql().rows(old, &[]), [want]);
}
