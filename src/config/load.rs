//! Reads the configuration: defaults, then the file, then the environment.

use super::env::Template;
use super::{Config, check};
use crate::clickhouse;
use serde::Deserialize as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A `${env:NAME}` has no value.
    #[error("{0}")]
    Environment(String),
    /// The file is not YAML, or a value has the wrong type.
    #[error("{0}")]
    Invalid(String),
    /// Keys that no part knows.
    #[error("{}", .0.join("\n"))]
    UnknownKeys(Vec<String>),
}

/// The variables of the environment, read once.
pub type Environment = BTreeMap<String, String>;

/// The process's environment; what is not Unicode is left out.
#[must_use]
pub fn environment() -> Environment {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect()
}

impl Config {
    /// Loads the file, if any, and applies the environment.
    ///
    /// # Errors
    /// When something in it is not right; the message says what and where.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let mut config = match file {
            None => Self::default(),
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
                Self::parse(&text, environment)?
            }
        };
        config.apply(environment);
        config.check()?;
        Ok(config)
    }

    pub(super) fn parse(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let template = Template::of(text, environment)?;
        if template.text().lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        let invalid = |text: &str| ConfigError::Invalid(template.as_written(text));
        let value = |options| {
            serde_saphyr::from_str_with_options(template.text(), options)
                .map_err(|error| invalid(&error.without_snippet().to_string()))
        };
        let written: serde_json::Value = value(serde_saphyr::Options::default())?;
        let mut unknown = Vec::new();
        unknown_keys(&written, &defaults_as_value(), "", &mut unknown);
        if !unknown.is_empty() {
            return Err(ConfigError::UnknownKeys(unknown.iter().map(|text| template.as_written(text)).collect()));
        }
        let mut wrong = WrongValues { template: &template, found: Vec::new() };
        wrong.look(&value(template.options())?, &written, &defaults_as_value(), "");
        if !wrong.found.is_empty() {
            return Err(ConfigError::Invalid(wrong.found.join("\n")));
        }
        Self::read(&template, &written)
    }

    /// The text as a configuration; what cannot be read is named by its key. `written` is the text without the values.
    fn read(template: &Template, written: &serde_json::Value) -> Result<Self, ConfigError> {
        let mut track = serde_path_to_error::Track::new();
        let read = serde_saphyr::with_deserializer_from_str_with_options(template.text(), template.options(), |yaml| {
            Self::deserialize(serde_path_to_error::Deserializer::new(yaml, &mut track))
        });
        read.map_err(|error| {
            let text = error.without_snippet().to_string();
            let (what, place) = text.rsplit_once(" at line ").unwrap_or((&text, "?"));
            let path = track.path().to_string();
            let at_path = path.split('.').try_fold(written, |value, key| value.get(key));
            ConfigError::Invalid(match at_path {
                Some(value) if !template.is_in(value) => format!("{path}: {what} (line {place})"),
                Some(serde_json::Value::String(value)) => {
                    format!("{path}: the value of {} does not fit (line {place})", template.as_written(value))
                }
                // what was found there may hold a value
                _ if template.is_in(written) => format!("{path}: does not fit (line {place})"),
                _ => format!("{path}: {what} (line {place})"),
            })
        })
    }

    pub(super) fn apply(&mut self, environment: &Environment) {
        let set = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        if let Some(url) = set("MILLRACE_CLICKHOUSE_URL") {
            self.clickhouse.url = Some(url);
        }
        if let Some(user) = set("MILLRACE_CLICKHOUSE_USER") {
            self.clickhouse.user = Some(user);
        }
        if let Some(password) = set("MILLRACE_CLICKHOUSE_PASSWORD") {
            self.clickhouse.password = Some(clickhouse::Secret::from(password));
        }
        if let Some(library) = set("MILLRACE_LIBCHDB") {
            self.embedded.library = Some(library.into());
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |text: String| Err(ConfigError::Invalid(text));
        let is_http = |url: &str| {
            let uri = url.parse::<http::Uri>().ok();
            uri.is_some_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty())
            })
        };
        if let Some(url) = &self.clickhouse.url
            && !is_http(url)
        {
            return invalid("clickhouse.url: must be the HTTP interface, such as http://clickhouse:8123".to_owned());
        }
        if self.clickhouse.cluster.is_some() && self.clickhouse.url.is_none() {
            return invalid(
                "clickhouse.cluster: needs clickhouse.url; the embedded ClickHouse is no cluster".to_owned(),
            );
        }
        if self.clickhouse.replica_path.is_some() && self.clickhouse.cluster.is_none() {
            return invalid(
                "clickhouse.replica_path: needs clickhouse.cluster; without it no table is replicated".to_owned(),
            );
        }
        for checked in [self.retention.check(), self.connections.check()] {
            checked.map_err(ConfigError::Invalid)?;
        }
        let listen = self.embedded.listen;
        if self.clickhouse.url.is_none() && !listen.ip().is_loopback() && self.clickhouse.password.is_none() {
            return invalid(format!(
                "embedded.listen: {listen} is not loopback, so whoever reaches it could run any SQL; \
                 set clickhouse.password or listen on 127.0.0.1"
            ));
        }
        if let Some(user) = self.clickhouse.user.as_deref().filter(|user| !matches!(*user, "" | "default"))
            && self.clickhouse.url.is_none()
        {
            return invalid(format!(
                "clickhouse.user (or MILLRACE_CLICKHOUSE_USER): {user:?} needs clickhouse.url; the embedded ClickHouse \
                 has one user, default"
            ));
        }
        self.check_limits()
    }

    /// Whether all that has a limit is within it: see [`bounds`].
    ///
    /// # Errors
    /// What is not, by its key, with the limit.
    pub fn check_limits(&self) -> Result<(), ConfigError> {
        check::check(self).map_err(ConfigError::Invalid)
    }

    /// The configuration as YAML, as `deploy/config.example.yaml` shows it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        serde_saphyr::to_string(self).map_err(|error| ConfigError::Invalid(error.to_string()))
    }
}

/// Every key there is: the defaults, with null for what is absent.
pub(super) fn defaults_as_value() -> serde_json::Value {
    serde_json::to_value(Config::default()).unwrap_or_default()
}

pub(super) fn unknown_keys(given: &serde_json::Value, known: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    let (Some(given), Some(known)) = (given.as_object(), known.as_object()) else { return };
    // names that the operator chooses
    if known.is_empty() {
        return;
    }
    for (key, value) in given {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if let Some(known) = known.get(key) {
            unknown_keys(value, known, &path, found);
            continue;
        }
        let near = known.keys().max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
        let hint = match near {
            Some(near) if strsim::jaro_winkler(near, key) > 0.7 => format!("did you mean `{near}`?"),
            _ => format!("known here: {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
        };
        found.push(format!("unknown key `{path}`: {hint}"));
    }
}

/// Values of another kind than their defaults, where the reader of the file would only speak of its own types.
struct WrongValues<'t> {
    template: &'t Template,
    found: Vec<String>,
}

impl WrongValues<'_> {
    /// Looks at a value and those below it. `written` is what stands in the file for it.
    fn look(&mut self, given: &serde_json::Value, written: &serde_json::Value, known: &serde_json::Value, path: &str) {
        use serde_json::Value;
        let is_address = |text: &str| text.parse::<SocketAddr>().is_ok();
        let is_time = |text: &str| humantime_serde::re::humantime::parse_duration(text).is_ok();
        let is_whole = |text: &str| text.replace('_', "").parse::<u64>().is_ok();
        let said = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
        let is_variable = self.template.is_in(written);
        let is_truth = given.is_boolean() || (is_variable && matches!(&*said, "true" | "false"));
        let shown = match written.as_str().filter(|_| is_variable) {
            Some(written) => self.template.as_written(written),
            None => given.to_string(),
        };
        let mut wrong = |why: String| self.found.push(format!("{path}: {why}"));
        match (given, known) {
            (Value::Object(given), Value::Object(known)) => {
                for (key, value) in given {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    if let (Some(known), Some(written)) = (known.get(key), written.get(key)) {
                        self.look(value, written, known, &path);
                    }
                }
            }
            (Value::Null, Value::Object(_)) | (_, Value::Null) => {}
            (_, Value::Object(known)) if known.is_empty() => {
                wrong("must have names of your choice below it, each with its keys".to_owned());
            }
            (_, Value::Object(known)) => {
                let keys = known.keys().cloned().collect::<Vec<_>>().join(", ");
                if path.is_empty() {
                    self.found.push(format!("the file must have keys at the top: {keys}"));
                } else {
                    wrong(format!("must have keys below it: {keys}"));
                }
            }
            (Value::Null, _) => wrong("has no value; write one, or leave the key out".to_owned()),
            (given, Value::String(known)) if is_address(known) && !given.as_str().is_some_and(is_address) => {
                wrong(format!("{shown} is no IP address with a port; write it like {known}"));
            }
            (Value::Array(_) | Value::Object(_), _) => wrong(format!("must be a single value, such as {known}")),
            (_, Value::String(known)) if is_time(known) && !is_time(&said) => {
                wrong(format!("{shown} is no time; write it like {known}"));
            }
            (_, Value::Number(known)) if !is_whole(&said) => {
                wrong(format!("{shown} is no whole number; write it like {known}"));
            }
            (_, Value::Bool(_)) if !is_truth => wrong(format!("{shown} must be true or false")),
            _ => {}
        }
    }
}
