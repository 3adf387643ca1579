//! `GET .../traces/facts?ids=A,B`: what the page's list shows of traces beside what `/traces` answers.

use super::answer;
use crate::clickhouse::Statement;
use crate::query::answer::Refusal;
use crate::query::parameters::Parameters;
use crate::query::request::{Api, workspace};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use std::sync::Arc;

/// Traces of one question.
const IDS_MAX: usize = 200;

pub(super) async fn facts(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let parameters = Parameters::parse(query.as_deref())?;
    parameters.refuse_others(&["ids"])?;
    let ids: Vec<String> = parameters.get("ids").unwrap_or_default().split(',').map(str::to_owned).collect();
    if ids.len() > IDS_MAX {
        return Err(Refusal::bad_request(&format!("more than {IDS_MAX} ids")));
    }
    let [traces, calls] = ["genai_traces", "genai_calls"].map(|table| api.reads.client().full_name(table));
    let mut statement = Statement::new(&format!(
        "SELECT t.TraceId AS trace_id, t.RootService AS service, t.Models AS models, t.Agents AS agents, t.UserId AS user, \
         t.SessionId AS session, t.Calls AS calls, t.InputTokens AS input_tokens, t.OutputTokens AS output_tokens, \
         t.CacheReadTokens AS cached_tokens, t.InputPreview AS input, t.OutputPreview AS output, c.ttft AS ttft, c.unpriced AS unpriced, \
         c.computed AS computed FROM {traces} AS t LEFT JOIN (SELECT TraceId, min(TimeToFirstToken) AS ttft, \
         countIf(CostTotal IS NULL) AS unpriced, countIf(CostSource = 'computed') AS computed FROM {calls} WHERE Workspace = "
    ));
    statement.bind(workspace.as_str()).push(" AND TraceId IN ").bind(ids.clone());
    statement.push(" GROUP BY TraceId) AS c ON c.TraceId = t.TraceId WHERE t.Workspace = ").bind(workspace.as_str());
    statement.push(" AND t.TraceId IN ").bind(ids);
    answer(&api, &statement).await
}
