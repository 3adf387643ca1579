//! `show=sql`: an answer has the statements that it took, beside what it answers.
//!
//! ```text
//! GET /traces?show=sql   {"data": [...], ..., "sql": [{"statement": "SELECT ...", "elapsed_ms": 3.1}, ...]}
//! ```
//!
//! A statement is shown with its values, ready to be pasted; it is sent with its values apart from the text.

use super::answer::Refusal;
use super::kept;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// The parameter.
const NAME: &str = "show";

/// Answers a request; takes `show` off its URL first.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let Some(query) = request.uri().query().filter(|query| query.contains(NAME)) else {
        return next.run(request).await;
    };
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let Some((_, value)) = pairs.iter().rev().find(|(name, _)| name == NAME) else { return next.run(request).await };
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    if value != "sql" {
        return Refusal::bad_request("show must be sql: the answer has its statements then").into_response();
    }
    let rest = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs.iter().filter(|(name, _)| name != NAME))
        .finish();
    match without(request.uri(), &rest) {
        Some(uri) => *request.uri_mut() = uri,
        None => return Refusal::bad_request("the query string cannot be read").into_response(),
    }
    kept::keeping(next.run(request)).await
}

/// The URL with another query string.
fn without(uri: &Uri, query: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    let path_and_query = if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) };
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}
