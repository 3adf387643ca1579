//! `GET /openapi.json`: every path under `/apis/`, what it takes and answers.

use super::answer::json_answer;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("openapi.yaml");

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_saphyr::from_str(SOURCE).expect("the document is YAML, which its test says"));

/// `GET /openapi.json`
pub(super) async fn document() -> Response {
    json_answer(StatusCode::OK, &DOCUMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` in it.
    fn references(value: &Value) -> Vec<&str> {
        match value {
            Value::Object(members) => {
                let own = members.get("$ref").and_then(Value::as_str);
                own.into_iter().chain(members.values().flat_map(references)).collect()
            }
            Value::Array(items) => items.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_parameter_of_a_path_is_said() {
        let references = references(&DOCUMENT);
        assert!(references.len() > 100);
        for reference in references {
            assert!(DOCUMENT.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
            let said = item["parameters"].to_string();
            for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                assert!(said.contains(&format!("path_{name}\"")), "{path} {name}");
            }
        }
    }
}
