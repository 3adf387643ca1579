//! Attributes that an exported span needs in addition, so that ingesting it makes an equal row.
//!
//! ```text
//! attributes, content, events --conventions--> the typed columns that they would make --compared with those of the row--> what is missing
//! ```
//!
//! A span that came as OTLP misses only messages that are in typed columns alone; a captured call has none of its messages as attributes.

use super::row::{Attributes, SpanRow};
use crate::columns::MapRow;
use crate::columns::typed::{Entries, Event, SpanView};
use crate::conventions;
use crate::genai::call::Call;
use crate::genai::semconv;
use crate::time::UnixNanos;
use serde_json::json;

/// The attribute by which a captured call is recognised. Source: `query/expressions.rs`.
const SOURCE: (&str, &str) = ("millrace.source", "chat_completions");

/// The attributes, each a key and its text, for the values of the row that these attributes do not have.
pub(super) fn of(row: &SpanRow, content: &Attributes, events: &[Attributes]) -> Vec<(&'static str, String)> {
    let mut lacking = Vec::new();
    if row.is_captured() && !has(&row.attributes, SOURCE.0) {
        lacking.push((SOURCE.0, SOURCE.1.to_owned()));
    }
    let (attributes, content) = (map(&row.attributes), map(content));
    let events: Vec<MapRow> = events.iter().map(map).collect();
    let named = row.event_times.iter().zip(&row.event_names).zip(&events);
    let view = SpanView {
        attributes: Entries::of(&attributes),
        content: Entries::of(&content),
        events: named
            .map(|((at, name), attributes)| Event {
                at: time(*at),
                name: name.as_bytes(),
                attributes: Entries::of(attributes),
            })
            .collect(),
        start: time(row.started),
        duration_nanos: row.duration,
        name: row.name.as_bytes(),
        scope_name: row.scope_name.as_bytes(),
        is_error: row.status_code == "Error",
        status_message: row.status_message.as_bytes(),
    };
    let told = conventions::normalise(&view);
    let differs = |own: &str, told: &str| !own.is_empty() && own != told;
    for (key, own, told) in texts(row, &told) {
        if differs(own, told) && !has(&row.attributes, key) {
            lacking.push((key, own.clone()));
        }
    }
    for (key, own, told) in counts(row, &told) {
        if let Some(count) = own.filter(|_| own != told && !has(&row.attributes, key)) {
            lacking.push((key, count.to_string()));
        }
    }
    if !row.cost_given.is_empty() && told.cost.total.is_none() && !has(&row.attributes, semconv::USAGE_COST) {
        lacking.push((semconv::USAGE_COST, row.cost_given.clone()));
    }
    for (key, own, told) in messages(row, &told) {
        if differs(own, told) {
            lacking.push((key, own.clone()));
        }
    }
    // what the messages say of the system is found in them again
    if told.system_prompt.is_empty() && !row.system_prompt.is_empty() && row.input_messages == told.input_messages {
        lacking
            .push(("gen_ai.system_instructions", json!([{"type": "text", "content": row.system_prompt}]).to_string()));
    }
    lacking
}

fn texts<'r>(row: &'r SpanRow, told: &'r Call<'_>) -> [(&'static str, &'r String, &'r str); 14] {
    [
        (semconv::OPERATION_NAME, &row.operation, &told.operation),
        (semconv::PROVIDER_NAME, &row.provider, &told.provider),
        (semconv::REQUEST_MODEL, &row.request_model, &told.request_model),
        (semconv::RESPONSE_MODEL, &row.response_model, &told.response_model),
        (semconv::RESPONSE_ID, &row.response_id, &told.response_id),
        (semconv::OPENAI_RESPONSE_SERVICE_TIER, &row.service_tier, &told.service_tier),
        (semconv::SESSION_ID, &row.session_id, &told.session_id),
        (semconv::CONVERSATION_ID, &row.conversation_id, &told.conversation_id),
        (semconv::USER_ID, &row.user_id, &told.user_id),
        ("gen_ai.tool.name", &row.tool_name, &told.tool_name),
        ("gen_ai.tool.call.id", &row.tool_call_id, &told.tool_call_id),
        ("gen_ai.agent.name", &row.agent_name, &told.agent_name),
        ("gen_ai.workflow.name", &row.workflow_name, &told.workflow_name),
        (semconv::ERROR_TYPE, &row.error_type, &told.error_type),
    ]
}

fn counts(row: &SpanRow, told: &Call<'_>) -> [(&'static str, Option<u64>, Option<u64>); 5] {
    let usage = &told.usage;
    [
        (semconv::USAGE_INPUT_TOKENS, row.input_tokens, usage.input),
        (semconv::USAGE_OUTPUT_TOKENS, row.output_tokens, usage.output),
        (semconv::USAGE_CACHE_READ, row.cache_read_tokens, usage.cache_read),
        (semconv::USAGE_CACHE_WRITE, row.cache_write_tokens, usage.cache_write),
        (semconv::USAGE_REASONING, row.reasoning_tokens, usage.reasoning),
    ]
}

fn messages<'r>(row: &'r SpanRow, told: &'r Call<'_>) -> [(&'static str, &'r String, &'r str); 3] {
    [
        (semconv::INPUT_MESSAGES, &row.input_messages, &told.input_messages),
        (semconv::OUTPUT_MESSAGES, &row.output_messages, &told.output_messages),
        (semconv::TOOL_DEFINITIONS, &row.tool_definitions, &told.tool_definitions),
    ]
}

fn time(nanos: i64) -> UnixNanos {
    UnixNanos::from_i64(nanos).unwrap_or_default()
}

fn has(attributes: &Attributes, key: &str) -> bool {
    attributes.iter().any(|(own, _)| own == key)
}

fn map(attributes: &Attributes) -> MapRow {
    let mut map = MapRow::default();
    for (key, value) in attributes {
        map.push(key.as_bytes(), value.as_bytes());
    }
    map
}
