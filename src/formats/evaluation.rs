//! A score or a feedback of an export: a log record `gen_ai.evaluation.result`, which the ingest makes an evaluator result of the span, or
//! of the trace or session where it names no span.
//!
//! Source: OpenTelemetry semantic-conventions-genai, event `gen_ai.evaluation.result` (Development).

use super::span::{Service, as_text};
use super::{ATTRIBUTE, Record};
use crate::otlp::Signal;
use crate::otlp::proto::collector::logs::v1::ExportLogsServiceRequest;
use crate::otlp::proto::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use crate::otlp::proto::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use crate::otlp::proto::resource::v1::Resource;
use prost::Message as _;
use serde_json::Value;

const EVENT: &str = "gen_ai.evaluation.result";

/// What was measured of a span, of a trace if there is no span, or else of a session.
#[derive(Debug)]
pub(super) struct Evaluation<'v> {
    pub(super) trace: Option<[u8; 16]>,
    pub(super) span: Option<[u8; 8]>,
    /// In nanoseconds.
    pub(super) at: i64,
    pub(super) name: &'v str,
    /// A number, or a truth.
    pub(super) value: Option<&'v Value>,
    pub(super) label: Option<&'v Value>,
    pub(super) explanation: Option<&'v Value>,
    pub(super) session: Option<&'v Value>,
}

fn number(number: f64) -> Option<any_value::Value> {
    number.is_finite().then_some(any_value::Value::DoubleValue(number))
}

impl Evaluation<'_> {
    /// As a record; why it is none, otherwise.
    pub(super) fn record(&self, service: &Service) -> Result<Record, &'static str> {
        let value = self.value.and_then(|value| match value {
            Value::Bool(truth) => Some(any_value::Value::BoolValue(*truth)),
            Value::String(text) => text.trim().parse::<f64>().ok().and_then(number),
            other => other.as_f64().and_then(number),
        });
        let label = self.label.and_then(as_text);
        if value.is_none() && label.is_none() {
            return Err("it has neither a number nor a text as its value");
        }
        let text = |key: &str, value: String| attribute(key, any_value::Value::StringValue(value));
        let mut attributes = vec![text("gen_ai.evaluation.name", self.name.to_owned())];
        attributes.extend(value.map(|value| attribute("gen_ai.evaluation.score.value", value)));
        attributes.extend(label.map(|label| text("gen_ai.evaluation.score.label", label)));
        let explanation = self.explanation.and_then(as_text).filter(|_| !service.drops_content());
        attributes.extend(explanation.map(|why| text("gen_ai.evaluation.explanation", why)));
        attributes.extend(self.session.and_then(as_text).map(|session| text("session.id", session)));
        let nanos = u64::try_from(self.at).map_or(0, |at| at);
        let record = LogRecord {
            time_unix_nano: nanos,
            observed_time_unix_nano: nanos,
            event_name: EVENT.to_owned(),
            trace_id: self.trace.map_or_else(Vec::new, Vec::from),
            span_id: self.span.map_or_else(Vec::new, Vec::from),
            attributes,
            ..LogRecord::default()
        };
        let resource =
            vec![text("service.name", service.name.clone()), text(ATTRIBUTE, service.import_id().to_owned())];
        let scope = InstrumentationScope { name: service.scope.to_owned(), ..InstrumentationScope::default() };
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(Resource { attributes: resource, ..Resource::default() }),
                scope_logs: vec![ScopeLogs { scope: Some(scope), log_records: vec![record], ..ScopeLogs::default() }],
                ..ResourceLogs::default()
            }],
        };
        Ok(Record::Otlp { signal: Signal::Logs, request: request.encode_to_vec(), items: 1, known: None })
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
