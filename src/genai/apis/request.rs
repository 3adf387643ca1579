//! Requests of other APIs in the form of chat-completions.

use super::Api;
use super::content::{message, put_messages};
use crate::json::build::{self, ListBuilder, ObjectBuilder};
use crate::json::document::{Document, Value};

/// What a member is called elsewhere, and in chat-completions.
type Names = &'static [(&'static str, &'static str)];

const OF_RESPONSES: Names = &[("max_output_tokens", "max_completion_tokens")];
const OF_MESSAGES: Names = &[("stop_sequences", "stop")];
const OF_GENERATE_CONTENT: Names = &[
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("top_p", "top_p"),
    ("topK", "top_k"),
    ("top_k", "top_k"),
    ("maxOutputTokens", "max_completion_tokens"),
    ("max_output_tokens", "max_completion_tokens"),
    ("stopSequences", "stop"),
    ("stop_sequences", "stop"),
    ("candidateCount", "n"),
    ("candidate_count", "n"),
    ("seed", "seed"),
    ("frequencyPenalty", "frequency_penalty"),
    ("presencePenalty", "presence_penalty"),
];
const OF_CONVERSE: Names = &[
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("maxTokens", "max_completion_tokens"),
    ("stopSequences", "stop"),
];

/// A request in the form of chat-completions.
pub(crate) fn request(api: Api, request: Value<'_>) -> Document<'static> {
    build::object(|out| match api {
        Api::ChatCompletions => copy(out, request, &[], &[]),
        Api::Responses => of_responses(out, request),
        Api::Messages => of_messages(out, request),
        Api::Completions | Api::Embeddings => of_input(out, request, api.input()),
        Api::Rerank => of_rerank(out, request),
        Api::GenerateContent => of_generate_content(out, request),
        Api::Converse => of_converse(out, request),
    })
}

fn copy(out: &mut ObjectBuilder<'_>, members: Value<'_>, names: Names, taken: &[&str]) {
    for (key, value) in members.members().filter(|(key, _)| !taken.iter().any(|name| key.is_key(name))) {
        match names.iter().find(|(theirs, _)| key.is_key(theirs)) {
            Some((_, ours)) => out.member(ours, value),
            None => out.copy(key, value),
        }
    }
}

fn of_responses(out: &mut ObjectBuilder<'_>, request: Value<'_>) {
    put_messages(out, request.get("instructions"), request.get("input"));
    if let Some(format) = request.get("text").and_then(|text| text.get("format")) {
        out.member("response_format", format);
    }
    copy(out, request, OF_RESPONSES, &["instructions", "input"]);
}

fn of_messages(out: &mut ObjectBuilder<'_>, request: Value<'_>) {
    put_messages(out, request.get("system"), request.get("messages"));
    if let Some(user) = request.get("metadata").and_then(|metadata| metadata.get("user_id")) {
        out.member("user", user);
    }
    if let Some(effort) = request.get("output_config").and_then(|config| config.get("effort")) {
        out.member("reasoning_effort", effort);
    }
    out.list("tools", |tools| {
        for tool in request.get("tools").into_iter().flat_map(Value::items) {
            match tool.get("input_schema") {
                Some(schema) => function(tools, tool, schema, &["input_schema"]),
                None => tools.value(tool),
            }
        }
    });
    copy(out, request, OF_MESSAGES, &["system", "messages", "tools"]);
}

/// Adds a tool that is a function.
fn function(tools: &mut ListBuilder<'_>, tool: Value<'_>, schema: Value<'_>, taken: &[&str]) {
    tools.object(|object| {
        object.word("type", "function");
        object.object("function", |function| {
            for (key, value) in tool.members().filter(|(key, _)| key.is_key("name") || key.is_key("description")) {
                function.copy(key, value);
            }
            function.member("parameters", schema);
        });
        let is_taken = |key: Value<'_>| {
            ["name", "description", "type"].iter().any(|name| key.is_key(name))
                || taken.iter().any(|name| key.is_key(name))
        };
        tool.members().filter(|(key, _)| !is_taken(*key)).for_each(|(key, value)| object.copy(key, value));
    });
}

/// A text or several: what is not a text, such as tokens, is one part.
fn of_input(out: &mut ObjectBuilder<'_>, request: Value<'_>, name: &str) {
    out.list("messages", |list| {
        let Some(input) = request.get(name) else { return };
        let is_of_numbers = input.items().next().is_some_and(|item| item.number().is_some());
        if is_of_numbers || !(input.is_array() || input.is_string()) {
            return list.object(|message| {
                message.word("role", "user");
                message.list("content", |content| content.value(input));
            });
        }
        message(list, "user", "content", input);
    });
    copy(out, request, &[], &[name]);
}

fn of_rerank(out: &mut ObjectBuilder<'_>, request: Value<'_>) {
    out.list("messages", |list| {
        list.object(|message| {
            message.word("role", "user");
            message.list("content", |content| {
                request.get("query").into_iter().for_each(|query| content.value(query));
                let documents = request.get("documents").into_iter().flat_map(Value::items);
                documents.for_each(|document| content.value(document));
            });
        });
    });
    copy(out, request, &[], &["query", "documents"]);
}

fn of_generate_content(out: &mut ObjectBuilder<'_>, request: Value<'_>) {
    // the SDK for Python has all but the contents in `config`
    let configs = ["generationConfig", "generation_config", "config"].map(|name| request.get(name));
    let configs = configs.into_iter().flatten().filter(|config| config.is_object());
    let objects: Vec<Value<'_>> = std::iter::once(request).chain(configs).collect();
    let first =
        |names: [&'static str; 2]| objects.iter().find_map(|object| names.iter().find_map(|name| object.get(name)));
    let system = first(["systemInstruction", "system_instruction"]);
    put_messages(out, system.map(|system| system.get("parts").unwrap_or(system)), request.get("contents"));
    out.list("tools", |tools| {
        for tool in objects.iter().filter_map(|object| object.get("tools")).flat_map(Value::items) {
            put_gemini_tool(tools, tool);
        }
    });
    if first(["responseMimeType", "response_mime_type"]).is_some_and(|mime| mime.is_key("application/json")) {
        out.word("response_format", "json_object");
    }
    const TAKEN: [&str; 7] = [
        "contents",
        "systemInstruction",
        "system_instruction",
        "generationConfig",
        "generation_config",
        "config",
        "tools",
    ];
    for object in objects {
        copy(out, object, OF_GENERATE_CONTENT, &TAKEN);
    }
}

/// A tool has functions, or is one of Google's own: `{"googleSearch": {}}`.
fn put_gemini_tool(tools: &mut ListBuilder<'_>, tool: Value<'_>) {
    for (key, value) in tool.members().filter(|(_, value)| !value.is_null()) {
        let name = key.text();
        if !matches!(&*name, "functionDeclarations" | "function_declarations") {
            tools.object(|object| {
                object.member("type", key);
                object.copy(key, value);
            });
            continue;
        }
        for declared in value.items() {
            let schemas = ["parameters", "parametersJsonSchema", "parameters_json_schema"];
            match schemas.iter().find_map(|name| declared.get(name)) {
                Some(schema) => function(tools, declared, schema, &schemas),
                None => tools.value(declared),
            }
        }
    }
}

fn of_converse(out: &mut ObjectBuilder<'_>, request: Value<'_>) {
    if let Some(model) = request.get("modelId") {
        out.member("model", model);
    }
    put_messages(out, request.get("system"), request.get("messages"));
    if let Some(config) = request.get("inferenceConfig") {
        copy(out, config, OF_CONVERSE, &[]);
    }
    out.list("tools", |tools| {
        let config = request.get("toolConfig").and_then(|config| config.get("tools"));
        for tool in config.into_iter().flat_map(Value::items) {
            let specified = tool.get("toolSpec");
            let schema = specified.and_then(|tool| tool.get("inputSchema")).map(|it| it.get("json").unwrap_or(it));
            match specified.zip(schema) {
                Some((tool, schema)) => function(tools, tool, schema, &["inputSchema"]),
                None => tools.value(tool),
            }
        }
    });
    copy(out, request, &[], &["modelId", "system", "messages", "inferenceConfig", "toolConfig"]);
}
