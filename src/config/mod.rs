//! The configuration: one YAML file, every key optional, and the environment.
//!
//! ```text
//! defaults of each part <- file (with values for ${env:NAME:-default}) <- MILLRACE_CLICKHOUSE_URL, ..._USER, ..._PASSWORD
//! ```
//!
//! Each part owns its keys and defaults; here they are put together. A key that no part knows is an error that names
//! it and the nearest one.

mod check;
mod env;
mod explain;
mod load;
mod omit;
mod place;
mod prices;
#[cfg(test)]
mod tests;

pub use env::{Environment, environment};
pub use prices::PricesConfig;

use crate::access::{Auth, quotas};
use crate::bounds;
use crate::dedup::SPANS_MAX_DEFAULT;
use crate::receivers::content::{Content, ContentPolicy, WorkspaceContent};
use crate::reconciler::joining;
use crate::retention::Retention;
use crate::sizes::{self, ByteSize};
use crate::{
    admin, chat, clickhouse, connections, embedded, exporter, journal, own_telemetry, page, query, receivers,
    redaction, timestamps,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where Millrace keeps its files: journal/, dead-letter/, clickhouse/ (embedded).
    pub data_dir: PathBuf,
    /// The listeners for spans, and what they accept.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub receivers: Receivers,
    /// Who may send, read and change.
    pub auth: Auth,
    /// How much each workspace may send.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub quotas: quotas::Config,
    /// How long clients may be idle.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub connections: connections::Config,
    /// How much memory buffers may take.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub memory: Memory,
    /// Where acknowledged spans are until ClickHouse has them.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub journal: journal::Config,
    /// How repeats are recognised.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub dedup: Dedup,
    /// Captured chat-completions.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub chat_completions: receivers::chat::receiver::Config,
    /// How large GenAI content may be.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub genai: GenAi,
    /// What is taken out of requests before it is stored: secrets and personal texts.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub redaction: redaction::Config,
    /// Inserts.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub exporter: exporter::Config,
    /// Joining chat-completions to roots that come later.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub joiner: joining::Config,
    /// Health and metrics.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub admin: admin::Config,
    /// Where the page is.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub page: page::Config,
    /// What questions of the read API may take.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub query: query::config::Config,
    /// The embedded ClickHouse; used when `clickhouse.url` is absent.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub embedded: Embedded,
    /// The ClickHouse to write to.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub clickhouse: clickhouse::Config,
    /// Whether Millrace creates and changes the tables.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub schema: clickhouse::schema::Config,
    /// How long spans and the texts in them are kept.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub retention: Retention,
    /// What calls cost whose sender does not say.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub prices: PricesConfig,
    /// Where Millrace sends its own traces and metrics.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub telemetry: own_telemetry::Config,
    /// The log.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub log: Log,
}

/// The listeners for spans, and what they accept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Receivers {
    /// OTLP over gRPC.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub otlp_grpc: receivers::config::GrpcConfig,
    /// OTLP over HTTP and chat-completions.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub http: receivers::config::HttpConfig,
    /// The resource attribute that names the workspace of OTLP data, if neither a header nor the sender's token does.
    pub workspace_attribute: Option<String>,
    /// When spans may begin.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub timestamps: timestamps::Config,
}

/// How much memory requests and rows may take, whatever the backlog.
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

    /// Most bytes of the rows of one request.
    #[must_use]
    pub fn request_rows_bytes(&self) -> usize {
        bounds::request_rows_bytes(self.limit.0)
    }
}

/// Repeats from senders: a span accepted before is acknowledged again and not stored again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dedup {
    /// How long a span is known; 0s turns this off.
    #[serde(with = "crate::time::spelt")]
    pub window: Duration,
    /// About how many spans are known, 8 bytes each; the oldest go first.
    pub max_spans: usize,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { window: Duration::from_secs(24 * 60 * 60), max_spans: SPANS_MAX_DEFAULT }
    }
}

/// How large GenAI content may be in a span made from a chat-completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenAi {
    /// A value above this is cut, with a marker that says how much is missing.
    pub max_value_bytes: ByteSize,
    /// Inline media above this are replaced by their media type, size and digest.
    pub max_inline_media_bytes: ByteSize,
    /// Keep request and response as they were sent, in columns of their own.
    pub keep_raw: bool,
    /// Keys of attributes that are content too, for applications with keys of their own; `*` stands for any text.
    pub content_keys: Vec<String>,
    /// Whether prompts and answers are kept at all.
    pub content: Content,
    /// The same for single workspaces.
    pub workspaces: BTreeMap<String, WorkspaceContent>,
}

impl GenAi {
    /// What becomes of prompts and answers.
    #[must_use]
    pub fn content_policy(&self) -> ContentPolicy {
        let (workspaces, keys) = (self.workspaces.clone(), self.content_keys.clone());
        ContentPolicy { content: self.content, workspaces, keys }
    }
}

impl Default for GenAi {
    fn default() -> Self {
        let limits = chat::Limits::default();
        Self {
            max_value_bytes: ByteSize(limits.max_value_bytes),
            max_inline_media_bytes: ByteSize(limits.max_inline_media_bytes),
            keep_raw: true,
            content_keys: Vec::new(),
            content: Content::default(),
            workspaces: BTreeMap::new(),
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
    /// The least severe level that is logged.
    pub level: Level,
    /// How lines are written.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, format: LogFormat::Text }
    }
}

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line: `timestamp`, `level`, `message`, and what the line has besides.
    Json,
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

impl Level {
    /// As it is written in a configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl LogFormat {
    /// As it is written in a configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "./data".into(),
            receivers: Receivers::default(),
            auth: Auth::default(),
            quotas: quotas::Config::default(),
            connections: connections::Config::default(),
            memory: Memory::default(),
            journal: journal::Config::default(),
            dedup: Dedup::default(),
            chat_completions: receivers::chat::receiver::Config::default(),
            genai: GenAi::default(),
            redaction: redaction::Config::default(),
            exporter: exporter::Config::default(),
            joiner: joining::Config::default(),
            admin: admin::Config::default(),
            page: page::Config::default(),
            query: query::config::Config::default(),
            embedded: Embedded::default(),
            clickhouse: clickhouse::Config::default(),
            schema: clickhouse::schema::Config::default(),
            retention: Retention::default(),
            prices: PricesConfig::default(),
            telemetry: own_telemetry::Config::default(),
            log: Log::default(),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("failed to read {path}")]
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
    /// The file is not YAML, or keys or values are wrong: each problem on a line of its own.
    #[error("{0}")]
    Invalid(String),
}

impl Config {
    /// The longest time that any span is remembered.
    #[must_use]
    pub fn dedup_window_max(&self) -> Duration {
        self.dedup.window.max(self.chat_completions.dedup_window)
    }

    /// Whether spans are remembered at all.
    #[must_use]
    pub fn is_dedup_on(&self) -> bool {
        !self.dedup_window_max().is_zero() && self.dedup.max_spans > 0
    }
}
