//! The Native block: how rows travel to ClickHouse.
//!
//! The flavour spoken over HTTP (client revision 0: no block info, no serialization byte):
//!
//! ```text
//! VarUInt number of columns        (those that no row has anything in are left out: ClickHouse fills in defaults)
//! VarUInt number of rows
//! per column:
//!   String name, String type      (VarUInt length, bytes)
//!   data                          (see builders.rs)
//! ```
//!
//! Source: ClickHouse documentation, "Native" under Formats.

use super::builders::put_varint;
use super::spans::{COLUMNS, Column, Data, Every, RowGroup};
use crate::ids::SegmentId;

/// Appends one block with the rows of all `groups`, in order, as part of `segment`. Nothing is written when there are no
/// rows.
pub fn encode_block(groups: &[&RowGroup], segment: SegmentId, out: &mut Vec<u8>) {
    let rows: usize = groups.iter().map(|group| group.rows()).sum();
    if rows == 0 {
        return;
    }
    let is_present = |column: &&Column| groups.iter().any(|group| !(column.data)(group).is_absent());
    let columns: Vec<&Column> = COLUMNS.iter().filter(is_present).collect();
    put_varint(out, columns.len());
    put_varint(out, rows);
    for column in columns {
        put_text(out, column.name);
        put_text(out, column.wire_type);
        put_data(column, groups, segment, out);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_data(column: &Column, groups: &[&RowGroup], segment: SegmentId, out: &mut Vec<u8>) {
    for level in 0..2 {
        let mut base = 0;
        for group in groups {
            let data = (column.data)(group);
            let ends = data.ends.get(level).copied().unwrap_or_default();
            let last = base + ends.last().copied().unwrap_or(0);
            out.reserve(size_of_val(ends));
            for end in ends {
                out.extend_from_slice(&(base + end).to_le_bytes());
            }
            if level == 0 && column.is_list() {
                (0..missing(&data, group)).for_each(|_| out.extend_from_slice(&last.to_le_bytes()));
            }
            base = last;
        }
    }
    for leaf in 0..2 {
        for group in groups {
            let data = (column.data)(group);
            match data.every {
                Every::Own => {}
                Every::Segment if leaf == 0 => {
                    (0..group.rows()).for_each(|_| out.extend_from_slice(&segment.wire_bytes()));
                }
                Every::Text(text) if leaf == 0 => (0..group.rows()).for_each(|_| put_text(out, text)),
                Every::Segment | Every::Text(_) => {}
            }
            out.extend_from_slice(data.leaves.get(leaf).copied().unwrap_or_default());
            let (pad, width) = data.lag.and_then(|lag| lag.pads.get(leaf).copied()).unwrap_or_default();
            out.resize(out.len() + missing(&data, group) * width, pad);
        }
    }
}

/// Rows of the group that a column which lags does not have.
fn missing(data: &Data<'_>, group: &RowGroup) -> usize {
    data.lag.map_or(0, |lag| group.rows() - lag.rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{MapRow, SpanKind, SpanScalars};
    use crate::ids::{SpanId, TraceId};
    use crate::time::UnixNanos;

    fn span(name: &str) -> SpanScalars<'_> {
        SpanScalars {
            duration_nanos: 5,
            name: name.as_bytes(),
            kind: SpanKind::Client,
            service_name: b"svc",
            ..SpanScalars::new(
                UnixNanos::new(0x0102).unwrap(),
                TraceId::new([0xab; 16]).unwrap(),
                SpanId::new([0xcd; 8]).unwrap(),
            )
        }
    }

    fn segment() -> SegmentId {
        SegmentId::new(7, 8)
    }

    fn one_row(name: &str, attributes: &[(&str, &str)], events: usize) -> RowGroup {
        let mut rows = RowGroup::default();
        let mark = rows.begin();
        for (key, value) in attributes {
            rows.attribute(key.as_bytes(), value.as_bytes());
        }
        for _ in 0..events {
            rows.event_attribute(b"n", b"1");
            rows.event(UnixNanos::new(9).unwrap(), b"e");
        }
        rows.finish(mark, &span(name), &MapRow::default(), None);
        rows
    }

    /// The start of a block, byte by byte, as ClickHouse prints it for the same row with FORMAT Native.
    #[test]
    fn a_block_begins_with_its_shape_and_its_first_columns() {
        let mut out = Vec::new();
        encode_block(&[&one_row("a", &[], 0)], segment(), &mut out);
        let golden: &[&[u8]] = &[
            &[26],                                   // columns: the standard ones and four of ours
            &[1],                                    // rows
            b"\x09Timestamp",                        // name
            b"\x0dDateTime64(9)",                    // type
            &[0x02, 0x01, 0, 0, 0, 0, 0, 0],         // ticks, little endian
            b"\x07TraceId",                          //
            b"\x06String",                           //
            b"\x20abababababababababababababababab", // length 32, text
            b"\x06SpanId",                           //
            b"\x06String",                           //
            b"\x10cdcdcdcdcdcdcdcd",                 // length 16, text
            b"\x0cParentSpanId",                     //
            b"\x06String",                           //
            &[0],                                    // empty
        ];
        let golden = golden.concat();
        assert_eq!(out.get(..golden.len()), Some(golden.as_slice()));
        let segment_id = [&b"\x09SegmentId\x04UUID"[..], &[7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]].concat();
        let last = [&segment_id, &b"\x09Workspace\x06String\x07default"[..]].concat();
        assert!(out.ends_with(&last));
    }

    #[test]
    fn a_map_column_is_ends_then_keys_then_values_over_all_groups() {
        let groups =
            [one_row("a", &[("k1", "v1"), ("k2", "v2")], 0), one_row("b", &[], 0), one_row("c", &[("k3", "")], 0)];
        let mut out = Vec::new();
        let attributes = COLUMNS.iter().find(|column| column.name == "SpanAttributes").unwrap();
        put_data(attributes, &groups.iter().collect::<Vec<_>>(), segment(), &mut out);
        let ends = [2_u64, 2, 3].map(u64::to_le_bytes).concat();
        assert_eq!(out, [ends.as_slice(), b"\x02k1\x02k2\x02k3", b"\x02v1\x02v2\x00"].concat());
    }

    #[test]
    fn nested_ends_are_rebased_at_both_levels() {
        let groups = [one_row("a", &[], 2), one_row("b", &[], 1)];
        let mut out = Vec::new();
        let attributes = COLUMNS.iter().find(|column| column.name == "Events.Attributes").unwrap();
        put_data(attributes, &groups.iter().collect::<Vec<_>>(), segment(), &mut out);
        let rows = [2_u64, 3].map(u64::to_le_bytes).concat(); // events up to each row
        let events = [1_u64, 2, 3].map(u64::to_le_bytes).concat(); // attributes up to each event
        assert_eq!(out, [rows.as_slice(), &events, b"\x01n\x01n\x01n", b"\x011\x011\x011"].concat());
    }

    #[test]
    fn no_rows_make_no_block() {
        let mut out = Vec::new();
        encode_block(&[&RowGroup::default()], segment(), &mut out);
        assert!(out.is_empty());
    }
}
