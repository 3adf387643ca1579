//! What is counted of each signal: how rows came in, and what became of them.
//!
//! ```text
//! received = rejected + refused + duplicate + stored + dead_lettered + pending
//! ```

use super::Receiver;
use super::families::{Families, registered_counter, registered_counters, registered_gauge};
use crate::locks::locked;
use crate::numbers::to_u64;
use prometheus::{IntCounter, IntGauge};
use std::sync::{Arc, Mutex, MutexGuard};

/// A signal of OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Its rows are spans.
    Traces,
    /// Its rows are log records.
    Logs,
    /// Its rows are data points.
    Metrics,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// What its rows are called in the names of metrics, as the Collector has them.
    #[must_use]
    pub fn rows_name(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "log_records",
            Self::Metrics => "metric_points",
        }
    }

    /// What they are called in a sentence.
    #[must_use]
    pub fn rows_words(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "log records",
            Self::Metrics => "data points",
        }
    }

    /// What one of them is called in a sentence.
    #[must_use]
    pub fn row_word(self) -> &'static str {
        match self {
            Self::Traces => "span",
            Self::Logs => "log record",
            Self::Metrics => "data point",
        }
    }
}

/// What rows are: those of a signal, or scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Rows of a signal of OTLP.
    Of(Signal),
    /// Annotations and evaluator results.
    Scores,
}

impl RowKind {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Of(Signal::Traces), Self::Of(Signal::Logs), Self::Of(Signal::Metrics), Self::Scores];

    /// As [`Signal::rows_name`].
    #[must_use]
    pub fn rows_name(self) -> &'static str {
        match self {
            Self::Of(signal) => signal.rows_name(),
            Self::Scores => "scores",
        }
    }

    /// As [`Signal::rows_words`].
    #[must_use]
    pub fn rows_words(self) -> &'static str {
        match self {
            Self::Of(signal) => signal.rows_words(),
            Self::Scores => "scores",
        }
    }

    /// As [`Signal::row_word`].
    #[must_use]
    pub fn row_word(self) -> &'static str {
        match self {
            Self::Of(signal) => signal.row_word(),
            Self::Scores => "score",
        }
    }
}

impl From<Signal> for RowKind {
    fn from(signal: Signal) -> Self {
        Self::Of(signal)
    }
}

/// The counters of one kind of rows; clones count together.
#[derive(Debug, Clone)]
pub struct SignalMetrics {
    accepted: ByReceiver,
    refused: ByReceiver,
    rejected: ByReceiver,
    repeated: ByReceiver,
    ledger: Arc<Mutex<Counts>>,
    law: Law,
    sent: IntCounter,
}

impl SignalMetrics {
    pub(super) fn registered(registry: &Families, kind: RowKind) -> Result<Self, prometheus::Error> {
        let (name, words) = (kind.rows_name(), capitalized(kind.rows_words()));
        let by_receiver = |prefix: &str, help: &str| {
            ByReceiver::registered(registry, &format!("{prefix}_{name}"), &format!("{words} {help}"))
        };
        Ok(Self {
            accepted: by_receiver("otelcol_receiver_accepted", "acknowledged to their sender.")?,
            refused: by_receiver(
                "otelcol_receiver_refused",
                "answered with 'try again': nothing of them was kept. A request refused before it was read counts as 1.",
            )?,
            rejected: by_receiver(
                "millrace_receiver_rejected",
                "that are malformed, named in the answer to their sender. A request that cannot be read counts as 1.",
            )?,
            repeated: by_receiver(
                "millrace_receiver_duplicate",
                "that were accepted before: acknowledged again, not stored again.",
            )?,
            ledger: Arc::default(),
            law: Law::registered(registry, name, &words)?,
            sent: registered_counter(
                registry,
                &format!("otelcol_exporter_sent_{name}"),
                &format!("{words} that ClickHouse confirmed."),
            )?,
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Counts> {
        locked(&self.ledger)
    }

    /// Shows the terms of the law, which do not change while the result is held.
    pub(super) fn show(&self) -> MutexGuard<'_, Counts> {
        let ledger = self.ledger();
        self.law.show(&ledger);
        ledger
    }

    /// Rows that are not in ClickHouse yet.
    #[must_use]
    pub fn pending(&self) -> i64 {
        self.ledger().pending
    }

    /// Counts rows that came in and are now pending.
    pub fn take(&self, rows: usize) {
        let mut ledger = self.ledger();
        ledger.received += to_u64(rows);
        ledger.pending += signed(rows);
    }

    /// Reverts a [`take`](Self::take): its caller will be told to try again, which is counted then.
    pub fn untake(&self, rows: usize) {
        let mut ledger = self.ledger();
        debug_assert!(ledger.received >= to_u64(rows), "what is taken back was taken");
        ledger.received = ledger.received.saturating_sub(to_u64(rows));
        ledger.pending -= signed(rows);
    }

    /// Counts rows of an earlier run that still wait for ClickHouse.
    pub fn recover(&self, rows: usize) {
        self.take(rows);
    }

    /// Counts rows that are committed: `new` ones, and those that were accepted before.
    pub fn accept(&self, receiver: Receiver, new: usize, repeated: usize) {
        self.accepted.of(receiver).inc_by(to_u64(new));
        if repeated > 0 {
            self.repeated.of(receiver).inc_by(to_u64(repeated));
            let mut ledger = self.ledger();
            ledger.duplicate += to_u64(repeated);
            ledger.pending -= signed(repeated);
        }
    }

    /// Counts rows (or a request that was not read) that were answered with "try again".
    pub fn refuse(&self, receiver: Receiver, rows: usize) {
        self.refused.of(receiver).inc_by(to_u64(rows));
        let mut ledger = self.ledger();
        ledger.received += to_u64(rows);
        ledger.refused += to_u64(rows);
    }

    /// Counts rows (or a request that could not be read) that are malformed.
    pub fn reject(&self, receiver: Receiver, rows: usize) {
        if rows == 0 {
            return;
        }
        self.rejected.of(receiver).inc_by(to_u64(rows));
        let mut ledger = self.ledger();
        ledger.received += to_u64(rows);
        ledger.rejected += to_u64(rows);
    }

    /// Counts rows that ended: stored in ClickHouse, or dead letters.
    pub fn settle(&self, stored: usize, dead: usize) {
        self.sent.inc_by(to_u64(stored));
        let mut ledger = self.ledger();
        ledger.stored += to_u64(stored);
        ledger.dead_lettered += to_u64(dead);
        ledger.pending -= signed(stored) + signed(dead);
    }
}

fn capitalized(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// A counter for each receiver.
#[derive(Debug, Clone)]
struct ByReceiver {
    otlp_grpc: IntCounter,
    otlp_http: IntCounter,
    chat: IntCounter,
    scores: IntCounter,
    documents: IntCounter,
}

impl ByReceiver {
    fn registered(registry: &Families, name: &str, help: &str) -> Result<Self, prometheus::Error> {
        let metric = registered_counters(registry, name, help, &["receiver", "transport"])?;
        let of = |receiver: Receiver| metric.with_label_values(&receiver.labels());
        Ok(Self {
            otlp_grpc: of(Receiver::OtlpGrpc),
            otlp_http: of(Receiver::OtlpHttp),
            chat: of(Receiver::Chat),
            scores: of(Receiver::Scores),
            documents: of(Receiver::Documents),
        })
    }

    fn of(&self, receiver: Receiver) -> &IntCounter {
        match receiver {
            Receiver::OtlpGrpc => &self.otlp_grpc,
            Receiver::OtlpHttp => &self.otlp_http,
            Receiver::Chat => &self.chat,
            Receiver::Scores => &self.scores,
            Receiver::Documents => &self.documents,
        }
    }
}

/// The rows of the law, moved between its terms under one lock.
#[derive(Debug, Default)]
pub(super) struct Counts {
    received: u64,
    rejected: u64,
    refused: u64,
    duplicate: u64,
    stored: u64,
    dead_lettered: u64,
    pending: i64,
}

#[derive(Debug, Clone)]
struct Law {
    received: IntCounter,
    rejected: IntCounter,
    refused: IntCounter,
    duplicate: IntCounter,
    stored: IntCounter,
    dead_lettered: IntCounter,
    pending: IntGauge,
}

impl Law {
    fn registered(registry: &Families, name: &str, words: &str) -> Result<Self, prometheus::Error> {
        let counter = |term: &str, help: &str| {
            registered_counter(registry, &format!("millrace_{name}_{term}"), &format!("{words} {help}"))
        };
        Ok(Self {
            received: counter("received", "received, whatever became of them.")?,
            rejected: counter("rejected", "that are malformed.")?,
            refused: counter("refused", "answered with 'try again'.")?,
            duplicate: counter("duplicate", "that were accepted before.")?,
            stored: counter("stored", "that ClickHouse confirmed.")?,
            dead_lettered: counter(
                "dead_lettered",
                "that ClickHouse rejects for good, kept as dead letters, or lost to a damaged disk.",
            )?,
            pending: registered_gauge(
                registry,
                &format!("millrace_{name}_pending"),
                &format!("{words} received and not yet in ClickHouse."),
            )?,
        })
    }

    fn show(&self, counts: &Counts) {
        let shown = [
            (&self.received, counts.received),
            (&self.rejected, counts.rejected),
            (&self.refused, counts.refused),
            (&self.duplicate, counts.duplicate),
            (&self.stored, counts.stored),
            (&self.dead_lettered, counts.dead_lettered),
        ];
        for (counter, now) in shown {
            counter.reset();
            counter.inc_by(now);
        }
        self.pending.set(counts.pending);
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
