//! A disk in memory that fails as disks do.
//!
//! ```text
//! a file    durable: what a power cut leaves | written since: may be there, torn in blocks, or not
//! a name    made, changed or removed since its folder was synced: may have happened or not, in order for each file
//! kill      the process is gone, the machine's memory is not: everything written is there
//! ```
//!
//! A sync that fails loses what it should have written for good, and the next one does not say so (as on Linux).

use super::chance::Chance;
use super::content::Content;
use crate::journal::{Appendable, Disk, Entry, FileId, Folder, OpenError, Overwritable, Readable};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// Raw error of a device that fails. Source: errno(3), `EIO`.
const EIO: i32 = 5;

/// What may be asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    CreateDir,
    Create,
    Read,
    List,
    Cut,
    Rename,
    Remove,
    SyncDir,
    Append,
    Sync,
    CutBack,
}

impl Op {
    pub(crate) const ALL: [Self; 11] = [
        Self::CreateDir,
        Self::Create,
        Self::Read,
        Self::List,
        Self::Cut,
        Self::Rename,
        Self::Remove,
        Self::SyncDir,
        Self::Append,
        Self::Sync,
        Self::CutBack,
    ];
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The device: EIO.
    Io,
    /// No room: ENOSPC.
    NoSpace,
    /// An append stops at a part of it, in sixteenths, and there is no room for more.
    Short(u8),
    /// The same, and the device fails.
    ShortIo(u8),
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Io | Self::ShortIo(_) => io::Error::from_raw_os_error(EIO),
            Self::NoSpace | Self::Short(_) => ErrorKind::StorageFull.into(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Naming {
    Create(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

type Inode = usize;
type Hook = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct DiskState {
    files: Vec<Content>,
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, Inode>,
    durable_names: BTreeMap<PathBuf, Inode>,
    /// Not durable yet, oldest first.
    pending: Vec<(Inode, Naming)>,
    free: Option<u64>,
    armed: Vec<(Op, Fault)>,
    /// The process ends at the call of that number, an append after so many sixteenths: what comes then does nothing.
    dies_at: Option<(usize, u8)>,
    /// The call of that number fails.
    armed_call: Option<(usize, Fault)>,
    calls: Vec<Op>,
    struck: Vec<(Op, Fault)>,
    before_sync: Option<Hook>,
    /// Counts up at each start, so that what an ended process still holds does nothing.
    process: usize,
    /// Counts up whenever the folder is removed: who opened it before has one without names.
    folder: u64,
    /// The folder is elsewhere, and another in its place.
    is_moved: bool,
}

/// The disk, and the folder as it was when this was made; clones share them.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<DiskState>>, u64);

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.0.lock().unwrap()
    }

    /// For a journal: the folder as it is now.
    pub(crate) fn shared(&self) -> Arc<dyn Folder> {
        Arc::new(self.as_it_is())
    }

    fn as_it_is(&self) -> Self {
        let folder = self.state().folder;
        Self(Arc::clone(&self.0), folder)
    }

    /// Somebody removes everything.
    pub(crate) fn remove_folder(&self) {
        let mut state = self.state();
        state.names.clear();
        state.durable_names.clear();
        state.pending.clear();
        state.dirs.clear();
        state.folder += 1;
    }

    /// Somebody renames the folder and puts another in its place, or takes that back.
    pub(crate) fn move_folder(&self, is_moved: bool) {
        self.state().is_moved = is_moved;
    }

    /// Somebody removes a file.
    pub(crate) fn take_away(&self, path: &Path) {
        let mut state = self.state();
        let id = state.names.remove(path).unwrap();
        state.durable_names.retain(|_, other| *other != id);
        state.pending.retain(|(other, _)| *other != id);
    }

    /// The next call of this kind fails.
    pub(crate) fn fail_next(&self, op: Op, fault: Fault) {
        self.state().armed.push((op, fault));
    }

    /// Should a call of this kind be about to fail, it does not.
    pub(crate) fn disarm(&self, op: Op) {
        self.state().armed.retain(|(armed, _)| *armed != op);
    }

    /// The call that comes after `calls` others fails.
    pub(crate) fn fail_call(&self, calls: usize, fault: Fault) {
        let mut state = self.state();
        state.armed_call = Some((state.calls.len() + calls, fault));
    }

    /// The process ends after so many calls, an append after so many sixteenths of it: nothing that it asks then happens.
    pub(crate) fn die_after(&self, calls: usize, sixteenths: u8) {
        let mut state = self.state();
        state.dies_at = Some((state.calls.len() + calls, sixteenths));
    }

    /// Whether the process has ended, without knowing it.
    pub(crate) fn is_dead(&self) -> bool {
        let state = self.state();
        state.dies_at.is_some_and(|(call, _)| call < state.calls.len())
    }

    /// No fault waits to happen.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.armed.clear();
        (state.armed_call, state.free, state.dies_at) = (None, None, None);
    }

    /// What is said to be free; `None` = plenty.
    pub(crate) fn set_free(&self, bytes: Option<u64>) {
        self.state().free = bytes;
    }

    /// Is called before each sync of a file, on its thread.
    pub(crate) fn before_sync(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.state().before_sync = Some(Arc::new(hook));
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Op> {
        self.state().calls.clone()
    }

    /// The faults that happened.
    pub(crate) fn struck(&self) -> Vec<(Op, Fault)> {
        self.state().struck.clone()
    }

    /// The names in a folder.
    pub(crate) fn names_in(&self, dir: &Path) -> Vec<String> {
        let state = self.state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    /// A file's bytes, and that they are durable.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.files.len();
        state.files.push(Content { durable: bytes.to_vec(), now: bytes.to_vec(), ..Content::default() });
        state.names.insert(path.to_owned(), id);
        state.durable_names.insert(path.to_owned(), id);
        state.dirs.extend(path.ancestors().skip(1).map(Path::to_owned));
    }

    /// A file's bytes.
    pub(crate) fn bytes_of(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[path]].now.clone()
    }

    /// The process is gone.
    pub(crate) fn kill(&self) {
        let mut state = self.state();
        state.process += 1;
        state.dies_at = None;
    }

    /// The power is gone: of what was not synced, chance decides.
    pub(crate) fn cut_power(&self, chance: &mut Chance) {
        self.kill();
        let mut state = self.state();
        let pending = std::mem::take(&mut state.pending);
        let mut left: BTreeMap<Inode, usize> = BTreeMap::new();
        for (id, _) in &pending {
            *left.entry(*id).or_default() += 1;
        }
        // of each file's changes the first few
        left.values_mut().for_each(|count| *count = chance.below(*count + 1));
        for (id, naming) in pending {
            let happened = left.get_mut(&id).unwrap();
            if *happened > 0 {
                *happened -= 1;
                apply(&mut state.durable_names, id, &naming);
            }
        }
        state.names = state.durable_names.clone();
        state.files.iter_mut().for_each(|file| file.lose(chance));
    }

    /// Counts the call, and fails when it is its turn to.
    fn called(&self, op: Op) -> Result<MutexGuard<'_, DiskState>, (MutexGuard<'_, DiskState>, Fault)> {
        let mut state = self.state();
        let number = state.calls.len();
        state.calls.push(op);
        // not modelled: an fsync that fails, and `kill -9` before the very next call, which takes back what it lost
        let takes_back = op == Op::CutBack && matches!(state.struck.last(), Some((Op::Sync, _)));
        if let Some((call, _)) = state.dies_at.as_mut().filter(|(call, _)| takes_back && *call == number) {
            *call += 1;
        }
        match state.dies_at {
            Some((call, sixteenths)) if call == number => return Err((state, Fault::ShortIo(sixteenths))),
            Some((call, _)) if call < number => return Err((state, Fault::Io)),
            _ => {}
        }
        let by_kind = state.armed.iter().position(|(armed, _)| *armed == op).map(|at| state.armed.swap_remove(at).1);
        let by_number = state.armed_call.take_if(|(call, _)| *call == number).map(|(_, fault)| fault);
        match by_kind.or(by_number) {
            Some(fault) => {
                state.struck.push((op, fault));
                Err((state, fault))
            }
            None => Ok(state),
        }
    }

    fn simply(&self, op: Op) -> io::Result<MutexGuard<'_, DiskState>> {
        let state = self.called(op).map_err(|(_, fault)| fault.error())?;
        if state.folder == self.1 { Ok(state) } else { Err(ErrorKind::NotFound.into()) }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Inode>, id: Inode, naming: &Naming) {
    match naming {
        Naming::Create(path) => {
            names.insert(path.clone(), id);
        }
        Naming::Rename(from, to) => {
            if names.get(from) == Some(&id) {
                names.remove(from);
            }
            names.insert(to.clone(), id);
        }
        Naming::Remove(path) => {
            if names.get(path) == Some(&id) {
                names.remove(path);
            }
        }
    }
}

impl Naming {
    fn is_in(&self, dir: &Path) -> bool {
        let paths = match self {
            Self::Create(path) | Self::Remove(path) => [path, path],
            Self::Rename(from, to) => [from, to],
        };
        paths.iter().any(|path| path.parent() == Some(dir))
    }
}

fn not_found<T>(found: Option<T>) -> io::Result<T> {
    found.ok_or_else(|| ErrorKind::NotFound.into())
}

impl DiskState {
    fn named(&mut self, id: Inode, naming: Naming) {
        apply(&mut self.names, id, &naming);
        self.pending.push((id, naming));
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.simply(Op::CreateDir)?.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Appendable>> {
        let mut state = self.simply(Op::Create)?;
        assert!(state.dirs.contains(path.parent().unwrap()), "no folder for {}", path.display());
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = state.files.len();
        state.files.push(Content::default());
        state.named(id, Naming::Create(path.to_owned()));
        Ok(Box::new(SimFile { disk: self.clone(), id, process: state.process }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.simply(Op::Read)?;
        Ok(state.files[not_found(state.names.get(path).copied())?].now.clone())
    }

    fn read_front(&self, path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
        let mut all = self.read(path)?;
        all.truncate(usize::try_from(bytes).unwrap());
        Ok(all)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.simply(Op::List)?;
        not_found(state.dirs.get(dir))?;
        let inside = state.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, id): (&PathBuf, &Inode)| Entry {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            bytes: u64::try_from(state.files[*id].now.len()).unwrap(),
            is_file: true,
        };
        Ok(inside.map(entry).collect())
    }

    fn cut(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut state = self.simply(Op::Cut)?;
        let id = not_found(state.names.get(path).copied())?;
        let file = &mut state.files[id];
        let length = usize::try_from(bytes).unwrap();
        file.durable.truncate(length);
        file.cut(length);
        file.sync();
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.simply(Op::Rename)?;
        let id = not_found(state.names.get(from).copied())?;
        state.named(id, Naming::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.simply(Op::Remove)?;
        let id = not_found(state.names.get(path).copied())?;
        state.named(id, Naming::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.simply(Op::SyncDir)?;
        let touched: BTreeSet<Inode> =
            state.pending.iter().filter(|(_, naming)| naming.is_in(dir)).map(|(id, _)| *id).collect();
        for (id, naming) in std::mem::take(&mut state.pending) {
            if touched.contains(&id) {
                apply(&mut state.durable_names, id, &naming);
            } else {
                state.pending.push((id, naming));
            }
        }
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.state().free.unwrap_or(1 << 40))
    }
}

impl Folder for SimDisk {
    fn id(&self) -> FileId {
        FileId { device: 0, inode: self.1 }
    }

    fn is_in_place(&self) -> bool {
        let state = self.state();
        state.folder == self.1 && !state.is_moved
    }

    fn file_at(&self, path: &Path) -> io::Result<Option<FileId>> {
        let state = self.state();
        let there = state.names.get(path).filter(|_| state.folder == self.1);
        Ok(there.map(|id| FileId { device: 1, inode: u64::try_from(*id).unwrap() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Readable>> {
        let state = self.state();
        let id = not_found(state.names.get(path).copied().filter(|_| state.folder == self.1))?;
        Ok(Box::new(SimFile { disk: self.clone(), id, process: state.process }))
    }

    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn Overwritable>> {
        let state = self.state();
        let id = not_found(state.names.get(path).copied().filter(|_| state.folder == self.1))?;
        Ok(Box::new(SimFile { disk: self.clone(), id, process: state.process }))
    }

    fn at_its_place(&self) -> Result<Arc<dyn Folder>, OpenError> {
        let dir = Path::new("/data/journal");
        if self.state().is_moved {
            return Err(OpenError::Occupied(dir.to_owned()));
        }
        let there = self.as_it_is();
        there.create_dir(dir).map_err(|source| OpenError::Io { dir: dir.to_owned(), source })?;
        Ok(Arc::new(there))
    }
}

impl Overwritable for SimFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let is_alive = state.process == self.process && state.dies_at.is_none_or(|(call, _)| call >= state.calls.len());
        if !is_alive {
            return Err(Fault::Io.error());
        }
        state.files[self.id].overwrite(bytes, usize::try_from(at).unwrap());
        Ok(())
    }
}

impl Readable for SimFile {
    fn id(&self) -> FileId {
        FileId { device: 1, inode: u64::try_from(self.id).unwrap() }
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        match self.called(Op::Read) {
            Ok(state) => Ok(state.files[self.id].now.clone()),
            Err((_, fault)) => Err(fault.error()),
        }
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self.called(Op::Read) {
            Ok(state) => {
                let there = state.files[self.id].now.get(usize::try_from(at).unwrap()..).unwrap_or_default();
                let filled = there.len().min(buffer.len());
                buffer[..filled].copy_from_slice(&there[..filled]);
                Ok(filled)
            }
            Err((_, fault)) => Err(fault.error()),
        }
    }
}

struct SimFile {
    disk: SimDisk,
    id: Inode,
    process: usize,
}

impl SimFile {
    fn called(&self, op: Op) -> Result<MutexGuard<'_, DiskState>, (MutexGuard<'_, DiskState>, Fault)> {
        let state = self.disk.called(op)?;
        assert_eq!(state.process, self.process, "a process that ended writes");
        Ok(state)
    }
}

impl Appendable for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.called(Op::Append) {
            Ok(mut state) => {
                state.files[self.id].write(bytes);
                Ok(())
            }
            Err((mut state, fault)) => {
                let part = match fault {
                    Fault::Short(sixteenths) | Fault::ShortIo(sixteenths) => {
                        (bytes.len() * usize::from(sixteenths) / 16).min(bytes.len())
                    }
                    Fault::Io | Fault::NoSpace => 0,
                };
                state.files[self.id].write(&bytes[..part]);
                Err(fault.error())
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let hook = self.disk.state().before_sync.clone();
        if let Some(hook) = hook {
            hook();
        }
        match self.called(Op::Sync) {
            Ok(mut state) => {
                state.files[self.id].sync();
                Ok(())
            }
            Err((mut state, fault)) => {
                // who died before it lost nothing yet
                if state.dies_at.is_none_or(|(call, _)| call >= state.calls.len()) {
                    state.files[self.id].fail_sync();
                }
                Err(fault.error())
            }
        }
    }

    fn cut_back(&mut self, bytes: u64) -> io::Result<()> {
        match self.called(Op::CutBack) {
            Ok(mut state) => {
                state.files[self.id].cut(usize::try_from(bytes).unwrap());
                Ok(())
            }
            Err((_, fault)) => Err(fault.error()),
        }
    }
}
