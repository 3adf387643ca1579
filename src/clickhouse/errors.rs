//! What ClickHouse's errors mean for an insert: try again, wait for an operator, or give up on its rows.

use crate::sql::code::{self, Code};
use crate::text::cut;

/// Longest text of a failure that is kept.
const MESSAGE_BYTES_MAX: usize = 1_024;
const DETAIL_BYTES_MAX: usize = 8_192;
/// What goes away by itself.
const RETRY: [Code; 20] = [
    code::UNEXPECTED_END_OF_FILE,
    // a node that was to take its part ended
    code::ATTEMPT_TO_READ_AFTER_EOF,
    code::FILE_DOESNT_EXIST,
    code::TIMEOUT_EXCEEDED,
    code::TOO_MANY_SIMULTANEOUS_QUERIES,
    code::NO_FREE_CONNECTION,
    code::SOCKET_TIMEOUT,
    code::NETWORK_ERROR,
    code::ABORTED,
    code::MEMORY_LIMIT_EXCEEDED,
    code::TABLE_IS_READ_ONLY,
    code::TOO_MANY_PARTS,
    code::NO_ZOOKEEPER,
    code::ALL_CONNECTION_TRIES_FAILED,
    // a table that has not met its replicas in Keeper since its node started
    code::NOT_INITIALIZED,
    code::TOO_FEW_LIVE_REPLICAS,
    code::LIMIT_EXCEEDED,
    code::UNKNOWN_STATUS_OF_INSERT,
    code::SYSTEM_ERROR,
    code::KEEPER_EXCEPTION,
];
/// What an operator has to mend.
const HOLD: [Code; 7] = [
    code::NO_SUCH_COLUMN_IN_TABLE,
    code::UNKNOWN_TABLE,
    code::UNKNOWN_DATABASE,
    code::READONLY,
    code::NOT_ENOUGH_SPACE,
    code::ACCESS_DENIED,
    code::AUTHENTICATION_FAILED,
];
/// What lies in the rows.
const PERMANENT: [Code; 7] = [
    code::CANNOT_PARSE_TEXT,
    code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
    code::CANNOT_READ_ALL_DATA,
    code::TYPE_MISMATCH,
    code::INCORRECT_DATA,
    // a constraint of the table, and a `throwIf` in a view on it
    code::VIOLATED_CONSTRAINT,
    code::FUNCTION_THROW_IF_VALUE_IS_NON_ZERO,
];

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Goes away by itself: repeat soon, with the same token.
    Retry,
    /// ClickHouse says what nobody here knows: it may go away by itself, lie in the rows, or need an operator.
    Unknown,
    /// An operator can mend it: keep the rows, repeat slowly, raise an alarm.
    Hold,
    /// The rows themselves are refused; repeating cannot help.
    Permanent,
}

/// What is wrong with an endpoint, rather than with what was sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is no connection to it: nothing was sent.
    Unreachable,
    /// The connection broke, or a proxy before ClickHouse answered with an error of its own.
    Broken,
}

/// A request that ClickHouse did not confirm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// ClickHouse's error code, when it gave one.
    pub code: Option<u32>,
    /// What to do.
    pub class: Class,
    /// What is wrong, fit for a log: ClickHouse's own words only where they cannot quote what a sender sent.
    pub message: String,
    /// There was no answer in time; it may still be at work.
    pub timed_out: bool,
    /// It went wrong on this side of the wire: ClickHouse was not asked.
    pub is_own: bool,
    /// What is wrong with the way to ClickHouse, if that is what failed: another endpoint may be well.
    pub fault: Option<Fault>,
    /// All that ClickHouse said, which may quote what a sender sent: for the dead letters, not for a log.
    pub detail: String,
}

impl Failure {
    pub(super) fn of(error: &::clickhouse::error::Error) -> Self {
        use ::clickhouse::error::Error;
        match error {
            Error::BadResponse(text) => Self::of_response(text),
            Error::TimedOut => Self::of_timeout(),
            Error::Network(cause) => Self::network(cause.as_ref()),
            other => Self::new(None, Class::Retry, &other.to_string()),
        }
    }

    fn new(code: Option<u32>, class: Class, message: &str) -> Self {
        let message = cut(message.trim(), MESSAGE_BYTES_MAX).to_owned();
        Self { code, class, detail: message.clone(), message, timed_out: false, is_own: false, fault: None }
    }

    pub(super) fn of_timeout() -> Self {
        Self { timed_out: true, ..Self::new(None, Class::Retry, "ClickHouse did not answer in time") }
    }

    fn network(error: &(dyn std::error::Error + 'static)) -> Self {
        use hyper_util::client::legacy::Error;
        let is_unreachable = error.downcast_ref::<Error>().is_some_and(Error::is_connect);
        let fault = if is_unreachable { Fault::Unreachable } else { Fault::Broken };
        let cause = chain(error);
        // a wrong certificate stays wrong until somebody changes it
        let class = if cause.contains("certificate") { Class::Hold } else { Class::Retry };
        Self { fault: Some(fault), ..Self::new(None, class, &format!("cannot reach ClickHouse: {cause}")) }
    }

    /// Another endpoint is asked instead of one that is silent.
    pub(super) fn of_silence() -> Self {
        Self { fault: Some(Fault::Broken), ..Self::new(None, Class::Retry, "the endpoint of ClickHouse is silent") }
    }

    pub(super) fn of_response(text: &str) -> Self {
        let code = code_in(text);
        let class = code.map_or_else(|| class_of_status(text), |code| class_of_code(code, text));
        match code {
            // these speak of tables, users and disks, which is what an operator needs to hear
            Some(_) if class == Class::Hold => Self::new(code, class, text),
            Some(number) => Self {
                timed_out: number == code::TIMEOUT_EXCEEDED.number,
                detail: cut(text.trim(), DETAIL_BYTES_MAX).to_owned(),
                ..Self::new(code, class, &format!("Code: {number} {}", name_in(text)))
            },
            None => Self {
                fault: (class == Class::Retry).then_some(Fault::Broken),
                ..Self::new(code, class, "ClickHouse, or a proxy before it, answered with an error without a code")
            },
        }
    }

    /// What somebody must mend before it can go better.
    #[must_use]
    pub fn hold(message: &str) -> Self {
        Self::new(None, Class::Hold, message)
    }

    /// What went wrong on this side of the wire, and may go better next time.
    #[must_use]
    pub fn local(message: &str) -> Self {
        Self { is_own: true, ..Self::new(None, Class::Retry, message) }
    }

    /// Whether ClickHouse itself said so: it is at work no more on what it was sent.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        self.code.is_some()
    }

    /// Whether ClickHouse answered with this code.
    pub(super) fn is(&self, code: Code) -> bool {
        self.code == Some(code.number)
    }

    /// The code, if this program knows it.
    pub(super) fn known_code(&self) -> Option<Code> {
        Code::of_number(self.code?)
    }

    /// Whether the rows may be the cause: fewer of them, or others, may be taken.
    #[must_use]
    pub fn may_be_of_rows(&self) -> bool {
        matches!(self.class, Class::Unknown | Class::Permanent) || self.lacks_memory()
    }

    /// Whether ClickHouse has too little memory for it now: fewer rows may be taken.
    #[must_use]
    pub fn lacks_memory(&self) -> bool {
        self.is(code::MEMORY_LIMIT_EXCEEDED)
    }
}

/// The name after an exception's text, as in `... (CANNOT_PARSE_TEXT) (version 26.7)`. The text between may quote values.
fn name_in(text: &str) -> &str {
    let is_name =
        |part: &&str| part.len() > 3 && part.bytes().all(|c| c.is_ascii_uppercase() || c == b'_' || c.is_ascii_digit());
    text.rsplit(['(', ')']).find(is_name).unwrap_or_default()
}

fn class_of_code(code: u32, text: &str) -> Class {
    let is_in = |list: &[Code]| list.iter().any(|known| known.number == code);
    if code == code::TOO_MANY_PARTS.number && text.contains("Too many partitions") || is_in(&PERMANENT) {
        Class::Permanent
    } else if is_in(&HOLD) {
        Class::Hold
    } else if is_in(&RETRY) {
        Class::Retry
    } else {
        Class::Unknown
    }
}

/// Proxies in front of ClickHouse answer without a code; the crate then gives the status or the body.
fn class_of_status(text: &str) -> Class {
    let said = |words: &[&str]| words.iter().any(|word| text.contains(word));
    const FOR_AN_OPERATOR: [&str; 10] =
        ["400 ", "401 ", "403 ", "404 ", "413 ", "Bad Request", "Unauthorized", "Forbidden", "Not Found", "Too Large"];
    if said(&FOR_AN_OPERATOR) { Class::Hold } else { Class::Retry }
}

/// The number in `Code: 60. DB::Exception: ...`.
fn code_in(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> Class {
        Failure::of_response(text).class
    }

    #[test]
    fn each_code_has_its_class() {
        let exception = |code: u32| format!("Code: {code}. DB::Exception: whatever. (SOME_NAME)");
        for code in [3, 32, 107, 159, 202, 203, 209, 210, 225, 236, 241, 242, 252, 279, 285, 290, 319, 425, 667, 999] {
            assert_eq!(class(&exception(code)), Class::Retry, "{code}");
        }
        for code in [1, 153, 271, 9_999] {
            assert_eq!(class(&exception(code)), Class::Unknown, "{code}");
        }
        for code in [16, 60, 81, 164, 243, 497, 516] {
            assert_eq!(class(&exception(code)), Class::Hold, "{code}");
        }
        for code in [6, 27, 33, 53, 117, 395, 469] {
            assert_eq!(class(&exception(code)), Class::Permanent, "{code}");
        }
    }

    #[test]
    fn what_clickhouse_says_itself_is_an_answer_and_what_a_proxy_says_is_none() {
        let exception =
            |code: u32| Failure::of_response(&format!("Code: {code}. DB::Exception: whatever. (SOME_NAME)"));
        for code in [241, 6, 60, 271] {
            assert!(exception(code).is_answer(), "{code}");
        }
        assert!(exception(159).timed_out && !exception(209).timed_out);
        for (failure, fault) in [
            (Failure::of_response("502 Bad Gateway"), Some(Fault::Broken)),
            (Failure::of_response("404 Not Found"), None),
            (Failure::of_timeout(), None),
            (Failure::local("no"), None),
        ] {
            assert_eq!((failure.is_answer(), failure.fault), (false, fault), "{failure:?}");
        }
        for (code, may_be) in
            [(241, true), (271, true), (6, true), (252, false), (60, false), (667, false), (999, false)]
        {
            assert_eq!(exception(code).may_be_of_rows(), may_be, "{code}");
        }
    }

    #[test]
    fn code_252_has_two_meanings() {
        assert_eq!(class("Code: 252. DB::Exception: Too many parts (3000)"), Class::Retry);
        assert_eq!(class("Code: 252. DB::Exception: Too many partitions for single INSERT block"), Class::Permanent);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let failure = Failure::of_response(&format!("Code: 60. {}", "é".repeat(2_000)));
        assert!(failure.message.len() <= MESSAGE_BYTES_MAX);
    }

    #[test]
    fn values_of_senders_are_not_in_the_message() {
        let text = "Code: 6. DB::Exception: Cannot parse string 'a secret (VERY)' as UInt8. (CANNOT_PARSE_TEXT) (version 26.7.2.1)";
        assert_eq!(Failure::of_response(text).message, "Code: 6 CANNOT_PARSE_TEXT");
        assert!(!Failure::of_response("<html>a secret</html>").message.contains("secret"));
        let text = "Code: 60. DB::Exception: Table otel.otel_traces does not exist. (UNKNOWN_TABLE)";
        assert_eq!(Failure::of_response(text).message, text);
    }
}
