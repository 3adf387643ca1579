//! Rows of LiteLLM's table `LiteLLM_SpendLogs`, as JSON or CSV, in the form of its `StandardLoggingPayload`.
//!
//! ```text
//! request_id, spend, startTime, ...    ->  id, response_cost, startTime, ...
//! messages, response, metadata, ...    JSON in a text is read
//! ```
//!
//! Source: BerriAI/litellm, `litellm/proxy/schema.prisma`. Messages and responses are there only with `store_prompts_in_spend_logs`.

use super::span::nanos_of;
use super::{Path, Reader, Record, Sink};
use serde_json::{Map, Value, json};

/// Columns, and what they are in the payload. The other columns keep their names.
const NAMES: [(&str, &str); 6] = [
    ("request_id", "id"),
    ("spend", "response_cost"),
    ("user", "user_api_key_user_id"),
    ("proxy_server_request", "litellm_proxy_request"),
    ("session_id", "trace_id"),
    ("api_key", ""),
];
const TIMES: [&str; 3] = ["startTime", "endTime", "completionStartTime"];
const NUMBERS: [&str; 4] = ["prompt_tokens", "completion_tokens", "total_tokens", "spend"];

/// Reads rows.
#[derive(Debug)]
pub(super) struct SpendLogs;

impl Reader for SpendLogs {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        let row: Map<String, Value> = match serde_json::from_slice(piece) {
            Ok(row) => row,
            Err(error) => return sink.reject(format!("it is not a JSON object: {error}")),
        };
        let mut payload = Map::new();
        for (column, value) in row {
            if TIMES.contains(&column.as_str()) && nanos_of(&value).is_none() && !is_nothing(&value) {
                return sink.reject(format!("{column} must be a time"));
            }
            add(&mut payload, &column, value);
        }
        payload.entry("call_type").or_insert_with(|| "completion".into());
        if payload.get("status").and_then(Value::as_str).is_none() {
            payload.insert("status".to_owned(), "success".into());
        }
        let json = Value::Object(payload).to_string().into_bytes();
        sink.records.push(Record::Body { path: Path::LiteLlm, json });
    }
}

fn add(payload: &mut Map<String, Value>, column: &str, value: Value) {
    let value = read(value);
    if is_nothing(&value) {
        return;
    }
    let name = NAMES.iter().find(|(known, _)| *known == column).map_or(column, |(_, name)| *name);
    let value = match &value {
        // times as the payload has them: seconds
        time if TIMES.contains(&column) => match nanos_of(time) {
            Some(nanos) => json!(seconds(nanos)),
            None => return,
        },
        Value::String(text) if NUMBERS.contains(&column) => {
            serde_json::from_str(text).map_or_else(|_| value.clone(), Value::Number)
        }
        _ => value,
    };
    // a key of the gateway is no one's business here
    if !name.is_empty() {
        payload.insert(name.to_owned(), value);
    }
}

/// Exact, which a double is not.
fn seconds(nanos: i64) -> Value {
    let text = format!("{}.{:09}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    serde_json::from_str(&text).map_or(Value::Null, |number| number)
}

/// JSON in a text is what is meant.
fn read(value: Value) -> Value {
    match &value {
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
