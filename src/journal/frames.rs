//! The frames of a segment, every one of them checked: in memory, or in its file, from which they are read a piece at a time.
//!
//! ```text
//! header | frame | record | frame | record | ...        what ClickHouse gets are the frames, one after the other
//! ```

use super::disk::Readable;
use super::parts::Parts;
use crate::bounds::BLOCK_BYTES;
use crate::columns::native::frames::{FRAME_HEADER_BYTES, check_frame, shape_of};
use crate::numbers::to_u64;
use bytes::Bytes;
use std::fmt;
use std::io;
use std::sync::Arc;

/// How many times as long prose is as LZ4 has it.
const TEXT_BY_LZ4: usize = 2;

/// The frames of a segment.
#[derive(Debug, Clone)]
pub struct Frames(Source);

#[derive(Debug, Clone)]
enum Source {
    Memory(Bytes),
    File(Arc<InFile>),
}

/// Frames in a file.
struct InFile {
    file: Arc<dyn Readable>,
    /// Not empty.
    places: Vec<Place>,
    content_bytes: usize,
    /// What the frames would have as LZ4, about.
    lz4_bytes: usize,
}

/// A frame among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of it and of all frames before it: where the next one begins.
    pub end: usize,
    /// Bytes that it has once decompressed.
    pub content_bytes: usize,
}

/// Where one frame is.
struct Place {
    /// In the file.
    at: u64,
    /// Bytes of it and of all frames before it.
    end: usize,
    /// Bytes that it has once decompressed.
    content_bytes: usize,
}

impl fmt::Debug for InFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFile").field("frames", &self.places.len()).finish_non_exhaustive()
    }
}

impl Frames {
    /// Frames that were checked.
    pub(crate) fn in_memory(bytes: Bytes) -> Self {
        Self(Source::Memory(bytes))
    }

    /// Checks the frames of a file of so many bytes, of which the first one is at `begin`; `None` when not all of it is frames and
    /// their records. What is in memory at once is one frame. Blocks the thread.
    pub(super) fn checked(file: Arc<dyn Readable>, file_bytes: u64, begin: usize) -> io::Result<Option<Self>> {
        let mut parts = Parts::new(&*file, file_bytes);
        let (mut at, mut end) = (to_u64(begin), 0_usize);
        let (mut places, mut content_bytes, mut lz4_bytes) = (Vec::new(), 0_usize, 0_usize);
        while at != file_bytes {
            let Some(claimed) = parts.get(at, FRAME_HEADER_BYTES)?.and_then(shape_of) else { return Ok(None) };
            let Some(Ok(Some(shape))) = parts.get(at, claimed.frame_bytes)?.map(check_frame) else { return Ok(None) };
            end = end.saturating_add(shape.frame_bytes);
            content_bytes = content_bytes.saturating_add(shape.content_bytes);
            let is_compressed = shape.frame_bytes < shape.content_bytes;
            lz4_bytes += if is_compressed { shape.frame_bytes } else { shape.content_bytes / TEXT_BY_LZ4 };
            places.push(Place { at, end, content_bytes: shape.content_bytes });
            at = at.saturating_add(to_u64(shape.frame_bytes));
            let record_bytes = parts.record_at(at)?.map_or(0, |(_, length)| length);
            at = at.saturating_add(to_u64(record_bytes));
        }
        drop(parts);
        let is_something = !places.is_empty();
        Ok(is_something.then(|| Self(Source::File(Arc::new(InFile { file, places, content_bytes, lz4_bytes })))))
    }

    /// Bytes of all of them together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Source::Memory(frames) => frames.len(),
            Source::File(frames) => frames.bytes(),
        }
    }

    /// What they would have as LZ4, about, if some of them are not compressed.
    #[must_use]
    pub fn lz4_bytes(&self) -> usize {
        match &self.0 {
            Source::Memory(frames) => frames.len(),
            Source::File(frames) => frames.lz4_bytes,
        }
    }

    /// Whether reading them blocks the thread.
    #[must_use]
    pub fn are_in_file(&self) -> bool {
        matches!(self.0, Source::File(_))
    }

    /// At most so many of their bytes from a place on; none after the last one.
    ///
    /// # Errors
    /// If the file cannot be read, or is shorter than it was.
    pub fn read(&self, from: usize, bytes_max: usize) -> io::Result<Bytes> {
        match &self.0 {
            Source::Memory(frames) => {
                let from = from.min(frames.len());
                Ok(frames.slice(from..from.saturating_add(bytes_max).min(frames.len())))
            }
            Source::File(frames) => frames.read(from, bytes_max).map(Bytes::from),
        }
    }

    /// Where the frame ends in which the place `from` is, and how many bytes its content has, and the same of those after it. `from` is
    /// where a frame begins, if they are in memory.
    pub fn shapes(&self, from: usize) -> impl Iterator<Item = Shape> {
        let (memory, file) = match &self.0 {
            Source::Memory(frames) => (Some(frames), None),
            Source::File(frames) => (None, Some(frames.places_from(from))),
        };
        let of_places =
            file.into_iter().flatten().map(|place| Shape { end: place.end, content_bytes: place.content_bytes });
        memory.into_iter().flat_map(move |frames| shapes_in(frames, from)).chain(of_places)
    }

    /// All of them.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn all(&self) -> io::Result<Bytes> {
        self.read(0, usize::MAX)
    }

    /// Whether they would be more than one insert if they were in doubt.
    pub(super) fn have_parts(&self) -> bool {
        let (count, content_bytes) = match &self.0 {
            Source::File(frames) => (frames.places.len(), frames.content_bytes),
            Source::Memory(frames) => {
                shapes_in(frames, 0).fold((0, 0), |(count, bytes), shape| (count + 1, bytes + shape.content_bytes))
            }
        };
        count > 1 && content_bytes > BLOCK_BYTES
    }
}

/// Those of frames that were checked, from one of them on.
fn shapes_in(frames: &[u8], from: usize) -> impl Iterator<Item = Shape> {
    let mut at = from;
    std::iter::from_fn(move || {
        let shape = shape_of(frames.get(at..)?)?;
        at += shape.frame_bytes;
        Some(Shape { end: at, content_bytes: shape.content_bytes })
    })
}

impl InFile {
    fn bytes(&self) -> usize {
        self.places.last().map_or(0, |last| last.end)
    }

    /// That of the frame in which this place is, and those after it.
    fn places_from(&self, from: usize) -> &[Place] {
        let first = self.places.partition_point(|place| place.end <= from);
        let (_before, behind) = self.places.split_at(first);
        behind
    }

    fn read(&self, from: usize, bytes_max: usize) -> io::Result<Vec<u8>> {
        let until = from.saturating_add(bytes_max).min(self.bytes());
        let mut out = Vec::with_capacity(until.saturating_sub(from));
        let first = self.places.partition_point(|place| place.end <= from);
        let mut begin = first.checked_sub(1).and_then(|before| self.places.get(before)).map_or(0, |before| before.end);
        for place in self.places.iter().skip(first) {
            let left = until.saturating_sub(from + out.len());
            if left == 0 {
                break;
            }
            let skipped = from.saturating_sub(begin);
            let piece = left.min(place.end - begin - skipped);
            self.file.append_at(&mut out, piece, place.at.saturating_add(to_u64(skipped)))?;
            begin = place.end;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::native::frames::compress_pieces;
    use crate::journal::FileId;
    use crate::journal::records::Record;
    use crate::journal::testing::keys;
    use crate::numbers::saturating_usize;
    use crate::time::UnixNanos;

    struct Bytes(Vec<u8>);

    impl Readable for Bytes {
        fn id(&self) -> FileId {
            FileId { device: 0, inode: 0 }
        }

        fn read_all(&self) -> io::Result<Vec<u8>> {
            unreachable!("the file is read in pieces")
        }

        fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
            let there = self.0.get(saturating_usize(at)..).unwrap_or_default();
            let filled = there.len().min(buffer.len());
            buffer[..filled].copy_from_slice(&there[..filled]);
            Ok(filled)
        }
    }

    /// A file with a header of three bytes, and its frames alone.
    fn file() -> (Vec<u8>, Vec<u8>) {
        let (mut file, mut frames) = (b"abc".to_vec(), Vec::new());
        for number in 0..5_u64 {
            let content = vec![7; 1_000 * saturating_usize(number) + 1];
            let mut frame = Vec::new();
            compress_pieces(&content, &mut frame);
            file.extend_from_slice(&frame);
            frames.extend_from_slice(&frame);
            if number != 3 {
                Record::encode(&keys(&[number, number + 1, number + 2]), UnixNanos::new(1).unwrap(), 1, &mut file);
            }
        }
        (file, frames)
    }

    fn checked(file: Vec<u8>) -> Option<Frames> {
        let bytes = to_u64(file.len());
        Frames::checked(Arc::new(Bytes(file)), bytes, 3).unwrap()
    }

    #[test]
    fn frames_in_a_file_are_read_in_pieces_of_any_size_without_what_is_between_them() {
        let (file, want) = file();
        let frames = checked(file).unwrap();
        assert_eq!((frames.bytes(), frames.all().unwrap()), (want.len(), want.clone().into()));
        for piece in [1, 7, 100, want.len()] {
            let mut read = Vec::new();
            while read.len() < want.len() {
                let part = frames.read(read.len(), piece).unwrap();
                assert!((1..=piece).contains(&part.len()));
                read.extend_from_slice(&part);
            }
            assert!(read == want, "{piece}");
        }
        assert!(frames.read(want.len(), 10).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_not_all_frames_and_records_is_not_taken() {
        let (file, _) = file();
        for at in 3..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(checked(damaged).is_none(), "a bit at {at}");
        }
        assert!(checked(b"abc".to_vec()).is_none(), "nothing in it");
    }

    #[test]
    fn a_file_that_was_cut_after_it_was_checked_is_an_error() {
        let (file, _) = file();
        let Frames(Source::File(whole)) = checked(file.clone()).unwrap() else { panic!("it is in a file") };
        let places = whole
            .places
            .iter()
            .map(|place| Place { at: place.at, end: place.end, content_bytes: place.content_bytes })
            .collect();
        let cut = Arc::new(Bytes(file[..file.len() / 2].to_vec()));
        let frames = Frames(Source::File(Arc::new(InFile { file: cut, places, content_bytes: 0, lz4_bytes: 0 })));
        assert_eq!(frames.all().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
