//! `GET /users`: who made calls of a model, by what was counted of them.
//!
//! ```text
//! genai_calls, each call once --UserId--> calls, errors, sessions, traces, tokens, cost, models, from when to when
//! ```
//!
//! A bound of `started_at` is one of the calls that count.

use super::answer::{Refusal, json_answer};
use super::conditions::{self, Place};
use super::cursor::{self, After, Asked, Cursors};
use super::filter::{Condition, Field, Fields, Filter, Kind};
use super::page::{self, Checks, Nulls, Page};
use super::parameters::Parameters;
use super::request::{Api, workspace};
use super::times::shown;
use super::total;
use crate::clickhouse::Statement;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const SORTS: [&str; 2] = ["-started_at", "started_at"];
const PAGE_SIZE: u64 = 10;

const FIELDS: Fields = Fields {
    subject: "user",
    fields: &[
        Field::new("id", Kind::Text),
        Field::new("model", Kind::Text),
        Field::new("session_id", Kind::Text),
        Field::new("started_at", Kind::Time),
    ],
    is_extended: true,
};

/// The columns of `genai_calls`.
fn place(field: &str) -> Option<Place> {
    Some(match field {
        "id" => Place::Text("UserId"),
        "model" => Place::Text("Model"),
        "session_id" => Place::Text("SessionId"),
        "started_at" => Place::Time("Timestamp"),
        _ => return None,
    })
}

/// A user, by the calls that count. Times are nanoseconds since 1970.
#[derive(Debug, Row, Deserialize)]
struct User {
    user: String,
    first: i64,
    last: i64,
    calls: u64,
    errors: u64,
    sessions: u64,
    traces: u64,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    total_tokens: Option<u64>,
    cost: Option<f64>,
    without_cost: u64,
    models: Vec<String>,
}

impl User {
    /// As it is answered; what is not known is left out.
    fn to_json(&self, workspace: &Workspace) -> Value {
        let mut user = json!({
            "id": self.user, "workspace": workspace.as_str(), "started_at": shown(self.first), "last_activity_at": shown(self.last),
            "call_count": self.calls, "error_count": self.errors, "session_count": self.sessions, "trace_count": self.traces,
            "calls_without_cost": self.without_cost, "models": self.models,
        });
        let optional = [
            ("input_tokens", self.input_tokens.map(Value::from)),
            ("output_tokens", self.output_tokens.map(Value::from)),
            ("cached_tokens", self.cached_tokens.map(Value::from)),
            ("total_tokens", self.total_tokens.map(Value::from)),
            ("cost_usd", self.cost.map(Value::from)),
        ];
        if let Some(members) = user.as_object_mut() {
            members.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        user
    }
}

/// `GET /users`
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = Parameters::parse(query.as_deref())?;
    let filter = Filter::of(&parameters)?;
    filter.as_ref().map_or(Ok(()), |filter| FIELDS.check_names(filter))?;
    let mut checks = Checks::new(&parameters);
    let (page, sort) = (checks.page(PAGE_SIZE), checks.sort(&SORTS));
    checks.finish()?;
    parameters.refuse_others(&["cursor", "filter", "page", "page_size", "sort"])?;
    let condition = filter.as_ref().map(|filter| FIELDS.check(filter)).transpose()?;
    let condition = Condition::All(condition.into_iter().collect());
    let cursors = Cursors::of("users", sort, filter.as_ref(), None);
    let asked = cursors.read(&parameters, 1)?;
    let list = List { api: &api, workspace: &workspace, condition: &condition, is_descending: sort.starts_with('-') };
    let rows: Vec<User> = api.reads.ask_if_there(&list.page(page, &asked)).await?;
    let data: Vec<Value> = rows.iter().map(|row| row.to_json(&workspace)).collect();
    let answer = if asked == Asked::No {
        let total = match total::known(page, rows.len()) {
            Some(total) => total,
            None => total::ask(&api.reads, &list.count()).await?,
        };
        page::answer(data, page, total, Some(sort), filter.as_ref(), Nulls::Omitted)
    } else {
        let after = |row: &User| cursors.next(&After { at: row.first, keys: vec![row.user.clone()] });
        let next = rows.last().filter(|_| page.is_full(rows.len())).map(after);
        cursor::answer(data, page.size, next, sort, filter.as_ref())
    };
    Ok(json_answer(StatusCode::OK, &Value::Object(answer)))
}

/// What a list is of.
struct List<'a> {
    api: &'a Api,
    workspace: &'a Workspace,
    condition: &'a Condition,
    is_descending: bool,
}

impl List<'_> {
    fn page(&self, page: Page, asked: &Asked) -> Statement {
        let mut statement = Statement::new(
            "SELECT user, toUnixTimestamp64Nano(FirstTime) AS first, toUnixTimestamp64Nano(LastTime) AS last, calls, errors, \
             sessions, traces, input_tokens, output_tokens, cached_tokens, total_tokens, cost, without_cost, models FROM (",
        );
        self.push_users(
            &mut statement,
            "UserId AS user, min(Timestamp) AS FirstTime, max(Timestamp) AS LastTime, count() AS calls, countIf(IsError) AS errors, \
             uniqExactIf(SessionId, SessionId != '') AS sessions, uniqExact(TraceId) AS traces, sum(InputTokens) AS input_tokens, \
             sum(OutputTokens) AS output_tokens, sum(CacheReadTokens) AS cached_tokens, sum(TotalTokens) AS total_tokens, \
             toFloat64(sum(CostTotal)) AS cost, countIf(CostTotal IS NULL) AS without_cost, \
             CAST(arraySort(groupUniqArrayIf(Model, Model != '')), 'Array(String)') AS models",
        );
        statement.push(") WHERE true");
        if let Asked::After(after) = asked {
            let keys: Vec<(&str, &str)> = after.keys.iter().map(|key| ("user", key.as_str())).collect();
            conditions::push_after(&mut statement, "FirstTime", self.is_descending, after.at, &keys);
        }
        let way = if self.is_descending { " DESC" } else { "" };
        statement.push(&format!(" ORDER BY FirstTime{way}, user LIMIT ")).bind(page.size);
        if *asked == Asked::No {
            statement.push(" OFFSET ").bind(page.offset());
        }
        statement
    }

    fn count(&self) -> Statement {
        let mut statement = Statement::new("SELECT count() AS total FROM (");
        self.push_users(&mut statement, "UserId");
        statement.push(")");
        statement
    }

    fn push_users(&self, statement: &mut Statement, columns: &str) {
        let calls = self.api.reads.client().full_name("genai_calls");
        statement.push(&format!("SELECT {columns} FROM {calls} WHERE Workspace = ")).bind(self.workspace.as_str());
        statement.push(" AND UserId != '' AND ");
        conditions::push(statement, self.condition, place);
        statement.push(" GROUP BY UserId");
    }
}
