//! The three signals of OTLP, and what differs between them but for their messages.

pub use crate::telemetry::Signal;

impl Signal {
    /// The path of its requests over HTTP. Source: OTLP specification, "OTLP/HTTP Request".
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// Its method over gRPC. Source: the services in `proto/`.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// What one item of it is called.
    #[must_use]
    pub fn item(self) -> &'static str {
        match self {
            Self::Traces => "span",
            Self::Logs => "log record",
            Self::Metrics => "data point",
        }
    }

    /// What several items are called.
    #[must_use]
    pub fn items(self) -> &'static str {
        self.rows_words()
    }

    /// What its requests consist of that is counted: items, and what is in them.
    pub(super) fn parts(self) -> &'static str {
        match self {
            Self::Traces => "spans, attributes, events and links",
            Self::Logs => "log records and attributes",
            Self::Metrics => "data points, attributes, buckets and exemplars",
        }
    }
}
