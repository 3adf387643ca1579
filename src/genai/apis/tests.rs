//! Each API's requests and responses, in the words of its reference.

use serde_json::{Value as Json, json};

use super::*;
use crate::json::document::Document;
use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;

fn json_of(document: &Document<'_>) -> Json {
    let mut json = JsonWriter::new(Limits::NONE);
    json.value(document.root());
    serde_json::from_str(&json.finish().0).unwrap()
}

fn of_pair(request: &Json, response: &Json) -> (Option<Api>, Option<Api>) {
    let (request, response) =
        (Document::parse(request.to_string()).unwrap(), Document::parse(response.to_string()).unwrap());
    let of_response = Api::of_response(response.root());
    (Api::of_request(request.root(), of_response), of_response)
}

fn request_of(api: Api, request: &Json) -> Json {
    json_of(&request_document(api, request))
}

fn request_document(api: Api, request_json: &Json) -> Document<'static> {
    let document = Document::parse(request_json.to_string()).unwrap();
    request(api, document.root())
}

fn response_of(api: Api, response_json: &Json) -> Json {
    let document = Document::parse(response_json.to_string()).unwrap();
    json_of(&response(api, document.root()))
}

#[test]
fn an_api_is_told_by_the_members_that_only_it_has() {
    let hi = json!([{"role": "user", "content": "hi"}]);
    let failed = json!({"error": {"message": "no"}});
    let chat = json!({"choices": [{"message": {"content": "x"}}]});
    for (request, response, want) in [
        (json!({"model": "m", "messages": hi}), chat.clone(), [Some(Api::ChatCompletions); 2]),
        (json!({"model": "m", "input": "hi"}), json!({"object": "response", "output": []}), [Some(Api::Responses); 2]),
        (json!({"model": "m", "input": "hi"}), failed.clone(), [Some(Api::Responses), None]),
        (json!({"model": "text-embedding-3-small", "input": "hi"}), failed.clone(), [Some(Api::Embeddings), None]),
        (json!({"model": "m", "input": ["hi"]}), json!({"data": [{"embedding": [0.1]}]}), [Some(Api::Embeddings); 2]),
        (json!({"model": "m", "messages": hi}), json!({"type": "message", "content": []}), [Some(Api::Messages); 2]),
        (json!({"model": "m", "messages": hi, "system": "x"}), failed.clone(), [Some(Api::Messages), None]),
        (
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]}),
            failed.clone(),
            [Some(Api::Messages), None],
        ),
        (json!({"messages": hi, "inferenceConfig": {}}), json!({"output": {"message": {}}}), [Some(Api::Converse); 2]),
        (json!({"messages": hi, "modelId": "m"}), failed.clone(), [Some(Api::Converse), None]),
        (json!({"contents": []}), json!({"candidates": []}), [Some(Api::GenerateContent); 2]),
        (json!({"model": "m", "prompt": "hi"}), json!({"choices": [{"text": "ho"}]}), [Some(Api::Completions); 2]),
        (
            json!({"query": "q", "documents": ["d"]}),
            json!({"results": [{"index": 0, "relevance_score": 0.5}]}),
            [Some(Api::Rerank); 2],
        ),
        (json!({"question": "hi"}), json!({"answer": "ho"}), [None; 2]),
    ] {
        assert_eq!(of_pair(&request, &response), (want[0], want[1]), "{request} {response}");
    }
    for (name, api) in NAMES {
        assert_eq!(Api::named(name), Some(api));
    }
    assert_eq!(Api::named("chat"), None);
}

#[test]
fn items_of_the_responses_api_are_messages() {
    let request = json!({
        "model": "gpt-5", "instructions": "Be brief.", "max_output_tokens": 9, "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "n"}}, "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            {"role": "user", "content": "And now?"},
        ],
    });
    let made = request_of(Api::Responses, &request);
    let roles: Vec<&str> =
        made["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "user"]);
    assert_eq!(made["messages"][2]["content"], json!([request["input"][1], request["input"][2]]));
    assert_eq!((&made["max_completion_tokens"], &made["response_format"]["type"]), (&json!(9), &json!("json_schema")));
    assert_eq!((&made["tools"], &made["reasoning"]), (&request["tools"], &request["reasoning"]));
    assert!(made.get("input").is_none() && made.get("instructions").is_none());
    let text = request_of(Api::Responses, &json!({"model": "m", "input": "hi"}));
    assert_eq!(text["messages"], json!([{"role": "user", "content": "hi"}]));
}

#[test]
fn the_output_of_the_responses_api_is_one_message() {
    let response = json!({
        "id": "resp_1", "object": "response", "created_at": 1_790_000_000, "status": "completed", "model": "gpt-5",
        "instructions": "Be brief.", "tools": [], "service_tier": "flex",
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Lima."}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        ],
        "usage": {"input_tokens": 11, "output_tokens": 7},
    });
    let made = response_of(Api::Responses, &response);
    let output = &response["output"];
    let want = json!([{"index": 0, "message": {"role": "assistant", "content": [output[0], output[1]["content"][0], output[2]]},
        "finish_reason": "tool_calls"}]);
    assert_eq!(made["choices"], want);
    assert_eq!((&made["created"], &made["usage"]), (&json!(1_790_000_000), &response["usage"]));
    assert!(made.get("instructions").is_none(), "it repeats the prompt");
    let reason = |more: Json| {
        let mut response = json!({"object": "response", "output": []});
        response.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        response_of(Api::Responses, &response)["choices"][0]["finish_reason"].clone()
    };
    assert_eq!(reason(json!({"status": "completed"})), "stop");
    let cut = json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}});
    assert_eq!(reason(cut), "max_output_tokens");
    assert_eq!(reason(json!({"status": "in_progress"})), Json::Null);
}

#[test]
fn anthropics_messages_keep_their_blocks() {
    let request = json!({
        "model": "claude-sonnet-4-5", "max_tokens": 5, "system": [{"type": "text", "text": "Be brief."}], "stop_sequences": ["x"],
        "messages": [{"role": "user", "content": "hi"}], "metadata": {"user_id": "ana"},
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}},
            {"type": "web_search_20250305", "name": "web_search"}],
    });
    let made = request_of(Api::Messages, &request);
    let want = json!([{"role": "system", "content": request["system"]}, request["messages"][0]]);
    assert_eq!(made["messages"], want);
    assert_eq!((&made["stop"], &made["user"], &made["max_tokens"]), (&json!(["x"]), &json!("ana"), &json!(5)));
    let function = json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
        "cache_control": {"type": "ephemeral"}});
    assert_eq!(made["tools"], json!([function, request["tools"][1]]));
    let response = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": [{"type": "text", "text": "x"}], "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 1}});
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": response["content"]}, "finish_reason": "tool_use"});
    let made = response_of(Api::Messages, &response);
    assert_eq!((&made["choices"], &made["id"]), (&json!([choice]), &json!("msg_1")));
    assert!(made.get("content").is_none());
}

#[test]
fn gemini_counts_thoughts_and_what_tools_read_beside() {
    let request = json!({
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}], "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 5, "topP": 0.5, "responseMimeType": "application/json"},
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {}}]}, {"googleSearch": {}}],
    });
    let made = request_of(Api::GenerateContent, &request);
    assert_eq!(made["messages"][0], json!({"role": "system", "content": [{"text": "Be brief."}]}));
    assert_eq!(made["messages"][1], request["contents"][0]);
    assert_eq!((&made["max_completion_tokens"], &made["top_p"]), (&json!(5), &json!(0.5)));
    assert_eq!(made["response_format"], "json_object");
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}, {"type": "googleSearch", "googleSearch": {}}]);
    assert_eq!(made["tools"], tools);
    let response = json!({
        "responseId": "r", "modelVersion": "gemini-3", "candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]},
            "finishReason": "STOP", "index": 0, "avgLogprobs": -0.1}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 66, "totalTokenCount": 83,
            "cachedContentTokenCount": 4, "toolUsePromptTokenCount": 4},
    });
    let made = response_of(Api::GenerateContent, &response);
    let usage = json!({"prompt_tokens": 14, "completion_tokens": 69, "total_tokens": 83,
        "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 66}});
    assert_eq!(made["usage"], usage);
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": [{"text": "x"}]}, "finish_reason": "STOP",
        "avgLogprobs": -0.1});
    assert_eq!((&made["choices"], &made["id"], &made["model"]), (&json!([choice]), &json!("r"), &json!("gemini-3")));
}

#[test]
fn gemini_lists_how_many_tokens_are_of_which_kind() {
    let usage = |metadata: &Json| {
        response_of(Api::GenerateContent, &json!({"candidates": [], "usageMetadata": metadata}))["usage"].clone()
    };
    let of = |modality: &str, count: u64| json!({"modality": modality, "tokenCount": count});
    let heard = json!({"promptTokenCount": 1100, "toolUsePromptTokenCount": 50, "candidatesTokenCount": 1300, "totalTokenCount": 2450,
        "cachedContentTokenCount": 500, "cacheTokensDetails": [of("AUDIO", 480), of("TEXT", 20)],
        "promptTokensDetails": [of("TEXT", 70), of("AUDIO", 1000), of("VIDEO", 30)], "toolUsePromptTokensDetails": [of("AUDIO", 50)],
        "candidatesTokensDetails": [of("IMAGE", 1290), of("DOCUMENT", 10)]});
    let want = json!({"prompt_tokens": 1150, "completion_tokens": 1300, "total_tokens": 2450,
        "prompt_tokens_details": {"cached_tokens": 500, "audio_tokens": 1050, "video_tokens": 30,
            "cached_tokens_details": {"audio_tokens": 480}},
        "completion_tokens_details": {"image_tokens": 1290}});
    assert_eq!(usage(&heard), want);
    let odd = json!({"promptTokensDetails": [{"modality": "AUDIO"}, {"tokenCount": 3}, 7, "AUDIO"], "cacheTokensDetails": {}});
    assert_eq!(usage(&odd), json!({}));
}

#[test]
fn bedrock_says_how_long_what_is_cached_is_kept() {
    let response = json!({"output": {"message": {"role": "assistant", "content": []}}, "usage": {"inputTokens": 1, "outputTokens": 2,
        "cacheWriteInputTokens": 100, "cacheDetails": [{"ttl": "1h", "inputTokens": 60}, {"ttl": "5m", "inputTokens": 40}]}});
    let want = json!({"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60}});
    assert_eq!(response_of(Api::Converse, &response)["usage"], want);
}

#[test]
fn bedrock_counts_cached_tokens_beside_the_input() {
    let request = json!({
        "modelId": "anthropic.claude", "messages": [{"role": "user", "content": [{"text": "hi"}]}], "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 5, "stopSequences": ["x"]},
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]},
    });
    let made = request_of(Api::Converse, &request);
    let (model, limit, stop) = (&made["model"], &made["max_completion_tokens"], &made["stop"]);
    assert_eq!((model, limit, stop), (&json!("anthropic.claude"), &json!(5), &json!(["x"])));
    assert_eq!(made["messages"][0], json!({"role": "system", "content": [{"text": "Be brief."}]}));
    assert_eq!(
        made["tools"],
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])
    );
    let response = json!({"output": {"message": {"role": "assistant", "content": [{"text": "x"}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 13, "cacheReadInputTokens": 10}, "metrics": {"latencyMs": 7}});
    let made = response_of(Api::Converse, &response);
    let usage = json!({"input_tokens": 1, "output_tokens": 2, "total_tokens": 13, "cache_read_input_tokens": 10});
    assert_eq!((&made["usage"], &made["_response_ms"]), (&usage, &json!(7)));
    assert_eq!(made["choices"][0]["finish_reason"], "end_turn");
}

#[test]
fn texts_and_documents_are_what_the_user_says_and_vectors_are_left_out() {
    let messages = |api, request: Json| request_of(api, &request)["messages"].clone();
    let user = |content: Json| json!([{"role": "user", "content": content}]);
    assert_eq!(messages(Api::Completions, json!({"prompt": "hi"})), user(json!("hi")));
    assert_eq!(messages(Api::Embeddings, json!({"input": ["a", "b"]})), user(json!(["a", "b"])));
    assert_eq!(messages(Api::Embeddings, json!({"input": [1, 2]})), user(json!([[1, 2]])));
    assert_eq!(messages(Api::Rerank, json!({"query": "q", "documents": ["d"]})), user(json!(["q", "d"])));
    let vectors =
        json!({"object": "list", "model": "m", "data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 1}});
    assert_eq!(response_of(Api::Embeddings, &vectors), json!({"model": "m", "usage": {"prompt_tokens": 1}}));
    let ranked = json!({"results": [{"index": 0, "relevance_score": 0.5, "document": {"text": "d"}}]});
    assert_eq!(response_of(Api::Rerank, &ranked), json!({"results": [{"index": 0, "relevance_score": 0.5}]}));
    let text = json!({"choices": [{"text": "ho", "index": 0, "finish_reason": "stop"}]});
    let choice = json!({"message": {"role": "assistant", "content": "ho"}, "index": 0, "finish_reason": "stop"});
    assert_eq!(response_of(Api::Completions, &text), json!({"choices": [choice]}));
}
