//! The rules: a span's attributes in any convention become what its typed columns hold.

use super::keys::Slot;
use super::operation::{self, Known};
use super::slots::Slots;
use super::{cost, failure, finish, messages, parameters, sources, timing, usage};
use crate::columns::typed::{Counts, SpanView, Text, Texts, Typed};
use crate::conventions::read_json;
use crate::genai::provider;
use crate::json::document::{Document, Value};
use std::str;

/// The event that carries a call's attributes beside its span. Source: genai, events.
const DETAILS_EVENT: &[u8] = b"gen_ai.client.inference.operation.details";

/// What the typed columns get for a span. The first of several attributes that mean the same wins, by the order of the
/// specification's table; one that is empty counts as absent.
#[must_use]
pub fn normalise<'a>(span: &SpanView<'a>) -> Typed<'a> {
    let mut slots = Slots::of(span);
    let own = messages::Own::of(&slots);
    for event in span.events.iter().filter(|event| event.name == DETAILS_EVENT) {
        event.attributes.iter().for_each(|(key, value)| slots.complete(key, value));
    }
    let mut typed = Typed::default();
    for (column, sources) in sources::TEXTS {
        if let Some(text) = slots.first_text(sources) {
            typed.set_text(*column, text);
        }
    }
    let invocation = slots.text(Slot::InvocationParameters).and_then(|text| read_json(text).ok());
    let invocation = invocation.as_ref().map(Document::root);
    put_provider(&mut typed, &slots);
    put_models(&mut typed, &slots, invocation);
    usage::put(&mut typed, &slots);
    put_operation(&mut typed, &slots, span);
    cost::put(&mut typed, &slots);
    timing::put(&mut typed, &slots, span, invocation);
    failure::put(&mut typed, &slots, span);
    parameters::put(&mut typed, &slots, invocation);
    typed.finish_reasons = finish::of(&slots);
    messages::put(&mut typed, &slots, span, &own);
    typed.finish_reasons_normalized = typed.finish_reasons.iter().map(finish::normalised).collect();
    typed
}

fn put_provider<'a>(typed: &mut Typed<'a>, slots: &Slots<'a>) {
    let Some(given) = slots.first_text(sources::PROVIDER) else {
        return;
    };
    let known = str::from_utf8(&given).ok().and_then(provider::normalise);
    let name = known.map(|name| name.into_owned().into_bytes());
    typed.set_text(Texts::Provider, name.map_or(given.clone(), Text::Owned));
}

/// OpenInference has the model asked for among the parameters; its model beside them is then the one that answered.
fn put_models<'a>(typed: &mut Typed<'a>, slots: &Slots<'a>, invocation: Option<Value<'_>>) {
    let among_parameters = invocation.and_then(|parameters| parameters.get("model")?.filled_str());
    let asked = slots
        .first_text(sources::REQUEST_MODEL)
        .or_else(|| among_parameters.as_ref().map(|model| model.as_bytes().to_vec().into()))
        .or_else(|| slots.first_text(sources::MODEL));
    let answered = slots
        .first_text(sources::RESPONSE_MODEL)
        .or_else(|| among_parameters.and_then(|_| slots.first_text(&[Slot::LlmModelName])));
    for (column, model) in [(Texts::RequestModel, asked), (Texts::ResponseModel, answered)] {
        if let Some(model) = model {
            typed.set_text(column, model);
        }
    }
}

/// The operation, and what OpenLLMetry says about it: its entity is a tool, an agent or a workflow.
fn put_operation<'a>(typed: &mut Typed<'a>, slots: &Slots<'a>, span: &SpanView<'a>) {
    let has_model = [Texts::RequestModel, Texts::ResponseModel].iter().any(|column| !typed.text(*column).is_empty());
    let has_usage = [Counts::InputTokens, Counts::OutputTokens].iter().any(|column| typed.count(*column).is_some());
    let known = Known { scope_name: span.scope_name, has_model_and_usage: has_model && has_usage };
    typed.set_text(Texts::Operation, operation::of(slots, &known));
    let column = match slots.get(Slot::TraceloopSpanKind) {
        Some(b"tool") => Texts::ToolName,
        Some(b"agent") => Texts::AgentName,
        Some(b"workflow") => Texts::WorkflowName,
        _ => return,
    };
    if let Some(name) = slots.get(Slot::TraceloopEntityName).filter(|_| typed.text(column).is_empty()) {
        typed.set_text(column, name);
    }
}
