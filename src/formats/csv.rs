//! CSV to JSON objects: the first row has the names, and every value is a text.
//!
//! Source: RFC 4180.

use serde_json::{Map, Value};

/// Where a row of CSV ends, after its line break; `None` if it goes on. A line break between quotes is part of a value.
#[must_use]
pub fn row_end(bytes: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    bytes
        .iter()
        .position(|byte| {
            is_quoted ^= *byte == b'"';
            *byte == b'\n' && !is_quoted
        })
        .map(|at| at + 1)
}

/// The values of a row.
#[must_use]
pub fn values(row: &str) -> Vec<String> {
    let row = row.trim_end_matches(['\n', '\r']);
    let (mut values, mut value) = (Vec::new(), String::new());
    let mut letters = row.chars().peekable();
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                value.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => values.push(std::mem::take(&mut value)),
            other => value.push(other),
        }
    }
    values.push(value);
    values
}

/// A row as an object; members of an empty value are left out.
///
/// # Errors
/// If it has values beyond the columns: which of them belong to which column is not known then.
pub fn object(names: &[String], row: &str) -> Result<Value, String> {
    let values = values(row);
    let beyond = values.get(names.len()..).is_some_and(|beyond| beyond.iter().any(|value| !value.is_empty()));
    if beyond {
        return Err(format!("it has {} values, and the first row names {} columns", values.len(), names.len()));
    }
    let members = names.iter().zip(values).filter(|(_, value)| !value.is_empty());
    Ok(Value::Object(members.map(|(name, value)| (name.clone(), Value::String(value))).collect::<Map<_, _>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_may_have_commas_quotes_and_line_breaks() {
        let text = "a,\"b,\"\"c\"\"\nd\",\r\nnext";
        let end = row_end(text.as_bytes()).unwrap();
        assert_eq!(&text[end..], "next");
        assert_eq!(values(&text[..end]), ["a", "b,\"c\"\nd", ""]);
        assert_eq!(row_end(b"a,\"b\n"), None);
        let names = ["x", "y", "z"].map(str::to_owned);
        assert_eq!(object(&names, &text[..end]), Ok(serde_json::json!({"x": "a", "y": "b,\"c\"\nd"})));
    }
}
