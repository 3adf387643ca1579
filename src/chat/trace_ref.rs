//! The trace, parent and session that a sender may name for a call, in their spellings.
//!
//! ```text
//! trace_id     32 hex digits | a UUID | any other text up to 256 bytes: the first 16 bytes of its SHA-256
//! traceparent  00-{trace}-{parent}-{flags}
//! ```

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::ids::{IdError, SpanId, TraceId};

/// Longest trace id taken, in bytes.
pub const TRACE_ID_BYTES_MAX: usize = 256;

/// Longest text that names a trace or a span in other documents, in bytes.
pub const ID_TEXT_BYTES_MAX: usize = 1_024;

/// The trace a captured call is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceRef {
    /// A trace the sender named.
    Joins(TraceId),
    /// A trace of its own.
    Own(TraceId),
}

impl TraceRef {
    /// The trace's id.
    #[must_use]
    pub fn id(&self) -> TraceId {
        match self {
            Self::Joins(id) | Self::Own(id) => *id,
        }
    }
}

/// The session a captured call is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionRef<'c> {
    /// The sender named it.
    Given(Cow<'c, str>),
    /// The session of the trace it joins, or one derived from the trace id.
    ToDerive,
}

/// The session of a trace that has none: `session_` and the first 16 hex digits of the trace id.
#[must_use]
pub fn derived_session(trace: TraceId) -> String {
    format!("session_{:.16}", trace.to_string())
}

/// A W3C `traceparent` header. Source: W3C Trace Context, section 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace.
    pub trace: TraceId,
    /// The span that made the call.
    pub parent: SpanId,
    /// Whether its sender records that span.
    pub is_sampled: bool,
}

impl Traceparent {
    /// Reads the header. `None` when it is invalid, which the standard tells us to ignore.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str| text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        let well_formed = [(version, 2), (trace, 32), (parent, 16), (flags, 2)]
            .into_iter()
            .all(|(part, length)| part.len() == length && is_hex(part));
        let later_version_may_add = version != "00" || parts.next().is_none();
        if !well_formed || version == "ff" || !later_version_may_add {
            return None;
        }
        let (trace, parent) = (TraceId::from_hex(trace.as_bytes()).ok()?, SpanId::from_hex(parent.as_bytes()).ok()?);
        Some(Self { trace, parent, is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1 })
    }
}

/// Why a text is not a trace id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TraceIdError {
    Zero,
    TooLong,
}

/// The trace a text names: 32 hex digits, a UUID, or any other text by its hash. `None` when it is empty.
pub(super) fn parse_trace_id(given: &str) -> Result<Option<TraceId>, TraceIdError> {
    let given = given.trim();
    if given.is_empty() {
        return Ok(None);
    }
    if given.len() > TRACE_ID_BYTES_MAX {
        return Err(TraceIdError::TooLong);
    }
    let digits = uuid_digits(given).map_or(Cow::Borrowed(given), Cow::Owned);
    match TraceId::from_hex(digits.as_bytes()) {
        Ok(id) => Ok(Some(id)),
        Err(IdError::Zero) => Err(TraceIdError::Zero),
        Err(_) => Ok(hashed(given)),
    }
}

/// The trace that a text names, as a captured call may name its trace; `None` if it names none. Other documents name theirs by longer texts.
#[must_use]
pub fn trace_of_text(given: &str) -> Option<TraceId> {
    match parse_trace_id(given) {
        Err(TraceIdError::TooLong) if given.len() <= ID_TEXT_BYTES_MAX => hashed(given.trim()),
        parsed => parsed.ok().flatten(),
    }
}

/// The span that a text names: 16 hex digits, or any other text by the first 8 bytes of its SHA-256. `None` when it is too long or zero.
#[must_use]
pub fn span_of_text(given: &str) -> Option<SpanId> {
    if given.is_empty() || given.len() > ID_TEXT_BYTES_MAX {
        return None;
    }
    match SpanId::from_hex(given.as_bytes()) {
        Ok(id) => Some(id),
        Err(IdError::Zero) => None,
        Err(_) => Sha256::digest(given.as_bytes()).first_chunk().and_then(|bytes| SpanId::new(*bytes).ok()),
    }
}

fn hashed(text: &str) -> Option<TraceId> {
    Sha256::digest(text.as_bytes()).first_chunk().and_then(|bytes| TraceId::new(*bytes).ok())
}

/// The digits of `8-4-4-4-12`.
fn uuid_digits(text: &str) -> Option<String> {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]).then(|| text.replace('-', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        parse_trace_id(text).unwrap().unwrap().to_string()
    }

    #[test]
    fn a_trace_id_has_many_spellings() {
        for text in ["4BF92F35-77B3-4DA6-A3CE-929D0E0E4736", " 4bf92f3577b34da6A3CE929D0E0E4736\n"] {
            assert_eq!(hex(text), "4bf92f3577b34da6a3ce929d0e0e4736");
        }
        // SHA-256("run-7")
        assert_eq!(hex("run-7"), hex(" run-7 "));
        assert_eq!(hex("abc"), "ba7816bf8f01cfea414140de5dae2223");
        assert_eq!(parse_trace_id(" \t"), Ok(None));
        assert_eq!(parse_trace_id("00000000-0000-0000-0000-000000000000"), Err(TraceIdError::Zero));
        assert_eq!(parse_trace_id(&"0".repeat(32)), Err(TraceIdError::Zero));
        assert_eq!(parse_trace_id(&"x".repeat(257)), Err(TraceIdError::TooLong));
        assert!(parse_trace_id(&"x".repeat(256)).unwrap().is_some());
    }

    #[test]
    fn a_traceparent_is_taken_when_valid_and_ignored_when_not() {
        let parsed = Traceparent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(parsed.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parsed.parent.to_string(), "00f067aa0ba902b7");
        assert!(Traceparent::parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what").is_some());
        for invalid in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(Traceparent::parse(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_derived_session_is_the_trace_ids_beginning() {
        let trace = TraceId::from_hex(b"4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert_eq!(derived_session(trace), "session_4bf92f3577b34da6");
    }
}
