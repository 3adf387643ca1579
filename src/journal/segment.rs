//! A segment on its way to ClickHouse: taken from the backlog, read, and ended.

use super::aside::{self, Aside, Reason, move_aside};
use super::backlog::{Backlog, State};
use super::format::{self, Damage, FileName, FileState, Header, columns_hash};
use super::frames::Frames;
use super::loaded::{InDoubt, LoadError, Loaded, RowsLost, Whole, columns_of};
use super::queue::{History, Next, Order, Waiting};
use super::sealed::{Body, Sealed};
use super::segment_file::SegmentFile;
use super::waiters::Outcome;
use crate::columns::Table;
use crate::ids::SegmentId;
use crate::numbers::to_u64;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

impl Backlog {
    /// The next segment to send; `None` once the backlog is closed and empty. Safe to cancel.
    pub async fn take(&self, order: Order) -> Option<Segment> {
        let mut idle = Idle { backlog: self, is_counted: false };
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let wake_at = {
                let mut state = self.state();
                match state.queue.take_next(order) {
                    Next::Segment(Waiting { sealed, history, .. }) => {
                        idle.end(&mut state);
                        self.0.wanted.notify_waiters();
                        return Some(Segment { sealed, history, backlog: self.clone() });
                    }
                    Next::Nothing if state.queue.is_over() => return None,
                    Next::Nothing => {
                        idle.begin(&mut state);
                        None
                    }
                    Next::NotBefore(at) => {
                        idle.begin(&mut state);
                        Some(at)
                    }
                }
            };
            self.0.wanted.notify_waiters();
            match wake_at {
                Some(at) => {
                    let _woken_early = tokio::time::timeout_at(at.into(), changed).await;
                }
                None => changed.await,
            }
        }
    }
}

/// Counts a taker as idle for as long as it waits, however that ends.
struct Idle<'b> {
    backlog: &'b Backlog,
    is_counted: bool,
}

impl Idle<'_> {
    fn begin(&mut self, state: &mut State) {
        if !std::mem::replace(&mut self.is_counted, true) {
            state.queue.begin_idle();
        }
    }

    fn end(&mut self, state: &mut State) {
        if std::mem::take(&mut self.is_counted) {
            state.queue.end_idle();
        }
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        if self.is_counted {
            let backlog = self.backlog;
            self.end(&mut backlog.state());
        }
    }
}

/// A segment on its way to ClickHouse. One that is not ended ([`stored`](Self::stored), [`put_back`](Self::put_back),
/// [`set_aside`](Self::set_aside), [`leave`](Self::leave)) counts as under way until the process ends.
pub struct Segment {
    sealed: Sealed,
    history: History,
    backlog: Backlog,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("id", &self.sealed.id).field("rows", &self.sealed.rows).finish_non_exhaustive()
    }
}

impl Segment {
    /// Its id, which is also the token of its insert.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        self.sealed.id
    }

    /// The table that its rows are for.
    #[must_use]
    pub fn table(&self) -> Table {
        self.sealed.table
    }

    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.sealed.rows
    }

    /// Whether it may be in ClickHouse although its token is forgotten.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.sealed.in_doubt
    }

    /// Whether an earlier run wrote it, and may have sent it.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.sealed.is_recovered
    }

    /// What it went through.
    #[must_use]
    pub fn history(&self) -> History {
        self.history
    }

    /// Reads and checks its frames. If the file is damaged, good frames are returned, and the segment is in doubt from then on.
    /// Blocks the thread.
    ///
    /// # Errors
    /// If nothing of it can be sent.
    pub fn load(&mut self) -> Result<Loaded, LoadError> {
        let id = self.sealed.id;
        let file = match &self.sealed.body {
            Body::Memory { frames, .. } => return self.loaded(Frames::in_memory(frames.clone()), None, None),
            Body::File(file) => file,
        };
        if let Some(frames) = self.as_written(file)? {
            return self.loaded(frames, None, None);
        }
        let bytes = file.read()?;
        let mut found = format::scan(&bytes, format::is_of(id))?;
        if self.sealed.is_recovered {
            found = found.of(id, &bytes);
        }
        let is_ours = found.header.as_ref().is_some_and(|header| header.columns == columns_hash(header.table()));
        let columns = if is_ours { None } else { Some(columns_of(&bytes, &found)?) };
        match (&found.header, &columns) {
            (Some(header), _) => self.sealed.table = header.table(),
            // without its header, the columns tell
            (None, Some(names)) => {
                let table = Table::of_columns(names.iter().map(String::as_str));
                self.sealed.table = table.unwrap_or(self.sealed.table);
            }
            (None, None) => {}
        }
        let as_written = !self.sealed.is_recovered && to_u64(bytes.len()) == self.sealed.bytes;
        // a file that was cut between two frames looks whole: its rows must be counted
        let rows_good =
            if as_written && found.damage == Damage::None { self.sealed.rows } else { found.rows_in(&bytes) };
        if rows_good == 0 {
            return Err(LoadError::Nothing);
        }
        let rows_lost = self.sealed.rows.saturating_sub(rows_good);
        let is_damaged = rows_lost > 0 || found.damage == Damage::Inside;
        let frames = Frames::in_memory(found.into_frames(bytes));
        if is_damaged {
            // what is sent now is not all that its token stands for
            self.set_in_doubt()?;
        }
        let is_exact = self.sealed.is_counted;
        self.loaded(frames, columns, is_damaged.then_some(RowsLost { rows: rows_lost, is_exact }))
    }

    /// Its frames in their file, if this run wrote it, all of it is as it was written, and it may be sent as a whole.
    fn as_written(&self, file: &SegmentFile) -> io::Result<Option<Frames>> {
        let Sealed { id, table, bytes, is_recovered, in_doubt, .. } = self.sealed;
        if is_recovered || in_doubt {
            return Ok(None);
        }
        let file = file.open()?;
        let ours = Header::of_file(&*file)?
            .filter(|(header, _)| header.id == id && header.table() == table && header.columns == columns_hash(table));
        let is_longer = file.read_at(&mut [0], bytes)? > 0;
        match ours.filter(|_| !is_longer) {
            Some((_, begin)) => Frames::checked(file, bytes, begin),
            None => Ok(None),
        }
    }

    fn loaded(
        &self,
        frames: Frames,
        columns: Option<Vec<String>>,
        damage: Option<RowsLost>,
    ) -> Result<Loaded, LoadError> {
        let Sealed { id, table, .. } = self.sealed;
        if self.sealed.in_doubt {
            return Ok(Loaded::InDoubt(InDoubt { id, table, frames: frames.all()?, damage }));
        }
        assert!(damage.is_none(), "a damaged segment is in doubt: it is never sent as a whole");
        Ok(Loaded::Whole(Whole { id, table, frames, columns }))
    }

    /// ClickHouse has it, except for `rows_dead` rows that are among the dead letters.
    pub fn stored(self, rows_dead: usize) {
        let Self { sealed, backlog, .. } = self;
        let rows_stored = sealed.rows.checked_sub(rows_dead).expect("dead letters are rows of the segment");
        backlog.0.metrics.of(sealed.counted_as.row_kind()).settle(rows_stored, rows_dead);
        match &sealed.body {
            Body::File(file) if !file.place().is_left() => retain(&backlog, &sealed, file),
            Body::File(_) => {}
            Body::Memory { records, .. } => backlog.retained().archive_memory(&backlog.folder(), records),
        }
        let outcome = if rows_dead == 0 { Outcome::Stored } else { Outcome::DeadLettered };
        end(&backlog, sealed.id, outcome);
        backlog.prune(false);
    }

    /// A later Millrace wrote it, and can read it: its file stays where it is.
    pub fn leave(self, why: &str) {
        let Self { sealed, backlog, .. } = self;
        backlog.0.metrics.of(sealed.counted_as.row_kind()).settle(0, sealed.rows);
        tracing::error!(segment = %sealed.id, why, "a segment of the journal is left where it is");
        end(&backlog, sealed.id, Outcome::DeadLettered);
    }

    /// Its file is damaged and its good rows are stored: sets the file aside for a person to look at. `rows_dead` of them are among
    /// the dead letters.
    pub fn set_aside(self, lost: RowsLost, rows_dead: usize, why: &str) {
        let Self { sealed, backlog, .. } = self;
        let gone = lost.rows + rows_dead;
        // of a segment that was not counted there may be more
        debug_assert!(gone <= sealed.rows || !sealed.is_counted || sealed.is_recovered, "{gone} of {}", sealed.rows);
        backlog.0.metrics.of(sealed.counted_as.row_kind()).settle(sealed.rows.saturating_sub(gone), gone);
        if let Body::File(file) = &sealed.body {
            move_file_aside(&backlog, &sealed, file, lost, why);
        }
        end(&backlog, sealed.id, if gone == 0 { Outcome::Stored } else { Outcome::DeadLettered });
    }

    /// Parts of it are about to be sent by themselves: from now on, over restarts too, it is in doubt and never sent as a
    /// whole. Blocks the thread.
    ///
    /// # Errors
    /// If its file cannot be renamed durably, or read; nothing may be sent in parts then.
    pub fn mark_in_doubt(&mut self, whole: Whole) -> io::Result<InDoubt> {
        assert_eq!(whole.id, self.sealed.id, "what was loaded from a segment belongs to it");
        self.set_in_doubt()?;
        let Whole { id, table, frames, .. } = whole;
        if frames.are_in_file() {
            // they were checked when they were sent, which may be long ago
            return match self.load() {
                Ok(Loaded::InDoubt(rows)) => Ok(rows),
                Ok(Loaded::Whole(_)) => unreachable!("it is in doubt"),
                Err(LoadError::Io(error)) => Err(error),
                Err(unreadable) => Err(io::Error::other(unreadable)),
            };
        }
        Ok(InDoubt { id, table, frames: frames.all()?, damage: None })
    }

    fn set_in_doubt(&mut self) -> io::Result<()> {
        if self.sealed.in_doubt {
            return Ok(());
        }
        let Sealed { id, rows, .. } = self.sealed;
        if let Body::File(file) = &mut self.sealed.body
            && !file.place().is_left()
        {
            let dir = &self.backlog.0.dir;
            file.rename(dir.join(FileName { id, state: FileState::Doubt { rows } }.file()))?;
            file.folder().sync_dir(dir)?;
        }
        self.sealed.in_doubt = true;
        Ok(())
    }

    /// Not now: others may go first until `pause` is over. `history` is what it went through by now.
    pub fn put_back(self, pause: Duration, history: History) {
        let Self { sealed, backlog, .. } = self;
        backlog.state().queue.put_back(sealed, Instant::now().checked_add(pause), history);
        backlog.0.changed.notify_waiters();
    }
}

/// The next start does not expect it any more, and those who wait for it are notified.
fn end(backlog: &Backlog, id: SegmentId, outcome: Outcome) {
    // if the ledger cannot be written, the next start finds the file, or names it as missing
    let _is_cleared = backlog.ledger().clear(id);
    backlog.settle(id, outcome);
}

/// Marks the file of a stored segment as that. If the mark is lost, the segment is sent once more after a restart, with the same
/// token.
fn retain(backlog: &Backlog, sealed: &Sealed, file: &SegmentFile) {
    let (folder, path) = (file.folder(), file.path());
    let name = FileName { id: sealed.id, state: FileState::Stored { rows: sealed.rows } };
    let retained = backlog.0.dir.join(name.file());
    match folder.rename(path, &retained) {
        Ok(()) => {
            // this run does not remove a file that the next start still expects
            if backlog.ledger().clear(sealed.id) {
                backlog.retained().retain(folder.clone(), retained, sealed.bytes);
            }
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "failed to mark a segment as stored; it is removed");
            if let Err(error) = folder.remove(path) {
                tracing::warn!(%error, path = %path.display(), "failed to remove a segment that is stored");
            }
        }
    }
}

fn move_file_aside(backlog: &Backlog, sealed: &Sealed, file: &SegmentFile, lost: RowsLost, why: &str) {
    let path = file.path();
    let reason = if lost.rows < sealed.rows { Reason::Damaged } else { Reason::Unreadable };
    let moved = move_aside(&**file.folder(), &backlog.0.dir, path);
    let name = aside::name_of(moved.as_deref().unwrap_or(path));
    tracing::error!(
        segment = %sealed.id, rows = sealed.rows, rows_lost = lost.rows, is_exact = lost.is_exact, file = name, why,
        "a segment of the journal is damaged; its good rows are stored, the file is set aside"
    );
    if let Err(error) = moved {
        tracing::error!(%error, path = %path.display(), "failed to set a damaged segment aside");
    }
    let lost = if sealed.is_foreign { RowsLost::exactly(0) } else { lost };
    backlog.note_aside(Aside { file: name, reason, lost });
}
