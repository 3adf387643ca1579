//! Spans and metrics as OTLP says them. Source: opentelemetry-proto 1.x, `trace.proto`, `metrics.proto`; the names of metrics are those of
//! `/metrics`, by which dashboards know them.

use crate::numbers::to_u64;
use crate::otlp::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use crate::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use crate::otlp::proto::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use crate::otlp::proto::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use crate::otlp::proto::resource::v1::Resource as ProtoResource;
use crate::otlp::proto::trace::v1::span::SpanKind;
use crate::otlp::proto::trace::v1::status::StatusCode;
use crate::otlp::proto::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use crate::telemetry::own_spans::{OwnSpan, Value, Work};
use crate::telemetry::unit_of;
use crate::time::UnixNanos;
use prometheus::proto::{LabelPair, Metric as Sample, MetricFamily, MetricType};

/// Whose traces and metrics they are.
#[derive(Debug)]
pub(super) struct Resource {
    /// What tells this process from others.
    pub(super) instance: String,
    /// When it started, since when counters count.
    pub(super) started: UnixNanos,
}

impl Resource {
    fn attributes(&self) -> ProtoResource {
        let attributes = [
            ("service.name", "millrace"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", &self.instance),
        ];
        let attributes = attributes.map(|(key, value)| attribute(key, any_value::Value::StringValue(value.to_owned())));
        ProtoResource { attributes: attributes.to_vec(), ..ProtoResource::default() }
    }

    /// Spans as a request.
    pub(super) fn traces(&self, spans: Vec<OwnSpan>) -> ExportTraceServiceRequest {
        let scope_spans = vec![ScopeSpans {
            scope: Some(scope()),
            spans: spans.into_iter().map(span).collect(),
            ..ScopeSpans::default()
        }];
        let resource = Some(self.attributes());
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
        }
    }

    /// Metrics as a request.
    pub(super) fn metrics(&self, families: &[MetricFamily], now: UnixNanos) -> ExportMetricsServiceRequest {
        let times = (self.started.nanos().unsigned_abs(), now.nanos().unsigned_abs());
        let scope_metrics = vec![ScopeMetrics {
            scope: Some(scope()),
            metrics: families.iter().filter_map(|family| metric(family, times)).collect(),
            ..ScopeMetrics::default()
        }];
        let resource = Some(self.attributes());
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }],
        }
    }
}

fn scope() -> InstrumentationScope {
    let (name, version) = ("millrace".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    InstrumentationScope { name, version, ..InstrumentationScope::default() }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn span(own: OwnSpan) -> Span {
    let kind = match own.work {
        Work::Request => SpanKind::Server,
        Work::Insert => SpanKind::Client,
    };
    let value = |value| match value {
        Value::Text(text) => any_value::Value::StringValue(text),
        Value::Number(number) => any_value::Value::IntValue(number),
    };
    let code = if own.has_failed { StatusCode::Error } else { StatusCode::Unset };
    Span {
        trace_id: own.trace.to_vec(),
        span_id: own.id.to_vec(),
        parent_span_id: own.parent.map_or_else(Vec::new, |parent| parent.span.to_vec()),
        name: own.name,
        kind: kind.into(),
        start_time_unix_nano: own.began.nanos().unsigned_abs(),
        end_time_unix_nano: own.ended.nanos().unsigned_abs(),
        attributes: own.attributes.into_iter().map(|(key, of)| attribute(key, value(of))).collect(),
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..Span::default()
    }
}

/// A family as a metric; `None` for one of a kind that Millrace has none of.
fn metric(family: &MetricFamily, times: (u64, u64)) -> Option<Metric> {
    let cumulative = AggregationTemporality::Cumulative.into();
    let samples = family.get_metric().iter();
    let data = match family.get_field_type() {
        MetricType::COUNTER => {
            let point = |sample: &Sample| number(sample, sample.get_counter().get_value(), times);
            metric::Data::Sum(Sum {
                data_points: samples.map(point).collect(),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            })
        }
        MetricType::GAUGE => {
            let point = |sample: &Sample| number(sample, sample.get_gauge().get_value(), times);
            metric::Data::Gauge(Gauge { data_points: samples.map(point).collect() })
        }
        MetricType::HISTOGRAM => metric::Data::Histogram(Histogram {
            data_points: samples.map(|sample| histogram(sample, times)).collect(),
            aggregation_temporality: cumulative,
        }),
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    let unit = match unit_of(family.name()) {
        Some("bytes") => "By",
        Some("seconds") => "s",
        _ => "",
    };
    Some(Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn labels(labels: &[LabelPair]) -> Vec<KeyValue> {
    let text = |label: &LabelPair| any_value::Value::StringValue(label.value().to_owned());
    labels.iter().map(|label| attribute(label.name(), text(label))).collect()
}

fn number(sample: &Sample, value: f64, (start, now): (u64, u64)) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels(sample.get_label()),
        start_time_unix_nano: start,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn histogram(sample: &Sample, (start, now): (u64, u64)) -> HistogramDataPoint {
    let histogram = sample.get_histogram();
    let (mut bucket_counts, mut explicit_bounds, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        explicit_bounds.push(bucket.upper_bound());
        bucket_counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    bucket_counts.push(histogram.get_sample_count().saturating_sub(below));
    debug_assert_eq!(to_u64(bucket_counts.len()), to_u64(explicit_bounds.len()) + 1);
    HistogramDataPoint {
        attributes: labels(sample.get_label()),
        start_time_unix_nano: start,
        time_unix_nano: now,
        count: histogram.get_sample_count(),
        sum: Some(histogram.get_sample_sum()),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Metrics, latency};
    use std::time::Duration;

    #[test]
    fn metrics_have_the_names_values_and_buckets_of_the_page() {
        let metrics = Metrics::new().unwrap();
        metrics.export_failures.inc_by(7);
        metrics.clickhouse_up.set(1);
        for millis in [3, 40, 100_000] {
            latency::observe(&metrics.latency.insert, Duration::from_millis(millis));
        }
        let resource = Resource { instance: "i".to_owned(), started: UnixNanos::new(5).unwrap() };
        let request = resource.metrics(&metrics.families(), UnixNanos::new(9).unwrap());
        let all = &request.resource_metrics[0].scope_metrics[0].metrics;
        let of = |name: &str| all.iter().find(|metric| metric.name == name).unwrap().data.clone().unwrap();
        let metric::Data::Sum(sum) = of("millrace_telemetry_export_failures_total") else { panic!("no sum") };
        assert!(sum.is_monotonic && sum.data_points[0].start_time_unix_nano == 5);
        assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsDouble(7.0)));
        let metric::Data::Gauge(gauge) = of("millrace_clickhouse_up") else { panic!("no gauge") };
        assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(1.0)));
        let metric::Data::Histogram(histogram) = of("millrace_clickhouse_insert_seconds") else {
            panic!("no histogram")
        };
        let point = &histogram.data_points[0];
        assert_eq!(
            (point.count, point.bucket_counts.iter().sum::<u64>(), point.bucket_counts.last()),
            (3, 3, Some(&1))
        );
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        // whatever the page has, and nothing else
        let page = metrics.openmetrics();
        for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            assert!(all.iter().any(|metric| metric.name == name), "{name}");
        }
    }
}
