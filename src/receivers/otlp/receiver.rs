//! A request of spans becomes rows and waits for them to be where its sender wants them: what OTLP over gRPC and over HTTP share.

use crate::numbers::to_u64;
use crate::otlp::json::JsonError;
use crate::otlp::{self, DecodeError, Decoded, Encoding, Limits};
use crate::pipeline::{Ack, IngestError, Origin, PendingAck, Receipt, Reservation};
use crate::receivers::decoding::{BATCH_BYTES_MAX, SMALL_BYTES_MAX};
use crate::receivers::http::body::BodyReader;
use crate::receivers::{Ingest, Times};
use crate::telemetry::{Receiver, Signal};
use crate::traces::KnownRoot;
use crate::workspace::Workspace;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Receives spans from one listener.
#[derive(Debug)]
pub struct OtlpReceiver {
    /// Where rows go.
    pub ingest: Arc<Ingest>,
    /// Reads requests.
    pub bodies: BodyReader,
    /// Which of the two it is.
    pub receiver: Receiver,
    /// What an answer waits for, unless the request asks for more.
    pub ack: Ack,
    /// A span that was accepted within this time before is a repeat.
    pub dedup_window: Duration,
    /// What one request may contain.
    pub limits: Limits,
}

/// A request whose spans are on their way.
pub(crate) struct QueuedExport {
    spans: usize,
    rejected: usize,
    reasons: Vec<String>,
    pending: PendingAck,
}

/// How many spans of a request were rejected, after the others were acknowledged.
pub(crate) struct ExportSummary {
    pub(crate) rejected: usize,
    reasons: Vec<String>,
    _receipt: Receipt,
}

/// No span of a request was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

impl ExportError {
    /// Whether the sender should try again.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Self::Ingest(reason) if reason.is_retryable())
    }

    pub(crate) fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Ingest(IngestError::NeverFits { .. })
                | Self::Malformed(DecodeError::TooLarge { .. } | DecodeError::TooMany { .. })
        )
    }
}

impl OtlpReceiver {
    /// Decodes a request and queues its rows. A large request is decoded on a thread, after memory for its rows was reserved.
    pub(crate) async fn queue(
        self: &Arc<Self>,
        (workspace, ack): (Workspace, Ack),
        request: Bytes,
        encoding: Encoding,
        mut reservation: Reservation,
    ) -> Result<QueuedExport, ExportError> {
        // about as many bytes of rows; JSON is turned into protobuf first
        let (small_bytes_max, copies) = match encoding {
            Encoding::Json => (SMALL_BYTES_MAX, 2),
            Encoding::Protobuf => (BATCH_BYTES_MAX, 1),
        };
        let is_small = request.len() <= small_bytes_max;
        if !is_small {
            let grown = reservation.grow_within_all(request.len().saturating_mul(copies), 0);
            grown.inspect_err(|why| self.ingest.count_failed((Signal::Traces, self.receiver), 1, why.is_retryable()))?;
        }
        let receiver = Arc::clone(self);
        let work = move |_: &_| receiver.decode_and_send(&workspace, ack, &request, encoding, reservation);
        self.bodies.decode_pool.run(is_small, work).await
    }

    fn decode_and_send(
        &self,
        workspace: &Workspace,
        ack: Ack,
        request: &[u8],
        encoding: Encoding,
        reservation: Reservation,
    ) -> Result<QueuedExport, ExportError> {
        let Ingest { metrics, traces, .. } = &*self.ingest;
        let decoded = self.decode(request, encoding, workspace).inspect_err(|_| metrics.of(Signal::Traces).reject(self.receiver, 1))?;
        let Decoded { rows, rejected, reasons, roots, attributes_repeated } = decoded;
        let spans = rows.rows();
        let pending = if spans == 0 {
            PendingAck::of_nothing()
        } else {
            let (receiver, dedup_window) = (self.receiver, self.dedup_window);
            let origin = Origin { workspace: workspace.clone(), receiver, ack, dedup_window, is_keyed: false };
            let sent = self.ingest.send(rows, reservation, origin);
            sent.inspect_err(|why| self.ingest.count_failed((Signal::Traces, receiver), spans, why.is_retryable()))?
        };
        metrics.of(Signal::Traces).reject(self.receiver, rejected);
        metrics.attributes_repeated.inc_by(to_u64(attributes_repeated));
        for root in roots {
            traces.remember(
                workspace,
                root.trace_id,
                KnownRoot::new(root.span_id, root.start, root.session.as_deref()),
            );
        }
        Ok(QueuedExport { spans, rejected, reasons, pending })
    }

    /// Waits until the spans are where their sender wants them. The request was dropped before: only its rows hold memory.
    pub(crate) async fn acked(&self, queued: QueuedExport) -> Result<ExportSummary, ExportError> {
        let QueuedExport { spans, rejected, reasons, pending } = queued;
        match pending.acked().await {
            Ok(receipt) => Ok(ExportSummary { rejected, reasons, _receipt: receipt }),
            Err(why) => {
                self.ingest.count_failed((Signal::Traces, self.receiver), spans, why.is_retryable());
                Err(why.into())
            }
        }
    }

    fn decode(&self, request: &[u8], encoding: Encoding, workspace: &Workspace) -> Result<Decoded, ExportError> {
        let rows = self.ingest.pipeline.rows_for(request.len(), workspace);
        let Times { cutoff, window, .. } = self.ingest.times(workspace);
        let limits = Limits { cutoff, window: Some(window), ..self.limits };
        let prices = self.ingest.prices.as_deref();
        match encoding {
            Encoding::Protobuf => Ok(otlp::decode_priced(request, encoding, rows, &limits, prices)?),
            Encoding::Json => Ok(otlp::transcode_traces(request, limits.depth)?.decode_priced(rows, &limits, prices)?),
        }
    }
}

impl ExportSummary {
    /// The message of a partial success; empty if no span was rejected.
    pub(crate) fn message(&self) -> String {
        let reasons = self.reasons.join("; ");
        match (self.rejected, self.reasons.len()) {
            (0, _) => String::new(),
            (1, _) => format!("1 span rejected: {reasons}"),
            (rejected, shown) if rejected > shown => {
                format!("{rejected} spans rejected: {reasons}; and {} more", rejected - shown)
            }
            (rejected, _) => format!("{rejected} spans rejected: {reasons}"),
        }
    }
}
