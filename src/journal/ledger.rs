//! What was acknowledged and is not in ClickHouse yet, beside the segments: a start knows by it what somebody took from them.
//!
//! ```text
//! 0   8  "ACKNOWLD"
//! 8   8  which start of the machine this is of: the start of the checksum of its id; little-endian as all numbers here
//! 16 32  0
//! 48 16  CityHash128 of everything above
//!
//! then slots of 64 bytes, each one segment's or empty
//! 0  16  id of the segment, as ClickHouse carries a UUID
//! 16  8  rows that were acknowledged
//! 24  8  bytes of the file that they end at
//! 32 16  0
//! 48 16  CityHash128 of everything above
//! ```
//!
//! A slot is written over with each commit, without a sync: after a crash it is as it was, after a power cut it may be an earlier
//! one. So it tells exactly what is lost as long as the machine runs, and afterwards the least that is.

use super::disk::{Folder, Overwritable, replace};
use crate::columns::native::frames::checksum_of;
use crate::ids::SegmentId;
use crate::numbers::to_u64;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

pub(super) const LEDGER_FILE: &str = "ledger";
/// Which start of the machine the last run was in.
pub(super) const BOOT_FILE: &str = "boot";
const MAGIC: &[u8; 8] = b"ACKNOWLD";
const SLOT_BYTES: usize = 64;
const SAID_BYTES: usize = 48;

/// What was acknowledged of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) rows: usize,
    pub(super) bytes: u64,
}

/// What an earlier run left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) segments: BTreeMap<SegmentId, Acknowledged>,
    /// Nothing was acknowledged that is not in it.
    pub(super) is_exact: bool,
    /// There was one at all: an earlier release keeps none.
    pub(super) is_there: bool,
}

impl Before {
    pub(super) fn read(bytes: &[u8], boot: Option<&str>) -> Self {
        let mut slots = bytes.chunks(SLOT_BYTES);
        let Some(head) = slots.next().and_then(checked).filter(|head| head.starts_with(MAGIC)) else {
            return Self::default();
        };
        let is_exact = boot.is_some_and(|boot| head.get(8..16) == Some(&boot_hash(Some(boot))));
        Self { segments: slots.filter_map(checked).filter_map(read_slot).collect(), is_exact, is_there: true }
    }

    pub(super) fn of(&self, id: SegmentId) -> Option<Acknowledged> {
        self.segments.get(&id).copied()
    }

    /// Whether it is of a segment that this journal did not have waiting: somebody put its file there.
    pub(super) fn is_foreign(&self, id: SegmentId) -> bool {
        self.is_there && !self.segments.contains_key(&id)
    }
}

/// A slot's bytes above its checksum, if that is right.
fn checked(slot: &[u8]) -> Option<&[u8]> {
    let (said, sum) = slot.split_at_checked(SAID_BYTES)?;
    (checksum_of(said) == sum).then_some(said)
}

fn read_slot(said: &[u8]) -> Option<(SegmentId, Acknowledged)> {
    let id = SegmentId::from_wire(said.get(..16)?.try_into().ok()?);
    let number = |at: usize| said.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    Some((id, Acknowledged { rows: usize::try_from(number(16)?).ok()?, bytes: number(24)? }))
}

fn boot_hash(boot: Option<&str>) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = checksum_of(boot.map_or(b"", str::as_bytes));
    [a, b, c, d, e, f, g, h]
}

fn with_checksum(said: &[u8]) -> Vec<u8> {
    let mut slot = said.to_vec();
    slot.resize(SAID_BYTES, 0);
    slot.extend_from_slice(&checksum_of(&slot));
    slot
}

fn slot_of(id: SegmentId, acknowledged: Acknowledged) -> Vec<u8> {
    let rows = to_u64(acknowledged.rows);
    with_checksum(&[&id.wire_bytes()[..], &rows.to_le_bytes(), &acknowledged.bytes.to_le_bytes()].concat())
}

/// The ledger of this run.
#[derive(Default)]
pub(super) struct Ledger {
    file: Option<Box<dyn Overwritable>>,
    slots: BTreeMap<SegmentId, (usize, Acknowledged)>,
    free: Vec<usize>,
}

impl Ledger {
    /// Begins it anew in a folder, with all that it has.
    pub(super) fn begin(&mut self, folder: &dyn Folder, dir: &Path, boot: Option<&str>) -> io::Result<()> {
        let mut bytes = with_checksum(&[&MAGIC[..], &boot_hash(boot)].concat());
        self.free.clear();
        for (place, (id, (slot, acknowledged))) in self.slots.iter_mut().enumerate() {
            *slot = place;
            bytes.extend_from_slice(&slot_of(*id, *acknowledged));
        }
        replace(folder, dir, LEDGER_FILE, &bytes)?;
        self.file = Some(folder.overwrite(&dir.join(LEDGER_FILE))?);
        Ok(())
    }

    /// Notes what is acknowledged of a segment by now. What cannot be written is not known to the next start, which loses nothing
    /// by it.
    pub(super) fn note(&mut self, id: SegmentId, acknowledged: Acknowledged) {
        let next = self.slots.len() + self.free.len();
        let slot = match self.slots.get(&id) {
            Some((slot, _)) => *slot,
            None => self.free.pop().unwrap_or(next),
        };
        self.slots.insert(id, (slot, acknowledged));
        let _known_less = self.write(slot, &slot_of(id, acknowledged));
    }

    /// Forgets a segment that came to its end. False when the next start would still expect it.
    pub(super) fn clear(&mut self, id: SegmentId) -> bool {
        let Some((slot, _)) = self.slots.remove(&id) else { return true };
        self.free.push(slot);
        self.write(slot, &[0; SLOT_BYTES]).is_ok()
    }

    fn write(&self, slot: usize, bytes: &[u8]) -> io::Result<()> {
        let at = to_u64((slot + 1) * SLOT_BYTES);
        self.file.as_ref().map_or(Ok(()), |file| file.write_at(bytes, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing::SimDisk;

    fn id(number: u64) -> SegmentId {
        SegmentId::new(1, number)
    }

    #[test]
    fn what_was_noted_and_not_cleared_is_read_back_and_a_flipped_bit_costs_its_slot_alone() {
        let (disk, dir) = (SimDisk::default(), Path::new("/data/journal"));
        let folder = disk.shared();
        folder.create_dir(dir).unwrap();
        let mut ledger = Ledger::default();
        ledger.note(id(1), Acknowledged { rows: 1, bytes: 10 });
        ledger.begin(&*folder, dir, Some("boot")).unwrap();
        for (number, rows) in [(2, 5), (3, 7), (2, 6), (4, 9)] {
            ledger.note(id(number), Acknowledged { rows, bytes: 100 });
        }
        assert!(ledger.clear(id(3)) && ledger.clear(id(99)));
        ledger.note(id(5), Acknowledged { rows: 11, bytes: 1 });
        let bytes = disk.bytes_of(&dir.join(LEDGER_FILE));
        let rows = |before: &Before| before.segments.iter().map(|(id, of)| (id.number(), of.rows)).collect::<Vec<_>>();
        let whole = Before::read(&bytes, Some("boot"));
        assert_eq!(rows(&whole), [(1, 1), (2, 6), (4, 9), (5, 11)]);
        assert!(whole.is_exact && whole.is_foreign(id(3)) && !whole.is_foreign(id(2)));
        assert_eq!(bytes.len(), 5 * SLOT_BYTES, "a slot that is free is used again");
        assert!(!Before::read(&bytes, Some("another")).is_exact && !Before::read(&bytes, None).is_exact);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let left = Before::read(&damaged, Some("boot"));
            assert_eq!(left.segments.len(), if at < SLOT_BYTES { 0 } else { 3 }, "byte {at}");
        }
    }
}
