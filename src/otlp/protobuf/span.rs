//! One span's message -> a row, or the reason why it is rejected.

use super::evaluations::{self, Evaluations};
use super::fields;
use super::rejection::{ItemError, Rejection};
use super::request::Request;
use super::value::text_of;
use super::walk::{Context, Items};
use super::wire::Fields;
use crate::columns::typed::JoinState;
use crate::columns::{MapRow, Mark, RowGroup, RowTooLarge, SpanKind, SpanScalars, StatusCode};
use crate::conventions;
use crate::genai::prices::Prices;
use crate::ids::{IdError, SpanId, TraceId};
use crate::otlp::decoded::{Decoded, Root};
use crate::otlp::error::{DecodeError, Part};
use crate::time::UnixNanos;
use std::borrow::Cow;
use twox_hash::XxHash3_64;

/// Decodes the spans of a request, and counts what it holds.
pub(super) struct SpanDecoder<'l> {
    request: Request<'l>,
    rows: Box<RowGroup>,
    roots: Vec<Root>,
    /// What evaluators say in events, once one does.
    evaluations: Option<Evaluations>,
    attributes_repeated: usize,
    prices: Option<&'l Prices>,
}

/// The fields of a span that come once, as they lie in the request.
#[derive(Default)]
struct SpanFields<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_span_id: &'a [u8],
    trace_state: Cow<'a, [u8]>,
    name: Cow<'a, [u8]>,
    kind: u64,
    start: u64,
    end: u64,
    status_code: u64,
    status_message: Cow<'a, [u8]>,
    flags: u32,
    /// Events that report an evaluation: hardly a span has one.
    evaluations: Vec<&'a [u8]>,
    /// Attributes that judge the span: as rare.
    judgements: Vec<&'a [u8]>,
}

impl SpanFields<'_> {
    fn is_evaluated(&self) -> bool {
        !self.evaluations.is_empty() || !self.judgements.is_empty()
    }
}

impl<'l> Items<'l> for SpanDecoder<'l> {
    fn request(&mut self) -> &mut Request<'l> {
        &mut self.request
    }

    /// Adds a span, or notes why it is not among the rows.
    fn item(&mut self, message: &[u8], context: &Context<'_>) -> Result<(), DecodeError> {
        self.request.begin_item(context.entries())?;
        let mark = self.rows.begin();
        let mut span = SpanFields::default();
        let added = self.row(message, &mut span, context, mark);
        match added {
            Ok(()) => {}
            Err(ItemError::Rejected(rejection)) => {
                self.rows.roll_back(mark);
                self.request.reject(&span.name, rejection);
            }
            Err(ItemError::Request(error)) => return Err(error),
        }
        let Request { begun, rejected, .. } = self.request;
        debug_assert_eq!(self.rows.rows() + rejected, begun, "each span is a row or rejected");
        let beside = self.evaluations.as_ref().map_or(0, Evaluations::counted_bytes);
        self.request.check_size(self.rows.counted_bytes() + beside)
    }

    fn reserve_alike(&mut self, item_bytes: usize, unread_bytes: usize) {
        self.rows.reserve_alike(item_bytes, unread_bytes);
    }
}

impl<'l> SpanDecoder<'l> {
    /// A decoder that adds to these rows, which are none yet.
    pub(super) fn new(request: Request<'l>, rows: Box<RowGroup>, prices: Option<&'l Prices>) -> Self {
        debug_assert_eq!(rows.rows(), 0, "the rows of a request are its own");
        Self { request, rows, roots: Vec::new(), evaluations: None, attributes_repeated: 0, prices }
    }

    pub(super) fn into_decoded(self) -> Decoded {
        let Self { request: Request { rejected, reasons, .. }, rows, roots, evaluations, attributes_repeated, .. } =
            self;
        let evaluations = evaluations.and_then(Evaluations::into_rows);
        Decoded { rows, evaluations, rejected, reasons, roots, attributes_repeated }
    }

    fn row<'m>(
        &mut self,
        message: &'m [u8],
        span: &mut SpanFields<'m>,
        context: &Context<'_>,
        mark: Mark,
    ) -> Result<(), ItemError> {
        let content = match context.broken {
            Some(rejection) => Err(rejection.into()),
            None => self.span_content(message, span),
        };
        // a wrong type in JSON is the best explanation
        match self.request.type_error() {
            Some(wrong) => return Err(Rejection::Type(wrong).into()),
            None => content?,
        }
        let scalars = scalars(message, span, context)?;
        let days = match &self.evaluations {
            Some(evaluations) => evaluations.days_with(scalars.start, &self.rows),
            None => self.rows.days_with(scalars.start),
        };
        self.request.check_time("start_time_unix_nano", scalars.start, days)?;
        let is_evaluated = span.is_evaluated();
        let session = self.finish(&scalars, context.resource, mark, is_evaluated).map_err(Rejection::Large)?;
        if is_evaluated {
            let Request { workspace, limits, .. } = &self.request;
            let evaluations = self.evaluations.get_or_insert_with(|| Evaluations::new(workspace.clone(), limits.depth));
            evaluations
                .judgements(&span.judgements, &scalars, session.as_deref())
                .map_err(ItemError::of("an attribute"))?;
            for event in &span.evaluations {
                let (span, of) = ((&scalars, session.as_deref()), (&self.request, &*self.rows));
                evaluations.event(event, span, of).map_err(ItemError::of("an event"))?;
            }
        }
        Ok(())
    }

    /// Adds the row, with what the span tells of a call. Of a span that was evaluated it gives the session, if it has one.
    fn finish(
        &mut self,
        span: &SpanScalars<'_>,
        resource: &MapRow,
        mark: Mark,
        is_evaluated: bool,
    ) -> Result<Option<String>, RowTooLarge> {
        let rows = &mut self.rows;
        let (mut filled, mut session) = (None, None);
        if let Some((view, sink)) = rows.view(mark, span, resource) {
            let mut call = conventions::normalise(&view);
            if let Some(prices) = self.prices {
                prices.complete(&mut call, span.start);
            }
            if (span.parent.is_none() || is_evaluated) && !call.session_id.is_empty() {
                session = Some(call.session_id.clone().into_owned());
            }
            filled = Some(sink.fill(&call)?);
        }
        let more = rows.move_content_of_events(mark, conventions::events::is_content_of_span_event);
        let filled = filled.map(|filled| filled.with_more(more)).transpose()?;
        self.attributes_repeated += rows.finish(mark, span, resource, filled)?;
        if span.parent.is_none() {
            let SpanScalars { trace_id, span_id, start, .. } = *span;
            let session = if is_evaluated { session.clone() } else { session.take() };
            self.roots.push(Root { trace_id, span_id, start, session });
        }
        Ok(session)
    }

    fn span_content<'a>(&mut self, message: &'a [u8], span: &mut SpanFields<'a>) -> Result<(), ItemError> {
        let wire = |problem| ItemError::of("it")(Part::Span.is()(problem));
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match fields::Span::of(field) {
                fields::Span::TraceId(id) => span.trace_id = id.get().map_err(wire)?,
                fields::Span::SpanId(id) => span.span_id = id.get().map_err(wire)?,
                fields::Span::ParentSpanId(id) => span.parent_span_id = id.get().map_err(wire)?,
                fields::Span::TraceState(text) => span.trace_state = text_of(text.get().map_err(wire)?),
                fields::Span::Name(text) => span.name = text_of(text.get().map_err(wire)?),
                fields::Span::Kind(number) => span.kind = number.get().map_err(wire)?,
                fields::Span::StartTimeUnixNano(nanos) => span.start = nanos.get().map_err(wire)?,
                fields::Span::EndTimeUnixNano(nanos) => span.end = nanos.get().map_err(wire)?,
                fields::Span::Attributes(message) => self.attribute(message.get().map_err(wire)?, span)?,
                fields::Span::Events(message) => self.event(message.get().map_err(wire)?, span)?,
                fields::Span::Links(message) => self.link(message.get().map_err(wire)?)?,
                fields::Span::Status(message) => {
                    status(message.get().map_err(wire)?, span).map_err(ItemError::of("its status"))?;
                }
                fields::Span::Flags(bits) => span.flags = bits.get().map_err(wire)?,
                fields::Span::DroppedAttributesCount(_)
                | fields::Span::DroppedEventsCount(_)
                | fields::Span::DroppedLinksCount(_)
                | fields::Span::Unknown => {}
            }
        }
        Ok(())
    }

    #[inline]
    fn attribute<'a>(&mut self, message: &'a [u8], span: &mut SpanFields<'a>) -> Result<(), ItemError> {
        let (key, text) = self.request.attribute(message).map_err(ItemError::of("an attribute"))?;
        if evaluations::is_judgement(&key) {
            span.judgements.push(message);
        }
        self.rows.attribute_of(conventions::kind(&key), &key, text);
        Ok(())
    }

    fn event<'a>(&mut self, message: &'a [u8], span: &mut SpanFields<'a>) -> Result<(), ItemError> {
        let wire = |problem| ItemError::of("an event")(Part::Event.is()(problem));
        self.request.count(1).map_err(ItemError::Request)?;
        let (mut at, mut name): (u64, &[u8]) = (0, &[]);
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match fields::Event::of(field) {
                fields::Event::TimeUnixNano(nanos) => at = nanos.get().map_err(wire)?,
                fields::Event::Name(text) => name = text.get().map_err(wire)?,
                fields::Event::Attributes(message) => {
                    let attribute = message.get().map_err(wire)?;
                    self.nested_attribute(attribute, "an event attribute", RowGroup::event_attribute)?;
                }
                fields::Event::DroppedAttributesCount(_) | fields::Event::Unknown => {}
            }
        }
        let name = text_of(name);
        if conventions::is_event(&name) {
            self.rows.mark_typed();
        }
        if *name == *evaluations::EVENT {
            span.evaluations.push(message);
        }
        self.rows.event(UnixNanos::new(at).ok_or(Rejection::Time("an event time"))?, &name);
        Ok(())
    }

    fn link(&mut self, message: &[u8]) -> Result<(), ItemError> {
        let wire = |problem| ItemError::of("a link")(Part::Link.is()(problem));
        self.request.count(1).map_err(ItemError::Request)?;
        let (mut trace_id, mut span_id, mut trace_state): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match fields::Link::of(field) {
                fields::Link::TraceId(id) => trace_id = id.get().map_err(wire)?,
                fields::Link::SpanId(id) => span_id = id.get().map_err(wire)?,
                fields::Link::TraceState(text) => trace_state = text.get().map_err(wire)?,
                fields::Link::Attributes(message) => {
                    let attribute = message.get().map_err(wire)?;
                    self.nested_attribute(attribute, "a link attribute", RowGroup::link_attribute)?;
                }
                fields::Link::DroppedAttributesCount(_) | fields::Link::Flags(_) | fields::Link::Unknown => {}
            }
        }
        let trace_id = TraceId::from_slice(trace_id).map_err(|error| Rejection::Id("a link's trace_id", error))?;
        let span_id = SpanId::from_slice(span_id).map_err(|error| Rejection::Id("a link's span_id", error))?;
        self.rows.link(trace_id, span_id, &text_of(trace_state));
        Ok(())
    }

    fn nested_attribute(
        &mut self,
        message: &[u8],
        what: &'static str,
        put: fn(&mut RowGroup, &[u8], &[u8]),
    ) -> Result<(), ItemError> {
        let (key, text) = self.request.attribute(message).map_err(ItemError::of(what))?;
        put(&mut self.rows, &key, text);
        Ok(())
    }
}

fn status<'a>(message: &'a [u8], span: &mut SpanFields<'a>) -> Result<(), DecodeError> {
    let wire = Part::Status.is();
    let mut unread = Fields::new(message);
    while let Some(field) = unread.next().map_err(&wire)? {
        match fields::Status::of(field) {
            fields::Status::Message(text) => span.status_message = text_of(text.get().map_err(&wire)?),
            fields::Status::Code(number) => span.status_code = number.get().map_err(&wire)?,
            fields::Status::Unknown => {}
        }
    }
    Ok(())
}

fn scalars<'a>(message: &[u8], span: &'a SpanFields<'_>, context: &Context<'a>) -> Result<SpanScalars<'a>, ItemError> {
    let start = UnixNanos::of_start(span.start).ok_or(Rejection::Late("start_time_unix_nano"))?;
    let end = UnixNanos::new(span.end).ok_or(Rejection::Time("end_time_unix_nano"))?;
    Ok(SpanScalars {
        start,
        duration_nanos: end.nanos_since(start),
        trace_id: TraceId::from_slice(span.trace_id).map_err(|error| Rejection::Id("trace_id", error))?,
        span_id: SpanId::from_slice(span.span_id).map_err(|error| Rejection::Id("span_id", error))?,
        parent: parent(span.parent_span_id)?,
        trace_state: &span.trace_state,
        name: &span.name,
        kind: SpanKind::from_otlp(span.kind),
        service_name: context.service_name,
        scope_name: context.scope_name,
        scope_version: context.scope_version,
        status: StatusCode::from_otlp(span.status_code),
        status_message: &span.status_message,
        raw_request: b"",
        raw_response: b"",
        join_state: JoinState::Ordinary,
        flags: span.flags,
        scope_attributes: Some(context.scope_attributes),
        resource_schema_url: context.resource_schema_url,
        scope_schema_url: context.scope_schema_url,
        fingerprint: XxHash3_64::oneshot(message) ^ context.fingerprint,
    })
}

/// No bytes, or as many zeros as an id has bytes, mean "no parent": some SDKs send the latter.
fn parent(bytes: &[u8]) -> Result<Option<SpanId>, Rejection> {
    match SpanId::from_slice(bytes) {
        Ok(id) => Ok(Some(id)),
        Err(IdError::Zero) => Ok(None),
        Err(_) if bytes.is_empty() => Ok(None),
        Err(error) => Err(Rejection::Id("parent_span_id", error)),
    }
}
