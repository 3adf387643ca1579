//! Answers of the read API: JSON, and refusals as `{"detail": ...}`.
//!
//! ```text
//! 400 404 413 503   {"detail": "a sentence"}                                  of a search also "position": the character
//! 422               {"detail": [{"type", "loc", "msg", "input", "ctx"}]}      a parameter is not what it must be
//! ```

use super::kept;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// How long a caller should wait before it tries again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// A request that is not answered with what it asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    status: StatusCode,
    detail: Value,
    /// The character of a search that is wrong, counted from 1.
    position: Option<usize>,
}

impl Refusal {
    /// In a sentence.
    #[must_use]
    pub fn new(status: StatusCode, detail: &str) -> Self {
        Self { status, detail: detail.into(), position: None }
    }

    /// The request is wrong.
    #[must_use]
    pub fn bad_request(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// It would be too much at once.
    #[must_use]
    pub fn too_large(detail: &str) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// It may go better later.
    #[must_use]
    pub fn unavailable(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// Parameters, or parts of a body, that are not what they must be.
    #[must_use]
    pub fn invalid(problems: Vec<Problem>) -> Self {
        let detail = problems.into_iter().map(|problem| problem.0).collect();
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail, position: None }
    }

    /// It is this character that is wrong, counted from 1.
    #[must_use]
    pub fn at_position(self, position: usize) -> Self {
        Self { position: Some(position), ..self }
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The character of what was asked at which it is wrong, from 1.
    #[cfg(test)]
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.position
    }

    /// What `detail` says.
    #[must_use]
    pub fn detail(&self) -> &Value {
        &self.detail
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({"detail": self.detail});
        if let (Some(position), Some(members)) = (self.position, body.as_object_mut()) {
            members.insert("position".to_owned(), position.into());
        }
        let mut response = json_answer(self.status, &body);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// What is wrong with one parameter, in the reference's form.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem(Value);

impl Problem {
    /// `kind` is the reference's `type`; `ctx` is left out when it is null.
    #[must_use]
    pub fn new(kind: &str, loc: &[&str], msg: &str, input: Value, ctx: Value) -> Self {
        let mut problem = json!({"type": kind, "loc": loc, "msg": msg, "input": input});
        if let (false, Some(members)) = (ctx.is_null(), problem.as_object_mut()) {
            members.insert("ctx".to_owned(), ctx);
        }
        Self(problem)
    }

    /// A parameter of the query string that is not there.
    #[must_use]
    pub fn missing(name: &str) -> Self {
        Self::new("missing", &["query", name], "Field required", Value::Null, Value::Null)
    }
}

/// A JSON answer; with the statements that it took, where they are asked for.
#[must_use]
pub fn json_answer(status: StatusCode, body: &Value) -> Response {
    let body = kept::beside(body).map_or_else(|| body.to_string(), |body| body.to_string());
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
