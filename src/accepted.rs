//! The spans accepted lately, so that one that is sent again is acknowledged again and not stored again.
//!
//! One thread owns it. It is a table of fixed size whose memory is not touched before it is used:
//!
//! ```text
//! table    buckets of 8 slots, 64 bytes: one line of the processor's cache
//! bucket   youngest first; a new entry moves the others back, and the oldest falls out
//! slot     48 bits of the span's hash | 16 bits of the time it was accepted, in 1/1024 of the longest window; 0 = free
//! key      128-bit hash of workspace, trace and span under a secret of this process: one half chooses the bucket
//! ```
//!
//! An entry is known for its window, and up to a thousandth longer. It may be forgotten earlier, when more than 8 younger
//! ones came into its bucket: at random, the first at about half of the slots in use. Two spans are taken for one with a
//! probability of 3 in 10^14 a look-up.
//!
//! The time of a slot goes round after 64 windows, so buckets are swept of what is too old, a few with each step of time.

use crate::columns::RowGroup;
use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;
use twox_hash::XxHash3_128;

/// Spans remembered at most, by default.
pub const SPANS_MAX_DEFAULT: usize = 4_000_000;

/// Slots of a bucket.
const SLOTS: usize = 8;
/// Steps of time in the longest window.
const TICKS_PER_WINDOW: u64 = 1_024;
/// Each bucket is swept once in so many steps. With the window it stays far below half of what 16 bits count to.
const TICKS_PER_SWEEP: usize = 8_192;
/// Bits of a slot that tell its time.
const TIME_BITS: u32 = 16;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// Rows whose buckets are fetched before they are searched: 16 KiB of cache.
const ROWS_AHEAD: usize = 256;
/// What the ids of nearly all rows come to.
const IDS_HEX: usize = TraceId::HEX + SpanId::HEX;

/// Whether a span was accepted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// No, and from now on it counts as accepted.
    New,
    /// Yes, within the window.
    Repeated,
}

/// What a workspace brings to the keys of its spans: work it out once and use it for many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64);

/// A span, as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Chooses the bucket.
    place: u64,
    /// The part that a slot holds: its low [`TIME_BITS`] are 0, the others are not.
    mark: u64,
}

/// The index.
#[derive(Debug)]
pub struct Accepted {
    secret: RandomState,
    table: Table,
    window_max: Duration,
    /// Length of a step of time, at least 1.
    tick_nanos: u64,
    /// The latest step that was told of: time does not go back here.
    tick: u64,
    /// Where the sweep goes on.
    swept: usize,
    /// Kept from batch to batch.
    keys: Vec<Key>,
}

impl Accepted {
    /// An empty index of at most about `spans_max` spans, none of which it knows for longer than `window_max`. It holds
    /// nothing and takes no memory when either is 0.
    #[must_use]
    pub fn new(spans_max: usize, window_max: Duration) -> Self {
        let window_nanos = u64::try_from(window_max.as_nanos()).unwrap_or(u64::MAX);
        let buckets = if window_nanos == 0 { 0 } else { spans_max.div_ceil(SLOTS) };
        Self {
            secret: RandomState::new(),
            table: Table::new(buckets),
            window_max,
            tick_nanos: (window_nanos / TICKS_PER_WINDOW).max(1),
            tick: 0,
            swept: 0,
            keys: Vec::new(),
        }
    }

    /// What the workspace brings to the keys of its spans.
    #[must_use]
    pub fn seed_of(&self, workspace: &Workspace) -> Seed {
        Seed(self.secret.hash_one(workspace.as_str()))
    }

    /// The key of a span whose ids are given as text, as the columns hold them.
    #[must_use]
    pub fn key(seed: Seed, trace_hex: &[u8], span_hex: &[u8]) -> Key {
        let mut ids = [0; IDS_HEX];
        if let (TraceId::HEX, SpanId::HEX) = (trace_hex.len(), span_hex.len()) {
            let (trace, span) = ids.split_at_mut(TraceId::HEX);
            trace.copy_from_slice(trace_hex);
            span.copy_from_slice(span_hex);
            return XxHash3_128::oneshot_with_seed(seed.0, &ids).into();
        }
        // no ids of ours: the length in between keeps one pair from being another
        let text = [trace_hex, &trace_hex.len().to_le_bytes(), span_hex].concat();
        XxHash3_128::oneshot_with_seed(seed.0, &text).into()
    }

    /// The key of a span: the same as that of its ids' texts.
    #[must_use]
    pub fn key_of(seed: Seed, trace: TraceId, span: SpanId) -> Key {
        Self::key(seed, &trace.hex(), &span.hex())
    }

    /// Says whether the span was accepted within `window` before `now`; if not, it is from now on. A window of 0 finds
    /// every span new and remembers none; one longer than the index's own counts as that.
    pub fn insert(&mut self, key: Key, now: UnixNanos, window: Duration) -> Seen {
        if window.is_zero() {
            return Seen::New;
        }
        self.advance(now);
        let within = self.ticks_of(window);
        self.table.insert(key, self.tick, within)
    }

    /// Does as [`insert`](Self::insert) for each row; returns the positions of those that were accepted before, in order.
    /// Of rows with the same ids the first alone is new.
    pub fn insert_all(&mut self, seed: Seed, rows: &RowGroup, now: UnixNanos, window: Duration) -> Vec<usize> {
        let mut repeated = Vec::new();
        if window.is_zero() || self.table.buckets == 0 {
            return repeated;
        }
        self.advance(now);
        let within = self.ticks_of(window);
        let mut keys = self.keys_of(seed, rows);
        for (chunk, start) in keys.chunks(ROWS_AHEAD).zip((0..).step_by(ROWS_AHEAD)) {
            self.table.fetch(chunk);
            let known = chunk.iter().map(|key| self.table.insert(*key, self.tick, within));
            repeated.extend((start..).zip(known).filter(|(_, seen)| *seen == Seen::Repeated).map(|(row, _)| row));
        }
        keys.clear();
        self.keys = keys;
        repeated
    }

    /// The span does not count as accepted after all.
    pub fn forget(&mut self, key: Key) {
        self.table.remove(key);
    }

    /// None of the rows counts as accepted after all.
    pub fn forget_all(&mut self, seed: Seed, rows: &RowGroup) {
        for (trace, span) in rows.ids() {
            self.forget(Self::key(seed, trace, span));
        }
    }

    /// Takes in a span that was accepted at some time before `now`, as the journal and the table tell it after a start. It
    /// displaces none that was accepted later.
    pub fn remember(&mut self, key: Key, accepted_at: UnixNanos, now: UnixNanos) {
        self.advance(now);
        let age = self.tick.saturating_sub(self.tick_of(accepted_at));
        if age <= self.ticks_of(self.window_max) {
            self.table.place(key, self.tick.saturating_sub(age), self.tick);
        }
    }

    /// Number of spans held now, some of which may be too old to count.
    #[must_use]
    pub fn held(&self) -> usize {
        self.table.held
    }

    fn keys_of(&mut self, seed: Seed, rows: &RowGroup) -> Vec<Key> {
        let mut keys = std::mem::take(&mut self.keys);
        keys.extend(rows.ids().map(|(trace, span)| Self::key(seed, trace, span)));
        keys
    }

    fn tick_of(&self, time: UnixNanos) -> u64 {
        u64::try_from(time.nanos()).unwrap_or(0) / self.tick_nanos
    }

    /// A window in steps of time, rounded up.
    fn ticks_of(&self, window: Duration) -> u64 {
        let nanos = u64::try_from(window.min(self.window_max).as_nanos()).unwrap_or(u64::MAX);
        nanos.div_ceil(self.tick_nanos)
    }

    /// Time goes on: sweeps as many buckets as it passed steps.
    fn advance(&mut self, now: UnixNanos) {
        let tick = self.tick_of(now);
        let steps = tick.saturating_sub(self.tick);
        if steps == 0 {
            return;
        }
        let oldest = self.ticks_of(self.window_max);
        self.tick = tick;
        if steps > oldest {
            // nothing in there is younger than that
            self.table.clear();
            return;
        }
        let buckets = self.table.buckets.div_ceil(TICKS_PER_SWEEP) * usize::try_from(steps).unwrap_or(usize::MAX);
        for _ in 0..buckets.min(self.table.buckets) {
            self.table.sweep(self.swept, tick, oldest);
            self.swept = (self.swept + 1) % self.table.buckets;
        }
    }
}

/// The slots. Invariant: within a bucket the youngest comes first and the free ones, which are 0, last.
#[derive(Debug)]
struct Table {
    /// Made of zeros, so its pages are touched when they are first written.
    slots: Vec<u64>,
    /// Slots in front that are left out, so that buckets begin where lines of the cache do.
    offset: usize,
    buckets: usize,
    held: usize,
}

type Bucket = [u64; SLOTS];

impl Table {
    fn new(buckets: usize) -> Self {
        let slots = if buckets == 0 { Vec::new() } else { vec![0; (buckets + 1) * SLOTS] };
        let offset = slots.as_ptr().align_offset(size_of::<Bucket>()).min(SLOTS);
        Self { slots, offset, buckets, held: 0 }
    }

    /// Where a key belongs: half of its hash scaled to the number of buckets.
    fn place_of(&self, key: Key) -> usize {
        let buckets = u128::try_from(self.buckets).unwrap_or(0);
        usize::try_from((u128::from(key.place) * buckets) >> u64::BITS).unwrap_or(0)
    }

    fn bucket(&mut self, place: usize) -> Option<&mut Bucket> {
        self.slots.get_mut(self.offset..)?.as_chunks_mut().0.get_mut(place)
    }

    /// Loads the buckets of these keys, all at once: the processor waits for memory once and not for each.
    fn fetch(&self, keys: &[Key]) {
        let buckets: &[Bucket] = self.slots.get(self.offset..).unwrap_or_default().as_chunks().0;
        let first_slots = keys.iter().filter_map(|key| buckets.get(self.place_of(*key))?.first());
        std::hint::black_box(first_slots.fold(0, |all, slot| all ^ slot));
    }

    /// Whether the key is there, accepted at most `within` steps before `tick`; if not, it is from now on.
    fn insert(&mut self, key: Key, tick: u64, within: u64) -> Seen {
        let place = self.place_of(key);
        let Some(bucket) = self.bucket(place) else { return Seen::New };
        // its own place when it is there but too old, else that of the oldest or a free one
        let (gone, was_held) = match position(bucket, key) {
            Some((_, slot)) if age(slot, tick) <= within => return Seen::Repeated,
            Some((at, _)) => (at, true),
            None => (SLOTS - 1, bucket.last().is_some_and(|slot| *slot != 0)),
        };
        bucket.copy_within(..gone, 1);
        bucket[0] = key.slot(tick);
        self.held += usize::from(!was_held);
        Seen::New
    }

    /// Takes in a key accepted at `tick`, not after `now`, at its place by age; not when all of the bucket are younger.
    fn place(&mut self, key: Key, tick: u64, now: u64) {
        let new = key.slot(tick);
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

    fn remove(&mut self, key: Key) {
        let place = self.place_of(key);
        let Some(bucket) = self.bucket(place) else { return };
        if let Some((at, _)) = position(bucket, key) {
            bucket.copy_within(at + 1.., at);
            bucket[SLOTS - 1] = 0;
            self.held -= 1;
        }
    }

    /// Frees the slots of a bucket that are older than `oldest`: those at its end.
    fn sweep(&mut self, place: usize, tick: u64, oldest: u64) {
        let Some(bucket) = self.bucket(place) else { return };
        let mut freed = 0;
        for slot in bucket.iter_mut().filter(|slot| **slot != 0 && age(**slot, tick) > oldest) {
            *slot = 0;
            freed += 1;
        }
        self.held -= freed;
    }

    fn clear(&mut self) {
        if self.held > 0 {
            // only what is in use: pages that were never written stay untouched
            self.slots.iter_mut().filter(|slot| **slot != 0).for_each(|slot| *slot = 0);
            self.held = 0;
        }
    }
}

impl Key {
    /// Its slot when accepted at `tick`: never 0, because the hash part of a slot is not.
    fn slot(self, tick: u64) -> u64 {
        self.mark | (tick & TIME_MASK)
    }
}

impl From<u128> for Key {
    fn from(hash: u128) -> Self {
        let [place, mark] =
            [hash >> u64::BITS, hash & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(0));
        Self { place, mark: (mark & !TIME_MASK).max(TIME_MASK + 1) }
    }
}

/// Where a key is in its bucket, and its slot.
fn position(bucket: &Bucket, key: Key) -> Option<(usize, u64)> {
    bucket.iter().copied().enumerate().find(|(_, slot)| slot & !TIME_MASK == key.mark)
}

/// Steps from when a slot was taken until `tick`.
fn age(slot: u64, tick: u64) -> u64 {
    tick.wrapping_sub(slot) & TIME_MASK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{MapRow, SpanKind, SpanScalars, StatusCode};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// A step of time in an index whose window is this.
    const TICK: u64 = 7;
    const WINDOW: Duration = Duration::from_nanos(TICKS_PER_WINDOW * TICK);

    fn at(tick: u64) -> UnixNanos {
        UnixNanos::new(tick * TICK).unwrap()
    }

    fn ids(number: u64) -> (TraceId, SpanId) {
        let mut trace = [1; 16];
        trace[..8].copy_from_slice(&number.to_be_bytes());
        (TraceId::new(trace).unwrap(), SpanId::new([7; 8]).unwrap())
    }

    fn key(index: &Accepted, number: u64) -> Key {
        let (trace, span) = ids(number);
        Accepted::key_of(index.seed_of(&Workspace::default()), trace, span)
    }

    fn group(numbers: &[u64]) -> RowGroup {
        let mut rows = RowGroup::default();
        for number in numbers {
            let (trace_id, span_id) = ids(*number);
            let mark = rows.begin();
            let span = SpanScalars {
                kind: SpanKind::Client,
                status: StatusCode::Ok,
                ..SpanScalars::new(at(1), trace_id, span_id)
            };
            rows.finish(mark, &span, &MapRow::default(), None).unwrap();
        }
        rows
    }

    #[test]
    fn a_span_is_known_for_its_window_and_then_new_again() {
        let mut index = Accepted::new(1_000, WINDOW);
        let key = key(&index, 1);
        assert_eq!(index.insert(key, at(5_000), WINDOW), Seen::New);
        assert_eq!(index.insert(key, at(5_000), WINDOW), Seen::Repeated);
        assert_eq!(index.insert(key, at(5_000 + 1_024), WINDOW), Seen::Repeated, "a repeat does not prolong it");
        assert_eq!(index.insert(key, at(5_000 + 1_025), WINDOW), Seen::New);
        assert_eq!(index.insert(key, at(5_000 + 2_049), WINDOW), Seen::Repeated, "from when it was accepted again");
        assert_eq!(index.insert(key, at(5_000 + 2_049), WINDOW / 4), Seen::New, "this sender's window is shorter");
        assert_eq!(index.held(), 1);
    }

    #[test]
    fn who_a_span_is_depends_on_workspace_trace_and_span_and_on_nothing_else() {
        let mut index = Accepted::new(1_000, WINDOW);
        let [seed, other] = ["a", "b"].map(|name| index.seed_of(&Workspace::new(name).unwrap()));
        let (trace, span) = ids(1);
        let key = Accepted::key_of(seed, trace, span);
        assert_eq!(key, Accepted::key(seed, trace.to_string().as_bytes(), span.to_string().as_bytes()));
        let another_span = SpanId::new([8; 8]).unwrap();
        let keys = [
            key,
            Accepted::key_of(other, trace, span),
            Accepted::key_of(seed, ids(2).0, span),
            Accepted::key_of(seed, trace, another_span),
            // texts that are no ids of ours
            Accepted::key(seed, b"ab", b"c"),
            Accepted::key(seed, b"a", b"bc"),
            Accepted::key(seed, b"", b""),
        ];
        for key in keys {
            assert_eq!(index.insert(key, at(1), WINDOW), Seen::New, "{keys:?}");
        }
        let elsewhere = Accepted::new(1_000, WINDOW);
        assert_ne!(elsewhere.seed_of(&Workspace::default()), index.seed_of(&Workspace::default()), "the hash is keyed");
    }

    #[test]
    fn switched_off_it_remembers_nothing() {
        for (spans_max, window) in [(1_000, Duration::ZERO), (0, WINDOW)] {
            let mut index = Accepted::new(spans_max, window);
            let key = key(&index, 1);
            let seed = index.seed_of(&Workspace::default());
            index.remember(key, at(1), at(1));
            assert_eq!([(); 2].map(|()| index.insert(key, at(1), WINDOW)), [Seen::New; 2]);
            assert!(index.insert_all(seed, &group(&[1, 1]), at(2), WINDOW).is_empty());
            index.forget(key);
            assert_eq!((index.held(), index.table.slots.capacity()), (0, 0));
        }
        let mut index = Accepted::new(1_000, WINDOW);
        let key = key(&index, 1);
        assert_eq!([(); 2].map(|()| index.insert(key, at(1), Duration::ZERO)), [Seen::New; 2]);
        assert_eq!(index.held(), 0);
    }

    #[test]
    fn a_full_bucket_forgets_its_oldest() {
        let mut index = Accepted::new(SLOTS, WINDOW);
        let keys: Vec<Key> = (0..9).map(|number| key(&index, number)).collect();
        for (number, tick) in (0..9).zip(10..) {
            assert_eq!(index.insert(keys[number], at(tick), WINDOW), Seen::New);
        }
        assert_eq!(index.held(), SLOTS);
        for known in &keys[1..] {
            assert_eq!(index.insert(*known, at(20), WINDOW), Seen::Repeated);
        }
        assert_eq!(index.insert(keys[0], at(20), WINDOW), Seen::New);
        assert_eq!(index.held(), SLOTS);
    }

    #[test]
    fn what_is_learned_late_never_displaces_what_came_later() {
        let mut index = Accepted::new(SLOTS, WINDOW);
        let keys: Vec<Key> = (0..11).map(|number| key(&index, number)).collect();
        for key in &keys[..7] {
            index.insert(*key, at(2_000), WINDOW);
        }
        index.remember(keys[10], at(2_000 - 1_025), at(2_000)); // older than the window
        assert_eq!(index.held(), 7);
        index.remember(keys[7], at(1_950), at(2_000));
        index.remember(keys[8], at(1_940), at(2_000)); // older than all eight
        index.remember(keys[9], at(1_960), at(2_000)); // younger than the one of 1,950
        index.remember(keys[0], at(1_960), at(2_000)); // known, and younger
        assert_eq!(index.held(), SLOTS);
        let mut known = |number: usize| index.table.insert(keys[number], 2_000, 1_024) == Seen::Repeated;
        assert!((0..7).all(&mut known) && known(9));
        assert!(!known(7) && !known(8), "each took the place of an older one");
    }

    #[test]
    fn a_span_that_was_not_stored_after_all_is_new() {
        let mut index = Accepted::new(1_000, WINDOW);
        let seed = index.seed_of(&Workspace::default());
        let rows = group(&[1, 2, 3]);
        assert_eq!(index.insert_all(seed, &rows, at(1), WINDOW), [0; 0]);
        assert_eq!(index.insert_all(seed, &rows, at(1), WINDOW), [0, 1, 2]);
        index.forget(key(&index, 2));
        assert_eq!(index.insert_all(seed, &rows, at(1), WINDOW), [0, 2]);
        index.forget_all(seed, &rows);
        assert_eq!(index.held(), 0);
        assert_eq!(index.insert_all(seed, &rows, at(1), WINDOW), [0; 0]);
    }

    #[test]
    fn of_rows_with_the_same_ids_the_first_alone_is_new() {
        let mut index = Accepted::new(100_000, WINDOW);
        let seed = index.seed_of(&Workspace::default());
        assert_eq!(index.insert_all(seed, &group(&[1, 2, 1, 3, 2, 1]), at(1), WINDOW), [2, 4, 5]);
        let many: Vec<u64> = (10..1_010).chain(500..510).collect();
        assert_eq!(index.insert_all(seed, &group(&many), at(1), WINDOW), (1_000..1_010).collect::<Vec<_>>());
    }

    /// 64 windows after it was accepted, a span's slot shows the time of now.
    #[test]
    fn a_span_is_not_known_again_when_the_time_of_its_slot_has_gone_round() {
        for spans_max in [1_000, 500_000] {
            let mut index = Accepted::new(spans_max, WINDOW);
            let old: Vec<Key> = (0..500).map(|number| key(&index, number)).collect();
            for key in &old {
                index.insert(*key, at(10), WINDOW);
            }
            for (number, tick) in (1_000..).zip((10..=10 + (1 << TIME_BITS)).step_by(512)) {
                let other = key(&index, number);
                assert_eq!(index.insert(other, at(tick), WINDOW), Seen::New);
            }
            let known =
                old.iter().filter(|key| index.table.insert(**key, 10 + (1 << TIME_BITS), 1_024) == Seen::Repeated);
            assert_eq!(known.count(), 0);
        }
    }

    #[test]
    fn a_clock_set_back_forgets_nothing() {
        let mut index = Accepted::new(1_000, WINDOW);
        let key = key(&index, 1);
        assert_eq!(index.insert(key, at(50_000), WINDOW), Seen::New);
        assert_eq!(index.insert(key, at(3), WINDOW), Seen::Repeated);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_not_touched_before_it_is_used() {
        // Source: proc(5), statm: the second number is the pages that are resident
        let resident_pages = || -> usize {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            text.split(' ').nth(1).unwrap().parse().unwrap()
        };
        let before = resident_pages();
        let mut index = Accepted::new(16 << 20, WINDOW);
        let key = key(&index, 1);
        for tick in (1_000..10_000).step_by(1_000) {
            index.insert(key, at(tick), WINDOW); // sweeps all of it, too
        }
        let grown = resident_pages().saturating_sub(before);
        assert!(grown < (16 << 20) / 4_096, "{grown} pages for one span, of {} in the table", (128 << 20) / 4_096);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64, u32),
        InsertAll(Vec<u64>),
        Forget(u64),
        Remember(u64, u64),
        Wait(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let number = || 0..20_u64;
        prop_oneof![
            4 => (number(), 1..4_u32).prop_map(|(number, part)| Step::Insert(number, part)),
            2 => vec(number(), 0..6).prop_map(Step::InsertAll),
            1 => number().prop_map(Step::Forget),
            1 => (number(), 0..1_500_u64).prop_map(|(number, ago)| Step::Remember(number, ago)),
            2 => (0..400_u64).prop_map(Step::Wait),
            2 => (400..1_025_u64).prop_map(Step::Wait),
            1 => (1_025..70_000_u64).prop_map(Step::Wait),
        ]
    }

    /// What is right when memory does not matter: when each span was accepted, in steps of time.
    #[derive(Default)]
    struct Model(HashMap<u64, u64>);

    impl Model {
        fn insert(&mut self, number: u64, now: u64, within: u64) -> Seen {
            if self.0.get(&number).is_some_and(|accepted| now - accepted <= within) {
                return Seen::Repeated;
            }
            self.0.insert(number, now);
            Seen::New
        }

        fn remember(&mut self, number: u64, accepted: u64, now: u64) {
            if now - accepted <= TICKS_PER_WINDOW {
                let known = self.0.entry(number).or_insert(accepted);
                *known = (*known).max(accepted);
            }
        }
    }

    proptest! {
        #[test]
        fn it_answers_as_unlimited_memory_would(steps in vec(any_step(), 1..300), begin in 100_000..200_000_u64) {
            // 20 spans in 512 buckets: no bucket is ever full
            let mut index = Accepted::new(4_096, WINDOW);
            let seed = index.seed_of(&Workspace::default());
            let (mut model, mut now) = (Model::default(), begin);
            for step in steps {
                match step {
                    Step::Insert(number, part) => {
                        let within = TICKS_PER_WINDOW.div_ceil(u64::from(part));
                        let seen = index.insert(key(&index, number), at(now), WINDOW / part);
                        prop_assert_eq!(seen, model.insert(number, now, within), "{} at {}", number, now);
                    }
                    Step::InsertAll(numbers) => {
                        let repeated = index.insert_all(seed, &group(&numbers), at(now), WINDOW);
                        let want: Vec<usize> = (0..numbers.len())
                            .filter(|row| model.insert(numbers[*row], now, TICKS_PER_WINDOW) == Seen::Repeated).collect();
                        prop_assert_eq!(repeated, want);
                    }
                    Step::Forget(number) => {
                        index.forget(key(&index, number));
                        model.0.remove(&number);
                    }
                    Step::Remember(number, ago) => {
                        index.remember(key(&index, number), at(now - ago), at(now));
                        model.remember(number, now - ago, now);
                    }
                    Step::Wait(ticks) => now += ticks,
                }
                let slots = index.table.slots.iter().filter(|slot| **slot != 0).count();
                prop_assert_eq!(index.held(), slots);
            }
        }
    }
}
