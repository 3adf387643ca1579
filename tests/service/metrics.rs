//! OTLP metrics from the wire to their five tables: every field in both encodings, what is rejected, what is repeated, and the queries
//! that dashboards ask of the tables of the OpenTelemetry ClickHouse exporter.

use std::io::Write as _;

use millrace::otlp::proto::collector::metrics::v1::ExportMetricsServiceResponse;
use millrace::otlp::{Signal, transcode};
use millrace::time::Clock;
use prost::Message as _;
use serde_json::{Map, Value, json};

use support::http::{Answer, send};
use support::{Engine, Options, Service, grpc, wait_until};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

const TABLES: [&str; 5] = [
    "otel_metrics_gauge",
    "otel_metrics_sum",
    "otel_metrics_histogram",
    "otel_metrics_exponential_histogram",
    "otel_metrics_summary",
];

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// The start and the time of every data point, a few seconds ago.
fn times() -> (i64, i64) {
    let now = Clock::System.now().nanos();
    (now - 60_000_000_000, now - 5_000_000_001)
}

fn post(service: &Service, content_type: &str, encoding: &str, body: &[u8]) -> Answer {
    let headers = [("content-type", content_type), ("content-encoding", encoding)];
    send("POST", &service.http("/v1/metrics"), &headers, body)
}

/// The request in protobuf.
fn protobuf(request: &Value) -> Vec<u8> {
    transcode(request.to_string().as_bytes(), Signal::Metrics, 32).expect("it is OTLP/JSON").protobuf().to_vec()
}

fn request_of(service_name: &str, metrics: Value) -> Value {
    let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
    json!({"resourceMetrics": [{
        "resource": {"attributes": [
            attribute("service.name", json!({"stringValue": service_name})), attribute("n", json!({"intValue": "7"})),
        ]},
        "schemaUrl": "https://opentelemetry.io/schemas/1.43.0",
        "scopeMetrics": [{
            "scope": {
                "name": "meter", "version": "1.2", "droppedAttributesCount": 3,
                "attributes": [attribute("s", json!({"boolValue": true}))],
            },
            "schemaUrl": "https://example.com/scope",
            "metrics": metrics,
        }],
    }]})
}

/// A metric of each kind, with every field that it may have.
fn every_kind(start: i64, time: i64) -> Value {
    let attributes = json!([{"key": "k", "value": {"doubleValue": 0.5}}]);
    let common = |more: Value| {
        let mut point = json!({
            "startTimeUnixNano": start.to_string(), "timeUnixNano": time.to_string(), "attributes": attributes,
        });
        point.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        point
    };
    let exemplars = json!([
        {"timeUnixNano": time.to_string(), "asInt": "-3", "traceId": TRACE, "spanId": SPAN,
         "filteredAttributes": [{"key": "user", "value": {"stringValue": "ü"}}]},
        {"asDouble": 0.25},
    ]);
    json!([
        {"name": "temperature", "description": "how warm", "unit": "Cel",
         "metadata": [{"key": "prometheus.type", "value": {"stringValue": "gauge"}}],
         "gauge": {"dataPoints": [
            common(json!({"asDouble": -1.5, "exemplars": exemplars})),
            common(json!({"asDouble": "NaN"})),
            common(json!({"flags": 1})),
         ]}},
        {"name": "requests", "unit": "{request}", "sum": {
            "aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [common(json!({"asInt": "9007199254740993", "exemplars": exemplars}))],
        }},
        {"name": "latency", "histogram": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [
            common(json!({"count": "3", "sum": 6.5, "min": 0.5, "max": 4, "bucketCounts": ["1", 2, "0"],
                "explicitBounds": [1, 10.5], "flags": 2, "exemplars": exemplars})),
            common(json!({"count": 0})),
        ]}},
        {"name": "sizes", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [
            common(json!({"count": "18446744073709551615", "sum": "Infinity", "min": "-Infinity", "max": 9, "scale": -2,
                "zeroCount": 4, "zeroThreshold": 0.125, "positive": {"offset": 5, "bucketCounts": [1, "300"]},
                "negative": {"offset": -6, "bucketCounts": [7]}, "exemplars": exemplars})),
        ]}},
        {"name": "durations", "summary": {"dataPoints": [
            common(json!({"count": 10, "sum": 55.5, "flags": 1, "quantileValues": [
                {"quantile": 0.5, "value": 5}, {"quantile": 1, "value": 10.25}]})),
        ]}},
        {"name": "without data"},
    ])
}

/// What a row has of the request around it.
fn expected(service_name: &str, (start, time): (i64, i64), metric: [&str; 3], more: Value) -> Map<String, Value> {
    let [name, description, unit] = metric;
    let seconds = |nanos: i64| nanos / 1_000_000_000;
    let Value::Object(mut row) = json!({
        "ResourceAttributes": {"service.name": service_name, "n": "7"},
        "ResourceSchemaUrl": "https://opentelemetry.io/schemas/1.43.0",
        "ScopeName": "meter", "ScopeVersion": "1.2", "ScopeAttributes": {"s": "true"}, "ScopeDroppedAttrCount": 3,
        "ScopeSchemaUrl": "https://example.com/scope", "ServiceName": service_name,
        "MetricName": name, "MetricDescription": description, "MetricUnit": unit, "Attributes": {"k": "0.5"},
        "StartTimeUnix": seconds(start), "TimeUnix": seconds(time), "StartTimeUnixNano": start, "TimeUnixNano": time,
        "Flags": 0, "MetricMetadata": {}, "Workspace": "default",
    }) else {
        unreachable!("an object")
    };
    row.extend(more.as_object().unwrap().clone());
    row
}

fn with_exemplars(time: i64, are_there: bool, mut row: Value) -> Value {
    let exemplars = json!({
        "Exemplars.FilteredAttributes": [{"user": "ü"}, {}],
        "Exemplars.TimeUnix": [time / 1_000_000_000, 0], "Exemplars.TimeUnixNano": [time, 0],
        "Exemplars.Value": ["-3", "0.25"],
        // an id that is not given is all zeros, as the exporter writes it
        "Exemplars.SpanId": [SPAN, "0".repeat(16)], "Exemplars.TraceId": [TRACE, "0".repeat(32)],
    });
    let columns = exemplars.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(columns.into_iter().map(|(name, values)| {
        let values = if are_there { values } else { json!([]) };
        (name, values)
    }));
    row
}

/// The rows of every table, in the order of the request.
fn expected_tables(service_name: &str, times: (i64, i64)) -> Vec<Vec<Map<String, Value>>> {
    let (_, time) = times;
    let gauge = |more: Value, are_there| {
        let row =
            expected(service_name, times, ["temperature", "how warm", "Cel"], with_exemplars(time, are_there, more));
        row.into_iter().chain([("MetricMetadata".to_owned(), json!({"prometheus.type": "gauge"}))]).collect()
    };
    let histogram = |more: Value, are_there| {
        let more = with_exemplars(time, are_there, more);
        expected(service_name, times, ["latency", "", ""], more)
    };
    let sum = json!({"Value": "9007199254740992", "ValueInt": 9_007_199_254_740_993_i64, "AggregationTemporality": 2,
        "IsMonotonic": true});
    let exponential = json!({
        "Count": u64::MAX, "Sum": "inf", "Min": "-inf", "Max": "9", "HasSum": true, "HasMin": true, "HasMax": true,
        "Scale": -2, "ZeroCount": 4, "ZeroThreshold": "0.125", "PositiveOffset": 5, "PositiveBucketCounts": [1, 300],
        "NegativeOffset": -6, "NegativeBucketCounts": [7], "AggregationTemporality": 1,
    });
    vec![
        vec![
            gauge(json!({"Value": "-1.5", "ValueInt": null}), true),
            gauge(json!({"Value": "nan", "ValueInt": null}), false),
            gauge(json!({"Value": "0", "ValueInt": null, "Flags": 1}), false),
        ],
        vec![expected(service_name, times, ["requests", "", "{request}"], with_exemplars(time, true, sum))],
        vec![
            histogram(
                json!({"Count": 3, "Sum": "6.5", "Min": "0.5", "Max": "4", "BucketCounts": [1, 2, 0],
                    "ExplicitBounds": ["1", "10.5"], "Flags": 2, "AggregationTemporality": 1,
                    "HasSum": true, "HasMin": true, "HasMax": true}),
                true,
            ),
            histogram(
                json!({"Count": 0, "Sum": "0", "Min": "0", "Max": "0", "BucketCounts": [], "ExplicitBounds": [],
                    "AggregationTemporality": 1, "HasSum": false, "HasMin": false, "HasMax": false}),
                false,
            ),
        ],
        vec![expected(service_name, times, ["sizes", "", ""], with_exemplars(time, true, exponential))],
        vec![expected(
            service_name,
            times,
            ["durations", "", ""],
            json!({"Count": 10, "Sum": "55.5", "Flags": 1, "ValueAtQuantiles.Quantile": ["0.5", "1"],
                "ValueAtQuantiles.Value": ["5", "10.25"]}),
        )],
    ]
}

/// The columns of a table: name and type.
fn columns(service: &Service, table: &str) -> Vec<(String, String)> {
    let described = service.sql().rows(&format!("DESCRIBE TABLE {table}"), &[]);
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    described.iter().map(|row| (text(row, "name"), text(row, "type"))).collect()
}

/// The rows of a service in a table, every column: times as numbers, floating-point numbers as text.
pub(crate) fn stored(service: &Service, table: &str, service_name: &str) -> Vec<Map<String, Value>> {
    let shown = columns(service, table).into_iter().filter(|(name, _)| name != "SegmentId").map(|(name, kind)| {
        let value = format!("t.`{name}`");
        let shown = match kind.as_str() {
            "DateTime" => format!("toUnixTimestamp({value})"),
            "DateTime64(9)" => format!("toUnixTimestamp64Nano({value})"),
            "Float64" => format!("toString({value})"),
            "Array(DateTime)" => format!("arrayMap(at -> toUnixTimestamp(at), {value})"),
            "Array(DateTime64(9))" => format!("arrayMap(at -> toUnixTimestamp64Nano(at), {value})"),
            "Array(Float64)" => format!("arrayMap(number -> toString(number), {value})"),
            _ => value,
        };
        format!("{shown} AS `{name}`")
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    let query = format!("SELECT {shown} FROM {table} AS t WHERE t.ServiceName = {{s:String}}");
    let rows = service.sql().rows(&query, &[("s", service_name)]);
    rows.into_iter().map(|row| row.as_object().unwrap().clone()).collect()
}

fn count(service: &Service, table: &str) -> u64 {
    service
        .sql()
        .try_rows(&format!("SELECT count() AS n FROM {table}"), &[])
        .ok()
        .and_then(|rows| rows[0]["n"].as_u64())
        .unwrap_or(0)
}

fn points(service: &Service) -> u64 {
    TABLES.iter().map(|table| count(service, table)).sum()
}

fn wait_for_points(service: &Service, expected: u64) {
    wait_until("the data points are stored", || (points(service) >= expected).then_some(()));
    assert_eq!(points(service), expected);
}

fn sorted(rows: impl IntoIterator<Item = Map<String, Value>>) -> Vec<String> {
    // members in the order of their names
    let text = |row: Map<String, Value>| format!("{:?}", row.into_iter().collect::<std::collections::BTreeMap<_, _>>());
    let mut rows: Vec<String> = rows.into_iter().map(text).collect();
    rows.sort_unstable();
    rows
}

fn compressed(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(body, 1).unwrap(),
        _ => body.to_vec(),
    }
}

#[test]
fn every_field_of_every_kind_is_in_its_table_in_both_encodings() {
    let service = Service::start();
    let times = times();
    let ways = [
        ("json", JSON, "identity"),
        ("json-gzip", JSON, "gzip"),
        ("protobuf", PROTOBUF, "identity"),
        ("protobuf-zstd", PROTOBUF, "zstd"),
        ("protobuf-deflate", PROTOBUF, "deflate"),
    ];
    for (name, content_type, encoding) in ways {
        let request = request_of(name, every_kind(times.0, times.1));
        let body = if content_type == JSON { request.to_string().into_bytes() } else { protobuf(&request) };
        let answer = post(&service, content_type, encoding, &compressed(encoding, &body));
        let empty = if content_type == JSON { "{}" } else { "" };
        assert_eq!((answer.status, answer.text().as_str()), (200, empty), "{name}: {answer:?}");
    }
    let grpc = protobuf(&request_of("grpc", every_kind(times.0, times.1)));
    let answer = grpc::export_to(&service.grpc(), Signal::Metrics.method(), &grpc);
    assert_eq!((answer.code, answer.body.len()), (0, 0), "{answer:?}");
    wait_for_points(&service, 6 * 8);
    for name in ways.map(|(name, ..)| name).into_iter().chain(["grpc"]) {
        for (table, expected) in TABLES.into_iter().zip(expected_tables(name, times)) {
            assert_eq!(sorted(stored(&service, table, name)), sorted(expected), "{name} in {table}");
        }
    }
    assert_eq!(service.metric("otelcol_receiver_accepted_metric_points_total"), Some(48.0));
}

#[test]
fn a_request_that_is_repeated_is_stored_once_even_over_a_restart() {
    let mut service = Service::start();
    let times = times();
    let body = protobuf(&request_of("again", every_kind(times.0, times.1)));
    let sent = |service: &Service| post(service, PROTOBUF, "identity", &body).status;
    assert_eq!((sent(&service), sent(&service)), (200, 200));
    wait_for_points(&service, 8);
    assert_eq!(service.metric("millrace_receiver_duplicate_metric_points_total"), Some(8.0));
    assert_eq!(service.terminate().code(), Some(0));
    service.start_again();
    assert_eq!(sent(&service), 200);
    let other = protobuf(&request_of("other", every_kind(times.0, times.1)));
    assert_eq!(post(&service, PROTOBUF, "identity", &other).status, 200);
    wait_for_points(&service, 16);
}

#[test]
fn what_is_malformed_is_rejected_alone_and_named_and_the_rest_is_stored() {
    let service = Service::start();
    let (_, time) = times();
    let point = |more: Value| {
        let mut point = json!({"timeUnixNano": time.to_string(), "asInt": 1});
        point.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        point
    };
    let metrics = json!([
        {"name": "good", "gauge": {"dataPoints": [point(json!({})), point(json!({"asInt": 2}))]}},
        {"name": "ids", "sum": {"dataPoints": [
            point(json!({"exemplars": [{"traceId": "abc"}]})),
            point(json!({"asInt": 3})),
        ]}},
        {"name": "old", "gauge": {"dataPoints": [{"timeUnixNano": "1000000000", "asInt": 1}]}},
    ]);
    let partial = "an exemplar's trace_id must be 32 hex digits, not all zero";
    let answer = post(&service, JSON, "identity", request_of("json", metrics.clone()).to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json()["partialSuccess"].clone();
    assert_eq!(said["rejectedDataPoints"], "2", "{said}");
    let message = said["errorMessage"].as_str().unwrap();
    assert!(message.contains(partial) && message.contains("(\"old\"): time_unix_nano is more than"), "{message}");

    let request = protobuf(&request_of("protobuf", metrics));
    let http = post(&service, PROTOBUF, "identity", &request);
    let grpc = grpc::export_to(
        &service.grpc(),
        Signal::Metrics.method(),
        &protobuf(&json!({"resourceMetrics": [
            {"scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [{"timeUnixNano": "1000000000"}]}}]}]}
        ]})),
    );
    assert_eq!(grpc.code, 0, "{grpc:?}");
    for (body, rejected) in [(http.body, 2), (grpc.body, 1)] {
        let partial = ExportMetricsServiceResponse::decode(body.as_slice()).unwrap().partial_success.unwrap();
        assert_eq!(partial.rejected_data_points, rejected, "{partial:?}");
        assert!(partial.error_message.contains("data point"), "{partial:?}");
    }
    // a wrong type costs its own data points
    let metrics = json!([
        {"name": 5, "gauge": {"dataPoints": [point(json!({}))]}},
        {"name": "no object", "sum": 7},
        {"name": "flags", "sum": {"dataPoints": [point(json!({"flags": "x"})), point(json!({}))]}},
    ]);
    let answer = post(&service, JSON, "identity", request_of("types", metrics).to_string().as_bytes());
    assert_eq!(answer.json()["partialSuccess"]["rejectedDataPoints"], "3", "{answer:?}");
    wait_for_points(&service, 3 + 3 + 1);
    assert_eq!(service.metric("millrace_receiver_rejected_metric_points_total"), Some(8.0));

    for (content_type, body) in
        [(PROTOBUF, &b"\xff\xff garbage"[..]), (JSON, b"{"), (JSON, b"{\"resourceMetrics\": 7}")]
    {
        assert_eq!(post(&service, content_type, "identity", body).status, 400);
    }
    assert_eq!(post(&service, "text/plain", "identity", b"x").status, 415);
}

/// The exporter's columns of each table: name and type.
/// Source: opentelemetry-collector-contrib v0.160, exporter/clickhouseexporter/internal/sqltemplates/metrics_*_table.sql.
fn of_exporter(table: &str) -> Vec<(&'static str, &'static str)> {
    const MAP: &str = "Map(LowCardinality(String), String)";
    let common = [
        ("ResourceAttributes", MAP),
        ("ResourceSchemaUrl", "String"),
        ("ScopeName", "String"),
        ("ScopeVersion", "String"),
        ("ScopeAttributes", MAP),
        ("ScopeDroppedAttrCount", "UInt32"),
        ("ScopeSchemaUrl", "String"),
        ("ServiceName", "LowCardinality(String)"),
        ("MetricName", "LowCardinality(String)"),
        ("MetricDescription", "String"),
        ("MetricUnit", "String"),
        ("Attributes", MAP),
        ("StartTimeUnix", "DateTime"),
        ("TimeUnix", "DateTime"),
    ];
    let exemplars = [
        ("Exemplars.FilteredAttributes", "Array(Map(LowCardinality(String), String))"),
        ("Exemplars.TimeUnix", "Array(DateTime)"),
        ("Exemplars.Value", "Array(Float64)"),
        ("Exemplars.SpanId", "Array(String)"),
        ("Exemplars.TraceId", "Array(String)"),
    ];
    let number = [("Value", "Float64"), ("Flags", "UInt32")];
    let counted = [("Count", "UInt64"), ("Sum", "Float64")];
    let ends = [("Flags", "UInt32"), ("Min", "Float64"), ("Max", "Float64"), ("AggregationTemporality", "Int32")];
    let own: Vec<(&str, &str)> = match table {
        "otel_metrics_gauge" => [&number[..], &exemplars].concat(),
        "otel_metrics_sum" => {
            [&number[..], &exemplars, &[("AggregationTemporality", "Int32"), ("IsMonotonic", "Bool")]].concat()
        }
        "otel_metrics_histogram" => {
            let buckets = [("BucketCounts", "Array(UInt64)"), ("ExplicitBounds", "Array(Float64)")];
            [&counted[..], &buckets, &exemplars, &ends].concat()
        }
        "otel_metrics_exponential_histogram" => {
            let buckets = [
                ("Scale", "Int32"),
                ("ZeroCount", "UInt64"),
                ("PositiveOffset", "Int32"),
                ("PositiveBucketCounts", "Array(UInt64)"),
                ("NegativeOffset", "Int32"),
                ("NegativeBucketCounts", "Array(UInt64)"),
            ];
            [&counted[..], &buckets, &exemplars, &ends].concat()
        }
        _ => {
            let quantiles =
                [("ValueAtQuantiles.Quantile", "Array(Float64)"), ("ValueAtQuantiles.Value", "Array(Float64)")];
            [&counted[..], &quantiles, &[("Flags", "UInt32")]].concat()
        }
    };
    [&common[..], &own].concat()
}

#[test]
fn the_tables_have_the_columns_of_the_clickhouse_exporter_in_its_types_and_ours_after_them() {
    let service = Service::start();
    let (start, time) = times();
    let request = protobuf(&request_of("s", every_kind(start, time)));
    assert_eq!(post(&service, PROTOBUF, "identity", &request).status, 200);
    wait_for_points(&service, 8);
    for table in TABLES {
        let columns = columns(&service, table);
        let columns: Vec<(&str, &str)> = columns.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
        let standard = of_exporter(table);
        let (first, ours) = columns.split_at(standard.len());
        assert_eq!(first, standard, "{table}");
        assert!(ours.contains(&("Workspace", "LowCardinality(String)")), "{table}: {ours:?}");
    }
}

/// Source: opentelemetry-collector-contrib, exporter/clickhouseexporter, the table of gauges before v0.160.
const OLDER_TABLE: &str = "CREATE TABLE otel.otel_metrics_gauge (
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl String CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    MetricName String CODEC(ZSTD(1)),
    MetricDescription String CODEC(ZSTD(1)),
    MetricUnit String CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix DateTime64(9) CODEC(Delta, ZSTD(1)),
    TimeUnix DateTime64(9) CODEC(Delta, ZSTD(1)),
    Value Float64 CODEC(ZSTD(1)),
    Flags UInt32 CODEC(ZSTD(1)),
    Exemplars Nested (FilteredAttributes Map(LowCardinality(String), String), TimeUnix DateTime64(9), Value Float64, SpanId String, TraceId String) CODEC(ZSTD(1))
) ENGINE = MergeTree() PARTITION BY toDate(TimeUnix)
ORDER BY (ServiceName, MetricName, Attributes, toUnixTimestamp64Nano(TimeUnix))
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1";

const OLDER_ROW: &str = "INSERT INTO otel.otel_metrics_gauge (ServiceName, MetricName, TimeUnix, Value, Exemplars.FilteredAttributes,
    Exemplars.TimeUnix, Exemplars.Value, Exemplars.SpanId, Exemplars.TraceId)
    VALUES ('old', 'm', fromUnixTimestamp64Nano(1790000000123456789), 1, [map()], [fromUnixTimestamp64Nano(1790000000000000001)], [2], ['a'], ['b'])";

#[test]
fn a_table_that_an_older_exporter_made_keeps_its_rows_and_takes_ours() {
    let engine = Engine::start();
    for statement in ["CREATE DATABASE otel", OLDER_TABLE, OLDER_ROW] {
        engine.sql("default").rows(statement, &[]);
    }
    let url = Some(format!("http://127.0.0.1:{}", engine.port));
    let service = Service::start_with(Options { clickhouse_url: url, ..Options::default() });
    let times = times();
    let request = protobuf(&request_of("new", every_kind(times.0, times.1)));
    assert_eq!(post(&service, PROTOBUF, "identity", &request).status, 200);
    wait_for_points(&service, 1 + 8);
    let row = stored(&service, "otel_metrics_gauge", "old").remove(0);
    assert_eq!((&row["Workspace"], &row["Value"]), (&json!("default"), &json!("1")));
    assert_eq!(row["TimeUnixNano"], json!(1_790_000_000_123_456_789_i64));
    assert_eq!(row["Exemplars.TimeUnixNano"], json!([1_790_000_000_000_000_001_i64]));
    // a `DateTime64(9)` is as exact as a `DateTime` here; the nanoseconds are in the columns of ours
    let ours = stored(&service, "otel_metrics_gauge", "new");
    assert_eq!(ours.len(), 3);
    assert!(ours.iter().all(|row| row["TimeUnixNano"] == json!(times.1)), "{ours:?}");
}

#[test]
fn a_data_point_older_than_the_retention_of_metrics_is_rejected_by_name() {
    let yaml = "retention: { metrics: 2d }".to_owned();
    let service = Service::start_with(Options { yaml, ..Options::default() });
    let now = Clock::System.now().nanos();
    let day = 24 * 60 * 60 * 1_000_000_000_i64;
    let points = [now - 4 * day, now].map(|time| json!({"timeUnixNano": time.to_string(), "asInt": 1}));
    let request = request_of("s", json!([{"name": "m", "gauge": {"dataPoints": points}}]));
    let answer = post(&service, JSON, "identity", request.to_string().as_bytes());
    let said = answer.json()["partialSuccess"].clone();
    assert_eq!(said["rejectedDataPoints"], "1", "{answer:?}");
    assert!(said["errorMessage"].as_str().unwrap().contains("retention.metrics"), "{said}");
    wait_for_points(&service, 1);
}

const RECENT: &str = "TimeUnix >= now() - INTERVAL 1 HOUR AND TimeUnix <= now() + INTERVAL 1 HOUR";

fn of_name(name: &str) -> String {
    format!("ServiceName = 'shop' AND MetricName = '{name}' AND {RECENT}")
}

/// What the README of the exporter and Grafana's editor ask.
fn queries_of_grafana() -> Vec<String> {
    vec![
        // the exporter's README
        "select TimeUnix,MetricName,Attributes,Value from otel_metrics_sum where MetricName='requests' limit 100".to_owned(),
        "select TimeUnix,MetricName,Attributes,Value from otel_metrics_sum
         where MetricName='requests' and Attributes['k']='0.5' limit 100"
            .to_owned(),
        // Grafana's query builder: a time series, and the list of metrics for a variable
        format!(
            "SELECT toStartOfInterval(TimeUnix, INTERVAL 60 second) AS time, avg(Value) AS value, Attributes['k'] AS k
             FROM otel_metrics_gauge WHERE {} AND Flags = 0 AND NOT isNaN(Value) GROUP BY time, k ORDER BY time ASC LIMIT 1000",
            of_name("temperature")
        ),
        format!("SELECT DISTINCT MetricName FROM otel_metrics_gauge WHERE {RECENT} ORDER BY MetricName LIMIT 1000"),
        format!(
            "SELECT MetricName, any(MetricUnit) AS unit, any(MetricDescription) AS description FROM otel_metrics_histogram
             WHERE {RECENT} GROUP BY MetricName"
        ),
        // a rate of a cumulative sum
        format!(
            "SELECT time, sum(rate) AS value FROM (
                SELECT toStartOfInterval(TimeUnix, INTERVAL 60 second) AS time, cityHash64(Attributes) AS series,
                    greatest(max(Value) - min(Value), 0) / 60 AS rate
                FROM otel_metrics_sum WHERE {} AND AggregationTemporality = 2 AND IsMonotonic GROUP BY time, series
             ) GROUP BY time ORDER BY time",
            of_name("requests")
        ),
        format!(
            "SELECT Scale, arraySum(PositiveBucketCounts) + arraySum(NegativeBucketCounts) + ZeroCount AS counted
             FROM otel_metrics_exponential_histogram WHERE {}",
            of_name("sizes")
        ),
        format!(
            "SELECT quantile, value FROM otel_metrics_summary
             ARRAY JOIN `ValueAtQuantiles.Quantile` AS quantile, `ValueAtQuantiles.Value` AS value WHERE {}",
            of_name("durations")
        ),
        // from an exemplar to its trace
        format!(
            "SELECT exemplar.TraceId AS trace, exemplar.SpanId AS span, exemplar.Value AS value FROM otel_metrics_histogram
             ARRAY JOIN Exemplars AS exemplar WHERE {} AND trace = '{TRACE}'",
            of_name("latency")
        ),
    ]
}

/// What ClickStack's editor asks.
fn queries_of_clickstack() -> Vec<String> {
    vec![
        // ClickStack: buckets of a series, latest value of each, quantile from buckets
        format!(
            "WITH Source AS (
                SELECT *, cityHash64(mapConcat(ScopeAttributes, ResourceAttributes, Attributes)) AS AttributesHash
                FROM otel_metrics_gauge WHERE {}
             ), Bucketed AS (
                SELECT toStartOfInterval(toDateTime(TimeUnix), INTERVAL 1 minute) AS `__hdx_time_bucket2`, AttributesHash,
                    last_value(Value) AS LastValue, any(ServiceName) AS ServiceName, any(MetricUnit) AS MetricUnit
                FROM Source GROUP BY AttributesHash, `__hdx_time_bucket2` ORDER BY AttributesHash, `__hdx_time_bucket2`
             ) SELECT quantile(0.95)(toFloat64OrDefault(toString(LastValue))) AS v, `__hdx_time_bucket2` FROM Bucketed
             GROUP BY `__hdx_time_bucket2` ORDER BY `__hdx_time_bucket2`",
            of_name("temperature")
        ),
        format!(
            "WITH Source AS (
                SELECT TimeUnix, AggregationTemporality, ExplicitBounds, BucketCounts,
                    arrayCumSum(BucketCounts) AS cumulative, 0.5 * Count AS rank,
                    arrayFirstIndex(total -> total > rank, cumulative) AS bucket
                FROM otel_metrics_histogram WHERE {} AND Count > 0
             ) SELECT TimeUnix, if(bucket > length(ExplicitBounds), ExplicitBounds[-1], ExplicitBounds[bucket]) AS value FROM Source",
            of_name("latency")
        ),
        // ClickStack, a counter: what a series grew by, whatever its temporality, and a bucket's growth over the one before
        format!(
            "WITH Source AS (
                SELECT *, cityHash64(mapConcat(ScopeAttributes, ResourceAttributes, Attributes)) AS AttributesHash,
                    any(AttributesHash) OVER (ORDER BY AttributesHash, TimeUnix ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS before,
                    any(Value) OVER (ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS PrevValue,
                    multiIf(AggregationTemporality = 1, Value, AttributesHash != before, 0,
                        Value < PrevValue, Value, Value - PrevValue) AS Rate
                FROM otel_metrics_sum WHERE {}
             ), Bucketed AS (
                SELECT toStartOfInterval(toDateTime(TimeUnix), INTERVAL 5 minute) AS `__hdx_time_bucket2`, AttributesHash,
                    sum(Rate) AS Growth, any(ScopeDroppedAttrCount) AS ScopeDroppedAttrCount, any(ScopeSchemaUrl) AS ScopeSchemaUrl,
                    any(ResourceSchemaUrl) AS ResourceSchemaUrl, any(StartTimeUnix) AS StartTimeUnix, any(Flags) AS Flags,
                    any(IsMonotonic) AS IsMonotonic
                FROM Source GROUP BY AttributesHash, `__hdx_time_bucket2`
             ) SELECT avg(toFloat64OrNull(toString(Growth))) AS v, `__hdx_time_bucket2` FROM Bucketed
             GROUP BY `__hdx_time_bucket2` ORDER BY `__hdx_time_bucket2`",
            of_name("requests")
        ),
        // ClickStack, a histogram: what each bucket grew by since the point before of its series
        format!(
            "SELECT TimeUnix, if(AggregationTemporality = 1 OR AttributesHash != before OR length(BucketCounts) != length(earlier),
                BucketCounts,
                arrayMap((was, now) -> if(now < was, now, toUInt64(toInt64(now) - toInt64(was))), earlier, BucketCounts)) AS BucketRates
             FROM (
                SELECT *, cityHash64(mapConcat(ScopeAttributes, ResourceAttributes, Attributes)) AS AttributesHash,
                    any(AttributesHash) OVER (ORDER BY AttributesHash, TimeUnix ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS before,
                    any(BucketCounts) OVER (ORDER BY AttributesHash, TimeUnix ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS earlier
                FROM otel_metrics_histogram WHERE {}
             )",
            of_name("latency")
        ),
    ]
}

/// What the READMEs of the exporter and of Grafana's and ClickStack's editors ask of these tables, with macros and variables filled in.
#[test]
fn the_queries_of_grafana_and_clickstack_run_and_find_the_metrics() {
    let service = Service::start();
    let (start, time) = times();
    let request = protobuf(&request_of("shop", every_kind(start, time)));
    assert_eq!(post(&service, PROTOBUF, "identity", &request).status, 200);
    wait_for_points(&service, 8);
    for query in queries_of_grafana().into_iter().chain(queries_of_clickstack()) {
        assert!(!service.sql().rows(&query, &[]).is_empty(), "nothing found by {query}");
    }
}
