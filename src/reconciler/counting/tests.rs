//! Visits and walk on tables in memory, which end the process, so to say, at whatever statement they are told to: the next start
//! knows nothing but what is in the tables, and must come to what the pure function says of all spans.

use super::notes::Note;
use super::trace::roll_up;
use super::*;
use crate::clickhouse::rollups::rows::{Key, ReportRow, SpanRow, Stored, TraceRow, digest_of};
use crate::clickhouse::rollups::{Began, Day, Hour, Slice, Sum, Times};
use crate::ids::{SegmentId, TraceId};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use futures_util::FutureExt as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::MutexGuard;

const HOUR: i64 = 3_600 * 1_000_000_000;
/// 2026-11-20T00:00:00Z.
const BEGINNING: i64 = 1_795_132_800 * 1_000_000_000;

/// A table by workspace, trace and key.
type Rows<R> = BTreeMap<(String, String, Key), R>;

#[derive(Debug, Default)]
struct InMemory {
    spans: Vec<SpanRow>,
    /// Spans that were there: the times of their traces are still known.
    gone: Vec<SpanRow>,
    reports: Rows<ReportRow>,
    traces: Rows<TraceRow>,
    /// Statements until the process ends; none more then.
    statements_left: Option<usize>,
    /// How much of a write that the process does not survive is done all the same: none, half, or all of it.
    halves_done: usize,
    clock: u64,
}

#[derive(Debug, Default, Clone)]
struct Fake(Arc<Mutex<InMemory>>);

impl Fake {
    fn state(&self) -> MutexGuard<'_, InMemory> {
        self.0.lock().unwrap()
    }

    /// A statement begins; the number of rows of a write that are written if it is the last one.
    fn begin(&self, rows: usize) -> (MutexGuard<'_, InMemory>, Result<(), usize>) {
        let mut state = self.state();
        state.clock += 1;
        let killed = rows * state.halves_done / 2;
        let goes_on = match &mut state.statements_left {
            None => Ok(()),
            Some(0) => Err(0),
            Some(left) => {
                *left -= 1;
                if *left == 0 { Err(killed) } else { Ok(()) }
            }
        };
        (state, goes_on)
    }

    fn read(&self) -> Result<MutexGuard<'_, InMemory>, Failure> {
        let (state, goes_on) = self.begin(0);
        goes_on.map(|()| state).map_err(|_| Failure::local("killed"))
    }
}

fn within(began: &Began, at: i64) -> bool {
    began.contains(&at)
}

fn empty_hour(start_secs: i64) -> Hour {
    Hour { start_secs, spans: 0, genai: 0, costs: 0, counted: 0 }
}

fn in_slice(trace: &str, slice: Slice) -> bool {
    digest_of(&trace) % slice.of == slice.place
}

fn replace<R: Clone>(rows: &mut Rows<R>, key: (String, String, Key), row: &R, version: fn(&R) -> u64) {
    if rows.get(&key).is_none_or(|there| version(there) <= version(row)) {
        rows.insert(key, row.clone());
    }
}

impl Tables for Fake {
    async fn times(&self, traces: &[TraceKey]) -> Result<Vec<Times>, Failure> {
        let state = self.read()?;
        let of = |trace: String| {
            let ever = || state.spans.iter().chain(&state.gone);
            let began = || ever().filter(|row| row.trace == trace).map(|row| row.began);
            Some(Times { first: began().min()?, last: began().max()?, trace: trace.clone() })
        };
        Ok(traces.iter().filter_map(|(_, trace)| of(trace.to_string())).collect())
    }

    async fn spans(&self, traces: &[TraceKey], began: &Began) -> Result<Vec<SpanRow>, Failure> {
        let state = self.read()?;
        let wanted: BTreeSet<String> = traces.iter().map(|(_, trace)| trace.to_string()).collect();
        let found = state.spans.iter().filter(|row| wanted.contains(&row.trace) && within(began, row.began));
        Ok(found.map(|row| SpanRow { read_at: state.clock, ..row.clone() }).collect())
    }

    async fn standing(
        &self,
        traces: &[TraceKey],
        spans: &BTreeSet<String>,
        began: &Began,
    ) -> Result<Vec<SpanRow>, Failure> {
        let mut standing: HashMap<(String, String), SpanRow> = HashMap::new();
        for row in self.spans(traces, began).await?.into_iter().filter(|row| spans.contains(&row.span)) {
            let key = (row.trace.clone(), row.span.clone());
            match standing.get(&key) {
                Some(there) if stays(there) >= stays(&row) => {}
                _ => {
                    standing.insert(key, row);
                }
            }
        }
        Ok(standing.into_values().collect())
    }

    async fn stored(&self, traces: &[TraceKey], began: &Began) -> Result<Vec<Stored>, Failure> {
        let state = self.read()?;
        let wanted: BTreeSet<String> = traces.iter().map(|(_, trace)| trace.to_string()).collect();
        let of = |(workspace, trace, key): &(String, String, Key), digest, version, is_deleted| Stored {
            workspace: workspace.clone(),
            trace: trace.clone(),
            began: key.began,
            span: key.span.clone(),
            kind: key.kind.clone(),
            service: key.service.clone(),
            digest,
            version,
            is_deleted,
        };
        let reports = state.reports.iter().map(|(key, row)| of(key, row.digest, row.version, row.is_deleted));
        let traces = state.traces.iter().map(|(key, row)| of(key, row.digest, row.version, row.is_deleted));
        Ok(reports.chain(traces).filter(|row| wanted.contains(&row.trace) && within(began, row.began)).collect())
    }

    async fn write_reports(&self, rows: &[ReportRow]) -> Result<(), Failure> {
        let (mut state, goes_on) = self.begin(rows.len());
        let count = goes_on.map_or_else(|killed| killed, |()| rows.len());
        for row in rows.iter().take(count) {
            let key = (row.workspace.clone(), row.trace_id.clone(), row.key());
            replace(&mut state.reports, key, row, |row| row.version);
        }
        goes_on.map_err(|_| Failure::local("killed"))
    }

    async fn write_traces(&self, rows: &[TraceRow]) -> Result<(), Failure> {
        let (mut state, goes_on) = self.begin(rows.len());
        let count = goes_on.map_or_else(|killed| killed, |()| rows.len());
        for row in rows.iter().take(count) {
            let key = (row.workspace.clone(), row.trace_id.clone(), row.key());
            replace(&mut state.traces, key, row, |row| row.version);
        }
        goes_on.map_err(|_| Failure::local("killed"))
    }

    async fn days(&self) -> Result<Vec<Day>, Failure> {
        let state = self.read()?;
        let mut days: BTreeMap<i64, u64> = BTreeMap::new();
        for row in &state.spans {
            let day = row.began.div_euclid(24 * HOUR) * 24 * 3_600;
            *days.entry(day).or_default() += digest_of(&(&row.span, row.checksum)) >> 8;
        }
        for row in state.traces.values() {
            days.entry(row.timestamp.div_euclid(24 * HOUR) * 24 * 3_600).or_default();
        }
        Ok(days.into_iter().map(|(start_secs, mark)| Day { start_secs, mark }).collect())
    }

    async fn ends(&self) -> Result<Began, Failure> {
        let state = self.read()?;
        let counted = || state.traces.values().map(|row| row.timestamp);
        let began = || state.spans.iter().map(|row| row.began).chain(counted());
        Ok(began().min().unwrap_or(0)..=began().max().unwrap_or(0))
    }

    async fn hours(&self, began: &Began) -> Result<Vec<Hour>, Failure> {
        let state = self.read()?;
        let mut hours: BTreeMap<i64, Hour> = BTreeMap::new();
        for row in state.spans.iter().filter(|row| within(began, row.began)) {
            let start_secs = row.began.div_euclid(HOUR) * 3_600;
            let hour = hours.entry(start_secs).or_insert_with(|| empty_hour(start_secs));
            hour.spans += 1;
            hour.genai += u64::from(!row.operation.is_empty());
            hour.costs = hour.costs.wrapping_add(row.checksum);
        }
        let counted = state.traces.values().filter(|row| row.is_deleted == 0 && within(began, row.timestamp));
        for row in counted {
            let start_secs = row.timestamp.div_euclid(HOUR) * 3_600;
            hours.entry(start_secs).or_insert_with(|| empty_hour(start_secs)).counted += 1;
        }
        Ok(hours.into_values().collect())
    }

    async fn sums(&self, hour: &Began, slice: Slice, of_rows: &Began) -> Result<Vec<Sum>, Failure> {
        let state = self.read()?;
        let is_genai = |row: &&SpanRow| !row.operation.is_empty() && within(hour, row.began);
        let traces: BTreeSet<&String> =
            state.spans.iter().filter(is_genai).map(|row| &row.trace).filter(|trace| in_slice(trace, slice)).collect();
        let of = |trace: &String| {
            let rows = || state.spans.iter().filter(|row| row.trace == *trace && within(of_rows, row.began));
            Some(Sum {
                workspace: Workspace::DEFAULT.to_owned(),
                trace: trace.clone(),
                sum: rows().fold(0_u64, |sum, row| sum.wrapping_add(row.checksum)),
                first: rows().map(|row| row.began).min()?,
                last: rows().map(|row| row.began).max()?,
            })
        };
        Ok(traces.into_iter().filter_map(of).collect())
    }

    async fn counted(&self, began: &Began, slice: Slice) -> Result<Vec<Sum>, Failure> {
        let state = self.read()?;
        let rows = state.traces.values().filter(|row| row.is_deleted == 0 && within(began, row.timestamp));
        let of = |row: &TraceRow| Sum {
            workspace: row.workspace.clone(),
            trace: row.trace_id.clone(),
            sum: row.checksum,
            first: row.timestamp,
            last: row.timestamp,
        };
        Ok(rows.filter(|row| in_slice(&row.trace_id, slice)).map(of).collect())
    }
}

/// Of several rows of a span the one with the largest stays.
fn stays(row: &SpanRow) -> (i64, String) {
    (row.began + row.duration.cast_signed(), row.segment.clone())
}

fn segment(number: u64) -> SegmentId {
    SegmentId::new(1, number)
}

fn key(trace: u8) -> TraceKey {
    (Workspace::default(), TraceId::new([trace; 16]).unwrap())
}

/// A span that came with this segment.
fn span(trace: u8, id: u8, parent: u8, at: i64, operation: &str, came_with: u64) -> SpanRow {
    let hex = |id: u8| format!("{id:02x}").repeat(8);
    let segment = segment(came_with).to_string();
    SpanRow {
        checksum: digest_of(&(trace, id, &segment)),
        workspace: Workspace::DEFAULT.to_owned(),
        trace: key(trace).1.to_string(),
        span: hex(id),
        parent: if parent == 0 { String::new() } else { hex(parent) },
        segment,
        began: BEGINNING + at,
        duration: 5,
        kind: "Client".to_owned(),
        service: "s".to_owned(),
        name: format!("span {id}"),
        operation: operation.to_owned(),
        input_tokens: (!operation.is_empty()).then_some(u64::from(id)),
        ..SpanRow::default()
    }
}

/// Deliveries one after the other: spans that come late, before their root, hours apart, and again.
fn deliveries() -> Vec<Vec<SpanRow>> {
    let again = SpanRow { duration: 50, input_tokens: Some(100), ..span(2, 2, 0, 7, "chat", 4) };
    vec![
        vec![span(1, 2, 1, 10, "chat", 1), span(2, 2, 0, 7, "chat", 1), span(9, 1, 0, 7, "", 1)],
        vec![span(1, 1, 0, -2 * HOUR, "", 2), span(3, 1, 0, 30 * HOUR, "invoke_agent", 2)],
        vec![span(3, 2, 1, 30 * HOUR + 5, "chat", 3), span(1, 3, 2, 4 * HOUR, "chat", 3)],
        vec![again],
    ]
}

fn counter(tables: &Fake) -> Counter<Fake> {
    Counter {
        tables: tables.clone(),
        notes: Notes::default(),
        retention: Reloadable::new(Retention::default()),
        metrics: Metrics::new().unwrap(),
        availability: Availability::default(),
        counting: Counting::default(),
        clock: Clock::Fixed(UnixNanos::from_i64(BEGINNING + 40 * HOUR).unwrap()),
    }
}

/// What the notes of a delivery say: as much as the rows of it do.
fn note(waiting: &mut Waiting, rows: &[SpanRow], now: Instant) {
    for row in rows.iter().filter(|row| row.trace != key(9).1.to_string()) {
        let key = key_of(&row.trace, &row.workspace).unwrap();
        let segment = SegmentId::parse(&row.segment);
        let note = Note { began: row.began..=row.began, is_whole: false, segment, delivered: now };
        waiting.note(key, note, now);
    }
}

/// Delivers everything with visits in between, until the process ends by itself or all is done. Says whether it survived.
fn run_until_killed(tables: &Fake) -> bool {
    let (counter, mut now) = (counter(tables), Instant::now());
    let mut work = Work::new(now);
    for rows in deliveries() {
        tables.state().spans.extend(rows.iter().cloned());
        note(&mut work.waiting, &rows, now);
        now += Duration::from_secs(60);
        if counter.visit_due(&mut work, now).now_or_never().unwrap().is_err() {
            return false;
        }
    }
    true
}

/// A new start: walks until there is nothing left to walk.
fn walk_to_the_end(tables: &Fake) {
    let (counter, mut now) = (counter(tables), Instant::now());
    let mut work = Work::new(now);
    for step in 0.. {
        assert!(step < 10_000, "the walk comes to an end");
        now += Duration::from_secs(3_600);
        let Some(next) = work.walk.next(now, counter.clock.now()) else { continue };
        if next == Step::Days && step > 0 && work.walk.hours_left() == 0 {
            return;
        }
        counter.step(&mut work, next).now_or_never().unwrap().unwrap();
        work.walk.took(now, Duration::ZERO, false);
    }
}

/// The tables have what the pure function says of all spans, and nothing else.
#[track_caller]
fn assert_right(tables: &Fake, case: &str) {
    let state = tables.state();
    let mut rows: HashMap<TraceKey, HashMap<(String, String), SpanRow>> = HashMap::new();
    let mut sums: HashMap<TraceKey, u64> = HashMap::new();
    for row in &state.spans {
        let key = key_of(&row.trace, &row.workspace).unwrap();
        let sum = sums.entry(key.clone()).or_default();
        *sum = sum.wrapping_add(row.checksum);
        let of_trace = rows.entry(key).or_default();
        let span = (row.span.clone(), row.kind.clone());
        match of_trace.get(&span) {
            Some(there) if stays(there) >= stays(row) => {}
            _ => {
                of_trace.insert(span, row.clone());
            }
        }
    }
    let (mut reports, mut traces) = (BTreeSet::new(), BTreeSet::new());
    for (key, rows) in rows {
        let rolled = roll_up(&key, rows.into_values().collect(), sums[&key]);
        reports.extend(rolled.reports.iter().map(|row| (row.trace_id.clone(), row.key(), digest_of(row))));
        traces.extend(rolled.trace.iter().map(|row| (row.trace_id.clone(), row.key(), digest_of(row))));
    }
    let live = state.reports.values().filter(|row| row.is_deleted == 0);
    let are: BTreeSet<_> = live.map(|row| (row.trace_id.clone(), row.key(), row.digest)).collect();
    assert_eq!(are, reports, "reports, {case}");
    let live = state.traces.values().filter(|row| row.is_deleted == 0);
    let are: BTreeSet<_> = live.map(|row| (row.trace_id.clone(), row.key(), row.digest)).collect();
    assert_eq!(are, traces, "traces, {case}");
}

fn all_deliveries_at_once() -> Fake {
    let tables = Fake::default();
    tables.state().spans = deliveries().concat();
    tables
}

#[test]
fn visits_alone_keep_up_with_what_is_delivered() {
    let tables = Fake::default();
    assert!(run_until_killed(&tables));
    assert_right(&tables, "visits");
    assert_eq!(tables.state().traces.values().filter(|row| row.is_deleted == 0).count(), 3, "none without GenAI spans");
}

#[test]
fn a_walk_alone_counts_what_was_there_before_and_then_finds_nothing() {
    let tables = all_deliveries_at_once();
    walk_to_the_end(&tables);
    assert_right(&tables, "a walk");
    let versions = |tables: &Fake| tables.state().traces.values().map(|row| row.version).collect::<Vec<_>>();
    let before = versions(&tables);
    walk_to_the_end(&tables);
    assert_eq!(versions(&tables), before, "nothing is written again");
}

#[test]
fn killed_after_any_statement_and_with_any_part_of_a_write_done_nothing_is_forgotten_or_doubled() {
    let mut kills = 0;
    for halves_done in 0..=2 {
        for statements in 1.. {
            let tables = Fake::default();
            *tables.state() = InMemory { statements_left: Some(statements), halves_done, ..InMemory::default() };
            let survived = run_until_killed(&tables);
            {
                let mut state = tables.state();
                state.statements_left = None;
                state.spans = deliveries().concat();
            }
            walk_to_the_end(&tables);
            assert_right(&tables, &format!("killed after {statements} statements, {halves_done} halves written"));
            if survived {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 40, "{kills}");
}

#[test]
fn spans_that_are_gone_and_costs_that_changed_are_counted_by_a_walk() {
    let tables = all_deliveries_at_once();
    walk_to_the_end(&tables);
    {
        let mut state = tables.state();
        let gone = key(2).1.to_string();
        let is_left = |row: &SpanRow| row.trace != gone && row.span != "0303030303030303";
        (state.spans, state.gone) = std::mem::take(&mut state.spans).into_iter().partition(is_left);
        let repriced = state.spans.iter_mut().find(|row| row.trace == key(3).1.to_string()).unwrap();
        repriced.cost_total = Some(7);
        repriced.checksum += 1;
    }
    walk_to_the_end(&tables);
    assert_right(&tables, "after changes");
    {
        let mut state = tables.state();
        let all = std::mem::take(&mut state.spans);
        state.gone.extend(all);
    }
    walk_to_the_end(&tables);
    assert_right(&tables, "without any spans");
    assert!(tables.state().traces.values().all(|row| row.is_deleted == 1));
}

#[test]
fn a_visit_that_comes_before_the_delivery_is_seen_is_repeated_later() {
    let tables = Fake::default();
    let (counter, now) = (counter(&tables), Instant::now());
    let mut work = Work::new(now);
    let rows = [span(1, 1, 0, 0, "chat", 7)];
    note(&mut work.waiting, &rows, now);
    counter.visit_due(&mut work, now + Duration::from_secs(1)).now_or_never().unwrap().unwrap();
    assert!(tables.state().traces.is_empty() && work.waiting.has(&key(1)), "it waits for the replica");
    tables.state().spans.extend(rows);
    counter.visit_due(&mut work, now + Duration::from_secs(60)).now_or_never().unwrap().unwrap();
    assert_right(&tables, "once it is seen");
    assert_eq!(work.waiting.len(), 0);
}

#[test]
fn a_trace_of_which_spans_have_expired_keeps_what_was_counted_when_all_were_there() {
    let tables = all_deliveries_at_once();
    walk_to_the_end(&tables);
    let before = tables.state().traces.clone();
    let retention =
        Retention { spans: Some(crate::retention::Keep::For(Duration::from_secs(41 * 3_600))), ..Retention::default() };
    // the root of trace 1 began 42 hours ago
    tables.state().spans.retain(|row| row.span != "0101010101010101" || row.trace != key(1).1.to_string());
    let expiring = Counter { retention: Reloadable::new(retention), ..counter(&tables) };
    let look = Look { key: key(1), began: 0..=0, is_whole: false, segment: None };
    expiring.visit(vec![look]).now_or_never().unwrap().unwrap();
    assert_eq!(tables.state().traces, before);
}

#[test]
fn a_rebuild_counts_hours_with_few_spans_together() {
    let tables = all_deliveries_at_once();
    let mut told = Vec::new();
    let (now, retention) = (counter(&tables).clock.now(), Retention::default());
    let done = rebuild::rebuild(&tables, &retention, now, &(0..=i64::MAX), |done| told.push(done.hours));
    let done = done.now_or_never().unwrap().unwrap();
    assert_right(&tables, "a rebuild");
    assert_eq!((done.traces, told.last()), (3, Some(&done.hours_all)), "{done:?}");
    let statements = tables.state().clock;
    assert!(done.hours_all > 30 && statements < 30, "{statements} statements for {} hours", done.hours_all);
}
