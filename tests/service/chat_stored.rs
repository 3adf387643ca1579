//! Every sample of the corpus through the real service: posted, and its row in ClickHouse compared with what it expects.
//!
//! Samples that say when they arrive cannot be sent then; `tests/codec/corpus` converts them.

use serde_json::{Map, Value, json};

use support::corpus::{NOT_IN_EXPECT, same, samples};
use support::http::{post_json, send};
use support::samples::mixed;
use support::sql::Sql;
use support::{Service, wait_until};

const ROW: &str = "SELECT TraceId, ParentSpanId, SpanName, SpanKind, StatusCode, StatusMessage, AllAttributes AS SpanAttributes, \
                   RawRequest, RawResponse, toString(toUnixTimestamp64Nano(Timestamp)) AS at FROM otel_traces WHERE SpanId = {s:String}";

/// The text of an attribute's column against what is expected of it.
fn holds(text: &Value, want: &Value) -> bool {
    let text = text.as_str().unwrap_or_default();
    want == text || serde_json::from_str(text).is_ok_and(|seen: Value| same(&seen, want))
}

/// The raw columns are the bytes that were sent: the samples stay within the limits.
fn check_raw(name: &str, row: &Value, sent: &Value) {
    for (column, member) in [("RawRequest", "request"), ("RawResponse", "response")] {
        assert_eq!(row[column], sent[member].to_string(), "{name}: {column}");
    }
}

fn check_row(name: &str, row: &Value, expect: &Value) {
    let failed = expect["status"]["code"] == 2;
    let message = expect["status"]["message"].as_str().unwrap_or_default();
    assert_eq!(row["SpanName"], expect["name"], "{name}");
    assert_eq!(row["SpanKind"], "Client", "{name}");
    assert_eq!(row["StatusCode"], if failed { "Error" } else { "Unset" }, "{name}");
    assert_eq!(row["StatusMessage"], message, "{name}");
    for (column, key) in [("TraceId", "traceId"), ("ParentSpanId", "parentSpanId"), ("at", "startTimeUnixNano")] {
        assert!(expect.get(key).is_none_or(|want| &row[column] == want), "{name}: {column} is {}", row[column]);
    }
    let attributes: &Map<String, Value> = row["SpanAttributes"].as_object().unwrap();
    let expected = expect["attributes"].as_object().unwrap();
    for (key, want) in expected {
        let text = attributes.get(key).unwrap_or_else(|| panic!("{name}: {key} is missing"));
        assert!(holds(text, want), "{name}: {key} is {text}, not {want}");
    }
    let is_known = |key: &str| expected.contains_key(key) || NOT_IN_EXPECT.contains(&key);
    let unexpected: Vec<&String> = attributes.keys().filter(|key| !is_known(key)).collect();
    assert!(unexpected.is_empty(), "{name}: {unexpected:?}");
}

#[test]
fn every_sample_is_stored_as_the_row_it_expects() {
    let service = Service::start();
    let sent: Vec<(String, Value, String)> = samples()
        .into_iter()
        .filter(|(_, sample)| sample.get("receivedAtUnixNano").is_none())
        .map(|(name, sample)| {
            let answer = post_json(&service.chat("default"), &sample["ingest"]);
            assert_eq!(answer.status, 201, "{name}: {}", answer.text());
            (name, sample, answer.json()["span_id"].as_str().unwrap().to_owned())
        })
        .collect();
    assert!(sent.len() > 60, "{} samples", sent.len());
    for (name, sample, span) in sent {
        let row = wait_until("the sample is stored", || service.sql().try_rows(ROW, &[("s", &span)]).ok()?.pop());
        check_row(&name, &row, &sample["expect"]);
        check_raw(&name, &row, &sample["ingest"]);
    }
    assert_previews_are_what_sql_makes_of_the_messages(&service.sql(), 40);
}

/// Messages of any roles and parts, with texts that are long, empty, spaced, escaped, or like JSON; the same for the same number.
fn messages(number: u64) -> Value {
    const TEXTS: [&str; 9] =
        ["", " ", "Rain\n\t tomorrow?", "[{\"role\":\"user\"}]", "a \"b\\", "ä😀 ", "},{", "\u{c}x\r\n", "null"];
    let pick = |salt: u64, of: usize| usize::try_from(mixed(number * 64 + salt)).expect("64 bits") % of;
    let part = |salt: u64| {
        let text = TEXTS[pick(salt, TEXTS.len())].repeat(1 + pick(salt + 1, 3) * 40);
        match pick(salt + 2, 6) {
            0 => json!({"type": "reasoning", "content": text}),
            1 => json!({"type": "tool_call", "name": "weather", "arguments": {"text": text}}),
            2 => json!({"type": "blob", "modality": "image", "content": "AA=="}),
            3 => json!({"type": "tool_call_response", "response": [text]}),
            _ => json!({"type": "text", "content": text}),
        }
    };
    let message = |salt: u64| {
        let parts: Vec<Value> = (0..pick(salt, 4)).map(|at| part(salt + 3 * at as u64)).collect();
        let role = ["user", "assistant", "system", "tool"][pick(salt + 1, 4)];
        match pick(salt + 2, 3) {
            0 => json!({"parts": parts, "role": role}),
            _ => json!({"role": role, "parts": parts}),
        }
    };
    (0..1 + pick(0, 4)).map(|at| message(16 * at as u64)).collect()
}

#[test]
fn previews_of_any_messages_are_what_sql_makes_of_them() {
    const SPANS: u64 = 400;
    let service = Service::start();
    let attribute = |key: &str, text: String| json!({"key": key, "value": {"stringValue": text}});
    let span = |number: u64| {
        json!({"traceId": format!("{:032x}", number + 1), "spanId": format!("{:016x}", number + 1), "name": "chat", "kind": 3,
        "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000001000000000", "attributes": [
            attribute("gen_ai.operation.name", "chat".to_owned()),
            attribute("gen_ai.input.messages", messages(2 * number).to_string()),
            attribute("gen_ai.output.messages", messages(2 * number + 1).to_string()),
        ]})
    };
    let spans: Vec<Value> = (0..SPANS).map(span).collect();
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    let headers = [("content-type", "application/json"), ("x-millrace-ack", "stored")];
    let answer = send("POST", &service.http("/v1/traces"), &headers, body.as_bytes());
    assert!(answer.status == 200 && !answer.text().contains("rejected"), "{}", answer.text());
    assert_previews_are_what_sql_makes_of_the_messages(&service.sql(), 150);
}

/// The columns have a rule in SQL, for rows that were stored before there were previews.
#[track_caller]
pub(crate) fn assert_previews_are_what_sql_makes_of_the_messages(sql: &Sql, least: usize) {
    for preview in ["InputPreview", "OutputPreview"] {
        let rule =
            "SELECT default_expression AS rule FROM system.columns WHERE table = 'otel_traces' AND name = {c:String}";
        let rule = sql.rows(rule, &[("c", preview)]).pop().expect("the column is there");
        let rule = rule["rule"].as_str().expect("it has a rule");
        let query = format!("SELECT {preview} AS here, {rule} AS want FROM otel_traces WHERE here != '' OR want != ''");
        let rows = sql.rows(&query, &[]);
        assert!(rows.len() >= least, "{} rows have a {preview}", rows.len());
        for row in rows {
            assert_eq!(row["here"], row["want"], "{preview}");
        }
    }
}
