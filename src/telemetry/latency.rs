//! How long things take: the histograms.

use super::families::{Families, registered_histogram, registered_histograms};
use prometheus::Histogram;
use std::time::{Duration, Instant};

/// Bounds of all histograms, in seconds: from an fsync of a fast disk to the longest that a statement may take.
const BUCKETS: [f64; 16] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Times; clones count together.
#[derive(Debug, Clone)]
pub struct Latency {
    /// From a request's rows being decoded to its acknowledgement from memory.
    pub acknowledged_memory: Histogram,
    /// The same from the disk.
    pub acknowledged_durable: Histogram,
    /// The same from ClickHouse.
    pub acknowledged_stored: Histogram,
    /// One fsync of a commit.
    pub fsync: Histogram,
    /// One insert that ClickHouse confirmed.
    pub insert: Histogram,
    /// One statement that reads.
    pub query_read: Histogram,
    /// One statement that changes something.
    pub query_change: Histogram,
}

impl Latency {
    pub(super) fn registered(registry: &Families) -> Result<Self, prometheus::Error> {
        let acknowledged = registered_histograms(
            registry,
            "millrace_acknowledgement_seconds",
            "Time from a request's rows being decoded to its acknowledgement, by what that rests on (memory, durable, stored).",
            &["ack"],
            &BUCKETS,
        )?;
        let query = registered_histograms(
            registry,
            "millrace_clickhouse_query_seconds",
            "Time of Millrace's own statements in ClickHouse that succeeded, inserts of rows left out (read, change).",
            &["kind"],
            &BUCKETS,
        )?;
        Ok(Self {
            acknowledged_memory: acknowledged.with_label_values(&["memory"]),
            acknowledged_durable: acknowledged.with_label_values(&["durable"]),
            acknowledged_stored: acknowledged.with_label_values(&["stored"]),
            fsync: registered_histogram(
                registry,
                "millrace_journal_fsync_seconds",
                "Time of the fsync of a commit to the journal.",
                &BUCKETS,
            )?,
            insert: registered_histogram(
                registry,
                "millrace_clickhouse_insert_seconds",
                "Time of an insert until ClickHouse confirmed it.",
                &BUCKETS,
            )?,
            query_read: query.with_label_values(&["read"]),
            query_change: query.with_label_values(&["change"]),
        })
    }
}

/// Counts a time.
pub fn observe(histogram: &Histogram, took: Duration) {
    histogram.observe(took.as_secs_f64());
}

/// A time under way, which is counted only if it ends well.
#[derive(Debug)]
pub struct Timer {
    histogram: Histogram,
    began: Instant,
}

impl Timer {
    /// Begins now.
    #[must_use]
    pub fn start(histogram: &Histogram) -> Self {
        Self { histogram: histogram.clone(), began: Instant::now() }
    }

    /// Ends now.
    pub fn done(self) {
        observe(&self.histogram, self.began.elapsed());
    }
}
