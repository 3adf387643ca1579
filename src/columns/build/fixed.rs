//! A column of values of `W` bytes each, little endian.

use super::reserve;
use super::selection::Selection;

/// A column of values of `W` bytes each.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fixed<const W: usize> {
    bytes: Vec<u8>,
}

/// A column of 4-byte values.
pub(crate) type Fixed32 = Fixed<4>;
/// A column of 8-byte values.
pub(crate) type Fixed64 = Fixed<8>;

impl<const W: usize> Fixed<W> {
    pub(crate) fn push(&mut self, value: [u8; W]) {
        self.bytes.extend_from_slice(&value);
    }

    /// Makes room for `more` rows like the `rows` there are.
    pub(crate) fn reserve_alike(&mut self, rows: usize, more: usize) {
        reserve::reserve_alike(&mut self.bytes, rows, more);
    }

    /// Fills up with zeros.
    pub(crate) fn pad_to(&mut self, rows: usize) {
        self.bytes.resize(self.bytes.len().max(rows * W), 0);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / W
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        debug_assert!(len <= self.len(), "a column is cut back, never forward");
        self.bytes.truncate(len * W);
    }

    /// Forgets all values and keeps the room for them; returns how many bytes that is.
    pub(crate) fn clear(&mut self) -> usize {
        self.bytes.clear();
        self.bytes.capacity()
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
        let mut bytes = Vec::new();
        if !self.bytes.is_empty() {
            kept.copy_fixed(&self.bytes, W, &mut bytes);
        }
        Self { bytes }
    }
}

impl Fixed64 {
    pub(crate) fn i64s(&self) -> impl Iterator<Item = i64> {
        self.i64s_from(0)
    }

    /// Those from the row `start` on; the rows before it are not walked over.
    pub(crate) fn i64s_from(&self, start: usize) -> impl Iterator<Item = i64> {
        let (_, values) = self.bytes.split_at(start * size_of::<i64>());
        values.as_chunks().0.iter().map(|value| i64::from_le_bytes(*value))
    }
}
