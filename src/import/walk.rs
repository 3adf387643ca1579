//! The files that paths name: themselves, and those in folders.

use super::archive::{self, Member};
use anyhow::Context as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders within folders.
const DEPTH_MAX: usize = 32;
/// What files in a folder are looked at; a file that is named itself may have any name.
const EXTENSIONS: [&str; 11] = ["jsonl", "json", "ndjson", "csv", "pb", "binpb", "parquet", "gz", "zst", "zip", "log"];

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
pub(super) fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<File>> {
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
            walk(path, DEPTH_MAX, &mut found)?;
        } else {
            found.push(file(path, &about, true));
        }
    }
    found.sort_by(|one, other| one.modified.cmp(&other.modified).then_with(|| one.path.cmp(&other.path)));
    found.dedup_by(|one, other| one.path == other.path);
    Ok(found)
}

/// The files to read: those given, and in place of an archive those in it, or why it cannot be read.
pub(super) fn unpacked(files: Vec<File>) -> Vec<anyhow::Result<File>> {
    let mut all = Vec::new();
    for file in files {
        if !archive::is_archive(&file.path) {
            all.push(Ok(file));
            continue;
        }
        match archive::members(&file.path, has_known_extension) {
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

/// Links are not followed: what they lead to was not named.
fn walk(folder: &Path, depth_left: usize, found: &mut Vec<File>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let entry = entry.with_context(|| folder.display().to_string())?;
        let path = entry.path();
        // a file that is gone meanwhile is none
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if about.is_dir() && depth_left > 0 {
            walk(&path, depth_left - 1, found)?;
        } else if about.is_file() && has_known_extension(&path) {
            found.push(file(&path, &about, false));
        }
    }
    Ok(())
}

fn has_known_extension(path: &Path) -> bool {
    path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}
