//! The slots of the index: buckets of one line of the processor's cache each.
//!
//! ```text
//! bucket   8 slots, youngest first; a new entry moves the others back, and the oldest falls out
//! slot     20 bits of the span's hash | 32 bits of its report's | 12 bits of the time it was accepted; 0 = free
//! ```

use super::Seen;
use crate::ids::ReportKey;
use crate::numbers::{saturating_usize, to_u64};

/// Slots of a bucket.
pub(super) const SLOTS: usize = 8;
/// Reports of one span that are known at most: more of them would drive out other spans.
pub(super) const REPORTS_MAX: usize = 4;
/// Bits of a slot that tell its time.
pub(super) const TIME_BITS: u32 = 12;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// Bits that tell the report.
const REPORT_BITS: u32 = 32;
/// How far the bits are up that tell the span.
const SPAN_SHIFT: u32 = TIME_BITS + REPORT_BITS;

/// The slots. Invariant: within a bucket the youngest comes first and the free ones, which are 0, last.
#[derive(Debug)]
pub(super) struct Table {
    /// Made of zeros, so its pages are touched when they are first written.
    pub(super) slots: Vec<u64>,
    /// Slots in front that are left out, so that buckets begin where lines of the cache do.
    offset: usize,
    pub(super) buckets: usize,
    pub(super) held: usize,
}

type Bucket = [u64; SLOTS];

/// The key of a span's report, from the hash of the span and that of the report. A report of 0 is one that nobody knows.
pub(super) fn key_of(span: u128, report: Option<u64>) -> ReportKey {
    let [place, mark] = halves_of(span);
    let report = report.map_or(0, |hash| ((hash >> REPORT_BITS ^ hash) & ((1 << REPORT_BITS) - 1)).max(1));
    // never 0, as that is a free slot
    ReportKey { place, mark: (mark >> SPAN_SHIFT).max(1) << SPAN_SHIFT | report << TIME_BITS }
}

/// The upper and the lower 64 bits.
fn halves_of(number: u128) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = number.to_be_bytes();
    [[a, b, c, d, e, f, g, h], rest].map(u64::from_be_bytes)
}

impl Table {
    pub(super) fn new(buckets: usize) -> Self {
        let slots = if buckets == 0 { Vec::new() } else { vec![0; (buckets + 1) * SLOTS] };
        let offset = slots.as_ptr().align_offset(size_of::<Bucket>()).min(SLOTS);
        Self { slots, offset, buckets, held: 0 }
    }

    /// Where a key belongs: half of its hash scaled to the number of buckets.
    fn place_of(&self, key: ReportKey) -> usize {
        let [place, _] = halves_of(u128::from(key.place) * u128::from(to_u64(self.buckets)));
        saturating_usize(place)
    }

    fn bucket(&mut self, place: usize) -> Option<&mut Bucket> {
        self.slots.get_mut(self.offset..)?.as_chunks_mut().0.get_mut(place)
    }

    /// Loads the buckets of these keys, all at once: the processor waits for memory once and not for each.
    pub(super) fn fetch(&self, keys: &[ReportKey]) {
        let Some(slots) = self.slots.get(self.offset..) else { return };
        let buckets: &[Bucket] = slots.as_chunks().0;
        let first_slots = keys.iter().filter_map(|key| buckets.get(self.place_of(*key))?.first());
        std::hint::black_box(first_slots.fold(0, |all, slot| all ^ slot));
    }

    /// Whether the report is there, accepted at most `within` steps before `tick`, or another one of its span.
    pub(super) fn look(&mut self, key: ReportKey, tick: u64, within: u64) -> Seen {
        let place = self.place_of(key);
        self.bucket(place).map_or(Seen::New, |bucket| Found::of(bucket, key, tick, within).seen)
    }

    /// Says what [`look`](Self::look) says; unless the report is there, it is from now on.
    pub(super) fn insert(&mut self, key: ReportKey, tick: u64, within: u64) -> Seen {
        let place = self.place_of(key);
        let Some(bucket) = self.bucket(place) else { return Seen::New };
        let found = Found::of(bucket, key, tick, within);
        if found.seen == Seen::Duplicate {
            return found.seen;
        }
        // its own place when it is there but too old, then that of the span's oldest report when there are enough, else that
        // of the oldest or a free one
        let oldest_report = found.oldest_report.filter(|_| found.reports >= REPORTS_MAX);
        let gone = found.same.or(oldest_report).unwrap_or(SLOTS - 1);
        let was_held = bucket.get(gone).is_some_and(|slot| *slot != 0);
        bucket.copy_within(..gone, 1);
        bucket[0] = slot(key, tick);
        self.held += usize::from(!was_held);
        found.seen
    }

    /// Takes in a key accepted at `tick`, not after `now`, at its place by age; not when all of the bucket are younger.
    pub(super) fn place(&mut self, key: ReportKey, tick: u64, now: u64) {
        let new = slot(key, tick);
        let place = self.place_of(key);
        let Some(bucket) = self.bucket(place) else { return };
        let known = position(bucket, key);
        if known.is_some_and(|(_, slot)| age(slot, now) <= age(new, now)) {
            return;
        }
        let (gone, was_held) = match known {
            Some((at, _)) => (at, true),
            None => (SLOTS - 1, bucket.last().is_some_and(|slot| *slot != 0)),
        };
        let at = bucket.iter().take_while(|slot| **slot != 0 && age(**slot, now) <= age(new, now)).count();
        let Some(older @ [_, ..]) = bucket.get_mut(at..=gone) else { return };
        older.rotate_right(1);
        older.iter_mut().take(1).for_each(|slot| *slot = new);
        self.held += usize::from(!was_held);
    }

    pub(super) fn remove(&mut self, key: ReportKey) {
        let place = self.place_of(key);
        let Some(bucket) = self.bucket(place) else { return };
        if let Some((at, _)) = position(bucket, key) {
            bucket.copy_within(at + 1.., at);
            bucket[SLOTS - 1] = 0;
            self.held -= 1;
        }
    }

    /// Frees the slots of a bucket that are older than `oldest`: those at its end.
    pub(super) fn sweep(&mut self, place: usize, tick: u64, oldest: u64) {
        let Some(bucket) = self.bucket(place) else { return };
        let mut freed = 0;
        for slot in bucket.iter_mut().filter(|slot| **slot != 0 && age(**slot, tick) > oldest) {
            *slot = 0;
            freed += 1;
        }
        debug_assert!(freed <= self.held, "more slots are freed than are in use");
        self.held -= freed;
    }

    pub(super) fn clear(&mut self) {
        if self.held > 0 {
            // only what is in use: pages that were never written stay untouched
            self.slots.iter_mut().filter(|slot| **slot != 0).for_each(|slot| *slot = 0);
            self.held = 0;
        }
    }
}

/// What a bucket has of a span.
struct Found {
    seen: Seen,
    /// Where the same report is, however old.
    same: Option<usize>,
    /// How many other reports of the span there are, and where the oldest of them is.
    reports: usize,
    oldest_report: Option<usize>,
}

impl Found {
    fn of(bucket: &Bucket, key: ReportKey, tick: u64, within: u64) -> Self {
        let mut found = Self { seen: Seen::New, same: None, reports: 0, oldest_report: None };
        for (at, slot) in bucket.iter().enumerate() {
            if (slot ^ key.mark) >> SPAN_SHIFT != 0 {
                continue;
            }
            let is_known = age(*slot, tick) <= within;
            let is_same = slot & !TIME_MASK == key.mark;
            if is_same {
                found.same = Some(at);
            } else {
                found.reports += 1;
                found.oldest_report = Some(at);
            }
            let seen = match report_of(*slot) {
                _ if is_same => Seen::Duplicate,
                0 => Seen::Unknown,
                _ => Seen::AnotherReport,
            };
            found.seen = if is_known { found.seen.max(seen) } else { found.seen };
        }
        found
    }
}

/// The slot of a key that was accepted at `tick`: never 0, because the part of it that tells the span is not.
fn slot(key: ReportKey, tick: u64) -> u64 {
    key.mark | (tick & TIME_MASK)
}

/// What a slot tells of the report; 0 when nobody knows what it said.
fn report_of(slot: u64) -> u64 {
    slot >> TIME_BITS & ((1 << REPORT_BITS) - 1)
}

/// Where a key is in its bucket, and its slot.
fn position(bucket: &Bucket, key: ReportKey) -> Option<(usize, u64)> {
    bucket.iter().copied().enumerate().find(|(_, slot)| slot & !TIME_MASK == key.mark)
}

/// Steps from when a slot was taken until `tick`.
fn age(slot: u64, tick: u64) -> u64 {
    tick.wrapping_sub(slot) & TIME_MASK
}
