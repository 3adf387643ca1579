//! Files that people have: which format one is, and what is sent of it to a running Millrace.
//!
//! ```text
//! head of a file --detect--> Format --reader--> Reader
//! piece of the file (a line, an element of a list, a message) --Reader::piece--> Sink { records, rejects, others }
//!
//! record    Otlp   part of an export request, in protobuf: parts after each other are one request
//!           Line   a body for a path of captured calls, one of many in a request
//!           Whole  a body of its own
//! ```
//!
//! Readers are pure. Ids are derived of what is in the file, so that a file read again makes the same records.

mod batch;
mod claude_code;
mod codex;
mod conversations;
pub mod csv;
mod detect;
mod evaluation;
mod langfuse;
mod langsmith;
mod lines;
pub mod otlp;
mod phoenix;
mod span;
mod spend_logs;
#[cfg(test)]
mod tests;

pub use batch::is_input as is_batch_input;
pub use detect::{detect, named};

use crate::otlp::Signal;
use crate::workspace::Workspace;
use conversations::{Conversations, Whose};
use std::collections::BTreeMap;
use std::fmt;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OTLP/JSON, a request or `TracesData` a line.
    OtlpJson,
    /// OTLP in protobuf: one message, or messages with their length in front.
    OtlpProtobuf,
    /// The spans of a project of Phoenix, as its API lists them or its data frames have them.
    Phoenix,
    /// A session of Claude Code.
    ClaudeCode,
    /// A session of Codex.
    Codex,
    /// A person's conversations with ChatGPT.
    ChatGpt,
    /// A person's conversations on claude.ai.
    ClaudeAi,
    /// `LiteLLM_SpendLogs`, a row a piece.
    SpendLogs,
    /// LiteLLM's `StandardLoggingPayload`.
    LiteLlm,
    /// Captured calls.
    Calls,
    /// Input and output of OpenAI's batches.
    OpenAiBatch,
    /// A trajectory of an agent.
    Atif,
    /// Langfuse's observations.
    Langfuse,
    /// LangSmith's runs.
    LangSmith,
    /// Helicone's custom logs.
    Helicone,
}

impl Format {
    /// Every format, in the order of its names in the documentation.
    pub const ALL: [Self; 15] = [
        Self::OtlpJson,
        Self::OtlpProtobuf,
        Self::Phoenix,
        Self::ClaudeCode,
        Self::Codex,
        Self::ChatGpt,
        Self::ClaudeAi,
        Self::SpendLogs,
        Self::LiteLlm,
        Self::Calls,
        Self::OpenAiBatch,
        Self::Atif,
        Self::Langfuse,
        Self::LangSmith,
        Self::Helicone,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OtlpJson => "otlp-json",
            Self::OtlpProtobuf => "otlp-protobuf",
            Self::Phoenix => "phoenix",
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::ChatGpt => "chatgpt",
            Self::ClaudeAi => "claude-ai",
            Self::SpendLogs => "litellm-spend-logs",
            Self::LiteLlm => "litellm",
            Self::Calls => "calls",
            Self::OpenAiBatch => "openai-batch",
            Self::Atif => "atif",
            Self::Langfuse => "langfuse",
            Self::LangSmith => "langsmith",
            Self::Helicone => "helicone",
        }
    }

    /// Whether a piece may depend on those before it, so that a file is always read from its beginning.
    #[must_use]
    pub fn has_memory(self) -> bool {
        matches!(self, Self::ClaudeCode | Self::Codex | Self::OpenAiBatch)
    }

    /// Whether its files grow while they are used, and their first line tells them apart.
    #[must_use]
    pub fn is_session(self) -> bool {
        matches!(self, Self::ClaudeCode | Self::Codex)
    }

    /// Whether its content can be left out here; that of the others is left out where they are received.
    #[must_use]
    pub fn can_drop_content(self) -> bool {
        matches!(
            self,
            Self::ClaudeCode | Self::Codex | Self::ChatGpt | Self::ClaudeAi | Self::Langfuse | Self::LangSmith
        )
    }

    /// What reads it.
    #[must_use]
    pub fn reader(self, source: &Source) -> Box<dyn Reader> {
        match self {
            Self::OtlpJson => Box::new(otlp::JsonReader::new(source)),
            Self::OtlpProtobuf => Box::new(otlp::ProtobufReader::new(source)),
            Self::Phoenix => Box::new(phoenix::Spans::new(source)),
            Self::ClaudeCode => Box::new(claude_code::Session::new(source)),
            Self::Codex => Box::new(codex::Session::new(source)),
            Self::ChatGpt => Box::new(Conversations::new(source, Whose::ChatGpt)),
            Self::ClaudeAi => Box::new(Conversations::new(source, Whose::ClaudeAi)),
            Self::SpendLogs => Box::new(spend_logs::SpendLogs),
            Self::LiteLlm => Box::new(lines::Lines(Path::LiteLlm)),
            Self::Calls => Box::new(lines::Lines(Path::ChatCompletions)),
            Self::Helicone => Box::new(lines::Lines(Path::Helicone)),
            Self::Atif => Box::new(lines::Lines(Path::Atif)),
            Self::OpenAiBatch => Box::new(batch::Batch::default()),
            Self::Langfuse => Box::new(langfuse::Observations::new(source)),
            Self::LangSmith => Box::new(langsmith::Runs::new(source)),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a reader is told about the file and its import.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where its rows go.
    pub workspace: Workspace,
    /// Names the import in every row, as the resource attribute [`ATTRIBUTE`].
    pub import_id: String,
    /// The name of the file, without folders.
    pub file_name: String,
    /// Leave prompts, answers, and what tools got and gave, out.
    pub drops_content: bool,
}

/// The resource attribute that names the import of a row.
pub const ATTRIBUTE: &str = "millrace.import.id";

/// A path of the ingest that takes records of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Captured calls.
    ChatCompletions,
    /// LiteLLM's records.
    LiteLlm,
    /// Helicone's records.
    Helicone,
    /// A trajectory.
    Atif,
}

impl Path {
    /// Its last part.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat-completions",
            Self::LiteLlm => "litellm",
            Self::Helicone => "helicone",
            Self::Atif => "atif",
        }
    }

    /// Whether many records are taken as lines of one request.
    #[must_use]
    pub fn takes_lines(self) -> bool {
        self != Self::Atif
    }
}

/// What a span of a file is known by in any other that repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The same in each.
    pub identity: u64,
    /// How much the file tells of it.
    pub extent: Extent,
}

/// How much a file tells of a span that another may tell more of, as of a turn without its answer. What files have whole or not at all has
/// the least. The order is that of reports of one span, of which the greatest stays (`clickhouse/superseded.rs`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// When it ends, in nanoseconds since 1970.
    pub end: i64,
    /// Bytes of its content.
    pub bytes: u64,
}

/// What is sent of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A part of an export request.
    Otlp {
        /// Of this signal.
        signal: Signal,
        /// In protobuf.
        request: Vec<u8>,
        /// With so many spans, log records or data points.
        items: usize,
        /// What it is known by in any file that repeats it.
        known: Option<Known>,
    },
    /// A body for a path, in JSON without line breaks.
    Body {
        /// Where it goes.
        path: Path,
        /// What it is.
        json: Vec<u8>,
    },
}

impl Record {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Otlp { request, .. } => request.len(),
            Self::Body { json, .. } => json.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows it makes, about.
    #[must_use]
    pub fn items(&self) -> usize {
        match self {
            Self::Otlp { items, .. } => *items,
            Self::Body { .. } => 1,
        }
    }

    /// Whether both can be in one request.
    #[must_use]
    pub fn goes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Otlp { signal, .. }, Self::Otlp { signal: of_other, .. }) => signal == of_other,
            (Self::Body { path, .. }, Self::Body { path: of_other, .. }) => path == of_other && path.takes_lines(),
            _ => false,
        }
    }
}

/// What came of the pieces read so far.
#[derive(Debug, Default)]
pub struct Sink {
    /// What is to be sent.
    pub records: Vec<Record>,
    /// Why a piece, or a part of it, is not.
    pub rejects: Vec<String>,
    /// Pieces of a kind that says nothing about calls, tools or turns, or that is not known: counted by name.
    pub others: BTreeMap<String, u64>,
}

/// What a session has beyond what is kept of it: counted under these names.
const MESSAGE_BEYOND: &str = "(message of a call with too many)";
const TOOL_BEYOND: &str = "(tool, with too many waiting for their results)";
/// Kinds of pieces that are counted by name; the others are counted together.
const OTHERS_MAX: usize = 100;

impl Sink {
    pub(crate) fn reject(&mut self, why: impl Into<String>) {
        self.rejects.push(why.into());
    }

    /// Counts a piece that nothing comes of.
    pub(crate) fn other(&mut self, kind: &str) {
        let kind = crate::text::cut(kind, 64);
        let kind = if self.others.len() < OTHERS_MAX || self.others.contains_key(kind) { kind } else { "(more)" };
        *self.others.entry(kind.to_owned()).or_default() += 1;
    }
}

/// Reads the pieces of a file in order.
pub trait Reader: Send {
    /// Reads a piece.
    fn piece(&mut self, piece: &[u8], sink: &mut Sink);

    /// There is nothing more for now: what is still open is made a record, as far as it is known.
    fn end(&mut self, _sink: &mut Sink) {}
}
