//! `millrace status`: the health and metrics of a running Millrace in words.
//!
//! ```text
//! GET /  of health     state of every part          -> accepting, clickhouse, joining, counting, why
//! GET /metrics         Prometheus text              -> rows by kind, failures, disk, memory, version
//! ```

use crate::admin;
use crate::peer::{self, TlsOptions};
use crate::secret::Secret;
use crate::sizes::ByteSize;
use crate::telemetry::RowKind;
use crate::text::counted;
use anyhow::Context as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;

/// What may be scraped besides the totals: what one is called, and what is said of it.
const PROBLEMS: [(&str, &str, &str); 7] = [
    ("millrace_clickhouse_insert_failures_total", "insert", " failed"),
    ("millrace_join_failures_total", "round", " of late joining failed"),
    ("millrace_rollup_failures_total", "round", " of counting failed"),
    ("millrace_embedded_restarts_total", "restart", " of the embedded ClickHouse"),
    ("millrace_journal_spans_lost_total", "span", " lost with damaged journal files"),
    ("millrace_texts_mended_total", "text", " not in UTF-8, and mended"),
    ("millrace_panics_total", "panic", ""),
];

/// Asks the Millrace with this configuration, and says what it answered.
///
/// # Errors
/// If it does not answer, or `output` cannot be written.
pub async fn run(
    config: &admin::Config,
    token: Option<&Secret>,
    tls: &TlsOptions,
    json: bool,
    output: &mut impl Write,
) -> anyhow::Result<()> {
    let client = tls.client()?;
    let of = |at, tls: &Option<_>, path: &str| format!("{}{path}", peer::url(at, tls.is_some()));
    let url = of(config.health.listen, &config.health.tls, "/");
    let health = peer::page(&client, &url, token).await.context("health (admin.health.listen)")?;
    let health: Value = serde_json::from_str(&health).context("the page of health is not JSON: is that Millrace?")?;
    let url = of(config.metrics.listen, &config.metrics.tls, "/metrics");
    let metrics = peer::page(&client, &url, token).await.context("metrics (admin.metrics.listen)")?;
    let metrics = Samples::of(&metrics);
    if json {
        let all = serde_json::json!({"health": health, "metrics": metrics.sums()});
        writeln!(output, "{all:#}")?;
        return Ok(());
    }
    output.write_all(summary(&health, &metrics).as_bytes())?;
    Ok(())
}

/// The samples of a page: name, labels as they are written, value.
struct Samples<'p>(Vec<(&'p str, &'p str, f64)>);

impl<'p> Samples<'p> {
    fn of(page: &'p str) -> Self {
        let sample = |line: &'p str| {
            let (name, value) = line.rsplit_once(' ')?;
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            Some((name, labels.trim_end_matches('}'), value.parse().ok()?))
        };
        Self(page.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The sum over all labels; `None` if there is no such metric.
    fn sum(&self, name: &str) -> Option<f64> {
        let mut values = self.0.iter().filter(|(of, ..)| *of == name).map(|(.., value)| *value).peekable();
        values.peek()?;
        Some(values.sum())
    }

    fn sums(&self) -> BTreeMap<&'p str, f64> {
        let mut sums = BTreeMap::new();
        self.0.iter().for_each(|(name, _, value)| *sums.entry(*name).or_default() += value);
        sums
    }

    /// The value of a label of a metric.
    fn label(&self, name: &str, label: &str) -> Option<&'p str> {
        let (_, labels, _) = self.0.iter().find(|(of, ..)| *of == name)?;
        labels.split(',').find_map(|pair| pair.strip_prefix(label)?.strip_prefix("=\"")?.strip_suffix('"'))
    }

    fn whole(&self, name: &str) -> String {
        self.sum(name).map_or_else(|| "-".to_owned(), |value| grouped(&format!("{value:.0}")))
    }

    fn bytes(&self, name: &str) -> String {
        self.sum(name).map_or_else(|| "-".to_owned(), |value| bytes(&format!("{value:.0}")))
    }

    /// The mean of a histogram of times, in milliseconds.
    fn mean_millis(&self, name: &str) -> Option<f64> {
        let count = self.sum(&format!("{name}_count")).filter(|count| *count > 0.0)?;
        Some(self.sum(&format!("{name}_sum"))? / count * 1e3)
    }
}

fn summary(health: &Value, metrics: &Samples<'_>) -> String {
    let health = Health(health);
    let mut lines = states(&health, metrics);
    lines.push(String::new());
    lines.extend(rows(metrics));
    lines.push(String::new());
    lines.extend(amounts(&health, metrics));
    let troubles = PROBLEMS.into_iter().filter(|(name, ..)| metrics.sum(name).is_some_and(|count| count > 0.0));
    lines.extend(
        troubles.map(|(name, one, what)| format!("since the start {}{what}", counted(metrics.whole(name), one))),
    );
    lines.join("\n") + "\n"
}

/// The page of health.
struct Health<'h>(&'h Value);

impl Health<'_> {
    fn text(&self, path: &str) -> &str {
        self.0.pointer(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, path: &str) -> u64 {
        self.0.pointer(path).and_then(Value::as_u64).unwrap_or_default()
    }
}

/// How each part does, and why not better.
fn states(health: &Health<'_>, metrics: &Samples<'_>) -> Vec<String> {
    let version = metrics.label("millrace_build_info", "version").unwrap_or("of an unknown version");
    let mut lines = vec![format!("Millrace {version} is {}", health.text("/status"))];
    if !health.text("/why").is_empty() {
        lines.push(format!("  because {}", health.text("/why")));
    }
    for (part, at) in [("ClickHouse", "/clickhouse"), ("late joining", "/joining"), ("counting", "/counting")] {
        let (state, why) = (health.text(&format!("{at}/state")), health.text(&format!("{at}/why")));
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        lines.push(format!("  {part:<14} {state}{why}"));
    }
    let absent = health.0.pointer("/clickhouse/nodes_absent").and_then(Value::as_array).into_iter().flatten();
    lines.extend(absent.filter_map(Value::as_str).map(|node| format!("  {node} does not answer")));
    lines
}

/// What came in and what became of it.
fn rows(metrics: &Samples<'_>) -> Vec<String> {
    const TERMS: [&str; 7] = ["received", "stored", "pending", "duplicate", "dead_lettered", "rejected", "refused"];
    let titles: String = TERMS.iter().map(|term| format!("{term:>15}")).collect();
    let row = |kind: RowKind| {
        let of = |term: &str| {
            let counter = if term == "pending" { "" } else { "_total" };
            format!("{:>15}", metrics.whole(&format!("millrace_{}_{term}{counter}", kind.rows_name())))
        };
        format!("{:<12}{}", kind.rows_words(), TERMS.map(of).concat())
    };
    std::iter::once(format!("{:<12}{titles}", "")).chain(RowKind::ALL.map(row)).collect()
}

/// How much of everything there is.
fn amounts(health: &Health<'_>, metrics: &Samples<'_>) -> Vec<String> {
    let mut lines = vec![
        format!(
            "journal      {} of {}, {}, oldest {} s; the disk has {} free",
            bytes(&health.number("/backlog/bytes").to_string()),
            metrics.bytes("millrace_journal_capacity_bytes"),
            counted(health.number("/backlog/segments"), "segment"),
            health.number("/backlog/oldest_seconds"),
            metrics.bytes("millrace_journal_disk_free_bytes"),
        ),
        format!(
            "counting     {} to count, {} s behind, {} to look through",
            counted(health.number("/counting/traces_waiting"), "trace"),
            health.number("/counting/lag_seconds"),
            counted(health.number("/counting/hours_left"), "hour"),
        ),
        format!(
            "process      {} of memory, {} of it buffers; {} of {} descriptors",
            metrics.bytes("process_resident_memory_bytes"),
            metrics.bytes("otelcol_exporter_queue_size"),
            metrics.whole("process_open_fds"),
            metrics.whole("process_max_fds"),
        ),
    ];
    let times = [
        ("acknowledged", "millrace_acknowledgement_seconds"),
        ("fsync", "millrace_journal_fsync_seconds"),
        ("insert", "millrace_clickhouse_insert_seconds"),
    ];
    let mean = |(what, name)| Some(format!("{what} {:.1} ms", metrics.mean_millis(name)?));
    let means: Vec<String> = times.into_iter().filter_map(mean).collect();
    if !means.is_empty() {
        lines.push(format!("mean times   {}", means.join(", ")));
    }
    lines
}

fn bytes(count: &str) -> String {
    count.parse().map_or_else(|_| count.to_owned(), |count| ByteSize(count).rounded())
}

/// Digits in groups of three.
fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn samples_are_read_with_and_without_labels() {
        let page = "# HELP a A.\na_total{x=\"1\",version=\"0.1.0\"} 2\na_total{x=\"2\"} 3\nb_bytes 4096\nc_seconds_sum 0.5\nc_seconds_count 4\n";
        let samples = Samples::of(page);
        assert_eq!((samples.sum("a_total"), samples.sum("none")), (Some(5.0), None));
        assert_eq!((samples.label("a_total", "version"), samples.label("b_bytes", "x")), (Some("0.1.0"), None));
        assert_eq!((samples.bytes("b_bytes"), samples.bytes("none")), ("4.0 KiB".to_owned(), "-".to_owned()));
        assert_eq!(samples.mean_millis("c_seconds"), Some(125.0));
    }

    #[test]
    fn a_summary_says_what_is_wrong() {
        let health = json!({"status": "refusing", "why": "the journal is full", "joining": {"state": "working"},
            "clickhouse": {"state": "away", "why": "refused", "nodes_absent": ["n2:9000"]}, "counting": {"state": "working"},
            "backlog": {"bytes": 1024, "segments": 3, "oldest_seconds": 60}});
        let page = "millrace_spans_received_total 1234567\nmillrace_spans_pending 7\nmillrace_panics_total 1\n";
        let said = summary(&health, &Samples::of(page));
        for part in [
            "is refusing",
            "because the journal is full",
            "away: refused",
            "n2:9000 does not answer",
            "1,234,567",
            "since the start 1 panic\n",
            "1.0 KiB of -, 3 segments, oldest 60 s",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn digits_are_grouped() {
        for (digits, text) in
            [("0", "0"), ("999", "999"), ("1000", "1,000"), ("1234567", "1,234,567"), ("-100", "-100")]
        {
            assert_eq!(grouped(digits), text);
        }
    }
}
