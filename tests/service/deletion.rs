//! `millrace delete`: what belongs to a user, a session or a trace goes from every table, and nothing else.

use serde_json::{Value, json};
use std::fs;
use support::http::post_json;
use support::service::binary;
use support::{Options, Service, wait_until};

fn any(text: &str) -> Value {
    json!({"stringValue": text})
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": any(value)})).collect()
}

/// A trace with a span of an application above the call of a user.
fn trace(number: usize, user: &str, session: &str, start: &str) -> Value {
    let span = |id: usize, parent: &str, attributes: Value| {
        json!({"traceId": format!("{number:032x}"), "spanId": format!("{:016x}", number * 10 + id), "parentSpanId": parent,
            "name": "s", "startTimeUnixNano": start, "endTimeUnixNano": start, "attributes": attributes})
    };
    let call = attributes(&[
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "gpt-4o-mini"),
        ("user.id", user),
        ("session.id", session),
    ]);
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [
        span(1, "", json!([])), span(2, &format!("{:016x}", number * 10 + 1), call),
    ]}]}]})
}

const NOW: &str = "1790000000000000000";
const LONG_AGO: &str = "1780000000000000000";

fn log(user: &str, trace: usize) -> Value {
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"timeUnixNano": NOW, "body": any("by attribute"), "attributes": attributes(&[("user.id", user)])},
        {"timeUnixNano": NOW, "body": any("by trace"), "traceId": format!("{trace:032x}"), "spanId": "00000000000000ff"},
    ]}]}]})
}

fn metric(user: &str) -> Value {
    let point = json!({"timeUnixNano": NOW, "asInt": "1", "attributes": attributes(&[("user.id", user)])});
    let sum = json!({"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": true});
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "sum": sum}]}]}]})
}

const COUNTS: &str = "SELECT (SELECT count() FROM otel.otel_traces) AS spans, (SELECT count() FROM otel.otel_logs) AS logs, \
    (SELECT count() FROM otel.otel_metrics_sum) AS points, (SELECT count() FROM otel.genai_calls) AS calls, \
    (SELECT count() FROM otel.genai_traces) AS traces, (SELECT count() FROM otel.genai_report_rows) AS reports";

fn counts(service: &Service) -> Value {
    service.sql().rows(COUNTS, &[]).pop().unwrap()
}

/// What the command says, and whether it went well.
fn delete(service: &Service, arguments: &[&str]) -> (bool, String) {
    let config = service.data_dir().with_file_name("delete.yaml");
    let metrics = service.metrics_url();
    let address = metrics.trim_start_matches("http://").split('/').next().unwrap();
    let yaml = format!(
        "data_dir: {}\nclickhouse: {{ url: '{}' }}\nadmin: {{ metrics: {{ listen: '{address}' }} }}\n",
        service.data_dir().display(),
        service.sql().url,
    );
    fs::write(&config, yaml).unwrap();
    let ended = binary().arg("delete").arg("--config").arg(&config).args(arguments).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    (ended.status.success(), said)
}

#[test]
fn a_user_a_session_and_a_trace_go_from_every_table_and_nothing_else_does() {
    let service = Service::start_with(Options::default());
    let send = |path: &str, body: &Value| {
        let answer = post_json(&service.http(path), body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    // 1 to 4 of ann, one of them old; 5 and 6 of bob, in two sessions; 7 of nobody
    for (number, user, session, start) in [
        (1, "ann", "s1", NOW),
        (2, "ann", "s1", NOW),
        (3, "ann", "s2", NOW),
        (4, "ann", "s3", LONG_AGO),
        (5, "bob", "s4", NOW),
        (6, "bob", "s5", NOW),
        (7, "", "", NOW),
    ] {
        send("/v1/traces", &trace(number, user, session, start));
    }
    for (user, trace) in [("ann", 1), ("bob", 5)] {
        send("/v1/logs", &log(user, trace));
        send("/v1/metrics", &metric(user));
    }
    let all = json!({"spans": 14, "logs": 4, "points": 2, "calls": 7, "traces": 7, "reports": 7});
    wait_until("everything is stored and counted", || (counts(&service) == all).then_some(()));

    let (is_well, said) = delete(&service, &["--user", "ann", "--dry-run"]);
    assert!(is_well && said.contains("4 traces, ") && said.contains("to be deleted"), "{said}");
    assert_eq!(counts(&service), all, "a dry run deletes nothing");

    let (is_well, said) = delete(&service, &["--user", "ann", "--before", "2026-07-01"]);
    assert!(is_well && said.contains("1 trace, ") && said.contains("otel_traces: 2"), "{said}");
    assert_eq!(counts(&service), json!({"spans": 12, "logs": 4, "points": 2, "calls": 6, "traces": 6, "reports": 6}));

    let (is_well, said) = delete(&service, &["--user", "ann"]);
    assert!(is_well && said.contains("3 traces, ") && said.contains("otel_metrics_sum: 1"), "{said}");
    assert_eq!(counts(&service), json!({"spans": 6, "logs": 2, "points": 1, "calls": 3, "traces": 3, "reports": 3}));

    let (is_well, said) = delete(&service, &["--session", "s4"]);
    assert!(is_well, "{said}");
    assert_eq!(counts(&service), json!({"spans": 4, "logs": 1, "points": 1, "calls": 2, "traces": 2, "reports": 2}));

    let (is_well, said) = delete(&service, &["--trace", &format!("{:032x}", 6)]);
    assert!(is_well, "{said}");
    assert_eq!(counts(&service)["spans"], 2);
    let users = service.sql().rows("SELECT DISTINCT UserId FROM otel.genai_usage_by_user ORDER BY UserId", &[]);
    assert_eq!(users, [json!({"UserId": ""})], "no sum has them any more");

    let (is_well, said) = delete(&service, &["--user", "ann", "--workspace", "other"]);
    assert!(is_well && said.contains("0 traces, 0 rows"), "{said}");
    for wrong in [&["--user", ""][..], &[], &["--trace", "xyz"], &["--user", "a", "--session", "b"]] {
        let (is_well, said) = delete(&service, wrong);
        assert!(!is_well && !said.is_empty(), "{wrong:?}: {said}");
    }
}

#[test]
fn what_is_on_its_way_is_waited_for_and_goes_too() {
    let service =
        Service::start_with(Options { yaml: "exporter: { flush_after: 4s }".to_owned(), ..Options::default() });
    for number in 1..=40 {
        let user = if number % 2 == 0 { "ann" } else { "bob" };
        assert_eq!(post_json(&service.http("/v1/traces"), &trace(number, user, "s", NOW)).status, 200);
    }
    let (is_well, said) = delete(&service, &["--user", "ann"]);
    assert!(is_well, "{said}");
    wait_until("the others are counted", || (counts(&service)["calls"] == 20).then_some(()));
    let left = service.sql().rows("SELECT countIf(UserId = 'ann') AS ann, count() AS spans FROM otel.otel_traces", &[]);
    assert_eq!(left, [json!({"ann": 0, "spans": 40})], "{said}");
}

#[test]
fn what_was_said_of_a_users_spans_and_sessions_goes_with_them() {
    let service = Service::start_with(Options::default());
    for (number, user, session) in [(1, "ann", "s1"), (2, "bob", "s2"), (3, "ann", "s3")] {
        let answer = post_json(&service.http("/v1/traces"), &trace(number, user, session, NOW));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    wait_until("all is counted", || (counts(&service)["calls"] == 3).then_some(()));
    let said = |path: &str, user: &str, body: Value| {
        let url = service.http(&format!("/apis/intake/v2/workspaces/default/{path}"));
        let answer = support::http::send("POST", &url, &[("x-millrace-user", user)], body.to_string().as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    let result = |trace: usize, name: &str| {
        json!({"span_id": format!("{:016x}", trace * 10 + 2), "session_id": format!("s{trace}"), "name": name,
               "data_type": "NUMERIC", "value": 1})
    };
    let note = |session: &str, text: &str| json!({"session_id": session, "kind": "note", "text": text});
    said("evaluator-results", "judge", result(1, "of ann"));
    said("evaluator-results", "judge", result(2, "of bob"));
    said("evaluator-results", "judge", result(3, "of ann's third"));
    said("annotations", "judge", note("s1", "of ann's session"));
    said("annotations", "judge", note("s2", "of bob's session"));
    said("annotations", "ann", note("s2", "by ann"));
    let left = || {
        let query =
            "SELECT arraySort(groupArray(if(StringValue = '', Name, StringValue))) AS names FROM otel.genai_scores";
        service.sql().rows(query, &[]).pop().unwrap()["names"].clone()
    };
    let (is_well, told) = delete(&service, &["--session", "s3"]);
    assert!(is_well && told.contains("genai_evaluator_results: 1"), "{told}");
    assert_eq!(left().as_array().map(Vec::len), Some(5));
    let (is_well, told) = delete(&service, &["--user", "ann"]);
    assert!(is_well && told.contains("genai_annotations: 2") && told.contains("genai_evaluator_results: 1"), "{told}");
    assert_eq!(left(), json!(["of bob", "of bob's session"]));
    let (is_well, told) = delete(&service, &["--trace", &format!("{:032x}", 2)]);
    assert!(is_well, "{told}");
    assert_eq!(left(), json!(["of bob's session"]), "the session has other traces");
}
