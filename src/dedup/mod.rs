//! The reports of spans that were accepted lately, so that one that is sent again is acknowledged again and not stored
//! again, and one that says something else is stored.
//!
//! One thread owns it. It is a table of fixed size whose memory is not touched before it is used (`table.rs`):
//!
//! ```text
//! record   of another table than that of spans: 128-bit hash of workspace, table and content, and of how many equal ones came before it
//! span     128-bit hash of workspace, trace, id and kind under the secret of the journal: one half chooses the bucket
//! report   64-bit hash of what was sent, without a secret: it is the same in every run and release
//! key      16 bytes of both, as the journal keeps it (ids.rs)
//! ```
//!
//! Of a span read from the table, or from a segment of an earlier release, the report is not known. What is reported of it next is
//! stored, because it may be another report, and noted: of equal rows one is removed soon.
//!
//! An entry is known for its window, and up to a thousandth longer. It may be forgotten earlier, when more than 8 younger
//! ones came into its bucket: at random, the first at about half of the slots in use; and of one span's reports the 4
//! youngest are known. Two spans are taken for one with a probability of 2 in 10^15 a look-up, two reports of one span of 1 in
//! 10^9; a span that has no other report seems to have one with a probability of 8 in 10^6, which costs a look at the table.
//!
//! The time of a slot goes round after 4 windows, so buckets are swept of what is too old, a few with each step of time.

mod noted;
mod table;
#[cfg(test)]
mod tests;
mod warm;

pub use noted::{Noted, ReportedAgain};

use crate::columns::{Group as _, Records, RowGroup, SpanKind};
use crate::ids::{ReportKey, SpanId, TraceId};
use crate::numbers::{nanos_of, saturating_usize};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::time::Duration;
use table::{SLOTS, Table, key_of};
use twox_hash::{XxHash3_64, XxHash3_128};

/// Spans remembered at most, by default.
pub const SPANS_MAX_DEFAULT: usize = 4_000_000;

/// Steps of time in the longest window.
const TICKS_PER_WINDOW: u64 = 1_024;
/// Each bucket is swept once in so many steps. With the window it stays below what the time of a slot counts to.
const TICKS_PER_SWEEP: usize = 1_024;
/// Rows whose buckets are fetched before they are searched: 16 KiB of cache.
const ROWS_AHEAD: usize = 256;
/// What the ids of nearly all rows come to.
const IDS_HEX: usize = TraceId::HEX + SpanId::HEX;
/// Letters that tell the kinds of spans from each other.
const KIND_LETTERS: usize = 2;

/// Whether a report of a span was accepted before. What comes later here takes precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// No report of the span was; from now on this one counts as accepted.
    New,
    /// Another report was; from now on this one counts as accepted, too.
    AnotherReport,
    /// A report was whose content is not known, perhaps this one; from now on this one counts as accepted, too.
    Unknown,
    /// This one was, within the window.
    Duplicate,
}

/// What became of the rows of a group.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Positions of those that were accepted before, in order.
    pub repeated: Vec<usize>,
    /// Positions of those whose span was accepted before with another report, or with one whose content is not known, in order.
    pub reported_again: Vec<usize>,
}

/// The workspace's part of the keys of its spans, computed once for many spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64);

/// The index.
#[derive(Debug)]
pub struct DedupIndex {
    secret: u64,
    table: Table,
    window_max: Duration,
    /// Length of a step of time, at least 1.
    tick_nanos: u64,
    /// The latest step so far: time does not go back here.
    tick: u64,
    /// Where the sweep goes on.
    swept: usize,
    /// Kept from batch to batch.
    keys: Vec<ReportKey>,
    noted: Noted,
}

impl DedupIndex {
    /// An empty index of at most about `spans_max` spans, none of which it knows for longer than `window_max`. It holds
    /// nothing and takes no memory when either is 0. Keys are the same for the same secret.
    #[must_use]
    pub fn new(secret: u64, spans_max: usize, window_max: Duration) -> Self {
        let window_nanos = nanos_of(window_max);
        let buckets = if window_nanos == 0 { 0 } else { spans_max.div_ceil(SLOTS) };
        Self {
            secret,
            table: Table::new(buckets),
            window_max,
            tick_nanos: (window_nanos / TICKS_PER_WINDOW).max(1),
            tick: 0,
            swept: 0,
            keys: Vec::new(),
            noted: Noted::default(),
        }
    }

    /// Returns where spans are noted of which another report is accepted.
    #[must_use]
    pub fn noted(&self) -> Noted {
        self.noted.clone()
    }

    /// Returns the seed for the keys of a workspace's spans.
    #[must_use]
    pub fn seed_of(&self, workspace: &Workspace) -> Seed {
        Seed(XxHash3_64::oneshot_with_seed(self.secret, workspace.as_str().as_bytes()))
    }

    /// Returns the key of a span's report from its ids and kind as the columns hold them, as text. `None` is a report whose content is
    /// not known.
    #[must_use]
    pub fn key(seed: Seed, (trace_hex, span_hex, kind): (&[u8], &[u8], &[u8]), report: Option<u64>) -> ReportKey {
        let mut said = [0; IDS_HEX + KIND_LETTERS];
        let span = if let (TraceId::HEX, SpanId::HEX, Some(letters)) =
            (trace_hex.len(), span_hex.len(), kind.get(..KIND_LETTERS))
        {
            let (ids, of_kind) = said.split_at_mut(IDS_HEX);
            let (trace, span) = ids.split_at_mut(TraceId::HEX);
            trace.copy_from_slice(trace_hex);
            span.copy_from_slice(span_hex);
            of_kind.copy_from_slice(letters);
            XxHash3_128::oneshot_with_seed(seed.0, &said)
        } else {
            // not ids of ours: the length in between keeps different ids from making the same text
            let text = [trace_hex, &trace_hex.len().to_le_bytes(), span_hex, kind].concat();
            XxHash3_128::oneshot_with_seed(seed.0, &text)
        };
        key_of(span, report)
    }

    /// Returns the same key from typed ids.
    #[must_use]
    pub fn key_of(seed: Seed, trace: TraceId, span: SpanId, kind: SpanKind, report: Option<u64>) -> ReportKey {
        Self::key(seed, (&trace.hex(), &span.hex(), kind.literal().as_bytes()), report)
    }

    /// Returns whether the report was accepted within `window` before `now`; if not, it counts as accepted from now on. With a window
    /// of 0 every span is new and none is remembered; a window longer than the index's own counts as that.
    pub fn insert(&mut self, key: ReportKey, now: UnixNanos, window: Duration) -> Seen {
        if window.is_zero() {
            return Seen::New;
        }
        self.advance(now);
        let within = self.ticks_of(window);
        self.table.insert(key, self.tick, within)
    }

    /// Calls [`insert`](Self::insert) for each row. The keys of those that were not accepted before are appended to `kept`,
    /// in order. Of equal reports of one span only the first is new.
    pub fn insert_all(
        &mut self,
        seed: Seed,
        rows: &RowGroup,
        now: UnixNanos,
        window: Duration,
        kept: &mut Vec<ReportKey>,
    ) -> Checked {
        let checked = self.insert_keys(rows.rows(), keys_of(seed, rows), (now, window), kept);
        self.noted.note(rows, &checked.reported_again);
        checked
    }

    /// The same for records of any other table: each is new unless a record of a repeated request.
    pub fn insert_records(
        &mut self,
        seed: Seed,
        rows: &Records,
        now: UnixNanos,
        window: Duration,
        kept: &mut Vec<ReportKey>,
    ) -> Checked {
        self.insert_keys(rows.rows(), keys_of_records(seed, rows), (now, window), kept)
    }

    fn insert_keys(
        &mut self,
        rows: usize,
        keys_of_rows: impl Iterator<Item = ReportKey>,
        (now, window): (UnixNanos, Duration),
        kept: &mut Vec<ReportKey>,
    ) -> Checked {
        let mut checked = Checked::default();
        if window.is_zero() || self.table.buckets == 0 {
            kept.resize(kept.len() + rows, ReportKey::NONE);
            return checked;
        }
        self.advance(now);
        let within = self.ticks_of(window);
        let mut keys = std::mem::take(&mut self.keys);
        keys.extend(keys_of_rows);
        for (chunk, start) in keys.chunks(ROWS_AHEAD).zip((0..).step_by(ROWS_AHEAD)) {
            self.table.fetch(chunk);
            for (key, row) in chunk.iter().zip(start..) {
                match self.table.insert(*key, self.tick, within) {
                    Seen::Duplicate => {
                        checked.repeated.push(row);
                        continue;
                    }
                    Seen::AnotherReport | Seen::Unknown => checked.reported_again.push(row),
                    Seen::New => {}
                }
                kept.push(*key);
            }
        }
        keys.clear();
        self.keys = keys;
        checked
    }

    /// Does as [`insert_all`](Self::insert_all) for a row whose span id its sender's `Idempotency-Key` stands for, whatever its
    /// trace. `None` when the key was accepted before with something else: nothing of it is taken then.
    pub fn insert_keyed(
        &mut self,
        seed: Seed,
        row: &RowGroup,
        now: UnixNanos,
        window: Duration,
        kept: &mut Vec<ReportKey>,
    ) -> Option<Checked> {
        debug_assert_eq!(row.rows(), 1, "a request with a key is one call");
        let (Some(keyed), Some(key)) = (keys_of_keyed(seed, row).next(), keys_of(seed, row).next()) else {
            return Some(Checked::default());
        };
        if window.is_zero() || self.table.buckets == 0 {
            kept.push(ReportKey::NONE);
            return Some(Checked::default());
        }
        self.advance(now);
        let within = self.ticks_of(window);
        match self.table.look(keyed, self.tick, within) {
            Seen::AnotherReport => return None,
            // what another instance or an earlier release accepted is known by its ids alone, which the key stands for
            Seen::New if self.table.look(key, self.tick, within) < Seen::Unknown => {}
            Seen::New | Seen::Unknown | Seen::Duplicate => {
                return Some(Checked { repeated: vec![0], ..Checked::default() });
            }
        }
        self.table.insert(keyed, self.tick, within);
        kept.push(keyed);
        Some(Checked::default())
    }

    /// Undoes [`insert_keyed`](Self::insert_keyed).
    pub fn forget_keyed(&mut self, seed: Seed, row: &RowGroup) {
        keys_of_keyed(seed, row).for_each(|key| self.forget(key));
    }

    /// Undoes [`insert`](Self::insert).
    pub fn forget(&mut self, key: ReportKey) {
        self.table.remove(key);
    }

    /// Undoes [`insert_all`](Self::insert_all).
    pub fn forget_all(&mut self, seed: Seed, rows: &RowGroup) {
        keys_of(seed, rows).for_each(|key| self.forget(key));
    }

    /// Undoes [`insert_records`](Self::insert_records).
    pub fn forget_records(&mut self, seed: Seed, rows: &Records) {
        keys_of_records(seed, rows).for_each(|key| self.forget(key));
    }

    /// Adds a report that was accepted at some time before `now`, read from the journal or the table at start. It
    /// displaces none that was accepted later.
    pub fn remember(&mut self, key: ReportKey, accepted_at: UnixNanos, now: UnixNanos) {
        self.remember_all(&[key], accepted_at, now);
    }

    /// Calls [`remember`](Self::remember) for each that is not [`ReportKey::NONE`].
    pub fn remember_all(&mut self, keys: &[ReportKey], accepted_at: UnixNanos, now: UnixNanos) {
        self.advance(now);
        let age = self.tick.saturating_sub(self.tick_of(accepted_at));
        if age > self.ticks_of(self.window_max) {
            return;
        }
        for chunk in keys.chunks(ROWS_AHEAD) {
            self.table.fetch(chunk);
            for key in chunk.iter().filter(|key| **key != ReportKey::NONE) {
                self.table.place(*key, self.tick.saturating_sub(age), self.tick);
            }
        }
    }

    /// Number of reports held now, some of which may be too old to count.
    #[must_use]
    pub fn held(&self) -> usize {
        self.table.held
    }

    fn tick_of(&self, time: UnixNanos) -> u64 {
        time.nanos().max(0).unsigned_abs() / self.tick_nanos
    }

    /// A window in steps of time, rounded up.
    fn ticks_of(&self, window: Duration) -> u64 {
        nanos_of(window.min(self.window_max)).div_ceil(self.tick_nanos)
    }

    /// Advances time and sweeps a share of the buckets for each step.
    fn advance(&mut self, now: UnixNanos) {
        let tick = self.tick_of(now);
        let steps = tick.saturating_sub(self.tick);
        if steps == 0 {
            return;
        }
        let oldest = self.ticks_of(self.window_max);
        self.tick = tick;
        if steps > oldest {
            // no slot is younger than that
            self.table.clear();
            return;
        }
        let buckets = self.table.buckets.div_ceil(TICKS_PER_SWEEP).saturating_mul(saturating_usize(steps));
        for _ in 0..buckets.min(self.table.buckets) {
            self.table.sweep(self.swept, tick, oldest);
            self.swept = (self.swept + 1) % self.table.buckets;
        }
    }
}

fn keys_of(seed: Seed, rows: &RowGroup) -> impl Iterator<Item = ReportKey> {
    let spans = rows.ids().zip(rows.kinds()).zip(rows.fingerprints());
    spans.map(move |(((trace, span), kind), report)| DedupIndex::key(seed, (trace, span, kind), Some(*report)))
}

/// The content of a record tells it from all others of its table, so that its report is always the same.
fn keys_of_records(seed: Seed, rows: &Records) -> impl Iterator<Item = ReportKey> {
    let of_table = XxHash3_64::oneshot_with_seed(seed.0, rows.table().name().as_bytes());
    rows.identities().iter().map(move |identity| {
        let content = identity.to_le_bytes();
        key_of(XxHash3_128::oneshot_with_seed(of_table, &content), Some(XxHash3_64::oneshot(&content)))
    })
}

/// Stands for the trace id, because a key identifies its call whatever trace the body names.
const KEYED: &[u8] = b"Idempotency-Key";

fn keys_of_keyed(seed: Seed, rows: &RowGroup) -> impl Iterator<Item = ReportKey> {
    rows.ids()
        .zip(rows.fingerprints())
        .map(move |((_, span), report)| DedupIndex::key(seed, (KEYED, span, b""), Some(*report)))
}
