//! What a refused body is told: FastAPI's and pydantic's words, as the reference gives them.
//!
//! ```text
//! {"detail":[{"loc":["body","request","messages",0,"role"],"msg":"Field required","type":"missing"}]}
//! ```

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::genai::cost::Usd;
use crate::genai::decimal::DecimalError;
use crate::json::document::{JsonError, Value};
use crate::text::write_string;

/// Most errors named for one body.
pub const ERRORS_MAX: usize = 20;

/// Longest `input` echoed, in bytes.
pub const INPUT_BYTES_MAX: usize = 256;

/// Everything that is wrong with one body, up to [`ERRORS_MAX`]; never empty. Serialises to FastAPI's 422 body.
#[derive(Debug, Clone, Serialize)]
pub struct ValidationErrors {
    /// The errors in the order of the body.
    pub detail: Vec<ValidationError>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct ValidationError {
    /// The path to it, `body` first.
    pub loc: Vec<Loc>,
    /// What is wrong, for people.
    pub msg: String,
    /// What is wrong, for programs: pydantic's error types.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What was found there, when it is a short scalar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Loc {
    /// A member of an object.
    Name(Cow<'static, str>),
    /// An element of an array.
    Index(usize),
}

impl Loc {
    /// A member whose name comes from the sender.
    pub(crate) fn given(name: &str) -> Self {
        Self::Name(Cow::Owned(name.to_owned()))
    }
}

impl From<&'static str> for Loc {
    fn from(name: &'static str) -> Self {
        Self::Name(Cow::Borrowed(name))
    }
}

impl From<usize> for Loc {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl fmt::Display for ValidationErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.detail.iter().enumerate() {
            let path: Vec<_> = error.loc.iter().map(ToString::to_string).collect();
            write!(f, "{}{}: {}", if index > 0 { "; " } else { "" }, path.join("."), error.msg)?;
        }
        Ok(())
    }
}

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

impl std::error::Error for ValidationErrors {}

impl ValidationErrors {
    /// The error of a body that is not JSON at all.
    pub(crate) fn not_json(error: JsonError) -> Self {
        let loc = vec!["body".into(), error.at.into()];
        let msg = format!("JSON decode error: {error}");
        Self { detail: vec![ValidationError { loc, msg, kind: "json_invalid", input: None }] }
    }

    /// The error of a single value.
    pub(super) fn one(path: &[Loc], kind: &'static str, msg: impl Into<String>, input: Option<Value<'_>>) -> Self {
        let mut found = Found::default();
        found.add(path, kind, msg, input);
        Self { detail: found.errors }
    }

    /// The body of the 422 answer.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts, indices and JSON can be written as JSON")
    }
}

/// The errors found so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    errors: Vec<ValidationError>,
}

impl Found {
    /// `Err` when something was found.
    pub(crate) fn into_result(self) -> Result<(), ValidationErrors> {
        if self.errors.is_empty() { Ok(()) } else { Err(ValidationErrors { detail: self.errors }) }
    }

    /// What was found, where that is something.
    pub(super) fn into_errors(self) -> ValidationErrors {
        debug_assert!(!self.errors.is_empty(), "nothing was found");
        ValidationErrors { detail: self.errors }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= ERRORS_MAX
    }

    /// Adds an error; `path` starts after `body`.
    pub(crate) fn add(&mut self, path: &[Loc], kind: &'static str, msg: impl Into<String>, input: Option<Value<'_>>) {
        if self.is_full() {
            return;
        }
        let loc = std::iter::once("body".into()).chain(path.iter().cloned()).collect();
        self.errors.push(ValidationError { loc, msg: msg.into(), kind, input: input.and_then(echo) });
    }

    pub(super) fn missing(&mut self, path: &[Loc]) {
        self.add(path, "missing", "Field required", None);
    }

    /// A value that must be an object.
    pub(super) fn object<'d>(&mut self, path: &[Loc], value: Value<'d>) -> Option<Value<'d>> {
        const MSG: &str = "Input should be a valid dictionary or object to extract fields from";
        self.expect(path, value, value.is_object(), "model_attributes_type", MSG)
    }

    pub(super) fn dict<'d>(&mut self, path: &[Loc], value: Value<'d>) -> Option<Value<'d>> {
        self.expect(path, value, value.is_object(), "dict_type", "Input should be a valid dictionary")
    }

    pub(super) fn list<'d>(&mut self, path: &[Loc], value: Value<'d>) -> Option<Value<'d>> {
        self.expect(path, value, value.is_array(), "list_type", "Input should be a valid list")
    }

    pub(super) fn string<'d>(&mut self, path: &[Loc], value: Value<'d>) -> Option<Value<'d>> {
        self.expect(path, value, value.is_string(), "string_type", "Input should be a valid string")
    }

    /// A cost: a number, or a string that is one.
    pub(crate) fn usd(&mut self, path: &[Loc], value: Value<'_>) -> Option<Usd> {
        let text = value.number().map(Into::into).or_else(|| value.str());
        let Some(text) = text else {
            self.add(path, "float_type", "Input should be a valid number", Some(value));
            return None;
        };
        let (kind, msg) = match Usd::parse(&text) {
            Ok(usd) => return Some(usd),
            Err(DecimalError::NotANumber) => {
                ("float_parsing", "Input should be a valid number, unable to parse string as a number")
            }
            Err(DecimalError::NotFinite) => ("finite_number", "Input should be a finite number"),
            Err(DecimalError::Negative) => ("greater_than_equal", "Input should be greater than or equal to 0"),
            Err(DecimalError::TooLarge) => ("less_than", "Input should be less than 1000000"),
        };
        self.add(path, kind, msg, Some(value));
        None
    }

    fn expect<'d>(
        &mut self,
        path: &[Loc],
        value: Value<'d>,
        holds: bool,
        kind: &'static str,
        msg: &str,
    ) -> Option<Value<'d>> {
        if !holds {
            self.add(path, kind, msg, Some(value));
        }
        holds.then_some(value)
    }
}

/// A scalar short enough to be sent back.
fn echo(value: Value<'_>) -> Option<Box<RawValue>> {
    if value.is_object() || value.is_array() || value.raw().len() > INPUT_BYTES_MAX {
        return None;
    }
    let mut text = String::new();
    match value.str() {
        Some(string) => write_string(&mut text, &string),
        None => text.push_str(value.raw()),
    }
    RawValue::from_string(text).ok()
}
