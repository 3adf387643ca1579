//! A POST body becomes a [`Capture`] or the list of what is wrong with it.

use std::borrow::Cow;

use super::capture::{Apis, Body, Caller, CallerCost, Capture, KeptRaws, ParseOptions, Part, Source, Sources};
use super::identity::Said;
use super::other_apis::{self, Read};
use super::raw;
use super::timing::{self, GivenTimes};
use super::trace_ref;
use super::validate::{Found, Loc, ValidationErrors};
use crate::genai::apis::Api;
use crate::genai::cost::{Given, Usd};
use crate::genai::response_error;
use crate::genai::stream::sse;
use crate::genai::stream::sse::Merged;
use crate::ids::{SpanId, TraceId};
use crate::json::document::Value;
use crate::steps;
use crate::text::nearest;
use crate::time::UnixNanos;

/// Members of the body. Source: `ChatCompletionsIngestRequest` of the `OpenAPI` document.
const REFERENCE_MEMBERS: [&str; 11] = [
    "request",
    "response",
    "session_id",
    "trace_id",
    "provider",
    "cost_usd",
    "cost_input_usd",
    "cost_output_usd",
    "cost_details",
    "experiment_context",
    "evaluation_context",
];

/// Members of the body that are ours.
const OWN_MEMBERS: [&str; 8] =
    ["started_at", "ended_at", "first_token_at", "parent_span_id", "service_name", "user_id", "tags", "api"];

/// The API of a chat-completion. Source: genai `openai.api.type`.
pub(super) const CHAT_COMPLETIONS: &str = "chat_completions";

/// Roles of a request's messages. Source: `ChatMessageRole` of the `OpenAPI` document.
pub(super) const ROLES: [&str; 6] = ["user", "system", "assistant", "developer", "tool", "function"];

/// Most entries of `cost_details`; each becomes an attribute.
const COST_DETAILS_MAX: usize = 128;

/// Longest name in `cost_details`, in bytes.
const COST_DETAIL_BYTES_MAX: usize = 64;

/// Most `tags`.
pub(super) const TAGS_MAX: usize = 256;

/// Reads a body.
///
/// # Errors
/// If it does not fit the reference's schema; all that is wrong is named, up to a bound.
pub fn parse<'d>(body: &'d Body<'_>, options: &ParseOptions) -> Result<Capture<'d>, ValidationErrors> {
    let mut found = Found::default();
    let Some(root) = found.object(&[], body.root()) else { return Err(found.into_errors()) };
    check_members(root, options, &mut found);
    let named = if options.strict_reference { None } else { other_apis::named(root, &mut found) };
    let other = if options.strict_reference { None } else { other_apis::read(root, named, &mut found) };
    let is_chat = other.is_none();
    let read = other.or_else(|| check_chat(root, &mut found));
    let trace = check_trace(root, &mut found);
    let parent = check_parent(root, &mut found);
    let times = check_times(root, &mut found);
    let cost = check_costs(root, &mut found);
    check_texts(root, &mut found);
    check_contexts(root, &mut found);
    let Some(Read { apis, request, response, merged }) = read else { return Err(found.into_errors()) };
    found.into_result()?;
    let sent = |name: &str| root.last_member(name).expect("what was read is there");
    let (sent_request, sent_response) = (sent("request"), sent("response"));
    let api = if is_chat || apis.response != Api::ChatCompletions { apis.response } else { apis.request };
    Ok(Capture {
        operation: Cow::Borrowed(api.operation()),
        api_type: api.openai_type(),
        apis,
        request,
        response,
        merged,
        said: Said::Body { root, request: sent_request, response: sent_response },
        trace,
        parent,
        times,
        cost,
        caller: caller(root),
        raw: KeptRaws {
            request: raw::kept(Some(sent_request), options),
            response: raw::kept(Some(sent_response), options),
        },
        rest: None,
        sources: sources(root),
        options: *options,
    })
}

/// What the caller says about itself, once that is known to fit.
fn caller(root: Value<'_>) -> Caller<'_> {
    let text = |name: &str| root.get(name).and_then(Value::filled_str);
    let is_said = |text: &Cow<'_, str>| !text.trim().is_empty();
    Caller {
        session: text("session_id").filter(is_said),
        provider: text("provider"),
        user_id: text("user_id"),
        service_name: text("service_name"),
        trace_id: text("trace_id").filter(is_said),
        tags: root.get("tags").into_iter().flat_map(Value::items).filter_map(Value::str).collect(),
        experiment_context: root.get("experiment_context"),
        evaluation_context: root.get("evaluation_context"),
    }
}

fn sources(root: Value<'_>) -> Sources<'_> {
    let given = |path: &'static [&'static str]| -> Option<Source<'_>> {
        let value = root.get(path.first()?)?;
        Some((path, Some(value)))
    };
    Sources {
        trace: (&["trace_id"], root.get("trace_id")),
        time: given(&["started_at"]).or_else(|| given(&["ended_at"])),
        created: &["response", "created"],
    }
}

/// A typo must not lose a cost silently: unknown members are refused by name.
fn check_members(root: Value<'_>, options: &ParseOptions, found: &mut Found) {
    let own: &[&str] = if options.strict_reference { &[] } else { &OWN_MEMBERS };
    let known = || REFERENCE_MEMBERS.iter().chain(own);
    for (key, value) in root.members() {
        let name = key.str().expect("a member's name is a string");
        if found.is_full() || known().any(|known| *known == name) {
            continue;
        }
        let shown = crate::json::limits::cut(&name, 64).map_or(&*name, |(kept, _)| kept);
        let msg = match nearest(shown, known().copied()) {
            Some(known) => format!("Extra inputs are not permitted; did you mean '{known}'?"),
            None => "Extra inputs are not permitted".to_owned(),
        };
        found.add(&[Loc::given(shown)], "extra_forbidden", msg, Some(value));
    }
}

/// A body of chat-completions.
fn check_chat<'d>(root: Value<'d>, found: &mut Found) -> Option<Read<'d>> {
    let request = check_request(root, found);
    let (response, merged) = check_response(root, found)?;
    // a completion's stream may be the answer of a chat in an old proxy
    let api = merged.as_ref().map_or(Api::ChatCompletions, |merged| merged.api);
    let apis = Apis { response: api, ..Apis::CHAT };
    Some(Read { apis, request: Part::Sent(request?), response: Part::Sent(response), merged })
}

fn check_request<'d>(root: Value<'d>, found: &mut Found) -> Option<Value<'d>> {
    let Some(request) = root.last_member("request") else {
        found.missing(&["request".into()]);
        return None;
    };
    let request = found.object(&["request".into()], request)?;
    match request.last_member("messages") {
        None => found.missing(&["request".into(), "messages".into()]),
        Some(messages) => check_messages(messages, found),
    }
    match request.last_member("model") {
        None => found.missing(&["request".into(), "model".into()]),
        Some(model) => drop(found.string(&["request".into(), "model".into()], model)),
    }
    Some(request)
}

fn check_messages(messages: Value<'_>, found: &mut Found) {
    let path = |index: usize| -> Vec<Loc> { vec!["request".into(), "messages".into(), index.into()] };
    let Some(messages) = found.list(&["request".into(), "messages".into()], messages) else {
        return;
    };
    for (index, message) in messages.items().enumerate() {
        if found.is_full() {
            return;
        }
        if !message.is_object() {
            found.object(&path(index), message);
            continue;
        }
        let role_path = || [path(index), vec!["role".into()]].concat();
        match message.last_member("role") {
            Some(role) if role.str().is_some_and(|role| ROLES.contains(&&*role)) => {}
            Some(role) => {
                let msg = "Input should be 'user', 'system', 'assistant', 'developer', 'tool' or 'function'";
                found.add(&role_path(), "enum", msg, Some(role));
            }
            None => found.missing(&role_path()),
        }
    }
}

/// The response as it was sent, and as one object when it has another form.
fn check_response<'d>(root: Value<'d>, found: &mut Found) -> Option<(Value<'d>, Option<Merged>)> {
    const MSG: &str = "Value error, response must have choices or an error, or be the chunks of a stream that has";
    let path = ["response".into()];
    let Some(response) = root.last_member("response") else {
        found.missing(&path);
        return None;
    };
    if let Some(choices) = response.get("choices").filter(|choices| !choices.is_array()) {
        found.list(&["response".into(), "choices".into()], choices);
        return None;
    }
    if response.is_object() && !sse::is_chunk(response) {
        if response.get("choices").is_none() && response_error::find(response).is_none() {
            found.add(&path, "value_error", MSG, None);
        }
        return Some((response, None));
    }
    let merged = sse::merge(response);
    if merged.is_none() {
        found.add(&path, "value_error", MSG, Some(response));
    }
    Some((response, merged))
}

fn check_trace(root: Value<'_>, found: &mut Found) -> Option<TraceId> {
    let path = ["trace_id".into()];
    let given = found.string(&path, root.get("trace_id")?)?;
    let (kind, msg) = match trace_ref::parse_trace_id(&given.str()?) {
        Ok(trace) => return trace,
        Err(trace_ref::TraceIdError::Zero) => ("value_error", "Value error, trace id is all zero"),
        Err(trace_ref::TraceIdError::TooLong) => ("string_too_long", "String should have at most 256 bytes"),
    };
    found.add(&path, kind, msg, Some(given));
    None
}

fn check_parent(root: Value<'_>, found: &mut Found) -> Option<SpanId> {
    let path = ["parent_span_id".into()];
    let given = found.string(&path, root.get("parent_span_id")?)?;
    let text = given.str()?;
    if text.trim().is_empty() {
        return None;
    }
    let parsed = SpanId::from_hex(text.trim().as_bytes());
    if let Err(error) = parsed {
        found.add(&path, "value_error", format!("Value error, span id {error}"), Some(given));
    }
    parsed.ok()
}

fn check_times(root: Value<'_>, found: &mut Found) -> GivenTimes {
    let times = GivenTimes {
        started: check_time(root, "started_at", found),
        ended: check_time(root, "ended_at", found),
        first_token: check_time(root, "first_token_at", found),
    };
    for (name, later) in [("ended_at", times.ended), ("first_token_at", times.first_token)] {
        if times.started.zip(later).is_some_and(|(start, later)| later < start) {
            found.add(
                &[name.into()],
                "value_error",
                format!("Value error, {name} is before started_at"),
                root.get(name),
            );
        }
    }
    times
}

fn check_time(root: Value<'_>, name: &'static str, found: &mut Found) -> Option<UnixNanos> {
    let given = root.get(name)?;
    let time = timing::from_json(given);
    if time.is_none() {
        let msg = "Input should be a valid datetime: RFC 3339 text or Unix seconds";
        found.add(&[name.into()], "datetime_parsing", msg, Some(given));
    }
    time
}

fn check_costs(root: Value<'_>, found: &mut Found) -> CallerCost {
    // what cannot be read is refused, so it is never stored without its cost
    let mut cost = |name: &'static str| Given::from(root.get(name).and_then(|value| found.usd(&[name.into()], value)));
    let (total, input, output) = (cost("cost_usd"), cost("cost_input_usd"), cost("cost_output_usd"));
    let mut details = Vec::new();
    let given = root.get("cost_details").and_then(|given| found.dict(&["cost_details".into()], given));
    for (key, value) in given.into_iter().flat_map(Value::members).filter(|(_, value)| !value.is_null()) {
        if details.len() >= COST_DETAILS_MAX {
            let msg = format!("Dictionary should have at most {COST_DETAILS_MAX} items");
            found.add(&["cost_details".into()], "too_long", msg, None);
            break;
        }
        let name = key.str().expect("a member's name is a string");
        if let Some((shown, _)) = crate::json::limits::cut(&name, COST_DETAIL_BYTES_MAX) {
            let msg = format!("String should have at most {COST_DETAIL_BYTES_MAX} bytes");
            found.add(&["cost_details".into(), Loc::given(shown), "[key]".into()], "string_too_long", msg, None);
        } else if let Some(usd) = found.usd(&["cost_details".into(), Loc::given(&name)], value) {
            steps::take(details.len());
            details.retain(|(earlier, _): &(String, Usd)| *earlier != name);
            details.push((name.into_owned(), usd));
        }
    }
    CallerCost { total, input, output, details }
}

fn check_texts(root: Value<'_>, found: &mut Found) {
    for name in ["session_id", "provider", "service_name", "user_id"] {
        if let Some(value) = root.get(name) {
            found.string(&[name.into()], value);
        }
    }
    let tags = root.get("tags").and_then(|tags| found.list(&["tags".into()], tags));
    for (index, tag) in tags.into_iter().flat_map(Value::items).enumerate() {
        if index >= TAGS_MAX {
            let msg = format!("List should have at most {TAGS_MAX} items");
            return found.add(&["tags".into()], "too_long", msg, None);
        }
        found.string(&["tags".into(), index.into()], tag);
    }
}

fn check_contexts(root: Value<'_>, found: &mut Found) {
    let experiment = root.get("experiment_context");
    let experiment = experiment.and_then(|context| found.object(&["experiment_context".into()], context));
    if let Some(context) = experiment {
        let path = ["experiment_context".into(), "experiment_id".into()];
        match context.last_member("experiment_id") {
            None => found.missing(&path),
            Some(id) => drop(found.string(&path, id)),
        }
        check_context_texts(context, "experiment_context", &["test_case_id"], found);
    }
    let evaluation = root.get("evaluation_context");
    let evaluation = evaluation.and_then(|context| found.object(&["evaluation_context".into()], context));
    if let Some(context) = evaluation {
        let names = [
            "evaluation_id",
            "evaluation_name",
            "evaluation_sha",
            "evaluation_run_id",
            "test_case_id",
            "test_case_name",
        ];
        check_context_texts(context, "evaluation_context", &names, found);
        if let Some(metadata) = context.get("metadata") {
            found.dict(&["evaluation_context".into(), "metadata".into()], metadata);
        }
    }
}

fn check_context_texts(context: Value<'_>, of: &'static str, names: &[&'static str], found: &mut Found) {
    for name in names {
        if let Some(value) = context.get(name) {
            found.string(&[of.into(), (*name).into()], value);
        }
    }
}
