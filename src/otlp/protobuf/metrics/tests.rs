//! The decoder against prost: for any request, the rows are what a plain walk over prost's owned tree makes of it.

use super::*;
use crate::columns::Table;
use crate::columns::native::encode::encode_block;
use crate::columns::testing::read_block;
use crate::ids::SegmentId;
use crate::otlp::json::JSON_GROWS_AT_MOST;
use crate::otlp::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use crate::otlp::proto::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value as V};
use crate::otlp::proto::metrics::v1::exponential_histogram_data_point::Buckets;
use crate::otlp::proto::metrics::v1::metric::Data;
use crate::otlp::proto::metrics::v1::summary_data_point::ValueAtQuantile;
use crate::otlp::proto::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric as Sent, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    number_data_point,
};
use crate::otlp::proto::resource::v1::Resource;
use crate::otlp::protobuf::testing::{
    all_of, any_text, attributes, expected_map, expected_text, hex, id, text_attribute, time,
};
use crate::otlp::{count_items, transcode};
use crate::workspace::Workspace;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

type Row = Map<String, Json>;

fn decode_bytes(bytes: &[u8]) -> Result<DecodedRecords, DecodeError> {
    decode_metrics(bytes, Encoding::Protobuf, &Workspace::default(), &Limits::default())
}

fn decode_request(request: &ExportMetricsServiceRequest) -> DecodedRecords {
    decode_bytes(&request.encode_to_vec()).unwrap()
}

fn rows(decoded: &DecodedRecords) -> BTreeMap<Table, Vec<Row>> {
    let rows = |records: &Records| {
        let mut block = Vec::new();
        encode_block(&[records], SegmentId::new(1, 2), &mut block);
        let mut rows = read_block(&block);
        rows.iter_mut().for_each(|row| drop(row.remove("SegmentId")));
        rows
    };
    decoded.groups.iter().map(|records| (records.table(), rows(records))).collect()
}

fn request_of(metrics: Vec<Sent>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }],
    }
}

fn metric(name: &str, data: Data) -> Sent {
    Sent { name: name.into(), data: Some(data), ..Sent::default() }
}

fn gauge_of(values: &[f64]) -> Data {
    let point = |value: &f64| NumberDataPoint {
        value: Some(number_data_point::Value::AsDouble(*value)),
        ..NumberDataPoint::default()
    };
    Data::Gauge(Gauge { data_points: values.iter().map(point).collect() })
}

// ---- the oracle: slow, simple, from the specification and what the exporter writes ----

/// Times as both columns have them; `None` when a `DateTime` holds no such time.
fn expected_time(nanos: u64) -> Option<(u64, u64)> {
    u32::try_from(nanos / 1_000_000_000).ok().map(|seconds| (u64::from(seconds), nanos))
}

fn expected_double(value: f64) -> Json {
    json!(value.to_bits())
}

#[expect(clippy::as_conversions, reason = "as the exporter does")]
fn expected_exemplars(exemplars: &[Exemplar], row: &mut Row) -> Option<()> {
    let expected_id = |bytes: &[u8], length: usize| match bytes.len() {
        0 => Some("0".repeat(length * 2)),
        given if given == length => Some(hex(bytes)),
        _ => None,
    };
    let mut columns: BTreeMap<&str, Vec<Json>> = BTreeMap::new();
    for exemplar in exemplars {
        let (seconds, nanos) = expected_time(exemplar.time_unix_nano)?;
        let value = match exemplar.value {
            None => 0.0,
            Some(exemplar::Value::AsDouble(value)) => value,
            Some(exemplar::Value::AsInt(value)) => value as f64,
        };
        for (column, value) in [
            ("Exemplars.FilteredAttributes", all_of(&exemplar.filtered_attributes)),
            ("Exemplars.TimeUnix", json!(seconds)),
            ("Exemplars.TimeUnixNano", json!(nanos)),
            ("Exemplars.Value", expected_double(value)),
            ("Exemplars.SpanId", expected_id(&exemplar.span_id, 8)?.into()),
            ("Exemplars.TraceId", expected_id(&exemplar.trace_id, 16)?.into()),
        ] {
            columns.entry(column).or_default().push(value);
        }
    }
    row.extend(columns.into_iter().map(|(column, values)| (column.to_owned(), Json::from(values))));
    Some(())
}

fn put(row: &mut Row, columns: Json) {
    let Json::Object(columns) = columns else { unreachable!("columns are an object") };
    row.extend(columns);
}

/// What all kinds have.
fn expected_common(row: &mut Row, attributes: &[KeyValue], start: u64, time: u64, flags: u32) -> Option<()> {
    let (start, start_nanos) = expected_time(start)?;
    let (time, time_nanos) = expected_time(time)?;
    put(
        row,
        json!({
            "Attributes": expected_map(attributes), "Flags": flags, "Workspace": "default",
            "StartTimeUnix": start, "StartTimeUnixNano": start_nanos, "TimeUnix": time, "TimeUnixNano": time_nanos,
        }),
    );
    Some(())
}

fn expected_spread(row: &mut Row, count: u64, [sum, min, max]: [Option<f64>; 3]) {
    put(row, json!({"Count": count}));
    for (name, value) in [("Sum", sum), ("Min", min), ("Max", max)] {
        row.insert(name.to_owned(), expected_double(value.unwrap_or_default()));
        row.insert(format!("Has{name}"), value.is_some().into());
    }
}

#[expect(clippy::as_conversions, reason = "as the exporter does")]
fn expected_number(point: &NumberDataPoint) -> Option<Row> {
    let mut row = Row::new();
    expected_common(&mut row, &point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags)?;
    expected_exemplars(&point.exemplars, &mut row)?;
    let (value, int) = match point.value {
        None => (0.0, Json::Null),
        Some(number_data_point::Value::AsDouble(value)) => (value, Json::Null),
        Some(number_data_point::Value::AsInt(value)) => (value as f64, value.into()),
    };
    put(&mut row, json!({"Value": expected_double(value), "ValueInt": int}));
    Some(row)
}

fn expected_histogram(point: &HistogramDataPoint) -> Option<Row> {
    let mut row = Row::new();
    expected_common(&mut row, &point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags)?;
    expected_exemplars(&point.exemplars, &mut row)?;
    expected_spread(&mut row, point.count, [point.sum, point.min, point.max]);
    let bounds: Vec<Json> = point.explicit_bounds.iter().copied().map(expected_double).collect();
    put(&mut row, json!({"BucketCounts": point.bucket_counts, "ExplicitBounds": bounds}));
    Some(row)
}

fn expected_exponential(point: &ExponentialHistogramDataPoint) -> Option<Row> {
    let mut row = Row::new();
    expected_common(&mut row, &point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags)?;
    expected_exemplars(&point.exemplars, &mut row)?;
    expected_spread(&mut row, point.count, [point.sum, point.min, point.max]);
    let (positive, negative) = (point.positive.clone().unwrap_or_default(), point.negative.clone().unwrap_or_default());
    put(
        &mut row,
        json!({
            "Scale": point.scale, "ZeroCount": point.zero_count, "ZeroThreshold": expected_double(point.zero_threshold),
            "PositiveOffset": positive.offset, "PositiveBucketCounts": positive.bucket_counts,
            "NegativeOffset": negative.offset, "NegativeBucketCounts": negative.bucket_counts,
        }),
    );
    Some(row)
}

fn expected_summary(point: &SummaryDataPoint) -> Option<Row> {
    let mut row = Row::new();
    expected_common(&mut row, &point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags)?;
    let column = |of: fn(&ValueAtQuantile) -> f64| -> Vec<Json> {
        point.quantile_values.iter().map(of).map(expected_double).collect()
    };
    put(
        &mut row,
        json!({
            "Count": point.count, "Sum": expected_double(point.sum),
            "ValueAtQuantiles.Quantile": column(|value| value.quantile), "ValueAtQuantiles.Value": column(|value| value.value),
        }),
    );
    Some(row)
}

/// The rows of a metric, `None` for each that is rejected, and their table.
fn expected_data(data: &Data) -> (Table, Json, Vec<Option<Row>>) {
    match data {
        Data::Gauge(gauge) => (Table::MetricsGauge, json!({}), gauge.data_points.iter().map(expected_number).collect()),
        Data::Sum(sum) => (
            Table::MetricsSum,
            json!({"AggregationTemporality": sum.aggregation_temporality, "IsMonotonic": sum.is_monotonic}),
            sum.data_points.iter().map(expected_number).collect(),
        ),
        Data::Histogram(histogram) => (
            Table::MetricsHistogram,
            json!({"AggregationTemporality": histogram.aggregation_temporality}),
            histogram.data_points.iter().map(expected_histogram).collect(),
        ),
        Data::ExponentialHistogram(histogram) => (
            Table::MetricsExponentialHistogram,
            json!({"AggregationTemporality": histogram.aggregation_temporality}),
            histogram.data_points.iter().map(expected_exponential).collect(),
        ),
        Data::Summary(summary) => {
            (Table::MetricsSummary, json!({}), summary.data_points.iter().map(expected_summary).collect())
        }
    }
}

/// The rows by table, and how many data points are rejected.
fn expected_rows(request: &ExportMetricsServiceRequest) -> (BTreeMap<Table, Vec<Row>>, usize) {
    let (mut tables, mut rejected) = (BTreeMap::<_, Vec<Row>>::new(), 0);
    for of_resource in &request.resource_metrics {
        let resource = of_resource.resource.clone().unwrap_or_default();
        let service = resource.attributes.iter().rev().find(|attribute| attribute.key == "service.name");
        for of_scope in &of_resource.scope_metrics {
            let scope = of_scope.scope.clone().unwrap_or_default();
            for metric in &of_scope.metrics {
                let Some(data) = &metric.data else { continue };
                let (table, of_kind, rows) = expected_data(data);
                for row in rows {
                    let Some(mut row) = row else {
                        rejected += 1;
                        continue;
                    };
                    put(&mut row, of_kind.clone());
                    put(
                        &mut row,
                        json!({
                            "ResourceAttributes": expected_map(&resource.attributes),
                            "ResourceSchemaUrl": of_resource.schema_url,
                            "ScopeName": scope.name, "ScopeVersion": scope.version,
                            "ScopeAttributes": expected_map(&scope.attributes),
                            "ScopeDroppedAttrCount": scope.dropped_attributes_count,
                            "ScopeSchemaUrl": of_scope.schema_url,
                            "ServiceName": service.map(|it| expected_text(it.value.as_ref())).unwrap_or_default(),
                            "MetricName": metric.name, "MetricDescription": metric.description, "MetricUnit": metric.unit,
                            "MetricMetadata": expected_map(&metric.metadata),
                        }),
                    );
                    tables.entry(table).or_default().push(row);
                }
            }
        }
    }
    (tables, rejected)
}

/// Rows with what is empty left out: a block leaves out a list that none of its rows has anything in.
fn with_values(rows: BTreeMap<Table, Vec<Row>>) -> BTreeMap<Table, Vec<Row>> {
    let with_values =
        |row: Row| row.into_iter().filter(|(_, value)| !value.is_null() && *value != json!([])).collect::<Row>();
    rows.into_iter().map(|(table, rows)| (table, rows.into_iter().map(with_values).collect())).collect()
}

// ---- any request ----

/// Not a negative zero, which prost takes for a default and leaves out.
fn double() -> impl Strategy<Value = f64> {
    let number = prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), (-9_i32..9).prop_map(f64::from)];
    number.prop_map(|number| if number == 0.0 { 0.0 } else { number })
}

/// Nearly always one that a `DateTime` holds.
fn moment() -> impl Strategy<Value = u64> {
    prop_oneof![30 => 0..4_294_967_295_000_000_000_u64, 1 => time()]
}

fn any_exemplar() -> impl Strategy<Value = Exemplar> {
    let value = option::of(prop_oneof![
        double().prop_map(exemplar::Value::AsDouble),
        any::<i64>().prop_map(exemplar::Value::AsInt)
    ]);
    let id = |length| prop_oneof![Just(vec![]), id(length)];
    (attributes(), moment(), value, id(8), id(16)).prop_map(
        |(filtered_attributes, time_unix_nano, value, span_id, trace_id)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            value,
            span_id,
            trace_id,
        },
    )
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    prop_oneof![2 => Just(vec![]), 1 => vec(any_exemplar(), 0..3)]
}

fn number() -> impl Strategy<Value = NumberDataPoint> {
    let value = option::of(prop_oneof![
        double().prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt)
    ]);
    (attributes(), moment(), moment(), value, exemplars(), 0..3_u32).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, value, exemplars, flags)| NumberDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            value,
            exemplars,
            flags,
        },
    )
}

fn three() -> impl Strategy<Value = [Option<f64>; 3]> {
    (option::of(double()), option::of(double()), option::of(double())).prop_map(Into::into)
}

fn histogram() -> impl Strategy<Value = HistogramDataPoint> {
    let buckets = (vec(any::<u64>(), 0..4), vec(double(), 0..4));
    (attributes(), moment(), moment(), any::<u64>(), three(), buckets, exemplars(), any::<u32>()).prop_map(
        |(attributes, start, time, count, [sum, min, max], (bucket_counts, explicit_bounds), exemplars, flags)| {
            HistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count,
                sum,
                bucket_counts,
                explicit_bounds,
                exemplars,
                flags,
                min,
                max,
            }
        },
    )
}

fn buckets() -> impl Strategy<Value = Option<Buckets>> {
    let counts = vec(prop_oneof![0..200_u64, any::<u64>()], 0..5);
    option::of((any::<i32>(), counts).prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }))
}

fn exponential() -> impl Strategy<Value = ExponentialHistogramDataPoint> {
    let zero = (any::<u64>(), double());
    let sides = (buckets(), buckets());
    let times = (moment(), moment());
    (attributes(), times, any::<u64>(), three(), any::<i32>(), zero, sides, exemplars()).prop_map(
        |(attributes, (start, time), count, [sum, min, max], scale, zero, (positive, negative), exemplars)| {
            ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count,
                sum,
                scale,
                zero_count: zero.0,
                positive,
                negative,
                flags: 1,
                exemplars,
                min,
                max,
                zero_threshold: zero.1,
            }
        },
    )
}

fn summary() -> impl Strategy<Value = SummaryDataPoint> {
    let quantile = (double(), double()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    (attributes(), moment(), moment(), any::<u64>(), double(), vec(quantile, 0..3), any::<u32>()).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, count, sum, quantile_values, flags)| SummaryDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum,
            quantile_values,
            flags,
        },
    )
}

fn any_data() -> impl Strategy<Value = Option<Data>> {
    prop_oneof![
        Just(None),
        vec(number(), 0..3).prop_map(|data_points| Some(Data::Gauge(Gauge { data_points }))),
        (vec(number(), 0..3), -1..4, any::<bool>()).prop_map(|(data_points, aggregation_temporality, is_monotonic)| {
            Some(Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic }))
        }),
        (vec(histogram(), 0..3), 0..3).prop_map(|(data_points, aggregation_temporality)| {
            Some(Data::Histogram(Histogram { data_points, aggregation_temporality }))
        }),
        (vec(exponential(), 0..3), 0..3).prop_map(|(data_points, aggregation_temporality)| {
            Some(Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality }))
        }),
        vec(summary(), 0..3).prop_map(|data_points| Some(Data::Summary(Summary { data_points }))),
    ]
}

fn any_metric() -> impl Strategy<Value = Sent> {
    (any_text(), any_text(), any_text(), any_data(), attributes())
        .prop_map(|(name, description, unit, data, metadata)| Sent { name, description, unit, metadata, data })
}

fn any_request() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let scope = option::of((any_text(), any_text(), attributes(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    ));
    let of_scope = (scope, vec(any_metric(), 0..4), "[a-z/]{0,9}")
        .prop_map(|(scope, metrics, schema_url)| ScopeMetrics { scope, metrics, schema_url });
    let resource = option::of(attributes().prop_map(|attributes| Resource { attributes, ..Resource::default() }));
    let of_resource = (resource, vec(of_scope, 0..3), "[a-z/]{0,9}")
        .prop_map(|(resource, scope_metrics, schema_url)| ResourceMetrics { resource, scope_metrics, schema_url });
    vec(of_resource, 0..3).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

#[test]
fn points_after_data_that_is_no_message_are_neither_decoded_nor_counted() {
    let after = metric("m", gauge_of(&[1.0, 2.0])).encode_to_vec();
    // a gauge as a fixed32. Source: metrics.proto, Metric.gauge = 5
    let message = [&[0x2d, 0, 0, 0, 0], after.as_slice()].concat();
    assert_eq!(count_points(&message), 0, "the decoder rejects the metric as one");
    assert_eq!(count_points(&after), 2);
}

proptest! {
    #[test]
    fn rows_are_those_of_prosts_tree(request in any_request()) {
        let decoded = decode_request(&request);
        let (expected, rejected) = expected_rows(&request);
        let points = expected.values().map(Vec::len).sum::<usize>() + rejected;
        prop_assert_eq!(decoded.rejected, rejected);
        prop_assert_eq!(with_values(rows(&decoded)), with_values(expected));
        prop_assert_eq!(count_items(&request.encode_to_vec(), Signal::Metrics), points);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _any_outcome = decode_bytes(&bytes);
    }

    #[test]
    fn a_request_cut_anywhere_is_refused_or_is_whole_up_to_the_cut(
        request in any_request(),
        at in any::<proptest::sample::Index>(),
    ) {
        let bytes = request.encode_to_vec();
        prop_assume!(!bytes.is_empty());
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert_eq!(decode_bytes(cut).is_ok(), ExportMetricsServiceRequest::decode(cut).is_ok());
    }
}

// ---- in JSON ----

static REQUEST: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(opentelemetry_proto::DESCRIPTORS).unwrap();
    pool.get_message_by_name("opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest").unwrap()
});

/// OTLP's ids are hex, those of the protobuf mapping base64.
fn with_hex_ids(value: Json) -> Json {
    match value {
        Json::Object(members) => members
            .into_iter()
            .map(|(key, value)| match value {
                Json::String(text) if key == "traceId" || key == "spanId" => {
                    (key, hex(&BASE64.decode(text).unwrap()).into())
                }
                value => (key, with_hex_ids(value)),
            })
            .collect(),
        Json::Array(items) => items.into_iter().map(with_hex_ids).collect(),
        scalar => scalar,
    }
}

proptest! {
    /// The text is that of `prost-reflect`, which implements the protobuf JSON mapping.
    #[test]
    fn a_request_in_json_is_the_same_request(request in any_request()) {
        let message = DynamicMessage::decode(REQUEST.clone(), request.encode_to_vec().as_slice()).unwrap();
        let text = with_hex_ids(serde_json::to_value(&message).unwrap()).to_string();
        let transcoded = transcode(text.as_bytes(), Signal::Metrics, 32).unwrap();
        let read = ExportMetricsServiceRequest::decode(transcoded.protobuf()).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{request:?}"), "{}", text);
        let decoded = transcoded.decode_metrics(&Workspace::default(), &Limits::default()).unwrap();
        let (_, rejected) = expected_rows(&request);
        prop_assert_eq!(decoded.rejected, rejected);
    }
}

fn decode_json(metrics: Json) -> DecodedRecords {
    let text = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).to_string();
    let transcoded = transcode(text.as_bytes(), Signal::Metrics, 32).unwrap();
    transcoded.decode_metrics(&Workspace::default(), &Limits::default()).unwrap()
}

#[test]
fn a_value_of_the_wrong_type_costs_its_data_point_or_those_of_its_metric() {
    let point = json!({"asInt": "1"});
    let decoded = decode_json(json!([
        {"name": "good", "gauge": {"dataPoints": [point]}},
        {"name": "list", "histogram": {"dataPoints": [{"bucketCounts": [1, "x"]}, {"bucketCounts": [1, 2]}]}},
        {"name": "no data", "sum": 7},
        {"name": "no list", "sum": {"dataPoints": {}}},
        {"name": "flag", "sum": {"isMonotonic": 1, "dataPoints": [point, point]}},
        {"name": "null", "sum": null},
    ]));
    let stored: usize = decoded.groups.iter().map(|records| records.rows()).sum();
    assert_eq!((stored, decoded.rejected), (2, 5));
    let expect = [
        "data point 2 (\"list\"): bucketCounts must be an unsigned 64-bit integer",
        "data point 4 (\"no data\"): sum must be an object",
        "data point 5 (\"no list\"): dataPoints must be a list of objects",
    ];
    assert_eq!(decoded.reasons, expect);
}

#[test]
fn the_protobuf_of_a_list_of_numbers_takes_no_more_than_its_bound() {
    for (name, column) in [("bucketCounts", "BucketCounts"), ("explicitBounds", "ExplicitBounds")] {
        let numbers = vec!["0"; 10_000].join(",");
        let text = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"{name}":[{numbers}]}}]}}}}]}}]}}]}}"#
        );
        let transcoded = transcode(text.as_bytes(), Signal::Metrics, 32).unwrap();
        assert!(transcoded.protobuf().len() <= text.len() * JSON_GROWS_AT_MOST);
        let decoded = transcoded.decode_metrics(&Workspace::default(), &Limits::default()).unwrap();
        assert_eq!(rows(&decoded)[&Table::MetricsHistogram][0][column].as_array().unwrap().len(), 10_000);
    }
}

// ---- what must be so, one thing each ----

/// A message's field with bytes in it.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// A request of one metric, as bytes.
fn around(metric: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, metric)))
}

#[test]
fn the_name_of_a_metric_may_come_after_its_data_points() {
    let [name, data] = [metric("late", gauge_of(&[])), metric("", gauge_of(&[1.0]))].map(|part| part.encode_to_vec());
    let decoded = decode_bytes(&around(&[data, name].concat())).unwrap();
    assert_eq!(rows(&decoded)[&Table::MetricsGauge][0]["MetricName"], "late");
}

#[test]
fn a_bad_data_point_costs_itself_and_is_named() {
    let exemplar = Exemplar { trace_id: vec![1; 8], ..Exemplar::default() };
    let bad = NumberDataPoint { exemplars: vec![exemplar], ..NumberDataPoint::default() };
    let late = NumberDataPoint { time_unix_nano: u64::MAX, ..NumberDataPoint::default() };
    let data_points = vec![NumberDataPoint::default(), bad, late, NumberDataPoint::default()];
    let decoded = decode_request(&request_of(vec![
        metric("first", gauge_of(&[1.0])),
        metric("second", Data::Gauge(Gauge { data_points })),
    ]));
    assert_eq!((decoded.groups[0].rows(), decoded.rejected), (3, 2));
    let expect = [
        "data point 3 (\"second\"): an exemplar's trace_id is 8 bytes long, must be 16",
        "data point 4 (\"second\"): time_unix_nano is later than the year 2105",
    ];
    assert_eq!(decoded.reasons, expect);
}

#[test]
fn a_malformed_data_point_costs_itself_and_a_malformed_metric_its_own() {
    let good = metric("good", gauge_of(&[1.0])).encode_to_vec();
    // time_unix_nano as a varint
    let point = [field(1, b"bad point"), field(5, &[field(1, &[0x18, 1]), field(1, &[])].concat())].concat();
    // a data point, then a field that is cut off
    let cut = [field(1, b"cut"), field(5, &field(1, &[])), vec![0x12, 9]].concat();
    let unread = [field(1, b"unread"), field(5, &[0x0a, 9])].concat();
    let metrics = [good.as_slice(), &point, &cut, &unread, &good].map(|metric| field(2, metric)).concat();
    let decoded = decode_bytes(&field(1, &field(2, &metrics))).unwrap();
    assert_eq!((decoded.groups[0].rows(), decoded.rejected), (3, 3));
    let expect = [
        "data point 2 (\"bad point\"): a data point message has a field of the wrong wire type",
        "data point 4 (\"cut\"): a Metric message is cut off",
        "data point 5 (\"unread\"): the data of a Metric message is cut off",
    ];
    assert_eq!(decoded.reasons, expect);
}

#[test]
fn a_metric_without_data_has_nothing_to_store_and_is_no_fault() {
    let decoded = decode_request(&request_of(vec![Sent { name: "none".into(), ..Sent::default() }]));
    assert_eq!((decoded.groups.len(), decoded.rejected), (0, 0));
}

#[test]
fn data_of_several_kinds_in_one_metric_is_all_taken() {
    let sum = Sum { data_points: vec![NumberDataPoint::default()], ..Sum::default() };
    let both = [metric("m", gauge_of(&[1.0, 2.0])), metric("m", Data::Sum(sum))].map(|part| part.encode_to_vec());
    let tables = rows(&decode_bytes(&around(&both.concat())).unwrap());
    let counts: Vec<_> = tables.iter().map(|(table, rows)| (*table, rows.len())).collect();
    assert_eq!(counts, [(Table::MetricsGauge, 2), (Table::MetricsSum, 1)]);
}

#[test]
fn limits_are_held_to_and_named() {
    let with = |limits: Limits, request: &ExportMetricsServiceRequest| {
        let bytes = request.encode_to_vec();
        decode_metrics(&bytes, Encoding::Protobuf, &Workspace::default(), &limits).map(|decoded| decoded.rejected)
    };
    let points = request_of(vec![metric("m", gauge_of(&[0.0; 6])), metric("n", gauge_of(&[0.0; 5]))]);
    assert_eq!(with(Limits { spans: 11, ..Limits::default() }, &points), Ok(0));
    let too_many = with(Limits { spans: 10, ..Limits::default() }, &points);
    assert_eq!(too_many, Err(DecodeError::TooMany { what: "data points", max: 10 }));
    let too_large = with(Limits { column_bytes: 40, ..Limits::default() }, &points);
    assert_eq!(too_large, Err(DecodeError::TooLarge { items: "data points", max: 40 }));
    // the buckets of a histogram count, however few bytes each takes
    let positive = Some(Buckets { offset: 0, bucket_counts: vec![1; 100] });
    let point = ExponentialHistogramDataPoint { positive, ..ExponentialHistogramDataPoint::default() };
    let data = Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![point], ..Default::default() });
    let buckets = request_of(vec![metric("h", data)]);
    assert_eq!(with(Limits { items: 101, ..Limits::default() }, &buckets), Ok(0));
    assert!(matches!(with(Limits { items: 100, ..Limits::default() }, &buckets), Err(DecodeError::TooMany { .. })));
}

#[test]
fn a_resource_that_is_malformed_costs_its_data_points() {
    let deep = (0..40).fold(None, |inner, _| {
        let values = vec![AnyValue { value: inner }];
        Some(V::ArrayValue(crate::otlp::proto::common::v1::ArrayValue { values }))
    });
    let mut request = request_of(vec![metric("m", gauge_of(&[1.0, 2.0]))]);
    let attributes = vec![KeyValue { key: "k".into(), value: Some(AnyValue { value: deep }), ..KeyValue::default() }];
    request.resource_metrics[0].resource = Some(Resource { attributes, ..Resource::default() });
    request.resource_metrics.extend(request_of(vec![metric("n", gauge_of(&[3.0]))]).resource_metrics);
    let decoded = decode_request(&request);
    assert_eq!((decoded.groups[0].rows(), decoded.rejected), (1, 2));
    assert_eq!(decoded.reasons[0], "data point 1 (\"m\"): its resource: an attribute is nested deeper than 32 levels");
}

#[test]
fn a_data_point_is_known_by_all_that_is_said_of_it() {
    let identities = |request: &ExportMetricsServiceRequest| decode_request(request).groups[0].identities().to_vec();
    let of = |metric: Sent| identities(&request_of(vec![metric]))[0];
    let sum = |is_monotonic, temporality| {
        let data_points = vec![NumberDataPoint::default()];
        metric("m", Data::Sum(Sum { data_points, is_monotonic, aggregation_temporality: temporality }))
    };
    let one = metric("m", gauge_of(&[1.0]));
    let others = [
        one.clone(),
        metric("n", gauge_of(&[1.0])),
        metric("m", gauge_of(&[2.0])),
        Sent { unit: "s".into(), ..one.clone() },
        Sent { description: "s".into(), ..one.clone() },
        Sent { metadata: vec![text_attribute("k", "v")], ..one.clone() },
        sum(false, 1),
        sum(true, 1),
        sum(true, 2),
    ];
    let mut known: Vec<u128> = others.into_iter().map(of).collect();
    assert_eq!(of(one.clone()), known[0]);
    let mut elsewhere = request_of(vec![one.clone()]);
    elsewhere.resource_metrics[0].schema_url = "elsewhere".into();
    known.push(identities(&elsewhere)[0]);
    // the same twice in one request are two
    known.push(identities(&request_of(vec![one.clone(), one]))[1]);
    let count = known.len();
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), count);
}
