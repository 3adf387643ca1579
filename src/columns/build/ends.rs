//! Where the items of each row end: cumulative, as Native has them.
//!
//! ```text
//! rows   [a b] [] [c]     ends 2 2 3
//! ```

use super::reserve;
use super::selection::Selection;
use crate::numbers::to_u64;
use std::ops::Range;

/// Cumulative ends, which never go backwards.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ends(Vec<u64>);

impl Ends {
    /// Ends a row where there are so many items.
    pub(crate) fn push(&mut self, items: usize) {
        debug_assert!(self.0.last().is_none_or(|last| *last <= to_u64(items)), "ends do not go backwards");
        self.0.push(to_u64(items));
    }

    /// Fills up with rows that have no items, where there are so many.
    pub(crate) fn pad_to(&mut self, rows: usize, items: usize) {
        self.0.resize(self.0.len().max(rows), to_u64(items));
    }

    /// Makes room for `more` rows like the `rows` there are.
    pub(crate) fn reserve_alike(&mut self, rows: usize, more: usize) {
        reserve::reserve_alike(&mut self.0, rows, more);
    }

    /// Makes room for as many rows more.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.0.reserve(rows);
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows);
    }

    /// Forgets all rows and keeps the room for them; returns how many bytes that is.
    pub(crate) fn clear(&mut self) -> usize {
        self.0.clear();
        self.0.capacity() * size_of::<u64>()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// How many items all rows have.
    pub(crate) fn last(&self) -> usize {
        self.0.len().checked_sub(1).map_or(0, |row| self.end_of(row))
    }

    /// How many items each of these rows has.
    pub(crate) fn lengths(&self, rows: Range<usize>) -> impl Iterator<Item = usize> {
        rows.map(|row| self.end_of(row) - row.checked_sub(1).map_or(0, |before| self.end_of(before)))
    }

    /// Where the row's items end.
    fn end_of(&self, row: usize) -> usize {
        let end = self.0.get(row).expect("asked for rows that are there only");
        usize::try_from(*end).expect("was a length when it was pushed")
    }

    /// The ends of the rows that stay, and which items stay with them.
    pub(crate) fn selected(&self, kept: &Selection) -> (Self, Selection) {
        let (ends, items) = kept.items(|row| self.end_of(row));
        (Self(ends), items)
    }
}
