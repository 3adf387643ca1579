//! `POST .../ingest/litellm` and `.../ingest/helicone`: what other tools send of their own accord, one record or many.
//!
//! ```text
//! a single object              201 with the ids, or what is wrong with it
//! a JSON array                 200 with a list, by index       any refused for want of room: 503, send all again
//! one a line (as JSON too)     200 with a line each, by line   (what is stored already is recognised)
//! ```
//!
//! Here is also what a record's shape means: how it becomes a pair of ours.

use super::body;
use super::chat::{Envelope, IngestError, Stored, Taken, respond};
use super::patience::{PATIENCE, Patience};
use super::{Receivers, ack_wanted, chat_ndjson};
use crate::chat::records::{RECORDS_MAX, Records};
use crate::chat::{Traceparent, helicone, litellm};
use crate::pipeline::{Ack, NotTaken, Room};
use crate::telemetry::Receiver;
use crate::workspace::Workspace;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use std::sync::Arc;

/// Whose records they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Our own.
    Pair,
    /// LiteLLM's `generic_api` callback.
    LiteLlm,
    /// Helicone's custom log.
    Helicone,
}

/// Where records come from, and as what.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) shape: Shape,
    pub(super) workspace: Workspace,
    pub(super) ack: Ack,
    pub(super) headers: HeaderMap,
}

pub(super) async fn ingest_litellm(
    State(receivers): State<Arc<Receivers>>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    ingest(receivers, path.ok().map(|Path(workspace)| workspace), Shape::LiteLlm, request).await
}

pub(super) async fn ingest_helicone(
    State(receivers): State<Arc<Receivers>>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    ingest(receivers, path.ok().map(|Path(workspace)| workspace), Shape::Helicone, request).await
}

pub(super) async fn ingest_helicone_client(
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
        Err(refusal) => return *refusal,
    };
    let source = receivers.source(shape, workspace, head.headers);
    if chat_ndjson::is_announced(&source.headers) {
        return chat_ndjson::answer(receivers, source, body);
    }
    let (bytes, room) = match body::read(body, &source.headers, &receivers.pipeline, receivers.request_bytes_max).await
    {
        Ok(read) => read,
        Err(error) => return receivers.answer(Err(error.into())).await,
    };
    let records = Records::of(&bytes);
    if let Records::One(record) = records {
        return receivers.answer(source.take(&receivers, record, None, room)).await;
    }
    if records.iter().nth(RECORDS_MAX).is_some() {
        receivers.metrics.reject(Receiver::Chat, 1);
        let detail = json!({"detail": format!("more than {RECORDS_MAX} records; send smaller batches, or lines as application/x-ndjson")});
        return respond(StatusCode::PAYLOAD_TOO_LARGE, detail.to_string());
    }
    answer_all(&receivers, &source, records).await
}

/// Stores all records that are good. Waits for room once, for all of them together.
async fn answer_all(receivers: &Receivers, source: &Source, records: Records<'_>) -> Response {
    let is_list = matches!(records, Records::List(_));
    let (place_name, between, media) =
        if is_list { ("index", ",", "application/json") } else { ("line", "\n", "application/x-ndjson") };
    let patience = Patience::new(PATIENCE);
    let (mut results, mut must_repeat) = (String::new(), false);
    let mut all_taken = Vec::new();
    for (place, record) in records.iter() {
        // none waits for the one before it: they are made durable together
        all_taken.push((place, source.take_patiently(receivers, record, place, None, &patience).await));
    }
    for (place, taken) in all_taken {
        let stored = Taken::kept(taken).await;
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
    pub(super) fn source(&self, shape: Shape, workspace: Workspace, headers: HeaderMap) -> Source {
        // a header that says something else was refused when the request was admitted
        let ack = ack_wanted(&headers, self.http_ack).unwrap_or(self.http_ack);
        Source { shape, workspace, ack, headers }
    }

    /// What became of one of many records, as a JSON object; failures are counted.
    pub(super) fn result(&self, place_name: &str, place: usize, stored: Result<Stored, IngestError>) -> String {
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
    /// Hands one record over. `place` tells it from the others of one request.
    pub(super) fn take(
        &self,
        receivers: &Receivers,
        record: &[u8],
        place: Option<usize>,
        mut room: Room,
    ) -> Result<Taken, IngestError> {
        let text = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let options = &receivers.chat_options;
        let mut foreign = match self.shape {
            Shape::Pair => None,
            Shape::LiteLlm => Some(litellm::rewrite(record, options).map_err(IngestError::Invalid)?),
            Shape::Helicone => {
                Some(helicone::rewrite(record, &self.helicone_headers(), options).map_err(IngestError::Invalid)?)
            }
        };
        if let Some(foreign) = &foreign {
            room.grow(foreign.bytes_len())?;
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
        receivers.take_pair(envelope, body, room)
    }

    /// Hands one of many records over, waiting for room as long as there is patience. `room` is what it has already.
    pub(super) async fn take_patiently(
        &self,
        receivers: &Receivers,
        record: &[u8],
        place: usize,
        mut room: Option<Room>,
        patience: &Patience,
    ) -> Result<Taken, IngestError> {
        loop {
            let reserved = room.take().map_or_else(|| receivers.pipeline.reserve(record.len()), Ok);
            let taken =
                reserved.map_err(IngestError::from).and_then(|room| self.take(receivers, record, Some(place), room));
            match taken {
                Err(IngestError::NotTaken(NotTaken::Full)) if patience.lasts().await => {}
                taken => return taken,
            }
        }
    }

    fn helicone_headers(&self) -> Vec<(&str, &str)> {
        let ours = self.headers.iter().filter(|(name, _)| name.as_str().starts_with(helicone::HEADER_PREFIX));
        ours.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect()
    }
}
