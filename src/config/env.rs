//! `${env:NAME}` and `${env:NAME:-default}` in the configuration file: each gives a value, and nothing else.
//!
//! ```text
//! password: ${env:SECRET}   ->   password: $V0   read with V0 = the variable's value
//! ```
//!
//! The reader of YAML puts the values in once it knows where scalars begin and end, so whatever a value holds, it adds no key
//! and ends no text. Messages show what is written in the file, and never a value.

use super::{ConfigError, Environment};
use serde_json::Value;
use serde_saphyr::{Options, PropertySyntax};
use std::collections::HashMap;

/// A file's text with references in place of its variables.
pub(super) struct Template {
    text: String,
    values: HashMap<String, String>,
    /// What stands in the file for each reference, by its number.
    written: Vec<String>,
}

impl Template {
    /// Reads the variables of a file. `$$` is a dollar sign; lines that are comments are passed over.
    ///
    /// # Errors
    /// If a variable has neither a value nor a default.
    pub(super) fn of(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let mut template =
            Self { text: String::with_capacity(text.len()), values: HashMap::new(), written: Vec::new() };
        for line in text.split_inclusive('\n') {
            if line.trim_start().starts_with('#') {
                template.text.push_str(line);
            } else {
                template.line(line, environment)?;
            }
        }
        Ok(template)
    }

    fn line(&mut self, line: &str, environment: &Environment) -> Result<(), ConfigError> {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('$') {
            self.text.push_str(before);
            if let Some(expression) = after.strip_prefix("{env:") {
                let (expression, behind) = expression
                    .split_once('}')
                    .ok_or_else(|| ConfigError::Environment("a ${env:NAME} is not closed with }".to_owned()))?;
                // the name of a reference would go on with what follows it: that becomes part of the value
                let is_name = |next: char| next.is_ascii_alphanumeric() || next == '_';
                let (suffix, behind) = behind.split_at(behind.find(|next| !is_name(next)).unwrap_or(behind.len()));
                self.reference(expression, suffix, environment)?;
                rest = behind;
            } else {
                // a dollar sign alone means itself, as two do
                self.text.push_str("$$");
                rest = after.strip_prefix('$').unwrap_or(after);
            }
        }
        self.text.push_str(rest);
        Ok(())
    }

    fn reference(&mut self, expression: &str, suffix: &str, environment: &Environment) -> Result<(), ConfigError> {
        let (name, default) = match expression.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (expression, None),
        };
        let value = environment.get(name).map(String::as_str).filter(|value| !value.is_empty()).or(default);
        let value = value.ok_or_else(|| {
            ConfigError::Environment(format!(
                "${{env:{name}}}: {name} is not set; set it or write ${{env:{name}:-default}}"
            ))
        })?;
        // nothing is no value, as if nothing were written there
        if value.is_empty() {
            self.text.push_str(suffix);
            return Ok(());
        }
        let key = format!("V{}", self.written.len());
        self.text.push('$');
        self.text.push_str(&key);
        self.values.insert(key, format!("{value}{suffix}"));
        self.written.push(format!("${{env:{expression}}}{suffix}"));
        Ok(())
    }

    /// The text, to be read with [`Self::options`].
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How the reader of YAML puts the values in: texts stay texts, whatever they look like.
    pub(super) fn options(&self) -> Options {
        let mut options = Options::default().with_properties(self.values.clone());
        options.property_syntax = PropertySyntax::DockerCompose;
        options
    }

    /// Whether there is a variable in it or below it. `read` was read without the values.
    pub(super) fn is_in(&self, read: &Value) -> bool {
        match read {
            Value::String(text) => self.as_written(text) != text.replace("$$", "$"),
            Value::Array(items) => items.iter().any(|item| self.is_in(item)),
            Value::Object(members) => members.values().any(|member| self.is_in(member)),
            _ => false,
        }
    }

    /// A message or a text with what the file says in place of references.
    pub(super) fn as_written(&self, text: &str) -> String {
        let references = self.written.iter().enumerate().rev();
        let text =
            references.fold(text.to_owned(), |text, (number, written)| text.replace(&format!("$V{number}"), written));
        text.replace("$$", "$")
    }
}
