//! Commits that are more than a block: cut between rows, one write, one fsync, and read back whatever was torn.

use super::*;
use crate::bounds::{BLOCK_BYTES, BLOCK_BYTES_MAX, FRAME_BYTES_MAX};
use crate::columns::{MapRow, SpanScalars};
use crate::journal::active::BUFFER_KEPT_BYTES;
use crate::journal::config::Compression;
use crate::journal::testing::{Fault, Op, ids};
use crate::sizes::ByteSize;

/// Rows with these numbers, each so large.
fn group_of_large(numbers: std::ops::RangeInclusive<u64>, bytes: usize) -> RowGroup {
    let (mut rows, text) = (RowGroup::default(), vec![b'x'; bytes]);
    for number in numbers {
        let (trace, span) = ids(number);
        let mark = rows.begin();
        rows.attribute(b"text", &text);
        rows.finish(mark, &SpanScalars::new(at(number), trace, span), &MapRow::default(), None).unwrap();
    }
    rows
}

#[test]
fn a_commit_of_several_blocks_is_one_write_and_one_fsync_and_each_block_is_within_its_bound() {
    let disk = SimDisk::default();
    let Opened { mut journal, metrics, .. } = open(&disk, options(1)).unwrap();
    commit(&mut journal, &[1]).unwrap();
    let (before, fsyncs) = (disk.calls().len(), metrics.journal.fsyncs.get());
    let groups =
        [group(&[2, 3]), group_of_large(4..=8, BLOCK_BYTES / 3 - 1_024), group_of_large(9..=9, 2 * BLOCK_BYTES)];
    journal.commit(Lane::Disk, &groups.each_ref(), &[], at(100)).unwrap();
    assert_eq!(disk.calls()[before..], [Op::Append, Op::Sync]);
    assert_eq!(metrics.journal.fsyncs.get() - fsyncs, 1);
    journal.seal(Lane::Disk, SPANS);
    let loaded = take(journal.backlog(), Order::Fair).unwrap().load().unwrap();
    let blocks = blocks_in(&frames_of(&loaded));
    let rows: Vec<usize> = blocks.iter().map(|block| Block::parse(block).unwrap().0.rows()).collect();
    assert_eq!(rows, [1, 5, 2, 1], "the commit before it, and three blocks");
    assert!(blocks.iter().all(|block| block.len() <= BLOCK_BYTES_MAX) && frames_of(&loaded).len() < FRAME_BYTES_MAX);
    let numbers: Vec<u64> = spans_in(&frames_of(&loaded)).into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
}

#[test]
fn of_a_commit_that_was_torn_between_its_blocks_whole_blocks_are_found() {
    for sixteenths in [0, 5, 6, 15] {
        let disk = SimDisk::default();
        let mut journal = open(&disk, options(1)).unwrap().journal;
        commit(&mut journal, &[1]).unwrap();
        disk.fail_next(Op::Append, Fault::ShortIo(sixteenths));
        disk.fail_next(Op::CutBack, Fault::Io);
        let large = group_of_large(2..=4, BLOCK_BYTES / 2);
        assert!(matches!(journal.commit(Lane::Disk, &[&large], &[], at(100)), Err(CommitError::Failed(_))));
        disk.kill();
        let mut again = open(&disk, options(2)).unwrap();
        let whole = u64::from(sixteenths) * 3 / 16;
        assert_eq!(again.heard, (1..=1 + whole).collect::<Vec<_>>(), "{sixteenths} sixteenths of three equal blocks");
        let mut table = Table::default();
        drain(&mut again.journal, &mut table);
        assert_eq!(table.counts().into_keys().collect::<Vec<_>>(), again.heard);
    }
}

#[test]
fn buffers_that_a_large_commit_needed_are_given_back() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    for lane in [Lane::Disk, Lane::Memory] {
        journal.commit(lane, &[&group_of_large(1..=1, 3 * BLOCK_BYTES)], &[], at(100)).unwrap();
        assert!(journal.scratch.frames.capacity() <= BUFFER_KEPT_BYTES);
    }
}

#[test]
fn large_rows_are_not_compressed_while_clickhouse_is_on_this_machine_and_keeps_up() {
    const ROWS: usize = 256 << 10;
    let (large, small) = (group_of_large(1..=4, ROWS / 4), group(&[5, 6, 7]));
    let written = |compression, is_here: bool, waiting: usize, rows: &RowGroup| {
        let config = Config { compression, segment_bytes: ByteSize(ROWS / 2), ..options(1).config };
        let options = Options { config, clickhouse_is_here: is_here, ..options(1) };
        let mut journal = open(&SimDisk::default(), options).unwrap().journal;
        for _ in 0..waiting {
            journal.commit(Lane::Disk, &[&large], &[], at(100)).unwrap();
            journal.seal(Lane::Disk, SPANS);
        }
        let bytes = journal.commit(Lane::Disk, &[rows], &[], at(100)).unwrap().frame_bytes;
        let mut table = Table::default();
        drain(&mut journal, &mut table);
        assert_eq!(table.rows.len(), 4 * waiting + rows.rows(), "all of them are sent");
        bytes
    };
    assert!(written(Compression::Auto, true, 0, &large) > ROWS);
    assert!(written(Compression::Auto, true, 1, &large) > ROWS);
    assert!(written(Compression::Auto, true, 2, &large) < ROWS / 10, "two of them wait");
    assert!(written(Compression::Auto, false, 0, &large) < ROWS / 10);
    assert!(written(Compression::Lz4, true, 0, &large) < ROWS / 10);
    assert!(written(Compression::None, false, 2, &large) > ROWS);
    let of_small = [Compression::Auto, Compression::Lz4, Compression::None].map(|how| written(how, true, 0, &small));
    assert!(of_small[0] == of_small[1] && of_small[1] < of_small[2], "{of_small:?}");
}

/// ClickHouse refuses an insert whose frames have different methods.
#[test]
fn all_frames_of_a_segment_have_one_method() {
    const ROWS: usize = 256 << 10;
    let (large, small) = (group_of_large(1..=4, ROWS / 4), group(&[5, 6, 7]));
    let config = Config { compression: Compression::Auto, segment_bytes: ByteSize(ROWS * 8), ..options(1).config };
    let options = Options { config, clickhouse_is_here: true, ..options(1) };
    let mut journal = open(&SimDisk::default(), options).unwrap().journal;
    let method = |journal: &mut Journal, rows: &RowGroup| {
        journal.commit(Lane::Disk, &[rows], &[], at(100)).unwrap();
        journal.scratch.frames[16]
    };
    // the byte after a frame's checksum
    let (none, lz4) = (0x02, 0x82);
    for (first, second, of_both) in [(&large, &small, none), (&small, &large, lz4), (&large, &large, none)] {
        assert_eq!([first, second].map(|rows| method(&mut journal, rows)), [of_both; 2]);
        journal.seal(Lane::Disk, SPANS);
    }
    let mut table = Table::default();
    drain(&mut journal, &mut table);
    assert_eq!(table.rows.len(), 2 * (4 + 3) + 2 * 4, "all of them are sent");
}
