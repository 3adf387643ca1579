//! OTLP/JSON -> the same request in binary protobuf, so that both encodings are decoded, limited and rejected by the
//! same code (decode.rs).
//!
//! The rules of OTLP/JSON: keys are lowerCamelCase, ids are hex of either case, 64-bit integers are strings or numbers,
//! enums are numbers, `NaN` and `Infinity` are strings, bytes are base64, null is the default, unknown keys are ignored.
//! Nothing goes through a float that is not one. ProtoJSON and the OpenTelemetry Collector take more, and so do we: the names
//! of enums, keys as the .proto files have them (`trace_id`), and base64 in either alphabet with or without padding. Also taken
//! are a byte order mark, and text that is not whole (bytes that are not UTF-8 become U+FFFD).
//!
//! A value of the wrong type is noted, and costs the item that it is in (span, log record, data point), or all items of its metric,
//! scope or resource:
//!
//! ```text
//! {"spans":[{"name":"a"},{"name":5}]}   ->   protobuf of both, and a note: span 1, "name must be a string"
//! ```
//!
//! Source: OTLP specification, "JSON Protobuf Encoding"; protobuf documentation, "ProtoJSON Format".

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::bounds::REQUEST_SPANS_MAX;
use crate::otlp::error::{TypeErrors, WrongType};
use crate::otlp::json::fields::{Field, Kind, Scalar, named};
use crate::otlp::json::not_finite::quoted_not_finite;
use crate::otlp::json::scalars::{put_scalar, put_scalars};
use crate::otlp::json::shape::Shape;
use crate::otlp::protobuf::write::Message;
use crate::otlp::signal::Signal;
use crate::steps;

pub use transcoded::Transcoded;

/// Why a body is not OTLP/JSON.
#[derive(Debug, thiserror::Error)]
#[error("the request is not valid OTLP/JSON: {0}")]
pub struct JsonError(serde_json::Error);

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self(error)
    }
}

/// Turns an ExportTraceServiceRequest in JSON into the same message in protobuf.
///
/// # Errors
/// If the body is not JSON, or its spans cannot be told apart.
pub fn transcode_traces(body: &[u8], depth_max: usize) -> Result<Transcoded, JsonError> {
    transcode(body, Signal::Traces, depth_max)
}

/// How many times as long as the JSON its protobuf may be: two bytes of a list of numbers, `0,`, become nine. All else
/// becomes shorter.
pub const JSON_GROWS_AT_MOST: usize = 5;

/// Turns a request in JSON into the same message in protobuf.
///
/// # Errors
/// If the body is not JSON, or its items cannot be told apart.
pub fn transcode(body: &[u8], signal: Signal, depth_max: usize) -> Result<Transcoded, JsonError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = match simdutf8::basic::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    };
    let shape = Shape::of(signal);
    transcode_text(&text, shape, depth_max).or_else(|error| match quoted_not_finite(&text) {
        Some(quoted) => transcode_text(&quoted, shape, depth_max),
        None => Err(error),
    })
}

fn transcode_text(text: &str, shape: &'static Shape, depth_max: usize) -> Result<Transcoded, JsonError> {
    let bytes = Vec::with_capacity(text.len());
    let mut out = Transcript { shape, bytes, items: 0, noted: None, wrong: TypeErrors::new() };
    let mut json = serde_json::Deserializer::from_str(text);
    // our own bound holds instead: `depth_left` for known messages; unknown ones are skipped by loops
    json.disable_recursion_limit();
    // the messages around an attribute of n levels, twice as many as the decoder accepts
    let depth_left = 24 + depth_max * 4;
    let fields = shape.request;
    let request = Field { name: "the request", proto_name: "", number: 0, kind: Kind::Message(fields) };
    MessageSeed { field: &request, fields, wanted: AN_OBJECT, out: &mut out, depth_left }.deserialize(&mut json)?;
    json.end()?;
    if let Some(wrong) = out.noted {
        return Err(serde_json::Error::custom(wrong).into());
    }
    debug_assert!(out.bytes.len() <= text.len() * JSON_GROWS_AT_MOST, "protobuf takes no more than its bound");
    Ok(Transcoded { protobuf: out.bytes, wrong: out.wrong })
}

/// The protobuf so far, and what was found to be wrong.
#[derive(Debug)]
struct Transcript {
    shape: &'static Shape,
    bytes: Vec<u8>,
    /// Items begun.
    items: usize,
    /// What is wrong in the item, metric, scope or resource under way, beside its items.
    noted: Option<WrongType>,
    wrong: TypeErrors,
}

impl Transcript {
    /// Notes what is wrong. The first of several counts.
    fn note(&mut self, field: &Field, wanted: &'static str) {
        self.noted.get_or_insert(WrongType { field: field.name, wanted });
    }

    /// What `write` finds wrong costs the items that it writes.
    fn of_its_items<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        let (around, first) = (self.noted.take(), self.items);
        let written = write(self);
        if let Some(wrong) = std::mem::replace(&mut self.noted, around) {
            // a request that has more is refused whole
            for item in first..self.items.min(REQUEST_SPANS_MAX + 1) {
                self.wrong.entry(item).or_insert(wrong);
            }
        }
        written
    }

    /// Writes an item of which nothing can be read, in place of a list of them; `wanted` is what `field` should have been.
    fn unread_item(&mut self, items: &Field, field: &Field, wanted: &'static str) {
        self.of_its_items(|out| {
            out.items += 1;
            Message::open(&mut out.bytes, items.number).close(&mut out.bytes);
            out.note(field, wanted);
        });
    }
}

/// The one key of the object that serde_json passes for a number, with its feature `arbitrary_precision`.
/// Source: serde_json, `number.rs`.
const NUMBER: &[u8] = b"$serde_json::private::Number";

const AN_OBJECT: &str = "an object";
const A_LIST: &str = "a list of objects";

/// What stood where a message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Message,
    Null,
    /// Something else, which has been noted.
    Wrong,
}

/// Reads one JSON object as the message of a field.
struct MessageSeed<'o> {
    field: &'o Field,
    fields: &'static [Field],
    /// What the field must be.
    wanted: &'static str,
    out: &'o mut Transcript,
    depth_left: usize,
}

impl MessageSeed<'_> {
    fn wrong(self) -> Found {
        self.out.note(self.field, self.wanted);
        Found::Wrong
    }

    fn member<'de, A: MapAccess<'de>>(&mut self, field: &'static Field, map: &mut A) -> Result<(), A::Error> {
        let depth_left = self.depth_left.saturating_sub(1);
        match field.kind {
            Kind::Message(fields) => map.next_value_seed(OptionalMessage { field, fields, out: self.out, depth_left }),
            Kind::Repeated(fields) => map.next_value_seed(Items { field, fields, out: self.out, depth_left }),
            Kind::Scalar(scalar) => self.scalar(field, map.next_value::<&'de RawValue>()?, scalar, put_scalar),
            Kind::Scalars(scalar) => self.scalar(field, map.next_value::<&'de RawValue>()?, scalar, put_scalars),
        }
    }

    fn scalar<E>(&mut self, field: &'static Field, value: &RawValue, scalar: Scalar, put: PutScalar) -> Result<(), E> {
        steps::take(value.get().len());
        if let Err(wanted) = put(&mut self.out.bytes, field.number, scalar, value.get()) {
            self.out.note(field, wanted);
        }
        Ok(())
    }
}

/// Writes a value from its JSON text, as the field of this number; an error names what it should have been.
type PutScalar = fn(&mut Vec<u8>, u32, Scalar, &str) -> Result<(), &'static str>;

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(self.wrong())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found, E> {
        Ok(self.wrong())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found, E> {
        Ok(self.wrong())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(self.wrong())
    }

    fn visit_str<E>(self, _: &str) -> Result<Found, E> {
        Ok(self.wrong())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Found, A::Error> {
        pass_over_list(list)?;
        Ok(self.wrong())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Found, A::Error> {
        if self.depth_left == 0 {
            pass_over_map(map)?;
            self.out.note(self.field, "nested less deep");
            return Ok(Found::Wrong);
        }
        let mut is_first = true;
        while let Some(key) = map.next_key::<KeyText<'de>>()? {
            steps::take(1 + key.0.len());
            if std::mem::take(&mut is_first) && *key.0 == *NUMBER {
                pass_over_value(&mut map)?;
                pass_over_map(map)?;
                return Ok(self.wrong());
            }
            match named(self.fields, &key.0) {
                Some(field) => self.member(field, &mut map)?,
                None => pass_over_value(&mut map)?,
            }
        }
        Ok(Found::Message)
    }
}

fn pass_over_value<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

fn pass_over_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_key::<KeyText<'de>>()?.is_some() {
        pass_over_value(&mut map)?;
    }
    Ok(())
}

fn pass_over_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// A key, borrowed when it has no escapes; half a character in it is not an error.
struct KeyText<'de>(Cow<'de, [u8]>);

impl<'de> serde::Deserialize<'de> for KeyText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;
        impl<'de> Visitor<'de> for Key {
            type Value = KeyText<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_bytes<E>(self, key: &'de [u8]) -> Result<Self::Value, E> {
                Ok(KeyText(key.into()))
            }
            fn visit_bytes<E>(self, key: &[u8]) -> Result<Self::Value, E> {
                Ok(KeyText(key.to_owned().into()))
            }
            // the key of a number
            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(KeyText(key.as_bytes().to_owned().into()))
            }
        }
        deserializer.deserialize_bytes(Key)
    }
}

/// A field whose value is one message; null means that it is absent.
struct OptionalMessage<'o> {
    field: &'o Field,
    fields: &'static [Field],
    out: &'o mut Transcript,
    depth_left: usize,
}

impl<'de> DeserializeSeed<'de> for OptionalMessage<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { field, fields, out, depth_left } = self;
        let message = Message::open(&mut out.bytes, field.number);
        let around = out.noted;
        let seed = MessageSeed { field, fields, wanted: AN_OBJECT, out: &mut *out, depth_left };
        match (seed.deserialize(deserializer)?, out.shape.items_of(fields)) {
            (Found::Message, _) => message.close(&mut out.bytes),
            // how many items it stands for is unknown: it counts as one
            (Found::Wrong, Some(items)) => {
                out.noted = around;
                out.unread_item(items, field, AN_OBJECT);
                message.close(&mut out.bytes);
            }
            (Found::Null | Found::Wrong, _) => message.leave_out(&mut out.bytes),
        }
        Ok(())
    }
}

/// A field whose value is a list of messages; null means an empty list.
struct Items<'o> {
    field: &'o Field,
    fields: &'static [Field],
    out: &'o mut Transcript,
    depth_left: usize,
}

impl Items<'_> {
    fn are_items(&self) -> bool {
        self.out.shape.is_item(self.fields)
    }

    /// Whether what is wrong in an element costs the items in it and no others.
    fn hold_items(&self) -> bool {
        self.are_items() || self.out.shape.is_holder(self.fields)
    }

    /// Notes that this is not a list. It counts as one item where a list of items belongs; elsewhere the number of items it stands for is
    /// unknown, and the request fails.
    fn wrong<E: serde::de::Error>(self) -> Result<(), E> {
        if self.are_items() {
            let Self { field, out, .. } = self;
            out.unread_item(field, field, A_LIST);
            return Ok(());
        }
        if self.hold_items() {
            return Err(E::custom(WrongType { field: self.field.name, wanted: A_LIST }));
        }
        self.out.note(self.field, A_LIST);
        Ok(())
    }

    /// Reads one element; returns whether there was one.
    fn element<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let (are_items, hold_items) = (self.are_items(), self.hold_items());
        let Self { field, fields, depth_left, .. } = *self;
        let message = Message::open(&mut self.out.bytes, field.number);
        let mut write = |out: &mut Transcript| {
            out.items += usize::from(are_items);
            let seed = MessageSeed { field, fields, wanted: A_LIST, out: &mut *out, depth_left };
            let found = list.next_element_seed(seed)?;
            if found.is_none() {
                out.items -= usize::from(are_items);
            }
            Ok::<_, A::Error>(found)
        };
        let found = if hold_items { self.out.of_its_items(write) } else { write(self.out) }?;
        match found {
            None => message.leave_out(&mut self.out.bytes),
            // the number of items it stands for is unknown
            Some(Found::Wrong) if hold_items && !are_items => {
                return Err(A::Error::custom(WrongType { field: field.name, wanted: A_LIST }));
            }
            // null is an empty message; anything else that is not an object is a message that is wrong
            Some(_) => message.close(&mut self.out.bytes),
        }
        Ok(found.is_some())
    }
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
        f.write_str(A_LIST)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.wrong()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.wrong()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.wrong()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.wrong()
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.wrong()
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        pass_over_map(map)?;
        self.wrong()
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while self.element(&mut list)? {}
        Ok(())
    }
}

pub(crate) mod fields;
mod not_finite;
pub(crate) mod scalars;
mod shape;
#[cfg(test)]
mod tests;
mod transcoded;
