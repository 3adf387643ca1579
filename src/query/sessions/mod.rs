//! `GET /sessions`, `/sessions/{session_id}`.
//!
//! The list is of sessions with GenAI spans, made of what was counted of their traces; one session is made of its spans, of whatever
//! kind, and of the calls in it, each counted once.

mod fields;
mod row;
mod statements;

use super::answer::{Refusal, json_answer};
use super::cursor::{self, After, Asked, Cursors};
use super::filter::{Condition, Filter};
use super::page::{self, Checks, Nulls};
use super::parameters::Parameters;
use super::q::Search;
use super::request::{Api, with_search, workspace};
use super::sums::Sums;
use super::total;
use crate::workspace::Workspace;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use row::{Listed, Spans};
use serde_json::Value;
use std::sync::Arc;

const SORTS: [&str; 2] = ["-started_at", "started_at"];
const PAGE_SIZE: u64 = 10;

/// `GET /sessions`
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = Parameters::parse(query.as_deref())?;
    let filter = Filter::of(&parameters)?;
    filter.as_ref().map_or(Ok(()), |filter| fields::FIELDS.check_names(filter))?;
    let mut checks = Checks::new(&parameters);
    let (page, sort) = (checks.page(PAGE_SIZE), checks.sort(&SORTS));
    checks.finish()?;
    parameters.refuse_others(&["cursor", "filter", "page", "page_size", "q", "sort"])?;
    let search = Search::of(&parameters, api.reads.clock.now())?;
    let condition = filter.as_ref().map(|filter| fields::FIELDS.check(filter)).transpose()?;
    let condition = Condition::All(condition.into_iter().collect());
    let cursors = Cursors::of("sessions", sort, filter.as_ref(), search.as_ref());
    let asked = cursors.read(&parameters, 1)?;
    let list = List { api: &api, workspace: &workspace, condition: &condition, search: search.as_ref(), sort };
    let rows: Vec<Listed> = api.reads.ask(&statements::page(&list, page, &asked)).await?;
    let data: Vec<Value> = rows.iter().map(|row| row.to_json(&workspace)).collect();
    let answer = if asked == Asked::No {
        let total = match total::known(page, rows.len()) {
            Some(total) => total,
            None => total::ask(&api.reads, &statements::count(&list)).await?,
        };
        page::answer(data, page, total, Some(sort), filter.as_ref(), Nulls::Omitted)
    } else {
        let after = |row: &Listed| cursors.next(&After { at: row.started, keys: vec![row.session_id.clone()] });
        let next = rows.last().filter(|_| page.is_full(rows.len())).map(after);
        cursor::answer(data, page.size, next, sort, filter.as_ref())
    };
    Ok(json_answer(StatusCode::OK, &with_search(answer, search.as_ref())))
}

/// `GET /sessions/{session_id}`
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let spans: Option<Spans> = api.reads.ask_one(&statements::spans(&api, &workspace, &id)).await?;
    let not_found = || Refusal::not_found(&format!("Session {}/{id} not found", workspace.as_str()));
    let spans = spans.filter(|spans| spans.spans > 0).ok_or_else(not_found)?;
    let sums: Option<Sums> = api.reads.ask_one(&statements::sums(&api, &workspace, &id)).await?;
    Ok(json_answer(StatusCode::OK, &spans.to_json(&id, &workspace, sums.as_ref())))
}

/// What a list is of.
struct List<'a> {
    api: &'a Api,
    workspace: &'a Workspace,
    condition: &'a Condition,
    search: Option<&'a Search>,
    sort: &'static str,
}
