//! `POST /v1/traces`, `/v1/logs`, `/v1/metrics`: OTLP over HTTP, in protobuf and JSON.
//!
//! Source: OTLP specification, "OTLP/HTTP".

use super::answer::{Code, denied_response, error_response, failure, over_quota_response, success_response};
use super::destination::Destination;
use super::receiver::OtlpReceiver;
use crate::access::routes::{Guard, Routes};
use crate::access::{Needs, Scope};
use crate::audit::Peer;
use crate::otlp::{Encoding, Signal};
use crate::pipeline::Ack;
use crate::receivers::http::body::{BodyError, pass_over};
use crate::receivers::http::headers::{Unfit, ack_wanted, can_wait, media_type};
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use std::sync::Arc;

/// The paths of OTLP.
pub(crate) fn routes(receiver: Arc<OtlpReceiver>, guard: &Guard) -> Routes {
    let route = |routes: Routes<Arc<OtlpReceiver>>, signal: Signal| {
        let needs = Needs::Own(Scope::Ingest);
        routes.post(signal.path(), needs, move |receiver, request| export(signal, receiver, request))
    };
    Signal::ALL.into_iter().fold(Routes::new(guard), route).with_state(receiver)
}

async fn export(signal: Signal, State(receiver): State<Arc<OtlpReceiver>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let Some(encoding) = encoding(&head.headers) else {
        receiver.count_failed(signal, 1, false);
        pass_over(body, &head.headers).await;
        let message = "Content-Type must be application/x-protobuf or application/json";
        return failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message, Encoding::Json);
    };
    let wanted = match wanted(&receiver, &head) {
        Ok(wanted) => wanted,
        Err(unfit) => {
            receiver.count_failed(signal, 1, false);
            pass_over(body, &head.headers).await;
            return match unfit {
                Unfit::Denied(denied) => {
                    let principal = receiver.gate.principal_of(&head.extensions).ok();
                    let peer = head.extensions.get::<Peer>().copied();
                    receiver.gate.refuse(denied, principal.as_ref(), signal.path(), peer).await;
                    denied_response(denied, encoding)
                }
                Unfit::Invalid(message) => {
                    failure(StatusCode::BAD_REQUEST, Code::InvalidArgument, &format!("header {message}"), encoding)
                }
            };
        }
    };
    if let Err(over) = receiver.admit(&wanted.0) {
        receiver.count_failed(signal, 1, true);
        pass_over(body, &head.headers).await;
        return over_quota_response(over, encoding);
    }
    if can_wait(&head.headers)
        && let Err(why) = receiver.ingest.pipeline.admit_background()
    {
        pass_over(body, &head.headers).await;
        return error_response(&why.into(), encoding);
    }
    let (bytes, reservation) = match receiver.bodies.read(body, &head.headers).await {
        Ok(read) => read,
        Err(error) => return body_failure(&receiver, signal, &error, encoding),
    };
    receiver.charge_bytes(&wanted.0, bytes.len());
    let queued = match receiver.queue(signal, wanted, bytes, encoding, reservation).await {
        Ok(queued) => queued,
        Err(error) => return error_response(&error, encoding),
    };
    match receiver.acked(queued).await {
        Ok(summary) => success_response(&summary, encoding),
        Err(error) => error_response(&error, encoding),
    }
}

/// Where the rows of a request go, and what its answer waits for.
fn wanted(receiver: &OtlpReceiver, head: &Parts) -> Result<(Destination, Ack), Unfit> {
    let principal = receiver.gate.principal_of(&head.extensions)?;
    Ok((receiver.destination(&head.headers, principal)?, ack_wanted(&head.headers, receiver.ack)?))
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
