//! The start after whatever ended the last run, and after whatever was done to the folder since.
//!
//! ```text
//! list -> set aside what is not a file -> which segment is each? its header says it -> one file for each, copies set aside
//!      -> read what was being written, and as many others as the index of repeats wants
//!      -> compare with the ledger: what was acknowledged and is not there is named and counted
//! ```

use super::archive::number_of;
use super::aside::{Aside, DAMAGED_DIR, Reason, move_aside, name_of};
use super::disk::{self, Entry};
use super::folder::LOCK_FILE;
use super::format::{self, Damage, FileName, FileState, HEADER_BYTES_MAX, Header, Unreadable};
use super::ledger::{Acknowledged, BOOT_FILE, Before, LEDGER_FILE};
use super::loaded::RowsLost;
use super::records::SECRET_FILE;
use super::replay::Replayer;
use super::sealed::{Body, Sealed};
use super::segment_file::SegmentFile;
use super::writer::Journal;
use crate::bounds::SEGMENT_FILE_BYTES_MAX;
use crate::columns::Table;
use crate::ids::SegmentId;
use crate::numbers::to_u64;
use crate::time::UnixNanos;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// This journal gives no number that is so far ahead of the clock, so the next one does not follow such a number.
const NUMBERS_AHEAD_MAX: u64 = 24 * 60 * 60 * 1_000_000_000;
/// Odd names that the log shows.
const ODD_NAMES_SHOWN: usize = 10;

/// What was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Segments that wait for ClickHouse.
    pub segments: usize,
    /// Their rows.
    pub rows: usize,
    /// Bytes of commits that were cut off, so never acknowledged.
    pub torn_bytes: u64,
    /// The machine was started again since: what waits may be in ClickHouse although its token is forgotten.
    pub in_doubt: bool,
}

impl Recovered {
    fn count(&mut self, rows: usize) {
        self.segments += 1;
        self.rows += rows;
    }
}

/// A file that has the name of a segment.
#[derive(Debug, Clone)]
struct Found {
    /// What its name says, with the id that its header says.
    name: FileName,
    path: PathBuf,
    bytes: u64,
    /// How many bytes its header has, or why it cannot be read.
    header: Result<usize, Unreadable>,
    /// What its header says; without one that of spans.
    table: Table,
    /// Its name says another id than its header, or another file says the same.
    is_odd: bool,
}

/// What becomes of a file.
enum Judged {
    /// Rows wait in it.
    Waits(Waits),
    /// ClickHouse has it.
    Stored,
    /// Nothing is in it but the beginning of a commit, and nothing was to be.
    Nothing { torn_bytes: u64 },
    /// It stays where it is.
    Left,
    /// It is no longer there.
    Aside,
}

/// Rows that wait in a file.
struct Waits {
    rows: usize,
    bytes: u64,
    /// So many were acknowledged, whatever became of them.
    is_counted: bool,
}

impl Journal {
    pub(super) fn recover(&mut self, replay: &mut Replayer<'_>) -> io::Result<Recovered> {
        let listed = self.disk.list(&self.options.dir)?;
        let mut recovered = Recovered { in_doubt: self.machine_was_down(&listed)?, ..Recovered::default() };
        let before = self.ledger_before(&listed)?;
        self.name_what_is_odd(&listed)?;
        let mut found = self.identify(&listed)?;
        self.name_what_is_missing(&found, &before);
        found.sort_unstable_by_key(|found| std::cmp::Reverse(found.name.id));
        let (mut has_enough, mut all_renamed, mut stored) = (false, true, Vec::new());
        for file in found {
            let id = file.name.id;
            self.count_on_from(id);
            if !usize::try_from(file.bytes).is_ok_and(|bytes| bytes <= SEGMENT_FILE_BYTES_MAX) {
                self.lose_whole(&file, Reason::TooLarge, before.of(id).map_or(0, |noted| noted.rows), &before)?;
                continue;
            }
            // the others are sent as they are: what is wrong with them is found then
            let content = if file.name.state == FileState::Open { Some(self.disk.read(&file.path)?) } else { None };
            let scanned = content.as_ref().map(|bytes| (bytes.as_slice(), format::scan(bytes, format::is_of(id))));
            if !has_enough {
                has_enough = !match &scanned {
                    Some((bytes, Ok(scan))) => self.replay_scanned(id, bytes, scan, replay),
                    Some((_, Err(_))) => true,
                    None => self.replay_finished(id, (&file.path, file.bytes), file.header.ok(), replay),
                };
            }
            match self.judge(&file, scanned, &before)? {
                Judged::Waits(waits) => {
                    recovered.torn_bytes += file.bytes - waits.bytes;
                    recovered.count(waits.rows);
                    self.metrics.of(file.table.row_kind()).recover(waits.rows);
                    let in_doubt = recovered.in_doubt || file.is_odd || before.is_foreign(id);
                    let is_foreign = before.is_exact && before.is_foreign(id);
                    self.take_in(file, waits, in_doubt, is_foreign, &mut all_renamed);
                }
                Judged::Stored => stored.push((file.path, file.bytes)),
                Judged::Nothing { torn_bytes } => {
                    recovered.torn_bytes += torn_bytes;
                    self.disk.remove(&file.path)?;
                }
                Judged::Left | Judged::Aside => {}
            }
        }
        self.replay_archive(&listed, has_enough, replay)?;
        // the first to go is the oldest
        stored
            .into_iter()
            .rev()
            .for_each(|(path, bytes)| self.backlog.retained().retain(Arc::clone(&self.disk), path, bytes));
        self.begin_run(all_renamed)?;
        Ok(recovered)
    }

    /// Whether the machine was started again since the last run.
    fn machine_was_down(&self, listed: &[Entry]) -> io::Result<bool> {
        if !listed.iter().any(|entry| entry.name == BOOT_FILE) {
            return Ok(false);
        }
        let before = self.disk.read(&self.options.dir.join(BOOT_FILE))?;
        Ok(self.options.boot.as_deref().map(str::as_bytes) != Some(before.as_slice()))
    }

    fn ledger_before(&self, listed: &[Entry]) -> io::Result<Before> {
        if !listed.iter().any(|entry| entry.name == LEDGER_FILE && entry.is_file) {
            return Ok(Before::default());
        }
        let bytes = self.disk.read(&self.options.dir.join(LEDGER_FILE))?;
        Ok(Before::read(&bytes, self.options.boot.as_deref()))
    }

    /// What the next start compares with.
    fn begin_run(&self, all_renamed: bool) -> io::Result<()> {
        let (dir, boot) = (&self.options.dir, self.options.boot.as_deref());
        if all_renamed {
            // only now: until the names say which are in doubt, all of them are
            self.disk.sync_dir(dir)?;
            disk::replace(&*self.disk, dir, BOOT_FILE, self.options.boot_bytes())?;
        }
        self.backlog.ledger().begin(&*self.disk, dir, boot)
    }

    /// What becomes of a file.
    fn judge(
        &self,
        file: &Found,
        scanned: Option<(&[u8], Result<format::Scan, Unreadable>)>,
        before: &Before,
    ) -> io::Result<Judged> {
        let noted = before.of(file.name.id);
        Ok(match (file.name.state, scanned) {
            (FileState::New, _) => Judged::Nothing { torn_bytes: 0 },
            (FileState::Stored { .. }, _) => Judged::Stored,
            _ if let Err(why @ Unreadable::Version(_)) = file.header => {
                tracing::error!(path = %file.path.display(), %why, "a segment of the journal is left where it is");
                Judged::Left
            }
            // one that is damaged is set aside when it is sent, and what it lost is counted
            (FileState::Waiting { rows } | FileState::Doubt { rows }, _) => {
                let rows = noted.filter(|_| before.is_exact).map_or(rows, |noted| noted.rows);
                Judged::Waits(Waits { rows, bytes: file.bytes, is_counted: true })
            }
            (FileState::Open, None) => Judged::Left,
            (FileState::Open, Some((content, scan))) => self.finish(file, content, scan, noted, before)?,
        })
    }

    /// A segment that waits for ClickHouse again. One that was being written may have been sealed and sent, and its new name lost.
    fn take_in(&self, file: Found, waits: Waits, in_doubt: bool, is_foreign: bool, all_renamed: &mut bool) {
        let (id, table, Waits { rows, bytes, is_counted }) = (file.name.id, file.table, waits);
        let in_doubt = in_doubt || matches!(file.name.state, FileState::Doubt { .. });
        let path = if in_doubt {
            self.doubted(file.path, id, rows, all_renamed)
        } else {
            self.renamed(file.path, FileName { id, state: FileState::Waiting { rows } })
        };
        let open = self.disk.open(&path).ok();
        self.backlog.push(Sealed {
            id,
            table,
            counted_as: table,
            body: Body::File(SegmentFile::new(Arc::clone(&self.disk), path, open, &self.descriptors)),
            rows,
            bytes,
            oldest: UnixNanos::new(id.number()).map_or(self.latest, |began| began.min(self.latest)),
            is_recovered: true,
            in_doubt,
            is_displaced: false,
            is_counted,
            is_foreign,
        });
        if !is_foreign {
            self.backlog.ledger().note(id, Acknowledged { rows, bytes });
        }
    }

    /// Sets aside what has the name of a segment and is not a file; logs names that are not the journal's.
    fn name_what_is_odd(&self, listed: &[Entry]) -> io::Result<()> {
        let before = match self.disk.list(&self.options.dir.join(DAMAGED_DIR)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        for entry in before {
            let lost = RowsLost::exactly(0);
            self.backlog.note_aside(Aside { file: entry.name, reason: Reason::Earlier, lost });
        }
        for entry in listed.iter().filter(|entry| !entry.is_file && FileName::read(&entry.name).is_some()) {
            let path = self.options.dir.join(&entry.name);
            self.aside(&path, Reason::NotAFile, RowsLost::exactly(0))?;
        }
        let odd: Vec<&str> = listed.iter().map(|entry| entry.name.as_str()).filter(|name| is_odd_name(name)).collect();
        if !odd.is_empty() {
            let names = odd.iter().take(ODD_NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
            tracing::warn!(
                files = odd.len(),
                names,
                "the journal's folder has what is not the journal's; it is left alone"
            );
        }
        Ok(())
    }

    /// Which segment each file has: what its header says, should its name say another. Of several files with one segment the
    /// largest is taken, the others are set aside.
    fn identify(&self, listed: &[Entry]) -> io::Result<Vec<Found>> {
        let mut by_id: BTreeMap<SegmentId, Vec<Found>> = BTreeMap::new();
        for entry in listed.iter().filter(|entry| entry.is_file) {
            let Some(name) = FileName::read(&entry.name) else { continue };
            let path = self.options.dir.join(&entry.name);
            let front = match self.disk.read_front(&path, HEADER_BYTES_MAX) {
                Err(error) if name.state == FileState::Open => return Err(error),
                // it is sent when it can be read
                front => front.unwrap_or_default(),
            };
            let header = Header::read(&front);
            let id = header.as_ref().map_or(name.id, |(header, _)| header.id);
            let table = header.as_ref().map_or(Table::default(), |(header, _)| header.table());
            let (header, is_odd) = (header.map(|(_, bytes)| bytes), id != name.id);
            let found = Found { name: FileName { id, ..name }, path, bytes: entry.bytes, header, table, is_odd };
            by_id.entry(id).or_default().push(found);
        }
        let mut one_each = Vec::new();
        for mut same in by_id.into_values() {
            same.sort_by_key(|found| std::cmp::Reverse((found.has_rows(), found.bytes, !found.is_odd)));
            let is_alone = same.len() == 1;
            let mut same = same.into_iter();
            let Some(mut first) = same.next() else { continue };
            for copy in same {
                self.aside(&copy.path, Reason::Copy, RowsLost::exactly(0))?;
            }
            if first.is_odd {
                first.path = self.under_its_name(first.path, first.name)?;
            }
            first.is_odd |= !is_alone;
            one_each.push(first);
        }
        Ok(one_each)
    }

    fn under_its_name(&self, path: PathBuf, name: FileName) -> io::Result<PathBuf> {
        let to = self.options.dir.join(name.file());
        tracing::warn!(
            from = %path.display(), to = %to.display(),
            "a file of the journal has the name of another segment; it is renamed, and ClickHouse is asked what it has of it"
        );
        self.disk.rename(&path, &to)?;
        Ok(to)
    }

    /// What was acknowledged, and is in no file.
    fn name_what_is_missing(&self, found: &[Found], before: &Before) {
        for (id, noted) in &before.segments {
            if found.iter().any(|found| found.name.id == *id) {
                continue;
            }
            let name = FileName { id: *id, state: FileState::Waiting { rows: noted.rows } }.file();
            if before.is_exact {
                // the ledger does not say of which signal they are
                let metrics = self.metrics.of(Table::default().row_kind());
                metrics.recover(noted.rows);
                metrics.settle(0, noted.rows);
                self.lose(name, Reason::Missing, RowsLost::exactly(noted.rows));
            } else {
                tracing::warn!(
                    file = name,
                    rows = noted.rows,
                    "a segment is not there; it was stored shortly before the machine went down, or somebody removed it"
                );
            }
        }
    }

    /// New numbers follow those that are there, unless somebody else gave them.
    fn count_on_from(&mut self, id: SegmentId) {
        if id.number() <= self.latest.nanos().cast_unsigned().saturating_add(NUMBERS_AHEAD_MAX) {
            self.last_number = self.last_number.max(id.number());
        } else {
            tracing::warn!(segment = %id, "a segment has a number that is far ahead of the clock; those to come do not follow it");
        }
    }

    /// Makes durable what a segment that was being written holds, without a torn end: its rows count as accepted from now
    /// on, and so far they may be in the machine's memory alone.
    fn finish(
        &self,
        file: &Found,
        content: &[u8],
        scan: Result<format::Scan, Unreadable>,
        acknowledged: Option<Acknowledged>,
        before: &Before,
    ) -> io::Result<Judged> {
        let scan = scan.map(|scan| scan.of(file.name.id, content));
        let rows_noted = acknowledged.map_or(0, |noted| noted.rows);
        let rows_good = scan.as_ref().map_or(0, |scan| scan.rows_in(content));
        // a file gets its name once its header is durable
        let is_begun = scan.as_ref().is_ok_and(|scan| scan.header.is_some());
        let sound_until = scan.as_ref().map_or(0, |scan| to_u64(scan.sound_until));
        if rows_good == 0 && rows_noted == 0 && is_begun {
            return Ok(Judged::Nothing { torn_bytes: file.bytes.saturating_sub(sound_until) });
        }
        let Some(scan) = scan.ok().filter(|_| rows_good > 0) else {
            return self.lose_whole(file, Reason::Unreadable, rows_noted, before);
        };
        // what was acknowledged is not torn but damaged
        let is_torn = scan.is_torn() && acknowledged.is_none_or(|noted| noted.bytes <= sound_until);
        let bytes = if is_torn { sound_until } else { file.bytes };
        self.disk.cut(&file.path, bytes)?;
        let is_counted = before.is_exact || scan.damage != Damage::Inside && rows_good >= rows_noted;
        Ok(Judged::Waits(Waits { rows: rows_good.max(rows_noted), bytes, is_counted }))
    }

    /// No row of a file is to be had.
    fn lose_whole(&self, file: &Found, reason: Reason, rows: usize, before: &Before) -> io::Result<Judged> {
        let metrics = self.metrics.of(file.table.row_kind());
        metrics.recover(rows);
        metrics.settle(0, rows);
        self.aside(&file.path, reason, RowsLost { rows, is_exact: before.is_exact })?;
        Ok(Judged::Aside)
    }

    fn aside(&self, path: &std::path::Path, reason: Reason, lost: RowsLost) -> io::Result<()> {
        let to = move_aside(&*self.disk, &self.options.dir, path)?;
        let file = name_of(&to);
        self.lose(file, reason, lost);
        Ok(())
    }

    fn lose(&self, file: String, reason: Reason, lost: RowsLost) {
        let RowsLost { rows, is_exact } = lost;
        tracing::error!(
            file,
            reason = reason.label(),
            rows_lost = rows,
            is_exact,
            "a file of the journal is not what it should be"
        );
        self.backlog.note_aside(Aside { file, reason, lost });
    }

    /// The file under a name that says that it is in doubt, over any number of restarts.
    fn doubted(&self, path: PathBuf, id: SegmentId, rows: usize, all_renamed: &mut bool) -> PathBuf {
        let new = self.options.dir.join(FileName { id, state: FileState::Doubt { rows } }.file());
        let renamed = self.renamed(path, FileName { id, state: FileState::Doubt { rows } });
        *all_renamed &= renamed == new;
        renamed
    }
}

impl Found {
    /// Whether ClickHouse may not have its rows.
    fn has_rows(&self) -> bool {
        !matches!(self.name.state, FileState::Stored { .. } | FileState::New)
    }
}

/// Whether it is a name that the journal does not use.
fn is_odd_name(name: &str) -> bool {
    let own = [BOOT_FILE, LEDGER_FILE, LOCK_FILE, SECRET_FILE, DAMAGED_DIR];
    FileName::read(name).is_none()
        && number_of(name).is_none()
        && !own.contains(&name)
        && !name.ends_with(".unfinished")
}
