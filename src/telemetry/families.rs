//! Families of metrics: made, registered, described, and named as OpenMetrics and earlier releases have them.

use crate::locks::locked;
use prometheus::core::Collector;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{
    Counter, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use std::sync::{Arc, Mutex};

/// The end of a counter's name. Source: OpenMetrics 1.0, section "Counter".
const COUNTER_SUFFIX: &str = "_total";
/// Units that a name may end in. Source: OpenMetrics 1.0, section "Units and Base Units".
const UNITS: [&str; 2] = ["bytes", "seconds"];

/// Every family that was registered. One with labels is in the registry's pages only once it has a value; it is listed here all
/// the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Families {
    registry: Registry,
    described: Arc<Mutex<Vec<Described>>>,
}

/// What a family is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name; that of a counter ends in `_total`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: Vec<String>,
    /// What it says.
    pub help: String,
}

impl Families {
    /// The values of all families that have any.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// All families, by name.
    pub(super) fn described(&self) -> Vec<Described> {
        let mut all = locked(&self.described).clone();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn add<M: Collector + Clone + 'static>(
        &self,
        metric: &M,
        described: (String, &'static str, &[&str], &str),
    ) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(metric.clone()))?;
        let (name, kind, labels, help) = described;
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let described = Described { name, kind, labels, help: help.to_owned() };
        locked(&self.described).push(described);
        Ok(())
    }
}

/// The name of a counter without the end that all have.
pub(super) fn without_suffix(name: &str) -> &str {
    name.strip_suffix(COUNTER_SUFFIX).unwrap_or(name)
}

/// The unit that a name ends in, if it does.
#[must_use]
pub fn unit_of(name: &str) -> Option<&'static str> {
    UNITS.into_iter().find(|unit| without_suffix(name).strip_suffix(*unit).is_some_and(|rest| rest.ends_with('_')))
}

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
pub(super) fn registered_counter(registry: &Families, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let metric = IntCounter::new(counter_name(name), help)?;
    registry.add(&metric, (counter_name(name), "counter", &[], help))?;
    Ok(metric)
}

/// A counter of time, which is no whole number; the end of its name is added.
pub(super) fn registered_seconds(registry: &Families, name: &str, help: &str) -> Result<Counter, prometheus::Error> {
    let metric = Counter::new(counter_name(name), help)?;
    registry.add(&metric, (counter_name(name), "counter", &[], help))?;
    Ok(metric)
}

/// Counters with labels; the end of their name is added.
pub(super) fn registered_counters(
    registry: &Families,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let metric = IntCounterVec::new(Opts::new(counter_name(name), help), labels)?;
    registry.add(&metric, (counter_name(name), "counter", labels, help))?;
    Ok(metric)
}

/// A gauge.
pub(super) fn registered_gauge(registry: &Families, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let metric = IntGauge::new(name, help)?;
    registry.add(&metric, (name.to_owned(), "gauge", &[], help))?;
    Ok(metric)
}

/// Gauges with labels.
pub(super) fn registered_gauges(
    registry: &Families,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.add(&metric, (name.to_owned(), "gauge", labels, help))?;
    Ok(metric)
}

/// A histogram of times in seconds.
pub(super) fn registered_histogram(
    registry: &Families,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> Result<Histogram, prometheus::Error> {
    let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
    registry.add(&metric, (name.to_owned(), "histogram", &[], help))?;
    Ok(metric)
}

/// Histograms with labels.
pub(super) fn registered_histograms(
    registry: &Families,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let metric = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?;
    registry.add(&metric, (name.to_owned(), "histogram", labels, help))?;
    Ok(metric)
}
