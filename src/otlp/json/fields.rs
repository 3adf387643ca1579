//! The fields of OTLP's messages by their JSON names: their numbers, and how their values are written.
//!
//! Source: OTLP 1.11.0, trace.proto, common.proto, resource.proto.

/// A known key of a message.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    /// Its JSON name.
    pub(crate) name: &'static str,
    pub(crate) number: u32,
    /// How its value is written.
    pub(crate) kind: Kind,
}

const fn field(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind }
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Scalar(Scalar),
    Message(&'static [Field]),
    Repeated(&'static [Field]),
}

#[derive(Clone, Copy)]
pub(crate) enum Scalar {
    Text,
    HexId,
    Base64,
    Bool,
    /// uint32: a varint of a non-negative number.
    Unsigned,
    /// The same, or one of these names, the first of which is 0.
    Enum(&'static [&'static str]),
    /// int64: a varint of the two's complement.
    Signed,
    Fixed64,
    Fixed32,
    Double,
}

pub(crate) static REQUEST: [Field; 1] = [field("resourceSpans", 1, Kind::Repeated(&RESOURCE_SPANS))];
pub(crate) static RESOURCE_SPANS: [Field; 3] = [
    field("resource", 1, Kind::Message(&RESOURCE)),
    field("scopeSpans", 2, Kind::Repeated(&SCOPE_SPANS)),
    field("schemaUrl", 3, Kind::Scalar(Scalar::Text)),
];
static RESOURCE: [Field; 2] = [
    field("attributes", 1, Kind::Repeated(&KEY_VALUE)),
    field("droppedAttributesCount", 2, Kind::Scalar(Scalar::Unsigned)),
];
pub(crate) static SCOPE_SPANS: [Field; 3] = [
    field("scope", 1, Kind::Message(&SCOPE)),
    field("spans", 2, Kind::Repeated(&SPAN)),
    field("schemaUrl", 3, Kind::Scalar(Scalar::Text)),
];
static SCOPE: [Field; 4] = [
    field("name", 1, Kind::Scalar(Scalar::Text)),
    field("version", 2, Kind::Scalar(Scalar::Text)),
    field("attributes", 3, Kind::Repeated(&KEY_VALUE)),
    field("droppedAttributesCount", 4, Kind::Scalar(Scalar::Unsigned)),
];
pub(crate) static SPAN: [Field; 16] = [
    field("traceId", 1, Kind::Scalar(Scalar::HexId)),
    field("spanId", 2, Kind::Scalar(Scalar::HexId)),
    field("traceState", 3, Kind::Scalar(Scalar::Text)),
    field("parentSpanId", 4, Kind::Scalar(Scalar::HexId)),
    field("name", 5, Kind::Scalar(Scalar::Text)),
    field("kind", 6, Kind::Scalar(Scalar::Enum(&SPAN_KINDS))),
    field("startTimeUnixNano", 7, Kind::Scalar(Scalar::Fixed64)),
    field("endTimeUnixNano", 8, Kind::Scalar(Scalar::Fixed64)),
    field("attributes", 9, Kind::Repeated(&KEY_VALUE)),
    field("droppedAttributesCount", 10, Kind::Scalar(Scalar::Unsigned)),
    field("events", 11, Kind::Repeated(&EVENT)),
    field("droppedEventsCount", 12, Kind::Scalar(Scalar::Unsigned)),
    field("links", 13, Kind::Repeated(&LINK)),
    field("droppedLinksCount", 14, Kind::Scalar(Scalar::Unsigned)),
    field("status", 15, Kind::Message(&STATUS)),
    field("flags", 16, Kind::Scalar(Scalar::Fixed32)),
];
static EVENT: [Field; 4] = [
    field("timeUnixNano", 1, Kind::Scalar(Scalar::Fixed64)),
    field("name", 2, Kind::Scalar(Scalar::Text)),
    field("attributes", 3, Kind::Repeated(&KEY_VALUE)),
    field("droppedAttributesCount", 4, Kind::Scalar(Scalar::Unsigned)),
];
static LINK: [Field; 6] = [
    field("traceId", 1, Kind::Scalar(Scalar::HexId)),
    field("spanId", 2, Kind::Scalar(Scalar::HexId)),
    field("traceState", 3, Kind::Scalar(Scalar::Text)),
    field("attributes", 4, Kind::Repeated(&KEY_VALUE)),
    field("droppedAttributesCount", 5, Kind::Scalar(Scalar::Unsigned)),
    field("flags", 6, Kind::Scalar(Scalar::Fixed32)),
];
static STATUS: [Field; 2] =
    [field("message", 2, Kind::Scalar(Scalar::Text)), field("code", 3, Kind::Scalar(Scalar::Enum(&STATUS_CODES)))];
static KEY_VALUE: [Field; 2] =
    [field("key", 1, Kind::Scalar(Scalar::Text)), field("value", 2, Kind::Message(&ANY_VALUE))];
static ANY_VALUE: [Field; 7] = [
    field("stringValue", 1, Kind::Scalar(Scalar::Text)),
    field("boolValue", 2, Kind::Scalar(Scalar::Bool)),
    field("intValue", 3, Kind::Scalar(Scalar::Signed)),
    field("doubleValue", 4, Kind::Scalar(Scalar::Double)),
    field("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
    field("kvlistValue", 6, Kind::Message(&KEY_VALUE_LIST)),
    field("bytesValue", 7, Kind::Scalar(Scalar::Base64)),
];
static ARRAY_VALUE: [Field; 1] = [field("values", 1, Kind::Repeated(&ANY_VALUE))];
static KEY_VALUE_LIST: [Field; 1] = [field("values", 1, Kind::Repeated(&KEY_VALUE))];

/// Source: trace.proto, `Span.SpanKind`.
static SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
/// Source: trace.proto, `Status.StatusCode`.
static STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
