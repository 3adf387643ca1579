//! Rows of several blocks as one block: what a part of a segment becomes when it is sent by itself. An insert of one block is
//! what ClickHouse's tokens are simplest for: a token stands for it on each day that it touches.
//!
//! ```text
//! blocks     a: columns t n s    b: columns t s m      each leaves out columns that its rows have nothing in
//! merged        columns t n s m, where b's rows have the default of n and a's that of m
//! ```

use super::build::selection::Selection;
use super::build::varint::{put_string, put_varint};
use super::native::parse::{Block, Column, Data, Ends};

/// A column's values in one of the blocks, and which of them stay. `None`: it has no such column.
type Source<'s, 'a> = (Option<&'s Data<'a>>, Selection);

/// Appends one block with those rows of `blocks` that for which `keep` is true; it counts over all of them. Nothing when there are
/// none. Blocks of one segment have the same type for the same name.
pub fn merge(blocks: &[Block<'_>], keep: impl Fn(usize) -> bool, out: &mut Vec<u8>) {
    let mut first = 0;
    let kept: Vec<Selection> = blocks
        .iter()
        .map(|block| {
            let begin = first;
            first += block.rows();
            Selection::of(block.rows(), |row| keep(begin + row))
        })
        .collect();
    let rows: usize = kept.iter().map(Selection::len).sum();
    if rows == 0 {
        return;
    }
    // a block that no row is taken of adds no column
    let taken = || blocks.iter().zip(&kept).filter(|(_, kept)| kept.len() > 0);
    let mut columns: Vec<&Column<'_>> = Vec::new();
    for column in taken().flat_map(|(block, _)| &block.columns) {
        if !columns.iter().any(|known| known.name == column.name) {
            columns.push(column);
        }
    }
    put_varint(out, columns.len());
    put_varint(out, rows);
    for column in columns {
        for text in [column.name, column.type_text] {
            put_string(out, text.as_bytes());
        }
        let sources: Vec<Source<'_, '_>> =
            taken().map(|(block, kept)| (block.data(column.name), kept.clone())).collect();
        put(&sources, out);
    }
}

/// Writes what stays of a column's values in all blocks, with defaults where a block does not have it.
fn put(sources: &[Source<'_, '_>], out: &mut Vec<u8>) {
    let Some(kind) = sources.iter().find_map(|(data, _)| *data) else { return };
    match kind {
        Data::Fixed(fixed, _) => {
            let width = fixed.width();
            for (data, kept) in sources {
                match data {
                    Some(Data::Fixed(other, bytes)) if other.width() == width => kept.copy_fixed(bytes, width, out),
                    _ => out.resize(out.len() + kept.len() * width, 0),
                }
            }
        }
        Data::Strings(_) => {
            for (data, kept) in sources {
                match data {
                    Some(Data::Strings(bytes)) => kept.copy_strings(bytes, out),
                    _ => out.resize(out.len() + kept.len(), 0),
                }
            }
        }
        Data::Nullable(..) => {
            for (data, kept) in sources {
                match data {
                    Some(Data::Nullable(nulls, _)) => kept.copy_fixed(nulls, 1, out),
                    _ => out.resize(out.len() + kept.len(), 1),
                }
            }
            put(&inner(sources, |data| if let Data::Nullable(_, values) = data { Some(values) } else { None }), out);
        }
        Data::Array(..) => {
            let items = put_ends(
                sources,
                |data| if let Data::Array(ends, items) = data { Some((*ends, &**items)) } else { None },
                out,
            );
            put(&items, out);
        }
        Data::Map(..) => {
            let keys = put_ends(
                sources,
                |data| if let Data::Map(ends, both) = data { Some((*ends, &both.0)) } else { None },
                out,
            );
            put(&keys, out);
            let values = keys.into_iter().zip(sources).map(|((_, items), (data, _))| match data {
                Some(Data::Map(_, both)) => (Some(&both.1), items),
                _ => (None, items),
            });
            put(&values.collect::<Vec<_>>(), out);
        }
    }
}

fn inner<'s, 'a>(
    sources: &[Source<'s, 'a>],
    values: impl Fn(&'s Data<'a>) -> Option<&'s Data<'a>>,
) -> Vec<Source<'s, 'a>> {
    sources.iter().map(|(data, kept)| (data.and_then(&values), kept.clone())).collect()
}

/// Writes the ends of the lists that stay, each block's after those before it; returns the items that stay.
fn put_ends<'s, 'a>(
    sources: &[Source<'s, 'a>],
    lists: impl Fn(&'s Data<'a>) -> Option<(Ends<'a>, &'s Data<'a>)>,
    out: &mut Vec<u8>,
) -> Vec<Source<'s, 'a>> {
    let mut base = 0;
    let mut items = Vec::with_capacity(sources.len());
    for (data, kept) in sources {
        match data.and_then(&lists) {
            Some((ends, inner)) => {
                let (own_ends, own_items) = kept.items(|list| ends.start_of(list + 1));
                out.extend(own_ends.iter().flat_map(|end| (base + end).to_le_bytes()));
                if let Some(last) = own_ends.last() {
                    base += last;
                }
                items.push((Some(inner), own_items));
            }
            None => {
                (0..kept.len()).for_each(|_| out.extend_from_slice(&u64::to_le_bytes(base)));
                items.push((None, Selection::default()));
            }
        }
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
            merge(&blocks, |_| true, &mut merged);
            let together = encoded(&groups.iter().collect::<Vec<_>>());
            if together.is_empty() {
                prop_assert!(merged.is_empty());
                return Ok(());
            }
            let (merged, rest) = Block::parse(&merged).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(rows(&merged), rows(&Block::parse(&together).unwrap().0));
        }

        #[test]
        fn any_rows_of_several_blocks_can_be_merged(groups in vec(any_group(3), 1..5), keep in any::<[bool; 12]>()) {
            let bytes: Vec<Vec<u8>> = groups.iter().map(|group| encoded(&[group])).filter(|bytes| !bytes.is_empty()).collect();
            let blocks: Vec<Block<'_>> = bytes.iter().map(|bytes| Block::parse(bytes).unwrap().0).collect();
            let (mut merged, mut all) = (Vec::new(), Vec::new());
            merge(&blocks, |row| keep[row], &mut merged);
            merge(&blocks, |_| true, &mut all);
            if !all.is_empty() {
                // the same out of the one block
                let mut cut = Vec::new();
                Block::parse(&all).unwrap().0.select(|row| keep[row], &mut cut);
                let of = |bytes: &[u8]| if bytes.is_empty() { Vec::new() } else { rows(&Block::parse(bytes).unwrap().0) };
                let without_columns_of_others = |mut row: Value| {
                    let names: Vec<String> = of(&merged).iter().flat_map(|row| row.as_object().unwrap().keys().cloned()).collect();
                    row.as_object_mut().unwrap().retain(|name, _| names.contains(name));
                    row
                };
                let cut: Vec<Value> = of(&cut).into_iter().map(without_columns_of_others).collect();
                prop_assert_eq!(of(&merged), cut);
            }
        }
    }
}
