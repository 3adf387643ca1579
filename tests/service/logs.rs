//! OTLP logs from outside: each field of a record in its column, over each protocol; repeats, outages and bad rows as with spans.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use millrace::otlp::proto::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use millrace::otlp::proto::common::v1::any_value::Value as V;
use millrace::otlp::proto::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use millrace::otlp::proto::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use millrace::otlp::proto::resource::v1::Resource;
use millrace::time::Clock;
use prost::Message as _;
use serde_json::{Value, json};

use support::grpc::export_to;
use support::http::{Answer, post_json, send};
use support::proxy::{Fault, Proxy};
use support::wire::request_of;
use support::{Engine, Options, Service, wait_until};

const PROTOBUF: &str = "application/x-protobuf";
const METHOD: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn now() -> u64 {
    u64::try_from(Clock::System.now().nanos()).expect("it is after 1970")
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(V::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn record(body: &str) -> LogRecord {
    let body = Some(AnyValue { value: Some(V::StringValue(body.to_owned())) });
    LogRecord {
        time_unix_nano: 1_000 * (now() / 1_000),
        severity_text: "INFO".to_owned(),
        body,
        ..LogRecord::default()
    }
}

fn request(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let resource = Resource { attributes: vec![attribute("service.name", "shop")], ..Resource::default() };
    let scope = InstrumentationScope { name: "a scope".to_owned(), ..InstrumentationScope::default() };
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records: records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }
}

fn post(service: &Service, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    send("POST", &service.http("/v1/logs"), headers, body)
}

fn post_request(service: &Service, request: &ExportLogsServiceRequest) {
    let answer = post(service, &[("content-type", PROTOBUF)], &request.encode_to_vec());
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn count(service: &Service, body: &str) -> u64 {
    let sql = "SELECT count() AS n FROM otel_logs WHERE Body = {b:String}";
    let rows = service.sql().try_rows(sql, &[("b", body)]).unwrap_or_default();
    rows.first().and_then(|row| row["n"].as_u64()).unwrap_or(0)
}

fn wait_for(service: &Service, body: &str, records: u64) {
    wait_until("the log records are stored", || (count(service, body) >= records).then_some(()));
    assert_eq!(count(service, body), records, "{body}");
}

/// `received = rejected + refused + duplicate + stored + dead_lettered + pending`
fn assert_law(service: &Service) {
    let page = service.metrics();
    for rows in ["spans", "log_records"] {
        let count =
            |term: &str| support::service::sample(&page, &format!("millrace_{rows}_{term}")).expect("it is shown");
        let ends =
            ["rejected_total", "refused_total", "duplicate_total", "stored_total", "dead_lettered_total", "pending"];
        let ends: f64 = ends.iter().map(|term| count(term)).sum();
        assert_eq!(count("received_total"), ends, "{rows}: {page}");
    }
}

const WHOLE: &str = "SELECT toString(toUnixTimestamp64Nano(Timestamp)) AS Timestamp, toString(toUnixTimestamp(TimestampTime)) AS TimestampTime, \
    TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, ServiceName, Body, ResourceSchemaUrl, ResourceAttributes, ScopeSchemaUrl, \
    ScopeName, ScopeVersion, ScopeAttributes, LogAttributes, EventName, Workspace FROM otel_logs WHERE TraceId = {t:String}";

/// A record that has something in each field.
fn whole_record(at: u64, trace_id: Vec<u8>, protocol: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at + 5,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: Some(AnyValue { value: Some(V::StringValue(format!("é \"{protocol}\""))) }),
        attributes: vec![attribute("k", "v")],
        flags: 1,
        trace_id,
        span_id: vec![2; 8],
        event_name: "app.failed".to_owned(),
        ..LogRecord::default()
    }
}

#[test]
fn each_field_of_a_record_is_stored_in_its_column_over_each_protocol() {
    let service = Service::start();
    let at = now();
    for (place, protocol) in ["grpc", "protobuf", "gzip", "zstd", "deflate", "json"].into_iter().enumerate() {
        let trace = format!("{:032x}", place + 1);
        let (at, trace_bytes) = (
            at + u64::try_from(place).unwrap(),
            (0..16).map(|byte| if byte == 15 { u8::try_from(place + 1).unwrap() } else { 0 }),
        );
        let sent = whole_record(at, trace_bytes.collect(), protocol);
        let mut request = request(vec![sent]);
        request.resource_logs[0].schema_url = "https://resource".to_owned();
        request.resource_logs[0].scope_logs[0].schema_url = "https://scope".to_owned();
        let bytes = request.encode_to_vec();
        let encoded =
            |encoding, body: &[u8]| post(&service, &[("content-type", PROTOBUF), ("content-encoding", encoding)], body);
        match protocol {
            "grpc" => {
                let answer = export_to(&service.grpc(), METHOD, &bytes);
                assert_eq!((answer.code, answer.body.len()), (0, 0), "{answer:?}");
            }
            "protobuf" => post_request(&service, &request),
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(&bytes).unwrap();
                assert_eq!(encoded("gzip", &encoder.finish().unwrap()).status, 200);
            }
            "zstd" => assert_eq!(encoded("zstd", &zstd::bulk::compress(&bytes, 1).unwrap()).status, 200),
            "deflate" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(&bytes).unwrap();
                assert_eq!(encoded("deflate", &encoder.finish().unwrap()).status, 200);
            }
            _ => {
                let json = json!({"resourceLogs": [{
                    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                    "schemaUrl": "https://resource",
                    "scopeLogs": [{"scope": {"name": "a scope"}, "schemaUrl": "https://scope", "logRecords": [{
                        "timeUnixNano": at.to_string(), "severityNumber": 17, "severityText": "ERROR", "flags": 1,
                        "body": {"stringValue": format!("é \"{protocol}\"")}, "traceId": trace, "spanId": "02".repeat(8),
                        "eventName": "app.failed", "attributes": [{"key": "k", "value": {"stringValue": "v"}}]
                    }]}]
                }]});
                let answer = post_json(&service.http("/v1/logs"), &json);
                assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
            }
        }
        let rows = wait_until("the record is stored", || {
            service.sql().try_rows(WHOLE, &[("t", &trace)]).ok().filter(|rows| !rows.is_empty())
        });
        let want = json!({
            "Timestamp": at.to_string(), "TimestampTime": (at / 1_000_000_000).to_string(), "TraceId": trace,
            "SpanId": "02".repeat(8), "TraceFlags": 1, "SeverityText": "ERROR", "SeverityNumber": 17, "ServiceName": "shop",
            "Body": format!("é \"{protocol}\""), "ResourceSchemaUrl": "https://resource",
            "ResourceAttributes": {"service.name": "shop"}, "ScopeSchemaUrl": "https://scope", "ScopeName": "a scope",
            "ScopeVersion": "", "ScopeAttributes": {}, "LogAttributes": {"k": "v"}, "EventName": "app.failed",
            "Workspace": "default",
        });
        assert_eq!(rows, [want], "{protocol}");
    }
    assert_law(&service);
    assert_eq!(service.metric("otelcol_receiver_accepted_log_records_total"), Some(6.0));
    assert_eq!(service.metric("otelcol_exporter_sent_log_records_total"), Some(6.0));
}

#[test]
fn a_record_that_is_wrong_is_rejected_alone_and_named_in_the_encoding_of_the_request() {
    let service = Service::start();
    let short_id = LogRecord { trace_id: vec![1; 15], event_name: "an.event".to_owned(), ..record("wrong") };
    let bytes = request(vec![record("good"), short_id]).encode_to_vec();
    let want = "1 log record rejected: log record 2 (\"an.event\"): trace_id ";
    let http = post(&service, &[("content-type", PROTOBUF)], &bytes);
    let grpc = export_to(&service.grpc(), METHOD, &bytes);
    assert_eq!((http.status, grpc.code), (200, 0));
    for body in [http.body, grpc.body] {
        let partial = ExportLogsServiceResponse::decode(body.as_slice()).unwrap().partial_success.unwrap();
        assert_eq!(partial.rejected_log_records, 1);
        assert!(partial.error_message.starts_with(want), "{}", partial.error_message);
    }
    let json = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "ab", "eventName": "an.event"}]}]}]});
    let answer = post_json(&service.http("/v1/logs"), &json).json();
    assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "1", "{answer}");
    wait_for(&service, "good", 1);
    assert_law(&service);
    let garbage = post(&service, &[("content-type", PROTOBUF)], b"\xff\xff\xff garbage");
    assert_eq!(garbage.status, 400);
    assert_eq!(service.metric("millrace_log_records_rejected_total"), Some(4.0));
    assert_eq!(service.metric("millrace_spans_received_total"), Some(0.0));
}

#[test]
fn a_repeated_request_is_stored_once_even_after_a_crash_and_equal_records_of_one_are_all_stored() {
    let mut service = Service::start();
    let twice = record("tick");
    let request = request(vec![twice.clone(), twice, record("other")]);
    post_request(&service, &request);
    post_request(&service, &request);
    wait_for(&service, "tick", 2);
    assert_eq!(service.metric("millrace_log_records_duplicate_total"), Some(3.0));
    service.kill();
    service.start_again();
    post_request(&service, &request);
    let last = record("the_last");
    post_request(&service, &self::request(vec![last]));
    wait_for(&service, "the_last", 1);
    assert_eq!((count(&service, "tick"), count(&service, "other")), (2, 1));
    assert_eq!(
        service.metric("millrace_receiver_duplicate_log_records_total"),
        Some(3.0),
        "known again from the journal"
    );
    assert_law(&service);
}

#[test]
fn logs_and_spans_wait_in_the_journal_over_a_crash_while_clickhouse_is_away() {
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Refuse);
    let mut service = Service::start_with(Options { clickhouse_url: Some(proxy.url()), ..Options::default() });
    post_request(&service, &request((0..20).map(|_| record("waits")).collect()));
    let spans = request_of((1..=7).map(support::wire::span).collect());
    assert_eq!(send("POST", &service.http("/v1/traces"), &[("content-type", PROTOBUF)], &spans).status, 200);
    assert_eq!(service.metric("millrace_log_records_pending"), Some(20.0));
    assert_eq!(service.metric("millrace_spans_pending"), Some(7.0));
    service.kill();
    proxy.set(Fault::Pass);
    service.start_again();
    wait_until("all are stored", || (service.metric("millrace_log_records_stored_total")? == 20.0).then_some(()));
    wait_until("all are stored", || (service.metric("millrace_spans_stored_total")? == 7.0).then_some(()));
    let sql = engine.sql("otel");
    assert_eq!(sql.number("SELECT count() FROM otel_logs WHERE Body = 'waits'", &[]), 20);
    assert_eq!(sql.number("SELECT count() FROM otel_traces", &[]), 7);
    assert_eq!(sql.number("SELECT uniqExact(SegmentId) FROM otel_logs", &[]), 1);
    assert_law(&service);
}

#[test]
fn an_insert_whose_answer_is_lost_is_repeated_with_its_token_and_stored_once() {
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Pass);
    let service = Service::start_with(Options { clickhouse_url: Some(proxy.url()), ..Options::default() });
    wait_until("the table is there", || service.sql().try_rows("SELECT 1 FROM otel_logs", &[]).ok());
    for (body, fault) in [("cut", Fault::CutAnswer), ("reset", Fault::ResetAfterBody), ("half", Fault::ResetMidBody)] {
        proxy.inject(fault, 1);
        let equal = record(body);
        post_request(&service, &request(vec![equal.clone(), equal, record(body)]));
        wait_for(&service, body, 3);
        wait_until("the fault was met", || (proxy.done(fault) > 0).then_some(()));
    }
    wait_until("all are confirmed", || (service.metric("millrace_log_records_stored_total")? == 9.0).then_some(()));
    assert_eq!(engine.sql("otel").number("SELECT count() FROM otel_logs", &[]), 9);
    assert_law(&service);
}

/// As Grafana's data source and ClickStack ask, before and since 0.151 of the exporter, with their variables filled in.
const QUESTIONS: [&str; 6] = [
    "SELECT Timestamp AS `timestamp`, Body AS `body`, SeverityText AS `level`, LogAttributes AS `labels`, TraceId AS `traceID` \
     FROM otel_logs WHERE Timestamp >= now() - INTERVAL 1 HOUR AND Timestamp <= now() + INTERVAL 1 HOUR \
     AND ServiceName = 'shop' AND SeverityText = 'ERROR' ORDER BY timestamp DESC LIMIT 1000",
    "SELECT Timestamp AS `timestamp`, Body AS `body`, SeverityText AS `level` FROM otel_logs \
     WHERE TimestampTime >= now() - INTERVAL 1 HOUR AND TimestampTime <= now() + INTERVAL 1 HOUR \
     AND Body ILIKE '%failed%' ORDER BY TimestampTime DESC, Timestamp DESC LIMIT 1000",
    "SELECT toStartOfInterval(TimestampTime, INTERVAL 10 second) AS `time`, SeverityText AS level, count() AS n FROM otel_logs \
     WHERE TimestampTime >= now() - INTERVAL 1 HOUR GROUP BY time, level HAVING level = 'ERROR' ORDER BY time",
    "SELECT Timestamp, ServiceName, SeverityText, Body, TraceId, SpanId, ResourceAttributes, LogAttributes FROM otel_logs \
     WHERE hasToken(lower(Body), lower('Payment')) AND LogAttributes['order.id'] = '17' \
     ORDER BY toStartOfFiveMinutes(Timestamp) DESC, Timestamp DESC LIMIT 200",
    "SELECT Timestamp, Body FROM otel_logs WHERE TraceId = '0af7651916cd43dd8448eb211c80319c' ORDER BY Timestamp",
    "SELECT DISTINCT arrayJoin(mapKeys(LogAttributes)) AS key, any(`__otel_materialized_k8s.pod.name`) AS pod FROM otel_logs \
     WHERE ResourceAttributes['k8s.pod.name'] = 'shop-1' GROUP BY key",
];

#[test]
fn the_questions_of_grafana_and_clickstack_find_the_record_that_they_ask_for() {
    let service = Service::start();
    let failed = LogRecord {
        severity_text: "ERROR".to_owned(),
        attributes: vec![attribute("order.id", "17")],
        trace_id: vec![0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c],
        ..record("the payment failed")
    };
    let mut both = request(vec![failed, record("another")]);
    let resource = both.resource_logs[0].resource.as_mut().unwrap();
    resource.attributes.push(attribute("k8s.pod.name", "shop-1"));
    post_request(&service, &both);
    wait_for(&service, "another", 1);
    for question in QUESTIONS {
        let rows = service.sql().rows(question, &[]);
        assert_eq!(rows.len(), 1, "{question}: {rows:?}");
        let row = rows[0].to_string();
        assert!(["the payment failed", "ERROR", "shop-1"].iter().any(|said| row.contains(said)), "{question}: {row}");
    }
}

#[test]
fn what_clickhouse_has_of_a_segment_in_doubt_is_not_stored_again() {
    let mut service = Service::start();
    let equal = record("equal");
    post_request(&service, &request(vec![equal.clone(), equal, record("one"), record("two")]));
    wait_for(&service, "two", 1);
    assert_eq!(service.terminate().code(), Some(0));
    // the segment as if it had been sent and nobody knew: its token is forgotten with another one in its place
    let dir = service.data_dir().join("journal");
    let stored: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let stored =
        stored.iter().find(|path| path.extension().is_some_and(|end| end == "stored")).expect("it is retained");
    fs::rename(stored, stored.with_extension("doubt")).unwrap();
    service.start_again();
    wait_until("the segment is settled", || {
        (service.metric("millrace_log_records_stored_total")? >= 4.0).then_some(())
    });
    assert_eq!([count(&service, "equal"), count(&service, "one"), count(&service, "two")], [2, 1, 1]);
    // and what ClickHouse lacks is stored
    service.sql().rows("ALTER TABLE otel_logs DELETE WHERE Body = 'one' SETTINGS mutations_sync = 2", &[]);
    assert_eq!(count(&service, "one"), 0);
    assert_eq!(service.terminate().code(), Some(0));
    let stored: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let stored =
        stored.iter().find(|path| path.extension().is_some_and(|end| end == "stored")).expect("it is retained");
    fs::rename(stored, stored.with_extension("doubt")).unwrap();
    service.start_again();
    wait_for(&service, "one", 1);
    assert_eq!([count(&service, "equal"), count(&service, "two")], [2, 1]);
}

#[test]
fn a_record_that_clickhouse_refuses_is_a_dead_letter_and_the_others_are_stored() {
    let mut service = Service::start();
    wait_until("the table is there", || service.sql().try_rows("SELECT 1 FROM otel_logs", &[]).ok());
    service.sql().rows("ALTER TABLE otel_logs ADD CONSTRAINT no_poison CHECK Body != 'poison'", &[]);
    let bodies = ["a", "b", "poison", "c"];
    post_request(&service, &request(bodies.iter().map(|body| record(body)).collect()));
    wait_until("one is a dead letter", || {
        (service.metric("millrace_log_records_dead_lettered_total")? == 1.0).then_some(())
    });
    for body in ["a", "b", "c"] {
        wait_for(&service, body, 1);
    }
    assert_law(&service);
    let command = |arguments: &[&str]| {
        let mut command = std::process::Command::new(support::executable());
        command.arg("dead-letter").args(arguments).arg("--config").arg(service.config());
        command.env("MILLRACE_CLICKHOUSE_URL", &service.sql().url);
        let output = command.output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let listed = command(&["list"]);
    assert!(listed.contains("  1 log record  "), "{listed}");
    service.sql().rows("ALTER TABLE otel_logs DROP CONSTRAINT no_poison", &[]);
    let retried = command(&["retry", "--all"]);
    assert!(retried.contains("stored"), "{retried}");
    wait_for(&service, "poison", 1);
    assert_eq!(service.terminate().code(), Some(0));
}

#[test]
fn records_have_a_workspace_and_a_retention_of_their_own() {
    let yaml = "retention: { logs: 30d, workspaces: { tests: { logs: 3d } } }";
    let service = Service::start_with(Options { yaml: yaml.to_owned(), ..Options::default() });
    let days = |days: u64| now() - days * 24 * 3_600 * 1_000_000_000;
    let old = |body: &str, ago| LogRecord { time_unix_nano: days(ago), ..record(body) };
    let bytes = request(vec![old("kept", 10), old("too_old", 40)]).encode_to_vec();
    let headers = [("content-type", PROTOBUF), ("x-millrace-workspace", "tests")];
    let message = |answer: Answer| {
        let partial = ExportLogsServiceResponse::decode(answer.body.as_slice()).unwrap().partial_success.unwrap();
        partial.error_message
    };
    let said = message(post(&service, &headers[..1], &bytes));
    assert!(
        said.contains("time_unix_nano is 40 days ago, and log records are kept for 30 days (retention.logs)"),
        "{said}"
    );
    let said = message(post(&service, &headers, &request(vec![old("new", 1), old("old", 4)]).encode_to_vec()));
    assert!(said.contains("kept for 3 days (retention.workspaces.tests.logs)"), "{said}");
    wait_for(&service, "kept", 1);
    wait_for(&service, "new", 1);
    let workspaces = service.sql().rows("SELECT Body, Workspace FROM otel_logs ORDER BY Body", &[]);
    assert_eq!(
        workspaces,
        [json!({"Body": "kept", "Workspace": "default"}), json!({"Body": "new", "Workspace": "tests"})]
    );
    let table: Vec<Value> =
        service.sql().rows("SELECT engine_full FROM system.tables WHERE database = 'otel' AND name = 'otel_logs'", &[]);
    assert!(table[0]["engine_full"].as_str().unwrap().contains("TTL multiIf(Workspace = 'tests'"), "{table:?}");
}
