//! The tables that rows go to, by signal. Their columns are in `lists.rs`.

use crate::telemetry::{RowKind, Signal};

/// A table of ClickHouse that rows are inserted into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Table {
    /// Spans.
    #[default]
    Traces,
    /// Log records.
    Logs,
    /// Data points of gauges.
    MetricsGauge,
    /// Data points of sums.
    MetricsSum,
    /// Data points of histograms.
    MetricsHistogram,
    /// Data points of exponential histograms.
    MetricsExponentialHistogram,
    /// Data points of summaries.
    MetricsSummary,
    /// What people say of spans and sessions.
    Annotations,
    /// What evaluators say of spans.
    EvaluatorResults,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Traces,
        Self::Logs,
        Self::MetricsGauge,
        Self::MetricsSum,
        Self::MetricsHistogram,
        Self::MetricsExponentialHistogram,
        Self::MetricsSummary,
        Self::Annotations,
        Self::EvaluatorResults,
    ];

    /// Its name, without a database; on a cluster that of the Distributed table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "otel_traces",
            Self::Logs => "otel_logs",
            Self::MetricsGauge => "otel_metrics_gauge",
            Self::MetricsSum => "otel_metrics_sum",
            Self::MetricsHistogram => "otel_metrics_histogram",
            Self::MetricsExponentialHistogram => "otel_metrics_exponential_histogram",
            Self::MetricsSummary => "otel_metrics_summary",
            Self::Annotations => "genai_annotations",
            Self::EvaluatorResults => "genai_evaluator_results",
        }
    }

    /// The table of that name, with or without a database in front.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.rsplit_once('.').map_or(name, |(_database, name)| name);
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The column of their time, by whose day rows are partitioned if they are.
    #[must_use]
    pub const fn time_column(self) -> &'static str {
        match self {
            Self::Traces | Self::Logs => "Timestamp",
            Self::MetricsGauge
            | Self::MetricsSum
            | Self::MetricsHistogram
            | Self::MetricsExponentialHistogram
            | Self::MetricsSummary => "TimeUnix",
            Self::Annotations | Self::EvaluatorResults => "CreatedAt",
        }
    }

    /// What its rows are.
    #[must_use]
    pub const fn row_kind(self) -> RowKind {
        match self {
            Self::Traces => RowKind::Of(Signal::Traces),
            Self::Logs => RowKind::Of(Signal::Logs),
            Self::MetricsGauge
            | Self::MetricsSum
            | Self::MetricsHistogram
            | Self::MetricsExponentialHistogram
            | Self::MetricsSummary => RowKind::Of(Signal::Metrics),
            Self::Annotations | Self::EvaluatorResults => RowKind::Scores,
        }
    }
}
