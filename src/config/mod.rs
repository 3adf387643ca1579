//! The configuration: one YAML file, every key optional, and the environment.
//!
//! ```text
//! defaults of each part <- file (with values for ${env:NAME:-default}) <- MILLRACE_CLICKHOUSE_URL, ..._USER, ..._PASSWORD
//! ```
//!
//! Each part owns its keys and defaults; here they are put together. A key that no part knows is an error that names
//! it and the nearest one.

mod limits;

use crate::bounds;
use crate::dedup::SPANS_MAX_DEFAULT;
use crate::reconciler::joining;
use crate::retention::Retention;
use crate::sizes::{self, ByteSize};
use crate::{admin, chat, clickhouse, connections, embedded, exporter, journal, receivers, timestamps};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use variables::Template;

mod variables;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where Millrace keeps its files: journal/, dead-letter/, clickhouse/ (embedded).
    pub data_dir: PathBuf,
    /// The doors.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub receivers: Receivers,
    /// How long clients may do nothing.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub connections: connections::Config,
    /// What may be held in memory.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub memory: Memory,
    /// What acknowledged spans rest on until ClickHouse has them.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub journal: journal::Config,
    /// Repeats from senders.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub dedup: Dedup,
    /// Captured chat-completions.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub chat_completions: receivers::chat::single::Config,
    /// What GenAI content may take.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub genai: GenAi,
    /// Inserts.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub exporter: exporter::Config,
    /// Chat-completions whose trace's root comes later.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub joiner: joining::Config,
    /// Health and metrics.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub admin: admin::Config,
    /// The embedded ClickHouse; used when `clickhouse.url` is absent.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub embedded: Embedded,
    /// The ClickHouse to write to.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub clickhouse: clickhouse::Config,
    /// Who changes the tables.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub schema: clickhouse::schema::Config,
    /// How long spans and the texts in them are kept.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub retention: Retention,
    /// The log.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub log: Log,
}

/// The doors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Receivers {
    /// OTLP over gRPC.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub otlp_grpc: receivers::otlp::grpc::Config,
    /// OTLP over HTTP and chat-completions.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub http: receivers::http::listener::Config,
    /// When spans may begin.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub timestamps: timestamps::Config,
}

/// What may be held in memory for requests and rows, whatever the backlog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Bytes of all buffers together. Half of it is for requests and rows on their way to the disk, above which receivers
    /// answer "try again"; the rest is for what the journal and the exporter work on.
    pub limit: ByteSize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { limit: ByteSize::mib(256) }
    }
}

impl Memory {
    /// Bytes of requests and rows on their way to the disk.
    #[must_use]
    pub fn pipeline_bytes(&self) -> usize {
        bounds::pipeline_bytes(self.limit.0)
    }

    /// Bytes that the rows of one request may come to.
    #[must_use]
    pub fn request_rows_bytes(&self) -> usize {
        bounds::request_rows_bytes(self.limit.0)
    }
}

/// Repeats from senders: a span accepted before is acknowledged again and not stored again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dedup {
    /// How long a span is known; 0s switches that off.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// About how many spans are known, 8 bytes each; the oldest go first.
    pub max_spans: usize,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { window: Duration::from_secs(24 * 60 * 60), max_spans: SPANS_MAX_DEFAULT }
    }
}

/// What GenAI content may take in a span made from a chat-completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenAi {
    /// A value above this is cut, with a marker that says how much is missing.
    pub max_value_bytes: ByteSize,
    /// Inline media above this are replaced by their media type, size and digest.
    pub max_inline_media_bytes: ByteSize,
    /// Keep request and response as they were sent, in columns of their own.
    pub keep_raw: bool,
}

impl Default for GenAi {
    fn default() -> Self {
        let limits = chat::Limits::default();
        Self {
            max_value_bytes: ByteSize(limits.max_value_bytes),
            max_inline_media_bytes: ByteSize(limits.max_inline_media_bytes),
            keep_raw: true,
        }
    }
}

/// The embedded ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Embedded {
    /// Address and port of its HTTP interface; loopback only.
    pub listen: SocketAddr,
    /// Path of libchdb.so; absent = looked up (`make libchdb` installs it).
    pub library: Option<PathBuf>,
    /// Most memory the engine may take; absent = a quarter of the machine's, at most 4 GiB.
    pub memory_max_bytes: Option<ByteSize>,
    /// Most queries that may run at once; one more is refused. Millrace's own do not count.
    pub queries_max: usize,
}

impl Default for Embedded {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8123)),
            library: None,
            memory_max_bytes: None,
            queries_max: embedded::QUERIES_MAX_DEFAULT,
        }
    }
}

/// The log, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// Least severe level shown.
    pub level: Level,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info }
    }
}

/// A level of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the usual five")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "./data".into(),
            receivers: Receivers::default(),
            connections: connections::Config::default(),
            memory: Memory::default(),
            journal: journal::Config::default(),
            dedup: Dedup::default(),
            chat_completions: receivers::chat::single::Config::default(),
            genai: GenAi::default(),
            exporter: exporter::Config::default(),
            joiner: joining::Config::default(),
            admin: admin::Config::default(),
            embedded: Embedded::default(),
            clickhouse: clickhouse::Config::default(),
            schema: clickhouse::schema::Config::default(),
            retention: Retention::default(),
            log: Log::default(),
        }
    }
}

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

    fn parse(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
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

    fn apply(&mut self, environment: &Environment) {
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

    fn check(&self) -> Result<(), ConfigError> {
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
        limits::check(self).map_err(ConfigError::Invalid)
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
fn defaults_as_value() -> serde_json::Value {
    serde_json::to_value(Config::default()).unwrap_or_default()
}

fn unknown_keys(given: &serde_json::Value, known: &serde_json::Value, path: &str, found: &mut Vec<String>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, &Environment::from([("HOST".to_owned(), "ch".to_owned())]))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn no_file_an_empty_file_and_the_printed_defaults_are_the_same() {
        let defaults = Config::default();
        assert_eq!(parse("").as_ref(), Ok(&defaults));
        assert_eq!(parse("# nothing\n").as_ref(), Ok(&defaults));
        assert_eq!(parse(&defaults.to_yaml().unwrap()).as_ref(), Ok(&defaults));
    }

    #[test]
    fn the_example_shows_every_key_with_its_default() {
        let example = include_str!("../../deploy/config.example.yaml");
        assert_eq!(parse(example).as_ref(), Ok(&Config::default()));
        let given: serde_json::Value = serde_saphyr::from_str(example).unwrap();
        let mut missing = Vec::new();
        unknown_keys(&defaults_as_value(), &given, "", &mut missing);
        assert!(missing.is_empty(), "not in the example: {missing:?}");
    }

    #[test]
    fn the_keys_of_the_documentation_are_read() {
        let config = parse(
            "data_dir: /var/lib/millrace\n\
             receivers:\n  otlp_grpc: { listen: 0.0.0.0:14317 }\n  http: { listen: \"[::1]:14318\" }\n\
             exporter: { flush_after: 1s 500ms }\n\
             clickhouse: { url: \"http://${env:HOST}:8123\", user: \"${env:USER_NAME:-writer}\", password: a$$b, database: llm }\n",
        )
        .unwrap();
        assert_eq!(config.receivers.otlp_grpc.listen.to_string(), "0.0.0.0:14317");
        assert_eq!(config.receivers.http.listen.to_string(), "[::1]:14318");
        assert_eq!(config.exporter.flush_after.as_millis(), 1_500);
        assert_eq!(config.clickhouse.url.as_deref(), Some("http://ch:8123"));
        assert_eq!(config.clickhouse.user.as_deref(), Some("writer"));
        assert_eq!(config.clickhouse.password.as_ref().map(clickhouse::Secret::reveal), Some("a$b"));
        assert_eq!(config.clickhouse.database.to_string(), "llm");
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_known_one() {
        let error = parse("receivers:\n  otlp_grcp: {}\njournal: { segment_row: 5 }\nzzz: 1\n").unwrap_err();
        assert!(error.contains("unknown key `receivers.otlp_grcp`: did you mean `otlp_grpc`?"), "{error}");
        assert!(error.contains("unknown key `journal.segment_row`: did you mean `segment_rows`?"), "{error}");
        assert!(error.contains("unknown key `zzz`: known here: data_dir, receivers"), "{error}");
    }

    #[test]
    fn a_section_without_keys_is_all_defaults() {
        let empty = "receivers:\nmemory: ~\nadmin:\n  health:\n  metrics:\ngenai: null\nlog:\n";
        assert_eq!(parse(empty).as_ref(), Ok(&Config::default()));
        assert_eq!(parse("receivers:\n  http:\n  otlp_grpc:\n").as_ref(), Ok(&Config::default()));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_said_by_its_key() {
        for (yaml, said) in [
            (
                "receivers: { http: { listen: 'localhost:4318' } }",
                "receivers.http.listen: \"localhost:4318\" is no IP address with a port; write it like 127.0.0.1:4318",
            ),
            (
                "embedded: { listen: 8123 }",
                "embedded.listen: 8123 is no IP address with a port; write it like 127.0.0.1:8123",
            ),
            ("genai: { keep_raw: maybe }", "genai.keep_raw: \"maybe\" must be true or false"),
            ("memory: { limit: }", "memory.limit: has no value; write one, or leave the key out"),
            ("log: debug", "log: must have keys below it: level"),
            ("journal: { segment_rows: [1] }", "journal.segment_rows: must be a single value, such as 100000"),
            ("joiner: { batch: many }", "joiner.batch: \"many\" is no whole number; write it like 1000"),
            ("joiner: { window: soon }", "joiner.window: \"soon\" is no time; write it like 7days"),
            ("joiner: { interval: 5 }", "joiner.interval: 5 is no time; write it like 2s"),
            (
                "retention: { spans: 30 }",
                "retention.spans: \"30\" is no time; write it like 30d, 1y or forever (line 1, column 21)",
            ),
            (
                "retention: { workspaces: { a: { span: 3d } } }",
                "retention.workspaces.a.span: unknown field `span`, expected one of spans, content (line 1, column 33)",
            ),
            (
                "retention: { workspaces: [a] }",
                "retention.workspaces: must have names of your choice below it, each with its keys",
            ),
            (
                "exporter: { order: backwards }",
                "exporter.order: unknown variant `backwards`, expected one of fair, oldest_first, newest_first (line 1, column 20)",
            ),
        ] {
            assert_eq!(parse(yaml).unwrap_err(), said, "{yaml}");
        }
        assert!(parse("joiner: { window: 0 }").is_ok());
        assert!(parse("- a").unwrap_err().starts_with("the file must have keys at the top: data_dir, "));
    }

    #[test]
    fn a_wrong_value_or_a_missing_variable_is_said() {
        assert!(parse("receivers: { http: { listen: nonsense } }").unwrap_err().contains("listen"));
        assert!(parse("data_dir: ${env:NOT_THERE}").unwrap_err().contains("NOT_THERE is not set"));
        assert!(parse("clickhouse: { database: 'a; DROP' }").unwrap_err().contains("database name"));
        let config = Config {
            clickhouse: clickhouse::Config { url: Some("ch:9000".into()), ..Default::default() },
            ..Config::default()
        };
        assert!(config.check().unwrap_err().to_string().contains("must be the HTTP interface"));
        let nowhere = parse("clickhouse: { url: 'http://ch', replica_path: '/x/{table}' }").unwrap();
        assert!(nowhere.check().unwrap_err().to_string().contains("clickhouse.replica_path: needs clickhouse.cluster"));
        let wide = parse("embedded: { listen: \"0.0.0.0:8123\" }").unwrap();
        assert!(wide.check().unwrap_err().to_string().contains("embedded.listen: 0.0.0.0:8123 is not loopback"));
        assert!(
            parse("{ embedded: { listen: \"0.0.0.0:8123\" }, clickhouse: { password: x } }").unwrap().check().is_ok()
        );
    }

    /// What a file becomes with one variable, X.
    fn parse_with(text: &str, x: &str) -> Result<Config, String> {
        Config::parse(text, &Environment::from([("X".to_owned(), x.to_owned())])).map_err(|error| error.to_string())
    }

    #[test]
    fn a_variable_gives_a_value_whatever_it_holds_and_nothing_else() {
        for x in [
            "plain",
            "a #b",
            "null",
            "~",
            "true",
            "0123",
            "1e3",
            "p: \"x",
            "}, database: other, {",
            "a\ndata_dir: elsewhere",
            "- a",
            "[",
            "*x",
            "&x",
            "!!int 5",
            "|",
            "${env:X}",
            "$V0",
            "${V0}",
            "$$",
            "'",
            "\"",
            "\\",
            "%",
            "@",
            "`",
            "é\u{2028}",
            " spaces ",
        ] {
            for file in [
                "clickhouse:\n  password: ${env:X}\n",
                "clickhouse:\n  password: ${env:X} # not a part of it\n",
                "clickhouse: { password: ${env:X}, database: otel }",
                "clickhouse: { password: \"${env:X}\" }",
                "clickhouse: { password: '${env:X}' }",
                "clickhouse: { password: ${env:NONE:-${env:X} }",
            ] {
                let is_default = file.contains("NONE");
                let want = Config {
                    clickhouse: clickhouse::Config {
                        password: Some(clickhouse::Secret::from(if is_default { "${env:X" } else { x }.to_owned())),
                        ..Default::default()
                    },
                    ..Config::default()
                };
                assert_eq!(parse_with(file, x).as_ref(), Ok(&want), "{file} with {x:?}");
            }
        }
    }

    #[test]
    fn values_of_variables_have_the_type_that_their_key_has() {
        let file = "journal: { segment_rows: ${env:X} }";
        assert_eq!(parse_with(file, "77").unwrap().journal.segment_rows, 77);
        assert!(!parse_with("genai: { keep_raw: ${env:X} }", "false").unwrap().genai.keep_raw);
        assert_eq!(parse_with("memory: { limit: ${env:X} }", "64MiB").unwrap().memory.limit, ByteSize::mib(64));
        assert_eq!(parse_with("memory: { limit: ${env:X}MiB }", "64").unwrap().memory.limit, ByteSize::mib(64));
        assert_eq!(parse_with("joiner: { interval: ${env:X} }", "3s").unwrap().joiner.interval.as_secs(), 3);
        assert_eq!(
            parse_with("retention: { spans: ${env:X} }", "30d").unwrap(),
            parse("retention: { spans: 30d }").unwrap()
        );
        assert_eq!(parse_with("log: { level: ${env:X} }", "debug").unwrap().log.level, Level::Debug);
        let http = parse_with("receivers: { http: { listen: \"127.0.0.1:${env:X}\" } }", "99").unwrap().receivers.http;
        assert_eq!(http.listen.port(), 99);
        let url = "clickhouse: { url: \"http://${env:X}_y:${env:PORT:-8123}/$$a$b\" }";
        assert_eq!(parse_with(url, "h").unwrap().clickhouse.url.as_deref(), Some("http://h_y:8123/$a$b"));
        let nothing = "clickhouse:\n  password: ${env:X}\n";
        assert!(parse_with(nothing, "").unwrap_err().contains("${env:X}: X is not set"));
        assert_eq!(parse_with(&nothing.replace("X}", "X:-}"), "").unwrap(), Config::default());
        // a line that is a comment needs no variable
        assert_eq!(parse("# password: ${env:NOT_THERE}\n").unwrap(), Config::default());
    }

    #[test]
    fn no_message_shows_the_value_of_a_variable() {
        let secret = "hunter2: [";
        for (file, said) in [
            ("data_dir: ${env:X}\n a: b", ""),
            ("${env:X}: 1", "unknown key `${env:X}`"),
            ("receivers: { http: { listen: \"${env:X}\" } }", "receivers.http.listen: ${env:X} is no IP address"),
            ("journal: { segment_rows: ${env:X} }", "journal.segment_rows: ${env:X} is no whole number"),
            ("genai: { keep_raw: ${env:X} }", "genai.keep_raw: ${env:X} must be true or false"),
            ("joiner: { interval: ${env:X} }", "joiner.interval: ${env:X} is no time"),
            ("memory: { limit: ${env:X:-5} }", "memory.limit: the value of ${env:X:-5} does not fit (line 1"),
            ("clickhouse: { database: a-${env:X} }", "clickhouse.database: the value of a-${env:X} does not fit"),
            ("retention: { spans: ${env:X} }", "retention.spans: the value of ${env:X} does not fit"),
            ("retention: { workspaces: { a: { span: ${env:X} } } }", "retention.workspaces.a"),
            ("retention: { workspaces: { a: { spans: ${env:X} } } }", "retention.workspaces.a"),
            ("log: { level: ${env:X} }", "log.level: the value of ${env:X} does not fit"),
            ("embedded: { queries_max: [${env:X}] }", "must be a single value"),
            ("exporter: { order: ${env:X} }", "exporter.order: the value of ${env:X} does not fit"),
        ] {
            let error = parse_with(file, secret).unwrap_err();
            assert!(!error.contains("hunter2") && error.contains(said), "{file}: {error}");
        }
        let nowhere = parse_with("clickhouse: { url: \"${env:X}\" }", secret).unwrap();
        let error = nowhere.check().unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("clickhouse.url: must be the HTTP interface"), "{error}");
    }

    #[test]
    fn a_password_is_not_shown_by_debug() {
        let config = parse("clickhouse: { password: hunter2 }").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
