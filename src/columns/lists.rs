//! The list of columns of each table.

use super::column::Column;
use super::tables::Table;
use super::{logs, metrics, scores, table};

impl Table {
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
            Self::Annotations => scores::ANNOTATIONS,
            Self::EvaluatorResults => scores::EVALUATOR_RESULTS,
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
