//! Each sample of `tests/corpus/otlp`: the columns it says it must fill.

use super::decoded;
use super::{Row, column, json_column, rows, span};
use crate::otlp::{Limits, transcode_traces};
use crate::workspace::Workspace;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

fn sample(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/otlp").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The corpus' word for a column, and the column.
const WORDS: [(&str, &str); 12] = [
    ("operation", "Operation"),
    ("provider", "Provider"),
    ("session_id", "SessionId"),
    ("user_id", "UserId"),
    ("model", "RequestModel"),
    ("input_tokens", "InputTokens"),
    ("output_tokens", "OutputTokens"),
    ("cache_read", "CacheReadTokens"),
    ("reasoning", "ReasoningTokens"),
    ("streaming", "Streaming"),
    ("parent_span_id", "ParentSpanId"),
    ("span_id", "SpanId"),
];
const JSON_WORDS: [(&str, &str); 3] = [
    ("input_messages", "InputMessages"),
    ("output_messages", "OutputMessages"),
    ("tool_definitions", "ToolDefinitions"),
];
const COST_WORDS: [(&str, &str); 3] =
    [("cost_total", "CostTotal"), ("cost_input", "CostInput"), ("cost_output", "CostOutput")];

fn check(name: &str, row: &Row, expect: &Json) {
    for (word, want) in expect.as_object().unwrap() {
        let among = |words: &[(&str, &'static str)]| words.iter().find(|(it, _)| it == word).map(|(_, column)| *column);
        if let Some(of) = among(&WORDS) {
            assert_eq!(column(row, of), *want, "{name}: {of}");
        } else if let Some(of) = among(&JSON_WORDS) {
            assert_eq!(json_column(row, of), *want, "{name}: {of}");
        } else if let Some(of) = among(&COST_WORDS) {
            assert_eq!(column(row, of), want.to_string(), "{name}: {of}");
        } else {
            match word.as_str() {
                "finish_reasons" if expect.get("finish_reasons_raw").is_some() => {
                    assert_eq!(column(row, "FinishReasonsNormalized"), *want, "{name}");
                }
                "finish_reasons" | "finish_reasons_raw" => assert_eq!(column(row, "FinishReasons"), *want, "{name}"),
                "time_to_first_chunk_s" => assert_eq!(column(row, "TimeToFirstToken"), 210_500_000, "{name}"),
                "temperature" | "max_tokens" => {
                    assert!(
                        column(row, "RequestParameters").as_array().unwrap().contains(&json!([word, want.to_string()])),
                        "{name}: {word}"
                    );
                }
                "trace_id" => assert_eq!(column(row, "TraceId"), *want),
                "start_ns" => assert_eq!(column(row, "Timestamp"), *want),
                "kind" => assert_eq!(column(row, "SpanKind"), "Client"),
                "status" => assert_eq!(column(row, "StatusCode"), "Error"),
                other => panic!("{name}: nothing checks {other}"),
            }
        }
    }
}

#[test]
fn every_sample_fills_the_columns_it_expects() {
    for name in ["03_openllmetry_legacy.json", "04_openinference.json", "05_vercel_ai_v5.json"] {
        let sample = sample(name);
        let row = super::row(sample["attributes"].clone());
        check(name, &row, &sample["expect"]);
    }
    let sample = sample("01_otlp_json_peculiarities.json");
    let request = transcode_traces(sample["otlp"].to_string().as_bytes(), 32).unwrap();
    let decoded = request.decode(&Workspace::default(), &Limits::default()).unwrap();
    let row = rows(&decoded.rows).remove(0);
    check("01", &row, &sample["expect"]);
    assert_eq!((column(&row, "ErrorType"), column(&row, "ErrorMessage")), (json!("timeout"), json!("boom")));
    assert_eq!(column(&row, "FinishReasons"), json!(["error"]));
}

#[test]
fn an_agent_and_its_call_each_have_their_own_counts_and_costs() {
    let sample = sample("08_agent_rollup_double_count.json");
    let spans: Vec<Json> = sample["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| span(&it["attributes"], &json!({"spanId": it["span_id"], "parentSpanId": it["parent"]})))
        .collect();
    let rows = rows(&decoded("", &spans).rows);
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            ["Operation", "InputTokens", "OutputTokens", "CostTotal", "CostSource", "AgentName"]
                .map(|name| column(row, name))
        })
        .collect();
    assert_eq!(
        seen,
        [
            [json!("invoke_agent"), json!(100), json!(20), json!("0.01"), json!("attributes"), json!("planner")],
            [json!("chat"), json!(100), json!(20), json!("0.01"), json!("attributes"), json!("")],
        ]
    );
}
