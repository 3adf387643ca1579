//! `GET .../traces/{trace_id}/spans/{span_id}`: a span with all of its columns, by the names that they have in `otel_traces`.

use super::answer;
use crate::clickhouse::Statement;
use crate::query::answer::Refusal;
use crate::query::conditions::trace_id;
use crate::query::expressions::STATUS;
use crate::query::request::{Api, workspace};
use crate::query::traces;
use axum::extract::{Path, State};
use axum::response::Response;
use std::sync::Arc;

/// Bytes of each text of content; a longer one is cut, and `Sizes` says how long it is.
const CONTENT_BYTES: u64 = 2 << 20;
const CONTENT: [&str; 6] =
    ["InputMessages", "OutputMessages", "SystemPrompt", "ToolDefinitions", "RawRequest", "RawResponse"];
const COLUMNS: &str = "TraceId, SpanId, ParentSpanId, toUnixTimestamp64Nano(Timestamp) AS started_ns, SpanName, SpanKind, ServiceName, ScopeName, \
     ScopeVersion, Duration, TimingQuality, StatusCode, StatusMessage, TraceState, SessionId, ConversationId, UserId, Operation, \
     Provider, RequestModel, ResponseModel, ResponseId, FinishReasons, Streaming, RequestParameters, InputTokens, OutputTokens, \
     TotalTokens, CacheReadTokens, CacheWriteTokens, CacheWrite1hTokens, ReasoningTokens, InputAudioTokens, OutputAudioTokens, \
     toFloat64(CostTotal) AS CostTotal, toFloat64(CostInput) AS CostInput, toFloat64(CostOutput) AS CostOutput, CostSource, PriceId, \
     PriceBook, ServiceTier, TimeToFirstToken, ToolName, ToolCallId, AgentName, WorkflowName, ErrorType, ErrorMessage, JoinState, \
     ResourceAttributes, SpanAttributes, ContentAttributes, \
     arrayMap((at, name, attributes) -> map('at', toString(toUnixTimestamp64Nano(at)), 'name', name, 'attributes', toJSONString(attributes)), \
     Events.Timestamp, Events.Name, Events.Attributes) AS events, \
     arrayMap((trace, span, attributes) -> map('trace_id', trace, 'span_id', span, 'attributes', toJSONString(attributes)), \
     Links.TraceId, Links.SpanId, Links.Attributes) AS links";

pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path((name, trace, span)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let mut statement = Statement::new(&format!("SELECT {COLUMNS}, {STATUS} AS status"));
    for column in CONTENT {
        statement.push(&format!(", substringUTF8({column}, 1, ")).bind(CONTENT_BYTES).push(&format!(") AS {column}"));
    }
    let lengths: Vec<String> = CONTENT.iter().map(|column| format!("'{column}', length(t.{column})")).collect();
    let table = api.reads.client().full_name("otel_traces");
    let ids = [trace_id(&trace)];
    let range = traces::range(&api, &ids).await?;
    statement.push(&format!(", map({}) AS Sizes FROM {table} AS t", lengths.join(", ")));
    traces::push_where(&mut statement, &workspace, &ids, range.as_ref());
    statement.push(" AND SpanId = ").bind(span.as_str()).push(" ORDER BY Duration DESC LIMIT 1");
    answer(&api, &statement).await
}
