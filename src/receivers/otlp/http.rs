//! `POST /v1/traces`, `/v1/logs`, `/v1/metrics`: OTLP over HTTP, in protobuf and JSON.
//!
//! Source: OTLP specification, "OTLP/HTTP".

use super::answer::{Code, error_response, failure, success_response};
use super::receiver::OtlpReceiver;
use crate::otlp::{Encoding, Signal};
use crate::receivers::http::body::{BodyError, pass_over};
use crate::receivers::http::headers::{ack_wanted, media_type, workspace};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use axum::routing::post;
use std::sync::Arc;

/// The paths of OTLP.
pub(crate) fn routes(receiver: Arc<OtlpReceiver>) -> Router {
    let route = |router: Router<Arc<OtlpReceiver>>, signal: Signal| {
        router.route(signal.path(), post(move |receiver, request| export(signal, receiver, request)))
    };
    Signal::ALL.into_iter().fold(Router::new(), route).with_state(receiver)
}

async fn export(signal: Signal, State(receiver): State<Arc<OtlpReceiver>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let Some(encoding) = encoding(&head.headers) else {
        receiver.count_failed(signal, 1, false);
        pass_over(body, &head.headers).await;
        let message = "Content-Type must be application/x-protobuf or application/json";
        return failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message, Encoding::Json);
    };
    let wanted =
        workspace(&head.headers).and_then(|workspace| Ok((workspace, ack_wanted(&head.headers, receiver.ack)?)));
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(message) => {
            receiver.count_failed(signal, 1, false);
            pass_over(body, &head.headers).await;
            return failure(StatusCode::BAD_REQUEST, Code::InvalidArgument, &format!("header {message}"), encoding);
        }
    };
    let (bytes, reservation) = match receiver.bodies.read(body, &head.headers).await {
        Ok(read) => read,
        Err(error) => return body_failure(&receiver, signal, &error, encoding),
    };
    let queued = match receiver.queue(signal, wanted, bytes, encoding, reservation).await {
        Ok(queued) => queued,
        Err(error) => return error_response(&error, encoding),
    };
    match receiver.acked(queued).await {
        Ok(summary) => success_response(&summary, encoding),
        Err(error) => error_response(&error, encoding),
    }
}

/// The encoding of an answer that does not depend on what the request is: the request's own if it is known.
pub(crate) fn encoding_of_answer(headers: &HeaderMap) -> Encoding {
    match encoding(headers) {
        Some(encoding) => encoding,
        None => Encoding::Json,
    }
}

/// The encoding that the request's content type names.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    match media_type(headers)?.as_str() {
        "application/x-protobuf" | "application/protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

fn body_failure(receiver: &OtlpReceiver, signal: Signal, error: &BodyError, encoding: Encoding) -> Response {
    let (http, code) = match error {
        BodyError::TooLarge { .. } | BodyError::ExpandsTooFar { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted)
        }
        BodyError::Ingest(reason) if !reason.is_retryable() => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
        // a sender drops what was answered with anything but 429 and 5xx, and a slow one may be faster next time
        BodyError::Ingest(_) | BodyError::TooSlow(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        BodyError::Encoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
        BodyError::Compression { .. } | BodyError::CutOff(_) => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
    };
    receiver.count_failed(signal, 1, http == StatusCode::SERVICE_UNAVAILABLE);
    failure(http, code, &error.to_string(), encoding)
}
