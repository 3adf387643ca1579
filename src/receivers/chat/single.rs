//! `POST /apis/intake/v2/workspaces/{workspace}/ingest/chat-completions`: a captured request and its response become one
//! span, in the trace that they name or in one of their own.
//!
//! Answers are the reference's: 201 with the ids, 422 with the path of each offending field, other errors as
//! `{"detail": "..."}`.
//!
//! Source: spec/ingest-chat-completions.openapi.yaml (NeMo Platform API).

use crate::chat::{self, ChatSpan, Context, Foreign, SessionRef, TraceRef, Traceparent, ValidationErrors};
use crate::columns::typed::{JoinState, Normalise};
use crate::columns::{MapRow, RowGroup, RowTooLarge, SpanKind, SpanScalars, StatusCode as SpanStatus};
use crate::conventions;
use crate::genai::semconv;
use crate::pipeline::{Ack, IngestError, Origin, PendingAck, Receipt, Reservation};
use crate::receivers::chat::ndjson;
use crate::receivers::chat::vendor::{Record, Shape};
use crate::receivers::http::body;
use crate::receivers::http::body::BodyError;
use crate::receivers::{ACK_HEADER, RETRY_AFTER, Receivers, ack_wanted};
use crate::telemetry::Receiver;
use crate::traces::KnownRoot;
use crate::workspace::{self, Workspace};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// `service.name` of a producer that names none. Source: `OpenTelemetry` resource semantic conventions.
const SERVICE_UNKNOWN: &str = "unknown_service";
/// Longest `Idempotency-Key`, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;

/// How chat-completions are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Take exactly what the reference takes: our own members of the body and headers are refused or passed over.
    pub strict_reference: bool,
    /// A pair sent again within this time is acknowledged again and not stored again; 0s switches that off.
    #[serde(with = "humantime_serde")]
    pub dedup_window: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { strict_reference: false, dedup_window: Duration::from_secs(24 * 60 * 60) }
    }
}

/// The ids of a pair that is where its sender wants it.
#[derive(Debug, Serialize)]
pub(crate) struct Stored {
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

/// A pair on its way.
#[derive(Debug)]
pub(crate) struct Queued {
    ids: Ids,
    promise: PendingAck,
}

impl Queued {
    /// Waits until a pair is where its sender wants it, if it was taken.
    pub(crate) async fn kept(taken: Result<Self, CallError>) -> Result<Stored, CallError> {
        let Self { ids, promise } = taken?;
        Ok(Stored { ids, _receipt: promise.acked().await? })
    }
}

/// Why a pair was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the body does not fit")]
    Invalid(ValidationErrors),
    #[error(
        "the call is too large: {0}; send less text, or set genai.keep_raw: false or a smaller genai.max_value_bytes"
    )]
    TooLarge(#[from] RowTooLarge),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    NotTaken(#[from] IngestError),
}

pub(crate) async fn ingest(
    State(receivers): State<Arc<Receivers>>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let workspace = match receivers.admit(path.ok().map(|Path(workspace)| workspace), &head.headers) {
        Ok(workspace) => workspace,
        Err(refusal) => {
            body::pass_over(body, &head.headers).await;
            return *refusal;
        }
    };
    let source = receivers.source(Shape::Pair, workspace, head.headers);
    if !receivers.chat_options.strict_reference && ndjson::is_announced(&source.headers) {
        return ndjson::answer(receivers, source, body).await;
    }
    let taken = match body::read(body, &source.headers, receivers.reading()).await {
        Ok((bytes, room)) => source.take(&receivers, Record::Owned(bytes), None, room).await,
        Err(error) => Err(error.into()),
    };
    receivers.answer(taken).await
}

/// What a pair brings along besides its body.
#[derive(Debug, Clone)]
pub(crate) struct Envelope<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) ack: Ack,
    pub(crate) traceparent: Option<Traceparent>,
    pub(crate) idempotency_key: Option<&'a str>,
    /// The record of another tool that the body was rewritten from. The body is in our own words then, whatever
    /// senders of pairs are held to.
    pub(crate) foreign: Option<Foreign>,
}

impl Receivers {
    /// The workspace of a request whose headers can all be honoured, or the refusal. `None` stands for bytes that are
    /// no text.
    pub(crate) fn admit(&self, workspace: Option<String>, headers: &HeaderMap) -> Result<Workspace, Box<Response>> {
        let refusal = match workspace.as_deref().map(Workspace::new) {
            None => respond(StatusCode::BAD_REQUEST, json!({"detail": "the path is not UTF-8"}).to_string()),
            Some(Err(error)) => invalid_parameter(&["path", "workspace"], &error.to_string()),
            Some(Ok(workspace)) => match unusable_header(headers) {
                Some(refusal) => refusal,
                None if ack_wanted(headers, self.http_ack).is_err() => {
                    invalid_parameter(&["header", ACK_HEADER], "must be memory, durable or stored")
                }
                None if is_from_another_site(headers) => {
                    let message = "a web page of another site may not write here; send it from a server";
                    respond(StatusCode::FORBIDDEN, json!({"detail": message}).to_string())
                }
                None => return Ok(workspace),
            },
        };
        self.metrics.reject(Receiver::Chat, 1);
        Err(Box::new(refusal))
    }

    /// Makes one pair a span and hands it over.
    pub(crate) fn ingest_call(
        &self,
        envelope: Envelope<'_>,
        body: &[u8],
        room: Reservation,
    ) -> Result<Queued, CallError> {
        let Envelope { workspace, ack, traceparent, idempotency_key, foreign } = envelope;
        let now = self.clock.now();
        let record = foreign.as_ref().map(|foreign| &foreign.identity);
        let context = Context { workspace, received_at: now, traceparent, idempotency_key, record };
        let options = if foreign.is_some() { Foreign::options(self.chat_options) } else { self.chat_options };
        let capture = chat::parse(body, &options).map_err(CallError::Invalid)?;
        let mut span = chat::convert(&capture, &context).map_err(CallError::Invalid)?;
        let (cutoff, window) = (self.retention.cutoff(workspace, now), self.timestamps.window(now));
        chat::check_age(&capture, span.start, cutoff, window, workspace).map_err(CallError::Invalid)?;
        if let Some(foreign) = foreign {
            foreign.complete(&mut span);
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
        let rows = row(&span, workspace, join_state, &session_id)?;
        let session_of_row = String::from_utf8_lossy(rows.last_session()).into_owned();
        let trace_id = span.trace.id();
        let origin = Origin {
            workspace: workspace.clone(),
            receiver: Receiver::Chat,
            ack,
            dedup_window: self.chat_dedup_window,
            is_keyed: span.is_keyed,
        };
        self.admit_days(rows.days())?;
        let promise = self.pipeline.send(rows, room, origin)?;
        self.metrics.chat_joined.inc_by(u64::from(join_state == JoinState::Joined));
        if join_state == JoinState::Own && span.parent.is_none() {
            let root = KnownRoot::new(span.span_id, span.start, Some(&session_of_row));
            self.traces.remember(workspace, trace_id, root);
        }
        let (span_id, trace_id) = (span.span_id.to_string(), trace_id.to_string());
        Ok(Queued { ids: Ids { session_id, span_id, trace_id }, promise })
    }

    /// The root of the trace that a pair joins, if it is known and there is anything to learn from it.
    fn root_of(&self, span: &ChatSpan<'_>, workspace: &Workspace) -> Option<KnownRoot> {
        let TraceRef::Joins(trace) = span.trace else { return None };
        if span.parent.is_some() && matches!(span.session, SessionRef::Given(_)) {
            return None;
        }
        self.traces.lookup_or_watch(workspace, trace).filter(|root| root.span_id != span.span_id)
    }

    /// The answer to a single pair.
    pub(crate) async fn answer(&self, taken: Result<Queued, CallError>) -> Response {
        match Queued::kept(taken).await {
            Ok(stored) => (StatusCode::CREATED, Json(stored)).into_response(),
            Err(error) => {
                self.count_failure(&error);
                error.answer()
            }
        }
    }

    pub(crate) fn count_failure(&self, error: &CallError) {
        if error.status() == StatusCode::SERVICE_UNAVAILABLE {
            self.metrics.refuse(Receiver::Chat, 1);
        } else {
            self.metrics.reject(Receiver::Chat, 1);
        }
    }
}

impl CallError {
    pub(crate) fn status(&self) -> StatusCode {
        status(self)
    }

    /// `{"detail": ...}`
    pub(crate) fn to_json(&self) -> String {
        match self {
            Self::Invalid(errors) => errors.to_json(),
            Self::NotTaken(reused @ IngestError::KeyReused) => {
                parameter_error(&["header", "Idempotency-Key"], &reused.to_string()).to_string()
            }
            other => json!({"detail": other.to_string()}).to_string(),
        }
    }

    pub(crate) fn answer(&self) -> Response {
        respond(self.status(), self.to_json())
    }
}

fn status(error: &CallError) -> StatusCode {
    let no_room = |reason: &IngestError| match reason {
        IngestError::NeverFits { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        IngestError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    match error {
        CallError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        CallError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        CallError::NotTaken(reason) => no_room(reason),
        CallError::Body(error) => match error {
            BodyError::TooLarge { .. } | BodyError::ExpandsTooFar { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::Compression { .. } | BodyError::CutOff(_) => StatusCode::BAD_REQUEST,
            BodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            BodyError::NotTaken(reason) => no_room(reason),
        },
    }
}

/// JSON, and when to try again if that can help.
pub(crate) fn respond(status: StatusCode, json: String) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], json).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
    }
    response
}

/// A page that a person happens to look at could post to this machine. Source: Fetch Metadata Request Headers, W3C.
fn is_from_another_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// A header that cannot be honoured is refused rather than passed over: the sender relies on it.
fn unusable_header(headers: &HeaderMap) -> Option<Response> {
    let key = headers.get("idempotency-key")?;
    let fits = key.to_str().is_ok_and(|key| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()));
    let message = format!("Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters");
    (!fits).then(|| invalid_parameter(&["header", "Idempotency-Key"], &message))
}

fn invalid_parameter(loc: &[&str], message: &str) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(parameter_error(loc, message))).into_response()
}

fn parameter_error(loc: &[&str], message: &str) -> serde_json::Value {
    json!({"detail": [{"loc": loc, "msg": message, "type": "value_error"}]})
}

/// The span as the one row of a group.
fn row(
    span: &ChatSpan<'_>,
    workspace: &Workspace,
    join_state: JoinState,
    session_id: &str,
) -> Result<RowGroup, RowTooLarge> {
    let service_name = span.service_name.as_deref().unwrap_or(SERVICE_UNKNOWN);
    let mut resource = MapRow::default();
    resource.push(b"service.name", service_name.as_bytes());
    resource.push(workspace::ATTRIBUTE.as_bytes(), workspace.as_str().as_bytes());
    let mut rows = RowGroup::for_request_of(0, workspace.clone());
    let mark = rows.begin();
    let mut text = String::new();
    for (key, value) in &span.attributes {
        text.clear();
        value.as_column_text(&mut text);
        rows.attribute_of(conventions::kind(key.as_bytes()), key.as_bytes(), text.as_bytes());
    }
    let scalars = SpanScalars {
        duration_nanos: span.end.nanos_since(span.start),
        parent: span.parent,
        name: span.name.as_bytes(),
        kind: SpanKind::Client,
        service_name: service_name.as_bytes(),
        scope_name: chat::SCOPE_NAME.as_bytes(),
        scope_version: env!("CARGO_PKG_VERSION").as_bytes(),
        status: match span.status {
            chat::Status::Unset => SpanStatus::Unset,
            chat::Status::Error => SpanStatus::Error,
        },
        status_message: span.status_message.as_bytes(),
        raw_request: span.raw.request.as_bytes(),
        raw_response: span.raw.response.as_bytes(),
        join_state,
        session: if span.session == SessionRef::ToDerive { session_id.as_bytes() } else { b"" },
        scope_schema_url: semconv::SCHEMA_URL.as_bytes(),
        fingerprint: span.fingerprint,
        ..SpanScalars::new(span.start, span.trace.id(), span.span_id)
    };
    rows.finish(mark, &scalars, &resource, conventions::normalise as Normalise)?;
    Ok(rows)
}
