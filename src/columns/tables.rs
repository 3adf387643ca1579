//! The tables that rows go to, by signal, each with its name and its list of columns.

use super::column::Column;
use super::{logs, metrics, table};
use crate::telemetry::Signal;

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
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Traces,
        Self::Logs,
        Self::MetricsGauge,
        Self::MetricsSum,
        Self::MetricsHistogram,
        Self::MetricsExponentialHistogram,
        Self::MetricsSummary,
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
        }
    }

    /// The table of that name, with or without a database in front.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.rsplit_once('.').map_or(name, |(_database, name)| name);
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The columns that Millrace sends, in the order of the blocks.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Traces => table::COLUMNS,
            Self::Logs => logs::COLUMNS,
            Self::MetricsGauge => metrics::GAUGE,
            Self::MetricsSum => metrics::SUM,
            Self::MetricsHistogram => metrics::HISTOGRAM,
            Self::MetricsExponentialHistogram => metrics::EXPONENTIAL_HISTOGRAM,
            Self::MetricsSummary => metrics::SUMMARY,
        }
    }

    /// The column by whose day rows are partitioned.
    #[must_use]
    pub const fn time_column(self) -> &'static str {
        match self {
            Self::Traces | Self::Logs => "Timestamp",
            Self::MetricsGauge
            | Self::MetricsSum
            | Self::MetricsHistogram
            | Self::MetricsExponentialHistogram
            | Self::MetricsSummary => "TimeUnix",
        }
    }

    /// What its rows are.
    #[must_use]
    pub const fn signal(self) -> Signal {
        match self {
            Self::Traces => Signal::Traces,
            Self::Logs => Signal::Logs,
            Self::MetricsGauge
            | Self::MetricsSum
            | Self::MetricsHistogram
            | Self::MetricsExponentialHistogram
            | Self::MetricsSummary => Signal::Metrics,
        }
    }

    /// The table whose blocks have these columns: of those that have all of them, the one with the fewest. A block has every column of
    /// its table but lists and maps that no row has anything in.
    #[must_use]
    pub fn of_columns<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Option<Self> {
        let has = |table: Self, name: &str| table.columns().iter().any(|column| column.name == name);
        let fitting = Self::ALL.into_iter().filter(|table| names.clone().all(|name| has(*table, name)));
        fitting.min_by_key(|table| table.columns().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_known_by_its_name_and_by_the_columns_of_its_blocks() {
        for table in Table::ALL.into_iter().filter(|table| !table.columns().is_empty()) {
            assert_eq!(Table::named(&format!("otel.{}", table.name())), Some(table));
            assert_eq!(Table::named(table.name()), Some(table));
            assert_eq!(Table::of_columns(table.columns().iter().map(|column| column.name)), Some(table));
            let certain = table.columns().iter().filter(|column| !column.is_list()).map(|column| column.name);
            assert_eq!(Table::of_columns(certain), Some(table));
            assert!(table.columns().iter().any(|column| column.name == table.time_column()), "{table:?}");
            for ours in ["SegmentId", "Workspace"] {
                assert_eq!(table.columns().iter().filter(|column| column.name == ours).count(), 1, "{table:?}");
            }
        }
        assert_eq!(Table::named("otel.otel_logs_local"), None);
    }
}
