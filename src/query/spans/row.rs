//! A span as ClickHouse returns it, and as it is answered.

use crate::columns::typed::Kind;
use crate::conventions;
use crate::ids::SegmentId;
use crate::query::expressions::kind_of;
use crate::query::mode::Mode;
use crate::query::times::shown;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Characters of an error's message in `mode=preview`. Source: NeMo Intake 0.3.0.
const ERROR_CHARACTERS: usize = 1_000;

/// Which row of a span it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Row, Deserialize)]
pub(super) struct Key {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    /// Nanoseconds since 1970.
    pub(super) started: i64,
}

/// A span.
#[derive(Debug, Row, Deserialize)]
pub(super) struct SpanRow {
    trace_id: String,
    span_id: String,
    started: i64,
    parent_span_id: String,
    session_id: String,
    name: String,
    operation: String,
    status: String,
    source: String,
    duration: u64,
    timing: String,
    segment: String,
    provider: String,
    model: String,
    prompt_id: String,
    agent_id: String,
    agent_name: String,
    tool_name: String,
    project: String,
    evaluation_id: String,
    test_case_id: String,
    evaluation_sha: String,
    evaluation_run_id: String,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    total_tokens: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
    input_audio: Option<u64>,
    output_audio: Option<u64>,
    cost_total: Option<f64>,
    cost_input: Option<f64>,
    cost_output: Option<f64>,
    error_type: String,
    error_message: String,
    input: String,
    output: String,
    attributes: Vec<(String, String)>,
    resource: Vec<(String, String)>,
    scope_name: String,
    scope_version: String,
    events: String,
}

/// When a span ended, if that is known: one without a length is told from none by nothing in the table.
pub(in crate::query) fn ended(started: i64, duration: u64, timing: &str) -> Option<i64> {
    let is_known = duration > 0 && !matches!(timing, "ingest" | "unknown");
    is_known.then(|| started.saturating_add_unsigned(duration))
}

impl SpanRow {
    pub(super) fn key(&self) -> Key {
        Key { trace_id: self.trace_id.clone(), span_id: self.span_id.clone(), started: self.started }
    }

    /// As it is answered; what is not known is left out.
    pub(super) fn to_json(&self, workspace: &Workspace, mode: Mode) -> Value {
        let mut span = Map::new();
        let mut put = |name: &str, value: Value| drop(span.insert(name.to_owned(), value));
        put("span_id", self.span_id.as_str().into());
        put("session_id", self.session_id.as_str().into());
        put("workspace", workspace.as_str().into());
        put("kind", kind_of(&self.operation).into());
        put("source", self.source.as_str().into());
        put("status", self.status.as_str().into());
        put("started_at", shown(self.started).into());
        put("ingested_at", shown(self.ingested()).into());
        put("usage_details", self.usage_details());
        put("cost_details", json!({}));
        for (name, text) in self.texts(mode) {
            if !text.is_empty() {
                put(name, text.into());
            }
        }
        for (name, count) in self.counts() {
            count.into_iter().for_each(|count| put(name, count.into()));
        }
        for (name, cost) in self.costs() {
            cost.into_iter().for_each(|cost| put(name, cost.into()));
        }
        if let Some(ended) = ended(self.started, self.duration, &self.timing) {
            put("ended_at", shown(ended).into());
        }
        if let Some(context) = self.evaluation_context() {
            put("evaluation_context", context);
        }
        if let Some(raw) = self.raw_attributes().filter(|_| mode == Mode::Detailed) {
            put("raw_attributes", raw.into());
        }
        Value::Object(span)
    }

    fn texts(&self, mode: Mode) -> [(&'static str, &str); 14] {
        let is_failed = self.status != "success";
        let cut = |text: &'_ str| text.char_indices().nth(ERROR_CHARACTERS).map_or(text.len(), |(at, _)| at);
        let message = match mode {
            _ if !is_failed => "",
            Mode::Summary => "",
            Mode::Preview => self.error_message.get(..cut(&self.error_message)).unwrap_or_default(),
            Mode::Detailed => &self.error_message,
        };
        [
            ("trace_id", &self.trace_id),
            ("parent_span_id", &self.parent_span_id),
            ("name", &self.name),
            ("provider", &self.provider),
            ("model", &self.model),
            ("prompt_id", &self.prompt_id),
            ("agent_id", &self.agent_id),
            ("agent_name", &self.agent_name),
            ("tool_name", &self.tool_name),
            ("project", &self.project),
            ("error_type", if is_failed { &self.error_type } else { "" }),
            ("error_message", message),
            ("input", &self.input),
            ("output", &self.output),
        ]
    }

    fn counts(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("input_tokens", self.input_tokens),
            ("output_tokens", self.output_tokens),
            ("cached_tokens", self.cached_tokens),
            ("total_tokens", self.total_tokens),
        ]
    }

    fn costs(&self) -> [(&'static str, Option<f64>); 3] {
        [
            ("cost_total_usd", self.cost_total),
            ("cost_input_usd", self.cost_input),
            ("cost_output_usd", self.cost_output),
        ]
    }

    fn usage_details(&self) -> Value {
        let details = [
            ("prompt_details.cache_write", self.cache_write),
            ("prompt_details.audio", self.input_audio),
            ("completion_details.reasoning", self.reasoning),
            ("completion_details.audio", self.output_audio),
        ];
        details.into_iter().filter_map(|(name, count)| Some((name.to_owned(), Value::from(count?)))).collect()
    }

    fn evaluation_context(&self) -> Option<Value> {
        let members = [
            ("evaluation_id", &self.evaluation_id),
            ("test_case_id", &self.test_case_id),
            ("evaluation_sha", &self.evaluation_sha),
            ("evaluation_run_id", &self.evaluation_run_id),
        ];
        let known = members.into_iter().filter(|(_, text)| !text.is_empty());
        let mut context: Map<String, Value> =
            known.map(|(name, text)| (name.to_owned(), text.as_str().into())).collect();
        if context.is_empty() {
            return None;
        }
        context.insert("metadata".to_owned(), json!({}));
        Some(context.into())
    }

    /// When it came, at the earliest: when its segment was prepared, which is what the segment's id counts, or when the span ended if
    /// that is later. A row that did not come by Millrace has no segment.
    fn ingested(&self) -> i64 {
        let ended = self.started.saturating_add_unsigned(self.duration);
        let prepared = SegmentId::parse(&self.segment).and_then(|id| i64::try_from(id.number()).ok());
        prepared.map_or(ended, |prepared| prepared.max(ended))
    }

    /// The attributes that no field of the answer shows, those of the resource and the scope among them, as JSON in a text.
    fn raw_attributes(&self) -> Option<String> {
        let shown = self.shown_texts();
        let is_shown =
            |key: &str, value: &str| conventions::kind(key.as_bytes()) == Kind::Typed && shown.contains(value);
        let mut raw = Map::new();
        for (key, value) in self.resource.iter().chain(&self.attributes) {
            if !is_shown(key, value) {
                raw.insert(key.clone(), untyped(value));
            }
        }
        if !self.scope_name.is_empty() {
            let scope = json!({"name": self.scope_name, "version": self.scope_version});
            raw.insert("otel.scope".to_owned(), scope.to_string().into());
        }
        if !self.events.is_empty() {
            raw.insert("otel.events".to_owned(), self.events.as_str().into());
        }
        (!raw.is_empty()).then(|| Value::Object(raw).to_string())
    }

    /// What the other fields of the answer say, as attributes spell it.
    fn shown_texts(&self) -> HashSet<String> {
        let texts = self.texts(Mode::Summary).into_iter().map(|(_, text)| text.to_owned());
        let details = [self.cache_write, self.reasoning, self.input_audio, self.output_audio];
        let counts = self.counts().into_iter().filter_map(|(_, count)| count).chain(details.into_iter().flatten());
        let costs = self.costs().into_iter().filter_map(|(_, cost)| cost);
        let own = [self.session_id.clone()];
        texts
            .chain(own)
            .chain(counts.map(|count| count.to_string()))
            .chain(costs.map(|cost| cost.to_string()))
            .collect()
    }
}

/// A value of a map of texts. The table keeps no types; yes and no are told as what they nearly always are.
fn untyped(value: &str) -> Value {
    match value {
        "true" => true.into(),
        "false" => false.into(),
        text => text.into(),
    }
}
