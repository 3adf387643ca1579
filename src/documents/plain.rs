//! Spans in a plain form, which any script can write: `{"source": "...", "spans": [{"span_id", "trace_id", "started_at", ...}]}`.
//!
//! Ids are texts of any form: 32 or 16 hex digits are what they say, others become ids by their hash and stay as attributes. Attributes that
//! the conventions know fill the typed columns, as those of any other span do.
//!
//! Source: NeMo Helix 0.8.1 (Intake), `POST /ingest/spans`, and its recorded answers.

use super::check::{Check, Path};
use super::span::DocumentSpan;
use super::{DocumentContext, DocumentError, DocumentRows, SOURCE, TooMuch};
use crate::chat::{ID_TEXT_BYTES_MAX, ValidationErrors, span_of_text, trace_of_text};
use crate::columns::{SpanKind, StatusCode};
use crate::genai::semconv;
use crate::ids::{SpanId, TraceId};
use crate::json::document::{Document, Value};
use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;
use crate::time::UnixNanos;
use std::borrow::Cow;
use std::collections::HashSet;

/// The instrumentation scope of these spans.
pub const SCOPE_NAME: &str = "millrace.spans";

/// Spans of one body.
pub const SPANS_MAX: usize = 1_000;

const SOURCE_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]*$";
const SOURCE_CHARACTERS_MAX: usize = 128;
const BODY: [&str; 2] = ["source", "spans"];
const SPAN: [&str; 12] = [
    "span_id",
    "trace_id",
    "session_id",
    "parent_span_id",
    "name",
    "kind",
    "status",
    "started_at",
    "ended_at",
    "input",
    "output",
    "attributes",
];
const KINDS: [&str; 10] =
    ["LLM", "CHAIN", "TOOL", "RETRIEVER", "EMBEDDING", "AGENT", "RERANKER", "EVALUATOR", "GUARDRAIL", "UNKNOWN"];
const STATUSES: [&str; 4] = ["success", "error", "cancelled", "unknown"];

/// A span as it is sent.
struct PlainSpan<'d> {
    span_id: Cow<'d, str>,
    trace_id: Cow<'d, str>,
    ids: (TraceId, SpanId),
    parent: Option<Cow<'d, str>>,
    session_id: Option<Cow<'d, str>>,
    name: Option<Cow<'d, str>>,
    kind: &'static str,
    status: &'static str,
    start: UnixNanos,
    end: Option<UnixNanos>,
    input: Option<Value<'d>>,
    output: Option<Value<'d>>,
    attributes: Option<Value<'d>>,
}

/// Reads a body and adds its rows.
///
/// # Errors
/// If it is wrong, or becomes too much. Rows may have been added then, and are to be thrown away.
pub fn read(
    text: &str,
    context: &DocumentContext<'_>,
    limits: Limits,
    rows: &mut DocumentRows<'_>,
) -> Result<(), DocumentError> {
    let document = Document::parse(text).map_err(ValidationErrors::not_json)?;
    let mut check = Check::default();
    let read = body(&mut check, document.root(), context);
    check.finish()?;
    let (source, spans) = read.expect("what cannot be read is wrong");
    rows.begin(SCOPE_NAME);
    for span in &spans {
        put(span, &source, limits, rows)?;
    }
    Ok(())
}

fn body<'d>(
    check: &mut Check,
    root: Value<'d>,
    context: &DocumentContext<'_>,
) -> Option<(Cow<'d, str>, Vec<PlainSpan<'d>>)> {
    let path = Path::ROOT;
    let root = check.object(path, root, &BODY)?;
    let source = source(check, path, root);
    let list = check.required(path, root, "spans")?;
    let path = path.name("spans");
    let list = check.as_list(path, list)?;
    let count = list.items().count();
    if count == 0 {
        check.wrong(path, "too_short", "List should have at least 1 item after validation, not 0", None);
    } else if count > SPANS_MAX {
        let msg = format!("List should have at most {SPANS_MAX} items after validation, not {count}");
        check.wrong(path, "too_long", msg, None);
        return None;
    }
    let mut ids = HashSet::new();
    let mut spans = Vec::with_capacity(count);
    for (index, value) in list.items().enumerate() {
        let path = path.index(index);
        let Some(span) = span(check, path, value, context) else { continue };
        if !ids.insert(span.ids) {
            let msg = "spans must not contain duplicate (trace_id, span_id) identities";
            check.refuse(path.name("span_id"), msg, value.get("span_id"));
        }
        spans.push(span);
    }
    Some((source?, spans))
}

fn source<'d>(check: &mut Check, path: Path<'_>, root: Value<'d>) -> Option<Cow<'d, str>> {
    let text = check.required_text(path, root, "source")?;
    let value = root.get("source");
    if text.chars().count() > SOURCE_CHARACTERS_MAX {
        let msg = format!("String should have at most {SOURCE_CHARACTERS_MAX} characters");
        check.wrong(path.name("source"), "string_too_long", msg, value);
    }
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if !(is_word && text.starts_with(|first: char| first.is_ascii_alphanumeric())) {
        let msg = format!("String should match pattern '{SOURCE_PATTERN}'");
        check.wrong(path.name("source"), "string_pattern_mismatch", msg, value);
    }
    Some(text)
}

fn span<'d>(
    check: &mut Check,
    path: Path<'_>,
    value: Value<'d>,
    context: &DocumentContext<'_>,
) -> Option<PlainSpan<'d>> {
    let object = check.object(path, value, &SPAN)?;
    let (span_id, trace_id) = (id(check, path, object, "span_id"), id(check, path, object, "trace_id"));
    let parent = optional_id(check, path, object, "parent_span_id");
    if parent.is_some() && parent == span_id {
        check.refuse(
            path.name("parent_span_id"),
            "parent_span_id must differ from span_id",
            object.get("parent_span_id"),
        );
    }
    if object.last_member("started_at").is_none_or(Value::is_null) {
        check.wrong(path.name("started_at"), "missing", "Field required", None);
    }
    let start = check.time(path, object, "started_at", true);
    let end = check.time(path, object, "ended_at", true);
    if let (Some(start), Some(end)) = (start, end)
        && end < start
    {
        let msg = "ended_at must be greater than or equal to started_at";
        check.refuse(path.name("ended_at"), msg, object.get("ended_at"));
    }
    if let Some(why) = start.and_then(|start| context.objection(start)) {
        check.refuse(path.name("started_at"), &format!("the span {why}"), object.get("started_at"));
    }
    let kind = word(check, path, object, ("kind", &KINDS, "UNKNOWN"));
    let status = word(check, path, object, ("status", &STATUSES, "unknown"));
    let (span_id, trace_id) = (span_id?, trace_id?);
    let trace = trace_of_text(&trace_id);
    if trace.is_none() {
        check.refuse(path.name("trace_id"), "it is zero or blank", object.get("trace_id"));
    }
    Some(PlainSpan {
        ids: (trace?, span_of_text(&span_id)?),
        parent,
        session_id: optional_id(check, path, object, "session_id"),
        name: check.text(path, object, "name"),
        kind: kind?,
        status: status?,
        start: start?,
        end,
        input: object.get("input"),
        output: object.get("output"),
        attributes: check.dict(path, object, "attributes"),
        span_id,
        trace_id,
    })
}

fn id<'d>(check: &mut Check, path: Path<'_>, object: Value<'d>, name: &'static str) -> Option<Cow<'d, str>> {
    check.required(path, object, name)?;
    let text = check.required_text(path, object, name)?;
    check_id(check, path.name(name), &text);
    Some(text)
}

fn optional_id<'d>(check: &mut Check, path: Path<'_>, object: Value<'d>, name: &'static str) -> Option<Cow<'d, str>> {
    let text = check.text(path, object, name).filter(|text| !text.is_empty())?;
    check_id(check, path.name(name), &text);
    Some(text)
}

fn check_id(check: &mut Check, path: Path<'_>, text: &str) {
    if text.len() > ID_TEXT_BYTES_MAX {
        let msg = format!("String should have at most {ID_TEXT_BYTES_MAX} characters");
        check.wrong(path, "string_too_long", msg, None);
    }
}

fn word(
    check: &mut Check,
    path: Path<'_>,
    object: Value<'_>,
    (name, all, default): (&str, &[&'static str], &'static str),
) -> Option<&'static str> {
    let Some(value) = object.get(name) else { return Some(default) };
    let found = all.iter().find(|word| value.str().as_deref() == Some(word));
    if found.is_none() {
        let quoted: Vec<String> = all.iter().map(|word| format!("'{word}'")).collect();
        let (last, others) = quoted.split_last()?;
        let msg = format!("Input should be {} or {last}", others.join(", "));
        check.wrong(path.name(name), "enum", msg, Some(value));
    }
    found.copied()
}

fn put(span: &PlainSpan<'_>, source: &str, limits: Limits, rows: &mut DocumentRows<'_>) -> Result<(), TooMuch> {
    let (trace_id, span_id) = span.ids;
    let name = span.name.as_deref().unwrap_or_default();
    let mut made = DocumentSpan::new(span.ids, name, span.start);
    made.parent = span.parent.as_deref().and_then(span_of_text);
    made.end = span.end;
    made.service_name = source.into();
    made.kind = if span.kind == "LLM" { SpanKind::Client } else { SpanKind::Internal };
    for (key, value) in span.attributes.iter().flat_map(|attributes| attributes.members()) {
        if !value.is_null() {
            made.put(key.text().into_owned(), as_text(value, limits));
        }
    }
    if let Some(input) = span.input {
        made.put("input.value", as_text(input, limits));
    }
    if let Some(output) = span.output {
        made.put("output.value", as_text(output, limits));
    }
    if span.kind != "UNKNOWN" {
        made.put("openinference.span.kind", span.kind);
    }
    match span.status {
        "error" => made.status = StatusCode::Error,
        "cancelled" => made.put("otel.status_code", "cancelled"),
        _ => {}
    }
    made.put(SOURCE, source);
    made.put(semconv::SESSION_ID, span.session_id.as_deref().unwrap_or(&span.trace_id));
    if !span.trace_id.eq_ignore_ascii_case(&trace_id.to_string()) {
        made.put(semconv::MILLRACE_TRACE_ID, &*span.trace_id);
    }
    if !span.span_id.eq_ignore_ascii_case(&span_id.to_string()) {
        made.put(semconv::MILLRACE_SPAN_ID, &*span.span_id);
    }
    rows.put(&made)
}

/// A text as it is; any other value as JSON.
fn as_text(value: Value<'_>, limits: Limits) -> String {
    if let Some(text) = value.str()
        && text.len() <= limits.max_value_bytes
    {
        return text.into_owned();
    }
    let mut json = JsonWriter::new(limits);
    json.value(value);
    json.finish().0
}
