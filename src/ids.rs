//! Trace and span ids, parsed once where they arrive and never all zero, and the ids of our own.
//!
//! Source: OTLP trace.proto (`Span.trace_id`: 16 bytes, `Span.span_id`: 8 bytes, all-zero is invalid) and
//! W3C Trace Context (lower-case hex as the text form).

use crate::numbers::low_half;
use std::fmt;

/// A trace id: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// A span id: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

/// Why bytes or text are not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The id has another length than the standard gives it.
    #[error("is {got} bytes long, must be {want}")]
    Length {
        /// Bytes found.
        got: usize,
        /// Bytes wanted.
        want: usize,
    },
    /// All bytes are zero, which the standard reserves for "no id".
    #[error("is all zero")]
    Zero,
    /// A character is not a hex digit, or the text has the wrong number of them.
    #[error("is not {want} hex digits")]
    NotHex {
        /// Digits wanted.
        want: usize,
    },
}

macro_rules! id {
    ($name:ident, $bytes:literal) => {
        impl $name {
            /// Length in bytes.
            pub const BYTES: usize = $bytes;
            /// Length of the text form in hex digits.
            pub const HEX: usize = $bytes * 2;

            /// Takes the bytes of an id.
            ///
            /// # Errors
            /// If they are all zero.
            pub fn new(bytes: [u8; $bytes]) -> Result<Self, IdError> {
                if bytes == [0; $bytes] { Err(IdError::Zero) } else { Ok(Self(bytes)) }
            }

            /// Takes an id as OTLP carries it.
            ///
            /// # Errors
            /// If the length is wrong or all bytes are zero.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
                let array = bytes.try_into().map_err(|_| IdError::Length { got: bytes.len(), want: $bytes })?;
                Self::new(array)
            }

            /// Reads the text form, in either case.
            ///
            /// # Errors
            /// If it is not exactly the right number of hex digits, or all zero.
            pub fn from_hex(text: &[u8]) -> Result<Self, IdError> {
                let mut bytes = [0; $bytes];
                if text.len() != Self::HEX {
                    return Err(IdError::NotHex { want: Self::HEX });
                }
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    let [high, low] = [pair.first(), pair.get(1)].map(|digit| digit.copied().and_then(hex_value));
                    let (Some(high), Some(low)) = (high, low) else {
                        return Err(IdError::NotHex { want: Self::HEX });
                    };
                    *byte = high << 4 | low;
                }
                Self::new(bytes)
            }

            /// The bytes.
            #[must_use]
            pub fn bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The text form, lower case, as ASCII bytes.
            #[must_use]
            pub fn hex(&self) -> [u8; $bytes * 2] {
                let mut text = [0; $bytes * 2];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair.copy_from_slice(HEX_PAIRS.get(usize::from(byte)).expect("a byte is below 256"));
                }
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(std::str::from_utf8(&self.hex()).expect("hex digits are ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id!(TraceId, 16);
id!(SpanId, 8);

/// What an accepted report of a span is known by, now and after a start: a keyed hash of the span, and a hash of what it said.
///
/// `dedup` makes it; the journal keeps it beside the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReportKey {
    /// Chooses where the index keeps it.
    pub place: u64,
    /// What the index keeps; the low bits are free, for the time.
    pub mark: u64,
}

impl ReportKey {
    /// Length in bytes.
    pub const BYTES: usize = 16;
    /// Of a row that is not to be known again.
    pub const NONE: Self = Self { place: 0, mark: 0 };

    /// As the journal keeps it.
    #[must_use]
    pub fn bytes(self) -> [u8; Self::BYTES] {
        (u128::from(self.mark) << 64 | u128::from(self.place)).to_le_bytes()
    }

    /// What [`bytes`](Self::bytes) were made from.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self { place: low_half(both), mark: low_half(both >> 64) }
    }
}

/// Id of a run of rows that ClickHouse gets as one insert: the insert's deduplication token, and in every row of it.
///
/// The first half is random for each opening of a journal, the second counts up, so later ids of one journal are greater.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId {
    // first: later ids are greater, whatever their origin
    number: u64,
    origin: u64,
}

impl SegmentId {
    /// Puts the halves together.
    #[must_use]
    pub fn new(origin: u64, number: u64) -> Self {
        Self { origin, number }
    }

    /// The half that all ids of one opening of a journal share.
    #[must_use]
    pub fn origin(self) -> u64 {
        self.origin
    }

    /// The half that counts up.
    #[must_use]
    pub fn number(self) -> u64 {
        self.number
    }

    /// As ClickHouse's Native format carries a UUID: two halves, each little-endian.
    #[must_use]
    pub fn wire_bytes(self) -> [u8; 16] {
        (u128::from(self.number) << 64 | u128::from(self.origin)).to_le_bytes()
    }

    /// Reads what [`wire_bytes`](Self::wire_bytes) wrote.
    #[must_use]
    pub fn from_wire(bytes: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self { origin: low_half(both), number: low_half(both >> 64) }
    }

    /// Reads the text form of a UUID, in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lengths = text.split('-').map(str::len);
        if !lengths.eq([8, 4, 4, 4, 12]) || text.contains('+') {
            return None;
        }
        let both = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
        Some(Self::from_wire(both.rotate_left(64).to_le_bytes()))
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (o, n) = (self.origin, self.number);
        let low = |number: u64, bits: u32| number & ((1 << bits) - 1);
        write!(f, "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", o >> 32, low(o >> 16, 16), low(o, 16), n >> 48, low(n, 48))
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentId({self})")
    }
}

const HEX_PAIRS: [[u8; 2]; 256] = hex_pairs();

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time: a mistake does not build")]
const fn hex_pairs() -> [[u8; 2]; 256] {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_of_either_case_is_the_same_id_and_prints_lower_case() {
        let upper = TraceId::from_hex(b"4BF92F3577B34DA6A3CE929D0E0E4736").unwrap();
        assert_eq!(upper, TraceId::from_hex(b"4bf92f3577b34da6a3ce929d0e0e4736").unwrap());
        assert_eq!(upper.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(&upper.hex(), b"4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn a_segments_id_reads_as_a_uuid() {
        let id = SegmentId::new(0x0011_2233_4455_6677, 0x8899_aabb_ccdd_eeff);
        assert_eq!(id.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(SegmentId::parse(&id.to_string()), Some(id));
        assert_eq!(SegmentId::from_wire(id.wire_bytes()), id);
        assert_eq!(id.wire_bytes().first(), Some(&0x77));
        for text in
            ["", "00112233-4455-6677-8899", "00112233445566778899aabbccddeeff", "0011223g-4455-6677-8899-aabbccddeeff"]
        {
            assert_eq!(SegmentId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn wrong_lengths_zeros_and_other_letters_are_refused() {
        assert_eq!(SpanId::from_slice(&[1; 7]), Err(IdError::Length { got: 7, want: 8 }));
        assert_eq!(SpanId::from_slice(&[0; 8]), Err(IdError::Zero));
        assert_eq!(SpanId::from_hex(b"000000000000000g"), Err(IdError::NotHex { want: 16 }));
        assert_eq!(SpanId::from_hex(b"00"), Err(IdError::NotHex { want: 16 }));
        assert_eq!(TraceId::from_hex(&[b'0'; 32]), Err(IdError::Zero));
    }
}
