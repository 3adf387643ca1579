//! The model of one call: everything that the typed columns hold, under one name for all senders.
//!
//! ```text
//! a captured call's body, a record of another tool --chat--> Call
//! a span's attributes and events ----------conventions-----> Call --> typed columns
//! ```

use super::cost::Cost;
use super::finish_reason;
use super::plausible::{self, Rules, Times};
use super::usage::Usage;
use std::borrow::Cow;

/// A text, as it was sent or as it was written from what was sent.
pub type Text<'a> = Cow<'a, str>;

/// One call of a model, a tool or an agent. A text that is not known is empty; a number that is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Call<'a> {
    /// The session, as the sender names it.
    pub session_id: Text<'a>,
    /// `gen_ai.conversation.id`
    pub conversation_id: Text<'a>,
    /// The end user.
    pub user_id: Text<'a>,
    /// What was done: `chat`, `embeddings`, `execute_tool`, `invoke_agent`, ...
    pub operation: Text<'a>,
    /// Whose model it is, by the conventions' name.
    pub provider: Text<'a>,
    /// The model asked for.
    pub request_model: Text<'a>,
    /// The model that answered.
    pub response_model: Text<'a>,
    /// The id that the provider gave the response.
    pub response_id: Text<'a>,
    /// Why the model stopped, one a choice, as sent.
    pub finish_reasons: Vec<Text<'a>>,
    /// Tokens.
    pub usage: Usage,
    /// How fast, and how urgently, the provider served the call, as it says or as was asked for: `flex`, `priority`,
    /// `batch`, ...
    pub service_tier: Text<'a>,
    /// US dollars.
    pub cost: Cost,
    /// The price by which the cost was computed, when it was: `openai/gpt-5@2026-04-01#batch`.
    pub price_id: Text<'a>,
    /// Where that price stands: `genai-prices 0.2.3+sha`.
    pub price_book: Text<'a>,
    /// Nanoseconds from the start to the first token.
    pub time_to_first_token: Option<u64>,
    /// Whether the response was streamed.
    pub streaming: Option<bool>,
    /// The tool that ran.
    pub tool_name: Text<'a>,
    /// The id of the call that asked for the tool.
    pub tool_call_id: Text<'a>,
    /// The agent.
    pub agent_name: Text<'a>,
    /// The workflow.
    pub workflow_name: Text<'a>,
    /// Class of the failure.
    pub error_type: Text<'a>,
    /// What was said about the failure.
    pub error_message: Text<'a>,
    /// Parameters of the request by the conventions' names without `gen_ai.request.`, sorted by name.
    pub request_parameters: Vec<(Text<'a>, Text<'a>)>,
    /// The messages sent: JSON in the conventions' form, as our writer makes it or as it was found to be.
    pub input_messages: Text<'a>,
    /// The messages received, in the same form.
    pub output_messages: Text<'a>,
    /// The tools offered, in the same form.
    pub tool_definitions: Text<'a>,
    /// The text of the system instructions.
    pub system_prompt: Text<'a>,
    /// Where start and end come from: given, derived, ingest, unknown.
    pub timing_quality: Text<'a>,
    /// What was corrected or dropped because it cannot be true.
    pub implausible: Rules,
    /// Content attributes of the span that this call has byte for byte: they need not be kept twice.
    pub held_attributes: Vec<&'static str>,
}

impl Call<'_> {
    /// Corrects or drops what cannot be true, and notes by which rules.
    pub(crate) fn settle(&mut self, times: Times) {
        self.implausible = plausible::settle(&mut self.usage, &mut self.time_to_first_token, &self.cost, times);
    }

    /// Why the model stopped, in the conventions' words.
    pub fn finish_reasons_normalized(&self) -> impl Iterator<Item = &str> {
        self.finish_reasons.iter().map(|reason| finish_reason::normalise(Some(reason)))
    }
}

/// Whether a value says nothing: it counts as absent.
#[must_use]
pub fn is_blank(value: &str) -> bool {
    matches!(value, "" | "[]" | "null" | "\"\"")
}
