//! Any sequence of what somebody may do to the files of a journal that runs or rests: what was acknowledged is stored once, or counted
//! as lost.

use super::*;
use crate::journal::testing::Chance;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

#[derive(Debug, Clone, Copy)]
enum Action {
    Commit(u64),
    Seal,
    Send,
    Restart,
    /// Something is done to a file while nothing runs.
    Tamper {
        how: Tamper,
        which: usize,
        seed: u64,
    },
    /// While it runs, a file is removed, or the folder.
    TakeAway(usize),
    RemoveFolder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tamper {
    Flip,
    Cut,
    Empty,
    Remove,
    Rename,
    Copy,
    CopyWithTheLastNumber,
    Garbage,
}

fn any_action() -> impl Strategy<Value = Action> {
    let how = prop_oneof![
        3 => Just(Tamper::Flip),
        2 => Just(Tamper::Cut),
        1 => Just(Tamper::Empty),
        1 => Just(Tamper::Remove),
        1 => Just(Tamper::Rename),
        1 => Just(Tamper::Copy),
        1 => Just(Tamper::CopyWithTheLastNumber),
        1 => Just(Tamper::Garbage),
    ];
    prop_oneof![
        10 => (1..4_u64).prop_map(Action::Commit),
        4 => Just(Action::Seal),
        3 => Just(Action::Send),
        1 => Just(Action::Restart),
        5 => (how, any::<usize>(), any::<u64>()).prop_map(|(how, which, seed)| Action::Tamper { how, which, seed }),
        1 => any::<usize>().prop_map(Action::TakeAway),
        1 => Just(Action::RemoveFolder),
    ]
}

struct World {
    disk: SimDisk,
    opened: Opened,
    openings: u64,
    table: Table,
    acknowledged: BTreeSet<u64>,
    next: u64,
    /// What earlier openings said is lost.
    lost: usize,
    seen: BTreeMap<String, usize>,
}

impl World {
    fn new() -> Self {
        let disk = SimDisk::default();
        let opened = open(&disk, options(1)).unwrap();
        let (table, acknowledged, seen) = Default::default();
        Self { disk, opened, openings: 1, table, acknowledged, next: 1, lost: 0, seen }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Commit(rows) => {
                let numbers: Vec<u64> = (self.next..self.next + rows).collect();
                self.next += rows;
                let is_kept = (0..2).any(|_again| commit(&mut self.opened.journal, &numbers).is_ok());
                assert!(is_kept, "a sender that tries again is taken");
                self.opened.metrics.of(SPANS.row_kind()).take(numbers.len());
                self.acknowledged.extend(numbers);
            }
            Action::Seal => self.opened.journal.seal(Lane::Disk, SPANS),
            Action::Send => self.send(),
            Action::Restart => self.restart(|_disk| None),
            Action::Tamper { how, which, seed } => self.restart(|disk| tamper(disk, how, which, &mut Chance(seed))),
            Action::TakeAway(which) => {
                if let Some(path) = a_file(&self.disk, which) {
                    self.disk.take_away(&path);
                    self.saw("taken away");
                }
            }
            Action::RemoveFolder => {
                self.disk.remove_folder();
                self.opened.journal.watch().unwrap();
                self.saw("folder removed");
            }
        }
    }

    fn saw(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    fn send(&mut self) {
        let Some(mut segment) = take(self.opened.journal.backlog(), Order::Fair) else { return };
        let rows = segment.rows();
        match segment.load() {
            Ok(loaded) => {
                self.table.deliver(segment.id(), &loaded, Fate::Stored).unwrap();
                match damage_of(&loaded) {
                    Some(lost) => segment.set_aside(lost, 0, "test"),
                    None => segment.stored(0),
                }
            }
            Err(_) => segment.set_aside(RowsLost::exactly(rows), 0, "test"),
        }
    }

    fn restart(&mut self, meanwhile: impl FnOnce(&SimDisk) -> Option<String>) {
        self.count_losses();
        self.disk.kill();
        if let Some(done) = meanwhile(&self.disk) {
            self.saw(&done);
        }
        self.openings += 1;
        self.opened = open(&self.disk, options(self.openings)).expect("it always starts");
    }

    fn count_losses(&mut self) {
        let asides = self.opened.journal.backlog().asides();
        assert_eq!(asides.uncounted, 0, "the machine did not go down: {asides:?}");
        self.lost += asides.rows_lost;
    }

    fn end(mut self) -> BTreeMap<String, usize> {
        self.opened.journal.seal(Lane::Disk, SPANS);
        while self.opened.journal.backlog().view().segments > 0 {
            self.send();
        }
        self.count_losses();
        let counts = self.table.counts();
        assert!(counts.values().all(|count| *count == 1), "stored more than once: {counts:?}");
        let missing = self.acknowledged.iter().filter(|number| !counts.contains_key(*number)).count();
        assert_eq!(missing, self.lost, "neither stored nor counted as lost, or counted although it is stored");
        assert_eq!(self.opened.metrics.pending(), 0);
        self.seen
    }
}

/// One of the files with rows that ClickHouse does not have.
fn a_file(disk: &SimDisk, which: usize) -> Option<PathBuf> {
    let names = disk.names_in(Path::new(DIR));
    let is_wanted =
        |name: &&String| FileName::read(name).is_some_and(|name| !matches!(name.state, FileState::Stored { .. }));
    let files: Vec<&String> = names.iter().filter(is_wanted).collect();
    let place = which % files.len().max(1);
    files.get(place).map(|name| Path::new(DIR).join(name))
}

/// Says what was done.
fn tamper(disk: &SimDisk, how: Tamper, which: usize, chance: &mut Chance) -> Option<String> {
    let path = a_file(disk, which)?;
    let bytes = disk.bytes_of(&path);
    let mut other = FileName::read(path.file_name()?.to_str()?)?;
    other.id = SegmentId::new(4_711, other.id.number().wrapping_add(1));
    match how {
        Tamper::Flip => {
            let mut flipped = bytes;
            let at = chance.below(flipped.len());
            *flipped.get_mut(at)? ^= 1 << chance.below(8);
            disk.put(&path, &flipped);
        }
        Tamper::Cut => disk.put(&path, bytes.get(..chance.below(bytes.len()))?),
        Tamper::Empty => disk.put(&path, b""),
        Tamper::Remove => disk.take_away(&path),
        Tamper::Rename => {
            disk.take_away(&path);
            disk.put(&Path::new(DIR).join(other.file()), &bytes);
        }
        Tamper::Copy => disk.put(&Path::new(DIR).join(other.file()), &bytes),
        Tamper::CopyWithTheLastNumber => {
            other.id = SegmentId::new(4_711, u64::MAX);
            disk.put(&Path::new(DIR).join(other.file()), &bytes);
        }
        Tamper::Garbage => {
            disk.put(&Path::new(DIR).join(FileName { state: FileState::Open, ..other }.file()), b"garbage")
        }
    }
    Some(format!("{how:?}"))
}

#[test]
fn whatever_is_done_to_its_files_what_was_acknowledged_is_stored_once_or_counted_as_lost() {
    let (cases, actions, least) = if cfg!(feature = "torture") { (10_000, 100, 500) } else { (400, 60, 20) };
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let seen = std::cell::RefCell::new(BTreeMap::<String, usize>::new());
    let ran = runner.run(&vec(any_action(), actions / 4..actions), |actions| {
        let mut world = World::new();
        actions.into_iter().for_each(|action| world.act(action));
        world.end().into_iter().for_each(|(what, times)| *seen.borrow_mut().entry(what).or_default() += times);
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
    let seen = seen.into_inner();
    let must = [
        "Flip",
        "Cut",
        "Empty",
        "Remove",
        "Rename",
        "Copy",
        "CopyWithTheLastNumber",
        "Garbage",
        "taken away",
        "folder removed",
    ];
    for what in must {
        assert!(seen.get(what).copied().unwrap_or(0) >= least, "{what} happened too seldom: {seen:?}");
    }
}
