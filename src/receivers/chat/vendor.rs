//! Records of one request, our own or another tool's: how each becomes a captured call and is queued.

use crate::chat::vendor::{helicone, litellm};
use crate::chat::{self, Body, Traceparent};
use crate::pipeline::{Ack, IngestError, Reservation};
use crate::receivers::capacity_wait::WaitBudget;
use crate::receivers::chat::receiver::{ChatReceiver, Envelope, QueuedCall};
use crate::receivers::chat::response::CallError;
use crate::receivers::decoding::SMALL_BYTES_MAX;
use crate::workspace::Workspace;
use axum::http::HeaderMap;
use bytes::Bytes;
use std::sync::Arc;

/// Whose records they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Our own.
    CapturedCall,
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
    pub(crate) fn as_bytes(&self) -> &[u8] {
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

impl Source {
    /// Hands one record over. `place` tells it from the others of one request. A large one is worked on aside, and has room for
    /// its row before that is made.
    pub(crate) async fn take(
        self: &Arc<Self>,
        receiver: &Arc<ChatReceiver>,
        record: Record<'_>,
        place: Option<usize>,
        mut room: Reservation,
    ) -> Result<QueuedCall, CallError> {
        let own_bytes = record.room_bytes();
        let (record, body_bytes) = match record {
            Record::Owned(record) if record.len() > SMALL_BYTES_MAX => (record, 0),
            Record::Part(record, body_bytes) if record.len() > SMALL_BYTES_MAX => (record, body_bytes),
            small => return self.take_here(receiver, (small.as_bytes(), own_bytes), place, room),
        };
        // texts are kept as they were sent and as messages
        room.grow_within_all(record.len().saturating_mul(2), body_bytes)?;
        let (source, handed) = (Arc::clone(self), Arc::clone(receiver));
        receiver
            .bodies
            .decode_pool
            .run_on_thread(move |_| source.take_here(&handed, (&record, own_bytes), place, room))
            .await
    }

    /// `own_bytes` of the room are the record's.
    fn take_here(
        &self,
        receiver: &ChatReceiver,
        (record, own_bytes): (&[u8], usize),
        place: Option<usize>,
        mut room: Reservation,
    ) -> Result<QueuedCall, CallError> {
        let text = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let body = match self.shape {
            Shape::CapturedCall => Body::of_call(record),
            Shape::LiteLlm | Shape::Helicone => Body::of_record(record),
        };
        let (body, options) = (body.map_err(CallError::Invalid)?, &receiver.options);
        let headers = self.helicone_headers();
        let capture = match self.shape {
            Shape::CapturedCall => chat::parse(&body, options),
            Shape::LiteLlm => litellm::read(&body, options),
            Shape::Helicone => helicone::read(&body, &headers, options),
        };
        let capture = capture.map_err(CallError::Invalid)?;
        if capture.own_bytes_len() > 0 {
            room.cover(own_bytes.saturating_add(capture.own_bytes_len()))?;
        }
        let given = text("idempotency-key").map(|key| match place {
            Some(place) => format!("{key}/{place}"),
            None => key.to_owned(),
        });
        let envelope = Envelope {
            workspace: &self.workspace,
            ack: self.ack,
            traceparent: text("traceparent").and_then(Traceparent::parse),
            idempotency_key: given.as_deref(),
        };
        receiver.ingest_call(envelope, &capture, room)
    }

    /// Hands one of many records over, waiting for room as long as there is wait_budget. `room` is what it has already.
    pub(crate) async fn take_patiently(
        self: &Arc<Self>,
        receiver: &Arc<ChatReceiver>,
        record: Record<'_>,
        place: usize,
        mut room: Option<Reservation>,
        wait_budget: &WaitBudget,
    ) -> Result<QueuedCall, CallError> {
        loop {
            let reserved = room.take().map_or_else(|| receiver.ingest.pipeline.reserve(record.room_bytes()), Ok);
            let taken = match reserved {
                Ok(room) => self.take(receiver, record.clone(), Some(place), room).await,
                Err(why) => Err(why.into()),
            };
            match taken {
                Err(CallError::Ingest(IngestError::Full)) if wait_budget.pause().await => {}
                taken => return taken,
            }
        }
    }

    /// The headers that belong to Helicone's records.
    fn helicone_headers(&self) -> Vec<(&str, &str)> {
        if self.shape != Shape::Helicone {
            return Vec::new();
        }
        let ours = self.headers.iter().filter(|(name, _)| name.as_str().starts_with(helicone::HEADER_PREFIX));
        ours.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect()
    }
}
