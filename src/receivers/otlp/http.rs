//! `POST /v1/traces`: OTLP over HTTP, in protobuf and JSON.
//!
//! Source: OTLP specification, "OTLP/HTTP".

use super::answer::{Code, failure, refusal, success_response};
use crate::otlp::Encoding;
use crate::receivers::http::body;
use crate::receivers::http::body::BodyError;
use crate::receivers::{Receivers, ack_wanted, media_type, workspace};
use crate::telemetry::Receiver;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use std::sync::Arc;

pub(crate) async fn traces(State(receivers): State<Arc<Receivers>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let Some(encoding) = encoding(&head.headers) else {
        receivers.metrics.reject(Receiver::OtlpHttp, 1);
        body::pass_over(body, &head.headers).await;
        let message = "Content-Type must be application/x-protobuf or application/json";
        return failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message, Encoding::Json);
    };
    let wanted =
        workspace(&head.headers).and_then(|workspace| Ok((workspace, ack_wanted(&head.headers, receivers.http_ack)?)));
    let (workspace, ack) = match wanted {
        Ok(wanted) => wanted,
        Err(message) => {
            receivers.metrics.reject(Receiver::OtlpHttp, 1);
            body::pass_over(body, &head.headers).await;
            return failure(StatusCode::BAD_REQUEST, Code::InvalidArgument, &format!("header {message}"), encoding);
        }
    };
    let read = body::read(body, &head.headers, receivers.reading()).await;
    let (bytes, room) = match read {
        Ok(read) => read,
        Err(error) => return body_failure(&receivers, &error, encoding),
    };
    let taken = match receivers.ingest_traces((Receiver::OtlpHttp, ack), workspace, bytes, encoding, room).await {
        Ok(taken) => taken,
        Err(error) => return refusal(&error, encoding),
    };
    match receivers.keep(taken).await {
        Ok(accepted) => success_response(&accepted, encoding),
        Err(error) => refusal(&error, encoding),
    }
}

/// The encoding that the request's content type names, for answers on any path.
pub(crate) fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    match media_type(headers)?.as_str() {
        "application/x-protobuf" | "application/protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

fn body_failure(receivers: &Receivers, error: &BodyError, encoding: Encoding) -> Response {
    let (http, code) = match error {
        BodyError::TooLarge { .. } | BodyError::ExpandsTooFar { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted)
        }
        BodyError::NotTaken(reason) if !reason.is_retryable() => {
            (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted)
        }
        // a sender drops what was answered with anything but 429 and 5xx, and a slow one may be faster next time
        BodyError::NotTaken(_) | BodyError::TooSlow(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        BodyError::Encoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
        BodyError::Compression { .. } | BodyError::CutOff(_) => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
    };
    if http == StatusCode::SERVICE_UNAVAILABLE {
        receivers.metrics.refuse(Receiver::OtlpHttp, 1);
    } else {
        receivers.metrics.reject(Receiver::OtlpHttp, 1);
    }
    failure(http, code, &error.to_string(), encoding)
}
