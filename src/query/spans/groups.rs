//! `GET /spans/groups?by=trace_id,session_id`

use super::{List, fields, statements};
use crate::clickhouse::Statement;
use crate::query::answer::{Problem, Refusal, json_answer};
use crate::query::counted::{CountSpec, Counted};
use crate::query::expressions::SESSION;
use crate::query::page::{self, Nulls, Page};
use crate::query::q::Level;
use crate::query::request::{Api, with_search_since};
use crate::query::total;
use ::clickhouse::Row;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const SORTS: [&str; 2] = ["-span_count", "span_count"];
const PAGE_SIZE: u64 = 10;

/// What spans are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Trace,
    Session,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace_id",
            Self::Session => "session_id",
        }
    }

    fn expression(self) -> &'static str {
        match self {
            Self::Trace => "TraceId",
            Self::Session => SESSION,
        }
    }
}

#[derive(Debug, Row, Deserialize)]
struct Group {
    keys: Vec<String>,
    spans: u64,
}

/// `GET /spans/groups`
pub(in crate::query) async fn list(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let kind =
        CountSpec { fields: fields::of(&api), condition: fields::condition, own: &["by", "page", "page_size", "sort"] };
    let (counted, (page, sort)) = Counted::read(&api, (&name, query.as_deref()), kind, |checks, parameters| {
        let read = (checks.page(PAGE_SIZE), checks.sort(&SORTS));
        if parameters.get("by").is_none() {
            checks.add(Problem::missing("by"));
        }
        read
    })?;
    let Counted { workspace, parameters, filter, search, .. } = &counted;
    let condition = &api.bounded(counted.condition.clone(), search.as_ref(), Level::Span);
    let by = grouped_by(parameters.get("by").unwrap_or_default())?;
    let list = List { api: &api, workspace, condition, search: search.as_ref() };
    let groups: Vec<Group> = api.reads.ask(&page_of(&list, &by, page, sort)).await?;
    let total = match total::known(page, groups.len()) {
        Some(total) => total,
        None => total::ask(&api.reads, &count_of(&list, &by)).await?,
    };
    let data = groups.iter().map(|group| to_json(group, &by)).collect();
    let mut answer = page::answer(data, page, total, Some(sort), filter.as_ref(), Nulls::Omitted);
    answer.insert("grouped_by".to_owned(), by.iter().map(|by| Value::from(by.name())).collect());
    Ok(json_answer(StatusCode::OK, &with_search_since(answer, condition, search.as_ref())))
}

fn grouped_by(text: &str) -> Result<Vec<By>, Refusal> {
    let mut by = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let field = [By::Trace, By::Session].into_iter().find(|field| field.name() == name).ok_or_else(|| {
            let allowed = "Allowed fields: trace_id, session_id";
            Refusal::bad_request(&format!("Unsupported span group-by field: {name}. {allowed}"))
        })?;
        if by.contains(&field) {
            return Err(Refusal::bad_request(&format!("Duplicate span group-by field: {name}")));
        }
        by.push(field);
    }
    if by.is_empty() {
        return Err(Refusal::bad_request("At least one group-by field is required."));
    }
    Ok(by)
}

fn keys(by: &[By]) -> String {
    by.iter().map(|by| by.expression()).collect::<Vec<_>>().join(", ")
}

fn page_of(list: &List<'_>, by: &[By], page: Page, sort: &str) -> Statement {
    let mut statement = Statement::new(&format!("SELECT [{}] AS keys, count() AS spans", keys(by)));
    statements::push_from(&mut statement, list);
    let way = if sort.starts_with('-') { " DESC" } else { "" };
    statement.push(&format!(" AND TraceId != '' GROUP BY keys ORDER BY spans{way}, keys LIMIT "));
    statement.bind(page.size).push(" OFFSET ").bind(page.offset());
    statement
}

fn count_of(list: &List<'_>, by: &[By]) -> Statement {
    let mut statement = Statement::new(&format!("SELECT uniqExact({}) AS total", keys(by)));
    statements::push_from(&mut statement, list);
    statement.push(" AND TraceId != ''");
    statement
}

fn to_json(group: &Group, by: &[By]) -> Value {
    let keys = by.iter().zip(&group.keys).map(|(by, key)| (by.name().to_owned(), Value::from(key.as_str())));
    json!({"group": keys.collect::<Map<_, _>>(), "span_count": group.spans})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spans_are_grouped_by_is_a_list_without_repeats() {
        let read = |text| grouped_by(text).map_err(|refusal| refusal.detail().as_str().unwrap_or_default().to_owned());
        assert_eq!(read("session_id, trace_id"), Ok(vec![By::Session, By::Trace]));
        let refused = [
            ("", "At least one group-by field is required."),
            ("model", "Unsupported span group-by field: model. Allowed fields: trace_id, session_id"),
            ("trace_id,trace_id", "Duplicate span group-by field: trace_id"),
        ];
        for (text, want) in refused {
            assert_eq!(read(text), Err(want.to_owned()));
        }
    }
}
