//! `/openapi.json` says what the router has and what is answered.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use support::clients::{python, run_json};
use support::http::{get, post_json, send};
use support::{Options, Service};

fn document(service: &Service) -> Value {
    let answer = get(&service.http("/openapi.json"));
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    answer.json()
}

#[test]
fn every_path_of_the_api_is_in_the_document_and_every_path_of_the_document_is_there() {
    let service = Service::start();
    let document = document(&service);
    let paths = document["paths"].as_object().unwrap();
    let methods =
        |item: &Value| item.as_object().unwrap().keys().filter(|key| *key != "parameters").cloned().collect::<Vec<_>>();
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, item)| methods(item).into_iter().map(move |method| (method.to_uppercase(), path.clone())))
        .collect();
    let of = |route: &Value, name: &str| route[name].as_str().unwrap().to_owned();
    let routes = service.routes()["http"].as_array().unwrap().clone();
    let routed: BTreeSet<(String, String)> =
        routes.iter().map(|route| (of(route, "method"), of(route, "path"))).collect();
    let of_api: BTreeSet<_> = routed.into_iter().filter(|(_, path)| path.starts_with("/apis/")).collect();
    assert_eq!(of_api, described, "the router (left) and src/query/openapi.yaml (right)");
}

/// Schemathesis finds no answer of a `GET` that the document does not describe, whatever is asked.
#[test]
fn schemathesis_reads_every_path_and_each_answer_is_as_documented() {
    let service = Service::start_with(Options { ack: Some("stored"), ..Options::default() });
    let (trace, span) = store(&service);
    let arguments = ["--base", &service.http(""), "--workspace", "default", "--trace", &trace, "--span", &span];
    let answered: BTreeMap<String, BTreeMap<u16, u64>> = run_json(&mut python("schemathesis_reads.py", &arguments));
    let described =
        document(&service)["paths"].as_object().unwrap().values().filter(|path| path.get("get").is_some()).count();
    assert_eq!(answered.len(), described);
    let statuses: BTreeSet<u16> = answered.values().flat_map(BTreeMap::keys).copied().collect();
    assert!([200, 400, 404, 422].iter().all(|status| statuses.contains(status)), "{answered:?}");
    assert!(statuses.iter().all(|status| *status < 500), "{answered:?}");
}

/// A trace of a captured call and a span that failed; the ids of the trace and the call.
fn store(service: &Service) -> (String, String) {
    let call = json!({
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "session_id": "s",
        "request": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]},
        "response": {
            "id": "r", "model": "gpt-4o-mini", "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "yo"}, "finish_reason": "stop"}]
        }
    });
    let stored = post_json(&service.chat("default"), &call);
    assert_eq!(stored.status, 201, "{}", stored.text());
    let span = json!({
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "root", "kind": 1,
        "startTimeUnixNano": "1772442000000000000", "endTimeUnixNano": "1772442001000000000",
        "status": {"code": 2, "message": "no"}, "attributes": [{"key": "a", "value": {"boolValue": true}}]
    });
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let sent = send("POST", &service.http("/v1/traces"), &[("content-type", "application/json")], body.as_bytes());
    assert_eq!(sent.status, 200, "{}", sent.text());
    // what is asked for is counted first
    service.sql().becomes("SELECT Spans AS spans FROM genai_traces", &[], &[json!({"spans": 2})]);
    ("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), stored.json()["span_id"].as_str().unwrap().to_owned())
}

#[test]
fn answers_are_what_the_document_says() {
    let service = Service::start_with(Options { ack: Some("stored"), ..Options::default() });
    let document = document(&service);
    let (_, span_id) = store(&service);
    let root = "/apis/intake/v2/workspaces/default";
    let made = |path: &str, body: Value| post_json(&service.http(&format!("{root}/{path}")), &body).json();
    let group = made("experiment-groups", json!({"name": "g"}))["id"].clone();
    for name in ["one", "other"] {
        made("experiments", json!({"name": name, "dataset_name": "ds", "experiment_group_id": group}));
    }
    let call = json!({"request": {"model": "m", "messages": [{"role": "user", "content": "hi"}]}, "response": {"id": "r2", "model": "m", "choices": []}, "cost_usd": 1,
        "experiment_context": {"experiment_id": "one", "test_case_id": "c"}});
    assert_eq!(post_json(&service.chat("default"), &call).status, 201);
    let cases = [
        ("/spans?mode=detailed".to_owned(), "Spans"),
        ("/spans?cursor=&filter[status]=error".to_owned(), "Spans"),
        (format!("/spans/{span_id}"), "Span"),
        ("/spans/00f067aa0ba902b7".to_owned(), "Span"),
        ("/spans/groups?by=trace_id,session_id".to_owned(), "SpanGroups"),
        ("/traces".to_owned(), "Traces"),
        ("/traces/4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), "Trace"),
        ("/traces/4bf92f3577b34da6a3ce929d0e0e4736/tree".to_owned(), "Tree"),
        ("/traces/4bf92f3577b34da6a3ce929d0e0e4736/conversation".to_owned(), "Conversation"),
        ("/traces/4bf92f3577b34da6a3ce929d0e0e4736/cost".to_owned(), "TraceCost"),
        ("/traces/4bf92f3577b34da6a3ce929d0e0e4736/export?format=json&show=sql".to_owned(), "TraceExport"),
        ("/traces/4bf92f3577b34da6a3ce929d0e0e4736/export?format=otlp".to_owned(), "TracesData"),
        ("/metrics?by=model&bucket=day&since=2026-01-01".to_owned(), "Metrics"),
        ("/traces?q=has:error&show=sql".to_owned(), "Traces"),
        (
            "/traces/histogram?filter[started_at][$gte]=2026-03-01&filter[started_at][$lte]=2026-03-03".to_owned(),
            "Histogram",
        ),
        ("/traces/metrics?filter[started_at][$gte]=2026-03-01&timezone=Europe/Berlin".to_owned(), "TraceMetrics"),
        ("/traces/facets?q=started:%3E2026-03-01".to_owned(), "Facets"),
        ("/fields".to_owned(), "SearchFields"),
        ("/values?field=model".to_owned(), "SearchValues"),
        ("/traces?q=nope:1".to_owned(), "Refusal"),
        ("/sessions".to_owned(), "Sessions"),
        ("/sessions/s".to_owned(), "Session"),
        ("/users".to_owned(), "Users"),
        ("/experiments/one/comparison?baseline=other".to_owned(), "Comparison"),
        ("/evaluations/other/comparison?baseline=one".to_owned(), "Comparison"),
        ("/experiments/one/comparison".to_owned(), "Refusal"),
        ("/spans/none".to_owned(), "Refusal"),
        ("/spans?page=0".to_owned(), "Refusal"),
        ("/spans?nope=1".to_owned(), "Refusal"),
    ];
    for (path, schema) in cases {
        let answer = get(&service.http(&format!("{root}{path}"))).json();
        let schema = json!({"$ref": format!("#/components/schemas/{schema}"), "components": document["components"]});
        let validator = jsonschema::validator_for(&schema).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&answer).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{path}: {wrong:?}\n{answer}");
    }
}
