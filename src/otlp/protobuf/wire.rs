//! The protobuf wire format, one field at a time, borrowing from the request.
//!
//! ```text
//! tag = VarUInt (field number << 3 | wire type)
//! 0 varint | 1 fixed64 | 2 length, bytes | 3..4 group (skipped) | 5 fixed32
//! ```
//!
//! Source: protobuf documentation, "Encoding".

use crate::otlp::error::WireError;
use crate::steps;

/// Groups that nest deeper are an error.
const GROUP_DEPTH_MAX: usize = 32;

/// One field's value as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    /// A group, which no OTLP message uses: skipped.
    Group,
}

/// Largest number of a field. Source: protobuf documentation, "Assigning Field Numbers".
const FIELD_NUMBER_MAX: u32 = (1 << 29) - 1;

/// The field's number in a tag.
#[inline]
fn field_number(tag: u64) -> Result<u32, WireError> {
    u32::try_from(tag >> 3).ok().filter(|number| (1..=FIELD_NUMBER_MAX).contains(number)).ok_or(WireError::Tag)
}

/// Reads the fields of one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value; `None` at the end of the message.
    ///
    /// Nearly all fields are short and length-delimited, so that case is read in place.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        steps::take(1);
        match self.short_bytes() {
            Some(field) => Ok(Some(field)),
            None if self.rest.is_empty() => Ok(None),
            None => self.next_of_any_kind().map(Some),
        }
    }

    /// A field with a number below 16 and fewer than 128 bytes: one byte of tag, one of length.
    #[inline(always)]
    fn short_bytes(&mut self) -> Option<(u32, Value<'a>)> {
        let [tag @ 0x0a..=0x7a, length @ ..=0x7f, rest @ ..] = self.rest else { return None };
        if tag & 7 != 2 {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
        self.rest = rest;
        Some((u32::from(tag >> 3), Value::Bytes(bytes)))
    }

    fn next_of_any_kind(&mut self) -> Result<(u32, Value<'a>), WireError> {
        let tag = self.varint()?;
        let number = field_number(tag)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Value::Bytes(self.bytes()?),
            3 => {
                self.skip_group(number)?;
                Value::Group
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(WireError::Tag),
        };
        Ok((number, value))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for index in 0..10 {
            let (byte, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
            self.rest = rest;
            if index == 9 && *byte > 1 {
                return Err(WireError::LongVarint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::LongVarint)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn skip_group(&mut self, number: u32) -> Result<(), WireError> {
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            let tag = self.varint()?;
            let number = field_number(tag)?;
            match tag & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => drop(self.bytes()?),
                3 if open.len() < GROUP_DEPTH_MAX => open.push(number),
                4 if number == innermost => drop(open.pop()),
                5 => drop(self.array::<4>()?),
                _ => return Err(WireError::Group),
            }
        }
        Ok(())
    }
}

/// A field's value that must be bytes: a text, bytes, or a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LengthDelimited<'a>(pub(super) Value<'a>);

/// A field's value that must be a varint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Varint<'a>(pub(super) Value<'a>);

/// A field's value that must be 8 bytes, little endian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixed64<'a>(pub(super) Value<'a>);

/// A field's value that must be 4 bytes, little endian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixed32<'a>(pub(super) Value<'a>);

/// A field's value that must be a varint whose lowest bit is the sign. Source: protobuf documentation, "Signed Integers".
#[derive(Debug, Clone, Copy)]
pub(crate) struct ZigZag<'a>(pub(super) Value<'a>);

/// Varints of a list: one, or many packed together. Source: protobuf documentation, "Packed Repeated Fields".
#[derive(Debug, Clone, Copy)]
pub(crate) struct Varints<'a>(pub(super) Value<'a>);

/// Numbers of 8 bytes of a list, little endian: one, or many packed together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixed64s<'a>(pub(super) Value<'a>);

impl<'a> LengthDelimited<'a> {
    #[inline(always)]
    pub(crate) fn get(self) -> Result<&'a [u8], WireError> {
        if let Value::Bytes(bytes) = self.0 { Ok(bytes) } else { Err(WireError::WireType) }
    }
}

impl Varint<'_> {
    #[inline(always)]
    pub(crate) fn get(self) -> Result<u64, WireError> {
        if let Value::Varint(value) = self.0 { Ok(value) } else { Err(WireError::WireType) }
    }

    /// A number of 32 bits; of a longer one the low bits, as protobuf has it.
    pub(crate) fn get_u32(self) -> Result<u32, WireError> {
        let [a, b, c, d, ..] = self.get()?.to_le_bytes();
        Ok(u32::from_le_bytes([a, b, c, d]))
    }

    /// The same with a sign.
    pub(crate) fn get_i32(self) -> Result<i32, WireError> {
        self.get_u32().map(u32::cast_signed)
    }
}

impl Fixed64<'_> {
    #[inline(always)]
    pub(crate) fn get(self) -> Result<u64, WireError> {
        if let Value::Fixed64(value) = self.0 { Ok(value) } else { Err(WireError::WireType) }
    }
}

impl Fixed32<'_> {
    #[inline(always)]
    pub(crate) fn get(self) -> Result<u32, WireError> {
        if let Value::Fixed32(value) = self.0 { Ok(value) } else { Err(WireError::WireType) }
    }
}

impl ZigZag<'_> {
    /// A number of 32 bits; of a longer one the low bits, as protobuf has it.
    pub(crate) fn get_i32(self) -> Result<i32, WireError> {
        let bits = Varint(self.0).get_u32()?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }
}

impl Varints<'_> {
    /// Calls `f` with each, in order.
    pub(crate) fn each(self, mut f: impl FnMut(u64)) -> Result<(), WireError> {
        match self.0 {
            Value::Varint(one) => f(one),
            Value::Bytes(packed) => {
                let mut unread = Fields::new(packed);
                while !unread.rest.is_empty() {
                    f(unread.varint()?);
                }
            }
            _ => return Err(WireError::WireType),
        }
        Ok(())
    }
}

impl Fixed64s<'_> {
    /// Calls `f` with each, in order.
    pub(crate) fn each(self, f: impl FnMut(u64)) -> Result<(), WireError> {
        match self.0 {
            Value::Fixed64(one) => std::iter::once(one).for_each(f),
            Value::Bytes(packed) => {
                let (numbers, []) = packed.as_chunks() else { return Err(WireError::Truncated) };
                numbers.iter().copied().map(u64::from_le_bytes).for_each(f);
            }
            _ => return Err(WireError::WireType),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, WireError> {
        let (mut fields, mut found) = (Fields::new(bytes), Vec::new());
        while let Some(field) = fields.next()? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn every_wire_type_is_read_and_groups_are_passed_over() {
        let bytes = [
            &[0x08, 0x96, 0x01][..],                                          // 1: varint 150
            &[0x11, 1, 0, 0, 0, 0, 0, 0, 0],                                  // 2: fixed64 1
            &[0x1a, 2, b'h', b'i'],                                           // 3: "hi"
            &[0x25, 7, 0, 0, 0],                                              // 4: fixed32 7
            &[0x2b, 0x08, 1, 0x33, 0x34, 0x2c],                               // 5: group {1: 1, 6: group {}}
            &[0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], // 6: all ones
        ]
        .concat();
        let expect = vec![
            (1, Value::Varint(150)),
            (2, Value::Fixed64(1)),
            (3, Value::Bytes(b"hi")),
            (4, Value::Fixed32(7)),
            (5, Value::Group),
            (6, Value::Varint(u64::MAX)),
        ];
        assert_eq!(all(&bytes), Ok(expect));
    }

    #[test]
    fn numbers_of_a_list_lie_packed_or_one_by_one() {
        let read = |bytes: &[u8], of_8_bytes: bool| {
            let (mut numbers, mut fields) = (Vec::new(), Fields::new(bytes));
            while let Some((_, value)) = fields.next()? {
                if of_8_bytes {
                    Fixed64s(value).each(|number| numbers.push(number))?;
                } else {
                    Varints(value).each(|number| numbers.push(number))?;
                }
            }
            Ok(numbers)
        };
        assert_eq!(read(&[0x0a, 4, 0x96, 1, 0, 7, 0x08, 3], false), Ok(vec![150, 0, 7, 3]));
        assert_eq!(read(&[0x0a, 2, 7, 0x96], false), Err(WireError::Truncated));
        assert_eq!(read(&[0x0d, 0, 0, 0, 0], false), Err(WireError::WireType));
        let packed = [&[0x0a, 16, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0][..], &[0x09, 3, 0, 0, 0, 0, 0, 0, 0]];
        assert_eq!(read(&packed.concat(), true), Ok(vec![1, 2, 3]));
        assert_eq!(read(&[0x0a, 9, 1, 0, 0, 0, 0, 0, 0, 0, 2], true), Err(WireError::Truncated));
        assert_eq!(read(&[0x08, 3], true), Err(WireError::WireType));
    }

    #[test]
    fn the_lowest_bit_of_a_zigzag_number_is_its_sign() {
        let cases = [(0, 0), (1, -1), (2, 1), (3, -2), (0xffff_ffff, i32::MIN), (0xffff_fffe, i32::MAX)];
        for (wire, number) in cases {
            assert_eq!(ZigZag(Value::Varint(wire)).get_i32(), Ok(number));
        }
        assert_eq!(ZigZag(Value::Fixed64(1)).get_i32(), Err(WireError::WireType));
    }

    #[test]
    fn what_is_not_protobuf_is_said_to_be_so() {
        assert_eq!(all(&[0x0a, 5, 1]), Err(WireError::Truncated));
        assert_eq!(all(&[0x08, 0x80]), Err(WireError::Truncated));
        assert_eq!(all(&[0x00]), Err(WireError::Tag));
        assert_eq!(all(&[0x0f]), Err(WireError::Tag));
        assert_eq!(all(&[0x80, 0x80, 0x80, 0x80, 0x10, 0]), Err(WireError::Tag), "field 2^29");
        assert_eq!(all(&[0x0b, 0x00, 0x00, 0x0c]), Err(WireError::Tag), "field 0 in a group");
        assert_eq!(all(&[0x0c]), Err(WireError::Tag));
        assert_eq!(all(&[0x0b, 0x14]), Err(WireError::Group));
        assert_eq!(all(&[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]), Err(WireError::LongVarint));
    }
}
