//! An event that reports an evaluation -> an evaluator result, beside the row that has the event: a log record, or a span of which it is
//! an event.
//!
//! It says what was measured of the span in which it was written. A log record that names no span is about the session that it names, else
//! about its trace; its result has no span then. Without one of these, a name, or a value it is an event and nothing else. When it was
//! written is the version of the result, so that the same request sent again changes nothing, and of several results of one name about
//! the same span, session or trace the latest counts.
//!
//! Attributes of a span that judge it are results as well: `evaluations.0.evaluation.score` and its neighbours, also as `annotations`.
//!
//! Sources: OpenTelemetry semantic-conventions-genai, event `gen_ai.evaluation.result` (Development); OpenInference, Annotations and
//! Evaluations.

use super::fields;
use super::request::Request;
use super::value::{key_value, text};
use super::walk::Context;
use super::wire::Fields;
use crate::columns::{Group as _, Records, RowGroup, SpanScalars, Table};
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

    /// How many days of a request would have a row of that time in a table: days on which its spans begin, and of their events.
    pub(super) fn days_with(&self, time: UnixNanos, spans: &RowGroup) -> usize {
        let is_of_no_span = |day: &&i64| spans.days().binary_search(day).is_err() && **day != time.day();
        let beside = self.rows.as_ref().map_or(0, |rows| rows.days().iter().filter(is_of_no_span).count());
        spans.days_with(time) + beside
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

    /// Adds the result of an event of a span, which is the last of these spans, if it has one. The session is that of the span, where it
    /// has one.
    pub(super) fn event(
        &mut self,
        message: &[u8],
        (span, session): (&SpanScalars<'_>, Option<&str>),
        (request, spans): (&Request<'_>, &RowGroup),
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
        let ids = (Some(span.trace_id), Some(span.span_id));
        let Some(mut found) = result(ids, attributes) else { return Ok(()) };
        if let Some(session) = session {
            session.clone_into(&mut found.session_id);
        }
        let time = self.time_of_event(time, span.start, (request, spans));
        let content = XxHash3_128::oneshot_with_seed(span.fingerprint, message);
        self.put(&found, span.service_name, (time, content));
        Ok(())
    }

    /// When an event was written: at the time that it has, if a span of the request could begin then, else when its span began.
    fn time_of_event(
        &mut self,
        nanos: u64,
        start: UnixNanos,
        (request, spans): (&Request<'_>, &RowGroup),
    ) -> UnixNanos {
        let Some(at) = UnixNanos::of_start(nanos).filter(|_| nanos > 0) else { return start };
        let is_fine = request.check_time("an event time", at, self.days_with(at, spans)).is_ok();
        if is_fine { at } else { start }
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
            let Some(mut found) = judgement((Some(span.trace_id), Some(span.span_id)), fields) else { continue };
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
        Ok(result((trace, span.filter(|_| trace.is_some())), attributes))
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
fn judgement(ids: Ids, mut fields: HashMap<String, String>) -> Option<EvaluatorResult> {
    let mut taken = |field: &str| fields.remove(&format!("{FIELD}{field}")).filter(|text| !text.is_empty());
    let said = Said::new(taken("name")?, [taken("score"), taken("label"), taken("explanation")]);
    match said {
        Said { name, value: None, label: None, explanation: Some(text) } => {
            let alone = Said { name, value: None, label: Some(text), explanation: None };
            alone.result(ids, None).map(|found| EvaluatorResult { data_type: DataType::Text, ..found })
        }
        said => said.result(ids, None),
    }
}

/// The trace and the span that a result is about, as far as they are named.
type Ids = (Option<TraceId>, Option<SpanId>);

fn result(ids: Ids, mut attributes: HashMap<String, String>) -> Option<EvaluatorResult> {
    let mut taken = |key: &str| attributes.remove(key).filter(|text| !text.is_empty());
    let name = taken("gen_ai.evaluation.name")?;
    let (score, label) = (taken("gen_ai.evaluation.score.value"), taken("gen_ai.evaluation.score.label"));
    let explanation = taken("gen_ai.evaluation.explanation");
    let session = SESSION_KEYS.into_iter().find_map(taken);
    Said::new(name, [score, label, explanation]).result(ids, session)
}

/// What an evaluator says.
#[derive(Debug)]
struct Said {
    name: String,
    /// A number, or 0 or 1 for a boolean.
    value: Option<(DataType, f64)>,
    label: Option<String>,
    explanation: Option<String>,
}

impl Said {
    /// Of the texts of a score, a label and an explanation. A score that is a word is a label, if there is no other.
    fn new(name: String, [score, label, explanation]: [Option<String>; 3]) -> Self {
        let number = |text: &str| match text {
            "true" => Some((DataType::Boolean, 1.0)),
            "false" => Some((DataType::Boolean, 0.0)),
            text => text.parse().ok().map(|number| (DataType::Numeric, number)),
        };
        let (value, word) = match score {
            None => (None, None),
            Some(text) => match number(&text) {
                None => (None, Some(text)),
                value => (value.filter(|(_, number): &(_, f64)| number.is_finite()), None),
            },
        };
        Self { name, value, label: label.or(word), explanation }
    }

    /// The result, if there is a value or a label.
    fn result(self, (trace, span): Ids, session: Option<String>) -> Option<EvaluatorResult> {
        let data_type = match (self.value, &self.label) {
            (Some((data_type, _)), _) => data_type,
            (None, Some(_)) => DataType::Categorical,
            (None, None) => return None,
        };
        Some(EvaluatorResult {
            span_id: span.map_or_else(String::new, |span| span.to_string()),
            // as the session of a span is told that has none
            session_id: session.or_else(|| Some(format!("session-{}", trace?)))?,
            trace_id: trace.map_or_else(String::new, |trace| trace.to_string()),
            name: self.name,
            data_type,
            value: self.value.map(|(_, number)| number),
            string_value: self.label.into_iter().collect(),
            comment: self.explanation.into_iter().collect(),
        })
    }
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

    #[test]
    fn a_result_is_of_a_span_else_of_the_session_that_is_named_else_of_the_trace() {
        let (trace, span) = (TraceId::from_slice(&[1; 16]).ok(), SpanId::from_slice(&[2; 8]).ok());
        let of = |ids: Ids, session: Option<&str>| {
            let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            let given = [text("gen_ai.evaluation.name", "n"), text("gen_ai.evaluation.score.value", "1")];
            let session = session.map(|session| text("session.id", session));
            let found = result(ids, given.into_iter().chain(session).collect());
            found.map(|found| (found.trace_id, found.span_id, found.session_id))
        };
        let (trace_id, span_id) = ("01".repeat(16), "02".repeat(8));
        let own = format!("session-{trace_id}");
        let texts =
            |trace: &str, span: &str, session: &str| Some((trace.to_owned(), span.to_owned(), session.to_owned()));
        assert_eq!(of((trace, span), Some("s")), texts(&trace_id, &span_id, "s"));
        assert_eq!(of((trace, None), Some("s")), texts(&trace_id, "", "s"));
        assert_eq!(of((trace, None), None), texts(&trace_id, "", &own));
        assert_eq!(of((None, None), Some("s")), texts("", "", "s"));
        assert_eq!(of((None, None), None), None);
    }

    #[test]
    fn a_score_is_a_number_or_a_boolean_and_any_other_word_is_a_label() {
        let ids = (TraceId::from_slice(&[1; 16]).ok(), SpanId::from_slice(&[2; 8]).ok());
        let fields = |score: Option<&str>, label: Option<&str>| {
            let given = [("name", Some("n")), ("score", score), ("label", label), ("explanation", Some("why"))];
            let given =
                given.into_iter().filter_map(|(field, text)| Some((format!("{FIELD}{field}"), text?.to_owned())));
            let found = judgement(ids, given.collect()).unwrap();
            (found.data_type, found.value, found.string_value, found.comment)
        };
        let result =
            |of: DataType, value: Option<f64>, text: &str, why: &str| (of, value, text.to_owned(), why.to_owned());
        for (score, label, want) in [
            (Some("0.5"), None, result(DataType::Numeric, Some(0.5), "", "why")),
            (Some("0.5"), Some("fair"), result(DataType::Numeric, Some(0.5), "fair", "why")),
            (Some("true"), None, result(DataType::Boolean, Some(1.0), "", "why")),
            (Some("false"), Some("no"), result(DataType::Boolean, Some(0.0), "no", "why")),
            (Some("good"), None, result(DataType::Categorical, None, "good", "why")),
            (Some("good"), Some("pass"), result(DataType::Categorical, None, "pass", "why")),
            (Some("NaN"), None, result(DataType::Text, None, "why", "")),
            (None, None, result(DataType::Text, None, "why", "")),
        ] {
            assert_eq!(fields(score, label), want, "{score:?} {label:?}");
        }
    }
}
