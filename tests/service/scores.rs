//! Annotations, evaluator results and experiments: what is answered is there, at once and after everything; and what sessions come to.

use millrace::time::Clock;
use serde_json::{Value, json};
use support::http::{Answer, get, post_json, send};
use support::proxy::{Fault, Proxy};
use support::wire::{Span, request_of, span, string_attribute};
use support::{Engine, Options, Service, wait_until};

fn at(service: &Service, path: &str) -> String {
    service.http(&format!("/apis/intake/v2/workspaces/w/{path}"))
}

fn post(service: &Service, path: &str, body: &Value) -> Value {
    let answer = post_json(&at(service, path), body);
    assert_eq!(answer.status, 201, "{path} {body}: {}", answer.text());
    answer.json()
}

fn with(method: &str, service: &Service, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    send(method, &at(service, path), &headers, body.to_string().as_bytes())
}

fn ask(service: &Service, path: &str) -> Value {
    let answer = get(&at(service, path));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn detail(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["detail"].clone())
}

fn note(session: &str, text: &str) -> Value {
    json!({"session_id": session, "kind": "note", "text": text})
}

fn ids(page: &Value, name: &str) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_annotation_is_read_as_soon_as_it_is_answered_and_is_gone_once_it_is_deleted() {
    let service = Service::start();
    let label =
        json!({"session_id": "s", "span_id": "a2", "kind": "label", "value_type": "numeric", "value": 3, "name": "n"});
    let made = [
        post(&service, "annotations", &note("s", "it's 'fine' ?")),
        post(&service, "annotations", &label),
        post(
            &service,
            "annotations",
            &json!({"session_id": "t", "kind": "metadata", "metadata": {"b": {"a": 1}, "a": 2}}),
        ),
        post(&service, "annotations", &json!({"session_id": "s", "kind": "feedback", "value": "negative"})),
    ];
    let mut listed = ask(&service, "annotations?sort=created_at")["data"].as_array().unwrap().clone();
    assert_eq!(listed, made, "each as it was answered");
    listed.reverse();
    assert_eq!(ask(&service, "annotations")["data"], Value::from(listed));
    let id = made[0]["annotation_id"].as_str().unwrap();
    assert_eq!(ask(&service, &format!("annotations/{id}")), made[0]);

    for (filter, rows) in [
        ("filter[session_id]=s", 3),
        ("filter[kind]=label&filter[span_id]=a2", 1),
        ("filter[value_numeric][$gte]=3&filter[value_numeric][$lte]=3", 1),
        ("filter[value_text]=negative", 1),
        ("filter[session_id]=s'%20OR%201=1%20--", 0),
        ("filter=session_id:\"t\" OR value_text:\"negative\"", 2),
        ("filter[created_at][$gte]=2100-01-01", 0),
        ("page=3&page_size=2", 0),
    ] {
        let page = ask(&service, &format!("annotations?{}", filter.replace(' ', "%20").replace('"', "%22")));
        assert_eq!(page["data"].as_array().map(Vec::len), Some(rows), "{filter}: {page}");
    }

    // another workspace sees nothing of it
    let elsewhere = service.http(&format!("/apis/intake/v2/workspaces/v/annotations/{id}"));
    assert_eq!(detail(&get(&elsewhere)), (404, json!(format!("Annotation v/{id} not found"))));
    assert_eq!(send("DELETE", &elsewhere, &[], b"").status, 404);

    let one = at(&service, &format!("annotations/{id}"));
    let deleted = send("DELETE", &one, &[], b"");
    assert_eq!((deleted.status, deleted.header("content-type")), (204, "application/json"));
    let gone = (404, json!(format!("Annotation w/{id} not found")));
    assert_eq!(detail(&get(&one)), gone);
    assert_eq!(detail(&send("DELETE", &one, &[], b"")), gone);
    assert_eq!(ask(&service, "annotations")["pagination"]["total_results"], 3);
    let sql = service.sql();
    let kept =
        "SELECT groupArray(Name) AS names FROM (SELECT Name FROM genai_scores WHERE Workspace = 'w' ORDER BY Name)";
    assert_eq!(sql.rows(kept, &[]), [json!({"names": ["feedback", "metadata", "n"]})]);
}

#[test]
fn a_result_takes_the_place_of_the_one_of_its_name_and_span() {
    let service = Service::start();
    let result = |name: &str, more: Value| {
        let mut body = json!({"span_id": "a2", "session_id": "s", "name": name});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post(&service, "evaluator-results", &body)
    };
    let first = result("q", json!({"data_type": "NUMERIC", "value": 0.5}));
    let second = result("q", json!({"data_type": "NUMERIC", "value": 0.7, "comment": "again"}));
    assert_eq!(first["evaluator_result_id"], second["evaluator_result_id"]);
    let text = result("t", json!({"data_type": "TEXT", "string_value": ""}));
    let flag = result("ok", json!({"data_type": "BOOLEAN", "value": 1}));
    assert_eq!(ask(&service, "spans/a2/evaluator-results"), json!([second, text, flag]));
    assert_eq!(get(&at(&service, "spans/b/evaluator-results")).json(), json!([]));
    assert_eq!(ask(&service, "evaluator-results?sort=value")["data"], json!([second, flag, text]));
    assert_eq!(ask(&service, "evaluator-results?sort=-value")["data"], json!([flag, second, text]));
    let id = second["evaluator_result_id"].as_str().unwrap();
    assert_eq!(ask(&service, &format!("evaluator-results/{id}")), second);

    let headers = [("x-millrace-user", "anna")];
    let signed = json!({"span_id": "b", "session_id": "s", "name": "q", "data_type": "NUMERIC", "value": 1});
    let answer = send("POST", &at(&service, "evaluator-results"), &headers, signed.to_string().as_bytes());
    assert_eq!((answer.status, &answer.json()["created_by"]), (201, &json!("anna")));
    let hers = ask(&service, "evaluator-results?filter[created_by]=anna");
    assert_eq!(ids(&hers, "span_id"), ["b"]);
    assert_eq!(service.metric("millrace_scores_pending"), Some(0.0));
    assert_eq!(service.metric("millrace_scores_stored_total"), Some(5.0));
}

#[test]
fn what_cannot_be_taken_is_refused_in_the_references_form_and_counted() {
    let service = Service::start();
    let refused = [
        ("annotations", json!({"session_id": "s", "kind": "nope"}), "union_tag_invalid"),
        (
            "evaluator-results",
            json!({"span_id": "a", "session_id": "s", "name": "n", "data_type": "TEXT"}),
            "value_error",
        ),
        ("experiments", json!([]), "model_attributes_type"),
        ("experiment-groups", json!({"name": "g", "foo": 1}), "extra_forbidden"),
    ];
    for (path, body, kind) in refused {
        let (status, detail) = detail(&post_json(&at(&service, path), &body));
        assert_eq!((status, &detail[0]["type"]), (422, &json!(kind)), "{path}: {detail}");
    }
    assert_eq!(service.metric("millrace_scores_rejected_total"), Some(2.0), "of annotations and results");
    for (path, want) in [
        ("annotations?foo=1&bar=2", "Unsupported query parameter(s): bar, foo"),
        (
            "annotations?filter[value_numeric][$like]=3",
            "Filter field 'value_numeric' takes $eq, $gt, $gte, $lt, $lte, $in and $nin, not $like.",
        ),
        ("experiments?sort=cost_usd.bogus", "Unsupported sort field: cost_usd.bogus"),
        (
            "evaluator-results?filter[data_type]=boolean",
            "Filter field 'data_type' must be one of: NUMERIC, CATEGORICAL, BOOLEAN, TEXT",
        ),
    ] {
        assert_eq!(detail(&get(&at(&service, path))), (400, json!(want)), "{path}");
    }
}

#[test]
fn scores_are_taken_while_clickhouse_is_away_and_are_there_when_it_is_back() {
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Pass);
    let options = Options { clickhouse_url: Some(proxy.url()), ..Options::default() };
    let mut service = Service::start_with(options);
    let before = post(&service, "annotations", &note("s", "before"));
    proxy.set(Fault::Refuse);
    let meanwhile = post(&service, "annotations", &note("s", "meanwhile"));
    let body = json!({"span_id": "a", "session_id": "s", "name": "n", "data_type": "NUMERIC", "value": 1});
    let result = post(&service, "evaluator-results", &body);
    assert_eq!(get(&at(&service, "annotations")).status, 503);
    // what depends on what is stored cannot be decided, so it is not acknowledged
    let deleted = format!("annotations/{}", before["annotation_id"].as_str().unwrap());
    let deleted = with("DELETE", &service, &deleted, &json!({}));
    assert_eq!(deleted.status, 503, "nobody can say whether it is there: {}", deleted.text());
    let called = post_json(
        &service.chat("w"),
        &json!({
            "request": {"model": "m", "messages": []}, "response": {"choices": []}, "experiment_context": {"experiment_id": "e"}
        }),
    );
    assert_eq!(called.status, 201, "nobody can say whether the experiment is there: {}", called.text());

    // a crash loses nothing
    service.kill();
    proxy.set(Fault::Pass);
    service.start_again();
    let all = wait_until("all scores are there", || {
        let page = get(&at(&service, "annotations?sort=created_at"));
        (page.status == 200 && page.json()["data"].as_array()?.len() == 2).then(|| page.json()["data"].clone())
    });
    assert_eq!(all, json!([before, meanwhile]));
    wait_until("the result is there", || {
        (get(&at(&service, "evaluator-results")).json()["data"] == json!([result])).then_some(())
    });
}

#[test]
fn experiments_are_taken_while_clickhouse_is_away_and_are_there_once_when_it_is_back() {
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Pass);
    let options = Options { clickhouse_url: Some(proxy.url()), ..Options::default() };
    let mut service = Service::start_with(options);
    let (known, old) = (post(&service, "experiment-groups", &json!({"name": "known"})), json!({"name": "old"}));
    let stored = post(&service, "experiment-groups", &old);
    // the tables may not have been there yet
    wait_until("both are in ClickHouse", || {
        let page = get(&at(&service, "experiment-groups"));
        (page.status == 200 && ids(&page.json(), "name").len() == 2).then_some(())
    });
    // another process does not know it
    service.kill();
    service.start_again();
    let is_seen = || (get(&at(&service, "experiment-groups/known")).status == 200).then_some(());
    wait_until("ClickHouse is reached again", is_seen);
    proxy.set(Fault::Refuse);
    let groups = at(&service, "experiment-groups");
    let taken = post_json(&groups, &json!({"name": "known"}));
    assert_eq!(taken.status, 409, "its name is known to be in use: {}", taken.text());
    let group = post(&service, "experiment-groups", &json!({"name": "g", "description": "meanwhile"}));
    assert_eq!(post_json(&groups, &json!({"name": "g"})).status, 409, "it is on disk");
    let second = post(&service, "experiment-groups", &old);
    let made = experiment(&service, &group, "e");
    let in_known = experiment(&service, &known, "f");
    for (method, path) in
        [("PUT", "experiment-groups/known"), ("DELETE", "experiment-groups/known"), ("POST", "experiments/e/pin")]
    {
        let refused = with(method, &service, path, &json!({"name": "known"}));
        assert_eq!(refused.status, 503, "{method} {path}: nobody can say what it comes to: {}", refused.text());
    }

    // a crash loses nothing, and a second start with ClickHouse away neither
    service.kill();
    service.start_again();
    assert_eq!(post_json(&groups_of(&service), &json!({"name": "g"})).status, 409, "it is still on disk");
    service.kill();
    proxy.set(Fault::Pass);
    service.start_again();
    wait_until("the experiments are there", || {
        let page = get(&at(&service, "experiments?sort=name"));
        (page.status == 200 && page.json()["data"].as_array()?.len() == 2).then_some(())
    });
    assert_eq!(ask(&service, "experiments/e"), made);
    assert_eq!(ask(&service, "experiments/f")["id"], in_known["id"]);
    let there = ask(&service, "experiment-groups/g");
    assert_eq!(
        (&there["id"], &there["description"], &there["experiment_count"]),
        (&group["id"], &json!("meanwhile"), &json!(1))
    );
    // what had the name keeps it, and what was acknowledged is not lost
    assert_eq!(ask(&service, "experiment-groups/old")["id"], stored["id"]);
    let all = ask(&service, "experiment-groups?sort=name");
    let names = ids(&all, "name");
    assert!(names.len() == 4 && names[3].starts_with("old@"), "{names:?}");
    assert_eq!(all["data"][3]["id"], second["id"]);
    let waiting = std::fs::read_dir(service.data_dir().join("experiments")).unwrap().count();
    assert_eq!(waiting, 0, "nothing waits any more");
    assert_eq!(with("DELETE", &service, "experiment-groups/g", &json!({})).status, 204);
    assert_eq!(ids(&ask(&service, "experiments"), "name"), ["f"]);
}

/// The experiments `changed`, `deleted` and `stored` of a group, which ClickHouse has.
fn three_stored(service: &Service) -> Value {
    let group = post(service, "experiment-groups", &json!({"name": "g"}));
    for name in ["changed", "deleted", "stored"] {
        experiment(service, &group, name);
    }
    wait_until("all is in ClickHouse", || {
        (service.metric("millrace_experiments_waiting") == Some(0.0)
            && get(&at(service, "experiment-groups/g")).status == 200)
            .then_some(())
    });
    group
}

/// Whether ClickHouse takes rows of experiments and groups.
fn take_rows(engine: &Engine, takes: bool) {
    for table in ["genai_experiments", "genai_experiment_groups"] {
        let change = if takes { "DROP CONSTRAINT nothing" } else { "ADD CONSTRAINT nothing CHECK Name = ''" };
        engine.sql("otel").rows(&format!("ALTER TABLE {table} {change}"), &[]);
    }
}

/// ClickHouse answers questions, and refuses what it is given of experiments.
#[test]
fn what_waits_on_disk_is_there_for_calls_by_name_and_in_every_list() {
    let engine = Engine::start();
    let service = Service::start_with(Options { clickhouse_url: Some(engine.url()), ..Options::default() });
    let group = three_stored(&service);
    take_rows(&engine, false);
    let made = experiment(&service, &group, "e");
    assert_eq!(service.metric("millrace_experiments_waiting"), Some(1.0));
    let named = |name: &str| log(&service, name, ("s", "c"), 0.5).status;
    assert_eq!((named("e"), named("other")), (201, 400), "a call may name what waits, and nothing else");
    assert_eq!(ask(&service, "experiments/e")["id"], made["id"]);
    let taken = json!({"name": "e", "experiment_group_id": group["id"], "dataset_name": "ds"});
    assert_eq!(post_json(&at(&service, "experiments"), &taken).status, 409);
    let second = post(&service, "experiment-groups", &json!({"name": "h", "metadata": {"it's": "\"\\\n\u{fc}?"}}));
    assert_eq!(with("DELETE", &service, "experiments/deleted", &json!({})).status, 204);
    let described =
        json!({"name": "changed", "experiment_group_id": group["id"], "dataset_name": "ds", "description": "new"});
    assert_eq!(with("PUT", &service, "experiments/changed", &described).status, 200);
    assert_eq!(with("POST", &service, "experiments/e/pin", &json!({})).status, 200);

    let lists = || {
        let said = |path: &str| ids(&ask(&service, path), "name");
        [
            said("experiments?sort=name"),
            said("experiments?sort=-name&page=2&page_size=2"),
            said("evaluations?cursor="),
            said("experiments?filter[is_pinned]=true"),
            said(&format!("experiments?sort=name&filter[experiment_group_id]={}", group["id"].as_str().unwrap())),
            said("experiment-groups?sort=name"),
            said("experiment-groups?sort=-name&cursor=&page_size=1"),
        ]
    };
    let there = lists();
    let want: [&[&str]; 7] = [
        &["changed", "e", "stored"],
        &["changed"],
        &["e", "stored", "changed"],
        &["e"],
        &["changed", "e", "stored"],
        &["g", "h"],
        &["h"],
    ];
    assert_eq!(there, want.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()));
    let gone = &ask(&service, "experiments?filter[is_deleted]=true")["data"];
    assert!(gone[0]["name"].as_str().unwrap().starts_with("deleted"), "{gone}");
    let rows = || [ask(&service, "experiments?sort=name"), ask(&service, "experiment-groups?sort=name")];
    let (before, groups) = (rows(), &rows()[1]["data"]);
    assert_eq!(before[0]["data"][0]["description"], "new");
    assert_eq!((&groups[0]["experiment_count"], &groups[1]["id"]), (&json!(3), &second["id"]));
    assert_eq!(ask(&service, "experiment-groups/g")["experiment_count"], 3);
    let deleted = with("DELETE", &service, "experiment-groups/g", &json!({}));
    assert_eq!(deleted.status, 503, "its experiment would be left: {}", deleted.text());
    let elsewhere = get(&service.http("/apis/intake/v2/workspaces/other/experiments"));
    assert_eq!(elsewhere.json()["data"], json!([]), "nothing waits in another workspace");
    // more than is sent along with a question
    let long = "x".repeat(100_000);
    post(&service, "experiment-groups", &json!({"name": "i", "description": long}));
    let refused = get(&at(&service, "experiment-groups"));
    assert_eq!(refused.status, 503, "it would leave out what was acknowledged: {}", refused.text());

    take_rows(&engine, true);
    wait_until("all is stored", || (service.metric("millrace_experiments_waiting") == Some(0.0)).then_some(()));
    let after = ask(&service, "experiments?sort=name");
    assert_eq!(after, before[0], "what was read before is what is stored");
    assert_eq!(ids(&ask(&service, "experiment-groups?sort=name"), "name"), ["g", "h", "i"]);
    assert_eq!(ask(&service, "experiment-groups/h"), before[1]["data"][1]);
}

fn groups_of(service: &Service) -> String {
    at(service, "experiment-groups")
}

/// Logs a call for an experiment.
fn log(service: &Service, experiment: &str, (session, case): (&str, &str), cost: f64) -> Answer {
    post_json(
        &service.chat("w"),
        &json!({
            "request": {"model": "m", "messages": [{"role": "user", "content": session}]},
            "response": {"id": session, "model": "m-1", "choices": [],
                         "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}},
            "cost_usd": cost, "session_id": session,
            "experiment_context": {"experiment_id": experiment, "test_case_id": case},
        }),
    )
}

fn experiment(service: &Service, group: &Value, name: &str) -> Value {
    post(service, "experiments", &json!({"name": name, "experiment_group_id": group["id"], "dataset_name": "ds"}))
}

#[test]
fn experiments_have_names_groups_and_states() {
    let service = Service::start();
    let group = post(&service, "experiment-groups", &json!({"name": "g1", "description": "d"}));
    let again = post_json(&at(&service, "experiment-groups"), &json!({"name": "g1"}));
    assert_eq!(detail(&again), (409, json!("Experiment group 'w/g1' already exists.")));
    let e1 = experiment(&service, &group, "e1");
    let e2 = experiment(&service, &group, "e2");
    let body = |name: &str, group: &Value, dataset: &str| json!({"name": name, "experiment_group_id": group, "dataset_name": dataset});
    let taken = post_json(&at(&service, "experiments"), &body("e1", &group["id"], "ds"));
    assert_eq!(detail(&taken), (409, json!("Experiment 'w/e1' already exists.")));
    let homeless = post_json(&at(&service, "experiments"), &body("e3", &json!("none"), "ds"));
    let want = "ExperimentGroup 'none' must be created before an Experiment can reference it.";
    assert_eq!(detail(&homeless), (400, json!(want)));
    assert_eq!(ask(&service, "experiment-groups/g1")["experiment_count"], 2);
    assert_eq!(ids(&ask(&service, "experiments"), "name"), ["e2", "e1"], "the newest first");
    assert_eq!(ask(&service, "evaluations/e1")["id"], e1["id"], "by the name of later releases");

    let pinned = with("POST", &service, "experiments/e2/pin", &json!({})).json();
    assert!(pinned["pinned_at"].is_string());
    assert_eq!(ids(&ask(&service, "experiments?filter[is_pinned]=true"), "name"), ["e2"]);
    assert_eq!(ids(&ask(&service, "experiments?filter[is_pinned]=false"), "name"), ["e1"]);
    assert_eq!(ids(&ask(&service, "experiments?sort=pinned_at"), "name"), ["e2", "e1"], "what has none comes last");
    assert_eq!(with("DELETE", &service, "experiments/e2/pin", &json!({})).json()["pinned_at"], Value::Null);

    let mut changed = body("e2", &group["id"], "ds");
    changed["description"] = "new".into();
    let put = with("PUT", &service, "experiments/e2", &changed).json();
    assert_eq!((&put["description"], &put["id"], &put["created_at"]), (&json!("new"), &e2["id"], &e2["created_at"]));
    let fixed = with("PUT", &service, "experiments/e2", &body("other", &group["id"], "x"));
    let want = "Cannot change immutable field(s) ['name', 'dataset_name'] on an existing experiment; create a new experiment instead.";
    assert_eq!(detail(&fixed), (409, json!(want)));

    assert_eq!(with("DELETE", &service, "experiments/e2", &json!({})).status, 204);
    assert_eq!(detail(&get(&at(&service, "experiments/e2"))), (404, json!("Experiment 'w/e2' not found.")));
    let renamed = ids(&ask(&service, "experiments?filter[is_deleted]=true"), "name");
    assert!(renamed.len() == 1 && renamed[0].starts_with("e2-deleted-"), "{renamed:?}");
    assert_ne!(experiment(&service, &group, "e2")["id"], e2["id"], "its name is free");

    assert_eq!(with("DELETE", &service, "experiment-groups/g1", &json!({})).status, 204);
    assert_eq!(ask(&service, "experiments")["data"], json!([]), "they go with their group");
    let late = post_json(&at(&service, "experiments"), &body("e4", &group["id"], "ds"));
    assert_eq!(late.status, 400, "{}", late.text());
    let names = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| post_json(&at(&service, "experiment-groups"), &json!({"name": "one"})).status))
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(names.iter().filter(|status| **status == 201).count(), 1, "{names:?}");
}

/// An agent that says what it is for, of 1,500.9 ms, and a call whose session is its trace.
fn send_sessions_by_otlp(service: &Service) {
    let started = u64::try_from(Clock::System.now().nanos()).unwrap();
    let attributes = [
        ("nemo.experiment.id", "e"),
        ("nemo.test_case.id", "c3"),
        ("session.id", "s3"),
        ("gen_ai.agent.name", "coder"),
        ("gen_ai.operation.name", "invoke_agent"),
    ];
    let mut agent = Span { start_time_unix_nano: started, end_time_unix_nano: started + 1_500_900_000, ..span(7) };
    agent.attributes.extend(attributes.map(|(key, value)| string_attribute(key, value.to_owned())));
    let headers = [("content-type", "application/x-protobuf"), ("x-millrace-workspace", "w")];
    assert_eq!(send("POST", &service.http("/v1/traces"), &headers, &request_of(vec![agent])).status, 200);

    let call = [
        ("nemo.experiment.id", "e"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "m-2"),
        ("gen_ai.usage.input_tokens", "5"),
    ];
    let mut alone = Span { start_time_unix_nano: started, end_time_unix_nano: started + 2_000_000, ..span(8) };
    alone.attributes.extend(call.map(|(key, value)| string_attribute(key, value.to_owned())));
    assert_eq!(send("POST", &service.http("/v1/traces"), &headers, &request_of(vec![alone])).status, 200);
}

#[test]
fn what_the_sessions_of_an_experiment_come_to_is_what_was_logged() {
    let service = Service::start();
    let first = log(&service, "before", ("earlier", "c1"), 0.1);
    assert_eq!(first.status, 201, "nobody has experiments in this workspace: {}", first.text());
    let group = post(&service, "experiment-groups", &json!({"name": "g"}));
    let refused = log(&service, "e", ("s0", "c1"), 0.1);
    assert_eq!(detail(&refused), (400, json!("Experiment 'e' must be created before it can be logged.")));
    experiment(&service, &group, "e");
    experiment(&service, &group, "other");
    for (number, (case, cost)) in [("c1", 0.1), ("c1", 0.3), ("c2", 0.6)].into_iter().enumerate() {
        let session = format!("s{number}");
        let answer = log(&service, "e", (&session, case), cost);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let half = f64::from(u8::try_from(number).unwrap()) / 2.0;
        let score = json!({"span_id": answer.json()["span_id"], "session_id": session, "name": "acc",
                           "data_type": "NUMERIC", "value": half});
        post(&service, "evaluator-results", &score);
    }
    send_sessions_by_otlp(&service);
    let answer = wait_until("all sessions are counted", || {
        let answer = ask(&service, "experiments/e");
        (answer["run_count"] == 5 && answer["model_names"] == json!(["m-1", "m-2"]) && answer["cost_usd"]["count"] == 3)
            .then_some(answer)
    });
    let cost = json!({"sum": 1.0, "mean": 1.0 / 3.0, "median": 0.3, "p90": 0.6, "p95": 0.6, "p99": 0.6, "count": 3});
    let score = json!({"sum": 1.5, "mean": 0.5, "median": 0.5, "p90": 1.0, "p95": 1.0, "p99": 1.0, "count": 3});
    assert_eq!(answer["cost_usd"], cost);
    assert_eq!(answer["aggregate_scores"], json!({"acc": score}));
    assert_eq!((&answer["latency_ms"]["sum"], &answer["latency_ms"]["count"]), (&json!(1502.0), &json!(2)));
    assert_eq!(answer["agent_names"], json!(["coder"]));
    for sort in ["-cost_usd.mean", "-evaluators.acc.p90", "run_count", "-run_count"] {
        let names = ids(&ask(&service, &format!("experiments?sort={sort}")), "name");
        assert_eq!(names[0], if sort == "run_count" { "other" } else { "e" }, "{sort}");
    }

    let sessions = ask(&service, "experiments/e/sessions");
    assert_eq!(sessions["pagination"]["total_results"], 5);
    let row = |name: &str| {
        let rows = sessions["data"].as_array().unwrap();
        rows.iter().find(|row| row["session_id"] == name).unwrap().clone()
    };
    let (of_pair, of_agent) = (row("s1"), row("s3"));
    assert_eq!(
        [&of_pair["cost_total_usd"], &of_pair["input_tokens"], &of_pair["test_case_id"], &of_pair["evaluator_scores"]],
        [&json!(0.3), &json!(10), &json!("c1"), &json!({"acc": 0.5})]
    );
    assert!(of_pair["input"].as_str().unwrap().contains("s1"), "{of_pair}");
    assert_eq!((&of_agent["latency_ms"], &of_agent["cost_total_usd"]), (&json!(1500.0), &Value::Null));
    let of_trace = row(&format!("session-{}", "08".repeat(16)));
    assert_eq!((&of_trace["input_tokens"], &of_trace["test_case_id"]), (&json!(5), &Value::Null));
    assert_eq!(ids(&ask(&service, "experiments/e/sessions?filter[test_case_id]=c2"), "session_id"), ["s2"]);
    assert_eq!(ask(&service, "experiments/e/sessions?filter[status]=error")["data"], json!([]));
    let bad = get(&at(&service, "experiments/e/sessions?filter[status]=bad"));
    let want = "Invalid status 'bad'. Valid values: ['success', 'error', 'cancelled', 'unknown']";
    assert_eq!(detail(&bad), (400, json!(want)));

    assert_eq!(with("DELETE", &service, "experiments/e", &json!({})).status, 204);
    assert_eq!(log(&service, "e", ("s9", "c1"), 0.1).status, 400, "what was deleted is logged no more");
}

#[test]
fn the_calls_below_a_span_that_names_an_experiment_count_for_it_whatever_names_their_session() {
    let service = Service::start();
    let group = post(&service, "experiment-groups", &json!({"name": "g"}));
    experiment(&service, &group, "e");
    let began = u64::try_from(Clock::System.now().nanos()).unwrap();
    let at = |trace: u8, id: u8, parent: u8, attributes: &[(&str, &str)]| {
        let (start, parent) = (began + u64::from(id), if parent == 0 { vec![] } else { vec![parent; 8] });
        let times = Span { start_time_unix_nano: start, end_time_unix_nano: start + 2_000_000, ..span(trace) };
        let mut span = Span { span_id: vec![id; 8], parent_span_id: parent, ..times };
        span.attributes.extend(attributes.iter().map(|(key, value)| string_attribute(key, (*value).to_owned())));
        span
    };
    let call = |trace: u8, id: u8, parent: u8, tokens: &str| {
        let model =
            [("gen_ai.operation.name", "chat"), ("gen_ai.request.model", "m"), ("gen_ai.usage.input_tokens", tokens)];
        at(trace, id, parent, &model)
    };
    let named = ("nemo.experiment.id", "e");
    let spans = vec![
        // the session is made of the trace, although something below the root names one
        at(7, 1, 0, &[named]),
        at(7, 2, 1, &[("session.id", "inner")]),
        call(7, 3, 2, "5"),
        call(7, 4, 1, "7"),
        at(8, 1, 0, &[named, ("session.id", "s")]),
        call(8, 2, 1, "11"),
        // of nobody's experiment
        at(9, 1, 0, &[("session.id", "inner")]),
        call(9, 2, 1, "13"),
    ];
    let headers = [("content-type", "application/x-protobuf"), ("x-millrace-workspace", "w")];
    assert_eq!(send("POST", &service.http("/v1/traces"), &headers, &request_of(spans)).status, 200);
    wait_until("all calls are counted", || {
        (ask(&service, "experiments/e")["tokens"]["sum"] == json!(23.0)).then_some(())
    });
    let of_trace = format!("session-{}", "07".repeat(16));
    let sessions = ask(&service, "evaluations/e/sessions?sort=-tokens");
    let said = |at: usize| (sessions["data"][at]["session_id"].clone(), sessions["data"][at]["input_tokens"].clone());
    assert_eq!([said(0), said(1)], [(json!(of_trace), json!(12)), (json!("s"), json!(11))], "{sessions}");
}

/// Logs a call for an experiment, and gives it the score `acc` if there is one.
fn run(service: &Service, experiment: &str, (session, case): (&str, &str), cost: f64, score: Option<f64>) {
    let answer = log(service, experiment, (session, case), cost);
    assert_eq!(answer.status, 201, "{}", answer.text());
    if let Some(value) = score {
        let span = answer.json()["span_id"].clone();
        let body =
            json!({"span_id": span, "session_id": session, "name": "acc", "data_type": "NUMERIC", "value": value});
        post(service, "evaluator-results", &body);
    }
}

/// Three sessions of the evaluation `e`, two of one test case, of which one has a score and one none.
fn three_sessions(service: &Service) {
    run(service, "e", ("s0", "c1"), 0.1, Some(0.0));
    run(service, "e", ("s1", "c1"), 0.3, None);
    run(service, "e", ("s2", "c2"), 0.6, Some(1.0));
}

#[test]
fn an_evaluation_of_the_next_release_has_groups_an_origin_and_figures_by_test_case() {
    let service = Service::start();
    let group = |name: &str| post(&service, "experiment-groups", &json!({"name": name}))["id"].clone();
    let (g, h) = (group("g"), group("h"));
    let plain = ask(&service, "experiment-groups/g");
    let axes = json!({"x_metric": "cost_usd", "y_metric": "latency_ms"});
    assert_eq!((&plain["pareto"], &plain["default_sort"]), (&axes, &json!("-created_at")));
    let say = json!({"name": "g", "insight_id": "i", "summary": "s", "metadata": {"k": "v"}, "default_sort": "-evaluators.acc.mean,name",
                     "pareto": {"y_metric": "evaluators.acc"}});
    let said = with("PUT", &service, "experiment-groups/g", &say).json();
    assert_eq!((&said["summary"], &said["pareto"]["y_metric"]), (&json!("s"), &json!("evaluators.acc")));
    let wrong = with("PUT", &service, "experiment-groups/g", &json!({"name": "g", "default_sort": "colour"}));
    assert_eq!(detail(&wrong), (400, json!("Unsupported sort field: colour")));
    assert_eq!(ids(&ask(&service, "experiment-groups?filter[metadata.k]=v&filter[insight_id]=i"), "name"), ["g"]);

    let make = |name: &str, more: Value| {
        let mut body = json!({"name": name, "dataset_name": "ds"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post(&service, "evaluations", &body)
    };
    let base = make("base", json!({"experiment_ids": [g, h], "metadata": {"k": "v"}}));
    let e = make("e", json!({"experiment_group_id": h, "parent_evaluation_id": base["id"], "status": "running"}));
    assert_eq!((&e["experiment_ids"], &e["parent_experiment_id"]), (&json!([h]), &base["id"]));
    let lost = json!({"name": "x", "dataset_name": "ds", "experiment_ids": [h], "parent_evaluation_id": "nobody"});
    let want = "parent_evaluation_id 'nobody' does not reference an existing evaluation.";
    assert_eq!(detail(&post_json(&at(&service, "evaluations"), &lost)), (400, json!(want)));
    let of_group = format!("evaluations?filter[experiment_group_id]={}", h.as_str().unwrap());
    assert_eq!(ids(&ask(&service, &of_group), "name"), ["e", "base"]);
    assert_eq!(ask(&service, "experiment-groups/h")["evaluation_count"], 2);
    let patched = with("PATCH", &service, "evaluations/e", &json!({"status": "done", "root_cause": "r"})).json();
    assert_eq!(
        [&patched["status"], &patched["root_cause"], &patched["experiment_ids"]],
        [&json!("done"), &json!("r"), &json!([h])]
    );
    // a client of 0.2.0 does not know of these, and takes none of them away
    let old = json!({"name": "e", "experiment_group_id": h, "dataset_name": "ds", "description": "d"});
    assert_eq!(with("PUT", &service, "experiments/e", &old).json()["status"], "done");
    let old = json!({"name": "base", "experiment_group_id": h, "dataset_name": "ds", "metadata": {"k": "v"}});
    assert_eq!(with("PUT", &service, "experiments/base", &old).json()["experiment_ids"], json!([g, h]));

    three_sessions(&service);
    let answer = wait_until("all sessions are counted", || {
        let answer = ask(&service, "evaluations/e");
        (answer["run_count"] == 3 && answer["cost_usd"]["sum"] == 0.8).then_some(answer)
    });
    assert_eq!((&answer["test_case_count"], &answer["tokens"]["mean"]), (&json!(2), &json!(12.0)));
    assert_eq!((&answer["cost_usd"]["mean"], &answer["cost_usd"]["count"]), (&json!(0.4), &json!(2)));
    let score = json!({"sum": 1.0, "mean": 0.5, "median": 1.0, "p90": 1.0, "p95": 1.0, "p99": 1.0, "count": 2});
    assert_eq!(answer["aggregate_scores"]["acc"], score, "a session without a score counts as 0");
    for (query, names) in [
        ("filter[cost_usd.mean][$gte]=0.4", vec!["e"]),
        ("filter[cost_usd.mean][$lt]=0.4", vec![]),
        ("filter[run_count]=0&filter[metadata.k]=v", vec!["base"]),
        ("filter[status][$in]=done,failed", vec!["e"]),
        ("sort=-run_count,name", vec!["e", "base"]),
        ("sort=evaluators.acc.mean,-name", vec!["e", "base"]),
    ] {
        assert_eq!(ids(&ask(&service, &format!("evaluations?{query}")), "name"), names, "{query}");
    }
    for (query, sessions) in [
        ("sort=-cost_total_usd", ["s2", "s1", "s0"]),
        ("sort=-test_case_id,tokens,-cost_total_usd&mode=summary", ["s2", "s1", "s0"]),
        ("sort=cost_total_usd", ["s0", "s1", "s2"]),
    ] {
        assert_eq!(ids(&ask(&service, &format!("evaluations/e/sessions?{query}")), "session_id"), sessions, "{query}");
    }
    assert_eq!(ask(&service, "evaluations/e/sessions?mode=summary")["data"][0]["input"], Value::Null);
    cursors_walk_the_sessions_of_an_experiment(&service);

    // what has another group outlives one
    assert_eq!(with("DELETE", &service, "experiment-groups/h", &json!({})).status, 204);
    assert_eq!(ids(&ask(&service, "evaluations"), "name"), ["base"]);
    assert_eq!(ask(&service, "evaluations/base")["experiment_ids"], json!([g]));
}

/// Of `e`: by cursor each session comes once, in the same order, whatever is sorted by; one may have no cost, or no end.
fn cursors_walk_the_sessions_of_an_experiment(service: &Service) {
    for sort in
        ["started_at", "-cost_total_usd", "cost_total_usd,-tokens", "-test_case_id,tokens", "ended_at", "latency_ms"]
    {
        let whole = ids(&ask(service, &format!("evaluations/e/sessions?sort={sort}")), "session_id");
        let (mut walked, mut cursor) = (Vec::new(), Some(String::new()));
        while let Some(at) = cursor {
            let page = ask(service, &format!("evaluations/e/sessions?sort={sort}&page_size=1&cursor={at}"));
            walked.extend(ids(&page, "session_id"));
            cursor = page["next_cursor"].as_str().map(str::to_owned);
        }
        assert_eq!(walked, whole, "{sort}");
    }
}

#[test]
fn an_experiment_is_compared_with_a_baseline_as_a_whole_and_by_test_case() {
    let service = Service::start();
    let group = post(&service, "experiment-groups", &json!({"name": "g"}));
    let base = experiment(&service, &group, "base");
    let body =
        json!({"name": "e", "dataset_name": "ds", "experiment_ids": [group["id"]], "parent_evaluation_id": base["id"]});
    post(&service, "evaluations", &body);
    run(&service, "base", ("t0", "c1"), 0.5, Some(0.5));
    run(&service, "base", ("t1", "c3"), 0.25, None);
    run(&service, "e", ("s0", "c1"), 0.25, Some(0.0));
    run(&service, "e", ("s1", "c1"), 0.75, None);
    run(&service, "e", ("s2", "c2"), 1.0, Some(1.0));
    let compared = wait_until("all calls are counted", || {
        let compared = ask(&service, "evaluations/e/comparison");
        // what the cases come to is asked after the whole
        let whole = &compared["cost_usd"]["mean"];
        let is_whole = (&whole["value"], &whole["baseline"]) == (&json!(0.75), &json!(0.375));
        (is_whole && compared["experiment"]["run_count"] == 3).then_some(compared)
    });
    let beside = |value: Option<f64>, baseline: Option<f64>| {
        let difference = value.zip(baseline).map(|(value, baseline)| value - baseline);
        json!({"value": value, "baseline": baseline, "difference": difference})
    };
    assert_eq!(
        (&compared["experiment"]["name"], &compared["experiment"]["test_case_count"], &compared["baseline"]["id"]),
        (&json!("e"), &json!(2), &base["id"])
    );
    // the whole is over test cases: what ran twice does not weigh more
    let cost = json!({"mean": beside(Some(0.75), Some(0.375)), "median": beside(Some(1.0), Some(0.5)),
        "p90": beside(Some(1.0), Some(0.5)), "count": {"value": 2, "baseline": 2}});
    assert_eq!(compared["cost_usd"], cost);
    assert_eq!(
        compared["scores"]["acc"]["mean"],
        beside(Some(0.5), Some(0.25)),
        "a session without a score counts as 0"
    );
    assert_eq!((&compared["latency_ms"], &compared["is_complete"]), (&Value::Null, &json!(true)));
    // a test case is over its sessions
    let c1 = case_of(&compared, "c1");
    assert_eq!(c1["run_count"], json!({"value": 2, "baseline": 1}));
    assert_eq!(
        (&c1["cost_usd"]["mean"], &c1["cost_usd"]["p90"]),
        (&beside(Some(0.5), Some(0.5)), &beside(Some(0.75), Some(0.5)))
    );
    assert_eq!(c1["scores"]["acc"]["mean"], beside(Some(0.0), Some(0.5)));
    let (c2, c3) = (case_of(&compared, "c2"), case_of(&compared, "c3"));
    assert_eq!(
        (&c2["cost_usd"]["mean"], &c2["scores"]["acc"]["mean"]),
        (&beside(Some(1.0), None), &beside(Some(1.0), None))
    );
    assert_eq!(
        (&c3["tokens"]["median"], &c3["scores"]["acc"]["mean"]),
        (&beside(None, Some(12.0)), &beside(None, Some(0.0)))
    );
    assert_eq!(ask(&service, "experiments/e/comparison?baseline=base"), compared, "whichever name the path has");
    let mut pages = vec![ask(&service, "evaluations/e/comparison?page_size=2&cursor=")];
    while let Some(next) = pages[pages.len() - 1]["next_cursor"].as_str() {
        pages.push(ask(&service, &format!("evaluations/e/comparison?page_size=2&cursor={next}")));
    }
    let cases: Vec<&Value> = pages.iter().flat_map(|page| page["test_cases"].as_array().unwrap()).collect();
    assert_eq!((pages.len(), json!(cases)), (2, compared["test_cases"].clone()), "page by page it is the same");
    let first = pages[0]["next_cursor"].as_str().unwrap();
    let other = get(&at(&service, &format!("evaluations/base/comparison?baseline=e&cursor={first}")));
    assert_eq!(other.status, 400, "the cursor is of another comparison");
    let turned = ask(&service, "experiments/base/comparison?baseline=e");
    assert_eq!(turned["cost_usd"]["mean"], beside(Some(0.375), Some(0.75)));
    what_cannot_be_compared_is_said(&service);
}

/// Of `e`, which derives from `base`: the base is gone afterwards.
fn what_cannot_be_compared_is_said(service: &Service) {
    for (path, status, want) in [
        ("evaluations/e/comparison?baseline=none", 404, "Evaluation 'w/none' not found."),
        ("experiments/none/comparison?baseline=e", 404, "Experiment 'w/none' not found."),
        (
            "evaluations/e/comparison?baseline=e",
            400,
            "'baseline' must be another evaluation than the one that is compared with it.",
        ),
        (
            "experiments/base/comparison",
            400,
            "'baseline' is missing, and this experiment is derived from none that it could be compared with.",
        ),
        ("experiments/e/comparison?sort=name", 400, "Unsupported query parameter(s): sort"),
    ] {
        assert_eq!(detail(&get(&at(service, path))), (status, json!(want)), "{path}");
    }
    assert_eq!(with("DELETE", service, "experiments/base", &json!({})).status, 204);
    assert_eq!(get(&at(service, "evaluations/e/comparison")).status, 400, "what was deleted is no baseline");
}

/// What a comparison says of a test case.
fn case_of(compared: &Value, name: &str) -> Value {
    let cases = compared["test_cases"].as_array().unwrap();
    cases.iter().find(|case| case["test_case_id"] == name).cloned().unwrap_or_default()
}

#[test]
fn an_experiment_comes_to_the_same_in_a_list_as_alone() {
    const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;
    let service = Service::start_with(Options { ack: Some("stored"), ..Options::default() });
    let group = post(&service, "experiment-groups", &json!({"name": "g"}));
    experiment(&service, &group, "new");
    experiment(&service, &group, "old");
    let sql = service.sql();
    // the older one was made twenty days ago, so its calls may be older than those of the newer one
    let made = format!(
        "INSERT INTO genai_experiments SELECT * REPLACE (CreatedAt - toIntervalMicrosecond({}) AS CreatedAt, Version + 1000000 AS Version) \
         FROM genai_experiments WHERE Name = 'old'",
        20 * DAY_MICROS
    );
    sql.rows(&made, &[]);
    let now = Clock::System.now().nanos();
    let call = |number: u8, days: i64, attributes: &[(&str, &str)]| {
        let began = u64::try_from(now - days * DAY_MICROS * 1_000).unwrap();
        let mut call = Span { start_time_unix_nano: began, end_time_unix_nano: began + 2_000_000, ..span(number) };
        let usual =
            [("gen_ai.operation.name", "chat"), ("gen_ai.request.model", "m"), ("gen_ai.usage.input_tokens", "5")];
        let all = usual.iter().chain(attributes);
        call.attributes.extend(all.map(|(key, value)| string_attribute(key, (*value).to_owned())));
        call
    };
    let case = |experiment: &'static str| [("nemo.experiment.id", experiment), ("nemo.test_case.id", "c")];
    let of = |experiment: &'static str, session: &'static str| {
        [case(experiment).as_slice(), &[("session.id", session)]].concat()
    };
    let calls = vec![
        call(1, 1, &of("new", "s1")),
        // of its session, and of another one that names it, too long before it was made
        call(2, 40, &[("session.id", "s1")]),
        call(3, 40, &of("new", "s2")),
        call(4, 40, &of("old", "s3")),
    ];
    let headers = [("content-type", "application/x-protobuf"), ("x-millrace-workspace", "w")];
    assert_eq!(send("POST", &service.http("/v1/traces"), &headers, &request_of(calls)).status, 200);
    sql.becomes("SELECT count() AS calls FROM genai_calls", &[], &[json!({"calls": 4})]);
    for path in ["experiments", "evaluations"] {
        let alone = ["new", "old"].map(|name| ask(&service, &format!("{path}/{name}")));
        let listed = ask(&service, &format!("{path}?sort=name"));
        assert_eq!(listed["data"], json!(alone), "{path}");
        let told = alone.map(|one| (one["run_count"].clone(), one["tokens"]["sum"].clone()));
        assert_eq!(told, [(json!(1), json!(5.0)), (json!(1), json!(5.0))], "{path}");
    }
}

#[test]
fn cursors_walk_lists_of_scores_once_while_scores_arrive() {
    let service = Service::start();
    let group = post(&service, "experiment-groups", &json!({"name": "m0"}));
    for number in 1..9 {
        post(&service, "experiment-groups", &json!({"name": format!("m{number}")}));
        experiment(&service, &group, &format!("e{number}"));
        post(&service, "annotations", &note("s", &format!("note {number}")));
        let mut body = json!({"span_id": format!("{number:x}"), "session_id": "s", "name": "n"});
        let value = if number % 3 == 0 {
            json!({"data_type": "TEXT", "string_value": "t"})
        } else {
            json!({"data_type": "NUMERIC", "value": f64::from(number / 2) / 10.0})
        };
        body.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        post(&service, "evaluator-results", &body);
    }
    let mut later = 0;
    for (list, id) in [
        ("annotations?sort=-created_at", "annotation_id"),
        ("evaluator-results?sort=-created_at", "evaluator_result_id"),
        ("evaluator-results?sort=value", "evaluator_result_id"),
        ("evaluator-results?sort=-value", "evaluator_result_id"),
        ("experiment-groups?sort=-name", "name"),
        ("experiment-groups?sort=-updated_at", "name"),
        ("experiments?sort=-created_at", "name"),
        ("evaluations?sort=-run_count,pinned_at,-name", "name"),
        ("evaluations?filter[dataset_name]=ds", "name"),
    ] {
        let before = ids(&ask(&service, &format!("{list}&page_size=1000")), id);
        let (mut walked, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ask(&service, &format!("{list}&page_size=3&cursor={cursor}"));
            assert!(page["pagination"].get("total_results").is_none(), "nothing is counted: {page}");
            walked.extend(ids(&page, id));
            later += 1;
            post(&service, "annotations", &note("s", "later"));
            post(&service, "experiment-groups", &json!({"name": format!("z{later}")}));
            experiment(&service, &group, &format!("z{later}"));
            let body = json!({"span_id": format!("f{later:x}"), "session_id": "s", "name": "n", "data_type": "NUMERIC", "value": 0.2});
            post(&service, "evaluator-results", &body);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
            assert!(walked.len() < 1_000, "{list}");
        }
        let known: Vec<_> = walked.iter().filter(|id| before.contains(id)).cloned().collect();
        assert_eq!(known, before, "{list}");
        let mut once = walked.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), walked.len(), "{list}: none twice");
    }
    let next = ask(&service, "annotations?page_size=1&cursor=")["next_cursor"].as_str().unwrap().to_owned();
    let other = get(&at(&service, &format!("evaluator-results?cursor={next}")));
    assert_eq!(detail(&other), (400, json!("The cursor belongs to another list, sort or filter")));
    assert_eq!(detail(&get(&at(&service, "experiments?cursor=x"))), (400, json!("Invalid cursor")));
}

#[test]
fn an_evaluation_that_is_reported_as_a_log_event_is_a_result_of_its_span() {
    let service = Service::start();
    let event = |at: u64, attributes: Value| {
        let attributes = attributes.as_object().unwrap().iter();
        let attributes: Vec<Value> = attributes.map(|(key, value)| json!({"key": key, "value": value})).collect();
        json!({"timeUnixNano": at.to_string(), "eventName": "gen_ai.evaluation.result", "traceId": "0a".repeat(16),
               "spanId": "0b".repeat(8), "attributes": attributes})
    };
    let now = u64::try_from(Clock::System.now().nanos()).unwrap();
    let name = json!({"stringValue": "faithful"});
    let records = [
        event(now, json!({"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": {"doubleValue": 0.25}})),
        event(
            now + 1_000_000,
            json!({"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": {"doubleValue": 0.75},
            "gen_ai.evaluation.explanation": {"stringValue": "because"}}),
        ),
        event(
            now,
            json!({"gen_ai.evaluation.name": {"stringValue": "tone"}, "session.id": {"stringValue": "s"},
            "gen_ai.evaluation.score.label": {"stringValue": "kind"}}),
        ),
        event(
            now,
            json!({"gen_ai.evaluation.name": {"stringValue": "failed"}, "error.type": {"stringValue": "timeout"}}),
        ),
    ];
    let body = json!({"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "judge"}}]},
                      "scopeLogs": [{"logRecords": records}]}]});
    let headers = [("content-type", "application/json"), ("x-millrace-workspace", "w"), ("x-millrace-ack", "stored")];
    for _again in 0..2 {
        assert_eq!(send("POST", &service.http("/v1/logs"), &headers, body.to_string().as_bytes()).status, 200);
    }
    let results = ask(&service, &format!("spans/{}/evaluator-results", "0b".repeat(8)));
    let told = |name: &str, member: &str| {
        let all = results.as_array().unwrap();
        all.iter().find(|result| result["name"] == name).unwrap()[member].clone()
    };
    assert_eq!(results.as_array().map(Vec::len), Some(2), "{results}");
    assert_eq!(told("faithful", "value"), 0.75, "the latest counts");
    assert_eq!((told("faithful", "comment"), told("faithful", "created_by")), (json!("because"), json!("judge")));
    assert_eq!(told("faithful", "session_id"), format!("session-{}", "0a".repeat(16)));
    assert_eq!((told("tone", "string_value"), told("tone", "data_type")), (json!("kind"), json!("CATEGORICAL")));
    assert_eq!(told("tone", "session_id"), "s");
    // they are log records as well
    service.sql().becomes("SELECT count() AS n FROM otel_logs", &[], &[json!({"n": 4})]);
}

#[test]
fn what_events_and_attributes_of_a_span_say_of_it_are_its_results() {
    let yaml = "redaction: { detectors: [email] }".to_owned();
    let service = Service::start_with(Options { yaml, ack: Some("stored"), ..Options::default() });
    let text = |text: &str| json!({"stringValue": text});
    let attribute = |(key, value): (&str, Value)| json!({"key": key, "value": value});
    let event = [
        ("gen_ai.evaluation.name", text("faithful")),
        ("gen_ai.evaluation.score.value", json!({"doubleValue": 0.75})),
        ("gen_ai.evaluation.explanation", text("as anna@example.com says")),
    ];
    let judged = [
        ("session.id", text("s")),
        ("evaluations.0.evaluation.name", text("correct")),
        ("evaluations.0.evaluation.score", json!({"intValue": "1"})),
        ("evaluations.0.evaluation.label", text("yes")),
        ("evaluations.1.evaluation.name", text("why")),
        ("evaluations.1.evaluation.explanation", text("because")),
        ("evaluations.2.evaluation.score", json!({"doubleValue": 0.5})),
        ("annotations.0.annotation.name", text("tone")),
        ("annotations.0.annotation.label", text("kind")),
    ];
    let now = u64::try_from(Clock::System.now().nanos()).unwrap();
    let span = |id: &str, attributes: Vec<Value>, events: Value| {
        json!({"traceId": "0a".repeat(16), "spanId": id.repeat(8), "name": "n", "kind": 1, "startTimeUnixNano": now.to_string(),
               "endTimeUnixNano": (now + 1_000).to_string(), "attributes": attributes, "events": events})
    };
    let events = json!([
        {"timeUnixNano": now.to_string(), "name": "gen_ai.evaluation.result", "attributes": event.map(attribute)},
        {"timeUnixNano": now.to_string(), "name": "gen_ai.evaluation.result", "attributes": []},
        {"timeUnixNano": now.to_string(), "name": "other", "attributes": []},
    ]);
    let spans = [span("0b", judged.into_iter().map(attribute).collect(), events), span("0c", Vec::new(), json!([]))];
    let body = json!({"resourceSpans": [{"resource": {"attributes": [attribute(("service.name", text("judge")))]},
                      "scopeSpans": [{"spans": spans}]}]});
    let headers = [("content-type", "application/json"), ("x-millrace-workspace", "w")];
    for _again in 0..2 {
        assert_eq!(send("POST", &service.http("/v1/traces"), &headers, body.to_string().as_bytes()).status, 200);
    }
    let results = ask(&service, "evaluator-results");
    let mut told: Vec<Value> = results["data"].as_array().unwrap().clone();
    told.sort_by_key(|result| result["name"].to_string());
    let names: Vec<&Value> = told.iter().map(|result| &result["name"]).collect();
    assert_eq!(names, ["correct", "faithful", "tone", "why"], "{results}");
    for result in &told {
        assert_eq!(
            [&result["span_id"], &result["session_id"], &result["created_by"]],
            [&json!("0b".repeat(8)), &json!("s"), &json!("judge")]
        );
    }
    let kinds: Vec<&Value> = told.iter().map(|result| &result["data_type"]).collect();
    assert_eq!(kinds, ["NUMERIC", "NUMERIC", "CATEGORICAL", "TEXT"]);
    assert_eq!((&told[0]["value"], &told[0]["string_value"]), (&json!(1.0), &json!("yes")));
    assert!(!told[1]["comment"].to_string().contains("anna@example.com"), "{}", told[1]);
    assert_eq!(told[3]["string_value"], "because");
    service.sql().becomes("SELECT count() AS n FROM otel_traces", &[], &[json!({"n": 2})]);
    let other = service.http("/apis/intake/v2/workspaces/v/evaluator-results");
    assert_eq!(get(&other).json()["data"], json!([]), "another workspace sees nothing of it");
}

#[test]
fn who_made_a_score_is_whom_the_header_names_or_else_whose_token_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.yaml");
    let token = crate::access::create(&file, "nightly-judge", "default", "ingest,read,admin");
    let yaml = format!("auth: {{ tokens_file: {} }}", file.display());
    let service = Service::start_with(support::Options { yaml, ..support::Options::default() });
    let url = service.http("/apis/intake/v2/workspaces/default/annotations");
    let bearer = format!("Bearer {token}");
    let long = "u".repeat(300);
    for (user, made_by) in
        [(None, "nightly-judge"), (Some("ann"), "ann"), (Some("  "), "nightly-judge"), (Some(&long), "nightly-judge")]
    {
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        headers.extend(user.map(|user| ("x-millrace-user", user)));
        let body = serde_json::json!({"session_id": "s", "kind": "note", "text": "x"}).to_string();
        let answer = support::http::send("POST", &url, &headers, body.as_bytes());
        assert_eq!(
            (answer.status, &answer.json()["created_by"]),
            (201, &serde_json::json!(made_by)),
            "{}",
            answer.text()
        );
    }
}
