//! The page of metrics as OpenMetrics 1.0: what the `prometheus` crate gathered, written by the rules of that text.
//!
//! ```text
//! # TYPE millrace_journal_written_bytes counter
//! # UNIT millrace_journal_written_bytes bytes
//! # HELP millrace_journal_written_bytes Bytes that the journal wrote.
//! millrace_journal_written_bytes_total 4096
//! # EOF
//! ```
//!
//! Source: OpenMetrics 1.0, section "Text format". A counter has its family's name with `_total`; the names that it had before are left
//! out, since one without `_total` would be the family itself.

use super::families::{unit_of, without_suffix};
use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::fmt::Write as _;

/// The media type of the page.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All families as one page.
pub(super) fn page(families: &[MetricFamily]) -> String {
    let mut page = String::new();
    for family in families {
        write_family(&mut page, family);
    }
    page.push_str("# EOF\n");
    page
}

fn write_family(page: &mut String, family: &MetricFamily) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY | MetricType::UNTYPED => {
            debug_assert!(false, "{}: no family of that kind is made", family.name());
            return;
        }
    };
    let name = if kind == "counter" { without_suffix(family.name()) } else { family.name() };
    line(page, format_args!("# TYPE {name} {kind}"));
    if let Some(unit) = unit_of(name) {
        line(page, format_args!("# UNIT {name} {unit}"));
    }
    line(page, format_args!("# HELP {name} {}", escaped(family.help())));
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match kind {
            "counter" => {
                sample(page, (name, "_total"), (labels, None), Number::Real(metric.get_counter().get_value()));
            }
            "gauge" => sample(page, (name, ""), (labels, None), Number::Real(metric.get_gauge().get_value())),
            _ => write_histogram(page, name, metric),
        }
    }
}

fn write_histogram(page: &mut String, name: &str, metric: &Metric) {
    let (histogram, labels): (&Histogram, _) = (metric.get_histogram(), metric.get_label());
    for bucket in histogram.get_bucket() {
        let bound = bucket.upper_bound();
        sample(page, (name, "_bucket"), (labels, Some(bound)), Number::Count(bucket.cumulative_count()));
    }
    let count = histogram.get_sample_count();
    sample(page, (name, "_bucket"), (labels, Some(f64::INFINITY)), Number::Count(count));
    sample(page, (name, "_sum"), (labels, None), Number::Real(histogram.get_sample_sum()));
    sample(page, (name, "_count"), (labels, None), Number::Count(count));
}

/// The value of a sample.
enum Number {
    Count(u64),
    /// Written without a fraction when it has none.
    Real(f64),
}

fn sample(
    page: &mut String,
    (name, suffix): (&str, &str),
    (labels, bound): (&[LabelPair], Option<f64>),
    value: Number,
) {
    let mut pairs: Vec<String> =
        labels.iter().map(|label| format!("{}=\"{}\"", label.name(), escaped(label.value()))).collect();
    pairs.extend(bound.map(|bound| format!("le=\"{}\"", canonical(bound))));
    let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    match value {
        Number::Count(count) => line(page, format_args!("{name}{suffix}{labels} {count}")),
        Number::Real(real) => line(page, format_args!("{name}{suffix}{labels} {real}")),
    }
}

/// A bound of a bucket. The specification requires a fraction: `1.0`, `+Inf`.
fn canonical(bound: f64) -> String {
    if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("a text takes whatever is written to it");
}

#[cfg(test)]
mod tests {
    use super::super::families::{Families, registered_counters, registered_gauge, registered_histogram};
    use super::*;

    #[test]
    fn the_page_is_written_as_the_specification_says() {
        let families = Families::default();
        let counters = registered_counters(&families, "a_bytes", "Bytes \"of\" a\\b.\nMore.", &["x"]).unwrap();
        counters.with_label_values(&["q\"\\\n"]).inc_by(7);
        registered_gauge(&families, "b", "B.").unwrap().set(-3);
        let times = registered_histogram(&families, "c_seconds", "C.", &[0.005, 1.0]).unwrap();
        [0.25, 0.5, 2.0].into_iter().for_each(|time| times.observe(time));
        let want = "# TYPE a_bytes counter\n# UNIT a_bytes bytes\n# HELP a_bytes Bytes \\\"of\\\" a\\\\b.\\nMore.\n\
                    a_bytes_total{x=\"q\\\"\\\\\\n\"} 7\n\
                    # TYPE b gauge\n# HELP b B.\nb -3\n\
                    # TYPE c_seconds histogram\n# UNIT c_seconds seconds\n# HELP c_seconds C.\n\
                    c_seconds_bucket{le=\"0.005\"} 0\nc_seconds_bucket{le=\"1.0\"} 2\nc_seconds_bucket{le=\"+Inf\"} 3\n\
                    c_seconds_sum 2.75\nc_seconds_count 3\n# EOF\n";
        assert_eq!(page(&families.gather()), want);
    }
}
