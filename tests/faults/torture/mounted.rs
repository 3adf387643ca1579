//! File systems of a test's own: an ext4 on a loop device whose power can be cut, a tmpfs that is soon full.
//!
//! They need root. A machine that cannot mount fails these tests, and says so; `make test` does not have them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use support::{project, wait_until};

/// A mounted file system; it goes when this is dropped.
pub(crate) struct Mounted {
    folder: TempDir,
    /// How it is mounted again.
    image: Option<PathBuf>,
}

impl Mounted {
    /// An ext4 of its own on a loop device.
    pub(crate) fn ext4(bytes: u64) -> Self {
        let folder = empty_folder();
        let image = folder.path().join("image");
        File::create(&image).and_then(|file| file.set_len(bytes)).expect("an image can be made");
        run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        run(Command::new("cc")
            .arg("-o")
            .arg(folder.path().join("power_cut"))
            .arg(project().join("tests/faults/torture/power_cut.c")));
        let mounted = Self { folder, image: Some(image) };
        mounted.mount();
        mounted
    }

    /// A tmpfs of this size.
    pub(crate) fn tmpfs(mebibytes: u64) -> Self {
        let folder = empty_folder();
        let size = format!("size={mebibytes}m");
        let mounted = Self { folder, image: None };
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(mounted.path()));
        mounted
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Cuts its power: from now on nothing can be read or written.
    pub(crate) fn cut_power(&self) {
        run(Command::new(self.folder.path().join("power_cut")).arg(self.path()));
    }

    /// The power is back. Whoever used it must have ended.
    pub(crate) fn mount_again(&self) {
        wait_until("nobody uses the file system", || unmount(&self.path()).then_some(()));
        self.mount();
    }

    fn mount(&self) {
        let image = self.image.as_ref().expect("made with an image");
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(self.path()));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !unmount(&self.path()) {
            // somebody still ends: it goes when they have
            let _told_by_umount = Command::new("umount").arg("--lazy").arg(self.path()).status();
        }
    }
}

fn empty_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    fs::create_dir(folder.path().join("mounted")).expect("a folder can be made");
    folder
}

fn unmount(path: &Path) -> bool {
    Command::new("umount").arg(path).output().expect("umount runs").status.success()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "this test needs root and loop devices, and this machine says no: {command:?}: {said}"
    );
}
