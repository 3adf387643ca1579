//! What kind of failure a span had, and what was said about it.

use super::keys::Slot;
use super::slots::Slots;
use crate::columns::typed::{SpanView, text_of};
use crate::genai::call::Call;

/// The class of a failure that nobody names. Source: core, `error.type`.
const OTHER: &str = "_OTHER";

/// Fills the failure's class and message.
pub(crate) fn put<'a>(call: &mut Call<'a>, slots: &Slots<'a>, span: &SpanView<'a>) {
    let of_event = |key: &[u8]| {
        let mut exceptions = span.events.iter().filter(|event| event.name == b"exception");
        exceptions.find_map(|event| event.attributes.first_filled(key))
    };
    let status_codes =
        [Slot::HttpStatusCode, Slot::OldHttpStatusCode, Slot::RpcResponseStatusCode, Slot::GrpcStatusCode];
    let is_langfuse_error = slots.get(Slot::LangfuseLevel) == Some("ERROR");
    let class = slots
        .first(&[Slot::ErrorType, Slot::ExceptionType])
        .or_else(|| of_event(b"exception.type"))
        .or_else(|| slots.first(&status_codes).filter(|_| span.is_error))
        .or(is_langfuse_error.then_some(OTHER));
    if let Some(class) = class {
        call.error_type = class.into();
    }
    let message = Some(text_of(span.status_message))
        .filter(|message| span.is_error && !message.is_empty())
        .or_else(|| slots.get(Slot::ExceptionMessage))
        .or_else(|| of_event(b"exception.message"))
        .or_else(|| slots.get(Slot::ErrorMessage))
        .or_else(|| slots.get(Slot::LangfuseStatusMessage));
    if let Some(message) = message {
        call.error_message = message.into();
    }
}
