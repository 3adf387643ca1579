//! The journal as a whole, on a disk that fails (`testing.rs`), and a table that forgets nothing but tokens.

mod corruption;
mod cutting;
mod faults;
mod model;
mod places;
mod tampering;

use super::format::{self, FileName, FileState, Header, columns_hash};
use super::testing::{SimDisk, group, keys, number_of, numbers_of};
use super::*;
use crate::columns::RowGroup;
use crate::columns::native::frames::decompress_checked_frame;
use crate::columns::native::parse::Block;
use crate::ids::SegmentId;
use crate::telemetry::Metrics;
use crate::time::UnixNanos;
use futures_util::FutureExt as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The table of the rows in these tests.
const SPANS: crate::columns::Table = crate::columns::Table::Traces;

const DIR: &str = "/data/journal";
const SEGMENT_ROWS: usize = 1_000;

/// How a journal is opened the `opening`th time.
fn options(opening: u64) -> Options {
    Options {
        dir: DIR.into(),
        config: Config { segment_rows: SEGMENT_ROWS, ..Config::default() },
        database: "otel".to_owned(),
        origin: opening << 32,
        secret: 7,
        keys_max: 1_000,
        now: at(opening),
        boot: Some("the first".to_owned()),
        prepare_ahead: false,
        clickhouse_is_here: false,
    }
}

fn at(step: u64) -> UnixNanos {
    UnixNanos::new(1_790_000_000_000_000_000 + step).unwrap()
}

/// An open journal, and what it said when it was opened.
struct Opened {
    journal: Journal,
    recovered: Recovered,
    metrics: Metrics,
    /// The numbers of the spans that it told of, newest segment first.
    heard: Vec<u64>,
}

fn open(disk: &SimDisk, options: Options) -> Result<Opened, OpenError> {
    let metrics = Metrics::new().unwrap();
    let mut heard = Vec::new();
    let mut seen = |told: &Replay<'_>| {
        heard.extend(numbers_of(told));
        true
    };
    let (journal, recovered) = Journal::open(options, disk.shared(), metrics.clone(), &mut seen)?;
    Ok(Opened { journal, recovered, metrics, heard })
}

/// Commits these spans to disk as one group.
fn commit(journal: &mut Journal, numbers: &[u64]) -> Result<Committed, CommitError> {
    journal.commit(Lane::Disk, &[&group(numbers)], &keys(numbers), at(100))
}

/// The next segment, if one waits.
fn take(backlog: &Backlog, order: Order) -> Option<Segment> {
    backlog.take(order).now_or_never().flatten()
}

/// The blocks in frames.
fn blocks_in(frames: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut blocks) = (frames, Vec::new());
    while !rest.is_empty() {
        let shape = crate::columns::native::frames::check_frame(rest).unwrap().expect("a whole frame");
        let mut block = Vec::new();
        decompress_checked_frame(&rest[..shape.frame_bytes], &mut block).unwrap();
        blocks.push(block);
        rest = &rest[shape.frame_bytes..];
    }
    blocks
}

/// All frames of what was loaded.
fn frames_of(loaded: &Loaded) -> Vec<u8> {
    match loaded {
        Loaded::Whole(whole) => whole.frames().all().unwrap().to_vec(),
        Loaded::InDoubt(rows) => rows.parts().iter().flat_map(|part| part.frames.to_vec()).collect(),
    }
}

fn damage_of(loaded: &Loaded) -> Option<RowsLost> {
    match loaded {
        Loaded::Whole(_) => None,
        Loaded::InDoubt(rows) => rows.damage(),
    }
}

/// The numbers and days of the spans in frames.
fn spans_in(frames: &[u8]) -> Vec<(u64, i64)> {
    let mut spans = Vec::new();
    for block in blocks_in(frames) {
        let (block, behind) = Block::parse(&block).unwrap();
        assert!(behind.is_empty());
        let days = block.i64s("Timestamp").unwrap().map(|nanos| nanos / 86_400_000_000_000);
        spans.extend(block.strings("SpanId").unwrap().map(number_of).zip(days));
    }
    spans
}

/// ClickHouse, as far as an exporter knows it: an insert is a part for each day, and each part's token makes a repeat
/// harmless, as long as it is remembered. An insert that was not answered may be under way, and end much later.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<(SegmentId, u64)>,
    tokens: BTreeSet<(String, i64)>,
    under_way: Vec<Sent>,
}

/// An insert: its segment, its token, its spans and their days.
#[derive(Debug, Clone)]
struct Sent {
    segment: SegmentId,
    token: String,
    spans: Vec<(u64, i64)>,
}

/// What becomes of the inserts of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// All are stored.
    Stored,
    /// Of the first, so many parts are stored, and no more is sent.
    CutAfter(usize),
    /// The first is still under way, and no more is sent.
    Late,
}

impl Table {
    /// An insert, of which only the first `parts` happen.
    fn insert(&mut self, sent: &Sent, parts: usize) {
        let mut by_day: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for (number, day) in &sent.spans {
            by_day.entry(*day).or_default().push(*number);
        }
        for (day, numbers) in by_day.into_iter().take(parts) {
            if self.tokens.insert((sent.token.clone(), day)) {
                self.rows.extend(numbers.into_iter().map(|number| (sent.segment, number)));
            }
        }
    }

    /// One of those that are under way comes to its end.
    fn commit_late(&mut self, which: usize) {
        if !self.under_way.is_empty() {
            let sent = self.under_way.swap_remove(which % self.under_way.len());
            self.insert(&sent, usize::MAX);
        }
    }

    /// Those of a segment are stopped; the first may have come to its end before that.
    fn end_inserts(&mut self, segment: SegmentId) {
        let ended: Vec<Sent> = self.under_way.extract_if(.., |sent| sent.segment == segment).collect();
        for sent in ended.iter().take(1).filter(|sent| sent.spans.len().is_multiple_of(2)) {
            self.insert(sent, usize::MAX);
        }
    }

    fn send(&mut self, sent: Sent, fate: Fate) {
        match fate {
            Fate::Stored => self.insert(&sent, usize::MAX),
            Fate::CutAfter(parts) => self.insert(&sent, parts),
            Fate::Late => self.under_way.push(sent),
        }
    }

    /// As the exporter delivers a segment: `exporter/mod.rs` and `in_doubt.rs`. An error, and nothing is inserted, when its frames cannot
    /// be read.
    fn deliver(&mut self, segment: SegmentId, loaded: &Loaded, fate: Fate) -> std::io::Result<()> {
        let rows = match loaded {
            Loaded::Whole(whole) => {
                let sent = Sent { segment, token: whole.token(), spans: spans_in(&whole.frames().all()?) };
                self.send(sent, fate);
                return Ok(());
            }
            Loaded::InDoubt(rows) => rows,
        };
        for part in rows.parts() {
            self.end_inserts(segment);
            let present: BTreeSet<u64> =
                self.rows.iter().filter(|(of, _)| *of == segment).map(|(_, number)| *number).collect();
            let mut spans = spans_in(&part.frames);
            spans.retain(|(number, _)| !present.contains(number));
            self.send(Sent { segment, token: part.token, spans }, fate);
            if fate != Fate::Stored {
                break;
            }
        }
        Ok(())
    }

    /// How often each span is there.
    fn counts(&self) -> BTreeMap<u64, usize> {
        let mut counts = BTreeMap::new();
        self.rows.iter().for_each(|(_, number)| *counts.entry(*number).or_default() += 1);
        counts
    }
}

/// Sends everything that waits.
fn drain(journal: &mut Journal, table: &mut Table) {
    for lane in [Lane::Disk, Lane::Memory] {
        journal.seal(lane, SPANS);
    }
    while let Some(mut segment) = take(journal.backlog(), Order::Fair) {
        let loaded = segment.load().unwrap();
        table.deliver(segment.id(), &loaded, Fate::Stored).unwrap();
        match damage_of(&loaded) {
            Some(lost) => segment.set_aside(lost, 0, "test"),
            None => segment.stored(0),
        }
    }
    (0..table.under_way.len()).for_each(|_| table.commit_late(0));
    assert_eq!(journal.backlog().view(), BacklogView::default());
}
