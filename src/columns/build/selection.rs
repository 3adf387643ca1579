//! Which of a column's values stay when rows are left out.
//!
//! ```text
//! rows kept      0 1 . 3        runs 0..2, 3..4
//! their items    through the ends of an array or map: runs again, one level down
//! ```

use super::varint::take_string;
use crate::numbers::to_u64;
use std::ops::Range;

/// Runs of neighbouring positions, in order, apart from each other, none empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Selection(Vec<Range<usize>>);

/// Blocks are checked when they are read, and builders count what they hold.
const WITHIN: &str = "a selection is of positions that its column has";

impl Selection {
    /// Those of the first `count` positions for which `keep` is true.
    pub(crate) fn of(count: usize, keep: impl Fn(usize) -> bool) -> Self {
        let mut selection = Self::default();
        for position in (0..count).filter(|position| keep(*position)) {
            selection.push(position..position + 1);
        }
        selection
    }

    /// Those of one run.
    pub(crate) fn of_run(run: Range<usize>) -> Self {
        let mut selection = Self::default();
        selection.push(run);
        selection
    }

    /// The values at these positions.
    pub(crate) fn pick<T: Copy>(&self, values: &[T]) -> Vec<T> {
        self.0.iter().flat_map(|run| values.get(run.clone()).expect(WITHIN)).copied().collect()
    }

    /// Number of positions.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(ExactSizeIterator::len).sum()
    }

    /// One level down, where `end_of` a list returns where its items end: the ends of the lists that stay, and their items.
    pub(crate) fn items(&self, end_of: impl Fn(usize) -> usize) -> (Vec<u64>, Self) {
        let (mut ends, mut items, mut length) = (Vec::with_capacity(self.len()), Self::default(), 0_u64);
        for list in self.0.iter().cloned().flatten() {
            let start = list.checked_sub(1).map_or(0, &end_of);
            let end = end_of(list);
            debug_assert!(start <= end, "ends do not go backwards");
            length += to_u64(end - start);
            ends.push(length);
            items.push(start..end);
        }
        (ends, items)
    }

    /// Appends those of the values in `bytes`, which are `width` bytes each.
    pub(crate) fn copy_fixed(&self, bytes: &[u8], width: usize, out: &mut Vec<u8>) {
        for run in &self.0 {
            out.extend_from_slice(bytes.get(run.start * width..run.end * width).expect(WITHIN));
        }
    }

    /// Appends those of the strings in `bytes`.
    pub(crate) fn copy_strings(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let (mut rest, mut at) = (bytes, 0);
        for run in &self.0 {
            let from = after_strings(rest, run.start - at);
            rest = after_strings(from, run.len());
            at = run.end;
            let (taken, _) = from.split_at(from.len() - rest.len());
            out.extend_from_slice(taken);
        }
    }

    fn push(&mut self, run: Range<usize>) {
        debug_assert!(self.0.last().is_none_or(|last| last.end <= run.start), "runs come in order");
        match self.0.last_mut() {
            _ if run.is_empty() => {}
            Some(last) if last.end == run.start => last.end = run.end,
            _ => self.0.push(run),
        }
    }
}

/// What follows the first `count` strings of `bytes`.
fn after_strings(bytes: &[u8], count: usize) -> &[u8] {
    (0..count).fold(bytes, |bytes, _| take_string(bytes).expect(WITHIN).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_run_and_items_follow_their_lists() {
        let selection = Selection::of(5, |row| row != 2);
        assert_eq!(selection.0, [0..2, 3..5]);
        // lists of 2, 0, 3, 1 and 0 items
        let ends = [2, 2, 5, 6, 6];
        let (kept, items) = selection.items(|list| ends[list]);
        assert_eq!((kept, items.0), (vec![2, 2, 3, 3], vec![0..2, 5..6]));
    }

    #[test]
    fn strings_and_fixed_values_are_copied_as_they_stand() {
        let selection = Selection::of(4, |row| row == 1 || row == 3);
        let mut out = Vec::new();
        selection.copy_strings(b"\x01a\x02bb\x00\x03ddd", &mut out);
        selection.copy_fixed(b"aabbccdd", 2, &mut out);
        assert_eq!(out, b"\x02bb\x03dddbbdd");
    }
}
