//! The chat codec from outside: what is refused and how, who is the same span, and what must hold for any body.

use millrace::chat::vendor::{helicone, litellm};
use millrace::chat::{
    self, AttrValue, Body, Capture, Context, Limits, ParseOptions, SessionRef, TraceRef, Traceparent,
};
use millrace::steps;
use millrace::time::UnixNanos;
use millrace::workspace::Workspace;
use proptest::prelude::*;
use serde_json::{Value, json};

fn now() -> UnixNanos {
    UnixNanos::new(1_800_000_000_000_000_000).unwrap()
}

fn minimal() -> Value {
    json!({"request": {"model": "m", "messages": []}, "response": {"choices": []}})
}

fn with(members: Value) -> Value {
    let mut body = minimal();
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

/// What of a span the tests look at.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    trace: TraceRef,
    span: String,
    fingerprint: u64,
    parent: Option<String>,
    session: Option<String>,
    service: Option<String>,
    times: (i64, i64),
    attributes: Value,
}

struct Sender<'a> {
    workspace: &'a str,
    options: ParseOptions,
    traceparent: Option<&'a str>,
    idempotency_key: Option<&'a str>,
}

const SENDER: Sender<'static> = Sender {
    workspace: "default",
    options: ParseOptions {
        strict_reference: false,
        keep_raw: true,
        limits: Limits { max_value_bytes: 1 << 20, max_inline_media_bytes: 1 << 16 },
    },
    traceparent: None,
    idempotency_key: None,
};

impl Sender<'_> {
    /// The span of a body, or the body of the 422 answer.
    fn send(&self, body: &[u8]) -> Result<Seen, Value> {
        let refusal = |errors: chat::ValidationErrors| -> Value { serde_json::from_str(&errors.to_json()).unwrap() };
        let body = Body::of_call(body).map_err(refusal)?;
        let capture = chat::parse(&body, &self.options).map_err(refusal)?;
        let workspace = Workspace::new(self.workspace).unwrap();
        let traceparent = self.traceparent.map(|header| Traceparent::parse(header).unwrap());
        let idempotency_key = self.idempotency_key;
        let context = Context { workspace: &workspace, received_at: now(), traceparent, idempotency_key };
        let span = chat::convert(&capture, &context).map_err(refusal)?;
        let column = |value: &AttrValue<'_>| {
            let mut text = String::new();
            value.as_column_text(&mut text);
            match value {
                AttrValue::Str(_) => Value::String(text),
                _ => serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}")),
            }
        };
        Ok(Seen {
            trace: span.trace,
            span: span.span_id.to_string(),
            fingerprint: span.fingerprint,
            parent: span.parent.map(|id| id.to_string()),
            session: match &span.session {
                SessionRef::Given(session) => Some(session.to_string()),
                SessionRef::ToDerive => None,
            },
            service: span.service_name.as_ref().map(ToString::to_string),
            times: (span.start.nanos(), span.end.nanos()),
            attributes: span.all_attributes().map(|(key, value)| (key.to_string(), column(&value))).collect(),
        })
    }

    fn accepts(&self, body: &Value) -> Seen {
        self.send(body.to_string().as_bytes()).unwrap_or_else(|errors| panic!("{body}: {errors}"))
    }

    fn refuses(&self, body: &Value) -> Value {
        let refusal = self.send(body.to_string().as_bytes()).expect_err(&body.to_string());
        assert_eq!(refusal.as_object().unwrap().len(), 1);
        refusal["detail"].clone()
    }
}

#[test]
fn a_refusal_names_every_offending_place() {
    let body = json!({"cost_usdd": 1, "request": {"messages": [{"content": "x"}, {"role": "boss"}, 7]}});
    let roles = "Input should be 'user', 'system', 'assistant', 'developer', 'tool' or 'function'";
    let object = "Input should be a valid dictionary or object to extract fields from";
    let want = json!([
        {"loc":["body","cost_usdd"],"msg":"Extra inputs are not permitted; did you mean 'cost_usd'?","type":"extra_forbidden","input":1},
        {"loc":["body","request","messages",0,"role"],"msg":"Field required","type":"missing"},
        {"loc":["body","request","messages",1,"role"],"msg":roles,"type":"enum","input":"boss"},
        {"loc":["body","request","messages",2],"msg":object,"type":"model_attributes_type","input":7},
        {"loc":["body","request","model"],"msg":"Field required","type":"missing"},
        {"loc":["body","response"],"msg":"Field required","type":"missing"},
    ]);
    assert_eq!(SENDER.refuses(&body), want);
}

#[test]
fn each_kind_of_mistake_has_its_type_and_place() {
    let table = [
        (json!({"request": []}), json!(["body", "request"]), "model_attributes_type"),
        (json!({"request": {"model": "m", "messages": {}}}), json!(["body", "request", "messages"]), "list_type"),
        (json!({"request": {"model": 7, "messages": []}}), json!(["body", "request", "model"]), "string_type"),
        (json!({"response": {}}), json!(["body", "response"]), "value_error"),
        (json!({"response": null}), json!(["body", "response"]), "value_error"),
        (json!({"response": []}), json!(["body", "response"]), "value_error"),
        (json!({"response": "hello"}), json!(["body", "response"]), "value_error"),
        (json!({"response": {"choices": {}}}), json!(["body", "response", "choices"]), "list_type"),
        (json!({"session_id": 7}), json!(["body", "session_id"]), "string_type"),
        (json!({"trace_id": "0".repeat(32)}), json!(["body", "trace_id"]), "value_error"),
        (json!({"trace_id": "x".repeat(257)}), json!(["body", "trace_id"]), "string_too_long"),
        (json!({"parent_span_id": "xyz"}), json!(["body", "parent_span_id"]), "value_error"),
        (json!({"cost_usd": -1e-9}), json!(["body", "cost_usd"]), "greater_than_equal"),
        (json!({"cost_usd": "NaN"}), json!(["body", "cost_usd"]), "finite_number"),
        (json!({"cost_usd": "much"}), json!(["body", "cost_usd"]), "float_parsing"),
        (json!({"cost_usd": true}), json!(["body", "cost_usd"]), "float_type"),
        (json!({"cost_usd": 1e300}), json!(["body", "cost_usd"]), "less_than"),
        (json!({"cost_details": []}), json!(["body", "cost_details"]), "dict_type"),
        (json!({"cost_details": {"a": "x"}}), json!(["body", "cost_details", "a"]), "float_parsing"),
        (json!({"experiment_context": {}}), json!(["body", "experiment_context", "experiment_id"]), "missing"),
        (
            json!({"evaluation_context": {"metadata": 1}}),
            json!(["body", "evaluation_context", "metadata"]),
            "dict_type",
        ),
        (json!({"started_at": "soon"}), json!(["body", "started_at"]), "datetime_parsing"),
        (json!({"started_at": 9, "ended_at": 8}), json!(["body", "ended_at"]), "value_error"),
        (json!({"tags": ["a", 1]}), json!(["body", "tags", 1]), "string_type"),
    ];
    for (members, loc, kind) in table {
        let detail = SENDER.refuses(&with(members.clone()));
        assert_eq!((&detail[0]["loc"], &detail[0]["type"]), (&loc, &json!(kind)), "{members}");
        assert_eq!(detail.as_array().unwrap().len(), 1, "{members}");
    }
}

#[test]
fn what_is_no_json_or_no_object_is_refused() {
    for (body, place) in [("", 0), ("{", 1), ("{\"a\":}", 5), ("{} x", 3), ("\u{0}", 0)] {
        let detail = SENDER.send(body.as_bytes()).unwrap_err()["detail"][0].clone();
        assert_eq!((&detail["type"], &detail["loc"]), (&json!("json_invalid"), &json!(["body", place])), "{body:?}");
    }
    assert_eq!(SENDER.send(b"\"\xff\"").unwrap_err()["detail"][0]["type"], "json_invalid");
    assert_eq!(SENDER.send(b"[]").unwrap_err()["detail"][0]["loc"], json!(["body"]));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(SENDER.send(deep.as_bytes()).unwrap_err()["detail"][0]["loc"], json!(["body", 32]));
}

#[test]
fn a_refusal_is_bounded_and_echoes_only_short_scalars() {
    let body =
        json!({"request": {"model": "x", "messages": vec![7; 1000]}, "response": {"error": {}}, "session_id": 7});
    assert_eq!(SENDER.refuses(&body).as_array().unwrap().len(), chat::ERRORS_MAX);
    let secret = "s".repeat(chat::INPUT_BYTES_MAX + 1);
    let detail = SENDER.refuses(&with(json!({"cost_usd": secret, "tags": {"a": 1}})));
    assert!(detail[0].get("input").is_none() && detail[1].get("input").is_none());
}

#[test]
fn the_additions_can_be_switched_off() {
    let additions = json!({
        "started_at": "2026-09-21T14:13:20Z", "ended_at": 1790000002.5, "first_token_at": "1790000000.25",
        "parent_span_id": "00F067AA0BA902B7", "service_name": "shop", "user_id": "ana", "tags": ["a", "b"],
    });
    let seen = SENDER.accepts(&with(additions.clone()));
    assert_eq!(seen.times, (1_790_000_000_000_000_000, 1_790_000_002_500_000_000));
    assert_eq!((seen.parent.as_deref(), seen.service.as_deref()), (Some("00f067aa0ba902b7"), Some("shop")));
    for (key, want) in [
        ("millrace.timing", json!("given")),
        ("gen_ai.response.time_to_first_chunk", json!(0.25)),
        ("user.id", json!("ana")),
        ("millrace.tags", json!(["a", "b"])),
    ] {
        assert_eq!(seen.attributes[key], want, "{key}");
    }
    let strict = ParseOptions { strict_reference: true, ..SENDER.options };
    let header = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let strict = Sender { options: strict, traceparent: header, idempotency_key: Some("k"), ..SENDER };
    assert_eq!(strict.refuses(&with(additions)).as_array().unwrap().len(), 7);
    assert_eq!(strict.accepts(&minimal()), SENDER.accepts(&minimal()));
}

#[test]
fn the_same_pair_is_the_same_span_however_it_is_written() {
    let one = r#"{"request":{"model":"m","messages":[]},"response":{"id":"é","choices":[]}}"#;
    let other = r#" {"response": {"choices": [], "id": "\u00e9"}, "request": {"messages": [], "model": "m"}} "#;
    let ids = |sender: &Sender<'_>, body: &str| {
        let seen = sender.send(body.as_bytes()).unwrap();
        (seen.trace, seen.span)
    };
    assert_eq!(ids(&SENDER, one), ids(&SENDER, other));
    assert_ne!(ids(&SENDER, one), ids(&Sender { workspace: "other", ..SENDER }, one));
    let keyed = Sender { idempotency_key: Some("k"), ..SENDER };
    assert_eq!(ids(&keyed, one), ids(&keyed, &minimal().to_string()));
    assert_ne!(ids(&keyed, one), ids(&SENDER, one));
    let joined = SENDER.accepts(&with(json!({"trace_id": "abc"})));
    assert_eq!(joined.trace.id().to_string(), "ba7816bf8f01cfea414140de5dae2223");
    assert_eq!(joined.attributes["millrace.trace_id"], "abc");
    assert_ne!(joined.span, SENDER.accepts(&minimal()).span);
}

#[test]
fn a_call_without_any_of_the_members_that_were_added_keeps_its_ids() {
    let seen = SENDER.accepts(&minimal());
    assert_eq!((seen.span.as_str(), seen.trace.id().to_string().as_str()), (IDS[0], IDS[1]));
    let keyed = Sender { idempotency_key: Some("k"), ..SENDER }.accepts(&minimal());
    assert_eq!((keyed.span.as_str(), keyed.trace.id().to_string().as_str()), (IDS[2], IDS[3]));
}

/// Span and trace of the minimal call and of the key `k`: SHA-256 over the parts, each after its length as 8 bytes.
const IDS: [&str; 4] =
    ["431cf99b559e4f08", "fabdb5fcd3c2fbe34a8988a6dab67de4", "849a3cfa48784eba", "95544830069c8c32104c817bb16c701a"];

/// Members that say which call it is. Each is another call than every other.
fn other_calls() -> Vec<Value> {
    let context = |name: &str, context: Value| with(json!({ name: context }));
    let mut calls = vec![
        minimal(),
        with(json!({"request": {"model": "m", "messages": [{"role": "user", "content": "a"}]}})),
        with(json!({"response": {"choices": [], "id": "r"}})),
        with(json!({"parent_span_id": "00f067aa0ba902b7"})),
        with(json!({"parent_span_id": "00f067aa0ba902b8"})),
    ];
    for name in ["trace_id", "session_id"] {
        calls.extend(["a", "b"].map(|text| with(json!({ name: text }))));
    }
    for name in ["started_at", "ended_at", "first_token_at"] {
        calls.extend([1_790_000_000, 1_790_000_001].map(|at| with(json!({ name: at }))));
    }
    for test_case in ["a", "b"] {
        let experiment = json!({"experiment_id": "x", "test_case_id": test_case});
        calls.push(context("experiment_context", experiment));
        for name in ["evaluation_id", "evaluation_sha", "evaluation_run_id", "test_case_id"] {
            calls.push(context("evaluation_context", json!({ name: test_case })));
        }
        let both =
            json!({"experiment_context": {"experiment_id": "x"}, "evaluation_context": {"test_case_id": test_case}});
        calls.push(with(both));
    }
    calls
}

#[test]
fn what_says_which_call_it_was_makes_another_span() {
    let seen: Vec<_> = other_calls().iter().map(|body| SENDER.accepts(body)).collect();
    let spans: std::collections::BTreeSet<_> = seen.iter().map(|seen| &seen.span).collect();
    assert_eq!(spans.len(), seen.len());
    let fingerprints: std::collections::BTreeSet<_> = seen.iter().map(|seen| seen.fingerprint).collect();
    assert_eq!(fingerprints.len(), seen.len());
}

#[test]
fn what_is_merely_said_about_a_call_is_the_same_span_in_another_report() {
    let first = SENDER.accepts(&minimal());
    for said in [
        json!({"cost_usd": 1}),
        json!({"cost_input_usd": 1}),
        json!({"cost_output_usd": 1}),
        json!({"cost_details": {"tax": 1}}),
        json!({"provider": "openai"}),
        json!({"tags": ["a"]}),
        json!({"user_id": "u"}),
        json!({"service_name": "s"}),
        json!({"evaluation_context": {"metadata": {"a": 1}}}),
    ] {
        let seen = SENDER.accepts(&with(said.clone()));
        assert_eq!((&seen.span, seen.trace), (&first.span, first.trace), "{said}");
        assert_ne!(seen.fingerprint, first.fingerprint, "{said}");
    }
}

#[test]
fn an_idempotency_key_replaces_all_but_the_workspace() {
    let keyed = Sender { idempotency_key: Some("k"), ..SENDER };
    let first = keyed.accepts(&minimal());
    for body in other_calls() {
        assert_eq!(keyed.accepts(&body).span, first.span, "{body}");
    }
    let header = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(Sender { traceparent: header, ..keyed }.accepts(&minimal()).span, first.span);
    for other in [Sender { idempotency_key: Some("l"), ..SENDER }, Sender { workspace: "other", ..keyed }] {
        assert_ne!(other.accepts(&minimal()).span, first.span);
    }
    assert_eq!(first.fingerprint, SENDER.accepts(&minimal()).fingerprint, "the key says nothing about the call");
}

#[test]
fn a_repeat_may_spell_its_times_and_order_its_members_otherwise() {
    let spelt = |started: Value, ended: Value| with(json!({"started_at": started, "ended_at": ended, "cost_usd": 1}));
    let first = SENDER.accepts(&spelt(json!(1_790_000_000), json!(1_790_000_001.5)));
    for (started, ended) in [
        (json!("2026-09-21T14:13:20Z"), json!("2026-09-21T16:13:21.500+02:00")),
        (json!("1790000000.0"), json!(1_790_000_001_500_u64)),
        (json!(1_790_000_000_000_000_000_u64), json!("1790000001500000")),
    ] {
        let seen = SENDER.accepts(&spelt(started.clone(), ended.clone()));
        assert_eq!((seen.span, seen.fingerprint), (first.span.clone(), first.fingerprint), "{started} {ended}");
    }
    let turned = r#" {"cost_usd":1, "response":{"choices":[]},"ended_at":1790000001.5,
                      "started_at":1790000000,"request":{"messages":[],"model":"m"}} "#;
    let seen = SENDER.send(turned.as_bytes()).unwrap();
    assert_eq!((seen.span, seen.fingerprint), (first.span, first.fingerprint));
}

#[test]
fn the_parent_of_a_traceparent_says_which_call_it_was() {
    let sender = |header| Sender { traceparent: Some(header), ..SENDER };
    let first = sender("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").accepts(&minimal());
    let other = sender("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01").accepts(&minimal());
    let given =
        SENDER.accepts(&with(json!({"trace_id": first.trace.id().to_string(), "parent_span_id": "00f067aa0ba902b7"})));
    assert_ne!(first.span, other.span);
    assert_ne!(first.fingerprint, other.fingerprint);
    assert_eq!(first.span, given.span, "whichever way the parent is given");
    let flags = sender("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").accepts(&minimal());
    assert_eq!((flags.span, flags.fingerprint), (first.span, first.fingerprint));
}

#[test]
fn a_traceparent_names_trace_and_parent_and_must_agree() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("00-{trace}-00f067aa0ba902b7-01");
    let sender = Sender { traceparent: Some(&header), ..SENDER };
    let seen = sender.accepts(&minimal());
    assert_eq!((seen.trace.id().to_string().as_str(), seen.parent.as_deref()), (trace, Some("00f067aa0ba902b7")));
    assert_eq!(sender.accepts(&with(json!({"trace_id": trace.to_uppercase()}))).trace, seen.trace);
    let detail = sender.refuses(&with(json!({"trace_id": "other"})));
    assert_eq!(detail[0]["loc"], json!(["body", "trace_id"]));
}

#[test]
fn a_session_is_given_or_of_the_trace_or_derived() {
    let seen = SENDER.accepts(&with(json!({"session_id": "s 1"})));
    assert_eq!(seen.session.as_deref(), Some("s 1"));
    assert_eq!(
        (&seen.attributes["session.id"], &seen.attributes["gen_ai.conversation.id"]),
        (&json!("s 1"), &json!("s 1"))
    );
    assert_eq!(SENDER.accepts(&with(json!({"session_id": " "}))).session, None);

    let body = with(json!({"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"})).to_string();
    let body = Body::of_call(body.as_bytes()).unwrap();
    let capture = chat::parse(&body, &ParseOptions::default()).unwrap();
    let workspace = Workspace::default();
    let context = Context { workspace: &workspace, received_at: now(), traceparent: None, idempotency_key: None };
    let span = chat::convert(&capture, &context).unwrap();
    for (joined, want) in [(Some("theirs"), "theirs"), (None, "session_4bf92f3577b34da6")] {
        assert_eq!(span.session_in(joined), want);
        assert_eq!(span.attribute("session.id"), None, "attributes are what the sender said");
        assert_eq!(span.attribute("gen_ai.conversation.id"), None);
    }
}

#[test]
fn costs_are_exact_and_may_be_texts() {
    let seen = SENDER.accepts(&with(json!({
        "cost_input_usd": "0.000000000001", "cost_output_usd": 2e-12,
        "cost_details": {"cache_read": 1, "cache_write": 0, "reasoning": 2, "total": 9, "tax": "0.5", "none": null},
    })));
    for (key, want) in [
        ("gen_ai.usage.cost", "0.000000000003"),
        ("llm.cost.total", "0.000000000003"),
        ("llm.cost.prompt", "0.000000000001"),
        ("llm.cost.completion", "0.000000000002"),
        ("llm.cost.prompt_details.cache_read", "1"),
        ("llm.cost.prompt_details.cache_write", "0"),
        ("llm.cost.completion_details.reasoning", "2"),
        ("llm.cost.details.total", "9"),
        ("llm.cost.tax", "0.5"),
    ] {
        assert_eq!(seen.attributes[key].to_string(), want, "{key}");
    }
    assert_eq!(seen.attributes["millrace.cost.source"], "caller");
}

#[test]
fn contexts_land_in_attributes_and_the_experiments_wins() {
    let evaluation = json!({"evaluation_id": "e", "evaluation_sha": "s", "evaluation_run_id": "r", "test_case_id": "t", "metadata": {"a": 1}});
    let alone = SENDER.accepts(&with(json!({"evaluation_context": evaluation}))).attributes;
    let both = json!({"evaluation_context": evaluation, "experiment_context": {"experiment_id": "x", "more": 1}});
    let both = SENDER.accepts(&with(both)).attributes;
    let renamed = json!({"evaluation_context": {"evaluation_name": "e", "test_case_name": "t"}});
    let renamed = SENDER.accepts(&with(renamed)).attributes;
    for (seen, key, want) in [
        (&alone, "nemo.experiment.id", json!("e")),
        (&alone, "nemo.test_case.id", json!("t")),
        (&alone, "nemo.evaluation.sha", json!("s")),
        (&alone, "nemo.evaluation.run_id", json!("r")),
        (&alone, "nemo.evaluation.metadata", json!({"a": 1})),
        (&alone, "millrace.context.extra", json!(null)),
        (&both, "nemo.experiment.id", json!("x")),
        (&both, "nemo.test_case.id", json!(null)),
        (&both, "nemo.evaluation.id", json!("e")),
        (
            &both,
            "millrace.context.extra",
            json!({"experiment_context": {"more": 1}, "evaluation_context": {"test_case_id": "t"}}),
        ),
        (&renamed, "nemo.experiment.id", json!("e")),
        (&renamed, "nemo.test_case.id", json!("t")),
        (&renamed, "millrace.context.extra", json!(null)),
    ] {
        assert_eq!(seen.get(key).cloned().unwrap_or_default(), want, "{key}");
    }
}

#[test]
fn what_is_too_large_is_cut_and_said() {
    let limits = Limits { max_value_bytes: 10, max_inline_media_bytes: 2 };
    let sender = Sender { options: ParseOptions { limits, ..SENDER.options }, ..SENDER };
    let content = json!(["ééééééé", {"type": "image_url", "image_url": "data:image/png;base64,AAEC"}]);
    let mut body = with(json!({"session_id": "0123456789ab"}));
    body["request"]["messages"] = json!([{"role": "user", "content": content}]);
    let seen = sender.accepts(&body).attributes;
    let parts = &seen["gen_ai.input.messages"][0]["parts"];
    assert_eq!(parts[0]["content"], "ééééé…[4 bytes cut by millrace]");
    assert_eq!((&parts[1]["type"], &parts[1]["size"]), (&json!("uri"), &json!(3)));
    assert_eq!(seen["millrace.truncated"]["session.id"], 2);
    assert_eq!(seen["millrace.media.replaced"], json!({"gen_ai.input.messages": 1, "RawRequest": 1}));
}

/// Any JSON, with the names the codec looks for more often than chance would have them.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "request",
            "response",
            "messages",
            "model",
            "role",
            "content",
            "choices",
            "message",
            "delta",
            "error",
            "usage",
            "tool_calls",
            "function",
            "arguments",
            "index",
            "type",
            "text",
            "image_url",
            "url",
            "audio",
            "data",
            "id",
            "finish_reason",
            "reasoning",
            "created",
            "cost",
            "prompt_tokens_details",
            "cached_tokens",
            "trace_id",
            "tags",
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["user", "text", "data: {}", "data:image/png;base64,AA", "{\"a\":1}", "[DONE]"])
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_refused_or_converted_and_always_to_the_same_ids(
        whole in any_json(), request in any_json(), messages in any_json(), response in any_json(), message in any_json(),
    ) {
        let mut body = with(json!({"request": request}));
        let _whatever = SENDER.send(whole.to_string().as_bytes());
        let _whatever = SENDER.send(body.to_string().as_bytes());
        for (messages, response) in [
            (messages, response.clone()),
            (json!([{"role": "user", "content": message}]), json!({"choices": [{"message": message}], "usage": response})),
            (json!([message]), json!([{"choices": [{"delta": message}]}, response])),
        ] {
            body["request"] = json!({"model": "m", "messages": messages});
            body["response"] = response;
            let text = body.to_string();
            prop_assert_eq!(SENDER.send(text.as_bytes()), SENDER.send(text.as_bytes()));
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _whatever = SENDER.send(&bytes);
    }

    #[test]
    fn a_stream_cut_anywhere_is_the_response_it_streamed(
        reasoning in "[a-zé]{1,12}", content in "[a-z😀\"\\\\]{1,12}", arguments in "[a-z\":{}]{1,12}",
        cuts in prop::collection::vec(0_usize..12, 0..6), as_text: bool,
    ) {
        let call = |arguments: &str| json!([{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]);
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7});
        let message = json!({"role": "assistant", "content": content, "reasoning_content": reasoning, "tool_calls": call(&arguments)});
        let whole = json!({"id": "r", "model": "m", "created": 1790000000, "usage": usage, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
        let mut deltas = vec![json!({"role": "assistant", "content": ""})];
        deltas.extend(pieces(&reasoning, &cuts).into_iter().map(|piece| json!({"reasoning_content": piece})));
        deltas.extend(pieces(&content, &cuts).into_iter().map(|piece| json!({"content": piece})));
        deltas.extend(pieces(&arguments, &cuts).into_iter().map(|piece| json!({"tool_calls": call(&piece)})));
        let frame = |choices: Value| json!({"id": "r", "object": "chat.completion.chunk", "model": "m", "created": 1790000000, "choices": choices});
        let mut chunks: Vec<Value> = deltas.into_iter().map(|delta| frame(json!([{"index": 0, "delta": delta, "finish_reason": null}]))).collect();
        chunks.push(frame(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}])));
        let mut last = frame(json!([]));
        last["usage"] = usage;
        chunks.push(last);
        let lines: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        let stream = if as_text { json!(lines) } else { json!(chunks) };
        let mut streamed = SENDER.accepts(&with(json!({"response": stream}))).attributes;
        prop_assert_eq!(streamed.as_object_mut().unwrap().remove("gen_ai.request.stream"), Some(json!(true)));
        let unstreamed = SENDER.accepts(&with(json!({"response": whole}))).attributes;
        prop_assert_eq!(streamed, unstreamed);
    }
}

/// A text cut into pieces at some of its characters.
fn pieces(text: &str, cuts: &[usize]) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for (at, character) in text.chars().enumerate() {
        if cuts.contains(&at) {
            pieces.push(String::new());
        }
        pieces.last_mut().unwrap().push(character);
    }
    pieces
}

#[test]
fn hostile_shapes_take_no_more_than_their_size() {
    let members =
        |prefix: &str, count: usize| -> Value { (0..count).map(|i| (format!("{prefix}{i}"), json!(i))).collect() };
    let mut choice = members("a", 40_000);
    choice["message"] = members("b", 40_000);
    let mut tool = members("c", 40_000);
    tool["type"] = json!("function");
    tool["function"] = members("d", 40_000);
    let delta = |i: usize| json!({"choices": [{"index": i, "delta": {format!("k{i}"): "v", "tool_calls": [{"index": i, "id": i.to_string()}]}}]});
    let mut body = with(json!({"response": (0..10_000).map(delta).collect::<Value>()}));
    body["request"] = json!({"model": "m", "messages": [members("e", 40_000)], "tools": [tool]});
    body["request"]["messages"][0]["role"] = json!("user");
    let assert_linear = |body: &Value| {
        let bytes = body.to_string().len() as u64;
        let (_, steps) = steps::of(|| SENDER.accepts(body));
        // what grows with the square takes 10,000 times as many
        assert!((bytes / 4..100 * bytes).contains(&steps), "{steps} steps for {bytes} bytes");
    };
    assert_linear(&body);
    body["response"] = json!({"choices": [choice], "usage": members("f", 40_000)});
    assert_linear(&body);
}

/// A form that calls arrive in, and what of it counts.
struct Form {
    /// Gives span id and fingerprint.
    read: fn(&Value) -> (String, u64),
    whole: fn() -> Value,
    /// Places whose value says which call it is, each with another value.
    counts: &'static [(&'static str, &'static str)],
    /// Places whose value is merely said about it.
    said: &'static [(&'static str, &'static str)],
}

const FORMS: [Form; 3] = [
    Form {
        read: |body| {
            let seen = SENDER.accepts(body);
            (seen.span, seen.fingerprint)
        },
        whole: || {
            json!({
                "request": {"model": "m", "messages": [{"role": "user", "content": "a"}], "temperature": 0.5},
                "response": {"id": "r", "choices": [{"message": {"content": "b"}}], "usage": {"prompt_tokens": 1}},
                "trace_id": "t", "session_id": "s", "parent_span_id": "00f067aa0ba902b7", "started_at": 1_790_000_000,
                "ended_at": 1_790_000_002, "first_token_at": 1_790_000_001, "provider": "openai", "user_id": "u",
                "service_name": "x", "tags": ["a"], "cost_usd": 1, "cost_details": {"tax": 1},
                "experiment_context": {"experiment_id": "e", "test_case_id": "c"},
                "evaluation_context": {"evaluation_sha": "f", "evaluation_run_id": "g", "metadata": {"a": 1}},
            })
        },
        counts: &[
            ("/request/messages/0/content", "\"b\""),
            ("/request/temperature", "0.6"),
            ("/response/id", "\"q\""),
            ("/response/usage/prompt_tokens", "2"),
            ("/trace_id", "\"v\""),
            ("/session_id", "\"v\""),
            ("/parent_span_id", "\"00f067aa0ba902b8\""),
            ("/started_at", "1789999999"),
            ("/ended_at", "1790000003"),
            ("/first_token_at", "1790000001.5"),
            ("/experiment_context/experiment_id", "\"v\""),
            ("/experiment_context/test_case_id", "\"v\""),
            ("/evaluation_context/evaluation_sha", "\"v\""),
            ("/evaluation_context/evaluation_run_id", "\"v\""),
        ],
        said: &[
            ("/provider", "\"azure\""),
            ("/user_id", "\"v\""),
            ("/service_name", "\"v\""),
            ("/tags", "[\"b\"]"),
            ("/cost_usd", "2"),
            ("/cost_details/tax", "2"),
            ("/evaluation_context/metadata/a", "2"),
        ],
    },
    Form {
        read: |record| {
            let record = record.to_string();
            let body = Body::of_record(record.as_bytes()).unwrap();
            of_record(&litellm::read(&body, &ParseOptions::default()).unwrap())
        },
        whole: || {
            json!({
                "call_type": "acompletion", "model": "m", "messages": [{"role": "user", "content": "a"}],
                "model_parameters": {"temperature": 0.5}, "response": {"id": "r", "choices": []}, "status": "success",
                "startTime": 1_790_000_000.5, "endTime": 1_790_000_002, "completionStartTime": 1_790_000_001, "stream": true,
                "trace_id": "t", "session_id": "s", "response_cost": 1e-6, "end_user": "u", "request_tags": ["a"],
                "custom_llm_provider": "openai", "cost_breakdown": {"output_cost": 1e-6}, "hidden_params": {"a": 1},
            })
        },
        counts: &[
            ("/call_type", "\"completion\""),
            ("/model", "\"n\""),
            ("/messages/0/content", "\"b\""),
            ("/model_parameters/temperature", "0.6"),
            ("/response/id", "\"q\""),
            ("/status", "\"failure\""),
            ("/startTime", "1790000000.25"),
            ("/endTime", "1790000003"),
            ("/completionStartTime", "1790000001.5"),
            ("/trace_id", "\"v\""),
            ("/session_id", "\"v\""),
        ],
        said: &[
            ("/response_cost", "2e-6"),
            ("/end_user", "\"v\""),
            ("/request_tags", "[\"b\"]"),
            ("/custom_llm_provider", "\"azure\""),
            ("/cost_breakdown/output_cost", "2e-6"),
            ("/hidden_params/a", "2"),
        ],
    },
    Form {
        read: |log| {
            let log = log.to_string();
            let body = Body::of_record(log.as_bytes()).unwrap();
            of_record(&helicone::read(&body, &[], &ParseOptions::default()).unwrap())
        },
        whole: || {
            json!({
                "providerRequest": {"url": "u", "json": {"model": "m", "messages": [{"role": "user", "content": "a"}]},
                    "meta": {"session_id": "s", "user_id": "u", "color": "red", "trace_id": "t"}},
                "providerResponse": {"json": {"id": "r", "choices": []}, "status": 200, "headers": {"a": "b"}},
                "timing": {"startTime": {"seconds": 1_790_000_000, "milliseconds": 5},
                    "endTime": {"seconds": 1_790_000_002, "milliseconds": 0}, "timeToFirstToken": 100},
                "provider": "OPENAI",
            })
        },
        counts: &[
            ("/providerRequest/json/messages/0/content", "\"b\""),
            ("/providerResponse/json/id", "\"q\""),
            ("/providerResponse/status", "201"),
            ("/timing/startTime/milliseconds", "6"),
            ("/timing/endTime/seconds", "1790000003"),
            ("/timing/timeToFirstToken", "101"),
            ("/providerRequest/meta/session_id", "\"v\""),
            ("/providerRequest/meta/trace_id", "\"v\""),
        ],
        said: &[
            ("/providerRequest/meta/user_id", "\"v\""),
            ("/providerRequest/meta/color", "\"blue\""),
            ("/providerRequest/url", "\"v\""),
            ("/providerResponse/headers/a", "\"c\""),
            ("/provider", "\"AZURE\""),
        ],
    },
];

fn of_record(capture: &Capture<'_>) -> (String, u64) {
    let workspace = Workspace::default();
    let context = Context { workspace: &workspace, received_at: now(), traceparent: None, idempotency_key: None };
    let span = chat::convert(capture, &context).unwrap();
    (span.span_id.to_string(), span.fingerprint)
}

/// A body with other values in these places; members in the opposite order if wished.
fn changed<'c>(
    whole: &Value,
    changes: impl IntoIterator<Item = &'c (&'static str, &'static str)>,
    turned: bool,
) -> Value {
    let mut body = whole.clone();
    for (place, value) in changes {
        *body.pointer_mut(place).unwrap() = serde_json::from_str(value).unwrap();
    }
    if turned { turn(&body) } else { body }
}

fn turn(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().rev().map(|(key, value)| (key.clone(), turn(value))).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn each_value_that_counts_is_another_call_whatever_else_is_said(
        form in 0..FORMS.len(), counting in any::<prop::sample::Index>(), said in any::<u8>(), before in any::<u8>(), turned in any::<bool>(),
    ) {
        let form = &FORMS[form];
        let whole = (form.whole)();
        let of = |mask: u8| form.said.iter().enumerate().filter(move |(at, _)| mask >> at & 1 == 1).map(|(_, change)| change);
        let (one, other) = (changed(&whole, of(before), false), changed(&whole, of(said), turned));
        let (one, other) = ((form.read)(&one), (form.read)(&other));
        prop_assert_eq!(&one.0, &other.0);
        let is_same_report = of(before).map(|(place, _)| *place).eq(of(said).map(|(place, _)| *place));
        prop_assert_eq!(one.1 == other.1, is_same_report);
        let counting = counting.get(form.counts);
        let another = (form.read)(&changed(&whole, of(said).chain([counting]), turned));
        prop_assert!(another.0 != one.0 && another.1 != one.1, "{:?}", counting);
    }
}
