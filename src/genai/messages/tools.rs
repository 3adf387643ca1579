//! Tools offered to the model, as `gen_ai.tool.definitions`. Source: genai, tool definition schema; 3.5.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::json::document::{Document, Value};
use crate::json::writer::JsonWriter;

/// Writes the definitions of `tools` and of the legacy `functions`.
pub(crate) fn write(json: &mut JsonWriter, tools: Option<Value<'_>>, functions: Option<Value<'_>>) {
    json.begin_array();
    tools.into_iter().flat_map(Value::items).for_each(|tool| write_tool(json, tool));
    functions
        .into_iter()
        .flat_map(Value::items)
        .for_each(|function| write_definition(json, "function", function, None));
    json.end_array();
}

/// `{type:T, T:{name,...}}` becomes `{type:T, name,...}`; a tool without a body of its own is named after its type.
fn write_tool(json: &mut JsonWriter, tool: Value<'_>) {
    let kind = kind_of(tool);
    match tool.get(&kind).filter(|body| body.is_object() && matches!(&*kind, "function" | "custom")) {
        Some(body) => write_definition(json, &kind, body, Some(tool)),
        None => write_definition(json, &kind, tool, None),
    }
}

fn kind_of(tool: Value<'_>) -> Cow<'_, str> {
    tool.get("type").and_then(Value::filled_str).unwrap_or("function".into())
}

/// Its name; a tool without one is named after its type.
fn name_of<'t>(tool: Value<'t>, kind: &'t str) -> Cow<'t, str> {
    tool.get("name").and_then(Value::str).unwrap_or(kind.into())
}

/// Writes a tool of any API: its schema may have another name, or be a text.
pub(crate) fn write_tool_loose(json: &mut JsonWriter, tool: Value<'_>) {
    const SCHEMAS: [&str; 4] = ["parameters", "inputSchema", "input_schema", "parameters_json_schema"];
    let body = tool.get("function").or_else(|| tool.get("custom")).filter(|body| body.is_object());
    let kind = kind_of(tool);
    let own = body.unwrap_or(tool);
    json.begin_object();
    json.member_str("type", &kind);
    json.member_str("name", &name_of(own, &kind));
    if let Some(description) = own.get("description") {
        json.member("description", description);
    }
    if let Some(schema) = SCHEMAS.iter().find_map(|name| own.get(name)) {
        let text = schema.str().and_then(|text| Document::parse(text.into_owned()).ok());
        json.member("parameters", text.as_ref().map_or(schema, Document::root));
    }
    let is_written = |key: Value<'_>| {
        ["type", "name", "description", "function", "custom"].iter().chain(&SCHEMAS).any(|name| key.is_key(name))
    };
    let in_body: HashSet<_> = own.members().filter_map(|(key, _)| key.str()).collect();
    let around = body.into_iter().flat_map(|_| tool.members());
    let around = around.filter(|(key, _)| key.str().is_some_and(|key| !in_body.contains(&key)));
    for (key, value) in own.members().chain(around).filter(|(key, value)| !value.is_null() && !is_written(*key)) {
        json.copy_member(key, value);
    }
    json.end_object();
}

fn write_definition(json: &mut JsonWriter, kind: &str, body: Value<'_>, around: Option<Value<'_>>) {
    json.begin_object();
    json.member_str("type", kind);
    json.member_str("name", &name_of(body, kind));
    for (key, value) in body.members().filter(|(key, _)| !key.is_key("type") && !key.is_key("name")) {
        if !value.is_null() {
            json.copy_member(key, value);
        }
    }
    let Some(around) = around else {
        return json.end_object();
    };
    let in_body: HashSet<_> =
        body.members().filter(|(_, value)| !value.is_null()).filter_map(|(key, _)| key.str()).collect();
    for (key, value) in around.members().filter(|(_, value)| !value.is_null()) {
        let name = key.text();
        if !matches!(&*name, "type" | "name") && name != kind && !in_body.contains(&name) {
            json.copy_member(key, value);
        }
    }
    json.end_object();
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::json::document::Document;
    use crate::json::limits::Limits;

    #[test]
    fn all_forms_of_tools_become_definitions() {
        let tools = Document::parse(
            r#"[{"type":"function","function":{"name":"f","description":null,"parameters":{"type":"object"},"strict":true},"cache_control":{"type":"e"}},
                {"type":"custom","custom":{"name":"c","format":{"type":"text"}}},
                {"type":"web_search","search_context_size":"low"},
                {"function":{"name":"untyped"}}]"#,
        );
        let functions = Document::parse(r#"[{"name":"old","parameters":{}}]"#);
        let mut writer = JsonWriter::new(Limits::default());
        write(&mut writer, Some(tools.unwrap().root()), Some(functions.unwrap().root()));
        let want = json!([
            {"type":"function","name":"f","parameters":{"type":"object"},"strict":true,"cache_control":{"type":"e"}},
            {"type":"custom","name":"c","format":{"type":"text"}},
            {"type":"web_search","name":"web_search","search_context_size":"low"},
            {"type":"function","name":"untyped"},
            {"type":"function","name":"old","parameters":{}},
        ]);
        assert_eq!(serde_json::from_str::<Json>(&writer.finish().0).unwrap(), want);
    }
}
