//! `POST /mcp`: the read API as tools of the Model Context Protocol, for coding agents.
//!
//! ```text
//! tools/call --tools.rs--> a request of the read API, with the caller's own Authorization --> answer --> text of the result
//! ```
//!
//! A tool asks what anybody may ask over HTTP, through the same gate and within the same bounds; there is no other way to the data. Nothing is
//! kept between two requests. Source: the Model Context Protocol, "Transports", Streamable HTTP.

mod server;
mod tools;

use crate::access::routes::{Guard, Routes};
use crate::access::{Gate, Needs, Scope};
use crate::connections::Asking;
use crate::receivers::http::headers::{Unfit, workspace};
use crate::workspace::Workspace;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Map, Value, json};
use server::{Place, Server};
use std::fmt;
use std::sync::Arc;

/// Largest request.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// What answers `/mcp`. Clones share it.
#[derive(Clone)]
struct Mcp {
    service: StreamableHttpService<Server, NeverSessionManager>,
    gate: Gate,
}

impl fmt::Debug for Mcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mcp").field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// The route. `api` answers what the tools ask.
#[must_use]
pub fn routes(gate: &Gate, guard: &Guard, api: Router) -> Routes {
    // who may ask from where is decided before, for every route of the listener
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(REQUEST_BYTES_MAX);
    let server = Server::new(api);
    let service =
        StreamableHttpService::new(move || Ok(server.clone()), Arc::new(NeverSessionManager::default()), config);
    let mcp = Mcp { service, gate: gate.clone() };
    Routes::new(guard).post("/mcp", Needs::Own(Scope::Read), answer).with_state(mcp)
}

/// The request of the read API that a call of a tool is, by its URI and its body: without a service. Nothing if there is no such tool.
///
/// # Errors
/// What is wrong with the arguments.
#[must_use]
pub fn asked_of_tool(
    name: &str,
    workspace: &Workspace,
    arguments: &Map<String, Value>,
) -> Option<Result<(String, Option<Value>), String>> {
    let tool = tools::TOOLS.iter().find(|tool| tool.name == name)?;
    Some(tool.ask(workspace, arguments).map(|asked| (asked.uri, asked.body)))
}

/// Tools only ask, so what they do is given up when the client is gone: this future is dropped then, and the tool cancelled with it.
async fn answer(State(mcp): State<Mcp>, asking: Option<Extension<Asking>>, request: Request) -> Response {
    let _given_up_with_its_client = asking.map(|Extension(asking)| asking.question());
    let (mut parts, body) = request.into_parts();
    let found = match mcp.gate.principal_of(&parts.extensions) {
        Ok(principal) => workspace(&parts.headers, &principal),
        Err(denied) => Err(Unfit::Denied(denied)),
    };
    let workspace = match found {
        Ok(workspace) => workspace.unwrap_or_default(),
        Err(unfit) => return refusal(&unfit),
    };
    let authorization = parts.headers.get(header::AUTHORIZATION).cloned();
    parts.extensions.insert(Place { workspace, authorization });
    mcp.service.handle(Request::from_parts(parts, body)).await.map(Body::new).into_response()
}

fn refusal(unfit: &Unfit) -> Response {
    let status = match unfit {
        Unfit::Invalid(_) => StatusCode::BAD_REQUEST,
        Unfit::Denied(denied) if denied.is_unauthenticated() => StatusCode::UNAUTHORIZED,
        Unfit::Denied(_) => StatusCode::FORBIDDEN,
    };
    (status, axum::Json(json!({"detail": unfit.to_string()}))).into_response()
}
