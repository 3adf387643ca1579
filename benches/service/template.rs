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
    /// The number of its first span.
    first: u64,
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
            Workload::Spans | Workload::Single | Workload::Connections | Workload::Large | Workload::Mixed => {
                Self::grpc(spans, &samples::request(spans, samples::ordinary), true)
            }
            Workload::Genai => Self::grpc(spans, &samples::request(spans, samples::genai), true),
            Workload::Logs => Self::grpc(spans, &samples::logs(spans), false),
            Workload::Points => Self::grpc(spans, &samples::points(spans), false),
            Workload::Chat => Self::calls(&samples::pair(), 1),
            Workload::Ndjson => Self::calls(&(samples::pair() + "\n"), spans),
        }
    }

    /// The same with ids that no other place has.
    pub(crate) fn at_place(self, place: usize) -> Self {
        const SPANS_OF_A_PLACE: u64 = 1 << 40;
        let first = u64::try_from(place).map_or(0, |place| place.saturating_mul(SPANS_OF_A_PLACE)) + FIRST_NUMBER;
        Self { first, ..self }
    }

    /// How many spans the request carries.
    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    /// Source: gRPC over HTTP/2, "Length-Prefixed-Message".
    fn grpc(spans: usize, message: &[u8], has_parents: bool) -> anyhow::Result<Self> {
        let mut body = vec![0];
        body.extend(u32::try_from(message.len())?.to_be_bytes());
        body.extend_from_slice(message);
        let (mut places, mut from) = (Vec::new(), 0);
        for index in (0..).take(spans) {
            let ids = Ids::of(index);
            let of_span = [(Kind::Trace, &ids.trace[..]), (Kind::Span, &ids.span), (Kind::Parent, &ids.parent)];
            let rest = body.get(from..).unwrap_or_default();
            let begin = memmem::find(rest, &ids.span).context("an id of the sample is in its bytes")? + from;
            let begin = memmem::find(rest, &ids.trace).map_or(begin, |trace| begin.min(trace + from));
            for (kind, id) in of_span.into_iter().take(if has_parents { 3 } else { 2 }) {
                let rest = body.get(begin..).unwrap_or_default();
                let at = memmem::find(rest, id).context("an id of the sample is in its bytes")? + begin;
                places.push(Place { at, index, kind });
            }
            // those of the next span come after it
            from = begin + 1;
        }
        Ok(Self { body, places, spans, first: FIRST_NUMBER })
    }

    /// Captured calls, one after the other.
    fn calls(call: &str, count: usize) -> anyhow::Result<Self> {
        let of = |text: &str| call.find(text).context("an id of the sample is in its text");
        let (trace, response) = (of(CHAT_TRACE_ID)?, of(CHAT_RESPONSE_ID)? + "chatcmpl-".len());
        let places_of = |(index, begin)| {
            let trace = Place { at: begin + trace, index, kind: Kind::TraceHex };
            [trace, Place { at: begin + response, index, kind: Kind::SpanHex }]
        };
        let places = (0..).zip((0..).step_by(call.len())).take(count).flat_map(places_of).collect();
        Ok(Self { body: call.repeat(count).into_bytes(), places, spans: count, first: FIRST_NUMBER })
    }

    /// The body of the request with this number, unlike that of any other.
    pub(crate) fn body(&self, number: u64) -> Bytes {
        let mut body = self.body.clone();
        let spans = u64::try_from(self.spans).unwrap_or(u64::MAX);
        let first = number.saturating_mul(spans).saturating_add(self.first);
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
