//! What the benchmarks send: ordinary spans (10 span and 6 resource attributes, 434 B each), GenAI spans with
//! messages (4.4 KB each), and a captured chat-completion of 2 KiB.
//!
//! Every id in a sample is a known, unlikely number, so that a load can find it in the encoded bytes and replace it.

use millrace::otlp::proto::collector::logs::v1::ExportLogsServiceRequest;
use millrace::otlp::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use millrace::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use millrace::otlp::proto::common::v1::{AnyValue, KeyValue, any_value::Value};
use millrace::otlp::proto::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use millrace::otlp::proto::metrics::v1::{
    Exemplar, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use millrace::otlp::proto::resource::v1::Resource;
use millrace::otlp::proto::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::json as value;

/// The trace that the chat-completion names, in hex.
pub const CHAT_TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// The id of the response in the chat-completion.
pub const CHAT_RESPONSE_ID: &str = "chatcmpl-0af7651916cd43dd";

const STARTED_NANOS: u64 = 1_790_000_000_000_000_000;

/// The ids of the span at `index` of a request.
pub struct Ids {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    pub parent: [u8; 8],
}

impl Ids {
    /// Unlike those of any other number.
    pub fn of(number: u64) -> Self {
        let [high, low, span, parent] = [1, 2, 3, 4].map(|salt| mixed(number.wrapping_mul(4) + salt).to_be_bytes());
        let mut trace = [0; 16];
        for (byte, value) in trace.iter_mut().zip(high.into_iter().chain(low)) {
            *byte = value;
        }
        Self { trace, span, parent }
    }
}

/// One to one, and looks random. Source: Vigna, `SplitMix64`.
pub fn mixed(number: u64) -> u64 {
    let x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn resource() -> Resource {
    Resource {
        attributes: vec![
            text("service.name", "checkout"),
            text("service.version", "1.14.2"),
            text("host.name", "ip-10-0-3-17"),
            text("telemetry.sdk.language", "python"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("deployment.environment", "production"),
        ],
        ..Resource::default()
    }
}

/// A request of `records` log records, encoded: a line of text and six attributes each. The one at `index` is of the span
/// `Ids::of(index)`.
pub fn logs(records: usize) -> Vec<u8> {
    let record = |index: u64| {
        let ids = Ids::of(index);
        let line =
            format!("GET /api/v1/items/{} answered with 200 in {} ms for a client of the shop", index % 10, index % 97);
        LogRecord {
            time_unix_nano: STARTED_NANOS + (index + 1) * 1_000_003,
            severity_number: 9,
            severity_text: "INFO".to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(line)) }),
            attributes: ordinary(index).into_iter().take(6).collect(),
            trace_id: ids.trace.to_vec(),
            span_id: ids.span.to_vec(),
            ..LogRecord::default()
        }
    };
    let log_records = (0..).take(records).map(record).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource: Some(resource()), scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

/// A request of `points` data points of one sum, encoded: four attributes and an exemplar each. The exemplar at `index` is of the span
/// `Ids::of(index)`.
pub fn points(points: usize) -> Vec<u8> {
    let point = |index: u64| {
        let (ids, at) = (Ids::of(index), STARTED_NANOS + (index + 1) * 1_000_003);
        let exemplar = Exemplar {
            time_unix_nano: at,
            span_id: ids.span.to_vec(),
            trace_id: ids.trace.to_vec(),
            value: Some(exemplar::Value::AsInt(1)),
            ..Exemplar::default()
        };
        NumberDataPoint {
            attributes: ordinary(index).into_iter().take(4).collect(),
            start_time_unix_nano: STARTED_NANOS,
            time_unix_nano: at,
            exemplars: vec![exemplar],
            value: Some(number_data_point::Value::AsInt(index.cast_signed())),
            ..NumberDataPoint::default()
        }
    };
    let data_points = (0..).take(points).map(point).collect();
    let sum = Sum { data_points, aggregation_temporality: 2, is_monotonic: true };
    let metric = Metric {
        name: "http.server.requests".to_owned(),
        unit: "{request}".to_owned(),
        data: Some(metric::Data::Sum(sum)),
        ..Metric::default()
    };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(resource()), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

/// A request of `spans` spans, encoded. The one at `index` has the ids `Ids::of(index)`.
pub fn request(spans: usize, attributes: impl Fn(u64) -> Vec<KeyValue>) -> Vec<u8> {
    let span = |index: u64| {
        let ids = Ids::of(index);
        let started = STARTED_NANOS + (index + 1) * 1_000_003;
        Span {
            trace_id: ids.trace.to_vec(),
            span_id: ids.span.to_vec(),
            parent_span_id: ids.parent.to_vec(),
            name: format!("GET /api/v1/items/{}", index % 10),
            kind: 2,
            start_time_unix_nano: started,
            end_time_unix_nano: started + 12_345_678,
            attributes: attributes(index),
            ..Span::default()
        }
    };
    let scope_spans = vec![ScopeSpans { spans: (0..).take(spans).map(span).collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource()), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// The same request as OTLP/JSON, as SDKs write it.
pub fn json(request: &[u8]) -> String {
    let hex = |id: &[u8]| id.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let attributes = |attributes: &[KeyValue]| {
        let any_value = |any: &Option<Value>| match any {
            Some(Value::StringValue(text)) => value!({"stringValue": text}),
            Some(Value::IntValue(number)) => value!({"intValue": number.to_string()}),
            other => unreachable!("the samples have no {other:?}"),
        };
        let entry = |entry: &KeyValue| {
            let value = entry.value.as_ref().map(|any| any_value(&any.value));
            value!({"key": entry.key, "value": value})
        };
        attributes.iter().map(entry).collect::<Vec<_>>()
    };
    let span = |span: &Span| {
        value!({
            "traceId": hex(&span.trace_id), "spanId": hex(&span.span_id), "parentSpanId": hex(&span.parent_span_id),
            "name": span.name, "kind": span.kind, "startTimeUnixNano": span.start_time_unix_nano.to_string(),
            "endTimeUnixNano": span.end_time_unix_nano.to_string(), "attributes": attributes(&span.attributes),
            "status": {},
        })
    };
    let request = ExportTraceServiceRequest::decode(request).expect("a sample is a request");
    let all = request.resource_spans.iter().map(|of_resource| {
        let resource = of_resource.resource.as_ref().map(|resource| attributes(&resource.attributes));
        let scopes = of_resource.scope_spans.iter();
        let scopes = scopes.map(|of_scope| value!({"spans": of_scope.spans.iter().map(span).collect::<Vec<_>>()}));
        value!({"resource": {"attributes": resource}, "scopeSpans": scopes.collect::<Vec<_>>()})
    });
    value!({"resourceSpans": all.collect::<Vec<_>>()}).to_string()
}

/// Attributes of an ordinary span.
pub fn ordinary(index: u64) -> Vec<KeyValue> {
    let bytes = i64::try_from(index).map_or(i64::MAX, |index| 1_000 + index);
    vec![
        text("http.request.method", "GET"),
        text("url.path", format!("/api/v1/items/{index}")),
        text("url.scheme", "https"),
        number("http.response.status_code", 200),
        text("server.address", "shop.example.com"),
        number("server.port", 443),
        text("network.protocol.version", "1.1"),
        text("user_agent.original", "python-httpx/0.28.1 (Linux; x86_64) CPython/3.13.5"),
        text("client.address", format!("10.1.2.{index}")),
        number("http.response.body.size", bytes),
    ]
}

/// Attributes of an LLM call, messages included.
pub fn genai(index: u64) -> Vec<KeyValue> {
    let message = |role: &str, seed: u64| {
        let said = prose(seed, 1_872);
        text_part(role, &said)
    };
    let mut attributes = ordinary(index);
    attributes.extend([
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "gpt-4o-mini"),
        number("gen_ai.usage.input_tokens", 512),
        number("gen_ai.usage.output_tokens", 128),
        text("gen_ai.input.messages", message("user", 2 * index)),
        text("gen_ai.output.messages", message("assistant", 2 * index + 1)),
    ]);
    attributes
}

/// A captured chat-completion: the body of a POST.
pub fn pair() -> String {
    let (asked, answered) = (prose(1, 790), prose(2, 790));
    format!(
        r#"{{"trace_id":"{CHAT_TRACE_ID}","request":{{"model":"gpt-4o-mini","temperature":0.2,"messages":[{{"role":"system","content":"You are terse."}},{{"role":"user","content":"{asked}"}}]}},"response":{{"id":"{CHAT_RESPONSE_ID}","created":1790000000,"model":"gpt-4o-mini-2024-07-18","choices":[{{"index":0,"message":{{"role":"assistant","content":"{answered}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}}}}}"#
    )
}

fn text_part(role: &str, said: &str) -> String {
    format!(r#"[{{"role":"{role}","parts":[{{"type":"text","content":"{said}"}}]}}]"#)
}

/// Words in no order: compresses about as prose does, where one sentence over and over would compress to nothing.
fn prose(seed: u64, bytes: usize) -> String {
    const WORDS: &str = "the a of to and in that it is was for on are with as they be at one have this from or had by hot \
        but some what there we can out other were all your when up use word how said each she which do their time if will \
        way about many then them would write like so these her long make thing see him two has look more day could go come \
        did my sound no most number who over know water than call first people may down side been now find any new work \
        part take get place made live where after back little only round man year came show every good me give our under \
        very through just form much great think say help low line before turn cause same mean differ move right boy old \
        too does tell sentence set three want air well also play small end put home read hand port large spell add even \
        land here must big high such follow act why ask men change went light kind off need house picture try us again";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut said = String::with_capacity(bytes + 16);
    let mut at = seed << 32;
    while said.len() < bytes {
        at += 1;
        let index = usize::try_from(mixed(at)).unwrap_or(0) % words.len();
        said.extend(words.get(index).copied().into_iter().chain([" "]));
    }
    said.truncate(bytes);
    said
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn number(key: &str, value: i64) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::IntValue(value)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
