//! The statements of a conversation: what spans are, what calls say as hashes, and the texts of what is new.

use super::super::row::{Range, SPANS_MAX};
use super::super::statements::{push_where, spans};
use crate::clickhouse::Statement;
use crate::query::conditions;
use crate::query::expressions::{INPUT, MODEL, NAME, OUTPUT, STATUS};
use crate::query::request::Api;
use crate::query::sessions::Times;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;

/// Calls of one conversation.
pub(super) const CALLS_MAX: u64 = 20_000;

/// Traces of one session.
pub(super) const TRACES_MAX: u64 = 500;

/// What a span is known by here: its trace and its own id.
pub(super) const KEY: &str = "concat(TraceId, SpanId)";

/// Both ids of a key.
pub(in super::super) fn ids_of(key: &str) -> (&str, &str) {
    key.split_at_checked(32).unwrap_or(("", key))
}

/// Which spans are calls of a model.
const IS_CALL: &str = "Operation IN ('chat', 'text_completion', 'generate_content')";

/// What a message says, as a number: the same for the same message in whatever call. Reasoning is left out, since it is not sent back;
/// of a tool call with an id the id is enough, since its arguments are spelt in several ways.
fn hashes(column: &str) -> String {
    format!(
        "arrayMap(message -> sipHash64(JSONExtractString(message, 'role'), arrayStringConcat(arrayMap(part -> multiIf(\
         JSONExtractString(part, 'type') = 'reasoning', '', \
         JSONExtractString(part, 'type') = 'text', concat('text ', trimBoth(JSONExtractString(part, 'content'))), \
         JSONExtractString(part, 'type') = 'tool_call' AND JSONExtractString(part, 'id') != '', concat('call ', JSONExtractString(part, 'id')), \
         part), JSONExtractArrayRaw(message, 'parts')))), JSONExtractArrayRaw({column}))"
    )
}

/// A trace of a session.
#[derive(Debug, Row, Deserialize)]
pub(super) struct OfSession {
    pub(super) trace_id: String,
}

/// The traces of a session, the earliest first.
pub(super) fn of_session(api: &Api, workspace: &Workspace, session: &str, times: &Times) -> Statement {
    let mut statement = Statement::new(&format!("SELECT TraceId AS trace_id FROM {} WHERE Workspace = ", spans(api)));
    statement.bind(workspace.as_str());
    times.push(&mut statement);
    conditions::push_session(statement.push(" AND "), session);
    statement.push(" GROUP BY TraceId ORDER BY min(Timestamp), TraceId LIMIT ").bind(TRACES_MAX);
    statement
}

/// A span, as far as it tells whose calls and tools there are.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Light {
    pub(super) span_id: String,
    pub(super) parent_span_id: String,
    pub(super) operation: String,
    pub(super) name: String,
    pub(super) agent_name: String,
    pub(super) tool_name: String,
    pub(super) tool_call_id: String,
    pub(super) started: i64,
    pub(super) duration: u64,
    pub(super) timing: String,
    pub(super) status: String,
    pub(super) model: String,
    pub(super) provider: String,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) cost: Option<f64>,
}

/// All spans of a trace, by time.
pub(super) fn light(api: &Api, workspace: &Workspace, ids: &[String], range: Option<&Range>) -> Statement {
    let mut statement = Statement::new(&format!(
        "SELECT {KEY} AS span_id, concat(TraceId, ParentSpanId) AS parent_span_id, Operation AS operation, {NAME} AS name, AgentName AS agent_name, \
         ToolName AS tool_name, ToolCallId AS tool_call_id, toUnixTimestamp64Nano(Timestamp) AS started, Duration AS duration, \
         TimingQuality AS timing, {STATUS} AS status, {MODEL} AS model, Provider AS provider, InputTokens AS input_tokens, \
         OutputTokens AS output_tokens, toFloat64(CostTotal) AS cost FROM {}",
        spans(api)
    ));
    push_where(&mut statement, workspace, ids, range);
    statement.push(" ORDER BY Timestamp, SpanId LIMIT ").bind(SPANS_MAX);
    statement
}

/// What a call says.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Hashed {
    pub(super) span_id: String,
    pub(super) input: Vec<u64>,
    pub(super) output: Vec<u64>,
    /// How many messages of the system the input begins with.
    pub(super) of_system: u64,
    /// The system prompt; 0 if there is none.
    pub(super) system: u64,
    pub(super) left_out: u64,
}

/// The calls of a trace, by time.
pub(super) fn hashed(api: &Api, workspace: &Workspace, ids: &[String], range: Option<&Range>) -> Statement {
    let mut statement = Statement::new(&format!(
        "SELECT span_id, input, output, of_system, system, left_out FROM (SELECT {KEY} AS span_id, {} AS input, {} AS output, \
         toUInt64(arrayFirstIndex(message -> JSONExtractString(message, 'role') NOT IN ('system', 'developer'), \
         JSONExtractArrayRaw(InputMessages))) AS first_other, \
         if(first_other = 0, toUInt64(length(input)), toUInt64(first_other - 1)) AS of_system, \
         if(SystemPrompt = '', toUInt64(0), sipHash64(SystemPrompt)) AS system, \
         toUInt64OrZero(SpanAttributes['millrace.history.left_out']) AS left_out, Timestamp, SpanId FROM {}",
        hashes("InputMessages"),
        hashes("OutputMessages"),
        spans(api)
    ));
    push_where(&mut statement, workspace, ids, range);
    statement.push(&format!(" AND {IS_CALL} AND (InputMessages != '' OR OutputMessages != '')"));
    statement.push(" ORDER BY Timestamp, SpanId LIMIT ").bind(CALLS_MAX).push(") ORDER BY Timestamp, SpanId");
    statement
}

/// The texts of what is new in a call.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Texts {
    pub(super) span_id: String,
    /// The messages sent, from the first new one on.
    pub(super) input: Vec<String>,
    pub(super) output: Vec<String>,
    pub(super) system: String,
}

/// What of a call is to be read: its span, the first message of its input that is, and whether its system prompt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) span_id: String,
    pub(super) from: usize,
    pub(super) system: bool,
}

/// Those of these calls.
pub(super) fn texts(
    api: &Api,
    workspace: &Workspace,
    (ids, range): (&[String], Option<&Range>),
    wanted: &[Wanted],
) -> Statement {
    let texts = |of: &dyn Fn(&Wanted) -> String| wanted.iter().map(of).collect::<Vec<String>>();
    let mut statement = Statement::new("");
    let calls = statement.place(texts(&|wanted| wanted.span_id.clone()));
    let from = statement.place(texts(&|wanted| wanted.from.to_string()));
    let systems: Vec<String> =
        wanted.iter().filter(|wanted| wanted.system).map(|wanted| wanted.span_id.clone()).collect();
    let systems = statement.place(systems);
    statement.push(&format!(
        "SELECT {KEY} AS span_id, \
         arraySlice(JSONExtractArrayRaw(InputMessages), 1 + transform({KEY}, {calls}, arrayMap(n -> toUInt32(n), {from}), toUInt32(0))) AS input, \
         JSONExtractArrayRaw(OutputMessages) AS output, if({KEY} IN {systems}, SystemPrompt, '') AS system FROM {}",
        spans(api)
    ));
    push_where(&mut statement, workspace, ids, range);
    statement.push(&format!(" AND {IS_CALL} AND {KEY} IN {calls}"));
    statement
}

/// What a tool got and gave.
#[derive(Debug, Row, Deserialize)]
pub(super) struct ToolTexts {
    pub(super) span_id: String,
    pub(super) input: String,
    pub(super) output: String,
}

/// Those of these tools.
pub(super) fn tools(
    api: &Api,
    workspace: &Workspace,
    (ids, range): (&[String], Option<&Range>),
    tools: Vec<String>,
) -> Statement {
    let mut statement =
        Statement::new(&format!("SELECT {KEY} AS span_id, {INPUT} AS input, {OUTPUT} AS output FROM {}", spans(api)));
    push_where(&mut statement, workspace, ids, range);
    statement.push(&format!(" AND {KEY} IN ")).bind(tools);
    statement
}

/// Which spans report a call that another span is.
#[derive(Debug, Row, Deserialize)]
pub(in super::super) struct Report {
    pub(in super::super) span_id: String,
    pub(in super::super) counted_in: String,
}

/// Those of these traces.
pub(in super::super) fn reports(api: &Api, workspace: &Workspace, ids: &[String], range: Option<&Range>) -> Statement {
    let table = api.reads.client().full_name("genai_reports");
    let mut statement =
        Statement::new(&format!("SELECT {KEY} AS span_id, concat(TraceId, CountedIn) AS counted_in FROM {table}"));
    push_where(&mut statement, workspace, ids, range);
    statement.push(" AND CountedAs = 'report' LIMIT ").bind(SPANS_MAX);
    statement
}
