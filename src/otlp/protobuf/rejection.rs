//! Why a span is left out, and the words for the sender.

use crate::columns::RowTooLarge;
use crate::ids::{IdError, SpanId, TraceId};
use crate::otlp::decoded::Encoding;
use crate::otlp::error::{DecodeError, WrongType};
use crate::otlp::limits::DAYS_PER_REQUEST_MAX;
use crate::retention::Cutoff;
use crate::time::UnixNanos;
use crate::timestamps::Outside;
use crate::workspace::Workspace;

/// Why a span is left out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rejection {
    Id(&'static str, IdError),
    Time(&'static str),
    LateStart,
    Content(&'static str, DecodeError),
    Days,
    /// It is larger than any block.
    Large(RowTooLarge),
    /// It began then, before the cutoff.
    Old(UnixNanos, Cutoff),
    /// In JSON.
    Type(WrongType),
    /// It begins outside the window of times that are accepted.
    Outside(Outside),
}

impl Rejection {
    /// The reason in words, for the sender.
    pub(super) fn describe(self, encoding: Encoding, workspace: &Workspace) -> String {
        match self {
            Self::Id(field, _) if encoding == Encoding::Json => {
                let digits = if field.ends_with("trace_id") { TraceId::HEX } else { SpanId::HEX };
                format!("{field} must be {digits} hex digits, not all zero")
            }
            Self::Id(field, error) => format!("{field} {error}"),
            Self::Days => {
                format!("it begins on one day more than the {DAYS_PER_REQUEST_MAX} that a request may span")
            }
            Self::Large(row) => format!("{row}; send less content in it"),
            Self::Old(start, cutoff) => {
                format!("start_time_unix_nano {}", cutoff.describe(start, workspace))
            }
            Self::Outside(outside) => format!("start_time_unix_nano {outside}"),
            Self::Time(field) => format!("{field} is later than the year 2262"),
            Self::LateStart => "start_time_unix_nano is later than the year 2105".to_owned(),
            Self::Type(wrong) => wrong.to_string(),
            Self::Content(_, DecodeError::Malformed { part, problem }) => format!("{part} {problem}"),
            Self::Content(field, error) => format!("{field}: {error}"),
        }
    }
}

/// How decoding a span's content failed.
pub(super) enum SpanError {
    Rejected(Rejection),
    Request(DecodeError),
}

impl SpanError {
    /// Decides whether a problem within a span costs the span or the request.
    pub(super) fn of(field: &'static str) -> impl Fn(DecodeError) -> Self {
        move |error| match error {
            DecodeError::Malformed { .. } | DecodeError::TooDeep { .. } => {
                Self::Rejected(Rejection::Content(field, error))
            }
            DecodeError::TooLarge { .. } | DecodeError::TooMany { .. } => Self::Request(error),
        }
    }
}

impl From<Rejection> for SpanError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// A span's name for a message: short, and without control characters.
pub(super) fn short_name(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    if text.is_empty() {
        return "without a name".to_owned();
    }
    let shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
    format!("\"{shown}\"")
}
