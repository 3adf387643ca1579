//! What a column of any table holds for the rows of a group: made from its type, filled value by value.
//!
//! ```text
//! String -> Texts    UInt64, Float64, DateTime64(9).. -> Numbers    Map(String, String) -> Map    Array(X) -> a list of those
//! ```
//!
//! A column may have fewer rows than its group: those after its last value have nothing in it. The row under way begins at a mark, so
//! that it can be counted and taken back.

use super::build::ends::Ends;
use super::build::map::{Map, MapMark, MapRow};
use super::build::selection::Selection;
use super::build::strings::{Strings, StringsMark};
use super::column_data::{ColumnData, Every};
use crate::workspace::Workspace;

/// Numbers of the same width, little endian.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    width: usize,
    bytes: Vec<u8>,
}

/// The values of a column.
#[derive(Debug, Clone)]
pub(super) enum Values {
    Numbers(Numbers),
    /// A byte for each says which are not known.
    Nullable(Vec<u8>, Numbers),
    Texts(Strings, StringsMark),
    Map(Map, MapMark),
    NumberLists(Ends, Numbers),
    TextLists(Ends, Strings, StringsMark),
    MapLists(Ends, Map, MapMark),
    /// All rows have the same, which the block knows.
    Segment,
    /// All rows have that of the group.
    Workspace,
}

const OTHER_TYPE: &str = "the type of a column is that of what is put into it";

impl Numbers {
    fn new(width: usize) -> Self {
        Self { width, bytes: Vec::new() }
    }

    fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    fn push(&mut self, value: &[u8]) {
        debug_assert_eq!(value.len(), self.width, "{OTHER_TYPE}");
        self.bytes.extend_from_slice(value);
    }

    fn pad_to(&mut self, rows: usize) {
        self.bytes.resize(self.bytes.len().max(rows * self.width), 0);
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len * self.width);
    }

    fn selected(&self, kept: &Selection) -> Self {
        let mut bytes = Vec::new();
        kept.copy_fixed(&self.bytes, self.width, &mut bytes);
        Self { width: self.width, bytes }
    }
}

/// Bytes of a value of a type that has a fixed width.
pub(super) fn width_of(wire_type: &str) -> Option<usize> {
    Some(match wire_type {
        "UInt8" | "Int8" | "Bool" => 1,
        "UInt32" | "Int32" | "DateTime" => 4,
        "UInt64" | "Int64" | "Float64" | "DateTime64(9)" => 8,
        _ => return None,
    })
}

fn inside<'t>(wire_type: &'t str, opening: &str) -> Option<&'t str> {
    wire_type.strip_prefix(opening)?.strip_suffix(')')
}

impl Values {
    /// An empty column of this name and type.
    pub(super) fn new(name: &str, wire_type: &str) -> Self {
        let (texts, map) = (Strings::default(), Map::default());
        let (texts_mark, map_mark) = (texts.mark(), map.mark());
        if let Some(item) = inside(wire_type, "Array(") {
            return match item {
                "String" => Self::TextLists(Ends::default(), texts, texts_mark),
                "Map(String, String)" => Self::MapLists(Ends::default(), map, map_mark),
                number => Self::NumberLists(Ends::default(), Numbers::new(width_of(number).expect(OTHER_TYPE))),
            };
        }
        if let Some(known) = inside(wire_type, "Nullable(") {
            return Self::Nullable(Vec::new(), Numbers::new(width_of(known).expect(OTHER_TYPE)));
        }
        match (name, wire_type) {
            ("SegmentId", _) => Self::Segment,
            ("Workspace", _) => Self::Workspace,
            (_, "String") => Self::Texts(texts, texts_mark),
            (_, "Map(String, String)") => Self::Map(map, map_mark),
            (_, number) => Self::Numbers(Numbers::new(width_of(number).expect(OTHER_TYPE))),
        }
    }

    /// Takes the entries of these keys out of a map, and adds them to those of another one.
    pub(super) fn parted(&mut self, others: &Self, is_other: impl Fn(&[u8]) -> bool) -> Option<Self> {
        let (Self::Map(map, mark), Self::Map(others, _)) = (self, others) else { return None };
        let parted = map.parted(others, is_other);
        *mark = map.mark();
        let parted_mark = parted.mark();
        Some(Self::Map(parted, parted_mark))
    }

    /// Puts a number into the row after `rows`.
    pub(super) fn put_number(&mut self, rows: usize, value: &[u8]) {
        match self {
            Self::Numbers(numbers) => {
                numbers.pad_to(rows);
                numbers.push(value);
            }
            Self::Nullable(nulls, numbers) => {
                nulls.resize(rows.max(nulls.len()), 1);
                nulls.push(0);
                numbers.pad_to(rows);
                numbers.push(value);
            }
            _ => unreachable!("{OTHER_TYPE}"),
        }
    }

    /// Puts a text into the row after `rows`.
    pub(super) fn put_text(&mut self, rows: usize, value: &[u8]) {
        let Self::Texts(texts, _) = self else { unreachable!("{OTHER_TYPE}") };
        texts.pad_to(rows);
        texts.push(value);
    }

    /// Adds an entry to the map of the row after `rows`.
    pub(super) fn put_entry(&mut self, rows: usize, key: &[u8], value: &[u8]) {
        let Self::Map(map, mark) = self else { unreachable!("{OTHER_TYPE}") };
        pad_map(map, mark, rows);
        map.push(key, value);
    }

    /// Puts a whole map into the row after `rows`.
    pub(super) fn put_map(&mut self, rows: usize, row: &MapRow) {
        let Self::Map(map, mark) = self else { unreachable!("{OTHER_TYPE}") };
        pad_map(map, mark, rows);
        map.push_row(row);
    }

    /// Of several entries of the row under way that have one key the last stays; returns how many went.
    pub(super) fn keep_last_of_each_key(&mut self) -> usize {
        let Self::Map(map, mark) = self else { unreachable!("{OTHER_TYPE}") };
        map.keep_last_of_each_key(*mark)
    }

    /// Adds a number to the list of the row under way.
    pub(super) fn put_item(&mut self, value: &[u8]) {
        let Self::NumberLists(_, items) = self else { unreachable!("{OTHER_TYPE}") };
        items.push(value);
    }

    /// Adds a text to the list of the row under way.
    pub(super) fn put_text_item(&mut self, value: &[u8]) {
        let Self::TextLists(_, items, _) = self else { unreachable!("{OTHER_TYPE}") };
        items.push(value);
    }

    /// Adds an entry to the map under way in the list of the row under way.
    pub(super) fn put_item_entry(&mut self, key: &[u8], value: &[u8]) {
        let Self::MapLists(_, items, _) = self else { unreachable!("{OTHER_TYPE}") };
        items.push(key, value);
    }

    /// Ends that map.
    pub(super) fn close_item(&mut self) {
        let Self::MapLists(_, items, _) = self else { unreachable!("{OTHER_TYPE}") };
        items.close_row();
    }

    /// What the row under way takes in a block beyond a row that has nothing.
    pub(super) fn bytes_under_way(&self, rows: usize) -> usize {
        let entries = |map: &Map, mark: &MapMark| {
            let (keys, values) = map.since(*mark);
            keys.len() + values.len()
        };
        match self {
            Self::Numbers(_) | Self::Nullable(..) | Self::Segment | Self::Workspace => 0,
            Self::Texts(texts, mark) => texts.since(*mark).len(),
            Self::Map(map, mark) => entries(map, mark),
            Self::NumberLists(ends, items) => items.bytes.len() - last_end(ends, rows) * items.width,
            Self::TextLists(_, items, mark) => items.since(*mark).len(),
            Self::MapLists(_, items, mark) => items.rows_since(*mark) * size_of::<u64>() + entries(items, mark),
        }
    }

    /// Ends the row under way, after which there are `rows`.
    pub(super) fn close_row(&mut self, rows: usize) {
        match self {
            // so that what table a block is of can be told by its columns
            Self::Numbers(numbers) => numbers.pad_to(rows),
            Self::Texts(texts, mark) => {
                texts.pad_to(rows);
                *mark = texts.mark();
            }
            Self::Map(map, mark) => {
                if map.ends().len() < rows && map.has_more_than(*mark) {
                    map.close_row();
                }
                *mark = map.mark();
            }
            Self::NumberLists(ends, items) => close_list(ends, items.len(), rows),
            Self::TextLists(ends, items, mark) => {
                close_list(ends, items.len(), rows);
                *mark = items.mark();
            }
            Self::MapLists(ends, items, mark) => {
                close_list(ends, items.ends().len(), rows);
                *mark = items.mark();
            }
            Self::Nullable(..) | Self::Segment | Self::Workspace => {}
        }
    }

    /// Forgets the row under way, before which there are `rows`.
    pub(super) fn roll_back(&mut self, rows: usize) {
        match self {
            Self::Numbers(numbers) => numbers.truncate(rows),
            Self::Nullable(nulls, numbers) => {
                nulls.truncate(rows);
                numbers.truncate(rows);
            }
            Self::Texts(texts, mark) => texts.truncate(*mark),
            Self::Map(map, mark) => map.truncate(*mark),
            Self::NumberLists(ends, items) => items.truncate(last_end(ends, rows)),
            Self::TextLists(_, items, mark) => items.truncate(*mark),
            Self::MapLists(_, items, mark) => items.truncate(*mark),
            Self::Segment | Self::Workspace => {}
        }
    }

    /// What is copied into a block.
    pub(super) fn data<'v>(&'v self, workspace: &'v Workspace) -> ColumnData<'v> {
        match self {
            Self::Numbers(numbers) => ColumnData::plain(&numbers.bytes),
            Self::Nullable(nulls, numbers) => ColumnData::nullable_of(nulls, &numbers.bytes, numbers.width),
            Self::Texts(texts, _) => ColumnData::plain(texts.bytes()),
            Self::Map(map, _) => ColumnData::lagging_map(map),
            Self::NumberLists(ends, items) => lagging(ColumnData::array(ends.as_slice(), &items.bytes), ends),
            Self::TextLists(ends, items, _) => lagging(ColumnData::array(ends.as_slice(), items.bytes()), ends),
            Self::MapLists(ends, items, _) => lagging(ColumnData::array_of_maps(ends.as_slice(), items), ends),
            Self::Segment => ColumnData::every(Every::Segment),
            Self::Workspace => ColumnData::every(Every::Text(workspace.as_str())),
        }
    }

    /// The kept ones of `rows` rows, of which the last may be missing here.
    pub(super) fn selected(&self, rows: usize, kept: &Selection) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(numbers.selected(kept)),
            Self::Nullable(nulls, _) if nulls.is_empty() => self.clone(),
            Self::Nullable(nulls, numbers) => {
                let (mut nulls, mut numbers, mut kept_nulls) = (nulls.clone(), numbers.clone(), Vec::new());
                nulls.resize(rows, 1);
                numbers.pad_to(rows);
                kept.copy_fixed(&nulls, 1, &mut kept_nulls);
                Self::Nullable(kept_nulls, numbers.selected(kept))
            }
            Self::Texts(texts, _) => {
                let texts = texts.selected(kept);
                let mark = texts.mark();
                Self::Texts(texts, mark)
            }
            Self::Map(map, _) => {
                let map = map.lagging_selected(rows, kept);
                let mark = map.mark();
                Self::Map(map, mark)
            }
            Self::NumberLists(ends, items) => {
                let (ends, kept) = selected_ends(ends, items.len(), rows, kept);
                Self::NumberLists(ends, items.selected(&kept))
            }
            Self::TextLists(ends, items, _) => {
                let (ends, kept) = selected_ends(ends, items.len(), rows, kept);
                let items = items.selected(&kept);
                let mark = items.mark();
                Self::TextLists(ends, items, mark)
            }
            Self::MapLists(ends, items, _) => {
                let (ends, kept) = selected_ends(ends, items.ends().len(), rows, kept);
                let items = items.selected(&kept);
                let mark = items.mark();
                Self::MapLists(ends, items, mark)
            }
            Self::Segment => Self::Segment,
            Self::Workspace => Self::Workspace,
        }
    }
}

/// Gives the rows before the one under way their maps; what is pushed afterwards is that row's.
fn pad_map(map: &mut Map, mark: &mut MapMark, rows: usize) {
    if map.ends().len() < rows {
        map.pad_to(rows, *mark);
        *mark = map.mark();
    }
}

/// Where the items of the first `rows` rows end.
fn last_end(ends: &Ends, rows: usize) -> usize {
    debug_assert!(ends.len() <= rows, "a list is ended with its row");
    ends.last()
}

fn close_list(ends: &mut Ends, items: usize, rows: usize) {
    if items > ends.last() {
        ends.pad_to(rows - 1, ends.last());
        ends.push(items);
    }
}

fn lagging<'v>(data: ColumnData<'v>, ends: &Ends) -> ColumnData<'v> {
    data.lagging(ends.len(), [(0, 0); 2])
}

fn selected_ends(ends: &Ends, items: usize, rows: usize, kept: &Selection) -> (Ends, Selection) {
    if ends.len() == 0 {
        return (Ends::default(), Selection::default());
    }
    let mut all = ends.clone();
    all.pad_to(rows, items);
    all.selected(kept)
}
