//! The page's listener: what it says to a browser, and that its numbers are those of SQL.

use serde_json::{Value, json};
use support::http::{Answer, get, post_json, send};
use support::{Service, wait_until};

fn ask(service: &Service, path: &str) -> Value {
    let answer = get(&service.page(path));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn assert_guarded(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    for rule in
        ["default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'", "trusted-types 'none'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
}

#[test]
fn every_view_is_the_same_document_and_says_that_nothing_foreign_runs() {
    let service = Service::start();
    let index = get(&service.page("/"));
    assert_eq!((index.status, index.header("cache-control")), (200, "no-store"));
    assert_guarded(&index);
    for path in ["/traces?range=7d", "/trace/4bf92f3577b34da6a3ce929d0e0e4736", "/..%2f..%2fetc/passwd", "/cost"] {
        assert_eq!(get(&service.page(path)).body, index.body, "{path}");
    }
    for path in ["/assets/none.js", "/assets/..%2findex.html", "/api/v1/none", "/apis/none"] {
        let answer = get(&service.page(path));
        assert_eq!(answer.status, 404, "{path}");
        assert_guarded(&answer);
    }
    assert_eq!(send("POST", &service.page("/traces"), &[], b"").status, 404);
}

#[test]
fn files_of_the_page_are_kept_for_good_and_come_compressed() {
    let service = Service::start();
    let index = get(&service.page("/")).text();
    // a build without Node has no files, and says so
    let Some((_, rest)) = index.split_once("src=\"/assets/") else {
        assert!(index.contains("built without its page"), "{index}");
        return;
    };
    let name = rest.split_once('"').unwrap().0;
    let file =
        |accepted: &str| send("GET", &service.page(&format!("/assets/{name}")), &[("accept-encoding", accepted)], b"");
    let [plain, gzip, brotli] = [file("identity"), file("gzip"), file("gzip, br")];
    assert_eq!((gzip.header("content-encoding"), brotli.header("content-encoding")), ("gzip", "br"));
    assert!(brotli.body.len() < gzip.body.len() && gzip.body.len() < plain.body.len() / 2);
    for answer in [&plain, &gzip, &brotli] {
        assert!(answer.header("cache-control").contains("immutable"));
        assert_eq!(answer.header("content-type"), "text/javascript; charset=utf-8");
        assert_guarded(answer);
    }
}

fn call(id: &str, model: &str, at: &str, tokens: u64, cost: f64) -> Value {
    json!({"started_at": at, "ended_at": at.replace("00Z", "02Z"), "cost_usd": cost, "session_id": "s",
        "request": {"model": model, "messages": [{"role": "user", "content": "hello?"}]},
        "response": {"id": id, "model": model, "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"},
        "finish_reason": "stop"}], "usage": {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1}}})
}

#[test]
fn the_numbers_of_the_page_are_those_of_sql() {
    let service = Service::start();
    let calls = [
        call("1", "small", "2026-03-02T09:00:00Z", 10, 0.25),
        call("2", "small", "2026-03-02T09:30:00Z", 20, 0.25),
        call("3", "large", "2026-03-02T10:00:00Z", 30, 1.5),
    ];
    for call in &calls {
        let answer = send(
            "POST",
            &service.chat("default"),
            &[("content-type", "application/json")],
            call.to_string().as_bytes(),
        );
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let breakdown = "/api/v1/workspaces/default/calls/breakdown?since=0&by=model";
    wait_until("the calls are counted", || {
        let rows = ask(&service, breakdown)["rows"].clone();
        let calls: u64 = rows.as_array()?.iter().filter_map(|row| row["calls"].as_u64()).sum();
        (calls == 3).then_some(())
    });
    let by_model = ask(&service, breakdown);
    let [large, small] = [0, 1].map(|at| by_model["rows"][at].clone());
    assert_eq!((&large["key"], &large["calls"], &large["cost"]), (&json!("large"), &json!(1), &json!(1.5)));
    assert_eq!((&small["key"], &small["calls"], &small["cost"]), (&json!("small"), &json!(2), &json!(0.5)));
    assert_eq!((&small["input_tokens"], &small["p50"]), (&json!(30), &json!(2_000_000_000_u64)));

    // 9:00 to 11:00 in two buckets
    let series = ask(
        &service,
        "/api/v1/workspaces/default/calls/series?since=1772442000000&until=1772449200000&buckets=2&by=model",
    );
    let points: Vec<Value> =
        series["rows"].as_array().unwrap().iter().map(|row| json!([row["bucket"], row["key"], row["calls"]])).collect();
    assert_eq!(points, [json!([0, "small", 2]), json!([1, "large", 1])]);

    // the statement that is shown gives the same
    let shown = by_model["sql"].as_str().unwrap();
    let total =
        service.sql().rows(&format!("SELECT toUInt8(sum(calls)) AS calls, sum(cost) AS cost FROM ({shown})"), &[]);
    assert_eq!((&total[0]["calls"], total[0]["cost"].as_f64()), (&json!(3), Some(2.0)));

    // no call read from a cache
    assert_eq!(ask(&service, "/api/v1/workspaces/default/calls/savings?since=0")["rows"], json!([]));
    let trace = ask(&service, "/apis/intake/v2/workspaces/default/traces?page_size=1")["data"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let facts = ask(&service, &format!("/api/v1/workspaces/default/traces/facts?ids={trace}"));
    assert_eq!(facts["rows"][0]["models"], json!(["large"]));
    let tree = ask(&service, &format!("/apis/intake/v2/workspaces/default/traces/{trace}/tree"));
    let span = tree["span_id"][0].as_str().unwrap();
    let span = ask(&service, &format!("/api/v1/workspaces/default/traces/{trace}/spans/{span}"));
    assert_eq!((&span["rows"][0]["InputTokens"], &span["rows"][0]["CostTotal"]), (&json!(30), &json!(1.5)));
    assert_eq!(
        ask(&service, "/api/v1/workspaces/other/calls/breakdown?since=0")["rows"],
        json!([]),
        "another workspace"
    );
}

#[test]
fn a_run_of_a_tool_that_two_spans_report_is_one() {
    let service = Service::start();
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = |id: u64, call: &str, ms: u64, code: u8| {
        let (start, end) = (1_772_442_000_000_u64, 1_772_442_000_000 + ms);
        let attributes = [
            text("gen_ai.operation.name", "execute_tool"),
            text("gen_ai.tool.name", "search"),
            text("gen_ai.tool.call.id", call),
        ];
        json!({"traceId": "ab".repeat(16), "spanId": format!("{id:016x}"), "name": "execute_tool search", "attributes": attributes,
            "startTimeUnixNano": format!("{start}000000"), "endTimeUnixNano": format!("{end}000000"), "status": {"code": code}})
    };
    // one failed, and two say so; another went well; two without an id are two
    let spans = [span(1, "a", 30, 0), span(2, "a", 20, 2), span(3, "b", 10, 1), span(4, "", 10, 1), span(5, "", 10, 1)];
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
    assert_eq!(post_json(&service.http("/v1/traces"), &body).status, 200);
    let tools = "/api/v1/workspaces/default/tools?since=0";
    let rows = wait_until("the tool is stored", || {
        let rows = ask(&service, tools)["rows"].clone();
        (!rows.as_array()?.is_empty()).then_some(rows)
    });
    let wanted = [("key", json!("search")), ("calls", json!(4)), ("errors", json!(1)), ("longest", json!(30_000_000))];
    for (name, value) in wanted {
        assert_eq!(rows[0][name], value, "{name}: {rows}");
    }
    assert_eq!(rows[0]["span_id"], json!(format!("{:016x}", 1)), "the longest report of the longest run");
}

#[test]
fn what_the_tables_take_is_what_sql_says() {
    let service = Service::start();
    let path = "/apis/intake/v2/workspaces/default/ingest/chat-completions";
    let body = call("1", "small", "2026-03-02T09:00:00Z", 10, 0.25).to_string();
    let sent = send("POST", &service.http(path), &[("content-type", "application/json")], body.as_bytes());
    assert_eq!(sent.status, 201, "{}", sent.text());
    let spans = || {
        let answer = ask(&service, "/api/v1/storage");
        assert!(answer["sql"].as_str().is_some_and(|sql| sql.contains("system.tables")), "{answer}");
        let rows = answer["rows"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["table"] == "otel_traces")
    };
    let row = wait_until("the span is stored", spans);
    assert_eq!(row["rows"], 1, "{row}");
    assert!(row["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{row}");
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let service = Service::start();
    for (path, status) in [
        ("calls/series?by=password", 400),
        ("calls/series?buckets=0", 422),
        ("calls/series?buckets=100000", 422),
        ("calls/series?since=yesterday", 422),
        ("calls/breakdown?what=1", 400),
        ("calls/breakdown?model=%27%20OR%201%20=%201%20--", 200),
    ] {
        let answer = get(&service.page(&format!("/api/v1/workspaces/default/{path}")));
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
}

#[test]
fn statements_that_somebody_types_read_tables_and_do_nothing_else() {
    let service = Service::start();
    let run = |sql: &str| {
        let body = json!({ "sql": sql }).to_string();
        send("POST", &service.page("/api/v1/sql"), &[("content-type", "application/json")], body.as_bytes())
    };
    let answer = run("SELECT number, 'a?b' AS text FROM numbers(3) ORDER BY number;");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"], json!([[0, "a?b"], [1, "a?b"], [2, "a?b"]]));
    assert_eq!(run("SELECT number FROM numbers(100000)").json()["rows"], json!(10_000));
    assert_eq!(run("SELECT count() FROM otel.otel_traces").status, 200);
    assert_eq!(run("DESCRIBE otel.otel_traces").status, 200);
    let wrong = run("SELECT 1,\n  count( FROM otel.otel_traces");
    assert_eq!((wrong.status, wrong.json()["position"].as_u64()), (400, Some(18)), "{}", wrong.text());
    assert!(wrong.text().contains("syntax error in line 2, column 8"), "{}", wrong.text());
    let wrong = run("SELECT nope FROM otel.otel_traces");
    assert!(wrong.status == 400 && wrong.text().contains("Unknown expression identifier `nope`"), "{}", wrong.text());
    for refused in [
        "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
        "SELECT 1 WHERE 1 IN (SELECT * FROM remote('127.0.0.1', system.one))",
        "SELECT * FROM file('/etc/passwd', LineAsString)",
        "SELECT file('/etc/passwd')",
        "SELECT 1 IN remote('127.0.0.1', 'system.one')",
        "DROP TABLE otel.otel_traces",
        "INSERT INTO otel.otel_traces (SpanName) VALUES ('x')",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT 1; SELECT 2",
        "SELEKT",
        "",
    ] {
        assert_eq!(run(refused).status, 400, "{refused}: {}", run(refused).text());
    }
    assert_eq!(ask(&service, "/api/v1/status")["clickhouse"]["state"], "storing");
    assert!(get(&service.page("/api/v1/metrics")).text().contains("millrace_spans"));
}
