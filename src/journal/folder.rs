//! The journal's folder on the machine: opened once, locked, and from then on reached by its descriptor alone.
//!
//! ```text
//! path of the folder --stat--> is it the one that was opened?          asked before anything is acknowledged
//! descriptor --openat, renameat--> its files                           links are not followed, pipes do not block
//! lock         the folder itself, and the file `lock` in it            so that the journal stays locked if the file is removed
//! ```

use super::disk::{
    Appendable, DIR_MODE, Disk, Entry, FILE_MODE, FileId, Folder, MachineDisk, OpenFile, Overwritable, Readable,
};
use super::error::OpenError;
use super::format::FileName;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that is locked, beside the folder itself.
pub(super) const LOCK_FILE: &str = "lock";
/// What others may not do with what is in it.
const OF_OTHERS: u32 = 0o077;
/// Attempts to lock the file: another process may put a new one in the place of the one that was just opened.
const LOCK_TRIES: usize = 10;

/// The folder, for as long as this lives its owner's alone.
#[derive(Debug)]
pub struct MachineFolder {
    path: PathBuf,
    dir: OwnedFd,
    id: FileId,
    _lock: OwnedFd,
}

impl MachineFolder {
    /// Opens it, made when there is none, and keeps others away from it. What in it others may read is its owner's alone from
    /// then on.
    ///
    /// # Errors
    /// If another process has it, or on an I/O error.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source: io::Error| OpenError::Io { dir: path.to_owned(), source };
        MachineDisk.create_dir(path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        // another error is that of a file system that locks files alone
        if let Err(Errno::WOULDBLOCK) = rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            return Err(OpenError::InUse(path.to_owned()));
        }
        let lock = lock_file(&dir).map_err(|error| match error {
            Errno::WOULDBLOCK => OpenError::InUse(path.to_owned()),
            error => failed(error.into()),
        })?;
        let id = rustix::fs::fstat(&dir).map(|about| id_of(&about)).map_err(|error| failed(error.into()))?;
        let folder = Self { path: path.to_owned(), dir, id, _lock: lock };
        if let Err(error) = folder.keep_others_out() {
            tracing::warn!(%error, folder = %path.display(), "others may be able to read the journal");
        }
        Ok(folder)
    }

    /// An earlier Millrace, or a person, may have made it readable.
    fn keep_others_out(&self) -> io::Result<()> {
        let mode = rustix::fs::fstat(&self.dir)?.st_mode;
        if mode & OF_OTHERS != 0 {
            rustix::fs::fchmod(&self.dir, Mode::from_raw_mode(DIR_MODE))?;
            tracing::warn!(folder = %self.path.display(), "others could read the journal; now its owner alone can");
        }
        for entry in self.entries(self.dir.as_fd())? {
            let (name, about) = entry?;
            let is_file = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile;
            if is_file && about.st_mode & OF_OTHERS != 0 {
                rustix::fs::chmodat(&self.dir, &*name, Mode::from_raw_mode(FILE_MODE), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// What is in it, but for itself and the folder above.
    fn entries<'f>(
        &self,
        dir: BorrowedFd<'f>,
    ) -> io::Result<impl Iterator<Item = io::Result<(std::ffi::OsString, Stat)>> + use<'f>> {
        use std::os::unix::ffi::OsStrExt as _;
        let names = Dir::read_from(dir)?;
        Ok(names.filter_map(move |entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                return None;
            }
            match rustix::fs::statat(dir, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(about) => Some(Ok((name, about))),
                // it went meanwhile
                Err(Errno::NOENT) => None,
                Err(error) => Some(Err(error.into())),
            }
        }))
    }

    /// Where a path is: a name in the folder, or in a folder in it.
    fn place<'p>(&self, path: &'p Path) -> io::Result<Place<'_, 'p>> {
        let outside = || io::Error::new(ErrorKind::InvalidInput, "the path is not in the folder");
        let inside = path.strip_prefix(&self.path).map_err(|_| outside())?;
        let mut parts = inside.components().map(|part| part.as_os_str());
        match (parts.next(), parts.next(), parts.next()) {
            (None, _, _) => Ok(Place { within: None, top: self.dir.as_fd(), name: OsStr::new(".") }),
            (Some(name), None, _) => Ok(Place { within: None, top: self.dir.as_fd(), name }),
            (Some(folder), Some(name), None) => {
                Ok(Place { within: Some(open_folder(&self.dir, folder)?), top: self.dir.as_fd(), name })
            }
            _ => Err(outside()),
        }
    }

    fn open_at(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let place = self.place(path)?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(place.dir(), place.name, flags, Mode::from_raw_mode(FILE_MODE))?;
        let about = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is not a regular file"));
        }
        Ok(File::from(file))
    }
}

/// A name in a folder.
struct Place<'f, 'p> {
    /// The folder in the folder.
    within: Option<OwnedFd>,
    top: BorrowedFd<'f>,
    name: &'p OsStr,
}

impl Place<'_, '_> {
    fn dir(&self) -> BorrowedFd<'_> {
        self.within.as_ref().map_or(self.top, |within| within.as_fd())
    }
}

fn open_folder(dir: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// The file that earlier releases lock, locked.
fn lock_file(dir: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for _ in 0..LOCK_TRIES {
        let file = rustix::fs::openat(dir, LOCK_FILE, flags, Mode::from_raw_mode(FILE_MODE))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let in_place = rustix::fs::statat(dir, LOCK_FILE, AtFlags::SYMLINK_NOFOLLOW).map(|about| id_of(&about));
        if in_place == Ok(id_of(&rustix::fs::fstat(&file)?)) {
            return Ok(file);
        }
    }
    Err(Errno::WOULDBLOCK)
}

fn id_of(about: &Stat) -> FileId {
    FileId { device: about.st_dev, inode: about.st_ino }
}

impl Folder for MachineFolder {
    fn id(&self) -> FileId {
        self.id
    }

    fn is_in_place(&self) -> bool {
        rustix::fs::stat(&self.path).is_ok_and(|about| id_of(&about) == self.id)
    }

    fn file_at(&self, path: &Path) -> io::Result<Option<FileId>> {
        let place = self.place(path)?;
        match rustix::fs::statat(place.dir(), place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => Ok(Some(id_of(&about))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn Overwritable>> {
        Ok(Box::new(OpenFile::new(self.open_at(path, OFlags::WRONLY)?)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Readable>> {
        Ok(Box::new(OpenFile::new(self.open_at(path, OFlags::RDONLY)?)?))
    }

    fn at_its_place(&self) -> Result<Arc<dyn Folder>, OpenError> {
        // looked at before it is locked: somebody may be about to use it
        let mut above = self.path.ancestors().filter(|folder| !folder.as_os_str().is_empty());
        let there = above.find_map(|folder| rustix::fs::stat(folder).ok());
        if there.is_some_and(|about| about.st_dev != self.id.device) {
            return Err(OpenError::Elsewhere(self.path.clone()));
        }
        let names = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        if names.into_iter().any(|entry| entry.file_name().to_str().and_then(FileName::read).is_some()) {
            return Err(OpenError::Occupied(self.path.clone()));
        }
        Ok(Arc::new(Self::open(&self.path)?))
    }
}

impl Disk for MachineFolder {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let place = self.place(path)?;
        match rustix::fs::mkdirat(place.dir(), place.name, Mode::from_raw_mode(DIR_MODE)) {
            Ok(()) => Ok(rustix::fs::fsync(place.dir())?),
            Err(Errno::EXIST) if place.name == "." => Ok(()),
            // no link to somewhere else
            Err(Errno::EXIST) => Ok(open_folder(&self.dir, place.name).map(drop)?),
            Err(error) => Err(error.into()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Appendable>> {
        let file = self.open_at(path, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL)?;
        Ok(Box::new(OpenFile::new(file)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.open(path)?.read_all()
    }

    fn read_front(&self, path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
        let mut front = Vec::new();
        self.open_at(path, OFlags::RDONLY)?.take(bytes).read_to_end(&mut front)?;
        Ok(front)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let place = self.place(dir)?;
        let within = if place.name == "." { None } else { Some(open_folder(&self.dir, place.name)?) };
        let dir = within.as_ref().map_or(self.dir.as_fd(), |within| within.as_fd());
        let entry = |entry: io::Result<(std::ffi::OsString, Stat)>| {
            let (name, about) = entry?;
            let is_file = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile;
            let bytes = about.st_size.cast_unsigned();
            Ok(Entry { name: name.to_string_lossy().into_owned(), bytes, is_file })
        };
        self.entries(dir)?.map(entry).collect()
    }

    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = self.open_at(path, OFlags::WRONLY)?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        Ok(rustix::fs::renameat(from.dir(), from.name, to.dir(), to.name)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let place = self.place(path)?;
        Ok(rustix::fs::unlinkat(place.dir(), place.name, AtFlags::empty())?)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let place = self.place(dir)?;
        if place.name == "." {
            return Ok(rustix::fs::fsync(&self.dir)?);
        }
        Ok(rustix::fs::fsync(open_folder(&self.dir, place.name)?)?)
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let about = rustix::fs::fstatvfs(&self.dir)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }
}
