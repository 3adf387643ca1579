//! A log record that reports an evaluation -> an evaluator result, beside its row of `otel_logs`.
//!
//! It says what was measured of the span in which it was written; without a span, a name, or a value it is a log record and nothing else.
//! When it was written is the version of the result, so that the same request sent again changes nothing, and of several results of the
//! same name about the same span the latest counts.
//!
//! Source: OpenTelemetry semantic-conventions-genai, event `gen_ai.evaluation.result` (Development).

use super::fields;
use super::value::{key_value, text};
use super::walk::Context;
use super::wire::Fields;
use crate::columns::{Group as _, Records, Table};
use crate::ids::{SpanId, TraceId};
use crate::otlp::error::{DecodeError, Part};
use crate::scores::rows::{Stamp, put_result};
use crate::scores::{DataType, EvaluatorResult};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::collections::HashMap;

/// The name of the event.
const EVENT: &[u8] = b"gen_ai.evaluation.result";
/// Attributes that name the session, in order of precedence.
const SESSION_KEYS: [&str; 2] = ["gen_ai.conversation.id", "session.id"];

/// The evaluator results of the log records of a request.
pub(super) struct Evaluations {
    workspace: Workspace,
    rows: Option<Box<Records>>,
    scratch: String,
    depth: usize,
}

impl Evaluations {
    pub(super) fn new(workspace: Workspace, depth: usize) -> Self {
        Self { workspace, rows: None, scratch: String::new(), depth }
    }

    /// The rows, if there are any.
    pub(super) fn into_rows(self) -> Option<Box<Records>> {
        self.rows.filter(|rows| rows.rows() > 0)
    }

    /// Bytes of the rows so far.
    pub(super) fn counted_bytes(&self) -> usize {
        self.rows.as_ref().map_or(0, |rows| rows.counted_bytes())
    }

    /// Adds the result of a valid log record with that event name and content, if it has one.
    pub(super) fn record(
        &mut self,
        (message, event): (&[u8], &[u8]),
        context: &Context<'_>,
        (time, content): (UnixNanos, u128),
    ) {
        if event != EVENT {
            return;
        }
        let Ok(Some(found)) = self.read(message) else { return };
        let evaluator = String::from_utf8_lossy(context.service_name).into_owned();
        let stamp = Stamp::new(found.id(self.workspace.as_str()), evaluator, time);
        let workspace = &self.workspace;
        let rows = self.rows.get_or_insert_with(|| Box::new(Records::new(Table::EvaluatorResults, workspace.clone())));
        if put_result(rows, &found, &stamp, content).is_err() {
            rows.roll_back();
        }
    }

    fn read(&mut self, message: &[u8]) -> Result<Option<EvaluatorResult>, DecodeError> {
        let wire = Part::LogRecord.is();
        let (mut trace, mut span, mut attributes) = (None, None, HashMap::new());
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(&wire)? {
            match fields::LogRecord::of(field) {
                fields::LogRecord::TraceId(id) => trace = TraceId::from_slice(id.get().map_err(&wire)?).ok(),
                fields::LogRecord::SpanId(id) => span = SpanId::from_slice(id.get().map_err(&wire)?).ok(),
                fields::LogRecord::Attributes(message) => {
                    let (key, value) = key_value(message.get().map_err(&wire)?)?;
                    let value = text(value, 1, self.depth, &mut self.scratch)?;
                    let owned = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    attributes.insert(owned(&key), owned(value));
                }
                _ => {}
            }
        }
        Ok(trace.zip(span).and_then(|ids| result(ids, attributes)))
    }
}

fn result((trace, span): (TraceId, SpanId), mut attributes: HashMap<String, String>) -> Option<EvaluatorResult> {
    let mut taken = |key: &str| attributes.remove(key).filter(|text| !text.is_empty());
    let name = taken("gen_ai.evaluation.name")?;
    let score = taken("gen_ai.evaluation.score.value").and_then(|text| text.parse().ok());
    let value = score.filter(|number: &f64| number.is_finite());
    let label = taken("gen_ai.evaluation.score.label");
    let explanation = taken("gen_ai.evaluation.explanation");
    let session = SESSION_KEYS.into_iter().find_map(taken);
    let data_type = match (value, &label) {
        (Some(_), _) => DataType::Numeric,
        (None, Some(_)) => DataType::Categorical,
        (None, None) => return None,
    };
    Some(EvaluatorResult {
        span_id: span.to_string(),
        // as the session of a span is told that has none
        session_id: match session {
            Some(session) => session,
            None => format!("session-{trace}"),
        },
        trace_id: trace.to_string(),
        name,
        data_type,
        value,
        string_value: label.into_iter().collect(),
        comment: explanation.into_iter().collect(),
    })
}
