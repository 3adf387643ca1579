//! The views: what people ask first, each call counted once, whoever reported it and however often.
//!
//! ```text
//! otel_traces ── genai_calls ─┬─ genai_usage_1h
//!      │                      └─ genai_traces ── genai_sessions
//!      └─ otel_traces_with_content
//! ```
//!
//! Rows change after they were stored (a pair learns its parent late), so nothing is aggregated ahead of the question. A
//! filter by workspace or trace reaches the table through every view. A filter by time cannot: two reports of one call
//! have times of their own, and which of them counts is known only when both are seen. So each view has a twin
//! `..._between(since = ..., until = ...)` that reads the range, a day to either side of it, and nothing else.
//!
//! The SQL is in `views/`; words in `{{double braces}}` are filled in here.

use super::layout::Layout;
use crate::columns::{COLUMNS, STANDARD_COLUMNS};

/// Operations that are calls of a model: only they count. Source: the mapping specification, 4.2.
const IS_MODEL_CALL: &str = "Operation IN ('chat', 'generate_content', 'text_completion', 'embeddings', 'rerank')";

/// An agent that says what its calls took; it counts when they do not report themselves.
const IS_AGENT_WITH_USAGE: &str = "Operation = 'invoke_agent' AND \
                                   (InputTokens IS NOT NULL OR OutputTokens IS NOT NULL OR CostTotal IS NOT NULL)";

/// What reports of the same call in one trace have in common. Some servers number their responses from one: such an id
/// says nothing.
const CALL_KEY: &str = "if(r.ResponseId = '' OR match(r.ResponseId, '^chatcmpl-[0-9]{1,3}$'), r.SpanId, \
                        concat(r.Operation, ' ', r.ResponseId))";

/// The report with the least rank counts: instrumented spans before chat pairs, then by time.
const RANK: &str = "toUInt64(greatest(toUnixTimestamp64Nano(Timestamp), 0)) \
                    + if(JoinState = '', 0, 9223372036854775808)";

/// The latest message of the user, or else the latest one.
const INPUT_MESSAGE: &str = "arrayFirst(message -> message != '', [\
                             arrayLast(message -> JSONExtractString(message, 'role') = 'user', JSONExtractArrayRaw(s.first_input)), \
                             arrayElement(JSONExtractArrayRaw(s.first_input), -1)])";

/// The first choice.
const OUTPUT_MESSAGE: &str = "arrayElement(JSONExtractArrayRaw(s.last_output), 1)";

/// Texts of a message's parts, and what stands for the others: `[tool_call get_weather]`. At most 200 letters.
const PREVIEW: &str = "leftUTF8(replaceRegexpAll(arrayStringConcat(arrayMap(part -> \
                       if(JSONExtractString(part, 'type') = 'text', JSONExtractString(part, 'content'), \
                       concat('[', trimRight(concat(JSONExtractString(part, 'type'), ' ', JSONExtractString(part, 'name'))), ']')), \
                       arrayFilter(part -> JSONExtractString(part, 'type') != 'reasoning', JSONExtractArrayRaw({{message}}, 'parts'))\
                       ), ' '), '\\\\s+', ' '), 200)";

/// What a view is made of.
struct Template {
    name: &'static str,
    /// The name of its twin for a range of time.
    twin: Option<&'static str>,
    /// SQL with words to be filled in.
    sql: &'static str,
}

const CALLS: &str = include_str!("views/calls.sql");
const TRACES: &str = include_str!("views/traces.sql");

const TEMPLATES: [Template; 5] = [
    Template { name: "genai_calls", twin: Some("genai_calls_between"), sql: CALLS },
    Template { name: "genai_traces", twin: Some("genai_traces_between"), sql: TRACES },
    Template { name: "genai_sessions", twin: Some("genai_sessions_between"), sql: include_str!("views/sessions.sql") },
    Template { name: "genai_usage_1h", twin: Some("genai_usage_1h_between"), sql: include_str!("views/usage_1h.sql") },
    // the spans of a trace as readers of "all attributes" want them: Grafana's trace panel, for one
    Template { name: "otel_traces_with_content", twin: None, sql: include_str!("views/with_content.sql") },
];

/// What a view reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    /// What began from `since` on and before `until`: parameters of the view.
    Between,
}

/// The words that narrow what is read, for a scope.
struct Narrowing {
    /// Reports of calls that may be, or may be the same as, one that began in the range.
    near_model_calls: &'static str,
    /// Agents that may count.
    agents: &'static str,
    /// Spans of their traces.
    near_agents: &'static str,
    /// The calls that began in the range.
    having_call: &'static str,
}

const EVERYTHING: Narrowing = Narrowing { near_model_calls: "", agents: "", near_agents: "", having_call: "" };

macro_rules! in_range {
    ($at:literal) => {
        concat!($at, " >= {since:DateTime64(9)} AND ", $at, " < {until:DateTime64(9)}")
    };
}

/// Reports of one call, and spans of one trace, begin at most so far apart.
macro_rules! near_range {
    ($at:literal) => {
        concat!(
            $at,
            " >= {since:DateTime64(9)} - INTERVAL 1 DAY AND ",
            $at,
            " < {until:DateTime64(9)} + INTERVAL 1 DAY"
        )
    };
}

macro_rules! of_traces_in_range {
    ($where:literal) => {
        concat!(
            "AND ",
            near_range!("Timestamp"),
            " AND TraceId {{global}}IN (SELECT TraceId FROM {{database}}.otel_traces WHERE ",
            $where,
            in_range!("Timestamp"),
            ")"
        )
    };
}

/// Calls that began in the range.
const CALLS_BETWEEN: Narrowing = Narrowing {
    near_model_calls: of_traces_in_range!("{{is_model_call}} AND "),
    agents: concat!("AND ", in_range!("Timestamp")),
    near_agents: concat!("AND ", near_range!("span.Timestamp")),
    having_call: concat!("HAVING ", in_range!("argMin(r.Timestamp, Rank)")),
};

/// Calls of traces of which something began in the range.
const CALLS_OF_TRACES_BETWEEN: Narrowing = Narrowing {
    near_model_calls: of_traces_in_range!(""),
    agents: of_traces_in_range!(""),
    near_agents: concat!("AND ", near_range!("span.Timestamp")),
    having_call: "",
};

/// Name and SELECT of all views.
pub(super) fn all(layout: &Layout) -> impl Iterator<Item = (&'static str, String)> {
    let plain = TEMPLATES.iter().map(|view| (view.name, filled(view.sql, layout, Scope::All)));
    let twins = TEMPLATES.iter().filter_map(|view| Some((view.twin?, filled(view.sql, layout, Scope::Between))));
    plain.chain(twins)
}

/// The SQL without double braces: what stands for SQL with words in it goes first.
fn filled(sql: &str, layout: &Layout, scope: Scope) -> String {
    let (calls, calls_of_traces) = match scope {
        Scope::All => (&EVERYTHING, &EVERYTHING),
        Scope::Between => (&CALLS_BETWEEN, &CALLS_OF_TRACES_BETWEEN),
    };
    let (near_spans, having_trace) = match scope {
        Scope::All => ("", ""),
        Scope::Between => (of_traces_in_range!(""), concat!("HAVING ", in_range!("min(t.Timestamp)"))),
    };
    let preview = |message: &str| PREVIEW.replace("{{message}}", message);
    let words = [
        ("{{traces}}", TRACES.to_owned()),
        ("{{calls_of_traces}}", narrowed(CALLS, calls_of_traces)),
        ("{{calls}}", CALLS.to_owned()),
        ("{{near_spans}}", near_spans.to_owned()),
        ("{{having_trace}}", having_trace.to_owned()),
        ("{{preview_of_input}}", preview(INPUT_MESSAGE)),
        ("{{preview_of_output}}", preview(OUTPUT_MESSAGE)),
        ("{{standard_columns}}", standard_columns()),
    ];
    let sql = words.iter().fold(sql.to_owned(), |sql, (word, text)| sql.replace(word, text));
    narrowed(sql.trim_end(), calls)
        .replace("{{is_model_call}}", IS_MODEL_CALL)
        .replace("{{is_agent_with_usage}}", IS_AGENT_WITH_USAGE)
        .replace("{{call_key}}", CALL_KEY)
        .replace("{{rank}}", RANK)
        // on a cluster the inner questions are asked once, not by every shard
        .replace("{{global}}", if layout.cluster.is_some() { "GLOBAL " } else { "" })
        .replace("{{database}}", &layout.database.to_string())
}

fn narrowed(sql: &str, narrowing: &Narrowing) -> String {
    sql.replace("{{near_model_calls}}", narrowing.near_model_calls)
        .replace("{{agents_in_range}}", narrowing.agents)
        .replace("{{near_agents}}", narrowing.near_agents)
        .replace("{{having_call}}", narrowing.having_call)
}

/// The exporter's columns by their names, with all content among the attributes. A pair's content is shown on the span that
/// counts, when that has none.
fn standard_columns() -> String {
    const ATTRIBUTES: &str = "if(c.CountedSpanId = s.SpanId, mapUpdate(CAST(mapFilter((key, value) -> value != '', \
                              map('gen_ai.input.messages', c.InputMessages, 'gen_ai.output.messages', c.OutputMessages)), \
                              'Map(LowCardinality(String), String)'), s.AllAttributes), s.AllAttributes)";
    let column = |name| match name {
        "SpanAttributes" => format!("{ATTRIBUTES} AS SpanAttributes"),
        _ => format!("s.`{name}` AS `{name}`"),
    };
    let columns: Vec<String> = COLUMNS.iter().take(STANDARD_COLUMNS).map(|of| column(of.name)).collect();
    columns.join(",\n    ")
}

#[cfg(test)]
mod tests {
    use super::super::layout::Home;
    use super::*;
    use crate::clickhouse::config::Database;

    #[test]
    fn every_word_in_double_braces_is_filled_in() {
        for (name, select) in all(&Layout::plain(Database::default(), Home::Server)) {
            assert!(!select.contains("{{") && !select.contains("}}"), "{select}");
            assert_eq!(select.contains("{since:"), name.ends_with("_between"), "{name}");
        }
    }
}
