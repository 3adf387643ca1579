//! Which format a file is, by its first piece.

use super::{Format, phoenix};
use serde_json::{Map, Value};

/// The format of this name.
#[must_use]
pub fn named(name: &str) -> Option<Format> {
    Format::ALL.into_iter().find(|format| format.name() == name)
}

/// The format of a file, by its first bytes and its first piece of JSON or its first row of CSV; `None` if it is none that is known.
#[must_use]
pub fn detect(head: &[u8], first: Option<&Value>) -> Option<Format> {
    match first {
        Some(Value::Object(first)) => of_object(first),
        Some(_) => None,
        None => is_protobuf(head).then_some(Format::OtlpProtobuf),
    }
}

/// A `TracesData` begins with a field 1 that is a message that begins with one; so does each message after its length.
fn is_protobuf(head: &[u8]) -> bool {
    let begins = |bytes: &[u8]| {
        let length = bytes.iter().skip(1).take(10).position(|byte| *byte < 0x80);
        let inner = length.and_then(|length| bytes.get(length + 2..));
        bytes.first() == Some(&0x0a) && inner.is_some_and(|inner| matches!(inner.first(), Some(0x0a | 0x12 | 0x1a)))
    };
    begins(head) || (head.first() == Some(&0) && head.get(4..).is_some_and(begins))
}

fn of_object(first: &Map<String, Value>) -> Option<Format> {
    let has = |name: &str| first.contains_key(name);
    let has_all = |names: &[&str]| names.iter().all(|name| has(name));
    let has_any = |names: &[&str]| names.iter().any(|name| has(name));
    let text = |name: &str| first.get(name).and_then(Value::as_str);
    if has_any(&["resourceSpans", "resourceLogs", "resourceMetrics"])
        || has_any(&["resource_spans", "resource_logs", "resource_metrics"])
    {
        return Some(Format::OtlpJson);
    }
    let of_list = first.get("data").and_then(Value::as_array).and_then(|data| data.first());
    if phoenix::is_row(first)
        || of_list.is_some_and(|one| one.get("traceId").or_else(|| one.get("trace_id")).is_some())
        || (has_any(&["traceId", "trace_id"])
            && has_any(&["spanId", "span_id"])
            && has_any(&["startTimeUnixNano", "start_time_unix_nano"]))
    {
        return Some(Format::Phoenix);
    }
    if text("schema_version").is_some_and(|version| version.starts_with("ATIF")) || has_all(&["agent", "steps"]) {
        return Some(Format::Atif);
    }
    if has_all(&["timestamp", "payload"]) && has("type") {
        return Some(Format::Codex);
    }
    if has("sessionId") && has("type") || (text("type") == Some("summary") && has("leafUuid")) {
        return Some(Format::ClaudeCode);
    }
    if first.get("mapping").is_some_and(Value::is_object)
        && has_any(&["current_node", "conversation_id", "create_time"])
    {
        return Some(Format::ChatGpt);
    }
    if has("chat_messages") {
        return Some(Format::ClaudeAi);
    }
    if has_all(&["custom_id", "method", "url", "body"]) || (has_all(&["custom_id", "response"]) && has("error")) {
        return Some(Format::OpenAiBatch);
    }
    if has("request_id") && has_any(&["spend", "startTime"]) && has("call_type") {
        return Some(Format::SpendLogs);
    }
    if has_any(&["response_cost", "model_map_information", "litellm_call_id"]) && has_any(&["startTime", "call_type"]) {
        return Some(Format::LiteLlm);
    }
    if has_all(&["providerRequest", "providerResponse"]) {
        return Some(Format::Helicone);
    }
    if has_all(&["id", "run_type"]) || (has_all(&["run_id", "key"]) && has_any(&["score", "value"])) {
        return Some(Format::LangSmith);
    }
    if has_any(&["trace_id", "traceId"]) && has("type") && has_any(&["start_time", "startTime"]) {
        return Some(Format::Langfuse);
    }
    let is_of_langfuse = has_any(&["trace_id", "traceId", "session_id", "sessionId", "dataset_run_id", "datasetRunId"]);
    if has_all(&["name", "value"]) && has_any(&["data_type", "dataType"]) && is_of_langfuse {
        return Some(Format::Langfuse);
    }
    has_all(&["request", "response"]).then_some(Format::Calls)
}
