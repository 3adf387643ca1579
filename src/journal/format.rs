//! The file of a segment: a header, then what ClickHouse gets.
//!
//! ```text
//! 0    8  "MILLRACE"
//! 8    2  version of this format, little-endian as all numbers here: 2, or 3 if its rows are not spans
//! 10   2  length of the header
//! 12   4  0
//! 16  16  id of the segment, as ClickHouse carries a UUID
//! 32   8  when it was made, nanoseconds since 1970
//! 40   8  which columns its blocks have: the start of the checksum of their names and types
//! 48   1  length of the table's name
//! 49   -  the table's name
//! -   16  CityHash128 of everything above
//! -    -  compressed frames (columns/native/frames.rs), each one Native block; after each the record of its rows (records.rs),
//!         unless none of them is to be known again. Version 1 has no records
//! ```
//!
//! A later version keeps the first 12 bytes and the checksum at the header's end: that is what tells it from damage.
//!
//! The name of the file says what became of it, so that a start needs to read only what was not finished:
//!
//! ```text
//! {number}-{origin}.new               its header is being written
//! {number}-{origin}.open              rows are being added
//! {number}-{origin}-{rows}.segment    waits for ClickHouse
//! {number}-{origin}-{rows}.doubt      waits, and ClickHouse may have rows of it although its token does not say so
//! {number}-{origin}-{rows}.stored     ClickHouse has it; kept a little, for repeats from senders
//! ```

use super::disk::Readable;
use super::records::Record;
use crate::columns::native::frames::{
    FRAME_HEADER_BYTES, check_frame, checksum_of, claimed_bytes, decompress_checked_frame,
};
use crate::columns::native::parse::{Block, shape};
use crate::columns::{SEGMENT_ID, Table};
use crate::ids::SegmentId;
use crate::numbers::saturating_usize;
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::sync::LazyLock;

const MAGIC: &[u8; 8] = b"MILLRACE";
/// The latest version that is written. Every earlier one is read.
pub(super) const FORMAT_VERSION: u16 = 3;
/// What a segment of spans has: an earlier release reads it. One of another table it leaves alone.
const FORMAT_VERSION_OF_SPANS: u16 = 2;
const FIXED_BYTES: usize = 49;
/// Bytes of a table's name that a header has room for.
const TABLE_BYTES_MAX: usize = 255;
/// The longest header: that of a table whose name has 255 bytes.
pub(super) const HEADER_BYTES_MAX: u64 = 320;
const CHECKSUM_BYTES: usize = 16;
/// The search for frames after damage checks at most so many times the bytes there are.
const SEARCH_FACTOR: usize = 32;

/// Of each table what the blocks of this program look like.
static COLUMNS_HASHES: LazyLock<Vec<(Table, u64)>> = LazyLock::new(|| {
    let hash = |table: Table| {
        let columns = table.columns().iter();
        let list: String = columns.map(|column| format!("{} {}\n", column.name, column.wire_type)).collect();
        let [a, b, c, d, e, f, g, h, ..] = checksum_of(list.as_bytes());
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    };
    Table::ALL.into_iter().map(|table| (table, hash(table))).collect()
});

/// What the blocks of this program for a table look like.
pub(super) fn columns_hash(table: Table) -> u64 {
    let found = COLUMNS_HASHES.iter().find(|(of, _)| *of == table);
    found.expect("each table has a list of columns").1
}

/// What a segment's file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: SegmentId,
    pub(super) created_nanos: i64,
    pub(super) columns: u64,
    pub(super) table: String,
}

/// Why a segment's file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its header is damaged, and no whole frame follows.
    #[error("segment header is corrupt and no valid frame follows")]
    Header,
    /// A later Millrace wrote it.
    #[error("it is of format version {0}, which a later Millrace wrote; this one reads up to {FORMAT_VERSION}")]
    Version(u16),
}

impl Header {
    /// The table that its rows are for. A name that is not one of ours is that of spans.
    pub(super) fn table(&self) -> Table {
        Table::named(&self.table).unwrap_or_default()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let (table, _cut_off) = self.table.as_bytes().split_at(self.table.len().min(TABLE_BYTES_MAX));
        let length = FIXED_BYTES + table.len() + CHECKSUM_BYTES;
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(MAGIC);
        let is_of_spans = self.table() == Table::Traces;
        let version = if is_of_spans { FORMAT_VERSION_OF_SPANS } else { FORMAT_VERSION };
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&u16::try_from(length).expect("a header is short").to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.id.wire_bytes());
        out.extend_from_slice(&self.created_nanos.to_le_bytes());
        out.extend_from_slice(&self.columns.to_le_bytes());
        out.push(u8::try_from(table.len()).expect("its length was cut"));
        out.extend_from_slice(table);
        out.extend_from_slice(&checksum_of(&out));
        out
    }

    /// The header of a file, if it has one that can be read, and how many bytes it has.
    pub(super) fn of_file(file: &dyn Readable) -> io::Result<Option<(Self, usize)>> {
        let mut front = vec![0; saturating_usize(HEADER_BYTES_MAX)];
        let filled = file.read_at(&mut front, 0)?;
        front.truncate(filled);
        Ok(Self::read(&front).ok())
    }

    /// The header and how many bytes it has.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), Unreadable> {
        let number = |at: usize| bytes.get(at..at + 2).and_then(|two| two.try_into().ok()).map(u16::from_le_bytes);
        let (Some(version), Some(length)) = (number(8), number(10)) else { return Err(Unreadable::Header) };
        if !bytes.starts_with(MAGIC) {
            return Err(Unreadable::Header);
        }
        let length = usize::from(length);
        let whole = bytes.get(..length).ok_or(Unreadable::Header)?;
        let (said, sum) = whole
            .split_at_checked(length.checked_sub(CHECKSUM_BYTES).ok_or(Unreadable::Header)?)
            .ok_or(Unreadable::Header)?;
        if checksum_of(said) != sum {
            return Err(Unreadable::Header);
        }
        if version > FORMAT_VERSION {
            return Err(Unreadable::Version(version));
        }
        let eight = |at: usize| said.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map(u64::from_le_bytes);
        let id = said.get(16..32).and_then(|id| id.try_into().ok()).map(SegmentId::from_wire);
        let table = said.get(FIXED_BYTES..).map(|table| String::from_utf8_lossy(table).into_owned());
        let (Some(id), Some(created), Some(columns), Some(table)) = (id, eight(32), eight(40), table) else {
            return Err(Unreadable::Header);
        };
        Ok((Self { id, created_nanos: created.cast_signed(), columns, table }, length))
    }
}

/// What a segment's bytes hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// `None` when it is damaged: the frames speak for themselves.
    pub(super) header: Option<Header>,
    /// The frames that check, in order.
    pub(super) frames: Vec<Range<usize>>,
    /// Of each frame the record after it.
    pub(super) records: Vec<Option<Range<usize>>>,
    /// Where the frames end that follow each other without damage.
    pub(super) sound_until: usize,
    pub(super) damage: Damage,
}

impl Scan {
    /// Whether its end is not whole.
    pub(super) fn is_torn(&self) -> bool {
        self.damage == Damage::TornTail
    }
}

/// What is wrong with a segment's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    None,
    /// The end is not whole: a commit that was cut off, so never acknowledged.
    TornTail,
    /// Good frames follow bad bytes, or the file was finished and is no longer whole.
    Inside,
}

/// Whether a frame's rows all say that they are of that segment. Frames after damage are looked for byte by byte, and
/// what a sender put into a span could look like one.
pub(super) fn is_of(id: SegmentId) -> impl Fn(&[u8]) -> bool {
    move |frame| {
        let mut content = Vec::new();
        let whole = decompress_checked_frame(frame, &mut content).ok().and_then(|()| Block::parse(&content).ok());
        whole.is_some_and(|(block, rest)| rest.is_empty() && block.is_every_uuid(SEGMENT_ID, id.wire_bytes()))
    }
}

/// Whether a frame is whole and its rows say that they are of another segment: somebody put it there.
fn is_of_another(id: SegmentId, frame: &[u8]) -> bool {
    let mut content = Vec::new();
    let whole = decompress_checked_frame(frame, &mut content).ok().and_then(|()| Block::parse(&content).ok());
    whole.is_some_and(|(block, _rest)| !block.is_every_uuid(SEGMENT_ID, id.wire_bytes()))
}

/// Reads a segment frame by frame; frames after damage are found again, if they are `ours`.
pub(super) fn scan(bytes: &[u8], ours: impl Fn(&[u8]) -> bool) -> Result<Scan, Unreadable> {
    let (header, start) = match Header::read(bytes) {
        Ok((header, start)) => (Some(header), start),
        Err(Unreadable::Header) => (None, 0),
        Err(later) => return Err(later),
    };
    let (mut frames, mut records, mut at) = (Vec::new(), Vec::new(), start);
    let mut damage = Damage::None;
    let mut sound_until = start;
    let mut search_bytes = bytes.len().saturating_mul(SEARCH_FACTOR);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if let Ok(Some(shape)) = check_frame(rest) {
            let end = at + shape.frame_bytes;
            let record = bytes.get(end..).and_then(Record::read).map(|(_, length)| end..end + length);
            frames.push(at..end);
            at = record.as_ref().map_or(end, |record| record.end);
            records.push(record);
            if damage == Damage::None {
                sound_until = at;
            } else {
                damage = Damage::Inside;
            }
            continue;
        }
        if damage == Damage::None {
            damage = Damage::TornTail;
        }
        match find_frame(rest, &ours, &mut search_bytes) {
            Some(skip) => at += skip,
            None => break,
        }
    }
    if header.is_none() && frames.is_empty() {
        return Err(Unreadable::Header);
    }
    Ok(Scan { header, frames, records, sound_until, damage })
}

/// Where after the front the next of our frames begins. What is checked on the way counts against `search_bytes`: bytes
/// made to look like frames must not cost hours.
fn find_frame(bytes: &[u8], ours: impl Fn(&[u8]) -> bool, search_bytes: &mut usize) -> Option<usize> {
    for skip in 1..bytes.len().saturating_sub(FRAME_HEADER_BYTES) {
        let from_here = bytes.get(skip..)?;
        let Some(claimed) = claimed_bytes(from_here) else { continue };
        *search_bytes = search_bytes.checked_sub(claimed)?;
        let is_whole = matches!(check_frame(from_here), Ok(Some(_)));
        if is_whole && from_here.get(..claimed).is_some_and(&ours) {
            return Some(skip);
        }
    }
    None
}

/// What a file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileName {
    pub(super) id: SegmentId,
    pub(super) state: FileState,
}

/// How far a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileState {
    New,
    Open,
    Waiting { rows: usize },
    Doubt { rows: usize },
    Stored { rows: usize },
}

/// A part that a scan of these very bytes found.
fn part<'a>(bytes: &'a [u8], found: &Range<usize>) -> &'a [u8] {
    bytes.get(found.clone()).expect("the bytes are those that were scanned")
}

impl Scan {
    /// The frames.
    pub(super) fn frames_of<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.frames.iter().map(|frame| part(bytes, frame))
    }

    /// The records.
    pub(super) fn records_of<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.records.iter().flatten().map(|record| part(bytes, record))
    }

    /// Rows in the frames that check.
    pub(super) fn rows_in(&self, bytes: &[u8]) -> usize {
        let (mut content, mut rows) = (Vec::new(), 0);
        for frame in self.frames_of(bytes) {
            content.clear();
            if decompress_checked_frame(frame, &mut content).is_ok()
                && let Some((_columns, of_block)) = shape(&content)
            {
                rows += of_block;
            }
        }
        rows
    }

    /// Each frame with the record of its rows.
    pub(super) fn framed<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (&'a [u8], Option<Record<'a>>)> {
        self.frames.iter().zip(&self.records).map(|(frame, record)| {
            let record = record.clone().and_then(|record| Record::read(part(bytes, &record)));
            (part(bytes, frame), record.map(|(record, _)| record))
        })
    }

    /// Without frames of other segments.
    pub(super) fn of(mut self, id: SegmentId, bytes: &[u8]) -> Self {
        let is_own = |frame: &Range<usize>| !is_of_another(id, part(bytes, frame));
        let own: Vec<bool> = self.frames.iter().map(is_own).collect();
        if own.contains(&false) {
            let mut kept = own.iter();
            self.frames.retain(|_| kept.next() == Some(&true));
            let mut kept = own.iter();
            self.records.retain(|_| kept.next() == Some(&true));
            self.damage = Damage::Inside;
        }
        self
    }

    /// The frames alone, one after the other, without taking more memory.
    pub(super) fn into_frames(self, mut bytes: Vec<u8>) -> Bytes {
        let follow =
            |two: &[Range<usize>]| two.iter().map(|frame| frame.end).next() == two.last().map(|frame| frame.start);
        if self.frames.windows(2).all(follow) {
            let whole =
                self.frames.first().map_or(0, |first| first.start)..self.frames.last().map_or(0, |last| last.end);
            return Bytes::from(bytes).slice(whole);
        }
        let mut end = 0;
        for frame in self.frames {
            let length = frame.len();
            bytes.copy_within(frame, end);
            end += length;
        }
        bytes.truncate(end);
        bytes.into()
    }
}

impl FileName {
    pub(super) fn file(self) -> String {
        let (number, origin) = (self.id.number(), self.id.origin());
        match self.state {
            FileState::New => format!("{number:016x}-{origin:016x}.new"),
            FileState::Open => format!("{number:016x}-{origin:016x}.open"),
            FileState::Waiting { rows } => format!("{number:016x}-{origin:016x}-{rows}.segment"),
            FileState::Doubt { rows } => format!("{number:016x}-{origin:016x}-{rows}.doubt"),
            FileState::Stored { rows } => format!("{number:016x}-{origin:016x}-{rows}.stored"),
        }
    }

    pub(super) fn read(file: &str) -> Option<Self> {
        let (stem, end) = file.split_once('.')?;
        let mut parts = stem.split('-');
        let mut hex = || {
            let part = parts.next().filter(|part| part.len() == 16)?;
            u64::from_str_radix(part, 16).ok()
        };
        let (number, origin) = (hex()?, hex()?);
        let rows = parts.next();
        let state = match (end, rows, parts.next()) {
            ("new", None, None) => FileState::New,
            ("open", None, None) => FileState::Open,
            ("segment", Some(rows), None) => FileState::Waiting { rows: rows.parse().ok()? },
            ("doubt", Some(rows), None) => FileState::Doubt { rows: rows.parse().ok()? },
            ("stored", Some(rows), None) => FileState::Stored { rows: rows.parse().ok()? },
            _ => return None,
        };
        Some(Self { id: SegmentId::new(origin, number), state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::native::frames::compress_pieces;
    use proptest::prelude::*;

    fn header() -> Header {
        Header { id: SegmentId::new(1, 2), created_nanos: 3, columns: 4, table: "otel.otel_traces".to_owned() }
    }

    fn segment(contents: &[&[u8]]) -> Vec<u8> {
        let mut bytes = header().encode();
        contents.iter().for_each(|content| compress_pieces(content, &mut bytes));
        bytes
    }

    #[test]
    fn a_header_reads_back_and_a_later_version_is_named() {
        let mut bytes = header().encode();
        assert_eq!(Header::read(&bytes), Ok((header(), bytes.len())));
        for cut in 0..bytes.len() {
            assert_eq!(Header::read(&bytes[..cut]), Err(Unreadable::Header), "{cut}");
        }
        bytes[8] = 4;
        assert_eq!(Header::read(&bytes), Err(Unreadable::Header), "a flipped bit is no later version");
        let said = bytes.len() - CHECKSUM_BYTES;
        let sum = checksum_of(&bytes[..said]);
        bytes[said..].copy_from_slice(&sum);
        assert_eq!(Header::read(&bytes), Err(Unreadable::Version(4)));
        assert_eq!(scan(&bytes, |_| true), Err(Unreadable::Version(4)));
    }

    #[test]
    fn a_segment_of_another_table_has_a_version_that_earlier_releases_leave_alone() {
        let of = |table: Table| Header { table: format!("otel.{}", table.name()), ..header() };
        for table in Table::ALL {
            let bytes = of(table).encode();
            assert_eq!(Header::read(&bytes).unwrap().0.table(), table);
            assert_eq!(bytes[8], if table == Table::Traces { 2 } else { 3 });
        }
        assert_eq!(Header { table: String::new(), ..header() }.table(), Table::Traces);
    }

    #[test]
    fn a_tail_cut_anywhere_ends_at_the_last_good_frame() {
        let whole = segment(&[b"one", b"two", b"three"]);
        let all = scan(&whole, |_| true).unwrap();
        assert_eq!((all.frames.len(), all.damage, all.sound_until), (3, Damage::None, whole.len()));
        for cut in all.frames[1].end + 1..whole.len() {
            let cut = scan(&whole[..cut], |_| true).unwrap();
            assert_eq!((cut.frames.len(), cut.damage, cut.sound_until), (2, Damage::TornTail, all.frames[1].end));
        }
    }

    #[test]
    fn frames_behind_damage_are_found() {
        let whole = segment(&[b"one", b"two", b"three", b"four"]);
        let frames = scan(&whole, |_| true).unwrap().frames;
        for at in frames[1].clone() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            let found = scan(&damaged, |_| true).unwrap();
            assert_eq!(found.frames, [frames[0].clone(), frames[2].clone(), frames[3].clone()], "byte {at}");
            assert_eq!((found.damage, found.sound_until), (Damage::Inside, frames[0].end));
        }
    }

    #[test]
    fn names_read_back_and_others_are_not_ours() {
        for state in [
            FileState::Open,
            FileState::Waiting { rows: 7 },
            FileState::Doubt { rows: 8 },
            FileState::Stored { rows: 0 },
        ] {
            let name = FileName { id: SegmentId::new(u64::MAX, 1), state };
            assert_eq!(FileName::read(&name.file()), Some(name));
        }
        for file in ["lock", "boot", "x.open", "0000000000000001-0000000000000002-x.segment", "1-2.open"] {
            assert_eq!(FileName::read(file), None, "{file}");
        }
    }

    proptest! {
        #[test]
        fn any_flipped_bit_costs_at_most_one_frame(bit in 0_usize..8, place in 0.0_f64..1.0) {
            let whole = segment(&[b"one", &[b'x'; 500], b"three"]);
            let mut damaged = whole.clone();
            let at = (place * whole.len() as f64) as usize;
            damaged[at] ^= 1 << bit;
            let (good, found) = (scan(&whole, |_| true).unwrap(), scan(&damaged, |_| true).unwrap());
            let left = if at < good.frames[0].start { 3 } else { 2 };
            prop_assert_eq!((found.frames.len(), found.header.is_none()), (left, left == 3));
            prop_assert!(found.frames.iter().all(|frame| good.frames.contains(frame)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _any = scan(&bytes, |_| true);
            let _any = scan(&[header().encode(), bytes].concat(), |_| true);
        }
    }
}
