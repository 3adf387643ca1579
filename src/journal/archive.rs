//! The records of segments that are gone, in files of their own: what the index of repeats learns at a start of spans that
//! ClickHouse has.
//!
//! ```text
//! {number}.accepted     records (records.rs), one after the other; the last may be cut off. Later ones have greater numbers
//! ```
//!
//! A segment's records are appended and synced before its file is removed. A file that has enough keys is followed by the next one,
//! and the oldest goes when the others have as many as the index holds.

use super::disk::{Appendable, Folder, Readable};
use super::format::{Header, Scan};
use super::parts::Parts;
use super::records::Record;
use crate::columns::native::frames::{FRAME_HEADER_BYTES, shape_of};
use crate::numbers::to_u64;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SUFFIX: &str = ".accepted";
/// The index is spread over so many files.
const FILES: usize = 4;

/// Where records go.
#[derive(Default)]
pub(super) struct Archive {
    /// Keys that are worth keeping.
    keys_max: usize,
    /// The oldest first.
    finished: VecDeque<Finished>,
    current: Option<Current>,
    last_number: u64,
}

struct Finished {
    path: PathBuf,
    keys: usize,
}

struct Current {
    folder: Arc<dyn Folder>,
    path: PathBuf,
    file: Box<dyn Appendable>,
    keys: usize,
    is_synced: bool,
}

/// The number of a file of records.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(SUFFIX).filter(|number| number.len() == 16)?;
    u64::from_str_radix(number, 16).ok()
}

/// The records that these bytes begin with.
pub(super) fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (record, length) = Record::read(rest)?;
        rest = rest.get(length..)?;
        Some(record)
    })
}

/// The records of a segment's file of so many bytes, read without its rows, and how many keys they have; `None` when the sizes of its
/// frames do not lead to its end.
pub(super) fn records_in(file: &dyn Readable, file_bytes: u64) -> io::Result<Option<(Vec<u8>, usize)>> {
    let Some((_, begin)) = Header::of_file(file)? else { return Ok(None) };
    let (mut parts, mut at) = (Parts::new(file, file_bytes), to_u64(begin));
    let (mut records, mut keys) = (Vec::new(), 0);
    while at != file_bytes {
        let Some(shape) = parts.get(at, FRAME_HEADER_BYTES)?.and_then(shape_of) else { return Ok(None) };
        at = at.saturating_add(to_u64(shape.frame_bytes));
        if let Some(bytes) = parts.record_bytes_at(at)? {
            let Some((record, length)) = Record::read(bytes) else { return Ok(None) };
            records.extend_from_slice(bytes);
            keys += record.len();
            at = at.saturating_add(to_u64(length));
        }
    }
    Ok(Some((records, keys)))
}

/// The records of a segment, and how many keys they have.
pub(super) fn records_of(bytes: &[u8], found: &Scan) -> (Vec<u8>, usize) {
    let records: Vec<_> = found.records_of(bytes).collect();
    let keys = records.iter().filter_map(|bytes| Record::read(bytes)).map(|(record, _)| record.len()).sum();
    (records.concat(), keys)
}

impl Archive {
    /// Goes on after the files that an earlier run left, the oldest first.
    pub(super) fn go_on(&mut self, keys_max: usize, earlier: Vec<(u64, PathBuf, usize)>) {
        self.keys_max = keys_max;
        self.last_number = earlier.iter().map(|(number, ..)| *number).fold(0, u64::max);
        self.finished = earlier.into_iter().map(|(_, path, keys)| Finished { path, keys }).collect();
    }

    /// Appends records; they are durable after the next [`sync`](Self::sync).
    pub(super) fn append(
        &mut self,
        folder: &Arc<dyn Folder>,
        dir: &Path,
        records: &[u8],
        keys: usize,
    ) -> io::Result<()> {
        if keys == 0 || self.keys_max == 0 {
            return Ok(());
        }
        let is_used = |current: &Current| Arc::ptr_eq(&current.folder, folder) && current.keys < self.keys_max / FILES;
        let mut current = match self.current.take_if(|current| is_used(current)) {
            Some(current) => current,
            None => self.begin(folder, dir)?,
        };
        // after an error nothing is believed of the file: the next records go to another
        current.file.append(records)?;
        current.keys += keys;
        current.is_synced = false;
        self.current = Some(current);
        Ok(())
    }

    /// Makes durable what was appended.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        if !current.is_synced {
            current.file.sync()?;
            current.is_synced = true;
        }
        self.current = Some(current);
        Ok(())
    }

    fn begin(&mut self, folder: &Arc<dyn Folder>, dir: &Path) -> io::Result<Current> {
        if let Some(mut last) = self.current.take() {
            last.file.sync()?;
            self.finished.push_back(Finished { path: last.path, keys: last.keys });
        }
        self.last_number += 1;
        let path = dir.join(format!("{:016x}{SUFFIX}", self.last_number));
        let file = folder.create(&path)?;
        folder.sync_dir(dir)?;
        let mut keys: usize = self.finished.iter().map(|finished| finished.keys).sum();
        while let Some(oldest) = self.finished.front()
            && keys - oldest.keys >= self.keys_max
        {
            keys -= oldest.keys;
            folder.remove(&oldest.path)?;
            self.finished.pop_front();
        }
        Ok(Current { folder: Arc::clone(folder), path, file, keys: 0, is_synced: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ReportKey;
    use crate::journal::testing::{Fault, Op, SimDisk, keys};
    use crate::time::UnixNanos;

    const DIR: &str = "/data/journal";

    fn bytes_of(numbers: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Record::encode(&keys(numbers), UnixNanos::new(1).unwrap(), 7, &mut bytes);
        bytes
    }

    fn append(archive: &mut Archive, folder: &Arc<dyn Folder>, numbers: &[u64]) -> io::Result<()> {
        archive.append(folder, Path::new(DIR), &bytes_of(numbers), numbers.len())
    }

    fn numbers_in(bytes: &[u8]) -> Vec<u64> {
        records(bytes).flat_map(Record::keys).map(|key: ReportKey| key.place).collect()
    }

    #[test]
    fn what_is_cut_off_costs_the_last_record_alone() {
        let (first, whole) = (bytes_of(&[1, 2]).len(), [bytes_of(&[1, 2]), bytes_of(&[3])].concat());
        assert_eq!(numbers_in(&whole), [1, 2, 3]);
        for length in first..whole.len() {
            assert_eq!(numbers_in(&whole[..length]), [1, 2], "{length}");
        }
    }

    #[test]
    fn files_go_when_later_ones_have_as_many_keys_as_the_index_holds() {
        let disk = SimDisk::default();
        let (mut archive, folder) = (Archive::default(), disk.shared());
        folder.create_dir(Path::new(DIR)).unwrap();
        archive.go_on(100, Vec::new());
        for first in (0..1_000).step_by(5) {
            append(&mut archive, &folder, &(first..first + 5).collect::<Vec<_>>()).unwrap();
            archive.sync().unwrap();
        }
        let files = disk.names_in(Path::new(DIR)).into_iter().filter(|name| number_of(name).is_some());
        let mut left: Vec<u64> =
            files.flat_map(|name| numbers_in(&disk.bytes_of(&Path::new(DIR).join(name)))).collect();
        left.sort_unstable();
        assert!((100..=150).contains(&left.len()), "{}", left.len());
        assert_eq!(left, (1_000 - u64::try_from(left.len()).unwrap()..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn after_an_error_records_go_to_another_file() {
        let disk = SimDisk::default();
        let (mut archive, folder) = (Archive::default(), disk.shared());
        folder.create_dir(Path::new(DIR)).unwrap();
        archive.go_on(1_000, Vec::new());
        append(&mut archive, &folder, &[1]).unwrap();
        archive.sync().unwrap();
        append(&mut archive, &folder, &[2]).unwrap();
        disk.fail_next(Op::Sync, Fault::Io);
        archive.sync().unwrap_err();
        append(&mut archive, &folder, &[2, 3]).unwrap();
        archive.sync().unwrap();
        let files: Vec<String> =
            disk.names_in(Path::new(DIR)).into_iter().filter(|name| number_of(name).is_some()).collect();
        assert_eq!(files, ["0000000000000001.accepted", "0000000000000002.accepted"]);
        assert_eq!(numbers_in(&disk.bytes_of(&Path::new(DIR).join(&files[1]))), [2, 3]);
    }
}
