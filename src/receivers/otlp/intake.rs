//! `POST /apis/intake/v2/workspaces/{workspace}/ingest/otlp/v1/traces`: spans as OTLP in protobuf, answered as the reference does.
//!
//! ```text
//! 200  {"errors": ["span 2 (\"chat\"): ..."]}      the other spans are stored
//! 415  no protobuf   400  not to be decoded   413  too large   503  try again
//! ```
//!
//! Source: NeMo Intake's OpenAPI document, release 0.2.0.

use super::destination::Destination;
use super::error::ExportError;
use super::receiver::OtlpReceiver;
use crate::access::routes::{Guard, Routes};
use crate::access::{Needs, Scope};
use crate::otlp::{Encoding, Signal};
use crate::receivers::chat::response::{CallError, error_detail, invalid_parameter, respond};
use crate::receivers::http::body::{BodyError, pass_over};
use crate::receivers::http::headers::{Unfit, ack_wanted, media_type};
use crate::workspace::Workspace;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

const PATH: &str = "/apis/intake/v2/workspaces/{workspace}/ingest/otlp/v1/traces";

/// The path.
pub(crate) fn routes(receiver: Arc<OtlpReceiver>, guard: &Guard) -> Routes {
    Routes::new(guard).post(PATH, Needs::InWorkspace(Scope::Ingest), ingest).with_state(receiver)
}

async fn ingest(
    State(receiver): State<Arc<OtlpReceiver>>,
    Path(workspace): Path<String>,
    request: Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let admitted = admit(&receiver, &workspace, &head.headers);
    let wanted = match admitted {
        Ok(wanted) => wanted,
        Err(refusal) => {
            receiver.count_failed(Signal::Traces, 1, false);
            pass_over(body, &head.headers).await;
            return *refusal;
        }
    };
    if let Err(over) = receiver.admit(&wanted.0) {
        receiver.count_failed(Signal::Traces, 1, true);
        pass_over(body, &head.headers).await;
        return CallError::from(over).answer();
    }
    let (bytes, reservation) = match receiver.bodies.read(body, &head.headers).await {
        Ok(read) => read,
        Err(error) => {
            let status = status_of_body(&error);
            receiver.count_failed(Signal::Traces, 1, status == StatusCode::SERVICE_UNAVAILABLE);
            return error_detail(status, &error.to_string());
        }
    };
    receiver.charge_bytes(&wanted.0, bytes.len());
    let queued = match receiver.queue(Signal::Traces, wanted, bytes, Encoding::Protobuf, reservation).await {
        Ok(queued) => queued,
        Err(error) => return failed(&error),
    };
    match receiver.acked(queued).await {
        Ok(summary) => respond(StatusCode::OK, json!({"errors": summary.errors()}).to_string()),
        Err(error) => failed(&error),
    }
}

/// Where the rows go and what the answer waits for, or why they go nowhere.
fn admit(
    receiver: &OtlpReceiver,
    workspace: &str,
    headers: &HeaderMap,
) -> Result<(Destination, crate::pipeline::Ack), Box<Response>> {
    if media_type(headers).as_deref() != Some("application/x-protobuf") {
        let message = "OTLP trace ingest only accepts application/x-protobuf";
        return Err(Box::new(error_detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)));
    }
    let workspace = Workspace::new(workspace)
        .map_err(|error| Box::new(invalid_parameter(&["path", "workspace"], &error.to_string())))?;
    let ack = ack_wanted(headers, receiver.ack).map_err(|unfit| match unfit {
        Unfit::Invalid(message) => error_detail(StatusCode::BAD_REQUEST, &message),
        Unfit::Denied(denied) => error_detail(StatusCode::FORBIDDEN, &denied.to_string()),
    });
    Ok((Destination::One(workspace), ack.map_err(Box::new)?))
}

fn status_of_body(error: &BodyError) -> StatusCode {
    match error {
        BodyError::TooLarge { .. } | BodyError::ExpandsTooFar { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Ingest(reason) if !reason.is_retryable() => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Ingest(_) | BodyError::TooSlow(_) => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        BodyError::Compression { .. } | BodyError::CutOff(_) => StatusCode::BAD_REQUEST,
    }
}

fn failed(error: &ExportError) -> Response {
    if error.is_retryable() {
        return error_detail(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
    }
    if error.is_too_large() {
        return error_detail(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string());
    }
    error_detail(StatusCode::BAD_REQUEST, &format!("Invalid OTLP protobuf: {error}"))
}
