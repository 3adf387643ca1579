//! Names that others give to files: of an upload, and in an archive.

use std::path::PathBuf;

/// Parts of a name, and letters of each.
const PARTS_MAX: usize = 12;
const LETTERS_MAX: usize = 120;

/// The name of a file below its folder. No part leads anywhere else, and none has letters that a shell or a terminal reads in its own way.
pub(super) fn safe(name: &str) -> Option<PathBuf> {
    let letter = |letter: char| if letter.is_alphanumeric() || "._- ".contains(letter) { letter } else { '_' };
    let mut parts = Vec::new();
    for part in name.split(['/', '\\']) {
        let part: String = part.chars().map(letter).collect();
        let part = part.trim().trim_start_matches('.');
        if part.is_empty() {
            continue;
        }
        // the end of a long name says what it holds
        let from = part.char_indices().rev().nth(LETTERS_MAX - 1).map_or(0, |(at, _)| at);
        parts.push(part.get(from..)?.to_owned());
    }
    (!parts.is_empty() && parts.len() <= PARTS_MAX).then(|| parts.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_folder() {
        let of = |name: &str| safe(name).map(|path| path.display().to_string());
        assert_eq!(of("a/b.jsonl").as_deref(), Some("a/b.jsonl"));
        assert_eq!(of("../../etc/passwd").as_deref(), Some("etc/passwd"));
        assert_eq!(of("/root/./..\\x\n\u{1b}[31m;rm").as_deref(), Some("root/x___31m_rm"));
        assert_eq!((of(""), of("../.."), of(&"a/".repeat(13))), (None, None, None));
        let long = format!("{}.jsonl", "ä".repeat(300));
        assert!(of(&long).is_some_and(|name| name.chars().count() == LETTERS_MAX && name.ends_with(".jsonl")));
    }
}
