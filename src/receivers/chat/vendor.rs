//! Records of one request, our own or another tool's: how each becomes a captured call and is queued.

use crate::chat::vendor::{helicone, litellm};
use crate::chat::{self, Body, Traceparent};
use crate::pipeline::{Ack, IngestError, Reservation};
use crate::receivers::capacity_wait::WaitBudget;
use crate::receivers::chat::receiver::{ChatReceiver, Envelope, QueuedCall};
use crate::receivers::chat::response::CallError;
use crate::receivers::decoding::SMALL_BYTES_MAX;
use crate::receivers::http::headers::import_id;
use crate::redaction::{Rules, Tally};
use crate::workspace::Workspace;
use axum::http::HeaderMap;
use bytes::Bytes;
use std::borrow::Cow;
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
    /// Those of a body of so many bytes, whose reservation covers them.
    Part(Bytes, usize),
}

impl Record<'_> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) | Self::Part(bytes, _) => bytes,
        }
    }

    /// Bytes that are not reserved yet.
    fn bytes_to_reserve(&self) -> usize {
        match self {
            Self::Part(..) => 0,
            record => record.as_bytes().len(),
        }
    }
}

impl Source {
    /// Queues the row of one record; `place` is its number among those of one request. A large record is read on a thread, after
    /// memory for its row was reserved.
    pub(crate) async fn queue(
        self: &Arc<Self>,
        receiver: &Arc<ChatReceiver>,
        record: Record<'_>,
        place: Option<usize>,
        mut reservation: Reservation,
    ) -> Result<QueuedCall, CallError> {
        let quotas = &receiver.ingest.quotas;
        quotas.admit_record(&self.workspace)?;
        quotas.charge_bytes(&self.workspace, record.as_bytes().len());
        if self.shape == Shape::CapturedCall {
            self.check_experiment(receiver, &record).await?;
        }
        let own_bytes = record.bytes_to_reserve();
        let (record, body_bytes) = match record {
            Record::Owned(record) if record.len() > SMALL_BYTES_MAX => (record, 0),
            Record::Part(record, body_bytes) if record.len() > SMALL_BYTES_MAX => (record, body_bytes),
            small => return self.queue_here(receiver, (small.as_bytes(), own_bytes), place, reservation),
        };
        // texts are kept as they were sent and as messages
        reservation.grow_within_all(record.len().saturating_mul(2), body_bytes)?;
        let (source, handed) = (Arc::clone(self), Arc::clone(receiver));
        receiver
            .bodies
            .decode_pool
            .run_on_thread(move |_| source.queue_here(&handed, (&record, own_bytes), place, reservation))
            .await
    }

    /// Refuses a call for an experiment that is not there, in a workspace that has experiments. While ClickHouse does not say, calls are taken.
    async fn check_experiment(&self, receiver: &ChatReceiver, record: &Record<'_>) -> Result<(), CallError> {
        if !chat::may_have_context(record.as_bytes()) {
            return Ok(());
        }
        let named = match record {
            Record::Owned(call) | Record::Part(call, _) if call.len() > SMALL_BYTES_MAX => {
                let call = call.clone();
                receiver.bodies.decode_pool.run_on_thread(move |_| chat::named_experiment(&call)).await
            }
            small => chat::named_experiment(small.as_bytes()),
        };
        let Some(name) = named else { return Ok(()) };
        let strictly = receiver.options.strict_reference;
        match receiver.experiments.may_be_named(&self.workspace, &name, strictly).await {
            Some(false) => Err(CallError::NoExperiment(name)),
            Some(true) | None => Ok(()),
        }
    }

    /// `own_bytes` of the reservation are for the record itself.
    fn queue_here(
        &self,
        receiver: &ChatReceiver,
        (record, own_bytes): (&[u8], usize),
        place: Option<usize>,
        mut reservation: Reservation,
    ) -> Result<QueuedCall, CallError> {
        let text = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let redaction = receiver.ingest.redaction.now();
        let rules = redaction.of(&self.workspace);
        let mut found = Tally::default();
        let record = rules.map_or(Cow::Borrowed(record), |rules| redacted(rules, record, &mut found));
        let own_bytes = own_bytes.saturating_add(if let Cow::Owned(copy) = &record { copy.len() } else { 0 });
        let body = match self.shape {
            Shape::CapturedCall => Body::of_call(&record),
            Shape::LiteLlm | Shape::Helicone => Body::of_record(&record),
        };
        let (body, options) = (body.map_err(CallError::Invalid)?, &receiver.options);
        let headers = self.helicone_headers();
        let mut without_secrets = |(name, value)| match rules {
            Some(rules) => (name, rules.text(value, &mut found)),
            None => (name, Cow::Borrowed(value)),
        };
        let headers: Vec<(&str, Cow<'_, str>)> = headers.into_iter().map(&mut without_secrets).collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let capture = match self.shape {
            Shape::CapturedCall => chat::parse(&body, options),
            Shape::LiteLlm => litellm::read(&body, options),
            Shape::Helicone => helicone::read(&body, &headers, options),
        };
        let capture = capture.map_err(CallError::Invalid)?;
        if capture.own_bytes_len() > 0 || matches!(record, Cow::Owned(_)) {
            reservation.cover(own_bytes.saturating_add(capture.own_bytes_len()))?;
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
            redaction: rules.map(|rules| (rules, found)),
            import_id: import_id(&self.headers),
        };
        receiver.ingest_call(envelope, &capture, reservation)
    }

    /// Queues the row of one of many records, and waits for memory within the budget. `reservation` covers the record, if there is
    /// one already.
    pub(crate) async fn queue_patiently(
        self: &Arc<Self>,
        receiver: &Arc<ChatReceiver>,
        record: Record<'_>,
        place: usize,
        mut reservation: Option<Reservation>,
        wait_budget: &WaitBudget,
    ) -> Result<QueuedCall, CallError> {
        loop {
            let reserved =
                reservation.take().map_or_else(|| receiver.ingest.pipeline.reserve(record.bytes_to_reserve()), Ok);
            let queued = match reserved {
                Ok(reservation) => self.queue(receiver, record.clone(), Some(place), reservation).await,
                Err(why) => Err(why.into()),
            };
            match queued {
                Err(CallError::Ingest(IngestError::Full)) if wait_budget.pause().await => {}
                queued => return queued,
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

/// A record without what is to go. One that is no text is refused by whoever reads it.
fn redacted<'r>(rules: &Rules, record: &'r [u8], found: &mut Tally) -> Cow<'r, [u8]> {
    let Ok(text) = simdutf8::basic::from_utf8(record) else { return Cow::Borrowed(record) };
    match rules.text(text, found) {
        Cow::Borrowed(_) => Cow::Borrowed(record),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}
