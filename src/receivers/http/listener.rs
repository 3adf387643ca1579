//! The HTTP listener on 4318: OTLP and chat-completions behind one port.

use super::body;
use crate::connections::Door;
use crate::otlp::Encoding;
use crate::pipeline::Ack;
use crate::receivers::Receivers;
use crate::receivers::chat::{single, vendor};
use crate::receivers::otlp;
use crate::receivers::otlp::answer::{Code, failure};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Helicone's own client appends `/{provider}/v1/log` to the endpoint it is given.
/// Source: `@helicone/helpers` 1.8.3, `HeliconeManualLogger.getLoggingEndpoint`.
const HELICONE_CLIENT_PATH: &str = "/apis/intake/v2/workspaces/{workspace}/ingest/helicone/{provider}/v1/log";

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Address and port.
    pub listen: SocketAddr,
    /// What an answer waits for: `durable`, `stored` or `memory`.
    pub ack: Ack,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 4318)), ack: Ack::default() }
    }
}

/// Serves until the shutdown, then answers what is in flight.
pub async fn serve(listener: TcpListener, door: Door, receivers: Arc<Receivers>, shutdown: CancellationToken) {
    door.serve(listener, router(receivers), shutdown).await;
}

fn router(receivers: Arc<Receivers>) -> Router {
    Router::new()
        .route("/v1/traces", post(otlp::http::traces))
        .route("/v1/metrics", post(not_ours))
        .route("/v1/logs", post(not_ours))
        .route("/apis/intake/v2/workspaces/{workspace}/ingest/chat-completions", post(single::ingest))
        .route("/apis/intake/v2/workspaces/{workspace}/ingest/litellm", post(vendor::ingest_litellm))
        .route("/apis/intake/v2/workspaces/{workspace}/ingest/helicone", post(vendor::ingest_helicone))
        .route(HELICONE_CLIENT_PATH, post(vendor::ingest_helicone_client))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(receivers)
}

async fn not_ours(request: Request) -> Response {
    let message = "Millrace takes traces only; send them to /v1/traces";
    refuse(request, StatusCode::NOT_FOUND, Code::Unimplemented, message).await
}

async fn nothing_here(request: Request) -> Response {
    let message = "nothing here; traces go to POST /v1/traces, chat-completions to \
                   POST /apis/intake/v2/workspaces/{workspace}/ingest/chat-completions";
    refuse(request, StatusCode::NOT_FOUND, Code::NotFound, message).await
}

async fn wrong_method(request: Request) -> Response {
    refuse(request, StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "this path takes POST").await
}

/// Refuses in the words of the path's own protocol.
async fn refuse(request: Request, status: StatusCode, code: Code, message: &str) -> Response {
    let is_chat = request.uri().path().starts_with("/apis/");
    let (head, body) = request.into_parts();
    body::pass_over(body, &head.headers).await;
    if is_chat {
        return single::respond(status, serde_json::json!({"detail": message}).to_string());
    }
    failure(status, code, message, otlp::http::encoding(&head.headers).unwrap_or(Encoding::Json))
}
