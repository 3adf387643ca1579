//! Messages in every form there is, as the conventions' parts.
//!
//! ```text
//! 1  gen_ai.input.messages, ...            canonical: kept as it is; else rewritten           forms, canonical
//! 2  the event ...operation.details        the same, completed by the rules before
//! 3  events gen_ai.user.message, ...       one message each; Logfire's list of them           events
//! 4  gen_ai.prompt.0.content, ...          put together to JSON                               flat
//! 5  llm.input_messages.0.message...       the same
//! 6  ai.prompt, ai.response.text, ...      the AI SDK's                                       vercel
//! 7  input.value, langfuse..., mlflow...   if it looks like messages; else a text             forms
//! 8  gen_ai.prompt, gen_ai.completion      JSON or a text                                     forms
//!
//! every form --parts--> chat::messages::write_loose --> canonical JSON
//! ```
//!
//! What comes out is about as long as what came in. At worst it is some twenty times as long: a list of empty texts, each of
//! which becomes a message with a part. A text has a bounded number of values for that reason; one with more is a text like any other.
//!
//! Source: section 4.1 of the mapping specification.

mod canonical;
mod events;
mod flat;
mod forms;
mod parts;
mod system;
mod tools;
mod vercel;

use super::keys::{Family, Slot};
use super::operation::{CHAT, INVOKE_AGENT, INVOKE_WORKFLOW};
use super::slots::{Slots, unquoted};
use crate::columns::typed::{SpanView, Text, Texts, Typed};
use crate::conventions::read_json;
use crate::json::document::Value;
use forms::{Form, Side};

/// Most bytes of a span's content and events that messages are written from: what is canonical is taken as it is, however
/// long. Written as JSON a text can be six times as long as it is, and more than once on the way.
const REWRITTEN_BYTES_MAX: usize = 16 << 20;

/// The span's own attributes that a column may hold as they are; what an event completes stays in the event.
pub(crate) struct Own<'a>([(Slot, Option<&'a [u8]>); 3]);

impl<'a> Own<'a> {
    pub(crate) fn of(slots: &Slots<'a>) -> Self {
        let slot = |slot| (slot, slots.get(slot));
        Self([slot(Slot::InputMessages), slot(Slot::OutputMessages), slot(Slot::ToolDefinitions)])
    }

    /// The attribute whose very bytes these are.
    fn holding(&self, text: &Text<'_>) -> Option<Slot> {
        let Text::Borrowed(bytes) = text else { return None };
        self.0.iter().find(|(_, own)| own.is_some_and(|own| std::ptr::eq(own, *bytes))).map(|(slot, _)| *slot)
    }
}

/// Fills the columns of messages, tools and the system prompt; and what only messages say: finish reasons, and the
/// response's id.
pub(crate) fn put<'a>(typed: &mut Typed<'a>, slots: &Slots<'a>, span: &SpanView<'a>, own: &Own<'a>) {
    if !slots.has_content && span.events.is_empty() {
        return;
    }
    let of_events = span.events.iter().map(|event| event.attributes.bytes_len()).sum::<usize>();
    let is_rewritten = span.content.bytes_len() + of_events <= REWRITTEN_BYTES_MAX;
    let may_be_text = matches!(
        str::from_utf8(typed.text(Texts::Operation)),
        Ok(CHAT | INVOKE_AGENT | INVOKE_WORKFLOW | "text_completion" | "generate_content")
    );
    let mut system = slots.text(Slot::SystemInstructions).map(system::of_instructions).unwrap_or_default();
    let made = match is_rewritten {
        true => input(slots, span, may_be_text),
        false => slots.text(Slot::InputMessages).and_then(|text| INPUT.canonical(text)),
    };
    if let Some(made) = made {
        let of_messages = made.system.unwrap_or_else(|| system::of_messages(&made.text));
        system::join(&mut system, &of_messages);
        take(typed, Texts::InputMessages, made.text, own);
    }
    typed.set_text(Texts::SystemPrompt, system.into_bytes());
    let made = match is_rewritten {
        true => output(slots, span, may_be_text, &typed.finish_reasons),
        false => slots.text(Slot::OutputMessages).and_then(|text| OUTPUT.canonical(text)),
    };
    if let Some(made) = made {
        if typed.finish_reasons.is_empty() {
            typed.finish_reasons = made.reasons.into_iter().map(|reason| reason.into_bytes().into()).collect();
        }
        take(typed, Texts::OutputMessages, made.text, own);
    }
    if let Some(text) = is_rewritten.then(|| tools::of(slots)).flatten() {
        take(typed, Texts::ToolDefinitions, text, own);
    }
    put_response(typed, slots);
}

/// Sets a column; a text that is the attribute's own is not kept twice.
fn take<'a>(typed: &mut Typed<'a>, column: Texts, text: Text<'a>, own: &Own<'a>) {
    if let Some(slot) = own.holding(&text) {
        typed.held_by_columns.push(slot.key().as_bytes());
    }
    typed.set_text(column, text);
}

/// What a form became.
pub(crate) struct Made<'a> {
    text: Text<'a>,
    /// The text of its system messages, if it was looked for.
    system: Option<String>,
    /// Finish reasons as sent.
    reasons: Vec<String>,
}

impl Made<'_> {
    fn written(text: String) -> Option<Self> {
        (text != "[]").then(|| Made { text: text.into_bytes().into(), system: None, reasons: Vec::new() })
    }
}

const INPUT: Form<'static> = Form { side: Side::Input, reasons: &[], calls: None, may_be_text: true };
const OUTPUT: Form<'static> = Form { side: Side::Output, ..INPUT };

fn input<'a>(slots: &Slots<'a>, span: &SpanView<'a>, may_be_text: bool) -> Option<Made<'a>> {
    let form = INPUT;
    let opaque = Form { may_be_text, ..form };
    [Slot::InputMessages, Slot::SentryMessages]
        .into_iter()
        .find_map(|slot| form.read(slots.text(slot)?))
        .or_else(|| events::input(slots, span))
        .or_else(|| flat::messages(slots.members(Family::Prompts), form))
        .or_else(|| flat::messages(slots.members(Family::InputMessages), form))
        .or_else(|| form.read(slots.text(Slot::AiPromptMessages)?))
        .or_else(|| form.read(slots.text(Slot::AiPrompt)?))
        .or_else(|| form.read(slots.text(Slot::Prompt)?))
        .or_else(|| form.read(events::content(span, b"gen_ai.content.prompt", b"gen_ai.prompt")?))
        .or_else(|| {
            let sources =
                [Slot::LangfuseInput, Slot::MlflowInputs, Slot::TraceloopInput, Slot::InputValue, Slot::VertexRequest];
            sources.into_iter().find_map(|slot| opaque.read(slots.text(slot)?))
        })
}

fn output<'a>(slots: &Slots<'a>, span: &SpanView<'a>, may_be_text: bool, reasons: &[Text<'_>]) -> Option<Made<'a>> {
    let calls = flat::function_calls(slots.members(Family::Completions));
    let form = Form { reasons, ..OUTPUT };
    let with_calls = Form { calls: calls.as_ref(), ..form };
    let opaque = Form { may_be_text, ..form };
    slots
        .text(Slot::OutputMessages)
        .and_then(|text| with_calls.read(text))
        .or_else(|| vercel::sentry(slots, form))
        .or_else(|| events::output(slots, span, form))
        .or_else(|| flat::messages(slots.members(Family::Completions), form))
        .or_else(|| flat::messages(slots.members(Family::OutputMessages), form))
        .or_else(|| vercel::output(slots, form))
        .or_else(|| form.read(slots.text(Slot::Completion)?))
        .or_else(|| form.read(events::content(span, b"gen_ai.content.completion", b"gen_ai.completion")?))
        .or_else(|| {
            let sources = [
                Slot::LangfuseOutput,
                Slot::MlflowOutputs,
                Slot::TraceloopOutput,
                Slot::OutputValue,
                Slot::VertexResponse,
                Slot::PydanticResult,
            ];
            sources.into_iter().find_map(|slot| opaque.read(slots.text(slot)?))
        })
}

/// OpenInference has the response's id only in the response.
fn put_response<'a>(typed: &mut Typed<'a>, slots: &Slots<'a>) {
    let columns = [(Texts::ResponseId, "id"), (Texts::ResponseModel, "model")];
    let is_missing = columns.iter().any(|(column, _)| typed.text(*column).is_empty());
    let Some(text) = slots.text(Slot::OutputValue).filter(|text| is_missing && text.starts_with('{')) else {
        return;
    };
    let Ok(document) = read_json(text) else {
        return;
    };
    let response = document.root();
    if !response.get("choices").is_some_and(Value::is_array) {
        return;
    }
    for (column, name) in columns {
        if let Some(value) = response.get(name).and_then(Value::filled_str).filter(|_| typed.text(column).is_empty()) {
            typed.set_text(column, value.into_owned().into_bytes());
        }
    }
}

/// A text that may stand in the quotes of JSON.
fn plain(text: &str) -> Text<'_> {
    unquoted(text.as_bytes()).unwrap_or_default()
}
