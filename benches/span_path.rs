//! What a span costs on its way through the codecs: CPU microseconds per span and bytes per span, one line a step.
//!
//! ```sh
//! cargo bench --bench span_path
//! cargo bench --bench span_path -- GenAI     # steps that have this in their name
//! valgrind --tool=callgrind BINARY --rounds=20 JSON     # so many rounds of each step: instructions do not depend on what else runs
//! ```
//!
//! Two workloads: ordinary spans (100 a request, 10 span and 6 resource attributes) and GenAI spans with messages (4.4 KB,
//! 100 a request), each as protobuf and as OTLP/JSON. prost's decode of the same bytes stands beside ours. Then log records; the index of accepted spans, full. Times are of the thread, not of the wall.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]

use millrace::chat;
use millrace::columns::native::encode::encode_block;
use millrace::columns::native::frames::compress_pieces;
use millrace::columns::{MapRow, RowGroup, SpanKind, SpanScalars};
use millrace::dedup::{DedupIndex, SPANS_MAX_DEFAULT};

use millrace::ids::{SegmentId, SpanId, TraceId};
use millrace::otlp::proto::collector::logs::v1::ExportLogsServiceRequest;
use millrace::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use millrace::otlp::proto::common::v1::{AnyValue, KeyValue, any_value};
use millrace::otlp::proto::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use millrace::otlp::proto::resource::v1::Resource;
use millrace::otlp::{Encoding, Limits, Signal, decode_logs, decode_traces, redacted, transcode_traces};
use millrace::redaction::Redaction;
use millrace::time::UnixNanos;
use millrace::workspace::Workspace;
use prost::Message as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SPANS: usize = 100;
const MEASURE_FOR: Duration = Duration::from_millis(1_500);

/// CPU time of this thread. Source: proc(5), `/proc/thread-self/schedstat`, first number, nanoseconds.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

fn is_chosen(name: &str) -> bool {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    chosen.is_empty() || chosen.iter().any(|part| name.contains(part.as_str()))
}

/// Names after `--` choose the steps that have them in their names: all without any.
fn measure(name: &str, items: usize, mut step: impl FnMut()) {
    if !is_chosen(name) {
        return;
    }
    let rounds = std::env::args().find_map(|argument| argument.strip_prefix("--rounds=")?.parse::<u32>().ok());
    if let Some(rounds) = rounds {
        (0..rounds).for_each(|_| step());
        return;
    }
    for _ in 0..20 {
        step();
    }
    let (began, cpu_began, mut rounds) = (Instant::now(), thread_cpu(), 0_u32);
    while began.elapsed() < MEASURE_FOR {
        step();
        rounds += 1;
    }
    let cpu = thread_cpu() - cpu_began;
    let per_item = cpu.as_secs_f64() * 1e6 / f64::from(rounds) / f64::from(u32::try_from(items).unwrap());
    println!("{name:<48} {per_item:>8.3} us");
}

fn spans(name: &str, request: &[u8]) {
    let limits = Limits::default();
    let rows = decode_traces(request, Encoding::Protobuf, &Workspace::default(), &limits).unwrap().rows;
    let mut block = Vec::new();
    encode_block(&[&*rows], SegmentId::new(1, 2), &mut block);
    let mut frames = Vec::new();
    compress_pieces(&block, &mut frames);
    println!(
        "\n{name}: {} B a span on the wire, {} B in the block, {} B compressed",
        request.len() / SPANS,
        block.len() / SPANS,
        frames.len() / SPANS
    );
    measure(&format!("{name}: prost decode alone"), SPANS, || {
        black_box(ExportTraceServiceRequest::decode(black_box(request)).unwrap());
    });
    measure(&format!("{name}: decode into columns"), SPANS, || {
        black_box(decode_traces(black_box(request), Encoding::Protobuf, &Workspace::default(), &limits).unwrap());
    });
    redaction(name, request);
    let json = support::samples::json(request);
    measure(&format!("{name}: JSON to protobuf"), SPANS, || {
        black_box(transcode_traces(black_box(json.as_bytes()), limits.depth).unwrap());
    });
    measure(&format!("{name}: JSON decode into columns"), SPANS, || {
        let transcoded = transcode_traces(black_box(json.as_bytes()), limits.depth).unwrap();
        black_box(transcoded.decode(&Workspace::default(), &limits).unwrap());
    });
    measure(&format!("{name}: Native block"), SPANS, || {
        block.clear();
        encode_block(black_box(&[&*rows]), SegmentId::new(1, 2), &mut block);
    });
    measure(&format!("{name}: LZ4 frame"), SPANS, || {
        frames.clear();
        compress_pieces(black_box(&block), &mut frames);
    });
}

/// What redaction costs before a request is decoded: off, the look whether the workspace has rules; on, all detectors.
fn redaction(name: &str, request: &[u8]) {
    let (workspace, depth) = (Workspace::default(), Limits::default().depth);
    let with = |yaml: &str| Redaction::new(&serde_saphyr::from_str(yaml).unwrap()).unwrap();
    let all = "detectors: [api_key, bearer_token, private_key, email, phone, credit_card, iban, ip_address]";
    for (what, redaction) in [("off", with("{}")), ("on, all detectors", with(&format!("{{ {all} }}")))] {
        assert_eq!(redaction.of(&workspace).is_some(), what != "off");
        measure(&format!("{name}: redaction {what}"), SPANS, || {
            if let Some(rules) = black_box(&redaction).of(&workspace) {
                black_box(redacted(black_box(request), Signal::Traces, rules, depth));
            }
        });
    }
}

/// 100 log records with a body of 100 bytes and six attributes, under the resource of the spans.
fn log_records() {
    let text = |value: String| Some(AnyValue { value: Some(any_value::Value::StringValue(value)) });
    let attribute = |key: String, value: String| KeyValue { key, value: text(value), ..KeyValue::default() };
    let record = |number: u64| LogRecord {
        time_unix_nano: 1_790_000_000_000_000_000 + number,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: text(format!("{number:>4} {}", "GET /api/v1/orders was answered with 200 ".repeat(2))),
        attributes: (0..6)
            .map(|place| attribute(format!("http.attribute.{place}"), format!("value {number}")))
            .collect(),
        trace_id: vec![7; TraceId::HEX / 2],
        span_id: number.to_be_bytes().to_vec(),
        ..LogRecord::default()
    };
    let attributes =
        (0..6).map(|place| attribute(format!("resource.attribute.{place}"), "a value".to_owned())).collect();
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_logs = vec![ScopeLogs { log_records: (0..100).map(record).collect(), ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    let request = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
    println!("\nlog records: {} B a record on the wire", request.len() / SPANS);
    let limits = Limits::default();
    measure("log records: prost decode alone", SPANS, || {
        black_box(ExportLogsServiceRequest::decode(black_box(request.as_slice())).unwrap());
    });
    measure("log records: decode into columns", SPANS, || {
        black_box(decode_logs(black_box(&request), Encoding::Protobuf, &Workspace::default(), &limits).unwrap());
    });
    let rows = decode_logs(&request, Encoding::Protobuf, &Workspace::default(), &limits).unwrap().groups;
    let mut block = Vec::new();
    measure("log records: Native block", SPANS, || {
        block.clear();
        encode_block(black_box(&[&*rows[0]]), SegmentId::new(1, 2), &mut block);
    });
}

fn captured_call() {
    let body = support::samples::pair();
    println!("\nchat-completion: {} B", body.len());
    let workspace = Workspace::default();
    let context = chat::Context {
        workspace: &workspace,
        received_at: UnixNanos::new(1_790_000_001_000_000_000).unwrap(),
        traceparent: None,
        idempotency_key: None,
    };
    measure("parse and convert", 1, || {
        let body = chat::Body::of_call(black_box(body.as_bytes())).unwrap();
        let capture = chat::parse(&body, &chat::ParseOptions::default()).unwrap();
        black_box(chat::convert(&capture, &context).unwrap());
    });
}

/// The index of spans accepted lately, full to the brim; every row of every group is a span it has not seen.
fn accepted() {
    const GROUPS: u64 = 200;
    const NAME: &str = "look up and insert, groups of 100";
    if !is_chosen(NAME) {
        return;
    }
    let (window, now) = (Duration::from_secs(86_400), UnixNanos::new(1_790_000_000_000_000_000).unwrap());
    let mut index = DedupIndex::new(7, SPANS_MAX_DEFAULT, window);
    let groups: Vec<RowGroup> = (0..GROUPS).map(group_of_ids).collect();
    let mut keys = Vec::new();
    let mut take = |index: &mut DedupIndex, seed, rows| {
        keys.clear();
        index.insert_all(seed, rows, now, window, &mut keys).repeated
    };
    // each workspace makes the same ids other spans
    let mut workspaces = 0..;
    let mut seed =
        |index: &DedupIndex| index.seed_of(&Workspace::new(&format!("w{}", workspaces.next().unwrap())).unwrap());
    while index.held() < SPANS_MAX_DEFAULT * 999 / 1_000 {
        let seed = seed(&index);
        groups.iter().for_each(|rows| assert!(take(&mut index, seed, rows).is_empty()));
    }
    println!("\nindex of accepted spans: {} of {SPANS_MAX_DEFAULT} held", index.held());
    let (mut next, mut own) = (groups.iter().cycle().zip(0_usize..), seed(&index));
    measure(NAME, SPANS, || {
        let (rows, step) = next.next().unwrap();
        if step.is_multiple_of(groups.len()) {
            own = seed(&index);
        }
        assert!(black_box(take(&mut index, own, rows)).is_empty());
    });
}

/// 100 rows with ids and little else.
fn group_of_ids(number: u64) -> RowGroup {
    let mut rows = RowGroup::default();
    for row in 0..u64::try_from(SPANS).unwrap() {
        let number = (number << 32 | row) + 1;
        let id = number.to_be_bytes();
        let span = SpanScalars {
            duration_nanos: 1,
            kind: SpanKind::Client,
            // as different as the reports of different spans are
            fingerprint: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ..SpanScalars::new(
                UnixNanos::new(1).unwrap(),
                TraceId::from_slice(&[id, id].concat()).unwrap(),
                SpanId::new(id).unwrap(),
            )
        };
        let mark = rows.begin();
        rows.finish(mark, &span, &MapRow::default(), None).unwrap();
    }
    rows
}

fn main() {
    spans("ordinary spans", &support::samples::request(SPANS, support::samples::ordinary));
    spans("GenAI spans", &support::samples::request(SPANS, support::samples::genai));
    log_records();
    captured_call();
    accepted();
}
