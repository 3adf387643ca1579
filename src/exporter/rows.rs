//! The rows of a part of a segment, decompressed: which of them ClickHouse has, and any of the others as one insert.
//!
//! What is sent by itself is a half of what was sent before, so looking for a row costs about as much as reading all rows twice.

use crate::clickhouse::committed::Committed;
use crate::clickhouse::row_keys::{self, RowKey};
use crate::columns::Table;
use crate::columns::merge::{Merged, merge_frames};
use crate::columns::native::frames::compress_pieces;
use crate::columns::native::parse::Block;
use crate::workspace;
use bytes::Bytes;
use std::ops::{Range, RangeInclusive};

/// Rows of a part that follow each other.
#[derive(Debug)]
pub(super) struct Rows {
    /// Where they are among all rows of the part.
    pub(super) range: Range<usize>,
    /// The table that they are for.
    table: Table,
    /// One block; empty when there are none.
    block: Vec<u8>,
}

/// Which rows of a part ClickHouse does not have, as far as it was asked.
#[derive(Debug, Default)]
pub(super) struct Missing {
    keys: Vec<RowKey>,
    is_missing: Vec<bool>,
}

/// What ClickHouse gets.
#[derive(Debug)]
pub(super) struct Insert {
    pub(super) frames: Bytes,
    pub(super) columns: Vec<String>,
}

impl Rows {
    /// All rows of a part. `None` when they cannot be read, which checksums rule out.
    pub(super) fn read(table: Table, frames: &[u8]) -> Option<Self> {
        let Merged { block, rows, .. } = merge_frames(frames)?;
        Some(Self { range: 0..rows, table, block })
    }

    /// When the first and the last of them began, in nanoseconds since 1970.
    pub(super) fn span_of_time(&self) -> Option<RangeInclusive<i64>> {
        let times = self.parsed()?.times(self.table.time_column())?;
        let (first, last) =
            times.into_iter().fold((i64::MAX, i64::MIN), |(first, last), time| (first.min(time), last.max(time)));
        Some(first..=last)
    }

    /// The two halves; `None` when there is one row or none.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let Range { start, end } = self.range;
        let middle = start + self.range.len() / 2;
        let parsed = self.parsed().filter(|_| middle > start)?;
        Some([start..middle, middle..end].map(|range| {
            let mut block = Vec::new();
            parsed.select(|row| range.contains(&(start + row)), &mut block);
            Self { range, table: self.table, block }
        }))
    }

    /// Those that are missing, as one block; nothing when there are none.
    pub(super) fn block_of(&self, missing: &Missing) -> Vec<u8> {
        let mut block = Vec::new();
        let is_missing = missing.is_missing.get(self.range.clone()).expect("they are rows of the part");
        if let Some(parsed) = self.parsed() {
            parsed.select(|row| is_missing.get(row) == Some(&true), &mut block);
        }
        block
    }

    /// What ClickHouse gets of them; `None` when it has all.
    pub(super) fn insert_of(&self, missing: &Missing) -> Option<Insert> {
        let block = self.block_of(missing);
        let (parsed, _rest) = Block::parse(&block).ok().filter(|(block, _)| block.rows() > 0)?;
        let columns = parsed.column_names().map(str::to_owned).collect();
        let mut frames = Vec::new();
        compress_pieces(&block, &mut frames);
        Some(Insert { frames: frames.into(), columns })
    }

    fn parsed(&self) -> Option<Block<'_>> {
        Some(Block::parse(&self.block).ok()?.0)
    }

    /// What tells them apart. `None` when they lack that.
    fn keys(&self) -> Option<Vec<RowKey>> {
        let block = self.parsed()?;
        if self.table != Table::Traces {
            return Some(row_keys::keys(self.table, &block));
        }
        let ids = block.strings("TraceId")?.zip(block.strings("SpanId")?);
        // a block leaves out columns that its rows have nothing in
        let texts = |column| block.strings(column).map_or_else(|| vec![&[][..]; block.rows()], Iterator::collect);
        let durations = block.u64s("Duration").map_or_else(|| vec![0; block.rows()], Iterator::collect);
        let named = block.map_values("ResourceAttributes", workspace::ATTRIBUTE.as_bytes());
        let workspaces = named.map_or_else(|| vec![None; block.rows()], Iterator::collect);
        let times = block.i64s("Timestamp")?.zip(durations);
        let others = texts("SpanKind").into_iter().zip(texts("ServiceName")).zip(workspaces).zip(times);
        let keys = ids.zip(others).map(|((trace, span), (((kind, service), workspace), (began, duration)))| {
            RowKey::of([trace, span, kind, service, workspace.unwrap_or(b"")], began, duration)
        });
        Some(keys.collect())
    }
}

impl Missing {
    /// All of them. `None` when the rows lack what tells them apart.
    pub(super) fn all(rows: &Rows) -> Option<Self> {
        let keys = rows.keys()?;
        Some(Self { is_missing: vec![true; keys.len()], keys })
    }

    /// Notes which are committed. Of rows that nothing tells apart, the first are: they are sent in their order.
    pub(super) fn note(&mut self, mut committed: Committed) {
        for (key, is_missing) in self.keys.iter().zip(&mut self.is_missing) {
            let left = committed.get_mut(key).filter(|left| **left > 0);
            *is_missing = left.is_none();
            if let Some(left) = left {
                *left -= 1;
            }
        }
    }

    pub(super) fn count_in(&self, range: &Range<usize>) -> usize {
        self.is_missing.get(range.clone()).expect("a range of these rows").iter().filter(|missing| **missing).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::native::encode::encode_block;
    use crate::columns::native::frames::{Content, compress_frame};
    use crate::columns::testing::any_group;
    use crate::ids::SegmentId;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn singles(rows: Rows, out: &mut Vec<Rows>) {
        match rows.halves() {
            Some(halves) => halves.into_iter().for_each(|half| singles(half, out)),
            None => out.push(rows),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn halves_of_halves_are_the_rows_one_by_one(groups in vec(any_group(4), 1..4)) {
            let mut frames = Vec::new();
            for group in &groups {
                let mut block = Vec::new();
                encode_block(&[group], SegmentId::new(1, 2), &mut block);
                Content::new(&block).into_iter().for_each(|content| compress_frame(content, &mut frames));
            }
            let all = Rows::read(Table::Traces, &frames).unwrap();
            prop_assume!(!all.range.is_empty());
            let missing = Missing::all(&all).unwrap();
            let (count, mut one_by_one) = (all.range.len(), Vec::new());
            let shown = |rows: &Rows, row| rows.parsed().unwrap().row_json(row).unwrap();
            let want: Vec<_> = (0..count).map(|row| shown(&all, row)).collect();
            prop_assert_eq!(all.keys().unwrap().len(), count);
            singles(all, &mut one_by_one);
            prop_assert_eq!(one_by_one.iter().map(|rows| rows.range.clone()).collect::<Vec<_>>(),
                (0..count).map(|row| row..row + 1).collect::<Vec<_>>());
            prop_assert_eq!(one_by_one.iter().map(|rows| shown(rows, 0)).collect::<Vec<_>>(), want);
            prop_assert_eq!(one_by_one.iter().filter(|rows| rows.insert_of(&missing).is_some()).count(), count);
        }
    }

    #[test]
    fn of_reports_that_nothing_tells_apart_as_many_are_missing_as_are_not_committed() {
        let key = |span: &[u8], duration| RowKey::of([b"t", span, b"Server", b"web", b""], 7, duration);
        let keys = vec![key(b"a", 1), key(b"b", 1), key(b"a", 1), key(b"a", 2)];
        let mut missing = Missing { is_missing: vec![true; keys.len()], keys };
        missing.note(Committed::from([(key(b"a", 1), 1)]));
        assert_eq!(missing.is_missing, [false, true, true, true], "one of two, and not the report that took longer");
        missing.note(Committed::from([(key(b"a", 1), 2), (key(b"a", 2), 1)]));
        assert_eq!((missing.is_missing.clone(), missing.count_in(&(1..3))), (vec![false, true, false, false], 1));
    }
}
