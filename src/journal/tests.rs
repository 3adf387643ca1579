//! The journal as a whole, on a disk that fails (`testing.rs`), and a table that forgets nothing but tokens.

mod corruption;
mod cutting;
mod faults;
mod model;

use super::testing::{SimDisk, group, number_of};
use super::*;
use futures_util::FutureExt as _;
use std::collections::{BTreeMap, BTreeSet};

const DIR: &str = "/data/journal";
const SEGMENT_ROWS: usize = 1_000;

/// How a journal is opened the `opening`th time.
fn options(opening: u64) -> Options {
    Options {
        dir: DIR.into(),
        config: Config { segment_rows: SEGMENT_ROWS, ..Config::default() },
        table: "otel.otel_traces".to_owned(),
        origin: opening << 32,
        now: at(opening),
        boot: Some("the first".to_owned()),
        prepare_ahead: false,
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
    let mut seen = |block: &Block<'_>| {
        heard.extend(block.strings("SpanId").unwrap().map(number_of));
        true
    };
    let (journal, recovered) = Journal::open(options, disk.shared(), metrics.clone(), &mut seen)?;
    Ok(Opened { journal, recovered, metrics, heard })
}

/// Commits these spans to disk as one group.
fn commit(journal: &mut Journal, numbers: &[u64]) -> Result<Committed, CommitError> {
    journal.commit(Lane::Disk, &[&group(numbers)], at(100))
}

/// The next segment, if one waits.
fn take(backlog: &Backlog, order: Order) -> Option<Segment> {
    backlog.take(order).now_or_never().flatten()
}

/// The blocks in frames.
fn blocks_in(frames: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut blocks) = (frames, Vec::new());
    while !rest.is_empty() {
        let shape = crate::columns::frames::check_frame(rest).unwrap().expect("a whole frame");
        let mut block = Vec::new();
        decompress_checked_frame(&rest[..shape.frame_bytes], &mut block).unwrap();
        blocks.push(block);
        rest = &rest[shape.frame_bytes..];
    }
    blocks
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
/// harmless, as long as it is remembered.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<(SegmentId, u64)>,
    tokens: BTreeSet<(String, i64)>,
}

impl Table {
    /// An insert, of which only the first `parts` happen.
    fn insert(&mut self, segment: SegmentId, token: &str, spans: &[(u64, i64)], parts: usize) {
        let mut by_day: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for (number, day) in spans {
            by_day.entry(*day).or_default().push(*number);
        }
        for (day, numbers) in by_day.into_iter().take(parts) {
            if self.tokens.insert((token.to_owned(), day)) {
                self.rows.extend(numbers.into_iter().map(|number| (segment, number)));
            }
        }
    }

    /// As the exporter delivers a segment: `exporter/mod.rs` and `isolate.rs`, `insert_what_is_missing`.
    fn deliver(&mut self, segment: &Segment, loaded: &Loaded, parts: usize) {
        let (id, spans) = (segment.id(), spans_in(&loaded.frames));
        let token = id.to_string();
        if !segment.is_in_doubt() && !loaded.is_damaged {
            return self.insert(id, &token, &spans, parts);
        }
        let present: BTreeSet<u64> = self.rows.iter().filter(|(of, _)| *of == id).map(|(_, number)| *number).collect();
        let missing: Vec<_> = spans.iter().filter(|(number, _)| !present.contains(number)).copied().collect();
        if missing.len() == spans.len() && !loaded.is_damaged {
            self.insert(id, &token, &spans, parts);
        } else {
            self.insert(id, &format!("{token}-rest"), &missing, parts);
        }
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
        journal.seal(lane);
    }
    while let Some(segment) = take(journal.backlog(), Order::Fair) {
        let loaded = segment.load().unwrap();
        table.deliver(&segment, &loaded, usize::MAX);
        if loaded.is_damaged { segment.set_aside(loaded.rows_damaged, "test") } else { segment.stored(0) }
    }
    assert_eq!(journal.backlog().view(), View::default());
}
