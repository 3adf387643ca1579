//! The rows of a part of a segment, decompressed: which of them ClickHouse has, and any of the others as one block.

use crate::clickhouse::recent::RowKey;
use crate::columns::merge::merge;
use crate::columns::native::frames::{compress_pieces, decompress_frames};
use crate::columns::native::parse::Block;
use crate::workspace;
use bytes::Bytes;
use std::collections::HashSet;
use std::ops::Range;

/// The rows of a part.
#[derive(Debug, Default)]
pub(super) struct Rows {
    content: Vec<u8>,
    count: usize,
    /// Not known to be in ClickHouse.
    is_missing: Vec<bool>,
}

/// What ClickHouse gets.
#[derive(Debug)]
pub(super) struct Insert {
    pub(super) frames: Bytes,
    pub(super) columns: Vec<String>,
}

impl Rows {
    /// `None` when they cannot be read, which checksums rule out.
    pub(super) fn read(frames: &[u8]) -> Option<Self> {
        let mut content = Vec::new();
        decompress_frames(frames, &mut content).ok()?;
        let count = blocks(&content)?.iter().map(Block::rows).sum();
        Some(Self { content, count, is_missing: vec![true; count] })
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn missing_in(&self, range: &Range<usize>) -> usize {
        self.is_missing.get(range.clone()).expect("a range of these rows").iter().filter(|missing| **missing).count()
    }

    /// When the first and the last of them began.
    pub(super) fn span_of_time(&self) -> Option<(i64, i64)> {
        let mut times: Vec<i64> = Vec::with_capacity(self.count);
        for block in blocks(&self.content)? {
            times.extend(block.i64s("Timestamp")?);
        }
        Some((*times.iter().min()?, *times.iter().max()?))
    }

    /// Notes which of them are in ClickHouse. `None` when they lack what tells them apart.
    pub(super) fn note_present(&mut self, present: &HashSet<RowKey>) -> Option<()> {
        let attribute = workspace::ATTRIBUTE.as_bytes();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut is_missing = Vec::with_capacity(self.count);
        for block in blocks(&self.content)? {
            let ids = block.strings("TraceId")?.zip(block.strings("SpanId")?);
            // without the column they are of the default workspace
            let named: Option<Vec<_>> = block.map_values("ResourceAttributes", attribute).map(Iterator::collect);
            let workspaces = named.unwrap_or_else(|| vec![None; block.rows()]);
            let others = block.i64s("Timestamp")?.zip(workspaces);
            is_missing.extend(ids.zip(others).map(|((trace, span), (time, workspace))| {
                !present.contains(&(text(trace), text(span), time, workspace.map_or_else(String::new, text)))
            }));
        }
        debug_assert_eq!(is_missing.len(), self.count, "each row is in the table or missing");
        self.is_missing = is_missing;
        Some(())
    }

    /// The rows of `range` that are missing, as one block; nothing when there are none.
    pub(super) fn block_of(&self, range: &Range<usize>) -> Vec<u8> {
        let mut block = Vec::new();
        let keep = |row: usize| range.contains(&row) && self.is_missing.get(row) == Some(&true);
        if let Some(blocks) = blocks(&self.content) {
            merge(&blocks, keep, &mut block);
        }
        block
    }

    /// What ClickHouse gets for `range`; `None` when it has all of it.
    pub(super) fn insert_of(&self, range: &Range<usize>) -> Option<Insert> {
        let block = self.block_of(range);
        let (parsed, _rest) = Block::parse(&block).ok().filter(|(block, _)| block.rows() > 0)?;
        let columns = parsed.column_names().map(str::to_owned).collect();
        let mut frames = Vec::new();
        compress_pieces(&block, &mut frames);
        Some(Insert { frames: frames.into(), columns })
    }
}

/// The blocks that follow each other.
fn blocks(content: &[u8]) -> Option<Vec<Block<'_>>> {
    let (mut rest, mut blocks) = (content, Vec::new());
    while !rest.is_empty() {
        let (block, next) = Block::parse(rest).ok()?;
        blocks.push(block);
        rest = next;
    }
    Some(blocks)
}
