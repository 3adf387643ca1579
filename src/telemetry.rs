//! Every metric of Millrace, in one list.
//!
//! Names are those of the OpenTelemetry Collector where it has one, so that its dashboards and alerts work. Counters end in
//! `_total`, as OpenMetrics demands; until 1.0 each is also served under the name that it had without it. The counters of
//! spans obey a law at all times:
//!
//! ```text
//! received = rejected + refused + duplicate + stored + dead_lettered + pending
//! ```
//!
//! Spans that a start finds in the journal count as received again, so the law holds within each run.

mod access;
mod families;
pub mod latency;
pub mod openmetrics;
pub mod own_spans;
mod process;
mod signals;

pub use access::AccessMetrics;
pub use families::{Described, unit_of};
pub use latency::Latency;
pub use process::{ProcessMetrics, note_panic};
pub use signals::{RowKind, Signal, SignalMetrics};

use crate::locks::locked;
use crate::numbers::to_u64;
use families::{
    Families, registered_counter, registered_counters, registered_gauge, registered_gauges, with_old_names,
};
use own_spans::OwnSpans;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder as _, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, TextEncoder};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Which receiver a span came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP.
    OtlpHttp,
    /// Captured chat-completions.
    Chat,
    /// Annotations and evaluator results.
    Scores,
    /// Trajectories, and spans in a plain form.
    Documents,
}

impl Receiver {
    fn labels(self) -> [&'static str; 2] {
        match self {
            Self::OtlpGrpc => ["otlp", "grpc"],
            Self::OtlpHttp => ["otlp", "http"],
            Self::Chat => ["chat_completions", "http"],
            Self::Scores => ["scores", "http"],
            Self::Documents => ["documents", "http"],
        }
    }
}

/// The metrics; clone it freely, all clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Families,
    spans: SignalMetrics,
    log_records: SignalMetrics,
    metric_points: SignalMetrics,
    scores: SignalMetrics,
    /// Attributes dropped because a later one of the same span had the same key.
    pub attributes_repeated: IntCounter,
    /// Texts with bytes that are not UTF-8, which are replaced.
    pub texts_mended: IntCounter,
    implausible: IntCounterVec,
    redacted: IntCounterVec,
    unpriced: IntCounterVec,
    /// Two that show unpriced calls at once would both add.
    showing: Arc<Mutex<()>>,
    /// Requests refused for who sent them.
    pub access: AccessMetrics,
    /// How long things take.
    pub latency: Latency,
    /// What this process takes of the machine.
    pub process: ProcessMetrics,
    /// The journal.
    pub journal: JournalMetrics,
    /// Span ids held to recognise repeats.
    pub dedup_spans: IntGauge,
    /// Bytes held by accepted spans and requests under way.
    pub queue_bytes: IntGauge,
    /// The limit of those bytes.
    pub queue_bytes_capacity: IntGauge,
    /// Inserts that ClickHouse confirmed.
    pub inserts: IntCounter,
    /// Inserts that failed and are repeated.
    pub insert_failures: IntCounter,
    /// Bytes of Native blocks that ClickHouse confirmed, before compression.
    pub insert_bytes: IntCounter,
    /// 1 while ClickHouse accepts inserts, 0 while it does not.
    pub clickhouse_up: IntGauge,
    clickhouse_endpoint_up: IntGaugeVec,
    /// Times the embedded ClickHouse was started again after it died.
    pub embedded_restarts: IntCounter,
    /// Chat-completions that joined a trace whose root was known.
    pub chat_joined: IntCounter,
    /// Changes of experiments and groups that are on disk and that ClickHouse does not have yet.
    pub experiments_waiting: IntGauge,
    /// Requests that can wait and were told to come again.
    pub put_off: IntCounter,
    /// Traces whose root is remembered for joining.
    pub traces_known: IntGauge,
    /// Joining chat-completions to roots that come later.
    pub join: JoinMetrics,
    /// Rows removed from the table because another report of their span stays.
    pub superseded: IntCounter,
    /// Counting calls and traces.
    pub rollup: RollupMetrics,
    /// Spans of Millrace's own work.
    pub own_spans: OwnSpans,
    /// Own traces or metrics that nobody took.
    pub export_failures: IntCounter,
}

const PUT_OFF: &str =
    "Requests that say that they can wait (imports) and were told to come again; none of their rows counts as refused.";
const INSERT_FAILURES: &str = "Inserts that failed; each is tried again.";
const EXPERIMENTS_WAITING: &str =
    "Changes of experiments and their groups that are on disk and that ClickHouse does not have yet.";
const OWN_SPANS_DROPPED: &str =
    "Spans of Millrace's own work that were not exported (telemetry.endpoint): too many at once, or nobody took them.";
const EXPORT_FAILURES: &str = "Exports of Millrace's own traces and metrics that telemetry.endpoint did not take.";

impl Metrics {
    /// Makes and registers every metric.
    ///
    /// # Errors
    /// If two metrics have one name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Families::default();
        let counter = |name: &str, help: &str| registered_counter(&registry, name, help);
        let counters = |name: &str, help: &str, label: &[&str]| registered_counters(&registry, name, help, label);
        let gauges = |name: &str, help: &str, label: &[&str]| registered_gauges(&registry, name, help, label);
        let gauge = |name: &str, help: &str| registered_gauge(&registry, name, help);
        Ok(Self {
            spans: SignalMetrics::registered(&registry, RowKind::Of(Signal::Traces))?,
            log_records: SignalMetrics::registered(&registry, RowKind::Of(Signal::Logs))?,
            metric_points: SignalMetrics::registered(&registry, RowKind::Of(Signal::Metrics))?,
            scores: SignalMetrics::registered(&registry, RowKind::Scores)?,
            attributes_repeated: counter(
                "millrace_attributes_repeated",
                "Attributes dropped because a later one of the same span had the same key.",
            )?,
            texts_mended: counter(
                "millrace_texts_mended",
                "Texts with bytes that are not UTF-8, or escapes of half a character, which became U+FFFD.",
            )?,
            implausible: counters(
                "millrace_implausible_values",
                "Calls with a value that cannot be true, by the rule that corrected or dropped it.",
                &["rule"],
            )?,
            redacted: counters(
                "millrace_redacted",
                "Texts taken out of requests before they were stored, by what found them.",
                &["rule"],
            )?,
            unpriced: counters(
                "millrace_unpriced_calls",
                "Calls of models without a given cost for which no price was found, by provider and model.",
                &["provider", "model"],
            )?,
            showing: Arc::default(),
            access: AccessMetrics::registered(&registry)?,
            latency: Latency::registered(&registry)?,
            process: ProcessMetrics::registered(&registry)?,
            journal: JournalMetrics::registered(&registry)?,
            dedup_spans: gauge("millrace_dedup_spans", "Span ids held to recognise repeats.")?,
            queue_bytes: gauge("otelcol_exporter_queue_size", "Bytes held by spans and requests under way.")?,
            queue_bytes_capacity: gauge("otelcol_exporter_queue_capacity", "Bytes that may be held (memory.limit).")?,
            inserts: counter("millrace_clickhouse_inserts", "Inserts that ClickHouse confirmed.")?,
            insert_failures: counter("millrace_clickhouse_insert_failures", INSERT_FAILURES)?,
            insert_bytes: counter(
                "millrace_clickhouse_insert_bytes",
                "Bytes of confirmed inserts as they were sent, most of them compressed.",
            )?,
            clickhouse_up: gauge("millrace_clickhouse_up", "1 while ClickHouse accepts inserts.")?,
            clickhouse_endpoint_up: gauges(
                "millrace_clickhouse_endpoint_up",
                "1 while an address in clickhouse.url answers; only where there are several.",
                &["url"],
            )?,
            embedded_restarts: counter("millrace_embedded_restarts", "Restarts of the embedded ClickHouse.")?,
            experiments_waiting: gauge("millrace_experiments_waiting", EXPERIMENTS_WAITING)?,
            put_off: counter("millrace_requests_put_off", PUT_OFF)?,
            chat_joined: counter("millrace_chat_joined", "Chat-completions stored as a child of a known root.")?,
            traces_known: gauge("millrace_traces_known", "Traces whose root is remembered for joining.")?,
            join: JoinMetrics::registered(&registry)?,
            rollup: RollupMetrics::registered(&registry)?,
            own_spans: OwnSpans::new(counter("millrace_telemetry_spans_dropped", OWN_SPANS_DROPPED)?),
            export_failures: counter("millrace_telemetry_export_failures", EXPORT_FAILURES)?,
            superseded: counter(
                "millrace_superseded_spans",
                "Stored spans removed from the table because another report of the same span says more.",
            )?,
            registry,
        })
    }

    /// Counts calls with a value that cannot be true.
    pub fn count_implausible(&self, rule: &str, calls: u64) {
        self.implausible.with_label_values(&[rule]).inc_by(calls);
    }

    /// Counts texts that were taken out of a request.
    pub fn count_redacted<'n>(&self, found: impl Iterator<Item = (&'n str, u64)>) {
        found.for_each(|(rule, texts)| self.redacted.with_label_values(&[rule]).inc_by(texts));
    }

    /// Shows how many calls had no price since the start: provider, model and count of each pair, of which there are few.
    pub fn show_unpriced(&self, counts: &[(String, String, u64)]) {
        let _alone = locked(&self.showing);
        for (provider, model, count) in counts {
            let shown = self.unpriced.with_label_values(&[provider, model]);
            shown.inc_by(count.saturating_sub(shown.get()));
        }
    }

    /// Counts an insert that ClickHouse confirmed.
    pub fn inserted(&self, bytes: usize, took: Duration) {
        self.inserts.inc();
        self.insert_bytes.inc_by(to_u64(bytes));
        latency::observe(&self.latency.insert, took);
    }

    /// Sets whether an endpoint of ClickHouse answers. Their number is bounded by the configuration.
    pub fn endpoint_up(&self, url: &str, is_up: bool) {
        self.clickhouse_endpoint_up.with_label_values(&[url]).set(i64::from(is_up));
    }

    /// What is counted of one kind of rows.
    #[must_use]
    pub fn of(&self, kind: impl Into<RowKind>) -> &SignalMetrics {
        match kind.into() {
            RowKind::Of(Signal::Traces) => &self.spans,
            RowKind::Of(Signal::Logs) => &self.log_records,
            RowKind::Of(Signal::Metrics) => &self.metric_points,
            RowKind::Scores => &self.scores,
        }
    }

    /// Rows of any kind that are not in ClickHouse yet.
    #[must_use]
    pub fn pending(&self) -> i64 {
        RowKind::ALL.iter().map(|kind| self.of(*kind).pending()).sum()
    }

    /// All metrics in the Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// If a metric cannot be written as text.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&with_old_names(self.gather()), &mut out)?;
        Ok(out)
    }

    /// All metrics as OpenMetrics 1.0, which the `prometheus` crate does not write.
    #[must_use]
    pub fn openmetrics(&self) -> String {
        openmetrics::page(&self.gather())
    }

    /// Every metric there is, by name, whether it has a value yet or not.
    #[must_use]
    pub fn described(&self) -> Vec<Described> {
        self.registry.described()
    }

    /// What is counted, as the pages show it.
    #[must_use]
    pub fn families(&self) -> Vec<MetricFamily> {
        self.gather()
    }

    fn gather(&self) -> Vec<MetricFamily> {
        self.process.look();
        // held until all are read: the law holds in what is shown
        let ledgers = RowKind::ALL.map(|kind| self.of(kind).show());
        let families = self.registry.gather();
        drop(ledgers);
        families
    }
}

/// The journal.
#[derive(Debug, Clone)]
pub struct JournalMetrics {
    /// Commits: each one write and one fsync for all that waited.
    pub commits: IntCounter,
    /// Calls of fsync.
    pub fsyncs: IntCounter,
    /// Bytes written.
    pub written_bytes: IntCounter,
    /// Segments that ClickHouse does not have yet.
    pub segments: IntGauge,
    /// Their bytes.
    pub bytes: IntGauge,
    /// Age of the oldest span that ClickHouse does not have yet.
    pub oldest_seconds: IntGauge,
    /// Bytes that may wait on disk.
    pub capacity_bytes: IntGauge,
    /// Bytes that are free on its file system.
    pub disk_free_bytes: IntGauge,
    set_aside: IntCounterVec,
    rows_lost: IntCounter,
    uncounted: IntCounter,
}

impl JournalMetrics {
    /// Counts a damaged file, and the spans lost with it.
    pub fn set_aside(&self, reason: &str, rows_lost: usize, is_exact: bool) {
        self.set_aside.with_label_values(&[reason]).inc();
        self.rows_lost.inc_by(to_u64(rows_lost));
        self.uncounted.inc_by(u64::from(!is_exact));
    }

    fn registered(registry: &Families) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| registered_counter(registry, name, help);
        let gauge = |name: &str, help: &str| registered_gauge(registry, name, help);
        Ok(Self {
            commits: counter("millrace_journal_commits", "Commits of the journal.")?,
            fsyncs: counter("millrace_journal_fsyncs", "Calls of fsync by the journal.")?,
            written_bytes: counter("millrace_journal_written_bytes", "Bytes that the journal wrote.")?,
            segments: gauge("millrace_journal_segments", "Segments that ClickHouse does not have yet.")?,
            bytes: gauge("millrace_journal_bytes", "Bytes that ClickHouse does not have yet.")?,
            oldest_seconds: gauge(
                "millrace_journal_oldest_seconds",
                "Age of the oldest span that ClickHouse does not have yet, 0 without one.",
            )?,
            capacity_bytes: gauge(
                "millrace_journal_capacity_bytes",
                "Bytes that may wait on disk (journal.max_bytes); at that, senders are told to try again.",
            )?,
            disk_free_bytes: gauge(
                "millrace_journal_disk_free_bytes",
                "Bytes that are free on the file system of the journal.",
            )?,
            set_aside: registered_counters(
                registry,
                "millrace_journal_set_aside",
                "Journal files set aside because they are damaged or unreadable.",
                &["reason"],
            )?,
            rows_lost: counter(
                "millrace_journal_spans_lost",
                "Acknowledged spans lost with files that were set aside.",
            )?,
            uncounted: counter(
                "millrace_journal_losses_uncounted",
                "Files set aside that may have lost more spans than were counted.",
            )?,
        })
    }
}

/// Counting calls and traces: what the roll-up tables hold.
#[derive(Debug, Clone)]
pub struct RollupMetrics {
    /// Visits of traces.
    pub visits: IntCounter,
    /// Rows written into the roll-up tables.
    pub rows: IntCounter,
    /// Rounds that failed.
    pub failures: IntCounter,
    /// Traces that changed and are not counted yet.
    pub backlog: IntGauge,
    /// For how long the first of them waits.
    pub lag_seconds: IntGauge,
    /// Hours that the walk has still to compare.
    pub hours_left: IntGauge,
    /// Days whose calls were summed.
    pub days_summed: IntCounter,
}

impl RollupMetrics {
    fn registered(registry: &Families) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| registered_counter(registry, name, help);
        let gauge = |name: &str, help: &str| registered_gauge(registry, name, help);
        Ok(Self {
            visits: counter("millrace_rollup_visits", "Traces that were read and counted.")?,
            rows: counter("millrace_rollup_rows", "Rows written into the roll-up tables.")?,
            failures: counter("millrace_rollup_failures", "Rounds of counting that failed; each is repeated.")?,
            backlog: gauge("millrace_rollup_backlog", "Traces that changed and are not counted yet.")?,
            lag_seconds: gauge(
                "millrace_rollup_lag_seconds",
                "For how long the first of them waits since its spans were stored, 0 without one.",
            )?,
            hours_left: gauge(
                "millrace_rollup_hours_left",
                "Hours whose stored spans are still to be compared with what was counted.",
            )?,
            days_summed: counter(
                "millrace_rollup_days_summed",
                "Days whose calls were summed, each as often as it changed and was quiet again.",
            )?,
        })
    }
}

/// Joining chat-completions to roots that come later.
#[derive(Debug, Clone)]
pub struct JoinMetrics {
    /// Rounds.
    pub rounds: IntCounter,
    /// Chat-completions that got parent or session in the table.
    pub joined: IntCounter,
    /// Rounds that failed.
    pub failures: IntCounter,
    /// Chat-completions in the table whose trace's root is not known.
    pub pending: IntGauge,
    /// Age of the oldest of them.
    pub oldest_seconds: IntGauge,
}

impl JoinMetrics {
    fn registered(registry: &Families) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| registered_counter(registry, name, help);
        let gauge = |name: &str, help: &str| registered_gauge(registry, name, help);
        Ok(Self {
            rounds: counter("millrace_join_rounds", "Rounds of joining chat-completions to roots that came later.")?,
            joined: counter(
                "millrace_join_joined",
                "Chat-completions that got parent or session after they were stored.",
            )?,
            failures: counter("millrace_join_failures", "Rounds of joining that failed; each is done again.")?,
            pending: gauge(
                "millrace_join_pending",
                "Chat-completions of the joiner's window whose trace has no root yet, when they were last counted.",
            )?,
            oldest_seconds: gauge(
                "millrace_join_oldest_seconds",
                "Time since the oldest of millrace_join_pending began, 0 without one.",
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn counted() -> Metrics {
        let metrics = Metrics::new().unwrap();
        let spans = metrics.of(Signal::Traces);
        spans.take(4);
        spans.accept(Receiver::OtlpGrpc, 3, 1);
        spans.reject(Receiver::OtlpGrpc, 5);
        spans.refuse(Receiver::Chat, 6);
        spans.settle(1, 1);
        metrics.of(Signal::Logs).take(2);
        metrics.journal.set_aside("damaged", 7, false);
        metrics
    }

    /// `MILLRACE_RENEW=1` writes the table anew.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "whoever runs the test says so")]
    fn the_page_of_metrics_has_every_metric() {
        let row = |Described { name, kind, labels, help }: &Described| {
            format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "))
        };
        let rows: String = Metrics::new().unwrap().described().iter().map(row).collect();
        let table = format!("| metric | type | labels | |\n| --- | --- | --- | --- |\n{rows}");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, there) = page.split_once("## Every metric\n\n").unwrap();
        if std::env::var_os("MILLRACE_RENEW").is_some() {
            std::fs::write(path, format!("{before}## Every metric\n\n{table}")).unwrap();
            return;
        }
        assert!(there == table, "docs/metrics.md: MILLRACE_RENEW=1 writes it; it should have\n{table}");
    }

    #[test]
    fn every_metric_is_registered_once_and_shown_from_the_start() {
        let text = String::from_utf8(counted().text().unwrap()).unwrap();
        assert!(
            text.contains("otelcol_receiver_accepted_spans_total{receiver=\"otlp\",transport=\"grpc\"} 3"),
            "{text}"
        );
        assert!(text.contains("otelcol_receiver_refused_spans_total{receiver=\"otlp\",transport=\"http\"} 0"));
        let line = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(&format!("millrace_spans_{name} ")));
            value.unwrap().parse::<i64>().unwrap()
        };
        let names =
            ["rejected_total", "refused_total", "duplicate_total", "stored_total", "dead_lettered_total", "pending"];
        assert_eq!((line("received_total"), names.map(line)), (15, [5, 6, 1, 1, 1, 1]));
    }

    /// The samples of a page by the family that its `# TYPE` line names, and what kind it is.
    fn families(text: &str) -> BTreeMap<String, (String, Vec<String>)> {
        let mut found: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
        for line in text.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                let earlier = found.insert(name.to_owned(), (kind.to_owned(), Vec::new()));
                assert_eq!(earlier, None, "{name} is there twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                // the samples of a histogram have names of their own
                let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let family = of_histogram.filter(|family| found.contains_key(*family)).unwrap_or(name);
                found.get_mut(family).unwrap().1.push(line.strip_prefix(name).unwrap().to_owned());
            }
        }
        found
    }

    #[test]
    fn every_counter_ends_in_total_and_has_the_same_values_under_its_old_name() {
        let text = String::from_utf8(counted().text().unwrap()).unwrap();
        let families = families(&text);
        let (mut counters, mut samples) = (0, 0);
        for (name, (kind, values)) in &families {
            assert!(!name.ends_with("_total_total"), "{name}");
            if kind != "counter" {
                assert!(!name.ends_with("_total"), "{name} is a {kind}");
                continue;
            }
            let (old, new) = match name.strip_suffix("_total") {
                Some(old) => (old.to_owned(), name.clone()),
                None => (name.clone(), format!("{name}_total")),
            };
            assert_eq!(families.get(&old), families.get(&new), "{old} and {new}");
            assert!(text.contains(&format!("# HELP {old} Deprecated: use {new}\n")), "{old}");
            (counters, samples) = (counters + 1, samples + values.len());
        }
        assert!(counters >= 44 && samples >= 60, "{counters} counters, {samples} samples");
    }
}
