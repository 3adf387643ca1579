//! Growing columns whose bytes are already in ClickHouse's Native layout, so that making a block is copying.
//!
//! ```text
//! Fixed64   8 bytes, little endian, per value
//! Strings   varint length, bytes, per value
//! Map       ends (u64, cumulative) | keys | values
//! ```
//!
//! Source: ClickHouse documentation, "Native" format; arrays are stored as cumulative ends followed by their flattened
//! items, a Map as an array of (key, value) with keys and values apart.

use super::selection::Selection;
use std::collections::HashSet;

/// A column of 8-byte values.
#[derive(Debug, Default, Clone)]
pub struct Fixed64 {
    bytes: Vec<u8>,
}

impl Fixed64 {
    pub(super) fn push_i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn push_u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn i64s(&self) -> impl Iterator<Item = i64> {
        self.bytes.as_chunks().0.iter().map(|value| i64::from_le_bytes(*value))
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() / size_of::<u64>()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len * size_of::<u64>());
    }

    pub(super) fn selected(&self, kept: &Selection) -> Self {
        let mut bytes = Vec::new();
        kept.copy_fixed(&self.bytes, size_of::<u64>(), &mut bytes);
        Self { bytes }
    }
}

/// A column of strings.
#[derive(Debug, Default, Clone)]
pub struct Strings {
    bytes: Vec<u8>,
    len: usize,
}

/// A place in [`Strings`] to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct StringsMark {
    bytes: usize,
    len: usize,
}

impl Strings {
    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) {
        self.len += 1;
        // most spans leave several columns empty: half the time of the general way
        if value.is_empty() {
            return self.bytes.push(0);
        }
        put_varint(&mut self.bytes, value.len());
        self.bytes.extend_from_slice(value);
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.len += other.len;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn iter(&self) -> StringsIter<'_> {
        StringsIter(&self.bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn mark(&self) -> StringsMark {
        StringsMark { bytes: self.bytes.len(), len: self.len }
    }

    pub(super) fn truncate(&mut self, mark: StringsMark) {
        self.bytes.truncate(mark.bytes);
        self.len = mark.len;
    }

    pub(super) fn selected(&self, kept: &Selection) -> Self {
        let mut bytes = Vec::new();
        kept.copy_strings(&self.bytes, &mut bytes);
        Self { bytes, len: kept.len() }
    }
}

/// Strings one behind the other, each a varint length and its bytes; ends where the bytes end or one is not whole.
#[derive(Debug)]
pub(super) struct StringsIter<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for StringsIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (string, rest) = take_string(self.0)?;
        self.0 = rest;
        Some(string)
    }
}

/// A column of `Map(String, String)`.
#[derive(Debug, Default, Clone)]
pub struct Map {
    ends: Vec<u64>,
    keys: Strings,
    values: Strings,
}

/// A place in a [`Map`] to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapMark {
    ends: usize,
    keys: StringsMark,
    values: StringsMark,
}

impl Map {
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.keys.push(key);
        self.values.push(value);
    }

    pub(super) fn close_row(&mut self) {
        self.ends.push(as_u64(self.keys.len()));
    }

    /// Adds a whole row: the entries of `row`, which has no rows of its own closed.
    pub(super) fn push_row(&mut self, row: &Self) {
        self.keys.append(&row.keys);
        self.values.append(&row.values);
        self.close_row();
    }

    pub(super) fn selected(&self, kept: &Selection) -> Self {
        let (ends, items) = kept.items(|row| end_at(&self.ends, row));
        Self { ends, keys: self.keys.selected(&items), values: self.values.selected(&items) }
    }

    pub(super) fn entries(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn ends(&self) -> &[u64] {
        &self.ends
    }

    pub(super) fn keys(&self) -> &[u8] {
        self.keys.bytes()
    }

    pub(super) fn values(&self) -> &[u8] {
        self.values.bytes()
    }

    pub(super) fn bytes_len(&self) -> usize {
        size_of_val(self.ends.as_slice()) + self.keys.bytes.len() + self.values.bytes.len()
    }

    pub(super) fn mark(&self) -> MapMark {
        MapMark { ends: self.ends.len(), keys: self.keys.mark(), values: self.values.mark() }
    }

    pub(super) fn truncate(&mut self, mark: MapMark) {
        self.ends.truncate(mark.ends);
        self.keys.truncate(mark.keys);
        self.values.truncate(mark.values);
    }

    /// Keeps the last of several entries with the same key among those pushed since `mark`; says how many went.
    ///
    /// Keys are few, so the common case (no duplicate) is decided by a 64-bit sketch of what was seen.
    pub(super) fn keep_last_of_each_key(&mut self, mark: MapMark) -> usize {
        if !self.may_have_duplicates(mark) {
            return 0;
        }
        let entries = self.take_entries_since(mark);
        let mut seen = HashSet::with_capacity(entries.len());
        let mut kept: Vec<_> = entries.iter().rev().filter(|(key, _)| seen.insert(key)).collect();
        kept.reverse();
        for (key, value) in &kept {
            self.push(key, value);
        }
        entries.len() - kept.len()
    }

    fn may_have_duplicates(&self, mark: MapMark) -> bool {
        let mut seen = [0_u64; 4];
        let mut rest = self.keys.bytes.get(mark.keys.bytes..).unwrap_or_default();
        while let Some((key, after)) = take_string(rest) {
            let sketch = sketch(key);
            let Some(word) = seen.get_mut(usize::from(sketch >> 6) & 3) else { return true };
            let bit = 1_u64 << (sketch & 63);
            if *word & bit != 0 {
                return self.has_duplicates(mark);
            }
            *word |= bit;
            rest = after;
        }
        false
    }

    fn has_duplicates(&self, mark: MapMark) -> bool {
        let mut keys = Vec::with_capacity(self.keys.len - mark.keys.len);
        let mut rest = self.keys.bytes.get(mark.keys.bytes..).unwrap_or_default();
        while let Some((key, after)) = take_string(rest) {
            keys.push(key);
            rest = after;
        }
        keys.sort_unstable();
        keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
    }

    /// Takes out the entries pushed since `mark`.
    fn take_entries_since(&mut self, mark: MapMark) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries = Vec::with_capacity(self.keys.len - mark.keys.len);
        let mut keys = self.keys.bytes.get(mark.keys.bytes..).unwrap_or_default();
        let mut values = self.values.bytes.get(mark.values.bytes..).unwrap_or_default();
        while let (Some((key, keys_after)), Some((value, values_after))) = (take_string(keys), take_string(values)) {
            entries.push((key.to_vec(), value.to_vec()));
            (keys, values) = (keys_after, values_after);
        }
        self.truncate(mark);
        entries
    }
}

/// A byte that differs for most pairs of attribute keys: their lengths and last letters differ.
fn sketch(key: &[u8]) -> u8 {
    let at = |from_end: usize| key.len().checked_sub(from_end).and_then(|i| key.get(i)).copied().unwrap_or(0);
    let length = key.len().to_le_bytes()[0];
    at(1).wrapping_mul(31) ^ at(3).wrapping_mul(17) ^ at(6).wrapping_mul(7) ^ length.wrapping_mul(59)
}

/// Writes an unsigned LEB128 integer, ClickHouse's `VarUInt`.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Reads what [`put_varint`] wrote: the value and its width in bytes.
pub(super) fn take_varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Splits the first string off the front: a varint length and as many bytes.
pub(super) fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, width) = take_varint(bytes)?;
    bytes.get(width..)?.split_at_checked(length)
}

/// `usize` as ClickHouse counts: always fits, Millrace runs on 64-bit machines.
pub(super) fn as_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Where the items of a list end.
pub(super) fn end_at(ends: &[u64], list: usize) -> usize {
    ends.get(list).and_then(|end| usize::try_from(*end).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(map: &Map) -> Vec<(String, String)> {
        let (mut keys, mut values, mut all) = (map.keys(), map.values(), Vec::new());
        while let (Some((key, k)), Some((value, v))) = (take_string(keys), take_string(values)) {
            all.push((String::from_utf8_lossy(key).into(), String::from_utf8_lossy(value).into()));
            (keys, values) = (k, v);
        }
        all
    }

    #[test]
    fn a_repeated_key_keeps_its_last_value_and_leaves_other_rows_alone() {
        let mut map = Map::default();
        map.push(b"a", b"of the row before");
        map.close_row();
        let mark = map.mark();
        for (key, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("a", "5"), ("b", "6")] {
            map.push(key.as_bytes(), value.as_bytes());
        }
        assert_eq!(map.keep_last_of_each_key(mark), 3);
        map.close_row();
        let expect = [("a", "of the row before"), ("c", "4"), ("a", "5"), ("b", "6")];
        assert_eq!(entries(&map), expect.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(map.ends(), [1, 4]);
    }

    #[test]
    fn distinct_keys_all_stay() {
        let mut map = Map::default();
        let mark = map.mark();
        for key in 0..300 {
            map.push(format!("key-{key}").as_bytes(), b"x");
        }
        assert_eq!(map.keep_last_of_each_key(mark), 0);
        assert_eq!(map.entries(), 300);
    }

    #[test]
    fn varints_come_back() {
        for value in [0, 1, 127, 128, 300, 65_535, 1 << 40] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(take_varint(&bytes), Some((value, bytes.len())));
        }
    }
}
