//! Literals and names of ClickHouse's SQL, and its error codes.

pub mod code;

/// A literal of any text. Source: clickhouse.com/docs, "Syntax", string literals.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A quoted identifier.
#[must_use]
pub fn quoted_name(text: &str) -> String {
    format!("`{}`", text.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Whether this may stand in a statement unquoted: a setting's, a parameter's, a format's name.
#[must_use]
pub fn is_plain_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
}
