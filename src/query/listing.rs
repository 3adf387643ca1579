//! What the lists of spans, traces, sessions and users have in common: a page by its number or by a cursor, a sort, a filter, a search.
//!
//! ```text
//! parameters -> Listing: page, sort, filter, search -> the list's own statements -> rows -> its page, with the total or the next cursor
//! ```

use super::answer::{Refusal, json_answer};
use super::conditions;
use super::cursor::{self, After, Cursors, PageStart};
use super::filter::{Condition, Fields, Filter};
use super::mode::Mode;
use super::page::{self, Checks, Nulls, Page};
use super::parameters::Parameters;
use super::q::Search;
use super::reads::Reads;
use super::request::with_search_since;
use super::total::{self, Total};
use super::windows;
use crate::clickhouse::Statement;
use crate::time::UnixNanos;
use ::clickhouse::{RowOwned, RowRead};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use std::time::Duration;

/// The newest come first unless another way is asked for.
const SORTS: [&str; 2] = ["-started_at", "started_at"];
const PAGE_SIZE: u64 = 10;
const ALWAYS: [&str; 5] = ["cursor", "filter", "page", "page_size", "sort"];

/// A list, whoever asks for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListSpec {
    /// Tells its cursors from those of other lists.
    pub(super) name: &'static str,
    /// What it may be filtered by.
    pub(super) fields: Fields,
    /// How much of a row it answers when nobody says; `None`: it has one way to answer, and takes no `mode`.
    pub(super) mode: Option<Mode>,
    /// Whether it takes `q`.
    pub(super) is_searched: bool,
    /// By how many keys it is sorted beside the time.
    pub(super) keys: usize,
}

/// What is asked of a list.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) page: Page,
    pub(super) sort: &'static str,
    /// How much of a row is answered.
    pub(super) mode: Mode,
    pub(super) filter: Option<Filter>,
    pub(super) search: Option<Search>,
    parameters: Parameters,
    cursors: Cursors,
    keys: usize,
}

impl Listing {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// 400 and 422 that name what is wrong.
    pub(super) fn read(query: Option<&str>, kind: ListSpec, now: UnixNanos) -> Result<Self, Refusal> {
        let parameters = Parameters::parse(query)?;
        let filter = Filter::of(&parameters)?;
        filter.as_ref().map_or(Ok(()), |filter| kind.fields.check_names(filter))?;
        let mut checks = Checks::new(&parameters);
        let (page, sort) = (checks.page(PAGE_SIZE), checks.sort(&SORTS));
        let mode = match kind.mode {
            Some(usual) => Mode::read(&mut checks).unwrap_or(usual),
            None => Mode::Detailed,
        };
        checks.finish()?;
        let own = [("mode", kind.mode.is_some()), ("q", kind.is_searched)];
        let own = own.into_iter().filter_map(|(name, is_taken)| is_taken.then_some(name));
        parameters.refuse_others(&ALWAYS.into_iter().chain(own).collect::<Vec<_>>())?;
        let search = if kind.is_searched { Search::of(&parameters, now)? } else { None };
        let cursors = Cursors::of(kind.name, sort, filter.as_ref(), search.as_ref());
        Ok(Self { page, sort, mode, filter, search, parameters, cursors, keys: kind.keys })
    }

    /// Whether the newest come first.
    pub(super) fn is_descending(&self) -> bool {
        self.sort.starts_with('-')
    }

    /// The rows of a page, asked for by one condition after the other until it is full.
    ///
    /// # Errors
    /// If ClickHouse cannot be asked.
    pub(super) async fn find<R: RowOwned + RowRead>(
        &self,
        reads: &Reads,
        conditions: &[Condition],
        statement: impl Fn(&Condition) -> Statement + Send + Sync,
    ) -> Result<Vec<R>, Refusal> {
        let mut rows = Vec::new();
        for condition in conditions {
            rows = reads.ask(&statement(condition)).await?;
            if self.page.is_full(rows.len()) {
                break;
            }
        }
        Ok(rows)
    }

    /// Adds where a page begins, its order by the time and then by these columns, which ascend, and how many rows it has.
    pub(super) fn push_page(&self, statement: &mut Statement, start: &PageStart, time: &str, keys: &[&'static str]) {
        if let PageStart::After(After { at, keys: values }) = start {
            let keys: Vec<_> = keys.iter().copied().zip(values.iter().map(String::as_str)).collect();
            conditions::push_after(statement, time, self.is_descending(), *at, &keys);
        }
        let way = if self.is_descending() { " DESC" } else { "" };
        statement.push(&format!(" ORDER BY {time}{way}, {} LIMIT ", keys.join(", "))).bind(self.page.size);
        if *start == PageStart::No {
            statement.push(" OFFSET ").bind(self.page.offset());
        }
    }

    /// The conditions by which a page is looked for, one after the other (`windows.rs`).
    pub(super) fn windows(
        &self,
        condition: &Condition,
        start: &PageStart,
        lengths: &[Duration],
        now: UnixNanos,
    ) -> Vec<Condition> {
        windows::of(condition, self.search.as_ref(), (start, self.is_descending()), lengths, now)
    }

    /// Where the page begins.
    ///
    /// # Errors
    /// 400 if the cursor is none of this list.
    pub(super) fn asked(&self) -> Result<PageStart, Refusal> {
        self.cursors.read(&self.parameters, self.keys)
    }

    /// The page as it is answered: `data` of `rows`. How many there are is asked only if the page does not say so.
    ///
    /// # Errors
    /// If ClickHouse cannot be asked.
    pub(super) async fn answer<R>(
        &self,
        (reads, condition, asked): (&Reads, &Condition, &PageStart),
        (data, rows): (Vec<Value>, &[R]),
        count: impl FnOnce() -> Total + Send,
        after: impl Fn(&R) -> After + Send,
    ) -> Result<Response, Refusal>
    where
        R: Sync,
    {
        let (page, filter) = (self.page, self.filter.as_ref());
        let answer = if *asked == PageStart::No {
            let total = match total::known(page, rows.len()) {
                Some(total) => total,
                None => match count() {
                    Total::Known(total) => total,
                    Total::ToAsk(statement) => total::ask(reads, &statement).await?,
                },
            };
            page::answer(data, page, total, Some(self.sort), filter, Nulls::Omitted)
        } else {
            let next = rows.last().filter(|_| page.is_full(rows.len())).map(|row| self.cursors.next(&after(row)));
            cursor::answer(data, page.size, next, self.sort, filter)
        };
        Ok(json_answer(StatusCode::OK, &with_search_since(answer, condition, self.search.as_ref())))
    }
}
