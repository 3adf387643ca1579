//! Scores and experiments on two shards of two replicas: what was written through one node is read through each, also while one is away.

use serde_json::{Value, json};

use super::load::millrace;
use super::nodes::{Cluster, is_possible};
use super::succeeds;
use support::{Service, http, wait_until};

/// Enough that each shard has some.
const SESSIONS: usize = 24;

pub(super) fn at(service: &Service, path: &str) -> String {
    service.http(&format!("/apis/intake/v2/workspaces/default/{path}"))
}

pub(super) fn post(service: &Service, path: &str, body: &Value) -> Value {
    let answer = http::post_json(&at(service, path), body);
    assert_eq!(answer.status, 201, "{path} {body}: {}", answer.text());
    answer.json()
}

/// Waits until each Millrace answers a question with what is wanted.
#[track_caller]
pub(super) fn becomes(both: &[Service; 2], path: &str, what: impl Fn(&Value) -> Value, want: &Value) {
    wait_until(&format!("{path} has {want}"), || {
        let told = both.each_ref().map(|service| http::get(&at(service, path)));
        told.iter().all(|answer| answer.status == 200 && what(&answer.json()) == *want).then_some(())
    });
}

pub(super) fn total(page: &Value) -> Value {
    page["pagination"]["total_results"].clone()
}

/// A call that was run for an experiment, and a score of it.
fn run(service: &Service, experiment: &str, session: &str, (cost, score): (f64, f64)) {
    let call = json!({"request": {"model": "m", "messages": [{"role": "user", "content": session}]},
        "response": {"id": session, "model": "m", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}},
        "cost_usd": cost, "session_id": session, "experiment_context": {"experiment_id": experiment, "test_case_id": "c"}});
    let answer = http::post_json(&service.chat("default"), &call);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let result = json!({"span_id": answer.json()["span_id"], "session_id": session, "name": "acc", "data_type": "NUMERIC", "value": score});
    post(service, "evaluator-results", &result);
}

#[test]
fn scores_and_experiments_are_the_same_through_each_node() {
    if !is_possible() {
        return;
    }
    let mut cluster = Cluster::start(2, 2);
    succeeds(&cluster.schema("apply", 0, ""));
    let both = [millrace(&cluster, 0, ""), millrace(&cluster, 2, "")];
    let mut notes = Vec::new();
    for number in 0..SESSIONS {
        let (one, other) = (&both[number % 2], &both[(number + 1) % 2]);
        let session = format!("s{number}");
        notes.push(post(one, "annotations", &json!({"session_id": session, "kind": "note", "text": "n"})));
        let result = |value: f64| json!({"session_id": session, "span_id": "a", "name": "q", "data_type": "NUMERIC", "value": value});
        post(one, "evaluator-results", &result(0.25));
        // the second takes the place of the first, whichever Millrace wrote it
        post(other, "evaluator-results", &result(0.75));
    }
    becomes(&both, "annotations", total, &json!(SESSIONS));
    becomes(&both, "evaluator-results?filter[name]=q", total, &json!(SESSIONS));
    becomes(&both, "evaluator-results?filter[name]=q&filter[value][$gte]=0.5", total, &json!(SESSIONS));
    for table in ["genai_annotations_local", "genai_evaluator_results_local"] {
        let rows = cluster.each(&format!("SELECT count() AS rows FROM {table}"));
        assert!(rows.iter().all(|rows| rows[0]["rows"].as_u64() > Some(0)), "{table}: each shard has rows: {rows:?}");
    }
    let id = notes[0]["annotation_id"].as_str().unwrap();
    assert_eq!(http::send("DELETE", &at(&both[1], &format!("annotations/{id}")), &[], b"").status, 204);
    becomes(&both, "annotations", total, &json!(SESSIONS - 1));

    let group = post(&both[0], "experiment-groups", &json!({"name": "g"}))["id"].clone();
    becomes(&both, "experiment-groups", total, &json!(1));
    let body = |name: &str| json!({"name": name, "dataset_name": "ds", "experiment_group_id": group});
    let base = post(&both[1], "experiments", &body("base"))["id"].clone();
    becomes(&both, "experiments", total, &json!(1));
    let mut derived = body("e");
    derived["parent_evaluation_id"] = base;
    post(&both[0], "evaluations", &derived);
    becomes(&both, "experiments", total, &json!(2));
    for number in 0..SESSIONS / 2 {
        run(&both[number % 2], "base", &format!("base{number}"), (0.5, 0.25));
        run(&both[number % 2], "e", &format!("e{number}"), (0.25, 0.75));
    }
    // sessions, their calls and their scores are on different shards
    let figures =
        |one: &Value| json!([one["run_count"], one["cost_usd"]["sum"], one["aggregate_scores"]["acc"]["mean"]]);
    let runs = SESSIONS / 2;
    becomes(&both, "experiments/e", figures, &json!([runs, 0.25 * 12.0, 0.75]));
    becomes(&both, "evaluations/base", figures, &json!([runs, 0.5, 0.25]));
    becomes(&both, "experiments/e/sessions?sort=-cost_total_usd", total, &json!(runs));
    let compared = |one: &Value| {
        let case = &one["test_cases"][0];
        json!([one["cost_usd"]["mean"]["difference"], case["run_count"], case["scores"]["acc"]["mean"]["difference"]])
    };
    let want = json!([-0.25, {"value": runs, "baseline": runs}, 0.5]);
    becomes(&both, "evaluations/e/comparison", compared, &want);

    // with a replica away all goes on, and when it is back it has the same
    cluster.kill(3);
    post(&both[0], "annotations", &json!({"session_id": "late", "kind": "note", "text": "n"}));
    becomes(&both, "annotations", total, &json!(SESSIONS));
    becomes(&both, "evaluations/e/comparison", compared, &want);
    cluster.start_node(3);
    wait_until("each replica has the same scores", || {
        let rows = cluster.each("SELECT count() AS rows FROM genai_annotations FINAL WHERE IsDeleted = 0");
        rows.iter().all(|rows| rows[0]["rows"] == SESSIONS).then_some(())
    });
}
