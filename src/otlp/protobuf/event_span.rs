//! A log record that reports a call, a tool or a turn -> a row of `otel_traces`, beside its row of `otel_logs`. Records that are
//! messages of a call -> a row for all that were written in one span and scope and were sent to the model, and one for its answers.
//!
//! The record is read again for it: few records are such reports, and the others cost a look at their name. What keeps a row from
//! being made (no time, no room in a block) loses nothing, because the log record has its own row.

use super::fields;
use super::value::{key_value, text, text_of};
use super::walk::Context;
use super::wire::Fields;
use crate::columns::typed::{Entries, JoinState, Kind};
use crate::columns::{MapRow, Mark, RowGroup, RowTooLarge, SpanScalars};
use crate::conventions::events::{self, EventSpan, EventView};
use crate::conventions::{self, EventMessages, Side};
use crate::genai::operation::CHAT;
use crate::genai::prices::Prices;
use crate::genai::usage::Usage;
use crate::ids::{SpanId, TraceId};
use crate::otlp::error::{DecodeError, Part};
use crate::otlp::limits::{DAYS_PER_REQUEST_MAX, Limits};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::collections::HashMap;
use twox_hash::XxHash3_64;

const OPERATION: &[u8] = b"gen_ai.operation.name";
/// How a call is timed whose event does not say how long it took.
const UNTIMED: &str = "unknown";

/// Makes spans of the log records of a request.
pub(super) struct EventSpans<'l> {
    rows: Box<RowGroup>,
    messages: Vec<Conversation>,
    /// Where the messages of a side of a span's call are.
    by_span: HashMap<(TraceId, SpanId, bool), usize>,
    limits: &'l Limits,
    prices: Option<&'l Prices>,
    scratch: String,
}

/// Messages of one side of a call, written in one span.
struct Conversation {
    /// Of the first of them.
    record: Record,
    name: String,
    /// What is said about the messages.
    about: MapRow,
    side: Side,
    messages: EventMessages,
    fingerprint: u64,
}

/// The fields of a log record that a span is made of.
#[derive(Default, Clone, Copy)]
struct Record {
    time: u64,
    observed: u64,
    trace: Option<TraceId>,
    span: Option<SpanId>,
}

impl<'l> EventSpans<'l> {
    pub(super) fn new(workspace: Workspace, limits: &'l Limits, prices: Option<&'l Prices>) -> Self {
        let rows = Box::new(RowGroup::for_request_of(0, workspace));
        Self { rows, messages: Vec::new(), by_span: HashMap::new(), limits, prices, scratch: String::new() }
    }

    /// The rows, if there are any.
    pub(super) fn into_rows(self) -> Option<Box<RowGroup>> {
        Some(self.rows).filter(|rows| rows.rows() > 0)
    }

    /// Bytes of the rows and messages so far.
    pub(super) fn counted_bytes(&self) -> usize {
        let of_messages = self.messages.iter().map(|of| of.messages.bytes_len()).sum::<usize>();
        self.rows.counted_bytes() + of_messages
    }

    /// Adds the span of a valid log record of that whole name, if it makes one.
    pub(super) fn record(&mut self, message: &[u8], context: &Context<'_>, name: &str) {
        if let Some(side) = conventions::side_of_message(name) {
            return self.message(message, name, side);
        }
        if !events::is_report(name) {
            return;
        }
        let mark = self.rows.begin();
        let is_added =
            self.read(message, name).is_ok_and(|record| self.row(&record, message, context, name, mark).is_ok());
        if !is_added {
            self.rows.roll_back(mark);
        }
    }

    /// Notes a message; without a span to belong to it is a log record and nothing else.
    fn message(&mut self, message: &[u8], name: &str, side: Side) {
        let mark = self.rows.begin();
        if let Ok(record) = self.read(message, name)
            && let (Some(trace), Some(span)) = (record.trace, record.span)
        {
            let (attributes, content) = self.rows.entries_since(mark);
            let next = self.messages.len();
            let place = *self.by_span.entry((trace, span, side == Side::Output)).or_insert(next);
            if place == next {
                let mut about = MapRow::default();
                attributes
                    .iter()
                    .filter(|(key, _)| *key != b"event.name")
                    .for_each(|(key, value)| about.push(key, value));
                let (name, messages) = (name.to_owned(), EventMessages::new(side));
                self.messages.push(Conversation { record, name, about, side, messages, fingerprint: 0 });
            }
            if let Some(conversation) = self.messages.get_mut(place) {
                conversation.messages.push(name, content);
                conversation.fingerprint = XxHash3_64::oneshot_with_seed(conversation.fingerprint, message);
            }
        }
        self.rows.roll_back(mark);
    }

    /// Adds the spans of the messages of a scope.
    pub(super) fn end_scope(&mut self, context: &Context<'_>) {
        self.by_span.clear();
        for conversation in std::mem::take(&mut self.messages) {
            let mark = self.rows.begin();
            if self.row_of_messages(conversation, context, mark).is_err() {
                self.rows.roll_back(mark);
            }
        }
    }

    fn row_of_messages(&mut self, of: Conversation, context: &Context<'_>, mark: Mark) -> Result<(), Unmade> {
        let Conversation { record, name, about, side, messages, fingerprint } = of;
        let (key, text) = messages.finish().ok_or(Unmade)?;
        let entries = Entries::of(&about);
        entries.iter().for_each(|(key, value)| self.rows.attribute_of(conventions::kind(key), key, value));
        if entries.first_filled(OPERATION).is_none() {
            self.rows.attribute_of(Kind::Typed, OPERATION, CHAT.as_bytes());
        }
        let span = self.view(&record, context, &name, mark)?.span_of_messages(side, &text).ok_or(Unmade)?;
        self.rows.attribute_of(Kind::Content, key.as_bytes(), text.as_bytes());
        self.add(&span, context, mark, &name, fingerprint)
    }

    fn read(&mut self, message: &[u8], name: &str) -> Result<Record, DecodeError> {
        let wire = Part::LogRecord.is();
        let is_message = conventions::side_of_message(name).is_some();
        let mut record = Record::default();
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(&wire)? {
            match fields::LogRecord::of(field) {
                fields::LogRecord::TimeUnixNano(nanos) => record.time = nanos.get().map_err(&wire)?,
                fields::LogRecord::ObservedTimeUnixNano(nanos) => record.observed = nanos.get().map_err(&wire)?,
                fields::LogRecord::TraceId(id) => record.trace = TraceId::from_slice(id.get().map_err(&wire)?).ok(),
                fields::LogRecord::SpanId(id) => record.span = SpanId::from_slice(id.get().map_err(&wire)?).ok(),
                fields::LogRecord::Attributes(message) => {
                    let (key, value) = key_value(message.get().map_err(&wire)?)?;
                    let text = text(value, 1, self.limits.depth, &mut self.scratch)?;
                    let kind = conventions::kind(&key);
                    let kind = if events::is_content(name, &key) { Kind::Content } else { kind };
                    self.rows.attribute_of(kind, &key, text);
                }
                fields::LogRecord::Body(message) if is_message => {
                    let text = text(message.get().map_err(&wire)?, 1, self.limits.depth, &mut self.scratch)?;
                    self.rows.attribute_of(Kind::Content, b"body", text);
                }
                _ => {}
            }
        }
        Ok(record)
    }

    /// Adds the row; `Err` when the record makes none after all, or it does not fit.
    fn row(
        &mut self,
        record: &Record,
        message: &[u8],
        context: &Context<'_>,
        name: &str,
        mark: Mark,
    ) -> Result<(), Unmade> {
        let span = self.view(record, context, name, mark)?.span().ok_or(Unmade)?;
        let status_message = span.status_message.to_owned();
        let span = EventSpan { status_message: &status_message, ..span };
        self.add(&span, context, mark, name, XxHash3_64::oneshot(message))
    }

    /// What an event's span is made of: the record, and the attributes since the mark.
    fn view<'v>(
        &'v self,
        record: &Record,
        context: &'v Context<'_>,
        name: &'v str,
        mark: Mark,
    ) -> Result<EventView<'v>, Unmade> {
        let said_at = UnixNanos::of_start(record.time).filter(|_| record.time > 0);
        let at = said_at.or_else(|| UnixNanos::of_start(record.observed)).ok_or(Unmade)?;
        let (attributes, content) = self.rows.entries_since(mark);
        Ok(EventView {
            name,
            said_at,
            at,
            trace: record.trace,
            span: record.span,
            attributes,
            content,
            session_of_resource: session_of(context),
            service_name: context.service_name,
            workspace: self.rows.workspace(),
        })
    }

    /// Adds the row of a span with the attributes since the mark.
    fn add(
        &mut self,
        span: &EventSpan<'_>,
        context: &Context<'_>,
        mark: Mark,
        name: &str,
        fingerprint: u64,
    ) -> Result<(), Unmade> {
        // a duration is a sender's number, and may lead anywhere
        let is_expected = self.limits.cutoff_of_spans.is_none_or(|cutoff| !cutoff.excludes(span.start))
            && self.limits.window.is_none_or(|window| window.check(span.start).is_ok())
            && self.rows.days_with(span.start) <= DAYS_PER_REQUEST_MAX;
        if !is_expected {
            return Err(Unmade);
        }
        let status_message = text_of(span.status_message.as_bytes());
        let scalars = SpanScalars {
            duration_nanos: span.duration_nanos.unwrap_or(0),
            parent: span.parent,
            name: name.as_bytes(),
            kind: span.kind,
            service_name: context.service_name,
            scope_name: context.scope_name,
            scope_version: context.scope_version,
            status: span.status,
            status_message: &status_message,
            join_state: JoinState::Event,
            scope_attributes: Some(context.scope_attributes),
            resource_schema_url: context.resource_schema_url,
            scope_schema_url: context.scope_schema_url,
            fingerprint: fingerprint ^ context.fingerprint,
            ..SpanScalars::new(span.start, span.trace_id, span.span_id)
        };
        self.finish(&scalars, context, mark, (span.duration_nanos.is_some(), span.has_parts_of_usage))
    }

    fn finish(
        &mut self,
        scalars: &SpanScalars<'_>,
        context: &Context<'_>,
        mark: Mark,
        (is_timed, has_parts_of_usage): (bool, bool),
    ) -> Result<(), Unmade> {
        self.rows.mark_typed();
        let mut filled = None;
        if let Some((view, sink)) = self.rows.view(mark, scalars, context.resource) {
            let mut call = conventions::normalise(&view);
            if call.session_id.is_empty() {
                call.session_id = session_of(context).into();
            }
            if !is_timed {
                call.timing_quality = UNTIMED.into();
            }
            if has_parts_of_usage {
                call.usage = Usage::default();
            }
            if let Some(prices) = self.prices {
                prices.complete(&mut call, scalars.start);
            }
            filled = Some(sink.fill(&call)?);
        }
        self.rows.finish(mark, scalars, context.resource, filled)?;
        Ok(())
    }
}

/// The session that the resource names, or nothing.
fn session_of<'a>(context: &Context<'a>) -> &'a str {
    Entries::of(context.resource).first_filled(b"session.id").unwrap_or_default()
}

/// No row came of a record.
struct Unmade;

impl From<RowTooLarge> for Unmade {
    fn from(_: RowTooLarge) -> Self {
        Self
    }
}
