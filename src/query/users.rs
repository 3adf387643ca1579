//! `GET /users`: who made calls of a model, by what was counted of them.
//!
//! ```text
//! a list   users of the page, by when their first call began: genai_usage_by_user, or the calls that a filter leaves
//!          -> genai_calls of those, each once --UserId--> calls, errors, sessions, traces, tokens, cost, models, from when to when
//! ```
//!
//! A bound of `started_at` is one of the calls that count.

use super::answer::Refusal;
use super::conditions::{self, Place};
use super::cursor::PageStart;
use super::filter::{Condition, Field, Fields, Kind as FieldKind};
use super::found::{Found, Key};
use super::listing::{ListSpec, Listing};
use super::request::{Api, workspace};
use super::times::shown;
use super::total::{self, Total};
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
        Field::extension("cached_tokens", FieldKind::Number),
        Field::extension("call_count", FieldKind::Number),
        Field::extension("calls_without_cost", FieldKind::Number),
        Field::extension("cost_usd", FieldKind::Number),
        Field::extension("error_count", FieldKind::Number),
        Field::extension("input_tokens", FieldKind::Number),
        Field::extension("output_tokens", FieldKind::Number),
        Field::extension("session_count", FieldKind::Number),
        Field::extension("total_tokens", FieldKind::Number),
        Field::extension("trace_count", FieldKind::Number),
    ],
    is_extended: true,
};

/// The columns of `genai_calls`, for fields of calls.
fn place_of_call(field: &str) -> Option<Place> {
    Some(match field {
        "id" => Place::Text("UserId"),
        "model" => Place::Text("Model"),
        "session_id" => Place::Text("SessionId"),
        "started_at" => Place::Time("Timestamp"),
        _ => return None,
    })
}

/// The columns of the inner statement, which has one row for each user: for numbers, which are of all the calls that count.
fn place_of_user(field: &str) -> Option<Place> {
    Some(Place::Number(match field {
        "cached_tokens" => "cached_tokens",
        "call_count" => "calls",
        "calls_without_cost" => "without_cost",
        "cost_usd" => "cost",
        "error_count" => "errors",
        "input_tokens" => "input_tokens",
        "output_tokens" => "output_tokens",
        "session_count" => "sessions",
        "total_tokens" => "total_tokens",
        "trace_count" => "traces",
        _ => return None,
    }))
}

/// What is asked of a call, for it to count, and what of a user.
struct UsersFilter {
    of_calls: Condition,
    of_users: Condition,
}

impl UsersFilter {
    /// # Errors
    /// 400 if an alternative or a negation has fields of both.
    fn of(condition: Condition) -> Result<Self, Refusal> {
        let (mut of_calls, mut of_users) = (Vec::new(), Vec::new());
        for part in condition.into_needed() {
            let fields = part.fields();
            let numbers = fields.iter().filter(|field| place_of_user(field).is_some()).count();
            match numbers {
                0 => of_calls.push(part),
                all if all == fields.len() => of_users.push(part),
                _ => return Err(Refusal::bad_request(MIXED)),
            }
        }
        Ok(Self { of_calls: Condition::All(of_calls), of_users: Condition::All(of_users) })
    }
}

const MIXED: &str =
    "Numbers of users go with id, model, session_id and started_at by AND only: those choose the calls that count.";

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
    let kind = ListSpec { name: "users", fields: FIELDS, mode: None, is_searched: false, keys: 1 };
    let listing = Listing::read(query.as_deref(), kind, api.reads.clock.now())?;
    let condition = listing.filter.as_ref().map(|filter| FIELDS.check(filter)).transpose()?;
    let condition = Condition::All(condition.into_iter().collect());
    let asked = UsersFilter::of(condition.clone())?;
    let start = listing.asked()?;
    let list = List { api: &api, workspace: &workspace, asked: &asked, listing: &listing };
    let found = Found::of(api.reads.ask_if_there(&list.page(&start)).await?);
    let users = found.rows(&api.reads, || list.rows(&found), |user: &User| &user.user).await?;
    let data = users.iter().map(|user| user.to_json(&workspace)).collect();
    let count = || Total::told(found.total(), || list.count());
    listing.answer((&api.reads, &condition, &start), (data, found.keys()), count, Key::after).await
}

/// What a list is of.
struct List<'a> {
    api: &'a Api,
    workspace: &'a Workspace,
    asked: &'a UsersFilter,
    listing: &'a Listing,
}

/// Of a user what a list is sorted by: two columns of the calls.
const LIGHT: &str = "UserId AS user, min(Timestamp) AS FirstTime, max(Timestamp) AS LastTime";
/// All of it.
const ALL: &str = "UserId AS user, min(Timestamp) AS FirstTime, max(Timestamp) AS LastTime, count() AS calls, \
     countIf(IsError) AS errors, uniqExactIf(SessionId, SessionId != '') AS sessions, uniqExact(TraceId) AS traces, \
     sum(InputTokens) AS input_tokens, sum(OutputTokens) AS output_tokens, sum(CacheReadTokens) AS cached_tokens, \
     sum(TotalTokens) AS total_tokens, toFloat64(sum(CostTotal)) AS cost, countIf(CostTotal IS NULL) AS without_cost, \
     CAST(arraySort(groupUniqArrayIf(Model, Model != '')), 'Array(String)') AS models";

impl List<'_> {
    /// The users of a page, and how many there are, if it is a page by its number.
    fn page(&self, start: &PageStart) -> Statement {
        let total = total::column(*start == PageStart::No);
        let mut statement = Statement::new(&format!(
            "SELECT user AS id, toUnixTimestamp64Nano(FirstTime) AS first, toUnixTimestamp64Nano(LastTime) AS last, \
             {total} AS total FROM (SELECT "
        ));
        self.push_users(&mut statement);
        self.listing.push_page(&mut statement, start, "FirstTime", &["user"]);
        statement
    }

    fn count(&self) -> Statement {
        let mut statement = Statement::new("SELECT count() AS total FROM (SELECT ");
        self.push_users(&mut statement);
        statement
    }

    /// All of these users, by the calls that count.
    fn rows(&self, found: &Found) -> Statement {
        let mut statement = Statement::new(
            "SELECT user, toUnixTimestamp64Nano(FirstTime) AS first, toUnixTimestamp64Nano(LastTime) AS last, calls, errors, \
             sessions, traces, input_tokens, output_tokens, cached_tokens, total_tokens, cost, without_cost, models FROM (SELECT ",
        );
        self.push_calls(&mut statement, ALL);
        found.push_within(statement.push(" AND "), "Timestamp", "UserId");
        statement.push(" GROUP BY UserId)");
        statement
    }

    /// The calls that count, up to a further condition.
    fn push_calls(&self, statement: &mut Statement, columns: &str) {
        let calls = self.api.reads.client().full_name("genai_calls");
        statement.push(&format!("{columns} FROM {calls} WHERE Workspace = "));
        statement.bind(self.workspace.as_str()).push(" AND UserId != '' AND ");
        conditions::push(statement, &self.asked.of_calls, place_of_call);
    }

    /// The users of whom holds what is asked for. When all calls count, the sums of settled days say when the first one was.
    fn push_users(&self, statement: &mut Statement) {
        if self.asked.of_calls.needed().is_empty() && self.asked.of_users.needed().is_empty() {
            let users = self.api.reads.client().full_name("genai_usage_by_user");
            statement.push(&format!("UserId AS user, FirstTime, LastTime FROM {users} WHERE Workspace = "));
            statement.bind(self.workspace.as_str()).push(" AND UserId != '') WHERE true");
            return;
        }
        let is_light = self.asked.of_users.fields().is_empty();
        self.push_calls(statement, if is_light { LIGHT } else { ALL });
        statement.push(" GROUP BY UserId) WHERE ");
        conditions::push(statement, &self.asked.of_users, place_of_user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::filter::Operator;

    fn number(field: &'static str) -> Condition {
        Condition::Number(field, Operator::Gt, 1.0)
    }

    #[test]
    fn every_field_is_of_calls_or_of_users() {
        for field in FIELDS.fields {
            assert_ne!(place_of_call(field.name).is_some(), place_of_user(field.name).is_some(), "{}", field.name);
        }
    }

    #[test]
    fn fields_of_calls_choose_calls_and_numbers_choose_users() {
        let model = || Condition::Is("model", "m".to_owned());
        let either = || Condition::Any(vec![number("call_count"), number("cost_usd")]);
        let all = Condition::All(vec![model(), Condition::All(vec![either(), number("trace_count")])]);
        let asked = UsersFilter::of(all).unwrap();
        assert_eq!(asked.of_calls, Condition::All(vec![model()]));
        assert_eq!(asked.of_users, Condition::All(vec![either(), number("trace_count")]));
        for mixed in [Condition::Any(vec![model(), number("call_count")]), Condition::Not(Box::new(either()))] {
            let refused = UsersFilter::of(mixed.clone()).map(|asked| asked.of_users);
            match mixed {
                Condition::Any(_) => assert_eq!(refused.unwrap_err().detail(), MIXED),
                _ => assert_eq!(refused.unwrap(), Condition::All(vec![Condition::Not(Box::new(either()))])),
            }
        }
    }
}
