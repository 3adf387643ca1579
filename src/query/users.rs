//! `GET /users`: who made calls of a model, by what was counted of them.
//!
//! ```text
//! genai_calls, each call once --UserId--> calls, errors, sessions, traces, tokens, cost, models, from when to when
//! ```
//!
//! A bound of `started_at` is one of the calls that count.

use super::answer::Refusal;
use super::conditions::{self, Place};
use super::cursor::{self, After};
use super::filter::{Condition, Field, Fields, Kind as FieldKind};
use super::listing::{ListSpec, Listing};
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
    let rows: Vec<User> = api.reads.ask_if_there(&list.page(&start)).await?;
    let data: Vec<Value> = rows.iter().map(|row| row.to_json(&workspace)).collect();
    let after = |row: &User| After { at: row.first, keys: vec![row.user.clone()] };
    listing.answer((&api.reads, &condition, &start), (data, &rows), || list.count(), after).await
}

/// What a list is of.
struct List<'a> {
    api: &'a Api,
    workspace: &'a Workspace,
    asked: &'a UsersFilter,
    listing: &'a Listing,
}

/// Of a user what a list is sorted by: two columns of the calls.
const LIGHT: &str = "UserId AS user, min(Timestamp) AS FirstTime";
/// All of it.
const ALL: &str = "UserId AS user, min(Timestamp) AS FirstTime, max(Timestamp) AS LastTime, count() AS calls, \
     countIf(IsError) AS errors, uniqExactIf(SessionId, SessionId != '') AS sessions, uniqExact(TraceId) AS traces, \
     sum(InputTokens) AS input_tokens, sum(OutputTokens) AS output_tokens, sum(CacheReadTokens) AS cached_tokens, \
     sum(TotalTokens) AS total_tokens, toFloat64(sum(CostTotal)) AS cost, countIf(CostTotal IS NULL) AS without_cost, \
     CAST(arraySort(groupUniqArrayIf(Model, Model != '')), 'Array(String)') AS models";

impl List<'_> {
    fn page(&self, start: &cursor::PageStart) -> Statement {
        let mut statement = Statement::new(
            "SELECT user, toUnixTimestamp64Nano(FirstTime) AS first, toUnixTimestamp64Nano(LastTime) AS last, calls, errors, \
             sessions, traces, input_tokens, output_tokens, cached_tokens, total_tokens, cost, without_cost, models FROM (SELECT ",
        );
        self.push_calls(&mut statement, ALL);
        let is_light = self.is_light();
        if is_light {
            let global = self.api.reads.client().global();
            statement.push(&format!(" AND UserId {global}IN (SELECT user FROM (SELECT "));
            self.push_calls(&mut statement, LIGHT);
            self.push_page(&mut statement, start, false);
            statement.push(")");
        }
        self.push_page(&mut statement, start, is_light);
        statement
    }

    fn count(&self) -> Statement {
        let mut statement = Statement::new("SELECT count() AS total FROM (SELECT ");
        self.push_calls(&mut statement, if self.is_light() { LIGHT } else { ALL });
        self.push_users(&mut statement);
        statement
    }

    /// Whether a page is found by what a user is sorted by: the rest is then read of the users of the page only.
    fn is_light(&self) -> bool {
        self.asked.of_users.fields().is_empty()
    }

    /// The calls that count, up to a further condition.
    fn push_calls(&self, statement: &mut Statement, columns: &str) {
        let calls = self.api.reads.client().full_name("genai_calls");
        statement.push(&format!("{columns} FROM {calls} WHERE Workspace = "));
        statement.bind(self.workspace.as_str()).push(" AND UserId != '' AND ");
        conditions::push(statement, &self.asked.of_calls, place_of_call);
    }

    /// Those as users, if what is asked for holds.
    fn push_users(&self, statement: &mut Statement) {
        statement.push(" GROUP BY UserId) WHERE ");
        conditions::push(statement, &self.asked.of_users, place_of_user);
    }

    /// The users of a page. `is_found`: there are no others.
    fn push_page(&self, statement: &mut Statement, start: &cursor::PageStart, is_found: bool) {
        self.push_users(statement);
        let (page, is_descending) = (self.listing.page, self.listing.is_descending());
        if let cursor::PageStart::After(after) = start {
            let keys: Vec<(&str, &str)> = after.keys.iter().map(|key| ("user", key.as_str())).collect();
            conditions::push_after(statement, "FirstTime", is_descending, after.at, &keys);
        }
        let way = if is_descending { " DESC" } else { "" };
        statement.push(&format!(" ORDER BY FirstTime{way}, user LIMIT ")).bind(page.size);
        if *start == cursor::PageStart::No && !is_found {
            statement.push(" OFFSET ").bind(page.offset());
        }
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
