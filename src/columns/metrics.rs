//! The column lists of the tables of metrics.

use super::column::Column;

/// `otel_metrics_gauge`
pub const GAUGE: &[Column] = &[];
/// `otel_metrics_sum`
pub const SUM: &[Column] = &[];
/// `otel_metrics_histogram`
pub const HISTOGRAM: &[Column] = &[];
/// `otel_metrics_exponential_histogram`
pub const EXPONENTIAL_HISTOGRAM: &[Column] = &[];
/// `otel_metrics_summary`
pub const SUMMARY: &[Column] = &[];
