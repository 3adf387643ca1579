//! The names that a search knows.

/// A field.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::query) struct Field {
    /// Its name.
    pub(in crate::query) name: &'static str,
    /// What values it has.
    pub(in crate::query) kind: Kind,
    /// What it is, in a few words.
    pub(in crate::query) about: &'static str,
    /// Other names of it.
    pub(in crate::query) aliases: &'static [&'static str],
}

/// What values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum Kind {
    /// A text.
    Text,
    /// `success` (or `ok`), `error`, `cancelled`.
    Status,
    /// A kind of span.
    OfSpan,
    /// A whole number: `10000`, `10k`.
    Count,
    /// US dollars.
    Cost,
    /// A time with its unit: `500ms`, `2s`.
    Duration,
    /// A point in time: RFC 3339, a day, or `-1h`.
    Time,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub(in crate::query) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Status => "status",
            Self::OfSpan => "kind",
            Self::Count => "count",
            Self::Cost => "cost",
            Self::Duration => "duration",
            Self::Time => "time",
        }
    }
}

const fn field(name: &'static str, kind: Kind, about: &'static str, aliases: &'static [&'static str]) -> Field {
    Field { name, kind, about, aliases }
}

/// Every field, in the order in which they are offered.
pub(in crate::query) const FIELDS: [Field; 27] = [
    field("model", Kind::Text, "the model that answered, or was asked for", &[]),
    field("provider", Kind::Text, "who runs the model", &[]),
    field("status", Kind::Status, "how the span ended; of a trace its root", &[]),
    field("kind", Kind::OfSpan, "LLM, TOOL, AGENT ...", &[]),
    field("operation", Kind::Text, "chat, execute_tool ...", &[]),
    field("name", Kind::Text, "the span's name; of a trace that of its root", &[]),
    field("service", Kind::Text, "service.name", &[]),
    field("user", Kind::Text, "the user", &["user_id"]),
    field("session", Kind::Text, "the session", &["session_id"]),
    field("trace", Kind::Text, "the trace's id", &["trace_id"]),
    field("span", Kind::Text, "the span's id", &["span_id"]),
    field("parent", Kind::Text, "the id of the span's parent", &["parent_span_id"]),
    field("agent", Kind::Text, "the agent's name", &["agent_name"]),
    field("tool", Kind::Text, "the tool's name", &["tool_name"]),
    field("error", Kind::Text, "the type of the error", &["error_type"]),
    field("experiment", Kind::Text, "the experiment", &["experiment_id", "evaluation", "evaluation_id"]),
    field("test_case", Kind::Text, "the test case", &["test_case_id"]),
    field("source", Kind::Text, "otel, chat_completions ...", &[]),
    field("cost", Kind::Cost, "US dollars", &["cost_usd"]),
    field("tokens", Kind::Count, "input and output tokens", &["total_tokens"]),
    field("input_tokens", Kind::Count, "tokens of the input", &[]),
    field("output_tokens", Kind::Count, "tokens of the output", &[]),
    field("cached_tokens", Kind::Count, "tokens of the input that came from a cache", &[]),
    field("reasoning_tokens", Kind::Count, "tokens of the output that were thought", &[]),
    field("duration", Kind::Duration, "how long it took", &["latency"]),
    field("ttft", Kind::Duration, "time to the first token", &[]),
    field("started", Kind::Time, "when it began", &["started_at"]),
];

/// Beginnings of names that go on with a key.
pub(super) const PREFIXES: [&str; 3] = ["attr", "resource", "score"];

/// The field of this name.
pub(in crate::query) fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name || field.aliases.contains(&name))
}

/// The name that is most like this one, if any is.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let names = FIELDS.iter().map(|field| field.name).chain(["has"]).chain(PREFIXES);
    let near = names.map(|known| (strsim::osa_distance(known, name), known)).min()?;
    (near.0 <= 2).then_some(near.1)
}
