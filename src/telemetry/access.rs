//! What is counted of requests that are refused for who sends them.

use super::families::{Families, registered_counters};
use prometheus::IntCounterVec;

/// Refused requests, by reason.
#[derive(Debug, Clone)]
pub struct AccessMetrics {
    refused: IntCounterVec,
}

impl AccessMetrics {
    pub(super) fn registered(registry: &Families) -> Result<Self, prometheus::Error> {
        Ok(Self {
            refused: registered_counters(
                registry,
                "millrace_auth_refused",
                "Requests refused for who sent them, by reason: missing, malformed, unknown, expired, scope, workspace.",
                &["reason"],
            )?,
        })
    }

    /// Counts one.
    pub fn count(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}
