//! A journal whose folder is taken away from under it: nothing more is acknowledged until what is committed would be found by the
//! next start again.
//!
//! ```text
//! in place --removed, renamed, mounted over--> displaced: what waits is sent from files that are still open
//!    ^                                            | back again, or
//!    '--------------------------------------------' nothing is there: a new folder is made and locked
//! ```

use super::disk::{self, Folder};
use super::error::{CommitError, Gone, OpenError};
use super::ledger::BOOT_FILE;
use super::records;
use super::view::BacklogView;
use super::writer::Journal;
use crate::columns::Table;
use std::sync::Arc;

impl Journal {
    /// Looks whether rows can be committed: the folder is in place, what waits is there, and there is room.
    ///
    /// # Errors
    /// Why not.
    pub fn watch(&mut self) -> Result<(), CommitError> {
        self.show_room();
        self.put_in_place()?;
        self.backlog.look_for_files();
        Ok(self.room()?)
    }

    /// Makes sure that the folder is the one that was opened or, when nothing is in its place, one that is made there.
    pub(super) fn put_in_place(&mut self) -> Result<(), Gone> {
        if self.disk.is_in_place() {
            if self.displaced.take().is_some() {
                self.backlog.displace(self.disk.id(), false);
                tracing::info!(folder = %self.options.dir.display(), "the journal's folder is in its place again");
            }
            return Ok(());
        }
        if self.displaced.is_none() {
            self.displaced = Some(String::new());
            self.backlog.displace(self.disk.id(), true);
            let BacklogView { rows_in_memory: spans, .. } = self.backlog.view();
            tracing::error!(
                folder = %self.options.dir.display(), spans,
                "the journal's folder was removed, renamed or replaced; what waits in it is sent from files that are still open"
            );
        }
        match self.new_folder() {
            Ok(folder) => {
                self.move_to(folder);
                Ok(())
            }
            Err(error) => {
                let why = error.to_string();
                if self.displaced.as_ref() != Some(&why) {
                    tracing::error!(why, "no other folder can be used instead; nothing more is acknowledged");
                    self.displaced = Some(why);
                }
                Err(Gone::Folder)
            }
        }
    }

    /// An empty folder in the place of the one that is gone.
    fn new_folder(&self) -> Result<Arc<dyn Folder>, OpenError> {
        let folder = self.disk.at_its_place()?;
        let (dir, boot) = (&self.options.dir, self.options.boot.as_deref());
        // should this run end before what waits is stored, the next start can say what is lost
        disk::replace(&*folder, dir, BOOT_FILE, self.options.boot_bytes())
            .and_then(|()| records::keep_secret(&*folder, dir, self.options.secret))
            .and_then(|()| self.backlog.ledger().begin(&*folder, dir, boot))
            .map_err(|source| OpenError::Io { dir: dir.clone(), source })?;
        Ok(folder)
    }

    fn move_to(&mut self, folder: Arc<dyn Folder>) {
        // one that was prepared is in the folder that is gone
        let tables: Vec<Table> = self.open.keys().copied().collect();
        self.open.values_mut().for_each(|open| open.next = None);
        self.displaced = None;
        self.backlog.occupy(Arc::clone(&folder));
        self.disk = folder;
        self.max_bytes = self.default_max_bytes();
        tables.into_iter().for_each(|table| self.prepare_next(table));
        tracing::warn!(folder = %self.options.dir.display(), "made a new folder for the journal; accepting");
    }
}
