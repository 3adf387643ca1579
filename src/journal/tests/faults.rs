//! Every call of the disk, failing in every way: nothing is promised that is not kept, and what can go on does.

use super::*;
use crate::journal::testing::{Chance, Fault, Op};
use crate::journal::writer::FREE_BYTES_MIN;
use crate::sizes::ByteSize;

const FAULTS: [Fault; 4] = [Fault::Io, Fault::NoSpace, Fault::Short(8), Fault::ShortIo(8)];

fn full_or_panic(result: Result<Committed, CommitError>) -> Full {
    match result {
        Err(CommitError::Full(full)) => full,
        other => panic!("not full but {other:?}"),
    }
}

fn waiting(disk: &SimDisk) -> Vec<String> {
    disk.names_in(Path::new(DIR)).into_iter().filter(|name| FileName::read(name).is_some()).collect()
}

/// A service's life: commits, seals, inserts, and what a restart does to it.
struct Life {
    disk: SimDisk,
    opened: Option<Opened>,
    openings: u64,
    table: Table,
    acknowledged: BTreeSet<u64>,
    sent: u64,
    power: bool,
    ended: usize,
}

impl Life {
    /// Lives through it with the `call`th call of the disk failing. Says how often the process had to end.
    fn live(call: usize, fault: Fault, power: bool) -> Self {
        let (disk, acknowledged) = (SimDisk::default(), BTreeSet::new());
        let mut life =
            Self { disk, opened: None, openings: 0, table: Table::default(), acknowledged, sent: 0, power, ended: 0 };
        life.disk.fail_call(call, fault);
        life.start();
        life.send(2);
        life.send(1);
        life.seal();
        life.send(2);
        life.insert();
        life.seal();
        life.send(1);
        life.end();
        life.send(2);
        life.seal();
        life.insert();
        life.insert();
        life.send(1);
        life
    }

    fn journal(&mut self) -> &mut Journal {
        &mut self.opened.as_mut().unwrap().journal
    }

    fn start(&mut self) {
        loop {
            self.openings += 1;
            let boot = Some(format!("start {}", self.ended));
            match open(&self.disk, Options { boot, ..options(self.openings) }) {
                Ok(opened) => break self.opened = Some(opened),
                // whoever starts it tries again
                Err(OpenError::Io { .. }) => self.stop(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn stop(&mut self) {
        if self.power {
            self.table.tokens.clear();
            self.ended += 1;
            self.disk.cut_power(&mut Chance(self.sent));
        } else {
            self.disk.kill();
        }
    }

    fn end(&mut self) {
        self.stop();
        self.start();
    }

    /// A sender that tries once more when it is told to.
    fn send(&mut self, rows: u64) {
        let numbers: Vec<u64> = (self.sent + 1..=self.sent + rows).collect();
        self.sent += rows;
        for _try in 0..2 {
            match commit(self.journal(), &numbers) {
                Ok(_) => return self.acknowledged.extend(numbers),
                Err(CommitError::Full(_) | CommitError::NoFile(_) | CommitError::Gone(_)) => {}
                // nothing may be believed of it any more; the sender gives up
                Err(CommitError::Failed(_)) => return self.end(),
            }
        }
        panic!("a fault that is over keeps it from going on");
    }

    fn seal(&mut self) {
        self.journal().seal(Lane::Disk, SPANS);
    }

    fn insert(&mut self) {
        let backlog = self.opened.as_ref().unwrap().journal.backlog();
        let Some(mut segment) = take(backlog, Order::OldestFirst) else { return };
        match segment.load() {
            Ok(loaded) => {
                assert_eq!(damage_of(&loaded), None);
                match self.table.deliver(segment.id(), &loaded, Fate::Stored) {
                    Ok(()) => segment.stored(0),
                    Err(_) => segment.put_back(std::time::Duration::ZERO, History::default()),
                }
            }
            Err(LoadError::Io(_)) => segment.put_back(std::time::Duration::ZERO, History::default()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Everything is stored, and nothing twice.
    fn check(mut self, what: &str) {
        self.disk.heal();
        let opened = self.opened.as_mut().unwrap();
        drain(&mut opened.journal, &mut self.table);
        let counts = self.table.counts();
        assert!(counts.values().all(|count| *count == 1), "{what}: {counts:?}");
        let missing: Vec<_> = self.acknowledged.iter().filter(|number| !counts.contains_key(*number)).collect();
        assert!(missing.is_empty(), "{what}: {missing:?} were acknowledged and are not stored");
    }
}

#[test]
fn whichever_call_fails_in_whatever_way_nothing_acknowledged_is_lost_or_doubled() {
    let calls = Life::live(usize::MAX / 2, Fault::Io, false).disk.calls().len();
    let mut struck = BTreeSet::new();
    let (mut gave_up, mut went_on) = (0, 0);
    for power in [false, true] {
        for fault in FAULTS {
            for call in 0..calls {
                let life = Life::live(call, fault, power);
                let hit = life.disk.struck();
                let what = format!("call {call}, {hit:?}, power cut: {power}");
                assert_eq!(hit.len(), 1, "{what}");
                struck.extend(hit);
                let all = life.acknowledged.len() == usize::try_from(life.sent).unwrap();
                if all {
                    went_on += 1
                } else {
                    gave_up += 1
                }
                life.check(&what);
            }
        }
    }
    for op in Op::ALL {
        // cut back is called after another fault only
        let kinds = struck.iter().filter(|(hit, _)| *hit == op).count();
        assert_eq!(kinds, if op == Op::CutBack { 0 } else { FAULTS.len() }, "{op:?}");
    }
    assert!(gave_up > 5 && went_on > 50, "{gave_up} and {went_on}");
}

#[test]
fn a_failed_fsync_is_never_acknowledged_and_never_found() {
    for fault in [Fault::Io, Fault::NoSpace] {
        for power in [false, true] {
            let disk = SimDisk::default();
            let mut journal = open(&disk, options(1)).unwrap().journal;
            commit(&mut journal, &[1]).unwrap();
            disk.fail_next(Op::Sync, fault);
            let failed = commit(&mut journal, &[2]);
            assert!(matches!(failed, Err(CommitError::Failed(_))), "{failed:?}");
            assert_eq!(journal.active(Lane::Disk, SPANS).unwrap().rows, 1);
            if power {
                disk.cut_power(&mut Chance(1))
            } else {
                disk.kill()
            }
            let again = open(&disk, options(2)).unwrap();
            assert!(again.heard.contains(&1));
            assert!(power || !again.heard.contains(&2), "a repeat would be acknowledged for what is not on disk");
        }
    }
}

#[test]
fn a_write_that_fails_ends_the_journal_and_one_without_room_does_not() {
    for part in 0..=16 {
        let disk = SimDisk::default();
        let mut journal = open(&disk, options(1)).unwrap().journal;
        let id = commit(&mut journal, &[1]).unwrap().segment;
        let path = Path::new(DIR).join(FileName { id, state: FileState::Open }.file());
        let before = disk.bytes_of(&path);
        let view = journal.backlog().view();
        disk.fail_next(Op::Append, Fault::Short(part));
        assert_eq!(full_or_panic(commit(&mut journal, &[2])), Full::Disk);
        assert!(disk.bytes_of(&path) == before, "the file is as it was");
        assert_eq!(journal.backlog().view(), view);
        commit(&mut journal, &[2]).unwrap();
        disk.fail_next(Op::Append, Fault::ShortIo(part));
        assert!(matches!(commit(&mut journal, &[3]), Err(CommitError::Failed(_))));
        disk.kill();
        assert_eq!(open(&disk, options(2)).unwrap().heard, [1, 2]);
    }
}

#[test]
fn a_file_that_cannot_be_cut_back_ends_the_journal() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    commit(&mut journal, &[1]).unwrap();
    disk.fail_next(Op::Append, Fault::Short(8));
    disk.fail_next(Op::CutBack, Fault::Io);
    assert!(matches!(commit(&mut journal, &[2]), Err(CommitError::Failed(_))));
    disk.kill();
    let again = open(&disk, options(2)).unwrap();
    assert_eq!(again.heard, [1]);
    assert!(again.recovered.torn_bytes > 0);
}

#[test]
fn a_new_segment_that_finds_no_room_leaves_nothing_and_the_next_one_goes_on() {
    for (op, ends) in [(Op::Create, false), (Op::Append, false), (Op::Sync, false), (Op::SyncDir, false)] {
        let disk = SimDisk::default();
        let mut journal = open(&disk, options(1)).unwrap().journal;
        disk.fail_next(op, Fault::NoSpace);
        assert_eq!(full_or_panic(commit(&mut journal, &[1])), Full::Disk, "{op:?}");
        assert_eq!((waiting(&disk).len(), journal.active(Lane::Disk, SPANS).is_some()), (0, ends));
        commit(&mut journal, &[1]).unwrap();
        let mut table = Table::default();
        drain(&mut journal, &mut table);
        assert_eq!(table.counts(), BTreeMap::from([(1, 1)]));
    }
    for op in [Op::Create, Op::Append, Op::Sync, Op::SyncDir] {
        let disk = SimDisk::default();
        let mut journal = open(&disk, options(1)).unwrap().journal;
        disk.fail_next(op, Fault::Io);
        let refused = commit(&mut journal, &[1]).unwrap_err();
        if op == Op::Create {
            // nothing is in a file that was not made: the journal goes on
            assert!(matches!(refused, CommitError::NoFile(_)), "{refused}");
            commit(&mut journal, &[1]).unwrap();
        } else {
            assert!(matches!(refused, CommitError::Failed(_)), "{op:?}: {refused}");
        }
    }
}

#[test]
fn a_segment_that_cannot_be_renamed_is_stored_once_all_the_same() {
    // when it is sealed; when it is stored; and when it cannot be removed either
    let cases: [&[(Op, bool)]; 3] =
        [&[(Op::Rename, false)], &[(Op::Rename, true)], &[(Op::Rename, true), (Op::Remove, true)]];
    for faults in cases {
        let disk = SimDisk::default();
        let Opened { mut journal, metrics, .. } = open(&disk, options(1)).unwrap();
        let mut table = Table::default();
        metrics.of(SPANS.row_kind()).take(2);
        commit(&mut journal, &[1, 2]).unwrap();
        let fail = |at_end| {
            faults.iter().filter(|(_, end)| *end == at_end).for_each(|(op, _)| disk.fail_next(*op, Fault::Io));
        };
        fail(false);
        journal.seal(Lane::Disk, SPANS);
        let mut segment = take(journal.backlog(), Order::Fair).unwrap();
        let loaded = segment.load().unwrap();
        table.deliver(segment.id(), &loaded, Fate::Stored).unwrap();
        fail(true);
        segment.stored(0);
        assert_eq!(disk.struck().len(), faults.len());
        assert_eq!((journal.backlog().view(), metrics.pending()), (BacklogView::default(), 0));
        disk.kill();
        let mut again = open(&disk, options(2)).unwrap();
        let is_still_there = faults.len() == 2;
        assert_eq!(again.recovered.segments, usize::from(is_still_there), "{faults:?}");
        drain(&mut again.journal, &mut table);
        assert_eq!(table.counts(), BTreeMap::from([(1, 1), (2, 1)]));
    }
}

#[test]
fn a_damaged_segment_that_cannot_be_set_aside_still_comes_to_its_end() {
    for op in [Op::CreateDir, Op::Rename] {
        let disk = SimDisk::default();
        let Opened { mut journal, metrics, .. } = open(&disk, options(1)).unwrap();
        metrics.of(SPANS.row_kind()).take(1);
        commit(&mut journal, &[1]).unwrap();
        journal.seal(Lane::Disk, SPANS);
        let segment = take(journal.backlog(), Order::Fair).unwrap();
        disk.fail_next(op, Fault::Io);
        segment.set_aside(RowsLost::exactly(1), 0, "test");
        assert_eq!((journal.backlog().view(), metrics.pending()), (BacklogView::default(), 0));
    }
}

#[test]
fn without_room_it_says_so_before_it_writes_and_goes_on_when_there_is_some() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    commit(&mut journal, &[1]).unwrap();
    disk.set_free(Some(FREE_BYTES_MIN - 1));
    let calls = disk.calls().len();
    assert_eq!(journal.room(), Err(Full::Disk));
    assert_eq!(full_or_panic(commit(&mut journal, &[2])), Full::Disk);
    assert_eq!(disk.calls().len(), calls);
    disk.set_free(Some(FREE_BYTES_MIN));
    assert_eq!(journal.room(), Ok(()));
    commit(&mut journal, &[2]).unwrap();
}

#[test]
fn a_journal_as_large_as_it_may_be_gives_up_what_is_only_kept_and_then_refuses() {
    let disk = SimDisk::default();
    let config = Config { max_bytes: Some(ByteSize(2_000)), ..Config::default() };
    let mut journal = open(&disk, Options { config, ..options(1) }).unwrap().journal;
    let mut number = 0;
    let mut fill = |journal: &mut Journal| loop {
        number += 1;
        match commit(journal, &[number]) {
            Ok(_) => {}
            refused => break assert_eq!(full_or_panic(refused), Full::Journal),
        }
    };
    fill(&mut journal);
    assert!(journal.backlog().view().bytes >= 2_000);
    journal.seal(Lane::Disk, SPANS);
    take(journal.backlog(), Order::Fair).unwrap().stored(0);
    assert_eq!(waiting(&disk).len(), 1, "kept for repeats");
    fill(&mut journal);
    assert_eq!(waiting(&disk).len(), 1, "what was kept made room");
    assert!(waiting(&disk)[0].ends_with(".open"));
    // what is in memory takes no room on disk
    journal.commit(Lane::Memory, &[&group(&[1_000])], &[], at(1)).unwrap();
}

#[test]
fn what_is_in_memory_alone_is_not_counted_as_on_disk() {
    let disk = SimDisk::default();
    let config = Config { max_bytes: Some(ByteSize(2_000)), ..Config::default() };
    let mut journal = open(&disk, Options { config, ..options(1) }).unwrap().journal;
    journal.commit(Lane::Memory, &[&group(&(1..1_000).collect::<Vec<_>>())], &[], at(1)).unwrap();
    assert!(journal.backlog().view().bytes > 2_000);
    commit(&mut journal, &[1]).expect("the disk has room");
    journal.seal(Lane::Memory, SPANS);
    commit(&mut journal, &[2]).expect("the disk has room");
}

#[test]
fn a_segment_prepared_ahead_is_used_and_one_that_could_not_be_is_made_anew() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, Options { prepare_ahead: true, ..options(1) }).unwrap().journal;
    let mut refused = 0;
    for number in 1..=5 {
        if number == 3 {
            // strikes the thread that prepares, or whoever makes up for it
            disk.fail_next(Op::Create, Fault::NoSpace);
        }
        while let Err(error) = commit(&mut journal, &[number]) {
            assert!(matches!(error, CommitError::Full(Full::Disk)), "{error}");
            refused += 1;
        }
        journal.seal(Lane::Disk, SPANS);
    }
    assert!(refused <= 1, "{refused}");
    let mut table = Table::default();
    drain(&mut journal, &mut table);
    assert_eq!(table.counts(), (1..=5).map(|number| (number, 1)).collect());
    let ids: BTreeSet<SegmentId> = table.rows.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn a_start_goes_on_without_what_waits_and_cannot_be_read_now() {
    // its header, or all of it: after the calls for the folder, its list, the boot file, the ledger, and the list of what is set aside
    for call in [5, 6] {
        let disk = SimDisk::default();
        let mut journal = open(&disk, options(1)).unwrap().journal;
        commit(&mut journal, &[1]).unwrap();
        journal.seal(Lane::Disk, SPANS);
        disk.kill();
        disk.fail_call(call, Fault::Io);
        let again = open(&disk, options(2)).unwrap();
        assert_eq!(disk.struck(), [(Op::Read, Fault::Io)]);
        assert_eq!((again.recovered.rows, again.heard.len()), (1, usize::from(call == 5)));
        let mut segment = take(again.journal.backlog(), Order::Fair).unwrap();
        assert_eq!(spans_in(&frames_of(&segment.load().unwrap())).len(), 1);
    }
}

#[test]
fn a_dead_letter_without_room_is_none_and_is_written_when_there_is() {
    let verdict = |code| DeadLetterReason {
        table: SPANS.name().to_owned(),
        segment: "s".to_owned(),
        rows: 2,
        code: Some(code),
        error: "constraint violated".to_owned(),
        at_nanos: 5,
    };
    let mut block = Vec::new();
    let id = SegmentId::new(1, 2);
    crate::columns::native::encode::encode_block(&[&group(&[1, 2])], id, &mut block);
    let calls = {
        let disk = SimDisk::default();
        DeadLetters::new("/data/dead-letter".into(), disk.shared()).put(id, 3, &block, &verdict(6)).unwrap();
        disk.calls().len()
    };
    for (call, fault) in (0..calls).flat_map(|call| FAULTS.map(|fault| (call, fault))) {
        let disk = SimDisk::default();
        let letters = DeadLetters::new("/data/dead-letter".into(), disk.shared());
        assert_eq!(letters.list().unwrap(), []);
        disk.fail_call(call, fault);
        if letters.put(id, 3, &block, &verdict(6)).is_err() {
            let listed = letters.list().unwrap();
            assert!(listed.len() <= 1, "{listed:?}");
            letters.put(id, 3, &block, &verdict(6)).unwrap();
        }
        disk.cut_power(&mut Chance(u64::try_from(call).unwrap()));
        let [letter] = &letters.list().unwrap()[..] else { panic!("one letter") };
        assert_eq!((&letter.verdict, letter.name.as_str()), (&verdict(6), format!("{id}-3").as_str()));
        let (frames, columns) = letters.frames(&letter.name).unwrap();
        assert_eq!((spans_in(&frames).len(), columns.first().map(String::as_str)), (2, Some("Timestamp")));
        assert_eq!(letters.rows(&letter.name, 1).unwrap().len(), 1);
        // interrupted between its two files, and asked again
        disk.fail_call(1, Fault::Io);
        assert!(letters.remove(&letter.name).is_err());
        letters.remove(&letter.name).unwrap();
        assert_eq!(letters.list().unwrap(), []);
    }
}

/// Segments that are stored are kept a little; what they tell of repeats stays.
#[test]
fn what_was_accepted_is_told_after_its_segment_is_gone() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    commit(&mut journal, &[1, 2, 3]).unwrap();
    journal.commit(Lane::Memory, &[&group(&[4])], &keys(&[4]), at(100)).unwrap();
    commit(&mut journal, &[5]).unwrap();
    for lane in [Lane::Disk, Lane::Memory] {
        journal.seal(lane, SPANS);
    }
    while let Some(segment) = take(journal.backlog(), Order::OldestFirst) {
        segment.stored(0);
    }
    journal.backlog().prune(true);
    drop(journal);
    disk.kill();
    let segments = disk.names_in(Path::new(DIR)).into_iter().filter(|name| FileName::read(name).is_some()).count();
    assert_eq!(segments, 0);
    for opening in 2..4 {
        let mut heard = open(&disk, options(opening)).unwrap().heard;
        heard.sort_unstable();
        assert_eq!(heard, [1, 2, 3, 4, 5]);
        disk.kill();
    }
}
