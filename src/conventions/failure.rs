//! What kind of failure a span had, and what was said about it.

use super::keys::Slot;
use super::slots::Slots;
use crate::columns::typed::{SpanView, Texts, Typed};

/// The class of a failure that nobody names. Source: core, `error.type`.
const OTHER: &[u8] = b"_OTHER";

/// Fills `ErrorType` and `ErrorMessage`.
pub(crate) fn put<'a>(typed: &mut Typed<'a>, slots: &Slots<'a>, span: &SpanView<'a>) {
    let of_event = |key: &[u8]| {
        let exceptions = span.events.iter().filter(|event| event.name == b"exception");
        let mut values = exceptions.flat_map(|event| event.attributes.iter());
        values.find(|(name, value)| *name == key && !value.is_empty()).map(|(_, value)| value)
    };
    let status_codes =
        [Slot::HttpStatusCode, Slot::OldHttpStatusCode, Slot::RpcResponseStatusCode, Slot::GrpcStatusCode];
    let is_langfuse_error = slots.get(Slot::LangfuseLevel) == Some(b"ERROR");
    let class = slots
        .first(&[Slot::ErrorType, Slot::ExceptionType])
        .or_else(|| of_event(b"exception.type"))
        .or_else(|| slots.first(&status_codes).filter(|_| span.is_error))
        .or(is_langfuse_error.then_some(OTHER));
    if let Some(class) = class {
        typed.set_text(Texts::ErrorType, class);
    }
    let message = Some(span.status_message)
        .filter(|message| span.is_error && !message.is_empty())
        .or_else(|| slots.get(Slot::ExceptionMessage))
        .or_else(|| of_event(b"exception.message"))
        .or_else(|| slots.get(Slot::LangfuseStatusMessage));
    if let Some(message) = message {
        typed.set_text(Texts::ErrorMessage, message);
    }
}
