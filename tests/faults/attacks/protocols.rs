//! Floods of HTTP/2 frames, headers without end, requests that two readers would cut differently, bodies of zeros, and requests of all
//! signals cut at every byte. A sender beside them is served all the time, and both processes stay within bounds of memory.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use async_compression::Level;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use prost::Message as _;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use millrace::otlp::proto::collector::logs::v1::ExportLogsServiceRequest;
use millrace::otlp::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use millrace::otlp::proto::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use millrace::otlp::proto::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use millrace::otlp::proto::resource::v1::Resource;
use support::machine::{memory_mib, percentile};
use support::wire::string_attribute;
use support::{DEADLINE, Service, http, project};

use super::{Attack, hold_off, is_long};

const ATTACKS: &[Attack] = &[
    Attack { name: "streams that are opened and reset at once", run: rapid_resets },
    Attack { name: "headers that are continued without end", run: continuations },
    Attack { name: "SETTINGS, PING and empty DATA without end, and nobody reads the answers", run: frames },
    Attack { name: "one large header, named again and again", run: header_bomb },
    Attack { name: "headers of HTTP/1.1 that are too large and too many", run: large_headers },
    Attack { name: "requests that end at two places", run: smuggled },
    Attack { name: "zeros in every encoding", run: zeros },
    Attack { name: "a million attributes", run: attributes },
    Attack { name: "ids of every wrong length and times at both ends", run: ids_and_times },
    Attack { name: "requests of all signals, cut at every byte", run: cut_at_every_byte },
];

/// What the service may take at most, in MiB: its `memory.limit` of 256, its threads and code, and what the allocator keeps.
const SERVICE_MIB_MAX: f64 = 640.0;
/// What the engine may take at most, in MiB: `embedded.memory_max_bytes`, which is 4,096 at most, and its code.
const ENGINE_MIB_MAX: f64 = 4_608.0;

/// Where the service is.
static AT: OnceLock<Addresses> = OnceLock::new();

struct Addresses {
    grpc: String,
    http: String,
}

fn at() -> &'static Addresses {
    AT.get().expect("it was started")
}

#[test]
fn attacks_of_this_area_hold() {
    let service = Service::start();
    let http = service.http("").trim_start_matches("http://").to_owned();
    assert!(AT.set(Addresses { grpc: service.grpc(), http }).is_ok(), "it is started once");
    let alone = times(&service, &AtomicBool::new(false), 50);
    let (is_over, engine) = (AtomicBool::new(false), service.engine_pid().expect("it has an engine"));
    let (held, beside) = thread::scope(|scope| {
        let sender = scope.spawn(|| times(&service, &is_over, usize::MAX));
        let held = std::panic::catch_unwind(|| hold_off("protocols", ATTACKS));
        is_over.store(true, Ordering::SeqCst);
        (held, sender.join().expect("whoever sends spans is served all the time"))
    });
    let ((_, memory), (_, of_engine)) =
        (memory_mib(service.pid()).expect("it runs"), memory_mib(engine).expect("it runs"));
    let shown =
        |times: &[Duration]| format!("p50 {:.1} ms, p99 {:.1} ms", percentile(times, 0.5), percentile(times, 0.99));
    println!(
        "protocols: memory at most {memory:.0} MiB (of {SERVICE_MIB_MAX}), of the engine {of_engine:.0} MiB (of {ENGINE_MIB_MAX}); \
         a sender alone: {}; beside them, {} times: {}",
        shown(&alone),
        beside.len(),
        shown(&beside)
    );
    held.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert!(memory <= SERVICE_MIB_MAX && of_engine <= ENGINE_MIB_MAX, "{memory} {of_engine}");
    assert!(beside.len() > ATTACKS.len(), "it sent all the time");
}

/// Sends one span after the other, each of which must be acknowledged: how long each took, sorted.
fn times(service: &Service, is_over: &AtomicBool, requests: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    while times.len() < requests && !is_over.load(Ordering::SeqCst) {
        let id = times.len() + 1;
        let span = json!({"traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": "beside",
            "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000000001"});
        let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
        let began = Instant::now();
        let answer = http::post_json(&service.http("/v1/traces"), &request);
        times.push(began.elapsed());
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
        thread::sleep(Duration::from_millis(5));
    }
    times.sort_unstable();
    times
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame. Source: RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of an export in HPACK, without its table. Source: RFC 7541, section 6 and appendix A.
fn head() -> Vec<u8> {
    let path = b"/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let length = u8::try_from(path.len()).expect("a short path");
    // :method POST, :scheme http, :path, :authority
    [&[0x83, 0x86, 0x04, length][..], path, &[0x01, 1, b'a']].concat()
}

/// A connection of HTTP/2 that says hello.
fn connection() -> TcpStream {
    let mut stream = TcpStream::connect(&at().grpc).expect("it accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a time-out");
    // nobody has to read what a flood says: then it is held up
    stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket has a time-out");
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).expect("it reads");
    stream
}

/// Sends frames until the other side closes or reads no more, or there were so many; whether it is closed.
fn flood(stream: &mut TcpStream, frames: u32, of: impl Fn(u32) -> Vec<u8>) -> bool {
    (0..frames).any(|number| match stream.write_all(&of(number)) {
        Ok(()) => false,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    })
}

/// How many frames a flood has.
fn many() -> u32 {
    if is_long() { 1_000_000 } else { 50_000 }
}

fn rapid_resets() {
    let mut stream = connection();
    let cancel = 8_u32.to_be_bytes();
    let pair = |number: u32| {
        let id = 2 * number + 1;
        [frame(HEADERS, END_HEADERS, id, &head()), frame(RST_STREAM, 0, id, &cancel)].concat()
    };
    flood(&mut stream, many(), pair);
    drop(stream);
    // several at once
    let mut streams: Vec<TcpStream> = (0..8).map(|_| connection()).collect();
    for stream in &mut streams {
        flood(stream, 1_000, pair);
    }
}

fn continuations() {
    let mut stream = connection();
    stream.write_all(&frame(HEADERS, 0, 1, &head())).expect("it reads");
    // literals without the table: 16 KiB a frame
    let header = [&[0x00, 1, b'a', 0x7f, 0x81, 0x7d][..], &[b'x'; 16_000]].concat();
    let is_closed = flood(&mut stream, 10_000, |_| frame(CONTINUATION, 0, 1, &header));
    assert!(is_closed, "10,000 continuations are read");
    // small ones, of nothing
    let mut stream = connection();
    stream.write_all(&frame(HEADERS, 0, 1, &head())).expect("it reads");
    assert!(flood(&mut stream, many(), |_| frame(CONTINUATION, 0, 1, &[])), "empty ones are read");
}

fn frames() {
    for of in [frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]), frame(PING, 0, 0, b"12345678")] {
        flood(&mut connection(), many(), |_| of.clone());
    }
    let mut stream = connection();
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, &head())).expect("it reads");
    flood(&mut stream, many(), |_| frame(DATA, 0, 1, &[]));
}

fn header_bomb() {
    let mut stream = connection();
    // 4,000 bytes into the table, and then its name 16,000 times: 64 MB once read
    let large = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4_000]].concat();
    let first = [head(), large].concat();
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, &first)).expect("it reads");
    let again = [head(), vec![0xbe; 16_000]].concat();
    flood(&mut stream, 200, |number| frame(HEADERS, END_HEADERS, 2 * number + 3, &again));
}

/// What HTTP/1.1 says to these bytes, until it closes.
fn said(request: &[u8]) -> String {
    let mut stream = TcpStream::connect(&at().http).expect("it accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a time-out");
    let _refused_early = stream.write_all(request);
    let _closed_already = stream.shutdown(Shutdown::Write);
    let mut said = Vec::new();
    let _closed_or_reset = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

fn large_headers() {
    let one = [&b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\na: "[..], &[b'x'; 1 << 20], b"\r\n\r\n"].concat();
    let many = [&b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n"[..], &b"a: b\r\n".repeat(10_000), b"\r\n"].concat();
    let name = [&b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n"[..], &[b'n'; 1 << 20], b": b\r\n\r\n"].concat();
    let path = [&b"GET /"[..], &[b'p'; 1 << 20], b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"].concat();
    for request in [one, many, name, path] {
        let said = said(&request);
        let is_refused = ["400", "414", "431"].iter().any(|code| said.starts_with(&format!("HTTP/1.1 {code}")));
        assert!(said.is_empty() || is_refused, "{said}");
    }
}

/// The second request of each must not be answered: whoever is in front would not have seen it. Source: RFC 9112, sections 6.1 and 11.2.
fn smuggled() {
    let second = "GET /smuggled HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    let length = second.len();
    let json = "POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
    let chunked = "transfer-encoding: chunked\r\n";
    let requests = [
        format!("{json}content-length: {length}\r\n{chunked}\r\n0\r\n\r\n{second}"),
        format!("{json}{chunked}content-length: 5\r\n\r\n0\r\n\r\n{second}"),
        format!("{json}content-length: 2\r\ncontent-length: {}\r\n\r\n{{}}{second}", length + 2),
        format!("{json}content-length: 2, {}\r\n\r\n{{}}{second}", length + 2),
        format!("{json}content-length: +2\r\n\r\n{{}}{second}"),
        format!("{json}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{second}"),
        format!("{json}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{second}"),
        format!("{json}transfer-encoding : chunked\r\n\r\n0\r\n\r\n{second}"),
        format!("{json} transfer-encoding: chunked\r\n\r\n0\r\n\r\n{second}"),
        format!("{json}{chunked}\r\n-1\r\n{second}"),
        format!("{json}{chunked}\r\n0x2\r\n{{}}\r\n0\r\n\r\n{second}"),
        format!("{json}{chunked}\r\nfffffffffffffffff\r\n{second}"),
        format!("{json}a: b\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n{second}"),
        format!("{json}a: b\0\r\ncontent-length: 2\r\n\r\n{{}}{second}"),
    ];
    for request in requests {
        let said = said(request.as_bytes());
        let answers = said.matches("HTTP/1.1 ").count();
        let ends = said.starts_with("HTTP/1.1 400") || said.is_empty();
        // an answer to what is one request to everybody, after which the connection ends, is fine too
        let is_one = answers == 1 && !said.contains("/smuggled") && !said.contains(" 404 ");
        assert!(ends || is_one, "{request:?}: {said}");
    }
    // two that end where both say so are two
    let plain = format!("{json}content-length: 2\r\n\r\n{{}}{second}");
    assert_eq!(said(plain.as_bytes()).matches("HTTP/1.1 ").count(), 2);
}

fn compressed(encoding: &str, bytes: usize) -> Vec<u8> {
    async fn all(mut to: impl tokio::io::AsyncWrite + Unpin, bytes: usize) {
        let zeros = vec![0; 1 << 20];
        for _ in 0..bytes >> 20 {
            to.write_all(&zeros).await.expect("a vector takes it");
        }
        to.shutdown().await.expect("a vector takes it");
    }
    let (mut out, level) = (Vec::new(), Level::Fastest);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        match encoding {
            "gzip" => all(GzipEncoder::with_quality(&mut out, level), bytes).await,
            "zstd" => all(ZstdEncoder::with_quality(&mut out, level), bytes).await,
            "deflate" => all(ZlibEncoder::with_quality(&mut out, level), bytes).await,
            _ => all(BrotliEncoder::with_quality(&mut out, level), bytes).await,
        }
    });
    out
}

/// The long form has a gibibyte.
fn zeros() {
    let bytes = if is_long() { 1 << 30 } else { 96 << 20 };
    for encoding in ["gzip", "zstd", "deflate", "br"] {
        let body = compressed(encoding, bytes);
        for (path, media) in [
            ("/v1/traces", "application/x-protobuf"),
            ("/v1/logs", "application/x-protobuf"),
            ("/v1/metrics", "application/json"),
            ("/apis/intake/v2/workspaces/default/ingest/chat-completions", "application/json"),
        ] {
            let headers = [("content-type", media), ("content-encoding", encoding)];
            let status = http::send("POST", &format!("http://{}{path}", at().http), &headers, &body).status;
            // a tag of 0 is wrong as soon as it is read, and so is a text that begins with one
            assert!([400, 413, 415, 422].contains(&status), "{encoding} {path}: {status}");
        }
    }
    // and as they are, of which the head alone says enough
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        1 << 30
    );
    assert!(said(head.as_bytes()).starts_with("HTTP/1.1 413"));
}

fn attributes() {
    let post = |path: &str, media: &str, body: &[u8]| {
        http::send("POST", &format!("http://{}{path}", at().http), &[("content-type", media)], body).status
    };
    // 1,000,000 of three bytes in a span, in its resource, in an event, a record, a data point: fields of protobuf, the innermost first
    let many = |tag: u8| [tag, 0].repeat(1_000_000);
    let within = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag];
        prost::encode_length_delimiter(inner.len(), &mut out).expect("a vector takes it");
        out.extend_from_slice(inner);
        out
    };
    let ids = [within(0x0a, &[7; 16]), within(0x12, &[7; 8])].concat();
    let span = |inner: &[u8]| within(0x0a, &within(0x12, &within(0x12, &[&ids, inner].concat())));
    for body in [span(&many(0x4a)), span(&within(0x5a, &many(0x1a))), within(0x0a, &within(0x0a, &many(0x0a)))] {
        assert!([200, 413].contains(&post("/v1/traces", "application/x-protobuf", &body)));
    }
    let record = within(0x0a, &within(0x12, &within(0x12, &many(0x32))));
    assert!([200, 413].contains(&post("/v1/logs", "application/x-protobuf", &record)));
    let point = within(0x0a, &within(0x12, &within(0x12, &within(0x2a, &within(0x0a, &many(0x3a))))));
    assert!([200, 413].contains(&post("/v1/metrics", "application/x-protobuf", &point)));
    let list = vec!["{}"; 1_000_000].join(",");
    let of_json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"attributes":[{list}]}}]}}]}}]}}"#);
    assert!([200, 413].contains(&post("/v1/traces", "application/json", of_json.as_bytes())));
}

fn ids_and_times() {
    let url = format!("http://{}/v1/traces", at().http);
    for length in (0..=40).chain([4_096]) {
        let (id, time) = ("a".repeat(length), "1790000000000000000");
        for (trace, span) in [(id.as_str(), "0000000000000abc"), ("00000000000000000000000000000abc", id.as_str())] {
            let span = json!({"traceId": trace, "spanId": span, "name": "x", "startTimeUnixNano": time, "endTimeUnixNano": time});
            let answer = http::post_json(&url, &json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}));
            let is_right = trace.len() == 32 && span["spanId"].as_str().map(str::len) == Some(16);
            let rejected = answer.json()["partialSuccess"]["rejectedSpans"].clone();
            assert_eq!((answer.status, rejected.is_null()), (200, is_right), "{length}: {}", answer.text());
        }
    }
    let max = u64::MAX.to_string();
    for (start, end) in [("0", "0"), (max.as_str(), max.as_str()), ("1790000000000000000", "0"), ("1", max.as_str())] {
        let span = json!({"traceId": "00000000000000000000000000000abc", "spanId": "0000000000000abc", "name": "x",
            "startTimeUnixNano": start, "endTimeUnixNano": end});
        let answer = http::post_json(&url, &json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}));
        assert_eq!(answer.status, 200, "{start} {end}: {}", answer.text());
    }
}

/// A recorded request of spans, and one of log records and of data points of every kind.
fn requests() -> [(&'static str, Vec<u8>); 3] {
    let traces = std::fs::read(project().join("tests/fixtures/dialects/litellm.binpb")).expect("it is recorded");
    let attributes = vec![string_attribute("service.name", "cut".to_owned())];
    let time = 1_790_000_000_000_000_000;
    let record = LogRecord {
        time_unix_nano: time,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: string_attribute("", "a body".to_owned()).value,
        attributes: attributes.clone(),
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record.clone(), record], ..ScopeLogs::default() }];
    let resource = Some(Resource { attributes: attributes.clone(), ..Resource::default() });
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource: resource.clone(), scope_logs, ..ResourceLogs::default() }],
    };
    let number = NumberDataPoint {
        attributes: attributes.clone(),
        time_unix_nano: time,
        value: Some(number_data_point::Value::AsDouble(1.5)),
        ..NumberDataPoint::default()
    };
    let histogram = HistogramDataPoint {
        attributes,
        time_unix_nano: time,
        count: 3,
        sum: Some(4.5),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        ..HistogramDataPoint::default()
    };
    let sum = Sum { data_points: vec![number.clone()], aggregation_temporality: 2, is_monotonic: true };
    let kinds = [
        metric::Data::Gauge(Gauge { data_points: vec![number] }),
        metric::Data::Sum(sum),
        metric::Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 2 }),
    ];
    let of = |data| Metric { name: "m".to_owned(), unit: "s".to_owned(), data: Some(data), ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: kinds.map(of).to_vec(), ..ScopeMetrics::default() }];
    let metrics = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }],
    };
    [("/v1/traces", traces), ("/v1/logs", logs.encode_to_vec()), ("/v1/metrics", metrics.encode_to_vec())]
}

fn cut_at_every_byte() {
    for (path, whole) in requests() {
        let mut stream = BufReader::new(TcpStream::connect(&at().http).expect("it accepts"));
        stream.get_ref().set_read_timeout(Some(DEADLINE)).expect("a socket has a time-out");
        let mut statuses = std::collections::BTreeSet::new();
        for length in 0..=whole.len() {
            let body = &whole[..length];
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.get_mut().write_all(&[head.as_bytes(), body].concat()).expect("the connection is kept");
            let status = answered(&mut stream);
            // cut between two fields it is a whole request
            assert!([200, 400].contains(&status), "{path} cut at {length}: {status}");
            statuses.insert(status);
        }
        assert_eq!(statuses.len(), 2, "{path}: some cuts are wrong and some are not");
    }
}

/// The status of an answer, which is read to its end.
fn answered(stream: &mut BufReader<TcpStream>) -> u16 {
    let (mut line, mut length, mut status) = (String::new(), 0, 0);
    loop {
        line.clear();
        assert_ne!(stream.read_line(&mut line).expect("it answers"), 0, "the connection ended");
        if status == 0 {
            status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line == "\r\n" {
            stream.read_exact(&mut vec![0; length]).expect("all of the answer");
            return status;
        }
    }
}
