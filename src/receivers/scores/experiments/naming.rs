//! Whose words an answer has: those of the release whose path was asked.

use crate::scores::Naming;
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use std::convert::Infallible;

/// What 0.3.0 calls experiments in its paths.
const EVALUATIONS: &str = "/evaluations";

impl<S: Sync> FromRequestParts<S> for Naming {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let path = parts.extensions.get::<MatchedPath>();
        let is_later = path.is_some_and(|path| path.as_str().contains(EVALUATIONS));
        Ok(if is_later { Self::Evaluations } else { Self::Experiments })
    }
}
