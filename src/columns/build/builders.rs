//! Growing columns whose bytes are already in ClickHouse's Native layout, so that making a block is copying.
//!
//! ```text
//! Fixed64   8 bytes, little endian, per value
//! Strings   varint length, bytes, per value
//! Map       ends (u64, cumulative) | keys | values
//! Lists     ends (u64, cumulative) | items
//! Nullable  a byte per value, 1 for unknown | W bytes per value
//! ```
//!
//! Source: ClickHouse documentation, "Native" format; arrays are stored as cumulative ends followed by their flattened
//! items, a Map as an array of (key, value) with keys and values apart.

use super::selection::Selection;
use std::collections::HashSet;
use std::ops::Range;

/// A column of 8-byte values.
#[derive(Debug, Default, Clone)]
pub struct Fixed64 {
    bytes: Vec<u8>,
}

impl Fixed64 {
    pub(crate) fn push_i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn push_u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Makes room for `more` rows like the `rows` there are.
    pub(crate) fn reserve_alike(&mut self, rows: usize, more: usize) {
        self.bytes.reserve(alike(self.bytes.len(), rows, more));
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn i64s(&self) -> impl Iterator<Item = i64> {
        self.i64s_from(0)
    }

    /// Those from the row `start` on.
    pub(crate) fn i64s_from(&self, start: usize) -> impl Iterator<Item = i64> {
        let values = self.bytes.as_chunks().0.get(start..).unwrap_or_default();
        values.iter().map(|value| i64::from_le_bytes(*value))
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / size_of::<u64>()
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len * size_of::<u64>());
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
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
pub(crate) struct StringsMark {
    bytes: usize,
    len: usize,
}

impl Strings {
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), len: 0 }
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
        self.bytes.reserve(alike(self.bytes.len(), rows, more));
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
        self.bytes.get(mark.bytes..).unwrap_or_default()
    }

    pub(crate) fn truncate(&mut self, mark: StringsMark) {
        self.bytes.truncate(mark.bytes);
        self.len = mark.len;
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
        let mut bytes = Vec::new();
        kept.copy_strings(&self.bytes, &mut bytes);
        Self { bytes, len: kept.len() }
    }
}

/// Strings one behind the other, each a varint length and its bytes; ends where the bytes end or one is not whole.
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

/// Bytes of a row's keys and values together that room is made for before they are known.
const ROW_BYTES_USUAL: usize = 512;

/// A column of `Map(String, String)`.
#[derive(Debug, Default, Clone)]
pub struct Map {
    ends: Vec<u64>,
    keys: Strings,
    values: Strings,
}

/// A place in a [`Map`] to come back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapMark {
    ends: usize,
    keys: StringsMark,
    values: StringsMark,
}

impl Map {
    /// An empty one with room for a row of ordinary size, made from so many bytes.
    pub(crate) fn for_row_of(bytes: usize) -> Self {
        let half = || Strings { bytes: Vec::with_capacity(ROW_BYTES_USUAL.min(bytes) / 2), len: 0 };
        Self { ends: Vec::new(), keys: half(), values: half() }
    }

    /// Makes room for `more` rows like the `rows` there are.
    pub(crate) fn reserve_alike(&mut self, rows: usize, more: usize) {
        self.ends.reserve(alike(self.ends.len(), rows, more));
        self.keys.reserve_alike(rows, more);
        self.values.reserve_alike(rows, more);
    }

    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.keys.push(key);
        self.values.push(value);
    }

    pub(crate) fn close_row(&mut self) {
        self.ends.push(as_u64(self.keys.len()));
    }

    /// Fills up with rows that have no entries, before those pushed since `mark`.
    pub(crate) fn pad_to(&mut self, rows: usize, mark: MapMark) {
        self.ends.resize(self.ends.len().max(rows), as_u64(mark.keys.len));
    }

    /// The entries pushed since `mark`: keys and values.
    pub(crate) fn since(&self, mark: MapMark) -> (&[u8], &[u8]) {
        (self.keys.since(mark.keys), self.values.since(mark.values))
    }

    /// Rows closed since `mark`.
    pub(crate) fn rows_since(&self, mark: MapMark) -> usize {
        self.ends.len().saturating_sub(mark.ends)
    }

    pub(crate) fn has_more_than(&self, mark: MapMark) -> bool {
        self.keys.len > mark.keys.len
    }

    /// Takes out the entries with these keys among those pushed since `mark`.
    pub(crate) fn leave_out(&mut self, mark: MapMark, unwanted: &[&[u8]]) {
        if unwanted.is_empty() {
            return;
        }
        let (mut keys, mut values) = (Compaction::from(mark.keys), Compaction::from(mark.values));
        while let (Some(key), Some(value)) = (keys.next(&self.keys.bytes), values.next(&self.values.bytes)) {
            let is_wanted =
                self.keys.bytes.get(key.clone()).and_then(take_string).is_none_or(|(key, _)| !unwanted.contains(&key));
            if is_wanted {
                keys.keep(key, &mut self.keys.bytes);
                values.keep(value, &mut self.values.bytes);
            }
        }
        self.keys.truncate(keys.kept);
        self.values.truncate(values.kept);
    }

    /// Adds a whole row: the entries of `row`, which has no rows of its own closed.
    pub(crate) fn push_row(&mut self, row: &Self) {
        self.keys.append(&row.keys);
        self.values.append(&row.values);
        self.close_row();
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
        let (ends, items) = kept.items(|row| end_at(&self.ends, row));
        Self { ends, keys: self.keys.selected(&items), values: self.values.selected(&items) }
    }

    pub(crate) fn entries(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn ends(&self) -> &[u64] {
        &self.ends
    }

    pub(crate) fn keys(&self) -> &[u8] {
        self.keys.bytes()
    }

    pub(crate) fn values(&self) -> &[u8] {
        self.values.bytes()
    }

    pub(crate) fn bytes_len(&self) -> usize {
        size_of_val(self.ends.as_slice()) + self.keys.bytes.len() + self.values.bytes.len()
    }

    pub(crate) fn mark(&self) -> MapMark {
        MapMark { ends: self.ends.len(), keys: self.keys.mark(), values: self.values.mark() }
    }

    pub(crate) fn truncate(&mut self, mark: MapMark) {
        self.ends.truncate(mark.ends);
        self.keys.truncate(mark.keys);
        self.values.truncate(mark.values);
    }

    /// Keeps the last of several entries with the same key among those pushed since `mark`; says how many went.
    pub(crate) fn keep_last_of_each_key(&mut self, mark: MapMark) -> usize {
        if !has_duplicates(self.keys.bytes.get(mark.keys.bytes..).unwrap_or_default()) {
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

/// Moves the strings that stay to the front of those behind a mark, without taking them out.
struct Compaction {
    read: usize,
    kept: StringsMark,
}

impl Compaction {
    fn from(mark: StringsMark) -> Self {
        Self { read: mark.bytes, kept: mark }
    }

    /// Where the next string lies, with its length in front.
    fn next(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        let (string, _) = take_string(bytes.get(self.read..)?)?;
        let start = self.read;
        let (_, width) = take_varint(bytes.get(start..)?)?;
        self.read = start + width + string.len();
        Some(start..self.read)
    }

    fn keep(&mut self, string: Range<usize>, bytes: &mut [u8]) {
        let length = string.len();
        if string.start != self.kept.bytes {
            bytes.copy_within(string, self.kept.bytes);
        }
        self.kept.bytes += length;
        self.kept.len += 1;
    }
}

/// A column of `Array(String)`.
#[derive(Debug, Default, Clone)]
pub struct Lists {
    ends: Vec<u64>,
    items: Strings,
}

impl Lists {
    pub(crate) fn push<'i>(&mut self, items: impl IntoIterator<Item = &'i [u8]>) {
        items.into_iter().for_each(|item| self.items.push(item));
        self.ends.push(as_u64(self.items.len()));
    }

    pub(crate) fn pad_to(&mut self, rows: usize) {
        self.ends.resize(self.ends.len().max(rows), as_u64(self.items.len()));
    }

    pub(crate) fn ends(&self) -> &[u64] {
        &self.ends
    }

    pub(crate) fn items(&self) -> &[u8] {
        self.items.bytes()
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
        let (ends, items) = kept.items(|row| end_at(&self.ends, row));
        Self { ends, items: self.items.selected(&items) }
    }
}

/// A column of values of `W` bytes each that may be unknown: a byte a value says which are, then all values.
#[derive(Debug, Default, Clone)]
pub struct Nullable<const W: usize> {
    nulls: Vec<u8>,
    values: Vec<u8>,
}

impl<const W: usize> Nullable<W> {
    pub(crate) const fn new() -> Self {
        Self { nulls: Vec::new(), values: Vec::new() }
    }

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
        &self.values
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
        let (mut nulls, mut values) = (Vec::new(), Vec::new());
        kept.copy_fixed(&self.nulls, 1, &mut nulls);
        kept.copy_fixed(&self.values, W, &mut values);
        Self { nulls, values }
    }
}

/// A column of 4-byte values.
#[derive(Debug, Default, Clone)]
pub struct Fixed32 {
    bytes: Vec<u8>,
}

impl Fixed32 {
    pub(crate) fn push(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn pad_to(&mut self, rows: usize) {
        self.bytes.resize(self.bytes.len().max(rows * size_of::<u32>()), 0);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / size_of::<u32>()
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
        let mut bytes = Vec::new();
        kept.copy_fixed(&self.bytes, size_of::<u32>(), &mut bytes);
        Self { bytes }
    }
}

/// Keys among which one that looks like another is compared with each before it. Among more they are sorted instead.
const COMPARED_KEYS_MAX: usize = 64;

/// Whether a key comes twice. Keys are few and differ, which a set of sketches tells nearly always.
fn has_duplicates(keys: &[u8]) -> bool {
    let mut seen = [0_u64; SKETCHES / 64];
    for (index, key) in StringsIter(keys).enumerate() {
        let sketch = sketch(key);
        let Some(word) = seen.get_mut(sketch / 64) else { return true };
        let bit = 1_u64 << (sketch % 64);
        if *word & bit != 0 {
            if index >= COMPARED_KEYS_MAX {
                return has_duplicates_once_sorted(keys);
            }
            if StringsIter(keys).take(index).any(|earlier| earlier == key) {
                return true;
            }
        }
        *word |= bit;
    }
    false
}

fn has_duplicates_once_sorted(keys: &[u8]) -> bool {
    let mut keys: Vec<_> = StringsIter(keys).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

/// How many sketches of a key there are.
const SKETCHES: usize = 1 << 10;

/// A number below [`SKETCHES`] that differs for most pairs of keys: of their length, first and last bytes.
fn sketch(key: &[u8]) -> usize {
    // odd, its bits in no order: the fraction of the golden ratio
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let ends = match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first).rotate_left(32) ^ u64::from_le_bytes(*last),
        _ => key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let spread = (ends ^ as_u64(key.len())).wrapping_mul(SPREAD);
    usize::try_from(spread >> (u64::BITS - SKETCHES.ilog2())).unwrap_or(0)
}

/// Writes an unsigned LEB128 integer, ClickHouse's `VarUInt`.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Reads what [`put_varint`] wrote: the value and its width in bytes.
pub(crate) fn take_varint(bytes: &[u8]) -> Option<(usize, usize)> {
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
#[inline]
pub(crate) fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // nearly all are shorter than 128 bytes
    if let [length @ ..=0x7f, rest @ ..] = bytes {
        return rest.split_at_checked(usize::from(*length));
    }
    let (length, width) = take_varint(bytes)?;
    bytes.get(width..)?.split_at_checked(length)
}

/// What `more` rows take when `rows` took `len`.
fn alike(len: usize, rows: usize, more: usize) -> usize {
    len.saturating_mul(more) / rows.max(1)
}

/// `usize` as ClickHouse counts: always fits, Millrace runs on 64-bit machines.
pub(crate) fn as_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Where the items of a list end.
pub(crate) fn end_at(ends: &[u64], list: usize) -> usize {
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
    fn entries_that_are_left_out_go_and_the_others_close_up() {
        let mut map = Map::default();
        map.push(b"a", b"of the row before");
        map.close_row();
        let mark = map.mark();
        for (key, value) in [("a", "1"), ("b", "22"), ("a2", "333"), ("c", "")] {
            map.push(key.as_bytes(), value.as_bytes());
        }
        map.leave_out(mark, &[b"a", b"c"]);
        map.push(b"d", b"4");
        map.close_row();
        let expect = [("a", "of the row before"), ("b", "22"), ("a2", "333"), ("d", "4")];
        assert_eq!(entries(&map), expect.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(map.ends(), [1, 4]);
        let mark = map.mark();
        map.push(b"c", &[b'x'; 300]);
        map.leave_out(mark, &[b"c"]);
        assert!(!map.has_more_than(mark));
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
    fn keys_that_look_alike_are_told_apart() {
        // the same length, the same 8 bytes at both ends: one sketch for all
        let alike = |number: usize| format!("http.url.{number:04}.the.rest");
        for keys in [2, COMPARED_KEYS_MAX, COMPARED_KEYS_MAX + 1, 3 * COMPARED_KEYS_MAX] {
            let mut map = Map::default();
            let mark = map.mark();
            for key in 0..keys {
                map.push(alike(key).as_bytes(), b"x");
            }
            assert_eq!(sketch(alike(0).as_bytes()), sketch(alike(1).as_bytes()));
            assert_eq!(map.keep_last_of_each_key(mark), 0, "{keys}");
            map.push(alike(0).as_bytes(), b"the last");
            assert_eq!((map.keep_last_of_each_key(mark), map.entries()), (1, keys), "{keys}");
        }
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
