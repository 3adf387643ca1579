//! Native as clients with a `client_protocol_version` expect it, out of Native as the engine prints it.
//!
//! ```text
//! engine (revision 0)                     client (revision 54454 and later)
//!                                         block info: 01 00  02 ff ff ff ff  00
//! columns, rows                           columns, rows
//! per column: name, type, data            per column: name, type, 00, data
//! ```
//!
//! The zero byte says "no custom serialization". To put it where it belongs one has to know where each column ends, so
//! the types are walked; nothing is decoded. clickhouse-go, and with it Grafana, asks for this; chdb cannot be told to.
//! Clients that ask for an older revision look what they get (clickhouse-connect does), and do without: so any type,
//! also those that are not walked here, reaches them as the engine prints it.
//!
//! Source: ClickHouse `NativeWriter.cpp`, `ProtocolDefines.h`, and the `serializeBinaryBulk*` of the data types.

use bytes::{Bytes, BytesMut};

const REVISION_CUSTOM_SERIALIZATION: u64 = 54454;
/// "The column's serialization is the usual one."
const NOT_CUSTOM: u8 = 0;
/// Not an overflow block; no bucket number (-1); end.
const BLOCK_INFO: [u8; 8] = [1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0];
/// A block that has not ended by then is given up.
const BLOCK_BYTES_MAX: usize = 256 << 20;
const TYPE_DEPTH_MAX: usize = 32;

/// Why a block cannot be rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RewriteError {
    /// It goes on in the next piece.
    Incomplete,
    /// Its columns have a type whose extent is not known here, or it is too large.
    Unsupported(String),
}

/// Blocks on their way from revision 0 to the client's.
pub(crate) struct Rewriter {
    pending: BytesMut,
    /// Walked again only when this much is there: a block is walked a few times, not once a piece.
    walk_at: usize,
}

impl Rewriter {
    /// `None` when the client's revision is content with what the engine prints.
    pub(crate) fn new(revision: u64) -> Option<Self> {
        (revision >= REVISION_CUSTOM_SERIALIZATION).then(|| Self { pending: BytesMut::new(), walk_at: 0 })
    }

    /// Takes the next piece, gives the blocks it completes.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Bytes, String> {
        self.pending.extend_from_slice(piece);
        if self.pending.len() < self.walk_at { Ok(Bytes::new()) } else { self.rewrite() }
    }

    /// Gives what is left when the engine is done.
    pub(crate) fn finish(&mut self) -> Result<Bytes, String> {
        self.rewrite()
    }

    /// Whether every block that came in has gone out.
    pub(crate) fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    fn rewrite(&mut self) -> Result<Bytes, String> {
        let mut out = BytesMut::new();
        while !self.pending.is_empty() {
            match self.block(&mut out) {
                Ok(length) => {
                    let _rewritten = self.pending.split_to(length);
                    self.walk_at = 0;
                }
                Err(RewriteError::Incomplete) if self.pending.len() < BLOCK_BYTES_MAX => {
                    self.walk_at = self.pending.len() * 2;
                    break;
                }
                Err(RewriteError::Incomplete) => return Err(format!("a block is larger than {BLOCK_BYTES_MAX} bytes")),
                Err(RewriteError::Unsupported(what)) => return Err(what),
            }
        }
        Ok(out.freeze())
    }

    /// Rewrites the first block of what is pending; `out` is untouched unless the block is complete.
    fn block(&self, out: &mut BytesMut) -> Result<usize, RewriteError> {
        let mut walk = Walk { bytes: &self.pending, at: 0 };
        let (columns, rows) = (walk.varint()?, walk.varint()?);
        // where each column's data begins
        let mut data_at = Vec::new();
        for _column in 0..columns {
            walk.string()?;
            let name = String::from_utf8_lossy(walk.string()?).into_owned();
            data_at.push(walk.at);
            if rows > 0 {
                let kind = Type::parse(&name, 0)?;
                walk.prefix(&kind)?;
                walk.data(&kind, rows)?;
            }
        }
        out.extend_from_slice(&BLOCK_INFO);
        let mut copied = 0;
        for at in data_at {
            out.extend_from_slice(self.pending.get(copied..at).expect("columns follow each other"));
            out.extend_from_slice(&[NOT_CUSTOM]);
            copied = at;
        }
        out.extend_from_slice(self.pending.get(copied..walk.at).expect("a walk ends within the block"));
        Ok(walk.at)
    }
}

/// A type, as far as its extent in Native goes.
#[derive(Debug, PartialEq, Eq)]
enum Type {
    Fixed(u64),
    String,
    Nullable(Box<Type>),
    Array(Box<Type>),
    Tuple(Vec<Type>),
    /// The type of its dictionary.
    LowCardinality(Box<Type>),
}

impl Type {
    fn parse(text: &str, depth: usize) -> Result<Self, RewriteError> {
        let unsupported =
            || RewriteError::Unsupported(format!("columns of type {text} are not served at this protocol version"));
        if depth > TYPE_DEPTH_MAX {
            return Err(unsupported());
        }
        let (name, inside) = match text.split_once('(') {
            Some((name, inside)) => (name, inside.strip_suffix(')').ok_or_else(unsupported)?),
            None => (text, ""),
        };
        let arguments = arguments(inside);
        let nested = |text: &str| Self::parse(text, depth + 1);
        let argument = |at: usize| arguments.get(at).copied().ok_or_else(unsupported).and_then(nested);
        let one = || argument(0);
        let members = || arguments.iter().map(|member| nested(without_name(member))).collect::<Result<Vec<_>, _>>();
        let array = |text: &str| Ok(Self::Array(Box::new(nested(text)?)));
        Ok(match name {
            "String" => Self::String,
            "Nullable" => Self::Nullable(Box::new(one()?)),
            "Array" => Self::Array(Box::new(one()?)),
            "LowCardinality" => Self::LowCardinality(Box::new(match one()? {
                Self::Nullable(inner) => *inner,
                other => other,
            })),
            "Tuple" => Self::Tuple(members()?),
            "Map" | "Nested" => Self::Array(Box::new(Self::Tuple(members()?))),
            "SimpleAggregateFunction" => argument(1)?,
            "Point" => Self::Tuple(vec![Self::Fixed(8), Self::Fixed(8)]),
            "Ring" | "LineString" => array("Point")?,
            "Polygon" | "MultiLineString" => array("Ring")?,
            "MultiPolygon" => array("Polygon")?,
            _ => Self::Fixed(width(name, &arguments).ok_or_else(unsupported)?),
        })
    }
}

/// Bytes a value, for types whose values have all the same size.
fn width(name: &str, arguments: &[&str]) -> Option<u64> {
    let number = |at: usize| arguments.get(at)?.parse::<u64>().ok();
    Some(match name {
        "Int8" | "UInt8" | "Bool" | "Enum8" | "Nothing" => 1,
        "Int16" | "UInt16" | "Enum16" | "Date" | "BFloat16" => 2,
        "Int32" | "UInt32" | "Float32" | "Date32" | "DateTime" | "IPv4" | "Decimal32" | "Time" => 4,
        "Int64" | "UInt64" | "Float64" | "DateTime64" | "Decimal64" | "Time64" => 8,
        "Int128" | "UInt128" | "UUID" | "IPv6" | "Decimal128" => 16,
        "Int256" | "UInt256" | "Decimal256" => 32,
        "FixedString" => number(0)?,
        "Decimal" => match number(0)? {
            0..=9 => 4,
            10..=18 => 8,
            19..=38 => 16,
            _ => 32,
        },
        _ if name.starts_with("Interval") => 8,
        _ => return None,
    })
}

/// Splits at the commas that are in no bracket and no quotes.
fn arguments(text: &str) -> Vec<&str> {
    split_outside(text, b',').into_iter().map(str::trim).filter(|argument| !argument.is_empty()).collect()
}

/// `name Type` or `Type`.
fn without_name(member: &str) -> &str {
    match split_outside(member, b' ').as_slice() {
        [name, _rest, ..] => member.strip_prefix(name).map_or(member, str::trim_start),
        _ => member,
    }
}

fn split_outside(text: &str, separator: u8) -> Vec<&str> {
    const SEPARATOR: &str = "a separator is one byte, and so a character";
    debug_assert!(separator.is_ascii(), "{separator}");
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    let (mut quote, mut escaped) = (None, false);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'`') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            (None, byte) if byte == separator && depth == 0 => {
                parts.push(text.get(start..at).expect(SEPARATOR));
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    parts.push(text.get(start..).expect(SEPARATOR));
    parts
}

/// A place in the bytes of a block; every step is checked against their end.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn skip(&mut self, length: u64) -> Result<&'a [u8], RewriteError> {
        let length = usize::try_from(length).map_err(|_large| RewriteError::Incomplete)?;
        let end = self.at.checked_add(length).ok_or(RewriteError::Incomplete)?;
        let skipped = self.bytes.get(self.at..end).ok_or(RewriteError::Incomplete)?;
        self.at = end;
        Ok(skipped)
    }

    fn varint(&mut self) -> Result<u64, RewriteError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.skip(1)? else { return Err(RewriteError::Incomplete) };
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    fn string(&mut self) -> Result<&'a [u8], RewriteError> {
        let length = self.varint()?;
        self.skip(length)
    }

    fn number(&mut self) -> Result<u64, RewriteError> {
        let bytes = self.skip(8)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// What is written once before a column's data: the version of each LowCardinality in it.
    fn prefix(&mut self, kind: &Type) -> Result<(), RewriteError> {
        match kind {
            Type::Fixed(_) | Type::String => Ok(()),
            Type::Nullable(inner) | Type::Array(inner) => self.prefix(inner),
            Type::Tuple(members) => members.iter().try_for_each(|member| self.prefix(member)),
            Type::LowCardinality(_) => self.skip(8).map(|_version| ()),
        }
    }

    fn data(&mut self, kind: &Type, rows: u64) -> Result<(), RewriteError> {
        if rows == 0 {
            return Ok(());
        }
        match kind {
            Type::Fixed(width) => self.skip(rows.saturating_mul(*width)).map(|_values| ()),
            Type::String => (0..rows).try_for_each(|_row| self.string().map(|_value| ())),
            Type::Nullable(inner) => {
                self.skip(rows)?;
                self.data(inner, rows)
            }
            Type::Array(inner) => {
                self.skip((rows - 1).saturating_mul(8))?;
                let elements = self.number()?;
                self.data(inner, elements)
            }
            Type::Tuple(members) if members.is_empty() => self.skip(rows).map(|_values| ()),
            Type::Tuple(members) => members.iter().try_for_each(|member| self.data(member, rows)),
            Type::LowCardinality(dictionary) => self.low_cardinality(dictionary),
        }
    }

    /// Flags, keys, indexes. Source: ClickHouse `SerializationLowCardinality.cpp`.
    fn low_cardinality(&mut self, dictionary: &Type) -> Result<(), RewriteError> {
        const ADDITIONAL_KEYS: u64 = 1 << 9;
        let flags = self.number()?;
        if flags & ADDITIONAL_KEYS != 0 {
            let keys = self.number()?;
            self.data(dictionary, keys)?;
        }
        let indexes = self.number()?;
        let width = 1 << (flags & 3);
        self.skip(indexes.saturating_mul(width)).map(|_indexes| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns, two rows: `a UInt8` 1, 2 and `s LowCardinality(Nullable(String))` 'x', 'x'.
    const BLOCK: &[u8] = b"\x02\x02\x01a\x05UInt8\x01\x02\x01s\x20LowCardinality(Nullable(String))\
        \x01\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\x01x\x02\0\0\0\0\0\0\0\x01\x01";
    const REWRITTEN: &[u8] =
        b"\x01\0\x02\xff\xff\xff\xff\0\x02\x02\x01a\x05UInt8\0\x01\x02\x01s\x20LowCardinality(Nullable(String))\
        \0\x01\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\x01x\x02\0\0\0\0\0\0\0\x01\x01";

    #[test]
    fn a_block_gets_its_info_and_each_column_its_byte() {
        let mut rewriter = Rewriter::new(54460).unwrap();
        assert_eq!(rewriter.push(BLOCK).unwrap(), REWRITTEN);
        assert_eq!(rewriter.finish().unwrap(), Bytes::new());
    }

    #[test]
    fn blocks_in_pieces_of_any_size_come_out_the_same() {
        for size in 1..BLOCK.len() * 2 {
            let mut rewriter = Rewriter::new(54460).unwrap();
            let mut out = Vec::new();
            for piece in [BLOCK, BLOCK].concat().chunks(size) {
                out.extend_from_slice(&rewriter.push(piece).unwrap());
            }
            out.extend_from_slice(&rewriter.finish().unwrap());
            assert_eq!(out, [REWRITTEN, REWRITTEN].concat(), "pieces of {size}");
        }
    }

    #[test]
    fn an_old_client_gets_what_the_engine_prints() {
        assert!(Rewriter::new(0).is_none());
        assert!(Rewriter::new(54405).is_none());
    }

    #[test]
    fn types_are_measured() {
        let parse = |text| Type::parse(text, 0).unwrap();
        assert_eq!(parse("Enum8('a,)' = 1, 'it\\'s' = 2)"), Type::Fixed(1));
        assert_eq!(parse("DateTime64(9, 'UTC')"), Type::Fixed(8));
        assert_eq!(parse("Decimal(38, 9)"), Type::Fixed(16));
        assert_eq!(
            parse("Map(LowCardinality(String), Array(Tuple(`a b` UInt8, c Nullable(FixedString(3)))))"),
            Type::Array(Box::new(Type::Tuple(vec![
                Type::LowCardinality(Box::new(Type::String)),
                Type::Array(Box::new(Type::Tuple(vec![Type::Fixed(1), Type::Nullable(Box::new(Type::Fixed(3)))]))),
            ])))
        );
        assert!(matches!(Type::parse("JSON", 0), Err(RewriteError::Unsupported(_))));
        assert!(matches!(Type::parse(&"Array(".repeat(100), 0), Err(RewriteError::Unsupported(_))));
    }
}
