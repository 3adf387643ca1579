//! `/traces/metrics`: traces by when they began, and what they took.

use serde_json::{Value, json};

use support::http::{Answer, get, post_json, send};
use support::{Options, Service};

fn ask(service: &Service, query: &str) -> Answer {
    get(&service.http(&format!("/apis/intake/v2/workspaces/w/traces/metrics{query}")))
}

fn data(service: &Service, query: &str) -> Vec<Value> {
    let answer = ask(service, query);
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()["data"].as_array().unwrap().clone()
}

/// Three traces: two in an hour of one day, each with a call, and one that failed a week later, without.
fn stored() -> Service {
    let yaml = "prices: { enabled: false }".to_owned();
    let service = Service::start_with(Options { ack: Some("stored"), yaml, ..Options::default() });
    for (number, (at, seconds, tokens)) in (1_u64..).zip([("2026-03-01T23:10", 2, 10), ("2026-03-01T23:20", 4, 30)]) {
        let call = json!({
            "trace_id": format!("{number:032x}"), "started_at": format!("{at}:00Z"), "ended_at": format!("{at}:0{seconds}Z"), "cost_usd": 0.5,
            "request": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
            "response": {"id": format!("r{number}"), "model": "m", "usage": {"prompt_tokens": tokens, "completion_tokens": 2, "total_tokens": tokens + 2},
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "yo"}, "finish_reason": "stop"}]}
        });
        let stored = post_json(&service.chat("w"), &call);
        assert_eq!(stored.status, 201, "{}", stored.text());
    }
    // 2026-03-09T09:00:00Z
    let failed = json!({"traceId": format!("{:032x}", 3), "spanId": format!("{:016x}", 3), "name": "root", "startTimeUnixNano": "1773046800000000000",
        "endTimeUnixNano": "1773046801000000000", "status": {"code": 2}});
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [failed]}]}]}).to_string();
    let headers = [("content-type", "application/json"), ("x-millrace-workspace", "w")];
    assert_eq!(send("POST", &service.http("/v1/traces"), &headers, body.as_bytes()).status, 200);
    service.sql().becomes("SELECT count() AS traces FROM genai_traces", &[], &[json!({"traces": 2})]);
    service
}

#[test]
fn traces_are_counted_by_when_they_began_with_sums_means_and_quantiles_of_what_they_took() {
    let service = stored();
    let since = "filter[started_at][$gte]=2026-02-01";
    let total = data(&service, &format!("?bucket=total&{since}"));
    let tokens = |sum: u64, mean: f64, p90: f64, p99: f64| json!({"sum": sum, "mean": mean, "p90": p90, "p99": p99});
    let near = |told: &Value, want: &Value| {
        let (told, want) = (told.as_object().unwrap(), want.as_object().unwrap());
        assert_eq!(told.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
        for (name, want) in want {
            let (told, want) = (told[name].as_f64().unwrap(), want.as_f64().unwrap());
            assert!((told - want).abs() < 1e-6, "{name}: {told} is not {want}");
        }
    };
    assert_eq!((&total[0]["run_count"], &total[0]["failed_run_count"]), (&json!(3), &json!(1)));
    assert_eq!(total[0].get("bucket_start"), None);
    near(&total[0]["input_tokens"], &tokens(40, 20.0, 28.0, 29.8));
    near(&total[0]["output_tokens"], &tokens(4, 2.0, 2.0, 2.0));
    near(&total[0]["cost_usd"], &json!({"sum": 1.0, "mean": 0.5, "p90": 0.5, "p99": 0.5}));
    near(
        &total[0]["latency_ms"],
        &json!({"mean": 7_000.0 / 3.0, "p50": 2_000.0, "p90": 3_600.0, "p95": 3_800.0, "p99": 3_960.0}),
    );
    assert_eq!(total[0]["cached_tokens"], json!({}), "no trace says");

    let starts = |query: &str| -> Vec<(String, u64)> {
        let rows = data(&service, query);
        rows.iter()
            .map(|row| (row["bucket_start"].as_str().unwrap().to_owned(), row["run_count"].as_u64().unwrap()))
            .collect()
    };
    let at = |text: &str, runs: u64| (format!("{text}:00.000000Z"), runs);
    assert_eq!(starts(&format!("?{since}")), [at("2026-03-01T00:00", 2), at("2026-03-09T00:00", 1)]);
    let until = "filter[started_at][$lte]=2026-03-10&filter[started_at][$gte]=2026-03-01";
    assert_eq!(starts(&format!("?bucket=hour&{until}")), [at("2026-03-01T23:00", 2), at("2026-03-09T09:00", 1)]);
    // in Berlin that was the next day, a Monday, and the next month is the same
    assert_eq!(
        starts(&format!("?timezone=Europe/Berlin&{since}")),
        [at("2026-03-01T23:00", 2), at("2026-03-08T23:00", 1)]
    );
    assert_eq!(starts(&format!("?bucket=week&{since}")), [at("2026-02-23T00:00", 2), at("2026-03-09T00:00", 1)]);
    assert_eq!(
        starts(&format!("?bucket=week&timezone=Europe/Berlin&{since}")),
        [at("2026-03-01T23:00", 2), at("2026-03-08T23:00", 1)]
    );
    assert_eq!(starts(&format!("?bucket=month&{since}")), [at("2026-03-01T00:00", 3)]);

    assert_eq!(data(&service, &format!("?bucket=total&{since}&filter[status]=error"))[0]["run_count"], 1);
    assert_eq!(data(&service, &format!("?bucket=total&{since}&q=model:m"))[0]["run_count"], 2);
    assert_eq!(data(&service, ""), Vec::<Value>::new(), "of the last 7 days there are none");
}

#[test]
fn what_is_wrong_with_a_question_about_traces_is_said() {
    let service = Service::start();
    let detail = |query: &str| {
        let answer = ask(&service, query);
        (answer.status, answer.json()["detail"].clone())
    };
    assert_eq!(detail("?timezone=Nowhere/X"), (400, json!("Unknown timezone: Nowhere/X")));
    assert_eq!(detail("?timezone=%27)--"), (400, json!("Unknown timezone: ')--")));
    assert_eq!(detail("?page=1"), (400, json!("Unsupported query parameter(s): page")));
    assert_eq!(detail("?sort=started_at").0, 400);
    assert_eq!(detail("?filter[model]=x").0, 400);
    let hours = detail("?bucket=hour&filter[started_at][$gte]=2020-01-01");
    assert!(hours.0 == 400 && hours.1.as_str().unwrap().contains("at most 2000"), "{hours:?}");
    // the reference lists them in this order
    let words = "'total', 'hour', 'day', 'week' or 'month'";
    let year = json!([{"type": "enum", "loc": ["query", "bucket"], "msg": format!("Input should be {words}"), "input": "year", "ctx": {"expected": words}}]);
    assert_eq!(detail("?bucket=year"), (422, year));
}
