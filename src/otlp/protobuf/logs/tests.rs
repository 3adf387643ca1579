//! The decoder against the messages of `opentelemetry-proto`: what is encoded there is read here.

use super::*;
use crate::columns::native::encode::encode_block;
use crate::columns::native::parse::Block;
use crate::ids::SegmentId;
use crate::otlp::proto::collector::logs::v1::ExportLogsServiceRequest;
use crate::otlp::proto::common::v1::any_value::Value as V;
use crate::otlp::proto::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use crate::otlp::proto::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use crate::otlp::proto::resource::v1::Resource;
use crate::otlp::transcode;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value as Json, json};

const SECOND: u64 = 1_000_000_000;

fn some(value: V) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn attribute(key: &str, value: V) -> KeyValue {
    KeyValue { key: key.to_owned(), value: some(value), ..KeyValue::default() }
}

fn text_attribute(key: &str, value: &str) -> KeyValue {
    attribute(key, V::StringValue(value.to_owned()))
}

fn request(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let resource = Resource { attributes: vec![text_attribute("service.name", "shop")], ..Resource::default() };
    let scope = InstrumentationScope {
        name: "a scope".to_owned(),
        version: "1.2".to_owned(),
        attributes: vec![text_attribute("s", "t")],
        ..InstrumentationScope::default()
    };
    let scope_logs =
        vec![ScopeLogs { scope: Some(scope), log_records: records, schema_url: "https://scope".to_owned() }];
    let resource_logs =
        ResourceLogs { resource: Some(resource), scope_logs, schema_url: "https://resource".to_owned() };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }
}

fn record(body: &str) -> LogRecord {
    LogRecord { time_unix_nano: SECOND, body: some(V::StringValue(body.to_owned())), ..LogRecord::default() }
}

fn decode_of(request: &ExportLogsServiceRequest) -> DecodedRecords {
    decode_logs(&request.encode_to_vec(), Encoding::Protobuf, &Workspace::default(), &Limits::default()).unwrap()
}

fn rows(decoded: &DecodedRecords) -> Vec<Json> {
    let groups: Vec<&Records> = decoded.groups.iter().map(|group| &**group).collect();
    let mut bytes = Vec::new();
    encode_block(&groups, SegmentId::new(1, 2), &mut bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    let (block, _rest) = Block::parse(&bytes).unwrap();
    (0..block.rows()).map(|row| block.row_json(row).unwrap()).collect()
}

fn rows_of(records: Vec<LogRecord>) -> Vec<Json> {
    rows(&decode_of(&request(records)))
}

#[test]
fn each_field_of_a_record_is_in_its_column() {
    let sent = LogRecord {
        time_unix_nano: 1_700_000_000 * SECOND + 7,
        observed_time_unix_nano: 1_700_000_001 * SECOND,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: some(V::StringValue("it \"failed\"".to_owned())),
        attributes: vec![
            text_attribute("k", "v"),
            attribute("n", V::IntValue(-3)),
            text_attribute("gen_ai.prompt", "hello"),
        ],
        dropped_attributes_count: 2,
        flags: 0x0101,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        event_name: "app.failed".to_owned(),
    };
    let rows = rows_of(vec![sent]);
    assert_eq!(
        rows,
        [json!({
            "Timestamp": "2023-11-14T22:13:20.000000007Z",
            "TraceId": "ab".repeat(16),
            "SpanId": "cd".repeat(8),
            "TraceFlags": 1,
            "SeverityText": "ERROR",
            "SeverityNumber": 17,
            "ServiceName": "shop",
            "Body": "it \"failed\"",
            "ResourceSchemaUrl": "https://resource",
            "ResourceAttributes": {"service.name": "shop"},
            "ScopeSchemaUrl": "https://scope",
            "ScopeName": "a scope",
            "ScopeVersion": "1.2",
            "ScopeAttributes": {"s": "t"},
            "LogAttributes": {"k": "v", "n": "-3"},
            "EventName": "app.failed",
            "SegmentId": "00000000-0000-0001-0000-000000000002",
            "Workspace": "default",
            "ContentAttributes": {"gen_ai.prompt": "hello"},
        })]
    );
}

#[test]
fn a_record_without_a_time_has_that_of_its_observation_and_ids_that_are_absent_or_zero_are_empty() {
    let observed = LogRecord { time_unix_nano: 0, observed_time_unix_nano: 5 * SECOND, ..record("a") };
    let zeros = LogRecord { trace_id: vec![0; 16], span_id: vec![0; 8], ..record("b") };
    let rows = rows_of(vec![observed, zeros, LogRecord::default()]);
    assert_eq!(rows[0]["Timestamp"], "1970-01-01T00:00:05.000000000Z");
    assert_eq!((&rows[1]["TraceId"], &rows[1]["SpanId"]), (&json!(""), &json!("")));
    assert_eq!((&rows[2]["Timestamp"], &rows[2]["Body"]), (&json!("1970-01-01T00:00:00.000000000Z"), &json!("")));
}

#[test]
fn a_body_that_is_not_a_text_is_json() {
    let list = V::ArrayValue(ArrayValue { values: vec![some(V::IntValue(1)).unwrap(), AnyValue::default()] });
    let map = V::KvlistValue(KeyValueList { values: vec![text_attribute("a", "b"), attribute("l", list)] });
    for (value, body) in [
        (map, r#"{"a":"b","l":[1,null]}"#),
        (V::BoolValue(true), "true"),
        (V::IntValue(7), "7"),
        (V::DoubleValue(0.5), "0.5"),
        (V::BytesValue(vec![1, 2]), "AQI="),
    ] {
        assert_eq!(rows_of(vec![LogRecord { body: some(value), ..record("") }])[0]["Body"], body);
    }
}

#[test]
fn a_record_that_is_wrong_is_rejected_alone_and_by_name() {
    let short_id = LogRecord { trace_id: vec![1; 15], event_name: "an.event".to_owned(), ..record("a") };
    let late = LogRecord { time_unix_nano: u64::MAX, ..record("b") };
    let decoded = decode_of(&request(vec![record("first"), short_id, record("second"), late]));
    let bodies: Vec<_> = rows(&decoded).iter().map(|row| row["Body"].clone()).collect();
    assert_eq!((bodies, decoded.rejected), (vec![json!("first"), json!("second")], 2));
    assert!(decoded.reasons[0].starts_with("log record 2 (\"an.event\"): trace_id "), "{:?}", decoded.reasons);
    assert_eq!(decoded.reasons[1], "log record 4 (without a name): time_unix_nano is later than the year 2105");
}

#[test]
fn a_request_that_is_cut_anywhere_is_an_error_or_has_fewer_records() {
    let whole = request(vec![record("first"), record("second")]).encode_to_vec();
    for cut in 0..whole.len() {
        let decoded = decode_logs(&whole[..cut], Encoding::Protobuf, &Workspace::default(), &Limits::default());
        assert!(decoded.is_err() || cut == 0, "{cut}");
    }
}

#[test]
fn more_records_than_a_request_may_have_are_refused_whole() {
    let limits = Limits { spans: 2, ..Limits::default() };
    let decode = |records| {
        let request = request(vec![record("a"); records]).encode_to_vec();
        decode_logs(&request, Encoding::Protobuf, &Workspace::default(), &limits)
    };
    assert!(decode(2).is_ok());
    assert_eq!(decode(3).unwrap_err(), DecodeError::TooMany { what: "log records", max: 2 });
}

#[test]
fn equal_records_of_a_request_are_told_apart_and_those_of_a_repeated_request_are_not() {
    let identities = |request| decode_of(&request).groups[0].identities().to_vec();
    let first = identities(request(vec![record("a"), record("a"), record("b")]));
    assert_eq!(first, identities(request(vec![record("a"), record("a"), record("b")])));
    let different: std::collections::HashSet<_> = first.iter().collect();
    assert_eq!(different.len(), 3);
    let mut of_another_scope = request(vec![record("a")]);
    of_another_scope.resource_logs[0].scope_logs[0].schema_url = "https://other".to_owned();
    assert_ne!(identities(of_another_scope)[0], first[0]);
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_the_record_is_kept() {
    let mut bytes = request(vec![record("a body")]).encode_to_vec();
    let at = bytes.windows(6).position(|window| window == b"a body").unwrap();
    bytes[at] = 0xff;
    let decoded = decode_logs(&bytes, Encoding::Protobuf, &Workspace::default(), &Limits::default()).unwrap();
    assert_eq!(rows(&decoded)[0]["Body"], "\u{fffd} body");
}

#[test]
fn json_is_read_as_protobuf_is() {
    let body = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeLogs": [{
            "scope": {"name": "a scope", "version": "1.2", "attributes": [{"key": "s", "value": {"stringValue": "t"}}]},
            "logRecords": [
                {"timeUnixNano": "1000000000", "severityNumber": 9, "severityText": "INFO", "body": {"stringValue": "a"},
                 "traceId": "AB".repeat(16), "spanId": "cd".repeat(8), "flags": 1, "eventName": "e",
                 "attributes": [{"key": "k", "value": {"intValue": "5"}}]},
                {"timeUnixNano": "1000000000", "severityNumber": "SEVERITY_NUMBER_WARN", "body": {"stringValue": "b"}},
                {"timeUnixNano": "1000000000", "body": {"stringValue": "c"}, "traceId": 7}
            ],
            "schemaUrl": "https://scope"
        }],
        "schemaUrl": "https://resource"
    }]});
    let transcoded = transcode(body.to_string().as_bytes(), Signal::Logs, 32).unwrap();
    let decoded = transcoded.decode_logs(&Workspace::default(), &Limits::default()).unwrap();
    let first = LogRecord {
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        flags: 1,
        event_name: "e".to_owned(),
        attributes: vec![attribute("k", V::IntValue(5))],
        ..record("a")
    };
    let second = LogRecord { severity_number: 13, ..record("b") };
    assert_eq!(rows(&decoded), rows_of(vec![first, second]));
    assert_eq!((decoded.rejected, decoded.reasons.len()), (1, 1));
}

fn any_record() -> impl Strategy<Value = LogRecord> {
    let ids =
        prop_oneof![Just((Vec::new(), Vec::new())), Just((vec![7; 16], vec![8; 8])), Just((vec![7; 16], Vec::new()))];
    let attributes = vec(("[a-d]{1,2}", ".{0,20}"), 0..5);
    (0_u64..4_000 * SECOND, ".{0,40}", attributes, 0..30_i32, "[A-Z]{0,5}", ids, any::<u32>()).prop_map(
        |(time, body, attributes, severity, text, (trace_id, span_id), flags)| LogRecord {
            time_unix_nano: time,
            attributes: attributes.iter().map(|(key, value)| text_attribute(key, value)).collect(),
            severity_number: severity,
            severity_text: text,
            trace_id,
            span_id,
            flags,
            ..record(&body)
        },
    )
}

/// What the columns have of a record, from its message.
fn expected(record: &LogRecord) -> Json {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = |value: Option<&AnyValue>| match value.and_then(|value| value.value.as_ref()) {
        Some(V::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    let attributes = record.attributes.iter().map(|one| (one.key.clone(), Json::String(text(one.value.as_ref()))));
    json!({
        "Body": text(record.body.as_ref()),
        "TraceId": hex(&record.trace_id),
        "SpanId": hex(&record.span_id),
        "TraceFlags": record.flags & 0xff,
        "SeverityNumber": record.severity_number,
        "SeverityText": record.severity_text,
        "LogAttributes": attributes.collect::<serde_json::Map<_, _>>(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_rows_are_what_the_messages_say(records in vec(any_record(), 0..6)) {
        let rows = rows_of(records.clone());
        prop_assert_eq!(rows.len(), records.len());
        for (row, record) in rows.iter().zip(&records) {
            for (column, value) in expected(record).as_object().unwrap() {
                // a block leaves out a map that no row has anything in
                let got = row.get(column).cloned().unwrap_or(json!({}));
                prop_assert_eq!(&got, value, "{}", column);
            }
        }
    }
}
