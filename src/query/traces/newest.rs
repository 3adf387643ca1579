//! The newest traces, looked for among the newest spans.
//!
//! ```text
//! since    when the last of as many roots as the page reaches to began
//! recent   traces with spans from then on: with a root among them they began with it, else with the first of them
//! times    when all spans of those began, whatever their workspace: most have none before `since`, and are settled
//! earlier  of the others, those that have spans before it: with a root among the recent ones they are doubtful, there may be an
//!          earlier root; without, they began before
//! ```
//!
//! The last two are asked of as many traces as the page lacks, again and again until it is full. If it is not, or a trace up to its end
//! is doubtful, all spans have to be looked at.

use super::List;
use super::row::{Id, Range};
use super::statements::spans;
use crate::clickhouse::{Parameter, Statement};
use crate::numbers::to_u64;
use crate::query::answer::Refusal;
use crate::query::conditions;
use crate::query::cursor::{After, PageStart};
use crate::query::page::Page;
use crate::query::request::NEAR;
use crate::time::UnixNanos;
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};

/// A page that begins after more traces is not looked for here.
const OFFSET_MAX: u64 = 10_000;
/// Traces with recent spans that are looked at, more than a page reaches to.
const RECENT_MAX: u64 = 20_000;
/// Ids in one statement: few cost as much as some.
const IDS_MIN: usize = 100;
const IDS_MAX: usize = 1_000;

/// How far back a page reaches.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Since {
    /// Nanoseconds since 1970.
    pub(super) since: i64,
    pub(super) roots: u64,
}

impl Since {
    /// Whether there are as many roots as the page reaches to.
    pub(super) fn is_of_all_roots(&self, page: Page, asked: &PageStart) -> bool {
        self.roots >= reach(page, asked).0
    }
}

/// A trace with spans from then on. Times are nanoseconds since 1970.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Recent {
    trace_id: String,
    started: i64,
    roots: u64,
}

/// When the spans of a trace began. Times are nanoseconds since 1970.
#[derive(Debug, Row, Deserialize)]
struct Times {
    trace_id: String,
    first: i64,
    last: i64,
}

/// A trace of those that are asked for.
#[derive(Debug, Row, Deserialize)]
struct Earlier {
    trace_id: String,
}

impl From<Recent> for Id {
    fn from(Recent { trace_id, started, .. }: Recent) -> Self {
        Self { trace_id, started, total: 0 }
    }
}

/// How many traces come before the end of the page, and when those after a cursor began at the latest.
fn reach(page: Page, asked: &PageStart) -> (u64, Option<UnixNanos>) {
    match asked {
        PageStart::No => (page.offset().saturating_add(page.size), None),
        PageStart::First => (page.size, None),
        // one root may be that of the row before
        PageStart::After(after) => (page.size.saturating_add(1), UnixNanos::from_i64(after.at)),
    }
}

/// When the last root that the page reaches to began, of those from then on.
pub(super) fn since(list: &List<'_>, page: Page, asked: &PageStart, from: Option<UnixNanos>) -> Statement {
    let (traces, until) = reach(page, asked);
    let mut statement = Statement::new(&format!(
        "SELECT toUnixTimestamp64Nano(min(at)) AS since, count() AS roots FROM (SELECT Timestamp AS at FROM {} WHERE Workspace = ",
        spans(list.api)
    ));
    statement.bind(list.workspace.as_str()).push(" AND ParentSpanId = '' AND TraceId != ''");
    if let Some(until) = until {
        statement.push(" AND Timestamp <= ").bind(until);
    }
    if let Some(from) = from {
        statement.push(" AND Timestamp >= ").bind(from);
    }
    statement.push(" ORDER BY Timestamp DESC LIMIT ").bind(traces).push(")");
    statement
}

/// The traces with spans from `since` on that come after the start of the page, in the order of the list.
pub(super) fn recent(list: &List<'_>, asked: &PageStart, since: i64) -> Statement {
    let mut statement = Statement::new(
        "SELECT TraceId AS trace_id, toUnixTimestamp64Nano(Started) AS started, roots FROM (SELECT TraceId, \
         countIf(ParentSpanId = '') AS roots, if(roots > 0, minIf(Timestamp, ParentSpanId = ''), min(Timestamp)) AS Started FROM ",
    );
    statement.push(&spans(list.api)).push(" WHERE Workspace = ").bind(list.workspace.as_str());
    statement.push(" AND Timestamp >= ").bind(Parameter::Time(since));
    if let PageStart::After(After { at, .. }) = asked {
        let until = UnixNanos::from_i64(*at).unwrap_or_default().saturating_add(NEAR);
        statement.push(" AND Timestamp <= ").bind(until);
    }
    statement.push(" AND TraceId != '' GROUP BY TraceId) WHERE true");
    if let PageStart::After(after) = asked {
        let id = after.keys.first().map(String::as_str).unwrap_or_default();
        conditions::push_after(&mut statement, "Started", true, after.at, &[("TraceId", id)]);
    }
    statement.push(" ORDER BY Started DESC, TraceId LIMIT ").bind(RECENT_MAX);
    statement
}

/// When the spans of these traces began.
fn times(list: &List<'_>, ids: &[String]) -> Statement {
    let table = list.api.reads.client().full_name("otel_traces_trace_id_ts");
    let mut statement = Statement::new(&format!(
        "SELECT TraceId AS trace_id, toUnixTimestamp64Nano(min(Start)) AS first, toUnixTimestamp64Nano(max(End)) AS last \
         FROM {table} WHERE TraceId IN "
    ));
    statement.bind(ids.to_vec()).push(" GROUP BY TraceId");
    statement
}

/// Which of these traces have spans before `since`, and from `first` on, if they have none before that.
fn earlier(list: &List<'_>, ids: &[String], (first, since): (Option<i64>, i64)) -> Statement {
    let mut statement = Statement::new("SELECT DISTINCT TraceId AS trace_id FROM ");
    statement.push(&spans(list.api)).push(" WHERE Workspace = ").bind(list.workspace.as_str());
    statement.push(" AND Timestamp < ").bind(Parameter::Time(since));
    if let Some(first) = first {
        statement.push(" AND Timestamp >= ").bind(Parameter::Time(first));
    }
    statement.push(" AND TraceId IN ").bind(ids.to_vec());
    statement
}

/// The ids of the page, and when their spans are if that is noted, if the newest spans settle it: no trace up to its end is doubtful, and it is full.
///
/// # Errors
/// If ClickHouse cannot be asked.
pub(super) async fn page(
    list: &List<'_>,
    (page, asked): (Page, &PageStart),
    since: i64,
) -> Result<Option<(Vec<Id>, Option<Range>)>, Refusal> {
    let reads = &list.api.reads;
    let recent: Vec<Recent> = reads.ask(&recent(list, asked, since)).await?;
    if to_u64(recent.len()) == RECENT_MAX {
        return Ok(None);
    }
    let Some(mut settling) = Settling::new(page, asked) else { return Ok(None) };
    let mut recent = recent.into_iter();
    let mut noted: HashMap<String, Times> = HashMap::new();
    while settling.lacks() > 0 {
        let some: Vec<Recent> = recent.by_ref().take(settling.lacks().clamp(IDS_MIN, IDS_MAX)).collect();
        if some.is_empty() {
            return Ok(None);
        }
        let ids: Vec<String> = some.iter().map(|trace| trace.trace_id.clone()).collect();
        let found: Vec<Times> = reads.ask_if_there(&times(list, &ids)).await?;
        noted.extend(found.into_iter().map(|times| (times.trace_id.clone(), times)));
        let before = before(list, ids, &noted, since).await?;
        if settling.add(some, &before).is_err() {
            return Ok(None);
        }
    }
    let ids = settling.into_page();
    let of_page: Option<Vec<&Times>> = ids.iter().map(|id| noted.get(&id.trace_id)).collect();
    let range = of_page.and_then(|times| {
        let [first, last] = [times.iter().map(|of| of.first).min()?, times.iter().map(|of| of.last).max()?];
        Some(Range { first, last, traces: to_u64(times.len()) })
    });
    Ok(Some((ids, range)))
}

/// Which of these traces have spans before `since`.
async fn before(
    list: &List<'_>,
    mut ids: Vec<String>,
    noted: &HashMap<String, Times>,
    since: i64,
) -> Result<HashSet<String>, Refusal> {
    ids.retain(|id| noted.get(id).is_none_or(|times| times.first < since));
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    // when one began may not be noted yet
    let first = ids.iter().map(|id| noted.get(id).map(|times| times.first)).min().flatten();
    let found: Vec<Earlier> = list.api.reads.ask(&earlier(list, &ids, (first, since))).await?;
    Ok(found.into_iter().map(|trace| trace.trace_id).collect())
}

/// Whether the page is near enough to be looked for here.
pub(super) fn is_near(page: Page, asked: &PageStart) -> bool {
    *asked != PageStart::No || page.offset() < OFFSET_MAX
}

/// The traces up to the end of the page, as far as they are known.
struct Settling {
    skipped: usize,
    size: usize,
    up_to_its_end: Vec<Recent>,
}

/// A trace up to the end of the page may have begun earlier.
#[derive(Debug, PartialEq, Eq)]
struct Doubtful;

impl Settling {
    fn new(page: Page, asked: &PageStart) -> Option<Self> {
        let skipped = if *asked == PageStart::No { page.offset() } else { 0 };
        let [skipped, size] = [skipped, page.size].map(usize::try_from);
        Some(Self { skipped: skipped.ok()?, size: size.ok()?, up_to_its_end: Vec::new() })
    }

    /// How many traces are still to be found.
    fn lacks(&self) -> usize {
        self.skipped.saturating_add(self.size).saturating_sub(self.up_to_its_end.len())
    }

    /// Adds the next traces in the order of the list. `before` has those of them with earlier spans.
    fn add(&mut self, recent: Vec<Recent>, before: &HashSet<String>) -> Result<(), Doubtful> {
        for trace in recent {
            if self.lacks() == 0 {
                break;
            }
            match (before.contains(&trace.trace_id), trace.roots) {
                (false, _) => self.up_to_its_end.push(trace),
                // it began before
                (true, 0) => {}
                (true, _) => return Err(Doubtful),
            }
        }
        Ok(())
    }

    fn into_page(self) -> Vec<Id> {
        self.up_to_its_end.into_iter().skip(self.skipped).map(Id::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(names: &[(&str, u64)]) -> Vec<Recent> {
        let trace = |(name, roots): &(&str, u64)| Recent { trace_id: (*name).to_owned(), started: 0, roots: *roots };
        names.iter().map(trace).collect()
    }

    fn before(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn second_page_of_two() -> Settling {
        Settling::new(Page { number: 2, size: 2 }, &PageStart::No).unwrap()
    }

    #[test]
    fn a_page_is_settled_by_the_first_traces_that_fill_it() {
        let mut settling = second_page_of_two();
        assert_eq!(settling.lacks(), 4);
        settling.add(traces(&[("a", 1), ("b", 0)]), &before(&["b"])).unwrap();
        assert_eq!(settling.lacks(), 3, "what began before is not of the page");
        settling.add(traces(&[("c", 0), ("d", 1), ("e", 1), ("doubtful", 1)]), &before(&["doubtful"])).unwrap();
        assert_eq!(settling.lacks(), 0, "what comes after the page does not matter");
        let ids: Vec<String> = settling.into_page().into_iter().map(|id| id.trace_id).collect();
        assert_eq!(ids, ["d", "e"]);
    }

    #[test]
    fn a_root_that_may_not_be_the_first_of_its_trace_leaves_the_page_open() {
        let mut settling = second_page_of_two();
        assert_eq!(settling.add(traces(&[("a", 1), ("doubtful", 1)]), &before(&["doubtful"])), Err(Doubtful));
    }

    #[test]
    fn a_page_after_a_cursor_skips_none() {
        let after = PageStart::After(After { at: 7, keys: Vec::new() });
        assert_eq!(Settling::new(Page { number: 3, size: 2 }, &after).unwrap().lacks(), 2);
    }
}
