//! Which rows a finished segment has, read without the rows: what a start needs of what waits.
//!
//! ```text
//! frame: its sizes | its data, passed over | record: read and checked | frame: its sizes | ...
//! ```
//!
//! A record that checks, and lies where the sizes of its frame lead, tells of the frame's rows. A frame without one is read, and
//! tells by its rows. Whether the frames are whole is not asked here: that is checked when the segment is sent.

use super::disk::Readable;
use super::parts::Parts;
use super::records::Record;
use crate::columns::native::frames::{FRAME_HEADER_BYTES, check_frame, shape_of};
use crate::numbers::to_u64;
use std::io;

/// What tells of the rows of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told<'b> {
    /// The record after it.
    Record(Record<'b>),
    /// The frame itself, which is whole.
    Frame(&'b [u8]),
}

/// How far a walk came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walked {
    /// To the end of the file.
    Whole,
    /// Until what it told was enough.
    Enough,
    /// What begins here is not what was written.
    DamagedAt(u64),
}

/// Walks over the frames of a file, from the first one at `begin`, and tells `each` of their rows until that returns false. Records of
/// another `secret` tell nothing.
pub(super) fn walk(
    (file, file_bytes): (&dyn Readable, u64),
    begin: usize,
    secret: u64,
    mut each: impl FnMut(Told<'_>) -> bool,
) -> io::Result<Walked> {
    let mut parts = Parts::new(file, file_bytes);
    let mut at = to_u64(begin);
    while at != file_bytes {
        let Some(shape) = parts.get(at, FRAME_HEADER_BYTES)?.and_then(shape_of) else {
            return Ok(Walked::DamagedAt(at));
        };
        let end = at.saturating_add(to_u64(shape.frame_bytes));
        let record = parts.record_at(end)?;
        let next = end.saturating_add(to_u64(record.map_or(0, |(_, length)| length)));
        let goes_on = if let Some((record, _)) = record.filter(|(record, _)| record.secret == secret) {
            each(Told::Record(record))
        } else {
            match parts.get(at, shape.frame_bytes)? {
                Some(frame) if matches!(check_frame(frame), Ok(Some(_))) => each(Told::Frame(frame)),
                _ => return Ok(Walked::DamagedAt(at)),
            }
        };
        if !goes_on {
            return Ok(Walked::Enough);
        }
        at = next;
    }
    Ok(Walked::Whole)
}

#[cfg(test)]
mod tests {
    use super::super::parts::PART_BYTES;
    use super::*;
    use crate::columns::native::frames::{Content, compress_frame};
    use crate::journal::FileId;
    use crate::journal::testing::{Chance, keys};
    use crate::time::UnixNanos;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A file in memory that counts what is read of it.
    #[derive(Default)]
    struct Counted {
        bytes: Vec<u8>,
        read: AtomicUsize,
    }

    impl Readable for Counted {
        fn id(&self) -> FileId {
            FileId { device: 0, inode: 0 }
        }

        fn read_all(&self) -> io::Result<Vec<u8>> {
            Ok(self.bytes.clone())
        }

        fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
            let there = self.bytes.get(usize::try_from(at).unwrap()..).unwrap_or_default();
            let filled = there.len().min(buffer.len());
            buffer[..filled].copy_from_slice(&there[..filled]);
            self.read.fetch_add(filled, Ordering::Relaxed);
            Ok(filled)
        }
    }

    /// Adds a frame of so many bytes that do not compress.
    fn add_frame(bytes: usize, file: &mut Vec<u8>) {
        let mut chance = Chance(to_u64(file.len()));
        let content: Vec<u8> = (0..bytes).map(|_| u8::try_from(chance.below(256)).unwrap()).collect();
        compress_frame(Content::new(&content).unwrap(), file);
    }

    fn add_record(numbers: &[u64], secret: u64, file: &mut Vec<u8>) {
        Record::encode(&keys(numbers), UnixNanos::new(1).unwrap(), secret, file);
    }

    /// What a walk tells: the numbers of a record's keys, or the length of a frame.
    fn told(file: &Counted) -> (Vec<Result<Vec<u64>, usize>>, Walked) {
        let mut told = Vec::new();
        let walked = walk((file, to_u64(file.bytes.len())), 0, 7, |this| {
            told.push(match this {
                Told::Record(record) => Ok(record.keys().iter().map(|key| key.place).collect()),
                Told::Frame(frame) => Err(frame.len()),
            });
            true
        });
        (told, walked.unwrap())
    }

    #[test]
    fn of_large_frames_the_records_alone_are_read() {
        let mut file = Counted::default();
        for number in 1..=6 {
            add_frame(1 << 20, &mut file.bytes);
            add_record(&[number, number + 10], 7, &mut file.bytes);
        }
        let (told, walked) = told(&file);
        assert_eq!(walked, Walked::Whole);
        assert_eq!(told, (1..=6).map(|number| Ok(vec![number, number + 10])).collect::<Vec<_>>());
        let read = file.read.into_inner();
        assert!(read <= 7 * PART_BYTES, "{read} of {} bytes are read", file.bytes.len());
    }

    #[test]
    fn a_frame_without_a_record_of_this_secret_tells_by_itself() {
        let mut file = Counted::default();
        add_frame(100, &mut file.bytes);
        let first = file.bytes.len();
        add_frame(200, &mut file.bytes);
        let second = file.bytes.len() - first;
        add_record(&[5], 8, &mut file.bytes);
        add_frame(300, &mut file.bytes);
        add_record(&[6], 7, &mut file.bytes);
        assert_eq!(told(&file), (vec![Err(first), Err(second), Ok(vec![6])], Walked::Whole));
        assert_eq!(told(&Counted::default()), (vec![], Walked::Whole));
    }

    #[test]
    fn what_was_not_written_is_never_told_and_damage_is_found_where_it_begins() {
        let (mut whole, mut begins) = (Vec::new(), Vec::new());
        for number in 1..=3 {
            begins.push(whole.len());
            add_frame(40, &mut whole);
            add_record(&[number], 7, &mut whole);
        }
        let frame_bytes = shape_of(&whole).unwrap().frame_bytes;
        for at in 0..whole.len() {
            let mut file = Counted { bytes: whole.clone(), ..Counted::default() };
            file.bytes[at] ^= 1;
            let (told, walked) = told(&file);
            let number = begins.iter().filter(|begin| **begin <= at).count();
            let within = at - begins[number - 1];
            assert!(told.iter().flatten().flatten().copied().eq((1..=3).filter(|told| match walked {
                Walked::Whole => true,
                _ => *told < u64::try_from(number).unwrap(),
            })));
            let is_passed_over = within < 16 || (25..frame_bytes).contains(&within) || (21..25).contains(&within);
            match walked {
                Walked::Whole => assert!(is_passed_over, "byte {at}"),
                Walked::DamagedAt(from) => {
                    let (from, begin) = (usize::try_from(from).unwrap(), begins[number - 1]);
                    assert!(from == begin || from == begin + frame_bytes, "byte {at}: damage at {from}");
                }
                Walked::Enough => panic!("it goes on"),
            }
        }
        for cut in 1..whole.len() {
            let file = Counted { bytes: whole[..cut].to_vec(), ..Counted::default() };
            let (told, walked) = told(&file);
            let number = begins.iter().filter(|begin| **begin < cut).count();
            let (within, is_end) = (cut - begins[number - 1], begins.contains(&cut));
            assert_eq!(told.iter().flatten().count(), number - usize::from(!is_end), "{cut}");
            assert_eq!(walked == Walked::Whole, is_end || within == frame_bytes, "{cut}");
        }
    }
}
