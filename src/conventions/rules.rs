//! The rules: a span's attributes and events in any convention become a [`Call`].

use super::keys::Slot;
use super::operation::{self, Known};
use super::slots::Slots;
use super::{agents, cost, failure, finish, messages, parameters, sources, tier, timing, usage};
use crate::columns::typed::SpanView;
use crate::genai::call::{Call, Text};
use crate::genai::provider;
use crate::json::document::{Document, Value};

/// The event that carries a call's attributes beside its span. Source: genai, events.
const DETAILS_EVENT: &[u8] = b"gen_ai.client.inference.operation.details";

/// Returns the call that a span describes. The first of several attributes that mean the same wins, by the order of the
/// specification's table; one that is empty counts as absent.
#[must_use]
pub fn normalise<'a>(span: &SpanView<'a>) -> Call<'a> {
    let mut slots = Slots::of(span);
    agents::complete(&mut slots, span);
    let own = messages::Own::of(&slots);
    for event in span.events.iter().filter(|event| event.name == DETAILS_EVENT) {
        event.attributes.iter().for_each(|(key, value)| slots.complete(key, value));
    }
    let invocation = slots.json(Slot::InvocationParameters);
    let invocation = invocation.as_ref().map(Document::root);
    let text = |sources: &[Slot]| slots.first_text(sources).unwrap_or_default();
    let mut call = Call {
        session_id: text(sources::SESSION_ID),
        conversation_id: text(&[Slot::ConversationId]),
        user_id: text(sources::USER_ID),
        response_id: text(sources::RESPONSE_ID),
        tool_call_id: text(sources::TOOL_CALL_ID),
        tool_name: slots.first_text(sources::TOOL_NAME).or_else(|| genkit_tool(&slots)).unwrap_or_default(),
        agent_name: text(sources::AGENT_NAME),
        workflow_name: text(sources::WORKFLOW_NAME),
        timing_quality: text(&[Slot::MillraceTiming]),
        provider: provider_of(&slots),
        usage: usage::of(&slots),
        cost: cost::of(&slots),
        finish_reasons: finish::of(&slots),
        request_parameters: parameters::of(&slots, invocation),
        ..Call::default()
    };
    call.service_tier = tier::of(&slots, &call.request_parameters);
    put_models(&mut call, &slots, invocation);
    put_operation(&mut call, &slots, span);
    let times = timing::put(&mut call, &slots, span, invocation);
    call.settle(times);
    failure::put(&mut call, &slots, span);
    messages::put(&mut call, &slots, span, &own);
    call
}

/// Frameworks that give their own name as the provider's. Who answered is not known then, and the model gives its price.
const FRAMEWORKS: [&str; 6] = ["autogen", "crewai", "langchain", "langgraph", "spring_ai", "strands-agents"];

fn provider_of<'a>(slots: &Slots<'a>) -> Text<'a> {
    let mut given = sources::PROVIDER.iter().filter_map(|slot| slots.first_text(&[*slot]));
    let Some(given) = given.find(|given| !FRAMEWORKS.contains(&&**given)) else { return Text::default() };
    match provider::normalise(&given) {
        Some(name) if name != given => Text::Owned(name.into_owned()),
        _ => given,
    }
}

/// OpenInference has the model asked for among the parameters; its model beside them is then the one that answered.
fn put_models<'a>(call: &mut Call<'a>, slots: &Slots<'a>, invocation: Option<Value<'_>>) {
    let among_parameters = invocation.and_then(|parameters| parameters.get("model")?.filled_str());
    let answered = slots
        .first_text(sources::RESPONSE_MODEL)
        .or_else(|| among_parameters.as_ref().and_then(|_| slots.first_text(&[Slot::LlmModelName])));
    let asked = slots
        .first_text(sources::REQUEST_MODEL)
        .or_else(|| among_parameters.map(|model| Text::Owned(model.into_owned())))
        .or_else(|| slots.first_text(sources::MODEL))
        .or_else(|| genkit_model(slots));
    let answered = answered.or_else(|| haystack_model(slots));
    if let Some(asked) = asked {
        call.request_model = asked;
    }
    if let Some(answered) = answered {
        call.response_model = answered;
    }
}

/// Haystack has the model that answered beside the reply.
fn haystack_model<'a>(slots: &Slots<'a>) -> Option<Text<'a>> {
    let output = usage::haystack_output(slots)?;
    let model = usage::haystack_meta(output.root())?.get("model")?.filled_str()?;
    Some(Text::Owned(model.into_owned()))
}

/// Genkit has the tool as the name of the action.
fn genkit_tool<'a>(slots: &Slots<'a>) -> Option<Text<'a>> {
    let is_tool = slots.get(Slot::GenkitSubtype)?.split('.').next() == Some("tool");
    slots.get(Slot::GenkitName).filter(|_| is_tool).map(Text::Borrowed)
}

/// Genkit has the model as the name of the action, after its plugin: `googleai/gemini-2.5-flash`.
fn genkit_model<'a>(slots: &Slots<'a>) -> Option<Text<'a>> {
    let is_of_model = matches!(slots.get(Slot::GenkitSubtype)?, "model" | "background-model" | "embedder");
    let name = slots.get(Slot::GenkitName).filter(|_| is_of_model)?;
    Some(Text::Borrowed(name.split_once('/').map_or(name, |(_, model)| model)))
}

/// The operation, and what OpenLLMetry says about it: its entity is a tool, an agent or a workflow.
fn put_operation<'a>(call: &mut Call<'a>, slots: &Slots<'a>, span: &SpanView<'a>) {
    let has_model = !(call.request_model.is_empty() && call.response_model.is_empty());
    let has_usage = call.usage.input.or(call.usage.output).is_some();
    let known = Known {
        scope_name: span.scope_name,
        name: span.name,
        has_model_and_usage: has_model && has_usage,
        is_agent: !(call.agent_name.is_empty() && call.workflow_name.is_empty()),
    };
    call.operation = operation::of(slots, &known);
    let name = match slots.get(Slot::TraceloopSpanKind) {
        Some("tool") => &mut call.tool_name,
        Some("agent") => &mut call.agent_name,
        Some("workflow") => &mut call.workflow_name,
        _ => return,
    };
    if let Some(entity) = slots.get(Slot::TraceloopEntityName).filter(|_| name.is_empty()) {
        *name = entity.into();
    }
}
