//! Quotas: a workspace that sends too much is told to try again, in the form of every protocol, and nobody else is.

use std::fs;

use serde_json::{Value, json};
use support::http::{Answer, send};
use support::{Options, Service, grpc, wait_until, wire};

fn spans(count: u8) -> Vec<u8> {
    wire::request_of((1..=count).map(wire::span).collect())
}

fn export(service: &Service, workspace: &str, body: &[u8]) -> Answer {
    let headers = [("content-type", "application/x-protobuf"), ("x-millrace-workspace", workspace)];
    send("POST", &service.http("/v1/traces"), &headers, body)
}

fn call() -> Value {
    json!({"request": {"model": "m", "messages": [{"role": "user", "content": "q"}]},
        "response": {"id": "r", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]}})
}

fn refused(service: &Service, workspace: &str, quota: &str) -> bool {
    let sample = format!("millrace_quota_refused_total{{quota=\"{quota}\",workspace=\"{workspace}\"}}");
    service.metrics().lines().any(|line| line.starts_with(&sample))
}

#[test]
fn a_workspace_over_its_quota_is_told_to_try_again_and_others_are_not() {
    let yaml = "quotas: { workspaces: { a: { rows_per_second: 10 } } }".to_owned();
    let service = Service::start_with(Options { yaml, ..Options::default() });
    assert_eq!(export(&service, "a", &spans(40)).status, 200, "more than a second's worth is taken");
    let over = export(&service, "a", &spans(1));
    assert_eq!((over.status, over.body.first_chunk()), (429, Some(&[0x08, 8])), "google.rpc.Status with code 8");
    let seconds: u64 = over.header("retry-after").parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    let method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let called = grpc::export_with(&service.grpc(), method, &[("x-millrace-workspace", "a")], &spans(1));
    assert_eq!((called.code, called.is_retryable), (8, true), "{}", called.message);
    let chat = send("POST", &service.chat("a"), &[("content-type", "application/json")], call().to_string().as_bytes());
    assert_eq!(chat.status, 429);
    assert!(chat.json()["detail"].as_str().unwrap().contains("quota of rows a second"), "{}", chat.text());
    assert!(!chat.header("retry-after").is_empty());
    assert_eq!(export(&service, "b", &spans(40)).status, 200);
    assert_eq!(export(&service, "b", &spans(1)).status, 200, "another workspace");
    assert!(refused(&service, "a", "rows") && !refused(&service, "b", "rows"));
    wait_until("what was used is paid for", || (export(&service, "a", &spans(1)).status == 200).then_some(()));
    let refused = service.metric("millrace_spans_refused_total").unwrap();
    assert!(refused >= 2.0, "they are counted as refused, not as rejected: {refused}");
}

#[test]
fn requests_and_bytes_have_quotas_that_are_read_again_while_the_service_runs() {
    let yaml = "quotas: { workspaces: { r: { requests_per_second: 1 }, b: { bytes_per_second: 1KiB } } }".to_owned();
    let service = Service::start_with(Options { yaml, ..Options::default() });
    let statuses: Vec<u16> = (0..4).map(|_| export(&service, "r", b"").status).collect();
    assert_eq!(statuses[0], 200);
    assert!(statuses.contains(&429), "{statuses:?}");
    let large = spans(200);
    assert!(large.len() > 8 << 10);
    assert_eq!((export(&service, "b", &large).status, export(&service, "b", b"").status), (200, 429));
    assert!(refused(&service, "r", "requests") && refused(&service, "b", "bytes"));
    let config = fs::read_to_string(service.config()).unwrap();
    fs::write(service.config(), config.replace("requests_per_second: 1 ", "requests_per_second: 0 ")).unwrap();
    service.hang_up();
    wait_until("what is wrong is refused", || service.log().contains("nothing was reloaded").then_some(()));
    fs::write(service.config(), config.replace("bytes_per_second: 1KiB", "journal_bytes: 1GiB")).unwrap();
    service.hang_up();
    wait_until("the quotas are read again", || service.log().contains("reloaded the configuration").then_some(()));
    wait_until("what was used is paid for", || (export(&service, "b", b"").status == 200).then_some(()));
    let statuses: Vec<u16> = (0..8).map(|_| export(&service, "b", &large).status).collect();
    assert_eq!(statuses, [200; 8], "there is no quota of bytes any more");
}

#[test]
fn what_waits_for_clickhouse_has_a_quota() {
    let yaml = "quotas: { workspaces: { a: { journal_bytes: 2KiB } } }".to_owned();
    let nowhere = format!("http://127.0.0.1:{}", support::service::free_port());
    let service = Service::start_with(Options { yaml, clickhouse_url: Some(nowhere), ..Options::default() });
    assert_eq!(export(&service, "a", &spans(200)).status, 200);
    assert_eq!(export(&service, "a", &spans(1)).status, 429);
    assert_eq!(export(&service, "b", &spans(1)).status, 200);
    assert!(refused(&service, "a", "journal"));
}

#[test]
fn what_a_start_finds_in_the_journal_counts_for_whoever_sent_it() {
    let yaml = "quotas: { workspaces: { a: { journal_bytes: 2KiB } } }".to_owned();
    let nowhere = format!("http://127.0.0.1:{}", support::service::free_port());
    let mut service = Service::start_with(Options { yaml, clickhouse_url: Some(nowhere), ..Options::default() });
    assert_eq!(export(&service, "a", &spans(200)).status, 200);
    assert_eq!(export(&service, "b", &spans(200)).status, 200);
    service.kill();
    service.start_again();
    assert_eq!(export(&service, "a", &spans(1)).status, 429, "it still waits");
    assert_eq!(export(&service, "b", &spans(1)).status, 200);
    assert!(refused(&service, "a", "journal") && !refused(&service, "b", "journal"));
}

#[test]
fn what_a_start_found_is_given_back_once_clickhouse_has_it() {
    let engine = support::Engine::start();
    let proxy = support::proxy::Proxy::before(engine.port, support::proxy::Fault::Refuse);
    let yaml = "quotas: { journal_bytes: 2KiB }".to_owned();
    let mut service = Service::start_with(Options { yaml, clickhouse_url: Some(proxy.url()), ..Options::default() });
    assert_eq!(export(&service, "a", &spans(200)).status, 200);
    service.kill();
    service.start_again();
    assert_eq!(export(&service, "a", &spans(1)).status, 429);
    proxy.set(support::proxy::Fault::Pass);
    wait_until("the rows are stored", || (export(&service, "a", &spans(1)).status == 200).then_some(()));
}

#[test]
fn what_waited_is_given_back_once_clickhouse_has_it() {
    let yaml = "quotas: { journal_bytes: 2KiB }".to_owned();
    let service = Service::start_with(Options { yaml, ..Options::default() });
    assert_eq!(export(&service, "a", &spans(200)).status, 200);
    wait_until("the rows are stored", || (export(&service, "a", &spans(1)).status == 200).then_some(()));
}

#[test]
fn each_line_of_many_is_refused_by_itself() {
    let yaml = "quotas: { rows_per_second: 1 }".to_owned();
    let service = Service::start_with(Options { yaml, ..Options::default() });
    let lines: String = (0..6)
        .map(|number| {
            let mut call = call();
            call["response"]["id"] = json!(format!("r{number}"));
            format!("{call}\n")
        })
        .collect();
    let answer = send("POST", &service.chat("a"), &[("content-type", "application/x-ndjson")], lines.as_bytes());
    let answers: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 6, "{}", answer.text());
    assert!(answers[0]["span_id"].is_string(), "{}", answer.text());
    assert!(answers.iter().any(|answer| answer["status"] == 429), "{}", answer.text());
}
