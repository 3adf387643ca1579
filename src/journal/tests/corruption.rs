//! Bytes on disk that change: a start always succeeds, what is sent is what was written, and what is lost is counted.

use super::*;
use crate::journal::ledger::LEDGER_FILE;
use crate::journal::testing::{Fault, Op};

/// A segment's file, and what was committed to it.
struct Written {
    name: FileName,
    bytes: Vec<u8>,
    /// The block of each commit.
    blocks: Vec<Vec<u8>>,
    /// Bytes of the header.
    header: usize,
    /// Where each is in the file.
    frames: Vec<std::ops::Range<usize>>,
    /// Where each has its end, with its record.
    ends: Vec<usize>,
    rows: Vec<usize>,
    ledger: Vec<u8>,
}

/// Writes a segment of so many rows in each commit, sealed or not.
fn written(commits: &[usize], is_sealed: bool) -> Written {
    written_by(1, commits, is_sealed)
}

/// The same by another run.
fn written_by(opening: u64, commits: &[usize], is_sealed: bool) -> Written {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(opening)).unwrap().journal;
    let mut first = 1;
    for rows in commits {
        let behind = first + u64::try_from(*rows).unwrap();
        commit(&mut journal, &(first..behind).collect::<Vec<_>>()).unwrap();
        first = behind;
    }
    if is_sealed {
        journal.seal(Lane::Disk, SPANS);
    }
    let names = disk.names_in(Path::new(DIR));
    let [name] = names.iter().filter_map(|name| FileName::read(name)).collect::<Vec<_>>()[..] else {
        panic!("{names:?}")
    };
    let bytes = disk.bytes_of(&path_of(name));
    let scan = format::scan(&bytes, |_| true).unwrap();
    let (frames, header) = (scan.frames.clone(), scan.frames[0].start);
    let ends = scan.records.iter().map(|record| record.clone().unwrap().end).collect();
    let ledger = disk.bytes_of(&Path::new(DIR).join(LEDGER_FILE));
    let blocks = blocks_in(&scan.into_frames(bytes.clone()));
    assert_eq!(frames.len(), commits.len());
    Written { name, bytes, blocks, header, frames, ends, rows: commits.to_vec(), ledger }
}

fn path_of(name: FileName) -> PathBuf {
    Path::new(DIR).join(name.file())
}

/// Opens a journal in which there is this file alone.
fn with(name: FileName, bytes: &[u8]) -> (SimDisk, Opened) {
    let disk = SimDisk::default();
    disk.put(&path_of(name), bytes);
    let opened = open(&disk, options(2)).expect("it always starts");
    (disk, opened)
}

/// What became of the bytes of a sealed segment.
fn check_sealed(written: &Written, bytes: &[u8], survivors: &[usize], what: &str) {
    let (disk, opened) = with(written.name, bytes);
    let all: usize = written.rows.iter().sum();
    assert_eq!((opened.recovered.segments, opened.recovered.rows), (1, all), "{what}");
    let backlog = opened.journal.backlog().clone();
    let mut segment = take(&backlog, Order::Fair).unwrap();
    let left: usize = survivors.iter().map(|at| written.rows[*at]).sum();
    let lost = match segment.load() {
        Ok(loaded) => {
            let want: Vec<_> = survivors.iter().map(|at| written.blocks[*at].clone()).collect();
            assert!(blocks_in(&frames_of(&loaded)) == want, "{what}: what was written, and nothing else");
            let last = written.frames.last().unwrap().end;
            if bytes.get(..last) == written.bytes.get(..last) {
                assert!(
                    damage_of(&loaded).is_none() && !segment.is_in_doubt(),
                    "{what}: all that ClickHouse gets is whole"
                );
                return;
            }
            assert!(segment.is_in_doubt(), "{what}: it is no longer what its token stands for");
            let RowsLost { rows: lost, .. } = damage_of(&loaded).unwrap_or_else(|| panic!("{what}: it is damaged"));
            assert_eq!((left, lost), (all - lost, all - left), "{what}");
            lost
        }
        Err(error @ (LoadError::Io(_) | LoadError::Later(_))) => panic!("{what}: {error}"),
        Err(LoadError::Nothing | LoadError::Unreadable(_)) => all,
    };
    assert_eq!(lost, all - left, "{what}");
    let state = if segment.is_in_doubt() { FileState::Doubt { rows: all } } else { written.name.state };
    segment.set_aside(RowsLost::exactly(lost), 0, "test");
    assert_eq!(backlog.view(), BacklogView::default());
    assert_eq!(opened.metrics.pending(), 0);
    let name = FileName { state, ..written.name }.file();
    let kept = disk.bytes_of(&Path::new(DIR).join(aside::DAMAGED_DIR).join(name));
    assert!(kept == bytes, "{what}: kept as it is, for a person to look at");
}

/// The frames that do not have a byte of `touched`.
fn survivors(written: &Written, touched: &std::ops::Range<usize>) -> Vec<usize> {
    let is_whole = |at: &usize| {
        let frame = &written.frames[*at];
        frame.end <= touched.start || touched.end <= frame.start
    };
    (0..written.frames.len()).filter(is_whole).collect()
}

#[test]
fn a_flipped_byte_in_a_finished_segment_costs_its_frame_alone() {
    let written = written(&[2, 1, 3, 1], true);
    for at in 0..written.bytes.len() {
        for flip in [1 << (at % 8), 0xff] {
            let mut bytes = written.bytes.clone();
            bytes[at] ^= flip;
            check_sealed(&written, &bytes, &survivors(&written, &(at..at + 1)), &format!("byte {at} ^ {flip:02x}"));
        }
    }
}

/// Opens a journal in which there is this file, and the ledger of the run that wrote it.
fn with_ledger(written: &Written, name: FileName, bytes: &[u8]) -> (SimDisk, Opened) {
    let disk = SimDisk::default();
    disk.put(&path_of(name), bytes);
    disk.put(&Path::new(DIR).join(LEDGER_FILE), &written.ledger);
    let opened = open(&disk, options(2)).expect("it always starts");
    (disk, opened)
}

/// What is delivered of a journal, and what it says is lost: as numbers of rows.
fn delivered_and_lost(opened: &mut Opened) -> (Vec<u64>, usize, bool) {
    let (backlog, mut numbers) = (opened.journal.backlog().clone(), Vec::new());
    while let Some(mut segment) = take(&backlog, Order::Fair) {
        let rows = segment.rows();
        match segment.load() {
            Ok(loaded) => {
                numbers.extend(spans_in(&frames_of(&loaded)).into_iter().map(|(number, _)| number));
                match damage_of(&loaded) {
                    Some(lost) => segment.set_aside(lost, 0, "test"),
                    None => segment.stored(0),
                }
            }
            Err(_) => segment.set_aside(RowsLost::exactly(rows), 0, "test"),
        }
    }
    let asides = backlog.asides();
    assert_eq!(opened.metrics.pending(), 0);
    (numbers, asides.rows_lost, asides.uncounted == 0)
}

#[test]
fn of_a_segment_under_way_with_a_flipped_byte_anywhere_what_is_lost_is_counted_exactly() {
    let written = written(&[2, 1, 3, 1], false);
    let all: usize = written.rows.iter().sum();
    for at in 0..written.bytes.len() {
        let mut bytes = written.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let left = survivors(&written, &(at..at + 1));
        let rows: usize = left.iter().map(|at| written.rows[*at]).sum();
        let (disk, mut opened) = with_ledger(&written, written.name, &bytes);
        let (numbers, lost, is_exact) = delivered_and_lost(&mut opened);
        assert_eq!((numbers.len(), lost, is_exact), (rows, all - rows, true), "byte {at}");
        if rows < all {
            let damaged = disk.names_in(&Path::new(DIR).join(aside::DAMAGED_DIR));
            assert_eq!(damaged.len(), 1, "byte {at}: it is kept for a person to look at");
        }
        // without the ledger, or when the machine went down, it says that it does not know
        if at % 5 > 0 {
            continue;
        }
        let (_disk, mut opened) = with(written.name, &bytes);
        let (numbers, lost, is_exact) = delivered_and_lost(&mut opened);
        let is_last = at >= written.frames[3].start;
        assert_eq!((numbers.len(), lost, is_exact), (rows, 0, is_last), "byte {at}: the last may have been cut off");
    }
}

#[test]
fn of_a_segment_that_was_cut_emptied_or_removed_what_is_lost_is_counted_exactly() {
    for is_sealed in [false, true] {
        let written = written(&[2, 1, 3], is_sealed);
        let all: usize = written.rows.iter().sum();
        for length in 0..written.bytes.len() {
            let left = survivors(&written, &(length..written.bytes.len()));
            let rows: usize = left.iter().map(|at| written.rows[*at]).sum();
            let (_disk, mut opened) = with_ledger(&written, written.name, &written.bytes[..length]);
            let (numbers, lost, is_exact) = delivered_and_lost(&mut opened);
            assert_eq!((numbers.len(), lost, is_exact), (rows, all - rows, true), "{length} bytes");
        }
        let disk = SimDisk::default();
        disk.put(&Path::new(DIR).join(LEDGER_FILE), &written.ledger);
        let mut opened = open(&disk, options(2)).unwrap();
        assert_eq!(delivered_and_lost(&mut opened), (Vec::new(), all, true), "removed");
        assert_eq!(opened.journal.backlog().asides().counts, BTreeMap::from([(Reason::Missing, 1)]));
        // of another start of the machine the ledger may be too old to tell
        let disk = SimDisk::default();
        disk.put(&Path::new(DIR).join(LEDGER_FILE), &written.ledger);
        let mut opened = open(&disk, Options { boot: Some("another".to_owned()), ..options(2) }).unwrap();
        assert_eq!(delivered_and_lost(&mut opened), (Vec::new(), 0, true));
    }
}

#[test]
fn a_copy_under_another_name_is_set_aside_and_a_renamed_segment_is_stored_under_its_own() {
    let written = written(&[2, 1], true);
    let other = FileName { id: SegmentId::new(77, written.name.id.number() + 1), ..written.name };
    let other_state = FileName { state: FileState::Waiting { rows: 30 }, ..written.name };
    let still_open = FileName { state: FileState::Open, ..written.name };
    for copy in [other, other_state, still_open] {
        let disk = SimDisk::default();
        disk.put(&path_of(written.name), &written.bytes);
        disk.put(&path_of(copy), &written.bytes);
        let mut opened = open(&disk, options(2)).unwrap();
        let mut table = Table::default();
        // the original is in ClickHouse already, and its token is forgotten
        table.rows.extend([1, 2, 3].map(|number| (written.name.id, number)));
        drain(&mut opened.journal, &mut table);
        assert!(table.counts().into_values().eq([1, 1, 1]), "{copy:?}");
        assert_eq!(opened.journal.backlog().asides().counts, BTreeMap::from([(Reason::Copy, 1)]));
        assert_eq!(disk.names_in(&Path::new(DIR).join(aside::DAMAGED_DIR)).len(), 1);
    }
    let disk = SimDisk::default();
    disk.put(&path_of(other), &written.bytes);
    let mut opened = open(&disk, options(2)).unwrap();
    let segment = take(opened.journal.backlog(), Order::Fair).unwrap();
    assert_eq!((segment.id(), segment.is_in_doubt()), (written.name.id, true), "its header says which it is");
    segment.put_back(std::time::Duration::ZERO, History::default());
    assert_eq!(delivered_and_lost(&mut opened), (vec![1, 2, 3], 0, true));
}

#[test]
fn commits_of_another_segment_that_were_appended_are_not_stored_under_its_id() {
    for is_sealed in [false, true] {
        let (own, other) = (written(&[2, 1], is_sealed), written_by(9, &[3], true));
        let bytes = [&own.bytes[..], &other.bytes[other.header..]].concat();
        let (disk, mut opened) = with_ledger(&own, own.name, &bytes);
        assert_eq!(delivered_and_lost(&mut opened), (vec![1, 2, 3], 0, true));
        assert_eq!(
            disk.names_in(&Path::new(DIR).join(aside::DAMAGED_DIR)).len(),
            1,
            "it is kept for a person to look at"
        );
    }
}

#[test]
fn an_emptied_original_gives_way_to_its_copy() {
    let written = written(&[2, 1], true);
    let copy = FileName { id: SegmentId::new(77, 8), ..written.name };
    let disk = SimDisk::default();
    disk.put(&path_of(written.name), b"");
    disk.put(&path_of(copy), &written.bytes);
    let mut opened = open(&disk, options(2)).unwrap();
    assert_eq!(delivered_and_lost(&mut opened), (vec![1, 2, 3], 0, true));
}

#[test]
fn a_foreign_file_with_the_last_number_there_is_neither_stops_the_count_nor_makes_numbers_collide() {
    let written = written(&[2], true);
    let last = FileName { id: SegmentId::new(1, u64::MAX), state: FileState::Waiting { rows: 2 } };
    let header = Header { id: last.id, created_nanos: 1, columns: 1, table: String::new() }.encode();
    // its name alone says so, or its header too
    for bytes in [&written.bytes[..], &header, b""] {
        let disk = SimDisk::default();
        disk.put(&path_of(last), bytes);
        let mut opened = open(&disk, options(2)).unwrap();
        let mut ids = BTreeSet::new();
        opened.metrics.of(SPANS.row_kind()).take(10);
        for number in 10..20 {
            ids.insert(commit(&mut opened.journal, &[number]).unwrap().segment);
            opened.journal.seal(Lane::Disk, SPANS);
        }
        assert!(ids.len() == 10 && ids.iter().all(|id| id.number() < u64::MAX / 2), "{ids:?}");
        let (numbers, ..) = delivered_and_lost(&mut opened);
        assert!((10..20).all(|number| numbers.contains(&number)), "{numbers:?}");
    }
}

#[test]
fn what_was_put_into_the_folder_is_asked_for_before_it_is_sent() {
    let (own, foreign) = (written(&[2], true), written_by(9, &[3], true));
    let disk = SimDisk::default();
    disk.put(&path_of(own.name), &own.bytes);
    disk.put(&path_of(foreign.name), &foreign.bytes);
    disk.put(&Path::new(DIR).join(LEDGER_FILE), &own.ledger);
    let opened = open(&disk, options(2)).unwrap();
    let backlog = opened.journal.backlog();
    let doubts: BTreeMap<SegmentId, bool> = std::iter::from_fn(|| take(backlog, Order::Fair))
        .map(|segment| (segment.id(), segment.is_in_doubt()))
        .collect();
    assert_eq!(doubts, BTreeMap::from([(own.name.id, false), (foreign.name.id, true)]));
}

#[test]
fn a_finished_segment_cut_anywhere_is_known_to_be_shorter() {
    let written = written(&[2, 1, 3], true);
    for length in 0..written.bytes.len() {
        let touched = length..written.bytes.len();
        check_sealed(&written, &written.bytes[..length], &survivors(&written, &touched), &format!("{length} bytes"));
    }
}

#[test]
fn a_segment_under_way_cut_anywhere_ends_at_its_last_whole_commit() {
    let written = written(&[2, 1, 3], false);
    let header = written.header;
    for length in 0..written.bytes.len() {
        let (disk, opened) = with(written.name, &written.bytes[..length]);
        let left = survivors(&written, &(length..written.bytes.len()));
        let rows: usize = left.iter().map(|at| written.rows[*at]).sum();
        let whole = written.ends.iter().chain(left.last().map(|last| &written.frames[*last].end));
        let sound = whole.filter(|end| **end <= length).max().map_or(header, |end| *end);
        // a file that was only begun has no commit that could be torn
        let torn = if length <= header { 0 } else { length - sound };
        let Recovered { segments, rows: found, torn_bytes, .. } = opened.recovered;
        let want = (usize::from(rows > 0), rows, u64::try_from(torn).unwrap());
        assert_eq!((segments, found, torn_bytes), want, "{length} bytes");
        let names = disk.names_in(Path::new(DIR));
        let left_behind = names.iter().filter(|name| FileName::read(name).is_some()).count();
        assert_eq!(left_behind, segments, "{names:?}");
        // only what is shorter than a header cannot be what a crash left
        let set_aside = opened.journal.backlog().asides().counts.contains_key(&Reason::Unreadable);
        assert_eq!(set_aside, length < header, "{length} bytes");
        let Some(mut segment) = take(opened.journal.backlog(), Order::Fair) else { continue };
        let loaded = segment.load().unwrap();
        assert_eq!(damage_of(&loaded), None, "{length} bytes: that is how a power cut looks");
        assert_eq!(spans_in(&frames_of(&loaded)).len(), rows);
    }
}

#[test]
fn a_page_of_zeros_costs_the_frames_that_it_touches() {
    const PAGE: usize = 4_096;
    let written = written(&[300, 700, 500, 900, 200], true);
    assert!(written.bytes.len() > 6 * PAGE, "{} bytes", written.bytes.len());
    for page in 0..written.bytes.len().div_ceil(PAGE) {
        let touched = page * PAGE..((page + 1) * PAGE).min(written.bytes.len());
        let mut bytes = written.bytes.clone();
        bytes[touched.clone()].fill(0);
        check_sealed(&written, &bytes, &survivors(&written, &touched), &format!("page {page}"));
    }
}

#[test]
fn a_segment_that_is_gone_takes_no_other_with_it() {
    for is_gone_at_start in [true, false] {
        let disk = SimDisk::default();
        let mut journal = open(&disk, options(1)).unwrap().journal;
        let mut ids = Vec::new();
        for number in [1, 2, 3] {
            ids.push(commit(&mut journal, &[number]).unwrap().segment);
            journal.seal(Lane::Disk, SPANS);
        }
        let gone = path_of(FileName { id: ids[1], state: FileState::Waiting { rows: 1 } });
        if is_gone_at_start {
            disk.remove(&gone).unwrap();
            disk.kill();
            let again = open(&disk, options(2)).unwrap();
            assert_eq!((again.recovered.rows, &again.heard[..]), (2, &[3, 1][..]));
            journal = again.journal;
        } else {
            disk.remove(&gone).unwrap();
        }
        let mut sent = Vec::new();
        while let Some(mut segment) = take(journal.backlog(), Order::OldestFirst) {
            match segment.load() {
                Ok(loaded) => {
                    sent.extend(spans_in(&frames_of(&loaded)).into_iter().map(|(number, _)| number));
                    segment.stored(0);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(sent, if is_gone_at_start { vec![1, 3] } else { vec![1, 2, 3] }, "what was open is still there");
        assert_eq!(journal.backlog().view(), BacklogView::default());
    }
}

#[test]
fn a_segment_of_a_later_version_is_left_where_it_is() {
    let mut later = written(&[2, 1], true);
    let header = later.header;
    later.bytes[8] = 4;
    let sum = crate::columns::native::frames::checksum_of(&later.bytes[..header - 16]);
    later.bytes[header - 16..header].copy_from_slice(&sum);
    for state in [FileState::Waiting { rows: 3 }, FileState::Open] {
        let name = FileName { state, ..later.name };
        let (disk, opened) = with(name, &later.bytes);
        assert_eq!(opened.recovered, Recovered::default());
        assert!(disk.bytes_of(&path_of(name)) == later.bytes);
    }
    // also when its header cannot be read before it is sent
    let disk = SimDisk::default();
    let name = later.name;
    disk.put(&path_of(name), &later.bytes);
    let newer = written_by(5, &[2, 1], true);
    disk.put(&path_of(newer.name), &newer.bytes);
    disk.fail_next(Op::Read, Fault::Io);
    let Opened { journal, recovered, metrics, .. } = open(&disk, options(2)).unwrap();
    assert_eq!(recovered.segments, 2);
    let mut segment = take(journal.backlog(), Order::OldestFirst).unwrap();
    let why = segment.load().unwrap_err();
    assert!(matches!(why, LoadError::Unreadable(Unreadable::Version(4))), "{why}");
    segment.leave(&why.to_string());
    assert_eq!((journal.backlog().view().rows, metrics.pending()), (3, 3));
    assert!(disk.bytes_of(&path_of(name)) == later.bytes);
}

/// As after going back to an earlier release: its columns are others, and one is of a type that nobody here knows.
#[test]
fn a_segment_with_a_column_type_of_a_later_release_is_left_where_it_is() {
    let mut block = b"\x02\x01\x01t\x0dDateTime64(9)".to_vec();
    block.extend_from_slice(&[7; 8]);
    block.extend_from_slice(b"\x01n\x04Int8\x05");
    let id = written(&[1], true).name.id;
    let header =
        Header { id, created_nanos: 1, columns: columns_hash(SPANS) ^ 1, table: "otel.otel_traces".to_owned() };
    let mut bytes = header.encode();
    crate::columns::native::frames::compress_pieces(&block, &mut bytes);
    for state in [FileState::Open, FileState::Waiting { rows: 1 }, FileState::Doubt { rows: 1 }] {
        let name = FileName { id, state };
        let (disk, opened) = with(name, &bytes);
        let backlog = opened.journal.backlog().clone();
        let mut segment = take(&backlog, Order::Fair).unwrap();
        let why = segment.load().unwrap_err();
        assert!(why.is_of_later(), "{why}");
        assert!(why.to_string().contains("a later Millrace wrote it: column type \"Int8\" is unknown"), "{why}");
        segment.leave(&why.to_string());
        assert_eq!((backlog.view(), opened.metrics.pending()), (BacklogView::default(), 0));
        // it is found again by the next start, of whatever release
        disk.kill();
        assert_eq!(open(&disk, options(3)).unwrap().recovered.rows, 1);
    }
}

#[test]
fn garbage_in_the_folder_stops_no_start() {
    let written = written(&[1], true);
    let garbage: &[&[u8]] = &[b"", b"x", &[0; 400], &[0x82; 5_000], b"MILLRACE", &written.bytes[..40]];
    for bytes in garbage {
        for state in [FileState::Open, FileState::Waiting { rows: 5 }, FileState::Stored { rows: 5 }] {
            let (_disk, opened) = with(FileName { state, ..written.name }, bytes);
            match take(opened.journal.backlog(), Order::Fair) {
                Some(mut segment) => {
                    assert!(segment.load().is_err());
                    segment.set_aside(RowsLost::exactly(5), 0, "test");
                }
                None => assert!(!matches!(state, FileState::Waiting { .. }), "its rows are to be counted as lost"),
            }
            assert_eq!(opened.journal.backlog().view(), BacklogView::default());
        }
    }
    let disk = SimDisk::default();
    for name in ["notes.txt", "0000000000000001-2.open", "boot", "x.segment"] {
        disk.put(&Path::new(DIR).join(name), b"\xff\xfe");
    }
    assert_eq!(open(&disk, options(2)).unwrap().recovered.segments, 0);
}

/// Segments of format version 1 as Millrace 0.1.0 wrote them: three commits of spans 1 to 6 each.
const V1: &[u8] = include_bytes!("../../../tests/fixtures/journal/v1.segment");
/// The same, in blocks of fewer columns than there are now.
const V1_FEWER_COLUMNS: &[u8] = include_bytes!("../../../tests/fixtures/journal/v1-fewer-columns.segment");

#[test]
fn segments_of_earlier_formats_stay_readable() {
    for (bytes, fewer) in [(V1, false), (V1_FEWER_COLUMNS, true)] {
        for state in [FileState::Open, FileState::Waiting { rows: 6 }] {
            let name = FileName { id: SegmentId::new(7, 8), state };
            let (_disk, opened) = with(name, bytes);
            assert_eq!((opened.recovered.rows, opened.heard.len()), (6, 6));
            let mut segment = take(opened.journal.backlog(), Order::Fair).unwrap();
            let Loaded::Whole(whole) = segment.load().unwrap() else { panic!("nothing of it is in doubt") };
            let numbers: Vec<u64> =
                spans_in(&whole.frames().all().unwrap()).into_iter().map(|(number, _)| number).collect();
            assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
            let columns = ["Timestamp", "TraceId", "SpanId", "SpanName", "SegmentId"].map(str::to_owned);
            let said = whole.columns();
            if fewer {
                assert_eq!(said, Some(&columns[..]));
            } else {
                let first = &blocks_in(&whole.frames().all().unwrap())[0];
                let has: Vec<_> = Block::parse(first).unwrap().0.column_names().map(str::to_owned).collect();
                assert!(said.is_none_or(|said| said == has));
            }
        }
    }
}
