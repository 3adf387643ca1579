//! Says what is wrong with a file, by its key, in the words of the file: never with the value of a variable.

use super::Config;
use super::env::Template;
use crate::text::nearest;
use humantime_serde::re::humantime::parse_duration;
use serde_json::Value;
use std::net::SocketAddr;

/// Every key there is: the defaults, with null for what is absent.
pub(super) fn defaults() -> Value {
    serde_json::to_value(Config::default()).expect("the defaults are texts, numbers and maps with texts as keys")
}

/// Keys of the file that no part knows, each as the path of keys that leads to it.
#[derive(Default)]
pub(super) struct UnknownKeys(Vec<Vec<String>>);

impl UnknownKeys {
    pub(super) fn note(&mut self, path: &serde_ignored::Path<'_>) {
        let mut keys = Vec::new();
        collect_keys(path, &mut keys);
        self.0.push(keys);
    }

    /// What to say of each, with the nearest key that is known.
    pub(super) fn messages(&self, template: &Template) -> Vec<String> {
        let defaults = defaults();
        self.0.iter().map(|path| template.as_written(&unknown_key(path, &defaults))).collect()
    }
}

fn collect_keys(path: &serde_ignored::Path<'_>, keys: &mut Vec<String>) {
    use serde_ignored::Path;
    match path {
        Path::Root => {}
        Path::Map { parent, key } => {
            collect_keys(parent, keys);
            keys.push(key.clone());
        }
        Path::Seq { parent, index } => {
            collect_keys(parent, keys);
            keys.push(index.to_string());
        }
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            collect_keys(parent, keys);
        }
    }
}

fn unknown_key(path: &[String], defaults: &Value) -> String {
    let (key, sections) = path.split_last().expect("an unknown key has a name");
    let section = sections.iter().try_fold(defaults, |section, key| section.get(key));
    let known: Vec<&str> = section.and_then(Value::as_object).into_iter().flatten().map(|(key, _)| &**key).collect();
    let hint = match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    format!("unknown key `{}`: {hint}", path.join("."))
}

/// The file without the values of its variables.
fn read_as_written(template: &Template) -> Result<Value, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(template.text(), serde_saphyr::Options::default())
}

/// Whether the file is YAML at all.
pub(super) fn is_yaml(template: &Template) -> bool {
    read_as_written(template).is_ok()
}

/// What is wrong with the value at `path`, for which the reader of YAML gave this `error`.
pub(super) fn wrong_value(template: &Template, path: &str, error: &str) -> String {
    let (what, place) = match error.rsplit_once(" at line ") {
        Some((what, place)) => (what, format!("line {place}")),
        None => (error, "no line".to_owned()),
    };
    let Ok(file) = read_as_written(template) else { return template.as_written(error) };
    let defaults = defaults();
    let at = |root| path.split('.').filter(|key| !key.is_empty()).try_fold(root, |value: &Value, key| value.get(key));
    let written = at(&file);
    if let (Some(written), Some(known)) = (written, at(&defaults))
        && let Some(wrong) = wrong_kind(template, path, written, known)
    {
        return wrong;
    }
    match written {
        Some(value) if !template.is_in(value) => format!("{path}: {what} ({place})"),
        Some(Value::String(value)) => {
            format!("{path}: the value of {} does not fit ({place})", template.as_written(value))
        }
        // what was found there may hold a value
        _ if template.is_in(&file) => format!("{path}: does not fit ({place})"),
        _ => format!("{path}: {what} ({place})"),
    }
}

/// Says it if the value is of another kind than its default `known`, of which the reader of YAML would only name the type.
fn wrong_kind(template: &Template, path: &str, written: &Value, known: &Value) -> Option<String> {
    let shown = match written {
        Value::String(text) if template.is_in(written) => template.as_written(text),
        other => other.to_string(),
    };
    let given = written.as_str().map_or_else(|| written.to_string(), |text| template.expanded(text));
    let is_whole = |text: &str| text.replace('_', "").parse::<u64>().is_ok();
    let what = match (written, known) {
        (_, Value::Null) => return None,
        (_, Value::Object(known)) if known.is_empty() => {
            "must have names of your choice below it, each with its keys".to_owned()
        }
        (_, Value::Object(known)) => {
            let keys = known.keys().cloned().collect::<Vec<_>>().join(", ");
            if path == "." {
                return Some(format!("the file must have keys at the top: {keys}"));
            }
            format!("must have keys below it: {keys}")
        }
        (Value::Null, _) => "has no value; write one, or leave the key out".to_owned(),
        (_, Value::String(known)) if known.parse::<SocketAddr>().is_ok() => {
            format!("{shown} is not an IP address with a port (example: {known})")
        }
        (Value::Array(_) | Value::Object(_), _) => format!("must be a single value, such as {known}"),
        (_, Value::String(known)) if parse_duration(known).is_ok() => {
            format!("{shown} is not a duration (example: {known})")
        }
        (_, Value::Number(known)) if !is_whole(&given) => format!("{shown} is not an integer (example: {known})"),
        (_, Value::Bool(_)) => format!("{shown} is not true or false"),
        _ => return None,
    };
    Some(format!("{path}: {what}"))
}
