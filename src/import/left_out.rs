//! What an import leaves out before it is read: counted by reason, and named.
//!
//! ```text
//! export.zip: 3 files are left out: their names end in none of .jsonl, .json, ...: a.png, b.txt, c.md
//! ```

use super::names::{DEPTH_MAX, EXTENSIONS, PARTS_MAX};
use crate::text::on_one_line;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Of each reason in each folder or archive so many are named; the others are counted.
const NAMED_MAX: usize = 20;
/// Letters of a name that are kept: in an archive it may have 64 KiB.
const NAME_LETTERS_MAX: usize = 200;

/// Why a file is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// Nothing that is read has such a name.
    Ending,
    /// It lies too deep in its folder.
    Depth,
    /// Its name in an archive has too many parts.
    Parts,
    /// Its name in an archive has no part that can be shown.
    Nameless,
    /// It is a link, and what that leads to was not named.
    Link,
    /// It is a device, a pipe or a socket.
    Special,
    /// macOS put it into an archive beside each file.
    Macos,
    /// It has no content.
    Empty,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ending => write!(f, "the name ends in none of .{}", EXTENSIONS.join(", .")),
            Self::Depth => write!(f, "more than {DEPTH_MAX} folders deep"),
            Self::Parts => write!(f, "the name has more than {PARTS_MAX} parts"),
            Self::Nameless => f.write_str("the name has no letter that can be shown"),
            Self::Link => f.write_str("links are not followed"),
            Self::Special => f.write_str("not a regular file"),
            Self::Macos => f.write_str("macOS keeps attributes of other files there"),
            Self::Empty => f.write_str("empty, or only the names of columns"),
        }
    }
}

/// What was left out of folders and archives.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct LeftOut(BTreeMap<(PathBuf, Why), Names>);

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Names {
    count: u64,
    first: Vec<String>,
}

impl LeftOut {
    /// Adds a file; `of` is the folder that was named, or the archive, and `name` what it is called there.
    pub(super) fn add(&mut self, of: &Path, why: Why, name: impl fmt::Display) {
        let names = self.0.entry((of.to_owned(), why)).or_default();
        names.count += 1;
        if names.first.len() < NAMED_MAX {
            names.first.push(on_one_line(&name.to_string(), NAME_LETTERS_MAX));
        }
    }

    /// What differs from what was said before.
    pub(super) fn beyond(&self, said: &Self) -> Self {
        let is_new = |entry: &(&(PathBuf, Why), &Names)| said.0.get(entry.0) != Some(entry.1);
        Self(self.0.iter().filter(is_new).map(|(key, names)| (key.clone(), names.clone())).collect())
    }

    /// How many there are, by reason.
    pub(super) fn by_reason(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for ((_, why), names) in &self.0 {
            *counts.entry(why.to_string()).or_default() += names.count;
        }
        counts
    }

    /// A sentence for each folder or archive, and reason.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|((of, why), names)| {
            let left = names.count.saturating_sub(crate::numbers::to_u64(names.first.len()));
            let more = if left > 0 { format!(" and {left} more") } else { String::new() };
            format!("{}: left out ({why}): {}{more}", of.display(), names.first.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_and_the_first_are_named() {
        let mut left_out = LeftOut::default();
        for number in 0..NAMED_MAX + 5 {
            left_out.add(Path::new("a.zip"), Why::Ending, format!("{number}.png"));
        }
        left_out.add(Path::new("b"), Why::Link, "to\u{1b}[31m");
        let notes: Vec<String> = left_out.notes().collect();
        assert!(notes[0].starts_with("a.zip: left out (the name ends in none of .jsonl, "), "{notes:?}");
        assert!(notes[0].contains(": 0.png, 1.png, ") && notes[0].ends_with("19.png and 5 more"), "{notes:?}");
        assert_eq!(notes[1], "b: left out (links are not followed): to_[31m");
        left_out.add(Path::new("c"), Why::Link, "third");
        let counts = [(Why::Ending, 25), (Why::Link, 2)].map(|(why, count)| (why.to_string(), count));
        assert_eq!(left_out.by_reason(), counts.into());
        let mut more = left_out.clone();
        more.add(Path::new("b"), Why::Link, "other");
        assert_eq!(more.beyond(&left_out).by_reason(), [(Why::Link.to_string(), 2)].into());
        assert_eq!(left_out.beyond(&left_out), LeftOut::default());
    }
}
