//! A session as ClickHouse returns it, and as it is answered.

use crate::clickhouse::{Parameter, Statement};
use crate::query::request::NEAR;
use crate::query::sums::Sums;
use crate::query::times::{milliseconds, shown};
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// When the first and the last span of a session began: nanoseconds since 1970.
#[derive(Debug, Row, Deserialize)]
pub(in crate::query) struct Times {
    first: i64,
    last: i64,
    pub(super) spans: u64,
}

impl Times {
    /// A day more on both sides: a call may have its session from another report of it.
    pub(super) fn near(&self) -> Self {
        let near = i64::try_from(NEAR.as_nanos()).unwrap_or(i64::MAX);
        Self { first: self.first.saturating_sub(near), last: self.last.saturating_add(near), spans: self.spans }
    }

    /// Adds that a row began then.
    pub(in crate::query) fn push(&self, statement: &mut Statement) {
        statement.push(" AND Timestamp >= ").bind(Parameter::Time(self.first));
        statement.push(" AND Timestamp <= ").bind(Parameter::Time(self.last));
    }
}

/// What the spans of a session say. Times are nanoseconds since 1970.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Spans {
    pub(super) spans: u64,
    traces: u64,
    started: i64,
    ended: i64,
    endless: u64,
    errors: u64,
    cancelled: u64,
}

impl Spans {
    /// As it is answered; what is not known is left out. The worst status of a span is the session's.
    pub(super) fn to_json(&self, id: &str, workspace: &Workspace, sums: Option<&Sums>) -> Value {
        let status = match (self.errors, self.cancelled) {
            (0, 0) => "success",
            (0, _) => "cancelled",
            _ => "error",
        };
        let mut session = Map::new();
        let mut put = |name: &str, value: Value| drop(session.insert(name.to_owned(), value));
        put("id", id.into());
        put("workspace", workspace.as_str().into());
        put("started_at", shown(self.started).into());
        if self.endless == 0 {
            put("ended_at", shown(self.ended).into());
            put("duration_ms", milliseconds(self.ended.saturating_sub(self.started).unsigned_abs()).into());
        }
        put("status", status.into());
        put("trace_count", self.traces.into());
        put("span_count", self.spans.into());
        sums.into_iter().for_each(|sums| sums.put(&mut session));
        Value::Object(session)
    }
}

/// A session of the list, by what was counted of its traces.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Listed {
    pub(super) session_id: String,
    pub(super) started: i64,
    ended: i64,
    traces: u64,
    calls: u64,
    errors: u64,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    total_tokens: Option<u64>,
    cost_total: Option<f64>,
    users: Vec<String>,
    models: Vec<String>,
    input: String,
    output: String,
}

impl Listed {
    pub(super) fn to_json(&self, workspace: &Workspace) -> Value {
        let mut session = json!({
            "id": self.session_id,
            "workspace": workspace.as_str(),
            "started_at": shown(self.started),
            "last_activity_at": shown(self.ended),
            "trace_count": self.traces,
            "call_count": self.calls,
            "error_count": self.errors,
            "user_ids": self.users,
            "models": self.models,
        });
        let optional = [
            ("input_tokens", self.input_tokens.map(Value::from)),
            ("output_tokens", self.output_tokens.map(Value::from)),
            ("cached_tokens", self.cached_tokens.map(Value::from)),
            ("total_tokens", self.total_tokens.map(Value::from)),
            ("cost_usd", self.cost_total.map(Value::from)),
            ("input", Some(self.input.as_str()).filter(|text| !text.is_empty()).map(Value::from)),
            ("output", Some(self.output.as_str()).filter(|text| !text.is_empty()).map(Value::from)),
        ];
        if let Some(members) = session.as_object_mut() {
            members.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        session
    }
}
