//! A column of `Array(String)`: ends, then items.

use super::ends::Ends;
use super::selection::Selection;
use super::strings::Strings;

/// A column of `Array(String)`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Lists {
    ends: Ends,
    items: Strings,
}

impl Lists {
    pub(crate) fn push<'i>(&mut self, items: impl IntoIterator<Item = &'i [u8]>) {
        items.into_iter().for_each(|item| self.items.push(item));
        self.ends.push(self.items.len());
    }

    /// Fills up with empty lists.
    pub(crate) fn pad_to(&mut self, rows: usize) {
        self.ends.pad_to(rows, self.items.len());
    }

    pub(crate) fn ends(&self) -> &[u64] {
        self.ends.as_slice()
    }

    pub(crate) fn items(&self) -> &[u8] {
        self.items.bytes()
    }

    /// Forgets all lists and keeps the room for them; returns how many bytes that is.
    pub(crate) fn clear(&mut self) -> usize {
        let Self { ends, items } = self;
        ends.clear() + items.clear()
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
        let (ends, items) = self.ends.selected(kept);
        Self { ends, items: self.items.selected(&items) }
    }
}
