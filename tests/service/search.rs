//! Searches (`q`), what goes with them, and the statements of an answer, over the real service.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::rows::text;
use support::http::{Answer, get, post_json, send};
use support::{Options, Service, wait_until};

/// 2026-03-02, 09:00:00.
const BEGIN: u64 = 1_772_442_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn ask(service: &Service, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let query =
        parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&");
    get(&service.http(&format!("/apis/intake/v2/workspaces/search{path}?{query}")))
}

fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// From when on searches look; without it, in the last 30 days.
const SINCE: (&str, &str) = ("filter[started_at][$gte]", "2026-01-01");

/// The last digits of the ids that a search finds.
fn found(service: &Service, path: &str, q: &str) -> BTreeSet<String> {
    let id = match path {
        "/spans" => "span_id",
        _ => "id",
    };
    let answer = ask(service, path, &[("q", q), ("page_size", "100"), SINCE]);
    assert_eq!(answer.status, 200, "{path} {q}: {}", answer.text());
    let page = answer.json();
    assert_eq!(page["q"], q);
    let rows = page["data"].as_array().unwrap();
    assert_eq!(page["pagination"]["total_results"], rows.len());
    let last = |row: &Value| text(row, id).trim_start_matches('0').to_owned();
    rows.iter().map(last).collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

struct Given<'a> {
    trace: u32,
    id: u32,
    parent: u32,
    seconds: u64,
    attributes: &'a [(&'a str, Value)],
    fails: bool,
}

fn span(given: &Given<'_>) -> Value {
    let start = BEGIN + u64::from(given.id) * SECOND;
    let value = |value: &Value| match value {
        Value::Number(number) => json!({"intValue": number.to_string()}),
        other => json!({"stringValue": other}),
    };
    let session = ("session.id", json!(format!("s-{}", given.trace)));
    let attributes: Value =
        given.attributes.iter().chain([&session]).map(|(key, own)| json!({"key": key, "value": value(own)})).collect();
    json!({
        "traceId": format!("{:032x}", given.trace), "spanId": format!("{:016x}", given.id),
        "parentSpanId": if given.parent == 0 { String::new() } else { format!("{:016x}", given.parent) },
        "name": format!("step {}", given.id), "kind": 1, "attributes": attributes,
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + given.seconds * SECOND).to_string(),
        "status": if given.fails { json!({"code": 2, "message": "no such file"}) } else { json!({}) },
    })
}

/// Trace 1: an agent (1) with a call of gpt-5-mini (2) and a tool (3) that fails. Trace 2: a call of claude-x (4), slow and large.
/// Trace 5: an ordinary span (5).
fn filled() -> Service {
    let service = Service::start_with(Options { ack: Some("stored"), ..Options::default() });
    let usage = |model: &'static str, input: u32, output: u32| {
        vec![
            ("gen_ai.operation.name", json!("chat")),
            ("gen_ai.provider.name", json!("acme")),
            ("gen_ai.response.model", json!(model)),
            ("gen_ai.usage.input_tokens", json!(input)),
            ("gen_ai.usage.output_tokens", json!(output)),
        ]
    };
    let agent = [
        ("gen_ai.operation.name", json!("invoke_agent")),
        ("gen_ai.agent.name", json!("helper")),
        ("user.id", json!("anna")),
    ];
    let tool = [("gen_ai.operation.name", json!("execute_tool")), ("gen_ai.tool.name", json!("read_file"))];
    let route = [("http.route", json!("/x'); DROP TABLE otel_traces --")), ("retries", json!(7))];
    let (small, large) = (usage("gpt-5-mini", 10, 5), usage("claude-x", 20_000, 3_000));
    let given =
        |trace, id, parent, seconds, attributes, fails| span(&Given { trace, id, parent, seconds, attributes, fails });
    let spans = [
        given(1, 1, 0, 3, &agent, false),
        given(1, 2, 1, 1, &small, false),
        given(1, 3, 1, 1, &tool, true),
        given(2, 4, 0, 9, &large, false),
        given(5, 5, 0, 1, &route, false),
    ];
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    let headers = [("content-type", "application/json"), ("x-millrace-workspace", "search")];
    let sent = send("POST", &service.http("/v1/traces"), &headers, body.as_bytes());
    assert_eq!((sent.status, sent.text().as_str()), (200, "{}"));
    let score = json!({"span_id": format!("{:016x}", 4), "session_id": "s", "name": "helpful", "data_type": "NUMERIC", "value": 0.25});
    let scored = post_json(&service.http("/apis/intake/v2/workspaces/search/evaluator-results"), &score);
    assert_eq!(scored.status, 201, "{}", scored.text());
    // about a whole session, and about a whole trace by the session that is made from it
    for (session, name) in [("s-1".to_owned(), "verdict"), (format!("session-{:032x}", 2), "mood")] {
        let label =
            json!({"session_id": session, "kind": "label", "name": name, "value_type": "text", "value": "good"});
        let labelled = post_json(&service.http("/apis/intake/v2/workspaces/search/annotations"), &label);
        assert_eq!(labelled.status, 201, "{}", labelled.text());
    }
    wait_until("the calls are counted", || {
        let page = ask(&service, "/traces", &[("q", "tokens:>0"), SINCE]).json();
        (page["pagination"]["total_results"] == 2).then_some(())
    });
    service
}

#[test]
fn a_search_finds_the_spans_and_the_traces_that_are_so() {
    let service = filled();
    let spans: [(&str, &[&str]); 17] = [
        ("model:gpt-5*", &["2"]),
        ("model:gpt-5", &[]),
        ("provider:acme -model:gpt-5*", &["4"]),
        ("tokens:>=23k", &["4"]),
        ("duration:>2s", &["1", "4"]),
        ("status:error", &["3"]),
        ("has:error", &["3"]),
        ("kind:tool OR kind:agent", &["1", "3"]),
        ("tool:(x OR read_file)", &["3"]),
        ("user:anna", &["1"]),
        ("attr.http.route:\"/x'); DROP TABLE otel_traces --\"", &["5"]),
        ("attr.retries:>6 -attr.retries:>7", &["5"]),
        ("has:attr.retries", &["5"]),
        ("score.helpful:<0.5", &["4"]),
        ("\"NO SUCH file\"", &["3"]),
        ("started:>2026-03-02T09:00:03Z", &["4", "5"]),
        ("started:<-1000000h", &[]),
    ];
    for (q, want) in spans {
        assert_eq!(found(&service, "/spans", q), set(want), "{q}");
    }
    let traces: [(&str, &[&str]); 14] = [
        ("model:gpt-5*", &["1"]),
        ("tool:read_file model:gpt-5*", &["1"]),
        ("-tool:read_file", &["2", "5"]),
        ("tokens:<100", &["1"]),
        ("tokens:>100", &["2"]),
        ("status:error", &[]),
        ("has:error", &["1"]),
        ("duration:>5s", &["2"]),
        ("name:\"step 5\" OR score.helpful:<1", &["2", "5"]),
        ("score.mood:good", &["2"]),
        ("has:score.mood OR has:score.verdict", &["2"]),
        ("-has:score", &["1", "5"]),
        ("trace:00000000000000000000000000000002", &["2"]),
        ("started:>=2026-03-02T09:00:04Z started:<2026-03-02T09:00:05Z", &["2"]),
    ];
    for (q, want) in traces {
        assert_eq!(found(&service, "/traces", q), set(want), "{q}");
    }
    let both = ask(&service, "/spans", &[("q", "duration:>2s"), ("filter", "{\"kind\":\"AGENT\"}"), SINCE]).json();
    assert_eq!(both["pagination"]["total_results"], 1, "a filter and a search must both hold");
    assert_eq!(found(&service, "/sessions", "model:gpt-5*").len(), 1);
    assert_eq!(found(&service, "/sessions", "tokens:>100 -model:gpt-5*").len(), 1);
    assert_eq!(found(&service, "/sessions", "score.verdict:good"), set(&["s-1"]));
    assert_eq!(
        service.sql().rows("SELECT count() AS spans FROM otel_traces", &[])[0]["spans"].to_string().trim_matches('"'),
        "5"
    );
}

#[test]
fn a_search_that_cannot_be_read_is_refused_with_its_place_and_a_cursor_belongs_to_its_search() {
    let service = filled();
    let refused = ask(&service, "/traces", &[("q", "model:a modle:b")]);
    assert_eq!(refused.status, 400);
    let want = json!({"detail": "q, at character 9: unknown field 'modle': did you mean 'model'?", "position": 9});
    assert_eq!(refused.json(), want);
    let first = ask(&service, "/spans", &[("q", "duration:>0s"), SINCE, ("cursor", ""), ("page_size", "2")]).json();
    let cursor = text(&first, "next_cursor");
    let next = ask(&service, "/spans", &[("q", "duration:>0s"), SINCE, ("cursor", cursor), ("page_size", "2")]);
    assert_eq!((next.status, next.json()["data"].as_array().unwrap().len()), (200, 2));
    let other = ask(&service, "/spans", &[("q", "duration:>1s"), SINCE, ("cursor", cursor)]);
    assert_eq!(other.status, 400, "{}", other.text());
}

#[test]
fn every_answer_shows_the_statements_that_it_took_and_they_can_be_pasted() {
    let service = filled();
    let trace = format!("/traces/{:032x}", 1);
    let paths =
        ["/spans", "/traces", "/sessions", "/annotations", "/evaluator-results", "/experiments", trace.as_str()];
    let more = ["/spans/0000000000000004", "/spans/0000000000000004/evaluator-results", "/traces/none/tree"];
    for path in paths.into_iter().chain(more) {
        let plain = ask(&service, path, &[]);
        assert_eq!(plain.json().get("sql"), None, "{path}");
        let answer = ask(&service, path, &[("show", "sql")]);
        assert_eq!(answer.status, plain.status, "{path}");
        let answer = answer.json();
        let statements = answer["sql"].as_array().unwrap_or_else(|| panic!("{path}: {answer}"));
        assert!(!statements.is_empty(), "{path}");
        for shown in statements {
            let statement = text(shown, "statement");
            assert!(!statement.contains("{p") && shown["elapsed_ms"].is_number(), "{statement}");
            service.sql().rows(statement, &[]);
        }
    }
    let q = "attr.http.route:\"/x'); DROP TABLE otel_traces --\"";
    let answer = ask(&service, "/spans", &[("show", "sql"), ("q", q), SINCE]).json();
    // the span is old, so that it is found when all are looked at
    let mut statements = answer["sql"].as_array().unwrap().iter().map(|shown| text(shown, "statement"));
    let of_ids = statements.rfind(|statement| statement.contains("DROP TABLE")).unwrap();
    assert_eq!(service.sql().rows(of_ids, &[]).len(), 1, "values are quoted as they must be");
    let wrong = ask(&service, "/spans", &[("show", "json")]);
    assert_eq!(wrong.status, 400, "{}", wrong.text());
}

#[test]
fn histogram_facets_and_values_count_what_the_search_leaves() {
    let service = filled();
    let within = "started:>=2026-03-02T09:00:00Z started:<=2026-03-02T09:00:09Z";
    let histogram = ask(&service, "/traces/histogram", &[("q", within), ("buckets", "10")]).json();
    assert_eq!((&histogram["bucket_seconds"], &histogram["since"]), (&json!(1), &json!("2026-03-02T09:00:00.000000Z")));
    let counts: Vec<u64> =
        histogram["data"].as_array().unwrap().iter().filter_map(|one| one["traces"].as_u64()).collect();
    assert_eq!(counts, [0, 1, 0, 0, 1, 1, 0, 0, 0, 0]);
    let facets = ask(&service, "/traces/facets", &[("q", within), ("fields", "model,tool,user,status")]).json();
    let want = json!({
        "model": [{"value": "claude-x", "traces": 1}, {"value": "gpt-5-mini", "traces": 1}],
        "tool": [{"value": "read_file", "traces": 1}],
        "user": [{"value": "anna", "traces": 1}],
        "status": [{"value": "success", "traces": 3}],
    });
    assert_eq!(facets["facets"], want);
    let narrowed =
        ask(&service, "/traces/facets", &[("q", &format!("{within} has:error")), ("fields", "model")]).json();
    assert_eq!(narrowed["facets"]["model"], json!([{"value": "gpt-5-mini", "traces": 1}]));
    let refused = ask(&service, "/traces/facets", &[("fields", "cost")]);
    assert_eq!(refused.status, 400, "{}", refused.text());
    let statuses = ask(&service, "/values", &[("field", "status"), ("prefix", "e")]).json();
    assert_eq!(statuses["data"], json!([{"value": "error"}]));
    let unknown = ask(&service, "/traces/histogram", &[("nope", "1")]);
    assert_eq!((unknown.status, unknown.json()), (400, json!({"detail": "Unsupported query parameter(s): nope"})));
}
