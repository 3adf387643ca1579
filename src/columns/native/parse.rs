//! Reads Native blocks back: what a segment of the journal holds, to be looked at, cut into rows, or shown.
//!
//! ```text
//! bytes -> Block { rows, columns: name, type, data }      data borrows from the bytes, nothing is copied
//!            ├ strings, i64s, map_values                  one column, row by row
//!            ├ select                                     the same block with some of its rows
//!            └ row_json                                   one row for human eyes (json.rs)
//! ```
//!
//! The bytes may be damaged: every count is checked against the bytes that are left before it is believed, and no bytes
//! make it panic. Types are those that Millrace writes (`encode.rs`); another one is an error that names it.

use crate::columns::build::selection::Selection;
use crate::columns::build::strings::StringsIter;
use crate::columns::build::varint::{put_string, put_varint, take_string, take_varint};
use crate::numbers::saturating_usize;
use std::ops::Range;

/// A block with more columns than this is damaged. The table has less than a hundred.
pub const COLUMNS_MAX: usize = 1_024;

/// How deep types may be nested: `Array(Map(String, String))` is 3.
const TYPE_DEPTH_MAX: usize = 8;
/// Of what a `DateTime` counts.
const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// How much of an unknown type's name goes into an error.
const TYPE_NAME_SHOWN: usize = 64;

/// Why bytes are not a block of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end before the block does.
    #[error("block is cut short")]
    Truncated,
    /// A number of columns that no block has, or rows without columns.
    #[error("block claims {columns} columns and {rows} rows")]
    Shape {
        /// Columns claimed.
        columns: usize,
        /// Rows claimed.
        rows: usize,
    },
    /// A column's name or type is not UTF-8.
    #[error("name or type of a column is not text")]
    NotText,
    /// A column is of a type that Millrace does not write.
    #[error("column type {0:?} is unknown")]
    UnknownType(String),
    /// The ends of an array's or map's rows go backwards.
    #[error("ends of a column's lists go backwards")]
    Ends,
}

/// Key and value of an entry of a map.
pub(crate) type Entry<'a> = (&'a [u8], &'a [u8]);

/// A Native block in memory, as it lies there.
#[derive(Debug)]
pub struct Block<'a> {
    pub(super) rows: usize,
    pub(crate) columns: Vec<Column<'a>>,
}

#[derive(Debug)]
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    pub(crate) type_text: &'a str,
    pub(crate) data: Data<'a>,
}

/// A column's values, checked to be whole: strings end within their bytes, ends do not go backwards.
#[derive(Debug)]
pub(crate) enum Data<'a> {
    Fixed(Fixed, &'a [u8]),
    Strings(&'a [u8]),
    /// A byte a value, 1 where it is unknown, and the values.
    Nullable(&'a [u8], Box<Data<'a>>),
    Array(Ends<'a>, Box<Data<'a>>),
    Map(Ends<'a>, Box<(Data<'a>, Data<'a>)>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fixed {
    Bool,
    UInt8,
    Int32,
    UInt32,
    /// `DateTime`
    Seconds,
    Int64,
    Float64,
    UInt64,
    /// `Decimal(18, 12)`
    Usd,
    /// `DateTime64(9)`
    Nanos,
    Uuid,
}

/// Cumulative ends of lists: 8 bytes each, little endian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends<'a>(&'a [[u8; 8]]);

/// Number of columns and rows that the bytes claim at their beginning; nothing else is looked at.
#[must_use]
pub fn shape(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut reader = Reader(bytes);
    Some((reader.varint().ok()?, reader.varint().ok()?))
}

impl<'a> Block<'a> {
    /// Reads the first block of `bytes`; returns it and what follows it.
    ///
    /// # Errors
    /// If the bytes are not a whole block, or have a column of a type that Millrace does not write.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let mut reader = Reader(bytes);
        let (columns, rows) = (reader.varint()?, reader.varint()?);
        if columns > COLUMNS_MAX || (columns == 0 && rows > 0) {
            return Err(Malformed::Shape { columns, rows });
        }
        let columns = (0..columns).map(|_| reader.column(rows)).collect::<Result<_, _>>()?;
        Ok((Self { rows, columns }, reader.0))
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns' names, in order.
    pub fn column_names(&self) -> impl Iterator<Item = &'a str> {
        self.columns.iter().map(|column| column.name)
    }

    /// Adds the names of its columns to those of other blocks: each leaves out columns that its rows have nothing in.
    pub fn add_column_names(&self, names: &mut Vec<String>) {
        for name in self.column_names() {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }

    /// The values of a column of strings, one a row; `None` when there is no such column.
    #[must_use]
    pub fn strings(&self, column: &str) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
        match self.data(column)? {
            Data::Strings(bytes) => Some(StringsIter(bytes)),
            _ => None,
        }
    }

    /// The values of a column of times, in nanoseconds since 1970, one a row; `None` when there is no such column.
    #[must_use]
    pub fn i64s(&self, column: &str) -> Option<impl Iterator<Item = i64> + use<'a>> {
        match self.data(column)? {
            Data::Fixed(Fixed::Nanos, bytes) => {
                Some(bytes.as_chunks().0.iter().map(|value| i64::from_le_bytes(*value)))
            }
            _ => None,
        }
    }

    /// The values of a column of times of either width, in nanoseconds since 1970, one a row; `None` when there is no such column.
    #[must_use]
    pub fn times(&self, column: &str) -> Option<Vec<i64>> {
        match self.data(column)? {
            Data::Fixed(Fixed::Nanos, bytes) => {
                Some(bytes.as_chunks().0.iter().map(|value| i64::from_le_bytes(*value)).collect())
            }
            Data::Fixed(Fixed::Seconds, bytes) => {
                let seconds = bytes.as_chunks().0.iter().map(|value| i64::from(u32::from_le_bytes(*value)));
                Some(seconds.map(|seconds| seconds * NANOS_PER_SECOND).collect())
            }
            _ => None,
        }
    }

    /// The values of a column of `UInt64`, one a row; `None` when there is no such column.
    #[must_use]
    pub fn u64s(&self, column: &str) -> Option<impl Iterator<Item = u64> + use<'a>> {
        match self.data(column)? {
            Data::Fixed(Fixed::UInt64, bytes) => {
                Some(bytes.as_chunks().0.iter().map(|value| u64::from_le_bytes(*value)))
            }
            _ => None,
        }
    }

    /// Whether there is a column of UUIDs that has this one in every row.
    #[must_use]
    pub fn is_every_uuid(&self, column: &str, uuid: [u8; 16]) -> bool {
        match self.data(column) {
            Some(Data::Fixed(Fixed::Uuid, bytes)) => bytes.as_chunks().0.iter().all(|value| *value == uuid),
            _ => false,
        }
    }

    /// What a column of maps has under `key`, one a row; `None` when there is no such column.
    #[must_use]
    pub fn map_values<'k>(
        &self,
        column: &str,
        key: &'k [u8],
    ) -> Option<impl Iterator<Item = Option<&'a [u8]>> + use<'a, 'k>> {
        let Data::Map(ends, entries) = self.data(column)? else { return None };
        let (Data::Strings(keys), Data::Strings(values)) = (&entries.0, &entries.1) else { return None };
        let mut entries = StringsIter(keys).zip(StringsIter(values));
        let mut start = 0;
        let rows = ends.iter().map(move |end| {
            let length = end.saturating_sub(std::mem::replace(&mut start, end));
            let row = entries.by_ref().take(length);
            // to the end of the row, so that the next one starts at its own entries; the last of several counts
            row.filter(|(found, _)| *found == key).map(|(_, value)| value).last()
        });
        Some(rows)
    }

    /// The entries of a column of maps, of each row; `None` when there is no such column.
    pub(crate) fn entries(&self, column: &str) -> Option<Vec<Vec<Entry<'a>>>> {
        let Data::Map(ends, entries) = self.data(column)? else { return None };
        let (Data::Strings(keys), Data::Strings(values)) = (&entries.0, &entries.1) else { return None };
        let mut entries = StringsIter(keys).zip(StringsIter(values));
        let lengths = ends.lengths(&(0..self.rows));
        Some(lengths.map(|length| entries.by_ref().take(length).collect()).collect())
    }

    /// Appends a block with the same columns and only those rows for which `keep` is true. Nothing when there are none.
    pub fn select(&self, keep: impl Fn(usize) -> bool, out: &mut Vec<u8>) {
        let rows = Selection::of(self.rows, keep);
        if rows.len() == 0 {
            return;
        }
        put_varint(out, self.columns.len());
        put_varint(out, rows.len());
        for column in &self.columns {
            for text in [column.name, column.type_text] {
                put_string(out, text.as_bytes());
            }
            column.data.select(&rows, out);
        }
    }

    pub(crate) fn data(&self, name: &str) -> Option<&Data<'a>> {
        self.columns.iter().find(|column| column.name == name).map(|column| &column.data)
    }
}

impl Data<'_> {
    fn select(&self, kept: &Selection, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(fixed, bytes) => kept.copy_fixed(bytes, fixed.width(), out),
            Self::Strings(bytes) => kept.copy_strings(bytes, out),
            Self::Nullable(nulls, values) => {
                kept.copy_fixed(nulls, 1, out);
                values.select(kept, out);
            }
            Self::Array(ends, items) => items.select(&ends.select(kept, out), out),
            Self::Map(ends, entries) => {
                let kept = ends.select(kept, out);
                entries.0.select(&kept, out);
                entries.1.select(&kept, out);
            }
        }
    }
}

impl Fixed {
    pub(crate) fn width(self) -> usize {
        match self {
            Self::Bool | Self::UInt8 => 1,
            Self::Int32 | Self::UInt32 | Self::Seconds => 4,
            Self::Int64 | Self::Float64 | Self::UInt64 | Self::Usd | Self::Nanos => 8,
            Self::Uuid => 16,
        }
    }
}

impl<'a> Ends<'a> {
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> + use<'a> {
        self.0.iter().map(|end| end_of(*end))
    }

    pub(crate) fn start_of(self, list: usize) -> usize {
        list.checked_sub(1).and_then(|before| self.0.get(before)).map_or(0, |end| end_of(*end))
    }

    pub(super) fn items_of(self, lists: &Range<usize>) -> Range<usize> {
        self.start_of(lists.start)..self.start_of(lists.end)
    }

    pub(super) fn lengths(self, lists: &Range<usize>) -> impl Iterator<Item = usize> + use<'a> {
        lists.clone().map(move |list| self.start_of(list + 1).saturating_sub(self.start_of(list)))
    }

    /// Writes the ends of the lists that stay; returns which items stay.
    fn select(self, kept: &Selection, out: &mut Vec<u8>) -> Selection {
        let (ends, items) = kept.items(|list| self.start_of(list + 1));
        out.extend(ends.into_iter().flat_map(u64::to_le_bytes));
        items
    }
}

/// One that does not fit is larger than all that can be in memory.
fn end_of(bytes: [u8; 8]) -> usize {
    saturating_usize(u64::from_le_bytes(bytes))
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Result<usize, Malformed> {
        let (value, width) = take_varint(self.0).ok_or(Malformed::Truncated)?;
        self.take(width)?;
        Ok(value)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.varint()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed::NotText)
    }

    fn column(&mut self, rows: usize) -> Result<Column<'a>, Malformed> {
        let (name, type_text) = (self.text()?, self.text()?);
        let data = self.data(type_text, rows, TYPE_DEPTH_MAX)?;
        Ok(Column { name, type_text, data })
    }

    /// `count` values of a type, which may be nested `depth` deep.
    fn data(&mut self, type_text: &str, count: usize, depth: usize) -> Result<Data<'a>, Malformed> {
        let unknown = || Malformed::UnknownType(type_text.chars().take(TYPE_NAME_SHOWN).collect());
        let below = depth.checked_sub(1).ok_or_else(unknown)?;
        if let Some(known) = inside(type_text, "Nullable(") {
            let nulls = self.take(count)?;
            return Ok(Data::Nullable(nulls, Box::new(self.data(known, count, below)?)));
        }
        if let Some(item) = inside(type_text, "Array(") {
            let (ends, total) = self.ends(count)?;
            return Ok(Data::Array(ends, Box::new(self.data(item, total, below)?)));
        }
        if let Some((key, value)) = inside(type_text, "Map(").and_then(|both| both.split_once(", ")) {
            let (ends, total) = self.ends(count)?;
            let keys = self.data(key, total, below)?;
            return Ok(Data::Map(ends, Box::new((keys, self.data(value, total, below)?))));
        }
        match type_text {
            "String" => self.strings(count),
            "Bool" => self.fixed(Fixed::Bool, count),
            "UInt8" => self.fixed(Fixed::UInt8, count),
            "Int32" => self.fixed(Fixed::Int32, count),
            "UInt32" => self.fixed(Fixed::UInt32, count),
            "DateTime" => self.fixed(Fixed::Seconds, count),
            "Int64" => self.fixed(Fixed::Int64, count),
            "Float64" => self.fixed(Fixed::Float64, count),
            "Decimal(18, 12)" => self.fixed(Fixed::Usd, count),
            "UInt64" => self.fixed(Fixed::UInt64, count),
            "DateTime64(9)" => self.fixed(Fixed::Nanos, count),
            "UUID" => self.fixed(Fixed::Uuid, count),
            _ => Err(unknown()),
        }
    }

    fn fixed(&mut self, fixed: Fixed, count: usize) -> Result<Data<'a>, Malformed> {
        let length = count.checked_mul(fixed.width()).ok_or(Malformed::Truncated)?;
        Ok(Data::Fixed(fixed, self.take(length)?))
    }

    fn strings(&mut self, count: usize) -> Result<Data<'a>, Malformed> {
        let begun = self.0;
        for _ in 0..count {
            (_, self.0) = take_string(self.0).ok_or(Malformed::Truncated)?;
        }
        let (strings, _) = begun.split_at(begun.len() - self.0.len());
        Ok(Data::Strings(strings))
    }

    /// The ends of `count` lists, and how many items they have together.
    fn ends(&mut self, count: usize) -> Result<(Ends<'a>, usize), Malformed> {
        let length = count.checked_mul(size_of::<u64>()).ok_or(Malformed::Truncated)?;
        let ends = Ends(self.take(length)?.as_chunks().0);
        let mut total = 0;
        for end in ends.iter() {
            if end < total {
                return Err(Malformed::Ends);
            }
            total = end;
        }
        Ok((ends, total))
    }
}

/// What stands between `opening` and the closing bracket at the end.
fn inside<'t>(type_text: &'t str, opening: &str) -> Option<&'t str> {
    type_text.strip_prefix(opening)?.strip_suffix(')')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::RowGroup;
    use crate::columns::native::encode::encode_block;
    use crate::columns::native::json::text_of;
    use crate::columns::testing::{any_group, read_block};
    use crate::ids::SegmentId;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::time::{Duration, UNIX_EPOCH};

    /// Two columns of every shape that exists, two rows, byte by byte.
    const GOLDEN: &[&[u8]] = &[
        &[6, 2],                                                                                  // columns, rows
        b"\x01t\x0dDateTime64(9)",                                                                // name, type
        &[1, 0, 0, 0, 0, 0, 0, 0],                 // 1 ns after the epoch
        &[0, 0xca, 0x9a, 0x3b, 0, 0, 0, 0],        // 1 s after it
        b"\x01n\x06UInt64",                        //
        &[255, 255, 255, 255, 255, 255, 255, 255], //
        &[7, 0, 0, 0, 0, 0, 0, 0],                 //
        b"\x01u\x04UUID",                          //
        &[0x04, 0x11, 0x9b, 0xe2, 0, 0x84, 0x0e, 0x55, 0, 0, 0x44, 0x55, 0x66, 0x44, 0x16, 0xa7], // high half first
        &[0; 16],                                  //
        b"\x01s\x06String",                        //
        b"\x02ab\x00",                             // "ab", ""
        b"\x01m\x13Map(String, String)",           //
        &[1, 0, 0, 0, 0, 0, 0, 0],                 // row 0 ends after entry 1
        &[3, 0, 0, 0, 0, 0, 0, 0],                 // row 1 after entry 3
        b"\x01k\x01k\x01l",                        // keys
        b"\x011\x012\x013",                        // values
        b"\x01a\x1aArray(Map(String, String))",    //
        &[0, 0, 0, 0, 0, 0, 0, 0],                 // row 0 has none
        &[2, 0, 0, 0, 0, 0, 0, 0],                 // row 1 has maps 0 and 1
        &[1, 0, 0, 0, 0, 0, 0, 0],                 // map 0 has entry 0
        &[1, 0, 0, 0, 0, 0, 0, 0],                 // map 1 is empty
        b"\x01x\x01y",                             //
    ];

    #[test]
    fn a_block_is_read_value_by_value() {
        let mut bytes = GOLDEN.concat();
        bytes.push(9);
        let (block, rest) = Block::parse(&bytes).unwrap();
        assert_eq!((block.rows(), rest, shape(&bytes)), (2, &[9][..], Some((6, 2))));
        assert_eq!(block.column_names().collect::<Vec<_>>(), ["t", "n", "u", "s", "m", "a"]);
        assert_eq!(block.strings("s").unwrap().collect::<Vec<_>>(), [&b"ab"[..], b""]);
        assert_eq!(block.i64s("t").unwrap().collect::<Vec<_>>(), [1, 1_000_000_000]);
        assert_eq!(block.map_values("m", b"k").unwrap().collect::<Vec<_>>(), [Some(&b"1"[..]), Some(b"2")]);
        assert_eq!(block.map_values("m", b"l").unwrap().collect::<Vec<_>>(), [None, Some(&b"3"[..])]);
        assert!(block.strings("t").is_none() && block.i64s("n").is_none() && block.map_values("a", b"x").is_none());
        let rows = [
            r#"{"t":"1970-01-01T00:00:00.000000001Z","n":18446744073709551615,"u":"550e8400-e29b-1104-a716-446655440000","s":"ab","m":{"k":"1"},"a":[]}"#,
            r#"{"t":"1970-01-01T00:00:01.000000000Z","n":7,"u":"00000000-0000-0000-0000-000000000000","s":"","m":{"k":"2","l":"3"},"a":[{"x":"y"},{}]}"#,
        ];
        assert_eq!([0, 1].map(|row| block.row_json(row).unwrap().to_string()), rows);
        assert_eq!(block.row_json(2), None);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        let deep = ["Array("; 9].concat() + "String" + &")".repeat(9);
        let column = |type_text: &str, data: &[u8]| {
            [&[1, 2, 1, b'c', u8::try_from(type_text.len()).unwrap()], type_text.as_bytes(), data].concat()
        };
        let huge = [&[0xff; 8][..], &[0x7f]].concat();
        for (bytes, want) in [
            (vec![], Malformed::Truncated),
            (vec![0, 1], Malformed::Shape { columns: 0, rows: 1 }),
            ([&huge[..], &[1]].concat(), Malformed::Shape { columns: usize::MAX >> 1, rows: 1 }),
            (vec![1, 1, 1, 0xff, 0], Malformed::NotText),
            (column("Int8", b"ab"), Malformed::UnknownType("Int8".to_owned())),
            (column(&deep, &[0; 16]), Malformed::UnknownType("Array(String)".to_owned())),
            (column("String", b"\x01a"), Malformed::Truncated),
            (column("Array(String)", &[[2, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]].concat()), Malformed::Ends),
            (column("Array(UInt64)", &[[0; 8], [0xff; 8]].concat()), Malformed::Truncated),
            (column("Array(String)", &[[0; 8], [0xff; 8]].concat()), Malformed::Truncated),
            ([&[1][..], &huge, b"\x01c\x06UInt64"].concat(), Malformed::Truncated),
        ] {
            let error = Block::parse(&bytes).map(|_| ()).unwrap_err();
            assert_eq!(error, want, "{bytes:?}");
        }
    }

    fn block_of(groups: &[RowGroup]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_block(&groups.iter().collect::<Vec<_>>(), SegmentId::new(1, 2), &mut bytes);
        bytes
    }

    /// The rows as the oracle reads them, written as [`Block::row_json`] writes them.
    fn expected(bytes: &[u8]) -> Vec<Value> {
        let rows = if bytes.is_empty() { Vec::new() } else { read_block(bytes) };
        let rows = rows.into_iter().map(|row| row.into_iter().map(|(name, value)| (name.clone(), shown(&name, value))));
        rows.map(|row| Value::Object(row.collect())).collect()
    }

    fn shown(column: &str, value: Value) -> Value {
        let time = |nanos: &Value| {
            let time = UNIX_EPOCH + Duration::from_nanos(nanos.as_u64().unwrap());
            Value::from(humantime_serde::re::humantime::format_rfc3339_nanos(time).to_string())
        };
        let map = |pairs: &Value| {
            let pairs = pairs.as_array().unwrap().iter();
            Value::Object(pairs.map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone())).collect())
        };
        let each = |value: &Value, f: &dyn Fn(&Value) -> Value| value.as_array().unwrap().iter().map(f).collect();
        match column {
            "Timestamp" => time(&value),
            "Events.Timestamp" => each(&value, &time),
            "ResourceAttributes" | "SpanAttributes" | "RequestParameters" | "ContentAttributes" | "ScopeAttributes" => {
                map(&value)
            }
            "Events.Attributes" | "Links.Attributes" => each(&value, &map),
            _ => value,
        }
    }

    fn shown_rows(block: &Block<'_>) -> Vec<Value> {
        (0..block.rows()).map(|row| block.row_json(row).unwrap()).collect()
    }

    /// Everything there is to ask: nothing of it may panic or loop endlessly.
    fn ask_everything(bytes: &[u8]) {
        let _any = shape(bytes);
        let Ok((block, rest)) = Block::parse(bytes) else { return };
        assert!(rest.len() < bytes.len());
        assert!(block.rows() <= bytes.len());
        for name in block.column_names() {
            let counts = [
                block.strings(name).map(Iterator::count),
                block.i64s(name).map(Iterator::count),
                block.map_values(name, b"a").map(Iterator::count),
            ];
            assert!(counts.into_iter().flatten().all(|count| count == block.rows()), "one a row");
        }
        let mut all = Vec::new();
        block.select(|_| true, &mut all);
        if block.rows() > 0 {
            assert_eq!(shown_rows(&Block::parse(&all).unwrap().0), shown_rows(&block));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_encoded_is_read_as_the_oracle_reads_it(groups in vec(any_group(4), 1..4)) {
            let bytes = block_of(&groups);
            prop_assume!(!bytes.is_empty());
            let (block, rest) = Block::parse(&bytes).unwrap();
            prop_assert!(rest.is_empty());
            let oracle = read_block(&bytes);
            prop_assert_eq!(shape(&bytes), Some((oracle[0].len(), oracle.len())));
            prop_assert_eq!(shown_rows(&block), expected(&bytes));
            let texts = |name: &str| -> Vec<Value> {
                block.strings(name).unwrap().map(|text| text_of(text).into()).collect()
            };
            for name in ["TraceId", "SpanId", "SpanName"] {
                prop_assert_eq!(texts(name), oracle.iter().map(|row| row[name].clone()).collect::<Vec<_>>());
            }
            let times: Vec<Value> = block.i64s("Timestamp").unwrap().map(Value::from).collect();
            prop_assert_eq!(times, oracle.iter().map(|row| row["Timestamp"].clone()).collect::<Vec<_>>());
            for (column, key) in [("ResourceAttributes", "a"), ("SpanAttributes", "a"), ("SpanAttributes", "")] {
                let found: Vec<Option<Value>> = block
                    .map_values(column, key.as_bytes()).unwrap().map(|value| value.map(|text| text_of(text).into())).collect();
                let want = expected(&bytes).into_iter().map(|row| row[column].get(key).cloned());
                prop_assert_eq!(found, want.collect::<Vec<_>>());
            }
        }

        #[test]
        fn any_rows_can_be_cut_out(groups in vec(any_group(4), 1..4), keep in any::<[bool; 12]>()) {
            let bytes = block_of(&groups);
            prop_assume!(!bytes.is_empty());
            let (block, _) = Block::parse(&bytes).unwrap();
            let mut cut = Vec::new();
            block.select(|row| keep[row], &mut cut);
            let want: Vec<_> = expected(&bytes).into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(row, _)| row).collect();
            prop_assert_eq!(expected(&cut), want);
            if keep[..block.rows()].iter().all(|keep| *keep) {
                prop_assert_eq!(&cut, &bytes, "all rows are the block itself");
            }
        }

        #[test]
        fn rows_taken_out_of_a_group_are_the_rows_cut_out_of_its_block(group in any_group(8), keep in any::<[bool; 8]>()) {
            let drop: Vec<usize> = (0..group.rows()).filter(|row| !keep[*row]).collect();
            let left = group.without(&drop);
            let fingerprints: Vec<u64> =
                group.fingerprints().iter().zip(keep).filter(|(_, keep)| *keep).map(|(number, _)| *number).collect();
            prop_assert_eq!(left.fingerprints(), fingerprints);
            let bytes = block_of(&[group]);
            let mut cut = Vec::new();
            if !bytes.is_empty() {
                Block::parse(&bytes).unwrap().0.select(|row| keep[row], &mut cut);
            }
            let days: std::collections::BTreeSet<i64> =
                if cut.is_empty() { [].into() } else { Block::parse(&cut).unwrap().0.i64s("Timestamp").unwrap().map(|at| at / 86_400_000_000_000).collect() };
            prop_assert_eq!(left.days(), days.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(block_of(&[left]), cut);
        }

        #[test]
        fn blocks_after_each_other_are_read_in_order(groups in vec(any_group(3), 1..4)) {
            let blocks: Vec<Vec<u8>> = groups.iter().map(|group| block_of(std::slice::from_ref(group))).collect();
            let bytes = blocks.concat();
            let mut rest = bytes.as_slice();
            for bytes in blocks.iter().filter(|bytes| !bytes.is_empty()) {
                let (block, after) = Block::parse(rest).unwrap();
                prop_assert_eq!(shown_rows(&block), expected(bytes));
                rest = after;
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_flipped_bit_never_panics(group in any_group(3), flips in vec((any::<prop::sample::Index>(), 0..8_u8), 1..20)) {
            let whole = block_of(&[group]);
            prop_assume!(!whole.is_empty());
            for (at, bit) in flips {
                let mut bytes = whole.clone();
                bytes[at.index(whole.len())] ^= 1 << bit;
                ask_everything(&bytes);
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), golden in any::<prop::sample::Index>()) {
            ask_everything(&bytes);
            // a block's beginning and then anything: gets further in
            let start = GOLDEN.concat();
            ask_everything(&[&start[..golden.index(start.len())], &bytes].concat());
        }
    }

    #[test]
    fn a_block_cut_anywhere_is_cut_short() {
        let bytes = GOLDEN.concat();
        for cut in 0..bytes.len() {
            assert_eq!(Block::parse(&bytes[..cut]).map(|_| ()), Err(Malformed::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_in_the_golden_block_never_panics() {
        let golden = GOLDEN.concat();
        for at in 0..golden.len() * 8 {
            let mut bytes = golden.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            ask_everything(&bytes);
        }
    }
}
