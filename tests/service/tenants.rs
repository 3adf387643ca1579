//! Tenants beside each other: whatever one asks, with every field of searches and filters, no answer has anything of another.

use std::cell::Cell;
use std::sync::LazyLock;

use crate::access::create;
use millrace::time::Clock;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use support::http::{Answer, send};
use support::{Options, Service, wait_until};

const TENANTS: usize = 100;
const QUESTIONS: u32 = 500;
/// When the traces begin, in nanoseconds: an hour ago, as a search without a time looks back some days only.
static BEGIN: LazyLock<u64> = LazyLock::new(|| Clock::System.now().nanos().unsigned_abs() - 3_600 * SECOND);
const SECOND: u64 = 1_000_000_000;
/// Every tenant has a trace, spans and a session with these ids.
const TRACE: &str = "0102030405060708090a0b0c0d0e0f10";
const SPANS: [&str; 3] = ["00000000000000a1", "00000000000000a2", "00000000000000a3"];
const SESSION: &str = "shared";

const PATHS: [&str; 28] = [
    "/spans",
    "/spans/groups",
    "/spans/00000000000000a1",
    "/spans/00000000000000a2",
    "/spans/00000000000000a1/evaluator-results",
    "/traces",
    "/traces/histogram",
    "/traces/facets",
    "/traces/0102030405060708090a0b0c0d0e0f10",
    "/traces/0102030405060708090a0b0c0d0e0f10/tree",
    "/traces/0102030405060708090a0b0c0d0e0f10/cost",
    "/traces/0102030405060708090a0b0c0d0e0f10/conversation",
    "/traces/0102030405060708090a0b0c0d0e0f10/export",
    "/fields",
    "/values",
    "/metrics",
    "/sessions",
    "/sessions/shared",
    "/sessions/shared/conversation",
    "/users",
    "/annotations",
    "/evaluator-results",
    "/experiments",
    "/experiments/shared",
    "/experiments/shared/sessions",
    "/experiments/shared/comparison",
    "/evaluations/shared/comparison",
    "/experiment-groups",
];

const FIELDS: [&str; 19] = [
    "model",
    "provider",
    "status",
    "kind",
    "operation",
    "name",
    "service",
    "user",
    "session",
    "trace",
    "span",
    "parent",
    "agent",
    "tool",
    "error",
    "experiment",
    "test_case",
    "source",
    "attr.customer",
];

/// A text of this tenant that it may be asked for by others.
fn tag(tenant: usize) -> String {
    format!("tag{tenant:03}")
}

/// What stands in everything that a tenant has, and in no question.
fn secret(tenant: usize) -> String {
    format!("secret{tenant:03}")
}

/// A text that has both.
fn own(tenant: usize) -> String {
    format!("{} {}", tag(tenant), secret(tenant))
}

/// An agent with a call and a tool that failed.
fn trace(tenant: usize) -> Value {
    let own = own(tenant);
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let number = |key: &str, value: usize| json!({"key": key, "value": {"intValue": value.to_string()}});
    let message = json!([{"role": "user", "parts": [{"type": "text", "content": own}]}]).to_string();
    let common = [
        text("session.id", SESSION),
        text("user.id", &own),
        text("customer", &own),
        text("gen_ai.agent.name", &own),
        text("gen_ai.conversation.id", SESSION),
        text("nemo.experiment.id", "shared"),
        text("nemo.test_case.id", &own),
    ];
    let agent = vec![text("gen_ai.operation.name", "invoke_agent")];
    let call = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", &own),
        text("gen_ai.response.model", &own),
        number("gen_ai.usage.input_tokens", 1_000 + tenant),
        number("gen_ai.usage.output_tokens", 10),
        text("gen_ai.input.messages", &message),
        text("gen_ai.output.messages", &message),
    ];
    let tool = vec![text("gen_ai.operation.name", "execute_tool"), text("gen_ai.tool.name", &own)];
    let spans: Vec<Value> = [agent, call, tool]
        .into_iter()
        .zip(SPANS)
        .enumerate()
        .map(|(place, (attributes, id))| {
            let attributes = [attributes, common.to_vec()].concat();
            let start = *BEGIN + SECOND * u64::try_from(place).unwrap();
            json!({
                "traceId": TRACE, "spanId": id, "parentSpanId": if place == 0 { "" } else { SPANS[0] },
                "name": own, "kind": 1, "attributes": attributes,
                "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + SECOND).to_string(),
                "status": if place == 2 { json!({"code": 2, "message": own}) } else { json!({}) },
            })
        })
        .collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", &own)]},
        "scopeSpans": [{"spans": spans}],
    }]})
}

/// Tenants that have the same ids, each with a token of its own.
struct Tenants {
    service: Service,
    tokens: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Tenants {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.yaml");
        let name = |tenant: usize| format!("tenant{tenant:03}");
        let tokens = (0..TENANTS).map(|tenant| create(&file, &name(tenant), &name(tenant), "ingest,read")).collect();
        let yaml = format!("auth: {{ tokens_file: {} }}", file.display());
        let service = Service::start_with(Options { yaml, ..Options::default() });
        let tenants = Self { service, tokens, _folder: folder };
        for tenant in 0..TENANTS {
            tenants.fill(tenant);
        }
        for tenant in 0..TENANTS {
            wait_until("the call of each tenant is counted", || {
                let page = tenants.ask(tenant, "/traces", "q=tokens:%3E0").json();
                (page["pagination"]["total_results"] == 1).then_some(())
            });
        }
        tenants
    }

    fn fill(&self, tenant: usize) {
        // the workspace is the token's
        let sent = self.post_to(tenant, &self.service.http("/v1/traces"), &trace(tenant));
        assert_eq!(sent.status, 200, "{}", sent.text());
        let own = own(tenant);
        let score =
            json!({"span_id": SPANS[0], "session_id": SESSION, "name": own, "data_type": "NUMERIC", "value": 0.5});
        let said = json!({"span_id": SPANS[0], "session_id": SESSION, "kind": "note", "text": own});
        assert_eq!(self.post(tenant, "/evaluator-results", &score).status, 201);
        let said = self.post(tenant, "/annotations", &said);
        assert_eq!(said.status, 201, "{}", said.text());
        // an experiment and its baseline, which have the same names as those of the others
        let group = self.post(tenant, "/experiment-groups", &json!({"name": "g", "description": own})).json();
        let mut body = json!({"name": "base", "dataset_name": own, "experiment_ids": [group["id"]], "status": own});
        let base = self.post(tenant, "/evaluations", &body).json();
        (body["name"], body["parent_evaluation_id"]) = (json!("shared"), base["id"].clone());
        let made = self.post(tenant, "/evaluations", &body);
        assert_eq!(made.status, 201, "{}", made.text());
    }

    fn post(&self, tenant: usize, path: &str, body: &Value) -> Answer {
        self.post_to(tenant, &self.url(tenant, path, ""), body)
    }

    fn post_to(&self, tenant: usize, url: &str, body: &Value) -> Answer {
        let headers =
            [("content-type", "application/json"), ("authorization", &*format!("Bearer {}", self.tokens[tenant]))];
        send("POST", url, &headers, body.to_string().as_bytes())
    }

    fn ask(&self, tenant: usize, path: &str, query: &str) -> Answer {
        let bearer = format!("Bearer {}", self.tokens[tenant]);
        send("GET", &self.url(tenant, path, query), &[("authorization", &bearer)], b"")
    }

    fn url(&self, tenant: usize, path: &str, query: &str) -> String {
        self.service.http(&format!("/apis/intake/v2/workspaces/tenant{tenant:03}{path}?{query}"))
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A value that tells tenants apart, or one that all have, or one that would widen a statement into which it were written.
fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (0..TENANTS).prop_map(|tenant| format!("{}*", tag(tenant))),
        1 => (0..TENANTS).prop_map(|tenant| format!("tenant{tenant:03}")),
        1 => Just("*".to_owned()),
        1 => select(vec![SESSION, TRACE, SPANS[0], "openai", "chat", "error", "LLM"]).prop_map(str::to_owned),
        1 => select(vec![r"x') OR 1 = 1 --", r"\') OR Workspace != \'", "%", "_%", r"\"]).prop_map(|text| format!("{text:?}")),
    ]
}

fn terms() -> impl Strategy<Value = String> {
    let term = prop_oneof![
        4 => (select(FIELDS.to_vec()), values()).prop_map(|(field, value)| format!("{field}:{value}")),
        1 => (select(vec!["cost", "tokens", "duration", "started"]), select(vec![">0", ">=0s", ">2020-01-01"])).prop_map(|(field, than)| format!("{field}:{than}")),
        1 => select(vec!["has:error", "has:user", "has:score", "-has:cost"]).prop_map(str::to_owned),
        2 => (0..TENANTS).prop_map(tag),
    ];
    term.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} {b}")),
            inner.prop_map(|a| format!("-({a})")),
        ]
    })
}

/// A parameter, sound or not, for any of the paths.
fn parameters() -> impl Strategy<Value = String> {
    const FILTERED: [&str; 12] = [
        "session_id",
        "trace_id",
        "span_id",
        "kind",
        "model",
        "status",
        "name",
        "service_name",
        "user_id",
        "workspace",
        "agent_name",
        "provider",
    ];
    let like = |value: String| value.replace('*', "%");
    prop_oneof![
        4 => terms().prop_map(|q| format!("q={}", encoded(&q))),
        2 => (select(FILTERED.to_vec()), values()).prop_map(|(field, value)| format!("filter[{field}]={}", encoded(&value))),
        2 => (select(FILTERED.to_vec()), values()).prop_map(move |(field, value)| {
            format!("filter={}", encoded(&json!({"$or": [{field: {"$like": like(value)}}, {"kind": "LLM"}]}).to_string()))
        }),
        2 => select(FIELDS.to_vec()).prop_map(|field| format!("field={field}")),
        1 => select(FIELDS.to_vec()).prop_map(|field| format!("fields={field},model,user")),
        2 => select(vec!["model", "user", "session", "agent", "provider", "operation"]).prop_map(|by| format!("group_by={by}")),
        2 => select(vec!["page_size=100", "cursor=", "mode=detailed", "mode=summary", "show=sql", "format=md", "format=otlp", "sort=started_at"]).prop_map(str::to_owned),
        1 => (0..TENANTS).prop_map(|tenant| format!("workspace=tenant{tenant:03}")),
    ]
}

#[test]
fn whatever_a_tenant_asks_no_answer_has_anything_of_another() {
    let tenants = Tenants::start();
    let question = (0..TENANTS, select(PATHS.to_vec()), proptest::collection::vec(parameters(), 0..4));
    let config = Config { cases: QUESTIONS, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (answered, with_own) = (Cell::new(0), Cell::new(0));
    runner
        .run(&question, |(tenant, path, parameters)| {
            let answer = tenants.ask(tenant, path, &parameters.join("&"));
            let text = answer.text();
            prop_assert!(answer.status < 500, "{}: {text}", answer.status);
            for other in (0..TENANTS).filter(|other| *other != tenant) {
                prop_assert!(!text.contains(&secret(other)), "has what tenant {other} sent: {text}");
            }
            if answer.status == 200 {
                answered.set(answered.get() + 1);
                with_own.set(with_own.get() + u32::from(text.contains(&secret(tenant))));
                let page: Value = serde_json::from_str(&text).unwrap_or_default();
                let total = &page["pagination"]["total_results"];
                prop_assert!(total.as_u64().is_none_or(|total| total <= 3), "counts rows of others: {text}");
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    println!(
        "{QUESTIONS} questions, {} answered, {} of them with something of the one who asked",
        answered.get(),
        with_own.get()
    );
    assert!(with_own.get() > QUESTIONS / 10 && answered.get() > QUESTIONS / 4, "the questions find next to nothing");
    for tenant in 0..TENANTS {
        let other = (tenant + 1) % TENANTS;
        let url = tenants.url(other, "/traces", "");
        let bearer = format!("Bearer {}", tenants.tokens[tenant]);
        assert_eq!(send("GET", &url, &[("authorization", &bearer)], b"").status, 403);
    }
}
