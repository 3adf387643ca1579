//! The read API: the reference's recorded answers, and what holds beyond them.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rows::text;
use support::http::{Answer, get, send};
use support::process::signal;
use support::{Options, Service, project, wait_until};

/// 2026-03-02, 09:00:00.
const BEGIN: u64 = 1_772_442_000_000_000_000;

/// Replays the recorded answers of a release against a service, which has this in its configuration.
fn replay(yaml: &str, answers: &str, deviations: &[&str]) {
    let yaml = format!("prices: {{ enabled: false }}\n{yaml}");
    let service = Service::start_with(Options { yaml, ack: Some("stored"), ..Options::default() });
    let script = project().join("tests/intake/replay.py");
    let base = service.http("");
    let arguments = ["--base", &base, "--workspace", "replayed", "--settle", "20", "--answers", answers];
    let output = Command::new("python3")
        .arg(script)
        .args(arguments)
        .arg("--deviations")
        .args(deviations)
        .stdin(Stdio::null())
        .output()
        .expect("python3 runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let judged = out.lines().last().and_then(|line| line.split_whitespace().nth(2)?.parse::<u32>().ok());
    assert!(judged.is_some_and(|judged| judged > 250), "{out}");
}

#[test]
fn recorded_answers_are_given_again() {
    // which refuses what the reference refuses: calls for experiments that nobody made, spellings of filters
    replay("chat_completions: { strict_reference: true }", "answers-0.2.0.jsonl", &["deviations.jsonl"]);
}

#[test]
fn recorded_answers_are_given_again_without_strictness_but_for_what_is_more() {
    replay("", "answers-0.2.0.jsonl", &["deviations.jsonl", "deviations-default.jsonl"]);
}

#[test]
fn recorded_answers_of_the_next_release_are_given_again() {
    replay("", "answers-0.3.0.jsonl.gz", &["deviations.jsonl", "deviations-0.3.0.jsonl"]);
}

fn path(workspace: &str, rest: &str) -> String {
    format!("/apis/intake/v2/workspaces/{workspace}{rest}")
}

pub(crate) fn ask(service: &Service, workspace: &str, rest: &str) -> Answer {
    get(&service.http(&path(workspace, rest)))
}

pub(crate) fn list(service: &Service, workspace: &str, rest: &str) -> Value {
    let answer = ask(service, workspace, rest);
    assert_eq!(answer.status, 200, "{rest}: {}", answer.text());
    answer.json()
}

pub(crate) fn ids(page: &Value, name: &str) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| text(row, name).to_owned()).collect()
}

/// A span of trace `trace`: `number` makes its id, several begin at the same time.
pub(crate) fn span(trace: u32, number: u32, parent: &str, session: &str) -> Value {
    let start = BEGIN + u64::from(number / 3) * 1_000_000_000;
    json!({
        "traceId": format!("{trace:032x}"), "spanId": format!("{number:016x}"), "parentSpanId": parent,
        "name": format!("span {number}"), "kind": 1,
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 250_000_000).to_string(),
        "attributes": [{"key": "session.id", "value": {"stringValue": session}}],
    })
}

pub(crate) fn export(service: &Service, workspace: &str, spans: &[Value]) {
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    let headers = [("content-type", "application/json"), ("x-millrace-workspace", workspace)];
    let answer = send("POST", &service.http("/v1/traces"), &headers, body.as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
}

pub(crate) fn stored() -> Service {
    Service::start_with(Options { ack: Some("stored"), ..Options::default() })
}

#[test]
fn users_are_listed_with_what_their_calls_come_to() {
    let service = stored();
    let call = |number: u32, session: &str, user: &str, tokens: u32| {
        let mut call = span(number, number, "", session);
        for (key, value) in [
            ("gen_ai.operation.name", json!({"stringValue": "chat"})),
            ("gen_ai.request.model", json!({"stringValue": format!("m-{number}")})),
            ("gen_ai.usage.input_tokens", json!({"intValue": tokens.to_string()})),
            ("user.id", json!({"stringValue": user})),
        ] {
            call["attributes"].as_array_mut().unwrap().push(json!({"key": key, "value": value}));
        }
        call
    };
    let calls = [
        call(1, "s-1", "ann", 10),
        call(2, "s-1", "ann", 20),
        call(3, "s-2", "ann", 40),
        call(4, "s-3", "bob", 80),
        call(5, "s-4", "", 160),
    ];
    export(&service, "people", &calls);
    let users = wait_until("all calls are counted", || {
        let users = list(&service, "people", "/users");
        let calls = users["data"].as_array()?.iter().filter_map(|user| user["call_count"].as_u64()).sum::<u64>();
        (calls == 4).then_some(users)
    });
    assert_eq!(
        (ids(&users, "id"), &users["pagination"]["total_results"]),
        (vec!["bob".to_owned(), "ann".to_owned()], &json!(2))
    );
    let ann = &users["data"][1];
    assert_eq!((&ann["session_count"], &ann["trace_count"], &ann["input_tokens"]), (&json!(2), &json!(3), &json!(70)));
    assert_eq!((&ann["models"], &ann["calls_without_cost"]), (&json!(["m-1", "m-2", "m-3"]), &json!(3)));
    // a filter is one of the calls that count
    let of_session = list(&service, "people", "/users?filter[session_id]=s-1");
    assert_eq!((ids(&of_session, "id"), &of_session["data"][0]["input_tokens"]), (vec!["ann".to_owned()], &json!(30)));
    // a number is one of all of them
    for (filter, want) in [
        ("filter[call_count][$gt]=1", vec!["ann"]),
        ("filter[input_tokens][$gte]=70&filter[session_count][$lt]=2", vec!["bob"]),
        ("filter[calls_without_cost]=1&filter[error_count]=0", vec!["bob"]),
        ("filter[session_id]=s-1&filter[call_count]=2&filter[trace_count]=2", vec!["ann"]),
        ("filter[session_id]=s-1&filter[call_count]=3", vec![]),
        ("filter[cost_usd][$gte]=0", vec![]),
    ] {
        let page = list(&service, "people", &format!("/users?{filter}"));
        assert_eq!(ids(&page, "id"), want, "{filter}");
        assert_eq!(page["pagination"]["total_results"], want.len(), "{filter}");
    }
    let mixed = ask(&service, "people", "/users?filter=call_count%3E1%20OR%20model:m-1");
    assert_eq!(mixed.status, 400, "{}", mixed.text());
    let first = list(&service, "people", "/users?sort=started_at&cursor=&page_size=1");
    let next = first["next_cursor"].as_str().unwrap();
    let second = list(&service, "people", &format!("/users?sort=started_at&page_size=1&cursor={next}"));
    assert_eq!((ids(&first, "id"), ids(&second, "id")), (vec!["ann".to_owned()], vec!["bob".to_owned()]));
    assert_eq!(list(&service, "others", "/users")["data"], json!([]));
    assert_eq!(ask(&service, "people", "/users?filter[colour]=red").status, 400);
}

#[test]
fn a_session_is_made_of_its_spans_and_a_tree_of_those_of_its_trace() {
    let service = stored();
    let mut call = span(1, 5, "0000000000000001", "s-1");
    for (key, value) in [
        ("gen_ai.operation.name", json!({"stringValue": "chat"})),
        ("gen_ai.request.model", json!({"stringValue": "m"})),
        ("gen_ai.usage.input_tokens", json!({"intValue": "10"})),
        ("gen_ai.usage.output_tokens", json!({"intValue": "4"})),
    ] {
        call["attributes"].as_array_mut().unwrap().push(json!({"key": key, "value": value}));
    }
    let mut failed = span(2, 8, "00000000000000ff", "s-1");
    failed["status"] = json!({"code": 2, "message": "no"});
    export(&service, "trees", &[span(1, 1, "", "s-1"), call, span(1, 6, "0000000000000005", "s-1"), failed]);

    let session = wait_until("the call is counted", || {
        let session = list(&service, "trees", "/sessions/s-1");
        (session["total_tokens"] == 14).then_some(session)
    });
    let told = |name: &str| session[name].clone();
    assert_eq!([told("trace_count"), told("span_count"), told("status")], [json!(2), json!(4), json!("error")]);
    assert_eq!(
        [told("input_tokens"), told("output_tokens"), told("duration_ms")],
        [json!(10), json!(4), json!(2250.0)]
    );
    assert_eq!(ask(&service, "trees", "/sessions/s-2").json(), json!({"detail": "Session trees/s-2 not found"}));

    // what was counted of a trace is stored after its calls
    let sessions = wait_until("the trace is counted", || {
        let sessions = list(&service, "trees", "/sessions?filter[model]=m");
        (sessions["pagination"]["total_results"] == 1).then_some(sessions)
    });
    assert_eq!((ids(&sessions, "id"), &sessions["pagination"]["total_results"]), (vec!["s-1".to_owned()], &json!(1)));
    assert_eq!(sessions["data"][0]["models"], json!(["m"]));
    assert_eq!(list(&service, "trees", "/sessions?filter[model]=n")["pagination"]["total_results"], 0);
    assert_eq!(list(&service, "trees", "/sessions?cursor=&page_size=1")["data"][0]["id"], "s-1");

    let tree = list(&service, "trees", &format!("/traces/{:032x}/tree", 1));
    assert_eq!(tree["span_id"], json!(["0000000000000001", "0000000000000005", "0000000000000006"]));
    assert_eq!((&tree["parent"], &tree["depth"]), (&json!([null, 0, 1]), &json!([0, 1, 2])));
    assert_eq!(tree["start_ns"], json!([0, 1_000_000_000, 2_000_000_000]));
    assert_eq!((&tree["total_tokens"], &tree["kind"][1]), (&json!([null, 14, null]), &json!("LLM")));
    let lost = list(&service, "trees", &format!("/traces/{:032x}/tree", 2));
    assert_eq!(
        (&lost["parent"], &lost["parent_id"], &lost["status"]),
        (&json!([null]), &json!(["00000000000000ff"]), &json!(["error"]))
    );
}

#[test]
fn no_question_sees_another_workspace() {
    let service = stored();
    export(&service, "one", &[span(1, 1, "", "shared"), span(1, 2, "0000000000000001", "shared")]);
    export(&service, "other", &[span(1, 3, "", "shared")]);
    let trace = format!("{:032x}", 1);
    for (workspace, spans) in [("one", 2), ("other", 1), ("none", 0)] {
        let total = |rest: &str| list(&service, workspace, rest)["pagination"]["total_results"].clone();
        assert_eq!(total("/spans"), spans, "{workspace}");
        assert_eq!(total("/spans?filter[session_id]=shared"), spans, "{workspace}");
        assert_eq!(total(&format!("/spans?filter[trace_id]={trace}")), spans, "{workspace}");
        assert_eq!(total("/traces"), u32::from(spans > 0), "{workspace}");
        assert_eq!(total("/spans/groups?by=session_id"), u32::from(spans > 0), "{workspace}");
        let one = ask(&service, workspace, &format!("/traces/{trace}"));
        match spans {
            0 => assert_eq!(
                (one.status, one.json()),
                (404, json!({"detail": format!("Trace {workspace}/{trace} not found")}))
            ),
            _ => assert_eq!((one.status, one.json()["span_count"].clone()), (200, spans.into()), "{workspace}"),
        }
        let status = ask(&service, workspace, &format!("/spans/{:016x}", 3)).status;
        assert_eq!(status, if workspace == "other" { 200 } else { 404 }, "{workspace}");
    }
}

#[test]
fn a_value_of_a_filter_is_never_more_than_a_value() {
    let service = stored();
    let hostile = ["' OR 1 = 1 --", "\\' OR 1", "a\\", "{p0:String}", "x\ty\nz", "?", "%", "ü\u{1f600}", "\\N", "NULL"];
    let spans: Vec<Value> = (1..).zip(hostile).map(|(number, session)| span(number, number, "", session)).collect();
    export(&service, "default", &spans);
    for (number, session) in (1_u32..).zip(hostile) {
        let filter = json!({"session_id": session}).to_string();
        let encoded: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for (rest, name, want) in [
            (format!("/spans?filter={encoded}"), "span_id", format!("{number:016x}")),
            (format!("/traces?filter={encoded}"), "id", format!("{number:032x}")),
        ] {
            assert_eq!(ids(&list(&service, "default", &rest), name), [want], "{session:?}");
        }
    }
}

#[test]
fn while_clickhouse_does_not_answer_questions_get_503() {
    let yaml = "query: { max_execution_time: 500ms }".to_owned();
    let service = Service::start_with(Options { yaml, ..Options::default() });
    let engine = service.engine_pid().expect("the engine runs");
    signal(engine, "STOP");
    let answer = ask(&service, "default", "/spans");
    signal(engine, "CONT");
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text());
    wait_until("the engine answers again", || (ask(&service, "default", "/spans").status == 200).then_some(()));
}

#[test]
fn filters_compare_numbers_and_times_and_take_lists_and_negations() {
    let service = stored();
    let call = |number: u32, tokens: u32, model: &str| {
        let mut call = span(number, number * 3, "", &format!("s{number}"));
        for (key, value) in [
            ("gen_ai.operation.name", json!({"stringValue": "chat"})),
            ("gen_ai.request.model", json!({"stringValue": model})),
            ("gen_ai.usage.input_tokens", json!({"intValue": tokens.to_string()})),
            ("gen_ai.usage.output_tokens", json!({"intValue": "1"})),
        ] {
            call["attributes"].as_array_mut().unwrap().push(json!({"key": key, "value": value}));
        }
        call
    };
    let spans = [call(1, 10, "a"), call(2, 20, "b"), call(3, 30, "c"), span(4, 12, "", "s4")];
    export(&service, "operators", &spans);
    let all = ["3", "6", "9", "c"].map(|id| format!("{id:0>16}"));
    let at = |number: usize| format!("2026-03-02T09:00:0{number}Z");
    for (filter, want) in [
        ("filter[input_tokens][$gt]=10".to_owned(), vec![1, 2]),
        ("filter[input_tokens][$gte]=10&filter[total_tokens][$lt]=31".to_owned(), vec![0, 1]),
        ("filter=input_tokens>10 AND input_tokens<=20".to_owned(), vec![1]),
        (r#"filter={"output_tokens":1}"#.to_owned(), vec![0, 1, 2]),
        (r#"filter={"model":{"$in":["a","c"]}}"#.to_owned(), vec![0, 2]),
        ("filter[model][$nin]=a,c".to_owned(), vec![1, 3]),
        ("filter=-model:a AND kind:LLM".to_owned(), vec![1, 2]),
        (r#"filter={"$not":{"input_tokens":{"$gte":20}}}"#.to_owned(), vec![0, 3]),
        ("filter[session_id][$in]=s1,s4".to_owned(), vec![0, 3]),
        ("filter[kind][$nin]=LLM,TOOL".to_owned(), vec![3]),
        ("filter[duration_ms][$gte]=250&filter[duration_ms][$lte]=250".to_owned(), vec![0, 1, 2, 3]),
        ("filter[duration_ms][$gt]=250".to_owned(), vec![]),
        (format!("filter[started_at][$gt]={}", at(2)), vec![2, 3]),
        (format!("filter[started_at][$lt]={}", at(2)), vec![0]),
        (format!("filter[started_at]={}", at(2)), vec![1]),
        ("filter[cost_total_usd][$gte]=0".to_owned(), vec![]),
    ] {
        let path = format!(
            "/spans?sort=started_at&{}",
            filter.replace(' ', "%20").replace('"', "%22").replace('>', "%3E").replace('<', "%3C")
        );
        let want: Vec<String> = want.into_iter().filter_map(|place: usize| all.get(place).cloned()).collect();
        assert_eq!(ids(&list(&service, "operators", &path), "span_id"), want, "{filter}");
    }
    numbers_of_traces_and_sessions(&service);
    for (filter, want) in [
        ("filter[input_tokens][$bogus]=1", "'$bogus' is not a valid FilterOperator"),
        ("filter[input_tokens][$gt]=many", "Filter field 'input_tokens' must be a number."),
        ("filter[model][$gt]=a", "Filter field 'model' takes $eq, $in, $nin and $like, not $gt."),
    ] {
        let refused = ask(&service, "operators", &format!("/spans?{filter}"));
        assert_eq!((refused.status, refused.json()["detail"].as_str()), (400, Some(want)), "{filter}");
    }
}

/// Those that are counted of the spans above.
fn numbers_of_traces_and_sessions(service: &Service) {
    wait_until("sessions are counted", || {
        let page = list(
            service,
            "operators",
            "/sessions?sort=started_at&filter[total_tokens][$gt]=11&filter[input_tokens][$lt]=30",
        );
        (ids(&page, "id") == ["s2"]).then_some(())
    });
    for (path, filter, want) in [
        ("/traces", "filter[input_tokens][$gt]=10", vec![2, 3]),
        ("/traces", "filter[total_tokens][$gte]=11&filter[output_tokens]=1&filter[total_tokens][$lt]=31", vec![1, 2]),
        // what is not known meets no comparison, and so the negation of each
        ("/traces", r#"filter={"$not":{"input_tokens":{"$gte":20}}}"#, vec![1, 4]),
        ("/traces", r#"filter={"$or":[{"input_tokens":10},{"session_id":"s4"}]}"#, vec![1, 4]),
        ("/traces", "filter[input_tokens][$in]=10,30", vec![1, 3]),
        ("/traces", "filter[span_count]=1&filter[error_count]=0&filter[duration_ms]=250", vec![1, 2, 3, 4]),
        ("/traces", "filter[span_count][$gt]=1", vec![]),
        ("/traces", "filter[cost_usd][$gte]=0", vec![]),
        ("/traces", "filter[input_tokens][$gt]=10&q=tokens:%3C31%20started:%3E2026-01-01", vec![2]),
        ("/sessions", "filter[call_count]=1&filter[trace_count]=1&filter[error_count][$lt]=1", vec![1, 2, 3]),
        ("/sessions", "filter[call_count][$gt]=1", vec![]),
    ] {
        let page = list(service, "operators", &format!("{path}?sort=started_at&{}", filter.replace('"', "%22")));
        let want: Vec<String> = want
            .into_iter()
            .map(|number: u32| if path == "/traces" { format!("{number:032x}") } else { format!("s{number}") })
            .collect();
        assert_eq!(ids(&page, "id"), want, "{path} {filter}");
        assert_eq!(page["pagination"]["total_results"], want.len(), "{path} {filter}");
    }
    let facets = list(
        service,
        "operators",
        "/traces/facets?fields=model&filter[started_at][$gte]=2026-01-01&filter[input_tokens][$gt]=20",
    );
    assert_eq!(facets["facets"]["model"], json!([{"value": "c", "traces": 1}]));
}
