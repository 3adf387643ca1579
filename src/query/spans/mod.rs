//! `GET /spans`, `/spans/{span_id}`, `/spans/groups`.
//!
//! ```text
//! a list   ids of the page, by light columns, newest hour first -> how many there are -> the rows of those ids, within their times
//! one      the newest row with that id
//! groups   counted by trace, session or both
//! ```

mod fields;
mod groups;
mod row;
mod statements;

pub(super) use groups::list as groups;
pub(super) use row::ended;

use super::answer::{Refusal, json_answer};
use super::cursor::{self, After, Asked, Cursors};
use super::filter::{Condition, Filter};
use super::mode::Mode;
use super::page::{self, Checks, Nulls};
use super::parameters::Parameters;
use super::q::Search;
use super::request::{Api, with_search, workspace};
use super::total;
use crate::chat::span_of_text;
use crate::workspace::Workspace;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use row::{Key, SpanRow};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

const SORTS: [&str; 2] = ["-started_at", "started_at"];
const PAGE_SIZE: u64 = 10;

/// `GET /spans`
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = Parameters::parse(query.as_deref())?;
    let filter = Filter::of(&parameters)?;
    filter.as_ref().map_or(Ok(()), |filter| fields::of(&api).check_names(filter))?;
    let mut checks = Checks::new(&parameters);
    let (page, sort) = (checks.page(PAGE_SIZE), checks.sort(&SORTS));
    let mode = Mode::read(&mut checks).unwrap_or(Mode::Detailed);
    checks.finish()?;
    parameters.refuse_others(&["cursor", "filter", "mode", "page", "page_size", "q", "sort"])?;
    let search = Search::of(&parameters, api.reads.clock.now())?;
    let condition = fields::condition(&api, filter.as_ref(), search.as_ref())?;
    let cursors = Cursors::of("spans", sort, filter.as_ref(), search.as_ref());
    let asked = cursors.read(&parameters, 2)?;
    let list = List { api: &api, workspace: &workspace, condition: &condition, search: search.as_ref() };
    let keys: Vec<Key> = api.reads.ask(&statements::page(&list, page, sort, &asked)).await?;
    let data = rows(&api, &workspace, &keys, mode).await?;
    let answer = if asked == Asked::No {
        let total = match total::known(page, keys.len()) {
            Some(total) => total,
            None => total::ask(&api.reads, &statements::count(&list)).await?,
        };
        page::answer(data, page, total, Some(sort), filter.as_ref(), Nulls::Omitted)
    } else {
        let after = |key: &Key| After { at: key.started, keys: vec![key.span_id.clone(), key.trace_id.clone()] };
        let next = keys.last().filter(|_| page.is_full(keys.len())).map(|key| cursors.next(&after(key)));
        cursor::answer(data, page.size, next, sort, filter.as_ref())
    };
    Ok(json_answer(StatusCode::OK, &with_search(answer, search.as_ref())))
}

/// `GET /spans/{span_id}`
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let not_found = || Refusal::not_found(&format!("Span {}/{id} not found", workspace.as_str()));
    let span = span_of_text(&id).ok_or_else(not_found)?;
    let table = statements::Table::of(&api);
    let key: Option<Key> = api.reads.ask_one(&statements::find(&table, &workspace, span)).await?;
    let key = key.ok_or_else(not_found)?;
    let data = rows(&api, &workspace, &[key], Mode::Detailed).await?;
    let span = data.into_iter().next().ok_or_else(not_found)?;
    Ok(json_answer(StatusCode::OK, &span))
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

#[cfg(test)]
mod tests {
    use super::total;
    use crate::query::page::Page;

    #[test]
    fn a_short_page_tells_how_many_there_are() {
        let page = |number| Page { number, size: 10 };
        assert_eq!(total::known(page(1), 0), Some(0));
        assert_eq!(total::known(page(1), 10), None, "there may be more");
        assert_eq!(total::known(page(3), 4), Some(24));
        assert_eq!(total::known(page(3), 0), None, "it may be far past the end");
    }
}
