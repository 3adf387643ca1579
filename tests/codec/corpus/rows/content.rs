//! Tables 3.4 (messages -> parts) and 3.5 (tool definitions).

use serde_json::{Value, json};

use crate::corpus::coverage::{Exercise, Row};

fn has_role(it: &Exercise, role: &str) -> bool {
    it.sent().any(|message| message["role"] == role) && it.messages().any(|message| message["role"] == role)
}

/// Whether a message has a member beside its parts that a choice or a message of the body has too.
fn beside_parts(it: &Exercise, name: &str) -> bool {
    it.messages().any(|message| !message[name].is_null())
}

fn part_with(it: &Exercise, kind: &str, members: &Value) -> bool {
    let members = members.as_object().unwrap();
    it.parts(kind).iter().any(|part| members.iter().all(|(key, value)| part.get(key) == Some(value)))
}

/// Whether a part of the body and a part of the span hold the same text in these members.
fn same_text(it: &Exercise, sent: (&str, &str), kind: &str, member: &str) -> bool {
    let texts = it.sent_parts(sent.0).into_iter().filter_map(|part| part.pointer(sent.1)?.as_str()).collect::<Vec<_>>();
    it.parts(kind).iter().any(|part| part[member].as_str().is_some_and(|text| texts.contains(&text)))
}

fn calls(it: &Exercise) -> Vec<Value> {
    let all = it.sent().chain(it.received()).filter_map(|message| message["tool_calls"].as_array());
    all.flatten().cloned().collect()
}

/// Whether a call whose function has arguments of this form was made a call with those.
fn arguments(it: &Exercise, sent: fn(&Value) -> bool, seen: fn(&Value) -> bool) -> bool {
    calls(it).iter().any(|call| sent(&call["function"]["arguments"]))
        && it.parts("tool_call").iter().any(|part| seen(&part["arguments"]))
}

fn definition(it: &Exercise, kind: &str, list: &str) -> bool {
    let sent = it
        .at(list)
        .as_array()
        .is_some_and(|tools| tools.iter().any(|tool| list.ends_with("functions") || tool["type"] == kind));
    let seen = it.attribute("gen_ai.tool.definitions").as_array();
    sent && seen.is_some_and(|tools| tools.iter().any(|tool| tool["type"] == kind && tool["name"].is_string()))
}

fn is_json_text(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

fn data_url(part: &Value, base64: bool) -> bool {
    let url = part["image_url"]["url"].as_str().unwrap_or_default();
    url.starts_with("data:") && url.contains(";base64,") == base64
}

/// The kinds of the parts of the first output message, each once.
fn output_order(it: &Exercise) -> Vec<&str> {
    let parts = it.attribute("gen_ai.output.messages").pointer("/0/parts").and_then(Value::as_array);
    let mut kinds: Vec<&str> = parts.into_iter().flatten().filter_map(|part| part["type"].as_str()).collect();
    kinds.dedup();
    kinds
}

pub(super) const ROWS: &[Row] = &[
    ("3.4 role system", "verbatim", |it| has_role(it, "system")),
    ("3.4 role user", "verbatim", |it| has_role(it, "user")),
    ("3.4 role assistant", "verbatim", |it| has_role(it, "assistant")),
    ("3.4 role tool", "verbatim", |it| has_role(it, "tool")),
    ("3.4 role developer", "verbatim", |it| has_role(it, "developer")),
    ("3.4 role function", "-> tool with original_role", |it| {
        it.sent().any(|message| message["role"] == "function")
            && it.messages().any(|message| message["role"] == "tool" && message["original_role"] == "function")
    }),
    ("3.4 role missing", "a choice's message without role -> assistant", |it| {
        it.received().any(|message| message.is_object() && message["role"].is_null())
            && it.messages().any(|message| message["role"] == "assistant")
    }),
    ("3.4 name", "name -> name", |it| it.sent().any(|message| message["name"].is_string()) && beside_parts(it, "name")),
    ("3.4 unknown member", "copied beside parts", |it| {
        it.sent().any(|message| message["prefix"] == true) && beside_parts(it, "prefix")
    }),
    ("3.4 unknown null", "null members are skipped", |it| {
        it.sent().any(|message| message.get("custom").is_some_and(Value::is_null)) && !beside_parts(it, "custom")
    }),
    ("3.4 finish_reason", "normalised in the output message", |it| {
        let reasons = it.finish_reasons();
        it.messages().any(|message| message["finish_reason"].as_str().is_some_and(|reason| !reasons.contains(&reason)))
    }),
    ("3.4 choice filters", "content_filter_results", |it| beside_parts(it, "content_filter_results")),
    ("3.4 choice stop_reason", "stop_reason", |it| beside_parts(it, "stop_reason")),
    ("3.4 choice matched", "matched_stop", |it| beside_parts(it, "matched_stop")),
    ("3.4 choice native", "native_finish_reason", |it| beside_parts(it, "native_finish_reason")),
    ("3.4 choice error", "error, when not empty", |it| beside_parts(it, "error")),
    ("3.4 choice empty", "empty members of a choice are left out", |it| {
        it.at("/response/choices/0/error") == &json!({}) && !beside_parts(it, "error")
    }),
    ("3.4 order", "reasoning, content, refusal, images, audio, tool calls", |it| {
        output_order(it) == ["reasoning", "text", "generic", "blob", "tool_call"] && !it.at("/response").is_array()
    }),
    ("3.4 order of streams", "by first appearance", |it| {
        it.at("/response").is_array() && output_order(it).starts_with(&["text", "reasoning"])
    }),
    ("3.4 content text", "-> text", |it| {
        it.sent().any(|message| {
            message["content"].as_str().is_some_and(|text| part_with(it, "text", &json!({"content": text})))
        })
    }),
    ("3.4 content null", "-> nothing", |it| {
        it.received().any(|message| message.get("content").is_some_and(Value::is_null))
            && !output_order(it).contains(&"text")
            && !it.failed
    }),
    ("3.4 content empty kept", "alone in the input: kept", |it| {
        it.sent().any(|message| message["role"] == "user" && message["content"] == "")
            && part_with(it, "text", &json!({"content": ""}))
    }),
    ("3.4 content empty", "beside other parts, or in the output: dropped", |it| {
        it.received().any(|message| message["content"] == "") && !part_with(it, "text", &json!({"content": ""}))
    }),
    ("3.4 part text", "text", |it| same_text(it, ("text", "/text"), "text", "content")),
    ("3.4 part input_text", "text", |it| same_text(it, ("input_text", "/text"), "text", "content")),
    ("3.4 part output_text", "text", |it| same_text(it, ("output_text", "/text"), "text", "content")),
    ("3.4 part extras", "cache_control and others stay on the part", |it| {
        it.parts("text").iter().any(|part| !part["cache_control"].is_null())
    }),
    ("3.4 bare string", "in a content list -> text", |it| {
        let strings = it.sent().filter_map(|message| message["content"].as_array()).flatten();
        strings.filter(|part| part.is_string()).any(|text| part_with(it, "text", &json!({"content": text})))
    }),
    ("3.4 image_url", "object -> uri", |it| same_text(it, ("image_url", "/image_url/url"), "uri", "uri")),
    ("3.4 image_url text", "string -> uri", |it| same_text(it, ("image_url", "/image_url"), "uri", "uri")),
    ("3.4 video_url", "-> uri", |it| {
        same_text(it, ("video_url", "/video_url/url"), "uri", "uri")
            && part_with(it, "uri", &json!({"modality": "video"}))
    }),
    ("3.4 audio_url", "-> uri", |it| {
        same_text(it, ("audio_url", "/audio_url/url"), "uri", "uri")
            && part_with(it, "uri", &json!({"modality": "audio"}))
    }),
    ("3.4 data URL", "-> blob", |it| {
        it.sent_parts("image_url").iter().any(|part| data_url(part, true))
            && part_with(it, "blob", &json!({"modality": "image", "mime_type": "image/png"}))
    }),
    ("3.4 data URL percent", "re-encoded in base64", |it| {
        it.sent_parts("image_url").iter().any(|part| data_url(part, false))
            && part_with(it, "blob", &json!({"mime_type": "image/svg+xml", "content": "PHN2Zy8+"}))
    }),
    ("3.4 detail", "kept", |it| it.parts("blob").iter().chain(&it.parts("uri")).any(|part| part["detail"].is_string())),
    ("3.4 input_audio wav", "blob audio/wav", |it| part_with(it, "blob", &json!({"mime_type": "audio/wav"}))),
    ("3.4 input_audio mp3", "blob audio/mpeg", |it| part_with(it, "blob", &json!({"mime_type": "audio/mpeg"}))),
    ("3.4 input_audio flac", "blob audio/flac", |it| part_with(it, "blob", &json!({"mime_type": "audio/flac"}))),
    ("3.4 input_audio opus", "blob audio/opus", |it| part_with(it, "blob", &json!({"mime_type": "audio/opus"}))),
    ("3.4 input_audio aac", "blob audio/aac", |it| part_with(it, "blob", &json!({"mime_type": "audio/aac"}))),
    ("3.4 input_audio pcm16", "blob audio/pcm", |it| part_with(it, "blob", &json!({"mime_type": "audio/pcm"}))),
    ("3.4 input_audio URL", "-> uri", |it| same_text(it, ("input_audio", "/input_audio/data"), "uri", "uri")),
    ("3.4 file id", "-> file, document", |it| {
        same_text(it, ("file", "/file/file_id"), "file", "file_id")
            && part_with(it, "file", &json!({"modality": "document"}))
    }),
    ("3.4 file data bare", "base64 -> blob", |it| same_text(it, ("file", "/file/file_data"), "blob", "content")),
    ("3.4 file data URL", "data URL -> blob, the MIME type says the modality", |it| {
        it.sent_parts("file")
            .iter()
            .any(|part| part["file"]["file_data"].as_str().is_some_and(|data| data.starts_with("data:image/")))
            && part_with(it, "blob", &json!({"modality": "image", "filename": "a.png"}))
    }),
    ("3.4 file data uri", "URL -> uri", |it| same_text(it, ("file", "/file/file_data"), "uri", "uri")),
    ("3.4 filename", "kept", |it| {
        it.parts("blob").iter().chain(&it.parts("file")).any(|part| part["filename"].is_string())
    }),
    ("3.4 part refusal", "-> generic refusal", |it| {
        !it.sent_parts("refusal").is_empty() && part_with(it, "generic", &json!({"generic_type": "refusal"}))
    }),
    ("3.4 message.refusal", "-> generic refusal", |it| {
        it.received().any(|message| message["refusal"].is_string())
            && part_with(it, "generic", &json!({"generic_type": "refusal"}))
    }),
    ("3.4 part thinking", "list of texts -> reasoning, signature kept", |it| {
        !it.sent_parts("thinking").is_empty() && it.parts("reasoning").iter().any(|part| part["signature"].is_string())
    }),
    ("3.4 part reasoning", "string -> reasoning", |it| {
        same_text(it, ("reasoning", "/reasoning"), "reasoning", "content")
    }),
    ("3.4 thinking_blocks", "preferred over reasoning_content", |it| {
        it.sent().any(|message| {
            message["reasoning_content"].is_string()
                && part_with(it, "reasoning", &json!({"content": message["thinking_blocks"][0]["thinking"]}))
        })
    }),
    ("3.4 redacted_thinking", "-> generic", |it| {
        part_with(it, "generic", &json!({"generic_type": "redacted_thinking"}))
    }),
    ("3.4 reasoning_content", "-> one reasoning part", |it| {
        it.sent().chain(it.received()).any(|message| {
            message["reasoning_content"].is_string()
                && part_with(it, "reasoning", &json!({"content": message["reasoning_content"]}))
        })
    }),
    ("3.4 reasoning", "else reasoning", |it| {
        it.sent().chain(it.received()).any(|message| {
            message["reasoning"].is_string()
                && message["reasoning_content"].is_null()
                && part_with(it, "reasoning", &json!({"content": message["reasoning"]}))
        })
    }),
    ("3.4 reasoning_details", "else text and summary of the details, attached", |it| {
        it.sent().any(|message| message["reasoning_details"].is_array() && message["reasoning"].is_null())
            && it.parts("reasoning").iter().any(|part| part["reasoning_details"].is_array())
    }),
    ("3.4 call", "function call with JSON arguments -> parsed", |it| {
        arguments(it, |sent| sent.as_str().is_some_and(is_json_text), Value::is_object)
    }),
    ("3.4 call empty", "arguments \"\" -> {}", |it| arguments(it, |sent| sent == "", |seen| seen == &json!({}))),
    ("3.4 call invalid", "invalid arguments stay a string", |it| {
        arguments(
            it,
            |sent| sent.as_str().is_some_and(|text| !text.is_empty() && !is_json_text(text)),
            Value::is_string,
        )
    }),
    ("3.4 call object", "arguments as an object", |it| {
        arguments(it, Value::is_object, |seen| seen == &json!({"x": 1}))
    }),
    ("3.4 call id empty", "id \"\" is dropped", |it| {
        calls(it).iter().any(|call| call["id"] == "") && !part_with(it, "tool_call", &json!({"id": ""}))
    }),
    ("3.4 call id null", "id \"null\" is dropped", |it| {
        calls(it).iter().any(|call| call["id"] == "null") && !part_with(it, "tool_call", &json!({"id": "null"}))
    }),
    ("3.4 call extras", "extra_content kept", |it| {
        it.parts("tool_call").iter().any(|part| !part["extra_content"].is_null())
    }),
    ("3.4 call custom", "input unparsed, tool_type custom", |it| {
        it.parts("tool_call").iter().any(|part| part["tool_type"] == "custom" && part["arguments"].is_string())
    }),
    ("3.4 function_call", "tool_call without id", |it| {
        it.sent().any(|message| message["function_call"].is_object())
            && it.parts("tool_call").iter().any(|part| part["id"].is_null() && part["name"] == "old")
    }),
    ("3.4 tool text", "-> tool_call_response with the string", |it| {
        it.parts("tool_call_response").iter().any(|part| part["id"].is_string() && part["response"].is_string())
    }),
    ("3.4 tool parts", "-> tool_call_response with converted parts", |it| {
        it.parts("tool_call_response").iter().any(|part| part["response"][0]["content"].is_string())
    }),
    ("3.4 audio data", "-> blob audio with id, transcript, expires_at", |it| {
        it.parts("blob").iter().any(|part| {
            part["modality"] == "audio" && ["id", "transcript", "expires_at"].iter().all(|name| !part[*name].is_null())
        })
    }),
    ("3.4 audio id", "-> file", |it| part_with(it, "file", &json!({"modality": "audio"}))),
    ("3.4 images", "as image_url", |it| {
        it.received().any(|message| message["images"].is_array())
            && part_with(it, "blob", &json!({"modality": "image"}))
    }),
    ("3.4 annotations", "on the first text part", |it| {
        it.received().any(|message| message["annotations"].as_array().is_some_and(|list| !list.is_empty()))
            && it.parts("text").iter().any(|part| part["annotations"].is_array())
    }),
    ("3.4 annotations object", "accepted", |it| it.received().any(|message| message["annotations"].is_object())),
    ("3.4 any other", "-> generic with its members", |it| {
        part_with(it, "generic", &json!({"generic_type": "input_pointcloud"}))
    }),
    ("3.4 think tags", "left alone", |it| {
        it.parts("text").iter().any(|part| part["content"].as_str().is_some_and(|text| text.contains("</think>")))
    }),
    ("3.5 function", "-> {type, name, description, parameters}", |it| definition(it, "function", "/request/tools")),
    ("3.5 functions", "legacy -> function", |it| definition(it, "function", "/request/functions")),
    ("3.5 custom", "-> custom", |it| definition(it, "custom", "/request/tools")),
    ("3.5 built-in", "name = type", |it| {
        let seen = it.attribute("gen_ai.tool.definitions").as_array();
        definition(it, "web_search", "/request/tools")
            && seen.is_some_and(|tools| tools.iter().any(|tool| tool["name"] == "web_search"))
    }),
];
