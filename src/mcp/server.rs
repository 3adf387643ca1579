//! The handler of the protocol: which tools there are, and what a call of one answers.

use super::tools::{ApiRequest, TOOLS, ToolOf};
use crate::workspace::Workspace;
use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, header};
use http_body_util::BodyExt as _;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Map, Value};
use std::sync::Arc;
use tower::ServiceExt as _;

/// Largest answer of a tool: what an agent can still read.
const ANSWER_BYTES_MAX: usize = 512 << 10;

const INSTRUCTIONS: &str = "Traces of LLM applications and coding agents: what was called, how long it took, what it cost. \
     Begin with search_traces (for example q='has:error' or q='cost:>0.1 started:>-1h'), look into one with get_trace, read it with get_conversation. \
     usage compares models, users or agents over time; explain_cost says where the cost of a trace is from; \
     query_sql answers what the others do not (tables otel_traces, genai_calls, genai_traces, genai_sessions, genai_scores).";

/// Where a caller asks, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) workspace: Workspace,
    pub(super) authorization: Option<HeaderValue>,
}

/// Answers requests. Clones share the API.
#[derive(Debug, Clone)]
pub(super) struct Server {
    api: Router,
}

impl Server {
    pub(super) fn new(api: Router) -> Self {
        Self { api }
    }

    /// Asks the API as the caller.
    async fn ask(&self, asked: &ApiRequest, authorization: Option<HeaderValue>) -> Result<String, String> {
        let body = asked.body.as_ref().map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = Request::builder().method(asked.method.clone()).uri(&asked.uri);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|error| format!("the question cannot be asked: {error}"))?;
        let Ok(response) = self.api.clone().oneshot(request).await;
        let status = response.status();
        let bytes =
            response.into_body().collect().await.map_err(|error| format!("no whole answer: {error}"))?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if !status.is_success() {
            let read: Option<Value> = serde_json::from_str(&text).ok();
            let detail = read.as_ref().and_then(|answer| answer.get("detail"));
            let why =
                detail.map_or(text.clone(), |detail| detail.as_str().map_or_else(|| detail.to_string(), str::to_owned));
            return Err(format!("{}: {why}", status.as_u16()));
        }
        if text.len() > ANSWER_BYTES_MAX {
            return Err(format!(
                "the answer has {} bytes, more than {ANSWER_BYTES_MAX}; ask for less. {}",
                text.len(),
                asked.narrower
            ));
        }
        Ok(text)
    }
}

fn tool(of: &ToolOf) -> Tool {
    let schema = match (of.schema)() {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    let annotations = ToolAnnotations::new().read_only(true);
    Tool::new(of.name, of.about, Arc::new(schema)).with_annotations(annotations)
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("millrace", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult { tools: TOOLS.iter().map(tool).collect(), ..ListToolsResult::default() })
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let of = TOOLS.iter().find(|of| of.name == request.name);
        let of = of.ok_or_else(|| ErrorData::invalid_params(format!("there is no tool '{}'", request.name), None))?;
        let place = context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Place>()).cloned();
        let place = place.ok_or_else(|| ErrorData::internal_error("the request has no place", None))?;
        let arguments = request.arguments.unwrap_or_default();
        let answer = match of.ask(&place.workspace, &arguments) {
            Ok(asked) => tokio::select! {
                answer = self.ask(&asked, place.authorization) => answer,
                () = context.ct.cancelled() => return Err(ErrorData::internal_error("the client is gone", None)),
            },
            Err(why) => Err(why),
        };
        // what a tool cannot do is told to the agent, which can then do better
        let result = match answer {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(why) => CallToolResult::error(vec![ContentBlock::text(why)]),
        };
        Ok(result.into())
    }
}
