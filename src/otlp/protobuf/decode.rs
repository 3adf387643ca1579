//! ExportTraceServiceRequest -> RowGroup, in one pass over the request's bytes.
//!
//! A span that is malformed is left out, counted and named, and so are those of a resource or scope that is. A request in which
//! the spans cannot be told apart, or that goes over a limit, is refused whole before anything of it is kept.
//!
//! Source: OTLP 1.11.0, trace.proto, common.proto, resource.proto.

use super::fields;
use super::rejection::Rejection;
use super::span::{Context, SpanDecoder};
use super::value::text_of;
use super::wire::{Fields, LengthDelimited, Value};
use crate::columns::{MapRow, RowGroup};
use crate::genai::prices::Prices;
use crate::otlp::decoded::{Decoded, Encoding};
use crate::otlp::error::{DecodeError, Part, TypeErrors};
use crate::otlp::limits::Limits;
use crate::workspace::{self, Workspace};
use std::borrow::Cow;
use twox_hash::XxHash3_64;

/// Chooses one field of a message.
macro_rules! only {
    ($message:ident::$field:ident) => {
        |field| match fields::$message::of(field) {
            fields::$message::$field(value) => Some(value),
            _ => None,
        }
    };
}

/// Decodes an ExportTraceServiceRequest in binary protobuf. A workspace that is not the default one is noted on the resource.
///
/// # Errors
/// If the bytes are not that message, or hold more than `limits`. Nothing is kept then.
pub fn decode_traces(
    request: &[u8],
    encoding: Encoding,
    workspace: &Workspace,
    limits: &Limits,
) -> Result<Decoded, DecodeError> {
    let rows = Box::new(RowGroup::for_request_of(request.len(), workspace.clone()));
    decode_priced(request, encoding, rows, limits, None)
}

/// The same into an empty group, for its workspace; calls whose sender gave no cost get one from the prices, if there are any.
///
/// # Errors
/// As [`decode_traces`].
pub fn decode_priced(
    request: &[u8],
    encoding: Encoding,
    rows: Box<RowGroup>,
    limits: &Limits,
    prices: Option<&Prices>,
) -> Result<Decoded, DecodeError> {
    decode(request, encoding, &TypeErrors::new(), rows, limits, prices)
}

/// As [`decode_priced`]; `type_errors` are what JSON had wrong.
///
/// # Errors
/// As [`decode_traces`].
pub(crate) fn decode(
    request: &[u8],
    encoding: Encoding,
    type_errors: &TypeErrors,
    rows: Box<RowGroup>,
    limits: &Limits,
    prices: Option<&Prices>,
) -> Result<Decoded, DecodeError> {
    let mut decoder = RequestDecoder { spans: SpanDecoder::new(rows, encoding, type_errors, limits, prices) };
    each_field(request, Part::Request, only!(ExportTraceServiceRequest::ResourceSpans), |message| {
        decoder.resource_spans(message)
    })?;
    Ok(decoder.spans.out)
}

/// Counts the spans of a request without reading them, for a request that is refused for lack of memory. Bytes that are not OTLP
/// have none.
#[must_use]
pub fn count_spans(request: &[u8]) -> usize {
    let mut spans = 0;
    let _malformed_counts_so_far =
        each_field(request, Part::Request, only!(ExportTraceServiceRequest::ResourceSpans), |resource_spans| {
            each_field(resource_spans, Part::ResourceSpans, only!(ResourceSpans::ScopeSpans), |scope_spans| {
                each_field(scope_spans, Part::ScopeSpans, only!(ScopeSpans::Spans), |_span| {
                    spans += 1;
                    Ok(())
                })
            })
        });
    spans
}

/// Walks over resources and scopes down to the spans.
struct RequestDecoder<'l> {
    spans: SpanDecoder<'l>,
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

impl RequestDecoder<'_> {
    /// The resource may come after its spans, so the message's top level is walked twice.
    fn resource_spans(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        let mut resource = MapRow::for_message_of(message.len());
        let mut service_name = Vec::new();
        let mut broken = None;
        let mut fingerprint = 0;
        each_field(message, Part::ResourceSpans, only!(ResourceSpans::Resource), |bytes| {
            fingerprint = XxHash3_64::oneshot_with_seed(fingerprint, bytes);
            match self.resource(bytes, &mut resource, &mut service_name) {
                Err(error @ (DecodeError::Malformed { .. } | DecodeError::TooDeep { .. })) => {
                    broken = Some(Rejection::Content("its resource", error));
                    Ok(())
                }
                other => other,
            }
        })?;
        if self.spans.workspace.as_str() != Workspace::DEFAULT {
            resource.push(workspace::ATTRIBUTE.as_bytes(), self.spans.workspace.as_str().as_bytes());
        }
        resource.keep_last_of_each_key();
        let mut schema_url: Cow<'_, [u8]> = Cow::default();
        each_field(message, Part::ResourceSpans, only!(ResourceSpans::SchemaUrl), |bytes| {
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
        each_field(message, Part::ResourceSpans, only!(ResourceSpans::ScopeSpans), |bytes| {
            self.scope_spans(bytes, &context)
        })
    }

    fn resource(&mut self, message: &[u8], row: &mut MapRow, service_name: &mut Vec<u8>) -> Result<(), DecodeError> {
        each_field(message, Part::Resource, only!(Resource::Attributes), |attribute| {
            self.spans.shared_attribute(attribute, |key, value| {
                // the receiver decides which workspace it is, not the sender
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

    fn scope_spans(&mut self, message: &[u8], resource: &ResourceContext<'_>) -> Result<(), DecodeError> {
        let mut scope = ScopeFields::default();
        let (mut broken, mut fingerprint) = (resource.broken, resource.fingerprint);
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(Part::ScopeSpans.is())? {
            match fields::ScopeSpans::of(field) {
                fields::ScopeSpans::Scope(message) => {
                    let bytes = message.get().map_err(Part::ScopeSpans.is())?;
                    fingerprint = XxHash3_64::oneshot_with_seed(fingerprint, bytes);
                    match self.scope(bytes, &mut scope) {
                        Err(error @ (DecodeError::Malformed { .. } | DecodeError::TooDeep { .. })) => {
                            broken = Some(Rejection::Content("its scope", error));
                        }
                        other => other?,
                    }
                }
                fields::ScopeSpans::SchemaUrl(text) => {
                    scope.schema_url = text_of(text.get().map_err(Part::ScopeSpans.is())?);
                }
                // they need the scope, which may come after them
                fields::ScopeSpans::Spans(_) | fields::ScopeSpans::Unknown => {}
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
        each_field(message, Part::ScopeSpans, only!(ScopeSpans::Spans), |span| {
            unread = unread.saturating_sub(span.len());
            self.spans.span(span, &context)?;
            if std::mem::replace(&mut first, false) {
                self.spans.out.rows.reserve_alike(span.len(), unread);
            }
            Ok(())
        })
    }

    fn scope<'a>(&mut self, message: &'a [u8], scope: &mut ScopeFields<'a>) -> Result<(), DecodeError> {
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(Part::Scope.is())? {
            match fields::InstrumentationScope::of(field) {
                fields::InstrumentationScope::Name(text) => scope.name = text_of(text.get().map_err(Part::Scope.is())?),
                fields::InstrumentationScope::Version(text) => {
                    scope.version = text_of(text.get().map_err(Part::Scope.is())?);
                }
                fields::InstrumentationScope::Attributes(message) => {
                    let attribute = message.get().map_err(Part::Scope.is())?;
                    self.spans.shared_attribute(attribute, |key, value| scope.attributes.push(key, value))?;
                }
                fields::InstrumentationScope::DroppedAttributesCount(_) | fields::InstrumentationScope::Unknown => {}
            }
        }
        Ok(())
    }
}

/// Calls `f` with each occurrence of the field `wanted`.
fn each_field<'a>(
    message: &'a [u8],
    part: Part,
    wanted: impl Fn((u32, Value<'a>)) -> Option<LengthDelimited<'a>>,
    mut f: impl FnMut(&'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut unread = Fields::new(message);
    while let Some(field) = unread.next().map_err(part.is())? {
        if let Some(value) = wanted(field) {
            f(value.get().map_err(part.is())?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
