//! Rows of several blocks as one block: what small commits become when they are sent, since ClickHouse does much of its work once
//! for each column of each block, and what a part of a segment becomes when it is sent by itself.
//!
//! ```text
//! blocks     a: columns t n s    b: columns t s m      each leaves out columns that its rows have nothing in
//! merged        columns t n s m, where b's rows have the default of n and a's that of m
//! ```

use super::build::varint::{put_string, put_varint};
use super::native::frames::decompress_frames;
use super::native::parse::{Block, Column, Data, Ends};
use crate::numbers::to_u64;

/// A column's values in one of the blocks, and how many they are. `None`: the block has no such column, so these are defaults.
type Part<'s, 'a> = (Option<&'s Data<'a>>, usize);

/// Appends one block with the rows of all `blocks`, in order. Nothing when there are none. Blocks of one segment have the same type
/// for the same name.
fn merge(blocks: &[Block<'_>], out: &mut Vec<u8>) {
    let rows: usize = blocks.iter().map(Block::rows).sum();
    if rows == 0 {
        return;
    }
    let columns = columns_of(blocks);
    put_varint(out, columns.len());
    put_varint(out, rows);
    for (column, parts) in columns {
        for text in [column.name, column.type_text] {
            put_string(out, text.as_bytes());
        }
        put(&parts, out);
    }
}

/// Rows of frames, as one block.
#[derive(Debug, Default)]
pub struct Merged {
    /// The block; empty when there are no rows.
    pub block: Vec<u8>,
    /// Its rows.
    pub rows: usize,
    /// Bytes of the blocks that it was made of.
    pub content_bytes: usize,
}

/// The rows of all blocks in these frames, as one block. `None` when they cannot be read, which checksums rule out.
#[must_use]
pub fn merge_frames(frames: &[u8]) -> Option<Merged> {
    let (mut content, mut block) = (Vec::new(), Vec::new());
    decompress_frames(frames, &mut content).ok()?;
    let (mut rest, mut blocks) = (content.as_slice(), Vec::new());
    while !rest.is_empty() {
        let (block, next) = Block::parse(rest).ok()?;
        blocks.push(block);
        rest = next;
    }
    merge(&blocks, &mut block);
    Some(Merged { block, rows: blocks.iter().map(Block::rows).sum(), content_bytes: content.len() })
}

/// Each column that one of the blocks has, and its parts: one for each block.
fn columns_of<'s, 'a>(blocks: &'s [Block<'a>]) -> Vec<(&'s Column<'a>, Vec<Part<'s, 'a>>)> {
    let missing = || blocks.iter().map(|block| (None, block.rows()));
    let mut columns: Vec<(&Column<'_>, Vec<Part<'_, '_>>)> = Vec::new();
    for (number, block) in blocks.iter().enumerate() {
        // a block has its columns in the order of the table, so each is found right after the one before it, or soon after that
        let mut expected = 0;
        for column in &block.columns {
            let (before, behind) = columns.split_at(expected);
            let is_it = |(known, _): &(&Column<'_>, _)| known.name == column.name;
            let found = behind.iter().position(is_it).map(|ahead| expected + ahead);
            let place = found.or_else(|| before.iter().position(is_it)).unwrap_or_else(|| {
                columns.push((column, missing().collect()));
                columns.len() - 1
            });
            if let Some((data, _)) = columns.get_mut(place).and_then(|(_, parts)| parts.get_mut(number)) {
                *data = Some(&column.data);
            }
            expected = place + 1;
        }
    }
    columns
}

/// Writes a column's values of all blocks, with defaults where a block does not have it.
fn put(parts: &[Part<'_, '_>], out: &mut Vec<u8>) {
    let Some(kind) = parts.iter().find_map(|(data, _)| *data) else { return };
    match kind {
        Data::Fixed(fixed, _) => {
            let width = fixed.width();
            for (data, count) in parts {
                match data {
                    Some(Data::Fixed(other, bytes)) if other.width() == width => out.extend_from_slice(bytes),
                    _ => out.resize(out.len() + count * width, 0),
                }
            }
        }
        Data::Strings(_) => {
            for (data, count) in parts {
                match data {
                    Some(Data::Strings(bytes)) => out.extend_from_slice(bytes),
                    _ => out.resize(out.len() + count, 0),
                }
            }
        }
        Data::Nullable(..) => {
            for (data, count) in parts {
                match data {
                    Some(Data::Nullable(nulls, _)) => out.extend_from_slice(nulls),
                    _ => out.resize(out.len() + count, 1),
                }
            }
            put(&parts.iter().map(|(data, count)| (data.and_then(values_of), *count)).collect::<Vec<_>>(), out);
        }
        Data::Array(..) => {
            let items = put_ends(parts, lists_of, out);
            put(&items, out);
        }
        Data::Map(..) => {
            let entries = put_ends(parts, maps_of, out);
            let keys = entries.iter().map(|(both, count)| (both.map(|(keys, _)| keys), *count));
            put(&keys.collect::<Vec<_>>(), out);
            let values = entries.iter().map(|(both, count)| (both.map(|(_, values)| values), *count));
            put(&values.collect::<Vec<_>>(), out);
        }
    }
}

fn values_of<'s, 'a>(data: &'s Data<'a>) -> Option<&'s Data<'a>> {
    if let Data::Nullable(_, values) = data { Some(values) } else { None }
}

fn lists_of<'s, 'a>(data: &'s Data<'a>) -> Option<(Ends<'a>, &'s Data<'a>)> {
    if let Data::Array(ends, items) = data { Some((*ends, items)) } else { None }
}

fn maps_of<'s, 'a>(data: &'s Data<'a>) -> Option<(Ends<'a>, &'s (Data<'a>, Data<'a>))> {
    if let Data::Map(ends, both) = data { Some((*ends, both)) } else { None }
}

/// Writes the ends of lists, each block's after those before it; returns what is in them, and how many items.
fn put_ends<'s, 'a, T>(
    parts: &[Part<'s, 'a>],
    lists: impl Fn(&'s Data<'a>) -> Option<(Ends<'a>, &'s T)>,
    out: &mut Vec<u8>,
) -> Vec<(Option<&'s T>, usize)> {
    let mut base = 0;
    let mut items = Vec::with_capacity(parts.len());
    for (data, count) in parts {
        let Some((ends, inner)) = data.and_then(&lists) else {
            (0..*count).for_each(|_| out.extend_from_slice(&to_u64(base).to_le_bytes()));
            items.push((None, 0));
            continue;
        };
        ends.iter().for_each(|end| out.extend_from_slice(&to_u64(base.saturating_add(end)).to_le_bytes()));
        let count = ends.iter().last().unwrap_or(0);
        base = base.saturating_add(count);
        items.push((Some(inner), count));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::RowGroup;
    use crate::columns::native::encode::encode_block;
    use crate::columns::testing::any_group;
    use crate::ids::SegmentId;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::Value;

    fn encoded(groups: &[&RowGroup]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_block(groups, SegmentId::new(1, 2), &mut bytes);
        bytes
    }

    fn rows(block: &Block<'_>) -> Vec<Value> {
        (0..block.rows()).map(|row| block.row_json(row).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Groups that were encoded apart and merged are the groups encoded together.
        #[test]
        fn blocks_that_are_merged_are_their_groups_encoded_together(groups in vec(any_group(3), 1..5)) {
            let bytes: Vec<Vec<u8>> = groups.iter().map(|group| encoded(&[group])).filter(|bytes| !bytes.is_empty()).collect();
            let blocks: Vec<Block<'_>> = bytes.iter().map(|bytes| Block::parse(bytes).unwrap().0).collect();
            let mut merged = Vec::new();
            merge(&blocks, &mut merged);
            let together = encoded(&groups.iter().collect::<Vec<_>>());
            if together.is_empty() {
                prop_assert!(merged.is_empty());
                return Ok(());
            }
            let (merged, rest) = Block::parse(&merged).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(rows(&merged), rows(&Block::parse(&together).unwrap().0));
        }
    }
}
