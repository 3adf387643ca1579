//! `POST .../ingest/litellm` and `.../ingest/helicone`: what other tools send of their own accord, one record or many.
//!
//! ```text
//! a single object              201 with the ids, or what is wrong with it
//! a JSON array                 200 with a list, by index       any refused for want of room: 503, send all again
//! one a line (as JSON too)     200 with a line each, by line   (what is stored already is recognised)
//! ```
//!
//! Here is also what a record's shape means: how it becomes a pair of ours.

use crate::chat::Traceparent;
use crate::chat::vendor::records::{RECORDS_MAX, Records};
use crate::chat::vendor::{helicone, litellm};
use crate::pipeline::{Ack, IngestError, Reservation};
use crate::receivers::chat::capacity_wait::{PATIENCE, WaitBudget};
use crate::receivers::chat::ndjson;
use crate::receivers::chat::single::{CallError, Envelope, Queued, Stored, respond};
use crate::receivers::decoding::{Pace, SMALL_BYTES_MAX};
use crate::receivers::http::body;
use crate::receivers::{Receivers, ack_wanted};
use crate::telemetry::Receiver;
use crate::workspace::Workspace;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::json;
use std::sync::Arc;

/// Whose records they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Our own.
    Pair,
    /// LiteLLM's `generic_api` callback.
    LiteLlm,
    /// Helicone's custom log.
    Helicone,
}

/// Where records come from, and as what.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) shape: Shape,
    pub(crate) workspace: Workspace,
    pub(crate) ack: Ack,
    pub(crate) headers: HeaderMap,
}

pub(crate) async fn ingest_litellm(
    State(receivers): State<Arc<Receivers>>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    ingest(receivers, path.ok().map(|Path(workspace)| workspace), Shape::LiteLlm, request).await
}

pub(crate) async fn ingest_helicone(
    State(receivers): State<Arc<Receivers>>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    ingest(receivers, path.ok().map(|Path(workspace)| workspace), Shape::Helicone, request).await
}

pub(crate) async fn ingest_helicone_client(
    State(receivers): State<Arc<Receivers>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request<Body>,
) -> Response {
    ingest(receivers, path.ok().map(|Path((workspace, _provider))| workspace), Shape::Helicone, request).await
}

async fn ingest(
    receivers: Arc<Receivers>,
    workspace: Option<String>,
    shape: Shape,
    request: Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let workspace = match receivers.admit(workspace, &head.headers) {
        Ok(workspace) => workspace,
        Err(refusal) => {
            body::pass_over(body, &head.headers).await;
            return *refusal;
        }
    };
    let source = receivers.source(shape, workspace, head.headers);
    if ndjson::is_announced(&source.headers) {
        return ndjson::answer(receivers, source, body).await;
    }
    let (bytes, room) = match body::read(body, &source.headers, receivers.reading()).await {
        Ok(read) => read,
        Err(error) => return receivers.answer(Err(error.into())).await,
    };
    let body_bytes = bytes.len();
    match receivers.decoding.run(body_bytes <= SMALL_BYTES_MAX, move |_| Cut::of(&bytes)).await {
        Cut::One(record) => receivers.answer(source.take(&receivers, Record::Owned(record), None, room).await).await,
        Cut::Many { is_list, records } => {
            let records = records.into_iter().map(|(place, record)| (place, Record::Part(record, body_bytes)));
            let answer = answer_all(&receivers, &source, is_list, records).await;
            drop(room);
            answer
        }
        Cut::TooMany => {
            receivers.metrics.reject(Receiver::Chat, 1);
            let detail = json!({"detail": format!("more than {RECORDS_MAX} records; send smaller batches, or lines as application/x-ndjson")});
            respond(StatusCode::PAYLOAD_TOO_LARGE, detail.to_string())
        }
    }
}

/// A body cut into its records.
enum Cut {
    One(Bytes),
    Many { is_list: bool, records: Vec<(usize, Bytes)> },
    TooMany,
}

impl Cut {
    fn of(body: &Bytes) -> Self {
        // an element that is missing has no place in the body
        let own = |record: &[u8]| {
            if record.trim_ascii().is_empty() { Bytes::from_static(b" ") } else { body.slice_ref(record) }
        };
        let cut = Records::of(body);
        if let Records::One(record) = cut {
            return Self::One(own(record));
        }
        let records = cut.iter().take(RECORDS_MAX + 1).map(|(place, record)| (place, own(record)));
        let records: Vec<(usize, Bytes)> = records.collect();
        if records.len() > RECORDS_MAX {
            return Self::TooMany;
        }
        Self::Many { is_list: matches!(cut, Records::List(_)), records }
    }
}

/// A record, and whose bytes it has.
#[derive(Debug, Clone)]
pub(crate) enum Record<'r> {
    /// Those of a buffer that is used again.
    Borrowed(&'r [u8]),
    /// Its own.
    Owned(Bytes),
    /// Those of a body of so many bytes, which has room for them.
    Part(Bytes, usize),
}

impl Record<'_> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) | Self::Part(bytes, _) => bytes,
        }
    }

    /// Bytes that need room.
    fn room_bytes(&self) -> usize {
        match self {
            Self::Part(..) => 0,
            record => record.as_bytes().len(),
        }
    }
}

/// Stores all records that are good. Waits for room once, for all of them together.
async fn answer_all(
    receivers: &Arc<Receivers>,
    source: &Arc<Source>,
    is_list: bool,
    records: impl Iterator<Item = (usize, Record<'static>)>,
) -> Response {
    let (place_name, between, media) =
        if is_list { ("index", ",", "application/json") } else { ("line", "\n", "application/x-ndjson") };
    let wait_budget = WaitBudget::new(PATIENCE);
    let (mut results, mut must_repeat) = (String::new(), false);
    let (mut all_taken, mut pace) = (Vec::new(), Pace::default());
    for (place, record) in records {
        let bytes = record.as_bytes().len();
        // none waits for the one before it: they are made durable together
        let taken = source.take_patiently(receivers, record, place, None, &wait_budget).await;
        all_taken.push((place, taken));
        pace.after(bytes).await;
    }
    for (place, taken) in all_taken {
        let stored = Queued::kept(taken).await;
        must_repeat |= stored.as_ref().is_err_and(|error| error.status() == StatusCode::SERVICE_UNAVAILABLE);
        if !results.is_empty() {
            results.push_str(between);
        }
        results.push_str(&receivers.result(place_name, place, stored));
    }
    let body = if is_list { format!("[{results}]") } else { format!("{results}\n") };
    if must_repeat && is_list {
        return respond(StatusCode::SERVICE_UNAVAILABLE, format!(r#"{{"detail":{body}}}"#));
    }
    if must_repeat {
        let list = results.replace('\n', ",");
        return respond(StatusCode::SERVICE_UNAVAILABLE, format!(r#"{{"detail":[{list}]}}"#));
    }
    (StatusCode::OK, [(header::CONTENT_TYPE, media)], body).into_response()
}

impl Receivers {
    /// What records of a request have in common.
    pub(crate) fn source(&self, shape: Shape, workspace: Workspace, headers: HeaderMap) -> Arc<Source> {
        // a header that says something else was refused when the request was admitted
        let ack = ack_wanted(&headers, self.http_ack).unwrap_or(self.http_ack);
        Arc::new(Source { shape, workspace, ack, headers })
    }

    /// What became of one of many records, as a JSON object; failures are counted.
    pub(crate) fn result(&self, place_name: &str, place: usize, stored: Result<Stored, CallError>) -> String {
        let (head, object) = match stored {
            Ok(stored) => (String::new(), serde_json::to_string(&stored).unwrap_or_default()),
            Err(error) => {
                self.count_failure(&error);
                (format!(r#""status":{},"#, error.status().as_u16()), error.to_json())
            }
        };
        format!(r#"{{"{place_name}":{place},{head}{}"#, object.strip_prefix('{').unwrap_or("}"))
    }
}

impl Source {
    /// Hands one record over. `place` tells it from the others of one request. A large one is worked on aside, and has room for
    /// its row before that is made.
    pub(crate) async fn take(
        self: &Arc<Self>,
        receivers: &Arc<Receivers>,
        record: Record<'_>,
        place: Option<usize>,
        mut room: Reservation,
    ) -> Result<Queued, CallError> {
        let own_bytes = record.room_bytes();
        let (record, body_bytes) = match record {
            Record::Owned(record) if record.len() > SMALL_BYTES_MAX => (record, 0),
            Record::Part(record, body_bytes) if record.len() > SMALL_BYTES_MAX => (record, body_bytes),
            small => return self.take_here(receivers, (small.as_bytes(), own_bytes), place, room),
        };
        // texts are kept as they were sent and as messages
        room.grow_within_all(record.len().saturating_mul(2), body_bytes)?;
        let (source, handed) = (Arc::clone(self), Arc::clone(receivers));
        receivers.decoding.run_aside(move |_| source.take_here(&handed, (&record, own_bytes), place, room)).await
    }

    /// `own_bytes` of the room are the record's.
    fn take_here(
        &self,
        receivers: &Receivers,
        (record, own_bytes): (&[u8], usize),
        place: Option<usize>,
        mut room: Reservation,
    ) -> Result<Queued, CallError> {
        let text = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let options = &receivers.chat_options;
        let mut foreign = match self.shape {
            Shape::Pair => None,
            Shape::LiteLlm => Some(litellm::rewrite(record, options).map_err(CallError::Invalid)?),
            Shape::Helicone => {
                Some(helicone::rewrite(record, &self.helicone_headers(), options).map_err(CallError::Invalid)?)
            }
        };
        if let Some(foreign) = &foreign {
            room.cover(own_bytes.saturating_add(foreign.bytes_len()))?;
        }
        let body = foreign.as_mut().map(|foreign| std::mem::take(&mut foreign.body));
        let body = body.as_ref().map_or(record, String::as_bytes);
        let given = text("idempotency-key").map(|key| match place {
            Some(place) => format!("{key}/{place}"),
            None => key.to_owned(),
        });
        let envelope = Envelope {
            workspace: &self.workspace,
            ack: self.ack,
            traceparent: text("traceparent").and_then(Traceparent::parse),
            idempotency_key: given.as_deref(),
            foreign,
        };
        receivers.ingest_call(envelope, body, room)
    }

    /// Hands one of many records over, waiting for room as long as there is wait_budget. `room` is what it has already.
    pub(crate) async fn take_patiently(
        self: &Arc<Self>,
        receivers: &Arc<Receivers>,
        record: Record<'_>,
        place: usize,
        mut room: Option<Reservation>,
        wait_budget: &WaitBudget,
    ) -> Result<Queued, CallError> {
        loop {
            let reserved = room.take().map_or_else(|| receivers.pipeline.reserve(record.room_bytes()), Ok);
            let taken = match reserved {
                Ok(room) => self.take(receivers, record.clone(), Some(place), room).await,
                Err(why) => Err(why.into()),
            };
            match taken {
                Err(CallError::NotTaken(IngestError::Full)) if wait_budget.lasts().await => {}
                taken => return taken,
            }
        }
    }

    fn helicone_headers(&self) -> Vec<(&str, &str)> {
        let ours = self.headers.iter().filter(|(name, _)| name.as_str().starts_with(helicone::HEADER_PREFIX));
        ours.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect()
    }
}
