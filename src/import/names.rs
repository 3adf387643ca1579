//! Names of files: which are read, and those that others give to files of an upload or in an archive.

use std::path::{Path, PathBuf};

/// Folders within folders that are looked through.
pub(super) const DEPTH_MAX: usize = 32;
/// How the names of files end that are read in folders and archives; a file that is named itself may have any name.
pub(super) const EXTENSIONS: [&str; 11] =
    ["jsonl", "json", "ndjson", "csv", "pb", "binpb", "parquet", "gz", "zst", "zip", "log"];
/// Parts of a name, and letters of each.
pub(super) const PARTS_MAX: usize = 12;
const LETTERS_MAX: usize = 120;

/// Whether a file of this name is read in a folder or an archive.
pub(super) fn has_known_extension(path: &Path) -> bool {
    path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// Why a name cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It has no part that leads into the folder.
    Empty,
    /// It has more than [`PARTS_MAX`] parts.
    TooManyParts,
}

/// The name of a file below its folder. No part leads anywhere else, and none has letters that a shell or a terminal reads in its own way.
pub(super) fn safe(name: &str) -> Result<PathBuf, Unusable> {
    let letter = |letter: char| if letter.is_alphanumeric() || "._- ".contains(letter) { letter } else { '_' };
    let mut parts = Vec::new();
    for part in name.split(['/', '\\']) {
        let part: String = part.chars().map(letter).collect();
        let part = part.trim().trim_start_matches('.');
        if part.is_empty() {
            continue;
        }
        // the end of a long name says what it holds
        let letters = part.chars().count().saturating_sub(LETTERS_MAX);
        parts.push(part.chars().skip(letters).collect::<String>());
    }
    match parts.len() {
        0 => Err(Unusable::Empty),
        1..=PARTS_MAX => Ok(parts.iter().collect()),
        _ => Err(Unusable::TooManyParts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_folder() {
        let of = |name: &str| safe(name).map(|path| path.display().to_string());
        assert_eq!(of("a/b.jsonl").as_deref(), Ok("a/b.jsonl"));
        assert_eq!(of("../../etc/passwd").as_deref(), Ok("etc/passwd"));
        assert_eq!(of("/root/./..\\x\n\u{1b}[31m;rm").as_deref(), Ok("root/x___31m_rm"));
        assert_eq!((of(""), of("../..")), (Err(Unusable::Empty), Err(Unusable::Empty)));
        assert_eq!((of(&"a/".repeat(12)).is_ok(), of(&"a/".repeat(13))), (true, Err(Unusable::TooManyParts)));
        let long = format!("{}.jsonl", "ä".repeat(300));
        assert!(of(&long).is_ok_and(|name| name.chars().count() == LETTERS_MAX && name.ends_with(".jsonl")));
    }
}
