//! Attributes as nearly all senders write them, read in one go: the sizes of their messages are known before these are written.
//!
//! ```text
//! {"key":"server.port","value":{"intValue":"443"}}
//! ```

use super::Transcoder;
use super::fields::{ANY_VALUE, KEY_VALUE, Kind, Scalar, named};
use super::scalars::put_scalar;
use crate::numbers::to_usize;
use crate::otlp::protobuf::write::{Message, put_tag, put_text};
use crate::steps;

/// The levels of messages that it takes: itself and its value.
const LEVELS: usize = 2;

impl Transcoder<'_> {
    /// Reads an attribute that has a key without escapes and a scalar, in this order, as an element of the list of this number. Anything
    /// else is left as it is, and the answer is no.
    pub(super) fn plain_attribute(&mut self, number: u32, depth_left: usize) -> bool {
        let (before, written) = (self.json, self.out.bytes.len());
        let is_read = depth_left >= LEVELS && self.try_attribute(number).is_some();
        if !is_read {
            self.json = before;
            self.out.bytes.truncate(written);
        }
        is_read
    }

    fn try_attribute(&mut self, number: u32) -> Option<()> {
        let [_key, value, ..] = &KEY_VALUE;
        debug_assert_eq!(value.name, "value", "the order of the .proto file");
        let json = &mut self.json;
        let key = (json.take(b'{') && json.take_name(b"\"key\"") && json.take(b':')).then(|| json.plain())??;
        let is_next = json.take(b',') && json.take_name(b"\"value\"") && json.take(b':') && json.take(b'{');
        let name = is_next.then(|| json.plain())??;
        steps::take(key.len() + name.len());
        let field = named(&ANY_VALUE, name.as_bytes()).filter(|_| json.take(b':'))?;
        let Kind::Scalar(scalar) = field.kind else { return None };
        self.scalar.clear();
        if matches!(scalar, Scalar::Text) && json.peek() == Some(b'"') {
            let text = json.string().ok()?.value(&mut self.room);
            put_head(&mut self.out.bytes, number, key, text_bytes(text));
            put_text(&mut self.out.bytes, field.number, text);
        } else {
            put_scalar(&mut self.scalar, field.number, scalar, json.value().ok()?).ok()?;
            put_head(&mut self.out.bytes, number, key, self.scalar.len());
            self.out.bytes.extend_from_slice(&self.scalar);
        }
        (self.json.take(b'}') && self.json.take(b'}')).then_some(())
    }
}

/// Writes an attribute up to the content of its value, which has so many bytes.
fn put_head(out: &mut Vec<u8>, number: u32, key: &str, value_bytes: usize) {
    let [key_field, value_field, ..] = &KEY_VALUE;
    put_tag(out, number, 2);
    Message::put_length(out, text_bytes(key) + 1 + Message::length_bytes(value_bytes) + value_bytes);
    put_text(out, key_field.number, key);
    put_tag(out, value_field.number, 2);
    Message::put_length(out, value_bytes);
}

/// What [`put_text`] writes for a field whose number is below 16.
fn text_bytes(text: &str) -> usize {
    let bits = usize::BITS - text.len().leading_zeros();
    1 + to_usize(bits.div_ceil(7).max(1)) + text.len()
}
