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
//! every form --genai::messages::reader--> write_loose --> canonical JSON
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
mod system;
mod tools;
mod vercel;

pub(crate) use events::CHOICE;
pub use events::{EventMessages, side_of_message};

use super::keys::{Family, Slot};
use super::slots::Slots;
use crate::columns::typed::SpanView;
use crate::genai::call::{Call, Text};
use crate::genai::finish_reason::COUNT_MAX;
use crate::genai::messages::system::join;
use crate::genai::operation::{CHAT, INVOKE_AGENT, INVOKE_WORKFLOW, is_of_model};
use crate::json::document::Value;
use forms::MessageSource;

/// Most bytes of a span's content and events that messages are written from: what is canonical is taken as it is, however
/// long. Written as JSON a text can be six times as long as it is, and more than once on the way.
const REWRITTEN_BYTES_MAX: usize = 16 << 20;

/// The span's own attributes that a column may hold as they are; what an event completes stays in the event.
pub(crate) struct Own<'a>([(Slot, Option<&'a str>); 3]);

impl<'a> Own<'a> {
    pub(crate) fn of(slots: &Slots<'a>) -> Self {
        let slot = |slot| (slot, slots.get(slot));
        Self([slot(Slot::InputMessages), slot(Slot::OutputMessages), slot(Slot::ToolDefinitions)])
    }

    /// The key of the attribute whose very bytes these are.
    fn holding(&self, text: &Text<'_>) -> Option<&'static str> {
        let Text::Borrowed(text) = text else { return None };
        self.0.iter().find(|(_, own)| own.is_some_and(|own| std::ptr::eq(own, *text))).map(|(slot, _)| slot.key())
    }
}

/// Fills messages, tools and the system prompt; and what only messages say: finish reasons, and the response's id.
pub(crate) fn put<'a>(call: &mut Call<'a>, slots: &Slots<'a>, span: &SpanView<'a>, own: &Own<'a>) {
    if !slots.has_content && span.events.is_empty() {
        return;
    }
    let of_events = span.events.iter().map(|event| event.attributes.bytes_len()).sum::<usize>();
    let is_rewritten = span.content.bytes_len() + of_events <= REWRITTEN_BYTES_MAX;
    let may_be_text =
        matches!(&*call.operation, CHAT | INVOKE_AGENT | INVOKE_WORKFLOW | "text_completion" | "generate_content");
    let mut system = slots.get(Slot::SystemInstructions).map_or_else(String::new, system::of_instructions);
    let read = match is_rewritten {
        true => input(slots, span, may_be_text),
        false => slots.get(Slot::InputMessages).and_then(|text| INPUT.canonical(text)),
    };
    if let Some(messages) = read {
        let of_messages = messages.system.unwrap_or_else(|| system::of_messages(&messages.text));
        join(&mut system, &of_messages);
        call.input_messages = messages.text;
    }
    call.system_prompt = system.into();
    put_response(call, slots);
    let read = match is_rewritten {
        true => output(slots, span, may_be_text, &call.finish_reasons),
        false => slots.get(Slot::OutputMessages).and_then(|text| OUTPUT.canonical(text)),
    };
    if let Some(messages) = read {
        if call.finish_reasons.is_empty() {
            call.finish_reasons = messages.reasons.into_iter().map(Text::Owned).collect();
        }
        call.output_messages = messages.text;
    }
    let tools = || tools::of(slots).or_else(|| tools::of_request(slots).filter(|_| is_of_model(&call.operation)));
    if let Some(text) = is_rewritten.then(tools).flatten() {
        call.tool_definitions = text;
    }
    let texts = [&call.input_messages, &call.output_messages, &call.tool_definitions];
    call.held_attributes = texts.into_iter().filter_map(|text| own.holding(text)).collect();
}

/// Which messages: those sent to the model, or those it answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Sent to the model.
    Input,
    /// Answered by it.
    Output,
}

/// What a source of messages became.
pub(crate) struct NormalizedMessages<'a> {
    text: Text<'a>,
    /// The text of its system messages, if it was looked for.
    system: Option<String>,
    /// Finish reasons as sent.
    reasons: Vec<String>,
}

impl NormalizedMessages<'_> {
    /// Messages that our writer wrote; `None` when there are none.
    fn written(text: String, reasons: Vec<String>) -> Option<Self> {
        (text != "[]").then(|| NormalizedMessages { text: text.into(), system: None, reasons })
    }

    fn into_owned<'a>(self) -> NormalizedMessages<'a> {
        NormalizedMessages { text: self.text.into_owned().into(), ..self }
    }
}

const INPUT: MessageSource<'static> = MessageSource { side: Side::Input, reasons: &[], calls: None, may_be_text: true };
const OUTPUT: MessageSource<'static> = MessageSource { side: Side::Output, ..INPUT };

fn input<'a>(slots: &Slots<'a>, span: &SpanView<'a>, may_be_text: bool) -> Option<NormalizedMessages<'a>> {
    let form = INPUT;
    let opaque = MessageSource { may_be_text, ..form };
    [Slot::InputMessages, Slot::SentryMessages]
        .into_iter()
        .find_map(|slot| form.read(slots.get(slot)?))
        .or_else(|| events::input(slots, span))
        .or_else(|| flat::messages(slots.members(Family::Prompts), form))
        .or_else(|| flat::messages(slots.members(Family::InputMessages), form))
        .or_else(|| form.read(slots.get(Slot::AiPromptMessages)?))
        .or_else(|| form.read(slots.get(Slot::AiPrompt)?))
        .or_else(|| form.read(slots.get(Slot::Prompt)?))
        .or_else(|| form.read(slots.get(Slot::PromptJson)?))
        .or_else(|| form.read(events::content(span, b"gen_ai.content.prompt", b"gen_ai.prompt")?))
        .or_else(|| {
            let sources = [
                Slot::LangfuseInput,
                Slot::MlflowInputs,
                Slot::TraceloopInput,
                Slot::InputValue,
                Slot::VertexRequest,
                Slot::GenkitInput,
                Slot::LmnrInput,
                Slot::HaystackLlmInput,
                Slot::HaystackInput,
            ];
            sources.into_iter().find_map(|slot| opaque.read(slots.get(slot)?))
        })
}

fn output<'a>(
    slots: &Slots<'a>,
    span: &SpanView<'a>,
    may_be_text: bool,
    reasons: &[Text<'_>],
) -> Option<NormalizedMessages<'a>> {
    let calls = flat::function_calls(slots.members(Family::Completions));
    let form = MessageSource { reasons, ..OUTPUT };
    let with_calls = MessageSource { calls: calls.as_ref(), ..form };
    let opaque = MessageSource { may_be_text, ..form };
    slots
        .get(Slot::OutputMessages)
        .and_then(|text| with_calls.read(text))
        .or_else(|| vercel::sentry(slots, form))
        .or_else(|| events::output(slots, span, form))
        .or_else(|| flat::messages(slots.members(Family::Completions), form))
        .or_else(|| flat::messages(slots.members(Family::OutputMessages), form))
        .or_else(|| vercel::output(slots, form))
        .or_else(|| form.read(slots.get(Slot::Completion)?))
        .or_else(|| form.read(slots.get(Slot::CompletionJson)?))
        .or_else(|| form.read(events::content(span, b"gen_ai.content.completion", b"gen_ai.completion")?))
        .or_else(|| {
            let sources = [
                Slot::LangfuseOutput,
                Slot::MlflowOutputs,
                Slot::TraceloopOutput,
                Slot::OutputValue,
                Slot::VertexResponse,
                Slot::PydanticResult,
                Slot::GenkitOutput,
                Slot::LmnrOutput,
                Slot::HaystackLlmOutput,
                Slot::HaystackOutput,
            ];
            sources.into_iter().find_map(|slot| opaque.read(slots.get(slot)?))
        })
}

/// OpenInference and LangSmith have the response's id only in the response; LangChain's has the finish reason, too.
fn put_response<'a>(call: &mut Call<'a>, slots: &Slots<'a>) {
    let is_missing = call.response_id.is_empty() || call.response_model.is_empty() || call.finish_reasons.is_empty();
    let is_object = |slot: &Slot| is_missing && slots.get(*slot).is_some_and(|text| text.starts_with('{'));
    let sources = [Slot::OutputValue, Slot::Completion, Slot::GenkitOutput];
    let Some(slot) = sources.into_iter().find(is_object) else { return };
    let Some(document) = slots.json(slot) else { return };
    // Genkit keeps the provider's own response in its own
    let root = document.root();
    let response = root.get("raw").filter(|_| slot == Slot::GenkitOutput).unwrap_or(root);
    let of_langchain = response.get("llm_output").filter(|output| output.is_object());
    let (facts, model) = match of_langchain {
        Some(output) => (output, "model_name"),
        None if response.get("choices").is_some_and(Value::is_array) => (response, "model"),
        None if response.get("object").is_some_and(|kind| kind.is_key("response")) => (response, "model"),
        None => return,
    };
    for (text, name) in [(&mut call.response_id, "id"), (&mut call.response_model, model)] {
        if let Some(value) = facts.get(name).and_then(Value::filled_str).filter(|_| text.is_empty()) {
            *text = Text::Owned(value.into_owned());
        }
    }
    if call.finish_reasons.is_empty() && of_langchain.is_some() {
        let lists = response.get("generations").into_iter().flat_map(Value::items);
        let answers = lists.flat_map(Value::items);
        let reasons = answers.filter_map(|answer| answer.get("generation_info")?.get("finish_reason")?.filled_str());
        call.finish_reasons = reasons.take(COUNT_MAX).map(|reason| Text::Owned(reason.into_owned())).collect();
    }
}
