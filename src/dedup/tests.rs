//! The index against what unlimited memory would answer.

use super::table::TIME_BITS;
use super::*;
use crate::columns::{MapRow, SpanKind, SpanScalars, StatusCode, Table as RowsTable};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashMap;

/// A step of time in an index whose window is this.
const TICK: u64 = 7;
const SECRET: u64 = 0x5ec2e7;
const WINDOW: Duration = Duration::from_nanos(TICKS_PER_WINDOW * TICK);

fn at(tick: u64) -> UnixNanos {
    UnixNanos::new(tick * TICK).unwrap()
}

fn ids(number: u64) -> (TraceId, SpanId) {
    let mut trace = [1; 16];
    trace[..8].copy_from_slice(&number.to_be_bytes());
    (TraceId::new(trace).unwrap(), SpanId::new([7; 8]).unwrap())
}

/// A number is a report: that of a span below 10,000 of which others are 10,000 and more greater.
const REPORT: u64 = 10_000;

fn report_of(number: u64) -> u64 {
    number / REPORT + 1
}

fn key(index: &DedupIndex, number: u64) -> ReportKey {
    let (trace, span) = ids(number % REPORT);
    DedupIndex::key_of(index.seed_of(&Workspace::default()), trace, span, SpanKind::Client, Some(report_of(number)))
}

/// What became of the rows, and the keys of those that are kept.
fn insert_all(index: &mut DedupIndex, seed: Seed, rows: &RowGroup, now: UnixNanos) -> (Checked, Vec<ReportKey>) {
    let mut keys = Vec::new();
    let checked = index.insert_all(seed, rows, now, WINDOW, &mut keys);
    assert_eq!(keys.len(), rows.rows() - checked.repeated.len());
    (checked, keys)
}

fn repeated(index: &mut DedupIndex, seed: Seed, rows: &RowGroup, now: UnixNanos) -> Vec<usize> {
    insert_all(index, seed, rows, now).0.repeated
}

fn group(numbers: &[u64]) -> RowGroup {
    let mut rows = RowGroup::default();
    for number in numbers {
        let (trace_id, span_id) = ids(*number % REPORT);
        let mark = rows.begin();
        let span = SpanScalars {
            kind: SpanKind::Client,
            status: StatusCode::Ok,
            fingerprint: report_of(*number),
            ..SpanScalars::new(at(1), trace_id, span_id)
        };
        rows.finish(mark, &span, &MapRow::default(), None).unwrap();
    }
    rows
}

#[test]
fn a_span_is_known_for_its_window_and_then_new_again() {
    let mut index = DedupIndex::new(SECRET, 1_000, WINDOW);
    let key = key(&index, 1);
    assert_eq!(index.insert(key, at(5_000), WINDOW), Seen::New);
    assert_eq!(index.insert(key, at(5_000), WINDOW), Seen::Duplicate);
    assert_eq!(index.insert(key, at(5_000 + 1_024), WINDOW), Seen::Duplicate, "a repeat does not prolong it");
    assert_eq!(index.insert(key, at(5_000 + 1_025), WINDOW), Seen::New);
    assert_eq!(index.insert(key, at(5_000 + 2_049), WINDOW), Seen::Duplicate, "from when it was accepted again");
    assert_eq!(index.insert(key, at(5_000 + 2_049), WINDOW / 4), Seen::New, "this sender's window is shorter");
    assert_eq!(index.held(), 1);
}

#[test]
fn who_a_span_is_depends_on_workspace_trace_id_and_kind_and_on_nothing_else() {
    let mut index = DedupIndex::new(SECRET, 1_000, WINDOW);
    let [seed, other] = ["a", "b"].map(|name| index.seed_of(&Workspace::new(name).unwrap()));
    let (trace, span) = ids(1);
    let key = DedupIndex::key_of(seed, trace, span, SpanKind::Client, Some(1));
    assert_eq!(
        key,
        DedupIndex::key(seed, (trace.to_string().as_bytes(), span.to_string().as_bytes(), b"Client"), Some(1))
    );
    let another_span = SpanId::new([8; 8]).unwrap();
    let keys = [
        key,
        DedupIndex::key_of(other, trace, span, SpanKind::Client, Some(1)),
        DedupIndex::key_of(seed, ids(2).0, span, SpanKind::Client, Some(1)),
        DedupIndex::key_of(seed, trace, another_span, SpanKind::Client, Some(1)),
        DedupIndex::key_of(seed, trace, span, SpanKind::Server, Some(1)),
        // texts that are no ids of ours
        DedupIndex::key(seed, (b"ab", b"c", b"Client"), Some(1)),
        DedupIndex::key(seed, (b"a", b"bc", b"Client"), Some(1)),
        DedupIndex::key(seed, (b"", b"", b"Client"), Some(1)),
    ];
    for key in keys {
        assert_eq!(index.insert(key, at(1), WINDOW), Seen::New, "{keys:?}");
    }
    let [same, elsewhere] =
        [SECRET, 1].map(|secret| DedupIndex::new(secret, 1_000, WINDOW).seed_of(&Workspace::default()));
    assert_ne!(elsewhere, index.seed_of(&Workspace::default()), "the hash is keyed");
    assert_eq!(same, index.seed_of(&Workspace::default()), "and the same over restarts");
}

#[test]
fn switched_off_it_remembers_nothing() {
    for (spans_max, window) in [(1_000, Duration::ZERO), (0, WINDOW)] {
        let mut index = DedupIndex::new(SECRET, spans_max, window);
        let key = key(&index, 1);
        let seed = index.seed_of(&Workspace::default());
        index.remember(key, at(1), at(1));
        assert_eq!([(); 2].map(|()| index.insert(key, at(1), WINDOW)), [Seen::New; 2]);
        let (checked, keys) = insert_all(&mut index, seed, &group(&[1, 1]), at(2));
        assert_eq!((checked, keys), (Checked::default(), vec![ReportKey::NONE; 2]));
        index.forget(key);
        assert_eq!((index.held(), index.table.slots.capacity()), (0, 0));
    }
    let mut index = DedupIndex::new(SECRET, 1_000, WINDOW);
    let key = key(&index, 1);
    assert_eq!([(); 2].map(|()| index.insert(key, at(1), Duration::ZERO)), [Seen::New; 2]);
    assert_eq!(index.held(), 0);
}

#[test]
fn a_full_bucket_forgets_its_oldest() {
    let mut index = DedupIndex::new(SECRET, SLOTS, WINDOW);
    let keys: Vec<ReportKey> = (0..9).map(|number| key(&index, number)).collect();
    for (number, tick) in (0..9).zip(10..) {
        assert_eq!(index.insert(keys[number], at(tick), WINDOW), Seen::New);
    }
    assert_eq!(index.held(), SLOTS);
    for known in &keys[1..] {
        assert_eq!(index.insert(*known, at(20), WINDOW), Seen::Duplicate);
    }
    assert_eq!(index.insert(keys[0], at(20), WINDOW), Seen::New);
    assert_eq!(index.held(), SLOTS);
}

#[test]
fn another_report_of_a_span_is_no_repeat_and_both_are_known() {
    let mut index = DedupIndex::new(SECRET, 100_000, WINDOW);
    let seed = index.seed_of(&Workspace::default());
    let checked =
        |repeated: &[usize], again: &[usize]| Checked { repeated: repeated.into(), reported_again: again.into() };
    let (started, ended) = (5, REPORT + 5);
    assert_eq!(insert_all(&mut index, seed, &group(&[started, 6]), at(1)).0, checked(&[], &[]));
    assert_eq!(insert_all(&mut index, seed, &group(&[started, ended, ended, 6]), at(2)).0, checked(&[0, 2, 3], &[1]));
    let (trace, span) = ids(5);
    assert_eq!(index.noted().take(), [ReportedAgain { trace, span, began: at(1).nanos() }]);
    assert_eq!(insert_all(&mut index, seed, &group(&[ended, started]), at(3)).0, checked(&[0, 1], &[]));
    assert_eq!(index.noted().take(), []);
}

#[test]
fn many_reports_of_one_span_drive_out_each_other_and_no_other_span() {
    let mut index = DedupIndex::new(SECRET, SLOTS, WINDOW);
    let others: Vec<ReportKey> = (0..4).map(|number| key(&index, number)).collect();
    for other in &others {
        assert_eq!(index.insert(*other, at(1), WINDOW), Seen::New);
    }
    let reports: Vec<ReportKey> = (0..100).map(|report| key(&index, 7 + report * REPORT)).collect();
    for (at_step, report) in (10..).zip(&reports) {
        let want = if at_step == 10 { Seen::New } else { Seen::AnotherReport };
        assert_eq!(index.insert(*report, at(at_step), WINDOW), want);
    }
    for known in others.iter().chain(&reports[96..]) {
        assert_eq!(index.insert(*known, at(200), WINDOW), Seen::Duplicate);
    }
    assert_eq!(index.insert(reports[95], at(200), WINDOW), Seen::AnotherReport, "the 4 youngest are known");
}

#[test]
fn a_report_of_a_span_whose_earlier_report_is_not_known_is_stored_and_noted_and_then_known() {
    let mut index = DedupIndex::new(SECRET, 1_000, WINDOW);
    let (trace, span) = ids(1);
    let unknown = DedupIndex::key_of(index.seed_of(&Workspace::default()), trace, span, SpanKind::Client, None);
    index.remember(unknown, at(1), at(2));
    let (noted, mut kept) = (index.noted(), Vec::new());
    let seed = index.seed_of(&Workspace::default());
    let checked = index.insert_all(seed, &group(&[1]), at(2), WINDOW, &mut kept);
    assert_eq!(checked, Checked { repeated: vec![], reported_again: vec![0] });
    assert_eq!((noted.take().len(), kept.len()), (1, 1), "of equal rows one is removed soon");
    let again = index.insert_all(seed, &group(&[1]), at(3), WINDOW, &mut kept);
    assert_eq!(again, Checked { repeated: vec![0], reported_again: vec![] });
    assert_eq!(index.insert(key(&index, 2), at(3), WINDOW), Seen::New);
}

#[test]
fn a_key_stands_for_one_report_whatever_its_trace() {
    let mut index = DedupIndex::new(SECRET, 1_000, WINDOW);
    let (seed, mut keys) = (index.seed_of(&Workspace::default()), Vec::new());
    let mut take = |index: &mut DedupIndex, number| {
        index.insert_keyed(seed, &group(&[number]), at(1), WINDOW, &mut keys).map(|checked| checked.repeated.len())
    };
    // the spans of `group` share their span id
    assert_eq!([1, 1, 2].map(|number| take(&mut index, number)), [Some(0), Some(1), Some(1)]);
    assert_eq!(take(&mut index, REPORT + 1), None, "it says something else");
    assert_eq!(take(&mut index, REPORT + 2), None, "in another trace, too");
    index.forget_keyed(seed, &group(&[1]));
    assert_eq!(take(&mut index, REPORT + 2), Some(0));
    assert_eq!((keys.len(), index.held()), (2, 1));
}

#[test]
fn what_is_learned_late_never_displaces_what_came_later() {
    let mut index = DedupIndex::new(SECRET, SLOTS, WINDOW);
    let keys: Vec<ReportKey> = (0..11).map(|number| key(&index, number)).collect();
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
    let mut known = |number: usize| index.table.insert(keys[number], 2_000, 1_024) == Seen::Duplicate;
    assert!((0..7).all(&mut known) && known(9));
    assert!(!known(7) && !known(8), "each took the place of an older one");
}

#[test]
fn a_span_that_was_not_stored_after_all_is_new() {
    let mut index = DedupIndex::new(SECRET, 1_000, WINDOW);
    let seed = index.seed_of(&Workspace::default());
    let rows = group(&[1, 2, 3]);
    assert_eq!(repeated(&mut index, seed, &rows, at(1)), [0; 0]);
    assert_eq!(repeated(&mut index, seed, &rows, at(1)), [0, 1, 2]);
    index.forget(key(&index, 2));
    assert_eq!(repeated(&mut index, seed, &rows, at(1)), [0, 2]);
    index.forget_all(seed, &rows);
    assert_eq!(index.held(), 0);
    assert_eq!(repeated(&mut index, seed, &rows, at(1)), [0; 0]);
}

#[test]
fn of_rows_with_the_same_ids_the_first_alone_is_new() {
    let mut index = DedupIndex::new(SECRET, 100_000, WINDOW);
    let seed = index.seed_of(&Workspace::default());
    assert_eq!(repeated(&mut index, seed, &group(&[1, 2, 1, 3, 2, 1]), at(1)), [2, 4, 5]);
    let many: Vec<u64> = (10..1_010).chain(500..510).collect();
    assert_eq!(repeated(&mut index, seed, &group(&many), at(1)), (1_000..1_010).collect::<Vec<_>>());
}

/// 64 windows after it was accepted, a span's slot shows the time of now.
#[test]
fn a_span_is_not_known_again_when_the_time_of_its_slot_has_gone_round() {
    for spans_max in [1_000, 500_000] {
        let mut index = DedupIndex::new(SECRET, spans_max, WINDOW);
        let old: Vec<ReportKey> = (0..500).map(|number| key(&index, number)).collect();
        for key in &old {
            index.insert(*key, at(10), WINDOW);
        }
        for (number, tick) in (1_000..).zip((10..=10 + (1 << TIME_BITS)).step_by(512)) {
            let other = key(&index, number);
            assert_eq!(index.insert(other, at(tick), WINDOW), Seen::New);
        }
        let known = old.iter().filter(|key| index.table.insert(**key, 10 + (1 << TIME_BITS), 1_024) == Seen::Duplicate);
        assert_eq!(known.count(), 0);
    }
}

#[test]
fn a_clock_set_back_forgets_nothing() {
    let mut index = DedupIndex::new(SECRET, 1_000, WINDOW);
    let key = key(&index, 1);
    assert_eq!(index.insert(key, at(50_000), WINDOW), Seen::New);
    assert_eq!(index.insert(key, at(3), WINDOW), Seen::Duplicate);
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_not_touched_before_it_is_used() {
    let mut index = DedupIndex::new(SECRET, 16 << 20, WINDOW);
    let key = key(&index, 1);
    for tick in (1_000..10_000).step_by(1_000) {
        index.insert(key, at(tick), WINDOW); // sweeps all of it, too
    }
    let (touched, all) = resident_pages(&index.table.slots);
    assert!((1..all / 8).contains(&touched), "{touched} pages for one span, of {all} in the table");
}

/// The pages of some memory that hold something, and how many there are. Only this memory counts: other tests may run beside.
///
/// Source: proc(5), pagemap: 64 bits a page. Bit 63 is set for one that is present, bit 56 for one that nobody shares; the page of
/// zeros, which stands for all that was only read, is shared.
fn resident_pages(memory: &[u64]) -> (usize, usize) {
    use std::os::unix::fs::FileExt as _;
    let page_bytes = rustix::param::page_size();
    let range = memory.as_ptr_range();
    let [first, last] = [range.start, range.end].map(|address| address.addr() / page_bytes);
    let mut entries = vec![0; (last - first) * 8];
    let pagemap = std::fs::File::open("/proc/self/pagemap").unwrap();
    pagemap.read_exact_at(&mut entries, u64::try_from(first * 8).unwrap()).unwrap();
    let is_resident = |entry: &&[u8]| entry.last().is_some_and(|byte| byte & 0x81 == 0x81);
    (entries.chunks_exact(8).filter(is_resident).count(), last - first)
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
    let number = || (0..8_u64, 0..4_u64).prop_map(|(span, report)| report * REPORT + span);
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

/// What is right when memory does not matter: when each report was accepted, in steps of time.
#[derive(Default)]
struct Model(HashMap<u64, u64>);

impl Model {
    fn insert(&mut self, number: u64, now: u64, within: u64) -> Seen {
        if self.0.get(&number).is_some_and(|accepted| now - accepted <= within) {
            return Seen::Duplicate;
        }
        let is_other = |(report, accepted): (&u64, &u64)| {
            *report != number && report % REPORT == number % REPORT && now - accepted <= within
        };
        let seen = if self.0.iter().any(is_other) { Seen::AnotherReport } else { Seen::New };
        self.0.insert(number, now);
        seen
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
        // 8 spans in 512 buckets: no bucket is ever full
        let mut index = DedupIndex::new(SECRET, 4_096, WINDOW);
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
                    let (checked, _) = insert_all(&mut index, seed, &group(&numbers), at(now));
                    let want: Vec<Seen> =
                        numbers.iter().map(|number| model.insert(*number, now, TICKS_PER_WINDOW)).collect();
                    let rows_that = |seen| (0..numbers.len()).filter(|row| want[*row] == seen).collect::<Vec<_>>();
                    prop_assert_eq!(checked.repeated, rows_that(Seen::Duplicate));
                    prop_assert_eq!(checked.reported_again, rows_that(Seen::AnotherReport));
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

#[test]
fn a_record_is_a_repeat_in_its_workspace_and_table_alone_and_is_forgotten_when_it_is_given_back() {
    let records = |table: RowsTable, workspace: &Workspace| {
        let mut records = Records::new(table, workspace.clone());
        for content in [1, 1, 2] {
            records.finish(at(1), content).unwrap();
        }
        records
    };
    let mut index = DedupIndex::new(7, 10_000, WINDOW);
    let (here, there) = (Workspace::default(), Workspace::new("there").unwrap());
    let repeated = |index: &mut DedupIndex, records: &Records| {
        let seed = index.seed_of(records.workspace());
        let mut kept = Vec::new();
        let checked = index.insert_records(seed, records, at(2), WINDOW, &mut kept);
        assert_eq!(kept.len() + checked.repeated.len(), records.rows());
        assert!(checked.reported_again.is_empty());
        checked.repeated
    };
    let logs = records(RowsTable::Logs, &here);
    assert_eq!(repeated(&mut index, &logs), [0; 0], "equal records of one request are all new");
    assert_eq!(repeated(&mut index, &logs), [0, 1, 2]);
    assert_eq!(repeated(&mut index, &records(RowsTable::Logs, &there)), [0; 0]);
    let seed = index.seed_of(&here);
    index.forget_records(seed, &logs);
    assert_eq!(repeated(&mut index, &logs), [0; 0]);
}
