//! Pages of rows: parameters to a statement, and the frame of the answer.

use crate::clickhouse::Statement;
use crate::query::answer::{Refusal, json_answer};
use crate::query::filter::{self, Condition, Fields, Filter};
use crate::query::page::{Checks, Nulls, Page, answer};
use crate::query::parameters::Parameters;
use crate::query::reads::Reads;
use ::clickhouse::{Row, RowOwned, RowRead};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

/// Parameters that every list takes.
const PARAMETERS: [&str; 4] = ["page", "page_size", "sort", filter::NAME];

/// What a list is asked for.
pub(super) struct Asked {
    pub(super) page: Page,
    pub(super) sort: &'static str,
    pub(super) filter: Option<Filter>,
}

/// A list of one table.
pub(super) struct List {
    /// Its fields.
    pub(super) fields: Fields,
    /// The column of each field.
    pub(super) column: fn(&str) -> &'static str,
    /// Orders, the default first.
    pub(super) sorts: &'static [&'static str],
    /// The column that decides between rows that are the same otherwise.
    pub(super) tie: &'static str,
}

#[derive(Debug, Row, Deserialize)]
struct Count {
    rows: u64,
}

/// Reads the parameters of a list.
pub(super) fn asked(uri: &Uri, sorts: &[&'static str], page_size: u64) -> Result<Asked, Refusal> {
    let parameters = parameters(uri)?;
    let mut checks = Checks::new(&parameters);
    let page = checks.page(page_size);
    let sort = checks.sort(sorts);
    checks.finish()?;
    Ok(Asked { page, sort, filter: Filter::of(&parameters)? })
}

/// The parameters of a list that knows no others.
pub(super) fn parameters(uri: &Uri) -> Result<Parameters, Refusal> {
    let parameters = Parameters::parse(uri.query())?;
    parameters.refuse_others(&PARAMETERS)?;
    Ok(parameters)
}

impl List {
    /// Asks for a page of rows of this workspace. `select` ends before `WHERE`.
    pub(super) async fn answer<R: RowOwned + RowRead>(
        &self,
        reads: &Reads,
        (select, from): (&str, &str),
        (workspace, asked): (&str, &Asked),
        shown: impl Fn(R) -> Value,
    ) -> Result<Response, Refusal> {
        let condition = match &asked.filter {
            None => None,
            Some(filter) => {
                self.fields.check_names(filter)?;
                Some(self.fields.check(filter)?)
            }
        };
        let of = |select: &str| {
            let mut statement = Statement::new(&format!("SELECT {select} FROM {from} WHERE Workspace = "));
            statement.bind(workspace).push(" AND IsDeleted = 0");
            if let Some(condition) = &condition {
                statement.push(" AND ");
                push(&mut statement, condition, self.column);
            }
            statement
        };
        let counted = reads.ask_one::<Count>(&of("count() AS rows")).await?;
        let mut rows = of(select);
        let (key, direction) = match asked.sort.strip_prefix('-') {
            Some(key) => (key, "DESC"),
            None => (asked.sort, "ASC"),
        };
        rows.push(&format!(" ORDER BY {} {direction}, {} LIMIT ", (self.column)(key), self.tie));
        rows.bind(asked.page.size).push(" OFFSET ").bind(asked.page.offset());
        let data = reads.ask::<R>(&rows).await?.into_iter().map(shown).collect();
        let total = counted.map_or(0, |count| count.rows);
        let page = answer(data, asked.page, total, Some(asked.sort), asked.filter.as_ref(), Nulls::Omitted);
        Ok(json_answer(StatusCode::OK, &Value::Object(page)))
    }
}

/// Adds a condition; the column of each field is the program's own text.
pub(super) fn push(statement: &mut Statement, condition: &Condition, column: fn(&str) -> &'static str) {
    let compare = |statement: &mut Statement, name: &str, operator: &str| {
        statement.push(&format!("{} {operator} ", column(name)));
    };
    match condition {
        Condition::All(parts) => push_several(statement, parts, (" AND ", "1"), column),
        Condition::Any(parts) => push_several(statement, parts, (" OR ", "0"), column),
        Condition::Is(name, text) => {
            compare(statement, name, "=");
            statement.bind(text.as_str());
        }
        Condition::Like(name, pattern) => {
            compare(statement, name, "LIKE");
            statement.bind(pattern.as_str());
        }
        Condition::Since(name, at) => {
            compare(statement, name, ">=");
            statement.bind(*at);
        }
        Condition::Until(name, at) => {
            compare(statement, name, "<=");
            statement.bind(*at);
        }
        Condition::AtLeast(name, number) => {
            compare(statement, name, ">=");
            statement.bind(*number);
        }
        Condition::AtMost(name, number) => {
            compare(statement, name, "<=");
            statement.bind(*number);
        }
        Condition::Flag(name, is) => {
            compare(statement, name, "=");
            statement.bind(u64::from(*is));
        }
    }
}

fn push_several(
    statement: &mut Statement,
    parts: &[Condition],
    (between, nothing): (&str, &str),
    column: fn(&str) -> &'static str,
) {
    statement.push("(");
    for (number, part) in parts.iter().enumerate() {
        statement.push(if number == 0 { "" } else { between });
        push(statement, part, column);
    }
    statement.push(if parts.is_empty() { nothing } else { "" }).push(")");
}
