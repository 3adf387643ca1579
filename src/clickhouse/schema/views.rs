//! The views: what people ask first, each call counted once, whoever reported it and however often.
//!
//! ```text
//! genai_report_rows ─┬─ genai_calls                        genai_trace_rows ─┬─ genai_traces
//!                    ├─ genai_reports                                        └─ genai_sessions
//!                    ├─ genai_calls_with_content, otel_traces_with_content (and otel_traces)
//!                    └─ genai_usage_1h, genai_usage_by_{model,user,session,agent} (and the sums of settled days: sums.rs)
//! genai_annotations, genai_evaluator_results ─── genai_scores
//! ```
//!
//! They show of each row the latest version, and none that was deleted. Filters by time, workspace and trace reach the
//! tables through them. The twins `..._between(since = ..., until = ...)` are the same with a range of time.
//!
//! The SQL is in `views/`; words in `{{double braces}}` are filled in here.

use super::layout::Layout;
use super::rollups::{REPORT_ROWS, REPORTS, Rollup, TRACES};
use super::sums;
use crate::columns::{COLUMNS, STANDARD_COLUMNS};

/// What a view is made of.
struct Template {
    name: &'static str,
    /// The name of its twin for a range of time.
    twin: Option<&'static str>,
    /// SQL with words to be filled in.
    sql: &'static str,
    /// The kind and the column of sums, of a view that is made for several.
    key: (&'static str, &'static str),
}

impl Template {
    const fn new(name: &'static str, twin: Option<&'static str>, sql: &'static str) -> Self {
        Self { name, twin, sql, key: ("", "") }
    }

    const fn by_key(name: &'static str, twin: &'static str, key: (&'static str, &'static str)) -> Self {
        Self { name, twin: Some(twin), sql: include_str!("views/usage_by_key.sql"), key }
    }
}

const TEMPLATES: [Template; 11] = [
    Template::new("genai_calls", Some("genai_calls_between"), include_str!("views/calls.sql")),
    Template::new(
        "genai_calls_with_content",
        Some("genai_calls_with_content_between"),
        include_str!("views/calls_with_content.sql"),
    ),
    // what became of each report
    Template::new("genai_reports", None, include_str!("views/reports.sql")),
    Template::new("genai_traces", Some("genai_traces_between"), include_str!("views/traces.sql")),
    Template::new("genai_sessions", Some("genai_sessions_between"), include_str!("views/sessions.sql")),
    Template::new("genai_usage_1h", Some("genai_usage_1h_between"), include_str!("views/usage_1h.sql")),
    Template::new(
        "genai_usage_by_model",
        Some("genai_usage_by_model_between"),
        include_str!("views/usage_by_model.sql"),
    ),
    Template::by_key("genai_usage_by_user", "genai_usage_by_user_between", sums::USER),
    Template::by_key("genai_usage_by_session", "genai_usage_by_session_between", sums::SESSION),
    Template::by_key("genai_usage_by_agent", "genai_usage_by_agent_between", sums::AGENT),
    // the spans of a trace as readers of "all attributes" want them: Grafana's trace panel, for one
    Template::new("otel_traces_with_content", None, include_str!("views/with_content.sql")),
];

/// The messages of calls, to be joined.
const CONTENT: &str = include_str!("views/content.sql");

/// What only the writer of the rows needs.
const NOT_SHOWN: [&str; 4] = ["Checksum", "Digest", "Version", "IsDeleted"];
/// What says nothing of a row that is a call.
const NOT_OF_CALLS: [&str; 2] = ["CountedAs", "CountedIn"];

/// What a view reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    /// What began from `since` on and before `until`: parameters of the view.
    Between,
}

/// The conditions of a scope.
struct Conditions {
    in_range: &'static str,
    /// Reports of one call begin at most so far apart.
    near_range: &'static str,
    near_range_of_spans: &'static str,
    /// Of settled days, those that are in range from their first call to their last.
    settled: &'static str,
}

macro_rules! near_range {
    ($at:literal) => {
        concat!(
            " AND ",
            $at,
            " >= {since:DateTime64(9)} - INTERVAL 1 DAY AND ",
            $at,
            " < {until:DateTime64(9)} + INTERVAL 1 DAY"
        )
    };
}

const EVERYTHING: Conditions = Conditions { in_range: "", near_range: "", near_range_of_spans: "", settled: "" };
const BETWEEN: Conditions = Conditions {
    in_range: " AND r.Timestamp >= {since:DateTime64(9)} AND r.Timestamp < {until:DateTime64(9)}",
    near_range: near_range!("Timestamp"),
    near_range_of_spans: near_range!("t.Timestamp"),
    settled: " WHERE First >= {since:DateTime64(9)} AND Last < {until:DateTime64(9)}",
};

/// Name and SELECT of all views.
pub(super) fn all(layout: &Layout) -> impl Iterator<Item = (&'static str, String)> {
    let plain = TEMPLATES.iter().map(|view| (view.name, filled(view, layout, Scope::All)));
    let twins = TEMPLATES.iter().filter_map(|view| Some((view.twin?, filled(view, layout, Scope::Between))));
    plain.chain(twins)
}

/// The view of scores: its name and SELECT.
pub(super) fn scores(layout: &Layout) -> (&'static str, String) {
    let database = layout.database.to_string();
    ("genai_scores", fill(include_str!("views/scores.sql"), &[("{{database}}", database)]))
}

/// The view that the views of usage ask which days are settled.
pub(super) fn settled(layout: &Layout) -> String {
    let database = layout.database.to_string();
    let words = [
        ("{{parts}}", sums::PARTS.to_owned()),
        ("{{parts_of_calls}}", sums::parts_of(&database, REPORT_ROWS)),
        ("{{parts_of_hours}}", sums::parts_of(&database, sums::HOUR_ROWS)),
        ("{{parts_of_keys}}", sums::parts_of(&database, sums::KEY_ROWS)),
        ("{{database}}", database),
    ];
    fill(include_str!("views/usage_settled.sql"), &words)
}

fn fill(sql: &str, words: &[(&str, String)]) -> String {
    words.iter().fold(sql.trim_end().to_owned(), |sql, (word, text)| sql.replace(word, text))
}

/// The SQL without double braces: what stands for SQL with words in it goes first.
fn filled(view: &Template, layout: &Layout, scope: Scope) -> String {
    let conditions = match scope {
        Scope::All => &EVERYTHING,
        Scope::Between => &BETWEEN,
    };
    let (kind, key) = view.key;
    let settled = |sql: String| if sums::are_kept(layout) { sql } else { String::new() };
    let words = [
        ("{{with_settled}}", settled(format!("{}{}) AS settled\n", sums::WITH_SETTLED, conditions.settled))),
        ("{{settled_hours}}", settled(sums::settled_hours())),
        ("{{settled_models}}", settled(sums::settled_models())),
        ("{{settled_keys}}", settled(sums::settled_keys(kind))),
        ("{{not_settled}}", settled(" AND r._partition_id NOT IN (settled.1)".to_owned())),
        ("{{hours_of_calls}}", sums::hours_of_calls()),
        ("{{hour_key}}", sums::HOUR_KEY.to_owned()),
        ("{{sums_of_calls}}", sums::of_calls()),
        ("{{sums_of_calls_by_key}}", sums::of_calls_by_key()),
        ("{{sums_of_sums}}", sums::of_sums()),
        ("{{sums_of_sums_by_key}}", sums::of_sums_by_key()),
        ("{{key}}", key.to_owned()),
        ("{{content}}", CONTENT.trim_end().to_owned()),
        ("{{call_columns}}", columns(&REPORTS, &NOT_OF_CALLS)),
        ("{{report_columns}}", columns(&REPORTS, &[])),
        ("{{trace_columns}}", columns(&TRACES, &[])),
        ("{{standard_columns}}", standard_columns()),
        ("{{in_range}}", conditions.in_range.to_owned()),
        ("{{near_range}}", conditions.near_range.to_owned()),
        ("{{near_range_of_spans}}", conditions.near_range_of_spans.to_owned()),
        // on a cluster the inner questions are asked once, not by every shard
        ("{{global}}", if layout.cluster.is_some() { "GLOBAL " } else { "" }.to_owned()),
        ("{{database}}", layout.database.to_string()),
    ];
    fill(view.sql, &words)
}

/// The columns of a table that a view shows.
fn columns(rollup: &Rollup, but: &[&str]) -> String {
    let names = rollup.columns.iter().map(|column| column.name);
    let shown = names.filter(|name| !NOT_SHOWN.contains(name) && !but.contains(name));
    shown.map(|name| format!("r.{} AS {name}", rollup.source_of(name))).collect::<Vec<_>>().join(",\n    ")
}

/// The exporter's columns by their names, with all content among the attributes. The content of a call's other reports is
/// shown on the span that counts, when that has none.
fn standard_columns() -> String {
    const ATTRIBUTES: &str = "if(m.CallSpanId = s.SpanId, mapUpdate(CAST(mapFilter((key, value) -> value != '', \
                              map('gen_ai.input.messages', m.InputMessages, 'gen_ai.output.messages', m.OutputMessages)), \
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
