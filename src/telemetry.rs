//! Every metric that Millrace shows, in one list.
//!
//! Names are those of the OpenTelemetry Collector where it has one, so that its dashboards and alerts work. The counters
//! of spans obey a law at all times:
//!
//! ```text
//! received = rejected + refused + duplicate + stored + dead_lettered + pending
//! ```

use prometheus::{Encoder as _, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// Which receiver a span came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP.
    OtlpHttp,
    /// Captured chat-completions.
    Chat,
}

impl Receiver {
    fn labels(self) -> [&'static str; 2] {
        match self {
            Self::OtlpGrpc => ["otlp", "grpc"],
            Self::OtlpHttp => ["otlp", "http"],
            Self::Chat => ["chat_completions", "http"],
        }
    }
}

/// The metrics; clone it freely, all clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    accepted: IntCounterVec,
    refused: IntCounterVec,
    rejected: IntCounterVec,
    repeated: IntCounterVec,
    /// Attributes dropped because a later one of the same span had the same key.
    pub attributes_repeated: IntCounter,
    /// Spans that ClickHouse has.
    pub spans_stored: IntCounter,
    /// Spans accepted and not yet in ClickHouse.
    pub spans_pending: IntGauge,
    /// Bytes that accepted spans and requests under way hold.
    pub queue_bytes: IntGauge,
    /// The most of those bytes there may be.
    pub queue_bytes_capacity: IntGauge,
    /// Inserts that ClickHouse took.
    pub inserts: IntCounter,
    /// Inserts that failed and are repeated.
    pub insert_failures: IntCounter,
    /// Bytes of Native blocks that ClickHouse took, before compression.
    pub insert_bytes: IntCounter,
    /// 1 while ClickHouse takes inserts, 0 while it does not.
    pub clickhouse_up: IntGauge,
    /// Times the embedded ClickHouse was started again after it died.
    pub embedded_restarts: IntCounter,
    /// Chat-completions that joined a trace whose root was known.
    pub chat_joined: IntCounter,
    /// Traces whose root is remembered for joining.
    pub traces_known: IntGauge,
}

impl Metrics {
    /// Makes and registers every metric.
    ///
    /// # Errors
    /// When two metrics have one name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let labels = ["receiver", "transport"];
        let by_receiver = |name: &str, help: &str| -> Result<IntCounterVec, prometheus::Error> {
            let metric = IntCounterVec::new(Opts::new(name, help), &labels)?;
            registry.register(Box::new(metric.clone()))?;
            for receiver in [Receiver::OtlpGrpc, Receiver::OtlpHttp, Receiver::Chat] {
                metric.with_label_values(&receiver.labels()).reset();
            }
            Ok(metric)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let metric = IntCounter::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        Ok(Self {
            accepted: by_receiver("otelcol_receiver_accepted_spans", "Spans acknowledged to their sender.")?,
            refused: by_receiver(
                "otelcol_receiver_refused_spans",
                "Spans answered with 'try again': nothing of them was kept. A request refused before it was read counts as 1.",
            )?,
            rejected: by_receiver(
                "millrace_receiver_rejected_spans",
                "Spans that are malformed, named in the answer to their sender. A request that cannot be read counts as 1.",
            )?,
            repeated: by_receiver(
                "millrace_receiver_duplicate_spans",
                "Spans that were accepted before: acknowledged again, not stored again.",
            )?,
            attributes_repeated: counter(
                "millrace_attributes_repeated",
                "Attributes dropped because a later one of the same span had the same key.",
            )?,
            spans_stored: counter("otelcol_exporter_sent_spans", "Spans that ClickHouse confirmed.")?,
            spans_pending: gauge("millrace_spans_pending", "Spans acknowledged and not yet in ClickHouse.")?,
            queue_bytes: gauge("otelcol_exporter_queue_size", "Bytes held by spans and requests under way.")?,
            queue_bytes_capacity: gauge(
                "otelcol_exporter_queue_capacity",
                "Bytes that may be held (pipeline.max_bytes).",
            )?,
            inserts: counter("millrace_clickhouse_inserts", "Inserts that ClickHouse confirmed.")?,
            insert_failures: counter(
                "millrace_clickhouse_insert_failures",
                "Inserts that failed; each is tried again.",
            )?,
            insert_bytes: counter(
                "millrace_clickhouse_insert_bytes",
                "Bytes of confirmed inserts before compression.",
            )?,
            clickhouse_up: gauge("millrace_clickhouse_up", "1 while ClickHouse takes inserts.")?,
            embedded_restarts: counter("millrace_embedded_restarts", "Restarts of the embedded ClickHouse.")?,
            chat_joined: counter("millrace_chat_joined", "Chat-completions stored as a child of a known root.")?,
            traces_known: gauge("millrace_traces_known", "Traces whose root is remembered for joining.")?,
            registry,
        })
    }

    /// Counts spans that were acknowledged.
    pub fn accept(&self, receiver: Receiver, spans: usize) {
        self.accepted.with_label_values(&receiver.labels()).inc_by(count(spans));
        self.spans_pending.add(i64::try_from(spans).unwrap_or(i64::MAX));
    }

    /// Counts spans (or a request that was not read) that were answered with "try again".
    pub fn refuse(&self, receiver: Receiver, spans: usize) {
        self.refused.with_label_values(&receiver.labels()).inc_by(count(spans));
    }

    /// Counts spans (or a request that could not be read) that are malformed.
    pub fn reject(&self, receiver: Receiver, spans: usize) {
        self.rejected.with_label_values(&receiver.labels()).inc_by(count(spans));
    }

    /// Counts spans that were accepted before.
    pub fn repeat(&self, receiver: Receiver, spans: usize) {
        self.repeated.with_label_values(&receiver.labels()).inc_by(count(spans));
    }

    /// Counts an insert that ClickHouse confirmed.
    pub fn store(&self, spans: usize, bytes: usize) {
        self.inserts.inc();
        self.insert_bytes.inc_by(count(bytes));
        self.spans_stored.inc_by(count(spans));
        self.spans_pending.sub(i64::try_from(spans).unwrap_or(i64::MAX));
    }

    /// All metrics in the Prometheus text format.
    ///
    /// # Errors
    /// When a metric cannot be written as text.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_registered_once_and_shown_from_the_start() {
        let metrics = Metrics::new().unwrap();
        metrics.accept(Receiver::OtlpGrpc, 3);
        metrics.store(2, 10);
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        assert!(text.contains("otelcol_receiver_accepted_spans{receiver=\"otlp\",transport=\"grpc\"} 3"), "{text}");
        assert!(text.contains("otelcol_receiver_refused_spans{receiver=\"chat_completions\",transport=\"http\"} 0"));
        assert!(text.contains("otelcol_exporter_sent_spans 2"));
        assert!(text.contains("millrace_spans_pending 1"));
    }
}
