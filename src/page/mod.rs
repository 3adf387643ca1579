//! The page: what a browser shows of the read API. It is built from `page/`, is part of the binary, and has a listener of its own.
//!
//! ```text
//! GET /assets/NAME           a file of the page, kept by the browser for good: its name has its hash
//! GET /apis/... /api/v1/...  the read API, and what only the page asks
//! GET anything else          index.html; the view is in the path, and nothing here reads that
//! ```

mod assets;
mod config;
mod headers;

pub use config::Config;

use crate::access::routes::{Guard, Routes};
use crate::access::{Denied, Gate, Needs};
use crate::query;
use axum::Json;
use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

/// Refuses in the form of the read API.
#[must_use]
pub fn guard(gate: Gate) -> Guard {
    Guard::new(gate, |_request: Request, denied: Denied| {
        let status = if denied.is_unauthenticated() { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
        Box::pin(std::future::ready(refusal(status, &denied.to_string())))
    })
}

/// The page itself, which shows nothing of anybody; what it asks for needs a token where there are tokens.
#[must_use]
pub fn routes(guard: &Guard) -> Routes {
    Routes::new(guard).get("/", Needs::Nothing, index).get("/assets/{name}", Needs::Nothing, asset)
}

/// What the listener answers with.
pub fn router(routes: Routes) -> Router {
    routes.into_router().layer(from_fn(query::shown::layer)).fallback(view).layer(from_fn(headers::add))
}

async fn index() -> Response {
    assets::index()
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::file(&name, &headers).unwrap_or_else(|| refusal(StatusCode::NOT_FOUND, "the page has no such file"))
}

/// Every path of a view is the same document.
async fn view(request: Request) -> Response {
    let is_of_api = ["/api/", "/apis/", "/assets/"].iter().any(|start| request.uri().path().starts_with(start));
    match *request.method() {
        Method::GET | Method::HEAD if !is_of_api => assets::index(),
        _ => refusal(StatusCode::NOT_FOUND, "Not Found"),
    }
}

fn refusal(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({"detail": detail}))).into_response()
}
