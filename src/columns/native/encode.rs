//! The Native block: how rows travel to ClickHouse.
//!
//! The flavour spoken over HTTP (client revision 0: no block info, no serialization byte):
//!
//! ```text
//! VarUInt number of columns        (those that no row has anything in are left out: ClickHouse fills in defaults)
//! VarUInt number of rows
//! per column:
//!   String name, String type      (VarUInt length, bytes)
//!   data                          (see build/mod.rs)
//! ```
//!
//! Source: ClickHouse documentation, "Native" under Formats.

use crate::bounds::{BLOCK_BYTES, BLOCK_BYTES_MAX, FRAME_CONTENT_BYTES_MAX, ROW_BYTES_MAX};
use crate::columns::build::varint::{put_string, put_varint};
use crate::columns::column::Column;
use crate::columns::column_data::{ColumnData, Every};
use crate::columns::group::Group;
use crate::ids::SegmentId;

const _: () = assert!(BLOCK_BYTES_MAX <= FRAME_CONTENT_BYTES_MAX);

/// The rows of one block, all of one table: at most [`BLOCK_BYTES`] of them, or a single row. Only [`cut`] makes it.
#[derive(Debug)]
pub struct BlockRows<'g, G> {
    groups: Vec<Rows<'g, G>>,
    rows: usize,
}

/// Rows of one group.
#[derive(Debug)]
enum Rows<'g, G> {
    All(&'g G),
    Some(Box<G>),
}

impl<G: Group> BlockRows<'_, G> {
    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends the block, which has at most [`BLOCK_BYTES_MAX`] bytes, as part of `segment`.
    pub fn append_to(&self, segment: SegmentId, out: &mut Vec<u8>) {
        let groups: Vec<&G> = self.groups.iter().map(Rows::group).collect();
        let Some(table) = groups.first().map(|group| group.table()) else { return };
        // how many columns there are is known once they are written: one byte, as no table has 128
        let number_at = out.len();
        out.push(0);
        put_varint(out, self.rows);
        let mut number = 0;
        // one list for all columns: single calls make a block of many groups
        let mut contents = Vec::with_capacity(groups.len());
        for (place, column) in table.columns().iter().enumerate() {
            contents.clear();
            contents.extend(groups.iter().map(|group| (group.column(place), group.rows())));
            if contents.iter().all(|(content, _)| content.is_absent()) {
                continue;
            }
            number += 1;
            put_string(out, column.name.as_bytes());
            put_string(out, column.wire_type.as_bytes());
            put_data(column, &contents, segment, out);
        }
        debug_assert!(number < 0x80, "the number of columns is one byte");
        out.get_mut(number_at).into_iter().for_each(|byte| *byte = number);
    }
}

impl<G> Rows<'_, G> {
    fn group(&self) -> &G {
        match self {
            Self::All(group) => group,
            Self::Some(group) => group,
        }
    }
}

/// Cuts the rows of all `groups`, in order, into those of blocks. Hardly ever is there more than one block. A group that is cut
/// is copied a block at a time, when the block is asked for; each copy looks at the group from its beginning, which groups of
/// bounded size ([`REQUEST_ROWS_BYTES_MAX`](crate::bounds::REQUEST_ROWS_BYTES_MAX)) afford.
pub fn cut<'g, G: Group>(groups: &'g [&'g G]) -> impl Iterator<Item = BlockRows<'g, G>> {
    cut_at(groups, BLOCK_BYTES)
}

fn cut_at<'g, G: Group>(groups: &'g [&'g G], block_bytes: usize) -> impl Iterator<Item = BlockRows<'g, G>> {
    // the next row: its group, and its position there
    let (mut at, mut row) = (0, 0);
    std::iter::from_fn(move || {
        let (mut block, mut left) = (BlockRows { groups: Vec::new(), rows: 0 }, block_bytes);
        while let Some(group) = groups.get(at).copied() {
            let fitting = rows_that_fit(group, row, left).max(usize::from(block.rows == 0 && row < group.rows()));
            if fitting > 0 {
                let is_whole = row == 0 && fitting == group.rows();
                let rows =
                    if is_whole { Rows::All(group) } else { Rows::Some(Box::new(group.rows_at(row..row + fitting))) };
                left = left.saturating_sub(rows.group().counted_bytes());
                block.groups.push(rows);
                block.rows += fitting;
                row += fitting;
            }
            if row < group.rows() {
                break;
            }
            (at, row) = (at + 1, 0);
        }
        (block.rows > 0).then_some(block)
    })
}

/// How many rows from `row` on take no more than `left` bytes.
fn rows_that_fit(group: &impl Group, row: usize, mut left: usize) -> usize {
    if row == 0 && group.counted_bytes() <= left {
        return group.rows();
    }
    let fits = |row_bytes: &&usize| {
        debug_assert!(**row_bytes <= ROW_BYTES_MAX);
        left.checked_sub(**row_bytes).map(|rest| left = rest).is_some()
    };
    group.row_bytes().iter().skip(row).take_while(fits).count()
}

/// Appends blocks with the rows of all `groups`, in order, as part of `segment`: one, unless they are too many for it, and none
/// when there are no rows.
pub fn encode_block<G: Group>(groups: &[&G], segment: SegmentId, out: &mut Vec<u8>) {
    cut(groups).for_each(|block| block.append_to(segment, out));
}

/// Writes a column: what each group has in it, with the group's rows.
fn put_data(column: &Column, contents: &[(ColumnData<'_>, usize)], segment: SegmentId, out: &mut Vec<u8>) {
    let (mut rows_base, mut items_base) = (0, 0);
    for (content, rows) in contents {
        let [ends, _] = content.ends;
        let missing = if column.is_list() { content.missing(*rows) } else { 0 };
        debug_assert!(!column.is_list() || ends.len() + missing == *rows, "{} has an end for each row", column.name);
        rows_base = put_ends(ends, missing, rows_base, out);
    }
    for (content, _) in contents {
        let [_, ends] = content.ends;
        items_base = put_ends(ends, 0, items_base, out);
    }
    for (content, rows) in contents {
        put_shared(content.every, *rows, segment, out);
        let ([leaf, _], [pad, _]) = (content.leaves, content.pads(*rows));
        put_leaf(leaf, pad, out);
    }
    for (content, rows) in contents {
        let ([_, leaf], [_, pad]) = (content.leaves, content.pads(*rows));
        put_leaf(leaf, pad, out);
    }
}

/// Writes the ends of a group's lists, which come after `base` items, and those of `missing` empty ones; returns how many items
/// there are now.
fn put_ends(ends: &[u64], missing: usize, base: u64, out: &mut Vec<u8>) -> u64 {
    debug_assert!(ends.is_sorted(), "ends do not go backwards");
    out.reserve(size_of_val(ends));
    ends.iter().for_each(|end| out.extend_from_slice(&(base + end).to_le_bytes()));
    let last = ends.last().map_or(base, |last| base + last);
    (0..missing).for_each(|_| out.extend_from_slice(&last.to_le_bytes()));
    last
}

/// Writes what all rows share.
fn put_shared(every: Every<'_>, rows: usize, segment: SegmentId, out: &mut Vec<u8>) {
    match every {
        Every::Own => {}
        Every::Segment => (0..rows).for_each(|_| out.extend_from_slice(&segment.wire_bytes())),
        Every::Text(text) => (0..rows).for_each(|_| put_string(out, text.as_bytes())),
    }
}

fn put_leaf(leaf: &[u8], (pad, pads): (u8, usize), out: &mut Vec<u8>) {
    out.extend_from_slice(leaf);
    out.resize(out.len() + pads, pad);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::BLOCK_HEADER_BYTES_MAX;
    use crate::columns::native::parse::Block;
    use crate::columns::testing::any_group;
    use crate::columns::{COLUMNS, MapRow, RowGroup, SpanKind, SpanScalars, Table};
    use crate::ids::{SpanId, TraceId};
    use crate::time::UnixNanos;
    use proptest::collection::vec;
    use proptest::prelude::*;

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
        rows.finish(mark, &span(name), &MapRow::default(), None).unwrap();
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

    /// What a block has in a column, after its name and type.
    fn data_of(name: &str, groups: &[RowGroup]) -> Vec<u8> {
        let (place, column) = COLUMNS.iter().enumerate().find(|(_, column)| column.name == name).unwrap();
        let contents: Vec<_> = groups.iter().map(|group| (Group::column(group, place), group.rows())).collect();
        let mut out = Vec::new();
        put_data(column, &contents, segment(), &mut out);
        out
    }

    #[test]
    fn a_map_column_is_ends_then_keys_then_values_over_all_groups() {
        let groups =
            [one_row("a", &[("k1", "v1"), ("k2", "v2")], 0), one_row("b", &[], 0), one_row("c", &[("k3", "")], 0)];
        let out = data_of("SpanAttributes", &groups);
        let ends = [2_u64, 2, 3].map(u64::to_le_bytes).concat();
        assert_eq!(out, [ends.as_slice(), b"\x02k1\x02k2\x02k3", b"\x02v1\x02v2\x00"].concat());
    }

    #[test]
    fn nested_ends_are_rebased_at_both_levels() {
        let groups = [one_row("a", &[], 2), one_row("b", &[], 1)];
        let out = data_of("Events.Attributes", &groups);
        let rows = [2_u64, 3].map(u64::to_le_bytes).concat(); // events up to each row
        let events = [1_u64, 2, 3].map(u64::to_le_bytes).concat(); // attributes up to each event
        assert_eq!(out, [rows.as_slice(), &events, b"\x01n\x01n\x01n", b"\x011\x011\x011"].concat());
    }

    proptest! {
        #[test]
        fn a_block_takes_no_more_than_was_counted_and_rows_are_cut_in_order(
            groups in vec(any_group(5), 1..5),
            block_bytes in 1..6_000_usize,
        ) {
            let groups: Vec<&RowGroup> = groups.iter().collect();
            let (mut whole, mut block, mut rows) = (Vec::new(), Vec::new(), Vec::new());
            encode_block(&groups, segment(), &mut whole);
            for cut in cut_at(&groups, block_bytes) {
                let counted: usize = cut.groups.iter().map(|rows| rows.group().counted_bytes()).sum();
                prop_assert!(counted <= block_bytes || cut.rows == 1);
                block.clear();
                cut.append_to(segment(), &mut block);
                let bytes = block.as_slice();
                let (alone, rest) = Block::parse(bytes).unwrap();
                prop_assert!(rest.is_empty());
                // two lengths, a name and a type a column, and two numbers
                let column = |name| COLUMNS.iter().find(|column| column.name == name).unwrap();
                let header: usize = alone.column_names().map(|name| 2 + name.len() + column(name).wire_type.len()).sum();
                prop_assert!(bytes.len() <= counted + header + 2, "{} > {counted} + {header} + 2", bytes.len());
                prop_assert!(header + 2 <= BLOCK_HEADER_BYTES_MAX);
                prop_assert_eq!((cut.rows(), alone.rows()), (cut.rows, cut.rows));
                rows.extend((0..alone.rows()).map(|row| alone.row_json(row).unwrap()));
            }
            let all = if whole.is_empty() { Vec::new() } else {
                let (all, _) = Block::parse(&whole).unwrap();
                (0..all.rows()).map(|row| all.row_json(row).unwrap()).collect()
            };
            // a block leaves out the columns that none of its rows has anything in
            let with_values = |row: &serde_json::Value| {
                let mut row = row.as_object().unwrap().clone();
                row.retain(|_, value| !["", "null", "[]", "{}", "0"].contains(&value.as_str().unwrap_or(&value.to_string())));
                row
            };
            prop_assert_eq!(
                rows.iter().map(with_values).collect::<Vec<_>>(),
                all.iter().map(with_values).collect::<Vec<_>>()
            );
        }
    }

    /// A row whose name is so long.
    fn row_of(name_bytes: usize) -> RowGroup {
        one_row(&"n".repeat(name_bytes), &[], 0)
    }

    #[test]
    fn the_largest_row_is_a_block_of_its_own_that_a_frame_holds() {
        let empty = row_of(0).counted_bytes();
        let largest = row_of(ROW_BYTES_MAX - empty - 9);
        assert_eq!(largest.counted_bytes(), ROW_BYTES_MAX);
        let (small, mut block) = (row_of(1), Vec::new());
        let groups = [&small, &small, &largest, &small];
        let mut rows_of_blocks = Vec::new();
        for rows in cut(&groups) {
            block.clear();
            rows.append_to(segment(), &mut block);
            assert!(block.len() <= BLOCK_BYTES_MAX, "a frame holds it");
            rows_of_blocks.push(rows.rows());
        }
        assert_eq!(rows_of_blocks, [2, 1, 1]);
    }

    #[test]
    fn a_row_that_no_block_takes_is_refused_and_leaves_nothing() {
        let mut rows = one_row("a", &[("k", "v")], 1);
        let (held, counted) = (rows.bytes_len(), rows.counted_bytes());
        let large = vec![b'x'; ROW_BYTES_MAX];
        let mark = rows.begin();
        rows.attribute(b"k", &large);
        let refused = rows.finish(mark, &span("b"), &MapRow::default(), None).unwrap_err();
        assert!(refused.bytes > ROW_BYTES_MAX);
        rows.roll_back(mark);
        assert_eq!((rows.rows(), rows.bytes_len(), rows.counted_bytes(), rows.days().len()), (1, held, counted, 1));
    }

    #[test]
    fn the_number_of_columns_of_every_table_is_one_byte() {
        for table in Table::ALL {
            assert!(table.columns().len() < 0x80, "{}", table.name());
        }
    }

    #[test]
    fn no_rows_make_no_block() {
        let mut out = Vec::new();
        encode_block(&[&RowGroup::default()], segment(), &mut out);
        assert!(out.is_empty());
    }
}
