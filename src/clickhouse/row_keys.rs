//! What tells the rows of a segment from each other that ClickHouse is asked for. Of records it is a hash of all that their columns say,
//! computed from a block here and from the table there: they never change after they are stored.
//!
//! ```text
//! text of a row    each column and a zero byte: texts as they are, of maps the keys and then the values with zero bytes between,
//!                  numbers in decimal, times in nanoseconds or seconds, Float64 as its bits. Lists and NULLs are left out
//! ```

use crate::columns::Table;
use crate::columns::native::frames::checksum_of;
use crate::columns::native::parse::{Block, Data, Fixed};
use twox_hash::XxHash64;

/// What tells a row from others of its segment: a digest of what never changes after a row is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey([u8; 16]);

impl RowKey {
    /// Of a row with these ids, times in nanoseconds (since 1970 and of its length), kind, service and workspace, as the columns
    /// hold them; the default workspace is empty.
    #[must_use]
    pub fn of([trace, span, kind, service, workspace]: [&[u8]; 5], began: i64, duration: u64) -> Self {
        let mut bytes = [began.to_le_bytes(), duration.to_le_bytes()].concat();
        for text in [trace, span, kind, service, workspace] {
            bytes.extend(text.len().to_le_bytes());
            bytes.extend(text);
        }
        Self(checksum_of(&bytes))
    }
}

/// The hash in SQL.
pub(super) fn expression(table: Table) -> String {
    let said = table.columns().iter().filter_map(|column| {
        let name = format!("`{}`", column.name);
        Some(match column.wire_type {
            "UUID" => return None,
            "String" => format!("toString({name})"),
            "Map(String, String)" => {
                let texts = |of: &str| format!("arrayStringConcat({of}({name}), '\\0')");
                format!("{}, '\\0', {}", texts("mapKeys"), texts("mapValues"))
            }
            "DateTime64(9)" => format!("toString(toUnixTimestamp64Nano({name}))"),
            "DateTime" => format!("toString(toUnixTimestamp({name}))"),
            "Float64" => format!("toString(reinterpretAsUInt64({name}))"),
            "Bool" => format!("toString(toUInt8({name}))"),
            "UInt8" | "UInt32" | "UInt64" | "Int32" | "Int64" => format!("toString({name})"),
            _ => return None,
        })
    });
    format!("xxHash64(concat({}, '\\0'))", said.collect::<Vec<_>>().join(", '\\0', "))
}

/// The keys of a block's rows.
#[must_use]
pub fn keys(table: Table, block: &Block<'_>) -> Vec<RowKey> {
    let mut rows: Vec<Vec<u8>> = vec![Vec::new(); block.rows()];
    for column in table.columns() {
        match (column.wire_type, block.data(column.name)) {
            ("UUID", _) => {}
            ("Map(String, String)", Some(Data::Map(_, _))) => put_maps(block, column.name, &mut rows),
            // a block leaves out columns that its rows have nothing in
            ("Map(String, String)", _) => rows.iter_mut().for_each(|row| row.extend_from_slice(&[0, 0])),
            ("String", Some(Data::Strings(_))) => {
                let texts = block.strings(column.name).into_iter().flatten();
                rows.iter_mut().zip(texts).for_each(|(row, text)| put(row, text));
            }
            ("String", _) => rows.iter_mut().for_each(|row| put(row, b"")),
            (_, Some(Data::Fixed(fixed, bytes))) => {
                let numbers = bytes.chunks_exact(fixed.width()).map(|value| decimal(*fixed, value));
                rows.iter_mut().zip(numbers).for_each(|(row, number)| put(row, number.as_bytes()));
            }
            (of_lists, _) if of_lists.starts_with("Array(") || of_lists.starts_with("Nullable(") => {}
            (_, _) => rows.iter_mut().for_each(|row| put(row, b"0")),
        }
    }
    rows.iter().map(|row| of_hash(XxHash64::oneshot(0, row))).collect()
}

/// The key of rows that have this hash.
pub(super) fn of_hash(hash: u64) -> RowKey {
    RowKey::of([&[], &[], &[], &[], &[]], hash.cast_signed(), 0)
}

fn put(row: &mut Vec<u8>, text: &[u8]) {
    row.extend_from_slice(text);
    row.push(0);
}

fn put_maps(block: &Block<'_>, column: &str, rows: &mut [Vec<u8>]) {
    let entries = block.entries(column).unwrap_or_default();
    for (row, entries) in rows.iter_mut().zip(entries) {
        let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) = entries.into_iter().unzip();
        put(row, &keys.join(&0));
        put(row, &values.join(&0));
    }
}

/// As ClickHouse prints it.
fn decimal(fixed: Fixed, value: &[u8]) -> String {
    let unsigned = || value.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    match fixed {
        Fixed::Int32 => i64::from(u32::try_from(unsigned()).map_or(0, u32::cast_signed)).to_string(),
        Fixed::Int64 | Fixed::Nanos => unsigned().cast_signed().to_string(),
        Fixed::Bool
        | Fixed::UInt8
        | Fixed::UInt32
        | Fixed::Seconds
        | Fixed::Float64
        | Fixed::UInt64
        | Fixed::Usd
        | Fixed::Uuid => unsigned().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::native::encode::encode_block;
    use crate::columns::{Records, logs};
    use crate::ids::SegmentId;
    use crate::time::UnixNanos;
    use crate::workspace::Workspace;

    #[test]
    fn records_that_differ_in_any_column_have_other_keys_and_equal_ones_the_same() {
        let mut records = Records::new(Table::Logs, Workspace::default());
        let mut add = |body: &str, attribute: Option<&str>, severity: u8| {
            records.text(logs::BODY, body.as_bytes());
            records.fixed(logs::SEVERITY_NUMBER, [severity]);
            if let Some(value) = attribute {
                records.entry(logs::LOG_ATTRIBUTES, b"k", value.as_bytes());
            }
            records.finish(UnixNanos::new(1).unwrap(), 0).unwrap();
        };
        add("a", None, 1);
        add("a", None, 1);
        add("b", None, 1);
        add("a", Some("v"), 1);
        add("a", Some("w"), 1);
        add("a", None, 2);
        let mut bytes = Vec::new();
        encode_block(&[&records], SegmentId::new(1, 2), &mut bytes);
        let keys = keys(Table::Logs, &Block::parse(&bytes).unwrap().0);
        assert_eq!(keys[0], keys[1]);
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!((keys.len(), different.len()), (6, 5));
    }

    #[test]
    fn what_is_hashed_of_a_log_record_is_spelt_out() {
        let expression = expression(Table::Logs);
        assert!(
            expression.starts_with(
                "xxHash64(concat(toString(toUnixTimestamp64Nano(`Timestamp`)), '\\0', toString(`TraceId`)"
            )
        );
        assert!(!expression.contains("SegmentId"));
    }
}
