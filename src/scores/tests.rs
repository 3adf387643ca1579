//! Bodies and what the reference says of them: cases as it answers them.

use super::check::{Invalid, TextOrNumber, parse};
use super::experiment::{Change, Changes, Groups};
use super::rows::{Stamp, of_annotation, of_result, to_microseconds};
use super::{Naming, Said, annotation, experiment, result};
use crate::columns::Group as _;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use serde_json::{Value, json};

fn errors<T>(read: Result<T, Invalid>) -> Value {
    read.err().expect("it is refused").to_json()["detail"].clone()
}

/// Type, place and message of each error.
fn brief(detail: &Value) -> Vec<(String, Value, String)> {
    let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
    detail.as_array().unwrap().iter().map(|e| (text(e, "type"), e["loc"].clone(), text(e, "msg"))).collect()
}

#[test]
fn annotations_of_each_kind_are_read() {
    let read = |body: Value| annotation::read(&body).unwrap();
    let feedback = read(json!({"session_id": "s", "kind": "feedback", "value": "negative", "span_id": "a2"}));
    assert_eq!((feedback.said, feedback.span_id.as_deref()), (Said::Feedback("negative"), Some("a2")));
    let note = read(json!({"session_id": "s", "kind": "note", "text": "n", "span_id": null}));
    assert_eq!((note.said, note.span_id), (Said::Note("n".into()), None));
    let label = |name: Option<&str>, value| Said::Label { name: name.map(str::to_owned), value };
    let numeric =
        read(json!({"session_id": "s", "kind": "label", "value_type": "numeric", "value": 3, "name": "score"}));
    assert_eq!(numeric.said, label(Some("score"), TextOrNumber::Number(3.0)));
    let text = read(json!({"session_id": "s", "kind": "label", "value_type": "text", "value": "x"}));
    assert_eq!(text.said, label(None, TextOrNumber::Text("x".into())));
    let metadata = read(json!({"session_id": "s", "kind": "metadata", "metadata": {"a": {"b": 1}}}));
    assert_eq!(metadata.said, Said::Metadata(json!({"a": {"b": 1}}).as_object().unwrap().clone()));
}

#[test]
fn what_is_wrong_with_an_annotation_is_said_in_the_references_words() {
    let up = json!({"session_id": "s", "kind": "feedback", "value": "up"});
    let expected = "'positive' or 'negative'";
    assert_eq!(
        errors(annotation::read(&up)),
        json!([{"type": "literal_error", "loc": ["body", "feedback", "value"],
                "msg": "Input should be 'positive' or 'negative'", "input": "up", "ctx": {"expected": expected}}])
    );
    let empty = json!({"session_id": "s", "kind": "note", "text": ""});
    assert_eq!(
        errors(annotation::read(&empty)),
        json!([{"type": "string_too_short", "loc": ["body", "note", "text"],
                "msg": "String should have at least 1 character", "input": "", "ctx": {"min_length": 1}}])
    );
    let nothing = json!({"session_id": "s", "kind": "metadata", "metadata": {}});
    assert_eq!(
        errors(annotation::read(&nothing)),
        json!([{"type": "too_short", "loc": ["body", "metadata", "metadata"],
                "msg": "Dictionary should have at least 1 item after validation, not 0", "input": {},
                "ctx": {"field_type": "Dictionary", "min_length": 1, "actual_length": 0}}])
    );
    let unnamed = json!({"session_id": "s", "kind": "label", "value_type": "numeric", "value": 3});
    assert_eq!(
        errors(annotation::read(&unnamed)),
        json!([{"type": "value_error", "loc": ["body", "label"],
                "msg": "Value error, value_type=numeric requires `name`", "input": unnamed, "ctx": {"error": {}}}])
    );
    let tags = "'feedback', 'note', 'metadata', 'label'";
    let other = json!({"session_id": "s", "kind": "nope"});
    assert_eq!(
        errors(annotation::read(&other)),
        json!([{"type": "union_tag_invalid", "loc": ["body"], "input": other,
                "msg": format!("Input tag 'nope' found using 'kind' does not match any of the expected tags: {tags}"),
                "ctx": {"discriminator": "'kind'", "tag": "nope", "expected_tags": tags}}])
    );
    let cases = [
        (
            json!({"kind": "note", "text": "x", "extra": 1, "session_id": "s"}),
            "extra_forbidden",
            json!(["body", "note", "extra"]),
        ),
        (json!({"kind": "note", "text": "x"}), "missing", json!(["body", "note", "session_id"])),
        (
            json!({"kind": "note", "text": "x".repeat(10_001), "session_id": "s"}),
            "string_too_long",
            json!(["body", "note", "text"]),
        ),
        (json!({"kind": "note", "text": "x", "session_id": 3}), "string_type", json!(["body", "note", "session_id"])),
        (json!({"text": "x"}), "union_tag_not_found", json!(["body"])),
        (json!([1]), "model_attributes_type", json!(["body"])),
    ];
    for (body, kind, loc) in cases {
        let found = brief(&errors(annotation::read(&body)));
        assert_eq!(
            found.iter().map(|(kind, loc, _)| (kind.as_str(), loc)).collect::<Vec<_>>(),
            [(kind, &loc)],
            "{body}"
        );
    }
    let neither = json!({"session_id": "s", "kind": "label", "value_type": "text", "value": null});
    let of_both = brief(&errors(annotation::read(&neither)));
    assert_eq!(of_both.iter().map(|(kind, ..)| kind.as_str()).collect::<Vec<_>>(), ["string_type", "float_type"]);
}

#[test]
fn an_evaluator_result_has_the_value_that_its_type_needs() {
    let body = |of_type: &str, value: Value| {
        let mut body = json!({"span_id": "a", "session_id": "s", "name": "n", "data_type": of_type});
        body.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        body
    };
    let taken = [
        ("NUMERIC", json!({"value": 0.5})),
        ("NUMERIC", json!({"value": 1, "string_value": "x"})),
        ("NUMERIC", json!({"value": "1.5"})),
        ("BOOLEAN", json!({"value": 1})),
        ("BOOLEAN", json!({"value": false})),
        ("CATEGORICAL", json!({"string_value": "A"})),
        ("TEXT", json!({"string_value": "t", "comment": "c"})),
    ];
    for (of_type, value) in taken {
        assert!(result::read(&body(of_type, value.clone())).is_ok(), "{of_type} {value}");
    }
    let refused = [
        ("NUMERIC", json!({}), "Value error, `value` is required when data_type is NUMERIC."),
        ("BOOLEAN", json!({"value": 2}), "Value error, `value` must be 0 or 1 when data_type is BOOLEAN."),
        ("CATEGORICAL", json!({"value": 1}), "Value error, `string_value` is required when data_type is CATEGORICAL."),
        ("WRONG", json!({"value": 1}), "Input should be 'NUMERIC', 'CATEGORICAL', 'BOOLEAN' or 'TEXT'"),
        ("NUMERIC", json!({"value": "x"}), "Input should be a valid number, unable to parse string as a number"),
        ("NUMERIC", json!({"value": "NaN"}), "Input should be a finite number"),
        ("NUMERIC", json!({"value": []}), "Input should be a valid number"),
    ];
    for (of_type, value, want) in refused {
        let found = brief(&errors(result::read(&body(of_type, value.clone()))));
        assert_eq!(found.iter().map(|(.., msg)| msg.as_str()).collect::<Vec<_>>(), [want], "{of_type} {value}");
    }
}

#[test]
fn an_experiment_has_a_name_a_group_and_a_dataset() {
    let body =
        json!({"name": "e1", "experiment_group_id": "g", "dataset_name": "ds", "source_link": "https://a.example"});
    let earlier = |body: &Value| experiment::read(body, Naming::Experiments, false);
    let read = earlier(&body).unwrap();
    assert_eq!(read.changes.source_link, Change::To(Some("https://a.example/".to_owned())));
    assert_eq!(read.changes.groups, Change::To(Groups::One("g".to_owned())));
    assert_eq!(read.changes.status, Change::Keep, "a client of 0.2.0 does not know it");
    let alone = json!({"name": "e3"});
    let want = ["experiment_group_id", "dataset_name"].map(
        |name| json!({"type": "missing", "loc": ["body", name], "msg": "Field required", "input": {"name": "e3"}}),
    );
    assert_eq!(errors(earlier(&alone)), json!(want));
    for wrong in ["bad name!", "", "-a", &"x".repeat(129)] {
        let found = brief(&errors(experiment::read_group(&json!({"name": wrong}), false)));
        assert_eq!(found[0].0, "string_pattern_mismatch", "{wrong}");
    }
    for link in ["x", "", "a b:c", "https://"] {
        let body = json!({"name": "e1", "experiment_group_id": "g", "dataset_name": "ds", "source_link": link});
        assert_eq!(brief(&errors(earlier(&body)))[0].0, "url_parsing", "{link}");
    }
    let deleted = experiment::deleted_name(&"e".repeat(128));
    assert!(deleted.starts_with('e') && deleted.contains("-deleted-") && deleted.len() <= 128, "{deleted}");
    assert_ne!(experiment::deleted_name("e"), experiment::deleted_name("e"));
}

#[test]
fn an_evaluation_says_more_in_the_words_of_its_release() {
    let read = |body: Value| experiment::read(&body, Naming::Evaluations, true);
    let said = read(json!({"name": "e", "experiment_ids": ["g", "h", "g"], "dataset_name": "ds", "status": "done",
                           "parent_experiment_id": "p", "metadata": {"k": "v"}}));
    let changes = said.unwrap().changes;
    assert_eq!(changes.groups, Change::To(Groups::Exactly(vec!["g".to_owned(), "h".to_owned()])));
    assert_eq!((changes.status, changes.root_cause), (Change::To(Some("done".to_owned())), Change::To(None)));
    assert_eq!((changes.parent_id, changes.summary), (Change::To(Some("p".to_owned())), Change::Keep));
    let missing =
        json!([{"type": "missing", "loc": ["body", "dataset_name"], "msg": "Field required", "input": {"name": "e3"}}]);
    assert_eq!(errors(read(json!({"name": "e3"}))), missing);
    let homeless = brief(&errors(read(json!({"name": "e", "dataset_name": "ds"}))));
    let why =
        "Value error, An evaluation must belong to at least one group: provide experiment_ids or experiment_group_id.";
    assert_eq!(homeless, [("value_error".to_owned(), json!(["body"]), why.to_owned())]);
    let wrong = json!({"name": "e", "dataset_name": "ds", "experiment_ids": [1], "metadata": {"k": 2}, "summary": "s"});
    let places: Vec<_> = brief(&errors(read(wrong))).into_iter().map(|(kind, place, _)| (kind, place)).collect();
    let want = [
        ("string_type", json!(["body", "experiment_ids", 0])),
        ("string_type", json!(["body", "metadata", "k"])),
        ("extra_forbidden", json!(["body", "summary"])),
    ];
    assert_eq!(places, want.map(|(kind, place)| (kind.to_owned(), place)));
    let strict = json!({"name": "e", "experiment_group_id": "g", "dataset_name": "ds", "status": "done"});
    let refused = brief(&errors(experiment::read(&strict, Naming::Experiments, true)));
    assert_eq!(refused[0].0, "extra_forbidden");
}

#[test]
fn a_client_that_knows_of_one_group_takes_an_experiment_out_of_no_other() {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let before = ids(&["a", "b", "c"]);
    for (id, after) in [("a", ["a", "b", "c"]), ("b", ["a", "b", "c"]), ("d", ["d", "b", "c"])] {
        assert_eq!(Groups::One(id.into()).after(&before), ids(&after), "{id}");
    }
    assert_eq!(Groups::One("d".into()).after(&[]), ids(&["d"]));
    assert_eq!(Groups::Exactly(ids(&["b"])).after(&before), ids(&["b"]));
    let later = json!({"name": "e", "experiment_group_id": "g", "dataset_name": "ds"});
    let later = experiment::read(&later, Naming::Evaluations, false).unwrap();
    assert_eq!(later.changes.groups, Change::To(Groups::Exactly(ids(&["g"]))), "0.3.0 replaces what it leaves out");
}

#[test]
fn an_experiment_is_in_at_most_a_hundred_groups() {
    let of = |groups: usize| {
        let ids: Vec<String> = (0..groups).map(|id| format!("g{id}")).collect();
        json!({"name": "e", "dataset_name": "ds", "experiment_ids": ids})
    };
    let why = "List should have at most 100 items after validation, not 101".to_owned();
    let want = ("too_long".to_owned(), json!(["body", "experiment_ids"]), why);
    for naming in [Naming::Experiments, Naming::Evaluations] {
        assert!(experiment::read(&of(100), naming, false).is_ok());
        assert_eq!(brief(&errors(experiment::read(&of(101), naming, false))), std::slice::from_ref(&want));
    }
    let partly = |groups: usize| json!({"experiment_ids": of(groups)["experiment_ids"]});
    assert!(experiment::read_changes(&partly(100)).is_ok());
    assert_eq!(brief(&errors(experiment::read_changes(&partly(101)))), [want]);
}

#[test]
fn a_partial_change_says_only_what_it_changes() {
    let read = experiment::read_changes(&json!({"description": null, "status": "failed"})).unwrap();
    let want = Changes {
        groups: Change::Keep,
        source_link: Change::Keep,
        metadata: Change::Keep,
        description: Change::To(None),
        summary: Change::Keep,
        parent_id: Change::Keep,
        status: Change::To(Some("failed".to_owned())),
        root_cause: Change::Keep,
    };
    assert_eq!(read, want);
    assert!(experiment::read_changes(&json!({"name": "other"})).is_err(), "what is fixed");
}

#[test]
fn the_axes_of_a_group_are_measures_that_there_are() {
    let read = |pareto: Value| experiment::read_group(&json!({"name": "g", "pareto": pareto}), false);
    let axes = read(json!({"y_metric": "evaluators.acc"})).unwrap().pareto;
    assert_eq!(axes, Change::To(experiment::Pareto { x: "cost_usd".into(), y: "evaluators.acc".into() }));
    assert_eq!(read(json!(null)).unwrap().pareto, Change::Keep);
    let wrong = brief(&errors(read(json!({"x_metric": "evaluators."}))));
    assert_eq!((wrong[0].0.as_str(), &wrong[0].1), ("value_error", &json!(["body", "pareto", "x_metric"])));
}

#[test]
fn a_body_that_is_no_json_or_nothing_is_refused() {
    assert_eq!(brief(&errors(parse(b"")))[0].0, "missing");
    let broken = errors(parse(b"{\"a\": }"));
    assert_eq!((&broken[0]["type"], &broken[0]["loc"]), (&json!("json_invalid"), &json!(["body", 7])));
}

#[test]
fn a_score_is_one_row_whose_version_is_when_it_was_written() {
    let now = UnixNanos::from_i64(1_764_000_000_123_456_789).unwrap();
    let stamp = Stamp::new("x".into(), String::new(), now);
    assert_eq!(stamp.created_at.nanos(), 1_764_000_000_123_456_000);
    assert_eq!(to_microseconds(stamp.created_at), stamp.created_at);
    let note = annotation::read(&json!({"session_id": "s", "kind": "note", "text": "n"})).unwrap();
    let found = json!({"span_id": "a", "session_id": "s", "name": "n", "data_type": "NUMERIC", "value": 1});
    let found = result::read(&found).unwrap();
    let workspace = Workspace::default();
    assert_eq!(of_annotation(&workspace, &note, &stamp).unwrap().rows(), 1);
    assert_eq!(of_result(&workspace, &found, &stamp).unwrap().rows(), 1);
}
