//! Rows of any table but that of spans: log records, data points of metrics.
//!
//! ```text
//! text, number, entry, map, item...      as the columns of the row under way come, in any order; what is not set is empty
//! finish | roll_back                     the row is one of the group, or never was
//! ```
//!
//! A record has no identity of its own. A repeat is a record of a repeated request: one with the same content, and as many equal ones
//! before it in its request.

use super::build::map::MapRow;
use super::build::selection::Selection;
use super::column::{At, Column};
use super::column_data::ColumnData;
use super::group::Group;
use super::row_limit::{LENGTH_BYTES_MORE, RowTooLarge, fitting};
use super::tables::Table;
use super::values::{Values, width_of};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::collections::HashMap;
use std::ops::Range;

/// Rows of one table, from one request. One row is under way at a time.
#[derive(Debug)]
pub struct Records {
    table: Table,
    workspace: Workspace,
    rows: usize,
    /// What a row takes in a block that has nothing.
    row_bytes_empty: usize,
    /// What each row takes in a block, at most.
    row_bytes: Vec<usize>,
    /// Their sum.
    counted_bytes: usize,
    /// Of each row the day of its time, as days since 1970.
    days_of_rows: Vec<i64>,
    /// Those days, each once. Sorted.
    days: Vec<i64>,
    /// What each row is known by; not a column.
    identities: Vec<u128>,
    /// How many rows had this content.
    equal: HashMap<u128, u32>,
    /// One for each column of the table.
    columns: Vec<Values>,
}

/// The columns of a table are those of its list, and so are the places.
const A_PLACE: &str = "the place is of a column of this table";

/// Sets equal records apart: an odd number whose multiples look random.
const ORDINAL_STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Records {
    /// No rows yet.
    #[must_use]
    pub fn new(table: Table, workspace: Workspace) -> Self {
        let columns = table.columns();
        let row_bytes_empty = columns.iter().map(|column| least_bytes(column, &workspace)).sum();
        Self {
            table,
            workspace,
            rows: 0,
            row_bytes_empty,
            row_bytes: Vec::new(),
            counted_bytes: 0,
            days_of_rows: Vec::new(),
            days: Vec::new(),
            identities: Vec::new(),
            equal: HashMap::new(),
            columns: columns.iter().map(|column| Values::new(column.name, column.wire_type)).collect(),
        }
    }

    /// The workspace of all of them.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// What each row is known by.
    #[must_use]
    pub fn identities(&self) -> &[u128] {
        &self.identities
    }

    /// How many days there would be with a row of that time.
    #[must_use]
    pub fn days_with(&self, time: UnixNanos) -> usize {
        self.days.len() + usize::from(self.days.binary_search(&time.day()).is_err())
    }

    fn values(&mut self, at: At) -> &mut Values {
        self.columns.get_mut(at.0).expect(A_PLACE)
    }

    /// Sets a text.
    pub fn text(&mut self, at: At, value: &[u8]) {
        let rows = self.rows;
        self.values(at).put_text(rows, value);
    }

    /// Sets a number: its bytes, little endian.
    pub fn fixed<const W: usize>(&mut self, at: At, value: [u8; W]) {
        let rows = self.rows;
        self.values(at).put_number(rows, &value);
    }

    /// Adds an entry to a map.
    pub fn entry(&mut self, at: At, key: &[u8], value: &[u8]) {
        let rows = self.rows;
        self.values(at).put_entry(rows, key, value);
    }

    /// Sets a whole map.
    pub fn map(&mut self, at: At, row: &MapRow) {
        let rows = self.rows;
        if row.entries() > 0 {
            self.values(at).put_map(rows, row);
        }
    }

    /// Moves the entries of these keys from one map to another, in all rows.
    pub fn move_entries(&mut self, from: At, to: At, is_moved: impl Fn(&[u8]) -> bool) {
        let others = self.values(to).clone();
        if let Some(moved) = self.values(from).parted(&others, is_moved) {
            *self.values(to) = moved;
        }
    }

    /// Empties a column in all rows.
    pub fn forget(&mut self, at: At) {
        let column = self.table.columns().get(at.0).expect(A_PLACE);
        *self.values(at) = Values::new(column.name, column.wire_type);
    }

    /// Of several entries of a map that have one key the last stays; returns how many went.
    pub fn keep_last_of_each_key(&mut self, at: At) -> usize {
        self.values(at).keep_last_of_each_key()
    }

    /// Adds a number to a list: its bytes, little endian.
    pub fn item<const W: usize>(&mut self, at: At, value: [u8; W]) {
        self.values(at).put_item(&value);
    }

    /// Adds a text to a list.
    pub fn text_item(&mut self, at: At, value: &[u8]) {
        self.values(at).put_text_item(value);
    }

    /// Adds an entry to the map under way in a list of maps.
    pub fn item_entry(&mut self, at: At, key: &[u8], value: &[u8]) {
        self.values(at).put_item_entry(key, value);
    }

    /// Ends the map under way in a list of maps.
    pub fn close_item(&mut self, at: At) {
        self.values(at).close_item();
    }

    /// Ends the row under way. `content` is a hash of all that its sender said of it.
    ///
    /// # Errors
    /// If no block takes a row of that size. The row is still under way, to be [rolled back](Self::roll_back).
    pub fn finish(&mut self, time: UnixNanos, content: u128) -> Result<(), RowTooLarge> {
        let rows = self.rows;
        let bytes: usize = self.columns.iter().map(|column| column.bytes_under_way(rows)).sum();
        let bytes = fitting(self.row_bytes_empty + bytes)?;
        self.rows += 1;
        for column in &mut self.columns {
            column.close_row(rows + 1);
        }
        let day = time.day();
        if let Err(place) = self.days.binary_search(&day) {
            self.days.insert(place, day);
        }
        let equal = self.equal.entry(content).or_default();
        self.identities.push(content.wrapping_add(u128::from(*equal).wrapping_mul(ORDINAL_STEP)));
        *equal += 1;
        self.days_of_rows.push(day);
        self.row_bytes.push(bytes);
        self.counted_bytes += bytes;
        Ok(())
    }

    /// Forgets the row under way.
    pub fn roll_back(&mut self) {
        let rows = self.rows;
        self.columns.iter_mut().for_each(|column| column.roll_back(rows));
    }

    /// The same rows but for those at the positions `drop`, which are sorted. No row is under way.
    #[must_use]
    pub fn without(&self, drop: &[usize]) -> Self {
        debug_assert!(drop.is_sorted(), "rows to leave out come in order");
        self.selected(&Selection::of(self.rows, |row| drop.binary_search(&row).is_err()))
    }

    fn selected(&self, kept: &Selection) -> Self {
        let row_bytes = kept.pick(&self.row_bytes);
        let days_of_rows = kept.pick(&self.days_of_rows);
        let mut days = days_of_rows.clone();
        days.sort_unstable();
        days.dedup();
        Self {
            table: self.table,
            workspace: self.workspace.clone(),
            rows: kept.len(),
            row_bytes_empty: self.row_bytes_empty,
            counted_bytes: row_bytes.iter().sum(),
            row_bytes,
            days_of_rows,
            days,
            identities: kept.pick(&self.identities),
            equal: HashMap::new(),
            columns: self.columns.iter().map(|column| column.selected(self.rows, kept)).collect(),
        }
    }
}

/// What a value takes that is empty, zero or not known.
fn least_bytes(column: &Column, workspace: &Workspace) -> usize {
    let known = column.wire_type.strip_prefix("Nullable(").and_then(|known| known.strip_suffix(')'));
    match (column.name, column.wire_type) {
        ("SegmentId", _) => 16,
        ("Workspace", _) => workspace.as_str().len() + LENGTH_BYTES_MORE,
        (_, "String") => 1,
        _ if column.is_list() => size_of::<u64>(),
        (_, wire_type) => 1 + width_of(known.unwrap_or(wire_type)).expect("lists are made of types that are known"),
    }
}

impl Group for Records {
    fn table(&self) -> Table {
        self.table
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn days(&self) -> &[i64] {
        &self.days
    }

    fn counted_bytes(&self) -> usize {
        self.counted_bytes
    }

    fn row_bytes(&self) -> &[usize] {
        &self.row_bytes
    }

    fn column(&self, place: usize) -> ColumnData<'_> {
        self.columns.get(place).expect(A_PLACE).data(&self.workspace)
    }

    fn rows_at(&self, positions: Range<usize>) -> Self {
        self.selected(&Selection::of_run(positions))
    }
}

#[cfg(test)]
mod tests;
