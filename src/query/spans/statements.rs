//! The statements of spans.

use super::List;
use super::fields::place;
use super::row::Key;
use crate::clickhouse::Statement;
use crate::ids::SpanId;
use crate::query::conditions;
use crate::query::cursor::PageStart;
use crate::query::expressions::{
    EVALUATION, INPUT, MODEL, NAME, OUTPUT, PROJECT, SESSION, SOURCE, STARTED, STATUS, TEST_CASE,
};
use crate::query::listing::Listing;
use crate::query::mode::Mode;
use crate::query::q::{self, Level};
use crate::query::request::Api;
use crate::time::UnixNanos;
use crate::workspace::Workspace;

/// The table of spans, with its database.
pub(super) struct Table(String);

impl Table {
    pub(super) fn of(api: &Api) -> Self {
        Self(api.reads.client().full_name("otel_traces"))
    }
}

/// The ids of a page. Ordered by the time alone ClickHouse passes over granules that are too old (the index `idx_timestamp`); by
/// the hour first, as in the table's key, it reads three times as much.
pub(super) fn page(list: &List<'_>, listing: &Listing, asked: &PageStart) -> Statement {
    let mut statement = Statement::new(&format!("SELECT TraceId AS trace_id, SpanId AS span_id, {STARTED} AS started"));
    push_from(&mut statement, list);
    listing.push_page(&mut statement, asked, "Timestamp", &super::KEYS);
    statement
}

/// How many there are.
pub(super) fn count(list: &List<'_>) -> Statement {
    let mut statement = Statement::new("SELECT count() AS total");
    push_from(&mut statement, list);
    statement
}

pub(super) fn push_from(statement: &mut Statement, list: &List<'_>) {
    let Table(table) = Table::of(list.api);
    statement.push(&format!(" FROM {table} WHERE Workspace = ")).bind(list.workspace.as_str()).push(" AND ");
    conditions::push(statement, list.condition, place);
    if let Some(search) = list.search {
        statement.push(" AND ");
        q::push(statement, search.root(), &list.api.scope(Level::Span, list.workspace, list.condition, search));
    }
}

/// Where a span is looked for by its id.
#[derive(Debug, Clone, Copy)]
pub(super) enum Within<'a> {
    /// In one trace, which has an index.
    Trace(&'a str),
    /// Among spans that began in that time.
    Times {
        /// From then on.
        since: Option<UnixNanos>,
        /// Before.
        until: Option<UnixNanos>,
    },
}

/// The newest row with this id, if there is one. Nothing but the column of ids is read to find it.
pub(super) fn find(Table(table): &Table, workspace: &Workspace, span: SpanId, within: Within<'_>) -> Statement {
    let mut statement = Statement::new(&format!(
        "SELECT TraceId AS trace_id, SpanId AS span_id, {STARTED} AS started FROM {table} WHERE SpanId = "
    ));
    statement.bind(span.to_string()).push(" AND Workspace = ").bind(workspace.as_str());
    match within {
        Within::Trace(trace) => drop(statement.push(" AND TraceId = ").bind(trace)),
        Within::Times { since, until } => {
            for (bound, compared) in [(since, ">="), (until, "<")] {
                if let Some(at) = bound {
                    statement.push(&format!(" AND Timestamp {compared} ")).bind(at);
                }
            }
        }
    }
    statement.push(" ORDER BY Timestamp DESC, TraceId LIMIT 1");
    statement
}

/// The rows of these ids, within their times.
pub(super) fn rows(Table(table): &Table, workspace: &Workspace, keys: &[Key], mode: Mode) -> Statement {
    let mut statement = Statement::new(&format!("SELECT {} FROM {table} WHERE Workspace = ", columns(mode)));
    statement.bind(workspace.as_str());
    let texts = |of: fn(&Key) -> &String| {
        let mut texts: Vec<String> = keys.iter().map(|key| of(key).clone()).collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    };
    let times = || keys.iter().filter_map(|key| UnixNanos::from_i64(key.started));
    if let (Some(first), Some(last)) = (times().min(), times().max()) {
        statement.push(" AND Timestamp >= ").bind(first).push(" AND Timestamp <= ").bind(last);
    }
    statement.push(" AND TraceId IN ").bind(texts(|key| &key.trace_id));
    statement.push(" AND SpanId IN ").bind(texts(|key| &key.span_id));
    statement
}

/// The columns of a row.
fn columns(mode: Mode) -> String {
    let attributes = |column: &str| match mode {
        Mode::Detailed => format!("CAST({column}, 'Map(String, String)')"),
        Mode::Summary | Mode::Preview => "CAST(map(), 'Map(String, String)')".to_owned(),
    };
    let text = |expression: &str| match mode {
        Mode::Detailed => expression.to_owned(),
        Mode::Summary | Mode::Preview => "''".to_owned(),
    };
    let columns = [
        ("TraceId".to_owned(), "trace_id"),
        ("SpanId".to_owned(), "span_id"),
        (STARTED.to_owned(), "started"),
        ("ParentSpanId".to_owned(), "parent_span_id"),
        (SESSION.to_owned(), "session_id"),
        (NAME.to_owned(), "name"),
        ("Operation".to_owned(), "operation"),
        (STATUS.to_owned(), "status"),
        (SOURCE.to_owned(), "source"),
        ("Duration".to_owned(), "duration"),
        ("TimingQuality".to_owned(), "timing"),
        ("toString(SegmentId)".to_owned(), "segment"),
        ("Provider".to_owned(), "provider"),
        (MODEL.to_owned(), "model"),
        ("SpanAttributes['prompt.id']".to_owned(), "prompt_id"),
        ("SpanAttributes['gen_ai.agent.id']".to_owned(), "agent_id"),
        ("AgentName".to_owned(), "agent_name"),
        ("ToolName".to_owned(), "tool_name"),
        (PROJECT.to_owned(), "project"),
        (EVALUATION.to_owned(), "evaluation_id"),
        (TEST_CASE.to_owned(), "test_case_id"),
        ("SpanAttributes['nemo.evaluation.sha']".to_owned(), "evaluation_sha"),
        ("SpanAttributes['nemo.evaluation.run_id']".to_owned(), "evaluation_run_id"),
        ("InputTokens".to_owned(), "input_tokens"),
        ("OutputTokens".to_owned(), "output_tokens"),
        ("CacheReadTokens".to_owned(), "cached_tokens"),
        ("TotalTokens".to_owned(), "total_tokens"),
        ("CacheWriteTokens".to_owned(), "cache_write"),
        ("ReasoningTokens".to_owned(), "reasoning"),
        ("InputAudioTokens".to_owned(), "input_audio"),
        ("OutputAudioTokens".to_owned(), "output_audio"),
        ("toFloat64(CostTotal)".to_owned(), "cost_total"),
        ("toFloat64(CostInput)".to_owned(), "cost_input"),
        ("toFloat64(CostOutput)".to_owned(), "cost_output"),
        ("ErrorType".to_owned(), "error_type"),
        ("if(ErrorMessage = '', StatusMessage, ErrorMessage)".to_owned(), "error_message"),
        (mode.content(INPUT), "input"),
        (mode.content(OUTPUT), "output"),
        (attributes("SpanAttributes"), "attributes"),
        (attributes("ResourceAttributes"), "resource"),
        (text("ScopeName"), "scope_name"),
        (text("ScopeVersion"), "scope_version"),
        (text("if(empty(Events.Name), '', toJSONString(arrayZip(Events.Name, Events.Attributes)))"), "events"),
    ];
    columns.map(|(expression, name)| format!("{expression} AS {name}")).join(", ")
}
