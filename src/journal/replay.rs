//! What a start tells the dedup index of rows that earlier runs accepted: those of segments, newest first, then those of the
//! archive.

use super::archive::{self, number_of};
use super::disk::Entry;
use super::format::{self, Scan};
use super::identities::{Told, Walked, walk};
use super::records::hash_of_secret;
use super::writer::Journal;
use crate::columns::native::frames::decompress_checked_frame;
use crate::columns::native::parse::Block;
use crate::ids::{ReportKey, SegmentId};
use crate::numbers::saturating_usize;
use crate::time::UnixNanos;
use std::io;
use std::path::Path;

/// Is given the rows of an earlier run; returns false when those are enough.
pub(super) type Replayer<'s> = dyn FnMut(&Replay<'_>) -> bool + 's;

/// Rows that are in the journal, or were.
#[derive(Debug)]
pub struct Replay<'a> {
    /// When they were accepted.
    pub accepted_at: UnixNanos,
    /// Which they are.
    pub rows: ReplayedRows<'a>,
}

/// See [`Replay`].
#[derive(Debug)]
pub enum ReplayedRows<'a> {
    /// Their keys.
    Keys(Vec<ReportKey>),
    /// The rows themselves: an earlier release wrote them, or their keys are of another secret.
    Block(&'a Block<'a>),
}

impl ReplayedRows<'_> {
    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Keys(keys) => keys.len(),
            Self::Block(block) => block.rows(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Journal {
    /// Replays the rows of a segment that was read whole; false when they are enough.
    pub(super) fn replay_scanned(&self, id: SegmentId, bytes: &[u8], found: &Scan, replay: &mut Replayer<'_>) -> bool {
        let secret = hash_of_secret(self.options.secret);
        let mut teller = Teller::new(id, replay);
        found.framed(bytes).all(|(frame, record)| {
            let record = record.filter(|record| record.secret == secret);
            teller.tell(record.map_or(Told::Frame(frame), Told::Record))
        })
    }

    /// Replays the rows of a segment that is finished, mostly without reading them; false when they are enough. One that cannot be
    /// read now is sent when it can.
    pub(super) fn replay_finished(
        &self,
        id: SegmentId,
        (path, bytes): (&Path, u64),
        header_bytes: Option<usize>,
        replay: &mut Replayer<'_>,
    ) -> bool {
        self.try_to_replay(id, (path, bytes), header_bytes, replay).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "failed to read a segment; its repeats may be stored again");
            true
        })
    }

    fn try_to_replay(
        &self,
        id: SegmentId,
        (path, bytes): (&Path, u64),
        header_bytes: Option<usize>,
        replay: &mut Replayer<'_>,
    ) -> io::Result<bool> {
        let file = self.disk.open(path)?;
        let mut sound_until = 0;
        if let Some(header_bytes) = header_bytes {
            let mut teller = Teller::new(id, replay);
            let secret = hash_of_secret(self.options.secret);
            match walk((&*file, bytes), header_bytes, secret, |told| teller.tell(told))? {
                Walked::Whole => return Ok(true),
                Walked::Enough => return Ok(false),
                Walked::DamagedAt(at) => sound_until = saturating_usize(at),
            }
        }
        let bytes = file.read_all()?;
        let rest = bytes.get(sound_until..).unwrap_or_default();
        let Ok(found) = format::scan(rest, format::is_of(id)) else { return Ok(true) };
        Ok(self.replay_scanned(id, rest, &found, replay))
    }

    /// Replays the rows of segments that are gone, the latest first.
    pub(super) fn replay_archive(
        &self,
        listed: &[Entry],
        mut has_enough: bool,
        replay: &mut Replayer<'_>,
    ) -> io::Result<()> {
        let secret = hash_of_secret(self.options.secret);
        let numbered =
            listed.iter().filter(|entry| entry.is_file).filter_map(|entry| Some((number_of(&entry.name)?, entry)));
        let mut files: Vec<(u64, &Entry)> = numbered.collect();
        files.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        let mut earlier = Vec::new();
        for (number, entry) in files {
            let path = self.options.dir.join(&entry.name);
            let bytes = match self.disk.read(&path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "failed to read which spans were accepted; repeats of them may be stored again");
                    Vec::new()
                }
            };
            let mut keys = 0;
            for record in archive::records(&bytes) {
                keys += record.len();
                if !has_enough && record.secret == secret {
                    let rows = Replay { accepted_at: record.accepted_at, rows: ReplayedRows::Keys(record.keys()) };
                    has_enough = !replay(&rows);
                }
            }
            earlier.push((number, path, keys));
        }
        earlier.reverse();
        self.backlog.retained().continue_archive(self.options.keys_max, earlier);
        Ok(())
    }
}

/// Passes on what tells of the rows of a segment.
struct Teller<'r, 's> {
    /// When the segment was begun; a number that is not a time is not from this journal.
    began: Option<UnixNanos>,
    content: Vec<u8>,
    replay: &'r mut Replayer<'s>,
}

impl<'r, 's> Teller<'r, 's> {
    fn new(id: SegmentId, replay: &'r mut Replayer<'s>) -> Self {
        Self { began: UnixNanos::new(id.number()), content: Vec::new(), replay }
    }

    /// False when it is enough.
    fn tell(&mut self, told: Told<'_>) -> bool {
        let frame = match told {
            Told::Record(record) => {
                let rows = ReplayedRows::Keys(record.keys());
                return (self.replay)(&Replay { accepted_at: record.accepted_at, rows });
            }
            Told::Frame(frame) => frame,
        };
        let Some(began) = self.began else { return true };
        self.content.clear();
        let whole = decompress_checked_frame(frame, &mut self.content);
        match whole.ok().and_then(|()| Block::parse(&self.content).ok()) {
            Some((block, _rest)) => (self.replay)(&Replay { accepted_at: began, rows: ReplayedRows::Block(&block) }),
            None => true,
        }
    }
}
