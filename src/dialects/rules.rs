//! The rules: a span's attributes in any dialect become what its typed columns hold.

use crate::columns::typed::{Costs, Counts, SpanView, Texts, Typed};
use crate::genai::cost::Usd;
use crate::genai::{provider, semconv};

/// What the typed columns get for a span. The first of several attributes that mean the same wins, by the order of the
/// specification's table; one that is empty counts as absent.
#[must_use]
pub fn normalise<'a>(span: &SpanView<'a>) -> Typed<'a> {
    let mut typed = Typed::default();
    for (key, value) in span.all() {
        let (Ok(key), false) = (std::str::from_utf8(key), value.is_empty()) else { continue };
        match key {
            semconv::SESSION_ID => typed.set_text(Texts::SessionId, value),
            semconv::CONVERSATION_ID => typed.set_text(Texts::ConversationId, value),
            semconv::USER_ID => typed.set_text(Texts::UserId, value),
            semconv::OPERATION_NAME => typed.set_text(Texts::Operation, value),
            semconv::PROVIDER_NAME => {
                let name = std::str::from_utf8(value).ok().and_then(provider::normalise);
                typed.set_text(Texts::Provider, name.map_or(value.to_vec(), |name| name.as_bytes().to_vec()));
            }
            semconv::REQUEST_MODEL => typed.set_text(Texts::RequestModel, value),
            semconv::RESPONSE_MODEL => typed.set_text(Texts::ResponseModel, value),
            semconv::RESPONSE_ID => typed.set_text(Texts::ResponseId, value),
            semconv::USAGE_INPUT_TOKENS => typed.set_count(Counts::InputTokens, count(value)),
            semconv::USAGE_OUTPUT_TOKENS => typed.set_count(Counts::OutputTokens, count(value)),
            semconv::USAGE_COST => typed.set_cost(Costs::Total, cost(value)),
            semconv::MILLRACE_COST_SOURCE => typed.set_text(Texts::CostSource, value),
            semconv::MILLRACE_TIMING => typed.set_text(Texts::TimingQuality, value),
            semconv::ERROR_TYPE => typed.set_text(Texts::ErrorType, value),
            semconv::INPUT_MESSAGES => {
                typed.set_text(Texts::InputMessages, value);
                typed.held_by_columns.push(semconv::INPUT_MESSAGES.as_bytes());
            }
            semconv::OUTPUT_MESSAGES => {
                typed.set_text(Texts::OutputMessages, value);
                typed.held_by_columns.push(semconv::OUTPUT_MESSAGES.as_bytes());
            }
            semconv::TOOL_DEFINITIONS => {
                typed.set_text(Texts::ToolDefinitions, value);
                typed.held_by_columns.push(semconv::TOOL_DEFINITIONS.as_bytes());
            }
            _ => {}
        }
    }
    typed
}

fn count(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn cost(value: &[u8]) -> Option<Usd> {
    Usd::parse(std::str::from_utf8(value).ok()?).ok()
}
