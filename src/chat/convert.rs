//! A valid body becomes a span: the order of things, and what belongs to no other file.

use std::borrow::Cow;

use super::capture::{Capture, part_reader, refusal};
use super::contexts::Contexts;
use super::cost::{self, Cost};
use super::identity::Identity;
use super::request::Request;
use super::response::{Response, Shape};
use super::span::{AttrValue, Attributes, ChatSpan, Raw, Status};
use super::timing::{GivenTimes, Timing};
use super::trace_ref::{SessionRef, Traceparent};
use super::validate::ValidationErrors;
use crate::columns;
use crate::genai::operation;
use crate::genai::response_error::{self, Failure};
use crate::genai::usage::Usage;
use crate::genai::{provider, semconv};
use crate::ids::TraceId;
use crate::retention::Cutoff;
use crate::time::UnixNanos;
use crate::timestamps::Window;
use crate::workspace::Workspace;

/// Longest span name in bytes: a model's name is short.
const NAME_BYTES_MAX: usize = 512;

/// What of a request to the service is not in its body.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The workspace of the path.
    pub workspace: &'a Workspace,
    /// When the body arrived.
    pub received_at: UnixNanos,
    /// The header `traceparent`, when there is a valid one.
    pub traceparent: Option<Traceparent>,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
}

/// Makes the span of a capture. `session.id` is in it when the sender named the session, and only then: what is derived
/// may change when the trace's root becomes known.
///
/// # Errors
/// If body and `traceparent` name different traces.
pub fn convert<'c>(capture: &'c Capture<'_>, context: &Context<'_>) -> Result<ChatSpan<'c>, ValidationErrors> {
    let traceparent = context.traceparent.filter(|_| !capture.options().strict_reference);
    let idempotency_key = context.idempotency_key.map(str::trim).filter(|key| !key.is_empty());
    let parent = traceparent.map(|header| header.parent).or(capture.parent);
    let session = capture.caller.session.clone();
    let contexts = Contexts::read(capture.caller.experiment_context, capture.caller.evaluation_context);
    let identity = Identity {
        workspace: context.workspace,
        idempotency_key: idempotency_key.filter(|_| !capture.options().strict_reference),
        trace: agreed_trace(capture, traceparent)?,
        parent,
        session: session.as_deref(),
        times: capture.times,
        contexts: &contexts,
    };
    let (trace, span_id, fingerprint) = identity.resolve(&capture.said);
    let is_keyed = identity.idempotency_key.is_some();
    let request = Request::read(capture.request());
    let response = Response::read(capture.response());
    let failure = response_error::find(capture.response());
    let timing = Timing::resolve(capture.times, capture.response(), context.received_at);

    let mut attributes = Attributes::new(capture.options().limits);
    put_call(&mut attributes, capture, &request, &response, failure.as_ref());
    put_failure(&mut attributes, failure.as_ref());
    put_caller(&mut attributes, capture, &request, trace.id());
    contexts.put(&mut attributes);
    put_timing(&mut attributes, &timing, capture.times);
    attributes.call.session_id = attributes.stated(semconv::SESSION_ID, session.clone());
    attributes.call.conversation_id = attributes.stated(semconv::CONVERSATION_ID, session.clone());
    if let Some(rest) = &capture.rest {
        for (key, is_content) in [(rest.key, false), (semconv::MILLRACE_RECORD_CONTENT, true)] {
            if !rest.is_empty(is_content) {
                attributes.json(key, |json| rest.write(json, is_content));
            }
        }
    }
    let (request_text, request_losses) = &capture.raw.request;
    let (response_text, response_losses) = &capture.raw.response;
    attributes.note(columns::RAW_REQUEST, *request_losses);
    attributes.note(columns::RAW_RESPONSE, *response_losses);
    let (status, status_message) = match failure {
        Some(failure) => (Status::Error, failure.message),
        None => (Status::Unset, "".into()),
    };
    let (mut call, attributes) = attributes.finish();
    call.settle(timing.known());
    Ok(ChatSpan {
        trace,
        span_id,
        // a sender that tries again may do so in another span of its own
        fingerprint: fingerprint.with(traceparent.filter(|_| !is_keyed)),
        is_keyed,
        parent,
        session: session.map_or(SessionRef::ToDerive, SessionRef::Given),
        name: span_name(&capture.operation, &request.model),
        start: timing.start,
        end: timing.end,
        status,
        status_message,
        service_name: capture.caller.service_name.clone(),
        raw: Raw { request: (&**request_text).into(), response: (&**response_text).into() },
        call,
        attributes,
    })
}

/// The trace both name, or the one that either names.
fn agreed_trace(capture: &Capture<'_>, header: Option<Traceparent>) -> Result<Option<TraceId>, ValidationErrors> {
    let given = capture.trace;
    if given.zip(header).is_some_and(|(given, header)| given != header.trace) {
        let message = "Value error, trace_id is not the trace of the traceparent header";
        return Err(refusal(capture.sources.trace, message.to_owned()));
    }
    Ok(given.or(header.map(|header| header.trace)))
}

/// Refuses a call that is older than what is kept, or outside of the times that are expected, by the member that says when it was.
///
/// # Errors
/// If it is.
pub fn check_age(
    capture: &Capture<'_>,
    began: UnixNanos,
    cutoff: Option<Cutoff>,
    window: Window,
    workspace: &Workspace,
) -> Result<(), ValidationErrors> {
    let passed = cutoff.filter(|cutoff| cutoff.excludes(began)).map(|cutoff| cutoff.describe(began, workspace));
    let Some(words) = passed.or_else(|| window.check(began).err().map(|outside| outside.to_string())) else {
        return Ok(());
    };
    let created = || (capture.sources.created, capture.response().get("created"));
    Err(refusal(capture.sources.time.unwrap_or_else(created), format!("Value error, the call {words}")))
}

fn span_name(operation: &str, model: &str) -> String {
    let model = crate::json::limits::cut(model, NAME_BYTES_MAX).map_or(model, |(kept, _)| kept);
    if model.is_empty() { operation.to_owned() } else { format!("{operation} {model}") }
}

fn put_call<'c>(
    attributes: &mut Attributes<'c>,
    capture: &'c Capture<'_>,
    request: &Request<'c>,
    response: &Response<'c>,
    failure: Option<&Failure<'_>>,
) {
    let given = capture.caller.provider.as_deref().and_then(provider::normalise);
    let is_inferred = given.is_none();
    let provider = given.map_or_else(
        || {
            let inferred = response.infer_provider(&request.model, failure);
            // Bedrock's models are those of others
            let of_api = capture.apis.provider();
            let named = of_api.filter(|name| inferred.is_none() || *name == "aws.bedrock").or(inferred);
            Cow::Borrowed(named.unwrap_or(provider::UNKNOWN))
        },
        |given| Cow::Owned(given.into_owned()),
    );
    let is_stream = capture.merged().is_some_and(|merged| merged.is_stream);
    let usage = response.usage().map_or(Usage::default(), |usage| Usage::read(usage, &provider));
    let cost = Cost::find(&capture.cost, capture.response());
    let is_error_itself =
        failure.is_some_and(|failure| failure.error.is_some_and(|error| error.is_same(capture.response())));

    attributes.call.operation = operation::normalise(&capture.operation).into();
    attributes.put(semconv::OPERATION_NAME, AttrValue::Str(Cow::Borrowed(&*capture.operation)));
    attributes.call.provider = attributes.stated(semconv::PROVIDER_NAME, Some(provider));
    attributes.optional_text(semconv::OPENAI_API_TYPE, capture.api_type.map(Cow::Borrowed));
    request.put(attributes, is_stream, part_reader(capture.apis.request));
    attributes.call.usage = usage;
    put_usage(attributes, &usage);
    let (audio_mime, reader) = (request.audio_mime(), part_reader(capture.apis.response));
    response.put(attributes, &usage, cost.member, Shape { is_stream, is_error_itself, audio_mime, reader });
    cost::put(attributes, cost, &capture.cost);
    if is_inferred {
        attributes.put(semconv::MILLRACE_PROVIDER_INFERRED, AttrValue::Bool(true));
    }
    if capture.merged().is_some_and(|merged| !merged.is_complete) {
        attributes.put(semconv::MILLRACE_STREAM_COMPLETE, AttrValue::Bool(false));
    }
}

fn put_usage(attributes: &mut Attributes<'_>, usage: &Usage) {
    for (key, count) in [
        (semconv::USAGE_INPUT_TOKENS, usage.input),
        (semconv::USAGE_OUTPUT_TOKENS, usage.output),
        (semconv::USAGE_CACHE_READ, usage.cache_read),
        (semconv::USAGE_CACHE_WRITE, usage.cache_write),
        (semconv::USAGE_REASONING, usage.reasoning),
        (semconv::USAGE_TEXT_INPUT, usage.text.input),
        (semconv::USAGE_TEXT_OUTPUT, usage.text.output),
        (semconv::USAGE_IMAGE_INPUT, usage.image.input),
        (semconv::USAGE_IMAGE_OUTPUT, usage.image.output),
        (semconv::USAGE_AUDIO_INPUT, usage.audio.input),
        (semconv::USAGE_AUDIO_OUTPUT, usage.audio.output),
        (semconv::USAGE_VIDEO_INPUT, usage.video.input),
        (semconv::USAGE_VIDEO_OUTPUT, usage.video.output),
        (semconv::USAGE_AUDIO_CACHE_READ, usage.cache_read_audio),
        (semconv::USAGE_IMAGE_CACHE_READ, usage.cache_read_image),
        (semconv::USAGE_TOTAL_TOKENS, usage.total),
    ] {
        attributes.optional_count(key, count);
    }
}

fn put_failure<'c>(attributes: &mut Attributes<'c>, failure: Option<&Failure<'c>>) {
    let Some(failure) = failure else {
        return;
    };
    attributes.call.error_type = attributes.stated(semconv::ERROR_TYPE, Some(failure.class.clone()));
    attributes.call.error_message = failure.message.clone();
    if let Some(error) = failure.error {
        attributes.json(semconv::MILLRACE_RESPONSE_ERROR, |json| json.value(error));
    }
}

/// What the caller says about itself and about what the call is for.
fn put_caller<'c>(attributes: &mut Attributes<'c>, capture: &'c Capture<'_>, request: &Request<'c>, trace: TraceId) {
    let caller = &capture.caller;
    let user_id = caller.user_id.clone().or_else(|| request.user());
    attributes.call.user_id = attributes.stated(semconv::USER_ID, user_id);
    let given_trace = caller.trace_id.clone().filter(|given| **given != trace.to_string());
    attributes.optional_text(semconv::MILLRACE_TRACE_ID, given_trace);
    if !caller.tags.is_empty() {
        attributes.texts(semconv::MILLRACE_TAGS, caller.tags.clone());
    }
}

fn put_timing(attributes: &mut Attributes<'_>, timing: &Timing, given: GivenTimes) {
    attributes.call.timing_quality = timing.source.into();
    attributes.text(semconv::MILLRACE_TIMING, timing.source);
    if let Some(seconds) = timing.first_chunk_seconds {
        attributes.put(semconv::RESPONSE_TIME_TO_FIRST_CHUNK, AttrValue::Double(seconds));
    }
    if let Some((start, first)) = given.started.zip(given.first_token) {
        attributes.call.time_to_first_token = Some(first.nanos_since(start));
        // what has a first token is a stream
        attributes.call.streaming = Some(true);
    }
}
