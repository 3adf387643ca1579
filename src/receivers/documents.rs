//! Traces as JSON documents: `POST .../ingest/atif` and `.../ingest/spans`.
//!
//! ```text
//! 201                     all of it is where its sender wants it
//! 422                     what is wrong with it, each by its path; nothing of it is stored
//! 400 413 415 429 503     as for captured calls
//! ```
//!
//! Spans are one entry of the pipeline, and evaluator results a second one; an answer waits for both. When the second is refused, the sender
//! tries again, and the spans are repeats then.

use crate::access::routes::{Guard, Routes};
use crate::access::{Needs, Scope};
use crate::columns::{Group as _, Rows};
use crate::documents::{DocumentBounds, DocumentContext, DocumentError, DocumentRows, TooMuch, atif, plain};
use crate::formats;
use crate::json::limits::Limits;
use crate::pipeline::{Ack, IngestError, Origin, PendingAck, Reservation};
use crate::receivers::chat::response::{CallError, error_detail, invalid_parameter};
use crate::receivers::decoding::SMALL_BYTES_MAX;
use crate::receivers::http::body::{BodyError, BodyReader, pass_over};
use crate::receivers::http::headers::{ACK_HEADER, ack_wanted, can_wait, import_id};
use crate::receivers::{Ingest, Times};
use crate::redaction::Tally;
use crate::telemetry::{Receiver, RowKind, Signal};
use crate::traces::KnownRoot;
use crate::workspace::Workspace;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A document is kept as values and as texts of spans while it is read.
const COPIES: usize = 3;
/// What a small document may become, times its size.
const SMALL_GROWS: usize = 64;

/// Receives documents.
#[derive(Debug)]
pub struct DocumentReceiver {
    /// Where rows go.
    pub ingest: Arc<Ingest>,
    /// Reads requests.
    pub bodies: BodyReader,
    /// What an answer waits for, unless the request asks for more.
    pub ack: Ack,
    /// A span that was accepted within this time before is a repeat.
    pub dedup_window: Duration,
    /// Bounds of values.
    pub limits: Limits,
    /// How much one document may become.
    pub bounds: DocumentBounds,
}

/// What a document is.
#[derive(Debug, Clone, Copy)]
enum Format {
    Atif,
    Plain,
}

/// The paths.
pub(crate) fn routes(receiver: Arc<DocumentReceiver>, guard: &Guard) -> Routes {
    let needs = Needs::InWorkspace(Scope::Ingest);
    Routes::new(guard)
        .post("/apis/intake/v2/workspaces/{workspace}/ingest/atif", needs, ingest_atif)
        .post("/apis/intake/v2/workspaces/{workspace}/ingest/spans", needs, ingest_spans)
        .with_state(receiver)
}

async fn ingest_atif(
    State(receiver): State<Arc<DocumentReceiver>>,
    Path(workspace): Path<String>,
    request: Request<Body>,
) -> Response {
    ingest(receiver, Format::Atif, &workspace, request).await
}

async fn ingest_spans(
    State(receiver): State<Arc<DocumentReceiver>>,
    Path(workspace): Path<String>,
    request: Request<Body>,
) -> Response {
    ingest(receiver, Format::Plain, &workspace, request).await
}

async fn ingest(receiver: Arc<DocumentReceiver>, format: Format, workspace: &str, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let (workspace, ack) = match receiver.admit(workspace, &head.headers) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            receiver.count(false);
            pass_over(body, &head.headers).await;
            return *refusal;
        }
    };
    if let Err(over) = receiver.ingest.quotas.admit(&workspace) {
        receiver.count(true);
        pass_over(body, &head.headers).await;
        return CallError::from(over).answer();
    }
    if can_wait(&head.headers)
        && let Err(why) = receiver.ingest.pipeline.admit_background()
    {
        receiver.count(true);
        pass_over(body, &head.headers).await;
        return CallError::from(why).answer();
    }
    match receiver.store(format, (workspace, ack), body, &head.headers).await {
        Ok(()) => StatusCode::CREATED.into_response(),
        Err(why) => {
            receiver.count(why.is_retryable());
            why.answer()
        }
    }
}

/// Why a document was not stored.
#[derive(Debug)]
enum NotStored {
    Call(CallError),
    TooMuch(TooMuch),
}

impl NotStored {
    fn is_retryable(&self) -> bool {
        matches!(self, Self::Call(error) if error.status() == StatusCode::SERVICE_UNAVAILABLE)
    }

    fn answer(&self) -> Response {
        match self {
            Self::Call(error) => error.answer(),
            Self::TooMuch(why) => error_detail(StatusCode::PAYLOAD_TOO_LARGE, &why.to_string()),
        }
    }
}

impl From<DocumentError> for NotStored {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Invalid(errors) => Self::Call(CallError::Invalid(errors)),
            DocumentError::TooMuch(why) => Self::TooMuch(why),
        }
    }
}

impl From<IngestError> for NotStored {
    fn from(error: IngestError) -> Self {
        Self::Call(error.into())
    }
}

impl From<BodyError> for NotStored {
    fn from(error: BodyError) -> Self {
        Self::Call(error.into())
    }
}

impl DocumentReceiver {
    fn admit(&self, workspace: &str, headers: &HeaderMap) -> Result<(Workspace, Ack), Box<Response>> {
        let workspace = Workspace::new(workspace)
            .map_err(|error| Box::new(invalid_parameter(&["path", "workspace"], &error.to_string())))?;
        let ack = ack_wanted(headers, self.ack)
            .map_err(|_| Box::new(invalid_parameter(&["header", ACK_HEADER], "must be memory, durable or stored")))?;
        Ok((workspace, ack))
    }

    fn count(&self, is_retryable: bool) {
        self.ingest.count_failed((Signal::Traces, Receiver::Documents), 1, is_retryable);
    }

    /// Reads a body, and returns when its rows are where its sender wants them.
    async fn store(
        self: &Arc<Self>,
        format: Format,
        (workspace, ack): (Workspace, Ack),
        body: Body,
        headers: &HeaderMap,
    ) -> Result<(), NotStored> {
        let (bytes, mut reservation) = self.bodies.read(body, headers).await?;
        self.ingest.quotas.charge_bytes(&workspace, bytes.len());
        let history = bytes.len().saturating_mul(SMALL_GROWS).min(atif::HISTORY_BYTES_MAX);
        reservation.grow_within_all(bytes.len().saturating_mul(COPIES).saturating_add(history), bytes.len())?;
        let is_small = bytes.len() <= SMALL_BYTES_MAX;
        let (receiver, import_id) = (Arc::clone(self), import_id(headers).map(str::to_owned));
        let work = move |_: &_| receiver.queue(format, (&workspace, ack), (&bytes, import_id.as_deref()), reservation);
        for pending in self.bodies.decode_pool.run(is_small, work).await? {
            let _receipt = pending.acked().await?;
        }
        Ok(())
    }

    fn queue(
        &self,
        format: Format,
        (workspace, ack): (&Workspace, Ack),
        (bytes, import_id): (&[u8], Option<&str>),
        reservation: Reservation,
    ) -> Result<Vec<PendingAck>, NotStored> {
        let text = crate::text::mended(bytes);
        let mut found = Tally::default();
        let redaction = self.ingest.redaction.now();
        let text = match redaction.of(workspace) {
            Some(rules) => Cow::Owned(rules.text(&text, &mut found).into_owned()),
            None => text,
        };
        self.ingest.metrics.count_redacted(found.iter());
        let Times { now, cutoff, window } = self.ingest.times(Signal::Traces, workspace);
        let context = DocumentContext { workspace, received_at: now, cutoff, window };
        let spans = self.ingest.pipeline.rows_for(bytes.len(), workspace);
        let prices = self.ingest.prices.now();
        let mut rows = DocumentRows::new(spans, (**prices).as_ref(), self.bounds);
        if let Some(import_id) = import_id {
            rows.mark(formats::ATTRIBUTE, import_id);
        }
        match format {
            Format::Atif => atif::read(&text, &context, self.limits, &mut rows)?,
            Format::Plain => plain::read(&text, &context, self.limits, &mut rows)?,
        }
        Ok(self.send(workspace, ack, rows, reservation)?)
    }

    fn send(
        &self,
        workspace: &Workspace,
        ack: Ack,
        rows: DocumentRows<'_>,
        mut reservation: Reservation,
    ) -> Result<Vec<PendingAck>, IngestError> {
        let DocumentRows { spans, results, roots, .. } = rows;
        let origin = |dedup_window| Origin {
            workspace: workspace.clone(),
            receiver: Receiver::Documents,
            ack,
            dedup_window,
            is_keyed: false,
        };
        let has_results = results.rows() > 0;
        let sizes = [spans.counted_bytes(), if has_results { results.counted_bytes() } else { 0 }];
        reservation.fit(sizes.into_iter().take(if has_results { 2 } else { 1 }))?;
        let [of_spans, _] = sizes;
        let reserved = if has_results { reservation.split_entry(of_spans) } else { reservation.take() };
        let mut pending = vec![self.ingest.send(Rows::from(spans), reserved, origin(self.dedup_window))?];
        for root in roots {
            let known = KnownRoot::new(root.span_id, root.start, root.session.as_deref());
            self.ingest.traces.remember(workspace, root.trace_id, known);
        }
        if has_results {
            let count = results.rows();
            // of several rows the latest counts, so none is a repeat
            let sent = self.ingest.send(Rows::from(results), reservation, origin(Duration::ZERO));
            let refused = |why: &IngestError| {
                self.ingest.count_failed((RowKind::Scores, Receiver::Documents), count, why.is_retryable());
            };
            pending.push(sent.inspect_err(refused)?);
        }
        Ok(pending)
    }
}
