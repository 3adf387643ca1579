//! A trace as ClickHouse returns it, and as it is answered.

use crate::query::mode::Mode;
use crate::query::spans::ended;
use crate::query::sums::Sums;
use crate::query::times::{milliseconds, shown};
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Most spans of a tree; of a longer trace the first ones are answered, and `is_complete` says so.
pub(super) const SPANS_MAX: u64 = 100_000;

/// Which trace it is.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Id {
    pub(super) trace_id: String,
    /// Nanoseconds since 1970.
    pub(super) started: i64,
    /// How many the list has; 0 if that was not counted.
    pub(super) total: u64,
}

/// A trace with spans of a session.
#[derive(Debug, Row, Deserialize)]
pub(super) struct OfSession {
    pub(super) trace_id: String,
}

/// From when to when traces are: nanoseconds since 1970.
#[derive(Debug, Row, Deserialize)]
pub(in crate::query) struct Range {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) traces: u64,
}

/// What the root of a trace says, or else its first span, and how many spans there are.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Head {
    pub(super) trace_id: String,
    head_id: String,
    started: i64,
    duration: u64,
    timing: String,
    name: String,
    session_id: String,
    status: String,
    experiment_id: String,
    test_case_id: String,
    input: String,
    output: String,
    roots: u64,
    spans: u64,
    errors: u64,
}

impl Head {
    /// As it is answered; what is not known is left out.
    pub(super) fn to_json(&self, workspace: &Workspace, sums: Option<&Sums>, mode: Mode) -> Value {
        let mut trace = Map::new();
        let is_orphan = self.roots == 0;
        let mut put = |name: &str, value: Value| drop(trace.insert(name.to_owned(), value));
        put("id", self.trace_id.as_str().into());
        put("session_id", self.session_id.as_str().into());
        put("workspace", workspace.as_str().into());
        put("status", self.status.as_str().into());
        put("started_at", shown(self.started).into());
        put("is_orphan", is_orphan.into());
        if !is_orphan {
            put("root_span_id", self.head_id.as_str().into());
        }
        for (name, text) in [("name", &self.name), ("input", &self.input), ("output", &self.output)] {
            if !text.is_empty() {
                put(name, text.as_str().into());
            }
        }
        if let Some(at) = ended(self.started, self.duration, &self.timing) {
            put("ended_at", shown(at).into());
            put("duration_ms", milliseconds(self.duration).into());
        }
        if let Some(context) = self.context("experiment_id") {
            put("experiment_context", context);
        }
        // by its name of release 0.3.0
        if let Some(context) = self.context("evaluation_id") {
            put("evaluation_context", context);
        }
        if mode != Mode::Summary {
            put("span_count", self.spans.into());
            put("error_count", self.errors.into());
            sums.into_iter().for_each(|sums| sums.put(&mut trace));
        }
        Value::Object(trace)
    }

    fn context(&self, name: &str) -> Option<Value> {
        let members = [(name, &self.experiment_id), ("test_case_id", &self.test_case_id)];
        let known = members.into_iter().filter(|(_, text)| !text.is_empty());
        let known: Map<String, Value> = known.map(|(name, text)| (name.to_owned(), json!(text))).collect();
        (!known.is_empty()).then_some(Value::Object(known))
    }
}
