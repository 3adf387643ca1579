//! Why an item is left out, and the words for the sender.

use crate::columns::RowTooLarge;
use crate::ids::{IdError, SpanId, TraceId};
use crate::otlp::decoded::Encoding;
use crate::otlp::error::{DecodeError, WrongType};
use crate::otlp::limits::DAYS_PER_REQUEST_MAX;
use crate::otlp::signal::Signal;
use crate::retention::Cutoff;
use crate::time::UnixNanos;
use crate::timestamps::Outside;
use crate::workspace::Workspace;

/// Why an item is left out: a span, a log record, a data point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rejection {
    Id(&'static str, IdError),
    /// The field is a time that no column holds.
    Time(&'static str),
    /// The field is the item's time, and later than its table takes.
    Late(&'static str),
    Content(&'static str, DecodeError),
    Days,
    /// It is larger than any block.
    Large(RowTooLarge),
    /// The field says that it was then, before the cutoff.
    Old(&'static str, UnixNanos, Cutoff),
    /// In JSON.
    Type(WrongType),
    /// The field's time is outside the window that is accepted.
    Outside(&'static str, Outside),
}

impl Rejection {
    /// The reason in words, for the sender.
    pub(super) fn describe(self, signal: Signal, encoding: Encoding, workspace: &Workspace) -> String {
        match self {
            Self::Id(field, _) if encoding == Encoding::Json => {
                let digits = if field.ends_with("trace_id") { TraceId::HEX } else { SpanId::HEX };
                format!("{field} must be {digits} hex digits, not all zero")
            }
            Self::Id(field, error) => format!("{field} {error}"),
            Self::Days => {
                let begins = if signal == Signal::Traces { "begins" } else { "lies" };
                format!("it {begins} on one day more than the {DAYS_PER_REQUEST_MAX} that a request may span")
            }
            Self::Large(row) => format!("{row}; send less content in it"),
            Self::Old(field, at, cutoff) => format!("{field} {}", cutoff.describe(at, workspace)),
            Self::Outside(field, outside) => format!("{field} {outside}"),
            Self::Time(field) => format!("{field} is later than the year 2262"),
            Self::Late(field) => format!("{field} is later than the year 2105"),
            Self::Type(wrong) => wrong.to_string(),
            Self::Content(_, DecodeError::Malformed { part, problem }) => format!("{part} {problem}"),
            Self::Content(field, error) => format!("{field}: {error}"),
        }
    }
}

/// How decoding an item's content failed.
pub(super) enum ItemError {
    Rejected(Rejection),
    Request(DecodeError),
}

impl ItemError {
    /// Decides whether a problem within an item costs the item or the request.
    pub(super) fn of(field: &'static str) -> impl Fn(DecodeError) -> Self {
        move |error| match error {
            DecodeError::Malformed { .. } | DecodeError::TooDeep { .. } => {
                Self::Rejected(Rejection::Content(field, error))
            }
            DecodeError::TooLarge { .. } | DecodeError::TooMany { .. } => Self::Request(error),
        }
    }
}

impl From<Rejection> for ItemError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// An item's name for a message: short, and without control characters.
pub(super) fn short_name(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    if text.is_empty() {
        return "without a name".to_owned();
    }
    let shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
    format!("\"{shown}\"")
}
