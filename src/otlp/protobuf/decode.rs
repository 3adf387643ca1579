//! ExportTraceServiceRequest -> RowGroup, in one pass over the request's bytes.
//!
//! A span that is malformed is left out, counted and named, and so are those of a resource or scope that is. A request in which
//! the spans cannot be told apart, or that goes over a limit, is refused whole before anything of it is kept.
//!
//! Source: OTLP 1.11.0, trace.proto, common.proto, resource.proto (the field numbers below are theirs).

use super::value::{key_value, text, text_of};
use super::wire::{Fields, WireError};
use crate::bounds::{REQUEST_ROWS_BYTES_MAX, REQUEST_SPANS_MAX};
use crate::columns::typed::{JoinState, Normalise};
use crate::columns::{MapRow, RowGroup, RowTooLarge, SpanKind, SpanScalars, StatusCode};
use crate::conventions;
use crate::ids::{IdError, SpanId, TraceId};
use crate::otlp::json::{Transcoded, Wrong, WrongType};
use crate::retention::Cutoff;
use crate::time::UnixNanos;
use crate::timestamps::{DAYS_AT_ONCE, Outside, Window};
use crate::workspace::{self, Workspace};
use std::borrow::Cow;
use std::fmt;
use twox_hash::XxHash3_64;

/// Reasons kept for the answer; the count goes on.
const REASONS_MAX: usize = 3;

/// Days that the spans of one request may begin on. Each is a partition that its insert writes to, and ClickHouse takes
/// about 10 ms for each.
pub const DAYS_PER_REQUEST_MAX: usize = 400;
// what one request may have is admitted some time
const _: () = assert!(DAYS_PER_REQUEST_MAX as u64 <= DAYS_AT_ONCE);

/// What one request may contain.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Spans.
    pub spans: usize,
    /// Spans, attributes (those of a resource and a scope once for each of its spans), events and links together.
    pub items: usize,
    /// Bytes of the rows made from it.
    pub column_bytes: usize,
    /// Levels of nested lists and maps in an attribute.
    pub depth: usize,
    /// A span that began before it is not taken.
    pub cutoff: Option<Cutoff>,
    /// Nor one that begins outside of it.
    pub window: Option<Window>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            spans: REQUEST_SPANS_MAX,
            items: 2_000_000,
            column_bytes: REQUEST_ROWS_BYTES_MAX,
            depth: 32,
            cutoff: None,
            window: None,
        }
    }
}

/// How the sender wrote the request; only the words of a message depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Binary protobuf.
    Protobuf,
    /// OTLP/JSON.
    Json,
}

/// What a request became.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The valid spans.
    pub rows: RowGroup,
    /// How many spans are not among them.
    pub rejected: usize,
    /// The first few reasons, each naming its span.
    pub reasons: Vec<String>,
    /// The spans without a parent, for those who want to join their traces.
    pub roots: Vec<Root>,
    /// Attributes dropped because a later one of the same span had the same key.
    pub attributes_repeated: usize,
}

/// A span without a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// When it began.
    pub start: UnixNanos,
    /// What its column `SessionId` has.
    pub session: Option<String>,
}

/// Why a whole request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not the protobuf message they should be.
    #[error("the request is not valid OTLP: {part} {problem}")]
    Malformed {
        /// Where.
        part: Part,
        /// What.
        #[source]
        problem: WireError,
    },
    /// Lists and maps are nested too deep. Within a span it costs the span alone.
    #[error("an attribute is nested deeper than {max} levels")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// Its rows take more than can be stored at once.
    #[error("the spans of the request take more than {max} bytes as rows; send smaller batches")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// The request holds too much.
    #[error("the request has more than {max} {what}; send smaller batches")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// The part of a request that is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of OTLP's messages")]
pub enum Part {
    Request,
    ResourceSpans,
    Resource,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Status,
    Attribute,
    Value,
}

impl Part {
    /// Makes a wire error one of this part.
    pub(crate) fn is(self) -> impl Fn(WireError) -> DecodeError {
        move |problem| DecodeError::Malformed { part: self, problem }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "the ExportTraceServiceRequest",
            Self::ResourceSpans => "a ResourceSpans message",
            Self::Resource => "a Resource message",
            Self::ScopeSpans => "a ScopeSpans message",
            Self::Scope => "an InstrumentationScope message",
            Self::Span => "a Span message",
            Self::Event => "a Span.Event message",
            Self::Link => "a Span.Link message",
            Self::Status => "a Status message",
            Self::Attribute => "a KeyValue message",
            Self::Value => "an AnyValue message",
        })
    }
}

/// Decodes an ExportTraceServiceRequest in binary protobuf. A workspace that is not the default one is noted on the resource.
///
/// # Errors
/// When the bytes are not that message, or hold more than `limits`. Nothing is kept then.
pub fn decode_traces(
    request: &[u8],
    encoding: Encoding,
    workspace: &Workspace,
    limits: &Limits,
) -> Result<Decoded, DecodeError> {
    decode(request, encoding, &Wrong::new(), workspace, limits)
}

impl Transcoded {
    /// Decodes what was JSON.
    ///
    /// # Errors
    /// As [`decode_traces`].
    pub fn decode(&self, workspace: &Workspace, limits: &Limits) -> Result<Decoded, DecodeError> {
        decode(self.protobuf(), Encoding::Json, &self.wrong, workspace, limits)
    }
}

fn decode(
    request: &[u8],
    encoding: Encoding,
    wrong: &Wrong,
    workspace: &Workspace,
    limits: &Limits,
) -> Result<Decoded, DecodeError> {
    let out = Decoded { rows: RowGroup::for_request_of(request.len(), workspace.clone()), ..Decoded::default() };
    let mut decoder = Decoder { out, encoding, wrong, workspace, limits, spans: 0, items: 0, scratch: String::new() };
    let mut fields = Fields::new(request);
    while let Some((number, value)) = fields.next().map_err(Part::Request.is())? {
        if number == 1 {
            decoder.resource_spans(value.bytes().map_err(Part::Request.is())?)?;
        }
    }
    Ok(decoder.out)
}

/// Counts the spans of a request without reading them, for a request that there is no room for. What is not OTLP has none.
#[must_use]
pub fn count_spans(request: &[u8]) -> usize {
    let mut spans = 0;
    let _malformed_counts_so_far = each_field(request, Part::Request, 1, |resource_spans| {
        each_field(resource_spans, Part::ResourceSpans, 2, |scope_spans| {
            each_field(scope_spans, Part::ScopeSpans, 2, |_span| {
                spans += 1;
                Ok(())
            })
        })
    });
    spans
}

struct Decoder<'l> {
    out: Decoded,
    encoding: Encoding,
    /// Spans that had a value of the wrong type in JSON.
    wrong: &'l Wrong,
    workspace: &'l Workspace,
    limits: &'l Limits,
    spans: usize,
    items: usize,
    scratch: String,
}

/// What is the same for all spans of one resource.
struct ResourceContext<'a> {
    row: &'a MapRow,
    service_name: &'a [u8],
    schema_url: &'a [u8],
    fingerprint: u64,
    broken: Option<Rejection>,
}

/// A scope as it lies in the request.
#[derive(Default)]
struct ScopeFields<'a> {
    name: Cow<'a, [u8]>,
    version: Cow<'a, [u8]>,
    attributes: MapRow,
    schema_url: Cow<'a, [u8]>,
}

/// What is the same for all spans of one scope.
struct Context<'a> {
    resource: &'a MapRow,
    service_name: &'a [u8],
    scope_name: &'a [u8],
    scope_version: &'a [u8],
    scope_attributes: &'a MapRow,
    resource_schema_url: &'a [u8],
    scope_schema_url: &'a [u8],
    /// What resource and scope add to the fingerprints of their spans.
    fingerprint: u64,
    /// Set when the resource or scope is malformed in its content, which costs all of its spans.
    broken: Option<Rejection>,
}

/// Why a span is left out.
#[derive(Debug, Clone, Copy)]
enum Rejection {
    Id(&'static str, IdError),
    Time(&'static str),
    LateStart,
    Content(&'static str, DecodeError),
    Days,
    /// No block takes it.
    Large(RowTooLarge),
    /// It began then.
    Old(UnixNanos),
    /// In JSON.
    Type(WrongType),
    /// It begins at a time that nobody expects.
    Outside(Outside),
}

/// How decoding a span's content failed.
enum SpanError {
    Rejected(Rejection),
    Request(DecodeError),
}

impl SpanError {
    /// Decides whether a problem within a span costs the span or the request.
    fn of(field: &'static str) -> impl Fn(DecodeError) -> Self {
        move |error| match error {
            DecodeError::Malformed { .. } | DecodeError::TooDeep { .. } => {
                Self::Rejected(Rejection::Content(field, error))
            }
            DecodeError::TooLarge { .. } | DecodeError::TooMany { .. } => Self::Request(error),
        }
    }
}

impl From<Rejection> for SpanError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
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
}

impl Decoder<'_> {
    /// The resource may come behind its spans, so the message's top level is walked twice.
    fn resource_spans(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        let mut resource = MapRow::for_message_of(message.len());
        let mut service_name = Vec::new();
        let mut broken = None;
        let mut fingerprint = 0;
        each_field(message, Part::ResourceSpans, 1, |bytes| {
            fingerprint = XxHash3_64::oneshot_with_seed(fingerprint, bytes);
            match self.resource(bytes, &mut resource, &mut service_name) {
                Err(error @ (DecodeError::Malformed { .. } | DecodeError::TooDeep { .. })) => {
                    broken = Some(Rejection::Content("its resource", error));
                    Ok(())
                }
                other => other,
            }
        })?;
        if *self.workspace != Workspace::default() {
            resource.push(workspace::ATTRIBUTE.as_bytes(), self.workspace.as_str().as_bytes());
        }
        resource.keep_last_of_each_key();
        let mut schema_url: Cow<'_, [u8]> = Cow::default();
        each_field(message, Part::ResourceSpans, 3, |bytes| {
            schema_url = text_of(bytes);
            Ok(())
        })?;
        let fingerprint = XxHash3_64::oneshot_with_seed(fingerprint, &schema_url);
        let context = ResourceContext {
            row: &resource,
            service_name: &service_name,
            schema_url: &schema_url,
            fingerprint,
            broken,
        };
        each_field(message, Part::ResourceSpans, 2, |bytes| self.scope_spans(bytes, &context))
    }

    fn resource(&mut self, message: &[u8], row: &mut MapRow, service_name: &mut Vec<u8>) -> Result<(), DecodeError> {
        each_field(message, Part::Resource, 1, |attribute| {
            self.shared_attribute(attribute, |key, value| {
                // which workspace it is, the door says and not the sender
                if key == workspace::ATTRIBUTE.as_bytes() {
                    return;
                }
                if key == b"service.name" {
                    service_name.clear();
                    service_name.extend_from_slice(value);
                }
                row.push(key, value);
            })
        })
    }

    /// An attribute of a resource or scope.
    fn shared_attribute(&mut self, message: &[u8], put: impl FnOnce(&[u8], &[u8])) -> Result<(), DecodeError> {
        self.count(1)?;
        let (key, value) = key_value(message)?;
        put(&key, text(value, 1, self.limits.depth, &mut self.scratch)?);
        Ok(())
    }

    fn scope_spans(&mut self, message: &[u8], resource: &ResourceContext<'_>) -> Result<(), DecodeError> {
        let mut scope = ScopeFields::default();
        let (mut broken, mut fingerprint) = (resource.broken, resource.fingerprint);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next().map_err(Part::ScopeSpans.is())? {
            match number {
                1 => {
                    let bytes = value.bytes().map_err(Part::ScopeSpans.is())?;
                    fingerprint = XxHash3_64::oneshot_with_seed(fingerprint, bytes);
                    match self.scope(bytes, &mut scope) {
                        Err(error @ (DecodeError::Malformed { .. } | DecodeError::TooDeep { .. })) => {
                            broken = Some(Rejection::Content("its scope", error));
                        }
                        other => other?,
                    }
                }
                3 => scope.schema_url = text_of(value.bytes().map_err(Part::ScopeSpans.is())?),
                _ => {}
            }
        }
        scope.attributes.keep_last_of_each_key();
        let context = Context {
            resource: resource.row,
            service_name: resource.service_name,
            scope_name: &scope.name,
            scope_version: &scope.version,
            scope_attributes: &scope.attributes,
            resource_schema_url: resource.schema_url,
            scope_schema_url: &scope.schema_url,
            fingerprint: XxHash3_64::oneshot_with_seed(fingerprint, &scope.schema_url),
            broken,
        };
        let mut unread = message.len();
        let mut first = true;
        each_field(message, Part::ScopeSpans, 2, |span| {
            unread = unread.saturating_sub(span.len());
            self.span(span, &context)?;
            if std::mem::replace(&mut first, false) {
                self.out.rows.reserve_alike(span.len(), unread);
            }
            Ok(())
        })
    }

    fn scope<'a>(&mut self, message: &'a [u8], scope: &mut ScopeFields<'a>) -> Result<(), DecodeError> {
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next().map_err(Part::Scope.is())? {
            match number {
                1 => scope.name = text_of(value.bytes().map_err(Part::Scope.is())?),
                2 => scope.version = text_of(value.bytes().map_err(Part::Scope.is())?),
                3 => {
                    let attribute = value.bytes().map_err(Part::Scope.is())?;
                    self.shared_attribute(attribute, |key, value| scope.attributes.push(key, value))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn span(&mut self, message: &[u8], context: &Context<'_>) -> Result<(), DecodeError> {
        self.spans += 1;
        if self.spans > self.limits.spans {
            return Err(DecodeError::TooMany { what: "spans", max: self.limits.spans });
        }
        self.count(1 + context.resource.entries() + context.scope_attributes.entries())?;
        let mark = self.out.rows.begin();
        let mut span = SpanFields::default();
        let outcome = match context.broken {
            Some(rejection) => Err(SpanError::Rejected(rejection)),
            None => self.span_content(message, &mut span),
        };
        let wrong = self.wrong.get(&(self.spans - 1)).map(|wrong| Rejection::Type(*wrong).into());
        let outcome = wrong.map_or(outcome, Err).and_then(|()| scalars(message, &span, context));
        let outcome = outcome.and_then(|scalars| match self.out.rows.days_with(scalars.start) {
            _ if self.limits.cutoff.is_some_and(|cutoff| cutoff.excludes(scalars.start)) => {
                Err(Rejection::Old(scalars.start).into())
            }
            days if days > DAYS_PER_REQUEST_MAX => Err(Rejection::Days.into()),
            _ => match self.limits.window.map_or(Ok(()), |window| window.check(scalars.start)) {
                Ok(()) => Ok(scalars),
                Err(outside) => Err(Rejection::Outside(outside).into()),
            },
        });
        let finished = outcome.and_then(|scalars| {
            let normalise = conventions::normalise as Normalise;
            let repeated = self.out.rows.finish(mark, &scalars, context.resource, normalise);
            Ok((scalars, repeated.map_err(Rejection::Large)?))
        });
        match finished {
            Ok((scalars, repeated)) => {
                self.out.attributes_repeated += repeated;
                if scalars.parent.is_none() {
                    self.out.roots.push(root(&scalars, self.out.rows.last_session()));
                }
                self.check_size()
            }
            Err(SpanError::Rejected(rejection)) => {
                self.out.rows.roll_back(mark);
                self.reject(&span, rejection);
                Ok(())
            }
            Err(SpanError::Request(error)) => Err(error),
        }
    }

    fn span_content<'a>(&mut self, message: &'a [u8], span: &mut SpanFields<'a>) -> Result<(), SpanError> {
        let wire = |problem| SpanError::of("it")(Part::Span.is()(problem));
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next().map_err(wire)? {
            match number {
                1 => span.trace_id = value.bytes().map_err(wire)?,
                2 => span.span_id = value.bytes().map_err(wire)?,
                3 => span.trace_state = text_of(value.bytes().map_err(wire)?),
                4 => span.parent_span_id = value.bytes().map_err(wire)?,
                5 => span.name = text_of(value.bytes().map_err(wire)?),
                6 => span.kind = value.varint().map_err(wire)?,
                7 => span.start = value.fixed64().map_err(wire)?,
                8 => span.end = value.fixed64().map_err(wire)?,
                9 => self.attribute(value.bytes().map_err(wire)?)?,
                11 => self.event(value.bytes().map_err(wire)?)?,
                13 => self.link(value.bytes().map_err(wire)?)?,
                16 => span.flags = value.fixed32().map_err(wire)?,
                15 => status(value.bytes().map_err(wire)?, span).map_err(SpanError::of("its status"))?,
                _ => {}
            }
        }
        Ok(())
    }

    #[inline]
    fn attribute(&mut self, message: &[u8]) -> Result<(), SpanError> {
        let content = SpanError::of("an attribute");
        self.count(1).map_err(SpanError::Request)?;
        let (key, value) = key_value(message).map_err(&content)?;
        let text = text(value, 1, self.limits.depth, &mut self.scratch).map_err(&content)?;
        self.out.rows.attribute_of(conventions::kind(&key), &key, text);
        Ok(())
    }

    fn event(&mut self, message: &[u8]) -> Result<(), SpanError> {
        let wire = |problem| SpanError::of("an event")(Part::Event.is()(problem));
        self.count(1).map_err(SpanError::Request)?;
        let (mut at, mut name): (u64, &[u8]) = (0, &[]);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next().map_err(wire)? {
            match number {
                1 => at = value.fixed64().map_err(wire)?,
                2 => name = value.bytes().map_err(wire)?,
                3 => self.nested_attribute(
                    value.bytes().map_err(wire)?,
                    "an event attribute",
                    RowGroup::event_attribute,
                )?,
                _ => {}
            }
        }
        let name = text_of(name);
        if conventions::is_event(&name) {
            self.out.rows.mark_typed();
        }
        self.out.rows.event(UnixNanos::new(at).ok_or(Rejection::Time("an event time"))?, &name);
        Ok(())
    }

    fn link(&mut self, message: &[u8]) -> Result<(), SpanError> {
        let wire = |problem| SpanError::of("a link")(Part::Link.is()(problem));
        self.count(1).map_err(SpanError::Request)?;
        let (mut trace_id, mut span_id, mut trace_state): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next().map_err(wire)? {
            match number {
                1 => trace_id = value.bytes().map_err(wire)?,
                2 => span_id = value.bytes().map_err(wire)?,
                3 => trace_state = value.bytes().map_err(wire)?,
                4 => {
                    self.nested_attribute(value.bytes().map_err(wire)?, "a link attribute", RowGroup::link_attribute)?
                }
                _ => {}
            }
        }
        let trace_id = TraceId::from_slice(trace_id).map_err(|error| Rejection::Id("a link's trace_id", error))?;
        let span_id = SpanId::from_slice(span_id).map_err(|error| Rejection::Id("a link's span_id", error))?;
        self.out.rows.link(trace_id, span_id, &text_of(trace_state));
        Ok(())
    }

    fn nested_attribute(
        &mut self,
        message: &[u8],
        what: &'static str,
        put: fn(&mut RowGroup, &[u8], &[u8]),
    ) -> Result<(), SpanError> {
        let content = SpanError::of(what);
        self.count(1).map_err(SpanError::Request)?;
        let (key, value) = key_value(message).map_err(&content)?;
        let text = text(value, 1, self.limits.depth, &mut self.scratch).map_err(&content)?;
        put(&mut self.out.rows, &key, text);
        Ok(())
    }

    fn count(&mut self, items: usize) -> Result<(), DecodeError> {
        self.items += items;
        if self.items > self.limits.items {
            return Err(DecodeError::TooMany { what: "spans, attributes, events and links", max: self.limits.items });
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), DecodeError> {
        if self.out.rows.counted_bytes() > self.limits.column_bytes {
            return Err(DecodeError::TooLarge { max: self.limits.column_bytes });
        }
        Ok(())
    }

    fn reject(&mut self, span: &SpanFields<'_>, rejection: Rejection) {
        self.out.rejected += 1;
        if self.out.reasons.len() < REASONS_MAX {
            let why = match rejection {
                Rejection::Id(field, _) if self.encoding == Encoding::Json => {
                    let digits = if field.ends_with("trace_id") { TraceId::HEX } else { SpanId::HEX };
                    format!("{field} must be {digits} hex digits, not all zero")
                }
                Rejection::Id(field, error) => format!("{field} {error}"),
                Rejection::Days => {
                    format!("it begins on one day more than the {DAYS_PER_REQUEST_MAX} that a request may span")
                }
                Rejection::Large(row) => format!("{row}; send less content in it"),
                Rejection::Old(start) => {
                    let words = self.limits.cutoff.map(|cutoff| cutoff.describe(start, self.workspace));
                    format!("start_time_unix_nano {}", words.unwrap_or_default())
                }
                Rejection::Outside(outside) => format!("start_time_unix_nano {outside}"),
                Rejection::Time(field) => format!("{field} is later than the year 2262"),
                Rejection::LateStart => "start_time_unix_nano is later than the year 2105".to_owned(),
                Rejection::Type(wrong) => wrong.to_string(),
                Rejection::Content(_, DecodeError::Malformed { part, problem }) => format!("{part} {problem}"),
                Rejection::Content(field, error) => format!("{field}: {error}"),
            };
            self.out.reasons.push(format!("span {} ({}): {why}", self.spans, short_name(&span.name)));
        }
    }
}

/// Calls `f` with each occurrence of a length-delimited field.
fn each_field<'a>(
    message: &'a [u8],
    part: Part,
    wanted: u32,
    mut f: impl FnMut(&'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next().map_err(part.is())? {
        if number == wanted {
            f(value.bytes().map_err(part.is())?)?;
        }
    }
    Ok(())
}

fn status<'a>(message: &'a [u8], span: &mut SpanFields<'a>) -> Result<(), DecodeError> {
    let wire = Part::Status.is();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next().map_err(&wire)? {
        match number {
            2 => span.status_message = text_of(value.bytes().map_err(&wire)?),
            3 => span.status_code = value.varint().map_err(&wire)?,
            _ => {}
        }
    }
    Ok(())
}

fn scalars<'a>(message: &[u8], span: &'a SpanFields<'_>, context: &Context<'a>) -> Result<SpanScalars<'a>, SpanError> {
    let start = UnixNanos::of_start(span.start).ok_or(Rejection::LateStart)?;
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
        session: b"",
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

fn root(scalars: &SpanScalars<'_>, session: &[u8]) -> Root {
    let session = (!session.is_empty()).then(|| String::from_utf8_lossy(session).into_owned());
    Root { trace_id: scalars.trace_id, span_id: scalars.span_id, start: scalars.start, session }
}

/// A span's name for a message: short, and without what a terminal would act on.
fn short_name(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    if text.is_empty() {
        return "without a name".to_owned();
    }
    let shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests;
