//! A log record that reports a call, a tool or a turn -> a row of `otel_traces`, beside its row of `otel_logs`.
//!
//! The record is read again for it: few records are such reports, and the others cost a look at their name. What keeps a row from
//! being made (no time, no room in a block) loses nothing, because the log record has its own row.

use super::fields;
use super::value::{key_value, text, text_of};
use super::walk::Context;
use super::wire::Fields;
use crate::columns::typed::{Entries, JoinState, Kind};
use crate::columns::{Mark, RowGroup, RowTooLarge, SpanScalars};
use crate::conventions;
use crate::conventions::events::{self, EventView};
use crate::genai::prices::Prices;
use crate::genai::usage::Usage;
use crate::ids::{SpanId, TraceId};
use crate::otlp::error::{DecodeError, Part};
use crate::otlp::limits::{DAYS_PER_REQUEST_MAX, Limits};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use twox_hash::XxHash3_64;

/// How a call is timed whose event does not say how long it took.
const UNTIMED: &str = "unknown";

/// Makes spans of the log records of a request.
pub(super) struct EventSpans<'l> {
    rows: Box<RowGroup>,
    limits: &'l Limits,
    prices: Option<&'l Prices>,
    scratch: String,
}

/// The fields of a log record that a span is made of.
#[derive(Default)]
struct Record {
    time: u64,
    observed: u64,
    trace: Option<TraceId>,
    span: Option<SpanId>,
}

impl<'l> EventSpans<'l> {
    pub(super) fn new(workspace: Workspace, limits: &'l Limits, prices: Option<&'l Prices>) -> Self {
        Self { rows: Box::new(RowGroup::for_request_of(0, workspace)), limits, prices, scratch: String::new() }
    }

    /// The rows, if there are any.
    pub(super) fn into_rows(self) -> Option<Box<RowGroup>> {
        Some(self.rows).filter(|rows| rows.rows() > 0)
    }

    /// Bytes of the rows so far.
    pub(super) fn counted_bytes(&self) -> usize {
        self.rows.counted_bytes()
    }

    /// Adds the span of a valid log record of that whole name, if it makes one.
    pub(super) fn record(&mut self, message: &[u8], context: &Context<'_>, name: &str) {
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

    fn read(&mut self, message: &[u8], name: &str) -> Result<Record, DecodeError> {
        let wire = Part::LogRecord.is();
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
        let said_at = UnixNanos::of_start(record.time).filter(|_| record.time > 0);
        let at = said_at.or_else(|| UnixNanos::of_start(record.observed)).ok_or(Unmade)?;
        let session_of_resource = Entries::of(context.resource).first_filled(b"session.id").unwrap_or_default();
        let (attributes, content) = self.rows.entries_since(mark);
        let view = EventView {
            name,
            said_at,
            at,
            trace: record.trace,
            span: record.span,
            attributes,
            content,
            session_of_resource,
            service_name: context.service_name,
            workspace: self.rows.workspace(),
        };
        let span = view.span().ok_or(Unmade)?;
        let status_message = text_of(span.status_message.as_bytes()).into_owned();
        // a duration is a sender's number, and may lead anywhere
        let is_expected = self.limits.cutoff_of_spans.is_none_or(|cutoff| !cutoff.excludes(span.start))
            && self.limits.window.is_none_or(|window| window.check(span.start).is_ok())
            && self.rows.days_with(span.start) <= DAYS_PER_REQUEST_MAX;
        if !is_expected {
            return Err(Unmade);
        }
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
            fingerprint: XxHash3_64::oneshot(message) ^ context.fingerprint,
            ..SpanScalars::new(span.start, span.trace_id, span.span_id)
        };
        let (duration, has_parts_of_usage) = (span.duration_nanos, span.has_parts_of_usage);
        self.finish(&scalars, context, mark, (session_of_resource, duration.is_some(), has_parts_of_usage))?;
        Ok(())
    }

    fn finish(
        &mut self,
        scalars: &SpanScalars<'_>,
        context: &Context<'_>,
        mark: Mark,
        (session, is_timed, has_parts_of_usage): (&str, bool, bool),
    ) -> Result<(), Unmade> {
        self.rows.mark_typed();
        let mut filled = None;
        if let Some((view, sink)) = self.rows.view(mark, scalars, context.resource) {
            let mut call = conventions::normalise(&view);
            if call.session_id.is_empty() {
                call.session_id = session.into();
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

/// No row came of a record.
struct Unmade;

impl From<RowTooLarge> for Unmade {
    fn from(_: RowTooLarge) -> Self {
        Self
    }
}
