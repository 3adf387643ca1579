//! Answers about captured calls: `{"detail": ...}` for whatever was not stored.

use crate::access::OverQuota;
use crate::chat::ValidationErrors;
use crate::columns::RowTooLarge;
use crate::pipeline::IngestError;
use crate::receivers::http::body::BodyError;
use crate::receivers::http::headers::RETRY_AFTER;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

/// Why a captured call was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("request body failed validation")]
    Invalid(ValidationErrors),
    #[error(
        "the call is too large: {0}; send less text, or set genai.keep_raw: false or a smaller genai.max_value_bytes"
    )]
    TooLarge(#[from] RowTooLarge),
    #[error("Experiment '{0}' must be created before it can be logged.")]
    NoExperiment(String),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
}

impl CallError {
    pub(crate) fn status(&self) -> StatusCode {
        status(self)
    }

    /// `{"detail": ...}`
    pub(crate) fn to_json(&self) -> String {
        match self {
            Self::Invalid(errors) => errors.to_json(),
            Self::Ingest(reused @ IngestError::KeyReused) => {
                parameter_error(&["header", "Idempotency-Key"], &reused.to_string()).to_string()
            }
            other => json!({"detail": other.to_string()}).to_string(),
        }
    }

    pub(crate) fn answer(&self) -> Response {
        let mut response = respond(self.status(), self.to_json());
        if let Self::OverQuota(over) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(over.retry_after().as_secs()));
        }
        response
    }
}

fn status(error: &CallError) -> StatusCode {
    let no_room = |reason: &IngestError| match reason {
        IngestError::NeverFits { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        IngestError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    match error {
        CallError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        CallError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        CallError::NoExperiment(_) => StatusCode::BAD_REQUEST,
        CallError::Ingest(reason) => no_room(reason),
        CallError::OverQuota(_) => StatusCode::TOO_MANY_REQUESTS,
        CallError::Body(error) => match error {
            BodyError::TooLarge { .. } | BodyError::ExpandsTooFar { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::Compression { .. } | BodyError::CutOff(_) => StatusCode::BAD_REQUEST,
            BodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            BodyError::Ingest(reason) => no_room(reason),
        },
    }
}

/// JSON, and when to try again if that can help.
pub(crate) fn respond(status: StatusCode, json: String) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], json).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
    }
    response
}

/// A failure in a sentence.
pub(crate) fn error_detail(status: StatusCode, message: &str) -> Response {
    respond(status, json!({"detail": message}).to_string())
}

/// A parameter that is not what it must be, in the reference's form.
pub(crate) fn invalid_parameter(loc: &[&str], message: &str) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(parameter_error(loc, message))).into_response()
}

fn parameter_error(loc: &[&str], message: &str) -> serde_json::Value {
    json!({"detail": [{"loc": loc, "msg": message, "type": "value_error"}]})
}
