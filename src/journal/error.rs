//! Why rows are not committed, and why a journal cannot be opened.

use std::io;
use std::path::PathBuf;

/// The disk has no room now; what was not committed can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The file system is full.
    #[error("the disk is full")]
    Disk,
    /// The journal is as large as it may be.
    #[error("the journal has reached journal.max_bytes")]
    Journal,
}

/// The next start would not find what was committed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// Its path leads nowhere, or to another folder.
    #[error("the journal's folder was removed, renamed or replaced")]
    Folder,
    /// The name of the active segment's file leads nowhere, or to another file.
    #[error("a file of the journal was removed or renamed while rows were added to it")]
    File,
}

/// Why rows were not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was kept, and the journal goes on.
    #[error(transparent)]
    Full(#[from] Full),
    /// No file could be made for another segment. Nothing was kept, and the journal goes on.
    #[error("cannot make a file for the journal: {0}")]
    NoFile(io::Error),
    /// The folder, or the file, is not where it was opened. Nothing was kept, and the journal goes on.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The disk failed. The active segment cannot be trusted any more, and nothing more is committed: the process must end.
    #[error("the journal failed: {0}")]
    Failed(io::Error),
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Locked by another process.
    #[error("another Millrace uses the journal in {0}; stop it, or give this one another data_dir")]
    InUse(PathBuf),
    /// Its folder was on another file system.
    #[error("another file system is in the place of the journal in {0}")]
    Elsewhere(PathBuf),
    /// Another process wrote what is there.
    #[error("another journal is in the place of the one in {0}; move it away, or restart Millrace to use it")]
    Occupied(PathBuf),
    /// I/O error.
    #[error("failed to open the journal in {dir}")]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}
