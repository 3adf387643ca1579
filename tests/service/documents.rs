//! Trajectories of agents and plain spans: what they become, that they are stored whole or not at all, and once.

use serde_json::{Value, json};
use support::http::{Answer, get, send};
use support::{Options, Service, project};

fn service() -> Service {
    Service::start_with(Options {
        ack: Some("stored"),
        yaml: "prices: { enabled: false }".to_owned(),
        ..Options::default()
    })
}

fn at(service: &Service, path: &str) -> String {
    service.http(&format!("/apis/intake/v2/workspaces/w/{path}"))
}

fn post(service: &Service, path: &str, body: &Value) -> Answer {
    send("POST", &at(service, path), &[("content-type", "application/json")], body.to_string().as_bytes())
}

fn store(service: &Service, path: &str, body: &Value) {
    let answer = post(service, path, body);
    assert_eq!((answer.status, answer.text().as_str()), (201, ""), "{body}");
}

fn ask(service: &Service, path: &str) -> Value {
    let answer = get(&at(service, path));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn fixture(name: &str) -> Value {
    let path = project().join("tests/fixtures/atif").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The paths of what is wrong.
fn wrong(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 422, "{}", answer.text());
    let step = |step: &Value| step.as_str().map_or_else(|| step.to_string(), str::to_owned);
    let path = |error: &Value| error["loc"].as_array().unwrap().iter().map(step).collect::<Vec<_>>().join(".");
    answer.json()["detail"].as_array().unwrap().iter().map(path).collect()
}

#[test]
fn a_trajectory_becomes_the_spans_of_its_agents_steps_and_tools() {
    let service = service();
    store(&service, "ingest/atif", &fixture("subagents-1.8.json"));
    let parents = "SELECT SpanId AS id, SpanName AS name, ParentSpanId AS parent, Operation AS operation, \
         formatDateTime(Timestamp, '%S') AS at, toString(Duration) AS ns, toString(TimingQuality) AS timing, \
         toString(StatusCode) AS status FROM otel_traces WHERE Workspace = 'w' ORDER BY Timestamp, SpanName, SpanId";
    let rows = service.sql().rows(parents, &[]);
    let name_of = |id: &Value| rows.iter().find(|row| row["id"] == *id).map_or("", |row| row["name"].as_str().unwrap());
    let mut shown: Vec<String> = rows
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap();
            let parent = name_of(&row["parent"]);
            let [name, operation, at, ns, timing, status] =
                ["name", "operation", "at", "ns", "timing", "status"].map(text);
            format!("{at} {name} < {parent}: {operation} {ns} {timing} {status}")
        })
        .collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            "00 captain < : invoke_agent 18000000000 given Error",
            "11 agent-5 < captain: chat 0 unknown Unset",
            "11 ask_scout < agent-5: execute_tool 4000000000 inferred Unset",
            "11 subagent-s3://runs/lookout.json < agent-5: invoke_agent 0 unknown Unset",
            "12 scout < ask_scout: invoke_agent 2000000000 given Unset",
            "14 agent-2 < scout: chat 0 unknown Unset",
            "16 agent-7 < captain: invoke_workflow 0 unknown Unset",
            "16 hoist < agent-7: execute_tool 2000000000 inferred Error",
            "18 agent-8 < captain: chat 0 unknown Unset",
            "18 harbor.verifier < captain: evaluator 0 inferred Unset",
        ],
        "copied context and what users and the system say are no spans"
    );
    let content = "SELECT InputMessages AS input, OutputMessages AS output, SystemPrompt AS system FROM otel_traces \
         WHERE Workspace = 'w' AND SpanName = {name:String}";
    let of = |name: &str| service.sql().rows(content, &[("name", name)]).remove(0);
    let messages = |row: &Value, side: &str| serde_json::from_str::<Value>(row[side].as_str().unwrap()).unwrap();
    let (asked, answered) = (of("agent-5"), of("agent-8"));
    let tool_call =
        json!({"type": "tool_call", "id": "call-1", "name": "ask_scout", "arguments": {"who": "scout", "n": 1}});
    let thought =
        json!({"role": "assistant", "parts": [{"type": "reasoning", "content": "The scout is nearer."}, tool_call]});
    assert_eq!(messages(&asked, "output"), json!([thought]));
    let input = messages(&asked, "input");
    let roles: Vec<&str> = input.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"], "copied context is what was said before");
    assert_eq!(
        input[3]["parts"],
        json!([
            {"type": "text", "content": "What colour is this boat?"},
            {"type": "uri", "modality": "image", "mime_type": "image/png", "uri": "images/boat.png"},
            {"type": "uri", "modality": "audio", "mime_type": "audio/mpeg", "uri": "audio/question.mp3"},
        ])
    );
    assert_eq!(asked["system"], "You command a boat.");
    let later = messages(&answered, "input");
    assert_eq!(later.as_array().unwrap().len(), 10, "{later}");
    assert_eq!(later[4], thought);
    assert_eq!(later[5]["parts"][0], json!({"type": "tool_call_response", "id": "call-1", "response": "It is green."}));
    assert_eq!(later[9]["parts"][0]["response"], "[error] the rope is torn");
    let beside = service.sql().rows(
        "SELECT ContentAttributes['millrace.document.content'] AS said FROM otel_traces WHERE SpanName = 'captain'",
        &[],
    );
    assert!(beside[0]["said"].as_str().unwrap().contains("made by hand"), "{beside:?}");
}

#[test]
fn a_trajectory_counts_once_however_often_it_is_sent_and_grows_by_its_new_steps() {
    let service = service();
    let whole = fixture("subagents-1.8.json");
    let mut begun = whole.clone();
    begun["steps"].as_array_mut().unwrap().truncate(5);
    for document in [&begun, &whole, &whole] {
        store(&service, "ingest/atif", document);
    }
    let totals = "SELECT toUInt32(Calls) AS calls, InputTokens AS input, OutputTokens AS output, toFloat64(CostTotal) AS cost FROM genai_traces \
         WHERE Workspace = 'w'";
    service.sql().becomes(totals, &[], &[json!({"calls": 3, "input": 290, "output": 35, "cost": 0.0015})]);
    let spans =
        "SELECT SpanName AS name, count() AS rows FROM otel_traces WHERE Workspace = 'w' GROUP BY name HAVING rows > 1";
    service.sql().becomes(spans, &[], &[]);
    let trace = ask(&service, "traces/boats");
    assert_eq!(
        (&trace["name"], &trace["session_id"], &trace["span_count"]),
        (&json!("captain"), &json!("boats"), &json!(10))
    );
    let results = ask(&service, "evaluator-results?sort=created_at")["data"].clone();
    let mut found: Vec<Value> = results
        .as_array()
        .unwrap()
        .iter()
        .map(|of| json!([of["name"], of["data_type"], of["value"], of["string_value"], of["created_by"]]))
        .collect();
    found.sort_by_key(Value::to_string);
    let by = "intake:atif_importer";
    assert_eq!(
        found,
        [
            json!(["finished", "BOOLEAN", 1.0, null, by]),
            json!(["reward", "NUMERIC", 0.5, null, by]),
            json!(["verdict", "TEXT", null, "good enough", by]),
        ]
    );
    let evaluated = results[0]["span_id"].as_str().unwrap();
    let span = ask(&service, &format!("spans/{evaluated}"));
    assert_eq!(
        (&span["name"], &span["kind"], &span["source"]),
        (&json!("harbor.verifier"), &json!("EVALUATOR"), &json!("atif"))
    );
}

#[test]
fn documents_of_other_packages_and_versions_are_taken() {
    let service = service();
    store(&service, "ingest/atif", &fixture("nemo-1.7.json"));
    store(&service, "ingest/atif", &fixture("nemo-1.7.json"));
    store(&service, "ingest/atif", &fixture("first-1.0.json"));
    let of = |name: &str| {
        let query = "SELECT toUInt32(count()) AS rows, any(InputTokens) AS input, any(CostTotal) > 0 AS has_cost, any(Duration) AS ns, \
             any(toString(TimingQuality)) AS timing, any(RequestModel) AS model FROM otel_traces \
             WHERE Workspace = 'w' AND ServiceName = {service:String} AND SpanName = {name:String}";
        let (service_name, name) = name.split_once('/').unwrap();
        service.sql().rows(query, &[("service", service_name), ("name", name)]).remove(0)
    };
    assert_eq!(
        of("calculator/agent-2"),
        json!({"rows": 1, "input": 12, "has_cost": null, "ns": 1500000000, "timing": "given", "model": "nvidia/nemotron"}),
        "a document without a session is known by its hash, and the call's own times count"
    );
    assert_eq!(of("calculator/calculator")["has_cost"], 1, "a total that no step has is the agent's");
    assert_eq!(of("echo/echo")["input"], 3);
    assert_eq!(of("echo/agent-2")["timing"], "ingest");
    let totals = "SELECT InputTokens AS input, toUInt32(Calls) AS calls FROM genai_traces WHERE Workspace = 'w' AND SessionId = 'plain'";
    service.sql().becomes(totals, &[], &[json!({"input": 3, "calls": 1})]);

    let mut later = fixture("first-1.0.json");
    for minor in 1..=8 {
        later["schema_version"] = json!(format!("ATIF-v1.{minor}"));
        store(&service, "ingest/atif", &later);
    }
    later["mood"] = json!("fine");
    assert_eq!(wrong(&post(&service, "ingest/atif", &later)), ["body.mood"]);
    later["schema_version"] = json!("ATIF-v1.12");
    store(&service, "ingest/atif", &later);
    let unknown = "SELECT SpanAttributes['atif.unknown_members'] AS unknown FROM otel_traces WHERE SpanAttributes['atif.schema_version'] = 'ATIF-v1.12'";
    assert_eq!(service.sql().rows(unknown, &[]), [json!({"unknown": "mood"})]);
    for version in ["ATIF-v2.0", "ATIF-v1.", "1.8", ""] {
        later["schema_version"] = json!(version);
        let paths = wrong(&post(&service, "ingest/atif", &later));
        assert!(paths.contains(&"body.schema_version".to_owned()), "{version}: {paths:?}");
    }
}

#[test]
fn a_document_with_anything_wrong_is_refused_whole_by_the_path_of_each_fault() {
    let service = service();
    let whole = fixture("subagents-1.8.json");
    let at_step = |step: usize, name: &str, value: Value| {
        let mut document = whole.clone();
        document["steps"][step][name] = value;
        document
    };
    let mut doubled = whole.clone();
    let call = doubled["steps"][4]["tool_calls"][0].clone();
    doubled["steps"][4]["tool_calls"].as_array_mut().unwrap().push(call);
    let mut stray = whole.clone();
    stray["steps"][4]["observation"]["results"][0]["source_call_id"] = json!("zz");
    let mut nameless = whole.clone();
    nameless["subagent_trajectories"][0].as_object_mut().unwrap().remove("trajectory_id");
    let mut deep = json!({"schema_version": "ATIF-v1.7", "trajectory_id": "t", "agent": {"name": "a", "version": "1"},
        "steps": [{"step_id": 1, "source": "user", "message": "x"}]});
    for _ in 0..13 {
        let mut outer = deep.clone();
        outer["subagent_trajectories"] = json!([deep]);
        deep = outer;
    }
    let cases = [
        (at_step(0, "step_id", json!(2)), "body.steps.0.step_id"),
        (at_step(0, "source", json!("robot")), "body.steps.0.source"),
        (at_step(0, "tool_calls", json!([])), "body.steps.0.tool_calls"),
        (at_step(0, "timestamp", json!("yesterday")), "body.steps.0.timestamp"),
        (at_step(0, "timestamp", json!("1999-01-01T00:00:00Z")), "body.steps.0.timestamp"),
        (at_step(0, "message", json!(7)), "body.steps.0.message"),
        (at_step(3, "message", json!([{"type": "video"}])), "body.steps.3.message.0.type"),
        (at_step(4, "llm_call_count", json!(-1)), "body.steps.4.llm_call_count"),
        (at_step(4, "llm_call_count", json!(0)), "body.steps.4.metrics"),
        (at_step(4, "metrics", json!({"cost_usd": "much"})), "body.steps.4.metrics.cost_usd"),
        (at_step(4, "metrics", json!({"prompt_tokens": 1, "cached_tokens": 2})), "body.steps.4.metrics.cached_tokens"),
        (doubled, "body.steps.4.tool_calls.1.tool_call_id"),
        (stray, "body.steps.4.observation.results.0.source_call_id"),
        (nameless, "body.subagent_trajectories.0.trajectory_id"),
        (json!([]), "body"),
        (json!({"schema_version": "ATIF-v1.0", "steps": []}), "body.agent"),
    ];
    for (document, path) in cases {
        let paths = wrong(&post(&service, "ingest/atif", &document));
        assert!(paths.contains(&path.to_owned()), "{path}: {paths:?}");
    }
    assert!(wrong(&post(&service, "ingest/atif", &deep))[0].ends_with("subagent_trajectories"));
    let broken = send("POST", &at(&service, "ingest/atif"), &[], b"{\"schema_version\": ");
    assert_eq!(broken.status, 422, "{}", broken.text());
    assert_eq!(service.sql().number("SELECT count() AS n FROM otel_traces", &[]), 0);
    assert_eq!(
        service.metric("millrace_receiver_rejected_spans_total{receiver=\"documents\",transport=\"http\"}"),
        Some(18.0)
    );
}

#[test]
fn the_conversation_that_a_long_trajectory_repeats_is_bounded() {
    let service = service();
    let steps: Vec<Value> = (0..400)
        .map(|number: usize| {
            let source = if number.is_multiple_of(2) { "user" } else { "agent" };
            json!({"step_id": number + 1, "source": source, "message": "x".repeat(1_000), "timestamp": format!("2026-03-02T09:{:02}:{:02}Z", number / 60, number % 60)})
        })
        .collect();
    let document = json!({"schema_version": "ATIF-v1.6", "session_id": "long", "agent": {"name": "a", "version": "1"}, "steps": steps});
    store(&service, "ingest/atif", &document);
    let sums = "SELECT sum(length(InputMessages)) < 18000000 AS is_bounded, \
         countIf(SpanAttributes['millrace.history.left_out'] = '') > 100 AS has_whole, \
         argMax(SpanAttributes['millrace.history.left_out'], Timestamp) AS left_out, \
         argMax(length(InputMessages), Timestamp) < 2400 AS is_new_only FROM otel_traces WHERE Operation = 'chat'";
    let want = json!({"is_bounded": 1, "has_whole": 1, "left_out": "397", "is_new_only": 1});
    assert_eq!(service.sql().rows(sums, &[]), [want]);
}

#[test]
fn plain_spans_have_the_ids_kinds_and_columns_that_they_say() {
    let service = service();
    let spans = json!({"source": "mine", "spans": [
        {"span_id": "s1", "trace_id": "T1", "name": "ask", "kind": "LLM", "status": "error", "session_id": "S",
         "started_at": "2026-03-02T09:00:00+00:00", "ended_at": "2026-03-02T10:00:02+01:00", "input": {"a": [1]}, "output": "o",
         "attributes": {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 2, "x": true, "deep": {"a": null}, "n": null}},
        {"span_id": "00f067aa0ba902b7", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "parent_span_id": "s1", "status": "cancelled",
         "started_at": "2026-03-02T09:00:00Z"},
    ]});
    store(&service, "ingest/spans", &spans);
    store(&service, "ingest/spans", &spans);
    let first = ask(&service, "spans/s1");
    for (name, want) in [
        ("name", json!("ask")),
        ("kind", json!("LLM")),
        ("status", json!("error")),
        ("source", json!("mine")),
        ("session_id", json!("S")),
        ("model", json!("m")),
        ("input_tokens", json!(5)),
        ("started_at", json!("2026-03-02T09:00:00.000000Z")),
        ("ended_at", json!("2026-03-02T09:00:02.000000Z")),
        ("output", json!(r#"[{"role":"assistant","parts":[{"type":"text","content":"o"}]}]"#)),
    ] {
        assert_eq!(first[name], want, "{name}: {first}");
    }
    let raw: Value = serde_json::from_str(first["raw_attributes"].as_str().unwrap()).unwrap();
    assert_eq!(
        [&raw["x"], &raw["deep"], &raw["n"], &raw["millrace.span_id"], &raw["millrace.trace_id"]],
        [&json!(true), &json!("{\"a\":null}"), &Value::Null, &json!("s1"), &json!("T1")]
    );
    let second = ask(&service, "spans/00f067aa0ba902b7");
    assert_eq!(second["parent_span_id"], first["span_id"]);
    assert_eq!((&second["status"], &second["kind"]), (&json!("cancelled"), &json!("UNKNOWN")));
    assert_eq!(second["session_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(ask(&service, "traces/T1")["id"], first["trace_id"]);
    assert_eq!(ask(&service, "spans")["pagination"]["total_results"], 2);

    let one = |more: Value| {
        let mut span = json!({"span_id": "s9", "trace_id": "T9", "started_at": "2026-03-02T09:00:00Z"});
        span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"source": "mine", "spans": [{"span_id": "good", "trace_id": "T9", "started_at": "2026-03-02T09:00:00Z"}, span]})
    };
    for (body, path) in [
        (one(json!({"span_id": "good"})), "body.spans.1.span_id"),
        (one(json!({"started_at": "1999-01-01T00:00:00Z"})), "body.spans.1.started_at"),
        (one(json!({"started_at": "2026-03-02T09:00:00"})), "body.spans.1.started_at"),
        (one(json!({"ended_at": "2026-03-02T08:00:00Z"})), "body.spans.1.ended_at"),
        (one(json!({"parent_span_id": "s9"})), "body.spans.1.parent_span_id"),
        (one(json!({"kind": "llm"})), "body.spans.1.kind"),
        (one(json!({"foo": 1})), "body.spans.1.foo"),
        (one(json!({"trace_id": "0".repeat(32)})), "body.spans.1.trace_id"),
        (one(json!({"trace_id": "x".repeat(1_025)})), "body.spans.1.trace_id"),
        (json!({"source": "my source!", "spans": [{}]}), "body.source"),
        (json!({"source": "mine", "spans": []}), "body.spans"),
        (json!({"source": "mine", "spans": vec![json!({}); 1_001]}), "body.spans"),
    ] {
        let paths = wrong(&post(&service, "ingest/spans", &body));
        assert!(paths.contains(&path.to_owned()), "{path}: {paths:?}");
    }
    assert_eq!(
        service.sql().number("SELECT count() AS n FROM otel_traces", &[]),
        2,
        "nothing of a wrong body is stored"
    );
}
