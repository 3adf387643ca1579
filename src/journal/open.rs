//! Opening a journal: its folder is locked first, and read afterwards, which takes longer the more waits in it.

use super::active::Scratch;
use super::backlog::Backlog;
use super::config::Options;
use super::disk::Folder;
use super::error::OpenError;
use super::records::{self, IsNew};
use super::recover::Recovered;
use super::replay::Replay;
use super::segment_file::Descriptors;
use super::writer::Journal;
use crate::columns::Table;
use crate::telemetry::Metrics;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A journal of which nothing is read yet: no rows can be added to it.
pub struct Unread(Journal);

impl Unread {
    /// Takes the journal in a folder.
    ///
    /// # Errors
    /// On an I/O error.
    pub fn new(options: Options, disk: Arc<dyn Folder>, metrics: Metrics) -> Result<Self, OpenError> {
        let dir = &options.dir;
        disk.create_dir(dir).map_err(|source| OpenError::Io { dir: dir.clone(), source })?;
        let backlog = Backlog::new(Arc::clone(&disk), dir, metrics.clone());
        Ok(Self(Journal {
            disk,
            displaced: None,
            descriptors: Descriptors::default(),
            backlog,
            metrics,
            max_bytes: u64::MAX,
            last_number: 0,
            latest: options.now,
            open: BTreeMap::new(),
            scratch: Scratch::default(),
            options,
        }))
    }

    /// The segments that wait for ClickHouse, as they are found.
    #[must_use]
    pub fn backlog(&self) -> &Backlog {
        &self.0.backlog
    }

    /// Reads it, after whatever ended the last run: torn ends are cut, everything whole waits for ClickHouse again. `replay` is
    /// given the spans in it, newest segment first, until it returns false. Blocks the thread.
    ///
    /// # Errors
    /// On an I/O error.
    pub fn recover(self, replay: &mut dyn FnMut(&Replay<'_>) -> bool) -> Result<(Journal, Recovered), OpenError> {
        let Self(mut journal) = self;
        let recovered = journal.recover(replay);
        let recovered = recovered.map_err(|source| OpenError::Io { dir: journal.options.dir.clone(), source })?;
        journal.max_bytes = journal.default_max_bytes();
        journal.prepare_next(Table::Traces);
        Ok((journal, recovered))
    }
}

impl Journal {
    /// Opens the journal in a folder: [`Unread::recover`] at once.
    ///
    /// # Errors
    /// On an I/O error.
    pub fn open(
        options: Options,
        disk: Arc<dyn Folder>,
        metrics: Metrics,
        replay: &mut dyn FnMut(&Replay<'_>) -> bool,
    ) -> Result<(Self, Recovered), OpenError> {
        Unread::new(options, disk, metrics)?.recover(replay)
    }

    /// The secret of the keys of reports in this folder: made once from `random`, and kept.
    ///
    /// # Errors
    /// On an I/O error.
    pub fn secret(folder: &dyn Folder, dir: &Path, random: u64) -> Result<(u64, IsNew), OpenError> {
        records::secret(folder, dir, random).map_err(|source| OpenError::Io { dir: dir.to_owned(), source })
    }
}
