//! An error as ClickHouse tells it: a code, a text, and the HTTP status that goes with the code.

use crate::sql::code::{self, Code};
use http::StatusCode;

/// A failed query, on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct QueryError {
    pub(crate) code: u32,
    /// `Code: 60. DB::Exception: ... (UNKNOWN_TABLE)`, without version and line end.
    text: String,
}

impl QueryError {
    /// Our own.
    pub(crate) fn new(code: Code, message: &str) -> Self {
        let Code { number, name } = code;
        Self { code: number, text: format!("Code: {number}. DB::Exception: {message}. ({name})") }
    }

    /// The engine's: `Code: N. DB::Exception: ...`. A text without a code becomes UNKNOWN_EXCEPTION. An error that the engine's C
    /// interface has wrapped into others of the same form is taken out of them.
    pub(crate) fn from_engine(text: &str) -> Self {
        let text = unwrapped(text.trim_end());
        let digits = text.strip_prefix("Code: ").and_then(|rest| rest.split_once('.')).map(|(digits, _)| digits);
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(code) => Self { code, text: text.trim_end().to_owned() },
            None => Self::new(code::UNKNOWN_EXCEPTION, text.trim_end()),
        }
    }

    /// The same error, without the part of the statement that the client did not write.
    pub(crate) fn without(mut self, ours: &str) -> Self {
        self.text = self.text.replace(ours, "");
        self
    }

    /// The body of the answer: one line, as ClickHouse writes it.
    pub(crate) fn body(&self, version: &str) -> String {
        if self.text.contains("(version ") {
            return format!("{}\n", self.text);
        }
        format!("{} (version {version})\n", self.text)
    }

    /// Source: ClickHouse `exceptionCodeToHTTPStatus.cpp`, 26.7.
    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167 | 168 | 223 | 321
            | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
            229 => StatusCode::PAYLOAD_TOO_LARGE,
            48 => StatusCode::NOT_IMPLEMENTED,
            76 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            381 => StatusCode::LENGTH_REQUIRED,
            159 => StatusCode::REQUEST_TIMEOUT,
            779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The innermost of `Code: N. DB::Exception: Code: M. DB::Exception: ... (NAME) (version V). (NAME)`.
fn unwrapped(mut text: &str) -> &str {
    const MARK: &str = ". DB::Exception: ";
    let rest = |text: &str| {
        let (digits, rest) = text.strip_prefix("Code: ")?.split_once(MARK)?;
        (digits.bytes().all(|byte| byte.is_ascii_digit()) && rest.starts_with("Code: ") && rest.contains(MARK))
            .then_some(text.len() - rest.len())
    };
    while let Some(inner) = rest(text).and_then(|at| text.get(at..)) {
        // what the outer one adds at its end: `. (NAME)`
        let Some((within, _name)) = inner.rsplit_once(". (") else { return text };
        text = within;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_from_the_engines_text() {
        let error = QueryError::from_engine("Code: 60. DB::Exception: Table nope does not exist. (UNKNOWN_TABLE)");
        assert_eq!((error.code, error.status()), (60, StatusCode::NOT_FOUND));
        assert_eq!(
            error.body("26.7.2.1"),
            "Code: 60. DB::Exception: Table nope does not exist. (UNKNOWN_TABLE) (version 26.7.2.1)\n"
        );
    }

    #[test]
    fn an_error_that_was_wrapped_is_told_once() {
        let inner = "Code: 36. DB::Exception: Column 'a. (b)' is required. (BAD_ARGUMENTS) (version 26.7.2.1)";
        let wrapped = format!(
            "Code: 36. DB::Exception: Code: 36. DB::Exception: {inner}. (BAD_ARGUMENTS) (version 26.7.2.1). (BAD_ARGUMENTS)\n"
        );
        for text in [inner, &wrapped] {
            assert_eq!(QueryError::from_engine(text).body("26.7.2.1"), format!("{inner}\n"));
        }
        let about_another = "Code: 1. DB::Exception: it said Code: 2. DB::Exception: x. (A)";
        assert_eq!(unwrapped(about_another), about_another);
    }

    #[test]
    fn a_text_without_a_code_is_still_an_error_with_one() {
        let error = QueryError::from_engine("something broke");
        assert_eq!((error.code, error.status()), (1002, StatusCode::INTERNAL_SERVER_ERROR));
    }

    #[test]
    fn statuses_are_those_of_clickhouse() {
        for (code, status) in
            [(62, 400), (53, 400), (47, 404), (81, 404), (48, 501), (159, 408), (516, 403), (241, 500), (202, 500)]
        {
            assert_eq!(QueryError::new(Code { number: code, name: "X" }, "x").status().as_u16(), status, "code {code}");
        }
    }
}
