//! What a column has for the rows of a group, as it lies there: borrowed, to be copied into a block.

use super::build::lists::Lists;
use super::build::map::Map;
use super::build::nullable::Nullable;
use super::build::strings::Strings;

/// A column's content in a `RowGroup`: up to two levels of cumulative ends, then up to two runs of leaf bytes.
#[derive(Debug, Default)]
pub struct ColumnData<'a> {
    pub(super) ends: [&'a [u64]; 2],
    pub(super) leaves: [&'a [u8]; 2],
    /// For a column that may have fewer rows than the group.
    pub(super) lag: Option<Lag>,
    /// What every row has.
    pub(super) every: Every<'a>,
}

/// How a column that lags is filled up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lag {
    /// Rows that it has.
    pub(super) rows: usize,
    /// What a missing row adds to each run of leaf bytes: this byte, so many times.
    pub(super) pads: [(u8, usize); 2],
}

/// A value that all rows share, or that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Every<'a> {
    /// Each row has its own.
    #[default]
    Own,
    /// All rows have this text.
    Text(&'a str),
    /// All have the id of the segment that the block goes to.
    Segment,
}

impl<'a> ColumnData<'a> {
    pub(super) fn plain(bytes: &'a [u8]) -> Self {
        Self { leaves: [bytes, &[]], ..Self::default() }
    }

    pub(super) fn every(every: Every<'a>) -> Self {
        Self { every, ..Self::default() }
    }

    pub(super) fn map(map: &'a Map) -> Self {
        Self { ends: [map.ends(), &[]], leaves: [map.keys(), map.values()], ..Self::default() }
    }

    pub(super) fn array(ends: &'a [u64], bytes: &'a [u8]) -> Self {
        Self { ends: [ends, &[]], leaves: [bytes, &[]], ..Self::default() }
    }

    pub(super) fn array_of_maps(ends: &'a [u64], map: &'a Map) -> Self {
        Self { ends: [ends, map.ends()], leaves: [map.keys(), map.values()], ..Self::default() }
    }

    pub(super) fn lagging(mut self, rows: usize, pads: [(u8, usize); 2]) -> Self {
        self.lag = Some(Lag { rows, pads });
        self
    }

    pub(super) fn lagging_text(column: &'a Strings) -> Self {
        Self::plain(column.bytes()).lagging(column.len(), [(0, 1), (0, 0)])
    }

    pub(super) fn lagging_lists(lists: &'a Lists) -> Self {
        Self::array(lists.ends(), lists.items()).lagging(lists.ends().len(), [(0, 0); 2])
    }

    pub(super) fn lagging_map(map: &'a Map) -> Self {
        Self::map(map).lagging(map.ends().len(), [(0, 0); 2])
    }

    pub(super) fn nullable<const W: usize>(column: &'a Nullable<W>) -> Self {
        Self::nullable_of(column.nulls(), column.values(), W)
    }

    /// Values of `width` bytes each, and a byte for each that says whether it is unknown.
    pub(super) fn nullable_of(nulls: &'a [u8], values: &'a [u8], width: usize) -> Self {
        Self { leaves: [nulls, values], ..Self::default() }.lagging(nulls.len(), [(1, 1), (0, width)])
    }

    /// Rows of the group's `rows` that it does not have.
    pub(super) fn missing(&self, rows: usize) -> usize {
        self.lag.map_or(0, |lag| {
            debug_assert!(lag.rows <= rows, "a column has no more rows than its group");
            rows - lag.rows
        })
    }

    /// What fills each run of leaf bytes up to `rows` rows: this byte, so many times.
    pub(super) fn pads(&self, rows: usize) -> [(u8, usize); 2] {
        let missing = self.missing(rows);
        self.lag.map_or([(0, 0); 2], |lag| lag.pads.map(|(byte, width)| (byte, width * missing)))
    }

    /// Whether there is nothing in it that a row without the column would not have.
    pub(super) fn is_absent(&self) -> bool {
        self.lag.is_some_and(|lag| lag.rows == 0)
    }
}
