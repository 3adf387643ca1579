//! A request without what is secret or personal: the same messages, with texts rewritten.
//!
//! ```text
//! every text but the keys of attributes                                              -> rules.text
//! attributes of a configured key, at any level                                       -> replaced, or left out
//! a span, a log record                                                               + how many of what were taken out
//! ```
//!
//! The tables of `json/fields.rs` say which field is a message of which kind. What the decoder cannot read is left as it is: the decoder
//! reads with the same reader and rejects it. Unknown fields are left out, as they are not stored.

use crate::otlp::error::DecodeError;
use crate::otlp::json::Transcoded;
use crate::otlp::json::fields::{
    ANY_VALUE, EXPORT_LOGS_SERVICE_REQUEST, EXPORT_METRICS_SERVICE_REQUEST, EXPORT_TRACE_SERVICE_REQUEST, Field,
    KEY_VALUE, KEY_VALUE_LIST, Kind, LOG_RECORD, SPAN, Scalar, named,
};
use crate::otlp::protobuf::value;
use crate::otlp::protobuf::wire::{Fields, Value};
use crate::otlp::protobuf::write::{Message, put_bytes, put_tag, put_varint};
use crate::otlp::signal::Signal;
use crate::redaction::{ATTRIBUTE_PREFIX, KeyHit, Rules, Tally};
use std::borrow::Cow;
use std::ptr;

type Table = &'static [Field];

/// Levels of messages around an attribute, and what one of its levels takes.
const LEVELS_AROUND: usize = 24;
const LEVELS_OF_A_VALUE: usize = 4;

/// The request without what the rules take out, and how much that was.
#[must_use]
pub fn redacted(request: &[u8], signal: Signal, rules: &Rules, depth_max: usize) -> (Vec<u8>, Tally) {
    let table: Table = match signal {
        Signal::Traces => &EXPORT_TRACE_SERVICE_REQUEST,
        Signal::Logs => &EXPORT_LOGS_SERVICE_REQUEST,
        Signal::Metrics => &EXPORT_METRICS_SERVICE_REQUEST,
    };
    let mut rewriter = Rewriter { rules, depth_max, tally: Tally::default(), out: Vec::with_capacity(request.len()) };
    let levels_left = LEVELS_AROUND + depth_max * LEVELS_OF_A_VALUE;
    if rewriter.fields(request, table, false, levels_left).is_err() {
        return (request.to_vec(), Tally::default());
    }
    (rewriter.out, rewriter.tally)
}

impl Transcoded {
    /// The same without what the rules take out, and how much that was.
    #[must_use]
    pub fn redacted(mut self, signal: Signal, rules: &Rules, depth_max: usize) -> (Self, Tally) {
        let (protobuf, tally) = redacted(&self.protobuf, signal, rules, depth_max);
        self.protobuf = protobuf;
        (self, tally)
    }
}

/// A message that cannot be read, or is deeper than the decoder takes.
struct Unreadable;

struct Rewriter<'r> {
    rules: &'r Rules,
    depth_max: usize,
    tally: Tally,
    out: Vec<u8>,
}

fn is(table: Table, other: &'static [Field]) -> bool {
    ptr::eq(table, other)
}

/// Whether it is a text that a sender writes freely: all but keys of attributes, which are names of a program; those of a map that is a
/// value are not.
fn is_free_text(table: Table, field: &Field, is_member: bool) -> bool {
    is_member || field.name != "key" || !is(table, &KEY_VALUE)
}

/// The number of a field that OTLP has.
fn number_of(table: Table, name: &str) -> u32 {
    named(table, name.as_bytes()).expect("OTLP has this field").number
}

impl Rewriter<'_> {
    /// Writes the fields of a message; whether it is a member of a map that is a value.
    fn fields(&mut self, message: &[u8], table: Table, is_member: bool, levels_left: usize) -> Result<(), Unreadable> {
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next().map_err(|_| Unreadable)? {
            let Some(field) = table.iter().find(|field| field.number == number) else { continue };
            match (field.kind, value) {
                (Kind::Message(inner) | Kind::Repeated(inner), Value::Bytes(bytes)) => {
                    self.message(number, bytes, inner, is(table, &KEY_VALUE_LIST), levels_left);
                }
                (Kind::Scalar(Scalar::Text), Value::Bytes(bytes)) if is_free_text(table, field, is_member) => {
                    self.text(number, bytes);
                }
                (Kind::Scalar(Scalar::Int64), Value::Varint(bits)) if is(table, &ANY_VALUE) => self.int(number, bits),
                (_, value) => put(&mut self.out, number, value),
            }
        }
        Ok(())
    }

    /// Writes a message without what is to go or, if it cannot be read, as it is.
    fn message(&mut self, number: u32, bytes: &[u8], table: Table, is_member: bool, levels_left: usize) {
        if is(table, &KEY_VALUE) && self.goes_whole(number, bytes) {
            return;
        }
        let before = (is(table, &SPAN) || is(table, &LOG_RECORD)).then(|| std::mem::take(&mut self.tally));
        let message = Message::open(&mut self.out, number);
        let start = self.out.len();
        let read = levels_left.checked_sub(1).ok_or(Unreadable);
        match read.and_then(|left| self.fields(bytes, table, is_member, left)) {
            Ok(()) if before.is_some() => self.put_tally(table),
            Ok(()) => {}
            Err(Unreadable) => {
                self.out.truncate(start);
                self.out.extend_from_slice(bytes);
            }
        }
        message.close(&mut self.out);
        if let Some(mut before) = before {
            before.add(&self.tally);
            self.tally = before;
        }
    }

    /// Writes what stands in the place of an attribute whose value goes whole, if it is one.
    fn goes_whole(&mut self, number: u32, bytes: &[u8]) -> bool {
        let Some((key, hit)) = self.key_that_goes(bytes) else { return false };
        let mut scratch = String::new();
        let text = value_of(bytes, self.depth_max, &mut scratch);
        if let Some(instead) = self.rules.value_of_key(hit, &text.unwrap_or_default(), &mut self.tally) {
            put_attribute(&mut self.out, number, &key, |out| {
                put_bytes(out, number_of(&ANY_VALUE, "stringValue"), instead.as_bytes());
            });
        }
        true
    }

    /// The key of an attribute whose value goes whole. One that cannot be read to its end is left to the decoder.
    fn key_that_goes(&self, bytes: &[u8]) -> Option<(String, KeyHit)> {
        let (mut fields, mut found) = (Fields::new(bytes), None);
        while let Some((number, value)) = fields.next().ok()? {
            let is_key = number == number_of(&KEY_VALUE, "key");
            let Value::Bytes(key) = value else { continue };
            let hit = str::from_utf8(key).ok().filter(|_| is_key).and_then(|key| Some((key, self.rules.key(key)?)));
            if let Some((key, hit)) = hit {
                found.get_or_insert_with(|| (key.to_owned(), hit));
            }
        }
        found
    }

    fn text(&mut self, number: u32, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        match self.rules.text(&text, &mut self.tally) {
            // bytes that are no text are the decoder's to replace, and to count
            Cow::Borrowed(_) => put_bytes(&mut self.out, number, bytes),
            Cow::Owned(instead) => put_bytes(&mut self.out, number, instead.as_bytes()),
        }
    }

    fn int(&mut self, number: u32, bits: u64) {
        let mut digits = itoa::Buffer::new();
        match self.rules.number(digits.format(bits.cast_signed()), &mut self.tally) {
            Some(instead) => put_bytes(&mut self.out, number_of(&ANY_VALUE, "stringValue"), instead.as_bytes()),
            None => put(&mut self.out, number, Value::Varint(bits)),
        }
    }

    /// Adds attributes that say how many of what were taken out of an item.
    fn put_tally(&mut self, table: Table) {
        for (name, count) in self.tally.iter() {
            let key = format!("{ATTRIBUTE_PREFIX}{name}");
            put_attribute(&mut self.out, number_of(table, "attributes"), &key, |out| {
                put(out, number_of(&ANY_VALUE, "intValue"), Value::Varint(count));
            });
        }
    }
}

/// Writes an attribute, of which `value` writes the value.
fn put_attribute(out: &mut Vec<u8>, number: u32, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    let message = Message::open(out, number);
    put_bytes(out, number_of(&KEY_VALUE, "key"), key.as_bytes());
    let inner = Message::open(out, number_of(&KEY_VALUE, "value"));
    value(out);
    inner.close(out);
    message.close(out);
}

/// A value as its column would have it.
fn value_of<'a>(key_value: &'a [u8], depth_max: usize, scratch: &'a mut String) -> Result<Cow<'a, str>, DecodeError> {
    let (mut fields, mut found) = (Fields::new(key_value), &[][..]);
    while let Ok(Some((number, value))) = fields.next() {
        let is_value = number == number_of(&KEY_VALUE, "value");
        if let (true, Value::Bytes(value)) = (is_value, value) {
            found = value;
        }
    }
    value::text(found, 1, depth_max, scratch).map(String::from_utf8_lossy)
}

/// Writes a field as it was read; groups are no part of OTLP.
fn put(out: &mut Vec<u8>, number: u32, value: Value<'_>) {
    match value {
        Value::Varint(number_of_it) => {
            put_tag(out, number, 0);
            put_varint(out, number_of_it);
        }
        Value::Fixed64(bits) => {
            put_tag(out, number, 1);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Value::Bytes(bytes) => put_bytes(out, number, bytes),
        Value::Fixed32(bits) => {
            put_tag(out, number, 5);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Value::Group => {}
    }
}
