//! What an evaluator found about a span, or about a whole trace or session.

use super::check::{Invalid, Members};
use super::ids;
use serde_json::Value;

/// What a result is. The order is that in which the kinds are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// A number.
    Numeric,
    /// One of several words.
    Categorical,
    /// 0 or 1.
    Boolean,
    /// A text.
    Text,
}

impl DataType {
    /// Their words.
    pub const WORDS: [&str; 4] = ["NUMERIC", "CATEGORICAL", "BOOLEAN", "TEXT"];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Numeric => "NUMERIC",
            Self::Categorical => "CATEGORICAL",
            Self::Boolean => "BOOLEAN",
            Self::Text => "TEXT",
        }
    }

    /// That of a word, which is one of them.
    fn of(word: &str) -> Self {
        match word {
            "CATEGORICAL" => Self::Categorical,
            "BOOLEAN" => Self::Boolean,
            "TEXT" => Self::Text,
            _ => Self::Numeric,
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Numeric | Self::Boolean)
    }
}

/// A result as it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluatorResult {
    /// The span that it is about, empty where it is about a trace or a session.
    pub span_id: String,
    /// That span's session; that of a trace which names none is `session-` and its id.
    pub session_id: String,
    /// That span's trace, empty where it is not known.
    pub trace_id: String,
    /// What was measured.
    pub name: String,
    /// What the value is.
    pub data_type: DataType,
    /// The number: always there if the value is one.
    pub value: Option<f64>,
    /// The text, which may be empty if the value is one; else empty if there is none.
    pub string_value: String,
    /// Why; empty if nobody says.
    pub comment: String,
}

impl EvaluatorResult {
    /// Its id: a second result of this name about this span takes the place of the first.
    #[must_use]
    pub fn id(&self, workspace: &str) -> String {
        ids::stable("eval-", &[workspace, &self.session_id, &self.span_id, &self.name])
    }
}

/// Reads a body.
///
/// # Errors
/// If it is no result: everything that is wrong with it.
pub fn read(body: &Value) -> Result<EvaluatorResult, Invalid> {
    let mut members = Members::of(body, &["body"])?;
    let span_id = members.text("span_id");
    let session_id = members.text("session_id");
    let name = members.text("name");
    let value = members.optional_number("value");
    let (has_text, string_value) = members.text_if_given("string_value");
    let data_type = DataType::of(members.one_of("data_type", "enum", &DataType::WORDS));
    let (_, comment) = members.text_if_given("comment");
    if data_type.is_number() && value.is_none() {
        members.refuse(&format!("`value` is required when data_type is {}.", data_type.word()));
    } else if !data_type.is_number() && !has_text {
        members.refuse(&format!("`string_value` is required when data_type is {}.", data_type.word()));
    } else if data_type == DataType::Boolean && !matches!(value, Some(0.0 | 1.0)) {
        members.refuse("`value` must be 0 or 1 when data_type is BOOLEAN.");
    }
    members.finish()?;
    let trace_id = String::new();
    Ok(EvaluatorResult { span_id, session_id, trace_id, name, data_type, value, string_value, comment })
}
