//! Every list of the read API on two shards, through a node of each: the answers are what was sent, whichever shard has it.

use std::collections::BTreeSet;

use millrace::time::Clock;
use serde_json::{Value, json};

use super::load::millrace;
use super::nodes::{Cluster, is_possible};
use super::scores::{at, becomes, post, total};
use super::succeeds;
use support::{Service, http};

/// Two of each session; each has an agent, which calls a model and a tool. Of every sixth the tool fails.
const TRACES: u64 = 24;
const SECOND: u64 = 1_000_000_000;

/// Ids that fall on all shards.
fn trace_id(trace: u64) -> String {
    format!("{:016x}{trace:016x}", trace.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn span_id(trace: u64, place: u64) -> String {
    format!("{:016x}", (trace + 1) * 16 + place)
}

fn spans(trace: u64, now: u64) -> Value {
    let began = now - (TRACES - trace) * SECOND;
    let span = |place: u64, parent: &str, own: &[(&str, String)]| {
        let fails = place == 3 && trace.is_multiple_of(6);
        let session = [("session.id", format!("s{}", trace / 2)), ("user.id", format!("u{}", trace / 2 % 6))];
        let attribute = |(key, value): &(&str, String)| json!({"key": key, "value": {"stringValue": value}});
        json!({
            "traceId": trace_id(trace), "spanId": span_id(trace, place), "parentSpanId": parent, "name": format!("step {place}"), "kind": 1,
            "startTimeUnixNano": (began + place * SECOND / 8).to_string(), "endTimeUnixNano": (began + SECOND / 2).to_string(),
            "attributes": own.iter().chain(&session).map(attribute).collect::<Vec<_>>(),
            "status": if fails { json!({"code": 2, "message": "no such file"}) } else { json!({}) },
        })
    };
    let named = |key: &'static str, value: &str| (key, value.to_owned());
    let asked = format!(r#"[{{"role":"user","parts":[{{"type":"text","content":"question {trace}"}}]}}]"#);
    let call = [
        named("gen_ai.operation.name", "chat"),
        named("gen_ai.provider.name", "acme"),
        ("gen_ai.response.model", format!("model-{}", trace % 4)),
        named("gen_ai.usage.input_tokens", "10"),
        named("gen_ai.usage.output_tokens", "2"),
        named("gen_ai.usage.cost", "0.25"),
        ("gen_ai.input.messages", asked),
    ];
    let agent = [named("gen_ai.operation.name", "invoke_agent"), ("gen_ai.agent.name", format!("agent-{}", trace % 3))];
    let tool = [named("gen_ai.operation.name", "execute_tool"), named("gen_ai.tool.name", "read")];
    let root = span_id(trace, 1);
    json!([span(1, "", &agent), span(2, &root, &call), span(3, &root, &tool)])
}

/// Each trace through both Millraces: its spans through one, what is said of it through the other.
fn send(both: &[Service; 2]) {
    let now = u64::try_from(Clock::System.now().nanos()).expect("it is after 1970");
    for trace in 0..TRACES {
        let (one, other) = if trace.is_multiple_of(2) { (&both[0], &both[1]) } else { (&both[1], &both[0]) };
        let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans(trace, now)}]}]});
        let answer = http::post_json(&one.http("/v1/traces"), &body);
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
        let value = f64::from(u32::try_from(trace).expect("few")) / 24.0;
        let (session, span) = (format!("s{}", trace / 2), span_id(trace, 2));
        let score =
            json!({"span_id": span, "session_id": session, "name": "q", "data_type": "NUMERIC", "value": value});
        post(other, "evaluator-results", &score);
    }
    for session in 0..TRACES / 2 {
        let label = json!({"session_id": format!("s{session}"), "kind": "label", "name": "mood", "value_type": "text",
                           "value": if session < 4 { "good" } else { "bad" }});
        post(&both[0], "annotations", &label);
    }
}

/// How many rows each list has: of a list by a filter or a search, some of which read two tables that are on several shards.
const COUNTS: [(&str, u64); 38] = [
    ("spans", TRACES * 3),
    ("spans?filter[model]=model-1", 6),
    ("spans?filter[session_id]=s3", 6),
    ("spans?filter[status]=error", 4),
    ("spans?filter[kind]=TOOL", TRACES),
    ("spans?filter[agent_name][$in]=agent-0,agent-1", 16),
    ("spans?filter[input_tokens][$gt]=5", TRACES),
    ("spans?q=score.q:%3C0.5", 12),
    ("spans?q=question", TRACES),
    ("spans?q=model:model-1%20OR%20has:error", 10),
    ("spans/groups?by=trace_id", TRACES),
    ("spans/groups?by=session_id", TRACES / 2),
    ("spans/groups?by=trace_id,session_id&filter[model]=model-1", 6),
    ("traces", TRACES),
    ("traces?mode=detailed&filter[status]=success", TRACES),
    ("traces?filter[session_id]=s3", 2),
    ("traces?filter[total_tokens][$gt]=5", TRACES),
    ("traces?filter[cost_usd][$gt]=0.3", 0),
    ("traces?filter[error_count][$gte]=1", 4),
    ("traces?filter[span_count]=3", TRACES),
    ("traces?q=model:model-1", 6),
    ("traces?q=has:error", 4),
    ("traces?q=-has:error%20tool:read", TRACES - 4),
    ("traces?q=tokens:%3E5", TRACES),
    ("traces?q=score.q:%3C0.5", 12),
    ("traces?q=score.mood:good", 0),
    ("sessions", TRACES / 2),
    ("sessions?filter[user_id]=u1", 2),
    ("sessions?filter[model]=model-1", 6),
    ("sessions?filter[total_tokens][$gt]=20", TRACES / 2),
    ("sessions?q=model:model-1", 6),
    ("sessions?q=has:error", 4),
    ("sessions?q=score.q:%3C0.5", 6),
    ("sessions?q=score.mood:good", 4),
    ("users", 6),
    ("users?filter[session_id]=s3", 1),
    ("users?filter[model]=model-1&filter[call_count][$gte]=2", 3),
    ("evaluator-results?filter[value][$lt]=0.5", 12),
];

/// A path, what is taken of its answer, and what that must be.
type Fact = (String, fn(&Value) -> Value, Value);

/// What single answers say of a trace, a session and the whole.
fn facts() -> Vec<Fact> {
    let trace = trace_id(6);
    let of = |path: &str, fact: fn(&Value) -> Value, want: Value| (path.to_owned(), fact, want);
    let sums: fn(&Value) -> Value = |one| json!([one["span_count"], one["total_tokens"], one["cost_usd"]]);
    let values: fn(&Value) -> Value = |answer| {
        let sorted: BTreeSet<String> = answer["data"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| format!("{} {}", row["value"], row["spans"]))
            .collect();
        json!(sorted)
    };
    let traces: fn(&Value) -> Value =
        |all| json!(all["data"].as_array().into_iter().flatten().filter_map(|at| at["traces"].as_u64()).sum::<u64>());
    vec![
        of(&format!("traces/{trace}"), sums, json!([3, 12, 0.25])),
        of(&format!("traces/{trace}/tree"), |tree| tree["depth"].clone(), json!([0, 1, 1])),
        of(&format!("traces/{trace}/conversation"), |said| json!(said["calls"].as_array().map(Vec::len)), json!(1)),
        of(&format!("traces/{trace}/cost"), |cost| json!(cost["calls"].as_array().map(Vec::len)), json!(1)),
        of(&format!("traces/{trace}/export?format=json"), |all| json!(all["spans"].as_array().map(Vec::len)), json!(3)),
        of(&format!("spans/{}", span_id(6, 2)), |span| span["model"].clone(), json!("model-2")),
        of(&format!("spans/{}/evaluator-results", span_id(6, 2)), |all| json!(all[0]["value"]), json!(0.25)),
        of("sessions/s3", |one| json!([one["trace_count"], one["span_count"], one["total_tokens"]]), json!([2, 6, 24])),
        of("sessions/s3/conversation", |said| json!(said["calls"].as_array().map(Vec::len)), json!(2)),
        of(
            "users?filter[id]=u1",
            |page| json!([page["data"][0]["call_count"], page["data"][0]["trace_count"]]),
            json!([4, 4]),
        ),
        of("traces/histogram", traces, json!(TRACES)),
        of("traces/histogram?q=has:error", traces, json!(4)),
        of("traces/facets?fields=model", |all| all["facets"]["model"][3]["traces"].clone(), json!(6)),
        of("traces/facets?fields=tool&q=has:error", |all| all["facets"]["tool"][0]["traces"].clone(), json!(4)),
        of(
            "traces/metrics?bucket=total",
            |all| json!([all["data"][0]["run_count"], all["data"][0]["total_tokens"]["sum"]]),
            json!([TRACES, TRACES * 12]),
        ),
        of("traces/metrics?bucket=total&q=model:model-1", |all| all["data"][0]["run_count"].clone(), json!(6)),
        of(
            "metrics?by=model&limit=2",
            |all| {
                json!(
                    all["data"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|of| of["calls"].as_u64())
                        .collect::<Vec<_>>()
                )
            },
            json!([6, 6, 12]),
        ),
        of("values?field=model", values, json!(["\"model-0\" 6", "\"model-1\" 6", "\"model-2\" 6", "\"model-3\" 6"])),
    ]
}

/// The ids of a list, page by page with cursors.
fn walked(service: &Service, list: &str, id: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = http::get(&at(service, &format!("{list}?page_size=5&cursor={cursor}")));
        assert_eq!(answer.status, 200, "{list}: {}", answer.text());
        let page = answer.json();
        let rows = page["data"].as_array().expect("rows");
        ids.extend(rows.iter().map(|row| row[id].as_str().expect("an id").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return ids,
        }
    }
}

#[test]
fn every_list_has_what_was_sent_whichever_shard_has_it() {
    if !is_possible() {
        return;
    }
    let cluster = Cluster::start(2, 1);
    succeeds(&cluster.schema("apply", 0, ""));
    let both = [millrace(&cluster, 0, ""), millrace(&cluster, 1, "")];
    send(&both);
    becomes(&both, "traces?filter[total_tokens]=12", total, &json!(TRACES));
    for table in ["otel_traces_local", "genai_trace_rows_local", "genai_report_rows_local"] {
        let rows = cluster.each(&format!("SELECT count() AS rows FROM {table}"));
        assert!(rows.iter().all(|rows| rows[0]["rows"].as_u64() > Some(0)), "{table}: each shard has rows: {rows:?}");
    }
    for (path, rows) in COUNTS {
        becomes(&both, path, total, &json!(rows));
    }
    for (path, fact, want) in facts() {
        becomes(&both, &path, fact, &want);
    }
    let numbers = |texts: &mut dyn Iterator<Item = String>| texts.collect::<BTreeSet<String>>();
    for (list, id, want) in [
        (
            "spans",
            "span_id",
            numbers(&mut (0..TRACES).flat_map(|trace| (1..4).map(move |place| span_id(trace, place)))),
        ),
        ("traces", "id", numbers(&mut (0..TRACES).map(trace_id))),
        ("sessions", "id", numbers(&mut (0..TRACES / 2).map(|session| format!("s{session}")))),
        ("users", "id", numbers(&mut (0..6).map(|user| format!("u{user}")))),
    ] {
        for service in &both {
            let ids = walked(service, list, id);
            assert_eq!(ids.len(), want.len(), "{list}: each once: {ids:?}");
            assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), want, "{list}");
        }
    }
}
