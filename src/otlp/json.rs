//! OTLP/JSON -> the same request in binary protobuf, so that both encodings are decoded, limited and rejected by the
//! same code (decode.rs).
//!
//! The rules of OTLP/JSON: keys are lowerCamelCase, ids are hex of either case, 64-bit integers are strings or numbers,
//! enums are numbers, `NaN` and `Infinity` are strings, bytes are base64, null is the default, unknown keys are ignored.
//! Nothing goes through a float that is not one.
//!
//! Source: OTLP specification, "JSON Protobuf Encoding"; field numbers from the .proto files.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

use crate::steps;

/// Why a body is not OTLP/JSON.
#[derive(Debug, thiserror::Error)]
#[error("the request is not valid OTLP/JSON: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Turns an ExportTraceServiceRequest in JSON into the same message in protobuf.
///
/// # Errors
/// When the body is not JSON, or a known field has a value of another type.
pub fn transcode_traces(body: &[u8], depth_max: usize) -> Result<Vec<u8>, JsonError> {
    // ids shrink to half, keys vanish: the result is smaller than the text
    let mut out = Vec::with_capacity(body.len() / 2);
    let mut json = serde_json::Deserializer::from_slice(body);
    // our own bound holds instead: `depth_left` for the messages we know; what we do not know is passed over by loops
    json.disable_recursion_limit();
    // messages around an attribute of n levels, twice as many as the decoder takes: up to there a span is rejected alone
    let depth_left = 24 + depth_max * 4;
    MessageSeed { fields: &REQUEST, out: &mut out, depth_left }.deserialize(&mut json)?;
    json.end()?;
    Ok(out)
}

/// A known key of a message: its JSON name, its field number, and how its value is written.
type Field = (&'static str, u32, Kind);

#[derive(Clone, Copy)]
enum Kind {
    Text,
    HexId,
    Base64,
    Bool,
    /// uint32, enums: a varint of a non-negative number.
    Unsigned,
    /// int64: a varint of the two's complement.
    Signed,
    Fixed64,
    Fixed32,
    Double,
    Message(&'static [Field]),
    Repeated(&'static [Field]),
}

static REQUEST: [Field; 1] = [("resourceSpans", 1, Kind::Repeated(&RESOURCE_SPANS))];
static RESOURCE_SPANS: [Field; 3] = [
    ("resource", 1, Kind::Message(&RESOURCE)),
    ("scopeSpans", 2, Kind::Repeated(&SCOPE_SPANS)),
    ("schemaUrl", 3, Kind::Text),
];
static RESOURCE: [Field; 2] =
    [("attributes", 1, Kind::Repeated(&KEY_VALUE)), ("droppedAttributesCount", 2, Kind::Unsigned)];
static SCOPE_SPANS: [Field; 3] =
    [("scope", 1, Kind::Message(&SCOPE)), ("spans", 2, Kind::Repeated(&SPAN)), ("schemaUrl", 3, Kind::Text)];
static SCOPE: [Field; 4] = [
    ("name", 1, Kind::Text),
    ("version", 2, Kind::Text),
    ("attributes", 3, Kind::Repeated(&KEY_VALUE)),
    ("droppedAttributesCount", 4, Kind::Unsigned),
];
static SPAN: [Field; 16] = [
    ("traceId", 1, Kind::HexId),
    ("spanId", 2, Kind::HexId),
    ("traceState", 3, Kind::Text),
    ("parentSpanId", 4, Kind::HexId),
    ("name", 5, Kind::Text),
    ("kind", 6, Kind::Unsigned),
    ("startTimeUnixNano", 7, Kind::Fixed64),
    ("endTimeUnixNano", 8, Kind::Fixed64),
    ("attributes", 9, Kind::Repeated(&KEY_VALUE)),
    ("droppedAttributesCount", 10, Kind::Unsigned),
    ("events", 11, Kind::Repeated(&EVENT)),
    ("droppedEventsCount", 12, Kind::Unsigned),
    ("links", 13, Kind::Repeated(&LINK)),
    ("droppedLinksCount", 14, Kind::Unsigned),
    ("status", 15, Kind::Message(&STATUS)),
    ("flags", 16, Kind::Fixed32),
];
static EVENT: [Field; 4] = [
    ("timeUnixNano", 1, Kind::Fixed64),
    ("name", 2, Kind::Text),
    ("attributes", 3, Kind::Repeated(&KEY_VALUE)),
    ("droppedAttributesCount", 4, Kind::Unsigned),
];
static LINK: [Field; 6] = [
    ("traceId", 1, Kind::HexId),
    ("spanId", 2, Kind::HexId),
    ("traceState", 3, Kind::Text),
    ("attributes", 4, Kind::Repeated(&KEY_VALUE)),
    ("droppedAttributesCount", 5, Kind::Unsigned),
    ("flags", 6, Kind::Fixed32),
];
static STATUS: [Field; 2] = [("message", 2, Kind::Text), ("code", 3, Kind::Unsigned)];
static KEY_VALUE: [Field; 2] = [("key", 1, Kind::Text), ("value", 2, Kind::Message(&ANY_VALUE))];
static ANY_VALUE: [Field; 7] = [
    ("stringValue", 1, Kind::Text),
    ("boolValue", 2, Kind::Bool),
    ("intValue", 3, Kind::Signed),
    ("doubleValue", 4, Kind::Double),
    ("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
    ("kvlistValue", 6, Kind::Message(&KEY_VALUE_LIST)),
    ("bytesValue", 7, Kind::Base64),
];
static ARRAY_VALUE: [Field; 1] = [("values", 1, Kind::Repeated(&ANY_VALUE))];
static KEY_VALUE_LIST: [Field; 1] = [("values", 1, Kind::Repeated(&KEY_VALUE))];

/// An id that is not hex becomes this one byte, which no id is: the decoder rejects its span alone.
const NOT_AN_ID: &[u8] = &[0xff];

/// Reads one JSON object as the message with these fields; says whether it was there and not null.
struct MessageSeed<'o> {
    fields: &'static [Field],
    out: &'o mut Vec<u8>,
    depth_left: usize,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| A::Error::custom("nested too deep"))?;
        while let Some(key) = map.next_key::<KeyText<'de>>()? {
            steps::take(1 + key.0.len());
            let Some((name, number, kind)) = self.fields.iter().find(|(name, ..)| *name == key.0) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            match kind {
                Kind::Message(fields) => {
                    map.next_value_seed(OptionalMessage { fields, number: *number, out: self.out, depth_left })?;
                }
                Kind::Repeated(fields) => {
                    map.next_value_seed(Items { fields, number: *number, out: self.out, depth_left })?;
                }
                scalar => {
                    let raw = map.next_value::<&'de RawValue>()?.get();
                    steps::take(raw.len());
                    put_scalar(self.out, *number, *scalar, raw)
                        .map_err(|want| A::Error::custom(format_args!("{name} must be {want}")))?;
                }
            }
        }
        Ok(true)
    }
}

/// A key, borrowed when it has no escapes.
struct KeyText<'de>(std::borrow::Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for KeyText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;
        impl<'de> Visitor<'de> for Key {
            type Value = KeyText<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(KeyText(key.into()))
            }
            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(KeyText(key.to_owned().into()))
            }
        }
        deserializer.deserialize_str(Key)
    }
}

/// A field whose value is one message; null means that it is absent.
struct OptionalMessage<'o> {
    fields: &'static [Field],
    number: u32,
    out: &'o mut Vec<u8>,
    depth_left: usize,
}

impl<'de> DeserializeSeed<'de> for OptionalMessage<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let start = self.out.len();
        let body = open_message(self.out, self.number);
        let seed = MessageSeed { fields: self.fields, out: self.out, depth_left: self.depth_left };
        if seed.deserialize(deserializer)? {
            close_message(self.out, body);
        } else {
            self.out.truncate(start);
        }
        Ok(())
    }
}

/// A field whose value is a list of messages; null means an empty list.
struct Items<'o> {
    fields: &'static [Field],
    number: u32,
    out: &'o mut Vec<u8>,
    depth_left: usize,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        loop {
            let start = self.out.len();
            let body = open_message(self.out, self.number);
            let seed = MessageSeed { fields: self.fields, out: self.out, depth_left: self.depth_left };
            if list.next_element_seed(seed)?.is_none() {
                self.out.truncate(start);
                return Ok(());
            }
            close_message(self.out, body);
        }
    }
}

/// Bytes kept free for a message's length, which is known only at its end: a varint padded to its full width.
const LENGTH_WIDTH: usize = 5;

fn open_message(out: &mut Vec<u8>, number: u32) -> usize {
    put_tag(out, number, 2);
    out.extend_from_slice(&[0; LENGTH_WIDTH]);
    out.len()
}

fn close_message(out: &mut [u8], body: usize) {
    let mut length = out.len() - body;
    let start = body - LENGTH_WIDTH;
    for (index, byte) in out.iter_mut().skip(start).take(LENGTH_WIDTH).enumerate() {
        let more = if index + 1 < LENGTH_WIDTH { 0x80 } else { 0 };
        *byte = (length.to_le_bytes()[0] & 0x7f) | more;
        length >>= 7;
    }
}

fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_varint(out, u64::from(number << 3 | wire_type));
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

/// Writes a scalar from its JSON text; an error says what it should have been.
fn put_scalar(out: &mut Vec<u8>, number: u32, kind: Kind, raw: &str) -> Result<(), &'static str> {
    if raw == "null" {
        return Ok(());
    }
    match kind {
        Kind::Text => put_bytes(out, number, string(raw)?.as_bytes()),
        Kind::HexId => put_bytes(out, number, &hex_bytes(&string(raw)?)),
        Kind::Base64 => put_bytes(out, number, &base64_bytes(&string(raw)?)?),
        Kind::Bool => {
            let bit = match raw {
                "true" => 1,
                "false" => 0,
                _ => return Err("true or false"),
            };
            put_tag(out, number, 0);
            put_varint(out, bit);
        }
        Kind::Unsigned => {
            let value = integer_text(raw)?.parse::<u32>().map_err(|_| "an integer from 0 to 4294967295")?;
            put_tag(out, number, 0);
            put_varint(out, value.into());
        }
        Kind::Signed => {
            let value = integer_text(raw)?.parse::<i64>().map_err(|_| "a 64-bit integer")?;
            put_tag(out, number, 0);
            put_varint(out, value.cast_unsigned());
        }
        Kind::Fixed64 => {
            let value = integer_text(raw)?.parse::<u64>().map_err(|_| "an unsigned 64-bit integer")?;
            put_tag(out, number, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Fixed32 => {
            let value = integer_text(raw)?.parse::<u32>().map_err(|_| "an integer from 0 to 4294967295")?;
            put_tag(out, number, 5);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Double => {
            let value = double(raw)?;
            put_tag(out, number, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Message(&_) | Kind::Repeated(&_) => {}
    }
    Ok(())
}

fn string(raw: &str) -> Result<std::borrow::Cow<'_, str>, &'static str> {
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("a string")?;
    if !inner.contains('\\') {
        return Ok(inner.into());
    }
    serde_json::from_str::<String>(raw).map(Into::into).map_err(|_| "a string of valid Unicode")
}

/// The digits of an integer given as a number or as a string; `1.0` and `1e3` are integers to JSON as well.
fn integer_text(raw: &str) -> Result<std::borrow::Cow<'_, str>, &'static str> {
    let text = if raw.starts_with('"') { string(raw)? } else { raw.into() };
    if !text.contains(['.', 'e', 'E']) {
        return Ok(text);
    }
    let value: f64 = text.parse().map_err(|_| "an integer")?;
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        Ok(format!("{value:.0}").into())
    } else {
        Err("an integer")
    }
}

fn double(raw: &str) -> Result<f64, &'static str> {
    let text = if raw.starts_with('"') { string(raw)? } else { raw.into() };
    match text.as_ref() {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        // Rust also reads "inf" and the like, which JSON senders do not mean
        other if other.bytes().any(|c| c.is_ascii_digit()) => other.parse().map_err(|_| "a number"),
        _ => Err("a number"),
    }
}

fn hex_bytes(text: &str) -> Vec<u8> {
    let digit = |c: Option<&u8>| c.and_then(|c| char::from(*c).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    if !text.len().is_multiple_of(2) {
        return NOT_AN_ID.to_vec();
    }
    let bytes = text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair.first())? << 4 | digit(pair.get(1))?));
    bytes.collect::<Option<Vec<u8>>>().unwrap_or_else(|| NOT_AN_ID.to_vec())
}

fn base64_bytes(text: &str) -> Result<Vec<u8>, &'static str> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| "base64")
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
