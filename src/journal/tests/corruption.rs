//! Bytes on disk that change: a start always succeeds, what is sent is what was written, and what is lost is counted.

use super::*;

/// A segment's file, and what was committed to it.
struct Written {
    name: Name,
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
}

/// Writes a segment of so many rows in each commit, sealed or not.
fn written(commits: &[usize], is_sealed: bool) -> Written {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    let mut first = 1;
    for rows in commits {
        let behind = first + u64::try_from(*rows).unwrap();
        commit(&mut journal, &(first..behind).collect::<Vec<_>>()).unwrap();
        first = behind;
    }
    if is_sealed {
        journal.seal(Lane::Disk);
    }
    let names = disk.names_in(Path::new(DIR));
    let [name] = names.iter().filter_map(|name| Name::read(name)).collect::<Vec<_>>()[..] else { panic!("{names:?}") };
    let bytes = disk.bytes_of(&path_of(name));
    let scan = segment::scan(&bytes, |_| true).unwrap();
    let (frames, header) = (scan.frames.clone(), scan.frames[0].start);
    let ends = scan.records.iter().map(|record| record.clone().unwrap().end).collect();
    let blocks = blocks_in(&scan.into_frames(bytes.clone()));
    assert_eq!(frames.len(), commits.len());
    Written { name, bytes, blocks, header, frames, ends, rows: commits.to_vec() }
}

fn path_of(name: Name) -> PathBuf {
    Path::new(DIR).join(name.file())
}

/// Opens a journal in which there is this file alone.
fn with(name: Name, bytes: &[u8]) -> (SimDisk, Opened) {
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
            let RowsLost(lost) = damage_of(&loaded).unwrap_or_else(|| panic!("{what}: it is damaged"));
            assert_eq!((left, lost), (all - lost, all - left), "{what}");
            lost
        }
        Err(error @ (LoadError::Io(_) | LoadError::Later(_))) => panic!("{what}: {error}"),
        Err(LoadError::Nothing | LoadError::Unreadable(_)) => all,
    };
    assert_eq!(lost, all - left, "{what}");
    let state = if segment.is_in_doubt() { State::Doubt { rows: all } } else { written.name.state };
    segment.set_aside(lost, "test");
    assert_eq!(backlog.view(), View::default());
    assert_eq!(opened.metrics.pending(), 0);
    let name = Name { state, ..written.name }.file();
    let kept = disk.bytes_of(&Path::new(DIR).join(backlog::DAMAGED_DIR).join(name));
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

#[test]
fn a_flipped_byte_in_a_segment_under_way_costs_its_frame_alone() {
    let written = written(&[2, 1, 3, 1], false);
    let (begin, end) = (written.ends[2], written.frames[3].end);
    for at in 0..written.bytes.len() {
        let mut bytes = written.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let (_disk, opened) = with(written.name, &bytes);
        let left = survivors(&written, &(at..at + 1));
        let rows: usize = left.iter().map(|at| written.rows[*at]).sum();
        // the last commit may as well have been cut off by the power: from its frame on, or its record alone
        let torn = if at < begin { 0 } else { written.bytes.len() - if at < end { begin } else { end } };
        let torn = u64::try_from(torn).unwrap();
        assert_eq!((opened.recovered.rows, opened.recovered.torn_bytes), (rows, torn), "byte {at}");
        let mut segment = take(opened.journal.backlog(), Order::Fair).unwrap();
        let loaded = segment.load().unwrap();
        let want: Vec<_> = left.iter().map(|at| written.blocks[*at].clone()).collect();
        assert!(blocks_in(&frames_of(&loaded)) == want, "byte {at}: what was written, and nothing else");
        assert_eq!(damage_of(&loaded), (torn == 0).then_some(RowsLost(0)), "byte {at}");
    }
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
        assert_eq!(names.len() - 1, segments, "nothing is left behind but the boot file: {names:?}");
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
            journal.seal(Lane::Disk);
        }
        let gone = path_of(Name { id: ids[1], state: State::Waiting { rows: 1 } });
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
        assert_eq!(journal.backlog().view(), View::default());
    }
}

#[test]
fn a_segment_of_a_later_version_is_left_where_it_is() {
    let mut later = written(&[2, 1], true);
    let header = later.header;
    later.bytes[8] = 3;
    let sum = crate::columns::frames::checksum_of(&later.bytes[..header - 16]);
    later.bytes[header - 16..header].copy_from_slice(&sum);
    for state in [State::Waiting { rows: 3 }, State::Open] {
        let name = Name { state, ..later.name };
        let (disk, opened) = with(name, &later.bytes);
        assert_eq!(opened.recovered, Recovered::default());
        assert!(disk.bytes_of(&path_of(name)) == later.bytes);
    }
    // also when it is not read before it is sent
    let disk = SimDisk::default();
    let name = later.name;
    disk.put(&path_of(name), &later.bytes);
    let newer = Name { id: SegmentId::new(1, name.id.number() + 1), ..name };
    disk.put(&path_of(newer), &written(&[2, 1], true).bytes);
    let metrics = Metrics::new().unwrap();
    let (journal, recovered) = Journal::open(options(2), disk.shared(), metrics.clone(), &mut |_block| false).unwrap();
    assert_eq!(recovered.segments, 2);
    let mut segment = take(journal.backlog(), Order::OldestFirst).unwrap();
    let why = segment.load().unwrap_err();
    assert!(matches!(why, LoadError::Unreadable(Unreadable::Version(3))), "{why}");
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
    let header = Header { id, created_nanos: 1, columns: *COLUMNS_HASH ^ 1, table: "otel.otel_traces".to_owned() };
    let mut bytes = header.encode();
    crate::columns::frames::compress_pieces(&block, &mut bytes);
    for state in [State::Open, State::Waiting { rows: 1 }, State::Doubt { rows: 1 }] {
        let name = Name { id, state };
        let (disk, opened) = with(name, &bytes);
        let backlog = opened.journal.backlog().clone();
        let mut segment = take(&backlog, Order::Fair).unwrap();
        let why = segment.load().unwrap_err();
        assert!(why.is_of_later(), "{why}");
        assert!(why.to_string().contains("a later Millrace wrote it: column type \"Int8\" is unknown"), "{why}");
        segment.leave(&why.to_string());
        assert_eq!((backlog.view(), opened.metrics.pending()), (View::default(), 0));
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
        for state in [State::Open, State::Waiting { rows: 5 }, State::Stored { rows: 5 }] {
            let (_disk, opened) = with(Name { state, ..written.name }, bytes);
            match take(opened.journal.backlog(), Order::Fair) {
                Some(mut segment) => {
                    assert!(segment.load().is_err());
                    segment.set_aside(5, "test");
                }
                None => assert!(!matches!(state, State::Waiting { .. }), "its rows are to be counted as lost"),
            }
            assert_eq!(opened.journal.backlog().view(), View::default());
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
        for state in [State::Open, State::Waiting { rows: 6 }] {
            let name = Name { id: SegmentId::new(7, 8), state };
            let (_disk, opened) = with(name, bytes);
            assert_eq!((opened.recovered.rows, opened.heard.len()), (6, 6));
            let mut segment = take(opened.journal.backlog(), Order::Fair).unwrap();
            let Loaded::Whole(whole) = segment.load().unwrap() else { panic!("nothing of it is in doubt") };
            let numbers: Vec<u64> = spans_in(whole.frames()).into_iter().map(|(number, _)| number).collect();
            assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
            let columns = ["Timestamp", "TraceId", "SpanId", "SpanName", "SegmentId"].map(str::to_owned);
            let said = whole.columns();
            if fewer {
                assert_eq!(said, Some(&columns[..]));
            } else {
                let first = &blocks_in(whole.frames())[0];
                let has: Vec<_> = Block::parse(first).unwrap().0.column_names().map(str::to_owned).collect();
                assert!(said.is_none_or(|said| said == has));
            }
        }
    }
}
