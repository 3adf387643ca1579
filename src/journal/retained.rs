//! Segments that ClickHouse has, kept a little for repeats from senders: a sender whose answer was lost in a crash repeats soon, and
//! the next start reads from these files which spans were accepted. Before a file goes, its records go into the archive.

use super::archive::{self, Archive};
use super::disk::Folder;
use super::format;
use super::sealed::MemoryRecords;
use crate::locks::locked;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// They stay on disk this long.
const RETAINED_FOR: Duration = Duration::from_secs(120);
/// No more bytes than this.
const RETAINED_BYTES_MAX: u64 = 64 << 20;

const NOT_REMEMBERED: &str =
    "failed to keep which spans were accepted; repeats of them after a restart may be stored again";

/// The files that are retained, and the archive.
pub(super) struct Retained {
    files: Mutex<Files>,
    archive: Mutex<Archive>,
    dir: PathBuf,
}

#[derive(Default)]
struct Files {
    /// The oldest first.
    queue: VecDeque<File>,
    bytes: u64,
}

struct File {
    folder: Arc<dyn Folder>,
    path: PathBuf,
    bytes: u64,
    since: Instant,
}

impl File {
    /// Its records, and how many keys they have.
    fn records(&self) -> Option<(Vec<u8>, usize)> {
        let file = self.folder.open(&self.path).ok()?;
        if let Some(found) = archive::records_in(&*file, self.bytes).ok()? {
            return Some(found);
        }
        // it is not as it was written
        let bytes = file.read_all().ok()?;
        let found = format::scan(&bytes, |_| false).ok()?;
        Some(archive::records_of(&bytes, &found))
    }
}

impl Files {
    fn push_front(&mut self, file: File) {
        self.bytes += file.bytes;
        self.queue.push_front(file);
    }

    fn pop_front(&mut self) -> Option<File> {
        let file = self.queue.pop_front()?;
        debug_assert!(file.bytes <= self.bytes, "it was added before");
        self.bytes -= file.bytes;
        Some(file)
    }

    /// Takes the files that were kept long enough; all of them when room is short.
    fn take_old(&mut self, all: bool) -> Vec<File> {
        let mut old = Vec::new();
        while let Some(file) = self.queue.front()
            && (all || file.since.elapsed() > RETAINED_FOR || self.bytes > RETAINED_BYTES_MAX)
        {
            old.extend(self.pop_front());
        }
        old
    }
}

impl Retained {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { files: Mutex::default(), archive: Mutex::default(), dir }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        locked(&self.files)
    }

    fn archive(&self) -> MutexGuard<'_, Archive> {
        locked(&self.archive)
    }

    /// Takes over the file of a segment that is stored.
    pub(super) fn retain(&self, folder: Arc<dyn Folder>, path: PathBuf, bytes: u64) {
        let mut files = self.files();
        files.bytes += bytes;
        files.queue.push_back(File { folder, path, bytes, since: Instant::now() });
    }

    /// Bytes of the files.
    pub(super) fn bytes(&self) -> u64 {
        self.files().bytes
    }

    /// Goes on after the archive files that an earlier run left, the oldest first.
    pub(super) fn continue_archive(&self, keys_max: usize, earlier: Vec<(u64, PathBuf, usize)>) {
        self.archive().go_on(keys_max, earlier);
    }

    /// Archives the records of rows that were in memory alone. Only after they are stored: a repeat of what a crash takes is not a
    /// repeat.
    pub(super) fn archive_memory(&self, folder: &Arc<dyn Folder>, records: &MemoryRecords) {
        if let Err(error) = self.archive().append(folder, &self.dir, &records.bytes, records.keys) {
            tracing::warn!(%error, "{NOT_REMEMBERED}");
        }
    }

    /// Removes files that were retained long enough; all of them when room is short.
    pub(super) fn prune(&self, folder: &Arc<dyn Folder>, all: bool) {
        let old = self.files().take_old(all);
        if old.is_empty() {
            return;
        }
        if let Err(error) = self.archive_files(folder, &old) {
            tracing::warn!(%error, "{NOT_REMEMBERED}");
            if !all {
                let mut files = self.files();
                old.into_iter().rev().for_each(|file| files.push_front(file));
                return;
            }
        }
        for file in old {
            if let Err(error) = file.folder.remove(&file.path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, path = %file.path.display(), "failed to remove a segment that is stored");
            }
        }
    }

    /// Makes the records of these files durable.
    fn archive_files(&self, folder: &Arc<dyn Folder>, files: &[File]) -> io::Result<()> {
        let mut archive = self.archive();
        for file in files {
            // what cannot be read cannot be remembered either
            let Some((records, keys)) = file.records() else { continue };
            archive.append(folder, &self.dir, &records, keys)?;
        }
        archive.sync()
    }
}
