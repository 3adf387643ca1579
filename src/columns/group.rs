//! What rows of any table have in common on their way from a receiver to a block.

use super::column_data::ColumnData;
use super::row_group::RowGroup;
use super::table::SOURCES;
use super::tables::Table;
use std::ops::Range;

/// Rows of one table, from one request; many such groups make one block.
pub trait Group: Sized {
    /// The table that they are for.
    fn table(&self) -> Table;

    /// How many they are.
    fn rows(&self) -> usize;

    /// The days of their times, as days since 1970, sorted: the partitions that an insert of them touches.
    fn days(&self) -> &[i64];

    /// Bytes that they take in a block, at most; each column counts.
    fn counted_bytes(&self) -> usize;

    /// The same of each row.
    fn row_bytes(&self) -> &[usize];

    /// What the column at that place of the table's list has.
    fn column(&self, place: usize) -> ColumnData<'_>;

    /// The rows at these positions. No row is under way.
    #[must_use]
    fn rows_at(&self, positions: Range<usize>) -> Self;
}

impl Group for RowGroup {
    fn table(&self) -> Table {
        Table::Traces
    }

    fn rows(&self) -> usize {
        self.rows()
    }

    fn days(&self) -> &[i64] {
        self.days()
    }

    fn counted_bytes(&self) -> usize {
        self.counted_bytes()
    }

    fn row_bytes(&self) -> &[usize] {
        self.row_bytes()
    }

    fn column(&self, place: usize) -> ColumnData<'_> {
        self.column(*SOURCES.get(place).expect("there is a source for each column of the list"))
    }

    fn rows_at(&self, positions: Range<usize>) -> Self {
        self.rows_at(positions)
    }
}
