//! The test's side of `faulty_disk.c`: compiles it, and steers it through the page that both share.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use tempfile::TempDir;

use support::project;

const PAGE_BYTES: usize = 4096;

/// What can be made to fail; the word of the page that says how.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    Fsync = 0,
    Write = 1,
    Rename = 2,
    Open = 3,
    Read = 4,
}

/// How it fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failure {
    None = 0,
    Eio = 1,
    Enospc = 2,
    Short = 3,
    Hang = 4,
}

/// What is counted; the word of the page that holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    GoodFsyncs = 8,
    FailedFsyncs = 9,
    FailedWrites = 11,
    ShortWrites = 12,
    FailedRenames = 13,
    FailedOpens = 14,
}

/// A disk that fails on demand.
pub(crate) struct FaultyDisk {
    folder: TempDir,
    page: File,
}

impl FaultyDisk {
    /// A disk that is well, for now.
    ///
    /// # Panics
    /// When there is no C compiler: a test that cannot run has failed.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let source = project().join("tests/faults/torture/faulty_disk.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o"]);
        let status = compiler.arg(folder.path().join("faulty_disk.so")).arg(source).arg("-ldl").status();
        assert!(status.expect("a C compiler, `cc`, is installed").success(), "faulty_disk.c does not compile");
        let path = folder.path().join("page");
        fs::write(&path, [0; PAGE_BYTES]).expect("the page can be written");
        let page = File::options().read(true).write(true).open(path).expect("the page can be opened");
        Self { folder, page }
    }

    /// What the service must be started with.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.folder.path().join(name).to_str().expect("plain names").to_owned();
        vec![("LD_PRELOAD".to_owned(), path("faulty_disk.so")), ("FAULTY_DISK".to_owned(), path("page"))]
    }

    /// What happens to a call from now on.
    pub(crate) fn set(&self, call: Call, failure: Failure) {
        self.page.write_all_at(&(failure as u32).to_le_bytes(), 4 * call as u64).expect("the page can be written");
    }

    /// How often it happened so far.
    pub(crate) fn count(&self, counter: Counter) -> u32 {
        let mut word = [0; 4];
        self.page.read_exact_at(&mut word, 4 * counter as u64).expect("the page can be read");
        u32::from_le_bytes(word)
    }
}
