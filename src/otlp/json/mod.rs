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

use crate::bounds::REQUEST_SPANS_MAX;
use crate::otlp::error::{TypeErrors, WrongType};
use crate::otlp::json::cursor::{Cursor, SyntaxError};
use crate::otlp::json::fields::{Field, KEY_VALUE, Kind, Scalar, named};
use crate::otlp::json::not_finite::quoted_not_finite;
use crate::otlp::json::scalars::put_scalar;
use crate::otlp::json::shape::Shape;
use crate::otlp::protobuf::write::{Message, put_text};
use crate::otlp::signal::Signal;
use crate::steps;
use crate::text::mended;

pub use transcoded::Transcoded;

/// Why a body is not OTLP/JSON.
#[derive(Debug, thiserror::Error)]
#[error("the request is not valid OTLP/JSON: {0}")]
pub struct JsonError(Problem);

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Nothing tells how many items it stands for.
    #[error(transparent)]
    Type(#[from] WrongType),
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
        Err(_) => mended(body),
    };
    let shape = Shape::of(signal);
    let transcoded = transcode_text(&text, shape, depth_max).or_else(|error| match quoted_not_finite(&text) {
        Some(quoted) => transcode_text(&quoted, shape, depth_max),
        None => Err(error),
    });
    transcoded.map_err(JsonError)
}

fn transcode_text(text: &str, shape: &'static Shape, depth_max: usize) -> Result<Transcoded, Problem> {
    // protobuf is half as long as JSON
    let bytes = Vec::with_capacity(text.len() / 2);
    let out = Transcript { shape, bytes, items: 0, noted: None, wrong: TypeErrors::new() };
    let mut transcoder = Transcoder { json: Cursor::new(text), out, room: String::new(), scalar: Vec::new() };
    // the messages around an attribute of n levels, twice as many as the decoder accepts
    let depth_left = 24 + depth_max * 4;
    let fields = shape.request;
    let request = Field { name: "the request", proto_name: "", number: 0, kind: Kind::Message(fields) };
    transcoder.message(&request, fields, AN_OBJECT, depth_left)?;
    transcoder.json.end()?;
    let Transcript { bytes, noted, wrong, .. } = transcoder.out;
    if let Some(wrong) = noted {
        return Err(wrong.into());
    }
    debug_assert!(bytes.len() <= text.len() * JSON_GROWS_AT_MOST, "protobuf takes no more than its bound");
    Ok(Transcoded { protobuf: bytes, wrong })
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

/// What was under way when something that holds items, or is one, began.
struct Around {
    noted: Option<WrongType>,
    first_item: usize,
}

impl Transcript {
    /// Notes what is wrong. The first of several counts.
    fn note(&mut self, field: &Field, wanted: &'static str) {
        self.noted.get_or_insert(WrongType { field: field.name, wanted });
    }

    /// What is noted from here on, until [`Self::end_items`], costs the items that begin meanwhile.
    fn begin_items(&mut self) -> Around {
        Around { noted: self.noted.take(), first_item: self.items }
    }

    fn end_items(&mut self, around: Around) {
        if let Some(wrong) = std::mem::replace(&mut self.noted, around.noted) {
            // a request that has more is refused whole
            for item in around.first_item..self.items.min(REQUEST_SPANS_MAX + 1) {
                self.wrong.entry(item).or_insert(wrong);
            }
        }
    }

    /// Writes an item of which nothing can be read, in place of a list of them; `wanted` is what `field` should have been.
    fn unread_item(&mut self, items: &Field, field: &Field, wanted: &'static str) {
        let around = self.begin_items();
        self.items += 1;
        Message::open(&mut self.bytes, items.number).close(&mut self.bytes);
        self.note(field, wanted);
        self.end_items(around);
    }

    /// Whether these messages are items.
    fn are_items(&self, fields: &'static [Field]) -> bool {
        self.shape.is_item(fields)
    }

    /// Whether what is wrong in an element of a list costs the items in it and no others.
    fn hold_items(&self, fields: &'static [Field]) -> bool {
        self.are_items(fields) || self.shape.is_holder(fields)
    }
}

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

/// Reads JSON, writes protobuf.
struct Transcoder<'t> {
    json: Cursor<'t>,
    out: Transcript,
    /// The value of a string with escapes.
    room: String,
    /// A scalar in protobuf, before the lengths in front of it are known.
    scalar: Vec<u8>,
}

impl Transcoder<'_> {
    /// Reads an object as the message of a field; the field must be what is wanted.
    fn message(
        &mut self,
        field: &Field,
        fields: &'static [Field],
        wanted: &'static str,
        depth_left: usize,
    ) -> Result<Found, Problem> {
        if self.json.take_null() {
            return Ok(Found::Null);
        }
        if self.json.peek() != Some(b'{') || depth_left == 0 {
            let wanted = if self.json.peek() == Some(b'{') { "nested less deep" } else { wanted };
            self.json.pass_over()?;
            self.out.note(field, wanted);
            return Ok(Found::Wrong);
        }
        let mut more = self.json.open(b'}');
        while more {
            let name = self.json.name()?.value(&mut self.room);
            steps::take(1 + name.len());
            match named(fields, name.as_bytes()) {
                Some(field) => self.member(field, depth_left - 1)?,
                None => self.json.pass_over()?,
            }
            more = self.json.another(b'}')?;
        }
        Ok(Found::Message)
    }

    fn member(&mut self, field: &'static Field, depth_left: usize) -> Result<(), Problem> {
        match field.kind {
            Kind::Message(fields) => self.optional_message(field, fields, depth_left),
            Kind::Repeated(fields) => self.list(field, fields, depth_left),
            Kind::Scalar(Scalar::Text) if self.json.peek() == Some(b'"') => {
                let text = self.json.string()?.value(&mut self.room);
                put_text(&mut self.out.bytes, field.number, text);
                Ok(())
            }
            Kind::Scalar(scalar) => self.scalar(field, scalar),
            Kind::Scalars(scalar) => self.scalars(field, scalar),
        }
    }

    fn scalar(&mut self, field: &'static Field, scalar: Scalar) -> Result<(), Problem> {
        let raw = self.json.value()?;
        if let Err(wanted) = put_scalar(&mut self.out.bytes, field.number, scalar, raw) {
            self.out.note(field, wanted);
        }
        Ok(())
    }

    /// Reads a list of scalars; null means an empty one.
    fn scalars(&mut self, field: &'static Field, scalar: Scalar) -> Result<(), Problem> {
        if self.json.take_null() {
            return Ok(());
        }
        if self.json.peek() != Some(b'[') {
            self.json.pass_over()?;
            self.out.note(field, "a list");
            return Ok(());
        }
        let mut more = self.json.open(b']');
        while more {
            if self.json.take_null() {
                self.out.note(field, "a list without null");
            } else {
                self.scalar(field, scalar)?;
            }
            more = self.json.another(b']')?;
        }
        Ok(())
    }

    /// Reads the one message of a field; null means that it is absent.
    fn optional_message(
        &mut self,
        field: &'static Field,
        fields: &'static [Field],
        depth_left: usize,
    ) -> Result<(), Problem> {
        let message = Message::open(&mut self.out.bytes, field.number);
        let around = self.out.noted;
        match (self.message(field, fields, AN_OBJECT, depth_left)?, self.out.shape.items_of(fields)) {
            (Found::Message, _) => message.close(&mut self.out.bytes),
            // how many items it stands for is unknown: it counts as one
            (Found::Wrong, Some(items)) => {
                self.out.noted = around;
                self.out.unread_item(items, field, AN_OBJECT);
                message.close(&mut self.out.bytes);
            }
            (Found::Null | Found::Wrong, _) => message.leave_out(&mut self.out.bytes),
        }
        Ok(())
    }

    /// Reads a list of messages; null means an empty one.
    fn list(&mut self, field: &'static Field, fields: &'static [Field], depth_left: usize) -> Result<(), Problem> {
        if self.json.take_null() {
            return Ok(());
        }
        if self.json.peek() != Some(b'[') {
            self.json.pass_over()?;
            return self.not_a_list(field, fields);
        }
        let are_attributes = std::ptr::eq(fields, KEY_VALUE.as_slice());
        let mut more = self.json.open(b']');
        while more {
            if !(are_attributes && self.plain_attribute(field.number, depth_left)) {
                self.element(field, fields, depth_left)?;
            }
            more = self.json.another(b']')?;
        }
        Ok(())
    }

    /// Notes that this is not a list. It counts as one item where a list of items belongs; elsewhere the number of items it stands for is
    /// unknown, and the request fails.
    fn not_a_list(&mut self, field: &'static Field, fields: &'static [Field]) -> Result<(), Problem> {
        if self.out.are_items(fields) {
            self.out.unread_item(field, field, A_LIST);
            return Ok(());
        }
        if self.out.hold_items(fields) {
            return Err(WrongType { field: field.name, wanted: A_LIST }.into());
        }
        self.out.note(field, A_LIST);
        Ok(())
    }

    fn element(&mut self, field: &'static Field, fields: &'static [Field], depth_left: usize) -> Result<(), Problem> {
        let (is_item, holds_items) = (self.out.are_items(fields), self.out.hold_items(fields));
        let message = Message::open(&mut self.out.bytes, field.number);
        let around = holds_items.then(|| self.out.begin_items());
        self.out.items += usize::from(is_item);
        let found = self.message(field, fields, A_LIST, depth_left)?;
        if let Some(around) = around {
            self.out.end_items(around);
        }
        // the number of items it stands for is unknown
        if found == Found::Wrong && holds_items && !is_item {
            return Err(WrongType { field: field.name, wanted: A_LIST }.into());
        }
        // null is an empty message; anything else that is not an object is a message that is wrong
        message.close(&mut self.out.bytes);
        Ok(())
    }
}

mod attribute;
mod cursor;
pub(crate) mod fields;
mod not_finite;
pub(crate) mod scalars;
mod shape;
#[cfg(test)]
mod tests;
mod transcoded;
