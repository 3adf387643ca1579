//! ClickHouse is away until the bounded channel is full.

use std::collections::BTreeSet;

use prost::Message;
use serde_json::{Value, json};

use crate::restart::assert_each_stored_once;
use crate::rows;
use crate::sdk_signals::{self, Ledger};
use support::clients::{self, GrpcAnswers, Load, acknowledged_spans, grpc_answers, node, python, run_json};
use support::http::{Answer, post_json, send};
use support::proxy::{Fault, Proxy};
use support::wire::{Status, request_of, span, string_attribute};
use support::{Engine, Options, Service, process, wait_until};

/// Half of it is the channel; the journal has room for few rows more.
const CHANNEL: &str = "memory: { limit: 4MiB }\njournal: { segment_bytes: 1MiB, max_bytes: 1MiB }";
/// A journal that is soon as large as it may be.
const JOURNAL: &str = "journal: { max_bytes: 2MiB }";
const MIB: u64 = 1024 * 1024;

struct Outage {
    engine: Engine,
    proxy: Proxy,
    service: Service,
}

/// A service with a channel of 2 MiB, acknowledging from memory, whose ClickHouse is behind a shut door.
fn outage() -> Outage {
    outage_of(Options { yaml: CHANNEL.to_owned(), ack: Some("memory"), ..Options::default() })
}

/// A service with a journal of 2 MiB whose ClickHouse is behind a shut door.
fn outage_with_a_small_journal() -> Outage {
    outage_of(Options { yaml: JOURNAL.to_owned(), ..Options::default() })
}

fn outage_of(options: Options) -> Outage {
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Refuse);
    let options = Options { clickhouse_url: Some(proxy.url()), ..options };
    let service = Service::start_with(options);
    Outage { engine, proxy, service }
}

/// Sends spans until one request is refused. Each carries 100 KB that do not compress.
fn fill(service: &Service) -> GrpcAnswers {
    let filled = grpc_answers(
        &service.grpc(),
        &["--spans", "10", "--span-bytes", "10000", "--until", "UNAVAILABLE", "--requests", "1000"],
    );
    assert_eq!(filled.last.get("code"), Some(&json!("UNAVAILABLE")), "the channel never filled: {:?}", filled.last);
    assert!(filled.answers.len() > 1, "the first request was refused already");
    assert!(filled.answers.len() < 100, "2 MiB took {} requests of 100 KB", filled.answers.len());
    filled
}

fn accepted_spans(answers: &GrpcAnswers) -> Vec<&str> {
    let accepted = answers.answers.iter().filter(|answer| answer.code == "OK");
    accepted.flat_map(|answer| answer.span_ids.iter().map(String::as_str)).collect()
}

fn refused_spans(answers: &GrpcAnswers) -> Vec<&str> {
    let refused = answers.answers.iter().filter(|answer| answer.code != "OK");
    refused.flat_map(|answer| answer.span_ids.iter().map(String::as_str)).collect()
}

fn large_request() -> Vec<u8> {
    let mut large = span(1);
    large.attributes.push(string_attribute("filler", "x".repeat(4 * 1024 * 1024)));
    request_of(vec![large])
}

#[test]
fn a_full_channel_refuses_with_the_retryable_answer_and_keeps_what_it_took() {
    refuses_retryably_and_keeps_what_it_took(outage());
}

#[test]
fn a_full_journal_refuses_with_the_retryable_answer_and_keeps_what_it_took() {
    refuses_retryably_and_keeps_what_it_took(outage_with_a_small_journal());
}

fn refuses_retryably_and_keeps_what_it_took(outage: Outage) {
    let Outage { engine, proxy, service } = outage;
    let filled = fill(&service);

    // gRPC: UNAVAILABLE, and RetryInfo where the standard wants it and where the Python SDK looks for it.
    assert_eq!(filled.last.get("details_code"), Some(&json!(14)), "{:?}", filled.last);
    for place in ["details_retry_seconds", "trailer_retry_seconds"] {
        let seconds = filled.last.get(place).and_then(Value::as_f64);
        assert!(
            seconds.is_some_and(|s| (0.1..=2.0).contains(&s)),
            "{place}: a sender gives up soon: {:?}",
            filled.last
        );
    }

    // HTTP: 503, Retry-After, google.rpc.Status in the content type of the request.
    let url = service.http("/v1/traces");
    let protobuf = send("POST", &url, &[("content-type", "application/x-protobuf")], &request_filling(3));
    assert_retryable(&protobuf);
    let status = Status::decode(protobuf.body.as_slice()).expect("a google.rpc.Status");
    assert!(!status.message.is_empty(), "{status:?}");
    assert!(protobuf.header("content-type").starts_with("application/x-protobuf"), "{protobuf:?}");
    let spans = json!([{
        "traceId": "44".repeat(16), "spanId": "44".repeat(8), "name": "refused",
        "startTimeUnixNano": "1", "endTimeUnixNano": "2",
        "attributes": [{"key": "filler", "value": {"stringValue": "x".repeat(200_000)}}],
    }]);
    let json_answer = post_json(&url, &json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}));
    assert_retryable(&json_answer);
    assert!(json_answer.json().get("message").is_some_and(Value::is_string), "{json_answer:?}");
    let chat = post_json(&service.chat("default"), &chat_pair());
    assert_retryable(&chat);
    assert!(chat.json().get("detail").is_some_and(Value::is_string), "{chat:?}");

    // A request that is refused before it is read counts as one: one over gRPC, three over HTTP.
    let refused = service.metric("otelcol_receiver_refused_spans_total");
    assert!(refused.is_some_and(|n| n >= 4.0), "refusals are counted: {refused:?}");

    // ClickHouse returns: what was taken arrives, what was refused was not half taken.
    assert!(proxy.done(Fault::Refuse) > 0, "the exporter tried");
    proxy.set(Fault::Pass);
    assert_each_stored_once(&service, &accepted_spans(&filled), "probe");
    let refused: BTreeSet<&str> = refused_spans(&filled).into_iter().collect();
    assert_eq!(refused.len(), 10);
    let rows = engine.sql("otel").rows("SELECT SpanId FROM otel_traces", &[]);
    let stored: BTreeSet<&str> = rows.iter().filter_map(|row| row.get("SpanId")?.as_str()).collect();
    assert_eq!(stored.intersection(&refused).count(), 0, "a refused request left spans behind");
    assert_eq!(stored.len(), accepted_spans(&filled).len(), "nothing else is stored");

    // And it takes new spans.
    wait_until("new spans are taken", || {
        let again = grpc_answers(&service.grpc(), &[]);
        (again.last.get("code") == Some(&json!("OK"))).then_some(())
    });
}

#[test]
fn memory_stays_bounded_however_much_is_offered_during_an_outage() {
    let Outage { engine: _engine, proxy: _proxy, service } = outage();
    fill(&service);
    let before = process::peak_memory_bytes(service.pid());
    let offered = grpc_answers(&service.grpc(), &["--spans", "10", "--span-bytes", "50000", "--requests", "200"]);
    assert_eq!(offered.answers.len(), 200);
    assert!(offered.answers.iter().all(|answer| answer.code == "UNAVAILABLE"), "the channel is full");
    let grown = process::peak_memory_bytes(service.pid()) - before;
    assert!(grown < 32 * MIB, "100 MB offered to a channel of 2 MiB took {grown} B");
}

#[test]
fn a_request_larger_than_the_whole_channel_is_refused_without_asking_for_a_retry() {
    let Outage { engine: _engine, proxy: _proxy, service } = outage();
    let headers = [("content-type", "application/x-protobuf")];
    let answer = send("POST", &service.http("/v1/traces"), &headers, &large_request());
    assert_eq!(answer.status, 413, "it could never succeed: {answer:?}");
    let grpc = grpc_answers(&service.grpc(), &["--spans", "2", "--span-bytes", "2000000"]);
    assert_eq!(grpc.last.get("code"), Some(&json!("RESOURCE_EXHAUSTED")), "{:?}", grpc.last);
    assert_eq!(grpc.last.get("trailer_retry_seconds"), None, "{:?}", grpc.last);
}

#[test]
fn the_python_sdk_waits_out_a_full_journal_and_loses_nothing() {
    let Outage { engine: _engine, proxy, service } = outage_with_a_small_journal();
    fill(&service);
    let mut load = Load::start(&service, "--batches 8 --batch-spans 50 --span-bytes 2048");
    let refused = service.metric("otelcol_receiver_refused_spans_total").unwrap_or_default();
    wait_until("the SDK has met the full journal", || {
        service.metric("otelcol_receiver_refused_spans_total").filter(|now| *now > refused)
    });
    proxy.set(Fault::Pass);
    let batches = load.finish();
    assert!(batches.iter().all(|batch| batch.acknowledged), "the SDK gave up on a batch");
    let acknowledged = acknowledged_spans(&batches);
    assert_eq!(acknowledged.len(), 8 * 50);
    assert_each_stored_once(&service, &acknowledged, "load");
}

#[test]
fn log_records_and_data_points_of_the_python_sdk_wait_out_a_full_journal() {
    let Outage { engine: _engine, proxy, service } = outage_with_a_small_journal();
    fill(&service);
    let grpc = format!("http://{}", service.grpc());
    let (logs, metrics) = (service.http("/v1/logs"), service.http("/v1/metrics"));
    let ledgers = std::thread::scope(|scope| {
        let senders = [("grpc", &grpc, &grpc), ("http", &logs, &metrics)].map(|(protocol, logs, metrics)| {
            let arguments = ["--protocol", protocol, "--logs", logs, "--metrics", metrics, "--service", protocol];
            let mut sender = python("otlp_signals.py", &[&arguments[..], &["--filler", "20000"]].concat());
            scope.spawn(move || (protocol, run_json::<Ledger>(&mut sender)))
        });
        wait_until("both have met the full journal", || {
            service.metric("otelcol_receiver_refused_log_records_total").filter(|refused| *refused >= 2.0)
        });
        proxy.set(Fault::Pass);
        senders.map(|sender| sender.join().expect("the SDK gave up on nothing"))
    });
    for (name, ledger) in ledgers {
        sdk_signals::assert_stored(&service, name, &ledger);
    }
}

/// What its exporters do over HTTP: wait for `Retry-After`, and send the same bytes again, six times in all.
#[test]
fn the_javascript_sdk_waits_out_a_full_journal_over_http() {
    for protocol in ["proto", "json"] {
        // the tables are there before the outage, so that its end comes within the SDK's patience
        let engine = Engine::start();
        let proxy = Proxy::before(engine.port, Fault::Pass);
        let clickhouse_url = Some(proxy.url());
        let service = Service::start_with(Options { yaml: JOURNAL.to_owned(), clickhouse_url, ..Options::default() });
        let first = grpc_answers(&service.grpc(), &["--spans", "1"]);
        assert_each_stored_once(&service, &accepted_spans(&first), "probe");
        proxy.set(Fault::Refuse);
        fill(&service);
        let refused = service.metric("otelcol_receiver_refused_spans_total").unwrap_or_default();
        let mut sender = node("otlp_js.mjs", &[protocol, &service.http("/v1/traces"), "", "20000"]);
        let ledger = std::thread::scope(|scope| {
            let sender = scope.spawn(move || run_json::<clients::Ledger>(&mut sender));
            wait_until("the SDK has met the full journal", || {
                service.metric("otelcol_receiver_refused_spans_total").filter(|now| *now > refused)
            });
            proxy.set(Fault::Pass);
            sender.join().expect("the SDK gave up on nothing")
        });
        rows::assert_stored(&service, &ledger);
    }
}

/// Its exporter over gRPC repeats nothing: the application gets the status, and nothing of the request is stored.
#[test]
fn the_javascript_sdk_over_grpc_hands_a_refusal_to_its_application() {
    let Outage { engine, proxy, service } = outage_with_a_small_journal();
    let filled = fill(&service);
    let grpc = format!("http://{}", service.grpc());
    let output = node("otlp_js.mjs", &["grpc", &grpc, "", "200000"]).output().expect("node starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it was told to try again");
    assert!(said.contains("UNAVAILABLE"), "{said}");
    proxy.set(Fault::Pass);
    assert_each_stored_once(&service, &accepted_spans(&filled), "probe");
    let stored = engine.sql("otel").rows("SELECT uniqExact(SpanId) AS n FROM otel_traces", &[]);
    assert_eq!(stored, [json!({"n": accepted_spans(&filled).len()})], "of what was refused nothing is stored");
}

fn assert_retryable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let seconds = answer.header("retry-after").parse::<u32>();
    assert!(seconds.as_ref().is_ok_and(|s| (1..=2).contains(s)), "Retry-After is 1 or 2 s: {answer:?}");
}

/// A request of 200 KB, more than a full channel has room for.
fn request_filling(n: u8) -> Vec<u8> {
    let mut one = span(n);
    one.attributes.push(string_attribute("filler", "x".repeat(200_000)));
    request_of(vec![one])
}

fn chat_pair() -> Value {
    json!({
        "request": {"model": "m", "messages": [{"role": "user", "content": "x".repeat(200_000)}]},
        "response": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "y"}, "finish_reason": "stop"}]}
    })
}
