//! What an operator looks at: probes, metrics in both texts, the summary, the log as JSON.

use std::collections::HashSet;
use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use support::http::{self, post_json};
use support::{Options, Service, service, wait_until};

fn one_call(service: &Service) {
    let body = json!({"request": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
        "response": {"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."},
        "finish_reason": "stop"}]}});
    assert_eq!(post_json(&service.chat("default"), &body).status, 201);
}

fn health(service: &Service, page: &str) -> (u16, Value) {
    let answer = http::get(&format!("{}{page}", service.health()));
    (answer.status, answer.json())
}

#[test]
fn probes_tell_a_process_that_does_anything_from_one_that_accepts() {
    let mut service = Service::start();
    let (status, live) = health(&service, "live");
    assert_eq!((status, &live["status"], &live["version"]), (200, &json!("live"), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(health(&service, "ready"), (200, json!({"status": "ready"})));
    // a journal that nothing may be written to
    fs::remove_dir_all(service.data_dir().join("journal")).expect("the journal can be removed");
    fs::write(service.data_dir().join("journal"), "no folder").expect("a file can be in its place");
    wait_until("it accepts no more", || (health(&service, "ready").0 == 503).then_some(()));
    let (_, not_ready) = health(&service, "ready");
    assert_eq!(not_ready["status"], "not ready");
    assert!(not_ready["why"].as_str().is_some_and(|why| !why.is_empty()), "{not_ready}");
    assert_eq!(health(&service, "live").0, 200, "restarting it would not help");
    assert!(!service.terminate().success() || service.log().contains("stopped"), "{}", service.log());
}

#[test]
fn prometheus_gets_openmetrics_and_whoever_does_not_ask_gets_its_older_text() {
    let service = Service::start();
    one_call(&service);
    wait_until("the call is stored", || (service.metric("millrace_spans_stored_total") == Some(1.0)).then_some(()));
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    let answer = http::send("GET", &service.metrics_url(), &[("accept", accept)], b"");
    let page = answer.text();
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(page.ends_with("# EOF\n"), "{page}");
    let lines: Vec<&str> = page.lines().collect();
    let families: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(families.iter().collect::<HashSet<_>>().len(), families.len(), "each family once");
    for line in [
        "# TYPE millrace_spans_stored counter",
        "millrace_spans_stored_total 1",
        "# UNIT millrace_journal_written_bytes bytes",
        "# TYPE millrace_acknowledgement_seconds histogram",
        "millrace_acknowledgement_seconds_count{ack=\"durable\"} 1",
    ] {
        assert!(lines.contains(&line), "{line}: {page}");
    }
    let older = http::get(&service.metrics_url());
    assert_eq!(older.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(older.text().contains("\nmillrace_spans_stored 1\n"), "names before _total");
    for timed in
        ["millrace_journal_fsync_seconds", "millrace_clickhouse_insert_seconds", "millrace_clickhouse_query_seconds"]
    {
        assert!(service.metric(&format!("{timed}_count")) > Some(0.0), "{timed}");
    }
    assert!(service.metric("process_resident_memory_bytes") > Some(1e6));
}

fn status(service: &Service, more: &[&str]) -> (bool, String) {
    let of = |url: &str| url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
    let yaml = format!(
        "admin: {{ health: {{ listen: '{}' }}, metrics: {{ listen: '{}' }} }}\n",
        of(&service.health()),
        of(&service.metrics_url())
    );
    let file = service.folder().join("status.yaml");
    fs::write(&file, yaml).expect("the configuration can be written");
    let Output { status, stdout, stderr } =
        service::binary().arg("status").arg("--config").arg(file).args(more).output().expect("the binary runs");
    (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[test]
fn the_summary_says_what_came_in_and_how_everything_does() {
    let mut service = Service::start();
    one_call(&service);
    wait_until("the call is stored", || (service.metric("millrace_spans_stored_total") == Some(1.0)).then_some(()));
    let (is_done, said) = status(&service, &[]);
    assert!(is_done, "{said}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let spans = said.lines().map(words).find(|words| words.first().is_some_and(|word| word == "spans"));
    assert_eq!(spans.expect("a line of spans").join(" "), "spans 1 1 0 0 0 0 0", "{said}");
    for part in [&format!("Millrace {} is accepting", env!("CARGO_PKG_VERSION")), "storing", "working", "descriptors"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (is_done, json) = status(&service, &["--json"]);
    let json: Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!((is_done, &json["metrics"]["millrace_spans_received_total"]), (true, &json!(1.0)));
    assert_eq!(json["health"]["status"], "accepting");
    service.terminate();
    let (is_done, said) = status(&service, &[]);
    assert!(!is_done && said.contains("admin.health.listen"), "{said}");
}

#[test]
fn a_log_of_json_has_an_object_a_line() {
    let yaml = "log: { format: json }".to_owned();
    let mut service = Service::start_with(Options { yaml, ..Options::default() });
    one_call(&service);
    service.terminate();
    // the greeting is for people, and on standard output
    let log = service.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(lines.iter().any(|line| line["message"] == "ClickHouse is ready" && line["level"] == "INFO"), "{log}");
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["message"].is_string()), "{log}");
    assert!(!log.contains(" INFO "), "no line is text: {log}");
}
