//! A request of any signal becomes rows and waits for them to be where its sender wants them: what OTLP over gRPC and over HTTP share.

use super::destination::Destination;
use super::error::ExportError;
use crate::access::{Gate, OverQuota, Principal};
use crate::columns::Rows;
use crate::numbers::to_u64;
use crate::otlp::json::JSON_GROWS_AT_MOST;
use crate::otlp::{self, Decoded, DecodedRecords, Encoding, Limits, Root, Signal, Transcoded};
use crate::pipeline::{Ack, Origin, PendingAck, Receipt, Reservation};
use crate::receivers::decoding::{BATCH_BYTES_MAX, SMALL_BYTES_MAX};
use crate::receivers::http::body::BodyReader;
use crate::receivers::http::headers::{Unfit, workspace};
use crate::receivers::{Ingest, Times};
use crate::telemetry::{Receiver, RowKind};
use crate::text::take_mended;
use crate::traces::KnownRoot;
use crate::workspace::Workspace;
use axum::http::HeaderMap;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Receives OTLP from one listener.
#[derive(Debug)]
pub struct OtlpReceiver {
    /// Who may send.
    pub gate: Gate,
    /// Where rows go.
    pub ingest: Arc<Ingest>,
    /// The resource attribute that names the workspace, if nothing else does.
    pub workspace_attribute: Option<Arc<str>>,
    /// Reads requests.
    pub bodies: BodyReader,
    /// Which of the two it is.
    pub receiver: Receiver,
    /// What an answer waits for, unless the request asks for more.
    pub ack: Ack,
    /// What was accepted within this time before is a repeat.
    pub dedup_window: Duration,
    /// What one request may contain.
    pub limits: Limits,
}

/// A request whose rows are on their way.
pub(crate) struct QueuedExport {
    signal: Signal,
    /// Of each table that it has rows for: how many, of which kind, and their acknowledgement.
    pending: Vec<(usize, RowKind, PendingAck)>,
    rejected: usize,
    reasons: Vec<String>,
}

/// How many items of a request were rejected, after the others were acknowledged.
pub(crate) struct ExportSummary {
    pub(crate) signal: Signal,
    pub(crate) rejected: usize,
    reasons: Vec<String>,
    _receipts: Vec<Receipt>,
}

/// What a request became, whatever its signal.
#[derive(Default)]
struct Parsed {
    /// One for each table that it has rows for.
    rows: Vec<Rows>,
    rejected: usize,
    reasons: Vec<String>,
    roots: Vec<Root>,
    attributes_repeated: usize,
}

impl OtlpReceiver {
    /// Where the rows of a request go.
    ///
    /// # Errors
    /// If its headers name what cannot be, or its sender may not write there.
    pub(crate) fn destination(&self, headers: &HeaderMap, principal: Principal) -> Result<Destination, Unfit> {
        match workspace(headers, &principal)? {
            Some(workspace) => Ok(Destination::One(workspace)),
            None if self.workspace_attribute.is_some() => Ok(Destination::Named(principal)),
            None => {
                let workspace = Workspace::default();
                principal.is_in(workspace.as_str())?;
                Ok(Destination::One(workspace))
            }
        }
    }

    /// Takes a request into its workspace, if that is known before it is read.
    ///
    /// # Errors
    /// If the workspace has used too much.
    pub(crate) fn admit(&self, destination: &Destination) -> Result<(), OverQuota> {
        destination.workspace().map_or(Ok(()), |workspace| self.ingest.quotas.admit(workspace))
    }

    /// So many bytes were read of a request.
    pub(crate) fn charge_bytes(&self, destination: &Destination, bytes: usize) {
        if let Some(workspace) = destination.workspace() {
            self.ingest.quotas.charge_bytes(workspace, bytes);
        }
    }

    /// Decodes a request and queues its rows. A large request is decoded on a thread, after memory for its rows was reserved.
    pub(crate) async fn queue(
        self: &Arc<Self>,
        signal: Signal,
        (destination, ack): (Destination, Ack),
        request: Bytes,
        encoding: Encoding,
        mut reservation: Reservation,
    ) -> Result<QueuedExport, ExportError> {
        // about as many bytes of rows; JSON is turned into protobuf first, where lists of numbers take more
        let (small_bytes_max, copies) = match (encoding, signal) {
            (Encoding::Json, Signal::Metrics) => (SMALL_BYTES_MAX, 1 + JSON_GROWS_AT_MOST),
            (Encoding::Json, Signal::Traces | Signal::Logs) => (SMALL_BYTES_MAX, 2),
            (Encoding::Protobuf, _) => (BATCH_BYTES_MAX, 1),
        };
        let is_small = request.len() <= small_bytes_max;
        // what is taken out is taken out of a copy
        let copies = copies + destination.copies(&self.ingest.redaction.now());
        if !is_small {
            let grown = reservation.grow_within_all(request.len().saturating_mul(copies), 0);
            grown.inspect_err(|why| self.count_failed(signal, 1, why.is_retryable()))?;
        }
        let (receiver, is_named) = (Arc::clone(self), destination.workspace().is_none());
        let work = move |_: &_| {
            let parts = destination.parts(signal, &request, encoding, receiver.workspace_attribute.as_deref());
            let parts = parts.inspect_err(|error| {
                receiver.count_failed(signal, 1, false);
                if let ExportError::Denied(denied) = error {
                    receiver.gate.note(*denied, None, signal.path(), None);
                }
            })?;
            if is_named {
                receiver.admit_parts(signal, &parts)?;
            }
            receiver.queue_parts(signal, ack, encoding, parts, reservation)
        };
        self.bodies.decode_pool.run(is_small, work).await
    }

    /// Counts items, or a request that was not read, as refused or rejected.
    pub(crate) fn count_failed(&self, kind: impl Into<RowKind>, items: usize, is_retryable: bool) {
        self.ingest.count_failed((kind, self.receiver), items, is_retryable);
    }

    /// Takes the parts of a request into the quotas of their workspaces, which were not known before it was read.
    fn admit_parts(&self, signal: Signal, parts: &[(Workspace, Cow<'_, [u8]>)]) -> Result<(), ExportError> {
        for (workspace, request) in parts {
            let admitted = self.ingest.quotas.admit(workspace);
            admitted.inspect_err(|_| self.count_failed(signal, 1, true))?;
            self.ingest.quotas.charge_bytes(workspace, request.len());
        }
        Ok(())
    }

    /// Queues the rows of each part in its workspace. When one is refused, those before it are stored all the same: the sender tries again,
    /// and they are repeats then.
    fn queue_parts(
        &self,
        signal: Signal,
        ack: Ack,
        encoding: Encoding,
        parts: Vec<(Workspace, Cow<'_, [u8]>)>,
        mut reservation: Reservation,
    ) -> Result<QueuedExport, ExportError> {
        let mut all = QueuedExport { signal, pending: Vec::new(), rejected: 0, reasons: Vec::new() };
        let mut left = parts.len();
        for (workspace, request) in parts {
            left -= 1;
            let parsed = self.parse(signal, &request, encoding, &workspace);
            let parsed = parsed.inspect_err(|_| self.count_failed(signal, 1, false))?;
            // the last gets all that is left
            let reserved = if left == 0 { reservation.take() } else { reservation.split_entry(request.len()) };
            let mut queued = self.send(signal, (&workspace, ack), parsed, reserved)?;
            all.pending.append(&mut queued.pending);
            all.rejected += queued.rejected;
            all.reasons.append(&mut queued.reasons);
        }
        Ok(all)
    }

    fn send(
        &self,
        signal: Signal,
        (workspace, ack): (&Workspace, Ack),
        parsed: Parsed,
        reservation: Reservation,
    ) -> Result<QueuedExport, ExportError> {
        let Ingest { metrics, traces, .. } = &*self.ingest;
        let Parsed { rows, rejected, reasons, roots, attributes_repeated } = parsed;
        let pending = self.send_rows((workspace, ack), rows, reservation)?;
        metrics.of(signal).reject(self.receiver, rejected);
        metrics.attributes_repeated.inc_by(to_u64(attributes_repeated));
        for root in roots {
            traces.remember(
                workspace,
                root.trace_id,
                KnownRoot::new(root.span_id, root.start, root.session.as_deref()),
            );
        }
        Ok(QueuedExport { signal, pending, rejected, reasons })
    }

    /// Queues the rows of each table. When some are refused, those before them are stored all the same: the sender tries again, and
    /// they are repeats then.
    fn send_rows(
        &self,
        (workspace, ack): (&Workspace, Ack),
        rows: Vec<Rows>,
        mut reservation: Reservation,
    ) -> Result<Vec<(usize, RowKind, PendingAck)>, ExportError> {
        let (mut pending, mut refused) = (Vec::with_capacity(rows.len()), None);
        let count = |rows: &Rows| (rows.rows(), rows.table().row_kind());
        if rows.len() > 1 {
            refused = reservation.fit(rows.iter().map(Rows::counted_bytes)).err();
        }
        let mut left = rows.len();
        for rows in rows {
            left -= 1;
            let (items, kind) = count(&rows);
            let origin = Origin {
                workspace: workspace.clone(),
                receiver: self.receiver,
                ack,
                dedup_window: self.dedup_window,
                is_keyed: false,
            };
            // the last gets all that is left: the largest request has all there is
            let reserved = if left == 0 { reservation.take() } else { reservation.split_entry(rows.counted_bytes()) };
            let sent = match refused {
                None => self.ingest.send(rows, reserved, origin),
                Some(why) => Err(why),
            };
            match sent {
                Ok(acknowledgement) => pending.push((items, kind, acknowledgement)),
                Err(why) => {
                    self.count_failed(kind, items, why.is_retryable());
                    refused = Some(why);
                }
            }
        }
        refused.map_or(Ok(pending), |why| Err(why.into()))
    }

    /// Waits until the rows are where their sender wants them. The request was dropped before: only its rows hold memory.
    pub(crate) async fn acked(&self, queued: QueuedExport) -> Result<ExportSummary, ExportError> {
        let QueuedExport { signal, pending, rejected, reasons } = queued;
        let (mut receipts, mut failed) = (Vec::with_capacity(pending.len()), None);
        for (items, of_rows, pending) in pending {
            match pending.acked().await {
                Ok(receipt) => receipts.push(receipt),
                Err(why) => {
                    self.count_failed(of_rows, items, why.is_retryable());
                    failed = Some(why);
                }
            }
        }
        match failed {
            None => Ok(ExportSummary { signal, rejected, reasons, _receipts: receipts }),
            Some(why) => Err(why.into()),
        }
    }

    fn parse(
        &self,
        signal: Signal,
        request: &[u8],
        encoding: Encoding,
        workspace: &Workspace,
    ) -> Result<Parsed, ExportError> {
        let Times { cutoff, window, .. } = self.ingest.times(signal, workspace);
        let cutoff_of_spans = match signal {
            Signal::Logs => self.ingest.times(Signal::Traces, workspace).cutoff,
            Signal::Traces | Signal::Metrics => cutoff,
        };
        let limits = Limits { cutoff, window: Some(window), cutoff_of_spans, ..self.limits };
        // of requests on this thread that were not read to their end
        let _of_others = take_mended();
        let request = self.readable(signal, (request, encoding), workspace)?;
        let parsed = match signal {
            Signal::Traces => self.spans(&request, workspace, &limits),
            Signal::Logs => self.log_records(&request, workspace, &limits),
            Signal::Metrics => data_points(&request, workspace, &limits),
        };
        self.ingest.metrics.texts_mended.inc_by(take_mended());
        parsed
    }

    /// The request in protobuf, without what is secret in it.
    fn readable<'r>(
        &self,
        signal: Signal,
        (request, encoding): (&'r [u8], Encoding),
        workspace: &Workspace,
    ) -> Result<Readable<'r>, ExportError> {
        let redaction = self.ingest.redaction.now();
        let rules = redaction.of(workspace);
        let depth_max = self.limits.depth;
        let (readable, found) = match (encoding, rules) {
            (Encoding::Protobuf, None) => return Ok(Readable::Protobuf(Cow::Borrowed(request))),
            (Encoding::Protobuf, Some(rules)) => {
                let (request, found) = otlp::redacted(request, signal, rules, depth_max);
                (Readable::Protobuf(Cow::Owned(request)), found)
            }
            (Encoding::Json, None) => return Ok(Readable::Json(otlp::transcode(request, signal, depth_max)?)),
            (Encoding::Json, Some(rules)) => {
                let (request, found) = otlp::transcode(request, signal, depth_max)?.redacted(signal, rules, depth_max);
                (Readable::Json(request), found)
            }
        };
        self.ingest.metrics.count_redacted(found.iter());
        Ok(readable)
    }

    fn spans(&self, request: &Readable<'_>, workspace: &Workspace, limits: &Limits) -> Result<Parsed, ExportError> {
        let rows = self.ingest.pipeline.rows_for(request.protobuf().len(), workspace);
        let prices = self.ingest.prices.now();
        let prices = Option::as_ref(&**prices);
        let Decoded { rows, evaluations, rejected, reasons, roots, attributes_repeated } = match request {
            Readable::Protobuf(request) => otlp::decode_priced(request, Encoding::Protobuf, rows, limits, prices)?,
            Readable::Json(request) => request.decode_priced(rows, limits, prices)?,
        };
        let mut rows: Vec<Rows> = if rows.rows() > 0 { vec![rows.into()] } else { Vec::new() };
        rows.extend(evaluations.map(Rows::from));
        Ok(Parsed { rows, rejected, reasons, roots, attributes_repeated })
    }

    fn log_records(
        &self,
        request: &Readable<'_>,
        workspace: &Workspace,
        limits: &Limits,
    ) -> Result<Parsed, ExportError> {
        let prices = self.ingest.prices.now();
        let prices = Option::as_ref(&**prices);
        Ok(match request {
            Readable::Protobuf(request) => {
                otlp::decode_logs_priced(request, Encoding::Protobuf, workspace, limits, prices)?.into()
            }
            Readable::Json(request) => request.decode_logs_priced(workspace, limits, prices)?.into(),
        })
    }
}

fn data_points(request: &Readable<'_>, workspace: &Workspace, limits: &Limits) -> Result<Parsed, ExportError> {
    Ok(match request {
        Readable::Protobuf(request) => otlp::decode_metrics(request, Encoding::Protobuf, workspace, limits)?.into(),
        Readable::Json(request) => request.decode_metrics(workspace, limits)?.into(),
    })
}

/// A request that can be decoded.
enum Readable<'r> {
    /// As it was sent, or a copy.
    Protobuf(Cow<'r, [u8]>),
    /// It was JSON.
    Json(Transcoded),
}

impl Readable<'_> {
    fn protobuf(&self) -> &[u8] {
        match self {
            Self::Protobuf(request) => request,
            Self::Json(request) => request.protobuf(),
        }
    }
}

impl From<DecodedRecords> for Parsed {
    fn from(decoded: DecodedRecords) -> Self {
        let DecodedRecords { groups, spans, rejected, reasons, attributes_repeated } = decoded;
        let rows = groups.into_iter().map(Rows::from).chain(spans.map(Rows::from)).collect();
        Self { rows, rejected, reasons, attributes_repeated, roots: Vec::new() }
    }
}

impl ExportSummary {
    /// Why items were rejected: a sentence for each of the first, and one for the others.
    pub(crate) fn errors(&self) -> Vec<String> {
        let more = self.rejected.saturating_sub(self.reasons.len());
        let others = (more > 0).then(|| format!("{more} more {} rejected", self.signal.items()));
        self.reasons.iter().cloned().chain(others).collect()
    }

    /// The message of a partial success; empty if no item was rejected.
    pub(crate) fn message(&self) -> String {
        let (reasons, items) = (self.reasons.join("; "), self.signal.items());
        match (self.rejected, self.reasons.len()) {
            (0, _) => String::new(),
            (1, _) => format!("1 {} rejected: {reasons}", self.signal.item()),
            (rejected, shown) if rejected > shown => {
                format!("{rejected} {items} rejected: {reasons}; and {} more", rejected - shown)
            }
            (rejected, _) => format!("{rejected} {items} rejected: {reasons}"),
        }
    }
}
