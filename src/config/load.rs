//! Reads the configuration: defaults, then the file, then the environment.

use super::check;
use super::env::{Environment, Template};
use super::explain::{self, UnknownKeys};
use super::place::with_lines;
use super::{Config, ConfigError, omit};
use crate::clickhouse;
use crate::secret::Secret;
use std::path::Path;

/// Values of a file that cannot be read, and are told one by one.
const WRONG_VALUES_MAX: usize = 50;

/// The place that an error of the reader of YAML names.
fn place_in(error: &str) -> Option<(usize, usize)> {
    let (_, place) = error.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(", column ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

/// Where the section begins that a path is in.
fn section(text: &str, path: &str) -> Option<(usize, usize)> {
    let name = path.split(['.', '[']).next().filter(|name| !name.is_empty())?;
    let is_it = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
    Some((text.lines().position(is_it)? + 1, 1))
}

impl Config {
    /// Loads the file, if any, and applies the environment.
    ///
    /// # Errors
    /// If something in it is wrong; the message says what and where.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let Some(path) = file else {
            let mut config = Self::default();
            config.apply(environment);
            config.check()?;
            return Ok(config);
        };
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        Self::of_file(&text, environment)
    }

    /// The configuration of a file that says this, with what the environment says.
    ///
    /// # Errors
    /// If something in it is wrong; the message says what and where.
    pub fn of_file(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let (config, mut problems) = Self::read(text, environment)?;
        let config = config.map(|mut config| {
            config.apply(environment);
            problems.extend(check::problems(&config));
            config
        });
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid(with_lines(text, problems).join("\n"))),
        }
    }

    /// Problems that begin with a key, with the lines of the file on which the keys stand.
    #[must_use]
    pub fn invalid(file: Option<&Path>, problems: Vec<String>) -> ConfigError {
        let text = file.and_then(|path| std::fs::read_to_string(path).ok());
        let problems = match text {
            Some(text) => with_lines(&text, problems),
            None => problems,
        };
        ConfigError::Invalid(problems.join("\n"))
    }

    #[cfg(test)]
    pub(super) fn parse(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        match Self::read(text, environment)? {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(ConfigError::Invalid(problems.join("\n"))),
        }
    }

    /// What a file says, as far as it can be read, and everything that is wrong with it. A value that cannot be read is left out, and the rest read
    /// again.
    fn read(text: &str, environment: &Environment) -> Result<(Option<Self>, Vec<String>), ConfigError> {
        let mut template = Template::of(text, environment)?;
        if template.text().lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok((Some(Self::default()), Vec::new()));
        }
        let (mut unknown, mut problems, mut left_out) = (Vec::new(), Vec::new(), Vec::<String>::new());
        for _ in 0..WRONG_VALUES_MAX {
            let (read, of_these) = Self::read_once(&template);
            for key in of_these {
                if !unknown.contains(&key) {
                    unknown.push(key);
                }
            }
            let (path, error) = match read {
                Ok(config) => {
                    unknown.append(&mut problems);
                    return Ok((left_out.is_empty().then_some(config), unknown));
                }
                Err(error) => error,
            };
            // it misses what was left out
            let is_ours = error.starts_with("missing field") && left_out.iter().any(|other| other.starts_with(&path));
            let problem = explain::wrong_value(&template, &path, &error);
            if !is_ours && !problems.contains(&problem) {
                problems.push(problem);
            }
            // what is wrong again goes with its section
            let place = if left_out.contains(&path) { section(template.text(), &path) } else { place_in(&error) };
            left_out.push(path);
            match place.and_then(|(line, column)| omit::without(template.text(), line, column)) {
                Some(rest) if explain::is_yaml(&template) => template = template.with_text(rest),
                _ => break,
            }
        }
        unknown.append(&mut problems);
        Ok((None, unknown))
    }

    /// What a file says, or the first value that cannot be read with why not; and the keys that nobody knows, up to there.
    fn read_once(template: &Template) -> (Result<Self, (String, String)>, Vec<String>) {
        let mut unknown = UnknownKeys::default();
        let mut track = serde_path_to_error::Track::new();
        let read = serde_saphyr::with_deserializer_from_str_with_options(template.text(), template.options(), |yaml| {
            let yaml = serde_path_to_error::Deserializer::new(yaml, &mut track);
            serde_ignored::deserialize(yaml, |path| unknown.note(&path))
        });
        let unknown = if explain::is_yaml(template) { unknown.messages(template) } else { Vec::new() };
        (read.map_err(|error| (track.path().to_string(), error.without_snippet().to_string())), unknown)
    }

    pub(super) fn apply(&mut self, environment: &Environment) {
        let set = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        if let Some(url) = set("MILLRACE_CLICKHOUSE_URL") {
            self.clickhouse.url = Some(clickhouse::Urls::from(&url));
        }
        if let Some(user) = set("MILLRACE_CLICKHOUSE_USER") {
            self.clickhouse.user = Some(user);
        }
        if let Some(password) = set("MILLRACE_CLICKHOUSE_PASSWORD") {
            self.clickhouse.password = Some(Secret::from(password));
        }
        if let Some(library) = set("MILLRACE_LIBCHDB") {
            self.embedded.library = Some(library.into());
        }
    }

    /// Checks what the types alone do not rule out.
    ///
    /// # Errors
    /// If a value is out of its range, or does not fit another; the message names each by its key.
    pub fn check(&self) -> Result<(), ConfigError> {
        none_of(&check::problems(self))
    }

    /// Checks only that all that has a limit is within it: see [`bounds`](crate::bounds).
    ///
    /// # Errors
    /// If something is not; the message names each by its key, with the limit.
    pub fn check_limits(&self) -> Result<(), ConfigError> {
        none_of(&check::limits(self))
    }

    /// The configuration as YAML, as `deploy/config.example.yaml` shows it.
    ///
    /// # Errors
    /// If a path is not Unicode.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        serde_saphyr::to_string(self).map_err(|error| ConfigError::Invalid(error.to_string()))
    }
}

fn none_of(problems: &[String]) -> Result<(), ConfigError> {
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems.join("\n"))) }
}
