//! The files that paths name: themselves, and those in folders.

use super::archive::{self, Member};
use super::left_out::{LeftOut, Why};
use super::names::{DEPTH_MAX, has_known_extension};
use anyhow::Context as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    /// Which file it is, whatever its name.
    pub(super) inode: u64,
    pub(super) modified: SystemTime,
    /// Whether it was named itself.
    pub(super) is_named: bool,
    /// Where it is in an archive; its path is a name then, below that of the archive.
    pub(super) member: Option<Member>,
}

/// All files, each once, the one that was written first before the others: a session that was resumed copies lines of an earlier one.
/// `left_out` is told of the others.
pub(super) fn files(paths: &[PathBuf], left_out: &mut LeftOut) -> anyhow::Result<Vec<File>> {
    let mut found = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let (size, inode, modified) = (0, 0, SystemTime::UNIX_EPOCH);
            found.push(File { path: path.clone(), size, inode, modified, is_named: true, member: None });
            continue;
        }
        let about =
            fs::metadata(path).with_context(|| format!("{}: it cannot be read; is the path right?", path.display()))?;
        if about.is_dir() {
            Walk { root: path, found: &mut found, left_out }.folder(path, DEPTH_MAX)?;
        } else {
            found.push(file(path, &about, true));
        }
    }
    found.sort_by(|one, other| one.modified.cmp(&other.modified).then_with(|| one.path.cmp(&other.path)));
    found.dedup_by(|one, other| one.path == other.path);
    Ok(found)
}

/// The files to read: those given, and in place of an archive those in it, or why it cannot be read. `left_out` is told of the others.
pub(super) fn unpacked(files: Vec<File>, left_out: &mut LeftOut) -> Vec<anyhow::Result<File>> {
    let mut all = Vec::new();
    for file in files {
        if !archive::is_archive(&file.path) {
            all.push(Ok(file));
            continue;
        }
        match archive::members(&file.path, has_known_extension, left_out) {
            Ok(members) => all.extend(members.into_iter().map(|(name, member)| Ok(in_archive(&file, &name, member)))),
            Err(why) => all.push(Err(anyhow::anyhow!("{}: {why}", file.path.display()))),
        }
    }
    all
}

fn in_archive(of: &File, name: &Path, member: Member) -> File {
    let path = of.path.join(name);
    File { path, size: member.size, is_named: false, member: Some(member), ..of.clone() }
}

fn file(path: &Path, about: &fs::Metadata, is_named: bool) -> File {
    let modified = about.modified().map_or(SystemTime::UNIX_EPOCH, |modified| modified);
    File { path: path.to_owned(), size: about.len(), inode: about.ino(), modified, is_named, member: None }
}

/// A walk through a folder that was named.
struct Walk<'w> {
    root: &'w Path,
    found: &'w mut Vec<File>,
    left_out: &'w mut LeftOut,
}

impl Walk<'_> {
    /// Links are not followed: what they lead to was not named.
    fn folder(&mut self, folder: &Path, depth_left: usize) -> anyhow::Result<()> {
        let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry.with_context(|| folder.display().to_string())?;
            let path = entry.path();
            // a file that is gone by now is not one of them
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            let why = match () {
                () if about.is_dir() && depth_left > 0 => {
                    self.folder(&path, depth_left - 1)?;
                    continue;
                }
                () if about.is_file() && has_known_extension(&path) => {
                    self.found.push(file(&path, &about, false));
                    continue;
                }
                () if about.is_dir() => Why::Depth,
                () if about.is_symlink() => Why::Link,
                () if about.is_file() => Why::Ending,
                () => Why::Special,
            };
            let name = path.strip_prefix(self.root).map_or(path.as_path(), |name| name);
            self.left_out.add(self.root, why, name.display());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_a_walk_passes_over_is_counted_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let deep = (0..=DEPTH_MAX).fold(folder.path().to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("deep.jsonl"), "{}").unwrap();
        fs::write(folder.path().join("read.jsonl"), "{}").unwrap();
        fs::write(folder.path().join("note.txt"), "{}").unwrap();
        symlink("read.jsonl", folder.path().join("link.jsonl")).unwrap();
        let _listens = std::os::unix::net::UnixListener::bind(folder.path().join("socket.json")).unwrap();
        let mut left_out = LeftOut::default();
        let found = files(&[folder.path().to_owned()], &mut left_out).unwrap();
        assert_eq!(found.iter().map(|file| file.path.file_name().unwrap()).collect::<Vec<_>>(), ["read.jsonl"]);
        let reasons = [Why::Ending, Why::Depth, Why::Link, Why::Special];
        assert_eq!(left_out.by_reason(), reasons.map(|why| (why.to_string(), 1)).into());
        let notes: Vec<String> = left_out.notes().collect();
        for (note, name) in notes.iter().zip(["note.txt", "d/d", "link.jsonl", "socket.json"]) {
            assert!(note.ends_with(name), "{note}");
        }
    }
}
