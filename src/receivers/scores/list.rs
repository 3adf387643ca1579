//! Pages of rows: parameters to a statement, and the frame of the answer.

use super::marks::{Mark, push_after};
use crate::clickhouse::Statement;
use crate::query::answer::{Refusal, json_answer};
use crate::query::conditions::{self, Places};
use crate::query::cursor::{self, After, Cursors, PageStart};
use crate::query::filter::{self, Fields, Filter};
use crate::query::page::{Checks, Nulls, Page, answer};
use crate::query::parameters::Parameters;
use crate::query::reads::Reads;
use ::clickhouse::{Row, RowOwned, RowRead};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters that every list takes.
const PARAMETERS: [&str; 4] = ["page", "page_size", "sort", filter::NAME];
/// What a cursor keeps of a row that is sorted by one key: its value, and what decides between equals.
const KEYS: usize = 2;

/// What a list is asked for.
pub(super) struct ListQuery {
    pub(super) page: Page,
    pub(super) sort: &'static str,
    pub(super) filter: Option<Filter>,
    /// Whether filters are no more than the reference's.
    is_strict: bool,
    parameters: Parameters,
}

/// A list of one table.
pub(super) struct List {
    /// Tells its cursors from those of other lists.
    pub(super) name: &'static str,
    /// Its fields.
    pub(super) fields: Fields,
    /// Where each field is.
    pub(super) places: Places,
    /// The column of each sort.
    pub(super) column: fn(&str) -> &'static str,
    /// Orders, the default first.
    pub(super) sorts: &'static [&'static str],
    /// The column that decides between rows that are the same otherwise.
    pub(super) tie: &'static str,
}

/// A row of a list.
pub(super) trait Listed {
    /// Its value of a sort, and what decides between equals.
    fn mark(&self, sort: &str) -> (Mark, String);
}

#[derive(Debug, Row, Deserialize)]
struct Count {
    rows: u64,
}

/// Reads the parameters of a list.
pub(super) fn asked(uri: &Uri, sorts: &[&'static str], page_size: u64, is_strict: bool) -> Result<ListQuery, Refusal> {
    let parameters = parameters(uri, &["cursor"])?;
    let mut checks = Checks::new(&parameters);
    let page = checks.page(page_size);
    let sort = checks.sort(sorts);
    checks.finish()?;
    Ok(ListQuery { page, sort, filter: Filter::of(&parameters)?, is_strict, parameters })
}

/// The parameters of a list, which knows some more than all lists do.
pub(super) fn parameters(uri: &Uri, more: &[&str]) -> Result<Parameters, Refusal> {
    let known: Vec<&str> = PARAMETERS.into_iter().chain(more.iter().copied()).collect();
    only(uri, &known)
}

/// The parameters of a request, which may have these and no others.
pub(super) fn only(uri: &Uri, known: &[&str]) -> Result<Parameters, Refusal> {
    let parameters = Parameters::parse(uri.query())?;
    parameters.refuse_others(known)?;
    Ok(parameters)
}

/// The values that a cursor keeps of the last row, and the text that decides between equals.
pub(super) fn marks_of(after: &After) -> Result<(Vec<Mark>, &str), Refusal> {
    let invalid = || Refusal::bad_request("Invalid cursor");
    let (tie, marks) = after.keys.split_last().ok_or_else(invalid)?;
    let marks = marks.iter().map(|text| Mark::read(text)).collect::<Option<Vec<_>>>().ok_or_else(invalid)?;
    Ok((marks, tie))
}

/// Where the page after a row begins.
pub(super) fn after(marks: &[Mark], tie: String) -> After {
    After { at: 0, keys: marks.iter().map(Mark::written).chain([tie]).collect() }
}

impl List {
    /// Asks for a page of rows of this workspace. `select` ends before `WHERE`.
    pub(super) async fn answer<R: RowOwned + RowRead + Listed>(
        &self,
        reads: &Reads,
        (select, from): (&str, &str),
        (workspace, asked): (&str, &ListQuery),
        shown: impl Fn(&R) -> Value,
    ) -> Result<Response, Refusal> {
        let fields = Fields { is_extended: !asked.is_strict, ..self.fields };
        let condition = match &asked.filter {
            None => None,
            Some(filter) => {
                fields.check_names(filter)?;
                Some(fields.check(filter)?)
            }
        };
        let of = |select: &str| {
            let mut statement = Statement::new(&format!("SELECT {select} FROM {from} WHERE Workspace = "));
            statement.bind(workspace).push(" AND IsDeleted = 0");
            if let Some(condition) = &condition {
                statement.push(" AND ");
                conditions::push(&mut statement, condition, self.places);
            }
            statement
        };
        let sorted = Sorted { list: self.name, sort: asked.sort, column: self.column, tie: self.tie };
        Ok(json_answer(StatusCode::OK, &sorted.page(reads, asked, (select, of), Nulls::Omitted, shown).await?.into()))
    }
}

/// Rows in the order of one column.
pub(super) struct Sorted {
    /// Tells its cursors from those of other lists.
    pub(super) list: &'static str,
    pub(super) sort: &'static str,
    /// The column of each sort.
    pub(super) column: fn(&str) -> &'static str,
    /// The column that decides between rows that are the same otherwise.
    pub(super) tie: &'static str,
}

impl Sorted {
    /// The page that is asked for, by its number or by a cursor. `of` makes the statement of a list of columns.
    pub(super) async fn page<R: RowOwned + RowRead + Listed>(
        &self,
        reads: &Reads,
        asked: &ListQuery,
        (select, of): (&str, impl Fn(&str) -> Statement),
        nulls: Nulls,
        shown: impl Fn(&R) -> Value,
    ) -> Result<Map<String, Value>, Refusal> {
        let ListQuery { page, filter, parameters, .. } = asked;
        let cursors = Cursors::of(self.list, self.sort, filter.as_ref(), None);
        let begins = cursors.read(parameters, KEYS)?;
        let (key, descends) = self.sort.strip_prefix('-').map_or((self.sort, false), |key| (key, true));
        let (column, tie) = ((self.column)(key), self.tie);
        let mut rows = of(select);
        if let PageStart::After(after) = &begins {
            let (marks, name) = marks_of(after)?;
            for mark in &marks {
                push_after(&mut rows, (column, descends), mark, (tie, name));
            }
        }
        let direction = if descends { "DESC" } else { "ASC" };
        rows.push(&format!(" ORDER BY {column} {direction}, {tie} LIMIT ")).bind(page.size);
        if begins != PageStart::No {
            let rows = reads.ask::<R>(&rows).await?;
            let last = rows.last().filter(|_| page.is_full(rows.len())).map(|row| row.mark(key));
            let next = last.map(|(mark, name)| cursors.next(&after(&[mark], name)));
            let data = rows.iter().map(shown).collect();
            return Ok(cursor::answer(data, page.size, next, self.sort, filter.as_ref()));
        }
        rows.push(" OFFSET ").bind(page.offset());
        let counted = reads.ask_one::<Count>(&of("count() AS rows")).await?;
        let data = reads.ask::<R>(&rows).await?.iter().map(shown).collect();
        let total = counted.map_or(0, |count| count.rows);
        Ok(answer(data, *page, total, Some(self.sort), filter.as_ref(), nulls))
    }
}

impl ListQuery {
    /// What was read of the parameters otherwise.
    pub(super) fn new(page: Page, sort: &'static str, filter: Option<Filter>, parameters: Parameters) -> Self {
        Self { page, sort, filter, is_strict: false, parameters }
    }
}
