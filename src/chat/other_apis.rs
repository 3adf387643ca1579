//! Bodies whose request and response are those of another API than chat-completions: told by their members, or by the body's
//! member `api`.
//!
//! ```text
//! {"request": {"model","input",..}, "response": {"object":"response","output",..}}    -> Responses
//! {"request": {"model","messages","system",..}, "response": {"type":"message",..}}    -> Messages
//! {"api": "embeddings", "request": {"model","input"}, "response": {"data",..}}
//! ```
//!
//! What is none of them is refused as a chat-completion. What repeats are told by is what was sent, whatever its form.

use super::capture::{Apis, Part};
use super::validate::Found;
use crate::genai::apis::{self, Api};
use crate::genai::response_error;
use crate::genai::stream::sse;
use crate::genai::stream::sse::Merged;
use crate::json::document::Value;

/// A request and a response in the form of chat-completions.
pub(super) struct Read<'d> {
    pub(super) apis: Apis,
    pub(super) request: Part<'d>,
    pub(super) response: Part<'d>,
    pub(super) merged: Option<Merged>,
}

/// The API that the body names; one that is not known is noted.
pub(super) fn named(root: Value<'_>, found: &mut Found) -> Option<Api> {
    let given = found.string(&["api".into()], root.get("api")?)?;
    let api = given.str().and_then(|name| Api::named(&name));
    if api.is_none() {
        let names: Vec<String> = apis::NAMES.iter().map(|(name, _)| format!("'{name}'")).collect();
        let (last, first) = names.split_last().expect("there are names");
        let msg = format!("Input should be {} or {last}", first.join(", "));
        found.add(&["api".into()], "enum", msg, Some(given));
    }
    api
}

/// Reads a body of another API; `None` for one that is a chat-completion, or that is to be refused as one. What does not fit is
/// noted.
pub(super) fn read<'d>(root: Value<'d>, named: Option<Api>, found: &mut Found) -> Option<Read<'d>> {
    if named == Some(Api::ChatCompletions) {
        return None;
    }
    let request = root.get("request").filter(|request| request.is_object())?;
    let sent = root.get("response")?;
    let (of_response, merged) = response_of(sent);
    let has_messages = request.get("messages").is_some_and(Value::is_array);
    if named.is_none() && has_messages && of_response == Some(Api::ChatCompletions) {
        return None;
    }
    let of_request = named.or_else(|| Api::of_request(request, of_response));
    let api = named.or(of_response.filter(|api| *api != Api::ChatCompletions)).or(of_request)?;
    if api == Api::ChatCompletions {
        return None;
    }
    let of_request = of_request.unwrap_or(api);
    check_request(request, of_request, found);
    let is_failure = || response_error::find(sent).is_some();
    if of_response.is_none_or(|of_response| named.is_some_and(|api| api != of_response)) && !is_failure() {
        const MSG: &str = "Value error, response must be one of the API, an error, or the events of its stream";
        found.add(&["response".into()], "value_error", MSG, None);
    }
    let apis = Apis { request: of_request, response: of_response.unwrap_or(api) };
    Some(Read {
        apis,
        request: match apis.request {
            Api::ChatCompletions => Part::Sent(request),
            other => Part::Built(apis::request(other, request)),
        },
        response: match of_response.filter(|api| merged.is_none() && *api != Api::ChatCompletions) {
            Some(other) => Part::Built(apis::response(other, sent)),
            None => Part::Sent(sent),
        },
        merged,
    })
}

/// The API of a response, and the response as one object when it was sent as a stream or as a text.
fn response_of(sent: Value<'_>) -> (Option<Api>, Option<Merged>) {
    if sent.is_object() && !sse::is_chunk(sent) {
        return (Api::of_response(sent), None);
    }
    let merged = sse::merge(sent);
    (merged.as_ref().map(|merged| merged.api), merged)
}

fn check_request(request: Value<'_>, api: Api, found: &mut Found) {
    let at = |name: &'static str| ["request".into(), name.into()];
    let input = api.input();
    match request.get(input) {
        None => found.missing(&at(input)),
        // the others may be a text
        Some(messages) if matches!(api, Api::Messages | Api::Converse | Api::ChatCompletions) => {
            found.list(&at(input), messages);
        }
        Some(_) => {}
    }
    match request.last_member("model") {
        // where a path has the model, a request may be without
        None if matches!(api, Api::GenerateContent | Api::Converse) => {}
        None => found.missing(&at("model")),
        Some(model) => drop(found.string(&at("model"), model)),
    }
}
