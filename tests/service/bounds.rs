//! What is acknowledged can be stored: the largest requests of every kind that are accepted are read back as they were sent, and what
//! is just above a limit is refused for good, by the name of the limit.

use std::fmt::Write as _;

use prost::Message;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use millrace::bounds::{
    ENGINE_MEMORY_MIN, MEMORY_LIMIT_MIN, REQUEST_BYTES_MAX, REQUEST_SPANS_MAX, ROW_BYTES_MAX, request_rows_bytes,
};
use millrace::otlp::proto::resource::v1::Resource;
use millrace::otlp::proto::trace::v1::Status;
use support::grpc::export;
use support::http::{Answer, send};
use support::service::sample;
use support::wire::{
    ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue, ResourceSpans, ScopeSpans, Span, string_attribute,
};
use support::{Engine, Options, Service, wait_until};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// What a row takes besides the texts that a test gives it, at most.
const ROW_REST: usize = 4 * KIB;
/// `genai.max_value_bytes`: longer texts of a captured call are cut.
const VALUE_BYTES_MAX: usize = MIB;
const START: u64 = 1_790_000_000_000_000_000;
const PAIRS: &str = "/apis/intake/v2/workspaces/default/ingest/chat-completions";
const LITELLM: &str = "/apis/intake/v2/workspaces/default/ingest/litellm";
const HELICONE: &str = "/apis/intake/v2/workspaces/default/ingest/helicone";

/// Text that does not compress away, so that it is as large on its way as it is here.
fn text(bytes: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        write!(text, "{state:016x}").expect("a String takes everything");
    }
    text.truncate(bytes);
    text
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02X}")).collect()
}

fn id(number: usize) -> String {
    format!("{number:032x}")
}

fn span(trace: usize, number: usize, attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: (trace as u128).to_be_bytes().to_vec(),
        span_id: (number as u64 + 1).to_be_bytes().to_vec(),
        name: "s".to_owned(),
        start_time_unix_nano: START,
        end_time_unix_nano: START + 1,
        attributes,
        ..Span::default()
    }
}

fn request(resource: Vec<KeyValue>, spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn pair(messages: &[String]) -> (Value, Value) {
    let messages: Vec<Value> = messages.iter().map(|text| json!({"role": "user", "content": text})).collect();
    let response = json!({"id": "r", "object": "chat.completion", "model": "m", "created": 1_790_000_000,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}]});
    (json!({"model": "m", "messages": messages}), response)
}

/// Messages of `bytes` together, none so long that it is cut.
fn messages(bytes: usize, seed: usize) -> Vec<String> {
    let message = |at: usize| text(VALUE_BYTES_MAX.min(bytes - at * VALUE_BYTES_MAX), (seed * 1_000 + at) as u64);
    (0..bytes.div_ceil(VALUE_BYTES_MAX)).map(message).collect()
}

/// What the column `InputMessages` has of them.
fn input_messages(messages: &[String]) -> String {
    let message = |text: &String| format!(r#"{{"role":"user","parts":[{{"type":"text","content":"{text}"}}]}}"#);
    format!("[{}]", messages.iter().map(message).collect::<Vec<_>>().join(","))
}

/// A service with its limits.
struct Bounded<'s> {
    service: &'s Service,
    /// `memory.limit`.
    memory: usize,
}

impl Bounded<'_> {
    /// Bytes that the texts of one row may have, and those of all rows of a request.
    fn texts(&self) -> (usize, usize) {
        let rows = request_rows_bytes(self.memory);
        (rows.min(ROW_BYTES_MAX) - ROW_REST, rows - ROW_REST)
    }

    fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        send("POST", &self.service.http(path), &[("content-type", content_type)], body)
    }

    /// Waits for the spans of a trace, and gives what a query yields of them.
    fn stored(&self, trace: usize, spans: usize, what: &str) -> Value {
        self.stored_in(&id(trace), spans, what)
    }

    fn stored_in(&self, trace: &str, spans: usize, what: &str) -> Value {
        wait_until(&format!("the {spans} spans of {trace} are stored"), || {
            (self.service.sql().spans_of(trace) == spans).then_some(())
        });
        let from = "FROM otel_traces WHERE TraceId = {t:String}";
        // so that the engine of least memory can answer too
        let query = format!("SELECT {what} AS v {from} SETTINGS max_threads = 1, max_block_size = 64");
        let rows = self.service.sql().rows(&query, &[("t", trace)]);
        rows.first().and_then(|row| row.get("v")).expect("a row").clone()
    }

    fn one_span_that_fills_a_row(&self) {
        let (row, _) = self.texts();
        let filler = text(row.min(REQUEST_BYTES_MAX - ROW_REST), 1);
        let answer = export(
            &self.service.grpc(),
            &request(vec![], vec![span(1, 1, vec![string_attribute("t", filler.clone())])]),
        );
        assert_eq!((answer.code, answer.body.len()), (0, 0), "{answer:?}");
        assert_eq!(self.stored(1, 1, "hex(SHA256(SpanAttributes['t']))"), json!(digest(&filler)));
    }

    fn a_resource_that_all_spans_repeat(&self) {
        let (_, rows) = self.texts();
        let resource = text(64 * KIB, 2);
        let spans = rows / (resource.len() + ROW_REST);
        let body =
            request(vec![string_attribute("t", resource.clone())], (0..spans).map(|n| span(2, n, vec![])).collect());
        let answer = self.post("/v1/traces", "application/x-protobuf", &body);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
        let hashes = self.stored(2, spans, "groupUniqArray(hex(SHA256(ResourceAttributes['t'])))");
        assert_eq!(hashes, json!([digest(&resource)]));
    }

    fn as_many_spans_as_may_be(&self, spans: usize) {
        let mut body = String::from(r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#);
        for number in 0..spans {
            let comma = if number > 0 { "," } else { "" };
            write!(
                body,
                r#"{comma}{{"traceId":"{}","spanId":"{:016x}","startTimeUnixNano":"{START}","endTimeUnixNano":"{START}"}}"#,
                id(3),
                number + 1
            )
            .expect("a String takes everything");
        }
        body.push_str("]}]}]}");
        let answer = self.post("/v1/traces", "application/json", body.as_bytes());
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{answer:?}");
        assert_eq!(self.stored(3, spans, "uniqExact(SpanId)"), json!(spans));
    }

    /// Messages of which a call may have no more: they are kept once as sent, and once as messages.
    fn most_messages(&self, seed: usize) -> Vec<String> {
        let (row, _) = self.texts();
        messages(row / 2 - row / 64, seed)
    }

    fn a_pair_of_many_messages(&self, trace: usize, content_type: &str) {
        let messages = self.most_messages(trace);
        let (request, response) = pair(&messages);
        let expected = json!([digest(&request.to_string()), digest(&input_messages(&messages))]);
        let body = json!({"request": request, "response": response, "trace_id": id(trace)});
        let answer = self.post(PAIRS, content_type, body.to_string().as_bytes());
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
        let what = "[hex(SHA256(RawRequest)), hex(SHA256(InputMessages))]";
        assert_eq!(self.stored(trace, 1, what), expected, "{}", answer.text());
    }

    fn a_message_that_fills_a_request(&self) {
        let (request, response) = pair(&[text(REQUEST_BYTES_MAX - ROW_REST, 6)]);
        let body = json!({"request": request, "response": response, "trace_id": id(6)}).to_string();
        let answer = self.post(PAIRS, "application/json", body.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        let is_cut = format!("length(InputMessages) BETWEEN {VALUE_BYTES_MAX} AND {}", VALUE_BYTES_MAX + ROW_REST);
        assert_eq!(self.stored(6, 1, &is_cut), json!(1), "to genai.max_value_bytes");
    }

    fn a_record_of_litellm(&self) {
        let messages = self.most_messages(7);
        let (request, response) = pair(&messages);
        let record = json!({"id": "l", "trace_id": id(7), "call_type": "acompletion", "status": "success", "model": "m",
            "startTime": 1_790_000_000, "endTime": 1_790_000_001, "messages": request.get("messages"), "response": response});
        let answer = self.post(LITELLM, "application/json", json!([record]).to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(self.stored(7, 1, "hex(SHA256(InputMessages))"), json!(digest(&input_messages(&messages))));
    }

    fn a_record_of_helicone(&self) {
        let messages = self.most_messages(8);
        let (request, response) = pair(&messages);
        let record = json!({"providerRequest": {"json": request, "meta": {}}, "providerResponse": {"json": response, "status": 200},
            "timing": {"startTime": {"seconds": 1_790_000_000, "milliseconds": 0},
                       "endTime": {"seconds": 1_790_000_001, "milliseconds": 0}}});
        let answer = self.post(HELICONE, "application/json", record.to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        let answer = answer.json();
        let trace = answer.get("trace_id").and_then(Value::as_str).expect("its trace");
        assert_eq!(self.stored_in(trace, 1, "hex(SHA256(InputMessages))"), json!(digest(&input_messages(&messages))));
    }

    /// Every kind there is.
    fn all(&self, spans: usize) {
        self.one_span_that_fills_a_row();
        self.a_resource_that_all_spans_repeat();
        self.as_many_spans_as_may_be(spans);
        self.a_pair_of_many_messages(4, "application/json");
        self.a_pair_of_many_messages(5, "application/x-ndjson");
        self.a_record_of_litellm();
        self.a_record_of_helicone();
    }
}

/// All kinds against every engine take a minute; the short form has each kind once with the largest limits.
const IS_LONG: bool = cfg!(feature = "torture");

#[test]
fn the_largest_requests_are_stored_by_the_embedded_engine_as_it_is_by_default() {
    let service = Service::start();
    let bounded = Bounded { service: &service, memory: 256 * MIB };
    if IS_LONG {
        bounded.all(REQUEST_SPANS_MAX);
    } else {
        bounded.as_many_spans_as_may_be(REQUEST_SPANS_MAX);
        bounded.a_pair_of_many_messages(4, "application/json");
    }
    bounded.a_message_that_fills_a_request();
}

#[test]
fn the_largest_requests_are_stored_by_an_external_engine_of_least_memory() {
    let engine = Engine::start_with_memory(ENGINE_MEMORY_MIN);
    let yaml = format!("memory: {{ limit: {} }}", 1 << 30);
    let service = Service::start_with(Options { clickhouse_url: Some(engine.url()), yaml, ..Options::default() });
    let bounded = Bounded { service: &service, memory: 1 << 30 };
    bounded.a_resource_that_all_spans_repeat();
    let failed = service.metric("millrace_clickhouse_insert_failures_total").expect("the metric is there");
    assert!(failed <= 4.0, "{failed} inserts failed before it was sent in parts");
    bounded.one_span_that_fills_a_row();
    if IS_LONG {
        bounded.all(REQUEST_SPANS_MAX);
    }
}

#[test]
fn the_largest_requests_are_stored_with_the_least_memory_of_all() {
    let engine = Engine::start_with_memory(ENGINE_MEMORY_MIN);
    let yaml = format!("memory: {{ limit: {MEMORY_LIMIT_MIN} }}\njournal: {{ segment_bytes: 1MiB }}");
    let service = Service::start_with(Options { clickhouse_url: Some(engine.url()), yaml, ..Options::default() });
    Bounded { service: &service, memory: MEMORY_LIMIT_MIN }.all(1_500);
}

/// Its answer is final, and names the limit.
#[track_caller]
fn assert_too_large(answer: &Answer, limit: usize) {
    let said = String::from_utf8_lossy(&answer.body);
    assert_eq!((answer.status, answer.header("retry-after")), (413, ""), "{said}");
    assert!(said.contains(&limit.to_string()), "{said}");
}

#[test]
fn what_is_just_above_a_limit_is_refused_for_good_and_the_limit_is_named() {
    let service = Service::start();
    let bounded = Bounded { service: &service, memory: 256 * MIB };
    let rows_max = request_rows_bytes(bounded.memory);
    // of a request, on each door
    let body = request(vec![], vec![span(1, 1, vec![string_attribute("t", "a".repeat(REQUEST_BYTES_MAX))])]);
    assert_exhausted(&service, &body, REQUEST_BYTES_MAX);
    assert_too_large(&bounded.post("/v1/traces", "application/x-protobuf", &body), REQUEST_BYTES_MAX);
    assert_too_large(&bounded.post(PAIRS, "application/json", &body), REQUEST_BYTES_MAX);
    // of its spans
    let body = request(vec![], (0..=REQUEST_SPANS_MAX).map(|n| span(2, n, vec![])).collect());
    assert_exhausted(&service, &body, REQUEST_SPANS_MAX);
    assert_too_large(&bounded.post("/v1/traces", "application/x-protobuf", &body), REQUEST_SPANS_MAX);
    // of all its rows
    let resource = vec![string_attribute("t", text(64 * KIB, 3))];
    let body = request(resource, (0..=rows_max / (64 * KIB)).map(|n| span(3, n, vec![])).collect());
    assert_exhausted(&service, &body, rows_max);
    assert_too_large(&bounded.post("/v1/traces", "application/x-protobuf", &body), rows_max);
    // of a row, which has what is said of a failure twice: only the span is rejected
    let status = Some(Status { code: 2, message: "a".repeat(ROW_BYTES_MAX / 2) });
    let body = request(vec![], vec![span(4, 1, vec![]), Span { status, ..span(4, 2, vec![]) }]);
    let answer = export(&service.grpc(), &body);
    assert_eq!(answer.code, 0, "{}", answer.message);
    let partial = ExportTraceServiceResponse::decode(answer.body.as_slice()).expect("an answer").partial_success;
    let partial = partial.expect("one is rejected");
    assert_eq!(partial.rejected_spans, 1, "{partial:?}");
    assert!(partial.error_message.contains(&ROW_BYTES_MAX.to_string()), "{partial:?}");
    bounded.stored(4, 1, "count()");
    // a call of 40 MiB is kept twice
    let (request, response) = pair(&messages(40 * MIB, 5));
    let body = json!({"request": request, "response": response}).to_string();
    assert_too_large(&bounded.post(PAIRS, "application/json", body.as_bytes()), ROW_BYTES_MAX);
    let line = bounded.post(PAIRS, "application/x-ndjson", body.as_bytes()).text();
    assert!(line.contains(r#""status":413"#) && line.contains(&ROW_BYTES_MAX.to_string()), "{line}");
    let page = service.metrics();
    let count = |name: &str| sample(&page, &format!("millrace_spans_{name}_total")).expect("it is counted");
    assert_eq!(count("refused"), 0.0, "nothing is to be tried again");
    assert_law(&page);
}

#[track_caller]
fn assert_exhausted(service: &Service, body: &[u8], limit: usize) {
    let answer = export(&service.grpc(), body);
    // RESOURCE_EXHAUSTED
    assert_eq!((answer.code, answer.is_retryable), (8, false), "{}", answer.message);
    assert!(answer.message.contains(&limit.to_string()), "{}", answer.message);
}

/// Every span is accounted for.
fn assert_law(page: &str) {
    let count = |name: &str| sample(page, name).unwrap_or_else(|| panic!("{name} is missing"));
    let total = |name: &str| count(&format!("millrace_spans_{name}_total"));
    let ends: f64 = ["rejected", "refused", "duplicate", "stored", "dead_lettered"].map(total).iter().sum();
    assert_eq!(total("received"), ends + count("millrace_spans_pending"), "{page}");
}
