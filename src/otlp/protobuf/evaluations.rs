//! An event that reports an evaluation -> an evaluator result, beside the row that has the event: a log record, or a span of which it is
//! an event.
//!
//! It says what was measured of the span in which it was written; without a span, a name, or a value it is an event and nothing else.
//! When it was written is the version of the result, so that the same request sent again changes nothing, and of several results of the
//! same name about the same span the latest counts.
//!
//! Attributes of a span that judge it are results as well: `evaluations.0.evaluation.score` and its neighbours, also as `annotations`.
//!
//! Sources: OpenTelemetry semantic-conventions-genai, event `gen_ai.evaluation.result` (Development); OpenInference, Annotations and
//! Evaluations.

use super::fields;
use super::value::{key_value, text};
use super::walk::Context;
use super::wire::Fields;
use crate::columns::{Group as _, Records, SpanScalars, Table};
use crate::ids::{SpanId, TraceId};
use crate::otlp::error::{DecodeError, Part};
use crate::scores::rows::{Stamp, put_result};
use crate::scores::{DataType, EvaluatorResult};
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::collections::{BTreeMap, HashMap};
use twox_hash::XxHash3_128;

/// The name of the event.
pub(super) const EVENT: &[u8] = b"gen_ai.evaluation.result";
/// Attributes that name the session, in order of precedence.
const SESSION_KEYS: [&str; 2] = ["gen_ai.conversation.id", "session.id"];

/// The collections of attributes that judge their span, and what each item of one is called.
const COLLECTIONS: [(&[u8], &[u8]); 2] = [(b"evaluations.", b".evaluation."), (b"annotations.", b".annotation.")];
/// Most items of a span that are read.
const ITEMS_MAX: usize = 100;

/// Whether an attribute of a span with this key judges the span.
#[inline]
pub(super) fn is_judgement(key: &[u8]) -> bool {
    COLLECTIONS.iter().any(|(collection, _)| key.starts_with(collection))
}

/// The item of a collection that a key is about, and its field: `evaluations.0` and `score` of `evaluations.0.evaluation.score`.
fn field_of_item(key: &str) -> Option<(&str, &str)> {
    COLLECTIONS.iter().find_map(|(collection, item)| {
        let (collection, item) = (std::str::from_utf8(collection).ok()?, std::str::from_utf8(item).ok()?);
        let (number, field) = key.strip_prefix(collection)?.split_once(item)?;
        let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        let of = is_number.then(|| key.split_at_checked(collection.len() + number.len()))?;
        Some((of?.0, field))
    })
}

/// The evaluator results of a request.
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
        if let Ok(Some(found)) = self.read(message) {
            self.put(&found, context.service_name, (time, content));
        }
    }

    /// Adds the result of an event of a span, if it has one. The session is that of the span, where it has one.
    pub(super) fn event(
        &mut self,
        message: &[u8],
        span: &SpanScalars<'_>,
        session: Option<&str>,
    ) -> Result<(), DecodeError> {
        let wire = Part::Event.is();
        let (mut time, mut attributes) = (0, HashMap::new());
        let mut unread = Fields::new(message);
        while let Some(field) = unread.next().map_err(&wire)? {
            match fields::Event::of(field) {
                fields::Event::TimeUnixNano(nanos) => time = nanos.get().map_err(&wire)?,
                fields::Event::Attributes(message) => {
                    self.attribute(message.get().map_err(&wire)?, &mut attributes)?;
                }
                _ => {}
            }
        }
        let Some(mut found) = result((span.trace_id, span.span_id), attributes) else { return Ok(()) };
        if let Some(session) = session {
            session.clone_into(&mut found.session_id);
        }
        // an event without a time was written when the span began
        let time = UnixNanos::new(time).filter(|_| time > 0).unwrap_or(span.start);
        let content = XxHash3_128::oneshot_with_seed(span.fingerprint, message);
        self.put(&found, span.service_name, (time, content));
        Ok(())
    }

    /// Adds the results that attributes of a span tell.
    pub(super) fn judgements(
        &mut self,
        messages: &[&[u8]],
        span: &SpanScalars<'_>,
        session: Option<&str>,
    ) -> Result<(), DecodeError> {
        let mut attributes = HashMap::new();
        for message in messages {
            self.attribute(message, &mut attributes)?;
        }
        let mut items: BTreeMap<&str, HashMap<String, String>> = BTreeMap::new();
        for (key, value) in &attributes {
            let Some((item, field)) = field_of_item(key) else { continue };
            items.entry(item).or_default().insert(format!("{FIELD}{field}"), value.clone());
        }
        // in an order of their own, so that the same ones are read of the same span
        for (item, fields) in items.into_iter().take(ITEMS_MAX) {
            let Some(mut found) = judgement((span.trace_id, span.span_id), fields) else { continue };
            if let Some(session) = session {
                session.clone_into(&mut found.session_id);
            }
            let content = XxHash3_128::oneshot_with_seed(span.fingerprint, item.as_bytes());
            self.put(&found, span.service_name, (span.start, content));
        }
        Ok(())
    }

    fn put(&mut self, found: &EvaluatorResult, service: &[u8], (time, content): (UnixNanos, u128)) {
        let evaluator = String::from_utf8_lossy(service).into_owned();
        let stamp = Stamp::new(found.id(self.workspace.as_str()), evaluator, time);
        let workspace = &self.workspace;
        let rows = self.rows.get_or_insert_with(|| Box::new(Records::new(Table::EvaluatorResults, workspace.clone())));
        if put_result(rows, found, &stamp, content).is_err() {
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
                    self.attribute(message.get().map_err(&wire)?, &mut attributes)?;
                }
                _ => {}
            }
        }
        Ok(trace.zip(span).and_then(|ids| result(ids, attributes)))
    }

    fn attribute(&mut self, message: &[u8], attributes: &mut HashMap<String, String>) -> Result<(), DecodeError> {
        let (key, value) = key_value(message)?;
        let value = text(value, 1, self.depth, &mut self.scratch)?;
        let owned = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        attributes.insert(owned(&key), owned(value));
        Ok(())
    }
}

/// What a field of a judgement is called here.
const FIELD: &str = "judgement.";

/// What the fields of a judgement say, if they say a name and something of it.
fn judgement(ids: (TraceId, SpanId), mut fields: HashMap<String, String>) -> Option<EvaluatorResult> {
    let mut taken = |field: &str| fields.remove(&format!("{FIELD}{field}")).filter(|text| !text.is_empty());
    let said =
        Said { name: taken("name")?, score: taken("score"), label: taken("label"), explanation: taken("explanation") };
    match (&said.score, &said.label, said.explanation.clone()) {
        (None, None, Some(text)) => {
            let alone = Said { label: Some(text), explanation: None, ..said };
            said_of(ids, None, alone).map(|found| EvaluatorResult { data_type: DataType::Text, ..found })
        }
        _ => said_of(ids, None, said),
    }
}

fn result(ids: (TraceId, SpanId), mut attributes: HashMap<String, String>) -> Option<EvaluatorResult> {
    let mut taken = |key: &str| attributes.remove(key).filter(|text| !text.is_empty());
    let name = taken("gen_ai.evaluation.name")?;
    let (score, label) = (taken("gen_ai.evaluation.score.value"), taken("gen_ai.evaluation.score.label"));
    let explanation = taken("gen_ai.evaluation.explanation");
    let session = SESSION_KEYS.into_iter().find_map(taken);
    said_of(ids, session, Said { name, score, label, explanation })
}

/// What an evaluator says.
struct Said {
    name: String,
    score: Option<String>,
    label: Option<String>,
    explanation: Option<String>,
}

fn said_of((trace, span): (TraceId, SpanId), session: Option<String>, said: Said) -> Option<EvaluatorResult> {
    let score = said.score.and_then(|text| text.parse().ok());
    let value = score.filter(|number: &f64| number.is_finite());
    let data_type = match (value, &said.label) {
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
        name: said.name,
        data_type,
        value,
        string_value: said.label.into_iter().collect(),
        comment: said.explanation.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_about_a_field_of_an_item() {
        assert!(is_judgement(b"evaluations.0.evaluation.score") && !is_judgement(b"evaluation.score"));
        assert_eq!(field_of_item("evaluations.12.evaluation.score"), Some(("evaluations.12", "score")));
        assert_eq!(field_of_item("annotations.0.annotation.name"), Some(("annotations.0", "name")));
        for other in
            ["evaluations.x.evaluation.score", "evaluations..evaluation.score", "evaluations.0.annotation.score"]
        {
            assert_eq!(field_of_item(other), None, "{other}");
        }
    }
}
