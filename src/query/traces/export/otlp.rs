//! A trace as OTLP/JSON: one `TracesData`, with its spans below their resources and scopes, each of which is written once.
//!
//! Everything that a row keeps of OTLP is in it; ingested again it makes the same row. The table keeps attributes as texts, so they are
//! texts here, but for counts, numbers and lists of texts whose keys say what they are. Source: OTLP 1.11.0, "JSON Protobuf Encoding".

use super::room::Room;
use super::row::{Attributes, Key, SpanRow};
use super::{Exported, lacking, statements};
use crate::formats;
use crate::query::answer::Refusal;
use crate::text::{put_double, write_string};
use crate::workspace;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// What the keys of content of events begin with in a row; then comes which event it is of, counted from 1.
const OF_EVENT: &str = "events.";
/// What starts the keys of counts.
const COUNTS: [&str; 2] = ["gen_ai.usage.", "llm.token_count."];
const COUNT: [&str; 4] =
    ["gen_ai.request.max_tokens", "gen_ai.request.top_k", "gen_ai.request.seed", "gen_ai.request.choice.count"];
/// What starts the keys of numbers.
const NUMBERS: [&str; 2] = ["llm.cost.", "gen_ai.usage.cost"];
const NUMBER: [&str; 5] = [
    "gen_ai.request.temperature",
    "gen_ai.request.top_p",
    "gen_ai.request.frequency_penalty",
    "gen_ai.request.presence_penalty",
    "gen_ai.response.time_to_first_chunk",
];
const LISTS: [&str; 2] = ["gen_ai.response.finish_reasons", "gen_ai.request.stop_sequences"];

/// The document in pieces.
pub(super) async fn write(trace: &Exported<'_>) -> Result<Vec<String>, Refusal> {
    let mut document = Document::default();
    for keys in trace.chunks() {
        let wanted: HashSet<(i64, &str)> = keys.iter().map(|key: &Key| (key.started, key.span_id.as_str())).collect();
        let rows: Vec<SpanRow> = trace.api.reads.ask(&statements::rows(trace, keys)).await?;
        for row in rows.iter().filter(|row| wanted.contains(&(row.started, row.span_id.as_str()))) {
            document.add(row)?;
        }
    }
    Ok(document.into_pieces())
}

/// Spans by resource and scope, in the order in which these came first.
#[derive(Default)]
struct Document {
    room: Room,
    resources: Vec<Resource>,
    /// The place of a resource in the list, by its opening.
    places: HashMap<String, usize>,
}

#[derive(Default)]
struct Resource {
    opening: String,
    scopes: Vec<Scope>,
    /// The place of a scope in the list, by its opening.
    places: HashMap<String, usize>,
}

#[derive(Default)]
struct Scope {
    opening: String,
    spans: String,
}

impl Document {
    fn add(&mut self, row: &SpanRow) -> Result<(), Refusal> {
        let Self { room, resources, places } = self;
        let opening = resource(row);
        let resource = entry(resources, places, &opening, |opening| {
            room.take(opening.len() + RESOURCE_ENDS.len() + 1)?;
            Ok(Resource { opening, ..Resource::default() })
        })?;
        let opening = scope(row);
        let scope = entry(&mut resource.scopes, &mut resource.places, &opening, |opening| {
            room.take(opening.len() + SCOPE_ENDS.len() + 1)?;
            Ok(Scope { opening, ..Scope::default() })
        })?;
        let before = scope.spans.len();
        if before > 0 {
            scope.spans.push(',');
        }
        put_span(&mut scope.spans, row);
        room.take(scope.spans.len() - before)
    }

    fn into_pieces(self) -> Vec<String> {
        let mut pieces = vec![r#"{"resourceSpans":["#.to_owned()];
        for (number, resource) in self.resources.into_iter().enumerate() {
            pieces.push(format!("{}{}", comma(number), resource.opening));
            for (number, scope) in resource.scopes.into_iter().enumerate() {
                pieces.push(format!("{}{}", comma(number), scope.opening));
                pieces.push(scope.spans);
                pieces.push(SCOPE_ENDS.to_owned());
            }
            pieces.push(RESOURCE_ENDS.to_owned());
        }
        pieces.push("]}".to_owned());
        pieces
    }
}

/// The element of the list that has this opening; a new one, made by `new`, is appended.
fn entry<'l, T>(
    list: &'l mut Vec<T>,
    places: &mut HashMap<String, usize>,
    opening: &str,
    new: impl FnOnce(String) -> Result<T, Refusal>,
) -> Result<&'l mut T, Refusal> {
    let place = match places.get(opening) {
        Some(place) => *place,
        None => {
            list.push(new(opening.to_owned())?);
            places.insert(opening.to_owned(), list.len() - 1);
            list.len() - 1
        }
    };
    Ok(list.get_mut(place).expect("places are those of elements of the list"))
}

const RESOURCE_ENDS: &str = "]}";
const SCOPE_ENDS: &str = "]}";

/// A resource as far as its spans. Whoever ingests it decides on the workspace, and the undo of an import must not reach the copy.
fn resource(row: &SpanRow) -> String {
    let mut out = r#"{"resource":{"attributes":"#.to_owned();
    put_attributes(
        &mut out,
        row.resource.iter().filter(|(key, _)| key != workspace::ATTRIBUTE && key != formats::ATTRIBUTE).map(borrowed),
    );
    out.push('}');
    put_schema(&mut out, &row.resource_schema_url);
    out.push_str(r#","scopeSpans":["#);
    out
}

fn scope(row: &SpanRow) -> String {
    let mut out = r#"{"scope":{"name":"#.to_owned();
    write_string(&mut out, &row.scope_name);
    out.push_str(r#","version":"#);
    write_string(&mut out, &row.scope_version);
    out.push_str(r#","attributes":"#);
    put_attributes(&mut out, row.scope_attributes.iter().map(borrowed));
    out.push('}');
    put_schema(&mut out, &row.scope_schema_url);
    out.push_str(r#","spans":["#);
    out
}

fn put_schema(out: &mut String, url: &str) {
    if !url.is_empty() {
        out.push_str(r#","schemaUrl":"#);
        write_string(out, url);
    }
}

fn put_span(out: &mut String, row: &SpanRow) {
    let (content, events) = parted(row);
    let lacking = lacking::of(row, &content, &events);
    out.push_str(r#"{"traceId":"#);
    write_string(out, &row.trace_id);
    let members = [
        ("spanId", &row.span_id),
        ("parentSpanId", &row.parent_span_id),
        ("traceState", &row.trace_state),
        ("name", &row.name),
    ];
    for (name, text) in members.into_iter().filter(|(_, text)| !text.is_empty()) {
        put(out, format_args!(",\"{name}\":"));
        write_string(out, text);
    }
    put(out, format_args!(",\"kind\":{},\"startTimeUnixNano\":\"{}\"", kind(&row.kind), row.started));
    let ended = row.started.saturating_add_unsigned(row.duration);
    put(out, format_args!(",\"endTimeUnixNano\":\"{ended}\",\"flags\":{},\"attributes\":", row.flags));
    let added = lacking.iter().map(|(key, text)| (*key, text.as_str()));
    put_attributes(out, row.attributes.iter().chain(&content).map(borrowed).chain(added));
    out.push_str(",\"events\":[");
    for (number, ((at, name), attributes)) in row.event_times.iter().zip(&row.event_names).zip(&events).enumerate() {
        put(out, format_args!("{}{{\"timeUnixNano\":\"{at}\",\"name\":", comma(number)));
        write_string(out, name);
        out.push_str(",\"attributes\":");
        put_attributes(out, attributes.iter().map(borrowed));
        out.push('}');
    }
    out.push_str("],\"links\":[");
    put_links(out, row);
    put(out, format_args!("],\"status\":{{\"code\":{},\"message\":", status(&row.status_code)));
    write_string(out, &row.status_message);
    out.push_str("}}");
}

fn put_links(out: &mut String, row: &SpanRow) {
    let links = row.link_traces.iter().zip(&row.link_spans).zip(row.link_states.iter().zip(&row.link_attributes));
    for (number, ((trace, span), (state, attributes))) in links.enumerate() {
        put(out, format_args!("{}{{\"traceId\":", comma(number)));
        write_string(out, trace);
        out.push_str(",\"spanId\":");
        write_string(out, span);
        out.push_str(",\"traceState\":");
        write_string(out, state);
        out.push_str(",\"attributes\":");
        put_attributes(out, attributes.iter().map(borrowed));
        out.push('}');
    }
}

/// The content of the span itself, and the attributes of its events with their content among them again.
fn parted(row: &SpanRow) -> (Attributes, Vec<Attributes>) {
    let mut events = row.event_attributes.clone();
    let mut content = Attributes::new();
    for (key, value) in &row.content {
        let of_event = key.strip_prefix(OF_EVENT).and_then(|rest| rest.split_once('.'));
        let event = of_event.and_then(|(number, key)| {
            let event = events.get_mut(number.parse::<usize>().ok()?.checked_sub(1)?)?;
            Some((event, key))
        });
        match event {
            Some((event, key)) => event.push((key.to_owned(), value.clone())),
            None => content.push((key.clone(), value.clone())),
        }
    }
    (content, events)
}

fn borrowed((key, value): &(String, String)) -> (&str, &str) {
    (key, value)
}

fn comma(number: usize) -> &'static str {
    if number > 0 { "," } else { "" }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _a_string_takes_any_text = out.write_fmt(text);
}

fn put_attributes<'t>(out: &mut String, attributes: impl Iterator<Item = (&'t str, &'t str)>) {
    out.push('[');
    for (number, (key, text)) in attributes.enumerate() {
        put(out, format_args!("{}{{\"key\":", comma(number)));
        write_string(out, key);
        out.push_str(",\"value\":{");
        put_value(out, key, text);
        out.push_str("}}");
    }
    out.push(']');
}

/// A value whose column's text is `text`. It is a text itself unless its key says what it is, and it reads back as the same text.
fn put_value(out: &mut String, key: &str, text: &str) {
    let is_one =
        |starts: &[&str], keys: &[&str]| starts.iter().any(|start| key.starts_with(start)) || keys.contains(&key);
    if is_one(&COUNTS, &COUNT) && text.parse::<i64>().is_ok_and(|count| count.to_string() == text) {
        put(out, format_args!("\"intValue\":\"{text}\""));
    } else if is_one(&NUMBERS, &NUMBER) && is_number(text) {
        put(out, format_args!("\"doubleValue\":{text}"));
    } else if let Some(texts) = LISTS.contains(&key).then(|| list(text)).flatten() {
        out.push_str("\"arrayValue\":{\"values\":[");
        for (number, text) in texts.iter().enumerate() {
            put(out, format_args!("{}{{\"stringValue\":", comma(number)));
            write_string(out, text);
            out.push('}');
        }
        out.push_str("]}");
    } else {
        out.push_str("\"stringValue\":");
        write_string(out, text);
    }
}

fn is_number(text: &str) -> bool {
    let mut written = String::new();
    text.parse().is_ok_and(|number: f64| {
        put_double(&mut written, number);
        number.is_finite() && written == text
    })
}

/// The texts of a list that is written as a column has it.
fn list(text: &str) -> Option<Vec<String>> {
    let texts: Vec<String> = serde_json::from_str(text).ok()?;
    let mut written = "[".to_owned();
    for (number, text) in texts.iter().enumerate() {
        written.push_str(comma(number));
        write_string(&mut written, text);
    }
    written.push(']');
    (written == text).then_some(texts)
}

/// Source: OTLP trace.proto, `Span.SpanKind`.
fn kind(literal: &str) -> u8 {
    match literal {
        "Internal" => 1,
        "Server" => 2,
        "Client" => 3,
        "Producer" => 4,
        "Consumer" => 5,
        _ => 0,
    }
}

/// Source: OTLP trace.proto, `Status.StatusCode`.
fn status(literal: &str) -> u8 {
    match literal {
        "Ok" => 1,
        "Error" => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str, text: &str) -> String {
        let mut out = String::new();
        put_value(&mut out, key, text);
        out
    }

    #[test]
    fn a_value_is_what_its_key_says_if_it_reads_back_as_the_same_text() {
        for (key, text, want) in [
            ("a", "1", r#""stringValue":"1""#),
            ("gen_ai.usage.input_tokens", "12", r#""intValue":"12""#),
            ("gen_ai.usage.input_tokens", "012", r#""stringValue":"012""#),
            ("gen_ai.request.temperature", "0.7", r#""doubleValue":0.7"#),
            ("gen_ai.request.temperature", "0.70", r#""stringValue":"0.70""#),
            ("llm.cost.total", "NaN", r#""stringValue":"NaN""#),
            (
                "gen_ai.response.finish_reasons",
                r#"["stop","\"x"]"#,
                r#""arrayValue":{"values":[{"stringValue":"stop"},{"stringValue":"\"x"}]}"#,
            ),
            ("gen_ai.response.finish_reasons", r#"["stop", "x"]"#, r#""stringValue":"[\"stop\", \"x\"]""#),
            ("gen_ai.response.finish_reasons", "stop", r#""stringValue":"stop""#),
        ] {
            assert_eq!(value(key, text), want);
        }
    }
}
