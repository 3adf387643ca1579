//! Whether a response is an error, and what kind: every provider says it differently.
//!
//! ```text
//! {"error":{"message","type","code"}}      OpenAI and most       {"error":"text"}            strings
//! {"error":[{"error":{...}}]}              Gemini                {"object":"error",...}      old vLLM
//! {"detail":...}                           FastAPI servers       {"message","code"|...}      gateways
//! {"choices":[{"error":{...}}]}            OpenRouter            finish_reason "error"       Mistral
//! ```

use std::borrow::Cow;

use crate::genai::finish_reason;
use crate::json::document::Value;
use crate::json::limits;
use crate::json::writer::JsonWriter;

/// Longest status message, in characters.
const MESSAGE_CHARS_MAX: usize = 1024;

/// Longest `error.type` in bytes: it is a class, not a text.
const TYPE_BYTES_MAX: usize = 256;

/// The class of an error that names none. Source: core, `error.type`.
const OTHER: &str = "_OTHER";

/// A failed call.
#[derive(Debug, Clone)]
pub(crate) struct Failure<'d> {
    /// `error.type`.
    pub(crate) class: Cow<'d, str>,
    /// The status message; empty when there is none.
    pub(crate) message: Cow<'d, str>,
    /// The provider's error, when there is one.
    pub(crate) error: Option<Value<'d>>,
}

/// The error of a response, if it is one.
pub(crate) fn find(response: Value<'_>) -> Option<Failure<'_>> {
    if let Some(error) = response.get("error").filter(|error| says_something(*error)) {
        let failure = Failure::of(unwrap_list(error));
        // the first of several names the failure, all are kept
        let is_several = error.items().nth(1).is_some();
        // xAI has the code beside the text
        let class_beside = class(response).filter(|_| error.is_string() && response.get("choices").is_none());
        let failure = match class_beside {
            Some(class) => Failure { class: cut_class(class), ..failure },
            None => failure,
        };
        return Some(if is_several { Failure { error: Some(error), ..failure } } else { failure });
    }
    if is_error_itself(response) {
        return Some(Failure::of(response));
    }
    let choices = || response.get("choices").into_iter().flat_map(Value::items);
    if let Some(error) = choices().find_map(|choice| choice.get("error").filter(|error| !error.is_empty())) {
        return Some(Failure::of(error));
    }
    let reasons = choices().filter_map(|choice| choice.get("finish_reason")?.filled_str());
    let reason = reasons.into_iter().find(|reason| finish_reason::normalise(Some(reason)) == finish_reason::ERROR)?;
    let class = if reason == finish_reason::ERROR { OTHER.into() } else { reason };
    Some(Failure { class, message: "".into(), error: None })
}

/// An empty object does: the reference's own example has one.
fn says_something(error: Value<'_>) -> bool {
    error.bool() != Some(false) && !(error.is_string() && error.is_empty())
}

/// `[{"error":{...}}]` and `[{...}]` are the error in them.
fn unwrap_list(error: Value<'_>) -> Value<'_> {
    let Some(first) = error.items().next() else { return error };
    first.get("error").unwrap_or(first)
}

fn is_error_itself(response: Value<'_>) -> bool {
    let is_marked = response.get("object").is_some_and(|object| object.str().as_deref() == Some("error"));
    let without_choices = || response.get("choices").is_none();
    let classed = || ["code", "statusCode", "status", "type"].iter().any(|name| response.get(name).is_some());
    let told = || response.get("detail").is_some() || (response.get("message").is_some() && classed());
    is_marked || (without_choices() && told())
}

impl<'d> Failure<'d> {
    fn of(error: Value<'d>) -> Self {
        let class = class(error).map_or(OTHER.into(), cut_class);
        Self { class, message: message(error).map_or("".into(), cut_message), error: Some(error) }
    }
}

/// First a word, then the type, then the status as a word, then numbers.
fn class(error: Value<'_>) -> Option<Cow<'_, str>> {
    let text = |name: &str| error.get(name).and_then(Value::filled_str);
    let number = |name: &str| error.get(name).and_then(Value::number).map(Cow::Borrowed);
    let is_number = |text: &Cow<'_, str>| text.bytes().all(|c| c.is_ascii_digit());
    text("code")
        .filter(|code| !is_number(code))
        .or_else(|| text("type"))
        .or_else(|| text("status"))
        .or_else(|| text("code"))
        .or_else(|| number("code"))
        .or_else(|| number("statusCode"))
        .or_else(|| text("statusCode"))
        .or_else(|| number("status"))
}

fn message(error: Value<'_>) -> Option<Cow<'_, str>> {
    if error.is_string() {
        return error.str();
    }
    let told = error.get("message").or_else(|| error.get("detail"))?;
    if told.is_object() {
        return message(told).or_else(|| Some(compact(told)));
    }
    let texts: Vec<_> = told.items().filter_map(|item| item.get("msg")?.filled_str()).collect();
    told.str().or_else(|| (!texts.is_empty()).then(|| texts.join("; ").into())).or_else(|| Some(compact(told)))
}

fn compact(value: Value<'_>) -> Cow<'_, str> {
    let mut json = JsonWriter::new(limits::Limits::default());
    json.value(value);
    json.finish().0.into()
}

fn cut_class(class: Cow<'_, str>) -> Cow<'_, str> {
    match limits::cut(&class, TYPE_BYTES_MAX) {
        Some((kept, _)) => Cow::Owned(kept.to_owned()),
        None => class,
    }
}

fn cut_message(message: Cow<'_, str>) -> Cow<'_, str> {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some(_) => Cow::Owned(message.chars().take(MESSAGE_CHARS_MAX).collect()),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document::Document;

    fn found(response: &str) -> Option<(String, String)> {
        let doc = Document::parse(response.to_owned()).unwrap();
        find(doc.root()).map(|failure| (failure.class.into_owned(), failure.message.into_owned()))
    }

    #[test]
    fn every_shape_of_error_is_found_and_classed() {
        let table = [
            (r#"{"error":{"message":"m","type":"t","code":"c"}}"#, "c", "m"),
            (r#"{"error":{"message":"m","type":"t","code":429}}"#, "t", "m"),
            (r#"{"error":{"message":"m","type":"","code":"429"}}"#, "429", "m"),
            (r#"{"error":{"message":"m","code":400,"status":"INVALID_ARGUMENT"}}"#, "INVALID_ARGUMENT", "m"),
            (r#"{"error":{"message":"m","code":502}}"#, "502", "m"),
            (r#"{"error":{"message":{"detail":"inner"},"statusCode":503}}"#, "503", "inner"),
            (r#"{"error":"boom"}"#, "_OTHER", "boom"),
            (r#"{"code":"invalid-argument","error":"boom"}"#, "invalid-argument", "boom"),
            (r#"{"statusCode":503,"error":"Service Unavailable"}"#, "503", "Service Unavailable"),
            (r#"{"error":{}}"#, "_OTHER", ""),
            (r#"{"error":[]}"#, "_OTHER", ""),
            (r#"{"error":[{"error":{"code":400,"message":"m","status":"S"}}]}"#, "S", "m"),
            (r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#, "BadRequestError", "m"),
            (r#"{"detail":"Not Found"}"#, "_OTHER", "Not Found"),
            (r#"{"detail":[{"msg":"a"},{"msg":"b"}]}"#, "_OTHER", "a; b"),
            (r#"{"message":"m","statusCode":401}"#, "401", "m"),
            (r#"{"message":"m","type":"t"}"#, "t", "m"),
            (r#"{"choices":[{"error":{"code":502,"message":"m"}}]}"#, "502", "m"),
            (r#"{"choices":[{"finish_reason":"error"}]}"#, "_OTHER", ""),
            (r#"{"choices":[{"finish_reason":"insufficient_system_resource"}]}"#, "insufficient_system_resource", ""),
        ];
        for (response, class, message) in table {
            assert_eq!(found(response), Some((class.into(), message.into())), "{response}");
        }
    }

    #[test]
    fn what_is_no_error_is_none() {
        for response in [
            r#"{"error":null}"#,
            r#"{"error":false}"#,
            r#"{"error":""}"#,
            r#"{"message":"m"}"#,
            r#"{"choices":[],"detail":"x"}"#,
            r#"{"choices":[{"finish_reason":"content_filter"},{"finish_reason":null},{"error":{}}]}"#,
        ] {
            assert_eq!(found(response), None, "{response}");
        }
    }

    #[test]
    fn a_message_is_cut_at_1024_characters() {
        let long = "é".repeat(2000);
        assert_eq!(found(&format!(r#"{{"error":"{long}"}}"#)).unwrap().1.chars().count(), 1024);
    }
}
