//! OTLP in files: JSON lines of the collector, protobuf of the collector and of MLflow, spans that Phoenix lists.
//!
//! Sources: OpenTelemetry specification, "OTLP File Exporter"; mlflow, `artifacts/traces.pb`; Phoenix, `/v1/projects/{id}/spans/otlpv1`.

use super::{ATTRIBUTE, Reader, Record, Sink, Source};
use crate::otlp::{Limits, Signal, count_items, transcode, with_resource_attribute};
use serde::de::IgnoredAny;
use serde_json::Value;

/// Reads requests in JSON.
#[derive(Debug)]
pub struct JsonReader {
    import_id: String,
}

impl JsonReader {
    pub(super) fn new(source: &Source) -> Self {
        Self { import_id: source.import_id.clone() }
    }
}

impl Reader for JsonReader {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        let Some(signal) = signal_of(piece) else {
            return match serde_json::from_slice::<IgnoredAny>(piece) {
                Ok(_) => sink.reject("it has none of resourceSpans, resourceLogs and resourceMetrics"),
                Err(error) => sink.reject(format!("it is not JSON: {error}")),
            };
        };
        request(piece, signal, &self.import_id, sink);
    }
}

/// Adds the request that a text is.
fn request(json: &[u8], signal: Signal, import_id: &str, sink: &mut Sink) {
    let read = match transcode(json, signal, Limits::default().depth) {
        Ok(read) => read,
        Err(error) => return sink.reject(error.to_string()),
    };
    if let Some(wrong) = read.first_wrong() {
        return sink.reject(wrong);
    }
    add(read.protobuf(), signal, import_id, sink);
}

fn add(protobuf: &[u8], signal: Signal, import_id: &str, sink: &mut Sink) {
    let items = count_items(protobuf, signal);
    match with_resource_attribute(protobuf, signal, ATTRIBUTE, import_id) {
        Ok(request) if items > 0 => sink.records.push(Record::Otlp { signal, request, items, known: None }),
        Ok(_) => sink.other("empty request"),
        Err(error) => sink.reject(error.to_string()),
    }
}

/// The signal of a request, by the first of its keys.
fn signal_of(json: &[u8]) -> Option<Signal> {
    const KEYS: [(&str, Signal); 6] = [
        ("\"resourceSpans\"", Signal::Traces),
        ("\"resourceLogs\"", Signal::Logs),
        ("\"resourceMetrics\"", Signal::Metrics),
        ("\"resource_spans\"", Signal::Traces),
        ("\"resource_logs\"", Signal::Logs),
        ("\"resource_metrics\"", Signal::Metrics),
    ];
    let head = json.get(..64).unwrap_or(json);
    let within = |bytes: &[u8]| {
        KEYS.into_iter()
            .find(|(key, _)| memchr::memmem::find(bytes, key.as_bytes()).is_some())
            .map(|(_, signal)| signal)
    };
    within(head).or_else(|| within(json))
}

/// Reads messages in protobuf. What signal they are of is not in them: the name of the file says it, as the collector's settings do.
#[derive(Debug)]
pub struct ProtobufReader {
    import_id: String,
    signal: Signal,
}

impl ProtobufReader {
    pub(super) fn new(source: &Source) -> Self {
        let signal = match source.file_name.to_ascii_lowercase() {
            name if name.contains("metric") => Signal::Metrics,
            name if name.contains("log") => Signal::Logs,
            _ => Signal::Traces,
        };
        Self { import_id: source.import_id.clone(), signal }
    }
}

impl Reader for ProtobufReader {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        add(piece, self.signal, &self.import_id, sink);
    }
}

/// Adds the request of spans in a list, without a resource around them.
pub(super) fn spans_request(spans: &Value, import_id: &str, sink: &mut Sink) {
    let resource = serde_json::json!({"attributes": [{"key": "service.name", "value": {"stringValue": "phoenix"}}]});
    let body = serde_json::json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
    request(body.to_string().as_bytes(), Signal::Traces, import_id, sink);
}

/// Where the first message of a file in protobuf ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// It is these bytes of what was given.
    Whole {
        /// Where it begins.
        begin: usize,
        /// Where it ends.
        end: usize,
    },
    /// More bytes are needed: so many in all, or a few if it is 0.
    Partial(usize),
    /// It is no OTLP in protobuf.
    Broken,
}

/// The next message: the next field of a `TracesData`, or one that has its length before it in four bytes.
#[must_use]
pub fn next_message(bytes: &[u8], has_lengths: bool) -> Message {
    if has_lengths {
        let Some(length) = bytes.first_chunk::<4>() else { return Message::Partial(0) };
        let Ok(length) = usize::try_from(u32::from_be_bytes(*length)) else { return Message::Broken };
        let end = length.saturating_add(4);
        return if bytes.len() < end { Message::Partial(end) } else { Message::Whole { begin: 4, end } };
    }
    match bytes.split_first() {
        None => return Message::Partial(0),
        Some((0x0a, _)) => {}
        Some(_) => return Message::Broken,
    }
    let mut length = 0_usize;
    for (place, byte) in bytes.iter().enumerate().skip(1).take(5) {
        length |= usize::from(byte & 0x7f) << (7 * (place - 1));
        if byte & 0x80 == 0 {
            let end = length.saturating_add(place + 1);
            return if bytes.len() < end { Message::Partial(end) } else { Message::Whole { begin: 0, end } };
        }
    }
    if bytes.len() < 6 { Message::Partial(0) } else { Message::Broken }
}
