//! A span that a reader makes, as a part of an export request.

use super::{ATTRIBUTE, Extent, Known, Record, Source};
use crate::chat::trace_of_text;
use crate::conventions::events::part_of_hash;
use crate::ids::SpanId;
use crate::numbers::to_u64;
use crate::otlp::Signal;
use crate::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use crate::otlp::proto::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use crate::otlp::proto::resource::v1::Resource;
use crate::otlp::proto::trace::v1::{
    self as proto, ResourceSpans, ScopeSpans, Status, span::SpanKind, status::StatusCode,
};
use prost::Message as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Names the span's times: they are those of the lines around it.
const TIMING: &str = "millrace.timing";

/// Who made the spans of a file.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) version: String,
    /// The scope of its spans: the format.
    pub(super) scope: &'static str,
    import_id: String,
    drops_content: bool,
}

/// A span under way.
#[derive(Debug, Clone)]
pub(super) struct Span {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    name: String,
    is_call: bool,
    times: (i64, i64),
    error: Option<String>,
    attributes: Vec<KeyValue>,
    content: Vec<KeyValue>,
}

impl Service {
    pub(super) fn new(source: &Source, name: &str, scope: &'static str) -> Self {
        let (import_id, drops_content) = (source.import_id.clone(), source.drops_content);
        Self { name: name.to_owned(), version: String::new(), scope, import_id, drops_content }
    }

    /// The import that its rows name.
    pub(super) fn import_id(&self) -> &str {
        &self.import_id
    }

    /// Whether content is left out.
    pub(super) fn drops_content(&self) -> bool {
        self.drops_content
    }

    /// The span as a record; by `identity` it is known in any file that repeats it.
    pub(super) fn record(&self, span: Span, identity: Option<u64>) -> Record {
        let known = identity.map(|identity| Known { identity, extent: Extent::default() });
        Record::Otlp { signal: Signal::Traces, request: self.request(span), items: 1, known }
    }

    /// The same for a span that another file may tell more of.
    pub(super) fn part(&self, span: Span, identity: u64) -> Record {
        let known = Some(Known { identity, extent: span.extent() });
        Record::Otlp { signal: Signal::Traces, request: self.request(span), items: 1, known }
    }

    fn request(&self, span: Span) -> Vec<u8> {
        let mut attributes = span.attributes;
        if !self.drops_content {
            attributes.extend(span.content);
        }
        let nanos = |time: i64| u64::try_from(time).map_or(0, |time| time);
        let status = span.error.map(|message| Status { code: StatusCode::Error.into(), message });
        let made = proto::Span {
            trace_id: span.trace.to_vec(),
            span_id: span.id.to_vec(),
            parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.to_vec()),
            name: span.name,
            kind: if span.is_call { SpanKind::Client } else { SpanKind::Internal }.into(),
            start_time_unix_nano: nanos(span.times.0),
            end_time_unix_nano: nanos(span.times.1),
            attributes,
            status,
            ..proto::Span::default()
        };
        let mut resource = vec![text("service.name", &self.name)];
        if !self.version.is_empty() {
            resource.push(text("service.version", &self.version));
        }
        resource.push(text(ATTRIBUTE, &self.import_id));
        let scope = InstrumentationScope { name: self.scope.to_owned(), ..InstrumentationScope::default() };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes: resource, ..Resource::default() }),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans: vec![made], ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            }],
        };
        request.encode_to_vec()
    }
}

impl Span {
    pub(super) fn new(trace: [u8; 16], id: [u8; 8], parent: Option<[u8; 8]>, name: impl Into<String>) -> Self {
        let (attributes, content) = (Vec::new(), Vec::new());
        let (name, parent) = (name.into(), parent.filter(|parent| *parent != id));
        Self { trace, id, parent, name, is_call: false, times: (0, 0), error: None, attributes, content }
    }

    /// A call of a model.
    pub(super) fn call(mut self) -> Self {
        self.is_call = true;
        self
    }

    /// Its times, in nanoseconds.
    pub(super) fn between(mut self, start: i64, end: i64) -> Self {
        self.times = (start, end.max(start));
        self
    }

    /// How much is told of it.
    fn extent(&self) -> Extent {
        let texts = self.content.iter().filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
            any_value::Value::StringValue(text) => Some(text.len()),
            _ => None,
        });
        Extent { end: self.times.1, bytes: to_u64(texts.sum()) }
    }

    /// Says that its times are those of the lines around it.
    pub(super) fn inferred(&mut self) {
        self.text(TIMING, "derived");
    }

    pub(super) fn fail(&mut self, message: &str) {
        self.error = Some(crate::text::cut(message, 1_000).to_owned());
    }

    /// Adds a text, if there is one.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.attributes.push(text(key, value));
        }
    }

    /// Adds a count, if there is one.
    pub(super) fn count(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value.and_then(|value| i64::try_from(value).ok()) {
            self.attributes.push(attribute(key, any_value::Value::IntValue(value)));
        }
    }

    /// Adds JSON, or a text as it is, if there is anything.
    pub(super) fn value(&mut self, key: &str, value: Option<&Value>) {
        if let Some(value) = value.and_then(as_text) {
            self.attributes.push(text(key, &value));
        }
    }

    /// The same for what is content.
    pub(super) fn content(&mut self, key: &str, value: Option<&Value>) {
        if let Some(value) = value.and_then(as_text) {
            self.content.push(text(key, &value));
        }
    }
}

/// A value as an attribute has it: a text as it is, anything else as JSON; nothing for what is empty.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Array(list) if list.is_empty() => None,
        Value::Object(members) if members.is_empty() => None,
        other => Some(other.to_string()),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// The id of a trace as a sender writes it: hex, a UUID, or any text, as captured calls name theirs (`chat/trace_ref.rs`).
pub(super) fn trace_id(text: &str) -> [u8; 16] {
    trace_of_text(text).map_or_else(|| first_of_sha256(text), |id| *id.bytes())
}

/// The id of a span as a sender writes it: hex, or any text.
pub(super) fn span_id(text: &str) -> [u8; 8] {
    match SpanId::from_hex(text.as_bytes()) {
        Ok(id) => *id.bytes(),
        Err(_) => first_of_sha256(text),
    }
}

fn first_of_sha256<const N: usize>(text: &str) -> [u8; N] {
    const { assert!(N <= 32) };
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    digest.first_chunk().copied().expect("a digest is longer than an id")
}

/// An id derived of these parts.
pub(super) fn id<const N: usize>(parts: &[&str]) -> [u8; N] {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    part_of_hash(&parts)
}

/// What these parts are known by.
pub(super) fn identity(parts: &[&str]) -> u64 {
    u64::from_le_bytes(id(parts))
}

/// A text of a member; empty if there is none.
pub(super) fn str_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).map_or("", |text| text)
}

/// A count of a member: a number, or a text that is one.
pub(super) fn count_of(value: &Value, name: &str) -> Option<u64> {
    let member = value.get(name)?;
    let whole = |number: f64| (0.0..1e15).contains(&number).then(|| format!("{number:.0}").parse().ok()).flatten();
    member.as_u64().or_else(|| whole(member.as_f64()?)).or_else(|| whole(member.as_str()?.parse().ok()?))
}

/// A time as files have it, in nanoseconds: RFC 3339; the same with a space and without an offset, which is UTC; seconds,
/// milliseconds, microseconds or nanoseconds since 1970.
pub(super) fn nanos_of(value: &Value) -> Option<i64> {
    if let Some(text) = value.as_str() {
        return nanos_of_text(text);
    }
    since_1970(value.as_f64()?)
}

fn nanos_of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return since_1970(number);
    }
    let at = |time: jiff::Timestamp| i64::try_from(time.as_nanosecond()).ok();
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return at(time);
    }
    let civil = text.trim_end_matches(" UTC").parse::<jiff::civil::DateTime>().ok()?;
    at(jiff::tz::Offset::UTC.to_timestamp(civil).ok()?)
}

fn since_1970(number: f64) -> Option<i64> {
    let factor = match number {
        n if !(0.0..9e18).contains(&n) => return None,
        n if n < 1e11 => 1e9,
        n if n < 1e14 => 1e6,
        n if n < 1e17 => 1e3,
        _ => 1.0,
    };
    // to the microsecond: a double holds no more of a time today
    let micros = (number * factor / 1e3).round();
    format!("{micros:.0}").parse::<i64>().ok()?.checked_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_time_is_read_in_the_spellings_of_files() {
        let want = Some(1_767_225_600_500_000_000);
        for time in [
            json!("2026-01-01T00:00:00.5Z"),
            json!("2026-01-01 00:00:00.500000"),
            json!("2026-01-01T01:00:00.5+01:00"),
            json!("2026-01-01 00:00:00.5 UTC"),
            json!(1_767_225_600.5),
            json!("1767225600.5"),
            json!(1_767_225_600_500_u64),
            json!(1_767_225_600_500_000_u64),
            json!(1_767_225_600_500_000_000_u64),
        ] {
            assert_eq!(nanos_of(&time), want, "{time}");
        }
        for wrong in [json!("soon"), json!(-1), json!(null), json!([])] {
            assert_eq!(nanos_of(&wrong), None, "{wrong}");
        }
    }
}
