//! The row of a captured call.

use crate::chat::{self, ChatSpan};
use crate::columns::typed::JoinState;
use crate::columns::{MapRow, RowGroup, RowTooLarge, SpanKind, SpanScalars, StatusCode as SpanStatus};
use crate::conventions;
use crate::genai::semconv;
use crate::workspace;

/// `service.name` of a producer that names none. Source: `OpenTelemetry` resource semantic conventions.
const SERVICE_UNKNOWN: &str = "unknown_service";

/// The span as the one row of a group, which is empty before.
pub(super) fn row(
    span: &ChatSpan<'_>,
    mut rows: Box<RowGroup>,
    join_state: JoinState,
) -> Result<Box<RowGroup>, RowTooLarge> {
    let service_name = span.service_name.as_deref().unwrap_or(SERVICE_UNKNOWN);
    let mut resource = MapRow::default();
    resource.push(b"service.name", service_name.as_bytes());
    resource.push(workspace::ATTRIBUTE.as_bytes(), rows.workspace().as_str().as_bytes());
    let mark = rows.begin();
    let mut text = String::new();
    for (key, value) in &span.attributes {
        text.clear();
        value.as_column_text(&mut text);
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
