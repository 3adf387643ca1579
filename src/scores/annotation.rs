//! An annotation: feedback, a note, metadata or a label on a span or a session.

use super::check::{Invalid, Members, TextOrNumber, error};
use serde_json::{Map, Value, json};

/// The kinds, in the order in which they are told.
pub const KINDS: [&str; 4] = ["feedback", "note", "metadata", "label"];
const FEEDBACK: [&str; 2] = ["positive", "negative"];
const VALUE_TYPES: [&str; 2] = ["text", "numeric"];
const NOTE_CHARACTERS_MAX: usize = 10_000;
const NAME_CHARACTERS_MAX: usize = 256;

/// An annotation as it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// The session that it is about.
    pub session_id: String,
    /// The span, unless it is about the session.
    pub span_id: Option<String>,
    /// What it says.
    pub said: Said,
}

/// What an annotation says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// `positive` or `negative`.
    Feedback(&'static str),
    /// A note.
    Note(String),
    /// At least one member.
    Metadata(Map<String, Value>),
    /// A label.
    Label {
        /// What it measures; a number always has one.
        name: Option<String>,
        /// Its value.
        value: TextOrNumber,
    },
}

impl Said {
    /// The word for its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Feedback(_) => "feedback",
            Self::Note(_) => "note",
            Self::Metadata(_) => "metadata",
            Self::Label { .. } => "label",
        }
    }
}

/// Reads a body.
///
/// # Errors
/// If it is no annotation: everything that is wrong with it.
pub fn read(body: &Value) -> Result<Annotation, Invalid> {
    let kind = kind_of(body)?;
    let mut members = Members::of(body, &["body", kind])?;
    let span_id = members.optional_text("span_id");
    let session_id = members.text("session_id");
    members.one_of("kind", "literal_error", &[kind]);
    let said = match kind {
        "feedback" => Said::Feedback(members.one_of("value", "literal_error", &FEEDBACK)),
        "note" => Said::Note(members.text_within("text", 1, NOTE_CHARACTERS_MAX)),
        "metadata" => Said::Metadata(members.object("metadata", 1)),
        _ => label(&mut members),
    };
    members.finish()?;
    Ok(Annotation { session_id, span_id: span_id.filter(|span| !span.is_empty()), said })
}

fn kind_of(body: &Value) -> Result<&'static str, Invalid> {
    let Some(members) = body.as_object() else { return Members::of(body, &["body"]).map(|_| "") };
    let Some(tag) = members.get("kind") else {
        let context = json!({"discriminator": "'kind'"});
        let msg = "Unable to extract tag using discriminator 'kind'";
        return Err(Invalid::one(error("union_tag_not_found", &["body"], msg, body, Some(context))));
    };
    if let Some(kind) = KINDS.into_iter().find(|kind| tag.as_str() == Some(kind)) {
        return Ok(kind);
    }
    let tag = tag.as_str().map_or_else(|| tag.to_string(), str::to_owned);
    let expected = KINDS.map(|kind| format!("'{kind}'")).join(", ");
    let msg = format!("Input tag '{tag}' found using 'kind' does not match any of the expected tags: {expected}");
    let context = json!({"discriminator": "'kind'", "tag": tag, "expected_tags": expected});
    Err(Invalid::one(error("union_tag_invalid", &["body"], &msg, body, Some(context))))
}

fn label(members: &mut Members<'_>) -> Said {
    let is_numeric = members.one_of("value_type", "literal_error", &VALUE_TYPES) == "numeric";
    let value = members.text_or_number("value");
    let name = members.optional_text_within("name", NAME_CHARACTERS_MAX);
    match (&value, is_numeric) {
        (TextOrNumber::Text(_), true) => members.refuse("value_type=numeric requires a numeric `value`"),
        (TextOrNumber::Number(_), true) if name.is_none() => members.refuse("value_type=numeric requires `name`"),
        (TextOrNumber::Number(_), false) => members.refuse("value_type=text requires a string `value`"),
        _ => {}
    }
    Said::Label { name, value }
}
