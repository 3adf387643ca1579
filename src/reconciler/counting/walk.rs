//! The walk over everything that is stored: it finds traces whose rows are not what was counted. They are those of an earlier
//! version, of another Millrace, of a run that was killed, and those that somebody changed.
//!
//! ```text
//! days    whose parts changed since they were listed       system.parts: next to nothing
//! hours   of such a day that have other rows than when they were walked
//! slices  of such hours: the checksums of their traces, as they are and as they were counted
//! ```
//!
//! The latest comes first, and every other step is for what is older than a day, so that neither waits for the other. A step is
//! followed by a rest of many times what it took, or of a few times when it found something; but not by a long one if there was
//! little to read, since what such a step takes is what others make it wait. When nothing changes, all that is left is to look at
//! the list of parts, less and less often.

use crate::clickhouse::rollups::{Began, Day, Hour, NO_DAY, Slice, Sum};
use crate::time::UnixNanos;
use crate::traces::TraceKey;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

const HOUR_SECS: i64 = 3_600;
const DAY_SECS: i64 = 24 * HOUR_SECS;
const SECOND_NANOS: i64 = 1_000_000_000;
/// GenAI spans of a slice, about.
const SLICE_SPANS: u64 = 200_000;
const SLICES_MAX: u64 = 4_096;
/// The rest after a step is so many times as long as the step.
const REST_SHARE: u32 = 50;
/// The same as long as the first walk over everything is not over.
const REST_SHARE_FIRST: u32 = 10;
/// The same after one that found something.
const REST_SHARE_BUSY: u32 = 3;
const REST_MIN: Duration = Duration::from_millis(20);
/// The longest rest after a step for each span that it had to read: so that days with few spans are walked quickly, however busy
/// the machine is. At 200,000 spans it is as long as the rest after a second.
const REST_A_SPAN: Duration = Duration::from_micros(250);
/// The same as long as the first walk is not over.
const REST_A_SPAN_FIRST: Duration = Duration::from_micros(50);
/// Between two looks at the list of parts: at first, and at last when nothing changes.
const LIST_PAUSE_MIN: Duration = Duration::from_secs(5);
const LIST_PAUSE_MAX: Duration = Duration::from_secs(20);
/// After a failure.
const FAILED_PAUSE: Duration = Duration::from_secs(5);
/// Differences that two visits did not mend are remembered: of a trace that extends beyond the hours that are summed.
const REMEMBERED_MAX: usize = 100_000;
const VISITS_MAX: u32 = 2;
/// Days that are walked at most, when parts belong to no day: from 1970 to 2106.
const DAYS_MAX: i64 = 50_000;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// List the days.
    Days,
    /// List the hours of a day that begins then, in seconds since 1970.
    Hours(i64),
    /// Compare a part of what began in these hours, in seconds since 1970.
    Slice(Hours, Slice),
}

/// Some hours in a row: from when to when, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hours {
    start_secs: i64,
    end_secs: i64,
}

/// Hours that are compared together.
struct Together {
    hours: Hours,
    /// What each of them had when it was listed.
    marks: Vec<(i64, u64)>,
    /// GenAI spans in them and their neighbours.
    spans: u64,
}

#[derive(Debug, Clone)]
enum Pending {
    /// A day to list.
    Day,
    /// Hours to compare, and what they had when they were listed.
    Hours { hours: Hours, marks: Vec<(i64, u64)>, slice: Slice, spans: u64 },
}

/// By the end of the time that it covers.
type Place = (i64, IsDay);
/// Whether it is a day that is still to be listed.
type IsDay = bool;

/// A difference, and how often its trace was visited because of it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    is: u64,
    counted: u64,
    visits: u32,
}

#[derive(Debug)]
pub(super) struct Walk {
    pending: BTreeMap<Place, Pending>,
    days: HashMap<i64, u64>,
    hours: HashMap<i64, u64>,
    unmended: HashMap<TraceKey, Seen>,
    next: Instant,
    list_at: Instant,
    list_pause: Duration,
    /// Two steps in a row do not list the days, however long that takes.
    has_listed: bool,
    is_first: bool,
    steps: u64,
    /// Spans that the last step had to read, about.
    spans_read: u64,
}

impl Walk {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            pending: BTreeMap::new(),
            days: HashMap::new(),
            hours: HashMap::new(),
            unmended: HashMap::new(),
            next: now,
            list_at: now,
            list_pause: LIST_PAUSE_MIN,
            has_listed: false,
            is_first: true,
            steps: 0,
            spans_read: 0,
        }
    }

    /// The next step, if it is time for one.
    pub(super) fn next(&mut self, now: Instant, time: UnixNanos) -> Option<Step> {
        if now < self.next {
            return None;
        }
        if now >= self.list_at && (self.pending.is_empty() || !std::mem::take(&mut self.has_listed)) {
            return Some(Step::Days);
        }
        self.steps = self.steps.wrapping_add(1);
        let yesterday = time.nanos() / SECOND_NANOS - DAY_SECS;
        let latest = self.pending.last_key_value();
        let older = self.pending.range(..(yesterday, false)).next_back();
        let (place, pending) = if self.steps.is_multiple_of(2) { older.or(latest) } else { latest }?;
        Some(match pending {
            Pending::Day => Step::Hours(place.0 - DAY_SECS),
            Pending::Hours { hours, slice, .. } => Step::Slice(*hours, *slice),
        })
    }

    /// Something is to be found soon: an earlier run's rows were delivered, or there were too many to note.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.list_pause = LIST_PAUSE_MIN;
        self.list_at = self.list_at.min(now + LIST_PAUSE_MIN);
    }

    /// The step took so long; `found` says whether something had to be done.
    pub(super) fn took(&mut self, now: Instant, took: Duration, found: bool) {
        let share = match (found, self.is_first) {
            (true, _) => REST_SHARE_BUSY,
            (false, true) => REST_SHARE_FIRST,
            (false, false) => REST_SHARE,
        };
        let a_span = if self.is_first { REST_A_SPAN_FIRST } else { REST_A_SPAN };
        let spans = u32::try_from(self.spans_read).unwrap_or(u32::MAX);
        self.next = now + took.saturating_mul(share).min(a_span.saturating_mul(spans)).max(REST_MIN);
    }

    /// The step failed, and is to be repeated.
    pub(super) fn failed(&mut self, now: Instant) {
        self.next = now + FAILED_PAUSE;
    }

    /// The days that have spans, or had some that were counted. Rows between `ends` belong to no day if the list has [`NO_DAY`].
    pub(super) fn listed_days(&mut self, days: Vec<Day>, ends: &Began, now: Instant) {
        let mut has_changed = false;
        for day in days {
            if self.days.insert(day.start_secs, day.mark) == Some(day.mark) {
                continue;
            }
            has_changed = true;
            if day.start_secs != NO_DAY {
                self.want_day(day.start_secs);
                continue;
            }
            let [first, last] = [ends.start(), ends.end()].map(|nanos| nanos.div_euclid(DAY_SECS * SECOND_NANOS));
            for day in first..=last.min(first.saturating_add(DAYS_MAX)) {
                self.want_day(day * DAY_SECS);
            }
        }
        self.list_pause = if has_changed { LIST_PAUSE_MIN } else { (self.list_pause * 2).min(LIST_PAUSE_MAX) };
        self.list_at = now + self.list_pause;
        self.has_listed = true;
        self.is_first &= !self.pending.is_empty();
        self.spans_read = 0;
    }

    fn want_day(&mut self, start_secs: i64) {
        self.pending.insert((start_secs + DAY_SECS, true), Pending::Day);
    }

    /// The time of which the hours of a day must be known: an hour is walked again when its neighbours change.
    pub(super) fn time_of_day(start_secs: i64) -> Began {
        nanos_from(start_secs - HOUR_SECS, DAY_SECS + 2 * HOUR_SECS)
    }

    /// The hours of a day. Those that changed since they were walked are walked again, as many at once as there are spans for.
    pub(super) fn listed_hours(&mut self, day_start_secs: i64, hours: &[Hour]) {
        self.pending.remove(&(day_start_secs + DAY_SECS, true));
        self.spans_read = hours.iter().map(|hour| hour.spans).sum();
        let by_start: HashMap<i64, &Hour> = hours.iter().map(|hour| (hour.start_secs, hour)).collect();
        let mut together: Option<Together> = None;
        for place in (0..24).rev() {
            let start_secs = day_start_secs + place * HOUR_SECS;
            let near = [-1, 0, 1].map(|by| by_start.get(&(start_secs + by * HOUR_SECS)).copied());
            let mark = near.iter().fold(0_u64, |mark, hour| mark.wrapping_mul(MULTIPLIER) ^ mark_of(*hour));
            let genai: u64 = near.iter().flatten().map(|hour| hour.genai).sum();
            let is_empty = near.iter().flatten().all(|hour| hour.genai == 0 && hour.counted == 0);
            let was = self.hours.get(&start_secs).copied();
            if was == Some(mark) || (was.is_none() && is_empty) {
                continue;
            }
            let hours = Hours { start_secs, end_secs: start_secs + HOUR_SECS };
            let mut more = Together { hours, marks: vec![(start_secs, mark)], spans: genai };
            match together.take() {
                Some(later) if later.spans.saturating_add(genai) <= SLICE_SPANS => {
                    more.hours.end_secs = later.hours.end_secs;
                    more.marks.extend(later.marks);
                    more.spans += later.spans;
                }
                Some(full) => self.want_hours(full),
                None => {}
            }
            together = Some(more);
        }
        together.into_iter().for_each(|rest| self.want_hours(rest));
    }

    fn want_hours(&mut self, Together { hours, marks, spans }: Together) {
        let place = (hours.end_secs, false);
        // hours that change all the time are walked to their end, and then again
        if matches!(self.pending.get(&place), Some(Pending::Hours { hours: there, .. }) if *there == hours) {
            return;
        }
        let of = spans.div_ceil(SLICE_SPANS).clamp(1, SLICES_MAX);
        self.pending.insert(place, Pending::Hours { hours, marks, slice: Slice { place: 0, of }, spans });
    }

    /// A slice of some hours was compared.
    pub(super) fn compared(&mut self, compared: Hours) {
        let place = (compared.end_secs, false);
        let Some(Pending::Hours { hours, marks, slice, spans }) = self.pending.get_mut(&place) else { return };
        if *hours != compared {
            return;
        }
        self.spans_read = *spans / slice.of;
        slice.place += 1;
        if slice.place >= slice.of {
            self.hours.extend(marks.drain(..));
            self.pending.remove(&place);
        }
    }

    /// Whether a difference that was found is to be looked at: not if two visits did not mend it.
    pub(super) fn is_worth_a_visit(&self, key: &TraceKey, is: u64, counted: u64) -> bool {
        self.unmended.get(key).is_none_or(|seen| (seen.is, seen.counted) != (is, counted) || seen.visits < VISITS_MAX)
    }

    /// A trace was visited because of a difference.
    pub(super) fn visited(&mut self, key: TraceKey, is: u64, counted: u64) {
        if self.unmended.len() >= REMEMBERED_MAX && !self.unmended.contains_key(&key) {
            self.unmended.clear();
        }
        let seen = self.unmended.entry(key).or_insert(Seen { is, counted, visits: 0 });
        let visits = if (seen.is, seen.counted) == (is, counted) { seen.visits + 1 } else { 1 };
        *seen = Seen { is, counted, visits };
    }

    /// Hours that are still to be compared, as far as they are known: a day that is still to be listed has 24.
    pub(super) fn hours_left(&self) -> usize {
        let hours = |pending: &Pending| match pending {
            Pending::Day => 24,
            Pending::Hours { marks, .. } => marks.len(),
        };
        self.pending.values().map(hours).sum()
    }
}

impl Hours {
    /// From one time to another, in seconds since 1970.
    pub(super) fn new(start_secs: i64, end_secs: i64) -> Self {
        Self { start_secs, end_secs }
    }

    /// The time of these hours, and that of the rows that are summed.
    pub(super) fn times(self) -> (Began, Began) {
        let secs = self.end_secs - self.start_secs;
        (nanos_from(self.start_secs, secs), nanos_from(self.start_secs - HOUR_SECS, secs + 2 * HOUR_SECS))
    }
}

/// Mixes the marks of neighbours: the golden ratio in 64 bits.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

fn mark_of(hour: Option<&Hour>) -> u64 {
    hour.map_or(0, |hour| {
        hour.spans.wrapping_mul(31).wrapping_add(hour.genai).wrapping_mul(31).wrapping_add(hour.costs)
    })
}

fn nanos_from(start_secs: i64, secs: i64) -> Began {
    let start = start_secs.max(0).saturating_mul(SECOND_NANOS);
    let end = start_secs.saturating_add(secs).saturating_mul(SECOND_NANOS);
    start..=end.saturating_sub(1).max(start)
}

/// A trace whose rows are not those that were counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) workspace: String,
    pub(super) trace: String,
    /// The sum of its rows, and the sum that was counted; 0 for none.
    pub(super) is: u64,
    pub(super) counted: u64,
    /// When its rows began.
    pub(super) began: Began,
}

/// Compares the sums of an hour. Traces that were counted and began in `hour`, but have no rows any more, are among what differs.
pub(super) fn differences(sums: Vec<Sum>, counted: Vec<Sum>, hour: &Began) -> Vec<Difference> {
    let mut by_trace: HashMap<(String, String), Vec<Sum>> = HashMap::new();
    for sum in counted {
        by_trace.entry((sum.workspace.clone(), sum.trace.clone())).or_default().push(sum);
    }
    let mut differing = Vec::new();
    for sum in sums {
        let Sum { workspace, trace, sum: is, first, last } = sum;
        let counted = by_trace.remove(&(workspace.clone(), trace.clone())).unwrap_or_default();
        let marks = counted.iter().fold(0_u64, |mark, sum| mark.wrapping_add(sum.sum));
        if counted.len() != 1 || marks != is {
            differing.push(Difference { workspace, trace, is, counted: marks, began: first..=last });
        }
    }
    for ((workspace, trace), rows) in by_trace {
        for row in rows.into_iter().filter(|row| hour.contains(&row.first)) {
            let (workspace, trace) = (workspace.clone(), trace.clone());
            differing.push(Difference { workspace, trace, is: 0, counted: row.sum, began: row.first..=row.last });
        }
    }
    differing
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 1_795_132_800;

    fn time() -> UnixNanos {
        UnixNanos::from_i64((DAY + 23 * HOUR_SECS) * SECOND_NANOS).unwrap()
    }

    fn hour(place: i64, genai: u64) -> Hour {
        Hour { start_secs: DAY + place * HOUR_SECS, spans: genai, genai, costs: 0, counted: 0 }
    }

    /// The steps until the walk only looks at the list of parts; `hours` are those of any day.
    fn steps(walk: &mut Walk, days: &[Day], hours: &[Hour], mut now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            now += LIST_PAUSE_MAX;
            let Some(step) = walk.next(now, time()) else { continue };
            match step {
                Step::Days => {
                    walk.listed_days(days.to_vec(), &(0..=0), now);
                    if walk.pending.is_empty() {
                        return steps;
                    }
                    walk.took(now, Duration::ZERO, false);
                    continue;
                }
                Step::Hours(day) => walk.listed_hours(day, if day == DAY { hours } else { &[] }),
                Step::Slice(hours, _) => walk.compared(hours),
            }
            walk.took(now, Duration::ZERO, false);
            steps.push(step);
        }
    }

    fn slices(steps: &[Step]) -> Vec<(i64, i64, u64)> {
        let of = |step: &Step| match step {
            Step::Slice(hours, slice) => {
                Some(((hours.start_secs - DAY) / HOUR_SECS, (hours.end_secs - DAY) / HOUR_SECS, slice.of))
            }
            _ => None,
        };
        steps.iter().filter_map(of).collect()
    }

    #[test]
    fn hours_with_few_spans_are_compared_at_once_and_those_with_many_in_slices() {
        let (now, days) = (Instant::now(), [Day { start_secs: DAY, mark: 1 }]);
        let few: Vec<Hour> = [2, 3, 9].map(|place| hour(place, 10)).to_vec();
        let done = steps(&mut Walk::new(now), &days, &few, now);
        assert_eq!(slices(&done), [(1, 11, 1)], "with the neighbours of each");
        let many = vec![hour(5, 3 * SLICE_SPANS)];
        let done = steps(&mut Walk::new(now), &days, &many, now);
        assert_eq!(slices(&done).len(), 9, "three slices of each of three hours");
    }

    #[test]
    fn there_is_no_long_rest_after_little_however_long_it_took() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut walk = Walk::new(now);
        walk.listed_days(vec![Day { start_secs: DAY, mark: 1 }], &(0..=0), now);
        walk.took(now, second, false);
        assert_eq!(walk.next - now, REST_MIN, "a list of days");
        walk.listed_hours(DAY, &[hour(2, 1_000)]);
        walk.took(now, second, false);
        assert_eq!(walk.next - now, REST_A_SPAN_FIRST * 1_000);
        let Some(Step::Slice(hours, _)) = walk.next(now + second, time()) else { panic!("there is more to walk") };
        walk.compared(hours);
        walk.took(now, second, true);
        assert_eq!(walk.next - now, REST_A_SPAN_FIRST * 3_000, "with what the neighbours have");
        walk.listed_hours(DAY, &[hour(2, 10 * SLICE_SPANS)]);
        walk.took(now, second, false);
        assert_eq!(walk.next - now, second * REST_SHARE_FIRST, "as much as ever");
        walk.pending.clear();
        walk.listed_days(Vec::new(), &(0..=0), now);
        for (spans, rest) in [(1_000, REST_A_SPAN * 1_000), (10 * SLICE_SPANS, second * REST_SHARE)] {
            walk.listed_hours(DAY, &[hour(2, spans)]);
            walk.took(now, second, false);
            assert_eq!(walk.next - now, rest, "after the first walk");
        }
    }

    #[test]
    fn what_did_not_change_is_not_walked_again() {
        let (now, mut days) = (Instant::now(), vec![Day { start_secs: DAY, mark: 1 }]);
        let mut walk = Walk::new(now);
        let mut hours = vec![hour(2, 10), hour(9, 10)];
        assert_eq!(slices(&steps(&mut walk, &days, &hours, now)).len(), 1);
        assert_eq!(steps(&mut walk, &days, &hours, now), [], "the same parts");
        days[0].mark = 2;
        assert_eq!(steps(&mut walk, &days, &hours, now + LIST_PAUSE_MAX), [Step::Hours(DAY)], "parts were merged");
        days[0].mark = 3;
        hours[1].costs = 7;
        assert_eq!(slices(&steps(&mut walk, &days, &hours, now)), [(8, 11, 1)]);
        days[0].mark = 4;
        assert_eq!(slices(&steps(&mut walk, &days, &[hours[0]], now)), [(8, 11, 1)], "all of an hour is gone");
    }

    #[test]
    fn a_day_whose_spans_are_all_gone_is_walked_where_some_were_counted() {
        let (now, gone) = (Instant::now(), [Day { start_secs: DAY, mark: 0 }]);
        let counted = [Hour { counted: 1, ..hour(4, 0) }];
        let mut walk = Walk::new(now);
        steps(&mut walk, &[Day { start_secs: DAY, mark: 1 }], &[hour(4, 10)], now);
        assert_eq!(slices(&steps(&mut walk, &gone, &counted, now + LIST_PAUSE_MAX)), [(3, 6, 1)], "they go meanwhile");
        let mut after_a_start = Walk::new(now);
        assert_eq!(slices(&steps(&mut after_a_start, &gone, &counted, now)), [(3, 6, 1)], "they went before");
        assert_eq!(slices(&steps(&mut Walk::new(now), &gone, &[hour(4, 0)], now)), [], "none was counted");
    }

    #[test]
    fn parts_of_no_day_may_be_of_any_and_those_of_1970_are_of_one() {
        let now = Instant::now();
        let ends = (DAY * SECOND_NANOS)..=((DAY + 2 * DAY_SECS) * SECOND_NANOS);
        for (start_secs, days) in [(0, 1), (NO_DAY, 3)] {
            let mut walk = Walk::new(now);
            walk.listed_days(vec![Day { start_secs, mark: 1 }], &ends, now);
            assert_eq!(walk.pending.len(), days, "{start_secs}");
        }
    }

    #[test]
    fn hours_that_change_all_the_time_are_walked_to_their_end() {
        let now = Instant::now();
        let mut walk = Walk::new(now);
        walk.listed_days(Vec::new(), &(0..=0), now);
        walk.listed_hours(DAY, &[hour(5, 3 * SLICE_SPANS)]);
        let mut places = Vec::new();
        for more in 1..=6 {
            let Some(Step::Slice(hours, slice)) = walk.next(now, time()) else { panic!("there is more to walk") };
            places.push(slice.place);
            walk.compared(hours);
            walk.listed_hours(DAY, &[hour(5, 3 * SLICE_SPANS + more)]);
        }
        assert_eq!(places, [0, 1, 2, 0, 1, 2], "an hour, and then the one before it");
    }

    #[test]
    fn today_and_what_is_older_take_turns_and_the_latest_comes_first() {
        let (now, mut walk) = (Instant::now(), Walk::new(Instant::now()));
        let days: Vec<Day> = (0..4).map(|ago| Day { start_secs: DAY - ago * DAY_SECS, mark: 1 }).collect();
        let steps = steps(&mut walk, &days, &[hour(2, 10), hour(20, SLICE_SPANS)], now);
        assert_eq!(steps[..2], [Step::Hours(DAY), Step::Hours(DAY - 2 * DAY_SECS)], "{steps:?}");
        assert!(matches!(steps[2], Step::Slice(..)), "{steps:?}");
        let listed = steps.iter().filter(|step| matches!(step, Step::Hours(_))).count();
        assert_eq!((listed, steps.len()), (4, 4 + slices(&steps).len()));
    }

    #[test]
    fn a_difference_that_two_visits_do_not_mend_is_left_until_it_is_another_one() {
        let mut walk = Walk::new(Instant::now());
        let key = crate::clickhouse::joins::key_of(&"ab".repeat(16), "default").unwrap();
        for visits in 0..VISITS_MAX {
            assert!(walk.is_worth_a_visit(&key, 1, 5), "{visits}");
            walk.visited(key.clone(), 1, 5);
        }
        assert!(!walk.is_worth_a_visit(&key, 1, 5));
        assert!(walk.is_worth_a_visit(&key, 2, 5), "it changed since");
        assert!(walk.is_worth_a_visit(&key, 1, 6), "it was counted since");
    }

    #[test]
    fn a_row_that_is_missing_or_old_or_doubled_or_of_nothing_differs() {
        let sum = |trace: &str, sum, first| Sum { workspace: "w".into(), trace: trace.into(), sum, first, last: first };
        let is = vec![sum("same", 1, 5), sum("old", 2, 5), sum("new", 3, 5), sum("twice", 4, 5)];
        let counted = vec![
            sum("same", 1, 5),
            sum("old", 9, 5),
            sum("twice", 4, 5),
            sum("twice", 0, 6),
            sum("gone", 5, 7),
            sum("elsewhere", 5, 70),
        ];
        let mut found: Vec<String> = differences(is, counted, &(0..=10)).into_iter().map(|of| of.trace).collect();
        found.sort();
        assert_eq!(found, ["gone", "new", "old", "twice"]);
    }
}
