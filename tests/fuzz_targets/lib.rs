//! What is fuzzed: each target takes any bytes, and panics when a promise is broken.
//!
//! ```text
//! chat_body      a body of the chat ingest converts or is refused with 422, and twice to the same span
//! chunk_merge    a stream's text and the list of its chunks become the same span
//! foreign_record a record of LiteLLM or Helicone that is read at all converts, twice to the same span
//! data_url       whatever stands where a URL belongs becomes one part, and no `uri` is a data URL
//! otlp_protobuf  a request is accepted when prost accepts what is stored of it, with as many spans
//! otlp_json      what is transcoded is protobuf that decodes
//! otlp_metrics   the same of metrics; each data point is a row or rejected
//! otlp_logs      the same of log records
//! otlp_parts     a request by an attribute of its resources has the same items, and each row has the value that its part was told by
//! convention     whatever attributes a span has, its messages are JSON that is kept as it is when it is sent again
//! document       a trajectory or a document of spans is refused with a reason, or becomes rows within its bounds, twice the same
//! score          the body of an annotation, a result or an experiment is refused with a reason, or becomes a row
//! import_file    whatever lines a file has, each reader makes the same requests of them twice, and they are OTLP
//! read_query     a query string of the list of spans is refused with a reason, or becomes a condition with no text of it
//! search         a search is refused within its text, or becomes a condition with no text of it
//! tool_call      a call of a tool is refused with a reason, or is a request of the read API in the caller's workspace
//! redaction      what is secret is gone, JSON stays JSON, and a request keeps its items
//! statement      a statement is refused, or cut within its text
//! header         no header is a token that it does not have, and ids of texts are the same twice
//! config         a configuration is refused with a reason, or is one that can be shown
//! coded_body     a body in each coding ends, or is refused
//! journal_file   a journal opens with any file in it, and what it sends of it are blocks
//! native_block   what is read as a block has its rows in every column, and cut in two it has the same rows
//! ```
//!
//! All of them take steps in proportion to their input (`millrace::steps`).
//!
//! The binaries of cargo-fuzz run them (`make fuzz`), and so does `tests/codec/fuzz_smoke.rs` with fewer inputs.

#![allow(clippy::indexing_slicing, reason = "a target panics when a promise is broken")]

mod blocks;
mod bodies;
mod files;
mod guards;
mod signals;
mod stored;

pub use blocks::{convention, native_block};
pub use bodies::{document, score, tool_call};
pub use files::{coded_body, config, journal_file};
pub use guards::{PLANTED, header, redaction, statement};
pub use signals::{otlp_logs, otlp_parts};

use millrace::chat::vendor::records::Records;
use millrace::chat::vendor::{helicone, litellm};
use millrace::chat::{self, AttrValue, Body, Capture, ChatSpan, Context, Limits, ParseOptions};
use millrace::columns::Group as _;
use millrace::formats;
use millrace::otlp::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use millrace::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use millrace::otlp::{self, DecodeError, Encoding};
use millrace::query::{Search, asked_of_spans};
use millrace::steps;
use millrace::time::UnixNanos;
use millrace::workspace::Workspace;
use prost::Message as _;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 23] = [
    ("chat_body", chat_body),
    ("chunk_merge", chunk_merge),
    ("foreign_record", foreign_record),
    ("data_url", data_url),
    ("otlp_protobuf", otlp_protobuf),
    ("otlp_json", otlp_json),
    ("otlp_metrics", otlp_metrics),
    ("convention", convention),
    ("native_block", native_block),
    ("import_file", import_file),
    ("search", search),
    ("read_query", read_query),
    ("otlp_logs", otlp_logs),
    ("otlp_parts", otlp_parts),
    ("document", document),
    ("score", score),
    ("tool_call", tool_call),
    ("redaction", redaction),
    ("statement", statement),
    ("header", header),
    ("config", config),
    ("coded_body", coded_body),
    ("journal_file", journal_file),
];

/// Most steps for a byte of input: a target reads it several times, some of them as many records.
const STEPS_PER_BYTE: u64 = 2_000;

/// Steps for what a target adds of its own.
const STEPS_OF_ITS_OWN: u64 = 100_000;

/// Runs a target, and holds its steps to the size of the input.
pub fn run(target: fn(&[u8]), data: &[u8]) {
    let ((), steps) = steps::of(|| target(data));
    let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
    let steps_max = bytes.saturating_mul(STEPS_PER_BYTE).saturating_add(STEPS_OF_ITS_OWN);
    assert!(steps <= steps_max, "{steps} steps for {bytes} bytes");
}

/// Limits so small that a fuzzer's inputs reach them.
const SMALL: Limits = Limits { max_value_bytes: 64, max_inline_media_bytes: 32 };

/// Converts a body and hands its span on, once with the defaults and once with small limits. Nothing for a refusal.
fn with_span<T>(body: &[u8], limits: Limits, look: impl FnOnce(&ChatSpan<'_>) -> T) -> Option<T> {
    let options = ParseOptions { limits, ..ParseOptions::default() };
    let refused = |errors: chat::ValidationErrors| {
        let answer: Value = serde_json::from_str(&errors.to_json()).expect("a refusal is JSON");
        assert!(answer["detail"].as_array().is_some_and(|details| !details.is_empty()), "a refusal says why");
    };
    let body = Body::of_call(body).map_err(refused).ok()?;
    let capture = chat::parse(&body, &options).map_err(refused).ok()?;
    let workspace = Workspace::default();
    let received_at = UnixNanos::new(1_800_000_000_000_000_000).expect("a time");
    let context = Context { workspace: &workspace, received_at, traceparent: None, idempotency_key: None };
    let span = chat::convert(&capture, &context).map_err(refused).ok()?;
    Some(look(&span))
}

/// The attributes of a span as the columns have them; checks on the way that what should be JSON is JSON.
fn columns(span: &ChatSpan<'_>) -> Vec<(String, String)> {
    let mut seen = std::collections::HashSet::new();
    let column = |(key, value): (std::borrow::Cow<'static, str>, AttrValue<'_>)| {
        let mut text = String::new();
        value.as_column_text(&mut text);
        if let AttrValue::Json(_) | AttrValue::StrList(_) = value {
            let read: Result<Value, _> = serde_json::from_str(&text);
            assert!(read.is_ok(), "{key} is not JSON: {text}");
        }
        assert!(seen.insert(key.clone()), "{key} is there twice");
        (key.to_string(), text)
    };
    let columns = span.all_attributes().map(column).collect();
    for raw in [&span.raw.request, &span.raw.response] {
        // as they were sent, so halves of characters too: only the grammar is to hold
        let read: Result<&RawValue, _> = serde_json::from_str(raw);
        assert!(raw.is_empty() || read.is_ok(), "not JSON: {raw}");
    }
    columns
}

/// Each reader of files makes the same records twice, and requests of them that are OTLP.
pub fn import_file(data: &[u8]) {
    let source = formats::Source {
        workspace: Workspace::default(),
        import_id: "i".to_owned(),
        file_name: "f".to_owned(),
        drops_content: data.len().is_multiple_of(2),
    };
    let text = String::from_utf8_lossy(data);
    if let Some(end) = formats::csv::row_end(data) {
        assert!((1..=data.len()).contains(&end), "a row ends in the text");
        let _members = formats::csv::object(&formats::csv::values(&text), &text);
    }
    let first = data.split(|byte| *byte == b'\n').find_map(|line| serde_json::from_slice(line).ok());
    let _format = formats::detect(data, first.as_ref());
    for format in formats::Format::ALL {
        let read = || {
            let (mut reader, mut sink) = (format.reader(&source), formats::Sink::default());
            data.split(|byte| *byte == b'\n').for_each(|line| reader.piece(line, &mut sink));
            reader.end(&mut sink);
            sink
        };
        let sink = read();
        assert_eq!(sink.records, read().records, "{format}");
        for record in sink.records {
            match record {
                formats::Record::Otlp { signal: otlp::Signal::Traces, request, items, .. } => {
                    assert!(items > 0, "a request without spans is not sent");
                    if format != formats::Format::OtlpProtobuf {
                        ExportTraceServiceRequest::decode(&request[..]).expect("it is OTLP");
                    }
                }
                formats::Record::Otlp { .. } => {}
                formats::Record::Body { json, .. } => {
                    assert!(!json.contains(&b'\n'), "a record is one line");
                    serde_json::from_slice::<&RawValue>(&json).expect("a record is JSON");
                }
            }
        }
    }
}

/// The body of a captured call is converted or refused, twice alike, whatever the limits are.
pub fn chat_body(data: &[u8]) {
    let whole = |span: &ChatSpan<'_>| {
        assert!(span.end >= span.start, "a span ends before it starts");
        let is_whole =
            ["millrace.truncated", "millrace.media.replaced"].iter().all(|key| span.attribute(key).is_none());
        for raw in [&span.raw.request, &span.raw.response] {
            let is_sent = || String::from_utf8_lossy(data).contains(&**raw);
            assert!(!raw.is_empty() && (!is_whole || is_sent()), "not as it was sent: {raw}");
        }
        (span.trace.id(), span.span_id, columns(span))
    };
    let bounded = |span: &ChatSpan<'_>| {
        for raw in [&span.raw.request, &span.raw.response] {
            let read: Result<Value, _> = serde_json::from_str(raw);
            assert!(read.as_ref().is_ok_and(is_bounded) || read.is_err(), "a text is too long: {raw}");
        }
    };
    let _any_outcome = with_span(data, SMALL, bounded);
    let first = with_span(data, Limits::default(), whole);
    assert_eq!(first, with_span(data, Limits::default(), whole), "the same body became two spans");
    let small = with_span(data, SMALL, whole);
    let ids = |span: Option<(_, _, Vec<(String, String)>)>| span.map(|(trace, span, _)| (trace, span));
    assert_eq!(ids(first), ids(small), "limits changed who a span is");
}

/// No text is longer than the small limits allow, but for the marker or the reference that says what is missing. A
/// medium may be percent-encoded, with a header.
fn is_bounded(value: &Value) -> bool {
    let bytes_max = SMALL.max_value_bytes + 3 * SMALL.max_inline_media_bytes;
    match value {
        Value::String(text) => text.len() <= bytes_max || text.ends_with(" bytes cut by millrace]"),
        Value::Array(items) => items.iter().all(is_bounded),
        Value::Object(members) => members.values().all(is_bounded),
        _ => true,
    }
}

/// The span's attributes of a pair with this response.
fn of_response(response: &Value) -> Option<Vec<(String, String)>> {
    let body = json!({"provider": "p", "request": {"model": "m", "messages": []}, "response": response}).to_string();
    with_span(body.as_bytes(), Limits::default(), columns)
}

/// A search is refused within its text, or becomes a condition of which no value of it is a part.
pub fn search(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let now = UnixNanos::new(1_800_000_000_000_000_000).expect("a time");
    match Search::parse(text, now) {
        Err(problem) => {
            assert!((1..=text.chars().count() + 2).contains(&problem.position), "{problem:?}");
            assert!(!problem.why.is_empty(), "a refusal says why");
        }
        Ok(search) => {
            let (sql, parameters) = search.condition_on_spans();
            assert!(parameters > 0 || sql.len() < 2_000, "a condition has values: {sql}");
            // values are places; what we write ourselves is ASCII
            assert!(sql.is_ascii() && sql.matches('(').count() == sql.matches(')').count(), "{sql}");
        }
    }
}

/// A query string with a filter, a cursor, a search and a page is refused with a reason, or becomes a condition of which no value of it
/// is a part.
pub fn read_query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let now = UnixNanos::new(1_800_000_000_000_000_000).expect("a time");
    let asked = asked_of_spans(text, now);
    match &asked {
        Err(refusal) => {
            assert!(refusal.status().is_client_error(), "{refusal:?}");
            let is_said = refusal.detail().as_str().map_or_else(|| refusal.detail().is_array(), |why| !why.is_empty());
            assert!(is_said, "a refusal says why: {refusal:?}");
        }
        Ok((sql, parameters)) => {
            assert!(sql.is_ascii() && sql.matches('(').count() == sql.matches(')').count(), "{sql}");
            let places = sql.matches("{p").count();
            assert!(places >= *parameters, "each of {parameters} values has its place: {sql}");
        }
    }
    assert_eq!(asked, asked_of_spans(text, now), "it was read in two ways");
}

/// The chunks of a stream merge to the same span as a list, as texts and as a stream.
pub fn chunk_merge(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _any_outcome = of_response(&json!(text));
    let lines: Vec<&str> = text.lines().collect();
    let _any_outcome = of_response(&json!(lines));
    let chunks: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let chunks: Vec<Value> = chunks.into_iter().filter(is_chunk).collect();
    if chunks.is_empty() {
        return;
    }
    let sse: String = chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect();
    let strings: Vec<Value> = chunks.iter().map(|chunk| json!(chunk.to_string())).collect();
    let listed = of_response(&json!(chunks));
    assert_eq!(listed, of_response(&json!(strings)), "chunks as texts merge differently");
    assert_eq!(listed, of_response(&json!(format!("{sse}data: [DONE]\n\n"))), "chunks as a stream merge differently");
}

/// An object that only a stream contains: a text of a whole response is read as that response.
fn is_chunk(value: &Value) -> bool {
    value["object"] == "chat.completion.chunk" && value["choices"].is_array()
}

/// A record of LiteLLM or Helicone that can be read becomes a span, twice the same.
pub fn foreign_record(data: &[u8]) {
    let records = Records::of(data);
    for (_, record) in std::iter::once((0, data)).chain(records.iter().take(8)) {
        for limits in [Limits::default(), SMALL] {
            let headers = [("helicone-session-id", "s")];
            let options = ParseOptions { limits, ..ParseOptions::default() };
            let Ok(body) = Body::of_record(record) else { continue };
            let read = [litellm::read(&body, &options), helicone::read(&body, &headers, &options)];
            for capture in read.into_iter().flatten() {
                assert_eq!(of_record(&capture), of_record(&capture), "the same record became two spans");
            }
        }
    }
}

/// The attributes of a record's span.
fn of_record(capture: &Capture<'_>) -> Vec<(String, String)> {
    let workspace = Workspace::default();
    let received_at = UnixNanos::new(1_800_000_000_000_000_000).expect("a time");
    let context = Context { workspace: &workspace, received_at, traceparent: None, idempotency_key: None };
    let span = chat::convert(capture, &context).expect("a record that is read is never refused");
    columns(&span)
}

/// Whatever stands where a URL belongs becomes one part, and no `uri` is a data URL.
pub fn data_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parts = json!([
        {"type": "image_url", "image_url": {"url": text}}, {"type": "image_url", "image_url": text},
        {"type": "input_audio", "input_audio": {"data": text, "format": "wav"}},
        {"type": "file", "file": {"file_data": text, "filename": "a.pdf"}},
    ]);
    let body = json!({
        "request": {"model": "m", "messages": [{"role": "user", "content": parts}]},
        "response": {"choices": [{"message": {"images": [text], "audio": {"data": text}}}]},
    });
    for limits in [Limits::default(), SMALL] {
        let columns = with_span(body.to_string().as_bytes(), limits, columns).expect("media are never refused");
        for key in ["gen_ai.input.messages", "gen_ai.output.messages"] {
            let (_, json) = columns.iter().find(|(name, _)| name == key).expect("there are messages");
            check_parts(&serde_json::from_str(json).expect("messages are JSON"), key == "gen_ai.input.messages");
        }
    }
}

fn check_parts(messages: &Value, is_input: bool) {
    let parts: Vec<&Value> =
        messages.as_array().into_iter().flatten().filter_map(|it| it["parts"].as_array()).flatten().collect();
    assert!(!is_input || parts.len() == 4, "a medium is lost: {messages}");
    for part in parts {
        let uri = part["uri"].as_str().unwrap_or_default();
        assert!(!uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")), "a data URL as uri: {part}");
        assert!(part["type"] != "uri" || part["sha256"].is_null() || part["size"].is_u64(), "no size: {part}");
    }
}

/// A request is accepted when prost accepts it, with as many spans.
pub fn otlp_protobuf(data: &[u8]) {
    let ours = otlp::decode_traces(data, Encoding::Protobuf, &Workspace::default(), &otlp::Limits::default());
    let prosts = stored::Request::decode(data);
    match (&ours, &prosts) {
        (Err(DecodeError::TooMany { .. }), _) | (Err(_), Err(_)) => {}
        (Ok(decoded), Ok(request)) => {
            let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
            let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
            assert_eq!(decoded.rows.rows() + decoded.rejected, spans, "spans are lost");
        }
        // groups are in no message of OTLP: here they may nest less deep than prost lets them
        (Err(error), Ok(_)) => {
            assert!(error.to_string().contains("groups that do not match"), "prost accepts what we refuse: {error}");
        }
        // A bad span is not read to its end, what is nested too deep costs its span where prost gives up, and of a value
        // that is there twice only the last is read.
        (Ok(decoded), Err(error)) => {
            let words = error.to_string();
            let is_excused = ["recursion limit", "AnyValue.value", "KeyValue.value"];
            // resources and scopes without a span are not read
            let has_no_span = decoded.rows.rows() == 0 && decoded.rejected == 0;
            let is_excused = decoded.rejected > 0 || has_no_span || is_excused.iter().any(|part| words.contains(part));
            assert!(is_excused, "prost refuses what we accept: {words}");
        }
    }
}

/// Each data point of a request is a row or rejected, and what is transcoded can be decoded, by prost too.
pub fn otlp_metrics(data: &[u8]) {
    let (workspace, limits) = (Workspace::default(), otlp::Limits::default());
    if let Ok(transcoded) = otlp::transcode(data, otlp::Signal::Metrics, limits.depth) {
        let decoded = transcoded.decode_metrics(&workspace, &limits);
        assert!(matches!(decoded, Ok(_) | Err(DecodeError::TooMany { .. })), "what we wrote is malformed: {decoded:?}");
        otlp_metrics_protobuf(transcoded.protobuf());
    }
    otlp_metrics_protobuf(data);
}

fn otlp_metrics_protobuf(data: &[u8]) {
    let ours = otlp::decode_metrics(data, Encoding::Protobuf, &Workspace::default(), &otlp::Limits::default());
    let counted = otlp::count_items(data, otlp::Signal::Metrics);
    if let Ok(decoded) = &ours {
        let rows: usize = decoded.groups.iter().map(|records| records.rows()).sum();
        assert!(rows + decoded.rejected >= counted, "data points are lost");
        assert!(rows <= counted, "a row is no data point");
    }
    if ExportMetricsServiceRequest::decode(data).is_ok() {
        let is_excused = |error: &DecodeError| {
            matches!(error, DecodeError::TooMany { .. }) || error.to_string().contains("groups that do not match")
        };
        assert!(ours.as_ref().err().is_none_or(is_excused), "prost accepts what we refuse: {ours:?}");
    }
}

/// What is transcoded is protobuf that can be decoded, by prost too.
pub fn otlp_json(data: &[u8]) {
    let Ok(transcoded) = otlp::transcode_traces(data, otlp::Limits::default().depth) else {
        return;
    };
    let text = String::from_utf8_lossy(data);
    assert!(transcoded.protobuf().len() <= text.len(), "{} bytes of {text}", transcoded.protobuf().len());
    let decoded = transcoded.decode(&Workspace::default(), &otlp::Limits::default());
    assert!(matches!(decoded, Ok(_) | Err(DecodeError::TooMany { .. })), "what we wrote is malformed: {decoded:?}");
    match ExportTraceServiceRequest::decode(transcoded.protobuf()) {
        Ok(request) => {
            let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
            let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
            assert!(
                decoded.is_err() || decoded.is_ok_and(|it| it.rows.rows() + it.rejected == spans),
                "spans are lost"
            );
        }
        // we allow values to nest deeper
        Err(error) => assert!(error.to_string().contains("recursion limit"), "prost refuses what we wrote: {error}"),
    }
}
