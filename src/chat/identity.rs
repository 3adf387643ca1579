//! Which trace, span and session a pair is: the same pair is always the same span.
//!
//! ```text
//! digest = SHA-256( "json" | workspace | canonical request | canonical response | trace id )    each part with its length
//!          SHA-256( "key"  | workspace | idempotency key                        | trace id )
//! span id   bytes 0..8 of the digest
//! trace id  as given, or bytes 8..24 of the digest
//! ```
//!
//! Never the response id alone: some servers repeat ids.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::canonical;
use super::json::Value;
use crate::ids::{IdError, SpanId, TraceId};
use crate::workspace::Workspace;

/// Longest trace id taken, in bytes.
pub const TRACE_ID_BYTES_MAX: usize = 256;

/// The trace a pair is in.
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

/// The session a pair is in.
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
    let hex = trace.to_string();
    format!("session_{}", hex.get(..16).unwrap_or(&hex))
}

/// A W3C `traceparent` header. Source: W3C Trace Context, section 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace.
    pub trace: TraceId,
    /// The span that made the call.
    pub parent: SpanId,
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
        let trace = TraceId::from_hex(trace.as_bytes()).ok()?;
        Some(Self { trace, parent: SpanId::from_hex(parent.as_bytes()).ok()? })
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
        Err(_) => Ok(TraceId::new(array(&Sha256::digest(given.as_bytes()), 0)).ok()),
    }
}

/// The digits of `8-4-4-4-12`.
fn uuid_digits(text: &str) -> Option<String> {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]).then(|| text.replace('-', ""))
}

/// What the ids of a pair are made from.
#[derive(Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) request: Value<'a>,
    pub(super) response: Value<'a>,
    /// The trace the sender named.
    pub(super) trace: Option<TraceId>,
}

impl Identity<'_> {
    /// The trace and the span.
    pub(super) fn resolve(&self) -> (TraceRef, SpanId) {
        let digest = self.digest();
        let span = [0, 8, 16].into_iter().find_map(|at| SpanId::new(array(&digest, at)).ok());
        let own = [8, 16].into_iter().find_map(|at| TraceId::new(array(&digest, at)).ok());
        let trace = self.trace.map(TraceRef::Joins).or(own.map(TraceRef::Own));
        // a digest of zeros only: nobody has ever seen one, but a digest is the sender's bytes after all
        let (span, trace) =
            (span.or(SpanId::new([1; 8]).ok()), trace.or(TraceId::new([1; 16]).ok().map(TraceRef::Own)));
        trace.zip(span).unwrap_or_else(|| panic!("ids of ones are not zero"))
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(bytes);
        };
        if let Some(key) = self.idempotency_key {
            part(b"key");
            part(self.workspace.as_str().as_bytes());
            part(key.as_bytes());
        } else {
            part(b"json");
            part(self.workspace.as_str().as_bytes());
            let mut text = String::with_capacity(1024);
            canonical::write(&mut text, self.request);
            part(text.as_bytes());
            text.clear();
            canonical::write(&mut text, self.response);
            part(text.as_bytes());
        }
        part(self.trace.as_ref().map_or(&[][..], |id| id.bytes()));
        hash.finalize().into()
    }
}

/// `N` bytes from `at`.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|part| part.try_into().ok()).unwrap_or([0; N])
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
