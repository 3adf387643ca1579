//! The paths of captured calls.
//!
//! ```text
//! POST /apis/intake/v2/workspaces/{workspace}/ingest/chat-completions   one call, or calls as lines
//! POST .../ingest/litellm, .../ingest/helicone                          records of other tools: one, many, or lines
//!
//! a single object              201 with the ids, or what is wrong with it
//! many in one body             batch.rs
//! lines, announced as such     ndjson.rs
//! ```
//!
//! Answers are the reference's: 201 with the ids, 422 with the path of each offending field, other errors as
//! `{"detail": "..."}`.
//!
//! Source: spec/ingest-chat-completions.openapi.yaml (NeMo Platform API).

use crate::access::routes::{Guard, Routes};
use crate::access::{Needs, Scope};
use crate::receivers::chat::receiver::ChatReceiver;
use crate::receivers::chat::response::CallError;
use crate::receivers::chat::vendor::{Record, Shape, Source};
use crate::receivers::chat::{batch, ndjson};
use crate::receivers::http::body::pass_over;
use crate::receivers::http::headers::can_wait;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Request;
use axum::response::Response;
use std::sync::Arc;

/// Helicone's own client appends `/{provider}/v1/log` to the endpoint it is given.
/// Source: `@helicone/helpers` 1.8.3, `HeliconeManualLogger.getLoggingEndpoint`.
const HELICONE_CLIENT_PATH: &str = "/apis/intake/v2/workspaces/{workspace}/ingest/helicone/{provider}/v1/log";

/// The paths of captured calls.
pub(crate) fn routes(receiver: Arc<ChatReceiver>, guard: &Guard) -> Routes {
    let needs = Needs::InWorkspace(Scope::Ingest);
    Routes::new(guard)
        .post("/apis/intake/v2/workspaces/{workspace}/ingest/chat-completions", needs, ingest_calls)
        .post("/apis/intake/v2/workspaces/{workspace}/ingest/litellm", needs, ingest_litellm)
        .post("/apis/intake/v2/workspaces/{workspace}/ingest/helicone", needs, ingest_helicone)
        .post(HELICONE_CLIENT_PATH, needs, ingest_helicone_client)
        .with_state(receiver)
}

async fn ingest_calls(
    State(receiver): State<Arc<ChatReceiver>>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    ingest(receiver, path.ok().map(|Path(workspace)| workspace), Shape::CapturedCall, request).await
}

async fn ingest_litellm(
    State(receiver): State<Arc<ChatReceiver>>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    ingest(receiver, path.ok().map(|Path(workspace)| workspace), Shape::LiteLlm, request).await
}

async fn ingest_helicone(
    State(receiver): State<Arc<ChatReceiver>>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    ingest(receiver, path.ok().map(|Path(workspace)| workspace), Shape::Helicone, request).await
}

async fn ingest_helicone_client(
    State(receiver): State<Arc<ChatReceiver>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request<Body>,
) -> Response {
    ingest(receiver, path.ok().map(|Path((workspace, _provider))| workspace), Shape::Helicone, request).await
}

async fn ingest(
    receiver: Arc<ChatReceiver>,
    workspace: Option<String>,
    shape: Shape,
    request: Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let (workspace, ack) = match receiver.admit(workspace, &head.headers) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            pass_over(body, &head.headers).await;
            return *refusal;
        }
    };
    if let Err(over) = receiver.ingest.quotas.admit(&workspace) {
        pass_over(body, &head.headers).await;
        return receiver.answer(Err(over.into())).await;
    }
    if can_wait(&head.headers)
        && let Err(why) = receiver.ingest.pipeline.admit_background()
    {
        pass_over(body, &head.headers).await;
        return CallError::from(why).answer();
    }
    let source = Arc::new(Source { shape, workspace, ack, headers: head.headers });
    let takes_lines = shape != Shape::CapturedCall || !receiver.options.strict_reference;
    if takes_lines && ndjson::is_announced(&source.headers) {
        return ndjson::answer(receiver, source, body).await;
    }
    let (bytes, reservation) = match receiver.bodies.read(body, &source.headers).await {
        Ok(read) => read,
        Err(error) => return receiver.answer(Err(error.into())).await,
    };
    if shape == Shape::CapturedCall {
        let queued = source.queue(&receiver, Record::Owned(bytes), None, reservation).await;
        return receiver.answer(queued).await;
    }
    batch::answer(&receiver, &source, bytes, reservation).await
}
