//! The receivers: OTLP over gRPC, OTLP over HTTP, and captured calls. Each reads a request within its bounds, decodes it
//! straight into columns, hands the rows to the pipeline, and answers only after that.
//!
//! ```text
//! server.rs          :4318  the HTTP listener; its routes are those of otlp/ and chat/
//! otlp/grpc.rs       :4317  Export of the TraceService, LogsService and MetricsService
//! otlp/http.rs              /v1/{traces,logs,metrics}
//! chat/routes.rs            /apis/intake/v2/workspaces/{workspace}/ingest/{chat-completions,litellm,helicone}
//! documents.rs              .../ingest/{atif,spans}
//! scores/routes.rs          .../{annotations,evaluator-results,experiment-groups,experiments}
//!
//! Imports go one way:
//! server.rs  ->  otlp/, scores/, documents.rs, chat/  ->  experiments.rs, http/  ->  decoding.rs, capacity_wait.rs, quota.rs
//!                      '-> Ingest
//! ```

pub(crate) mod capacity_wait;
pub mod chat;
pub mod config;
pub mod content;
pub mod decoding;
pub mod documents;
pub mod experiments;
pub mod http;
pub mod otlp;
pub mod quota;
pub mod scores;
pub mod server;

use crate::access::Quotas;
use crate::columns::{RowGroup, Rows};
use crate::genai::prices::Prices;
use crate::pipeline::{IngestError, Origin, PendingAck, Pipeline, Reservation};
use crate::redaction::Redaction;
use crate::reloadable::Reloadable;
use crate::retention::{Cutoff, Retention};
use crate::telemetry::{Metrics, Receiver, RowKind, Signal};
use crate::time::{Clock, UnixNanos};
use crate::timestamps::{self, Budget, Window};
use crate::traces::Traces;
use crate::workspace::Workspace;
use content::ContentPolicy;
use std::sync::Arc;
use std::time::Instant;

/// What every receiver needs to hand rows over.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// How much each workspace may send.
    pub quotas: Quotas,
    /// Where rows go.
    pub pipeline: Pipeline,
    /// Roots seen lately.
    pub traces: Traces,
    /// What is counted.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
    /// How long spans are kept: older ones are rejected.
    pub retention: Reloadable<Retention>,
    /// When spans may begin.
    pub timestamps: timestamps::Config,
    /// On how many days.
    pub days: Arc<Budget>,
    /// What calls cost whose sender does not say.
    pub prices: Reloadable<Option<Prices>>,
    /// Whether prompts and answers are kept.
    pub content: Reloadable<ContentPolicy>,
    /// What is taken out of requests before anything else is done with them.
    pub redaction: Reloadable<Redaction>,
}

/// When the rows of a request may be of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) now: UnixNanos,
    pub(crate) cutoff: Option<Cutoff>,
    pub(crate) window: Window,
}

impl Ingest {
    /// The times that rows may have of a request that arrives now.
    pub(crate) fn times(&self, signal: Signal, workspace: &Workspace) -> Times {
        let now = self.clock.now();
        let cutoff = self.retention.now().cutoff_of(signal, workspace, now);
        Times { now, cutoff, window: self.timestamps.window(now) }
    }

    /// Hands rows over, unless they begin on more days than are admitted now.
    pub(crate) fn send(
        &self,
        rows: impl Into<Rows>,
        reservation: Reservation,
        origin: Origin,
    ) -> Result<PendingAck, IngestError> {
        let mut rows = rows.into();
        self.content.now().apply(&mut rows, &origin.workspace);
        self.admit_days(rows.days())?;
        let implausible = rows.spans().map(RowGroup::implausible);
        self.quotas.charge_rows(&origin.workspace, rows.rows());
        let pending = self.pipeline.send(rows, reservation, origin)?;
        let rules = implausible.unwrap_or_default();
        rules.iter().for_each(|(rule, calls)| self.metrics.count_implausible(rule.name(), calls));
        Ok(pending)
    }

    fn admit_days(&self, days: &[i64]) -> Result<(), IngestError> {
        self.days.admit(days, self.clock.now().day(), Instant::now()).map_err(|why| {
            if why.is_news {
                tracing::warn!(%why, "refusing spans that begin on further days");
            }
            IngestError::ManyDays
        })
    }

    /// Counts rows that were not stored: as refused if their sender should try again, else as rejected.
    pub(crate) fn count_failed(
        &self,
        (kind, receiver): (impl Into<RowKind>, Receiver),
        rows: usize,
        is_retryable: bool,
    ) {
        if is_retryable {
            self.metrics.of(kind).refuse(receiver, rows);
        } else {
            self.metrics.of(kind).reject(receiver, rows);
        }
    }
}
