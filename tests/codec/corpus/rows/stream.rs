//! Table 3.6 (a list of chunks as `response`).

use serde_json::{Value, json};

use crate::corpus::coverage::{Exercise, Row};

/// The values a member has in the chunks, those that are null aside.
fn frames(it: &Exercise, member: &str) -> Vec<Value> {
    it.chunks().into_iter().map(|chunk| chunk[member].clone()).filter(|value| !value.is_null()).collect()
}

fn distinct(values: &[Value]) -> bool {
    values.iter().any(|value| Some(value) != values.first())
}

/// The first that is not empty is the attribute's, though others differ.
fn first_counts(it: &Exercise, member: &str, key: &str) -> bool {
    let values: Vec<Value> = frames(it, member).into_iter().filter(|value| value != "").collect();
    distinct(&values) && values.first() == Some(it.attribute(key))
}

/// The last that is not null is the attribute's, though others differ.
fn last_counts(it: &Exercise, member: &str, key: &str) -> bool {
    let values = frames(it, member);
    distinct(&values) && values.last() == Some(it.attribute(key))
}

fn joined(it: &Exercise, pointer: &str) -> Option<String> {
    let pieces: Vec<Value> = it.deltas(pointer).into_iter().filter(|piece| piece != "").collect();
    (pieces.len() > 1).then(|| pieces.iter().filter_map(Value::as_str).collect())
}

fn part_has(it: &Exercise, kind: &str, pointer: &str, want: &Value) -> bool {
    it.parts(kind).iter().any(|part| part.pointer(pointer) == Some(want))
}

/// Whether the pieces of a delta's member make the text of a part.
fn text_joined(it: &Exercise, pointer: &str, kind: &str, member: &str) -> bool {
    joined(it, pointer).is_some_and(|text| part_has(it, kind, member, &json!(text)))
}

/// How many elements the lists of a delta's member have together, in more than one chunk.
fn appended(it: &Exercise, pointer: &str) -> usize {
    let lists = it.deltas(pointer);
    if lists.len() > 1 { lists.iter().filter_map(Value::as_array).map(Vec::len).sum() } else { 0 }
}

fn fragments(it: &Exercise) -> Vec<Value> {
    it.deltas("/delta/tool_calls").iter().filter_map(Value::as_array).flatten().cloned().collect()
}

/// Whether fragments of that kind were put together to calls that have arguments.
fn calls_joined(it: &Exercise, is_kind: fn(&Value) -> bool) -> bool {
    fragments(it).iter().filter(|fragment| is_kind(fragment)).count() > 0
        && it.parts("tool_call").len() < fragments(it).len()
        && it.parts("tool_call").iter().all(|part| part["arguments"].is_object())
}

fn is_stream(it: &Exercise) -> bool {
    it.attribute("gen_ai.request.stream") == true
}

fn output_has(it: &Exercise, member: &str, want: &Value) -> bool {
    let messages = it.attribute("gen_ai.output.messages").as_array();
    messages.into_iter().flatten().any(|message| &message[member] == want)
}

fn response_text(it: &Exercise) -> &str {
    it.at("/response").as_str().unwrap_or_default()
}

pub(super) const ROWS: &[Row] = &[
    ("3.6 shape objects", "array of chunks", |it| it.at("/response/0").is_object() && is_stream(it)),
    ("3.6 shape strings", "array of strings, data: or JSON", |it| {
        let strings = it.at("/response").as_array().into_iter().flatten().filter_map(Value::as_str);
        strings.clone().any(|text| text.starts_with("data: {"))
            && strings.clone().any(|text| text.starts_with('{'))
            && is_stream(it)
    }),
    ("3.6 shape text", "one string with the SSE body", |it| it.at("/response").is_string() && is_stream(it)),
    ("3.6 shape text CRLF", "lines that end in CR LF, data over several lines", |it| {
        response_text(it).contains("\r\ndata: \"") && is_stream(it)
    }),
    ("3.6 shape one chunk", "an object with choices that have deltas", |it| {
        it.at("/response/choices/0/delta").is_object() && is_stream(it)
    }),
    ("3.6 ignored done", "[DONE]", |it| {
        it.at("/response").as_array().is_some_and(|items| items.contains(&json!("[DONE]"))) && is_stream(it)
            || response_text(it).contains("[DONE]") && is_stream(it)
    }),
    ("3.6 ignored comment", "comment lines", |it| {
        let items = it.at("/response").as_array();
        items.into_iter().flatten().any(|item| item.as_str().is_some_and(|text| text.starts_with(':'))) && is_stream(it)
    }),
    ("3.6 ignored empty", "empty objects", |it| {
        it.at("/response").as_array().is_some_and(|items| items.contains(&json!({}))) && is_stream(it)
    }),
    ("3.6 id", "first non-empty", |it| first_counts(it, "id", "gen_ai.response.id")),
    ("3.6 model", "first non-empty", |it| first_counts(it, "model", "gen_ai.response.model")),
    ("3.6 created", "first > 0", |it| {
        let created: Vec<i64> = frames(it, "created").iter().filter_map(Value::as_i64).collect();
        let first = created.iter().find(|created| **created > 0);
        created.contains(&0) && first.is_some_and(|created| it.start_nanos == created * 1_000_000_000)
    }),
    ("3.6 usage", "last non-null, never summed", |it| {
        let totals: Vec<Value> = frames(it, "usage").iter().map(|usage| usage["total_tokens"].clone()).collect();
        distinct(&totals) && totals.last() == Some(it.attribute("gen_ai.usage.total_tokens"))
    }),
    ("3.6 service_tier", "last non-null", |it| last_counts(it, "service_tier", "openai.response.service_tier")),
    ("3.6 fingerprint", "last non-null", |it| {
        last_counts(it, "system_fingerprint", "openai.response.system_fingerprint")
    }),
    ("3.6 other top-level", "moderation, provider, any other: last non-null", |it| {
        let rest = it.attribute("millrace.response.extra");
        ["moderation", "provider"]
            .iter()
            .all(|name| frames(it, name).last() == rest.get(*name) && rest.get(*name).is_some())
    }),
    ("3.6 usage of x_groq", "usage missing -> x_groq.usage", |it| {
        frames(it, "x_groq").len() > 1
            && frames(it, "usage").is_empty()
            && !it.attribute("gen_ai.usage.total_tokens").is_null()
    }),
    ("3.6 x_groq merged", "shallow merge", |it| {
        let merged = it.attribute("millrace.response.extra").get("x_groq");
        is_stream(it) && merged.is_some_and(|merged| !merged["id"].is_null() && !merged["usage"].is_null())
    }),
    ("3.6 usage of a choice", "else choices[].usage", |it| {
        !it.deltas("/usage").is_empty() && !it.attribute("gen_ai.usage.total_tokens").is_null()
    }),
    ("3.6 error", "the first counts, output is kept", |it| {
        let errors = frames(it, "error");
        distinct(&errors)
            && errors.first() == Some(it.attribute("millrace.response.error"))
            && !it.parts("text").is_empty()
    }),
    ("3.6 dropped", "obfuscation, object", |it| {
        !frames(it, "obfuscation").is_empty()
            && !it.attribute("millrace.response.extra").to_string().contains("obfuscation")
    }),
    ("3.6 choices", "by index, sorted at the end", |it| {
        let indices: Vec<i64> = it.deltas("/index").iter().filter_map(Value::as_i64).collect();
        indices.first() == Some(&1) && it.finish_reasons().len() == 2
    }),
    ("3.6 index missing", "= 0", |it| {
        let chunks = it.chunks();
        let mut choices = chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
        choices.any(|choice| choice["index"].is_null()) && it.finish_reasons().len() == 2
    }),
    ("3.6 role", "first non-empty", |it| {
        it.deltas("/delta/role").len() > 1 && is_stream(it) && output_has(it, "role", &json!("assistant"))
    }),
    ("3.6 content", "concatenated", |it| text_joined(it, "/delta/content", "text", "/content")),
    ("3.6 refusal", "concatenated", |it| text_joined(it, "/delta/refusal", "generic", "/content")),
    ("3.6 reasoning", "concatenated", |it| text_joined(it, "/delta/reasoning", "reasoning", "/content")),
    ("3.6 reasoning_content", "concatenated", |it| {
        text_joined(it, "/delta/reasoning_content", "reasoning", "/content")
    }),
    ("3.6 unknown strings", "concatenated", |it| {
        joined(it, "/delta/mood").is_some_and(|text| output_has(it, "mood", &json!(text)))
    }),
    ("3.6 annotations", "appended", |it| {
        let many = appended(it, "/delta/annotations");
        many > 1 && it.parts("text").iter().any(|part| part["annotations"].as_array().map(Vec::len) == Some(many))
    }),
    ("3.6 images", "appended", |it| {
        let many = appended(it, "/delta/images");
        many > 1 && it.parts("uri").len() == many
    }),
    ("3.6 reasoning_details", "appended", |it| {
        let many = appended(it, "/delta/reasoning_details");
        many > 1
            && it.parts("reasoning").iter().any(|part| part["reasoning_details"].as_array().map(Vec::len) == Some(many))
    }),
    ("3.6 thinking_blocks", "appended", |it| {
        let many = appended(it, "/delta/thinking_blocks");
        many > 1 && it.parts("reasoning").iter().filter(|part| part["signature"].is_string()).count() == many
    }),
    ("3.6 calls by index", "fragments join by index", |it| calls_joined(it, |fragment| fragment["index"].is_i64())),
    ("3.6 calls by id", "no index: the same id is that call, a new id a new one", |it| {
        let ids = |fragment: &Value| fragment["index"].is_null() && fragment["id"] == "a";
        fragments(it).iter().filter(|fragment| ids(fragment)).count() > 1
            && calls_joined(it, |fragment| fragment["id"] == "b")
    }),
    ("3.6 calls to the last", "no id: the last call", |it| {
        calls_joined(it, |fragment| fragment["index"].is_null() && fragment["id"].is_null())
    }),
    ("3.6 call name pieces", "append", |it| {
        part_has(it, "tool_call", "/name", &json!("get_time"))
            && fragments(it).iter().any(|fragment| fragment["function"]["name"] == "get_")
    }),
    ("3.6 call name repeated", "not appended when it is there already", |it| {
        let named = |fragment: &&Value| fragment["function"]["name"] == "f";
        fragments(it).iter().filter(named).count() > 1 && part_has(it, "tool_call", "/name", &json!("f"))
    }),
    ("3.6 call object", "arguments as an object -> its JSON", |it| {
        calls_joined(it, |fragment| fragment["function"]["arguments"].is_object())
    }),
    ("3.6 function_call", "name and arguments append", |it| {
        it.deltas("/delta/function_call").len() > 1
            && it.parts("tool_call").iter().any(|part| part["name"] == "old" && part["arguments"].is_object())
    }),
    ("3.6 audio data", "decoded, joined as bytes, encoded again", |it| {
        joined(it, "/delta/audio/data").is_some_and(|text| text == "AA==AQI=")
            && part_has(it, "blob", "/content", &json!("AAEC"))
    }),
    ("3.6 audio transcript", "append", |it| text_joined(it, "/delta/audio/transcript", "blob", "/transcript")),
    ("3.6 audio id", "first", |it| {
        let ids = it.deltas("/delta/audio/id");
        distinct(&ids) && ids.first().is_some_and(|id| part_has(it, "blob", "/id", id))
    }),
    ("3.6 audio expires_at", "last", |it| {
        let times = it.deltas("/delta/audio/expires_at");
        distinct(&times) && times.last().is_some_and(|time| part_has(it, "blob", "/expires_at", time))
    }),
    ("3.6 logprobs", "append (raw only)", |it| {
        it.deltas("/logprobs/content").len() > 1
            && !it.attribute("gen_ai.output.messages").to_string().contains("logprobs")
    }),
    ("3.6 filters", "per category, last wins", |it| {
        it.deltas("/content_filter_results").len() > 1
            && output_has(
                it,
                "content_filter_results",
                &json!({"hate": {"filtered": true}, "self_harm": {"filtered": false}}),
            )
    }),
    ("3.6 finish_reason", "last non-null", |it| {
        let reasons = it.deltas("/finish_reason");
        !reasons.is_empty() && is_stream(it) && !it.finish_reasons().contains(&"error")
    }),
    ("3.6 stop_reason", "last non-null", |it| {
        let reasons = it.deltas("/stop_reason");
        distinct(&reasons) && reasons.last().is_some_and(|reason| output_has(it, "stop_reason", reason))
    }),
    ("3.6 matched_stop", "last non-null", |it| {
        it.deltas("/matched_stop").last().is_some_and(|reason| output_has(it, "matched_stop", reason))
    }),
    ("3.6 native_finish_reason", "last non-null", |it| {
        it.deltas("/native_finish_reason").last().is_some_and(|reason| output_has(it, "native_finish_reason", reason))
    }),
    ("3.6 message inside", "replaces what was gathered", |it| {
        let messages = it.deltas("/message/content");
        !it.deltas("/delta/content").is_empty()
            && messages.last().is_some_and(|text| part_has(it, "text", "/content", text))
    }),
    ("3.6 raw", "the raw column keeps the chunk list", |it| it.at("/response/1").is_object() && it.raw_as_sent[1]),
    ("3.6 cut off", "no finish_reason -> error, stream.complete=false, status Unset", |it| {
        !it.failed && it.attribute("millrace.stream.complete") == false && it.finish_reasons() == ["error"]
    }),
];
