//! `GET /spans`, `/spans/{span_id}`, `/spans/groups`.
//!
//! ```text
//! a list   ids of the page, by light columns, where it begins first -> how many there are -> the rows of those ids, within their times
//! one      the newest row with that id, looked for in the last hour first
//! groups   counted by trace, session or both
//! ```

mod fields;
mod groups;
mod row;
mod statements;

pub(super) use groups::list as groups;
pub(super) use row::ended;

use super::answer::{Refusal, json_answer};
use super::conditions::{self, trace_id};
use super::cursor::{After, PageStart};
use super::filter::{Condition, Fields};
use super::listing::{ListSpec, Listing};
use super::mode::Mode;
use super::parameters::Parameters;
use super::q::{Level, Search};
use super::request::{Api, has_index, workspace};
use super::total::Total;
use super::windows::LENGTHS;
use crate::chat::span_of_text;
use crate::clickhouse::Statement;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use row::{Key, SpanRow};
use serde_json::Value;
use statements::Within;
use std::collections::HashMap;
use std::sync::Arc;

/// `GET /spans`
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let listing = Listing::read(query.as_deref(), kind(fields::of(&api)), api.reads.clock.now())?;
    let search = listing.search.as_ref();
    let condition = api.bounded(fields::condition(&api, listing.filter.as_ref(), search)?, search, Level::Span);
    let asked = listing.asked()?;
    let list = List { api: &api, workspace: &workspace, condition: &condition, search };
    let keys = page(&list, &listing, &asked).await?;
    let data = rows(&api, &workspace, &keys, listing.mode).await?;
    let after = |key: &Key| After { at: key.started, keys: vec![key.span_id.clone(), key.trace_id.clone()] };
    listing
        .answer((&api.reads, &condition, &asked), (data, &keys), || Total::ToAsk(statements::count(&list)), after)
        .await
}

/// What a query string asks of the list of spans, as a condition and how many values it has: without a service.
///
/// # Errors
/// 400 or 422 that say what is wrong.
pub fn asked_of_spans(query: &str, now: UnixNanos) -> Result<(String, usize), Refusal> {
    let listing = Listing::read(Some(query), kind(fields::ALL), now)?;
    let condition = listing.filter.as_ref().map(|filter| fields::ALL.check(filter)).transpose()?;
    let mut statement = Statement::default();
    conditions::push(&mut statement, &Condition::All(condition.into_iter().collect()), fields::place);
    if let PageStart::After(After { at, keys }) = listing.asked()? {
        let keys: Vec<(&str, &str)> = KEYS.into_iter().zip(keys.iter().map(String::as_str)).collect();
        conditions::push_after(&mut statement, "Timestamp", listing.is_descending(), at, &keys);
    }
    Ok((statement.sql().to_owned(), statement.parameters().len()))
}

/// The ids of a page.
async fn page(list: &List<'_>, listing: &Listing, asked: &PageStart) -> Result<Vec<Key>, Refusal> {
    let reads = &list.api.reads;
    // an index needs no bound
    let lengths = if has_index(list.condition, Level::Span) { &[] } else { LENGTHS.as_slice() };
    let windows = listing.windows(list.condition, asked, lengths, reads.clock.now());
    listing.find(reads, &windows, |condition| statements::page(&List { condition, ..*list }, listing, asked)).await
}

/// What the list of spans is sorted by beside the time.
const KEYS: [&str; 2] = ["SpanId", "TraceId"];

fn kind(fields: Fields) -> ListSpec {
    ListSpec { name: "spans", fields, mode: Some(Mode::Detailed), is_searched: true, keys: KEYS.len() }
}

/// The times in which a span is looked for by its id alone, which has no index, one after the other: the newest first, since most that
/// are asked for are recent, and none is read twice.
fn places(now: UnixNanos) -> Vec<Within<'static>> {
    let [hour, day, days] = LENGTHS.map(|length| Some(now.saturating_sub(length)));
    let times = [(hour, None), (day, hour), (days, day), (None, days)];
    times.into_iter().map(|(since, until)| Within::Times { since, until }).collect()
}

/// `GET /spans/{span_id}`, with `trace_id` in one trace.
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path((name, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let not_found = || Refusal::not_found(&format!("Span {}/{id} not found", workspace.as_str()));
    let span = span_of_text(&id).ok_or_else(not_found)?;
    let table = statements::Table::of(&api);
    let parameters = Parameters::parse(query.as_deref())?;
    let trace = parameters.get("trace_id").filter(|trace| !trace.is_empty()).map(trace_id);
    let places = trace.as_deref().map_or_else(|| places(api.reads.clock.now()), |trace| vec![Within::Trace(trace)]);
    let mut key: Option<Key> = None;
    for within in places {
        key = api.reads.ask_one(&statements::find(&table, &workspace, span, within)).await?;
        if key.is_some() {
            break;
        }
    }
    let key = key.ok_or_else(not_found)?;
    let data = rows(&api, &workspace, &[key], Mode::Detailed).await?;
    let span = data.into_iter().next().ok_or_else(not_found)?;
    Ok(json_answer(StatusCode::OK, &span))
}

/// The spans of these traces with these ids and times, in this order, as `GET /spans/{span_id}` answers each.
pub(super) async fn of_keys<'k>(
    api: &Api,
    workspace: &Workspace,
    keys: impl Iterator<Item = (&'k str, &'k str, i64)>,
) -> Result<Vec<Value>, Refusal> {
    let key = |(trace, span, started): (&str, &str, i64)| Key {
        trace_id: trace.to_owned(),
        span_id: span.to_owned(),
        started,
    };
    rows(api, workspace, &keys.map(key).collect::<Vec<_>>(), Mode::Detailed).await
}

/// What a list is of.
pub(super) struct List<'a> {
    pub(super) api: &'a Api,
    pub(super) workspace: &'a Workspace,
    pub(super) condition: &'a Condition,
    pub(super) search: Option<&'a Search>,
}

/// The rows of these ids, in their order. One that has gone meanwhile is left out.
async fn rows(api: &Api, workspace: &Workspace, keys: &[Key], mode: Mode) -> Result<Vec<Value>, Refusal> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let statement = statements::rows(&statements::Table::of(api), workspace, keys, mode);
    let found: Vec<SpanRow> = api.reads.ask(&statement).await?;
    let mut by_key: HashMap<Key, Vec<SpanRow>> = HashMap::new();
    for row in found {
        by_key.entry(row.key()).or_default().push(row);
    }
    let mut take = |key: &Key| by_key.get_mut(key).and_then(Vec::pop);
    Ok(keys.iter().filter_map(|key| Some(take(key)?.to_json(workspace, mode))).collect())
}
