//! `GET /users`: who made calls of a model, by what was counted of them.
//!
//! ```text
//! genai_calls, each call once --UserId--> calls, errors, sessions, traces, tokens, cost, models, from when to when
//! ```
//!
//! A bound of `started_at` is one of the calls that count.

use super::answer::Refusal;
use super::conditions::{self, Place};
use super::cursor::{After, Asked};
use super::filter::{Condition, Field, Fields, Kind as FieldKind};
use super::listing::{Kind, Listing};
use super::request::{Api, workspace};
use super::times::shown;
use crate::clickhouse::Statement;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const FIELDS: Fields = Fields {
    subject: "user",
    fields: &[
        Field::new("id", FieldKind::Text),
        Field::new("model", FieldKind::Text),
        Field::new("session_id", FieldKind::Text),
        Field::new("started_at", FieldKind::Time),
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
    let kind = Kind { name: "users", fields: FIELDS, mode: None, is_searched: false, keys: 1 };
    let listing = Listing::read(query.as_deref(), kind, api.reads.clock.now())?;
    let condition = listing.filter.as_ref().map(|filter| FIELDS.check(filter)).transpose()?;
    let condition = Condition::All(condition.into_iter().collect());
    let asked = listing.asked()?;
    let list = List { api: &api, workspace: &workspace, condition: &condition, listing: &listing };
    let rows: Vec<User> = api.reads.ask_if_there(&list.page(&asked)).await?;
    let data: Vec<Value> = rows.iter().map(|row| row.to_json(&workspace)).collect();
    let after = |row: &User| After { at: row.first, keys: vec![row.user.clone()] };
    listing.answer((&api.reads, &condition, &asked), (data, &rows), || list.count(), after).await
}

/// What a list is of.
struct List<'a> {
    api: &'a Api,
    workspace: &'a Workspace,
    condition: &'a Condition,
    listing: &'a Listing,
}

impl List<'_> {
    fn page(&self, asked: &Asked) -> Statement {
        let (page, is_descending) = (self.listing.page, self.listing.is_descending());
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
            conditions::push_after(&mut statement, "FirstTime", is_descending, after.at, &keys);
        }
        let way = if is_descending { " DESC" } else { "" };
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
