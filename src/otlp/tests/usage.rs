//! Counts, costs and times: what is read within JSON, completed, corrected, or left null.

use super::{Row, column, decoded, row, span};
use serde_json::{Value as Json, json};

#[test]
fn counts_within_json_are_read() {
    let langfuse = row(json!({"langfuse.observation.usage_details":
        r#"{"input":10,"input_cached_tokens":5,"output":3,"output_reasoning_tokens":"2","total":20,"input_cache_creation":1}"#}));
    let mlflow = row(json!({"mlflow.chat.tokenUsage":
        {"input_tokens": 16, "output_tokens": 5, "cache_read_input_tokens": 5}}));
    let litellm = row(json!({"metadata.usage_object":
        "{'completion_tokens': 5, 'prompt_tokens': 16, 'prompt_tokens_details': {'cached_tokens': 5, 'audio_tokens': None}}"}));
    let all = |row: &Row| ["InputTokens", "OutputTokens", "CacheReadTokens"].map(|name| column(row, name));
    for row in [&langfuse, &mlflow, &litellm] {
        assert_eq!(all(row), [json!(16), json!(5), json!(5)]);
    }
    assert_eq!([column(&langfuse, "CacheWriteTokens"), column(&langfuse, "ReasoningTokens")], [json!(1), json!(2)]);
}

#[test]
fn input_counts_that_leave_cached_tokens_out_are_completed() {
    let sent = |input: u64, read: u64, write: u64| {
        let row = row(json!({"gen_ai.usage.input_tokens": input, "gen_ai.usage.cache_read.input_tokens": read,
            "gen_ai.usage.cache_creation.input_tokens": write}));
        column(&row, "InputTokens")
    };
    assert_eq!((sent(3, 100, 20), sent(120, 100, 20), sent(119, 100, 20)), (json!(123), json!(120), json!(239)));
    let unknown = row(json!({"gen_ai.usage.cache_read.input_tokens": 4}));
    assert_eq!((column(&unknown, "InputTokens"), column(&unknown, "CacheReadTokens")), (json!(null), json!(4)));
    let zero = row(json!({"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": -1}));
    assert_eq!((column(&zero, "InputTokens"), column(&zero, "OutputTokens")), (json!(0), json!(null)));
}

#[test]
fn costs_are_exact_and_say_where_they_come_from() {
    let costs = |attributes: Json| {
        let row = row(attributes);
        ["CostTotal", "CostInput", "CostOutput", "CostSource"].map(|name| column(&row, name))
    };
    assert_eq!(
        costs(json!({"langfuse.observation.cost_details": r#"{"input":1e-6,"output":"0.0000021","total":0.0000031}"#})),
        [json!("0.0000031"), json!("0.000001"), json!("0.0000021"), json!("attributes")]
    );
    assert_eq!(
        costs(json!({"mlflow.llm.cost": r#"{"input_cost":0.1,"output_cost":0.2}"#})),
        [json!("0.3"), json!("0.1"), json!("0.2"), json!("attributes")]
    );
    assert_eq!(costs(json!({"gen_ai.cost.total_cost": 9.599999999999999e-05}))[0], "0.000096");
    let other_money = json!({"gen_ai.usage.cost.amount": 5, "gen_ai.usage.cost.currency": "EUR", "operation.cost": 2});
    assert_eq!(costs(other_money)[0], "2");
    // an object where a number belongs is none
    let object = json!({"gen_ai.usage.cost": {"total": 1}, "llm.cost.total": 3});
    assert_eq!(costs(object)[0], "3");
    let unreadable = [json!(null), json!(null), json!(null), json!("unreadable")];
    for attributes in [
        json!({"gen_ai.usage.cost": "None"}),
        json!({"gen_ai.usage.cost": -1}),
        json!({"gen_ai.usage.cost": {"total": 1}}),
        json!({"gen_ai.usage.cost.amount": 5, "gen_ai.usage.cost.currency": "EUR"}),
        json!({"llm.cost.prompt": "a little"}),
        json!({"litellm.cost.total": true}),
        json!({"langfuse.observation.cost_details": "?"}),
        json!({"langfuse.observation.cost_details": r#"{"total":"?"}"#}),
        json!({"langfuse.observation.cost_details": r#"{"images":0.1}"#}),
        json!({"mlflow.llm.cost": "[]1"}),
        json!({"millrace.cost.source": "unreadable", "session.id": "s"}),
    ] {
        assert_eq!(costs(attributes.clone()), unreadable, "{attributes}");
    }
    let half = json!({"llm.cost.prompt": 1, "llm.cost.completion": "?"});
    assert_eq!(costs(half), [json!(null), json!("1"), json!(null), json!("unreadable")]);
    for attributes in [json!({"gen_ai.usage.cost": "", "a": 1}), json!({"langfuse.observation.cost_details": "{}"})] {
        assert_eq!(costs(attributes.clone()), [(); 4].map(|()| json!(null)), "{attributes}");
    }
    let pair = json!({"gen_ai.usage.cost": 1, "millrace.cost.source": "caller"});
    assert_eq!(costs(pair)[3], "caller");
    assert_eq!(
        costs(json!({"session.id": "s", "millrace.cost.source": "caller"})),
        [json!(null), json!(null), json!(null), json!(null)]
    );
}

/// The span takes one second.
#[test]
fn values_that_cannot_be_are_corrected_or_null_and_counted_by_rule() {
    for (attributes, name, want, rule) in [
        (
            json!({"gen_ai.server.time_to_first_token": 812}),
            "TimeToFirstToken",
            json!(812_000_000),
            "first_token_in_milliseconds",
        ),
        (json!({"ai.response.msToFirstChunk": 1_000.5}), "TimeToFirstToken", Json::Null, "first_token_after_end"),
        (
            json!({"gen_ai.usage.output_tokens": 3, "gen_ai.usage.reasoning_tokens": 66}),
            "OutputTokens",
            json!(69),
            "reasoning_beside_output",
        ),
        (
            json!({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "gen_ai.usage.cached_tokens": 4,
                   "gen_ai.usage.total_tokens": 16}),
            "InputTokens",
            json!(14),
            "cache_beside_input",
        ),
        (json!({"gen_ai.usage.input_tokens": u64::MAX.to_string()}), "InputTokens", Json::Null, "count_too_large"),
        (json!({"gen_ai.usage.cost": "NaN"}), "CostTotal", Json::Null, "cost_unreadable"),
        (
            json!({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.audio.input_tokens": 11}),
            "InputAudioTokens",
            Json::Null,
            "part_larger_than_whole",
        ),
    ] {
        let decoded = decoded("", &[span(&attributes, &json!({}))]);
        let fell: Vec<_> = decoded.rows.implausible().iter().map(|(rule, calls)| (rule.name(), calls)).collect();
        assert_eq!(fell, [(rule, 1)], "{attributes}");
        assert_eq!(column(&row(attributes.clone()), name), want, "{attributes}");
    }
}

#[test]
fn tokens_cached_for_an_hour_are_a_part_of_those_written() {
    let written = |write: u64, hour: serde_json::Value| {
        let row = row(json!({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_creation.input_tokens": write,
            "gen_ai.usage.details.ephemeral_1h_input_tokens": hour}));
        [column(&row, "CacheWriteTokens"), column(&row, "CacheWrite1hTokens")]
    };
    assert_eq!(written(30, json!(10)), [json!(30), json!(10)]);
    assert_eq!(written(30, json!(0)), [json!(30), json!(0)]);
    assert_eq!(written(30, json!(31)), [json!(30), json!(null)], "more than all of them cannot be");
    let hour = |attributes| column(&row(attributes), "CacheWrite1hTokens");
    let anthropic =
        r#"{"anthropic":{"usage":{"cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":7}}}}"#;
    assert_eq!(
        hour(json!({"ai.response.providerMetadata": anthropic, "ai.usage.inputTokenDetails.cacheWriteTokens": 12})),
        json!(7)
    );
    let litellm = "{'prompt_tokens': 20, 'prompt_tokens_details': {'cache_creation_tokens': 12, \
        'cache_creation_token_details': {'ephemeral_5m_input_tokens': 5, 'ephemeral_1h_input_tokens': 7}}}";
    assert_eq!(hour(json!({"metadata.usage_object": litellm})), json!(7));
    let langfuse = r#"{"input":10,"input_cache_creation":9,"input_ephemeral_1h_input_tokens":4,"output":3}"#;
    assert_eq!(hour(json!({"langfuse.observation.usage_details": langfuse})), json!(4));
}

fn columns<const N: usize>(attributes: Json, names: [&str; N]) -> [Json; N] {
    let row = row(attributes);
    names.map(|name| column(&row, name))
}

/// Source: langfuse.com/docs/observability/features/token-and-cost-tracking; langfuse/codex-observability-plugin#22.
#[test]
fn langfuses_parts_are_beside_each_other_unless_their_total_says_otherwise() {
    let counts = |usage: Json| {
        let sent = json!({"langfuse.observation.usage_details": usage});
        columns(sent, ["InputTokens", "CacheReadTokens", "CacheWriteTokens", "OutputTokens"])
    };
    let parts =
        json!({"input": 10, "output": 20, "cache_read_input_tokens": 1_000, "cache_creation_input_tokens": 500});
    assert_eq!(counts(parts), [json!(1_510), json!(1_000), json!(500), json!(20)]);
    let inclusive = json!({"input": 117_231, "cache_read_input_tokens": 115_584, "output": 225, "total": 117_456});
    assert_eq!(counts(inclusive), [json!(117_231), json!(115_584), json!(null), json!(225)]);
    let thought = json!({"input": 10, "output": 20, "output_reasoning": 5, "total": 30});
    assert_eq!(counts(thought)[3], json!(20));
    let by_time = json!({"input": 200, "output": 30, "input_cache_read": 10, "input_cache_creation": 0,
        "input_ephemeral_5m_input_tokens": 80, "input_ephemeral_1h_input_tokens": 70});
    assert_eq!(counts(by_time), [json!(360), json!(10), json!(150), json!(30)]);
    let cost = |details: Json| {
        columns(json!({"langfuse.observation.cost_details": details}), ["CostTotal", "CostInput", "CostOutput"])
    };
    let of_parts = json!({"input": 1, "cache_read_input_tokens": 0.5, "output": 1});
    assert_eq!(cost(of_parts), [json!("2.5"), json!("1.5"), json!("1")]);
    let with_total = json!({"input": 1, "cache_read_input_tokens": 0.5, "output": 1, "total": 2});
    assert_eq!(cost(with_total), [json!("2"), json!("1.5"), json!("1")]);
}

/// Source: vercel/ai#8795 and #8794; PostHog/posthog-js#2829.
#[test]
fn the_ai_sdk_leaves_cached_tokens_out_of_the_input_before_its_version_6() {
    let sent = |operation: &str, counts: Json, said: Json| {
        let mut attributes = json!({"ai.operationId": operation, "ai.response.providerMetadata": said.to_string()});
        attributes.as_object_mut().unwrap().extend(counts.as_object().unwrap().clone());
        columns(attributes, ["InputTokens", "CacheReadTokens", "CacheWriteTokens"])
    };
    let anthropic = |input: u64, write: u64, read: u64| {
        json!({"anthropic": {"usage": {"input_tokens": input, "output_tokens": 1, "cache_creation_input_tokens": write,
            "cache_read_input_tokens": read}}})
    };
    const CALL: &str = "ai.generateText.doGenerate";
    let of_5 =
        json!({"ai.usage.inputTokens": 5_000, "ai.usage.totalTokens": 5_010, "ai.usage.cachedInputTokens": 3_000});
    assert_eq!(sent(CALL, of_5.clone(), anthropic(5_000, 200, 3_000)), [json!(8_200), json!(3_000), json!(200)]);
    // the whole of several calls, and what the provider said of the last of them
    assert_eq!(sent("ai.generateText", of_5.clone(), anthropic(5_000, 200, 3_000))[0], json!(5_000));
    assert_eq!(sent(CALL, of_5, anthropic(2_000, 0, 3_000))[0], json!(5_000));
    let of_6 = json!({"ai.usage.inputTokens": 2_187, "ai.usage.inputTokenDetails.cacheReadTokens": 0,
        "ai.usage.inputTokenDetails.cacheWriteTokens": 2_183});
    assert_eq!(sent(CALL, of_6, anthropic(4, 2_183, 0)), [json!(2_187), json!(0), json!(2_183)]);
    let of_4 = json!({"ai.usage.promptTokens": 50});
    let said = json!({"anthropic": {"cacheCreationInputTokens": 20, "cacheReadInputTokens": 30}});
    assert_eq!(sent("ai.streamText.doStream", of_4.clone(), said), [json!(100), json!(30), json!(20)]);
    let openai = json!({"openai": {"cachedPromptTokens": 24}});
    assert_eq!(sent("ai.streamText.doStream", of_4.clone(), openai), [json!(50), json!(24), json!(null)]);
    let bedrock = json!({"bedrock": {"usage": {"cacheReadInputTokens": 7, "cacheWriteInputTokens": 9}}});
    assert_eq!(sent("ai.streamText.doStream", of_4, bedrock), [json!(66), json!(7), json!(9)]);
}

#[test]
fn a_zero_says_nothing_where_another_attribute_has_a_count() {
    let zeros = json!({"gen_ai.usage.input_tokens": 0, "gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.output_tokens": 0,
        "gen_ai.usage.cache_read.input_tokens": 0, "gen_ai.usage.details.cache_read_tokens": 40});
    assert_eq!(columns(zeros, ["InputTokens", "CacheReadTokens", "OutputTokens"]), [json!(100), json!(40), json!(0)]);
}

/// What a provider counts itself is what it bills. Source: genkit-ai/genkit#5412.
#[test]
fn genkits_counts_come_from_the_providers_response_where_it_is_there() {
    let output = json!({"usage": {"inputTokens": 5_000, "outputTokens": 10},
        "raw": {"usage": {"input_tokens": 5_000, "output_tokens": 10, "cache_read_input_tokens": 3_000}}});
    let sent = json!({"genkit:metadata:subtype": "model", "genkit:output": output.to_string()});
    assert_eq!(columns(sent, ["InputTokens", "CacheReadTokens"]), [json!(8_000), json!(3_000)]);
}

/// Source: mlflow/mlflow, `mlflow/anthropic/autolog.py`.
#[test]
fn mlflows_counts_of_anthropic_leave_the_cache_out() {
    let sent = |format: &str| {
        let usage = json!({"input_tokens": 100, "output_tokens": 50, "total_tokens": 150, "cache_read_input_tokens": 20,
            "cache_creation_input_tokens": 10});
        columns(json!({"mlflow.chat.tokenUsage": usage, "mlflow.message.format": format}), ["InputTokens"])
    };
    assert_eq!((sent("\"anthropic\""), sent("\"openai\"")), ([json!(130)], [json!(100)]));
}
