//! Every form of messages, as the conventions' parts, valid by the conventions' own schemas.

use super::{Row, column, event, json_column, row, row_of};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

fn schema(name: &str) -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas").join(name);
    jsonschema::draft7::new(&serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).unwrap()
}

/// Input, output and tools of a row, each valid where it is there.
fn columns(row: &Row) -> [Json; 3] {
    let columns = ["InputMessages", "OutputMessages", "ToolDefinitions"].map(|name| json_column(row, name));
    let schemas = ["gen-ai-input-messages", "gen-ai-output-messages", "gen-ai-tool-definitions"];
    for (value, name) in columns.iter().zip(schemas) {
        // the finish reason of an output message is optional since the schema was published
        let complete = |message: &Json| {
            let mut message = message.clone();
            if name.contains("output") && message.get("finish_reason").is_none() {
                message["finish_reason"] = json!("stop");
            }
            message
        };
        if let Some(items) = value.as_array() {
            let value: Json = items.iter().map(complete).collect();
            assert!(schema(&format!("{name}.2026-08-15.json")).is_valid(&value), "{name}: {value}");
        }
    }
    columns
}

fn content_keys(row: &Row) -> Vec<String> {
    let entries = column(row, "ContentAttributes");
    entries.as_array().into_iter().flatten().map(|entry| entry[0].as_str().unwrap().to_owned()).collect()
}

fn text(content: &str) -> Json {
    json!({"type": "text", "content": content})
}

fn user(content: &str) -> Json {
    json!({"role": "user", "parts": [text(content)]})
}

fn call(id: &str, name: &str, arguments: Json) -> Json {
    json!({"type": "tool_call", "id": id, "name": name, "arguments": arguments})
}

fn answer(id: &str, response: Json) -> Json {
    json!({"role": "tool", "parts": [{"type": "tool_call_response", "id": id, "response": response}]})
}

fn input(attributes: Json) -> Json {
    let [input, _, _] = columns(&row(attributes));
    input
}

fn output(attributes: Json) -> Json {
    let [_, output, _] = columns(&row(attributes));
    output
}

#[test]
fn what_is_canonical_is_kept_byte_for_byte_and_once() {
    let sent = r#"[ {"role": "system", "parts": [{"type": "text", "content": "Be \u00e9 brief"}]},
        {"role": "user", "name": "ana", "parts": [{"content": "hi", "type": "text", "x": {"y": 1.50}}]},
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "r"}, {"type": "tool_call", "name": "f", "arguments": {"a": [1]}}], "finish_reason": "tool_call"},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": "18"}]},
        {"role": "user", "parts": [{"type": "uri", "modality": "image", "uri": "https://x/a"}, {"type": "blob", "modality": "audio", "content": "AAEC"}, {"type": "file", "modality": "document", "file_id": "f"}, {"type": "generic", "generic_type": "z"}]} ]"#;
    let answered = r#"[{"role":"assistant","parts":[{"type":"text","content":"4"}],"finish_reason":"stop"}]"#;
    let tools = r#"[{"type":"function","name":"f","parameters":{"type":"object"}}]"#;
    let row = row(
        json!({"gen_ai.input.messages": sent, "gen_ai.output.messages": answered, "gen_ai.tool.definitions": tools,
        "gen_ai.response.finish_reasons": ["end_turn"], "gen_ai.system_instructions": r#"[{"type":"text","content":"First."}]"#}),
    );
    columns(&row);
    assert_eq!(column(&row, "InputMessages"), sent);
    assert_eq!(column(&row, "OutputMessages"), answered);
    assert_eq!(column(&row, "ToolDefinitions"), tools);
    assert_eq!(content_keys(&row), ["gen_ai.system_instructions"]);
    assert_eq!(column(&row, "SystemPrompt"), "First.\nBe é brief");
}

#[test]
fn what_is_rewritten_is_kept_as_sent_too() {
    let row = row(json!({"gen_ai.input.messages": r#"[{"role":"user","content":"hi"}]"#, "x": "y"}));
    assert_eq!(columns(&row)[0], json!([user("hi")]));
    assert_eq!(
        column(&row, "ContentAttributes"),
        json!([["gen_ai.input.messages", r#"[{"role":"user","content":"hi"}]"#]])
    );
    assert_eq!(column(&row, "SpanAttributes"), json!([["x", "y"]]));
}

#[test]
fn messages_in_the_conventions_attributes_are_read_leniently() {
    let table = [
        // LiteLLM: text for content, calls and ids beside the parts
        (json!([{"role":"user","parts":[{"type":"text","text":"a"}]}]), json!([user("a")])),
        (
            json!([{"role":"assistant","parts":[],"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]}]),
            json!([{"role":"assistant","parts":[call("c", "f", json!({"x":1}))]}]),
        ),
        (
            json!([{"role":"tool","parts":[{"type":"text","text":"18C"}],"tool_call_id":"c"}]),
            json!([answer("c", json!("18C"))]),
        ),
        // pydantic-ai: arguments as a text, results of the user, under another name
        (
            json!([{"role":"user","parts":[{"type":"tool_call_response","id":"c","result":{"t":18}}]}]),
            json!([answer("c", json!({"t":18}))]),
        ),
        (
            json!([{"role":"assistant","parts":[{"type":"tool_call","id":"c","name":"f","arguments":"{}"}]}]),
            json!([{"role":"assistant","parts":[call("c", "f", json!({}))]}]),
        ),
        // nulls go, and objects of nothing but nulls
        (
            json!([{"role":"user","parts":[{"type":"text","content":"a"}],"name":null,"provider_specific_fields":{"refusal":null}}]),
            json!([user("a")]),
        ),
        // parts of the chat-completions API, of Anthropic, of Gemini
        (
            json!([{"role":"user","parts":[{"type":"image_url","image_url":{"url":"https://x/a.png"}},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAEC"}}]}]),
            json!([{"role":"user","parts":[{"type":"uri","modality":"image","uri":"https://x/a.png"},{"type":"blob","modality":"image","mime_type":"image/png","content":"AAEC"}]}]),
        ),
        (
            json!([{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"tool_use","id":"c","name":"f","input":{"x":1}}]},
                {"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":[{"type":"text","text":"18"}]}]}]),
            json!([{"role":"assistant","parts":[{"type":"reasoning","content":"hm","signature":"s"},call("c", "f", json!({"x":1}))]},
                {"role":"user","parts":[{"type":"tool_call_response","id":"c","response":"18"}]}]),
        ),
        (
            json!({"contents":[{"role":"model","parts":[{"text":"a"},{"function_call":{"name":"f","args":{"x":1}}}]}],"config":{"system_instruction":"s"}}),
            json!([{"role":"system","parts":[text("s")]},{"role":"assistant","parts":[text("a"),{"type":"tool_call","name":"f","arguments":{"x":1}}]}]),
        ),
        (
            json!([{"role":"user","parts":[{"type":"something","a":1},{"type":"uri","modality":"image","uri":"data:image/png;base64,AAEC"}]}]),
            json!([{"role":"user","parts":[{"type":"generic","generic_type":"something","a":1},{"type":"blob","modality":"image","mime_type":"image/png","content":"AAEC"}]}]),
        ),
        (json!(["a", {"type":"human","content":"b"}]), json!([user("a"), user("b")])),
        (json!({"role":"user","content":"a"}), json!([user("a")])),
    ];
    for (sent, want) in table {
        assert_eq!(input(json!({"gen_ai.input.messages": sent.to_string()})), want, "{sent}");
        // structured, it comes as the same text
        assert_eq!(input(json!({"gen_ai.input.messages": sent})), want, "{sent}");
    }
    assert_eq!(
        input(json!({"gen_ai.input.messages": "[{\"role\":\"user\",\"par"})),
        json!([user("[{\"role\":\"user\",\"par")])
    );
}

#[test]
fn an_output_message_says_why_it_ended() {
    let said = json!([{"role":"assistant","parts":[{"type":"text","content":"a"}]}]).to_string();
    let with = |reason: &str| json!([{"role":"assistant","parts":[text("a")],"finish_reason":reason}]);
    assert_eq!(
        output(json!({"gen_ai.output.messages": said, "gen_ai.response.finish_reasons": ["end_turn"]})),
        with("stop")
    );
    assert_eq!(output(json!({"gen_ai.output.messages": said})), json!([{"role":"assistant","parts":[text("a")]}]));
    let own = json!([{"role":"assistant","content":"a","finish_reason":"tool_calls"}]).to_string();
    assert_eq!(
        output(json!({"gen_ai.output.messages": own, "gen_ai.response.finish_reasons": ["stop"]})),
        with("tool_call")
    );
}

#[test]
fn litellm_numbers_function_calls_apart_from_completions() {
    let sent = json!({
        "gen_ai.output.messages": r#"[{"role":"assistant","parts":[],"finish_reason":"tool_calls"}]"#,
        "gen_ai.completion.0.function_call.name": "f", "gen_ai.completion.0.function_call.arguments": "{\"x\":1}",
        "gen_ai.completion.1.function_call.name": "g", "gen_ai.completion.1.function_call.arguments": "",
    });
    let calls =
        json!([{"type":"tool_call","name":"f","arguments":{"x":1}},{"type":"tool_call","name":"g","arguments":{}}]);
    assert_eq!(output(sent), json!([{"role":"assistant","parts":calls,"finish_reason":"tool_call"}]));
}

#[test]
fn the_details_event_completes_the_span_and_keeps_its_own_attributes() {
    let details = event(
        "gen_ai.client.inference.operation.details",
        json!({"gen_ai.input.messages": [{"role":"user","parts":[{"type":"text","content":"hi"}]}], "gen_ai.request.model": "other", "gen_ai.response.id": "r"}),
    );
    let row =
        row_of("", &json!({"gen_ai.operation.name":"chat","gen_ai.request.model":"m"}), &json!({"events":[details]}));
    assert_eq!(columns(&row)[0], json!([user("hi")]));
    assert_eq!([column(&row, "RequestModel"), column(&row, "ResponseId")], [json!("m"), json!("r")]);
    assert_eq!(content_keys(&row), ["events.1.gen_ai.input.messages"]);
    assert_eq!(
        column(&row, "Events.Attributes"),
        json!([[["gen_ai.request.model", "other"], ["gen_ai.response.id", "r"]]])
    );
}

#[test]
fn each_message_event_is_one_message() {
    let events = json!({"events": [
        event("gen_ai.system.message", json!({"content": "Be brief", "gen_ai.system": "openai"})),
        event("gen_ai.user.message", json!({"content": "hi"})),
        event("gen_ai.assistant.message", json!({"tool_calls": [{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]})),
        event("gen_ai.tool.message", json!({"id": "c", "content": "18C"})),
        event("gen_ai.choice", json!({"index": 1, "finish_reason": "length", "message": "{\"content\":\"b\"}"})),
        event("gen_ai.choice", json!({"index": 0, "finish_reason": "stop", "message": {"role":"assistant","content":"a"}})),
    ]});
    let row = row_of("", &json!({"gen_ai.operation.name": "chat"}), &events);
    let [input, output, _] = columns(&row);
    let want = json!([{"role":"system","parts":[text("Be brief")]}, user("hi"),
        {"role":"assistant","parts":[call("c", "f", json!({}))]}, answer("c", json!("18C"))]);
    assert_eq!(input, want);
    assert_eq!(
        output,
        json!([{"role":"assistant","parts":[text("a")],"finish_reason":"stop"},{"role":"assistant","parts":[text("b")],"finish_reason":"length"}])
    );
    assert_eq!(
        (column(&row, "SystemPrompt"), column(&row, "FinishReasons")),
        (json!("Be brief"), json!(["stop", "length"]))
    );
    // Azure has the JSON in one attribute
    let azure = json!({"events": [event("gen_ai.user.message", json!({"gen_ai.event.content": "{\"content\":\"hi\"}"})),
        event("gen_ai.choice", json!({"gen_ai.event.content": "{\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\",\"index\":0}"}))]});
    let [input, output, _] = columns(&row_of("", &json!({}), &azure));
    assert_eq!(
        (input, output),
        (json!([user("hi")]), json!([{"role":"assistant","parts":[text("a")],"finish_reason":"stop"}]))
    );
}

#[test]
fn an_events_message_may_be_nothing_but_its_content() {
    let choice = |message: Json| {
        let events =
            json!({"events": [event("gen_ai.choice", json!({"finish_reason": "tool_use", "message": message}))]});
        columns(&row_of("", &json!({"gen_ai.operation.name": "chat"}), &events))[1].clone()
    };
    let blocks = json!([{"text": "Let me look."}, {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Lima"}}}]);
    let want = |parts: Json| json!([{"role": "assistant", "parts": parts, "finish_reason": "tool_call"}]);
    let both = want(json!([text("Let me look."), call("t1", "weather", json!({"city": "Lima"}))]));
    assert_eq!(choice(json!(blocks.to_string())), both, "Strands");
    assert_eq!(choice(blocks), both);
    assert_eq!(choice(json!("Lima.")), want(json!([text("Lima.")])));
}

#[test]
fn bodies_of_other_apis_are_read_wherever_they_stand() {
    let sides = |attributes: Json| {
        let row = row(attributes);
        let [input, output, _] = columns(&row);
        (input, output)
    };
    let answered = |reason: &str| json!([{"role": "assistant", "parts": [text("Lima.")], "finish_reason": reason}]);
    for (request, response, reason) in [
        (
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}),
            json!({"object": "response", "status": "completed", "output": [{"type": "message", "role": "assistant",
                "content": [{"type": "output_text", "text": "Lima."}]}]}),
            "stop",
        ),
        (
            json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}),
            json!({"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Lima."}], "stop_reason": "end_turn"}),
            "stop",
        ),
        (
            json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
            json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "Lima."}]}, "finishReason": "MAX_TOKENS"}]}),
            "length",
        ),
        (
            json!({"modelId": "m", "messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
            json!({"output": {"message": {"role": "assistant", "content": [{"text": "Lima."}]}}, "stopReason": "end_turn"}),
            "stop",
        ),
        (
            json!({"model": "m", "prompt": "hi"}),
            json!({"choices": [{"text": "Lima.", "index": 0, "finish_reason": "stop"}]}),
            "stop",
        ),
    ] {
        for (sent, got) in
            [("input.value", "output.value"), ("langfuse.observation.input", "langfuse.observation.output")]
        {
            let attributes =
                json!({"gen_ai.operation.name": "chat", sent: request.to_string(), got: response.to_string()});
            assert_eq!(sides(attributes), (json!([user("hi")]), answered(reason)), "{request} {response}");
        }
    }
    let event =
        |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    let stream = json!([{"type": "message_start", "message": {"role": "assistant"}}, event("Li"), event("ma."),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}]);
    let streamed = output(json!({"gen_ai.operation.name": "chat", "output.value": stream.to_string()}));
    assert_eq!(streamed, answered("stop"));
}

#[test]
fn what_langchain_serialises_is_messages() {
    let message = |class: &str, content: &str| json!({"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", class], "kwargs": {"content": content}});
    let prompts = json!({"messages": [[message("SystemMessage", "Be brief."), message("HumanMessage", "hi")]]});
    let want = json!([{"role": "system", "parts": [text("Be brief.")]}, user("hi")]);
    assert_eq!(input(json!({"gen_ai.operation.name": "chat", "input.value": prompts.to_string()})), want);
    let answers = json!({"generations": [[{"text": "Lima.", "message": message("AIMessageChunk", "Lima.")}]], "llm_output": null});
    let want = json!([{"role": "assistant", "parts": [text("Lima.")]}]);
    assert_eq!(output(json!({"gen_ai.operation.name": "chat", "output.value": answers.to_string()})), want);
}

#[test]
fn prompts_of_gateways_and_coding_agents_are_content() {
    let row = row(
        json!({"gen_ai.request.model": "m", "gen_ai.model.provider": "openai", "gen_ai.usage.input_tokens": 1,
        "gen_ai.prompt_json": "[{\"role\":\"user\",\"content\":\"hi\"}]", "gen_ai.completion_json": "[{\"role\":\"assistant\",\"content\":\"Lima.\"}]",
        "user_prompt": "a secret", "tool_input": "another"}),
    );
    let [input, output, _] = columns(&row);
    assert_eq!((input, &output[0]["parts"]), (json!([user("hi")]), &json!([text("Lima.")])));
    assert_eq!(column(&row, "Provider"), "openai");
    let mut keys = content_keys(&row);
    keys.sort();
    assert_eq!(keys, ["gen_ai.completion_json", "gen_ai.prompt_json", "tool_input", "user_prompt"]);
}

#[test]
fn logfire_has_all_message_events_in_one_attribute() {
    let list = json!([
        {"event.name":"gen_ai.system.message","content":"s","role":"system","gen_ai.message.index":0},
        {"event.name":"gen_ai.user.message","content":"hi","role":"user","gen_ai.message.index":0},
        {"event.name":"gen_ai.choice","index":0,"message":{"role":"assistant","content":"a"}},
    ]);
    let [input, output, _] = columns(&row(json!({"events": list.to_string(), "gen_ai.operation.name":"chat"})));
    assert_eq!(input, json!([{"role":"system","parts":[text("s")]}, user("hi")]));
    assert_eq!(output, json!([{"role":"assistant","parts":[text("a")]}]));
    // any other attribute of that name is somebody else's
    assert_eq!(input_of_ordinary(), Json::Null);
}

fn input_of_ordinary() -> Json {
    input(json!({"events": "[1,2]"}))
}

#[test]
fn numbered_prompt_and_completion_keys_are_put_together_by_number() {
    let sent = json!({
        "gen_ai.prompt.10.role": "user", "gen_ai.prompt.10.content": "last",
        "gen_ai.prompt.2.role": "tool", "gen_ai.prompt.2.content": "18C", "gen_ai.prompt.2.tool_call_id": "c",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "[{\"type\":\"text\",\"text\":\"look\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/a.png\"}}]",
        "gen_ai.prompt.1.role": "assistant",
        "gen_ai.prompt.1.tool_calls.10.id": "d", "gen_ai.prompt.1.tool_calls.10.name": "g", "gen_ai.prompt.1.tool_calls.10.arguments": "no json",
        "gen_ai.prompt.1.tool_calls.2.id": "c", "gen_ai.prompt.1.tool_calls.2.name": "f", "gen_ai.prompt.1.tool_calls.2.arguments": "{\"x\":1}",
        "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "[not json", "gen_ai.completion.0.finish_reason": "stop",
        "gen_ai.completion.1.role": "assistant", "gen_ai.completion.1.refusal": "no", "gen_ai.completion.1.finish_reason": "content_filter",
    });
    let [input, output, _] = columns(&row(sent));
    let want = json!([
        {"role":"user","parts":[text("look"),{"type":"uri","modality":"image","uri":"https://x/a.png"}]},
        {"role":"assistant","parts":[call("c", "f", json!({"x":1})),call("d", "g", json!("no json"))]},
        answer("c", json!("18C")), user("last"),
    ]);
    assert_eq!(input, want);
    let want = json!([
        {"role":"assistant","parts":[text("[not json")],"finish_reason":"stop"},
        {"role":"assistant","parts":[{"type":"generic","generic_type":"refusal","content":"no"}],"finish_reason":"content_filter"},
    ]);
    assert_eq!(output, want);
}

#[test]
fn openinference_message_keys_lose_their_wrapping_words() {
    let sent = json!({
        "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "ignored",
        "llm.input_messages.0.message.contents.10.message_content.type": "image",
        "llm.input_messages.0.message.contents.10.message_content.image.image.url": "data:image/png;base64,AAEC",
        "llm.input_messages.0.message.contents.9.message_content.type": "text",
        "llm.input_messages.0.message.contents.9.message_content.text": "look",
        "llm.input_messages.1.message.role": "assistant",
        "llm.input_messages.1.message.contents.0.message_content.type": "reasoning",
        "llm.input_messages.1.message.contents.0.message_content.text": "hm",
        "llm.input_messages.1.message.contents.0.message_content.signature": "s",
        "llm.input_messages.1.message.tool_calls.0.tool_call.id": "c",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "f",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": "{\"x\":1}",
        "llm.input_messages.2.message.role": "tool", "llm.input_messages.2.message.content": "18C",
        "llm.input_messages.2.message.tool_call_id": "c", "llm.input_messages.2.message.name": "f",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.function_call_name": "g",
        "llm.output_messages.0.message.function_call_arguments_json": "{\"y\":2}",
        "llm.finish_reason": "function_call",
        "input.value": "{\"messages\":[]}", "output.value": "{\"id\":\"r\",\"model\":\"m-1\",\"choices\":[]}",
    });
    let row = row(sent);
    let [input, output, _] = columns(&row);
    let mut answer = answer("c", json!("18C"));
    answer["name"] = json!("f");
    let want = json!([
        {"role":"user","parts":[text("look"),{"type":"blob","modality":"image","mime_type":"image/png","content":"AAEC"}]},
        {"role":"assistant","parts":[{"type":"reasoning","content":"hm","signature":"s"},call("c", "f", json!({"x":1}))]},
        answer,
    ]);
    assert_eq!(input, want);
    assert_eq!(
        output,
        json!([{"role":"assistant","parts":[{"type":"tool_call","name":"g","arguments":{"y":2}}],"finish_reason":"tool_call"}])
    );
    assert_eq!([column(&row, "ResponseId"), column(&row, "ResponseModel")], [json!("r"), json!("m-1")]);
}

#[test]
fn messages_of_the_ai_sdk_are_read() {
    let prompt = json!([
        {"role":"system","content":"Be brief"},
        {"role":"user","content":[{"type":"text","text":"look"},{"type":"image","image":"AAEC","mimeType":"image/png"},{"type":"file","data":"https://x/a.pdf","mediaType":"application/pdf"}]},
        {"role":"assistant","content":[{"type":"reasoning","text":"hm"},{"type":"tool-call","toolCallId":"c","toolName":"f","args":{"x":1}}]},
        {"role":"tool","content":[{"type":"tool-result","toolCallId":"c","toolName":"f","output":{"type":"json","value":{"t":18}}}]},
    ]);
    let sent = json!({
        "ai.operationId": "ai.generateText.doGenerate", "ai.prompt.messages": prompt.to_string(),
        "ai.response.text": "a", "ai.response.reasoning": "why", "ai.response.finishReason": "tool-calls",
        "ai.response.toolCalls": "[{\"toolCallId\":\"d\",\"toolName\":\"g\",\"input\":{\"y\":2}}]",
        "ai.prompt.tools": ["{\"type\":\"function\",\"name\":\"f\",\"inputSchema\":{\"type\":\"object\"}}"],
    });
    let row = row(sent);
    let [input, output, tools] = columns(&row);
    let want = json!([
        {"role":"system","parts":[text("Be brief")]},
        {"role":"user","parts":[text("look"),{"type":"blob","modality":"image","mime_type":"image/png","content":"AAEC"},{"type":"uri","modality":"document","mime_type":"application/pdf","uri":"https://x/a.pdf"}]},
        {"role":"assistant","parts":[{"type":"reasoning","content":"hm"},call("c", "f", json!({"x":1}))]},
        answer("c", json!({"t":18})),
    ]);
    assert_eq!(input, want);
    let parts = json!([{"type":"reasoning","content":"why"},text("a"),call("d", "g", json!({"y":2}))]);
    assert_eq!(output, json!([{"role":"assistant","parts":parts,"finish_reason":"tool_call"}]));
    assert_eq!(tools, json!([{"type":"function","name":"f","parameters":{"type":"object"}}]));
    assert_eq!(column(&row, "SystemPrompt"), "Be brief");
    let outer = json!({"ai.operationId": "ai.generateObject", "ai.prompt": "{\"system\":\"s\",\"prompt\":\"hi\"}", "ai.response.object": "{\"x\":1}"});
    let [input, output, _] = columns(&super::row(outer));
    assert_eq!(input, json!([{"role":"system","parts":[text("s")]}, user("hi")]));
    assert_eq!(output, json!([{"role":"assistant","parts":[text("{\"x\":1}")]}]));
}

#[test]
fn input_value_is_read_as_a_request_or_kept_as_a_text() {
    let request = json!({"model":"m","messages":[{"role":"user","content":"hi"}]});
    let response = json!({"choices":[{"index":1,"message":{"content":"b"},"finish_reason":"length"},{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]});
    for (asked, said) in [
        ("langfuse.observation.input", "langfuse.observation.output"),
        ("mlflow.spanInputs", "mlflow.spanOutputs"),
        ("traceloop.entity.input", "traceloop.entity.output"),
        ("input.value", "output.value"),
        ("gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response"),
    ] {
        let sent = json!({"gen_ai.operation.name": "chat", asked: request.to_string(), said: response.to_string()});
        let row = row(sent);
        let [input, output, _] = columns(&row);
        assert_eq!(input, json!([user("hi")]), "{asked}");
        let want = json!([{"role":"assistant","parts":[text("a")],"finish_reason":"stop"},{"role":"assistant","parts":[text("b")],"finish_reason":"length"}]);
        assert_eq!(output, want, "{said}");
        assert_eq!(column(&row, "FinishReasons"), json!(["stop", "length"]));
    }
    // JSON within a JSON string, as MLflow has it
    let twice = json!({"gen_ai.operation.name": "chat", "mlflow.spanInputs": json!(request.to_string()).to_string()});
    assert_eq!(input(twice), json!([user("hi")]));
    let opaque =
        |operation: &str| input(json!({"gen_ai.operation.name": operation, "input.value": "{\"city\":\"Rome\"}"}));
    assert_eq!((opaque("invoke_workflow"), opaque("execute_tool")), (json!([user("{\"city\":\"Rome\"}")]), Json::Null));
}

#[test]
fn prompt_and_completion_are_json_or_a_text_as_attribute_or_event() {
    let sent = json!({"gen_ai.prompt": "[{\"role\":\"user\",\"content\":\"hi\"}]", "gen_ai.completion": "hello"});
    let [input, output, _] = columns(&row(sent));
    assert_eq!((input, output), (json!([user("hi")]), json!([{"role":"assistant","parts":[text("hello")]}])));
    let events = json!({"events": [event("gen_ai.content.prompt", json!({"gen_ai.prompt": "hi"})),
        event("gen_ai.content.completion", json!({"gen_ai.completion": "[{\"role\":\"assistant\",\"content\":\"hello\"}]"}))]});
    let [input, output, _] = columns(&row_of("", &json!({}), &events));
    assert_eq!((input, output), (json!([user("hi")]), json!([{"role":"assistant","parts":[text("hello")]}])));
}

#[test]
fn tool_definitions_of_every_convention_are_read() {
    let want = json!([{"type":"function","name":"f","description":"d","parameters":{"type":"object"}}]);
    let openai = json!([{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}]);
    for sent in [
        json!({"gen_ai.tool.definitions": openai.to_string()}),
        json!({"gen_ai.tool.definitions": openai}),
        json!({"gen_ai.tool.definitions": [{"type":"function","name":"f","description":"d","inputSchema":{"type":"object"}}]}),
        json!({"llm.tools.0.tool.json_schema": openai[0].to_string()}),
        json!({"llm.request.functions.0.name": "f", "llm.request.functions.0.description": "d", "llm.request.functions.0.parameters": "{\"type\":\"object\"}"}),
        json!({"ai.prompt.tools": ["{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}"]}),
        json!({"gen_ai.request.available_tools": openai.to_string()}),
        json!({"mlflow.chat.tools": openai.to_string()}),
    ] {
        assert_eq!(columns(&row(sent.clone()))[2], want, "{sent}");
    }
    let sorted = row(json!({"llm.request.functions.10.name": "z", "llm.request.functions.9.name": "a"}));
    assert_eq!(columns(&sorted)[2], json!([{"type":"function","name":"a"},{"type":"function","name":"z"}]));
}

#[test]
fn all_messages_of_a_pydantic_ai_agent_are_read() {
    let sent = json!({"gen_ai.operation.name": "invoke_agent", "final_result": "{\"x\":1}",
        "pydantic_ai.all_messages": r#"[{"role":"user","parts":[{"type":"text","content":"hi"}]}]"#});
    let row = row(sent);
    let [input, output, _] = columns(&row);
    assert_eq!((input, output), (json!([user("hi")]), json!([{"role":"assistant","parts":[text("{\"x\":1}")]}])));
    // no column holds them as they were sent: both stay
    assert_eq!(content_keys(&row).len(), 2);
}

#[test]
fn a_response_that_sentry_spreads_over_attributes_is_put_together() {
    let sent = json!({"gen_ai.request.messages": "[{\"role\":\"user\",\"content\":\"hi\"}]", "gen_ai.response.text": "[\"a\"]",
        "gen_ai.response.tool_calls": "[{\"id\":\"c\",\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"{}\"}]"});
    let [input, output, _] = columns(&row(sent));
    assert_eq!(input, json!([user("hi")]));
    assert_eq!(output, json!([{"role":"assistant","parts":[text("a"),call("c", "f", json!({}))]}]));
}

#[test]
fn content_of_events_is_in_content_columns_alone_and_its_key_names_the_event() {
    let events = [
        event("exception", json!({"exception.type": "Timeout", "content": "not of a model"})),
        event("gen_ai.user.message", json!({"content": "a secret", "gen_ai.system": "openai"})),
        event("tool.output", json!({"output": "another secret"})),
        event("gen_ai.first_chunk", json!({"bytes": "7"})),
        event("log", json!({"gen_ai.input.messages": "a third secret", "level": "info"})),
    ];
    let row = row_of("", &json!({"gen_ai.operation.name": "chat"}), &json!({ "events": events }));
    assert_eq!(
        column(&row, "Events.Attributes"),
        json!([
            [["exception.type", "Timeout"], ["content", "not of a model"]],
            [["gen_ai.system", "openai"]],
            [],
            [["bytes", "7"]],
            [["level", "info"]]
        ])
    );
    assert_eq!(
        column(&row, "ContentAttributes"),
        json!([
            ["events.2.content", "a secret"],
            ["events.3.output", "another secret"],
            ["events.5.gen_ai.input.messages", "a third secret"]
        ])
    );
    assert_eq!(columns(&row)[0], json!([user("a secret")]), "the typed column has it as before");
}
