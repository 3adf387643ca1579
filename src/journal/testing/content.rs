//! A file's bytes: what is durable, what was written since, and what a failed sync or a power cut leaves.

use super::chance::Chance;
use std::ops::Range;

/// What disks write at once.
const BLOCK_BYTES: usize = 512;

/// A file's bytes.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) durable: Vec<u8>,
    /// What reads give: `durable` and what was written since.
    pub(super) now: Vec<u8>,
    /// The furthest that was written since, should it have reached the disk before it was cut back.
    pub(super) peak: Vec<u8>,
    /// What a failed sync lost although reads give it.
    pub(super) lost: Vec<Range<usize>>,
    /// Parts that were written over since the last sync.
    pub(super) overwritten: Vec<(usize, Vec<u8>)>,
    /// Something durable was cut off, and that is not durable yet.
    pub(super) is_cut: bool,
}

impl Content {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        assert!(!self.is_cut, "what is durable was cut off without a sync");
        self.now.extend_from_slice(bytes);
        if self.now.len() > self.peak.len() {
            self.peak.clone_from(&self.now);
        }
    }

    pub(super) fn overwrite(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        self.now.resize(self.now.len().max(end), 0);
        self.now[at..end].copy_from_slice(bytes);
        self.overwritten.push((at, bytes.to_vec()));
    }

    pub(super) fn cut(&mut self, length: usize) {
        self.is_cut = length < self.durable.len();
        self.now.truncate(length);
        self.lost.retain_mut(|lost| {
            lost.end = lost.end.min(length);
            lost.start < lost.end
        });
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.now);
        self.is_cut = false;
        self.overwritten.clear();
        for lost in self.lost.drain(..) {
            self.durable[lost].fill(0);
        }
        self.peak.clear();
    }

    pub(super) fn fail_sync(&mut self) {
        self.lost.push(self.durable.len()..self.now.len());
    }

    /// A power cut: each block behind what is durable is there, or not, or something else is.
    pub(super) fn lose(&mut self, chance: &mut Chance) {
        if std::mem::take(&mut self.is_cut) && chance.below(2) == 0 {
            self.durable.truncate(self.now.len());
        }
        // of what was written over some blocks are there, in whatever order
        for (at, bytes) in std::mem::take(&mut self.overwritten) {
            if let Some(old) = self.durable.get_mut(at..at + bytes.len())
                && chance.below(2) == 0
            {
                old.copy_from_slice(&bytes);
            }
        }
        let written = if self.peak.len() > self.now.len() { &self.peak } else { &self.now };
        let unsure = written.len().saturating_sub(self.durable.len());
        let kept = match chance.below(4) {
            0 => 0,
            1 => unsure,
            _ => chance.below(unsure + 1),
        };
        let mut at = self.durable.len();
        let end = at + kept;
        let all_there = chance.below(2) == 0;
        while at < end {
            let behind = ((at / BLOCK_BYTES + 1) * BLOCK_BYTES).min(end);
            let was_lost = self.lost.iter().any(|lost| lost.contains(&at));
            match chance.below(4) {
                _ if all_there && !was_lost => self.durable.extend_from_slice(&written[at..behind]),
                0 | 1 if !was_lost => self.durable.extend_from_slice(&written[at..behind]),
                2 => self.durable.extend((at..behind).map(|_| u8::try_from(chance.below(256)).unwrap())),
                _ => self.durable.resize(behind, 0),
            }
            at = behind;
        }
        self.now.clone_from(&self.durable);
        self.peak.clear();
        self.lost.clear();
    }
}
