//! The protobuf wire format, written: tags, varints, and messages whose length is known at their end.
//!
//! Source: protobuf documentation, "Encoding".

use crate::numbers::to_u64;
use crate::steps;

/// Writes the number and the wire type of a field.
#[inline]
pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_varint(out, u64::from(number << 3 | wire_type));
}

/// Writes a varint.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Writes a text.
#[inline]
pub(crate) fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    put_bytes(out, number, text.as_bytes());
}

/// Writes bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, to_u64(bytes.len()));
    out.extend_from_slice(bytes);
}

/// A message under way in the output. Its length is known only at its end.
///
/// ```text
/// tag | five bytes for the length | fields         a short message moves up to a length of one byte
/// ```
pub(crate) struct Message {
    start: usize,
    body: usize,
}

impl Message {
    /// Bytes kept free for the length: a varint padded to its full width.
    const LENGTH_WIDTH: usize = 5;
    /// The longest message whose length takes one byte.
    const SHORT_MAX: usize = 0x7f;

    pub(crate) fn open(out: &mut Vec<u8>, number: u32) -> Self {
        let start = out.len();
        put_tag(out, number, 2);
        out.extend_from_slice(&[0; Self::LENGTH_WIDTH]);
        Self { start, body: out.len() }
    }

    pub(crate) fn close(self, out: &mut Vec<u8>) {
        let place = self.body - Self::LENGTH_WIDTH;
        let length = out.len() - self.body;
        if length <= Self::SHORT_MAX {
            steps::take(length);
            out.drain(place + 1..self.body);
        }
        let field = Self::length_field(length);
        if let Some(room) = out.get_mut(place..place + Self::length_bytes(length)) {
            room.iter_mut().zip(field).for_each(|(byte, of_length)| *byte = of_length);
        }
    }

    /// Writes the length of a message that comes next, as [`Self::close`] would.
    pub(crate) fn put_length(out: &mut Vec<u8>, length: usize) {
        out.extend(Self::length_field(length).into_iter().take(Self::length_bytes(length)));
    }

    /// How many bytes the length of a message has.
    pub(crate) fn length_bytes(length: usize) -> usize {
        if length <= Self::SHORT_MAX { 1 } else { Self::LENGTH_WIDTH }
    }

    /// A varint, whose first byte is all of it when that is enough.
    fn length_field(mut length: usize) -> [u8; Self::LENGTH_WIDTH] {
        let width = Self::length_bytes(length);
        let mut field = [0; Self::LENGTH_WIDTH];
        for (index, byte) in field.iter_mut().enumerate().take(width) {
            let more = if index + 1 < width { 0x80 } else { 0 };
            *byte = (length.to_le_bytes()[0] & 0x7f) | more;
            length >>= 7;
        }
        field
    }

    pub(crate) fn leave_out(self, out: &mut Vec<u8>) {
        out.truncate(self.start);
    }
}
