//! Imports that the page asked for: what of each is here, and how far it is.

use super::super::progress::Told;
use super::super::room::{Room, Taken};
use super::turns::Turns;
use crate::locks::locked;
use crate::numbers::to_u64;
use crate::query::answer::Refusal;
use crate::random;
use crate::workspace::Workspace;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// Imports that are known at once, those of one workspace, and files of one.
const JOBS_MAX: usize = 64;
const JOBS_OF_ONE_MAX: usize = 8;
const FILES_MAX: usize = 5_000;
/// Workspaces whose files may have all that those of one may, at the same time.
const WORKSPACES_WITH_FILES: u64 = 4;
/// One that nothing happens to is forgotten after so long, when there is no room for another.
const IDLE_MAX: Duration = Duration::from_secs(3_600);

/// What an import does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes files.
    Collecting,
    Running,
    /// Its files were read, and nothing was sent.
    Checked,
    Done,
    Cancelled,
    Failed(String),
}

/// A file of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spooled {
    pub(super) name: PathBuf,
    pub(super) bytes: u64,
    pub(super) modified: SystemTime,
}

/// An import that the page asked for.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) workspace: Workspace,
    /// Of its files.
    pub(super) folder: PathBuf,
    /// What the files of its workspace may take.
    pub(super) room: Arc<Room>,
    /// Whether it removes what was imported.
    pub(super) is_undo: bool,
    /// Cancelled with it.
    pub(super) stop: CancellationToken,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    phase: Phase,
    files: Vec<Spooled>,
    told: Arc<Told>,
    touched: Instant,
    /// How many of its files are on their way.
    arriving: usize,
    /// Whether its files are removed.
    is_emptied: bool,
    /// What its files take, until they are removed.
    taken: Vec<Taken>,
}

impl Job {
    fn with<T>(&self, change: impl FnOnce(&mut Now) -> T) -> T {
        let mut now = locked(&self.now);
        now.touched = Instant::now();
        change(&mut now)
    }

    fn with_taken<T>(&self, look: impl FnOnce(&Vec<Taken>) -> T) -> T {
        look(&locked(&self.now).taken)
    }

    pub(super) fn set(&self, phase: Phase) {
        self.with(|now| now.phase = phase);
    }

    /// Its files, the earliest first.
    pub(super) fn files(&self) -> Vec<Spooled> {
        let mut files = self.with(|now| now.files.clone());
        files.sort_by(|one, other| (one.modified, &one.name).cmp(&(other.modified, &other.name)));
        files
    }

    /// Where it tells how far it is.
    pub(super) fn told(&self) -> Arc<Told> {
        self.with(|now| Arc::clone(&now.told))
    }

    /// Takes a file, unless it has one of this name or does something else already.
    pub(super) fn expect(&self, name: &Path) -> Result<(), Refusal> {
        self.with(|now| {
            let conflict = |why: &str| Err(Refusal::new(StatusCode::CONFLICT, why));
            match now.phase {
                Phase::Collecting | Phase::Checked | Phase::Failed(_) => {}
                _ => return conflict("this import takes no more files"),
            }
            if now.files.iter().any(|file| file.name == name) {
                return conflict("a file of this name was sent already");
            }
            if now.files.len() + now.arriving >= FILES_MAX {
                return Err(Refusal::too_large(&format!(
                    "an import has at most {FILES_MAX} files; send a compressed file, or use `millrace import`"
                )));
            }
            now.arriving += 1;
            Ok(())
        })
    }

    /// A file that was expected is here, or will not come. Whether it is kept: not when the others were removed meanwhile.
    pub(super) fn arrived(&self, file: Option<(Spooled, Taken)>) -> bool {
        self.with(|now| {
            now.arriving = now.arriving.saturating_sub(1);
            let Some((file, taken)) = file.filter(|_| !now.is_emptied) else { return false };
            now.files.push(file);
            now.taken.push(taken);
            true
        })
    }

    /// Begins to read its files.
    pub(super) fn begin(&self) -> Result<(), Refusal> {
        self.with(|now| {
            let may = matches!(now.phase, Phase::Collecting | Phase::Checked | Phase::Failed(_)) && now.arriving == 0;
            if !may {
                return Err(Refusal::new(StatusCode::CONFLICT, "this import is under way, or has ended"));
            }
            if now.files.is_empty() {
                return Err(Refusal::bad_request("send a file first"));
            }
            now.phase = Phase::Running;
            now.told = Arc::default();
            Ok(())
        })
    }

    /// Cancels it.
    pub(super) fn stop(&self) {
        self.stop.cancel();
        self.set(Phase::Cancelled);
    }

    /// As the page shows it. Paths are those that the browser sent.
    pub(super) fn shown(&self) -> Value {
        let (phase, files, told) = {
            let now = locked(&self.now);
            (now.phase.clone(), now.files.clone(), now.told.now())
        };
        let (state, error) = match phase {
            Phase::Collecting => ("collecting", None),
            Phase::Running => ("running", None),
            Phase::Checked => ("checked", None),
            Phase::Done => ("done", None),
            Phase::Cancelled => ("cancelled", None),
            Phase::Failed(why) => ("failed", Some(why)),
        };
        let prefix = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let prefixes = [format!("{}/", prefix.display()), format!("{}/", self.folder.display())];
        let own = |text: &str| prefixes.iter().fold(text.to_owned(), |text, prefix| text.replace(prefix.as_str(), ""));
        let rejects = told.rejects.iter().map(|reject| {
            let file = reject.get("file").and_then(Value::as_str).map(own);
            json!({"file": file, "line": reject.get("line"), "reason": reject.get("reason")})
        });
        json!({
            "id": self.id, "is_undo": self.is_undo, "state": state, "error": error.as_deref().map(own),
            "files": files.iter().map(|file| json!({"name": file.name, "bytes": file.bytes})).collect::<Vec<_>>(),
            "counts": told.counts, "notes": told.notes.iter().map(|note| own(note)).collect::<Vec<_>>(),
            "rejects": rejects.collect::<Vec<_>>(),
        })
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Jobs {
    folder: PathBuf,
    /// What all files may take, and those of one workspace.
    room: Arc<Room>,
    bytes_of_one_max: u64,
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    /// One is read at a time.
    pub(super) turns: Turns,
}

impl Jobs {
    /// Files go to a folder, which is emptied: nobody knows what an earlier process left there.
    pub(super) fn new(folder: PathBuf, bytes_max: usize) -> Self {
        if let Err(error) = std::fs::remove_dir_all(&folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %folder.display(), "files that were sent to be imported cannot be removed");
        }
        let bytes_of_one_max = to_u64(bytes_max);
        let whole = bytes_of_one_max.saturating_mul(WORKSPACES_WITH_FILES);
        let room = Room::new(whole, Some("all workspaces, four times page.uploads_max"));
        Self { folder, room, bytes_of_one_max, jobs: Mutex::default(), turns: Turns::default() }
    }

    pub(super) fn folder(&self) -> PathBuf {
        std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone())
    }

    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Arc<Job>>) -> T) -> T {
        change(&mut locked(&self.jobs))
    }

    /// A new one.
    pub(super) fn create(&self, workspace: Workspace, is_undo: bool) -> Result<Arc<Job>, Refusal> {
        let id = random::letters();
        let now = Now {
            phase: Phase::Collecting,
            files: Vec::new(),
            told: Arc::default(),
            touched: Instant::now(),
            arriving: 0,
            is_emptied: false,
            taken: Vec::new(),
        };
        let folder = self.folder.join(&id);
        let room = self.room_of(&workspace);
        let job = Arc::new(Job {
            id: id.clone(),
            workspace,
            folder,
            room,
            is_undo,
            stop: CancellationToken::new(),
            now: Mutex::new(now),
        });
        let is_own = |other: &Job| other.workspace == job.workspace;
        if self.count(is_own) >= JOBS_OF_ONE_MAX {
            self.forget_an_old_one(is_own);
        }
        if self.count(|_| true) >= JOBS_MAX {
            self.forget_an_old_one(|_| true);
        }
        self.with(|jobs| {
            if jobs.values().filter(|other| is_own(other)).count() >= JOBS_OF_ONE_MAX {
                let why = format!(
                    "a workspace may have {JOBS_OF_ONE_MAX} imports at once; wait until one has ended, or cancel one"
                );
                return Err(Refusal::unavailable(&why));
            }
            if jobs.len() >= JOBS_MAX {
                let why = format!("{JOBS_MAX} imports of all workspaces are under way; wait until one has ended");
                return Err(Refusal::unavailable(&why));
            }
            jobs.insert(id, Arc::clone(&job));
            Ok(Arc::clone(&job))
        })
    }

    fn count(&self, is_meant: impl Fn(&Job) -> bool) -> usize {
        self.with(|jobs| jobs.values().filter(|job| is_meant(job)).count())
    }

    /// Forgets the one that ended first or has been idle for the longest time, if there is one; whether there was.
    pub(super) fn forget_an_old_one(&self, is_meant: impl Fn(&Job) -> bool) -> bool {
        let age = |job: &Arc<Job>| {
            let now = locked(&job.now);
            let has_ended = matches!(now.phase, Phase::Done | Phase::Cancelled | Phase::Failed(_));
            let is_idle = now.phase != Phase::Running && now.touched.elapsed() > IDLE_MAX;
            (now.arriving == 0 && (has_ended || is_idle)).then(|| now.touched.elapsed())
        };
        let oldest = self.with(|jobs| {
            let meant = jobs.values().filter(|job| is_meant(job));
            meant.filter_map(|job| Some((age(job)?, Arc::clone(job)))).max_by_key(|(age, _)| *age)
        });
        if let Some((_, job)) = &oldest {
            self.forget(job);
        }
        oldest.is_some()
    }

    pub(super) fn find(&self, workspace: &Workspace, id: &str) -> Result<Arc<Job>, Refusal> {
        self.with(|jobs| jobs.get(id).cloned())
            .filter(|job| &job.workspace == workspace)
            .ok_or_else(|| Refusal::not_found("there is no such import; Millrace may have been started anew since"))
    }

    /// Those of a workspace.
    pub(super) fn list(&self, workspace: &Workspace) -> Vec<Value> {
        let own =
            self.with(|jobs| jobs.values().filter(|job| &job.workspace == workspace).cloned().collect::<Vec<_>>());
        own.iter().map(|job| job.shown()).collect()
    }

    /// The room of a workspace, which its imports share.
    fn room_of(&self, workspace: &Workspace) -> Arc<Room> {
        let known = self.with(|jobs| {
            let own = jobs.values().find(|job| job.workspace == *workspace);
            own.map(|job| Arc::clone(&job.room))
        });
        known.unwrap_or_else(|| self.room.part(self.bytes_of_one_max, Some("page.uploads_max")))
    }

    /// Forgets one, and removes its files.
    pub(super) fn forget(&self, job: &Arc<Job>) {
        self.with(|jobs| jobs.remove(&job.id));
        self.empty(job);
    }

    /// Removes the files of one that is done; those of one that failed are there to try again.
    pub(super) fn settle(&self, job: &Job) {
        if job.with(|now| now.phase == Phase::Done) {
            self.empty(job);
        }
    }

    /// Removes the files of one that needs them no more.
    fn empty(&self, job: &Job) {
        let taken = job.with(|now| {
            now.is_emptied = true;
            std::mem::take(&mut now.taken)
        });
        if let Err(error) = std::fs::remove_dir_all(&job.folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %job.folder.display(), "files that were sent to be imported cannot be removed");
        }
        drop(taken);
    }

    /// Takes room for bytes of a job that have arrived. When there is none, imports that have ended or are idle give theirs: those of its
    /// workspace, and those of others if all of them have too much together.
    pub(super) fn grow(&self, job: &Job, taken: &mut Taken, bytes: usize) -> Result<(), Refusal> {
        while let Err(full) = taken.grow(to_u64(bytes)) {
            let gives =
                |other: &Job| (full.is_whole || other.workspace == job.workspace) && !other.with_taken(Vec::is_empty);
            if !self.forget_an_old_one(gives) {
                return Err(Refusal::too_large(&format!(
                    "files that wait to be imported may have {} together; wait, compress them, or use `millrace import`",
                    full.bound
                )));
            }
        }
        Ok(())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(jobs: &Jobs, workspace: &str) -> Result<Arc<Job>, Refusal> {
        jobs.create(Workspace::new(workspace).unwrap(), false)
    }

    #[test]
    fn a_workspace_with_all_of_its_imports_leaves_room_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::new(folder.path().join("uploads"), 1 << 20);
        let own: Vec<_> = (0..JOBS_OF_ONE_MAX).map(|_| create(&jobs, "one").unwrap()).collect();
        assert!(create(&jobs, "one").is_err());
        create(&jobs, "other").unwrap();
        // one that has ended makes room for the next one of its workspace
        own[3].set(Phase::Done);
        create(&jobs, "one").unwrap();
        assert!(jobs.find(&own[3].workspace, &own[3].id).is_err());
        assert!(create(&jobs, "one").is_err());
    }

    #[test]
    fn files_of_an_import_that_failed_make_room_for_new_ones_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::new(folder.path().join("uploads"), 1 << 20);
        let add = |job: &Job| {
            let mut taken = job.room.hold();
            jobs.grow(job, &mut taken, 1 << 19)?;
            let name = PathBuf::from("a");
            assert!(job.arrived(Some((Spooled { name, bytes: 1 << 19, modified: SystemTime::UNIX_EPOCH }, taken))));
            Ok::<_, Refusal>(())
        };
        let all: Vec<_> = (0..3).map(|_| create(&jobs, "one").unwrap()).collect();
        add(&all[0]).unwrap();
        add(&all[1]).unwrap();
        assert!(add(&all[2]).is_err());
        all[1].set(Phase::Failed(String::new()));
        add(&all[2]).unwrap();
        assert!(jobs.find(&all[0].workspace, &all[0].id).is_ok() && jobs.find(&all[1].workspace, &all[1].id).is_err());
    }

    #[test]
    fn files_of_a_workspace_leave_room_for_others_and_take_none_of_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::new(folder.path().join("uploads"), 1 << 20);
        let hold = |job: &Job, bytes: usize| {
            let mut taken = job.room.hold();
            let grown = jobs.grow(job, &mut taken, bytes).map_err(|refused| format!("{refused:?}"));
            grown.map(|()| assert!(job.arrived(Some((spooled(), taken)))))
        };
        let others: Vec<_> =
            (0..WORKSPACES_WITH_FILES - 1).map(|number| create(&jobs, &format!("w{number}")).unwrap()).collect();
        for other in &others {
            hold(other, 1 << 20).unwrap();
            other.set(Phase::Failed(String::new()));
        }
        let (own, same) = (create(&jobs, "own").unwrap(), create(&jobs, "own").unwrap());
        hold(&own, 1 << 20).unwrap();
        let refused = hold(&same, 1).unwrap_err();
        assert!(refused.contains("may have 1 MiB (page.uploads_max) together"), "{refused}");
        assert!(others.iter().all(|other| jobs.find(&other.workspace, &other.id).is_ok()), "none gave its files");
        // all of them together have too much, and one that failed gives its files
        hold(&create(&jobs, "late").unwrap(), 1 << 20).unwrap();
        assert_eq!(others.iter().filter(|other| jobs.find(&other.workspace, &other.id).is_err()).count(), 1);
    }

    fn spooled() -> Spooled {
        Spooled { name: PathBuf::from("a"), bytes: 1, modified: SystemTime::UNIX_EPOCH }
    }
}
