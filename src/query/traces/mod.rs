//! `GET /traces`, `/traces/{trace_id}`, and what else is told of a trace.
//!
//! ```text
//! a list   traces of the page, by when their root, or else their first span, began -> how many there are
//!          -> their times -> what their roots say, and sums of their calls, each counted once
//! ```
//!
//! A trace without a root is told by its first span, and `is_orphan` says so.

mod conversation;
mod cost;
mod export;
mod facets;
mod fields;
mod histogram;
mod metrics;
mod newest;
mod range;
mod row;
mod statements;
mod tree;

pub(super) use conversation::{conversation, of_session as session_conversation};
pub(super) use cost::cost;
pub(super) use export::export;
pub(super) use facets::facets;
pub(super) use histogram::histogram;
pub(super) use metrics::metrics;
pub(super) use statements::push_where;
pub(super) use tree::tree;

use super::answer::{Refusal, json_answer};
use super::conditions::trace_id;
use super::cursor::{After, PageStart};
use super::filter::Condition;
use super::listing::{ListSpec, Listing};
use super::mode::Mode;
use super::page::{Checks, Page};
use super::parameters::Parameters;
use super::q::{Level, Search};
use super::request::{Api, bounds, has_index, workspace};
use super::sums::Sums;
use super::total::Total;
use super::windows::LENGTHS;
use crate::numbers::to_u64;
use crate::workspace::Workspace;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use export::Format;
use row::{Head, Id, OfSession, Range};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// `GET /traces`
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let kind =
        ListSpec { name: "traces", fields: fields::of(&api), mode: Some(Mode::Preview), is_searched: true, keys: 1 };
    let listing = Listing::read(query.as_deref(), kind, api.reads.clock.now())?;
    let search = listing.search.as_ref();
    let condition = api.bounded(fields::condition(&api, listing.filter.as_ref(), search)?, search, Level::Trace);
    let asked = listing.asked()?;
    let list = List { api: &api, workspace: &workspace, condition: &condition, search, within: None };
    let within = within(&list).await?;
    let list = List { within: within.as_ref(), ..list };
    let (ids, range) = ids(&list, &listing, &asked).await?;
    let found = Found { ids: ids.iter().map(|id| id.trace_id.clone()).collect(), range };
    let data = rows(&api, &workspace, found, listing.mode).await?;
    let after = |id: &Id| After { at: id.started, keys: vec![id.trace_id.clone()] };
    let count = || Total::told(ids.first().map(|id| id.total), || statements::count(&list));
    listing.answer((&api.reads, &condition, &asked), (data, &ids), count, after).await
}

/// `GET /traces/{trace_id}`
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path((name, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = Parameters::parse(query.as_deref())?;
    let mut checks = Checks::new(&parameters);
    let mode = Mode::read(&mut checks).unwrap_or(Mode::Detailed);
    checks.finish()?;
    let data = rows(&api, &workspace, Found { ids: vec![trace_id(&id)], range: None }, mode).await?;
    if let (true, Some((id, format))) = (data.is_empty(), Format::of_suffix(&id)) {
        return export::file(&api, &workspace, id, format).await;
    }
    let not_found = || Refusal::not_found(&format!("Trace {}/{id} not found", workspace.as_str()));
    let trace = data.into_iter().next().ok_or_else(not_found)?;
    Ok(json_answer(StatusCode::OK, &trace))
}

/// What a list is of.
struct List<'a> {
    api: &'a Api,
    workspace: &'a Workspace,
    condition: &'a Condition,
    search: Option<&'a Search>,
    /// The traces that those of the list are among, if they were found before.
    within: Option<&'a Found>,
}

impl List<'_> {
    /// Whether nothing is asked of a trace.
    fn is_of_all(&self) -> bool {
        self.condition.needed().is_empty() && self.search.is_none()
    }
}

/// More traces than this are not looked for before the list is read.
const WITHIN_MAX: u64 = 1_000;

/// Traces, and when their spans are, if that was found with them.
struct Found {
    ids: Vec<String>,
    range: Option<Range>,
}

/// The traces of the session that the list is of, if it is of one: each of them is then read where it is, and not looked for in all days.
async fn within(list: &List<'_>) -> Result<Option<Found>, Refusal> {
    let session = list.condition.needed().into_iter().find_map(|needed| match needed {
        Condition::Is("session_id", session) => Some(session),
        _ => None,
    });
    let Some(session) = session else { return Ok(None) };
    let found: Vec<OfSession> = list.api.reads.ask(&statements::of_session(list, session, WITHIN_MAX)).await?;
    if to_u64(found.len()) == WITHIN_MAX {
        return Ok(None);
    }
    let ids: Vec<String> = found.into_iter().map(|trace| trace.trace_id).collect();
    let range = if ids.is_empty() { None } else { range(list.api, &ids).await? };
    Ok(Some(Found { ids, range }))
}

/// The ids of a page, and when their spans are, if that was found with them. The newest traces are looked for among the newest spans;
/// where that does not settle it, among all.
async fn ids(list: &List<'_>, listing: &Listing, asked: &PageStart) -> Result<(Vec<Id>, Option<Range>), Refusal> {
    let (reads, page) = (&list.api.reads, listing.page);
    let is_counted = *asked == PageStart::No && !list.is_of_all();
    // what has an index needs no bound, and what is counted is looked at as a whole
    let is_found_at_once = list.within.is_some() || has_index(list.condition, Level::Trace);
    let lengths = if is_counted || is_found_at_once { &[] } else { LENGTHS.as_slice() };
    let windows = listing.windows(list.condition, asked, lengths, reads.clock.now());
    if listing.is_descending()
        && list.is_of_all()
        && newest::is_near(page, asked)
        && let Some(since) = since(list, (page, asked), &windows).await?
        && let Some(found) = newest::page(list, (page, asked), since).await?
    {
        return Ok(found);
    }
    let statement = |condition: &Condition| statements::page(&List { condition, ..*list }, listing, asked, is_counted);
    Ok((listing.find(reads, &windows, statement).await?, None))
}

/// When the last root began that the page reaches to, or the first one there is.
async fn since(
    list: &List<'_>,
    (page, asked): (Page, &PageStart),
    windows: &[Condition],
) -> Result<Option<i64>, Refusal> {
    let mut since = None;
    for condition in windows {
        let (from, _) = bounds(condition, None);
        let found: Option<newest::Since> = list.api.reads.ask_one(&newest::since(list, page, asked, from)).await?;
        since = found.as_ref().filter(|found| found.roots > 0).map(|found| found.since);
        if found.is_some_and(|found| found.is_of_all_roots(page, asked)) {
            break;
        }
    }
    Ok(since)
}

/// When these traces are, if that is known of each: the times of older ones are noted only some time after the table is there.
pub(in crate::query) async fn range(api: &Api, ids: &[String]) -> Result<Option<Range>, Refusal> {
    let found: Vec<Range> = api.reads.ask_if_there(&statements::range(api, ids)).await?;
    Ok(found.into_iter().next().filter(|range| usize::try_from(range.traces) == Ok(ids.len())))
}

/// These traces, in their order. One that has gone meanwhile is left out.
async fn rows(api: &Api, workspace: &Workspace, found: Found, mode: Mode) -> Result<Vec<Value>, Refusal> {
    let ids = found.ids;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let range = if found.range.is_some() { found.range } else { range(api, &ids).await? };
    let range = range.as_ref();
    let heads: Vec<Head> = api.reads.ask(&statements::heads(api, workspace, &ids, range, mode)).await?;
    let sums: Vec<Sums> = match mode {
        Mode::Summary => Vec::new(),
        Mode::Preview | Mode::Detailed => api.reads.ask(&statements::sums(api, workspace, &ids, range)).await?,
    };
    let mut heads: HashMap<String, Head> = heads.into_iter().map(|head| (head.trace_id.clone(), head)).collect();
    let sums: HashMap<String, Sums> = sums.into_iter().map(|sums| (sums.trace_id.clone(), sums)).collect();
    let one = |id: &String| Some(heads.remove(id)?.to_json(workspace, sums.get(id), mode));
    Ok(ids.iter().filter_map(one).collect())
}
