//! Rows of experiments and groups that are on disk and that ClickHouse has not confirmed. What one request wrote is a batch: one file, complete
//! before the answer and removed once ClickHouse has its rows.
//!
//! ```text
//! experiments/00000000000000000007.json   [{"is_checked": true, "row": {"experiment": {"Workspace": "default", "Name": "e1", ...}}}]
//! experiments/00000000000000000008.new    unfinished: it was never acknowledged, and is removed at the start
//! experiments/00000000000000000009.damaged    not as it was written: nobody reads it again
//! ```
//!
//! A batch may be written to ClickHouse more than once: of the rows of one name the one of the latest version counts.

use crate::clickhouse::experiments::{ExperimentRow, GroupRow};
use crate::locks::locked;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, read, read_dir, remove_file, rename};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Batches that wait at the same time; more are refused.
const BATCHES_MAX: usize = 10_000;
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A row of one of the two tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Row {
    Experiment(ExperimentRow),
    Group(GroupRow),
}

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Experiment,
    Group,
}

impl Row {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Experiment(_) => Kind::Experiment,
            Self::Group(_) => Kind::Group,
        }
    }

    pub(super) fn workspace(&self) -> &str {
        match self {
            Self::Experiment(row) => &row.workspace,
            Self::Group(row) => &row.workspace,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Experiment(row) => &row.name,
            Self::Group(row) => &row.name,
        }
    }

    pub(super) fn id(&self) -> &str {
        match self {
            Self::Experiment(row) => &row.experiment_id,
            Self::Group(row) => &row.group_id,
        }
    }

    /// Whether there is something of this name.
    pub(super) fn is_live(&self) -> bool {
        match self {
            Self::Experiment(row) => row.is_deleted == 0 && row.deleted_at.is_none(),
            Self::Group(row) => row.is_deleted == 0 && row.deleted_at.is_none(),
        }
    }

    pub(super) fn set_name(&mut self, name: String) {
        match self {
            Self::Experiment(row) => row.name = name,
            Self::Group(row) => row.name = name,
        }
    }

    pub(super) fn set_version(&mut self, version: u64) {
        match self {
            Self::Experiment(row) => row.version = version,
            Self::Group(row) => row.version = version,
        }
    }
}

/// A row of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Whether ClickHouse said that its name was free.
    pub(super) is_checked: bool,
    pub(super) row: Row,
}

/// What one request wrote, by its number.
pub(super) type Batch = (u64, Arc<Vec<Waiting>>);

/// The batches that wait.
#[derive(Debug)]
pub(super) struct Outbox {
    folder: PathBuf,
    waiting: Mutex<Batches>,
}

#[derive(Debug, Default)]
struct Batches {
    next: u64,
    by_number: BTreeMap<u64, Arc<Vec<Waiting>>>,
}

impl Outbox {
    /// Reads what waits in a folder, which is made if there is none.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let of = |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(|error| of(folder, error))?;
        let mut waiting = Batches::default();
        for entry in read_dir(folder).map_err(|error| of(folder, error))? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            match (number, path.extension().and_then(|extension| extension.to_str())) {
                (Some(_), Some("new")) => remove_file(&path).map_err(|error| of(&path, error))?,
                (Some(number), Some("json")) => {
                    waiting.next = waiting.next.max(number.saturating_add(1));
                    let bytes = read(&path).map_err(|error| of(&path, error))?;
                    match serde_json::from_slice::<Vec<Waiting>>(&bytes) {
                        Ok(batch) => drop(waiting.by_number.insert(number, Arc::new(batch))),
                        Err(error) => {
                            tracing::error!(path = %path.display(), %error, "this file has no rows of experiments, and is kept as .damaged");
                            rename(&path, path.with_extension("damaged")).map_err(|error| of(&path, error))?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(Self { folder: folder.to_owned(), waiting: Mutex::new(waiting) })
    }

    /// Adds a batch: it is on disk when this returns. Blocks.
    ///
    /// # Errors
    /// If it could not be written, or too many wait: then it is not there.
    pub(super) fn add(&self, batch: Vec<Waiting>) -> io::Result<()> {
        let number = {
            let mut waiting = locked(&self.waiting);
            if waiting.by_number.len() >= BATCHES_MAX {
                return Err(io::Error::other("too many changes of experiments wait for ClickHouse"));
            }
            waiting.next += 1;
            waiting.next - 1
        };
        let bytes = serde_json::to_vec(&batch)?;
        let (path, unfinished) = (self.path(number, "json"), self.path(number, "new"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&unfinished)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        rename(&unfinished, &path)?;
        File::open(&self.folder)?.sync_all()?;
        locked(&self.waiting).by_number.insert(number, Arc::new(batch));
        Ok(())
    }

    /// Forgets a batch that ClickHouse has.
    ///
    /// # Errors
    /// If its file stays: it is written again after the next start.
    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        locked(&self.waiting).by_number.remove(&number);
        remove_file(self.path(number, "json"))
    }

    /// The first batch.
    pub(super) fn first(&self) -> Option<Batch> {
        locked(&self.waiting).by_number.first_key_value().map(|(number, batch)| (*number, Arc::clone(batch)))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        locked(&self.waiting).by_number.len()
    }

    /// The last row that a condition holds for.
    pub(super) fn last(&self, holds: impl Fn(&Row) -> bool) -> Option<Waiting> {
        let waiting = locked(&self.waiting);
        let mut rows = waiting.by_number.values().rev().flat_map(|batch| batch.iter().rev());
        rows.find(|waiting| holds(&waiting.row)).cloned()
    }

    fn path(&self, number: u64, extension: &str) -> PathBuf {
        self.folder.join(format!("{number:020}.{extension}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, version: u64) -> Waiting {
        let row = GroupRow {
            workspace: "w".to_owned(),
            name: name.to_owned(),
            group_id: format!("id of {name}"),
            description: Some("'\u{fc}\n".to_owned()),
            insight_id: None,
            summary: None,
            metadata: None,
            default_sort: None,
            pareto_x: None,
            pareto_y: None,
            created_by: String::new(),
            created_at: i64::MAX,
            updated_at: 0,
            deleted_at: None,
            version,
            is_deleted: 0,
        };
        Waiting { is_checked: false, row: Row::Group(row) }
    }

    #[test]
    fn what_was_added_waits_in_its_order_until_it_is_removed_also_for_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        outbox.add(vec![group("a", 1), group("b", 1)]).unwrap();
        outbox.add(vec![group("a", 2)]).unwrap();
        // a crash before it was complete
        std::fs::write(folder.path().join("00000000000000000009.new"), b"[{").unwrap();
        let again = Outbox::open(folder.path()).unwrap();
        assert_eq!((again.len(), again.last(|row| row.name() == "a")), (2, Some(group("a", 2))));
        let (number, first) = again.first().unwrap();
        assert_eq!(*first, [group("a", 1), group("b", 1)]);
        again.remove(number).unwrap();
        again.add(vec![group("c", 1)]).unwrap();
        let rest = Outbox::open(folder.path()).unwrap();
        assert_eq!(rest.last(|row| row.name() == "b"), None);
        assert_eq!(*rest.first().unwrap().1, [group("a", 2)]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn what_cannot_be_kept_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        std::fs::remove_dir_all(folder.path()).unwrap();
        outbox.add(vec![group("a", 1)]).unwrap_err();
        assert_eq!((outbox.len(), outbox.first()), (0, None));
    }

    #[test]
    fn a_file_that_is_not_as_it_was_written_is_put_aside_and_costs_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        outbox.add(vec![group("a", 1)]).unwrap();
        outbox.add(vec![group("b", 1)]).unwrap();
        std::fs::write(outbox.path(0, "json"), b"[{").unwrap();
        let again = Outbox::open(folder.path()).unwrap();
        assert_eq!((again.len(), again.last(|row| row.name() == "b")), (1, Some(group("b", 1))));
        assert_eq!(std::fs::read(again.path(0, "damaged")).unwrap(), b"[{");
    }
}
