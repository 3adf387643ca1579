//! How long spans are kept: what is too old is deleted, its texts before it, and it is refused when it arrives.

use serde_json::{Value, json};

use millrace::time::Clock;
use support::http::{Answer, post_json};
use support::{Engine, Options, Service, wait_until};

const DAY: i64 = 24 * 60 * 60;

fn seconds_ago(seconds: i64) -> i64 {
    Clock::System.now().nanos() / 1_000_000_000 - seconds
}

fn keeping(retention: &str) -> Service {
    Service::start_with(Options { yaml: format!("retention: {retention}"), ..Options::default() })
}

/// An OTLP request with a span for each age in days.
fn otlp(service: &Service, workspace: &str, ages: &[i64]) -> Answer {
    let span = |(number, age): (usize, &i64)| {
        let start = format!("{}000000000", seconds_ago(age * DAY));
        json!({"traceId": format!("{:032x}", number + 1), "spanId": format!("{:016x}", number + 1), "name": format!("{age} days"),
               "startTimeUnixNano": start, "endTimeUnixNano": start})
    };
    let spans: Vec<Value> = ages.iter().enumerate().map(span).collect();
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
    let headers = [("content-type", "application/json"), ("x-millrace-workspace", workspace)];
    support::http::send("POST", &service.http("/v1/traces"), &headers, body.to_string().as_bytes())
}

fn names(service: &Service) -> Vec<String> {
    let rows = service.sql().try_rows("SELECT SpanName FROM otel_traces ORDER BY SpanName", &[]).unwrap_or_default();
    rows.iter().filter_map(|row| row["SpanName"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_span_older_than_what_is_kept_is_rejected_alone_and_told_by_which_key() {
    let service = keeping("{ spans: 30d, workspaces: { audit: { spans: forever }, tests: { spans: 3d } } }");
    let answer = otlp(&service, "default", &[1, 45, 29]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let partial = answer.json()["partialSuccess"].clone();
    assert_eq!(partial["rejectedSpans"].as_str(), Some("1"), "{partial}");
    let message = partial["errorMessage"].as_str().expect("a message");
    let want = "start_time_unix_nano is 45 days ago, and spans are kept for 30 days (retention.spans)";
    assert!(message.contains(want), "{message}");
    wait_until("the others are stored", || (names(&service) == ["1 days", "29 days"]).then_some(()));

    let message = otlp(&service, "tests", &[4]).json()["partialSuccess"]["errorMessage"].to_string();
    assert!(
        message.contains("is 4 days ago, and spans are kept for 3 days (retention.workspaces.tests.spans)"),
        "{message}"
    );
    assert_eq!(otlp(&service, "audit", &[400]).json().get("partialSuccess"), None, "kept for ever");
    wait_until("it is stored", || names(&service).contains(&"400 days".to_owned()).then_some(()));
    assert_eq!(service.metric("millrace_receiver_rejected_spans_total"), Some(2.0));
}

#[test]
fn a_pair_older_than_what_is_kept_is_refused_by_the_member_that_says_so() {
    let service = keeping("{ spans: 7d }");
    let old = seconds_ago(20 * DAY);
    let pair = |response: Value| json!({"request": {"model": "m", "messages": []}, "response": response});
    let mut started = pair(json!({"choices": []}));
    started["started_at"] = json!("2020-01-01T00:00:00Z");
    for (body, loc) in [
        (pair(json!({"created": old, "choices": []})), json!(["body", "response", "created"])),
        (started, json!(["body", "started_at"])),
    ] {
        let answer = post_json(&service.chat("default"), &body);
        assert_eq!(answer.status, 422, "{}", answer.text());
        let detail = answer.json()["detail"][0].clone();
        assert_eq!(detail["loc"], loc);
        let msg = detail["msg"].as_str().expect("a message");
        assert!(msg.contains("days ago, and spans are kept for 7 days (retention.spans)"), "{msg}");
    }
    let recent = pair(json!({"created": seconds_ago(6 * DAY), "choices": []}));
    assert_eq!(post_json(&service.chat("default"), &recent).status, 201);
}

/// Rows of several ages in two workspaces, stored before anybody spoke of retention.
fn store_old_rows(engine: &Engine) {
    let rows = "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, ResourceAttributes, Workspace, SpanAttributes, \
                InputMessages, InputPreview, RawRequest, ContentAttributes) \
                SELECT now64(9) - toIntervalDay(d), 't' || toString(d), w || toString(d), 'old', map('millrace.workspace', w), w, \
                map('k', 'v'), 'text', 'seen', 'raw', map('c', 'text') \
                FROM (SELECT arrayJoin([1, 10, 100]) AS d) AS a CROSS JOIN (SELECT arrayJoin(['default', 'audit']) AS w) AS b";
    engine.sql("otel").rows(rows, &[]);
    // what a wrong clock says is in the year 2200 would, as a DateTime, be long ago or soon
    let future = "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, InputMessages) \
                  VALUES ('2200-01-01 00:00:00', 'f', 'default-74000', 'old', 'text')";
    engine.sql("otel").rows(future, &[]);
}

#[test]
fn what_is_too_old_is_deleted_and_its_texts_before_it_by_workspace() {
    // a partition that was looked at is looked at again at once, and not after four hours
    let engine =
        Engine::start_with_settings("<merge_tree><merge_with_ttl_timeout>0</merge_with_ttl_timeout></merge_tree>");
    let plain = engine.config_of_a_writer("clickhouse: { url: 'URL' }\n");
    crate::schema::succeeds(&crate::schema::schema("apply", &plain));
    store_old_rows(&engine);
    let clickhouse_url = Some(engine.url());
    let yaml =
        "retention: { spans: 30d, content: 7d, workspaces: { audit: { spans: forever, content: 30d } } }".to_owned();
    let service = Service::start_with(Options { clickhouse_url, yaml, ..Options::default() });
    let query = "SELECT SpanId, InputMessages || InputPreview || RawRequest || ContentAttributes['c'] AS texts, SpanAttributes['k'] AS k \
                 FROM otel_traces ORDER BY SpanId";
    let row = |id: &str, texts: &str, k: &str| json!({"SpanId": id, "texts": texts, "k": k});
    let want = [
        row("audit1", "textseenrawtext", "v"),
        row("audit10", "textseenrawtext", "v"),
        row("audit100", "", "v"),
        row("default-74000", "text", ""),
        row("default1", "textseenrawtext", "v"),
        row("default10", "", "v"),
    ];
    wait_until("ClickHouse has deleted what is too old, and nothing else", || {
        (service.sql().try_rows(query, &[]).ok()? == want).then_some(())
    });
    let times = "SELECT count() FROM otel_traces WHERE TraceId NOT IN (SELECT TraceId FROM otel_traces_trace_id_ts)";
    assert_eq!(service.sql().number(times, &[]), 0, "what is kept is found by its times");
}
