//! The OpenTelemetry SDK for Rust: its providers, processors and readers, and the messages that it makes of what they collect, over gRPC
//! and over HTTP.
//!
//! What sends the bytes is the client of these tests: its own exporters are `opentelemetry-otlp`, which is not a dependency.

use std::time::Duration;

use millrace::otlp::proto::collector::logs::v1::ExportLogsServiceRequest;
use millrace::otlp::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use millrace::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, Value as Attribute};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLoggerProvider};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use prost::Message;
use serde_json::{Map, Value, json};

use crate::sdk_signals::{Ledger, assert_stored};
use support::{Service, grpc, http, wait_until};

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

/// Where a request goes, and the resource that the provider has set.
#[derive(Debug)]
struct Exporter {
    is_grpc: bool,
    /// `host:port` for gRPC, else the URL before the path.
    address: String,
    resource: ResourceAttributesWithSchema,
}

impl Exporter {
    fn new(service: &Service, is_grpc: bool) -> Self {
        let address = if is_grpc { service.grpc() } else { service.http("") };
        Self { is_grpc, address, resource: ResourceAttributesWithSchema::default() }
    }

    /// Sends a request of the service `Trace`, `Logs` or `Metrics`.
    fn send(&self, service: &str, request: &impl Message) -> OTelSdkResult {
        let (package, request) = (service.to_lowercase(), request.encode_to_vec());
        let refused = if self.is_grpc {
            let method = format!("/opentelemetry.proto.collector.{package}.v1.{service}Service/Export");
            let answer = grpc::export_to(&self.address, &method, &request);
            (answer.code != 0 || !answer.body.is_empty()).then(|| format!("{answer:?}"))
        } else {
            let path = if service == "Trace" { "traces".to_owned() } else { package };
            let headers = [("content-type", "application/x-protobuf")];
            let answer = http::send("POST", &format!("{}/v1/{path}", self.address), &headers, &request);
            (answer.status != 200).then(|| format!("{answer:?}"))
        };
        refused.map_or(Ok(()), |answer| Err(OTelSdkError::InternalFailure(answer)))
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        self.send("Trace", &ExportTraceServiceRequest { resource_spans })
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl LogExporter for Exporter {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let resource_logs = group_logs_by_resource_and_scope(&batch, &self.resource);
        self.send("Logs", &ExportLogsServiceRequest { resource_logs })
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl PushMetricExporter for Exporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.send("Metrics", &ExportMetricsServiceRequest::from(metrics))
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

fn resource(name: &str) -> Resource {
    Resource::builder_empty().with_service_name(name.to_owned()).build()
}

fn scope(name: &'static str, version: &'static str) -> InstrumentationScope {
    InstrumentationScope::builder(name).with_version(version).build()
}

/// The rows of a consumer span and of its child, which failed, without the columns that depend on the clock.
fn send_spans(exporter: Exporter, name: &str) -> Vec<Value> {
    let provider = SdkTracerProvider::builder().with_resource(resource(name)).with_batch_exporter(exporter).build();
    let tracer = provider.tracer_with_scope(scope("tracer", "2.0"));
    let mut parent = tracer
        .span_builder("receive größe")
        .with_kind(SpanKind::Consumer)
        .with_attributes([
            KeyValue::new("text", "ü"),
            KeyValue::new("n", i64::MAX),
            KeyValue::new("half", 0.5),
            KeyValue::new("yes", true),
            KeyValue::new("list", Attribute::Array(Array::I64(vec![1, -2]))),
        ])
        .start(&tracer);
    let linked = SpanContext::new(TRACE.into(), SPAN.into(), TraceFlags::SAMPLED, true, TraceState::default());
    let within = Context::new().with_remote_span_context(parent.span_context().clone());
    let mut child = tracer
        .span_builder("call")
        .with_kind(SpanKind::Client)
        .with_links(vec![Link::new(linked, vec![KeyValue::new("why", "retry")], 0)])
        .start_with_context(&tracer, &within);
    child.add_event("first token", vec![KeyValue::new("at", 3)]);
    child.set_status(Status::error("über the limit"));
    let context = |span: &SpanContext| (span.trace_id().to_string(), span.span_id().to_string());
    let (trace_id, parent_id) = context(parent.span_context());
    let (_, child_id) = context(child.span_context());
    child.end();
    parent.end();
    provider.shutdown().expect("the spans are taken");
    vec![
        json!({
            "trace_id": trace_id, "span_id": parent_id, "parent": "", "name": "receive größe", "kind": "Consumer",
            "scope": "tracer 2.0", "status": "Unset", "message": "", "events": [], "links": [],
            "attributes": {"text": "ü", "n": "9223372036854775807", "half": "0.5", "yes": "true", "list": "[1,-2]"},
        }),
        json!({
            "trace_id": trace_id, "span_id": child_id, "parent": parent_id, "name": "call", "kind": "Client",
            "scope": "tracer 2.0", "status": "Error", "message": "über the limit",
            "events": [["first token", {"at": "3"}]],
            "links": [[format!("{TRACE:032x}"), format!("{SPAN:016x}"), {"why": "retry"}]], "attributes": {},
        }),
    ]
}

fn send_logs(exporter: Exporter, name: &str) -> Vec<Value> {
    let provider = SdkLoggerProvider::builder().with_resource(resource(name)).with_batch_exporter(exporter).build();
    let logger = provider.logger_with_scope(scope("logger", "3.1"));
    let mut record = logger.create_log_record();
    record.set_severity_number(Severity::Warn);
    record.set_severity_text("WARN");
    record.set_body("größer als erwartet".into());
    record.add_attribute("n", 7);
    record.add_attribute("half", 0.5);
    record.set_trace_context(TraceId::from(TRACE), SpanId::from(SPAN), Some(TraceFlags::SAMPLED));
    logger.emit(record);
    let mut event = logger.create_log_record();
    event.set_event_name("order.placed");
    let list: AnyValue = [AnyValue::from(1), AnyValue::from(true)].into_iter().collect();
    event.set_body([("a", list)].into_iter().collect());
    logger.emit(event);
    provider.shutdown().expect("the log records are taken");
    vec![
        json!({
            "ScopeName": "logger", "ScopeVersion": "3.1", "SeverityText": "WARN", "SeverityNumber": 13,
            "Body": "größer als erwartet", "LogAttributes": {"n": "7", "half": "0.5"}, "TraceFlags": 1,
            "TraceId": format!("{TRACE:032x}"), "SpanId": format!("{SPAN:016x}"),
        }),
        json!({
            "ScopeName": "logger", "ScopeVersion": "3.1", "SeverityText": "", "SeverityNumber": 0, "TraceId": "",
            "Body": "{\"a\":[1,true]}", "EventName": "order.placed", "LogAttributes": {},
        }),
    ]
}

fn exponential(instrument: &Instrument) -> Option<Stream> {
    let aggregation = Aggregation::Base2ExponentialHistogram { max_size: 4, max_scale: 0, record_min_max: true };
    (instrument.name() == "size").then(|| Stream::builder().with_aggregation(aggregation).build().expect("a stream"))
}

fn send_metrics(exporter: Exporter, name: &str) -> Vec<(&'static str, Value)> {
    let reader = PeriodicReader::builder(exporter).with_interval(Duration::from_secs(3600)).build();
    let builder = SdkMeterProvider::builder().with_resource(resource(name)).with_reader(reader);
    let provider = builder.with_view(exponential).build();
    let meter = provider.meter_with_scope(scope("meter", "4.2"));
    let requests = meter.u64_counter("requests").with_unit("{request}").with_description("what was asked").build();
    requests.add(5, &[KeyValue::new("route", "/a")]);
    let active = meter.f64_up_down_counter("active").build();
    active.add(5.0, &[]);
    active.add(-2.5, &[]);
    let latency = meter.f64_histogram("latency").with_unit("s").with_boundaries(vec![1.0, 5.0]).build();
    [0.5, 3.0, 7.25].into_iter().for_each(|value| latency.record(value, &[]));
    let size = meter.u64_histogram("size").build();
    [1, 2, 4].into_iter().for_each(|value| size.record(value, &[]));
    let _temperature = meter
        .f64_observable_gauge("temperature")
        .with_callback(|gauge| gauge.observe(21.5, &[KeyValue::new("room", "ö")]))
        .build();
    // collects once
    provider.shutdown().expect("the data points are taken");
    let sum = "otel_metrics_sum";
    vec![
        (
            sum,
            json!({
                "MetricName": "requests", "MetricUnit": "{request}", "MetricDescription": "what was asked", "ValueInt": 5,
                "Attributes": {"route": "/a"}, "Value": "5", "IsMonotonic": true, "AggregationTemporality": 2,
            }),
        ),
        (sum, json!({"MetricName": "active", "Value": "2.5", "IsMonotonic": false, "AggregationTemporality": 2})),
        (
            "otel_metrics_histogram",
            json!({
                "MetricName": "latency", "MetricUnit": "s", "Count": 3, "Sum": "10.75", "Min": "0.5", "Max": "7.25",
                "BucketCounts": [1, 1, 1], "ExplicitBounds": ["1", "5"], "AggregationTemporality": 2,
            }),
        ),
        (
            // buckets of scale 0: (0.5, 1], (1, 2], (2, 4]
            "otel_metrics_exponential_histogram",
            json!({
                "MetricName": "size", "Count": 3, "Sum": "7", "Min": "1", "Max": "4", "Scale": 0, "ZeroCount": 0,
                "PositiveOffset": -1, "PositiveBucketCounts": [1, 1, 1], "AggregationTemporality": 2,
            }),
        ),
        (
            "otel_metrics_gauge",
            json!({"MetricName": "temperature", "Value": "21.5", "Attributes": {"room": "ö"}, "ScopeVersion": "4.2"}),
        ),
    ]
}

fn assert_spans_stored(service: &Service, name: &str, expected: &[Value]) {
    let query = "SELECT TraceId AS trace_id, SpanId AS span_id, ParentSpanId AS parent, SpanName AS name, SpanKind AS kind, \
                 concat(ScopeName, ' ', ScopeVersion) AS scope, StatusCode AS status, StatusMessage AS message, \
                 arrayZip(`Events.Name`, `Events.Attributes`) AS events, \
                 arrayZip(`Links.TraceId`, `Links.SpanId`, `Links.Attributes`) AS links, SpanAttributes AS attributes \
                 FROM otel_traces WHERE ServiceName = {s:String}";
    let rows = wait_until("the spans are stored", || {
        let rows = service.sql().try_rows(query, &[("s", name)]).ok()?;
        (rows.len() >= expected.len()).then_some(rows)
    });
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for row in expected {
        assert!(rows.contains(row), "{name}: no {row:#}\namong {rows:#?}");
    }
}

#[test]
fn spans_log_records_and_data_points_of_the_rust_sdk_are_in_their_tables() {
    let service = Service::start();
    for (name, is_grpc) in [("rust-grpc", true), ("rust-http", false)] {
        let spans = send_spans(Exporter::new(&service, is_grpc), name);
        let mut ledger = Ledger::new();
        let mut expect = |table: &str, row: Value| {
            let row: Map<String, Value> = row.as_object().expect("a row").clone();
            ledger.entry(table.to_owned()).or_default().push(row);
        };
        for row in send_logs(Exporter::new(&service, is_grpc), name) {
            expect("otel_logs", row);
        }
        for (table, row) in send_metrics(Exporter::new(&service, is_grpc), name) {
            expect(table, row);
        }
        assert_spans_stored(&service, name, &spans);
        assert_stored(&service, name, &ledger);
    }
}
