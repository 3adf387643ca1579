//! A column of values of `W` bytes each that may be unknown: a byte for each value says which are, then all values.

use super::selection::Selection;

/// A column of values of `W` bytes each that may be unknown.
#[derive(Debug, Default, Clone)]
pub(crate) struct Nullable<const W: usize> {
    nulls: Vec<u8>,
    values: Vec<u8>,
}

impl<const W: usize> Nullable<W> {
    pub(crate) fn push(&mut self, value: [u8; W]) {
        self.nulls.push(0);
        self.values.extend_from_slice(&value);
    }

    /// Fills up with unknown values.
    pub(crate) fn pad_to(&mut self, rows: usize) {
        let rows = self.nulls.len().max(rows);
        self.nulls.resize(rows, 1);
        self.values.resize(rows * W, 0);
    }

    pub(crate) fn nulls(&self) -> &[u8] {
        &self.nulls
    }

    pub(crate) fn values(&self) -> &[u8] {
        debug_assert_eq!(self.values.len(), self.nulls.len() * W, "a value for each byte of nulls");
        &self.values
    }

    /// Forgets all values and keeps the room for them; returns how many bytes that is.
    pub(crate) fn clear(&mut self) -> usize {
        let Self { nulls, values } = self;
        nulls.clear();
        values.clear();
        nulls.capacity() + values.capacity()
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
        if self.nulls.is_empty() {
            return Self::default();
        }
        let (mut nulls, mut values) = (Vec::new(), Vec::new());
        kept.copy_fixed(&self.nulls, 1, &mut nulls);
        kept.copy_fixed(&self.values, W, &mut values);
        Self { nulls, values }
    }
}
