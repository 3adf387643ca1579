//! Files of the journal that are not what they should be: they are moved to `damaged`, named, and counted.

use super::disk::Disk;
use super::loaded::RowsLost;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

/// Folder of what is set aside, in that of the journal.
pub(super) const DAMAGED_DIR: &str = "damaged";
/// How many health names; all are in the log.
const NAMED_MAX: usize = 20;

/// Why a file was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Bytes of it changed, or some are missing; the rows that are whole are stored.
    Damaged,
    /// No row of it can be read.
    Unreadable,
    /// Another file has the same segment.
    Copy,
    /// No segment is so large; it is not read.
    TooLarge,
    /// It has the name of a segment, and is a folder, a link, a pipe or a socket.
    NotAFile,
    /// It is not there any more: somebody removed it.
    Missing,
    /// It was set aside before this start.
    Earlier,
}

impl Reason {
    /// As metrics and health show it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
            Self::Copy => "copy",
            Self::TooLarge => "too_large",
            Self::NotAFile => "not_a_file",
            Self::Missing => "missing",
            Self::Earlier => "earlier",
        }
    }
}

/// A file that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Its name, in `damaged` unless it is missing.
    pub file: String,
    /// Why.
    pub reason: Reason,
    /// What is lost with it.
    pub lost: RowsLost,
}

/// All that were set aside, as health shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asides {
    /// The last of them.
    pub named: VecDeque<Aside>,
    /// How many, by reason.
    pub counts: BTreeMap<Reason, usize>,
    /// Rows that were acknowledged and are lost, as far as they could be counted.
    pub rows_lost: usize,
    /// Files of which it is not known how many rows are lost.
    pub uncounted: usize,
}

impl Asides {
    pub(super) fn add(&mut self, aside: Aside) {
        *self.counts.entry(aside.reason).or_default() += 1;
        self.rows_lost += aside.lost.rows;
        self.uncounted += usize::from(!aside.lost.is_exact);
        self.named.push_back(aside);
        if self.named.len() > NAMED_MAX {
            self.named.pop_front();
        }
    }
}

/// The name of a file in the journal's folder.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().expect("a file has a name").to_string_lossy().into_owned()
}

/// Puts a file where a person finds it, under its own name or one like it; returns that.
pub(super) fn move_aside(disk: &dyn Disk, journal_dir: &Path, path: &Path) -> io::Result<PathBuf> {
    let dir = journal_dir.join(DAMAGED_DIR);
    disk.create_dir(&dir)?;
    let taken = disk.list(&dir)?;
    let name = name_of(path);
    let mut free = name.clone();
    for number in 1..=taken.len() {
        if taken.iter().all(|entry| entry.name != free) {
            break;
        }
        free = format!("{name}.{number}");
    }
    let to = dir.join(free);
    disk.rename(path, &to)?;
    disk.sync_dir(journal_dir)?;
    Ok(to)
}
