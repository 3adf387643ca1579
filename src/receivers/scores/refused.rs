//! Why a request is not answered with what it asks for.

use crate::columns::RowTooLarge;
use crate::pipeline::IngestError;
use crate::query::answer::{Refusal, json_answer};
use crate::receivers::chat::response::CallError;
use crate::receivers::http::body::BodyError;
use crate::scores::Invalid;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// What is answered instead.
#[derive(Debug)]
pub(super) enum Refused {
    /// In a sentence, or about parameters.
    Said(Refusal),
    /// The body is wrong.
    Invalid(Invalid),
    /// It was not taken.
    NotTaken(CallError),
}

impl Refused {
    /// Something has this name already, or may not be changed.
    pub(super) fn conflict(detail: &str) -> Self {
        Self::Said(Refusal::new(StatusCode::CONFLICT, detail))
    }

    /// Whether the sender should try again.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Said(refusal) => refusal.status() == StatusCode::SERVICE_UNAVAILABLE,
            Self::Invalid(_) => false,
            Self::NotTaken(error) => error.status() == StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Said(refusal) => refusal.into_response(),
            Self::Invalid(invalid) => json_answer(StatusCode::UNPROCESSABLE_ENTITY, &invalid.to_json()),
            Self::NotTaken(error) => error.answer(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Said(refusal)
    }
}

impl From<Invalid> for Refused {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        Self::NotTaken(error.into())
    }
}

impl From<IngestError> for Refused {
    fn from(error: IngestError) -> Self {
        Self::NotTaken(error.into())
    }
}

impl From<RowTooLarge> for Refused {
    fn from(error: RowTooLarge) -> Self {
        Self::NotTaken(error.into())
    }
}
