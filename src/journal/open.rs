//! Opening a journal.

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
use crate::telemetry::Metrics;
use std::path::Path;
use std::sync::Arc;

impl Journal {
    /// Opens the journal in a folder, after whatever ended the last run: torn ends are cut, everything whole waits for
    /// ClickHouse again. `replay` is given the spans in it, newest segment first, until it returns false.
    ///
    /// # Errors
    /// If another process uses it, or on an I/O error.
    pub fn open(
        options: Options,
        disk: Arc<dyn Folder>,
        metrics: Metrics,
        replay: &mut dyn FnMut(&Replay<'_>) -> bool,
    ) -> Result<(Self, Recovered), OpenError> {
        let dir = options.dir.clone();
        let failed = |source| OpenError::Io { dir: dir.clone(), source };
        disk.create_dir(&dir).map_err(failed)?;
        let backlog = Backlog::new(Arc::clone(&disk), &dir, metrics.clone());
        let mut journal = Self {
            disk,
            displaced: None,
            descriptors: Descriptors::default(),
            backlog,
            metrics,
            max_bytes: u64::MAX,
            last_number: 0,
            latest: options.now,
            on_disk: None,
            in_memory: None,
            next: None,
            scratch: Scratch::default(),
            options,
        };
        let recovered = journal.recover(replay).map_err(failed)?;
        journal.max_bytes = journal.default_max_bytes();
        journal.prepare_next();
        Ok((journal, recovered))
    }

    /// The secret of the keys of reports in this folder: made once from `random`, and kept.
    ///
    /// # Errors
    /// On an I/O error.
    pub fn secret(folder: &dyn Folder, dir: &Path, random: u64) -> Result<(u64, IsNew), OpenError> {
        records::secret(folder, dir, random).map_err(|source| OpenError::Io { dir: dir.to_owned(), source })
    }
}
