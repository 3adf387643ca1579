//! A column of strings: varint length, bytes, per value.

use super::reserve;
use super::selection::Selection;
use super::varint::{put_varint, take_string};

/// A column of strings.
#[derive(Debug, Default, Clone)]
pub(crate) struct Strings {
    pub(super) bytes: Vec<u8>,
    pub(super) len: usize,
}

/// A place in [`Strings`] to come back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StringsMark {
    pub(super) bytes: usize,
    pub(super) len: usize,
}

impl Strings {
    /// An empty column with room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), len: 0 }
    }

    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.len += 1;
        // most spans leave several columns empty: half the time of the general way
        if value.is_empty() {
            return self.bytes.push(0);
        }
        self.bytes.reserve(value.len() + 1);
        put_varint(&mut self.bytes, value.len());
        self.bytes.extend_from_slice(value);
    }

    /// Makes room for `more` rows like the `rows` there are.
    pub(crate) fn reserve_alike(&mut self, rows: usize, more: usize) {
        reserve::reserve_alike(&mut self.bytes, rows, more);
    }

    /// Fills up with empty strings.
    pub(crate) fn pad_to(&mut self, len: usize) {
        self.bytes.resize(self.bytes.len() + len.saturating_sub(self.len), 0);
        self.len = self.len.max(len);
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.len += other.len;
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn iter(&self) -> StringsIter<'_> {
        StringsIter(&self.bytes)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn mark(&self) -> StringsMark {
        StringsMark { bytes: self.bytes.len(), len: self.len }
    }

    pub(crate) fn since(&self, mark: StringsMark) -> &[u8] {
        self.bytes.get(mark.bytes..).expect("a mark lies within its column")
    }

    pub(crate) fn truncate(&mut self, mark: StringsMark) {
        debug_assert!(mark.bytes <= self.bytes.len() && mark.len <= self.len, "a column is cut back, never forward");
        self.bytes.truncate(mark.bytes);
        self.len = mark.len;
    }

    /// Forgets all values and keeps the room for them; returns how many bytes that is.
    pub(crate) fn clear(&mut self) -> usize {
        let Self { bytes, len } = self;
        bytes.clear();
        *len = 0;
        bytes.capacity()
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
        let mut bytes = Vec::new();
        kept.copy_strings(&self.bytes, &mut bytes);
        Self { bytes, len: kept.len() }
    }
}

/// Strings one after the other, each a varint length and its bytes; ends where the bytes end or one is not whole.
#[derive(Debug, Clone)]
pub(crate) struct StringsIter<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for StringsIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (string, rest) = take_string(self.0)?;
        self.0 = rest;
        Some(string)
    }
}
