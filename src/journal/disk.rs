//! What the journal asks of a file system: the seam where tests put in disks that fail.

use super::error::OpenError;
use crate::numbers::to_u64;
use rustix::buffer::spare_capacity;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

/// Prompts are in these files: they are their owner's alone.
pub(super) const FILE_MODE: u32 = 0o600;
pub(super) const DIR_MODE: u32 = 0o700;

/// A folder's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// A regular file, and no link, folder, pipe or socket.
    pub is_file: bool,
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// A file system.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Creates the folder and its parents durably; succeeds if present.
    ///
    /// # Errors
    /// Those of the file system, as everywhere below.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a file that is not there yet.
    ///
    /// # Errors
    /// As above.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Appendable>>;
    /// The whole of a file.
    ///
    /// # Errors
    /// As above.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The first bytes of a file, or all if it has fewer.
    ///
    /// # Errors
    /// As above.
    fn read_front(&self, path: &Path, bytes: u64) -> io::Result<Vec<u8>>;
    /// What a folder has, in any order.
    ///
    /// # Errors
    /// As above.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Cuts a file to `bytes` and makes that durable.
    ///
    /// # Errors
    /// As above.
    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()>;
    /// Renames a file.
    ///
    /// # Errors
    /// As above.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As above.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// As above.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that may still be written below a folder.
    ///
    /// # Errors
    /// As above.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// A folder that stays the one that was opened, whatever becomes of its name: all paths are below the one that it was opened by.
pub trait Folder: Disk {
    /// Which folder it is.
    fn id(&self) -> FileId;
    /// Whether its path still leads to it.
    fn is_in_place(&self) -> bool;
    /// Which file a path leads to, links not followed; nothing when there is none.
    ///
    /// # Errors
    /// Those of the file system, as everywhere below.
    fn file_at(&self, path: &Path) -> io::Result<Option<FileId>>;
    /// Opens a file, to be read later even if its name is gone by then.
    ///
    /// # Errors
    /// As above.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Readable>>;
    /// Opens a file to write over parts of it.
    ///
    /// # Errors
    /// As above.
    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn Overwritable>>;
    /// The folder that its path leads to now, made when there is none, and locked.
    ///
    /// # Errors
    /// When that cannot be used.
    fn at_its_place(&self) -> Result<Arc<dyn Folder>, OpenError>;
}

/// A file that is open.
pub trait Readable: Send + Sync {
    /// Which file it is.
    fn id(&self) -> FileId;
    /// All of it.
    ///
    /// # Errors
    /// Those of the file system.
    fn read_all(&self) -> io::Result<Vec<u8>>;
    /// Fills the buffer from that place on; returns how much of it, which is less than all only at the end of the file.
    ///
    /// # Errors
    /// Those of the file system.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// Appends so many bytes from that place on to `out`.
    ///
    /// # Errors
    /// Those of the file system, and [`io::ErrorKind::UnexpectedEof`] if the file has fewer.
    fn append_at(&self, out: &mut Vec<u8>, bytes: usize, at: u64) -> io::Result<()> {
        append_over_zeros(self, out, bytes, at)
    }
}

fn append_over_zeros<R: Readable + ?Sized>(file: &R, out: &mut Vec<u8>, bytes: usize, at: u64) -> io::Result<()> {
    let begin = out.len();
    out.resize(begin.saturating_add(bytes), 0);
    let (_before, buffer) = out.split_at_mut(begin);
    if file.read_at(buffer, at)? < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// A file parts of which are written over. They need not be durable.
pub trait Overwritable: Send {
    /// Writes these bytes at that place.
    ///
    /// # Errors
    /// Those of the file system.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
}

/// A file that grows at its end.
pub trait Appendable: Readable {
    /// Appends all of it. After an error any part of it may be there.
    ///
    /// # Errors
    /// Those of the file system, as below.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was appended durable.
    ///
    /// # Errors
    /// As above; nothing may be believed of the file afterwards.
    fn sync(&mut self) -> io::Result<()>;
    /// Takes back everything after `bytes`.
    ///
    /// # Errors
    /// As above.
    fn cut_back(&mut self, bytes: u64) -> io::Result<()>;
}

/// Writes a small file that is there whole or not at all.
///
/// # Errors
/// Those of the file system.
pub(super) fn replace(disk: &dyn Disk, dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let unfinished = dir.join(format!("{name}.unfinished"));
    match disk.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = disk.create(&unfinished)?;
    file.append(content)?;
    file.sync()?;
    disk.rename(&unfinished, &dir.join(name))?;
    disk.sync_dir(dir)
}

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineDisk;

impl Disk for MachineDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let new = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).count();
        fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(path)?;
        // each new name is in the folder above
        let here = Path::new(".");
        let above = path.ancestors().skip(1).take(new).map(|dir| if dir.as_os_str().is_empty() { here } else { dir });
        above.into_iter().try_for_each(|dir| self.sync_dir(dir))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Appendable>> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(FILE_MODE).open(path)?;
        Ok(Box::new(OpenFile::new(file)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn read_front(&self, path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
        let mut front = Vec::new();
        File::open(path)?.take(bytes).read_to_end(&mut front)?;
        Ok(front)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let about = entry.metadata()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, bytes: about.len(), is_file: about.is_file() });
        }
        Ok(entries)
    }

    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let about = rustix::fs::statvfs(dir)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }
}

impl Readable for OpenFile {
    fn id(&self) -> FileId {
        self.id
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.file.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at.saturating_add(to_u64(filled))) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Into the room of `out` if it has just so much, which is not filled with zeros first.
    fn append_at(&self, out: &mut Vec<u8>, bytes: usize, at: u64) -> io::Result<()> {
        let (begin, end) = (out.len(), out.len().saturating_add(bytes));
        if out.capacity() != end {
            return append_over_zeros(self, out, bytes, at);
        }
        while out.len() < end {
            let from = at.saturating_add(to_u64(out.len() - begin));
            let read = rustix::io::retry_on_intr(|| rustix::io::pread(&self.file, spare_capacity(out), from))?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

impl Overwritable for OpenFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }
}

impl Appendable for OpenFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut_back(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}

/// A file of the machine.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    id: FileId,
}

impl OpenFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let about = file.metadata()?;
        Ok(Self { file, id: FileId { device: about.dev(), inode: about.ino() } })
    }
}
