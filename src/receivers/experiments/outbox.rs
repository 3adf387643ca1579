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

use super::rows::{Kind, Named, Row};
use crate::journal::Disk;
use crate::locks::locked;
use crate::numbers::to_i64;
use crate::workspace::Workspace;
use prometheus::IntGauge;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Batches that wait at the same time; more are refused.
const BATCHES_MAX: usize = 10_000;
/// How a file is called that has a batch, one that is not complete, and one that cannot be read.
const COMPLETE: &str = "json";
const UNFINISHED: &str = "new";
const DAMAGED: &str = "damaged";

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
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    waiting: Mutex<Batches>,
    /// How many there are.
    shown: IntGauge,
}

#[derive(Debug, Default)]
struct Batches {
    next: u64,
    by_number: BTreeMap<u64, Arc<Vec<Waiting>>>,
}

/// What tells a row from others of its workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By<'a> {
    Name(&'a str),
    Id(&'a str),
}

impl Outbox {
    /// Reads what waits in a folder, which is made if there is none.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn open(disk: Arc<dyn Disk>, folder: &Path, shown: IntGauge) -> io::Result<Self> {
        let of = |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        disk.create_dir(folder).map_err(|error| of(folder, error))?;
        let mut waiting = Batches::default();
        for entry in disk.list(folder).map_err(|error| of(folder, error))? {
            let path = folder.join(entry.name);
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            match (number, path.extension().and_then(|extension| extension.to_str())) {
                (Some(_), Some(UNFINISHED)) => disk.remove(&path).map_err(|error| of(&path, error))?,
                (Some(number), Some(COMPLETE)) => {
                    waiting.next = waiting.next.max(number.saturating_add(1));
                    let bytes = disk.read(&path).map_err(|error| of(&path, error))?;
                    match serde_json::from_slice::<Vec<Waiting>>(&bytes) {
                        Ok(batch) => drop(waiting.by_number.insert(number, Arc::new(batch))),
                        Err(error) => {
                            tracing::error!(path = %path.display(), %error, "this file has no rows of experiments, and is kept as .damaged");
                            let aside = path.with_extension(DAMAGED);
                            disk.rename(&path, &aside).map_err(|error| of(&path, error))?;
                        }
                    }
                }
                _ => {}
            }
        }
        let outbox = Self { disk, folder: folder.to_owned(), waiting: Mutex::new(waiting), shown };
        outbox.show(&locked(&outbox.waiting));
        Ok(outbox)
    }

    /// Adds a batch: it is on disk when this returns. Blocks.
    ///
    /// # Errors
    /// If it could not be written, or too many wait: then it is not there, after the next start neither.
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
        if let Err(error) = self.write(number, &bytes) {
            self.take_back(number);
            return Err(error);
        }
        let mut waiting = locked(&self.waiting);
        waiting.by_number.insert(number, Arc::new(batch));
        self.show(&waiting);
        Ok(())
    }

    fn write(&self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.path(number, UNFINISHED);
        let mut file = self.disk.create(&unfinished)?;
        file.append(bytes)?;
        file.sync()?;
        self.disk.rename(&unfinished, &self.path(number, COMPLETE))?;
        self.disk.sync_dir(&self.folder)
    }

    /// Removes what was written of a batch that is refused: the next start would make its changes.
    fn take_back(&self, number: u64) {
        let removed = |extension| match self.disk.remove(&self.path(number, extension)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
        let all = removed(COMPLETE).and(removed(UNFINISHED)).and_then(|()| self.disk.sync_dir(&self.folder));
        if let Err(error) = all {
            let path = self.path(number, COMPLETE);
            tracing::error!(path = %path.display(), %error, "a change that was refused may be on disk: the next start makes it if the file is there");
        }
    }

    /// Forgets a batch that ClickHouse has.
    ///
    /// # Errors
    /// If its file stays: it is written again after the next start.
    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        let mut waiting = locked(&self.waiting);
        if waiting.by_number.remove(&number).is_none() {
            return Ok(());
        }
        self.show(&waiting);
        drop(waiting);
        self.disk.remove(&self.path(number, COMPLETE))
    }

    /// The first batch.
    pub(super) fn first(&self) -> Option<Batch> {
        locked(&self.waiting).by_number.first_key_value().map(|(number, batch)| (*number, Arc::clone(batch)))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        locked(&self.waiting).by_number.len()
    }

    /// Whether something of a workspace waits.
    pub(super) fn has(&self, workspace: &Workspace) -> bool {
        self.last(|row| row.workspace() == workspace.as_str()).is_some()
    }

    /// All rows of a workspace, in their order.
    pub(super) fn of(&self, workspace: &Workspace) -> Vec<Waiting> {
        let waiting = locked(&self.waiting);
        let rows = waiting.by_number.values().flat_map(|batch| batch.iter());
        rows.filter(|waiting| waiting.row.workspace() == workspace.as_str()).cloned().collect()
    }

    /// The last row of its table that has this name or id.
    pub(super) fn last_of<R: Named>(&self, workspace: &Workspace, by: By<'_>) -> Option<Row> {
        let is_it = |row: &Row| match by {
            By::Name(name) => row.name() == name,
            By::Id(id) => row.id() == id,
        };
        self.last(|row| row.kind() == R::TABLE && row.workspace() == workspace.as_str() && is_it(row))
            .map(|waiting| waiting.row)
    }

    /// Whether the name of what has this id is known to be free: it was checked when it was made, or is stored.
    pub(super) fn is_checked(&self, kind: Kind, id: &str) -> bool {
        self.last(|row| (row.kind(), row.id()) == (kind, id)).is_none_or(|waiting| waiting.is_checked)
    }

    /// The last row that a condition holds for.
    fn last(&self, holds: impl Fn(&Row) -> bool) -> Option<Waiting> {
        let waiting = locked(&self.waiting);
        let mut rows = waiting.by_number.values().rev().flat_map(|batch| batch.iter().rev());
        rows.find(|waiting| holds(&waiting.row)).cloned()
    }

    fn show(&self, waiting: &Batches) {
        self.shown.set(to_i64(waiting.by_number.len()));
    }

    fn path(&self, number: u64, extension: &str) -> PathBuf {
        self.folder.join(format!("{number:020}.{extension}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::experiments::{ExperimentRow, GroupRow};
    use crate::journal::testing::{Chance, Fault, SimDisk};

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

    const FOLDER: &str = "/data/experiments";

    fn open(disk: &SimDisk) -> Outbox {
        Outbox::open(Arc::new(disk.clone()), Path::new(FOLDER), IntGauge::new("waiting", "changes").unwrap()).unwrap()
    }

    fn named(outbox: &Outbox, name: &str) -> Option<Row> {
        outbox.last_of::<GroupRow>(&Workspace::new("w").unwrap(), By::Name(name))
    }

    #[test]
    fn what_was_added_waits_in_its_order_until_it_is_removed_also_for_the_next_process() {
        let disk = SimDisk::default();
        let outbox = open(&disk);
        outbox.add(vec![group("a", 1), group("b", 1)]).unwrap();
        outbox.add(vec![group("a", 2)]).unwrap();
        // a crash before it was complete
        disk.put(&outbox.path(9, UNFINISHED), b"[{");
        disk.kill();
        let again = open(&disk);
        assert_eq!((again.len(), again.shown.get(), named(&again, "a")), (2, 2, Some(group("a", 2).row)));
        let (number, first) = again.first().unwrap();
        assert_eq!(*first, [group("a", 1), group("b", 1)]);
        again.remove(number).unwrap();
        again.add(vec![group("c", 1)]).unwrap();
        disk.kill();
        let rest = open(&disk);
        assert_eq!(named(&rest, "b"), None);
        assert_eq!(*rest.first().unwrap().1, [group("a", 2)]);
        assert_eq!(disk.names_in(Path::new(FOLDER)).len(), 2, "nothing else is left");
    }

    #[test]
    fn rows_are_told_apart_by_workspace_table_name_and_id() {
        let outbox = open(&SimDisk::default());
        outbox.add(vec![group("a", 1)]).unwrap();
        let (here, elsewhere) = (Workspace::new("w").unwrap(), Workspace::new("v").unwrap());
        assert!(outbox.has(&here) && !outbox.has(&elsewhere));
        let found = |workspace: &Workspace, by| outbox.last_of::<GroupRow>(workspace, by).is_some();
        let ways = [By::Name("a"), By::Id("id of a"), By::Id("a"), By::Name("id of a")];
        assert_eq!(ways.map(|by| found(&here, by)), [true, true, false, false]);
        assert_eq!(ways.map(|by| found(&elsewhere, by)), [false; 4]);
        assert_eq!(outbox.last_of::<ExperimentRow>(&here, By::Name("a")), None);
        assert!(!outbox.is_checked(Kind::Group, "id of a") && outbox.is_checked(Kind::Group, "other"));
    }

    /// Whichever call of the disk fails, and whatever a power cut leaves of it then.
    #[test]
    fn what_was_refused_is_not_there_after_the_next_start_either_and_what_was_taken_is() {
        for failing in 0..5 {
            for seed in 0..20 {
                let disk = SimDisk::default();
                let outbox = open(&disk);
                outbox.add(vec![group("before", 1)]).unwrap();
                disk.fail_call(failing, Fault::Io);
                outbox.add(vec![group("refused", 1)]).unwrap_err();
                assert_eq!((outbox.len(), outbox.shown.get()), (1, 1));
                outbox.add(vec![group("after", 1)]).unwrap();
                disk.cut_power(&mut Chance(seed));
                let again = open(&disk);
                let there = ["before", "refused", "after"].map(|name| named(&again, name).is_some());
                assert_eq!(there, [true, false, true], "call {failing} failed, {:?}", disk.struck());
            }
        }
    }

    #[test]
    fn a_file_that_is_not_as_it_was_written_is_put_aside_and_costs_no_other() {
        let disk = SimDisk::default();
        let outbox = open(&disk);
        outbox.add(vec![group("a", 1)]).unwrap();
        outbox.add(vec![group("b", 1)]).unwrap();
        disk.put(&outbox.path(0, COMPLETE), b"[{");
        let again = open(&disk);
        assert_eq!((again.len(), named(&again, "b")), (1, Some(group("b", 1).row)));
        assert_eq!(disk.bytes_of(&again.path(0, DAMAGED)), b"[{");
    }
}
