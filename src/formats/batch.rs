//! OpenAI's batches: a file of requests, and files of what came of them, joined by `custom_id`. Requests are read first
//! ([`is_input`]).
//!
//! Source: OpenAI, "Batch API": the request input object and the request output object.

use super::span::str_of;
use super::{Path, Reader, Record, Sink};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Bytes of requests that wait for their responses, at most.
const WAITING_BYTES_MAX: usize = 512 << 20;

/// Whether a piece is a request, so that its file is read before those with responses.
#[must_use]
pub fn is_input(piece: &Value) -> bool {
    piece.get("body").is_some() && piece.get("response").is_none()
}

/// Joins requests and responses.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What was asked, and over which API.
    requests: HashMap<String, (Value, &'static str)>,
    bytes: usize,
}

impl Reader for Batch {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        let mut line: Map<String, Value> = match serde_json::from_slice(piece) {
            Ok(line) => line,
            Err(error) => return sink.reject(format!("it is not a JSON object: {error}")),
        };
        let Some(Value::String(id)) = line.remove("custom_id") else {
            return sink.reject("custom_id must be a text");
        };
        if let Some(body) = line.remove("body") {
            self.bytes = self.bytes.saturating_add(piece.len());
            if self.bytes > WAITING_BYTES_MAX {
                return sink
                    .reject("more than 512 MiB of requests wait for their responses; import one batch at a time");
            }
            let api = api_of(line.get("url").and_then(Value::as_str).map_or("", |url| url));
            self.requests.insert(id, (body, api));
            return;
        }
        let Some((request, api)) = self.requests.remove(&id) else {
            return sink
                .reject(format!("custom_id {id:?} has no request; name the batch's input file in the same command"));
        };
        let failure = line.remove("error").filter(|error| !error.is_null());
        let answer = line.remove("response").filter(|response| !response.is_null());
        let body = answer.and_then(|mut answer| answer.get_mut("body").map(Value::take));
        let mut response = match (body.filter(Value::is_object), failure) {
            (Some(body), _) => body,
            (None, Some(error)) => json!({"error": error}),
            (None, None) => return sink.reject("it has neither a response nor an error"),
        };
        // what a batch costs is not what its service tier says
        if let Some(members) = response.as_object_mut().filter(|members| members.contains_key("usage")) {
            members.insert("service_tier".to_owned(), "batch".into());
        }
        let provider = if str_of(&request, "model").is_empty() { Value::Null } else { "openai".into() };
        let mut call = json!({"request": request, "response": response, "api": api, "tags": ["openai-batch", id]});
        if let (Some(members), false) = (call.as_object_mut(), provider.is_null()) {
            members.insert("provider".to_owned(), provider);
        }
        sink.records.push(Record::Body { path: Path::ChatCompletions, json: call.to_string().into_bytes() });
    }

    fn end(&mut self, sink: &mut Sink) {
        for _ in 0..self.requests.len() {
            sink.other("request without a response");
        }
        self.requests.clear();
    }
}

fn api_of(url: &str) -> &'static str {
    match url.trim_start_matches("/v1/") {
        "responses" => "responses",
        "embeddings" => "embeddings",
        "completions" => "completions",
        _ => "chat_completions",
    }
}
