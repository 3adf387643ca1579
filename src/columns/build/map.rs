//! A column of `Map(String, String)`: ends, then keys, then values.

use super::ends::Ends;
use super::repeated::has_duplicates;
use super::selection::Selection;
use super::strings::{Strings, StringsIter, StringsMark};
use super::varint::{take_string, take_varint};
use std::collections::HashSet;
use std::ops::Range;

/// Bytes of a row's keys and values together that room is made for before they are known.
const ROW_BYTES_USUAL: usize = 512;

/// A column of `Map(String, String)`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Map {
    ends: Ends,
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
        let half = || Strings::with_capacity(ROW_BYTES_USUAL.min(bytes) / 2);
        Self { ends: Ends::default(), keys: half(), values: half() }
    }

    /// Makes room for `more` rows like the `rows` there are.
    pub(crate) fn reserve_alike(&mut self, rows: usize, more: usize) {
        self.ends.reserve_alike(rows, more);
        self.keys.reserve_alike(rows, more);
        self.values.reserve_alike(rows, more);
    }

    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.keys.push(key);
        self.values.push(value);
    }

    pub(crate) fn close_row(&mut self) {
        debug_assert_eq!(self.keys.len(), self.values.len(), "a value for each key");
        self.ends.push(self.keys.len());
    }

    /// Fills up with rows that have no entries, before those pushed since `mark`.
    pub(crate) fn pad_to(&mut self, rows: usize, mark: MapMark) {
        self.ends.pad_to(rows, mark.keys.len);
    }

    /// The entries pushed since `mark`: keys and values.
    pub(crate) fn since(&self, mark: MapMark) -> (&[u8], &[u8]) {
        (self.keys.since(mark.keys), self.values.since(mark.values))
    }

    /// How many entries each row has that was closed since `mark`.
    pub(crate) fn lengths_since(&self, mark: MapMark) -> impl Iterator<Item = usize> {
        self.ends.lengths(mark.ends..self.ends.len())
    }

    /// Rows closed since `mark`.
    pub(crate) fn rows_since(&self, mark: MapMark) -> usize {
        self.ends.len() - mark.ends
    }

    pub(crate) fn has_more_than(&self, mark: MapMark) -> bool {
        self.keys.len > mark.keys.len
    }

    /// Takes out the entries with these keys among those pushed since `mark`.
    pub(crate) fn leave_out(&mut self, mark: MapMark, unwanted: &[&str]) {
        if unwanted.is_empty() {
            return;
        }
        let (mut keys, mut values) = (Compaction::from(mark.keys), Compaction::from(mark.values));
        while let (Some(key), Some(value)) = (keys.next(&self.keys.bytes), values.next(&self.values.bytes)) {
            let is_wanted = self
                .keys
                .bytes
                .get(key.clone())
                .and_then(take_string)
                .is_none_or(|(key, _)| !unwanted.iter().any(|unwanted| unwanted.as_bytes() == key));
            if is_wanted {
                keys.keep(key, &mut self.keys.bytes);
                values.keep(value, &mut self.values.bytes);
            }
        }
        self.keys.truncate(keys.kept);
        self.values.truncate(values.kept);
    }

    /// Takes the entries of these keys out of all rows; returns them, after what `others` have, as a column of as many rows as the longer of
    /// the two has.
    pub(crate) fn parted(&mut self, others: &Self, is_other: impl Fn(&[u8]) -> bool) -> Self {
        let (mut kept, mut parted) = (Self::default(), Self::default());
        let mut own = self.keys.iter().zip(self.values.iter());
        let mut known = others.keys.iter().zip(others.values.iter());
        let mut known_lengths = others.ends.lengths(0..others.ends.len());
        for length in self.ends.lengths(0..self.ends.len()) {
            for (key, value) in known.by_ref().take(known_lengths.next().unwrap_or(0)) {
                parted.push(key, value);
            }
            for (key, value) in own.by_ref().take(length) {
                if is_other(key) { parted.push(key, value) } else { kept.push(key, value) }
            }
            kept.close_row();
            parted.close_row();
        }
        // rows that have nothing here
        for length in known_lengths {
            for (key, value) in known.by_ref().take(length) {
                parted.push(key, value);
            }
            parted.close_row();
        }
        *self = kept;
        parted
    }

    /// Adds a whole row.
    pub(crate) fn push_row(&mut self, row: &MapRow) {
        self.keys.append(&row.0.keys);
        self.values.append(&row.0.values);
        self.close_row();
    }

    /// Forgets all rows and keeps the room for them; returns how many bytes that is.
    pub(crate) fn clear(&mut self) -> usize {
        let Self { ends, keys, values } = self;
        ends.clear() + keys.clear() + values.clear()
    }

    pub(crate) fn selected(&self, kept: &Selection) -> Self {
        let (ends, items) = self.ends.selected(kept);
        Self { ends, keys: self.keys.selected(&items), values: self.values.selected(&items) }
    }

    /// The kept ones of `rows` rows, of which the last may be missing here.
    pub(crate) fn lagging_selected(&self, rows: usize, kept: &Selection) -> Self {
        if self.ends().is_empty() {
            return Self::default();
        }
        let mut all = self.clone();
        all.pad_to(rows, all.mark());
        all.selected(kept)
    }

    pub(crate) fn entries(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn ends(&self) -> &[u64] {
        self.ends.as_slice()
    }

    pub(crate) fn keys(&self) -> &[u8] {
        self.keys.bytes()
    }

    pub(crate) fn values(&self) -> &[u8] {
        self.values.bytes()
    }

    pub(crate) fn bytes_len(&self) -> usize {
        size_of_val(self.ends()) + self.keys.bytes.len() + self.values.bytes.len()
    }

    pub(crate) fn mark(&self) -> MapMark {
        MapMark { ends: self.ends.len(), keys: self.keys.mark(), values: self.values.mark() }
    }

    pub(crate) fn truncate(&mut self, mark: MapMark) {
        self.ends.truncate(mark.ends);
        self.keys.truncate(mark.keys);
        self.values.truncate(mark.values);
    }

    /// Keeps the last of several entries with the same key among those pushed since `mark`; returns how many went.
    pub(crate) fn keep_last_of_each_key(&mut self, mark: MapMark) -> usize {
        if !has_duplicates(self.keys.since(mark.keys)) {
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
        let (keys, values) = self.since(mark);
        let both = StringsIter(keys).zip(StringsIter(values));
        entries.extend(both.map(|(key, value)| (key.to_vec(), value.to_vec())));
        self.truncate(mark);
        entries
    }
}

/// Moves the strings that stay to the front of those after a mark, without taking them out.
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

/// One row of a map column, kept to be repeated: the attributes of a resource.
#[derive(Debug, Default)]
pub struct MapRow(Map);

impl MapRow {
    /// An empty row with room for the attributes of a message of so many bytes.
    #[must_use]
    pub fn for_message_of(bytes: usize) -> Self {
        Self(Map::for_row_of(bytes))
    }

    /// Adds an entry.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.0.push(key, value);
    }

    /// Keeps the last of several entries with the same key; returns how many went.
    pub fn keep_last_of_each_key(&mut self) -> usize {
        self.0.keep_last_of_each_key(Map::default().mark())
    }

    /// Number of entries.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.0.entries()
    }

    /// Keys and values, each after its length.
    pub(in crate::columns) fn parts(&self) -> (&[u8], &[u8]) {
        (self.0.keys(), self.0.values())
    }

    /// Bytes that one repetition adds.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.0.bytes_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::build::repeated::{COMPARED_KEYS_MAX, sketch};

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
        map.leave_out(mark, &["a", "c"]);
        map.push(b"d", b"4");
        map.close_row();
        let expect = [("a", "of the row before"), ("b", "22"), ("a2", "333"), ("d", "4")];
        assert_eq!(entries(&map), expect.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(map.ends(), [1, 4]);
        let mark = map.mark();
        map.push(b"c", &[b'x'; 300]);
        map.leave_out(mark, &["c"]);
        assert!(!map.has_more_than(mark));
    }

    #[test]
    fn what_is_parted_comes_after_what_was_there_whichever_has_more_rows() {
        let map = |rows: &[&[(&str, &str)]]| {
            let mut map = Map::default();
            for row in rows {
                row.iter().for_each(|(key, value)| map.push(key.as_bytes(), value.as_bytes()));
                map.close_row();
            }
            map
        };
        for (own, others, kept, parted, ends) in [
            (map(&[&[("a", "1"), ("x", "2")], &[("x", "3")]]), map(&[&[("o", "4")]]), "a1", "o4x2x3", [2, 3]),
            (map(&[&[("x", "1")]]), map(&[&[], &[("o", "2"), ("p", "3")]]), "", "x1o2p3", [1, 3]),
        ] {
            let mut own = own;
            let moved = own.parted(&others, |key| key == b"x");
            let said = |map: &Map| entries(map).into_iter().map(|(key, value)| key + &value).collect::<String>();
            assert_eq!((said(&own).as_str(), said(&moved).as_str(), moved.ends()), (kept, parted, &ends[..]));
        }
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
    fn a_resource_attribute_given_twice_keeps_the_last() {
        let mut row = MapRow::default();
        row.push(b"a", b"1");
        row.push(b"a", b"2");
        assert_eq!(row.keep_last_of_each_key(), 1);
        assert_eq!((row.entries(), row.0.keys(), row.0.values()), (1, &b"\x01a"[..], &b"\x012"[..]));
    }
}
