//! What is counted of requests that are refused for who sends them, or for how much they send.

use super::families::{Families, registered_counters};
use crate::locks::locked;
use prometheus::IntCounterVec;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// Workspaces that have a label of their own; those beyond share one. Senders may choose their names.
const WORKSPACES_MAX: usize = 1_000;
/// The label of those beyond; no workspace can have this name.
const OTHERS: &str = "(others)";

/// Refused requests, by reason, and by workspace and quota.
#[derive(Debug, Clone)]
pub struct AccessMetrics {
    refused: IntCounterVec,
    over_quota: IntCounterVec,
    workspaces: Arc<Mutex<HashSet<String>>>,
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
            over_quota: registered_counters(
                registry,
                "millrace_quota_refused",
                "Requests and records told to try again because their workspace is over a quota.",
                &["workspace", "quota"],
            )?,
            workspaces: Arc::default(),
        })
    }

    /// Counts a request that is refused for who sent it.
    pub fn count(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Counts one that is refused for how much its workspace sends.
    pub fn count_over_quota(&self, workspace: &str, quota: &str) {
        let mut known = locked(&self.workspaces);
        let is_known = known.contains(workspace) || known.len() < WORKSPACES_MAX && known.insert(workspace.to_owned());
        drop(known);
        self.over_quota.with_label_values(&[if is_known { workspace } else { OTHERS }, quota]).inc();
    }
}
