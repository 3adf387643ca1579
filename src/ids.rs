//! Trace and span ids as the whole house knows them: parsed once at the door, never all zero.
//!
//! Source: OTLP trace.proto (`Span.trace_id`: 16 bytes, `Span.span_id`: 8 bytes, all-zero is invalid) and
//! W3C Trace Context (lower-case hex as the text form).

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
            /// When they are all zero.
            pub fn new(bytes: [u8; $bytes]) -> Result<Self, IdError> {
                if bytes == [0; $bytes] { Err(IdError::Zero) } else { Ok(Self(bytes)) }
            }

            /// Takes an id as OTLP carries it.
            ///
            /// # Errors
            /// When the length is wrong or all bytes are zero.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
                let array = bytes.try_into().map_err(|_| IdError::Length { got: bytes.len(), want: $bytes })?;
                Self::new(array)
            }

            /// Reads the text form, in either case.
            ///
            /// # Errors
            /// When it is not exactly the right number of hex digits, or all zero.
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
                    pair.copy_from_slice(&HEX_PAIRS.get(usize::from(byte)).copied().unwrap_or_default());
                }
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
    fn wrong_lengths_zeros_and_other_letters_are_refused() {
        assert_eq!(SpanId::from_slice(&[1; 7]), Err(IdError::Length { got: 7, want: 8 }));
        assert_eq!(SpanId::from_slice(&[0; 8]), Err(IdError::Zero));
        assert_eq!(SpanId::from_hex(b"000000000000000g"), Err(IdError::NotHex { want: 16 }));
        assert_eq!(SpanId::from_hex(b"00"), Err(IdError::NotHex { want: 16 }));
        assert_eq!(TraceId::from_hex(&[b'0'; 32]), Err(IdError::Zero));
    }
}
