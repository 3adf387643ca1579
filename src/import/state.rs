//! What is known of imports: how far each file is read, and which file reported an answer first.
//!
//! ```text
//! imports/{id}.json             a checkpoint: path, size, offset, counts
//! imports/{id}.rejects.jsonl    what was rejected of it, and why
//! imports/known                 32 bytes each: an identity, the first half of the import that told most of it, and how much that was
//! ```

use crate::formats::{Extent, Known};
use crate::numbers::to_u64;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

const KNOWN: &str = "known";
const KNOWN_BYTES: usize = 32;

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
    known: HashMap<u64, Told>,
    /// What of it is not written yet.
    fresh: HashMap<u64, Told>,
    is_kept: bool,
}

/// Who told most of something.
#[derive(Debug, Clone, Copy)]
struct Told {
    import: u64,
    extent: Extent,
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
        let bytes = match fs::read(folder.join(KNOWN)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).context(folder.join(KNOWN).display().to_string()),
        };
        let (lines, _torn) = bytes.as_chunks::<KNOWN_BYTES>();
        let known = lines.iter().map(read).collect::<HashMap<_, _>>();
        let state = Self { folder: folder.to_owned(), known, fresh: HashMap::new(), is_kept };
        // of what grew while it was followed there are many
        if is_kept && lines.len() > 2 * state.known.len() {
            state.write_known_anew()?;
        }
        Ok(state)
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
        self.keep_known()?;
        let path = self.folder.join(format!("{}.json", checkpoint.id));
        let new = self.folder.join(format!("{}.new", checkpoint.id));
        fs::write(&new, serde_json::to_vec(checkpoint)?)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| path.display().to_string())
    }

    /// Whether another import has already told as much of this; if none has, this one has from now on.
    pub(super) fn is_of_another(&mut self, known: Known, import: &str) -> bool {
        let Known { identity, extent } = known;
        let (import, before) = (half(import), self.known.get(&identity));
        if before.is_some_and(|told| told.extent >= extent) {
            return before.is_some_and(|told| told.import != import);
        }
        let told = Told { import, extent };
        self.known.insert(identity, told);
        self.fresh.insert(identity, told);
        false
    }

    fn keep_known(&mut self) -> anyhow::Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(KNOWN);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        write_to(file.with_context(|| path.display().to_string())?, &self.fresh)
            .with_context(|| path.display().to_string())?;
        self.fresh.clear();
        Ok(())
    }

    /// Writes all that is known, in place of what was written before.
    fn write_known_anew(&self) -> anyhow::Result<()> {
        let (path, new) = (self.folder.join(KNOWN), self.folder.join("known.new"));
        File::create(&new)
            .and_then(|file| write_to(file, &self.known))
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| path.display().to_string())
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
        self.known.retain(|_, told| told.import != own);
        self.fresh.clear();
        let gone = |path: PathBuf| match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(path.display().to_string())
            }
            _ => Ok(()),
        };
        self.write_known_anew()?;
        gone(self.rejects(id))?;
        gone(self.folder.join(format!("{id}.json")))
    }
}

fn write_to(file: File, known: &HashMap<u64, Told>) -> std::io::Result<()> {
    let mut file = BufWriter::new(file);
    for (identity, Told { import, extent }) in known {
        let parts = [*identity, *import, extent.end.cast_unsigned(), extent.bytes];
        parts.iter().try_for_each(|part| file.write_all(&part.to_le_bytes()))?;
    }
    file.flush()
}

fn read(line: &[u8; KNOWN_BYTES]) -> (u64, Told) {
    let (parts, _none) = line.as_chunks::<8>();
    let part = |place: usize| parts.get(place).map_or(0, |part| u64::from_le_bytes(*part));
    let extent = Extent { end: part(2).cast_signed(), bytes: part(3) };
    (part(0), Told { import: part(1), extent })
}

/// The first half of an import's id, as a number.
fn half(import: &str) -> u64 {
    import.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(to_u64(import.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(identity: u64, end: i64, bytes: u64) -> Known {
        Known { identity, extent: Extent { end, bytes } }
    }

    const ONE: &str = "00000000000000010000000000000000";
    const OTHER: &str = "00000000000000020000000000000000";

    #[test]
    fn which_import_reported_first_is_known_after_a_restart_and_forgotten_with_the_import() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(folder.path(), true).unwrap();
        let seven = known(7, 0, 0);
        assert!(!state.is_of_another(seven, ONE) && !state.is_of_another(seven, ONE));
        let checkpoint = Checkpoint { id: ONE.to_owned(), offset: 5, ..Checkpoint::default() };
        state.keep(&checkpoint).unwrap();
        let mut state = State::open(folder.path(), true).unwrap();
        assert_eq!(state.checkpoint(ONE).unwrap(), Some(checkpoint));
        assert!(state.is_of_another(seven, OTHER));
        state.forget(ONE).unwrap();
        let mut state = State::open(folder.path(), true).unwrap();
        assert!(!state.is_of_another(seven, OTHER));
        assert_eq!(state.all().unwrap(), []);
    }

    #[test]
    fn what_another_import_tells_more_of_is_sent_and_then_known_as_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::open(folder.path(), true).unwrap();
        for end in 1..=5 {
            assert!(!state.is_of_another(known(7, end, 10), ONE));
            state.keep(&Checkpoint { id: ONE.to_owned(), ..Checkpoint::default() }).unwrap();
        }
        let mut state = State::open(folder.path(), true).unwrap();
        let bytes = fs::metadata(folder.path().join(KNOWN)).unwrap().len();
        assert_eq!(bytes, to_u64(KNOWN_BYTES), "what grew is kept once");
        assert!(state.is_of_another(known(7, 5, 10), OTHER) && state.is_of_another(known(7, 4, 99), OTHER));
        assert!(!state.is_of_another(known(7, 5, 11), OTHER), "it says more");
        assert!(!state.is_of_another(known(7, 6, 1), OTHER), "it ends later");
        assert!(state.is_of_another(known(7, 5, 11), ONE));
    }
}
