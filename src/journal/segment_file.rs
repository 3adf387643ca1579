//! The file of a segment that waits for ClickHouse. It is kept open, so that its rows are sent even if somebody removes it, or the
//! folder, meanwhile.

use super::disk::{FileId, Folder, Readable};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files that are kept open at most; a longer backlog is opened by name when it is sent. Of 32 MiB each they are 4 GiB.
pub(super) const KEPT_OPEN_MAX: usize = 128;

/// How many are kept open; clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Descriptors(Arc<AtomicUsize>);

impl Descriptors {
    /// Keeps a file open, if there are not too many already.
    fn keep(&self, file: Box<dyn Readable>) -> Option<KeptOpen> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let kept = KeptOpen { file, open: self.clone() };
        (before < KEPT_OPEN_MAX).then_some(kept)
    }
}

struct KeptOpen {
    file: Box<dyn Readable>,
    open: Descriptors,
}

impl Readable for KeptOpen {
    fn id(&self) -> FileId {
        self.file.id()
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        self.file.read_all()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buffer, at)
    }

    fn append_at(&self, out: &mut Vec<u8>, bytes: usize, at: u64) -> io::Result<()> {
        self.file.append_at(out, bytes, at)
    }
}

impl Drop for KeptOpen {
    fn drop(&mut self) {
        self.open.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A segment's file.
pub(super) struct SegmentFile {
    folder: Arc<dyn Folder>,
    path: PathBuf,
    file: Option<Arc<KeptOpen>>,
}

impl SegmentFile {
    pub(super) fn new(
        folder: Arc<dyn Folder>,
        path: PathBuf,
        file: Option<Box<dyn Readable>>,
        descriptors: &Descriptors,
    ) -> Self {
        Self { folder, path, file: file.and_then(|file| descriptors.keep(file)).map(Arc::new) }
    }

    pub(super) fn folder(&self) -> &Arc<dyn Folder> {
        &self.folder
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All of it, under whatever name it is now.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        match &self.file {
            Some(kept) => kept.file.read_all(),
            None => self.folder.read(&self.path),
        }
    }

    /// It, opened to be read in parts.
    pub(super) fn open(&self) -> io::Result<Arc<dyn Readable>> {
        match &self.file {
            Some(kept) => Ok(Arc::clone(kept) as Arc<dyn Readable>),
            None => self.folder.open(&self.path).map(Arc::from),
        }
    }

    /// Where it should be.
    pub(super) fn place(&self) -> Place {
        let file = self.file.as_ref().map(|kept| kept.file.id());
        Place { folder: Arc::clone(&self.folder), path: self.path.clone(), file }
    }

    pub(super) fn rename(&mut self, to: PathBuf) -> io::Result<()> {
        self.folder.rename(&self.path, &to)?;
        self.path = to;
        Ok(())
    }
}

/// Where a file should be.
pub(super) struct Place {
    pub(super) folder: Arc<dyn Folder>,
    pub(super) path: PathBuf,
    /// Which file, when it is known.
    pub(super) file: Option<FileId>,
}

impl Place {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is known not to be there: no file is, or another. Blocks the thread.
    pub(super) fn is_left(&self) -> bool {
        match self.folder.file_at(&self.path) {
            Ok(Some(there)) => self.file.is_some_and(|file| file != there),
            Ok(None) => true,
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Readable for Nothing {
        fn id(&self) -> FileId {
            FileId { device: 0, inode: 0 }
        }

        fn read_all(&self) -> io::Result<Vec<u8>> {
            Ok(Vec::new())
        }

        fn read_at(&self, _buffer: &mut [u8], _at: u64) -> io::Result<usize> {
            Ok(0)
        }
    }

    #[test]
    fn so_many_are_kept_open_and_each_that_is_closed_makes_room() {
        let descriptors = Descriptors::default();
        let mut kept: Vec<_> = (0..KEPT_OPEN_MAX + 3).filter_map(|_| descriptors.keep(Box::new(Nothing))).collect();
        assert_eq!(kept.len(), KEPT_OPEN_MAX);
        kept.pop();
        assert!(descriptors.keep(Box::new(Nothing)).is_some());
    }
}
