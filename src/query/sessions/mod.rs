//! `GET /sessions`, `/sessions/{session_id}`.
//!
//! The list is of sessions with GenAI spans, made of what was counted of their traces; one session is made of its spans, of whatever
//! kind, and of the calls in it, each counted once.

mod fields;
mod row;
mod statements;

pub(super) use row::Times;

use super::answer::{Refusal, json_answer};
use super::cursor::PageStart;
use super::filter::Condition;
use super::found::{Found, Key};
use super::listing::{ListSpec, Listing};
use super::q::Level;
use super::request::{Api, workspace};
use super::sums::Sums;
use super::total::Total;
use crate::workspace::Workspace;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use row::{Listed, Spans};
use std::sync::Arc;

/// `GET /sessions`
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let kind = ListSpec { name: "sessions", fields: fields::FIELDS, mode: None, is_searched: true, keys: 1 };
    let listing = Listing::read(query.as_deref(), kind, api.reads.clock.now())?;
    let condition = listing.filter.as_ref().map(|filter| fields::FIELDS.check(filter)).transpose()?;
    let condition = Condition::All(condition.into_iter().collect());
    let condition = api.bounded(condition, listing.search.as_ref(), Level::Session);
    let asked = listing.asked()?;
    let list = List { api: &api, workspace: &workspace, condition: &condition, listing: &listing };
    let found = found(&list, &asked).await?;
    let rows = || statements::rows(&list, &found);
    let sessions = found.rows(&api.reads, rows, |session: &Listed| &session.session_id).await?;
    let data = sessions.iter().map(|session| session.to_json(&workspace)).collect();
    let count = || Total::told(found.total(), || statements::count(&list));
    listing.answer((&api.reads, &condition, &asked), (data, found.keys()), count, Key::after).await
}

/// The sessions of a page.
async fn found(list: &List<'_>, asked: &PageStart) -> Result<Found, Refusal> {
    let (reads, listing) = (&list.api.reads, list.listing);
    // what is counted is looked at as a whole
    let lengths = if *asked == PageStart::No { &[] } else { statements::LENGTHS };
    let windows = listing.windows(list.condition, asked, lengths, reads.clock.now());
    let statement = |condition: &Condition| statements::page(&List { condition, ..*list }, asked);
    Ok(Found::of(listing.find(reads, &windows, statement).await?))
}

/// `GET /sessions/{session_id}`
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let not_found = || Refusal::not_found(&format!("Session {}/{id} not found", workspace.as_str()));
    let times = times(&api, &workspace, &id).await?.ok_or_else(not_found)?;
    let spans: Option<Spans> = api.reads.ask_one(&statements::spans(&api, &workspace, &id, &times)).await?;
    let spans = spans.filter(|spans| spans.spans > 0).ok_or_else(not_found)?;
    let sums: Option<Sums> = api.reads.ask_one(&statements::sums(&api, &workspace, &id, &times)).await?;
    Ok(json_answer(StatusCode::OK, &spans.to_json(&id, &workspace, sums.as_ref())))
}

/// When the spans of a session began, which bounds every further read of them; nothing if there are none.
pub(super) async fn times(api: &Api, workspace: &Workspace, id: &str) -> Result<Option<Times>, Refusal> {
    let times: Option<Times> = api.reads.ask_one(&statements::times(api, workspace, id)).await?;
    Ok(times.filter(|times| times.spans > 0))
}

/// What a list is of.
struct List<'a> {
    api: &'a Api,
    workspace: &'a Workspace,
    condition: &'a Condition,
    listing: &'a Listing,
}
