//! ExportLogsServiceRequest -> rows of `otel_logs`, in one pass over the request's bytes.
//!
//! A record that is malformed is left out, counted and named, and so are those of a resource or scope that is. The time of a record is
//! when it happened, or else when it was observed, as the OpenTelemetry ClickHouse exporter has it. A body is a text as it is,
//! and anything else as JSON.
//!
//! Source: OTLP 1.11.0, logs.proto.

use super::evaluations::Evaluations;
use super::event_span::EventSpans;
use super::fields;
use super::rejection::{ItemError, Rejection};
use super::request::Request;
use super::value::{key_value, text, text_of};
use super::walk::{Context, Items, walk};
use super::wire::Fields;
use crate::columns::typed::Kind;
use crate::columns::{Group as _, Records, Table, logs};
use crate::conventions;
use crate::conventions::events;
use crate::genai::prices::Prices;
use crate::ids::{IdError, SpanId, TraceId};
use crate::otlp::decoded::{DecodedRecords, Encoding};
use crate::otlp::error::{DecodeError, Part, TypeErrors};
use crate::otlp::limits::Limits;
use crate::otlp::signal::Signal;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::borrow::Cow;
use twox_hash::XxHash3_128;

/// Decodes an ExportLogsServiceRequest in binary protobuf. A workspace that is not the default one is noted on the resource.
///
/// # Errors
/// If the bytes are not that message, or hold more than `limits`. Nothing is kept then.
pub fn decode_logs(
    request: &[u8],
    encoding: Encoding,
    workspace: &Workspace,
    limits: &Limits,
) -> Result<DecodedRecords, DecodeError> {
    decode_logs_priced(request, encoding, workspace, limits, None)
}

/// The same; calls that a record reports without a cost get one from the prices, if there are any.
///
/// # Errors
/// As [`decode_logs`].
pub fn decode_logs_priced(
    request: &[u8],
    encoding: Encoding,
    workspace: &Workspace,
    limits: &Limits,
    prices: Option<&Prices>,
) -> Result<DecodedRecords, DecodeError> {
    decode((request, encoding), &TypeErrors::new(), workspace, limits, prices)
}

/// The same; `type_errors` are what JSON had wrong.
pub(crate) fn decode(
    (request, encoding): (&[u8], Encoding),
    type_errors: &TypeErrors,
    workspace: &Workspace,
    limits: &Limits,
    prices: Option<&Prices>,
) -> Result<DecodedRecords, DecodeError> {
    let under_way = Request::new(Signal::Logs, encoding, type_errors, workspace.clone(), limits);
    let rows = Box::new(Records::new(Table::Logs, workspace.clone()));
    let spans = EventSpans::new(workspace.clone(), limits, prices);
    let evaluations = Evaluations::new(workspace.clone(), limits.depth);
    let (event_name, is_agents) = (Vec::new(), false);
    let mut records =
        LogDecoder { request: under_way, rows, spans, evaluations, event_name, is_agents, attributes_repeated: 0 };
    walk(request, &mut records)?;
    let LogDecoder {
        request: Request { rejected, reasons, .. }, rows, spans, evaluations, attributes_repeated, ..
    } = records;
    let spans = spans.into_rows();
    let groups = Some(rows).filter(|rows| rows.rows() > 0).into_iter().chain(evaluations.into_rows()).collect();
    Ok(DecodedRecords { groups, spans, rejected, reasons, attributes_repeated })
}

/// Decodes the log records of a request.
struct LogDecoder<'l> {
    request: Request<'l>,
    rows: Box<Records>,
    spans: EventSpans<'l>,
    evaluations: Evaluations,
    /// The attribute `event.name` of the record under way.
    event_name: Vec<u8>,
    /// The record under way is an event of a coding agent, of which more keys are content.
    is_agents: bool,
    attributes_repeated: usize,
}

/// The fields of a log record that come once, as they lie in the request.
#[derive(Default)]
struct LogFields<'a> {
    time: u64,
    observed: u64,
    severity_number: u64,
    severity_text: Cow<'a, [u8]>,
    body: &'a [u8],
    flags: u32,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    event_name: Cow<'a, [u8]>,
}

impl<'l> Items<'l> for LogDecoder<'l> {
    fn request(&mut self) -> &mut Request<'l> {
        &mut self.request
    }

    fn end_scope(&mut self, context: &Context<'_>) {
        self.spans.end_scope(context);
    }

    /// Adds a log record, or notes why it is not among the rows.
    fn item(&mut self, message: &[u8], context: &Context<'_>) -> Result<(), DecodeError> {
        self.request.begin_item(context.entries())?;
        let mut record = LogFields::default();
        match self.row(message, &mut record, context) {
            Ok(()) => {}
            Err(ItemError::Rejected(rejection)) => {
                self.rows.roll_back();
                self.request.reject(&record.event_name, rejection);
            }
            Err(ItemError::Request(error)) => return Err(error),
        }
        let Request { begun, rejected, .. } = self.request;
        debug_assert_eq!(self.rows.rows() + rejected, begun, "each record is a row or rejected");
        let beside = self.spans.counted_bytes() + self.evaluations.counted_bytes();
        self.request.check_size(self.rows.counted_bytes() + beside)
    }
}

impl LogDecoder<'_> {
    fn row<'m>(
        &mut self,
        message: &'m [u8],
        record: &mut LogFields<'m>,
        context: &Context<'_>,
    ) -> Result<(), ItemError> {
        (self.is_agents, self.event_name) = (false, Vec::new());
        let content = match context.broken {
            Some(rejection) => Err(rejection.into()),
            None => self.content(message, record),
        };
        // a wrong type in JSON is the best explanation
        match self.request.type_error() {
            Some(wrong) => return Err(Rejection::Type(wrong).into()),
            None => content?,
        }
        let event_name = std::mem::take(&mut self.event_name);
        let event_name = if record.event_name.is_empty() { event_name.as_slice() } else { &record.event_name };
        let name = events::name(event_name, context.scope_name);
        if events::is_agents(&name) {
            // what of its attributes is content is known only now
            self.is_agents = true;
            self.rows.roll_back();
            self.content(message, &mut LogFields::default())?;
        }
        let (field, time) = match record.time {
            0 => ("observed_time_unix_nano", record.observed),
            time => ("time_unix_nano", time),
        };
        let time = UnixNanos::of_start(time).ok_or(Rejection::Late(field))?;
        self.request.check_time(field, time, self.rows.days_with(time))?;
        self.put_body(record.body, events::body_is_content(&name))?;
        self.put_scalars(record, time)?;
        self.put_context(context);
        for map in [logs::LOG_ATTRIBUTES, logs::CONTENT_ATTRIBUTES] {
            self.attributes_repeated += self.rows.keep_last_of_each_key(map);
        }
        let content = XxHash3_128::oneshot_with_seed(context.fingerprint, message);
        self.rows.finish(time, content).map_err(Rejection::Large)?;
        self.spans.record(message, context, &name);
        self.evaluations.record((message, event_name), context, (time, content));
        Ok(())
    }

    fn content<'a>(&mut self, message: &'a [u8], record: &mut LogFields<'a>) -> Result<(), ItemError> {
        let wire = |problem| ItemError::of("it")(Part::LogRecord.is()(problem));
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(wire)? {
            match fields::LogRecord::of(field) {
                fields::LogRecord::TimeUnixNano(nanos) => record.time = nanos.get().map_err(wire)?,
                fields::LogRecord::ObservedTimeUnixNano(nanos) => record.observed = nanos.get().map_err(wire)?,
                fields::LogRecord::SeverityNumber(number) => record.severity_number = number.get().map_err(wire)?,
                fields::LogRecord::SeverityText(text) => record.severity_text = text_of(text.get().map_err(wire)?),
                fields::LogRecord::Body(message) => record.body = message.get().map_err(wire)?,
                fields::LogRecord::Attributes(message) => self.attribute(message.get().map_err(wire)?)?,
                fields::LogRecord::Flags(bits) => record.flags = bits.get().map_err(wire)?,
                fields::LogRecord::TraceId(id) => record.trace_id = id.get().map_err(wire)?,
                fields::LogRecord::SpanId(id) => record.span_id = id.get().map_err(wire)?,
                fields::LogRecord::EventName(text) => record.event_name = text_of(text.get().map_err(wire)?),
                fields::LogRecord::DroppedAttributesCount(_) | fields::LogRecord::Unknown => {}
            }
        }
        Ok(())
    }

    /// Adds an attribute; messages of a model call go to a map of their own.
    fn attribute(&mut self, message: &[u8]) -> Result<(), ItemError> {
        let wrong = ItemError::of("an attribute");
        self.request.count(1).map_err(ItemError::Request)?;
        let (key, value) = key_value(message).map_err(&wrong)?;
        let Request { limits, scratch, .. } = &mut self.request;
        let text = text(value, 1, limits.depth, scratch).map_err(&wrong)?;
        if *key == *b"event.name" {
            self.event_name.clear();
            self.event_name.extend_from_slice(text);
        }
        let is_content =
            conventions::kind(&key) == Kind::Content || (self.is_agents && events::is_agents_content(&key));
        let map = if is_content { logs::CONTENT_ATTRIBUTES } else { logs::LOG_ATTRIBUTES };
        self.rows.entry(map, &key, text);
        Ok(())
    }

    /// Adds the body; a message of a model call goes to the map of content.
    fn put_body(&mut self, message: &[u8], is_content: bool) -> Result<(), ItemError> {
        let Request { limits, scratch, .. } = &mut self.request;
        let body = text(message, 1, limits.depth, scratch).map_err(ItemError::of("its body"))?;
        match is_content && !body.is_empty() {
            true => self.rows.entry(logs::CONTENT_ATTRIBUTES, b"body", body),
            false => self.rows.text(logs::BODY, body),
        }
        Ok(())
    }

    fn put_scalars(&mut self, record: &LogFields<'_>, time: UnixNanos) -> Result<(), Rejection> {
        let rows = &mut self.rows;
        rows.fixed(logs::TIMESTAMP, time.nanos().to_le_bytes());
        if let Some(id) = given(record.trace_id, TraceId::from_slice, "trace_id")? {
            rows.text(logs::TRACE_ID, &id.hex());
        }
        if let Some(id) = given(record.span_id, SpanId::from_slice, "span_id")? {
            rows.text(logs::SPAN_ID, &id.hex());
        }
        // the other bits are reserved. Source: OTLP logs.proto, `LogRecordFlags`
        let [trace_flags, ..] = record.flags.to_le_bytes();
        rows.fixed(logs::TRACE_FLAGS, [trace_flags]);
        // a number that the enum does not have is unspecified
        rows.fixed(logs::SEVERITY_NUMBER, [u8::try_from(record.severity_number).unwrap_or(0)]);
        for (column, text) in [(logs::SEVERITY_TEXT, &record.severity_text), (logs::EVENT_NAME, &record.event_name)] {
            rows.text(column, text);
        }
        Ok(())
    }

    fn put_context(&mut self, context: &Context<'_>) {
        let rows = &mut self.rows;
        for (column, text) in [
            (logs::SERVICE_NAME, context.service_name),
            (logs::RESOURCE_SCHEMA_URL, context.resource_schema_url),
            (logs::SCOPE_SCHEMA_URL, context.scope_schema_url),
            (logs::SCOPE_NAME, context.scope_name),
            (logs::SCOPE_VERSION, context.scope_version),
        ] {
            rows.text(column, text);
        }
        rows.map(logs::RESOURCE_ATTRIBUTES, context.resource);
        rows.map(logs::SCOPE_ATTRIBUTES, context.scope_attributes);
    }
}

/// An id that a record may lack: no bytes, or zeros, mean that it does.
fn given<I>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<I, IdError>,
    field: &'static str,
) -> Result<Option<I>, Rejection> {
    match read(bytes) {
        Ok(id) => Ok(Some(id)),
        Err(IdError::Zero) => Ok(None),
        Err(_) if bytes.is_empty() => Ok(None),
        Err(error) => Err(Rejection::Id(field, error)),
    }
}

#[cfg(test)]
mod tests;
