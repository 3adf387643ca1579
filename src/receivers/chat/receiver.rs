//! A captured request and its response become one span, in the trace that they name or in one of their own.
//!
//! Source: spec/ingest-chat-completions.openapi.yaml (NeMo Platform API).

use crate::chat::{self, Capture, ChatSpan, Context, ParseOptions, SessionRef, TraceRef, Traceparent};
use crate::columns::typed::JoinState;
use crate::pipeline::{Ack, Origin, PendingAck, Receipt, Reservation};
use crate::receivers::chat::response::{CallError, error_detail, invalid_parameter};
use crate::receivers::chat::row::{redact, row};
use crate::receivers::experiments::Experiments;
use crate::receivers::http::body::BodyReader;
use crate::receivers::http::headers::{ACK_HEADER, ack_wanted};
use crate::receivers::quota::MemoryQuota;
use crate::receivers::{Ingest, Times};
use crate::redaction::{Rules, Tally};
use crate::telemetry::{Receiver, Signal};
use crate::traces::KnownRoot;
use crate::workspace::Workspace;
use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest `Idempotency-Key`, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;

/// How captured calls are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Accept exactly what the reference accepts: members and headers of our own are refused or ignored.
    pub strict_reference: bool,
    /// A captured call sent again within this time is acknowledged again and not stored again; 0s switches that off.
    #[serde(with = "crate::time::spelt")]
    pub dedup_window: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { strict_reference: false, dedup_window: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Receives captured calls.
#[derive(Debug)]
pub struct ChatReceiver {
    /// Where rows go.
    pub ingest: Arc<Ingest>,
    /// Reads requests.
    pub bodies: BodyReader,
    /// Which experiments there are that calls may name.
    pub experiments: Arc<Experiments>,
    /// What an answer waits for, unless the request asks for more.
    pub ack: Ack,
    /// A call that was accepted within this time before is a repeat.
    pub dedup_window: Duration,
    /// How bodies are read.
    pub options: ParseOptions,
    /// Memory for answers that are not read yet.
    pub answers: MemoryQuota,
    /// Memory for decoders of bodies without an end.
    pub decoders: MemoryQuota,
    /// Cancelled when the service stops.
    pub stopping: CancellationToken,
}

/// The ids of a captured call that is where its sender wants it.
#[derive(Debug, Serialize)]
pub(crate) struct StoredCall {
    #[serde(flatten)]
    ids: Ids,
    #[serde(skip)]
    _receipt: Receipt,
}

#[derive(Debug, Serialize)]
struct Ids {
    session_id: String,
    span_id: String,
    trace_id: String,
}

/// A captured call on its way.
#[derive(Debug)]
pub(crate) struct QueuedCall {
    ids: Ids,
    pending: PendingAck,
}

impl QueuedCall {
    /// Waits until a call is where its sender wants it, if it was queued.
    pub(crate) async fn acked(queued: Result<Self, CallError>) -> Result<StoredCall, CallError> {
        let Self { ids, pending } = queued?;
        Ok(StoredCall { ids, _receipt: pending.acked().await? })
    }
}

/// What a captured call brings along beside its body.
#[derive(Debug, Clone)]
pub(crate) struct Envelope<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) ack: Ack,
    pub(crate) traceparent: Option<Traceparent>,
    pub(crate) idempotency_key: Option<&'a str>,
    /// What is taken out of its calls, and what was taken out of this one.
    pub(crate) redaction: Option<(&'a Rules, Tally)>,
    /// The import that it is of.
    pub(crate) import_id: Option<&'a str>,
}

impl ChatReceiver {
    /// The workspace of a request and what its answer waits for, if all its headers can be honoured; else the answer.
    /// A workspace of `None` is not UTF-8.
    pub(crate) fn admit(
        &self,
        workspace: Option<String>,
        headers: &HeaderMap,
    ) -> Result<(Workspace, Ack), Box<Response>> {
        let admitted = self.workspace_and_ack(workspace, headers);
        admitted.inspect_err(|_| self.ingest.metrics.of(Signal::Traces).reject(Receiver::Chat, 1))
    }

    fn workspace_and_ack(
        &self,
        workspace: Option<String>,
        headers: &HeaderMap,
    ) -> Result<(Workspace, Ack), Box<Response>> {
        let workspace = workspace.ok_or_else(|| error_detail(StatusCode::BAD_REQUEST, "the path is not UTF-8"))?;
        let workspace = Workspace::new(&workspace)
            .map_err(|error| invalid_parameter(&["path", "workspace"], &error.to_string()))?;
        unusable_header(headers).map_or(Ok(()), Err)?;
        let ack = ack_wanted(headers, self.ack)
            .map_err(|_| invalid_parameter(&["header", ACK_HEADER], "must be memory, durable or stored"))?;
        Ok((workspace, ack))
    }

    /// Makes one captured call a span and queues its row.
    pub(crate) fn ingest_call(
        &self,
        envelope: Envelope<'_>,
        capture: &Capture<'_>,
        reservation: Reservation,
    ) -> Result<QueuedCall, CallError> {
        let Envelope { workspace, ack, traceparent, idempotency_key, redaction, import_id } = envelope;
        let Ingest { metrics, traces, .. } = &*self.ingest;
        let Times { now, cutoff, window } = self.ingest.times(Signal::Traces, workspace);
        let context = Context { workspace, received_at: now, traceparent, idempotency_key };
        let mut span = chat::convert(capture, &context).map_err(CallError::Invalid)?;
        chat::check_age(capture, span.start, cutoff, window, workspace).map_err(CallError::Invalid)?;
        if let Some((rules, found)) = redaction {
            metrics.count_redacted(redact(&mut span, rules, found).iter());
        }
        let root = self.root_of(&span, workspace);
        let join_state = match (span.trace, span.parent, &root) {
            (TraceRef::Own(_), ..) => JoinState::Own,
            (TraceRef::Joins(_), Some(_), _) => JoinState::Given,
            (TraceRef::Joins(_), None, Some(_)) => JoinState::Joined,
            (TraceRef::Joins(_), None, None) => JoinState::Waiting,
        };
        span.parent = span.parent.or(root.as_ref().map(|root| root.span_id));
        let session_id = span.session_in(root.as_ref().and_then(|root| root.session.as_deref()));
        if span.session == SessionRef::ToDerive {
            span.call.session_id = session_id.clone().into();
        }
        let prices = self.ingest.prices.now();
        if let Some(prices) = &**prices {
            prices.complete(&mut span.call, span.start);
        }
        let rows = row(&span, self.ingest.pipeline.rows_for(0, workspace), join_state, import_id)?;
        let trace_id = span.trace.id();
        let origin = Origin {
            workspace: workspace.clone(),
            receiver: Receiver::Chat,
            ack,
            dedup_window: self.dedup_window,
            is_keyed: span.is_keyed,
        };
        let pending = self.ingest.send(rows, reservation, origin)?;
        metrics.chat_joined.inc_by(u64::from(join_state == JoinState::Joined));
        if join_state == JoinState::Own && span.parent.is_none() {
            let root = KnownRoot::new(span.span_id, span.start, Some(&span.call.session_id));
            traces.remember(workspace, trace_id, root);
        }
        let (span_id, trace_id) = (span.span_id.to_string(), trace_id.to_string());
        Ok(QueuedCall { ids: Ids { session_id, span_id, trace_id }, pending })
    }

    /// The root of the trace that a call joins, if it is known and the call lacks something that the root has.
    fn root_of(&self, span: &ChatSpan<'_>, workspace: &Workspace) -> Option<KnownRoot> {
        let TraceRef::Joins(trace) = span.trace else { return None };
        if span.parent.is_some() && matches!(span.session, SessionRef::Given(_)) {
            return None;
        }
        self.ingest.traces.lookup_or_watch(workspace, trace).filter(|root| root.span_id != span.span_id)
    }

    /// The answer to a single captured call.
    pub(crate) async fn answer(&self, queued: Result<QueuedCall, CallError>) -> Response {
        match QueuedCall::acked(queued).await {
            Ok(stored) => (StatusCode::CREATED, Json(stored)).into_response(),
            Err(error) => {
                self.count_failure(&error);
                error.answer()
            }
        }
    }

    /// The result of one of many records, as a JSON object; failures are counted.
    pub(crate) fn result(&self, place_name: &str, place: usize, stored: Result<StoredCall, CallError>) -> String {
        let (head, object) = match stored {
            Ok(stored) => (String::new(), serde_json::to_string(&stored).expect("ids are texts")),
            Err(error) => {
                self.count_failure(&error);
                (format!(r#""status":{},"#, error.status().as_u16()), error.to_json())
            }
        };
        let members = object.strip_prefix('{').expect("what became of a record is an object");
        format!(r#"{{"{place_name}":{place},{head}{members}"#)
    }

    pub(crate) fn count_failure(&self, error: &CallError) {
        self.ingest.count_failed(
            (Signal::Traces, Receiver::Chat),
            1,
            error.status() == StatusCode::SERVICE_UNAVAILABLE,
        );
    }
}

/// A header that cannot be honoured is refused rather than ignored: the sender relies on it.
fn unusable_header(headers: &HeaderMap) -> Option<Response> {
    let key = headers.get("idempotency-key")?;
    let fits = key.to_str().is_ok_and(|key| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()));
    let message = format!("Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters");
    (!fits).then(|| invalid_parameter(&["header", "Idempotency-Key"], &message))
}
