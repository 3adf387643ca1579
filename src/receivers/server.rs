//! The HTTP listener on 4318: OTLP and captured calls on one port.

use super::chat;
use super::chat::receiver::ChatReceiver;
use super::chat::response::error_detail;
use super::documents::{self, DocumentReceiver};
use super::http::body::pass_over;
use super::otlp;
use super::otlp::answer::{Code, denial, failure};
use super::otlp::receiver::OtlpReceiver;
use super::scores::{self, ScoresReceiver};
use crate::access::routes::{Guard, Routes};
use crate::access::{Denied, Gate};
use crate::query::{self, Api};
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn;
use axum::response::Response;
use std::sync::Arc;
use tower::ServiceExt as _;

/// The routes of the listener.
#[must_use]
pub fn routes(
    gate: Gate,
    otlp: Arc<OtlpReceiver>,
    chat: Arc<ChatReceiver>,
    documents: Arc<DocumentReceiver>,
    scores: Arc<ScoresReceiver>,
    api: Api,
) -> Routes {
    let guard = Guard::new(gate, |request, denied| Box::pin(refuse_sender(request, denied)));
    Routes::new(&guard)
        .merge(otlp::http::routes(Arc::clone(&otlp), &guard))
        .merge(otlp::intake::routes(otlp, &guard))
        .merge(chat::routes::routes(chat, &guard))
        .merge(documents::routes(documents, &guard))
        .merge(scores::routes(scores, &guard))
        .merge(query::routes(api, &guard))
}

/// What the listener answers with.
pub fn router(routes: Routes) -> Router {
    let routes = routes.into_router().method_not_allowed_fallback(wrong_method).layer(from_fn(query::shown::layer));
    let plain = routes.clone().fallback(not_found);
    routes.fallback(move |request: Request| plain.clone().oneshot(with_plain_path(request)))
}

/// A path that was put together from two has a slash too many: `//v1/traces`, `/v1/traces/`.
fn with_plain_path(mut request: Request) -> Request {
    let uri = request.uri();
    let mut path: String = uri.path().split('/').filter(|name| !name.is_empty()).flat_map(|name| ["/", name]).collect();
    if path.is_empty() {
        path.push('/');
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    if let Ok(plain) = Uri::from_parts(parts) {
        *request.uri_mut() = plain;
    }
    request
}

async fn not_found(request: Request) -> Response {
    let message = if is_of_api(&request) {
        "Not Found"
    } else {
        "not found; traces go to POST /v1/traces, chat-completions to \
         POST /apis/intake/v2/workspaces/{workspace}/ingest/chat-completions"
    };
    refuse(request, StatusCode::NOT_FOUND, Code::NotFound, message).await
}

async fn wrong_method(request: Request) -> Response {
    let message = if is_of_api(&request) { "Method Not Allowed" } else { "method not allowed, use POST" };
    refuse(request, StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, message).await
}

/// Whether the reference has the path too, and so the words of the answer.
fn is_of_api(request: &Request) -> bool {
    request.uri().path().starts_with("/apis/intake/")
}

/// Answers who may not ask, in the form of the protocol that the path belongs to.
async fn refuse_sender(request: Request, denied: Denied) -> Response {
    let is_otlp = request.uri().path().starts_with("/v1/");
    let (head, body) = request.into_parts();
    pass_over(body, &head.headers).await;
    if is_otlp {
        return denial(denied, otlp::http::encoding_of_answer(&head.headers));
    }
    let status = if denied.is_unauthenticated() { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
    error_detail(status, &denied.to_string())
}

/// Answers in the form of the protocol that the path belongs to.
async fn refuse(request: Request, status: StatusCode, code: Code, message: &str) -> Response {
    let is_chat = request.uri().path().starts_with("/apis/");
    let (head, body) = request.into_parts();
    pass_over(body, &head.headers).await;
    if is_chat {
        return error_detail(status, message);
    }
    failure(status, code, message, otlp::http::encoding_of_answer(&head.headers))
}
