//! Time to the first token, in nanoseconds, exact; and whether the response was streamed.

use super::keys::Slot;
use super::meaning::FIRST_TOKEN_EVENT;
use super::slots::{Slots, truth, unquoted};
use super::{operation, sources};
use crate::chat::timing;
use crate::columns::typed::SpanView;
use crate::genai::call::Call;
use crate::genai::decimal::scaled;
use crate::genai::plausible::Times;
use crate::json::document::Value;

const SECONDS: i64 = 9;
const MILLIS: i64 = 6;

/// Fills the time to the first token, and whether the response was streamed. Returns what tells whether that can be.
pub(crate) fn put(call: &mut Call<'_>, slots: &Slots<'_>, span: &SpanView<'_>, invocation: Option<Value<'_>>) -> Times {
    let nanos = |slot: Slot, scale: i64| scaled(slots.get(slot)?.trim(), scale).ok();
    let to_first = nanos(Slot::TimeToFirstChunk, SECONDS)
        .or_else(|| nanos(Slot::ClientTimeToFirstChunk, SECONDS))
        .or_else(|| nanos(Slot::AiMsToFirstChunk, MILLIS))
        .or_else(|| nanos(Slot::CopilotTimeToFirstToken, MILLIS))
        .or_else(|| langfuse(slots, span))
        .or_else(|| nanos(Slot::LatencyToFirstToken, SECONDS))
        .or_else(|| nanos(Slot::LivekitTimeToFirstToken, SECONDS));
    let of_server = to_first.is_none().then(|| nanos(Slot::ServerTimeToFirstToken, SECONDS)).flatten();
    let to_first = to_first.or(of_server).or_else(|| by_event(span));
    call.time_to_first_token = to_first;
    let said = sources::STREAMING.iter().find_map(|slot| truth(slots.get(*slot)?));
    let asked = || invocation.and_then(|parameters| parameters.get("stream")?.bool());
    let implied = || (to_first.is_some() || operation::streams(slots)).then_some(true);
    call.streaming = said.or_else(asked).or_else(implied);
    Times {
        duration: (span.duration_nanos > 0).then_some(span.duration_nanos),
        first_token_was_seconds: of_server.is_some(),
    }
}

/// Langfuse says when it came, as a text, in quotes at times.
fn langfuse(slots: &Slots<'_>, span: &SpanView<'_>) -> Option<u64> {
    let text = unquoted(slots.get(Slot::LangfuseCompletionStart)?)?;
    let at = timing::from_text(&text)?;
    (at >= span.start).then(|| at.nanos_since(span.start))
}

fn by_event(span: &SpanView<'_>) -> Option<u64> {
    let event = span.events.iter().find(|event| event.name == FIRST_TOKEN_EVENT)?;
    (event.at >= span.start).then(|| event.at.nanos_since(span.start))
}
