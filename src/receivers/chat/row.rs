//! The row of a captured call.

use crate::chat::{self, AttrValue, ChatSpan};
use crate::columns::typed::JoinState;
use crate::columns::{MapRow, RowGroup, RowTooLarge, SpanKind, SpanScalars, StatusCode as SpanStatus};
use crate::conventions;
use crate::formats;
use crate::genai::semconv;
use crate::redaction::{ATTRIBUTE_PREFIX, Rules, Tally};
use crate::workspace;
use std::borrow::Cow;

/// `service.name` of a producer that names none. Source: `OpenTelemetry` resource semantic conventions.
const SERVICE_UNKNOWN: &str = "unknown_service";

/// Bytes of the resource's attributes that room is made for.
const RESOURCE_BYTES_USUAL: usize = 256;
/// Bytes of an attribute that is a number or a list.
const NUMBER_BYTES_USUAL: usize = 64;

/// Notes on a span what was taken out of its call before it was read. In what the chunks of a stream came to together there may be
/// what was in none of them: it goes too, and with it the text of the chunks.
pub(crate) fn redact(span: &mut ChatSpan<'_>, rules: &Rules, mut found: Tally) -> Tally {
    let is_stream = span.raw.response.trim_start().starts_with(['[', '"']);
    let mut more = Tally::default();
    if is_stream && let Cow::Owned(messages) = rules.text(&span.call.output_messages, &mut more) {
        span.call.output_messages = messages.into();
        span.raw.response = Cow::Borrowed("");
        found.add(&more);
    }
    let counts =
        found.iter().map(|(name, count)| (format!("{ATTRIBUTE_PREFIX}{name}").into(), AttrValue::Count(count)));
    span.attributes.extend(counts);
    found
}

/// The span as the one row of a group, which is empty before.
pub(crate) fn row(
    span: &ChatSpan<'_>,
    mut rows: Box<RowGroup>,
    join_state: JoinState,
    import_id: Option<&str>,
) -> Result<Box<RowGroup>, RowTooLarge> {
    let service_name = span.service_name.as_deref().unwrap_or(SERVICE_UNKNOWN);
    let mut resource = MapRow::for_message_of(RESOURCE_BYTES_USUAL);
    resource.push(b"service.name", service_name.as_bytes());
    if let Some(import_id) = import_id {
        resource.push(formats::ATTRIBUTE.as_bytes(), import_id.as_bytes());
    }
    resource.push(workspace::ATTRIBUTE.as_bytes(), rows.workspace().as_str().as_bytes());
    let mark = rows.begin();
    let mut number = String::with_capacity(NUMBER_BYTES_USUAL);
    for (key, value) in &span.attributes {
        let text = value.as_text().unwrap_or_else(|| {
            number.clear();
            value.as_column_text(&mut number);
            &number
        });
        rows.attribute_of(conventions::kind(key.as_bytes()), key.as_bytes(), text.as_bytes());
    }
    let scalars = SpanScalars {
        duration_nanos: span.end.nanos_since(span.start),
        parent: span.parent,
        name: span.name.as_bytes(),
        kind: SpanKind::Client,
        service_name: service_name.as_bytes(),
        scope_name: chat::SCOPE_NAME.as_bytes(),
        scope_version: env!("CARGO_PKG_VERSION").as_bytes(),
        status: match span.status {
            chat::Status::Unset => SpanStatus::Unset,
            chat::Status::Error => SpanStatus::Error,
        },
        status_message: span.status_message.as_bytes(),
        raw_request: span.raw.request.as_bytes(),
        raw_response: span.raw.response.as_bytes(),
        join_state,
        scope_schema_url: semconv::SCHEMA_URL.as_bytes(),
        fingerprint: span.fingerprint,
        ..SpanScalars::new(span.start, span.trace.id(), span.span_id)
    };
    let filled = rows.sink(mark, &scalars, &resource).fill(&span.call)?;
    rows.finish(mark, &scalars, &resource, Some(filled))?;
    Ok(rows)
}
