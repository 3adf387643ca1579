//! Which members that no attribute holds may have text of a prompt or an answer: they are content, kept apart from the other
//! attributes, so that no filter reads them, and retention and redaction reach them.

use crate::json::document::Value;

/// Names under which APIs and tools have what a model is given, and what it gives.
const NAMES: [&str; 46] = [
    "answer",
    "candidates",
    "choices",
    "completion",
    "completions",
    "content",
    "contents",
    "context",
    "data",
    "delta",
    "document",
    "documents",
    "embedding",
    "embeddings",
    "examples",
    "generated_text",
    "generation",
    "generations",
    "history",
    "input",
    "inputs",
    "inputText",
    "instruction",
    "instructions",
    "json",
    "message",
    "messages",
    "output",
    "output_text",
    "outputs",
    "prompt",
    "prompts",
    "provider_choices",
    "provider_messages",
    "query",
    "question",
    "response",
    "standard_logging_mcp_tool_call",
    "suffix",
    "system",
    "system_instruction",
    "systemInstruction",
    "text",
    "textBody",
    "texts",
    "transcript",
];

/// What the answer is expected to be: the mapping has it among the parameters.
const EXPECTED: &str = "prediction";
/// A longer text is no identifier, name or URL.
const NAMING_BYTES_MAX: usize = 256;

/// Whether a member may hold a prompt or an answer: by its name, or by what is within it; not if it is a number or a truth.
pub(super) fn may_hold(key: Value<'_>, value: Value<'_>) -> bool {
    let is_scalar = value.number().is_some() || value.bool().is_some() || value.is_null();
    let name = key.text();
    !is_scalar && (is_name(&name) || name != EXPECTED && has_text(value))
}

/// Whether a value has a text under one of those names within it, or a long one under any.
pub(super) fn has_text(value: Value<'_>) -> bool {
    value.is_string() && value.raw().len() > NAMING_BYTES_MAX
        || value.members().any(|(key, member)| is_name(&key.text()) && has_any_text(member) || has_text(member))
        || value.items().any(has_text)
}

fn has_any_text(value: Value<'_>) -> bool {
    value.is_string() || value.members().any(|(_, member)| has_any_text(member)) || value.items().any(has_any_text)
}

/// Whether it is one of those names.
pub(super) fn is_name(name: &str) -> bool {
    NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document::Document;

    #[test]
    fn what_may_be_a_text_is_content_by_its_name() {
        let document =
            Document::parse(r#"{"prompt":"x","documents":[],"data":5,"text":true,"logit_bias":{"1":2}}"#).unwrap();
        let held: Vec<bool> = document.root().members().map(|(key, value)| may_hold(key, value)).collect();
        assert_eq!(held, [true, true, false, false, false]);
    }

    #[test]
    fn what_is_within_a_member_of_another_name_is_found() {
        let long = "word ".repeat(60);
        let text = format!(
            r#"{{"unknown":{{"text":"x"}},"list":[{{"a":{{"prompt":"x"}}}}],"long":"{long}","id":"{}","flags":{{"text":true,"n":[1]}}}}"#,
            "f".repeat(64)
        );
        let document = Document::parse(text).unwrap();
        let held: Vec<bool> = document.root().members().map(|(key, value)| may_hold(key, value)).collect();
        assert_eq!(held, [true, true, true, false, false]);
    }
}
