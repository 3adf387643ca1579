//! Messages of chat-completions in the conventions' form.

use serde_json::{Value as Json, json};

use super::*;
use crate::genai::messages::reader::READER;
use crate::json::document::Document;
use crate::json::limits::Limits;

fn input(message: Json) -> Json {
    let text = json!([message]).to_string();
    let document = Document::parse(text).unwrap();
    let mut json = JsonWriter::new(Limits::default());
    write_input(&mut json, document.root());
    serde_json::from_str::<Json>(&json.finish().0).unwrap()[0].clone()
}

fn output(choice: Json, streamed: bool) -> Json {
    let document = Document::parse(choice.to_string()).unwrap();
    let mut json = JsonWriter::new(Limits::default());
    write_output(
        &mut json,
        &[document.root()],
        Answered { is_streamed: streamed, audio_mime: Some("audio/wav"), reader: None },
    );
    serde_json::from_str::<Json>(&json.finish().0).unwrap()[0].clone()
}

fn parts(message: Json) -> Json {
    input(message)["parts"].clone()
}

#[test]
fn empty_content_stays_only_where_nothing_else_is() {
    assert_eq!(parts(json!({"role":"user","content":""})), json!([{"type":"text","content":""}]));
    assert_eq!(parts(json!({"role":"user","content":null})), json!([]));
    let with_call = json!({"role":"assistant","content":"","function_call":{"name":"f","arguments":""}});
    assert_eq!(parts(with_call), json!([{"type":"tool_call","name":"f","arguments":{}}]));
    assert_eq!(output(json!({"message":{"content":""}}), false)["parts"], json!([]));
}

#[test]
fn every_content_part_has_its_form() {
    let table = [
        (json!("bare"), json!({"type":"text","content":"bare"})),
        (
            json!({"type":"input_text","text":"t","cache_control":{"type":"e"}}),
            json!({"type":"text","content":"t","cache_control":{"type":"e"}}),
        ),
        (json!({"text":"untyped"}), json!({"type":"text","content":"untyped"})),
        (json!({"type":"text","text":7}), json!({"type":"generic","generic_type":"text","text":7})),
        (
            json!({"type":"image_url","image_url":"https://x/a.png"}),
            json!({"type":"uri","modality":"image","uri":"https://x/a.png"}),
        ),
        (
            json!({"type":"audio_url","audio_url":{"url":"https://x/a"}}),
            json!({"type":"uri","modality":"audio","uri":"https://x/a"}),
        ),
        (
            json!({"type":"image_url","image_url":{}}),
            json!({"type":"generic","generic_type":"image_url","image_url":{}}),
        ),
        (
            json!({"type":"input_audio","input_audio":{"data":"https://x/a","format":"mp3"}}),
            json!({"type":"uri","modality":"audio","mime_type":"audio/mpeg","uri":"https://x/a"}),
        ),
        (
            json!({"type":"input_audio","input_audio":{"data":"AA","format":"ogg"}}),
            json!({"type":"blob","modality":"audio","content":"AA","format":"ogg"}),
        ),
        (
            json!({"type":"file","file":{"file_data":"https://x/a.pdf","filename":"a.pdf"}}),
            json!({"type":"uri","modality":"document","mime_type":"application/pdf","uri":"https://x/a.pdf","filename":"a.pdf"}),
        ),
        (
            json!({"type":"file","file":{"file_data":"AA","filename":"a.png"}}),
            json!({"type":"blob","modality":"image","mime_type":"image/png","content":"AA","filename":"a.png"}),
        ),
        (json!({"type":"refusal","refusal":"no"}), json!({"type":"generic","generic_type":"refusal","content":"no"})),
        (
            json!({"type":"thinking","thinking":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"signature":"s"}),
            json!({"type":"reasoning","content":"ab","signature":"s"}),
        ),
        (
            json!({"type":"reasoning","summary":[{"type":"summary_text","text":"a"}]}),
            json!({"type":"reasoning","content":"a"}),
        ),
        (
            json!({"type":"reference","reference_ids":[1],"x":null}),
            json!({"type":"generic","generic_type":"reference","reference_ids":[1]}),
        ),
        (json!(7), json!({"type":"generic","content":7})),
    ];
    for (part, want) in table {
        assert_eq!(parts(json!({"role":"user","content":[part]})), json!([want]), "{part}");
    }
}

#[test]
fn tool_calls_of_all_producers_are_calls() {
    let calls = json!([
        {"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1.50}"},"extra_content":{"google":1}},
        {"id":"null","function":{"name":"g","arguments":{"b":[2]}},"index":0},
        {"id":"","type":"function","function":{"name":"h","arguments":"{\"a\":"}},
        {"id":"4","type":"custom","custom":{"name":"c","input":"{}"}},
        {"id":"5","type":"function","function":{"name":"i","arguments":"null"}},
        {"id":"6","type":"web","what":1},
    ]);
    let want = json!([
        {"type":"tool_call","id":"1","name":"f","arguments":"number text is compared below","extra_content":{"google":1}},
        {"type":"tool_call","name":"g","arguments":{"b":[2]}},
        {"type":"tool_call","name":"h","arguments":"{\"a\":"},
        {"type":"tool_call","id":"4","name":"c","arguments":"{}","tool_type":"custom"},
        {"type":"tool_call","id":"5","name":"i","arguments":"null"},
        {"type":"tool_call","id":"6","name":"","original_type":"web","what":1},
    ]);
    let got = parts(json!({"role":"assistant","content":null,"tool_calls":calls}));
    assert_eq!(got[0]["arguments"].to_string(), r#"{"a":1.50}"#);
    assert_eq!(got.as_array().unwrap()[1..], want.as_array().unwrap()[1..]);
}

#[test]
fn tools_answer_with_text_or_parts_and_functions_are_tools() {
    let function = input(json!({"role":"function","name":"f","content":"14"}));
    let want = json!({"role":"tool","parts":[{"type":"tool_call_response","response":"14"}],"name":"f","original_role":"function"});
    assert_eq!(function, want);
    let image = json!([{"type":"image_url","image_url":"https://x"}, "t"]);
    let want = json!([{"type":"tool_call_response","id":"c","response":[{"type":"uri","modality":"image","uri":"https://x"},{"type":"text","content":"t"}]}]);
    assert_eq!(parts(json!({"role":"tool","tool_call_id":"c","content":image})), want);
    let silent = input(json!({"role":"tool","tool_call_id":"c"}));
    assert_eq!(silent, json!({"role":"tool","parts":[],"tool_call_id":"c"}));
}

#[test]
fn reasoning_comes_first_from_the_best_source() {
    let reasoning = |message: Json| output(json!({"message":message}), false)["parts"].clone();
    let part = |text: &str| json!({"type":"reasoning","content":text});
    assert_eq!(reasoning(json!({"content":"x","reasoning_content":"a","reasoning":"a"}))[0], part("a"));
    assert_eq!(reasoning(json!({"reasoning":"b","reasoning_content":""}))[0], part("b"));
    let details = json!([{"type":"reasoning.text","text":"c"},{"type":"reasoning.summary","summary":"d"},{"type":"reasoning.encrypted","data":"e"}]);
    let want = json!([{"type":"reasoning","content":"cd","reasoning_details":details}]);
    assert_eq!(reasoning(json!({"reasoning_details":details})), want);
    let blocks = json!([{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"r"}]);
    let want = json!([{"type":"reasoning","content":"t","signature":"s"},{"type":"generic","generic_type":"redacted_thinking","data":"r"}]);
    assert_eq!(reasoning(json!({"thinking_blocks":blocks,"reasoning_content":"t"})), want);
}

#[test]
fn output_keeps_refusal_images_audio_and_annotations() {
    let message = json!({
        "content":"see","refusal":"no","images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}],
        "audio":{"id":"a1","data":"AA==","transcript":"hi","expires_at":5},"annotations":[{"type":"url_citation"}],
        "executed_tools":[1],"provider_specific_fields":null
    });
    let choice = json!({"index":0,"message":message,"finish_reason":"stop","logprobs":{},"stop_reason":7,
        "content_filter_results":{"hate":{"filtered":false}},"native_finish_reason":"end"});
    let want = json!({"role":"assistant","parts":[
        {"type":"text","content":"see","annotations":[{"type":"url_citation"}]},
        {"type":"generic","generic_type":"refusal","content":"no"},
        {"type":"blob","modality":"image","mime_type":"image/png","content":"AA=="},
        {"type":"blob","modality":"audio","mime_type":"audio/wav","content":"AA==","id":"a1","transcript":"hi","expires_at":5},
    ],"executed_tools":[1],"finish_reason":"stop","stop_reason":7,"content_filter_results":{"hate":{"filtered":false}},"native_finish_reason":"end"});
    assert_eq!(output(choice, false), want);
    let history = parts(json!({"role":"assistant","audio":{"id":"a1"}}));
    assert_eq!(history, json!([{"type":"file","modality":"audio","file_id":"a1"}]));
}

#[test]
fn a_streams_parts_stand_in_the_order_of_appearance() {
    let choice = json!({"message":{"tool_calls":[{"id":"1","function":{"name":"f"}}],"content":"x","reasoning":"y"}});
    let kinds = |streamed| -> Vec<String> {
        let parts = output(choice.clone(), streamed)["parts"].clone();
        parts.as_array().unwrap().iter().map(|part| part["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(true), ["tool_call", "text", "reasoning"]);
    assert_eq!(kinds(false), ["reasoning", "text", "tool_call"]);
}

/// Any message, as `write_loose` writes it.
fn loose(message: &Json, is_output: bool) -> Json {
    let document = Document::parse(message.to_string()).unwrap();
    let mut json = JsonWriter::new(Limits::default());
    let loose = Loose { is_output, role: "user", finish_reason: None, calls: &[], reader: READER };
    write_loose(&mut json, document.root(), &loose);
    serde_json::from_str(&json.finish().0).unwrap()
}

#[test]
fn a_message_that_was_written_is_read_as_what_it_is() {
    let members = [
        ("content", json!("14")),
        ("content", json!([{"type":"text","text":"14"},{"type":"image_url","image_url":"https://x"}])),
        ("parts", json!([{"type":"text","content":"14"}])),
        ("parts", json!([{"type":"tool_call","name":"g"}])),
        ("reasoning", json!("2 and 2")),
        ("reasoning_details", json!([{"text":"2 and 2"}])),
        ("thinking_blocks", json!([{"type":"redacted_thinking","data":"x"}])),
        ("thinking_blocks", json!([{"type":"thinking","thinking":"two and two","signature":"s"}])),
        ("refusal", json!("no")),
        ("images", json!(["https://y"])),
        ("audio", json!({"id":"a"})),
        ("tool_calls", json!([{"id":"1","function":{"name":"f","arguments":"{}"}}])),
        ("function_call", json!({"name":"h"})),
        ("tool_call_id", json!("call_1")),
    ];
    // up to five of them together
    for set in (0..1_u32 << members.len()).filter(|set| set.count_ones() <= 5) {
        for (role, is_output) in
            [("tool", false), ("tool", true), ("function", false), ("assistant", false), ("user", true)]
        {
            let mut message = json!({"role":role});
            for (bit, (name, value)) in members.iter().enumerate() {
                if set & (1 << bit) != 0 {
                    message[*name] = value.clone();
                }
            }
            let once = loose(&message, is_output);
            assert_eq!(loose(&once, is_output), once, "of {message}");
            let has_id = message.get("tool_call_id").is_some();
            assert_eq!(once.to_string().contains("call_1"), has_id, "{once} of {message}");
        }
    }
}

#[test]
fn calls_of_a_tool_are_no_response() {
    let calls = json!([{"function":{"name":"f","arguments":"{}"}}]);
    let got = loose(&json!({"role":"tool","tool_call_id":"c","tool_calls":calls}), false);
    assert_eq!(got, json!({"role":"tool","parts":[{"type":"tool_call","name":"f","arguments":{}}],"tool_call_id":"c"}));
    let got = loose(&json!({"role":"tool","tool_call_id":"c","images":["https://y"]}), false);
    let image = json!({"type":"uri","modality":"image","uri":"https://y"});
    assert_eq!(got, json!({"role":"tool","parts":[{"type":"tool_call_response","id":"c","response":[image]}]}));
}
