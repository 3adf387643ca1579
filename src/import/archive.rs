//! Zip archives: each file in one is read as a file of its own, straight out of the archive.
//!
//! ```text
//! names        tell what a file holds, and are shown; none is ever opened or made
//! the list     has at most 4 MiB; the sizes in it may add up to RATIO_MAX times the archive (`bounded`)
//! each file    may be as long as the list says
//! left out     what has no known ending, no usable name, or is a link: counted and named (`left_out`)
//! ```

use super::bounded::{bound, unpacked_max};
use super::left_out::{LeftOut, Why};
use super::names::{self, Unusable};
use bytes::Bytes;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use zip::ZipArchive;
use zip::result::ZipError;

/// The list of files in an archive may be so long: some ten thousand of them.
const LIST_BYTES_MAX: u64 = 4 << 20;
/// Bytes that are unpacked at once, and how many such pieces wait for their reader.
const PIECE_BYTES: usize = 64 << 10;
const PIECES_MAX: usize = 4;

/// A file in an archive.
#[derive(Clone)]
pub(super) struct Member {
    archive: ZipArchive<Reading>,
    index: usize,
    /// Its bytes, packed and unpacked, as the archive's list has them.
    pub(super) packed: u64,
    pub(super) size: u64,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("index", &self.index).field("size", &self.size).finish_non_exhaustive()
    }
}

/// The archive's file. Each clone has a position of its own.
#[derive(Debug, Clone)]
struct Reading {
    file: Arc<File>,
    length: u64,
    at: u64,
    /// Bytes that may be read still.
    left: Arc<AtomicU64>,
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        let count = crate::numbers::to_u64(read);
        let less = |left: u64| left.checked_sub(count);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            let why = format!("its list of files is longer than {} MiB", LIST_BYTES_MAX >> 20);
            return Err(io::Error::other(why));
        }
        self.at = self.at.saturating_add(count);
        Ok(read)
    }
}

impl Seek for Reading {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// Whether a file begins as an archive does.
pub(super) fn is_archive(path: &Path) -> bool {
    let mut magic = [0; 4];
    let is_file = path != Path::new("-");
    is_file && File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok()) && magic == *b"PK\x03\x04"
}

/// The files in an archive that may hold something, of which `is_known` judges by the name; `left_out` is told of the others.
///
/// # Errors
/// If it cannot be read, is larger than it may be, or has none.
pub(super) fn members(
    path: &Path,
    is_known: impl Fn(&Path) -> bool,
    left_out: &mut LeftOut,
) -> Result<Vec<(PathBuf, Member)>, String> {
    let wrong = |error: ZipError| format!("it cannot be read as a zip archive: {error}");
    let failed = |error: io::Error| error.to_string();
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let left = Arc::new(AtomicU64::new(LIST_BYTES_MAX));
    let reading = Reading { file: Arc::new(file), length, at: 0, left: Arc::clone(&left) };
    let mut archive = ZipArchive::new(reading).map_err(wrong)?;
    left.store(u64::MAX, Ordering::Relaxed);
    let (mut found, mut together) = (Vec::new(), 0_u64);
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(wrong)?;
        if entry.is_dir() {
            continue;
        }
        let given = entry.name().map_err(wrong)?;
        let name = match usable(&given, entry.is_file(), &is_known) {
            Ok(name) => name,
            Err(why) => {
                left_out.add(path, why, &given);
                continue;
            }
        };
        let (packed, size) = (entry.compressed_size(), entry.size());
        drop(entry);
        together = together.saturating_add(size);
        found.push((name, Member { archive: archive.clone(), index, packed, size }));
    }
    if together > unpacked_max(length) {
        return Err(format!("it would unpack to {together} bytes, more than {}", bound(length)));
    }
    if found.is_empty() {
        let why = "there is no file in it that may be read; files in an archive are known by the ends of their names";
        return Err(why.to_owned());
    }
    Ok(found)
}

/// The name of a file that may hold something, or why it is left out.
fn usable(name: &str, is_file: bool, is_known: impl Fn(&Path) -> bool) -> Result<PathBuf, Why> {
    let name = names::safe(name).map_err(|why| match why {
        Unusable::Empty => Why::Nameless,
        Unusable::TooManyParts => Why::Parts,
    })?;
    match () {
        () if name.starts_with("__MACOSX") => Err(Why::Macos),
        () if !is_file => Err(Why::Link),
        () if !is_known(&name) => Err(Why::Ending),
        () => Ok(name),
    }
}

impl Member {
    /// Unpacks it, as it is read.
    pub(super) fn read(&self) -> mpsc::Receiver<io::Result<Bytes>> {
        let (pieces, unpacked) = mpsc::channel(PIECES_MAX);
        let mut member = self.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = member.unpack(&pieces) {
                let _reader_gone = pieces.blocking_send(Err(error));
            }
        });
        unpacked
    }

    fn unpack(&mut self, pieces: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
        let size = self.size;
        let entry = self.archive.by_index(self.index).map_err(io::Error::other)?;
        let mut left = entry.take(size.saturating_add(1));
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            (&mut left).take(crate::numbers::to_u64(PIECE_BYTES)).read_to_end(&mut piece)?;
            if left.limit() == 0 {
                return Err(io::Error::other("it is longer than its archive says"));
            }
            if piece.is_empty() || pieces.blocking_send(Ok(Bytes::from(piece))).is_err() {
                return Ok(());
            }
        }
    }
}
