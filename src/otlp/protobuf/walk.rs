//! A request of any signal down to its items, in one pass over its bytes: resources, scopes, and what they have in common for
//! the items below.
//!
//! ```text
//! request  1 of a resource*  1 resource, 3 schema URL
//!                            2 of a scope*  1 scope, 3 schema URL
//!                                           2 item*             span, log record, metric
//! ```
//!
//! The three signals have these messages under names of their own, with the same fields; a test compares them.
//!
//! Source: OTLP 1.11.0, trace.proto, logs.proto, metrics.proto, common.proto, resource.proto.

use super::fields;
use super::rejection::Rejection;
use super::request::Request;
use super::value::text_of;
use super::wire::{Fields, LengthDelimited, Value};
use crate::columns::MapRow;
use crate::otlp::error::{DecodeError, Part};
use crate::otlp::signal::Signal;
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
pub(super) use only;

/// What takes the items of a request.
pub(super) trait Items<'l> {
    /// The request under way.
    fn request(&mut self) -> &mut Request<'l>;

    /// Takes an item; one that is malformed is rejected, and is no error.
    fn item(&mut self, message: &[u8], context: &Context<'_>) -> Result<(), DecodeError>;

    /// All items of a scope were handed over.
    fn end_scope(&mut self, _context: &Context<'_>) {}

    /// Makes room for items like the first of a scope, which had so many bytes; so many are left.
    fn reserve_alike(&mut self, _item_bytes: usize, _unread_bytes: usize) {}
}

/// What is the same for all items of one scope.
pub(super) struct Context<'a> {
    pub(super) resource: &'a MapRow,
    pub(super) service_name: &'a [u8],
    pub(super) scope_name: &'a [u8],
    pub(super) scope_version: &'a [u8],
    pub(super) scope_attributes: &'a MapRow,
    pub(super) scope_dropped_attributes: u32,
    pub(super) resource_schema_url: &'a [u8],
    pub(super) scope_schema_url: &'a [u8],
    /// What resource and scope add to the fingerprints of their items.
    pub(super) fingerprint: u64,
    /// Set when the resource or scope is malformed in its content, which costs all of its items.
    pub(super) broken: Option<Rejection>,
}

impl Context<'_> {
    /// Entries that each row gets of it.
    pub(super) fn entries(&self) -> usize {
        self.resource.entries() + self.scope_attributes.entries()
    }
}

/// Hands the items of a request over, one by one.
///
/// # Errors
/// If its items cannot be told apart, or it goes over a limit.
pub(super) fn walk<'l>(request: &[u8], items: &mut impl Items<'l>) -> Result<(), DecodeError> {
    let signal = items.request().signal;
    let mut walk = Walk { signal, items };
    each_field(request, Part::Request(signal), only!(ExportTraceServiceRequest::ResourceSpans), |message| {
        walk.of_resource(message)
    })
}

/// Walks over resources and scopes down to the items.
struct Walk<'i, I> {
    signal: Signal,
    items: &'i mut I,
}

/// What is the same for all items of one resource.
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
    dropped_attributes: u32,
    schema_url: Cow<'a, [u8]>,
}

impl<'l, I: Items<'l>> Walk<'_, I> {
    /// The resource may come after its items, so the message's top level is walked twice.
    fn of_resource(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        let part = Part::OfResource(self.signal);
        let mut resource = MapRow::for_message_of(message.len());
        let mut service_name = Vec::new();
        let mut broken = None;
        let mut fingerprint = 0;
        each_field(message, part, only!(ResourceSpans::Resource), |bytes| {
            fingerprint = XxHash3_64::oneshot_with_seed(fingerprint, bytes);
            match self.resource(bytes, &mut resource, &mut service_name) {
                Err(error @ (DecodeError::Malformed { .. } | DecodeError::TooDeep { .. })) => {
                    broken = Some(Rejection::Content("its resource", error));
                    Ok(())
                }
                other => other,
            }
        })?;
        let workspace = &self.items.request().workspace;
        if workspace.as_str() != Workspace::DEFAULT {
            resource.push(workspace::ATTRIBUTE.as_bytes(), workspace.as_str().as_bytes());
        }
        resource.keep_last_of_each_key();
        let mut schema_url: Cow<'_, [u8]> = Cow::default();
        each_field(message, part, only!(ResourceSpans::SchemaUrl), |bytes| {
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
        each_field(message, part, only!(ResourceSpans::ScopeSpans), |bytes| self.of_scope(bytes, &context))
    }

    fn resource(&mut self, message: &[u8], row: &mut MapRow, service_name: &mut Vec<u8>) -> Result<(), DecodeError> {
        each_field(message, Part::Resource, only!(Resource::Attributes), |attribute| {
            let (key, value) = self.items.request().attribute(attribute)?;
            // the receiver decides which workspace it is, not the sender
            if *key == *workspace::ATTRIBUTE.as_bytes() {
                return Ok(());
            }
            if *key == *b"service.name" {
                service_name.clear();
                service_name.extend_from_slice(value);
            }
            row.push(&key, value);
            Ok(())
        })
    }

    fn of_scope(&mut self, message: &[u8], resource: &ResourceContext<'_>) -> Result<(), DecodeError> {
        let part = Part::OfScope(self.signal);
        let mut scope = ScopeFields::default();
        let (mut broken, mut fingerprint) = (resource.broken, resource.fingerprint);
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(part.is())? {
            match fields::ScopeSpans::of(field) {
                fields::ScopeSpans::Scope(message) => {
                    let bytes = message.get().map_err(part.is())?;
                    fingerprint = XxHash3_64::oneshot_with_seed(fingerprint, bytes);
                    match self.scope(bytes, &mut scope) {
                        Err(error @ (DecodeError::Malformed { .. } | DecodeError::TooDeep { .. })) => {
                            broken = Some(Rejection::Content("its scope", error));
                        }
                        other => other?,
                    }
                }
                fields::ScopeSpans::SchemaUrl(text) => scope.schema_url = text_of(text.get().map_err(part.is())?),
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
            scope_dropped_attributes: scope.dropped_attributes,
            resource_schema_url: resource.schema_url,
            scope_schema_url: &scope.schema_url,
            fingerprint: XxHash3_64::oneshot_with_seed(fingerprint, &scope.schema_url),
            broken,
        };
        self.items_of_scope(message, &context)?;
        self.items.end_scope(&context);
        Ok(())
    }

    fn items_of_scope(&mut self, message: &[u8], context: &Context<'_>) -> Result<(), DecodeError> {
        let mut unread_bytes = message.len();
        let mut first = true;
        each_field(message, Part::OfScope(self.signal), only!(ScopeSpans::Spans), |item| {
            unread_bytes = unread_bytes.saturating_sub(item.len());
            self.items.item(item, context)?;
            if std::mem::replace(&mut first, false) {
                self.items.reserve_alike(item.len(), unread_bytes);
            }
            Ok(())
        })
    }

    fn scope<'a>(&mut self, message: &'a [u8], scope: &mut ScopeFields<'a>) -> Result<(), DecodeError> {
        let wire = Part::Scope.is();
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(&wire)? {
            match fields::InstrumentationScope::of(field) {
                fields::InstrumentationScope::Name(text) => scope.name = text_of(text.get().map_err(&wire)?),
                fields::InstrumentationScope::Version(text) => scope.version = text_of(text.get().map_err(&wire)?),
                fields::InstrumentationScope::Attributes(message) => {
                    let (key, value) = self.items.request().attribute(message.get().map_err(&wire)?)?;
                    scope.attributes.push(&key, value);
                }
                fields::InstrumentationScope::DroppedAttributesCount(count) => {
                    scope.dropped_attributes = count.get_u32().map_err(&wire)?;
                }
                fields::InstrumentationScope::Unknown => {}
            }
        }
        Ok(())
    }
}

/// Calls `f` with each occurrence of the field `wanted`.
pub(super) fn each_field<'a>(
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
mod tests {
    use super::super::wire::Value;
    use super::fields as f;

    /// What the fields 1, 2 and 3 of a message are.
    macro_rules! numbers {
        ($message:ident: $($field:ident)*) => {
            [1, 2, 3].map(|number| match f::$message::of((number, Value::Group)) {
                $(f::$message::$field(_) => stringify!($field),)*
                _ => "",
            })
        };
    }

    #[test]
    fn the_messages_around_the_items_have_the_same_fields_in_every_signal() {
        assert_eq!(numbers!(ExportTraceServiceRequest: ResourceSpans), ["ResourceSpans", "", ""]);
        assert_eq!(numbers!(ExportLogsServiceRequest: ResourceLogs), ["ResourceLogs", "", ""]);
        assert_eq!(numbers!(ExportMetricsServiceRequest: ResourceMetrics), ["ResourceMetrics", "", ""]);
        let of_resource = |of_scope| ["Resource", of_scope, "SchemaUrl"];
        assert_eq!(numbers!(ResourceSpans: Resource ScopeSpans SchemaUrl), of_resource("ScopeSpans"));
        assert_eq!(numbers!(ResourceLogs: Resource ScopeLogs SchemaUrl), of_resource("ScopeLogs"));
        assert_eq!(numbers!(ResourceMetrics: Resource ScopeMetrics SchemaUrl), of_resource("ScopeMetrics"));
        let of_scope = |items| ["Scope", items, "SchemaUrl"];
        assert_eq!(numbers!(ScopeSpans: Scope Spans SchemaUrl), of_scope("Spans"));
        assert_eq!(numbers!(ScopeLogs: Scope LogRecords SchemaUrl), of_scope("LogRecords"));
        assert_eq!(numbers!(ScopeMetrics: Scope Metrics SchemaUrl), of_scope("Metrics"));
    }
}
