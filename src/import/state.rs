//! What is known of imports: how far each file is read, and which file reported an answer first.
//!
//! ```text
//! imports/{id}.json             a checkpoint: path, size, offset, counts
//! imports/{id}.rejects.jsonl    what was rejected of it, and why
//! imports/identities            16 bytes each: an identity, and the first half of the import that has it
//! ```

use crate::numbers::to_u64;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

const IDENTITIES: &str = "identities";

/// How far a file is imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Checkpoint {
    /// Names the import, in rows too.
    pub(super) id: String,
    /// The file.
    pub(super) path: PathBuf,
    /// What it holds.
    pub(super) format: String,
    /// Where its rows are.
    pub(super) workspace: String,
    /// Everything that ends up to there is stored.
    pub(super) offset: u64,
    /// The size of the file then.
    pub(super) size: u64,
    /// Whether its end was reached.
    pub(super) is_done: bool,
    /// Rows that were accepted, repeats among them.
    pub(super) accepted: u64,
    /// Pieces, or parts of them, that were rejected.
    pub(super) rejected: u64,
    /// Rows that another file had already reported.
    pub(super) copied: u64,
    /// Pieces that are not about calls, by their kind.
    pub(super) others: BTreeMap<String, u64>,
    /// When it began, in nanoseconds.
    pub(super) started: i64,
    /// Hashes of what was sent at the end of the file, which more lines may complete.
    pub(super) open: Vec<u64>,
}

impl Checkpoint {
    /// Whether everything is stored of a file that has this size now.
    pub(super) fn has_all_of(&self, size: u64) -> bool {
        self.is_done && self.size == size
    }
}

/// The folder.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    identities: HashMap<u64, u64>,
    fresh: Vec<(u64, u64)>,
    is_kept: bool,
}

impl State {
    /// Opens the folder; one of a dry run is neither made nor changed.
    ///
    /// # Errors
    /// If it cannot be made or read.
    pub(super) fn open(folder: &Path, is_kept: bool) -> anyhow::Result<Self> {
        if is_kept {
            fs::create_dir_all(folder).with_context(|| {
                format!("{} cannot be made; name a folder for checkpoints with --state", folder.display())
            })?;
        }
        let bytes = match fs::read(folder.join(IDENTITIES)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).context(folder.join(IDENTITIES).display().to_string()),
        };
        let (pairs, _torn) = bytes.as_chunks::<16>();
        let identities = pairs.iter().map(|pair| {
            let whole = u128::from_le_bytes(*pair).to_le_bytes();
            let (low, high) = whole.split_at(8);
            let number = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("half of sixteen bytes"));
            (number(low), number(high))
        });
        Ok(Self { folder: folder.to_owned(), identities: identities.collect(), fresh: Vec::new(), is_kept })
    }

    /// The checkpoint of an import.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn checkpoint(&self, id: &str) -> anyhow::Result<Option<Checkpoint>> {
        let path = self.folder.join(format!("{id}.json"));
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| {
                format!("{} is not a checkpoint; remove it to import the file from its beginning", path.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(path.display().to_string()),
        }
    }

    /// All checkpoints, the latest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn all(&self) -> anyhow::Result<Vec<Checkpoint>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context(self.folder.display().to_string()),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
            if let Some(id) = id {
                all.extend(self.checkpoint(id)?);
            }
        }
        all.sort_by(|one, other| other.started.cmp(&one.started).then_with(|| one.path.cmp(&other.path)));
        Ok(all)
    }

    /// Writes a checkpoint, in place of the one before.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn keep(&mut self, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        if !self.is_kept {
            return Ok(());
        }
        self.keep_identities()?;
        let path = self.folder.join(format!("{}.json", checkpoint.id));
        let new = self.folder.join(format!("{}.new", checkpoint.id));
        fs::write(&new, serde_json::to_vec(checkpoint)?)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| path.display().to_string())
    }

    /// Whether another import has already reported what is known by this identity; if none has, this one has from now on.
    pub(super) fn is_of_another(&mut self, identity: u64, import: &str) -> bool {
        let own = half(import);
        match self.identities.get(&identity) {
            Some(owner) => *owner != own,
            None => {
                self.identities.insert(identity, own);
                self.fresh.push((identity, own));
                false
            }
        }
    }

    fn keep_identities(&mut self) -> anyhow::Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(IDENTITIES);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = BufWriter::new(file.with_context(|| path.display().to_string())?);
        for (identity, import) in self.fresh.drain(..) {
            file.write_all(&identity.to_le_bytes())?;
            file.write_all(&import.to_le_bytes())?;
        }
        file.flush().with_context(|| path.display().to_string())
    }

    /// Adds what was rejected; `piece` is the piece itself, where it is to be kept.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn reject(
        &self,
        of: &Checkpoint,
        number: u64,
        reason: &str,
        piece: Option<&[u8]>,
    ) -> anyhow::Result<()> {
        if !self.is_kept {
            return Ok(());
        }
        let mut line = json!({"file": of.path, "line": number, "reason": reason});
        if let (Some(members), Some(piece)) = (line.as_object_mut(), piece) {
            members.insert("piece".to_owned(), String::from_utf8_lossy(piece).into_owned().into());
        }
        let path = self.rejects(&of.id);
        let mut file: File = OpenOptions::new().create(true).append(true).open(&path)?;
        writeln!(file, "{line}").with_context(|| path.display().to_string())
    }

    /// The file of what was rejected of an import.
    #[must_use]
    pub(super) fn rejects(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.rejects.jsonl"))
    }

    /// Forgets an import.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn forget(&mut self, id: &str) -> anyhow::Result<()> {
        let own = half(id);
        self.identities.retain(|_, owner| *owner != own);
        let all = self.identities.iter().map(|(identity, import)| (*identity, *import));
        self.fresh = all.collect();
        let gone = |path: PathBuf| match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(path.display().to_string())
            }
            _ => Ok(()),
        };
        gone(self.folder.join(IDENTITIES))?;
        self.keep_identities()?;
        gone(self.rejects(id))?;
        gone(self.folder.join(format!("{id}.json")))
    }
}

/// The first half of an import's id, as a number.
fn half(import: &str) -> u64 {
    import.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(to_u64(import.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_import_reported_first_is_known_after_a_restart_and_forgotten_with_the_import() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = ("00000000000000010000000000000000", "00000000000000020000000000000000");
        let mut state = State::open(folder.path(), true).unwrap();
        assert!(!state.is_of_another(7, one) && !state.is_of_another(7, one));
        let checkpoint = Checkpoint { id: one.to_owned(), offset: 5, ..Checkpoint::default() };
        state.keep(&checkpoint).unwrap();
        let mut state = State::open(folder.path(), true).unwrap();
        assert_eq!(state.checkpoint(one).unwrap(), Some(checkpoint));
        assert!(state.is_of_another(7, other));
        state.forget(one).unwrap();
        let mut state = State::open(folder.path(), true).unwrap();
        assert!(!state.is_of_another(7, other));
        assert_eq!(state.all().unwrap(), []);
    }
}
