//! What is too large: values are cut inside valid JSON and say how much is missing, media become references, and what
//! stands beside them is unharmed.

#![allow(clippy::string_slice, reason = "a test may panic")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace::chat::{Limits, ParseOptions};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const LIMITS: Limits = Limits { max_value_bytes: 40, max_inline_media_bytes: 24 };

/// The attributes of a pair, JSON where they are JSON.
fn attributes(body: &Value, limits: Limits) -> Value {
    crate::spans::attributes(body, ParseOptions { limits, ..ParseOptions::default() })
}

/// The raw request and the raw response of a pair.
fn raw(body: &str, limits: Limits) -> [String; 2] {
    let options = ParseOptions { limits, ..ParseOptions::default() };
    crate::spans::with_span(body, options, |span| [span.raw.request.to_string(), span.raw.response.to_string()])
}

fn with_message(content: &Value) -> Value {
    json!({"provider": "p", "request": {"model": "m", "messages": [{"role": "user", "content": content}]}, "response": {"choices": []}})
}

/// What was kept of a text, and how many bytes its marker says are missing.
fn cut(text: &str) -> (&str, usize) {
    let (kept, marker) = text.rsplit_once("…[").unwrap_or_else(|| panic!("{text} has no marker"));
    let missing = marker.strip_suffix(" bytes cut by millrace]").unwrap();
    (kept, missing.parse().unwrap())
}

proptest! {
    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_what_is_missing(text in "[a-zé世🌍\"\\\\\n\u{1}]{0,80}") {
        let body = with_message(&json!([{"type": "text", "text": "before"}, {"type": "text", "text": text}, {"type": "text", "text": "behind"}]));
        let seen = attributes(&body, LIMITS);
        let parts = &seen["gen_ai.input.messages"][0]["parts"];
        prop_assert_eq!((&parts[0]["content"], &parts[2]["content"]), (&json!("before"), &json!("behind")));
        let content = parts[1]["content"].as_str().unwrap();
        if text.len() <= LIMITS.max_value_bytes {
            prop_assert_eq!(content, &text);
            prop_assert!(seen.get("millrace.truncated").is_none());
        } else {
            let (kept, missing) = cut(content);
            prop_assert!(text.starts_with(kept) && kept.len() + missing == text.len());
            // no character is longer than four bytes: more than three are never given away
            prop_assert!(kept.len() <= LIMITS.max_value_bytes && kept.len() + 3 >= LIMITS.max_value_bytes);
            prop_assert_eq!(&seen["millrace.truncated"], &json!({"gen_ai.input.messages": missing, "RawRequest": missing}));
            let raw: Value = serde_json::from_str(&raw(&body.to_string(), LIMITS)[0]).unwrap();
            prop_assert_eq!(&raw["messages"][0]["content"][1]["text"], content);
        }
    }
}

#[test]
fn every_place_of_a_text_is_bounded_and_the_rest_is_whole() {
    let long = "é".repeat(100);
    let arguments = json!({"a": long, "b": [1, long]}).to_string();
    let body = json!({
        "provider": "p", "session_id": "s", "tags": ["t", long],
        "request": {
            "model": "m", "user": long, "stop": ["x", long], "metadata": {"k": long, "n": 1.50},
            "tools": [{"type": "function", "function": {"name": "f", "description": long, "parameters": {"type": "object"}}}],
            "messages": [
                {"role": "user", "name": long, "content": [{"type": "odd", "deep": [{"er": long}], "n": 7}]},
                {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}, {"id": "d", "function": {"name": "g", "arguments": long}}]},
                {"role": "tool", "tool_call_id": "c", "content": long},
            ],
        },
        "response": {
            "id": "r", "note": long, "usage": {"prompt_tokens": 3, "completion_tokens": 4},
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": long, "refusal": long, "reasoning": long}}],
        },
    });
    let whole = attributes(&body, Limits::default());
    let seen = attributes(&body, LIMITS);
    let mut lost = Value::Object(serde_json::Map::new());
    for (key, value) in whole.as_object().unwrap() {
        let missing = compare(value, &seen[key], key);
        if missing > 0 {
            lost[key] = missing.into();
        }
    }
    assert_eq!(lost.as_object().unwrap().len(), 8, "{lost}");
    for (column, (sent, kept)) in ["request", "response"]
        .into_iter()
        .zip(raw(&body.to_string(), LIMITS))
        .map(|(name, kept)| (name, (&body[name], kept)))
    {
        let missing = compare(sent, &serde_json::from_str(&kept).unwrap(), column);
        lost[if column == "request" { "RawRequest" } else { "RawResponse" }] = missing.into();
    }
    assert_eq!(seen["millrace.truncated"], lost, "an attribute says what was cut where");
}

/// Checks that `seen` is `whole` but for texts that were cut. Gives the bytes that are missing.
fn compare(whole: &Value, seen: &Value, place: &str) -> usize {
    match (whole, seen) {
        (Value::String(whole), Value::String(seen)) if whole.len() > LIMITS.max_value_bytes => {
            let (kept, missing) = cut(seen);
            assert!(whole.starts_with(kept) && kept.len() + missing == whole.len(), "{place}: {seen}");
            missing
        }
        (Value::Array(whole), Value::Array(seen)) => {
            assert_eq!(whole.len(), seen.len(), "{place}");
            whole.iter().zip(seen).map(|(whole, seen)| compare(whole, seen, place)).sum()
        }
        (Value::Object(whole), Value::Object(seen)) => {
            assert!(whole.keys().eq(seen.keys()), "{place}");
            whole.iter().map(|(key, whole)| compare(whole, &seen[key], &format!("{place}.{key}"))).sum()
        }
        (whole, seen) => {
            assert_eq!(whole, seen, "{place}");
            0
        }
    }
}

fn reference(bytes: &[u8]) -> Value {
    let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"type": "uri", "uri": format!("millrace://blob/sha256/{hash}"), "size": bytes.len(), "sha256": hash})
}

#[test]
fn media_over_the_limit_become_references_wherever_they_stand() {
    let bytes: Vec<u8> = (0..25).collect();
    let (large, small) = (STANDARD.encode(&bytes), STANDARD.encode(&bytes[..24]));
    let url = |data: &str| format!("data:image/png;base64,{data}");
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    let forms = json!([
        {"type": "image_url", "image_url": {"url": url(&large), "detail": "low"}},
        {"type": "image_url", "image_url": url(&large)},
        {"type": "image_url", "image_url": {"url": format!("data:image/png,{percent}")}},
        {"type": "input_audio", "input_audio": {"data": large, "format": "wav"}},
        {"type": "file", "file": {"file_data": url(&large), "filename": "a.png"}},
        {"type": "image_url", "image_url": {"url": url(&small)}},
        {"type": "text", "text": "unharmed"},
    ]);
    let mut body = with_message(&forms);
    body["request"]["messages"]
        .as_array_mut()
        .unwrap()
        .push(json!({"role": "tool", "tool_call_id": "c", "content": forms}));
    body["response"] = json!({"choices": [{"index": 0, "finish_reason": "stop", "message": {
        "role": "assistant", "content": "seen", "audio": {"id": "a", "data": large, "transcript": "t"}, "images": [{"type": "image_url", "image_url": {"url": url(&large)}}],
    }}]});
    let seen = attributes(&body, LIMITS);
    let image = json!({"modality": "image", "mime_type": "image/png"});
    let audio = json!({"modality": "audio", "mime_type": "audio/wav"});
    let with = |base: &Value, more: &[&Value]| {
        let mut all = base.clone();
        more.iter().for_each(|members| all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone()));
        all
    };
    let large = reference(&bytes);
    let want = json!([
        with(&large, &[&image, &json!({"detail": "low"})]),
        with(&large, &[&image]),
        with(&large, &[&image]),
        with(&large, &[&audio]),
        with(&large, &[&image, &json!({"filename": "a.png"})]),
        with(&json!({"type": "blob", "content": small}), &[&image]),
        {"type": "text", "content": "unharmed"},
    ]);
    let input = &seen["gen_ai.input.messages"];
    assert_eq!(input[0]["parts"], want);
    assert_eq!(input[1]["parts"][0]["response"], want, "in a tool's answer too");
    let output = json!([
        {"type": "text", "content": "seen"},
        with(&large, &[&image]),
        with(&large, &[&json!({"modality": "audio", "id": "a", "transcript": "t"})]),
    ]);
    assert_eq!(seen["gen_ai.output.messages"][0]["parts"], output);
    let replaced =
        json!({"gen_ai.input.messages": 10, "gen_ai.output.messages": 2, "RawRequest": 10, "RawResponse": 2});
    assert_eq!(seen["millrace.media.replaced"], replaced);
    assert_eq!(seen.get("millrace.truncated"), None, "a medium is never cut");

    // the same references stand where the media stood; all else is as it was sent
    let [raw_request, raw_response] = raw(&body.to_string(), LIMITS);
    let uri = large["uri"].as_str().unwrap();
    let without = |sent: &Value| {
        let data = STANDARD.encode(&bytes);
        let in_urls = sent.to_string().replace(&url(&data), uri).replace(&format!("data:image/png,{percent}"), uri);
        in_urls.replace(&data, uri)
    };
    assert_eq!((raw_request, raw_response), (without(&body["request"]), without(&body["response"])));
}

#[test]
fn a_streamed_medium_is_hashed_as_a_whole() {
    let bytes: Vec<u8> = (0..30).collect();
    let chunk = |bytes: &[u8]| json!({"choices": [{"index": 0, "delta": {"audio": {"data": STANDARD.encode(bytes)}}}]});
    let mut body = with_message(&json!("x"));
    body["response"] = json!([chunk(&bytes[..7]), chunk(&bytes[7..]), {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]);
    let part = &attributes(&body, LIMITS)["gen_ai.output.messages"][0]["parts"][0];
    assert_eq!((&part["sha256"], &part["size"]), (&reference(&bytes)["sha256"], &json!(30)));

    // of the pieces in the raw chunks the first becomes the reference of the whole, in whatever wrapping they came
    let uri = reference(&bytes)["uri"].clone();
    let chunks = body["response"].as_array().unwrap().clone();
    let mut want = chunks.clone();
    want[0]["choices"][0]["delta"]["audio"]["data"] = uri;
    want[1]["choices"][0]["delta"]["audio"]["data"] = "".into();
    let lines = |chunks: &[Value]| chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect::<Vec<_>>();
    let strings = |chunks: &[Value]| chunks.iter().map(Value::to_string).collect::<Vec<_>>();
    let roomy = Limits { max_value_bytes: 1000, ..LIMITS };
    for (sent, want) in [
        (json!(chunks), json!(want)),
        (json!(lines(&chunks)), json!(lines(&want))),
        (json!(strings(&chunks)), json!(strings(&want))),
        (json!(lines(&chunks).concat()), json!(lines(&want).concat())),
    ] {
        body["response"] = sent;
        assert_eq!(raw(&body.to_string(), roomy)[1], want.to_string());
        assert_eq!(
            attributes(&body, roomy)["millrace.media.replaced"],
            json!({"gen_ai.output.messages": 1, "RawResponse": 1})
        );
    }
}

#[test]
fn raw_texts_are_the_bytes_that_were_sent() {
    let request = "{ \"model\" : \"m\",\n\t\"messages\":[ ], \"z\": 1.50e+00, \"a\":\"\\u00e9\\/\\ud83d\", \"a\" : [ 123456789012345678901234567890 ] }";
    let response = r#"[ {"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"token":"x","logprob":-0.10}]}}]} , {"choices":[{"index":0,"delta":{},"finish_reason":"stop","token_ids":[1, 2]}]} ]"#;
    let body = format!(r#"{{ "request" : {request} , "provider":"p", "response":{response}}}"#);
    assert_eq!(raw(&body, Limits::default()), [request, response]);
    // limits that nothing in them reaches, although all of them together does
    assert_eq!(raw(&body, Limits { max_value_bytes: 60, max_inline_media_bytes: 1 }), [request, response]);
    let off = ParseOptions { keep_raw: false, ..ParseOptions::default() };
    crate::spans::with_span(&body, off, |span| assert_eq!(span.raw, millrace::chat::Raw::default()));
}

#[test]
fn a_data_url_whose_header_is_too_long_is_cut_as_a_text() {
    let url = format!("data:image/{},AA", "x".repeat(60));
    let body = with_message(&json!([{"type": "image_url", "image_url": {"url": url}}]));
    let request: Value = serde_json::from_str(&raw(&body.to_string(), LIMITS)[0]).unwrap();
    let (kept, missing) = cut(request["messages"][0]["content"][0]["image_url"]["url"].as_str().unwrap());
    assert_eq!((kept, missing), (&url[..40], url.len() - 40));
}

#[test]
fn around_what_is_cut_raw_texts_are_the_bytes_that_were_sent() {
    let text =
        |long: &str| format!(r#"{{ "model":"m", "messages": [], "n" : 1.0, "long" : "{long}" , "e":"\u00e9" }}"#);
    let body = format!(r#"{{"request":{},"response":{{"choices":[]}}}}"#, text(&"\\u00e9".repeat(30)));
    let [request, _] = raw(&body, LIMITS);
    assert_eq!(request, text(&format!("{}…[20 bytes cut by millrace]", "é".repeat(20))));
}

#[test]
fn a_medium_that_would_be_cut_as_a_text_becomes_a_reference() {
    let limits = Limits { max_value_bytes: 40, max_inline_media_bytes: 1000 };
    let bytes: Vec<u8> = (0..60).collect();
    let body = with_message(
        &json!([{"type": "input_audio", "input_audio": {"data": STANDARD.encode(&bytes), "format": "mp3"}}]),
    );
    let seen = attributes(&body, limits);
    let part = &seen["gen_ai.input.messages"][0]["parts"][0];
    assert_eq!((&part["type"], &part["sha256"]), (&json!("uri"), &reference(&bytes)["sha256"]));
}

#[test]
fn the_limits_by_default_are_a_mebibyte_and_64_kibibytes() {
    let text = "x".repeat((1 << 20) + 5);
    let media = |bytes: usize| STANDARD.encode(vec![0_u8; bytes]);
    let body = with_message(&json!([
        {"type": "text", "text": text}, {"type": "text", "text": &text[5..]},
        {"type": "input_audio", "input_audio": {"data": media(64 << 10), "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": media((64 << 10) + 1), "format": "wav"}},
    ]));
    let seen = attributes(&body, Limits::default());
    let parts = &seen["gen_ai.input.messages"][0]["parts"];
    assert_eq!(cut(parts[0]["content"].as_str().unwrap()).1, 5);
    assert_eq!(parts[1]["content"].as_str().map(str::len), Some(1 << 20));
    assert_eq!((&parts[2]["type"], &parts[3]["type"]), (&json!("blob"), &json!("uri")));
    assert_eq!(parts[3]["size"], (64 << 10) + 1);
}
