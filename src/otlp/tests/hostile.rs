//! What somebody may send who means no good: many keys, huge numbers, deep nesting, half JSON.

use super::{column, json_column, row, row_of_texts};
use serde_json::{Map, Value as Json, json};

#[test]
fn many_keys_with_huge_gaps_take_no_more_room_than_their_bytes() {
    let mut attributes = Map::new();
    for number in 0..20_000_u64 {
        let gap = number * 200_000;
        attributes.insert(format!("gen_ai.prompt.{gap}.content"), json!("x"));
    }
    attributes.insert("gen_ai.prompt.99999999999999999999999999999999.content".to_owned(), json!("last"));
    let sent: usize = attributes.keys().map(|key| key.len() + 4).sum();
    let row = row(Json::Object(attributes));
    let text = column(&row, "InputMessages").as_str().unwrap().len();
    assert!(text < 4 * sent, "{text} of {sent}");
    let messages = json_column(&row, "InputMessages");
    assert_eq!(messages.as_array().unwrap().len(), 20_001);
    assert_eq!(messages[20_000]["parts"][0]["content"], "last");
}

#[test]
fn many_parameters_of_one_name_and_of_many_are_read_once() {
    let mut attributes = Map::new();
    for number in 0..10_000 {
        attributes.insert(format!("gen_ai.request.p{number}"), json!(1));
    }
    let row = row(Json::Object(attributes));
    assert_eq!(column(&row, "RequestParameters").as_array().unwrap().len(), 10_000);
}

#[test]
fn deep_nesting_is_a_text_or_ends() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let row = row(json!({"gen_ai.input.messages": deep, format!("gen_ai.prompt.0{}", ".0".repeat(5_000)): "x"}));
    assert_eq!(json_column(&row, "InputMessages")[0]["parts"][0]["content"], deep);
}

#[test]
fn truncated_json_is_kept_as_a_text() {
    for (key, name) in [
        ("gen_ai.input.messages", "InputMessages"),
        ("gen_ai.output.messages", "OutputMessages"),
        ("ai.prompt.messages", "InputMessages"),
        ("gen_ai.prompt", "InputMessages"),
    ] {
        for text in ["{", "[{\"role\":", "\"", "[\"\\ud83d\"]", "[1,2", "{\"messages\":[{}"] {
            assert!(json_column(&row(json!({key: text})), name).is_array(), "{key} {text}");
        }
    }
    for key in [
        "llm.invocation_parameters",
        "langfuse.observation.usage_details",
        "langfuse.observation.cost_details",
        "mlflow.llm.cost",
        "mlflow.chat.tokenUsage",
        "metadata.usage_object",
        "gen_ai.tool.definitions",
        "llm.tools.0.tool.json_schema",
        "gen_ai.response.finish_reasons",
        "events",
    ] {
        row(json!({key: "{\"a\":[", "gen_ai.operation.name": "chat"}));
    }
}

#[test]
fn a_lone_surrogate_is_replaced() {
    let row =
        row(json!({"gen_ai.input.messages": r#"[{"role":"user","parts":[{"type":"text","content":"\ud83d"}]}]"#}));
    assert_eq!(json_column(&row, "InputMessages")[0]["parts"][0]["content"], "\u{fffd}");
}

/// What comes of such a list is many times as long as the list: of one that is too long to be messages, a text is made.
#[test]
fn a_text_with_more_values_than_any_conversation_does_not_grow() {
    let list = |item: &str| format!("[{}]", vec![item; 300_000].join(","));
    let attributes = json!({
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": list("\"\""),
        "gen_ai.output.messages": list("\"\""),
        "gen_ai.tool.definitions": list("{}"),
    });
    let row = row(attributes);
    for name in ["InputMessages", "OutputMessages"] {
        let messages = json_column(&row, name);
        assert_eq!(messages.as_array().unwrap().len(), 1, "{name}");
        assert_eq!(messages[0]["parts"][0]["content"], list("\"\""), "{name}");
    }
    assert_eq!(column(&row, "ToolDefinitions"), Json::Null, "a block without the column");
}

#[test]
fn reasons_without_number_are_the_first_of_them() {
    for reasons in ["stop,".repeat(100_000), format!("[{}]", vec!["\"stop\""; 100_000].join(","))] {
        let row = row(json!({"gen_ai.operation.name": "chat", "gen_ai.response.finish_reasons": reasons}));
        assert_eq!(column(&row, "FinishReasons").as_array().unwrap().len(), 1_024);
    }
}

#[test]
fn counts_that_no_call_has_are_unknown() {
    for (count, want) in [
        (json!("18014398509481983"), json!(18_014_398_509_481_983_u64)),
        (json!("18014398509481984"), Json::Null),
        (json!("18446744073709551615"), Json::Null),
        (json!(i64::MAX), Json::Null),
        (json!(-1), Json::Null),
    ] {
        let row = row(json!({"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": count}));
        assert_eq!(column(&row, "InputTokens"), want, "{count}");
    }
}

/// Each of these characters takes six as JSON, so that they are sent as protobuf.
#[test]
fn what_would_grow_too_long_as_json_stays_as_it_was_sent() {
    const BYTES: usize = (16 << 20) + 1;
    let long = "\u{1}".repeat(BYTES);
    for key in ["gen_ai.prompt.0.content", "gen_ai.prompt", "ai.prompt.messages"] {
        let row = row_of_texts(&[("gen_ai.operation.name", "chat"), (key, &long)]);
        assert_eq!(column(&row, "InputMessages"), Json::Null, "{key}");
        assert!(column(&row, "ContentAttributes")[0][1] == long.as_str(), "{key}");
    }
    let text = "x".repeat(BYTES);
    let canonical = format!(r#"[{{"role":"user","parts":[{{"type":"text","content":"{text}"}}]}}]"#);
    let row = row_of_texts(&[("gen_ai.operation.name", "chat"), ("gen_ai.input.messages", &canonical)]);
    assert!(column(&row, "InputMessages") == canonical.as_str());
    assert_eq!(column(&row, "ContentAttributes"), Json::Null, "kept once");
}

#[test]
fn a_sum_of_costs_that_is_too_large_is_unknown() {
    let row = row(json!({"gen_ai.operation.name": "chat", "llm.cost.prompt": 999_999, "llm.cost.completion": 999_999}));
    assert_eq!(column(&row, "CostTotal"), Json::Null);
    assert_ne!(column(&row, "CostInput"), Json::Null);
}
