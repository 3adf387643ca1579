//! `${env:NAME}` and `${env:NAME:-default}` in the configuration file: each gives a value, and nothing else.
//!
//! ```text
//! password: ${env:SECRET}   ->   password: $V0   read with V0 = the variable's value
//! ```
//!
//! The reader of YAML puts the values in after it has found where scalars begin and end, so a value adds no key and ends no
//! text, whatever it holds. Messages show what the file says, never a value.

use super::ConfigError;
use serde_json::Value;
use serde_saphyr::{Options, PropertySyntax};
use std::collections::BTreeMap;

/// The variables of the environment, read once.
pub type Environment = BTreeMap<String, String>;

/// The process's environment, without what is not Unicode.
#[must_use]
pub fn environment() -> Environment {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// A file's text with references in place of its variables.
pub(super) struct Template {
    text: String,
    /// By their numbers.
    references: Vec<Reference>,
}

struct Reference {
    /// What the file says.
    written: String,
    value: String,
}

impl Template {
    /// Reads the variables of a file. `$$` is a dollar sign; lines that are comments are skipped.
    ///
    /// # Errors
    /// If a variable has neither a value nor a default.
    pub(super) fn of(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let mut template = Self { text: String::with_capacity(text.len()), references: Vec::new() };
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
            rest = match after.strip_prefix("{env:") {
                Some(expression) => self.variable(expression, environment)?,
                // a dollar sign alone means itself, as two do
                None => {
                    self.text.push_str("$$");
                    if let Some(behind) = after.strip_prefix('$') { behind } else { after }
                }
            };
        }
        self.text.push_str(rest);
        Ok(())
    }

    /// Takes `NAME}` or `NAME:-default}` and returns the text after it.
    fn variable<'l>(&mut self, text: &'l str, environment: &Environment) -> Result<&'l str, ConfigError> {
        let (expression, after) =
            text.split_once('}').ok_or(ConfigError::Environment("a ${env:NAME} is not closed with }".to_owned()))?;
        // the name of a reference would go on with what follows it: that becomes part of the value
        let rest = after.trim_start_matches(|next: char| next.is_ascii_alphanumeric() || next == '_');
        let (suffix, rest) = after.split_at(after.len() - rest.len());
        let (name, default) = match expression.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (expression, None),
        };
        let set = environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let value = set.or(default).ok_or_else(|| {
            ConfigError::Environment(format!(
                "${{env:{name}}}: {name} is not set; set it or write ${{env:{name}:-default}}"
            ))
        })?;
        if value.is_empty() {
            // as if nothing were written there
            self.text.push_str(suffix);
            return Ok(rest);
        }
        self.text.push_str(&reference(self.references.len()));
        self.references
            .push(Reference { written: format!("${{env:{expression}}}{suffix}"), value: format!("{value}{suffix}") });
        Ok(rest)
    }

    /// The same with another text, which has no further references.
    pub(super) fn with_text(self, text: String) -> Self {
        Self { text, ..self }
    }

    /// The text, to be read with [`Self::options`].
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How the reader of YAML puts the values in: texts stay texts, whatever they look like.
    pub(super) fn options(&self) -> Options {
        let values = self.references.iter().enumerate();
        let values = values.map(|(number, Reference { value, .. })| (name(number), value.clone())).collect();
        let mut options = Options::default().with_properties(values);
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
        self.replaced(text, |reference| &reference.written)
    }

    /// A text with the values in place of references. Not for messages.
    pub(super) fn expanded(&self, text: &str) -> String {
        self.replaced(text, |reference| &reference.value)
    }

    fn replaced(&self, text: &str, by: impl Fn(&Reference) -> &str) -> String {
        // the last first: $V1 is the beginning of $V10
        let references = self.references.iter().enumerate().rev();
        let text = references.fold(text.to_owned(), |text, (number, what)| text.replace(&reference(number), by(what)));
        text.replace("$$", "$")
    }
}

fn name(number: usize) -> String {
    format!("V{number}")
}

fn reference(number: usize) -> String {
    format!("${}", name(number))
}
