//! `/traces/{trace_id}/conversation`: each message of a trace once.

use serde_json::{Value, json};
use support::http::{get, post_json, send};
use support::{Options, Service, project};

fn service() -> Service {
    Service::start_with(Options {
        ack: Some("stored"),
        yaml: "prices: { enabled: false }".to_owned(),
        ..Options::default()
    })
}

fn conversation(service: &Service, workspace: &str, trace: &str) -> Value {
    let answer = get(&service.http(&format!("/apis/intake/v2/workspaces/{workspace}/traces/{trace}/conversation")));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// A captured call a second after the one before.
fn call(service: &Service, second: u32, messages: &Value, answer: &Value) {
    let body = json!({
        "trace_id": "talk", "started_at": format!("2026-03-02T09:00:{second:02}Z"), "ended_at": format!("2026-03-02T09:00:{second:02}.5Z"),
        "request": {"model": "gpt-4o-mini", "messages": messages},
        "response": {"id": format!("chatcmpl-{second}-of-this-test"), "model": "gpt-4o-mini", "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]}
    });
    let stored = post_json(&service.chat("w"), &body);
    assert_eq!(stored.status, 201, "{}", stored.text());
}

/// Of each call what it goes on from, and with.
fn links(conversation: &Value) -> Vec<Value> {
    let calls = conversation["calls"].as_array().unwrap();
    calls.iter().map(|of| json!([of["base"], of["kept"], of["dropped"], of["added"], of["output"]])).collect()
}

/// Of each message its role and the text of its first part.
fn said(conversation: &Value) -> Vec<String> {
    let messages = conversation["messages"].as_array().unwrap();
    let shown = |of: &Value| {
        let part = &of["parts"][0];
        let text = ["content", "response", "name"].iter().find_map(|name| part[*name].as_str()).unwrap_or_default();
        format!("{} {}: {text}", of["side"].as_str().unwrap(), of["role"].as_str().unwrap())
    };
    messages.iter().map(shown).collect()
}

#[test]
fn each_message_of_captured_calls_is_once_and_branches_rewrites_and_prompts_are_told() {
    let service = service();
    let text = |role: &str, text: &str| json!({"role": role, "content": text});
    let system = text("system", "be brief");
    let asks = json!({"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"at\": \"Lima\"}"}}]});
    let result = json!({"role": "tool", "tool_call_id": "c1", "content": "sunny"});
    call(&service, 1, &json!([system, text("user", "how is it in Lima?")]), &asks);
    call(&service, 2, &json!([system, text("user", "how is it in Lima?"), asks, result]), &text("assistant", "fine"));
    let then = |last: &str| {
        let asked = text("user", "how is it in Lima?");
        json!([system, asked, asks, result, text("assistant", "fine"), text("user", last)])
    };
    call(&service, 3, &then("and in Quito?"), &text("assistant", "rain"));
    call(&service, 4, &then("thanks"), &text("assistant", "welcome"));
    let rewritten = json!([
        text("system", "be long"),
        text("user", "how is it in Lima?"),
        text("assistant", "fine"),
        text("user", "tell me more")
    ]);
    call(&service, 5, &rewritten, &text("assistant", "well"));

    let told = conversation(&service, "w", "talk");
    assert_eq!(
        said(&told),
        [
            "input user: how is it in Lima?",
            "output assistant: weather",
            "input tool: sunny",
            "output assistant: fine",
            "input user: and in Quito?",
            "output assistant: rain",
            "input user: thanks",
            "output assistant: welcome",
            "input user: tell me more",
            "output assistant: well",
        ]
    );
    assert_eq!(
        links(&told),
        [
            json!([null, 0, 0, [0], [1]]),
            json!([0, 2, 0, [2], [3]]),
            json!([1, 4, 0, [4], [5]]),
            json!([2, 4, 2, [6], [7]]),
            json!([3, 1, 5, [3, 8], [9]]),
        ]
    );
    let systems: Vec<&Value> = told["systems"].as_array().unwrap().iter().map(|of| &of["text"]).collect();
    assert_eq!(systems, ["be brief", "be long"]);
    let of_calls: Vec<&Value> = told["calls"].as_array().unwrap().iter().map(|of| &of["system"]).collect();
    assert_eq!(of_calls, [&json!(0), &json!(0), &json!(0), &json!(0), &json!(1)]);
    let first = &told["calls"][0];
    assert_eq!(
        (&first["model"], &first["duration_ms"], &first["input_tokens"]),
        (&json!("gpt-4o-mini"), &json!(500.0), &json!(3))
    );
    assert_eq!(told["messages"][1]["span_id"], first["span_id"], "a link to the span that produced it");
    assert_eq!((&told["is_complete"], &told["tools"]), (&json!(true), &json!([])));

    let elsewhere = get(&service.http("/apis/intake/v2/workspaces/v/traces/talk/conversation"));
    assert_eq!((elsewhere.status, elsewhere.json()["detail"].clone()), (404, json!("Trace v/talk not found")));
}

#[test]
fn a_trajectory_is_told_by_agent_with_its_tools() {
    let service = service();
    let document = std::fs::read(project().join("tests/fixtures/atif/subagents-1.8.json")).unwrap();
    let stored = send("POST", &service.http("/apis/intake/v2/workspaces/w/ingest/atif"), &[], &document);
    assert_eq!(stored.status, 201, "{}", stored.text());
    let told = conversation(&service, "w", "boats");
    let agents: Vec<Value> =
        told["agents"].as_array().unwrap().iter().map(|of| json!([of["name"], of["parent"]])).collect();
    assert!(agents.contains(&json!(["captain", 0])) && agents.contains(&json!(["scout", 1])), "{agents:?}");
    assert_eq!(
        said(&told),
        [
            "input user: Yesterday's question",
            "input assistant: Yesterday's answer",
            "input user: What colour is this boat?",
            "output assistant: The scout is nearer.",
            "input user: Find the colour of the boat.",
            "output assistant: It is green.",
            "input tool: It is green.",
            "input system: The wind turns.",
            "input tool: north-west",
            "input assistant: hoist",
            "input tool: [error] the rope is torn",
            "output assistant: The boat is green.",
        ]
    );
    let tools: Vec<Value> = told["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| json!([of["name"], of["call_id"], of["message"], of["result"], of["status"], of["duration_ms"]]))
        .collect();
    assert_eq!(
        tools,
        [json!(["ask_scout", "call-1", 3, 6, "success", 4000.0]), json!(["hoist", "call-2", 9, 10, "error", 2000.0])]
    );
    assert_eq!(told["systems"][0]["text"].as_str().map(|text| text.contains("You command a boat.")), Some(true));
}

#[test]
fn a_long_conversation_that_leaves_out_its_history_is_one_conversation() {
    let service = service();
    let steps: Vec<Value> = (0..400_u32)
        .map(|number| {
            let source = if number.is_multiple_of(2) { "user" } else { "agent" };
            let at = format!("2026-03-02T09:{:02}:{:02}Z", number / 60, number % 60);
            json!({"step_id": number + 1, "source": source, "message": format!("{number} {}", "x".repeat(1_000)), "timestamp": at})
        })
        .collect();
    let document = json!({"schema_version": "ATIF-v1.6", "session_id": "long", "agent": {"name": "a", "version": "1"}, "steps": steps});
    let stored = post_json(&service.http("/apis/intake/v2/workspaces/w/ingest/atif"), &document);
    assert_eq!(stored.status, 201, "{}", stored.text());
    let told = conversation(&service, "w", "long");
    assert_eq!(told["messages"].as_array().unwrap().len(), 400);
    assert!(
        links(&told).iter().all(|link| link[2] == 0 && link[3].as_array().unwrap().len() == 1),
        "nothing is dropped or told twice"
    );
    assert_eq!(told["calls"][199]["kept"], 398);
}

#[test]
fn measures_are_of_calls_by_group_and_time_each_call_once() {
    let service = service();
    let call = |second: u32, model: &str, user: &str, tokens: u32| {
        let body = json!({
            "started_at": format!("2026-03-02T09:00:{second:02}Z"), "ended_at": format!("2026-03-02T09:00:{:02}Z", second + 2), "user_id": user,
            "request": {"model": model, "messages": [{"role": "user", "content": format!("{second}")}]}, "cost_usd": 0.5,
            "response": {"id": format!("chatcmpl-{second}-of-metrics"), "model": model, "usage": {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens},
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]}
        });
        let stored = post_json(&service.chat("w"), &body);
        assert_eq!(stored.status, 201, "{}", stored.text());
    };
    call(1, "gpt-4o-mini", "anna", 10);
    call(2, "gpt-4o-mini", "anna", 10);
    call(3, "gpt-4o", "ben", 30);
    call(4, "o3", "ben", 2);
    service.sql().becomes(
        "SELECT toUInt32(count()) AS calls FROM genai_calls WHERE Workspace = 'w'",
        &[],
        &[json!({"calls": 4})],
    );
    let ask = |workspace: &str, query: &str| {
        let path = format!(
            "/apis/intake/v2/workspaces/{workspace}/metrics?since=2026-03-02T00:00:00Z&until=2026-03-03T00:00:00Z{query}"
        );
        let answer = get(&service.http(&path));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["data"].clone()
    };
    let all = ask("w", "");
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
    let [all] = [&all[0]];
    assert_eq!(
        [&all["calls"], &all["errors"], &all["input_tokens"], &all["output_tokens"], &all["calls_without_cost"]],
        [&json!(4), &json!(0), &json!(12), &json!(52), &json!(0)]
    );
    assert_eq!(
        (&all["cost_usd"], &all["latency_ms"]["p50"], &all["output_tokens_per_second"]),
        (&json!(2.0), &json!(2000.0), &json!(6.5))
    );
    assert_eq!(all["time_to_first_token_ms"], json!({"p50": null, "p95": null}));
    let shown = |data: &Value| -> Vec<Value> {
        data.as_array()
            .unwrap()
            .iter()
            .map(|of| json!([of["group"], of["is_other"], of["calls"], of["output_tokens"]]))
            .collect()
    };
    assert_eq!(shown(&ask("w", "&by=user")), [json!(["anna", false, 2, 20]), json!(["ben", false, 2, 32])]);
    assert_eq!(
        shown(&ask("w", "&by=model&limit=1")),
        [json!(["gpt-4o-mini", false, 2, 20]), json!([null, true, 2, 32])]
    );
    assert_eq!(shown(&ask("w", "&by=model&user=ben&model=o3")), [json!(["o3", false, 1, 2])]);
    let minutes = ask("w", "&bucket=minute");
    assert_eq!(minutes[0]["bucket_start"], "2026-03-02T09:00:00.000000Z");
    assert_eq!(minutes.as_array().map(Vec::len), Some(1));
    assert_eq!(ask("v", "&by=model"), json!([]), "another workspace has none of it");
}

#[test]
fn a_session_is_one_conversation_although_its_traces_have_the_same_span_ids() {
    let service = service();
    let said = |role: &str, text: &str| json!({"role": role, "parts": [{"type": "text", "content": text}]});
    let [ask, answer, more, last] =
        [("user", "hello"), ("assistant", "good day"), ("user", "and?"), ("assistant", "that is all")]
            .map(|(role, text)| said(role, text));
    let span = |trace: &str, second: u64, input: Value, output: Value| {
        let start = 1_772_442_000_000_000_000 + second * 1_000_000_000;
        let text = |key: &str, value: String| json!({"key": key, "value": {"stringValue": value}});
        let attributes = [
            text("gen_ai.operation.name", "chat".to_owned()),
            text("gen_ai.request.model", "m".to_owned()),
            text("session.id", "s".to_owned()),
            text("gen_ai.input.messages", input.to_string()),
            text("gen_ai.output.messages", output.to_string()),
        ];
        let span = json!({"traceId": trace.repeat(32), "spanId": "0000000000000001", "name": "chat m", "kind": 3,
            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 1_000_000).to_string(), "attributes": attributes});
        let stored =
            post_json(&service.http("/v1/traces"), &json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}));
        assert_eq!(stored.status, 200, "{}", stored.text());
    };
    span("a", 1, json!([ask]), json!([answer]));
    span("b", 2, json!([ask, answer, more]), json!([last]));
    let of = |session: &str| {
        get(&service.http(&format!("/apis/intake/v2/workspaces/default/sessions/{session}/conversation")))
    };
    let told = of("s").json();
    assert_eq!(
        self::said(&told),
        ["input user: hello", "output assistant: good day", "input user: and?", "output assistant: that is all"]
    );
    let calls: Vec<Value> = told["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| json!([of["trace_id"], of["span_id"], of["added"]]))
        .collect();
    let id = "0000000000000001";
    assert_eq!(calls, [json!(["a".repeat(32), id, [0]]), json!(["b".repeat(32), id, [2]])], "{told}");
    assert_eq!((&told["session_id"], &told["is_complete"], of("nobody").status), (&json!("s"), &json!(true), 404));
}
