//! Requests that are encoded once: for each one sent, the bytes are copied and the ids in them replaced, so that every
//! span is new and the load costs next to nothing.

use super::scenario::Workload;
use anyhow::Context as _;
use bytes::Bytes;
use memchr::memmem;
use support::samples::{self, CHAT_RESPONSE_ID, CHAT_TRACE_ID, Ids};

/// Numbers of ids below this are those of the template itself.
const FIRST_NUMBER: u64 = 1_000_000;

/// A request's body and where the ids in it are.
pub(crate) struct Template {
    body: Vec<u8>,
    places: Vec<Place>,
    spans: usize,
}

/// One id in the body, of the span at `index`.
struct Place {
    at: usize,
    index: u64,
    kind: Kind,
}

enum Kind {
    Trace,
    Span,
    Parent,
    TraceHex,
    SpanHex,
}

impl Template {
    pub(crate) fn new(workload: Workload) -> anyhow::Result<Self> {
        let spans = workload.spans_per_request();
        match workload {
            Workload::Spans | Workload::Single => Self::grpc(spans, &samples::request(spans, samples::ordinary)),
            Workload::Genai => Self::grpc(spans, &samples::request(spans, samples::genai)),
            Workload::Chat => Self::chat(samples::pair()),
        }
    }

    /// How many spans the request carries.
    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    /// Source: gRPC over HTTP/2, "Length-Prefixed-Message".
    fn grpc(spans: usize, message: &[u8]) -> anyhow::Result<Self> {
        let mut body = vec![0];
        body.extend(u32::try_from(message.len())?.to_be_bytes());
        body.extend_from_slice(message);
        let mut places = Vec::new();
        for index in (0..).take(spans) {
            let ids = Ids::of(index);
            let of_span = [(Kind::Trace, &ids.trace[..]), (Kind::Span, &ids.span), (Kind::Parent, &ids.parent)];
            for (kind, id) in of_span {
                let at = memmem::find(&body, id).context("an id of the sample is in its bytes")?;
                places.push(Place { at, index, kind });
            }
        }
        Ok(Self { body, places, spans })
    }

    fn chat(body: String) -> anyhow::Result<Self> {
        let of = |kind, text: &str| -> anyhow::Result<Place> {
            let at = body.find(text).context("an id of the sample is in its text")?;
            Ok(Place { at, index: 0, kind })
        };
        let mut response = of(Kind::SpanHex, CHAT_RESPONSE_ID)?;
        response.at += "chatcmpl-".len();
        let places = vec![of(Kind::TraceHex, CHAT_TRACE_ID)?, response];
        Ok(Self { body: body.into_bytes(), places, spans: 1 })
    }

    /// The body of the request with this number, unlike that of any other.
    pub(crate) fn body(&self, number: u64) -> Bytes {
        let mut body = self.body.clone();
        let spans = u64::try_from(self.spans).unwrap_or(u64::MAX);
        let first = number.saturating_mul(spans).saturating_add(FIRST_NUMBER);
        for Place { at, index, kind } in &self.places {
            let ids = Ids::of(first + index);
            match kind {
                Kind::Trace => put(&mut body, *at, &ids.trace),
                Kind::Span => put(&mut body, *at, &ids.span),
                Kind::Parent => put(&mut body, *at, &ids.parent),
                Kind::TraceHex => put(&mut body, *at, format!("{:032x}", u128::from_be_bytes(ids.trace)).as_bytes()),
                Kind::SpanHex => put(&mut body, *at, format!("{:016x}", u64::from_be_bytes(ids.span)).as_bytes()),
            }
        }
        body.into()
    }
}

fn put(body: &mut [u8], at: usize, id: &[u8]) {
    if let Some(place) = body.get_mut(at..at + id.len()) {
        place.copy_from_slice(id);
    }
}
