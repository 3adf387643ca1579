//! Any sequence of what may happen to a journal, against what is right: whatever was acknowledged is stored, once.

use super::*;
use crate::journal::testing::{Chance, Fault, Op};
use crate::journal::writer::FREE_BYTES_MIN;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::time::Duration;

/// Seconds that the clock may be wrong by.
const CLOCK_OFF_MAX: i64 = 3_600;

#[derive(Debug, Clone)]
enum Action {
    /// Commits groups of so many new spans, and repeats so many earlier ones.
    Commit {
        lane: Lane,
        groups: Vec<usize>,
        repeats: Vec<usize>,
    },
    Seal(Lane),
    Take(Order),
    /// An end for one of the segments that were taken.
    Finish {
        which: usize,
        end: End,
    },
    /// Of the next operation of a kind.
    Fail(Op, Fault),
    /// An insert that nobody waits for comes to its end.
    CommitLate(usize),
    /// The disk says that it has so little room, or enough again.
    Full(bool),
    /// The clock of the machine is set: so many seconds after the true time, or before it.
    SetClock(i64),
    /// Comes to an end some calls of the disk later, in the midst of whatever that is.
    Die {
        calls: usize,
        sixteenths: u8,
        how: Death,
    },
    /// Between two calls.
    DieNow(Death),
    /// Stops as asked to, with what waits on disk left for the next start.
    Stop,
}

#[derive(Debug, Clone, Copy)]
enum Death {
    /// `kill -9`.
    Kill,
    /// The machine goes down; ClickHouse remembers its tokens or not.
    PowerCut { seed: u64, forgets: bool },
}

#[derive(Debug, Clone, Copy)]
enum End {
    Stored,
    /// So many parts of the insert happened, and the answer was lost.
    Lost(usize),
    /// It was not answered in time, and ClickHouse is still at it.
    Late,
    /// ClickHouse refuses the whole of it for a row that is at fault, perhaps after an attempt that it is still at: it goes on in
    /// parts, or that is put off.
    Refused {
        after_late: bool,
        is_put_off: bool,
    },
    PutBack,
}

fn any_action() -> impl Strategy<Value = Action> {
    let lane = || prop_oneof![4 => Just(Lane::Disk), 1 => Just(Lane::Memory)];
    let order = prop_oneof![1 => Just(Order::Fair), 3 => Just(Order::OldestFirst), 1 => Just(Order::NewestFirst)];
    let end = prop_oneof![
        4 => Just(End::Stored),
        3 => (0..3_usize).prop_map(End::Lost),
        5 => Just(End::Late),
        4 => any::<[bool; 2]>().prop_map(|[after_late, is_put_off]| End::Refused { after_late, is_put_off }),
        1 => Just(End::PutBack)
    ];
    let part = || 0..=16_u8;
    let death = || {
        let power_cut = (any::<u64>(), any::<bool>()).prop_map(|(seed, forgets)| Death::PowerCut { seed, forgets });
        prop_oneof![2 => Just(Death::Kill), 3 => power_cut]
    };
    let fault = prop_oneof![
        2 => Just(Fault::Io),
        2 => Just(Fault::NoSpace),
        2 => part().prop_map(Fault::Short),
        1 => part().prop_map(Fault::ShortIo)
    ];
    let op = prop_oneof![
        4 => Just(Op::Append),
        2 => Just(Op::Sync),
        2 => Just(Op::Rename),
        2 => Just(Op::Create),
        1 => Just(Op::Remove),
        1 => Just(Op::SyncDir),
        4 => Just(Op::CutBack),
        2 => Just(Op::Read),
        1 => Just(Op::Cut),
        1 => Just(Op::List)
    ];
    prop_oneof![
        30 => (lane(), vec(1..4_usize, 1..4), vec(0..1_000_usize, 0..3))
            .prop_map(|(lane, groups, repeats)| Action::Commit { lane, groups, repeats }),
        12 => lane().prop_map(Action::Seal),
        14 => order.prop_map(Action::Take),
        16 => (0..8_usize, end).prop_map(|(which, end)| Action::Finish { which, end }),
        2 => (0..8_usize).prop_map(Action::CommitLate),
        7 => (op, fault).prop_map(|(op, fault)| Action::Fail(op, fault)),
        3 => (0..4).prop_map(|of| Action::Full(of == 0)),
        3 => (-CLOCK_OFF_MAX..=CLOCK_OFF_MAX).prop_map(Action::SetClock),
        4 => death().prop_map(Action::DieNow),
        6 => (0..8_usize, part(), death()).prop_map(|(calls, sixteenths, how)| Action::Die { calls, sixteenths, how }),
        2 => Just(Action::Stop),
    ]
}

thread_local! {
    /// How often each thing happened, over all cases: a run in which nothing goes wrong proves nothing.
    static SEEN: RefCell<BTreeMap<String, usize>> = const { RefCell::new(BTreeMap::new()) };
}

fn saw(what: impl Into<String>) {
    SEEN.with_borrow_mut(|seen| *seen.entry(what.into()).or_default() += 1);
}

struct World {
    disk: SimDisk,
    table: Table,
    opened: Opened,
    /// What a sender may repeat: the index of what was accepted, as if it never forgot.
    accepted: BTreeSet<u64>,
    openings: u64,
    boots: u64,
    /// Seconds that the clock is ahead of the true time.
    clock_ahead: i64,
    next: u64,
    /// Promised to their sender, to be on disk.
    acknowledged: BTreeSet<u64>,
    /// In the segments that grow, by lane.
    active: [Vec<u64>; 2],
    /// Sealed and not taken, as far as their order can be told.
    waiting: BTreeSet<SegmentId>,
    taken: Vec<Segment>,
    /// Rows that are neither stored nor lost, as the totals should say.
    rows: usize,
    rows_in_memory: usize,
    segments: usize,
    in_memory: BTreeMap<SegmentId, usize>,
    /// How it ends when the disk says that it has.
    death: Death,
    has_failed: bool,
}

fn index(lane: Lane) -> usize {
    usize::from(lane == Lane::Memory)
}

impl World {
    fn new() -> Self {
        let disk = SimDisk::default();
        let opened = open(&disk, options(1)).unwrap();
        Self {
            disk,
            table: Table::default(),
            opened,
            accepted: BTreeSet::new(),
            openings: 1,
            boots: 0,
            clock_ahead: 0,
            next: 1,
            acknowledged: BTreeSet::new(),
            active: Default::default(),
            waiting: BTreeSet::new(),
            taken: Vec::new(),
            rows: 0,
            rows_in_memory: 0,
            segments: 0,
            in_memory: BTreeMap::new(),
            death: Death::Kill,
            has_failed: false,
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Commit { lane, groups, repeats } => self.commit(lane, &groups, &repeats),
            Action::Seal(lane) => self.seal(lane),
            Action::Take(order) => self.take(order),
            Action::Finish { which, end } => self.finish(which, end),
            Action::Fail(op, fault) => self.disk.fail_next(op, fault),
            Action::CommitLate(which) => {
                saw(if self.table.under_way.is_empty() { "nothing is late" } else { "late commit" });
                self.table.commit_late(which);
            }
            Action::SetClock(ahead) => {
                saw(if ahead < self.clock_ahead { "clock set back" } else { "clock set forward" });
                self.clock_ahead = ahead;
            }
            Action::Full(is_full) => self.disk.set_free(is_full.then_some(FREE_BYTES_MIN - 1)),
            Action::Die { calls, sixteenths, how } => {
                self.death = how;
                self.disk.die_after(calls, sixteenths);
            }
            Action::DieNow(how) => self.die(how),
            Action::Stop => {
                saw("stop");
                for lane in [Lane::Disk, Lane::Memory] {
                    self.seal(lane);
                }
                self.disk.kill();
                self.reopen();
            }
        }
        if self.disk.is_dead() {
            saw("death at work");
            self.die(self.death);
        } else if self.has_failed {
            let refuses_all = matches!(self.disk.struck().as_slice(), [.., (Op::Sync, _), (Op::CutBack, _)]);
            // a disk that cannot even be cut back is read-only, until the machine starts again
            let seed = self.next;
            self.die(if refuses_all { Death::PowerCut { seed, forgets: true } } else { Death::Kill });
        }
        self.check_totals();
    }

    /// What the clock says.
    fn now(&self) -> UnixNanos {
        let now = at(self.openings).nanos() + self.clock_ahead * 1_000_000_000;
        UnixNanos::new(now.cast_unsigned()).unwrap()
    }

    fn die(&mut self, how: Death) {
        match how {
            Death::Kill => {
                saw("kill");
                self.disk.kill();
            }
            Death::PowerCut { seed, forgets } => {
                saw("power cut");
                if forgets {
                    // it went down as well
                    self.table.tokens.clear();
                    self.table.under_way.clear();
                }
                self.boots += 1;
                self.disk.cut_power(&mut Chance(seed));
            }
        }
        self.reopen();
    }

    /// As the committer does: repeats out, one commit, and what was not kept is forgotten.
    fn commit(&mut self, lane: Lane, groups: &[usize], repeats: &[usize]) {
        let known = usize::try_from(self.next - 1).unwrap();
        let again = repeats.iter().filter(|_| known > 0).map(|at| u64::try_from(at % known + 1).unwrap());
        let mut sent: Vec<Vec<u64>> = vec![again.collect()];
        for count in groups {
            let count = u64::try_from(*count).unwrap();
            sent.push((self.next..self.next + count).collect());
            self.next += count;
        }
        let mut parts = Vec::new();
        for numbers in &sent {
            let new: Vec<u64> = numbers.iter().copied().filter(|number| self.accepted.insert(*number)).collect();
            (new.len()..numbers.len()).for_each(|_| saw("repeat"));
            parts.push((group(&new), new));
        }
        let new: Vec<u64> = parts.iter().flat_map(|(_, new)| new).copied().collect();
        let groups: Vec<&RowGroup> = parts.iter().map(|(rows, _)| rows).filter(|rows| rows.rows() > 0).collect();
        self.opened.metrics.of(SPANS.row_kind()).take(new.len());
        match self.opened.journal.commit(lane, &groups, &keys(&new), self.now()) {
            Ok(committed) => {
                saw(format!("commit {lane:?}"));
                let active = self.opened.journal.active_id(lane, SPANS);
                assert_eq!(active, Some(committed.segment));
                let was_empty = self.active[index(lane)].is_empty();
                self.segments += usize::from(was_empty && self.active[1 - index(lane)].is_empty());
                self.rows += new.len();
                self.active[index(lane)].extend(&new);
                match lane {
                    // a repeat of what is in memory only would wait until that is stored
                    Lane::Disk if self.rows_in_memory > 0 => self.acknowledged.extend(new),
                    Lane::Disk => self.acknowledged.extend(sent.into_iter().flatten()),
                    Lane::Memory => self.rows_in_memory += new.len(),
                }
            }
            Err(failure) => {
                self.opened.metrics.of(SPANS.row_kind()).untake(new.len());
                new.iter().for_each(|number| assert!(self.accepted.remove(number)));
                match failure {
                    CommitError::Full(full) => saw(format!("full {full:?}")),
                    CommitError::NoFile(_) => saw("no file"),
                    CommitError::Gone(_) => saw("gone"),
                    CommitError::Failed(_) => {
                        saw("journal failed");
                        self.has_failed = true;
                    }
                }
            }
        }
    }

    fn seal(&mut self, lane: Lane) {
        let Some(id) = self.opened.journal.active_id(lane, SPANS) else { return };
        saw(format!("seal {lane:?}"));
        self.opened.journal.seal(lane, SPANS);
        let rows = std::mem::take(&mut self.active[index(lane)]).len();
        // what grows counts as one segment, whatever the lanes
        self.segments += usize::from(!self.active[1 - index(lane)].is_empty());
        self.waiting.insert(id);
        if lane == Lane::Memory {
            self.in_memory.insert(id, rows);
        }
    }

    fn take(&mut self, order: Order) {
        let taken = take(self.opened.journal.backlog(), order);
        assert_eq!(taken.is_some(), !self.waiting.is_empty());
        let Some(segment) = taken else { return };
        match order {
            Order::OldestFirst => assert_eq!(Some(&segment.id()), self.waiting.first(), "the oldest goes first"),
            Order::NewestFirst => assert_eq!(Some(&segment.id()), self.waiting.last(), "the newest goes first"),
            Order::Fair => {
                let ends = [self.waiting.first(), self.waiting.last()];
                assert!(ends.contains(&Some(&segment.id())), "the newest or the oldest goes first");
            }
        }
        saw(format!("take {order:?}"));
        self.waiting.remove(&segment.id());
        self.taken.push(segment);
    }

    fn finish(&mut self, which: usize, end: End) {
        if self.taken.is_empty() {
            return;
        }
        let mut segment = self.taken.swap_remove(which % self.taken.len());
        let loaded = match segment.load() {
            Ok(loaded) => loaded,
            Err(LoadError::Io(_)) => {
                saw("load failed");
                return self.put_back(segment);
            }
            Err(error) => panic!("{error}"),
        };
        assert!(damage_of(&loaded).is_none(), "nothing was damaged");
        if segment.is_in_doubt() {
            saw("in doubt");
        }
        let id = segment.id();
        let (loaded, end) = match (loaded, end) {
            (Loaded::Whole(whole), End::Refused { after_late, is_put_off }) => {
                if after_late {
                    let Ok(frames) = whole.frames().all() else {
                        saw("read failed");
                        return self.put_back(segment);
                    };
                    let (token, spans) = (whole.token(), spans_in(&frames));
                    self.table.send(Sent { segment: id, token, spans }, Fate::Late);
                }
                let Ok(rows) = segment.mark_in_doubt(whole) else {
                    saw("doubt failed");
                    return self.put_back(segment);
                };
                saw(if after_late { "refused while an attempt is late" } else { "refused" });
                (Loaded::InDoubt(rows), if is_put_off { End::PutBack } else { End::Stored })
            }
            (loaded, End::Refused { .. }) => (loaded, End::Stored),
            both => both,
        };
        match end {
            End::Stored | End::Refused { .. } => {
                if self.table.deliver(id, &loaded, Fate::Stored).is_err() {
                    saw("read failed");
                    return self.put_back(segment);
                }
                saw("stored");
                self.rows -= segment.rows();
                self.segments -= 1;
                self.rows_in_memory -= self.in_memory.remove(&segment.id()).unwrap_or(0);
                segment.stored(0);
            }
            End::Lost(parts) => {
                saw(format!("answer lost after {parts} parts"));
                let _may_be_unreadable = self.table.deliver(id, &loaded, Fate::CutAfter(parts));
                self.put_back(segment);
            }
            End::Late => {
                saw("late");
                let _may_be_unreadable = self.table.deliver(id, &loaded, Fate::Late);
                self.put_back(segment);
            }
            End::PutBack => {
                saw("put back");
                self.put_back(segment);
            }
        }
    }

    fn put_back(&mut self, segment: Segment) {
        self.waiting.insert(segment.id());
        segment.put_back(Duration::ZERO, History::default());
    }

    fn check_totals(&self) {
        let view = self.opened.journal.backlog().view();
        assert_eq!((view.rows, view.rows_in_memory), (self.rows, self.rows_in_memory), "{view:?}");
        assert_eq!(view.segments, self.segments, "{view:?}");
        assert_eq!((view.oldest.is_none(), view.bytes == 0), (view.rows == 0, view.rows == 0), "{view:?}");
        assert_eq!(self.opened.metrics.pending(), i64::try_from(self.rows).unwrap());
    }

    /// A new process, which may fail to start as long as the disk does.
    fn reopen(&mut self) {
        self.taken.clear();
        self.has_failed = false;
        // a start that cannot read what waits goes on, and does not know those spans again: see faults.rs
        self.disk.disarm(Op::Read);
        loop {
            self.openings += 1;
            let boot = Some(format!("start {}", self.boots));
            match open(&self.disk, Options { boot, now: self.now(), ..options(self.openings) }) {
                Ok(opened) => {
                    self.opened = opened;
                    break;
                }
                Err(OpenError::Io { .. }) => {
                    saw("start failed");
                    self.disk.kill();
                }
                Err(error) => panic!("{error}"),
            }
        }
        let (recovered, heard) = (self.opened.recovered, std::mem::take(&mut self.opened.heard));
        if recovered.torn_bytes > 0 {
            saw("torn");
        }
        let stored: BTreeSet<u64> = self.table.rows.iter().map(|(_, number)| *number).collect();
        let known: BTreeSet<u64> = heard.into_iter().chain(stored).collect();
        let missing: Vec<_> = self.acknowledged.difference(&known).collect();
        assert!(missing.is_empty(), "{missing:?} were acknowledged and are neither in the journal nor stored");
        // all that waits or is stored is known again
        self.accepted = known;
        self.active = Default::default();
        self.in_memory.clear();
        (self.rows, self.rows_in_memory, self.segments) = (recovered.rows, 0, recovered.segments);
        let names = self.disk.names_in(Path::new(DIR));
        // rows that were in memory alone may come again from their senders, as others
        let on_disk: BTreeSet<SegmentId> =
            names.iter().filter_map(|name| FileName::read(name)).map(|name| name.id).collect();
        self.table.under_way.retain(|sent| on_disk.contains(&sent.segment));
        let waiting = names.iter().filter_map(|name| FileName::read(name));
        self.waiting =
            waiting.filter(|name| !matches!(name.state, FileState::Stored { .. })).map(|name| name.id).collect();
    }

    /// Everything comes to its end, and then all is right.
    fn end(mut self) {
        self.disk.heal();
        for segment in std::mem::take(&mut self.taken) {
            self.put_back(segment);
        }
        drain(&mut self.opened.journal, &mut self.table);
        let counts = self.table.counts();
        let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
        assert!(doubled.is_empty(), "stored more than once: {doubled:?}");
        let missing: Vec<_> = self.acknowledged.iter().filter(|number| !counts.contains_key(*number)).collect();
        assert!(missing.is_empty(), "acknowledged and not stored: {missing:?}");
        assert!(counts.keys().all(|number| *number < self.next), "stored and never sent");
        for (op, fault) in self.disk.struck() {
            saw(format!("{op:?} failed"));
            saw(match fault {
                Fault::Io => "fault: io",
                Fault::NoSpace => "fault: no space",
                Fault::Short(_) => "fault: short",
                Fault::ShortIo(_) => "fault: short io",
            });
        }
    }
}

#[test]
fn whatever_happens_what_was_acknowledged_is_stored_once() {
    // cases, actions in each, and how often everything must have happened
    let (cases, actions, least) = if cfg!(feature = "torture") { (10_000, 200, 500) } else { (500, 100, 20) };
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let ran = runner.run(&vec(any_action(), actions / 4..actions), |actions| {
        let mut world = World::new();
        actions.into_iter().for_each(|action| world.act(action));
        world.end();
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
    let seen = SEEN.with_borrow(Clone::clone);
    let must = [
        "commit Disk",
        "commit Memory",
        "seal Disk",
        "seal Memory",
        "take Fair",
        "take OldestFirst",
        "take NewestFirst",
        "stored",
        "put back",
        "answer lost after 0 parts",
        "answer lost after 1 parts",
        "answer lost after 2 parts",
        "repeat",
        "kill",
        "power cut",
        "death at work",
        "stop",
        "torn",
        "in doubt",
        "late",
        "late commit",
        "clock set back",
        "clock set forward",
        "refused",
        "refused while an attempt is late",
        "full Disk",
        "journal failed",
        "start failed",
        "load failed",
        "Append failed",
        "Sync failed",
        "Rename failed",
        "Create failed",
        "Remove failed",
        "SyncDir failed",
        "CutBack failed",
        "Read failed",
        "Cut failed",
        "List failed",
        "fault: io",
        "fault: no space",
        "fault: short",
        "fault: short io",
    ];
    for what in must {
        let count = seen.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{what} happened only {count} times: {seen:#?}");
    }
}
