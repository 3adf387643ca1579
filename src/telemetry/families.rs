//! Families of metrics: made, registered, and named as OpenMetrics and earlier releases have them.

use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The end of a counter's name. Source: OpenMetrics 1.0, section "Counter".
const COUNTER_SUFFIX: &str = "_total";

/// Adds each counter under the name that it had before it ended in `_total`. Until 1.0.
pub(super) fn with_old_names(families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    let both = |family: MetricFamily| [deprecated(&family), Some(family)].into_iter().flatten();
    families.into_iter().flat_map(both).collect()
}

/// The family of a counter under its old name.
fn deprecated(family: &MetricFamily) -> Option<MetricFamily> {
    if family.get_field_type() != MetricType::COUNTER {
        return None;
    }
    let mut old = family.clone();
    old.set_name(family.name().strip_suffix(COUNTER_SUFFIX)?.to_owned());
    old.set_help(format!("Deprecated: use {}", family.name()));
    Some(old)
}

fn counter_name(name: &str) -> String {
    debug_assert!(!name.ends_with(COUNTER_SUFFIX), "{name}: the suffix is added here");
    format!("{name}{COUNTER_SUFFIX}")
}

/// A counter; the end of its name is added.
pub(super) fn registered_counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let metric = IntCounter::new(counter_name(name), help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Counters with labels; the end of their name is added.
pub(super) fn registered_counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let metric = IntCounterVec::new(Opts::new(counter_name(name), help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// A gauge.
pub(super) fn registered_gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let metric = IntGauge::new(name, help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Gauges with labels.
pub(super) fn registered_gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
