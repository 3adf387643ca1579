//! The newest traces, looked for among the newest spans.
//!
//! ```text
//! since   when the last of as many roots as the page reaches to began
//! page    traces that began from then on: of the spans from then on, by trace
//!           with a root among them       began with it, unless it has earlier spans too: doubtful, there may be an earlier root
//!           without                      began with its first span, unless it has earlier spans: then it began before
//! ```
//!
//! If the page is not full then, or a trace up to its end is doubtful, all spans have to be looked at.

use super::List;
use super::row::Id;
use super::statements::spans;
use crate::clickhouse::Statement;
use crate::query::conditions;
use crate::query::cursor::PageStart;
use crate::query::page::Page;
use crate::query::request::NEAR;
use crate::time::UnixNanos;
use ::clickhouse::Row;
use serde::Deserialize;

/// A page that begins after more traces is not looked for here.
const OFFSET_MAX: u64 = 10_000;

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

/// A trace that began from then on.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Found {
    trace_id: String,
    started: i64,
    is_doubtful: bool,
}

impl From<Found> for Id {
    fn from(Found { trace_id, started, .. }: Found) -> Self {
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

/// The traces up to the end of the page, of those that began from `since` on.
pub(super) fn page(list: &List<'_>, page: Page, asked: &PageStart, since: i64) -> Statement {
    let table = spans(list.api);
    let times = list.api.reads.client().full_name("otel_traces_trace_id_ts");
    let (_, until) = reach(page, asked);
    let mut statement = Statement::default();
    let workspace = statement.place(list.workspace.as_str());
    let since = statement.place(UnixNanos::from_i64(since).unwrap_or_default());
    let upper = until
        .map_or_else(String::new, |until| format!(" AND Timestamp <= {}", statement.place(until.saturating_add(NEAR))));
    let recent =
        format!("FROM {table} WHERE Workspace = {workspace} AND Timestamp >= {since}{upper} AND TraceId != ''");
    let earlier = format!(
        "SELECT TraceId FROM {table} WHERE Workspace = {workspace} AND Timestamp < {since} AND TraceId IN \
         (SELECT TraceId FROM {times} WHERE Start < {since} AND TraceId IN (SELECT TraceId {recent}))"
    );
    statement.push(&format!(
        "SELECT TraceId AS trace_id, toUnixTimestamp64Nano(Started) AS started, has_earlier AS is_doubtful FROM \
         (SELECT TraceId, countIf(ParentSpanId = '') AS roots, \
         if(roots > 0, minIf(Timestamp, ParentSpanId = ''), min(Timestamp)) AS Started, \
         CAST(TraceId IN ({earlier}), 'Bool') AS has_earlier {recent} GROUP BY TraceId) WHERE (roots > 0 OR NOT has_earlier)"
    ));
    if let PageStart::After(after) = asked {
        let id = after.keys.first().map(String::as_str).unwrap_or_default();
        conditions::push_after(&mut statement, "Started", true, after.at, &[("TraceId", id)]);
    }
    let rows = if *asked == PageStart::No { page.offset().saturating_add(page.size) } else { page.size };
    statement.push(" ORDER BY Started DESC, TraceId LIMIT ").bind(rows);
    statement
}

/// Whether the page is near enough to be looked for here.
pub(super) fn is_near(page: Page, asked: &PageStart) -> bool {
    *asked != PageStart::No || page.offset() < OFFSET_MAX
}

/// The ids of the page, if what was found settles it: no trace up to its end is doubtful, and it is full.
pub(super) fn settled(found: Vec<Found>, page: Page, asked: &PageStart) -> Option<Vec<Id>> {
    if found.iter().any(|trace| trace.is_doubtful) {
        return None;
    }
    let before = if *asked == PageStart::No { usize::try_from(page.offset()).ok()? } else { 0 };
    let ids: Vec<Id> = found.into_iter().skip(before).map(Id::from).collect();
    page.is_full(ids.len()).then_some(ids)
}
